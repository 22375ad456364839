//! Measurements that Lambda and API Gateway make by themselves, and CloudWatch has as metrics.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;
use shared::values::clock::{Clock, Timestamp};

/// Invocation of a function.
#[derive(Clone, Debug, Serialize)]
pub struct Invocation {
    /// Function.
    pub function: String,
    /// Time at which its environment got it, in milliseconds since 1970.
    pub at: i64,
    /// Time that it took, in milliseconds, without the init of its environment.
    pub duration: f64,
    /// End of it.
    pub ending: Ending,
}

/// End of an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The function has answered, be it with an HTTP error.
    Answered,
    /// The function has failed: it ended, or took too long.
    Failed,
    /// Lambda has not run it, as too many ran already.
    Throttled,
}

/// Request that API Gateway has answered.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Request {
    /// Time at which it came, in milliseconds since 1970.
    pub at: i64,
    /// Time until its answer, in milliseconds.
    pub latency: f64,
    /// Status of the answer.
    pub status: u16,
    /// Bytes of the answer's body.
    pub bytes: u64,
}

/// All that was measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Measured {
    /// Invocations.
    pub invocations: Vec<Invocation>,
    /// Requests.
    pub requests: Vec<Request>,
}

/// Measurements since somebody asked for them; none are kept before that.
#[derive(Debug, Default)]
pub(crate) struct CloudWatch(Mutex<Option<Measured>>);

impl CloudWatch {
    /// Begins anew.
    pub(crate) fn begin(&self) {
        *self.lock() = Some(Measured::default());
    }

    /// Measurements so far.
    pub(crate) fn measured(&self) -> Measured {
        self.lock().clone().unwrap_or_default()
    }

    pub(crate) fn note_invocation(&self, function: &str, ending: Ending, watch: Stopwatch) {
        let (at, duration) = watch.stop();
        if let Some(measured) = self.lock().as_mut() {
            measured.invocations.push(Invocation { function: function.to_owned(), at, duration, ending });
        }
    }

    pub(crate) fn note_request(&self, status: u16, bytes: u64, watch: Stopwatch) {
        let (at, latency) = watch.stop();
        if let Some(measured) = self.lock().as_mut() {
            measured.requests.push(Request { at, latency, status, bytes });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Measured>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begin of something that takes a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Timestamp, Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(Clock::system().now(), Instant::now())
    }

    /// Time at which it began, in milliseconds since 1970, and the milliseconds since.
    fn stop(self) -> (i64, f64) {
        (self.0.millis(), self.1.elapsed().as_secs_f64() * 1_000.0)
    }
}
