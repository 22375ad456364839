//! Host of a function on Lambda: one handler for both kinds of events, API Gateway's and calls from other
//! functions.
//!
//! A [`Host`] builds the function in the init phase, where there is time and a full CPU. A failure does not
//! end the process: every request tries again, and is answered 503 if that fails too. If MongoDB refuses the
//! credentials, the function is rebuilt with the current secrets, and the request runs again. If MongoDB refuses
//! a write since the build is too old, the function is given up until it can be built again. Every request is
//! answered before Lambda would end it. Metrics are written at the end of each event.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::response::Response;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt as _;
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use lambda_http::request::{LambdaRequest, RequestContext};
use lambda_http::{Adapter, RequestExt as _};
use lambda_runtime::{Context, LambdaEvent};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::Mutex;
use tower::{Service, ServiceBuilder};
use tracing::{Instrument as _, Span};

use crate::auth::Caller;
use crate::error::{self, Kind};
use crate::http::base_path::{BasePath, with_path};
use crate::http::routes::headers;
use crate::mongo::{self, Refusal};
use crate::rpc::envelope::Pairs;
use crate::rpc::server::{self, Invocation};
use crate::runtime::context::{
    ColdStart, Deadline, InvocationId, REQUEST_ID, SourceAddress, client_request_id, request_id,
};
use crate::runtime::metrics::{self, emf};
use crate::runtime::run::{Error, ServiceApp};
use crate::runtime::runtime_api;
use crate::runtime::telemetry::{CallLine, NO_ROUTE, RequestLine, method_name, request_span};
use crate::runtime::trace::{TRACEPARENT, TRACESTATE, Trace};
use crate::values::clock::{Clock, Timestamp};

/// Headers of an event that the host reads.
static EVENT_HEADERS: [HeaderName; 3] =
    [REQUEST_ID, HeaderName::from_static(TRACEPARENT), HeaderName::from_static(TRACESTATE)];

/// Time between the end of the work and Lambda's own deadline, in which to answer.
const MARGIN: Duration = Duration::from_millis(500);

/// Timeout for building the function, in the init phase and in a request.
const BUILD_TIMEOUT: Duration = Duration::from_secs(3);

/// Time after a failed rebuild in which a further refusal causes no rebuild.
///
/// Between a change of the password and the change of the secret some seconds pass. Only fetching again helps
/// then.
const RENEW_AFTER: Duration = Duration::from_secs(5);

/// Answers events until Lambda ends the environment. `build` creates the function from its dependencies, below this
/// base path. `started` is the time at which the process began.
///
/// # Errors
/// Error of the runtime if Lambda's runtime API is unavailable.
pub async fn run<B, F>(build: B, base_path: BasePath, started: Instant) -> Result<(), Error>
where
    B: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<ServiceApp, error::Error>> + Send + 'static,
{
    let host = Arc::new(Host::new(build, Clock::system()).with_base_path(base_path));
    host.init().await;
    metrics::INIT.record([], started.elapsed());
    let answer = move |event| {
        let host = host.clone();
        async move { host.answer(event).await }
    };
    runtime_api::run(answer).await
}

type Build = dyn Fn() -> BoxFuture<'static, Result<ServiceApp, error::Error>> + Send + Sync;

/// Host that builds a function and answers events with it.
pub struct Host {
    build: Box<Build>,
    clock: Clock,
    /// Base path of the function, for answers of the host itself.
    base_path: BasePath,
    state: Mutex<State>,
    /// True once the first event has come.
    is_warm: AtomicBool,
}

#[derive(Default)]
struct State {
    /// `None` until it is built.
    built: Option<Built>,
    /// Start and error of the last failed build.
    failed: Option<(Instant, Arc<error::Error>)>,
}

#[derive(Clone)]
struct Built {
    function: ServiceApp,
    at: Instant,
}

