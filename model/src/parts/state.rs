//! Everything that is stored, in flight, or in the memory of running processes.

use std::fmt::{self, Display};

use super::{ORDERS, PRODUCTS};

/// Units of each product.
pub type Items = [u8; PRODUCTS];

/// Nothing.
pub(super) const NOTHING: Items = [0; PRODUCTS];

/// Body of a request. An `id` follows from its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wish {
    /// A rival places the order.
    Place(Items),
    /// The order is paid.
    Pay,
    /// Reconcile: the order was not paid in time. The time limit may end at any moment.
    Expire,
    /// Units are cancelled.
    Cancel {
        /// Number of the cancellation.
        id: u8,
        /// Units.
        items: Items,
    },
    /// Units are shipped.
    Ship {
        /// Number of the fulfillment.
        id: u8,
        /// Units.
        items: Items,
    },
    /// A fulfillment is cancelled: its units are still there.
    Unship {
        /// Number of the fulfillment.
        id: u8,
    },
    /// A fulfillment is delivered.
    Deliver {
        /// Number of the fulfillment.
        id: u8,
    },
    /// Units are to be sent back.
    Return {
        /// Number of the return.
        id: u8,
        /// Units.
        items: Items,
    },
    /// Units of a return have come back, all of them.
    Receive {
        /// Number of the return.
        id: u8,
        /// Units that can be sold again.
        restocked: Items,
    },
    /// Other items.
    Change(Items),
}

/// Units that an order has moved, in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Counts {
    /// Units shipped, without those of cancelled fulfillments.
    pub shipped: Items,
    /// Units restocked.
    pub restocked: Items,
}

impl Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "-{:?} +{:?}", self.shipped, self.restocked)
    }
}

/// Status of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Placed,
    Paid,
    Cancelled,
    Shipped,
    Delivered,
    Returned,
}

/// Status of a fulfillment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum FulfillmentStatus {
    Shipped,
    Delivered,
    Cancelled,
}

/// Fulfillment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Fulfillment {
    pub(super) id: u8,
    pub(super) items: Items,
    pub(super) status: FulfillmentStatus,
    /// True once it was delivered.
    pub(super) was_delivered: bool,
}

/// Return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Return {
    pub(super) id: u8,
    pub(super) items: Items,
    /// Units restocked, once it is received.
    pub(super) restocked: Option<Items>,
    /// Number of times that it was received.
    pub(super) receipts: u8,
}

/// Change of items that has begun and is not decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Pending {
    /// Version of the write that began it, which is the revision of its hold.
    pub(super) revision: u8,
    pub(super) items: Items,
    /// A process got the answer that the units are held.
    pub(super) granted: bool,
    /// A process got the answer that they are short.
    pub(super) refused: bool,
}

/// Stock work that an order still has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Task {
    pub(super) revision: u8,
    /// Counts before the decision.
    pub(super) before: Counts,
    /// True if an older build has left it: a fulfillment of the whole order.
    pub(super) is_older: bool,
    /// A process got the answer that it is done, and may remove it with all earlier ones.
    pub(super) done: bool,
}

/// Document of an order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Order {
    pub(super) version: u8,
    pub(super) paid: bool,
    pub(super) ordered: Items,
    pub(super) cancelled: Items,
    /// Numbers of cancellations.
    pub(super) cancellations: Vec<u8>,
    pub(super) fulfillments: Vec<Fulfillment>,
    pub(super) returns: Vec<Return>,
    pub(super) pending: Option<Pending>,
    pub(super) tasks: Vec<Task>,
    /// True if a task was removed within the last hour.
    pub(super) task_removed: bool,
}

impl Order {
    pub(super) fn placed(ordered: Items) -> Self {
        Self {
            version: 1,
            paid: false,
            ordered,
            cancelled: NOTHING,
            cancellations: Vec::new(),
            fulfillments: Vec::new(),
            returns: Vec::new(),
            pending: None,
            tasks: Vec::new(),
            task_removed: false,
        }
    }

    pub(super) fn paid(ordered: Items) -> Self {
        Self { paid: true, ..Self::placed(ordered) }
    }

    /// Order with one fulfillment, number 9, which was sent hours ago.
    pub(super) fn shipped(ordered: Items, items: Items, status: FulfillmentStatus) -> Self {
        let was_delivered = status == FulfillmentStatus::Delivered;
        let fulfillments = vec![Fulfillment { id: 9, items, status, was_delivered }];
        Self { version: 3, fulfillments, ..Self::paid(ordered) }
    }

    /// Units that have left the warehouse, cancelled fulfillments apart.
    pub(super) fn out(&self) -> Items {
        let live =
            self.fulfillments.iter().filter(|fulfillment| fulfillment.status != FulfillmentStatus::Cancelled);
        sum(live.map(|fulfillment| fulfillment.items))
    }

    /// Units neither cancelled nor shipped: what is held.
    pub(super) fn left(&self) -> Items {
        minus(minus(self.ordered, self.cancelled), self.out())
    }

    /// Units of all returns, and of those that are received.
    pub(super) fn returned(&self) -> (Items, Items) {
        let received = self.returns.iter().filter(|it| it.restocked.is_some());
        (sum(self.returns.iter().map(|it| it.items)), sum(received.map(|it| it.items)))
    }

