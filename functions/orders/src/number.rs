//! Order numbers, by which people refer to orders.

use std::fmt;

/// Order number: 8 characters of Crockford's base32, as `4F7K-92QX`. It is random, so that it does not reveal
/// how many orders there are.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Number(String);

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

#[cfg(feature = "openapi")]
shared::value_schema!(
    Number,
    shared::openapi::values::matching("^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$")
);

impl Number {
    /// The length as it is written.
    pub const LENGTH: usize = 9;

    /// The number of these 40 bits.
    pub fn from_bits(bits: u64) -> Self {
        let digit = |index: u64| char::from(CROCKFORD[(bits >> (5 * (7 - index)) & 31) as usize]);
        let (first, last): (String, String) = ((0..4).map(digit).collect(), (4..8).map(digit).collect());
        Self(format!("{first}-{last}"))
    }

    /// Parses the written form: upper case, with the dash.
    ///
    /// # Errors
    /// A message that says which form is expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let digits: Vec<u8> = match text.split_once('-') {
            Some((first, last)) if first.len() == 4 && last.len() == 4 => [first, last].concat().into_bytes(),
            _ => Vec::new(),
        };
        match digits.try_into() {
            Ok(digits) if is_crockford(&digits) => Ok(Self(text.to_owned())),
            _ => Err("must be an order number, such as 4F7K-92QX".to_owned()),
        }
    }

    /// The written form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads a stored number, whatever today's form is.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }
}

impl Number {
    /// Parses user input: in any case, with or without the dash. Applies Crockford's leniency for letters
    /// that look like digits.
    ///
    /// # Errors
    /// A message that says which form is expected.
    pub fn parse_loosely(text: &str) -> Result<Self, String> {
        let expected = "must be an order number, such as 4F7K-92QX, in any case, with or without the dash";
        if !text.is_ascii() {
            return Err(expected.to_owned());
        }
        let upper = text.to_ascii_uppercase().replace(['I', 'L'], "1").replace('O', "0");
        let dashed = if upper.len() == 8 { format!("{}-{}", &upper[..4], &upper[4..]) } else { upper };
        Self::parse(&dashed).map_err(|_| expected.to_owned())
    }
}

fn is_crockford(digits: &[u8; 8]) -> bool {
    digits.iter().all(|digit| CROCKFORD.contains(digit))
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_are_read_as_they_are_written(bits in 0..1_u64 << 40) {
            let number = Number::from_bits(bits);
            prop_assert_eq!(Number::parse(&number.to_string()), Ok(number));
        }

        #[test]
        fn numbers_are_read_in_any_case_with_or_without_the_dash(bits in 0..1_u64 << 40) {
            let number = Number::from_bits(bits);
            let text = number.to_string();
            for written in [text.to_lowercase(), text.replace('-', ""), text.replace('-', "").to_lowercase()] {
                prop_assert_eq!(Number::parse_loosely(&written), Ok(number.clone()));
            }
        }

        #[test]
        fn arbitrary_text_is_read_as_a_number_or_refused(text in ".*") {
            let _ = Number::parse_loosely(&text);
        }

        #[test]
        fn arbitrary_text_is_no_number_and_never_panics(text in ".*") {
            if let Ok(number) = Number::parse(&text) {
                prop_assert_eq!(number.to_string(), text);
            }
        }
    }
}
