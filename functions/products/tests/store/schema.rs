//! Schema step: on a new database, again, concurrently, and on a database of an earlier version.

use std::collections::HashSet;
use std::time::Duration;

use futures::TryStreamExt as _;
use futures::future::{join, join_all};
use mongodb::bson::{Bson, DateTime, Document, doc};
use products::holds::HoldWalk;
use products::ledger::{Cause, INITIAL};
use products::stock::{Declaration, DeclarationKind, Rejection, Stock, StockChange};
use products::store::{ProductStore, StockWritten};
use shared::mongo;
use shared::values::ids::{OrderId, ProductId};

use crate::{Fixture, NOW};

/// Moves all counts and holds to where schema version 7 kept them: into the products.
async fn as_version_7(fixture: &Fixture) {
    fixture.fold().await;
    let products = fixture.collection("products");
    fixture.database.run_command(doc! { "collMod": "products", "validator": {} }).await.unwrap();
    for stock in fixture.all("stock").await {
        let id = stock.get("_id").unwrap().clone();
        let mut entries = Vec::new();
        for hold in fixture.all("stock_holds").await {
            let items = hold.get_array("items").unwrap().iter().map(|item| item.as_document().unwrap());
            for item in items.filter(|item| item.get("p") == Some(&id)) {
                let of = |document: &Document, field: &str| document.get(field).unwrap().clone();
                entries.push(doc! {
                    "o": of(&hold, "_id"), "q": of(item, "q"), "r": of(&hold, "r"), "t": of(&hold, "at"),
                });
            }
        }
        let live = entries.iter().filter(|entry| entry.get_i64("q").unwrap() > 0).count();
        let mut set = doc! { "holds": entries, "live": i64::try_from(live).unwrap(), "writer": 7 };
        for field in ["on_hand", "reserved", "movements", "moved_at"] {
            set.insert(field, stock.get(field).unwrap().clone());
        }
        products.update_one(doc! { "_id": id }, doc! { "$set": set }).await.unwrap();
    }
    for collection in ["stock", "stock_holds"] {
        fixture.collection(collection).delete_many(doc! {}).await.unwrap();
    }
    let before =
        doc! { "$set": { "version": 7, "lowest_writer": 0, "signed_for": 0 }, "$unset": { "migrated": 1 } };
    fixture.collection("schema").update_one(doc! { "_id": "products" }, before).await.unwrap();
}

/// Store of a new process, which knows nothing of the migration.
fn restarted(fixture: &Fixture) -> Fixture {
    Fixture { database: fixture.database.clone(), store: ProductStore::new(&fixture.database) }
}

#[tokio::test]
async fn the_schema_step_can_be_run_again_and_at_once() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(3).await;
    for done in join_all((0..4).map(|_| fixture.store.ensure_schema())).await {
        done.unwrap();
    }
    assert_eq!(fixture.stock(mug).await, (3, 0));
    for (collection, expected) in [
        ("products", &["sku", "words", "listed_newest", "listed_updated"][..]),
        ("stock", &["pending_of_order"]),
        ("stock_holds", &["by_time", "of_product"]),
    ] {
        let indexes = fixture.collection(collection).list_index_names().await.unwrap();
        assert!(expected.iter().all(|index| indexes.contains(&(*index).to_owned())), "{indexes:?}");
        assert!(!indexes.contains(&"holds_of_order".to_owned()));
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
    as_version_7(&fixture).await;
    let fixture = restarted(&fixture);
    let products = fixture.collection("products");
    let without = doc! { "$unset": { "live": 1, "movements": 1, "moved_at": 1 } };
    assert_eq!(products.update_many(doc! {}, without).await.unwrap().modified_count, 3);
    fixture.database.collection::<Document>("stock_movements").drop().await.unwrap();

    for done in join_all((0..4).map(|_| fixture.store.ensure_schema())).await {
        done.unwrap();
    }
    // This checks the sums too.
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
    let moved = doc! { "_id": mongo::uuid(mug), "moved_at": { "$type": "date" } };
    assert!(fixture.collection("stock").find_one(moved).await.unwrap().is_some());
}

