//! Tests of valid tokens, of refused ones, and of the key cache.

use std::sync::atomic::Ordering::SeqCst;

use futures::FutureExt as _;

use super::*;
use crate::auth::{Epoch, SessionId, Signer};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

struct Fixed(Vec<PublicKey>);

impl KeySource for Fixed {
    fn keys(&self, _: Option<&str>, _: &Context) -> BoxFuture<'_, Result<TrustedKeys, Error>> {
        Box::pin(async { Ok(self.0.clone().into()) })
    }
}

/// Source whose keys change, with a count of fetches and a clock that tests move.
#[derive(Default)]
struct Changing {
    keys: std::sync::Mutex<Vec<PublicKey>>,
    revoked: std::sync::Mutex<Revoked>,
    away: std::sync::atomic::AtomicBool,
    hangs: std::sync::atomic::AtomicBool,
    /// Answers after a second.
    is_slow: std::sync::atomic::AtomicBool,
    generation: std::sync::atomic::AtomicU64,
    asked: std::sync::atomic::AtomicUsize,
    later: std::sync::atomic::AtomicU64,
}

impl KeySource for Changing {
    fn keys(&self, _: Option<&str>, _: &Context) -> BoxFuture<'_, Result<TrustedKeys, Error>> {
        self.asked.fetch_add(1, SeqCst);
        Box::pin(async {
            if self.hangs.load(SeqCst) {
                std::future::pending::<()>().await;
            }
            if self.is_slow.load(SeqCst) {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            if self.away.load(SeqCst) {
                return Err(Error::unavailable("away"));
            }
            Ok(TrustedKeys {
                keys: self.keys.lock().unwrap().clone(),
                revoked: self.revoked.lock().unwrap().clone(),
            })
        })
    }

    fn generation(&self) -> u64 {
        self.generation.load(SeqCst)
    }
}

impl Changing {
    fn verifier(self: &Arc<Self>) -> Verifier {
        let this = self.clone();
        Verifier::new(self.clone(), Clock::from_fn(move || this.now()))
    }

    fn now(&self) -> Timestamp {
        NOW.after(Duration::from_secs(self.later.load(SeqCst)))
    }

    fn wait(&self, seconds: u64) {
        self.later.fetch_add(seconds, SeqCst);
    }

    fn holds(&self, signers: &[&Signer]) {
        *self.keys.lock().unwrap() = signers.iter().map(|signer| signer.public_key().clone()).collect();
    }

    fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }

    async fn lets_in(&self, verifier: &Verifier, signer: &Signer) -> bool {
        let token = signer.access_token(UserId::new(), Role::Customer, self.now()).unwrap();
        self.takes(verifier, &token).await
    }

    async fn takes(&self, verifier: &Verifier, token: &str) -> bool {
        self.answer(verifier, token).await.is_ok()
    }

    async fn answer(&self, verifier: &Verifier, token: &str) -> Result<Caller, Error> {
        self.answer_within(Duration::from_secs(20), verifier, token).await
    }

    /// Identifies the caller of a request that has this much time left.
    async fn answer_within(&self, left: Duration, verifier: &Verifier, token: &str) -> Result<Caller, Error> {
        let context = context(self.now().after(left));
        verifier.caller(Some(format!("Bearer {token}").as_bytes()), &context).await
    }
}

#[tokio::test]
async fn rotations_in_quick_succession_refuse_no_valid_token() {
    let source = Arc::new(Changing::default());
    let verifier = source.verifier();
    let mut former = signer("a");
    for letter in ["b", "c", "d", "e"] {
        let signer = signer(letter);
        source.holds(&[&signer, &former]);
        assert!(source.lets_in(&verifier, &signer).await, "{letter}");
        assert!(source.lets_in(&verifier, &former).await, "{letter}");
        former = signer;
    }
}

#[tokio::test]
async fn unknown_keys_are_fetched_once_in_thirty_seconds() {
    let source = Arc::new(Changing::default());
    let verifier = source.verifier();
    source.holds(&[&signer("a")]);
    for letter in ["b", "c", "d"] {
        assert!(!source.lets_in(&verifier, &signer(letter)).await);
    }
    assert_eq!(source.asked(), 1);
    assert!(source.lets_in(&verifier, &signer("a")).await, "a known key is not delayed");
    source.wait(30);
    assert!(!source.lets_in(&verifier, &signer("e")).await);
    assert_eq!(source.asked(), 2);
}

#[tokio::test]
async fn a_removed_key_is_dropped_within_a_minute() {
    let source = Arc::new(Changing::default());
    let verifier = source.verifier();
    source.holds(&[&signer("a")]);
    assert!(source.lets_in(&verifier, &signer("a")).await);
    source.holds(&[&signer("c"), &signer("b")]);
    source.wait(45);
    assert!(!source.lets_in(&verifier, &signer("a")).await);
}

