//! Answers about products: in JSON, and in protobuf.

use std::collections::BTreeMap;

use proto::products::v1 as wire;
use serde::Serialize;
use shared::rpc::convert;
use shared::values::clock::Timestamp;
#[cfg(feature = "openapi")]
use shared::values::ids::{OrderKind, ProductKind};
use shared::values::money::MoneyJson;

use crate::ledger::StockMovement;
#[cfg(feature = "openapi")]
use crate::limits::{MaxPerOrder, OnHand};
#[cfg(feature = "openapi")]
use crate::product::Sku;
use crate::product::{Product, Status};

/// A product.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Product))]
pub(crate) struct ProductJson {
    /// ID of the product.
    #[cfg_attr(feature = "openapi", schema(value_type = ProductKind))]
    id: String,
    /// SKU, unique among products.
    #[cfg_attr(feature = "openapi", schema(value_type = Sku))]
    sku: String,
    /// Name of the product.
    name: String,
    /// Description of the product.
    description: Option<String>,
    /// Price of one unit.
    price: MoneyJson,
    /// Colour, size and the like.
    attributes: BTreeMap<String, String>,
    /// Status: only active products can be ordered.
    status: Status,
    /// Most units in one order; null if it has no limit of its own.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<MaxPerOrder>))]
    max_per_order: Option<i64>,
    /// Units in stock.
    stock: StockJson,
    /// Rises when people change the product or its stock; the `ETag`.
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    version: i64,
    /// Time at which it was added.
    created_at: Timestamp,
    /// Time at which people last changed it or its stock.
    updated_at: Timestamp,
}

/// Units of a product.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Stock))]
pub(crate) struct StockJson {
    /// Units in the warehouse.
    #[cfg_attr(feature = "openapi", schema(value_type = OnHand))]
    on_hand: i64,
    /// Units held for orders.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    reserved: i64,
    /// Units that can be ordered: the difference.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    available: i64,
}

impl From<Product> for ProductJson {
    fn from(product: Product) -> Self {
        Self {
            id: product.id.to_string(),
            sku: product.sku.as_str().to_owned(),
            name: product.name,
            description: product.description,
            price: product.price.into(),
            attributes: product.attributes,
            status: product.status,
            max_per_order: product.max_per_order,
            stock: StockJson {
                on_hand: product.stock.on_hand,
                reserved: product.stock.reserved,
                available: product.stock.available(),
            },
            version: product.version,
            created_at: product.created_at,
            updated_at: product.updated_at,
        }
    }
}

/// The message for a product.
pub(crate) fn message(product: Product) -> wire::Product {
    wire::Product {
        id: product.id.to_string(),
        sku: product.sku.as_str().to_owned(),
        name: product.name,
        description: product.description,
        price: Some(convert::money(product.price.amount(), product.price.currency())),
        attributes: product.attributes,
        status: product.status.name().to_owned(),
        stock: Some(wire::Stock {
            on_hand: product.stock.on_hand,
            reserved: product.stock.reserved,
            available: product.stock.available(),
        }),
        max_per_order: product.max_per_order,
        version: product.version,
        created_at: Some(convert::timestamp(product.created_at)),
        updated_at: Some(convert::timestamp(product.updated_at)),
    }
}

/// A change of the units on hand.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = StockMovement))]
pub(crate) struct MovementJson {
    /// Time of the change.
    at: Timestamp,
    /// Units added, or below 0 taken away.
    #[cfg_attr(feature = "openapi", schema(value_type = Change))]
    delta: i64,
    /// Units on hand after it.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    on_hand: i64,
    /// Units held for orders after it.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    reserved: i64,
    /// Reason; the system itself writes `initial`, `shipped`, `unshipped` and `returned`.
    reason: Option<String>,
    /// Order that it was for.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<OrderKind>))]
    order_id: Option<String>,
    /// A user, or `system`.
    #[cfg_attr(feature = "openapi", schema(value_type = UserOrSystem))]
    by: String,
}

impl From<StockMovement> for MovementJson {
    fn from(movement: StockMovement) -> Self {
        let StockMovement { at, delta, stock, cause, .. } = movement;
        Self {
            at,
            delta,
            on_hand: stock.on_hand,
            reserved: stock.reserved,
            reason: cause.reason,
            order_id: cause.order.map(|order| order.to_string()),
            by: cause.by,
        }
    }
}

/// The message for a movement.
pub(crate) fn movement(movement: StockMovement) -> wire::StockMovement {
    let StockMovement { at, delta, stock, cause, .. } = movement;
    wire::StockMovement {
        at: Some(convert::timestamp(at)),
        delta,
        on_hand: stock.on_hand,
        reserved: stock.reserved,
        reason: cause.reason,
        order_id: cause.order.map(|order| order.to_string()),
        by: cause.by,
    }
}

/// The range of a movement.
#[cfg(feature = "openapi")]
type Change = shared::values::integer::Integer<{ -OnHand::MAX }, { OnHand::MAX }>;

/// The cause of a movement.
#[cfg(feature = "openapi")]
enum UserOrSystem {}

#[cfg(feature = "openapi")]
shared::value_schema!(UserOrSystem, shared::openapi::values::user_or(&["system"]));
