//! Verification of access tokens with public keys (RFC 8725) and with the revocation list.
//!
//! This is an allowlist: each allowed header and claim is written down, and every other token is refused. So
//! no attack needs to be known by name. Claims are not parsed before the signature is verified. Functions
//! fetch public keys and recent revocations from the users function, and cache them.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::BoxFuture;
use jsonwebtoken::{DecodingKey, Validation};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use self::verified::{TokenHash, VerifiedToken, VerifiedTokens};
use super::revocation::Revoked;
use super::tokens::{
    ACCESS_TOKEN_LIFETIME, ALGORITHM, ALGORITHM_NAME, AUDIENCE, ISSUER, PublicKey, TOKEN_TYPE, TokenOrigin,
    is_key_id,
};
use super::{Caller, Role};
use crate::error::{Error, Kind};
use crate::input::json;
use crate::runtime::context::Context;
use crate::runtime::crypto;
use crate::values::clock::{Clock, Timestamp};
use crate::values::ids::UserId;

mod verified;

/// Maximum length of a token in bytes. Our tokens have less than 500; longer ones are not parsed.
const MAX_TOKEN: usize = 1024;

/// Seconds by which the clock of the signer may be ahead.
const SKEW: i64 = 30;

/// Time without further fetches for unknown `kid`s, after a fetch that did not bring the requested key.
///
/// This time does not start after a fetch that brings the key. The next rotation may follow at once, and no
/// valid token may be refused. The limit is for callers who make up one `kid` after the other.
const REFETCH_AFTER: Duration = Duration::from_secs(30);

/// Age at which the cached keys are refreshed. So retired keys are dropped, and revocations are known, within
/// a minute.
pub const REFRESH_AFTER: Duration = Duration::from_secs(45);

/// Timeout of a refresh, and the time until the next try after a failure. The cached keys are used meanwhile.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(2);
const REFRESH_RETRY: Duration = Duration::from_secs(5);

/// Maximum age of cached keys while refreshing fails. Beyond it, requests with a token are answered 503,
/// since later revocations are unknown.
const MAX_AGE: Duration = Duration::from_secs(5 * 60);

/// Timeout of a fetch for an unknown key while other keys are known.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// Timeout of a fetch while nothing is cached, or what is cached has expired.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Public keys and revocations at some moment.
#[derive(Clone, Debug, Default)]
pub struct TrustedKeys {
    /// Keys that verify tokens.
    pub keys: Vec<PublicKey>,
    /// Users whose tokens are refused although a key verifies them.
    pub revoked: Revoked,
}

impl From<Vec<PublicKey>> for TrustedKeys {
    /// Creates it without revocations.
    fn from(keys: Vec<PublicKey>) -> Self {
        Self { keys, revoked: Revoked::default() }
    }
}

impl TrustedKeys {
    fn key(&self, kid: &str) -> Option<&PublicKey> {
        self.keys.iter().find(|key| key.kid == kid)
    }
}

/// Source of public keys and revocations.
pub trait KeySource: Send + Sync {
    /// Fetches the current keys and revocations within the deadline of `context`, which is the verifier's own.
    /// `kid` is the unknown key that caused the fetch, if any.
    fn keys(&self, kid: Option<&str>, context: &Context) -> BoxFuture<'_, Result<TrustedKeys, Error>>;

    /// Number that rises when this process itself changes the keys or revocations. Cached ones are then
    /// refreshed before they are old.
    fn generation(&self) -> u64 {
        0
    }
}

/// Caller of a request, as the access token identifies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Caller.
    pub caller: Caller,
    /// Origin of the access token, if there is one.
    pub token: Option<TokenOrigin>,
}

impl Identity {
    /// Identity of a caller without an access token.
    pub const ANONYMOUS: Self = Self { caller: Caller::Anonymous, token: None };
}

impl From<Caller> for Identity {
    /// Creates the identity of a caller that is known without an access token.
    fn from(caller: Caller) -> Self {
        Self { caller, token: None }
    }
}

/// Verifier of access tokens, with a cache of public keys and revocations. Clones share the cache.
#[derive(Clone)]
pub struct Verifier {
    clock: Clock,
    source: Arc<dyn KeySource>,
    cache: Arc<Cache>,
    verified: Arc<VerifiedTokens>,
}

