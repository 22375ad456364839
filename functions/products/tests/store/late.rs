//! Calls that arrive late, after folds and after other calls of their order.

use std::time::{Duration, Instant};

use futures::future::{join, join_all};
use mongodb::bson::doc;
use products::stock::Rejection;
use products::store::ProductStore;
use shared::mongo;
use shared::values::ids::{OrderId, ProductId};

use crate::Fixture;

/// Holds and folds so many other orders of a product.
async fn others(fixture: &Fixture, product: ProductId, count: usize) {
    join_all((0..count).map(async |_| fixture.hold(OrderId::new(), 1, &[(product, 1)]).await.unwrap())).await;
    fixture.fold().await;
}

#[tokio::test]
async fn a_late_twin_of_a_first_hold_changes_nothing() {
    let fixture = Fixture::new().await;
    let [mug, pot] = fixture.products([9_000, 9_000]).await;
    // Beside few folds, so that the mark is there, and beside so many that it is gone.
    for count in [0, 3, 300] {
        for items in [&[(mug, 1)][..], &[(mug, 1), (pot, 1)]] {
            let order = OrderId::new();
            // Another process, which remembers an earlier number of folds.
            let elsewhere = ProductStore::new(&fixture.database);
            let twin = Fixture { database: fixture.database.clone(), store: elsewhere };
            twin.hold(OrderId::new(), 1, items).await.unwrap();
            fixture.hold(order, 1, items).await.unwrap();
            others(&fixture, mug, count).await;
            let before = fixture.stock(mug).await;
            twin.hold(order, 1, items).await.unwrap();
            assert_eq!(fixture.stock(mug).await, before, "{count}");
            fixture.hold(order, 2, &[]).await.unwrap();
            others(&fixture, mug, count).await;
            assert_eq!(twin.hold(order, 1, items).await, Err(Rejection::Superseded), "{count}");
        }
    }
}

#[tokio::test]
async fn a_process_that_knows_no_folds_holds_all_the_same() {
    let fixture = Fixture::new().await;
    let [mug, pot] = fixture.products([1_000, 1_000]).await;
    others(&fixture, mug, 300).await;
    for items in [&[(mug, 1)][..], &[(mug, 1), (pot, 1)]] {
        let store = ProductStore::new(&fixture.database);
        let elsewhere = Fixture { database: fixture.database.clone(), store };
        for _ in 0..2 {
            elsewhere.hold(OrderId::new(), 1, items).await.unwrap();
        }
    }
    assert_eq!((fixture.stock(mug).await, fixture.stock(pot).await), ((1_000, 304), (1_000, 2)));
}

/// Time for which MongoDB keeps a late write: less than the write itself may take.
const LATE: Duration = Duration::from_millis(500);

/// Declares for an order in another process, whose write MongoDB keeps while the order is declared and changed here.
/// False: that took longer, on a busy machine, and shows nothing.
async fn is_superseded(fixture: &Fixture, product: ProductId, revision: i64, are_many: bool) -> bool {
    let order = OrderId::new();
    if revision == 2 {
        fixture.hold(order, 1, &[(product, 1)]).await.unwrap();
        fixture.fold().await;
    }
    let blocked = doc! { "blockConnection": true, "blockTimeMS": i64::try_from(LATE.as_millis()).unwrap() };
    let store = fixture.failing_once("findAndModify", blocked).await;
    let late = Fixture { database: fixture.database.clone(), store };
    let items = [(product, 5)];
    let begun = Instant::now();
    let meanwhile = async {
        // The other has read by now, or reads what is written here.
        tokio::time::sleep(LATE / 5).await;
        fixture.hold(order, revision, &items).await.unwrap();
        fixture.hold(order, revision + 1, &[(product, 2)]).await.unwrap();
        fixture.fold().await;
        let mark = || doc! { "o": mongo::uuid(OrderId::new()), "r": 1_i64 };
        let others: Vec<_> = (0..256).map(|_| mark()).collect();
        if are_many {
            let many = doc! { "$set": { "folded": others }, "$inc": { "folds": 300_i64 } };
            let of_product = doc! { "_id": mongo::uuid(product) };
            fixture.collection("stock").update_one(of_product, many).await.unwrap();
        }
        begun.elapsed() < LATE * 9 / 10
    };
    let (answer, in_time) = join(late.hold(order, revision, &items), meanwhile).await;
    fixture.hold(order, revision + 2, &[]).await.unwrap();
    assert_eq!(fixture.stock(product).await, (900, 0), "{revision} {are_many}");
    assert!(!in_time || answer == Err(Rejection::Superseded), "{revision} {are_many}: {answer:?}");
    in_time
}

#[tokio::test]
async fn a_write_that_arrives_late_reads_again() {
    let fixture = Fixture::new().await;
    // The marks of the order are there, or have made room for others. Of a first hold the process knows of no marks, so
    // the product has none before it.
    for (revision, are_many) in [(1, false), (1, true), (2, false), (2, true)] {
        let mut was_in_time = false;
        for _ in 0..10 {
            let product = fixture.product(900).await;
            was_in_time = is_superseded(&fixture, product, revision, are_many).await;
            if was_in_time {
                break;
            }
        }
        assert!(was_in_time, "the machine is too busy");
    }
}

