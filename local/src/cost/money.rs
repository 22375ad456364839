//! Amounts of money, exact to 10⁻¹² of a currency's unit.

use std::iter::Sum;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// Number of decimal places that an amount keeps.
const PLACES: usize = 12;

/// Smallest amounts in one unit of the currency.
const UNIT: u128 = 10_u128.pow(12);

/// Highest price, in units of the currency. Products of any two inputs then stay within 128 bits.
const MOST: u128 = 1_000_000;

/// Amount of money, never negative. Sums and products end at the highest amount instead of wrapping around.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Money {
    /// Number of 10⁻¹² of the currency's unit.
    picos: u128,
}

impl Money {
    /// Reads a decimal number, such as `0.0000133334`.
    ///
    /// # Errors
    /// Text for the author of the number.
    pub fn parse(text: &str) -> Result<Self, String> {
        let malformed = || format!("must be a decimal number such as 0.20; got `{text}`");
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !are_digits(whole) || !are_digits(fraction) {
            return Err(malformed());
        }
        if fraction.len() > PLACES {
            return Err(format!("must have at most {PLACES} decimal places; got `{text}`"));
        }
        let units: u128 = whole.parse().map_err(|_| malformed())?;
        if units > MOST {
            return Err(format!("must be at most {MOST}; got `{text}`"));
        }
        let picos: u128 = format!("{fraction:0<PLACES$}").parse().map_err(|_| malformed())?;
        Ok(Self { picos: units * UNIT + picos })
    }

    /// Multiplies by `quantity / per`, and rounds half up.
    #[must_use]
    pub fn times(self, quantity: u128, per: u128) -> Self {
        let per = per.max(1);
        Self { picos: self.picos.saturating_mul(quantity).saturating_add(per / 2) / per }
    }

    /// Share of `total`, in tenths of a percent.
    pub fn per_mille_of(self, total: Self) -> u128 {
        self.picos.saturating_mul(1_000).saturating_add(total.picos / 2).checked_div(total.picos).unwrap_or(0)
    }

    /// Writes the amount with this number of decimal places, rounded half up, and commas between thousands.
    pub fn rounded(self, places: u32) -> String {
        let scale = 10_u128.pow(places);
        let scaled = self.times(scale, 1).picos.saturating_add(UNIT / 2) / UNIT;
        let whole = with_commas(scaled / scale);
        match usize::try_from(places) {
            Ok(places) if places > 0 => format!("{whole}.{:0places$}", scaled % scale),
            _ => whole,
        }
    }
}

impl TryFrom<String> for Money {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Money> for String {
    fn from(money: Money) -> Self {
        let text = format!("{}.{:0PLACES$}", money.picos / UNIT, money.picos % UNIT);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { picos: self.picos.saturating_add(other.picos) }
    }
}

impl Sub for Money {
    type Output = Self;

    /// Subtracts; the result is 0 at least.
    fn sub(self, other: Self) -> Self {
        Self { picos: self.picos.saturating_sub(other.picos) }
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), Add::add)
    }
}

/// Writes a whole number with commas between thousands.
pub(super) fn with_commas(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Money {
        Money::parse(text).unwrap()
    }

    #[test]
    fn a_price_keeps_all_of_its_decimal_places() {
        for text in ["0.0000133334", "394.2", "0", "1000000", "0.000000000001"] {
            assert_eq!(String::from(money(text)), text);
        }
    }

    #[test]
    fn what_is_no_price_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "decimal number"),
            ("-1", "decimal number"),
            ("1e3", "decimal number"),
            (".5", "decimal number"),
            ("1.", "decimal number"),
            ("1,5", "decimal number"),
            ("0.0000000000001", "12 decimal places"),
            ("1000001", "at most 1000000"),
            ("99999999999999999999999999999999999999999999", "decimal number"),
        ] {
            let error = Money::parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_product_is_rounded_half_up() {
        assert_eq!(money("0.000000000001").times(1, 2), money("0.000000000001"));
        assert_eq!(money("0.000000000001").times(1, 3), Money::default());
        // 0.20 for a million requests.
        assert_eq!(money("0.20").times(37_500_000, 1_000_000), money("7.5"));
        assert_eq!(money("1").times(1, 0), money("1"));
    }

    #[test]
    fn an_amount_too_large_for_128_bits_does_not_wrap() {
        let most = money("1000000").times(u128::MAX, 1);
        assert_eq!(most + most, most);
        assert_eq!(Money::default() - most, Money::default());
    }

    #[test]
    fn an_amount_is_shown_rounded_with_commas() {
        assert_eq!(money("234567.895").rounded(2), "234,567.90");
        assert_eq!(money("0.0049").rounded(2), "0.00");
        assert_eq!(money("999.995").rounded(2), "1,000.00");
        assert_eq!(money("0.000612345").rounded(6), "0.000612");
        assert_eq!(money("12.5").rounded(0), "13");
    }

    #[test]
    fn a_share_is_in_tenths_of_a_percent() {
        assert_eq!(money("1").per_mille_of(money("3")), 333);
        assert_eq!(money("0").per_mille_of(money("0")), 0);
    }
}
