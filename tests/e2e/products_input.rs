//! Input for products, good and bad, value by value: the exact status, the exact place, never a 5xx.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};
use tests::answer::Answer;
use tests::shop::Shop;
use uuid::Uuid;

use crate::raw::send_json;

/// The body of a product that is allowed, but for one field, whose value is JSON as it is written.
fn mug_with(field: &str, value: &str) -> String {
    let mut fields = BTreeMap::from([
        ("sku".to_owned(), json!(Uuid::new_v4().simple().to_string()).to_string()),
        ("name".to_owned(), "\"Mug\"".to_owned()),
        ("price".to_owned(), "{\"amount\": 500, \"currency\": \"EUR\"}".to_owned()),
    ]);
    fields.insert(field.to_owned(), value.to_owned());
    object(&fields)
}

fn object(fields: &BTreeMap<String, String>) -> String {
    let members: Vec<String> = fields.iter().map(|(key, value)| format!("{}: {value}", json!(key))).collect();
    format!("{{{}}}", members.join(", "))
}

fn text(text: &str) -> String {
    json!(text).to_string()
}

fn entries(count: usize) -> String {
    let entries: BTreeMap<String, &str> = (0..count).map(|place| (format!("key {place}"), "x")).collect();
    json!(entries).to_string()
}

/// The 422 must name just these places, in any order.
#[track_caller]
fn assert_faults(answer: Answer, places: &[&str]) {
    let answer = answer.problem(422, "validation");
    let (mut found, mut expected) = (answer.pointers(), places.to_vec());
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected, "{}: {:#}", answer.request, answer.body);
}

/// What is no text.
const NO_TEXT: [&str; 7] = ["12", "12.5", "true", "[]", "[\"x\"]", "{}", "{\"$ne\": null}"];

/// What is no integer, or none that 64 bits can hold.
const NO_INTEGER: [&str; 13] = [
    "12.0",
    "1e3",
    "1.5",
    "-0.5",
    "\"12\"",
    "\"\"",
    "true",
    "[]",
    "[1]",
    "{\"$gt\": 0}",
    "9223372036854775808",
    "18446744073709551616",
    "-9223372036854775809",
];

