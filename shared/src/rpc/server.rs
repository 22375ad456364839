//! Server side of calls, in envelopes or over HTTP/2: enforces their deadline and passes them to the tonic
//! server.

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
use tracing::Instrument as _;

use super::envelope::{self, Answer, AnswerEnvelope, Call, CallEnvelope};
use super::metadata;
use crate::auth::{Caller, Identity, Verifier};
use crate::error::Error;
#[cfg(feature = "socket")]
use crate::http::routes::headers::authorization;
#[cfg(feature = "socket")]
use crate::runtime::context::DEFAULT_TIMEOUT;
use crate::runtime::context::{Context, InvocationId};
use crate::runtime::telemetry::{bounded, request_span};
use crate::runtime::trace::Trace;
use crate::values::clock::Clock;

/// Server for the calls of other functions.
#[derive(Clone)]
pub struct RpcServer {
    server: BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>,
    service: &'static str,
    #[cfg_attr(not(feature = "socket"), expect(dead_code, reason = "envelopes have no access tokens"))]
    verifier: Option<Verifier>,
    clock: Clock,
}

/// Facts that the environment knows of an event.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// ID of the event.
    pub id: InvocationId,
    /// Trace that the event belongs to.
    pub trace: Trace,
}

/// Trust in the identity that a call over a socket claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerTrust {
    /// The metadata is trusted: only functions can send calls.
    Metadata,
    /// Only access tokens are trusted: anybody can send calls.
    Tokens,
}

impl RpcServer {
    /// Wraps `server`, which tonic has generated.
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

    /// Accepts access tokens too, for calls that do not come in envelopes.
    pub fn verified_by(self, verifier: Verifier) -> Self {
        Self { verifier: Some(verifier), ..self }
    }

    /// Full name of the gRPC service.
    pub fn service(&self) -> &'static str {
        self.service
    }

    /// Answers one call over HTTP/2. Every failure is a gRPC status.
    #[cfg(feature = "socket")]
    pub async fn answer_http2(&self, request: Request<Body>, trust: CallerTrust) -> Response<Body> {
        let started = Instant::now();
        let mut context = metadata::context(request.headers(), &self.clock);
        // Unlike on Lambda this process is not killed after a timeout, so the default timeout is the limit.
        context.deadline = context.deadline.min(self.clock.now().after(DEFAULT_TIMEOUT));
        let span = request_span(&context.request_id, &context.trace);
        async {
            let identity = self.identity_over_http2(request.headers(), trust, &context).await;
            self.answer(request, context, identity, started).await
        }
        .instrument(span)
        .await
    }

    /// Identifies the caller. Unlike in an envelope, an access token takes precedence over metadata, which
    /// may not be trusted at all.
    #[cfg(feature = "socket")]
    async fn identity_over_http2(
        &self,
        headers: &HeaderMap,
        trust: CallerTrust,
        context: &Context,
    ) -> Result<Identity, Status> {
        let caller = metadata::caller(headers)?;
        if trust == CallerTrust::Tokens && caller != Caller::Anonymous {
            return Err(Status::unauthenticated(
                "callers are not trusted by metadata here; send `authorization: Bearer <access token>`",
            ));
        }
        let Some(token) = authorization(headers) else { return Ok(caller.into()) };
        let Some(verifier) = &self.verifier else {
            return Err(Status::unauthenticated("here no access tokens are taken"));
        };
        Ok(verifier.identify(Some(&token), context).await?)
    }

    /// Answers one envelope. There is always an answer: every failure is a gRPC status.
    pub async fn handle(&self, payload: &[u8]) -> Vec<u8> {
        self.handle_within(payload, None).await
    }

    /// Answers one envelope of this invocation, if that is known.
    pub async fn handle_within(&self, payload: &[u8], invocation: Option<Invocation>) -> Vec<u8> {
        let started = Instant::now();
        let request = match unpack(payload) {
            Ok(request) => request,
            Err(status) => {
                tracing::warn!("unreadable call: {:?}", status.code());
                return error_payload(&status);
            }
        };
        let mut context = metadata::context(request.headers(), &self.clock);
        if let Some(Invocation { id, trace }) = invocation {
            context.invocation = id;
            context.trace = trace;
        }
        let span = request_span(&context.request_id, &context.trace);
        async {
            let identity = metadata::caller(request.headers()).map(Identity::from);
            let response = self.answer(request, context, identity, started).await;
            let packed = pack(response)
                .await
                .and_then(|answer| envelope::write(&AnswerEnvelope { grpc: answer }, "the answer"));
            packed.unwrap_or_else(|status| {
                tracing::error!("cannot send an answer: {}", status.message());
                error_payload(&status)
            })
        }
        .instrument(span)
        .await
    }

    /// Runs a call and writes its log line.
    async fn answer(
        &self,
        request: Request<Body>,
        mut context: Context,
        identity: Result<Identity, Status>,
        started: Instant,
    ) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let answer = match identity {
            Ok(Identity { caller, token }) => {
                (context.caller, context.token) = (caller, token);
                self.run(request, context.clone()).await
            }
            Err(status) => Err(status),
        };
        let response = answer.unwrap_or_else(|status| status.into_http());
        log(&path, context.caller, started, &response);
        response
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
}

fn log(path: &str, caller: Caller, started: Instant, response: &Response<Body>) {
    // tonic puts the status of an answer without a message here; all others are successes.
    let status = response.extensions().get::<Status>();
    let code = status.map_or(Code::Ok, Status::code);
    let (path, millis) = (bounded(path), started.elapsed().as_millis());
    match status {
        Some(status) if matches!(code, Code::Internal | Code::Unknown | Code::Unavailable) => {
            let (problem, causes) = for_log(status);
            tracing::error!(%caller, problem, causes, "{path} {code:?} {millis} ms");
        }
        Some(status) => {
            let (problem, _) = for_log(status);
            tracing::info!(%caller, problem, "{path} {code:?} {millis} ms");
        }
        None => tracing::info!(%caller, "{path} {code:?} {millis} ms"),
    }
}

/// Text of an error for the log, and its cause. The message of a status is for the client: it may repeat its data.
fn for_log(status: &Status) -> (String, String) {
    let error = std::error::Error::source(status).and_then(|source| source.downcast_ref::<Error>());
    error.map(|error| (error.to_string(), error.causes().to_owned())).unwrap_or_default()
}

fn unpack(payload: &[u8]) -> Result<Request<Body>, Status> {
    let envelope: CallEnvelope = serde_json::from_slice(payload).map_err(envelope::garbled)?;
    let Call { path, headers, body } = envelope.grpc;
    let headers = envelope::from_pairs(&headers)?;
    let body = envelope::decode_body(&body)?;
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .body(Body::new(Full::new(body)))
        .map_err(envelope::garbled)?;
    *request.headers_mut() = headers;
    Ok(request)
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

/// Answer without a message: its status is in the headers.
fn refused(status: &Status) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    // This fails only for a message that no header can carry; the code is set even then.
    let _ = status.add_header(&mut headers);
    Answer { status: 200, headers: envelope::to_pairs(&headers), body: String::new(), trailers: Vec::new() }
}

/// Envelope of an answer with this status and no message.
pub fn error_payload(status: &Status) -> Vec<u8> {
    serde_json::to_vec(&AnswerEnvelope { grpc: refused(status) }).unwrap_or_default()
}

/// Message limit of tonic clients and servers: as large as an envelope. So the envelope's limit is the only
/// one, and its error names the sizes.
pub const MAX_MESSAGE: usize = envelope::MAX_PAYLOAD;
