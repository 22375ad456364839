//! A function on Lambda: one handler for both kinds of event, API Gateway's and calls from other functions.
//!
//! A [`Host`] builds the function in init, when there is time and a full CPU for it. If that fails it is no
//! reason to end: every request tries again, and is answered 503 if that fails too. When MongoDB says that it
//! does not know us any more, the function is built anew with the secrets that hold now, and the request is run
//! again. Whatever it waits for, a request is answered before Lambda would end it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::Response;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use http_body_util::BodyExt as _;
use lambda_http::request::{LambdaRequest, RequestContext};
use lambda_http::{Adapter, RequestExt as _};
use lambda_runtime::{Context, LambdaEvent};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::Mutex;
use tower::{Service, ServiceBuilder};
use tracing::{Instrument as _, Span};

use crate::error::{self, Kind};
use crate::http::routes::headers;
use crate::mongo;
use crate::rpc::server;
use crate::runtime::context::{Deadline, SourceAddress, client_request_id, request_id};
use crate::runtime::run::{Error, ServiceApp};
use crate::runtime::telemetry::request_span;
use crate::runtime::trace::{TRACEPARENT, TRACESTATE, Trace};
use crate::values::clock::{Clock, Timestamp};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How long before Lambda kills a function its work must have stopped, to answer still.
const MARGIN: Duration = Duration::from_millis(500);

/// How long building the function may take, in init and in a request.
const BUILD_TIMEOUT: Duration = Duration::from_secs(3);

/// How long MongoDB is believed to be right when it refuses the credentials that were fetched last. Between a
/// change of password and the change of the secret there are some seconds, in which nothing but to ask again
/// will help.
const RENEW_AFTER: Duration = Duration::from_secs(5);

/// Answers events until Lambda ends the environment. `build` makes the function from what it depends on.
///
/// # Errors
/// When Lambda's runtime API is away.
pub async fn run<B, F>(build: B) -> Result<(), Error>
where
    B: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<ServiceApp, error::Error>> + Send + 'static,
{
    let host = Arc::new(Host::new(build, Clock::system()));
    host.init().await;
    let answer = move |event| {
        let host = host.clone();
        async move { host.answer(event).await }
    };
    lambda_runtime::run_concurrent(lambda_runtime::service_fn(answer)).await
}

type Build = dyn Fn() -> BoxFuture<'static, Result<ServiceApp, error::Error>> + Send + Sync;

/// Has a function built, and answers events with it.
pub struct Host {
    build: Box<Build>,
    clock: Clock,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// None until it could be built.
    built: Option<Built>,
    /// When the last try began that failed, and why.
    failed: Option<(Instant, Arc<error::Error>)>,
}

#[derive(Clone)]
struct Built {
    function: ServiceApp,
    at: Instant,
}

impl Host {
    /// A host of the function that `build` makes.
    pub fn new<B, F>(build: B, clock: Clock) -> Self
    where
        B: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<ServiceApp, error::Error>> + Send + 'static,
    {
        Self { build: Box::new(move || Box::pin(build())), clock, held: Mutex::default() }
    }

    /// Builds the function before there is a request. If that fails, the log says so, and requests try again.
    pub async fn init(&self) {
        // What went wrong is logged.
        let _ = self.built().await;
    }

    /// The function; built now if it is not there yet, by one request for all that wait.
    async fn built(&self) -> Result<Built, Arc<error::Error>> {
        let arrived = Instant::now();
        let mut held = self.held.lock().await;
        if let Some(built) = &held.built {
            return Ok(built.clone());
        }
        match &held.failed {
            Some((begun, error)) if *begun >= arrived => Err(error.clone()),
            _ => self.rebuild(&mut held).await,
        }
    }

    /// Another function in place of `refused`, which MongoDB has refused.
    async fn renewed(&self, refused: &Built) -> Option<Built> {
        let mut held = self.held.lock().await;
        if let Some(built) = held.built.as_ref().filter(|built| built.at > refused.at) {
            return Some(built.clone());
        }
        if held.failed.as_ref().is_some_and(|(begun, _)| begun.elapsed() < RENEW_AFTER) {
            return None;
        }
        tracing::warn!("MongoDB has refused us; the secrets are fetched again");
        self.rebuild(&mut held).await.ok()
    }

