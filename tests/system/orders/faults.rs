//! Orders while the products function is away or answers with errors.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use http::Method;
use mongodb::bson::{self, Document, doc};
use serde_json::json;
use shared::values::clock::Clock;
use shared::values::ids::OrderId;
use tests::in_process::InProcess;
use tests::person::to;
use tests::shop::order_of;
use tonic::Code;

use crate::support::branch::{Branch, Line};

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
async fn what_is_left_is_done_in_the_order_of_the_decisions() {
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
    assert_eq!(tasks(&shop, &order).await, [(3, "ship".to_owned()), (5, "restock".to_owned())]);
    assert_eq!([shop.stock(&mug).await, shop.stock(&pot).await], [(10, 2, 8), (10, 3, 7)]);

    branch.line(Line::Works);
    branch.moves(&staff, &order, "refunded", to("refunded")).await;
    assert_eq!(branch.arrived(), ["ShipStock", "RestockReturned"]);
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
    assert!(branch.arrived().iter().all(|call| call == "ShipStock"));
    assert_eq!(tasks(&shop, &order).await, [(3, "ship".to_owned())]);
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
    assert_eq!(branch.arrived(), ["ShipStock"; 2]);
    staff.moves(order, "delivered").await.expect(200);
    branch.line(Line::NextAnswerLost);
    let restock = json!({ "status": "returned", "restock": true });
    branch.moves(&staff, order, "returned", restock).await;
    assert_eq!(branch.arrived(), ["RestockReturned"; 2]);
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
