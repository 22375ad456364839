//! Returns of shipped units: asked for, decided, received, and put back on hand or not.

use serde_json::{Value, json};
use tests::shop::Shop;

use super::parts::{OneOrder, entries};

const STATUSES: [&str; 5] = ["requested", "approved", "rejected", "received", "cancelled"];

/// Statuses that staff may give a return, by the contract.
fn for_staff(from: &str) -> &'static [&'static str] {
    match from {
        "requested" => &["approved", "rejected", "cancelled"],
        "approved" => &["received", "cancelled"],
        _ => &[],
    }
}

/// Statuses that the owner of the order may give it.
fn for_owner(from: &str) -> &'static [&'static str] {
    if from == "requested" { &["cancelled"] } else { &[] }
}

/// The body that gives a return this status.
fn to(status: &str) -> Value {
    if status == "rejected" {
        return json!({ "status": status, "reason": "worn" });
    }
    json!({ "status": status })
}

/// A new return of one unit that the owner has asked for, walked to a status.
async fn return_in(it: &OneOrder, status: &str) -> String {
    let id = it.ask(&it.owner, 1).await.expect(201).id();
    let steps = if status == "received" { vec!["approved", status] } else { vec![status] };
    for step in steps {
        it.change("returns", &id, to(step)).await.expect(200);
    }
    id
}

#[tokio::test]
async fn a_return_is_asked_for_approved_and_received() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "delivered", 3).await;
    let body = json!({
        "items": [{ "id": it.item, "quantity": 2, "reason": "too small" }], "reason": "does not fit",
    });
    let asked = it.owner.post(&it.path("/returns"), body).await.expect(201);
    let item = |received: i64, restocked: i64| {
        json!([{
            "id": it.item, "quantity": 2, "reason": "too small", "received": received, "restocked": restocked,
        }])
    };
    let expected = json!({
        "id": asked["id"], "status": "requested", "items": item(0, 0), "reason": "does not fit",
        "requested_at": asked["requested_at"], "decided_at": null, "received_at": null, "by": it.owner.id,
    });
    assert_eq!(asked.body, expected);
    assert_eq!(it.statuses().await, ["delivered", "delivered", "requested"]);
    let approved = it.change("returns", &asked.id(), to("approved")).await.expect(200);
    assert!(approved.text("decided_at") >= approved.text("requested_at"));
    assert_eq!((&approved["items"], &approved["received_at"]), (&item(0, 0), &Value::Null));
    // Nothing is on hand before it is received.
    assert_eq!((it.counters().await, shop.stock(&it.product).await), ([0, 3, 0, 0], (0, 0, 0)));
    let received = it.receive(&asked.id(), 2, 1).await.expect(200);
    assert!(received.text("received_at") >= received.text("decided_at"));
    assert_eq!((&received["items"], &received["reason"]), (&item(2, 1), &json!("does not fit")));
    assert_eq!(it.statuses().await, ["delivered", "delivered", "partial"]);
    assert_eq!((it.counters().await, shop.stock(&it.product).await), ([0, 3, 2, 0], (1, 0, 1)));
}

#[tokio::test]
async fn a_return_that_came_back_short_leaves_the_rest() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "delivered", 3).await;
    let short = return_of(&it, 3).await;
    it.receive(&short, 1, 1).await.expect(200);
    assert_eq!(it.statuses().await, ["delivered", "delivered", "partial"]);
    assert_eq!((it.counters().await, shop.stock(&it.product).await), ([0, 3, 1, 0], (1, 0, 1)));
    // What did not come back may be returned another time.
    let refused = it.ask(&it.owner, 3).await.problem(409, "quantity-exceeded");
    assert_eq!(refused["items"], json!([{ "id": it.item, "requested": 3, "left": 2 }]));
    let rest = return_of(&it, 2).await;
    // Without items all of it came back, and none is on hand.
    let received = it.change("returns", &rest, to("received")).await.expect(200);
    assert_eq!(
        (&received["items"][0]["received"], &received["items"][0]["restocked"]),
        (&json!(2), &json!(0))
    );
    assert_eq!(it.statuses().await, ["returned", "delivered", "returned"]);
    assert_eq!((it.counters().await, shop.stock(&it.product).await), ([0, 3, 3, 0], (1, 0, 1)));
    let last = json!(["status", "delivered", "returned", "system", null, null]);
    assert_eq!(entries(&it.seen().await).last(), Some(&last));
}

