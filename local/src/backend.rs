//! The functions in one process, connected as they are on Lambda.
//!
//! Calls between them go through the same envelopes, but stay in memory.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use console::OwnOrigin;
use console::session::SealKey;
pub use maintenance::schema::{Schemas, ensure_schema, ensure_schemas};
use mongodb::Database;
pub use orders::CustomerLimits;
use proto::orders::v1::order_service_client::OrderServiceClient;
use proto::orders::v1::{
    CheckConsistencyRequest, CheckConsistencyResponse, ReconcileRequest, ReconcileResponse,
};
use shared::auth::{Caller, Role, Signer, TokenOrigin};
use shared::error::Error;
use shared::rpc::channel::Channel;
use shared::rpc::metadata;
use shared::rpc::server::MAX_MESSAGE;
use shared::runtime::context::{Context, DEFAULT_TIMEOUT};
use shared::values::clock::Clock;
use shared::values::ids::UserId;
use users::tokens::KeyRing;

use crate::gateway::{self, Routers};

/// Dependencies of the backend.
pub struct BackendConfig {
    /// Database for all data.
    pub database: Database,
    /// Signs access tokens.
    pub signer: Signer,
    /// Time that an order may stay unpaid.
    pub payment_window: Duration,
    /// Time after a delivery in which a customer may ask for a return.
    pub return_window: Duration,
    /// Limits of what one customer may do.
    pub limits: CustomerLimits,
    /// Requests per minute from one address to the sign-in and sign-up paths; 0 means no limit.
    pub rate_limit_per_address: u32,
    /// Source of the current time.
    pub clock: Clock,
}

/// Connected functions.
#[derive(Clone)]
pub struct Backend {
    /// The users function.
    pub users: users::App,
    /// The products function.
    pub products: products::App,
    /// The orders function.
    pub orders: orders::App,
    /// The docs function.
    pub docs: docs::App,
    /// The console.
    pub console: console::App,
    keys: KeyRing,
    /// Admin in the access tokens of [`check_consistency`](Self::check_consistency), who need not exist.
    admin: UserId,
    clock: Clock,
}

impl Backend {
    /// Runs Reconcile as the schedule does, which repairs the effects of crashes and lost answers.
    ///
    /// # Errors
    /// The first error that stops it.
    pub async fn reconcile(&self) -> Result<ReconcileResponse, Error> {
        let channel = Channel::new(Arc::new(self.orders.rpc.clone()), self.clock.clone()).named("schedule");
        let request = metadata::request(ReconcileRequest::default(), &self.context(Caller::System));
        Ok(OrderServiceClient::new(channel).reconcile(request).await?.into_inner())
    }

    /// Checks the page of this cursor, or the first page, as an admin.
    ///
    /// # Errors
    /// If the data cannot be read.
    pub async fn check_consistency(&self, cursor: Option<String>) -> Result<CheckConsistencyResponse, Error> {
        let token = self.keys.access_token(TokenOrigin::default(), self.admin, Role::Admin, self.clock.now());
        let token = token.await?;
        let message = CheckConsistencyRequest { limit: None, cursor };
        let mut request = metadata::request(message, &self.context(Caller::Anonymous));
        let bearer = format!("Bearer {token}").parse();
        let bearer = bearer.map_err(|_| Error::internal("an access token is no text of a header"))?;
        request.metadata_mut().insert("authorization", bearer);
        let channel = Channel::new(Arc::new(self.orders.rpc.clone()), self.clock.clone());
        let mut orders = OrderServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
        Ok(orders.check_consistency(request).await?.into_inner())
    }

    fn context(&self, caller: Caller) -> Context {
        Context::new(caller, self.clock.now().after(DEFAULT_TIMEOUT))
    }

    /// Builds and connects the functions.
    pub fn build(config: BackendConfig) -> Self {
        Self::build_with_schemas(config, Schemas::default())
    }

    /// Builds and connects the functions as a build with other schemas would be.
    pub fn build_with_schemas(config: BackendConfig, schemas: Schemas) -> Self {
        let BackendConfig {
            database,
            signer,
            payment_window,
            return_window,
            limits,
            rate_limit_per_address,
            clock,
        } = config;
        let keys = KeyRing::fixed(signer, clock.clone());
        let users = users::Dependencies {
            database: database.clone(),
            keys: keys.clone(),
            rate_limit_per_address,
            clock: clock.clone(),
        };
        let users = users::app_with_schema(users, schemas.users);
        let to_users = Channel::new(Arc::new(users.rpc.clone()), clock.clone());
        let products = products::Dependencies {
            database: database.clone(),
            users: to_users.clone(),
            clock: clock.clone(),
        };
        let products = products::app_with_schema(products, schemas.products);
        let orders = orders::Dependencies {
            database,
            products: Channel::new(Arc::new(products.rpc.clone()), clock.clone()),
            users: to_users,
            payment_window,
            return_window,
            limits,
            clock: clock.clone(),
        };
        let orders = orders::app_with_schema(orders, schemas.orders);
        let docs = docs::app(clock.clone());
        let console = console::app(console::Dependencies {
            users: Channel::new(Arc::new(users.rpc.clone()), clock.clone()),
            products: Channel::new(Arc::new(products.rpc.clone()), clock.clone()),
            orders: Channel::new(Arc::new(orders.rpc.clone()), clock.clone()),
            // Another key at each start: sessions of the console end with the process.
            seal: SealKey::random(),
            origin: OwnOrigin::OfHost,
            clock: clock.clone(),
        });
        Self { users, products, orders, docs, console, keys, admin: UserId::new(), clock }
    }

    /// Returns one router for the whole REST API, and for the console.
    pub fn router(&self) -> Router {
        gateway::router(Routers {
            orders: self.orders.router.clone(),
            products: self.products.router.clone(),
            users: self.users.router.clone(),
            console: self.console.router.clone(),
            docs: self.docs.router.clone(),
        })
    }
}
