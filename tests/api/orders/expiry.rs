//! The time at which an unpaid order expires, as staff choose it.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use shared::values::clock::{Clock, Timestamp};
use tests::shop::{Shop, order_of};

/// A time so many hours from now.
fn hours_ahead(hours: u64) -> Timestamp {
    Clock::system().now().after(Duration::from_secs(hours * 3_600))
}

/// An order that is to expire then.
fn order_until(product: &str, expires_at: &Value) -> Value {
    let mut order = order_of(product, 1);
    order["expires_at"] = expires_at.clone();
    order
}

#[tokio::test]
async fn staff_choose_when_an_order_expires_and_customers_do_not() {
    let shop = Shop::open().await;
    let mug = shop.product(10).await;
    let (ada, staff) = (shop.customer().await, shop.staff().await);
    let soon = json!(hours_ahead(2));
    for chosen in [&soon, &Value::Null] {
        let mut body = order_until(&mug, chosen);
        body["user_id"] = json!(ada.id);
        let order = staff.post("/orders", body).await.expect(201);
        assert_eq!(&order["expires_at"], chosen);
        assert_eq!(&ada.get(&format!("/orders/{}", order.id())).await.expect(200)["expires_at"], chosen);
        ada.post("/orders", order_until(&mug, chosen)).await.problem(403, "forbidden");
    }
    // Times are shown in UTC.
    let with_offset = json!(hours_ahead(2).to_string().replace('Z', "+00:00"));
    let order = staff.post("/orders", order_until(&mug, &with_offset)).await.expect(201);
    assert_eq!(order.text("expires_at").replace('Z', "+00:00"), with_offset);
    let default = ada.orders(&[(&mug, 1)]).await.expect(201);
    assert_ne!(default["expires_at"], Value::Null);
}

#[tokio::test]
async fn a_chosen_time_is_in_the_future_and_within_180_days() {
    let shop = Shop::open().await;
    let mug = shop.product(10).await;
    let staff = shop.staff().await;
    let path = format!("/orders/{}", staff.orders(&[(&mug, 1)]).await.expect(201).id());
    let now = Clock::system().now();
    for bad in [now.before(Duration::from_secs(60)), hours_ahead(180 * 24 + 1)] {
        let bad = json!(bad);
        staff.post("/orders", order_until(&mug, &bad)).await.faults_at(&["/expires_at"]);
        staff.put(&path, json!({ "expires_at": bad })).await.faults_at(&["/expires_at"]);
    }
    let late = json!({ "expires_at": hours_ahead(180 * 24 - 1) });
    assert_eq!(staff.put(&path, late.clone()).await.expect(200)["expires_at"], late["expires_at"]);
    assert_eq!(shop.stock(&mug).await, (10, 1, 9));
}

#[tokio::test]
async fn the_time_is_changed_while_an_order_is_placed() {
    let shop = Shop::open().await;
    let staff = shop.staff().await;
    let (ada, order) = shop.order_in("placed").await;
    let path = format!("/orders/{order}");
    let soon = json!({ "expires_at": hours_ahead(5) });
    let moved = staff.put(&path, soon.clone()).await.expect(200);
    assert_eq!((&moved["expires_at"], &moved["version"]), (&soon["expires_at"], &json!(2)));
    assert_eq!(staff.put(&path, soon.clone()).await.expect(200)["version"], 2);
    for never in [json!({ "expires_at": null }), json!({ "expires_at": null, "note": "Cash" })] {
        assert_eq!(staff.put(&path, never).await.expect(200)["expires_at"], Value::Null);
    }
    ada.put(&path, soon.clone()).await.problem(403, "forbidden");
    let both = json!({ "status": "cancelled", "expires_at": null });
    staff.put(&path, both).await.faults_at(&["/expires_at"]);
    staff.moves(&order, "paid").await.expect(200);
    staff.put(&path, soon).await.problem(409, "order-not-editable");
    assert_eq!(ada.get(&path).await.expect(200)["expires_at"], Value::Null);
}

#[tokio::test]
async fn a_chosen_time_is_part_of_the_request_under_a_key() {
    let shop = Shop::open().await;
    let mug = shop.product(10).await;
    let staff = shop.staff().await;
    let body = order_until(&mug, &Value::Null);
    let key = shop.product(0).await;
    let send = async |body: &Value| staff.send_keyed(Method::POST, "/orders", &key, body).await;
    let first = send(&body).await.expect(201);
    assert_eq!(send(&body).await.expect(201).id(), first.id());
    send(&order_of(&mug, 1)).await.problem(422, "idempotency-key-reused");
    let other = order_until(&mug, &json!(hours_ahead(1)));
    send(&other).await.problem(422, "idempotency-key-reused");
}
