//! Decisions about an order: permissions, transitions, and their consequences for the stock.

use std::collections::BTreeMap;

use serde_json::json;
use shared::auth::Caller;
use shared::error::{Error, Kind};
use shared::input::validation::{Patch, ValidationErrors};
use shared::values::address::Address;
use shared::values::clock::Timestamp;

use super::{NewItem, Order, StatusChange, Task, TaskKind, Tracking};
use crate::limits::ExpiresAt;
use crate::status::{Actor, Refused, Status};

/// Reason in the history for the cancellation of an unpaid order.
const PAYMENT_TIMEOUT: &str = "payment-timeout";

/// Transition to another status, with its details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transition {
    /// To paid.
    Pay {
        /// Payment reference at the payment provider.
        reference: String,
        /// Payment method.
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
        /// True if the units can be sold again.
        restock: bool,
    },
    /// To refunded.
    Refund {
        /// Refund reference at the payment provider.
        reference: String,
    },
}

/// Requested change of an order.
#[derive(Clone, Debug)]
pub struct OrderChange {
    /// Requested status.
    pub status: Option<Status>,
    /// Transition to the requested status, or the errors in its details. The errors count only if the order
    /// does not have the status already.
    pub transition: Result<Option<Transition>, ValidationErrors>,
    /// Reason for the change of status.
    pub reason: Option<String>,
    /// New shipping address.
    pub shipping_address: Option<Address>,
    /// New note, or none.
    pub note: Patch<String>,
    /// New metadata.
    pub metadata: Option<BTreeMap<String, String>>,
    /// New payment deadline, or none.
    pub expires_at: Patch<Timestamp>,
    /// New items, all of them: distinct products.
    pub items: Option<Vec<NewItem>>,
}

/// Change of an order, ready to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Order after the change, new history and tasks included.
    pub order: Order,
    /// New entry of the history.
    pub status_change: Option<StatusChange>,
    /// New stock task.
    pub task: Option<Task>,
}

impl Decision {
    /// True if it cancels an order that was not paid in time.
    pub fn is_expiry(&self) -> bool {
        let reason = |change: &StatusChange| change.reason.as_deref() == Some(PAYMENT_TIMEOUT);
        self.status_change.as_ref().is_some_and(|change| change.by.is_none() && reason(change))
    }
}

