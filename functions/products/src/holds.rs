//! What other functions ask about holds, and what they are told: a walk over all of them, those of some orders,
//! and all that stock can be checked by.

use std::time::Duration;

use shared::values::clock::Timestamp;
use shared::values::ids::{OrderId, ProductId};

use crate::stock::Stock;

/// A page of the walk over what products keep of orders.
#[derive(Clone, Copy, Debug)]
pub struct HoldWalk {
    /// Holds that have ended, instead of live ones.
    pub ended: bool,
    /// Only those that are at least so old by the database's clock.
    pub min_age: Duration,
    /// Only those after this place; without an order, after all of earlier times.
    pub after: Option<(Timestamp, Option<OrderId>)>,
    /// How many, at most.
    pub limit: usize,
}

/// A place in the walk: an order, and when its stock was declared last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldPosition {
    /// By the database's clock.
    pub at: Timestamp,
    /// Which order.
    pub order: OrderId,
}

/// What a product keeps of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Which order.
    pub order: OrderId,
    /// Which product.
    pub product: ProductId,
    /// How many pieces are held; 0 once it has ended.
    pub quantity: i64,
    /// As of which revision of the order.
    pub revision: i64,
    /// When it was declared, by the database's clock.
    pub at: Timestamp,
}

/// A product with all that its stock can be checked by, as of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedProduct {
    /// Which product.
    pub product: ProductId,
    /// The counts.
    pub stock: Stock,
    /// The sum of the ledger's deltas.
    pub ledger: i64,
    /// Live ones.
    pub holds: Vec<Hold>,
}
