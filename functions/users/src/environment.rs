//! What the function is told by its environment, and how it is built from that.

use std::sync::Arc;

use shared::auth::Signer;
use shared::error::Error;
use shared::http::edge::Edge;
use shared::mongo;
use shared::mongo::fenced::FencedDatabase;
use shared::rpc::services::Services;
use shared::runtime::config::{
    BASE_PATH, CORS_ALLOWED_ORIGINS, ConfigErrors, EDGE_SECRET, EDGE_SECRET_PREVIOUS, METRICS_NAMESPACE,
    MONGO_URI, Variable, Variables, XRAY_SPANS,
};
use shared::runtime::run::ServiceApp;
use shared::runtime::secrets::{self, SecretSource};
use shared::values::clock::Clock;

use crate::store::SCHEMA;
use crate::tokens::KeyRing;
use crate::{Dependencies, app};

/// The highest limit of requests a minute from one address.
const MOST: u32 = 1_000_000;

/// Environment variables of this function.
pub const VARIABLES: &[Variable] = &[
    MONGO_URI,
    Variable::secret("JWT_SECRET", "signs access tokens; 32 random bytes or more"),
    Variable::new(
        "RATE_LIMIT_PER_ADDRESS",
        "requests a minute from one address to `/auth`, `/auth/refresh` and `POST /users`, and to change users unless \
         by admins; 60 by default, 0 is no limit, at most 1000000. Behind a proxy a plain service needs `TRUSTED_PROXIES`",
    ),
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
    jwt_secret: Arc<dyn SecretSource>,
    rate_limit_per_address: u32,
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
        let jwt_secret = secrets::read(&mut variables, &mut services, "JWT_SECRET", Signer::check_secret);
        let edge = Edge::read(&mut variables, &mut services, &clock);
        let rate_limit = variables.or("RATE_LIMIT_PER_ADDRESS", 60, |text| {
            let problem =
                || format!("must be a whole number of requests a minute, at most {MOST}, or 0 for no limit");
            text.parse().ok().filter(|limit| *limit <= MOST).ok_or_else(problem)
        });
        let (Some(mongo_uri), Some(jwt_secret), Some(rate_limit_per_address), Some(edge)) =
            (mongo_uri, jwt_secret, rate_limit, edge)
        else {
            return Err(variables.misconfigured());
        };
        variables.check()?;
        Ok(Self { mongo_uri, jwt_secret, rate_limit_per_address, edge, clock })
    }

    /// Fetches the secrets, connects, and builds the function.
    ///
    /// # Errors
    /// 503 when a dependency is away, or not as it must be.
    pub async fn build(self) -> Result<ServiceApp, Error> {
        let (database, keys, ()) = futures::try_join!(
            mongo::open(&*self.mongo_uri, SCHEMA),
            KeyRing::open(self.jwt_secret, self.clock.clone()),
            self.edge.open(),
        )?;
        let Self { rate_limit_per_address, edge, clock, .. } = self;
        let app = app(Dependencies { database: database.clone(), keys, rate_limit_per_address, clock });
        let probed = FencedDatabase::new(&database, SCHEMA);
        Ok(ServiceApp::new(edge.around(app.router)).with_rpc(app.rpc).with_probe(move || {
            let database = probed.clone();
            async move { database.check_schema().await }
        }))
    }
}
