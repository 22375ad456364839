//! The router, and what every page needs of a request.
//!
//! - [`visit`]: the signed-in member of staff at a request, and the answers
//! - [`fields`]: the body of a form, checked against forgery
//! - [`query`]: the query string, for filters and links
//! - [`failure`]: errors, which become pages
//! - [`keep`]: the session of a request, before and after its handler
//! - [`live`]: lists that refresh by themselves
//! - [`origin`]: origins that may send forms

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{Extensions, HeaderName, HeaderValue};
use shared::auth::Access;
use shared::error::{Error, Kind};
use shared::http::base_path::BasePath;
use shared::http::routes::{Guard, RouteSpec, RouteTable};
use shared::runtime::context::Context;
use tower::ServiceExt as _;

use crate::{Console, assets, pages, texts};

mod failure;
mod fields;
mod keep;
mod live;
mod origin;
mod query;
#[cfg(test)]
mod tests;
mod visit;

pub(crate) use crate::layout::Place;
pub(crate) use failure::{Answer, Failure};
pub(crate) use fields::{Fields, OpenFields};
pub(crate) use keep::SessionChange;
pub(crate) use live::Live;
pub use origin::OwnOrigin;
pub(crate) use query::Query;
pub(crate) use visit::{Visit, page, redirect};

/// Path of the first page.
pub(crate) const START: &str = "/console/orders";

// The rows of the route table give all pages a request ID, a line in the log, a span, a deadline and a limit of the
// head. They are few, and `inner` finds the handlers: a row declares the JSON of a route, and pages have none.
static ROOT: RouteSpec = RouteSpec::get("/console", "console").access(Access::Public);
static ROOT_WITH_SLASH: RouteSpec = RouteSpec::get("/console/", "consoleRoot").access(Access::Public);
static SHOW: RouteSpec = RouteSpec::get("/console/{*below}", "showConsole").access(Access::Public);
static SEND: RouteSpec = RouteSpec::post("/console/{*below}", "sendToConsole").access(Access::Public);

/// Builds the router of all pages.
pub(crate) fn router(console: Arc<Console>) -> Router {
    let guard = Guard::public(console.clock.clone());
    RouteTable::new()
        .route(&ROOT, pass)
        .route(&ROOT_WITH_SLASH, pass)
        .route(&SHOW, pass)
        .route(&SEND, pass)
        .into_router(inner(console), guard)
}

/// Builds the router behind the rows.
fn inner(console: Arc<Console>) -> Router {
    Router::new()
        .route("/console", get(start))
        .route("/console/", get(start))
        .merge(pages::routes())
        .fallback(no_such_page)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn_with_state(console.clone(), keep::keep))
        // Outside of that layer: a style sheet needs no session, and must not refresh one beside its page.
        .route("/console/assets/{file}", get(assets::answer))
        .layer(middleware::from_fn(secure))
        .with_state(console)
}

/// Passes a request on to the router behind the rows.
async fn pass(
    State(inner): State<Router>,
    context: Context,
    base_path: BasePath,
    request: Request,
) -> Response {
    let (mut parts, body) = request.into_parts();
    // Among the extensions are the parameters of the row. They would come before those of the page's own path.
    parts.extensions = Extensions::new();
    parts.extensions.insert(context);
    parts.extensions.insert(base_path);
    inner.oneshot(Request::from_parts(parts, body)).await.unwrap_or_else(|never| match never {})
}

/// Redirects to the first page.
async fn start() -> Response {
    redirect(START)
}

async fn no_such_page() -> Failure {
    Error::new(Kind::NotFound, texts::NO_SUCH_PAGE).into()
}

async fn no_such_method() -> Failure {
    Error::new(Kind::MethodNotAllowed, texts::NO_SUCH_METHOD).into()
}

/// Headers of every response, beside those that all functions have.
///
/// The policy allows own scripts, styles, images, forms and requests, and nothing else. With `no-referrer` some browsers would send
/// `Origin: null` with a form, which is refused: hence `same-origin`. Pages are not stored, so that the back
/// button shows nothing after sign-out.
const SECURITY: [(HeaderName, HeaderValue); 5] = [
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; \
             form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
    ),
    (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// Sets the headers, unless the response sets them itself.
async fn secure(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in SECURITY {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}
