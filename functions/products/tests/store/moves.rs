//! Declarations with counts: what is shipped, cancelled and restocked in parts.

use std::time::Duration;

use futures::future::{join, join_all};
use mongodb::bson::{Bson, doc};
use products::stock::{Counts, Declaration, DeclarationKind, Item, Rejection};
use shared::error::Kind;
use shared::mongo;
use shared::values::ids::{OrderId, ProductId};

use crate::{Fixture, NOW};

fn counts(shipped: i64, restocked: i64) -> Counts {
    Counts { shipped, restocked }
}

/// Item of an order that had no counts before.
fn part(product: ProductId, held: i64, shipped: i64, restocked: i64) -> Item {
    Item { counts: counts(shipped, restocked), ..Item::new(product, held) }
}

fn moving(order: OrderId, revision: i64, items: &[Item]) -> Declaration {
    Declaration { order, revision, kind: DeclarationKind::Move, items: items.to_vec() }
}

async fn moves(fixture: &Fixture, order: OrderId, revision: i64, items: &[Item]) -> Result<(), Rejection> {
    fixture.declares(moving(order, revision, items)).await.map(drop)
}

/// Reads the revision, the units and the counts that an order's hold of a product has.
async fn kept(fixture: &Fixture, order: OrderId, product: ProductId) -> Option<(i64, i64, Option<Counts>)> {
    let holds = fixture.store.find_holds(&[order]).await.unwrap();
    let hold = holds.iter().find(|hold| hold.product == product)?;
    Some((hold.revision, hold.quantity, hold.counts))
}

/// Reads the deltas and reasons of a product's ledger after its first entry, oldest first.
async fn ledger(fixture: &Fixture, product: ProductId) -> Vec<(i64, String)> {
    let mut movements = fixture.movements(product).await;
    movements.reverse();
    movements.into_iter().skip(1).map(|it| (it.delta, it.cause.reason.unwrap_or_default())).collect()
}

#[tokio::test]
async fn a_part_is_shipped_and_the_rest_stays_held() {
    let fixture = Fixture::new().await;
    let [mug, pot] = fixture.products([9, 9]).await;
    for (items, expected) in
        [(&[(mug, 3)][..], [(7, 1), (9, 0)]), (&[(mug, 3), (pot, 2)][..], [(5, 2), (9, 2)])]
    {
        let order = OrderId::new();
        fixture.hold(order, 1, items).await.unwrap();
        let mut parts = vec![part(mug, 1, 2, 0)];
        parts.extend(items.get(1).map(|_| part(pot, 2, 0, 0)));
        moves(&fixture, order, 2, &parts).await.unwrap();
        assert_eq!([fixture.stock(mug).await, fixture.stock(pot).await], expected);
        assert_eq!(kept(&fixture, order, mug).await, Some((2, 1, Some(counts(2, 0)))));
        // Also where nothing was moved.
        let of_pot = items.get(1).map(|_| (2, 2, Some(counts(0, 0))));
        assert_eq!(kept(&fixture, order, pot).await, of_pot);
        fixture.store.fold_journals(None, 10).await.unwrap();
        assert_eq!(kept(&fixture, order, mug).await, Some((2, 1, Some(counts(2, 0)))));
    }
}

#[tokio::test]
async fn parts_add_up_until_all_is_shipped_and_comes_back() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(5).await;
    let order = OrderId::new();
    fixture.hold(order, 1, &[(mug, 5)]).await.unwrap();
    for (revision, item, expected) in [
        (2, part(mug, 3, 2, 0), (3, 3)),
        (3, part(mug, 0, 5, 0), (0, 0)),
        (4, part(mug, 0, 5, 1), (1, 0)),
        (7, part(mug, 0, 5, 4), (4, 0)),
    ] {
        for _ in 0..2 {
            moves(&fixture, order, revision, &[item]).await.unwrap();
            assert_eq!(fixture.stock(mug).await, expected, "{revision}");
        }
    }
    let expected = [(-2, "shipped"), (-3, "shipped"), (1, "returned"), (3, "returned")];
    assert_eq!(ledger(&fixture, mug).await, expected.map(|(delta, reason)| (delta, reason.to_owned())));
    // Nothing is held any more: a tombstone.
    let holds = fixture.all("stock_holds").await;
    assert!(!holds[0].get_bool("live").unwrap());
}

