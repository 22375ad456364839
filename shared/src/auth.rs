//! Who is calling: roles, access tokens, and the keys that verify them.
//!
//! Tokens are JWTs signed with Ed25519 (RFC 8037) of type `at+jwt`; RFC 8725 says what to check. Only the
//! users function can sign; all others fetch the public keys and keep them.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::signature::{Ed25519KeyPair, KeyPair};
use ring::{digest, hkdf};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::clock::{Clock, Timestamp};
use crate::context::Context;
use crate::crypto;
use crate::error::{Error, Kind};
use crate::ids::UserId;

/// How long an access token is good.
pub const ACCESS_TOKEN_LIFETIME: Duration = Duration::from_secs(15 * 60);

const ISSUER: &str = "oms";
const AUDIENCE: &str = "oms-api";
const TOKEN_TYPE: &str = "at+jwt";

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

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Orders for themselves.
    Customer,
    /// Runs the shop.
    Staff,
    /// Runs the shop, and its people.
    Admin,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 3] = [Self::Customer, Self::Staff, Self::Admin];

    /// The name in JSON, tokens and the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Staff => "staff",
            Self::Admin => "admin",
        }
    }

    /// A rule for [`crate::faults::Faults`].
    ///
    /// # Errors
    /// Which roles there are.
    pub fn parse(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|role| role.name() == name)
            .ok_or_else(|| "must be customer, staff or admin".to_owned())
    }
}

/// Who is calling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Nobody that we know.
    Anyone,
    /// A user who has signed in.
    User {
        /// Who it is.
        id: UserId,
        /// What they may do, as of when they signed in.
        role: Role,
    },
    /// Another function, for itself.
    System,
}

impl Caller {
    /// Whether the caller runs the shop.
    pub fn is_staff(self) -> bool {
        match self {
            Self::User { role, .. } => matches!(role, Role::Staff | Role::Admin),
            Self::System => true,
            Self::Anyone => false,
        }
    }

    /// Whether the caller runs the shop's people.
    pub fn is_admin(self) -> bool {
        matches!(self, Self::System | Self::User { role: Role::Admin, .. })
    }

    /// # Errors
    /// 403 unless it is another function, for itself.
    pub fn another_function(self) -> Result<(), Error> {
        if self == Self::System { Ok(()) } else { Err(Error::forbidden("Only other functions may do this.")) }
    }

    /// Which user it is, if any.
    pub fn user_id(self) -> Option<UserId> {
        match self {
            Self::User { id, .. } => Some(id),
            Self::Anyone | Self::System => None,
        }
    }

    /// # Errors
    /// 401 unless a user has signed in.
    pub fn signed_in(self) -> Result<UserId, Error> {
        self.user_id().ok_or_else(|| {
            Error::new(Kind::Unauthenticated, "Send `Authorization: Bearer` with a token from POST /auth.")
        })
    }
}

impl std::fmt::Display for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Anyone => f.write_str("anyone"),
            Self::User { id, .. } => id.fmt(f),
            Self::System => f.write_str("system"),
        }
    }
}

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Anyone,
    /// Every user who has signed in.
    SignedIn,
    /// Staff and admins.
    Staff,
    /// Admins alone.
    Admin,
}

impl Access {
    /// # Errors
    /// 401 without a token, 403 for another role.
    pub fn check(self, caller: Caller) -> Result<(), Error> {
        match self {
            Self::Anyone => Ok(()),
            Self::SignedIn => caller.signed_in().map(|_| ()),
            Self::Staff => {
                if caller == Caller::Anyone {
                    caller.signed_in()?;
                }
                if caller.is_staff() { Ok(()) } else { Err(Error::forbidden("Only staff may do this.")) }
            }
            Self::Admin => {
                if caller == Caller::Anyone {
                    caller.signed_in()?;
                }
                if caller.is_admin() { Ok(()) } else { Err(Error::forbidden("Only admins may do this.")) }
            }
        }
    }
}

/// The claims of an access token.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    role: Role,
    iat: i64,
    exp: i64,
    jti: String,
}

/// Signs access tokens. Only the users function has one.
pub struct Signer {
    key: EncodingKey,
    public: PublicKey,
}

/// An Ed25519 public key and the name under which tokens refer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// The `kid` in a token's header.
    pub kid: String,
    /// 32 bytes (RFC 8032).
    pub bytes: Vec<u8>,
}

impl Signer {
    /// The rule for the secret.
    ///
    /// # Errors
    /// When it has less than 32 bytes.
    pub fn check_secret(secret: &str) -> Result<(), String> {
        match secret.len() {
            32.. => Ok(()),
            bytes => Err(format!("must have at least 32 bytes, and has {bytes}")),
        }
    }

    /// Derives the key from the secret (HKDF-SHA-256, RFC 5869): the same secret, the same key.
    ///
    /// # Errors
    /// When the secret has less than 32 bytes.
    pub fn from_secret(secret: &str) -> Result<Self, String> {
        crypto::install();
        Self::check_secret(secret).map_err(|problem| format!("JWT_SECRET {problem}"))?;
        let mut seed = [0; 32];
        hkdf::Salt::new(hkdf::HKDF_SHA256, b"oms")
            .extract(secret.as_bytes())
            .expand(&[b"access token signing key, Ed25519"], hkdf::HKDF_SHA256)
            .and_then(|key| key.fill(&mut seed))
            .map_err(|_| "the signing key cannot be derived".to_owned())?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed)
            .map_err(|_| "the signing key cannot be derived".to_owned())?;
        let bytes = pair.public_key().as_ref().to_vec();
        let kid = key_id(&bytes);
        Ok(Self { key: EncodingKey::from_ed_der(&pkcs8(&seed)), public: PublicKey { kid, bytes } })
    }

    /// What verifies the tokens of this signer.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// An access token for a user.
    ///
    /// # Errors
    /// Only when the key is damaged.
    pub fn access_token(&self, user: UserId, role: Role, now: Timestamp) -> Result<String, Error> {
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: user.to_string(),
            role,
            iat: now.seconds(),
            exp: now.after(ACCESS_TOKEN_LIFETIME).seconds(),
            jti: uuid::Uuid::now_v7().simple().to_string(),
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some(self.public.kid.clone());
        jsonwebtoken::encode(&header, &claims, &self.key).map_err(Error::internal)
    }
}

/// A name for a key that follows from the key alone.
fn key_id(public: &[u8]) -> String {
    use base64::Engine as _;
    let hash = digest::digest(&digest::SHA256, public);
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&hash.as_ref()[..12])
}

/// A seed in the form that `jsonwebtoken` hands to its provider: PKCS #8 (RFC 8410, section 7).
fn pkcs8(seed: &[u8; 32]) -> Vec<u8> {
    const PREFIX: [u8; 16] =
        [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    [PREFIX.as_slice(), seed].concat()
}

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

    #[test]
    fn a_weak_secret_is_refused() {
        assert!(Signer::from_secret("too short").is_err());
    }

    #[test]
    fn the_same_secret_gives_the_same_key() {
        assert_eq!(signer("a").public_key(), signer("a").public_key());
        assert_ne!(signer("a").public_key(), signer("b").public_key());
    }
}
