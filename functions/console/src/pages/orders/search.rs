//! Search by whatever is known of an order.

use futures::future::join_all;
use maud::{Markup, html};
use proto::orders::v1::{ListOrdersResponse, Order};
use shared::error::Error;
use shared::values::ids::OrderId;

use super::filters::{Filters, PATH};
use super::{fetch, heading, is_bad_filter, table};
use crate::http::{Answer, Place, Visit};
use crate::texts::orders as texts;

/// Way to look for orders: a filter of the API, and the heading of what it finds.
type Lookup = (&'static str, &'static str);

const BY_EMAIL: [Lookup; 1] = [("email", texts::BY_EMAIL)];

/// Ways to look for a text that is no e-mail address, in the order of their results.
const BY_REFERENCE: [Lookup; 5] = [
    ("number", texts::BY_NUMBER),
    ("external_number", texts::BY_EXTERNAL_NUMBER),
    ("payment_reference", texts::BY_PAYMENT_REFERENCE),
    ("tracking_number", texts::BY_TRACKING_NUMBER),
    ("sku", texts::BY_SKU),
];

/// Orders that a lookup has found.
struct Found {
    heading: &'static str,
    filters: Filters,
    page: ListOrdersResponse,
}

/// Redirects to the one order that is meant, else shows the results of all lookups.
pub(super) async fn answer(visit: &Visit, text: &str) -> Answer {
    // The order's page says so if there is none of this ID.
    if text.parse::<OrderId>().is_ok() {
        return Ok(visit.redirect(&table::path(text)));
    }
    let lookups: &[Lookup] = if text.contains('@') { &BY_EMAIL } else { &BY_REFERENCE };
    let found = join_all(lookups.iter().copied().map(|lookup| look_up(visit, lookup, text))).await;
    let mut found = found.into_iter().collect::<Result<Vec<Found>, Error>>()?;
    found.retain(|found| !found.page.data.is_empty());
    if let Some(order) = only(&found) {
        return Ok(visit.redirect(&table::path(&order.id)));
    }
    Ok(visit.page(&texts::results(text), Place::Orders, page(visit, text, &found)))
}

/// Asks the orders function for the first orders that a filter finds.
async fn look_up(visit: &Visit, (name, heading): Lookup, text: &str) -> Result<Found, Error> {
    let filters = Filters::only(name, text);
    let page = match fetch(visit, filters.request()?).await {
        // The text has not the form of this filter's values, so there is no order with it.
        Err(error) if is_bad_filter(&error) => ListOrdersResponse::default(),
        found => found?,
    };
    Ok(Found { heading, filters, page })
}

/// The order that all lookups have found, if it is one alone.
fn only(found: &[Found]) -> Option<&Order> {
    let mut orders = found.iter().flat_map(|found| &found.page.data);
    let first = orders.next()?;
    let has_more = found.iter().any(|found| found.page.next_cursor.is_some());
    (!has_more && orders.all(|order| order.id == first.id)).then_some(first)
}

fn page(visit: &Visit, text: &str, found: &[Found]) -> Markup {
    html! {
        (heading(visit, text, None))
        @if found.is_empty() {
            p { (texts::nothing_found(text)) }
            p { a href=(visit.path(PATH)) { (texts::ALL_ORDERS) } }
        }
        @for found in found {
            section {
                h2 { (found.heading) }
                (table::table(visit, found.heading, &found.page.data))
                @if found.page.next_cursor.is_some() {
                    p { a href=(visit.path(&found.filters.path())) { (texts::MORE_OF_THEM) } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lookup that has found orders of these IDs, and maybe more.
    fn found(ids: &[&str], has_more: bool) -> Found {
        let order = |id: &&str| Order { id: (*id).to_owned(), ..Default::default() };
        let next_cursor = has_more.then(|| "next".to_owned());
        let page = ListOrdersResponse { data: ids.iter().map(order).collect(), next_cursor };
        Found { heading: texts::BY_SKU, filters: Filters::default(), page }
    }

    #[test]
    fn one_order_is_meant_however_often_it_is_found() {
        let meant = |found: &[Found]| only(found).map(|order| order.id.clone());
        assert_eq!(meant(&[]), None);
        assert_eq!(meant(&[found(&["a"], false)]).as_deref(), Some("a"));
        assert_eq!(meant(&[found(&["a"], false), found(&["a"], false)]).as_deref(), Some("a"));
        assert_eq!(meant(&[found(&["a"], false), found(&["b"], false)]), None);
        assert_eq!(meant(&[found(&["a", "b"], false)]), None);
        assert_eq!(meant(&[found(&["a"], true)]), None);
    }
}
