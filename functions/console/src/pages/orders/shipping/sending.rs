//! Lines that a preview has confirmed: each is sent with a key of its own, and has its own answer.

use futures::{StreamExt as _, stream};
use maud::{Markup, html};
use proto::orders::v1::{CreateFulfillmentRequest, Fulfillment, Order, Tracking};
use shared::error::{Error, Kind};

use super::super::{filters, table};
use super::{PATH, form, preview};
use crate::http::{Answer, Fields, Place, Visit};
use crate::layout;
use crate::pages::pasted::{self, AT_ONCE, head, no_preview};
use crate::texts::{pasted as line_texts, shipping as texts};

/// Prefixes of the fields of a line. Its order number follows.
const ORDER: &str = "ship-";
const VERSION: &str = "version-";
const TRACKING_NUMBER: &str = "tracking-";
const CARRIER: &str = "carrier-";
const URL: &str = "url-";

/// Field with the lines that had a problem.
pub(super) const REST: &str = "rest";

/// Line to be sent.
#[derive(Debug, PartialEq)]
struct Confirmed {
    /// Order number.
    number: String,
    /// Order ID.
    order: String,
    /// Version that the preview showed.
    version: i64,
    tracking: Tracking,
}

/// Line that was sent, with its answer.
type Answered = (Confirmed, Result<Fulfillment, Error>);

/// Renders the hidden fields of a line.
pub(super) fn fields_of(order: &Order, tracking: &Tracking) -> Markup {
    let number = &order.number;
    html! {
        input type="hidden" name={ (ORDER) (number) } value=(order.id);
        input type="hidden" name={ (VERSION) (number) } value=(order.version);
        @for (prefix, value) in [
            (TRACKING_NUMBER, &tracking.number),
            (CARRIER, &tracking.carrier),
            (URL, &tracking.url),
        ] {
            @if let Some(value) = value { input type="hidden" name={ (prefix) (number) } value=(value); }
        }
    }
}

/// Sends the lines, and shows the answer for each. Reloading that page sends the same keys: nothing is done twice.
pub(super) async fn answer(visit: &Visit, fields: &Fields) -> Answer {
    let lines = pasted::confirmed(fields, ORDER, |number| confirmed_line(fields, number))?;
    // A form without its key could be shipped twice.
    let form_key = fields.key().ok_or_else(no_preview)?;
    let sent = stream::iter(lines).map(|line| send(visit, line, form_key)).buffered(AT_ONCE);
    let answers: Vec<Answered> = sent.collect().await;
    Ok(visit.page(texts::TITLE, Place::Orders, page(visit, &answers, fields.get(REST).unwrap_or_default())))
}

fn confirmed_line(fields: &Fields, number: &str) -> Result<Confirmed, Error> {
    let text = |prefix: &str| fields.get(&format!("{prefix}{number}")).map(str::to_owned);
    Ok(Confirmed {
        number: number.to_owned(),
        order: text(ORDER).ok_or_else(no_preview)?,
        version: fields.number(&format!("{VERSION}{number}"))?.ok_or_else(no_preview)?,
        tracking: Tracking {
            carrier: Some(text(CARRIER).ok_or_else(no_preview)?),
            number: Some(text(TRACKING_NUMBER).ok_or_else(no_preview)?),
            url: text(URL),
        },
    })
}

/// Sends a line. An error is its answer, and does not keep others from being sent.
async fn send(visit: &Visit, line: Confirmed, form_key: &str) -> Answered {
    let answer = ship(visit, &line, form_key).await;
    (line, answer)
}

/// Ships all that the order has left, as of the version that the preview showed.
async fn ship(visit: &Visit, line: &Confirmed, form_key: &str) -> Result<Fulfillment, Error> {
    let mut request = visit.request(CreateFulfillmentRequest {
        order_id: line.order.clone(),
        items: None,
        tracking: Some(line.tracking.clone()),
        expected_version: Some(line.version),
    });
    request.metadata_mut().insert("idempotency-key", pasted::key(form_key, &line.number)?);
    Ok(visit.orders().create_fulfillment(request).await?.into_inner())
}

fn page(visit: &Visit, answers: &[Answered], rest: &str) -> Markup {
    let columns = [(texts::ORDER, false), (texts::PARCEL, false), (line_texts::ANSWER, false)];
    let others = unshipped(answers, rest);
    html! {
        h1 { (texts::TITLE) }
        p role="status" { (texts::SENT) }
        table.list {
            caption.visually-hidden { (line_texts::ANSWER) }
            (head(&columns))
            tbody {
                @for (line, answer) in answers {
                    tr {
                        td data-label=(texts::ORDER) {
                            a href=(visit.path(&table::path(&line.order))) { (line.number) }
                        }
                        td data-label=(texts::PARCEL) { (preview::parcel(&line.tracking)) }
                        td data-label=(line_texts::ANSWER) { (in_words(answer)) }
                    }
                }
            }
        }
        @if !others.is_empty() {
            h2 { (texts::OTHERS) }
            p { (texts::OTHERS_HINT) }
            (form(visit, &others, "", line_texts::PREVIEW_AGAIN))
        }
        p.actions {
            a href=(visit.path(PATH)) { (texts::SHIP_MORE) } " "
            a href=(visit.path(filters::PATH)) { (texts::TO_ORDERS) }
        }
    }
}

