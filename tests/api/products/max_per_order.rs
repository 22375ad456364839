//! The most units of a product in one order.

use http::Method;
use serde_json::{Value, json};
use tests::person::Person;
use tests::shop::Shop;
use tests::support::products::{NO_INTEGER, mug_with};
use tests::support::raw::send_json;

/// A product of which an order may have so many.
async fn limited(shop: &Shop, most: i64) -> String {
    shop.product_with(json!({ "stock": 100, "max_per_order": most })).await.id()
}

async fn holds(person: &Person, order: &str, items: Value) -> tests::answer::Answer {
    person.put(&format!("/orders/{order}"), json!({ "items": items })).await
}

#[tokio::test]
async fn a_product_has_a_limit_per_order_or_none() {
    let shop = Shop::open().await;
    let admin = shop.admin();
    let none = shop.product_with(json!({})).await;
    assert_eq!(none["max_per_order"], Value::Null);
    let path = format!("/products/{}", none.id());
    for (limit, version) in [(json!(10_000), 2), (json!(1), 3), (json!(1), 3), (Value::Null, 4)] {
        let changed = admin.put(&path, json!({ "max_per_order": limit })).await.expect(200);
        assert_eq!((&changed["max_per_order"], &changed["version"]), (&limit, &json!(version)));
        assert_eq!(shop.anyone().get(&path).await.expect(200)["max_per_order"], limit);
    }
    for bad in NO_INTEGER.into_iter().chain(["0", "-1", "10001", "9223372036854775807"]) {
        let body = format!("{{\"max_per_order\": {bad}}}");
        send_json(&admin, Method::PUT, &path, &body).await.faults_at(&["/max_per_order"]);
        let body = mug_with("max_per_order", bad);
        send_json(&admin, Method::POST, "/products", &body).await.faults_at(&["/max_per_order"]);
    }
}

#[tokio::test]
async fn no_order_has_more_of_a_product_than_its_limit() {
    let shop = Shop::open().await;
    let (mug, pot) = (limited(&shop, 3).await, shop.product(100).await);
    for person in [shop.customer().await, shop.staff().await] {
        person.orders(&[(&mug, 4)]).await.faults_at(&["/items/0/quantity"]);
        let refused = person.orders(&[(&pot, 4), (&mug, 10_000)]).await;
        refused.faults_at(&["/items/1/quantity"]);
        let order = person.orders(&[(&mug, 3)]).await.expect(201).id();
        let item = |product: &str, quantity: i64| json!({ "product_id": product, "quantity": quantity });
        let more = json!([item(&pot, 9), item(&mug, 4)]);
        holds(&person, &order, more).await.faults_at(&["/items/1/quantity"]);
        holds(&person, &order, json!([item(&pot, 9), item(&mug, 2)])).await.expect(200);
        person.moves(&order, "cancelled").await.expect(200);
    }
    assert_eq!((shop.stock(&mug).await, shop.stock(&pot).await), ((100, 0, 100), (100, 0, 100)));
}

#[tokio::test]
async fn what_an_order_has_already_stays_above_a_later_limit() {
    let shop = Shop::open().await;
    let mug = shop.product(100).await;
    let ada = shop.customer().await;
    let order = ada.orders(&[(&mug, 8)]).await.expect(201).id();
    let limit = json!({ "max_per_order": 5 });
    shop.admin().put(&format!("/products/{mug}"), limit).await.expect(200);
    let items = |quantity: i64| json!([{ "product_id": mug, "quantity": quantity }]);
    holds(&ada, &order, items(9)).await.faults_at(&["/items/0/quantity"]);
    for fewer in [7, 2] {
        holds(&ada, &order, items(fewer)).await.expect(200);
    }
    holds(&ada, &order, items(6)).await.faults_at(&["/items/0/quantity"]);
    holds(&ada, &order, items(5)).await.expect(200);
    assert_eq!(shop.stock(&mug).await, (100, 5, 95));
}
