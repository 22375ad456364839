//! Bodies: their length, their media type, and malformed JSON.

use http::Method;
use serde_json::{Value, json};
use tests::emulator_quirks::Quirk;
use tests::person::PASSWORD;
use tests::shop::{Shop, new_email, new_sku, order_of};

use tests::support::raw::{LIMIT, authorization, chunked, product, raw, send, send_json};

/// A JSON object with white space after it, as long as asked for.
fn padded(body: &Value, length: usize) -> Vec<u8> {
    let mut bytes = body.to_string().into_bytes();
    bytes.resize(length, b' ');
    bytes
}

#[tokio::test]
async fn a_body_may_have_256_kib_and_not_a_byte_more() {
    let shop = Shop::open().await;
    let (admin, customer) = (shop.admin(), shop.customer().await);
    let mug = shop.product(5).await;
    let change = format!("/products/{mug}");
    let user = json!({ "email": new_email(), "password": PASSWORD, "name": "Ada" });
    for (person, method, path, body, status) in [
        (&admin, Method::POST, "/products", product(&new_sku()), 201),
        (&admin, Method::PUT, change.as_str(), json!({ "name": "Big" }), 200),
        (&admin, Method::PUT, &format!("{change}/stock"), json!({ "delta": 1 }), 200),
        (&customer, Method::POST, "/orders", order_of(&mug, 1), 201),
        (&shop.anyone(), Method::POST, "/users", user, 201),
        (
            &shop.anyone(),
            Method::POST,
            "/auth",
            json!({ "email": customer.email, "password": PASSWORD }),
            200,
        ),
    ] {
        let (too_large, largest) = (padded(&body, LIMIT + 1), padded(&body, LIMIT));
        send_json(person, method.clone(), path, too_large).await.problem(413, "payload-too-large");
        send_json(person, method, path, largest).await.expect(status);
    }
    assert_eq!(shop.stock(&mug).await, (6, 1, 5));
}

#[tokio::test]
async fn a_byte_order_mark_before_the_json_is_skipped() {
    let shop = Shop::open().await;
    let path = format!("/products/{}", shop.product(0).await);
    let put = async |body: &str| send_json(&shop.admin(), Method::PUT, &path, body.to_owned()).await;
    let named = put("\u{feff}{\"name\": \"Cup\"}").await.expect(200);
    assert_eq!(named["name"], "Cup");
    for bad in ["\u{feff}", "\u{feff}\u{feff}{}", "{}\u{feff}", " \u{feff}{}"] {
        put(bad).await.problem(400, "malformed-request");
    }
    // A key is of the JSON value, with a mark or without.
    let body = product(&new_sku()).to_string();
    for (body, replayed) in [(body.clone(), false), (format!("\u{feff}{body}"), true)] {
        let request = shop.admin().request(Method::POST, "/products").header("idempotency-key", "marked");
        let request = request.header("content-type", "application/json").body(body);
        assert_eq!(shop.admin().answer(request).await.expect(201).is_replayed(), replayed);
    }
}

#[tokio::test]
async fn a_body_with_a_content_encoding_is_refused_and_says_so() {
    let shop = Shop::open().await;
    let path = format!("/products/{}", shop.product(0).await);
    for encoding in ["gzip", "br", "identity", "x"] {
        let request = shop.admin().request(Method::PUT, &path).header("content-encoding", encoding);
        let request = request.header("content-type", "application/json").body("{}");
        let refused = shop.admin().answer(request).await.problem(415, "unsupported-media-type");
        assert!(refused.text("detail").contains("Content-Encoding"), "{:#}", refused.body);
    }
}

#[tokio::test]
async fn a_body_without_a_length_has_the_same_limit() {
    let shop = Shop::open().await;
    let token = authorization(&shop.admin());
    let headers = [
        ("authorization", token.as_slice()),
        ("content-type", b"application/json"),
        ("transfer-encoding", b"chunked"),
    ];
    let (line, body) = ("POST /products", padded(&product(&new_sku()), LIMIT + 1));
    let half = LIMIT / 2;
    let too_large = chunked(&[&body[..half], &body[half..]]);
    raw(&shop, line, &headers, &too_large).await.problem(413, "payload-too-large");
    let largest = chunked(&[&body[..7], &body[7..half], &body[half..LIMIT]]);
    raw(&shop, line, &headers, &largest).await.expect(201);
    raw(&shop, line, &headers, &chunked(&[])).await.problem(400, "malformed-request");
}

