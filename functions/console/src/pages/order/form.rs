//! Forms of the page: fields that keep what was sent, the faults beside them, and what handlers read of them.

use maud::{Markup, html};
use proto::orders::v1::{NewItemQuantity, Order};
use shared::error::{Error, Kind};
use shared::input::validation::{FieldError, NamedBy};

use super::Item;
use crate::amount::parse_amount;
use crate::http::Fields;
use crate::layout;
use crate::texts::order as texts;

/// Prefix of fields for units of an item. The item's ID follows.
pub(super) const UNITS: &str = "units-";
/// Prefix of fields for units that came back.
pub(super) const RECEIVED: &str = "received-";
/// Prefix of fields for units that are on hand again.
pub(super) const RESTOCKED: &str = "restocked-";

/// The longest reference, method, carrier or tracking number, as the API has it.
const MAX_REFERENCE: usize = 100;
/// The longest reason, as the API has it.
const MAX_REASON: usize = 500;
/// The longest URL of tracking, as the API has it.
const MAX_URL: usize = 2_000;

/// Form that was sent and is shown again.
pub(super) struct Sent {
    /// Name of the form on the page.
    pub(super) form: String,
    /// Its fields.
    pub(super) fields: Fields,
    /// Faults of its fields.
    pub(super) faults: Vec<Fault>,
    /// True if the page says that the order has changed since.
    is_outdated: bool,
}

/// Fault of a field.
pub(super) struct Fault {
    /// Name of the field.
    name: String,
    /// Label of the field, for the list at the top of the page.
    pub(super) label: String,
    /// Predicate of the field: "must be …".
    pub(super) detail: String,
    /// True if the form has a field of this name to fill in.
    has_field: bool,
}

/// Fields that are not shown.
const HIDDEN: [&str; 7] = ["csrf", "key", "version", "of", "status", "change", "return_id"];

/// ID of a faulty field. One form at most has faults.
fn id_of(name: &str) -> String {
    format!("fault-{name}")
}

impl Fault {
    /// Renders the label of the field, as a link to it.
    pub(super) fn heading(&self) -> Markup {
        html! {
            @if self.has_field {
                a href={ "#" (id_of(&self.name)) } { strong { (self.label) } }
            } @else {
                strong { (self.label) }
            }
        }
    }
}

impl Sent {
    /// Form that is shown with its fields, and without faults.
    pub(super) fn new(form: String, fields: Fields) -> Self {
        Self { form, fields, faults: Vec::new(), is_outdated: false }
    }

    /// Takes the faults of a refusal.
    pub(super) fn refuse(&mut self, order: &Order, error: &Error) {
        self.is_outdated = error.kind() == Kind::VersionMismatch;
        let items = items_of(&self.fields);
        let fault = |fault: &FieldError| {
            let name = field_name(&fault.pointer, &items);
            let label = label(order, &name);
            let has_field = self.fields.exact(&name).is_some() && !HIDDEN.contains(&name.as_str());
            Fault { name, label, detail: fault.detail.clone(), has_field }
        };
        self.faults = error.errors().iter().map(fault).collect();
    }
}

/// IDs of the items that the request names, in its order.
fn items_of(fields: &Fields) -> Vec<String> {
    let named = units(fields).unwrap_or_default().into_iter().filter_map(|units| units.id);
    named.chain(received_items(fields)).collect()
}

/// IDs of the items of which units came back, in the order of the form.
pub(super) fn received_items(fields: &Fields) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    for prefix in [RECEIVED, RESTOCKED] {
        for (id, _) in fields.with_prefix(prefix) {
            if !items.iter().any(|there| there == id) {
                items.push(id.to_owned());
            }
        }
    }
    items
}

/// Name of the field that a pointer means: one into the request of a function, or the name itself.
fn field_name(pointer: &str, items: &[String]) -> String {
    let mut segments = pointer.trim_start_matches('/').split('/');
    let (first, second, third) = (segments.next().unwrap_or_default(), segments.next(), segments.next());
    match (first, second) {
        ("items", Some(place)) => {
            let item = place.parse::<usize>().ok().and_then(|place| items.get(place));
            let Some(item) = item else { return first.to_owned() };
            let prefix = match third {
                Some("received") => RECEIVED,
                Some("restocked") => RESTOCKED,
                _ => UNITS,
            };
            format!("{prefix}{item}")
        }
        ("tracking", Some(field)) => field.to_owned(),
        _ => first.to_owned(),
    }
}