#[tokio::test]
async fn units_of_a_cancelled_fulfillment_go_to_no_other_buyer() {
    let fixture = Fixture::new().await;
    let [mug, pot] = fixture.products([3, 3]).await;
    for items in [&[(mug, 3)][..], &[(pot, 3), (mug, 3)]] {
        let order = OrderId::new();
        fixture.hold(order, 1, items).await.unwrap();
        let parts = |held, shipped| -> Vec<Item> {
            items.iter().map(|(product, _)| part(*product, held, shipped, 0)).collect()
        };
        moves(&fixture, order, 2, &parts(0, 3)).await.unwrap();
        assert_eq!(fixture.stock(mug).await, (0, 0));
        let buys = join_all((0..12).map(async |_| {
            for _ in 0..3 {
                let bought = fixture.hold(OrderId::new(), 1, &[(mug, 1)]).await;
                assert!(matches!(bought, Err(Rejection::Short(_))), "{bought:?}");
            }
        }));
        let (cancelled, _) = join(moves(&fixture, order, 3, &parts(3, 0)), buys).await;
        cancelled.unwrap();
        assert_eq!(fixture.stock(mug).await, (3, 3));
        assert_eq!(kept(&fixture, order, mug).await, Some((3, 3, Some(counts(0, 0)))));
        let newest = ledger(&fixture, mug).await.pop();
        assert_eq!(newest, Some((3, "unshipped".to_owned())));
        fixture.hold(order, 4, &[]).await.unwrap();
    }
}

#[tokio::test]
async fn an_archived_product_is_held_again_and_not_more_of_it() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(9).await;
    let order = OrderId::new();
    fixture.hold(order, 1, &[(mug, 2)]).await.unwrap();
    moves(&fixture, order, 2, &[part(mug, 0, 2, 0)]).await.unwrap();
    fixture.archive(mug).await;
    moves(&fixture, order, 3, &[part(mug, 2, 0, 0)]).await.unwrap();
    assert_eq!(fixture.stock(mug).await, (9, 2));
    let more = moves(&fixture, order, 4, &[part(mug, 3, 0, 0)]).await;
    assert!(matches!(more, Err(Rejection::ItemError(_))), "{more:?}");
    assert_eq!(fixture.stock(mug).await, (9, 2));
}

#[tokio::test]
async fn units_that_are_held_again_keep_their_name() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(9).await;
    let order = OrderId::new();
    let held = fixture.hold(order, 1, &[(mug, 2)]).await.unwrap();
    moves(&fixture, order, 2, &[part(mug, 0, 2, 0)]).await.unwrap();
    fixture.rename(mug).await;
    moves(&fixture, order, 3, &[part(mug, 2, 0, 0)]).await.unwrap();
    assert_eq!(fixture.hold(order, 4, &[(mug, 2)]).await.unwrap(), held);
}

#[tokio::test]
async fn twins_and_late_moves_change_nothing() {
    let fixture = Fixture::new().await;
    let [mug, pot] = fixture.products([9, 9]).await;
    for count in [1, 2] {
        let order = OrderId::new();
        let products = &[mug, pot][..count];
        let items: Vec<_> = products.iter().map(|product| (*product, 3)).collect();
        let parts = |held, shipped| -> Vec<Item> {
            products.iter().map(|product| part(*product, held, shipped, 0)).collect()
        };
        fixture.hold(order, 1, &items).await.unwrap();
        let before = fixture.stock(mug).await;
        let twins = parts(1, 2);
        for twin in join_all((0..12).map(|_| moves(&fixture, order, 3, &twins))).await {
            twin.unwrap();
        }
        let once = (before.0 - 2, before.1 - 2);
        assert_eq!(fixture.stock(mug).await, once);
        let documents = fixture.documents().await;
        moves(&fixture, order, 3, &parts(1, 2)).await.unwrap();
        assert_eq!(moves(&fixture, order, 2, &parts(0, 3)).await, Err(Rejection::Superseded));
        assert_eq!(fixture.hold(order, 2, &items).await, Err(Rejection::Superseded));
        assert_eq!(fixture.documents().await, documents);
        fixture.fold().await;
        moves(&fixture, order, 3, &parts(1, 2)).await.unwrap();
        assert_eq!(moves(&fixture, order, 2, &parts(0, 3)).await, Err(Rejection::Superseded));
        assert_eq!(fixture.stock(mug).await, once);
    }
}

