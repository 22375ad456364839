//! Input for products, good and bad: the exact status, the exact place, never a 5xx.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};
use tests::answer::Answer;
use tests::shop::Shop;
use tests::support::products::{NO_INTEGER, NO_TEXT, mug_with};
use tests::support::raw::send_json;

/// The 422 must name just these places, in any order.
#[track_caller]
fn assert_faults(answer: Answer, places: &[&str]) {
    let answer = answer.problem(422, "validation");
    let (mut found, mut expected) = (answer.pointers(), places.to_vec());
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected, "{}: {:#}", answer.request, answer.body);
}

#[tokio::test]
async fn the_largest_product_fits_into_a_request() {
    let shop = Shop::open().await;
    let crab = "🦀";
    // 50 entries, of 16 KiB in all.
    let attributes: BTreeMap<String, String> =
        (10..60).map(|place| (format!("{place}{}", crab.repeat(38)), crab.repeat(43))).collect();
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
    let blue = json!({ "attributes": { "colour": "blue" } });
    assert_eq!(shop.admin().put(&path, blue.clone()).await.expect(200)["attributes"], blue["attributes"]);
    let cleared = shop.admin().put(&path, json!({ "attributes": null })).await.expect(200);
    assert_eq!(cleared["attributes"], json!({}));
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