#[tokio::test]
async fn a_revoked_token_is_refused_after_45_seconds_and_a_new_one_works() {
    let source = Arc::new(Changing::default());
    let (verifier, signer, user) = (source.verifier(), signer("a"), UserId::new());
    source.holds(&[&signer]);
    let token = |epoch| {
        let origin = TokenOrigin { epoch: Epoch(epoch), session: None };
        signer.access_token_in(origin, user, Role::Customer, source.now()).unwrap()
    };
    let (before, after) = (token(3), token(4));
    assert!(source.takes(&verifier, &before).await);
    *source.revoked.lock().unwrap() = Revoked::new([(user, Epoch(4))]);
    source.wait(44);
    assert!(source.takes(&verifier, &before).await);
    source.wait(1);
    // Both were issued in the same second.
    assert!(!source.takes(&verifier, &before).await);
    assert!(source.takes(&verifier, &after).await);
    assert!(source.lets_in(&verifier, &signer).await, "another user");
    assert_eq!(source.asked(), 2);
}

#[tokio::test]
async fn changes_by_this_process_are_seen_at_once() {
    let source = Arc::new(Changing::default());
    let (verifier, signer, user) = (source.verifier(), signer("a"), UserId::new());
    source.holds(&[&signer]);
    let token = signer.access_token(user, Role::Customer, source.now()).unwrap();
    assert!(source.takes(&verifier, &token).await);
    *source.revoked.lock().unwrap() = Revoked::new([(user, Epoch(1))]);
    source.generation.fetch_add(1, SeqCst);
    assert!(!source.takes(&verifier, &token).await);
    assert!(!source.takes(&verifier, &token).await);
    assert_eq!(source.asked(), 2);
}

#[tokio::test]
async fn cached_keys_are_used_for_five_minutes_of_outage_then_503() {
    let source = Arc::new(Changing::default());
    let (verifier, signer) = (source.verifier(), signer("a"));
    source.holds(&[&signer]);
    assert!(source.lets_in(&verifier, &signer).await);
    source.away.store(true, SeqCst);
    for _ in 0..4 {
        source.wait(60);
        assert!(source.lets_in(&verifier, &signer).await);
    }
    assert_eq!(source.asked(), 5);
    assert!(source.lets_in(&verifier, &signer).await, "and does not fetch at every request");
    assert_eq!(source.asked(), 5);
    source.wait(60);
    for asked in [6, 6] {
        let token = signer.access_token(UserId::new(), Role::Customer, source.now()).unwrap();
        assert_eq!(source.answer(&verifier, &token).await.unwrap_err().kind(), Kind::Unavailable);
        assert_eq!(source.asked(), asked);
    }
    source.away.store(false, SeqCst);
    source.wait(5);
    assert!(source.lets_in(&verifier, &signer).await);
}

#[tokio::test]
async fn a_made_up_key_never_delays_a_request_with_a_known_one() {
    let source = Arc::new(Changing::default());
    let (verifier, known, made_up) = (source.verifier(), signer("a"), signer("x"));
    source.holds(&[&known]);
    assert!(source.lets_in(&verifier, &known).await);
    source.hangs.store(true, SeqCst);
    let token = made_up.access_token(UserId::new(), Role::Customer, source.now()).unwrap();
    let far = context(source.now().after(Duration::from_secs(20)));
    let authorization = format!("Bearer {token}");
    for _ in 0..2 {
        let looking = verifier.caller(Some(authorization.as_bytes()), &far);
        let mut looking = std::pin::pin!(looking);
        assert!(looking.as_mut().now_or_never().is_none(), "it waits for the keys");
        for _ in 0..3 {
            assert_eq!(source.lets_in(&verifier, &known).now_or_never(), Some(true));
        }
        // One that has come after it, also made up, waits behind it, and delays no other either.
        let another = verifier.caller(Some(authorization.as_bytes()), &far);
        let mut another = std::pin::pin!(another);
        assert!(another.as_mut().now_or_never().is_none());
        assert_eq!(source.lets_in(&verifier, &known).now_or_never(), Some(true));
    }
}

#[tokio::test]
async fn a_refresh_that_hangs_delays_only_the_request_that_began_it() {
    let source = Arc::new(Changing::default());
    let (verifier, known) = (source.verifier(), signer("a"));
    source.holds(&[&known]);
    assert!(source.lets_in(&verifier, &known).await);
    source.hangs.store(true, SeqCst);
    source.wait(45);
    let token = known.access_token(UserId::new(), Role::Customer, source.now()).unwrap();
    let authorization = format!("Bearer {token}");
    let far = context(source.now().after(Duration::from_secs(20)));
    let refreshing = verifier.caller(Some(authorization.as_bytes()), &far);
    let mut refreshing = std::pin::pin!(refreshing);
    assert!(refreshing.as_mut().now_or_never().is_none());
    for _ in 0..3 {
        assert_eq!(source.lets_in(&verifier, &known).now_or_never(), Some(true));
    }
    // It gives up after two seconds, and goes on with what is known.
    assert!(refreshing.await.is_ok());
    assert_eq!(source.lets_in(&verifier, &known).now_or_never(), Some(true));
}

