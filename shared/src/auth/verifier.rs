//! Verifies access tokens with public keys alone, as RFC 8725 says, and refuses those whose sessions have ended.
//!
//! A token is refused unless everything about it is as our own are: what it may say is written down here, and all
//! else is refused, so that no attack needs to be known by name. Nothing of it is read as claims before its signature
//! holds. Functions fetch the public keys, and who was revoked lately, from the users function, and keep them.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::BoxFuture;
use jsonwebtoken::{DecodingKey, Validation};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::revoked::Revoked;
use super::tokens::{
    ACCESS_TOKEN_LIFETIME, ALGORITHM, ALGORITHM_NAME, AUDIENCE, Epoch, ISSUER, PublicKey, TOKEN_TYPE,
    is_key_id,
};
use super::{Caller, Role};
use crate::clock::{Clock, Timestamp};
use crate::context::Context;
use crate::crypto;
use crate::error::{Error, Kind};
use crate::ids::UserId;
use crate::json;

/// Ours have less than 500 bytes; nothing larger is looked at.
const MAX_TOKEN: usize = 1024;

/// By how many seconds the clock of whoever signs may be ahead of ours.
const SKEW: i64 = 30;

/// How long no keys are fetched for a `kid` that is not known, after such a fetch was in vain.
///
/// A fetch that brings the key does not count: the next rotation may follow at once, and must refuse nobody.
/// What this bounds is a caller who makes up one `kid` after the other.
const REFETCH_AFTER: Duration = Duration::from_secs(30);

/// How old what is known may be before it is fetched again, so that keys which no longer hold are forgotten, and who
/// was revoked is known within a minute.
const AGE: Duration = Duration::from_secs(45);

/// How long that may take, and how long it is not tried again when it failed. What is known is used meanwhile.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(2);
const REFRESH_AGAIN: Duration = Duration::from_secs(5);

/// How old what is known may become while it cannot be fetched again. After that nobody knows who was revoked, and
/// requests with a token are answered 503.
const TRUSTED_FOR: Duration = Duration::from_secs(5 * 60);

/// What tells good tokens from bad ones at some moment.
#[derive(Clone, Debug, Default)]
pub struct Trusted {
    /// The keys that verify tokens.
    pub keys: Vec<PublicKey>,
    /// Whose tokens are no longer good, though a key verifies them.
    pub revoked: Revoked,
}

impl From<Vec<PublicKey>> for Trusted {
    /// Nobody is revoked.
    fn from(keys: Vec<PublicKey>) -> Self {
        Self { keys, revoked: Revoked::default() }
    }
}

impl Trusted {
    fn key(&self, kid: &str) -> Option<&PublicKey> {
        self.keys.iter().find(|key| key.kid == kid)
    }
}

/// Where public keys come from.
pub trait KeySource: Send + Sync {
    /// What holds now, asked for on behalf of the request of `context`, within its deadline. `kid` is the key that was
    /// met and not known, if that is why it is asked for.
    fn trusted(&self, kid: Option<&str>, context: &Context) -> BoxFuture<'_, Result<Trusted, Error>>;

    /// A number that rises when this process itself has changed what holds: who asks need not wait until what they
    /// know is old.
    fn news(&self) -> u64 {
        0
    }
}

/// Verifies access tokens with public keys alone.
#[derive(Clone)]
pub struct Verifier {
    clock: Clock,
    source: Arc<dyn KeySource>,
    known: Arc<Mutex<Option<Known>>>,
}

/// What was fetched.
struct Known {
    trusted: Arc<Trusted>,
    /// It held then, or later.
    as_of: Timestamp,
    news: u64,
    /// When it is to be fetched again.
    stale: Timestamp,
    /// When it was last fetched for a key that was not among them.
    in_vain: Option<Timestamp>,
}

impl Verifier {
    /// A verifier that has no key yet, and asks `source` at the first token.
    pub fn new(source: Arc<dyn KeySource>, clock: Clock) -> Self {
        crypto::install();
        Self { clock, source, known: Arc::default() }
    }

