//! Open orders of a customer, and the slots that bound them. No I/O.
//!
//! A slot belongs to one open order of a customer at a time. An order that a customer places takes one of those that
//! the limit allows, so that the limit holds however many are placed at once. Orders without a slot count as well.

use std::collections::BTreeSet;

use serde_json::json;
use shared::error::{Error, Kind};

/// Orders of a customer that are `placed`, as far as they were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenOrders {
    count: usize,
    slots: BTreeSet<i64>,
}

impl FromIterator<Option<i64>> for OpenOrders {
    /// Collects the slot of each order, if it has one.
    fn from_iter<I: IntoIterator<Item = Option<i64>>>(orders: I) -> Self {
        let mut open = Self::default();
        for slot in orders {
            open.count += 1;
            open.slots.extend(slot);
        }
        open
    }
}

impl OpenOrders {
    /// Slots that a customer may take for one more order.
    ///
    /// Each order outside of the slots that may be taken makes them fewer by one. So even if all of them are taken
    /// at once, the open orders are no more than the limit.
    pub fn free_slots(&self, limit: u32) -> Vec<i64> {
        let room = usize::try_from(limit).unwrap_or(usize::MAX);
        let below = |end: u32| self.slots.range(0..i64::from(end)).count();
        let fits = |end: &u32| {
            let outside = self.count - below(*end);
            usize::try_from(*end).is_ok_and(|slots| slots.saturating_add(outside) <= room)
        };
        let end = (0..=limit).rev().find(fits).unwrap_or(0);
        (0..i64::from(end)).filter(|slot| !self.slots.contains(slot)).collect()
    }

    /// Slot for an order that is placed whatever the limit: the lowest that is free, or none once the limit is
    /// reached.
    pub fn lowest_free_slot(&self, limit: u32) -> Option<i64> {
        if usize::try_from(limit).is_ok_and(|limit| self.count >= limit) {
            return None;
        }
        (0..i64::from(limit)).find(|slot| !self.slots.contains(slot))
    }
}

/// Conflict error (409) for a customer with as many open orders as the limit allows.
pub fn too_many_open_orders(limit: u32) -> Error {
    let detail = format!("The limit of {limit} unpaid orders is reached. Pay or cancel one first.");
    Error::new(Kind::TooManyOpenOrders, detail).with("limit", json!(limit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn open(slots: &[Option<i64>]) -> OpenOrders {
        slots.iter().copied().collect()
    }

    #[test]
    fn a_customer_takes_any_free_slot_below_the_limit() {
        assert_eq!(open(&[]).free_slots(3), [0, 1, 2]);
        assert_eq!(open(&[Some(1)]).free_slots(3), [0, 2]);
        assert_eq!(open(&[Some(0), Some(1), Some(2)]).free_slots(3), [] as [i64; 0]);
        assert_eq!(open(&[]).free_slots(0), [] as [i64; 0]);
    }

    #[test]
    fn orders_without_a_slot_or_above_the_limit_count() {
        assert_eq!(open(&[None, None]).free_slots(3), [0]);
        assert_eq!(open(&[None, Some(0)]).free_slots(3), [1]);
        // Of a higher limit, or of staff before it was lowered.
        assert_eq!(open(&[Some(7), Some(8)]).free_slots(3), [0]);
        assert_eq!(open(&[None, None, None, None]).free_slots(3), [] as [i64; 0]);
    }

    #[test]
    fn staff_take_the_lowest_slot_or_none() {
        assert_eq!(open(&[Some(0), None]).lowest_free_slot(3), Some(1));
        assert_eq!(open(&[Some(0), None, Some(2)]).lowest_free_slot(3), None);
        assert_eq!(open(&[]).lowest_free_slot(0), None);
    }

    proptest! {
        #[test]
        fn the_limit_holds_if_all_free_slots_are_taken_at_once(
            slots in proptest::collection::btree_set(0_i64..40, 0..20), without in 0_usize..20, limit in 0_u32..30,
        ) {
            let orders = slots.iter().copied().map(Some).chain(std::iter::repeat_n(None, without));
            let open: OpenOrders = orders.collect();
            let (count, room) = (slots.len() + without, usize::try_from(limit).unwrap());
            let free = open.free_slots(limit);
            prop_assert_eq!(free.len(), room.saturating_sub(count), "as many as are left");
            prop_assert!(free.iter().all(|slot| !slots.contains(slot) && *slot < i64::from(limit)));
        }
    }
}
