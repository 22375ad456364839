//! Passwords: rules, hashing and verification (Argon2id, RFC 9106).

use std::collections::HashSet;
use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _};
use shared::error::Error;
use tokio::sync::{Semaphore, SemaphorePermit};
use unicode_normalization::UnicodeNormalization as _;

use crate::limits::PasswordText;
use shared::values::email::Email;

/// Passwords that many people have, in lower case: long ones, and those that are too short as they are.
const COMMON: [&str; 2] = [include_str!("common_passwords.txt"), include_str!("common_short_passwords.txt")];

/// Length in characters from which a name or a part of an e-mail address may not stand in a password.
const PERSONAL: usize = 4;

/// A password in clear, normalised (NFKC) so that it is the same from every keyboard. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Validation rule for a new password. 12 to 128 code points, not blank, and not a common password in any
    /// case, also with digits or punctuation before or after it.
    ///
    /// # Errors
    /// A message that says what is wrong with it.
    pub fn parse(text: String) -> Result<Self, String> {
        let password = PasswordText::parse(text.nfkc().collect())?;
        if is_common(&password.to_lowercase()) {
            return Err("is too common; choose another, such as a few unrelated words".to_owned());
        }
        Ok(Self(password))
    }

    /// Validation rule for the new password of this user: others guess these texts first.
    ///
    /// # Errors
    /// A message that says what the password contains.
    pub fn check_personal(&self, email: &Email, name: &str) -> Result<(), String> {
        let password = self.0.to_lowercase();
        let contains = |text: &str| {
            let text: String = text.nfkc().collect::<String>().to_lowercase();
            text.chars().count() >= PERSONAL && password.contains(&text)
        };
        if contains(email.as_str()) || contains(email.local_part()) {
            return Err("must not contain the e-mail address or the part of it before the @".to_owned());
        }
        if contains(name) {
            return Err("must not contain the name".to_owned());
        }
        Ok(())
    }

    /// Accepts a password entered for comparison, without validation. Text beyond the maximum length is cut
    /// one code point after it, enough to fail.
    pub fn entered(text: &str) -> Self {
        Self(text.nfkc().take(PasswordText::MAX + 1).collect())
    }
}

/// True for a common password in lower case, or one with digits and punctuation before or after it.
fn is_common(password: &str) -> bool {
    static PASSWORDS: OnceLock<HashSet<&str>> = OnceLock::new();
    let common = PASSWORDS.get_or_init(|| {
        COMMON.iter().flat_map(|list| list.lines()).filter(|line| !line.starts_with("# ")).collect()
    });
    let is_added = |letter: &char| !letter.is_alphabetic();
    let begins = std::iter::once(0).chain(
        password.char_indices().take_while(|(_, letter)| is_added(letter)).map(|(at, it)| at + it.len_utf8()),
    );
    let ends: Vec<usize> = std::iter::once(password.len())
        .chain(password.char_indices().rev().take_while(|(_, letter)| is_added(letter)).map(|(at, _)| at))
        .collect();
    let mut parts = begins.flat_map(|begin| ends.iter().filter_map(move |end| password.get(begin..*end)));
    parts.any(|part| common.contains(part))
}

#[cfg(feature = "openapi")]
shared::value_schema!(
    Password,
    // Blanks and control characters are looked for after NFKC, which leaves none out.
    shared::openapi::values::line(PasswordText::MIN, PasswordText::MAX)
        .format(Some(utoipa::openapi::SchemaFormat::KnownFormat(utoipa::openapi::KnownFormat::Password)))
);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Password hash: a PHC string.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Wraps a stored hash.
    pub fn stored(phc: String) -> Self {
        Self(phc)
    }

    /// The PHC string to store.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

impl PasswordHash {
    /// True if it was made with other parameters than the current ones, and should be made anew.
    pub fn is_outdated(&self) -> bool {
        let now = Params::default();
        let parameters = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
        let made_with = phc::PasswordHash::new(&self.0).ok().and_then(|hash| {
            let is_argon2id = hash.algorithm == Algorithm::default().ident();
            Params::try_from(&hash).ok().filter(|_| is_argon2id)
        });
        made_with.is_none_or(|made_with| parameters(&made_with) != parameters(&now))
    }
}

/// Hash to compare with when there is no such user. No password has it: it was not made of one.
const NO_USER: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyB0aGlz$\
                      AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Maximum wait for a permit to hash.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Permit to hash a password, which takes a core and 19 MiB. There are as many as cores. So a caller who
