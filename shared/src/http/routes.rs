//! The route table of a function, the router that is built from it, and the parts that all HTTP responses share.
//!
//! These parts are a request ID, problem+json for errors, headers for browsers and caches, and a line in the log.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::handler::Handler;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderValue, Method, header};
use serde::de::DeserializeOwned;
use tower::ServiceExt as _;
use tracing::Instrument as _;
use type_safe_id::{StaticType, TypeSafeId};

use crate::auth::{Access, Caller, Identity, Verifier};
use crate::error::{self, Error, ErrorExtension, Kind};
use crate::http::base_path::{self, BasePath};
use crate::input::json::{self, Json};
use crate::input::query::Query;
use crate::runtime::context::{
    Context, DEFAULT_TIMEOUT, Deadline, InvocationId, REQUEST_ID, SourceAddress, request_id,
    request_id_header,
};
use crate::runtime::metrics;
use crate::runtime::spans::ActiveSpan;
use crate::runtime::telemetry::{NO_ROUTE, RequestLine, method_name, request_span};
use crate::runtime::trace::Trace;
use crate::values::clock::Clock;
use crate::values::ids;

mod cors;
pub(crate) mod headers;
mod spec;

pub use cors::Cors;
pub use headers::MAX_HEAD;
pub use spec::{
    PageLimits, Parameter, ParameterValue, RateClass, ResponseBody, ResponseSpec, RouteSpec, Throttle,
};

/// The route table of a function: rows with their handlers.
pub struct RouteTable<S> {
    routes: Vec<(&'static RouteSpec, MethodRouter<S>)>,
}

impl<S: Clone + Send + Sync + 'static> Default for RouteTable<S> {
    fn default() -> Self {
        Self { routes: Vec::new() }
    }
}

impl<S: Clone + Send + Sync + 'static> RouteTable<S> {
    /// A table without rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a row and its handler. A GET also answers HEAD.
    pub fn route<H, T>(mut self, spec: &'static RouteSpec, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.routes.push((spec, on(method_filter(&spec.method), handler)));
        self
    }

    /// The rows, in the order in which they were added.
    pub fn specs(&self) -> Vec<&'static RouteSpec> {
        self.routes.iter().map(|(spec, _)| *spec).collect()
    }

    /// Builds the router. `guard` checks each request against its row before the handler runs.
    pub fn into_router(self, state: S, guard: Guard) -> Router {
        let mut router = Router::new();
        let mut methods: HashMap<&'static str, String> = HashMap::new();
        for (spec, handler) in self.routes {
            let guard = (guard.clone(), spec);
            let guarded = handler.route_layer(middleware::from_fn_with_state(guard, authorize));
            router = router.route(spec.path, guarded);
            let methods = methods.entry(spec.path).or_default();
            for method in [spec.method.as_str(), if spec.method == Method::GET { "HEAD" } else { "" }] {
                let comma = if methods.is_empty() || method.is_empty() { "" } else { ", " };
                methods.push_str(comma);
                methods.push_str(method);
            }
        }
        let methods: Methods = Arc::new(methods);
        let known = methods.clone();
        let not_allowed = async move |path: MatchedPath, method: Method| {
            method_not_allowed(&method, known.get(path.as_str()).map_or("", String::as_str))
        };
        router
            .fallback(no_such_route)
            .method_not_allowed_fallback(not_allowed)
            .with_state(state)
            .layer(middleware::from_fn_with_state(methods, answer))
    }
}

/// Router that refuses every request as a route does: with a problem, a request ID and a line in the log.
#[cfg(feature = "listener")]
pub(crate) fn refusal(error: fn() -> Error) -> Router {
    Router::new()
        .fallback(async move || error())
        .layer(middleware::from_fn_with_state(Methods::default(), answer))
}

/// Refuses a request as a route does: with a problem, a request ID and a line in the log.
pub(crate) async fn refuse(error: Error, request: Request) -> Response {
    let error = ErrorExtension(Arc::new(error));
    let router = Router::new()
        .fallback(async move || error)
        .layer(middleware::from_fn_with_state(Methods::default(), answer));
    router.oneshot(request).await.unwrap_or_else(|never| match never {})
}

fn method_filter(method: &Method) -> MethodFilter {
    match *method {
        Method::POST => MethodFilter::POST,
        Method::PUT => MethodFilter::PUT,
        Method::DELETE => MethodFilter::DELETE,
        _ => MethodFilter::GET,
    }
}

async fn no_such_route(base_path: BasePath) -> Error {
    let docs = base_path.of("/docs");
    let detail = format!(
        "No route at this path. Paths are lower case without a trailing slash; `GET {docs}` lists them."
    );
    Error::new(Kind::NotFound, detail)
}

/// The error of a method that a path does not have, with those that it has.
fn method_not_allowed(method: &Method, methods: &str) -> Error {
    let method = method.as_str();
    let detail = format!("Method `{method:.40}` not allowed. Allowed: {methods}.");
    let error = Error::new(Kind::MethodNotAllowed, detail);
    match HeaderValue::from_str(methods) {
        Ok(methods) => error.allowing(methods),
        Err(_) => error,
    }
}