#[tokio::test]
async fn holds_in_arrays_become_holds_of_their_orders() {
    let fixture = Fixture::new().await;
    let [mug, pot, none] = fixture.products([50, 50, 3]).await;
    let [one, both, ended, shrunk] = [OrderId::new(), OrderId::new(), OrderId::new(), OrderId::new()];
    fixture.hold(one, 1, &[(mug, 3)]).await.unwrap();
    fixture.hold(both, 4, &[(mug, 1), (pot, 2)]).await.unwrap();
    fixture.hold(ended, 1, &[(mug, 4)]).await.unwrap();
    fixture.hold(ended, 2, &[]).await.unwrap();
    fixture.hold(shrunk, 1, &[(mug, 1), (pot, 1)]).await.unwrap();
    fixture.hold(shrunk, 3, &[(pot, 1)]).await.unwrap();
    let held = async |fixture: &Fixture| {
        let found = fixture.store.find_holds(&[one, both, ended, shrunk]).await.unwrap();
        found.iter().map(|it| (it.order, it.product, it.quantity, it.revision)).collect::<HashSet<_>>()
    };
    let before = held(&fixture).await;
    as_version_7(&fixture).await;
    let fixture = restarted(&fixture);
    assert_eq!(held(&fixture).await, before);
    for done in join_all((0..3).map(|_| fixture.store.ensure_schema())).await {
        done.unwrap();
    }
    assert_eq!(held(&fixture).await, before);
    assert_eq!(fixture.stock(mug).await, (50, 4));
    assert_eq!((fixture.stock(pot).await, fixture.stock(none).await), ((50, 3), (3, 0)));
    for field in ["holds", "live", "on_hand", "reserved", "movements", "moved_at"] {
        let left = doc! { field: { "$exists": true } };
        assert_eq!(fixture.collection("products").count_documents(left).await.unwrap(), 0, "{field}");
    }
    assert_eq!(fixture.hold(ended, 1, &[(mug, 4)]).await, Err(Rejection::Superseded));
    fixture.hold(both, 5, &[]).await.unwrap();
    fixture.declare(shrunk, 4, DeclarationKind::Ship, &[(pot, 1)]).await.unwrap();
    assert_eq!((fixture.stock(mug).await, fixture.stock(pot).await), ((50, 3), (49, 0)));
}

/// The schema step has recorded its version, and has not copied the arrays yet.
#[tokio::test]
async fn declarations_copy_the_arrays_that_they_need() {
    let fixture = Fixture::new().await;
    let [mug, pot] = fixture.products([50, 50]).await;
    let orders: Vec<OrderId> = (0..8).map(|_| OrderId::new()).collect();
    for order in &orders {
        fixture.hold(*order, 1, &[(mug, 2), (pot, 1)]).await.unwrap();
    }
    // Its entries come last, with other quantities.
    fixture.hold(OrderId::new(), 1, &[(mug, 7), (pot, 5)]).await.unwrap();
    let stocks = fixture.all("stock").await;
    as_version_7(&fixture).await;
    let mut stocks = stocks;
    for stock in &mut stocks {
        stock.insert("pending", Vec::<Document>::new());
    }
    fixture.collection("stock").insert_many(stocks).await.unwrap();
    let recorded = doc! { "$set": { "version": products::store::SCHEMA.version } };
    fixture.collection("schema").update_one(doc! { "_id": "products" }, recorded).await.unwrap();
    let fixture = restarted(&fixture);
    assert_eq!(fixture.hold(orders[0], 1, &[(mug, 2), (pot, 1)]).await.unwrap().len(), 2);
    fixture.hold(orders[1], 2, &[]).await.unwrap();
    fixture.declare(orders[2], 2, DeclarationKind::Ship, &[(mug, 2), (pot, 1)]).await.unwrap();
    fixture.hold(OrderId::new(), 1, &[(mug, 1)]).await.unwrap();
    // Nothing comes back from an array.
    assert_eq!(fixture.store.prune_holds(&orders, Duration::ZERO).await.unwrap(), 0);
    // Twins in two processes copy the same hold.
    let processes = [restarted(&fixture), restarted(&fixture)];
    let twins = processes.iter().flat_map(|process| orders[3..].iter().map(move |order| (process, *order)));
    let (released, ()) = join(
        join_all(twins.map(async |(process, order)| process.hold(order, 2, &[(pot, 1)]).await)),
        async { restarted(&fixture).store.ensure_schema().await.unwrap() },
    )
    .await;
    assert!(released.iter().all(Result::is_ok), "{released:?}");
    assert_eq!(fixture.hold(orders[1], 1, &[(mug, 2), (pot, 1)]).await, Err(Rejection::Superseded));
    assert_eq!((fixture.stock(mug).await, fixture.stock(pot).await), ((48, 10), (49, 11)));
}