/// A return of so many units that staff have recorded, and so approved.
async fn return_of(it: &OneOrder, units: i64) -> String {
    let made = it.ask(&it.staff, units).await.expect(201);
    assert_eq!((&made["status"], &made["decided_at"]), (&json!("approved"), &made["requested_at"]));
    made.id()
}

#[tokio::test]
async fn a_return_that_came_back_empty_returns_nothing() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "delivered", 1).await;
    let back = return_of(&it, 1).await;
    it.receive(&back, 0, 0).await.expect(200);
    assert_eq!(it.statuses().await, ["delivered", "delivered", "none"]);
    assert_eq!((it.counters().await, shop.stock(&it.product).await), ([0, 1, 0, 0], (0, 0, 0)));
}

#[tokio::test]
async fn no_more_units_are_returned_than_were_shipped() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "paid", 4).await;
    let exceeded =
        |requested: i64, left: i64| json!([{ "id": it.item, "requested": requested, "left": left }]);
    let refused = it.ask(&it.staff, 1).await.problem(409, "quantity-exceeded");
    assert_eq!(refused["items"], exceeded(1, 0));
    it.ship(3).await.expect(201);
    let refused = it.ask(&it.staff, 4).await.problem(409, "quantity-exceeded");
    assert_eq!(refused["items"], exceeded(4, 3));
    // Open ones count too, until they are cancelled.
    let open = return_of(&it, 2).await;
    let refused = it.ask(&it.staff, 2).await.problem(409, "quantity-exceeded");
    assert_eq!(refused["items"], exceeded(2, 1));
    it.change("returns", &open, to("cancelled")).await.expect(200);
    assert_eq!(it.statuses().await, ["paid", "partial", "none"]);
    return_of(&it, 3).await;
    assert_eq!(it.counters().await, [0, 3, 0, 0]);
}

#[tokio::test]
async fn of_two_returns_at_once_of_a_last_unit_one_is_recorded() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "delivered", 3).await;
    for _ in 0..4 {
        let (one, other) = futures::join!(it.ask(&it.owner, 2), it.ask(&it.staff, 2));
        let (done, refused) = if one.status == 201 { (one, other) } else { (other, one) };
        let refused = refused.problem(409, "quantity-exceeded");
        assert_eq!(refused["items"], json!([{ "id": it.item, "requested": 2, "left": 1 }]));
        it.change("returns", &done.expect(201).id(), to("cancelled")).await.expect(200);
    }
}

#[tokio::test]
async fn an_owner_asks_for_a_return_of_delivered_units() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "paid", 4).await;
    let (first, _) = (it.ship(2).await.expect(201).id(), it.ship(1).await.expect(201));
    // Staff need not wait for the delivery.
    it.ask(&it.owner, 1).await.problem(409, "invalid-transition");
    let early = return_of(&it, 1).await;
    it.change("returns", &early, to("cancelled")).await.expect(200);
    it.change("fulfillments", &first, json!({ "status": "delivered" })).await.expect(200);
    // Those of the other parcel are on their way.
    it.ask(&it.owner, 3).await.problem(409, "invalid-transition");
    assert_eq!(it.ask(&it.owner, 2).await.expect(201)["status"], "requested");
    it.ask(&it.owner, 1).await.problem(409, "invalid-transition");
    assert_eq!(it.statuses().await, ["paid", "partial", "requested"]);
}

#[tokio::test]
async fn units_are_returned_once_an_order_is_shipped() {
    let shop = Shop::open().await;
    for status in ["placed", "cancelled", "paid, cancelled", "returned", "refunded"] {
        let it = OneOrder::of(&shop, status, 1).await;
        let before = it.seen().await;
        for person in [&it.owner, &it.staff] {
            let refused = it.ask(person, 1).await.problem(409, "invalid-transition");
            assert_eq!((&refused["from"], &refused["to"]), (&before["status"], &json!("returned")));
        }
        assert_eq!(it.seen().await.body, before.body, "{status}");
    }
}