    /// The clock that decides whether a token has expired.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Who is calling, from the `Authorization` header of the request of `context`.
    ///
    /// # Errors
    /// 401 for a header that is there and bad; 503 when the keys cannot be had.
    pub async fn caller(&self, authorization: Option<&[u8]>, context: &Context) -> Result<Caller, Error> {
        let Some(authorization) = authorization else { return Ok(Caller::Anyone) };
        let token = Token::parse(bearer(authorization)?)?;
        let trusted = self.trusted(&token.kid, context).await?;
        let key = trusted
            .key(&token.kid)
            .ok_or_else(|| bad_token("The access token is signed with an unknown key."))?;
        let claims = token.claims(key, self.clock.now())?;
        if trusted.revoked.includes(claims.user, claims.epoch, claims.issued_at) {
            return Err(bad_token("The session of this access token has ended, since its user was changed."));
        }
        Ok(Caller::User { id: claims.user, role: claims.role })
    }

    /// What holds, with this key if there is such a key.
    async fn trusted(&self, kid: &str, context: &Context) -> Result<Arc<Trusted>, Error> {
        // Held while fetching: of many requests that meet a new key, one asks and the others wait.
        let mut held = self.known.lock().await;
        let now = self.clock.now();
        if let Some(known) = held.as_mut()
            && known.trusted.key(kid).is_some()
        {
            if now >= known.stale || known.news != self.source.news() {
                self.refresh(known, now, context).await;
            }
            if now.since(known.as_of) >= TRUSTED_FOR {
                return Err(Error::unavailable("who was revoked could not be found out for too long"));
            }
            // The key may be forgotten by now, which is then said.
            return Ok(known.trusted.clone());
        }
        if let Some(known) = held.as_ref()
            && known.in_vain.is_some_and(|in_vain| now.since(in_vain) < REFETCH_AFTER)
        {
            return Ok(known.trusted.clone());
        }
        let news = self.source.news();
        let trusted = Arc::new(self.source.trusted(Some(kid), context).await?);
        let in_vain = trusted.key(kid).is_none().then_some(now);
        *held = Some(Known { trusted: trusted.clone(), as_of: now, news, stale: now.after(AGE), in_vain });
        Ok(trusted)
    }

    /// Fetches again what is known. If that fails it stays as it is.
    async fn refresh(&self, known: &mut Known, now: Timestamp, context: &Context) {
        // As long as what is known is good, nobody waits for long.
        let is_good = now.since(known.as_of) < TRUSTED_FOR;
        let soon = if is_good { now.after(REFRESH_TIMEOUT) } else { context.deadline };
        let deadline = context.deadline.min(soon);
        let news = self.source.news();
        match self.source.trusted(None, &Context { deadline, ..context.clone() }).await {
            Ok(trusted) => {
                (known.trusted, known.as_of) = (Arc::new(trusted), now);
                (known.news, known.stale) = (news, now.after(AGE));
            }
            Err(error) => {
                tracing::warn!(causes = error.causes(), "the signing keys are not refreshed");
                (known.news, known.stale) = (news, now.after(REFRESH_AGAIN));
            }
        }
    }
}

/// The token in an `Authorization` header (RFC 6750).
fn bearer(authorization: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(authorization)
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"))
        .map(|(_, token)| token)
        .ok_or_else(|| bad_token("The Authorization header must be `Bearer` and an access token."))
}

/// A token whose header is as ours are. Nothing is known yet of the rest.
struct Token<'a> {
    kid: String,
    /// The whole of it.
    sent: &'a str,
    claims: &'a str,
}

