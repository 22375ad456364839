//! Cancellations of units that are not shipped: pure decisions, each for one conditional write.

use shared::error::Error;
use shared::http::idempotency::RequestFingerprint;
use shared::values::clock::Timestamp;
use shared::values::ids::{CancellationId, UserId};

use super::parts::Room;
use super::rules::Action;
use super::{Change, HistoryEntry, ItemQuantity, Order, Origin, Recording};
use crate::entry_id;
use crate::limits::MAX_CANCELLATIONS;
use crate::status::{Actor, Status};

/// Cancelled units of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancellation {
    /// Cancellation ID.
    pub id: CancellationId,
    /// Cancelled units.
    pub items: Vec<ItemQuantity>,
    /// Reason for the cancellation.
    pub reason: Option<String>,
    /// Time of recording.
    pub created_at: Timestamp,
    /// User who recorded it; none for the system.
    pub by: Option<UserId>,
    /// Fingerprint of the request that had an idempotency key.
    pub request: Option<RequestFingerprint>,
}

/// Request to cancel units.
#[derive(Clone, Debug)]
pub struct NewCancellation {
    /// Units of distinct items; none for all that are left.
    pub items: Option<Vec<ItemQuantity>>,
    /// Reason for the cancellation.
    pub reason: Option<String>,
}

impl Order {
    /// Decides about cancelling units. If none is left, and none was shipped, the order is `cancelled`.
    ///
    /// # Errors
    /// 403 for the owner of an order that is paid. 409 for a status that does not allow it, for more units than are
    /// left, and for too many cancellations. 422 for items that the order does not have, and for the key of another
    /// request.
    pub fn record_cancellation(
        self,
        new: NewCancellation,
        origin: Origin,
    ) -> Result<Recording<Cancellation>, Error> {
        let (by, now) = (origin.caller.user_id(), origin.now);
        let id: CancellationId = entry_id::of_request(self.id, by, origin.key);
        if let Some(there) = self.cancellations.iter().find(|cancellation| cancellation.id == id) {
            origin.check_same(there.request)?;
            return Ok(Recording::SameKey(there.clone()));
        }
        self.check_action(Action::Cancel, origin.caller)?;
        if let Some(items) = &new.items {
            self.check_units(items.iter().copied(), |item, units| units.left(item.quantity), Action::Cancel)?;
        }
        let room = Room::for_parts(MAX_CANCELLATIONS);
        let room = match (&new.items, Self::actor(origin.caller)) {
            (None, _) => room,
            // However many units a customer cancels one by one, staff can still cancel some.
            (Some(_), Actor::Owner) => room.half(),
            (Some(_), _) => room.but_one(),
        };
        let items = new.items.unwrap_or_else(|| self.units_left());
        let there = self.cancellations.iter().map(|cancellation| cancellation.items.len());
        room.check(there, items.len(), "cancellations")?;
        let before = self.stock();
        let mut after = self;
        let request = origin.key.stored_fingerprint();
        let cancellation = Cancellation { id, items, reason: new.reason, created_at: now, by, request };
        after.cancellations.push(cancellation.clone());
        let entry = |change| HistoryEntry { at: now, change, by, reason: cancellation.reason.clone() };
        let mut entries = vec![entry(Change::Cancellation(id))];
        if after.units_left().is_empty() && after.live_fulfillments().next().is_none() {
            entries.push(entry(Change::Status { from: Some(after.status), to: Status::Cancelled }));
            after.end_waiting(Status::Cancelled);
        }
        Ok(Recording::New(Box::new(after.into_decision(&before, entries, now)), cancellation))
    }
}
