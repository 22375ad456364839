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
use shared::idempotency::Keyed;
use shared::ids::{OrderId, ProductId, UserId};
use shared::money::{Currency, Money};

use crate::number::Number;
use crate::status::{Actor, Refused, Status};

/// Why an unpaid order was cancelled.
const PAYMENT_TIMEOUT: &str = "payment-timeout";

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
    pub placed_under: Option<PlacedUnder>,
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
pub struct PlacedUnder {
    /// Keys of different callers never meet.
    pub caller: UserId,
    /// The key, and what the request asked for.
    pub keyed: Keyed,
}

/// A product of which stock is held, as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// The line that it would be.
    pub item: Item,
    /// Whether it can be ordered.
    pub active: bool,
}

/// A line: a product as it was when it came into the order.
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
    /// Hold its items, and nothing else.
    Hold,
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
    /// New items, all of them: distinct products.
    pub items: Option<Vec<NewLine>>,
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

/// What an order is placed with, beside what was asked for.
#[derive(Clone, Debug)]
pub struct Placing {
    /// Which order it will be.
    pub id: OrderId,
    /// What people will call it.
    pub number: Number,
    /// Whose it will be.
    pub user_id: UserId,
    /// Who places it.
    pub by: UserId,
    /// The key of the request.
    pub under: Option<PlacedUnder>,
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
    pub fn place(placing: Placing, new: NewOrder, items: Vec<Item>) -> Result<Self, Error> {
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
        let mut faults = Faults::default();
        faults.add("/items", format!("must cost at most {MAX_TOTAL} in all, and cost {total}"));
        Err(faults.into_error())
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
        self.check_allowed(&change, caller)?;
        let transition = change.transition.map_err(Faults::into_error)?;
        let before = self.clone();
        let mut after = self;
        after.edit(change.shipping_address, change.note, change.metadata);
        let task = transition.and_then(|transition| after.walk(transition));
        if after == before {
            return Ok(None);
        }
        let status_change = change.status.map(|to| StatusChange {
            at: now,
            from: Some(before.status),
            to,
            by: caller.user_id(),
            reason: change.reason,
        });
        Ok(Some(after.decided(status_change, task, now)))
    }

    /// What may be changed beside items and status.
    fn edit(
        &mut self,
        address: Option<Address>,
        note: Patch<String>,
        metadata: Option<BTreeMap<String, String>>,
    ) {
        if let Some(address) = address {
            self.shipping_address = address;
        }
        self.note = note.apply(self.note.take());
        if let Some(metadata) = metadata {
            self.metadata = metadata;
        }
    }

    /// What every decision does: the next version, an entry in the history, a task. It ends a change of items
    /// that was going on; what that may have held beyond the order's items is let go.
    fn decided(
        mut self,
        status_change: Option<StatusChange>,
        task: Option<TaskKind>,
        now: Timestamp,
    ) -> Decision {
        let task = task.or(self.changing.then_some(TaskKind::Hold));
        self.changing = false;
        self.version += 1;
        self.updated_at = now;
        self.history.extend(status_change.clone());
        let task = task.map(|kind| Task { revision: self.version, kind });
        self.tasks.extend(task);
        Decision { order: self, status_change, task }
    }

    /// Whether this caller may ask for this change. Whether the order takes it is another question, which
    /// [`Order::decide`] answers: whoever has not seen this version must first be told so.
    ///
    /// # Errors
    /// 422 for what a transition needs and is missing, 403 for what only staff may do.
    pub fn check_permitted(&self, change: &OrderChange, caller: Caller) -> Result<(), Error> {
        // The status it has already: what came with it is ignored.
        if change.status == Some(self.status) {
            return Ok(());
        }
        if let Err(faults) = &change.transition {
            return Err(faults.clone().into_error());
        }
        let actor = Self::actor(caller);
        if actor == Actor::Owner && change.metadata.is_some() {
            return Err(Error::forbidden("Only staff may change `metadata`."));
        }
        match change.status {
            Some(to) if self.status.check(to, self.was_paid(), actor) == Err(Refused::StaffOnly) => {
                let (from, to) = (self.status.name(), to.name());
                Err(Error::forbidden(format!("Only staff may change `status` from {from} to {to}.")))
            }
            _ => Ok(()),
        }
    }

