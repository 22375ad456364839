//! The whole table of changes of status: requirements, permissions, and effects on stock.

#![expect(clippy::panic, clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::collections::HashSet;

use serde_json::{Value, json};
use tests::person::{Person, to, to_for};
use tests::shop::{Shop, steps_to};

/// All states that an order can be in, for its transitions: to be refunded, a cancelled one must have been paid.
const STATES: [&str; 8] =
    ["placed", "paid", "shipped", "delivered", "cancelled", "paid, cancelled", "returned", "refunded"];

/// Counters of an item that changes of status raise.
const COUNTERS: [&str; 3] = ["cancelled", "shipped", "returned"];

const STATUSES: [&str; 7] = ["placed", "paid", "shipped", "delivered", "cancelled", "returned", "refunded"];

/// Changes that staff may make in a state, by the contract's table.
fn for_staff(state: &str) -> &'static [&'static str] {
    match state {
        "placed" => &["paid", "cancelled"],
        "paid" => &["shipped", "cancelled"],
        "shipped" => &["delivered", "returned"],
        "delivered" => &["returned"],
        "paid, cancelled" | "returned" => &["refunded"],
        _ => &[],
    }
}

/// Changes that the owner may make.
fn for_owner(state: &str) -> &'static [&'static str] {
    if state == "placed" { &["cancelled"] } else { &[] }
}

/// The status of a state.
fn status_of(state: &str) -> &str {
    if state == "paid, cancelled" { "cancelled" } else { state }
}

/// An order of `owner` for one piece, walked to a state.
async fn order_in(shop: &Shop, owner: &Person, product: &str, state: &str) -> String {
    let order = owner.orders(&[(product, 1)]).await.expect(201).id();
    for step in steps_to(state) {
        shop.admin().moves(&order, step).await.expect(200);
    }
    order
}

fn names(list: &Value) -> HashSet<&str> {
    list.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

#[tokio::test]
async fn every_status_leads_to_the_tables_next_ones_for_its_people() {
    let shop = Shop::open().await;
    let mug = shop.product(1000).await;
    let (owner, other) = (shop.customer().await, shop.customer().await);
    let people = [
        ("owner", owner.clone()),
        ("staff", shop.staff().await),
        ("admin", shop.admin()),
        ("another customer", other),
        ("anyone", shop.anyone()),
    ];
    let (mut cells, mut done) = (0, 0);
    for state in STATES {
        // Refusals change nothing, so one order is enough for all of them.
        let order = order_in(&shop, &owner, &mug, state).await;
        let path = format!("/orders/{order}");
        let before = shop.admin().get(&path).await.expect(200);
        let from = status_of(state);
        assert_eq!(before["status"], from);
        for (who, person) in &people {
            let allowed = match *who {
                "owner" => for_owner(state),
                "staff" | "admin" => for_staff(state),
                _ => &[],
            };
            for target in STATUSES {
                cells += 1;
                let case = format!("{state} to {target} by {who}");
                if allowed.contains(&target) {
                    let order = order_in(&shop, &owner, &mug, state).await;
                    check_done(person, &order, from, target, &case).await;
                    done += 1;
                    continue;
                }
                let answer = person.put(&path, to_for(&order, target)).await;
                match *who {
                    "anyone" => _ = answer.problem(401, "unauthenticated"),
                    "another customer" => _ = answer.problem(404, "not-found"),
                    _ if target == from => {
                        let seen = person.get(&path).await.expect(200);
                        assert_eq!(answer.expect(200).body, seen.body, "{case}");
                    }
                    "owner" if for_staff(state).contains(&target) => _ = answer.problem(403, "forbidden"),
                    _ => {
                        let answer = answer.problem(409, "invalid-transition");
                        assert_eq!((&answer["from"], &answer["to"]), (&json!(from), &json!(target)));
                        let may: HashSet<&str> = allowed.iter().copied().collect();
                        assert_eq!(names(&answer["allowed"]), may, "{case}");
                    }
                }
            }
        }
        assert_eq!(shop.admin().get(&path).await.expect(200).body, before.body, "{state}");
    }
    assert_eq!(cells, 8 * 5 * 7);
    // Nine rows of the table for staff and admins each, and one for the owner.
    assert_eq!(done, 9 * 2 + 1);
}

/// Entries of the history about money and parts that come with a change of status.
fn before_the_status(target: &str) -> &'static [&'static str] {
    match target {
        "paid" => &["payment"],
        "shipped" | "delivered" => &["fulfillment"],
        "returned" => &["return"],
        "refunded" => &["refund"],
        _ => &[],
    }
}

