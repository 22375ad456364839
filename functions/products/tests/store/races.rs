//! Concurrent calls.

use std::time::{Duration, Instant};

use futures::future::{join, join_all};
use mongodb::bson::{Document, doc};
use products::stock::{Declaration, DeclarationKind, Item, Rejection, StockChange};
use products::store::{ProductStore, SCHEMA, StockWritten};
use shared::mongo::fenced::FencedDatabase;
use shared::mongo::{self, TxOutcome};
use shared::values::ids::{OrderId, ProductId};
use tokio::sync::oneshot;

use crate::{Fixture, NOW, ids};

#[tokio::test]
async fn twins_of_one_declaration_hold_once() {
    let fixture = Fixture::new().await;
    let [cup, mug] = fixture.products([20, 20]).await;
    for (items, expected) in
        [(&[(cup, 3)][..], (3, 0)), (&[(cup, 3), (mug, 4)][..], (6, 4)), (&[(mug, 4), (cup, 3)][..], (9, 8))]
    {
        let order = OrderId::new();
        for outcome in join_all((0..20).map(|_| fixture.hold(order, 1, items))).await {
            assert_eq!(ids(&outcome.unwrap()).len(), items.len());
        }
        assert_eq!((fixture.stock(cup).await.1, fixture.stock(mug).await.1), expected);
    }
}

#[tokio::test]
async fn buyers_of_what_is_sold_out_write_nothing() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(1).await;
    fixture.hold(OrderId::new(), 1, &[(mug, 1)]).await.unwrap();
    fixture.database.run_command(doc! { "profile": 2 }).await.unwrap();
    let items = [(mug, 1)];
    for outcome in join_all((0..16).map(|_| fixture.hold(OrderId::new(), 1, &items))).await {
        outcome.unwrap_err();
    }
    fixture.database.run_command(doc! { "profile": 0 }).await.unwrap();
    let writes = doc! { "op": "command", "command.findAndModify": { "$exists": true } };
    assert_eq!(fixture.collection("system.profile").count_documents(writes).await.unwrap(), 0);
    let reads = fixture.collection("system.profile").count_documents(doc! { "op": "query" }).await.unwrap();
    assert!(reads >= 16, "{reads} reads were seen");
}

#[tokio::test]
async fn a_late_hold_of_the_last_units_takes_no_more() {
    const LATE: Duration = Duration::from_millis(700);
    let fixture = Fixture::new().await;
    for _ in 0..10 {
        let mug = fixture.product(2).await;
        let blocked =
            doc! { "blockConnection": true, "blockTimeMS": i64::try_from(LATE.as_millis()).unwrap() };
        let store = fixture.failing_once("update", blocked).await;
        let late = Fixture { database: fixture.database.clone(), store };
        let begun = Instant::now();
        let meanwhile = async {
            tokio::time::sleep(LATE / 5).await;
            let held = fixture.hold(OrderId::new(), 1, &[(mug, 1)]).await;
            (held, begun.elapsed() < LATE * 9 / 10)
        };
        let (answer, (held, in_time)) = join(late.hold(OrderId::new(), 1, &[(mug, 2)]), meanwhile).await;
        let stock = fixture.stock(mug).await;
        // Otherwise it was not late, on a busy machine, and shows nothing.
        if in_time {
            held.unwrap();
            assert!(matches!(answer, Err(Rejection::Short(_))), "{answer:?}");
            assert_eq!(stock, (2, 1));
            return;
        }
    }
    panic!("the machine is too busy");
}

#[tokio::test]
async fn a_late_hold_of_the_last_units_leaves_what_has_come_in_stock() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(2).await;
    let blocked = doc! { "blockConnection": true, "blockTimeMS": 500 };
    let late =
        Fixture { database: fixture.database.clone(), store: fixture.failing_once("update", blocked).await };
    let meanwhile = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        fixture.count(mug, StockChange::Move(5)).await;
    };
    let (answer, ()) = join(late.hold(OrderId::new(), 1, &[(mug, 2)]), meanwhile).await;
    answer.unwrap();
    assert_eq!(fixture.stock(mug).await, (7, 2));
    let product = fixture.collection("products").find_one(doc! { "_id": mongo::uuid(mug) }).await;
    assert!(product.unwrap().unwrap().get_bool("in_stock").unwrap());
}

/// The process of its request writes for those that wait, too. It has time left as they have.
#[tokio::test]
async fn a_first_hold_whose_write_was_too_slow_is_tried_again() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(9).await;
    let too_slow = doc! { "errorCode": 50 };
    let store = fixture.failing_once("findAndModify", too_slow).await;
    let items = vec![Item::new(mug, 2)];
    let hold = Declaration { order: OrderId::new(), revision: 1, kind: DeclarationKind::Hold, items };
    store.declare(&hold, NOW).await.unwrap().unwrap();
    assert_eq!(fixture.stock(mug).await, (9, 2));
}