impl Host {
    /// Creates a host of the function that `build` creates.
    pub fn new<B, F>(build: B, clock: Clock) -> Self
    where
        B: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<ServiceApp, error::Error>> + Send + 'static,
    {
        Self {
            build: Box::new(move || Box::pin(build())),
            clock,
            base_path: BasePath::default(),
            state: Mutex::default(),
            is_warm: AtomicBool::new(false),
        }
    }

    /// Sets the base path, which the problems of a function that is not built need.
    pub fn with_base_path(self, base_path: BasePath) -> Self {
        Self { base_path, ..self }
    }

    /// Builds the function before the first request. A failure is logged, and requests try again.
    pub async fn init(&self) {
        // The error is logged already.
        let _ = self.built().await;
    }

    /// Returns the function. If needed, one request builds it while the others wait.
    async fn built(&self) -> Result<Built, Arc<error::Error>> {
        let arrived = Instant::now();
        let mut state = self.state.lock().await;
        if let Some(built) = &state.built {
            return Ok(built.clone());
        }
        match &state.failed {
            Some((begun, error)) if *begun >= arrived => Err(error.clone()),
            _ => self.rebuild(&mut state).await,
        }
    }

    /// Rebuilds the function in place of `refused`, whose credentials MongoDB has refused.
    async fn renewed(&self, refused: &Built) -> Option<Built> {
        let mut state = self.state.lock().await;
        if let Some(built) = state.built.as_ref().filter(|built| built.at > refused.at) {
            return Some(built.clone());
        }
        if state.failed.as_ref().is_some_and(|(begun, _)| begun.elapsed() < RENEW_AFTER) {
            return None;
        }
        tracing::warn!("MongoDB refused the credentials; fetching the secrets again");
        self.rebuild(&mut state).await.ok()
    }

    /// Gives up the function, whose build MongoDB has refused. Until it can be built again, no request is handed
    /// to it: what it reads may be of a later build, too.
    async fn retire(&self, outdated: &Built) {
        let mut state = self.state.lock().await;
        if state.built.as_ref().is_some_and(|built| built.at == outdated.at) {
            tracing::error!("MongoDB refused the writes of this build, which is too old");
            state.built = None;
        }
    }

    async fn rebuild(&self, state: &mut State) -> Result<Built, Arc<error::Error>> {
        let begun = Instant::now();
        let result = match tokio::time::timeout(BUILD_TIMEOUT, (self.build)()).await {
            Ok(result) => result,
            Err(_) => Err(error::Error::unavailable(format!(
                "the dependencies of the function were unavailable for {} s",
                BUILD_TIMEOUT.as_secs()
            ))),
        };
        match result {
            Ok(function) => {
                let built = Built { function, at: Instant::now() };
                *state = State { built: Some(built.clone()), failed: None };
                Ok(built)
            }
            Err(error) => {
                let causes = error.causes();
                tracing::error!(causes, "the function is not ready; the next request tries again");
                let error = Arc::new(error);
                state.failed = Some((begun, error.clone()));
                Err(error)
            }
        }
    }

    /// Answers an event before its deadline, and writes what was measured.
    ///
    /// # Errors
    /// Error for an event that is neither a request nor a call.
    pub async fn answer(&self, event: LambdaEvent<Box<RawValue>>) -> Result<Box<RawValue>, Error> {
        let answer = self.answer_in_time(event).await;
        emf::write(self.clock.now());
        answer
    }

    async fn answer_in_time(&self, event: LambdaEvent<Box<RawValue>>) -> Result<Box<RawValue>, Error> {
        let LambdaEvent { payload, context } = event;
        let is_cold = !self.is_warm.swap(true, Ordering::Relaxed);
        if is_cold {
            metrics::COLD_STARTS.add([], 1);
        }
        let event = Event::new(&payload, context, &self.base_path, ColdStart(is_cold));
        let Some(Deadline(deadline)) = deadline(event.context.deadline) else {
            return self.work(&event).await;
        };
        let left = deadline.since(self.clock.now());
        match tokio::time::timeout(left, self.work(&event)).await {
            Ok(answer) => answer,
            Err(_) => {
                let late = "stopped shortly before Lambda's deadline";
                event.refuse(Arc::new(error::Error::unavailable(late))).instrument(event.span()).await
            }
        }
    }

