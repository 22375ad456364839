//! What a tonic client talks to: a tower service that puts each call into an envelope and has it invoked, or
//! sends it over HTTP/2.
//!
//! It keeps the call's deadline, and turns all that can go wrong on the way into a gRPC status.

use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tonic::Status;
use tonic::body::Body;

use super::entrance::Entrance;
use super::envelope::{self, AnswerEnvelope, Call, CallEnvelope};
use super::metadata;
use crate::clock::Clock;

/// How a payload reaches a function and its answer comes back.
pub trait Invoke: Send + Sync {
    /// Delivers the payload once.
    fn invoke(&self, payload: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, Status>>;
}

/// A function in this process: for one machine, and for tests. The bytes are those that Lambda would carry.
impl Invoke for Entrance {
    fn invoke(&self, payload: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, Status>> {
        let entrance = self.clone();
        Box::pin(async move {
            // A task of its own: like a Lambda it goes on when the caller no longer waits.
            tokio::spawn(async move { entrance.handle(&payload).await })
                .await
                .map_err(|error| Status::internal(format!("the function ended: {error}")))
        })
    }
}

/// The way to one function.
#[derive(Clone)]
pub struct Channel {
    target: Target,
    clock: Clock,
}

#[derive(Clone)]
enum Target {
    Envelope(Arc<dyn Invoke>),
    #[cfg(feature = "socket")]
    Http2(Box<super::http2::Http2>),
}

impl Channel {
    /// A channel to `target`.
    pub fn new(target: Arc<dyn Invoke>, clock: Clock) -> Self {
        Self { target: Target::Envelope(target), clock }
    }

    /// A channel to a function that listens on a socket.
    #[cfg(feature = "socket")]
    pub fn over_http2(target: super::http2::Http2, clock: Clock) -> Self {
        Self { target: Target::Http2(Box::new(target)), clock }
    }

    async fn call(self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let (mut head, body) = request.into_parts();
        let now = self.clock.now();
        let deadline = metadata::deadline(&head.headers, now);
        // Absolute, so that a call which is on its way for too long is refused at the other end.
        head.headers.insert(metadata::DEADLINE, deadline.millis().into());
        let left = deadline.since(now);
        if left.is_zero() {
            return Err(missed(left));
        }
        let body = body.collect().await?.to_bytes();
        let answering = async {
            match self.target {
                Target::Envelope(function) => {
                    let call = Call {
                        path: head.uri.path().to_owned(),
                        headers: envelope::to_pairs(&head.headers),
                        body: envelope::encode_body(&body),
                    };
                    let payload = envelope::write(&CallEnvelope { grpc: call }, "the request")?;
                    read(&function.invoke(payload).await?)
                }
                #[cfg(feature = "socket")]
                Target::Http2(function) => function.send(head, body).await,
            }
        };
        tokio::time::timeout(left, answering).await.map_err(|_| missed(left))?
    }
}

fn missed(left: Duration) -> Status {
    Status::deadline_exceeded(format!("no answer within the {} ms that were left", left.as_millis()))
}

fn read(payload: &[u8]) -> Result<Response<Body>, Status> {
    let answer: AnswerEnvelope = serde_json::from_slice(payload).map_err(envelope::garbled)?;
    let answer = answer.grpc;
    let body: Bytes = envelope::decode_body(&answer.body)?;
    let trailers = envelope::from_pairs(&answer.trailers)?;
    let body = Full::new(body).with_trailers(async move { (!trailers.is_empty()).then_some(Ok(trailers)) });
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = http::StatusCode::from_u16(answer.status).map_err(envelope::garbled)?;
    *response.headers_mut() = envelope::from_pairs(&answer.headers)?;
    Ok(response)
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
