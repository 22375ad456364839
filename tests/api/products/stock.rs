//! Stock as people change it: counts and deltas, their limits, and many changes at once.

use futures::future::join_all;
use serde_json::{Value, json};
use tests::answer::Answer;
use tests::person::Person;
use tests::shop::Shop;

async fn put_stock(person: &Person, product: &str, body: Value) -> Answer {
    person.put(&format!("/products/{product}/stock"), body).await
}

async fn version(shop: &Shop, product: &str) -> i64 {
    let product = shop.admin().get(&format!("/products/{product}")).await.expect(200);
    product["version"].as_i64().unwrap_or_default()
}

#[tokio::test]
async fn stock_is_set_or_moved() {
    let shop = Shop::open().await;
    let product = shop.product(10).await;
    let staff = shop.staff().await;
    for (body, on_hand, version) in [
        (json!({ "on_hand": 40 }), 40, 2),
        (json!({ "delta": -3 }), 37, 3),
        (json!({ "delta": 5, "reason": "found in the cellar" }), 42, 4),
        // The same count is no change.
        (json!({ "on_hand": 42 }), 42, 4),
        (json!({ "on_hand": 42, "reason": "counted" }), 42, 4),
        (json!({ "on_hand": 0 }), 0, 5),
        (json!({ "on_hand": 0 }), 0, 5),
        (json!({ "delta": 1_000_000_000 }), 1_000_000_000, 6),
        (json!({ "delta": -1_000_000_000 }), 0, 7),
        (json!({ "on_hand": 1_000_000_000, "delta": null, "reason": null }), 1_000_000_000, 8),
        (json!({ "delta": -999_999_999, "on_hand": null }), 1, 9),
    ] {
        let answer = put_stock(&staff, &product, body.clone()).await.expect(200);
        let stock = json!({ "on_hand": on_hand, "reserved": 0, "available": on_hand });
        assert_eq!((&answer["stock"], &answer["version"]), (&stock, &json!(version)), "{body}");
        assert_eq!(shop.admin().get(&format!("/products/{product}")).await.expect(200).body, answer.body);
    }
}

#[tokio::test]
async fn stock_is_never_below_reserved_or_zero_nor_above_the_limit() {
    let shop = Shop::open().await;
    let product = shop.product(10).await;
    let admin = shop.admin();
    let refusal = put_stock(&admin, &product, json!({ "delta": -11 })).await;
    refusal.problem(409, "stock-below-reserved");
    shop.customer().await.orders(&[(&product, 4)]).await.expect(201);
    for body in [
        json!({ "on_hand": 3 }),
        json!({ "on_hand": 0 }),
        json!({ "delta": -7 }),
        json!({ "delta": -1_000_000_000 }),
    ] {
        let refusal = put_stock(&admin, &product, body).await.problem(409, "stock-below-reserved");
        assert_eq!((&refusal["on_hand"], &refusal["reserved"]), (&json!(10), &json!(4)));
    }
    // On hand plus a delta that is allowed by itself; beyond 64 bits nothing may wrap around.
    put_stock(&admin, &product, json!({ "delta": 1_000_000_000 })).await.faults_at(&["/delta"]);
    put_stock(&admin, &product, json!({ "delta": 999_999_991 })).await.faults_at(&["/delta"]);
    assert_eq!(shop.stock(&product).await, (10, 4, 6));
    assert_eq!(version(&shop, &product).await, 1);
    // Just what is reserved may stay, and just the limit be reached.
    put_stock(&admin, &product, json!({ "on_hand": 4 })).await.expect(200);
    assert_eq!(shop.stock(&product).await, (4, 4, 0));
    put_stock(&admin, &product, json!({ "delta": -1 })).await.problem(409, "stock-below-reserved");
    put_stock(&admin, &product, json!({ "delta": 999_999_996 })).await.expect(200);
    assert_eq!(shop.stock(&product).await, (1_000_000_000, 4, 999_999_996));
}

