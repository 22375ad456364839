//! An order: the aggregate, and the decisions that change it. No I/O, no clock.
//!
//! A decision is one write: it gives the order its next version, appends to its history, and names the task
//! that follows from it for the stock. The task's revision is that version.

use std::collections::BTreeMap;

use serde_json::json;
use shared::address::Address;
use shared::auth::Caller;
use shared::clock::Timestamp;
use shared::error::{Error, Kind};
use shared::faults::{Faults, Patch};
use shared::ids::{OrderId, ProductId, UserId};
use shared::money::{Currency, Money};

use crate::number::Number;
use crate::status::{Actor, Refused, Status};

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
    /// Until when it must be paid, while it is placed.
    pub expires_at: Option<Timestamp>,
    /// Rises by one with every decision.
    pub version: i64,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When it was last decided about.
    pub updated_at: Timestamp,
}

/// A line: a product as it was when the order was placed.
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
    pub fn by_for(&self, caller: Caller) -> String {
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
    /// End its hold.
    Release,
    /// Take its lines off the hand.
    Ship,
    /// Put its lines back on the hand.
    Restock,
}

/// An order that is about to be placed.
#[derive(Clone, Debug)]
pub struct NewOrder {
    /// What is ordered: distinct products.
    pub lines: Vec<NewLine>,
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
pub struct NewLine {
    /// Which product.
    pub product_id: ProductId,
    /// How many pieces.
    pub quantity: i64,
}

/// A change of status with what it brings along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transition {
    /// To paid.
    Pay {
        /// What the payment is called where it was made.
        reference: String,
        /// How it was made.
        method: Option<String>,
    },
    /// To cancelled.
    Cancel,
    /// To shipped.
    Ship(Tracking),
    /// To delivered.
    Deliver,
    /// To returned.
    Return {
        /// Whether the pieces can be sold again.
        restock: bool,
    },
    /// To refunded.
    Refund {
        /// What the refund is called where it was made.
        reference: String,
    },
}

/// What somebody wants to change of an order.
#[derive(Clone, Debug)]
pub struct OrderChange {
    /// The status that is asked for.
    pub status: Option<Status>,
    /// How to get there, unless what that needs is missing or does not belong to it. That is a fault only
    /// when the order does not have the status already.
    pub transition: Result<Option<Transition>, Faults>,
    /// Why.
    pub reason: Option<String>,
    /// A new address.
    pub shipping_address: Option<Address>,
    /// A new note, or none.
    pub note: Patch<String>,
    /// New metadata.
    pub metadata: Option<BTreeMap<String, String>>,
}

/// A change of an order, ready to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The order after it. Its history and tasks contain what is new.
    pub order: Order,
    /// What is new in the history.
    pub status_change: Option<StatusChange>,
    /// What is new to be done.
    pub task: Option<Task>,
}

