//! Refused bodies of orders, field by field: the status and the places.

#![expect(clippy::panic, clippy::unwrap_used, reason = "what fails in a test fails the test")]

use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};
use tests::answer::Answer;
use tests::person::Person;
use tests::shop::{Shop, order_of};

/// A body with what stands at a pointer replaced by raw JSON, so that numbers are sent as they are written.
/// Without raw JSON it is left out.
pub(crate) fn with(body: &Value, pointer: &str, raw: Option<&str>) -> String {
    const HERE: &str = "what is replaced";
    let mut body = body.clone();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match (body.pointer_mut(parent).unwrap(), raw) {
        (Value::Object(fields), Some(_)) => _ = fields.insert(key.to_owned(), json!(HERE)),
        (Value::Object(fields), None) => _ = fields.remove(key),
        (Value::Array(elements), _) => elements[key.parse::<usize>().unwrap()] = json!(HERE),
        _ => panic!("{parent} has no parts"),
    }
    body.to_string().replace(&format!("\"{HERE}\""), raw.unwrap_or_default())
}

pub(crate) async fn send(person: &Person, method: Method, path: &str, body: String) -> Answer {
    let request = person.request(method, path).header("content-type", "application/json").body(body);
    person.answer(request).await
}

/// A string of so many code points of four bytes each.
fn emoji(count: usize) -> String {
    "🦀".repeat(count)
}

/// Values that are neither a string nor null.
pub(crate) const NO_STRINGS: [&str; 6] = ["7", "true", "1.5", "[]", "[\"x\"]", "{\"$ne\": null}"];

/// Values that are neither an object nor null.
pub(crate) const NO_OBJECTS: [&str; 4] = ["7", "false", "\"x\"", "[]"];

/// Texts of one line that are refused wherever up to `max` code points are allowed.
pub(crate) fn bad_lines(max: usize) -> Vec<String> {
    let mut bad: Vec<String> = NO_STRINGS.map(str::to_owned).to_vec();
    for text in ["", " ", "\u{a0}\u{2003}", "a\0b", "a\nb", "a\tb", "a\rb", "a\u{7f}", "a\u{85}b"] {
        bad.push(json!(text).to_string());
    }
    bad.push(json!(emoji(max + 1)).to_string());
    bad
}

/// Texts that are no time.
pub(crate) fn bad_times() -> Vec<String> {
    let texts = ["", " ", "now", "2026-11-22", "2026-11-22T19:22:33", "2026-02-30T00:00:00Z", "1700000000"];
    NO_STRINGS.map(str::to_owned).into_iter().chain(texts.map(|text| json!(text).to_string())).collect()
}

/// The same for texts of several lines.
pub(crate) fn bad_prose(max: usize) -> Vec<String> {
    let allowed = [json!("a\nb").to_string(), json!("a\tb").to_string()];
    bad_lines(max).into_iter().filter(|bad| !allowed.contains(bad)).collect()
}

/// Invalid `metadata`, with the pointer of the error.
pub(crate) fn bad_metadata() -> Vec<(String, String)> {
    let entries = |count: usize| {
        let entries: serde_json::Map<String, Value> =
            (0..count).map(|n| (n.to_string(), json!(""))).collect();
        Value::Object(entries).to_string()
    };
    let mut bad: Vec<(String, String)> =
        NO_OBJECTS.iter().map(|raw| ((*raw).to_owned(), "/metadata".to_owned())).collect();
    bad.push((entries(51), "/metadata".to_owned()));
    for raw in NO_STRINGS.iter().chain(&["null"]) {
        bad.push((format!("{{\"a\": {raw}}}"), "/metadata/a".to_owned()));
    }
    for value in [emoji(501), "a\0b".to_owned(), "a\nb".to_owned(), " ".to_owned()] {
        bad.push((json!({ "$ne": value }).to_string(), "/metadata/$ne".to_owned()));
        bad.push((json!({ "a/b~c": value }).to_string(), "/metadata/a~1b~0c".to_owned()));
    }
    for key in [String::new(), " ".to_owned(), emoji(41), "a\0b".to_owned(), "a\nb".to_owned()] {
        let pointer = format!("/metadata/{key}");
        bad.push((json!({ key: "x" }).to_string(), pointer));
    }
    bad
}

