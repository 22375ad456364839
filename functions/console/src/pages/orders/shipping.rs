//! Page that ships many orders: lines of text, a preview, and the answer for each line.
//!
//! - `lines`: lines of parcels
//! - `left`: what an order has left to ship
//! - `preview`: the table of a preview, and its form
//! - `sending`: calls for confirmed lines, and their answers

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use maud::{Markup, html};
use proto::common::v1::PageRequest;
use proto::orders::v1::{ListOrdersRequest, Order};
use shared::error::{Error, Kind};

use crate::Console;
use crate::http::{Answer, Fields, Place, Visit};
use crate::layout;
use crate::pages::pasted::{self, AT_ONCE, CONFIRMED};
use crate::texts::{pasted as line_texts, shipping as texts};

pub(super) mod left;
mod lines;
mod preview;
mod sending;

use lines::{Line, Reference, is_same};
use preview::Row;

/// Path of the page. It is not below that of the list, where the pages of single orders are.
pub(super) const PATH: &str = "/console/shipping";

/// Routes of the page.
pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route(PATH, get(ask).post(send))
}

/// Shows the empty form.
async fn ask(visit: Visit) -> Answer {
    let body = html! {
        h1 { (texts::TITLE) }
        (form(&visit, "", "", line_texts::PREVIEW))
    };
    Ok(visit.page(texts::TITLE, Place::Orders, body))
}

/// Shows a preview of the lines, or sends those that a preview has confirmed.
async fn send(visit: Visit, fields: Fields) -> Answer {
    if fields.get(CONFIRMED).is_some() {
        return sending::answer(&visit, &fields).await;
    }
    let (text, carrier) = (fields.get("lines").unwrap_or_default(), fields.get("carrier"));
    let form_again = |button| form(&visit, text, carrier.unwrap_or_default(), button);
    Ok(match find_all(&visit, text, carrier).await {
        Ok(rows) => {
            let body = html! {
                h1 { (texts::TITLE) }
                (preview::preview(&visit, &rows, &preview::rest(text, &rows)))
                h2 { (line_texts::CORRECT) }
                (form_again(line_texts::PREVIEW_AGAIN))
            };
            visit.page(texts::TITLE, Place::Orders, body)
        }
        Err(error) => {
            let body = html! {
                h1 { (texts::TITLE) }
                (layout::problem(&error))
                (form_again(line_texts::PREVIEW))
            };
            visit.refused(&error, texts::TITLE, Place::Orders, body)
        }
    })
}

/// Renders the form for lines, with what was sent.
fn form(visit: &Visit, text: &str, carrier: &str, button: &str) -> Markup {
    let fields = html! {
        (pasted::field(texts::LINES, texts::LINES_HINT, texts::LINES_EXAMPLE, text))
        (layout::field(texts::CARRIER, html! {
            input type="text" name="carrier" value=(carrier) maxlength=(Reference::MAX) autocomplete="off";
        }))
        div.actions { button { (button) } }
    };
    visit.form(PATH, fields)
}

/// Reads lines, and finds the order of each.
///
/// # Errors
/// 422 for no line at all, and for too many.
async fn find_all(visit: &Visit, text: &str, carrier: Option<&str>) -> Result<Vec<Row>, Error> {
    let lines = lines::read(text, carrier)?;
    let found = stream::iter(lines).map(|line| look_up(visit, line)).buffered(AT_ONCE);
    found.try_collect().await
}

/// Finds the order of a line, unless the line has a problem already.
async fn look_up(visit: &Visit, line: Line) -> Result<Row, Error> {
    let Line { line, number, parcel } = line;
    let tracking = match parcel {
        Ok(tracking) => tracking,
        Err(problem) => return Ok(Row { line, number, order: None, parcel: Err(problem) }),
    };
    let order = find(visit, &number).await?;
    let parcel = match &order {
        None => Err(texts::UNKNOWN_NUMBER.to_owned()),
        Some(order) => left::check(order, tracking.number.as_deref()).map(|()| tracking),
    };
    Ok(Row { line, number, order, parcel })
}

/// Asks for the order of a number.
async fn find(visit: &Visit, number: &str) -> Result<Option<Order>, Error> {
    let request = ListOrdersRequest {
        page: Some(PageRequest { limit: Some(1), cursor: None }),
        number: Some(number.to_owned()),
        ..Default::default()
    };
    let found = visit.orders().list_orders(visit.request(request)).await.map_err(Error::from);
    match found {
        // A wrong order would be shipped, so that it has this number is checked here, too.
        Ok(found) => Ok(found.into_inner().data.into_iter().find(|order| is_same(&order.number, number))),
        // Text that is no order number is the number of no order.
        Err(error) if error.kind() == Kind::InvalidQuery => Ok(None),
        Err(error) => Err(error),
    }
}
