//! The products function: the catalogue, and the stock of each product.
//!
//! - [`http`], [`grpc`]: the two transports, which convert and call
//! - [`service`]: use cases, one method each; authorization and the sequence of I/O live there
//! - [`forms`], [`listing`]: inputs from callers and their validation
//! - [`product`], [`stock`], [`ledger`], [`holds`], [`words`]: the domain, without I/O
//! - [`limits`]: the longest texts and largest numbers, once
//! - `views`: answers, in JSON and in protobuf
//! - [`store`]: MongoDB; the only module that knows BSON
//! - [`environment`]: environment variables, and the function built from them

use std::sync::Arc;

use axum::Router;
use mongodb::Database;
use proto::products::v1::product_service_server::ProductServiceServer;
use shared::auth::Verifier;
use shared::auth::jwks_client::JwksClient;
use shared::mongo::Schema;
use shared::rpc::channel::Channel;
use shared::rpc::server::{MAX_MESSAGE, RpcServer};
use shared::values::clock::Clock;

pub mod environment;
pub mod forms;
pub mod grpc;
pub mod holds;
pub mod http;
pub mod ledger;
pub mod limits;
pub mod listing;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod product;
pub mod service;
pub mod stock;
pub mod store;
mod views;
pub mod words;

/// Port of the function as an ordinary service, unless `PORT` names another.
pub const PORT: u16 = 50052;

/// Name of the function in its calls of others.
const NAME: &str = env!("CARGO_PKG_NAME");

/// Dependencies of the function.
pub struct Dependencies {
    /// Database with the products.
    pub database: Database,
    /// The users function, for the keys that verify access tokens.
    pub users: Channel,
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
}

/// Builds the function from its dependencies.
pub fn app(dependencies: Dependencies) -> App {
    app_with_schema(dependencies, store::SCHEMA)
}

/// Builds the function as a build with another schema would be.
pub fn app_with_schema(dependencies: Dependencies, schema: Schema) -> App {
    let Dependencies { database, users, clock } = dependencies;
    let verifier = Verifier::new(Arc::new(JwksClient::new(users.named(NAME))), clock.clone());
    let store = store::ProductStore::with_schema(&database, schema);
    let service = Arc::new(service::ProductService::new(store, clock.clone()));
    let grpc =
        ProductServiceServer::new(grpc::Grpc::new(service.clone())).max_decoding_message_size(MAX_MESSAGE);
    App {
        router: http::router(service, verifier.clone()),
        rpc: RpcServer::new(grpc, clock).verified_by(verifier),
    }
}