/// Cancelled, shipped and returned units of the one unit that was ordered, after a change from a status.
fn counters_after(from: &str, target: &str) -> [i64; 3] {
    match (from, target) {
        (_, "cancelled") | ("cancelled", "refunded") => [1, 0, 0],
        (_, "shipped" | "delivered") => [0, 1, 0],
        (_, "returned" | "refunded") => [0, 1, 1],
        _ => [0, 0, 0],
    }
}

/// Items without the counters of their units.
fn without_counters(items: &Value) -> Value {
    let mut items = items.clone();
    for item in items.as_array_mut().unwrap() {
        for counter in COUNTERS {
            item.as_object_mut().unwrap().remove(counter).unwrap();
        }
    }
    items
}

async fn check_done(person: &Person, order: &str, from: &str, target: &str, case: &str) {
    let path = format!("/orders/{order}");
    let before = person.get(&path).await.expect(200);
    let mut body = to_for(order, target);
    body["reason"] = json!("because");
    let after = person.put(&path, body).await.expect(200);
    assert_eq!(after["status"], target, "{case}");
    assert_eq!(after["version"], before["version"].as_i64().unwrap() + 1, "{case}");
    assert_eq!(after["expires_at"], Value::Null, "{case}");
    let (old, new) = (before["history"].as_array().unwrap(), after["history"].as_array().unwrap());
    assert_eq!(new[..old.len()], old[..], "{case}");
    let [entries @ .., change] = &new[old.len()..] else { panic!("{case}: {new:?}") };
    // A payment, a refund or a part comes before the status that it leads to.
    let events: Vec<&Value> = entries.iter().map(|entry| &entry["event"]).collect();
    assert_eq!(events, before_the_status(target), "{case}");
    assert_eq!((&change["from"], &change["to"]), (&json!(from), &json!(target)), "{case}");
    assert_eq!((&change["by"], &change["reason"]), (&json!(person.id), &json!("because")), "{case}");
    assert_eq!(change["at"], after["updated_at"], "{case}");
    match target {
        "paid" => assert_eq!(
            after["payment"],
            json!({ "reference": format!("pi_{order}"), "method": "card", "refund_reference": null })
        ),
        "shipped" => {
            assert_eq!(after["tracking"], json!({ "carrier": "DHL", "number": "0034", "url": null }));
        }
        "refunded" => assert_eq!(
            after["payment"],
            json!({ "reference": format!("pi_{order}"), "method": "card", "refund_reference": "re_1" })
        ),
        _ => {
            assert_eq!(after["payment"], before["payment"], "{case}");
            assert_eq!(after["tracking"], before["tracking"], "{case}");
        }
    }
    for kept in ["total", "number", "user_id", "created_at", "shipping_address", "note", "metadata"] {
        assert_eq!(after[kept], before[kept], "{case}");
    }
    assert_eq!(without_counters(&after["items"]), without_counters(&before["items"]), "{case}");
    let counters = COUNTERS.map(|counter| after["items"][0][counter].as_i64().unwrap());
    assert_eq!(counters, counters_after(from, target), "{case}");
    // Once more is the status that it has already, whatever comes with it.
    let mut again = to_for(order, target);
    again["reason"] = json!("another");
    assert_eq!(person.put(&path, again).await.expect(200).body, after.body, "{case}");
    assert_eq!(person.get(&path).await.expect(200).body, after.body, "{case}");
}

