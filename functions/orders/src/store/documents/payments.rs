//! Payments and refunds on disk.
//!
//! A build that knows no payments keeps the references in `payment` alone, and no events in the history. This build
//! writes that field, too. A change to `paid` without its payment is read as one of all that was due, and a change to
//! `refunded` without its refund as one of all that was left. So both builds may run at the same time. The upgrade
//! of an order and each change of its money store the entries.

use mongodb::bson::{self, Document, doc};
use serde::{Deserialize, Serialize};
use shared::http::idempotency::RequestFingerprint;
use shared::mongo::{self, json_schema};
use shared::values::clock::Timestamp;
use shared::values::ids::{OrderId, PaymentId, RefundId, UserId};
use shared::values::text::Reason;

use super::parts::{ItemQuantityDocument, item_quantity_rule};
use crate::limits::{MAX_ITEMS, MAX_PAYMENTS, MAX_REFUNDS, Provider, Reference};
use crate::order::{Change, HistoryEntry, ItemQuantity, Order, Payment, References, Refund};
use crate::status::Status;

/// References that a build without payments reads and writes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct ReferencesDocument {
    reference: Option<String>,
    method: Option<String>,
    refund_reference: Option<String>,
}

/// Payment on disk.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PaymentDocument {
    id: bson::Uuid,
    /// Minor units.
    amount: i64,
    reference: String,
    method: Option<String>,
    provider: Option<String>,
    created_at: bson::DateTime,
    by: Option<bson::Uuid>,
    /// SHA-256 of the request, if it had an idempotency key.
    request: Option<bson::Binary>,
    /// Reference and provider, for the unique index. A payment from before has its order instead of a provider:
    /// nothing kept their references apart.
    unique: String,
}

/// Refund on disk.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RefundDocument {
    id: bson::Uuid,
    /// Minor units.
    amount: i64,
    items: Vec<ItemQuantityDocument>,
    shipping: bool,
    reason: Option<String>,
    reference: Option<String>,
    payment_id: Option<bson::Uuid>,
    /// Absent without one, as builds leave it that know no returns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    return_id: Option<bson::Uuid>,
    created_at: bson::DateTime,
    by: Option<bson::Uuid>,
    request: Option<bson::Binary>,
}

