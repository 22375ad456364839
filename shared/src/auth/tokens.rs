//! Access tokens as they are signed, and the keys to them.
//!
//! Tokens are JWTs signed with Ed25519 (RFC 8037) of type `at+jwt`. Only the users function can sign.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ring::signature::{Ed25519KeyPair, KeyPair};
use ring::{digest, hkdf};
use serde::{Deserialize, Serialize};

use super::Role;
use crate::clock::Timestamp;
use crate::crypto;
use crate::error::Error;
use crate::ids::UserId;

/// How long an access token is good.
pub const ACCESS_TOKEN_LIFETIME: Duration = Duration::from_secs(15 * 60);

pub(super) const ISSUER: &str = "oms";
pub(super) const AUDIENCE: &str = "oms-api";
pub(super) const TOKEN_TYPE: &str = "at+jwt";

/// The claims of an access token.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    iss: String,
    aud: String,
    pub(super) sub: String,
    pub(super) role: Role,
    iat: i64,
    pub(super) exp: i64,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(letter: &str) -> Signer {
        Signer::from_secret(&letter.repeat(32)).unwrap()
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
