//! Sizes of orders with as many parts as an order may have.

use std::collections::BTreeSet;

use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use shared::input::json::{MAX_ANSWER, length_in_string};
use shared::mongo;
use shared::rpc::envelope::MAX_PAYLOAD;
use shared::values::ids::OrderId;
use tests::answer::Answer;
use tests::in_process::InProcess;

/// Units of the order: 49 parcels have two of them each, 49 cancellations one, and the last parcel the rest.
const UNITS: i64 = 160;

/// Largest answer about an order with typical texts.
const MAX_ORDER: usize = 256 * 1024;

/// Copies of the order, together several pages.
const COPIES: usize = 40;

/// Length of an answer as Lambda counts it: the body is a string within JSON.
fn length_on_lambda(answer: &Answer) -> usize {
    let headers: usize = answer.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    length_in_string(&answer.body.to_string()) + headers
}

/// Checks that an answer is that of a full list.
#[track_caller]
fn full(answer: Answer) {
    assert_eq!(answer.problem(409, "quantity-exceeded")["items"], json!([]));
}

/// A shipped order with 50 fulfillments, 49 cancellations, 50 returns and 100 refunds: its ID, and that of its item.
async fn large_order(shop: &InProcess) -> (String, Value) {
    let (ada, admin) = (shop.customer().await, shop.admin());
    let mug = shop.product(UNITS).await;
    let order = ada.orders(&[(&mug, UNITS)]).await.expect(201);
    let (order, item) = (order.id(), order["items"][0]["id"].clone());
    admin.moves(&order, "paid").await.expect(200);
    let path = format!("/orders/{order}");
    for number in 0..49 {
        let number = format!("003404341610940{number:05}");
        let url = format!("https://www.dhl.com/en/express/tracking.html?AWB={number}");
        let tracking = json!({ "carrier": "DHL Express", "number": number, "url": url });
        let body = json!({ "items": [{ "id": item, "quantity": 2 }], "tracking": tracking });
        admin.post(&format!("{path}/fulfillments"), body).await.expect(201);
    }
    for _ in 0..49 {
        let reason = "The glaze of this one has a crack.";
        let body = json!({ "items": [{ "id": item, "quantity": 1 }], "reason": reason });
        admin.post(&format!("{path}/cancellations"), body).await.expect(201);
    }
    // The last places are for all that is left.
    for (kind, quantity) in [("fulfillments", 2), ("cancellations", 1)] {
        let body = json!({ "items": [{ "id": item, "quantity": quantity }] });
        full(admin.post(&format!("{path}/{kind}"), body).await);
    }
    admin.post(&format!("{path}/fulfillments"), json!({})).await.expect(201);
    for _ in 0..50 {
        let items = json!([{ "id": item, "quantity": 1, "reason": "The handle is chipped." }]);
        let body = json!({ "items": items, "reason": "It arrived broken, and the box was wet." });
        admin.post(&format!("{path}/returns"), body).await.expect(201);
    }
    for number in 0..100 {
        let reason = "Half of the price, since it arrived broken.";
        let reference = format!("re_3PxYzA2eZvKYlo2C{number:08}");
        let body = json!({ "amount": 250, "reason": reason, "reference": reference });
        admin.post(&format!("{path}/refunds"), body).await.expect(201);
    }
    (order, item)
}

#[tokio::test]
async fn an_order_with_all_parts_it_may_have_stays_small() {
    let shop = InProcess::open().await;
    let admin = shop.admin();
    let (order, item) = large_order(&shop).await;
    let path = format!("/orders/{order}");
    let seen = admin.get(&path).await.expect(200);
    let length = |field: &str| seen[field].as_array().map_or(0, Vec::len);
    assert_eq!(["fulfillments", "returns", "refunds"].map(length), [50, 50, 100]);
    let size = seen.body.to_string().len();
    assert!(size < MAX_ORDER, "{size}");

    // All lists are full, whatever units are left.
    let part =
        |list: &str, place: usize| format!("{path}/{list}/{}", seen[list][place]["id"].as_str().unwrap());
    let cancelled = json!({ "status": "cancelled" });
    let items = json!([{ "id": item, "quantity": 1 }]);
    admin.put(&part("fulfillments", 49), cancelled.clone()).await.expect(200);
    for body in [json!({}), json!({ "items": items })] {
        full(admin.post(&format!("{path}/fulfillments"), body).await);
    }
    let shipped = json!({ "status": "shipped", "tracking": { "carrier": "DHL", "number": "0034" } });
    full(admin.put(&path, shipped).await);
    let cancellations = format!("{path}/cancellations");
    assert_eq!(admin.post(&cancellations, json!({})).await.expect(201)["status"], "shipped");
    admin.put(&part("fulfillments", 0), cancelled.clone()).await.expect(200);
    for body in [json!({}), json!({ "items": items })] {
        full(admin.post(&cancellations, body).await);
    }
    admin.put(&part("returns", 0), cancelled).await.expect(200);
    full(admin.post(&format!("{path}/returns"), json!({ "items": items })).await);
    let refund = json!({ "amount": 1 });
    admin.post(&format!("{path}/refunds"), refund).await.problem(409, "amount-exceeded");
    let unchanged = admin.get(&path).await.expect(200);
    assert_eq!(unchanged["version"].as_i64(), seen["version"].as_i64().map(|version| version + 4));

    // A page of such orders ends early, and loses none.
    let orders = shop.database.collection::<Document>("orders");
    let stored = orders.find_one(doc! {}).await.unwrap().unwrap();
    let copies = (0..COPIES).map(|place| {
        let mut copy = stored.clone();
        copy.insert("_id", mongo::uuid(OrderId::new()));
        copy.insert("number", format!("0000-00{place:02}"));
        // References of payments are unique.
        for payment in copy.get_array_mut("payments").unwrap() {
            payment.as_document_mut().unwrap().insert("unique", format!("{place}"));
        }
        copy
    });
    orders.insert_many(copies).await.unwrap();
    let (mut ids, mut pages, mut next) = (BTreeSet::new(), 0, String::new());
    loop {
        let page = admin.get(&format!("/orders?limit=100{next}")).await.expect(200);
        let length = length_on_lambda(&page);
        assert!(length < MAX_ANSWER && MAX_ANSWER < MAX_PAYLOAD, "{length}");
        ids.extend(page.data().iter().map(|order| order["id"].to_string()));
        pages += 1;
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        next = format!("&cursor={cursor}");
    }
    assert_eq!(ids.len(), COPIES + 1);
    assert!((2..=COPIES / 8).contains(&pages), "{pages}");
}
