//! Units of an order's items, and what became of them. Counters, stock and statuses follow from the order's fulfillments,
//! cancellations, returns and refunds.

use std::collections::HashMap;

use serde_json::{Value, json};
use shared::auth::Caller;
use shared::error::{Error, Kind};
use shared::input::validation::ValidationErrors;
use shared::values::ids::{ItemId, ProductId};

use super::rules::Action;
use super::{
    Fulfillment, FulfillmentStatus, HistoryEntry, Item, ItemQuantity, Order, ReturnItem, ReturnStatus,
    Tracking,
};
use crate::limits::{MAX_ITEMS, MAX_PART_ITEMS};
use crate::status::{Facts, Status};

shared::stored_names! {
    /// Shipping status of an order: of the units that are not cancelled.
    pub enum OrderFulfillmentStatus ("OrderFulfillmentStatus", "Shipping status of the units that are not cancelled.") {
        /// No unit is shipped.
        Unfulfilled = "unfulfilled",
        /// Some units are shipped.
        Partial = "partial",
        /// All units are shipped.
        Shipped = "shipped",
        /// All units are delivered.
        Delivered = "delivered",
    }
    /// Status of a newer build.
    Unknown
}

shared::stored_names! {
    /// Status of an order's returns.
    pub enum OrderReturnStatus ("OrderReturnStatus", "Status of the returns.") {
        /// No unit has come back, and no return is open.
        None = "none",
        /// A return is open.
        Requested = "requested",
        /// Some of the shipped units have come back.
        Partial = "partial",
        /// All shipped units have come back.
        Returned = "returned",
    }
    /// Status of a newer build.
    Unknown
}

/// Units of an item by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Cancelled units.
    pub cancelled: i64,
    /// Shipped units, without those of cancelled fulfillments.
    pub shipped: i64,
    /// Units that have come back.
    pub returned: i64,
    /// Units of open returns, which may come back.
    pub returning: i64,
    /// Units that came back and were put back on hand.
    pub restocked: i64,
    /// Refunded units.
    pub refunded: i64,
}

impl Counters {
    /// Units that are neither cancelled nor shipped, of so many that were ordered.
    pub fn left(&self, ordered: i64) -> i64 {
        ordered.saturating_sub(self.cancelled).saturating_sub(self.shipped).max(0)
    }

    /// Counts all units as cancelled that are not shipped, as those of a cancelled order are.
    pub fn cancel_all(&mut self, ordered: i64) {
        self.cancelled = ordered.saturating_sub(self.shipped).max(0);
    }

    /// Units that can still be asked to be returned.
    pub fn returnable(&self) -> i64 {
        self.shipped.saturating_sub(self.returned).saturating_sub(self.returning).max(0)
    }
}

/// Counters of items, added up from the entries of an order.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    items: HashMap<ItemId, Counters>,
}

impl Tally {
    /// Adds cancelled units.
    pub(crate) fn cancel(&mut self, units: ItemQuantity) {
        add(&mut self.of(units.id).cancelled, units.quantity);
    }

    /// Adds units of a fulfillment that is not cancelled.
    pub(crate) fn ship(&mut self, units: ItemQuantity) {
        add(&mut self.of(units.id).shipped, units.quantity);
    }

    /// Adds refunded units.
    pub(crate) fn refund(&mut self, units: ItemQuantity) {
        add(&mut self.of(units.id).refunded, units.quantity);
    }

    /// Adds an item of a return with this status.
    pub(crate) fn take_back(&mut self, status: ReturnStatus, item: &ReturnItem) {
        let counters = self.of(item.id);
        match status {
            ReturnStatus::Rejected | ReturnStatus::Cancelled => {}
            ReturnStatus::Received => {
                add(&mut counters.returned, item.received);
                add(&mut counters.restocked, item.restocked);
            }
            // A newer build may have one that is open.
            ReturnStatus::Requested | ReturnStatus::Approved | ReturnStatus::Unknown(_) => {
                add(&mut counters.returning, item.quantity);
            }
        }
    }