    async fn rebuild(&self, held: &mut Held) -> Result<Built, Arc<error::Error>> {
        let begun = Instant::now();
        let result = match tokio::time::timeout(BUILD_TIMEOUT, (self.build)()).await {
            Ok(result) => result,
            Err(_) => Err(error::Error::unavailable(format!(
                "what the function depends on was not there within {} s",
                BUILD_TIMEOUT.as_secs()
            ))),
        };
        match result {
            Ok(function) => {
                let built = Built { function, at: Instant::now() };
                *held = Held { built: Some(built.clone()), failed: None };
                Ok(built)
            }
            Err(error) => {
                let causes = error.causes();
                tracing::error!(causes, "the function is not ready; the next request tries again");
                let error = Arc::new(error);
                held.failed = Some((begun, error.clone()));
                Err(error)
            }
        }
    }

    /// Answers an event.
    ///
    /// # Errors
    /// For what is neither a request nor a call.
    pub async fn answer(&self, event: LambdaEvent<Box<RawValue>>) -> Result<Box<RawValue>, Error> {
        let LambdaEvent { payload, context } = event;
        let event = Event::new(&payload, context);
        let Some(Deadline(deadline)) = deadline(event.context.deadline) else {
            return self.work(&event).await;
        };
        let left = deadline.since(self.clock.now());
        match tokio::time::timeout(left, self.work(&event)).await {
            Ok(answer) => answer,
            Err(_) => {
                let late = "the work was stopped, since Lambda was about to end it";
                event.refuse(Arc::new(error::Error::unavailable(late))).instrument(event.span()).await
            }
        }
    }

    async fn work(&self, event: &Event<'_>) -> Result<Box<RawValue>, Error> {
        let built = match self.built().instrument(event.span()).await {
            Ok(built) => built,
            Err(error) => return event.refuse(error).instrument(event.span()).await,
        };
        let (answer, refused) = mongo::track_auth_failures(event.hand_to(built.function.clone())).await;
        if refused && let Some(built) = self.renewed(&built).instrument(event.span()).await {
            // The step that was refused has written nothing, and those before it are such that a client who is
            // told 503 may repeat them: so may we.
            return event.hand_to(built.function).await;
        }
        answer
    }
}

/// An event, which may be handed to a function more than once.
struct Event<'a> {
    payload: &'a RawValue,
    context: Context,
    request_id: String,
    trace: Trace,
}

impl<'a> Event<'a> {
    fn new(payload: &'a RawValue, context: Context) -> Self {
        let headers = headers(payload);
        let (request_id, trace) =
            (request_id(&headers), Trace::of(&headers, context.xray_trace_id.as_deref()));
        Self { payload, context, request_id, trace }
    }

    /// For what is logged before the function itself is at work, which has such a span too.
    fn span(&self) -> Span {
        request_span(&self.request_id, &self.trace)
    }

    fn is_call(&self) -> bool {
        serde_json::from_str::<Peek>(self.payload.get()).is_ok_and(|peek| peek.grpc.is_some())
    }

    async fn hand_to(&self, function: ServiceApp) -> Result<Box<RawValue>, Error> {
        if !self.is_call() {
            return self.request(function.router).await;
        }
        let Some(rpc) = function.rpc else {
            return Err("this function takes no calls from other functions".into());
        };
        raw(rpc.handle_within(self.payload.get().as_bytes(), Some(self.trace.clone())).await)
    }

    /// Answers with an error that no function has made.
    async fn refuse(&self, error: Arc<error::Error>) -> Result<Box<RawValue>, Error> {
        if self.is_call() {
            tracing::error!(problem = %error, causes = error.causes(), "a call is not answered");
            return raw(server::error_payload(&tonic::Status::from(&*error)));
        }
        let problem = move |request: lambda_http::Request| {
            let (method, path) = (request.method(), request.uri().path());
            let id = request_id(request.headers());
            tracing::error!(problem = %error, causes = error.causes(), "{method} {path} 503");
            let mut response = error.to_problem(path, &id);
            if let Ok(id) = HeaderValue::from_str(&id) {
                response.headers_mut().insert("x-request-id", id);
            }
            headers::secure(response.headers_mut());
            std::future::ready(Ok::<_, Infallible>(response))
        };
        self.request(tower::service_fn(problem)).await
    }

