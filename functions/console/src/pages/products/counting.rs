//! Page that counts many products: lines of text, a preview, and the answer for each line.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use maud::{Markup, html};
use proto::common::v1::PageRequest;
use proto::products::v1::{ListProductsRequest, Product};
use shared::error::{Error, Kind};
use shared::values::text::Reason;

use crate::Console;
use crate::http::{Answer, Fields, Place, Visit};
use crate::layout;
use crate::pages::pasted::{self, AT_ONCE, CONFIRMED, head};
use crate::texts::{pasted as line_texts, products as texts};

mod lines;
mod sending;

use lines::Line;

/// Path of the page.
pub(super) const PATH: &str = "/console/stock";

/// Routes of the page.
pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route(PATH, get(ask).post(send))
}

/// Shows the empty form.
async fn ask(visit: Visit) -> Answer {
    let body = html! {
        h1 { (texts::COUNTING) }
        (form(&visit, "", "", line_texts::PREVIEW))
    };
    Ok(visit.page(texts::COUNTING, Place::Products, body))
}

/// Shows a preview of the lines, or sends those that a preview has confirmed.
async fn send(visit: Visit, fields: Fields) -> Answer {
    if fields.get(CONFIRMED).is_some() {
        return sending::answer(&visit, &fields).await;
    }
    let text = fields.get("lines").unwrap_or_default();
    let reason = fields.get("reason").unwrap_or_default();
    let lines = match lines::read(text) {
        Ok(lines) => lines,
        Err(error) => {
            let body = html! {
                h1 { (texts::COUNTING) }
                (layout::problem(&error))
                (form(&visit, text, reason, line_texts::PREVIEW))
            };
            return Ok(visit.refused(&error, texts::COUNTING, Place::Products, body));
        }
    };
    let found = stream::iter(lines).map(|line| look_up(&visit, line)).buffered(AT_ONCE);
    let rows: Vec<Row> = found.try_collect().await?;
    let body = html! {
        h1 { (texts::COUNTING) }
        (preview(&visit, &rows, reason))
        h2 { (line_texts::CORRECT) }
        (form(&visit, text, reason, line_texts::PREVIEW_AGAIN))
    };
    Ok(visit.page(texts::COUNTING, Place::Products, body))
}

/// Renders the form for lines, with what was sent.
fn form(visit: &Visit, text: &str, reason: &str, button: &str) -> Markup {
    let fields = html! {
        (pasted::field(texts::LINES, texts::LINES_HINT, texts::LINES_EXAMPLE, text))
        (layout::field(texts::REASON, html! {
            input type="text" name="reason" value=(reason) maxlength=(Reason::MAX) autocomplete="off";
        }))
        div.actions { button { (button) } }
    };
    visit.form(PATH, fields)
}

/// Line of the preview.
struct Row {
    number: usize,
    sku: String,
    /// Product of the SKU, if it was looked up and exists.
    product: Option<Product>,
    /// Units on hand, or the line's problem.
    count: Result<i64, String>,
}

/// Finds the product of a line, unless the line has a problem already.
async fn look_up(visit: &Visit, line: Line) -> Result<Row, Error> {
    let Line { number, sku, count } = line;
    let units = match count {
        Ok(units) => units,
        Err(problem) => return Ok(Row { number, sku, product: None, count: Err(problem) }),
    };
    let product = find(visit, &sku).await?;
    let reserved = product.as_ref().map(|product| product.stock.unwrap_or_default().reserved);
    let count = match reserved {
        None => Err(texts::UNKNOWN_SKU.to_owned()),
        Some(reserved) if units < reserved => Err(texts::below_reserved(reserved)),
        Some(_) => Ok(units),
    };
    Ok(Row { number, sku, product, count })
}

