//! Filters and sort of the list of orders, parsed from REST or gRPC.

use proto::orders::v1 as wire;
use shared::error::Error;
use shared::http::routes::{Parameter, ParameterValue};
use shared::input::page::{Sort, SortType};
use shared::input::query::{self, Query};
use shared::rpc::convert;
use shared::values::clock::Timestamp;
use shared::values::email::Email;
use shared::values::ids::{self, ProductId, ProductKind, UserId, UserKind};
use shared::values::text::{Line, MAX_SKU};

use crate::limits::{ExternalNumber, Reference};
use crate::number::Number;
use crate::order::{OrderReturnStatus, PaymentStatus};
use crate::status::Status;

/// Filters and sort of `GET /orders`.
pub const PARAMETERS: &[Parameter] = &[
    Parameter::new(
        "status",
        ParameterValue::SomeOf(|| Status::ALL.map(Status::name).to_vec()),
        "Orders in one of these statuses.",
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
    Parameter::new(
        "external_number",
        ParameterValue::Pattern { pattern: || ExternalNumber::PATTERN.to_owned(), length: (None, None) },
        "The order of this number at another system.",
    ),
    Parameter::new(
        "payment_status",
        ParameterValue::SomeOf(|| PaymentStatus::ALL.map(PaymentStatus::name).to_vec()),
        "Orders in one of these statuses of payment.",
    ),
    Parameter::new(
        "return_status",
        ParameterValue::SomeOf(|| OrderReturnStatus::ALL.map(OrderReturnStatus::name).to_vec()),
        "Orders in one of these statuses of returns.",
    ),
    Parameter::new("payment_reference", REFERENCE, "Orders with a payment of this reference."),
    Parameter::new("tracking_number", REFERENCE, "Orders with a parcel of this tracking number."),
    Parameter::new(
        "email",
        ParameterValue::Pattern { pattern: Email::pattern, length: (None, Some(Email::MAX)) },
        "Orders of the user with this e-mail address, in any case.",
    ),
    Parameter::new(
        "sku",
        ParameterValue::Line { min: 1, max: MAX_SKU },
        "Orders with this SKU among their items, as of the time of ordering.",
    ),
    Parameter::new("created_from", ParameterValue::Time, "Orders placed at this time or later."),
    Parameter::new("created_to", ParameterValue::Time, "Orders placed before this time."),
    Parameter::new("updated_from", ParameterValue::Time, "Orders last changed at this time or later."),
    Parameter::new("updated_to", ParameterValue::Time, "Orders last changed before this time."),
    Parameter::new(
        "sort",
        ParameterValue::Sort(|| SORTS.map(|(name, _)| name).to_vec()),
        "By what; `total` is the amount alone, whatever its currency.",
    ),
];

/// Reference of a payment, or number of a parcel.
const REFERENCE: ParameterValue = ParameterValue::Line { min: Reference::MIN, max: Reference::MAX };

/// Pattern of the order numbers that `Number::parse_loosely` accepts.
const NUMBER: &str = "^[0-9A-TV-Za-tv-z]{4}-?[0-9A-TV-Za-tv-z]{4}$";

/// Filters and sort of a list of orders.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Orders in one of these statuses; if none is named, in any.
    pub statuses: Vec<Status>,
    /// Orders in one of these statuses of payment; if none is named, in any.
    pub payment_statuses: Vec<PaymentStatus>,
    /// Orders in one of these statuses of returns; if none is named, in any.
    pub return_statuses: Vec<OrderReturnStatus>,
    /// Orders of this user.
    pub user_id: Option<UserId>,
    /// Orders with this product among the items.
    pub product_id: Option<ProductId>,
    /// The order with this number, if any.
    pub number: Option<Number>,
    /// The order with this number at another system, if any.
    pub external_number: Option<String>,
    /// Orders with a payment of this reference.
    pub payment_reference: Option<String>,
    /// Orders with a parcel of this tracking number.
    pub tracking_number: Option<String>,
    /// Orders of the user with this e-mail address.
    pub email: Option<Email>,
    /// Orders with this SKU among the items.
    pub sku: Option<String>,
    /// Orders placed at this time or later.
    pub created_from: Option<Timestamp>,
    /// Orders placed before this time.
    pub created_to: Option<Timestamp>,
    /// Orders last changed at this time or later.
    pub updated_from: Option<Timestamp>,
    /// Orders last changed before this time.
    pub updated_to: Option<Timestamp>,
    /// Sort field and direction.
    pub sort: Sort<SortBy>,
}

/// Sort fields of orders.
#[derive(Clone, Copy, Debug, Default)]
pub enum SortBy {
    /// Time of placing.
    #[default]
    CreatedAt,
    /// Time of the last change.
    UpdatedAt,
    /// Amount alone, regardless of its currency.
    Total,
}

