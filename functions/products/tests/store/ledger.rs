//! Ledger: one entry for every change of the on-hand count, in the true sequence, and no other.

use std::time::Duration;

use futures::TryStreamExt as _;
use futures::future::{join, join_all};
use mongodb::bson::{Document, doc};
use products::ledger::{Cause, StockMovement};
use products::stock::{DeclarationKind, StockChange, StockCount};
use products::store::{StockWrite, StockWritten};
use shared::http::conditional::IfMatch;
use shared::input::page::PageRequest;
use shared::mongo;
use shared::values::clock::Timestamp;
use shared::values::ids::{OrderId, ProductId};

use crate::{Fixture, NOW, new_key};

fn row(movement: &StockMovement) -> (i64, i64, i64, Option<&str>, &str) {
    let Cause { reason, by, .. } = &movement.cause;
    (movement.delta, movement.stock.on_hand, movement.stock.reserved, reason.as_deref(), by)
}

#[tokio::test]
async fn every_change_of_on_hand_has_one_entry_and_no_other() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(10).await;
    let count = async |change, reason: Option<&str>| {
        let count = StockCount { change, reason: reason.map(str::to_owned) };
        let by = "grace".to_owned();
        fixture
            .store
            .change_stock(&StockWrite {
                product: mug,
                if_match: IfMatch::Any,
                count,
                by,
                now: NOW,
                key_record: new_key(),
            })
            .await
            .unwrap()
    };
    count(StockChange::Move(-3), Some("broken")).await;
    count(StockChange::Set(40), None).await;
    // The same count, and impossible ones.
    count(StockChange::Set(40), Some("counted")).await;
    assert!(matches!(count(StockChange::Move(-41), None).await, StockWritten::BelowReserved(_)));
    assert!(matches!(count(StockChange::Move(1_000_000_000), None).await, StockWritten::TooMany));
    let (sent, released) = (OrderId::new(), OrderId::new());
    fixture.hold(sent, 1, &[(mug, 4)]).await.unwrap();
    fixture.hold(released, 1, &[(mug, 2)]).await.unwrap();
    for _ in 0..3 {
        fixture.declare(sent, 2, DeclarationKind::Ship, &[(mug, 4)]).await.unwrap();
    }
    fixture.hold(released, 2, &[]).await.unwrap();
    for _ in 0..3 {
        fixture.declare(sent, 3, DeclarationKind::Restock, &[(mug, 4)]).await.unwrap();
    }
    let movements = fixture.movements(mug).await;
    let rows: Vec<_> = movements.iter().map(row).collect();
    assert_eq!(
        rows,
        [
            (4, 40, 0, Some("returned"), "system"),
            (-4, 36, 2, Some("shipped"), "system"),
            (33, 40, 0, None, "grace"),
            (-3, 7, 0, Some("broken"), "grace"),
            (10, 10, 0, Some("initial"), "somebody"),
        ]
    );
    let orders: Vec<_> = movements.iter().map(|movement| movement.cause.order).collect();
    assert_eq!(orders, [Some(sent), Some(sent), None, None, None]);
    assert_eq!(fixture.stock(mug).await, (40, 0));
}

#[tokio::test]
async fn a_product_without_stock_has_an_empty_ledger() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(0).await;
    assert!(fixture.movements(mug).await.is_empty());
    assert!(fixture.movements(ProductId::new()).await.is_empty());
    assert_eq!(fixture.stock(mug).await, (0, 0));
}

#[tokio::test]
async fn times_never_run_backwards_whatever_the_clocks_say() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(1).await;
    for (millis, shown) in [(5_000, 5_000), (3_000, 5_000), (5_000, 5_000), (9_000, 9_000), (1, 9_000)] {
        let at = |millis| NOW.after(Duration::from_millis(millis));
        let count = StockCount { change: StockChange::Move(1), reason: None };
        let by = "somebody".to_owned();
        let write = StockWrite {
            product: mug,
            if_match: IfMatch::Any,
            count,
            by,
            now: at(millis),
            key_record: new_key(),
        };
        fixture.store.change_stock(&write).await.unwrap();
        assert_eq!(fixture.movements(mug).await[0].at, at(shown));
    }
    let times: Vec<Timestamp> = fixture.movements(mug).await.iter().map(|movement| movement.at).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older));
}