    /// Counters of an item.
    pub(crate) fn counters(&self, id: ItemId) -> Counters {
        self.items.get(&id).copied().unwrap_or_default()
    }

    fn of(&mut self, id: ItemId) -> &mut Counters {
        self.items.entry(id).or_default()
    }
}

fn add(sum: &mut i64, units: i64) {
    *sum = sum.saturating_add(units);
}

/// Units of a product that are held for an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldUnits {
    /// Product ID.
    pub product_id: ProductId,
    /// Units.
    pub quantity: i64,
}

/// Units of a product that an order has ever moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StockCounts {
    /// Product ID.
    pub product_id: ProductId,
    /// Shipped units, without those of cancelled fulfillments.
    pub shipped: i64,
    /// Units of returns that were put back on hand.
    pub restocked: i64,
}

/// Units of a product that an order holds, and has ever moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StockTotals {
    /// Units that are held.
    pub held: i64,
    /// Units that were moved.
    pub counts: StockCounts,
}

/// Stock of an order at some version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StockSnapshot {
    pub(super) held: Vec<HeldUnits>,
    pub(super) counts: Vec<StockCounts>,
}

impl Order {
    /// Units of each item by what became of them, in the order of the items.
    pub fn counters(&self) -> Vec<Counters> {
        let mut counters = vec![Counters::default(); self.items.len()];
        // Most orders have no entries, and an ID is a hash.
        if self.has_parts() || !self.refunds.is_empty() {
            let tally = self.tally();
            for (item, of_item) in self.items.iter().zip(&mut counters) {
                *of_item = tally.counters(self.item_id(item));
            }
        }
        if self.is_cancelled() {
            for (item, of_item) in self.items.iter().zip(&mut counters) {
                of_item.cancel_all(item.quantity);
            }
        }
        counters
    }

