//! Orders and voids on disk.

use std::borrow::Cow;

use mongodb::bson::{self, Bson, Document, RawBsonRef, RawDocumentBuf, doc};
use serde::{Deserialize, Serialize};
use shared::error::Error;
use shared::http::idempotency::{self, IdempotencyKey, RequestFingerprint, RequestKey};
use shared::mongo;
use shared::mongo::changes::changes;
use shared::mongo::fenced::WRITER;
use shared::mongo::json_schema;
use shared::mongo::unreadable::{Unreadable, value};
use shared::values::address::Address;
use shared::values::ids::OrderId;
use shared::values::money::{Currency, Money};
use shared::values::stored;
use shared::values::text::Reason;

use super::ORDERS;
use crate::limits::{ExternalNumber, MAX_ITEMS, Note};
use crate::number::Number;
use crate::order::{
    Cancellation, Change, Decision, Discount, Fulfillment, FulfillmentStatus, HistoryEntry, IdempotencyRef,
    Item, ItemAmounts, Order, OrderReturnStatus, Payment, PaymentStatus, Refund, Return, ReturnStatus,
    Shipping, StockCounts, Task, TaskKind, Tax, Tracking,
};
use crate::status::Status;

mod amounts;
mod merge;
mod parts;
mod payments;

use amounts::{DiscountDocument, ShippingDocument, TaxDocument};
use merge::{entries, literal};
use parts::{
    CancellationDocument, FulfillmentDocument, ReturnDocument, StockCountsDocument, TrackingDocument,
};
pub(super) use payments::starts_with_reference;
use payments::{PaymentDocument, ReferencesDocument, RefundDocument};

/// Status of a void: an ID under which no order can be placed any more.
pub(super) const VOID: &str = "void";

/// Version of a void: that of an order's first decision, which it excludes.
const VOID_VERSION: i64 = 2;

/// Task of a void: to end its hold.
const RELEASE: Task = Task { revision: VOID_VERSION, kind: TaskKind::Release, before: Vec::new() };

/// Lowest schema version whose builds know discounts, taxes, shipping, and names in addresses.
const AMOUNTS_KNOWN_SINCE: i32 = 11;

/// Validation rule for documents: an order, or a void.
///
/// An order with discounts, taxes or a shipping takes the writes of builds that know these, and of no others: an older
/// build would compute its total without them. The same holds for an address with a name: an older build would leave the
/// name at another address.
pub(super) fn valid() -> Document {
    let status = [("status", json_schema::one_of([VOID]))];
    let void = json_schema::document(&[&in_both()[..], &status].concat(), &[]);
    let empty = || doc! { "bsonType": "null" };
    let without_amounts = doc! { "properties": {
        "shipping": empty(),
        "shipping_address": { "properties": { "name": empty(), "company": empty(), "phone": empty() } },
        "items": { "items": { "properties": { "discounts": { "maxItems": 0 }, "taxes": { "maxItems": 0 } } } },
    } };
    let by_builds_that_know_them =
        doc! { "required": [WRITER], "properties": { WRITER: { "minimum": AMOUNTS_KNOWN_SINCE } } };
    doc! { "$jsonSchema": {
        "anyOf": [order_rule(), void],
        "allOf": [{ "anyOf": [without_amounts, by_builds_that_know_them] }, parts::writer_rule()],
    } }
}

/// Rule for an order.
pub(super) fn order_rule() -> Document {
    json_schema::document(&[&in_both()[..], &of_an_order()].concat(), &optional_in_an_order())
}

