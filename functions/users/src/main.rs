//! The users function: on Lambda, or as an ordinary service.

use std::process::ExitCode;

use shared::auth::Signer;
use shared::clock::Clock;
use shared::config::Variables;
use shared::mongo;
use shared::run::{self, Error, Function};

fn main() -> ExitCode {
    run::function("users", 50053, start)
}

async fn start(mut variables: Variables) -> Result<Function, Error> {
    let uri = variables.required("MONGO_URI", |uri| Ok(uri.to_owned()));
    let signer = variables.required("JWT_SECRET", Signer::from_secret);
    let (Some(uri), Some(signer)) = (uri, signer) else { return Err(variables.misconfigured().into()) };
    variables.check()?;

    let database = mongo::connect(&uri, "users").await?;
    let app = users::app(users::Dependencies { database, signer, clock: Clock::system() });
    Ok(Function { router: app.router, entrance: Some(app.entrance) })
}
