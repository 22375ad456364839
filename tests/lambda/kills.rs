//! Functions that are killed, calls that come twice or late, answers that are lost: nothing is sold twice.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;
use tests::answer::Answer;
use tests::lambda::Fault;
use tests::on_lambda::OnLambda;
use tests::person::Person;
use tests::shop::order_of;

/// Sooner than the functions' own limits: what is gone is not waited for.
const IN_TIME: Duration = Duration::from_secs(10);

/// An order in a bad moment.
async fn orders(person: &Person, product: &str) -> Result<Answer, String> {
    let request = person.request(Method::POST, "/orders").json(&order_of(product, 1));
    person.outcome(request).await
}

/// Every piece on hand can be ordered once: by the orders there are, and the holds that a crash has left behind.
async fn nothing_is_sold_twice(shop: &OnLambda, person: &Person, product: &str, on_hand: usize) {
    for _ in 0..=on_hand {
        orders(person, product).await.unwrap();
    }
    orders(person, product).await.unwrap().problem(409, "insufficient-stock");
    let placed = person.get("/orders?limit=100").await.expect(200).data().len();
    assert!(placed <= on_hand, "{placed} orders for {on_hand} pieces");
    let (there, reserved, available) = shop.stock(product).await;
    let pieces = i64::try_from(on_hand).unwrap();
    assert_eq!((there, reserved, available), (pieces, pieces, 0));
}

#[tokio::test]
async fn killing_products_amid_an_order_is_a_503_and_the_next_works() {
    let shop = OnLambda::open().await;
    let ada = shop.customer().await;
    // Before its work nothing is held; after it the piece is, once, however often the call was made.
    for (fault, held) in [(Fault::KillBefore, 0), (Fault::KillAfter, 1)] {
        let product = shop.product(3).await;
        let killed = shop.lambda.on_call("products", "HoldStock").always(fault);
        let begun = Instant::now();
        let answer = orders(&ada, &product).await.unwrap();
        assert!(begun.elapsed() < IN_TIME, "{fault:?}: {:?}", begun.elapsed());
        answer.problem(503, "unavailable");
        assert!(killed.struck() > 0, "{fault:?}");
        killed.lift();
        assert_eq!(shop.stock(&product).await.1, held, "{fault:?}");
        let order = orders(&ada, &product).await.unwrap().expect(201);
        assert_eq!(order["status"], "placed");
        assert_eq!(shop.stock(&product).await.1, held + 1, "{fault:?}");
    }
}

#[tokio::test]
async fn killing_orders_amid_an_order_is_a_500_and_the_next_works() {
    let shop = OnLambda::open().await;
    let (ada, product) = (shop.customer().await, shop.product(2).await);
    let calls = shop.lambda.on_call("products", "HoldStock").hold();
    let crash = async {
        let mut call = calls.next().await;
        calls.lift();
        shop.lambda.environments("orders")[0].kill().await;
        // Late: the one who asked is gone. The hold that this leaves is of no order.
        call.caller_gives_up().await;
        call.deliver().await;
    };
    let (answer, ()) = tokio::join!(orders(&ada, &product), crash);
    let answer = answer.unwrap();
    assert_eq!(answer.status, 500);
    assert_eq!(answer.body, json!({ "message": "Internal Server Error" }));
    assert_eq!(shop.stock(&product).await, (2, 1, 1), "held at most once");
    nothing_is_sold_twice(&shop, &ada, &product, 2).await;
}

#[tokio::test]
async fn a_hold_that_arrives_after_its_order_died_counts_once() {
    let shop = OnLambda::open().await;
    let (ada, product) = (shop.customer().await, shop.product(2).await);
    let mut late = shop.lambda.on_call("products", "HoldStock").once(Fault::Late);
    let crash = async {
        late.has_struck(1).await;
        assert_eq!(shop.stock(&product).await, (2, 0, 2), "not done while its caller waits");
        shop.lambda.environments("orders")[0].kill().await;
    };
    let (answer, ()) = tokio::join!(orders(&ada, &product), crash);
    assert_eq!(answer.unwrap().status, 500);
    let arrives = async { while shop.stock(&product).await != (2, 1, 1) {} };
    tokio::time::timeout(IN_TIME, arrives).await.expect("it arrives");
    nothing_is_sold_twice(&shop, &ada, &product, 2).await;
}

