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
pub struct TrustedKeys {
    /// The keys that verify tokens.
    pub keys: Vec<PublicKey>,
    /// Whose tokens are no longer good, though a key verifies them.
    pub revoked: Revoked,
}

impl From<Vec<PublicKey>> for TrustedKeys {
    /// Nobody is revoked.
    fn from(keys: Vec<PublicKey>) -> Self {
        Self { keys, revoked: Revoked::default() }
    }
}

impl TrustedKeys {
    fn key(&self, kid: &str) -> Option<&PublicKey> {
        self.keys.iter().find(|key| key.kid == kid)
    }
}

/// Where public keys come from.
pub trait KeySource: Send + Sync {
    /// What holds now, asked for on behalf of the request of `context`, within its deadline. `kid` is the key that was
    /// met and not known, if that is why it is asked for.
    fn keys(&self, kid: Option<&str>, context: &Context) -> BoxFuture<'_, Result<TrustedKeys, Error>>;

    /// A number that rises when this process itself has changed what holds: who asks need not wait until what they
    /// know is old.
    fn generation(&self) -> u64 {
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
    trusted: Arc<TrustedKeys>,
    /// It held then, or later.
    as_of: Timestamp,
    generation: u64,
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
        let Some(authorization) = authorization else { return Ok(Caller::Anonymous) };
        let token = Token::parse(bearer(authorization)?)?;
        let trusted = self.keys(&token.kid, context).await?;
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
    async fn keys(&self, kid: &str, context: &Context) -> Result<Arc<TrustedKeys>, Error> {
        // Held while fetching: of many requests that meet a new key, one asks and the others wait.
        let mut held = self.known.lock().await;
        let now = self.clock.now();
        if let Some(known) = held.as_mut()
            && known.trusted.key(kid).is_some()
        {
            if now >= known.stale || known.generation != self.source.generation() {
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
        let generation = self.source.generation();
        let trusted = Arc::new(self.source.keys(Some(kid), context).await?);
        let in_vain = trusted.key(kid).is_none().then_some(now);
        *held =
            Some(Known { trusted: trusted.clone(), as_of: now, generation, stale: now.after(AGE), in_vain });
        Ok(trusted)
    }

    /// Fetches again what is known. If that fails it stays as it is.
    async fn refresh(&self, known: &mut Known, now: Timestamp, context: &Context) {
        // As long as what is known is good, nobody waits for long.
        let is_good = now.since(known.as_of) < TRUSTED_FOR;
        let soon = if is_good { now.after(REFRESH_TIMEOUT) } else { context.deadline };
        let deadline = context.deadline.min(soon);
        let generation = self.source.generation();
        match self.source.keys(None, &Context { deadline, ..context.clone() }).await {
            Ok(trusted) => {
                (known.trusted, known.as_of) = (Arc::new(trusted), now);
                (known.generation, known.stale) = (generation, now.after(AGE));
            }
            Err(error) => {
                tracing::warn!(causes = error.causes(), "the signing keys are not refreshed");
                (known.generation, known.stale) = (generation, now.after(REFRESH_AGAIN));
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
mod tests;