    async fn request<S>(&self, service: S) -> Result<Box<RawValue>, Error>
    where
        S: Service<lambda_http::Request, Response = Response, Error = Infallible>,
        S::Future: Send + 'static,
    {
        let payload: LambdaRequest = serde_json::from_str(self.payload.get()).map_err(|error| {
            format!("neither an API Gateway event (HTTP API, payload 2.0) nor a call: {error}")
        })?;
        let (id, trace) = (HeaderValue::from_str(&self.request_id)?, self.trace.clone());
        let deadline = deadline(self.context.deadline);
        let prepare = move |mut request: lambda_http::Request| {
            // The adapter has resolved `.` and `..` in it, after API Gateway has chosen the function by it.
            if let Some(uri) = with_path(request.uri(), request.raw_http_path()) {
                *request.uri_mut() = uri;
            }
            request.headers_mut().insert(REQUEST_ID, id.clone());
            request.extensions_mut().insert(trace.clone());
            if let Some(address) = source_address(&request) {
                request.extensions_mut().insert(address);
            }
            if let Some(deadline) = deadline {
                request.extensions_mut().insert(deadline);
            }
            request
        };
        let service = ServiceBuilder::new().map_request(prepare).service(service);
        let event = LambdaEvent { payload, context: self.context.clone() };
        // The adapter itself cannot be kept while waiting, and panics at an event whose host, path and query are no URI
        // together.
        match catch_unwind(AssertUnwindSafe(|| Adapter::from(service).call(event))) {
            Ok(answering) => Ok(to_raw_value(&answering.await?)?),
            Err(_) => self.no_request().await,
        }
    }

    /// The answer to what API Gateway delivers and is no request all the same: 400, in the form of its events.
    async fn no_request(&self) -> Result<Box<RawValue>, Error> {
        let error = error::Error::new(Kind::MalformedRequest, "Host, path and query are no URI together.");
        tracing::info!(problem = %error, "an event that is no request: 400");
        let mut response = error.to_problem("", &self.request_id);
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

/// Who sent a request to API Gateway.
fn source_address(request: &lambda_http::Request) -> Option<SourceAddress> {
    match request.request_context_ref()? {
        RequestContext::ApiGatewayV2(context) => {
            context.http.source_ip.as_deref()?.parse().ok().map(SourceAddress)
        }
        _ => None,
    }
}

fn raw(answer: Vec<u8>) -> Result<Box<RawValue>, Error> {
    Ok(RawValue::from_string(String::from_utf8(answer)?)?)
}

/// Only an envelope has this key at the top: API Gateway puts what a client sends below keys of its own.
#[derive(Deserialize)]
struct Peek {
    grpc: Option<IgnoredAny>,
}

/// What tells a request: a call has it in `grpc`, an event of API Gateway in the others.
#[derive(Deserialize)]
struct Named {
    grpc: Option<CallHeaders>,
    headers: Option<HashMap<String, String>>,
    #[serde(rename = "requestContext")]
    gateway: Option<Gateway>,
}

#[derive(Deserialize)]
struct CallHeaders {
    headers: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Gateway {
    #[serde(rename = "requestId")]
    request_id: Option<String>,
}

/// The headers of an event that tell its request and its trace; API Gateway's ID of the request where the client has
/// given none. None of an event that cannot be read: whoever answers it says so.
fn headers(payload: &RawValue) -> HeaderMap {
    let Ok(Named { grpc, headers, gateway }) = serde_json::from_str(payload.get()) else {
        return HeaderMap::new();
    };
    let pairs = match grpc {
        Some(call) => call.headers,
        None => headers.unwrap_or_default().into_iter().collect(),
    };
    let gateway = gateway.and_then(|gateway| gateway.request_id);
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value))
            && [REQUEST_ID.as_str(), TRACEPARENT, TRACESTATE].contains(&name.as_str())
        {
            headers.append(name, value);
        }
    }
    if client_request_id(&headers).is_none()
        && let Some(id) = gateway.and_then(|id| HeaderValue::try_from(id).ok())
    {
        headers.insert(REQUEST_ID, id);
    }
    headers
}

/// Until when an answer is of use. `cargo lambda watch` says a duration where Lambda says a time: such a
/// small number is no time of ours, and no deadline is known.
fn deadline(millis: u64) -> Option<Deadline> {
    const YEAR_2001: i64 = 1_000_000_000_000;
    let millis = i64::try_from(millis).ok().filter(|millis| *millis > YEAR_2001)?;
    Some(Deadline(Timestamp::from_millis(millis).before(MARGIN)))
}

/// The same URI with another path. `None`: it would be none, as with a path that was decoded on its way.
fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    // A `?` or `#` in it is no part of a path.
    if !path.starts_with('/') || path.contains(['?', '#']) {
        return None;
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target.parse().ok()?);
    Uri::from_parts(parts).ok()
}