#[tokio::test]
async fn a_move_does_the_work_of_one_that_never_arrived() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(9).await;
    let order = OrderId::new();
    fixture.hold(order, 1, &[(mug, 4)]).await.unwrap();
    // Revision 2 shipped two, and arrives after 3.
    moves(&fixture, order, 3, &[part(mug, 1, 3, 0)]).await.unwrap();
    assert_eq!(moves(&fixture, order, 2, &[part(mug, 2, 2, 0)]).await, Err(Rejection::Superseded));
    assert_eq!(fixture.stock(mug).await, (6, 1));
}

#[tokio::test]
async fn counts_outlive_holds_and_folds() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(20).await;
    let order = OrderId::new();
    fixture.hold(order, 1, &[(mug, 6)]).await.unwrap();
    moves(&fixture, order, 2, &[part(mug, 4, 2, 0)]).await.unwrap();
    let mut revision = 2;
    for held in [3, 2] {
        for is_folded in [false, true] {
            revision += 1;
            // An entry of the journal, which has no counts.
            fixture.hold(order, revision, &[(mug, held)]).await.unwrap();
            if is_folded {
                fixture.fold().await;
            }
            assert_eq!(kept(&fixture, order, mug).await, Some((revision, held, Some(counts(2, 0)))));
        }
    }
    assert_eq!(fixture.stock(mug).await, (18, 2));
    // On top of an entry, and of one that is folded.
    for (held, shipped, is_folded) in [(1, 3, false), (0, 4, true)] {
        fixture.hold(order, revision + 1, &[(mug, held + 1)]).await.unwrap();
        if is_folded {
            fixture.fold().await;
        }
        revision += 2;
        moves(&fixture, order, revision, &[part(mug, held, shipped, 0)]).await.unwrap();
        assert_eq!(fixture.stock(mug).await, (20 - shipped, held));
        assert_eq!(kept(&fixture, order, mug).await, Some((revision, held, Some(counts(shipped, 0)))));
    }
}

#[tokio::test]
async fn counts_outlive_holds_of_several_products() {
    let fixture = Fixture::new().await;
    let [mug, pot] = fixture.products([9, 9]).await;
    let order = OrderId::new();
    fixture.hold(order, 1, &[(mug, 2), (pot, 2)]).await.unwrap();
    moves(&fixture, order, 2, &[part(mug, 0, 2, 0), part(pot, 2, 0, 0)]).await.unwrap();
    fixture.hold(order, 3, &[(pot, 1)]).await.unwrap();
    assert_eq!(kept(&fixture, order, mug).await, Some((3, 0, Some(counts(2, 0)))));
    assert_eq!(kept(&fixture, order, pot).await, Some((3, 1, Some(counts(0, 0)))));
    moves(&fixture, order, 4, &[part(mug, 0, 2, 1), part(pot, 0, 1, 0)]).await.unwrap();
    assert_eq!([fixture.stock(mug).await, fixture.stock(pot).await], [(8, 0), (8, 0)]);
}

#[tokio::test]
async fn after_pruning_counts_begin_with_those_from_before() {
    let fixture = Fixture::new().await;
    let [mug, pot] = fixture.products([9, 9]).await;
    for is_older in [false, true] {
        let order = OrderId::new();
        let items = [(mug, 3), (pot, 1)];
        fixture.hold(order, 1, &items).await.unwrap();
        if is_older {
            // It leaves no counts.
            fixture.declare(order, 2, DeclarationKind::Ship, &items).await.unwrap();
            assert_eq!(kept(&fixture, order, mug).await, Some((2, 0, None)));
        } else {
            moves(&fixture, order, 2, &[part(mug, 0, 3, 0), part(pot, 0, 1, 0)]).await.unwrap();
            assert_eq!(fixture.store.prune_holds(&[order], Duration::ZERO).await.unwrap(), 1);
            assert_eq!(kept(&fixture, order, mug).await, None);
        }
        let (on_hand, _) = fixture.stock(mug).await;
        let now = |restocked| {
            let of_mug = Item { before: counts(3, 0), ..part(mug, 0, 3, restocked) };
            [of_mug, Item { before: counts(1, 0), ..part(pot, 0, 1, 0) }]
        };
        for (revision, restocked) in [(3, 1), (3, 1), (4, 3), (4, 3)] {
            moves(&fixture, order, revision, &now(restocked)).await.unwrap();
            assert_eq!(fixture.stock(mug).await, (on_hand + restocked, 0));
            assert_eq!(kept(&fixture, order, mug).await, Some((revision, 0, Some(counts(3, restocked)))));
        }
        assert_eq!(moves(&fixture, order, 2, &now(0)).await, Err(Rejection::Superseded));
        fixture.declare(order, 5, DeclarationKind::Restock, &[(pot, 1)]).await.unwrap();
    }
}

