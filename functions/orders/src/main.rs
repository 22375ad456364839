//! The orders function: on Lambda, or as an ordinary service.

use std::process::ExitCode;

use shared::clock::Clock;
use shared::config::{Variables, seconds};
use shared::mongo;
use shared::rpc::services::Services;
use shared::run::{self, Error, Function};

fn main() -> ExitCode {
    run::function("orders", 50051, start)
}

async fn start(mut variables: Variables) -> Result<Function, Error> {
    let clock = Clock::system();
    let mut services = Services::new(clock.clone());
    let uri = variables.required("MONGO_URI", |uri| Ok(uri.to_owned()));
    let products = services.channel(&mut variables, "PRODUCT_SERVICE_URL");
    let users = services.channel(&mut variables, "USER_SERVICE_URL");
    let payment_window = variables.or("ORDER_PAYMENT_WINDOW", orders::DEFAULT_PAYMENT_WINDOW, seconds);
    let (Some(uri), Some(products), Some(users), Some(payment_window)) =
        (uri, products, users, payment_window)
    else {
        return Err(variables.misconfigured().into());
    };
    variables.check()?;

    let database = mongo::connect(&uri, "orders").await?;
    let app = orders::app(orders::Dependencies { database, products, users, payment_window, clock });
    Ok(Function { router: app.router, entrance: Some(app.entrance) })
}
