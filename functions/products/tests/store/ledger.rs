//! Ledger: one entry for every change of the on-hand count, in the true sequence, and no other.

use std::time::Duration;

use futures::future::{join, join_all};
use products::ledger::{Cause, StockMovement};
use products::stock::{DeclarationKind, StockChange, StockCount};
use products::store::{StockWrite, StockWritten};
use shared::http::conditional::IfMatch;
use shared::input::page::PageRequest;
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