/// Cache of a verifier. Its locks are apart, so that a request with a known key waits for no other request: not
/// for one that looks for an unknown key, and for a refresh only if the cached keys may not be used.
#[derive(Default)]
struct Cache {
    /// Latest fetched keys. Locked for a moment, never while fetching.
    held: RwLock<Held>,
    /// Held by the request that refreshes known keys.
    refreshing: Mutex<()>,
    /// Held by the request that looks for an unknown key.
    looking: Mutex<Looking>,
}

/// Latest result, and the last failure since.
#[derive(Clone, Default)]
struct Held {
    cached: Option<Arc<CachedKeys>>,
    failed: Option<FailedRefresh>,
}

/// Cached result of a fetch.
struct CachedKeys {
    trusted: Arc<TrustedKeys>,
    /// Time just before the fetch: the keys are as of then or later.
    fetched_at: Timestamp,
    generation: u64,
}

/// Refresh that has failed since the last result.
#[derive(Clone, Copy)]
struct FailedRefresh {
    retry_at: Timestamp,
    generation: u64,
}

/// Results of looking for unknown keys.
#[derive(Default)]
struct Looking {
    /// Time of the last fetch that did not bring the requested key.
    missed_at: Option<Timestamp>,
    /// Time of the last failure.
    failed_at: Option<Timestamp>,
}

impl Cache {
    fn held(&self) -> Held {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stores a result, unless a later one is stored already.
    fn store(&self, fetched: CachedKeys) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let is_later = |cached: &Arc<CachedKeys>| cached.fetched_at > fetched.fetched_at;
        if !held.cached.as_ref().is_some_and(is_later) {
            *held = Held { cached: Some(Arc::new(fetched)), failed: None };
        }
    }

    fn note_failure(&self, failed: FailedRefresh) {
        self.held.write().unwrap_or_else(PoisonError::into_inner).failed = Some(failed);
    }
}

impl Held {
    /// Returns the cached keys if this key is one of them.
    fn with_key(&self, kid: &str) -> Option<&Arc<CachedKeys>> {
        self.cached.as_ref().filter(|cached| cached.trusted.key(kid).is_some())
    }

    /// Generation that the cached keys have, or that a refresh has failed to fetch.
    fn generation(&self) -> Option<u64> {
        self.failed.map(|failed| failed.generation).or(Some(self.cached.as_ref()?.generation))
    }

    /// Time of the next refresh.
    fn refresh_at(&self) -> Option<Timestamp> {
        let after_success = || self.cached.as_ref().map(|cached| cached.fetched_at.after(REFRESH_AFTER));
        self.failed.map(|failed| failed.retry_at).or_else(after_success)
    }

    /// Returns true if the cached keys are too old to be used while refreshing fails.
    fn is_expired(&self, now: Timestamp) -> bool {
        self.cached.as_ref().is_none_or(|cached| now.since(cached.fetched_at) >= MAX_AGE)
    }
}

impl Verifier {
    /// Creates a verifier with an empty cache; it asks `source` at the first token.
    pub fn new(source: Arc<dyn KeySource>, clock: Clock) -> Self {
        crypto::install();
        Self { clock, source, cache: Arc::default(), verified: Arc::default() }
    }

    /// Clock that decides whether a token has expired.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Identifies the caller by the `Authorization` header of the request of `context`.
    ///
    /// # Errors
    /// 401 for an invalid header; 503 if the keys cannot be fetched.
    pub async fn caller(&self, authorization: Option<&[u8]>, context: &Context) -> Result<Caller, Error> {
        self.identify(authorization, context).await.map(|identity| identity.caller)
    }

    /// Identifies the caller, with the origin of the access token.
    ///
    /// # Errors
    /// 401 for an invalid header; 503 if the keys cannot be fetched.
    pub async fn identify(&self, authorization: Option<&[u8]>, context: &Context) -> Result<Identity, Error> {
        let Some(authorization) = authorization else { return Ok(Identity::ANONYMOUS) };
        let sent = bearer(authorization)?;
        let hash = TokenHash::of(sent);
        let known = self.verified.find(hash);
        let kid = match &known {
            Some(token) => token.key.kid.clone(),
            None => Token::parse(sent)?.kid,
        };
        let trusted = self.keys(&kid, context).await?;
        let key =
            trusted.key(&kid).ok_or_else(|| bad_token("The access token is signed with an unknown key."))?;
        let now = self.clock.now();
        // Another key may have taken over the ID.
        let known = known.filter(|token| token.key == *key);
        let is_new = known.is_none();
        let claims = match known {
            Some(token) => token.claims,
            None => Token::parse(sent)?.claims(key)?,
        };
        claims.check_times(now)?;
        if is_new {
            self.verified.keep(hash, VerifiedToken { key: key.clone(), claims }, now.seconds());
        }
        let Claims { user, role, origin, issued_at, .. } = claims;
        if trusted.revoked.includes(user, role, origin, issued_at) {
            return Err(session_ended());
        }
        Ok(Identity { caller: Caller::User { id: user, role }, token: Some(origin) })
    }

