//! Rules for every route: the order of checks, tokens, and request IDs.

use std::collections::BTreeSet;

use http::Method;
use serde_json::json;
use tests::emulator_quirks::Quirk;
use tests::person::address;
use tests::shop::{Shop, order_of};
use tests::support::raw::{LIMIT, authorization, raw, send, send_json};

/// An ID that is well formed, and of nothing.
const NO_PRODUCT: &str = "product_01h455vb4pex5vsknk084sn02q";

/// Each request has every fault that can be had from one step on, and the step it stands at must answer.
#[tokio::test]
async fn of_many_faults_the_first_in_the_order_of_checks_is_answered() {
    let shop = Shop::open().await;
    let (customer, staff) = (shop.customer().await, shop.staff().await);
    let path = format!("/products/{NO_PRODUCT}");
    let huge = vec![b'{'; LIMIT + 1];
    let length = huge.len().to_string();

    // The body is announced and never sent: whoever answers has not waited for it.
    let announced = [("content-type", &b"text/plain"[..]), ("content-length", length.as_bytes())];
    let sent = if Quirk::WaitsForBodies.is_here() { huge.as_slice() } else { b"" };
    raw(&shop, "PUT /products/x/y/z", &announced, sent).await.problem(404, "not-found");
    raw(&shop, "DELETE /products", &announced, sent).await.problem(405, "method-not-allowed");
    let put = format!("PUT {path}");
    raw(&shop, &put, &announced, sent).await.problem(401, "unauthenticated");
    let with = |token: &'static [u8]| [&announced[..], &[("authorization", token)]].concat();
    raw(&shop, &put, &with(b"Bearer x"), sent).await.problem(401, "unauthenticated");
    let token = authorization(&customer);
    let forbidden = [&announced[..], &[("authorization", token.as_slice())]].concat();
    raw(&shop, &put, &forbidden, sent).await.problem(403, "forbidden");

    let put = async |media_type, body: &[u8]| send(&staff, Method::PUT, &path, media_type, body).await;
    put("text/plain", &huge).await.problem(413, "payload-too-large");
    put("text/plain", b"{\"name\": 5,,").await.problem(415, "unsupported-media-type");
    put("text/plain", b"").await.problem(415, "unsupported-media-type");
    put("application/json", b"{\"name\": 5, \"name\": 5}").await.problem(400, "malformed-request");
    put("application/json", b"{\"name\": 5, \"sku\":").await.problem(400, "malformed-request");
    put("application/json", b"{\"name\": \"\"}").await.faults_at(&["/name"]);
    put("application/json", b"{\"name\": 5}").await.faults_at(&["/name"]);
    let taken = shop.product_with(json!({})).await.text("sku");
    put("application/json", json!({ "sku": taken }).to_string().as_bytes()).await.problem(404, "not-found");
}

#[tokio::test]
async fn a_malformed_id_in_a_path_is_checked_where_404_would_be() {
    let shop = Shop::open().await;
    let (anyone, customer, admin) = (shop.anyone(), shop.customer().await, shop.admin());
    for path in ["/products/%FF", "/products/%FF/stock", "/orders/%FF", "/users/%FF"] {
        let (method, bad) = (Method::PUT, json!({ "foo": 1 }).to_string());
        send(&anyone, method.clone(), path, "text/plain", "{").await.problem(401, "unauthenticated");
        if path.starts_with("/products") {
            send(&customer, method.clone(), path, "text/plain", "{").await.problem(403, "forbidden");
        }
        send(&admin, method.clone(), path, "text/plain", "{").await.problem(415, "unsupported-media-type");
        send_json(&admin, method.clone(), path, "{").await.problem(400, "malformed-request");
        send_json(&admin, method, path, bad).await.faults_at(&["/foo"]);
    }
}

