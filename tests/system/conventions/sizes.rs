//! Sizes of answers: a page ends early, and all of it is reached by its cursors.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};

use mongodb::bson::{Document, doc};
use prost::Message as _;
use serde_json::{Value, json};
use shared::auth::{Caller, Role};
use shared::input::json::{MAX_ANSWER, length_in_string};
use shared::mongo;
use shared::values::ids::{OrderId, ProductId};
use tests::holds::StoredHold;
use tests::in_process::InProcess;
use tests::person::Person;

use crate::support::grpc::{by, caller, to_orders, to_products};

/// The most that an answer to Lambda may have, as it counts: the body is a string within JSON.
async fn page(person: &Person, path: &str) -> Value {
    let answer = person.request(http::Method::GET, path).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    let headers: usize = answer.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let body = answer.text().await.unwrap();
    let size = length_in_string(&body) + headers;
    assert!(size < MAX_ANSWER, "{path}: {size}");
    serde_json::from_str(&body).unwrap()
}

/// Walks over a list. Its IDs, and the lengths of its pages.
async fn walk(person: &Person, list: &str) -> (Vec<String>, Vec<usize>) {
    let (mut ids, mut lengths, mut path) = (Vec::new(), Vec::new(), list.to_owned());
    for _ in 0..100 {
        let page = page(person, &path).await;
        let data = page["data"].as_array().unwrap();
        ids.extend(data.iter().map(|element| element["id"].as_str().unwrap_or_default().to_owned()));
        lengths.push(data.len());
        let Some(cursor) = page["next_cursor"].as_str() else { return (ids, lengths) };
        path = format!("{list}&cursor={cursor}");
    }
    panic!("{list} does not end");
}

/// As many entries as there may be, with what costs most to escape.
fn quotes() -> Vec<Document> {
    (0..50).map(|place| doc! { "k": format!("key {place}"), "v": "\"".repeat(500) }).collect()
}

/// Copies of a document, each with another ID and unique fields of its own.
async fn copy(shop: &InProcess, collection: &str, count: usize, change: impl Fn(&mut Document, usize)) {
    let all = shop.database.collection::<Document>(collection);
    let one = all.find_one(doc! {}).await.unwrap().unwrap();
    let copies: Vec<Document> = (0..count)
        .map(|place| {
            let mut copy = one.clone();
            change(&mut copy, place);
            copy
        })
        .collect();
    all.insert_many(copies).await.unwrap();
}

#[tokio::test]
async fn a_page_of_large_orders_ends_early_and_loses_none() {
    let shop = InProcess::open().await;
    let (mug, ada) = (shop.product(9).await, shop.customer().await);
    ada.orders(&[(&mug, 1)]).await.expect(201);
    // Older orders have more metadata than new ones may.
    copy(&shop, "orders", 80, |order, place| {
        order.insert("_id", mongo::uuid(OrderId::new()));
        order.insert("number", format!("0000-00{place:02}"));
        order.insert("metadata", quotes());
    })
    .await;
    for sort in ["created_at", "-total"] {
        let (ids, lengths) = walk(&shop.admin(), &format!("/orders?limit=100&sort={sort}")).await;
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 81, "{sort}: {lengths:?}");
        assert_eq!(ids.len(), 81, "{sort}: {lengths:?}");
        // Pages are as long as they may be.
        assert!((3..=4).contains(&lengths.len()), "{lengths:?}");
    }
}

#[tokio::test]
async fn a_page_of_large_products_ends_early_and_loses_none() {
    let shop = InProcess::open().await;
    shop.product_with(json!({ "description": "\"".repeat(10_000), "name": "\\".repeat(200) })).await;
    let ids: Vec<_> = (0..90).map(|_| mongo::uuid(ProductId::new())).collect();
    copy(&shop, "stock", ids.len(), |stock, place| drop(stock.insert("_id", ids[place]))).await;
    copy(&shop, "products", ids.len(), |product, place| {
        product.insert("_id", ids[place]);
        product.insert("sku", format!("MUG-{place}"));
        product.insert("attributes", quotes());
    })
    .await;
    // The copies have the words of the first.
    for list in ["/products?limit=100", "/products?limit=100&sort=-name", "/products?limit=100&q=sku"] {
        let (ids, lengths) = walk(&shop.anyone(), list).await;
        assert_eq!(ids.len(), 91, "{list}: {lengths:?}");
        assert!(lengths.len() > 1, "{lengths:?}");
    }
}

#[tokio::test]
async fn an_element_that_is_larger_than_a_page_is_a_page() {
    let shop = InProcess::open().await;
    let (mug, pot) = (shop.product(0).await, shop.product(0).await);
    let id = mongo::uuid(mug.parse::<ProductId>().unwrap());
    let command = doc! {
        "update": "products",
        "updates": [{ "q": { "_id": id }, "u": { "$set": { "description": "x".repeat(3_990_000) } } }],
        "bypassDocumentValidation": true,
    };
    shop.database.run_command(command).await.unwrap();
    let (ids, lengths) = walk(&shop.anyone(), "/products?limit=100").await;
    assert_eq!((ids, lengths), (vec![pot, mug], vec![1, 1]));
}

