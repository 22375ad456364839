//! What there is at one moment: on disk, in flight, and in the memory of whoever runs. Small and plain, since
//! millions of them are made.

use crate::placing::Placing;

/// How many products there are.
pub const PRODUCTS: usize = 2;

/// How many IDs of orders there can be: one for each body and attempt.
pub const IDS: usize = 5;

/// Pieces of each product.
pub type Items = [u8; PRODUCTS];

/// No pieces of any product.
pub const NONE: Items = [0; PRODUCTS];

/// The larger of both for each product.
pub fn larger(one: Items, other: Items) -> Items {
    std::array::from_fn(|product| one[product].max(other[product]))
}

/// What a call does with its items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeclarationKind {
    /// `HoldStock`.
    Hold,
    /// `ShipStock`.
    Ship,
    /// `RestockReturned`.
    Restock,
}

/// A call to products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// Whose stock.
    pub id: usize,
    /// As of which revision of the order.
    pub revision: u8,
    /// What is done with the items.
    pub kind: DeclarationKind,
    /// The items.
    pub items: Items,
}

impl Call {
    /// Exactly these items are held for this order.
    pub fn hold(id: usize, revision: u8, items: Items) -> Self {
        Self { id, revision, kind: DeclarationKind::Hold, items }
    }
}

/// What a product keeps of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Pieces held; 0 is a tombstone.
    pub quantity: u8,
    /// As of which revision.
    pub revision: u8,
    /// Whether it was written more than an hour ago.
    pub old: bool,
}

/// A product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Product {
    /// Pieces in the house.
    pub on_hand: u8,
    /// Pieces held for orders.
    pub reserved: u8,
    /// What is kept of each order.
    pub entries: [Option<Entry>; IDS],
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// It never was an order, and never will be.
    Void,
    /// Stock is held; payment is awaited.
    Placed,
    /// Ready to be shipped.
    Paid,
    /// Ended before it was shipped.
    Cancelled,
    /// On its way.
    Shipped,
    /// With the customer.
    Delivered,
    /// Back from the customer, and on the hand again.
    Returned,
}

/// A change of items that is begun and not decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pending {
    /// The version of the write that began it, which is the revision of its hold.
    pub revision: u8,
    /// What the items shall be.
    pub items: Items,
    /// Somebody, the saga that began it or a Reconcile, was answered that the stock is held.
    pub granted: bool,
    /// Somebody was answered that there is not enough.
    pub refused: bool,
}

/// What is left to be done for an order's stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Task {
    /// The call that does it.
    pub call: Call,
    /// Somebody was answered that it is done, and may take it off.
    pub done: bool,
}

/// The document of an order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Order {
    /// Where it stands.
    pub status: Status,
    /// Rises by one with every decision.
    pub version: u8,
    /// What was ordered.
    pub items: Items,
    /// A change of items that is not decided.
    pub pending: Option<Pending>,
    /// What is left to be done, oldest first.
    pub tasks: Vec<Task>,
    /// Whether a task was taken off within the last hour.
    pub task_taken_off: bool,
    /// The items of a change that was granted and then ended by another decision. Only somebody who does not
    /// ask whether the intent is still there would use it.
    pub forgotten: Option<Items>,
}

/// What runs somewhere, with what it remembers. One that takes no further step has crashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Process {
    /// A request places an order.
    Placing(Placing),
    /// A request has read an order, and is about to write its decision.
    Deciding {
        /// Which of the scenario's decisions.
        decision: usize,
        /// About which order.
        id: usize,
        /// The version that it read.
        version: u8,
        /// Whether a change of items was pending.
        pending: bool,
    },
}

/// What was promised to clients about an order: each is true for ever after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Promises {
    /// A 201, or a 200 to its repetition.
    pub placed: bool,
    /// The furthest status of which a client was told, in the order of [`Status`].
    pub status: Option<Status>,
}

/// What is in the books beside the database: how often an order's pieces really left the house.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Moved {
    /// Pieces that left.
    pub shipped: Items,
    /// Pieces that came back.
    pub restocked: Items,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The products.
    pub products: [Product; PRODUCTS],
    /// The documents of orders.
    pub orders: [Option<Order>; IDS],
    /// What runs, sorted: twins are alike.
    pub processes: Vec<Process>,
    /// Calls that were sent and may arrive, again or for the first time, at any moment. Sorted.
    pub sent: Vec<Call>,
    /// Orders whose hold a Reconcile may have seen.
    pub seen: [bool; IDS],
    /// Orders of which a Reconcile has read that their tombstones may go.
    pub prunable: [bool; IDS],
    /// How often each request of the scenario may still be sent: first its placings, then its decisions.
    pub left: Vec<u8>,
    /// How many hours may still pass.
    pub hours: u8,
    /// What clients were told.
    pub promises: [Promises; IDS],
    /// What left the house.
    pub moved: [Moved; IDS],
    /// A step that was wrong in itself.
    pub broken: Option<&'static str>,
}

impl State {
    /// Notes that a call is on its way, and may be repeated from now on.
    pub(crate) fn send(&mut self, call: Call) {
        if let Err(place) = self.sent.binary_search(&call) {
            self.sent.insert(place, call);
        }
    }

    /// Adds what runs.
    pub(crate) fn begin(&mut self, process: Process) {
        let place = self.processes.partition_point(|other| *other < process);
        self.processes.insert(place, process);
    }

    /// What is held for an order.
    pub fn held(&self, id: usize) -> Items {
        std::array::from_fn(|product| self.products[product].entries[id].map_or(0, |entry| entry.quantity))
    }
}
