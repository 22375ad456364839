//! Items with a quantity of each, as bodies about parts of an order name them.

use std::collections::HashSet;

use proto::orders::v1 as wire;
use serde::Deserialize;
use shared::input::validation::ValidationErrors;
#[cfg(feature = "openapi")]
use shared::values::ids::ItemKind;
use shared::values::ids::{self, ItemId};

use crate::limits::{MAX_ITEMS, Quantity};
use crate::order::ItemQuantity;

/// Items with a quantity of each.
#[cfg(feature = "openapi")]
pub(super) type ItemQuantities = shared::openapi::schemas::List<ItemQuantityForm, 1, MAX_ITEMS>;

/// An item, and its quantity.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = NewItemQuantity))]
pub struct ItemQuantityForm {
    /// Item of the order; each item stands once.
    #[cfg_attr(feature = "openapi", schema(value_type = ItemKind))]
    pub id: Option<String>,
    /// Units.
    #[cfg_attr(feature = "openapi", schema(value_type = Quantity))]
    pub quantity: Option<i64>,
}

/// An item of a list of which each item stands once.
pub(super) trait ItemForm {
    /// Domain value.
    type Checked;

    /// Returns the item's ID and the domain value, as far as they are valid. Adds every error below the current pointer.
    fn check(self, errors: &mut ValidationErrors) -> (Option<ItemId>, Option<Self::Checked>);
}

impl ItemForm for ItemQuantityForm {
    type Checked = ItemQuantity;

    fn check(self, errors: &mut ValidationErrors) -> (Option<ItemId>, Option<ItemQuantity>) {
        let id = errors.required("/id", self.id, ids::parse);
        let quantity = errors.required("/quantity", self.quantity, Quantity::parse);
        (id, id.zip(quantity).map(|(id, quantity)| ItemQuantity { id, quantity }))
    }
}

/// Checks the list `items` of a body.
pub(super) fn check_items<F: ItemForm>(errors: &mut ValidationErrors, items: Vec<F>) -> Vec<F::Checked> {
    if !(1..=MAX_ITEMS).contains(&items.len()) {
        errors.add("/items", format!("must have 1 to {MAX_ITEMS} items; got {}", items.len()));
        return Vec::new();
    }
    let mut seen = HashSet::new();
    let mut checked = Vec::with_capacity(items.len());
    for (place, item) in items.into_iter().enumerate() {
        errors.nested(format_args!("/items/{place}"), |errors| {
            let (id, item) = item.check(errors);
            if id.is_some_and(|id| !seen.insert(id)) {
                errors.add("/id", "stands twice; add up the quantities");
            }
            checked.extend(item);
        });
    }
    checked
}

/// Forms of the items of a message.
pub(super) fn quantity_forms(items: Vec<wire::NewItemQuantity>) -> Vec<ItemQuantityForm> {
    items.into_iter().map(|item| ItemQuantityForm { id: item.id, quantity: item.quantity }).collect()
}
