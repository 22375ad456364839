//! The docs function: documentation pages, the catalogue of problems, and 404. No database, no callers, no
//! secret but that of the edge.
//!
//! It is behind API Gateway's `$default` route, and so answers every path that no other function has.

use axum::Router;
use shared::values::clock::Clock;

mod assets;
mod description;
pub mod environment;
mod guide;
pub mod http;
mod negotiation;
#[cfg(feature = "openapi")]
pub mod openapi;
mod pages;
pub mod problems;

/// Port of the function as an ordinary service, unless `PORT` names another.
pub const PORT: u16 = 50050;

/// The function, ready to serve.
#[derive(Clone)]
pub struct App {
    /// REST routes.
    pub router: Router,
}

/// Builds the function.
pub fn app(clock: Clock) -> App {
    App { router: http::router(clock) }
}
