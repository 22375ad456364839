//! Filters and sort of the list of products, parsed from REST or gRPC.

use std::collections::BTreeSet;

use proto::products::v1 as wire;
use shared::error::Error;
use shared::http::routes::{Parameter, ParameterValue};
use shared::input::page::{Sort, SortType};
use shared::input::query::{self, Query};
use shared::rpc::convert;
use shared::values::clock::Timestamp;
use shared::values::money::{Currency, MAX_AMOUNT};
use shared::values::text::MAX_SKU;

use crate::product::{Sku, Status};
use crate::words::words;

/// Filters and sort of `GET /products`.
pub const PARAMETERS: &[Parameter] = &[
    Parameter::new(
        "q",
        ParameterValue::Text { min: 1, max: Some(MAX_SEARCH) },
        "Products with every one of these words in name, description or SKU; case and accents are ignored.",
    ),
    Parameter::new(
        "sku",
        ParameterValue::Pattern { pattern: Sku::pattern, length: (Some(1), Some(MAX_SKU)) },
        "The product of this SKU.",
    ),
    Parameter::new(
        "status",
        ParameterValue::SomeOf(|| Status::ALL.map(Status::name).to_vec()),
        "Products in one of these statuses.",
    ),
    Parameter::new("currency", ParameterValue::Schema("Currency"), "Products priced in this currency."),
    Parameter::new("min_price", PRICE, "Products at this price or more; needs `currency`."),
    Parameter::new("max_price", PRICE, "Products at this price or less; needs `currency`."),
    Parameter::new(
        "in_stock",
        ParameterValue::Boolean,
        "Only products of which some are available, or none.",
    ),
    Parameter::new(
        "updated_from",
        ParameterValue::Time,
        "Products whose `updated_at` is this time or later; holds and shipping do not change it.",
    ),
    Parameter::new("updated_to", ParameterValue::Time, "Products whose `updated_at` is before this time."),
    Parameter::new(
        "sort",
        ParameterValue::Sort(|| SORTS.map(|(name, _)| name).to_vec()),
        "By what; `price` is the amount alone, whatever its currency.",
    ),
];

/// In minor units.
const PRICE: ParameterValue = ParameterValue::Integer { min: 0, max: MAX_AMOUNT };

/// Maximum length of a search, in characters.
pub(crate) const MAX_SEARCH: usize = 100;

/// Filters and sort of a list of products.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Products with all of these words in name, description or SKU. An empty set comes from a search without
    /// any word, which no product matches.
    pub words: Option<BTreeSet<String>>,
    /// The product with this SKU, if any.
    pub sku: Option<Sku>,
    /// Products in one of these statuses.
    pub status: Option<Vec<Status>>,
    /// Products priced in this currency.
    pub currency: Option<Currency>,
    /// Minimum price, in minor units.
    pub min_price: Option<i64>,
    /// Maximum price, in minor units.
    pub max_price: Option<i64>,
    /// True: only available products; false: only unavailable ones.
    pub in_stock: Option<bool>,
    /// Products last changed at this time or later.
    pub updated_from: Option<Timestamp>,
    /// Products last changed before this time.
    pub updated_to: Option<Timestamp>,
    /// Sort field and direction.
    pub sort: Sort<SortBy>,
}

/// Sort fields of products.
#[derive(Clone, Copy, Debug, Default)]
pub enum SortBy {
    /// Time of creation.
    #[default]
    CreatedAt,
    /// Time of the last change by people.
    UpdatedAt,
    /// Name in lower case, by its code points.
    Name,
    /// Amount alone, regardless of its currency.
    Price,
}

pub(crate) const SORTS: [(&str, Sort<SortBy>); 8] = [
    ("-created_at", Sort::descending(SortBy::CreatedAt)),
    ("created_at", Sort::ascending(SortBy::CreatedAt)),
    ("updated_at", Sort::ascending(SortBy::UpdatedAt)),
    ("-updated_at", Sort::descending(SortBy::UpdatedAt)),
    ("name", Sort::ascending(SortBy::Name)),
    ("-name", Sort::descending(SortBy::Name)),
    ("price", Sort::ascending(SortBy::Price)),
    ("-price", Sort::descending(SortBy::Price)),
];

impl SortBy {
    /// Type of the field's values.
    pub fn of(self) -> SortType {
        match self {
            Self::CreatedAt | Self::UpdatedAt => SortType::Time,
            Self::Name => SortType::Text,
            Self::Price => SortType::Integer,
        }
    }
}

impl Listing {
    /// Parses the query string of `GET /products`.
    ///
    /// # Errors
    /// 400 for an invalid parameter.
    pub fn from_query(query: &Query) -> Result<Self, Error> {
        let listing = Self {
            words: query.parse_with("q", searched)?,
            sku: query.parse_with("sku", |text| Sku::parse(text.to_owned()))?,
            status: query.parse_with("status", statuses)?,
            currency: query.parse_with("currency", |text| Currency::parse(text.to_owned()))?,
            min_price: query.parse_with("min_price", query::integer(0, MAX_AMOUNT))?,
            max_price: query.parse_with("max_price", query::integer(0, MAX_AMOUNT))?,
            in_stock: query
                .parse_with("in_stock", |text| query::one_of(&[("true", true), ("false", false)], text))?,
            updated_from: query.parse_with("updated_from", query::time)?,
            updated_to: query.parse_with("updated_to", query::time)?,
            sort: query.parse_with("sort", sort)?.unwrap_or_default(),
        };
        listing.checked()
    }