#[tokio::test(start_paused = true)]
async fn a_late_caller_makes_no_refresh_fail_for_others() {
    let source = Arc::new(Changing::default());
    let (verifier, signer, user) = (source.verifier(), signer("a"), UserId::new());
    source.holds(&[&signer]);
    let revoked = signer.access_token(user, Role::Customer, source.now()).unwrap();
    assert!(source.takes(&verifier, &revoked).await);
    source.is_slow.store(true, SeqCst);
    *source.revoked.lock().unwrap() = Revoked::new([(user, Epoch(1))]);
    source.wait(45);
    let late = signer.access_token(UserId::new(), Role::Customer, source.now()).unwrap();
    assert!(source.answer_within(Duration::ZERO, &verifier, &late).await.is_ok());
    assert!(!source.takes(&verifier, &revoked).await, "the refresh of the late caller counts");
    assert_eq!(source.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_late_caller_makes_no_look_up_fail_for_others() {
    let source = Arc::new(Changing::default());
    let (verifier, former, new) = (source.verifier(), signer("a"), signer("b"));
    source.holds(&[&former]);
    assert!(source.lets_in(&verifier, &former).await);
    source.is_slow.store(true, SeqCst);
    source.holds(&[&new, &former]);
    let late = new.access_token(UserId::new(), Role::Customer, source.now()).unwrap();
    assert!(source.answer_within(Duration::ZERO, &verifier, &late).await.is_ok());
    assert!(source.lets_in(&verifier, &new).await);
    assert_eq!(source.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_late_caller_makes_no_first_fetch_fail_for_others() {
    let source = Arc::new(Changing::default());
    let (verifier, signer) = (source.verifier(), signer("a"));
    source.holds(&[&signer]);
    source.is_slow.store(true, SeqCst);
    let late = signer.access_token(UserId::new(), Role::Customer, source.now()).unwrap();
    assert!(source.answer_within(Duration::ZERO, &verifier, &late).await.is_ok());
    // Expired keys are fetched anew, however little time the caller has.
    source.wait(300);
    let late = signer.access_token(UserId::new(), Role::Customer, source.now()).unwrap();
    assert!(source.answer_within(Duration::ZERO, &verifier, &late).await.is_ok());
    assert!(source.lets_in(&verifier, &signer).await);
    assert_eq!(source.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_hangs_ends_by_the_time_of_the_verifier() {
    let source = Arc::new(Changing::default());
    let (verifier, known, unknown) = (source.verifier(), signer("a"), signer("b"));
    source.holds(&[&known]);
    source.hangs.store(true, SeqCst);
    let seconds = async |signer: &Signer| {
        let begin = tokio::time::Instant::now();
        source.lets_in(&verifier, signer).await;
        begin.elapsed().as_secs()
    };
    assert_eq!(seconds(&known).await, 10, "nothing is cached");
    source.hangs.store(false, SeqCst);
    assert!(source.lets_in(&verifier, &known).await);
    source.hangs.store(true, SeqCst);
    assert_eq!(seconds(&unknown).await, 5);
    source.wait(45);
    assert_eq!(seconds(&known).await, 2);
    source.wait(300);
    assert_eq!(seconds(&known).await, 10, "what is cached has expired");
}

#[tokio::test]
async fn a_fetch_that_began_earlier_replaces_no_later_one() {
    let source = Arc::new(Changing::default());
    let verifier = source.verifier();
    let fetched = |letter, later| CachedKeys {
        trusted: Arc::new(vec![signer(letter).public_key().clone()].into()),
        fetched_at: NOW.after(Duration::from_secs(later)),
        generation: 0,
    };
    verifier.cache.store(fetched("b", 1));
    verifier.cache.store(fetched("a", 0));
    assert!(source.lets_in(&verifier, &signer("b")).await);
    assert_eq!(source.asked(), 0);
}

#[tokio::test]
async fn the_token_of_an_ended_session_is_refused_and_others_work() {
    let source = Arc::new(Changing::default());
    let (verifier, signer, user) = (source.verifier(), signer("a"), UserId::new());
    source.holds(&[&signer]);
    let token = |session: Option<u8>| {
        let origin = TokenOrigin { epoch: Epoch(3), session: session.map(|byte| SessionId([byte; 16])) };
        signer.access_token_in(origin, user, Role::Customer, source.now()).unwrap()
    };
    let (one, other, older) = (token(Some(1)), token(Some(2)), token(None));
    for token in [&one, &other, &older] {
        assert!(source.takes(&verifier, token).await);
    }
    *source.revoked.lock().unwrap() = Revoked::default().with_sessions([SessionId([1; 16])]);
    source.wait(45);
    assert!(!source.takes(&verifier, &one).await);
    assert!(source.takes(&verifier, &other).await && source.takes(&verifier, &older).await);
}

#[tokio::test]
async fn a_token_that_was_verified_is_refused_once_it_has_expired() {
    let source = Arc::new(Changing::default());
    let (verifier, signer) = (source.verifier(), signer("a"));
    source.holds(&[&signer]);
    let token = signer.access_token(UserId::new(), Role::Customer, source.now()).unwrap();
    assert!(source.takes(&verifier, &token).await);
    source.wait(899);
    assert!(source.takes(&verifier, &token).await);
    source.wait(1);
    assert!(!source.takes(&verifier, &token).await);
}

#[tokio::test]
async fn a_token_that_was_verified_is_refused_without_its_key() {
    let source = Arc::new(Changing::default());
    let (verifier, one, other) = (source.verifier(), signer("a"), signer("b"));
    source.holds(&[&one]);
    let token = one.access_token(UserId::new(), Role::Customer, source.now()).unwrap();
    assert!(source.takes(&verifier, &token).await);
    // Another key under the same ID.
    let taken_over = PublicKey { kid: one.public_key().kid.clone(), ..other.public_key().clone() };
    *source.keys.lock().unwrap() = vec![taken_over];
    source.wait(45);
    assert!(!source.takes(&verifier, &token).await);
    source.holds(&[&one]);
    source.wait(45);
    assert!(source.takes(&verifier, &token).await);
    source.holds(&[&other]);
    source.wait(45);
    assert!(!source.takes(&verifier, &token).await);
}

#[tokio::test]
async fn a_verified_token_with_another_signature_is_refused() {
    let source = Arc::new(Changing::default());
    let (verifier, signer) = (source.verifier(), signer("a"));
    source.holds(&[&signer]);
    let token = signer.access_token(UserId::new(), Role::Customer, source.now()).unwrap();
    let other = signer.access_token(UserId::new(), Role::Customer, source.now()).unwrap();
    assert!(source.takes(&verifier, &token).await && source.takes(&verifier, &other).await);
    let (signed, _) = token.rsplit_once('.').unwrap();
    let (_, signature) = other.rsplit_once('.').unwrap();
    assert!(!source.takes(&verifier, &format!("{signed}.{signature}")).await);
    assert!(source.takes(&verifier, &token).await);
}

#[tokio::test]
async fn verified_tokens_are_bounded_and_refused_ones_are_not_kept() {
    let source = Arc::new(Changing::default());
    let (verifier, signer) = (source.verifier(), signer("a"));
    source.holds(&[&signer]);
    assert!(!source.takes(&verifier, "a.b.c").await);
    assert_eq!(verifier.verified.len(), 0);
    for _ in 0..1_001 {
        assert!(source.lets_in(&verifier, &signer).await);
    }
    assert!(verifier.verified.len() <= 1_000);
    assert!(source.lets_in(&verifier, &signer).await);
}

fn context(deadline: Timestamp) -> Context {
    Context::new(Caller::Anonymous, deadline)
}

fn signer(letter: &str) -> Signer {
    Signer::from_secret(&letter.repeat(32)).unwrap()
}

async fn call(signed_by: &Signer, known: &Signer, later: Duration) -> Result<Caller, Error> {
    let token = signed_by.access_token(UserId::new(), Role::Staff, NOW).unwrap();
    let source = Arc::new(Fixed(vec![known.public_key().clone()]));
    let verifier = Verifier::new(source, Clock::from_fn(move || NOW.after(later)));
    verifier.caller(Some(format!("Bearer {token}").as_bytes()), &context(NOW.after(later))).await
}

#[tokio::test]
async fn a_token_identifies_its_user_and_role() {
    let ours = signer("a");
    let caller = call(&ours, &ours, Duration::ZERO).await.unwrap();
    assert!(caller.is_staff() && !caller.is_admin());
}

#[tokio::test]
async fn a_token_expires_after_fifteen_minutes() {
    let ours = signer("a");
    assert!(call(&ours, &ours, Duration::from_secs(899)).await.is_ok());
    assert!(call(&ours, &ours, Duration::from_secs(900)).await.is_err());
}

#[tokio::test]
async fn a_token_of_another_key_is_refused() {
    assert!(call(&signer("b"), &signer("a"), Duration::ZERO).await.is_err());
}
