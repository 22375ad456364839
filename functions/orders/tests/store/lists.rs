//! Lists of orders, and lookups.

use futures::TryStreamExt as _;
use mongodb::bson::{Document, doc};
use orders::listing::Listing;
use orders::order::{FulfillmentChange, FulfillmentStatus, Order};
use orders::status::Status;
use orders::store::Written;
use shared::input::page::PageRequest;
use shared::mongo;
use shared::values::clock::Timestamp;
use shared::values::ids::UserId;

use crate::parts::fulfills;
use crate::{NOW, apply_all, listed, order, order_at, pay, pay_as, ship, staff, store};

#[tokio::test]
async fn orders_are_listed_newest_first_with_ties_by_id() {
    let (_, store) = store().await;
    let (ada, bob) = (UserId::new(), UserId::new());
    let mut orders = Vec::new();
    for number in 0..6 {
        let user = if number % 2 == 0 { ada } else { bob };
        // Three orders each share a millisecond.
        let at = Timestamp::from_millis(NOW.millis() + i64::try_from(number / 3).unwrap());
        let order = order_at(number, user, at);
        store.insert(&order).await.unwrap();
        orders.push(order);
    }
    orders.sort_by_key(|order| std::cmp::Reverse((order.created_at, order.id)));
    let page = PageRequest::new(Some(3), None).unwrap();
    let everything = PageRequest::new(Some(100), None).unwrap();
    let all = Listing::default();
    let found = store.list(&all, None, &everything, None).await.unwrap();
    assert_eq!((&found.data, found.next), (&orders, None));
    let found = store.list(&all, None, &page, None).await.unwrap();
    let third = |order: &Order| shared::input::page::Position {
        value: shared::input::page::SortValue::Time(order.created_at),
        id: order.id.uuid(),
    };
    assert_eq!((&found.data[..], found.next), (&orders[..3], Some(third(&orders[2]))));
    for (place, order) in orders.iter().enumerate() {
        let rest = store.list(&all, None, &everything, Some(&third(order))).await.unwrap();
        assert_eq!(rest.data, orders[place + 1..]);
    }
    let hers = Listing { statuses: vec![Status::Placed], ..Listing::default() };
    assert_eq!(store.list(&hers, Some(ada), &everything, None).await.unwrap().data.len(), 3);
    let hers = Listing { statuses: vec![Status::Paid], ..Listing::default() };
    assert_eq!(store.list(&hers, Some(ada), &everything, None).await.unwrap().data, []);
}

#[tokio::test]
async fn an_order_is_found_by_the_number_of_any_of_its_parcels() {
    let (database, store) = store().await;
    let orders = database.collection::<Document>("orders");
    for number in 100..120 {
        store.insert(&order(number)).await.unwrap();
    }
    let (mut order, other) = (order(7), order(8));
    store.insert(&order).await.unwrap();
    order = apply_all(&store, order, vec![pay()]).await;
    for number in ["A", "B"] {
        let decision = fulfills(&order, Some(&[(0, 1)]), number);
        assert_eq!(store.write(&order, &decision).await.unwrap(), Written::Done);
        order = decision.order;
    }
    for number in ["A", "B"] {
        assert_eq!(listed(&store, &format!("tracking_number={number}")).await, [order.id], "{number}");
    }
    // The parcel of a cancelled fulfillment is one of them.
    let change = FulfillmentChange { status: Some(FulfillmentStatus::Cancelled), tracking: None };
    let last = order.fulfillments[1].id;
    let (_, decision) = order.clone().change_fulfillment(last, &change, staff(), NOW).unwrap();
    let decision = decision.unwrap();
    assert_eq!(store.write(&order, &decision).await.unwrap(), Written::Done);
    assert_eq!(listed(&store, "tracking_number=B").await, [order.id]);
    // As an older build leaves it: the number of the order alone.
    store.insert(&other).await.unwrap();
    apply_all(&store, other.clone(), vec![pay_as("pi-8"), ship()]).await;
    let older = doc! { "$unset": { "fulfillments": "" } };
    orders.update_one(doc! { "_id": mongo::uuid(other.id) }, older).await.unwrap();
    assert_eq!(listed(&store, "tracking_number=1").await, [other.id]);
    assert_eq!(listed(&store, "tracking_number=1&status=shipped&sort=total").await, [other.id]);
    assert_eq!(listed(&store, "tracking_number=1&status=paid").await, []);
    assert_eq!(listed(&store, "tracking_number=1&payment_reference=pi").await, []);
}

#[tokio::test]
async fn a_lookup_by_parcel_scans_one_index_for_each_field() {
    let (database, store) = store().await;
    for number in 100..150 {
        store.insert(&order(number)).await.unwrap();
    }
    let order = order(7);
    store.insert(&order).await.unwrap();
    apply_all(&store, order.clone(), vec![pay(), ship()]).await;
    database.run_command(doc! { "profile": 2 }).await.unwrap();
    assert_eq!(listed(&store, "tracking_number=1&sort=-updated_at").await, [order.id]);
    database.run_command(doc! { "profile": 0 }).await.unwrap();
    let profile = database.collection::<Document>("system.profile");
    let finds = profile.find(doc! { "op": "query", "ns": format!("{}.orders", database.name()) });
    let finds: Vec<Document> = finds.await.unwrap().try_collect().await.unwrap();
    let summary = |find: &Document| find.get_str("planSummary").unwrap().to_owned();
    let plans: Vec<String> = finds.iter().map(summary).collect();
    let scans = ["tracking.number", "fulfillments.tracking.number"]
        .map(|field| format!("IXSCAN {{ {field}: 1, _id: 1 }}"));
    let both = plans.iter().filter(|plan| scans.iter().all(|scan| plan.contains(scan)));
    assert_eq!(both.count(), 1, "{plans:?}");
    assert!(plans.iter().all(|plan| !plan.contains("status")), "{plans:?}");
}
