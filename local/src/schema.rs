//! `cargo local schema`: prepares a database before functions are deployed to it.

use maintenance::schema::{FirstAdmin, Step};
use mongodb::Database;
use shared::runtime::config::Variables;
use shared::values::clock::Clock;

use crate::error::CommandError;
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
pub async fn prepare(variables: Variables) -> Result<Database, CommandError> {
    let step = Step::read(variables, FirstAdmin::Required, Clock::system()).map_err(|error| {
        CommandError::new(error.to_string()).advice(
            "Example: MONGO_URI='mongodb+srv://…' ADMIN_EMAIL=you@example.com ADMIN_PASSWORD='…' cargo local schema",
        )
    })?;
    Ok(step.run().await?)
}
