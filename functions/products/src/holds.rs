//! Queries about holds by other functions: pages of all holds, holds of some orders, and data for the
//! consistency check.

use std::time::Duration;

use shared::values::clock::Timestamp;
use shared::values::ids::{OrderId, ProductId};

use crate::stock::{Counts, Stock};

/// Query for a page of all holds.
#[derive(Clone, Copy, Debug)]
pub struct HoldWalk {
    /// Selects ended holds instead of live ones.
    pub ended: bool,
    /// Minimum age, by the database's clock.
    pub min_age: Duration,
    /// Cursor: only holds after this position. Without an order: all holds from this time on.
    pub after: Option<(Timestamp, Option<OrderId>)>,
    /// Maximum number of results.
    pub limit: usize,
}

/// Position of an order among the holds: the time at which its hold was last written, and its ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldPosition {
    /// Time at which the hold was written, by the database's clock.
    pub at: Timestamp,
    /// Order ID.
    pub order: OrderId,
}

/// Page of all holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldList {
    /// Positions, sorted.
    pub holds: Vec<HoldPosition>,
    /// Database time from before the read. Holds that are written later have a later time.
    pub now: Timestamp,
    /// End of the time that the page covers, included. No hold appears there later, if the minimum age is longer than
    /// any transaction.
    pub complete_until: Timestamp,
}

/// Hold of a product for an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Order ID.
    pub order: OrderId,
    /// Product ID.
    pub product: ProductId,
    /// Quantity in units; 0 once the hold has ended.
    pub quantity: i64,
    /// Revision of the order that declared it.
    pub revision: i64,
    /// Time by the database's clock at which it was declared, or later written as a hold of its own.
    pub at: Timestamp,
    /// Counts that it keeps. None until a declaration has some.
    pub counts: Option<Counts>,
}

/// Page of live holds for the consistency check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditedHolds {
    /// Live holds, those of one order beside each other.
    pub holds: Vec<Hold>,
    /// Orders of the page whose holds cannot be read.
    pub unreadable: Vec<OrderId>,
    /// Last order of the page.
    pub last: Option<OrderId>,
    /// True if more orders follow.
    pub more: bool,
}

/// Product with its counts, and the sums of its ledger and its holds, as of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedProduct {
    /// Product ID.
    pub product: ProductId,
    /// Stock counts.
    pub stock: Stock,
    /// Sum of the ledger's deltas.
    pub ledger: i64,
    /// Sum of its live holds, in units.
    pub held: i64,
    /// Time of the oldest entry of its journal.
    pub oldest_entry: Option<Timestamp>,
    /// True if it cannot be read. Then the other fields mean nothing.
    pub unreadable: bool,
}

impl AuditedProduct {
    /// Product that cannot be read.
    pub fn unreadable(product: ProductId) -> Self {
        let stock = Stock { on_hand: 0, reserved: 0 };
        Self { product, stock, ledger: 0, held: 0, oldest_entry: None, unreadable: true }
    }
}
