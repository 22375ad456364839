//! `cargo local schema`: prepares a database before functions are deployed to it.

use mongodb::Database;
use shared::auth::Signer;
use shared::rpc::services::Services;
use shared::runtime::config::Variables;
use shared::runtime::secrets;
use shared::values::clock::Clock;
use users::tokens::KeyRing;

use crate::backend;
use crate::database::connect;
use crate::error::CommandError;
use crate::settings::Settings;
use crate::terminal::print_ignoring_epipe;

/// Prepares the database that the environment names, and reports it.
///
/// # Errors
/// As for [`prepare`]; also if a secret is in Secrets Manager, which needs the feature `aws`.
pub async fn run() -> Result<(), CommandError> {
    let variables = Variables::of_process();
    let stored = |name: &str| {
        let is_set = |suffix: &str| variables.is_set(&format!("{name}{suffix}"));
        !is_set("") && !is_set("_FILE") && is_set("_ARN")
    };
    if cfg!(not(feature = "aws")) && (stored("MONGO_URI") || stored("ADMIN_PASSWORD")) {
        return Err(CommandError::new("this binary cannot read Secrets Manager").advice(
            "Run `cargo run --package local --features aws -- schema`, or set the secrets themselves.",
        ));
    }
    let database = prepare(variables).await?;
    print_ignoring_epipe(format_args!("the database {} is ready", database.name()));
    Ok(())
}

/// Creates collections and indexes in the database of `MONGO_URI`, and the first admin if there is none.
///
/// The admin is `ADMIN_EMAIL` with `ADMIN_PASSWORD`. Both secrets may be in Secrets Manager instead
/// (`MONGO_URI_ARN`, `ADMIN_PASSWORD_ARN`).
///
/// # Errors
/// If a variable is missing, or Secrets Manager or MongoDB refuses.
pub async fn prepare(mut variables: Variables) -> Result<Database, CommandError> {
    let clock = Clock::system();
    let mut services = Services::new(clock.clone());
    let uri = secrets::read(&mut variables, &mut services, "MONGO_URI", secrets::mongo_uri);
    let email = variables.required("ADMIN_EMAIL", |value| Ok(value.to_owned()));
    let password = secrets::read(&mut variables, &mut services, "ADMIN_PASSWORD", secrets::not_blank);
    let (Some(uri), Some(email), Some(password)) = (uri, email, password) else {
        return Err(CommandError::new(variables.misconfigured().to_string()).advice(
            "Example: MONGO_URI='mongodb+srv://…' ADMIN_EMAIL=you@example.com ADMIN_PASSWORD='…' cargo local schema",
        ));
    };
    let (uri, password) = (uri.current().await?, password.current().await?);
    let database = connect(uri.expose()).await?;
    backend::ensure_schema(&database).await?;
    // The creation of an admin signs nothing, so any secret will do.
    let signer = Signer::from_secret(&Settings::random()?.jwt_secret).map_err(CommandError::new)?;
    let keys = KeyRing::fixed(signer, clock.clone());
    let users = users::app(users::Dependencies {
        database: database.clone(),
        keys,
        rate_limit_per_address: 0,
        clock,
    });
    users.service.ensure_admin(&email, password.expose()).await?;
    Ok(database)
}
