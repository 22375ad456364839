//! Environment variables of the function.

use shared::http::edge::Edge;
use shared::rpc::services::Services;
use shared::runtime::config::{
    BASE_PATH, CORS_ALLOWED_ORIGINS, ConfigErrors, EDGE_SECRET, EDGE_SECRET_PREVIOUS, METRICS_NAMESPACE,
    Variable, Variables, XRAY_SPANS,
};
use shared::values::clock::Clock;

/// Environment variables of this function.
pub const VARIABLES: &[Variable] =
    &[CORS_ALLOWED_ORIGINS, BASE_PATH, EDGE_SECRET, EDGE_SECRET_PREVIOUS, METRICS_NAMESPACE, XRAY_SPANS];

/// Reads the edge around the routes: origins whose pages may read answers, the base path, the secret.
///
/// # Errors
/// All problems of the environment.
pub fn read(variables: Variables) -> Result<Edge, ConfigErrors> {
    let (mut variables, clock) = (variables.declared(VARIABLES), Clock::system());
    // A client of AWS is made for a stored secret alone.
    let edge = Edge::read(&mut variables, &mut Services::new(clock.clone()), &clock);
    variables.check()?;
    Ok(edge.unwrap_or_default())
}
