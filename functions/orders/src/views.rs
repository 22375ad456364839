//! Answers about orders: in JSON, and in protobuf.

use std::collections::BTreeMap;

use proto::orders::v1 as wire;
use serde::Serialize;
use shared::auth::Caller;
use shared::rpc::convert;
use shared::values::address::Address;
use shared::values::clock::Timestamp;
#[cfg(feature = "openapi")]
use shared::values::ids::{OrderKind, ProductKind, UserKind};
use shared::values::money::MoneyJson;

#[cfg(feature = "openapi")]
use crate::number::Number;
use crate::order::{Item, Order};
use crate::service::consistency::{ConsistencyPage, Violation, ViolationKind};
use crate::status::Status;

/// An order.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Order))]
pub(crate) struct OrderJson {
    /// ID of the order.
    #[cfg_attr(feature = "openapi", schema(value_type = OrderKind))]
    id: String,
    /// Number of the order, for people.
    #[cfg_attr(feature = "openapi", schema(value_type = Number))]
    number: String,
    /// User whose order it is.
    #[cfg_attr(feature = "openapi", schema(value_type = UserKind))]
    user_id: String,
    /// Status of the order.
    status: Status,
    /// Items of the order.
    items: Vec<ItemJson>,
    /// Sum of all items.
    total: MoneyJson,
    /// Address to which it is shipped.
    shipping_address: Address,
    /// Note for the shop.
    note: Option<String>,
    /// Data of your own.
    metadata: BTreeMap<String, String>,
    /// Payment and refund.
    payment: PaymentJson,
    /// Tracking of the parcel.
    tracking: TrackingJson,
    /// Every change of its status, the first one first.
    history: Vec<StatusChangeJson>,
    /// Time at which it is cancelled if unpaid; null once it is not `placed`.
    expires_at: Option<Timestamp>,
    /// Rises with every change; the `ETag`.
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    version: i64,
    /// Time at which it was placed.
    created_at: Timestamp,
    /// Time of its last change.
    updated_at: Timestamp,
}

/// An item of an order, with the name and price of the time of ordering.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Item))]
struct ItemJson {
    /// ID of the product.
    #[cfg_attr(feature = "openapi", schema(value_type = ProductKind))]
    product_id: String,
    /// SKU of the product.
    sku: String,
    /// Name of the product.
    name: String,
    /// Price of one unit.
    unit_price: MoneyJson,
    /// Units.
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    quantity: i64,
    /// Price of all units.
    total: MoneyJson,
}

/// Payment and refund of an order.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Payment))]
struct PaymentJson {
    /// Reference of the payment.
    reference: Option<String>,
    /// Method of the payment.
    method: Option<String>,
    /// Reference of the refund.
    refund_reference: Option<String>,
}

/// Tracking of a parcel; null before it is shipped.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Tracking))]
struct TrackingJson {
    /// Carrier.
    carrier: Option<String>,
    /// Tracking number.
    number: Option<String>,
}

/// A change of an order's status.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = StatusChange))]
struct StatusChangeJson {
    /// Time of the change.
    at: Timestamp,
    /// Status before; null for the first.
    from: Option<Status>,
    /// Status after.
    to: Status,
    /// A user, `system`, or `staff` where a customer looks.
    #[cfg_attr(feature = "openapi", schema(value_type = Actor))]
    by: String,
    /// Reason for the change.
    reason: Option<String>,
}

impl OrderJson {
    /// The order as this caller may see it.
    pub(crate) fn of(order: Order, caller: Caller) -> Self {
        let total = MoneyJson::new(order.total(), order.currency);
        Self {
            id: order.id.to_string(),
            number: order.number.to_string(),
            user_id: order.user_id.to_string(),
            status: order.status,
            items: order.items.into_iter().map(ItemJson::from).collect(),
            total,
            shipping_address: order.shipping_address,
            note: order.note,
            metadata: order.metadata,
            payment: PaymentJson {
                reference: order.payment.reference,
                method: order.payment.method,
                refund_reference: order.payment.refund_reference,
            },
            tracking: match order.tracking {
                Some(tracking) => {
                    TrackingJson { carrier: Some(tracking.carrier), number: Some(tracking.number) }
                }
                None => TrackingJson { carrier: None, number: None },
            },
            history: order
                .history
                .into_iter()
                .map(|change| StatusChangeJson {
                    by: change.actor_label_for(caller),
                    at: change.at,
                    from: change.from,
                    to: change.to,
                    reason: change.reason,
                })
                .collect(),
            expires_at: order.expires_at,
            version: order.version,
            created_at: order.created_at,
            updated_at: order.updated_at,
        }
    }
}

