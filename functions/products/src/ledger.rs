//! Ledger of a product: every change of its on-hand count, in sequence. No I/O, no clock.

use shared::values::clock::Timestamp;
use shared::values::ids::OrderId;

use crate::stock::{Counts, Stock};

/// Reason of the first count of a new product.
pub const INITIAL: &str = "initial";

/// Reason for units that leave the warehouse with an order.
pub const SHIPPED: &str = "shipped";

/// Reason for shipped units that are on hand again, because their fulfillment was cancelled.
pub const UNSHIPPED: &str = "unshipped";

/// Reason for units of an order that come back into stock.
pub const RETURNED: &str = "returned";

/// Entry of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockMovement {
    /// Sequence number 1, 2, 3 … for each product. It orders the entries, also where times are equal.
    pub number: i64,
    /// Time of the change; never before that of the previous entry.
    pub at: Timestamp,
    /// Change of the on-hand count, in units.
    pub delta: i64,
    /// Stock counts after the change.
    pub stock: Stock,
    /// Reason and actor of the change.
    pub cause: Cause,
}

/// Cause of a change of the on-hand count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Reason given by staff, or one of the constants above.
    pub reason: Option<String>,
    /// The order that was shipped or returned, or of which a fulfillment was cancelled.
    pub order: Option<OrderId>,
    /// User ID, or `system`.
    pub by: String,
}

/// Changes of the on-hand count that follow from moved counts, each with its reason. Those that add units come
/// first.
pub(crate) fn changes(moved: Counts) -> Vec<(i64, &'static str)> {
    let shipped = (moved.shipped.saturating_neg(), if moved.shipped < 0 { UNSHIPPED } else { SHIPPED });
    let mut changes = vec![(moved.restocked, RETURNED), shipped];
    changes.retain(|(delta, _)| *delta != 0);
    changes.sort_by_key(|(delta, _)| *delta < 0);
    changes
}

/// End of a product's ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerEnd {
    /// Number of the newest entry; 0 when there is none.
    pub number: i64,
    /// Time of the newest entry.
    pub at: Option<Timestamp>,
}

impl From<&StockMovement> for LedgerEnd {
    /// Makes this entry the end of the ledger.
    fn from(newest: &StockMovement) -> Self {
        Self { number: newest.number, at: Some(newest.at) }
    }
}

impl LedgerEnd {
    /// Builds the next entry, after which the counts are `stock`. Clocks differ between machines, the
    /// sequence does not. So the time is `now`, or that of the previous entry when `now` is earlier.
    pub fn next(self, delta: i64, stock: Stock, cause: Cause, now: Timestamp) -> StockMovement {
        let at = self.at.map_or(now, |before| before.max(now));
        StockMovement { number: self.number.saturating_add(1), at, delta, stock, cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_moved_count_is_a_change_and_additions_come_first() {
        let of = |shipped, restocked| changes(Counts { shipped, restocked });
        assert!(of(0, 0).is_empty());
        assert_eq!(of(2, 0), [(-2, "shipped")]);
        assert_eq!(of(-2, 0), [(2, "unshipped")]);
        assert_eq!(of(3, 1), [(1, "returned"), (-3, "shipped")]);
        assert_eq!(of(-3, -1), [(3, "unshipped"), (-1, "returned")]);
    }

    #[test]
    fn times_never_run_backwards_in_a_ledger() {
        let at = Timestamp::from_millis;
        let next = |end: LedgerEnd, now| {
            let cause = Cause { reason: None, order: None, by: "system".to_owned() };
            let entry = end.next(1, Stock { on_hand: 1, reserved: 0 }, cause, at(now));
            (entry.number, entry.at.millis())
        };
        assert_eq!(next(LedgerEnd::default(), 7), (1, 7));
        assert_eq!(next(LedgerEnd { number: 1, at: Some(at(7)) }, 9), (2, 9));
        assert_eq!(next(LedgerEnd { number: 2, at: Some(at(9)) }, 8), (3, 9));
    }
}