    /// Whether this caller may change this, as the order stands.
    fn check_allowed(&self, change: &OrderChange, caller: Caller) -> Result<(), Error> {
        self.check_permitted(change, caller)?;
        let actor = Self::actor(caller);
        if let Some(to) = change.status {
            self.check_transition(to, actor)?;
        }
        self.check_editable(change, actor)
    }

    /// The first step of a change of items: says that new items are about to be held, under the version that
    /// it makes. `None`: the items are what the order has already.
    ///
    /// # Errors
    /// As [`Order::decide`].
    pub fn intend(
        self,
        change: &OrderChange,
        caller: Caller,
        now: Timestamp,
    ) -> Result<Option<Decision>, Error> {
        let Some(lines) = &change.items else { return Ok(None) };
        self.check_allowed(change, caller)?;
        let has = |line: &NewLine, item: &Item| {
            line.product_id == item.product_id && line.quantity == item.quantity
        };
        if lines.len() == self.items.len()
            && lines.iter().zip(&self.items).all(|(line, item)| has(line, item))
        {
            return Ok(None);
        }
        let intent = Self { changing: true, version: self.version + 1, updated_at: now, ..self };
        Ok(Some(Decision { order: intent, status_change: None, task: None }))
    }

    /// What is held while items change: of each product the larger of what the order has and what it is to
    /// have, so that it never lets go of what it still has. The new lines come first, in their order.
    pub fn larger_of_both(&self, new: &[NewLine]) -> Vec<NewLine> {
        let has = |product| self.items.iter().find(|item| item.product_id == product);
        let named = |item: &&Item| !new.iter().any(|line| line.product_id == item.product_id);
        let larger = new.iter().map(|line| NewLine {
            quantity: has(line.product_id).map_or(0, |item| item.quantity).max(line.quantity),
            ..*line
        });
        let left = self.items.iter().filter(named);
        larger
            .chain(left.map(|item| NewLine { product_id: item.product_id, quantity: item.quantity }))
            .collect()
    }

    /// The last step of a change of items, for the order at its intent: what is `held` becomes the order's.
    /// Products that it had keep name, SKU and price.
    ///
    /// # Errors
    /// 422 for a product that is not active or has another currency, and for a total that is too large: then
    /// the change is to be [abandoned](Order::abandon).
    pub fn finish(self, change: OrderChange, held: &[Held], now: Timestamp) -> Result<Decision, Error> {
        let mut faults = Faults::default();
        let mut items = Vec::new();
        for (place, line) in change.items.iter().flatten().enumerate() {
            let had = self.items.iter().find(|item| item.product_id == line.product_id);
            let held = held.iter().find(|held| held.item.product_id == line.product_id);
            let item = match (had, held) {
                (Some(item), _) => item.clone(),
                (None, Some(held)) => {
                    let pointer = format!("/items/{place}/product_id");
                    let currency = held.item.unit_price.currency();
                    if !held.active {
                        faults.add(
                            &pointer,
                            "is not the ID of a product that can be ordered: it is unknown, or not active",
                        );
                    } else if currency != self.currency {
                        let detail = format!(
                            "is priced in {currency:?}, and the order in {:?}; an order has one currency",
                            self.currency
                        );
                        faults.add(&pointer, detail);
                    }
                    held.item.clone()
                }
                (None, None) => return Err(Error::internal("a line was not held")),
            };
            items.push(Item { quantity: line.quantity, ..item });
        }
        faults.check()?;
        let mut after = self;
        after.items = items;
        after.edit(change.shipping_address, change.note, change.metadata);
        after.check_total()?;
        Ok(after.decided(None, None, now))
    }

    /// Ends a change of items without new ones.
    pub fn abandon(self, now: Timestamp) -> Decision {
        self.decided(None, None, now)
    }