/// Checks a request against the row of its route: caller, size of the head, rate.
#[derive(Clone)]
pub struct Guard {
    verifier: Option<Verifier>,
    limiter: Option<Arc<dyn RateLimiter>>,
    clock: Clock,
}

impl Guard {
    /// A guard that knows callers by their access tokens.
    pub fn verified_by(verifier: Verifier) -> Self {
        let clock = verifier.clock().clone();
        Self { verifier: Some(verifier), limiter: None, clock }
    }

    /// A guard for routes of [`Access::Public`] alone.
    pub fn public(clock: Clock) -> Self {
        Self { verifier: None, limiter: None, clock }
    }

    /// Adds what counts requests of a [`RateClass`].
    pub fn limited_by(self, limiter: impl RateLimiter + 'static) -> Self {
        Self { limiter: Some(Arc::new(limiter)), ..self }
    }

    async fn identity(
        &self,
        access: Access,
        headers: &HeaderMap,
        context: &Context,
    ) -> Result<Identity, Error> {
        if access == Access::Public {
            return Ok(Identity::ANONYMOUS);
        }
        let Some(verifier) = &self.verifier else {
            return Err(Error::internal("a route needs tokens, and its guard has no verifier"));
        };
        verifier.identify(headers::authorization(headers).as_deref(), context).await
    }

    async fn limit(
        &self,
        rate: RateClass,
        caller: Caller,
        address: Option<SourceAddress>,
    ) -> Result<(), Error> {
        let counts = match rate {
            RateClass::Unlimited => false,
            RateClass::PerAddress => true,
            RateClass::PerAddressButAdmins => !caller.is_admin(),
        };
        match &self.limiter {
            _ if !counts => Ok(()),
            Some(limiter) => limiter.count(address).await,
            None => Err(Error::internal("a route has a limit, and its guard counts nothing")),
        }
    }
}

/// Counts requests of the routes that have a [`RateClass`] by address.
pub trait RateLimiter: Send + Sync {
    /// Counts a request from this address.
    ///
    /// # Errors
    /// 429 when there were too many; 503 when the count is not available.
    fn count(&self, address: Option<SourceAddress>) -> BoxFuture<'_, Result<(), Error>>;
}

/// Time by which the end of a request is later than its deadline. A body that stays away until then is a 408.
const AFTER_THE_BODY: Duration = Duration::from_millis(500);

/// Identifies the caller and refuses a request that its row does not allow.
async fn authorize(
    State((guard, spec)): State<(Guard, &'static RouteSpec)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Error> {
    let request_id = request_id(request.headers());
    let trace = trace_of(&request);
    let deadline = guard.clock.now().after(DEFAULT_TIMEOUT);
    let deadline =
        request.extensions().get::<Deadline>().map_or(deadline, |environment| deadline.min(environment.0));
    let invocation = request.extensions().get().copied().unwrap_or_else(InvocationId::new);
    let source = request.extensions().get().copied();
    let mut context =
        Context { caller: Caller::Anonymous, token: None, request_id, trace, deadline, invocation, source };
    let Identity { caller, token } = guard.identity(spec.access, request.headers(), &context).await?;
    (context.caller, context.token) = (caller, token);
    spec.access.check(caller)?;
    headers::check_head(&request)?;
    guard.limit(spec.rate, caller, source).await?;
    request.extensions_mut().insert(context);
    request.extensions_mut().insert(MatchedRow(spec));
    let left = deadline.since(guard.clock.now()) + AFTER_THE_BODY;
    let late = |_| Error::unavailable("the request was not done by its deadline").into_response();
    let mut response = tokio::time::timeout(left, next.run(request)).await.unwrap_or_else(late);
    response.extensions_mut().insert(CallerForLog(caller));
    Ok(response)
}

/// The row of the route that a request has matched.
#[derive(Clone, Copy)]
struct MatchedRow(&'static RouteSpec);

/// The parameters of the query. One that the row does not declare is refused.
impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let names = parts.extensions.get::<MatchedRow>().map_or(Vec::new(), |row| row.0.query_names());
        Self::parse(parts.uri.query(), &names)
    }
}

/// A JSON body. The row of its route declares it.
impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        let (parts, body) = request.into_parts();
        require_declared(&parts.extensions, "a body", |row| row.request_body.is_some())?;
        json::parse(&json::read(&parts.headers, body).await?).map(Self)
    }
}

/// Checks that the row of a request declares `part`, which its handler reads. Documents and tests know a route by
/// its row alone.
///
/// # Errors
/// 500 if the row does not declare it.
pub(crate) fn require_declared(
    extensions: &Extensions,
    part: &str,
    is_declared: impl Fn(&RouteSpec) -> bool,
) -> Result<(), Error> {
    match extensions.get::<MatchedRow>() {
        Some(MatchedRow(row)) if !is_declared(row) => {
            Err(Error::internal(format!("the row of {} does not declare {part}", row.name())))
        }
        _ => Ok(()),
    }
}

#[derive(Clone, Copy)]
struct CallerForLog(Caller);

