//! Bodies about payments and refunds.

use proto::orders::v1 as wire;
use serde::Deserialize;
use shared::error::Error;
use shared::http::idempotency::Fingerprinted;
use shared::input::validation::ValidationErrors;
use shared::values::ids;
#[cfg(feature = "openapi")]
use shared::values::ids::{PaymentKind, ReturnKind};
use shared::values::text::Reason;

#[cfg(feature = "openapi")]
use super::quantities::ItemQuantities;
use super::quantities::{ItemQuantityForm, check_items, quantity_forms};
use crate::limits::{PaymentAmount, Provider, Reference};
use crate::order::{NewPayment, NewRefund, RefundOf};

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

/// A refund to record: of an `amount`, of `items` and `shipping`, or of a return.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = NewRefund))]
pub struct CreateRefundForm {
    /// Minor units of the order's currency.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<PaymentAmount>))]
    pub amount: Option<i64>,
    /// Items to refund, with the quantity of each.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<ItemQuantities>))]
    pub items: Option<Vec<ItemQuantityForm>>,
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
    /// Return to refund. Without `amount`, `items` and `shipping`: the units that it received and that are not refunded.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<ReturnKind>))]
    pub return_id: Option<String>,
}

impl Fingerprinted for CreateRefundForm {}

impl CreateRefundForm {
    /// # Errors
    /// 422 with every error of the request.
    pub fn check(self) -> Result<NewRefund, Error> {
        let mut errors = ValidationErrors::default();
        let shipping = self.shipping.unwrap_or(false);
        let by_items = self.items.is_some() || shipping;
        match (self.amount, by_items) {
            (Some(_), true) => errors.add("/amount", "cannot be given together with `items` or `shipping`"),
            (None, false) if self.return_id.is_none() => {
                errors.add("", "must have `amount`, or `items` or `shipping`, or `return_id`");
            }
            _ => {}
        }
        let amount = errors.optional("/amount", self.amount, PaymentAmount::parse);
        let items = self.items.map(|items| check_items(&mut errors, items)).unwrap_or_default();
        let reason = errors.optional("/reason", self.reason, Reason::parse);
        let reference = errors.optional("/reference", self.reference, Reference::parse);
        let payment_id = errors.optional("/payment_id", self.payment_id, ids::parse);
        let return_id = errors.optional("/return_id", self.return_id, ids::parse);
        errors.check()?;
        let of = match amount {
            Some(amount) => RefundOf::Amount(amount),
            None if by_items => RefundOf::Items(items, shipping),
            None => RefundOf::Return,
        };
        Ok(NewRefund { of, reason, reference, payment_id, return_id })
    }
}

impl From<wire::CreateRefundRequest> for CreateRefundForm {
    fn from(request: wire::CreateRefundRequest) -> Self {
        Self {
            amount: request.amount,
            items: (!request.items.is_empty()).then(|| quantity_forms(request.items)),
            shipping: request.shipping,
            reason: request.reason,
            reference: request.reference,
            payment_id: request.payment_id,
            return_id: request.return_id,
        }
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use shared::values::ids::example_of;

    use super::*;

    fn refund(body: Value) -> Result<NewRefund, Error> {
        serde_json::from_value::<CreateRefundForm>(body).unwrap().check()
    }

    #[test]
    fn a_refund_is_of_an_amount_of_items_or_of_a_return() {
        let (item, back) = (example_of("item"), example_of("return"));
        let of = |body| refund(body).unwrap().of;
        assert!(matches!(of(json!({ "amount": 5, "return_id": back })), RefundOf::Amount(5)));
        let items = json!({ "items": [{ "id": item, "quantity": 2 }], "return_id": back });
        assert!(matches!(of(items), RefundOf::Items(items, false) if items.len() == 1));
        assert!(matches!(of(json!({ "shipping": true })), RefundOf::Items(items, true) if items.is_empty()));
        assert!(matches!(of(json!({ "return_id": back })), RefundOf::Return));
        assert!(matches!(of(json!({ "return_id": back, "shipping": false })), RefundOf::Return));
        assert_eq!(refund(json!({ "return_id": back })).unwrap().return_id.unwrap().to_string(), back);
    }

    #[test]
    fn a_refund_of_nothing_or_of_another_id_is_refused() {
        for (bad, pointer) in [
            (json!({}), ""),
            (json!({ "return_id": null }), ""),
            (json!({ "return_id": example_of("refund") }), "/return_id"),
        ] {
            let error = refund(bad.clone()).unwrap_err();
            let places: Vec<_> = error.errors().iter().map(|error| error.pointer.as_str()).collect();
            assert_eq!(places, [pointer], "{bad}");
        }
    }
}
