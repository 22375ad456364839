//! Fulfillments of orders: units leave the stock parcel by parcel.

use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};
use tests::shop::Shop;
use tests::support::idempotency::{keyed, replayed};

use super::parts::{OneOrder, entries};

const STATUSES: [&str; 3] = ["shipped", "delivered", "cancelled"];

/// The body that gives a part this status.
fn to(status: &str) -> Value {
    json!({ "status": status })
}

#[tokio::test]
async fn an_order_that_holds_all_there_is_ships_in_two_parcels() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "paid", 3).await;
    assert_eq!(shop.stock(&it.product).await, (3, 3, 0));
    let first = it.ship(1).await.expect(201);
    let expected = json!({
        "id": first["id"], "items": [{ "id": it.item, "quantity": 1 }], "tracking": null, "status": "shipped",
        "shipped_at": first["shipped_at"], "delivered_at": null, "by": it.staff.id,
    });
    assert_eq!(first.body, expected);
    assert!(first.text("shipped_at").ends_with('Z'));
    assert_eq!(it.statuses().await, ["paid", "partial", "none"]);
    assert_eq!(shop.stock(&it.product).await, (2, 2, 0));

    // Without items it is all that is left.
    let rest = it.staff.post(&it.path("/fulfillments"), json!({})).await.expect(201);
    assert_eq!(rest["items"], json!([{ "id": it.item, "quantity": 2 }]));
    assert_eq!(it.statuses().await, ["shipped", "shipped", "none"]);
    assert_eq!(it.counters().await, [0, 3, 0, 0]);
    assert_eq!(shop.stock(&it.product).await, (0, 0, 0));
    let seen = it.seen().await;
    let ids: Vec<&Value> = seen["fulfillments"].as_array().unwrap().iter().map(|part| &part["id"]).collect();
    assert_eq!(ids, [&first["id"], &rest["id"]]);
    assert_eq!(entries(&seen).last(), Some(&json!(["status", "paid", "shipped", "system", null, null])));
}

#[tokio::test]
async fn units_of_a_cancelled_fulfillment_are_held_again() {
    let shop = Shop::open().await;
    let bob = shop.customer().await;
    let it = OneOrder::of(&shop, "paid", 2).await;
    let parcel = it.ship(2).await.expect(201).id();
    assert_eq!((it.statuses().await[0].as_str(), shop.stock(&it.product).await), ("shipped", (0, 0, 0)));
    let undone = it.change("fulfillments", &parcel, to("cancelled")).await.expect(200);
    assert_eq!((&undone["status"], &undone["delivered_at"]), (&json!("cancelled"), &Value::Null));
    // Not only on hand: nobody else can have them.
    assert_eq!(shop.stock(&it.product).await, (2, 2, 0));
    bob.orders(&[(&it.product, 1)]).await.problem(409, "insufficient-stock");
    assert_eq!(it.statuses().await, ["paid", "unfulfilled", "none"]);
    assert_eq!(it.counters().await, [0, 0, 0, 0]);
    let history = entries(&it.seen().await);
    let last = [
        json!(["fulfillment", "shipped", "cancelled", "staff", parcel, null]),
        json!(["status", "shipped", "paid", "system", null, null]),
    ];
    assert_eq!(history[history.len() - 2..], last);
    it.staff.post(&it.path("/fulfillments"), json!({})).await.expect(201);
    assert_eq!((it.statuses().await[0].as_str(), shop.stock(&it.product).await), ("shipped", (0, 0, 0)));
}

#[tokio::test]
async fn of_two_fulfillments_at_once_for_a_last_unit_one_is_done() {
    let shop = Shop::open().await;
    for _ in 0..4 {
        // One more unit, so that the order stays paid.
        let it = OneOrder::of(&shop, "paid", 3).await;
        let (one, other) = futures::join!(it.ship(2), it.ship(2));
        let (done, refused) = if one.status == 201 { (one, other) } else { (other, one) };
        done.expect(201);
        let refused = refused.problem(409, "quantity-exceeded");
        assert_eq!(refused["items"], json!([{ "id": it.item, "requested": 2, "left": 1 }]));
        assert_eq!(shop.stock(&it.product).await, (1, 1, 0));
        assert_eq!(it.counters().await, [0, 2, 0, 0]);
    }
}

#[tokio::test]
async fn of_many_fulfillments_at_once_none_ships_a_unit_twice() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "paid", 4).await;
    let answers = join_all((0..8).map(|_| it.ship(1))).await;
    let done = answers.iter().filter(|answer| answer.status == 201).count();
    for refused in answers.into_iter().filter(|answer| answer.status != 201) {
        // With its last unit the order was shipped.
        refused.problem(409, "invalid-transition");
    }
    assert_eq!(done, 4);
    assert_eq!(it.statuses().await, ["shipped", "shipped", "none"]);
    assert_eq!(it.counters().await, [0, 4, 0, 0]);
    assert_eq!(shop.stock(&it.product).await, (0, 0, 0));
}

