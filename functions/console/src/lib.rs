//! The console function: pages on which staff work with orders and products.
//!
//! It calls the other functions by gRPC, with the access token of the caller. It decides nothing itself, and has
//! no database. Its one secret seals the cookie of a session.
//!
//! - [`environment`]: environment variables
//! - [`session`]: the session of a caller, and the key that seals its cookie
//! - `http`: the router, and what every page needs of a request
//! - `pages`: one module per page
//! - `layout`: the frame around a page, and its components
//! - `texts`: all texts
//! - `assets`: styles and icon
//! - `amount`: amounts as people type them

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use shared::rpc::channel::Channel;
use shared::values::clock::Clock;

mod amount;
mod assets;
pub mod environment;
mod http;
mod layout;
mod pages;
pub mod session;
mod texts;

pub use crate::http::OwnOrigin;
use session::{SealKey, SealRotation};

/// Port of the function as an ordinary service, unless `PORT` names another.
pub const PORT: u16 = 50054;

/// Dependencies of the function.
pub struct Dependencies {
    /// Channel to users.
    pub users: Channel,
    /// Channel to products.
    pub products: Channel,
    /// Channel to orders.
    pub orders: Channel,
    /// Key that seals the cookies of sessions.
    pub seal: SealKey,
    /// Origin that may send forms.
    pub origin: OwnOrigin,
    /// Source of the current time.
    pub clock: Clock,
}

/// The function, ready to serve.
#[derive(Clone)]
pub struct App {
    /// Routes of the pages.
    pub router: Router,
}

/// State of all handlers.
pub(crate) struct Console {
    pub(crate) users: Channel,
    pub(crate) products: Channel,
    pub(crate) orders: Channel,
    pub(crate) seal: SealKey,
    pub(crate) origin: OwnOrigin,
    pub(crate) clock: Clock,
}

/// Builds the function from its dependencies.
pub fn app(dependencies: Dependencies) -> App {
    let Dependencies { users, products, orders, seal, origin, clock } = dependencies;
    App { router: http::router(Arc::new(Console { users, products, orders, seal, origin, clock })) }
}

impl App {
    /// The same, with keys that follow a rotation of their secret. They must be those of the dependencies.
    pub fn following(self, rotation: SealRotation) -> Self {
        Self { router: self.router.layer(from_fn_with_state(rotation, follow)) }
    }
}

/// Has the keys follow the rotation before a request is handled.
async fn follow(State(rotation): State<SealRotation>, request: Request, next: Next) -> Response {
    rotation.follow(request.headers()).await;
    next.run(request).await
}