impl<'a> Token<'a> {
    fn parse(token: &'a str) -> Result<Self, Error> {
        if token.len() > MAX_TOKEN {
            return Err(bad_token("The access token is too long to be one of ours."));
        }
        let unreadable = || bad_token("The access token cannot be read.");
        let (signed, _) = token.rsplit_once('.').ok_or_else(unreadable)?;
        let (header, claims) = signed.split_once('.').ok_or_else(unreadable)?;
        let header = object(header).ok_or_else(unreadable)?;
        // No `crit`, `jku`, `jwk`, `x5u`, `x5c`, `b64` or `zip`: a header has these three and no more.
        let text = |name: &str| header.get(name).and_then(Value::as_str);
        match (text("alg"), text("typ"), text("kid")) {
            (Some(ALGORITHM_NAME), Some(typ), Some(kid))
                if header.len() == 3 && typ.eq_ignore_ascii_case(TOKEN_TYPE) && is_key_id(kid) =>
            {
                Ok(Self { kid: kid.to_owned(), sent: token, claims })
            }
            _ => Err(bad_token("The access token is not of our kind.")),
        }
    }

    /// What the token says, if this key has signed it and it is good now.
    fn claims(&self, key: &PublicKey, now: Timestamp) -> Result<Claims, Error> {
        // The signature, and once more what the library knows to check. Times are left to the clock that is handed in.
        let mut validation = Validation::new(ALGORITHM);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_exp = false;
        jsonwebtoken::decode::<IgnoredAny>(self.sent, &DecodingKey::from_ed_der(&key.bytes), &validation)
            .map_err(|error| {
                bad_token("The access token's signature or claims are wrong.").caused_by(error)
            })?;
        let claims = object(self.claims).and_then(|claims| Claims::read(&claims));
        let claims = claims.ok_or_else(|| bad_token("The access token does not say what ours say."))?;
        let now = now.seconds();
        if claims.expires_at <= now {
            return Err(bad_token("The access token has expired."));
        }
        if claims.not_before > now.saturating_add(SKEW) {
            return Err(bad_token("The access token is not good yet."));
        }
        Ok(claims)
    }
}

/// What a token says, its form and its consistency checked.
struct Claims {
    user: UserId,
    role: Role,
    epoch: Epoch,
    /// Seconds since 1970, as the others.
    issued_at: i64,
    /// The later of `iat` and `nbf`.
    not_before: i64,
    expires_at: i64,
}

impl Claims {
    /// `None`: a claim is missing, of another type, or does not fit the others. What we do not know is left alone
    /// (RFC 7519, section 4), so that a later version may say more.
    fn read(claims: &Map<String, Value>) -> Option<Self> {
        // Neither lists nor numbers in quotes, with a fraction or beyond 64 bits: serde_json tells them apart.
        let text = |name: &str| claims.get(name)?.as_str();
        let seconds = |name: &str| claims.get(name)?.as_i64();
        if text("iss")? != ISSUER || text("aud")? != AUDIENCE {
            return None;
        }
        let (issued_at, expires_at) = (seconds("iat")?, seconds("exp")?);
        let lifetime = expires_at.checked_sub(issued_at)?;
        let longest = i64::try_from(ACCESS_TOKEN_LIFETIME.as_secs()).ok()?;
        if !(1..=longest).contains(&lifetime) {
            return None;
        }
        let not_before = match claims.get("nbf") {
            Some(nbf) => nbf.as_i64()?.max(issued_at),
            None => issued_at,
        };
        Some(Self {
            user: text("sub")?.parse().ok()?,
            role: Role::parse(text("role")?).ok()?,
            epoch: Epoch::of_jti(text("jti")?)?,
            issued_at,
            not_before,
            expires_at,
        })
    }
}

/// A part of a token: one JSON object without a key that stands twice, in base64url without padding.
fn object(part: &str) -> Option<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    match json::parse_value(&bytes).ok()? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

