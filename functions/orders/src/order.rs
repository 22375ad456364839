//! The order aggregate, and the decisions that change it. No I/O, no clock.
//!
//! - `amounts`: discounts, taxes and shipping
//! - `cancellations`, `fulfillments`, `returns`: the parts in which an order ends, ships and comes back
//! - `decision`: permissions, transitions, and their consequences for the stock
//! - `items`: a change of items, which takes several steps
//! - `parts`: counters of units, and the statuses and the stock that follow from them
//! - `payments`: payments and refunds
//! - `rules`: what each status of a part allows, and to whom
//! - `totals`: sums, and the status of payment that follows from them
//!
//! A decision is one write. It gives the order its next version, appends to its history, and names the task
//! that follows for the stock. The task's revision is that version.

use std::collections::BTreeMap;

use shared::auth::Caller;
use shared::error::Error;
use shared::http::idempotency::RequestKey;
use shared::input::validation::{Patch, ValidationErrors};
use shared::values::address::Address;
use shared::values::clock::Timestamp;
use shared::values::ids::{
    CancellationId, FulfillmentId, OrderId, PaymentId, ProductId, RefundId, ReturnId, UserId,
};
use shared::values::money::{Currency, Money};

use crate::number::Number;
use crate::status::Status;

mod amounts;
mod cancellations;
mod decision;
mod fulfillments;
mod items;
mod parts;
mod payments;
mod returns;
pub mod rules;
mod totals;

pub use amounts::{Discount, ItemAmounts, Rate, Shipping, Tax};
pub use cancellations::{Cancellation, NewCancellation};
pub use decision::{Decision, Details, OrderChange, Transition, check_expiry};
pub use fulfillments::{Fulfillment, FulfillmentChange, FulfillmentStatus, NewFulfillment};
pub use items::Held;
pub(crate) use parts::Tally;
pub use parts::{Counters, HeldUnits, OrderFulfillmentStatus, OrderReturnStatus, StockCounts, StockTotals};
pub(crate) use payments::share;
pub use payments::{
    ItemQuantity, NewPayment, NewRefund, Origin, Payment, Recording, References, Refund, RefundOf,
    reference_taken,
};
pub use returns::{NewReturn, NewReturnItem, ReceivedItem, Return, ReturnChange, ReturnItem, ReturnStatus};
pub use totals::{PaymentStatus, Totals};

/// Maximum total of an order, in minor units.
pub const MAX_TOTAL: i64 = 1_000_000_000_000_000;

/// Order: a customer's items at the prices of purchase, with status, payment and history.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Order ID.
    pub id: OrderId,
    /// Order number, for people.
    pub number: Number,
    /// The customer to whom the order belongs.
    pub user_id: UserId,
    /// Status of the order.
    pub status: Status,
    /// Ordered items, at the prices at the time of ordering.
    pub items: Vec<Item>,
    /// Currency of all amounts of the order.
    pub currency: Currency,
    /// Shipping address.
    pub shipping_address: Address,
    /// Billing address, if it is another.
    pub billing_address: Option<Address>,
    /// Shipping and its amount.
    pub shipping: Option<Shipping>,
    /// Number at another system, unique.
    pub external_number: Option<String>,
    /// Note by the customer or the shop.
    pub note: Option<String>,
    /// Note for staff alone.
    pub internal_note: Option<String>,
    /// Key-value pairs for the shop's own programs.
    pub metadata: BTreeMap<String, String>,
    /// Payments, oldest first.
    pub payments: Vec<Payment>,
    /// Refunds, oldest first.
    pub refunds: Vec<Refund>,
    /// Fulfillments, oldest first.
    pub fulfillments: Vec<Fulfillment>,
    /// Cancellations of units, oldest first.
    pub cancellations: Vec<Cancellation>,
    /// Returns, oldest first.
    pub returns: Vec<Return>,
    /// All changes of status and parts, oldest first.
    pub history: Vec<HistoryEntry>,
    /// Pending stock tasks, oldest first.
    pub tasks: Vec<Task>,
    /// True while new items are being held that are not the order's yet. Any decision ends that.
    pub changing: bool,
    /// Caller, key and fingerprint of the request that placed it, if that had an idempotency key.
    pub placed_under: Option<IdempotencyRef>,
    /// Payment deadline, while the order is placed; none if it may stay unpaid.
    pub expires_at: Option<Timestamp>,
    /// Slot among the customer's open orders, while the order is placed; none if it has none.
    pub open_slot: Option<i64>,
    /// Version: rises by one with every decision.
    pub version: i64,
    /// Time of placing.
    pub created_at: Timestamp,
    /// Time of the last decision.
    pub updated_at: Timestamp,
}

