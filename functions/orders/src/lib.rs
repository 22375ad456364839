//! The orders function: from placing to delivery, return and refund.
//!
//! - [`http`], [`grpc`]: the two transports, which convert and call
//! - [`service`]: use cases, one method each; authorization and the sequence of I/O live there
//! - [`forms`], [`listing`]: inputs from callers and their validation
//! - [`order`], [`order_id`], [`entry_id`], [`number`], [`status`]: the aggregate, its identifiers and its state machine;
//!   no I/O
//! - [`open_orders`]: slots that bound the open orders of a customer; no I/O
//! - [`limits`]: bounds of values, declared once
//! - `views`: answers, in JSON and in protobuf
//! - [`store`]: MongoDB; the only module that knows BSON
//! - [`schedule`]: Reconcile every minute, in a plain service
//! - [`environment`]: environment variables, and the function built from them
//! - [`products`], [`users`]: clients of the other functions

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use mongodb::Database;
use proto::orders::v1::order_service_server::OrderServiceServer;
use shared::auth::Verifier;
use shared::auth::jwks_client::JwksClient;
use shared::mongo::Schema;
use shared::rpc::channel::Channel;
use shared::rpc::server::{MAX_MESSAGE, RpcServer};
use shared::values::clock::Clock;

pub mod entry_id;
pub mod environment;
pub mod forms;
pub mod grpc;
pub mod http;
pub mod limits;
pub mod listing;
pub mod number;
pub mod open_orders;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod order;
pub mod order_id;
pub mod products;
pub mod schedule;
pub mod service;
pub mod status;
pub mod store;
pub mod users;
mod views;

/// Port of the function as an ordinary service, unless `PORT` names another.
pub const PORT: u16 = 50051;

/// Name of the function in its calls of others.
const NAME: &str = env!("CARGO_PKG_NAME");

/// Default time in which an order must be paid: an hour.
pub const DEFAULT_PAYMENT_WINDOW: Duration = Duration::from_secs(3_600);

/// A day.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Default time after a delivery in which a customer may ask for a return: 14 days.
pub const DEFAULT_RETURN_WINDOW: Duration = Duration::from_secs(14 * DAY.as_secs());

/// Limits of what one customer may do; 0 is no limit. Staff have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CustomerLimits {
    /// Maximum number of open orders.
    pub max_open_orders: u32,
    /// Maximum number of requests a minute that place an order, change its items or cancel it.
    pub requests_per_minute: u32,
}

impl CustomerLimits {
    /// No limits.
    pub const NONE: Self = Self { max_open_orders: 0, requests_per_minute: 0 };
}

impl Default for CustomerLimits {
    fn default() -> Self {
        Self { max_open_orders: 20, requests_per_minute: 60 }
    }
}

/// Dependencies of the function.
pub struct Dependencies {
    /// Database with the orders.
    pub database: Database,
    /// The products function.
    pub products: Channel,
    /// The users function.
    pub users: Channel,
    /// Time in which an order must be paid.
    pub payment_window: Duration,
    /// Time after a delivery in which a customer may ask for a return.
    pub return_window: Duration,
    /// Limits of what one customer may do.
    pub limits: CustomerLimits,
    /// Source of the current time.
    pub clock: Clock,
}

/// The function, ready to serve REST and gRPC.
#[derive(Clone)]
pub struct App {
    /// REST routes.
    pub router: Router,
    /// gRPC calls from other functions.
    pub rpc: RpcServer,
    /// Use cases.
    pub service: Arc<service::OrderService>,
}

/// Builds the function from its dependencies.
pub fn app(dependencies: Dependencies) -> App {
    app_with_schema(dependencies, store::SCHEMA)
}

/// Builds the function as a build with another schema would be.
pub fn app_with_schema(dependencies: Dependencies, schema: Schema) -> App {
    let Dependencies { database, products, users, payment_window, return_window, limits, clock } =
        dependencies;
    let (products, users) = (products.named(NAME), users.named(NAME));
    let verifier = Verifier::new(Arc::new(JwksClient::new(users.clone())), clock.clone());
    let service = Arc::new(service::OrderService {
        store: store::OrderStore::with_schema(&database, schema),
        products: products::Products::new(products, clock.clone()),
        users: users::Users::new(users, clock.clone()),
        payment_window,
        return_window,
        limits,
        clock: clock.clone(),
    });
    let grpc =
        OrderServiceServer::new(grpc::Grpc::new(service.clone())).max_decoding_message_size(MAX_MESSAGE);
    App {
        router: http::router(service.clone(), verifier.clone()),
        rpc: RpcServer::new(grpc, clock).verified_by(verifier),
        service,
    }
}
