//! One call after the other: what each leaves, and what is refused.

use std::time::Duration;

use mongodb::bson::{Document, doc};
use products::product::Status;
use products::stock::{
    DeclarationKind, ItemError, MAX_ENTRIES, MAX_LIVE_HOLDS, Rejection, Shortage, StockChange,
};
use shared::mongo;
use shared::values::ids::{OrderId, ProductId};
use shared::values::money::Currency;

use crate::{NOW, Shelves, ids};

fn short(product: ProductId, requested: i64, available: i64) -> Shortage {
    Shortage { product, requested, available }
}

#[tokio::test]
async fn a_first_hold_of_one_item_takes_the_last_piece_and_not_one_more() {
    let shelves = Shelves::new().await;
    let mug = shelves.product(3).await;
    let (first, second) = (OrderId::new(), OrderId::new());
    assert_eq!(ids(&shelves.hold(first, 1, &[(mug, 2)]).await.unwrap()), [mug]);
    assert_eq!(shelves.stock(mug).await, (3, 2));
    assert_eq!(shelves.hold(second, 1, &[(mug, 2)]).await, Err(Rejection::Short(vec![short(mug, 2, 1)])));
    assert_eq!(shelves.stock(mug).await, (3, 2));
    shelves.hold(second, 1, &[(mug, 1)]).await.unwrap();
    assert_eq!(shelves.stock(mug).await, (3, 3));
}

#[tokio::test]
async fn a_first_hold_of_several_items_answers_the_products_in_the_order_of_the_items() {
    let shelves = Shelves::new().await;
    let [cup, mug, pot] = shelves.products([5, 5, 5]).await;
    let held = shelves.hold(OrderId::new(), 1, &[(pot, 1), (cup, 2), (mug, 5)]).await.unwrap();
    assert_eq!(ids(&held), [pot, cup, mug]);
    assert_eq!((held[0].name.as_str(), held[0].price.amount(), held[0].status), ("Mug", 500, Status::Active));
    assert_eq!(shelves.stock(cup).await, (5, 2));
    assert_eq!(shelves.stock(mug).await, (5, 5));
    assert_eq!(shelves.stock(pot).await, (5, 1));
}

#[tokio::test]
async fn all_items_are_held_or_none_and_every_shortage_is_named() {
    let shelves = Shelves::new().await;
    let [plenty, few, none] = shelves.products([9, 1, 0]).await;
    let order = OrderId::new();
    let refused = shelves.hold(order, 1, &[(plenty, 2), (few, 2), (none, 2)]).await;
    assert_eq!(refused, Err(Rejection::Short(vec![short(few, 2, 1), short(none, 2, 0)])));
    for product in [plenty, few, none] {
        assert_eq!(shelves.stock(product).await.1, 0);
    }
    // What was refused has left nothing behind: the same revision holds once there is enough.
    shelves.count(none, StockChange::Set(2)).await;
    shelves.count(few, StockChange::Set(2)).await;
    shelves.hold(order, 1, &[(plenty, 2), (few, 2), (none, 2)]).await.unwrap();
    assert_eq!(shelves.stock(none).await, (2, 2));
}

#[tokio::test]
async fn the_same_revision_again_answers_the_same_and_changes_nothing() {
    let shelves = Shelves::new().await;
    let [cup, mug] = shelves.products([1, 1]).await;
    for items in [&[(cup, 1)][..], &[(mug, 1)][..]] {
        // All is taken by the first call, so that a second hold would be a shortage.
        let order = OrderId::new();
        shelves.hold(order, 1, items).await.unwrap();
        let before = shelves.documents().await;
        let again = shelves.hold(order, 1, items).await.unwrap();
        assert_eq!(ids(&again), [items[0].0]);
        assert_eq!(shelves.documents().await, before);
    }
    let [left, right] = shelves.products([2, 2]).await;
    let order = OrderId::new();
    for _ in 0..3 {
        assert_eq!(ids(&shelves.hold(order, 1, &[(right, 2), (left, 2)]).await.unwrap()), [right, left]);
    }
    assert_eq!((shelves.stock(left).await, shelves.stock(right).await), ((2, 2), (2, 2)));
}

#[tokio::test]
async fn a_lower_revision_is_refused() {
    let shelves = Shelves::new().await;
    let [cup, mug] = shelves.products([5, 5]).await;
    let order = OrderId::new();
    shelves.hold(order, 1, &[(cup, 1)]).await.unwrap();
    shelves.hold(order, 3, &[(cup, 2), (mug, 1)]).await.unwrap();
    let before = shelves.documents().await;
    for (revision, items) in
        [(1, vec![(cup, 1)]), (2, vec![]), (2, vec![(mug, 4)]), (2, vec![(cup, 1), (mug, 1)])]
    {
        assert_eq!(shelves.hold(order, revision, &items).await, Err(Rejection::Superseded), "{items:?}");
    }
    for movement in [DeclarationKind::Ship, DeclarationKind::Restock] {
        let late = shelves.declare(order, 2, movement, &[(cup, 1)]).await;
        assert_eq!(late, Err(Rejection::Superseded), "{movement:?}");
    }
    assert_eq!(shelves.documents().await, before);
}