#[tokio::test]
async fn fields_with_the_status_that_an_order_has_are_ignored() {
    let shop = Shop::open().await;
    let mug = shop.product(100).await;
    let owner = shop.customer().await;
    for state in STATES {
        let order = order_in(&shop, &owner, &mug, state).await;
        let path = format!("/orders/{order}");
        let status = status_of(state);
        for person in [&owner, &shop.admin()] {
            let before = person.get(&path).await.expect(200);
            for body in [
                // What the change would need is missing.
                json!({ "status": status }),
                json!({ "status": status, "payment": {} }),
                // What would be refused otherwise.
                json!({ "status": status, "metadata": { "a": "b" }, "note": "x", "reason": "x" }),
                json!({ "status": status, "restock": true }),
                json!({
                    "status": status,
                    "shipping_address": { "line1": "2 Way", "city": "Köln", "country": "DE" },
                }),
            ] {
                assert_eq!(person.put(&path, body).await.expect(200).body, before.body, "{state}");
            }
            // Money and parcels are never ignored.
            for (part, value) in [
                ("payment", json!({ "reference": "other" })),
                ("payment", json!({ "method": "other" })),
                ("payment", json!({ "refund_reference": "other" })),
                ("tracking", json!({ "carrier": "UPS" })),
            ] {
                let refused = person.put(&path, json!({ "status": status, part: value })).await;
                let refused = refused.problem(409, "invalid-transition");
                assert_eq!((&refused["from"], &refused["to"]), (&json!(status), &json!(status)), "{state}");
            }
            assert_eq!(person.get(&path).await.expect(200).body, before.body, "{state}");
        }
    }
}

#[tokio::test]
async fn what_a_change_of_status_needs_must_be_there() {
    let shop = Shop::open().await;
    let staff = shop.staff().await;
    for (state, target, body, pointers) in [
        ("placed", "paid", json!({}), &["/payment"][..]),
        ("placed", "paid", json!({ "payment": null }), &["/payment"]),
        ("placed", "paid", json!({ "payment": {} }), &["/payment/reference"]),
        ("placed", "paid", json!({ "payment": { "reference": null } }), &["/payment/reference"]),
        ("placed", "paid", json!({ "payment": { "method": "card" } }), &["/payment/reference"]),
        ("paid", "shipped", json!({}), &["/tracking"]),
        ("paid", "shipped", json!({ "tracking": null }), &["/tracking"]),
        ("paid", "shipped", json!({ "tracking": {} }), &["/tracking/carrier", "/tracking/number"]),
        ("paid", "shipped", json!({ "tracking": { "carrier": "DHL" } }), &["/tracking/number"]),
        (
            "paid",
            "shipped",
            json!({ "tracking": { "number": "1", "carrier": null } }),
            &["/tracking/carrier"],
        ),
        ("returned", "refunded", json!({}), &["/payment"]),
        ("returned", "refunded", json!({ "payment": {} }), &["/payment/refund_reference"]),
        ("paid, cancelled", "refunded", json!({}), &["/payment"]),
    ] {
        let (owner, order) = shop.order_in(state).await;
        let path = format!("/orders/{order}");
        let mut body = body;
        body["status"] = json!(target);
        staff.put(&path, body.clone()).await.faults_at(pointers);
        // The body comes before who may, and before whose it is.
        owner.put(&path, body.clone()).await.faults_at(pointers);
        staff.put("/orders/nonsense", body).await.faults_at(pointers);
        let order = staff.get(&path).await.expect(200);
        assert_eq!(order["status"], status_of(state));
    }
}

