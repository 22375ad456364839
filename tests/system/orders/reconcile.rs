//! Reconcile: it heals the remains of crashes and lost answers, and touches nothing else.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use futures::future::join_all;
use http::Method;
use mongodb::bson::{self, Document, doc};
use serde_json::{Value, json};
use shared::auth::{Caller, Role};
use shared::mongo;
use shared::values::ids::OrderId;
use tests::shop::order_of;
use tonic::Code;

use crate::support::aging::{Aging, HOUR, MINUTE, SECOND, stored_id};
use crate::support::branch::Line;

/// An order whose insert never came: the crash between the two writes of placing one. Its hold is left.
async fn hold_without_an_order(aging: &Aging, body: Value, key: &str) {
    let branch = aging.branch().await;
    branch.line(Line::AnswerLost);
    let ada = aging.shop.customer().await;
    let request = branch.request(&ada, Method::POST, "/orders").header("idempotency-key", key);
    assert_eq!(request.json(&body).send().await.unwrap().status(), 503);
}

#[tokio::test]
async fn a_hold_without_an_order_ends_at_its_age_and_not_before() {
    let aging = Aging::open().await;
    let (mug, pot) = (aging.shop.product(10).await, aging.shop.product(10).await);
    let mut body = order_of(&mug, 3);
    body["items"] = json!([{ "product_id": mug, "quantity": 3 }, { "product_id": pot, "quantity": 4 }]);
    hold_without_an_order(&aging, body, "a").await;
    // One with an order beside it, which is left alone.
    let kept = aging.shop.customer().await.orders(&[(&mug, 1)]).await.expect(201).id();
    assert_eq!((aging.stock(&mug).await, aging.stock(&pot).await), ((10, 4, 6), (10, 4, 6)));

    // The database's clock goes on meanwhile: on a busy machine by seconds.
    aging.ages(90 * SECOND).await;
    let healed = aging.reconciles().await;
    assert_eq!((healed.holds_ended, healed.finished), (0, true));
    aging.ages(31 * SECOND).await;
    let healed = aging.reconciles().await;
    assert_eq!((healed.holds_ended, healed.set_aside, healed.finished), (1, 0, true));
    assert_eq!((aging.stock(&mug).await, aging.stock(&pot).await), ((10, 1, 9), (10, 0, 10)));
    // What it has made of it is no order, for nobody.
    assert_eq!(aging.count(doc! { "status": "void" }).await, 1);
    assert_eq!(aging.shop.admin().get("/orders").await.data().len(), 1);
    assert_eq!(aging.shop.admin().get(&format!("/orders/{kept}")).await.expect(200)["status"], "placed");
    assert_eq!(aging.reconciles().await.holds_ended, 0);
}

#[tokio::test]
async fn a_void_is_not_there_for_anyone() {
    let aging = Aging::open().await;
    let mug = aging.shop.product(10).await;
    hold_without_an_order(&aging, order_of(&mug, 3), "a").await;
    aging.ages(3 * MINUTE).await;
    aging.reconciles().await;
    let orders = aging.shop.database.collection::<Document>("orders");
    let void = orders.find_one(doc! { "status": "void" }).await.unwrap().unwrap();
    let Some(bson::Bson::Binary(id)) = void.get("_id") else { panic!("{void}") };
    let id: OrderId = mongo::id(id.to_uuid().unwrap());
    let admin = aging.shop.admin();
    admin.get(&format!("/orders/{id}")).await.problem(404, "not-found");
    admin.moves(&id.to_string(), "cancelled").await.problem(404, "not-found");
    admin.get("/orders?status=void").await.problem(400, "invalid-query");
}

#[tokio::test]
async fn a_request_is_placed_after_its_first_attempt_became_void() {
    let aging = Aging::open().await;
    let mug = aging.shop.product(10).await;
    let ada = aging.shop.customer().await;
    let branch = aging.branch().await;
    branch.line(Line::AnswerLost);
    let body = order_of(&mug, 3);
    let send = async || {
        branch
            .request(&ada, Method::POST, "/orders")
            .header("idempotency-key", "k")
            .json(&body)
            .send()
            .await
            .unwrap()
    };
    assert_eq!(send().await.status(), 503);
    aging.ages(3 * MINUTE).await;
    aging.reconciles().await;
    branch.line(Line::Works);
    let placed = send().await;
    assert_eq!((placed.status().as_u16(), placed.headers().get("idempotency-replayed")), (201, None));
    assert_eq!(send().await.headers()["idempotency-replayed"], "true");
    assert_eq!(aging.stock(&mug).await, (10, 3, 7));
    // Two attempts of one request: a void, and the order.
    assert_eq!(aging.count(doc! {}).await, 2);
}

