//! Retries of calls that may be repeated, and were not answered or answered `UNAVAILABLE`. They are few,
//! after random pauses, within the call's deadline, and only while most calls to the function succeed.
//!
//! No other layer repeats a call. A call of Invoke is one request. hyper's pool uses another
//! connection only if nothing of the request was sent. A call of a function on its own behalf makes no
//! further calls, so retries in two layers cannot multiply either.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::{HeaderMap, Response};
use http_body_util::{BodyExt as _, Full};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::{Code, Status};

use super::envelope::Answer;
use crate::runtime::metrics;
use crate::runtime::telemetry::bounded;

/// Maximum number of attempts per call.
const ATTEMPTS: u32 = 3;

/// Longest pause before the second attempt. It doubles from one attempt to the next.
const LONGEST_FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Time that must be left after a pause: a warm function usually answers within it.
const ENOUGH: Duration = Duration::from_millis(100);

/// Shortest timeout of an attempt, if there is that much time: a cold start takes less.
const PATIENCE: Duration = Duration::from_secs(1);

impl Answer {
    /// Converts it to a response that tonic reads.
    pub(super) fn into_response(self) -> Response<Body> {
        let trailers = self.trailers;
        let body =
            Full::new(self.body).with_trailers(async move { (!trailers.is_empty()).then_some(Ok(trailers)) });
        let mut response = Response::new(Body::new(body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }

    /// Returns the status if it is `UNAVAILABLE`.
    fn unavailable(&self) -> Option<Status> {
        (self.code() == Code::Unavailable).then(|| self.grpc_status()).flatten()
    }

    /// Code of the status.
    pub(super) fn code(&self) -> Code {
        code_of(&self.trailers).or_else(|| code_of(&self.headers)).unwrap_or(Code::Ok)
    }

    fn grpc_status(&self) -> Option<Status> {
        Status::from_header_map(&self.trailers).or_else(|| Status::from_header_map(&self.headers))
    }
}

/// Code of the status in these headers, if there is one.
pub(super) fn code_of(headers: &HeaderMap) -> Option<Code> {
    let code = headers.get(Status::GRPC_STATUS)?;
    if headers.contains_key(Status::GRPC_MESSAGE) {
        // A message that cannot be read changes the code.
        return Status::from_header_map(headers).map(|status| status.code());
    }
    Some(Code::from_bytes(code.as_bytes()))
}

/// Retries of the calls to one function. Clones share the budget.
#[derive(Clone, Default)]
pub(super) struct Retries(Arc<Budget>);

impl Retries {
    /// Sends a call of the method at `path` with `attempt`, and answers within `whole`. Repeats it if that is
    /// allowed and useful. `attempt` gets the number of attempts before it.
    ///
    /// The timeout of an attempt that may be repeated is half of the remaining time. So a lost answer or a
    /// killed function does not cost the whole time. Such an attempt may still run when the next one is sent.
    /// That is harmless for methods that may be repeated.
    pub(super) async fn call<A, F>(&self, path: &str, whole: Duration, attempt: A) -> Result<Answer, Status>
    where
        A: Fn(u32) -> F,
        F: Future<Output = Result<Answer, Status>>,
    {
        let began = Instant::now();
        let left = || whole.saturating_sub(began.elapsed());
        let mut attempts = 1;
        loop {
            let more = attempts < ATTEMPTS && proto::may_be_repeated(path);
            let all = left();
            let limit = if more && self.0.has_another() { (all / 2).max(PATIENCE).min(all) } else { all };
            let sent = Instant::now();
            let (outcome, failure) = match tokio::time::timeout(limit, attempt(attempts - 1)).await {
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
            let code = match &outcome {
                Ok(answer) => answer.code(),
                Err(status) => status.code(),
            };
            metrics::OWN_CALLS.record([metrics::method(path), metrics::grpc_code(code)], sent.elapsed());
            let millis = began.elapsed().as_millis();
            tracing::debug!(attempt = attempts, failed = failure.is_some(), "called {path}, {millis} ms");
            let Some(failure) = failure else {
                self.0.succeeded();
                return outcome;
            };
            let pause = pause(attempts, rand::random());
            if !self.0.failed() || !more || left() < pause + ENOUGH {
                return outcome;
            }
            tracing::warn!("retrying {path} in {} ms: {}", pause.as_millis(), bounded(failure.message()));
            tokio::time::sleep(pause).await;
            attempts += 1;
        }
    }
}

/// Status for a missing answer.
pub(super) fn missed(left: Duration) -> Status {
    Status::deadline_exceeded(format!("no answer within the {} ms that were left", left.as_millis()))
}

/// Pause after so many attempts. `random`, from 0 to 1, chooses a length up to the longest. So callers that
/// failed together do not retry together.
fn pause(attempts: u32, random: f64) -> Duration {
    (LONGEST_FIRST_PAUSE * 2_u32.pow(attempts - 1)).mul_f64(random)
}

/// Retry budget, which protects a failing function: if every call fails, retries would triple its load.
///
/// It is gRPC's retry throttling (gRFC A6) with the figures of its example. There are 10 tokens. A failure
/// costs one, a success earns a tenth, and retries need more than half of them. In the long run that allows
/// one retry per ten successes. The counter is in tenths.
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
    /// Returns true if a call could still be repeated after one more failure.
    fn has_another(&self) -> bool {
        self.0.load(Ordering::Relaxed) > ALL_TOKENS / 2 + FAILURE
    }

    /// Records a failure, and returns true if the call may be repeated.
    fn failed(&self) -> bool {
        let less = |tokens: u32| Some(tokens.saturating_sub(FAILURE));
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).unwrap_or(0);
        before.saturating_sub(FAILURE) > ALL_TOKENS / 2
    }

    fn succeeded(&self) {
        let more = |tokens: u32| Some((tokens + SUCCESS).min(ALL_TOKENS));
        // This never fails, as `more` always returns a value.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_random_up_to_a_bound_that_doubles() {
        let millis = |attempts, random| pause(attempts, random).as_millis();
        assert_eq!([millis(1, 0.0), millis(1, 0.5), millis(1, 1.0)], [0, 50, 100]);
        assert_eq!([millis(2, 0.0), millis(2, 0.5), millis(2, 1.0)], [0, 100, 200]);
    }

    #[test]
    fn ten_successes_earn_one_retry_after_many_failures() {
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