#[tokio::test]
async fn pages_of_the_ledger_neither_repeat_nor_skip_an_entry() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(1).await;
    for _ in 0..9 {
        fixture.count(mug, StockChange::Move(1)).await;
    }
    let four = PageRequest::new(Some(4), None).unwrap();
    let (mut seen, mut after) = (Vec::new(), None);
    while seen.last() != Some(&1) {
        let page = fixture.store.movements(mug, &four, after.as_ref()).await.unwrap();
        assert!((1..=4).contains(&page.data.len()));
        seen.extend(page.data.iter().map(|movement| movement.number));
        after = page.next;
        // Concurrent entries are newer than the whole page.
        fixture.count(mug, StockChange::Move(1)).await;
    }
    assert_eq!(seen, (1..=10).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn concurrent_changes_leave_a_ledger_without_a_gap() {
    let fixture = Fixture::new().await;
    let [mug, pot] = fixture.products([30, 30]).await;
    let orders = join_all((0..15).map(|place| {
        let fixture = &fixture;
        async move {
            let items = [(mug, 1), (pot, 1)];
            let items = &items[..1 + place % 2];
            let order = OrderId::new();
            fixture.hold(order, 1, items).await.unwrap();
            fixture.declare(order, 2, DeclarationKind::Ship, items).await.unwrap();
            if place % 3 == 0 {
                fixture.declare(order, 3, DeclarationKind::Restock, items).await.unwrap();
            }
        }
    }));
    let counts = join_all((0..20).map(|_| fixture.count(mug, StockChange::Move(1))));
    let (_, counts) = join(orders, counts).await;
    assert!(counts.iter().all(|count| matches!(count, StockWritten::Done(_))));
    // 15 sent, 5 returned, 20 found.
    assert_eq!(fixture.stock(mug).await, (40, 0));
    assert_eq!(fixture.movements(mug).await.len(), 1 + 15 + 5 + 20);
    let pots = fixture.movements(pot).await.len();
    assert_eq!((fixture.stock(pot).await, pots), ((25, 0), 1 + 7 + 2));
}

/// More calls than connections: those that wait for the transaction of a count must leave it one.
#[tokio::test]
async fn a_count_succeeds_beside_constant_holds() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(1_000_000).await;
    let done = std::sync::atomic::AtomicBool::new(false);
    let holds = join_all((0..24).map(|_| async {
        let mut held = 0;
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            fixture.hold(OrderId::new(), 1, &[(mug, 1)]).await.unwrap();
            held += 1;
        }
        held
    }));
    let counts = async {
        for _ in 0..20 {
            let counted = fixture.count(mug, StockChange::Move(1)).await;
            assert!(matches!(counted, StockWritten::Done(_)), "{counted:?}");
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let (held, ()) = join(holds, counts).await;
    assert_eq!(fixture.stock(mug).await, (1_000_020, held.iter().sum()));
}

/// Sum of a product's ledger, as the audit sees it.
async fn audited(fixture: &Fixture, product: ProductId) -> i64 {
    let (products, _) = fixture.store.audit(None, 1_000).await.unwrap();
    products.iter().find(|it| it.product == product).unwrap().ledger
}

/// Entries of a long ledger, and the end that the product then has. Returns the sum.
async fn lengthen(fixture: &Fixture, product: ProductId, from: i64, to: i64) -> i64 {
    let ledger = fixture.database.collection::<Document>("stock_movements");
    let entry = |number: i64| {
        doc! {
            "product": mongo::uuid(product), "number": number, "at": mongo::date(NOW), "delta": 1_i64,
            "on_hand": number, "reserved": 0_i64, "reason": null, "order": null, "by": "somebody",
            "writer": products::store::SCHEMA.version,
        }
    };
    for numbers in (from..=to).collect::<Vec<_>>().chunks(20_000) {
        ledger.insert_many(numbers.iter().map(|number| entry(*number))).await.unwrap();
    }
    let end = doc! { "$set": { "on_hand": to, "movements": to } };
    fixture.collection("stock").update_one(doc! { "_id": mongo::uuid(product) }, end).await.unwrap();
    to
}

async fn checkpoint(fixture: &Fixture, product: ProductId) -> Option<(i64, i64)> {
    let saved = fixture.database.collection::<Document>("stock_checkpoints");
    let found = saved.find_one(doc! { "_id": mongo::uuid(product) }).await.unwrap()?;
    Some((found.get_i64("number").unwrap(), found.get_i64("sum").unwrap()))
}

#[tokio::test]
async fn a_long_ledger_is_added_up_from_its_checkpoint() {
    let fixture = Fixture::new().await;
    let [mug, pot] = fixture.products([1, 7]).await;
    assert_eq!(lengthen(&fixture, mug, 2, 2_500).await, audited(&fixture, mug).await);
    assert_eq!(checkpoint(&fixture, mug).await, Some((2_500, 2_500)));
    assert_eq!((audited(&fixture, pot).await, checkpoint(&fixture, pot).await), (7, None));
    // Few new entries are not worth another checkpoint.
    assert_eq!(lengthen(&fixture, mug, 2_501, 2_600).await, audited(&fixture, mug).await);
    assert_eq!(checkpoint(&fixture, mug).await, Some((2_500, 2_500)));
    // An audit reads the new ones alone.
    fixture.database.run_command(doc! { "profile": 2 }).await.unwrap();
    audited(&fixture, mug).await;
    fixture.database.run_command(doc! { "profile": 0 }).await.unwrap();
    let profile = fixture.database.collection::<Document>("system.profile");
    let reads = doc! { "ns": { "$regex": "stock_movements$" } };
    let reads: Vec<Document> = profile.find(reads).await.unwrap().try_collect().await.unwrap();
    let read: i64 = reads.iter().map(|it| it.get_i32("docsExamined").map(i64::from).unwrap_or(0)).sum();
    assert!((100..=110).contains(&read), "{read}");
}

#[tokio::test]
async fn a_ledger_that_is_wrong_is_never_behind_a_checkpoint() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(1).await;
    let ledger = fixture.database.collection::<Document>("stock_movements");
    let number = |number: i64| doc! { "product": mongo::uuid(mug), "number": number };
    lengthen(&fixture, mug, 2, 1_500).await;
    ledger.delete_one(number(700)).await.unwrap();
    for _ in 0..2 {
        assert_eq!((audited(&fixture, mug).await, checkpoint(&fixture, mug).await), (1_499, None));
    }
    // Changed entries: the sum is right, and what the last one states is not.
    lengthen(&fixture, mug, 1_501, 1_501).await;
    ledger.update_one(number(800), doc! { "$inc": { "delta": 1_i64 } }).await.unwrap();
    assert_eq!((audited(&fixture, mug).await, checkpoint(&fixture, mug).await), (1_501, None));
}

