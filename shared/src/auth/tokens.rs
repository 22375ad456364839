//! Signing of access tokens, and the keys for it.
//!
//! Tokens are JWTs (RFC 7519) of type `at+jwt`, signed with Ed25519 (RFC 8037). Only the users function can
//! sign. There is one algorithm, so nothing here or in [`super::verifier`] chooses one.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ring::signature::{Ed25519KeyPair, KeyPair};
use ring::{digest, hkdf};
use serde::Serialize;
use uuid::Uuid;

use super::Role;
use crate::error::Error;
use crate::runtime::crypto;
use crate::values::clock::Timestamp;
use crate::values::ids::UserId;

/// Lifetime of an access token: 15 minutes.
pub const ACCESS_TOKEN_LIFETIME: Duration = Duration::from_secs(15 * 60);

pub(super) const ALGORITHM: Algorithm = Algorithm::EdDSA;
/// Name of the algorithm in a token's header (RFC 8037, section 3.1).
pub(super) const ALGORITHM_NAME: &str = "EdDSA";
pub(super) const TOKEN_TYPE: &str = "at+jwt";
pub(super) const ISSUER: &str = "oms";
pub(super) const AUDIENCE: &str = "oms-api";

/// Bytes of a public key's hash that form its `kid`.
const KEY_ID: usize = 12;

/// Claims of an access token.
#[derive(Serialize)]
struct Claims {
    iss: &'static str,
    aud: &'static str,
    sub: String,
    role: Role,
    iat: i64,
    exp: i64,
    jti: String,
}

/// Generation of a user's sessions: a number that rises when all existing sessions must end.
///
/// A token carries the epoch its user had at issue, and is invalid once the epoch has risen. Times would not
/// do: JWT times have whole seconds, and the clocks of two machines differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub i64);

/// ID of a session as its access tokens name it. It says nothing about the session's refresh tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(pub [u8; SESSION_ID]);

/// Bytes of a [`SessionId`].
const SESSION_ID: usize = 16;

/// Origin of an access token: the epoch of its user, and its session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenOrigin {
    /// Epoch of the user at issue.
    pub epoch: Epoch,
    /// Session; `None` in tokens of earlier builds, and in those that belong to no session.
    pub session: Option<SessionId>,
}

/// First character of the second part of a `jti` that names a session. No hexadecimal digit, so it tells these
/// `jti`s from the others.
const SESSION_MARK: char = 's';

/// Length of the second part of a `jti`. Earlier builds require it.
const JTI_UNIQUE: usize = 32;

/// Random bytes of a `jti` that names a session.
const JTI_RANDOM: usize = 6;

impl TokenOrigin {
    /// Creates a `jti` that contains the origin: `EPOCH.UNIQUE`, or `EPOCH.sSESSION.UNIQUE`. Other readers see
    /// a unique ID.
    fn jti(self) -> String {
        let epoch = self.epoch.0;
        match self.session {
            None => format!("{epoch}.{}", Uuid::now_v7().simple()),
            Some(SessionId(id)) => {
                let random = Uuid::new_v4();
                let unique = random.as_bytes().first_chunk::<JTI_RANDOM>().copied().unwrap_or_default();
                let (id, unique) = (URL_SAFE_NO_PAD.encode(id), URL_SAFE_NO_PAD.encode(unique));
                format!("{epoch}.{SESSION_MARK}{id}.{unique}")
            }
        }
    }

    /// Reads the origin out of a `jti`.
    pub(super) fn of_jti(jti: &str) -> Option<Self> {
        let (epoch, unique) = jti.split_once('.')?;
        let is_well_formed = epoch.bytes().all(|byte| byte.is_ascii_digit()) && unique.len() == JTI_UNIQUE;
        let epoch = epoch.parse().ok().filter(|_| is_well_formed).map(Epoch)?;
        let session = match unique.strip_prefix(SESSION_MARK) {
            None => None,
            Some(named) => {
                let (id, _) = named.split_once('.')?;
                Some(SessionId(URL_SAFE_NO_PAD.decode(id).ok()?.try_into().ok()?))
            }
        };
        Some(Self { epoch, session })
    }
}

/// Signer of access tokens. Only the users function has one.
pub struct Signer {
    key: EncodingKey,
    public: PublicKey,
}

/// Ed25519 public key with the `kid` by which tokens refer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// Value of `kid` in a token's header.
    pub kid: String,
    /// Key of 32 bytes (RFC 8032).
    pub bytes: Vec<u8>,
}

