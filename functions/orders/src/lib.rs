//! The orders function: from placing to delivery, return and refund.
//!
//! - [`http`], [`grpc`]: its two faces, which convert and call
//! - [`service`]: use cases, one method each; authorization and the sequence of I/O live there
//! - [`forms`], [`listing`]: what callers send and ask for, until it is checked
//! - [`order`], [`order_id`], [`number`], [`status`]: the aggregate, what we and people call it, and its state
//!   machine; no I/O
//! - [`store`]: MongoDB; the only file that knows BSON
//! - [`environment`]: what the function is told by its environment, and how it is built from that
//! - [`products`], [`users`]: the other functions, as this one sees them

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use mongodb::Database;
use proto::orders::v1::order_service_server::OrderServiceServer;
use shared::auth::Verifier;
use shared::auth::jwks_client::JwksClient;
use shared::rpc::channel::Channel;
use shared::rpc::server::{MAX_MESSAGE, RpcServer};
use shared::values::clock::Clock;

pub mod environment;
pub mod forms;
pub mod grpc;
pub mod http;
pub mod listing;
pub mod number;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod order;
pub mod order_id;
pub mod products;
pub mod service;
pub mod status;
pub mod store;
pub mod users;

/// How long an order may stay unpaid when nobody says otherwise: a day.
pub const DEFAULT_PAYMENT_WINDOW: Duration = Duration::from_secs(86_400);

/// What the function depends on.
pub struct Dependencies {
    /// Where the orders are.
    pub database: Database,
    /// The products function.
    pub products: Channel,
    /// The users function.
    pub users: Channel,
    /// How long an order may stay unpaid.
    pub payment_window: Duration,
    /// Tells the time.
    pub clock: Clock,
}

/// The function, ready to answer at both of its entrances.
#[derive(Clone)]
pub struct App {
    /// REST.
    pub router: Router,
    /// Calls from other functions.
    pub rpc: RpcServer,
}

/// Builds the function from what it depends on.
pub fn app(dependencies: Dependencies) -> App {
    let Dependencies { database, products, users, payment_window, clock } = dependencies;
    let verifier = Verifier::new(Arc::new(JwksClient::new(users.clone())), clock.clone());
    let service = Arc::new(service::OrderService {
        store: store::OrderStore::new(&database),
        products: products::Products::new(products, clock.clone()),
        users: users::Users::new(users, clock.clone()),
        payment_window,
        clock: clock.clone(),
    });
    let grpc =
        OrderServiceServer::new(grpc::Grpc::new(service.clone())).max_decoding_message_size(MAX_MESSAGE);
    App {
        router: http::router(service, verifier.clone()),
        rpc: RpcServer::new(grpc, clock).verified_by(verifier),
    }
}
