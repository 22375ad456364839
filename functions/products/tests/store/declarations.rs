//! Sequential declarations: their effects and rejections.

use mongodb::bson::doc;
use products::product::Status;
use products::stock::{Declaration, DeclarationKind, ItemError, Rejection, Shortage, StockChange};
use shared::error::Kind;
use shared::mongo;
use shared::values::ids::{OrderId, ProductId};
use shared::values::money::Currency;

use crate::{Fixture, NOW, ids};

fn short(product: ProductId, requested: i64, available: i64) -> Shortage {
    Shortage { product, requested, available }
}

#[tokio::test]
async fn a_first_hold_takes_the_last_unit_and_not_one_more() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(3).await;
    let (first, second) = (OrderId::new(), OrderId::new());
    assert_eq!(ids(&fixture.hold(first, 1, &[(mug, 2)]).await.unwrap()), [mug]);
    assert_eq!(fixture.stock(mug).await, (3, 2));
    assert_eq!(fixture.hold(second, 1, &[(mug, 2)]).await, Err(Rejection::Short(vec![short(mug, 2, 1)])));
    assert_eq!(fixture.stock(mug).await, (3, 2));
    fixture.hold(second, 1, &[(mug, 1)]).await.unwrap();
    assert_eq!(fixture.stock(mug).await, (3, 3));
}

#[tokio::test]
async fn a_first_hold_answers_the_products_in_item_order() {
    let fixture = Fixture::new().await;
    let [cup, mug, pot] = fixture.products([5, 5, 5]).await;
    let held = fixture.hold(OrderId::new(), 1, &[(pot, 1), (cup, 2), (mug, 5)]).await.unwrap();
    assert_eq!(ids(&held), [pot, cup, mug]);
    assert_eq!((held[0].name.as_str(), held[0].price.amount(), held[0].status), ("Mug", 500, Status::Active));
    assert_eq!(fixture.stock(cup).await, (5, 2));
    assert_eq!(fixture.stock(mug).await, (5, 5));
    assert_eq!(fixture.stock(pot).await, (5, 1));
}

#[tokio::test]
async fn all_items_are_held_or_none_and_every_shortage_is_named() {
    let fixture = Fixture::new().await;
    let [plenty, few, none] = fixture.products([9, 1, 0]).await;
    let order = OrderId::new();
    let refused = fixture.hold(order, 1, &[(plenty, 2), (few, 2), (none, 2)]).await;
    assert_eq!(refused, Err(Rejection::Short(vec![short(few, 2, 1), short(none, 2, 0)])));
    for product in [plenty, few, none] {
        assert_eq!(fixture.stock(product).await.1, 0);
    }
    // A rejection leaves nothing behind: the same revision holds once there is enough.
    fixture.count(none, StockChange::Set(2)).await;
    fixture.count(few, StockChange::Set(2)).await;
    fixture.hold(order, 1, &[(plenty, 2), (few, 2), (none, 2)]).await.unwrap();
    assert_eq!(fixture.stock(none).await, (2, 2));
}

#[tokio::test]
async fn the_same_revision_again_answers_the_same_and_changes_nothing() {
    let fixture = Fixture::new().await;
    let [cup, mug] = fixture.products([1, 1]).await;
    for items in [&[(cup, 1)][..], &[(mug, 1)][..]] {
        // The first call takes all, so that a second hold would be a shortage.
        let order = OrderId::new();
        fixture.hold(order, 1, items).await.unwrap();
        let before = fixture.documents().await;
        let again = fixture.hold(order, 1, items).await.unwrap();
        assert_eq!(ids(&again), [items[0].0]);
        assert_eq!(fixture.documents().await, before);
    }
    let [left, right] = fixture.products([2, 2]).await;
    let order = OrderId::new();
    for _ in 0..3 {
        assert_eq!(ids(&fixture.hold(order, 1, &[(right, 2), (left, 2)]).await.unwrap()), [right, left]);
    }
    assert_eq!((fixture.stock(left).await, fixture.stock(right).await), ((2, 2), (2, 2)));
}

#[tokio::test]
async fn a_lower_revision_is_refused() {
    let fixture = Fixture::new().await;
    let [cup, mug] = fixture.products([5, 5]).await;
    let order = OrderId::new();
    fixture.hold(order, 1, &[(cup, 1)]).await.unwrap();
    fixture.hold(order, 3, &[(cup, 2), (mug, 1)]).await.unwrap();
    let before = fixture.documents().await;
    for (revision, items) in
        [(1, vec![(cup, 1)]), (2, vec![]), (2, vec![(mug, 4)]), (2, vec![(cup, 1), (mug, 1)])]
    {
        assert_eq!(fixture.hold(order, revision, &items).await, Err(Rejection::Superseded), "{items:?}");
    }
    for movement in [DeclarationKind::Ship, DeclarationKind::Restock] {
        let late = fixture.declare(order, 2, movement, &[(cup, 1)]).await;
        assert_eq!(late, Err(Rejection::Superseded), "{movement:?}");
    }
    assert_eq!(fixture.documents().await, before);
}

