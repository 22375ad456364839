//! Messages of errors: the fault, its place, and what is allowed.
//!
//! `tests::answer` holds every error that any test meets to the rules without exception.

use http::{Method, header};
use serde_json::{Value, json};
use tests::answer::Answer;
use tests::person::{PASSWORD, Person, to};
use tests::shop::{Shop, new_sku, order_of};
use tests::support::conditional::put_if;
use tests::support::messages::{fault, says};
use tests::support::raw::{LIMIT, send, send_json};

async fn post_json(person: &Person, body: &str) -> Answer {
    send_json(person, Method::POST, "/auth", body).await
}

#[tokio::test]
async fn a_body_that_is_no_json_is_told_where_and_what() {
    let shop = Shop::open().await;
    let anyone = shop.anyone();
    for (body, place, what) in [
        (
            "{\n  \"email\": \"a@b\",\n}",
            "line 3, column 1",
            "a comma must not stand before the closing bracket",
        ),
        (
            "{\n\"email\": \"a@b\", \"email\": 1}",
            "line 2, column 23",
            "the key \"email\" stands twice in one object",
        ),
        ("{\"email\": \"a@b\"", "line 1, column 15", "unexpected end"),
        ("{email: 1}", "line 1, column 2", "a key must be a string in double quotes"),
        ("email=a%40b", "line 1, column 1", "a value is expected here"),
        ("{} {}", "line 1, column 4", "unexpected characters after the end"),
    ] {
        says(post_json(&anyone, body).await, 400, "malformed-request", &[place, what]);
    }
    let deep = format!("{{\"email\": {}{}}}", "[".repeat(32), "]".repeat(32));
    says(post_json(&anyone, &deep).await, 400, "malformed-request", &["column 43", "more than 32 levels"]);
    let long = format!("{{\"{0}\": 1, \"{0}\": 2}}", "k".repeat(5000));
    let answer = says(post_json(&anyone, &long).await, 400, "malformed-request", &["kkk\"… stands twice"]);
    assert!(answer.text("detail").len() < 200);
    says(post_json(&anyone, " ").await, 400, "malformed-request", &["empty", "JSON object"]);
    let key = anyone.request(Method::POST, "/users").header("idempotency-key", "a b").body("{}");
    let key = anyone.answer(key.header(header::CONTENT_TYPE, "application/json")).await;
    says(key, 400, "malformed-request", &["Idempotency-Key", "1 to 255 visible ASCII characters"]);
}

#[tokio::test]
async fn a_request_that_is_sent_wrongly_is_told_how_to_send_it() {
    let shop = Shop::open().await;
    let anyone = shop.anyone();
    for (media_type, sent) in [
        ("text/plain; charset=utf-8", "as \"text/plain; charset=utf-8\""),
        ("application/x-www-form-urlencoded", "as \"application/x-www-form-urlencoded\""),
        ("", "without a Content-Type"),
    ] {
        let answer = send(&anyone, Method::POST, "/auth", media_type, "{}").await;
        says(answer, 415, "unsupported-media-type", &[sent, "`Content-Type: application/json`"]);
    }
    let large = send_json(&anyone, Method::POST, "/auth", " ".repeat(LIMIT + 1)).await;
    says(large, 413, "payload-too-large", &["at most 256 KiB"]);

    for (method, path, allowed) in [
        (Method::PATCH, "/products", "GET, HEAD, POST"),
        (Method::DELETE, "/orders/order_01h455vb4pex5vsknk084sn02q", "GET, HEAD, PUT"),
        (Method::GET, "/auth", "POST"),
    ] {
        let answer = anyone.send(method.clone(), path, None).await;
        let words = [format!("Method `{method}` not allowed"), "Allowed: ".to_owned()];
        let answer = says(answer, 405, "method-not-allowed", &words.each_ref().map(String::as_str));
        let listed = |text: &str| {
            let mut methods: Vec<_> = text.split(',').map(|method| method.trim().to_owned()).collect();
            methods.sort();
            methods
        };
        assert_eq!(listed(answer.header("allow").unwrap()), listed(allowed));
        let detail = answer.text("detail");
        let (_, told) = detail.trim_end_matches('.').split_once("Allowed: ").unwrap();
        assert_eq!(listed(told), listed(allowed));
    }

    for path in ["/nowhere", "/products/", "/Products", "/orders/1/2/3"] {
        says(anyone.get(path).await, 404, "not-found", &["No route at this path", "`GET /docs`"]);
    }
    let list = |query: &str| format!("/products?{query}");
    for (query, words) in [
        ("limit=0", &["`limit`", "1 to 100"] as &[&str]),
        ("limit=1&limit=2", &["`limit`", "once"]),
        ("colour=red", &["`colour`", "limit"]),
        ("cursor=x", &["`cursor`", "Start again"]),
        ("status=", &["`status`", "empty"]),
        ("status=sold", &["`status`", "draft, active, archived"]),
    ] {
        says(anyone.get(&list(query)).await, 400, "invalid-query", words);
    }
}