impl Signer {
    /// Rule for the signing secret: at least 32 bytes.
    ///
    /// # Errors
    /// Message with the number of bytes.
    pub fn check_secret(secret: &str) -> Result<(), String> {
        match secret.len() {
            32.. => Ok(()),
            bytes => Err(format!("must have at least 32 bytes; got {bytes}")),
        }
    }

    /// Derives the key from the secret (HKDF-SHA-256, RFC 5869). The same secret gives the same key.
    ///
    /// # Errors
    /// Message if the secret has less than 32 bytes.
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
        let public = PublicKey { kid: key_id(&bytes), bytes };
        Ok(Self { key: EncodingKey::from_ed_der(&pkcs8(&seed)), public })
    }

    /// Public key that verifies the tokens of this signer.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Signs an access token for a user in epoch 0, whose sessions were never ended.
    ///
    /// # Errors
    /// 500 if the key is damaged.
    pub fn access_token(&self, user: UserId, role: Role, now: Timestamp) -> Result<String, Error> {
        self.access_token_in(TokenOrigin::default(), user, role, now)
    }

    /// Signs an access token of this origin.
    ///
    /// # Errors
    /// 500 if the key is damaged.
    pub fn access_token_in(
        &self,
        origin: TokenOrigin,
        user: UserId,
        role: Role,
        now: Timestamp,
    ) -> Result<String, Error> {
        let mut header = Header::new(ALGORITHM);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some(self.public.kid.clone());
        let claims = Claims {
            iss: ISSUER,
            aud: AUDIENCE,
            sub: user.to_string(),
            role,
            iat: now.seconds(),
            exp: now.after(ACCESS_TOKEN_LIFETIME).seconds(),
            jti: origin.jti(),
        };
        jsonwebtoken::encode(&header, &claims, &self.key).map_err(Error::internal)
    }
}

/// Encodes a seed as PKCS #8 (RFC 8410, section 7), the form that `jsonwebtoken` passes to its provider.
fn pkcs8(seed: &[u8; 32]) -> Vec<u8> {
    const PREFIX: [u8; 16] =
        [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    [PREFIX.as_slice(), seed].concat()
}

/// Derives the `kid` from the key alone.
fn key_id(public: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, public);
    URL_SAFE_NO_PAD.encode(&hash.as_ref()[..KEY_ID])
}

/// Returns true if `kid` has the form of our key IDs. Others are never looked up.
pub(super) fn is_key_id(kid: &str) -> bool {
    URL_SAFE_NO_PAD.decode(kid).is_ok_and(|bytes| bytes.len() == KEY_ID)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(letter: &str) -> Signer {
        Signer::from_secret(&letter.repeat(32)).unwrap()
    }

    #[test]
    fn a_jti_contains_its_epoch_and_session() {
        for epoch in [0, 7, i64::MAX].map(Epoch) {
            for session in [None, Some([0; 16]), Some([0xff; 16]), Some(*b"sixteen bytes...")] {
                let origin = TokenOrigin { epoch, session: session.map(SessionId) };
                assert_eq!(TokenOrigin::of_jti(&origin.jti()), Some(origin));
                assert_ne!(origin.jti(), origin.jti());
            }
        }
        let unique = "0".repeat(32);
        for other in ["", "7", "7.", ".7", "x.7", &unique, &format!("-1.{unique}"), &format!("+1.{unique}")] {
            assert_eq!(TokenOrigin::of_jti(other), None, "{other:?}");
        }
        assert_eq!(TokenOrigin::of_jti(&format!("9223372036854775808.{unique}")), None);
        assert_eq!(TokenOrigin::of_jti(&format!(".{unique}")), None);
        // The mark of a session, without one.
        for broken in ["0".repeat(31), format!("{}.{}", "A".repeat(21), "A".repeat(9)), ".".repeat(31)] {
            assert_eq!(TokenOrigin::of_jti(&format!("7.s{broken}")), None, "{broken}");
        }
    }

    #[test]
    fn a_jti_has_the_length_that_earlier_builds_require() {
        for session in [None, Some(SessionId([7; 16]))] {
            let jti = TokenOrigin { epoch: Epoch(3), session }.jti();
            assert_eq!(jti.split_once('.').map(|(epoch, rest)| (epoch, rest.len())), Some(("3", 32)));
        }
    }

    #[test]
    fn only_well_formed_key_ids_are_looked_up() {
        assert!(is_key_id(&signer("a").public_key().kid));
        for other in ["", "../../etc/passwd", "' OR 1=1 --", "AAAAAAAAAAAAAAAA=", "AAAAAAAAAAAAAAA", "key\0"]
        {
            assert!(!is_key_id(other), "{other:?}");
        }
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
