//! Fulfillments, cancellations and returns on disk.
//!
//! An older build ships and takes back whole orders, and stores neither. Its changes to `shipped` and `returned` are read
//! as a fulfillment and a return of all units. The first change of any part stores them. Until then such a build may
//! go on with its orders.

use mongodb::bson::{self, Bson, Document, doc};
use serde::{Deserialize, Serialize};
use shared::http::idempotency::RequestFingerprint;
use shared::mongo::fenced::WRITER;
use shared::mongo::{self, json_schema};
use shared::values::clock::Timestamp;
use shared::values::ids::{FulfillmentId, ReturnId, UserId};
use shared::values::text::Reason;

use crate::limits::{
    ItemReason, MAX_CANCELLATIONS, MAX_FULFILLMENTS, MAX_ITEMS, MAX_RETURNS, Reference, TrackingUrl,
};
use crate::order::{
    Cancellation, Fulfillment, FulfillmentStatus, Item, ItemQuantity, Order, Return, ReturnItem,
    ReturnStatus, StockCounts, Tracking,
};
use crate::status::Status;

/// Fields of an order with its parts.
pub(super) const FIELDS: [&str; 3] = ["fulfillments", "cancellations", "returns"];

/// Lowest schema version whose builds know parts of orders.
const KNOWN_SINCE: i32 = 12;

/// Units of an item on disk.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ItemQuantityDocument {
    id: bson::Uuid,
    quantity: i64,
}

/// Shipment tracking on disk: of a fulfillment, and that of the order, which older builds read.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TrackingDocument {
    carrier: String,
    number: String,
    url: Option<String>,
}

/// Fulfillment on disk.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FulfillmentDocument {
    id: bson::Uuid,
    items: Vec<ItemQuantityDocument>,
    tracking: Option<TrackingDocument>,
    status: String,
    shipped_at: bson::DateTime,
    delivered_at: Option<bson::DateTime>,
    by: Option<bson::Uuid>,
    /// SHA-256 of the request, if it had an idempotency key.
    request: Option<bson::Binary>,
}

/// Cancellation on disk.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CancellationDocument {
    id: bson::Uuid,
    items: Vec<ItemQuantityDocument>,
    reason: Option<String>,
    created_at: bson::DateTime,
    by: Option<bson::Uuid>,
    request: Option<bson::Binary>,
}

/// Return on disk.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ReturnDocument {
    id: bson::Uuid,
    status: String,
    items: Vec<ReturnItemDocument>,
    reason: Option<String>,
    requested_at: bson::DateTime,
    decided_at: Option<bson::DateTime>,
    received_at: Option<bson::DateTime>,
    by: Option<bson::Uuid>,
    request: Option<bson::Binary>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ReturnItemDocument {
    id: bson::Uuid,
    quantity: i64,
    reason: Option<String>,
    received: i64,
    restocked: i64,
}

/// Units of a product that were moved before a task.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StockCountsDocument {
    product_id: bson::Uuid,
    shipped: i64,
    restocked: i64,
}

