//! Postal addresses.

use serde::{Deserialize, Serialize};

use crate::input::validation::{Form, ValidationErrors};
use crate::values::text;

/// Postal address with checked fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Usually street and number.
    pub line1: String,
    /// Flat, floor or "care of".
    pub line2: Option<String>,
    /// City, town or village.
    pub city: String,
    /// State, province or county.
    pub region: Option<String>,
    /// Absent in countries without postal codes.
    pub postal_code: Option<String>,
    /// ISO 3166-1 alpha-2 code in capitals.
    pub country: String,
}

/// Address as a client sends it, not yet checked.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of Address")]
pub struct AddressForm {
    pub line1: Option<String>,
    pub line2: Option<String>,
    pub city: Option<String>,
    pub region: Option<String>,
    pub postal_code: Option<String>,
    pub country: Option<String>,
}

impl Form for AddressForm {
    type Checked = Address;

    fn check(self, errors: &mut ValidationErrors) -> Option<Address> {
        let line1 = errors.required("/line1", self.line1, text::line(1, 200));
        let line2 = errors.optional("/line2", self.line2, text::line(1, 200));
        let city = errors.required("/city", self.city, text::line(1, 200));
        let region = errors.optional("/region", self.region, text::line(1, 200));
        let postal_code = errors.optional("/postal_code", self.postal_code, text::line(1, 20));
        let country = errors.required("/country", self.country, country);
        Some(Address { line1: line1?, line2, city: city?, region, postal_code, country: country? })
    }
}

fn country(code: String) -> Result<String, String> {
    match rust_iso3166::from_alpha2(&code) {
        Some(_) => Ok(code),
        None => Err("must be an ISO 3166-1 alpha-2 code in capitals, such as DE".to_owned()),
    }
}

/// Codes of all countries (ISO 3166-1 alpha-2).
#[cfg(feature = "openapi")]
pub(crate) fn countries() -> Vec<String> {
    let pairs = ('A'..='Z').flat_map(|a| ('A'..='Z').map(move |b| [a, b].iter().collect()));
    pairs.filter_map(|code| country(code).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_errors_of_an_address_are_reported_at_once() {
        let mut errors = ValidationErrors::default();
        let form = AddressForm {
            line1: Some(" ".to_owned()),
            region: Some(String::new()),
            country: Some("de".to_owned()),
            ..AddressForm::default()
        };
        assert!(form.check(&mut errors).is_none());
        let error = errors.check().unwrap_err();
        let pointers: Vec<_> = error.errors().iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/line1", "/city", "/region", "/country"]);
    }

    #[test]
    fn countries_are_of_the_active_list() {
        assert!(country("DE".to_owned()).is_ok());
        for bad in ["DD", "XX", "DEU", "", "dE"] {
            assert!(country(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