    /// Parses a gRPC request.
    ///
    /// # Errors
    /// 400 for an invalid field.
    pub fn from_message(message: wire::ListProductsRequest) -> Result<Self, Error> {
        let listing = Self {
            words: query::optional("q", message.q, |text| searched(&text))?,
            sku: query::optional("sku", message.sku, Sku::parse)?,
            status: query::optional("status", message.status, |text| statuses(&text))?,
            currency: query::optional("currency", message.currency, Currency::parse)?,
            min_price: query::optional("min_price", message.min_price, price)?,
            max_price: query::optional("max_price", message.max_price, price)?,
            in_stock: message.in_stock,
            updated_from: query::optional("updated_from", message.updated_from, convert::bound)?,
            updated_to: query::optional("updated_to", message.updated_to, convert::bound)?,
            sort: query::optional("sort", message.sort, |text| sort(&text))?.unwrap_or_default(),
        };
        listing.checked()
    }

    fn checked(self) -> Result<Self, Error> {
        for (name, price) in [("min_price", self.min_price), ("max_price", self.max_price)] {
            if price.is_some() && self.currency.is_none() {
                let detail = "needs `currency`: prices of different currencies cannot be compared";
                return query::checked(name, Err(detail.to_owned()));
            }
        }
        Ok(self)
    }
}

fn statuses(text: &str) -> Result<Vec<Status>, String> {
    query::several(Status::parse)(text)
}

fn sort(name: &str) -> Result<Sort<SortBy>, String> {
    query::one_of(&SORTS, name)
}

fn price(amount: i64) -> Result<i64, String> {
    query::integer(0, MAX_AMOUNT)(&amount.to_string())
}

fn searched(text: &str) -> Result<BTreeSet<String>, String> {
    let length = text.chars().count();
    if (1..=MAX_SEARCH).contains(&length) {
        Ok(words(text))
    } else {
        Err(format!("must have 1 to {MAX_SEARCH} characters; got {length}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::LIST_PRODUCTS;

    fn listing(query: &str) -> Result<Listing, Error> {
        Listing::from_query(&Query::parse(Some(query), &LIST_PRODUCTS.query_names())?)
    }

    #[test]
    fn an_invalid_parameter_is_explained() {
        for (bad, expected) in [
            (
                "sort=total",
                "`sort` must be one of -created_at, created_at, updated_at, -updated_at, name, -name,",
            ),
            ("sort=total", " -name, price, -price."),
            ("status=void", "`status` must be one of draft, active, archived."),
            ("status=active,", "`status` must be one of draft, active, archived."),
            ("status=active,%20draft", "`status` must be one of draft, active, archived."),
            ("updated_from=today", "`updated_from` must be a time of RFC 3339"),
            ("updated_to=2026-11-22", "`updated_to` must be a time of RFC 3339"),
            ("in_stock=yes", "`in_stock` must be one of true, false."),
            ("currency=eur", "`currency` must be an active ISO 4217 code"),
            ("currency=EUR&min_price=1.5", "`min_price` must be an integer from 0 to 1000000000000."),
            ("max_price=5", "`max_price` needs `currency`"),
            ("sku=a%20b", "`sku` must have 1 to 64 characters"),
        ] {
            let error = listing(bad).unwrap_err().detail().to_owned();
            assert!(error.contains(expected), "{bad}: {error}");
        }
        assert!(listing(&format!("q={}", "é".repeat(100))).is_ok());
        assert!(listing(&format!("q={}", "é".repeat(101))).is_err());
    }

    #[test]
    fn rest_and_grpc_take_the_same() {
        let query = "status=draft,active,draft&sort=-updated_at&updated_from=1970-01-01T00:00:00.0050001Z\
                     &updated_to=1970-01-01T01:00:01%2B01:00";
        let over_rest = listing(query).unwrap();
        assert_eq!(over_rest.status, Some(vec![Status::Draft, Status::Active]));
        assert!(matches!(over_rest.sort.by, SortBy::UpdatedAt) && over_rest.sort.descending);
        assert_eq!(over_rest.updated_from, Some(Timestamp::from_millis(6)));
        assert_eq!(over_rest.updated_to, Some(Timestamp::from_millis(1_000)));
        let message = wire::ListProductsRequest {
            status: Some("draft,active,draft".to_owned()),
            sort: Some("-updated_at".to_owned()),
            updated_from: Some(proto::Timestamp { seconds: 0, nanos: 5_000_100 }),
            updated_to: Some(proto::Timestamp { seconds: 1, nanos: 0 }),
            ..Default::default()
        };
        let over_grpc = Listing::from_message(message).unwrap();
        assert_eq!(format!("{over_grpc:?}"), format!("{over_rest:?}"));
    }

    #[test]
    fn rest_and_grpc_refuse_the_same() {
        for (bad, query) in [
            (wire::ListProductsRequest { min_price: Some(5), ..Default::default() }, "min_price=5"),
            (
                wire::ListProductsRequest { status: Some("active,void".to_owned()), ..Default::default() },
                "status=active,void",
            ),
        ] {
            let (over_grpc, over_rest) =
                (Listing::from_message(bad).unwrap_err(), listing(query).unwrap_err());
            assert_eq!(over_grpc.detail(), over_rest.detail());
        }
    }
}
