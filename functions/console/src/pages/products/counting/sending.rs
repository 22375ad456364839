//! Lines that a preview has confirmed: each is sent with a key of its own, and has its own answer.

use futures::{StreamExt as _, stream};
use maud::{Markup, html};
use proto::products::v1::{Product, UpdateStockRequest};
use shared::error::{Error, Kind};

use super::PATH;
use crate::http::{Answer, Fields, Place, Visit};
use crate::layout;
use crate::pages::pasted::{self, AT_ONCE, head, no_preview};
use crate::pages::{product, products};
use crate::texts::{pasted as line_texts, products as texts};

/// Prefixes of the fields of a line. Its SKU follows.
const COUNT: &str = "count-";
const PRODUCT: &str = "product-";
const VERSION: &str = "version-";
const SEEN: &str = "seen-";

/// Line to be sent.
#[derive(Debug, PartialEq)]
struct Confirmed {
    sku: String,
    product: String,
    units: i64,
    /// Version that the preview showed.
    version: i64,
    /// Units on hand that the preview showed.
    seen: i64,
}

/// Outcome of a line that was not refused.
#[derive(Debug)]
enum Outcome {
    /// Product with the counted units.
    Counted(Box<Product>),
    /// Units have left or come since the preview, so nothing was sent.
    Moved,
}

/// Renders the hidden fields of a line.
pub(super) fn fields_of(sku: &str, product: &Product, units: i64) -> Markup {
    let seen = product.stock.unwrap_or_default().on_hand;
    html! {
        input type="hidden" name={ (COUNT) (sku) } value=(units);
        input type="hidden" name={ (PRODUCT) (sku) } value=(product.id);
        input type="hidden" name={ (VERSION) (sku) } value=(product.version);
        input type="hidden" name={ (SEEN) (sku) } value=(seen);
    }
}

/// Sends the lines, and shows the answer for each. Reloading that page sends the same keys: nothing is done twice.
pub(super) async fn answer(visit: &Visit, fields: &Fields) -> Answer {
    let lines = confirmed(fields)?;
    let reason = fields.get("reason");
    // A form without its key could be counted twice.
    let form_key = fields.key().ok_or_else(no_preview)?;
    let sent = stream::iter(lines).map(|line| send(visit, line, form_key, reason)).buffered(AT_ONCE);
    let answers: Vec<(Confirmed, Result<Outcome, Error>)> = sent.collect().await;
    Ok(visit.page(texts::COUNTING, Place::Products, page(visit, &answers)))
}

/// Reads the lines of a form.
///
/// # Errors
/// 422 for fields that no preview has made.
fn confirmed(fields: &Fields) -> Result<Vec<Confirmed>, Error> {
    pasted::confirmed(fields, COUNT, |sku| confirmed_line(fields, sku))
}

fn confirmed_line(fields: &Fields, sku: &str) -> Result<Confirmed, Error> {
    let number = |prefix: &str| fields.number(&format!("{prefix}{sku}"));
    let product = fields.get(&format!("{PRODUCT}{sku}"));
    Ok(Confirmed {
        sku: sku.to_owned(),
        product: product.ok_or_else(no_preview)?.to_owned(),
        units: number(COUNT)?.ok_or_else(no_preview)?,
        version: number(VERSION)?.ok_or_else(no_preview)?,
        seen: number(SEEN)?.ok_or_else(no_preview)?,
    })
}

/// Sends a line. An error is its answer, and does not keep others from being sent.
async fn send(
    visit: &Visit,
    line: Confirmed,
    form_key: &str,
    reason: Option<&str>,
) -> (Confirmed, Result<Outcome, Error>) {
    let answer = count(visit, &line, form_key, reason).await;
    (line, answer)
}

async fn count(
    visit: &Visit,
    line: &Confirmed,
    form_key: &str,
    reason: Option<&str>,
) -> Result<Outcome, Error> {
    let count = UpdateStockRequest {
        id: line.product.clone(),
        on_hand: Some(line.units),
        delta: None,
        reason: reason.map(str::to_owned),
        expected_version: Some(line.version),
    };
    if product::moved_since(visit, &count, line.seen).await?.is_some() {
        return Ok(Outcome::Moved);
    }
    let mut request = visit.request(count);
    request.metadata_mut().insert("idempotency-key", pasted::key(form_key, &line.sku)?);
    let product = visit.products().update_stock(request).await?.into_inner();
    Ok(Outcome::Counted(Box::new(product)))
}

