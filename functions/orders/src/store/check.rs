//! Orders as the consistency check reads them: without their texts, so that a part of the fattest orders is
//! small.

use std::collections::HashSet;

use futures::TryStreamExt as _;
use mongodb::bson::{self, Document, RawDocumentBuf, doc};
use serde::Deserialize;
use shared::error::Error;
use shared::mongo::unreadable::Unreadable;
use shared::mongo::{self, json_schema};
use shared::values::clock::Timestamp;
use shared::values::ids::{OrderId, ProductId};
use shared::values::money::Currency;

use super::documents::{self, OrderDocument, TaskDocument};
use super::{ORDERS, OrderStore, VOID, id_of, with_ids};
use crate::entry_id;
use crate::order::{Counters, FulfillmentStatus, ItemQuantity, ReturnItem, ReturnStatus, Tally, Task, share};
use crate::status::Status;

/// Order as far as its stock is concerned.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedOrder {
    /// Order ID.
    pub id: OrderId,
    /// Status of the order.
    pub status: Status,
    /// Items with their counters.
    pub items: Vec<CheckedItem>,
    /// Pending stock tasks, oldest first.
    pub tasks: Vec<Task>,
    /// True during a change of items.
    pub changing: bool,
    /// Version of the order.
    pub version: i64,
    /// Stored total, in minor units.
    pub total: i64,
    /// Sum of items and shipping, in minor units.
    pub sum: i64,
    /// Amount to be paid in minor units: the stored total without the cancelled units.
    pub payable: i64,
    /// Sum of all payments, in minor units.
    pub paid: i64,
    /// Sum of all refunds, in minor units.
    pub refunded: i64,
    /// Time of the last decision.
    pub updated_at: Timestamp,
}

/// Item of an order as far as its stock is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedItem {
    /// Product ID.
    pub product_id: ProductId,
    /// Ordered units.
    pub quantity: i64,
    /// Ordered units by what became of them.
    pub counters: Counters,
}

impl CheckedItem {
    /// Units that are neither cancelled nor shipped.
    pub fn left(&self) -> i64 {
        self.counters.left(self.quantity)
    }
}

/// All fields of an order that are no texts.
#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "some are read only to see whether they can be")]
struct CheckedOrderDocument {
    _id: bson::Uuid,
    user_id: bson::Uuid,
    status: String,
    items: Vec<CheckedItemDocument>,
    currency: String,
    total: i64,
    history: Vec<CheckedChangeDocument>,
    tasks: Vec<TaskDocument<'static>>,
    #[serde(default)]
    changing: bool,
    placed_under: Option<CheckedKeyDocument>,
    #[serde(default)]
    payments: Vec<CheckedAmountDocument>,
    #[serde(default)]
    refunds: Vec<CheckedRefundDocument>,
    #[serde(default)]
    fulfillments: Vec<CheckedFulfillmentDocument>,
    #[serde(default)]
    cancellations: Vec<CheckedCancellationDocument>,
    #[serde(default)]
    returns: Vec<CheckedReturnDocument>,
    #[serde(default)]
    shipping: Option<CheckedShippingDocument>,
    expires_at: Option<bson::DateTime>,
    version: i64,
    created_at: bson::DateTime,
    updated_at: bson::DateTime,
}

#[derive(Debug, Deserialize)]
struct CheckedItemDocument {
    product_id: bson::Uuid,
    unit_price: i64,
    quantity: i64,
    #[serde(default)]
    discounts: Vec<CheckedAmountDocument>,
    #[serde(default)]
    taxes: Vec<CheckedTaxDocument>,
}

#[derive(Debug, Deserialize)]
struct CheckedShippingDocument {
    amount: i64,
    taxes: Vec<CheckedTaxDocument>,
}

#[derive(Debug, Deserialize)]
struct CheckedTaxDocument {
    amount: i64,
    included: bool,
}

#[derive(Debug, Deserialize)]
struct CheckedRefundDocument {
    amount: i64,
    items: Vec<CheckedUnitsDocument>,
}

#[derive(Debug, Deserialize)]
struct CheckedFulfillmentDocument {
    status: String,
    items: Vec<CheckedUnitsDocument>,
}

#[derive(Debug, Deserialize)]
struct CheckedCancellationDocument {
    items: Vec<CheckedUnitsDocument>,
}

#[derive(Debug, Deserialize)]
struct CheckedReturnDocument {
    status: String,
    items: Vec<CheckedReturnItemDocument>,
}

#[derive(Debug, Deserialize)]
struct CheckedReturnItemDocument {
    id: bson::Uuid,
    quantity: i64,
    received: i64,
    restocked: i64,
}

#[derive(Debug, Deserialize)]
struct CheckedUnitsDocument {
    id: bson::Uuid,
    quantity: i64,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "as in CheckedOrderDocument")]
