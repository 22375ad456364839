//! Scenarios: the bounds of a search.

use super::{Items, Journal, JournalGuard, NOTHING, Sent};
use crate::state::DeclarationKind;

impl Journal {
    /// Scenarios of a search. In the long form more is sent more often.
    pub fn all(long: bool) -> Vec<Self> {
        vec![
            Self::last_piece(long),
            Self::returned(long),
            Self::from_one_to_two(long),
            Self::from_two_to_one(long),
            Self::ended(long),
            Self::migrated(long),
        ]
    }

    /// Returns the scenario in which a search without the guard finds a violation soonest.
    pub fn that_misses(guard: JournalGuard) -> Self {
        let scenario = match guard {
            JournalGuard::AllCovered | JournalGuard::Transaction => Self::from_one_to_two(false),
            JournalGuard::EntryInEach => Self::from_two_to_one(false),
            JournalGuard::SameEntry | JournalGuard::SameHold => Self::ended(false),
            JournalGuard::Fence
            | JournalGuard::StockIfAbsent
            | JournalGuard::HoldIfAbsent
            | JournalGuard::ArrayUntilCopied
            | JournalGuard::ArrayBeforePruning => Self::migrated(false),
            _ => Self::last_piece(false),
        };
        Self { without: Some(guard), ..scenario }
    }

    /// Two orders want the last piece, and one of them is sent again after it has ended.
    fn last_piece(long: bool) -> Self {
        let more = u8::from(long);
        let sent =
            vec![hold(0, 1, [1, 0], 2 + more), hold(0, 2, NOTHING, 1 + more), hold(1, 1, [1, 0], 1 + more)];
        Self { hour: true, folds: 3 + more, ..Self::of("the last piece", [1, 0], sent) }
    }

    /// A hold, a shipment and its return, in any order.
    fn returned(long: bool) -> Self {
        let more = u8::from(long);
        let ship = Sent { kind: DeclarationKind::Ship, ..hold(0, 2, [1, 0], 1 + more) };
        let restock = Sent { kind: DeclarationKind::Restock, ..hold(0, 3, [1, 0], 2) };
        Self::of("shipped and returned", [2, 0], vec![hold(0, 1, [1, 0], 1 + more), ship, restock])
    }

    /// A second product joins, beside another order.
    fn from_one_to_two(long: bool) -> Self {
        let more = u8::from(long);
        let sent = vec![
            hold(0, 1, [1, 0], 1 + more),
            hold(0, 2, [1, 1], 1),
            hold(0, 3, NOTHING, 1 + more),
            hold(1, 1, [0, 1], 1),
        ];
        Self::of("from one product to two", [1, 1], sent)
    }

    /// A product leaves, and comes back.
    fn from_two_to_one(long: bool) -> Self {
        let more = u8::from(long);
        let sent = vec![
            hold(0, 1, [1, 1], 1),
            hold(0, 2, [1, 0], 1 + more),
            hold(0, 3, NOTHING, 1 + more),
            hold(0, 4, [1, 1], 1),
        ];
        Self::of("from two products to one", [1, 1], sent)
    }

    /// An order that holds nothing any more is declared again.
    fn ended(long: bool) -> Self {
        let more = u8::from(long);
        let sent = vec![
            hold(0, 1, [1, 0], 1),
            hold(0, 2, NOTHING, 1 + more),
            hold(0, 3, NOTHING, 1 + more),
            hold(0, 4, NOTHING, 1),
        ];
        Self::of("an ended order", [1, 0], sent)
    }

    /// Two orders in the arrays of older builds.
    fn migrated(long: bool) -> Self {
        let more = u8::from(long);
        let sent = vec![hold(0, 2, [0, 1], 1 + more), hold(1, 2, NOTHING, 1 + more)];
        let older = [Some((1, [1, 1])), Some((1, [1, 0]))];
        Self { hour: true, older: Some(older), ..Self::of("a migration", [2, 1], sent) }
    }

    fn of(name: &'static str, on_hand: Items, sent: Vec<Sent>) -> Self {
        Self { name, on_hand, sent, folds: 2, hour: false, older: None, without: None }
    }

    /// Returns the bound of the search in words.
    pub fn bound(&self) -> String {
        let calls: u8 = self.sent.iter().map(|sent| sent.times).sum();
        format!("{} declarations sent {calls} times, {} folds", self.sent.len(), self.folds)
    }
}

/// Creates a declaration that holds these items.
fn hold(order: usize, revision: u8, items: Items, times: u8) -> Sent {
    Sent { order, revision, kind: DeclarationKind::Hold, items, times }
}