/// Fields with values that neither POST nor PUT takes, and where the fault is.
fn bad_values() -> Vec<(&'static str, String, Vec<String>)> {
    let mut bad: Vec<(&str, String, Vec<String>)> = Vec::new();
    let mut add = |field, value: &str, places: &[&str]| {
        bad.push((field, value.to_owned(), places.iter().map(|place| (*place).to_owned()).collect()));
    };
    for value in NO_TEXT {
        add("sku", value, &["/sku"]);
        add("name", value, &["/name"]);
        add("description", value, &["/description"]);
        add("status", value, &["/status"]);
        add("price", &format!("{{\"amount\": 1, \"currency\": {value}}}"), &["/price/currency"]);
        add("attributes", &format!("{{\"colour\": {value}}}"), &["/attributes/colour"]);
    }
    for sku in ["", " ", "A B", "A/B", "Ä", "A\0", "A\n", "🦀", "$ne*", &"x".repeat(65)] {
        add("sku", &text(sku), &["/sku"]);
    }
    for name in ["", " ", " \u{a0}\u{2003}", "a\0b", "a\nb", "a\tb", "a\u{7f}", "a\u{85}", &"🦀".repeat(201)]
    {
        add("name", &text(name), &["/name"]);
    }
    for description in ["", " ", " \n\t", "a\0b", "a\rb", "a\u{1b}b", &"🦀".repeat(10_001)] {
        add("description", &text(description), &["/description"]);
    }
    for status in ["", "Active", "ACTIVE", " active", "active\0", "deleted"] {
        add("status", &text(status), &["/status"]);
    }
    for price in ["12", "12.5", "true", "\"5.00 EUR\"", "[]", "[500, \"EUR\"]", "[[]]"] {
        add("price", price, &["/price"]);
    }
    add("price", "{}", &["/price/amount", "/price/currency"]);
    add("price", "{\"amount\": null, \"currency\": null}", &["/price/amount", "/price/currency"]);
    add("price", "{\"amount\": -1, \"currency\": \"eur\"}", &["/price/amount", "/price/currency"]);
    add("price", "{\"currency\": \"EUR\"}", &["/price/amount"]);
    add("price", "{\"amount\": 1}", &["/price/currency"]);
    add("price", "{\"amount\": 1, \"currency\": \"EUR\", \"scale\": 2}", &["/price/scale"]);
    for amount in
        NO_INTEGER.into_iter().chain(["-1", "1000000000001", "9223372036854775807", "-9223372036854775808"])
    {
        add("price", &format!("{{\"amount\": {amount}, \"currency\": \"EUR\"}}"), &["/price/amount"]);
    }
    // Lower case, too short and too long, unknown, and superseded ones of several ages.
    for currency in
        ["", " ", "eur", "Eur", "EU", "EURO", " EUR", "EUR\0", "€", "ABC", "DEM", "HRK", "ZWL", "SLL", "VEF"]
    {
        let price = json!({ "amount": 1, "currency": currency });
        add("price", &price.to_string(), &["/price/currency"]);
    }
    for attributes in ["12", "true", "\"x\"", "[]", "[\"x\"]", "[[\"a\", \"b\"]]"] {
        add("attributes", attributes, &["/attributes"]);
    }
    add("attributes", "{\"colour\": null}", &["/attributes/colour"]);
    add("attributes", &entries(51), &["/attributes"]);
    add("attributes", "{\"\": \"x\"}", &["/attributes/"]);
    add("attributes", "{\" \": \"x\"}", &["/attributes/ "]);
    add("attributes", "{\"a\\u0000\": \"x\"}", &["/attributes/a\0"]);
    add("attributes", "{\"a\\nb\": \"x\"}", &["/attributes/a\nb"]);
    let key = "🦀".repeat(41);
    add("attributes", &json!({ key.as_str(): "x" }).to_string(), &[&format!("/attributes/{key}")]);
    for value in [" ", "a\0b", "a\nb", &"🦀".repeat(501)] {
        add("attributes", &json!({ "a/b~c": value }).to_string(), &["/attributes/a~1b~0c"]);
    }
    // Several bad entries are all told; one that is good is not.
    add(
        "attributes",
        &json!({ "": "x", "good": "x", "long": "x".repeat(501) }).to_string(),
        &["/attributes/", "/attributes/long"],
    );
    // What only the server sets, and what does not exist.
    for (field, place) in [
        ("id", "/id"),
        ("version", "/version"),
        ("created_at", "/created_at"),
        ("updated_at", "/updated_at"),
        ("reserved", "/reserved"),
        ("Name", "/Name"),
        ("$set", "/$set"),
        ("__proto__", "/__proto__"),
        ("a/b~c", "/a~1b~0c"),
        ("", "/"),
    ] {
        for value in ["null", "1", "\"x\""] {
            add(field, value, &[place]);
        }
    }
    bad
}

