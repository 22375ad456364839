//! Passwords: what one must be like, and how it is kept (Argon2id, RFC 9106).

use std::fmt;
use std::sync::OnceLock;

use argon2::password_hash::phc;
use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};
use shared::error::Error;
use shared::text;
use unicode_normalization::UnicodeNormalization as _;

/// A password in clear, normalised (NFKC) so that it is the same from every keyboard. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// A rule for a new password: 12 to 128 code points, as for all text not white space alone.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: String) -> Result<Self, String> {
        text::line(12, 128)(Self::entered(&text).0).map(Self)
    }

    /// A password that somebody entered, to be compared: whatever they typed.
    pub fn entered(text: &str) -> Self {
        Self(text.nfkc().collect())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What is kept of a password: a PHC string.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// As it was stored.
    pub fn stored(phc: String) -> Self {
        Self(phc)
    }

    /// As it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// Hashes a password with a new salt: 19 MiB, 2 passes, about 20 ms of a full core, on a thread where that
/// holds up nobody.
///
/// # Errors
/// Only when the machine gives no random numbers or no memory.
pub async fn hash(password: Password) -> Result<PasswordHash, Error> {
    tokio::task::spawn_blocking(move || hash_now(&password)).await.map_err(Error::internal)?
}

fn hash_now(password: &Password) -> Result<PasswordHash, Error> {
    let hash = Argon2::default()
        .hash_password(password.0.as_bytes())
        .map_err(|error| Error::internal(format!("Argon2: {error}")))?;
    Ok(PasswordHash(hash.to_string()))
}

/// Whether the password is the one that was hashed. Without a hash it is wrong, after the same work: how
/// long it takes does not tell whether there is such a user.
///
/// # Errors
/// When a stored hash is damaged.
pub async fn verify(password: Password, hash: Option<PasswordHash>) -> Result<bool, Error> {
    tokio::task::spawn_blocking(move || {
        let known = hash.is_some();
        let hash = match hash {
            Some(hash) => hash,
            None => nobodys_hash()?,
        };
        let parsed = phc::PasswordHash::new(hash.as_str())
            .map_err(|error| Error::internal(format!("a stored password hash: {error}")))?;
        let matches = Argon2::default().verify_password(password.0.as_bytes(), &parsed).is_ok();
        Ok(matches && known)
    })
    .await
    .map_err(Error::internal)?
}

/// A hash that belongs to nobody, made once a process.
fn nobodys_hash() -> Result<PasswordHash, Error> {
    static HASH: OnceLock<PasswordHash> = OnceLock::new();
    if let Some(hash) = HASH.get() {
        return Ok(hash.clone());
    }
    let hash = hash_now(&Password::entered("nobody has this password"))?;
    Ok(HASH.get_or_init(|| hash).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

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
    async fn the_same_password_typed_on_another_keyboard_matches() {
        let composed = Password::parse("caf\u{e9} caf\u{e9} caf\u{e9}".to_owned()).unwrap();
        let decomposed = Password::entered("cafe\u{301} cafe\u{301} cafe\u{301}");
        assert!(verify(decomposed, Some(hash(composed).await.unwrap())).await.unwrap());
    }

    #[test]
    fn lengths_are_twelve_to_a_hundred_and_twenty_eight_code_points() {
        assert!(Password::parse("☕".repeat(12)).is_ok());
        assert!(Password::parse("☕".repeat(11)).is_err());
        assert!(Password::parse("a".repeat(128)).is_ok());
        assert!(Password::parse("a".repeat(129)).is_err());
    }

    #[test]
    fn a_password_is_never_printed() {
        let password = Password::entered("correct horse battery");
        assert!(!format!("{password:?}").contains("horse"));
    }
}
