//! Amounts that staff hand in: discounts, taxes and the shipping. They are checked and kept, and never computed anew.
//!
//! All amounts are whole minor units of the order's currency. The base of an item's taxes is its price less its
//! discounts; that of the shipping's taxes is its amount.

use rust_decimal::prelude::ToPrimitive as _;
use rust_decimal::{Decimal, RoundingStrategy};
use shared::input::validation::ValidationErrors;

use super::{Item, Order};

/// Discount on an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discount {
    /// Name, for people.
    pub label: String,
    /// Minor units.
    pub amount: i64,
}

/// Tax on an item or on the shipping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tax {
    /// Name, for people.
    pub label: String,
    /// Rate, as it was handed in.
    pub rate: Rate,
    /// Minor units.
    pub amount: i64,
    /// True if prices include it.
    pub included: bool,
}

/// Tax rate: a decimal from 0 to 1, as text. 19 % is `0.19`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate(String);

/// Discounts and taxes of an item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ItemAmounts {
    /// Discounts.
    pub discounts: Vec<Discount>,
    /// Taxes.
    pub taxes: Vec<Tax>,
}

/// Shipping of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipping {
    /// Name, for people.
    pub label: String,
    /// Minor units.
    pub amount: i64,
    /// Taxes.
    pub taxes: Vec<Tax>,
}

impl Rate {
    /// Pattern of a rate, as ECMAScript reads it.
    pub const PATTERN: &str = r"^(?:0(?:\.[0-9]{1,6})?|1(?:\.0{1,6})?)$";

    /// A rule for [`ValidationErrors`].
    ///
    /// # Errors
    /// A message with the form of a rate.
    pub fn parse(text: String) -> Result<Self, String> {
        let (whole, places) = text.split_once('.').unwrap_or((&text, "0"));
        let has_form = (1..=6).contains(&places.len()) && places.bytes().all(|byte| byte.is_ascii_digit());
        let in_range = whole == "0" || (whole == "1" && places.bytes().all(|byte| byte == b'0'));
        if has_form && in_range {
            return Ok(Self(text));
        }
        Err("must be a decimal from \"0\" to \"1\" with up to 6 places, such as \"0.19\"".to_owned())
    }

    /// Reads a stored rate, whatever it is.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// Rate as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tax on a base at this rate, rounded half up; `included`: the part of the base that is the tax. `None` for a
    /// stored rate that is no number.
    fn tax_on(&self, base: i64, included: bool) -> Option<i64> {
        let rate = Decimal::from_str_exact(&self.0).ok()?;
        let tax = Decimal::from(base).checked_mul(rate)?;
        let tax = if included { tax.checked_div(Decimal::ONE.checked_add(rate)?)? } else { tax };
        tax.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero).to_i64()
    }
}

impl ItemAmounts {
    /// True if there is neither a discount nor a tax.
    pub fn is_empty(&self) -> bool {
        self.discounts.is_empty() && self.taxes.is_empty()
    }

    /// Sum of the discounts.
    pub fn discounted(&self) -> i64 {
        sum(self.discounts.iter().map(|discount| discount.amount))
    }
}

impl Shipping {
    /// Amount with the taxes that it does not include.
    pub fn total(&self) -> i64 {
        self.amount.saturating_add(taxes_of(&self.taxes, false))
    }

    /// Checks the taxes.
    fn check(&self, errors: &mut ValidationErrors) {
        errors.nested("/shipping", |errors| check_taxes(errors, &self.taxes, self.amount));
    }
}

impl Item {
    /// Checks discounts and taxes against the price.
    fn check_amounts(&self, errors: &mut ValidationErrors) {
        let (price, discounted) = (self.price(), self.amounts.discounted());
        if discounted > price {
            let detail = format!("must be at most {price} in all, the price of the item; got {discounted}");
            errors.add("/discounts", detail);
        } else {
            check_taxes(errors, &self.amounts.taxes, price.saturating_sub(discounted));
        }
    }
}

