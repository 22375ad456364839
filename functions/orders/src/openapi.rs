//! Schemas of this function in the OpenAPI document.

use shared::openapi::ApiPart;
use shared::openapi::schemas::Schemas;

use crate::forms::{
    CreateCancellationForm, CreateFulfillmentForm, CreateOrderForm, CreatePaymentForm, CreateRefundForm,
    CreateReturnForm, UpdateFulfillmentForm, UpdateOrderForm, UpdateRefundForm, UpdateReturnForm,
};
use crate::views::{
    ConsistencyPageJson, FulfillmentJson, OrderJson, PaymentJson, RefundJson, RefundPreviewJson, ReturnJson,
};

/// Schemas of this function.
pub fn part() -> ApiPart {
    let schemas = Schemas::default()
        .with::<CreateOrderForm>()
        .with::<UpdateOrderForm>()
        .with::<CreatePaymentForm>()
        .with::<CreateRefundForm>()
        .with::<UpdateRefundForm>()
        .with::<CreateFulfillmentForm>()
        .with::<UpdateFulfillmentForm>()
        .with::<CreateCancellationForm>()
        .with::<CreateReturnForm>()
        .with::<UpdateReturnForm>()
        .with::<OrderJson>()
        .seen_by_some::<OrderJson>("internal_note")
        .with::<PaymentJson>()
        .with::<RefundJson>()
        .with::<RefundPreviewJson>()
        .with::<FulfillmentJson>()
        .with::<ReturnJson>()
        .with::<ConsistencyPageJson>();
    schemas.components().fold(ApiPart::default(), |part, (name, schema)| part.schema(name, schema))
}