#[tokio::test]
async fn more_units_than_are_left_are_not_shipped() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "paid", 4).await;
    it.ship(1).await.expect(201);
    it.cancel(&it.staff, 1).await.expect(201);
    let refused = it.ship(3).await.problem(409, "quantity-exceeded");
    assert_eq!(refused["items"], json!([{ "id": it.item, "requested": 3, "left": 2 }]));
    it.ship(2).await.expect(201);
    assert_eq!(it.counters().await, [1, 3, 0, 0]);
}

#[tokio::test]
async fn an_order_is_delivered_with_the_last_of_its_parcels() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "paid", 2).await;
    let (first, second) = (it.ship(1).await.expect(201).id(), it.ship(1).await.expect(201).id());
    let delivered = it.change("fulfillments", &first, to("delivered")).await.expect(200);
    assert!(delivered.text("delivered_at") >= delivered.text("shipped_at"));
    assert_eq!(it.statuses().await, ["shipped", "shipped", "none"]);
    it.change("fulfillments", &second, to("delivered")).await.expect(200);
    assert_eq!(it.statuses().await, ["delivered", "delivered", "none"]);
    assert_eq!(shop.stock(&it.product).await, (0, 0, 0));
}

#[tokio::test]
async fn a_parcel_may_be_delivered_before_the_rest_is_shipped() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "paid", 2).await;
    let first = it.ship(1).await.expect(201).id();
    it.change("fulfillments", &first, to("delivered")).await.expect(200);
    assert_eq!(it.statuses().await, ["paid", "partial", "none"]);
    let second = it.ship(1).await.expect(201).id();
    assert_eq!(it.statuses().await, ["shipped", "shipped", "none"]);
    // The other one was a mistake: what is delivered stays so.
    it.change("fulfillments", &second, to("cancelled")).await.expect(200);
    assert_eq!(it.statuses().await, ["paid", "partial", "none"]);
    assert_eq!(shop.stock(&it.product).await, (1, 1, 0));
}

#[tokio::test]
async fn a_parcel_that_is_recorded_twice_under_a_key_is_one() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "paid", 3).await;
    let (path, all) = (it.path("/fulfillments"), json!({}));
    let sent = join_all((0..4).map(|_| keyed(&it.staff, Method::POST, &path, "parcel", &all))).await;
    assert_eq!(sent.iter().filter(|answer| !replayed(answer)).count(), 1);
    for answer in &sent {
        assert_eq!((answer.status.as_u16(), &answer.body), (201, &sent[0].body));
    }
    let other = it.units(3);
    keyed(&it.staff, Method::POST, &path, "parcel", &other).await.problem(422, "idempotency-key-reused");
    assert_eq!(it.counters().await, [0, 3, 0, 0]);
    assert_eq!(shop.stock(&it.product).await, (0, 0, 0));
}

#[tokio::test]
async fn a_fulfillment_is_delivered_or_cancelled_once() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "paid", 9).await;
    for (from, target) in STATUSES.into_iter().flat_map(|from| STATUSES.map(|target| (from, target))) {
        let id = it.ship(1).await.expect(201).id();
        it.change("fulfillments", &id, to(from)).await.expect(200);
        let before = it.seen().await;
        let answer = it.change("fulfillments", &id, to(target)).await;
        if from == target || from == "shipped" {
            assert_eq!(answer.expect(200)["status"], target, "{from} to {target}");
        } else {
            let refused = answer.problem(409, "invalid-transition");
            assert_eq!((&refused["from"], &refused["to"]), (&json!(from), &json!(target)));
            assert_eq!(refused["allowed"], json!([]), "{from} to {target}");
        }
        let changes = i64::from(from == "shipped" && target != from);
        let after = it.seen().await;
        assert_eq!(after["version"].as_i64(), before["version"].as_i64().map(|version| version + changes));
    }
}

#[tokio::test]
async fn units_are_shipped_while_an_order_is_paid() {
    let shop = Shop::open().await;
    for status in ["placed", "shipped", "delivered", "cancelled", "paid, cancelled", "returned", "refunded"] {
        let it = OneOrder::of(&shop, status, 1).await;
        let before = it.seen().await;
        for body in [json!({}), it.units(1)] {
            let refused = it.staff.post(&it.path("/fulfillments"), body).await;
            let refused = refused.problem(409, "invalid-transition");
            assert_eq!((&refused["from"], &refused["to"]), (&before["status"], &json!("shipped")));
        }
        it.owner.post(&it.path("/fulfillments"), json!({})).await.problem(403, "forbidden");
        assert_eq!(it.seen().await.body, before.body, "{status}");
    }
}

