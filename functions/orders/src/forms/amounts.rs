//! Discounts, taxes and shipping in bodies.

use proto::orders::v1 as wire;
use serde::Deserialize;
use shared::input::validation::{Form, ValidationErrors};
use shared::values::money::Amount;

use crate::limits::{Label, MAX_DISCOUNTS_OR_TAXES};
use crate::order::{Discount, ItemAmounts, Rate, Shipping, Tax};

/// Discounts of an item.
#[cfg(feature = "openapi")]
pub(super) type NewDiscounts = shared::openapi::schemas::List<DiscountForm, 0, MAX_DISCOUNTS_OR_TAXES>;

/// Taxes of an item or of the shipping.
#[cfg(feature = "openapi")]
pub(super) type NewTaxes = shared::openapi::schemas::List<TaxForm, 0, MAX_DISCOUNTS_OR_TAXES>;

/// A discount on an item.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = NewDiscount))]
pub struct DiscountForm {
    /// Name, for people.
    #[cfg_attr(feature = "openapi", schema(value_type = Label))]
    pub label: Option<String>,
    /// Minor units of the order's currency; all discounts of an item together are at most its price.
    #[cfg_attr(feature = "openapi", schema(value_type = Amount))]
    pub amount: Option<i64>,
}

/// A tax on an item or on the shipping.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = NewTax))]
pub struct TaxForm {
    /// Name, for people.
    #[cfg_attr(feature = "openapi", schema(value_type = Label))]
    pub label: Option<String>,
    /// Decimal from 0 to 1, with up to 6 places: 19 % is `0.19`.
    #[cfg_attr(feature = "openapi", schema(value_type = Rate))]
    pub rate: Option<String>,
    /// Minor units of the order's currency: the rate's part of the base, rounded half up, or 1 more or less. The base of
    /// an item is its price less its discounts.
    #[cfg_attr(feature = "openapi", schema(value_type = Amount))]
    pub amount: Option<i64>,
    /// True if the price includes it.
    #[cfg_attr(feature = "openapi", schema(value_type = bool))]
    pub included: Option<bool>,
}

/// Shipping of an order, and its amount.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = NewShipping))]
pub struct ShippingForm {
    /// Name, for people.
    #[cfg_attr(feature = "openapi", schema(value_type = Label))]
    pub label: Option<String>,
    /// Minor units of the order's currency.
    #[cfg_attr(feature = "openapi", schema(value_type = Amount))]
    pub amount: Option<i64>,
    /// Taxes on it; by default none.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<NewTaxes>))]
    pub taxes: Option<Vec<TaxForm>>,
}

impl Form for DiscountForm {
    type Checked = Discount;

    fn check(self, errors: &mut ValidationErrors) -> Option<Discount> {
        let label = errors.required("/label", self.label, Label::parse);
        let amount = errors.required("/amount", self.amount, Amount::parse);
        Some(Discount { label: label?, amount: amount? })
    }
}

impl Form for TaxForm {
    type Checked = Tax;

    fn check(self, errors: &mut ValidationErrors) -> Option<Tax> {
        let label = errors.required("/label", self.label, Label::parse);
        let rate = errors.required("/rate", self.rate, Rate::parse);
        let amount = errors.required("/amount", self.amount, Amount::parse);
        let included = errors.required("/included", self.included, Ok);
        Some(Tax { label: label?, rate: rate?, amount: amount?, included: included? })
    }
}

impl Form for ShippingForm {
    type Checked = Shipping;

    fn check(self, errors: &mut ValidationErrors) -> Option<Shipping> {
        let label = errors.required("/label", self.label, Label::parse);
        let amount = errors.required("/amount", self.amount, Amount::parse);
        let taxes = check_all(errors, "/taxes", self.taxes);
        Some(Shipping { label: label?, amount: amount?, taxes })
    }
}

/// Checks the discounts and taxes of an item.
pub(super) fn check_item_amounts(
    errors: &mut ValidationErrors,
    discounts: Option<Vec<DiscountForm>>,
    taxes: Option<Vec<TaxForm>>,
) -> ItemAmounts {
    ItemAmounts {
        discounts: check_all(errors, "/discounts", discounts),
        taxes: check_all(errors, "/taxes", taxes),
    }
}

/// Checks a list, of which absent is empty.
fn check_all<F: Form>(
    errors: &mut ValidationErrors,
    pointer: &str,
    forms: Option<Vec<F>>,
) -> Vec<F::Checked> {
    let forms = forms.unwrap_or_default();
    if forms.len() > MAX_DISCOUNTS_OR_TAXES {
        errors
            .add(pointer, format!("must have at most {MAX_DISCOUNTS_OR_TAXES} entries; got {}", forms.len()));
        return Vec::new();
    }
    let check = |(place, form): (usize, F)| errors.part(&format!("{pointer}/{place}"), Some(form));
    forms.into_iter().enumerate().filter_map(check).collect()
}

impl From<wire::NewDiscount> for DiscountForm {
    fn from(discount: wire::NewDiscount) -> Self {
        Self { label: discount.label, amount: discount.amount }
    }
}

impl From<wire::NewTax> for TaxForm {
    fn from(tax: wire::NewTax) -> Self {
        let wire::NewTax { label, rate, amount, included } = tax;
        Self { label, rate, amount, included }
    }
}

impl From<wire::NewShipping> for ShippingForm {
    fn from(shipping: wire::NewShipping) -> Self {
        let wire::NewShipping { label, amount, taxes } = shipping;
        Self { label, amount, taxes: Some(taxes.into_iter().map(TaxForm::from).collect()) }
    }
}
