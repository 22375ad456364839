//! Scenarios: the bounds of a search.

use super::{Counts, Items, Journal, JournalGuard, NOTHING, Sent};
use crate::state::DeclarationKind;

impl Journal {
    /// Scenarios of a search. In the long form more is sent more often.
    pub fn all(long: bool) -> Vec<Self> {
        vec![
            Self::last_piece(long),
            Self::two_pieces(long),
            Self::returned(long),
            Self::returned_late(long),
            Self::parts(long),
            Self::parts_of_two(long),
            Self::parts_late(long),
            Self::from_one_to_two(long),
            Self::from_two_to_one(long),
            Self::ended(long),
            Self::moved(long),
            Self::migrated(long),
        ]
    }

    /// Returns the scenario in which a search without the guard finds a violation soonest.
    pub fn that_misses(guard: JournalGuard) -> Self {
        let scenario = match guard {
            JournalGuard::AllCovered | JournalGuard::Transaction => Self::from_one_to_two(false),
            JournalGuard::MarkInEach | JournalGuard::EndedCovered => Self::moved(false),
            JournalGuard::CountsInTransaction | JournalGuard::BackBeforeTaken => Self::parts(false),
            JournalGuard::FoldKeepsCounts => Self::parts_of_two(false),
            JournalGuard::MarksRead => Self::returned_late(false),
            JournalGuard::FewFolds | JournalGuard::FoldsCounted | JournalGuard::StockReadFirst => {
                Self::two_pieces(false)
            }
            JournalGuard::Fence
            | JournalGuard::StockIfAbsent
            | JournalGuard::HoldIfAbsent
            | JournalGuard::ArrayUntilCopied
            | JournalGuard::ArrayBeforePruning
            | JournalGuard::ArraysAskedFirst
            | JournalGuard::CopyOfAnother => Self::migrated(false),
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

    /// One order is sent again after its end, while another one makes folds forget it.
    fn two_pieces(long: bool) -> Self {
        Self { on_hand: [2, 0], hour: false, name: "two pieces", ..Self::last_piece(long) }
    }

    /// A hold, a shipment and its return, in any order.
    fn returned(long: bool) -> Self {
        let more = u8::from(long);
        let ship = Sent { kind: DeclarationKind::Ship, ..hold(0, 2, [1, 0], 1 + more) };
        let restock = Sent { kind: DeclarationKind::Restock, ..hold(0, 3, [1, 0], 2) };
        Self::of("shipped and returned", [2, 0], vec![hold(0, 1, [1, 0], 1 + more), ship, restock])
    }

    /// A return after the hold was forgotten.
    fn returned_late(long: bool) -> Self {
        let more = u8::from(long);
        let ship = Sent { kind: DeclarationKind::Ship, ..hold(0, 2, [1, 0], 2 + more) };
        let restock = Sent { kind: DeclarationKind::Restock, later: true, ..hold(0, 3, [1, 0], 2) };
        let sent = vec![hold(0, 1, [1, 0], 2), ship, restock];
        Self { hour: true, ..Self::of("returned late", [2, 0], sent) }
    }

    /// A unit of two is shipped, and the shipment cancelled, beside another order and a cancellation.
    fn parts(long: bool) -> Self {
        let more = u8::from(long);
        let sent = vec![
            hold(0, 1, [2, 0], 1),
            parts(0, 2, [1, 0], [1, 0], 1),
            parts(0, 3, [2, 0], [0, 0], 1),
            parts(0, 4, [1, 0], [0, 0], more),
            hold(1, 1, [1, 0], 1),
        ];
        Self::of("parts", [3, 0], sent)
    }

    /// One of two products is shipped, and an older build declares a hold.
    fn parts_of_two(long: bool) -> Self {
        let more = u8::from(long);
        let sent = vec![
            hold(0, 1, [1, 0], 1),
            parts(0, 2, [0, 0], [1, 0], 1 + more),
            hold(0, 3, [1, 0], 1),
            parts(0, 4, [0, 1], [2, 0], 1),
        ];
        Self::of("parts of two products", [2, 1], sent)
    }

    /// A part comes back after the hold was forgotten.
    fn parts_late(long: bool) -> Self {
        let more = u8::from(long);
        let before = Counts { out: [0, 0], before: [1, 0] };
        let later = |sent: Sent| Sent { counts: Some(before), later: true, ..sent };
        let sent = vec![
            hold(0, 1, [1, 0], 1 + more),
            parts(0, 2, [0, 0], [1, 0], 2),
            later(hold(0, 3, [0, 0], 2)),
            later(hold(0, 4, [1, 0], 1 + more)),
        ];
        Self { hour: true, ..Self::of("parts that come back late", [2, 0], sent) }
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

    /// A product leaves, and comes back, beside another order.
    fn from_two_to_one(long: bool) -> Self {
        let more = u8::from(long);
        let sent = vec![
            hold(0, 1, [1, 1], 2),
            hold(0, 2, [1, 0], 2 + more),
            hold(0, 3, NOTHING, 1 + more),
            hold(0, 4, [1, 1], 1),
            hold(1, 1, [0, 1], 1),
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

    /// An order that has ended holds one product, and then the other.
    fn moved(long: bool) -> Self {
        let more = u8::from(long);
        let sent = vec![
            hold(0, 1, [1, 0], 1 + more),
            hold(0, 2, NOTHING, 1),
            hold(0, 3, [0, 1], 1 + more),
            hold(0, 4, [1, 0], 1),
        ];
        Self::of("from one product to the other", [1, 1], sent)
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
    Sent { order, revision, kind: DeclarationKind::Hold, items, counts: None, times, later: false }
}

/// Creates a declaration that holds these items, with so many units out.
fn parts(order: usize, revision: u8, items: Items, out: Items, times: u8) -> Sent {
    Sent { counts: Some(Counts { out, before: NOTHING }), ..hold(order, revision, items, times) }
}