#[tokio::test]
async fn a_late_call_cannot_revive_a_hold_that_has_ended() {
    let shelves = Shelves::new().await;
    let [cup, mug] = shelves.products([5, 5]).await;
    for items in [&[(cup, 2)][..], &[(cup, 2), (mug, 2)][..]] {
        let order = OrderId::new();
        shelves.hold(order, 1, items).await.unwrap();
        shelves.hold(order, 2, &[]).await.unwrap();
        assert_eq!(shelves.hold(order, 1, items).await, Err(Rejection::Superseded));
        assert_eq!((shelves.stock(cup).await, shelves.stock(mug).await), ((5, 0), (5, 0)));
    }
}

#[tokio::test]
async fn a_higher_revision_declares_exactly_what_is_held_from_then_on() {
    let shelves = Shelves::new().await;
    let [cup, mug, pot] = shelves.products([5, 5, 5]).await;
    let order = OrderId::new();
    let stocks =
        async || (shelves.stock(cup).await.1, shelves.stock(mug).await.1, shelves.stock(pot).await.1);
    for (revision, items, expected) in [
        (1, vec![(cup, 2)], (2, 0, 0)),
        // It grows, and takes in another product.
        (2, vec![(cup, 5), (mug, 1)], (5, 1, 0)),
        // It shrinks.
        (3, vec![(cup, 1), (mug, 1)], (1, 1, 0)),
        // A product that is no longer named is free.
        (4, vec![(pot, 3)], (0, 0, 3)),
        // One that was let go comes back. Revisions may be skipped.
        (7, vec![(cup, 4), (pot, 3)], (4, 0, 3)),
        (8, vec![], (0, 0, 0)),
        (9, vec![(mug, 5)], (0, 5, 0)),
    ] {
        shelves.hold(order, revision, &items).await.unwrap();
        assert_eq!(stocks().await, expected, "revision {revision}");
    }
}

#[tokio::test]
async fn a_growth_that_is_refused_leaves_the_hold_as_it_was() {
    let shelves = Shelves::new().await;
    let [cup, mug] = shelves.products([5, 1]).await;
    let (order, other) = (OrderId::new(), OrderId::new());
    shelves.hold(order, 1, &[(cup, 2)]).await.unwrap();
    shelves.hold(other, 1, &[(cup, 2)]).await.unwrap();
    // Of the cup, 1 is free and 2 are this order's own; the mug would do.
    let refused = shelves.hold(order, 2, &[(cup, 4), (mug, 1)]).await;
    assert_eq!(refused, Err(Rejection::Short(vec![short(cup, 4, 3)])));
    assert_eq!((shelves.stock(cup).await, shelves.stock(mug).await), ((5, 4), (1, 0)));
    shelves.hold(order, 2, &[(cup, 3), (mug, 1)]).await.unwrap();
    assert_eq!((shelves.stock(cup).await, shelves.stock(mug).await), ((5, 5), (1, 1)));
}

#[tokio::test]
async fn what_is_released_can_be_held_by_another_order() {
    let shelves = Shelves::new().await;
    let mug = shelves.product(3).await;
    let (first, second) = (OrderId::new(), OrderId::new());
    shelves.hold(first, 1, &[(mug, 3)]).await.unwrap();
    assert!(shelves.hold(second, 1, &[(mug, 1)]).await.is_err());
    assert_eq!(shelves.hold(first, 2, &[]).await, Ok(Vec::new()));
    shelves.hold(second, 1, &[(mug, 3)]).await.unwrap();
    assert_eq!(shelves.stock(mug).await, (3, 3));
    // Again, and for an order that nobody knows: there is nothing to free.
    assert_eq!(shelves.hold(first, 2, &[]).await, Ok(Vec::new()));
    assert_eq!(shelves.hold(OrderId::new(), 2, &[]).await, Ok(Vec::new()));
    assert_eq!(shelves.stock(mug).await, (3, 3));
}

