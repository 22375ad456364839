//! Filters of the list: as parameters of its URL, and as a request to the API.

use std::time::Duration;

use form_urlencoded::Serializer;
use proto::common::v1::PageRequest;
use proto::orders::v1::ListOrdersRequest;
use shared::error::Error;
use shared::input::query;
use shared::rpc::convert;
use shared::values::clock::Timestamp;

use crate::http::Query;
use crate::texts::orders as texts;

/// Path of the list.
pub(super) const PATH: &str = "/console/orders";

/// Orders on a page, unless the URL names another number.
pub(super) const DEFAULT_LIMIT: i64 = 20;

/// Most orders on a page, as the API allows.
const MAX_LIMIT: i64 = 100;

/// Filters that may have several values.
const SEVERAL: [&str; 3] = ["status", "payment_status", "return_status"];

/// Filters with one value.
const SINGLE: [&str; 12] = [
    "user_id",
    "product_id",
    "number",
    "external_number",
    "payment_reference",
    "email",
    "sku",
    "tracking_number",
    "created_from",
    "created_to",
    "updated_from",
    "updated_to",
];

/// Parameters that select no orders.
const PAGING: [&str; 3] = ["sort", "limit", "cursor"];

/// Parameters of the list that have a value, by the API's names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filters(Vec<(&'static str, String)>);

impl Filters {
    /// Filters of a URL. Forms send empty fields, too; they count as absent.
    pub(super) fn from_query(query: &Query) -> Self {
        // Checkboxes repeat their name; the API wants commas.
        let several = SEVERAL.into_iter().map(|name| (name, query.all(name).collect::<Vec<_>>().join(",")));
        let single = SINGLE.into_iter().chain(PAGING);
        let single = single.map(|name| (name, query.get(name).unwrap_or_default().to_owned()));
        Self(several.chain(single).filter(|(_, value)| !value.is_empty()).collect())
    }

    /// One filter alone.
    pub(super) fn only(name: &'static str, value: &str) -> Self {
        Self(vec![(name, value.to_owned())])
    }

    /// Value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// True if this is one of a filter's values.
    pub(super) fn has(&self, name: &str, value: &str) -> bool {
        self.get(name).is_some_and(|values| values.split(',').any(|one| one == value))
    }

    /// The same without a parameter.
    pub(super) fn without(&self, name: &str) -> Self {
        Self(self.0.iter().filter(|(known, _)| *known != name).cloned().collect())
    }

    /// The same on the page of a cursor.
    pub(super) fn at(&self, cursor: &str) -> Self {
        let mut filters = self.without("cursor");
        filters.0.push(("cursor", cursor.to_owned()));
        filters
    }

    /// True if all orders are selected.
    pub(super) fn are_none(&self) -> bool {
        self.0.iter().all(|(name, _)| PAGING.contains(name))
    }

    /// Path of the list with these parameters.
    pub(super) fn path(&self) -> String {
        if self.0.is_empty() {
            return PATH.to_owned();
        }
        let mut query = Serializer::new(String::new());
        query.extend_pairs(&self.0);
        format!("{PATH}?{}", query.finish())
    }

    /// Request for the page.
    ///
    /// # Errors
    /// 400 for a time or a limit that is none. All else is checked by the orders function.
    pub(super) fn request(&self) -> Result<ListOrdersRequest, Error> {
        let text = |name: &str| self.get(name).map(str::to_owned);
        let time = |name: &str| {
            Ok::<_, Error>(query::optional(name, self.get(name), moment)?.map(convert::timestamp))
        };
        let limit = query::optional("limit", self.get("limit"), query::integer(1, MAX_LIMIT))?;
        Ok(ListOrdersRequest {
            page: Some(PageRequest { limit: Some(limit.unwrap_or(DEFAULT_LIMIT)), cursor: text("cursor") }),
            status: text("status"),
            user_id: text("user_id"),
            product_id: text("product_id"),
            number: text("number"),
            created_from: time("created_from")?,
            created_to: time("created_to")?,
            sort: text("sort"),
            updated_from: time("updated_from")?,
            updated_to: time("updated_to")?,
            payment_status: text("payment_status"),
            return_status: text("return_status"),
            external_number: text("external_number"),
            payment_reference: text("payment_reference"),
            email: text("email"),
            sku: text("sku"),
            tracking_number: text("tracking_number"),
        })
    }
}

/// Parses a time in UTC: of a field for dates and times, a date alone, or RFC 3339.
fn moment(text: &str) -> Result<Timestamp, String> {
    let forms = ["", "Z", ":00Z", "T00:00:00Z"];
    let time = forms.into_iter().find_map(|rest| Timestamp::parse(&format!("{text}{rest}")));
    time.ok_or_else(|| "must be a date, or a date and time in UTC, such as 2026-11-22T19:22".to_owned())
}

