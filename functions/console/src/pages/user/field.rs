//! Fields of the forms for users: with what was sent and its faults, if a form is shown again.

use maud::{Markup, html};
use shared::error::{Error, Kind};
use shared::values::address::{AddressLine, Country, Phone, PostalCode};
use shared::values::email::Email;
use shared::values::text::Name;

use crate::http::Fields;
use crate::layout;
use crate::texts::user as texts;

/// Form for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Creates a user.
    New,
    /// Changes name, e-mail address, phone and address.
    Edit,
    /// Changes role and status.
    Access,
    /// Sets a new password.
    Password,
}

/// Form that was refused, to be shown again.
pub(super) struct Sent<'a> {
    pub(super) form: Form,
    pub(super) fields: &'a Fields,
    pub(super) error: &'a Error,
}

/// Field for one line of text.
pub(super) struct Text {
    /// Name in the form: the API's pointer without its first slash, so that faults find their field.
    pub(super) name: &'static str,
    label: &'static str,
    keyboard: &'static str,
    most: usize,
    is_required: bool,
}

impl Text {
    /// Creates an optional field.
    const fn new(name: &'static str, label: &'static str, most: usize) -> Self {
        Self { name, label, keyboard: "text", most, is_required: false }
    }
}

/// Field for the name.
pub(super) const NAME: Text = Text { is_required: true, ..Text::new("name", texts::NAME, Name::MAX) };
/// Field for the e-mail address.
pub(super) const EMAIL: Text =
    Text { is_required: true, keyboard: "email", ..Text::new("email", texts::EMAIL, Email::MAX) };
/// Field for the phone number.
pub(super) const PHONE: Text = Text { keyboard: "tel", ..Text::new("phone", texts::PHONE, Phone::MAX) };

/// Fields for an address. None is required, as there may be no address.
pub(super) const ADDRESS: [Text; 9] = [
    Text::new("address/name", texts::RECIPIENT, Name::MAX),
    Text::new("address/company", texts::COMPANY, Name::MAX),
    Text::new("address/line1", texts::LINE1, AddressLine::MAX),
    Text::new("address/line2", texts::LINE2, AddressLine::MAX),
    Text::new("address/postal_code", texts::POSTAL_CODE, PostalCode::MAX),
    Text::new("address/city", texts::CITY, AddressLine::MAX),
    Text::new("address/region", texts::REGION, AddressLine::MAX),
    Text::new("address/country", texts::COUNTRY, Country::LENGTH),
    Text { keyboard: "tel", ..Text::new("address/phone", texts::ADDRESS_PHONE, Phone::MAX) },
];

/// Inputs of one form.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a>(Option<&'a Sent<'a>>);

impl<'a> Inputs<'a> {
    /// Inputs of this form, with what was sent if it is the one that was refused.
    pub(super) fn of(form: Form, sent: Option<&'a Sent<'a>>) -> Self {
        Self(sent.filter(|sent| sent.form == form))
    }

    /// Version that the form was made for, as a hidden field: the one that was sent, unless it is an old one.
    ///
    /// With a newer one, the next attempt would undo a change that nobody has seen.
    pub(super) fn version(self, current: i64) -> Markup {
        let current = current.to_string();
        match self.0.filter(|sent| sent.error.kind() != Kind::VersionMismatch) {
            Some(sent) => hidden("version", sent.fields.get("version").unwrap_or_default()),
            None => hidden("version", &current),
        }
    }

    /// Value as it was sent, else this one.
    fn value(self, name: &str, default: &'a str) -> &'a str {
        self.0.map_or(default, |sent| sent.fields.get(name).unwrap_or_default())
    }

    /// Fault of a field.
    fn fault(self, name: &str) -> Option<&'a str> {
        let faults = self.0?.error.errors();
        faults.iter().find(|fault| is_of(&fault.pointer, name)).map(|fault| fault.detail.as_str())
    }

    /// True for the field of the first fault.
    fn is_first(self, name: &str) -> bool {
        let fault = self.0.and_then(|sent| sent.error.errors().first());
        fault.is_some_and(|fault| is_of(&fault.pointer, name))
    }