    pub(super) fn counts(&self) -> Counts {
        let restocked = sum(self.returns.iter().filter_map(|it| it.restocked));
        Counts { shipped: self.out(), restocked }
    }

    /// Status, which follows from the counts.
    pub(super) fn status(&self) -> Status {
        let is_delivered = |fulfillment: &Fulfillment| fulfillment.status != FulfillmentStatus::Shipped;
        match () {
            () if self.left() != NOTHING && self.paid => Status::Paid,
            () if self.left() != NOTHING => Status::Placed,
            () if self.out() == NOTHING => Status::Cancelled,
            () if self.returned().1 == self.out() => Status::Returned,
            () if self.fulfillments.iter().all(is_delivered) => Status::Delivered,
            () => Status::Shipped,
        }
    }
}

impl Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, ordered, cancelled, fulfillments, returns, pending, .. } = self;
        write!(f, "{:?} v{version} {ordered:?} less {cancelled:?}", self.status())?;
        for Fulfillment { id, items, status, .. } in fulfillments {
            write!(f, ", fulfillment {id} {items:?} {status:?}")?;
        }
        for Return { id, items, restocked, .. } in returns {
            let restocked = restocked.map_or("open".to_owned(), |restocked| format!("{restocked:?}"));
            write!(f, ", return {id} {items:?} {restocked}")?;
        }
        if let Some(pending) = pending {
            write!(f, ", to be {:?}", pending.items)?;
        }
        for Task { revision, before, .. } in &self.tasks {
            write!(f, ", task r{revision} from {before}")?;
        }
        Ok(())
    }
}

/// Hold of an order, which has the counts as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hold {
    /// Revision.
    pub revision: u8,
    /// Units held.
    pub held: Items,
    /// Counts, once the order has a fulfillment.
    pub counts: Option<Counts>,
    /// True if it was written more than an hour ago.
    pub old: bool,
}

/// Kind of a declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `HoldStock`: nothing moves.
    Hold,
    /// `ShipStock` of an older build: units move, and no counts are left.
    ShipAll,
    /// `MoveStock`.
    Move,
}

/// Call to products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// Index of the order.
    pub order: usize,
    /// Revision.
    pub revision: u8,
    /// Units held as of the revision.
    pub held: Items,
    /// Counts as of the revision.
    pub counts: Counts,
    /// Counts before the oldest open task.
    pub before: Counts,
    /// Kind.
    pub kind: Kind,
}

impl Call {
    /// Creates the call of a placing.
    pub(super) fn placing(order: usize, held: Items) -> Self {
        let none = Counts::default();
        Self { order, revision: 1, held, counts: none, before: none, kind: Kind::Hold }
    }
}

impl Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { order, revision, held, counts, before, kind } = self;
        match kind {
            Kind::Hold => write!(f, "HoldStock({order}, r{revision}, {held:?})"),
            Kind::ShipAll => write!(f, "ShipStock({order}, r{revision}, {:?})", counts.shipped),
            Kind::Move => write!(f, "MoveStock({order}, r{revision}, {held:?}, {counts} from {before})"),
        }
    }
}

/// Process of a request that has decided, and is about to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Process {
    pub(super) request: usize,
    /// Version that it has loaded.
    pub(super) version: u8,
}

/// Complete state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub(super) on_hand: Items,
    pub(super) reserved: Items,
    pub(super) archived: bool,
    pub(super) holds: [Option<Hold>; ORDERS],
    pub(super) orders: [Option<Order>; ORDERS],
    /// Running processes, sorted.
    pub(super) processes: Vec<Process>,
    /// Calls that were made, sorted. Each may arrive at any time.
    pub(super) calls: Vec<Call>,
    /// A process has read that the order's hold may be pruned.
    pub(super) prunable: [bool; ORDERS],
    /// Number of times that each request may still be sent.
    pub(super) left: Vec<u8>,
    pub(super) hours: u8,
    pub(super) broken: Option<&'static str>,
}

/// Possible step.
#[derive(Clone, Debug)]
pub struct Step(pub(super) String);

impl State {
    pub(super) fn begin(&mut self, process: Process) {
        let place = self.processes.partition_point(|other| *other < process);
        self.processes.insert(place, process);
    }

    pub(super) fn send(&mut self, call: Call) {
        if let Err(place) = self.calls.binary_search(&call) {
            self.calls.insert(place, call);
        }
    }
}

pub(super) fn each(of: impl Fn(usize) -> u8) -> Items {
    std::array::from_fn(of)
}

pub(super) fn sum(all: impl Iterator<Item = Items>) -> Items {
    all.fold(NOTHING, plus)
}

pub(super) fn plus(one: Items, other: Items) -> Items {
    each(|product| one[product] + other[product])
}

pub(super) fn minus(one: Items, other: Items) -> Items {
    each(|product| one[product].saturating_sub(other[product]))
}

pub(super) fn exceeds(one: Items, other: Items) -> bool {
    (0..PRODUCTS).any(|product| one[product] > other[product])
}