#[tokio::test]
async fn the_order_of_checks_holds_for_orders_too() {
    let shop = Shop::open().await;
    let (customer, stranger, staff) = (shop.customer().await, shop.customer().await, shop.staff().await);
    let [mug, yen] = [
        shop.product(2).await,
        shop.product_with(json!({ "price": { "amount": 1, "currency": "JPY" } })).await.id(),
    ];

    // 401, then the form, then 403 by field, then what needs data, then the stock.
    let mut body = order_of(&mug, 0);
    body["user_id"] = json!(stranger.id);
    shop.anyone().post("/orders", body.clone()).await.problem(401, "unauthenticated");
    customer.post("/orders", body.clone()).await.faults_at(&["/items/0/quantity"]);
    body["items"] =
        json!([{ "product_id": NO_PRODUCT, "quantity": 1 }, { "product_id": mug, "quantity": 9 }]);
    customer.post("/orders", body.clone()).await.problem(403, "forbidden");
    body["user_id"] = json!(customer.id);
    customer.post("/orders", body.clone()).await.faults_at(&["/items/0/product_id"]);
    body["items"] = json!([{ "product_id": mug, "quantity": 9 }, { "product_id": yen, "quantity": 1 }]);
    customer.post("/orders", body.clone()).await.faults_at(&["/items/1/product_id"]);
    body["items"] = json!([{ "product_id": mug, "quantity": 9 }]);
    customer.post("/orders", body).await.problem(409, "insufficient-stock");

    // The form, then another's order, then 403 by transition, then 409.
    let order = format!("/orders/{}", customer.orders(&[(&mug, 1)]).await.expect(201).id());
    let shipped = json!({ "status": "shipped", "tracking": { "carrier": "DHL", "number": "1" } });
    let bad = json!({ "status": "shipped", "tracking": { "carrier": "", "number": "1" } });
    stranger.put(&order, bad.clone()).await.faults_at(&["/tracking/carrier"]);
    stranger.put(&order, shipped.clone()).await.problem(404, "not-found");
    stranger.get(&order).await.problem(404, "not-found");
    customer.put(&order, bad).await.faults_at(&["/tracking/carrier"]);
    staff.put(&order, shipped).await.problem(409, "invalid-transition");
    let paid = json!({ "status": "paid", "payment": { "reference": "pi_1" } });
    customer.put(&order, paid).await.problem(403, "forbidden");
    assert_eq!(shop.stock(&mug).await, (2, 1, 1));
}

#[tokio::test]
async fn a_bad_token_is_refused_also_where_none_is_needed() {
    let shop = Shop::open().await;
    let product = format!("/products/{}", shop.product(0).await);
    let customer = shop.customer().await;
    for token in ["x", "", "a.b.c", &format!("{}x", customer.token.clone().unwrap())] {
        let bad = shop.anyone().with_token(token);
        for path in ["/products", &product, "/products?limit=0", "/products/x"] {
            let refused = bad.get(path).await.problem(401, "unauthenticated");
            assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
        }
        bad.post("/auth", json!({})).await.problem(401, "unauthenticated");
        bad.post("/users", json!({})).await.problem(401, "unauthenticated");
        // What is not there, or not with this method, is told first.
        bad.get("/products/x/y").await.problem(404, "not-found");
        bad.delete("/products").await.problem(405, "method-not-allowed");
    }
}