/// Lines that were refused, have no answer, or were not sent, as they can be previewed again.
fn unshipped(answers: &[Answered], rest: &str) -> String {
    let refused = answers.iter().filter(|(_, answer)| answer.is_err()).map(|(line, _)| line);
    let lines = refused.map(|Confirmed { number, tracking, .. }| {
        let Tracking { carrier, number: tracking_number, url } = tracking;
        let values = [Some(number.as_str()), tracking_number.as_deref(), carrier.as_deref(), url.as_deref()];
        values.into_iter().flatten().collect::<Vec<_>>().join("\t")
    });
    let not_sent = rest.lines().map(str::to_owned);
    lines.chain(not_sent).collect::<Vec<_>>().join("\n")
}

/// Renders the answer for a line.
fn in_words(answer: &Result<Fulfillment, Error>) -> Markup {
    match answer {
        Ok(fulfillment) => {
            let units = fulfillment.items.iter().map(|item| item.quantity).fold(0, i64::saturating_add);
            html! { (texts::shipped(units)) }
        }
        Err(error) if error.kind() == Kind::VersionMismatch => html! { (texts::SINCE_PREVIEW) },
        Err(error) => layout::problem(error),
    }
}

#[cfg(test)]
mod tests {
    use proto::orders::v1::ItemQuantity;

    use super::*;

    fn line(number: &str, url: Option<&str>) -> Confirmed {
        let tracking = Tracking {
            carrier: Some("DHL".to_owned()),
            number: Some("0034".to_owned()),
            url: url.map(str::to_owned),
        };
        Confirmed { number: number.to_owned(), order: "order_1".to_owned(), version: 3, tracking }
    }

    fn read(body: &str) -> Result<Confirmed, Error> {
        confirmed_line(&Fields::of(PATH, body), "A-1")
    }

    #[test]
    fn the_lines_of_a_preview_are_read_again() {
        let body = "ship-A-1=order_1&version-A-1=3&tracking-A-1=0034&carrier-A-1=DHL";
        assert_eq!(read(body).unwrap(), line("A-1", None));
        let with_url = format!("{body}&url-A-1=https://a");
        assert_eq!(read(&with_url).unwrap(), line("A-1", Some("https://a")));
    }

    #[test]
    fn fields_that_no_preview_has_made_are_refused() {
        for bad in [
            "",
            "ship-A-1=order_1",
            "ship-A-1=order_1&version-A-1=x&tracking-A-1=0034&carrier-A-1=DHL",
            "ship-A-1=order_1&tracking-A-1=0034&carrier-A-1=DHL",
            "ship-A-1=order_1&version-A-1=3&tracking-A-1=0034",
            "ship-A-1=order_1&version-A-1=3&carrier-A-1=DHL",
            "ship-A-1=&version-A-1=3&tracking-A-1=0034&carrier-A-1=DHL",
        ] {
            assert_eq!(read(bad).unwrap_err().kind(), Kind::Validation, "{bad}");
        }
    }

    #[test]
    fn lines_that_were_not_shipped_can_be_previewed_again() {
        let refused = || Err(Error::new(Kind::VersionMismatch, "x"));
        let answers = [
            (line("A-1", None), refused()),
            (line("A-2", None), Ok(Fulfillment::default())),
            (line("A-3", Some("https://a")), refused()),
        ];
        let refused = "A-1\t0034\tDHL\nA-3\t0034\tDHL\thttps://a";
        assert_eq!(unshipped(&answers, ""), refused);
        assert_eq!(unshipped(&answers, "A-4;;\nA-5"), format!("{refused}\nA-4;;\nA-5"));
    }

    #[test]
    fn an_answer_is_in_words() {
        let items = |quantities: &[i64]| {
            let item = |quantity: &i64| ItemQuantity { quantity: *quantity, ..Default::default() };
            Ok(Fulfillment { items: quantities.iter().map(item).collect(), ..Default::default() })
        };
        assert_eq!(in_words(&items(&[1, 2])).into_string(), "Shipped: 3 units.");
        assert_eq!(in_words(&items(&[1])).into_string(), "Shipped: 1 unit.");
        let outdated = Err(Error::new(Kind::VersionMismatch, "x"));
        assert!(in_words(&outdated).into_string().starts_with("Not shipped: this order was changed"));
        let refused = Err(Error::new(Kind::InvalidTransition, "It is <cancelled>."));
        assert!(in_words(&refused).into_string().contains("It is &lt;cancelled&gt;."));
    }
}