#[tokio::test]
async fn a_late_call_cannot_revive_a_hold_that_has_ended() {
    let fixture = Fixture::new().await;
    let [cup, mug] = fixture.products([5, 5]).await;
    for items in [&[(cup, 2)][..], &[(cup, 2), (mug, 2)][..]] {
        let order = OrderId::new();
        fixture.hold(order, 1, items).await.unwrap();
        fixture.hold(order, 2, &[]).await.unwrap();
        assert_eq!(fixture.hold(order, 1, items).await, Err(Rejection::Superseded));
        assert_eq!((fixture.stock(cup).await, fixture.stock(mug).await), ((5, 0), (5, 0)));
    }
}

#[tokio::test]
async fn a_higher_revision_declares_exactly_what_is_held_from_then_on() {
    let fixture = Fixture::new().await;
    let [cup, mug, pot] = fixture.products([5, 5, 5]).await;
    let order = OrderId::new();
    let stocks =
        async || (fixture.stock(cup).await.1, fixture.stock(mug).await.1, fixture.stock(pot).await.1);
    for (revision, items, expected) in [
        (1, vec![(cup, 2)], (2, 0, 0)),
        // It grows, and includes another product.
        (2, vec![(cup, 5), (mug, 1)], (5, 1, 0)),
        // It shrinks.
        (3, vec![(cup, 1), (mug, 1)], (1, 1, 0)),
        // A product that is no longer named is released.
        (4, vec![(pot, 3)], (0, 0, 3)),
        // A released product comes back. Revisions may be skipped.
        (7, vec![(cup, 4), (pot, 3)], (4, 0, 3)),
        (8, vec![], (0, 0, 0)),
        (9, vec![(mug, 5)], (0, 5, 0)),
    ] {
        fixture.hold(order, revision, &items).await.unwrap();
        assert_eq!(stocks().await, expected, "revision {revision}");
    }
}

#[tokio::test]
async fn a_growth_that_is_refused_leaves_the_hold_as_it_was() {
    let fixture = Fixture::new().await;
    let [cup, mug] = fixture.products([5, 1]).await;
    let (order, other) = (OrderId::new(), OrderId::new());
    fixture.hold(order, 1, &[(cup, 2)]).await.unwrap();
    fixture.hold(other, 1, &[(cup, 2)]).await.unwrap();
    // Of the cup, 1 is free and 2 are held by this order; there are enough mugs.
    let refused = fixture.hold(order, 2, &[(cup, 4), (mug, 1)]).await;
    assert_eq!(refused, Err(Rejection::Short(vec![short(cup, 4, 3)])));
    assert_eq!((fixture.stock(cup).await, fixture.stock(mug).await), ((5, 4), (1, 0)));
    fixture.hold(order, 2, &[(cup, 3), (mug, 1)]).await.unwrap();
    assert_eq!((fixture.stock(cup).await, fixture.stock(mug).await), ((5, 5), (1, 1)));
}

#[tokio::test]
async fn what_is_released_can_be_held_by_another_order() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(3).await;
    let (first, second) = (OrderId::new(), OrderId::new());
    fixture.hold(first, 1, &[(mug, 3)]).await.unwrap();
    assert!(fixture.hold(second, 1, &[(mug, 1)]).await.is_err());
    assert_eq!(fixture.hold(first, 2, &[]).await, Ok(Vec::new()));
    fixture.hold(second, 1, &[(mug, 3)]).await.unwrap();
    assert_eq!(fixture.stock(mug).await, (3, 3));
    // Again, and for an unknown order: there is nothing to release.
    assert_eq!(fixture.hold(first, 2, &[]).await, Ok(Vec::new()));
    assert_eq!(fixture.hold(OrderId::new(), 2, &[]).await, Ok(Vec::new()));
    assert_eq!(fixture.stock(mug).await, (3, 3));
}

#[tokio::test]
async fn shipping_deducts_from_on_hand_once_and_ends_the_hold() {
    let fixture = Fixture::new().await;
    let [cup, mug] = fixture.products([5, 5]).await;
    let order = OrderId::new();
    let items = [(cup, 2), (mug, 5)];
    fixture.hold(order, 1, &items).await.unwrap();
    for _ in 0..2 {
        fixture.declare(order, 3, DeclarationKind::Ship, &items).await.unwrap();
        assert_eq!((fixture.stock(cup).await, fixture.stock(mug).await), ((3, 0), (0, 0)));
    }
    assert_eq!(fixture.hold(order, 2, &[]).await, Err(Rejection::Superseded));
    // Neither holding nor shipping is a change by people.
    assert_eq!(fixture.find(cup).await.version, 1);
}

