//! Rules that can be left out, and expectations that the rules do not meet.

/// Rule that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MoneyGuard {
    /// A write asks for the version that was loaded. Without: for none.
    Version,
    /// After a conflict the request decides anew. Without: it makes the same entry on the new version.
    DecidedAnew,
    /// After a conflict the version that the request names is compared again. Without: only at first.
    IfMatchAnew,
    /// An index refuses a reference that another order has. Without: nothing does.
    UniqueReference,
    /// The index has the references of ended orders. Without: only of others.
    EndedKeepReferences,
    /// A decision looks for the reference on the loaded order. Without: only the index does.
    ReferenceOnOrder,
    /// The same reference with another amount is taken. Without: it is a replay.
    SameAmount,
    /// A reference that the index refuses is taken. Without: it is a conflict, and the request loads again.
    TakenIsAnAnswer,
    /// A payment is recorded in any status. Without: not once the order has ended.
    AnyStatus,
    /// A payment that reaches what is payable makes the order paid in its own write. Without: it does not.
    PaidByPayment,
    /// A change of items down to what is paid makes the order paid. Without: it does not.
    PaidByEdit,
    /// An order of total 0 is paid as it is placed. Without: it is placed.
    PaidAsPlaced,
    /// Only a placed order becomes paid. Without: a cancelled one, too.
    OnlyPlacedBecomesPaid,
    /// Only a placed order expires. Without: a paid one, too.
    OnlyPlacedExpires,
    /// A change of items is finished on the version of its intent. Without: on any.
    FinishOnIntent,
    /// Nothing is payable once an order is cancelled. Without: its total.
    NothingPayable,
    /// Nothing is payable once a cancelled order is refunded. Without: its total.
    RefundedKeepsCancelled,
    /// A short form whose reference the order has is taken while it is placed. Without: the same amount is a
    /// replay.
    DueIsNoReplay,
    /// A short form is compared with all payments of a paid order. Without: with the latest one.
    AnyPaymentCompared,
    /// A refund with the ID of the key is a replay. Without: it is another refund.
    RefundById,
    /// The ID of a refund follows from the order, too. Without: from caller and key alone.
    IdOfOrder,
    /// A key with another refund is refused. Without: it is a replay.
    RefundCompared,
    /// A key with another payment is refused. Without: it is another payment.
    PaymentCompared,
    /// A replay is found before the version is compared. Without: after.
    ReplayBeforeIfMatch,
    /// A replay is found before the number of entries is bounded. Without: after.
    ReplayBeforeMost,
    /// A replay of a refund is found before the balance is asked. Without: after.
    ReplayBeforeBalance,
    /// Refunds are at most what was paid. Without: any amount.
    Balance,
    /// Refunds of a payment are at most that payment. Without: at most what was paid in all.
    BalanceOfPayment,
    /// Refunds are at most the pieces of an item. Without: any number of pieces.
    Pieces,
    /// The amount of pieces is the difference of two rounded sums. Without: it is rounded itself.
    SumsRounded,
    /// A change of items keeps the pieces that are refunded. Without: it may go below.
    NotBelowRefunded,
    /// A refund of all that was paid makes an ended order refunded. Without: it does not.
    RefundedByRefund,
    /// An order that ends after all was refunded becomes refunded. Without: it does not.
    RefundedByEnd,
}

impl MoneyGuard {
    /// All guards.
    pub const ALL: [Self; 33] = [
        Self::Version,
        Self::DecidedAnew,
        Self::IfMatchAnew,
        Self::UniqueReference,
        Self::EndedKeepReferences,
        Self::ReferenceOnOrder,
        Self::SameAmount,
        Self::TakenIsAnAnswer,
        Self::AnyStatus,
        Self::PaidByPayment,
        Self::PaidByEdit,
        Self::PaidAsPlaced,
        Self::OnlyPlacedBecomesPaid,
        Self::OnlyPlacedExpires,
        Self::FinishOnIntent,
        Self::NothingPayable,
        Self::RefundedKeepsCancelled,
        Self::DueIsNoReplay,
        Self::AnyPaymentCompared,
        Self::RefundById,
        Self::IdOfOrder,
        Self::RefundCompared,
        Self::PaymentCompared,
        Self::ReplayBeforeIfMatch,
        Self::ReplayBeforeMost,
        Self::ReplayBeforeBalance,
        Self::Balance,
        Self::BalanceOfPayment,
        Self::Pieces,
        Self::SumsRounded,
        Self::NotBelowRefunded,
        Self::RefundedByRefund,
        Self::RefundedByEnd,
    ];

    /// Returns true if a request that is sent again shows what breaks. For others the loss of money does.
    pub(super) fn is_of_replays(self) -> bool {
        matches!(
            self,
            Self::AnyPaymentCompared
                | Self::ReplayBeforeIfMatch
                | Self::ReplayBeforeMost
                | Self::ReplayBeforeBalance
        )
    }
}

/// Expectation that the rules do not meet: what the interface says has these consequences. A search that asks
/// for one finds the way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expectation {
    /// Payable amount is held by the shop when an order becomes paid. But refunds do not lower what is paid: an order
    /// of 2 with 1 paid, 1 refunded and 1 paid again is paid.
    ///
    /// A change of items does the same: down to what was paid and refunded.
    PaidIsKept,
    /// Money that arrives after an order was returned and refunded is due for refund. But its total is payable
    /// still.
    LateIsDue,
    /// The short form records what has arrived. But what is due may have changed since staff saw it, unless the
    /// request names the version.
    DueAsSeen,
}

impl Expectation {
    /// All expectations.
    pub const ALL: [Self; 3] = [Self::PaidIsKept, Self::LateIsDue, Self::DueAsSeen];
}