    async fn work(&self, event: &Event<'_>) -> Result<Box<RawValue>, Error> {
        let ready = self.state.try_lock().ok().and_then(|state| state.built.clone());
        let built = match ready {
            Some(built) => Ok(built),
            None => self.built().instrument(event.span()).await,
        };
        let built = match built {
            Ok(built) => built,
            Err(error) => return event.refuse(error).instrument(event.span()).await,
        };
        let (answer, refusal) = mongo::track_refusals(event.hand_to(built.function.clone())).await;
        if refusal == Some(Refusal::Build) {
            self.retire(&built).instrument(event.span()).await;
        }
        if refusal == Some(Refusal::Credentials)
            && let Some(built) = self.renewed(&built).instrument(event.span()).await
            // Work that succeeded all the same has its answer.
            && answer.as_ref().is_ok_and(|answer| is_unavailable(answer))
        {
            // MongoDB has refused a step, so that nothing of it was done. The steps before it find their own
            // effects: the event has the same ID again.
            return event.hand_to(built.function).await;
        }
        answer
    }
}

/// Event, which may be passed to a function more than once.
struct Event<'a> {
    payload: &'a RawValue,
    fields: EventFields<'a>,
    base_path: &'a BasePath,
    context: Context,
    request_id: Arc<str>,
    invocation: Invocation,
    began: Instant,
}

impl<'a> Event<'a> {
    fn new(payload: &'a RawValue, context: Context, base_path: &'a BasePath, cold_start: ColdStart) -> Self {
        let fields = EventFields::of(payload);
        let headers = fields.headers();
        let (request_id, trace) =
            (request_id(&headers), Trace::of(&headers, context.xray_trace_id.as_deref()));
        let id = InvocationId::of_lambda(&context.request_id);
        let invocation = Invocation { id, trace, cold_start };
        Self { payload, fields, base_path, context, request_id, invocation, began: Instant::now() }
    }

    /// Span for log lines from before the function runs, which creates its own span.
    fn span(&self) -> Span {
        request_span(&self.request_id, &self.invocation.trace)
    }

    async fn hand_to(&self, function: ServiceApp) -> Result<Box<RawValue>, Error> {
        if self.fields.grpc.is_none() {
            return self.request(function.router).await;
        }
        let Some(rpc) = function.rpc else {
            return Err("this function accepts no calls from other functions".into());
        };
        raw(rpc.handle_within(self.payload.get().as_bytes(), Some(self.invocation.clone())).await)
    }

    /// Answers with an error of the host itself.
    async fn refuse(&self, error: Arc<error::Error>) -> Result<Box<RawValue>, Error> {
        if self.fields.grpc.is_some() {
            self.call_line(&error).write();
            return raw(server::error_payload(&tonic::Status::from(&*error)));
        }
        let (line, base_path) = (self.line(), self.base_path.clone());
        let problem = move |request: lambda_http::Request| {
            let (method, path) = (method_name(request.method()), request.uri().path());
            let id = request_id(request.headers());
            let status = error.kind().status().as_u16();
            RequestLine { method, status, error: Some(&error), ..line.clone() }.write();
            let mut response = error.to_problem(&base_path, path, &id);
            if let Ok(id) = HeaderValue::from_str(&id) {
                response.headers_mut().insert("x-request-id", id);
            }
            headers::secure(response.headers_mut());
            std::future::ready(Ok::<_, Infallible>(response))
        };
        self.request(tower::service_fn(problem)).await
    }

    /// Line of a request that no route has seen.
    fn line<'error>(&self) -> RequestLine<'error> {
        RequestLine {
            method: "OTHER",
            route: NO_ROUTE,
            status: 0,
            duration: self.began.elapsed(),
            cold_start: Some(self.invocation.cold_start),
            caller: Caller::Anonymous,
            error: None,
        }
    }