impl Order {
    /// The order at its first version.
    ///
    /// # Errors
    /// 422 when the total is too large.
    #[expect(clippy::too_many_arguments, reason = "all of it is handed in, so that this stays pure")]
    pub fn place(
        id: OrderId,
        number: Number,
        user_id: UserId,
        by: UserId,
        new: NewOrder,
        items: Vec<Item>,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<Self, Error> {
        let Some(currency) = items.first().map(|item| item.unit_price.currency()) else {
            return Err(Error::internal("an order without items"));
        };
        let order = Self {
            id,
            number,
            user_id,
            status: Status::Placed,
            items,
            currency,
            shipping_address: new.shipping_address,
            note: new.note,
            metadata: new.metadata,
            payment: Payment::default(),
            tracking: None,
            history: vec![StatusChange {
                at: now,
                from: None,
                to: Status::Placed,
                by: Some(by),
                reason: None,
            }],
            tasks: Vec::new(),
            expires_at: Some(expires_at),
            version: 1,
            created_at: now,
            updated_at: now,
        };
        if order.total() > MAX_TOTAL {
            let mut faults = Faults::default();
            faults.add("/items", format!("must cost at most {MAX_TOTAL} in all, and cost {}", order.total()));
            return Err(faults.into_error());
        }
        Ok(order)
    }

    /// Minor units: at most 100 lines of 10^16, far from overflow.
    pub fn total(&self) -> i64 {
        self.items.iter().map(Item::total).sum()
    }

    /// Whether it was ever paid.
    pub fn was_paid(&self) -> bool {
        self.payment.reference.is_some()
    }

    /// What this caller is to the order.
    pub fn actor(caller: Caller) -> Actor {
        match caller {
            Caller::System => Actor::System,
            caller if caller.is_staff() => Actor::Staff,
            Caller::User { .. } | Caller::Anyone => Actor::Owner,
        }
    }

    /// Decides about a change. `None`: there is nothing to change.
    ///
    /// # Errors
    /// 422 for what a transition needs and is missing, 403 for what only staff may do, 409 for what the
    /// status does not allow.
    pub fn decide(
        self,
        change: OrderChange,
        caller: Caller,
        now: Timestamp,
    ) -> Result<Option<Decision>, Error> {
        // The status it has already: nothing changes, and what came with it is ignored.
        if change.status == Some(self.status) {
            return Ok(None);
        }
        let transition = change.transition.map_err(Faults::into_error)?;
        let actor = Self::actor(caller);
        if actor == Actor::Owner && change.metadata.is_some() {
            return Err(Error::forbidden("Only staff may change metadata."));
        }
        if let Some(to) = change.status {
            self.check_transition(to, actor)?;
        }
        self.check_editable(change.shipping_address.is_some(), change.note.is_present(), actor)?;

        let before = self.clone();
        let mut after = self;
        if let Some(address) = change.shipping_address {
            after.shipping_address = address;
        }
        after.note = change.note.apply(after.note);
        if let Some(metadata) = change.metadata {
            after.metadata = metadata;
        }
        let task = transition.and_then(|transition| after.walk(transition));
        if after == before {
            return Ok(None);
        }
        after.version += 1;
        after.updated_at = now;
        let status_change = change.status.map(|to| StatusChange {
            at: now,
            from: Some(before.status),
            to,
            by: caller.user_id(),
            reason: change.reason,
        });
        after.history.extend(status_change.clone());
        let task = task.map(|kind| Task { revision: after.version, kind });
        after.tasks.extend(task);
        Ok(Some(Decision { order: after, status_change, task }))
    }

    /// Takes the order to the next status, which has been checked, and says what follows for the stock.
    fn walk(&mut self, transition: Transition) -> Option<TaskKind> {
        self.status = transition.to();
        self.expires_at = None;
        match transition {
            Transition::Pay { reference, method } => {
                self.payment.reference = Some(reference);
                self.payment.method = method;
                None
            }
            Transition::Cancel => Some(TaskKind::Release),
            Transition::Ship(tracking) => {
                self.tracking = Some(tracking);
                Some(TaskKind::Ship)
            }
            Transition::Deliver => None,
            Transition::Return { restock } => restock.then_some(TaskKind::Restock),
            Transition::Refund { reference } => {
                self.payment.refund_reference = Some(reference);
                None
            }
        }
    }

    fn check_transition(&self, to: Status, actor: Actor) -> Result<(), Error> {
        let from = self.status;
        match from.check(to, self.was_paid(), actor) {
            Ok(()) => Ok(()),
            Err(Refused::StaffOnly) => Err(Error::forbidden(format!(
                "Only staff may change an order from {} to {}.",
                from.name(),
                to.name()
            ))),
            Err(Refused::Impossible(allowed)) => {
                let allowed: Vec<_> = allowed.into_iter().map(Status::name).collect();
                let can = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") };
                let detail = format!(
                    "The order is {}, and cannot become {}; allowed from here: {can}.",
                    from.name(),
                    to.name()
                );
                Err(Error::new(Kind::InvalidTransition, detail)
                    .with("from", json!(from.name()))
                    .with("to", json!(to.name()))
                    .with("allowed", json!(allowed)))
            }
        }
    }

    fn check_editable(&self, address: bool, note: bool, actor: Actor) -> Result<(), Error> {
        let placed = self.status == Status::Placed;
        let (address_may, note_may) = match actor {
            Actor::Owner => (placed, placed),
            Actor::Staff | Actor::System => (placed || self.status == Status::Paid, true),
        };
        let refuse = |what: &str| {
            Err(Error::new(
                Kind::OrderNotEditable,
                format!("The {what} can no longer be changed: the order is {}.", self.status.name()),
            ))
        };
        if address && !address_may {
            refuse("shipping address")
        } else if note && !note_may {
            refuse("note")
        } else {
            Ok(())
        }
    }
}

impl Transition {
    /// The status that it leads to.
    pub fn to(&self) -> Status {
        match self {
            Self::Pay { .. } => Status::Paid,
            Self::Cancel => Status::Cancelled,
            Self::Ship(_) => Status::Shipped,
            Self::Deliver => Status::Delivered,
            Self::Return { .. } => Status::Returned,
            Self::Refund { .. } => Status::Refunded,
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::auth::Role;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn item(amount: i64, quantity: i64) -> Item {
        let currency = Currency::parse("EUR".to_owned()).unwrap();
        Item {
            product_id: ProductId::new(),
            sku: "MUG".to_owned(),
            name: "Mug".to_owned(),
            unit_price: Money::new(amount, currency).unwrap(),
            quantity,
        }
    }

    fn new_order() -> NewOrder {
        let line = "1 Way".to_owned();
        NewOrder {
            lines: Vec::new(),
            shipping_address: Address {
                line1: line,
                line2: None,
                city: "Bonn".to_owned(),
                region: None,
                postal_code: None,
                country: "DE".to_owned(),
            },
            note: None,
            user_id: None,
            metadata: BTreeMap::new(),
        }
    }

    fn place(items: Vec<Item>) -> Result<Order, Error> {
        let user = UserId::new();
        let later = Timestamp::from_millis(NOW.millis() + 1);
        Order::place(OrderId::new(), Number::from_bits(7), user, user, new_order(), items, NOW, later)
    }

    fn by(role: Role) -> Caller {
        Caller::User { id: UserId::new(), role }
    }

    fn no_change() -> OrderChange {
        OrderChange {
            status: None,
            transition: Ok(None),
            reason: None,
            shipping_address: None,
            note: Patch::Absent,
            metadata: None,
        }
    }

    fn to(transition: Transition) -> OrderChange {
        OrderChange { status: Some(transition.to()), transition: Ok(Some(transition)), ..no_change() }
    }

    fn pay() -> Transition {
        Transition::Pay { reference: "pi_1".to_owned(), method: None }
    }

    fn ship() -> Transition {
        Transition::Ship(Tracking { carrier: "DHL".to_owned(), number: "1".to_owned() })
    }

    #[test]
    fn each_decision_makes_one_version_and_names_its_task() {
        let order = place(vec![item(500, 2)]).unwrap();
        assert_eq!(order.total(), 1000);
        let paid = order.decide(to(pay()), by(Role::Staff), NOW).unwrap().unwrap();
        assert_eq!((paid.order.version, paid.task, paid.order.expires_at), (2, None, None));
        let shipped = paid.order.decide(to(ship()), by(Role::Staff), NOW).unwrap().unwrap();
        assert_eq!(shipped.task, Some(Task { revision: 3, kind: TaskKind::Ship }));
        assert_eq!(shipped.order.history.len(), 3);
    }

    #[test]
    fn the_status_it_has_already_changes_nothing_and_ignores_what_came_with_it() {
        let order = place(vec![item(500, 2)]).unwrap();
        let paid = order.decide(to(pay()), by(Role::Staff), NOW).unwrap().unwrap().order;
        let mut faults = Faults::default();
        faults.add("/payment", "is required");
        let again = OrderChange {
            status: Some(Status::Paid),
            transition: Err(faults),
            note: Patch::Value("x".to_owned()),
            ..no_change()
        };
        assert_eq!(paid.decide(again, by(Role::Customer), NOW).unwrap(), None);
    }

    #[test]
    fn a_shipped_order_cannot_be_cancelled() {
        let order = place(vec![item(500, 2)]).unwrap();
        let paid = order.decide(to(pay()), by(Role::Staff), NOW).unwrap().unwrap().order;
        let shipped = paid.decide(to(ship()), by(Role::Staff), NOW).unwrap().unwrap().order;
        let error = shipped.decide(to(Transition::Cancel), by(Role::Staff), NOW).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidTransition);
        assert_eq!(error.member("allowed"), Some(&json!(["delivered"])));
    }

    #[test]
    fn an_owner_edits_while_placed_and_staff_longer() {
        let order = place(vec![item(500, 2)]).unwrap();
        let note = || OrderChange { note: Patch::Value("ring twice".to_owned()), ..no_change() };
        let address = || OrderChange { shipping_address: Some(new_order().shipping_address), ..no_change() };
        assert!(order.clone().decide(note(), by(Role::Customer), NOW).unwrap().is_some());
        let paid = order.decide(to(pay()), by(Role::Staff), NOW).unwrap().unwrap().order;
        let refused = paid.clone().decide(note(), by(Role::Customer), NOW).unwrap_err();
        assert_eq!(refused.kind(), Kind::OrderNotEditable);
        assert!(paid.clone().decide(note(), by(Role::Staff), NOW).unwrap().is_some());
        assert!(paid.clone().decide(address(), by(Role::Staff), NOW).is_ok());
        let shipped = paid.decide(to(ship()), by(Role::Staff), NOW).unwrap().unwrap().order;
        assert_eq!(
            shipped.decide(address(), by(Role::Staff), NOW).unwrap_err().kind(),
            Kind::OrderNotEditable
        );
    }

    #[test]
    fn a_total_ends_at_ten_to_the_fifteenth() {
        assert!(place(vec![item(1_000_000_000_000, 1000)]).is_ok());
        let error = place(vec![item(1_000_000_000_000, 1000), item(1, 1)]).unwrap_err();
        assert_eq!(error.faults()[0].pointer, "/items");
        assert!(place(vec![item(1_000_000_000_000, 10_000); 100]).is_err());
    }
}
