//! The users function: accounts, sign-in, and the tokens and keys by which other functions know the caller.
//!
//! - [`http`], [`grpc`]: the two transports, which convert and call
//! - [`service`]: use cases, one method each; authorization and the sequence of I/O live there
//! - [`rate_limit`]: limits of sign-in attempts and of requests per address
//! - [`forms`], [`listing`]: inputs from callers and their validation
//! - [`user`], [`credentials`], [`refresh_token`]: the domain, without I/O
//! - [`tokens`]: signing keys and their rotation
//! - [`limits`]: bounds of values, declared once
//! - `views`: answers, in JSON and in protobuf
//! - [`store`]: MongoDB; with the modules below it the only place that knows BSON
//! - [`environment`]: environment variables, and the function built from them

use std::sync::Arc;

use axum::Router;
use mongodb::Database;
use proto::users::v1::user_service_server::UserServiceServer;
use shared::auth::Verifier;
use shared::mongo::Schema;
use shared::rpc::server::{MAX_MESSAGE, RpcServer};
use shared::values::clock::Clock;

pub mod credentials;
pub mod environment;
pub mod forms;
pub mod grpc;
pub mod http;
pub mod limits;
pub mod listing;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod rate_limit;
pub mod refresh_token;
pub mod service;
pub mod store;
pub mod tokens;
pub mod user;
mod views;

/// Port of the function as an ordinary service, unless `PORT` names another.
pub const PORT: u16 = 50053;

/// Dependencies of the function.
pub struct Dependencies {
    /// Database with the users.
    pub database: Database,
    /// Keys that sign access tokens.
    pub keys: tokens::KeyRing,
    /// Maximum number of requests a minute from one address to sign-in, sign-up and changes of users; 0 is no
    /// limit.
    pub rate_limit_per_address: u32,
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
    /// Use cases, for the setup of the system.
    pub service: Arc<service::UserService>,
}

/// Builds the function from its dependencies.
pub fn app(dependencies: Dependencies) -> App {
    app_with_schema(dependencies, store::SCHEMA)
}

/// Builds the function as a build with another schema would be.
pub fn app_with_schema(dependencies: Dependencies, schema: Schema) -> App {
    let Dependencies { database, keys, rate_limit_per_address, clock } = dependencies;
    let store = store::UserStore::with_schema(&database, schema);
    let (counts, networks) = (store.counts().clone(), store.networks().clone());
    let limits = rate_limit::RateLimits::new(counts, networks, rate_limit_per_address, clock.clone());
    let service = Arc::new(service::UserService::new(store, keys, limits, clock.clone()));
    let verifier = Verifier::new(service.clone(), clock.clone());
    let grpc =
        UserServiceServer::new(grpc::Grpc::new(service.clone())).max_decoding_message_size(MAX_MESSAGE);
    App {
        router: http::router(service.clone(), verifier.clone()),
        rpc: RpcServer::new(grpc, clock).verified_by(verifier),
        service,
    }
}