#[tokio::test]
async fn no_write_of_an_older_build_is_lost_beside_the_step() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(1_000_000).await;
    as_version_7(&fixture).await;
    // It has read the counts, and is slow to write them.
    let blocked = doc! { "blockConnection": true, "blockTimeMS": 300 };
    let step = fixture.failing_once("insert", blocked).await;
    let products = fixture.collection("products");
    let older_build = async {
        let mut held = 0;
        loop {
            let entry =
                doc! { "o": mongo::uuid(OrderId::new()), "q": 1_i64, "r": 1_i64, "t": DateTime::now() };
            let hold = doc! { "$set": { "writer": 7 }, "$inc": { "reserved": 1_i64, "live": 1_i64 }, "$push": { "holds": entry } };
            match products.update_one(doc! { "_id": mongo::uuid(mug) }, hold).await {
                Ok(_) => held += 1,
                Err(_) => return held,
            }
        }
    };
    let (done, held) = join(step.ensure_schema(), older_build).await;
    done.unwrap();
    assert_eq!(restarted(&fixture).stock(mug).await, (1_000_000, held));
}

#[tokio::test]
async fn an_array_that_cannot_be_read_stays_with_the_others() {
    let text = |_| "two".into();
    // MongoDB looks into lists: a condition on a field holds if it does for one of them.
    let list = |value| Bson::Array(vec![value]);
    let lists = ["q", "o", "r", "t"].map(|field| a_damaged_array_stays(field, list));
    join(a_damaged_array_stays("q", text), join_all(lists)).await;
}

/// An array whose first entry is damaged stays until it is repaired.
async fn a_damaged_array_stays(field: &str, damage: impl Fn(Bson) -> Bson) {
    let fixture = Fixture::new().await;
    let [mug, pot] = fixture.products([50, 50]).await;
    let (broken, order) = (OrderId::new(), OrderId::new());
    fixture.hold(broken, 1, &[(mug, 2)]).await.unwrap();
    fixture.hold(order, 1, &[(pot, 2)]).await.unwrap();
    as_version_7(&fixture).await;
    let products = fixture.collection("products");
    let of_mug = doc! { "_id": mongo::uuid(mug) };
    let array = products.find_one(of_mug.clone()).await.unwrap().unwrap();
    let value = array.get_array("holds").unwrap()[0].as_document().unwrap().get(field).unwrap().clone();
    let set = async |value: Bson| {
        let set = doc! { "$set": { format!("holds.0.{field}"): value } };
        products.update_one(of_mug.clone(), set).await.unwrap();
    };
    set(damage(value.clone())).await;
    let fixture = restarted(&fixture);
    for _ in 0..2 {
        fixture.store.ensure_schema().await.unwrap();
        let left = products.count_documents(doc! { "holds": { "$exists": true } }).await.unwrap();
        assert_eq!(left, 2, "{field}");
    }
    fixture.hold(order, 2, &[]).await.unwrap();
    // Nothing is released or held of what cannot be read. An entry without its order is of none.
    let release = Declaration { order: broken, revision: 2, kind: DeclarationKind::Hold, items: Vec::new() };
    if field != "o" {
        assert!(fixture.store.declare(&release, NOW).await.is_err(), "{field}");
    }
    // Once it is repaired, the step copies it.
    set(value).await;
    fixture.store.ensure_schema().await.unwrap();
    fixture.hold(broken, 2, &[]).await.unwrap();
    assert_eq!((fixture.stock(mug).await, fixture.stock(pot).await), ((50, 0), (50, 0)));
}