    fn call_line<'error>(&self, error: &'error error::Error) -> CallLine<'error> {
        let call: Option<CalledPath> = self.fields.grpc.and_then(parsed);
        CallLine {
            method: call.map_or(metrics::OTHER, |call| metrics::method(&call.path)),
            code: error.kind().code(),
            duration: self.began.elapsed(),
            cold_start: Some(self.invocation.cold_start),
            caller: Caller::Anonymous,
            error: Some(error),
        }
    }

    async fn request<S>(&self, service: S) -> Result<Box<RawValue>, Error>
    where
        S: Service<lambda_http::Request, Response = Response, Error = Infallible>,
        S::Future: Send + 'static,
    {
        // Not as a `LambdaRequest`, which is read by trial of each kind, from a copy.
        let payload: ApiGatewayV2httpRequest = serde_json::from_str(self.payload.get()).map_err(|error| {
            // The error's own text may repeat what was sent.
            let cause = error::Cause::from(error);
            format!("neither an API Gateway event (HTTP API, payload 2.0) nor a call: {}", cause.as_str())
        })?;
        let id = HeaderValue::from_str(&self.request_id)?;
        let invocation = self.invocation.clone();
        let deadline = deadline(self.context.deadline);
        let prepare = move |mut request: lambda_http::Request| {
            // Restores the raw path: API Gateway has chosen the function by it, and the adapter has resolved
            // `.` and `..` in it.
            if let Some(uri) = with_path(request.uri(), request.raw_http_path()) {
                *request.uri_mut() = uri;
            }
            request.headers_mut().insert(REQUEST_ID, id.clone());
            request.extensions_mut().insert(invocation.id);
            request.extensions_mut().insert(invocation.trace.clone());
            request.extensions_mut().insert(invocation.cold_start);
            if let Some(address) = source_address(&request) {
                request.extensions_mut().insert(address);
            }
            if let Some(deadline) = deadline {
                request.extensions_mut().insert(deadline);
            }
            request
        };
        let service = ServiceBuilder::new().map_request(prepare).service(service);
        let event =
            LambdaEvent { payload: LambdaRequest::ApiGatewayV2(payload), context: self.context.clone() };
        // The adapter cannot be held across an await point. It panics if host, path and query of an event
        // form no URI.
        match catch_unwind(AssertUnwindSafe(|| Adapter::from(service).call(event))) {
            Ok(answering) => Ok(to_raw_value(&answering.await?)?),
            Err(_) => self.no_request().await,
        }
    }

    /// Answers an event of API Gateway that is no valid request: 400, in the format of its events.
    async fn no_request(&self) -> Result<Box<RawValue>, Error> {
        let error = error::Error::new(Kind::MalformedRequest, "Host, path and query do not form a URI.");
        RequestLine { status: error.kind().status().as_u16(), error: Some(&error), ..self.line() }.write();
        let mut response = error.to_problem(self.base_path, "", &self.request_id);
        response.headers_mut().insert(REQUEST_ID, HeaderValue::from_str(&self.request_id)?);
        headers::secure(response.headers_mut());
        let (head, body) = response.into_parts();
        let pairs =
            head.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        Ok(to_raw_value(&json!({
            "statusCode": head.status.as_u16(),
            "headers": pairs.collect::<HashMap<_, _>>(),
            "body": String::from_utf8(body.collect().await?.to_bytes().to_vec())?,
            "isBase64Encoded": false,
            "cookies": [],
        }))?)
    }
}

/// Address of the client of API Gateway.
fn source_address(request: &lambda_http::Request) -> Option<SourceAddress> {
    match request.request_context_ref()? {
        RequestContext::ApiGatewayV2(context) => {
            context.http.source_ip.as_deref()?.parse().ok().map(SourceAddress)
        }
        _ => None,
    }
}