/// Idempotency key under which an order was placed, with its caller and request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyRef {
    /// Caller who sent the key. Keys of different callers never meet.
    pub caller: UserId,
    /// Key and fingerprint of the request.
    pub request_key: RequestKey,
}

/// Item of an order: a product as it was when it was added, and its quantity.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Product ID.
    pub product_id: ProductId,
    /// SKU at the time of ordering.
    pub sku: String,
    /// Name at the time of ordering.
    pub name: String,
    /// Unit price at the time of ordering.
    pub unit_price: Money,
    /// Quantity in units.
    pub quantity: i64,
    /// Discounts and taxes.
    pub amounts: ItemAmounts,
}

impl Item {
    /// Checks that the item at this index has the currency of its order.
    fn check_currency(&self, errors: &mut ValidationErrors, index: usize, of_order: Currency) {
        let own = self.unit_price.currency();
        if own != of_order {
            let detail =
                format!("is priced in {own:?}, the order in {of_order:?}; an order has one currency");
            errors.add(&format!("/items/{index}/product_id"), detail);
        }
    }

    /// Price of all units, in minor units: at most 10^12 for a unit times 10^4 units. Only stored values that no
    /// client may send come near to an overflow.
    pub fn price(&self) -> i64 {
        self.unit_price.amount().saturating_mul(self.quantity)
    }

    /// Item total in minor units: price less discounts, with the taxes that prices do not include.
    pub fn total(&self) -> i64 {
        let taxes = amounts::taxes_of(&self.amounts.taxes, false);
        self.price().saturating_sub(self.amounts.discounted()).saturating_add(taxes)
    }
}

/// Tracking of a parcel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracking {
    /// Carrier of the parcel.
    pub carrier: String,
    /// Tracking number at the carrier.
    pub number: String,
    /// Address at which the parcel can be followed.
    pub url: Option<String>,
}

/// Entry of an order's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Time of the change.
    pub at: Timestamp,
    /// Change of the order.
    pub change: Change,
    /// User who made the change; none for the system.
    pub by: Option<UserId>,
    /// Reason for the change.
    pub reason: Option<String>,
}

/// Change of an order, as its history has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Change of the status.
    Status {
        /// Status before; none for the first entry.
        from: Option<Status>,
        /// Status after.
        to: Status,
    },
    /// Payment that was recorded.
    Payment(PaymentId),
    /// Refund that was recorded, or got its reference.
    Refund(RefundId),
    /// Fulfillment that was recorded, or changed. One whose tracking was corrected keeps its status.
    Fulfillment {
        /// Fulfillment ID.
        id: FulfillmentId,
        /// Status before; none for one that was recorded.
        from: Option<FulfillmentStatus>,
        /// Status after.
        to: FulfillmentStatus,
    },
    /// Cancellation of units that was recorded.
    Cancellation(CancellationId),
    /// Return that was recorded, or changed.
    Return {
        /// Return ID.
        id: ReturnId,
        /// Status before; none for one that was recorded.
        from: Option<ReturnStatus>,
        /// Status after.
        to: ReturnStatus,
    },
    /// Change of a newer build, by its name.
    Unknown(&'static str),
}

impl Change {
    /// Names of the changes that this build knows.
    pub const EVENTS: [&str; 6] = ["status", "payment", "refund", "fulfillment", "cancellation", "return"];