#[tokio::test]
async fn a_move_of_nothing_leaves_its_revision_and_its_counts() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(9).await;
    let order = OrderId::new();
    let all_back = Item { before: counts(2, 2), ..part(mug, 0, 2, 2) };
    moves(&fixture, order, 5, &[all_back]).await.unwrap();
    assert_eq!(kept(&fixture, order, mug).await, Some((5, 0, Some(counts(2, 2)))));
    assert!(ledger(&fixture, mug).await.is_empty());
    assert_eq!(fixture.hold(order, 4, &[(mug, 1)]).await, Err(Rejection::Superseded));
    // They are kept, so those from before count no more.
    let late = Item { before: counts(0, 0), ..part(mug, 0, 2, 2) };
    moves(&fixture, order, 6, &[late]).await.unwrap();
    assert_eq!(fixture.stock(mug).await, (9, 0));
}

#[tokio::test]
async fn each_count_that_moves_has_its_entry_in_the_ledger() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(5).await;
    let order = OrderId::new();
    fixture.hold(order, 1, &[(mug, 5)]).await.unwrap();
    for (revision, item, expected) in [
        (2, part(mug, 1, 4, 0), vec![(-4, 1, "shipped")]),
        // What comes back is there before anything leaves.
        (3, part(mug, 0, 5, 2), vec![(2, 3, "returned"), (-1, 2, "shipped")]),
        // Both come back, and no unit is free meanwhile.
        (4, part(mug, 2, 3, 3), vec![(1, 3, "returned"), (2, 5, "unshipped")]),
        // As much as leaves.
        (5, part(mug, 1, 4, 4), vec![(1, 6, "returned"), (-1, 5, "shipped")]),
    ] {
        let before = ledger(&fixture, mug).await.len();
        moves(&fixture, order, revision, &[item]).await.unwrap();
        let mut movements = fixture.movements(mug).await;
        movements.reverse();
        let new = movements.iter().skip(before + 1);
        let new: Vec<_> =
            new.map(|it| (it.delta, it.stock.on_hand, it.cause.reason.as_deref().unwrap())).collect();
        assert_eq!(new, expected, "{revision}");
        assert!(movements.iter().skip(1).all(|it| it.cause.order == Some(order) && it.cause.by == "system"));
        assert!(movements.iter().all(|it| it.stock.reserved <= it.stock.on_hand));
        let newest = movements.last().unwrap().stock;
        assert_eq!((newest.on_hand, newest.reserved), fixture.stock(mug).await);
    }
}

#[tokio::test]
async fn more_than_is_there_is_not_moved() {
    let fixture = Fixture::new().await;
    let [mug, pot] = fixture.products([3, 9]).await;
    let (order, other) = (OrderId::new(), OrderId::new());
    fixture.hold(order, 1, &[(mug, 1), (pot, 1)]).await.unwrap();
    fixture.hold(other, 1, &[(mug, 2)]).await.unwrap();
    let before = fixture.documents().await;
    let taken = moves(&fixture, order, 2, &[part(pot, 0, 1, 0), part(mug, 0, 2, 0)]).await;
    assert!(matches!(taken, Err(Rejection::Short(_))), "{taken:?}");
    let lost = Item { before: counts(0, 1), ..part(mug, 1, 0, 0) };
    let lost = moves(&fixture, order, 2, &[part(pot, 0, 1, 0), lost]).await;
    assert_eq!(lost, Err(Rejection::Impossible(mug)));
    assert_eq!(fixture.documents().await, before);
}

