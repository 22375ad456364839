//! Address of a user: for reading, as fields of a form, and back.

use maud::{Markup, html};
use proto::common::v1::Address;

use super::field::{ADDRESS, Inputs};
use crate::http::Fields;
use crate::texts::user as texts;

/// Renders the fields of an address.
pub(super) fn fields<'a>(inputs: Inputs<'a>, current: Option<&'a Address>) -> Markup {
    html! {
        fieldset {
            legend { (texts::ADDRESS) }
            p.muted { (texts::ADDRESS_HINT) }
            div.fields {
                @for field in &ADDRESS { (inputs.text(field, value(current, field.name))) }
            }
        }
    }
}

/// Value of a field of this address.
fn value<'a>(address: Option<&'a Address>, field: &str) -> &'a str {
    let Some(address) = address else { return "" };
    let optional = match field {
        "address/line1" => return &address.line1,
        "address/city" => return &address.city,
        "address/country" => return &address.country,
        "address/name" => &address.name,
        "address/company" => &address.company,
        "address/line2" => &address.line2,
        "address/postal_code" => &address.postal_code,
        "address/region" => &address.region,
        "address/phone" => &address.phone,
        _ => return "",
    };
    optional.as_deref().unwrap_or_default()
}

/// Address of a form. `None` if all of its fields are empty.
pub(super) fn sent(fields: &Fields) -> Option<Address> {
    if ADDRESS.iter().all(|field| fields.get(field.name).is_none()) {
        return None;
    }
    let text = |name: &str| fields.get(name).map(str::to_owned);
    Some(Address {
        name: text("address/name"),
        company: text("address/company"),
        line1: text("address/line1").unwrap_or_default(),
        line2: text("address/line2"),
        postal_code: text("address/postal_code"),
        city: text("address/city").unwrap_or_default(),
        region: text("address/region"),
        // The API wants capitals.
        country: text("address/country").unwrap_or_default().to_ascii_uppercase(),
        phone: text("address/phone"),
    })
}

#[cfg(test)]
mod tests {
    use form_urlencoded::Serializer;

    use super::*;

    #[test]
    fn an_address_goes_through_its_form_unchanged() {
        let some = |text: &str| Some(text.to_owned());
        let address = Address {
            name: some("Ada"),
            company: some("Engines"),
            line1: "1 <Way>".to_owned(),
            line2: some("Flat 2"),
            postal_code: some("53111"),
            city: "Bonn".to_owned(),
            region: some("NRW"),
            country: "DE".to_owned(),
            phone: some("+49 228 1"),
        };
        let mut body = Serializer::new(String::new());
        for field in &ADDRESS {
            body.append_pair(field.name, value(Some(&address), field.name));
        }
        assert_eq!(sent(&Fields::of("/x", &body.finish())), Some(address.clone()));
        let expected = "<address>Ada<br>Engines<br>1 &lt;Way&gt;<br>Flat 2<br>53111 Bonn<br>NRW<br>DE<br>+49 228 1\
                        <br></address>";
        assert_eq!(crate::layout::address(&address).into_string(), expected);
    }

    #[test]
    fn empty_fields_are_no_address() {
        assert_eq!(sent(&Fields::of("/x", "address%2Fline1=+&name=Ada")), None);
        let partial = sent(&Fields::of("/x", "address%2Fcountry=de")).unwrap();
        assert_eq!((partial.line1.as_str(), partial.country.as_str()), ("", "DE"));
    }
}
