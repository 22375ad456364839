//! List of users.

use std::sync::Arc;

use axum::Router;

use crate::Console;

/// Routes of the page.
pub(crate) fn routes() -> Router<Arc<Console>> {
    Router::new()
}