/// Label of a field in the list of faults.
fn label(order: &Order, name: &str) -> String {
    let of_item = |prefix: &str| {
        let id = name.strip_prefix(prefix)?;
        order.items.iter().find(|item| item.id == id).map(|item| item.name.as_str())
    };
    if let Some(item) = of_item(RECEIVED) {
        return format!("{item}, {}", texts::RECEIVED_UNITS);
    }
    if let Some(item) = of_item(RESTOCKED) {
        return format!("{item}, {}", texts::RESTOCKED_UNITS);
    }
    of_item(UNITS).or_else(|| texts::field(name)).unwrap_or(name).to_owned()
}

/// Form of the page: with what was sent, if it is the one that is shown again.
#[derive(Clone, Copy)]
pub(super) struct Form<'a>(pub(super) Option<&'a Sent>);

impl Form<'_> {
    /// True if it is shown again.
    pub(super) fn is_sent(self) -> bool {
        self.0.is_some()
    }

    /// Version that the form carries: the one that was sent, unless the page says that the order has changed since.
    ///
    /// With a newer one, the next attempt would undo a change that nobody has seen.
    pub(super) fn version(self, current: i64) -> String {
        let sent = self.0.filter(|sent| !sent.is_outdated);
        sent.map_or_else(
            || current.to_string(),
            |sent| sent.fields.get("version").unwrap_or_default().to_owned(),
        )
    }

    /// Value of a field: as it was sent, else this one.
    fn value<'b>(&'b self, name: &str, default: &'b str) -> &'b str {
        self.0.map_or(default, |sent| sent.fields.get(name).unwrap_or_default())
    }

    fn fault(&self, name: &str) -> Option<&str> {
        let faults = &self.0?.faults;
        faults.iter().find(|fault| fault.name == name).map(|fault| fault.detail.as_str())
    }

    /// Field around an input, with its fault.
    fn around(self, name: &str, label: &str, input: &Markup) -> Markup {
        let input = html! {
            (input)
            @if let Some(fault) = self.fault(name) { span.fault { (fault) } }
        };
        layout::field(label, input)
    }

    fn invalid(&self, name: &str) -> Option<&'static str> {
        self.fault(name).map(|_| "true")
    }

    /// ID of a faulty field.
    fn id(self, name: &str) -> Option<String> {
        self.fault(name).map(|_| id_of(name))
    }

    /// True for the first faulty field.
    fn is_first(self, name: &str) -> bool {
        let mut faults = self.0.map(|sent| sent.faults.iter()).unwrap_or_default();
        faults.find(|fault| fault.has_field).is_some_and(|fault| fault.name == name)
    }

    /// Field for a line of text.
    fn line(self, name: &str, label: &str, default: &str, most: usize, is_required: bool) -> Markup {
        let input = html! {
            input type="text" name=(name) value=(self.value(name, default)) maxlength=(most)
                autocomplete="off" required[is_required] aria-invalid=[self.invalid(name)]
                id=[self.id(name)] autofocus[self.is_first(name)];
        };
        self.around(name, label, &input)
    }

    /// Field for a reference, a method, a carrier or a tracking number.
    pub(super) fn reference(self, name: &str, label: &str, default: &str, is_required: bool) -> Markup {
        self.line(name, label, default, MAX_REFERENCE, is_required)
    }

    /// Field for a reason.
    pub(super) fn reason(self, is_required: bool) -> Markup {
        let label = if is_required { texts::REASON } else { texts::OPTIONAL_REASON };
        self.line("reason", label, "", MAX_REASON, is_required)
    }

    /// Field for the URL of tracking.
    pub(super) fn url(self, default: &str) -> Markup {
        let (name, label) = ("url", texts::TRACKING_URL);
        let input = html! {
            input type="url" name=(name) value=(self.value(name, default)) maxlength=(MAX_URL)
                autocomplete="off" aria-invalid=[self.invalid(name)]
                id=[self.id(name)] autofocus[self.is_first(name)];
        };
        self.around(name, label, &input)
    }

    /// Field for an amount in the decimal form of its currency.
    pub(super) fn amount(self, currency: &str, default: &str) -> Markup {
        let name = "amount";
        // A field of type number would round, and take exponents.
        let input = html! {
            input.number type="text" name=(name) value=(self.value(name, default)) inputmode="decimal"
                autocomplete="off" required aria-invalid=[self.invalid(name)]
                id=[self.id(name)] autofocus[self.is_first(name)];
        };
        self.around(name, &texts::amount_in(currency), &input)
    }

    /// Field for a number of units.
    pub(super) fn number(self, name: &str, label: &str, default: Option<i64>) -> Markup {
        let default = default.map(|number| number.to_string()).unwrap_or_default();
        // A field of type number loses what is no number when it is shown again.
        let input = html! {
            input.number type="text" name=(name) value=(self.value(name, &default)) inputmode="numeric"
                autocomplete="off" aria-invalid=[self.invalid(name)]
                id=[self.id(name)] autofocus[self.is_first(name)];
        };
        self.around(name, label, &input)
    }

    /// Fields for units of all items that have some. `is_full`: they begin with all of these.
    pub(super) fn units(self, items: &[Item<'_>], most: impl Fn(&Item<'_>) -> i64, is_full: bool) -> Markup {
        html! {
            fieldset.fields {
                legend { (texts::UNITS) }
                @for item in items {
                    @let most = most(item);
                    @if most > 0 {
                        @let name = format!("{UNITS}{}", item.item.id);
                        @let label = texts::units_up_to(&item.item.name, &item.item.sku, most);
                        (self.number(&name, &label, is_full.then_some(most)))
                    }
                }
            }
        }
    }

    /// Field for a text of several lines.
    pub(super) fn lines(self, name: &str, label: &str, default: &str) -> Markup {
        let input = html! {
            // The first line break of a textarea belongs to the markup.
            textarea name=(name) rows="4" aria-invalid=[self.invalid(name)]
                id=[self.id(name)] autofocus[self.is_first(name)] { "\n" (self.value(name, default)) }
        };
        self.around(name, label, &input)
    }

    /// Box to be ticked.
    pub(super) fn tick(self, name: &str, label: &str) -> Markup {
        let is_ticked = self.0.is_some_and(|sent| sent.fields.get(name).is_some());
        let input = html! {
            input type="checkbox" name=(name) value="yes" checked[is_ticked] aria-invalid=[self.invalid(name)]
                id=[self.id(name)] autofocus[self.is_first(name)];
        };
        self.around(name, label, &input)
    }

    /// Choice of one of these: value and text. The first one is chosen at first.
    pub(super) fn choice(self, name: &str, label: &str, options: &[(&str, String)]) -> Markup {
        let chosen = self.value(name, "");
        let input = html! {
            select name=(name) aria-invalid=[self.invalid(name)]
                id=[self.id(name)] autofocus[self.is_first(name)] {
                @for (value, text) in options {
                    option value=(value) selected[*value == chosen] { (text) }
                }
            }
        };
        self.around(name, label, &input)
    }
}