impl Order {
    /// Role of the caller towards the order.
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
    /// 422 for missing details of a transition, 403 for a change that only staff may make. 409 for a change
    /// that the status does not allow.
    pub fn decide(
        self,
        change: OrderChange,
        caller: Caller,
        now: Timestamp,
    ) -> Result<Option<Decision>, Error> {
        // The order has the status already: nothing changes, and the other fields are ignored.
        if change.status == Some(self.status) {
            return Ok(None);
        }
        self.check_allowed(&change, caller, now)?;
        let transition = change.transition.map_err(ValidationErrors::into_error)?;
        let before = self.clone();
        let mut after = self;
        after.edit(change.shipping_address, change.note, change.metadata, change.expires_at);
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

    /// Cancels an order that was not paid in time. `None`: it is not placed, or its payment deadline has not
    /// passed.
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

    /// Checks that this caller may ask for this change. [`Order::decide`] checks that the order's status
    /// allows it. They are apart, since a version conflict must be reported between the two.
    ///
    /// # Errors
    /// 422 for missing details of a transition, 403 for a change that only staff may make.
    pub fn check_permitted(&self, change: &OrderChange, caller: Caller) -> Result<(), Error> {
        // The order has the status already: the other fields are ignored.
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
        if actor == Actor::Owner && change.expires_at.is_present() {
            return Err(Error::forbidden("Only staff may change `expires_at`."));
        }
        match change.status {
            Some(to) if self.status.check(to, self.was_paid(), actor) == Err(Refused::StaffOnly) => {
                let (from, to) = (self.status.name(), to.name());
                Err(Error::forbidden(format!("Only staff may change `status` from {from} to {to}.")))
            }
            _ => Ok(()),
        }
    }

    /// Checks that this caller may make this change in the order's current state.
    pub(super) fn check_allowed(
        &self,
        change: &OrderChange,
        caller: Caller,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.check_permitted(change, caller)?;
        let actor = Self::actor(caller);
        if let Some(to) = change.status {
            self.check_transition(to, actor)?;
        }
        self.check_editable(change, actor)?;
        check_expiry(change.expires_at, now)
    }

    fn check_transition(&self, to: Status, actor: Actor) -> Result<(), Error> {
        let from = self.status;
        match from.check(to, self.was_paid(), actor) {
            // `check_permitted` has refused these already.
            Ok(()) | Err(Refused::StaffOnly) => Ok(()),
            Err(Refused::Impossible(allowed)) => {
                let allowed: Vec<_> = allowed.into_iter().map(Status::name).collect();
                let (from, to) = (from.name(), to.name());
                let may = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
                let detail = format!("Cannot change status from {from} to {to}. Allowed: {may}.");
                Err(Error::new(Kind::InvalidTransition, detail)
                    .with("from", json!(from))
                    .with("to", json!(to))
                    .with("allowed", json!(allowed)))
            }
        }
    }

    fn check_editable(&self, change: &OrderChange, actor: Actor) -> Result<(), Error> {
        let (placed, unsent): (&[Status], &[Status]) = (&[Status::Placed], &[Status::Placed, Status::Paid]);
        let address_may = if actor == Actor::Owner { placed } else { unsent };
        let may = |named: bool, field: &str, in_status: &[Status]| {
            if !named || in_status.contains(&self.status) {
                return Ok(());
            }
            let while_it_is: Vec<_> = in_status.iter().map(|status| status.name()).collect();
            let (while_it_is, is) = (while_it_is.join(" or "), self.status.name());
            let detail = format!("`{field}` can be changed while the order is {while_it_is}; it is {is}.");
            Err(Error::new(Kind::OrderNotEditable, detail))
        };
        may(change.shipping_address.is_some(), "shipping_address", address_may)?;
        may(change.items.is_some(), "items", placed)?;
        may(change.expires_at.is_present(), "expires_at", placed)?;
        // Staff may change it always.
        may(change.note.is_present() && actor == Actor::Owner, "note", placed)
    }

    /// Applies changes of address, note, metadata and payment deadline.
    pub(super) fn edit(
        &mut self,
        address: Option<Address>,
        note: Patch<String>,
        metadata: Option<BTreeMap<String, String>>,
        expires_at: Patch<Timestamp>,
    ) {
        if let Some(address) = address {
            self.shipping_address = address;
        }
        self.note = note.apply(self.note.take());
        if let Some(metadata) = metadata {
            self.metadata = metadata;
        }
        self.expires_at = expires_at.apply(self.expires_at);
    }

    /// Moves the order to the next status, which has been checked. Returns the stock task that follows.
    fn apply(&mut self, transition: Transition) -> Option<TaskKind> {
        self.status = transition.to();
        self.expires_at = None;
        self.open_slot = None;
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

    /// Completes every decision: next version, history entry, stock task. It ends a running change of items;
    /// a hold task then releases any stock beyond the order's items.
    pub(super) fn into_decision(
        mut self,
        status_change: Option<StatusChange>,
        task: Option<TaskKind>,
        now: Timestamp,
    ) -> Decision {
        let task = task.or(self.changing.then_some(TaskKind::Hold));
        self.changing = false;
        self.version = self.version.saturating_add(1);
        self.updated_at = now;
        self.history.extend(status_change.clone());
        let task = task.map(|kind| Task { revision: self.version, kind });
        self.tasks.extend(task);
        Decision { order: self, status_change, task }
    }
}

/// Checks a payment deadline that staff chose.
///
/// # Errors
/// 422 for one that has passed or is too far ahead.
pub fn check_expiry(expires_at: Patch<Timestamp>, now: Timestamp) -> Result<(), Error> {
    let Patch::Value(at) = expires_at else { return Ok(()) };
    let mut errors = ValidationErrors::default();
    errors.optional("/expires_at", Some(at), |at| ExpiresAt::check(at, now));
    errors.check()
}

impl OrderChange {
    /// True if it moves stock while the order is unpaid: it names items, or cancels.
    pub fn moves_stock(&self) -> bool {
        self.items.is_some() || self.status == Some(Status::Cancelled)
    }
}

impl Transition {
    /// Target status.
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
