//! Schemas of this function in the OpenAPI document.

use shared::openapi::ApiPart;
use shared::openapi::schemas::Schemas;

use crate::forms::{CreateOrderForm, CreatePaymentForm, CreateRefundForm, UpdateOrderForm, UpdateRefundForm};
use crate::views::{ConsistencyPageJson, OrderJson, PaymentJson, RefundJson, RefundPreviewJson};

/// Schemas of this function.
pub fn part() -> ApiPart {
    let schemas = Schemas::default()
        .with::<CreateOrderForm>()
        .with::<UpdateOrderForm>()
        .with::<CreatePaymentForm>()
        .with::<CreateRefundForm>()
        .with::<UpdateRefundForm>()
        .with::<OrderJson>()
        .seen_by_some::<OrderJson>("internal_note")
        .with::<PaymentJson>()
        .with::<RefundJson>()
        .with::<RefundPreviewJson>()
        .with::<ConsistencyPageJson>();
    schemas.components().fold(ApiPart::default(), |part, (name, schema)| part.schema(name, schema))
}
