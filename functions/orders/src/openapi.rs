//! Schemas of this function in the OpenAPI document.

use shared::openapi::ApiPart;
use shared::openapi::schemas::Schemas;

use crate::forms::{CreateOrderForm, UpdateOrderForm};
use crate::views::{ConsistencyPageJson, OrderJson};

/// Schemas of this function.
pub fn part() -> ApiPart {
    let schemas = Schemas::default()
        .with::<CreateOrderForm>()
        .with::<UpdateOrderForm>()
        .with::<OrderJson>()
        .with::<ConsistencyPageJson>();
    schemas.components().fold(ApiPart::default(), |part, (name, schema)| part.schema(name, schema))
}
