//! What the function is told by its environment, and how it is built from that.

use std::sync::Arc;

use shared::error::Error;
use shared::http::edge::Edge;
use shared::rpc::channel::Channel;
use shared::rpc::services::Services;
use shared::runtime::config::{
    BASE_PATH, ConfigErrors, EDGE_SECRET, EDGE_SECRET_PREVIOUS, METRICS_NAMESPACE, ORDER_SERVICE_URL,
    PRODUCT_SERVICE_URL, USER_SERVICE_URL, Variable, Variables, XRAY_SPANS,
};
use shared::runtime::run::ServiceApp;
use shared::runtime::secrets::{self, SecretSource};
use shared::values::clock::Clock;

use crate::session::{SealKey, SealRotation};
use crate::{Dependencies, OwnOrigin, app};

/// Secret that seals sessions.
pub const CONSOLE_SECRET: Variable = Variable::secret(
    "CONSOLE_SECRET",
    "seals the cookies of the [console](console.md): 32 random bytes or more, which no other function has",
);

/// Another secret, whose sessions are opened.
pub const CONSOLE_SECRET_PREVIOUS: Variable = Variable::secret(
    "CONSOLE_SECRET_PREVIOUS",
    "another secret whose cookies are opened, while `CONSOLE_SECRET` is [exchanged](#the-secret-of-the-console)",
);

/// Origin of the pages.
pub const CONSOLE_ORIGIN: Variable = Variable::new(
    "CONSOLE_ORIGIN",
    "origin of the console as browsers write it, such as `https://shop.example.com`: forms of all others are refused. \
     Absent: that of `Host` over TLS, or over HTTP on loopback. With `EDGE_SECRET` it is unknown if absent, and \
     `Sec-Fetch-Site` decides",
);

/// Environment variables of this function.
pub const VARIABLES: &[Variable] = &[
    CONSOLE_SECRET,
    CONSOLE_SECRET_PREVIOUS,
    CONSOLE_ORIGIN,
    ORDER_SERVICE_URL,
    PRODUCT_SERVICE_URL,
    USER_SERVICE_URL,
    BASE_PATH,
    EDGE_SECRET,
    EDGE_SECRET_PREVIOUS,
    METRICS_NAMESPACE,
    XRAY_SPANS,
];

/// Settings of the function, read from the environment.
#[derive(Clone)]
pub struct Environment {
    secret: Arc<dyn SecretSource>,
    /// Another secret whose sessions are opened.
    other: Option<Arc<dyn SecretSource>>,
    origin: OwnOrigin,
    orders: Channel,
    products: Channel,
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
        let rule: secrets::Rule = |text| SealKey::check_secret(text);
        let secret = secrets::read(&mut variables, &mut services, CONSOLE_SECRET.name, rule);
        let other = secrets::optional(&mut variables, &mut services, CONSOLE_SECRET_PREVIOUS.name, rule);
        // Each call has the token of a user. The function is no caller of its own, and has no secret of callers.
        let mut channel = |name| services.client_channel(&mut variables, name);
        let orders = channel(ORDER_SERVICE_URL.name);
        let products = channel(PRODUCT_SERVICE_URL.name);
        let users = channel(USER_SERVICE_URL.name);
        let edge = Edge::read_without_cors(&mut variables, &mut services, &clock);
        // CloudFront passes the host of API Gateway on, and not its own.
        let is_hidden = edge.as_ref().is_some_and(Edge::is_behind_cloudfront);
        let derived = if is_hidden { OwnOrigin::Unknown } else { OwnOrigin::OfHost };
        let origin = variables.or(CONSOLE_ORIGIN.name, derived, OwnOrigin::parse);
        let (Some(secret), Some(orders), Some(products), Some(users), Some(edge), Some(origin)) =
            (secret, orders, products, users, edge, origin)
        else {
            return Err(variables.misconfigured());
        };
        variables.check()?;
        Ok(Self { secret, other, origin, orders, products, users, edge, clock })
    }

    /// Fetches the secrets, and builds the function.
    ///
    /// # Errors
    /// 503 when a secret is away, or not as it must be.
    pub async fn build(self) -> Result<ServiceApp, Error> {
        let opening = SealRotation::open(self.secret, self.other, self.clock.clone());
        let (rotation, ()) = futures::try_join!(opening, self.edge.open())?;
        let app = app(Dependencies {
            users: self.users,
            products: self.products,
            orders: self.orders,
            seal: rotation.key(),
            origin: self.origin,
            clock: self.clock,
        });
        Ok(ServiceApp::new(self.edge.around(app.following(rotation).router)))
    }
}