#[tokio::test]
async fn an_attempt_that_is_void_holds_nothing_when_it_runs_again() {
    let aging = Aging::open().await;
    let (mug, ada) = (aging.shop.product(10).await, aging.shop.customer().await);
    let branch = aging.branch().await;
    branch.line(Line::AnswerLost);
    let send = async || {
        let request = branch.request(&ada, Method::POST, "/orders").header("idempotency-key", "k");
        request.json(&order_of(&mug, 3)).send().await.unwrap().status().as_u16()
    };
    assert_eq!(send().await, 503);
    aging.ages(3 * MINUTE).await;
    aging.reconciles().await;
    branch.line(Line::Works);
    // The void is there, and products have forgotten that its hold has ended.
    let database = &aging.shop.database;
    database.collection::<Document>("stock_holds").delete_many(doc! {}).await.unwrap();
    let forgotten = doc! { "$set": { "folded": [] } };
    database.collection::<Document>("stock").update_many(doc! {}, forgotten).await.unwrap();
    assert_eq!(send().await, 201);
    assert_eq!(aging.stock(&mug).await, (10, 3, 7));
    assert_eq!(aging.count(doc! {}).await, 2);
}

#[tokio::test]
async fn tasks_that_were_left_are_done_in_their_order() {
    let aging = Aging::open().await;
    let (staff, mug) = (aging.shop.staff().await, aging.shop.product(10).await);
    let branch = aging.branch().await;
    let order = staff.orders(&[(&mug, 3)]).await.expect(201).id();
    aging.shop.admin().moves(&order, "paid").await.expect(200);
    branch.line(Line::Away(Code::Unavailable));
    for body in [
        json!({ "status": "shipped", "tracking": { "carrier": "DHL", "number": "1" } }),
        json!({ "status": "delivered" }),
        json!({ "status": "returned", "restock": true }),
    ] {
        let (status, ..) = branch.send(&staff, Method::PUT, &format!("/orders/{order}"), body).await;
        assert_eq!(status, 200);
    }
    assert_eq!(aging.stock(&mug).await, (10, 3, 7));
    // The request that has made them may still be doing them.
    assert_eq!(aging.reconciles().await.tasks_done, 0);
    aging.ages(31 * SECOND).await;
    assert_eq!(aging.reconciles().await.tasks_done, 1);
    assert_eq!(aging.stock(&mug).await, (10, 0, 10));
    assert!(aging.stored(&order).await.unwrap().get_array("tasks").unwrap().is_empty());
    assert_eq!(aging.reconciles().await.tasks_done, 0);
}

#[tokio::test]
async fn an_unfinished_change_of_items_ends_and_changes_no_order() {
    let aging = Aging::open().await;
    let (ada, mug, pot) =
        (aging.shop.customer().await, aging.shop.product(10).await, aging.shop.product(10).await);
    let order = ada.orders(&[(&mug, 3)]).await.expect(201).id();
    let branch = aging.branch().await;
    branch.line(Line::AnswerLost);
    let body = json!({ "items": [{ "product_id": pot, "quantity": 5 }] });
    let (status, ..) = branch.send(&ada, Method::PUT, &format!("/orders/{order}"), body).await;
    assert_eq!(status, 503);
    // As if the process had died after its hold.
    aging.sets(&order, doc! { "changing": true, "version": 2_i64, "tasks": [] }).await;
    // Of the two products together: one hold.
    aging.shop.fold(&aging.clock).await.unwrap();
    let holds = aging.shop.database.collection::<Document>("stock_holds");
    let held = holds.update_one(doc! { "_id": stored_id(&order) }, doc! { "$set": { "r": 2_i64 } });
    assert_eq!(held.await.unwrap().matched_count, 1);
    let stock = aging.shop.database.collection::<Document>("stock");
    stock.update_many(doc! {}, doc! { "$set": { "folded.$[].r": 2_i64 } }).await.unwrap();

    assert_eq!(aging.reconciles().await.changes_ended, 0);
    aging.ages(31 * SECOND).await;
    assert_eq!(aging.reconciles().await.changes_ended, 1);
    assert_eq!((aging.stock(&mug).await, aging.stock(&pot).await), ((10, 3, 7), (10, 0, 10)));
    let order = ada.get(&format!("/orders/{order}")).await.expect(200);
    assert_eq!((&order["items"][0]["product_id"], &order["version"]), (&json!(mug), &json!(3)));
}