fn in_both() -> [(&'static str, Document); 4] {
    let task = json_schema::document(
        &[
            ("revision", json_schema::whole(1)),
            ("kind", json_schema::one_of(TaskKind::ALL.map(TaskKind::name))),
        ],
        &[("before", parts::before_rule())],
    );
    [
        ("_id", json_schema::bytes()),
        ("tasks", json_schema::list(0, 1_000, task)),
        ("version", json_schema::whole(1)),
        ("updated_at", json_schema::date()),
    ]
}

fn of_an_order() -> [(&'static str, Document); 11] {
    let item = json_schema::document(
        &[
            ("product_id", json_schema::bytes()),
            // Copied from a stored product, whatever the rules were then.
            ("sku", json_schema::string()),
            ("name", json_schema::string()),
            ("unit_price", json_schema::whole(0)),
            ("quantity", json_schema::whole(1)),
        ],
        &[("discounts", amounts::discounts_rule()), ("taxes", amounts::taxes_rule())],
    );
    let change = json_schema::document(
        &[("at", json_schema::date()), ("to", json_schema::one_of(Status::ALL.map(Status::name)))],
        &[
            ("from", json_schema::or_null(json_schema::one_of(Status::ALL.map(Status::name)))),
            ("by", json_schema::or_null(json_schema::bytes())),
            ("reason", json_schema::or_null(json_schema::text(Reason::MAX))),
            ("event", json_schema::one_of(Change::EVENTS)),
            ("subject", json_schema::bytes()),
            ("subject_from", json_schema::one_of(statuses_of_parts())),
            ("subject_to", json_schema::one_of(statuses_of_parts())),
        ],
    );
    [
        ("number", json_schema::text(Number::LENGTH)),
        ("user_id", json_schema::bytes()),
        ("status", json_schema::one_of(Status::ALL.map(Status::name))),
        ("items", json_schema::list(1, MAX_ITEMS, item)),
        ("currency", json_schema::string()),
        ("total", json_schema::whole(0)),
        ("shipping_address", json_schema::address()),
        ("metadata", json_schema::map()),
        ("payment", payments::references_rule()),
        ("history", json_schema::list(1, 1_000, change)),
        ("created_at", json_schema::date()),
    ]
}

/// Statuses of fulfillments and returns.
fn statuses_of_parts() -> impl Iterator<Item = &'static str> {
    let of_fulfillments = FulfillmentStatus::ALL.map(FulfillmentStatus::name);
    let of_returns = ReturnStatus::ALL.map(ReturnStatus::name).into_iter();
    of_fulfillments.into_iter().chain(of_returns.filter(move |name| !of_fulfillments.contains(name)))
}

fn optional_in_an_order() -> [(&'static str, Document); 17] {
    let placed_under = json_schema::document(
        &[
            ("caller", json_schema::bytes()),
            ("key", json_schema::text(idempotency::MAX_KEY)),
            ("fingerprint", json_schema::bytes()),
        ],
        &[],
    );
    let [payments, refunds] = payments::rules();
    let [fulfillments, cancellations, returns] = parts::rules();
    [
        payments,
        refunds,
        fulfillments,
        cancellations,
        returns,
        ("payment_status", json_schema::one_of(PaymentStatus::ALL.map(PaymentStatus::name))),
        ("return_status", json_schema::one_of(OrderReturnStatus::ALL.map(OrderReturnStatus::name))),
        ("billing_address", json_schema::or_null(json_schema::address())),
        ("shipping", json_schema::or_null(amounts::shipping_rule())),
        ("external_number", json_schema::text(ExternalNumber::MAX)),
        ("note", json_schema::or_null(json_schema::text(Note::MAX))),
        ("internal_note", json_schema::or_null(json_schema::text(Note::MAX))),
        ("tracking", json_schema::or_null(parts::tracking_rule())),
        ("changing", json_schema::boolean()),
        ("placed_under", placed_under),
        ("expires_at", json_schema::or_null(json_schema::date())),
        ("open_slot", json_schema::or_null(json_schema::whole(0))),
    ]
}

/// Order on disk. It borrows from the order that is written, and owns what is read.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct OrderDocument<'a> {
    _id: bson::Uuid,
    number: Cow<'a, str>,
    user_id: bson::Uuid,
    status: Cow<'a, str>,
    items: Vec<ItemDocument<'a>>,
    currency: Cow<'a, str>,
    /// Minor units; derived from items and shipping, stored for sorting.
    total: i64,
    /// Derived from the sums, stored for finding; a build from before stores none.
    #[serde(skip_deserializing)]
    payment_status: Cow<'a, str>,
    /// Derived from the parts, stored for finding. Absent without returns, as of most orders.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    return_status: Option<&'static str>,
    shipping_address: Cow<'a, Address>,
    #[serde(default)]
    billing_address: Option<Cow<'a, Address>>,
    #[serde(default)]
    shipping: Option<ShippingDocument>,
    /// Absent without one: the index on it has only orders with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    external_number: Option<Cow<'a, str>>,
    note: Option<Cow<'a, str>>,
    #[serde(default)]
    internal_note: Option<Cow<'a, str>>,
    metadata: Vec<mongo::Entry>,
    payment: ReferencesDocument,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    payments: Vec<PaymentDocument>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    refunds: Vec<RefundDocument>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fulfillments: Vec<FulfillmentDocument>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    cancellations: Vec<CancellationDocument>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    returns: Vec<ReturnDocument>,
    /// Derived from the fulfillments. An older build stores it alone.
    tracking: Option<TrackingDocument>,
    history: Vec<HistoryEntryDocument<'a>>,
    tasks: Vec<TaskDocument<'a>>,
    #[serde(default)]
    changing: bool,
    /// Absent without a key: the index on it has only orders with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    placed_under: Option<PlacedUnderDocument<'a>>,
    expires_at: Option<bson::DateTime>,
    open_slot: Option<i64>,
    version: i64,
    created_at: bson::DateTime,
    updated_at: bson::DateTime,
}

#[derive(Debug, Serialize, Deserialize)]
struct PlacedUnderDocument<'a> {
    caller: bson::Uuid,
    key: Cow<'a, str>,
    /// SHA-256 of the request.
    fingerprint: bson::Binary,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ItemDocument<'a> {
    product_id: bson::Uuid,
    sku: Cow<'a, str>,
    name: Cow<'a, str>,
    /// Minor units.
    unit_price: i64,
    quantity: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    discounts: Vec<DiscountDocument>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    taxes: Vec<TaxDocument>,
}

