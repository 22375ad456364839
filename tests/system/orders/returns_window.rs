//! Parts of orders and time: the window in which an owner may ask for a return, and the check of consistency later.

use serde_json::{Value, json};
use tests::answer::Answer;
use tests::person::Person;

use crate::support::aging::{Aging, HOUR, MINUTE};

/// Time after a delivery in which an owner may ask, in milliseconds: the default.
const WINDOW: i64 = 14 * 24 * HOUR;

/// Asks for the return of one unit.
async fn ask(person: &Person, order: &str, item: &Value) -> Answer {
    let unit = json!({ "items": [{ "id": item, "quantity": 1 }] });
    person.post(&format!("/orders/{order}/returns"), unit).await
}

#[tokio::test]
async fn an_owner_may_ask_within_the_window_and_staff_at_any_time() {
    let aging = Aging::open().await;
    let (ada, staff) = (aging.shop.customer().await, aging.shop.staff().await);
    let mug = aging.shop.product(4).await;
    let order = ada.orders(&[(&mug, 4)]).await.expect(201);
    let (id, item) = (order.id(), order["items"][0]["id"].clone());
    staff.moves(&id, "paid").await.expect(200);
    let unit = json!({ "items": [{ "id": item, "quantity": 1 }] });
    let fulfillments = format!("/orders/{id}/fulfillments");
    let first = staff.post(&fulfillments, unit).await.expect(201).id();
    let second = staff.post(&fulfillments, json!({})).await.expect(201).id();
    let delivered = json!({ "status": "delivered" });
    staff.put(&format!("{fulfillments}/{first}"), delivered.clone()).await.expect(200);

    // Each parcel has a window of its own.
    aging.ages(WINDOW).await;
    let (ada, staff) = (aging.again(&ada).await, aging.again(&staff).await);
    ask(&ada, &id, &item).await.expect(201);
    staff.put(&format!("{fulfillments}/{second}"), delivered).await.expect(200);
    aging.ages(WINDOW).await;
    let (ada, staff) = (aging.again(&ada).await, aging.again(&staff).await);
    ask(&ada, &id, &item).await.expect(201);
    aging.ages(1).await;
    let refused = ask(&ada, &id, &item).await.problem(409, "invalid-transition");
    assert_eq!((&refused["from"], &refused["to"]), (&json!("delivered"), &json!("returned")));
    assert_eq!(ask(&staff, &id, &item).await.expect(201)["status"], "approved");
}

#[tokio::test]
async fn a_life_in_parts_leaves_nothing_for_the_check_to_find() {
    let aging = Aging::open().await;
    let (ada, staff) = (aging.shop.customer().await, aging.shop.staff().await);
    let mugs = [aging.shop.product(9).await, aging.shop.product(9).await];
    let order = ada.orders(&[(&mugs[0], 5), (&mugs[1], 2)]).await.expect(201);
    let path = format!("/orders/{}", order.id());
    let units = |quantities: &[i64]| {
        let items = order["items"].as_array().unwrap().iter().zip(quantities);
        let items = items.filter(|(_, quantity)| **quantity > 0);
        let items = items.map(|(item, quantity)| json!({ "id": item["id"], "quantity": quantity }));
        json!({ "items": items.collect::<Vec<_>>() })
    };
    let check = async || {
        aging.ages(10 * MINUTE).await;
        let checked = aging.shop.backend.check_consistency(None).await.unwrap();
        assert_eq!(checked.violations, [], "{checked:?}");
    };
    let post = async |list: &str, body: Value| {
        let staff = aging.again(&staff).await;
        staff.post(&format!("{path}/{list}"), body).await.expect(201)
    };
    let put = async |part: String, body: Value| {
        let staff = aging.again(&staff).await;
        staff.put(&format!("{path}/{part}"), body).await.expect(200)
    };
    ada.post(&format!("{path}/cancellations"), units(&[1, 0])).await.expect(201);
    check().await;
    staff.moves(&order.id(), "paid").await.expect(200);
    let first = post("fulfillments", units(&[2, 0])).await.id();
    check().await;
    let second = post("fulfillments", json!({})).await.id();
    check().await;
    put(format!("fulfillments/{second}"), json!({ "status": "cancelled" })).await;
    check().await;
    put(format!("fulfillments/{first}"), json!({ "status": "delivered" })).await;
    let back = post("returns", units(&[2, 0])).await.id();
    check().await;
    let item = json!({ "id": order["items"][0]["id"], "received": 2, "restocked": 1 });
    put(format!("returns/{back}"), json!({ "status": "received", "items": [item] })).await;
    check().await;
    post("refunds", json!({ "return_id": back })).await;
    post("cancellations", units(&[0, 1])).await;
    check().await;
    post("fulfillments", json!({})).await;
    check().await;
    assert_eq!((aging.stock(&mugs[0]).await, aging.stock(&mugs[1]).await), ((6, 0, 6), (8, 0, 8)));
}