#[tokio::test]
async fn who_may_not_is_told_who_may() {
    let shop = Shop::open().await;
    let (anyone, customer, staff) = (shop.anyone(), shop.customer().await, shop.staff().await);
    let gives = ["`POST /auth`"];
    says(anyone.get("/orders").await, 401, "unauthenticated", &gives);
    for token in ["x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."] {
        says(anyone.with_token(token).get("/products").await, 401, "unauthenticated", &gives);
    }
    let mut cut = customer.token.clone().unwrap();
    cut.truncate(cut.len() - 4);
    says(anyone.with_token(cut).get("/orders").await, 401, "unauthenticated", &gives);
    let basic = anyone.request(Method::GET, "/products").header(header::AUTHORIZATION, "Basic YTpi");
    says(anyone.answer(basic).await, 401, "unauthenticated", &gives);
    let wrong = anyone.post("/auth", json!({ "email": customer.email, "password": "x" })).await;
    says(wrong, 401, "unauthenticated", &["e-mail address", "password", "disabled"]);

    let forbidden = |answer, words: &[&str]| says(answer, 403, "forbidden", words);
    forbidden(customer.get("/users").await, &["staff and admins", "as customer"]);
    forbidden(staff.get("/orders/consistency").await, &["Only admins", "as staff"]);
    let (user, order) = (format!("/users/{}", customer.id), shop.order_in("placed").await);
    forbidden(staff.put(&user, json!({ "name": "x" })).await, &["Only admins", "another user"]);
    forbidden(customer.put(&user, json!({ "role": "admin" })).await, &["`role` and `status`"]);
    let new = json!({ "email": "a@b", "password": PASSWORD, "name": "A", "role": "staff" });
    forbidden(anyone.post("/users", new).await, &["`role`", "omit it"]);
    let (owner, order) = (order.0, format!("/orders/{}", order.1));
    forbidden(owner.put(&order, json!({ "metadata": {} })).await, &["`metadata`", "staff"]);
    forbidden(owner.put(&order, json!({ "expires_at": null })).await, &["`expires_at`", "staff"]);
    forbidden(owner.put(&order, to("paid")).await, &["`status` from placed to paid", "staff"]);
    let mut other = order_of("product_01h455vb4pex5vsknk084sn02q", 1);
    other["user_id"] = json!(owner.id);
    forbidden(customer.post("/orders", other).await, &["another user", "`user_id`"]);

    let missing = |answer, words: &[&str]| says(answer, 404, "not-found", words);
    missing(customer.get(&order).await, &["Order not found."]);
    missing(customer.get("/orders/4F7K-92QX").await, &["Order not found", "looks like order_"]);
    missing(customer.get("/products/order_01h455vb4pex5vsknk084sn02q").await, &["looks like product_"]);
}

