//! Products with fixed SKUs and whole lists: permissions, visibility by status, and unique SKUs.

use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};
use tests::in_process::InProcess;
use tests::person::Person;
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
    let shop = InProcess::open().await;
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
    let shop = InProcess::open().await;
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
async fn a_change_of_status_shows_and_hides_a_product_at_once() {
    let shop = InProcess::open().await;
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
async fn a_new_product_has_all_that_was_sent() {
    let shop = InProcess::open().await;
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
    let shop = InProcess::open().await;
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
    let shop = InProcess::open().await;
    let mut body = mug();
    body["sku"] = json!("ONE");
    let admin = shop.admin();
    let answers = join_all((0..10).map(|_| admin.post("/products", body.clone()))).await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!((made.len(), refused.len()), (1, 9));
    refused.into_iter().for_each(|answer| drop(answer.problem(409, "sku-taken")));
}