#[tokio::test]
async fn whenever_orders_or_products_is_killed_nothing_is_sold_twice() {
    let shop = OnLambda::open().await;
    for millis in [0, 1, 2, 4, 8, 16] {
        let (ada, product) = (shop.customer().await, shop.product(3).await);
        let fault = Fault::KillAt(Duration::from_millis(millis));
        let killed = [
            shop.lambda.on_request("orders", Method::POST, "/orders").once(fault),
            shop.lambda.on_call("products", "HoldStock").once(fault),
        ];
        for _ in 0..2 {
            let answer = orders(&ada, &product).await.unwrap();
            assert!(matches!(answer.status.as_u16(), 201 | 500 | 503), "after {millis} ms: {answer:?}");
        }
        assert_eq!(killed[0].struck(), 1);
        killed[1].lift();
        nothing_is_sold_twice(&shop, &ada, &product, 3).await;
    }
}

#[tokio::test]
async fn orders_killed_before_or_after_its_work_placed_none_or_one() {
    let shop = OnLambda::open().await;
    for (fault, placed) in [(Fault::KillBefore, 0), (Fault::KillAfter, 1)] {
        let (ada, product) = (shop.customer().await, shop.product(2).await);
        let mut killed = shop.lambda.on_request("orders", Method::POST, "/orders").once(fault);
        assert_eq!(orders(&ada, &product).await.unwrap().status, 500, "{fault:?}");
        killed.has_struck(1).await;
        let there = ada.get("/orders").await.expect(200);
        assert_eq!(there.data().len(), placed, "{fault:?}");
        nothing_is_sold_twice(&shop, &ada, &product, 2).await;
    }
}

#[tokio::test]
async fn an_order_with_a_lost_answer_exists_and_is_held_once() {
    let shop = OnLambda::open().await;
    let (ada, product) = (shop.customer().await, shop.product(2).await);
    shop.lambda.on_request("orders", Method::POST, "/orders").once(Fault::DropAnswer);
    orders(&ada, &product).await.unwrap_err();
    assert_eq!(ada.get("/orders").await.expect(200).data().len(), 1);
    assert_eq!(shop.stock(&product).await, (2, 1, 1));

    shop.lambda.on_request("orders", Method::POST, "/orders").once(Fault::DropRequest);
    orders(&ada, &product).await.unwrap_err();
    assert_eq!(ada.get("/orders").await.expect(200).data().len(), 1, "nothing was done");
}

#[tokio::test]
async fn a_lost_answer_to_a_hold_places_no_order_without_stock() {
    let shop = OnLambda::open().await;
    let (ada, product) = (shop.customer().await, shop.product(2).await);
    let lost = shop.lambda.on_call("products", "HoldStock").always(Fault::DropAnswer);
    orders(&ada, &product).await.unwrap().problem(503, "unavailable");
    assert!(lost.struck() > 0);
    lost.lift();
    assert_eq!(shop.stock(&product).await, (2, 1, 1), "the hold of an order that is not there");
    nothing_is_sold_twice(&shop, &ada, &product, 2).await;
}

#[tokio::test]
async fn a_call_that_arrives_thrice_holds_ships_and_restocks_once() {
    let shop = OnLambda::open().await;
    let (ada, product) = (shop.customer().await, shop.product(9).await);
    let held = shop.lambda.on_call("products", "HoldStock").once(Fault::Repeat(3));
    let moved = shop.lambda.on_call("products", "MoveStock").times(4, Fault::Repeat(3));
    let order = ada.orders(&[(&product, 2)]).await.expect(201);
    assert_eq!(shop.stock(&product).await, (9, 2, 7));
    let (admin, path) = (shop.admin(), format!("/orders/{}", order.id()));
    admin.moves(&order.id(), "paid").await.expect(200);
    let one = json!({ "items": [{ "id": order["items"][0]["id"], "quantity": 1 }] });
    let parcel = admin.post(&format!("{path}/fulfillments"), one).await.expect(201).id();
    assert_eq!(shop.stock(&product).await, (8, 1, 7));
    let cancelled = json!({ "status": "cancelled" });
    admin.put(&format!("{path}/fulfillments/{parcel}"), cancelled).await.expect(200);
    assert_eq!(shop.stock(&product).await, (9, 2, 7));
    admin.moves(&order.id(), "shipped").await.expect(200);
    assert_eq!(shop.stock(&product).await, (7, 0, 7));
    admin.moves(&order.id(), "delivered").await.expect(200);
    admin.put(&path, json!({ "status": "returned", "restock": true })).await.expect(200);
    assert_eq!(shop.stock(&product).await, (9, 0, 9));
    assert_eq!((held.struck(), moved.struck()), (1, 4));
}