#[tokio::test]
async fn every_status_of_a_return_leads_to_its_next_ones() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "delivered", 40).await;
    let mut done = 0;
    for from in STATUSES {
        // Refusals change nothing, so one return is enough for all of them.
        let there = return_in(&it, from).await;
        for (person, may) in [(&it.staff, for_staff(from)), (&it.owner, for_owner(from))] {
            for target in STATUSES {
                let id = if may.contains(&target) { return_in(&it, from).await } else { there.clone() };
                let answer = person.put(&it.path(&format!("/returns/{id}")), to(target)).await;
                if may.contains(&target) || target == from {
                    assert_eq!(answer.expect(200)["status"], target, "{from} to {target}");
                    done += usize::from(target != from);
                } else if for_staff(from).contains(&target) {
                    answer.problem(403, "forbidden");
                } else {
                    let refused = answer.problem(409, "invalid-transition");
                    assert_eq!((&refused["from"], &refused["to"]), (&json!(from), &json!(target)));
                    assert_eq!(refused["allowed"], json!(may), "{from} to {target}");
                }
            }
        }
        let seen = it.seen().await;
        let returns = seen["returns"].as_array().unwrap();
        let still = returns.iter().find(|it| it["id"] == there.as_str()).unwrap();
        assert_eq!(still["status"], from);
    }
    assert_eq!(done, 5 + 1);
    // Two of them came back: the one that was walked there, and the one that staff received.
    assert_eq!(it.counters().await, [0, 40, 2, 0]);
}

#[tokio::test]
async fn a_rejection_and_a_cancellation_leave_their_reason() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "delivered", 2).await;
    let rejected = it.ask(&it.owner, 2).await.expect(201).id();
    let answer = it.change("returns", &rejected, to("rejected")).await.expect(200);
    assert_eq!((&answer["reason"], &answer["received_at"]), (&Value::Null, &Value::Null));
    assert!(answer.text("decided_at") >= answer.text("requested_at"));
    assert_eq!(it.statuses().await, ["delivered", "delivered", "none"]);
    // Its units may be asked for again.
    let cancelled = it.ask(&it.owner, 2).await.expect(201).id();
    let path = it.path(&format!("/returns/{cancelled}"));
    let body = json!({ "status": "cancelled", "reason": "keeps them" });
    let answer = it.owner.put(&path, body).await.expect(200);
    assert_eq!((&answer["status"], &answer["decided_at"]), (&json!("cancelled"), &Value::Null));
    let history = entries(&it.seen().await);
    let expected = [
        json!(["return", null, "requested", it.owner.id, rejected, null]),
        json!(["return", "requested", "rejected", "staff", rejected, "worn"]),
        json!(["return", null, "requested", it.owner.id, cancelled, null]),
        json!(["return", "requested", "cancelled", it.owner.id, cancelled, "keeps them"]),
    ];
    assert_eq!(history[history.len() - 4..], expected);
}

#[tokio::test]
async fn a_return_is_checked_in_full() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "delivered", 2).await;
    let unit = |reason: Value| json!([{ "id": it.item, "quantity": 1, "reason": reason }]);
    for (body, pointers) in [
        (json!({}), &["/items"][..]),
        (json!({ "items": null }), &["/items"]),
        (json!({ "items": unit(json!("x".repeat(101))) }), &["/items/0/reason"]),
        (json!({ "items": unit(json!(" ")) }), &["/items/0/reason"]),
        (json!({ "items": unit(Value::Null), "reason": "x".repeat(501) }), &["/reason"]),
        (json!({ "items": [{ "id": it.item, "quantity": 1, "restocked": 1 }] }), &["/items/0/restocked"]),
    ] {
        for person in [&it.owner, &it.staff] {
            person.post(&it.path("/returns"), body.clone()).await.faults_at(pointers);
        }
    }
    assert_eq!(it.seen().await["version"], 4);
}

/// Units of an item that came back.
fn came_back(id: &Value, received: i64, restocked: i64) -> Value {
    json!({ "id": id, "received": received, "restocked": restocked })
}