/// Entry of the history on disk. One of a part of the order has the status of the order in `from` and `to`: a build that
/// knows no events reads them.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HistoryEntryDocument<'a> {
    at: bson::DateTime,
    from: Option<Cow<'a, str>>,
    to: Cow<'a, str>,
    by: Option<bson::Uuid>,
    reason: Option<Cow<'a, str>>,
    /// Kind of change; none is a change of status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<Cow<'a, str>>,
    /// ID of the part that changed, such as a payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<bson::Uuid>,
    /// Status of the part before, if it has statuses and is not new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject_from: Option<Cow<'a, str>>,
    /// Status of the part after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject_to: Option<Cow<'a, str>>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TaskDocument<'a> {
    revision: i64,
    kind: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    before: Vec<StockCountsDocument>,
}

impl<'a> HistoryEntryDocument<'a> {
    fn of(entry: &'a HistoryEntry, status: Status) -> Self {
        let (from, to) = match entry.change {
            Change::Status { from, to } => (from, to),
            _ => (Some(status), status),
        };
        let event = match entry.change {
            Change::Status { .. } => None,
            change => Some(change.event()),
        };
        let (subject, statuses) = match entry.change {
            Change::Status { .. } | Change::Unknown(_) => (None, None),
            Change::Payment(id) => (Some(mongo::uuid(id)), None),
            Change::Refund(id) => (Some(mongo::uuid(id)), None),
            Change::Cancellation(id) => (Some(mongo::uuid(id)), None),
            Change::Fulfillment { id, from, to } => {
                (Some(mongo::uuid(id)), Some((from.map(FulfillmentStatus::name), to.name())))
            }
            Change::Return { id, from, to } => {
                (Some(mongo::uuid(id)), Some((from.map(ReturnStatus::name), to.name())))
            }
        };
        Self {
            at: mongo::date(entry.at),
            from: from.map(|status| status.name().into()),
            to: to.name().into(),
            by: entry.by.map(mongo::uuid),
            reason: entry.reason.as_deref().map(Cow::Borrowed),
            event: event.map(Cow::Borrowed),
            subject,
            subject_from: statuses.and_then(|(from, _)| from).map(Cow::Borrowed),
            subject_to: statuses.map(|(_, to)| Cow::Borrowed(to)),
        }
    }
}

