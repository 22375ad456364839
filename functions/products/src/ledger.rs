//! The ledger of a product: every change of its on-hand count, in their order. No I/O, no clock.

use shared::values::clock::Timestamp;
use shared::values::ids::OrderId;

use crate::stock::Stock;

/// The reason of the first count, which a product is made with.
pub const INITIAL: &str = "initial";

/// The reason when an order leaves the house.
pub const SHIPPED: &str = "shipped";

/// The reason when an order is put back on the state.
pub const RETURNED: &str = "returned";

/// An entry of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockMovement {
    /// 1, 2, 3 … for each product: their order, also where times are equal.
    pub number: i64,
    /// When it was; never before the entry below it.
    pub at: Timestamp,
    /// By how many pieces the on-hand count changed.
    pub delta: i64,
    /// The counts after it.
    pub stock: Stock,
    /// Why, and who did it.
    pub cause: Cause,
}

/// Why an on-hand count changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// What people said, or a word of ours.
    pub reason: Option<String>,
    /// The order that was shipped or returned.
    pub order: Option<OrderId>,
    /// A user's ID, or `system`.
    pub by: String,
}

/// How far the ledger of a product goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerEnd {
    /// The number of the newest entry; 0 when there is none.
    pub number: i64,
    /// Its time.
    pub at: Option<Timestamp>,
}

impl From<&StockMovement> for LedgerEnd {
    /// Where the ledger ends with this entry.
    fn from(newest: &StockMovement) -> Self {
        Self { number: newest.number, at: Some(newest.at) }
    }
}

impl LedgerEnd {
    /// The next entry, after which `stock` is there. Clocks differ between machines, the order does not: the time
    /// is `now`, or that of the entry before when `now` is earlier.
    pub fn next(self, delta: i64, stock: Stock, cause: Cause, now: Timestamp) -> StockMovement {
        let at = self.at.map_or(now, |before| before.max(now));
        StockMovement { number: self.number + 1, at, delta, stock, cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