#[tokio::test]
async fn shipping_takes_off_the_hand_once_and_ends_the_hold() {
    let shelves = Shelves::new().await;
    let [cup, mug] = shelves.products([5, 5]).await;
    let order = OrderId::new();
    let items = [(cup, 2), (mug, 5)];
    shelves.hold(order, 1, &items).await.unwrap();
    for _ in 0..2 {
        shelves.declare(order, 3, DeclarationKind::Ship, &items).await.unwrap();
        assert_eq!((shelves.stock(cup).await, shelves.stock(mug).await), ((3, 0), (0, 0)));
    }
    assert_eq!(shelves.hold(order, 2, &[]).await, Err(Rejection::Superseded));
    // Neither holding nor shipping is a change by people.
    assert_eq!(shelves.find(cup).await.version, 1);
}

#[tokio::test]
async fn more_than_is_there_cannot_be_shipped() {
    let shelves = Shelves::new().await;
    let mug = shelves.product(3).await;
    let (order, other) = (OrderId::new(), OrderId::new());
    shelves.hold(order, 1, &[(mug, 1)]).await.unwrap();
    shelves.hold(other, 1, &[(mug, 2)]).await.unwrap();
    // Two pieces of it are another order's.
    let refused = shelves.declare(order, 2, DeclarationKind::Ship, &[(mug, 2)]).await;
    assert_eq!(refused, Err(Rejection::Impossible(mug)));
    assert_eq!(shelves.stock(mug).await, (3, 3));
}

#[tokio::test]
async fn a_restock_adds_once_also_where_no_entry_is_left() {
    let shelves = Shelves::new().await;
    let [cup, mug] = shelves.products([5, 5]).await;
    let order = OrderId::new();
    let items = [(cup, 2), (mug, 1)];
    shelves.hold(order, 1, &items).await.unwrap();
    shelves.declare(order, 3, DeclarationKind::Ship, &items).await.unwrap();
    // As if tombstones had been let go in between.
    let emptied = shelves
        .database
        .collection::<Document>("products")
        .update_one(doc! { "_id": mongo::uuid(mug) }, doc! { "$set": { "holds": [] } })
        .await
        .unwrap();
    assert_eq!(emptied.modified_count, 1);
    for _ in 0..3 {
        shelves.declare(order, 5, DeclarationKind::Restock, &items).await.unwrap();
        assert_eq!((shelves.stock(cup).await, shelves.stock(mug).await), ((5, 0), (5, 0)));
    }
}

#[tokio::test]
async fn mongodb_itself_refuses_stock_that_cannot_be() {
    let shelves = Shelves::new().await;
    let mug = shelves.product(3).await;
    let products = shelves.database.collection::<Document>("products");
    for update in [
        doc! { "$set": { "on_hand": -1_i64 } },
        doc! { "$set": { "reserved": -1_i64 } },
        doc! { "$set": { "reserved": 4_i64 } },
        doc! { "$inc": { "on_hand": -4_i64 } },
        doc! { "$set": { "version": 0_i64 } },
        doc! { "$unset": { "on_hand": 1 } },
        doc! { "$unset": { "reserved": 1 } },
        doc! { "$set": { "on_hand": "many" } },
        doc! { "$set": { "reserved": null } },
        doc! { "$set": { "live": -1_i64 } },
        doc! { "$unset": { "movements": 1 } },
    ] {
        let refused = products.update_one(doc! { "_id": mongo::uuid(mug) }, update.clone()).await;
        let error = refused.expect_err(&format!("{update} was written"));
        assert!(error.to_string().contains("Document failed validation"), "{update}: {error}");
    }
    assert_eq!(shelves.stock(mug).await, (3, 0));
}

#[tokio::test]
async fn of_an_archived_product_a_hold_may_stay_or_shrink_and_no_new_one_is_taken() {
    let shelves = Shelves::new().await;
    let [cup, mug] = shelves.products([5, 5]).await;
    let order = OrderId::new();
    shelves.hold(order, 1, &[(cup, 3)]).await.unwrap();
    shelves.archive(cup).await;
    // It may not grow beyond what is there, but it stays.
    shelves.hold(order, 2, &[(cup, 3), (mug, 1)]).await.unwrap();
    assert_eq!(shelves.stock(cup).await, (5, 3));
    shelves.hold(order, 3, &[(cup, 1), (mug, 1)]).await.unwrap();
    assert_eq!(shelves.stock(cup).await, (5, 1));
    let refused = Err(Rejection::ItemError(vec![(0, ItemError::NotActive)]));
    assert_eq!(shelves.hold(OrderId::new(), 1, &[(cup, 1)]).await, refused);
    assert_eq!(shelves.hold(OrderId::new(), 1, &[(cup, 1), (mug, 1)]).await, refused);
    // One that was let go is new again.
    shelves.hold(order, 4, &[(mug, 1)]).await.unwrap();
    assert_eq!(shelves.hold(order, 5, &[(cup, 1), (mug, 1)]).await, refused);
    assert_eq!((shelves.stock(cup).await, shelves.stock(mug).await), ((5, 0), (5, 1)));
}

