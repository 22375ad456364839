//! Answers about orders: in JSON, and in protobuf.

use std::collections::BTreeMap;

use proto::orders::v1 as wire;
use serde::Serialize;
use shared::auth::Caller;
use shared::rpc::convert;
use shared::values::address::Address;
use shared::values::clock::Timestamp;
#[cfg(feature = "openapi")]
use shared::values::ids::{ItemKind, OrderKind, ProductKind, UserKind};
use shared::values::money::MoneyJson;

#[cfg(feature = "openapi")]
use crate::number::Number;
#[cfg(feature = "openapi")]
use crate::order::{Change, FulfillmentStatus, ReturnStatus};
use crate::order::{
    Counters, HistoryEntry, Item, Order, OrderFulfillmentStatus, OrderReturnStatus, PaymentStatus,
    References, actor_label,
};
use crate::service::consistency::{ConsistencyPage, Violation, ViolationKind};
use crate::status::Status;

mod amounts;
mod fulfillments;
mod payments;
mod quantities;
mod returns;

use amounts::{DiscountJson, ShippingJson, TaxJson, discount_message, shipping_message, tax_message};
pub(crate) use fulfillments::{FulfillmentJson, fulfillment_message};
use fulfillments::{TrackingJson, tracking_message};
pub(crate) use payments::{
    PaymentJson, RefundJson, RefundPreviewJson, payment_message, refund_message, refund_preview_message,
};
use payments::{TotalsJson, totals_message};
pub(crate) use returns::{ReturnJson, return_message};

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
    /// Sum of all items and the shipping, as `totals` has it.
    total: MoneyJson,
    /// Address to which it is shipped.
    shipping_address: Address,
    /// Address of the invoice, if it is another.
    billing_address: Option<Address>,
    /// Shipping and its amount.
    shipping: Option<ShippingJson>,
    /// Number at another system.
    external_number: Option<String>,
    /// Note for the shop.
    note: Option<String>,
    /// Note of the shop. Absent where a customer looks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    internal_note: Option<Option<String>>,
    /// Data of your own.
    metadata: BTreeMap<String, String>,
    /// Sums, in minor units of its currency.
    totals: TotalsJson,
    /// Status of its payments and refunds.
    payment_status: PaymentStatus,
    /// Payments, the first one first.
    payments: Vec<PaymentJson>,
    /// Refunds, the first one first.
    refunds: Vec<RefundJson>,
    /// References of the latest payment and the latest refund.
    payment: PaymentReferencesJson,
    /// Status of its units that are not cancelled.
    fulfillment_status: OrderFulfillmentStatus,
    /// Fulfillments, the first one first.
    fulfillments: Vec<FulfillmentJson>,
    /// Status of its returns.
    return_status: OrderReturnStatus,
    /// Returns, the first one first.
    returns: Vec<ReturnJson>,
    /// Tracking of the latest fulfillment that has one and is not cancelled.
    tracking: TrackingJson,
    /// Every change of its status and its parts, the first one first.
    history: Vec<HistoryEntryJson>,
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
    /// ID of the item; it stays while its product does.
    #[cfg_attr(feature = "openapi", schema(value_type = ItemKind))]
    id: String,
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
    /// Discounts on all units.
    discounts: Vec<DiscountJson>,
    /// Taxes on all units.
    taxes: Vec<TaxJson>,
    /// Price of all units, less discounts, with the taxes that the price does not include.
    total: MoneyJson,
    /// Units that are cancelled.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    cancelled: i64,
    /// Units that are shipped.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    shipped: i64,
    /// Units that came back.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    returned: i64,
    /// Units that are refunded.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    refunded: i64,
}

/// References of the latest payment and the latest refund.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = PaymentReferences))]
struct PaymentReferencesJson {
    /// Reference of the latest payment.
    reference: Option<String>,
    /// Method of the latest payment.
    method: Option<String>,
    /// Reference of the latest refund.
    refund_reference: Option<String>,
}

