//! The products function: what can be ordered, and how much of it there is.
//!
//! - [`http`], [`grpc`]: its two faces, which convert and call
//! - [`service`]: one method per use case, the only place that orders I/O
//! - [`forms`], [`listing`]: what callers send and ask for, until it is checked
//! - [`product`], [`stock`], [`ledger`], [`holds`], [`words`]: the domain, without I/O
//! - [`store`]: MongoDB; the only module that knows BSON
//! - [`environment`]: what the function is told by its environment, and how it is built from that

use std::sync::Arc;

use axum::Router;
use mongodb::Database;
use proto::products::v1::product_service_server::ProductServiceServer;
use shared::auth::Verifier;
use shared::auth::jwks_client::JwksClient;
use shared::rpc::channel::Channel;
use shared::rpc::server::{MAX_MESSAGE, RpcServer};
use shared::values::clock::Clock;

pub mod environment;
pub mod forms;
pub mod grpc;
pub mod holds;
pub mod http;
pub mod ledger;
pub mod listing;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod product;
pub mod service;
pub mod stock;
pub mod store;
pub mod words;

/// What the function depends on.
pub struct Dependencies {
    /// Where the products are.
    pub database: Database,
    /// The users function, for the keys that verify access tokens.
    pub users: Channel,
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
    let Dependencies { database, users, clock } = dependencies;
    let verifier = Verifier::new(Arc::new(JwksClient::new(users)), clock.clone());
    let store = store::ProductStore::new(&database);
    let service = Arc::new(service::ProductService::new(store, clock.clone()));
    let grpc =
        ProductServiceServer::new(grpc::Grpc::new(service.clone())).max_decoding_message_size(MAX_MESSAGE);
    App {
        router: http::router(service, verifier.clone()),
        rpc: RpcServer::new(grpc, clock).verified_by(verifier),
    }
}
