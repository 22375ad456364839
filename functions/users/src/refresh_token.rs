//! Refresh tokens: the text that a client keeps, and the hash that is stored. No I/O.
//!
//! All tokens that follow from one sign-in are a family. A token names its family, and has a secret of its
//! own. The family stores a hash of the secret of each good token: every other token is spent. A token also
//! carries a checksum. So a mistyped or cut token is not taken for a spent one.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{Context, SHA256};
use ring::rand::{SecureRandom as _, SystemRandom};
use shared::auth::SessionId;
use shared::error::Error;

/// Prefix of every token, by which people and secret scanners recognise it.
const PREFIX: &str = "oms_rt_";

const FAMILY: usize = 16;
const SECRET: usize = 32;
const CHECK: usize = 4;

/// Bytes of the ID of a session.
const SESSION: usize = 16;

/// Family of tokens: 128 random bits, known only to holders of one of its tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Family(pub [u8; FAMILY]);

/// Refresh token. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken {
    family: Family,
    secret: [u8; SECRET],
}

impl Family {
    /// ID of the session in access tokens. A hash, since whoever knows a family can pass for a holder of one of
    /// its spent tokens, and end it.
    pub fn session(self) -> SessionId {
        let mut hash = Context::new(&SHA256);
        hash.update(b"session");
        hash.update(&self.0);
        let mut id = [0; SESSION];
        id.copy_from_slice(hash.finish().as_ref().get(..SESSION).unwrap_or(&[0; SESSION]));
        SessionId(id)
    }
}

impl RefreshToken {
    /// Creates the first token of a new family.
    ///
    /// # Errors
    /// Fails when the machine has no random numbers.
    pub fn first() -> Result<Self, Error> {
        let mut family = [0; FAMILY];
        fill(&mut family)?;
        Self { family: Family(family), secret: [0; SECRET] }.next()
    }

    /// Creates the next token of the same family.
    ///
    /// # Errors
    /// Fails when the machine has no random numbers.
    pub fn next(&self) -> Result<Self, Error> {
        let mut secret = [0; SECRET];
        fill(&mut secret)?;
        Ok(Self { family: self.family, secret })
    }

    /// Parses a token as a client has sent it. `None`: it was never issued.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
        let (family, rest) = bytes.split_first_chunk::<FAMILY>()?;
        let (secret, check) = rest.split_first_chunk::<SECRET>()?;
        let token = Self { family: Family(*family), secret: *secret };
        (check == token.check()).then_some(token)
    }

    /// Text of the token, for the client.
    pub fn text(&self) -> String {
        let bytes = [self.family.0.as_slice(), &self.secret, &self.check()].concat();
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Family of the token.
    pub fn family(&self) -> Family {
        self.family
    }

    /// SHA-256 to store. The secret has 256 random bits, so that nothing slower is needed.
    pub fn hash(&self) -> [u8; 32] {
        self.digest(b"kept")
    }

    fn check(&self) -> [u8; CHECK] {
        let [a, b, c, d, ..] = self.digest(b"check");
        [a, b, c, d]
    }

    fn digest(&self, purpose: &[u8]) -> [u8; 32] {
        let mut hash = Context::new(&SHA256);
        for part in [purpose, &self.family.0, &self.secret] {
            hash.update(part);
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(hash.finish().as_ref());
        bytes
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken(…)")
    }
}

fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    SystemRandom::new().fill(bytes).map_err(|_| Error::internal("the machine gives no random numbers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written() {
        let first = RefreshToken::first().unwrap();
        let next = first.next().unwrap();
        assert!(first.family() == next.family() && first.hash() != next.hash());
        for token in [&first, &next] {
            assert!(RefreshToken::parse(&token.text()).as_ref() == Some(token));
        }
        assert!(RefreshToken::first().unwrap().family() != first.family());
    }

    #[test]
    fn a_token_that_was_never_issued_is_refused() {
        let text = RefreshToken::first().unwrap().text();
        for index in 0..text.len() {
            let mut other = text.clone();
            let letter = if &text[index..=index] == "A" { "B" } else { "A" };
            other.replace_range(index..=index, letter);
            assert!(RefreshToken::parse(&other).is_none(), "{index}");
        }
        for other in
            ["", PREFIX, &text[1..], &text[..text.len() - 1], &format!("{text}A"), &format!(" {text}")]
        {
            assert!(RefreshToken::parse(other).is_none());
        }
    }

    #[test]
    fn a_family_has_one_session_that_does_not_tell_the_family() {
        let (one, other) = (RefreshToken::first().unwrap(), RefreshToken::first().unwrap());
        assert_eq!(one.family().session(), one.next().unwrap().family().session());
        assert_ne!(one.family().session(), other.family().session());
        assert_ne!(one.family().session().0, one.family().0);
    }

    #[test]
    fn a_token_is_never_printed() {
        let token = RefreshToken::first().unwrap();
        assert_eq!(format!("{token:?}"), "RefreshToken(…)");
    }
}
