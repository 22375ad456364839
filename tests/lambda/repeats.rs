//! Events that run twice, as Lambda's own retries and a host that has new credentials run them: one effect.

use http::Method;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::lambda::Fault;
use tests::on_lambda::OnLambda;
use tests::person::{PASSWORD, Person, address};
use tests::shop::{new_email, new_sku};

/// Sends a request without a key, whose event runs twice.
async fn twice(shop: &OnLambda, person: &Person, request: (&str, Method, &str), body: Value) -> Value {
    let (function, method, path) = request;
    let rule = shop.lambda.on_request(function, method.clone(), path).once(Fault::Repeat(2));
    let answer = person.send(method, path, Some(body)).await;
    assert!(answer.status.is_success(), "{answer:?}");
    assert_eq!(answer.header("idempotency-replayed"), None);
    assert_eq!(rule.struck(), 1);
    answer.body
}

async fn count(shop: &OnLambda, collection: &str, filter: Document) -> u64 {
    shop.database.collection::<Document>(collection).count_documents(filter).await.unwrap()
}

#[tokio::test]
async fn an_order_whose_event_runs_twice_is_one_order() {
    let shop = OnLambda::open().await;
    let (hat, mug, ada) = (shop.product(10).await, shop.product(10).await, shop.customer().await);
    for (place, items) in [
        json!([{ "product_id": hat, "quantity": 2 }]),
        json!([{ "product_id": hat, "quantity": 2 }, { "product_id": mug, "quantity": 1 }]),
    ]
    .into_iter()
    .enumerate()
    {
        let body = json!({ "items": items, "shipping_address": address() });
        let order = twice(&shop, &ada, ("orders", Method::POST, "/orders"), body).await;
        let orders = ada.get("/orders").await.expect(200);
        assert_eq!(orders.data().len(), place + 1);
        assert_eq!(orders.data()[0]["id"], order["id"]);
    }
    assert_eq!(shop.stock(&hat).await, (10, 4, 6));
    assert_eq!(shop.stock(&mug).await, (10, 1, 9));
}

#[tokio::test]
async fn an_order_that_ended_before_its_event_runs_again_is_the_only_one() {
    let shop = OnLambda::open().await;
    let (hat, ada) = (shop.product(10).await, shop.customer().await);
    let twice = shop.lambda.on_request("orders", Method::POST, "/orders").once(Fault::Repeat(2));
    let calls = shop.lambda.on_call("products", "HoldStock").hold();
    let lines = [(hat.as_str(), 2)];
    let placing = ada.orders(&lines);
    let meanwhile = async {
        calls.next().await.deliver().await;
        // The second run waits to hold the stock, while the customer cancels what the first one has placed.
        let second = calls.next().await;
        let placed = ada.get("/orders").await.expect(200).data()[0]["id"].as_str().unwrap().to_owned();
        let cancel = async {
            calls.next().await.deliver().await;
            calls.lift();
            second.deliver().await;
        };
        let (cancelled, ()) = futures::join!(ada.moves(&placed, "cancelled"), cancel);
        cancelled.expect(200);
    };
    let (placed, ()) = futures::join!(placing, meanwhile);
    placed.expect(201);
    assert_eq!(twice.struck(), 1);
    assert_eq!(ada.get("/orders").await.expect(200).data().len(), 1);
    assert_eq!(shop.stock(&hat).await, (10, 0, 10));
}

#[tokio::test]
async fn a_count_whose_event_runs_twice_moves_the_stock_once() {
    let shop = OnLambda::open().await;
    let product = shop.product(100).await;
    let path = format!("/products/{product}/stock");
    for (delta, on_hand) in [(10, 110), (-110, 0)] {
        twice(&shop, &shop.admin(), ("products", Method::PUT, &path), json!({ "delta": delta })).await;
        assert_eq!(shop.stock(&product).await.0, on_hand);
    }
}

#[tokio::test]
async fn a_product_and_a_user_whose_event_runs_twice_are_one() {
    let shop = OnLambda::open().await;
    let price = json!({ "amount": 500, "currency": "EUR" });
    for stock in [json!(null), json!(7)] {
        let body = json!({ "sku": new_sku(), "name": "Mug", "price": price, "stock": stock });
        twice(&shop, &shop.admin(), ("products", Method::POST, "/products"), body.clone()).await;
        assert_eq!(count(&shop, "products", doc! { "sku": body["sku"].as_str() }).await, 1);
    }
    let email = new_email();
    let body = json!({ "email": email, "password": PASSWORD, "name": "Ada" });
    twice(&shop, &shop.anyone(), ("users", Method::POST, "/users"), body).await;
    assert_eq!(count(&shop, "users", doc! { "email": &email }).await, 1);
    shop.anyone().signs_in(&email, PASSWORD).await;
}

#[tokio::test]
async fn two_requests_with_one_request_id_are_two_orders() {
    let shop = OnLambda::open().await;
    let (hat, ada) = (shop.product(10).await, shop.customer().await);
    let body = json!({ "items": [{ "product_id": hat, "quantity": 1 }], "shipping_address": address() });
    for _ in 0..2 {
        // A client's own request ID is for logs alone.
        let request = ada.request(Method::POST, "/orders").header("x-request-id", "the-same").json(&body);
        ada.outcome(request).await.unwrap().expect(201);
    }
    assert_eq!(ada.get("/orders").await.expect(200).data().len(), 2);
}
