//! What each part of the protocol is there for. A guard can be left out of the model, to see that it is
//! missed: a model that finds nothing wrong without it would prove nothing about it.

/// A part of the protocol that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Guard {
    /// Products refuse a call whose revision is below the stored one. Without: it is applied.
    Revision,
    /// A hold that has ended stays as a tombstone. Without: nothing stays.
    Tombstones,
    /// The same revision again changes nothing. Without: it is applied again.
    Replay,
    /// The same revision again is answered as the first time. Without: it is refused as outdated.
    ReplayAnswer,
    /// Reconcile inserts a void before it ends a hold without an order. Without: it ends the hold.
    VoidFirst,
    /// A placing that gives up after its hold inserts a void too. Without: it ends its own hold at once.
    VoidBeforeGivingUp,
    /// An ID is inserted once. Without: an insert replaces what is there.
    UniqueId,
    /// A caller's key is inserted once, voids apart. Without: each body is an order.
    UniqueKey,
    /// A decision is written only onto the version that it was made from. Without: onto any.
    VersionFilter,
    /// A change first holds the larger of old and new of each product. Without: the new items alone.
    LargerOfBoth,
    /// A change that was refused declares the old items again. Without: it leaves it at the refusal.
    TaskAfterRefusal,
    /// Any other decision that ends a pending change declares what it leaves. Without: it has no task.
    TaskOfWhatEndsAChange,
    /// A finish asks whether its intent is still there. Without: it writes what it intended.
    IntentAtFinish,
    /// An order's tasks run in the order of their revisions. Without: in any.
    TaskOrder,
    /// A task stays until products have answered. Without: it is taken off when it is begun.
    TaskUntilAnswered,
    /// A restock leaves its mark also where no entry is left. Without: only where one is.
    RestockMark,
    /// Tombstones of an order with a task stay. Without: age alone decides.
    PruneWaitsForTasks,
    /// Tombstones stay for an hour after the order's last task was taken off. Without: for an hour after they
    /// were written, though a task may have been called again since.
    PruneWaitsAfterTasks,
    /// Tombstones stay while a call may still arrive. Without: they may go at once.
    PruneWaitsForCalls,
    /// Placing looks before it holds. Without: only what refuses it makes it look.
    LookFirst,
    /// The hold of a void is ended before the next attempt. Without: that is left to Reconcile.
    VoidHoldEnded,
    /// A hold takes in all items or none. Without: item by item, undone by hand on a shortage.
    AllItemsAtOnce,
}

impl Guard {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::Revision,
        Self::Tombstones,
        Self::Replay,
        Self::ReplayAnswer,
        Self::VoidFirst,
        Self::VoidBeforeGivingUp,
        Self::UniqueId,
        Self::UniqueKey,
        Self::VersionFilter,
        Self::LargerOfBoth,
        Self::TaskAfterRefusal,
        Self::TaskOfWhatEndsAChange,
        Self::IntentAtFinish,
        Self::TaskOrder,
        Self::TaskUntilAnswered,
        Self::RestockMark,
        Self::PruneWaitsForTasks,
        Self::PruneWaitsAfterTasks,
        Self::PruneWaitsForCalls,
        Self::LookFirst,
        Self::VoidHoldEnded,
        Self::AllItemsAtOnce,
    ];
}
