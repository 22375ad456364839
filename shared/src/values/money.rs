//! Money: whole minor units with a currency; arithmetic cannot overflow or mix currencies.

use std::fmt;

use iso_currency::Currency as IsoCurrency;
use serde::{Deserialize, Serialize};

use crate::input::validation::{Form, ValidationErrors};
use crate::values::integer::Integer;
use crate::values::stored;

/// Currency by its code of ISO 4217. A client names an active one; a stored one may have been withdrawn.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(&'static str);

impl Currency {
    /// The length of a code.
    pub const LENGTH: usize = 3;

    /// A rule for [`ValidationErrors`]: three capitals of the active list. Precious metals, accounting units
    /// and test codes have no minor unit, and so no prices.
    ///
    /// # Errors
    /// Message with the form of a valid code.
    pub fn parse(code: String) -> Result<Self, String> {
        IsoCurrency::from_code(&code)
            .filter(|currency| currency.is_superseded().is_none() && currency.exponent().is_some())
            .map(|currency| Self(currency.code()))
            .ok_or_else(|| "must be an active ISO 4217 code in capitals, such as EUR".to_owned())
    }

    /// Reads a stored code, active or not.
    ///
    /// # Errors
    /// A message for text that cannot be kept as a name.
    pub fn from_stored(code: &str) -> Result<Self, String> {
        match IsoCurrency::from_code(code) {
            Some(known) => Ok(Self(known.code())),
            None => stored::name(code).map(Self),
        }
    }

    /// All active currencies, sorted by code.
    #[cfg(feature = "openapi")]
    pub fn all() -> impl Iterator<Item = Self> {
        let letters = || b'A'..=b'Z';
        let codes =
            letters().flat_map(move |a| letters().flat_map(move |b| letters().map(move |c| [a, b, c])));
        codes.filter_map(|code| Self::parse(code.into_iter().map(char::from).collect()).ok())
    }

    /// Code of three capitals.
    pub fn code(self) -> &'static str {
        self.0
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Amount in the minor unit of its currency: of 0 to 10^12 where a client sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Money {
    amount: i64,
    currency: Currency,
}

/// Largest price, in minor units.
pub const MAX_AMOUNT: i64 = 1_000_000_000_000;

/// Minor units of a price.
pub type Amount = Integer<0, MAX_AMOUNT>;

impl Money {
    /// Creates an amount of minor units, from 0 to [`MAX_AMOUNT`].
    ///
    /// # Errors
    /// Message with the allowed range and the amount.
    pub fn new(amount: i64, currency: Currency) -> Result<Self, String> {
        if (0..=MAX_AMOUNT).contains(&amount) {
            Ok(Self { amount, currency })
        } else {
            Err(format!(
                "must be 0 to {MAX_AMOUNT} in the currency's minor unit (1299 is 12.99 USD); got {amount}"
            ))
        }
    }

    /// Reads a stored amount, whatever today's range is.
    pub fn from_stored(amount: i64, currency: Currency) -> Self {
        Self { amount, currency }
    }

    /// Amount in minor units.
    pub fn amount(self) -> i64 {
        self.amount
    }

    /// Currency of the amount.
    pub fn currency(self) -> Currency {
        self.currency
    }
}

/// An amount in the currency's minor unit: 1299 EUR is 12.99 €, 1299 JPY is ¥1299. Never a fraction.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Price))]
pub struct MoneyForm {
    /// Minor units.
    #[cfg_attr(feature = "openapi", schema(value_type = Amount))]
    pub amount: Option<i64>,
    /// ISO 4217.
    #[cfg_attr(feature = "openapi", schema(value_type = Currency))]
    pub currency: Option<String>,
}

impl Form for MoneyForm {
    type Checked = Money;

    fn check(self, errors: &mut ValidationErrors) -> Option<Money> {
        let currency = errors.required("/currency", self.currency, Currency::parse);
        // The amount is checked with any currency, so that both errors are reported at once.
        let amount = errors.required("/amount", self.amount, |amount| {
            Money::new(amount, Currency(IsoCurrency::EUR.code())).map(Money::amount)
        });
        Some(Money { amount: amount?, currency: currency? })
    }
}

/// An amount in the currency's minor unit: 1299 EUR is 12.99 €, 1299 JPY is ¥1299. Never a fraction.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Money))]
pub struct MoneyJson {
    /// Minor units.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    amount: i64,
    /// ISO 4217.
    #[cfg_attr(feature = "openapi", schema(value_type = Currency))]
    currency: &'static str,
}

impl MoneyJson {
    /// Creates it from `amount` in minor units. A total may exceed [`MAX_AMOUNT`].
    pub fn new(amount: i64, currency: Currency) -> Self {
        Self { amount, currency: currency.code() }
    }
}

impl From<Money> for MoneyJson {
    fn from(money: Money) -> Self {
        Self::new(money.amount, money.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_active_currencies_in_capitals_are_taken() {
        for good in ["EUR", "JPY", "KWD", "XOF", "XCD", "CLF"] {
            assert_eq!(Currency::parse(good.to_owned()).unwrap().code(), good);
        }
        for bad in ["eur", "DEM", "EU", "EURO", "", "XYZ", "€", "XXX", "XTS", "XAU", "XDR"] {
            assert!(Currency::parse(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_stored_currency_is_kept_whatever_became_of_it() {
        for code in ["EUR", "HRK", "XYZ", "eur", ""] {
            assert_eq!(Currency::from_stored(code).unwrap().code(), code);
        }
        let euro = Currency::parse("EUR".to_owned()).unwrap();
        assert_eq!(Currency::from_stored("EUR").unwrap(), euro);
    }

    #[test]
    fn both_errors_of_an_amount_of_money_are_reported_at_once() {
        let mut errors = ValidationErrors::default();
        let form = MoneyForm { amount: Some(-1), currency: Some("usd".to_owned()) };
        assert!(errors.nested("/price", |errors| form.check(errors)).is_none());
        let error = errors.check().unwrap_err();
        let pointers: Vec<_> = error.errors().iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/price/currency", "/price/amount"]);
    }

    #[test]
    fn amounts_end_at_ten_to_the_twelfth() {
        let euro = Currency(IsoCurrency::EUR.code());
        assert!(Money::new(MAX_AMOUNT, euro).is_ok());
        assert!(Money::new(MAX_AMOUNT + 1, euro).is_err());
        assert!(Money::new(0, euro).is_ok());
        assert!(Money::new(-1, euro).is_err());
    }
}