impl From<Item> for ItemJson {
    fn from(item: Item) -> Self {
        Self {
            product_id: item.product_id.to_string(),
            total: MoneyJson::new(item.total(), item.unit_price.currency()),
            sku: item.sku,
            name: item.name,
            unit_price: item.unit_price.into(),
            quantity: item.quantity,
        }
    }
}

/// The message for an order, as this caller may see it.
pub(crate) fn message(order: Order, caller: Caller) -> wire::Order {
    wire::Order {
        id: order.id.to_string(),
        number: order.number.to_string(),
        user_id: order.user_id.to_string(),
        status: order.status.name().to_owned(),
        total: Some(convert::money(order.total(), order.currency)),
        shipping_address: Some(convert::address(&order.shipping_address)),
        note: order.note,
        metadata: order.metadata,
        payment: Some(wire::Payment {
            reference: order.payment.reference,
            method: order.payment.method,
            refund_reference: order.payment.refund_reference,
        }),
        tracking: order.tracking.map(|tracking| wire::Tracking {
            carrier: Some(tracking.carrier),
            number: Some(tracking.number),
        }),
        history: order
            .history
            .into_iter()
            .map(|change| wire::StatusChange {
                by: change.actor_label_for(caller),
                at: Some(convert::timestamp(change.at)),
                from: change.from.map(|status| status.name().to_owned()),
                to: change.to.name().to_owned(),
                reason: change.reason,
            })
            .collect(),
        items: order.items.into_iter().map(item).collect(),
        expires_at: order.expires_at.map(convert::timestamp),
        version: order.version,
        created_at: Some(convert::timestamp(order.created_at)),
        updated_at: Some(convert::timestamp(order.updated_at)),
    }
}

fn item(item: Item) -> wire::OrderItem {
    let currency = item.unit_price.currency();
    wire::OrderItem {
        product_id: item.product_id.to_string(),
        total: Some(convert::money(item.total(), currency)),
        sku: item.sku,
        name: item.name,
        unit_price: Some(convert::money(item.unit_price.amount(), currency)),
        quantity: item.quantity,
    }
}

/// A page of the comparison of orders with stock.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Consistency))]
pub(crate) struct ConsistencyPageJson {
    /// Number of documents read.
    checked: CountsJson,
    /// Differences found.
    violations: Vec<ViolationJson>,
    /// `cursor` of the next page; null on the last.
    #[cfg_attr(feature = "openapi", schema(min_length = 1))]
    next_cursor: Option<String>,
}

/// Number of documents read.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = CheckedDocuments))]
struct CountsJson {
    /// Orders.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    orders: i64,
    /// Products.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    products: i64,
}

/// A difference between orders and stock.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Violation))]
struct ViolationJson {
    /// Rule that is broken.
    kind: ViolationKind,
    /// Order that it is about.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<OrderKind>))]
    order_id: Option<String>,
    /// Product that it is about.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<ProductKind>))]
    product_id: Option<String>,
    /// Numbers that differ.
    detail: String,
}

impl From<ConsistencyPage> for ConsistencyPageJson {
    fn from(checked: ConsistencyPage) -> Self {
        let violation = |violation: Violation| ViolationJson {
            kind: violation.kind,
            order_id: violation.order.map(|id| id.to_string()),
            product_id: violation.product.map(|id| id.to_string()),
            detail: violation.detail,
        };
        Self {
            checked: CountsJson { orders: checked.orders, products: checked.products },
            violations: checked.violations.into_iter().map(violation).collect(),
            next_cursor: checked.next_cursor,
        }
    }
}

/// The message for a violation.
pub(crate) fn violation(violation: Violation) -> wire::Violation {
    wire::Violation {
        kind: violation.kind.name().to_owned(),
        order_id: violation.order.map(|id| id.to_string()),
        product_id: violation.product.map(|id| id.to_string()),
        detail: violation.detail,
    }
}

/// The cause of a change of status.
#[cfg(feature = "openapi")]
enum Actor {}

#[cfg(feature = "openapi")]
shared::value_schema!(Actor, shared::openapi::values::user_or(&["system", "staff"]));

#[cfg(feature = "openapi")]
shared::value_schema!(ViolationKind, shared::openapi::values::one_of(Self::ALL.map(Self::name)));
