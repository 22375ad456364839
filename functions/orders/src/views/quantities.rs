//! Items with a quantity of each, as answers about parts of an order show them.

use proto::orders::v1 as wire;
use serde::Serialize;
#[cfg(feature = "openapi")]
use shared::values::ids::ItemKind;

use crate::order::ItemQuantity;

/// An item of an order, and a quantity of it.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ItemQuantity))]
pub(super) struct ItemQuantityJson {
    /// ID of the item.
    #[cfg_attr(feature = "openapi", schema(value_type = ItemKind))]
    id: String,
    /// Units.
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    quantity: i64,
}

impl From<ItemQuantity> for ItemQuantityJson {
    fn from(item: ItemQuantity) -> Self {
        Self { id: item.id.to_string(), quantity: item.quantity }
    }
}

/// The message for an item and a quantity of it.
pub(super) fn item_quantity(item: ItemQuantity) -> wire::ItemQuantity {
    wire::ItemQuantity { id: item.id.to_string(), quantity: item.quantity }
}
