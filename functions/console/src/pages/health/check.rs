//! The consistency check, a part for each page. What was checked so far is in the URL.

use std::time::Duration;

use maud::{Markup, html};
use proto::orders::v1::{CheckConsistencyRequest, CheckConsistencyResponse, Violation};
use shared::error::{Error, Kind};

use super::PATH;
use crate::http::{Query, Visit};
use crate::layout;
use crate::pages::products;
use crate::texts::health as texts;

/// Maximum number of calls for a page. Products, holds and orders are checked one after the other, so a small shop
/// is checked as a whole.
const CALLS: usize = 3;

/// Maximum number of documents in a call.
const LIMIT: i64 = 300;

/// Maximum time of a call. All of them together end before the page must be there.
const TIMEOUT: Duration = Duration::from_secs(7);

/// Number of violations after which a page ends, and the most that it shows.
const MAX_VIOLATIONS: usize = 500;

/// Beginning of the kinds of documents that cannot be read.
const UNREADABLE: &str = "unreadable-";

/// Numbers of what was checked, from the beginning to the end of this page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    products: i64,
    orders: i64,
    /// Violations, with documents that cannot be read.
    violations: i64,
}

impl Counts {
    /// Counts of earlier pages. One that is no number is 0.
    fn from_query(query: &Query) -> Self {
        let count = |name| {
            let count = query.get(name).and_then(|text| text.parse::<i64>().ok());
            count.map_or(0, |count| count.max(0))
        };
        Self { products: count("products"), orders: count("orders"), violations: count("violations") }
    }

    /// Adds those of a part.
    fn add(&mut self, part: &CheckConsistencyResponse) {
        let read = part.checked.unwrap_or_default();
        let violations = i64::try_from(part.violations.len()).unwrap_or(i64::MAX);
        self.products = self.products.saturating_add(read.products);
        self.orders = self.orders.saturating_add(read.orders);
        self.violations = self.violations.saturating_add(violations);
    }

    /// Path of the page that goes on at this cursor.
    fn path_at(&self, cursor: &str) -> String {
        let query = Query::default().with("cursor", cursor);
        let query = query.with("products", &self.products.to_string());
        let query = query.with("orders", &self.orders.to_string());
        query.with("violations", &self.violations.to_string()).link(PATH)
    }
}

/// Part of the check.
#[derive(Debug, Default)]
pub(super) struct Checked {
    counts: Counts,
    violations: Vec<Violation>,
    /// Place of the next part. `None` at the beginning, and at the end.
    cursor: Option<String>,
    /// Number of parts that were read for this page.
    parts: usize,
    /// True if nothing is left.
    is_done: bool,
    /// Error that has ended it.
    error: Option<Error>,
}

impl Checked {
    /// Counts of earlier pages: nothing without a cursor.
    fn from_query(query: &Query) -> Self {
        let cursor = query.get("cursor").map(str::to_owned);
        let counts = if cursor.is_some() { Counts::from_query(query) } else { Counts::default() };
        Self { counts, cursor, ..Self::default() }
    }

    /// Adds a part. Returns true if the page has room for another one.
    fn add(&mut self, part: CheckConsistencyResponse) -> bool {
        self.counts.add(&part);
        self.parts += 1;
        self.is_done = part.next_cursor.is_none();
        self.cursor = part.next_cursor;
        self.violations.extend(part.violations);
        !self.is_done && self.violations.len() < MAX_VIOLATIONS
    }

    /// Error that has ended it.
    pub(super) fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// True if the cursor of the URL is at fault.
    pub(super) fn is_bad_cursor(&self) -> bool {
        self.error().is_some_and(|error| matches!(error.kind(), Kind::InvalidQuery | Kind::Validation))
    }

    /// Number of violations on earlier pages.
    fn earlier(&self) -> i64 {
        self.counts.violations.saturating_sub(i64::try_from(self.violations.len()).unwrap_or(i64::MAX))
    }

    /// Violations between documents, or documents that cannot be read.
    fn found(&self, is_unreadable: bool) -> Vec<&Violation> {
        self.violations.iter().filter(|it| it.kind.starts_with(UNREADABLE) == is_unreadable).collect()
    }
}

/// Checks the part at the cursor of the URL. An error ends it, and leaves what was checked before.
pub(super) async fn run(visit: &Visit, query: &Query) -> Checked {
    let mut checked = Checked::from_query(query);
    for _ in 0..CALLS {
        let goes_on = match fetch(visit, checked.cursor.clone()).await {
            Ok(part) => checked.add(part),
            Err(error) => {
                checked.error = Some(error);
                false
            }
        };
        if !goes_on {
            break;
        }
    }
    checked
}

