//! Fulfillments, cancellations and returns, also of orders that older builds have shipped.

use std::fmt::Debug;
use std::time::Duration;

use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};
use orders::order::{
    Counters, Decision, Fulfillment, FulfillmentChange, FulfillmentStatus, ItemQuantity, NewCancellation,
    NewFulfillment, NewRefund, NewReturn, NewReturnItem, Order, Origin, ReceivedItem, Recording, RefundOf,
    Return, ReturnChange, ReturnItem, ReturnStatus, Tracking, Transition,
};
use orders::store::{OrderStore, SCHEMA, Written};
use shared::error::{Error, Kind};
use shared::http::idempotency::RequestKey;
use shared::mongo::{self, Schema};
use shared::runtime::context::InvocationId;
use shared::values::ids::OrderId;

use crate::{NOW, apply_all, decide, listed, order, parcel, pay_as, ship, staff, store, stored};

/// Schema version of the last build that knows no parts.
const WITHOUT_PARTS: i32 = 11;

const WINDOW: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Items of an order by their places, with units.
type Units<'a> = &'a [(usize, i64)];

fn quantities(order: &Order, units: Units) -> Vec<ItemQuantity> {
    let of =
        |&(place, quantity): &(usize, i64)| ItemQuantity { id: order.item_id(&order.items[place]), quantity };
    units.iter().map(of).collect()
}

/// Calls `record` as staff, with a key of its own.
fn recorded<T: Debug>(record: impl FnOnce(Origin) -> Result<Recording<T>, Error>) -> Decision {
    let key = RequestKey::of_invocation(InvocationId::new());
    match record(Origin { caller: staff(), key: &key, now: NOW }).unwrap() {
        Recording::New(decision, _) => *decision,
        other => panic!("{other:?}"),
    }
}

/// Decides as staff about shipping these units, or all that are left.
pub(crate) fn fulfills(order: &Order, units: Option<Units>, number: &str) -> Decision {
    let items = units.map(|units| quantities(order, units));
    let new = NewFulfillment { items, tracking: Some(parcel(number)) };
    recorded(|origin| order.clone().record_fulfillment(new, origin))
}

fn cancels(order: &Order, units: Units) -> Decision {
    let items = Some(quantities(order, units));
    let new = NewCancellation { items, reason: Some("$not wanted".to_owned()) };
    recorded(|origin| order.clone().record_cancellation(new, origin))
}

fn returns(order: &Order, units: Units) -> Decision {
    let item =
        |of: ItemQuantity| NewReturnItem { id: of.id, quantity: of.quantity, reason: Some("$ne".to_owned()) };
    let items = quantities(order, units).into_iter().map(item).collect();
    let new = NewReturn { items, reason: Some("too small".to_owned()) };
    recorded(|origin| order.clone().record_return(new, WINDOW, origin))
}

/// Receives the return in this place: all units, of which one is restocked.
fn receives(order: &Order, place: usize) -> Decision {
    let there = &order.returns[place];
    let item = |item: &ReturnItem| ReceivedItem { id: item.id, received: item.quantity, restocked: 1 };
    let items = Some(there.items.iter().map(item).collect());
    let change = ReturnChange { status: ReturnStatus::Received, items, reason: None };
    let (_, decision) = order.clone().change_return(there.id, &change, staff(), NOW).unwrap();
    decision.unwrap()
}

/// Changes status or tracking of the fulfillment in this place.
fn changes(
    order: &Order,
    place: usize,
    status: Option<FulfillmentStatus>,
    tracking: Option<Tracking>,
) -> Decision {
    let id = order.fulfillments[place].id;
    let change = FulfillmentChange { status, tracking };
    let (_, decision) = order.clone().change_fulfillment(id, &change, staff(), NOW).unwrap();
    decision.unwrap()
}

/// Writes a decision, and reads the order: it is as decided.
async fn written(store: &OrderStore, before: &Order, decision: Decision) -> Order {
    assert_eq!(store.write(before, &decision).await.unwrap(), Written::Done);
    let found = store.find(before.id).await.unwrap().unwrap();
    assert_eq!(found, decision.order);
    found
}

/// An order that is paid.
async fn paid(store: &OrderStore, number: u64) -> Order {
    let order = order(number);
    store.insert(&order).await.unwrap();
    apply_all(store, order, vec![pay_as(&format!("pi-{number}"))]).await
}

