//! Refresh tokens: what a client keeps, and what is kept of it. No I/O.
//!
//! All tokens that follow from one sign-in are a family. A token names its family, and has a secret of its own. The
//! family remembers a hash of the secret of its latest token: every other token that was made for it is spent. So that
//! one which was never made, since somebody mistyped or cut it, is not taken for a spent one, a token also carries a
//! check of itself.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{Context, SHA256};
use ring::rand::{SecureRandom as _, SystemRandom};
use shared::error::Error;

/// What every token begins with, so that people and scanners know what they have found.
const PREFIX: &str = "oms_rt_";

const FAMILY: usize = 16;
const SECRET: usize = 32;
const CHECK: usize = 4;

/// A family of tokens: 128 random bits, which nobody knows who has had none of its tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Family(pub [u8; FAMILY]);

/// A refresh token. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken {
    family: Family,
    secret: [u8; SECRET],
}

impl RefreshToken {
    /// The first of a new family.
    ///
    /// # Errors
    /// When the machine gives no random numbers.
    pub fn first() -> Result<Self, Error> {
        let mut family = [0; FAMILY];
        fill(&mut family)?;
        Self { family: Family(family), secret: [0; SECRET] }.next()
    }

    /// The one after it, of the same family.
    ///
    /// # Errors
    /// When the machine gives no random numbers.
    pub fn next(&self) -> Result<Self, Error> {
        let mut secret = [0; SECRET];
        fill(&mut secret)?;
        Ok(Self { family: self.family, secret })
    }

    /// A token as a client has sent it. `None`: we have made no such token.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
        let (family, rest) = bytes.split_first_chunk::<FAMILY>()?;
        let (secret, check) = rest.split_first_chunk::<SECRET>()?;
        let token = Self { family: Family(*family), secret: *secret };
        (check == token.check()).then_some(token)
    }

    /// The token as a client keeps it.
    pub fn text(&self) -> String {
        let bytes = [self.family.0.as_slice(), &self.secret, &self.check()].concat();
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Which tokens it belongs to.
    pub fn family(&self) -> Family {
        self.family
    }

    /// What is kept of it: a SHA-256. The secret has 256 random bits, so that nothing slower is needed.
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
    fn what_was_never_made_is_no_token() {
        let text = RefreshToken::first().unwrap().text();
        for place in 0..text.len() {
            let mut other = text.clone();
            let letter = if &text[place..=place] == "A" { "B" } else { "A" };
            other.replace_range(place..=place, letter);
            assert!(RefreshToken::parse(&other).is_none(), "{place}");
        }
        for other in
            ["", PREFIX, &text[1..], &text[..text.len() - 1], &format!("{text}A"), &format!(" {text}")]
        {
            assert!(RefreshToken::parse(other).is_none());
        }
    }

    #[test]
    fn a_token_is_never_printed() {
        let token = RefreshToken::first().unwrap();
        assert_eq!(format!("{token:?}"), "RefreshToken(…)");
    }
}