/// Field that is not shown.
pub(super) fn hidden(name: &str, value: &str) -> Markup {
    html! { input type="hidden" name=(name) value=(value); }
}

/// Reads a text that may be absent.
pub(super) fn text(fields: &Fields, name: &str) -> Option<String> {
    fields.get(name).map(str::to_owned)
}

/// Reads the version of the order that the page showed.
///
/// # Errors
/// 422 for text that is no number.
pub(super) fn version(fields: &Fields) -> Result<Option<i64>, Error> {
    // No order has version 0: a form without a version changes nothing.
    Ok(Some(fields.number("version")?.unwrap_or(0)))
}

/// Reads an amount in the decimal form of its currency, as minor units.
///
/// # Errors
/// 422 for a text that is no amount, and for an empty field.
pub(super) fn amount(fields: &Fields, currency: &str) -> Result<i64, Error> {
    let text = fields.get("amount").ok_or_else(|| fault("amount", texts::REQUIRED))?;
    parse_amount(text, currency).map_err(|detail| fault("amount", detail))
}

/// Reads units of items, without those of which there are none.
///
/// # Errors
/// 422 for text that is no whole number.
pub(super) fn units(fields: &Fields) -> Result<Vec<NewItemQuantity>, Error> {
    let mut units = Vec::new();
    for (id, _) in fields.with_prefix(UNITS) {
        // 0 is as good as an empty field.
        let quantity = fields.number(&format!("{UNITS}{id}"))?.filter(|quantity| *quantity != 0);
        if quantity.is_some() {
            units.push(NewItemQuantity { id: Some(id.to_owned()), quantity });
        }
    }
    Ok(units)
}