#[tokio::test]
async fn a_shipment_that_arrives_after_its_cancellation_moves_nothing() {
    let shop = OnLambda::open().await;
    let (admin, product) = (shop.admin(), shop.product(9).await);
    let order = admin.orders(&[(&product, 2)]).await.expect(201);
    admin.moves(&order.id(), "paid").await.expect(200);
    let path = format!("/orders/{}/fulfillments", order.id());
    let one = json!({ "items": [{ "id": order["items"][0]["id"], "quantity": 1 }] });
    let ship = || {
        let request = admin.request(Method::POST, &path).header("idempotency-key", "a");
        admin.outcome(request.json(&one))
    };
    let calls = shop.lambda.on_call("products", "MoveStock").hold();
    let crash = async {
        let mut call = calls.next().await;
        calls.lift();
        shop.lambda.environments("orders")[0].kill().await;
        call.caller_gives_up().await;
        call
    };
    let (answer, late) = tokio::join!(ship(), crash);
    assert_eq!(answer.unwrap().status, 500);
    assert_eq!(shop.stock(&product).await, (9, 2, 7), "shipped, and its task is left");
    let parcel = ship().await.unwrap().expect(201).id();
    assert_eq!(shop.stock(&product).await, (8, 1, 7));
    admin.put(&format!("{path}/{parcel}"), json!({ "status": "cancelled" })).await.expect(200);
    assert_eq!(shop.stock(&product).await, (9, 2, 7));
    late.deliver().await;
    assert_eq!(shop.stock(&product).await, (9, 2, 7), "held by this order, and by no other");
    let order = admin.get(&format!("/orders/{}", order.id())).await.expect(200);
    assert_eq!(order["fulfillments"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn holds_that_overtake_each_other_are_each_for_their_own_order() {
    let shop = OnLambda::open().await;
    let product = shop.product(1).await;
    let (ada, grace) = (shop.customer().await, shop.customer().await);
    let calls = shop.lambda.on_call("products", "HoldStock").hold();
    let overtake = async {
        let (first, second) = (calls.next().await, calls.next().await);
        calls.lift();
        second.deliver().await;
        first.deliver().await;
    };
    let (one, other, ()) = tokio::join!(orders(&ada, &product), orders(&grace, &product), overtake);
    let (one, other) = (one.unwrap(), other.unwrap());
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409], "{one:?} {other:?}");
    assert_eq!(shop.stock(&product).await, (1, 1, 0));
}

#[tokio::test]
async fn a_function_with_too_many_calls_is_a_503_to_repeat() {
    let shop = OnLambda::open().await;
    let (ada, product) = (shop.customer().await, shop.product(1).await);
    let throttled = shop.lambda.on_call("products", "HoldStock").always(Fault::Throttle);
    let answer = orders(&ada, &product).await.unwrap().problem(503, "unavailable");
    assert!(answer.header("retry-after").is_some());
    throttled.lift();
    orders(&ada, &product).await.unwrap().expect(201);
}

#[tokio::test]
async fn a_lost_release_stops_no_cancellation_and_is_made_up_for() {
    let shop = OnLambda::open().await;
    let (ada, product) = (shop.customer().await, shop.product(1).await);
    let order = orders(&ada, &product).await.unwrap().expect(201).id();
    let away = shop.lambda.on_call("products", "HoldStock").always(Fault::KillBefore);
    let cancelled = ada.moves(&order, "cancelled").await.expect(200);
    assert_eq!(cancelled["status"], "cancelled");
    assert!(away.struck() > 0);
    away.lift();
    assert_eq!(shop.stock(&product).await, (1, 1, 0));
    ada.moves(&order, "cancelled").await.expect(200);
    assert_eq!(shop.stock(&product).await, (1, 0, 1), "made up for by the next change");
}
