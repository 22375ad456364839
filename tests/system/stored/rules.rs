//! Documents that break a rule of input: they are shown as they are, and can be changed.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use shared::mongo;
use shared::values::ids::{OrderId, ProductId, UserId};
use tests::in_process::InProcess;

/// Changes a document, past everything that guards it.
pub(crate) async fn change(shop: &InProcess, collection: &str, id: mongodb::bson::Uuid, update: Document) {
    let command = doc! {
        "update": collection,
        "updates": [{ "q": { "_id": id }, "u": update }],
        "bypassDocumentValidation": true,
    };
    let done = shop.database.run_command(command).await.unwrap();
    assert_eq!(done.get_i32("nModified").unwrap(), 1, "{done}");
}

async fn change_product(shop: &InProcess, product: &str, set: Document) {
    let id = mongo::uuid(product.parse::<ProductId>().unwrap());
    change(shop, "products", id, doc! { "$set": set }).await;
}

async fn change_order(shop: &InProcess, order: &str, set: Document) {
    let id = mongo::uuid(order.parse::<OrderId>().unwrap());
    change(shop, "orders", id, doc! { "$set": set }).await;
}

#[tokio::test]
async fn a_product_in_a_withdrawn_currency_is_shown_with_it() {
    let shop = InProcess::open().await;
    let (mug, pot) = (shop.product(3).await, shop.product(3).await);
    change_product(&shop, &mug, doc! { "price.currency": "HRK" }).await;
    let path = format!("/products/{mug}");
    for person in [shop.anyone(), shop.admin()] {
        assert_eq!(person.get(&path).await.expect(200)["price"]["currency"], "HRK");
        let list = person.get("/products").await.expect(200);
        let ids: Vec<&Value> = list.data().iter().map(|it| &it["id"]).collect();
        assert_eq!(ids, [pot.as_str(), mug.as_str()]);
    }
    let named = shop.admin().put(&path, json!({ "name": "Cup" })).await.expect(200);
    assert_eq!(named["price"]["currency"], "HRK");
    let price = json!({ "price": { "amount": 700, "currency": "EUR" } });
    assert_eq!(shop.admin().put(&path, price.clone()).await.expect(200)["price"], price["price"]);
}

#[tokio::test]
async fn an_order_of_a_product_in_a_withdrawn_currency_keeps_it() {
    let shop = InProcess::open().await;
    let mug = shop.product(3).await;
    change_product(&shop, &mug, doc! { "price.currency": "HRK" }).await;
    let ada = shop.customer().await;
    let order = ada.orders(&[(&mug, 2)]).await.expect(201);
    assert_eq!(order["total"], json!({ "amount": 1000, "currency": "HRK" }));
    ada.moves(&order.id(), "cancelled").await.expect(200);
}

#[tokio::test]
async fn texts_above_the_limits_are_shown_and_can_be_changed() {
    let shop = InProcess::open().await;
    let long = "x".repeat(20_000);
    let mug = shop.product(3).await;
    change_product(&shop, &mug, doc! { "name": &long, "description": &long, "sku": "a sku" }).await;
    let path = format!("/products/{mug}");
    let shown = shop.anyone().get(&path).await.expect(200);
    assert_eq!((shown.text("name"), shown.text("sku")), (long.clone(), "a sku".to_owned()));
    let price = json!({ "price": { "amount": 700, "currency": "EUR" } });
    let changed = shop.admin().put(&path, price).await.expect(200);
    assert_eq!(changed.text("description"), long);
    shop.admin().put(&format!("{path}/stock"), json!({ "delta": 1 })).await.expect(200);

    let ada = shop.customer().await;
    let order = ada.orders(&[(&mug, 1)]).await.expect(201).id();
    change_order(&shop, &order, doc! { "note": &long, "number": "4711", "shipping_address.country": "DD" })
        .await;
    let shown = ada.get(&format!("/orders/{order}")).await.expect(200);
    assert_eq!((shown.text("note"), shown.text("number")), (long, "4711".to_owned()));
    assert_eq!(shown["shipping_address"]["country"], "DD");
    shop.admin().moves(&order, "paid").await.expect(200);

    let id = mongo::uuid(ada.id.parse::<UserId>().unwrap());
    let set = doc! { "email": "not an address", "phone": "1" };
    change(&shop, "users", id, doc! { "$set": set }).await;
    let path = format!("/users/{}", ada.id);
    assert_eq!(ada.get(&path).await.expect(200).text("email"), "not an address");
    assert_eq!(ada.put(&path, json!({ "name": "Ada" })).await.expect(200).text("phone"), "1");
}

