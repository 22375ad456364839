//! Verification of access tokens with public keys (RFC 8725) and with the revocation list.
//!
//! This is an allowlist: each allowed header and claim is written down, and every other token is refused. So
//! no attack needs to be known by name. Claims are not parsed before the signature is verified. Functions
//! fetch public keys and recent revocations from the users function, and cache them.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::BoxFuture;
use jsonwebtoken::{DecodingKey, Validation};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::revocation::Revoked;
use super::tokens::{
    ACCESS_TOKEN_LIFETIME, ALGORITHM, ALGORITHM_NAME, AUDIENCE, Epoch, ISSUER, PublicKey, TOKEN_TYPE,
    is_key_id,
};
use super::{Caller, Role};
use crate::error::{Error, Kind};
use crate::input::json;
use crate::runtime::context::Context;
use crate::runtime::crypto;
use crate::values::clock::{Clock, Timestamp};
use crate::values::ids::UserId;

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
const REFRESH_AFTER: Duration = Duration::from_secs(45);

/// Timeout of a refresh, and the time until the next try after a failure. The cached keys are used meanwhile.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(2);
const REFRESH_RETRY: Duration = Duration::from_secs(5);

/// Maximum age of cached keys while refreshing fails. Beyond it, requests with a token are answered 503,
/// since later revocations are unknown.
const MAX_AGE: Duration = Duration::from_secs(5 * 60);

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
    /// Fetches the current keys and revocations on behalf of the request of `context`, within its deadline.
    /// `kid` is the unknown key that caused the fetch, if any.
    fn keys(&self, kid: Option<&str>, context: &Context) -> BoxFuture<'_, Result<TrustedKeys, Error>>;

    /// Number that rises when this process itself changes the keys or revocations. Cached ones are then
    /// refreshed before they are old.
    fn generation(&self) -> u64 {
        0
    }
}

/// Verifier of access tokens, with a cache of public keys and revocations. Clones share the cache.
#[derive(Clone)]
pub struct Verifier {
    clock: Clock,
    source: Arc<dyn KeySource>,
    cache: Arc<Mutex<Option<CachedKeys>>>,
}

/// Cached result of a fetch.
struct CachedKeys {
    trusted: Arc<TrustedKeys>,
    /// Time just before the fetch: the keys are as of then or later.
    fetched_at: Timestamp,
    generation: u64,
    /// Time of the next refresh.
    refresh_at: Timestamp,
    /// Time of the last fetch that did not bring the requested key.
    missed_at: Option<Timestamp>,
}

impl Verifier {
    /// Creates a verifier with an empty cache; it asks `source` at the first token.
    pub fn new(source: Arc<dyn KeySource>, clock: Clock) -> Self {
        crypto::install();
        Self { clock, source, cache: Arc::default() }
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
        let Some(authorization) = authorization else { return Ok(Caller::Anonymous) };
        let token = Token::parse(bearer(authorization)?)?;
        let trusted = self.keys(&token.kid, context).await?;
        let key = trusted
            .key(&token.kid)
            .ok_or_else(|| bad_token("The access token is signed with an unknown key."))?;
        let claims = token.claims(key, self.clock.now())?;
        if trusted.revoked.includes(claims.user, claims.epoch, claims.issued_at) {
            return Err(bad_token("The session of this access token has ended."));
        }
        Ok(Caller::User { id: claims.user, role: claims.role })
    }

    /// Returns the current keys, with this key if it exists.
    async fn keys(&self, kid: &str, context: &Context) -> Result<Arc<TrustedKeys>, Error> {
        // The lock is held while fetching: of many requests with a new key, one fetches and the others wait.
        let mut held = self.cache.lock().await;
        let now = self.clock.now();
        if let Some(cached) = held.as_mut()
            && cached.trusted.key(kid).is_some()
        {
            if now >= cached.refresh_at || cached.generation != self.source.generation() {
                self.refresh(cached, now, context).await;
            }
            if now.since(cached.fetched_at) >= MAX_AGE {
                return Err(Error::unavailable("the revocation list could not be fetched for 5 minutes"));
            }
            // The refresh may have dropped the key; the caller then refuses the token.
            return Ok(cached.trusted.clone());
        }
        if let Some(cached) = held.as_ref()
            && cached.missed_at.is_some_and(|missed_at| now.since(missed_at) < REFETCH_AFTER)
        {
            return Ok(cached.trusted.clone());
        }
        let generation = self.source.generation();
        let trusted = Arc::new(self.source.keys(Some(kid), context).await?);
        let missed_at = trusted.key(kid).is_none().then_some(now);
        *held = Some(CachedKeys {
            trusted: trusted.clone(),
            fetched_at: now,
            generation,
            refresh_at: now.after(REFRESH_AFTER),
            missed_at,
        });
        Ok(trusted)
    }

    /// Refreshes the cache. After a failure it stays as it is.
    async fn refresh(&self, cached: &mut CachedKeys, now: Timestamp, context: &Context) {
        // While the cached keys are valid, a request must not wait for long.
        let is_good = now.since(cached.fetched_at) < MAX_AGE;
        let soon = if is_good { now.after(REFRESH_TIMEOUT) } else { context.deadline };
        let deadline = context.deadline.min(soon);
        let generation = self.source.generation();
        match self.source.keys(None, &Context { deadline, ..context.clone() }).await {
            Ok(trusted) => {
                (cached.trusted, cached.fetched_at) = (Arc::new(trusted), now);
                (cached.generation, cached.refresh_at) = (generation, now.after(REFRESH_AFTER));
            }
            Err(error) => {
                tracing::warn!(causes = error.causes(), "cannot refresh the signing keys");
                (cached.generation, cached.refresh_at) = (generation, now.after(REFRESH_RETRY));
            }
        }
    }
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

    /// Returns the claims if this key has signed the token and it is valid at `now`.
    fn claims(&self, key: &PublicKey, now: Timestamp) -> Result<Claims, Error> {
        // Verifies the signature, and also the claims that the library can check. Times are checked below, by
        // the injected clock.
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
        let claims = claims.ok_or_else(|| bad_token("The access token has unexpected claims."))?;
        let now = now.seconds();
        if claims.expires_at <= now {
            return Err(bad_token("The access token has expired."));
        }
        if claims.not_before > now.saturating_add(SKEW) {
            return Err(bad_token("The access token is not valid yet."));
        }
        Ok(claims)
    }
}

/// Claims of a token, checked for form and consistency.
struct Claims {
    user: UserId,
    role: Role,
    epoch: Epoch,
    /// Time of issue (`iat`), in seconds since 1970 like the other times.
    issued_at: i64,
    /// Later of `iat` and `nbf`.
    not_before: i64,
    expires_at: i64,
}

impl Claims {
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
            epoch: Epoch::of_jti(text("jti")?)?,
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
