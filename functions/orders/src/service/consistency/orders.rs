//! Rules for an order: its stock, its parts and its money.

use shared::values::clock::Timestamp;
use shared::values::ids::ProductId;

use super::{Violation, ViolationKind, overdue, settled};
use crate::order::Counters;
use crate::products::Hold;
use crate::status::Status;
use crate::store::{CheckedItem, CheckedOrder};

/// Checks an order: its holds, its parts and its money.
pub(super) fn check_order(order: &CheckedOrder, holds: &[Hold], now: Timestamp) -> Vec<Violation> {
    let mut found = check_stock(order, holds, now);
    found.extend(order.items.iter().filter_map(|item| check_item(order, item)));
    found.extend(check_status(order));
    found.extend(check_money(order));
    found
}

/// Checks an order against its holds.
fn check_stock(order: &CheckedOrder, holds: &[Hold], now: Timestamp) -> Vec<Violation> {
    if !order.tasks.is_empty() || order.changing {
        if !overdue(order.updated_at, now) {
            return Vec::new();
        }
        let detail = match order.tasks.first() {
            Some(task) => format!("{} {} since {}", task.kind.name(), task.revision, order.updated_at),
            None => format!("a change of items since {}", order.updated_at),
        };
        return vec![violation(order, ViolationKind::TaskOverdue, None, detail)];
    }
    if !order.status.holds_stock() || !settled(order.updated_at, now) {
        return Vec::new();
    }
    let unheld = order.items.iter().filter_map(|item| check_held(order, item, holds));
    let counts =
        holds.iter().filter(|hold| settled(hold.at, now)).filter_map(|hold| check_counts(order, hold));
    unheld.chain(counts).collect()
}

/// Checks that an item of which units are left is held.
fn check_held(order: &CheckedOrder, item: &CheckedItem, holds: &[Hold]) -> Option<Violation> {
    let left = item.left();
    let is_held = || holds.iter().any(|hold| hold.product == item.product_id && hold.quantity > 0);
    if left <= 0 || is_held() {
        return None;
    }
    let detail = format!("{left} left, and none held");
    Some(violation(order, ViolationKind::OrderWithoutHold, Some(item.product_id), detail))
}

/// Checks the counts that a hold keeps.
fn check_counts(order: &CheckedOrder, hold: &Hold) -> Option<Violation> {
    let kept = (hold.shipped?, hold.restocked?);
    let item = order.items.iter().find(|item| item.product_id == hold.product);
    let counts = item.map_or((0, 0), |item| (item.counters.shipped, item.counters.restocked));
    if kept == counts {
        return None;
    }
    let ((shipped, restocked), (of_order, back)) = (kept, counts);
    let detail = format!(
        "{shipped} shipped and {restocked} restocked by its hold, {of_order} and {back} by its parts"
    );
    Some(violation(order, ViolationKind::CountsDiffer, Some(hold.product), detail))
}

/// Checks the units of an item in the order's parts. Each change of them is one write, so there is no time to wait.
fn check_item(order: &CheckedOrder, item: &CheckedItem) -> Option<Violation> {
    let Counters { cancelled, shipped, returned, returning, .. } = item.counters;
    let ordered = item.quantity;
    let detail = if cancelled.saturating_add(shipped) > ordered {
        format!("{ordered} ordered, {cancelled} cancelled, and {shipped} shipped")
    } else if returned.saturating_add(returning) > shipped {
        format!("{shipped} shipped, {returned} returned, and {returning} in open returns")
    } else {
        return None;
    };
    Some(violation(order, ViolationKind::PartsExceedQuantity, Some(item.product_id), detail))
}

/// Checks that the status is one that the units allow. The order's own decisions tell `placed` from `paid`, and
/// `shipped` from `delivered`.
fn check_status(order: &CheckedOrder) -> Option<Violation> {
    // It follows from money, and a newer build knows what its statuses follow from.
    if matches!(order.status, Status::Refunded | Status::Unknown(_)) {
        return None;
    }
    let units = |of: fn(&CheckedItem) -> i64| order.items.iter().map(of).fold(0, i64::saturating_add);
    let left = units(|item| item.left().max(0));
    let shipped = units(|item| item.counters.shipped);
    let away = units(|item| item.counters.shipped.saturating_sub(item.counters.returned).max(0));
    let allowed: &[Status] = if left > 0 {
        &[Status::Placed, Status::Paid]
    } else if shipped == 0 {
        &[Status::Cancelled]
    } else if away == 0 {
        &[Status::Returned]
    } else {
        &[Status::Shipped, Status::Delivered]
    };
    if allowed.contains(&order.status) {
        return None;
    }
    let detail = format!("{}, and {left} left, {shipped} shipped, {away} not returned", order.status.name());
    Some(violation(order, ViolationKind::StatusIsNotDerived, None, detail))
}

