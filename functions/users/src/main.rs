//! The users function on Lambda.

use shared::auth::Signer;
use shared::clock::Clock;
use shared::config::Variables;
use shared::lambda::{self, Error, Function};
use shared::{mongo, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init_for_lambda();
    let mut variables = Variables::of_process();
    let uri = variables.required("MONGO_URI", |uri| Ok(uri.to_owned()));
    let signer = variables.required("JWT_SECRET", Signer::from_secret);
    let (Some(uri), Some(signer)) = (uri, signer) else { return Err(variables.misconfigured().into()) };

    let database = mongo::connect(&uri, "users").await?;
    let app = users::app(users::Dependencies { database, signer, clock: Clock::system() });
    lambda::run(Function { router: app.router, entrance: Some(app.entrance) }).await
}