#[tokio::test]
async fn a_late_change_passes_none_about_another_product() {
    let fixture = Fixture::new().await;
    let [mug, pot] = fixture.products([20, 20]).await;
    for is_folded in [false, true] {
        let order = OrderId::new();
        fixture.hold(order, 1, &[(mug, 1)]).await.unwrap();
        // It ends, and comes back with another product.
        fixture.hold(order, 2, &[]).await.unwrap();
        fixture.hold(order, 4, &[(pot, 1)]).await.unwrap();
        if is_folded {
            fixture.fold().await;
        }
        assert_eq!(fixture.hold(order, 3, &[(mug, 5)]).await, Err(Rejection::Superseded));
        assert_eq!(fixture.hold(order, 1, &[(mug, 1)]).await, Err(Rejection::Superseded));
        fixture.hold(order, 5, &[]).await.unwrap();
        assert_eq!((fixture.stock(mug).await, fixture.stock(pot).await), ((20, 0), (20, 0)));
    }
}

/// Changes an order that has ended, in another process, whose write MongoDB keeps while the order comes back here with
/// another product. False: that took longer, on a busy machine, and shows nothing.
async fn ended_items_count(fixture: &Fixture, first: &[(ProductId, i64)], command: &str) -> bool {
    let pot = fixture.product(20).await;
    let order = OrderId::new();
    fixture.hold(order, 1, first).await.unwrap();
    fixture.hold(order, 2, &[]).await.unwrap();
    fixture.fold().await;
    let blocked = doc! { "blockConnection": true, "blockTimeMS": i64::try_from(LATE.as_millis()).unwrap() };
    let store = fixture.failing_once(command, blocked).await;
    let late = Fixture { database: fixture.database.clone(), store };
    let begun = Instant::now();
    let meanwhile = async {
        tokio::time::sleep(LATE / 5).await;
        fixture.hold(order, 4, &[(pot, 1)]).await.unwrap();
        begun.elapsed() < LATE * 9 / 10
    };
    let (answer, in_time) = join(late.hold(order, 3, &[(first[0].0, 5)]), meanwhile).await;
    assert!(!in_time || answer == Err(Rejection::Superseded), "{answer:?}");
    fixture.hold(order, 5, &[]).await.unwrap();
    for product in first.iter().map(|(product, _)| *product).chain([pot]) {
        assert_eq!(fixture.stock(product).await, (20, 0));
    }
    in_time
}

#[tokio::test]
async fn a_late_write_passes_none_about_another_product() {
    let fixture = Fixture::new().await;
    for (count, command) in [(1, "findAndModify"), (2, "update")] {
        let mut was_in_time = false;
        for _ in 0..10 {
            let first: Vec<_> = fixture.products([20, 20]).await.map(|product| (product, 1)).into();
            was_in_time = ended_items_count(&fixture, &first[..count], command).await;
            if was_in_time {
                break;
            }
        }
        assert!(was_in_time, "the machine is too busy");
    }
}

#[tokio::test]
async fn changes_of_one_order_at_once_end_in_the_latest() {
    let fixture = Fixture::new().await;
    let [mug, pot] = fixture.products([500, 500]).await;
    for round in 0..12 {
        let order = OrderId::new();
        fixture.hold(order, 1, &[(mug, 1)]).await.unwrap();
        let changes = (2..10_i64).map(|revision| {
            let fixture = &fixture;
            async move {
                let items = [(mug, revision), (pot, revision)];
                let items = &items[..usize::try_from(revision + round).unwrap() % 3];
                match fixture.hold(order, revision, items).await {
                    Ok(_) | Err(Rejection::Superseded) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
        });
        let folds = join_all((0..3).map(|_| fixture.fold()));
        join(join_all(changes), folds).await;
        let held = fixture.store.find_holds(&[order]).await.unwrap();
        assert!(held.iter().all(|hold| hold.revision == 9));
        let expected = [(mug, 9), (pot, 9)];
        let expected = &expected[..usize::try_from(9 + round).unwrap() % 3];
        let live: Vec<_> = held.iter().filter(|it| it.quantity > 0).collect();
        assert_eq!(live.len(), expected.len());
        fixture.hold(order, 10, &[]).await.unwrap();
    }
    assert_eq!((fixture.stock(mug).await, fixture.stock(pot).await), ((500, 0), (500, 0)));
}

#[tokio::test]
async fn a_release_of_what_was_pruned_does_nothing() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(9).await;
    let order = OrderId::new();
    fixture.hold(order, 1, &[(mug, 1)]).await.unwrap();
    fixture.hold(order, 2, &[]).await.unwrap();
    fixture.fold().await;
    fixture.collection("stock_holds").delete_one(doc! { "_id": mongo::uuid(order) }).await.unwrap();
    assert_eq!(fixture.hold(order, 3, &[]).await, Ok(Vec::new()));
    assert_eq!(fixture.stock(mug).await, (9, 0));
}
