//! The pages: one module each, with its routes.

use std::sync::Arc;

use axum::Router;

use crate::Console;

mod health;
mod order;
mod orders;
mod pasted;
mod product;
mod products;
pub(crate) mod sign_in;
mod user;
mod users;

/// Routes of all pages.
pub(crate) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .merge(sign_in::routes())
        .merge(orders::routes())
        .merge(order::routes())
        .merge(products::routes())
        .merge(product::routes())
        .merge(users::routes())
        .merge(user::routes())
        .merge(health::routes())
}
