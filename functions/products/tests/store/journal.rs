//! Folding of journals into holds, beside everything else.

use std::collections::HashSet;
use std::time::Duration;

use futures::future::{join, join_all};
use mongodb::bson::{Bson, DateTime, Document, doc};
use products::stock::{DeclarationKind, Rejection};
use shared::error::Kind;
use shared::mongo;
use shared::values::ids::{OrderId, ProductId};

use crate::Fixture;

/// Length of a journal.
async fn length(fixture: &Fixture, product: ProductId) -> usize {
    let stock = fixture.collection("stock").find_one(doc! { "_id": mongo::uuid(product) }).await;
    stock.unwrap().unwrap().get_array("pending").unwrap().len()
}

/// Reads the hold of an order as it is stored.
async fn stored(fixture: &Fixture, order: OrderId) -> Option<Document> {
    fixture.collection("stock_holds").find_one(doc! { "_id": mongo::uuid(order) }).await.unwrap()
}

#[tokio::test]
async fn a_fold_changes_nothing_of_what_is_held() {
    let fixture = Fixture::new().await;
    let [cup, mug] = fixture.products([50, 50]).await;
    let [one, both, ended] = [OrderId::new(), OrderId::new(), OrderId::new()];
    fixture.hold(one, 1, &[(mug, 3)]).await.unwrap();
    fixture.hold(both, 1, &[(mug, 1), (cup, 2)]).await.unwrap();
    fixture.hold(ended, 1, &[(mug, 4)]).await.unwrap();
    fixture.hold(ended, 2, &[]).await.unwrap();
    let held = async || {
        let mut all = fixture.store.find_holds(&[one, both, ended]).await.unwrap();
        all.sort_by_key(|hold| (hold.order.uuid(), hold.product.uuid()));
        all.into_iter().map(|it| (it.order, it.product, it.quantity, it.revision)).collect::<Vec<_>>()
    };
    let before = held().await;
    assert_eq!((before.len(), length(&fixture, mug).await), (4, 2));
    let folded = fixture.store.fold_journals(None, 10).await.unwrap();
    assert_eq!((folded.folded, folded.failed, folded.more), (2, 0, false));
    assert_eq!((held().await, length(&fixture, mug).await), (before, 0));
    // Late writes ask how many marks were left.
    for (product, count) in [(mug, 3), (cup, 1)] {
        let stock = fixture.collection("stock").find_one(doc! { "_id": mongo::uuid(product) }).await.unwrap();
        let stock = stock.unwrap();
        assert_eq!(stock.get_i64("folds").unwrap(), count);
        assert_eq!(i64::try_from(stock.get_array("folded").unwrap().len()).unwrap(), count);
    }
    assert_eq!((fixture.stock(cup).await, fixture.stock(mug).await), ((50, 2), (50, 4)));
    for order in [one, both, ended] {
        assert_eq!(fixture.hold(order, 0, &[]).await, Err(Rejection::Superseded));
    }
    assert_eq!(fixture.store.fold_journals(None, 10).await.unwrap().last, None);
}

#[tokio::test]
async fn a_page_of_journals_ends_and_the_next_goes_on() {
    let fixture = Fixture::new().await;
    let mut products = fixture.products([5, 5, 5, 5, 5]).await;
    products.sort_by_key(|product| product.uuid());
    for product in products {
        fixture.hold(OrderId::new(), 1, &[(product, 1)]).await.unwrap();
    }
    let (mut after, mut seen) = (None, 0);
    for more in [true, true, false] {
        let page = fixture.store.fold_journals(after, 2).await.unwrap();
        assert_eq!(page.more, more);
        (after, seen) = (page.last, seen + page.folded);
    }
    assert_eq!((after, seen), (Some(products[4]), 5));
}

#[tokio::test]
async fn a_long_journal_is_folded_by_those_who_write_to_it() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(1_000).await;
    for _ in 0..70 {
        fixture.hold(OrderId::new(), 1, &[(mug, 1)]).await.unwrap();
    }
    assert!(length(&fixture, mug).await < 32);
    assert_eq!(fixture.stock(mug).await, (1_000, 70));
}

