//! Tokens that were verified: a signature is checked once, and not with every request of its token.
//!
//! Tokens are kept by their SHA-256, so that no token stands in memory for longer than its request. Times, revocations
//! and the key itself are checked with every request all the same.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ring::digest::{SHA256, digest};

use super::Claims;
use crate::auth::tokens::PublicKey;

/// Maximum number of tokens. Each takes some 200 bytes.
const MAX: usize = 1_000;

/// SHA-256 of a token.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct TokenHash([u8; 32]);

impl TokenHash {
    /// Hashes a token as it was sent.
    pub(super) fn of(token: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(bytes)
    }
}

/// Token whose signature and claims were checked.
#[derive(Clone)]
pub(super) struct VerifiedToken {
    /// Key that has signed it.
    pub(super) key: PublicKey,
    /// Its claims.
    pub(super) claims: Claims,
}

/// Cache of verified tokens.
#[derive(Default)]
pub(super) struct VerifiedTokens(Mutex<HashMap<TokenHash, VerifiedToken>>);

impl VerifiedTokens {
    /// Finds a token.
    pub(super) fn find(&self, hash: TokenHash) -> Option<VerifiedToken> {
        self.lock().get(&hash).cloned()
    }

    /// Keeps a token. `now` is in seconds since 1970. A full cache loses the expired ones, or else all.
    pub(super) fn keep(&self, hash: TokenHash, token: VerifiedToken, now: i64) {
        let mut tokens = self.lock();
        if tokens.len() >= MAX {
            tokens.retain(|_, token| token.claims.expires_at > now);
        }
        if tokens.len() >= MAX {
            tokens.clear();
        }
        tokens.insert(hash, token);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TokenHash, VerifiedToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }
}
