//! Returns of shipped units: pure decisions, each for one conditional write. A return is asked for, decided, and received
//! once. Units that came back can be put back on hand.

use std::time::Duration;

use shared::auth::Caller;
use shared::error::Error;
use shared::http::idempotency::RequestFingerprint;
use shared::input::validation::ValidationErrors;
use shared::values::clock::Timestamp;
use shared::values::ids::{ItemId, ReturnId, UserId};

use super::parts::{Room, exceeding, quantity_exceeded};
use super::rules::{self, Action, check_part, invalid_transition};
use super::{Change, Counters, Decision, HistoryEntry, Item, ItemQuantity, Order, Origin, Recording, Tally};
use crate::entry_id;
use crate::limits::MAX_RETURNS;
use crate::status::{Actor, Status};

shared::stored_names! {
    /// Status of a return.
    pub enum ReturnStatus ("ReturnStatus", "Status of a return.") {
        /// Asked for by the customer.
        Requested = "requested",
        /// Approved by the shop; the units are awaited.
        Approved = "approved",
        /// Rejected by the shop.
        Rejected = "rejected",
        /// Units have come back.
        Received = "received",
        /// Ended before units came back.
        Cancelled = "cancelled",
    }
    /// Status of a newer build, by its name. It allows no transition.
    Unknown
}

/// Units of items that come back together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Return {
    /// Return ID.
    pub id: ReturnId,
    /// Status of the return.
    pub status: ReturnStatus,
    /// Units of items.
    pub items: Vec<ReturnItem>,
    /// Reason for the return.
    pub reason: Option<String>,
    /// Time at which it was asked for.
    pub requested_at: Timestamp,
    /// Time at which it was approved or rejected.
    pub decided_at: Option<Timestamp>,
    /// Time at which units came back.
    pub received_at: Option<Timestamp>,
    /// User who asked for it; none for the system.
    pub by: Option<UserId>,
    /// Fingerprint of the request that had an idempotency key.
    pub request: Option<RequestFingerprint>,
}

/// Units of an item that come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnItem {
    /// Item ID.
    pub id: ItemId,
    /// Units that are to come back.
    pub quantity: i64,
    /// Reason for the return of the item.
    pub reason: Option<String>,
    /// Units that have come back.
    pub received: i64,
    /// Units that came back and were put back on hand.
    pub restocked: i64,
}

impl Return {
    /// Entry of the history for a change of it.
    fn entry(
        &self,
        from: Option<ReturnStatus>,
        by: Option<UserId>,
        at: Timestamp,
        reason: Option<String>,
    ) -> HistoryEntry {
        HistoryEntry { at, change: Change::Return { id: self.id, from, to: self.status }, by, reason }
    }
}

/// Request to return units.
#[derive(Clone, Debug)]
pub struct NewReturn {
    /// Units of distinct items.
    pub items: Vec<NewReturnItem>,
    /// Reason for the return.
    pub reason: Option<String>,
}

/// Units of an item to be returned.
#[derive(Clone, Debug)]
pub struct NewReturnItem {
    /// Item ID.
    pub id: ItemId,
    /// Units.
    pub quantity: i64,
    /// Reason for the return of the item.
    pub reason: Option<String>,
}

/// Requested change of a return.
#[derive(Clone, Debug)]
pub struct ReturnChange {
    /// New status.
    pub status: ReturnStatus,
    /// Units that came back, of distinct items; none for all of which nothing is put back on hand.
    pub items: Option<Vec<ReceivedItem>>,
    /// Reason for the change.
    pub reason: Option<String>,
}

/// Units of an item that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceivedItem {
    /// Item ID.
    pub id: ItemId,
    /// Units that came back.
    pub received: i64,
    /// Units that are put back on hand, at most as many.
    pub restocked: i64,
}