#[tokio::test]
async fn entries_that_cannot_be_folded_stop_no_others() {
    let fixture = Fixture::new().await;
    let [bad, mug] = fixture.products([9, 9]).await;
    let (good, other) = (OrderId::new(), OrderId::new());
    fixture.hold(good, 1, &[(bad, 1)]).await.unwrap();
    fixture.hold(other, 1, &[(mug, 1)]).await.unwrap();
    let damaged = doc! { "$push": { "pending": { "o": mongo::uuid(OrderId::new()), "r": "one" } } };
    fixture.collection("stock").update_one(doc! { "_id": mongo::uuid(bad) }, damaged).await.unwrap();
    for (folded, failed) in [(2, 1), (0, 1)] {
        let page = fixture.store.fold_journals(None, 10).await.unwrap();
        assert_eq!((page.folded, page.failed), (folded, failed));
    }
    assert!(stored(&fixture, good).await.is_some() && stored(&fixture, other).await.is_some());
}

#[tokio::test]
async fn a_fold_removes_no_entry_that_has_changed() {
    let fixture = Fixture::new().await;
    for _ in 0..10 {
        let (mug, order) = (fixture.product(9).await, OrderId::new());
        fixture.hold(order, 1, &[(mug, 1)]).await.unwrap();
        // Its hold is written, and its removal comes late.
        let blocked = doc! { "blockConnection": true, "blockTimeMS": 300 };
        let store = fixture.failing_once("findAndModify", blocked).await;
        let change = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            fixture.hold(order, 2, &[(mug, 4)]).await.unwrap();
        };
        let (folded, ()) = join(store.fold_journals(None, 10), change).await;
        folded.unwrap();
        assert_eq!(fixture.stock(mug).await, (9, 4));
        // None: it has read the change, on a busy machine, and shows nothing.
        if length(&fixture, mug).await == 1 {
            return;
        }
        fixture.fold().await;
    }
    panic!("the machine is too busy");
}

#[tokio::test]
async fn what_a_transaction_declares_needs_no_fold() {
    let fixture = Fixture::new().await;
    let [mug, pot] = fixture.products([50, 50]).await;
    let order = OrderId::new();
    fixture.hold(order, 1, &[(mug, 1)]).await.unwrap();
    fixture.hold(order, 2, &[(mug, 1), (pot, 2)]).await.unwrap();
    let lengths = async || (length(&fixture, mug).await, length(&fixture, pot).await);
    assert_eq!(lengths().await, (0, 0));
    assert_eq!(stored(&fixture, order).await.unwrap().get_i64("r").unwrap(), 2);
    fixture.hold(order, 1, &[(mug, 9)]).await.unwrap_err();
    // Units leave the warehouse in a transaction, also those of one product.
    let other = OrderId::new();
    fixture.hold(other, 1, &[(mug, 3)]).await.unwrap();
    fixture.declare(other, 2, DeclarationKind::Ship, &[(mug, 3)]).await.unwrap();
    assert_eq!(lengths().await, (0, 0));
    assert_eq!((fixture.stock(mug).await, fixture.stock(pot).await), ((47, 1), (50, 2)));
}

#[tokio::test]
async fn a_fold_keeps_the_newest_marks_alone() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(9).await;
    let mark = || doc! { "o": mongo::uuid(OrderId::new()), "r": 1_i64 };
    let many: Vec<Document> = (0..300).map(|_| mark()).collect();
    let set = doc! { "$set": { "folded": many, "folds": 300_i64 } };
    fixture.collection("stock").update_one(doc! {}, set).await.unwrap();
    let order = OrderId::new();
    fixture.hold(order, 1, &[(mug, 1)]).await.unwrap();
    fixture.fold().await;
    let stock = fixture.collection("stock").find_one(doc! {}).await.unwrap().unwrap();
    let marks = stock.get_array("folded").unwrap();
    let newest = marks.last().unwrap().as_document().unwrap();
    assert_eq!((marks.len(), stock.get_i64("folds").unwrap()), (256, 301));
    assert_eq!(newest.get("o"), Some(&mongo::uuid(order).into()));
}

#[tokio::test]
async fn old_marks_are_dropped_and_new_ones_stay() {
    let fixture = Fixture::new().await;
    let [mug, pot] = fixture.products([50, 50]).await;
    let stocks = fixture.collection("stock");
    let mark = || doc! { "o": mongo::uuid(OrderId::new()), "r": 1_i64 };
    let many: Vec<Document> = (0..511).map(|_| mark()).collect();
    let set = doc! { "$set": { "folded": many, "folds": 511_i64 } };
    stocks.update_many(doc! {}, set).await.unwrap();
    let mut lengths = Vec::new();
    for _ in 0..3 {
        let order = OrderId::new();
        fixture.hold(order, 1, &[(mug, 1), (pot, 1)]).await.unwrap();
        let stock = stocks.find_one(doc! { "_id": mongo::uuid(mug) }).await.unwrap().unwrap();
        let folded = stock.get_array("folded").unwrap();
        let newest = folded.last().unwrap().as_document().unwrap();
        assert_eq!(newest, &doc! { "o": mongo::uuid(order), "r": 1_i64, });
        lengths.push((folded.len(), stock.get_i64("folds").unwrap()));
    }
    assert_eq!(lengths, [(512, 512), (256, 513), (257, 514)]);
}