#[tokio::test]
async fn more_than_is_there_cannot_be_shipped() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(3).await;
    let (order, other) = (OrderId::new(), OrderId::new());
    fixture.hold(order, 1, &[(mug, 1)]).await.unwrap();
    fixture.hold(other, 1, &[(mug, 2)]).await.unwrap();
    // Two units of it are held for another order.
    let refused = fixture.declare(order, 2, DeclarationKind::Ship, &[(mug, 2)]).await;
    assert_eq!(refused, Err(Rejection::Impossible(mug)));
    assert_eq!(fixture.stock(mug).await, (3, 3));
}

#[tokio::test]
async fn a_restock_adds_once_also_where_no_hold_is_left() {
    let fixture = Fixture::new().await;
    let [cup, mug] = fixture.products([5, 5]).await;
    for items in [&[(cup, 2), (mug, 1)][..], &[(mug, 3)]] {
        let order = OrderId::new();
        fixture.hold(order, 1, items).await.unwrap();
        fixture.declare(order, 3, DeclarationKind::Ship, items).await.unwrap();
        fixture.fold().await;
        // As if tombstones had been pruned in between. Their marks stay.
        fixture.collection("stock_holds").delete_one(doc! { "_id": mongo::uuid(order) }).await.unwrap();
        for _ in 0..3 {
            fixture.declare(order, 5, DeclarationKind::Restock, items).await.unwrap();
            assert_eq!((fixture.stock(cup).await, fixture.stock(mug).await), ((5, 0), (5, 0)));
        }
    }
}

#[tokio::test]
async fn mongodb_itself_refuses_stock_that_cannot_be() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(3).await;
    let (products, stocks) = (fixture.collection("products"), fixture.collection("stock"));
    let of_stocks = [
        doc! { "$set": { "on_hand": -1_i64 } },
        doc! { "$set": { "reserved": -1_i64 } },
        doc! { "$set": { "reserved": 4_i64 } },
        doc! { "$inc": { "on_hand": -4_i64 } },
        doc! { "$unset": { "on_hand": 1 } },
        doc! { "$unset": { "reserved": 1 } },
        doc! { "$set": { "on_hand": "many" } },
        doc! { "$set": { "reserved": null } },
        doc! { "$set": { "pending": 7 } },
        doc! { "$set": { "folds": -1_i64 } },
        doc! { "$unset": { "movements": 1 } },
    ];
    let of_products = [doc! { "$set": { "version": 0_i64 } }, doc! { "$unset": { "price": 1 } }];
    let all = of_stocks.into_iter().map(|update| (&stocks, update));
    for (collection, update) in all.chain(of_products.into_iter().map(|update| (&products, update))) {
        let refused = collection.update_one(doc! { "_id": mongo::uuid(mug) }, update.clone()).await;
        let error = refused.expect_err(&format!("{update} was written"));
        assert!(error.to_string().contains("Document failed validation"), "{update}: {error}");
    }
    assert_eq!(fixture.stock(mug).await, (3, 0));
}

#[tokio::test]
async fn an_archived_product_keeps_holds_and_takes_no_new_ones() {
    let fixture = Fixture::new().await;
    let [cup, mug] = fixture.products([5, 5]).await;
    let order = OrderId::new();
    fixture.hold(order, 1, &[(cup, 3)]).await.unwrap();
    fixture.archive(cup).await;
    // It may not grow beyond the stock, but it stays.
    fixture.hold(order, 2, &[(cup, 3), (mug, 1)]).await.unwrap();
    assert_eq!(fixture.stock(cup).await, (5, 3));
    fixture.hold(order, 3, &[(cup, 1), (mug, 1)]).await.unwrap();
    assert_eq!(fixture.stock(cup).await, (5, 1));
    let refused = Err(Rejection::ItemError(vec![(0, ItemError::NotActive)]));
    assert_eq!(fixture.hold(OrderId::new(), 1, &[(cup, 1)]).await, refused);
    assert_eq!(fixture.hold(OrderId::new(), 1, &[(cup, 1), (mug, 1)]).await, refused);
    // A released product counts as new.
    fixture.hold(order, 4, &[(mug, 1)]).await.unwrap();
    assert_eq!(fixture.hold(order, 5, &[(cup, 1), (mug, 1)]).await, refused);
    assert_eq!((fixture.stock(cup).await, fixture.stock(mug).await), ((5, 0), (5, 1)));
}