    /// Items with their IDs and their counters.
    pub(super) fn counted(&self) -> Vec<(ItemId, &Item, Counters)> {
        let counted = self.items.iter().zip(self.counters());
        counted.map(|(item, counters)| (self.item_id(item), item, counters)).collect()
    }

    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        self.cancellations.iter().flat_map(|it| &it.items).for_each(|units| tally.cancel(*units));
        self.live_fulfillments().flat_map(|it| &it.items).for_each(|units| tally.ship(*units));
        self.refunds.iter().flat_map(|it| &it.items).for_each(|units| tally.refund(*units));
        for (status, item) in self.returns.iter().flat_map(|it| it.items.iter().map(|item| (it.status, item)))
        {
            tally.take_back(status, item);
        }
        tally
    }

    /// Units that are held for the order: those that are left, while it is placed or paid.
    pub fn held_items(&self) -> Vec<HeldUnits> {
        if !self.status.holds_stock() {
            return Vec::new();
        }
        let units = |(item, counters): (&Item, Counters)| {
            let quantity = counters.left(item.quantity);
            (quantity > 0).then_some(HeldUnits { product_id: item.product_id, quantity })
        };
        self.items.iter().zip(self.counters()).filter_map(units).collect()
    }

    /// Units of all items: held ones, and those that were ever moved.
    pub fn stock_totals(&self) -> Vec<StockTotals> {
        let holds = self.status.holds_stock();
        let totals = |(item, counters): (&Item, Counters)| StockTotals {
            held: if holds { counters.left(item.quantity) } else { 0 },
            counts: StockCounts {
                product_id: item.product_id,
                shipped: counters.shipped,
                restocked: counters.restocked,
            },
        };
        self.items.iter().zip(self.counters()).map(totals).collect()
    }

    /// True if units of the order were ever shipped. Its stock is declared with counts then.
    pub fn has_fulfillments(&self) -> bool {
        !self.fulfillments.is_empty()
    }

    /// Shipping status of the units that are not cancelled, by the [counters](Self::counters).
    pub fn fulfillment_status(&self, counters: &[Counters]) -> OrderFulfillmentStatus {
        let is_shipped = counters.iter().any(|of_item| of_item.shipped > 0);
        let is_left = self.items.iter().zip(counters).any(|(item, of_item)| of_item.left(item.quantity) > 0);
        match (is_shipped, is_left) {
            (false, _) => OrderFulfillmentStatus::Unfulfilled,
            (true, true) => OrderFulfillmentStatus::Partial,
            (true, false) if self.is_delivered() => OrderFulfillmentStatus::Delivered,
            (true, false) => OrderFulfillmentStatus::Shipped,
        }
    }

    /// Status of the returns, by the [counters](Self::counters).
    pub fn return_status(&self, counters: &[Counters]) -> OrderReturnStatus {
        let has_come_back = counters.iter().any(|of_item| of_item.returned > 0);
        if has_come_back && counters.iter().all(|of_item| of_item.returned >= of_item.shipped) {
            OrderReturnStatus::Returned
        } else if counters.iter().any(|of_item| of_item.returning > 0) {
            OrderReturnStatus::Requested
        } else if has_come_back {
            OrderReturnStatus::Partial
        } else {
            OrderReturnStatus::None
        }
    }

    /// Tracking of the latest fulfillment that has one and is not cancelled.
    pub fn tracking(&self) -> Option<&Tracking> {
        let live = self.fulfillments.iter().rev().filter(|it| it.is_live());
        live.filter_map(|fulfillment| fulfillment.tracking.as_ref()).next()
    }

    /// Status that follows from the parts of the order, where it has another.
    pub fn derived_status(&self) -> Option<Status> {
        if !self.has_parts() || !matches!(self.status, Status::Paid | Status::Shipped | Status::Delivered) {
            return None;
        }
        let counters = self.counters();
        let derived =
            if self.items.iter().zip(&counters).any(|(item, of_item)| of_item.left(item.quantity) > 0) {
                Status::Paid
            } else if counters.iter().all(|of_item| of_item.shipped == 0) {
                Status::Cancelled
            } else if counters.iter().all(|of_item| of_item.returned >= of_item.shipped) {
                Status::Returned
            } else if self.is_delivered() {
                Status::Delivered
            } else {
                Status::Shipped
            };
        (derived != self.status).then_some(derived)
    }

    /// Statuses that the caller may set next.
    pub(super) fn next_statuses(&self, caller: Caller) -> Vec<Status> {
        self.status.next(self.facts(), Self::actor(caller))
    }

    /// Facts on which transitions of the order depend.
    pub(super) fn facts(&self) -> Facts {
        Facts {
            has_payments: !self.payments.is_empty(),
            has_shipped: self.live_fulfillments().next().is_some(),
        }
    }

    /// Units that are held, and those that were ever moved, where there are any.
    pub(super) fn stock(&self) -> StockSnapshot {
        let counts = if self.has_fulfillments() { self.stock_totals() } else { Vec::new() };
        let has_moved = |counts: &StockCounts| counts.shipped != 0 || counts.restocked != 0;
        let counts = counts.into_iter().map(|totals| totals.counts).filter(has_moved).collect();
        StockSnapshot { held: self.held_items(), counts }
    }

    /// Units of all items that are neither cancelled nor shipped.
    pub(super) fn units_left(&self) -> Vec<ItemQuantity> {
        let units = |(item, counters): (&Item, Counters)| {
            let quantity = counters.left(item.quantity);
            (quantity > 0).then(|| ItemQuantity { id: self.item_id(item), quantity })
        };
        self.items.iter().zip(self.counters()).filter_map(units).collect()
    }

    /// Checks that these units are units of the order, and not more than `left` has of each item.
    ///
    /// # Errors
    /// 422 for the ID of no item, 409 for more units than are left.
    pub(super) fn check_units(
        &self,
        wanted: impl Iterator<Item = ItemQuantity>,
        left: impl Fn(&Item, &Counters) -> i64,
        action: Action,
    ) -> Result<(), Error> {
        let counted = self.counted();
        let mut errors = ValidationErrors::default();
        let mut beyond = Vec::new();
        for (place, wanted) in wanted.enumerate() {
            let Some((_, item, counters)) = counted.iter().find(|(id, ..)| *id == wanted.id) else {
                errors.add(&format!("/items/{place}/id"), "must be the ID of an item of the order");
                continue;
            };
            let left = left(item, counters);
            if wanted.quantity > left {
                beyond.push(exceeding(wanted, left));
            }
        }
        errors.check()?;
        if beyond.is_empty() {
            return Ok(());
        }
        let action = action.name();
        let detail =
            format!("More units than can be {action}; `items` names them, with what is left of each.");
        Err(quantity_exceeded(detail, beyond))
    }

    /// Fulfillments that are not cancelled.
    pub(super) fn live_fulfillments(&self) -> impl Iterator<Item = &Fulfillment> {
        self.fulfillments.iter().filter(|fulfillment| fulfillment.is_live())
    }

    /// True if the order has a fulfillment, a cancellation or a return.
    pub(super) fn has_parts(&self) -> bool {
        !(self.fulfillments.is_empty() && self.cancellations.is_empty() && self.returns.is_empty())
    }

    /// True if every shipped unit is delivered.
    fn is_delivered(&self) -> bool {
        self.live_fulfillments().all(|fulfillment| fulfillment.status == FulfillmentStatus::Delivered)
    }
}

