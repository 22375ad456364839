//! The signing keys: the one that signs, the one before it, and who may know their public halves.
//!
//! The current secret signs. The previous one still verifies, so that tokens which were signed before a
//! rotation live out their fifteen minutes. Each environment of this function sees a rotation for itself: when
//! what it knows is a minute old, or as soon as it meets a key that it does not know, because another
//! environment signs with it already.

use std::sync::Arc;
use std::time::Duration;

use shared::auth::{Epoch, PublicKey, Role, Signer};
use shared::error::Error;
use shared::runtime::secrets::{Secret, SecretSource};
use shared::values::clock::{Clock, Timestamp};
use shared::values::ids::UserId;
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

    /// An access token for a user in this epoch, signed with the current key.
    ///
    /// # Errors
    /// Only when the key is damaged.
    pub async fn access_token(
        &self,
        epoch: Epoch,
        user: UserId,
        role: Role,
        now: Timestamp,
    ) -> Result<String, Error> {
        self.keys(None).await?.current.access_token_in(epoch, user, role, now)
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex as StdMutex;
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    use futures::future::BoxFuture;

    use super::*;

    /// A secret that is rotated, a count of who fetched it, and a clock that is moved.
    #[derive(Default)]
    struct Rotated {
        versions: StdMutex<Vec<String>>,
        away: StdMutex<bool>,
        fetched: AtomicUsize,
        later: AtomicU64,
    }

    impl SecretSource for Rotated {
        fn current(&self) -> BoxFuture<'_, Result<Secret, Error>> {
            self.fetched.fetch_add(1, Ordering::SeqCst);
            let current = self.versions.lock().unwrap().last().map(Secret::new);
            let away = *self.away.lock().unwrap();
            Box::pin(async move { current.filter(|_| !away).ok_or_else(|| Error::unavailable("away")) })
        }

        fn previous(&self) -> BoxFuture<'_, Result<Option<Secret>, Error>> {
            let previous = self.versions.lock().unwrap().iter().rev().nth(1).map(Secret::new);
            Box::pin(async move { Ok(previous) })
        }
    }

    impl Rotated {
        fn new() -> Arc<Self> {
            let this = Arc::new(Self::default());
            this.rotate('a');
            this
        }

        async fn ring(self: &Arc<Self>) -> KeyRing {
            let this = self.clone();
            let clock = Clock::from_fn(move || {
                Timestamp::from_millis(1_800_000_000_000)
                    .after(Duration::from_secs(this.later.load(Ordering::SeqCst)))
            });
            KeyRing::open(self.clone(), clock).await.unwrap()
        }

        fn rotate(&self, letter: char) {
            self.versions.lock().unwrap().push(letter.to_string().repeat(32));
        }

        fn wait(&self, seconds: u64) {
            self.later.fetch_add(seconds, Ordering::SeqCst);
        }
    }

    fn kid(letter: char) -> String {
        Signer::from_secret(&letter.to_string().repeat(32)).unwrap().public_key().kid.clone()
    }

    async fn knows(ring: &KeyRing, letter: char) -> bool {
        let kid = kid(letter);
        ring.public_keys(Some(&kid)).await.unwrap().iter().any(|key| key.kid == kid)
    }

    #[tokio::test]
    async fn a_key_that_another_environment_signs_with_already_is_found_at_once() {
        let source = Rotated::new();
        let ring = source.ring().await;
        for letter in ['b', 'c', 'd'] {
            source.rotate(letter);
            assert!(knows(&ring, letter).await);
        }
        assert!(knows(&ring, 'c').await && !knows(&ring, 'b').await);
    }

    #[tokio::test]
    async fn a_rotation_is_seen_within_a_minute_by_who_only_signs() {
        let source = Rotated::new();
        let ring = source.ring().await;
        source.rotate('b');
        source.wait(60);
        assert_eq!(ring.keys(None).await.unwrap().current.public_key().kid, kid('b'));
    }

    #[tokio::test]
    async fn made_up_keys_fetch_the_secret_once_in_thirty_seconds() {
        let source = Rotated::new();
        let ring = source.ring().await;
        for letter in ['x', 'y', 'z'] {
            assert!(!knows(&ring, letter).await);
        }
        assert_eq!(source.fetched.load(Ordering::SeqCst), 2);
        source.wait(30);
        source.rotate('b');
        assert!(knows(&ring, 'b').await);
    }

    #[tokio::test]
    async fn while_the_secret_is_away_known_keys_hold_and_for_unknown_ones_it_is_503() {
        let source = Rotated::new();
        let ring = source.ring().await;
        *source.away.lock().unwrap() = true;
        source.rotate('b');
        assert!(ring.public_keys(Some(&kid('b'))).await.is_err());
        assert!(ring.public_keys(Some(&kid('b'))).await.is_err());
        assert_eq!(source.fetched.load(Ordering::SeqCst), 2, "not at every request");
        assert!(knows(&ring, 'a').await);
        *source.away.lock().unwrap() = false;
        source.wait(3);
        assert!(knows(&ring, 'b').await);
    }
}
