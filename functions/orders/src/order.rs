//! An order: the aggregate, and the decisions that change it. No I/O, no clock.
//!
//! - `decision`: who may change what, and what follows from it
//! - `items`: a change of items, which takes several steps
//!
//! A decision is one write: it gives the order its next version, appends to its history, and names the task
//! that follows from it for the stock. The task's revision is that version.

use std::collections::BTreeMap;

use shared::auth::Caller;
use shared::error::Error;
use shared::http::idempotency::RequestKey;
use shared::input::validation::ValidationErrors;
use shared::values::address::Address;
use shared::values::clock::Timestamp;
use shared::values::ids::{OrderId, ProductId, UserId};
use shared::values::money::{Currency, Money};

use crate::number::Number;
use crate::status::Status;

mod decision;
mod items;

pub use decision::{Decision, OrderChange, Transition};
pub use items::Held;

/// The largest total, in minor units.
pub const MAX_TOTAL: i64 = 1_000_000_000_000_000;

/// An order.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Which one it is.
    pub id: OrderId,
    /// Which one it is, for people.
    pub number: Number,
    /// Whose it is.
    pub user_id: UserId,
    /// Where it stands.
    pub status: Status,
    /// What was ordered, at the prices of then.
    pub items: Vec<Item>,
    /// Of all its amounts.
    pub currency: Currency,
    /// Where it goes.
    pub shipping_address: Address,
    /// What the customer or the shop wants to say.
    pub note: Option<String>,
    /// What the shop's programs want to keep with it.
    pub metadata: BTreeMap<String, String>,
    /// How it was paid, and paid back.
    pub payment: Payment,
    /// Where the parcel is.
    pub tracking: Option<Tracking>,
    /// All changes of status, oldest first.
    pub history: Vec<StatusChange>,
    /// What is left to be done for its stock, oldest first.
    pub tasks: Vec<Task>,
    /// Whether new items are being held, which are not the order's yet. Any decision ends that.
    pub changing: bool,
    /// The request that placed it, if that had a key.
    pub placed_under: Option<IdempotencyRef>,
    /// Until when it must be paid, while it is placed.
    pub expires_at: Option<Timestamp>,
    /// Rises by one with every decision.
    pub version: i64,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When it was last decided about.
    pub updated_at: Timestamp,
}

/// The key under which an order was placed: whose, and for which request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyRef {
    /// Keys of different callers never meet.
    pub caller: UserId,
    /// The key, and what the request asked for.
    pub request_key: RequestKey,
}

/// A item: a product as it was when it came into the order.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Which product.
    pub product_id: ProductId,
    /// Its SKU of then.
    pub sku: String,
    /// Its name of then.
    pub name: String,
    /// Its price of then.
    pub unit_price: Money,
    /// How many pieces.
    pub quantity: i64,
}

impl Item {
    /// Minor units: at most 10^12 for a piece times 10^4 pieces, far from overflow.
    pub fn total(&self) -> i64 {
        self.unit_price.amount() * self.quantity
    }
}

/// How an order was paid, and paid back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payment {
    /// What the payment is called where it was made.
    pub reference: Option<String>,
    /// How it was made.
    pub method: Option<String>,
    /// What the refund is called where it was made.
    pub refund_reference: Option<String>,
}

/// Where a parcel is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracking {
    /// Who carries it.
    pub carrier: String,
    /// What they call it.
    pub number: String,
}

/// A change of status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusChange {
    /// When.
    pub at: Timestamp,
    /// From which; the first has none.
    pub from: Option<Status>,
    /// To which.
    pub to: Status,
    /// By which user; by ourselves if none.
    pub by: Option<UserId>,
    /// Why.
    pub reason: Option<String>,
}

impl StatusChange {
    /// Who it was, as far as this caller may know: customers see `staff` for everybody else.
    pub fn actor_label_for(&self, caller: Caller) -> String {
        match self.by {
            None => "system".to_owned(),
            Some(by) if caller.is_staff() || caller.user_id() == Some(by) => by.to_string(),
            Some(_) => "staff".to_owned(),
        }
    }
}

/// What follows from a decision for the stock. It may be done twice: the revision tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// The version that the decision made.
    pub revision: i64,
    /// What is to be done.
    pub kind: TaskKind,
}

/// What is to be done for an order's stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskKind {
    /// Hold its items, and nothing else.
    Hold,
    /// End its hold.
    Release,
    /// Take its items off the hand.
    Ship,
    /// Put its items back on the hand.
    Restock,
}

/// An order that is about to be placed.
#[derive(Clone, Debug)]
pub struct NewOrder {
    /// What is ordered: distinct products.
    pub items: Vec<NewItem>,
    /// Where it goes.
    pub shipping_address: Address,
    /// What the customer wants to say.
    pub note: Option<String>,
    /// Whose it is; the caller's if none.
    pub user_id: Option<UserId>,
    /// What the shop's programs want to keep with it.
    pub metadata: BTreeMap<String, String>,
}

/// A quantity of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewItem {
    /// Which product.
    pub product_id: ProductId,
    /// How many pieces.
    pub quantity: i64,
}

/// What an order is placed with, beside what was asked for.
#[derive(Clone, Debug)]
pub struct PlacementContext {
    /// Which order it will be.
    pub id: OrderId,
    /// What people will call it.
    pub number: Number,
    /// Whose it will be.
    pub user_id: UserId,
    /// Who places it.
    pub by: UserId,
    /// The key of the request.
    pub under: Option<IdempotencyRef>,
    /// When.
    pub at: Timestamp,
    /// Until when it must be paid.
    pub expires_at: Timestamp,
}

impl Order {
    /// The order at its first version.
    ///
    /// # Errors
    /// 422 when the total is too large.
    pub fn place(placing: PlacementContext, new: NewOrder, items: Vec<Item>) -> Result<Self, Error> {
        let Some(currency) = items.first().map(|item| item.unit_price.currency()) else {
            return Err(Error::internal("an order without items"));
        };
        let placed = StatusChange {
            at: placing.at,
            from: None,
            to: Status::Placed,
            by: Some(placing.by),
            reason: None,
        };
        let order = Self {
            id: placing.id,
            number: placing.number,
            user_id: placing.user_id,
            status: Status::Placed,
            items,
            currency,
            shipping_address: new.shipping_address,
            note: new.note,
            metadata: new.metadata,
            payment: Payment::default(),
            tracking: None,
            history: vec![placed],
            tasks: Vec::new(),
            changing: false,
            placed_under: placing.under,
            expires_at: Some(placing.expires_at),
            version: 1,
            created_at: placing.at,
            updated_at: placing.at,
        };
        order.check_total()?;
        Ok(order)
    }

    fn check_total(&self) -> Result<(), Error> {
        let total = self.total();
        if total <= MAX_TOTAL {
            return Ok(());
        }
        let mut errors = ValidationErrors::default();
        errors.add("/items", format!("must cost at most {MAX_TOTAL} in all, and cost {total}"));
        Err(errors.into_error())
    }

    /// Minor units: at most 100 items of 10^16, far from overflow.
    pub fn total(&self) -> i64 {
        self.items.iter().map(Item::total).sum()
    }

    /// Whether it was ever paid.
    pub fn was_paid(&self) -> bool {
        self.payment.reference.is_some()
    }
}

#[cfg(test)]
mod tests;
