//! Table of orders.

use maud::{Markup, html};
use proto::orders::v1::Order;

use super::filters::Filters;
use super::slips;
use crate::http::Visit;
use crate::layout;
use crate::texts::{orders as texts, slips as slip_texts};

/// Columns: their headings, and true for numbers, which stand at the right.
const COLUMNS: [(&str, bool); 9] = [
    (texts::NUMBER, false),
    (texts::PLACED_AT, false),
    (texts::STATUS, false),
    (texts::PAYMENT, false),
    (texts::FULFILLMENT, false),
    (texts::RETURN, false),
    (texts::UNITS, true),
    (texts::TOTAL, true),
    (texts::CUSTOMER, false),
];

/// Renders orders as a table. `caption` is for screen readers.
pub(super) fn table(visit: &Visit, caption: &str, orders: &[Order]) -> Markup {
    with_rows(caption, &html! { @for order in orders { (row(visit, order, None)) } })
}

/// Renders the same table, whose rows have IDs: a live list follows them. A page may have one alone.
pub(super) fn live_table(visit: &Visit, caption: &str, orders: &[Order]) -> Markup {
    with_rows(caption, &html! { @for order in orders { (row(visit, order, Some(&order.id))) } })
}

fn with_rows(caption: &str, rows: &Markup) -> Markup {
    html! {
        table.list {
            caption.hidden { (caption) }
            thead {
                tr {
                    td.choose { span.visually-hidden { (slip_texts::CHOOSE) } }
                    @for (heading, is_number) in COLUMNS {
                        th scope="col" class=[is_number.then_some("number")] { (heading) }
                    }
                }
            }
            tbody { (rows) }
        }
    }
}

fn row(visit: &Visit, order: &Order, id: Option<&str>) -> Markup {
    let customer = Filters::only("user_id", &order.user_id).path();
    html! {
        tr id=[id] {
            td.choose { (slips::choice(order)) }
            td data-label=(texts::NUMBER) { a href=(visit.path(&path(&order.id))) { (order.number) } }
            td data-label=(texts::PLACED_AT) { (layout::time(order.created_at.as_ref())) }
            td data-label=(texts::STATUS) { (layout::badge(&order.status)) }
            td data-label=(texts::PAYMENT) { (layout::badge(&order.payment_status)) }
            td data-label=(texts::FULFILLMENT) { (layout::badge(&order.fulfillment_status)) }
            td data-label=(texts::RETURN) {
                @if order.return_status != "none" { (layout::badge(&order.return_status)) }
            }
            td.number data-label=(texts::UNITS) { (units(order)) }
            td.number data-label=(texts::TOTAL) { (layout::money_of(order.total.as_ref())) }
            td data-label=(texts::CUSTOMER) {
                a href=(visit.path(&customer)) title=(order.user_id)
                    aria-label=(texts::orders_of(&short(&order.user_id))) { (short(&order.user_id)) }
            }
        }
    }
}

/// Path of an order's page.
pub(super) fn path(id: &str) -> String {
    format!("/console/orders/{id}")
}

/// Units that were ordered and are not cancelled.
fn units(order: &Order) -> i64 {
    let kept = order.items.iter().map(|item| item.quantity.saturating_sub(item.cancelled));
    kept.fold(0, i64::saturating_add)
}

/// End of an ID: its beginning is the time, which IDs of one day share.
fn short(id: &str) -> String {
    let end = id.len().checked_sub(6).and_then(|from| id.get(from..));
    end.map_or_else(|| id.to_owned(), |end| format!("…{end}"))
}

#[cfg(test)]
mod tests {
    use proto::orders::v1::OrderItem;

    use super::*;

    #[test]
    fn units_are_those_that_are_not_cancelled() {
        let item = |quantity, cancelled| OrderItem { quantity, cancelled, ..Default::default() };
        let order = Order { items: vec![item(5, 2), item(1, 0)], ..Default::default() };
        assert_eq!(units(&order), 4);
        assert_eq!(units(&Order::default()), 0);
    }

    #[test]
    fn a_short_id_is_the_end_of_the_id() {
        assert_eq!(short("user_01h455vb4pex5vsknk084sn02q"), "…4sn02q");
        assert_eq!(short("☕☕☕"), "…☕☕");
        for whole in ["", "user", "☕é☕"] {
            assert_eq!(short(whole), whole);
        }
    }
}