    /// Name of the kind of change.
    pub fn event(self) -> &'static str {
        let [status, payment, refund, fulfillment, cancellation, returned] = Self::EVENTS;
        match self {
            Self::Status { .. } => status,
            Self::Payment(_) => payment,
            Self::Refund(_) => refund,
            Self::Fulfillment { .. } => fulfillment,
            Self::Cancellation(_) => cancellation,
            Self::Return { .. } => returned,
            Self::Unknown(event) => event,
        }
    }

    /// ID of the part of the order that changed; none for the order itself.
    pub fn subject(self) -> Option<String> {
        match self {
            Self::Payment(id) => Some(id.to_string()),
            Self::Refund(id) => Some(id.to_string()),
            Self::Fulfillment { id, .. } => Some(id.to_string()),
            Self::Cancellation(id) => Some(id.to_string()),
            Self::Return { id, .. } => Some(id.to_string()),
            Self::Status { .. } | Self::Unknown(_) => None,
        }
    }

    /// Names of the statuses before and after: of the part that changed, or of the order.
    pub fn statuses(self) -> (Option<&'static str>, Option<&'static str>) {
        match self {
            Self::Status { from, to } => (from.map(Status::name), Some(to.name())),
            Self::Fulfillment { from, to, .. } => (from.map(FulfillmentStatus::name), Some(to.name())),
            Self::Return { from, to, .. } => (from.map(ReturnStatus::name), Some(to.name())),
            Self::Payment(_) | Self::Refund(_) | Self::Cancellation(_) | Self::Unknown(_) => (None, None),
        }
    }

    /// True if it is a correction of tracking.
    fn is_correction(self) -> bool {
        matches!(self, Self::Fulfillment { from: Some(from), to, .. } if from == to)
    }
}

impl HistoryEntry {
    /// Status before the change, if it is one of status.
    pub fn from(&self) -> Option<Status> {
        match self.change {
            Change::Status { from, .. } => from,
            _ => None,
        }
    }

    /// Status after the change, if it is one of status.
    pub fn to(&self) -> Option<Status> {
        match self.change {
            Change::Status { to, .. } => Some(to),
            _ => None,
        }
    }
}

/// Actor as shown to this caller: customers see `staff` for everybody else. None is the system.
pub fn actor_label(by: Option<UserId>, caller: Caller) -> String {
    match by {
        None => "system".to_owned(),
        Some(by) if caller.is_staff() || caller.user_id() == Some(by) => by.to_string(),
        Some(_) => "staff".to_owned(),
    }
}

/// Stock task that follows from a decision. Running it twice is safe, since products checks the revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Order version that the decision made.
    pub revision: i64,
    /// Action on the stock.
    pub kind: TaskKind,
    /// For a move: units that were ever moved before the decision, of the products of which there were any.
    pub before: Vec<StockCounts>,
}

impl Task {
    /// Builds a task that is no move.
    pub fn new(revision: i64, kind: TaskKind) -> Self {
        Self { revision, kind, before: Vec::new() }
    }
}

shared::stored_names! {
    /// Action on an order's stock.
    pub enum TaskKind {
        /// Hold the order's items, and nothing else.
        Hold = "hold",
        /// Release the order's hold.
        Release = "release",
        /// Hold the units that are left, and move those that were shipped and restocked: of an order with parts.
        Move = "move",
        /// Deduct all items from `on_hand`. An older build has left it.
        Ship = "ship",
        /// Add all items back to `on_hand`. An older build has left it.
        Restock = "restock",
    }
    /// Action of a newer build, by its name. Only that build can run it.
    Unknown
}

/// Request to place an order.
#[derive(Clone, Debug)]
pub struct NewOrder {
    /// Items to order: distinct products.
    pub items: Vec<NewItem>,
    /// Shipping address.
    pub shipping_address: Address,
    /// Billing address, if it is another.
    pub billing_address: Option<Address>,
    /// Shipping and its amount, which staff give.
    pub shipping: Option<Shipping>,
    /// Number at another system, unique.
    pub external_number: Option<String>,
    /// Note by the customer.
    pub note: Option<String>,
    /// Note for staff alone.
    pub internal_note: Option<String>,
    /// The customer; the caller if none.
    pub user_id: Option<UserId>,
    /// Key-value pairs for the shop's own programs.
    pub metadata: BTreeMap<String, String>,
    /// Payment deadline that staff chose; null is none.
    pub expires_at: Patch<Timestamp>,
}

/// Product and quantity to order, with what staff give for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewItem {
    /// Product ID.
    pub product_id: ProductId,
    /// Quantity in units.
    pub quantity: i64,
    /// Discounts and taxes.
    pub amounts: ItemAmounts,
}

impl NewItem {
    /// Builds an item at the price of its product, without discounts and taxes.
    pub fn new(product_id: ProductId, quantity: i64) -> Self {
        Self { product_id, quantity, amounts: ItemAmounts::default() }
    }
}

impl NewOrder {
    /// Builds a request with items and an address alone.
    pub fn new(items: Vec<NewItem>, shipping_address: Address) -> Self {
        Self {
            items,
            shipping_address,
            billing_address: None,
            shipping: None,
            external_number: None,
            note: None,
            internal_note: None,
            user_id: None,
            metadata: BTreeMap::new(),
            expires_at: Patch::Absent,
        }
    }