#[tokio::test]
async fn each_fault_of_a_body_has_its_place_and_what_is_allowed() {
    let shop = Shop::open().await;
    let (anyone, staff) = (shop.anyone(), shop.staff().await);
    let integer = |is: &str| format!("must be an integer (12, not 12.0 or \"12\"); got {is}");
    fault(anyone.post("/auth", json!([])).await, "", "must be a JSON object; got an array");
    let product = |field: &str, value: Value| {
        let mut product =
            json!({ "sku": new_sku(), "name": "Mug", "price": { "amount": 1, "currency": "EUR" } });
        product[field] = value;
        product
    };
    for (field, value, pointer, detail) in [
        ("stock", json!("5"), "/stock", integer("a string")),
        ("stock", json!(-1), "/stock", "must be 0 to 1000000000; got -1".to_owned()),
        ("name", json!(""), "/name", "must have 1 to 200 characters; got 0".to_owned()),
        ("name", json!("  "), "/name", "must not be blank".to_owned()),
        ("name", json!("a\u{7}"), "/name", "must not contain the control character U+0007".to_owned()),
        ("name", json!(null), "/name", "is required".to_owned()),
        ("sku", json!("a b"), "/sku", "must have 1 to 64 characters of A-Z a-z 0-9 . _ -".to_owned()),
        ("status", json!("sold"), "/status", "must be one of draft, active, archived".to_owned()),
        ("attributes", json!({ "a": 1 }), "/attributes/a", "must be a string; got the number 1".to_owned()),
        (
            "attributes",
            json!({ "a": "\u{1}" }),
            "/attributes/a",
            "must not contain the control character U+0001".to_owned(),
        ),
        (
            "price",
            json!({ "amount": -5, "currency": "EUR" }),
            "/price/amount",
            "must be 0 to 1000000000000 in the currency's minor unit (1299 is 12.99 USD); got -5".to_owned(),
        ),
        (
            "price",
            json!({ "amount": 5, "currency": "eur" }),
            "/price/currency",
            "must be an active ISO 4217 code in capitals, such as EUR".to_owned(),
        ),
        (
            "colour",
            json!("red"),
            "/colour",
            "is unknown or read-only; allowed: sku, name, description, price, stock, max_per_order, attributes, \
             status"
                .to_owned(),
        ),
    ] {
        fault(staff.post("/products", product(field, value)).await, pointer, &detail);
    }
    let mug = format!("/products/{}", shop.product(1).await);
    let null = "cannot be null; omit it to keep its value";
    fault(staff.put(&mug, json!({ "name": null })).await, "/name", null);
    let stock = format!("{mug}/stock");
    for (body, pointer, detail) in [
        (json!({}), "", "must have exactly one of on_hand and delta; got neither"),
        (json!({ "on_hand": 1, "delta": 1 }), "", "must have exactly one of on_hand and delta; got both"),
        (json!({ "delta": 0 }), "/delta", "must be -1000000000 to 1000000000 and not 0; got 0"),
        (json!({ "delta": 1_000_000_000 }), "/delta", "would exceed the maximum on_hand of 1000000000"),
    ] {
        fault(staff.put(&stock, body).await, pointer, detail);
    }
    let order = json!({ "items": [{ "product_id": "mug", "quantity": 0 }], "note": " ", "user_id": "ada" });
    let answer = staff.post("/orders", order).await;
    // What is missing, and what is wrong, all at once.
    let answer = answer.faults_at(&[
        "/items/0/product_id",
        "/items/0/quantity",
        "/shipping_address",
        "/note",
        "/user_id",
    ]);
    assert_eq!(answer["detail"], "5 values are invalid; see `errors`.");
    assert_eq!(answer["errors"][1]["detail"], "must be 1 to 10000; got 0");
    let unknown = "must be the ID of an active product";
    let order = order_of("product_01h455vb4pex5vsknk084sn02q", 1);
    fault(staff.post("/orders", order).await, "/items/0/product_id", unknown);
}

#[tokio::test]
async fn a_change_that_a_state_forbids_names_the_allowed_ones() {
    let shop = Shop::open().await;
    let (staff, other) = (shop.staff().await, shop.customer().await);
    let (owner, order) = shop.order_in("shipped").await;
    let order = format!("/orders/{order}");
    says(
        staff.put(&order, json!({ "status": "cancelled" })).await,
        409,
        "invalid-transition",
        &["Cannot change status from shipped to cancelled. Allowed: delivered, returned."],
    );
    for (field, value) in [("note", json!("x")), ("shipping_address", tests::person::address())] {
        let answer = owner.put(&order, json!({ field: value })).await;
        says(
            answer,
            409,
            "order-not-editable",
            &[&format!("`{field}` can be changed while the order is placed"), "it is shipped"],
        );
    }
    let address = json!({ "shipping_address": tests::person::address() });
    let answer = staff.put(&order, address).await;
    says(answer, 409, "order-not-editable", &["while the order is placed or paid", "it is shipped"]);
    let stale = put_if(&staff, &order, "\"1\"", &json!({})).await;
    says(stale, 412, "version-mismatch", &["version is 3", "If-Match: \"3\""]);

    let mug = shop.product(5).await;
    other.orders(&[(&mug, 3)]).await.expect(201);
    let short = other.orders(&[(&mug, 3)]).await;
    let short = says(short, 409, "insufficient-stock", &["`items`", "available"]);
    assert_eq!(short["items"], json!([{ "product_id": mug, "requested": 3, "available": 2 }]));
    let below = staff.put(&format!("/products/{mug}/stock"), json!({ "on_hand": 2 })).await;
    let below = says(
        below,
        409,
        "stock-below-reserved",
        &["5 on hand, 3 reserved", "`on_hand` must be at least 3", "`delta` at least -2"],
    );
    assert_eq!((&below["on_hand"], &below["reserved"]), (&json!(5), &json!(3)));

    let sku = shop.product_with(json!({})).await["sku"].clone();
    let taken = staff.put(&format!("/products/{mug}"), json!({ "sku": sku })).await;
    says(taken, 409, "sku-taken", &["`sku`"]);
    let change = json!({ "email": other.email, "current_password": PASSWORD });
    let taken = owner.put(&format!("/users/{}", owner.id), change).await;
    says(taken, 409, "email-taken", &["`email`"]);
    let body = order_of(&mug, 1);
    other.send_keyed(Method::POST, "/orders", "k", &body).await.expect(201);
    let reused = other.send_keyed(Method::POST, "/orders", "k", &order_of(&mug, 2)).await;
    says(reused, 422, "idempotency-key-reused", &["Idempotency-Key", "new key"]);
}
