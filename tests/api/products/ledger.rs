//! The ledger of stock: every change of what is on hand, as staff see it.

use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};
use shared::values::ids::{OrderId, ProductId};
use tests::shop::Shop;
use tests::support::products::ledger;

fn rows(ledger: &[Value]) -> Vec<Value> {
    let row = |it: &Value| json!([it["delta"], it["on_hand"], it["reserved"], it["reason"], it["by"]]);
    ledger.iter().map(row).collect()
}

#[tokio::test]
async fn the_ledger_tells_how_a_product_came_to_what_is_on_hand() {
    let shop = Shop::open().await;
    let (grace, admin, ada) = (shop.staff().await, shop.admin(), shop.customer().await);
    let product = shop.product(10).await;
    let stock = format!("/products/{product}/stock");
    grace.put(&stock, json!({ "delta": -3, "reason": "broken in transit" })).await.expect(200);
    let order = ada.orders(&[(&product, 2)]).await.expect(201).id();
    let other = ada.orders(&[(&product, 1)]).await.expect(201).id();
    grace.put(&stock, json!({ "on_hand": 20 })).await.expect(200);
    // None of these changes what is on hand.
    grace.put(&stock, json!({ "on_hand": 20, "reason": "counted" })).await.expect(200);
    grace.put(&stock, json!({ "delta": -18 })).await.problem(409, "stock-below-reserved");
    admin.moves(&other, "cancelled").await.expect(200);
    for status in ["paid", "shipped", "shipped", "delivered"] {
        admin.moves(&order, status).await.expect(200);
    }
    for _ in 0..2 {
        let returned = json!({ "status": "returned", "restock": true });
        admin.put(&format!("/orders/{order}"), returned).await.expect(200);
    }
    let ledger = ledger(&grace, &product).await;
    let expected = json!([
        [2, 20, 0, "returned", "system"],
        [-2, 18, 0, "shipped", "system"],
        [13, 20, 3, null, grace.id],
        [-3, 7, 0, "broken in transit", grace.id],
        [10, 10, 0, "initial", admin.id],
    ]);
    assert_eq!(Value::Array(rows(&ledger)), expected);
    let orders: Vec<&Value> = ledger.iter().map(|it| &it["order_id"]).collect();
    assert_eq!(orders, [&json!(order), &json!(order), &Value::Null, &Value::Null, &Value::Null]);
    assert!(ledger.is_sorted_by_key(|it| std::cmp::Reverse(it["at"].to_string())));
    let sum: i64 = ledger.iter().map(|it| it["delta"].as_i64().unwrap()).sum();
    assert_eq!(shop.stock(&product).await, (sum, 0, sum));
    let fields: Vec<&String> = ledger[0].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["at", "delta", "on_hand", "reserved", "reason", "order_id", "by"]);
}

#[tokio::test]
async fn the_ledger_is_for_staff_and_of_products_that_there_are() {
    let shop = Shop::open().await;
    let draft = shop.product_with(json!({ "stock": 1, "status": "draft" })).await.id();
    let path = format!("/products/{draft}/stock/movements");
    shop.anyone().get(&path).await.problem(401, "unauthenticated");
    shop.customer().await.get(&path).await.problem(403, "forbidden");
    assert_eq!(shop.staff().await.get(&path).await.expect(200).data().len(), 1);
    let head = shop.admin().send(Method::HEAD, &path, None).await.expect(200);
    assert_eq!(head.body, Value::Null);
    for unknown in [ProductId::new().to_string(), OrderId::new().to_string(), "x".to_owned()] {
        let path = format!("/products/{unknown}/stock/movements");
        shop.admin().get(&path).await.problem(404, "not-found");
        // Who may not is told so first, and a query is looked at before.
        shop.customer().await.get(&path).await.problem(403, "forbidden");
        shop.admin().get(&format!("{path}?limit=0")).await.problem(400, "invalid-query");
    }
    shop.admin().post(&path, json!({})).await.problem(405, "method-not-allowed");
    let none = shop.product(0).await;
    let answer = shop.admin().get(&format!("/products/{none}/stock/movements")).await.expect(200);
    assert_eq!(answer.body, json!({ "data": [], "next_cursor": null }));
}

#[tokio::test]
async fn a_walk_over_a_growing_ledger_repeats_and_skips_nothing() {
    let shop = Shop::open().await;
    let (product, other) = (shop.product(1).await, shop.product(5).await);
    let admin = shop.admin();
    let stock = format!("/products/{product}/stock");
    // At once, so that many have the same time.
    join_all((0..12).map(|_| admin.put(&stock, json!({ "delta": 1 })))).await;
    let path = format!("{stock}/movements");
    let (mut seen, mut query) = (Vec::new(), "?limit=5".to_owned());
    loop {
        let page = admin.get(&format!("{path}{query}")).await.expect(200);
        seen.extend(page.data().iter().map(|it| it["on_hand"].as_i64().unwrap()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        admin.put(&stock, json!({ "delta": 1 })).await.expect(200);
        query = format!("?limit=5&cursor={cursor}");
        // It belongs to this ledger and this caller.
        admin.get(&format!("/products/{other}/stock/movements{query}")).await.problem(400, "invalid-query");
        shop.staff().await.get(&format!("{path}{query}")).await.problem(400, "invalid-query");
        admin.get(&format!("/products{query}")).await.problem(400, "invalid-query");
    }
    assert_eq!(seen, (1..=13).rev().collect::<Vec<_>>());
    for bad in ["limit=101", "cursor=x", "cursor=", "limit=1&limit=2", "reason=initial"] {
        admin.get(&format!("{path}?{bad}")).await.problem(400, "invalid-query");
    }
}
