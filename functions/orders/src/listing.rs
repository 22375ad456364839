//! Filters and sort of the list of orders, parsed from REST or gRPC.

use proto::orders::v1 as wire;
use shared::error::Error;
use shared::http::routes::{Parameter, ParameterValue};
use shared::input::page::{Sort, SortType};
use shared::input::query::{self, Query};
use shared::rpc::convert;
use shared::values::clock::Timestamp;
use shared::values::ids::{self, ProductId, ProductKind, UserId, UserKind};

use crate::number::Number;
use crate::status::Status;

/// Filters and sort of `GET /orders`.
pub const PARAMETERS: &[Parameter] = &[
    Parameter::new(
        "status",
        ParameterValue::OneOf(|| Status::ALL.map(Status::name).to_vec()),
        "Orders in this status.",
    ),
    Parameter::new("user_id", ParameterValue::id::<UserKind>(), "Orders of this user."),
    Parameter::new(
        "product_id",
        ParameterValue::id::<ProductKind>(),
        "Orders with this product among their items.",
    ),
    Parameter::new(
        "number",
        ParameterValue::Pattern { pattern: || NUMBER.to_owned(), length: (None, None) },
        "The order of this number, in any case, with or without the dash.",
    ),
    Parameter::new("created_from", ParameterValue::Time, "Orders placed at this time or later."),
    Parameter::new("created_to", ParameterValue::Time, "Orders placed before this time."),
    Parameter::new(
        "sort",
        ParameterValue::Sort(|| SORTS.map(|(name, _)| name).to_vec()),
        "By what; `total` is the amount alone, whatever its currency.",
    ),
];

/// Pattern of the order numbers that `Number::parse_loosely` accepts.
const NUMBER: &str = "^[0-9A-TV-Za-tv-z]{4}-?[0-9A-TV-Za-tv-z]{4}$";

/// Filters and sort of a list of orders.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Orders in this status.
    pub status: Option<Status>,
    /// Orders of this user.
    pub user_id: Option<UserId>,
    /// Orders with this product among the items.
    pub product_id: Option<ProductId>,
    /// The order with this number, if any.
    pub number: Option<Number>,
    /// Orders placed at this time or later.
    pub created_from: Option<Timestamp>,
    /// Orders placed before this time.
    pub created_to: Option<Timestamp>,
    /// Sort field and direction.
    pub sort: Sort<SortBy>,
}

/// Sort fields of orders.
#[derive(Clone, Copy, Debug, Default)]
pub enum SortBy {
    /// Time of placing.
    #[default]
    CreatedAt,
    /// Amount alone, regardless of its currency.
    Total,
}

pub(crate) const SORTS: [(&str, Sort<SortBy>); 4] = [
    ("-created_at", Sort::descending(SortBy::CreatedAt)),
    ("created_at", Sort::ascending(SortBy::CreatedAt)),
    ("total", Sort::ascending(SortBy::Total)),
    ("-total", Sort::descending(SortBy::Total)),
];

impl SortBy {
    /// Type of the field's values.
    pub fn of(self) -> SortType {
        match self {
            Self::CreatedAt => SortType::Time,
            Self::Total => SortType::Integer,
        }
    }
}

impl Listing {
    /// Parses the query string of `GET /orders`.
    ///
    /// # Errors
    /// 400 for an invalid parameter.
    pub fn from_query(query: &Query) -> Result<Self, Error> {
        Ok(Self {
            status: query.parse_with("status", Status::parse)?,
            user_id: query.parse_with("user_id", |text| ids::parse(text.to_owned()))?,
            product_id: query.parse_with("product_id", |text| ids::parse(text.to_owned()))?,
            number: query.parse_with("number", Number::parse_loosely)?,
            created_from: query.parse_with("created_from", query::time)?,
            created_to: query.parse_with("created_to", query::time)?,
            sort: query.parse_with("sort", sort)?.unwrap_or_default(),
        })
    }

    /// Parses a gRPC request.
    ///
    /// # Errors
    /// 400 for an invalid field.
    pub fn from_message(message: wire::ListOrdersRequest) -> Result<Self, Error> {
        Ok(Self {
            status: query::optional("status", message.status, |text| Status::parse(&text))?,
            user_id: query::optional("user_id", message.user_id, ids::parse)?,
            product_id: query::optional("product_id", message.product_id, ids::parse)?,
            number: query::optional("number", message.number, |text| Number::parse_loosely(&text))?,
            created_from: query::optional("created_from", message.created_from, convert::bound)?,
            created_to: query::optional("created_to", message.created_to, convert::bound)?,
            sort: query::optional("sort", message.sort, |text| sort(&text))?.unwrap_or_default(),
        })
    }
}

fn sort(name: &str) -> Result<Sort<SortBy>, String> {
    query::one_of(&SORTS, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::LIST_ORDERS;

    fn listing(query: &str) -> Result<Listing, Error> {
        Listing::from_query(&Query::parse(Some(query), &LIST_ORDERS.query_names())?)
    }

    #[test]
    fn the_default_is_newest_first() {
        let sorted = |query| {
            let sort = listing(query).unwrap().sort;
            (matches!(sort.by, SortBy::CreatedAt), sort.descending)
        };
        assert_eq!(sorted(""), (true, true));
        assert_eq!(sorted("sort=created_at"), (true, false));
        assert_eq!(sorted("sort=-total"), (false, true));
    }

    #[test]
    fn an_invalid_parameter_is_explained() {
        for (bad, expected) in [
            ("sort=price", "`sort` must be one of -created_at, created_at, total, -total."),
            ("status=void", "`status` must be one of placed, "),
            ("number=4F7K", "`number` must be an order number, such as 4F7K-92QX"),
            ("created_from=today", "`created_from` must be a time of RFC 3339"),
            ("product_id=user_01h455vb4pex5vsknk084sn02q", "`product_id` must be an ID of type product"),
        ] {
            let error = listing(bad).unwrap_err().detail().to_owned();
            assert!(error.contains(expected), "{bad}: {error}");
        }
    }

    #[test]
    fn rest_and_grpc_refuse_the_same() {
        let bad = wire::ListOrdersRequest { sort: Some("price".to_owned()), ..Default::default() };
        let (over_grpc, over_rest) =
            (Listing::from_message(bad).unwrap_err(), listing("sort=price").unwrap_err());
        assert_eq!(over_grpc.detail(), over_rest.detail());
    }
}
