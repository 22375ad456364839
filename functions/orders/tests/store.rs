//! Store of orders on a real MongoDB: the guarantees of its conditional writes.

#![expect(clippy::panic, clippy::unwrap_used, reason = "these are tests: what fails there fails the test")]

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use mongodb::Database;
use mongodb::bson::{self, Bson, Document, doc};
use orders::listing::Listing;
use orders::number::Number;
use orders::open_orders::OpenOrders;
use orders::order::{
    Decision, Discount, Item, ItemAmounts, NewItem, NewOrder, NewRefund, Order, OrderChange, Origin,
    PaymentStatus, PlacementContext, Rate, Recording, RefundOf, Shipping, Task, TaskKind, Tax, Tracking,
    Transition,
};
use orders::products::HoldCursor;
use orders::status::Status;
use orders::store::{
    Freshness, Inserted, Job, LONGEST_DELAY, OrderStore, Reason, SCHEMA, SetAside, Unfinished, Written,
};
use shared::auth::{Caller, Role};
use shared::error::Kind;
use shared::http::idempotency::RequestKey;
use shared::input::page::PageRequest;
use shared::input::query::Query;
use shared::input::validation::Patch;
use shared::mongo::{self, Schema};
use shared::runtime::context::InvocationId;
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
        name: None,
        company: None,
        phone: None,
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
        amounts: ItemAmounts::default(),
    };
    let new = NewOrder {
        note: Some("Ring".to_owned()),
        // MongoDB would take these for operators and paths, if they were keys of a document.
        metadata: BTreeMap::from(
            ["$ne", "a.b", "$set", "_id", ""].map(|key| (key.to_owned(), "$x".to_owned())),
        ),
        ..NewOrder::new(Vec::new(), address("1 Way"))
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
        open_slot: None,
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
        note: note.map_or(Patch::Absent, |note| Patch::Value(note.to_owned())),
        ..OrderChange::default()
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
        assert_eq!(store.write(&order, &decision).await.unwrap(), Written::Done);
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
    // Placed, a payment, paid, and one more.
    assert_eq!((found.version, found.history.len(), found.tasks.len()), (3, 4, 1));
    // A decision about an order that does not exist is not written.
    let other = self::order(8);
    let unknown = store.write(&other, &decide(&other, pay(), None)).await.unwrap();
    assert_eq!(unknown, Written::Conflict);
}

