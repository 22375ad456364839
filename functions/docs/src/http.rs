//! The routes around the API.

use axum::Router;
use axum::response::Response;
use http::{Method, StatusCode};
use serde_json::json;
use shared::auth::Access;
use shared::clock::Clock;
use shared::json;
use shared::routes::Routes;

/// The route table.
pub fn router(clock: Clock) -> Router {
    Routes::open(clock)
        .route(Method::GET, "/", index, Access::Anyone)
        .route(Method::GET, "/health", health, Access::Anyone)
        .into_router(())
}

/// Where everything is.
async fn index() -> Response {
    let index = json!({
        "name": "Order management",
        "orders": "/orders",
        "products": "/products",
        "users": "/users",
        "auth": "/auth",
        "health": "/health",
    });
    json::answer(StatusCode::OK, &index)
}

/// Alive, that is all: it says nothing of the database.
async fn health() -> Response {
    json::answer(StatusCode::OK, &json!({ "status": "ok" }))
}
