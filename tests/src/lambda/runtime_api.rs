//! Lambda's Runtime API, of one environment: hands out invocations, and takes what came of them.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>, version 2018-06-01.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body as _, Incoming};
use serde_json::json;
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot, watch};

use super::server::{Answer, Lost};

/// The largest answer, in bytes: 6 MB and what Lambda adds to them.
pub const MAX_RESPONSE: usize = 6_291_556;

const PREFIX: &str = "/2018-06-01/runtime/";

/// An invocation on its way to the process.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) request_id: String,
    pub(crate) arn: String,
    /// Milliseconds since 1970.
    pub(crate) deadline: i64,
    pub(crate) trace_id: String,
    pub(crate) payload: Bytes,
    pub(crate) done: oneshot::Sender<Ending>,
}

/// Report of the process about an invocation.
#[derive(Debug)]
pub(crate) enum Ending {
    /// Its answer.
    Answer(Bytes),
    /// An error: `{"errorType", "errorMessage"}`.
    Error(Bytes),
    /// An answer of more bytes than Lambda takes.
    TooLarge(u64),
}

/// The Runtime API's side of an environment.
pub(crate) struct RuntimeApi {
    deliver: mpsc::UnboundedSender<Delivery>,
    deliveries: AsyncMutex<mpsc::UnboundedReceiver<Delivery>>,
    /// True if the process waits for an invocation.
    waiting: watch::Sender<bool>,
    running: Mutex<Option<(String, oneshot::Sender<Ending>)>>,
    failed_init: watch::Sender<Option<Bytes>>,
}

impl RuntimeApi {
    pub(crate) fn new() -> Self {
        let (deliver, deliveries) = mpsc::unbounded_channel();
        Self {
            deliver,
            deliveries: AsyncMutex::new(deliveries),
            waiting: watch::Sender::new(false),
            running: Mutex::default(),
            failed_init: watch::Sender::new(None),
        }
    }

    /// Gives the process an invocation, now or when it asks for the next one.
    pub(crate) fn deliver(&self, delivery: Delivery) {
        self.waiting.send_replace(false);
        // The receiver is in this very value.
        let _ = self.deliver.send(delivery);
    }

    /// Waits until the process has nothing to do and asks for an invocation.
    pub(crate) async fn waits(&self) {
        let mut waiting = self.waiting.subscribe();
        // The sender is in this very value.
        let _ = waiting.wait_for(|waiting| *waiting).await;
    }

    /// Waits until the process says that it cannot be initialised.
    pub(crate) async fn init_error(&self) -> Bytes {
        let mut failed = self.failed_init.subscribe();
        failed.wait_for(Option::is_some).await.ok().and_then(|error| error.clone()).unwrap_or_default()
    }

    /// Answers a request of the process.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Answer {
        let path = request.uri().path().to_owned();
        let path = path.strip_prefix(PREFIX).unwrap_or_default();
        match (request.method(), path.split('/').collect::<Vec<_>>().as_slice()) {
            (&Method::GET, ["invocation", "next"]) => self.next().await,
            (&Method::POST, ["invocation", id, "response"]) => self.response(id, request).await,
            (&Method::POST, ["invocation", id, "error"]) => {
                let error = request.into_body().collect().await.map_err(|_| Lost)?.to_bytes();
                self.end(id, Ending::Error(error))
            }
            (&Method::POST, ["init", "error"]) => {
                let error = request.into_body().collect().await.map_err(|_| Lost)?.to_bytes();
                self.failed_init.send_replace(Some(error));
                status(StatusCode::ACCEPTED)
            }
            _ => status(StatusCode::NOT_FOUND),
        }
    }

    async fn next(&self) -> Answer {
        /// Says when nobody waits any more, however that comes.
        struct Waiting<'a>(&'a watch::Sender<bool>);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.send_replace(false);
            }
        }
        let mut deliveries = self.deliveries.lock().await;
        self.waiting.send_replace(true);
        let _waiting = Waiting(&self.waiting);
        let Some(delivery) = deliveries.recv().await else { return Err(Lost) };
        let Delivery { request_id, arn, deadline, trace_id, payload, done } = delivery;
        *self.running() = Some((request_id.clone(), done));
        let answer = Response::builder()
            .header("content-type", "application/json")
            .header("lambda-runtime-aws-request-id", request_id)
            .header("lambda-runtime-deadline-ms", deadline)
            .header("lambda-runtime-invoked-function-arn", arn)
            .header("lambda-runtime-trace-id", trace_id)
            .body(Full::new(payload));
        answer.map_err(|_| Lost)
    }

    async fn response(&self, id: &str, request: Request<Incoming>) -> Answer {
        let said = request.body().size_hint().exact();
        match Limited::new(request.into_body(), MAX_RESPONSE).collect().await {
            Ok(body) => self.end(id, Ending::Answer(body.to_bytes())),
            Err(_) => {
                let size = said.unwrap_or(u64::try_from(MAX_RESPONSE).unwrap_or(u64::MAX));
                self.end(id, Ending::TooLarge(size))?;
                let error = json!({
                    "errorMessage": format!("Exceeded maximum allowed payload size ({MAX_RESPONSE} bytes)."),
                    "errorType": "RequestEntityTooLarge",
                });
                let answer = Response::builder().status(StatusCode::PAYLOAD_TOO_LARGE);
                answer.body(Full::new(error.to_string().into())).map_err(|_| Lost)
            }
        }
    }

    fn end(&self, id: &str, ending: Ending) -> Answer {
        let mut running = self.running();
        match running.take_if(|(running, _)| running == id) {
            Some((_, done)) => {
                // An invocation that has timed out has no reader.
                let _ = done.send(ending);
                status(StatusCode::ACCEPTED)
            }
            // An answer to another invocation than the one that runs.
            None => status(StatusCode::BAD_REQUEST),
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<(String, oneshot::Sender<Ending>)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn status(status: StatusCode) -> Answer {
    let answer = Response::builder().status(status).header("content-type", "application/json");
    answer.body(Full::new(Bytes::from_static(b"{}"))).map_err(|_| Lost)
}
