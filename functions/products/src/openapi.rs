//! Schemas of this function in the OpenAPI document.

use shared::openapi::Part;
use shared::openapi::schemas::Schemas;

use crate::forms::{CreateProductForm, UpdateProductForm, UpdateStockForm};
use crate::views::{MovementJson, ProductJson};

/// Schemas of this function.
pub fn part() -> Part {
    let schemas = Schemas::default()
        .with::<CreateProductForm>()
        .with::<UpdateProductForm>()
        .with::<UpdateStockForm>()
        .with::<ProductJson>()
        .with::<MovementJson>()
        .exactly_one::<UpdateStockForm>(&["on_hand", "delta"]);
    schemas.components().fold(Part::default(), |part, (name, schema)| part.schema(name, schema))
}