/// Rules for the fields of an order that are about money.
pub(super) fn rules() -> [(&'static str, Document); 2] {
    let request = || json_schema::or_null(json_schema::bytes());
    let short = || json_schema::or_null(json_schema::text(Reference::MAX));
    let by = || json_schema::or_null(json_schema::bytes());
    let payment = json_schema::document(
        &[
            ("id", json_schema::bytes()),
            ("amount", json_schema::whole(0)),
            ("reference", json_schema::text(Reference::MAX)),
            ("created_at", json_schema::date()),
            ("unique", json_schema::string()),
        ],
        &[
            ("method", short()),
            ("provider", json_schema::or_null(json_schema::text(Provider::MAX))),
            ("by", by()),
            ("request", request()),
        ],
    );
    let refund = json_schema::document(
        &[
            ("id", json_schema::bytes()),
            ("amount", json_schema::whole(0)),
            ("items", json_schema::list(0, MAX_ITEMS, item_quantity_rule())),
            ("shipping", json_schema::boolean()),
            ("created_at", json_schema::date()),
        ],
        &[
            ("reason", json_schema::or_null(json_schema::text(Reason::MAX))),
            ("reference", short()),
            ("payment_id", json_schema::or_null(json_schema::bytes())),
            ("return_id", json_schema::bytes()),
            ("by", by()),
            ("request", request()),
        ],
    );
    [
        ("payments", json_schema::list(0, MAX_PAYMENTS, payment)),
        ("refunds", json_schema::list(0, MAX_REFUNDS, refund)),
    ]
}

/// Rule for the references.
pub(super) fn references_rule() -> Document {
    let short = || json_schema::or_null(json_schema::text(Reference::MAX));
    json_schema::document(&[], &[("reference", short()), ("method", short()), ("refund_reference", short())])
}

/// Condition on the unique index: some payment has this reference, or one that goes on with a slash.
pub(in crate::store) fn starts_with_reference(reference: &str) -> Document {
    let mut pattern = String::from("^");
    for character in reference.chars() {
        if character.is_ascii_punctuation() {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('/');
    doc! { "payments.unique": { "$regex": pattern } }
}

impl ReferencesDocument {
    /// References of the latest payment and the latest refund.
    pub(super) fn of(order: &Order) -> Self {
        let References { reference, method, refund_reference } = order.references();
        Self { reference, method, refund_reference }
    }

    /// Adds the payment and the refund of a build that knows none.
    pub(super) fn add_missing(self, order: &mut Order) {
        let Self { reference, method, refund_reference } = self;
        if let Some(reference) = reference
            && let Some((created_at, by)) = without_money(&order.history, Status::Paid)
            && !order.payments.iter().any(|payment| payment.id.uuid() == order.id.uuid())
        {
            let amount = order.total().saturating_sub(order.totals().paid).max(0);
            order.payments.push(Payment {
                id: PaymentId::from_uuid(order.id.uuid()),
                amount,
                reference,
                method,
                provider: None,
                created_at,
                by,
                request: None,
            });
        }
        if let Some(reference) = refund_reference
            && let Some((created_at, by)) = without_money(&order.history, Status::Refunded)
            && !order.refunds.iter().any(|refund| refund.id.uuid() == order.id.uuid())
        {
            order.refunds.push(Refund {
                id: RefundId::from_uuid(order.id.uuid()),
                amount: order.totals().refundable(),
                items: Vec::new(),
                shipping: false,
                reason: None,
                reference: Some(reference),
                payment_id: None,
                return_id: None,
                created_at,
                by,
                request: None,
            });
        }
    }
}

/// Time and user of the change to a status that has no entry of its money just before it. One by the system follows
/// from the sums, and needs none.
fn without_money(history: &[HistoryEntry], status: Status) -> Option<(Timestamp, Option<UserId>)> {
    let place = history.iter().position(|entry| entry.to() == Some(status) && entry.by.is_some())?;
    let before = place.checked_sub(1).and_then(|place| history.get(place));
    let has_money =
        before.is_some_and(|entry| matches!(entry.change, Change::Payment(_) | Change::Refund(_)));
    let entry = history.get(place).filter(|_| !has_money)?;
    Some((entry.at, entry.by))
}

impl PaymentDocument {
    /// Reference and provider, for the unique index.
    pub(super) fn unique(order: &Order, payment: &Payment) -> String {
        Self::of(order.id, payment).unique
    }

    pub(super) fn of(order: OrderId, payment: &Payment) -> Self {
        let from_before = payment.id.uuid() == order.uuid();
        let unique = match payment.provider.as_deref() {
            // No provider has this character.
            _ if from_before => format!("{}/#{order}", payment.reference),
            provider => format!("{}/{}", payment.reference, provider.unwrap_or_default()),
        };
        Self {
            id: mongo::uuid(payment.id),
            amount: payment.amount,
            reference: payment.reference.clone(),
            method: payment.method.clone(),
            provider: payment.provider.clone(),
            created_at: mongo::date(payment.created_at),
            by: payment.by.map(mongo::uuid),
            request: payment.request.map(|request| mongo::binary(request.as_bytes())),
            unique,
        }
    }
}

impl From<PaymentDocument> for Payment {
    fn from(document: PaymentDocument) -> Self {
        Self {
            id: mongo::id(document.id),
            amount: document.amount,
            reference: document.reference,
            method: document.method,
            provider: document.provider,
            created_at: mongo::timestamp(document.created_at),
            by: document.by.map(mongo::id),
            request: document.request.map(|request| RequestFingerprint::from_stored(&request.bytes)),
        }
    }
}

impl From<&Refund> for RefundDocument {
    fn from(refund: &Refund) -> Self {
        Self {
            id: mongo::uuid(refund.id),
            amount: refund.amount,
            items: refund.items.iter().copied().map(ItemQuantityDocument::from).collect(),
            shipping: refund.shipping,
            reason: refund.reason.clone(),
            reference: refund.reference.clone(),
            payment_id: refund.payment_id.map(mongo::uuid),
            return_id: refund.return_id.map(mongo::uuid),
            created_at: mongo::date(refund.created_at),
            by: refund.by.map(mongo::uuid),
            request: refund.request.map(|request| mongo::binary(request.as_bytes())),
        }
    }
}

impl From<RefundDocument> for Refund {
    fn from(document: RefundDocument) -> Self {
        Self {
            id: mongo::id(document.id),
            amount: document.amount,
            items: document.items.into_iter().map(ItemQuantity::from).collect(),
            shipping: document.shipping,
            reason: document.reason,
            reference: document.reference,
            payment_id: document.payment_id.map(mongo::id),
            return_id: document.return_id.map(mongo::id),
            created_at: mongo::timestamp(document.created_at),
            by: document.by.map(mongo::id),
            request: document.request.map(|request| RequestFingerprint::from_stored(&request.bytes)),
        }
    }
}
