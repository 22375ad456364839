//! Orders while the products function is away or answers with errors.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use http::Method;
use mongodb::bson::{self, Document, doc};
use serde_json::json;
use shared::values::clock::Clock;
use shared::values::ids::OrderId;
use tests::in_process::InProcess;
use tests::person::{Person, to};
use tests::shop::order_of;
use tonic::Code;

use crate::support::aging::{Aging, MINUTE, stored_product};
use crate::support::branch::{Branch, Line};

/// Longer than an answer takes while products is away, and shorter than a request may take.
const IN_TIME: Duration = Duration::from_secs(10);

/// Runs of Reconcile in which a backlog is done.
const RUNS: usize = 20;

/// Tasks of an order, on disk.
async fn tasks(shop: &InProcess, order: &str) -> Vec<(i64, String)> {
    let id: OrderId = order.parse().unwrap();
    let id = bson::Uuid::from_bytes(id.uuid().into_bytes());
    let orders = shop.database.collection::<Document>("orders");
    let found = orders.find_one(doc! { "_id": id }).await.unwrap().unwrap();
    let task = |task: &bson::Bson| {
        let task = task.as_document().unwrap();
        (task.get_i64("revision").unwrap(), task.get_str("kind").unwrap().to_owned())
    };
    found.get_array("tasks").unwrap().iter().map(task).collect()
}

async fn count(shop: &InProcess) -> u64 {
    shop.database.collection::<Document>("orders").count_documents(doc! {}).await.unwrap()
}

