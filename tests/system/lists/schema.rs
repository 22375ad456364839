//! Lists over old documents: the schema step adds the fields and indexes that filters, sorts and searches need.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use futures::TryStreamExt as _;
use futures::future::join_all;
use local::backend;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::in_process::InProcess;
use tests::person::address;

use crate::support::lists::all;

/// By each filter, sort and word; all of them find something.
const LISTS: [&str; 19] = [
    "/products",
    "/products?status=draft",
    "/products?in_stock=true",
    "/products?in_stock=false&status=active",
    "/products?sort=created_at",
    "/products?sort=name",
    "/products?sort=-name",
    "/products?sort=price&currency=EUR&min_price=100",
    "/products?currency=EUR&sort=name",
    "/products?q=CREME",
    "/products?q=blue%20mug&sort=name",
    "/products?q=literal",
    "/products?q=bean-1",
    "/products?sku=BEAN-1",
    "/products?sort=updated_at",
    "/products?sort=-updated_at&currency=EUR",
    "/products?status=draft,archived&sort=updated_at",
    "/products?updated_from=2020-01-01T00:00:00Z&sort=name",
    "/products?q=blue&updated_from=2020-01-01T00:00:00Z",
];

async fn answers(shop: &InProcess) -> Vec<Vec<Value>> {
    let admin = shop.admin();
    join_all(LISTS.map(|list| all(&admin, list))).await
}

async fn documents(shop: &InProcess) -> Vec<Document> {
    let products = shop.database.collection::<Document>("products");
    products.find(doc! {}).sort(doc! { "_id": 1 }).await.unwrap().try_collect().await.unwrap()
}

/// Moves stocks, and the entries of their journals, into products, as before schema version 8.
async fn move_stocks_into_products(shop: &InProcess) {
    let products = shop.database.collection::<Document>("products");
    let stocks = shop.database.collection::<Document>("stock");
    let all: Vec<Document> = stocks.find(doc! {}).await.unwrap().try_collect().await.unwrap();
    for mut stock in all {
        let id = stock.remove("_id");
        let holds = stock.remove("pending").unwrap();
        let live = holds.as_array().unwrap().len();
        for of_stock in ["folds", "folded", "writer"] {
            stock.remove(of_stock);
        }
        stock.extend(doc! { "holds": holds, "live": i64::try_from(live).unwrap() });
        products.update_one(doc! { "_id": id }, doc! { "$set": stock }).await.unwrap();
    }
    stocks.drop().await.unwrap();
    let record = doc! { "$unset": { "migrated": "", "lowest_writer": "", "signed_for": "" } };
    let schema = shop.database.collection::<Document>("schema");
    schema.update_one(doc! { "_id": "products" }, record).await.unwrap();
}

/// As the version of the schema before lists were filtered left it.
async fn make_old(shop: &InProcess) {
    move_stocks_into_products(shop).await;
    let products = shop.database.collection::<Document>("products");
    let without = doc! { "$unset": { "words": "", "name_key": "", "in_stock": "" } };
    products.update_many(doc! {}, without).await.unwrap();
    for index in ["listed_newest", "listed_updated", "listed_name", "listed_price", "words"] {
        products.drop_index(index).await.unwrap();
    }
    for index in ["currency_newest", "currency_name", "currency_price"] {
        products.drop_index(index).await.unwrap();
    }
    let older = doc! { "key": { "created_at": -1, "_id": -1 }, "name": "newest" };
    shop.database.run_command(doc! { "createIndexes": "products", "indexes": [older] }).await.unwrap();
    let noted = doc! { "$set": { "version": 2 } };
    let schema = shop.database.collection::<Document>("schema");
    schema.update_one(doc! { "_id": "products" }, noted).await.unwrap();
}