#[tokio::test]
async fn a_change_of_a_return_is_checked_in_full() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "delivered", 2).await;
    let other = OneOrder::of_people(&shop, &it.owner, &it.staff, "delivered", 1).await;
    let back = return_of(&it, 2).await;
    let items = |items: Value| json!({ "status": "received", "items": items });
    let with = |status: &str, field: &str, value: Value| json!({ "status": status, field: value });
    for (body, pointers) in [
        (json!({}), &["/status"][..]),
        (json!({ "status": null }), &["/status"]),
        (json!({ "status": "returned" }), &["/status"]),
        (with("rejected", "reason", json!(" ")), &["/reason"]),
        (with("rejected", "reason", json!("x".repeat(501))), &["/reason"]),
        (with("approved", "reason", json!(" ")), &["/reason"]),
        (with("approved", "items", json!([came_back(&it.item, 1, 0)])), &["/items"]),
        (with("cancelled", "items", json!([came_back(&it.item, 1, 0)])), &["/items"]),
        (with("received", "restock", json!(true)), &["/restock"]),
        (items(json!([])), &["/items"]),
        (items(json!([{}])), &["/items/0/id", "/items/0/received", "/items/0/restocked"]),
        (items(json!([came_back(&it.item, -1, 0)])), &["/items/0/received"]),
        (items(json!([came_back(&it.item, 1, 2)])), &["/items/0/restocked"]),
        (items(json!([came_back(&it.item, 3, 0)])), &["/items/0/received"]),
        (items(json!([came_back(&other.item, 1, 0)])), &["/items/0/id"]),
        (items(json!([came_back(&json!("x"), 1, 0)])), &["/items/0/id"]),
        (items(json!([came_back(&it.item, 1, 0), came_back(&it.item, 1, 0)])), &["/items/1/id"]),
        (
            items(json!([{ "id": it.item, "received": 1, "restocked": 0, "quantity": 1 }])),
            &["/items/0/quantity"],
        ),
    ] {
        it.change("returns", &back, body).await.faults_at(pointers);
    }
    assert_eq!(it.seen().await["version"], 5);
    it.receive(&back, 2, 2).await.expect(200);
    assert_eq!(shop.stock(&it.product).await, (2, 0, 2));
}

#[tokio::test]
async fn the_short_form_is_one_return_that_was_received() {
    let shop = Shop::open().await;
    for (status, restock) in
        [("delivered", true), ("delivered", false), ("shipped", true), ("shipped", false)]
    {
        let it = OneOrder::of(&shop, status, 3).await;
        let body = json!({ "status": "returned", "restock": restock, "reason": "refused" });
        let order = it.staff.put(&it.path(""), body).await.expect(200);
        let restocked = if restock { 3 } else { 0 };
        let returns = order["returns"].as_array().unwrap();
        let expected = json!([{
            "id": returns[0]["id"], "status": "received", "reason": "refused", "by": it.staff.id,
            "items": [{
                "id": it.item, "quantity": 3, "reason": null, "received": 3, "restocked": restocked,
            }],
            "requested_at": order["updated_at"], "decided_at": order["updated_at"],
            "received_at": order["updated_at"],
        }]);
        assert_eq!(order["returns"], expected);
        let history = entries(&order);
        let made = [
            json!(["return", null, "received", it.staff.id, returns[0]["id"], "refused"]),
            json!(["status", status, "returned", it.staff.id, null, "refused"]),
        ];
        assert_eq!(history[history.len() - 2..], made);
        assert_eq!(it.statuses().await, ["returned", status, "returned"]);
        assert_eq!(shop.stock(&it.product).await, (restocked, 0, restocked));
    }
}

#[tokio::test]
async fn the_short_form_returns_what_has_not_come_back() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "delivered", 3).await;
    let first = return_of(&it, 2).await;
    let body = json!({ "status": "returned", "restock": true });
    // What is in an open return is to be received, or not to come.
    let refused = it.staff.put(&it.path(""), body.clone()).await.problem(409, "quantity-exceeded");
    assert_eq!(refused["items"], json!([{ "id": it.item, "requested": 3, "left": 1 }]));
    it.receive(&first, 1, 0).await.expect(200);
    let order = it.staff.put(&it.path(""), body).await.expect(200);
    let last = order["returns"][1]["items"][0].clone();
    assert_eq!((&last["quantity"], &last["restocked"]), (&json!(2), &json!(2)));
    assert_eq!(it.statuses().await, ["returned", "delivered", "returned"]);
    assert_eq!((it.counters().await, shop.stock(&it.product).await), ([0, 3, 3, 0], (2, 0, 2)));
}