impl Order {
    /// Decides about a request to return units. The owner asks within `window` after the delivery; staff at any time,
    /// and their return is approved at once.
    ///
    /// # Errors
    /// 409 for a status that does not allow it, before the delivery and after the window, for more units than were
    /// shipped, and for too many returns. 422 for items that the order does not have, and for the key of another
    /// request.
    pub fn record_return(
        self,
        new: NewReturn,
        window: Duration,
        origin: Origin,
    ) -> Result<Recording<Return>, Error> {
        let (by, now) = (origin.caller.user_id(), origin.now);
        let id: ReturnId = entry_id::of_request(self.id, by, origin.key);
        if let Some(there) = self.returns.iter().find(|it| it.id == id) {
            origin.check_same(there.request)?;
            return Ok(Recording::SameKey(there.clone()));
        }
        self.check_action(Action::Return, origin.caller)?;
        let units = || new.items.iter().map(|item| ItemQuantity { id: item.id, quantity: item.quantity });
        let is_staff = Self::actor(origin.caller) == Actor::Staff;
        // Units of which nothing was delivered are refused to the owner by the window, however many there are.
        let left = |item: &Item, units: &Counters| {
            let is_early = !is_staff && self.delivered(self.item_id(item), |_| true) == 0;
            if is_early { i64::MAX } else { units.returnable() }
        };
        self.check_units(units(), left, Action::Return)?;
        let mut room = Room::for_parts(MAX_RETURNS);
        if !is_staff {
            self.check_window(units(), window, now)?;
            // However many a customer asks for and cancels, staff can still record what comes back.
            room = room.half();
        }
        let (status, decided_at) =
            if is_staff { (ReturnStatus::Approved, Some(now)) } else { (ReturnStatus::Requested, None) };
        let item = |item: NewReturnItem| {
            let NewReturnItem { id, quantity, reason } = item;
            ReturnItem { id, quantity, reason, received: 0, restocked: 0 }
        };
        let entry = Return {
            id,
            status,
            items: new.items.into_iter().map(item).collect(),
            reason: new.reason,
            requested_at: now,
            decided_at,
            received_at: None,
            by,
            request: origin.key.stored_fingerprint(),
        };
        let before = self.stock();
        let mut after = self;
        let of_history = entry.entry(None, by, now, entry.reason.clone());
        after.add_return(entry.clone(), room)?;
        Ok(Recording::New(Box::new(after.into_decision(&before, vec![of_history], now)), entry))
    }

    /// Decides about the status of a return. `None`: it has that status already.
    ///
    /// # Errors
    /// 404 for a return that the order does not have. 403 for a change that only staff may make. 409 for a status that
    /// cannot follow. 422 for received units that are not in the return.
    pub fn change_return(
        self,
        id: ReturnId,
        change: &ReturnChange,
        caller: Caller,
        now: Timestamp,
    ) -> Result<(Return, Option<Decision>), Error> {
        let place = self.returns.iter().position(|it| it.id == id);
        let Some((place, there)) = place.and_then(|place| Some((place, self.returns.get(place)?.clone())))
        else {
            return Err(Error::not_found("return"));
        };
        if there.status == change.status {
            there.check_same_receipt(change.items.as_deref())?;
            return Ok((there, None));
        }
        let transition = (there.status, change.status);
        check_part(rules::RETURNS, transition, ReturnStatus::name, "return", caller)?;
        let mut entry = Return { status: change.status, ..there.clone() };
        match change.status {
            ReturnStatus::Rejected if change.reason.is_none() => {
                let mut errors = ValidationErrors::default();
                errors.add("/reason", "is required for rejected");
                return Err(errors.into_error());
            }
            ReturnStatus::Approved | ReturnStatus::Rejected => entry.decided_at = Some(now),
            ReturnStatus::Received => {
                entry.receive(change.items.as_deref())?;
                entry.received_at = Some(now);
            }
            ReturnStatus::Requested | ReturnStatus::Cancelled | ReturnStatus::Unknown(_) => {}
        }
        let of_history = entry.entry(Some(there.status), caller.user_id(), now, change.reason.clone());
        let before = self.stock();
        let mut after = self;
        if let Some(there) = after.returns.get_mut(place) {
            *there = entry.clone();
        }
        Ok((entry, Some(after.into_decision(&before, vec![of_history], now))))
    }

    /// Adds the return of the short form: all units that were shipped and have not come back, received at once. Returns
    /// its entry of the history.
    ///
    /// # Errors
    /// 409 while other returns are open, and for too many returns.
    pub(super) fn return_all(
        &mut self,
        restock: bool,
        by: Option<UserId>,
        now: Timestamp,
        reason: Option<String>,
    ) -> Result<HistoryEntry, Error> {
        let counters = self.counters();
        let items = self.items.iter().zip(&counters);
        if counters.iter().any(|units| units.returning > 0) {
            let open = |(item, units): (&Item, &Counters)| {
                let quantity = units.shipped.saturating_sub(units.returned);
                let wanted = ItemQuantity { id: self.item_id(item), quantity };
                (units.returning > 0).then(|| exceeding(wanted, units.returnable()))
            };
            let detail = "Units are in open returns. Receive, reject or cancel these first.";
            return Err(quantity_exceeded(detail, items.filter_map(open).collect()));
        }
        let all = items.filter_map(|(item, units)| {
            let quantity = units.returnable();
            let restocked = if restock { quantity } else { 0 };
            let id = self.item_id(item);
            (quantity > 0).then_some(ReturnItem { id, quantity, reason: None, received: quantity, restocked })
        });
        let entry = Return {
            id: entry_id::of_version(self.id, self.version.saturating_add(1)),
            status: ReturnStatus::Received,
            items: all.collect(),
            reason: reason.clone(),
            requested_at: now,
            decided_at: Some(now),
            received_at: Some(now),
            by,
            request: None,
        };
        let of_history = entry.entry(None, by, now, reason);
        self.add_return(entry, Room::for_parts(MAX_RETURNS))?;
        Ok(of_history)
    }

