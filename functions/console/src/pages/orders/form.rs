//! Forms of the list: search and filters. Both are sent by GET, so that their URLs can be bookmarked.

use maud::{Markup, html};

use super::filters::{DEFAULT_LIMIT, Filters, PATH, VIEWS, field_value};
use crate::http::Visit;
use crate::layout;
use crate::texts::orders as texts;

/// Statuses of orders, in the order of an order's life.
const STATUSES: [&str; 7] = ["placed", "paid", "shipped", "delivered", "cancelled", "returned", "refunded"];

/// Statuses of payment.
const PAYMENT_STATUSES: [&str; 6] =
    ["unpaid", "partial", "paid", "refund_due", "partially_refunded", "refunded"];

/// Statuses of returns.
const RETURN_STATUSES: [&str; 4] = ["none", "requested", "partial", "returned"];

/// Filters by text, and their labels.
const TEXTS: [(&str, &str); 8] = [
    ("number", texts::NUMBER),
    ("external_number", texts::EXTERNAL_NUMBER),
    ("email", texts::EMAIL),
    ("user_id", texts::USER_ID),
    ("sku", texts::SKU),
    ("product_id", texts::PRODUCT_ID),
    ("payment_reference", texts::PAYMENT_REFERENCE),
    ("tracking_number", texts::TRACKING_NUMBER),
];

/// Filters by time, and their labels.
const TIMES: [(&str, &str); 4] = [
    ("created_from", texts::CREATED_FROM),
    ("created_to", texts::CREATED_TO),
    ("updated_from", texts::UPDATED_FROM),
    ("updated_to", texts::UPDATED_TO),
];

const LIMITS: [&str; 3] = ["20", "50", "100"];

/// Renders the search box.
pub(super) fn search(visit: &Visit, text: &str) -> Markup {
    html! {
        form.search role="search" method="get" action=(visit.path(PATH)) {
            (layout::field(texts::SEARCH, html! {
                input type="search" name="q" value=(text) placeholder=(texts::SEARCH_HINT) autocomplete="off"
                    required;
            }))
            button { (texts::SEARCH_BUTTON) }
        }
    }
}

/// Renders the filters. They are closed while none is set, and while a saved view shows all that is set.
pub(super) fn filters(visit: &Visit, filters: &Filters) -> Markup {
    let is_view = VIEWS.iter().any(|view| view.filters(visit.now()) == filters.without("cursor"));
    html! {
        details open[!is_view] {
            summary { (texts::FILTERS) }
            form.filters method="get" action=(visit.path(PATH)) {
                (choices(texts::STATUS, "status", &STATUSES, filters))
                (choices(texts::PAYMENT_STATUS, "payment_status", &PAYMENT_STATUSES, filters))
                (choices(texts::RETURN_STATUS, "return_status", &RETURN_STATUSES, filters))
                div.fields {
                    @for (name, label) in TEXTS {
                        (layout::field(label, html! {
                            input type="text" name=(name) value=[filters.get(name)] autocomplete="off";
                        }))
                    }
                    @for (name, label) in TIMES {
                        (layout::field(label, time(name, filters.get(name))))
                    }
                    (layout::field(texts::SORT, sort(filters)))
                    (layout::field(texts::LIMIT, limit(filters)))
                }
                div.actions {
                    button { (texts::APPLY) }
                    a href=(visit.path(PATH)) { (texts::CLEAR) }
                }
            }
        }
    }
}

/// Renders a choice of several values.
fn choices(legend: &str, name: &str, values: &[&str], filters: &Filters) -> Markup {
    html! {
        fieldset.choices {
            legend { (legend) }
            @for value in values {
                label {
                    input type="checkbox" name=(name) value=(value) checked[filters.has(name, value)];
                    " " (layout::badge(value))
                }
            }
        }
    }
}

/// Renders a field for a time. A text that is no time is shown as it was sent, which a field for times cannot.
fn time(name: &str, value: Option<&str>) -> Markup {
    let known = value.map(|text| (field_value(text), text));
    html! {
        @match known {
            Some((None, text)) => { input type="text" name=(name) value=(text) autocomplete="off"; }
            Some((Some(time), _)) => { input type="datetime-local" name=(name) step="any" value=(time); }
            None => { input type="datetime-local" name=(name) step="any"; }
        }
    }
}

fn sort(filters: &Filters) -> Markup {
    let chosen = filters.get("sort");
    html! {
        select name="sort" {
            // The default has no value, so that it is not in the URL's filters.
            @for (place, (sort, label)) in texts::SORTS.into_iter().enumerate() {
                @let value = if place == 0 { "" } else { sort };
                option value=(value) selected[chosen == Some(sort)] { (label) }
            }
        }
    }
}

fn limit(filters: &Filters) -> Markup {
    let default = DEFAULT_LIMIT.to_string();
    let chosen = filters.get("limit").unwrap_or(&default);
    html! {
        select name="limit" {
            @for limit in LIMITS {
                @let value = if limit == default { "" } else { limit };
                option value=(value) selected[chosen == limit] { (limit) }
            }
            // From a URL, which may name any number.
            @if !LIMITS.contains(&chosen) {
                option value=(chosen) selected { (chosen) }
            }
        }
    }
}
