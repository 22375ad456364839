//! Everything that is stored, or in the memory of running processes.

use std::fmt::{self, Display};

use super::ORDERS;

/// Status of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Payment is awaited.
    Placed,
    /// Paid.
    Paid,
    /// Cancelled by somebody, or not paid in time.
    Cancelled,
    /// Shipped, delivered and sent back.
    Returned,
    /// All that was paid is refunded.
    Refunded,
}

/// Body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Body {
    /// Owner: an order of one item is placed.
    Place {
        /// Pieces of the item.
        pieces: u8,
        /// Total of the item.
        total: u8,
    },
    /// Staff: a payment has arrived.
    Pay {
        /// Reference, with its provider.
        reference: u8,
        /// Amount.
        amount: u8,
    },
    /// Staff, short form: what is due has arrived.
    PayDue {
        /// Reference, with its provider.
        reference: u8,
        /// Amount that has arrived. The request does not name it.
        received: u8,
    },
    /// Staff: an amount is refunded.
    Refund {
        /// Amount.
        amount: u8,
        /// Reference of the payment that it is refunded of.
        of: Option<u8>,
    },
    /// Staff: pieces of the item are refunded.
    RefundPieces {
        /// Number of pieces.
        pieces: u8,
    },
    /// Owner or staff: other items.
    Edit {
        /// Pieces of the item.
        pieces: u8,
        /// Total of the item.
        total: u8,
    },
    /// Owner: the order is cancelled.
    Cancel,
    /// Staff: the order is cancelled.
    CancelByStaff,
    /// Reconcile: the order was not paid in time. The time limit may end at any moment.
    Expire,
    /// Staff: the order was shipped and has come back.
    Return,
}

impl Body {
    /// Returns true if it places the order.
    pub(super) fn places(self) -> bool {
        matches!(self, Self::Place { .. })
    }

    /// Returns true if it records a payment or a refund.
    pub(super) fn moves_money(self) -> bool {
        matches!(
            self,
            Self::Pay { .. } | Self::PayDue { .. } | Self::Refund { .. } | Self::RefundPieces { .. }
        )
    }
}

/// Payment of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Payment {
    /// Reference, with its provider.
    pub reference: u8,
    /// Amount.
    pub amount: u8,
    /// Key of its request, with the body.
    pub request: (u8, Body),
}

/// ID of a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RefundId {
    /// Order that it follows from.
    pub(super) order: Option<usize>,
    /// Key that it follows from.
    pub(super) key: u8,
}

/// Refund of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Refund {
    pub(super) id: RefundId,
    pub(super) amount: u8,
    /// Reference of the payment that it is refunded of.
    pub(super) of: Option<u8>,
    /// Body of its request.
    pub(super) body: Body,
}

/// Order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Order {
    pub(super) status: Status,
    pub(super) version: u8,
    /// Pieces of its item.
    pub(super) pieces: u8,
    /// Total of its item.
    pub(super) total: u8,
    /// Pieces that are refunded.
    pub(super) refunded_pieces: u8,
    pub(super) payments: Vec<Payment>,
    pub(super) refunds: Vec<Refund>,
    /// True if its history has the status paid.
    pub(super) was_paid: bool,
    /// Amount paid and not refunded when it became paid.
    pub(super) kept_as_paid: u8,
    /// True if its history has the status cancelled.
    pub(super) was_cancelled: bool,
    /// True if it was cancelled because it was not paid in time.
    pub(super) has_expired: bool,
    /// True if its item has changed since pieces were refunded.
    pub(super) changed_since: bool,
}

impl Order {
    /// Creates an order that is placed.
    pub(super) fn placed(pieces: u8, total: u8) -> Self {
        Self {
            status: Status::Placed,
            version: 1,
            pieces,
            total,
            refunded_pieces: 0,
            payments: Vec::new(),
            refunds: Vec::new(),
            was_paid: false,
            kept_as_paid: 0,
            was_cancelled: false,
            has_expired: false,
            changed_since: false,
        }
    }

    /// Adds payments that have made it paid.
    pub(super) fn paid_by(mut self, payments: &[(u8, u8)]) -> Self {
        for &(reference, amount) in payments {
            // No request of a scenario has this key.
            let request = (u8::MAX - reference, Body::Pay { reference, amount });
            self.payments.push(Payment { reference, amount, request });
        }
        self.status = Status::Paid;
        self.was_paid = true;
        self.kept_as_paid = self.paid();
        self
    }

    /// Returns the sum of its payments.
    pub(super) fn paid(&self) -> u8 {
        self.payments.iter().map(|payment| payment.amount).sum()
    }

    /// Returns the sum of its refunds.
    pub(super) fn refunded(&self) -> u8 {
        self.refunds.iter().map(|refund| refund.amount).sum()
    }

    /// Returns the payment with a reference.
    pub(super) fn payment(&self, reference: u8) -> Option<&Payment> {
        self.payments.iter().find(|payment| payment.reference == reference)
    }
}

impl Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, version, pieces, total, refunded_pieces, .. } = self;
        write!(f, "{status:?} v{version}, {pieces} pieces for {total}")?;
        for Payment { reference, amount, .. } in &self.payments {
            write!(f, ", paid {amount} by {reference}")?;
        }
        for Refund { amount, id, .. } in &self.refunds {
            write!(f, ", refunded {amount} under key {}", id.key)?;
        }
        if *refunded_pieces > 0 {
            write!(f, ", {refunded_pieces} pieces refunded")?;
        }
        Ok(())
    }
}

/// Answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Answer {
    /// Done now.
    Done,
    /// Done before.
    Replayed,
    /// 409: another payment has the reference.
    Taken,
    /// 409: more than there is.
    Exceeded,
    /// 422: the key has another body.
    KeyReused,
    /// 412: the order has another version.
    Mismatch,
    /// 409: the status does not allow it.
    NotAllowed,
    /// 409: the new items are not held.
    Short,
    /// 503: too many conflicts.
    Unavailable,
}

/// Continuation after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Then {
    /// Answers.
    Answer(Answer),
    /// Holds the new items, and finishes the change.
    Finish,
}

/// Write that was decided.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Plan {
    /// Order as it was loaded.
    pub(super) loaded: Order,
    /// Order as it will be.
    pub(super) after: Order,
    pub(super) then: Then,
}

/// Running request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process {
    pub(super) request: usize,
    /// Number of conflicts that a change of items has met.
    pub(super) conflicts: u8,
    /// Decided write. `None` once another write was faster: whatever it was, its condition fails.
    pub(super) plan: Option<Box<Plan>>,
}

/// Complete state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub(super) orders: [Option<Order>; ORDERS],
    pub(super) processes: Vec<Process>,
    pub(super) left: Vec<u8>,
    pub(super) repeats: u8,
    /// Requests that were answered.
    pub(super) answered: Vec<bool>,
    /// Payments and refunds that were written or acknowledged.
    pub(super) stands: Vec<bool>,
    pub(super) broken: Option<&'static str>,
}

impl State {
    pub(super) fn begin(&mut self, process: Process) {
        let place = self.processes.partition_point(|other| *other < process);
        self.processes.insert(place, process);
    }
}

/// Possible step.
#[derive(Clone, Debug)]
pub struct Step(pub(super) String);