#[tokio::test]
async fn what_is_no_array_of_entries_stays_until_it_is_repaired() {
    let fixture = Fixture::new().await;
    let [mug, pot, cup] = fixture.products([50, 50, 50]).await;
    let orders = [OrderId::new(), OrderId::new(), OrderId::new()];
    for (order, product) in orders.iter().zip([mug, pot, cup]) {
        fixture.hold(*order, 1, &[(product, 2)]).await.unwrap();
    }
    as_version_7(&fixture).await;
    let products = fixture.collection("products");
    let arrays = products.find(doc! {}).await.unwrap().try_collect::<Vec<_>>().await.unwrap();
    let update = async |product: ProductId, update: Document| {
        products.update_one(doc! { "_id": mongo::uuid(product) }, update).await.unwrap();
    };
    update(mug, doc! { "$set": { "holds": "none" } }).await;
    update(pot, doc! { "$push": { "holds": "none" } }).await;
    let fixture = restarted(&fixture);
    for _ in 0..2 {
        fixture.store.ensure_schema().await.unwrap();
        assert_eq!(products.count_documents(doc! { "holds": { "$exists": true } }).await.unwrap(), 3);
    }
    for product in arrays {
        let holds = doc! { "$set": { "holds": product.get("holds") } };
        products.update_one(doc! { "_id": product.get("_id") }, holds).await.unwrap();
    }
    fixture.store.ensure_schema().await.unwrap();
    assert_eq!(products.count_documents(doc! { "holds": { "$exists": true } }).await.unwrap(), 0);
    for (order, product) in orders.iter().zip([mug, pot, cup]) {
        fixture.hold(*order, 2, &[]).await.unwrap();
        assert_eq!(fixture.stock(product).await, (50, 0));
    }
}

#[tokio::test]
async fn a_long_array_is_removed_after_the_keys_of_its_entries() {
    const ENTRIES: i64 = 4_500;
    let fixture = Fixture::new().await;
    let mug = fixture.product(ENTRIES + 1).await;
    as_version_7(&fixture).await;
    let entry = |_| doc! { "o": mongo::uuid(OrderId::new()), "q": 1_i64, "r": 1_i64, "t": DateTime::now() };
    let entries: Vec<Document> = (0..ENTRIES).map(entry).collect();
    let counts = doc! { "holds": entries, "reserved": ENTRIES, "live": ENTRIES };
    let products = fixture.collection("products");
    products.update_one(doc! { "_id": mongo::uuid(mug) }, doc! { "$set": counts }).await.unwrap();
    fixture.database.run_command(doc! { "profile": 2 }).await.unwrap();
    let fixture = restarted(&fixture);
    fixture.store.ensure_schema().await.unwrap();
    fixture.database.run_command(doc! { "profile": 0 }).await.unwrap();
    let left = doc! { "holds": { "$exists": true } };
    assert_eq!(products.count_documents(left).await.unwrap(), 0);
    assert_eq!(fixture.stock(mug).await, (ENTRIES + 1, ENTRIES));
    // With a key to delete for each entry, MongoDB's cache may not hold what one write changes.
    let writes =
        doc! { "ns": products.namespace().to_string(), "op": "update", "keysDeleted": { "$gt": 100 } };
    assert_eq!(fixture.collection("system.profile").count_documents(writes).await.unwrap(), 0);
}

#[tokio::test]
async fn products_with_foreign_ids_hide_no_others() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(50).await;
    let order = OrderId::new();
    fixture.hold(order, 1, &[(mug, 2)]).await.unwrap();
    as_version_7(&fixture).await;
    let products = fixture.collection("products");
    let stored = products.find_one(doc! {}).await.unwrap().unwrap();
    // A whole batch of them comes before all UUIDs.
    let foreign = (0..500).map(|place| {
        let mut product = stored.clone();
        product.insert("_id", format!("foreign-{place}"));
        product.insert("sku", format!("FOREIGN-{place}"));
        for field in ["words", "movements"] {
            product.remove(field);
        }
        product
    });
    products.insert_many(foreign).await.unwrap();
    let fixture = restarted(&fixture);
    fixture.store.ensure_schema().await.unwrap();
    fixture.hold(order, 2, &[]).await.unwrap();
    assert_eq!(fixture.stock(mug).await, (50, 0));
    let holds = doc! { "holds": { "$exists": true } };
    assert_eq!(products.count_documents(holds).await.unwrap(), 500);
}