#[tokio::test]
async fn metadata_and_attributes_have_16_kib_in_all() {
    let shop = InProcess::open().await;
    let (admin, mug) = (shop.admin(), shop.product(9).await);
    let map = |last: usize| -> BTreeMap<String, String> {
        let mut entries: BTreeMap<String, String> =
            (0..31).map(|place| (format!("{place:028}"), "é".repeat(250))).collect();
        entries.insert("x".repeat(12), "x".repeat(last));
        entries
    };
    let mut order = tests::shop::order_of(&mug, 1);
    order["metadata"] = json!(map(5));
    admin.post("/orders", order.clone()).await.faults_at(&["/metadata"]);
    order["metadata"] = json!(map(4));
    let order = admin.post("/orders", order).await.expect(201).id();
    for (path, field) in
        [(format!("/orders/{order}"), "metadata"), (format!("/products/{mug}"), "attributes")]
    {
        admin.put(&path, json!({ field: map(5) })).await.faults_at(&[&format!("/{field}")]);
        assert_eq!(admin.put(&path, json!({ field: map(4) })).await.expect(200)[field], json!(map(4)));
    }
}

#[tokio::test]
async fn a_page_of_violations_ends_early_and_loses_none() {
    let shop = InProcess::open().await;
    let (mug, ada) = (shop.product(9).await, shop.customer().await);
    ada.orders(&[(&mug, 1)]).await.expect(201);
    // Orders of 100 items each, of which none is held.
    let item = |place: i64| {
        let id = mongo::uuid(ProductId::new());
        doc! { "product_id": id, "sku": "MUG", "name": "Mug", "unit_price": 5_i64, "quantity": place + 1 }
    };
    copy(&shop, "orders", 300, |order, place| {
        order.insert("_id", mongo::uuid(OrderId::new()));
        order.insert("number", format!("0000-0{place:03}"));
        order.insert("items", (0..100).map(item).collect::<Vec<_>>());
        order.insert("total", (1..=100).map(|quantity| 5 * quantity).sum::<i64>());
        order.insert("updated_at", mongodb::bson::DateTime::from_millis(1_600_000_000_000));
    })
    .await;
    let (mut violations, mut orders, mut pages) = (0, 0, 0);
    let mut path = "/orders/consistency?limit=5000".to_owned();
    loop {
        let page = page(&shop.admin(), &path).await;
        violations += page["violations"].as_array().unwrap().len();
        orders += page["checked"]["orders"].as_i64().unwrap();
        pages += 1;
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/orders/consistency?limit=5000&cursor={cursor}");
    }
    assert_eq!((orders, violations), (301, 30_000));
    assert!(pages > 3, "{pages}");
}

/// The most that a message may have: in an envelope it is base64, a third longer.
const MAX_MESSAGE: usize = MAX_ANSWER / 4 * 3;

#[tokio::test]
async fn a_page_of_large_orders_ends_early_over_grpc_too() {
    let shop = InProcess::open().await;
    let (mug, ada) = (shop.product(9).await, shop.customer().await);
    ada.orders(&[(&mug, 1)]).await.expect(201);
    copy(&shop, "orders", 80, |order, place| {
        order.insert("_id", mongo::uuid(OrderId::new()));
        order.insert("number", format!("0000-00{place:02}"));
        let entries = (0..50).map(|place| doc! { "k": format!("key {place}"), "v": "🦀".repeat(500) });
        order.insert("metadata", entries.collect::<Vec<_>>());
    })
    .await;
    let (mut client, as_admin) = (to_orders(&shop), caller(&shop.admin(), Role::Admin));
    let (mut ids, mut cursor) = (BTreeSet::new(), None);
    loop {
        let page = Some(proto::common::v1::PageRequest { limit: Some(100), cursor });
        let request = proto::orders::v1::ListOrdersRequest { page, ..Default::default() };
        let answer = client.list_orders(by(as_admin, request)).await.unwrap().into_inner();
        assert!(answer.encoded_len() <= MAX_MESSAGE, "{}", answer.encoded_len());
        ids.extend(answer.data.into_iter().map(|order| order.id));
        cursor = answer.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(ids.len(), 81);
}

#[tokio::test]
async fn an_answer_about_many_holds_names_what_it_leaves_out() {
    let shop = InProcess::open().await;
    let orders: Vec<OrderId> = (0..1_000).map(|_| OrderId::new()).collect();
    // Of products that nobody asks for here.
    let items: Vec<_> = (0..40).map(|_| (mongo::uuid(ProductId::new()), 1)).collect();
    let at = mongodb::bson::DateTime::from_millis(1_600_000_000_000);
    let hold =
        |order: &OrderId| StoredHold { order: mongo::uuid(*order), items: items.clone(), at }.document();
    let holds = shop.database.collection::<Document>("stock_holds");
    holds.insert_many(orders.iter().map(hold)).await.unwrap();
    let mut client = to_products(&shop);
    let mut order_ids: Vec<String> = orders.iter().map(OrderId::to_string).collect();
    let (mut holds, mut answers) = (0, 0);
    while !order_ids.is_empty() {
        let request = proto::products::v1::GetHoldsRequest { order_ids };
        let answer = client.get_holds(by(Caller::System, request)).await.unwrap().into_inner();
        assert!(answer.encoded_len() <= MAX_MESSAGE, "{}", answer.encoded_len());
        holds += answer.holds.len();
        answers += 1;
        order_ids = answer.remaining_order_ids;
    }
    assert_eq!((holds, answers), (40_000, 3));
}
