//! Amounts as people type them: decimals of a currency, read digit by digit and never rounded.

use iso_currency::Currency;

/// Number of decimals of a currency: 2 for EUR, 3 for KWD, 0 for JPY and for a code that is not known.
pub(crate) fn decimals(currency: &str) -> usize {
    Currency::from_code(currency).and_then(Currency::exponent).map_or(0, usize::from)
}

/// Reads an amount such as `12.34` in the minor unit of its currency.
///
/// # Errors
/// Predicate of the field: "must be …" or "has …".
pub(crate) fn parse_amount(text: &str, currency: &str) -> Result<i64, String> {
    let decimals = decimals(currency);
    let text = text.trim();
    let (whole, fraction) = match text.split_once('.') {
        // "5." and ".5" are more likely unfinished than meant.
        Some((whole, fraction)) if !whole.is_empty() && !fraction.is_empty() => (whole, fraction),
        None if !text.is_empty() => (text, ""),
        _ => return Err(unreadable(currency)),
    };
    if !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return Err(unreadable(currency));
    }
    if fraction.len() > decimals {
        return Err(too_precise(decimals, currency));
    }
    // Zeros fill the decimals that were not typed, so the digits are the minor units.
    let digits = format!("{whole}{fraction:0<decimals$}");
    digits.parse().map_err(|_| "is too large".to_owned())
}

/// Writes an amount of minor units as people type it, without its currency.
pub(crate) fn typed(amount: i64, currency: &str) -> String {
    let decimals = decimals(currency);
    if decimals == 0 {
        return amount.to_string();
    }
    let sign = if amount < 0 { "-" } else { "" };
    // At least one digit stands before the point.
    let digits = format!("{:0>width$}", amount.unsigned_abs(), width = decimals.saturating_add(1));
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(decimals));
    format!("{sign}{whole}.{fraction}")
}

fn unreadable(currency: &str) -> String {
    format!("must be an amount in {currency}, such as {}", typed(1_234, currency))
}

fn too_precise(decimals: usize, currency: &str) -> String {
    match decimals {
        0 => format!("has decimals, and {currency} has none"),
        1 => format!("has more than 1 decimal, which {currency} has"),
        several => format!("has more than the {several} decimals of {currency}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_read_in_the_minor_unit_of_its_currency() {
        for (text, currency, amount) in [
            ("12.34", "EUR", 1_234),
            ("12.3", "EUR", 1_230),
            ("12", "EUR", 1_200),
            (" 0.05 ", "EUR", 5),
            ("007", "EUR", 700),
            ("0", "EUR", 0),
            ("500", "JPY", 500),
            ("1.234", "KWD", 1_234),
            ("1", "KWD", 1_000),
            // A code that is not known: its amounts are shown in the minor unit, too.
            ("15", "ZZZ", 15),
            ("92233720368547758.07", "EUR", i64::MAX),
        ] {
            assert_eq!(parse_amount(text, currency), Ok(amount), "{text} {currency}");
        }
    }

    #[test]
    fn an_amount_that_is_not_exact_is_refused() {
        for (text, currency, expected) in [
            ("12.345", "EUR", "has more than the 2 decimals of EUR"),
            // No rounding: also zeros would be guesses.
            ("12.300", "EUR", "has more than the 2 decimals of EUR"),
            ("5.0", "JPY", "has decimals, and JPY has none"),
            ("1.2345", "KWD", "has more than the 3 decimals of KWD"),
            ("92233720368547758.08", "EUR", "is too large"),
            ("100000000000000000000", "JPY", "is too large"),
        ] {
            assert_eq!(parse_amount(text, currency), Err(expected.to_owned()), "{text} {currency}");
        }
    }

    #[test]
    fn text_that_is_no_amount_is_refused_with_an_example() {
        for text in ["", " ", ".", "5.", ".5", "-1", "+1", "1,50", "1.2.3", "1e3", "1 000", "€5", "٣", "0x1"]
        {
            let expected = "must be an amount in EUR, such as 12.34";
            assert_eq!(parse_amount(text, "EUR"), Err(expected.to_owned()), "{text:?}");
        }
        assert_eq!(parse_amount("x", "JPY"), Err("must be an amount in JPY, such as 1234".to_owned()));
        assert_eq!(parse_amount("x", "KWD"), Err("must be an amount in KWD, such as 1.234".to_owned()));
    }

    #[test]
    fn a_typed_amount_is_read_as_the_same() {
        for currency in ["EUR", "JPY", "KWD", "ZZZ"] {
            for amount in [0, 1, 9, 10, 99, 100, 999, 1_000, 123_456, i64::MAX] {
                let text = typed(amount, currency);
                assert_eq!(parse_amount(&text, currency), Ok(amount), "{text} {currency}");
            }
        }
        assert_eq!(typed(5, "EUR"), "0.05");
        assert_eq!(typed(-1_234, "EUR"), "-12.34");
        assert_eq!(typed(i64::MIN, "JPY"), i64::MIN.to_string());
    }
}
