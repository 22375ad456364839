//! Which function answers a path: what API Gateway does by the routes of template.yaml.

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use tower::ServiceExt as _;

/// The routers of the functions.
#[derive(Clone)]
pub struct Groups {
    /// `/orders` and below.
    pub orders: Router,
    /// `/products` and below.
    pub products: Router,
    /// `/users`, `/auth`, `/.well-known` and below.
    pub users: Router,
    /// All else.
    pub docs: Router,
}

/// One router for all.
pub fn router(groups: Groups) -> Router {
    Router::new().fallback(dispatch).with_state(groups)
}

async fn dispatch(State(groups): State<Groups>, request: Request) -> Response {
    let group = match request.uri().path().split('/').nth(1) {
        Some("orders") => groups.orders,
        Some("products") => groups.products,
        Some("users" | "auth" | ".well-known") => groups.users,
        _ => groups.docs,
    };
    match group.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
