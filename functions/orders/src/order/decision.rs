//! Decisions about an order: permissions, transitions, and their consequences for the stock.

use std::collections::BTreeMap;

use shared::auth::Caller;
use shared::error::{Error, Kind};
use shared::input::validation::{Patch, ValidationErrors};
use shared::values::address::Address;
use shared::values::clock::Timestamp;

use super::parts::StockSnapshot;
use super::rules::invalid_transition;
use super::{
    Change, HistoryEntry, NewItem, Order, Payment, Refund, Shipping, Task, TaskKind, Tracking,
    check_amounts_permitted,
};
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

/// Details of a transition that a request names, whichever status they belong to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// Reference of a payment.
    pub reference: Option<String>,
    /// Method of a payment.
    pub method: Option<String>,
    /// Reference of a refund.
    pub refund_reference: Option<String>,
    /// Carrier of the parcel.
    pub carrier: Option<String>,
    /// Tracking number at the carrier.
    pub tracking_number: Option<String>,
    /// Address at which the parcel can be followed.
    pub tracking_url: Option<String>,
}

/// Requested change of an order.
#[derive(Clone, Debug)]
pub struct OrderChange {
    /// Requested status.
    pub status: Option<Status>,
    /// Transition to the requested status, or the errors in its details. The errors count only if the order
    /// does not have the status already.
    pub transition: Result<Option<Transition>, ValidationErrors>,
    /// Details of a transition as they were sent. They count only if the order has the status already.
    pub details: Details,
    /// Reason for the change of status.
    pub reason: Option<String>,
    /// New shipping address.
    pub shipping_address: Option<Address>,
    /// New billing address, or none.
    pub billing_address: Patch<Address>,
    /// New shipping, or none; beside new items.
    pub shipping: Patch<Shipping>,
    /// New note, or none.
    pub note: Patch<String>,
    /// New note for staff alone, or none.
    pub internal_note: Patch<String>,
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
    /// New entries of the history, oldest first.
    pub entries: Vec<HistoryEntry>,
    /// New stock task.
    pub task: Option<Task>,
}

