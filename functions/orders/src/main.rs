//! The orders function on Lambda.

use std::sync::Arc;

use shared::clock::Clock;
use shared::config::{Variables, seconds};
use shared::lambda::{self, Error, Function};
use shared::rpc::channel::Channel;
use shared::rpc::lambda::{LambdaFunction, client, function_name};
use shared::{mongo, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init_for_lambda();
    let mut variables = Variables::of_process();
    let uri = variables.required("MONGO_URI", |uri| Ok(uri.to_owned()));
    let products = variables.required("PRODUCT_SERVICE_URL", function_name);
    let users = variables.required("USER_SERVICE_URL", function_name);
    let payment_window = variables.optional("ORDER_PAYMENT_WINDOW", seconds);
    let client = client(&mut variables);
    let (Some(uri), Some(products), Some(users), Some(client)) = (uri, products, users, client) else {
        return Err(variables.misconfigured().into());
    };
    variables.check()?;

    let clock = Clock::system();
    let channel = |name| Channel::new(Arc::new(LambdaFunction::new(client.clone(), name)), clock.clone());
    let app = orders::app(orders::Dependencies {
        database: mongo::connect(&uri, "orders").await?,
        products: channel(products),
        users: channel(users),
        payment_window: payment_window.unwrap_or(orders::DEFAULT_PAYMENT_WINDOW),
        clock: clock.clone(),
    });
    lambda::run(Function { router: app.router, entrance: Some(app.entrance) }).await
}
