//! Rotation of the secret that seals.
//!
//! The current secret seals, and the previous ones open, so that sessions outlive a rotation. Environments of a
//! function start at different times. So the secret is fetched again at an age of five minutes, and as soon as a
//! request has a cookie that no known key opens.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use shared::error::Error;
use shared::runtime::secrets::SecretSource;
use shared::values::clock::{Clock, Timestamp};

use super::{SealKey, cookie};

/// Age at which the secret is fetched again, in the course of a request.
const MAX_AGE: Duration = Duration::from_secs(300);

/// Maximum time of a fetch; after that the known keys are used.
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);

/// Time without another fetch for an unknown cookie. It bounds a client who makes up one after the other.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(10);

/// Secrets that seal and open cookies, and when they are fetched. Clones share what is fetched.
#[derive(Clone)]
pub struct SealRotation {
    source: Arc<dyn SecretSource>,
    /// Another secret whose cookies are opened, while the secret is exchanged.
    other: Option<Arc<dyn SecretSource>>,
    clock: Clock,
    key: SealKey,
    /// Locked for a moment, never while fetching.
    next: Arc<Mutex<NextFetch>>,
}

/// Times of the next fetch.
#[derive(Clone, Copy)]
struct NextFetch {
    /// Whatever cookie is shown.
    stale: Timestamp,
    /// For a cookie that no key opens.
    unknown: Timestamp,
}

impl SealRotation {
    /// Fetches the secrets. `other` opens cookies and seals none.
    ///
    /// # Errors
    /// 503 if a secret is unavailable or malformed.
    pub async fn open(
        source: Arc<dyn SecretSource>,
        other: Option<Arc<dyn SecretSource>>,
        clock: Clock,
    ) -> Result<Self, Error> {
        let now = clock.now();
        let next = NextFetch { stale: now.after(MAX_AGE), unknown: now.after(UNKNOWN_PAUSE) };
        let next = Arc::new(Mutex::new(next));
        // Never used: `fetch` replaces it or fails.
        let key = SealKey::random();
        let rotation = Self { source, other, clock, key, next };
        rotation.fetch().await?;
        Ok(rotation)
    }

    /// Keys, which follow the rotation.
    pub fn key(&self) -> SealKey {
        self.key.clone()
    }

    /// Fetches the secrets again if that is due for a request with these headers. After a failure the known keys stay.
    pub async fn follow(&self, headers: &HeaderMap) {
        let Some(cookie) = cookie(headers) else { return };
        let is_unknown = self.key.open(cookie).is_none();
        if !self.is_due(is_unknown) {
            return;
        }
        if let Err(error) = self.fetch().await {
            let causes = error.causes();
            tracing::warn!(causes, "CONSOLE_SECRET cannot be fetched again; known keys are used");
        }
    }

    /// True for the one request that is to fetch. The times move on at once, so that others go on meanwhile.
    fn is_due(&self, is_unknown: bool) -> bool {
        let now = self.clock.now();
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = now >= next.stale || (is_unknown && now >= next.unknown);
        if is_due {
            *next = NextFetch { stale: now.after(MAX_AGE), unknown: now.after(UNKNOWN_PAUSE) };
        }
        is_due
    }