#[tokio::test]
async fn parts_are_read_as_they_were_decided() {
    let (database, store) = store().await;
    let order = paid(&store, 7).await;
    assert!(!stored(&database, order.id).await.contains_key("fulfillments"));
    let order = written(&store, &order, fulfills(&order, Some(&[(0, 2)]), "A")).await;
    let order = written(&store, &order, cancels(&order, &[(0, 1), (1, 9_000)])).await;
    let order = written(&store, &order, fulfills(&order, Some(&[(0, 1)]), "B")).await;
    let cancelled = Some(FulfillmentStatus::Cancelled);
    let order = written(&store, &order, changes(&order, 1, cancelled, None)).await;
    let url = Some("https://example.com/A".to_owned());
    let corrected = Tracking { url, ..parcel("A-2") };
    let order = written(&store, &order, changes(&order, 0, None, Some(corrected))).await;
    let of_order = stored(&database, order.id).await.get_document("tracking").unwrap().clone();
    assert_eq!(of_order, doc! { "carrier": "DHL", "number": "A-2", "url": "https://example.com/A" });
    let order = written(&store, &order, fulfills(&order, None, "C")).await;
    let order = written(&store, &order, decide(&order, Some(Transition::Deliver), None)).await;
    let order = written(&store, &order, returns(&order, &[(0, 2), (1, 1)])).await;
    let order = written(&store, &order, receives(&order, 0)).await;
    let refund = NewRefund {
        of: RefundOf::Return,
        reason: None,
        reference: None,
        payment_id: None,
        return_id: Some(order.returns[0].id),
    };
    let refund = recorded(|origin| order.clone().record_refund(refund, origin));
    let order = written(&store, &order, refund).await;
    assert_eq!(order.refunds[0].return_id, Some(order.returns[0].id));
    let order = written(&store, &order, decide(&order, None, Some("done"))).await;
    let checked = store.find_for_check(&[order.id]).await.unwrap();
    let [(_, Ok(checked))] = &checked[..] else { panic!("{checked:?}") };
    let counters: Vec<Counters> = checked.items.iter().map(|item| item.counters).collect();
    assert_eq!((counters, checked.payable), (order.counters(), order.totals().payable()));
}

#[tokio::test]
async fn fields_of_a_newer_build_stay_in_parts_that_change() {
    let (database, store) = store().await;
    let order = paid(&store, 7).await;
    let order = written(&store, &order, cancels(&order, &[(1, 1)])).await;
    let order = written(&store, &order, fulfills(&order, None, "A")).await;
    let order = written(&store, &order, returns(&order, &[(0, 2), (1, 3)])).await;
    let places = [
        "cancellations.0",
        "cancellations.0.items.0",
        "fulfillments.0",
        "fulfillments.0.tracking",
        "fulfillments.0.items.1",
        "returns.0",
        "returns.0.items.0",
        "returns.0.items.1",
        "tracking",
    ];
    let later: Document = places.iter().map(|place| (format!("{place}.later"), Bson::from("$x"))).collect();
    let this = doc! { "_id": mongo::uuid(order.id) };
    let orders = database.collection::<Document>("orders");
    orders.update_one(this.clone(), doc! { "$set": later.clone() }).await.unwrap();
    let order = written(&store, &order, changes(&order, 0, None, Some(parcel("B")))).await;
    let order = written(&store, &order, receives(&order, 0)).await;
    written(&store, &order, returns(&order, &[(0, 1)])).await;
    let mut kept = this;
    kept.extend(later);
    // A number in a path is a place in a list.
    assert_eq!(orders.count_documents(kept).await.unwrap(), 1);
}

/// Makes the document of an order what a build without parts leaves.
async fn forget_parts(database: &Database, order: OrderId) {
    let of_parts = ["fulfillment", "cancellation", "return"];
    let event = doc! { "$ifNull": ["$$this.event", "status"] };
    let is_known = doc! { "$not": [{ "$in": [event, of_parts.to_vec()] }] };
    let history = doc! { "$filter": { "input": "$history", "cond": is_known } };
    let forget = vec![
        doc! { "$unset": ["fulfillments", "cancellations", "returns", "tracking.url"] },
        doc! { "$set": { "history": history, "tasks": [], "writer": { "$literal": WITHOUT_PARTS } } },
    ];
    let orders = database.collection::<Document>("orders");
    orders.update_one(doc! { "_id": mongo::uuid(order) }, forget).await.unwrap();
}

/// Order that an older build has shipped, and changed further.
async fn from_before(
    database: &Database,
    store: &OrderStore,
    number: u64,
    further: Vec<Option<Transition>>,
) -> (Order, Order) {
    let order = paid(store, number).await;
    let order = apply_all(store, order, vec![ship()]).await;
    let order = apply_all(store, order, further).await;
    forget_parts(database, order.id).await;
    let found = store.find(order.id).await.unwrap().unwrap();
    (order, found)
}

