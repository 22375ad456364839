//! Cancellations of units that are not shipped: their hold ends, and what they cost need not be paid.

use serde_json::{Value, json};
use tests::shop::{Shop, order_of};

use super::parts::{OneOrder, entries};
use super::payments::{money, pay, sums};

#[tokio::test]
async fn cancelled_units_can_be_ordered_by_others_at_once() {
    let shop = Shop::open().await;
    let bob = shop.customer().await;
    let it = OneOrder::of(&shop, "placed", 3).await;
    bob.orders(&[(&it.product, 1)]).await.problem(409, "insufficient-stock");
    let order = it.cancel(&it.owner, 2).await.expect(201);
    assert_eq!(order.header("etag"), Some("\"2\""));
    assert_eq!(order.body, it.seen().await.body);
    assert_eq!((&order["version"], &order["items"][0]["quantity"]), (&json!(2), &json!(3)));
    assert_eq!(it.counters().await, [2, 0, 0, 0]);
    assert_eq!(shop.stock(&it.product).await, (3, 1, 2));
    bob.orders(&[(&it.product, 2)]).await.expect(201);
    assert_eq!(shop.stock(&it.product).await, (3, 3, 0));
}

#[tokio::test]
async fn an_order_without_units_is_cancelled() {
    let shop = Shop::open().await;
    for status in ["placed", "paid"] {
        let it = OneOrder::of(&shop, status, 3).await;
        it.cancel(&it.staff, 1).await.expect(201);
        // Without items it is all that is left.
        let body = json!({ "reason": "out of stock" });
        let order = it.staff.post(&it.path("/cancellations"), body).await.expect(201);
        assert_eq!((&order["status"], &order["expires_at"]), (&json!("cancelled"), &Value::Null));
        assert_eq!((&order["totals"]["cancelled"], &order["totals"]["due"]), (&json!(1500), &json!(0)));
        assert_eq!(it.counters().await, [3, 0, 0, 0]);
        assert_eq!(it.statuses().await, ["cancelled", "unfulfilled", "none"]);
        assert_eq!(shop.stock(&it.product).await, (3, 0, 3));
        let history = entries(&order);
        let (cancellation, change) = (&history[history.len() - 2], &history[history.len() - 1]);
        let subject = &cancellation[4];
        let by = json!(it.staff.id);
        assert_eq!(*cancellation, json!(["cancellation", null, null, by, subject, "out of stock"]));
        assert_eq!(*change, json!(["status", status, "cancelled", by, null, "out of stock"]));
    }
}

#[tokio::test]
async fn an_order_whose_rest_is_cancelled_is_shipped() {
    let shop = Shop::open().await;
    for (parcel, expected) in [("shipped", "shipped"), ("delivered", "delivered")] {
        let it = OneOrder::of(&shop, "paid", 3).await;
        let id = it.ship(1).await.expect(201).id();
        it.change("fulfillments", &id, json!({ "status": parcel })).await.expect(200);
        let order = it.staff.post(&it.path("/cancellations"), json!({})).await.expect(201);
        assert_eq!(it.statuses().await, [expected, expected, "none"]);
        assert_eq!(it.counters().await, [2, 1, 0, 0]);
        let last = json!(["status", "paid", expected, "system", null, null]);
        assert_eq!(entries(&order).last(), Some(&last));
        assert_eq!(
            (&order["totals"]["cancelled"], &order["totals"]["refund_due"]),
            (&json!(1000), &json!(1000))
        );
        assert_eq!(shop.stock(&it.product).await, (2, 0, 2));
    }
}

#[tokio::test]
async fn a_restocked_unit_stays_on_hand_when_the_rest_is_cancelled() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "paid", 2).await;
    let parcel = it.ship(1).await.expect(201).id();
    let back = it.ask(&it.staff, 1).await.expect(201).id();
    it.receive(&back, 1, 1).await.expect(200);
    // One is back on hand and free, one is still held.
    assert_eq!(shop.stock(&it.product).await, (2, 1, 1));
    // A unit that came back cannot come back once more with its parcel.
    let refused = it.change("fulfillments", &parcel, json!({ "status": "cancelled" })).await;
    let refused = refused.problem(409, "quantity-exceeded");
    assert_eq!(refused["items"], json!([{ "id": it.item, "requested": 1, "left": 0 }]));
    it.staff.post(&it.path("/cancellations"), json!({})).await.expect(201);
    assert_eq!(shop.stock(&it.product).await, (2, 0, 2));
    // All that was shipped has come back.
    assert_eq!(it.statuses().await, ["returned", "shipped", "returned"]);
    assert_eq!(it.counters().await, [1, 1, 1, 0]);
}