async fn fetch(visit: &Visit, cursor: Option<String>) -> Result<CheckConsistencyResponse, Error> {
    let mut request = visit.request(CheckConsistencyRequest { limit: Some(LIMIT), cursor });
    request.set_timeout(TIMEOUT);
    Ok(visit.orders().check_consistency(request).await?.into_inner())
}

/// Renders violations, and documents that cannot be read. `checked` is absent for staff, who may not check.
pub(super) fn sections(visit: &Visit, checked: Option<&Checked>, is_products_silent: bool) -> Markup {
    // The role in the cookie is as old as the session.
    let checked = checked.filter(|it| it.error().is_none_or(|error| error.kind() != Kind::Forbidden));
    html! {
        section {
            h2 #check { (texts::CHECK) }
            p.muted { (texts::CHECK_HINT) }
            @if let Some(checked) = checked {
                (outcome(checked, is_products_silent))
                (violations(visit, &checked.found(false)))
                (links(visit, checked))
            } @else {
                p { (texts::ADMINS_ONLY) }
            }
        }
        section {
            h2 #unreadable { (texts::UNREADABLE) }
            @if let Some(checked) = checked {
                (unreadable(visit, checked))
            } @else {
                p { (texts::ADMINS_SEE) }
            }
        }
    }
}

/// Renders what the check has come to.
fn outcome(checked: &Checked, is_products_silent: bool) -> Markup {
    let Counts { products, orders, violations } = checked.counts;
    let earlier = checked.earlier();
    let text = if checked.is_done {
        texts::all_checked(products, orders, violations)
    } else {
        texts::checked_so_far(products, orders, violations)
    };
    html! {
        @if let Some(error) = checked.error() {
            @if is_products_silent && layout::is_unknown(error) {
                div.problem role="alert" { p { (texts::PRODUCTS_SILENT) } }
            } @else {
                (layout::problem(error))
            }
        }
        // Beside a bad cursor the counts of the URL mean nothing.
        @if violations > 0 && !checked.is_bad_cursor() {
            div.problem {
                p { (text) }
                @if earlier > 0 { p { (texts::earlier(earlier)) } }
            }
        } @else if checked.is_done {
            (layout::done(&text))
        } @else if checked.parts > 0 {
            p { (text) }
        }
    }
}

/// Renders the links to the next part, and to the first one.
fn links(visit: &Visit, checked: &Checked) -> Markup {
    let has_failed = checked.error().is_some();
    html! {
        p.actions {
            @if let Some(cursor) = checked.cursor.as_ref().filter(|_| !checked.is_bad_cursor()) {
                a rel="next" href=(visit.path(&checked.counts.path_at(cursor))) {
                    (if has_failed { texts::GO_ON } else { texts::NEXT })
                }
            }
            a href=(visit.path(PATH)) { (texts::AGAIN) }
        }
    }
}

fn violations(visit: &Visit, found: &[&Violation]) -> Markup {
    html! {
        @if !found.is_empty() {
            (not_all(found.len()))
            table.list aria-labelledby="check" {
                thead {
                    tr {
                        @for heading in [texts::VIOLATION, texts::ORDER, texts::PRODUCT, texts::DETAIL] {
                            th scope="col" { (heading) }
                        }
                    }
                }
                tbody {
                    @for violation in found.iter().take(MAX_VIOLATIONS) { (row(visit, violation)) }
                }
            }
        }
    }
}

fn row(visit: &Visit, violation: &Violation) -> Markup {
    html! {
        tr {
            td data-label=(texts::VIOLATION) {
                div { (texts::meaning(&violation.kind)) }
                div.muted { code { (violation.kind) } }
            }
            td data-label=(texts::ORDER) {
                @if let Some(order) = &violation.order_id { (order_link(visit, order)) }
            }
            td data-label=(texts::PRODUCT) {
                @if let Some(product) = &violation.product_id {
                    a href=(visit.path(&products::path(product))) { (product) }
                }
            }
            td data-label=(texts::DETAIL) { span { (violation.detail) } }
        }
    }
}

/// Renders a link to an order.
pub(super) fn order_link(visit: &Visit, order: &str) -> Markup {
    html! { a href=(visit.path(&format!("/console/orders/{order}"))) { (order) } }
}