#[tokio::test]
async fn a_status_of_a_newer_build_is_shown_as_it_is() {
    let shop = InProcess::open().await;
    let mug = shop.product(3).await;
    let ada = shop.customer().await;
    let order = ada.orders(&[(&mug, 1)]).await.expect(201).id();
    change_order(&shop, &order, doc! { "status": "picked" }).await;
    let path = format!("/orders/{order}");
    assert_eq!(ada.get(&path).await.expect(200)["status"], "picked");
    let refused = shop.admin().moves(&order, "paid").await.problem(409, "invalid-transition");
    assert_eq!(refused["allowed"], json!([]));
    let noted = shop.admin().put(&path, json!({ "note": "Ring twice" })).await.expect(200);
    assert_eq!((&noted["status"], &noted["note"]), (&json!("picked"), &json!("Ring twice")));

    change_product(&shop, &mug, doc! { "status": "seasonal" }).await;
    let path = format!("/products/{mug}");
    assert_eq!(shop.admin().get(&path).await.expect(200)["status"], "seasonal");
    shop.anyone().get(&path).await.problem(404, "not-found");
    ada.orders(&[(&mug, 1)]).await.faults_at(&["/items/0/product_id"]);
    shop.admin().put(&path, json!({ "status": "active" })).await.expect(200);
}

#[tokio::test]
async fn an_order_that_cannot_be_read_is_left_out_of_lists() {
    let shop = InProcess::open().await;
    let mug = shop.product(9).await;
    let ada = shop.customer().await;
    let mut orders = Vec::new();
    for _ in 0..5 {
        orders.push(ada.orders(&[(&mug, 1)]).await.expect(201).id());
    }
    let lost = orders.remove(2);
    change_order(&shop, &lost, doc! { "items": 7_i64 }).await;
    for person in [&ada, &shop.admin()] {
        for limit in [1, 2, 100] {
            let (mut seen, mut path) = (Vec::new(), format!("/orders?sort=created_at&limit={limit}"));
            loop {
                let page = person.get(&path).await.expect(200);
                seen.extend(page.data().iter().map(|it| it["id"].as_str().unwrap().to_owned()));
                let Some(cursor) = page["next_cursor"].as_str() else { break };
                path = format!("/orders?sort=created_at&limit={limit}&cursor={cursor}");
            }
            assert_eq!(seen, orders, "limit {limit}");
        }
        let own =
            person.outcome(person.request(http::Method::GET, &format!("/orders/{lost}"))).await.unwrap();
        assert_eq!((own.status.as_u16(), own["type"].as_str()), (500, Some("/problems/internal")));
        assert_eq!(own["request_id"].as_str(), own.header("x-request-id"));
    }
}

#[tokio::test]
async fn lines_end_with_a_line_feed_when_they_are_stored() {
    let shop = InProcess::open().await;
    let mug = shop.product_with(json!({ "description": "Blue.\r\nRound.\r\n", "stock": 5 })).await;
    assert_eq!(mug["description"], "Blue.\nRound.\n");
    let ada = shop.customer().await;
    let mut order = tests::shop::order_of(&mug.id(), 1);
    order["note"] = json!("Ring\r\ntwice");
    let order = ada.post("/orders", order).await.expect(201);
    assert_eq!(order["note"], "Ring\ntwice");
    let path = format!("/orders/{}", order.id());
    assert_eq!(ada.put(&path, json!({ "note": "1\r\n2\n3" })).await.expect(200)["note"], "1\n2\n3");
    ada.put(&path, json!({ "note": "1\r2" })).await.faults_at(&["/note"]);
}

#[tokio::test]
async fn text_that_shows_nothing_is_refused_in_every_field() {
    let shop = InProcess::open().await;
    let admin = shop.admin();
    let mug = format!("/products/{}", shop.product(5).await);
    let own = format!("/users/{}", admin.id);
    for blank in ["\u{200b}", "\u{feff} ", "\u{2060}\u{ad}", "\u{3164}", "\u{2800}\u{2800}"] {
        for field in ["name", "description"] {
            admin.put(&mug, json!({ field: blank })).await.faults_at(&[&format!("/{field}")]);
        }
        admin.put(&mug, json!({ "attributes": { "a": blank } })).await.faults_at(&["/attributes/a"]);
        admin.put(&mug, json!({ "attributes": { blank: "a" } })).await.problem(422, "validation");
        admin.put(&own, json!({ "name": blank })).await.faults_at(&["/name"]);
        let stock = json!({ "delta": 1, "reason": blank });
        admin.put(&format!("{mug}/stock"), stock).await.faults_at(&["/reason"]);
    }
}

#[tokio::test]
async fn a_search_finds_words_in_any_case_and_without_strokes() {
    let shop = InProcess::open().await;
    for (name, sku) in
        [("Größe", "A"), ("FUSSBALL", "B"), ("Łódka", "C"), ("Smørbrød", "D"), ("Ærø Đ", "E"), ("ΟΔΟΣ", "F")]
    {
        shop.product_with(json!({ "name": name, "sku": sku })).await;
    }
    for (query, sku) in [
        ("GRÖSSE", "A"),
        ("grosse", "A"),
        ("fußball", "B"),
        ("lodka", "C"),
        ("ŁÓDKA", "C"),
        ("SMORBROD", "D"),
        ("aero d", "E"),
        ("οδος", "F"),
    ] {
        let found = shop.anyone().get(&format!("/products?q={query}")).await.expect(200);
        let skus: Vec<&Value> = found.data().iter().map(|it| &it["sku"]).collect();
        assert_eq!(skus, [sku], "{query}");
    }
}
