//! What the function is told by its environment, and how it is built from that.

use std::sync::Arc;
use std::time::Duration;

use shared::error::Error;
use shared::http::edge::Edge;
use shared::mongo;
use shared::rpc::channel::Channel;
use shared::rpc::services::Services;
use shared::runtime::config::{
    BASE_PATH, CORS_ALLOWED_ORIGINS, ConfigErrors, EDGE_SECRET, EDGE_SECRET_PREVIOUS, METRICS_NAMESPACE,
    MONGO_URI, PRODUCT_SERVICE_URL, USER_SERVICE_URL, Variable, Variables, XRAY_SPANS, seconds,
};
use shared::runtime::run::ServiceApp;
use shared::runtime::secrets::{self, SecretSource};
use shared::values::clock::Clock;

use crate::store::SCHEMA;
use crate::{
    CustomerLimits, DAY, DEFAULT_PAYMENT_WINDOW, DEFAULT_RETURN_WINDOW, Dependencies, app, schedule,
};

/// Environment variables of this function.
pub const VARIABLES: &[Variable] = &[
    MONGO_URI,
    PRODUCT_SERVICE_URL,
    USER_SERVICE_URL,
    Variable::new(
        "ORDER_PAYMENT_WINDOW",
        "seconds until an unpaid order of a customer expires; 3600 by default",
    ),
    Variable::new(
        "RETURN_WINDOW",
        "days after the delivery of units in which their customer may ask for a return; 14 by default, at most 3650. 0: customers cannot ask, and staff record returns",
    ),
    Variable::new(
        "MAX_OPEN_ORDERS",
        "open orders of one customer: placed and not paid; 20 by default, 0 is no limit, at most 1000",
    ),
    Variable::new(
        "ORDER_RATE_PER_CUSTOMER",
        "requests a minute of one customer that place an order, change its items or cancel it; 60 by default, 0 is no \
         limit, at most 1000000",
    ),
    CORS_ALLOWED_ORIGINS,
    BASE_PATH,
    EDGE_SECRET,
    EDGE_SECRET_PREVIOUS,
    METRICS_NAMESPACE,
    XRAY_SPANS,
];

/// Longest time in which a customer may ask for a return, in days.
const MOST_RETURN_DAYS: u32 = 3_650;

/// Highest limit of open orders: they are read in one query.
const MOST_OPEN_ORDERS: u32 = 1_000;

/// Highest limit of requests a minute.
const MOST_REQUESTS: u32 = 1_000_000;

/// Rule for [`Variables`]: the time in which a customer may ask for a return, in whole days.
///
/// # Errors
/// Message with the range.
pub fn return_window(text: &str) -> Result<Duration, String> {
    let days: Option<u32> = text.parse().ok().filter(|days| *days <= MOST_RETURN_DAYS);
    let days = days.ok_or_else(|| format!("must be a whole number of days, at most {MOST_RETURN_DAYS}"))?;
    Ok(DAY.saturating_mul(days))
}

/// Reads the limits of what one customer may do, with these defaults. `None`: a variable is invalid.
pub fn customer_limits(variables: &mut Variables, default: CustomerLimits) -> Option<CustomerLimits> {
    let limit = |most: u32| {
        move |text: &str| {
            let problem = || format!("must be a whole number, at most {most}, or 0 for no limit");
            text.parse().ok().filter(|limit| *limit <= most).ok_or_else(problem)
        }
    };
    let max_open_orders = variables.or("MAX_OPEN_ORDERS", default.max_open_orders, limit(MOST_OPEN_ORDERS));
    let requests_per_minute =
        variables.or("ORDER_RATE_PER_CUSTOMER", default.requests_per_minute, limit(MOST_REQUESTS));
    Some(CustomerLimits { max_open_orders: max_open_orders?, requests_per_minute: requests_per_minute? })
}

/// Settings of the function, read from the environment.
#[derive(Clone)]
pub struct Environment {
    mongo_uri: Arc<dyn SecretSource>,
    products: Channel,
    users: Channel,
    payment_window: Duration,
    return_window: Duration,
    limits: CustomerLimits,
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
        let products = services.channel(&mut variables, PRODUCT_SERVICE_URL.name);
        let users = services.channel(&mut variables, USER_SERVICE_URL.name);
        let payment_window = variables.or("ORDER_PAYMENT_WINDOW", DEFAULT_PAYMENT_WINDOW, seconds);
        let window = variables.or("RETURN_WINDOW", DEFAULT_RETURN_WINDOW, return_window);
        let limits = customer_limits(&mut variables, CustomerLimits::default());
        let edge = Edge::read(&mut variables, &mut services, &clock);
        let (
            Some(mongo_uri),
            Some(products),
            Some(users),
            Some(payment_window),
            Some(return_window),
            Some(limits),
            Some(edge),
        ) = (mongo_uri, products, users, payment_window, window, limits, edge)
        else {
            return Err(variables.misconfigured());
        };
        variables.check()?;
        Ok(Self { mongo_uri, products, users, payment_window, return_window, limits, edge, clock })
    }

    /// Fetches the secret, connects, and builds the function.
    ///
    /// # Errors
    /// 503 when a dependency is away, or not as it must be.
    pub async fn build(self) -> Result<ServiceApp, Error> {
        let (database, ()) = futures::try_join!(mongo::open(&*self.mongo_uri, SCHEMA), self.edge.open())?;
        let app = app(Dependencies {
            database,
            products: self.products,
            users: self.users,
            payment_window: self.payment_window,
            return_window: self.return_window,
            limits: self.limits,
            clock: self.clock,
        });
        let service = app.service;
        let scheduled = service.clone();
        Ok(ServiceApp::new(self.edge.around(app.router))
            .with_rpc(app.rpc)
            .with_probe(move || {
                let store = service.store.clone();
                async move { store.check_schema().await }
            })
            .with_background(move || {
                let service = scheduled.clone();
                async move { schedule::run(&service).await }
            }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_window_has_0_to_3650_whole_days() {
        for (text, days) in [("0", 0), ("14", 14), ("3650", 3_650)] {
            assert_eq!(return_window(text), Ok(DAY * days), "{text}");
        }
        assert_eq!(DEFAULT_RETURN_WINDOW, DAY * 14);
        for text in ["-1", "3651", "1.5", "", "a fortnight"] {
            assert!(return_window(text).is_err(), "{text}");
        }
    }
}