/// Checks the money of an order. Each change of it is one write, so there is no time to wait.
fn check_money(order: &CheckedOrder) -> Vec<Violation> {
    let CheckedOrder { total, sum, payable, paid, refunded, .. } = *order;
    let mut found = Vec::new();
    if refunded > paid {
        let detail = format!("{paid} paid, and {refunded} refunded");
        found.push(violation(order, ViolationKind::RefundsExceedPayments, None, detail));
    }
    for item in order.items.iter().filter(|item| item.counters.refunded > item.quantity) {
        let detail = format!("{} ordered, and {} refunded", item.quantity, item.counters.refunded);
        found.push(violation(order, ViolationKind::RefundsExceedQuantity, Some(item.product_id), detail));
    }
    if total != sum {
        let detail = format!("{total} stored, and {sum} by items and shipping");
        found.push(violation(order, ViolationKind::TotalIsNotTheSum, None, detail));
    }
    if order.status == Status::Placed && paid > 0 && paid >= payable {
        found.push(violation(order, ViolationKind::PaidButPlaced, None, format!("{paid} paid of {payable}")));
    }
    found
}

fn violation(
    order: &CheckedOrder,
    kind: ViolationKind,
    product: Option<ProductId>,
    detail: String,
) -> Violation {
    Violation { kind, order: Some(order.id), product, detail }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{NOW, minutes_ago, order};
    use super::*;

    /// Order whose two units have become this.
    fn with(status: Status, counters: Counters) -> CheckedOrder {
        let mut order = order(status, 3);
        order.items[0].counters = counters;
        order
    }

    fn hold(order: &CheckedOrder, quantity: i64, counts: Option<(i64, i64)>) -> Hold {
        Hold {
            order: order.id,
            product: order.items[0].product_id,
            quantity,
            at: minutes_ago(3),
            shipped: counts.map(|(shipped, _)| shipped),
            restocked: counts.map(|(_, restocked)| restocked),
        }
    }

    fn kinds(order: &CheckedOrder, holds: &[Hold]) -> Vec<&'static str> {
        check_order(order, holds, NOW).iter().map(|violation| violation.kind.name()).collect()
    }

    #[test]
    fn units_that_are_left_are_held() {
        let partial = with(Status::Paid, Counters { cancelled: 1, ..Counters::default() });
        assert_eq!(kinds(&partial, &[]), ["order-without-hold"]);
        assert_eq!(kinds(&partial, &[hold(&partial, 1, None)]), [""; 0]);
    }

    #[test]
    fn a_settled_hold_keeps_the_counts_of_its_order() {
        let partial =
            with(Status::Paid, Counters { shipped: 1, returned: 1, restocked: 1, ..Counters::default() });
        assert_eq!(kinds(&partial, &[hold(&partial, 1, Some((1, 1)))]), [""; 0]);
        for counts in [(1, 0), (0, 1), (2, 1)] {
            let hold = hold(&partial, 1, Some(counts));
            assert_eq!(kinds(&partial, std::slice::from_ref(&hold)), ["counts-differ"], "{counts:?}");
            assert_eq!(kinds(&partial, &[Hold { at: minutes_ago(1), ..hold.clone() }]), [""; 0]);
            let decided = CheckedOrder { updated_at: minutes_ago(1), ..partial.clone() };
            assert_eq!(kinds(&decided, &[hold]), [""; 0]);
        }
    }

    #[test]
    fn parts_have_no_more_units_than_there_are() {
        let of = |cancelled, shipped, returned, returning| {
            let counters = Counters { cancelled, shipped, returned, returning, ..Counters::default() };
            kinds(&with(Status::Shipped, counters), &[])
        };
        assert_eq!(of(1, 1, 0, 1), [""; 0]);
        for (cancelled, shipped, returned, returning) in [(1, 2, 0, 0), (0, 2, 1, 2), (0, 2, 0, 3)] {
            assert_eq!(of(cancelled, shipped, returned, returning), ["parts-exceed-quantity"]);
        }
    }

    #[test]
    fn a_status_follows_from_the_units() {
        let of =
            |cancelled, shipped, returned| Counters { cancelled, shipped, returned, ..Counters::default() };
        let (open, half) = ([Status::Placed, Status::Paid], [Status::Shipped, Status::Delivered]);
        for (counters, allowed) in [
            (of(0, 0, 0), &open[..]),
            (of(1, 0, 0), &open[..]),
            (of(0, 1, 1), &open[..]),
            (of(2, 0, 0), &[Status::Cancelled][..]),
            (of(0, 2, 0), &half[..]),
            (of(1, 1, 0), &half[..]),
            (of(0, 2, 1), &half[..]),
            (of(0, 2, 2), &[Status::Returned][..]),
            (of(1, 1, 1), &[Status::Returned][..]),
        ] {
            for status in Status::ALL {
                let found = check_status(&with(status, counters)).map(|violation| violation.kind.name());
                let is_right = status == Status::Refunded || allowed.contains(&status);
                assert_eq!(found.is_none(), is_right, "{status:?} {counters:?}");
                assert!(found.is_none_or(|kind| kind == "status-is-not-derived"));
            }
        }
    }

    #[test]
    fn a_placed_order_is_paid_once_the_payable_amount_is() {
        let placed = CheckedOrder { total: 10, sum: 10, payable: 6, paid: 5, ..order(Status::Placed, 1) };
        assert_eq!(kinds(&placed, &[]), [""; 0]);
        assert_eq!(kinds(&CheckedOrder { paid: 6, ..placed }, &[]), ["paid-but-placed"]);
    }
}