    /// Cancels an order that nobody has paid in time. `None`: it is not one, or not yet.
    pub fn expire(self, now: Timestamp) -> Option<Decision> {
        if self.status != Status::Placed || self.expires_at.is_none_or(|expires_at| now < expires_at) {
            return None;
        }
        let change = StatusChange {
            at: now,
            from: Some(self.status),
            to: Status::Cancelled,
            by: None,
            reason: Some(PAYMENT_TIMEOUT.to_owned()),
        };
        let mut after = self;
        let task = after.walk(Transition::Cancel);
        Some(after.decided(Some(change), task, now))
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
            // Who may is asked before.
            Ok(()) | Err(Refused::StaffOnly) => Ok(()),
            Err(Refused::Impossible(allowed)) => {
                let allowed: Vec<_> = allowed.into_iter().map(Status::name).collect();
                let (from, to) = (from.name(), to.name());
                let may = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(" or ") };
                let detail = format!(
                    "`status` cannot become {to}: the order is {from}, from which {may} is allowed to you."
                );
                Err(Error::new(Kind::InvalidTransition, detail)
                    .with("from", json!(from))
                    .with("to", json!(to))
                    .with("allowed", json!(allowed)))
            }
        }
    }

    fn check_editable(&self, change: &OrderChange, actor: Actor) -> Result<(), Error> {
        let (placed, unsent): (&[Status], &[Status]) = (&[Status::Placed], &[Status::Placed, Status::Paid]);
        let (address_may, note_may) = match actor {
            Actor::Owner => (placed, placed),
            Actor::Staff | Actor::System => (unsent, &Status::ALL[..]),
        };
        let may = |named: bool, field: &str, in_status: &[Status]| {
            if !named || in_status.contains(&self.status) {
                return Ok(());
            }
            let while_it_is: Vec<_> = in_status.iter().map(|status| status.name()).collect();
            let (while_it_is, is) = (while_it_is.join(" or "), self.status.name());
            let detail =
                format!("You may change `{field}` while the order is {while_it_is}, and it is {is}.");
            Err(Error::new(Kind::OrderNotEditable, detail))
        };
        may(change.shipping_address.is_some(), "shipping_address", address_may)?;
        may(change.items.is_some(), "items", placed)?;
        may(change.note.is_present(), "note", note_may)
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
    const LATER: Timestamp = Timestamp::from_millis(1_800_000_000_001);

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
        let placing = Placing {
            id: OrderId::new(),
            number: Number::from_bits(7),
            user_id: user,
            by: user,
            under: None,
            at: NOW,
            expires_at: LATER,
        };
        Order::place(placing, new_order(), items)
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
            items: None,
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

    fn change_items(lines: Vec<NewLine>) -> OrderChange {
        OrderChange { items: Some(lines), ..no_change() }
    }

    fn line(item: &Item, quantity: i64) -> NewLine {
        NewLine { product_id: item.product_id, quantity }
    }

    fn held(item: &Item) -> Held {
        Held { item: item.clone(), active: true }
    }

    #[test]
    fn a_change_of_items_is_an_intent_and_then_a_decision_that_declares_them() {
        let (mug, pot, cup) = (item(500, 2), item(700, 5), item(100, 1));
        let order = place(vec![mug.clone(), pot.clone()]).unwrap();
        let lines = vec![line(&cup, 3), line(&pot, 4), line(&mug, 9)];
        let change = change_items(lines.clone());
        let intent = order.intend(&change, by(Role::Customer), NOW).unwrap().unwrap();
        assert_eq!((intent.order.version, intent.task, intent.order.total()), (2, None, 4500));
        let larger = intent.order.larger_of_both(&lines);
        assert_eq!(larger, [line(&cup, 3), line(&pot, 5), line(&mug, 9)]);
        // What the mug costs by now does not matter: the order has it already.
        let dearer = item(900, 0);
        let dearer = held(&Item { product_id: mug.product_id, ..dearer });
        let finished = intent.order.finish(change, &[held(&cup), held(&pot), dearer], NOW).unwrap();
        assert_eq!(finished.task, Some(Task { revision: 3, kind: TaskKind::Hold }));
        assert_eq!(finished.order.total(), 300 + 2800 + 4500);
        assert!(!finished.order.changing);
    }

    #[test]
    fn a_product_that_goes_is_held_until_the_decision() {
        let (mug, pot) = (item(500, 2), item(700, 5));
        let order = place(vec![mug.clone(), pot.clone()]).unwrap();
        assert_eq!(order.larger_of_both(&[line(&pot, 1)]), [line(&pot, 5), line(&mug, 2)]);
    }

    #[test]
    fn the_items_that_it_has_are_no_change() {
        let mug = item(500, 2);
        let order = place(vec![mug.clone()]).unwrap();
        assert_eq!(order.intend(&change_items(vec![line(&mug, 2)]), by(Role::Staff), NOW).unwrap(), None);
    }

    #[test]
    fn items_change_while_placed_and_no_longer() {
        let mug = item(500, 2);
        let order = place(vec![mug.clone()]).unwrap();
        let paid = order.decide(to(pay()), by(Role::Staff), NOW).unwrap().unwrap().order;
        let refused = paid.intend(&change_items(vec![line(&mug, 1)]), by(Role::Staff), NOW).unwrap_err();
        assert_eq!(refused.kind(), Kind::OrderNotEditable);
    }

    #[test]
    fn another_decision_ends_a_change_and_declares_what_it_leaves() {
        let mug = item(500, 2);
        let intent = |change: &OrderChange| {
            let order = place(vec![mug.clone()]).unwrap();
            order.intend(change, by(Role::Staff), NOW).unwrap().unwrap().order
        };
        let change = change_items(vec![line(&mug, 5)]);
        let hold = Some(Task { revision: 3, kind: TaskKind::Hold });
        let paid = intent(&change).decide(to(pay()), by(Role::Staff), NOW).unwrap().unwrap();
        assert_eq!((paid.task, paid.order.changing, paid.order.items[0].quantity), (hold, false, 2));
        assert_eq!(intent(&change).abandon(NOW).task, hold);
        let cancelled =
            intent(&change).decide(to(Transition::Cancel), by(Role::Staff), NOW).unwrap().unwrap();
        assert_eq!(cancelled.task, Some(Task { revision: 3, kind: TaskKind::Release }));
        // What changes nothing ends nothing either.
        assert_eq!(intent(&change).decide(no_change(), by(Role::Staff), NOW).unwrap(), None);
    }

    #[test]
    fn new_items_must_be_active_in_the_orders_currency_and_not_too_dear() {
        let mug = item(500, 2);
        let finish = |new: Item, active: bool, quantity: i64| {
            let order = place(vec![mug.clone()]).unwrap();
            let change = change_items(vec![line(&mug, 2), line(&new, quantity)]);
            let intent = order.intend(&change, by(Role::Staff), NOW).unwrap().unwrap().order;
            intent.finish(change, &[held(&mug), Held { item: new, active }], NOW)
        };
        assert!(finish(item(1, 1), true, 1).is_ok());
        let archived = finish(item(1, 1), false, 1).unwrap_err();
        assert_eq!(archived.faults()[0].pointer, "/items/1/product_id");
        let yen = Currency::parse("JPY".to_owned()).unwrap();
        let yen =
            finish(Item { unit_price: Money::new(1, yen).unwrap(), ..item(1, 1) }, true, 1).unwrap_err();
        assert_eq!(yen.faults()[0].pointer, "/items/1/product_id");
        let dear = finish(item(1_000_000_000_000, 1), true, 1000).unwrap_err();
        assert_eq!(dear.faults()[0].pointer, "/items");
    }

    #[test]
    fn an_unpaid_order_expires_at_its_time_and_a_paid_one_never() {
        let order = place(vec![item(500, 2)]).unwrap();
        assert_eq!(order.clone().expire(NOW), None);
        let expired = order.clone().expire(LATER).unwrap();
        assert_eq!(expired.task, Some(Task { revision: 2, kind: TaskKind::Release }));
        let change = expired.status_change.unwrap();
        assert_eq!(
            (change.to, change.by, change.reason.as_deref()),
            (Status::Cancelled, None, Some("payment-timeout"))
        );
        let paid = order.decide(to(pay()), by(Role::Staff), NOW).unwrap().unwrap().order;
        assert_eq!(paid.expire(LATER), None);
    }
}
