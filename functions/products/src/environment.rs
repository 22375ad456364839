//! What the function is told by its environment, and how it is built from that.

use std::sync::Arc;

use shared::error::Error;
use shared::http::routes::Cors;
use shared::mongo;
use shared::mongo::fenced::FencedDatabase;
use shared::rpc::channel::Channel;
use shared::rpc::services::Services;
use shared::runtime::config::{
    CORS_ALLOWED_ORIGINS, ConfigErrors, METRICS_NAMESPACE, MONGO_URI, USER_SERVICE_URL, Variable, Variables,
};
use shared::runtime::run::ServiceApp;
use shared::runtime::secrets::{self, SecretSource};
use shared::values::clock::Clock;

use crate::store::SCHEMA;
use crate::{Dependencies, app};

/// Environment variables of this function.
pub const VARIABLES: &[Variable] = &[MONGO_URI, USER_SERVICE_URL, CORS_ALLOWED_ORIGINS, METRICS_NAMESPACE];

/// Settings of the function, read from the environment.
#[derive(Clone)]
pub struct Environment {
    mongo_uri: Arc<dyn SecretSource>,
    users: Channel,
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
        let users = services.channel(&mut variables, USER_SERVICE_URL.name);
        let cors = variables.or(CORS_ALLOWED_ORIGINS.name, Cors::default(), Cors::parse);
        let (Some(mongo_uri), Some(users), Some(cors)) = (mongo_uri, users, cors) else {
            return Err(variables.misconfigured());
        };
        variables.check()?;
        Ok(Self { mongo_uri, users, cors, clock })
    }

    /// Fetches the secret, connects, and builds the function.
    ///
    /// # Errors
    /// 503 when a dependency is away, or not as it must be.
    pub async fn build(self) -> Result<ServiceApp, Error> {
        let database = mongo::open(&*self.mongo_uri, SCHEMA).await?;
        let app = app(Dependencies { database: database.clone(), users: self.users, clock: self.clock });
        let probed = FencedDatabase::new(&database, SCHEMA);
        Ok(ServiceApp::new(self.cors.around(app.router)).with_rpc(app.rpc).with_probe(move || {
            let database = probed.clone();
            async move { database.check_schema().await }
        }))
    }
}
