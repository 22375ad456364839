//! Answers about discounts, taxes and shipping.

use proto::orders::v1 as wire;
use serde::Serialize;

use crate::order::{Discount, Shipping, Tax};

/// A discount on all units of an item.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Discount))]
pub(super) struct DiscountJson {
    /// Name, for people.
    label: String,
    /// Minor units of the order's currency.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    amount: i64,
}

/// A tax on all units of an item, or on the shipping.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Tax))]
pub(super) struct TaxJson {
    /// Name, for people.
    label: String,
    /// Decimal from 0 to 1, as it was handed in: 19 % is `0.19`.
    rate: String,
    /// Minor units of the order's currency.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    amount: i64,
    /// True if the price includes it.
    included: bool,
}

/// Shipping of an order, in minor units of its currency.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Shipping))]
pub(super) struct ShippingJson {
    /// Name, for people.
    label: String,
    /// Minor units.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    amount: i64,
    /// Taxes on it.
    taxes: Vec<TaxJson>,
    /// `amount` with the taxes that it does not include.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    total: i64,
}

impl From<&Discount> for DiscountJson {
    fn from(discount: &Discount) -> Self {
        Self { label: discount.label.clone(), amount: discount.amount }
    }
}

impl From<&Tax> for TaxJson {
    fn from(tax: &Tax) -> Self {
        Self {
            label: tax.label.clone(),
            rate: tax.rate.as_str().to_owned(),
            amount: tax.amount,
            included: tax.included,
        }
    }
}

impl From<&Shipping> for ShippingJson {
    fn from(shipping: &Shipping) -> Self {
        Self {
            label: shipping.label.clone(),
            amount: shipping.amount,
            taxes: shipping.taxes.iter().map(TaxJson::from).collect(),
            total: shipping.total(),
        }
    }
}

/// The message for a discount.
pub(super) fn discount_message(discount: &Discount) -> wire::Discount {
    wire::Discount { label: discount.label.clone(), amount: discount.amount }
}

/// The message for a tax.
pub(super) fn tax_message(tax: &Tax) -> wire::Tax {
    wire::Tax {
        label: tax.label.clone(),
        rate: tax.rate.as_str().to_owned(),
        amount: tax.amount,
        included: tax.included,
    }
}

/// The message for the shipping.
pub(super) fn shipping_message(shipping: &Shipping) -> wire::Shipping {
    wire::Shipping {
        label: shipping.label.clone(),
        amount: shipping.amount,
        taxes: shipping.taxes.iter().map(tax_message).collect(),
        total: shipping.total(),
    }
}