#[tokio::test]
async fn an_order_shipped_by_an_older_build_has_one_fulfillment() {
    let (database, store) = store().await;
    let deliver = || Some(Transition::Deliver);
    let (order, found) = from_before(&database, &store, 7, vec![deliver()]).await;
    let all: Vec<(usize, i64)> =
        order.items.iter().enumerate().map(|(place, item)| (place, item.quantity)).collect();
    let [fulfillment] = &found.fulfillments[..] else { panic!("{found:?}") };
    let Fulfillment { shipped_at, delivered_at, by, .. } = order.fulfillments[0].clone();
    assert_eq!(fulfillment.id.uuid(), order.id.uuid());
    assert_eq!(fulfillment.items, quantities(&order, &all));
    assert_eq!(fulfillment.tracking, Some(parcel("1")));
    assert_eq!(fulfillment.status, FulfillmentStatus::Delivered);
    assert_eq!(
        (fulfillment.shipped_at, fulfillment.delivered_at, fulfillment.by),
        (shipped_at, delivered_at, by)
    );
    assert_eq!((&found.returns[..], found.status), (&[][..], order.status));

    let returned = vec![deliver(), Some(Transition::Return { restock: true })];
    let (order, found) = from_before(&database, &store, 8, returned).await;
    let [of_all] = &found.returns[..] else { panic!("{found:?}") };
    assert_eq!((of_all.id.uuid(), of_all.status), (order.id.uuid(), ReturnStatus::Received));
    let units: Vec<(i64, i64)> = of_all.items.iter().map(|item| (item.received, item.restocked)).collect();
    assert_eq!(units, [(7, 0), (10_000, 0)]);
    let Return { requested_at, received_at, by, .. } = order.returns[0].clone();
    assert_eq!((of_all.requested_at, of_all.received_at, of_all.by), (requested_at, received_at, by));
    // The check counts the same.
    let checked = store.find_for_check(&[order.id]).await.unwrap();
    let [(_, Ok(checked))] = &checked[..] else { panic!("{checked:?}") };
    let counters: Vec<Counters> = checked.items.iter().map(|item| item.counters).collect();
    assert_eq!(counters, found.counters());
}

#[tokio::test]
async fn the_first_change_of_parts_stores_those_of_an_older_build() {
    let (database, store) = store().await;
    let lists = async |order: OrderId| {
        let stored = stored(&database, order).await;
        ["fulfillments", "returns"].map(|list| stored.get_array(list).map_or(0, Vec::len))
    };
    // A change of anything else leaves it to older builds.
    let (_, found) = from_before(&database, &store, 7, Vec::new()).await;
    let found = written(&store, &found, decide(&found, None, Some("Knock"))).await;
    assert_eq!(lists(found.id).await, [0, 0]);
    assert_eq!(listed(&store, "tracking_number=1").await, [found.id]);
    let found = written(&store, &found, changes(&found, 0, None, Some(parcel("2")))).await;
    assert_eq!(lists(found.id).await, [1, 0]);
    assert_eq!(listed(&store, "tracking_number=2").await, [found.id]);
    let found = written(&store, &found, decide(&found, Some(Transition::Deliver), None)).await;

    // Fulfillments are stored with a return, and what a newer build has put into them stays.
    let (_, other) = from_before(&database, &store, 8, vec![Some(Transition::Deliver)]).await;
    let other = written(&store, &other, returns(&other, &[(0, 1)])).await;
    assert_eq!(lists(other.id).await, [1, 1]);
    let orders = database.collection::<Document>("orders");
    let this = doc! { "_id": mongo::uuid(other.id) };
    orders.update_one(this, doc! { "$set": { "fulfillments.0.later": 7 } }).await.unwrap();
    written(&store, &other, receives(&other, 0)).await;
    assert_eq!(orders.count_documents(doc! { "fulfillments.0.later": 7 }).await.unwrap(), 1);
    assert_eq!(lists(found.id).await, [1, 0]);
}

