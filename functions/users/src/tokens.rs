//! Signing keys: the current one, the previous one, and their rotation.
//!
//! The current secret signs. The previous one still verifies, so that tokens from before a rotation live out
//! their fifteen minutes. Each environment of this function detects a rotation by itself. It
//! does so when its keys are a minute old. It also does so as soon as it meets an unknown key that another
//! environment signs with already.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use shared::auth::{PublicKey, Role, Signer, TokenOrigin};
use shared::error::Error;
use shared::runtime::secrets::{Secret, SecretSource};
use shared::values::clock::{Clock, Timestamp};
use shared::values::ids::UserId;
use tokio::sync::Mutex;

/// Age at which the secret is fetched again, in the course of a request.
const MAX_AGE: Duration = Duration::from_secs(60);

/// Maximum time of a fetch; after that the known keys are used.
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);

/// Time without another fetch for an unknown key, after one in vain. It bounds a caller who makes up one
/// `kid` after the other.
const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(30);

/// Time without another fetch after a failed one.
const FAILURE_PAUSE: Duration = Duration::from_secs(3);

/// Signing keys of this function.
#[derive(Clone)]
pub struct KeyRing {
    source: Arc<dyn SecretSource>,
    clock: Clock,
    /// Locked for a moment, never while fetching: known keys are read without waiting.
    held: Arc<RwLock<Held>>,
    /// Held by the request that fetches.
    fetching: Arc<Mutex<()>>,
}

#[derive(Clone)]
struct Held {
    keys: Keys,
    /// Time of the next fetch, whichever key is needed.
    stale: Timestamp,
    /// End of the time without a fetch for an unknown key.
    in_vain: Timestamp,
    /// True if the last fetch failed: then an unknown key may exist after all.
    failed: bool,
}

#[derive(Clone)]
struct Keys {
    current: Arc<Signer>,
    previous: Option<PublicKey>,
}

impl Keys {
    async fn fetch(source: &dyn SecretSource) -> Result<Self, Error> {
        // One after the other: were the previous one read first, a rotation in between would hide the key
        // that signs at this moment.
        let current = signer(&source.current().await?).map_err(Error::unavailable)?;
        // A secret that is too short cannot have signed anything.
        let previous = source.previous().await?.and_then(|secret| signer(&secret).ok());
        Ok(Self { current: Arc::new(current), previous: previous.map(|signer| signer.public_key().clone()) })
    }

