//! The schema step: on a new database, again, at once, and on one that an earlier version has made.

use futures::TryStreamExt as _;
use futures::future::join_all;
use mongodb::bson::{Document, doc};
use products::ledger::{Cause, INITIAL};
use products::stock::{DeclarationKind, Stock, StockChange};
use products::store::StockWritten;
use shared::mongo;
use shared::values::ids::{OrderId, ProductId};

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
    shelves.declare(live, 2, DeclarationKind::Ship, &[(held, 4)]).await.unwrap();
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

#[tokio::test]
async fn filling_in_what_is_missing_reads_each_product_once_however_many_there_are() {
    const MANY: usize = 1_100;
    let shelves = Shelves::new().await;
    let first = shelves.product(0).await;
    let products = shelves.database.collection::<Document>("products");
    let mut old = products.find_one(doc! { "_id": mongo::uuid(first) }).await.unwrap().unwrap();
    for field in ["words", "name_key", "in_stock"] {
        assert!(old.remove(field).is_some(), "{field}");
    }
    shelves.database.run_command(doc! { "collMod": "products", "validator": {} }).await.unwrap();
    let others = (0..MANY).map(|place| {
        let mut product = old.clone();
        product.insert("_id", mongo::uuid(ProductId::new()));
        product.insert("sku", format!("OLD-{place}"));
        // To begin a ledger takes a transaction each: here and there one is enough.
        if place % 40 == 0 {
            for field in ["live", "movements", "moved_at"] {
                assert!(product.remove(field).is_some(), "{field}");
            }
        }
        product
    });
    products.insert_many(others).await.unwrap();

    // Room for all of the step's commands: by default the first are forgotten.
    let room = doc! { "create": "system.profile", "capped": true, "size": 64 * 1024 * 1024 };
    shelves.database.run_command(room).await.unwrap();
    shelves.database.run_command(doc! { "profile": 2 }).await.unwrap();
    shelves.store.ensure_schema().await.unwrap();
    shelves.database.run_command(doc! { "profile": 0 }).await.unwrap();
    let lacking = doc! { "$or": [{ "movements": { "$exists": false } }, { "words": { "$exists": false } }] };
    assert_eq!(products.count_documents(lacking).await.unwrap(), 0);

    // Two passes, each of which looks once more at what comes after the last that it has filled in: 39 at most.
    let profile = shelves.database.collection::<Document>("system.profile");
    let reads = doc! { "ns": products.namespace().to_string(), "op": { "$in": ["query", "getmore"] } };
    let reads: Vec<Document> = profile.find(reads).await.unwrap().try_collect().await.unwrap();
    let read: i64 = reads.iter().map(|it| it.get_i32("docsExamined").map(i64::from).unwrap_or(0)).sum();
    let once = i64::try_from(MANY).unwrap() + 1;
    assert!(read <= 2 * (once + 39), "{read} documents were read");
    assert!(!reads.is_empty());
}
