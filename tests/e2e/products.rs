//! Products, row by row of the contract: who may do what, and what a change does.

use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};
use tests::person::{Person, address};
use tests::shop::{Shop, new_sku};
use uuid::Uuid;

/// The body of a product with only what is required.
fn mug() -> Value {
    json!({
        "sku": format!("MUG-{}", Uuid::new_v4().simple()),
        "name": "Mug",
        "price": { "amount": 1299, "currency": "USD" },
    })
}

/// The IDs on the first page of a list.
async fn listed(person: &Person, path: &str) -> Vec<String> {
    let page = person.get(path).await.expect(200);
    let mut ids: Vec<String> =
        page.data().iter().filter_map(|it| it["id"].as_str()).map(str::to_owned).collect();
    ids.sort();
    ids
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

#[tokio::test]
async fn only_staff_and_admins_add_and_change_products() {
    let shop = Shop::open_in_process().await;
    let product = format!("/products/{}", shop.product(5).await);
    let stock = format!("{product}/stock");
    for (person, who, refusal) in [
        (shop.anyone(), "anyone", Some((401, "unauthenticated"))),
        (shop.customer().await, "customer", Some((403, "forbidden"))),
        (shop.staff().await, "staff", None),
        (shop.admin(), "admin", None),
    ] {
        for (method, path, body, status) in [
            (Method::POST, "/products", mug(), 201),
            (Method::PUT, &product, json!({ "name": who }), 200),
            (Method::PUT, &stock, json!({ "delta": 1 }), 200),
        ] {
            let answer = person.send(method, path, Some(body)).await;
            match refusal {
                Some((status, slug)) => answer.problem(status, slug),
                None => answer.expect(status),
            };
        }
    }
    let after = shop.admin().get(&product).await.expect(200);
    assert_eq!((after.text("name").as_str(), &after["version"]), ("admin", &json!(5)));
    assert_eq!(after["stock"]["on_hand"], 7);
    assert_eq!(shop.admin().get("/products").await.expect(200).data().len(), 3);
}

#[tokio::test]
async fn drafts_and_archived_products_are_seen_by_staff_alone() {
    let shop = Shop::open_in_process().await;
    let mut ids = Vec::new();
    for status in ["active", "draft", "archived"] {
        ids.push(shop.product_with(json!({ "status": status })).await.id());
    }
    let all = sorted(ids.clone());
    for person in [shop.anyone(), shop.customer().await] {
        for (id, status) in ids.iter().zip([200, 404, 404]) {
            person.get(&format!("/products/{id}")).await.expect(status);
        }
        assert_eq!(listed(&person, "/products").await, ids[..1]);
        assert_eq!(listed(&person, "/products?status=active").await, ids[..1]);
        for hidden in ["draft", "archived"] {
            let page = person.get(&format!("/products?status={hidden}")).await.expect(200);
            assert_eq!(page.body, json!({ "data": [], "next_cursor": null }));
        }
    }
    for person in [shop.staff().await, shop.admin()] {
        assert_eq!(listed(&person, "/products").await, all);
        for (id, status) in ids.iter().zip(["active", "draft", "archived"]) {
            assert_eq!(person.get(&format!("/products/{id}")).await.expect(200).text("status"), status);
            assert_eq!(listed(&person, &format!("/products?status={status}")).await, [id.as_str()]);
        }
    }
}

#[tokio::test]
async fn a_product_that_changes_its_status_appears_and_disappears_at_once() {
    let shop = Shop::open_in_process().await;
    let customer = shop.customer().await;
    let path = format!("/products/{}", shop.product(3).await);
    for (status, seen) in
        [("draft", 404), ("active", 200), ("archived", 404), ("draft", 404), ("active", 200)]
    {
        shop.admin().put(&path, json!({ "status": status })).await.expect(200);
        customer.get(&path).await.expect(seen);
        let count = usize::from(seen == 200);
        assert_eq!(customer.get("/products").await.expect(200).data().len(), count, "{status}");
    }
}

#[tokio::test]
async fn a_new_product_has_defaults_for_what_is_left_out_or_null() {
    let shop = Shop::open().await;
    let nulls = json!({ "description": null, "stock": null, "attributes": null, "status": null });
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
                "stock": { "on_hand": 0, "reserved": 0, "available": 0 },
                "version": 1, "created_at": created_at, "updated_at": created_at,
            })
        );
        assert!(product.id().starts_with("product_"));
        // RFC 3339 in UTC with milliseconds, such as 2026-01-02T03:04:05.678Z.
        assert!(created_at.len() == 24 && created_at.ends_with('Z'), "{created_at}");
        let path = format!("/products/{}", product.id());
        assert_eq!(shop.anyone().get(&path).await.expect(200).body, product.body);
        assert_eq!(shop.anyone().get("/products").await.expect(200).data()[0], product.body);
    }
}

#[tokio::test]
async fn a_new_product_has_all_that_was_sent() {
    let shop = Shop::open_in_process().await;
    let body = json!({
        "sku": "a.B_9-z", "name": " Ünïted 🦀 mug ", "description": "Two\nlines\tand a tab",
        "price": { "amount": 0, "currency": "JPY" }, "stock": 7,
        "attributes": { "colour": "blue", "empty": "" }, "status": "draft",
    });
    let product = shop.admin().post("/products", body.clone()).await.expect(201);
    for field in ["sku", "name", "description", "price", "attributes", "status"] {
        assert_eq!(product[field], body[field], "{field}");
    }
    assert_eq!(product["stock"], json!({ "on_hand": 7, "reserved": 0, "available": 7 }));
    let again = shop.admin().get(&format!("/products/{}", product.id())).await.expect(200);
    assert_eq!(again.body, product.body);
}

#[tokio::test]
async fn a_sku_belongs_to_one_product() {
    let shop = Shop::open_in_process().await;
    let (admin, sku) = (shop.admin(), json!("MUG"));
    // A draft counts too.
    let first = shop.product_with(json!({ "sku": sku, "status": "draft" })).await.id();
    let mut second = mug();
    second["sku"] = sku.clone();
    admin.post("/products", second.clone()).await.problem(409, "sku-taken");
    let other = shop.product(0).await;
    let taken = admin.put(&format!("/products/{other}"), json!({ "sku": "MUG", "name": "New" })).await;
    taken.problem(409, "sku-taken");
    let unchanged = admin.get(&format!("/products/{other}")).await.expect(200);
    assert_eq!((unchanged.text("name").as_str(), &unchanged["version"]), ("Mug", &json!(1)));
    // Its own is no conflict, and once it is given up, another may have it.
    assert_eq!(
        admin.put(&format!("/products/{first}"), json!({ "sku": "MUG" })).await.expect(200)["version"],
        1
    );
    admin.put(&format!("/products/{first}"), json!({ "sku": "MUG-2" })).await.expect(200);
    admin.put(&format!("/products/{other}"), json!({ "sku": "MUG" })).await.expect(200);
    // Upper and lower case are different characters.
    second["sku"] = json!("mug");
    admin.post("/products", second).await.expect(201);
}

#[tokio::test]
async fn of_many_who_want_a_sku_at_once_one_gets_it() {
    let shop = Shop::open_in_process().await;
    let mut body = mug();
    body["sku"] = json!("ONE");
    let admin = shop.admin();
    let answers = join_all((0..10).map(|_| admin.post("/products", body.clone()))).await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!((made.len(), refused.len()), (1, 9));
    refused.into_iter().for_each(|answer| drop(answer.problem(409, "sku-taken")));
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
