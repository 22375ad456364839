//! Transport of tonic clients: a tower service. It wraps each call in an envelope and invokes a function with
//! it, or sends the call over HTTP/2.
//!
//! It enforces the call's deadline, and repeats calls that may be repeated (see `retry`). Every failure of
//! the transport becomes a gRPC status.

use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use tonic::Status;
use tonic::body::Body;
use tracing::instrument::WithSubscriber as _;

use super::envelope::{Answer, Call};
use super::metadata;
use super::retry::{self, Retries};
use super::server::RpcServer;
use crate::runtime::spans::ActiveSpan;
use crate::runtime::trace::{TRACEPARENT, Trace};
use crate::values::clock::Clock;

/// Delivery of a payload to a function and of its answer back.
pub trait Invoke: Send + Sync {
    /// Delivers the payload once, without retries.
    fn invoke(&self, payload: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, Status>>;

    /// Delivers the payload for a request of this trace, which the transport itself may use. The payload
    /// contains the trace anyway.
    fn invoke_in(
        &self,
        payload: Vec<u8>,
        _trace: Option<&Trace>,
    ) -> BoxFuture<'static, Result<Vec<u8>, Status>> {
        self.invoke(payload)
    }
}

/// Function in this process, for local runs and tests. The bytes are those that Lambda would carry.
impl Invoke for RpcServer {
    fn invoke(&self, payload: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, Status>> {
        let rpc = self.clone();
        Box::pin(async move {
            // A separate task: like on Lambda, the work goes on when the caller no longer waits. Its log lines go
            // where the caller's go.
            let work = async move { rpc.handle(&payload).await };
            tokio::spawn(work.with_current_subscriber())
                .await
                .map_err(|error| Status::internal(format!("the function ended: {error}")))
        })
    }
}

/// Channel to one function. Clones share its retry budget.
#[derive(Clone)]
pub struct Channel {
    target: Target,
    retries: Retries,
    clock: Clock,
    /// Function that calls, if it has a name.
    function: Option<&'static str>,
}

#[derive(Clone)]
enum Target {
    Envelope(Arc<dyn Invoke>),
    #[cfg(feature = "socket")]
    Http2(Box<super::http2::Http2>),
}

impl Channel {
    /// Creates a channel that sends envelopes to `target`.
    pub fn new(target: Arc<dyn Invoke>, clock: Clock) -> Self {
        Self { target: Target::Envelope(target), retries: Retries::default(), clock, function: None }
    }

    /// Creates a channel to a function that listens on a socket.
    #[cfg(feature = "socket")]
    pub fn over_http2(target: super::http2::Http2, clock: Clock) -> Self {
        Self { target: Target::Http2(Box::new(target)), retries: Retries::default(), clock, function: None }
    }

    /// Names the function whose calls it sends: calls on the function's own behalf say so.
    pub fn named(self, function: &'static str) -> Self {
        Self { function: Some(function), ..self }
    }

    async fn call(self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let (mut head, body) = request.into_parts();
        let now = self.clock.now();
        let deadline = metadata::deadline(&head.headers, now);
        // The deadline is absolute: a call delivered late is refused by the callee, and all attempts have the
        // same one.
        head.headers.insert(metadata::DEADLINE, deadline.millis().into());
        if let Some(name) = self.function.filter(|_| head.headers.contains_key(metadata::CALLER)) {
            let key = HeaderName::from_static(metadata::FUNCTION);
            head.headers.insert(key, HeaderValue::from_static(name));
        }
        let left = deadline.since(now);
        if left.is_zero() {
            return Err(retry::missed(left));
        }
        let body = body.collect().await?.to_bytes();
        let path = head.uri.path();
        let answer = match self.target {
            Target::Envelope(function) => {
                let call = Call { path, headers: &head.headers, body: &body };
                // A call that is too large is no attempt.
                call.check()?;
                let attempt = |previous| {
                    let trace = head.extensions.get::<Trace>();
                    let (function, call) = (&function, &call);
                    let span = ActiveSpan::call(trace, path, previous);
                    async move {
                        let Some((span, trace)) = span else {
                            return Answer::read(&function.invoke_in(call.write()?, trace).await?);
                        };
                        let headers = below(call.headers.clone(), &trace);
                        let payload = Call { headers: &headers, ..*call }.write()?;
                        let answer = function.invoke_in(payload, Some(&trace)).await;
                        ended(span, answer.and_then(|answer| Answer::read(&answer)))
                    }
                };
                self.retries.call(path, left, attempt).await?
            }
            #[cfg(feature = "socket")]
            Target::Http2(function) => {
                let attempt = |previous| {
                    let (function, mut head, body) = (&function, head.clone(), body.clone());
                    let span = ActiveSpan::call(head.extensions.get::<Trace>(), path, previous);
                    async move {
                        let Some((span, trace)) = span else { return function.send(head, body).await };
                        head.headers = below(head.headers, &trace);
                        ended(span, function.send(head, body).await)
                    }
                };
                self.retries.call(path, left, attempt).await?
            }
        };
        Ok(answer.into_response())
    }
}

/// Headers of an attempt whose span is that of this trace.
fn below(mut headers: HeaderMap, trace: &Trace) -> HeaderMap {
    // It is ASCII by construction.
    if let Ok(parent) = HeaderValue::try_from(trace.parent()) {
        headers.insert(TRACEPARENT, parent);
    }
    headers
}

/// Ends the span of an attempt with this outcome.
fn ended(span: ActiveSpan, outcome: Result<Answer, Status>) -> Result<Answer, Status> {
    span.end_call(outcome.as_ref().map_or_else(Status::code, Answer::code));
    outcome
}

impl tower::Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().call(request))
    }
}
