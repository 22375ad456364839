//! Repeats calls that may be repeated and were not answered, or answered `UNAVAILABLE`: a few times, after pauses
//! of random length, within the call's deadline, and only while most calls to the function go well.
//!
//! Nothing else repeats a call. The AWS SDK's own retries are disabled, and hyper's pool takes another connection
//! only for a request of which nothing was sent. A call between functions makes no call of its own, so that two
//! layers of this cannot multiply either.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::{Code, Status};

/// How often a call is sent, at most.
const ATTEMPTS: u32 = 3;

/// The longest pause before the second attempt. It doubles from one attempt to the next.
const LONGEST_FIRST_PAUSE: Duration = Duration::from_millis(100);

/// What must be left of the time after a pause: a warm function answers within it, mostly.
const ENOUGH: Duration = Duration::from_millis(100);

/// How long an attempt is waited for at least, if there is that much time: a cold start takes less.
const PATIENCE: Duration = Duration::from_secs(1);

/// An answer that has arrived as a whole.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) trailers: HeaderMap,
}

impl Received {
    /// What tonic reads.
    pub(super) fn into_response(self) -> Response<Body> {
        let trailers = self.trailers;
        let body =
            Full::new(self.body).with_trailers(async move { (!trailers.is_empty()).then_some(Ok(trailers)) });
        let mut response = Response::new(Body::new(body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }

    /// `UNAVAILABLE`, if that is the answer.
    fn unavailable(&self) -> Option<Status> {
        let status =
            Status::from_header_map(&self.trailers).or_else(|| Status::from_header_map(&self.headers))?;
        (status.code() == Code::Unavailable).then_some(status)
    }
}

/// Repeats the calls to one function. Clones share what they know of it.
#[derive(Clone, Default)]
pub(super) struct Retries(Arc<Budget>);

impl Retries {
    /// Sends a call of the method at `path` with `attempt`, again if that may be and is of use, and answers within
    /// `whole`.
    ///
    /// An attempt that others may follow is waited for half of what is left, so that an answer which got lost, or a
    /// function that was killed, does not cost the whole time. Such an attempt may still be at work when the next
    /// one is sent: that is the same to a method that may be repeated.
    pub(super) async fn call<A, F>(&self, path: &str, whole: Duration, attempt: A) -> Result<Received, Status>
    where
        A: Fn() -> F,
        F: Future<Output = Result<Received, Status>>,
    {
        let began = Instant::now();
        let left = || whole.saturating_sub(began.elapsed());
        let mut attempts = 1;
        loop {
            let more = attempts < ATTEMPTS && proto::may_be_repeated(path);
            let all = left();
            let limit = if more && self.0.has_another() { (all / 2).max(PATIENCE).min(all) } else { all };
            let (outcome, failure) = match tokio::time::timeout(limit, attempt()).await {
                Err(_) => {
                    let late = missed(if limit < all { limit } else { whole });
                    (Err(late.clone()), Some(late))
                }
                Ok(Ok(answer)) => {
                    let failure = answer.unavailable();
                    (Ok(answer), failure)
                }
                Ok(Err(status)) => {
                    let failure = (status.code() == Code::Unavailable).then(|| status.clone());
                    (Err(status), failure)
                }
            };
            let Some(failure) = failure else {
                self.0.succeeded();
                return outcome;
            };
            let pause = pause(attempts, rand::random());
            if !self.0.failed() || !more || left() < pause + ENOUGH {
                return outcome;
            }
            tracing::warn!("{path} is sent again in {} ms: {}", pause.as_millis(), failure.message());
            tokio::time::sleep(pause).await;
            attempts += 1;
        }
    }
}

/// There was no answer in time.
pub(super) fn missed(left: Duration) -> Status {
    Status::deadline_exceeded(format!("no answer within the {} ms that were left", left.as_millis()))
}

/// The pause after so many attempts. `random`, 0 to 1, chooses among all lengths up to the longest, so that callers
/// who failed together do not come back together.
fn pause(attempts: u32, random: f64) -> Duration {
    (LONGEST_FIRST_PAUSE * 2_u32.pow(attempts - 1)).mul_f64(random)
}

/// Spares a function that is in trouble: where every call fails, repeating would triple its load.
///
/// It is the retry throttling of gRPC (gRFC A6), with the figures of its example: 10 tokens, a failure costs one, a
/// success earns a tenth, and nothing is repeated unless more than half of them are there. In the long run that is
/// one repetition for ten successes. It counts in tenths.
struct Budget(AtomicU32);

const ALL_TOKENS: u32 = 100;
const FAILURE: u32 = 10;
const SUCCESS: u32 = 1;

impl Default for Budget {
    fn default() -> Self {
        Self(AtomicU32::new(ALL_TOKENS))
    }
}

impl Budget {
    /// Whether a call could be repeated after one more failure.
    fn has_another(&self) -> bool {
        self.0.load(Ordering::Relaxed) > ALL_TOKENS / 2 + FAILURE
    }

    /// Notes a failure, and tells whether the call may be repeated.
    fn failed(&self) -> bool {
        let less = |tokens: u32| Some(tokens.saturating_sub(FAILURE));
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).unwrap_or(0);
        before.saturating_sub(FAILURE) > ALL_TOKENS / 2
    }

    fn succeeded(&self) {
        let more = |tokens: u32| Some((tokens + SUCCESS).min(ALL_TOKENS));
        // It never fails: `more` always has an answer.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_anything_up_to_a_bound_that_doubles() {
        let millis = |attempts, random| pause(attempts, random).as_millis();
        assert_eq!([millis(1, 0.0), millis(1, 0.5), millis(1, 1.0)], [0, 50, 100]);
        assert_eq!([millis(2, 0.0), millis(2, 0.5), millis(2, 1.0)], [0, 100, 200]);
    }

    #[test]
    fn after_a_row_of_failures_it_takes_ten_successes_to_earn_one_repetition() {
        let budget = Budget::default();
        let repeated = (0..100).filter(|_| budget.failed()).count();
        assert_eq!(repeated, 4);
        for _ in 0..60 {
            budget.succeeded();
        }
        assert!(!budget.has_another() && !budget.failed());
        for _ in 0..11 {
            budget.succeeded();
        }
        assert!(budget.has_another() && budget.failed());
        assert!(!budget.failed());
    }
}
