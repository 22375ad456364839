//! What is decided about an order: who may change what, and what follows from it.

use std::collections::BTreeMap;

use serde_json::json;
use shared::auth::Caller;
use shared::error::{Error, Kind};
use shared::input::validation::{Patch, ValidationErrors};
use shared::values::address::Address;
use shared::values::clock::Timestamp;

use super::{NewItem, Order, StatusChange, Task, TaskKind, Tracking};
use crate::status::{Actor, Refused, Status};

/// Why an unpaid order was cancelled.
const PAYMENT_TIMEOUT: &str = "payment-timeout";

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
    pub transition: Result<Option<Transition>, ValidationErrors>,
    /// Why.
    pub reason: Option<String>,
    /// A new address.
    pub shipping_address: Option<Address>,
    /// A new note, or none.
    pub note: Patch<String>,
    /// New metadata.
    pub metadata: Option<BTreeMap<String, String>>,
    /// New items, all of them: distinct products.
    pub items: Option<Vec<NewItem>>,
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
    /// What this caller is to the order.
    pub fn actor(caller: Caller) -> Actor {
        match caller {
            Caller::System => Actor::System,
            caller if caller.is_staff() => Actor::Staff,
            Caller::User { .. } | Caller::Anonymous => Actor::Owner,
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
        let transition = change.transition.map_err(ValidationErrors::into_error)?;
        let before = self.clone();
        let mut after = self;
        after.edit(change.shipping_address, change.note, change.metadata);
        let task = transition.and_then(|transition| after.apply(transition));
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
        Ok(Some(after.into_decision(status_change, task, now)))
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
        let task = after.apply(Transition::Cancel);
        Some(after.into_decision(Some(change), task, now))
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
        if let Err(errors) = &change.transition {
            return Err(errors.clone().into_error());
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
    pub(super) fn check_allowed(&self, change: &OrderChange, caller: Caller) -> Result<(), Error> {
        self.check_permitted(change, caller)?;
        let actor = Self::actor(caller);
        if let Some(to) = change.status {
            self.check_transition(to, actor)?;
        }
        self.check_editable(change, actor)
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

    /// What may be changed beside items and status.
    pub(super) fn edit(
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

    /// Takes the order to the next status, which has been checked, and says what follows for the stock.
    fn apply(&mut self, transition: Transition) -> Option<TaskKind> {
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

    /// What every decision does: the next version, an entry in the history, a task. It ends a change of items
    /// that was going on; what that may have held beyond the order's items is let go.
    pub(super) fn into_decision(
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