    fn has(&self, kid: &str) -> bool {
        self.current.public_key().kid == kid || self.previous.iter().any(|key| key.kid == kid)
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
    /// Creates a ring with one signer that never changes.
    pub fn fixed(signer: Signer, clock: Clock) -> Self {
        let keys = Keys { current: Arc::new(signer), previous: None };
        let never = Timestamp::from_millis(i64::MAX);
        // Never fetched.
        let source = Arc::new(Secret::new(""));
        let held = Held { keys, stale: never, in_vain: never, failed: false };
        Self { source, clock, held: Arc::new(RwLock::new(held)), fetching: Arc::default() }
    }

    /// Fetches the secret and creates a ring of its keys.
    ///
    /// # Errors
    /// 503 when the secret is unavailable, or too short.
    pub async fn open(source: Arc<dyn SecretSource>, clock: Clock) -> Result<Self, Error> {
        let keys = Keys::fetch(&*source).await?;
        let now = clock.now();
        let held = Held { keys, stale: now.after(MAX_AGE), in_vain: now, failed: false };
        Ok(Self { source, clock, held: Arc::new(RwLock::new(held)), fetching: Arc::default() })
    }

    /// Signs an access token of this origin, with the current key.
    ///
    /// # Errors
    /// Fails only when the key is damaged.
    pub async fn access_token(
        &self,
        origin: TokenOrigin,
        user: UserId,
        role: Role,
        now: Timestamp,
    ) -> Result<String, Error> {
        self.keys(None).await?.current.access_token_in(origin, user, role, now)
    }

    /// Public keys that verify this function's tokens, `kid` among them if it exists.
    ///
    /// # Errors
    /// 503 when it is unknown whether `kid` exists.
    pub async fn public_keys(&self, kid: Option<&str>) -> Result<Vec<PublicKey>, Error> {
        Ok(self.keys(kid).await?.public())
    }

    async fn keys(&self, kid: Option<&str>) -> Result<Keys, Error> {
        let held = self.held();
        let is_known = held.has(kid);
        if !held.needs_fetch(kid, self.clock.now()) {
            return held.into_keys(kid);
        }
        // One request fetches. Those that need a new key wait for it; the others use what is known.
        let turn = if is_known { self.fetching.try_lock().ok() } else { Some(self.fetching.lock().await) };
        if turn.is_some() && self.held().needs_fetch(kid, self.clock.now()) {
            self.fetch(kid).await;
        }
        self.held().into_keys(kid)
    }

    /// Fetches the secret. After a failure the known keys stay.
    async fn fetch(&self, kid: Option<&str>) {
        let now = self.clock.now();
        let fetched = tokio::time::timeout(FETCH_TIMEOUT, Keys::fetch(&*self.source));
        let fetched = fetched.await.unwrap_or_else(|late| Err(Error::unavailable(late)));
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.failed = fetched.is_err();
        match fetched {
            Ok(keys) => {
                (held.keys, held.stale) = (keys, now.after(MAX_AGE));
                if !held.has(kid) {
                    held.in_vain = now.after(UNKNOWN_KEY_PAUSE);
                }
            }
            Err(error) => {
                let causes = error.causes();
                tracing::warn!(causes, "JWT_SECRET cannot be fetched again; what is known is used");
                held.stale = now.after(FAILURE_PAUSE);
                held.in_vain = held.stale;
            }
        }
    }

    fn held(&self) -> Held {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Held {
    /// True if this key is known, or none is asked for.
    fn has(&self, kid: Option<&str>) -> bool {
        kid.is_none_or(|kid| self.keys.has(kid))
    }

    /// True if the secret is to be fetched again before this key is looked up.
    fn needs_fetch(&self, kid: Option<&str>, now: Timestamp) -> bool {
        now >= self.stale || (!self.has(kid) && now >= self.in_vain)
    }

    fn into_keys(self, kid: Option<&str>) -> Result<Keys, Error> {
        if self.failed && !self.has(kid) {
            return Err(Error::unavailable("whether there is a new signing key cannot be found out"));
        }
        Ok(self.keys)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as StdMutex;
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    use futures::FutureExt as _;
    use futures::future::BoxFuture;

    use super::*;

    /// Secret that rotates, with a count of its fetches and a movable clock.
    #[derive(Default)]
    struct Rotated {
        versions: StdMutex<Vec<String>>,
        away: StdMutex<bool>,
        hangs: StdMutex<bool>,
        fetched: AtomicUsize,
        later: AtomicU64,
    }

    impl SecretSource for Rotated {
        fn current(&self) -> BoxFuture<'_, Result<Secret, Error>> {
            self.fetched.fetch_add(1, Ordering::SeqCst);
            let current = self.versions.lock().unwrap().last().map(Secret::new);
            let (away, hangs) = (*self.away.lock().unwrap(), *self.hangs.lock().unwrap());
            Box::pin(async move {
                if hangs {
                    std::future::pending::<()>().await;
                }
                current.filter(|_| !away).ok_or_else(|| Error::unavailable("away"))
            })
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
    async fn a_key_of_another_environment_is_found_at_once() {
        let source = Rotated::new();
        let ring = source.ring().await;
        for letter in ['b', 'c', 'd'] {
            source.rotate(letter);
            assert!(knows(&ring, letter).await);
        }
        assert!(knows(&ring, 'c').await && !knows(&ring, 'b').await);
    }

    #[tokio::test]
    async fn a_signer_sees_a_rotation_within_a_minute() {
        let source = Rotated::new();
        let ring = source.ring().await;
        source.rotate('b');
        source.wait(60);
        assert_eq!(ring.keys(None).await.unwrap().current.public_key().kid, kid('b'));
    }

    #[tokio::test]
    async fn a_made_up_key_delays_nobody_while_the_secret_hangs() {
        let source = Rotated::new();
        let ring = source.ring().await;
        *source.hangs.lock().unwrap() = true;
        let made_up = kid('x');
        let mut looking = std::pin::pin!(ring.public_keys(Some(&made_up)));
        assert!(looking.as_mut().now_or_never().is_none());
        let user = UserId::new();
        for seconds in [0, 60] {
            source.wait(seconds);
            let signed = ring.access_token(TokenOrigin::default(), user, Role::Customer, ring.clock.now());
            assert!(matches!(signed.now_or_never(), Some(Ok(_))));
            assert!(matches!(ring.public_keys(Some(&kid('a'))).now_or_never(), Some(Ok(_))));
        }
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
    async fn without_the_secret_known_keys_hold_and_unknown_ones_are_503() {
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
