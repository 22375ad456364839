//! Rules that can be left out.

/// Rule that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PartsGuard {
    /// A revision below the stored one is refused. Without: it is applied.
    Revision,
    /// Counts are totals. Without: a call moves what the newest decision has moved.
    Totals,
    /// Units move by the difference to the stored counts. Without: by that to the counts before the task.
    StoredCounts,
    /// Takes the counts before the task where none are stored. Without: 0.
    BeforeIfNone,
    /// Counts are stored with the first declaration that has them. Without: with the first that moves units.
    CountsFromTheFirst,
    /// Counts are stored also where they are 0 again. Without: none are.
    ZeroStored,
    /// A declaration that moves no units keeps the counts. Without: it leaves none, as an entry of a journal.
    CountsKept,
    /// A declaration that changes nothing leaves its revision. Without: it leaves nothing.
    RevisionLeft,
    /// Returns units before any is taken. Without: only units that were available are there.
    BackBeforeTaken,
    /// Units that come back are held again, whatever the product's status. Without: only if it is active.
    OwnStays,
    /// Counters and hold change in one transaction. Without: units move first.
    OneTransaction,
    /// A decision is written only onto the version that it was based on. Without: onto any.
    VersionFilter,
    /// The task is in the write of the decision. Without: the request calls products and leaves no task.
    TaskInTheWrite,
    /// A call has the counts before the oldest task. Without: before the newest.
    OldestBefore,
    /// A task of an older build runs alone, before others. Without: they are called together.
    OlderAlone,
    /// Revision and content of a call are of one read. Without: the content may be of an earlier one.
    OneRead,
    /// A task stays until a process has its answer. Without: it may be removed before.
    TaskUntilAnswered,
    /// A removal leaves newer tasks. Without: it removes all.
    NewerTasksStay,
    /// A request that is sent again is recognized before anything refuses it. Without: after.
    ReplayFirst,
    /// A fulfillment with the ID of the key is a replay. Without: it is another fulfillment.
    PartById,
    /// Units are shipped only if they are left. Without: any.
    ShipsWhatIsLeft,
    /// Units are cancelled only if they are left. Without: any.
    CancelsWhatIsLeft,
    /// Units are sent back only if they were shipped, and are in no other return. Without: any.
    ReturnsWhatWasShipped,
    /// A fulfillment is cancelled only if returns do not need its units. Without: always.
    ReturnsKeepFulfillments,
    /// A delivered fulfillment is not cancelled. Without: it is.
    DeliveredStays,
    /// A return is received once. Without: another receipt replaces the first.
    ReceivedOnce,
    /// A return restocks at most what came back. Without: any number.
    RestocksWhatCameBack,
    /// A change of items keeps the units that are cancelled. Without: it may go below.
    NotBelowCancelled,
    /// A hold is not pruned while its order has a task. Without: it is.
    PruneWaitsForTasks,
    /// A hold is not pruned within an hour after a task was removed. Without: it is.
    PruneWaitsAfterTasks,
    /// A hold is pruned once it is an hour old. Without: at once.
    PruneWaitsForCalls,
    /// Only a hold without units is pruned. Without: any.
    OnlyTombstones,
}

impl PartsGuard {
    /// All guards.
    pub const ALL: [Self; 32] = [
        Self::Revision,
        Self::Totals,
        Self::StoredCounts,
        Self::BeforeIfNone,
        Self::CountsFromTheFirst,
        Self::ZeroStored,
        Self::CountsKept,
        Self::RevisionLeft,
        Self::BackBeforeTaken,
        Self::OwnStays,
        Self::OneTransaction,
        Self::VersionFilter,
        Self::TaskInTheWrite,
        Self::OldestBefore,
        Self::OlderAlone,
        Self::OneRead,
        Self::TaskUntilAnswered,
        Self::NewerTasksStay,
        Self::ReplayFirst,
        Self::PartById,
        Self::ShipsWhatIsLeft,
        Self::CancelsWhatIsLeft,
        Self::ReturnsWhatWasShipped,
        Self::ReturnsKeepFulfillments,
        Self::DeliveredStays,
        Self::ReceivedOnce,
        Self::RestocksWhatCameBack,
        Self::NotBelowCancelled,
        Self::PruneWaitsForTasks,
        Self::PruneWaitsAfterTasks,
        Self::PruneWaitsForCalls,
        Self::OnlyTombstones,
    ];
}