impl TryFrom<HistoryEntryDocument<'_>> for HistoryEntry {
    type Error = String;

    fn try_from(document: HistoryEntryDocument<'_>) -> Result<Self, String> {
        let from = document.from.as_deref().map(Status::from_stored).transpose()?;
        let to = Status::from_stored(&document.to)?;
        let [status, payment, refund, fulfillment, cancellation, returned] = Change::EVENTS;
        let (subject_from, subject_to) = (document.subject_from.as_deref(), document.subject_to.as_deref());
        let change = match (document.event.as_deref(), document.subject, subject_to) {
            (None, ..) => Change::Status { from, to },
            (Some(event), ..) if event == status => Change::Status { from, to },
            (Some(event), Some(subject), _) if event == payment => Change::Payment(mongo::id(subject)),
            (Some(event), Some(subject), _) if event == refund => Change::Refund(mongo::id(subject)),
            (Some(event), Some(subject), _) if event == cancellation => {
                Change::Cancellation(mongo::id(subject))
            }
            (Some(event), Some(subject), Some(to)) if event == fulfillment => Change::Fulfillment {
                id: mongo::id(subject),
                from: subject_from.map(FulfillmentStatus::from_stored).transpose()?,
                to: FulfillmentStatus::from_stored(to)?,
            },
            (Some(event), Some(subject), Some(to)) if event == returned => Change::Return {
                id: mongo::id(subject),
                from: subject_from.map(ReturnStatus::from_stored).transpose()?,
                to: ReturnStatus::from_stored(to)?,
            },
            (Some(event), ..) => Change::Unknown(stored::name(event)?),
        };
        Ok(Self {
            at: mongo::timestamp(document.at),
            change,
            by: document.by.map(mongo::id),
            reason: document.reason.map(Cow::into_owned),
        })
    }
}

impl<'a> From<&'a IdempotencyRef> for PlacedUnderDocument<'a> {
    fn from(idempotency: &'a IdempotencyRef) -> Self {
        Self {
            caller: mongo::uuid(idempotency.caller),
            key: idempotency.request_key.key.as_str().into(),
            fingerprint: mongo::binary(idempotency.request_key.fingerprint.as_bytes()),
        }
    }
}

impl From<PlacedUnderDocument<'_>> for IdempotencyRef {
    fn from(document: PlacedUnderDocument<'_>) -> Self {
        let key = IdempotencyKey::from_stored(document.key.into_owned());
        let fingerprint = RequestFingerprint::from_stored(&document.fingerprint.bytes);
        Self { caller: mongo::id(document.caller), request_key: RequestKey::of_client(key, fingerprint) }
    }
}

impl From<&Task> for TaskDocument<'static> {
    fn from(task: &Task) -> Self {
        Self {
            revision: task.revision,
            kind: task.kind.name().into(),
            before: task.before.iter().copied().map(StockCountsDocument::from).collect(),
        }
    }
}

impl TryFrom<TaskDocument<'_>> for Task {
    type Error = String;

    fn try_from(document: TaskDocument<'_>) -> Result<Self, String> {
        Ok(Self {
            revision: document.revision,
            kind: TaskKind::from_stored(&document.kind)?,
            before: document.before.into_iter().map(StockCounts::from).collect(),
        })
    }
}