fn bad_token(detail: &str) -> Error {
    let detail = format!("{detail} Send `Authorization: Bearer` with a new one, which POST /auth gives.");
    Error::new(Kind::Unauthenticated, detail)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::SeqCst;

    use super::*;
    use crate::auth::Signer;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    struct Fixed(Vec<PublicKey>);

    impl KeySource for Fixed {
        fn trusted(&self, _: Option<&str>, _: &Context) -> BoxFuture<'_, Result<Trusted, Error>> {
            Box::pin(async { Ok(self.0.clone().into()) })
        }
    }

    /// Keys that change, a count of who asked, and a clock that is moved.
    #[derive(Default)]
    struct Changing {
        keys: std::sync::Mutex<Vec<PublicKey>>,
        revoked: std::sync::Mutex<Revoked>,
        away: std::sync::atomic::AtomicBool,
        news: std::sync::atomic::AtomicU64,
        asked: std::sync::atomic::AtomicUsize,
        later: std::sync::atomic::AtomicU64,
    }

    impl KeySource for Changing {
        fn trusted(&self, _: Option<&str>, _: &Context) -> BoxFuture<'_, Result<Trusted, Error>> {
            self.asked.fetch_add(1, SeqCst);
            Box::pin(async {
                if self.away.load(SeqCst) {
                    return Err(Error::unavailable("away"));
                }
                Ok(Trusted {
                    keys: self.keys.lock().unwrap().clone(),
                    revoked: self.revoked.lock().unwrap().clone(),
                })
            })
        }

        fn news(&self) -> u64 {
            self.news.load(SeqCst)
        }
    }

    impl Changing {
        fn verifier(self: &Arc<Self>) -> Verifier {
            let this = self.clone();
            Verifier::new(self.clone(), Clock::from_fn(move || this.now()))
        }

        fn now(&self) -> Timestamp {
            NOW.after(Duration::from_secs(self.later.load(SeqCst)))
        }

        fn wait(&self, seconds: u64) {
            self.later.fetch_add(seconds, SeqCst);
        }

        fn holds(&self, signers: &[&Signer]) {
            *self.keys.lock().unwrap() = signers.iter().map(|signer| signer.public_key().clone()).collect();
        }

        fn asked(&self) -> usize {
            self.asked.load(SeqCst)
        }

        async fn lets_in(&self, verifier: &Verifier, signer: &Signer) -> bool {
            let token = signer.access_token(UserId::new(), Role::Customer, self.now()).unwrap();
            self.takes(verifier, &token).await
        }

        async fn takes(&self, verifier: &Verifier, token: &str) -> bool {
            self.answer(verifier, token).await.is_ok()
        }

        async fn answer(&self, verifier: &Verifier, token: &str) -> Result<Caller, Error> {
            verifier.caller(Some(format!("Bearer {token}").as_bytes()), &context(self.now())).await
        }
    }

    #[tokio::test]
    async fn keys_that_follow_one_another_at_once_refuse_nobody() {
        let source = Arc::new(Changing::default());
        let verifier = source.verifier();
        let mut former = signer("a");
        for letter in ["b", "c", "d", "e"] {
            let signer = signer(letter);
            source.holds(&[&signer, &former]);
            assert!(source.lets_in(&verifier, &signer).await, "{letter}");
            assert!(source.lets_in(&verifier, &former).await, "{letter}");
            former = signer;
        }
    }

    #[tokio::test]
    async fn made_up_keys_are_asked_for_once_in_thirty_seconds() {
        let source = Arc::new(Changing::default());
        let verifier = source.verifier();
        source.holds(&[&signer("a")]);
        for letter in ["b", "c", "d"] {
            assert!(!source.lets_in(&verifier, &signer(letter)).await);
        }
        assert_eq!(source.asked(), 1);
        assert!(source.lets_in(&verifier, &signer("a")).await, "a known key is not held up");
        source.wait(30);
        assert!(!source.lets_in(&verifier, &signer("e")).await);
        assert_eq!(source.asked(), 2);
    }

    #[tokio::test]
    async fn a_key_that_no_longer_holds_is_forgotten_within_a_minute() {
        let source = Arc::new(Changing::default());
        let verifier = source.verifier();
        source.holds(&[&signer("a")]);
        assert!(source.lets_in(&verifier, &signer("a")).await);
        source.holds(&[&signer("c"), &signer("b")]);
        source.wait(45);
        assert!(!source.lets_in(&verifier, &signer("a")).await);
    }

    #[tokio::test]
    async fn who_is_revoked_is_refused_when_what_is_known_is_45_seconds_old_and_may_sign_in_again_at_once() {
        let source = Arc::new(Changing::default());
        let (verifier, signer, user) = (source.verifier(), signer("a"), UserId::new());
        source.holds(&[&signer]);
        let token = |epoch| signer.access_token_in(Epoch(epoch), user, Role::Customer, source.now()).unwrap();
        let (before, after) = (token(3), token(4));
        assert!(source.takes(&verifier, &before).await);
        *source.revoked.lock().unwrap() = Revoked::new([(user, Epoch(4))], None);
        source.wait(44);
        assert!(source.takes(&verifier, &before).await);
        source.wait(1);
        // Both were made in the same second.
        assert!(!source.takes(&verifier, &before).await);
        assert!(source.takes(&verifier, &after).await);
        assert!(source.lets_in(&verifier, &signer).await, "somebody else");
        assert_eq!(source.asked(), 2);
    }

    #[tokio::test]
    async fn what_this_process_has_changed_is_known_at_once() {
        let source = Arc::new(Changing::default());
        let (verifier, signer, user) = (source.verifier(), signer("a"), UserId::new());
        source.holds(&[&signer]);
        let token = signer.access_token(user, Role::Customer, source.now()).unwrap();
        assert!(source.takes(&verifier, &token).await);
        *source.revoked.lock().unwrap() = Revoked::new([(user, Epoch(1))], None);
        source.news.fetch_add(1, SeqCst);
        assert!(!source.takes(&verifier, &token).await);
        assert!(!source.takes(&verifier, &token).await);
        assert_eq!(source.asked(), 2);
    }

    #[tokio::test]
    async fn what_is_known_is_trusted_for_five_minutes_while_nobody_answers_and_then_it_is_503() {
        let source = Arc::new(Changing::default());
        let (verifier, signer) = (source.verifier(), signer("a"));
        source.holds(&[&signer]);
        assert!(source.lets_in(&verifier, &signer).await);
        source.away.store(true, SeqCst);
        for _ in 0..4 {
            source.wait(60);
            assert!(source.lets_in(&verifier, &signer).await);
        }
        assert_eq!(source.asked(), 5);
        assert!(source.lets_in(&verifier, &signer).await, "and is not asked at every request");
        assert_eq!(source.asked(), 5);
        source.wait(60);
        for asked in [6, 6] {
            let token = signer.access_token(UserId::new(), Role::Customer, source.now()).unwrap();
            assert_eq!(source.answer(&verifier, &token).await.unwrap_err().kind(), Kind::Unavailable);
            assert_eq!(source.asked(), asked);
        }
        source.away.store(false, SeqCst);
        source.wait(5);
        assert!(source.lets_in(&verifier, &signer).await);
    }

    fn context(deadline: Timestamp) -> Context {
        Context::new(Caller::Anyone, deadline)
    }

    fn signer(letter: &str) -> Signer {
        Signer::from_secret(&letter.repeat(32)).unwrap()
    }

    async fn call(signed_by: &Signer, known: &Signer, later: Duration) -> Result<Caller, Error> {
        let token = signed_by.access_token(UserId::new(), Role::Staff, NOW).unwrap();
        let source = Arc::new(Fixed(vec![known.public_key().clone()]));
        let verifier = Verifier::new(source, Clock::from_fn(move || NOW.after(later)));
        verifier.caller(Some(format!("Bearer {token}").as_bytes()), &context(NOW.after(later))).await
    }

    #[tokio::test]
    async fn a_token_tells_who_is_calling() {
        let ours = signer("a");
        let caller = call(&ours, &ours, Duration::ZERO).await.unwrap();
        assert!(caller.is_staff() && !caller.is_admin());
    }

    #[tokio::test]
    async fn a_token_dies_after_fifteen_minutes() {
        let ours = signer("a");
        assert!(call(&ours, &ours, Duration::from_secs(899)).await.is_ok());
        assert!(call(&ours, &ours, Duration::from_secs(900)).await.is_err());
    }

    #[tokio::test]
    async fn a_token_of_another_key_is_refused() {
        assert!(call(&signer("b"), &signer("a"), Duration::ZERO).await.is_err());
    }
}