/// Declares these first holds at once, in a process whose first write waits: the others are written together then.
async fn together(fixture: &Fixture, orders: &[OrderId], product: ProductId) {
    let blocked = doc! { "blockConnection": true, "blockTimeMS": 300 };
    let store = fixture.failing_once("findAndModify", blocked).await;
    let busy = Fixture { database: fixture.database.clone(), store };
    let items = [(product, 1)];
    let first = busy.hold(OrderId::new(), 1, &items);
    let others = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        for held in join_all(orders.iter().map(|order| busy.hold(*order, 1, &items))).await {
            held.unwrap();
        }
    };
    let (first, ()) = join(first, others).await;
    first.unwrap();
}

#[tokio::test]
async fn twins_that_are_written_together_hold_once() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(100).await;
    let orders: Vec<OrderId> = (0..8).map(|_| OrderId::new()).collect();
    together(&fixture, &[orders.clone(), orders].concat(), mug).await;
    assert_eq!(fixture.stock(mug).await, (100, 9));
}

#[tokio::test]
async fn a_hold_that_cannot_be_written_sends_no_others_alone() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(100).await;
    let mut orders: Vec<OrderId> = (0..16).map(|_| OrderId::new()).collect();
    // Another process holds it. That is in the journal, where this process does not look.
    fixture.hold(orders[5], 1, &[(mug, 1)]).await.unwrap();
    orders.rotate_left(2);
    fixture.database.run_command(doc! { "profile": 2 }).await.unwrap();
    together(&fixture, &orders, mug).await;
    fixture.database.run_command(doc! { "profile": 0 }).await.unwrap();
    assert_eq!(fixture.stock(mug).await, (100, 17));
    let stock = fixture.collection("stock").namespace().to_string();
    let reads = doc! { "ns": stock, "op": "query" };
    let reads = fixture.collection("system.profile").count_documents(reads).await.unwrap();
    assert!(reads < 8, "{reads} times the stock was read");
}

#[tokio::test]
async fn a_release_beside_duplicates_of_the_hold_wins() {
    let fixture = Fixture::new().await;
    let [cup, mug] = fixture.products([20, 20]).await;
    let order = OrderId::new();
    let items = [(cup, 3), (mug, 4)];
    fixture.hold(order, 1, &items).await.unwrap();
    let calls = (0..20).map(|call| {
        let (fixture, items) = (&fixture, &items);
        async move {
            if call == 10 {
                fixture.hold(order, 2, &[]).await.unwrap();
            } else if let Err(rejection) = fixture.hold(order, 1, items).await {
                assert_eq!(rejection, Rejection::Superseded);
            }
        }
    });
    join_all(calls).await;
    assert_eq!((fixture.stock(cup).await, fixture.stock(mug).await), ((20, 0), (20, 0)));
}

#[tokio::test]
async fn orders_of_items_in_opposite_sequence_never_oversell() {
    let fixture = Fixture::new().await;
    let [cup, mug, pot] = fixture.products([10, 7, 30]).await;
    let orders = (0..50).map(|place| {
        let fixture = &fixture;
        async move {
            let mut items = [(cup, 1), (mug, 1), (pot, 2)];
            if place % 2 == 1 {
                items.reverse();
            }
            fixture.hold(OrderId::new(), 1, &items).await
        }
    });
    let outcomes = join_all(orders).await;
    let held = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(held, 7, "there are seven mugs");
    for rejection in outcomes.into_iter().filter_map(Result::err) {
        assert!(matches!(rejection, Rejection::Short(_)), "{rejection:?}");
    }
    assert_eq!(fixture.stock(cup).await, (10, 7));
    assert_eq!(fixture.stock(mug).await, (7, 7));
    assert_eq!(fixture.stock(pot).await, (30, 14));
}

#[tokio::test]
async fn many_orders_of_one_item_never_oversell() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(10).await;
    let items = [(mug, 1)];
    let orders = (0..50).map(|_| fixture.hold(OrderId::new(), 1, &items));
    let held = join_all(orders).await.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(held, 10);
    assert_eq!(fixture.stock(mug).await, (10, 10));
}

