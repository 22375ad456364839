//! What the function is told by its environment, and how it is built from that.

use std::sync::Arc;
use std::time::Duration;

use shared::error::Error;
use shared::http::routes::Cors;
use shared::mongo;
use shared::rpc::channel::Channel;
use shared::rpc::services::Services;
use shared::runtime::config::{
    CORS_ALLOWED_ORIGINS, ConfigErrors, MONGO_URI, PRODUCT_SERVICE_URL, USER_SERVICE_URL, Variable,
    Variables, seconds,
};
use shared::runtime::run::ServiceApp;
use shared::runtime::secrets::{self, SecretSource};
use shared::values::clock::Clock;

use crate::store::SCHEMA;
use crate::{DEFAULT_PAYMENT_WINDOW, Dependencies, app};

/// Environment variables of this function.
pub const VARIABLES: &[Variable] = &[
    MONGO_URI,
    PRODUCT_SERVICE_URL,
    USER_SERVICE_URL,
    Variable::new(
        "ORDER_PAYMENT_WINDOW",
        "seconds until an unpaid order of a customer expires; 3600 by default",
    ),
    CORS_ALLOWED_ORIGINS,
];

/// Settings of the function, read from the environment.
#[derive(Clone)]
pub struct Environment {
    mongo_uri: Arc<dyn SecretSource>,
    products: Channel,
    users: Channel,
    payment_window: Duration,
    cors: Cors,
    clock: Clock,
}

impl Environment {
    /// Reads it.
    ///
    /// # Errors
    /// Everything that is missing or malformed.
    pub fn read(variables: Variables, clock: Clock) -> Result<Self, ConfigErrors> {
        let mut variables = variables.declared(VARIABLES);
        let mut services = Services::new(clock.clone());
        let mongo_uri = secrets::read(&mut variables, &mut services, MONGO_URI.name, secrets::mongo_uri);
        let products = services.channel(&mut variables, PRODUCT_SERVICE_URL.name);
        let users = services.channel(&mut variables, USER_SERVICE_URL.name);
        let payment_window = variables.or("ORDER_PAYMENT_WINDOW", DEFAULT_PAYMENT_WINDOW, seconds);
        let cors = variables.or(CORS_ALLOWED_ORIGINS.name, Cors::default(), Cors::parse);
        let (Some(mongo_uri), Some(products), Some(users), Some(payment_window), Some(cors)) =
            (mongo_uri, products, users, payment_window, cors)
        else {
            return Err(variables.misconfigured());
        };
        variables.check()?;
        Ok(Self { mongo_uri, products, users, payment_window, cors, clock })
    }

    /// Fetches the secret, connects, and builds the function.
    ///
    /// # Errors
    /// 503 when a dependency is away, or not as it must be.
    pub async fn build(self) -> Result<ServiceApp, Error> {
        let database = mongo::open(&*self.mongo_uri, SCHEMA).await?;
        let app = app(Dependencies {
            database,
            products: self.products,
            users: self.users,
            payment_window: self.payment_window,
            clock: self.clock,
        });
        Ok(ServiceApp { router: self.cors.around(app.router), rpc: Some(app.rpc) })
    }
}