#[tokio::test]
async fn an_unpaid_order_is_cancelled_at_its_time_by_the_system() {
    let aging = Aging::open().await;
    let (ada, mug) = (aging.shop.customer().await, aging.shop.product(10).await);
    let order = ada.orders(&[(&mug, 3)]).await.expect(201).id();
    let paid = ada.orders(&[(&mug, 2)]).await.expect(201).id();
    aging.shop.admin().moves(&paid, "paid").await.expect(200);
    aging.ages(24 * HOUR - 1).await;
    assert_eq!(aging.reconciles().await.orders_expired, 0);
    aging.ages(1).await;
    assert_eq!(aging.reconciles().await.orders_expired, 1);
    let ada = aging.again(&ada).await;
    let order = ada.get(&format!("/orders/{order}")).await.expect(200);
    assert_eq!((&order["status"], &order["expires_at"]), (&json!("cancelled"), &Value::Null));
    let last = &order["history"][1];
    assert_eq!((&last["by"], &last["reason"]), (&json!("system"), &json!("payment-timeout")));
    assert_eq!(ada.get(&format!("/orders/{paid}")).await.expect(200)["status"], "paid");
    assert_eq!(aging.stock(&mug).await, (10, 2, 8));
}

#[tokio::test]
async fn ended_holds_are_forgotten_after_an_hour_unless_needed() {
    let aging = Aging::open().await;
    let (ada, mug) = (aging.shop.customer().await, aging.shop.product(10).await);
    let (ended, busy) =
        (ada.orders(&[(&mug, 3)]).await.expect(201).id(), ada.orders(&[(&mug, 2)]).await.expect(201).id());
    let placed = ada.orders(&[(&mug, 1)]).await.expect(201).id();
    for order in [&ended, &busy] {
        ada.moves(order, "cancelled").await.expect(200);
    }
    hold_without_an_order(&aging, order_of(&mug, 1), "a").await;
    aging.ages(3 * MINUTE).await;
    assert_eq!(aging.reconciles().await.holds_ended, 1);
    // A task that cannot be done: so many are not in the backend.
    let task = doc! { "revision": 9_i64, "kind": "ship" };
    aging.sets(&busy, doc! { "tasks": [task], "items.0.quantity": 20_i64 }).await;
    assert_eq!(aging.marks(&mug).await, 4);

    aging.ages(HOUR - 4 * MINUTE).await;
    assert_eq!(aging.reconciles().await.tombstones_pruned, 0);
    aging.ages(5 * MINUTE).await;
    let healed = aging.reconciles().await;
    assert_eq!((healed.tombstones_pruned, healed.voids_pruned, healed.set_aside), (2, 1, 1));
    assert_eq!((aging.marks(&mug).await, aging.stock(&mug).await), (2, (10, 1, 9)));
    assert_eq!(aging.count(doc! { "status": "void" }).await, 0);
    assert!(aging.stored(&placed).await.is_some());
}