/// What is refused of an address below `/shipping_address`, as changes of one that is allowed: where, to
/// what, and which place is named.
pub(crate) fn bad_addresses() -> Vec<(&'static str, Option<String>, String)> {
    let mut bad = Vec::new();
    for (field, max, required) in [
        ("name", 200, false),
        ("company", 200, false),
        ("phone", 32, false),
        ("line1", 200, true),
        ("line2", 200, false),
        ("city", 200, true),
        ("region", 200, false),
        ("postal_code", 20, false),
    ] {
        let place = format!("/shipping_address/{field}");
        bad.extend(bad_lines(max).into_iter().map(|raw| (field, Some(raw), place.clone())));
        if required {
            bad.push((field, Some("null".to_owned()), place.clone()));
            bad.push((field, None, place));
        }
    }
    let country = "/shipping_address/country".to_owned();
    for raw in ["\"\"", "\"de\"", "\"XX\"", "\"DEU\"", "\"D\"", "\"DE \"", "\"D\\u0000\"", "null", "7", "[]"]
    {
        bad.push(("country", Some(raw.to_owned()), country.clone()));
    }
    bad.push(("country", None, country));
    for field in ["street", "$ne", "Line1"] {
        bad.push((field, Some("\"x\"".to_owned()), format!("/shipping_address/{field}")));
    }
    bad
}

#[tokio::test]
async fn every_field_of_a_new_order_is_checked() {
    let shop = Shop::open().await;
    let mug = shop.product(10).await;
    let ada = shop.customer().await;
    let good = order_of(&mug, 1);
    let refuses = async |pointer: &str, raw: Option<&str>, at: &str| {
        send(&ada, Method::POST, "/orders", with(&good, pointer, raw)).await.faults_at(&[at]);
    };

    for raw in
        [None, Some("null"), Some("[]"), Some("7"), Some("true"), Some("\"x\""), Some("{\"$ne\": null}")]
    {
        refuses("/items", raw, "/items").await;
    }
    for raw in ["null", "7", "true", "\"x\"", "[]"] {
        refuses("/items/0", Some(raw), "/items/0").await;
    }
    let place = "/items/0/product_id";
    refuses(place, None, place).await;
    let id = mug.strip_prefix("product_").unwrap();
    for text in [
        String::new(),
        " ".to_owned(),
        "x".to_owned(),
        id.to_owned(),
        format!("order_{id}"),
        format!("product_{}", id.to_uppercase()),
        format!(" {mug}"),
        format!("{mug}\0"),
        format!("{mug}{mug}"),
        "product_".to_owned(),
        ada.id.clone(),
        "x".repeat(10_000),
    ] {
        refuses(place, Some(&json!(text).to_string()), place).await;
    }
    for raw in NO_STRINGS.iter().chain(&["null"]) {
        refuses(place, Some(raw), place).await;
    }
    let place = "/items/0/quantity";
    refuses(place, None, place).await;
    for raw in [
        "null",
        "0",
        "-1",
        "-0",
        "10001",
        "2147483648",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551616",
        "-9223372036854775809",
        "1e3",
        "1E0",
        "12.0",
        "0.5",
        "\"1\"",
        "\"\"",
        "true",
        "[]",
        "[1]",
        "{\"$gt\": 0}",
    ] {
        refuses(place, Some(raw), place).await;
    }

    for raw in [None, Some("null")].into_iter().chain(NO_OBJECTS.map(Some)) {
        refuses("/shipping_address", raw, "/shipping_address").await;
    }
    for (field, raw, at) in bad_addresses() {
        refuses(&format!("/shipping_address/{field}"), raw.as_deref(), &at).await;
    }
    for raw in NO_OBJECTS {
        refuses("/billing_address", Some(raw), "/billing_address").await;
        refuses("/shipping", Some(raw), "/shipping").await;
    }
    for raw in bad_prose(2000) {
        refuses("/note", Some(&raw), "/note").await;
        refuses("/internal_note", Some(&raw), "/internal_note").await;
    }
    for (raw, at) in bad_metadata() {
        refuses("/metadata", Some(&raw), &at).await;
    }
    for raw in
        NO_STRINGS.iter().chain(&["\"\"", "\"x\"", "\"system\"", "\"order_01h455vb4pex5vsknk084sn02q\""])
    {
        refuses("/user_id", Some(raw), "/user_id").await;
    }

    for raw in bad_times() {
        refuses("/expires_at", Some(&raw), "/expires_at").await;
    }

    // What it cannot set, and what is no field at all; null too.
    for field in [
        "id",
        "number",
        "status",
        "total",
        "totals",
        "payment",
        "tracking",
        "fulfillments",
        "fulfillment_status",
        "returns",
        "return_status",
        "history",
        "version",
        "created_at",
        "updated_at",
        "restock",
        "reason",
        "currency",
        "Items",
        "$where",
        "__proto__",
        "",
        "items[0]",
    ] {
        for raw in ["\"x\"", "null", "{}"] {
            refuses(&format!("/{field}"), Some(raw), &format!("/{field}")).await;
        }
    }
    for field in ["price", "unit_price", "total", "name", "sku", "$inc"] {
        refuses(&format!("/items/0/{field}"), Some("1"), &format!("/items/0/{field}")).await;
    }

    assert_eq!(shop.stock(&mug).await, (10, 0, 10));
    assert_eq!(ada.get("/orders").await.expect(200).data(), [] as [Value; 0]);
    ada.post("/orders", good).await.expect(201);
}

