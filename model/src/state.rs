//! State at one moment: on disk, in flight, and in the memory of running processes. It is small and plain,
//! because a search creates millions of them.

use crate::placing::Placing;

/// Number of products.
pub const PRODUCTS: usize = 2;

/// Number of order IDs: one for each body and attempt.
pub const IDS: usize = 5;

/// Quantity of each product.
pub type Items = [u8; PRODUCTS];

/// Quantity 0 of each product.
pub const NONE: Items = [0; PRODUCTS];

/// Returns the larger quantity of each product.
pub fn larger(one: Items, other: Items) -> Items {
    std::array::from_fn(|product| one[product].max(other[product]))
}

/// Kind of a declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeclarationKind {
    /// `HoldStock`.
    Hold,
    /// `ShipStock`.
    Ship,
    /// `RestockReturned`.
    Restock,
}

/// Call to products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// Order whose stock it concerns.
    pub id: usize,
    /// Revision of the order.
    pub revision: u8,
    /// Kind of the declaration.
    pub kind: DeclarationKind,
    /// Quantities.
    pub items: Items,
}

impl Call {
    /// Creates a call that holds exactly these items for this order.
    pub fn hold(id: usize, revision: u8, items: Items) -> Self {
        Self { id, revision, kind: DeclarationKind::Hold, items }
    }
}

/// Entry of an order in a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Units held; 0 is a tombstone.
    pub quantity: u8,
    /// Revision of the last applied declaration.
    pub revision: u8,
    /// True if it was written more than an hour ago.
    pub old: bool,
}

/// Product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Product {
    /// Units physically in the warehouse.
    pub on_hand: u8,
    /// Units held for orders.
    pub reserved: u8,
    /// Entries of orders.
    pub entries: [Option<Entry>; IDS],
}

/// Status of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Not an order, and never will be one.
    Void,
    /// Stock is held; payment is awaited.
    Placed,
    /// Ready to be shipped.
    Paid,
    /// Ended before shipping.
    Cancelled,
    /// On its way.
    Shipped,
    /// Delivered to the customer.
    Delivered,
    /// Returned by the customer, and on hand again.
    Returned,
}

/// Change of items that has begun and is not decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pending {
    /// Version of the write that began it, which is the revision of its hold.
    pub revision: u8,
    /// New items.
    pub items: Items,
    /// A process, the saga that began it or a Reconcile, got the answer that the stock is held.
    pub granted: bool,
    /// A process got the answer that stock is short.
    pub refused: bool,
}

/// Stock work that an order still has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Task {
    /// Call that does the work.
    pub call: Call,
    /// A process got the answer that it is done, and may remove the task.
    pub done: bool,
}

/// Document of an order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Order {
    /// Status.
    pub status: Status,
    /// Version; every decision raises it by one.
    pub version: u8,
    /// Ordered items.
    pub items: Items,
    /// Change of items that is not decided.
    pub pending: Option<Pending>,
    /// Work that is still to be done, oldest first.
    pub tasks: Vec<Task>,
    /// True if a task was removed within the last hour.
    pub task_removed: bool,
    /// Items of a change that was granted and then ended by another decision.
    ///
    /// Only a finish that does not check its intent would use them.
    pub forgotten: Option<Items>,
}

/// Running process with its memory. One that takes no further step has crashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Process {
    /// Request that places an order.
    Placing(Placing),
    /// Request that has read an order, and is about to write its decision.
    Deciding {
        /// Index of the decision in the scenario.
        decision: usize,
        /// Order.
        id: usize,
        /// Version that it has read.
        version: u8,
        /// True if a change of items was pending.
        pending: bool,
    },
}

/// Promises to clients about an order; each holds for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Promises {
    /// A 201, or the 200 to its repetition.
    pub placed: bool,
    /// Furthest status that a client has seen, in the order of [`Status`].
    pub status: Option<Status>,
}

/// Physical movements of an order's units, as recorded outside the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Moved {
    /// Units that left the warehouse.
    pub shipped: Items,
    /// Units that came back.
    pub restocked: Items,
}

/// Complete state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// Products.
    pub products: [Product; PRODUCTS],
    /// Documents of orders.
    pub orders: [Option<Order>; IDS],
    /// Running processes, sorted: duplicates are equal.
    pub processes: Vec<Process>,
    /// Calls that were sent and may arrive, again or for the first time, at any moment; sorted.
    pub sent: Vec<Call>,
    /// Orders whose hold a Reconcile may have seen.
    pub seen: [bool; IDS],
    /// Orders whose tombstones may be pruned, as a Reconcile has read.
    pub prunable: [bool; IDS],
    /// Number of times that each request may still be sent: first the placings, then the decisions.
    pub left: Vec<u8>,
    /// Number of hours that may still pass.
    pub hours: u8,
    /// Promises to clients.
    pub promises: [Promises; IDS],
    /// Physical movements.
    pub moved: [Moved; IDS],
    /// Violation by the last step itself.
    pub broken: Option<&'static str>,
}

impl State {
    /// Records a call that is in flight, and may be repeated from now on.
    pub(crate) fn send(&mut self, call: Call) {
        if let Err(place) = self.sent.binary_search(&call) {
            self.sent.insert(place, call);
        }
    }

    /// Adds a running process.
    pub(crate) fn begin(&mut self, process: Process) {
        let place = self.processes.partition_point(|other| *other < process);
        self.processes.insert(place, process);
    }

    /// Returns the items held for an order.
    pub fn held(&self, id: usize) -> Items {
        std::array::from_fn(|product| self.products[product].entries[id].map_or(0, |entry| entry.quantity))
    }
}
