//! Postal addresses.

use serde::{Deserialize, Serialize};

use crate::input::validation::{Form, ValidationErrors};
use crate::values::text::{Line, Name};

/// Street, city or region.
pub type AddressLine = Line<1, 200>;

/// Postal code.
pub type PostalCode = Line<1, 20>;

/// Telephone number, as people write it.
pub type Phone = Line<3, 32>;

/// A postal address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Address {
    /// Name of the recipient.
    pub name: Option<String>,
    /// Company of the recipient.
    pub company: Option<String>,
    /// Telephone number of the recipient.
    pub phone: Option<String>,
    /// Street and number.
    pub line1: String,
    /// Flat, floor or "care of".
    pub line2: Option<String>,
    /// City, town or village.
    pub city: String,
    /// State, province or county.
    pub region: Option<String>,
    /// Postal code; some countries have none.
    pub postal_code: Option<String>,
    /// ISO 3166-1 alpha-2, in capitals.
    #[cfg_attr(feature = "openapi", schema(value_type = Country))]
    pub country: String,
}

/// A postal address.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = NewAddress))]
pub struct AddressForm {
    /// Name of the recipient.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Name>))]
    pub name: Option<String>,
    /// Company of the recipient.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Name>))]
    pub company: Option<String>,
    /// Telephone number of the recipient.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Phone>))]
    pub phone: Option<String>,
    /// Street and number.
    #[cfg_attr(feature = "openapi", schema(value_type = AddressLine))]
    pub line1: Option<String>,
    /// Flat, floor, care of.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<AddressLine>))]
    pub line2: Option<String>,
    /// City, town or village.
    #[cfg_attr(feature = "openapi", schema(value_type = AddressLine))]
    pub city: Option<String>,
    /// State, province or county.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<AddressLine>))]
    pub region: Option<String>,
    /// Postal code; some countries have none.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<PostalCode>))]
    pub postal_code: Option<String>,
    /// ISO 3166-1 alpha-2, in capitals.
    #[cfg_attr(feature = "openapi", schema(value_type = Country))]
    pub country: Option<String>,
}

impl Form for AddressForm {
    type Checked = Address;

    fn check(self, errors: &mut ValidationErrors) -> Option<Address> {
        let name = errors.optional("/name", self.name, Name::parse);
        let company = errors.optional("/company", self.company, Name::parse);
        let phone = errors.optional("/phone", self.phone, Phone::parse);
        let line1 = errors.required("/line1", self.line1, AddressLine::parse);
        let line2 = errors.optional("/line2", self.line2, AddressLine::parse);
        let city = errors.required("/city", self.city, AddressLine::parse);
        let region = errors.optional("/region", self.region, AddressLine::parse);
        let postal_code = errors.optional("/postal_code", self.postal_code, PostalCode::parse);
        let country = errors.required("/country", self.country, Country::parse);
        let (line1, city, country) = (line1?, city?, country?);
        Some(Address { name, company, phone, line1, line2, city, region, postal_code, country })
    }
}

/// Code of Kosovo, which ISO 3166-1 leaves to users and which carriers and banks use.
const KOSOVO: &str = "XK";

/// A country of ISO 3166-1, or Kosovo: a type that is only named, never made.
pub enum Country {}

impl Country {
    /// The length of a code.
    pub const LENGTH: usize = 2;

    /// A rule for [`ValidationErrors`].
    ///
    /// # Errors
    /// The form of a code.
    pub fn parse(code: String) -> Result<String, String> {
        match rust_iso3166::from_alpha2(&code) {
            Some(_) => Ok(code),
            None if code == KOSOVO => Ok(code),
            None => Err("must be an ISO 3166-1 alpha-2 code in capitals, such as DE".to_owned()),
        }
    }

    /// All codes.
    #[cfg(feature = "openapi")]
    pub(crate) fn all() -> Vec<String> {
        let pairs = ('A'..='Z').flat_map(|a| ('A'..='Z').map(move |b| [a, b].iter().collect()));
        pairs.filter_map(|code| Self::parse(code).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_errors_of_an_address_are_reported_at_once() {
        let mut errors = ValidationErrors::default();
        let form = AddressForm {
            phone: Some("1".to_owned()),
            line1: Some(" ".to_owned()),
            region: Some(String::new()),
            country: Some("de".to_owned()),
            ..AddressForm::default()
        };
        assert!(form.check(&mut errors).is_none());
        let error = errors.check().unwrap_err();
        let pointers: Vec<_> = error.errors().iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/phone", "/line1", "/city", "/region", "/country"]);
    }

    #[test]
    fn countries_are_of_the_active_list() {
        for good in ["DE", "XK"] {
            assert!(Country::parse(good.to_owned()).is_ok());
        }
        for bad in ["DD", "XX", "DEU", "", "dE"] {
            assert!(Country::parse(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