struct CheckedChangeDocument {
    at: bson::DateTime,
    from: Option<String>,
    to: String,
    by: Option<bson::Uuid>,
}

#[derive(Debug, Deserialize)]
struct CheckedAmountDocument {
    amount: i64,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "as in CheckedOrderDocument")]
struct CheckedKeyDocument {
    caller: bson::Uuid,
    fingerprint: bson::Binary,
}

/// Projection to the fields of [`CheckedOrderDocument`].
fn without_texts() -> Document {
    doc! {
        "user_id": 1, "status": 1, "items.product_id": 1, "items.unit_price": 1, "items.quantity": 1,
        "items.discounts.amount": 1, "items.taxes.amount": 1, "items.taxes.included": 1,
        "shipping.amount": 1, "shipping.taxes.amount": 1, "shipping.taxes.included": 1,
        "currency": 1, "total": 1, "history.at": 1, "history.from": 1, "history.to": 1, "history.by": 1, "tasks": 1, "changing": 1,
        "payments.amount": 1, "refunds.amount": 1, "refunds.items": 1, "fulfillments.status": 1,
        "fulfillments.items": 1, "cancellations.items": 1, "returns.status": 1, "returns.items.id": 1,
        "returns.items.quantity": 1, "returns.items.received": 1, "returns.items.restocked": 1, "placed_under.caller": 1,
        "placed_under.fingerprint": 1, "expires_at": 1, "version": 1, "created_at": 1, "updated_at": 1,
    }
}

fn read(document: RawDocumentBuf) -> Result<CheckedOrder, Unreadable> {
    let unreadable = Unreadable::of(ORDERS, &document);
    let mut order: CheckedOrderDocument = Unreadable::or_read(ORDERS, document)?;
    let mut names = order.history.iter().flat_map(|change| change.from.iter().chain([&change.to]));
    let are_names = names.all(|name| Status::from_stored(name).is_ok());
    let status = Status::from_stored(&order.status);
    let tasks: Result<_, _> = std::mem::take(&mut order.tasks).into_iter().map(Task::try_from).collect();
    let (true, Ok(status), Ok(tasks), Ok(_)) =
        (are_names, status, tasks, Currency::from_stored(&order.currency))
    else {
        return Err(unreadable);
    };
    let Ok(items) = items(&order) else { return Err(unreadable) };
    let cancelled = sum(items.iter().zip(&order.items).map(|(item, document)| {
        share(document.total(), item.quantity, item.counters.cancelled.min(item.quantity))
    }));
    Ok(CheckedOrder {
        id: mongo::id(order._id),
        total: order.total,
        sum: sum_of(&order.items, order.shipping.as_ref()),
        payable: order.total.saturating_sub(cancelled),
        status,
        items,
        tasks,
        changing: order.changing,
        version: order.version,
        paid: sum(order.payments.iter().map(|payment| payment.amount)),
        refunded: sum(order.refunds.iter().map(|refund| refund.amount)),
        updated_at: mongo::timestamp(order.updated_at),
    })
}

fn sum(amounts: impl Iterator<Item = i64>) -> i64 {
    amounts.fold(0, i64::saturating_add)
}

/// Sum of items and shipping.
fn sum_of(items: &[CheckedItemDocument], shipping: Option<&CheckedShippingDocument>) -> i64 {
    let shipping = shipping.map(|shipping| shipping.amount.saturating_add(taxes(&shipping.taxes)));
    sum(items.iter().map(CheckedItemDocument::total).chain(shipping))
}

/// Sum of the taxes that prices do not include.
fn taxes(taxes: &[CheckedTaxDocument]) -> i64 {
    sum(taxes.iter().filter(|tax| !tax.included).map(|tax| tax.amount))
}

impl CheckedItemDocument {
    /// Price less discounts, with the taxes that it does not include.
    fn total(&self) -> i64 {
        let discounts = sum(self.discounts.iter().map(|discount| discount.amount));
        let price = self.unit_price.saturating_mul(self.quantity);
        price.saturating_sub(discounts).saturating_add(taxes(&self.taxes))
    }
}

impl CheckedOrderDocument {
    /// True if any entry names items.
    fn has_entries(&self) -> bool {
        let has_parts =
            !(self.fulfillments.is_empty() && self.cancellations.is_empty() && self.returns.is_empty());
        has_parts || self.refunds.iter().any(|refund| !refund.items.is_empty())
    }

    /// True if the order was cancelled, as the order itself has it.
    fn is_cancelled(&self) -> bool {
        let is = |status: Status| self.status == status.name();
        is(Status::Cancelled) || (is(Status::Refunded) && self.was(Status::Cancelled))
    }

    /// True if the status of the order ever changed to this one.
    fn was(&self, status: Status) -> bool {
        self.history.iter().any(|change| change.to == status.name())
    }