/// A change of an order, or of a part of it.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = HistoryEntry))]
struct HistoryEntryJson {
    /// Time of the change.
    at: Timestamp,
    /// Kind of change.
    #[cfg_attr(feature = "openapi", schema(value_type = Event))]
    event: &'static str,
    /// Status before, of the subject if there is one. Null for a new one, and where a subject has no status.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<AnyStatus>))]
    from: Option<&'static str>,
    /// Status after, of the subject if there is one. Null where a subject has no status.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<AnyStatus>))]
    to: Option<&'static str>,
    /// A user, `system`, or `staff` where a customer looks.
    #[cfg_attr(feature = "openapi", schema(value_type = Actor))]
    by: String,
    /// Reason for the change.
    reason: Option<String>,
    /// ID of the part that changed; null for the order's status.
    subject: Option<String>,
}

impl OrderJson {
    /// The order as this caller may see it.
    pub(crate) fn of(order: Order, caller: Caller) -> Self {
        let total = MoneyJson::new(order.total(), order.currency);
        let totals = order.totals();
        let payment_status = order.payment_status_by(&totals);
        let counters = order.counters();
        let counted = order.items.iter().zip(&counters);
        let items = counted.map(|(item, counters)| ItemJson::of(&order, item, *counters)).collect();
        let References { reference, method, refund_reference } = order.references();
        let payment = PaymentReferencesJson { reference, method, refund_reference };
        let fulfillment_status = order.fulfillment_status(&counters);
        let return_status = order.return_status(&counters);
        let tracking = TrackingJson::of(order.tracking());
        Self {
            id: order.id.to_string(),
            number: order.number.to_string(),
            user_id: order.user_id.to_string(),
            status: order.status,
            items,
            total,
            shipping_address: order.shipping_address,
            billing_address: order.billing_address,
            shipping: order.shipping.as_ref().map(ShippingJson::from),
            external_number: order.external_number,
            note: order.note,
            internal_note: caller.is_staff().then_some(order.internal_note),
            metadata: order.metadata,
            totals: totals.into(),
            payment_status,
            payments: order.payments.into_iter().map(|payment| PaymentJson::of(payment, caller)).collect(),
            refunds: order.refunds.into_iter().map(|refund| RefundJson::of(refund, caller)).collect(),
            payment,
            fulfillment_status,
            fulfillments: order.fulfillments.into_iter().map(|it| FulfillmentJson::of(it, caller)).collect(),
            return_status,
            returns: order.returns.into_iter().map(|it| ReturnJson::of(it, caller)).collect(),
            tracking,
            history: order.history.into_iter().map(|entry| HistoryEntryJson::of(entry, caller)).collect(),
            expires_at: order.expires_at,
            version: order.version,
            created_at: order.created_at,
            updated_at: order.updated_at,
        }
    }
}

impl ItemJson {
    fn of(order: &Order, item: &Item, counters: Counters) -> Self {
        let Counters { cancelled, shipped, returned, refunded, .. } = counters;
        Self {
            id: order.item_id(item).to_string(),
            product_id: item.product_id.to_string(),
            total: MoneyJson::new(item.total(), item.unit_price.currency()),
            sku: item.sku.clone(),
            name: item.name.clone(),
            unit_price: item.unit_price.into(),
            quantity: item.quantity,
            discounts: item.amounts.discounts.iter().map(DiscountJson::from).collect(),
            taxes: item.amounts.taxes.iter().map(TaxJson::from).collect(),
            cancelled,
            shipped,
            returned,
            refunded,
        }
    }
}

impl HistoryEntryJson {
    fn of(entry: HistoryEntry, caller: Caller) -> Self {
        let (from, to) = entry.change.statuses();
        Self {
            at: entry.at,
            event: entry.change.event(),
            from,
            to,
            by: actor_label(entry.by, caller),
            subject: entry.change.subject(),
            reason: entry.reason,
        }
    }
}

