//! Units that an order has left to ship, and the reason why it cannot be shipped now.
//!
//! The orders function decides. This is for what is offered, and for what a preview can say beforehand.

use proto::orders::v1::{Fulfillment, Order, OrderItem};

use crate::texts::shipping as texts;

/// Items with units that are neither cancelled nor shipped, and these units.
pub(in crate::pages::orders) fn items(order: &Order) -> impl Iterator<Item = (&OrderItem, i64)> {
    order.items.iter().map(|item| (item, units(item))).filter(|(_, units)| *units > 0)
}

fn units(item: &OrderItem) -> i64 {
    item.quantity.saturating_sub(item.cancelled).saturating_sub(item.shipped)
}

/// Checks that an order waits for being shipped, by a parcel of this number if it has one.
///
/// A number that the order has already is of a line that was pasted before. The rest of the order is not in that parcel.
///
/// # Errors
/// A sentence that says why it does not.
pub(in crate::pages::orders) fn check(order: &Order, parcel: Option<&str>) -> Result<(), String> {
    let number = |it: &Fulfillment| it.tracking.as_ref().and_then(|tracking| tracking.number.clone());
    let live = order.fulfillments.iter().filter(|it| it.status != "cancelled");
    if parcel.is_some() && live.map(number).any(|known| known.as_deref() == parcel) {
        return Err(texts::RECORDED.to_owned());
    }
    match order.status.as_str() {
        "paid" if items(order).next().is_some() => Ok(()),
        "paid" => Err(texts::NOTHING_LEFT.to_owned()),
        "placed" => Err(texts::NOT_PAID.to_owned()),
        "shipped" | "delivered" => Err(texts::SHIPPED.to_owned()),
        other => Err(texts::not_in(other)),
    }
}

#[cfg(test)]
mod tests {
    use proto::orders::v1::Tracking;

    use super::*;

    fn order(status: &str, shipped: i64) -> Order {
        let item = |quantity, cancelled, shipped| {
            let none = OrderItem::default();
            OrderItem { quantity, cancelled, shipped, ..none }
        };
        let items = vec![item(5, 1, shipped), item(1, 1, 0)];
        Order { status: status.to_owned(), items, ..Default::default() }
    }

    #[test]
    fn cancelled_and_shipped_units_are_not_left() {
        let left = |order: &Order| items(order).map(|(_, units)| units).collect::<Vec<_>>();
        assert_eq!(left(&order("paid", 1)), [3]);
        assert!(left(&order("paid", 4)).is_empty());
        // More than was ordered is a fault elsewhere, and nothing to ship.
        assert!(left(&order("paid", 9)).is_empty());
    }

    #[test]
    fn an_order_that_cannot_be_shipped_has_a_reason() {
        assert_eq!(check(&order("paid", 3), None), Ok(()));
        for (status, shipped, reason) in [
            ("paid", 4, "Nothing is left to ship."),
            ("placed", 0, "It is not paid yet."),
            ("shipped", 4, "It is shipped already."),
            ("delivered", 4, "It is shipped already."),
            ("cancelled", 0, "It is cancelled, so nothing can be shipped."),
            ("on_hold", 0, "It is on hold, so nothing can be shipped."),
        ] {
            assert_eq!(check(&order(status, shipped), Some("1")).unwrap_err(), reason, "{status}");
        }
    }

    #[test]
    fn a_parcel_is_recorded_once() {
        let tracking = Tracking { number: Some("T-1".to_owned()), ..Default::default() };
        let parcel = |status: &str| Fulfillment {
            status: status.to_owned(),
            tracking: Some(tracking.clone()),
            ..Default::default()
        };
        let sent = Order { fulfillments: vec![parcel("shipped")], ..order("paid", 1) };
        assert_eq!(
            check(&sent, Some("T-1")).unwrap_err(),
            "A parcel with this tracking number is recorded already."
        );
        assert_eq!(check(&sent, Some("T-2")), Ok(()));
        let cancelled = Order { fulfillments: vec![parcel("cancelled")], ..sent };
        assert_eq!(check(&cancelled, Some("T-1")), Ok(()));
    }
}