/// A removal that begins anew with each write beside it would never end.
#[tokio::test]
async fn a_long_journal_is_folded_beside_a_busy_writer() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(10_000).await;
    let entry = || doc! { "o": mongo::uuid(OrderId::new()), "r": 1_i64, "q": 1_i64, "t": DateTime::now() };
    let entries: Vec<Document> = (0..1_000).map(|_| entry()).collect();
    let (stocks, of_mug) = (fixture.collection("stock"), doc! { "_id": mongo::uuid(mug) });
    let many = doc! { "$set": { "pending": entries, "reserved": 1_000_i64 } };
    stocks.update_one(of_mug.clone(), many).await.unwrap();
    let writer = {
        let (stocks, of_mug) = (stocks.clone(), of_mug.clone());
        tokio::spawn(async move {
            loop {
                stocks.update_one(of_mug.clone(), doc! { "$inc": { "touched": 1 } }).await.unwrap();
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        })
    };
    let mut calls = 0;
    while length(&fixture, mug).await > 0 {
        calls += 1;
        assert!(calls <= 50, "{} entries are left", length(&fixture, mug).await);
        fixture.store.fold_journals(None, 10).await.unwrap();
    }
    writer.abort();
    assert_eq!(fixture.stock(mug).await, (10_000, 1_000));
}

#[tokio::test]
async fn a_journal_whose_stock_is_locked_shows_its_age() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(9).await;
    fixture.hold(OrderId::new(), 1, &[(mug, 1)]).await.unwrap();
    let mut session = fixture.database.client().start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    let (of_mug, touch) = (doc! { "_id": mongo::uuid(mug) }, doc! { "$inc": { "touched": 1 } });
    fixture.collection("stock").update_one(of_mug, touch).session(&mut session).await.unwrap();
    let folded = fixture.store.fold_journals(None, 10).await.unwrap();
    assert_eq!((folded.folded, folded.failed, folded.oldest.is_some()), (0, 1, true));
    session.abort_transaction().await.unwrap();
    fixture.fold().await;
    assert_eq!(fixture.stock(mug).await, (9, 1));
}

/// The holds were written by a primary that steps down, and may be rolled back.
#[tokio::test]
async fn a_fold_keeps_entries_whose_holds_may_be_lost() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(9).await;
    fixture.hold(OrderId::new(), 1, &[(mug, 1)]).await.unwrap();
    let lost = doc! { "code": 189, "codeName": "PrimarySteppedDown", "errmsg": "stepped down" };
    let store = fixture.failing_once("update", doc! { "writeConcernError": lost }).await;
    assert_eq!(store.fold_journals(None, 10).await.unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(length(&fixture, mug).await, 1);
    assert_eq!(store.fold_journals(None, 10).await.unwrap().folded, 1);
}

#[tokio::test]
async fn an_entry_stays_beside_a_hold_that_cannot_be_read() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(9).await;
    let order = OrderId::new();
    fixture.hold(order, 1, &[(mug, 1)]).await.unwrap();
    fixture.fold().await;
    fixture.hold(order, 2, &[(mug, 2)]).await.unwrap();
    let holds = fixture.collection("stock_holds");
    let of_order = doc! { "_id": mongo::uuid(order) };
    for damage in [vec![1, 7].into(), Bson::String("7".to_owned()), Bson::DateTime(DateTime::MIN)] {
        let damaged = holds.update_one(of_order.clone(), doc! { "$set": { "r": damage } });
        damaged.bypass_document_validation(true).await.unwrap();
        let folded = fixture.store.fold_journals(None, 10).await.unwrap();
        assert_eq!((folded.folded, folded.failed, length(&fixture, mug).await), (0, 1, 1));
    }
    holds.update_one(of_order, doc! { "$set": { "r": 1_i64 } }).await.unwrap();
    fixture.fold().await;
    assert_eq!(fixture.stock(mug).await, (9, 2));
}

