//! What the function is told by its environment, and how it is built from that.

use std::sync::Arc;

use shared::error::Error;
use shared::http::edge::Edge;
use shared::mongo;
use shared::mongo::fenced::FencedDatabase;
use shared::rpc::channel::Channel;
use shared::rpc::services::Services;
use shared::runtime::config::{
    BASE_PATH, CORS_ALLOWED_ORIGINS, ConfigErrors, EDGE_SECRET, EDGE_SECRET_PREVIOUS, METRICS_NAMESPACE,
    MONGO_URI, USER_SERVICE_URL, Variable, Variables, XRAY_SPANS,
};
use shared::runtime::run::ServiceApp;
use shared::runtime::secrets::{self, SecretSource};
use shared::values::clock::Clock;

use crate::store::SCHEMA;
use crate::{Dependencies, app};

/// Environment variables of this function.
pub const VARIABLES: &[Variable] = &[
    MONGO_URI,
    USER_SERVICE_URL,
    CORS_ALLOWED_ORIGINS,
    BASE_PATH,
    EDGE_SECRET,
    EDGE_SECRET_PREVIOUS,
    METRICS_NAMESPACE,
    XRAY_SPANS,
];

/// Settings of the function, read from the environment.
#[derive(Clone)]
pub struct Environment {
    mongo_uri: Arc<dyn SecretSource>,
    users: Channel,
    edge: Edge,
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
        let edge = Edge::read(&mut variables, &mut services, &clock);
        let (Some(mongo_uri), Some(users), Some(edge)) = (mongo_uri, users, edge) else {
            return Err(variables.misconfigured());
        };
        variables.check()?;
        Ok(Self { mongo_uri, users, edge, clock })
    }

    /// Fetches the secret, connects, and builds the function.
    ///
    /// # Errors
    /// 503 when a dependency is away, or not as it must be.
    pub async fn build(self) -> Result<ServiceApp, Error> {
        let (database, ()) = futures::try_join!(mongo::open(&*self.mongo_uri, SCHEMA), self.edge.open())?;
        let app = app(Dependencies { database: database.clone(), users: self.users, clock: self.clock });
        let probed = FencedDatabase::new(&database, SCHEMA);
        Ok(ServiceApp::new(self.edge.around(app.router)).with_rpc(app.rpc).with_probe(move || {
            let database = probed.clone();
            async move { database.check_schema().await }
        }))
    }
}
