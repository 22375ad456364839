//! Shipping many orders, by lines that are pasted.

use std::sync::Arc;

use axum::Router;

use crate::Console;

/// Routes of the page.
pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
}