#[tokio::test]
async fn a_mark_of_any_age_outlives_its_task_by_an_hour() {
    let aging = Aging::open().await;
    let (staff, mug) = (aging.shop.staff().await, aging.shop.product(10).await);
    let order = staff.orders(&[(&mug, 3)]).await.expect(201).id();
    staff.moves(&order, "paid").await.expect(200);
    let branch = aging.branch().await;
    branch.line(Line::AnswerLost);
    let shipped = json!({ "status": "shipped", "tracking": { "carrier": "DHL", "number": "1" } });
    branch.send(&staff, Method::PUT, &format!("/orders/{order}"), shipped).await;
    assert_eq!(aging.stock(&mug).await, (7, 0, 7));
    // For more than an hour nobody does what is left of it. Then two do it at once: the call of the second, which
    // is still on its way when the first has taken the task off, must find the mark.
    aging.ages(2 * HOUR).await;
    let healed = aging.reconciles().await;
    assert_eq!((healed.tasks_done, healed.tombstones_pruned), (1, 0));
    assert_eq!(aging.marks(&mug).await, 1);
    aging.ages(HOUR + SECOND).await;
    assert_eq!(aging.reconciles().await.tombstones_pruned, 1);
}

#[tokio::test]
async fn what_cannot_be_settled_stops_nothing_and_is_tried_again() {
    let aging = Aging::open().await;
    let (ada, mug) = (aging.shop.customer().await, aging.shop.product(10).await);
    let (bad, good) =
        (ada.orders(&[(&mug, 3)]).await.expect(201).id(), ada.orders(&[(&mug, 2)]).await.expect(201).id());
    // To ship more than is in the backend is refused for good; the release behind it is not.
    let left = |kind: &str| doc! { "tasks": [{ "revision": 5_i64, "kind": kind }] };
    aging.sets(&bad, left("ship")).await;
    aging.sets(&bad, doc! { "items.0.quantity": 20_i64 }).await;
    aging.sets(&good, left("release")).await;
    aging.sets(&good, doc! { "status": "cancelled" }).await;
    aging.ages(31 * SECOND).await;
    let mut age = 31;
    for _ in 0..2 {
        let healed = aging.reconciles().await;
        assert_eq!((healed.set_aside, healed.finished), (1, true));
        assert_eq!(aging.stock(&mug).await, (10, 3, 7));
        // It is not tried again before it is due.
        let healed = aging.reconciles().await;
        assert_eq!((healed.set_aside, healed.jobs[0].oldest_due_seconds), (0, Some(age)));
        aging.ages(2 * MINUTE).await;
        age += 120;
    }
}

#[tokio::test]
async fn an_unpaid_order_that_cannot_be_read_stops_nothing() {
    let aging = Aging::open().await;
    let (ada, mug) = (aging.shop.customer().await, aging.shop.product(10).await);
    let bad = ada.orders(&[(&mug, 3)]).await.expect(201).id();
    ada.orders(&[(&mug, 2)]).await.expect(201);
    aging.sets(&bad, doc! { "currency": 7_i64 }).await;
    hold_without_an_order(&aging, order_of(&mug, 1), "a").await;
    aging.ages(25 * HOUR).await;
    let healed = aging.reconciles().await;
    assert_eq!((healed.orders_expired, healed.holds_ended), (1, 1));
    assert_eq!((healed.set_aside, healed.finished), (1, true));
    assert_eq!(aging.stock(&mug).await, (10, 3, 7));
}

#[tokio::test]
async fn several_at_once_and_beside_requests_do_no_harm() {
    let aging = Aging::open().await;
    let (ada, mug) = (aging.shop.customer().await, aging.shop.product(1000).await);
    for key in ["a", "b", "c"] {
        hold_without_an_order(&aging, order_of(&mug, 7), key).await;
    }
    aging.ages(3 * MINUTE).await;
    let reconciling = join_all((0..6).map(|_| aging.reconciles()));
    let ordering = join_all((0..40).map(|_| async { ada.orders(&[(&mug, 1)]).await.expect(201) }));
    let (healed, _) = futures::join!(reconciling, ordering);
    assert!(healed.iter().map(|healed| healed.holds_ended).sum::<i64>() >= 3);
    assert_eq!(aging.stock(&mug).await, (1000, 40, 960));
    assert_eq!(aging.count(doc! { "status": "void" }).await, 3);
}

#[tokio::test]
async fn only_functions_may_reconcile() {
    let aging = Aging::open().await;
    let admin = Caller::User { id: aging.shop.admin().id.parse().unwrap(), role: Role::Admin };
    for caller in [Caller::Anonymous, admin] {
        let refused = aging.reconciles_for(caller).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
    }
}