#[tokio::test]
async fn bad_values_are_refused_in_a_new_product_and_in_a_change() {
    let shop = Shop::open_in_process().await;
    let admin = shop.admin();
    let made = shop.product_with(json!({ "sku": "MUG", "description": "Blue" })).await;
    let path = format!("/products/{}", made.id());
    // All that go wrong are told together: with so many values, one at a time would be tedious.
    let mut wrong = Vec::new();
    for (field, value, mut places) in bad_values() {
        places.sort_unstable();
        let change = object(&BTreeMap::from([(field.to_owned(), value.clone())]));
        for (method, path, body) in
            [(Method::POST, "/products", mug_with(field, &value)), (Method::PUT, &path, change)]
        {
            let answer = send_json(&admin, method, path, &body).await;
            let mut found = answer.pointers();
            found.sort_unstable();
            if answer.status != 422 || found != places {
                wrong.push(format!("{}: {} {found:?}", answer.request, answer.status));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(admin.get(&path).await.expect(200).body, made.body);
    assert_eq!(admin.get("/products").await.expect(200).data().len(), 1);
}

#[tokio::test]
async fn what_is_just_allowed_is_taken_and_given_back_as_it_was() {
    let shop = Shop::open_in_process().await;
    let admin = shop.admin();
    let path = format!("/products/{}", shop.product(0).await);
    let odd_keys =
        json!({ "$ne": "x", "$set": "y", "a.b": "z", "~/": "~1", ".": "", "__proto__": "p", "😀": "🦀" });
    let crab = "🦀";
    let mut good: Vec<(&str, Value)> = vec![
        ("price", json!({ "amount": 0, "currency": "EUR" })),
        ("price", json!({ "amount": 1_000_000_000_000_i64, "currency": "KWD" })),
        ("attributes", odd_keys),
        ("attributes", json!({ crab.repeat(40): crab.repeat(500), "1": "" })),
        ("attributes", serde_json::from_str(&entries(50)).unwrap()),
        ("attributes", json!({})),
        ("status", json!("draft")),
        ("status", json!("archived")),
    ];
    good.extend(
        ["x", "$", "a", "  padded  ", "{\"$ne\": null}", "null", "<b>&amp;", &crab.repeat(200)]
            .map(|it| ("name", json!(it))),
    );
    good.extend(["x", "\n\tx", "$name", &crab.repeat(10_000)].map(|it| ("description", json!(it))));
    good.extend(["0", ".", "-", "_", "A-z.0_9", &"x".repeat(64)].map(|it| ("sku", json!(it))));
    good.extend(
        ["USD", "JPY", "GBP", "CHF", "BHD", "MRU"]
            .map(|it| ("price", json!({ "amount": 1, "currency": it }))),
    );
    for (field, value) in good {
        let changed =
            send_json(&admin, Method::PUT, &path, &json!({ field: value }).to_string()).await.expect(200);
        assert_eq!(changed[field], value);
        // Free for the POST that follows.
        if field == "sku" {
            admin.put(&path, json!({ "sku": "other" })).await.expect(200);
        }
        let created = send_json(&admin, Method::POST, "/products", &mug_with(field, &value.to_string()))
            .await
            .expect(201);
        assert_eq!(created[field], value);
        let read = admin.get(&format!("/products/{}", created.id())).await.expect(200);
        assert_eq!(read.body, created.body);
    }
}

#[tokio::test]
async fn the_largest_product_fits_into_a_request() {
    let shop = Shop::open().await;
    let crab = "🦀";
    let attributes: BTreeMap<String, String> =
        (10..60).map(|place| (format!("{place}{}", crab.repeat(38)), crab.repeat(500))).collect();
    let fields =
        json!({ "name": crab.repeat(200), "description": crab.repeat(10_000), "attributes": attributes });
    let product = shop.product_with(fields.clone()).await;
    assert_eq!(product["attributes"], fields["attributes"]);
}

#[tokio::test]
async fn what_is_required_of_a_new_product_is_told_all_at_once() {
    let shop = Shop::open().await;
    let admin = shop.admin();
    for body in
        ["{}", "{\"sku\": null, \"name\": null, \"price\": null}", "{\"status\": \"active\", \"stock\": 1}"]
    {
        assert_faults(send_json(&admin, Method::POST, "/products", body).await, &["/sku", "/name", "/price"]);
    }
    for field in ["sku", "name", "price"] {
        let mut body: Value = serde_json::from_str(&mug_with("stock", "1")).unwrap();
        body[field] = Value::Null;
        assert_faults(admin.post("/products", body.clone()).await, &[&format!("/{field}")]);
        body.as_object_mut().unwrap().remove(field);
        assert_faults(admin.post("/products", body).await, &[&format!("/{field}")]);
    }
}

#[tokio::test]
async fn null_clears_what_is_optional_and_is_refused_for_the_rest() {
    let shop = Shop::open().await;
    let path = format!("/products/{}", shop.product_with(json!({ "description": "Blue" })).await.id());
    for field in ["sku", "name", "price", "status"] {
        assert_faults(shop.admin().put(&path, json!({ field: null })).await, &[&format!("/{field}")]);
    }
    let all = json!({ "sku": null, "name": null, "price": null, "status": null, "description": null });
    assert_faults(shop.admin().put(&path, all).await, &["/sku", "/name", "/price", "/status"]);
    let cleared = shop.admin().put(&path, json!({ "description": null })).await.expect(200);
    assert_eq!((&cleared["description"], &cleared["version"]), (&Value::Null, &json!(2)));
}

#[tokio::test]
async fn all_faults_of_value_are_told_at_once() {
    let shop = Shop::open().await;
    let path = format!("/products/{}", shop.product(0).await);
    let change = json!({
        "sku": "", "name": " ", "description": "", "price": { "amount": -1, "currency": "eur" },
        "attributes": { "": "x" }, "status": "gone",
    });
    let places =
        ["/sku", "/name", "/description", "/price/amount", "/price/currency", "/attributes/", "/status"];
    let refused = shop.admin().put(&path, change.clone()).await.problem(422, "validation");
    for error in refused["errors"].as_array().unwrap() {
        assert!(error["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{error}");
    }
    assert_faults(refused, &places);
    let mut product = change;
    product["stock"] = json!(-1);
    assert_faults(shop.admin().post("/products", product).await, &[&places[..], &["/stock"]].concat());
    // What is missing and what is wrong are told together as well.
    let places = ["/sku", "/price", "/name"];
    assert_faults(shop.admin().post("/products", json!({ "name": "" })).await, &places);
}

#[tokio::test]
async fn the_first_count_of_a_product_has_limits() {
    let shop = Shop::open().await;
    let admin = shop.admin();
    let beyond = ["-1", "1000000001", "9223372036854775807", "-9223372036854775808"];
    for stock in NO_INTEGER.into_iter().chain(beyond) {
        assert_faults(
            send_json(&admin, Method::POST, "/products", &mug_with("stock", stock)).await,
            &["/stock"],
        );
    }
    for stock in [0, 1, 1_000_000_000] {
        assert_eq!(shop.product_with(json!({ "stock": stock })).await["stock"]["available"], stock);
    }
}

#[tokio::test]
async fn the_stock_is_no_field_of_a_change_of_the_product() {
    let shop = Shop::open().await;
    let product = shop.product(5).await;
    for stock in [json!(7), json!(5), json!(null), json!({ "on_hand": 5, "reserved": 0, "available": 5 })] {
        let refused = shop.admin().put(&format!("/products/{product}"), json!({ "stock": stock })).await;
        refused.faults_at(&["/stock"]);
    }
    assert_eq!(shop.stock(&product).await, (5, 0, 5));
}

#[tokio::test]
async fn bad_changes_of_the_stock_are_refused() {
    let shop = Shop::open().await;
    let (admin, product) = (shop.admin(), shop.product(5).await);
    let path = format!("/products/{product}/stock");
    let mut bad: Vec<(String, &str)> = Vec::new();
    for value in NO_INTEGER {
        bad.push((format!("{{\"on_hand\": {value}}}"), "/on_hand"));
        bad.push((format!("{{\"delta\": {value}}}"), "/delta"));
    }
    for value in ["-1", "1000000001", "9223372036854775807", "-9223372036854775808"] {
        bad.push((format!("{{\"on_hand\": {value}}}"), "/on_hand"));
    }
    for value in ["0", "1000000001", "-1000000001", "9223372036854775807", "-9223372036854775808"] {
        bad.push((format!("{{\"delta\": {value}}}"), "/delta"));
    }
    for value in NO_TEXT {
        bad.push((format!("{{\"delta\": 1, \"reason\": {value}}}"), "/reason"));
    }
    for value in ["", " ", "a\0b", "a\nb", "a\tb", &"🦀".repeat(501)] {
        bad.push((json!({ "delta": 1, "reason": value }).to_string(), "/reason"));
    }
    for body in [
        "{}",
        "{\"reason\": \"counted\"}",
        "{\"on_hand\": 1, \"delta\": 1}",
        "{\"on_hand\": 5, \"delta\": 0}",
        "{\"on_hand\": null, \"delta\": null}",
        "{\"on_hand\": null}",
    ] {
        bad.push((body.to_owned(), ""));
    }
    for place in ["/quantity", "/reserved", "/available", "/version", "/stock", "/On_hand", "/$inc"] {
        bad.push((json!({ "delta": 1, &place[1..]: 1 }).to_string(), place));
    }
    for (body, place) in bad {
        assert_faults(send_json(&admin, Method::PUT, &path, &body).await, &[place]);
    }
    // A fault of the reason is told beside one of the count.
    let both = json!({ "on_hand": -1, "reason": "" });
    assert_faults(admin.put(&path, both).await, &["/on_hand", "/reason"]);
    assert_eq!(shop.stock(&product).await, (5, 0, 5));
    for reason in ["x", &"🦀".repeat(500), "$reason"] {
        admin.put(&path, json!({ "delta": 1, "reason": reason })).await.expect(200);
    }
}

#[tokio::test]
async fn a_body_that_is_no_object_is_refused_as_a_whole() {
    let shop = Shop::open().await;
    let admin = shop.admin();
    let path = format!("/products/{}", shop.product(5).await);
    for body in ["[]", "[{}]", "\"x\"", "5", "null", "true", "[\"sku\", \"name\"]"] {
        assert_faults(send_json(&admin, Method::POST, "/products", body).await, &[""]);
        assert_faults(send_json(&admin, Method::PUT, &path, body).await, &[""]);
        assert_faults(send_json(&admin, Method::PUT, &format!("{path}/stock"), body).await, &[""]);
    }
}
