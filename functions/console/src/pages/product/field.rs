//! Fields of the page's forms: with what was sent and its faults, if a form is shown again.

use maud::{Markup, html};
use shared::error::{Error, Kind};
use shared::values::text::{Name, Reason};

use crate::http::Fields;
use crate::layout;
use crate::texts::product as texts;
use crate::texts::products::STATUSES;

/// Form of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Sets the units on hand.
    Count,
    /// Adds units to those on hand, or takes some away.
    Add,
    /// Changes the product itself.
    Edit,
}

/// Form that was refused, to be shown again.
pub(super) struct Sent<'a> {
    pub(super) form: Form,
    pub(super) fields: &'a Fields,
    pub(super) error: &'a Error,
}

/// Inputs of one form.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a>(Option<&'a Sent<'a>>);

impl<'a> Inputs<'a> {
    /// Inputs of this form, with what was sent if it is the one that was refused.
    pub(super) fn of(form: Form, sent: Option<&'a Sent<'a>>) -> Self {
        Self(sent.filter(|sent| sent.form == form))
    }

    /// Version or units that the form was made for: those that were sent, unless the page says that they have changed.
    ///
    /// With newer ones, the next attempt would undo a change that nobody has seen.
    pub(super) fn basis(self, name: &str, current: i64) -> String {
        let sent = self.0.filter(|sent| sent.error.kind() != Kind::VersionMismatch);
        sent.map_or_else(|| current.to_string(), |sent| sent.fields.get(name).unwrap_or_default().to_owned())
    }

    /// Value as it was sent, else this one.
    fn value(self, name: &str, default: &'a str) -> &'a str {
        self.0.map_or(default, |sent| sent.fields.get(name).unwrap_or_default())
    }

    /// Fault of a field. That of the price may be below it, as in `/price/amount`.
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

    /// Field for a number of units. `is_signed`: it may be below 0.
    pub(super) fn units(self, name: &str, label: &str, is_signed: bool) -> Markup {
        // The numeric keyboard of some phones has no sign.
        let keyboard = if is_signed { "text" } else { "numeric" };
        // A field of type number loses what is no number when it is shown again.
        let input = html! {
            input.number type="text" name=(name) value=(self.value(name, "")) inputmode=(keyboard)
                autocomplete="off" required aria-invalid=[self.invalid(name)] autofocus[self.is_first(name)];
        };
        self.around(name, label, &input)
    }

    /// Field for the reason of a change.
    pub(super) fn reason(self) -> Markup {
        let name = "reason";
        let input = html! {
            input type="text" name=(name) value=(self.value(name, "")) maxlength=(Reason::MAX) autocomplete="off"
                aria-invalid=[self.invalid(name)] autofocus[self.is_first(name)];
        };
        self.around(name, texts::REASON, &input)
    }

    /// Field for the name of the product.
    pub(super) fn name(self, current: &'a str) -> Markup {
        let name = "name";
        let input = html! {
            input type="text" name=(name) value=(self.value(name, current)) maxlength=(Name::MAX) required
                autocomplete="off" aria-invalid=[self.invalid(name)] autofocus[self.is_first(name)];
        };
        self.around(name, texts::NAME, &input)
    }

    /// Field for the price, in the decimal form of its currency.
    pub(super) fn price(self, currency: &str, current: &'a str) -> Markup {
        let name = "price";
        // A field of type number would round, and take exponents.
        let input = html! {
            input.number type="text" name=(name) value=(self.value(name, current)) inputmode="decimal" required
                autocomplete="off" aria-invalid=[self.invalid(name)] autofocus[self.is_first(name)];
        };
        self.around(name, &texts::price_in(currency), &input)
    }

    /// Choice of a status.
    pub(super) fn status(self, current: &'a str) -> Markup {
        let name = "status";
        let chosen = self.value(name, current);
        let is_known = STATUSES.iter().any(|(status, _)| *status == current);
        let input = html! {
            select name=(name) aria-invalid=[self.invalid(name)] autofocus[self.is_first(name)] {
                @for (status, label) in STATUSES {
                    option value=(status) selected[status == chosen] { (label) }
                }
                // A status of a newer build stays as it is: no value is sent.
                @if !is_known { option value="" selected[chosen == current || chosen.is_empty()] { (current) } }
            }
        };
        self.around(name, texts::STATUS, &input)
    }
}

/// True if a pointer leads to a field, or below it.
fn is_of(pointer: &str, name: &str) -> bool {
    pointer.trim_start_matches('/').split('/').next() == Some(name)
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
        let fields = Fields::of("/console/products/p", "on_hand=4x&reason=%3Cb%3E");
        let error = faulty("/on_hand");
        let sent = Sent { form: Form::Count, fields: &fields, error: &error };
        let shown = Inputs::of(Form::Count, Some(&sent));
        let units = shown.units("on_hand", "Units", false).into_string();
        assert!(units.contains("value=\"4x\"") && units.contains("aria-invalid=\"true\""), "{units}");
        assert!(units.contains("<span class=\"fault\">must be &lt;1&gt;</span>"), "{units}");
        assert!(units.contains(" autofocus>") && units.contains("type=\"text\""), "{units}");
        let reason = shown.reason().into_string();
        assert!(reason.contains("value=\"&lt;b&gt;\"") && !reason.contains("aria-invalid"), "{reason}");
    }

    #[test]
    fn the_other_forms_stay_as_they_are() {
        let fields = Fields::of("/console/products/p", "reason=broken");
        let error = faulty("/reason");
        let sent = Sent { form: Form::Add, fields: &fields, error: &error };
        let reason = Inputs::of(Form::Count, Some(&sent)).reason().into_string();
        assert!(!reason.contains("broken") && !reason.contains("aria-invalid"), "{reason}");
    }

    #[test]
    fn a_form_is_for_what_was_sent_until_the_page_says_that_it_is_old() {
        let fields = Fields::of("/console/products/p", "version=3&seen=10");
        for (error, version, seen) in
            [(faulty("/name"), "3", "10"), (Error::new(Kind::VersionMismatch, "x"), "4", "8")]
        {
            let sent = Sent { form: Form::Count, fields: &fields, error: &error };
            let shown = Inputs::of(Form::Count, Some(&sent));
            assert_eq!(
                (shown.basis("version", 4).as_str(), shown.basis("seen", 8).as_str()),
                (version, seen)
            );
            assert_eq!(Inputs::of(Form::Edit, Some(&sent)).basis("version", 4), "4");
        }
    }

    #[test]
    fn a_fault_of_the_amount_is_one_of_the_price() {
        let fields = Fields::of("/console/products/p", "price=");
        let error = faulty("/price/amount");
        let sent = Sent { form: Form::Edit, fields: &fields, error: &error };
        let price = Inputs::of(Form::Edit, Some(&sent)).price("EUR", "5.00").into_string();
        // What was sent is kept, also if it is nothing.
        assert!(price.contains("Price in EUR") && price.contains("value=\"\""), "{price}");
        assert!(price.contains("aria-invalid=\"true\""), "{price}");
    }

    #[test]
    fn a_status_of_a_newer_build_is_not_sent() {
        let status = Inputs::of(Form::Edit, None).status("retired").into_string();
        assert!(status.contains("<option value=\"\" selected>retired</option>"), "{status}");
        let status = Inputs::of(Form::Edit, None).status("active").into_string();
        assert!(status.contains("<option value=\"active\" selected>Active</option>"), "{status}");
        assert!(!status.contains("value=\"\""), "{status}");
    }
}