/// sends many passwords exhausts neither the memory nor the threads of this process.
#[derive(Debug)]
pub struct HashPermit(
    #[expect(dead_code, reason = "it is given back when it is dropped")] SemaphorePermit<'static>,
);

impl HashPermit {
    /// Waits for the next free permit.
    ///
    /// # Errors
    /// 503 when too many passwords come at once.
    pub async fn next() -> Result<Self, Error> {
        static PERMITS: OnceLock<Semaphore> = OnceLock::new();
        let permits = PERMITS.get_or_init(|| {
            Semaphore::new(std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get))
        });
        let late = |_| Error::unavailable("too many passwords are to be hashed at once");
        let permit = tokio::time::timeout(PERMIT_TIMEOUT, permits.acquire()).await.map_err(late)?;
        Ok(Self(permit.map_err(Error::internal)?))
    }

    /// Runs the work on a thread where it does not block other requests.
    async fn run<T, F>(self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, Error> + Send + 'static,
    {
        let working = tokio::task::spawn_blocking(move || {
            // Kept until the work is done, even if its caller has gone.
            let _permit = self;
            work()
        });
        working.await.map_err(Error::internal)?
    }
}

/// Hashes a password with a new salt: 19 MiB, 2 passes, about 20 ms of a full core.
///
/// # Errors
/// 503 when too many come at once. Otherwise only when the machine has no random numbers or no memory.
pub async fn hash(password: Password) -> Result<PasswordHash, Error> {
    let work = move || {
        let hash = Argon2::default()
            .hash_password(password.0.as_bytes())
            .map_err(|error| Error::internal(format!("Argon2: {error}")))?;
        Ok(PasswordHash(hash.to_string()))
    };
    HashPermit::next().await?.run(work).await
}

