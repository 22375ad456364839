//! Limits of what an order has. Forms check them, the OpenAPI document and `$jsonSchema` read them.

use std::time::Duration;

use shared::input::query;
use shared::values::clock::Timestamp;
use shared::values::integer::Integer;
use shared::values::money::MAX_AMOUNT;
use shared::values::text::{Line, Prose};

/// The most items of an order.
pub const MAX_ITEMS: usize = 100;

/// The most payments of an order.
pub const MAX_PAYMENTS: usize = 100;

/// The most refunds of an order.
pub const MAX_REFUNDS: usize = 100;

/// The most fulfillments of an order.
pub const MAX_FULFILLMENTS: usize = 50;

/// The most cancellations of units of an order.
pub const MAX_CANCELLATIONS: usize = 50;

/// The most returns of an order.
pub const MAX_RETURNS: usize = 50;

/// The most items in all fulfillments of an order together. The same for its cancellations, returns and refunds.
pub const MAX_PART_ITEMS: usize = 750;

/// The most corrections of tracking of an order.
pub const MAX_CORRECTIONS: usize = 200;

/// The most discounts or taxes of an item, and taxes of the shipping.
pub const MAX_DISCOUNTS_OR_TAXES: usize = 20;

/// Name of a discount, a tax or a shipping.
pub type Label = Line<1, 100>;

/// Number of an order at another system: visible ASCII characters.
pub enum ExternalNumber {}

#[cfg(feature = "openapi")]
shared::value_schema!(ExternalNumber, shared::openapi::values::matching(ExternalNumber::PATTERN));

impl ExternalNumber {
    /// The longest number.
    pub const MAX: usize = 64;

    /// Pattern of a number, as ECMAScript reads it.
    pub const PATTERN: &str = "^[!-~]{1,64}$";

    /// A rule for [`shared::input::validation::ValidationErrors`].
    ///
    /// # Errors
    /// A message with the allowed characters.
    pub fn parse(text: String) -> Result<String, String> {
        if (1..=Self::MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(text);
        }
        Err(format!("must have 1 to {} visible ASCII characters", Self::MAX))
    }
}

#[cfg(feature = "openapi")]
shared::value_schema!(crate::order::Rate, shared::openapi::values::matching(crate::order::Rate::PATTERN));

/// Minor units of a payment or a refund.
pub type PaymentAmount = Integer<1, MAX_AMOUNT>;

/// Units of an item.
pub type Quantity = Integer<1, 10_000>;

/// Note of an order.
pub type Note = Prose<2_000>;

/// Reference or method of a payment, carrier or number of a parcel.
pub type Reference = Line<1, 100>;

/// Reason for the return of an item.
pub type ItemReason = Line<1, 100>;

/// Address at which a parcel can be followed.
pub enum TrackingUrl {}

#[cfg(feature = "openapi")]
shared::value_schema!(
    TrackingUrl,
    shared::openapi::values::matching(TrackingUrl::PATTERN).max_length(Some(TrackingUrl::MAX))
);

impl TrackingUrl {
    /// The longest address, in characters.
    pub const MAX: usize = 2_000;

    /// Pattern of an address, as ECMAScript reads it: a host, and what RFC 3986 allows after it.
    pub const PATTERN: &str = r"^https://[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?([/?#][!#-;=?-Z\[\]_a-z~]*)?$";

    /// A rule for [`shared::input::validation::ValidationErrors`].
    ///
    /// # Errors
    /// A message with the allowed form.
    pub fn parse(text: String) -> Result<String, String> {
        let rest = text.strip_prefix("https://").unwrap_or_default();
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        let is_excluded = |byte: u8| br#""<>\^`{|}"#.contains(&byte);
        let is_valid = (1..=253).contains(&host.len())
            && host.bytes().all(is_host)
            && (1..=5).contains(&port.len())
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && rest.bytes().all(|byte| byte.is_ascii_graphic() && !is_excluded(byte));
        if is_valid && text.len() <= Self::MAX {
            return Ok(text);
        }
        Err(format!(
            "must be an https URL of at most {} characters, such as https://example.com/1",
            Self::MAX
        ))
    }
}

/// Name of a payment provider: a token of lower case.
pub enum Provider {}

#[cfg(feature = "openapi")]
shared::value_schema!(Provider, shared::openapi::values::matching("^[a-z0-9_-]{1,40}$"));

impl Provider {
    /// The longest name.
    pub const MAX: usize = 40;

    /// A rule for [`shared::input::validation::ValidationErrors`].
    ///
    /// # Errors
    /// A message with the allowed characters.
    pub fn parse(text: String) -> Result<String, String> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        if (1..=Self::MAX).contains(&text.len()) && text.bytes().all(allowed) {
            return Ok(text);
        }
        Err(format!("must have 1 to {} characters of a-z, 0-9, _ and -", Self::MAX))
    }
}

/// Time at which an order expires if it is unpaid, as staff choose it.
pub enum ExpiresAt {}

#[cfg(feature = "openapi")]
shared::value_schema!(ExpiresAt, shared::openapi::values::bound());

impl ExpiresAt {
    /// Latest time that may be chosen: this long from now.
    pub const AHEAD: Duration = Duration::from_secs(180 * 24 * 60 * 60);

    /// A rule for [`shared::input::validation::ValidationErrors`].
    ///
    /// # Errors
    /// A message with an example.
    pub fn parse(text: String) -> Result<Timestamp, String> {
        Timestamp::parse(&text)
            .ok_or_else(|| format!("must be a time of RFC 3339, such as {}", query::EXAMPLE_TIME))
    }

    /// Checks a time against the clock.
    ///
    /// # Errors
    /// A message with the range.
    pub fn check(at: Timestamp, now: Timestamp) -> Result<Timestamp, String> {
        let last = now.after(Self::AHEAD);
        if now < at && at <= last {
            return Ok(at);
        }
        Err(format!("must be in the future, and not after {last}; null is never"))
    }
}
