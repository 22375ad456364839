//! Parts of the protocol that can be left out of the model.
//!
//! Each prevents a violation. A search without it must find that violation: a model that finds nothing
//! without a guard would prove nothing about it.

/// Part of the protocol that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Guard {
    /// Products refuse a call whose revision is below the stored one. Without: it is applied.
    Revision,
    /// A hold that was released stays as a tombstone. Without: nothing stays.
    Tombstones,
    /// The same revision again changes nothing. Without: it is applied again.
    Replay,
    /// The same revision again gets the first answer. Without: it is refused as superseded.
    ReplayAnswer,
    /// Reconcile inserts a void order before it releases a hold without an order. Without: it releases the
    /// hold.
    VoidFirst,
    /// A placing that gives up after its hold inserts a void order too. Without: it releases its own hold at
    /// once.
    VoidBeforeGivingUp,
    /// An ID is inserted once. Without: an insert replaces what is there.
    UniqueId,
    /// A caller's key is inserted once, void orders apart. Without: each body becomes an order.
    UniqueKey,
    /// A decision is written only onto the version that it was based on. Without: onto any.
    VersionFilter,
    /// A change first holds the larger of old and new quantity per product. Without: the new items alone.
    LargerOfBoth,
    /// A change that was refused declares the old items again. Without: it declares nothing.
    TaskAfterRefusal,
    /// Any other decision that ends a pending change declares the remaining items. Without: it has no task.
    TaskOfWhatEndsAChange,
    /// A finish checks that its intent is still there. Without: it writes the intended items.
    IntentAtFinish,
    /// An order's tasks run in the order of their revisions. Without: in any order.
    TaskOrder,
    /// A task stays until products have answered. Without: it is removed when it starts.
    TaskUntilAnswered,
    /// A restock writes its entry even if none is left. Without: only if one is left.
    RestockMark,
    /// Tombstones of an order with a task stay. Without: their age alone decides.
    PruneWaitsForTasks,
    /// Tombstones stay for an hour after the order's last task was removed.
    ///
    /// Without: for an hour after they were written, though a task may have been called again since.
    PruneWaitsAfterTasks,
    /// Tombstones stay while a call may still arrive. Without: they may go at once.
    PruneWaitsForCalls,
    /// A placing reads before it holds. Without: only a refusal makes it read.
    LookFirst,
    /// The hold of a void order is released before the next attempt. Without: Reconcile releases it.
    VoidHoldEnded,
    /// A hold covers all items or none. Without: item by item, undone one by one on a shortage.
    AllItemsAtOnce,
}

impl Guard {
    /// All guards.
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