#[tokio::test]
async fn after_the_schema_step_old_products_are_found_by_every_query() {
    let shop = InProcess::open().await;
    for (sku, name, description, amount, stock, status) in [
        ("BEAN-1", "Crème brûlée", json!("A pudding, and no bean"), 500, 0, "active"),
        ("MUG-2", "Mug", json!("BLUE, of 0.3 l"), 100, 3, "active"),
        ("MUG-3", "a blue mug", Value::Null, 50, 2, "draft"),
        // What a step that takes names for expressions would stumble over.
        ("ODD-4", "$name", json!("$$ROOT {\"$literal\": 1} $"), 100, 1, "active"),
        ("ODD-5", "***", Value::Null, 900, 0, "archived"),
    ] {
        let price = json!({ "amount": amount, "currency": "EUR" });
        let product = json!({
            "sku": sku, "name": name, "description": description, "price": price, "stock": stock, "status": status,
        });
        shop.product_with(product).await;
    }
    // All that there is of one is held: it is not in stock, whatever is on hand.
    let held = shop.product(2).await;
    shop.customer().await.orders(&[(&held, 2)]).await.expect(201);
    let (before, written) = (answers(&shop).await, documents(&shop).await);
    assert!(before.iter().all(|found| !found.is_empty()), "{before:#?}");

    make_old(&shop).await;
    let filled = documents(&shop).await.into_iter().filter(|product| product.contains_key("words")).count();
    assert_eq!(filled, 0);
    // Several of the step at once, as when two deployments meet.
    for done in join_all((0..3).map(|_| backend::ensure_schema(&shop.database))).await {
        done.unwrap();
    }
    assert_eq!(answers(&shop).await, before);
    assert_eq!(documents(&shop).await, written);
    let schema = shop.database.collection::<Document>("schema");
    let noted = schema.find_one(doc! { "_id": "products" }).await.unwrap().unwrap();
    assert_eq!(noted.get_i32("version").unwrap(), products::store::SCHEMA.version);

    // Again: it does no harm, and undoes nothing that was changed since.
    let mug = &before[10][0]["id"].as_str().unwrap();
    shop.admin().put(&format!("/products/{mug}"), json!({ "name": "Beaker" })).await.expect(200);
    shop.admin().put(&format!("/products/{held}/stock"), json!({ "delta": 1 })).await.expect(200);
    let changed = documents(&shop).await;
    backend::ensure_schema(&shop.database).await.unwrap();
    assert_eq!(documents(&shop).await, changed);
    assert_eq!(all(&shop.admin(), "/products?q=beaker").await.len(), 1);
}

#[tokio::test]
async fn the_schema_step_adds_missing_indexes_of_all_lists() {
    const OTHERS: [&str; 9] = [
        "/orders?sort=updated_at",
        "/orders?updated_from=2020-01-01T00:00:00Z",
        "/orders?sku=MUG-1",
        "/orders?tracking_number=T-1",
        "/orders?external_number=SHOP-1",
        "/orders?payment_reference=pi-1",
        "/orders?payment_status=refund_due,partial",
        "/users?sort=updated_at",
        "/users?updated_from=2020-01-01T00:00:00Z",
    ];
    let shop = InProcess::open().await;
    let admin = shop.admin();
    let mug = shop.product_with(json!({ "sku": "MUG-1", "stock": 2 })).await.id();
    let items = json!([{ "product_id": mug, "quantity": 1 }]);
    let order = json!({ "items": items, "shipping_address": address(), "external_number": "SHOP-1" });
    let order = admin.post("/orders", order).await.expect(201).id();
    let path = format!("/orders/{order}");
    admin.put(&path, json!({ "status": "paid", "payment": { "reference": "pi-1" } })).await.expect(200);
    let parcel = json!({ "carrier": "DHL", "number": "T-1" });
    admin.put(&path, json!({ "status": "shipped", "tracking": parcel })).await.expect(200);
    // More than is due.
    admin.post(&format!("{path}/payments"), json!({ "amount": 1, "reference": "pi-2" })).await.expect(201);
    let answers = async || join_all(OTHERS.map(|list| all(&admin, list))).await;
    let before = answers().await;
    assert!(before.iter().all(|found| !found.is_empty()), "{before:#?}");

    let of_orders = &[
        "status_updated",
        "item_sku",
        "tracking_number",
        "parcel_number",
        "payment_status_newest",
        "return_status_newest",
        "external_number",
    ];
    for (collection, indexes) in [("orders", &of_orders[..]), ("users", &["listed_updated"][..])] {
        let collection = shop.database.collection::<Document>(collection);
        for index in indexes {
            collection.drop_index(*index).await.unwrap();
        }
    }
    backend::ensure_schema(&shop.database).await.unwrap();
    assert_eq!(answers().await, before);
}