#[tokio::test]
async fn unknown_products_and_mixed_currencies_hold_nothing() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(5).await;
    let yen = fixture.product_in("JPY", 5).await;
    let unknown = ProductId::new();
    let rejection = fixture.hold(OrderId::new(), 1, &[(unknown, 1)]).await;
    assert_eq!(rejection, Err(Rejection::ItemError(vec![(0, ItemError::NotActive)])));
    let rejection = fixture.hold(OrderId::new(), 1, &[(mug, 1), (yen, 1), (unknown, 1)]).await;
    let currency = |code: &str| Currency::parse(code.to_owned()).unwrap();
    let other = ItemError::OtherCurrency { this: currency("JPY"), first: currency("EUR") };
    assert_eq!(rejection, Err(Rejection::ItemError(vec![(1, other), (2, ItemError::NotActive)])));
    assert_eq!((fixture.stock(mug).await, fixture.stock(yen).await), ((5, 0), (5, 0)));
}

#[tokio::test]
async fn a_product_is_in_stock_while_units_are_left() {
    let fixture = Fixture::new().await;
    let [mug, pot] = fixture.products([2, 0]).await;
    let in_stock = async |product| {
        let found = fixture.collection("products").find_one(doc! { "_id": mongo::uuid(product) }).await;
        found.unwrap().unwrap().get_bool("in_stock").unwrap()
    };
    let order = OrderId::new();
    // Another order, so that some declarations are about one product of which some are held.
    let other = OrderId::new();
    for (on, revision, items, expected) in [
        (order, 1, vec![(mug, 1)], true),
        (other, 1, vec![(mug, 1)], false),
        (other, 2, vec![], true),
        (order, 2, vec![(mug, 2)], false),
        (order, 3, vec![(mug, 1)], true),
    ] {
        fixture.hold(on, revision, &items).await.unwrap();
        assert_eq!(in_stock(mug).await, expected, "revision {revision}");
    }
    fixture.count(pot, StockChange::Set(1)).await;
    assert!(in_stock(pot).await);
    fixture.hold(order, 4, &[(mug, 1), (pot, 1)]).await.unwrap();
    assert!(!in_stock(pot).await);
    fixture.declare(order, 5, DeclarationKind::Ship, &[(mug, 1), (pot, 1)]).await.unwrap();
    assert!(in_stock(mug).await && !in_stock(pot).await);
    fixture.declare(order, 6, DeclarationKind::Restock, &[(pot, 1)]).await.unwrap();
    assert!(in_stock(pot).await);
    fixture.count(mug, StockChange::Set(0)).await;
    assert!(!in_stock(mug).await);
    fixture.assert_sound().await;
}

#[tokio::test]
async fn a_replay_answers_the_product_as_it_was_held() {
    let fixture = Fixture::new().await;
    let [cup, mug] = fixture.products([9, 9]).await;
    for items in [&[(cup, 1)][..], &[(mug, 1), (cup, 1)]] {
        for is_folded in [false, true] {
            let order = OrderId::new();
            let held = fixture.hold(order, 1, items).await.unwrap();
            if is_folded {
                fixture.fold().await;
            }
            fixture.rename(cup).await;
            assert_eq!(fixture.hold(order, 1, items).await.unwrap(), held);
            // Less of it keeps the name too, and more of it has the name of now.
            let kept = fixture.hold(order, 2, items).await.unwrap();
            assert_eq!(kept, held);
            let more: Vec<_> = items.iter().map(|(product, _)| (*product, 2)).collect();
            let renamed = fixture.hold(order, 3, &more).await.unwrap();
            assert_ne!(renamed, held);
            assert_eq!(fixture.hold(order, 3, &more).await.unwrap(), renamed);
        }
    }
}

#[tokio::test]
async fn a_stock_that_refuses_a_write_is_an_error_at_once() {
    let fixture = Fixture::new().await;
    let [cup, mug] = fixture.products([9, 9]).await;
    for items in [&[(mug, 2)][..], &[(mug, 2), (cup, 1)]] {
        let order = OrderId::new();
        fixture.hold(order, 1, items).await.unwrap();
        // Fewer are reserved than are held: a release would go below 0.
        let damaged = doc! { "$set": { "reserved": 0_i64 } };
        fixture.collection("stock").update_one(doc! { "_id": mongo::uuid(mug) }, damaged).await.unwrap();
        let release = Declaration { order, revision: 2, kind: DeclarationKind::Hold, items: Vec::new() };
        let error = fixture.store.declare(&release, NOW).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Internal);
    }
}