#[tokio::test]
async fn what_belongs_to_another_change_of_status_is_refused() {
    let shop = Shop::open().await;
    let staff = shop.staff().await;
    let orders = [
        ("placed", shop.order_in("placed").await.1),
        ("paid", shop.order_in("paid").await.1),
        ("shipped", shop.order_in("shipped").await.1),
        ("delivered", shop.order_in("delivered").await.1),
        ("returned", shop.order_in("returned").await.1),
    ];
    let parts = [
        ("payment", json!({ "reference": "x" }), &["paid"][..]),
        ("tracking", json!({ "carrier": "x", "number": "1" }), &["shipped"]),
        ("restock", json!(true), &["returned"]),
        ("restock", json!(false), &["returned"]),
    ];
    for (state, order) in &orders {
        let path = format!("/orders/{order}");
        let before = staff.get(&path).await.expect(200);
        for (part, value, targets) in &parts {
            // Alone, and with each status that it does not belong to.
            staff.put(&path, json!({ *part: value })).await.faults_at(&[&format!("/{part}")]);
            for target in STATUSES.iter().filter(|target| !targets.contains(target) && *target != state) {
                let mut body = to(target);
                // Refunded takes a payment, but not this one; that is told by its own pointers below.
                if (*part, *target) == ("payment", "refunded") {
                    continue;
                }
                body[*part] = value.clone();
                staff.put(&path, body).await.faults_at(&[&format!("/{part}")]);
            }
        }
        staff.put(&path, json!({ "reason": "x" })).await.faults_at(&["/reason"]);
        assert_eq!(staff.get(&path).await.expect(200).body, before.body, "{state}");
    }

    let path = format!("/orders/{}", orders[0].1);
    let body = json!({ "status": "paid", "payment": { "reference": "x", "refund_reference": "x" } });
    staff.put(&path, body).await.faults_at(&["/payment/refund_reference"]);
    let path = format!("/orders/{}", orders[4].1);
    let payment = json!({ "refund_reference": "x", "reference": "x", "method": "x" });
    let body = json!({ "status": "refunded", "payment": payment });
    staff.put(&path, body).await.faults_at(&["/payment/reference", "/payment/method"]);
    // Whatever belongs there is told together with what does not.
    let body = json!({ "status": "shipped", "payment": { "reference": "x" }, "restock": true });
    let path = format!("/orders/{}", orders[1].1);
    let answer = staff.put(&path, body).await.problem(422, "validation");
    let named: HashSet<&str> = answer.pointers().into_iter().collect();
    assert_eq!(named, HashSet::from(["/payment", "/restock", "/tracking"]));
}

#[tokio::test]
async fn all_faults_of_a_change_are_told_at_once() {
    let shop = Shop::open().await;
    let staff = shop.staff().await;
    let (_, order) = shop.order_in("placed").await;
    let path = format!("/orders/{order}");
    let long = "x".repeat(101);
    for (body, pointers) in [
        // ValidationErrors of value, of what is missing, and of what belongs elsewhere.
        (
            json!({ "reason": "x", "payment": {}, "tracking": {}, "restock": true }),
            &["/payment", "/reason", "/restock", "/tracking"][..],
        ),
        // Of a status that is none it is not known what belongs to it.
        (json!({ "status": "void", "reason": "x", "payment": {}, "restock": true }), &["/status"]),
        (json!({ "note": "", "restock": true }), &["/note", "/restock"]),
        (
            json!({ "note": "", "metadata": { "": "x" }, "shipping_address": null }),
            &["/metadata/", "/note", "/shipping_address"],
        ),
        (json!({ "status": "paid", "note": "" }), &["/note", "/payment"]),
        (
            json!({ "status": "paid", "payment": { "method": long } }),
            &["/payment/method", "/payment/reference"],
        ),
        (
            json!({ "status": "paid", "payment": { "reference": "", "method": "" } }),
            &["/payment/method", "/payment/reference"],
        ),
        (
            json!({ "status": "shipped", "tracking": { "carrier": "" } }),
            &["/tracking/carrier", "/tracking/number"],
        ),
        (json!({ "status": "cancelled", "reason": " ", "restock": true }), &["/reason", "/restock"]),
    ] {
        let answer = staff.put(&path, body.clone()).await.problem(422, "validation");
        let mut named = answer.pointers();
        named.sort_unstable();
        assert_eq!(named, pointers, "{body}");
    }
    assert_eq!(staff.get(&path).await["version"], 1);
}