#[tokio::test]
async fn an_array_is_never_taken_for_an_object() {
    let shop = Shop::open().await;
    let mug = shop.product(10).await;
    let ada = shop.customer().await;
    let good = order_of(&mug, 1);
    // With just the values of the fields, in some order.
    for (place, values) in [
        ("/items/0", json!([mug, 1])),
        ("/items/0", json!([mug, 1, null, null])),
        ("/items/0/discounts", json!([["Sale", 1]])),
        ("/items/0/taxes", json!([["VAT", "0", 0, true]])),
        ("/shipping", json!(["Express", 1, null])),
    ] {
        // A list may have elements that are none.
        let at = if values[0].is_array() { format!("{place}/0") } else { place.to_owned() };
        let body = with(&good, place, Some(&values.to_string()));
        send(&ada, Method::POST, "/orders", body).await.faults_at(&[&at]);
    }
    let whole = json!([null, null, null, "1 Way", null, "Bonn", null, "53111", "DE"]);
    for address in [whole.clone(), json!([[]]), json!([{}])] {
        for place in ["/shipping_address", "/billing_address"] {
            let body = with(&good, place, Some(&address.to_string()));
            send(&ada, Method::POST, "/orders", body).await.faults_at(&[place]);
        }
    }

    let staff = shop.staff().await;
    let order = ada.post("/orders", good).await.expect(201).id();
    let path = format!("/orders/{order}");
    staff.put(&path, json!({ "shipping_address": whole })).await.faults_at(&["/shipping_address"]);
    let body = json!({ "status": "paid", "payment": ["pi_1", null, null] });
    staff.put(&path, body).await.faults_at(&["/payment"]);
    staff.moves(&order, "paid").await.expect(200);
    let body = json!({ "status": "shipped", "tracking": ["DHL", "1"] });
    staff.put(&path, body).await.faults_at(&["/tracking"]);
}

#[tokio::test]
async fn what_is_just_within_the_limits_is_kept_as_it_was_sent() {
    let shop = Shop::open().await;
    let mug = shop.product(1_000_000).await;
    let ada = shop.customer().await;
    let address = json!({
        "name": emoji(200), "company": emoji(200), "phone": emoji(32), "line1": emoji(200), "line2": emoji(200), "city": emoji(200), "region": emoji(200),
        "postal_code": emoji(20), "country": "DE",
    });
    let mut metadata: serde_json::Map<String, Value> = (0..45).map(|n| (n.to_string(), json!("x"))).collect();
    for (key, value) in [
        ("$ne".to_owned(), "$gt".to_owned()),
        ("a.b".to_owned(), String::new()),
        ("__proto__".to_owned(), "x".to_owned()),
        (" a/b~c ".to_owned(), " x ".to_owned()),
        (emoji(40), emoji(500)),
    ] {
        metadata.insert(key, json!(value));
    }
    assert_eq!(metadata.len(), 50);
    let body = json!({
        "items": [{ "product_id": mug, "quantity": 10_000 }],
        "shipping_address": address,
        "billing_address": address,
        "note": format!("{}\n\t", emoji(1998)),
        "metadata": metadata,
    });
    let order = ada.post("/orders", body.clone()).await.expect(201);
    let path = format!("/orders/{}", order.id());
    for answer in [&order, &ada.get(&path).await.expect(200)] {
        for field in ["shipping_address", "billing_address", "note", "metadata"] {
            assert_eq!(answer[field], body[field], "{field}");
        }
        assert_eq!(answer["items"][0]["quantity"], 10_000);
    }
    // Nothing is trimmed.
    let edited = ada.put(&path, json!({ "note": " \n x " })).await.expect(200);
    assert_eq!(edited["note"], " \n x ");

    let staff = shop.staff().await;
    let internal = json!({ "internal_note": format!("{}\n\t", emoji(1998)) });
    assert_eq!(
        staff.put(&path, internal.clone()).await.expect(200)["internal_note"],
        internal["internal_note"]
    );
    let body = json!({
        "status": "paid", "reason": emoji(500), "payment": { "reference": emoji(100), "method": emoji(100) },
    });
    let paid = staff.put(&path, body).await.expect(200);
    assert_eq!(paid["history"][2]["reason"], emoji(500));
    assert_eq!(
        (&paid["payment"]["reference"], &paid["payment"]["method"]),
        (&json!(emoji(100)), &json!(emoji(100)))
    );
    let tracking = json!({ "carrier": emoji(100), "number": emoji(100), "url": null });
    let body = json!({ "status": "shipped", "tracking": tracking });
    assert_eq!(staff.put(&path, body).await.expect(200)["tracking"], tracking);
}