impl<'a> OrderDocument<'a> {
    pub(super) fn of(order: &'a Order) -> Self {
        Self {
            _id: mongo::uuid(order.id),
            number: order.number.as_str().into(),
            user_id: mongo::uuid(order.user_id),
            status: order.status.name().into(),
            items: order
                .items
                .iter()
                .map(|item| ItemDocument {
                    product_id: mongo::uuid(item.product_id),
                    sku: item.sku.as_str().into(),
                    name: item.name.as_str().into(),
                    unit_price: item.unit_price.amount(),
                    quantity: item.quantity,
                    discounts: item.amounts.discounts.iter().map(DiscountDocument::from).collect(),
                    taxes: item.amounts.taxes.iter().map(TaxDocument::from).collect(),
                })
                .collect(),
            currency: order.currency.code().into(),
            total: order.total(),
            payment_status: order.payment_status().name().into(),
            return_status: return_status(order),
            shipping_address: Cow::Borrowed(&order.shipping_address),
            billing_address: order.billing_address.as_ref().map(Cow::Borrowed),
            shipping: order.shipping.as_ref().map(ShippingDocument::from),
            external_number: order.external_number.as_deref().map(Cow::Borrowed),
            note: order.note.as_deref().map(Cow::Borrowed),
            internal_note: order.internal_note.as_deref().map(Cow::Borrowed),
            metadata: mongo::entries(&order.metadata),
            payment: ReferencesDocument::of(order),
            payments: order.payments.iter().map(|payment| PaymentDocument::of(order.id, payment)).collect(),
            refunds: order.refunds.iter().map(RefundDocument::from).collect(),
            fulfillments: order.fulfillments.iter().map(FulfillmentDocument::from).collect(),
            cancellations: order.cancellations.iter().map(CancellationDocument::from).collect(),
            returns: order.returns.iter().map(ReturnDocument::from).collect(),
            tracking: order.tracking().map(TrackingDocument::from),
            history: order
                .history
                .iter()
                .map(|entry| HistoryEntryDocument::of(entry, order.status))
                .collect(),
            tasks: order.tasks.iter().map(TaskDocument::from).collect(),
            changing: order.changing,
            placed_under: order.placed_under.as_ref().map(PlacedUnderDocument::from),
            expires_at: order.expires_at.map(mongo::date),
            open_slot: order.open_slot,
            version: order.version,
            created_at: mongo::date(order.created_at),
            updated_at: mongo::date(order.updated_at),
        }
    }

    fn into_order(self) -> Result<Order, String> {
        let currency = Currency::from_stored(&self.currency)?;
        let item = |item: ItemDocument<'_>| Item {
            product_id: mongo::id(item.product_id),
            sku: item.sku.into_owned(),
            name: item.name.into_owned(),
            unit_price: Money::from_stored(item.unit_price, currency),
            quantity: item.quantity,
            amounts: ItemAmounts {
                discounts: item.discounts.into_iter().map(Discount::from).collect(),
                taxes: item.taxes.into_iter().map(Tax::from).collect(),
            },
        };
        let references = self.payment;
        let mut order = Order {
            id: mongo::id(self._id),
            number: Number::from_stored(self.number.into_owned()),
            user_id: mongo::id(self.user_id),
            status: Status::from_stored(&self.status)?,
            items: self.items.into_iter().map(item).collect(),
            currency,
            shipping_address: self.shipping_address.into_owned(),
            billing_address: self.billing_address.map(Cow::into_owned),
            shipping: self.shipping.map(Shipping::from),
            external_number: self.external_number.map(Cow::into_owned),
            note: self.note.map(Cow::into_owned),
            internal_note: self.internal_note.map(Cow::into_owned),
            metadata: mongo::map(self.metadata),
            payments: self.payments.into_iter().map(Payment::from).collect(),
            refunds: self.refunds.into_iter().map(Refund::from).collect(),
            fulfillments: self
                .fulfillments
                .into_iter()
                .map(Fulfillment::try_from)
                .collect::<Result<_, _>>()?,
            cancellations: self.cancellations.into_iter().map(Cancellation::from).collect(),
            returns: self.returns.into_iter().map(Return::try_from).collect::<Result<_, _>>()?,
            history: self.history.into_iter().map(HistoryEntry::try_from).collect::<Result<_, _>>()?,
            tasks: self.tasks.into_iter().map(Task::try_from).collect::<Result<_, _>>()?,
            changing: self.changing,
            placed_under: self.placed_under.map(IdempotencyRef::from),
            expires_at: self.expires_at.map(mongo::timestamp),
            open_slot: self.open_slot,
            version: self.version,
            created_at: mongo::timestamp(self.created_at),
            updated_at: mongo::timestamp(self.updated_at),
        };
        references.add_missing(&mut order);
        parts::add_from_before(&mut order, self.tracking.map(Tracking::from));
        Ok(order)
    }
}