/// Asks for the product of a SKU.
async fn find(visit: &Visit, sku: &str) -> Result<Option<Product>, Error> {
    let request = ListProductsRequest {
        page: Some(PageRequest { limit: Some(1), cursor: None }),
        sku: Some(sku.to_owned()),
        ..Default::default()
    };
    let found = visit.products().list_products(visit.request(request)).await.map_err(Error::from);
    match found {
        Ok(found) => Ok(found.into_inner().data.into_iter().next()),
        // Text that is no SKU is the SKU of no product.
        Err(error) if error.kind() == Kind::InvalidQuery => Ok(None),
        Err(error) => Err(error),
    }
}

/// Renders the preview, with a form that confirms the lines without a problem.
fn preview(visit: &Visit, rows: &[Row], reason: &str) -> Markup {
    let good = rows.iter().filter(|row| row.count.is_ok()).count();
    html! {
        p { (if good == 0 { texts::ALL_HAVE_PROBLEMS } else { texts::NOTHING_DONE_YET }) }
        (table(rows))
        @if good > 0 {
            (visit.form(PATH, html! {
                input type="hidden" name=(CONFIRMED) value="yes";
                input type="hidden" name="reason" value=(reason);
                @for row in rows {
                    @if let (Some(product), Ok(units)) = (&row.product, &row.count) {
                        (sending::fields_of(&row.sku, product, *units))
                    }
                }
                div.actions { button { (texts::count(good)) } }
            }))
        }
    }
}

/// Columns: their headings, and true for numbers, which stand at the right.
const COLUMNS: [(&str, bool); 7] = [
    (line_texts::LINE, true),
    (texts::SKU, false),
    (texts::NAME, false),
    (texts::ON_HAND, true),
    (texts::NEW_COUNT, true),
    (texts::DIFFERENCE, true),
    (line_texts::PROBLEM, false),
];

fn table(rows: &[Row]) -> Markup {
    html! {
        table.list {
            caption.visually-hidden { (line_texts::PREVIEW) }
            (head(&COLUMNS))
            tbody {
                @for row in rows { (table_row(row)) }
            }
        }
    }
}

fn table_row(row: &Row) -> Markup {
    let on_hand = row.product.as_ref().map(|product| product.stock.unwrap_or_default().on_hand);
    let units = row.count.as_ref().ok().copied();
    let difference = units.zip(on_hand).map(|(units, on_hand)| units.saturating_sub(on_hand));
    html! {
        tr {
            td.number data-label=(line_texts::LINE) { (row.number) }
            td data-label=(texts::SKU) { (row.sku) }
            td data-label=(texts::NAME) { @if let Some(product) = &row.product { (product.name) } }
            td.number data-label=(texts::ON_HAND) { @if let Some(on_hand) = on_hand { (on_hand) } }
            td.number data-label=(texts::NEW_COUNT) { @if let Some(units) = units { (units) } }
            td.number data-label=(texts::DIFFERENCE) {
                @if let Some(difference) = difference { (format!("{difference:+}")) }
            }
            td data-label=(line_texts::PROBLEM) { @if let Err(problem) = &row.count { (problem) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::products::v1::Stock;

    use super::*;

    fn row(count: Result<i64, String>) -> Row {
        let stock = Stock { on_hand: 50, reserved: 3, available: 47 };
        let product = Product { name: "<b>Mug</b>".to_owned(), stock: Some(stock), ..Default::default() };
        Row { number: 2, sku: "MUG".to_owned(), product: Some(product), count }
    }

    #[test]
    fn a_line_shows_what_would_change() {
        let shown = table_row(&row(Ok(47))).into_string();
        for cell in [">2</td>", ">MUG</td>", "&lt;b&gt;Mug&lt;/b&gt;", ">50</td>", ">47</td>", ">-3</td>"] {
            assert!(shown.contains(cell), "{cell} in {shown}");
        }
    }

    #[test]
    fn a_line_with_a_problem_has_no_difference() {
        let shown = table_row(&row(Err("is <bad>".to_owned()))).into_string();
        assert!(shown.contains("is &lt;bad&gt;") && !shown.contains(">0</td>"), "{shown}");
        assert!(!shown.contains('+'), "{shown}");
    }
}
