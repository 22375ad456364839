//! The session of a member of staff: a sealed cookie, and nothing on the server.
//!
//! The cookie carries the tokens of the caller, encrypted and authenticated (ChaCha20-Poly1305, RFC 8439). The
//! browser can neither read nor change them. A cookie that cannot be opened is no session.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use proto::users::v1::AuthenticateResponse;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use shared::auth::Role;
use shared::error::Error;
use shared::values::clock::Timestamp;

mod rotation;
#[cfg(test)]
pub(crate) mod tests;

pub use rotation::SealRotation;

/// Name of the cookie. By its prefix browsers take it from this host alone, over HTTPS alone, for all paths.
const COOKIE_NAME: &str = "__Host-oms-console";

/// Attributes of the cookie. Without `Max-Age` it ends with the browser.
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Strict";

/// Text that every sealed value is bound to. Another form of [`Session`] needs another version.
const SEALED_FOR: &[u8] = b"__Host-oms-console v2";

/// Longest value that is opened, in bytes. Browsers keep 4 KiB at most.
const MAX_VALUE: usize = 4_096;

/// Time without use after which a session ends.
///
/// It runs from the last use that the cookie notes. See [`NOTE_USE`].
const IDLE: Duration = Duration::from_secs(12 * 60 * 60);

/// Time after which a use is noted in the cookie anew. An exchange of tokens for a page or a form notes one, too.
///
/// It is the life of an access token. So it is needed only beside polls, which exchange tokens and are no use.
const NOTE_USE: Duration = Duration::from_secs(15 * 60);

/// Bytes of the token in forms: 128 bits.
const CSRF_BYTES: usize = 16;

/// Keys that seal the cookies of sessions: the first one seals, and each of them opens. Clones share them.
#[derive(Clone)]
pub struct SealKey(Arc<RwLock<Vec<Key>>>);

/// Bytes of a key of ChaCha20-Poly1305.
const KEY_BYTES: usize = 32;

type Key = [u8; KEY_BYTES];

impl SealKey {
    /// Rule for the secret: at least 32 bytes.
    ///
    /// # Errors
    /// Message with the number of bytes.
    pub fn check_secret(secret: impl AsRef<[u8]>) -> Result<(), String> {
        match secret.as_ref().len() {
            KEY_BYTES.. => Ok(()),
            bytes => Err(format!("must have at least {KEY_BYTES} bytes; got {bytes}")),
        }
    }

    /// Derives the key from a secret (HKDF-SHA-256, RFC 5869). The same secret gives the same key.
    ///
    /// # Errors
    /// Message if the secret has less than 32 bytes.
    pub fn from_secret(secret: impl AsRef<[u8]>) -> Result<Self, String> {
        Ok(Self(Arc::new(RwLock::new(vec![derived(secret.as_ref())?]))))
    }

    /// Creates a key that no other process has. Its sessions end with the process.
    pub fn random() -> Self {
        Self(Arc::new(RwLock::new(vec![rand::random()])))
    }

    /// Replaces the keys: the first of these secrets seals from now on. Without a good one nothing changes.
    fn replace<'a>(&self, secrets: impl IntoIterator<Item = &'a str>) {
        let keys: Vec<Key> = secrets.into_iter().filter_map(|it| derived(it.as_bytes()).ok()).collect();
        if !keys.is_empty() {
            *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys;
        }
    }

    fn keys(&self) -> Vec<Key> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Key that seals.
    fn key(&self) -> Option<LessSafeKey> {
        usable(self.keys().first()?)
    }

    /// Seals bytes: a random nonce, the ciphertext, its tag. `None` if the system has no random bytes.
    fn seal(&self, mut bytes: Vec<u8>) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let unique = Nonce::assume_unique_for_key(nonce);
        self.key()?.seal_in_place_append_tag(unique, Aad::from(SEALED_FOR), &mut bytes).ok()?;
        Some(URL_SAFE_NO_PAD.encode([nonce.as_slice(), &bytes].concat()))
    }

    /// Opens what [`Self::seal`] has sealed. `None` for anything else.
    fn open(&self, sealed: &str) -> Option<Vec<u8>> {
        if sealed.len() > MAX_VALUE {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, bytes) = sealed.split_first_chunk::<NONCE_LEN>()?;
        self.keys().iter().find_map(|key| {
            let (nonce, mut bytes) = (Nonce::assume_unique_for_key(*nonce), bytes.to_vec());
            let opened = usable(key)?.open_in_place(nonce, Aad::from(SEALED_FOR), &mut bytes).ok()?;
            Some(opened.to_vec())
        })
    }
}

fn derived(secret: &[u8]) -> Result<Key, String> {
    SealKey::check_secret(secret)?;
    let mut bytes = [0; KEY_BYTES];
    hkdf::Salt::new(hkdf::HKDF_SHA256, b"oms")
        .extract(secret)
        .expand(&[b"console session cookie, ChaCha20-Poly1305"], hkdf::HKDF_SHA256)
        .and_then(|key| key.fill(&mut bytes))
        .map_err(|_| "cannot be made a key".to_owned())?;
    Ok(bytes)
}

fn usable(key: &Key) -> Option<LessSafeKey> {
    UnboundKey::new(&CHACHA20_POLY1305, key).ok().map(LessSafeKey::new)
}

