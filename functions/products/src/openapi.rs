//! Schemas of this function in the OpenAPI document.

use shared::openapi::ApiPart;
use shared::openapi::schemas::Schemas;

use crate::forms::{CreateProductForm, UpdateProductForm, UpdateStockForm};
use crate::views::{MovementJson, ProductJson};

/// Schemas of this function.
pub fn part() -> ApiPart {
    let schemas = Schemas::default()
        .with::<CreateProductForm>()
        .with::<UpdateProductForm>()
        .with::<UpdateStockForm>()
        .with::<ProductJson>()
        .with::<MovementJson>()
        .exactly_one::<UpdateStockForm>(&["on_hand", "delta"]);
    schemas.components().fold(ApiPart::default(), |part, (name, schema)| part.schema(name, schema))
}
