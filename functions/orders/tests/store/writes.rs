//! Inserts and decisions: each is one conditional write.

use mongodb::bson::{Document, doc};
use orders::number::Number;
use orders::open_orders::OpenOrders;
use orders::order::{Order, Transition};
use orders::store::{Freshness, Inserted, OrderStore, Written};
use shared::error::Kind;
use shared::values::ids::{OrderId, UserId};

use crate::{NOW, apply_all, decide, order, order_at, order_with_amounts, pay, ship, store};

#[tokio::test]
async fn the_schema_step_may_be_run_again() {
    let (database, store) = store().await;
    let indexes = || async {
        let mut names = database.collection::<Document>("orders").list_index_names().await.unwrap();
        names.sort();
        names
    };
    let first = indexes().await;
    let order = order(7);
    store.insert(&order).await.unwrap();
    store.ensure_schema().await.unwrap();
    // Also twice at once.
    let (one, other) = tokio::join!(store.ensure_schema(), store.ensure_schema());
    one.and(other).unwrap();
    assert_eq!(indexes().await, first);
    assert_eq!(store.find(order.id).await.unwrap(), Some(order));
}

#[tokio::test]
async fn an_inserted_order_is_found_unchanged() {
    let (_, store) = store().await;
    let order = order(7);
    assert_eq!(store.find(order.id).await.unwrap(), None);
    assert_eq!(store.insert(&order).await.unwrap(), Inserted::Done);
    assert_eq!(store.find(order.id).await.unwrap(), Some(order.clone()));

    let after = apply_all(&store, order, vec![pay(), ship(), Some(Transition::Deliver)]).await;
    let after = apply_all(
        &store,
        after,
        vec![
            Some(Transition::Return { restock: true }),
            Some(Transition::Refund { reference: "re".to_owned() }),
        ],
    )
    .await;
    assert_eq!(after.tasks.len(), 2);
    assert_eq!(store.find(after.id).await.unwrap(), Some(after));
}

#[tokio::test]
async fn an_order_is_inserted_once_however_often_it_is_sent() {
    let (database, store) = store().await;
    let order = order(7);
    let (one, other) = tokio::join!(store.insert(&order), store.insert(&order));
    assert_eq!((one.unwrap(), other.unwrap()), (Inserted::Done, Inserted::Done));
    assert_eq!(store.insert(&order).await.unwrap(), Inserted::Done);
    let orders = database.collection::<Document>("orders");
    assert_eq!(orders.count_documents(doc! {}).await.unwrap(), 1);
    // A late repeat undoes nothing.
    let paid = apply_all(&store, order.clone(), vec![pay()]).await;
    assert_eq!(store.insert(&order).await.unwrap(), Inserted::Done);
    assert_eq!(store.find(order.id).await.unwrap(), Some(paid));
}

#[tokio::test]
async fn a_number_is_given_once() {
    let (_, store) = store().await;
    let (first, mut second) = (order(7), order(7));
    assert_eq!(store.insert(&first).await.unwrap(), Inserted::Done);
    assert_eq!(store.insert(&second).await.unwrap(), Inserted::NumberTaken);
    assert_eq!(store.find(second.id).await.unwrap(), None);
    second.number = Number::from_bits(8);
    assert_eq!(store.insert(&second).await.unwrap(), Inserted::Done);
}

#[tokio::test]
async fn a_number_at_another_system_is_given_once() {
    let (_, store) = store().await;
    let (first, mut second) = (order_with_amounts(7), order_with_amounts(8));
    assert_eq!(store.insert(&first).await.unwrap(), Inserted::Done);
    assert_eq!(store.insert(&second).await.unwrap(), Inserted::ExternalNumberTaken);
    assert_eq!(store.find(second.id).await.unwrap(), None);
    second.external_number = None;
    assert_eq!(store.insert(&second).await.unwrap(), Inserted::Done);
}