    /// Counters of the items.
    fn tally(&self) -> Result<Tally, String> {
        let mut tally = Tally::default();
        self.cancellations.iter().flat_map(|it| &it.items).for_each(|of| tally.cancel(of.units()));
        self.refunds.iter().flat_map(|it| &it.items).for_each(|of| tally.refund(of.units()));
        for it in &self.fulfillments {
            if FulfillmentStatus::from_stored(&it.status)? != FulfillmentStatus::Cancelled {
                it.items.iter().for_each(|of| tally.ship(of.units()));
            }
        }
        for it in &self.returns {
            let status = ReturnStatus::from_stored(&it.status)?;
            for of in &it.items {
                let CheckedReturnItemDocument { id, quantity, received, restocked } = *of;
                let item = ReturnItem { id: mongo::id(id), quantity, reason: None, received, restocked };
                tally.take_back(status, &item);
            }
        }
        Ok(tally)
    }
}

impl CheckedUnitsDocument {
    fn units(&self) -> ItemQuantity {
        ItemQuantity { id: mongo::id(self.id), quantity: self.quantity }
    }
}

/// Items with their counters. An order that an older build shipped has all of its units in one fulfillment, and in one
/// return if it was returned.
fn items(order: &CheckedOrderDocument) -> Result<Vec<CheckedItem>, String> {
    // Most orders have no entries, and an ID is a hash.
    let tally = if order.has_entries() { Some(order.tally()?) } else { None };
    let id: OrderId = mongo::id(order._id);
    let from_before = order.fulfillments.is_empty() && order.was(Status::Shipped);
    let came_back = from_before && order.returns.is_empty() && order.was(Status::Returned);
    let is_cancelled = order.is_cancelled();
    let item = |item: &CheckedItemDocument| {
        let product_id: ProductId = mongo::id(item.product_id);
        let quantity = item.quantity;
        let counters = tally.as_ref().map(|tally| tally.counters(entry_id::of_item(id, product_id)));
        let mut counters = counters.unwrap_or_default();
        if from_before {
            counters.shipped = quantity;
        }
        if came_back {
            counters.returned = quantity;
        }
        if is_cancelled {
            counters.cancel_all(quantity);
        }
        CheckedItem { product_id, quantity, counters }
    };
    Ok(order.items.iter().map(item).collect())
}

impl OrderStore {
    /// Reads up to `limit` orders after this one, sorted by ID. An unreadable one gives an error in its
    /// place.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn list_for_check(
        &self,
        after: OrderId,
        limit: i64,
    ) -> Result<Vec<(OrderId, Result<CheckedOrder, Unreadable>)>, Error> {
        let end = OrderId::from_uuid(uuid::Uuid::max());
        let stored = self.stored();
        let found = stored.find(between(after, end)).sort(doc! { "_id": 1 }).limit(limit);
        let found: Vec<RawDocumentBuf> = found.projection(without_texts()).await?.try_collect().await?;
        let Some(last) = found.last().map(id_of).transpose()? else { return Ok(Vec::new()) };
        let unreadable = self.unreadable_between(after, last).await?;
        let row = |document: RawDocumentBuf| {
            let id = id_of(&document)?;
            let bad = || Unreadable::of(ORDERS, &document);
            let row = if unreadable.contains(&id) { Err(bad()) } else { read(document.clone()) };
            Ok((id, row))
        };
        found.into_iter().map(row).collect()
    }

    /// Finds the orders in a range of IDs that cannot be read. MongoDB names those whose types do not fit; they
    /// are few, and are read whole, one after the other.
    async fn unreadable_between(&self, after: OrderId, last: OrderId) -> Result<HashSet<OrderId>, Error> {
        let mut filter = between(after, last);
        filter.insert("$nor", vec![doc! { "$jsonSchema": json_schema::types(&documents::order_rule()) }]);
        let mut found = self.stored().find(filter).batch_size(1).await?;
        let mut unreadable = HashSet::new();
        while let Some(document) = found.try_next().await? {
            let id = id_of(&document)?;
            if OrderDocument::read(document).is_err() {
                unreadable.insert(id);
            }
        }
        Ok(unreadable)
    }

    /// Reads those of these IDs that are orders. An unreadable one gives an error in its place.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn find_for_check(
        &self,
        ids: &[OrderId],
    ) -> Result<Vec<(OrderId, Result<CheckedOrder, Unreadable>)>, Error> {
        let mut filter = with_ids(ids);
        filter.insert("status", doc! { "$ne": VOID });
        let mut found = self.stored().find(filter).projection(without_texts()).await?;
        let mut orders = Vec::new();
        while let Some(document) = found.try_next().await? {
            orders.push((id_of(&document)?, read(document)));
        }
        Ok(orders)
    }
}

fn between(after: OrderId, last: OrderId) -> Document {
    let ids = doc! { "$gt": mongo::uuid(after), "$lte": mongo::uuid(last) };
    doc! { "_id": ids, "status": { "$ne": VOID } }
}
