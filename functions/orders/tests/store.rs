//! Store of orders on a real MongoDB: the guarantees of its conditional writes.

#![expect(clippy::unwrap_used, reason = "these are tests: what fails there fails the test")]

use std::collections::BTreeMap;

use mongodb::Database;
use mongodb::bson::{self, Document, doc};
use orders::listing::Listing;
use orders::number::Number;
use orders::order::{
    Decision, Item, NewOrder, Order, OrderChange, PlacementContext, Task, TaskKind, Tracking, Transition,
};
use orders::status::Status;
use orders::store::{Inserted, OrderStore};
use shared::auth::{Caller, Role};
use shared::error::Kind;
use shared::input::page::PageRequest;
use shared::input::validation::Patch;
use shared::values::address::Address;
use shared::values::clock::Timestamp;
use shared::values::ids::{OrderId, ProductId, UserId};
use shared::values::money::{Currency, Money};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_123);

/// Creates a store on a database of its own.
async fn store() -> (Database, OrderStore) {
    let uri = mongod::shared_for_tests().await.unwrap();
    let client = shared::mongo::connect(uri, "tests").await.unwrap();
    let database =
        client.client().database(&format!("test_{}", bson::Uuid::new().to_string().replace('-', "")));
    let store = OrderStore::new(&database);
    store.ensure_schema().await.unwrap();
    (database, store)
}

fn address(line1: &str) -> Address {
    Address {
        line1: line1.to_owned(),
        line2: None,
        city: "Bonn".to_owned(),
        region: Some("NRW".to_owned()),
        postal_code: None,
        country: "DE".to_owned(),
    }
}

fn order_at(number: u64, user: UserId, now: Timestamp) -> Order {
    let currency = Currency::parse("EUR".to_owned()).unwrap();
    let item = |amount, quantity| Item {
        product_id: ProductId::new(),
        sku: "MUG".to_owned(),
        name: "Mug $ne ☕".to_owned(),
        unit_price: Money::new(amount, currency).unwrap(),
        quantity,
    };
    let new = NewOrder {
        items: Vec::new(),
        shipping_address: address("1 Way"),
        note: Some("Ring".to_owned()),
        user_id: None,
        // MongoDB would take these for operators and paths, if they were keys of a document.
        metadata: BTreeMap::from(
            ["$ne", "a.b", "$set", "_id", ""].map(|key| (key.to_owned(), "$x".to_owned())),
        ),
    };
    let items = vec![item(1_000_000_000_000, 7), item(0, 10_000)];
    let placing = PlacementContext {
        id: OrderId::new(),
        number: Number::from_bits(number),
        user_id: user,
        by: user,
        under: None,
        at: now,
        expires_at: Timestamp::from_millis(now.millis() + 1),
    };
    Order::place(placing, new, items).unwrap()
}

fn order(number: u64) -> Order {
    order_at(number, UserId::new(), NOW)
}

/// Decides as staff about an order.
fn decide(order: &Order, transition: Option<Transition>, note: Option<&str>) -> Decision {
    let change = OrderChange {
        status: transition.as_ref().map(Transition::to),
        transition: Ok(transition),
        reason: None,
        shipping_address: None,
        note: note.map_or(Patch::Absent, |note| Patch::Value(note.to_owned())),
        metadata: None,
        items: None,
    };
    let staff = Caller::User { id: UserId::new(), role: Role::Staff };
    let later = Timestamp::from_millis(NOW.millis() + order.version);
    order.clone().decide(change, staff, later).unwrap().unwrap()
}

fn pay() -> Option<Transition> {
    Some(Transition::Pay { reference: "pi".to_owned(), method: None })
}

fn ship() -> Option<Transition> {
    Some(Transition::Ship(Tracking { carrier: "DHL".to_owned(), number: "1".to_owned() }))
}

