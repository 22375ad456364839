//! Conversion between the protocol's shared messages and values.

use prost::Message;
use proto::common::v1 as wire;
use type_safe_id::{StaticType, TypeSafeId};

use crate::error::Error;
use crate::input::page::{Page, PageRequest};
use crate::input::validation::ValidationErrors;
use crate::values::address::{Address, AddressForm};
use crate::values::clock::Timestamp;
use crate::values::money::{Currency, Money, MoneyForm};

/// Converts an amount of minor units to a message.
pub fn money(amount: i64, currency: Currency) -> wire::Money {
    wire::Money { amount, currency: currency.code().to_owned() }
}

/// Converts money from a caller to a form, still to be checked.
pub fn money_form(money: wire::Money) -> MoneyForm {
    MoneyForm { amount: Some(money.amount), currency: Some(money.currency) }
}

/// Converts money from another function.
///
/// # Errors
/// 500 if it is missing: the two functions disagree on the protocol then.
pub fn trusted_money(money: Option<wire::Money>) -> Result<Money, Error> {
    let money = money.ok_or_else(|| Error::internal("an amount of money is missing"))?;
    let currency = Currency::from_stored(&money.currency).map_err(Error::internal)?;
    Ok(Money::from_stored(money.amount, currency))
}

/// Converts an address to a message.
pub fn address(address: &Address) -> wire::Address {
    let Address { name, company, phone, line1, line2, city, region, postal_code, country } = address.clone();
    wire::Address { line1, line2, city, region, postal_code, country, name, company, phone }
}

/// Converts an address from a caller to a form, still to be checked. An empty string in a required field
/// counts as absent: proto3 cannot distinguish them.
pub fn address_form(address: wire::Address) -> AddressForm {
    let wire::Address { line1, line2, city, region, postal_code, country, name, company, phone } = address;
    let required = |text: String| (!text.is_empty()).then_some(text);
    AddressForm {
        name,
        company,
        phone,
        line1: required(line1),
        line2,
        city: required(city),
        region,
        postal_code,
        country: required(country),
    }
}

/// Converts a time from another function, rounded down to the millisecond.
pub fn time(time: proto::Timestamp) -> Timestamp {
    Timestamp::from_millis(
        time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos / 1_000_000)),
    )
}

/// Converts a time to a message.
pub fn timestamp(time: Timestamp) -> proto::Timestamp {
    let millis = time.millis();
    proto::Timestamp {
        seconds: millis.div_euclid(1000),
        nanos: i32::try_from(millis.rem_euclid(1000) * 1_000_000).unwrap_or(0),
    }
}

/// Rule for a time that bounds a list; rounded up to the millisecond as in a query.
///
/// # Errors
/// Message with the allowed range.
pub fn bound(time: proto::Timestamp) -> Result<Timestamp, String> {
    // The range of google.protobuf.Timestamp: years 1 to 9999.
    let known = -62_135_596_800..=253_402_300_799;
    if known.contains(&time.seconds) && (0..1_000_000_000).contains(&time.nanos) {
        Ok(Timestamp::from_millis(time.seconds * 1000 + (i64::from(time.nanos) + 999_999) / 1_000_000))
    } else {
        Err("must be a time of the years 1 to 9999, with 0 to 999999999 nanoseconds".to_owned())
    }
}

/// Converts a required time from another function, rounded down to the millisecond.
///
/// # Errors
/// 500 if it is missing: the two functions disagree on the protocol then.
pub fn trusted_time(time: Option<proto::Timestamp>) -> Result<Timestamp, Error> {
    let time = time.ok_or_else(|| Error::internal("a time is missing"))?;
    Ok(Timestamp::from_millis(
        time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos) / 1_000_000),
    ))
}

/// Parses an ID from another function.
///
/// # Errors
/// 500 if it is invalid: the two functions disagree on the protocol then.
pub fn trusted_id<T: StaticType>(id: &str) -> Result<TypeSafeId<T>, Error> {
    id.parse().map_err(|_| Error::internal(format!("no ID of the kind {}", T::TYPE)))
}

/// Converts a page request from a caller.
///
/// # Errors
/// The same as for a page in a query.
pub fn page(page: Option<wire::PageRequest>) -> Result<PageRequest, Error> {
    let page = page.unwrap_or_default();
    PageRequest::new(page.limit, page.cursor)
}

/// Largest message of a page, in bytes. In an envelope it is base64, a third longer, and within the same 4 MB
/// as an answer over REST.
const MAX_PAGE: usize = 2_900_000;

/// Page of messages. It ends early where its message would be too large.
pub fn bounded<M: Message>(page: Page<M>) -> Page<M> {
    // An element has a tag and its length before it.
    page.within(MAX_PAGE, |element| element.encoded_len() + 6)
}

/// Returns the fields that a mask names.
///
/// # Errors
/// 422 for a field that cannot be changed.
pub fn mask(mask: Option<proto::FieldMask>, fields: &[&str]) -> Result<Vec<String>, Error> {
    let paths = mask.map(|mask| mask.paths).unwrap_or_default();
    let mut errors = ValidationErrors::default();
    for path in paths.iter().filter(|path| !fields.contains(&path.as_str())) {
        errors.add("/update_mask", format!("names {path:?}; it may name {}", fields.join(", ")));
    }
    errors.check()?;
    Ok(paths)
}
