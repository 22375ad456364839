//! Server side of calls, in envelopes or over HTTP/2: enforces their deadline and passes them to the tonic
//! server.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt as _;
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
#[cfg(feature = "socket")]
use http_body_util::{LengthLimitError, Limited};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt as _};
use tracing::Instrument as _;

use super::envelope::{self, Answer};
use super::metadata::{self, Claim};
use super::retry::code_of;
#[cfg(feature = "socket")]
use super::signature::{CallersSecret, Signature};
use crate::auth::{Caller, Identity, Verifier};
use crate::error::Error;
use crate::http::routes::headers::authorization;
#[cfg(feature = "socket")]
use crate::input::json::{BodyRefused, BodyTooLate, MAX_BODY, is_caused_by};
#[cfg(feature = "socket")]
use crate::runtime::context::DEFAULT_TIMEOUT;
use crate::runtime::context::{ColdStart, Context, InvocationId};
#[cfg(feature = "socket")]
use crate::runtime::listener::InProgress;
use crate::runtime::metrics;
use crate::runtime::spans::ActiveSpan;
use crate::runtime::telemetry::{CallLine, request_span};
use crate::runtime::trace::Trace;
use crate::values::clock::Clock;

/// Server for the calls of other functions.
#[derive(Clone)]
pub struct RpcServer {
    server: BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>,
    service: &'static str,
    verifier: Option<Verifier>,
    #[cfg(feature = "socket")]
    callers: Option<CallersSecret>,
    clock: Clock,
}