#[tokio::test]
async fn a_count_beside_holds_never_ends_below_reserved() {
    let fixture = Fixture::new().await;
    let [cup, mug] = fixture.products([20, 20]).await;
    let holds = join_all((0..20).map(|place| {
        let fixture = &fixture;
        async move {
            let items = [(cup, 1), (mug, 1)];
            // Both ways of holding.
            fixture.hold(OrderId::new(), 1, &items[..1 + place % 2]).await.is_ok()
        }
    }));
    let counts = join_all((0..20).map(|place| {
        let change = if place % 2 == 0 { StockChange::Set(5) } else { StockChange::Move(-3) };
        fixture.count(cup, change)
    }));
    let (holds, counts) = futures::future::join(holds, counts).await;
    let held = i64::try_from(holds.iter().filter(|held| **held).count()).unwrap();
    for count in counts {
        match count {
            StockWritten::Done(product) => assert!(product.stock.reserved <= product.stock.on_hand),
            StockWritten::BelowReserved(_) => {}
            other => panic!("{other:?}"),
        }
    }
    let (on_hand, reserved) = fixture.stock(cup).await;
    assert_eq!(reserved, held);
    assert!(reserved <= on_hand, "{reserved} of {on_hand}");
}

#[tokio::test]
async fn a_lost_commit_is_repeated_and_blocks_no_other_call() {
    let fixture = Fixture::new().await;
    let [mug, pot] = fixture.products([5, 5]).await;
    // The fail point selects the client by its app name. The driver sends each lost commit twice.
    let uri = mongod::shared_for_tests().await.unwrap_or_else(|error| panic!("{error:?}"));
    let client = mongo::connect(uri, "cut-off").await.unwrap();
    let cut_off = ProductStore::new(&client.client().database(fixture.database.name()));
    let data = doc! { "failCommands": ["commitTransaction"], "closeConnection": true, "appName": "cut-off" };
    let fails = doc! { "configureFailPoint": "failCommand", "mode": { "times": 4 }, "data": data };
    fixture.database.client().database("admin").run_command(fails).await.unwrap();

    let items = [mug, pot].map(|product| Item::new(product, 2)).to_vec();
    let hold = Declaration { order: OrderId::new(), revision: 1, kind: DeclarationKind::Hold, items };
    assert_eq!(cut_off.declare(&hold, NOW).await.unwrap().unwrap().len(), 2);
    // An abandoned transaction blocks its products until the server aborts it, after a minute.
    fixture.hold(OrderId::new(), 1, &[(mug, 3), (pot, 3)]).await.unwrap();
    assert_eq!((fixture.stock(mug).await, fixture.stock(pot).await), ((5, 5), (5, 5)));
}

/// Maximum number of connections of a client: the driver's own default.
const POOL: i32 = 10;

#[tokio::test]
async fn a_commit_whose_caller_has_gone_locks_nothing() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(5).await;
    let uri = mongod::shared_for_tests().await.unwrap_or_else(|error| panic!("{error:?}"));
    let app = format!("gone-{}", fixture.database.name());
    let client = mongo::connect(uri, &app).await.unwrap().client().clone();
    let admin = fixture.database.client().database("admin");
    let blocked = doc! {
        "failCommands": ["ping"], "appName": &app, "blockConnection": true, "blockTimeMS": 1_000,
    };
    let blocks = doc! { "configureFailPoint": "failCommand", "mode": { "times": POOL }, "data": blocked };
    let before = admin.run_command(blocks).await.unwrap().get_i32("count").unwrap_or_default();
    let in_use = doc! {
        "waitForFailPoint": "failCommand", "timesEntered": before + POOL, "maxTimeMS": 10_000,
    };

    // The caller goes while the commit waits for a connection, as all of them are in use.
    let database = client.database(fixture.database.name());
    let fenced = FencedDatabase::new(&database, SCHEMA);
    let (ends, ended) = oneshot::channel();
    let mut ends = Some(ends);
    let commits = mongo::transaction(&fenced, |session| {
        let (stocks, pinged) = (database.collection::<Document>("stock"), client.database("admin"));
        let (admin, in_use, ends) = (admin.clone(), in_use.clone(), ends.take());
        Box::pin(async move {
            let raises = doc! { "$inc": { "folds": 1_i64 } };
            stocks.update_one(doc! { "_id": mongo::uuid(mug) }, raises).session(session).await?;
            for _ in 0..POOL {
                let pinged = pinged.clone();
                tokio::spawn(async move { pinged.run_command(doc! { "ping": 1 }).await });
            }
            admin.run_command(in_use).await?;
            ends.unwrap().send(()).unwrap();
            Ok(TxOutcome::Commit(()))
        })
    });
    tokio::select! {
        biased;
        committed = commits => panic!("{committed:?} without a connection"),
        ended = ended => ended.unwrap(),
    }

    // An open transaction would block its product until the server aborts it, after a minute.
    fixture.hold(OrderId::new(), 1, &[(mug, 1)]).await.unwrap();
    assert_eq!(fixture.stock(mug).await, (5, 1));
    let stock =
        fixture.collection("stock").find_one(doc! { "_id": mongo::uuid(mug) }).await.unwrap().unwrap();
    assert_eq!(stock.get_i64("folds").unwrap(), 1);
}
