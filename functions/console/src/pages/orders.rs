//! List of orders: saved views, filters and search.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use maud::{Markup, html};
use proto::orders::v1::{ListOrdersRequest, ListOrdersResponse};
use shared::error::{Error, Kind};

use crate::Console;
use crate::http::{Answer, Live, Place, Query, Visit};
use crate::layout;
use crate::texts::orders as texts;

mod filters;
mod form;
mod search;
mod shipping;
pub(super) mod slips;
mod table;

use filters::{Filters, PATH, VIEWS};

/// Routes of the page.
pub(crate) fn routes() -> Router<Arc<Console>> {
    Router::new().route(PATH, get(list)).merge(shipping::routes()).merge(slips::routes())
}

/// Shows the orders that the parameters of the URL select, or the results of a search.
async fn list(visit: Visit, query: Query, live: Live) -> Answer {
    if let Some(text) = query.get("q") {
        return search::answer(&visit, text).await;
    }
    let filters = Filters::from_query(&query);
    let found = match filters.request() {
        Ok(request) => fetch(&visit, request).await,
        Err(error) => Err(error),
    };
    match found {
        Ok(found) => {
            let list = results(&visit, &filters, &found);
            let around = |list: &Markup| page(&visit, &filters, &html! {}, list);
            Ok(live.answer(&visit, texts::TITLE, Place::Orders, &list, around))
        }
        // The caller's own filter is at fault: the form keeps it, to be corrected.
        Err(error) if is_bad_filter(&error) => {
            let body = page(&visit, &filters, &layout::problem(&error), &html! {});
            Ok(visit.refused(&error, texts::TITLE, Place::Orders, body))
        }
        Err(error) => Err(error.into()),
    }
}

/// Asks the orders function for a page.
async fn fetch(visit: &Visit, request: ListOrdersRequest) -> Result<ListOrdersResponse, Error> {
    Ok(visit.orders().list_orders(visit.request(request)).await?.into_inner())
}

/// True for an error of the filters themselves.
fn is_bad_filter(error: &Error) -> bool {
    matches!(error.kind(), Kind::InvalidQuery | Kind::Validation)
}

/// Renders the page, with either a problem or a list.
fn page(visit: &Visit, filters: &Filters, problem: &Markup, list: &Markup) -> Markup {
    html! {
        (heading(visit, "", Some(filters)))
        (problem)
        (form::filters(visit, filters))
        (list)
    }
}

/// Renders the top of the page. `filters` are absent for results of a search, which are no view.
fn heading(visit: &Visit, searched: &str, filters: Option<&Filters>) -> Markup {
    html! {
        h1 { (texts::TITLE) }
        (form::search(visit, searched))
        nav.views aria-label=(texts::VIEWS) {
            @for view in &VIEWS {
                @let is_shown = filters.is_some_and(|filters| view.selects(filters, visit.now()));
                a href=(visit.path(&view.filters(visit.now()).path())) aria-current=[is_shown.then_some("page")] {
                    (view.label)
                }
            }
        }
        (slips::chooser(visit))
    }
}

/// Renders a page of the list, or a sentence if it is empty.
fn results(visit: &Visit, filters: &Filters, found: &ListOrdersResponse) -> Markup {
    html! {
        @if found.data.is_empty() {
            p { (none(filters)) }
            @if !filters.are_none() {
                p { a href=(visit.path(PATH)) { (texts::ALL_ORDERS) } }
            }
        } @else {
            (slips::all_to_pack(visit, &found.data))
            (table::live_table(visit, texts::TITLE, &found.data))
        }
        (pager(visit, filters, found.next_cursor.as_deref()))
    }
}

/// Sentence for an empty page.
fn none(filters: &Filters) -> &'static str {
    if filters.get("cursor").is_some() {
        texts::NO_MORE
    } else if filters.are_none() {
        texts::NONE_YET
    } else {
        texts::NONE_MATCH
    }
}

/// Renders the links to other pages. The API has no cursor of the previous page: the browser goes back by itself.
fn pager(visit: &Visit, filters: &Filters, next_cursor: Option<&str>) -> Markup {
    let is_later = filters.get("cursor").is_some();
    let next = match filters.get("sort") {
        None | Some("-created_at") => texts::OLDER,
        Some(_) => texts::NEXT_PAGE,
    };
    html! {
        @if is_later || next_cursor.is_some() {
            nav.pager aria-label=(texts::PAGES) {
                @if is_later {
                    a href=(visit.path(&filters.without("cursor").path())) { (texts::FIRST_PAGE) }
                }
                @if let Some(cursor) = next_cursor {
                    a rel="next" href=(visit.path(&filters.at(cursor).path())) { (next) }
                }
            }
        }
    }
}