/// Verifies a password against its hash. Without a hash it is wrong, after the same work: the time does not
/// reveal whether the user exists.
///
/// # Errors
/// Fails when a stored hash is damaged.
pub async fn verify(
    permit: HashPermit,
    password: Password,
    hash: Option<PasswordHash>,
) -> Result<bool, Error> {
    let work = move || {
        let phc = hash.as_ref().map_or(NO_USER, PasswordHash::as_str);
        let parsed = phc::PasswordHash::new(phc)
            .map_err(|error| Error::internal(format!("a stored password hash: {error}")))?;
        let matches = Argon2::default().verify_password(password.0.as_bytes(), &parsed).is_ok();
        Ok(matches && hash.is_some())
    };
    permit.run(work).await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn verify(password: Password, hash: Option<PasswordHash>) -> Result<bool, Error> {
        super::verify(HashPermit::next().await?, password, hash).await
    }

    #[tokio::test]
    async fn a_password_matches_its_own_hash_alone() {
        let password = Password::parse("correct horse battery".to_owned()).unwrap();
        let kept = hash(password.clone()).await.unwrap();
        assert!(kept.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(verify(password, Some(kept.clone())).await.unwrap());
        assert!(!verify(Password::entered("correct horse batter"), Some(kept)).await.unwrap());
        assert!(!verify(Password::entered("nobody has this password"), None).await.unwrap());
    }

    #[tokio::test]
    async fn the_same_password_from_another_keyboard_matches() {
        let composed = Password::parse("caf\u{e9} caf\u{e9} caf\u{e9}".to_owned()).unwrap();
        let decomposed = Password::entered("cafe\u{301} cafe\u{301} cafe\u{301}");
        assert!(verify(decomposed, Some(hash(composed).await.unwrap())).await.unwrap());
    }

    #[test]
    fn a_password_has_12_to_128_code_points() {
        assert!(Password::parse("☕".repeat(12)).is_ok());
        assert!(Password::parse("☕".repeat(11)).is_err());
        assert!(Password::parse("a".repeat(128)).is_ok());
        assert!(Password::parse("a".repeat(129)).is_err());
    }

    #[test]
    fn a_common_password_is_refused_in_any_case() {
        for common in ["password1234", "PassWord1234", "123456789012", "ｐassword1234", "qwertyuiop123"] {
            let problem = Password::parse(common.to_owned()).unwrap_err();
            assert!(problem.starts_with("is too common"), "{common}: {problem}");
        }
        for good in ["correct horse battery", "coffee and tea", "password1234, or so"] {
            assert!(Password::parse(good.to_owned()).is_ok(), "{good}");
        }
        let lists = COMMON.map(|list| list.lines().filter(|line| !line.starts_with("# ")));
        for (list, lengths) in lists.into_iter().zip([12..=usize::MAX, 4..=11]) {
            for line in list {
                assert_eq!(line.to_lowercase(), line);
                assert!(lengths.contains(&line.chars().count()), "{line}");
            }
        }
    }

    #[test]
    fn a_common_password_with_digits_or_punctuation_is_refused() {
        for common in [
            "Password!2026!",
            "...sunshine...",
            "2026-dragon-2026",
            "123456!!!!!!",
            "!!!!!!123456",
            "qwerty 12345678",
            "Iloveyou#1234",
            "ｐａｓｓｗｏｒｄ２０２６",
        ] {
            let problem = Password::parse(common.to_owned()).unwrap_err();
            assert!(problem.starts_with("is too common"), "{common}: {problem}");
        }
        for good in [
            "sunshine on my dragon",
            "a password 2026",
            "sunshinedragon",
            "☕☕☕☕☕☕☕☕☕☕☕☕",
            "7391-8264-0572",
        ] {
            assert!(Password::parse(good.to_owned()).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_password_contains_neither_address_nor_name() {
        let check = |password: &str, email: &str, name: &str| {
            let email = Email::parse(email.to_owned()).unwrap();
            Password::parse(password.to_owned()).unwrap().check_personal(&email, name)
        };
        for (password, email, name) in [
            ("my.lovelace@example.com", "lovelace@example.com", "Ada"),
            ("LoveLace and the engine", "lovelace@example.com", "Ada"),
            ("engine of ADA LOVELACE", "ada@example.com", "Ada Lovelace"),
            ("engine of grüße", "ada@example.com", "GRÜßE"),
            ("grace of the ｈopper", "ada@example.com", "Ｈｏｐｐｅｒ"),
        ] {
            assert!(check(password, email, name).is_err(), "{password}");
        }
        for (password, email, name) in [
            ("ada and the engine", "ada@example.com", "Ada"),
            ("lovelac and the engine", "lovelace@example.com", "Lovelace"),
            ("example.com and the engine", "lovelace@example.com", "Lovelace"),
        ] {
            assert_eq!(check(password, email, name), Ok(()), "{password}");
        }
    }

    #[tokio::test]
    async fn an_overlong_password_matches_nothing() {
        let longest = "a".repeat(PasswordText::MAX);
        let kept = hash(Password::parse(longest.clone()).unwrap()).await.unwrap();
        assert!(verify(Password::entered(&longest), Some(kept.clone())).await.unwrap());
        for more in ["a".repeat(PasswordText::MAX + 1), "a".repeat(10_000)] {
            assert!(!verify(Password::entered(&more), Some(kept.clone())).await.unwrap());
        }
    }

    #[tokio::test]
    async fn a_hash_made_with_less_work_matches_and_is_outdated() {
        let params = Params::new(8 * 1024, 1, 1, None).unwrap();
        let weak = Argon2::new(Algorithm::Argon2id, argon2::Version::V0x13, params);
        let weak = weak.hash_password(b"correct horse battery").unwrap().to_string();
        let weak = PasswordHash::stored(weak);
        assert!(weak.is_outdated());
        let password = Password::entered("correct horse battery");
        assert!(verify(password.clone(), Some(weak)).await.unwrap());
        assert!(!hash(password).await.unwrap().is_outdated());
        assert!(PasswordHash::stored("what nobody knows".to_owned()).is_outdated());
    }

    #[test]
    fn the_hash_without_a_user_takes_the_same_work() {
        assert!(!PasswordHash::stored(NO_USER.to_owned()).is_outdated());
    }

    #[tokio::test]
    async fn at_most_one_hash_runs_per_core() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static RUNNING: AtomicUsize = AtomicUsize::new(0);
        let cores = std::thread::available_parallelism().unwrap().get();
        let works = (0..cores * 8).map(|_| async {
            let work = || {
                let running = RUNNING.fetch_add(1, Ordering::SeqCst) + 1;
                std::thread::sleep(Duration::from_millis(5));
                RUNNING.fetch_sub(1, Ordering::SeqCst);
                Ok(running)
            };
            HashPermit::next().await?.run(work).await
        });
        for running in futures::future::join_all(works).await {
            assert!(running.unwrap() <= cores);
        }
    }

    #[test]
    fn a_password_is_never_printed() {
        let password = Password::entered("correct horse battery");
        assert!(!format!("{password:?}").contains("horse"));
    }
}
