//! Limits of a request's headers, query, body and token, and the answers beyond them.

use std::fmt::Write as _;

use http::{Method, StatusCode};
use serde_json::json;
use tests::in_process::InProcess;

use tests::support::raw::{authorization, product, raw, send_json};

#[tokio::test]
async fn a_query_and_headers_over_ten_kib_are_refused_by_name() {
    let shop = InProcess::open().await;
    let (anyone, admin) = (shop.anyone(), shop.admin());
    let padded =
        |length: usize| anyone.request(Method::GET, "/products").header("x-padding", "x".repeat(length));
    anyone.answer(padded(9_000)).await.expect(200);
    for length in [10_240, 20_000, 60_000] {
        let answer = anyone.answer(padded(length)).await.problem(400, "malformed-request");
        assert!(answer.text("detail").contains("at most 10240 bytes"), "{}", answer.body);
    }
    let query = format!("/products?cursor={}", "x".repeat(20_000));
    anyone.get(&query).await.problem(400, "malformed-request");
    // The order of checks: what is not there is told first, then who is calling.
    anyone.get(&format!("/{}", "x".repeat(20_000))).await.problem(404, "not-found");
    anyone.get(&format!("/orders?cursor={}", "x".repeat(20_000))).await.problem(401, "unauthenticated");
    let request = admin.request(Method::POST, "/products").header("x-padding", "x".repeat(20_000));
    admin.answer(request.json(&product("MUG"))).await.problem(400, "malformed-request");
    assert!(anyone.get("/products").await.expect(200).data().is_empty());
}

#[tokio::test]
async fn after_a_request_that_http_refuses_the_next_one_is_served() {
    let shop = InProcess::open().await;
    for (name, count, length) in [
        ("many headers", 101, 1),
        ("a head just beyond the limit", 1, 64 * 1024),
        ("a header of a megabyte", 1, 1024 * 1024),
    ] {
        let value = "x".repeat(length);
        let names: Vec<String> = (0..count).map(|number| format!("x-{number}")).collect();
        let headers: Vec<(&str, &[u8])> = names.iter().map(|it| (it.as_str(), value.as_bytes())).collect();
        let answer = raw(&shop, "GET /products", &headers, b"").await;
        assert_eq!(answer.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "{name}");
        shop.anyone().get("/products").await.expect(200);
    }
    let answer = raw(&shop, &format!("GET /{}", "x".repeat(100_000)), &[], b"").await;
    assert!(answer.status.is_client_error(), "{answer:?}");
}

#[tokio::test]
async fn a_body_of_too_many_parts_is_refused_before_it_is_built() {
    let shop = InProcess::open().await;
    let admin = shop.admin();
    let mut keys = String::new();
    for key in 0..20_000 {
        let _ = write!(keys, ",\"k{key}\":\"v\"");
    }
    let in_attributes = format!("{{\"sku\":\"MUG\",\"attributes\":{{\"k\":\"v\"{keys}}}}}");
    let at_the_top = format!("{{\"sku\":\"MUG\"{keys}}}");
    let items = format!("{{\"items\":[{}]}}", vec!["{}"; 60_000].join(","));
    for (path, body) in [("/products", in_attributes), ("/products", at_the_top), ("/orders", items)] {
        let answer = send_json(&admin, Method::POST, path, body).await.problem(400, "malformed-request");
        assert!(answer.text("detail").contains("more than 10000 keys and elements"), "{}", answer.body);
    }
    // What every limit allows at once is far below.
    let product = shop.product(10_000).await;
    let text = |length: usize| "ü".repeat(length);
    let metadata: serde_json::Map<_, _> =
        (0..50).map(|key| (format!("{key:02}{}", text(38)), text(120).into())).collect();
    let address = json!({
        "name": text(200), "company": text(200), "phone": text(32), "line1": text(200), "line2": text(200),
        "city": text(200), "region": text(200), "postal_code": text(20), "country": "DE",
    });
    let discounts = vec![json!({ "label": text(100), "amount": 1 }); 20];
    let taxes = vec![json!({ "label": text(100), "rate": "0.000000", "amount": 1, "included": false }); 20];
    let order = json!({
        "items": [{ "product_id": product, "quantity": 10_000, "discounts": discounts, "taxes": taxes }],
        "shipping": { "label": text(100), "amount": 1_000_000_000_000_i64, "taxes": taxes },
        "shipping_address": address,
        "billing_address": address,
        "external_number": "x".repeat(64),
        "note": text(2_000),
        "internal_note": text(2_000),
        "metadata": metadata,
    });
    admin.post("/orders", order).await.expect(201);
}

#[tokio::test]
async fn a_token_of_any_length_that_http_takes_is_a_bad_token() {
    let shop = InProcess::open().await;
    for length in [2_000, 10_000, 60_000] {
        let token = [&authorization(&shop.admin())[..], &vec![b'A'; length]].concat();
        for line in ["GET /products", "GET /orders", "GET /users"] {
            raw(&shop, line, &[("authorization", &token)], b"").await.problem(401, "unauthenticated");
        }
    }
}