/// Update that writes a decision: what it has changed, new entries of the history and new tasks.
///
/// It is a pipeline, since an item that stays is merged with its stored fields.
pub(super) fn update(before: &Order, decision: &Decision) -> Result<Document, Error> {
    let document =
        |order: &Order| bson::serialize_to_document(&OrderDocument::of(order)).map_err(Error::internal);
    let (old, new) = (document(before)?, document(&decision.order)?);
    let mut set = Document::new();
    for (field, value) in changes(&old, &new) {
        let value: Bson = match field.as_str() {
            // They are appended to: a task may be removed at the same time.
            "history" | "tasks" => continue,
            "items" => items(before, &decision.order)?.into(),
            "payments" | "refunds" => continue,
            field if parts::FIELDS.contains(&field) => continue,
            _ => literal(value).into(),
        };
        set.insert(field, value);
    }
    let after = &decision.order;
    if before.payments != after.payments || before.refunds != after.refunds || has_money_from_before(before) {
        // Both: one that stands in `payment` alone is stored with the first change.
        for field in ["payments", "refunds"] {
            set.insert(field, entries(field, old.get(field), new.get(field)));
        }
    }
    if parts::have_changed(before, after) {
        // All of those that an older build left to be derived are stored with the first change.
        for field in parts::FIELDS {
            let (old, new) = (old.get(field), new.get(field));
            if new.is_some() && (old != new || parts::are_from_before(before)) {
                set.insert(field, entries(field, old, new));
            }
        }
    }
    // Always: a build from before may have stored the order without it.
    let payment_status = decision.order.payment_status().name();
    set.insert("payment_status", literal(payment_status.into()));
    if let Some(status) = return_status(&decision.order) {
        set.insert("return_status", literal(status.into()));
    }
    let mut append = |field: &str, entries: Vec<Bson>| {
        if !entries.is_empty() {
            set.insert(field, doc! { "$concatArrays": [format!("${field}"), literal(entries.into())] });
        }
    };
    let entry = |entry| to_bson(&HistoryEntryDocument::of(entry, before.status));
    append("history", decision.entries.iter().map(entry).collect::<Result<_, _>>()?);
    let task = decision.task.as_ref().map(|task| to_bson(&TaskDocument::from(task))).transpose()?;
    append("tasks", task.into_iter().collect());
    Ok(doc! { "$set": set })
}

/// Status of the returns of an order that has any.
fn return_status(order: &Order) -> Option<&'static str> {
    (!order.returns.is_empty()).then(|| order.return_status(&order.counters()).name())
}

/// True if an order has a payment or a refund that a build without these recorded.
fn has_money_from_before(order: &Order) -> bool {
    let id = order.id.uuid();
    order.payments.iter().any(|payment| payment.id.uuid() == id)
        || order.refunds.iter().any(|refund| refund.id.uuid() == id)
}

/// Update that stores what is derived from an order: its statuses of payment and of returns, and what a build without payments has in
/// the references alone.
pub(super) fn derived(order: &Order) -> Result<Document, Error> {
    let stored = bson::serialize_to_document(&OrderDocument::of(order)).map_err(Error::internal)?;
    let mut set = doc! { "payment_status": literal(order.payment_status().name().into()) };
    if let Some(status) = return_status(order) {
        set.insert("return_status", literal(status.into()));
    }
    for field in ["payments", "refunds"] {
        if let Some(list) = stored.get(field) {
            set.insert(field, entries(field, Some(list), Some(list)));
        }
    }
    Ok(doc! { "$set": set })
}