/// Session of a signed-in member of staff.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Session {
    access_token: String,
    /// End of the access token, in milliseconds since 1970.
    expires_at: i64,
    refresh_token: String,
    user: String,
    email: String,
    role: String,
    csrf: String,
    /// Time of the last use, in milliseconds since 1970.
    used_at: i64,
}

/// Claims of an access token that the console reads.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    role: String,
}

impl Claims {
    /// Reads the claims of a token without verifying it: it has come from users, over a channel that is trusted.
    fn of(token: &str) -> Option<Self> {
        let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        serde_json::from_slice(&payload).ok()
    }

    fn is_staff(&self) -> bool {
        matches!(Role::parse(&self.role), Ok(Role::Staff | Role::Admin))
    }
}

impl Session {
    /// Begins a session with the tokens of a sign-in. `None` for a user who is no staff.
    ///
    /// # Errors
    /// 500 for a token without claims, or if the system has no random bytes.
    pub(crate) fn begin(
        tokens: AuthenticateResponse,
        email: &str,
        now: Timestamp,
    ) -> Result<Option<Self>, Error> {
        let claims = Claims::of(&tokens.access_token)
            .ok_or_else(|| Error::internal("an access token without claims"))?;
        if !claims.is_staff() {
            return Ok(None);
        }
        let mut csrf = [0; CSRF_BYTES];
        let no_random = |_| Error::internal("the system has no random bytes");
        SystemRandom::new().fill(&mut csrf).map_err(no_random)?;
        Ok(Some(Self {
            expires_at: end(tokens.expires_in, now),
            access_token: tokens.access_token,
            refresh_token: tokens.refresh_token,
            user: claims.sub,
            email: email.to_owned(),
            role: claims.role,
            csrf: URL_SAFE_NO_PAD.encode(csrf),
            used_at: now.millis(),
        }))
    }

    /// The same session with new tokens. `None` if its user is no staff any more.
    pub(crate) fn renewed(&self, tokens: AuthenticateResponse, now: Timestamp) -> Option<Self> {
        let claims = Claims::of(&tokens.access_token).filter(Claims::is_staff)?;
        Some(Self {
            expires_at: end(tokens.expires_in, now),
            access_token: tokens.access_token,
            refresh_token: tokens.refresh_token,
            role: claims.role,
            used_at: now.millis(),
            ..self.clone()
        })
    }

    /// Opens the cookie of a request. `None` without one that can be opened. The session may be idle.
    pub(crate) fn of(headers: &HeaderMap, key: &SealKey) -> Option<Self> {
        serde_json::from_slice(&key.open(cookie(headers)?)?).ok()
    }

    /// True if the session has ended, for it was not used for too long.
    pub(crate) fn is_idle(&self, now: Timestamp) -> bool {
        self.unused_for(now) >= IDLE
    }

    /// The same session, used now. `None` if the last use that it notes is recent.
    pub(crate) fn used(&self, now: Timestamp) -> Option<Self> {
        (self.unused_for(now) >= NOTE_USE).then(|| Self { used_at: now.millis(), ..self.clone() })
    }

    /// The same session, with the last use of another.
    pub(crate) fn last_used_as(self, other: &Self) -> Self {
        Self { used_at: other.used_at, ..self }
    }

    /// Time since the last use.
    fn unused_for(&self, now: Timestamp) -> Duration {
        now.since(Timestamp::from_millis(self.used_at))
    }

    /// Value of `Set-Cookie` that keeps the session. `None` if it cannot be sealed.
    pub(crate) fn cookie(&self, key: &SealKey) -> Option<HeaderValue> {
        let sealed = key.seal(serde_json::to_vec(self).ok()?)?;
        HeaderValue::from_str(&format!("{COOKIE_NAME}={sealed}; {ATTRIBUTES}")).ok()
    }

    /// True if the access token ends within this time or has ended.
    pub(crate) fn ends_within(&self, time: Duration, now: Timestamp) -> bool {
        Timestamp::from_millis(self.expires_at).since(now) < time
    }

    /// True if the access token has ended.
    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at <= now.millis()
    }

    pub(crate) fn access_token(&self) -> &str {
        &self.access_token
    }

    pub(crate) fn refresh_token(&self) -> &str {
        &self.refresh_token
    }

    /// ID of the user.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// E-mail address of the sign-in.
    pub(crate) fn email(&self) -> &str {
        &self.email
    }

    /// True for admins.
    pub(crate) fn is_admin(&self) -> bool {
        Role::parse(&self.role) == Ok(Role::Admin)
    }

    /// Token that forms of this session carry.
    pub(crate) fn csrf(&self) -> &str {
        &self.csrf
    }
}

/// End of an access token that lives for so many seconds.
fn end(expires_in: i64, now: Timestamp) -> i64 {
    now.millis().saturating_add(expires_in.saturating_mul(1000))
}

/// True if a request has the cookie, good or not.
pub(crate) fn has_cookie(headers: &HeaderMap) -> bool {
    cookie(headers).is_some()
}

/// Value of `Set-Cookie` that ends the session in the browser.
pub(crate) fn cleared() -> HeaderValue {
    let value = format!("{COOKIE_NAME}=; {ATTRIBUTES}; Max-Age=0");
    HeaderValue::from_str(&value).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Value of the cookie.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let pairs = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = pairs.flat_map(|value| value.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))
}