    /// Returns the current keys, with this key if it exists.
    async fn keys(&self, kid: &str, context: &Context) -> Result<Arc<TrustedKeys>, Error> {
        if self.cache.held().with_key(kid).is_some() {
            return self.known_keys(context).await;
        }
        // One request fetches. Others with an unknown key wait for it, and requests with a known key do not.
        let left = context.deadline.since(self.clock.now());
        let looking = tokio::time::timeout(left, self.cache.looking.lock()).await;
        let mut looking =
            looking.map_err(|_| Error::unavailable("the signing keys were not fetched in time"))?;
        let (now, held) = (self.clock.now(), self.cache.held());
        if held.with_key(kid).is_some() {
            drop(looking);
            return self.known_keys(context).await;
        }
        let is_within = |at: Option<Timestamp>, pause| at.is_some_and(|at| now.since(at) < pause);
        let mut time = FETCH_TIMEOUT;
        if let Some(cached) = held.cached {
            if is_within(looking.missed_at, REFETCH_AFTER) {
                return Ok(cached.trusted.clone());
            }
            if is_within(looking.failed_at, REFRESH_RETRY) {
                return Err(Error::unavailable("the signing keys could not be fetched a moment ago"));
            }
            // Most tokens are signed with a known key: a missing one is looked for in less time.
            time = LOOK_UP_TIMEOUT;
        }
        match self.fetch(Some(kid), now, time, context).await {
            Ok(trusted) => {
                (looking.missed_at, looking.failed_at) = (trusted.key(kid).is_none().then_some(now), None);
                Ok(trusted)
            }
            Err(error) => {
                looking.failed_at = Some(now);
                Err(error)
            }
        }
    }

    /// Returns the cached keys, after a refresh if one is due and no other request is refreshing.
    async fn known_keys(&self, context: &Context) -> Result<Arc<TrustedKeys>, Error> {
        let now = self.clock.now();
        if self.is_due(&self.cache.held(), now) {
            let held = self.cache.held();
            // Other requests use what is cached meanwhile. It is not used once it has expired, or once this
            // process itself has changed keys or revocations.
            let turn = if held.is_expired(now) || held.generation() != Some(self.source.generation()) {
                Some(self.cache.refreshing.lock().await)
            } else {
                self.cache.refreshing.try_lock().ok()
            };
            if turn.is_some() && self.is_due(&self.cache.held(), now) {
                self.refresh(now, context).await;
            }
        }
        let held = self.cache.held();
        match held.cached {
            Some(ref cached) if !held.is_expired(now) => Ok(cached.trusted.clone()),
            _ => Err(Error::unavailable("the revocation list could not be fetched for 5 minutes")),
        }
    }

    fn is_due(&self, held: &Held, now: Timestamp) -> bool {
        held.refresh_at().is_none_or(|at| now >= at) || held.generation() != Some(self.source.generation())
    }

    /// Refreshes the cache. After a failure it stays as it is.
    async fn refresh(&self, now: Timestamp, context: &Context) {
        // While the cached keys are valid, a request must not wait for long.
        let is_expired = self.cache.held().is_expired(now);
        let time = if is_expired { FETCH_TIMEOUT } else { REFRESH_TIMEOUT };
        let generation = self.source.generation();
        if let Err(error) = self.fetch(None, now, time, context).await {
            tracing::warn!(causes = error.causes(), "cannot refresh the signing keys");
            self.cache.note_failure(FailedRefresh { retry_at: now.after(REFRESH_RETRY), generation });
        }
    }

    /// Fetches keys and revocations within this time, and caches them.
    async fn fetch(
        &self,
        kid: Option<&str>,
        now: Timestamp,
        time: Duration,
        context: &Context,
    ) -> Result<Arc<TrustedKeys>, Error> {
        let generation = self.source.generation();
        // The result is for all callers. A client chooses the deadline of its own request alone.
        let context = Context { deadline: now.after(time), ..context.clone() };
        // The source keeps to the deadline by itself. This is for one that hangs.
        let fetched = tokio::time::timeout(time, self.source.keys(kid, &context)).await;
        let late = |_| Err(Error::unavailable("the signing keys were not fetched in time"));
        let trusted = Arc::new(fetched.unwrap_or_else(late)?);
        self.cache.store(CachedKeys { trusted: trusted.clone(), fetched_at: now, generation });
        Ok(trusted)
    }
}

