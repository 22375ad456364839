//! Verifies access tokens with public keys alone, as RFC 8725 says.
//!
//! Functions fetch the public keys from the users function, and keep them.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use tokio::sync::Mutex;

use super::Caller;
use super::tokens::{AUDIENCE, Claims, ISSUER, PublicKey, TOKEN_TYPE};
use crate::clock::{Clock, Timestamp};
use crate::context::Context;
use crate::crypto;
use crate::error::{Error, Kind};

/// Ours have less than 500 bytes; nothing larger is worth parsing.
const MAX_TOKEN: usize = 2048;

/// How long no keys are fetched for a `kid` that is not known, after such a fetch was in vain.
///
/// A fetch that brings the key does not count: the next rotation may follow at once, and must refuse nobody.
/// What this bounds is a caller who makes up one `kid` after the other.
const REFETCH_AFTER: Duration = Duration::from_secs(30);

/// How old known keys may be before they are fetched again, so that those which no longer hold are forgotten.
const KEYS_AGE: Duration = Duration::from_secs(45);

/// How long that may take, and how long it is not tried again when it failed. The known keys are used meanwhile.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(2);
const REFRESH_AGAIN: Duration = Duration::from_secs(10);

/// Where public keys come from.
pub trait KeySource: Send + Sync {
    /// The keys that verify tokens now, asked for on behalf of the request of `context`, within its deadline. `kid`
    /// is the key that was met and not known, if that is why they are asked for.
    fn keys(&self, kid: Option<&str>, context: &Context) -> BoxFuture<'_, Result<Vec<PublicKey>, Error>>;
}

/// Verifies access tokens with public keys alone.
#[derive(Clone)]
pub struct Verifier {
    clock: Clock,
    source: Arc<dyn KeySource>,
    known: Arc<Mutex<KnownKeys>>,
}

#[derive(Default)]
struct KnownKeys {
    keys: Vec<PublicKey>,
    /// When the known keys are to be fetched again.
    stale: Option<Timestamp>,
    /// When they were last fetched for a key that was not among them.
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
        let token = std::str::from_utf8(authorization)
            .ok()
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"))
            .map(|(_, token)| token)
            .ok_or_else(|| bad_token("The Authorization header must be `Bearer` and an access token."))?;
        if token.len() > MAX_TOKEN {
            return Err(bad_token("The access token is too long to be one of ours."));
        }
        let header = jsonwebtoken::decode_header(token)
            .map_err(|error| bad_token("The access token cannot be read.").caused_by(error))?;
        let typed = header.typ.as_deref().is_some_and(|typ| typ.eq_ignore_ascii_case(TOKEN_TYPE));
        if header.alg != Algorithm::EdDSA || !typed {
            return Err(bad_token("The access token is not of our kind."));
        }
        let kid = header.kid.ok_or_else(|| bad_token("The access token names no key."))?;
        let key = self.key(&kid, context).await?;
        let claims = self.verify(token, &key)?;
        let id = claims.sub.parse().map_err(|_| bad_token("The access token names no user."))?;
        Ok(Caller::User { id, role: claims.role })
    }

    async fn key(&self, kid: &str, context: &Context) -> Result<PublicKey, Error> {
        // Held while fetching: of many requests that meet a new key, one asks and the others wait.
        let mut known = self.known.lock().await;
        let find = |keys: &[PublicKey]| keys.iter().find(|key| key.kid == kid).cloned();
        let now = self.clock.now();
        if find(&known.keys).is_some() && known.stale.is_some_and(|stale| now >= stale) {
            let deadline = context.deadline.min(now.after(REFRESH_TIMEOUT));
            match self.source.keys(None, &Context { deadline, ..context.clone() }).await {
                Ok(keys) => (known.keys, known.stale) = (keys, Some(now.after(KEYS_AGE))),
                Err(error) => {
                    tracing::warn!(causes = error.causes(), "the signing keys are not refreshed");
                    known.stale = Some(now.after(REFRESH_AGAIN));
                }
            }
        }
        if let Some(key) = find(&known.keys) {
            return Ok(key);
        }
        if known.in_vain.is_none_or(|in_vain| now.since(in_vain) >= REFETCH_AFTER) {
            known.keys = self.source.keys(Some(kid), context).await?;
            known.stale = Some(now.after(KEYS_AGE));
            known.in_vain = if find(&known.keys).is_none() { Some(now) } else { None };
        }
        find(&known.keys).ok_or_else(|| bad_token("The access token is signed with an unknown key."))
    }

    fn verify(&self, token: &str, key: &PublicKey) -> Result<Claims, Error> {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Checked below, with our clock.
        validation.validate_exp = false;
        let claims =
            jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_ed_der(&key.bytes), &validation)
                .map_err(|error| bad_token("The access token is not valid.").caused_by(error))?
                .claims;
        if claims.exp <= self.clock.now().seconds() {
            return Err(bad_token("The access token has expired; get a new one from POST /auth."));
        }
        Ok(claims)
    }
}

fn bad_token(detail: &str) -> Error {
    Error::new(Kind::Unauthenticated, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Role, Signer};
    use crate::ids::UserId;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    struct Fixed(Vec<PublicKey>);

    impl KeySource for Fixed {
        fn keys(&self, _: Option<&str>, _: &Context) -> BoxFuture<'_, Result<Vec<PublicKey>, Error>> {
            Box::pin(async { Ok(self.0.clone()) })
        }
    }

    /// Keys that change, a count of who asked, and a clock that is moved.
    #[derive(Default)]
    struct Changing {
        keys: std::sync::Mutex<Vec<PublicKey>>,
        asked: std::sync::atomic::AtomicUsize,
        later: std::sync::atomic::AtomicU64,
    }

    impl KeySource for Changing {
        fn keys(&self, _: Option<&str>, _: &Context) -> BoxFuture<'_, Result<Vec<PublicKey>, Error>> {
            self.asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Box::pin(async { Ok(self.keys.lock().unwrap().clone()) })
        }
    }

    impl Changing {
        fn verifier(self: &Arc<Self>) -> Verifier {
            let this = self.clone();
            Verifier::new(self.clone(), Clock::from_fn(move || this.now()))
        }

        fn now(&self) -> Timestamp {
            NOW.after(Duration::from_secs(self.later.load(std::sync::atomic::Ordering::SeqCst)))
        }

        fn wait(&self, seconds: u64) {
            self.later.fetch_add(seconds, std::sync::atomic::Ordering::SeqCst);
        }

        fn holds(&self, signers: &[&Signer]) {
            *self.keys.lock().unwrap() = signers.iter().map(|signer| signer.public_key().clone()).collect();
        }

        fn asked(&self) -> usize {
            self.asked.load(std::sync::atomic::Ordering::SeqCst)
        }

        async fn lets_in(&self, verifier: &Verifier, signer: &Signer) -> bool {
            let token = signer.access_token(UserId::new(), Role::Customer, self.now()).unwrap();
            verifier.caller(Some(format!("Bearer {token}").as_bytes()), &context(self.now())).await.is_ok()
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