pub(crate) const SORTS: [(&str, Sort<SortBy>); 6] = [
    ("-created_at", Sort::descending(SortBy::CreatedAt)),
    ("created_at", Sort::ascending(SortBy::CreatedAt)),
    ("-updated_at", Sort::descending(SortBy::UpdatedAt)),
    ("updated_at", Sort::ascending(SortBy::UpdatedAt)),
    ("total", Sort::ascending(SortBy::Total)),
    ("-total", Sort::descending(SortBy::Total)),
];

impl SortBy {
    /// Type of the field's values.
    pub fn of(self) -> SortType {
        match self {
            Self::CreatedAt | Self::UpdatedAt => SortType::Time,
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
            statuses: query.parse_with("status", query::several(Status::parse))?.unwrap_or_default(),
            payment_statuses: query
                .parse_with("payment_status", query::several(PaymentStatus::parse))?
                .unwrap_or_default(),
            return_statuses: query
                .parse_with("return_status", query::several(OrderReturnStatus::parse))?
                .unwrap_or_default(),
            user_id: query.parse_with("user_id", |text| ids::parse(text.to_owned()))?,
            product_id: query.parse_with("product_id", |text| ids::parse(text.to_owned()))?,
            number: query.parse_with("number", Number::parse_loosely)?,
            external_number: query
                .parse_with("external_number", |text| ExternalNumber::parse(text.to_owned()))?,
            payment_reference: query.parse_with("payment_reference", reference)?,
            tracking_number: query.parse_with("tracking_number", reference)?,
            email: query.parse_with("email", |text| Email::parse(text.to_owned()))?,
            sku: query.parse_with("sku", sku)?,
            created_from: query.parse_with("created_from", query::time)?,
            created_to: query.parse_with("created_to", query::time)?,
            updated_from: query.parse_with("updated_from", query::time)?,
            updated_to: query.parse_with("updated_to", query::time)?,
            sort: query.parse_with("sort", sort)?.unwrap_or_default(),
        })
    }

    /// Parses a gRPC request.
    ///
    /// # Errors
    /// 400 for an invalid field.
    pub fn from_message(message: wire::ListOrdersRequest) -> Result<Self, Error> {
        Ok(Self {
            statuses: query::optional("status", message.status, |text| query::several(Status::parse)(&text))?
                .unwrap_or_default(),
            payment_statuses: query::optional("payment_status", message.payment_status, |text| {
                query::several(PaymentStatus::parse)(&text)
            })?
            .unwrap_or_default(),
            return_statuses: query::optional("return_status", message.return_status, |text| {
                query::several(OrderReturnStatus::parse)(&text)
            })?
            .unwrap_or_default(),
            user_id: query::optional("user_id", message.user_id, ids::parse)?,
            product_id: query::optional("product_id", message.product_id, ids::parse)?,
            number: query::optional("number", message.number, |text| Number::parse_loosely(&text))?,
            external_number: query::optional(
                "external_number",
                message.external_number,
                ExternalNumber::parse,
            )?,
            payment_reference: query::optional("payment_reference", message.payment_reference, |text| {
                reference(&text)
            })?,
            tracking_number: query::optional("tracking_number", message.tracking_number, |text| {
                reference(&text)
            })?,
            email: query::optional("email", message.email, Email::parse)?,
            sku: query::optional("sku", message.sku, |text| sku(&text))?,
            created_from: query::optional("created_from", message.created_from, convert::bound)?,
            created_to: query::optional("created_to", message.created_to, convert::bound)?,
            updated_from: query::optional("updated_from", message.updated_from, convert::bound)?,
            updated_to: query::optional("updated_to", message.updated_to, convert::bound)?,
            sort: query::optional("sort", message.sort, |text| sort(&text))?.unwrap_or_default(),
        })
    }
}

fn reference(text: &str) -> Result<String, String> {
    Reference::parse(text.to_owned())
}

/// SKU as items have it, whatever the rule for SKUs was then.
fn sku(text: &str) -> Result<String, String> {
    Line::<1, MAX_SKU>::parse(text.to_owned())
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
            (
                "sort=price",
                "`sort` must be one of -created_at, created_at, -updated_at, updated_at, total, -total.",
            ),
            ("status=void", "`status` must be one of placed, "),
            ("status=paid,void", "`status` must be one of placed, "),
            ("payment_status=open", "`payment_status` must be one of unpaid, partial, "),
            ("external_number=a%20b", "`external_number` must have 1 to 64 visible ASCII characters"),
            ("email=ada", "`email` must be an e-mail address"),
            ("payment_reference=%20", "`payment_reference` must not be blank"),
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