#[tokio::test]
async fn the_request_id_is_the_clients_own_on_every_answer() {
    let shop = Shop::open().await;
    let (anyone, customer, admin) = (shop.anyone(), shop.customer().await, shop.admin());
    let product = shop.product_with(json!({ "stock": 1 })).await;
    let (product, sku) = (product.id(), product.text("sku"));
    let path = format!("/products/{product}");
    let taken = tests::support::raw::product(&sku).to_string();
    let order = order_of(&product, 9).to_string();
    let huge = " ".repeat(LIMIT + 1);
    let json = "application/json";
    for (place, (person, method, path, media_type, body, status)) in [
        (&anyone, Method::GET, "/", "", "", 200),
        (&anyone, Method::GET, "/products", "", "", 200),
        (&admin, Method::PUT, &path, json, "{}", 200),
        (&anyone, Method::GET, "/products?limit=0", "", "", 400),
        (&admin, Method::PUT, &path, json, "{", 400),
        (&anyone, Method::PUT, &path, json, "{}", 401),
        (&anyone.with_token("x"), Method::GET, &path, "", "", 401),
        (&customer, Method::PUT, &path, json, "{}", 403),
        (&admin, Method::GET, "/products/x", "", "", 404),
        (&admin, Method::GET, "/nothing", "", "", 404),
        (&admin, Method::DELETE, &path, "", "", 405),
        (&admin, Method::POST, "/products", json, &taken, 409),
        (&customer, Method::POST, "/orders", json, &order, 409),
        (&admin, Method::POST, "/products", json, &huge, 413),
        (&admin, Method::POST, "/products", "text/plain", "{}", 415),
        (&admin, Method::POST, "/products", json, "{}", 422),
    ]
    .into_iter()
    .enumerate()
    {
        let own = format!("Test.{place}_a-Z");
        let request = person.request(method, path).header("x-request-id", &own).body(body.to_owned());
        let request =
            if media_type.is_empty() { request } else { request.header("content-type", media_type) };
        let answer = person.answer(request).await.expect(status);
        assert_eq!(answer.header("x-request-id"), Some(own.as_str()), "{}", answer.request);
        if status >= 400 {
            // The instance is the path alone.
            assert_eq!(answer.text("request_id"), own);
            assert_eq!(answer.text("instance"), path.split('?').next().unwrap_or_default());
            assert_eq!(answer["errors"].is_array(), status == 422);
        }
    }
}

#[tokio::test]
async fn a_request_id_that_is_not_fit_for_a_log_is_replaced() {
    let shop = Shop::open().await;
    let longest = "x".repeat(128);
    for good in ["x", "0", ".", "_", "-", "A-z.0_9", &longest] {
        for path in ["GET /health", "GET /nothing", "GET /orders"] {
            let answer = raw(&shop, path, &[("x-request-id", good.as_bytes())], b"").await;
            assert_eq!(answer.header("x-request-id"), Some(good));
        }
    }
    let too_long = "x".repeat(129);
    let mut seen = BTreeSet::new();
    let bad: [&[u8]; 11] = [
        b"",
        b"a b",
        b"a\tb",
        b"a/b",
        b"a,b",
        b"a;b",
        b"\"a\"",
        b"\xc3\xbc",
        b"\xff",
        b"${jndi:x}",
        too_long.as_bytes(),
    ];
    for bad in bad {
        if Quirk::WantsAsciiHeaders.is_here() && !bad.is_ascii() {
            continue;
        }
        for path in ["GET /health", "GET /nothing", "GET /orders"] {
            let answer = raw(&shop, path, &[("x-request-id", bad)], b"").await;
            let made = answer.header("x-request-id").unwrap().to_owned();
            assert!((1..=128).contains(&made.len()), "{made}");
            assert!(
                made.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)),
                "{made}"
            );
            assert_ne!(made.as_bytes(), bad);
            let is_new = seen.insert(made);
            assert!(is_new || Quirk::RepeatsRequestIds.is_here(), "each request has its own");
        }
    }
}

#[tokio::test]
async fn text_that_looks_like_a_database_query_is_just_text() {
    let shop = Shop::open().await;
    let admin = shop.admin();
    let mut sign_in = json!({ "email": { "$ne": null }, "password": { "$ne": null } });
    assert_eq!(
        shop.anyone().post("/auth", sign_in.clone()).await.problem(422, "validation").pointers().len(),
        1
    );
    sign_in["email"] = json!("{\"$ne\": null}");
    sign_in["password"] = json!("{\"$gt\": \"\"}");
    assert!([401, 422].contains(&shop.anyone().post("/auth", sign_in).await.status.as_u16()));
    for query in ["status[$ne]=active", "status[]=active", "$where=1", "%24where=1"] {
        admin.get(&format!("/products?{query}")).await.problem(400, "invalid-query");
        admin.get(&format!("/orders?{query}")).await.problem(400, "invalid-query");
    }
    let items = json!([{ "product_id": { "$ne": null }, "quantity": 1 }]);
    let refused = admin.post("/orders", json!({ "items": items, "shipping_address": address() })).await;
    refused.faults_at(&["/items/0/product_id"]);
}
