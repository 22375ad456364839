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
    /// A write asks for no entry of the order above the revision that was read. Without: for any.
    NoNewerEntry,
    /// A write asks for no mark of the order above the revision that was read. Without: for any.
    NoNewerMark,
    /// A declaration reads marks too. Without: one that finds a mark of a pruned hold never ends.
    MarksRead,
    /// A write asks for at most as many folds since the read as marks are left. Without: for any number.
    FewFolds,
    /// A fold counts the entries that it takes. Without: it does not.
    FoldsCounted,
    /// A fold leaves marks. Without: it leaves none.
    MarksLeft,
    /// The stock is read before the hold. Without: after it.
    StockReadFirst,
    /// An order that holds more than one product is declared by a transaction. Without: one product that
    /// changes is written alone.
    AllCovered,
    /// A declaration covers products of which the order holds nothing any more. Without: it forgets them.
    EndedCovered,
    /// A transaction leaves a mark in the stock of each product. Without: it writes the counters alone.
    MarkInEach,
    /// The writes to several products are one transaction. Without: they are done one after the other.
    Transaction,
    /// A declaration with counts is a transaction, also if it moves nothing. Without: one write to the stock.
    CountsInTransaction,
    /// A fold leaves the counts of the hold. Without: it drops them.
    FoldKeepsCounts,
    /// Returns units before any is held. Without: only units that were available are there.
    BackBeforeTaken,
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
    /// A declaration asks for arrays before it reads the hold. Without: after it.
    ArraysAskedFirst,
    /// A declaration whose array has gone looks for the hold again. Without: it holds nothing.
    CopyOfAnother,
}

impl JournalGuard {
    /// All guards.
    pub const ALL: [Self; 29] = [
        Self::Revision,
        Self::Replay,
        Self::EnoughStock,
        Self::NoNewerEntry,
        Self::NoNewerMark,
        Self::MarksRead,
        Self::FewFolds,
        Self::FoldsCounted,
        Self::MarksLeft,
        Self::StockReadFirst,
        Self::AllCovered,
        Self::EndedCovered,
        Self::MarkInEach,
        Self::Transaction,
        Self::CountsInTransaction,
        Self::FoldKeepsCounts,
        Self::BackBeforeTaken,
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
        Self::ArraysAskedFirst,
        Self::CopyOfAnother,
    ];
}
