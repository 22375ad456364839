//! Kinds of violations that the consistency check finds.

use serde::Serialize;
use shared::values::ids::{OrderId, ProductId};

/// Detail about a document that cannot be read. Its content is not shown.
const UNREADABLE: &str = "a field is missing or has another type";

/// Violation of an invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Violated invariant.
    pub kind: ViolationKind,
    /// Order concerned.
    pub order: Option<OrderId>,
    /// Product concerned.
    pub product: Option<ProductId>,
    /// The numbers that differ.
    pub detail: String,
}

impl Violation {
    /// Violation by a document that cannot be read.
    pub(super) fn unreadable(
        kind: ViolationKind,
        order: Option<OrderId>,
        product: Option<ProductId>,
    ) -> Self {
        Self { kind, order, product, detail: UNREADABLE.to_owned() }
    }
}

/// Kinds of violations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ViolationKind {
    /// Counts of a product that cannot be.
    StockOutOfBounds,
    /// Reserved count that is not what orders hold.
    ReservedIsNotTheSum,
    /// On-hand count that is not what the ledger says.
    LedgerIsNotTheSum,
    /// Entry of a journal that was not folded.
    JournalOverdue,
    /// Hold of an order that does not exist.
    HoldWithoutOrder,
    /// Hold of an order that has ended.
    HoldOfEndedOrder,
    /// Hold of another quantity than is left of the item.
    HoldDiffers,
    /// Item of which units are left, and none is held.
    OrderWithoutHold,
    /// Hold with other counts than the order has.
    CountsDiffer,
    /// Decision whose task was not run.
    TaskOverdue,
    /// Order with more money refunded than was paid.
    RefundsExceedPayments,
    /// Item with more units refunded than were ordered.
    RefundsExceedQuantity,
    /// Item with more units in fulfillments, cancellations or returns than there are.
    PartsExceedQuantity,
    /// Order whose status does not follow from its parts.
    StatusIsNotDerived,
    /// Order whose stored total is not that of its items and its shipping.
    TotalIsNotTheSum,
    /// Placed order whose payments suffice.
    PaidButPlaced,
    /// Order on disk that cannot be read.
    UnreadableOrder,
    /// Product on disk that cannot be read.
    UnreadableProduct,
    /// Hold on disk that cannot be read.
    UnreadableHold,
}

impl ViolationKind {
    /// All kinds of violation.
    pub const ALL: [Self; 19] = [
        Self::StockOutOfBounds,
        Self::ReservedIsNotTheSum,
        Self::LedgerIsNotTheSum,
        Self::JournalOverdue,
        Self::HoldWithoutOrder,
        Self::HoldOfEndedOrder,
        Self::HoldDiffers,
        Self::OrderWithoutHold,
        Self::CountsDiffer,
        Self::TaskOverdue,
        Self::RefundsExceedPayments,
        Self::RefundsExceedQuantity,
        Self::PartsExceedQuantity,
        Self::StatusIsNotDerived,
        Self::TotalIsNotTheSum,
        Self::PaidButPlaced,
        Self::UnreadableOrder,
        Self::UnreadableProduct,
        Self::UnreadableHold,
    ];

    /// The name in JSON and protobuf.
    pub fn name(self) -> &'static str {
        match self {
            Self::StockOutOfBounds => "stock-out-of-bounds",
            Self::ReservedIsNotTheSum => "reserved-is-not-the-sum",
            Self::LedgerIsNotTheSum => "ledger-is-not-the-sum",
            Self::JournalOverdue => "journal-overdue",
            Self::HoldWithoutOrder => "hold-without-order",
            Self::HoldOfEndedOrder => "hold-of-ended-order",
            Self::HoldDiffers => "hold-differs",
            Self::OrderWithoutHold => "order-without-hold",
            Self::CountsDiffer => "counts-differ",
            Self::TaskOverdue => "task-overdue",
            Self::RefundsExceedPayments => "refunds-exceed-payments",
            Self::RefundsExceedQuantity => "refunds-exceed-quantity",
            Self::PartsExceedQuantity => "parts-exceed-quantity",
            Self::StatusIsNotDerived => "status-is-not-derived",
            Self::TotalIsNotTheSum => "total-is-not-the-sum",
            Self::PaidButPlaced => "paid-but-placed",
            Self::UnreadableOrder => "unreadable-order",
            Self::UnreadableProduct => "unreadable-product",
            Self::UnreadableHold => "unreadable-hold",
        }
    }

    /// Meaning, as the documents have it.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::StockOutOfBounds => "not `0 <= reserved <= on_hand`",
            Self::RefundsExceedPayments => "the refunds of an order are more than its payments",
            Self::RefundsExceedQuantity => "more units of an item are refunded than were ordered",
            Self::TotalIsNotTheSum => {
                "the stored `total` of an order is not that of its items and its shipping"
            }
            Self::PartsExceedQuantity => {
                "more units of an item are cancelled and shipped than were ordered, or returned than were shipped"
            }
            Self::StatusIsNotDerived => "the status of an order does not follow from its parts",
            Self::PaidButPlaced => "an order is `placed`, and its payments reach the payable amount",
            Self::ReservedIsNotTheSum => "`reserved` is not the sum of the live holds",
            Self::LedgerIsNotTheSum => "`on_hand` is not the sum of the ledger",
            Self::JournalOverdue => "an entry of a journal that Reconcile should have folded",
            Self::HoldWithoutOrder => "a hold whose order does not exist",
            Self::HoldOfEndedOrder => "a hold of an order that is neither placed nor paid",
            Self::HoldDiffers => "a hold of another quantity than is left of the order's item",
            Self::OrderWithoutHold => {
                "an item of a placed or paid order of which units are left, and none is held"
            }
            Self::CountsDiffer => "a hold that keeps other counts than the order has",
            Self::TaskOverdue => "a task that Reconcile should have done",
            Self::UnreadableOrder => "a stored order that cannot be read",
            Self::UnreadableProduct => "a stored product that cannot be read",
            Self::UnreadableHold => "a stored hold that cannot be read",
        }
    }
}