/// Renders the documents that cannot be read. Only the order of a hold has a page.
fn unreadable(visit: &Visit, checked: &Checked) -> Markup {
    let found = checked.found(true);
    html! {
        @if found.is_empty() {
            p { (if checked.parts > 0 { texts::ALL_READABLE } else { texts::NOT_LOOKED }) }
        } @else {
            p { (texts::UNREADABLE_HINT) }
            (not_all(found.len()))
            table.list aria-labelledby="unreadable" {
                thead {
                    tr {
                        @for heading in [texts::DOCUMENT, texts::ID, texts::DETAIL] {
                            th scope="col" { (heading) }
                        }
                    }
                }
                tbody {
                    @for document in found.iter().take(MAX_VIOLATIONS) { (unreadable_row(visit, document)) }
                }
            }
        }
    }
}

fn unreadable_row(visit: &Visit, document: &Violation) -> Markup {
    let is_hold = document.kind == "unreadable-hold";
    html! {
        tr {
            td data-label=(texts::DOCUMENT) { span { (texts::document(&document.kind)) } }
            td data-label=(texts::ID) {
                @if let Some(order) = document.order_id.as_deref().filter(|_| is_hold) {
                    (order_link(visit, order))
                } @else if let Some(id) = document.order_id.as_ref().or(document.product_id.as_ref()) {
                    code { (id) }
                }
            }
            td data-label=(texts::DETAIL) { span { (document.detail) } }
        }
    }
}

/// Renders a sentence if a table leaves out rows.
fn not_all(rows: usize) -> Markup {
    html! { @if rows > MAX_VIOLATIONS { p { (texts::not_all(MAX_VIOLATIONS, rows)) } } }
}

#[cfg(test)]
mod tests {
    use proto::orders::v1::CheckedDocuments;

    use super::*;

    fn part(products: i64, orders: i64, kinds: &[&str], next: Option<&str>) -> CheckConsistencyResponse {
        let violation = |kind: &&str| Violation { kind: (*kind).to_owned(), ..Default::default() };
        CheckConsistencyResponse {
            checked: Some(CheckedDocuments { orders, products }),
            violations: kinds.iter().map(violation).collect(),
            next_cursor: next.map(str::to_owned),
        }
    }

    #[test]
    fn counts_of_earlier_pages_are_added_up_in_the_url() {
        let query = Query::parse("cursor=a&products=3&orders=x&violations=-1");
        let mut checked = Checked::from_query(&query);
        assert_eq!(checked.cursor.as_deref(), Some("a"));
        assert!(checked.add(part(2, 5, &["hold-differs"], Some("b&c"))));
        assert_eq!(checked.counts, Counts { products: 5, orders: 5, violations: 1 });
        let path = checked.counts.path_at("b&c");
        assert_eq!(path, "/console/health?cursor=b%26c&products=5&orders=5&violations=1");
    }

    #[test]
    fn without_a_cursor_nothing_was_checked_before() {
        let checked = Checked::from_query(&Query::parse("products=3&violations=7"));
        assert_eq!((checked.counts, checked.cursor), (Counts::default(), None));
    }

    #[test]
    fn a_page_ends_with_the_shop_or_with_many_violations() {
        let mut checked = Checked::default();
        assert!(!checked.add(part(0, 1, &[], None)) && checked.is_done);
        let mut checked = Checked::default();
        let many = vec!["hold-differs"; MAX_VIOLATIONS];
        assert!(!checked.add(part(0, 1, &many, Some("a"))) && !checked.is_done);
    }

    #[test]
    fn documents_that_cannot_be_read_stand_apart() {
        let mut checked = Checked::from_query(&Query::parse("cursor=a&violations=4"));
        checked.add(part(1, 1, &["unreadable-order", "hold-differs", "unreadable-hold"], None));
        let kinds = |is_unreadable| -> Vec<&str> {
            checked.found(is_unreadable).into_iter().map(|it| it.kind.as_str()).collect()
        };
        assert_eq!(kinds(true), ["unreadable-order", "unreadable-hold"]);
        assert_eq!(kinds(false), ["hold-differs"]);
        assert_eq!(checked.earlier(), 4);
    }

    #[test]
    fn a_silent_check_says_nothing_of_what_it_did_not_read() {
        let error = Some(Error::unavailable("away"));
        let failed = Checked { error, ..Checked::default() };
        let silent = outcome(&failed, true).into_string();
        assert!(silent.contains(texts::PRODUCTS_SILENT) && !silent.contains("Checked so far"), "{silent}");
        let other = outcome(&failed, false).into_string();
        assert!(!other.contains(texts::PRODUCTS_SILENT) && other.contains("role=\"alert\""), "{other}");
        let mut first = Checked::default();
        first.add(part(0, 0, &[], Some("a")));
        assert!(outcome(&first, false).into_string().contains("The rest is not checked yet."));
    }
}