#[tokio::test]
async fn an_order_has_up_to_a_hundred_items() {
    let shop = Shop::open().await;
    let ada = shop.customer().await;
    let products = join_all((0..101).map(|_| shop.product(1))).await;
    let lines: Vec<(&str, i64)> = products.iter().map(|product| (product.as_str(), 1)).collect();
    ada.orders(&[]).await.faults_at(&["/items"]);
    ada.orders(&lines).await.faults_at(&["/items"]);
    let order = ada.orders(&lines[..100]).await.expect(201);
    let ordered: Vec<&str> =
        order["items"].as_array().unwrap().iter().map(|item| item["product_id"].as_str().unwrap()).collect();
    // In the order in which they were sent.
    assert_eq!(ordered, products[..100]);
    assert_eq!(order["total"]["amount"], 50_000);
    ada.moves(&order.id(), "cancelled").await.expect(200);
    ada.orders(&lines[1..]).await.expect(201);
}

#[tokio::test]
async fn all_faults_of_a_new_order_are_told_at_once() {
    let shop = Shop::open().await;
    let mug = shop.product(10).await;
    let ada = shop.customer().await;
    let body = json!({
        "items": [
            { "product_id": mug, "quantity": 0 },
            { "product_id": "x" },
            {},
            { "product_id": mug, "quantity": 10_001 },
        ],
        "shipping_address": { "line1": "", "region": " ", "country": "de" },
        "billing_address": { "name": " ", "company": "", "phone": "12" },
        "external_number": "a b",
        "note": "a\0b",
        "internal_note": "",
        "user_id": "x",
        "metadata": { "": "x", "a": "b\nc" },
    });
    ada.post("/orders", body).await.faults_at(&[
        "/items/0/quantity",
        "/items/1/product_id",
        "/items/1/quantity",
        "/items/2/product_id",
        "/items/2/quantity",
        "/items/3/quantity",
        "/items/3/product_id",
        "/shipping_address/line1",
        "/shipping_address/city",
        "/shipping_address/region",
        "/shipping_address/country",
        "/billing_address/name",
        "/billing_address/company",
        "/billing_address/phone",
        "/billing_address/line1",
        "/billing_address/city",
        "/billing_address/country",
        "/external_number",
        "/note",
        "/internal_note",
        "/user_id",
        "/metadata/",
        "/metadata/a",
    ]);
    ada.post("/orders", json!({})).await.faults_at(&["/items", "/shipping_address"]);
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_refused() {
    let shop = Shop::open().await;
    let (ada, order) = shop.order_in("placed").await;
    let path = format!("/orders/{order}");
    for (method, path) in [(Method::POST, "/orders"), (Method::PUT, path.as_str())] {
        for body in ["[]", "7", "null", "\"x\"", "true"] {
            send(&ada, method.clone(), path, body.to_owned()).await.faults_at(&[""]);
        }
        for body in
            ["", " \n", "{", "{\"note\": \"a\", \"note\": \"b\"}", "{} {}", "{note: 1}", "{\"note\": \"\n\"}"]
        {
            send(&ada, method.clone(), path, body.to_owned()).await.problem(400, "malformed-request");
        }
        let request = ada.request(method.clone(), path).body("{}");
        ada.answer(request).await.problem(415, "unsupported-media-type");
        let large = json!({ "note": "x".repeat(256 * 1024) }).to_string();
        send(&ada, method, path, large).await.problem(413, "payload-too-large");
    }
    assert_eq!(ada.get(&path).await["version"], 1);
}
