//! Fulfillments of an order: pure decisions, each for one conditional write. A fulfillment ships units of items, and can
//! be cancelled until it is delivered.

use shared::auth::Caller;
use shared::error::Error;
use shared::http::idempotency::RequestFingerprint;
use shared::values::clock::Timestamp;
use shared::values::ids::{FulfillmentId, UserId};

use super::parts::{Room, corrections, exceeding, quantity_exceeded};
use super::rules::{self, Action, check_part};
use super::{Change, Decision, HistoryEntry, ItemQuantity, Order, Origin, Recording, Tracking};
use crate::entry_id;
use crate::limits::{MAX_CORRECTIONS, MAX_FULFILLMENTS};

shared::stored_names! {
    /// Status of a fulfillment.
    pub enum FulfillmentStatus ("FulfillmentStatus", "Status of a fulfillment.") {
        /// On its way.
        Shipped = "shipped",
        /// Received by the customer.
        Delivered = "delivered",
        /// Recorded by mistake; its units are held again.
        Cancelled = "cancelled",
    }
    /// Status of a newer build, by its name. It allows no transition.
    Unknown
}

/// Units of items that were shipped together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fulfillment {
    /// Fulfillment ID.
    pub id: FulfillmentId,
    /// Shipped units.
    pub items: Vec<ItemQuantity>,
    /// Tracking of the parcel.
    pub tracking: Option<Tracking>,
    /// Status of the fulfillment.
    pub status: FulfillmentStatus,
    /// Time of recording.
    pub shipped_at: Timestamp,
    /// Time of the delivery.
    pub delivered_at: Option<Timestamp>,
    /// User who recorded it; none for the system.
    pub by: Option<UserId>,
    /// Fingerprint of the request that had an idempotency key.
    pub request: Option<RequestFingerprint>,
}

impl Fulfillment {
    /// True if its units are shipped: it is not cancelled.
    pub fn is_live(&self) -> bool {
        self.status != FulfillmentStatus::Cancelled
    }

    /// Entry of the history for a change of it.
    fn entry(&self, from: Option<FulfillmentStatus>, by: Option<UserId>, at: Timestamp) -> HistoryEntry {
        let change = Change::Fulfillment { id: self.id, from, to: self.status };
        HistoryEntry { at, change, by, reason: None }
    }
}

/// Request to ship units.
#[derive(Clone, Debug)]
pub struct NewFulfillment {
    /// Units of distinct items; none for all that are left.
    pub items: Option<Vec<ItemQuantity>>,
    /// Tracking of the parcel.
    pub tracking: Option<Tracking>,
}

/// Requested change of a fulfillment.
#[derive(Clone, Debug)]
pub struct FulfillmentChange {
    /// New status.
    pub status: Option<FulfillmentStatus>,
    /// Tracking to be corrected.
    pub tracking: Option<Tracking>,
}

impl Order {
    /// Decides about shipping units. The last of them makes the order `shipped`.
    ///
    /// # Errors
    /// 403 for the owner. 409 for an order that is not paid, for more units than are left, and for too many
    /// fulfillments. 422 for items that the order does not have, and for the key of another request.
    pub fn record_fulfillment(
        self,
        new: NewFulfillment,
        origin: Origin,
    ) -> Result<Recording<Fulfillment>, Error> {
        let by = origin.caller.user_id();
        let id: FulfillmentId = entry_id::of_request(self.id, by, origin.key);
        if let Some(there) = self.fulfillments.iter().find(|fulfillment| fulfillment.id == id) {
            origin.check_same(there.request)?;
            return Ok(Recording::SameKey(there.clone()));
        }
        self.check_action(Action::Ship, origin.caller)?;
        if let Some(items) = &new.items {
            self.check_units(items.iter().copied(), |item, units| units.left(item.quantity), Action::Ship)?;
        }
        let before = self.stock();
        let mut after = self;
        let request = origin.key.stored_fingerprint();
        let entry = after.ship(id, new, request, by, origin.now)?;
        let fulfillment = after.fulfillments.last().cloned();
        let fulfillment = fulfillment.ok_or_else(|| Error::internal("a fulfillment was not recorded"))?;
        let decision = after.into_decision(&before, vec![entry], origin.now);
        Ok(Recording::New(Box::new(decision), fulfillment))
    }

