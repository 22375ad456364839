//! Rules that can be left out.

/// Rule that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JournalGuard {
    /// A declaration below the stored revision is superseded. Without: it is applied.
    Revision,
    /// A declaration of the stored revision is a replay. Without: it is applied again.
    Replay,
    /// A write asks for enough stock. Without: only the read does.
    EnoughStock,
    /// A write asks for no entry where none was read. Without: it adds one beside it.
    NoEntry,
    /// A write asks for the entry that was read. Without: for an entry of any revision.
    SameEntry,
    /// A write asks for few folds since the read. Without: for any number.
    FewFolds,
    /// A fold leaves the newest generations. Without: it takes them too.
    NewestKept,
    /// The stock is read before the hold. Without: after it.
    StockReadFirst,
    /// An order that holds more than one product is declared by a transaction. Without: one product that
    /// changes is written alone.
    AllCovered,
    /// A transaction leaves an entry in the stock of each product. Without: it writes the counters alone.
    EntryInEach,
    /// A transaction asks for the revision of the hold that was read. Without: for any.
    SameHold,
    /// The writes to several products are one transaction. Without: they are done one after the other.
    Transaction,
    /// A fold writes the hold before it removes the entry. Without: after it.
    HoldBeforeRemoval,
    /// A fold never lowers the revision of a hold. Without: it writes each entry.
    NewerOnly,
    /// A fold removes only entries at the revision that it has written. Without: at any.
    UnchangedOnly,
    /// A tombstone stays for an hour. Without: it may go at once.
    TombstonesStay,
    /// Only tombstones are pruned. Without: any old hold.
    OnlyTombstones,
    /// The fence comes before the first insert from an array. Without: older builds go on.
    Fence,
    /// The stock is inserted only if it is not there. Without: it replaces what is there.
    StockIfAbsent,
    /// A hold from the arrays is inserted only if none is there. Without: it replaces what is there.
    HoldIfAbsent,
    /// An array is removed once all its orders have holds. Without: at any time.
    ArrayUntilCopied,
    /// A tombstone of an order that is still in an array stays. Without: it is pruned.
    ArrayBeforePruning,
}

impl JournalGuard {
    /// All guards.
    pub const ALL: [Self; 22] = [
        Self::Revision,
        Self::Replay,
        Self::EnoughStock,
        Self::NoEntry,
        Self::SameEntry,
        Self::FewFolds,
        Self::NewestKept,
        Self::StockReadFirst,
        Self::AllCovered,
        Self::EntryInEach,
        Self::SameHold,
        Self::Transaction,
        Self::HoldBeforeRemoval,
        Self::NewerOnly,
        Self::UnchangedOnly,
        Self::TombstonesStay,
        Self::OnlyTombstones,
        Self::Fence,
        Self::StockIfAbsent,
        Self::HoldIfAbsent,
        Self::ArrayUntilCopied,
        Self::ArrayBeforePruning,
    ];
}
