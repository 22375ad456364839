//! Access tokens as they are signed, and the keys to them.
//!
//! Tokens are JWTs (RFC 7519) signed with Ed25519 (RFC 8037) of type `at+jwt`. Only the users function can sign.
//! There is one algorithm, so nothing here or in [`super::verifier`] chooses one.

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

/// How long an access token is good.
pub const ACCESS_TOKEN_LIFETIME: Duration = Duration::from_secs(15 * 60);

pub(super) const ALGORITHM: Algorithm = Algorithm::EdDSA;
/// Its name in a token's header (RFC 8037, section 3.1).
pub(super) const ALGORITHM_NAME: &str = "EdDSA";
pub(super) const TOKEN_TYPE: &str = "at+jwt";
pub(super) const ISSUER: &str = "oms";
pub(super) const AUDIENCE: &str = "oms-api";

/// How many bytes of a public key's hash name it.
const KEY_ID: usize = 12;

/// The claims of an access token.
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

/// Which sessions of a user are meant: a number that rises whenever all that there are must end.
///
/// A token carries the epoch that its user had when it was made, and dies with it. Times would not do: a token has
/// whole seconds, and the clocks of two machines differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub i64);

impl Epoch {
    /// A name for one token that says its epoch: what is `jti` to everybody else.
    fn jti(self) -> String {
        format!("{}.{}", self.0, Uuid::now_v7().simple())
    }

    /// The epoch in the name of a token.
    pub(super) fn of_jti(jti: &str) -> Option<Self> {
        let (epoch, unique) = jti.split_once('.')?;
        let is_ours = epoch.bytes().all(|byte| byte.is_ascii_digit()) && unique.len() == 32;
        epoch.parse().ok().filter(|_| is_ours).map(Self)
    }
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
        let public = PublicKey { kid: key_id(&bytes), bytes };
        Ok(Self { key: EncodingKey::from_ed_der(&pkcs8(&seed)), public })
    }

    /// What verifies the tokens of this signer.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// An access token for a user whose sessions were never ended.
    ///
    /// # Errors
    /// Only when the key is damaged.
    pub fn access_token(&self, user: UserId, role: Role, now: Timestamp) -> Result<String, Error> {
        self.access_token_in(Epoch::default(), user, role, now)
    }

    /// An access token for a user in this epoch.
    ///
    /// # Errors
    /// Only when the key is damaged.
    pub fn access_token_in(
        &self,
        epoch: Epoch,
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
            jti: epoch.jti(),
        };
        jsonwebtoken::encode(&header, &claims, &self.key).map_err(Error::internal)
    }
}

/// A seed in the form that `jsonwebtoken` hands to its provider: PKCS #8 (RFC 8410, section 7).
fn pkcs8(seed: &[u8; 32]) -> Vec<u8> {
    const PREFIX: [u8; 16] =
        [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    [PREFIX.as_slice(), seed].concat()
}

/// A name for a key that follows from the key alone.
fn key_id(public: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, public);
    URL_SAFE_NO_PAD.encode(&hash.as_ref()[..KEY_ID])
}

/// Whether this may be the name of a key of ours: nothing else is looked for.
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
    fn the_name_of_a_token_says_its_epoch() {
        for epoch in [0, 7, i64::MAX].map(Epoch) {
            assert_eq!(Epoch::of_jti(&epoch.jti()), Some(epoch));
        }
        let unique = "0".repeat(32);
        for other in ["", "7", "7.", ".7", "x.7", &unique, &format!("-1.{unique}"), &format!("+1.{unique}")] {
            assert_eq!(Epoch::of_jti(other), None, "{other:?}");
        }
        assert_eq!(Epoch::of_jti(&format!("9223372036854775808.{unique}")), None);
        assert_eq!(Epoch::of_jti(&format!(".{unique}")), None);
    }

    #[test]
    fn only_what_a_key_of_ours_could_be_called_is_looked_for() {
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
