//! Input for products, value by value, with a look at the whole list afterwards.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};
use tests::in_process::InProcess;
use tests::support::products::{NO_INTEGER, NO_TEXT, mug_with, object};
use tests::support::raw::send_json;

fn text(text: &str) -> String {
    json!(text).to_string()
}

fn entries(count: usize) -> String {
    let entries: BTreeMap<String, &str> = (0..count).map(|place| (format!("key {place}"), "x")).collect();
    json!(entries).to_string()
}

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
    for currency in [
        "", " ", "eur", "Eur", "EU", "EURO", " EUR", "EUR\0", "€", "ABC", "DEM", "HRK", "ZWL", "SLL", "VEF",
        "XXX", "XTS", "XAU", "XDR",
    ] {
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
    let shop = InProcess::open().await;
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
    let shop = InProcess::open().await;
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
