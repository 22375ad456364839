//! Where a call arrives, in an envelope or over HTTP/2: keeps its deadline, and hands it to the tonic server.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures::FutureExt as _;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt as _};

use super::envelope::{self, Answer, AnswerEnvelope, Call, CallEnvelope};
use super::metadata;
#[cfg(feature = "socket")]
use crate::auth::Caller;
use crate::auth::Verifier;
use crate::clock::Clock;
use crate::context::Context;
#[cfg(feature = "socket")]
use crate::context::DEFAULT_TIMEOUT;

/// The internal entrance of a function.
#[derive(Clone)]
pub struct Entrance {
    server: BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>,
    service: &'static str,
    #[cfg_attr(not(feature = "socket"), expect(dead_code, reason = "envelopes have no access tokens"))]
    verifier: Option<Verifier>,
    clock: Clock,
}

/// Whom a call that comes over a socket is believed to be from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Whom its metadata names: only functions can send it.
    Metadata,
    /// The user of its access token, and nobody else: anybody can send it.
    Tokens,
}

impl Entrance {
    /// An entrance to `server`, which tonic has generated.
    pub fn new<S>(server: S, clock: Clock) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        Self { server: BoxCloneSyncService::new(server), service: S::NAME, verifier: None, clock }
    }

    /// The same entrance, which also takes access tokens where calls do not come in envelopes.
    pub fn verified_by(self, verifier: Verifier) -> Self {
        Self { verifier: Some(verifier), ..self }
    }

    /// The full name of the gRPC service.
    pub fn service(&self) -> &'static str {
        self.service
    }

    /// Answers one call as HTTP/2 has brought it. What cannot be done is a gRPC status.
    #[cfg(feature = "socket")]
    pub async fn answer_http2(&self, request: Request<Body>, trust: Trust) -> Response<Body> {
        let started = Instant::now();
        let path = request.uri().path().to_owned();
        let mut log = (Caller::Anyone, String::new());
        let answer = match self.context_over_http2(request.headers(), trust).await {
            Ok(context) => {
                log = (context.caller, context.request_id.clone());
                self.run(request, context).await
            }
            Err(status) => Err(status),
        };
        let response = answer.unwrap_or_else(|status| status.into_http());
        // An answer that is no error alone has its status in the trailers, and is a success.
        let code =
            response.headers().get("grpc-status").map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()));
        let (caller, request_id) = log;
        tracing::info!(%caller, request_id, "{path} {code:?} {} ms", started.elapsed().as_millis());
        response
    }

    /// Like that of a call in an envelope, but that an access token beats all that metadata says, which may
    /// not be believed at all; and that nobody ends this process as Lambda does, so that our own longest
    /// time is the limit.
    #[cfg(feature = "socket")]
    async fn context_over_http2(&self, headers: &HeaderMap, trust: Trust) -> Result<Context, Status> {
        let mut context = metadata::context(headers, &self.clock)?;
        context.deadline = context.deadline.min(self.clock.now().after(DEFAULT_TIMEOUT));
        if trust == Trust::Tokens && context.caller != Caller::Anyone {
            return Err(Status::unauthenticated(
                "here nobody is believed by metadata: send `authorization: Bearer` and an access token",
            ));
        }
        if let Some(token) = headers.get(header::AUTHORIZATION) {
            let Some(verifier) = &self.verifier else {
                return Err(Status::unauthenticated("here no access tokens are taken"));
            };
            let token = Some(token.as_bytes());
            context.caller = verifier.caller(token, &context.request_id, context.deadline).await?;
        }
        Ok(context)
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
        let (request, context) = self.unpack(call)?;
        pack(self.run(request, context).await?).await
    }

    async fn run(&self, mut request: Request<Body>, context: Context) -> Result<Response<Body>, Status> {
        let left = context.deadline.since(self.clock.now());
        if left.is_zero() {
            return Err(Status::deadline_exceeded("the call arrived after its deadline; nothing was done"));
        }
        request.extensions_mut().insert(context);
        let run = AssertUnwindSafe(self.server.clone().oneshot(request)).catch_unwind();
        match tokio::time::timeout(left, run).await {
            Err(_) => Err(Status::deadline_exceeded("the call was not done by its deadline")),
            Ok(Err(_)) => Err(Status::internal("the function failed")),
            Ok(Ok(Err(never))) => match never {},
            Ok(Ok(Ok(response))) => Ok(response),
        }
    }

    fn unpack(&self, call: Call) -> Result<(Request<Body>, Context), Status> {
        let headers = envelope::from_pairs(&call.headers)?;
        let context = metadata::context(&headers, &self.clock)?;
        let body = envelope::decode_body(&call.body)?;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(call.path)
            .body(Body::new(Full::new(body)))
            .map_err(envelope::garbled)?;
        *request.headers_mut() = headers;
        Ok((request, context))
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

/// The envelope that answers a call with this status alone.
pub fn error_payload(status: &Status) -> Vec<u8> {
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