/// Rules for the fields of an order that are its parts.
pub(super) fn rules() -> [(&'static str, Document); 3] {
    let request = || json_schema::or_null(json_schema::bytes());
    let by = || json_schema::or_null(json_schema::bytes());
    let time = || json_schema::or_null(json_schema::date());
    let reason = || json_schema::or_null(json_schema::text(Reason::MAX));
    let items = || json_schema::list(1, MAX_ITEMS, item_quantity_rule());
    let fulfillment = json_schema::document(
        &[
            ("id", json_schema::bytes()),
            ("items", items()),
            ("status", json_schema::one_of(FulfillmentStatus::ALL.map(FulfillmentStatus::name))),
            ("shipped_at", json_schema::date()),
        ],
        &[
            ("tracking", json_schema::or_null(tracking_rule())),
            ("delivered_at", time()),
            ("by", by()),
            ("request", request()),
        ],
    );
    let cancellation = json_schema::document(
        &[("id", json_schema::bytes()), ("items", items()), ("created_at", json_schema::date())],
        &[("reason", reason()), ("by", by()), ("request", request())],
    );
    let returned_item = json_schema::document(
        &[
            ("id", json_schema::bytes()),
            ("quantity", json_schema::whole(1)),
            ("received", json_schema::whole(0)),
            ("restocked", json_schema::whole(0)),
        ],
        &[("reason", json_schema::or_null(json_schema::text(ItemReason::MAX)))],
    );
    let returned = json_schema::document(
        &[
            ("id", json_schema::bytes()),
            ("status", json_schema::one_of(ReturnStatus::ALL.map(ReturnStatus::name))),
            ("items", json_schema::list(1, MAX_ITEMS, returned_item)),
            ("requested_at", json_schema::date()),
        ],
        &[
            ("reason", reason()),
            ("decided_at", time()),
            ("received_at", time()),
            ("by", by()),
            ("request", request()),
        ],
    );
    let [fulfillments, cancellations, returns] = FIELDS;
    [
        (fulfillments, json_schema::list(0, MAX_FULFILLMENTS, fulfillment)),
        (cancellations, json_schema::list(0, MAX_CANCELLATIONS, cancellation)),
        (returns, json_schema::list(0, MAX_RETURNS, returned)),
    ]
}

/// Rule for the units of an item.
pub(super) fn item_quantity_rule() -> Document {
    json_schema::document(&[("id", json_schema::bytes()), ("quantity", json_schema::whole(1))], &[])
}

/// Rule for shipment tracking.
pub(super) fn tracking_rule() -> Document {
    let short = || json_schema::text(Reference::MAX);
    json_schema::document(
        &[("carrier", short()), ("number", short())],
        &[("url", json_schema::or_null(json_schema::text(TrackingUrl::MAX)))],
    )
}

/// Rule for the units that were moved before a task.
pub(super) fn before_rule() -> Document {
    let counts = [
        ("product_id", json_schema::bytes()),
        ("shipped", json_schema::whole(0)),
        ("restocked", json_schema::whole(0)),
    ];
    json_schema::list(0, MAX_ITEMS, json_schema::document(&counts, &[]))
}

/// Rule for the writer of an order: one with parts takes the writes of builds that know these, and of no others. An older
/// build would ship and hold units that are shipped or cancelled already.
pub(super) fn writer_rule() -> Document {
    let none = FIELDS.map(|field| (field.to_owned(), Bson::from(doc! { "maxItems": 0 })));
    let without_parts = doc! { "properties": Document::from_iter(none) };
    let by_builds_that_know_them =
        doc! { "required": [WRITER], "properties": { WRITER: { "minimum": KNOWN_SINCE } } };
    doc! { "anyOf": [without_parts, by_builds_that_know_them] }
}

/// Adds the fulfillment and the return of a build that stores none.
pub(super) fn add_from_before(order: &mut Order, tracking: Option<Tracking>) {
    if order.has_fulfillments() {
        return;
    }
    let Some((shipped_at, by)) = changed_to(order, Status::Shipped) else { return };
    let id = order.id.uuid();
    let delivered_at = changed_to(order, Status::Delivered).map(|(at, _)| at);
    let units = |item: &Item| ItemQuantity { id: order.item_id(item), quantity: item.quantity };
    let items: Vec<ItemQuantity> = order.items.iter().map(units).collect();
    if order.returns.is_empty()
        && let Some((at, by)) = changed_to(order, Status::Returned)
    {
        order.returns.push(return_of_all(id, &items, at, by));
    }
    order.fulfillments.push(Fulfillment {
        id: FulfillmentId::from_uuid(id),
        items,
        tracking,
        status: if delivered_at.is_some() {
            FulfillmentStatus::Delivered
        } else {
            FulfillmentStatus::Shipped
        },
        shipped_at,
        delivered_at,
        by,
        request: None,
    });
}

/// Return of all units, with the ID of their order. How many of them were restocked is stored nowhere.
fn return_of_all(id: uuid::Uuid, items: &[ItemQuantity], at: Timestamp, by: Option<UserId>) -> Return {
    let item = |&ItemQuantity { id, quantity }: &ItemQuantity| ReturnItem {
        id,
        quantity,
        reason: None,
        received: quantity,
        restocked: 0,
    };
    Return {
        id: ReturnId::from_uuid(id),
        status: ReturnStatus::Received,
        items: items.iter().map(item).collect(),
        reason: None,
        requested_at: at,
        decided_at: Some(at),
        received_at: Some(at),
        by,
        request: None,
    }
}

/// Time and user of the change to a status.
fn changed_to(order: &Order, status: Status) -> Option<(Timestamp, Option<UserId>)> {
    let entry = order.history.iter().find(|entry| entry.to() == Some(status))?;
    Some((entry.at, entry.by))
}

/// True if a decision has changed parts of an order.
pub(super) fn have_changed(before: &Order, after: &Order) -> bool {
    before.fulfillments != after.fulfillments
        || before.cancellations != after.cancellations
        || before.returns != after.returns
}

/// True if an order has a fulfillment of a build that stores none. It may be stored by now.
pub(super) fn are_from_before(order: &Order) -> bool {
    order.fulfillments.iter().any(|fulfillment| fulfillment.id.uuid() == order.id.uuid())
}

impl From<ItemQuantity> for ItemQuantityDocument {
    fn from(units: ItemQuantity) -> Self {
        Self { id: mongo::uuid(units.id), quantity: units.quantity }
    }
}

impl From<ItemQuantityDocument> for ItemQuantity {
    fn from(document: ItemQuantityDocument) -> Self {
        Self { id: mongo::id(document.id), quantity: document.quantity }
    }
}

impl From<&Tracking> for TrackingDocument {
    fn from(tracking: &Tracking) -> Self {
        let Tracking { carrier, number, url } = tracking.clone();
        Self { carrier, number, url }
    }
}

impl From<TrackingDocument> for Tracking {
    fn from(document: TrackingDocument) -> Self {
        let TrackingDocument { carrier, number, url } = document;
        Self { carrier, number, url }
    }
}

impl From<StockCounts> for StockCountsDocument {
    fn from(counts: StockCounts) -> Self {
        let StockCounts { product_id, shipped, restocked } = counts;
        Self { product_id: mongo::uuid(product_id), shipped, restocked }
    }
}

impl From<StockCountsDocument> for StockCounts {
    fn from(document: StockCountsDocument) -> Self {
        let StockCountsDocument { product_id, shipped, restocked } = document;
        Self { product_id: mongo::id(product_id), shipped, restocked }
    }
}

impl From<&Fulfillment> for FulfillmentDocument {
    fn from(fulfillment: &Fulfillment) -> Self {
        Self {
            id: mongo::uuid(fulfillment.id),
            items: fulfillment.items.iter().copied().map(ItemQuantityDocument::from).collect(),
            tracking: fulfillment.tracking.as_ref().map(TrackingDocument::from),
            status: fulfillment.status.name().to_owned(),
            shipped_at: mongo::date(fulfillment.shipped_at),
            delivered_at: fulfillment.delivered_at.map(mongo::date),
            by: fulfillment.by.map(mongo::uuid),
            request: stored_request(fulfillment.request),
        }
    }
}

impl TryFrom<FulfillmentDocument> for Fulfillment {
    type Error = String;

    fn try_from(document: FulfillmentDocument) -> Result<Self, String> {
        Ok(Self {
            id: mongo::id(document.id),
            items: document.items.into_iter().map(ItemQuantity::from).collect(),
            tracking: document.tracking.map(Tracking::from),
            status: FulfillmentStatus::from_stored(&document.status)?,
            shipped_at: mongo::timestamp(document.shipped_at),
            delivered_at: document.delivered_at.map(mongo::timestamp),
            by: document.by.map(mongo::id),
            request: request(document.request),
        })
    }
}

impl From<&Cancellation> for CancellationDocument {
    fn from(cancellation: &Cancellation) -> Self {
        Self {
            id: mongo::uuid(cancellation.id),
            items: cancellation.items.iter().copied().map(ItemQuantityDocument::from).collect(),
            reason: cancellation.reason.clone(),
            created_at: mongo::date(cancellation.created_at),
            by: cancellation.by.map(mongo::uuid),
            request: stored_request(cancellation.request),
        }
    }
}

impl From<CancellationDocument> for Cancellation {
    fn from(document: CancellationDocument) -> Self {
        Self {
            id: mongo::id(document.id),
            items: document.items.into_iter().map(ItemQuantity::from).collect(),
            reason: document.reason,
            created_at: mongo::timestamp(document.created_at),
            by: document.by.map(mongo::id),
            request: request(document.request),
        }
    }
}

impl From<&Return> for ReturnDocument {
    fn from(it: &Return) -> Self {
        let item = |item: &ReturnItem| ReturnItemDocument {
            id: mongo::uuid(item.id),
            quantity: item.quantity,
            reason: item.reason.clone(),
            received: item.received,
            restocked: item.restocked,
        };
        Self {
            id: mongo::uuid(it.id),
            status: it.status.name().to_owned(),
            items: it.items.iter().map(item).collect(),
            reason: it.reason.clone(),
            requested_at: mongo::date(it.requested_at),
            decided_at: it.decided_at.map(mongo::date),
            received_at: it.received_at.map(mongo::date),
            by: it.by.map(mongo::uuid),
            request: stored_request(it.request),
        }
    }
}

impl TryFrom<ReturnDocument> for Return {
    type Error = String;

    fn try_from(document: ReturnDocument) -> Result<Self, String> {
        let item = |item: ReturnItemDocument| ReturnItem {
            id: mongo::id(item.id),
            quantity: item.quantity,
            reason: item.reason,
            received: item.received,
            restocked: item.restocked,
        };
        Ok(Self {
            id: mongo::id(document.id),
            status: ReturnStatus::from_stored(&document.status)?,
            items: document.items.into_iter().map(item).collect(),
            reason: document.reason,
            requested_at: mongo::timestamp(document.requested_at),
            decided_at: document.decided_at.map(mongo::timestamp),
            received_at: document.received_at.map(mongo::timestamp),
            by: document.by.map(mongo::id),
            request: request(document.request),
        })
    }
}

fn stored_request(request: Option<RequestFingerprint>) -> Option<bson::Binary> {
    request.map(|request| mongo::binary(request.as_bytes()))
}

fn request(stored: Option<bson::Binary>) -> Option<RequestFingerprint> {
    stored.map(|request| RequestFingerprint::from_stored(&request.bytes))
}
