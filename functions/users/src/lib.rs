//! The users function: who there is, how they sign in, and the tokens and keys that tell it to the others.
//!
//! - [`http`], [`grpc`]: its two faces, which convert and call
//! - [`service`], [`sign_in`]: one method per use case, the only places that order I/O
//! - [`rate_limit`]: limits of sign-in attempts and of requests per address
//! - [`forms`], [`listing`]: what callers send and ask for, until it is checked
//! - [`user`], [`credentials`], [`refresh_token`]: the domain, without I/O
//! - [`tokens`]: the signing keys and who may know their public halves
//! - [`store`]: MongoDB; with what is below it the only file that knows BSON
//! - [`environment`]: what the function is told by its environment, and how it is built from that

use std::sync::Arc;

use axum::Router;
use mongodb::Database;
use proto::users::v1::user_service_server::UserServiceServer;
use shared::auth::Verifier;
use shared::rpc::server::{MAX_MESSAGE, RpcServer};
use shared::values::clock::Clock;

pub mod credentials;
pub mod environment;
pub mod forms;
pub mod grpc;
pub mod http;
pub mod listing;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod rate_limit;
pub mod refresh_token;
pub mod service;
pub mod store;
pub mod tokens;
pub mod user;

/// What the function depends on.
pub struct Dependencies {
    /// Where the users are.
    pub database: Database,
    /// Sign access tokens.
    pub keys: tokens::KeyRing,
    /// How many requests a minute may come from one address to where one signs in or up; 0 is no limit.
    pub rate_limit_per_address: u32,
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
    /// The use cases, for whoever sets the system up.
    pub service: Arc<service::UserService>,
}

/// Builds the function from what it depends on.
pub fn app(dependencies: Dependencies) -> App {
    let Dependencies { database, keys, rate_limit_per_address, clock } = dependencies;
    let store = store::UserStore::new(&database);
    let limits = rate_limit::RateLimits::new(store.counts().clone(), rate_limit_per_address, clock.clone());
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