#[tokio::test]
async fn a_version_counts_changes_but_no_holds_and_shipping() {
    let shop = Shop::open().await;
    let product = shop.product(10).await;
    let before = shop.admin().get(&format!("/products/{product}")).await.expect(200);
    let customer = shop.customer().await;
    let order = customer.orders(&[(&product, 3)]).await.expect(201).id();
    let other = customer.orders(&[(&product, 1)]).await.expect(201).id();
    for status in ["paid", "shipped", "delivered"] {
        shop.admin().moves(&order, status).await.expect(200);
    }
    shop.admin().moves(&other, "cancelled").await.expect(200);
    let returned = json!({ "status": "returned", "restock": true });
    shop.admin().put(&format!("/orders/{order}"), returned).await.expect(200);
    let after = shop.admin().get(&format!("/products/{product}")).await.expect(200);
    // All is back on hand, as if nothing had been.
    assert_eq!(after.body, before.body);
    put_stock(&shop.admin(), &product, json!({ "delta": 1 })).await.expect(200);
    assert_eq!(version(&shop, &product).await, 2);
    shop.admin().put(&format!("/products/{product}"), json!({ "name": "Cup" })).await.expect(200);
    assert_eq!(version(&shop, &product).await, 3);
}

#[tokio::test]
async fn many_deltas_at_once_add_up() {
    let shop = Shop::open().await;
    let product = shop.product(100).await;
    let admin = shop.admin();
    let deltas = (0..60).map(|place| if place % 2 == 0 { 3 } else { -2 });
    let answers = join_all(deltas.map(|delta| put_stock(&admin, &product, json!({ "delta": delta })))).await;
    answers.into_iter().for_each(|answer| drop(answer.expect(200)));
    assert_eq!(shop.stock(&product).await, (130, 0, 130));
    assert_eq!(version(&shop, &product).await, 61);
}

#[tokio::test]
async fn deltas_beside_orders_neither_lose_nor_oversell_a_piece() {
    let shop = Shop::open().await;
    let product = shop.product(10).await;
    let (admin, customer) = (shop.admin(), shop.customer().await);
    let lines = [(product.as_str(), 1)];
    let orders = join_all((0..20).map(|_| customer.orders(&lines)));
    let deltas = join_all((0..20).map(|_| put_stock(&admin, &product, json!({ "delta": -1 }))));
    let (orders, deltas) = futures::future::join(orders, deltas).await;
    let placed = orders.iter().filter(|answer| answer.status == 201).count();
    let taken = deltas.iter().filter(|answer| answer.status == 200).count();
    for answer in orders.into_iter().chain(deltas) {
        assert!([200, 201, 409].contains(&answer.status.as_u16()), "{answer:?}");
    }
    assert_eq!(placed + taken, 10, "{placed} ordered, {taken} taken away");
    let (on_hand, reserved, available) = shop.stock(&product).await;
    assert_eq!((on_hand, available), (reserved, 0));
    assert_eq!(usize::try_from(reserved).unwrap(), placed);
}

#[tokio::test]
async fn counts_that_are_set_at_once_are_all_possible() {
    let shop = Shop::open().await;
    let product = shop.product(1).await;
    let admin = shop.admin();
    // Nothing is reserved: whatever was counted, nobody may be told that it is below what is.
    let counts = (0..80).map(|place| put_stock(&admin, &product, json!({ "on_hand": 1 + place % 2 })));
    join_all(counts).await.into_iter().for_each(|answer| drop(answer.expect(200)));
}

#[tokio::test]
async fn a_change_of_a_product_is_not_lost_in_a_rush_on_its_stock() {
    let shop = Shop::open().await;
    let product = shop.product(0).await;
    let path = format!("/products/{product}");
    let admin = shop.admin();
    let deltas = join_all((0..40).map(|_| put_stock(&admin, &product, json!({ "delta": 1 }))));
    let names = join_all((0..10).map(|place| admin.put(&path, json!({ "name": format!("Cup {place}") }))));
    let (deltas, names) = futures::future::join(deltas, names).await;
    deltas.into_iter().chain(names).for_each(|answer| drop(answer.expect(200)));
    assert_eq!(shop.stock(&product).await, (40, 0, 40));
    assert_eq!(version(&shop, &product).await, 51);
}