/// Filter for another order that has a reference which this decision adds.
pub(super) fn with_its_references(before: &Order, decision: &Decision) -> Document {
    let is_new = |payment: &&Payment| !before.payments.iter().any(|there| there.id == payment.id);
    let added = decision.order.payments.iter().filter(is_new);
    let unique: Vec<String> = added.map(|payment| PaymentDocument::unique(before, payment)).collect();
    doc! { "payments.unique": { "$in": unique }, "_id": { "$ne": mongo::uuid(before.id) } }
}

/// Items as an expression. One that was there before is merged with its stored fields. The write is on the
/// version that was read, so the places of the items are those that were read.
fn items(before: &Order, after: &Order) -> Result<Vec<Bson>, Error> {
    let (old, new) = (OrderDocument::of(before).items, OrderDocument::of(after).items);
    let item = |item: &ItemDocument<'_>| {
        let mut fields = bson::serialize_to_document(item).map_err(Error::internal)?;
        // A list that is empty now replaces the stored one.
        for (field, is_empty) in [("discounts", item.discounts.is_empty()), ("taxes", item.taxes.is_empty())]
        {
            if is_empty {
                fields.insert(field, Vec::<Bson>::new());
            }
        }
        let fields = literal(fields.into());
        let place = old.iter().position(|there| there.product_id == item.product_id);
        Ok(match place.map(i64::try_from) {
            Some(Ok(place)) => {
                doc! { "$mergeObjects": [{ "$arrayElemAt": ["$items", place] }, fields] }.into()
            }
            _ => fields.into(),
        })
    };
    new.iter().map(item).collect()
}

fn to_bson(value: &impl Serialize) -> Result<Bson, Error> {
    bson::serialize_to_bson(value).map_err(Error::internal)
}

impl OrderDocument<'static> {
    /// Reads an order.
    ///
    /// # Errors
    /// The document, if it cannot be read.
    pub(super) fn read(document: RawDocumentBuf) -> Result<Order, Unreadable> {
        let unreadable = Unreadable::of(ORDERS, &document);
        let order: Self = Unreadable::or_read(ORDERS, document)?;
        order.into_order().map_err(|_| unreadable)
    }
}

/// Void on disk.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct VoidDocument {
    _id: bson::Uuid,
    status: String,
    tasks: Vec<TaskDocument<'static>>,
    version: i64,
    updated_at: bson::DateTime,
}

impl VoidDocument {
    /// Builds a void with the task to end its hold.
    pub(super) fn of(id: OrderId, now: bson::DateTime) -> Self {
        Self {
            _id: mongo::uuid(id),
            status: VOID.to_owned(),
            tasks: vec![TaskDocument::from(&RELEASE)],
            version: VOID_VERSION,
            updated_at: now,
        }
    }
}

/// Document stored under an order ID.
#[derive(Clone, Debug, PartialEq)]
pub enum Stored {
    /// Order.
    Order(Box<Order>),
    /// Void: there will never be an order with this ID.
    Void(Void),
}

/// Mark that no order was placed under an ID, and none will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Void {
    /// The voided ID.
    pub id: OrderId,
    /// Release of its hold, until that is done.
    pub tasks: Vec<Task>,
}

impl Void {
    /// Void of an ID whose hold is still to be released.
    pub(super) fn unreleased(id: OrderId) -> Self {
        Self { id, tasks: vec![RELEASE] }
    }
}

impl Stored {
    /// Reads an order or a void.
    ///
    /// # Errors
    /// The document, if it cannot be read.
    pub(super) fn read(document: RawDocumentBuf) -> Result<Self, Unreadable> {
        if value(&document, "status").and_then(RawBsonRef::as_str) != Some(VOID) {
            return OrderDocument::read(document).map(|order| Self::Order(Box::new(order)));
        }
        let unreadable = Unreadable::of(ORDERS, &document);
        let void: VoidDocument = Unreadable::or_read(ORDERS, document)?;
        let tasks: Result<_, _> = void.tasks.into_iter().map(Task::try_from).collect();
        let tasks = tasks.map_err(|_| unreadable)?;
        Ok(Self::Void(Void { id: mongo::id(void._id), tasks }))
    }
}