/// Facts that the environment knows of an event.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// ID of the event.
    pub id: InvocationId,
    /// Trace that the event belongs to.
    pub trace: Trace,
    /// True for the first event of a process.
    pub cold_start: ColdStart,
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
        Self {
            server: BoxCloneSyncService::new(server),
            service: S::NAME,
            verifier: None,
            #[cfg(feature = "socket")]
            callers: None,
            clock,
        }
    }

    /// Accepts access tokens too.
    pub fn verified_by(self, verifier: Verifier) -> Self {
        Self { verifier: Some(verifier), ..self }
    }

    /// Accepts calls of functions over a socket that are signed with this secret.
    #[cfg(feature = "socket")]
    pub fn trusting(self, callers: Option<CallersSecret>) -> Self {
        Self { callers, ..self }
    }

    /// Full name of the gRPC service.
    pub fn service(&self) -> &'static str {
        self.service
    }

    /// Answers one call over HTTP/2. Every failure is a gRPC status.
    ///
    /// Any client may choose the deadline of an unsigned call, so it ends the wait for the answer alone. The work
    /// goes on: it must not stop between two writes, and MongoDB's driver closes a connection whose command is
    /// dropped.
    #[cfg(feature = "socket")]
    pub async fn answer_http2(&self, request: Request<Body>) -> Response<Body> {
        let started = Instant::now();
        let mut context = metadata::context(request.headers(), &self.clock);
        let now = self.clock.now();
        // Unlike on Lambda this process is not killed after a timeout, so the default timeout is the limit.
        let latest = now.after(DEFAULT_TIMEOUT);
        context.deadline = context.deadline.min(latest);
        let left = context.deadline.since(now);
        let is_unsigned = matches!(metadata::claim(request.headers()), Ok(Claim::Nobody));
        if !is_unsigned || left.is_zero() {
            return self.answer_received(request, context, started).await;
        }
        context.deadline = latest;
        let in_progress = request.extensions().get::<InProgress>().cloned();
        let server = self.clone();
        let work = tokio::spawn(async move {
            let response = server.answer_received(request, context, started).await;
            drop(in_progress);
            response
        });
        match tokio::time::timeout(left, work).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => failed().into_http(),
            Err(_) => not_done().into_http(),
        }
    }

    /// Answers one call over HTTP/2 within the deadline of this context.
    #[cfg(feature = "socket")]
    async fn answer_received(
        &self,
        request: Request<Body>,
        mut context: Context,
        started: Instant,
    ) -> Response<Body> {
        let span = request_span(&context.request_id, &context.trace);
        let lines = span.clone();
        async {
            let path = request.uri().path().to_owned();
            let is_claimed = metadata::claim(request.headers()).is_ok_and(|claim| claim != Claim::Nobody);
            let request = self.with_proven_caller(request.map(bounded_body), &context).await;
            // Another function has decided what is recorded.
            if !is_claimed || request.is_err() {
                context.trace = context.trace.of_client();
            }
            let recorded = ActiveSpan::server(&lines, &context.trace, CALL);
            let arrived = Arrived { started, cold_start: None, recorded };
            self.answer(&path, request, context, arrived).await
        }
        .instrument(span)
        .await
    }

    /// Checks the signature of a call that names its caller, which takes the whole body. Any other call comes back
    /// as it is.
    #[cfg(feature = "socket")]
    async fn with_proven_caller(
        &self,
        request: Request<Body>,
        context: &Context,
    ) -> Result<Request<Body>, Status> {
        if metadata::claim(request.headers())? == Claim::Nobody {
            return Ok(request);
        }
        let Some(callers) = &self.callers else {
            return Err(Status::unauthenticated(
                "callers in the metadata are not trusted here; send `authorization: Bearer <access token>`",
            ));
        };
        let now = self.clock.now();
        let signature = Signature::read(request.headers(), now)?;
        let left = context.deadline.since(now);
        if left.is_zero() {
            return Err(late());
        }
        let check = async {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            callers.verify(&signature, head.uri.path(), &head.headers, &body).await?;
            Ok(Request::from_parts(head, Body::new(Full::new(body))))
        };
        let late = |_| Err(Status::deadline_exceeded("the call was not received by its deadline"));
        tokio::time::timeout(left, check).await.unwrap_or_else(late)
    }

    /// Identifies the caller by the access token, if there is one, else by the metadata, which is trusted.
    async fn identity(&self, path: &str, headers: &HeaderMap, context: &Context) -> Result<Identity, Status> {
        let claim = metadata::claim(headers)?;
        if let Some(token) = authorization(headers) {
            let Some(verifier) = &self.verifier else {
                return Err(Status::unauthenticated("here no access tokens are taken"));
            };
            return Ok(verifier.identify(Some(&token), context).await?);
        }
        match claim {
            Claim::Nobody => Ok(Identity::ANONYMOUS),
            Claim::Function(name) => function_caller(path, name).map(Identity::from),
            Claim::User => {
                Err(Status::permission_denied(format!("metadata identifies no user; {SEND_A_TOKEN}")))
            }
        }
    }

    /// Answers one envelope. There is always an answer: every failure is a gRPC status.
    pub async fn handle(&self, payload: &[u8]) -> Vec<u8> {
        self.handle_within(payload, None).await
    }

    /// Answers one envelope of this invocation, if that is known.
    pub async fn handle_within(&self, payload: &[u8], invocation: Option<Invocation>) -> Vec<u8> {
        let started = Instant::now();
        let mut request = match envelope::read_call(payload) {
            Ok(request) => request,
            Err(status) => {
                tracing::warn!("unreadable call: {:?}", status.code());
                return error_payload(&status);
            }
        };
        let mut context = metadata::context(request.headers(), &self.clock);
        if let Some(source) = metadata::source(request.headers()) {
            request.extensions_mut().insert(source);
        }
        let mut is_cold = None;
        if let Some(Invocation { id, trace, cold_start }) = invocation {
            context.invocation = id;
            context.trace = trace;
            is_cold = Some(cold_start);
        }
        let span = request_span(&context.request_id, &context.trace);
        let recorded = ActiveSpan::server(&span, &context.trace, CALL);
        let arrived = Arrived { started, cold_start: is_cold, recorded };
        async {
            let path = request.uri().path().to_owned();
            let request = request.map(|body| Body::new(Full::new(body)));
            let response = self.answer(&path, Ok(request), context, arrived).await;
            let packed = received(response).await.and_then(|answer| answer.write());
            packed.unwrap_or_else(|status| {
                tracing::error!("cannot send an answer: {}", status.message());
                error_payload(&status)
            })
        }
        .instrument(span)
        .await
    }

    /// Identifies the caller of a call, runs it, and writes its log line.
    async fn answer(
        &self,
        path: &str,
        request: Result<Request<Body>, Status>,
        mut context: Context,
        Arrived { started, cold_start, recorded }: Arrived,
    ) -> Response<Body> {
        let identified = async {
            let request = request?;
            if context.deadline <= self.clock.now() {
                return Err(late());
            }
            let identity = self.identity(path, request.headers(), &context).await?;
            Ok((request, identity))
        };
        let answer = match identified.await {
            Ok((request, Identity { caller, token })) => {
                (context.caller, context.token) = (caller, token);
                self.run(request, context.clone()).await
            }
            Err(status) => {
                note_refusal(&status);
                Err(status)
            }
        };
        let response = answer.unwrap_or_else(|status| status.into_http());
        let (method, duration) = (metrics::method(path), started.elapsed());
        log(method, context.caller, duration, cold_start, &response);
        let code = code_of(response.headers()).unwrap_or(Code::Ok);
        metrics::CALLS.record([method, metrics::grpc_code(code)], duration);
        recorded.end_answer(method, code);
        response
    }

    async fn run(&self, mut request: Request<Body>, mut context: Context) -> Result<Response<Body>, Status> {
        context.source = request.extensions().get().copied();
        let left = context.deadline.since(self.clock.now());
        if left.is_zero() {
            return Err(late());
        }
        request.extensions_mut().insert(context);
        let run = AssertUnwindSafe(self.server.clone().oneshot(request)).catch_unwind();
        match tokio::time::timeout(left, run).await {
            Err(_) => Err(not_done()),
            Ok(Err(_)) => Err(failed()),
            Ok(Ok(Err(never))) => match never {},
            Ok(Ok(Ok(response))) => Ok(response),
        }
    }
}