impl Order {
    /// Checks discounts, taxes and shipping against the prices.
    pub(super) fn check_amounts(&self, errors: &mut ValidationErrors) {
        for (place, item) in self.items.iter().enumerate() {
            errors.nested(format_args!("/items/{place}"), |errors| item.check_amounts(errors));
        }
        if let Some(shipping) = &self.shipping {
            shipping.check(errors);
        }
    }

    /// True if staff have given discounts or taxes: they hold for these items, and for no others.
    pub(super) fn has_discounts_or_taxes(&self) -> bool {
        let shipping_is_taxed = self.shipping.as_ref().is_some_and(|shipping| !shipping.taxes.is_empty());
        shipping_is_taxed || self.items.iter().any(|item| !item.amounts.is_empty())
    }
}

/// Sum of the taxes that prices include, or of those that they do not.
pub(super) fn taxes_of<'a>(taxes: impl IntoIterator<Item = &'a Tax>, included: bool) -> i64 {
    sum(taxes.into_iter().filter(|tax| tax.included == included).map(|tax| tax.amount))
}

/// Sum of amounts. Only stored values that no client may send come near to an overflow.
pub(super) fn sum(amounts: impl Iterator<Item = i64>) -> i64 {
    amounts.fold(0, i64::saturating_add)
}

/// Checks each tax: it may differ by 1 from the rate's part of the base.
fn check_taxes(errors: &mut ValidationErrors, taxes: &[Tax], base: i64) {
    for (place, tax) in taxes.iter().enumerate() {
        let expected = tax.rate.tax_on(base, tax.included).unwrap_or(0);
        if tax.amount.abs_diff(expected) > 1 {
            let of = if tax.included { "included in" } else { "on" };
            let (rate, got) = (tax.rate.as_str(), tax.amount);
            let detail = format!("must be {expected}, or 1 more or less: {rate} {of} {base}; got {got}");
            errors.add(&format!("/taxes/{place}/amount"), detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(text: &str) -> Rate {
        Rate::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn a_rate_is_a_decimal_from_0_to_1() {
        for good in ["0", "1", "0.19", "0.000001", "1.000000", "0.0"] {
            assert_eq!(rate(good).as_str(), good);
        }
        for bad in
            ["", ".", "0.", ".5", "1.1", "1.000001", "0.1234567", "-0.1", "+0.1", "1e-2", "0,19", "00.1", "2"]
        {
            assert!(Rate::parse(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn taxes_are_rounded_half_up() {
        for (rate_of, base, included, expected) in [
            ("0.19", 1, false, 0),
            ("0.19", 1, true, 0),
            ("0.19", 1000, false, 190),
            ("0.19", 1190, true, 190),
            ("0.5", 1, false, 1),
            ("0.5", 3, false, 2),
            ("1", 1, true, 1),
            ("1", 3, true, 2),
            ("0.07", 50, false, 4),
            ("0.000001", 500_000, false, 1),
            ("0.000001", 499_999, false, 0),
            ("1", 10_000_000_000_000_000, false, 10_000_000_000_000_000),
        ] {
            assert_eq!(rate(rate_of).tax_on(base, included), Some(expected), "{rate_of} {base} {included}");
        }
    }

    #[test]
    fn a_stored_rate_that_is_no_number_has_no_tax() {
        assert_eq!(Rate::from_stored("a fifth".to_owned()).tax_on(1000, false), None);
    }

    proptest! {
        /// The same by whole numbers: `2 * base * rate` against the odd multiples of the divisor.
        #[test]
        fn a_tax_is_the_nearest_whole_number(base in 0..10_000_000_000_000_000_i64, micros in 0..=1_000_000_i128, included: bool) {
            let text = if micros == 1_000_000 { "1".to_owned() } else { format!("0.{micros:06}") };
            let divisor = if included { 1_000_000 + micros } else { 1_000_000 };
            let expected = (2 * i128::from(base) * micros + divisor) / (2 * divisor);
            prop_assert_eq!(rate(&text).tax_on(base, included).map(i128::from), Some(expected));
        }
    }
}