/// Returns true for an answer that says 503, or UNAVAILABLE in an envelope.
fn is_unavailable(answer: &RawValue) -> bool {
    match serde_json::from_str(answer.get()) {
        Ok(Outcome { status: Some(status), .. }) => status == StatusCode::SERVICE_UNAVAILABLE.as_u16(),
        Ok(Outcome { grpc: Some(call), .. }) => {
            let unavailable = i32::from(tonic::Code::Unavailable).to_string();
            let is_status = |name: &str| name.eq_ignore_ascii_case("grpc-status");
            call.headers.iter().any(|(name, value)| is_status(name) && value == unavailable)
        }
        _ => false,
    }
}

/// Status of an answer: HTTP's, or the headers of a call's.
#[derive(Deserialize)]
struct Outcome<'a> {
    #[serde(rename = "statusCode")]
    status: Option<u16>,
    #[serde(borrow)]
    grpc: Option<CallHeaders<'a>>,
}

fn raw(answer: Vec<u8>) -> Result<Box<RawValue>, Error> {
    Ok(RawValue::from_string(String::from_utf8(answer)?)?)
}

/// Method of a call.
#[derive(Deserialize)]
struct CalledPath {
    path: String,
}

/// Fields of an event that the host looks at, unparsed. Only envelopes have `grpc` at the top: API Gateway nests the
/// client's data below its own keys.
#[derive(Deserialize, Default)]
struct EventFields<'a> {
    #[serde(borrow)]
    grpc: Option<&'a RawValue>,
    #[serde(borrow)]
    headers: Option<&'a RawValue>,
    #[serde(borrow, rename = "requestContext")]
    gateway: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct CallHeaders<'a> {
    #[serde(borrow)]
    headers: Pairs<'a>,
}

/// Text of an event, borrowed unless it has escapes.
#[derive(Deserialize, Eq, Ord, PartialEq, PartialOrd)]
struct EventText<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Gateway<'a> {
    #[serde(borrow, rename = "requestId")]
    request_id: Option<EventText<'a>>,
}

impl<'a> EventFields<'a> {
    /// Reads the fields. There are none in an unreadable event, which is reported when it is answered.
    fn of(payload: &'a RawValue) -> Self {
        serde_json::from_str(payload.get()).unwrap_or_default()
    }

    /// Extracts request ID and trace headers. API Gateway's request ID is used if the client sent none.
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut add = |name: &str, value: &str| {
            let known = EVENT_HEADERS.iter().find(|known| known.as_str().eq_ignore_ascii_case(name));
            if let Some(name) = known
                && let Ok(value) = HeaderValue::try_from(value)
            {
                headers.append(name.clone(), value);
            }
        };
        match self.grpc {
            Some(call) => {
                let call: Option<CallHeaders<'_>> = parsed(call);
                call.iter().flat_map(|call| call.headers.iter()).for_each(|(name, value)| add(name, value));
            }
            None => {
                let all: Option<BTreeMap<EventText<'_>, EventText<'_>>> = self.headers.and_then(parsed);
                all.iter().flatten().for_each(|(EventText(name), EventText(value))| add(name, value));
            }
        }
        let gateway: Option<Gateway<'_>> = self.gateway.and_then(parsed);
        if client_request_id(&headers).is_none()
            && let Some(id) = gateway.and_then(|gateway| HeaderValue::try_from(&*gateway.request_id?.0).ok())
        {
            headers.insert(REQUEST_ID, id);
        }
        headers
    }
}

/// Reads a part of an event. `None`: it has another form.
fn parsed<'a, T: Deserialize<'a>>(part: &'a RawValue) -> Option<T> {
    serde_json::from_str(part.get()).ok()
}

/// Deadline of an answer. `cargo lambda watch` sends a duration where Lambda sends a time. Such a small
/// number is no valid time, and the deadline is unknown.
pub(super) fn deadline(millis: u64) -> Option<Deadline> {
    const YEAR_2001: i64 = 1_000_000_000_000;
    let millis = i64::try_from(millis).ok().filter(|millis| *millis > YEAR_2001)?;
    Some(Deadline(Timestamp::from_millis(millis).before(MARGIN)))
}
