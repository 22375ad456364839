//! Host of a task on Lambda: events that are neither requests nor calls, such as those of a schedule or of a
//! deployment.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures::FutureExt as _;
use http::HeaderMap;
use lambda_runtime::LambdaEvent;
use serde_json::Value;
use serde_json::value::RawValue;
use tracing::Instrument as _;

use super::context::{Context, DEFAULT_TIMEOUT, Deadline, InvocationId};
use super::lambda::deadline;
use super::metrics::{self, emf};
use super::run::Error;
use super::runtime_api;
use super::spans::ActiveSpan;
use super::telemetry::request_span;
use super::trace::Trace;
use crate::auth::Caller;
use crate::error;
use crate::values::clock::Clock;

/// Event of a task.
pub struct Event {
    /// JSON of the event.
    pub payload: Box<RawValue>,
    /// Context of the calls that it causes: the function itself is the caller. The deadline leaves the time to answer.
    pub context: Context,
    /// Stream of the log that has the lines of this process.
    pub log: LogStream,
}

/// Place of log lines in CloudWatch.
#[derive(Clone, Debug, Default)]
pub struct LogStream {
    /// Name of the log group.
    pub group: String,
    /// Name of the stream in it.
    pub stream: String,
}

/// Hands events to `handle`, one after the other, until Lambda ends the environment. `started` is the start of the
/// process.
///
/// # Errors
/// Error of the runtime if Lambda's runtime API is unavailable.
pub async fn run<H, F>(handle: H, started: Instant) -> Result<(), Error>
where
    H: Fn(Event) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Value, error::Error>> + Send + 'static,
{
    let handle = Arc::new(handle);
    let is_warm = Arc::new(AtomicBool::new(false));
    metrics::INIT.record([], started.elapsed());
    let answer = move |event| {
        let (handle, is_warm) = (handle.clone(), is_warm.clone());
        async move {
            if !is_warm.swap(true, Ordering::Relaxed) {
                metrics::COLD_STARTS.add([], 1);
            }
            let answer = answer(&*handle, event).await;
            emf::write(Clock::system().now());
            answer
        }
    };
    runtime_api::run(answer).await
}

/// Runs the handler. Its error fails the invocation, which Lambda may then repeat.
async fn answer<H, F>(handle: &H, event: LambdaEvent<Box<RawValue>>) -> Result<Value, Error>
where
    H: Fn(Event) -> F,
    F: Future<Output = Result<Value, error::Error>>,
{
    let event = Event::new(event, &Clock::system());
    let span = request_span(&event.context.request_id, &event.context.trace);
    let recorded = ActiveSpan::server(&span, &event.context.trace, "task");
    let work = async {
        match AssertUnwindSafe(async { handle(event).await }).catch_unwind().await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                tracing::error!(problem = %error, causes = error.causes(), "the task failed");
                Err(error.explanation().into())
            }
            Err(_) => {
                tracing::error!("the task panicked");
                Err("the task panicked".into())
            }
        }
    };
    let answer = work.instrument(span).await;
    recorded.end_task(answer.is_err());
    answer
}

impl Event {
    fn new(event: LambdaEvent<Box<RawValue>>, clock: &Clock) -> Self {
        let LambdaEvent { payload, context } = event;
        let Deadline(deadline) =
            deadline(context.deadline).unwrap_or(Deadline(clock.now().after(DEFAULT_TIMEOUT)));
        let config = &context.env_config;
        let log = LogStream { group: config.log_group.clone(), stream: config.log_stream.clone() };
        let context = Context {
            request_id: context.request_id.as_str().into(),
            trace: Trace::of(&HeaderMap::new(), context.xray_trace_id.as_deref()),
            invocation: InvocationId::of_lambda(&context.request_id),
            ..Context::new(Caller::System, deadline)
        };
        Self { payload, context, log }
    }
}
