//! Preview of lines: what each would ship, or its problem, and the form that confirms them.

use maud::{Markup, html};
use proto::common::v1::Address;
use proto::orders::v1::{Order, Tracking};

use super::super::table;
use super::{PATH, left, sending};
use crate::http::Visit;
use crate::layout;
use crate::pages::pasted::{CONFIRMED, head};
use crate::texts::order::units_of;
use crate::texts::{pasted as line_texts, shipping as texts};

/// Most items of an order that a line names.
const MAX_NAMED: usize = 3;

/// Line of the preview.
pub(super) struct Row {
    /// Number of the line in the text, from 1.
    pub(super) line: usize,
    /// Order number, as it was typed.
    pub(super) number: String,
    /// Order of the number, if it was looked up and exists.
    pub(super) order: Option<Order>,
    /// Tracking of the parcel, or the line's problem.
    pub(super) parcel: Result<Tracking, String>,
}

/// Columns: their headings, and true for numbers, which stand at the right.
const COLUMNS: [(&str, bool); 7] = [
    (line_texts::LINE, true),
    (texts::ORDER, false),
    (texts::STATUS, false),
    (texts::RECIPIENT, false),
    (texts::LEFT, false),
    (texts::PARCEL, false),
    (line_texts::PROBLEM, false),
];

/// Lines of the text that have a problem.
pub(super) fn rest(text: &str, rows: &[Row]) -> String {
    let has_problem = |line: usize| rows.iter().any(|row| row.line == line && row.parcel.is_err());
    let lines = (1_usize..).zip(text.lines()).filter(|(line, _)| has_problem(*line));
    lines.map(|(_, text)| text).collect::<Vec<_>>().join("\n")
}

/// Renders the preview, with a form that confirms the lines without a problem. It carries the rest along, so that the
/// page of the answers has them, too.
pub(super) fn preview(visit: &Visit, rows: &[Row], rest: &str) -> Markup {
    let good = rows.iter().filter(|row| row.parcel.is_ok()).count();
    html! {
        p role="status" { (if good == 0 { texts::ALL_HAVE_PROBLEMS } else { texts::NOTHING_DONE_YET }) }
        table.list {
            caption.visually-hidden { (line_texts::PREVIEW) }
            (head(&COLUMNS))
            tbody {
                @for row in rows { (table_row(visit, row)) }
            }
        }
        @if good > 0 {
            (visit.form(PATH, html! {
                input type="hidden" name=(CONFIRMED) value="yes";
                @if !rest.is_empty() { input type="hidden" name=(sending::REST) value=(rest); }
                @for row in rows {
                    @if let (Some(order), Ok(tracking)) = (&row.order, &row.parcel) {
                        (sending::fields_of(order, tracking))
                    }
                }
                div.actions { button { (texts::ship(good)) } }
            }))
        }
    }
}

fn table_row(visit: &Visit, row: &Row) -> Markup {
    let order = row.order.as_ref();
    html! {
        tr {
            td.number data-label=(line_texts::LINE) { (row.line) }
            td data-label=(texts::ORDER) {
                @match order {
                    Some(order) => { a href=(visit.path(&table::path(&order.id))) { (order.number) } }
                    None => { (row.number) }
                }
            }
            td data-label=(texts::STATUS) { @if let Some(order) = order { (layout::badge(&order.status)) } }
            td data-label=(texts::RECIPIENT) {
                @if let Some(address) = order.and_then(|order| order.shipping_address.as_ref()) {
                    span { (recipient(address)) }
                }
            }
            td data-label=(texts::LEFT) { @if let Some(order) = order { (items_left(order)) } }
            td data-label=(texts::PARCEL) { @if let Ok(tracking) = &row.parcel { (parcel(tracking)) } }
            td data-label=(line_texts::PROBLEM) { @if let Err(problem) = &row.parcel { (problem) } }
        }
    }
}

/// Name or company of the recipient, and the city.
fn recipient(address: &Address) -> String {
    match address.name.as_deref().or(address.company.as_deref()) {
        Some(name) => format!("{name}, {}", address.city),
        None => address.city.clone(),
    }
}

/// Renders the units that are left to ship, of the first items.
fn items_left(order: &Order) -> Markup {
    let more = left::items(order).count().saturating_sub(MAX_NAMED);
    html! {
        @for (place, (item, units)) in left::items(order).take(MAX_NAMED).enumerate() {
            @if place > 0 { br; }
            span { (units_of(units, &item.name)) }
        }
        @if more > 0 { br; span.muted { (texts::more_items(more)) } }
    }
}

/// Renders tracking as text. A URL is no link before it is recorded.
pub(super) fn parcel(tracking: &Tracking) -> Markup {
    html! {
        span {
            (tracking.carrier.as_deref().unwrap_or_default()) " "
            code { (tracking.number.as_deref().unwrap_or_default()) }
            @if let Some(url) = &tracking.url { br; code { (url) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::orders::v1::OrderItem;

    use super::*;

    #[test]
    fn a_recipient_is_a_name_or_a_company_in_a_city() {
        let address = |name: Option<&str>, company: Option<&str>| Address {
            name: name.map(str::to_owned),
            company: company.map(str::to_owned),
            city: "Bonn".to_owned(),
            ..Default::default()
        };
        assert_eq!(recipient(&address(Some("Ada"), Some("Ada Ltd"))), "Ada, Bonn");
        assert_eq!(recipient(&address(None, Some("Ada Ltd"))), "Ada Ltd, Bonn");
        assert_eq!(recipient(&address(None, None)), "Bonn");
    }

    #[test]
    fn the_first_items_are_named_and_the_others_counted() {
        let item = |name: &str| OrderItem { name: name.to_owned(), quantity: 2, ..Default::default() };
        let order = |count: usize| Order {
            items: ["A", "<B>", "C", "D", "E"].into_iter().take(count).map(item).collect(),
            ..Default::default()
        };
        let three = items_left(&order(3)).into_string();
        assert!(three.contains("2 × &lt;B&gt;") && three.contains("2 × C"), "{three}");
        assert!(!three.contains("more"), "{three}");
        let five = items_left(&order(5)).into_string();
        assert!(five.contains("and 2 more items") && !five.contains("2 × D"), "{five}");
        assert!(items_left(&order(4)).into_string().contains("and 1 more item<"));
    }

    #[test]
    fn a_parcel_is_text_alone() {
        let text = |text: &str| Some(text.to_owned());
        let tracking = Tracking { carrier: text("<DHL>"), number: text("1"), url: text("https://a/?b&c") };
        let shown = parcel(&tracking).into_string();
        let expected = "<span>&lt;DHL&gt; <code>1</code><br><code>https://a/?b&amp;c</code></span>";
        assert_eq!(shown, expected);
    }
}