#[tokio::test]
async fn each_change_of_status_moves_the_stock_once() {
    let shop = Shop::open().await;
    let staff = shop.staff().await;
    let (mug, pot) = (shop.product(10).await, shop.product(20).await);
    let lines = [(mug.as_str(), 3), (&pot, 5)];
    let free = [(10, 0, 10), (20, 0, 20)];
    let held = [(10, 3, 7), (20, 5, 15)];
    let gone = [(7, 0, 7), (15, 0, 15)];
    // (what is sent, the stock after it); sent twice each, the second time it changes nothing.
    let back = json!({ "status": "returned", "restock": true });
    let away = json!({ "status": "returned", "restock": false });
    let until_delivered = vec![(to("paid"), held), (to("shipped"), gone), (to("delivered"), gone)];
    let ways = [
        vec![(to("cancelled"), free)],
        vec![(to("paid"), held), (to("cancelled"), free), (to("refunded"), free)],
        [until_delivered.clone(), vec![(back.clone(), free), (to("refunded"), free)]].concat(),
        // The parcel came back to the shop, and was never delivered.
        vec![(to("paid"), held), (to("shipped"), gone), (back, free), (to("refunded"), free)],
        // These come last, since the pieces stay away.
        [until_delivered.clone(), vec![(away, gone), (to("refunded"), gone)]].concat(),
    ];
    for way in ways {
        let order = staff.orders(&lines).await.expect(201).id();
        assert_eq!([shop.stock(&mug).await, shop.stock(&pot).await], held);
        for (mut body, stock) in way {
            if body["status"] == "paid" {
                body = to_for(&order, "paid");
            }
            for _ in 0..2 {
                staff.put(&format!("/orders/{order}"), body.clone()).await.expect(200);
                assert_eq!([shop.stock(&mug).await, shop.stock(&pot).await], stock, "{body}");
            }
        }
    }
    // Without the word `restock` it is as with false.
    let order = staff.orders(&[(&mug, 7)]).await.expect(201).id();
    for status in ["paid", "shipped", "delivered", "returned"] {
        staff.moves(&order, status).await.expect(200);
    }
    assert_eq!(shop.stock(&mug).await, (0, 0, 0));
}

#[tokio::test]
async fn what_a_cancelled_order_held_can_be_ordered_again_at_once() {
    let shop = Shop::open().await;
    let mug = shop.product(1).await;
    let (ada, bob) = (shop.customer().await, shop.customer().await);
    for _ in 0..3 {
        let order = ada.orders(&[(&mug, 1)]).await.expect(201).id();
        bob.orders(&[(&mug, 1)]).await.problem(409, "insufficient-stock");
        ada.moves(&order, "cancelled").await.expect(200);
    }
    bob.orders(&[(&mug, 1)]).await.expect(201);
    assert_eq!(shop.stock(&mug).await, (1, 1, 0));
}

#[tokio::test]
async fn a_reason_is_kept_and_optional() {
    let shop = Shop::open().await;
    let (ada, order) = shop.order_in("placed").await;
    let body = json!({ "status": "cancelled", "reason": "changed my mind ☕" });
    let cancelled = ada.put(&format!("/orders/{order}"), body).await.expect(200);
    assert_eq!(cancelled["history"][1]["reason"], "changed my mind ☕");

    let (ada, order) = shop.order_in("placed").await;
    let body = json!({ "status": "cancelled", "reason": null });
    let cancelled = ada.put(&format!("/orders/{order}"), body).await.expect(200);
    assert_eq!(cancelled["history"][1]["reason"], Value::Null);
}
