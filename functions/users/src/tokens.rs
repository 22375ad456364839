//! The public half of our own signing key: for our own routes, and for the other functions.

use futures::future::BoxFuture;
use shared::auth::{KeySource, PublicKey, Signer};
use shared::clock::Timestamp;
use shared::error::Error;

/// The keys that verify what this function signs.
#[derive(Clone)]
pub struct OwnKeys(Vec<PublicKey>);

impl OwnKeys {
    /// The keys of this signer.
    pub fn of(signer: &Signer) -> Self {
        Self(vec![signer.public_key().clone()])
    }

    /// The keys, for other functions.
    pub fn public_keys(&self) -> &[PublicKey] {
        &self.0
    }
}

impl KeySource for OwnKeys {
    fn keys(&self, _: &str, _: Timestamp) -> BoxFuture<'_, Result<Vec<PublicKey>, Error>> {
        Box::pin(async { Ok(self.0.clone()) })
    }
}
