//! The secret of the edge: rotation, unknown values, and how often it is fetched.

use std::sync::Mutex as StdMutex;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use futures::future::BoxFuture;

use super::*;
use crate::error::Kind;

const ONE: &str = "secret-one-of-the-tests-0123456789abcdef";
const TWO: &str = "secret-two-of-the-tests-0123456789abcdef";
const THREE: &str = "secret-three-of-the-tests-0123456789abcd";

/// Store of a secret with its previous value, which counts its fetches, and a movable clock.
#[derive(Default)]
struct Store {
    values: StdMutex<Option<(&'static str, Option<&'static str>)>>,
    fetches: AtomicUsize,
    seconds: AtomicI64,
}

impl Store {
    fn with(current: &'static str) -> Arc<Self> {
        let store = Self::default();
        *store.values.lock().unwrap() = Some((current, None));
        Arc::new(store)
    }

    fn rotate(&self, next: &'static str) {
        let mut values = self.values.lock().unwrap();
        *values = Some((next, values.map(|(current, _)| current)));
    }

    fn is_away(&self) {
        *self.values.lock().unwrap() = None;
    }

    fn secret(self: &Arc<Self>) -> EdgeSecret {
        let store = self.clone();
        let clock =
            Clock::from_fn(move || Timestamp::from_millis(store.seconds.load(Ordering::Relaxed) * 1000));
        self.wait(1_800_000_000);
        EdgeSecret::new(self.clone(), None, clock)
    }

    fn wait(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::Relaxed);
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::Relaxed)
    }

    fn values(&self) -> Result<(&'static str, Option<&'static str>), Error> {
        self.values.lock().unwrap().ok_or_else(|| Error::unavailable("the store is away"))
    }
}

impl SecretSource for Store {
    fn current(&self) -> BoxFuture<'_, Result<Secret, Error>> {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Ok(Secret::new(self.values()?.0)) })
    }

    fn previous(&self) -> BoxFuture<'_, Result<Option<Secret>, Error>> {
        Box::pin(async { Ok(self.values()?.1.map(Secret::new)) })
    }
}

async fn accepts(secret: &EdgeSecret, shown: &str) -> bool {
    secret.accepts(shown.as_bytes()).await.unwrap()
}

#[tokio::test]
async fn only_the_secret_itself_is_accepted() {
    let secret = EdgeSecret::new(Arc::new(Secret::new(ONE)), None, Clock::system());
    assert!(accepts(&secret, ONE).await);
    for bad in [
        "",
        " ",
        TWO,
        &ONE[1..],
        &ONE[..39],
        &format!("{ONE}x"),
        &format!("{ONE},{ONE}"),
        &ONE.to_uppercase(),
    ] {
        assert!(!accepts(&secret, bad).await, "{bad}");
    }
}

#[tokio::test]
async fn another_secret_is_accepted_beside_it() {
    let other = Arc::new(Secret::new(TWO));
    let secret = EdgeSecret::new(Arc::new(Secret::new(ONE)), Some(other), Clock::system());
    assert!(accepts(&secret, ONE).await && accepts(&secret, TWO).await && !accepts(&secret, THREE).await);
}

#[tokio::test]
async fn a_previous_text_that_is_no_secret_is_not_accepted() {
    let store = Store::with("short");
    store.rotate(ONE);
    let secret = store.secret();
    assert!(accepts(&secret, ONE).await && !accepts(&secret, "short").await);
}

#[tokio::test]
async fn a_rotation_is_noticed_at_the_first_new_value() {
    let store = Store::with(ONE);
    let secret = store.secret();
    secret.open().await.unwrap();
    store.wait(60);
    store.rotate(TWO);
    assert!(accepts(&secret, TWO).await && accepts(&secret, ONE).await);
    assert_eq!(store.fetches(), 2);
}

#[tokio::test]
async fn a_value_that_has_gone_is_refused_after_five_minutes() {
    let store = Store::with(ONE);
    let secret = store.secret();
    assert!(accepts(&secret, ONE).await);
    store.rotate(TWO);
    store.rotate(THREE);
    store.wait(299);
    assert!(accepts(&secret, ONE).await);
    store.wait(1);
    assert!(!accepts(&secret, ONE).await);
    assert!(accepts(&secret, TWO).await && accepts(&secret, THREE).await);
}

#[tokio::test]
async fn made_up_values_cause_a_fetch_in_ten_seconds() {
    let store = Store::with(ONE);
    let secret = store.secret();
    for _ in 0..20 {
        for value in [TWO, THREE, ""] {
            assert!(!accepts(&secret, value).await);
        }
        store.wait(1);
    }
    assert_eq!(store.fetches(), 2);
}

#[tokio::test]
async fn without_its_store_known_values_stay_and_others_are_a_503() {
    let store = Store::with(ONE);
    let secret = store.secret();
    secret.open().await.unwrap();
    store.is_away();
    store.wait(600);
    assert!(accepts(&secret, ONE).await);
    assert_eq!(secret.accepts(TWO.as_bytes()).await.unwrap_err().kind(), Kind::Unavailable);
    *store.values.lock().unwrap() = Some((TWO, Some(ONE)));
    store.wait(10);
    assert!(accepts(&secret, TWO).await);
}

#[tokio::test]
async fn a_secret_that_cannot_be_fetched_keeps_the_edge_shut() {
    let store = Arc::new(Store::default());
    let secret = store.secret();
    assert_eq!(secret.open().await.unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(secret.accepts(b"").await.unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(secret.accepts(ONE.as_bytes()).await.unwrap_err().kind(), Kind::Unavailable);
}

#[test]
fn a_secret_is_32_to_256_visible_characters() {
    for good in [ONE.to_owned(), "x".repeat(32), "~".repeat(256)] {
        EdgeSecret::check(&good).unwrap();
    }
    for bad in [
        "".to_owned(),
        "x".repeat(31),
        "x".repeat(257),
        format!("{ONE} "),
        format!("{ONE}\n"),
        format!("{ONE}ü"),
    ] {
        let problem = EdgeSecret::check(&bad).unwrap_err();
        assert!(problem.starts_with("must have 32 to 256") && !problem.contains("secret-one"), "{problem}");
    }
}