#[tokio::test]
async fn a_decision_about_an_older_version_is_not_written() {
    let (_, store) = store().await;
    let order = order(7);
    store.insert(&order).await.unwrap();
    let (pays, cancels) =
        (decide(&order, pay(), None), decide(&order, Some(Transition::Cancel), Some("late")));
    assert_eq!(store.write(&order, &pays).await.unwrap(), Written::Done);
    assert_eq!(store.write(&order, &cancels).await.unwrap(), Written::Conflict);
    assert_eq!(store.write(&order, &pays).await.unwrap(), Written::Conflict, "the same decision twice");
    assert_eq!(store.find(order.id).await.unwrap(), Some(pays.order.clone()));
    // Of two decisions about the same version one is written.
    let ships = decide(&pays.order, ship(), None);
    let cancels = decide(&pays.order, Some(Transition::Cancel), None);
    let (one, other) = tokio::join!(store.write(&pays.order, &ships), store.write(&pays.order, &cancels));
    assert_ne!(one.unwrap(), other.unwrap());
    let found = store.find(order.id).await.unwrap().unwrap();
    assert!([ships.order, cancels.order].contains(&found));
    // A decision about an order that does not exist is not written.
    let other = crate::order(8);
    let unknown = store.write(&other, &decide(&other, pay(), None)).await.unwrap();
    assert_eq!(unknown, Written::Conflict);
}

#[tokio::test]
async fn a_change_without_status_appends_nothing() {
    let (_, store) = store().await;
    let order = order(7);
    store.insert(&order).await.unwrap();
    let edited = decide(&order, None, Some("Knock"));
    assert_eq!(store.write(&order, &edited).await.unwrap(), Written::Done);
    let found = store.find(order.id).await.unwrap().unwrap();
    assert_eq!(found, edited.order);
    assert_eq!((&found.history, found.tasks.len(), found.version), (&order.history, 0, 2));
}

#[tokio::test]
async fn an_unexpected_duplicate_key_may_be_tried_again() {
    let (database, _) = store().await;
    // The fail point selects the client by its app name.
    let client = shared::mongo::connect(mongod::shared_for_tests().await.unwrap(), "twin").await.unwrap();
    let store = OrderStore::new(&client.client().database(database.name()));
    let admin = database.client().database("admin");
    // The error that one of two concurrent upserts may get.
    let key = doc! { "keyPattern": { "_id": 1 }, "keyValue": { "_id": 1 } };
    let data = doc! {
        "failCommands": ["update"], "errorCode": 11000, "errorExtraInfo": key, "appName": "twin",
    };
    let fails = doc! { "configureFailPoint": "failCommand", "mode": { "times": 1 }, "data": data };
    admin.run_command(fails).await.unwrap();
    let error = store.finish(OrderId::new(), 2, NOW).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{}", error.causes());
    store.finish(OrderId::new(), 2, NOW).await.unwrap();
}

#[tokio::test]
async fn a_slot_belongs_to_one_open_order_of_a_customer() {
    let (_, store) = store().await;
    let (ada, bob) = (UserId::new(), UserId::new());
    let in_slot = |number, user, slot| Order { open_slot: Some(slot), ..order_at(number, user, NOW) };
    let first = in_slot(1, ada, 0);
    assert_eq!(store.insert(&first).await.unwrap(), Inserted::Done);
    assert_eq!(store.insert(&in_slot(2, ada, 0)).await.unwrap(), Inserted::SlotTaken);
    assert_eq!(store.insert(&in_slot(3, ada, 1)).await.unwrap(), Inserted::Done);
    assert_eq!(store.insert(&in_slot(4, bob, 0)).await.unwrap(), Inserted::Done);
    assert_eq!(store.insert(&order_at(5, ada, NOW)).await.unwrap(), Inserted::Done);
    // The same insert again is no conflict with itself.
    assert_eq!(store.insert(&first).await.unwrap(), Inserted::Done);
    for freshness in [Freshness::Majority, Freshness::Confirmed] {
        let expected: OpenOrders = [Some(0), Some(1), None].into_iter().collect();
        assert_eq!(store.open_orders(ada, 20, freshness).await.unwrap(), expected);
    }
    // Whatever the limit, no more is read than says that it is reached.
    let read = store.open_orders(ada, 1, Freshness::Confirmed).await.unwrap();
    assert_eq!(read.free_slots(1), [] as [i64; 0]);

    let paid = apply_all(&store, first, vec![pay()]).await;
    assert_eq!(paid.open_slot, None);
    assert_eq!(store.find(paid.id).await.unwrap(), Some(paid));
    assert_eq!(store.insert(&in_slot(6, ada, 0)).await.unwrap(), Inserted::Done);
}