#[tokio::test]
async fn an_order_with_a_damaged_entry_is_copied_whole() {
    let fixture = Fixture::new().await;
    let [mug, pot] = fixture.products([50, 50]).await;
    let order = OrderId::new();
    fixture.hold(order, 1, &[(mug, 2), (pot, 3)]).await.unwrap();
    as_version_7(&fixture).await;
    let products = fixture.collection("products");
    let set = async |quantity: Bson| {
        let set = doc! { "$set": { "holds.0.q": quantity } };
        products.update_one(doc! { "_id": mongo::uuid(mug) }, set).await.unwrap();
    };
    set("two".into()).await;
    let fixture = restarted(&fixture);
    fixture.store.ensure_schema().await.unwrap();
    assert!(fixture.all("stock_holds").await.is_empty());
    assert_eq!(products.count_documents(doc! { "holds": { "$exists": true } }).await.unwrap(), 2);
    set(2_i64.into()).await;
    fixture.store.ensure_schema().await.unwrap();
    fixture.hold(order, 2, &[]).await.unwrap();
    assert_eq!((fixture.stock(mug).await, fixture.stock(pot).await), ((50, 0), (50, 0)));
}

/// What it holds of the product would be forgotten, and reserved for ever once the product is repaired.
#[tokio::test]
async fn an_order_beside_a_missing_stock_keeps_its_hold() {
    let fixture = Fixture::new().await;
    let [text, mug] = fixture.products([50, 50]).await;
    let order = OrderId::new();
    fixture.hold(order, 1, &[(text, 2), (mug, 2)]).await.unwrap();
    as_version_7(&fixture).await;
    let products = fixture.collection("products");
    let set = async |counts: Document| {
        products.update_one(doc! { "_id": mongo::uuid(text) }, doc! { "$set": counts }).await.unwrap();
    };
    set(doc! { "on_hand": "fifty" }).await;
    let fixture = restarted(&fixture);
    fixture.store.ensure_schema().await.unwrap();
    let release = Declaration { order, revision: 2, kind: DeclarationKind::Hold, items: Vec::new() };
    assert!(fixture.store.declare(&release, NOW).await.is_err());
    set(doc! { "on_hand": 50_i64 }).await;
    fixture.store.ensure_schema().await.unwrap();
    fixture.hold(order, 2, &[]).await.unwrap();
    assert_eq!((fixture.stock(text).await, fixture.stock(mug).await), ((50, 0), (50, 0)));
}

#[tokio::test]
async fn a_product_that_gets_no_stock_loses_nothing() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(50).await;
    fixture.hold(OrderId::new(), 1, &[(mug, 2)]).await.unwrap();
    as_version_7(&fixture).await;
    let products = fixture.collection("products");
    products.update_one(doc! {}, doc! { "$unset": { "on_hand": 1 } }).await.unwrap();
    let before = products.find_one(doc! {}).await.unwrap().unwrap();
    restarted(&fixture).store.ensure_schema().await.unwrap();
    let after = products.find_one(doc! {}).await.unwrap().unwrap();
    for field in ["holds", "reserved", "live"] {
        assert_eq!(after.get(field), before.get(field), "{field}");
    }
}

/// MongoDB goes on with the copy of a step that is gone, and would insert what was deleted meanwhile.
#[tokio::test]
async fn no_tombstone_is_pruned_while_a_copy_may_be_late() {
    let fixture = Fixture::new().await;
    let (mug, order) = (fixture.product(50).await, OrderId::new());
    fixture.hold(order, 1, &[(mug, 2)]).await.unwrap();
    as_version_7(&fixture).await;
    let fixture = restarted(&fixture);
    fixture.store.ensure_schema().await.unwrap();
    fixture.hold(order, 2, &[]).await.unwrap();
    fixture.fold().await;
    let prunes = async || fixture.store.prune_holds(&[order], Duration::ZERO).await.unwrap();
    assert_eq!(prunes().await, 0);
    let long_ago = DateTime::from_millis(DateTime::now().timestamp_millis() - 3_700_000);
    let copied = doc! { "$set": { "copied.holds_in_arrays": long_ago } };
    fixture.collection("schema").update_one(doc! { "_id": "products" }, copied).await.unwrap();
    assert_eq!(prunes().await, 1);
}