#[tokio::test]
async fn units_cancelled_one_by_one_add_up_to_what_they_cost() {
    let shop = Shop::open().await;
    let (ada, staff) = (shop.customer().await, shop.staff().await);
    let price = json!({ "amount": 400, "currency": "EUR" });
    let mug = shop.product_with(json!({ "stock": 3, "price": price })).await.id();
    let pot = shop.product(1).await;
    let mut order = order_of(&mug, 3);
    order["user_id"] = json!(ada.id);
    order["items"][0]["discounts"] = json!([{ "label": "Sale", "amount": 200 }]);
    let items = json!([order["items"][0], { "product_id": pot, "quantity": 1 }]);
    order["items"] = items;
    let order = staff.post("/orders", order).await.expect(201);
    let path = format!("/orders/{}/cancellations", order.id());
    let unit = |place: usize| json!({ "items": [{ "id": order["items"][place]["id"], "quantity": 1 }] });
    // 1000 for three, which is no whole number for one.
    for cancelled in [333, 666, 1000] {
        let order = staff.post(&path, unit(0)).await.expect(201);
        let totals = &order["totals"];
        assert_eq!((&totals["total"], &totals["cancelled"]), (&json!(1500), &json!(cancelled)));
        assert_eq!((&totals["due"], &order["status"]), (&json!(1500 - cancelled), &json!("placed")));
    }
    let order = ada.post(&path, unit(1)).await.expect(201);
    assert_eq!((&order["totals"]["cancelled"], &order["status"]), (&json!(1500), &json!("cancelled")));
}

#[tokio::test]
async fn a_cancellation_down_to_what_is_paid_pays_the_order() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "placed", 3).await;
    pay(&it.staff, &it.id, 1_000).await.expect(201);
    assert_eq!(money(&it.owner, &it.id).await, sums("placed", "partial", [1000, 500, 0]));
    let order = it.cancel(&it.owner, 1).await.expect(201);
    assert_eq!((&order["status"], &order["expires_at"]), (&json!("paid"), &Value::Null));
    assert_eq!(money(&it.owner, &it.id).await, sums("paid", "paid", [1000, 0, 0]));
    assert_eq!(shop.stock(&it.product).await, (3, 2, 1));
    // Another one is paid for, and owed.
    it.cancel(&it.staff, 1).await.expect(201);
    assert_eq!(money(&it.owner, &it.id).await, sums("paid", "refund_due", [1000, 0, 500]));
    assert_eq!(shop.stock(&it.product).await, (3, 1, 2));
}

#[tokio::test]
async fn an_owner_cancels_units_while_an_order_is_placed() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "placed", 3).await;
    it.cancel(&it.owner, 1).await.expect(201);
    it.staff.moves(&it.id, "paid").await.expect(200);
    it.cancel(&it.owner, 1).await.problem(403, "forbidden");
    it.owner.post(&it.path("/cancellations"), json!({})).await.problem(403, "forbidden");
    it.cancel(&it.staff, 1).await.expect(201);
    for status in ["shipped", "delivered", "returned"] {
        it.staff.moves(&it.id, status).await.expect(200);
        for person in [&it.owner, &it.staff] {
            let refused = it.cancel(person, 1).await.problem(409, "invalid-transition");
            assert_eq!((&refused["from"], &refused["to"]), (&json!(status), &json!("cancelled")));
        }
    }
    assert_eq!(it.counters().await, [2, 1, 1, 0]);
}

#[tokio::test]
async fn more_units_than_are_left_are_not_cancelled() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "paid", 3).await;
    it.ship(1).await.expect(201);
    let refused = it.cancel(&it.staff, 3).await.problem(409, "quantity-exceeded");
    assert_eq!(refused["items"], json!([{ "id": it.item, "requested": 3, "left": 2 }]));
    // A whole order ends only while nothing is shipped.
    let refused = it.staff.moves(&it.id, "cancelled").await.problem(409, "invalid-transition");
    assert_eq!(refused["allowed"], json!(["shipped"]));
    for reason in [json!(" "), json!("x".repeat(501)), json!(1)] {
        let body = json!({ "reason": reason });
        it.staff.post(&it.path("/cancellations"), body).await.faults_at(&["/reason"]);
    }
    assert_eq!(it.counters().await, [0, 1, 0, 0]);
}

#[tokio::test]
async fn a_unit_is_shipped_or_cancelled_and_never_both() {
    let shop = Shop::open().await;
    for _ in 0..6 {
        let it = OneOrder::of(&shop, "paid", 3).await;
        let (shipped, cancelled) = futures::join!(it.ship(2), it.cancel(&it.staff, 2));
        let (done, refused, counters, stock) = if shipped.status == 201 {
            (shipped, cancelled, [0, 2, 0, 0], (1, 1, 0))
        } else {
            (cancelled, shipped, [2, 0, 0, 0], (3, 1, 2))
        };
        done.expect(201);
        let refused = refused.problem(409, "quantity-exceeded");
        assert_eq!(refused["items"], json!([{ "id": it.item, "requested": 2, "left": 1 }]));
        assert_eq!(it.counters().await, counters);
        assert_eq!(shop.stock(&it.product).await, stock);
    }
}

#[tokio::test]
async fn cancelled_units_stay_in_an_order_whose_items_change() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "placed", 4).await;
    it.cancel(&it.owner, 1).await.expect(201);
    let quantity = |quantity: i64| json!({ "items": [{ "product_id": it.product, "quantity": quantity }] });
    // One of two is cancelled, and one is held.
    let changed = it.owner.put(&it.path(""), quantity(2)).await.expect(200);
    assert_eq!((&changed["totals"]["cancelled"], &changed["totals"]["due"]), (&json!(500), &json!(500)));
    assert_eq!(shop.stock(&it.product).await, (4, 1, 3));
    // The cancelled one alone would be no order.
    it.owner.put(&it.path(""), quantity(1)).await.problem(409, "order-not-editable");
    it.owner.put(&it.path(""), quantity(4)).await.expect(200);
    assert_eq!(it.counters().await, [1, 0, 0, 0]);
    assert_eq!(shop.stock(&it.product).await, (4, 3, 1));
}
