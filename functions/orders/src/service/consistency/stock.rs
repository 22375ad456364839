//! Rules for a product, and for a live hold of an order.

use shared::values::clock::Timestamp;

use super::{Violation, ViolationKind, overdue, settled};
use crate::products::{AuditedProduct, Hold};
use crate::status::Status;
use crate::store::CheckedOrder;

/// Checks a product with its counts and sums.
pub(super) fn check_product(product: &AuditedProduct, now: Timestamp) -> Vec<Violation> {
    if product.unreadable {
        return vec![Violation::unreadable(ViolationKind::UnreadableProduct, None, Some(product.id))];
    }
    let mut found = Vec::new();
    let mut wrong = |kind, detail| {
        found.push(Violation { kind, order: None, product: Some(product.id), detail });
    };
    let AuditedProduct { on_hand, reserved, ledger, held, oldest_entry, .. } = *product;
    if on_hand < 0 || reserved < 0 || reserved > on_hand {
        wrong(ViolationKind::StockOutOfBounds, format!("on_hand {on_hand}, reserved {reserved}"));
    }
    if held != reserved {
        let detail = format!("reserved {reserved}, and its holds are {held} in all");
        wrong(ViolationKind::ReservedIsNotTheSum, detail);
    }
    if ledger != on_hand {
        let detail = format!("on_hand {on_hand}, and its movements are {ledger} in all");
        wrong(ViolationKind::LedgerIsNotTheSum, detail);
    }
    if let Some(at) = oldest_entry.filter(|at| overdue(*at, now)) {
        wrong(ViolationKind::JournalOverdue, format!("an entry in its journal since {at}"));
    }
    found
}

/// Checks a live hold against its order. `None`: there is no order. `Some(None)`: it is unreadable, and is skipped
/// here.
pub(super) fn check_hold(
    hold: &Hold,
    order: Option<Option<&CheckedOrder>>,
    now: Timestamp,
) -> Option<Violation> {
    let Hold { order: id, product, quantity, at, .. } = *hold;
    if !settled(at, now) {
        return None;
    }
    let (kind, detail) = match order {
        None if overdue(at, now) => {
            let detail = format!("{quantity} held since {at} for what is no order");
            (ViolationKind::HoldWithoutOrder, detail)
        }
        None | Some(None) => return None,
        Some(Some(order)) if order.changing || !order.tasks.is_empty() || !settled(order.updated_at, now) => {
            return None;
        }
        // A newer build knows whether it holds.
        Some(Some(order)) if matches!(order.status, Status::Unknown(_)) => return None,
        Some(Some(order)) if !order.status.holds_stock() => {
            let detail = format!("{quantity} held, and the order is {}", order.status.name());
            (ViolationKind::HoldOfEndedOrder, detail)
        }
        Some(Some(order)) => {
            let item = order.items.iter().find(|item| item.product_id == product);
            let left = item.map_or(0, |item| item.left().max(0));
            if left == quantity {
                return None;
            }
            (ViolationKind::HoldDiffers, format!("{quantity} held, and {left} left"))
        }
    };
    Some(Violation { kind, order: Some(id), product: Some(product), detail })
}

#[cfg(test)]
mod tests {
    use shared::values::ids::{OrderId, ProductId};

    use super::super::samples::{NOW, minutes_ago, order};
    use super::*;

    fn product() -> AuditedProduct {
        let id = ProductId::new();
        AuditedProduct {
            id,
            on_hand: 9,
            reserved: 2,
            ledger: 9,
            held: 2,
            oldest_entry: None,
            unreadable: false,
        }
    }

    fn kinds(product: &AuditedProduct) -> Vec<&'static str> {
        check_product(product, NOW).iter().map(|violation| violation.kind.name()).collect()
    }

    #[test]
    fn a_product_is_wrong_in_its_counts_its_sums_or_its_journal() {
        assert_eq!(kinds(&product()), [""; 0]);
        assert_eq!(kinds(&AuditedProduct { held: 3, ..product() }), ["reserved-is-not-the-sum"]);
        assert_eq!(kinds(&AuditedProduct { ledger: 8, ..product() }), ["ledger-is-not-the-sum"]);
        let more = AuditedProduct { reserved: 10, held: 10, ..product() };
        assert_eq!(kinds(&more), ["stock-out-of-bounds"]);
        for (minutes, expected) in [(4, &[][..]), (6, &["journal-overdue"])] {
            let oldest_entry = Some(minutes_ago(minutes));
            assert_eq!(kinds(&AuditedProduct { oldest_entry, ..product() }), expected);
        }
        assert_eq!(kinds(&AuditedProduct { unreadable: true, held: 3, ..product() }), ["unreadable-product"]);
    }

    /// Kind of the violation by a hold of so many units of the order's product, or of another order.
    fn kind(quantity: i64, minutes: u64, order: Option<&CheckedOrder>) -> Option<&'static str> {
        let product = order.and_then(|order| order.items.first()).map(|item| item.product_id);
        let hold = Hold {
            order: OrderId::new(),
            product: product.unwrap_or_else(ProductId::new),
            quantity,
            at: minutes_ago(minutes),
            shipped: None,
            restocked: None,
        };
        check_hold(&hold, order.map(Some), NOW).map(|violation| violation.kind.name())
    }

    #[test]
    fn a_hold_is_judged_once_it_and_its_order_are_settled() {
        assert_eq!((kind(2, 4, None), kind(2, 6, None)), (None, Some("hold-without-order")));
        let paid = order(Status::Paid, 3);
        assert_eq!((kind(2, 3, Some(&paid)), kind(1, 3, Some(&paid))), (None, Some("hold-differs")));
        assert_eq!(kind(1, 1, Some(&paid)), None);
        let shipped = order(Status::Shipped, 3);
        assert_eq!(kind(2, 3, Some(&shipped)), Some("hold-of-ended-order"));
        assert_eq!(kind(2, 3, Some(&order(Status::Shipped, 1))), None);
        assert_eq!(kind(2, 3, Some(&CheckedOrder { changing: true, ..shipped })), None);
    }

    #[test]
    fn a_hold_is_of_the_units_that_are_left() {
        let mut partial = order(Status::Paid, 3);
        partial.items[0].counters.shipped = 1;
        assert_eq!((kind(1, 3, Some(&partial)), kind(2, 3, Some(&partial))), (None, Some("hold-differs")));
        partial.items[0].counters.cancelled = 1;
        assert_eq!(kind(1, 3, Some(&partial)), Some("hold-differs"));
    }
}