impl Decision {
    /// True if it cancels an order that was not paid in time.
    pub fn is_expiry(&self) -> bool {
        self.entries.iter().any(|entry| {
            entry.to() == Some(Status::Cancelled)
                && entry.by.is_none()
                && entry.reason.as_deref() == Some(PAYMENT_TIMEOUT)
        })
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
    /// that the status does not allow, and for other details of the status that it has.
    pub fn decide(
        self,
        change: OrderChange,
        caller: Caller,
        now: Timestamp,
    ) -> Result<Option<Decision>, Error> {
        // The order has the status already: nothing changes, and the other fields are ignored.
        if change.status.is_some_and(|status| self.has_reached(status)) {
            self.check_same_details(&change.details)?;
            return Ok(None);
        }
        self.check_allowed(&change, caller, now)?;
        let before = self.clone();
        let mut after = self;
        after.edit(&change);
        let transition = change.transition.map_err(ValidationErrors::into_error)?;
        let mut entries = Vec::new();
        if let Some(transition) = transition {
            let to = transition.to();
            entries = after.record(transition, caller, now, change.reason.as_ref())?;
            after.end_waiting(to);
        }
        if after == before {
            return Ok(None);
        }
        entries.extend(change.status.map(|to| HistoryEntry {
            at: now,
            change: Change::Status { from: Some(before.status), to },
            by: caller.user_id(),
            reason: change.reason,
        }));
        Ok(Some(after.into_decision(&before.stock(), entries, now)))
    }

    /// Ends the wait for payment once the deadline has passed: makes the order `paid` if its payments suffice, else
    /// cancels it. `None`: it is not placed, or its payment deadline has not passed.
    pub fn expire(self, now: Timestamp) -> Option<Decision> {
        if self.status != Status::Placed || self.expires_at.is_none_or(|expires_at| now < expires_at) {
            return None;
        }
        // A build that knows no payments may have left it placed.
        let before = self.stock();
        if self.settled_status().is_some() {
            return Some(self.into_decision(&before, Vec::new(), now));
        }
        let entry = HistoryEntry {
            at: now,
            change: Change::Status { from: Some(self.status), to: Status::Cancelled },
            by: None,
            reason: Some(PAYMENT_TIMEOUT.to_owned()),
        };
        let mut after = self;
        after.end_waiting(Status::Cancelled);
        Some(after.into_decision(&before, vec![entry], now))
    }

    /// Checks that this caller may ask for this change. [`Order::decide`] checks that the order's status
    /// allows it. They are apart, since a version conflict must be reported between the two.
    ///
    /// # Errors
    /// 422 for missing details of a transition, 403 for a change that only staff may make.
    pub fn check_permitted(&self, change: &OrderChange, caller: Caller) -> Result<(), Error> {
        // The order has the status already: the other fields are ignored.
        if change.status.is_some_and(|status| self.has_reached(status)) {
            return Ok(());
        }
        if let Err(errors) = &change.transition {
            return Err(errors.clone().into_error());
        }
        let actor = Self::actor(caller);
        if actor == Actor::Owner {
            let only_staff = [
                ("metadata", change.metadata.is_some()),
                ("expires_at", change.expires_at.is_present()),
                ("billing_address", change.billing_address.is_present()),
                ("internal_note", change.internal_note.is_present()),
            ];
            if let Some((field, _)) = only_staff.iter().find(|(_, is_named)| *is_named) {
                return Err(Error::forbidden(format!("Only staff may change `{field}`.")));
            }
            let items = change.items.as_deref().unwrap_or_default();
            check_amounts_permitted(items, change.shipping.is_present())?;
        }
        match change.status {
            Some(to) if self.status.check(to, self.facts(), actor) == Err(Refused::StaffOnly) => {
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

    /// True if the order has this status, or had it in the write that then settled it.
    fn has_reached(&self, status: Status) -> bool {
        let settled_from = || {
            let [.., reached, last] = &self.history[..] else { return false };
            let is_settled =
                last.by.is_none() && last.from() == Some(status) && last.to() == Some(self.status);
            is_settled && reached.to() == Some(status) && reached.at == last.at
        };
        self.status == status || settled_from()
    }

    /// Checks that the details beside the status that the order has already are those that it has.
    fn check_same_details(&self, details: &Details) -> Result<(), Error> {
        let same =
            |named: &Option<String>, stored: Option<&String>| named.is_none() || named.as_ref() == stored;
        let paid_so = |payment: &Payment| {
            same(&details.reference, Some(&payment.reference))
                && same(&details.method, payment.method.as_ref())
        };
        let names_payment = details.reference.is_some() || details.method.is_some();
        let refunded_so = |refund: &Refund| same(&details.refund_reference, refund.reference.as_ref());
        let names_refund = details.refund_reference.is_some();
        let tracking = self.tracking();
        let instead = if names_payment && !self.payments.iter().any(paid_so) {
            "Record another payment with POST /orders/{id}/payments."
        } else if names_refund && !self.refunds.iter().any(refunded_so) {
            "Record a refund with POST /orders/{id}/refunds, or give one its reference with \
             PUT /orders/{id}/refunds/{refund_id}."
        } else if !same(&details.carrier, tracking.map(|tracking| &tracking.carrier))
            || !same(&details.tracking_number, tracking.map(|tracking| &tracking.number))
            || !same(&details.tracking_url, tracking.and_then(|tracking| tracking.url.as_ref()))
        {
            "Correct its `tracking` with PUT /orders/{id}/fulfillments/{fulfillment_id}."
        } else {
            return Ok(());
        };
        let status = self.status.name();
        let detail = format!("The order is {status} already. {instead}");
        Err(invalid_transition(detail, status, status, &[]))
    }

    fn check_transition(&self, to: Status, actor: Actor) -> Result<(), Error> {
        let from = self.status;
        match from.check(to, self.facts(), actor) {
            // `check_permitted` has refused these already.
            Ok(()) | Err(Refused::StaffOnly) => Ok(()),
            Err(Refused::Impossible(allowed)) => {
                let allowed: Vec<_> = allowed.into_iter().map(Status::name).collect();
                let instead = match (from, to) {
                    (Status::Paid, Status::Cancelled) => {
                        " Cancel the units that are left with POST /orders/{id}/cancellations."
                    }
                    _ => "",
                };
                let (from, to) = (from.name(), to.name());
                let may = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
                let detail = format!("Cannot change status from {from} to {to}. Allowed: {may}.{instead}");
                Err(invalid_transition(detail, from, to, &allowed))
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
        if actor == Actor::Owner && change.items.is_some() && self.has_discounts_or_taxes() {
            let detail = "The shop has given discounts or taxes for the items; only it can change them now.";
            return Err(Error::new(Kind::OrderNotEditable, detail));
        }
        may(change.expires_at.is_present(), "expires_at", placed)?;
        // Staff may change it always.
        may(change.note.is_present() && actor == Actor::Owner, "note", placed)
    }

    /// Applies changes of addresses, notes, metadata and payment deadline.
    pub(super) fn edit(&mut self, change: &OrderChange) {
        if let Some(address) = &change.shipping_address {
            self.shipping_address = address.clone();
        }
        self.billing_address = change.billing_address.clone().apply(self.billing_address.take());
        self.note = change.note.clone().apply(self.note.take());
        self.internal_note = change.internal_note.clone().apply(self.internal_note.take());
        if let Some(metadata) = &change.metadata {
            self.metadata = metadata.clone();
        }
        self.expires_at = change.expires_at.apply(self.expires_at);
    }

    /// Records the payment, the refund or the part of a short form. Returns its entries of the history.
    fn record(
        &mut self,
        transition: Transition,
        caller: Caller,
        now: Timestamp,
        reason: Option<&String>,
    ) -> Result<Vec<HistoryEntry>, Error> {
        let by = caller.user_id();
        let entry = match transition {
            Transition::Pay { reference, method } => self.pay_what_is_due(reference, method, by, now)?,
            Transition::Refund { reference } => self.refund_what_is_left(reference, by, now)?,
            Transition::Ship(tracking) => self.ship_what_is_left(tracking, by, now)?,
            Transition::Return { restock } => self.return_all(restock, by, now, reason.cloned())?,
            Transition::Deliver => return Ok(self.deliver_all(by, now)),
            Transition::Cancel => return Ok(Vec::new()),
        };
        Ok(vec![entry])
    }

    /// Gives the order a status in which it does not wait for payment any more.
    pub(super) fn end_waiting(&mut self, to: Status) {
        self.status = to;
        self.expires_at = None;
        self.open_slot = None;
    }

    /// Gives the order the status that follows from its sums and parts. Returns the entries of the history for it.
    pub(super) fn settle(&mut self, now: Timestamp) -> Vec<HistoryEntry> {
        // A return may lead to `returned`, and that to `refunded`. No status leads back to an earlier one.
        let mut entries = Vec::new();
        while let Some(to) = self.settled_status().filter(|_| entries.len() < Status::ALL.len()) {
            let change = Change::Status { from: Some(self.status), to };
            self.end_waiting(to);
            entries.push(HistoryEntry { at: now, change, by: None, reason: None });
        }
        entries
    }

    /// Completes every decision: status that follows from sums and parts, next version, history, stock task. `before` is
    /// the stock before the decision. It ends a running change of items; the task then releases any stock beyond the
    /// order's units.
    pub(super) fn into_decision(
        mut self,
        before: &StockSnapshot,
        mut entries: Vec<HistoryEntry>,
        now: Timestamp,
    ) -> Decision {
        let was_changing = std::mem::take(&mut self.changing);
        self.version = self.version.saturating_add(1);
        self.updated_at = now;
        // `is_cancelled` reads the history, so it comes first.
        self.history.extend(entries.iter().cloned());
        let settled = self.settle(now);
        self.history.extend(settled.iter().cloned());
        entries.extend(settled);
        let stock = self.stock();
        let task = (was_changing || stock != *before).then(|| self.stock_task(before, &stock));
        self.tasks.extend(task.clone());
        Decision { order: self, entries, task }
    }

    /// Task that declares the stock of this version.
    fn stock_task(&self, before: &StockSnapshot, after: &StockSnapshot) -> Task {
        let revision = self.version;
        // A build that knows no parts would hold all units again, so the task has a kind that it cannot run.
        if self.has_parts() {
            return Task { revision, kind: TaskKind::Move, before: before.counts.clone() };
        }
        Task::new(revision, if after.held.is_empty() { TaskKind::Release } else { TaskKind::Hold })
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

impl Default for OrderChange {
    /// Changes nothing.
    fn default() -> Self {
        Self {
            status: None,
            transition: Ok(None),
            details: Details::default(),
            reason: None,
            shipping_address: None,
            billing_address: Patch::Absent,
            shipping: Patch::Absent,
            note: Patch::Absent,
            internal_note: Patch::Absent,
            metadata: None,
            expires_at: Patch::Absent,
            items: None,
        }
    }
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
