//! Between the shared messages of the protocol and what they mean.

use proto::common::v1 as wire;
use type_safe_id::{StaticType, TypeSafeId};

use crate::error::Error;
use crate::input::page::PageRequest;
use crate::input::validation::{Form as _, ValidationErrors};
use crate::values::address::{Address, AddressForm};
use crate::values::clock::Timestamp;
use crate::values::money::{Currency, Money, MoneyForm};

/// An amount in a message.
pub fn money(amount: i64, currency: Currency) -> wire::Money {
    wire::Money { amount, currency: currency.code().to_owned() }
}

/// Money as a caller sent it, still to be checked.
pub fn money_form(money: wire::Money) -> MoneyForm {
    MoneyForm { amount: Some(money.amount), currency: Some(money.currency) }
}

/// Money as another function of ours sent it.
///
/// # Errors
/// 500 when it is missing or not allowed: then the two do not speak the same protocol.
pub fn trusted_money(money: Option<wire::Money>) -> Result<Money, Error> {
    let mut errors = ValidationErrors::default();
    let money = money.map(money_form).unwrap_or_default().check(&mut errors);
    money.ok_or_else(|| Error::internal(errors.into_error()))
}

/// An address in a message.
pub fn address(address: &Address) -> wire::Address {
    let Address { line1, line2, city, region, postal_code, country } = address.clone();
    wire::Address { line1, line2, city, region, postal_code, country }
}

/// An address as a caller sent it, still to be checked. An empty string in a field that must be there is
/// the same as none: proto3 cannot tell them apart.
pub fn address_form(address: wire::Address) -> AddressForm {
    let wire::Address { line1, line2, city, region, postal_code, country } = address;
    let required = |text: String| (!text.is_empty()).then_some(text);
    AddressForm {
        line1: required(line1),
        line2,
        city: required(city),
        region,
        postal_code,
        country: required(country),
    }
}

/// A time in a message of another function of ours.
pub fn time(time: proto::Timestamp) -> Timestamp {
    Timestamp::from_millis(
        time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos / 1_000_000)),
    )
}

/// A time in a message.
pub fn timestamp(time: Timestamp) -> proto::Timestamp {
    let millis = time.millis();
    proto::Timestamp {
        seconds: millis.div_euclid(1000),
        nanos: i32::try_from(millis.rem_euclid(1000) * 1_000_000).unwrap_or(0),
    }
}

/// A rule: a time that bounds a list, rounded up to the millisecond as in a query.
///
/// # Errors
/// What it must be.
pub fn bound(time: proto::Timestamp) -> Result<Timestamp, String> {
    // Of the years 1 to 9999, as google.protobuf.Timestamp says.
    let known = -62_135_596_800..=253_402_300_799;
    if known.contains(&time.seconds) && (0..1_000_000_000).contains(&time.nanos) {
        Ok(Timestamp::from_millis(time.seconds * 1000 + (i64::from(time.nanos) + 999_999) / 1_000_000))
    } else {
        Err("must be a time of the years 1 to 9999, with 0 to 999999999 nanoseconds".to_owned())
    }
}

/// A time as another function of ours sent it.
///
/// # Errors
/// 500 when it is missing: then the two do not speak the same protocol.
pub fn trusted_time(time: Option<proto::Timestamp>) -> Result<Timestamp, Error> {
    let time = time.ok_or_else(|| Error::internal("a time is missing"))?;
    Ok(Timestamp::from_millis(
        time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos) / 1_000_000),
    ))
}

/// An ID as another function of ours sent it.
///
/// # Errors
/// 500 when it is none: then the two do not speak the same protocol.
pub fn trusted_id<T: StaticType>(id: &str) -> Result<TypeSafeId<T>, Error> {
    id.parse().map_err(|_| Error::internal(format!("no ID of the kind {}: {id:?}", T::TYPE)))
}

/// Which page a caller asks for.
///
/// # Errors
/// As for a page in a query.
pub fn page(page: Option<wire::PageRequest>) -> Result<PageRequest, Error> {
    let page = page.unwrap_or_default();
    PageRequest::new(page.limit, page.cursor)
}

/// Which fields a mask names.
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