#[tokio::test]
async fn an_older_build_cannot_change_an_order_with_parts() {
    let (database, store) = store().await;
    let older = OrderStore::with_schema(&database, Schema { version: WITHOUT_PARTS, ..SCHEMA });
    let plain = paid(&older, 7).await;
    apply_all(&older, plain, vec![Some(Transition::Cancel)]).await;
    let shipped = paid(&store, 8).await;
    let shipped = written(&store, &shipped, fulfills(&shipped, Some(&[(0, 1)]), "A")).await;
    let fewer = paid(&store, 9).await;
    let fewer = written(&store, &fewer, cancels(&fewer, &[(0, 1)])).await;
    for order in [shipped, fewer] {
        older.write(&order, &decide(&order, None, Some("Knock"))).await.unwrap_err();
        older.finish(order.id, order.version, NOW).await.unwrap_err();
        assert_eq!(store.find(order.id).await.unwrap(), Some(order));
    }
    // One that an older build shipped is its own until the parts are stored.
    let (_, before) = from_before(&database, &store, 10, Vec::new()).await;
    written(&older, &before, decide(&before, None, Some("Knock"))).await;
}

#[tokio::test]
async fn parts_that_break_a_rule_are_not_stored() {
    let (database, store) = store().await;
    let order = paid(&store, 7).await;
    let order = written(&store, &order, cancels(&order, &[(1, 1)])).await;
    let order = written(&store, &order, fulfills(&order, None, "A")).await;
    let order = written(&store, &order, returns(&order, &[(0, 1)])).await;
    let orders = database.collection::<Document>("orders");
    let this = || doc! { "_id": mongo::uuid(order.id) };
    let newest = order.history.len() - 1;
    let subject = ["from", "to"].map(|status| format!("history.{newest}.subject_{status}"));
    for (field, value) in [
        ("fulfillments", Bson::from(7)),
        ("fulfillments.0.status", "lost".into()),
        ("fulfillments.0.items", Bson::Array(Vec::new())),
        ("fulfillments.0.items.0.quantity", 0_i64.into()),
        ("fulfillments.0.items.0.id", "item_1".into()),
        ("fulfillments.0.shipped_at", "today".into()),
        ("fulfillments.0.tracking.number", "x".repeat(101).into()),
        ("fulfillments.0.tracking.url", "x".repeat(2_001).into()),
        ("cancellations.0.reason", "x".repeat(501).into()),
        ("cancellations.0.created_at", Bson::Null),
        ("returns.0.status", "shipped".into()),
        ("returns.0.items.0.reason", "x".repeat(101).into()),
        ("returns.0.items.0.received", (-1_i64).into()),
        ("returns.0.received_at", 7.into()),
        ("tracking.url", 7.into()),
        ("tasks.0.before", doc! {}.into()),
        ("tasks.0.before", vec![doc! { "shipped": 1_i64, "restocked": 0_i64 }].into()),
        ("tasks.0.kind", "moves".into()),
        (subject[0].as_str(), Bson::Null),
        (subject[1].as_str(), "lost".into()),
    ] {
        let bad = doc! { "$set": { field: value } };
        let refused = orders.update_one(this(), bad).await.map_err(Error::from);
        assert_eq!(refused.unwrap_err().kind(), Kind::Internal, "{field}");
    }
    let whole =
        doc! { "$set": { "returns.0.items.0.received": 1_i64, "fulfillments.0.status": "delivered" } };
    orders.update_one(this(), whole).await.unwrap();
}

#[tokio::test]
async fn an_unreadable_part_keeps_no_other_order_from_a_list() {
    let (database, store) = store().await;
    let bad = paid(&store, 7).await;
    let bad = written(&store, &bad, fulfills(&bad, Some(&[(0, 1)]), "A")).await;
    let good = paid(&store, 8).await;
    let good = written(&store, &good, fulfills(&good, Some(&[(0, 1)]), "A")).await;
    let orders = database.collection::<Document>("orders");
    for (field, value) in [
        ("fulfillments.0.shipped_at", Bson::from("today")),
        ("fulfillments.0.items.0.id", 7.into()),
        ("fulfillments.0.tracking", "A".into()),
        ("fulfillments", "none".into()),
    ] {
        let damage = doc! { "$set": { field: value } };
        let this = doc! { "_id": mongo::uuid(bad.id) };
        orders.update_one(this, damage).bypass_document_validation(true).await.unwrap();
        for query in ["", "tracking_number=A", "status=paid&sort=total"] {
            assert_eq!(listed(&store, query).await, [good.id], "{field} {query}");
        }
        assert_eq!(store.find(bad.id).await.unwrap_err().kind(), Kind::Internal, "{field}");
        let checked = store.list_for_check(OrderId::from_uuid(uuid::Uuid::nil()), 10).await.unwrap();
        let unreadable: Vec<OrderId> =
            checked.iter().filter(|(_, order)| order.is_err()).map(|(id, _)| *id).collect();
        assert_eq!((checked.len(), unreadable), (2, vec![bad.id]), "{field}");
    }
}