#[tokio::test]
async fn unknown_products_and_mixed_currencies_are_refused_and_nothing_is_held() {
    let shelves = Shelves::new().await;
    let mug = shelves.product(5).await;
    let yen = shelves.product_in("JPY", 5).await;
    let unknown = ProductId::new();
    let rejection = shelves.hold(OrderId::new(), 1, &[(unknown, 1)]).await;
    assert_eq!(rejection, Err(Rejection::ItemError(vec![(0, ItemError::NotActive)])));
    let rejection = shelves.hold(OrderId::new(), 1, &[(mug, 1), (yen, 1), (unknown, 1)]).await;
    let currency = |code: &str| Currency::parse(code.to_owned()).unwrap();
    let other = ItemError::OtherCurrency { this: currency("JPY"), first: currency("EUR") };
    assert_eq!(rejection, Err(Rejection::ItemError(vec![(1, other), (2, ItemError::NotActive)])));
    assert_eq!((shelves.stock(mug).await, shelves.stock(yen).await), ((5, 0), (5, 0)));
}

/// Entries of other orders, as they stand in a product.
async fn fill(shelves: &Shelves, product: ProductId, live: i64, ended: i64) {
    let entry = |quantity: i64| {
        doc! { "o": mongo::uuid(OrderId::new()), "q": quantity, "r": 1_i64, "t": mongo::date(NOW) }
    };
    let holds: Vec<Document> = (0..live).map(|_| entry(1)).chain((0..ended).map(|_| entry(0))).collect();
    let filled = doc! { "$set": { "holds": holds, "live": live, "reserved": live } };
    let products = shelves.database.collection::<Document>("products");
    products.update_one(doc! { "_id": mongo::uuid(product) }, filled).await.unwrap();
}

#[tokio::test]
async fn a_product_takes_a_bounded_number_of_live_holds_and_one_more_when_one_has_ended() {
    let shelves = Shelves::new().await;
    let [mug, pot] = shelves.products([9_000, 9]).await;
    fill(&shelves, mug, MAX_LIVE_HOLDS - 1, 3).await;
    let last = OrderId::new();
    shelves.hold(last, 1, &[(mug, 1)]).await.unwrap();
    let full = Err(Rejection::TooManyHolds(vec![mug]));
    // On both ways of holding, and with nothing held of what has room.
    assert_eq!(shelves.hold(OrderId::new(), 1, &[(mug, 1)]).await, full);
    assert_eq!(shelves.hold(OrderId::new(), 1, &[(mug, 1), (pot, 1)]).await, full);
    assert_eq!((shelves.stock(mug).await, shelves.stock(pot).await), ((9_000, MAX_LIVE_HOLDS), (9, 0)));
    // What is held already may grow, shrink and be shipped.
    shelves.hold(last, 2, &[(mug, 3), (pot, 1)]).await.unwrap();
    shelves.hold(last, 3, &[(mug, 2), (pot, 1)]).await.unwrap();
    shelves.declare(last, 4, DeclarationKind::Ship, &[(mug, 2), (pot, 1)]).await.unwrap();
    shelves.hold(OrderId::new(), 1, &[(mug, 1)]).await.unwrap();
    assert_eq!(shelves.hold(OrderId::new(), 1, &[(mug, 1)]).await, full);
    // A return is nobody's hold.
    shelves.declare(last, 5, DeclarationKind::Restock, &[(mug, 2)]).await.unwrap();
}

#[tokio::test]
async fn entries_that_have_ended_take_room_until_they_are_pruned() {
    let shelves = Shelves::new().await;
    let mug = shelves.product(9_000).await;
    fill(&shelves, mug, 0, MAX_ENTRIES - 1).await;
    let last = OrderId::new();
    shelves.hold(last, 1, &[(mug, 1)]).await.unwrap();
    assert_eq!(shelves.hold(OrderId::new(), 1, &[(mug, 1)]).await, Err(Rejection::TooManyHolds(vec![mug])));
    shelves.hold(last, 2, &[]).await.unwrap();
    // It has an entry already; another order has none, and is only told that it ended.
    shelves.hold(last, 3, &[(mug, 1)]).await.unwrap();
    shelves.declare(OrderId::new(), 2, DeclarationKind::Restock, &[(mug, 2)]).await.unwrap();
    shelves.hold(last, 4, &[]).await.unwrap();
    assert_eq!(shelves.store.prune_holds(&[last], Duration::ZERO).await.unwrap(), 1);
    assert_eq!(shelves.hold(OrderId::new(), 1, &[(mug, 1)]).await, Err(Rejection::TooManyHolds(vec![mug])));
    fill(&shelves, mug, 0, MAX_ENTRIES - 1).await;
    shelves.hold(OrderId::new(), 1, &[(mug, 1)]).await.unwrap();
}