    /// Decides about the status and the tracking of a fulfillment. `None`: it has both already.
    ///
    /// # Errors
    /// 404 for a fulfillment that the order does not have. 403 for the owner. 409 for a status that cannot follow, for
    /// units that returns need, and for too many corrections.
    pub fn change_fulfillment(
        self,
        id: FulfillmentId,
        change: &FulfillmentChange,
        caller: Caller,
        now: Timestamp,
    ) -> Result<(Fulfillment, Option<Decision>), Error> {
        let place = self.fulfillments.iter().position(|fulfillment| fulfillment.id == id);
        let Some((place, there)) =
            place.and_then(|place| Some((place, self.fulfillments.get(place)?.clone())))
        else {
            return Err(Error::not_found("fulfillment"));
        };
        let to = change.status.filter(|to| *to != there.status);
        let tracking = change.tracking.clone().filter(|tracking| there.tracking.as_ref() != Some(tracking));
        if let Some(to) = to {
            let name = FulfillmentStatus::name;
            check_part(rules::FULFILLMENTS, (there.status, to), name, "fulfillment", caller)?;
            if to == FulfillmentStatus::Cancelled {
                self.check_not_returned(&there)?;
            }
        }
        if tracking.is_some() && corrections(&self.history) >= MAX_CORRECTIONS {
            let detail = format!("The order has {MAX_CORRECTIONS} corrections of tracking, the maximum.");
            return Err(quantity_exceeded(detail, Vec::new()));
        }
        let before = self.stock();
        let (by, mut fulfillment, mut entries) = (caller.user_id(), there.clone(), Vec::new());
        if let Some(tracking) = tracking {
            fulfillment.tracking = Some(tracking);
            entries.push(fulfillment.entry(Some(there.status), by, now));
        }
        if let Some(to) = to {
            fulfillment.status = to;
            fulfillment.delivered_at = (to == FulfillmentStatus::Delivered).then_some(now);
            entries.push(fulfillment.entry(Some(there.status), by, now));
        }
        if entries.is_empty() {
            return Ok((fulfillment, None));
        }
        let mut after = self;
        if let Some(there) = after.fulfillments.get_mut(place) {
            *there = fulfillment.clone();
        }
        Ok((fulfillment, Some(after.into_decision(&before, entries, now))))
    }

    /// Adds the fulfillment of the short form: all units that are left. Returns its entry of the history.
    ///
    /// # Errors
    /// 409 for too many fulfillments.
    pub(super) fn ship_what_is_left(
        &mut self,
        tracking: Tracking,
        by: Option<UserId>,
        now: Timestamp,
    ) -> Result<HistoryEntry, Error> {
        let id = entry_id::of_version(self.id, self.version.saturating_add(1));
        self.ship(id, NewFulfillment { items: None, tracking: Some(tracking) }, None, by, now)
    }

    /// Delivers all fulfillments that are on their way. Returns their entries of the history.
    pub(super) fn deliver_all(&mut self, by: Option<UserId>, now: Timestamp) -> Vec<HistoryEntry> {
        let on_their_way = self.fulfillments.iter_mut().filter(|it| it.status == FulfillmentStatus::Shipped);
        let deliver = |fulfillment: &mut Fulfillment| {
            fulfillment.status = FulfillmentStatus::Delivered;
            fulfillment.delivered_at = Some(now);
            fulfillment.entry(Some(FulfillmentStatus::Shipped), by, now)
        };
        on_their_way.map(deliver).collect()
    }

    /// Adds a fulfillment. Its units have been checked.
    fn ship(
        &mut self,
        id: FulfillmentId,
        new: NewFulfillment,
        request: Option<RequestFingerprint>,
        by: Option<UserId>,
        now: Timestamp,
    ) -> Result<HistoryEntry, Error> {
        let room = Room::for_parts(MAX_FULFILLMENTS);
        let room = if new.items.is_some() { room.but_one() } else { room };
        let items = new.items.unwrap_or_else(|| self.units_left());
        let there = self.fulfillments.iter().map(|fulfillment| fulfillment.items.len());
        room.check(there, items.len(), "fulfillments")?;
        let status = FulfillmentStatus::Shipped;
        let tracking = new.tracking;
        let fulfillment =
            Fulfillment { id, items, tracking, status, shipped_at: now, delivered_at: None, by, request };
        let entry = fulfillment.entry(None, by, now);
        self.fulfillments.push(fulfillment);
        Ok(entry)
    }

    /// Checks that no return needs the units of a fulfillment.
    fn check_not_returned(&self, fulfillment: &Fulfillment) -> Result<(), Error> {
        let counted = self.counted();
        let beyond = |of: &ItemQuantity| {
            let (.., counters) = counted.iter().find(|(id, ..)| *id == of.id)?;
            let left = counters.returnable();
            (of.quantity > left).then(|| exceeding(*of, left))
        };
        let all: Vec<_> = fulfillment.items.iter().filter_map(beyond).collect();
        if all.is_empty() {
            return Ok(());
        }
        let detail = "Units of the fulfillment are in returns. Cancel or reject open returns first; `items` names the units.";
        Err(quantity_exceeded(detail, all))
    }
}
