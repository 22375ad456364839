//! Discounts, taxes and shipping on disk.

use mongodb::bson::Document;
use serde::{Deserialize, Serialize};
use shared::mongo::json_schema;

use crate::limits::{Label, MAX_DISCOUNTS_OR_TAXES};
use crate::order::{Discount, Rate, Shipping, Tax};

/// Discount on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct DiscountDocument {
    label: String,
    /// Minor units.
    amount: i64,
}

/// Tax on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TaxDocument {
    label: String,
    /// Decimal from 0 to 1, as text.
    rate: String,
    /// Minor units.
    amount: i64,
    included: bool,
}

/// Shipping on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ShippingDocument {
    label: String,
    /// Minor units.
    amount: i64,
    taxes: Vec<TaxDocument>,
}

/// Rule for discounts.
pub(super) fn discounts_rule() -> Document {
    let discount = [("label", json_schema::text(Label::MAX)), ("amount", json_schema::whole(0))];
    json_schema::list(0, MAX_DISCOUNTS_OR_TAXES, json_schema::document(&discount, &[]))
}

/// Rule for taxes.
pub(super) fn taxes_rule() -> Document {
    let tax = [
        ("label", json_schema::text(Label::MAX)),
        ("rate", json_schema::string()),
        ("amount", json_schema::whole(0)),
        ("included", json_schema::boolean()),
    ];
    json_schema::list(0, MAX_DISCOUNTS_OR_TAXES, json_schema::document(&tax, &[]))
}

/// Rule for the shipping.
pub(super) fn shipping_rule() -> Document {
    let shipping = [
        ("label", json_schema::text(Label::MAX)),
        ("amount", json_schema::whole(0)),
        ("taxes", taxes_rule()),
    ];
    json_schema::document(&shipping, &[])
}

impl From<&Discount> for DiscountDocument {
    fn from(discount: &Discount) -> Self {
        Self { label: discount.label.clone(), amount: discount.amount }
    }
}

impl From<DiscountDocument> for Discount {
    fn from(document: DiscountDocument) -> Self {
        Self { label: document.label, amount: document.amount }
    }
}

impl From<&Tax> for TaxDocument {
    fn from(tax: &Tax) -> Self {
        Self {
            label: tax.label.clone(),
            rate: tax.rate.as_str().to_owned(),
            amount: tax.amount,
            included: tax.included,
        }
    }
}

impl From<TaxDocument> for Tax {
    fn from(document: TaxDocument) -> Self {
        let TaxDocument { label, rate, amount, included } = document;
        Self { label, rate: Rate::from_stored(rate), amount, included }
    }
}

impl From<&Shipping> for ShippingDocument {
    fn from(shipping: &Shipping) -> Self {
        Self {
            label: shipping.label.clone(),
            amount: shipping.amount,
            taxes: shipping.taxes.iter().map(TaxDocument::from).collect(),
        }
    }
}

impl From<ShippingDocument> for Shipping {
    fn from(document: ShippingDocument) -> Self {
        let ShippingDocument { label, amount, taxes } = document;
        Self { label, amount, taxes: taxes.into_iter().map(Tax::from).collect() }
    }
}