    /// Checks that the caller may give what the request names.
    ///
    /// # Errors
    /// 403 for a field that only staff may give.
    pub fn check_permitted(&self, caller: Caller) -> Result<(), Error> {
        if caller.is_staff() {
            return Ok(());
        }
        check_amounts_permitted(&self.items, self.shipping.is_some())?;
        if self.internal_note.is_some() {
            return Err(Error::forbidden("Only staff may give `internal_note`."));
        }
        if self.expires_at.is_present() {
            return Err(Error::forbidden("Only staff may choose `expires_at`."));
        }
        Ok(())
    }
}

/// Checks that a customer gives no amounts.
fn check_amounts_permitted(items: &[NewItem], names_shipping: bool) -> Result<(), Error> {
    if names_shipping || items.iter().any(|item| !item.amounts.is_empty()) {
        return Err(Error::forbidden("Only staff may give `discounts`, `taxes` and `shipping`."));
    }
    Ok(())
}

/// Identity, actor and times of an order to be placed.
#[derive(Clone, Debug)]
pub struct PlacementContext {
    /// Order ID.
    pub id: OrderId,
    /// Order number.
    pub number: Number,
    /// The customer to whom the order will belong.
    pub user_id: UserId,
    /// User who places the order.
    pub by: UserId,
    /// Idempotency key of the request.
    pub under: Option<IdempotencyRef>,
    /// Time of placing.
    pub at: Timestamp,
    /// Payment deadline, unless the request names another.
    pub expires_at: Timestamp,
    /// Slot among the customer's open orders.
    pub open_slot: Option<i64>,
}

impl Order {
    /// Builds an order at its first version.
    ///
    /// # Errors
    /// 422 when the items have several currencies, discounts or taxes do not fit the prices, or the total is too large.
    pub fn place(placing: PlacementContext, new: NewOrder, items: Vec<Item>) -> Result<Self, Error> {
        let Some(currency) = items.first().map(|item| item.unit_price.currency()) else {
            return Err(Error::internal("an order without items"));
        };
        // Products has checked this when the stock was first held. A repeated hold may meet other prices.
        let mut errors = ValidationErrors::default();
        for (index, item) in items.iter().enumerate() {
            item.check_currency(&mut errors, index, currency);
        }
        errors.check()?;
        let placed = HistoryEntry {
            at: placing.at,
            change: Change::Status { from: None, to: Status::Placed },
            by: Some(placing.by),
            reason: None,
        };
        let mut order = Self {
            id: placing.id,
            number: placing.number,
            user_id: placing.user_id,
            status: Status::Placed,
            items,
            currency,
            shipping_address: new.shipping_address,
            billing_address: new.billing_address,
            shipping: new.shipping,
            external_number: new.external_number,
            note: new.note,
            internal_note: new.internal_note,
            metadata: new.metadata,
            payments: Vec::new(),
            refunds: Vec::new(),
            fulfillments: Vec::new(),
            cancellations: Vec::new(),
            returns: Vec::new(),
            history: vec![placed],
            tasks: Vec::new(),
            changing: false,
            placed_under: placing.under,
            expires_at: new.expires_at.apply(Some(placing.expires_at)),
            open_slot: placing.open_slot,
            version: 1,
            created_at: placing.at,
            updated_at: placing.at,
        };
        order.check_sums()?;
        // An order that costs nothing is paid as it is placed.
        let entries = order.settle(placing.at);
        order.history.extend(entries);
        Ok(order)
    }

    /// Checks discounts, taxes and shipping, and then the total.
    fn check_sums(&self) -> Result<(), Error> {
        let mut errors = ValidationErrors::default();
        self.check_amounts(&mut errors);
        let total = self.total();
        if errors.is_empty() && total > MAX_TOTAL {
            errors.add("/items", format!("must total at most {MAX_TOTAL}; got {total}"));
        }
        errors.check()
    }

    /// Total in minor units: of all items, at most 100 of 10^16, and the shipping.
    pub fn total(&self) -> i64 {
        let shipping = self.shipping.iter().map(Shipping::total);
        amounts::sum(self.items.iter().map(Item::total).chain(shipping))
    }
}

#[cfg(test)]
mod tests;