/// Name of the span of a call whose method is not known yet.
const CALL: &str = "call";

/// Call that has arrived.
struct Arrived {
    started: Instant,
    cold_start: Option<ColdStart>,
    recorded: ActiveSpan,
}

/// Caller of a call by a function with this name. Methods list the functions that may call them.
///
/// # Errors
/// `PERMISSION_DENIED` for a method that does not list it.
fn function_caller(path: &str, name: Option<&str>) -> Result<Caller, Status> {
    match proto::callers(path) {
        // The server has no such method, and says so.
        None => Ok(Caller::Anonymous),
        // An earlier build, which may still be warm, sends no name.
        Some(callers) if name.map_or(!callers.is_empty(), |name| callers.contains(&name)) => {
            Ok(Caller::System)
        }
        Some(_) => Err(Status::permission_denied(format!(
            "this function may not call this method on its own behalf; {SEND_A_TOKEN}"
        ))),
    }
}

/// Advice to a caller that was not believed.
const SEND_A_TOKEN: &str = "send `authorization: Bearer <access token>` of a user who may";

fn late() -> Status {
    Status::deadline_exceeded("the call arrived after its deadline; nothing was done")
}

fn not_done() -> Status {
    Status::deadline_exceeded("the call was not done by its deadline")
}

fn failed() -> Status {
    Status::internal("the function failed")
}

/// Body of a call, which fails beyond the largest one.
///
/// Its errors are `RESOURCE_EXHAUSTED` for one that is too large, `DEADLINE_EXCEEDED` for one that stays away,
/// `UNAVAILABLE` for one that a full listener does not wait for, and `CANCELLED` for one that breaks off.
#[cfg(feature = "socket")]
fn bounded_body(body: Body) -> Body {
    Body::new(Limited::new(body, MAX_REQUEST + PREFIX).map_err(|error| {
        if error.is::<LengthLimitError>() {
            Status::resource_exhausted(format!("the call has more than {MAX_REQUEST} bytes"))
        } else if is_caused_by::<BodyTooLate>(&*error) {
            Status::deadline_exceeded("the call was not received in time")
        } else if is_caused_by::<BodyRefused>(&*error) {
            Error::crowded().into()
        } else {
            Status::cancelled("the call broke off")
        }
    }))
}

/// Logs the reason why a caller was not believed, in words of this project.
fn note_refusal(status: &Status) {
    // An error has its own line.
    if std::error::Error::source(status).is_none() {
        tracing::warn!("a call was refused: {}", status.message());
    }
}

fn log(
    method: &'static str,
    caller: Caller,
    duration: Duration,
    cold_start: Option<ColdStart>,
    response: &Response<Body>,
) {
    // tonic puts the status of an answer without a message here; all others are successes.
    let status = response.extensions().get::<Status>();
    let code = status.map_or(Code::Ok, Status::code);
    let error = status.and_then(error_of);
    if !error.is_some_and(Error::is_counted) {
        CallLine { method, code, duration, cold_start, caller, error }.write();
    }
}

fn error_of(status: &Status) -> Option<&Error> {
    std::error::Error::source(status)?.downcast_ref()
}

/// Whole answer of the server.
async fn received(response: Response<Body>) -> Result<Answer, Status> {
    let (Parts { status, headers, .. }, body) = response.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    Ok(Answer { status, headers, body: body.to_bytes(), trailers })
}

/// Answer without a message: its status is in the headers.
fn refused(status: &Status) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    // This fails only for a message that no header can carry; the code is set even then.
    let _ = status.add_header(&mut headers);
    Answer { status: StatusCode::OK, headers, body: Bytes::new(), trailers: HeaderMap::new() }
}

/// Envelope of an answer with this status and no message.
pub fn error_payload(status: &Status) -> Vec<u8> {
    refused(status).write_unlimited()
}

/// Message limit of tonic clients and servers: as large as an envelope. So the envelope's limit is the only
/// one, and its error names the sizes.
pub const MAX_MESSAGE: usize = envelope::MAX_PAYLOAD;

/// Largest message of a call over a socket. It is in memory before its caller is known; an envelope has Lambda's own
/// limit, and a caller that IAM knows. A body of a REST client is as large, and JSON is longer than a message with the
/// same content. Calls between functions have a tenth of it at most.
#[cfg(feature = "socket")]
pub const MAX_REQUEST: usize = MAX_BODY;

/// Flag and length before a message.
#[cfg(feature = "socket")]
const PREFIX: usize = 5;
