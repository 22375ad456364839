//! Edge of a function's REST API: origins of pages, the base path, and CloudFront in front of API Gateway.
//!
//! With `EDGE_SECRET` a request must come through CloudFront, which adds the secret in a header of its own. Then its
//! header `CloudFront-Viewer-Address` has the client's address, since API Gateway sees that of CloudFront. Without
//! the secret any client could send these headers, so they are ignored.
//!
//! Calls of other functions do not pass here.

use std::net::IpAddr;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue};
use tower::ServiceExt as _;

use crate::error::{Error, Kind};
use crate::http::base_path::BasePath;
use crate::http::routes::{self, Cors};
use crate::rpc::services::Services;
use crate::runtime::config::{BASE_PATH, CORS_ALLOWED_ORIGINS, EDGE_SECRET, EDGE_SECRET_PREVIOUS, Variables};
use crate::runtime::context::SourceAddress;
use crate::runtime::secrets;
use crate::values::clock::Clock;

mod secret;

pub use secret::EdgeSecret;

/// Header in which CloudFront sends the secret. It adds none whose name begins with `X-Edge-` or `X-Amz-`.
pub const SECRET_HEADER: HeaderName = HeaderName::from_static("x-origin-verify");

/// Header in which CloudFront sends the address and port of its client: `198.51.100.7:46532`.
pub const VIEWER_ADDRESS: HeaderName = HeaderName::from_static("cloudfront-viewer-address");

/// Settings of the edge. The default is open: no origins, no base path, no secret.
#[derive(Clone, Default)]
pub struct Edge {
    cors: Cors,
    base_path: BasePath,
    secret: Option<EdgeSecret>,
}

impl Edge {
    /// Reads `CORS_ALLOWED_ORIGINS`, `BASE_PATH`, `EDGE_SECRET` and `EDGE_SECRET_PREVIOUS`. `None` if that failed;
    /// the problem is recorded in `variables`.
    pub fn read(variables: &mut Variables, services: &mut Services, clock: &Clock) -> Option<Self> {
        let cors = variables.or(CORS_ALLOWED_ORIGINS.name, Cors::default(), Cors::parse);
        let edge = Self::read_without_cors(variables, services, clock);
        Some(Self { cors: cors?, ..edge? })
    }

    /// Reads the same without `CORS_ALLOWED_ORIGINS`: for pages, which no other page may read.
    pub fn read_without_cors(
        variables: &mut Variables,
        services: &mut Services,
        clock: &Clock,
    ) -> Option<Self> {
        let base_path = variables.or(BASE_PATH.name, BasePath::default(), BasePath::parse);
        let mut secret = |name| secrets::optional(variables, services, name, EdgeSecret::check);
        let secret = match (secret(EDGE_SECRET.name), secret(EDGE_SECRET_PREVIOUS.name)) {
            (None, Some(_)) => {
                let (previous, current) = (EDGE_SECRET_PREVIOUS.name, EDGE_SECRET.name);
                variables.problem(format!("{previous} is set, and {current} is not"));
                None
            }
            (current, previous) => current.map(|source| EdgeSecret::new(source, previous, clock.clone())),
        };
        Some(Self { cors: Cors::default(), base_path: base_path?, secret })
    }

    /// Replaces the origins whose pages may read answers.
    pub fn with_cors(self, cors: Cors) -> Self {
        Self { cors, ..self }
    }

    /// Replaces the base path.
    pub fn with_base_path(self, base_path: BasePath) -> Self {
        Self { base_path, ..self }
    }

    /// Requires a secret of every request.
    pub fn with_secret(self, secret: EdgeSecret) -> Self {
        Self { secret: Some(secret), ..self }
    }

    /// True if all requests come through CloudFront, whose `Host` is that of API Gateway.
    pub fn is_behind_cloudfront(&self) -> bool {
        self.secret.is_some()
    }

    /// Path before all paths of the API.
    pub fn base_path(&self) -> &BasePath {
        &self.base_path
    }

    /// Fetches the secret, so that no request waits for it.
    ///
    /// # Errors
    /// 503 if it is unavailable or malformed.
    pub async fn open(&self) -> Result<(), Error> {
        match &self.secret {
            Some(secret) => secret.open().await,
            None => Ok(()),
        }
    }

    /// Puts the edge around a function's routes.
    pub fn around(self, router: Router) -> Router {
        let Self { cors, base_path, secret } = self;
        if base_path.is_empty() && secret.is_none() {
            return cors.around(router);
        }
        let entrance = Entrance { base_path, secret, router };
        cors.around(Router::new().fallback(enter).with_state(entrance))
    }
}

/// Checks before a function's routes, and these.
#[derive(Clone)]
struct Entrance {
    base_path: BasePath,
    secret: Option<EdgeSecret>,
    router: Router,
}

async fn enter(State(entrance): State<Entrance>, mut request: Request) -> Response {
    let Entrance { base_path, secret, router } = entrance;
    // A refusal leads to the page of its type, too.
    request.extensions_mut().insert(base_path.clone());
    if let Some(secret) = secret
        && let Err(error) = come_through_cloudfront(&secret, &mut request).await
    {
        return routes::refuse(error, request).await;
    }
    match base_path.enter(request) {
        Ok(request) => router.oneshot(request).await.unwrap_or_else(|never| match never {}),
        Err(request) => routes::refuse(outside(&base_path), *request).await,
    }
}

/// Takes the secret from a request, and the client's address from CloudFront.
///
/// # Errors
/// 403 without the secret, or without an address. 503 if the secret cannot be fetched.
async fn come_through_cloudfront(secret: &EdgeSecret, request: &mut Request) -> Result<(), Error> {
    let refused = || Error::forbidden("Requests to this address are not allowed.");
    let shown = only(request.headers(), &SECRET_HEADER).cloned();
    request.headers_mut().remove(SECRET_HEADER);
    let Some(shown) = shown else { return Err(refused()) };
    if !secret.accepts(shown.as_bytes()).await? {
        return Err(refused());
    }
    let Some(address) = only(request.headers(), &VIEWER_ADDRESS).and_then(viewer_address) else {
        tracing::warn!(
            "CloudFront has sent no address of its client: add {VIEWER_ADDRESS} to its origin request policy"
        );
        return Err(refused());
    };
    request.extensions_mut().insert(SourceAddress(address));
    Ok(())
}

/// Value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Parses address and port: `198.51.100.7:46532`, or `2001:db8::7:46532`. IPv6 has no brackets there.
fn viewer_address(value: &HeaderValue) -> Option<IpAddr> {
    let (address, port) = value.to_str().ok()?.rsplit_once(':')?;
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    address.parse().ok().filter(|_| is_port)
}

fn outside(base_path: &BasePath) -> Error {
    let base_path = base_path.as_str();
    let detail =
        format!("No route at this path. All begin with `{base_path}`; `GET {base_path}/docs` lists them.");
    Error::new(Kind::NotFound, detail)
}

#[cfg(test)]
mod tests;
