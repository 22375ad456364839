//! Refused changes of orders, field by field, and malformed IDs in the path.

use http::Method;
use serde_json::{Value, json};
use tests::emulator_quirks::refuses_path;
use tests::person::{address, to};
use tests::shop::Shop;

use crate::orders::input::{
    NO_OBJECTS, NO_STRINGS, bad_addresses, bad_lines, bad_metadata, bad_prose, bad_times, send, with,
};

#[tokio::test]
async fn every_field_of_a_change_is_checked() {
    let shop = Shop::open().await;
    let staff = shop.staff().await;
    let (ada, order) = shop.order_in("placed").await;
    let path = format!("/orders/{order}");
    let before = staff.get(&path).await.expect(200);
    // Also of what is given for a change of status that is not possible now: the body comes first.
    let refuses = async |good: &Value, pointer: &str, raw: Option<&str>, at: &str| {
        for path in [path.as_str(), "/orders/nonsense"] {
            send(&staff, Method::PUT, path, with(good, pointer, raw)).await.faults_at(&[at]);
        }
    };

    let none = json!({});
    for raw in
        NO_STRINGS.iter().chain(&["null", "\"\"", "\"Paid\"", "\"void\"", "\" paid\"", "\"paid\\u0000\""])
    {
        refuses(&none, "/status", Some(raw), "/status").await;
    }
    for raw in bad_lines(500) {
        refuses(&to("cancelled"), "/reason", Some(&raw), "/reason").await;
    }
    for raw in ["\"true\"", "\"\"", "1", "0", "[]", "{\"$ne\": null}"] {
        refuses(&to("returned"), "/restock", Some(raw), "/restock").await;
    }
    for (status, part, field) in [
        ("paid", "payment", "reference"),
        ("paid", "payment", "method"),
        ("shipped", "tracking", "carrier"),
        ("shipped", "tracking", "number"),
        ("refunded", "payment", "refund_reference"),
    ] {
        let good = to(status);
        for raw in NO_OBJECTS {
            refuses(&good, &format!("/{part}"), Some(raw), &format!("/{part}")).await;
        }
        let place = format!("/{part}/{field}");
        for raw in bad_lines(100) {
            refuses(&good, &place, Some(&raw), &place).await;
        }
        let unknown = format!("/{part}/amount");
        refuses(&good, &unknown, Some("1"), &unknown).await;
    }
    for raw in ["7", "\"\"", "\"http://parcels.example/1\"", "\"parcels.example\"", "[]"] {
        refuses(&to("shipped"), "/tracking/url", Some(raw), "/tracking/url").await;
    }
    for raw in ["null", "[]", "7", "{}"] {
        refuses(&none, "/items", Some(raw), "/items").await;
    }
    let line = json!({ "items": [{ "product_id": "product_01h455vb4pex5vsknk084sn02q", "quantity": 1 }] });
    for (place, raws) in [
        ("/items/0/quantity", &["null", "0", "-1", "10001", "1.0", "\"1\"", "[]"][..]),
        ("/items/0/product_id", &["null", "\"\"", "7", "\"order_01h455vb4pex5vsknk084sn02q\"", "[]"]),
        ("/items/0/sku", &["\"MUG\""]),
        ("/items/0/discounts", &["7", "{}", "\"x\""]),
        ("/items/0/taxes", &["7", "{}", "\"x\""]),
        ("/shipping", &NO_OBJECTS),
    ] {
        for raw in raws {
            refuses(&line, place, Some(raw), place).await;
        }
    }
    // Without items, whatever it is.
    for raw in ["null", "{\"label\": \"Express\", \"amount\": 1}"] {
        refuses(&none, "/shipping", Some(raw), "/shipping").await;
    }
    for raw in ["null"].into_iter().chain(NO_OBJECTS) {
        refuses(&none, "/shipping_address", Some(raw), "/shipping_address").await;
    }
    let moved = json!({ "shipping_address": address() });
    for (field, raw, at) in bad_addresses() {
        refuses(&moved, &format!("/shipping_address/{field}"), raw.as_deref(), &at).await;
    }
    for raw in NO_OBJECTS {
        refuses(&none, "/billing_address", Some(raw), "/billing_address").await;
    }
    let billed = json!({ "billing_address": address() });
    for (field, raw, at) in bad_addresses() {
        let at = at.replace("shipping", "billing");
        refuses(&billed, &format!("/billing_address/{field}"), raw.as_deref(), &at).await;
    }
    for raw in bad_prose(2000) {
        refuses(&none, "/note", Some(&raw), "/note").await;
        refuses(&none, "/internal_note", Some(&raw), "/internal_note").await;
    }
    for (raw, at) in bad_metadata() {
        refuses(&none, "/metadata", Some(&raw), &at).await;
    }
    for raw in bad_times() {
        refuses(&none, "/expires_at", Some(&raw), "/expires_at").await;
    }
    for raw in ["null", "\"2026-11-25T09:00:00Z\""] {
        refuses(&to("cancelled"), "/expires_at", Some(raw), "/expires_at").await;
    }
    for field in [
        "id",
        "number",
        "user_id",
        "external_number",
        "total",
        "history",
        "version",
        "created_at",
        "updated_at",
        "Status",
        "$set",
        "",
    ] {
        for raw in ["\"x\"", "null"] {
            refuses(&none, &format!("/{field}"), Some(raw), &format!("/{field}")).await;
        }
    }
    assert_eq!(staff.get(&path).await.expect(200).body, before.body);
    // Told to the owner too, and not to those whose order it is not before they have a good body.
    ada.put(&path, json!({ "note": "" })).await.faults_at(&["/note"]);
}

#[tokio::test]
async fn an_id_that_is_none_of_an_order_is_not_found() {
    let shop = Shop::open().await;
    let (ada, order) = shop.order_in("placed").await;
    let (id, upper) = (order.strip_prefix("order_").unwrap(), order.to_uppercase());
    let other_kind = format!("product_{id}");
    for bad in [
        "x",
        id,
        &other_kind,
        &upper,
        "order_",
        "%00",
        "%FF",
        "$ne",
        "[object%20Object]",
        "consistency%00",
        "null",
        "1",
        "order_01h455vb4pex5vsknk084sn02q%00",
        "%F0%9F%A6%80",
    ] {
        if refuses_path(bad) {
            continue;
        }
        for person in [&ada, &shop.admin()] {
            let path = format!("/orders/{bad}");
            person.get(&path).await.problem(404, "not-found");
            person.put(&path, json!({ "note": "x" })).await.problem(404, "not-found");
        }
    }
    ada.get(&format!("/orders/{order}/")).await.problem(404, "not-found");
    ada.get(&format!("/Orders/{order}")).await.problem(404, "not-found");
    ada.delete(&format!("/orders/{order}")).await.problem(405, "method-not-allowed");
}
