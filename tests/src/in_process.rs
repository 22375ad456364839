//! A shop in this process, on a database of its own, that a test can look into. It runs here whatever the target is.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use local::backend::{self, Backend, BackendConfig, CustomerLimits};
use mongodb::Database;
use shared::auth::{Role, Signer};
use shared::http::edge::Edge;
use shared::rpc::channel::Channel;
use shared::runtime::listener;
use shared::runtime::run::ServiceApp;
use shared::runtime::socket;
use shared::runtime::socket::Reflection;
use shared::values::clock::Clock;
use shared::values::ids::UserId;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::JWT_SECRET;
use crate::holds;
use crate::person::{PASSWORD, Person};
use crate::shop::Shop;

/// A shop in this process, without products or customers.
pub struct InProcess {
    pub(crate) shop: Shop,
    /// The functions.
    pub backend: Backend,
    /// Their database.
    pub database: Database,
}

impl Deref for InProcess {
    type Target = Shop;

    fn deref(&self) -> &Shop {
        &self.shop
    }
}

impl InProcess {
    /// Opens a shop.
    pub async fn open() -> Self {
        Self::open_with_clock(Clock::system()).await
    }

    /// The same, with another clock.
    pub async fn open_with_clock(clock: Clock) -> Self {
        let uri = mongod::shared_for_tests().await.unwrap_or_else(|error| panic!("{error:?}"));
        Self::open_at(uri, clock).await
    }

    /// The same, with a limit of requests a minute from one address to where one signs in or up. The admin of the
    /// shop has used one of them.
    pub async fn open_limited(clock: Clock, rate_limit_per_address: u32) -> Self {
        let uri = mongod::shared_for_tests().await.unwrap_or_else(|error| panic!("{error:?}"));
        Self::open_house(uri, clock, rate_limit_per_address, CustomerLimits::NONE).await
    }

    /// The same, with limits of what one customer may do.
    pub async fn open_with_limits(clock: Clock, limits: CustomerLimits) -> Self {
        let uri = mongod::shared_for_tests().await.unwrap_or_else(|error| panic!("{error:?}"));
        Self::open_house(uri, clock, 0, limits).await
    }

    /// The same, with an edge around its routes. The shop's URL has the base path.
    pub async fn open_behind(edge: Edge) -> Self {
        let uri = mongod::shared_for_tests().await.unwrap_or_else(|error| panic!("{error:?}"));
        Self::open_house_behind(edge, uri, Clock::system(), 0, CustomerLimits::NONE).await
    }

    /// The same, on another MongoDB server: a connection string without a database.
    pub async fn open_at(uri: &str, clock: Clock) -> Self {
        Self::open_house(uri, clock, 0, CustomerLimits::NONE).await
    }

    async fn open_house(
        uri: &str,
        clock: Clock,
        rate_limit_per_address: u32,
        limits: CustomerLimits,
    ) -> Self {
        Self::open_house_behind(Edge::default(), uri, clock, rate_limit_per_address, limits).await
    }

    async fn open_house_behind(
        edge: Edge,
        uri: &str,
        clock: Clock,
        rate_limit_per_address: u32,
        limits: CustomerLimits,
    ) -> Self {
        let client = shared::mongo::connect(uri, "tests").await.unwrap_or_else(|error| panic!("{error:?}"));
        let database = client.client().database(&format!("test_{}", Uuid::new_v4().simple()));
        backend::ensure_schema(&database).await.unwrap_or_else(|error| panic!("{error:?}"));
        let signer = Signer::from_secret(JWT_SECRET).unwrap_or_else(|error| panic!("{error:?}"));
        let payment_window = Duration::from_secs(86_400);
        let backend = Backend::build(BackendConfig {
            database: database.clone(),
            signer,
            payment_window,
            return_window: Duration::from_secs(14 * 86_400),
            limits,
            rate_limit_per_address,
            clock,
        });

        let socket =
            TcpListener::bind("127.0.0.1:0").await.unwrap_or_else(|error| panic!("no port: {error}"));
        let address = socket.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
        let base = format!("http://{address}{}", edge.base_path().as_str());
        // Ends with the runtime of the test.
        let limits = listener::Settings { base_path: edge.base_path().clone(), ..Default::default() };
        let function = ServiceApp::new(edge.around(backend.router()));
        let never = std::future::pending();
        tokio::spawn(socket::serve_within(socket, function, Reflection::Off, limits, never));

        let email = "admin@example.com";
        let made = backend.users.service.ensure_admin(email, PASSWORD).await;
        made.unwrap_or_else(|error| panic!("{error:?}"));
        let shop = Shop::with_admin(base, email, PASSWORD).await;
        Self { shop, backend, database }
    }

    /// Folds the journals of all products.
    ///
    /// # Errors
    /// Text of the status, if products does not answer.
    pub async fn fold(&self, clock: &Clock) -> Result<(), String> {
        let products = Channel::new(Arc::new(self.backend.products.rpc.clone()), clock.clone());
        holds::fold(products, clock).await
    }

    /// Users known by their tokens alone, each another one: a sign-up costs more than an order.
    pub fn people(&self, role: Role, count: usize) -> Vec<Person> {
        let signer = Signer::from_secret(JWT_SECRET).unwrap_or_else(|error| panic!("{error:?}"));
        let now = Clock::system().now();
        let person = |_| {
            let token = signer.access_token(UserId::new(), role, now);
            self.anyone().with_token(token.unwrap_or_else(|error| panic!("{error:?}")))
        };
        (0..count).map(person).collect()
    }
}