    /// Adds a return, if there is room for it.
    fn add_return(&mut self, entry: Return, room: Room) -> Result<(), Error> {
        let there = self.returns.iter().map(|it| it.items.len());
        room.check(there, entry.items.len(), "returns")?;
        self.returns.push(entry);
        Ok(())
    }

    /// Checks that the owner may return these units now: they were delivered within the window.
    fn check_window(
        &self,
        wanted: impl Iterator<Item = ItemQuantity>,
        window: Duration,
        now: Timestamp,
    ) -> Result<(), Error> {
        let is_in_time = |at: Timestamp| !window.is_zero() && now <= at.after(window);
        let counted = self.counted();
        let mut beyond = Vec::new();
        for ItemQuantity { id, quantity } in wanted {
            let Some((.., units)) = counted.iter().find(|(of, ..)| *of == id) else { continue };
            let delivered = self.delivered(id, |_| true);
            // What the shop takes back may never have arrived. The customer has what was delivered last.
            let on_their_way = units.shipped.saturating_sub(delivered).max(0);
            let by_customer = self.units_back(id, |it| it.by == Some(self.user_id));
            let by_shop = self.units_back(id, |it| it.by != Some(self.user_id));
            let gone = by_customer.saturating_add(by_shop.saturating_sub(on_their_way).max(0));
            let with_customer = delivered.saturating_sub(gone).max(0);
            let left = with_customer.min(self.delivered(id, is_in_time));
            if quantity > left {
                beyond.push(format!("{id}: {quantity} requested, {left} can be returned."));
            }
        }
        if beyond.is_empty() {
            return Ok(());
        }
        let days = window.as_secs() / (24 * 60 * 60);
        let detail =
            format!("Units can be returned within {days} days after their delivery. {}", beyond.join(" "));
        Err(invalid_transition(detail, self.status.name(), Status::Returned.name(), &[]))
    }

    /// Units of an item that have come back in some of the returns, or may come back.
    fn units_back(&self, id: ItemId, of: impl Fn(&Return) -> bool) -> i64 {
        let mut tally = Tally::default();
        for it in self.returns.iter().filter(|it| of(it)) {
            it.items.iter().for_each(|item| tally.take_back(it.status, item));
        }
        let counters = tally.counters(id);
        counters.returned.saturating_add(counters.returning)
    }

    /// Units of an item that were delivered, at times that count.
    fn delivered(&self, id: ItemId, counts: impl Fn(Timestamp) -> bool) -> i64 {
        let of = self.live_fulfillments().filter(|it| it.delivered_at.is_some_and(&counts));
        let of = of.flat_map(|fulfillment| &fulfillment.items).filter(|of| of.id == id);
        of.map(|of| of.quantity).fold(0, i64::saturating_add)
    }
}

impl Return {
    /// Checks that the units that a repeated receipt names are those that have come back.
    ///
    /// # Errors
    /// 409 for others.
    fn check_same_receipt(&self, received: Option<&[ReceivedItem]>) -> Result<(), Error> {
        let came_back = |item: &ReturnItem| {
            let named = received.iter().copied().flatten().find(|of| of.id == item.id);
            named.map_or((0, 0), |of| (of.received, of.restocked)) == (item.received, item.restocked)
        };
        if received.is_none() || self.items.iter().all(came_back) {
            return Ok(());
        }
        let (is, detail) = (
            self.status.name(),
            "The return has been received with other numbers. Record another return for units that come back later.",
        );
        Err(invalid_transition(detail.to_owned(), is, is, &[]))
    }

    /// Records the units that came back. Without any named, all came back.
    ///
    /// # Errors
    /// 422 for an item that is not in the return, and for more units than were to come back.
    fn receive(&mut self, received: Option<&[ReceivedItem]>) -> Result<(), Error> {
        let Some(received) = received else {
            self.items.iter_mut().for_each(|item| item.received = item.quantity);
            return Ok(());
        };
        let mut errors = ValidationErrors::default();
        for (place, of) in received.iter().enumerate() {
            let Some(item) = self.items.iter_mut().find(|item| item.id == of.id) else {
                errors.add(&format!("/items/{place}/id"), "must be the ID of an item of the return");
                continue;
            };
            if of.received > item.quantity {
                let detail = format!("must be at most {}; got {}", item.quantity, of.received);
                errors.add(&format!("/items/{place}/received"), detail);
            }
            if of.restocked > of.received {
                let detail = format!("must be at most {}, as received; got {}", of.received, of.restocked);
                errors.add(&format!("/items/{place}/restocked"), detail);
            }
            (item.received, item.restocked) = (of.received, of.restocked);
        }
        errors.check()
    }
}