    async fn fetch(&self) -> Result<(), Error> {
        let fetch = async {
            // One after the other: were the previous one read first, a rotation in between would hide the current.
            let current = self.source.current().await?;
            let malformed = |problem| Error::unavailable(format!("CONSOLE_SECRET {problem}"));
            SealKey::check_secret(current.expose()).map_err(malformed)?;
            let mut secrets = vec![current];
            secrets.extend(self.source.previous().await?);
            if let Some(other) = &self.other {
                secrets.push(other.current().await?);
            }
            Ok(secrets)
        };
        let fetched = tokio::time::timeout(FETCH_TIMEOUT, fetch).await;
        let secrets = fetched.unwrap_or_else(|late| Err(Error::unavailable(late)))?;
        // A text that is no secret has sealed nothing.
        self.key.replace(secrets.iter().map(|secret| secret.expose()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    use futures::FutureExt as _;
    use futures::future::{BoxFuture, ready};
    use shared::runtime::secrets::Secret;

    use super::*;
    use crate::session::tests::{sent_back, session};

    const BEGIN: Timestamp = Timestamp::from_millis(1_796_117_400_000);

    /// Secret that rotates, with a count of its fetches and a movable clock.
    #[derive(Default)]
    struct Rotated {
        versions: Mutex<Vec<String>>,
        is_away: Mutex<bool>,
        fetched: AtomicUsize,
        seconds: AtomicU64,
    }

    impl SecretSource for Rotated {
        fn current(&self) -> BoxFuture<'_, Result<Secret, Error>> {
            self.fetched.fetch_add(1, Ordering::SeqCst);
            let current = self.versions.lock().unwrap().last().map(Secret::new);
            let current = current.filter(|_| !*self.is_away.lock().unwrap());
            ready(current.ok_or_else(|| Error::unavailable("away"))).boxed()
        }

        fn previous(&self) -> BoxFuture<'_, Result<Option<Secret>, Error>> {
            let previous = self.versions.lock().unwrap().iter().rev().nth(1).map(Secret::new);
            ready(Ok(previous)).boxed()
        }
    }

    impl Rotated {
        fn new(letter: char) -> Arc<Self> {
            let this = Arc::new(Self::default());
            this.rotate(letter);
            this
        }

        fn rotate(&self, letter: char) {
            self.versions.lock().unwrap().push(letter.to_string().repeat(32));
        }

        fn wait(&self, seconds: u64) {
            self.seconds.fetch_add(seconds, Ordering::SeqCst);
        }

        async fn opened(self: &Arc<Self>) -> SealRotation {
            let this = self.clone();
            let seconds = move || Duration::from_secs(this.seconds.load(Ordering::SeqCst));
            let clock = Clock::from_fn(move || BEGIN.after(seconds()));
            SealRotation::open(self.clone(), None, clock).await.unwrap()
        }
    }

    /// Headers of a request with a cookie that this key has sealed.
    fn sealed_by(key: &SealKey) -> HeaderMap {
        sent_back(&session(BEGIN).cookie(key).unwrap())
    }

    fn of(letter: char) -> SealKey {
        SealKey::from_secret(letter.to_string().repeat(32)).unwrap()
    }

    fn opens(rotation: &SealRotation, letter: char) -> bool {
        rotation.key().open(cookie(&sealed_by(&of(letter))).unwrap()).is_some()
    }

    #[tokio::test]
    async fn an_environment_after_a_rotation_opens_cookies_of_before() {
        let secret = Rotated::new('a');
        secret.rotate('b');
        let rotation = secret.opened().await;
        assert!(opens(&rotation, 'a') && opens(&rotation, 'b') && !opens(&rotation, 'c'));
        assert!(of('b').open(cookie(&sealed_by(&rotation.key())).unwrap()).is_some());
    }

    #[tokio::test]
    async fn an_environment_before_a_rotation_fetches_for_an_unknown_cookie() {
        let secret = Rotated::new('a');
        let rotation = secret.opened().await;
        secret.rotate('b');
        secret.wait(10);
        rotation.follow(&sealed_by(&of('a'))).await;
        assert!(!opens(&rotation, 'b'));
        rotation.follow(&sealed_by(&of('b'))).await;
        assert!(opens(&rotation, 'a') && opens(&rotation, 'b'));
        // Cookies that are made up cause one fetch in ten seconds.
        let fetched = secret.fetched.load(Ordering::SeqCst);
        for _ in 0..3 {
            rotation.follow(&sealed_by(&of('c'))).await;
        }
        assert_eq!(secret.fetched.load(Ordering::SeqCst), fetched);
    }

    #[tokio::test]
    async fn a_secret_is_fetched_again_at_its_age_and_kept_if_it_is_away() {
        let secret = Rotated::new('a');
        let rotation = secret.opened().await;
        secret.rotate('b');
        secret.wait(300);
        *secret.is_away.lock().unwrap() = true;
        rotation.follow(&sealed_by(&of('a'))).await;
        assert!(opens(&rotation, 'a') && !opens(&rotation, 'b'));
        *secret.is_away.lock().unwrap() = false;
        secret.wait(300);
        rotation.follow(&HeaderMap::new()).await;
        assert!(!opens(&rotation, 'b'), "a request without a cookie waits for nothing");
        rotation.follow(&sealed_by(&of('a'))).await;
        assert!(opens(&rotation, 'a') && opens(&rotation, 'b'));
    }

    #[tokio::test]
    async fn a_secret_of_its_own_is_opened_while_it_is_exchanged() {
        let secret = |letter: char| Arc::new(Secret::new(letter.to_string().repeat(32)));
        let rotation = SealRotation::open(secret('b'), Some(secret('a')), Clock::system()).await.unwrap();
        assert!(opens(&rotation, 'a') && opens(&rotation, 'b'));
        assert!(of('b').open(cookie(&sealed_by(&rotation.key())).unwrap()).is_some());
        let short = SealRotation::open(Arc::new(Secret::new("short")), None, Clock::system()).await;
        assert!(short.is_err());
    }
}
