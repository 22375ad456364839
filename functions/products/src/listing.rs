//! What may be asked of the list of products, over REST or gRPC, and the checks of it.

use std::collections::BTreeSet;

use proto::products::v1 as wire;
use shared::error::Error;
use shared::input::page::{Sort, SortType};
use shared::input::query::{self, Query};
use shared::values::money::{Currency, MAX_AMOUNT};

use crate::product::{Sku, Status};
use crate::words::words;

/// The parameters of `GET /products`.
pub const PARAMETERS: [&str; 10] =
    ["q", "sku", "status", "currency", "min_price", "max_price", "in_stock", "sort", "limit", "cursor"];

/// The longest search, in characters.
pub(crate) const MAX_SEARCH: usize = 100;

/// Which products, and in which order.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// With all of these words in name, description or SKU. None of them: what was asked for has no word, and no
    /// product has it.
    pub words: Option<BTreeSet<String>>,
    /// With this SKU: one, if any.
    pub sku: Option<Sku>,
    /// Of this status.
    pub status: Option<Status>,
    /// Priced in this currency.
    pub currency: Option<Currency>,
    /// At this price or more, in minor units.
    pub min_price: Option<i64>,
    /// At this price or less, in minor units.
    pub max_price: Option<i64>,
    /// Whether any are available.
    pub in_stock: Option<bool>,
    /// In this order.
    pub sort: Sort<SortBy>,
}

/// What products are sorted by.
#[derive(Clone, Copy, Debug, Default)]
pub enum SortBy {
    /// When they were made.
    #[default]
    CreatedAt,
    /// The name in lower case, by its code points.
    Name,
    /// The amount alone, whatever its currency.
    Price,
}

pub(crate) const SORTS: [(&str, Sort<SortBy>); 6] = [
    ("-created_at", Sort::descending(SortBy::CreatedAt)),
    ("created_at", Sort::ascending(SortBy::CreatedAt)),
    ("name", Sort::ascending(SortBy::Name)),
    ("-name", Sort::descending(SortBy::Name)),
    ("price", Sort::ascending(SortBy::Price)),
    ("-price", Sort::descending(SortBy::Price)),
];

impl SortBy {
    /// What type its values have.
    pub fn of(self) -> SortType {
        match self {
            Self::CreatedAt => SortType::Time,
            Self::Name => SortType::Text,
            Self::Price => SortType::Integer,
        }
    }
}

impl Listing {
    /// # Errors
    /// 400 for a parameter that does not say what it may.
    pub fn from_query(query: &Query) -> Result<Self, Error> {
        let listing = Self {
            words: query.parse_with("q", searched)?,
            sku: query.parse_with("sku", |text| Sku::parse(text.to_owned()))?,
            status: query.parse_with("status", Status::parse)?,
            currency: query.parse_with("currency", |text| Currency::parse(text.to_owned()))?,
            min_price: query.parse_with("min_price", query::integer(0, MAX_AMOUNT))?,
            max_price: query.parse_with("max_price", query::integer(0, MAX_AMOUNT))?,
            in_stock: query
                .parse_with("in_stock", |text| query::one_of(&[("true", true), ("false", false)], text))?,
            sort: query.parse_with("sort", sort)?.unwrap_or_default(),
        };
        listing.checked()
    }

    /// # Errors
    /// 400 for a field that does not say what it may.
    pub fn from_message(message: wire::ListProductsRequest) -> Result<Self, Error> {
        let listing = Self {
            words: query::optional("q", message.q, |text| searched(&text))?,
            sku: query::optional("sku", message.sku, Sku::parse)?,
            status: query::optional("status", message.status, |text| Status::parse(&text))?,
            currency: query::optional("currency", message.currency, Currency::parse)?,
            min_price: query::optional("min_price", message.min_price, price)?,
            max_price: query::optional("max_price", message.max_price, price)?,
            in_stock: message.in_stock,
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
        Err(format!("must have 1 to {MAX_SEARCH} characters, and has {length}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(query: &str) -> Result<Listing, Error> {
        Listing::from_query(&Query::parse(Some(query), &PARAMETERS)?)
    }

    #[test]
    fn what_a_parameter_may_say_is_told() {
        for (bad, told) in [
            ("sort=total", "`sort` must be one of -created_at, created_at, name, -name, price, -price."),
            ("in_stock=yes", "`in_stock` must be one of true, false."),
            ("currency=eur", "`currency` must be an active ISO 4217 code"),
            ("currency=EUR&min_price=1.5", "`min_price` must be an integer of 0 to 1000000000000."),
            ("max_price=5", "`max_price` needs `currency`"),
            ("sku=a%20b", "`sku` must have 1 to 64 characters"),
        ] {
            let error = listing(bad).unwrap_err().to_string();
            assert!(error.contains(told), "{bad}: {error}");
        }
        assert!(listing(&format!("q={}", "é".repeat(100))).is_ok());
        assert!(listing(&format!("q={}", "é".repeat(101))).is_err());
    }

    #[test]
    fn both_faces_refuse_the_same() {
        let bad = wire::ListProductsRequest { min_price: Some(5), ..Default::default() };
        let (over_grpc, over_rest) =
            (Listing::from_message(bad).unwrap_err(), listing("min_price=5").unwrap_err());
        assert_eq!(over_grpc.to_string(), over_rest.to_string());
    }
}