#[tokio::test]
async fn a_checkpoint_that_is_wrong_is_not_believed() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(1).await;
    lengthen(&fixture, mug, 2, 1_500).await;
    let saved = fixture.database.collection::<Document>("stock_checkpoints");
    for (number, sum) in [
        (1_500.into(), 7_i64.into()),
        (1_200.into(), 1_500_i64.into()),
        (9_000_i64.into(), 1_500_i64.into()),
        (mongodb::bson::Bson::Null, 1_500_i64.into()),
        (1_000_i64.into(), mongodb::bson::Bson::String("x".to_owned())),
    ] {
        let wrong: Document = doc! { "$set": { "number": number, "sum": sum } };
        let set = saved.update_one(doc! { "_id": mongo::uuid(mug) }, wrong).upsert(true);
        set.bypass_document_validation(true).await.unwrap();
        assert_eq!(audited(&fixture, mug).await, 1_500);
    }
}

#[tokio::test]
async fn audits_at_once_beside_changes_save_true_checkpoints() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(1).await;
    lengthen(&fixture, mug, 2, 3_000).await;
    let audits = join_all((0..8).map(|_| audited(&fixture, mug)));
    let changes = async {
        for _ in 0..20 {
            fixture.count(mug, StockChange::Move(3)).await;
        }
    };
    let (sums, ()) = join(audits, changes).await;
    assert!(sums.iter().all(|sum| (3_000..=3_060).contains(sum)), "{sums:?}");
    let (number, sum) = checkpoint(&fixture, mug).await.unwrap();
    assert_eq!(sum, 3_000 + 3 * (number - 3_000));
    assert_eq!(audited(&fixture, mug).await, 3_060);
}

#[tokio::test]
async fn a_ledger_of_many_steps_is_verified_in_all_of_them() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(1).await;
    lengthen(&fixture, mug, 2, 401_000).await;
    assert_eq!(audited(&fixture, mug).await, 401_000);
    assert_eq!(checkpoint(&fixture, mug).await, Some((401_000, 401_000)));
}