/// Error (401) for an access token whose session has ended.
pub fn session_ended() -> Error {
    bad_token("The session of this access token has ended.")
}

/// Reads the token from an `Authorization` header (RFC 6750).
fn bearer(authorization: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(authorization)
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"))
        .map(|(_, token)| token)
        .ok_or_else(|| bad_token("The `Authorization` header must be `Bearer <access token>`."))
}

/// Token with a checked header. Its claims and signature are not checked yet.
struct Token<'a> {
    kid: String,
    /// Complete token as sent.
    sent: &'a str,
    claims: &'a str,
}

impl<'a> Token<'a> {
    fn parse(token: &'a str) -> Result<Self, Error> {
        if token.len() > MAX_TOKEN {
            return Err(bad_token("The access token is too long."));
        }
        let unreadable = || bad_token("The access token cannot be read.");
        let (signed, _) = token.rsplit_once('.').ok_or_else(unreadable)?;
        let (header, claims) = signed.split_once('.').ok_or_else(unreadable)?;
        let header = object(header).ok_or_else(unreadable)?;
        // Exactly three header members: no `crit`, `jku`, `jwk`, `x5u`, `x5c`, `b64` or `zip`.
        let text = |name: &str| header.get(name).and_then(Value::as_str);
        match (text("alg"), text("typ"), text("kid")) {
            (Some(ALGORITHM_NAME), Some(typ), Some(kid))
                if header.len() == 3 && typ.eq_ignore_ascii_case(TOKEN_TYPE) && is_key_id(kid) =>
            {
                Ok(Self { kid: kid.to_owned(), sent: token, claims })
            }
            _ => Err(bad_token("The access token has an unexpected header.")),
        }
    }

    /// Returns the claims if this key has signed the token. Their times are still to be checked.
    fn claims(&self, key: &PublicKey) -> Result<Claims, Error> {
        // Verifies the signature, and also the claims that the library can check.
        let mut validation = Validation::new(ALGORITHM);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_exp = false;
        jsonwebtoken::decode::<IgnoredAny>(self.sent, &DecodingKey::from_ed_der(&key.bytes), &validation)
            .map_err(|error| {
                bad_token("The signature or the claims of the access token are invalid.").caused_by(error)
            })?;
        let claims = object(self.claims).and_then(|claims| Claims::read(&claims));
        claims.ok_or_else(|| bad_token("The access token has unexpected claims."))
    }
}

/// Claims of a token, checked for form and consistency.
#[derive(Clone, Copy)]
struct Claims {
    user: UserId,
    role: Role,
    origin: TokenOrigin,
    /// Time of issue (`iat`), in seconds since 1970 like the other times.
    issued_at: i64,
    /// Later of `iat` and `nbf`.
    not_before: i64,
    expires_at: i64,
}

impl Claims {
    /// Checks that the token is valid at `now`, by the injected clock.
    fn check_times(&self, now: Timestamp) -> Result<(), Error> {
        let now = now.seconds();
        if self.expires_at <= now {
            return Err(bad_token("The access token has expired."));
        }
        if self.not_before > now.saturating_add(SKEW) {
            return Err(bad_token("The access token is not valid yet."));
        }
        Ok(())
    }

    /// Reads the claims. `None` if a claim is missing, has another type, or contradicts another one. Unknown
    /// claims are ignored (RFC 7519, section 4), so that a later version may add some.
    fn read(claims: &Map<String, Value>) -> Option<Self> {
        // This excludes lists, and numbers in quotes, with a fraction or beyond 64 bits: serde_json keeps
        // them apart.
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
            origin: TokenOrigin::of_jti(text("jti")?)?,
            issued_at,
            not_before,
            expires_at,
        })
    }
}

/// Decodes a part of a token: base64url without padding, of one JSON object without duplicate keys.
fn object(part: &str) -> Option<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    match json::parse_value(&bytes).ok()? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

fn bad_token(detail: &str) -> Error {
    let detail = format!("{detail} Get a new one with `POST /auth`.");
    Error::new(Kind::Unauthenticated, detail)
}

#[cfg(test)]
mod tests;