fn page(visit: &Visit, answers: &[(Confirmed, Result<Outcome, Error>)]) -> Markup {
    let columns = [(texts::SKU, false), (texts::NEW_COUNT, true), (line_texts::ANSWER, false)];
    html! {
        h1 { (texts::COUNTING) }
        p role="status" { (texts::COUNTED) }
        table.list {
            caption.visually-hidden { (line_texts::ANSWER) }
            (head(&columns))
            tbody {
                @for (line, answer) in answers {
                    tr {
                        td data-label=(texts::SKU) {
                            a href=(visit.path(&products::path(&line.product))) { (line.sku) }
                        }
                        td.number data-label=(texts::NEW_COUNT) { (line.units) }
                        td data-label=(line_texts::ANSWER) { (in_words(answer)) }
                    }
                }
            }
        }
        p.actions {
            a href=(visit.path(PATH)) { (texts::COUNT_MORE) } " "
            a href=(visit.path(products::PATH)) { (texts::TO_PRODUCTS) }
        }
    }
}

/// Renders the answer for a line.
fn in_words(answer: &Result<Outcome, Error>) -> Markup {
    match answer {
        Ok(Outcome::Counted(product)) => {
            html! { (texts::now_on_hand(product.stock.unwrap_or_default().on_hand)) }
        }
        Ok(Outcome::Moved) => html! { (texts::UNITS_MOVED) },
        Err(error) if error.kind() == Kind::VersionMismatch => html! { (texts::SINCE_PREVIEW) },
        Err(error) => layout::problem(error),
    }
}

#[cfg(test)]
mod tests {
    use proto::products::v1::Stock;

    use super::*;

    fn fields(body: &str) -> Fields {
        Fields::of(PATH, body)
    }

    #[test]
    fn the_lines_of_a_preview_are_read_again() {
        let read = confirmed(&fields(
            "key=k&count-A.1=47&product-A.1=product_1&version-A.1=3&seen-A.1=50\
             &count-B=0&product-B=product_2&version-B=1&seen-B=2",
        ));
        let line = |sku: &str, product: &str, units, version, seen| Confirmed {
            sku: sku.to_owned(),
            product: product.to_owned(),
            units,
            version,
            seen,
        };
        assert_eq!(read.unwrap(), [line("A.1", "product_1", 47, 3, 50), line("B", "product_2", 0, 1, 2)]);
    }

    #[test]
    fn fields_that_no_preview_has_made_are_refused() {
        for bad in [
            "",
            "count-A=",
            "count-A=1",
            "count-A=1&product-A=p",
            "count-A=x&product-A=p&version-A=1&seen-A=1",
            "count-A=1&product-A=p&version-A=1.5&seen-A=1",
            "count-A=1&product-A=p&version-A=1",
        ] {
            assert_eq!(confirmed(&fields(bad)).unwrap_err().kind(), Kind::Validation, "{bad}");
        }
    }

    #[test]
    fn an_answer_is_in_words() {
        let stock = Stock { on_hand: 47, reserved: 0, available: 47 };
        let product = Product { stock: Some(stock), ..Default::default() };
        let counted = Ok(Outcome::Counted(Box::new(product)));
        assert_eq!(in_words(&counted).into_string(), "Counted: 47 on hand.");
        let outdated = Err(Error::new(Kind::VersionMismatch, "x"));
        assert!(in_words(&outdated).into_string().starts_with("Not counted: somebody else"));
        assert!(
            in_words(&Ok(Outcome::Moved)).into_string().starts_with("Not counted. Since the preview, units")
        );
        let refused = Err(Error::new(Kind::StockBelowReserved, "5 on hand, <3> reserved."));
        assert!(in_words(&refused).into_string().contains("5 on hand, &lt;3&gt; reserved."));
    }
}
