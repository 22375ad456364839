//! The products function on Lambda.

use std::sync::Arc;

use shared::clock::Clock;
use shared::config::Variables;
use shared::lambda::{self, Error, Function};
use shared::rpc::channel::Channel;
use shared::rpc::lambda::{LambdaFunction, client, function_name};
use shared::{mongo, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init_for_lambda();
    let mut variables = Variables::of_process();
    let uri = variables.required("MONGO_URI", |uri| Ok(uri.to_owned()));
    let users = variables.required("USER_SERVICE_URL", function_name);
    let client = client(&mut variables);
    let (Some(uri), Some(users), Some(client)) = (uri, users, client) else {
        return Err(variables.misconfigured().into());
    };

    let clock = Clock::system();
    let database = mongo::connect(&uri, "products").await?;
    let users = Channel::new(Arc::new(LambdaFunction::new(client, users)), clock.clone());
    let app = products::app(products::Dependencies { database, users, clock });
    lambda::run(Function { router: app.router, entrance: Some(app.entrance) }).await
}