/// Value of a field for dates and times (`datetime-local`). `None` if the text is no time.
pub(super) fn field_value(text: &str) -> Option<String> {
    let time = moment(text).ok()?.to_string();
    let time = time.trim_end_matches('Z');
    let time = time.strip_suffix(".000").unwrap_or(time);
    Some(time.strip_suffix(":00").unwrap_or(time).to_owned())
}

/// Saved view: a filter with a name.
pub(super) struct View {
    pub(super) label: &'static str,
    filters: &'static [(&'static str, Value)],
}

/// Value of a saved view's filter.
enum Value {
    /// This text.
    Text(&'static str),
    /// Start of the day, in UTC, that is so many days before today.
    DaysAgo(u64),
}

/// Days after which a paid order that is not shipped is overdue.
const OVERDUE_DAYS: u64 = 2;

/// Saved views, in the order of an order's life.
pub(super) const VIEWS: [View; 8] = [
    View { label: texts::VIEW_ALL, filters: &[] },
    View { label: texts::VIEW_TO_PAY, filters: &[("status", Value::Text("placed"))] },
    View { label: texts::VIEW_TO_PACK, filters: &[("status", Value::Text("paid"))] },
    View {
        label: texts::VIEW_OVERDUE,
        filters: &[("status", Value::Text("paid")), ("created_to", Value::DaysAgo(OVERDUE_DAYS))],
    },
    View { label: texts::VIEW_ON_THE_WAY, filters: &[("status", Value::Text("shipped"))] },
    View { label: texts::VIEW_RETURNS, filters: &[("return_status", Value::Text("requested"))] },
    View { label: texts::VIEW_REFUND_DUE, filters: &[("payment_status", Value::Text("refund_due"))] },
    View { label: texts::VIEW_CANCELLED, filters: &[("status", Value::Text("cancelled"))] },
];

impl View {
    /// Filters of the view at this time.
    pub(super) fn filters(&self, now: Timestamp) -> Filters {
        Filters(self.filters.iter().map(|(name, value)| (*name, value.text(now))).collect())
    }

    /// True if it selects the same orders, on whichever page and in whichever order.
    pub(super) fn selects(&self, filters: &Filters, now: Timestamp) -> bool {
        let selecting = PAGING.iter().fold(filters.clone(), |filters, name| filters.without(name));
        selecting == self.filters(now)
    }
}

impl Value {
    fn text(&self, now: Timestamp) -> String {
        match self {
            Self::Text(text) => (*text).to_owned(),
            Self::DaysAgo(days) => {
                let then = now.before(Duration::from_secs(days.saturating_mul(24 * 60 * 60))).to_string();
                then.split('T').next().unwrap_or_default().to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_fields_and_urls_have_them() {
        let shown = |text| field_value(text).unwrap();
        assert_eq!(shown("2026-11-22T19:22"), "2026-11-22T19:22");
        assert_eq!(shown("2026-11-22"), "2026-11-22T00:00");
        assert_eq!(shown("2026-11-22T19:22:33"), "2026-11-22T19:22:33");
        assert_eq!(shown("2026-11-22T19:22:33.007Z"), "2026-11-22T19:22:33.007");
        assert_eq!(shown("2026-11-22T19:22:00+02:00"), "2026-11-22T17:22");
        for bad in ["", "today", "22.11.2026", "2026-02-30", "2026-11-22T25:00", "1700000000"] {
            assert_eq!(field_value(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_path_has_all_parameters_and_one_cursor() {
        let filters = Filters::only("sku", "A&B \"C\"").at("one").at("two");
        assert_eq!(filters.path(), "/console/orders?sku=A%26B+%22C%22&cursor=two");
        assert_eq!(Filters::default().path(), "/console/orders");
    }

    #[test]
    fn a_view_is_shown_on_each_of_its_pages() {
        let paid = Filters::only("status", "paid");
        let now = Timestamp::from_millis(1_796_117_400_000);
        let shown = |filters: &Filters| VIEWS.iter().filter(|view| view.selects(filters, now)).count();
        assert_eq!(shown(&paid), 1);
        assert_eq!(shown(&paid.at("next")), 1);
        assert_eq!(shown(&Filters::default().at("next")), 1);
        assert_eq!(shown(&Filters::only("status", "paid,placed")), 0);
        assert_eq!(shown(&Filters::only("sku", "paid")), 0);
        let overdue = VIEWS.iter().find(|view| view.label == texts::VIEW_OVERDUE).unwrap().filters(now);
        assert_eq!(overdue.path(), "/console/orders?status=paid&created_to=2026-11-29");
        assert_eq!(shown(&overdue), 1);
    }

    #[test]
    fn a_bad_time_or_limit_is_named() {
        for (name, value) in [("created_to", "today"), ("limit", "101"), ("limit", "ten")] {
            let error = Filters::only(name, value).request().unwrap_err();
            assert!(error.detail().starts_with(&format!("`{name}` must be")), "{}", error.detail());
        }
    }
}
