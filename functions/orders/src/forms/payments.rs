//! Bodies about payments and refunds.

use std::collections::HashSet;

use proto::orders::v1 as wire;
use serde::Deserialize;
use shared::error::Error;
use shared::http::idempotency::Fingerprinted;
use shared::input::validation::ValidationErrors;
use shared::values::ids;
#[cfg(feature = "openapi")]
use shared::values::ids::{ItemKind, PaymentKind};
use shared::values::text::Reason;

use crate::limits::{MAX_ITEMS, PaymentAmount, Provider, Quantity, Reference};
use crate::order::{ItemQuantity, NewPayment, NewRefund, RefundOf};

/// A payment to record.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = NewPayment))]
pub struct CreatePaymentForm {
    /// Minor units of the order's currency.
    #[cfg_attr(feature = "openapi", schema(value_type = PaymentAmount))]
    pub amount: Option<i64>,
    /// Reference at the payment provider, unique within the provider.
    #[cfg_attr(feature = "openapi", schema(value_type = Reference))]
    pub reference: Option<String>,
    /// Method of the payment, such as `card`.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Reference>))]
    pub method: Option<String>,
    /// Payment provider, such as `stripe`.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Provider>))]
    pub provider: Option<String>,
}

impl Fingerprinted for CreatePaymentForm {}

impl CreatePaymentForm {
    /// # Errors
    /// 422 with every error of the request.
    pub fn check(self) -> Result<NewPayment, Error> {
        let mut errors = ValidationErrors::default();
        let amount = errors.required("/amount", self.amount, PaymentAmount::parse);
        let reference = errors.required("/reference", self.reference, Reference::parse);
        let method = errors.optional("/method", self.method, Reference::parse);
        let provider = errors.optional("/provider", self.provider, Provider::parse);
        match (amount, reference) {
            (Some(amount), Some(reference)) if errors.is_empty() => {
                Ok(NewPayment { amount, reference, method, provider })
            }
            _ => Err(errors.into_error()),
        }
    }
}

impl From<wire::CreatePaymentRequest> for CreatePaymentForm {
    fn from(request: wire::CreatePaymentRequest) -> Self {
        let wire::CreatePaymentRequest { amount, reference, method, provider, .. } = request;
        Self { amount, reference, method, provider }
    }
}

/// A refund to record: of an `amount`, or of `items` and `shipping`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = NewRefund))]
pub struct CreateRefundForm {
    /// Minor units of the order's currency.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<PaymentAmount>))]
    pub amount: Option<i64>,
    /// Items to refund, with the quantity of each.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 100))]
    pub items: Option<Vec<RefundItemForm>>,
    /// True to refund the shipping, once.
    pub shipping: Option<bool>,
    /// Reason for the refund.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Reason>))]
    pub reason: Option<String>,
    /// Reference at the payment provider.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Reference>))]
    pub reference: Option<String>,
    /// Payment to refund; by default any.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<PaymentKind>))]
    pub payment_id: Option<String>,
}

impl Fingerprinted for CreateRefundForm {}

/// An item, and its quantity.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = RefundItem))]
pub struct RefundItemForm {
    /// Item of the order; each item stands once.
    #[cfg_attr(feature = "openapi", schema(value_type = ItemKind))]
    pub id: Option<String>,
    /// Units.
    #[cfg_attr(feature = "openapi", schema(value_type = Quantity))]
    pub quantity: Option<i64>,
}

impl CreateRefundForm {
    /// # Errors
    /// 422 with every error of the request.
    pub fn check(self) -> Result<NewRefund, Error> {
        let mut errors = ValidationErrors::default();
        let shipping = self.shipping.unwrap_or(false);
        let by_items = self.items.is_some() || shipping;
        match (self.amount, by_items) {
            (Some(_), true) => errors.add("/amount", "cannot be given together with `items` or `shipping`"),
            (None, false) => errors.add("", "must have `amount`, or `items` or `shipping`"),
            _ => {}
        }
        let amount = errors.optional("/amount", self.amount, PaymentAmount::parse);
        let items = self.items.map(|items| check_items(&mut errors, items)).unwrap_or_default();
        let reason = errors.optional("/reason", self.reason, Reason::parse);
        let reference = errors.optional("/reference", self.reference, Reference::parse);
        let payment_id = errors.optional("/payment_id", self.payment_id, ids::parse);
        errors.check()?;
        let of = amount.map_or(RefundOf::Items(items, shipping), RefundOf::Amount);
        Ok(NewRefund { of, reason, reference, payment_id })
    }
}

fn check_items(errors: &mut ValidationErrors, items: Vec<RefundItemForm>) -> Vec<ItemQuantity> {
    if !(1..=MAX_ITEMS).contains(&items.len()) {
        errors.add("/items", format!("must have 1 to {MAX_ITEMS} items; got {}", items.len()));
        return Vec::new();
    }
    let mut seen = HashSet::new();
    let mut checked = Vec::with_capacity(items.len());
    for (place, item) in items.into_iter().enumerate() {
        errors.nested(&format!("/items/{place}"), |errors| {
            let id = errors.required("/id", item.id, ids::parse);
            let quantity = errors.required("/quantity", item.quantity, Quantity::parse);
            if id.is_some_and(|id| !seen.insert(id)) {
                errors.add("/id", "stands twice; add up the quantities");
            }
            if let (Some(id), Some(quantity)) = (id, quantity) {
                checked.push(ItemQuantity { id, quantity });
            }
        });
    }
    checked
}

impl From<wire::CreateRefundRequest> for CreateRefundForm {
    fn from(request: wire::CreateRefundRequest) -> Self {
        let wire::CreateRefundRequest { amount, items, shipping, reason, reference, payment_id, .. } =
            request;
        let item = |item: wire::RefundItem| RefundItemForm { id: item.id, quantity: item.quantity };
        let items = (!items.is_empty()).then(|| items.into_iter().map(item).collect());
        Self { amount, items, shipping, reason, reference, payment_id }
    }
}

/// The reference of a refund, which is given once.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = RefundChange))]
pub struct UpdateRefundForm {
    /// Reference at the payment provider.
    #[cfg_attr(feature = "openapi", schema(value_type = Reference))]
    pub reference: Option<String>,
}

impl UpdateRefundForm {
    /// # Errors
    /// 422 without a valid reference.
    pub fn check(self) -> Result<String, Error> {
        let mut errors = ValidationErrors::default();
        match errors.required("/reference", self.reference, Reference::parse) {
            Some(reference) => Ok(reference),
            None => Err(errors.into_error()),
        }
    }
}