#[tokio::test]
async fn a_transaction_keeps_the_fields_of_a_later_build() {
    let fixture = Fixture::new().await;
    let [mug, pot] = fixture.products([9, 9]).await;
    let order = OrderId::new();
    fixture.hold(order, 1, &[(mug, 1)]).await.unwrap();
    let later = doc! { "$set": { "pending.0.later": "kept" } };
    fixture.collection("stock").update_one(doc! { "_id": mongo::uuid(mug) }, later).await.unwrap();
    // The entry goes into the hold, without a fold.
    fixture.hold(order, 2, &[(mug, 2), (pot, 1)]).await.unwrap();
    let hold = stored(&fixture, order).await.unwrap();
    let mut items = hold.get_array("items").unwrap().iter().filter_map(Bson::as_document);
    let of_mug = items.find(|item| item.get("p") == Some(&mongo::uuid(mug).into())).unwrap();
    assert_eq!((of_mug.get_str("later").unwrap(), of_mug.get_i64("q").unwrap()), ("kept", 2));
}

#[tokio::test]
async fn a_fold_keeps_the_fields_of_a_later_build() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(9).await;
    let order = OrderId::new();
    fixture.hold(order, 1, &[(mug, 1)]).await.unwrap();
    let later = doc! { "$set": { "pending.0.pool": "north" } };
    fixture.collection("stock").update_one(doc! { "_id": mongo::uuid(mug) }, later).await.unwrap();
    fixture.hold(order, 2, &[(mug, 2)]).await.unwrap();
    fixture.fold().await;
    let hold = stored(&fixture, order).await.unwrap();
    let item = hold.get_array("items").unwrap()[0].as_document().unwrap().clone();
    assert_eq!((item.get_str("pool").unwrap(), item.get_i64("q").unwrap()), ("north", 2));
    assert_eq!(item.get_document("s").unwrap().get_str("name").unwrap(), "Mug");
}

#[tokio::test]
async fn folds_beside_each_other_and_all_writes_lose_nothing() {
    let fixture = Fixture::new().await;
    let [mug, pot] = fixture.products([10_000, 10_000]).await;
    let orders: Vec<OrderId> = (0..60).map(|_| OrderId::new()).collect();
    let declared = join_all(orders.iter().enumerate().map(async |(place, order)| {
        let items = &[(mug, 2), (pot, 1)][..1 + place % 2];
        fixture.hold(*order, 1, items).await.unwrap();
        fixture.hold(*order, 2, &[(mug, 1)]).await.unwrap();
        match place % 3 {
            0 => drop(fixture.hold(*order, 3, &[]).await.unwrap()),
            1 => drop(fixture.declare(*order, 3, DeclarationKind::Ship, &[(mug, 1)]).await.unwrap()),
            _ => {}
        }
    }));
    let folded = join_all((0..4).map(async |_| {
        for _ in 0..15 {
            fixture.fold().await;
        }
    }));
    join(declared, folded).await;
    assert_eq!((fixture.stock(mug).await, fixture.stock(pot).await), ((9_980, 20), (10_000, 0)));
    fixture.fold().await;
    let held = fixture.store.find_holds(&orders).await.unwrap();
    let live: HashSet<OrderId> = held.iter().filter(|it| it.quantity > 0).map(|it| it.order).collect();
    assert_eq!(live.len(), 20);
}

#[tokio::test]
async fn the_oldest_entry_of_all_journals_is_found() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.store.oldest_entry().await.unwrap(), None);
    let [cup, mug] = fixture.products([50, 50]).await;
    for product in [cup, mug] {
        fixture.hold(OrderId::new(), 1, &[(product, 1)]).await.unwrap();
    }
    let damage = async |at: Bson| {
        let set = doc! { "$set": { "pending.0.t": at } };
        let stocks = fixture.collection("stock");
        let set = stocks.update_one(doc! { "_id": mongo::uuid(mug) }, set).bypass_document_validation(true);
        assert_eq!(set.await.unwrap().modified_count, 1);
    };
    let old = DateTime::from_millis(5_000);
    damage(old.into()).await;
    assert_eq!(fixture.store.oldest_entry().await.unwrap(), Some(mongo::timestamp(old)));
    // A time that cannot be read hides no other.
    for unreadable in [Bson::Int64(7), Bson::String("long ago".to_owned()), Bson::Null] {
        damage(unreadable).await;
        let oldest = fixture.store.oldest_entry().await.unwrap();
        assert!(oldest.is_some_and(|at| at > mongo::timestamp(old)), "{oldest:?}");
    }
}