    /// `aria-invalid` of a field.
    fn invalid(self, name: &str) -> Option<&'static str> {
        self.fault(name).map(|_| "true")
    }

    /// Field around an input, with its fault.
    fn around(self, name: &str, label: &str, input: &Markup) -> Markup {
        let input = html! {
            (input)
            @if let Some(fault) = self.fault(name) { span.fault { (fault) } }
        };
        layout::field(label, input)
    }

    /// Field for a line of text.
    pub(super) fn text(self, text: &Text, current: &'a str) -> Markup {
        let name = text.name;
        // A field of type email would refuse, and trim, by the rule of the browser.
        let input = html! {
            input type="text" name=(name) value=(self.value(name, current)) inputmode=(text.keyboard)
                maxlength=(text.most) required[text.is_required] autocomplete="off"
                aria-invalid=[self.invalid(name)] autofocus[self.is_first(name)];
        };
        self.around(name, text.label, &input)
    }

    /// Field for a password. What was sent is never shown again.
    pub(super) fn password(self, name: &str, label: &str, is_required: bool) -> Markup {
        let kind = if name == "current_password" { "current-password" } else { "new-password" };
        let input = html! {
            input type="password" name=(name) autocomplete=(kind) required[is_required]
                aria-invalid=[self.invalid(name)] autofocus[self.is_first(name)];
        };
        self.around(name, label, &input)
    }

    /// Choice of one of these values.
    pub(super) fn choice(self, name: &str, label: &str, known: &[(&str, &str)], current: &'a str) -> Markup {
        let chosen = self.value(name, current);
        let is_known = known.iter().any(|(value, _)| *value == current);
        let input = html! {
            select name=(name) aria-invalid=[self.invalid(name)] autofocus[self.is_first(name)] {
                @for (value, label) in known {
                    option value=(value) selected[*value == chosen] { (label) }
                }
                // A value of a newer build stays as it is: none is sent.
                @if !is_known { option value="" selected[chosen == current || chosen.is_empty()] { (current) } }
            }
        };
        self.around(name, label, &input)
    }
}

/// True if a pointer leads to a field.
fn is_of(pointer: &str, name: &str) -> bool {
    pointer.strip_prefix('/') == Some(name)
}

/// Field that is not shown.
pub(super) fn hidden(name: &str, value: &str) -> Markup {
    html! { input type="hidden" name=(name) value=(value); }
}

#[cfg(test)]
mod tests {
    use shared::input::validation::{FieldError, NamedBy};

    use super::*;

    fn faulty(pointer: &str) -> Error {
        Error::validation(vec![FieldError::new(pointer, "must be <1>", NamedBy::Code)])
    }

    #[test]
    fn a_refused_form_keeps_its_fields_and_shows_its_faults() {
        let fields = Fields::of("/x", "name=%3Cb%3E&address%2Fline1=x&address%2Fname=&password=secret");
        let error = faulty("/address/name");
        let sent = Sent { form: Form::New, fields: &fields, error: &error };
        let shown = Inputs::of(Form::New, Some(&sent));
        let name = shown.text(&NAME, "Ada").into_string();
        assert!(name.contains("value=\"&lt;b&gt;\"") && !name.contains("aria-invalid"), "{name}");
        let [recipient, ..] = ADDRESS;
        let recipient = shown.text(&recipient, "Ada").into_string();
        // What was sent is kept, also if it is nothing.
        assert!(recipient.contains("value=\"\"") && recipient.contains(" autofocus"), "{recipient}");
        assert!(recipient.contains("<span class=\"fault\">must be &lt;1&gt;</span>"), "{recipient}");
        let password = shown.password("password", "Password", true).into_string();
        assert!(!password.contains("secret") && !password.contains("value"), "{password}");
    }

    #[test]
    fn the_other_forms_stay_as_they_are() {
        let fields = Fields::of("/x", "name=other&version=3");
        let error = faulty("/name");
        let sent = Sent { form: Form::Edit, fields: &fields, error: &error };
        let shown = Inputs::of(Form::Access, Some(&sent));
        assert!(shown.text(&NAME, "Ada").into_string().contains("value=\"Ada\""));
        assert!(shown.version(4).into_string().contains("value=\"4\""));
    }

    #[test]
    fn a_form_is_for_its_version_until_the_page_says_that_it_is_old() {
        let fields = Fields::of("/x", "version=3");
        for (error, version) in [(faulty("/name"), "3"), (Error::new(Kind::VersionMismatch, "x"), "4")] {
            let sent = Sent { form: Form::Edit, fields: &fields, error: &error };
            let shown = Inputs::of(Form::Edit, Some(&sent)).version(4).into_string();
            assert!(shown.contains(&format!("value=\"{version}\"")), "{shown}");
        }
    }

    #[test]
    fn a_role_of_a_newer_build_is_not_sent() {
        let known = [("staff", "Staff")];
        let inputs = Inputs::of(Form::Access, None);
        let choice = |current| inputs.choice("role", "Role", &known, current).into_string();
        assert!(choice("owner").contains("<option value=\"\" selected>owner</option>"));
        assert!(choice("staff").contains("<option value=\"staff\" selected>Staff</option>"));
        assert!(!choice("staff").contains("value=\"\""));
    }
}