#[tokio::test]
async fn the_walk_waits_for_holds_that_are_being_copied() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(50).await;
    fixture.hold(OrderId::new(), 1, &[(mug, 2)]).await.unwrap();
    fixture.fold().await;
    let at = fixture.all("stock_holds").await[0].get_datetime("at").unwrap().to_owned();
    let copying = doc! { "$set": { "copying.holds_in_arrays": at }, "$unset": { "migrated": 1 } };
    fixture.collection("schema").update_one(doc! { "_id": "products" }, copying).await.unwrap();
    let fixture = restarted(&fixture);
    let walk = HoldWalk { ended: false, min_age: Duration::ZERO, after: None, limit: 10 };
    let page = fixture.store.list_holds(&walk).await.unwrap();
    assert!(page.holds.is_empty() && mongo::date(page.complete_until) < at && at <= mongo::date(page.now));
    fixture.store.ensure_schema().await.unwrap();
    let page = fixture.store.list_holds(&walk).await.unwrap();
    assert_eq!((page.holds.len(), page.complete_until), (1, page.now));
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
    as_version_7(&fixture).await;
    let products = fixture.collection("products");
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
    assert_eq!(products.count_documents(doc! { "words": { "$exists": false } }).await.unwrap(), 0);
    let stocks = fixture.collection("stock").count_documents(doc! {}).await.unwrap();
    assert_eq!(stocks, u64::try_from(MANY).unwrap() + 1);

    // Nine passes: ledgers, lists, two over what is not signed, stocks, two over arrays that cannot be read, their
    // removal, and what is left. Each has one more read after the last product that it filled, 39 at most.
    let profile = fixture.database.collection::<Document>("system.profile");
    let reads = doc! { "ns": products.namespace().to_string(), "op": { "$in": ["query", "getmore"] } };
    let reads: Vec<Document> = profile.find(reads).await.unwrap().try_collect().await.unwrap();
    let read: i64 = reads.iter().map(|it| it.get_i32("docsExamined").map(i64::from).unwrap_or(0)).sum();
    let once = i64::try_from(MANY).unwrap() + 1;
    assert!(read <= 9 * (once + 39), "{read} documents were read");
    assert!(!reads.is_empty());
}

#[tokio::test]
async fn counts_that_cannot_be_stay_until_they_are_repaired() {
    let fixture = Fixture::new().await;
    let [text, most, mug] = fixture.products([50, 50, 50]).await;
    let orders = [OrderId::new(), OrderId::new(), OrderId::new()];
    for (order, product) in orders.iter().zip([text, most, mug]) {
        fixture.hold(*order, 1, &[(product, 2)]).await.unwrap();
    }
    as_version_7(&fixture).await;
    let products = fixture.collection("products");
    let set = async |product, counts: Document| {
        products.update_one(doc! { "_id": mongo::uuid(product) }, doc! { "$set": counts }).await.unwrap();
    };
    set(text, doc! { "on_hand": "fifty" }).await;
    set(most, doc! { "reserved": 51_i64 }).await;
    let fixture = restarted(&fixture);
    for _ in 0..2 {
        fixture.store.ensure_schema().await.unwrap();
        let kept = doc! { "holds": { "$exists": true }, "on_hand": { "$exists": true } };
        assert_eq!(products.count_documents(kept).await.unwrap(), 2);
        assert!(fixture.store.find(text).await.is_err());
    }
    fixture.hold(orders[2], 2, &[]).await.unwrap();
    set(text, doc! { "on_hand": 50_i64 }).await;
    set(most, doc! { "reserved": 2_i64 }).await;
    fixture.store.ensure_schema().await.unwrap();
    for (order, product) in orders.iter().zip([text, most, mug]) {
        fixture.hold(*order, 3, &[]).await.unwrap();
        assert_eq!(fixture.stock(product).await, (50, 0));
    }
}
