//! Open orders with units of the product: for whom it is reserved.

use maud::{Markup, html};
use proto::common::v1::PageRequest;
use proto::orders::v1::{ListOrdersRequest, ListOrdersResponse, Order};
use proto::products::v1::Product;
use shared::error::Error;

use crate::http::{Query, Visit};
use crate::layout;
use crate::texts::product as texts;

/// Most orders that are shown.
const LIMIT: i64 = 50;

/// Statuses of orders that hold stock.
const OPEN: &str = "placed,paid";

/// Asks for the open orders with the product, newest first.
pub(super) async fn fetch(visit: &Visit, id: &str) -> Result<ListOrdersResponse, Error> {
    let request = ListOrdersRequest {
        page: Some(PageRequest { limit: Some(LIMIT), cursor: None }),
        status: Some(OPEN.to_owned()),
        product_id: Some(id.to_owned()),
        ..Default::default()
    };
    Ok(visit.orders().list_orders(visit.request(request)).await?.into_inner())
}

/// Renders the orders with the units that each has left, and their sum beside the reserved units.
pub(super) fn card(visit: &Visit, product: &Product, orders: &ListOrdersResponse) -> Markup {
    let reserved = product.stock.unwrap_or_default().reserved;
    let holding: Vec<(&Order, i64)> = orders
        .data
        .iter()
        .map(|order| (order, left(order, &product.id)))
        .filter(|(_, units)| *units > 0)
        .collect();
    let sum = holding.iter().fold(0_i64, |sum, (_, units)| sum.saturating_add(*units));
    html! {
        section.card {
            h2 #holds { (texts::HOLDS) }
            @if holding.is_empty() {
                p { (texts::NO_HOLDS) }
            } @else {
                p { (texts::held(sum, reserved)) }
                (table(visit, &holding))
            }
            @if orders.next_cursor.is_some() {
                p {
                    (texts::MORE_ORDERS) " "
                    a href=(visit.path(&all(&product.id))) { (texts::ALL_OPEN_ORDERS) }
                }
            }
        }
    }
}

fn table(visit: &Visit, holding: &[(&Order, i64)]) -> Markup {
    html! {
        table.list aria-labelledby="holds" {
            thead {
                tr {
                    th scope="col" { (texts::ORDER) }
                    th scope="col" { (texts::STATUS) }
                    th.number scope="col" { (texts::UNITS) }
                }
            }
            tbody {
                @for (order, units) in holding {
                    tr {
                        td data-label=(texts::ORDER) {
                            a href=(visit.path(&format!("/console/orders/{}", order.id))) { (order.number) }
                        }
                        td data-label=(texts::STATUS) { (layout::badge(&order.status)) }
                        td.number data-label=(texts::UNITS) { (units) }
                    }
                }
            }
        }
    }
}

/// Units of the product that an order has left: neither cancelled nor shipped.
fn left(order: &Order, product: &str) -> i64 {
    let items = order.items.iter().filter(|item| item.product_id == product);
    items
        .map(|item| item.quantity.saturating_sub(item.cancelled).saturating_sub(item.shipped))
        .fold(0, i64::saturating_add)
}

/// Path of the list of all open orders with the product.
fn all(product: &str) -> String {
    Query::default().with("status", OPEN).with("product_id", product).link("/console/orders")
}

#[cfg(test)]
mod tests {
    use proto::orders::v1::OrderItem;

    use super::*;

    #[test]
    fn units_left_are_neither_cancelled_nor_shipped() {
        let item = |product: &str, quantity, cancelled, shipped| OrderItem {
            product_id: product.to_owned(),
            quantity,
            cancelled,
            shipped,
            ..Default::default()
        };
        let items = vec![item("mug", 9, 2, 3), item("pot", 5, 0, 0), item("mug", 1, 0, 0)];
        let order = Order { items, ..Default::default() };
        assert_eq!((left(&order, "mug"), left(&order, "pot"), left(&order, "hat")), (5, 5, 0));
    }

    #[test]
    fn the_list_of_all_has_both_filters() {
        let path = all("product_1");
        assert_eq!(path, "/console/orders?status=placed%2Cpaid&product_id=product_1");
    }
}
