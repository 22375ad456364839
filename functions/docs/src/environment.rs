//! Environment variables of the function.

use shared::http::routes::Cors;
use shared::runtime::config::{CORS_ALLOWED_ORIGINS, ConfigErrors, METRICS_NAMESPACE, Variable, Variables};

/// Environment variables of this function.
pub const VARIABLES: &[Variable] = &[CORS_ALLOWED_ORIGINS, METRICS_NAMESPACE];

/// Reads the origins whose pages may read answers.
///
/// # Errors
/// All problems of the environment.
pub fn read(variables: Variables) -> Result<Cors, ConfigErrors> {
    let mut variables = variables.declared(VARIABLES);
    let cors = variables.or(CORS_ALLOWED_ORIGINS.name, Cors::default(), Cors::parse);
    variables.check()?;
    Ok(cors.unwrap_or_default())
}
