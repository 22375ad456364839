//! The signing keys: the one that signs, the one before it, and who may know their public halves.
//!
//! The current secret signs. The previous one still verifies, so that tokens which were signed before a
//! rotation live out their fifteen minutes. Each environment of this function sees a rotation for itself: when
//! what it knows is a minute old, or as soon as it meets a key that it does not know, because another
//! environment signs with it already.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use shared::auth::{KeySource, PublicKey, Role, Signer};
use shared::clock::{Clock, Timestamp};
use shared::error::Error;
use shared::ids::UserId;
use shared::secrets::{Secret, SecretSource};
use tokio::sync::Mutex;

/// How old the secret may be before it is fetched again, in the course of a request.
const AGE: Duration = Duration::from_secs(60);

/// How long that may take; what is known is used when it takes longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long it is not fetched for a key that is not known, after that was in vain. It bounds a caller who
/// makes up one `kid` after the other.
const AGAIN_IN_VAIN: Duration = Duration::from_secs(30);

/// How long it is not fetched after it could not be.
const AGAIN_FAILED: Duration = Duration::from_secs(3);

/// The keys of this function.
#[derive(Clone)]
pub struct KeyRing {
    source: Arc<dyn SecretSource>,
    clock: Clock,
    held: Arc<Mutex<Held>>,
}

struct Held {
    keys: Keys,
    /// When the secret is to be fetched again, whatever is asked for.
    stale: Timestamp,
    /// Until when it is not fetched for a key that is not known.
    in_vain: Timestamp,
    /// Whether that is because it could not be fetched: then nobody knows whether there is such a key.
    failed: bool,
}

#[derive(Clone)]
struct Keys {
    current: Arc<Signer>,
    previous: Option<PublicKey>,
}

impl Keys {
    async fn fetch(source: &dyn SecretSource) -> Result<Self, Error> {
        // One after the other: were the previous one read first, a rotation in between would hide the key that
        // signs at this moment.
        let current = signer(&source.current().await?).map_err(Error::unavailable)?;
        // One that is too short cannot have signed anything.
        let previous = source.previous().await?.and_then(|secret| signer(&secret).ok());
        Ok(Self { current: Arc::new(current), previous: previous.map(|signer| signer.public_key().clone()) })
    }

    fn public(&self) -> Vec<PublicKey> {
        let current = self.current.public_key();
        let previous = self.previous.iter().filter(|previous| previous.kid != current.kid);
        std::iter::once(current).chain(previous).cloned().collect()
    }
}

fn signer(secret: &Secret) -> Result<Signer, String> {
    Signer::from_secret(secret.expose())
}

impl KeyRing {
    /// The keys of a signer that never changes.
    pub fn fixed(signer: Signer, clock: Clock) -> Self {
        let keys = Keys { current: Arc::new(signer), previous: None };
        let never = Timestamp::from_millis(i64::MAX);
        // Never asked.
        let source = Arc::new(Secret::new(""));
        let held = Held { keys, stale: never, in_vain: never, failed: false };
        Self { source, clock, held: Arc::new(Mutex::new(held)) }
    }

    /// The keys of this secret, which is fetched now.
    ///
    /// # Errors
    /// 503 when it cannot be had, or is too short.
    pub async fn open(source: Arc<dyn SecretSource>, clock: Clock) -> Result<Self, Error> {
        let keys = Keys::fetch(&*source).await?;
        let now = clock.now();
        let held = Held { keys, stale: now.after(AGE), in_vain: now, failed: false };
        Ok(Self { source, clock, held: Arc::new(Mutex::new(held)) })
    }

    /// An access token for a user, signed with the current key.
    ///
    /// # Errors
    /// Only when the key is damaged.
    pub async fn access_token(&self, user: UserId, role: Role, now: Timestamp) -> Result<String, Error> {
        self.keys(None).await?.current.access_token(user, role, now)
    }

    /// The keys that verify what this function signs, among them `kid` if there is such a key.
    ///
    /// # Errors
    /// 503 when it cannot be found out whether there is such a key.
    pub async fn public_keys(&self, kid: Option<&str>) -> Result<Vec<PublicKey>, Error> {
        Ok(self.keys(kid).await?.public())
    }

    async fn keys(&self, kid: Option<&str>) -> Result<Keys, Error> {
        // Held while fetching, so that one fetches and the others wait.
        let mut held = self.held.lock().await;
        let knows = |keys: &Keys| kid.is_none_or(|kid| keys.public().iter().any(|key| key.kid == kid));
        let now = self.clock.now();
        if now >= held.stale || (!knows(&held.keys) && now >= held.in_vain) {
            let fetched = tokio::time::timeout(PATIENCE, Keys::fetch(&*self.source));
            let fetched = fetched.await.unwrap_or_else(|late| Err(Error::unavailable(late)));
            held.failed = fetched.is_err();
            match fetched {
                Ok(keys) => {
                    if !knows(&keys) {
                        held.in_vain = now.after(AGAIN_IN_VAIN);
                    }
                    (held.keys, held.stale) = (keys, now.after(AGE));
                }
                Err(error) => {
                    let causes = error.causes();
                    tracing::warn!(causes, "JWT_SECRET cannot be fetched again; what is known is used");
                    held.stale = now.after(AGAIN_FAILED);
                    held.in_vain = held.stale;
                }
            }
        }
        if held.failed && !knows(&held.keys) {
            return Err(Error::unavailable("whether there is a new signing key cannot be found out"));
        }
        Ok(held.keys.clone())
    }
}

impl KeySource for KeyRing {
    fn keys(&self, kid: Option<&str>, _: &str, _: Timestamp) -> BoxFuture<'_, Result<Vec<PublicKey>, Error>> {
        let kid = kid.map(str::to_owned);
        Box::pin(async move { self.public_keys(kid.as_deref()).await })
    }
}
