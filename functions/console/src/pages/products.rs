//! List of products: search, filters and stock.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use maud::{Markup, html};
use proto::products::v1::{ListProductsRequest, ListProductsResponse, Product};
use shared::error::{Error, Kind};

use crate::Console;
use crate::http::{Answer, Live, Place, Query, Visit};
use crate::layout;
use crate::texts::products as texts;

mod counting;
mod filters;

use filters::{Filters, PATH};

/// Routes of the list, and of the page that counts many.
pub(crate) fn routes() -> Router<Arc<Console>> {
    Router::new().route(PATH, get(list)).merge(counting::routes())
}

/// Path of a product's page.
pub(crate) fn path(id: &str) -> String {
    format!("{PATH}/{id}")
}

/// Shows the products that the parameters of the URL select.
async fn list(visit: Visit, query: Query, live: Live) -> Answer {
    let filters = Filters::from_query(&query);
    let found = match filters.request() {
        Ok(request) => fetch(&visit, request).await,
        Err(error) => Err(error),
    };
    match found {
        Ok(found) => {
            let list = results(&visit, &filters, &found);
            let around = |list: &Markup| page(&visit, &filters, list);
            Ok(live.answer(&visit, texts::TITLE, Place::Products, &list, around))
        }
        // The caller's own filter is at fault: the form keeps it, to be corrected.
        Err(error) if matches!(error.kind(), Kind::InvalidQuery | Kind::Validation) => {
            let body = page(&visit, &filters, &layout::problem(&error));
            Ok(visit.refused(&error, texts::TITLE, Place::Products, body))
        }
        Err(error) => Err(error.into()),
    }
}

/// Asks the products function for a page.
async fn fetch(visit: &Visit, request: ListProductsRequest) -> Result<ListProductsResponse, Error> {
    Ok(visit.products().list_products(visit.request(request)).await?.into_inner())
}

/// Renders the page around a list or a problem.
fn page(visit: &Visit, filters: &Filters, content: &Markup) -> Markup {
    html! {
        h1 { (texts::TITLE) }
        p.actions { a href=(visit.path(counting::PATH)) { (texts::COUNTING) } }
        (form(visit, filters))
        (content)
    }
}

/// Renders search and filters. They are sent by GET, so that their URLs can be bookmarked.
fn form(visit: &Visit, filters: &Filters) -> Markup {
    let folded = ["status", "sku", "currency", "min_price", "max_price", "in_stock", "sort"];
    let is_open = folded.into_iter().any(|name| filters.get(name).is_some());
    html! {
        form.filters role="search" method="get" action=(visit.path(PATH)) {
            (layout::field(texts::SEARCH, html! {
                input type="search" name="q" value=[filters.get("q")] placeholder=(texts::SEARCH_HINT) maxlength="100"
                    autocomplete="off";
            }))
            details open[is_open] {
                summary { (texts::FILTERS) }
                fieldset.choices {
                    legend { (texts::STATUS) }
                    @for (status, label) in texts::STATUSES {
                        label {
                            input type="checkbox" name="status" value=(status) checked[filters.has("status", status)];
                            " " (label)
                        }
                    }
                }
                div.fields {
                    (layout::field(texts::SKU, text("sku", filters)))
                    (layout::field(texts::CURRENCY, html! {
                        input type="text" name="currency" value=[filters.get("currency")] maxlength="3" size="3"
                            autocomplete="off";
                    }))
                    (layout::field(texts::MIN_PRICE, price("min_price", filters)))
                    (layout::field(texts::MAX_PRICE, price("max_price", filters)))
                    (layout::field(texts::IN_STOCK, in_stock(filters)))
                    (layout::field(texts::SORT, sort(filters)))
                }
            }
            div.actions {
                button { (texts::APPLY) }
                a href=(visit.path(PATH)) { (texts::CLEAR) }
            }
        }
    }
}

fn text(name: &str, filters: &Filters) -> Markup {
    html! { input type="text" name=(name) value=[filters.get(name)] autocomplete="off"; }
}

fn price(name: &str, filters: &Filters) -> Markup {
    html! { input type="text" inputmode="decimal" name=(name) value=[filters.get(name)] autocomplete="off"; }
}

fn in_stock(filters: &Filters) -> Markup {
    let chosen = filters.get("in_stock");
    html! {
        select name="in_stock" {
            option value="" { (texts::ANY) }
            option value="true" selected[chosen == Some("true")] { (texts::AVAILABLE_SOME) }
            option value="false" selected[chosen == Some("false")] { (texts::AVAILABLE_NONE) }
        }
    }
}

fn sort(filters: &Filters) -> Markup {
    let chosen = filters.get("sort");
    html! {
        select name="sort" {
            // The default has no value, so that it does not open the filters.
            @for (place, (sort, label)) in texts::SORTS.into_iter().enumerate() {
                @let value = if place == 0 { "" } else { sort };
                option value=(value) selected[chosen == Some(sort)] { (label) }
            }
        }
    }
}

/// Renders a page of the list, or a sentence if it is empty.
fn results(visit: &Visit, filters: &Filters, found: &ListProductsResponse) -> Markup {
    html! {
        @if found.data.is_empty() {
            p { (none(filters)) }
            @if !filters.are_none() {
                p { a href=(visit.path(PATH)) { (texts::ALL_PRODUCTS) } }
            }
        } @else {
            (table(visit, &found.data))
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

/// Columns: their headings, and true for numbers, which stand at the right.
const COLUMNS: [(&str, bool); 7] = [
    (texts::SKU, false),
    (texts::NAME, false),
    (texts::STATUS, false),
    (texts::PRICE, true),
    (texts::ON_HAND, true),
    (texts::RESERVED, true),
    (texts::AVAILABLE, true),
];

fn table(visit: &Visit, products: &[Product]) -> Markup {
    html! {
        table.list {
            caption.visually-hidden { (texts::TITLE) }
            thead {
                tr {
                    @for (heading, is_number) in COLUMNS {
                        th scope="col" class=[is_number.then_some("number")] { (heading) }
                    }
                }
            }
            tbody {
                @for product in products { (row(visit, product)) }
            }
        }
    }
}

fn row(visit: &Visit, product: &Product) -> Markup {
    let stock = product.stock.unwrap_or_default();
    html! {
        tr id=(product.id) {
            td data-label=(texts::SKU) { (product.sku) }
            td data-label=(texts::NAME) { a href=(visit.path(&path(&product.id))) { (product.name) } }
            td data-label=(texts::STATUS) { (layout::badge(&product.status)) }
            td.number data-label=(texts::PRICE) { (layout::money_of(product.price.as_ref())) }
            td.number data-label=(texts::ON_HAND) { (stock.on_hand) }
            td.number data-label=(texts::RESERVED) { (stock.reserved) }
            td.number data-label=(texts::AVAILABLE) { (stock.available) }
        }
    }
}

/// Renders the links to other pages. The API has no cursor of the previous page: the browser goes back by itself.
fn pager(visit: &Visit, filters: &Filters, next_cursor: Option<&str>) -> Markup {
    let is_later = filters.get("cursor").is_some();
    html! {
        @if is_later || next_cursor.is_some() {
            nav.pager aria-label=(texts::PAGES) {
                @if is_later {
                    a href=(visit.path(&filters.first_page())) { (texts::FIRST_PAGE) }
                }
                @if let Some(cursor) = next_cursor {
                    a rel="next" href=(visit.path(&filters.page_at(cursor))) { (texts::MORE) }
                }
            }
        }
    }
}
