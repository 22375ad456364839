//! Security and cache headers of every answer.

use http::Method;
use serde_json::json;
use tests::answer::Answer;
use tests::shop::Shop;

/// Headers of every answer of the API. Pages for people name more sources that they may load.
const SAID: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("cache-control", "no-store"),
    ("strict-transport-security", "max-age=31536000"),
    ("referrer-policy", "no-referrer"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("cross-origin-resource-policy", "same-origin"),
];

fn is_secure(answer: &Answer) {
    for (name, value) in SAID {
        assert_eq!(answer.header(name), Some(value), "{name} of {} {}", answer.request, answer.status);
    }
    assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("access-control-")), "{answer:?}");
}

#[tokio::test]
async fn every_answer_says_what_browsers_and_caches_must_know() {
    let shop = Shop::open().await;
    let (anyone, customer, admin) = (shop.anyone(), shop.customer().await, shop.admin());
    let product = shop.product(5).await;
    let order = customer.orders(&[(&product, 1)]).await.expect(201);
    for answer in [
        anyone.get("/products").await.expect(200),
        anyone.get(&format!("/products/{product}")).await.expect(200),
        anyone.answer(anyone.request(Method::HEAD, &format!("/products/{product}"))).await.expect(200),
        customer.get("/orders").await.expect(200),
        customer.get(&format!("/orders/{}", order.id())).await.expect(200),
        customer.get(&format!("/users/{}", customer.id)).await.expect(200),
        admin.get("/orders/consistency").await.expect(200),
        order,
        // Errors of each kind that is easily had.
        anyone.get("/nothing/at/all").await.expect(404),
        anyone.get("/orders/").await.expect(404),
        anyone.get("/orders").await.expect(401),
        anyone.with_token("bad").get("/products").await.expect(401),
        customer.get("/users").await.expect(403),
        anyone.answer(anyone.request(Method::PATCH, "/orders")).await.expect(405),
        anyone.answer(anyone.request(Method::OPTIONS, "/orders")).await.expect(405),
        anyone.get("/products?limit=0").await.expect(400),
        anyone.post("/users", json!({})).await.expect(422),
        anyone.answer(anyone.request(Method::POST, "/users").body("{}")).await.expect(415),
        customer.delete(&format!("/users/{}", customer.id)).await.expect(204),
    ] {
        is_secure(&answer);
    }
}