#[tokio::test]
async fn moves_beside_rivals_keep_stock_within_bounds() {
    let fixture = Fixture::new().await;
    let [mug, pot] = fixture.products([12, 12]).await;
    for round in 0..4 {
        let order = OrderId::new();
        fixture.hold(order, 1, &[(mug, 4), (pot, 4)]).await.unwrap();
        let moving = join_all([1, 4, 0, 2, 3, 1].into_iter().zip(2..).map(async |(shipped, revision)| {
            let parts = [part(mug, 4 - shipped, shipped, 0), part(pot, 4 - shipped, shipped, 0)];
            match moves(&fixture, order, revision, &parts).await {
                Ok(()) | Err(Rejection::Superseded) => {}
                Err(other) => panic!("{other:?}"),
            }
        }));
        let rivals = join_all((0..12).map(async |place| {
            let items = &[(mug, 3), (pot, 3)][..1 + place % 2];
            let rival = OrderId::new();
            match fixture.hold(rival, 1, items).await {
                Ok(_) => drop(fixture.hold(rival, 2, &[]).await.unwrap()),
                Err(rejection) => assert!(matches!(rejection, Rejection::Short(_)), "{rejection:?}"),
            }
        }));
        join(join(moving, rivals), fixture.fold()).await;
        // The newest revision has shipped one.
        let shipped_before = i64::from(round);
        let expected = (11 - shipped_before, 3);
        assert_eq!([fixture.stock(mug).await, fixture.stock(pot).await], [expected; 2]);
        assert_eq!(kept(&fixture, order, mug).await, Some((7, 3, Some(counts(1, 0)))));
        fixture.hold(order, 8, &[]).await.unwrap();
    }
}

#[tokio::test]
async fn a_move_whose_answer_is_lost_moves_once() {
    let fixture = Fixture::new().await;
    let [mug, pot] = fixture.products([9, 9]).await;
    for count in [1, 2] {
        let order = OrderId::new();
        let products = &[mug, pot][..count];
        let items: Vec<_> = products.iter().map(|product| (*product, 2)).collect();
        let parts: Vec<Item> = products.iter().map(|product| part(*product, 1, 1, 0)).collect();
        fixture.hold(order, 1, &items).await.unwrap();
        let (on_hand, reserved) = fixture.stock(mug).await;
        let cut_off = fixture.failing_once("commitTransaction", doc! { "closeConnection": true }).await;
        let elsewhere = Fixture { database: fixture.database.clone(), store: cut_off };
        moves(&elsewhere, order, 2, &parts).await.unwrap();
        moves(&fixture, order, 2, &parts).await.unwrap();
        assert_eq!(fixture.stock(mug).await, (on_hand - 1, reserved - 1));
    }
}

#[tokio::test]
async fn a_move_whose_caller_has_gone_is_done_by_the_next() {
    let fixture = Fixture::new().await;
    let [mug, pot] = fixture.products([9, 9]).await;
    let order = OrderId::new();
    fixture.hold(order, 1, &[(mug, 2), (pot, 2)]).await.unwrap();
    let parts = [part(mug, 1, 1, 0), part(pot, 2, 0, 0)];
    // Before its first write, and before its commit.
    for (command, revision) in [("update", 2), ("commitTransaction", 3)] {
        let blocked = doc! { "blockConnection": true, "blockTimeMS": 300 };
        let store = fixture.failing_once(command, blocked).await;
        let gone = moving(order, revision, &parts);
        let gone = tokio::time::timeout(Duration::from_millis(100), store.declare(&gone, NOW)).await;
        drop(gone);
        moves(&fixture, order, revision, &parts).await.unwrap();
        assert_eq!([fixture.stock(mug).await, fixture.stock(pot).await], [(8, 1), (9, 2)]);
    }
}

#[tokio::test]
async fn a_hold_that_cannot_be_read_moves_nothing() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(9).await;
    let order = OrderId::new();
    fixture.hold(order, 1, &[(mug, 3)]).await.unwrap();
    moves(&fixture, order, 2, &[part(mug, 2, 1, 0)]).await.unwrap();
    let (holds, of_order) = (fixture.collection("stock_holds"), doc! { "_id": mongo::uuid(order) });
    for damage in [Bson::Int64(-1), Bson::String("one".to_owned())] {
        let damaged = doc! { "$set": { "items.0.shipped": damage } };
        let refused = holds.update_one(of_order.clone(), damaged).await.unwrap_err();
        assert!(refused.to_string().contains("Document failed validation"), "{refused}");
    }
    let damaged = doc! { "$set": { "items.0.shipped": "one" } };
    holds.update_one(of_order.clone(), damaged).bypass_document_validation(true).await.unwrap();
    let next = moving(order, 3, &[part(mug, 0, 3, 0)]);
    assert_eq!(fixture.store.declare(&next, NOW).await.unwrap_err().kind(), Kind::Internal);
    assert_eq!(fixture.stock(mug).await, (8, 2));
    let repaired = doc! { "$set": { "items.0.shipped": 1_i64 } };
    holds.update_one(of_order, repaired).await.unwrap();
    moves(&fixture, order, 3, &[part(mug, 0, 3, 0)]).await.unwrap();
    assert_eq!(fixture.stock(mug).await, (6, 0));
}