/// Decides as staff about a refund of this amount.
fn refund(order: &Order, amount: i64) -> Decision {
    let new = NewRefund { of: RefundOf::Amount(amount), reason: None, reference: None, payment_id: None };
    let caller = Caller::User { id: UserId::new(), role: Role::Staff };
    let key = RequestKey::of_invocation(InvocationId::new());
    match order.clone().record_refund(new, Origin { caller, key: &key, now: NOW }).unwrap() {
        Recording::New(decision, _) => *decision,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_payment_of_a_build_without_payments_is_read_and_refunded() {
    let (database, store) = store().await;
    let order = order(7);
    store.insert(&order).await.unwrap();
    let paid = apply_all(&store, order, vec![pay()]).await;
    // As that build leaves it: a reference and a history of statuses, and neither payments nor events.
    let orders = database.collection::<Document>("orders");
    let with_id = doc! { "_id": mongo::uuid(paid.id) };
    let history = vec![doc! { "$arrayElemAt": ["$history", 0] }, doc! { "$arrayElemAt": ["$history", 2] }];
    let older = vec![doc! { "$unset": ["payments", "refunds"] }, doc! { "$set": { "history": history } }];
    orders.update_one(with_id.clone(), older).await.unwrap();

    let found = store.find(paid.id).await.unwrap().unwrap();
    let [payment] = &found.payments[..] else { panic!("{found:?}") };
    assert_eq!((payment.amount, payment.reference.as_str()), (found.total(), "pi"));
    assert_eq!((payment.created_at, payment.by), (paid.payments[0].created_at, paid.payments[0].by));
    assert_eq!(found.payment_status(), PaymentStatus::Paid);
    // Nothing kept its reference apart from others, so another order may have it.
    let other = self::order(8);
    store.insert(&other).await.unwrap();
    apply_all(&store, other, vec![pay()]).await;
    let refunded = refund(&found, 1);
    assert_eq!(store.write(&found, &refunded).await.unwrap(), Written::Done);
    let again = store.find(paid.id).await.unwrap().unwrap();
    assert_eq!((&again, again.totals().refunded), (&refunded.order, 1));
    let stored = orders.find_one(with_id).await.unwrap().unwrap();
    assert_eq!(stored.get_array("payments").unwrap().len(), 1);
}

/// An order with discounts, taxes and shipping.
fn order_with_amounts(number: u64) -> Order {
    let tax = Tax {
        label: "VAT".to_owned(),
        rate: Rate::from_stored("0.19".to_owned()),
        amount: 19,
        included: true,
    };
    let mut order = order(number);
    order.items[0].amounts = ItemAmounts {
        discounts: vec![Discount { label: "$ne".to_owned(), amount: 5 }],
        taxes: vec![tax.clone()],
    };
    order.shipping = Some(Shipping { label: "Standard".to_owned(), amount: 119, taxes: vec![tax] });
    order.billing_address = Some(address("2 Way"));
    order.external_number = Some("PO-1".to_owned());
    order.internal_note = Some("Call first.".to_owned());
    order
}

#[tokio::test]
async fn amounts_are_stored_and_may_be_taken_away() {
    let (_, store) = store().await;
    let order = order_with_amounts(7);
    store.insert(&order).await.unwrap();
    assert_eq!(store.find(order.id).await.unwrap(), Some(order.clone()));
    // Fewer units, and neither discounts nor taxes nor shipping any more.
    let change = OrderChange {
        items: Some(vec![NewItem::new(order.items[0].product_id, 1)]),
        shipping: Patch::Null,
        internal_note: Patch::Null,
        billing_address: Patch::Null,
        ..OrderChange::default()
    };
    let staff = Caller::User { id: UserId::new(), role: Role::Staff };
    let intent = order.clone().begin_item_change(&change, staff, NOW).unwrap().unwrap();
    assert_eq!(store.write(&order, &intent).await.unwrap(), Written::Done);
    let edited = intent.order.clone().complete_item_change(change, &[], NOW).unwrap();
    assert_eq!(store.write(&intent.order, &edited).await.unwrap(), Written::Done);
    let found = store.find(order.id).await.unwrap().unwrap();
    assert_eq!((found.total(), found.shipping.as_ref()), (1_000_000_000_000, None));
    assert_eq!(found, edited.order);
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
async fn an_older_build_cannot_change_an_order_with_amounts() {
    let (database, store) = store().await;
    let older = Schema { version: SCHEMA.version - 1, ..SCHEMA };
    let older = OrderStore::with_schema(&database, older);
    let plain = order(7);
    older.insert(&plain).await.unwrap();
    apply_all(&older, plain, vec![pay()]).await;
    // Nor one whose address has a name, which that build would leave at another address.
    let mut named = order(9);
    named.shipping_address.name = Some("Ada".to_owned());
    for dear in [order_with_amounts(8), named] {
        store.insert(&dear).await.unwrap();
        older.write(&dear, &decide(&dear, None, Some("Knock"))).await.unwrap_err();
        assert_eq!(store.find(dear.id).await.unwrap(), Some(dear));
    }
}

/// Page of a list by this query.
async fn listed(store: &OrderStore, query: &str) -> Vec<OrderId> {
    let query = Query::parse(Some(query), &orders::http::LIST_ORDERS.query_names()).unwrap();
    let listing = Listing::from_query(&query).unwrap();
    let page = PageRequest::from_query(&query).unwrap();
    let found = store.list(&listing, None, &page, None).await.unwrap();
    found.data.iter().map(|order| order.id).collect()
}

#[tokio::test]
async fn orders_of_older_builds_are_found_after_an_upgrade() {
    let (database, store) = store().await;
    let orders = database.collection::<Document>("orders");
    let [paid, refundable, plain] = [order(7), order(8), order(9)];
    for order in [&paid, &refundable, &plain] {
        store.insert(order).await.unwrap();
    }
    let of = |reference: &str| Some(Transition::Pay { reference: reference.to_owned(), method: None });
    apply_all(&store, paid.clone(), vec![of("a.b/c")]).await;
    apply_all(&store, refundable.clone(), vec![of("a"), Some(Transition::Cancel)]).await;
    // As builds leave them that know neither payments nor statuses of payment.
    let no_events = doc! { "$filter": {
        "input": "$history", "cond": { "$eq": [{ "$type": "$$this.event" }, "missing"] },
    } };
    let forget = |writer: Document| {
        vec![
            doc! { "$unset": ["payments", "refunds", "payment_status"] },
            doc! { "$set": {
                "history": no_events.clone(), "writer": writer,
            } },
        ]
    };
    orders.update_many(doc! {}, forget(doc! { "$literal": SCHEMA.version - 1 })).await.unwrap();
    assert_eq!(listed(&store, "payment_status=refund_due").await, []);
    assert_eq!(store.upgrade_outdated(|| false).await.unwrap(), 3);
    assert_eq!(listed(&store, "payment_status=refund_due").await, [refundable.id]);
    assert_eq!(listed(&store, "payment_reference=a").await, [refundable.id]);
    assert_eq!(listed(&store, "payment_reference=a.b/c").await, [paid.id]);
    assert_eq!(listed(&store, "payment_reference=a.b").await, []);
    assert_eq!(listed(&store, "payment_status=unpaid,paid&sort=total").await.len(), 2);
    assert_eq!(store.upgrade_outdated(|| false).await.unwrap(), 0);
    // Each is read as it was, and its time of change is the same.
    let found = store.find(paid.id).await.unwrap().unwrap();
    assert_eq!(
        (found.payments.len(), found.version, found.updated_at),
        (1, 2, Timestamp::from_millis(NOW.millis() + 1))
    );

    // Those from before fences are upgraded by the schema step, once.
    orders.update_many(doc! {}, forget(doc! { "$literal": 0 })).await.unwrap();
    orders.update_many(doc! {}, doc! { "$unset": { "writer": "" } }).await.unwrap();
    let schema = database.collection::<Document>("schema");
    schema.update_one(doc! { "_id": "orders" }, doc! { "$unset": { "migrated": "" } }).await.unwrap();
    // One that cannot be read keeps no other from its turn.
    orders
        .update_one(doc! { "_id": mongo::uuid(plain.id) }, doc! { "$set": { "items": 7 } })
        .bypass_document_validation(true)
        .await
        .unwrap();
    store.ensure_schema().await.unwrap();
    assert_eq!(listed(&store, "payment_status=refund_due").await, [refundable.id]);
}

#[tokio::test]
async fn a_reference_is_stored_for_one_order() {
    let (_, store) = store().await;
    let (one, other) = (order(7), order(8));
    store.insert(&one).await.unwrap();
    store.insert(&other).await.unwrap();
    apply_all(&store, one, vec![pay()]).await;
    let pays = decide(&other, pay(), None);
    assert_eq!(store.write(&other, &pays).await.unwrap(), Written::ReferenceTaken);
    assert_eq!(store.find(other.id).await.unwrap(), Some(other));
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
    assert_eq!(store.write(&shipped, &delivered).await.unwrap(), Written::Done);
    let found = store.find(shipped.id).await.unwrap().unwrap();
    // Placed, a payment, paid, shipped, delivered.
    assert_eq!((found.tasks.len(), found.history.len(), found.version), (0, 5, 4));

    // And the other way round: only that task is removed, not later ones.
    let returned = decide(&found, Some(Transition::Return { restock: true }), None);
    assert_eq!(store.write(&found, &returned).await.unwrap(), Written::Done);
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
    assert_eq!(store.write(&found, &decide(&found, None, Some("done"))).await.unwrap(), Written::Done);
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
    let task = Task { revision: 2, kind: TaskKind::Release };
    let error = store.finish(OrderId::new(), task, NOW).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{}", error.causes());
    store.finish(OrderId::new(), task, NOW).await.unwrap();
}

#[tokio::test]
async fn holds_deferred_by_an_older_build_are_set_aside() {
    let (database, store) = store().await;
    let deferred = database.collection::<Document>("reconcile_set_aside");
    let old = [OrderId::new(), OrderId::new()];
    let document = |id: &OrderId| doc! { "_id": mongo::uuid(*id), "tried": mongo::date(NOW) };
    deferred.insert_many(old.iter().map(document)).bypass_document_validation(true).await.unwrap();
    assert_eq!(store.find_set_aside(Job::Holds, NOW, None, 10).await.unwrap(), []);
    for _ in 0..2 {
        store.ensure_schema().await.unwrap();
        let mut found = store.find_set_aside(Job::Holds, NOW, None, 10).await.unwrap();
        found.sort_by_key(|it| it.order != old[0]);
        assert_eq!(found, old.map(|order| SetAside { order, attempts: 1, due: NOW }));
    }
    assert_eq!(store.oldest_set_aside(Job::Holds).await.unwrap(), Some(NOW));
}

#[tokio::test]
async fn an_order_is_set_aside_for_one_job_until_it_is_due() {
    let (_, store) = store().await;
    let (order, later) = (OrderId::new(), NOW.after(Duration::from_secs(60)));
    for attempts in [1, 2] {
        let written = store.set_aside(Job::Tasks, order, Reason::Refused, attempts, NOW, later).await;
        written.unwrap();
    }
    assert_eq!(store.find_set_aside(Job::Tasks, NOW, None, 10).await.unwrap(), []);
    let found = store.find_set_aside(Job::Tasks, later, None, 10).await.unwrap();
    assert_eq!(found, [SetAside { order, attempts: 2, due: later }]);
    let among = async |job| store.set_aside_among(job, NOW, &[order, OrderId::new()]).await.unwrap();
    assert_eq!((among(Job::Tasks).await, among(Job::Expiry).await), (vec![order], Vec::new()));
    store.clear_set_aside(Job::Tasks, order).await.unwrap();
    assert_eq!(among(Job::Tasks).await, []);
}

#[tokio::test]
async fn marks_that_cannot_be_read_keep_no_order_back() {
    let (database, store) = store().await;
    let marks = database.collection::<Document>("reconcile_set_aside");
    let order = OrderId::new();
    let mark = doc! {
        "job": "tasks", "order": mongo::uuid(order), "reason": "failed", "attempts": "x", "due": "x", "since": 7,
    };
    marks
        .insert_many([mark, doc! { "job": "tasks", "order": 7, "due": mongo::date(NOW) }])
        .bypass_document_validation(true)
        .await
        .unwrap();
    assert_eq!(store.set_aside_among(Job::Tasks, NOW, &[order]).await.unwrap(), []);
    assert_eq!(store.find_set_aside(Job::Tasks, NOW, None, 10).await.unwrap(), []);
    assert_eq!(store.oldest_set_aside(Job::Tasks).await.unwrap(), None);
    // A new mark takes its place.
    store.set_aside(Job::Tasks, order, Reason::Failed, 1, NOW, NOW).await.unwrap();
    let found = store.find_set_aside(Job::Tasks, NOW, None, 10).await.unwrap();
    assert_eq!(found, [SetAside { order, attempts: 1, due: NOW }]);
}

#[tokio::test]
async fn a_mark_that_would_never_be_due_is_due_now() {
    let (database, store) = store().await;
    let marks = database.collection::<Document>("reconcile_set_aside");
    let date = |at: Timestamp| Bson::from(mongo::date(at));
    let hour = NOW.after(LONGEST_DELAY);
    let ahead = date(hour.after(Duration::from_millis(1)));
    let never = [
        Bson::Null,
        "x".into(),
        Bson::Int64(7),
        Bson::Array(Vec::new()),
        Bson::Array(vec![ahead.clone(), 7.into()]),
        doc! { "at": date(NOW) }.into(),
        Bson::MaxKey,
        Bson::DateTime(bson::DateTime::MAX),
        ahead,
    ];
    let waiting = [hour, NOW.after(Duration::from_millis(1))].map(date);
    let mark = |(order, due): (&OrderId, &Bson)| {
        doc! {
            "job": "tasks", "order": mongo::uuid(*order), "reason": "failed", "attempts": 1_i64, "due": due,
            "since": mongo::date(NOW),
        }
    };
    let orders: Vec<OrderId> = (0..never.len() + waiting.len()).map(|_| OrderId::new()).collect();
    let dues: Vec<&Bson> = never.iter().chain(&waiting).collect();
    let all: Vec<Document> = orders.iter().zip(dues).map(mark).collect();
    marks.insert_many(all).bypass_document_validation(true).await.unwrap();
    let mut among = store.set_aside_among(Job::Tasks, NOW, &orders).await.unwrap();
    among.sort_unstable();
    let (bad, mut good) = (orders[..never.len()].to_vec(), orders[never.len()..].to_vec());
    good.sort_unstable();
    assert_eq!(among, good);
    store.correct_set_aside(Job::Holds, NOW, 100).await.unwrap();
    // A few at a time.
    for _ in 0..never.len() {
        store.correct_set_aside(Job::Tasks, NOW, 1).await.unwrap();
    }
    let found = store.find_set_aside(Job::Tasks, NOW, None, 100).await.unwrap();
    assert!(found.iter().all(|it| bad.contains(&it.order) && it.due == NOW), "{found:?}");
    let missing: Vec<&Bson> = bad
        .iter()
        .zip(&never)
        .filter(|(order, _)| found.iter().all(|it| it.order != **order))
        .map(|(_, due)| due)
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[tokio::test]
async fn a_position_that_cannot_be_read_is_none() {
    let (database, store) = store().await;
    let position = HoldCursor { at: NOW, order: Some(OrderId::new()) };
    store.save_position("tasks", position).await.unwrap();
    assert_eq!(store.position("tasks", NOW).await.unwrap(), Some(position));
    let positions = database.collection::<Document>("reconcile_progress");
    let damaged = positions.update_one(doc! { "_id": "tasks" }, doc! { "$set": { "at": "x" } });
    damaged.bypass_document_validation(true).await.unwrap();
    assert_eq!(store.position("tasks", NOW).await.unwrap(), None);
    // Nor is one that lies ahead: nothing would follow it.
    let ahead = HoldCursor { at: NOW.after(Duration::from_millis(1)), ..position };
    store.save_position("tasks", ahead).await.unwrap();
    assert_eq!(store.position("tasks", NOW).await.unwrap(), None);
    store.save_position("tasks", position).await.unwrap();
    assert_eq!(store.position("tasks", NOW).await.unwrap(), Some(position));
}

#[tokio::test]
async fn unfinished_work_is_found_page_by_page_in_order() {
    let (database, store) = store().await;
    let orders = database.collection::<Document>("orders");
    let mut expected = Vec::new();
    for place in 0..10 {
        let order = order(place);
        store.insert(&order).await.unwrap();
        // Some at the same time.
        let at = mongo::date(NOW.after(Duration::from_secs(place / 3)));
        let due = doc! { "$set": { "expires_at": at } };
        orders.update_one(doc! { "_id": mongo::uuid(order.id) }, due).await.unwrap();
        expected.push((place / 3, order.id.uuid()));
    }
    // No order can have such an ID.
    let foreign = doc! { "_id": "x", "status": "placed", "expires_at": mongo::date(NOW) };
    orders.insert_one(foreign).bypass_document_validation(true).await.unwrap();
    expected.sort_unstable();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let until = NOW.after(Duration::from_secs(60));
        let page = store.find_unfinished(Unfinished::Payment, until, after, 2).await.unwrap();
        let Some((last, ..)) = page.last() else { break };
        after = Some(*last);
        found.extend(page.iter().map(|(_, order, _)| order.uuid()));
    }
    assert_eq!(found, expected.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
    assert_eq!(store.oldest_unfinished(Unfinished::Payment, NOW).await.unwrap(), Some(NOW));
    let before = NOW.before(Duration::from_secs(1));
    assert_eq!(store.oldest_unfinished(Unfinished::Payment, before).await.unwrap(), None);
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

#[tokio::test]
async fn one_process_at_a_time_has_the_lease_of_reconcile() {
    let (_, store) = store().await;
    let (first, second) = (store.lease_of_reconcile(), store.lease_of_reconcile());
    let long = Duration::from_secs(60);
    for (lease, has) in [(&first, true), (&second, false), (&first, true)] {
        assert_eq!(lease.take(long).await.unwrap(), has);
    }
    // The first one is gone: nothing renews its lease.
    assert!(first.take(Duration::ZERO).await.unwrap());
    assert!(second.take(long).await.unwrap());
    assert!(!first.take(long).await.unwrap());
}

#[tokio::test]
async fn of_many_that_ask_at_once_one_has_the_lease() {
    let (_, store) = store().await;
    let leases: Vec<_> = (0..20).map(|_| store.lease_of_reconcile()).collect();
    let taken = join_all(leases.iter().map(|lease| lease.take(Duration::from_secs(60)))).await;
    assert_eq!(taken.into_iter().filter(|taken| *taken.as_ref().unwrap()).count(), 1);
}

#[tokio::test]
async fn a_damaged_lease_is_taken_over() {
    let (database, store) = store().await;
    let leases = database.collection::<Document>("leases");
    let long = Duration::from_secs(60);
    assert!(store.lease_of_reconcile().take(long).await.unwrap());
    let far = bson::DateTime::from_millis(253_402_300_799_000);
    let damages = [
        doc! { "$set": { "until": far } },
        doc! { "$set": { "until": "soon" } },
        doc! { "$set": { "until": Bson::Null, "holder": 7 } },
        doc! { "$unset": { "until": "", "holder": "" } },
    ];
    for damage in damages {
        let damaged = leases.update_one(doc! {}, damage.clone()).bypass_document_validation(true).await;
        assert_eq!(damaged.unwrap().modified_count, 1);
        let (next, other) = (store.lease_of_reconcile(), store.lease_of_reconcile());
        assert!(next.take(long).await.unwrap(), "{damage}");
        assert!(!other.take(long).await.unwrap(), "{damage}");
    }
    // A damaged holder is nobody, until the end.
    leases
        .update_one(doc! {}, doc! { "$set": { "holder": "somebody" } })
        .bypass_document_validation(true)
        .await
        .unwrap();
    assert!(!store.lease_of_reconcile().take(long).await.unwrap());
}
