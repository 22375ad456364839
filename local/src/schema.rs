//! `cargo local schema`: what a database must have before functions are deployed to it.

use std::io::Write as _;

use shared::auth::Signer;
use shared::clock::Clock;
use shared::config::Variables;
use shared::mongo;
use users::tokens::KeyRing;

use crate::failure::Failure;
use crate::house;
use crate::settings::Settings;

/// Makes collections and indexes in the database of `MONGO_URI`, and the first admin if there is none.
///
/// # Errors
/// What is missing, or what MongoDB refuses.
pub async fn run() -> Result<(), Failure> {
    let mut variables = Variables::of_process();
    let text = |value: &str| Ok(value.to_owned());
    let uri = variables.required("MONGO_URI", text);
    let email = variables.required("ADMIN_EMAIL", text);
    let password = variables.required("ADMIN_PASSWORD", text);
    let (Some(uri), Some(email), Some(password)) = (uri, email, password) else {
        return Err(Failure::new(variables.misconfigured().to_string()));
    };
    let database = mongo::connect(&uri, "cargo-local")
        .await
        .map_err(|error| Failure::new(format!("MONGO_URI cannot be used: {error}")))?;
    house::ensure_schema(&database).await?;
    // Making an admin signs nothing, so any secret will do.
    let signer = Signer::from_secret(&Settings::random()?.jwt_secret).map_err(Failure::new)?;
    let clock = Clock::system();
    let keys = KeyRing::fixed(signer, clock.clone());
    let users = users::app(users::Dependencies { database: database.clone(), keys, clock });
    users.service.ensure_admin(&email, &password).await?;
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "the database {} has what it must have", database.name());
    Ok(())
}