#[tokio::test]
async fn tracking_is_that_of_the_latest_parcel_and_is_corrected() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "paid", 4).await;
    let parcel = |number: &str| {
        let url = format!("https://parcels.example/{number}");
        json!({ "carrier": "DHL", "number": number, "url": url })
    };
    let none = json!({ "carrier": null, "number": null, "url": null });
    assert_eq!(it.seen().await["tracking"], none);
    let mut made = Vec::new();
    for tracking in [parcel("1"), parcel("2"), Value::Null] {
        let mut one = it.units(1);
        one["tracking"] = tracking.clone();
        let fulfillment = it.staff.post(&it.path("/fulfillments"), one).await.expect(201);
        assert_eq!(fulfillment["tracking"], tracking);
        made.push(fulfillment.id());
    }
    // The third has none.
    assert_eq!(it.seen().await["tracking"], parcel("2"));
    // It is replaced as a whole, at any time.
    let other = json!({ "carrier": "UPS", "number": "9" });
    let expected = json!({ "carrier": "UPS", "number": "9", "url": null });
    it.change("fulfillments", &made[1], to("delivered")).await.expect(200);
    let corrected = it.change("fulfillments", &made[1], json!({ "tracking": other })).await.expect(200);
    assert_eq!((&corrected["tracking"], &corrected["status"]), (&expected, &json!("delivered")));
    let seen = it.seen().await;
    assert_eq!((&seen["tracking"], &seen["fulfillments"][1]["tracking"]), (&expected, &expected));
    // The same again is no change.
    it.change("fulfillments", &made[1], json!({ "tracking": other, "status": "delivered" }))
        .await
        .expect(200);
    assert_eq!(it.seen().await.body, seen.body);
    // A parcel that was recorded by mistake does not count.
    let both = json!({ "tracking": parcel("3"), "status": "cancelled" });
    it.change("fulfillments", &made[2], both).await.expect(200);
    assert_eq!(it.seen().await["tracking"], expected);
    it.change("fulfillments", &made[2], json!({ "tracking": parcel("4") })).await.expect(200);
    assert_eq!(it.seen().await["tracking"], expected);
}

#[tokio::test]
async fn bad_tracking_is_refused_at_its_pointer() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "paid", 2).await;
    let made = it.ship(1).await.expect(201).id();
    let with_url = |url: &str| json!({ "carrier": "DHL", "number": "1", "url": url });
    let longest = format!("https://a/{}", "x".repeat(1_990));
    let too_long = format!("{longest}x");
    for (tracking, pointers) in [
        (json!({}), &["/tracking/carrier", "/tracking/number"][..]),
        (json!({ "carrier": "DHL", "number": null }), &["/tracking/number"]),
        (json!({ "carrier": " ", "number": "x".repeat(101) }), &["/tracking/carrier", "/tracking/number"]),
        (with_url(""), &["/tracking/url"]),
        (with_url("http://parcels.example/1"), &["/tracking/url"]),
        (with_url("javascript:alert(1)"), &["/tracking/url"]),
        (with_url(&too_long), &["/tracking/url"]),
        (json!({ "carrier": "DHL", "number": "1", "status": "x" }), &["/tracking/status"]),
        (json!("1"), &["/tracking"]),
    ] {
        let body = json!({ "tracking": tracking });
        it.staff.post(&it.path("/fulfillments"), body.clone()).await.faults_at(pointers);
        it.change("fulfillments", &made, body).await.faults_at(pointers);
    }
    let url = json!({ "tracking": with_url(&longest) });
    assert_eq!(it.change("fulfillments", &made, url).await.expect(200)["tracking"]["url"], longest);
}

#[tokio::test]
async fn a_change_of_a_fulfillment_has_a_status_and_tracking_alone() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "paid", 2).await;
    let made = it.ship(1).await.expect(201).id();
    for (body, pointers) in [
        (json!({ "status": null }), &["/status"][..]),
        (json!({ "tracking": null }), &["/tracking"]),
        (to("returned"), &["/status"]),
        (to("Shipped"), &["/status"]),
        (json!({ "status": "delivered", "items": [] }), &["/items"]),
        (json!({ "status": "delivered", "delivered_at": "2026-01-01T00:00:00Z" }), &["/delivered_at"]),
    ] {
        it.change("fulfillments", &made, body).await.faults_at(pointers);
    }
    // What the body does not name stays as it is.
    assert_eq!(it.change("fulfillments", &made, json!({})).await.expect(200)["status"], "shipped");
    let path = it.path(&format!("/fulfillments/{made}"));
    for body in [to("delivered"), to("shipped"), json!({ "tracking": { "carrier": "a", "number": "b" } })] {
        it.owner.put(&path, body).await.problem(403, "forbidden");
    }
    assert_eq!(it.seen().await["version"], 3);
}