/// Reads units of items, of at least one.
///
/// # Errors
/// 422 for text that is no whole number, and for no units.
pub(super) fn some_units(fields: &Fields) -> Result<Vec<NewItemQuantity>, Error> {
    let units = units(fields)?;
    // Without items the function would take all units that are left.
    if units.is_empty() { Err(fault("items", texts::NO_UNITS)) } else { Ok(units) }
}

/// Error of one field.
pub(super) fn fault(name: &str, detail: impl Into<String>) -> Error {
    Error::validation(vec![FieldError::new(format!("/{name}"), detail, NamedBy::Code)])
}

#[cfg(test)]
mod tests {
    use proto::orders::v1::OrderItem;

    use super::*;

    #[test]
    fn items_without_units_are_left_out() {
        let fields = Fields::of("/x", "units-item_a=2&units-item_b=&units-item_c=0");
        let named: Vec<_> = units(&fields).unwrap().into_iter().map(|of| (of.id, of.quantity)).collect();
        assert_eq!(named, [(Some("item_a".to_owned()), Some(2))]);
        let none = some_units(&Fields::of("/x", "units-item_a=0")).unwrap_err();
        assert_eq!(none.errors()[0].pointer, "/items");
        let half = units(&Fields::of("/x", "units-item_a=1.5")).unwrap_err();
        assert_eq!(half.errors()[0].pointer, "/units-item_a");
    }

    #[test]
    fn a_form_without_a_version_names_no_version_of_an_order() {
        assert_eq!(version(&Fields::of("/x", "version=3")).unwrap(), Some(3));
        assert_eq!(version(&Fields::of("/x", "")).unwrap(), Some(0));
        assert!(version(&Fields::of("/x", "version=x")).is_err());
    }

    #[test]
    fn a_form_keeps_its_version_until_the_page_says_that_it_is_old() {
        let order = Order::default();
        let mut sent = Sent::new("payment".to_owned(), Fields::of("/x", "version=3&amount=x"));
        sent.refuse(&order, &fault("amount", "must be <1>"));
        assert_eq!(Form(Some(&sent)).version(4), "3");
        let amount = Form(Some(&sent)).amount("EUR", "").into_string();
        assert!(amount.contains(" id=\"fault-amount\" autofocus>"), "{amount}");
        let heading = sent.faults[0].heading().into_string();
        assert_eq!(heading, "<a href=\"#fault-amount\"><strong>Amount</strong></a>");
        sent.refuse(&order, &Error::new(Kind::VersionMismatch, "x"));
        assert_eq!(Form(Some(&sent)).version(4), "4");
        assert_eq!(Form(None).version(4), "4");
    }

    #[test]
    fn an_amount_is_read_in_the_currency_of_the_order() {
        assert_eq!(amount(&Fields::of("/x", "amount=12.34"), "EUR").unwrap(), 1_234);
        for bad in ["amount=12.345", "amount=-1", "amount=", ""] {
            let error = amount(&Fields::of("/x", bad), "EUR").unwrap_err();
            assert_eq!(error.errors()[0].pointer, "/amount", "{bad}");
        }
    }

    #[test]
    fn a_pointer_leads_to_the_field_of_the_form() {
        let items = ["item_a".to_owned(), "item_b".to_owned()];
        for (pointer, name) in [
            ("/amount", "amount"),
            ("/units-item_a", "units-item_a"),
            ("/items", "items"),
            ("/items/1/quantity", "units-item_b"),
            ("/items/0/id", "units-item_a"),
            ("/items/1/received", "received-item_b"),
            ("/items/0/restocked", "restocked-item_a"),
            ("/items/2/quantity", "items"),
            ("/items/x", "items"),
            ("/tracking/carrier", "carrier"),
            ("/tracking", "tracking"),
            ("", ""),
        ] {
            assert_eq!(field_name(pointer, &items), name, "{pointer}");
        }
    }

    #[test]
    fn a_fault_is_listed_under_the_label_of_its_field() {
        let mug = OrderItem { id: "item_a".to_owned(), name: "Mug".to_owned(), ..OrderItem::default() };
        let order = Order { items: vec![mug], ..Order::default() };
        for (name, expected) in [
            ("units-item_a", "Mug"),
            ("received-item_a", "Mug, Came back"),
            ("restocked-item_a", "Mug, Back in stock"),
            ("units-item_b", "units-item_b"),
            ("amount", "Amount"),
            ("", "The form"),
        ] {
            assert_eq!(label(&order, name), expected);
        }
    }
}
