//! The schema step: on a new database, again, at once, and on one that an earlier version has made.

use futures::future::join_all;
use mongodb::bson::{Document, doc};
use products::ledger::{Cause, INITIAL};
use products::stock::{Movement, Stock, StockChange};
use products::store::StockWritten;
use shared::ids::OrderId;
use shared::mongo;

use crate::Shelves;

#[tokio::test]
async fn the_schema_step_can_be_run_again_and_at_once() {
    let shelves = Shelves::new().await;
    let mug = shelves.product(3).await;
    for done in join_all((0..4).map(|_| shelves.store.ensure_schema())).await {
        done.unwrap();
    }
    assert_eq!(shelves.stock(mug).await, (3, 0));
    let indexes = shelves.database.collection::<Document>("products").list_index_names().await.unwrap();
    for index in ["sku", "holds_of_order", "holds_by_time"] {
        assert!(indexes.contains(&index.to_owned()), "{indexes:?}");
    }
}

#[tokio::test]
async fn products_of_schema_version_1_get_a_ledger_that_begins_with_what_is_on_hand() {
    let shelves = Shelves::new().await;
    let [mug, none, held] = shelves.products([7, 0, 9]).await;
    let (live, ended) = (OrderId::new(), OrderId::new());
    shelves.hold(live, 1, &[(held, 4)]).await.unwrap();
    shelves.hold(ended, 1, &[(held, 1)]).await.unwrap();
    shelves.hold(ended, 2, &[]).await.unwrap();
    // As version 1 left it.
    let products = shelves.database.collection::<Document>("products");
    shelves.database.run_command(doc! { "collMod": "products", "validator": {} }).await.unwrap();
    let without = doc! { "$unset": { "live": 1, "movements": 1, "moved_at": 1 } };
    assert_eq!(products.update_many(doc! {}, without).await.unwrap().modified_count, 3);
    shelves.database.collection::<Document>("stock_movements").drop().await.unwrap();

    for done in join_all((0..4).map(|_| shelves.store.ensure_schema())).await {
        done.unwrap();
    }
    // What this looks at includes the sums, and the count of live holds.
    assert_eq!(shelves.stock(mug).await, (7, 0));
    assert_eq!(shelves.stock(none).await, (0, 0));
    assert_eq!(shelves.stock(held).await, (9, 4));
    let ledger = shelves.movements(held).await;
    let cause = Cause { reason: Some(INITIAL.to_owned()), order: None, by: "system".to_owned() };
    assert_eq!((ledger.len(), &ledger[0].cause), (1, &cause));
    assert_eq!(ledger[0].stock, Stock { on_hand: 9, reserved: 4 });
    assert!(shelves.movements(none).await.is_empty());
    // And on it goes.
    assert!(matches!(shelves.count(none, StockChange::Set(2)).await, StockWritten::Done(_)));
    shelves.declare(live, 2, Movement::Ship, &[(held, 4)]).await.unwrap();
    assert_eq!((shelves.stock(none).await, shelves.stock(held).await), ((2, 0), (5, 0)));
    let names = shelves.database.collection::<Document>("schema");
    let noted = names.find_one(doc! { "_id": "products" }).await.unwrap().unwrap();
    assert_eq!(noted.get_i32("version").unwrap(), products::store::SCHEMA_VERSION);
    assert_eq!(shelves.find(mug).await.version, 1);
    assert!(
        products
            .find_one(doc! { "_id": mongo::uuid(mug), "moved_at": { "$type": "date" } })
            .await
            .unwrap()
            .is_some()
    );
}
