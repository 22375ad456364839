//! Where a call in an envelope arrives: unpacks it, keeps its deadline, and hands it to the tonic server.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures::FutureExt as _;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt as _};

use super::envelope::{self, Answer, AnswerEnvelope, Call, CallEnvelope};
use super::metadata;
use crate::clock::Clock;

/// The internal entrance of a function.
#[derive(Clone)]
pub struct Entrance {
    server: BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>,
    clock: Clock,
}

impl Entrance {
    /// An entrance to `server`, which tonic has generated.
    pub fn new<S>(server: S, clock: Clock) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        Self { server: BoxCloneSyncService::new(server), clock }
    }

    /// Answers one envelope. There is always an answer: what cannot be done is a gRPC status.
    pub async fn handle(&self, payload: &[u8]) -> Vec<u8> {
        let started = Instant::now();
        let mut path = String::new();
        let answer = match self.answer(payload, &mut path).await {
            Ok(answer) => answer,
            Err(status) => refused(&status),
        };
        let status = status_of(&answer);
        let payload = match envelope::write(&AnswerEnvelope { grpc: answer }, "the answer") {
            Ok(payload) => payload,
            Err(status) => error_payload(&status),
        };
        let millis = started.elapsed().as_millis();
        tracing::debug!("{path} {status:?} {millis} ms");
        payload
    }

    async fn answer(&self, payload: &[u8], path: &mut String) -> Result<Answer, Status> {
        let envelope: CallEnvelope = serde_json::from_slice(payload).map_err(envelope::garbled)?;
        let call = envelope.grpc;
        path.clone_from(&call.path);
        let request = self.unpack(call)?;
        let now = self.clock.now();
        let left = metadata::deadline(request.headers(), now).since(now);
        if left.is_zero() {
            return Err(Status::deadline_exceeded("the call arrived after its deadline; nothing was done"));
        }
        let run = AssertUnwindSafe(self.server.clone().oneshot(request)).catch_unwind();
        match tokio::time::timeout(left, run).await {
            Err(_) => Err(Status::deadline_exceeded("the call was not done by its deadline")),
            Ok(Err(_)) => Err(Status::internal("the function failed")),
            Ok(Ok(Err(never))) => match never {},
            Ok(Ok(Ok(response))) => pack(response).await,
        }
    }

    fn unpack(&self, call: Call) -> Result<Request<Body>, Status> {
        let headers = envelope::from_pairs(&call.headers)?;
        let context = metadata::context(&headers, &self.clock)?;
        let body = envelope::decode_body(&call.body)?;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(call.path)
            .body(Body::new(Full::new(body)))
            .map_err(envelope::garbled)?;
        *request.headers_mut() = headers;
        request.extensions_mut().insert(context);
        Ok(request)
    }
}

async fn pack(response: Response<Body>) -> Result<Answer, Status> {
    let (head, body) = response.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().map(envelope::to_pairs).unwrap_or_default();
    Ok(Answer {
        status: head.status.as_u16(),
        headers: envelope::to_pairs(&head.headers),
        body: envelope::encode_body(&body.to_bytes()),
        trailers,
    })
}

/// An answer that is an error alone: its status stands in the headers.
fn refused(status: &Status) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    // It fails only for a message that no header can carry; the code is there then all the same.
    let _ = status.add_header(&mut headers);
    Answer { status: 200, headers: envelope::to_pairs(&headers), body: String::new(), trailers: Vec::new() }
}

fn error_payload(status: &Status) -> Vec<u8> {
    serde_json::to_vec(&AnswerEnvelope { grpc: refused(status) }).unwrap_or_default()
}

fn status_of(answer: &Answer) -> Code {
    answer
        .trailers
        .iter()
        .chain(&answer.headers)
        .find(|(name, _)| name == "grpc-status")
        .map_or(Code::Unknown, |(_, code)| Code::from_bytes(code.as_bytes()))
}

/// A tonic client or server that takes messages as large as an envelope can carry: then the envelope's
/// limit is the only one, and its message says what it is.
pub const MAX_MESSAGE: usize = envelope::MAX_PAYLOAD;