#[tokio::test]
async fn a_body_is_sent_as_json_with_any_parameters() {
    let shop = Shop::open().await;
    let path = format!("/products/{}", shop.product(0).await);
    for good in [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"; x=y",
        "Application/JSON ; a=b",
        "application/json;",
    ] {
        send(&shop.admin(), Method::PUT, &path, good, "{}").await.expect(200);
    }
    for bad in [
        "",
        "text/plain",
        "text/json",
        "json",
        "*/*",
        "application/*",
        "application/jsonx",
        "application/json-patch+json",
        "application/problem+json",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain; application/json",
        "application/json, text/plain",
    ] {
        let refused = send(&shop.admin(), Method::PUT, &path, bad, "{}").await;
        refused.problem(415, "unsupported-media-type");
    }
    for (method, path) in [(Method::POST, "/users"), (Method::POST, "/auth"), (Method::POST, "/orders")] {
        let refused = send(&shop.admin(), method, path, "text/plain", "{}").await;
        refused.problem(415, "unsupported-media-type");
    }
}

#[tokio::test]
async fn what_is_not_json_is_malformed() {
    let shop = Shop::open().await;
    let path = format!("/products/{}", shop.product(0).await);
    let nested = |levels: usize| format!("{{\"attributes\": {}{}}}", "[".repeat(levels), "]".repeat(levels));
    let thirty_three_levels = nested(32);
    let endless = "[".repeat(LIMIT);
    let unclosed = "{\"a\":".repeat(10_000);
    let malformed: [&[u8]; 24] = [
        b"",
        b" \r\n\t",
        b"{",
        b"}",
        b"{} {}",
        b"{},",
        b"{'name': 'x'}",
        b"{\"name\": \"x\",}",
        b"{\"name\"}",
        b"{name: \"x\"}",
        b"{\"name\": NaN}",
        b"{\"name\": 01}",
        b"{\"name\": \"a\nb\"}",
        b"{\"name\": \"\\ud800\"}",
        b"{\"name\": \"\xff\"}",
        b"{\"name\": 1e999}",
        b"\xef\xbb{}",
        b"{\"name\": \"x\", \"name\": \"x\"}",
        b"{\"name\": \"x\", \"n\\u0061me\": \"x\"}",
        b"{\"price\": {\"amount\": 1, \"amount\": 1, \"currency\": \"EUR\"}}",
        b"{} // really",
        thirty_three_levels.as_bytes(),
        endless.as_bytes(),
        unclosed.as_bytes(),
    ];
    for body in malformed {
        if Quirk::WantsUtf8Bodies.is_here() && std::str::from_utf8(body).is_err() {
            continue;
        }
        send_json(&shop.admin(), Method::PUT, &path, body).await.problem(400, "malformed-request");
    }
    // 32 levels are read, and then looked at.
    send_json(&shop.admin(), Method::PUT, &path, nested(31)).await.faults_at(&["/attributes"]);
    for path in ["/products", "/orders", "/users", "/auth"] {
        send_json(&shop.admin(), Method::POST, path, "").await.problem(400, "malformed-request");
        send_json(&shop.admin(), Method::POST, path, "{]").await.problem(400, "malformed-request");
        send_json(&shop.admin(), Method::POST, path, "[]").await.faults_at(&[""]);
    }
}

#[tokio::test]
async fn a_body_where_none_is_needed_is_ignored() {
    let shop = Shop::open().await;
    let (admin, customer) = (shop.admin(), shop.customer().await);
    let product = format!("/products/{}", shop.product(0).await);
    for path in ["/", "/health", "/products", &product, "/orders", "/users"] {
        for method in [Method::GET, Method::HEAD] {
            send(&admin, method.clone(), path, "text/plain", "{").await.expect(200);
            send_json(&admin, method, path, "{\"status\": \"draft\"}").await.expect(200);
        }
    }
    send(&admin, Method::DELETE, &format!("/users/{}", customer.id), "text/plain", "{").await.expect(204);
}
