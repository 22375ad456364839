//! Schema step: on a new database, again, concurrently, and on a database of an earlier version.

use futures::TryStreamExt as _;
use futures::future::join_all;
use mongodb::bson::{Document, doc};
use products::ledger::{Cause, INITIAL};
use products::stock::{DeclarationKind, Stock, StockChange};
use products::store::StockWritten;
use shared::mongo;
use shared::values::ids::{OrderId, ProductId};

use crate::Fixture;

#[tokio::test]
async fn the_schema_step_can_be_run_again_and_at_once() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(3).await;
    for done in join_all((0..4).map(|_| fixture.store.ensure_schema())).await {
        done.unwrap();
    }
    assert_eq!(fixture.stock(mug).await, (3, 0));
    let indexes = fixture.database.collection::<Document>("products").list_index_names().await.unwrap();
    for index in ["sku", "holds_of_order", "holds_by_time"] {
        assert!(indexes.contains(&index.to_owned()), "{indexes:?}");
    }
}

#[tokio::test]
async fn products_of_version_1_get_a_ledger_from_their_count() {
    let fixture = Fixture::new().await;
    let [mug, none, held] = fixture.products([7, 0, 9]).await;
    let (live, ended) = (OrderId::new(), OrderId::new());
    fixture.hold(live, 1, &[(held, 4)]).await.unwrap();
    fixture.hold(ended, 1, &[(held, 1)]).await.unwrap();
    fixture.hold(ended, 2, &[]).await.unwrap();
    // As version 1 left it.
    let products = fixture.database.collection::<Document>("products");
    fixture.database.run_command(doc! { "collMod": "products", "validator": {} }).await.unwrap();
    let without = doc! { "$unset": { "live": 1, "movements": 1, "moved_at": 1 } };
    assert_eq!(products.update_many(doc! {}, without).await.unwrap().modified_count, 3);
    fixture.database.collection::<Document>("stock_movements").drop().await.unwrap();

    for done in join_all((0..4).map(|_| fixture.store.ensure_schema())).await {
        done.unwrap();
    }
    // This checks the sums and the count of live holds too.
    assert_eq!(fixture.stock(mug).await, (7, 0));
    assert_eq!(fixture.stock(none).await, (0, 0));
    assert_eq!(fixture.stock(held).await, (9, 4));
    let ledger = fixture.movements(held).await;
    let cause = Cause { reason: Some(INITIAL.to_owned()), order: None, by: "system".to_owned() };
    assert_eq!((ledger.len(), &ledger[0].cause), (1, &cause));
    assert_eq!(ledger[0].stock, Stock { on_hand: 9, reserved: 4 });
    assert!(fixture.movements(none).await.is_empty());
    // Further changes continue the ledger.
    assert!(matches!(fixture.count(none, StockChange::Set(2)).await, StockWritten::Done(_)));
    fixture.declare(live, 2, DeclarationKind::Ship, &[(held, 4)]).await.unwrap();
    assert_eq!((fixture.stock(none).await, fixture.stock(held).await), ((2, 0), (5, 0)));
    let names = fixture.database.collection::<Document>("schema");
    let noted = names.find_one(doc! { "_id": "products" }).await.unwrap().unwrap();
    assert_eq!(noted.get_i32("version").unwrap(), products::store::SCHEMA.version);
    assert_eq!(fixture.find(mug).await.version, 1);
    assert!(
        products
            .find_one(doc! { "_id": mongo::uuid(mug), "moved_at": { "$type": "date" } })
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn the_migration_folds_stored_words_anew() {
    let fixture = Fixture::new().await;
    let [mug, pot] = fixture.products([1, 1]).await;
    let products = fixture.database.collection::<Document>("products");
    let with_id = |product| doc! { "_id": mongo::uuid(product) };
    // As the build before folded them; the second was never in a list.
    let old = doc! {
        "$set": { "name": "Größe", "words": ["große"], "name_key": "größe" }, "$unset": { "folding": "" },
    };
    products.update_one(with_id(mug), old).await.unwrap();
    let older = doc! { "$set": { "name": "Łódź" }, "$unset": { "folding": "", "words": "", "name_key": "" } };
    products.update_one(with_id(pot), older).await.unwrap();
    for _ in 0..2 {
        fixture.store.ensure_schema().await.unwrap();
        for (product, word) in [(mug, "grosse"), (pot, "lodz")] {
            let found = products.find_one(with_id(product)).await.unwrap().unwrap();
            let words = found.get_array("words").unwrap();
            assert!(words.iter().any(|it| it.as_str() == Some(word)), "{words:?}");
            assert_eq!(found.get_i32("folding").unwrap(), products::words::FOLDING);
        }
    }
}

#[tokio::test]
async fn the_migration_reads_each_product_once() {
    const MANY: usize = 1_100;
    let fixture = Fixture::new().await;
    let first = fixture.product(0).await;
    let products = fixture.database.collection::<Document>("products");
    let mut old = products.find_one(doc! { "_id": mongo::uuid(first) }).await.unwrap().unwrap();
    for field in ["words", "name_key", "in_stock", "folding"] {
        assert!(old.remove(field).is_some(), "{field}");
    }
    fixture.database.run_command(doc! { "collMod": "products", "validator": {} }).await.unwrap();
    let others = (0..MANY).map(|place| {
        let mut product = old.clone();
        product.insert("_id", mongo::uuid(ProductId::new()));
        product.insert("sku", format!("OLD-{place}"));
        // Each ledger takes a transaction, so only some products get one here.
        if place % 40 == 0 {
            for field in ["live", "movements", "moved_at"] {
                assert!(product.remove(field).is_some(), "{field}");
            }
        }
        product
    });
    products.insert_many(others).await.unwrap();

    // Room for all commands of the step: the default size drops the first ones.
    let room = doc! { "create": "system.profile", "capped": true, "size": 64 * 1024 * 1024 };
    fixture.database.run_command(room).await.unwrap();
    fixture.database.run_command(doc! { "profile": 2 }).await.unwrap();
    fixture.store.ensure_schema().await.unwrap();
    fixture.database.run_command(doc! { "profile": 0 }).await.unwrap();
    let lacking = doc! { "$or": [{ "movements": { "$exists": false } }, { "words": { "$exists": false } }] };
    assert_eq!(products.count_documents(lacking).await.unwrap(), 0);

    // Two passes, each with one more read after the last product that it filled: 39 at most.
    let profile = fixture.database.collection::<Document>("system.profile");
    let reads = doc! { "ns": products.namespace().to_string(), "op": { "$in": ["query", "getmore"] } };
    let reads: Vec<Document> = profile.find(reads).await.unwrap().try_collect().await.unwrap();
    let read: i64 = reads.iter().map(|it| it.get_i32("docsExamined").map(i64::from).unwrap_or(0)).sum();
    let once = i64::try_from(MANY).unwrap() + 1;
    assert!(read <= 2 * (once + 39), "{read} documents were read");
    assert!(!reads.is_empty());
}