/// That which is known already where the request came in, else that of its headers.
fn trace_of(request: &Request) -> Trace {
    request
        .extensions()
        .get::<Trace>()
        .cloned()
        .unwrap_or_else(|| Trace::of(request.headers(), None).of_client())
}

/// Gives every answer its request ID, every error its body, and the log its line; and every line what tells the
/// request.
async fn answer(State(methods): State<Methods>, mut request: Request, next: Next) -> Response {
    let trace = trace_of(&request);
    let id = request_id_header(request.headers());
    let span = request_span(id.to_str().unwrap_or_default(), &trace);
    let recorded = ActiveSpan::server(&span, &trace, "request");
    // So that all that runs below is in the trace that was begun here.
    request.extensions_mut().get_or_insert_with(|| trace);
    respond(id, methods, request, next, recorded).instrument(span).await
}

/// The methods of each path.
type Methods = Arc<HashMap<&'static str, String>>;

async fn respond(
    id: HeaderValue,
    methods: Methods,
    mut request: Request,
    next: Next,
    recorded: ActiveSpan,
) -> Response {
    let started = Instant::now();
    // So that all that runs below sees the ID which was made here.
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let (method, path) = (request.method().clone(), base_path::requested(&request).to_owned());
    let base_path = request.extensions().get::<BasePath>().cloned().unwrap_or_default();
    let cors = request.extensions().get::<Cors>().map(|cors| cors.of(&method, request.headers()));
    let matched = request.extensions().get::<MatchedPath>();
    let (route, methods) = matched
        .and_then(|path| methods.get_key_value(path.as_str()))
        .map_or((NO_ROUTE, None), |(route, methods)| (*route, Some(methods.clone())));
    let cold_start = request.extensions().get().copied();

    let mut response = match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => axum::response::IntoResponse::into_response(Error::internal("a handler panicked")),
    };
    let caller = response.extensions().get::<CallerForLog>().map(|caller| caller.0);
    let mut error = response.extensions_mut().remove::<ErrorExtension>().map(|unanswered| unanswered.0);
    if let Some(error) = &error {
        response = error.to_problem(&base_path, &path, id.to_str().unwrap_or_default());
        if method == Method::HEAD {
            *response.body_mut() = axum::body::Body::empty();
        }
    }
    response.headers_mut().insert(REQUEST_ID, id);
    base_path.leave(response.headers_mut());
    headers::secure(response.headers_mut());
    if let Some(cors) = cors {
        let status = cors.on(response.status(), methods.as_deref(), response.headers_mut());
        if status != response.status() {
            // A preflight of a path that names its methods: no error, and without a body.
            (*response.status_mut(), *response.body_mut(), error) = (status, axum::body::Body::empty(), None);
            response.headers_mut().remove(header::CONTENT_TYPE);
        }
    }
    let (method, status, duration) = (method_name(&method), response.status().as_u16(), started.elapsed());
    metrics::REQUESTS.record([route, method, metrics::code(status)], duration);
    let (caller, error) = (caller.unwrap_or(Caller::Anonymous), error.as_deref());
    if !error.is_some_and(Error::is_counted) {
        RequestLine { method, route, status, duration, cold_start, caller, error }.write();
    }
    recorded.end_request(method, route, status);
    response
}

/// ID in a path, checked when the handler asks for it: errors of the body are reported first.
pub struct PathId<T: StaticType>(Option<TypeSafeId<T>>);

/// ID of a part of a resource, the second one in a path. It is checked as a [`PathId`].
pub struct PartId<T: StaticType>(pub PathId<T>);

impl<T: StaticType> PathId<T> {
    /// The ID in this place of the path.
    async fn at(place: usize, parts: &mut Parts) -> Self {
        // Rejected when the path is not UTF-8: then it is no ID either.
        let params = RawPathParams::from_request_parts(parts, &()).await;
        Self(params.ok().and_then(|params| params.iter().nth(place).and_then(|(_, id)| id.parse().ok())))
    }

    /// Returns the ID.
    ///
    /// # Errors
    /// 404 for an ID that is malformed or of another type.
    pub fn require(self) -> Result<TypeSafeId<T>, Error> {
        self.0.ok_or_else(|| {
            let (resource, example) = (error::capitalized(T::TYPE), ids::example::<T>());
            let detail = format!("{resource} not found: its ID looks like {example}.");
            Error::new(Kind::NotFound, detail)
        })
    }
}

impl<S: Send + Sync, T: StaticType> FromRequestParts<S> for PathId<T> {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::at(0, parts).await)
    }
}

impl<S: Send + Sync, T: StaticType> FromRequestParts<S> for PartId<T> {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(PathId::at(1, parts).await))
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_not_done_by_its_deadline_is_a_503() {
        static NEVER: RouteSpec = RouteSpec::get("/never", "never").access(Access::Public);
        let handler = async || std::future::pending::<()>().await;
        let router = RouteTable::new().route(&NEVER, handler).into_router((), Guard::public(Clock::system()));
        let begun = tokio::time::Instant::now();
        let request = http::Request::get("/never").body(axum::body::Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
        assert_eq!(begun.elapsed().as_secs(), DEFAULT_TIMEOUT.as_secs());
    }
}
