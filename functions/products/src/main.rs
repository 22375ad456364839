//! The products function: on Lambda, or as an ordinary service.

use std::process::ExitCode;

use shared::clock::Clock;
use shared::config::Variables;
use shared::mongo;
use shared::rpc::services::Services;
use shared::run::{self, Error, Function};

fn main() -> ExitCode {
    run::function("products", 50052, start)
}

async fn start(mut variables: Variables) -> Result<Function, Error> {
    let clock = Clock::system();
    let uri = variables.required("MONGO_URI", |uri| Ok(uri.to_owned()));
    let users = Services::new(clock.clone()).channel(&mut variables, "USER_SERVICE_URL");
    let (Some(uri), Some(users)) = (uri, users) else { return Err(variables.misconfigured().into()) };
    variables.check()?;

    let database = mongo::connect(&uri, "products").await?;
    let app = products::app(products::Dependencies { database, users, clock });
    Ok(Function { router: app.router, entrance: Some(app.entrance) })
}
