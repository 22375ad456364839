//! A second instance of all functions over the database of a shop, as another environment on Lambda is.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::sync::Arc;
use std::time::Duration;

use local::backend::{Backend, BackendConfig, Schemas};
use orders::CustomerLimits;
use proto::users::v1::user_service_client::UserServiceClient;
use shared::auth::Signer;
use shared::rpc::channel::Channel;
use shared::rpc::http2::Http2;
use shared::runtime::run::ServiceApp;
use shared::runtime::socket;
use shared::runtime::socket::Reflection;
use shared::values::clock::Clock;
use tests::JWT_SECRET;
use tests::in_process::InProcess;
use tests::person::Person;
use tokio::net::TcpListener;

/// The instance. It knows what the other one has changed from the database alone.
pub(crate) struct Instance {
    pub(crate) backend: Backend,
    base: String,
    users: Channel,
    clock: Clock,
}

impl Instance {
    pub(crate) async fn of(shop: &InProcess, clock: Clock) -> Self {
        Self::of_build(shop, clock, Schemas::default()).await
    }

    /// An instance that limits what one customer may do.
    pub(crate) async fn with_limits(shop: &InProcess, limits: CustomerLimits, clock: Clock) -> Self {
        Self::build(shop, limits, clock, Schemas::default()).await
    }

    /// An instance of a build with other schemas.
    pub(crate) async fn of_build(shop: &InProcess, clock: Clock, schemas: Schemas) -> Self {
        Self::build(shop, CustomerLimits::NONE, clock, schemas).await
    }

    async fn build(shop: &InProcess, limits: CustomerLimits, clock: Clock, schemas: Schemas) -> Self {
        let config = BackendConfig {
            database: shop.database.clone(),
            signer: Signer::from_secret(JWT_SECRET).unwrap(),
            payment_window: Duration::from_secs(86_400),
            return_window: orders::DEFAULT_RETURN_WINDOW,
            limits,
            rate_limit_per_address: 0,
            clock: clock.clone(),
        };
        let backend = Backend::build_with_schemas(config, schemas);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let function = ServiceApp::new(backend.router()).with_rpc(backend.users.rpc.clone());
        tokio::spawn(socket::serve(listener, function, Reflection::Off, std::future::pending()));
        let authority = address.to_string().parse().unwrap();
        let users = Channel::over_http2(Http2::new(authority), clock.clone());
        Self { backend, base: format!("http://{address}"), users, clock }
    }

    /// The same person, who sends requests to this instance.
    pub(crate) fn seen_by(&self, person: &Person) -> Person {
        person.at(&self.base)
    }

    /// A gRPC client of the users function on the socket of this instance.
    pub(crate) fn users(&self) -> UserServiceClient<Channel> {
        UserServiceClient::new(self.users.clone())
    }

    /// A gRPC client of the users function that sends it envelopes, as another function does.
    pub(crate) fn users_in_envelopes(&self) -> UserServiceClient<Channel> {
        UserServiceClient::new(Channel::new(Arc::new(self.backend.users.rpc.clone()), self.clock.clone()))
    }
}