/// The message for an order, as this caller may see it.
pub(crate) fn message(order: Order, caller: Caller) -> wire::Order {
    let counters = order.counters();
    let items = order.items.iter().zip(&counters).map(|(it, of_it)| item(&order, it, *of_it)).collect();
    let References { reference, method, refund_reference } = order.references();
    let payment = wire::PaymentReferences { reference, method, refund_reference };
    let totals = order.totals();
    wire::Order {
        payment_status: order.payment_status_by(&totals).name().to_owned(),
        fulfillment_status: order.fulfillment_status(&counters).name().to_owned(),
        return_status: order.return_status(&counters).name().to_owned(),
        tracking: order.tracking().map(tracking_message),
        totals: Some(totals_message(totals)),
        id: order.id.to_string(),
        number: order.number.to_string(),
        user_id: order.user_id.to_string(),
        status: order.status.name().to_owned(),
        total: Some(convert::money(order.total(), order.currency)),
        shipping_address: Some(convert::address(&order.shipping_address)),
        billing_address: order.billing_address.as_ref().map(convert::address),
        shipping: order.shipping.as_ref().map(shipping_message),
        external_number: order.external_number,
        note: order.note,
        internal_note: order.internal_note.filter(|_| caller.is_staff()),
        metadata: order.metadata,
        payment: Some(payment),
        payments: order.payments.into_iter().map(|payment| payment_message(payment, caller)).collect(),
        refunds: order.refunds.into_iter().map(|refund| refund_message(refund, caller)).collect(),
        fulfillments: order.fulfillments.into_iter().map(|it| fulfillment_message(it, caller)).collect(),
        returns: order.returns.into_iter().map(|it| return_message(it, caller)).collect(),
        history: order.history.into_iter().map(|entry| history_entry(entry, caller)).collect(),
        items,
        expires_at: order.expires_at.map(convert::timestamp),
        version: order.version,
        created_at: Some(convert::timestamp(order.created_at)),
        updated_at: Some(convert::timestamp(order.updated_at)),
    }
}

fn history_entry(entry: HistoryEntry, caller: Caller) -> wire::HistoryEntry {
    let (from, to) = entry.change.statuses();
    wire::HistoryEntry {
        at: Some(convert::timestamp(entry.at)),
        from: from.map(str::to_owned),
        to: to.map(str::to_owned),
        by: actor_label(entry.by, caller),
        event: entry.change.event().to_owned(),
        subject: entry.change.subject(),
        reason: entry.reason,
    }
}

fn item(order: &Order, item: &Item, counters: Counters) -> wire::OrderItem {
    let currency = item.unit_price.currency();
    let Counters { cancelled, shipped, returned, refunded, .. } = counters;
    wire::OrderItem {
        id: order.item_id(item).to_string(),
        cancelled,
        shipped,
        returned,
        refunded,
        product_id: item.product_id.to_string(),
        total: Some(convert::money(item.total(), currency)),
        sku: item.sku.clone(),
        name: item.name.clone(),
        unit_price: Some(convert::money(item.unit_price.amount(), currency)),
        quantity: item.quantity,
        discounts: item.amounts.discounts.iter().map(discount_message).collect(),
        taxes: item.amounts.taxes.iter().map(tax_message).collect(),
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

/// The kind of a change in the history.
#[cfg(feature = "openapi")]
enum Event {}

#[cfg(feature = "openapi")]
shared::value_schema!(Event, shared::openapi::values::one_of(Change::EVENTS));

/// A status of an order or of a part of it.
#[cfg(feature = "openapi")]
enum AnyStatus {}

#[cfg(feature = "openapi")]
shared::value_schema!(AnyStatus, shared::openapi::values::one_of(AnyStatus::names()));

#[cfg(feature = "openapi")]
impl AnyStatus {
    /// All names, each of them once.
    fn names() -> Vec<&'static str> {
        let of_orders = Status::ALL.map(Status::name).to_vec();
        let of_parts = FulfillmentStatus::ALL.map(FulfillmentStatus::name).into_iter();
        let of_parts = of_parts.chain(ReturnStatus::ALL.map(ReturnStatus::name));
        of_parts.fold(of_orders, |mut names, name| {
            if !names.contains(&name) {
                names.push(name);
            }
            names
        })
    }
}

#[cfg(feature = "openapi")]
shared::value_schema!(ViolationKind, shared::openapi::values::one_of(Self::ALL.map(Self::name)));
