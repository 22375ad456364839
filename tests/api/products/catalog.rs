//! Products: defaults, changes, and the copy of name and price that an order keeps.

use serde_json::json;
use tests::person::address;
use tests::shop::{Shop, new_sku};

#[tokio::test]
async fn a_new_product_has_defaults_for_what_is_left_out_or_null() {
    let shop = Shop::open().await;
    let nulls = json!({
        "description": null, "stock": null, "attributes": null, "status": null, "max_per_order": null,
    });
    for more in [json!({}), nulls] {
        let product = shop.product_with(more).await;
        assert_eq!(product.header("location"), Some(format!("/products/{}", product.id()).as_str()));
        let sku = product.text("sku");
        let created_at = product.text("created_at");
        assert_eq!(
            product.body,
            json!({
                "id": product.id(), "sku": sku, "name": "Mug", "description": null,
                "price": { "amount": 500, "currency": "EUR" }, "attributes": {}, "status": "active",
                "max_per_order": null,
                "stock": { "on_hand": 0, "reserved": 0, "available": 0 },
                "version": 1, "created_at": created_at, "updated_at": created_at,
            })
        );
        assert!(product.id().starts_with("product_"));
        // RFC 3339 in UTC with milliseconds, such as 2026-01-02T03:04:05.678Z.
        assert!(created_at.len() == 24 && created_at.ends_with('Z'), "{created_at}");
        let path = format!("/products/{}", product.id());
        assert_eq!(shop.anyone().get(&path).await.expect(200).body, product.body);
        // By its SKU, since others make products on a target at the same time.
        let listed = shop.anyone().get(&format!("/products?sku={sku}")).await.expect(200);
        assert_eq!(listed.data(), [product.body]);
    }
}

#[tokio::test]
async fn a_change_of_a_product_touches_what_it_names_and_nothing_else() {
    let shop = Shop::open().await;
    let made = shop
        .product_with(json!({
            "description": "Blue", "stock": 4, "attributes": { "colour": "blue", "size": "M" },
        }))
        .await;
    let path = format!("/products/{}", made.id());
    let mut expected = made.body.clone();
    let mut version = 1;
    for (field, value) in [
        ("name", json!("Cup")),
        ("sku", json!(new_sku())),
        ("description", json!("Green")),
        ("description", json!(null)),
        ("price", json!({ "amount": 700, "currency": "EUR" })),
        ("price", json!({ "amount": 700, "currency": "JPY" })),
        // Replaced whole, not merged.
        ("attributes", json!({ "size": "L" })),
        ("attributes", json!({})),
        ("status", json!("archived")),
    ] {
        let changed = shop.admin().put(&path, json!({ field: value })).await.expect(200);
        version += 1;
        expected[field] = value;
        expected["version"] = json!(version);
        expected["updated_at"] = changed["updated_at"].clone();
        assert_eq!(changed.body, expected);
        assert!(changed.text("updated_at") >= made.text("created_at"));
        assert_eq!(shop.admin().get(&path).await.expect(200).body, expected);
    }
}

#[tokio::test]
async fn a_change_to_what_is_there_already_keeps_the_version() {
    let shop = Shop::open().await;
    let made = shop.product_with(json!({ "attributes": { "b": "2", "a": "1" } })).await;
    let path = format!("/products/{}", made.id());
    for same in [
        json!({}),
        json!({ "name": "Mug" }),
        json!({ "description": null }),
        json!({ "attributes": { "a": "1", "b": "2" }, "status": "active" }),
        json!({ "sku": made["sku"], "price": { "currency": "EUR", "amount": 500 } }),
    ] {
        assert_eq!(shop.admin().put(&path, same).await.expect(200).body, made.body);
    }
    // One difference among much that is the same is a change.
    let changed = shop.admin().put(&path, json!({ "name": "Mug", "description": "New" })).await.expect(200);
    assert_eq!(changed["version"], 2);
}

#[tokio::test]
async fn changes_of_different_fields_at_once_all_survive() {
    let shop = Shop::open().await;
    let path = format!("/products/{}", shop.product(0).await);
    let admin = shop.admin();
    let name = admin.put(&path, json!({ "name": "Cup" }));
    let description = admin.put(&path, json!({ "description": "Blue" }));
    let (name, description) = futures::future::join(name, description).await;
    name.expect(200);
    description.expect(200);
    let after = admin.get(&path).await.expect(200);
    assert_eq!((after.text("name"), after.text("description")), ("Cup".to_owned(), "Blue".to_owned()));
    assert_eq!(after["version"], 3);
}

#[tokio::test]
async fn an_order_keeps_the_name_and_price_that_it_was_placed_at() {
    let shop = Shop::open().await;
    let product = shop.product(10).await;
    let customer = shop.customer().await;
    let order = customer.orders(&[(&product, 2)]).await.expect(201);
    let change = json!({
        "name": "Cup", "sku": new_sku(), "price": { "amount": 9, "currency": "JPY" }, "status": "archived",
    });
    shop.admin().put(&format!("/products/{product}"), change).await.expect(200);
    let path = format!("/orders/{}", order.id());
    assert_eq!(customer.get(&path).await.expect(200).body, order.body);
    // It goes on all the same; only new orders are refused.
    for status in ["paid", "shipped"] {
        shop.admin().moves(&order.id(), status).await.expect(200);
    }
    assert_eq!(shop.stock(&product).await, (8, 0, 8));
    let items = json!([{ "product_id": product, "quantity": 1 }]);
    let refused = customer.post("/orders", json!({ "items": items, "shipping_address": address() })).await;
    refused.faults_at(&["/items/0/product_id"]);
}
