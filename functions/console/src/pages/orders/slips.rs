//! Packing slips of many orders.

use std::sync::Arc;

use axum::Router;

use crate::Console;

/// Routes of the page.
pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
}
