//! Packing slips: one for each chosen order that waits for being shipped, each on a printed page of its own.
//!
//! A page has at most 50 orders, and asks for at most 8 of them at a time.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use form_urlencoded::Serializer;
use futures::{StreamExt as _, stream};
use maud::{Markup, html};
use proto::orders::v1::{GetOrderRequest, Order};
use shared::error::{Error, Kind};

use super::shipping::left;
use super::{filters, table};
use crate::Console;
use crate::http::{Answer, Place, Query, Visit};
use crate::layout;
use crate::pages::pasted::AT_ONCE;
use crate::texts::{shipping as shipping_texts, slips as texts};

mod slip;

/// Path of the page.
const PATH: &str = "/console/slips";

/// Parameter that names an order. It is repeated.
const ORDER: &str = "order";

/// Most orders of one page.
const MAX_ORDERS: usize = 50;

/// ID of the form that the checkboxes of a list belong to. It stands beside the list, which is printed without it.
const FORM: &str = "slips";

/// Routes of the page.
pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route(PATH, get(show))
}

/// Path of the slips of these orders.
pub(in crate::pages) fn path<'a>(ids: impl IntoIterator<Item = &'a str>) -> String {
    let mut query = Serializer::new(String::new());
    query.extend_pairs(ids.into_iter().map(|id| (ORDER, id)));
    format!("{PATH}?{}", query.finish())
}

/// Renders the form that makes slips of the chosen orders of a list, and the link to the page that ships many.
pub(super) fn chooser(visit: &Visit) -> Markup {
    html! {
        form.actions id=(FORM) method="get" action=(visit.path(PATH)) {
            button.quiet { (texts::OF_CHOSEN) }
            a href=(visit.path(super::shipping::PATH)) { (shipping_texts::TITLE) }
        }
    }
}

/// Renders the checkbox of an order, for its row in a list.
pub(super) fn choice(order: &Order) -> Markup {
    html! {
        label data-text=(texts::CHOOSE) {
            input type="checkbox" name=(ORDER) value=(order.id) form=(FORM) autocomplete="off"
                aria-label=(texts::choose(&order.number));
        }
    }
}

/// Renders the link to the slips of all orders of a list that are to be packed.
pub(super) fn all_to_pack(visit: &Visit, orders: &[Order]) -> Markup {
    let to_pack = || orders.iter().filter(|order| left::check(order, None).is_ok());
    let count = to_pack().count();
    html! {
        @if count > 0 {
            p.actions {
                a href=(visit.path(&path(to_pack().take(MAX_ORDERS).map(|order| order.id.as_str())))) {
                    (texts::all_to_pack(count, MAX_ORDERS))
                }
            }
        }
    }
}

/// Shows the slips of the orders that the URL names.
async fn show(visit: Visit, query: Query) -> Answer {
    let ids = match chosen(&query) {
        Ok(ids) => ids,
        Err(error) => {
            let body = html! {
                h1 { (texts::TITLE) }
                (layout::problem(&error))
                p { a href=(visit.path(filters::PATH)) { (texts::TO_ORDERS) } }
            };
            return Ok(visit.refused(&error, texts::TITLE, Place::Orders, body));
        }
    };
    let found = stream::iter(ids).map(|id| fetch(&visit, id)).buffered(AT_ONCE);
    let found: Vec<(String, Result<Order, Error>)> = found.collect().await;
    let (mut slips, mut left_out) = (Vec::new(), Vec::new());
    for (id, found) in found {
        match found {
            Ok(order) => match left::check(&order, None) {
                Ok(()) => slips.push(order),
                Err(reason) => left_out.push(LeftOut { id: Some(order.id), name: order.number, reason }),
            },
            Err(error) if error.kind() == Kind::Unauthenticated => return Err(error.into()),
            Err(error) => {
                left_out.push(LeftOut { id: None, name: id, reason: error.detail().to_owned() });
            }
        }
    }
    Ok(visit.page(texts::TITLE, Place::Orders, page(&visit, &slips, &left_out)))
}

/// IDs of the chosen orders, each once, in their order.
///
/// # Errors
/// 400 for none, and for too many.
fn chosen(query: &Query) -> Result<Vec<String>, Error> {
    let mut seen = HashSet::new();
    let ids: Vec<String> = query.all(ORDER).filter(|id| seen.insert(*id)).map(str::to_owned).collect();
    match ids.len() {
        0 => Err(Error::new(Kind::InvalidQuery, texts::NONE_CHOSEN)),
        1..=MAX_ORDERS => Ok(ids),
        more => Err(Error::new(Kind::InvalidQuery, texts::too_many(more, MAX_ORDERS))),
    }
}

/// Asks for an order. An error is of this order alone.
async fn fetch(visit: &Visit, id: String) -> (String, Result<Order, Error>) {
    let request = visit.request(GetOrderRequest { id: id.clone() });
    let found = visit.orders().get_order(request).await;
    (id, found.map(tonic::Response::into_inner).map_err(Error::from))
}

/// Order that has no slip.
struct LeftOut {
    /// ID of an order that could be read.
    id: Option<String>,
    /// Its number, or what the URL has.
    name: String,
    reason: String,
}

fn page(visit: &Visit, slips: &[Order], left_out: &[LeftOut]) -> Markup {
    html! {
        div.unprinted {
            h1 { (texts::TITLE) }
            @if !left_out.is_empty() {
                div.problem role="alert" {
                    p { strong { (texts::LEFT_OUT) } }
                    ul {
                        @for LeftOut { id, name, reason } in left_out {
                            li {
                                @match id {
                                    Some(id) => { a href=(visit.path(&table::path(id))) { (name) } }
                                    None => { code { (name) } }
                                }
                                ": " (reason)
                            }
                        }
                    }
                }
            }
            p { (texts::printed(slips.len())) }
            p { a href=(visit.path(filters::PATH)) { (texts::TO_ORDERS) } }
        }
        @for order in slips { (slip::slip(visit, order)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: usize) -> String {
        (0..count).map(|id| format!("order=order_{id}&")).collect()
    }

    #[test]
    fn chosen_orders_are_named_once_each() {
        let query = Query::parse("order=b&x=1&order=a&order=+b+&order=");
        assert_eq!(chosen(&query).unwrap(), ["b", "a"]);
        assert_eq!(chosen(&Query::parse(&ids(50))).unwrap().len(), 50);
    }

    #[test]
    fn no_order_and_too_many_are_refused() {
        for (query, detail) in [
            (String::new(), "Choose at least one order in the list."),
            ("order=".to_owned(), "Choose at least one order in the list."),
            (ids(51), "Slips are made for at most 50 orders at once; 51 are chosen."),
        ] {
            let error = chosen(&Query::parse(&query)).unwrap_err();
            assert_eq!((error.kind(), error.detail()), (Kind::InvalidQuery, detail));
        }
    }

    #[test]
    fn a_path_names_each_order() {
        assert_eq!(path(["order_1", "a&b"]), "/console/slips?order=order_1&order=a%26b");
    }
}