/// Units of an item that exceed what is left of it, for an error.
pub(super) fn exceeding(wanted: ItemQuantity, left: i64) -> Value {
    json!({ "id": wanted.id.to_string(), "requested": wanted.quantity, "left": left })
}

/// Error 409 with the items of which too many units were asked for.
pub(super) fn quantity_exceeded(detail: impl Into<String>, items: Vec<Value>) -> Error {
    Error::new(Kind::QuantityExceeded, detail.into()).with("items", json!(items))
}

/// Room in a list of an order: for parts, and for the items in all of them together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// The most parts.
    pub(super) parts: usize,
    /// The most items.
    pub(super) items: usize,
}

impl Room {
    /// Room for so many parts.
    pub(super) fn for_parts(parts: usize) -> Self {
        Self { parts, items: MAX_PART_ITEMS }
    }

    /// Room for parts of an order, so that one of all that is left still fits.
    pub(super) fn but_one(self) -> Self {
        Self { parts: self.parts.saturating_sub(1), items: self.items.saturating_sub(MAX_ITEMS) }
    }

    /// Half of the room. Customers have it where staff need the rest.
    pub(super) fn half(self) -> Self {
        Self { parts: self.parts / 2, items: self.items / 2 }
    }

    /// Checks that a part more, with so many items, fits. `there` has the number of items of each part.
    ///
    /// # Errors
    /// 409 if it does not.
    pub(super) fn check(
        self,
        there: impl Iterator<Item = usize>,
        items: usize,
        of: &str,
    ) -> Result<(), Error> {
        let (parts, all) = there.fold((0_usize, items), |(parts, all), of_part| {
            (parts.saturating_add(1), all.saturating_add(of_part))
        });
        if parts >= self.parts {
            let most = self.parts;
            return Err(quantity_exceeded(
                format!("The order has {parts} {of}; the maximum is {most}."),
                Vec::new(),
            ));
        }
        if all > self.items {
            let most = self.items;
            let detail =
                format!("The {of} of the order would have {all} items together; the maximum is {most}.");
            return Err(quantity_exceeded(detail, Vec::new()));
        }
        Ok(())
    }
}

/// Number of corrections of tracking in a history.
pub(super) fn corrections(history: &[HistoryEntry]) -> usize {
    history.iter().filter(|entry| entry.change.is_correction()).count()
}