#[tokio::test]
async fn an_order_has_at_most_50_fulfillments() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "paid", 52).await;
    for _ in 0..49 {
        it.ship(1).await.expect(201);
    }
    // The last place is for all that is left.
    let refused = it.ship(1).await.problem(409, "quantity-exceeded");
    assert_eq!(refused["items"], json!([]));
    let last = it.staff.post(&it.path("/fulfillments"), json!({})).await.expect(201);
    assert_eq!(last["items"][0]["quantity"], 3);
    it.change("fulfillments", &last.id(), to("cancelled")).await.expect(200);
    for body in [it.units(1), json!({})] {
        let refused = it.staff.post(&it.path("/fulfillments"), body).await.problem(409, "quantity-exceeded");
        assert_eq!(refused["items"], json!([]));
    }
    // Nor does the short form add one.
    it.staff.moves(&it.id, "shipped").await.problem(409, "quantity-exceeded");
    assert_eq!(shop.stock(&it.product).await, (3, 3, 0));
}

#[tokio::test]
async fn the_short_form_ships_all_that_is_left() {
    let shop = Shop::open().await;
    for earlier in [0, 1] {
        let it = OneOrder::of(&shop, "paid", 3).await;
        for _ in 0..earlier {
            it.ship(1).await.expect(201);
        }
        let tracking = json!({ "carrier": "DHL", "number": "7", "url": "https://parcels.example/7" });
        let body = json!({ "status": "shipped", "tracking": tracking, "reason": "at last" });
        let order = it.staff.put(&it.path(""), body).await.expect(200);
        let parcels = order["fulfillments"].as_array().unwrap();
        assert_eq!(parcels.len(), 1 + earlier);
        let last = parcels.last().unwrap();
        assert_eq!(last["items"], json!([{ "id": it.item, "quantity": 3 - earlier }]));
        assert_eq!((&last["tracking"], &order["tracking"]), (&tracking, &tracking));
        let made = [
            json!(["fulfillment", null, "shipped", it.staff.id, last["id"], null]),
            json!(["status", "paid", "shipped", it.staff.id, null, "at last"]),
        ];
        let history = entries(&order);
        assert_eq!(history[history.len() - 2..], made);
        assert_eq!(it.counters().await, [0, 3, 0, 0]);
        assert_eq!(shop.stock(&it.product).await, (0, 0, 0));
    }
}

#[tokio::test]
async fn the_short_form_delivers_all_parcels_on_their_way() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "paid", 4).await;
    let mut made = Vec::new();
    for _ in 0..4 {
        made.push(it.ship(1).await.expect(201).id());
    }
    it.change("fulfillments", &made[0], to("cancelled")).await.expect(200);
    let early = it.change("fulfillments", &made[1], to("delivered")).await.expect(200);
    it.ship(1).await.expect(201);
    let order = it.staff.moves(&it.id, "delivered").await.expect(200);
    let parcels = order["fulfillments"].as_array().unwrap();
    let statuses: Vec<&str> = parcels.iter().map(|parcel| parcel["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["cancelled", "delivered", "delivered", "delivered", "delivered"]);
    assert_eq!(parcels[0]["delivered_at"], Value::Null);
    assert_eq!(parcels[1]["delivered_at"], early["delivered_at"]);
    assert_eq!(parcels[2]["delivered_at"], order["updated_at"]);
    assert_eq!(it.statuses().await, ["delivered", "delivered", "none"]);
}

#[tokio::test]
async fn other_tracking_beside_the_same_status_says_where_it_goes() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "shipped", 1).await;
    for tracking in [
        json!({ "carrier": "UPS", "number": "0034" }),
        json!({ "number": "0035" }),
        json!({ "carrier": "DHL", "number": "0034", "url": "https://parcels.example/34" }),
    ] {
        let body = json!({ "status": "shipped", "tracking": tracking });
        let refused = it.staff.put(&it.path(""), body).await.problem(409, "invalid-transition");
        let route = "PUT /orders/{id}/fulfillments/{fulfillment_id}";
        assert!(refused.text("detail").contains(route), "{:#}", refused.body);
    }
    it.staff.moves(&it.id, "shipped").await.expect(200);
    assert_eq!(it.seen().await["version"], 3);
}
