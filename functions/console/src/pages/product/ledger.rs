//! Ledger of the product: every change of the units on hand, newest first.

use maud::{Markup, html};
use proto::common::v1::PageRequest;
use proto::products::v1::{ListStockMovementsRequest, ListStockMovementsResponse, StockMovement};
use shared::error::Error;

use super::explanation::{Explanation, never_moved};
use crate::http::{Query, Visit};
use crate::layout;
use crate::pages::products;
use crate::texts::product as texts;

/// Movements on a page.
const LIMIT: i64 = 50;

/// Columns: their headings, and true for numbers, which stand at the right.
const COLUMNS: [(&str, bool); 7] = [
    (texts::TIME, false),
    (texts::CHANGE, true),
    (texts::ON_HAND_AFTER, true),
    (texts::RESERVED_AFTER, true),
    (texts::REASON, false),
    (texts::ORDER, false),
    (texts::BY, false),
];

/// Asks for a page of the ledger: the newest one without a cursor.
pub(super) async fn fetch(
    visit: &Visit,
    id: &str,
    cursor: Option<&str>,
) -> Result<ListStockMovementsResponse, Error> {
    let page = PageRequest { limit: Some(LIMIT), cursor: cursor.map(str::to_owned) };
    let request = ListStockMovementsRequest { product_id: id.to_owned(), page: Some(page) };
    Ok(visit.products().list_stock_movements(visit.request(request)).await?.into_inner())
}

/// Renders the sentence that explains the units on hand, from the newest page.
pub(super) fn explained(newest: &ListStockMovementsResponse, on_hand: i64) -> Markup {
    let explanation = Explanation::new(&newest.data, newest.next_cursor.is_none());
    explanation.map_or_else(|| never_moved(on_hand), |it| it.sentence())
}

/// Renders a page of the ledger.
pub(super) fn section(
    visit: &Visit,
    id: &str,
    ledger: &ListStockMovementsResponse,
    is_newest: bool,
) -> Markup {
    html! {
        section {
            h2 #ledger { (texts::LEDGER) }
            @if ledger.data.is_empty() {
                p { (if is_newest { texts::NO_MOVEMENTS } else { texts::NO_MORE_MOVEMENTS }) }
            } @else {
                (table(visit, &ledger.data))
            }
            (pager(visit, id, ledger.next_cursor.as_deref(), is_newest))
        }
    }
}

fn table(visit: &Visit, movements: &[StockMovement]) -> Markup {
    html! {
        table.list aria-labelledby="ledger" {
            thead {
                tr {
                    @for (heading, is_number) in COLUMNS {
                        th scope="col" class=[is_number.then_some("number")] { (heading) }
                    }
                }
            }
            tbody {
                @for movement in movements { (row(visit, movement)) }
            }
        }
    }
}

fn row(visit: &Visit, movement: &StockMovement) -> Markup {
    html! {
        tr {
            td data-label=(texts::TIME) { (layout::time(movement.at.as_ref())) }
            td.number data-label=(texts::CHANGE) { (signed(movement.delta)) }
            td.number data-label=(texts::ON_HAND_AFTER) { (movement.on_hand) }
            td.number data-label=(texts::RESERVED_AFTER) { (movement.reserved) }
            td data-label=(texts::REASON) { (movement.reason.as_deref().unwrap_or_default()) }
            td data-label=(texts::ORDER) {
                @if let Some(order) = &movement.order_id {
                    a href=(visit.path(&format!("/console/orders/{order}"))) { (order) }
                }
            }
            td data-label=(texts::BY) { (movement.by) }
        }
    }
}

/// Change with its sign, also above 0.
fn signed(delta: i64) -> String {
    format!("{delta:+}")
}

/// Renders the links to other pages of the ledger.
fn pager(visit: &Visit, id: &str, next_cursor: Option<&str>, is_newest: bool) -> Markup {
    let product = products::path(id);
    html! {
        @if !is_newest || next_cursor.is_some() {
            nav.pager aria-label=(texts::LEDGER_PAGES) {
                @if !is_newest { a href=(visit.path(&format!("{product}#ledger"))) { (texts::NEWEST) } }
                @if let Some(cursor) = next_cursor {
                    @let older = Query::default().with("cursor", cursor).link(&product);
                    a rel="next" href=(visit.path(&format!("{older}#ledger"))) { (texts::OLDER) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_has_its_sign() {
        assert_eq!([signed(5), signed(-3), signed(0)], ["+5", "-3", "+0"]);
    }
}