/// Applies and writes the transitions, one after the other.
async fn apply_all(store: &OrderStore, mut order: Order, transitions: Vec<Option<Transition>>) -> Order {
    for transition in transitions {
        let decision = decide(&order, transition, None);
        assert!(store.write(&decision).await.unwrap());
        order = decision.order;
    }
    order
}

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
async fn a_decision_about_an_older_version_is_not_written() {
    let (_, store) = store().await;
    let order = order(7);
    store.insert(&order).await.unwrap();
    let (pays, cancels) =
        (decide(&order, pay(), None), decide(&order, Some(Transition::Cancel), Some("late")));
    assert!(store.write(&pays).await.unwrap());
    assert!(!store.write(&cancels).await.unwrap());
    assert!(!store.write(&pays).await.unwrap(), "the same decision twice");
    assert_eq!(store.find(order.id).await.unwrap(), Some(pays.order.clone()));
    // Of two decisions about the same version one is written.
    let ships = decide(&pays.order, ship(), None);
    let cancels = decide(&pays.order, Some(Transition::Cancel), None);
    let (one, other) = tokio::join!(store.write(&ships), store.write(&cancels));
    assert!(one.unwrap() ^ other.unwrap());
    let found = store.find(order.id).await.unwrap().unwrap();
    assert_eq!((found.version, found.history.len(), found.tasks.len()), (3, 3, 1));
    // A decision about an order that does not exist is not written.
    assert!(!store.write(&decide(&self::order(8), pay(), None)).await.unwrap());
}

#[tokio::test]
async fn a_task_removed_during_another_decision_stays_removed() {
    let (_, store) = store().await;
    let order = order(7);
    store.insert(&order).await.unwrap();
    let shipped = apply_all(&store, order, vec![pay(), ship()]).await;
    let task = Task { revision: 3, kind: TaskKind::Ship };
    assert_eq!(shipped.tasks, [task]);
    // Decided while the task was there, written after its removal.
    let delivered = decide(&shipped, Some(Transition::Deliver), None);
    store.finish(shipped.id, task, NOW).await.unwrap();
    assert!(store.write(&delivered).await.unwrap());
    let found = store.find(shipped.id).await.unwrap().unwrap();
    assert_eq!((found.tasks.len(), found.history.len(), found.version), (0, 4, 4));

    // And the other way round: only that task is removed, not later ones.
    let returned = decide(&found, Some(Transition::Return { restock: true }), None);
    assert!(store.write(&returned).await.unwrap());
    store.finish(shipped.id, task, NOW).await.unwrap();
    let found = store.find(shipped.id).await.unwrap().unwrap();
    assert_eq!(found.tasks, [Task { revision: 5, kind: TaskKind::Restock }]);
    assert_eq!(found.history, returned.order.history);
}

#[tokio::test]
async fn a_task_is_removed_once_and_raises_no_version() {
    let (_, store) = store().await;
    let order = order(7);
    store.insert(&order).await.unwrap();
    let cancelled = apply_all(&store, order, vec![Some(Transition::Cancel)]).await;
    let task = Task { revision: 2, kind: TaskKind::Release };
    for _ in 0..3 {
        store.finish(cancelled.id, task, NOW).await.unwrap();
        let found = store.find(cancelled.id).await.unwrap().unwrap();
        assert_eq!(found, Order { tasks: Vec::new(), ..cancelled.clone() });
    }
    // An order that does not exist is no error.
    store.finish(OrderId::new(), task, NOW).await.unwrap();
    // A later change still finds its version.
    let found = store.find(cancelled.id).await.unwrap().unwrap();
    assert!(store.write(&decide(&found, None, Some("done"))).await.unwrap());
}

#[tokio::test]
async fn a_change_without_status_appends_nothing() {
    let (_, store) = store().await;
    let order = order(7);
    store.insert(&order).await.unwrap();
    let edited = decide(&order, None, Some("Knock"));
    assert!(store.write(&edited).await.unwrap());
    let found = store.find(order.id).await.unwrap().unwrap();
    assert_eq!(found, edited.order);
    assert_eq!((&found.history, found.tasks.len(), found.version), (&order.history, 0, 2));
}

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
    let hers = Listing { status: Some(Status::Placed), ..Listing::default() };
    assert_eq!(store.list(&hers, Some(ada), &everything, None).await.unwrap().data.len(), 3);
    let hers = Listing { status: Some(Status::Paid), ..Listing::default() };
    assert_eq!(store.list(&hers, Some(ada), &everything, None).await.unwrap().data, []);
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
    let error = store.defer(OrderId::new(), NOW).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{}", error.causes());
    store.defer(OrderId::new(), NOW).await.unwrap();
}