#[tokio::test]
async fn without_the_products_function_ordering_is_a_503_to_repeat() {
    let shop = InProcess::open().await;
    let branch = Branch::of(&shop).await;
    let (mug, staff) = (shop.product(10).await, shop.staff().await);
    for code in [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled, Code::ResourceExhausted] {
        branch.line(Line::Away(code));
        let (status, headers, problem) =
            branch.send(&staff, Method::POST, "/orders", order_of(&mug, 1)).await;
        assert_eq!((status, problem["type"].as_str()), (503, Some("/problems/unavailable")), "{code:?}");
        assert!(headers["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 0);
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(problem["request_id"], headers["x-request-id"].to_str().unwrap());
        // No word of what is behind.
        assert!(!problem.to_string().contains("10.0.0.7"), "{problem:#}");
    }
    assert_eq!(count(&shop).await, 0);
    assert_eq!(shop.stock(&mug).await, (10, 0, 10));

    // The stock may be held by then, but there is no order.
    branch.line(Line::AnswerLost);
    let (status, ..) = branch.send(&staff, Method::POST, "/orders", order_of(&mug, 1)).await;
    assert_eq!((status, count(&shop).await), (503, 0));
    branch.line(Line::Works);
    let (status, ..) = branch.send(&staff, Method::POST, "/orders", order_of(&mug, 1)).await;
    assert_eq!((status, count(&shop).await), (201, 1));
}

#[tokio::test]
async fn a_bug_of_the_products_function_is_ours_and_not_the_clients() {
    let shop = InProcess::open().await;
    let branch = Branch::of(&shop).await;
    let (mug, staff) = (shop.product(10).await, shop.staff().await);
    branch.line(Line::Away(Code::Internal));
    let (status, headers, problem) = branch.send(&staff, Method::POST, "/orders", order_of(&mug, 1)).await;
    assert_eq!((status, problem["type"].as_str()), (500, Some("/problems/internal")));
    assert!(!headers.contains_key("retry-after"));
    assert!(!problem.to_string().contains("10.0.0.7"), "{problem:#}");
    assert_eq!(count(&shop).await, 0);
}

#[tokio::test]
async fn a_cancellation_holds_and_the_next_change_frees_its_stock() {
    let shop = InProcess::open().await;
    let branch = Branch::of(&shop).await;
    let (mug, staff) = (shop.product(10).await, shop.staff().await);
    for code in
        [Code::Unavailable, Code::DeadlineExceeded, Code::Internal, Code::InvalidArgument, Code::Unknown]
    {
        branch.line(Line::Works);
        let order = staff.orders(&[(&mug, 2)]).await.expect(201).id();
        branch.line(Line::Away(code));
        branch.moves(&staff, &order, "cancelled", json!({ "status": "cancelled" })).await;
        assert_eq!(tasks(&shop, &order).await, [(2, "release".to_owned())]);
        assert_eq!(shop.stock(&mug).await, (10, 2, 8));
        // A change while it is still away leaves the task, once.
        branch.moves(&staff, &order, "cancelled", json!({ "note": "really" })).await;
        assert_eq!(tasks(&shop, &order).await, [(2, "release".to_owned())]);
        let seen = staff.get(&format!("/orders/{order}")).await.expect(200);
        assert_eq!((&seen["status"], &seen["version"]), (&json!("cancelled"), &json!(3)));

        branch.line(Line::Works);
        branch.moves(&staff, &order, "cancelled", json!({ "note": "really cancelled" })).await;
        assert_eq!(branch.arrived(), ["HoldStock"]);
        assert_eq!(tasks(&shop, &order).await, []);
        assert_eq!(shop.stock(&mug).await, (10, 0, 10));
        // Nothing is left for the change after it.
        branch.moves(&staff, &order, "cancelled", json!({ "note": "and done" })).await;
        assert_eq!(branch.arrived(), ["HoldStock"]);
    }
}

#[tokio::test]
async fn what_is_left_of_several_decisions_is_done_by_one_call() {
    let shop = InProcess::open().await;
    let branch = Branch::of(&shop).await;
    let (mug, pot, staff) = (shop.product(10).await, shop.product(10).await, shop.staff().await);
    let order = staff.orders(&[(&mug, 2), (&pot, 3)]).await.expect(201).id();
    staff.moves(&order, "paid").await.expect(200);
    branch.line(Line::Away(Code::Unavailable));
    branch.moves(&staff, &order, "shipped", to("shipped")).await;
    branch.moves(&staff, &order, "delivered", to("delivered")).await;
    let restock = json!({ "status": "returned", "restock": true });
    branch.moves(&staff, &order, "returned", restock).await;
    assert_eq!(tasks(&shop, &order).await, [(3, "move".to_owned()), (5, "move".to_owned())]);
    assert_eq!([shop.stock(&mug).await, shop.stock(&pot).await], [(10, 2, 8), (10, 3, 7)]);

    branch.line(Line::Works);
    branch.moves(&staff, &order, "refunded", to("refunded")).await;
    assert_eq!(branch.arrived(), ["MoveStock"]);
    assert_eq!(tasks(&shop, &order).await, []);
    // Off the hand and back again; held no more.
    assert_eq!([shop.stock(&mug).await, shop.stock(&pot).await], [(10, 0, 10), (10, 0, 10)]);
    assert_eq!(staff.get(&format!("/orders/{order}")).await["version"], 6);
}

#[tokio::test]
async fn what_is_done_while_its_answer_is_lost_is_not_done_twice() {
    let shop = InProcess::open().await;
    let branch = Branch::of(&shop).await;
    let (mug, staff) = (shop.product(10).await, shop.staff().await);
    let order = staff.orders(&[(&mug, 3)]).await.expect(201).id();
    staff.moves(&order, "paid").await.expect(200);
    branch.line(Line::AnswerLost);
    branch.moves(&staff, &order, "shipped", to("shipped")).await;
    // Only idempotent calls may be sent again, and this one is.
    assert!(branch.arrived().iter().all(|call| call == "MoveStock"));
    assert_eq!(tasks(&shop, &order).await, [(3, "move".to_owned())]);
    assert_eq!(shop.stock(&mug).await, (7, 0, 7));
    branch.moves(&staff, &order, "delivered", to("delivered")).await;
    assert_eq!(shop.stock(&mug).await, (7, 0, 7));

    let restock = json!({ "status": "returned", "restock": true });
    branch.moves(&staff, &order, "returned", restock).await;
    assert_eq!(tasks(&shop, &order).await.len(), 2);
    branch.line(Line::Works);
    branch.moves(&staff, &order, "refunded", to("refunded")).await;
    assert_eq!(tasks(&shop, &order).await, []);
    assert_eq!(shop.stock(&mug).await, (10, 0, 10));
}

#[tokio::test]
async fn a_call_with_a_lost_answer_is_repeated_and_done_once() {
    let shop = InProcess::open().await;
    let branch = Branch::of(&shop).await;
    let (mug, staff) = (shop.product(10).await, shop.staff().await);
    branch.line(Line::NextAnswerLost);
    let (status, _, order) = branch.send(&staff, Method::POST, "/orders", order_of(&mug, 3)).await;
    assert_eq!((status, branch.arrived()), (201, vec!["HoldStock".to_owned(); 2]), "{order:#}");
    assert_eq!(shop.stock(&mug).await, (10, 3, 7));

    let order = order["id"].as_str().unwrap();
    staff.moves(order, "paid").await.expect(200);
    branch.line(Line::NextAnswerLost);
    branch.moves(&staff, order, "shipped", to("shipped")).await;
    assert_eq!(branch.arrived(), ["MoveStock"; 2]);
    staff.moves(order, "delivered").await.expect(200);
    branch.line(Line::NextAnswerLost);
    let restock = json!({ "status": "returned", "restock": true });
    branch.moves(&staff, order, "returned", restock).await;
    assert_eq!(branch.arrived(), ["MoveStock"; 2]);
    assert_eq!(tasks(&shop, order).await, []);
    assert_eq!(shop.stock(&mug).await, (10, 0, 10));
}

#[tokio::test]
async fn without_the_products_function_requests_without_stock_work() {
    let shop = InProcess::open().await;
    let branch = Branch::of(&shop).await;
    let staff = shop.staff().await;
    let (_, order) = shop.order_in("placed").await;
    branch.line(Line::Away(Code::Unavailable));
    branch.moves(&staff, &order, "paid", to("paid")).await;
    branch.moves(&staff, &order, "paid", json!({ "note": "x" })).await;
    for path in ["/orders".to_owned(), format!("/orders/{order}")] {
        let (status, ..) = branch.send(&staff, Method::GET, &path, json!({})).await;
        assert_eq!(status, 200);
    }
    assert_eq!(tasks(&shop, &order).await, []);
}

#[tokio::test]
async fn a_repeated_request_has_the_prices_that_were_held() {
    let shop = InProcess::open().await;
    let branch = Branch::of(&shop).await;
    let (mug, ada) = (shop.product(10).await, shop.customer().await);
    for is_folded in [false, true] {
        let send = async || {
            let request = branch.request(&ada, Method::POST, "/orders");
            let request = request.header("idempotency-key", format!("key-{is_folded}"));
            let answer = request.json(&order_of(&mug, 2)).send().await.unwrap();
            (answer.status().as_u16(), answer.json::<serde_json::Value>().await.unwrap())
        };
        let euro = json!({ "name": "Mug", "price": { "amount": 500, "currency": "EUR" } });
        let yen = json!({ "name": "Cup", "price": { "amount": 100_000, "currency": "JPY" } });
        shop.admin().put(&format!("/products/{mug}"), euro).await.expect(200);
        branch.line(Line::AnswerLost);
        assert_eq!(send().await.0, 503);
        shop.admin().put(&format!("/products/{mug}"), yen).await.expect(200);
        if is_folded {
            shop.fold(&Clock::system()).await.unwrap();
        }
        branch.line(Line::Works);
        let (status, order) = send().await;
        assert_eq!((status, &order["items"][0]["name"]), (201, &json!("Mug")), "{order:#}");
        assert_eq!(order["total"], json!({ "amount": 1_000, "currency": "EUR" }));
    }
}

/// Holds of schema version 7 have no prices, so a replay answers those of now.
#[tokio::test]
async fn an_order_never_mixes_the_currencies_of_two_attempts() {
    let shop = InProcess::open().await;
    let branch = Branch::of(&shop).await;
    let (mug, pot, ada) = (shop.product(10).await, shop.product(10).await, shop.customer().await);
    let mut both = order_of(&mug, 1);
    both["items"] = json!([both["items"][0], { "product_id": pot, "quantity": 1 }]);
    let send = async || {
        let request = branch.request(&ada, Method::POST, "/orders").header("idempotency-key", "a-key");
        let answer = request.json(&both).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<serde_json::Value>().await.unwrap())
    };
    branch.line(Line::AnswerLost);
    assert_eq!(send().await.0, 503);
    assert_eq!(shop.stock(&pot).await, (10, 1, 9));
    let holds = shop.database.collection::<Document>("stock_holds");
    let without = holds.update_many(doc! {}, doc! { "$unset": { "items.$[].s": "" } }).await.unwrap();
    assert_eq!(without.modified_count, 1);
    let yen = json!({ "price": { "amount": 100_000, "currency": "JPY" } });
    shop.admin().put(&format!("/products/{pot}"), yen).await.expect(200);
    branch.line(Line::Works);
    let (status, problem) = send().await;
    assert_eq!((status, problem["type"].as_str()), (422, Some("/problems/validation")), "{problem:#}");
    assert_eq!(problem["errors"][0]["pointer"], "/items/1/product_id");
    // Nothing stays held, and the same request is refused again.
    for product in [&mug, &pot] {
        assert_eq!(shop.stock(product).await, (10, 0, 10));
    }
    assert_eq!(send().await.0, 422);
    let euro = json!({ "price": { "amount": 100_000, "currency": "EUR" } });
    shop.admin().put(&format!("/products/{pot}"), euro).await.expect(200);
    let (status, order) = send().await;
    assert_eq!((status, order["total"]["amount"].as_i64()), (201, Some(100_500)), "{order:#}");
}

/// An order of three units that is paid, of which two are shipped by this branch. Its ID.
async fn ship_two_of_three(shop: &InProcess, branch: &Branch, staff: &Person, product: &str) -> String {
    let order = staff.orders(&[(product, 3)]).await.expect(201);
    shop.admin().moves(&order.id(), "paid").await.expect(200);
    let units = json!({ "items": [{ "id": order["items"][0]["id"], "quantity": 2 }] });
    let path = format!("/orders/{}/fulfillments", order.id());
    let begun = Instant::now();
    let (status, _, fulfillment) = branch.send(staff, Method::POST, &path, units).await;
    assert_eq!(status, 201, "{fulfillment:#}");
    assert!(begun.elapsed() < IN_TIME, "{:?}", begun.elapsed());
    order.id()
}

#[tokio::test]
async fn a_fulfillment_stands_while_products_is_away() {
    let aging = Aging::open().await;
    let (branch, staff) = (aging.branch().await, aging.shop.staff().await);
    for code in [Code::Unavailable, Code::DeadlineExceeded, Code::Internal] {
        let mug = aging.shop.product(10).await;
        branch.line(Line::Away(code));
        let order = ship_two_of_three(&aging.shop, &branch, &staff, &mug).await;
        assert_eq!(tasks(&aging.shop, &order).await, [(3, "move".to_owned())]);
        assert_eq!(aging.stock(&mug).await, (10, 3, 7));
        aging.ages(MINUTE).await;
        let healed = aging.reconciles().await;
        assert_eq!((healed.tasks_done, healed.finished), (1, true), "{healed:?}");
        assert_eq!(tasks(&aging.shop, &order).await, []);
        assert_eq!(aging.stock(&mug).await, (8, 1, 7));
    }
}

#[tokio::test]
async fn parts_that_were_decided_without_products_move_once() {
    let shop = InProcess::open().await;
    let branch = Branch::of(&shop).await;
    let (mug, staff) = (shop.product(3).await, shop.staff().await);
    branch.line(Line::Away(Code::Unavailable));
    let order = ship_two_of_three(&shop, &branch, &staff, &mug).await;
    let path = format!("/orders/{order}");
    let seen = staff.get(&path).await.expect(200);
    let (item, parcel) = (&seen["items"][0]["id"], seen["fulfillments"][0]["id"].as_str().unwrap());
    let cancelled = json!({ "status": "cancelled" });
    let parcel = format!("{path}/fulfillments/{parcel}");
    assert_eq!(branch.send(&staff, Method::PUT, &parcel, cancelled).await.0, 200);
    let one = json!({ "items": [{ "id": item, "quantity": 1 }] });
    let cancellations = format!("{path}/cancellations");
    assert_eq!(branch.send(&staff, Method::POST, &cancellations, one).await.0, 201);
    let moves = [3_i64, 4, 5].map(|revision| (revision, "move".to_owned()));
    assert_eq!(tasks(&shop, &order).await, moves);
    assert_eq!(shop.stock(&mug).await, (3, 3, 0));

    branch.line(Line::Works);
    branch.moves(&staff, &order, "paid", json!({ "note": "x" })).await;
    assert_eq!(branch.arrived(), ["MoveStock"]);
    assert_eq!(tasks(&shop, &order).await, []);
    assert_eq!(shop.stock(&mug).await, (3, 2, 1));
}

#[tokio::test]
async fn an_order_with_an_unreadable_part_stops_no_task() {
    let aging = Aging::open().await;
    let (branch, staff, mug) = (aging.branch().await, aging.shop.staff().await, aging.shop.product(10).await);
    branch.line(Line::Away(Code::Unavailable));
    let bad = ship_two_of_three(&aging.shop, &branch, &staff, &mug).await;
    let good = ship_two_of_three(&aging.shop, &branch, &staff, &mug).await;
    let parts = aging.stored(&bad).await.unwrap().get_array("fulfillments").unwrap().clone();
    aging.sets(&bad, doc! { "fulfillments": [7] }).await;
    aging.ages(MINUTE).await;
    let healed = aging.reconciles().await;
    assert_eq!((healed.tasks_done, healed.set_aside, healed.finished), (1, 1, true), "{healed:?}");
    assert_eq!(tasks(&aging.shop, &good).await, []);
    assert_eq!(aging.stock(&mug).await, (8, 4, 4));
    // Once it is repaired it is done, too.
    aging.sets(&bad, doc! { "fulfillments": parts }).await;
    aging.ages(2 * MINUTE).await;
    assert_eq!(aging.reconciles().await.tasks_done, 1);
    assert_eq!(aging.stock(&mug).await, (6, 2, 4));
}

#[tokio::test]
async fn a_backlog_of_parts_is_done_beside_one_that_never_is() {
    let aging = Aging::open().await;
    let (branch, staff) = (aging.branch().await, aging.shop.staff().await);
    let (mug, lost) = (aging.shop.product(1_000).await, aging.shop.product(10).await);
    branch.line(Line::Away(Code::Unavailable));
    let bad = ship_two_of_three(&aging.shop, &branch, &staff, &lost).await;
    let stocks = aging.shop.database.collection::<Document>("stock");
    stocks.delete_one(doc! { "_id": stored_product(&lost) }).await.unwrap();
    let orders = (0..200).map(|_| ship_two_of_three(&aging.shop, &branch, &staff, &mug));
    let orders: Vec<String> = stream::iter(orders).buffer_unordered(8).collect().await;
    assert_eq!(aging.stock(&mug).await, (1_000, 600, 400));
    let open = doc! { "tasks.0": { "$exists": true } };
    for _ in 0..RUNS {
        aging.ages(MINUTE).await;
        aging.reconciles().await;
        if aging.count(open.clone()).await == 1 {
            break;
        }
    }
    assert_eq!(aging.count(open).await, 1);
    assert_eq!(tasks(&aging.shop, &bad).await, [(3, "move".to_owned())]);
    assert_eq!(aging.stock(&mug).await, (600, 200, 400));
    assert_eq!(orders.len(), 200);
}

/// An order of two units as an older build leaves it: shipped without a fulfillment, with a task that is not done. Its ID.
async fn shipped_by_an_older_build(shop: &InProcess, staff: &Person, product: &str) -> String {
    let order = staff.orders(&[(product, 2)]).await.expect(201).id();
    shop.admin().moves(&order, "paid").await.expect(200);
    let orders = shop.database.collection::<Document>("orders");
    let id: OrderId = order.parse().unwrap();
    let id = doc! { "_id": bson::Uuid::from_bytes(id.uuid().into_bytes()) };
    let stored = orders.find_one(id.clone()).await.unwrap().unwrap();
    let mut history = stored.get_array("history").unwrap().clone();
    let mut shipped = history[0].as_document().unwrap().clone();
    shipped.extend(doc! { "from": "paid", "to": "shipped" });
    history.push(shipped.into());
    let left = doc! {
        "status": "shipped",
        "version": 3_i64,
        "history": history,
        "tracking": { "carrier": "DHL", "number": "0034" },
        "tasks": [{ "revision": 3_i64, "kind": "ship" }],
    };
    let set = orders.update_one(id, doc! { "$set": left }).await.unwrap();
    assert_eq!(set.matched_count, 1);
    order
}

#[tokio::test]
async fn a_shipment_of_an_older_build_is_done_before_its_return() {
    let shop = InProcess::open().await;
    let branch = Branch::of(&shop).await;
    let (mug, staff) = (shop.product(10).await, shop.staff().await);
    let order = shipped_by_an_older_build(&shop, &staff, &mug).await;
    let restock = json!({ "status": "returned", "restock": true });
    branch.moves(&staff, &order, "returned", restock).await;
    assert_eq!(branch.arrived(), ["ShipStock", "MoveStock"]);
    assert_eq!(tasks(&shop, &order).await, []);
    assert_eq!(shop.stock(&mug).await, (10, 0, 10));
}

#[tokio::test]
async fn a_shipment_of_an_older_build_can_be_cancelled() {
    let shop = InProcess::open().await;
    let branch = Branch::of(&shop).await;
    let (mug, staff) = (shop.product(2).await, shop.staff().await);
    let order = shipped_by_an_older_build(&shop, &staff, &mug).await;
    let seen = staff.get(&format!("/orders/{order}")).await.expect(200);
    let parcel = seen["fulfillments"][0]["id"].as_str().unwrap();
    let path = format!("/orders/{order}/fulfillments/{parcel}");
    let (status, _, parcel) = branch.send(&staff, Method::PUT, &path, json!({ "status": "cancelled" })).await;
    assert_eq!((status, &parcel["status"]), (200, &json!("cancelled")), "{parcel:#}");
    assert_eq!(branch.arrived(), ["ShipStock", "MoveStock"]);
    assert_eq!(tasks(&shop, &order).await, []);
    assert_eq!(shop.stock(&mug).await, (2, 2, 0));
    assert_eq!(staff.get(&format!("/orders/{order}")).await["status"], "paid");
}
