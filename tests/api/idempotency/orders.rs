//! `Idempotency-Key` on `POST /orders`: a repeated or concurrent request has one effect.

use std::collections::HashSet;

use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};
use tests::answer::Answer;
use tests::person::{PASSWORD, Person};
use tests::shop::{Shop, order_of};
use uuid::Uuid;

async fn place(person: &Person, key: &str, body: &Value) -> Answer {
    person.send_keyed(Method::POST, "/orders", key, body).await
}

fn new_key() -> String {
    Uuid::new_v4().to_string()
}

#[tokio::test]
async fn a_repeated_request_gets_the_same_order_as_it_is_now() {
    let shop = Shop::open().await;
    let (ada, mug, key) = (shop.customer().await, shop.product(10).await, new_key());
    let first = place(&ada, &key, &order_of(&mug, 3)).await.expect(201);
    assert!(!first.is_replayed());
    // Equal as a JSON value is equal: the order of keys and white space do not matter.
    let request = ada.request(Method::POST, "/orders").header("idempotency-key", &key);
    let address = json!({ "country": "DE", "postal_code": "53111", "city": "Bonn", "line1": "1 Way" });
    let body = format!(
        "{{ \"shipping_address\": {address},\n \"items\": [{{\"quantity\": 3, \"product_id\": \"{mug}\"}}]}}"
    );
    let again = ada.answer(request.header("content-type", "application/json").body(body)).await.expect(201);
    assert!(again.is_replayed());
    assert_eq!(
        (again.body, again.headers.get("location")),
        (first.body.clone(), first.headers.get("location"))
    );
    assert_eq!(shop.stock(&mug).await, (10, 3, 7));

    shop.admin().moves(&first.id(), "paid").await.expect(200);
    let again = place(&ada, &key, &order_of(&mug, 3)).await.expect(201);
    assert!(again.is_replayed());
    assert_eq!((&again["status"], &again["version"]), (&json!("paid"), &json!(2)));
}

#[tokio::test]
async fn another_body_under_the_key_is_refused_and_holds_nothing() {
    let shop = Shop::open().await;
    let (ada, mug, key) = (shop.customer().await, shop.product(10).await, new_key());
    place(&ada, &key, &order_of(&mug, 3)).await.expect(201);
    for other in [order_of(&mug, 4), {
        let mut body = order_of(&mug, 3);
        body["note"] = Value::Null;
        body
    }] {
        place(&ada, &key, &other).await.problem(422, "idempotency-key-reused");
    }
    assert_eq!(shop.stock(&mug).await, (10, 3, 7));
    assert_eq!(ada.get("/orders").await.data().len(), 1);
}

#[tokio::test]
async fn keys_of_different_callers_never_meet() {
    let shop = Shop::open().await;
    let (mug, key) = (shop.product(10).await, new_key());
    let (ada, bob) = (shop.customer().await, shop.customer().await);
    let of_ada = place(&ada, &key, &order_of(&mug, 1)).await.expect(201);
    let of_bob = place(&bob, &key, &order_of(&mug, 2)).await.expect(201);
    assert_ne!(of_ada.id(), of_bob.id());
    assert!(!of_bob.is_replayed());
}

#[tokio::test]
async fn a_key_lasts_longer_than_an_access_token() {
    let shop = Shop::open().await;
    let (ada, mug, key) = (shop.customer().await, shop.product(10).await, new_key());
    let first = place(&ada, &key, &order_of(&mug, 1)).await.expect(201);
    let later = shop.anyone().signs_in(&ada.email, PASSWORD).await;
    assert_eq!(place(&later, &key, &order_of(&mug, 1)).await.expect(201).id(), first.id());
}

#[tokio::test]
async fn after_an_error_the_same_key_runs_anew() {
    let shop = Shop::open().await;
    let (ada, mug, key) = (shop.customer().await, shop.product(1).await, new_key());
    let body = order_of(&mug, 2);
    for _ in 0..3 {
        place(&ada, &key, &body).await.problem(409, "insufficient-stock");
    }
    shop.admin().put(&format!("/products/{mug}/stock"), json!({ "on_hand": 2 })).await.expect(200);
    let placed = place(&ada, &key, &body).await.expect(201);
    assert!(!placed.is_replayed());
    assert!(place(&ada, &key, &body).await.expect(201).is_replayed());
    assert_eq!(shop.stock(&mug).await, (2, 2, 0));
}

#[tokio::test]
async fn a_request_that_failed_after_its_hold_may_be_repeated() {
    let shop = Shop::open().await;
    let gold = json!({ "stock": 20_000, "price": { "amount": 1_000_000_000_000_i64, "currency": "EUR" } });
    let gold = shop.product_with(gold).await.id();
    let (ada, key) = (shop.customer().await, new_key());
    let body = order_of(&gold, 2_000);
    for _ in 0..5 {
        place(&ada, &key, &body).await.faults_at(&["/items"]);
        assert_eq!(shop.stock(&gold).await, (20_000, 0, 20_000));
    }
    // Once it is cheap enough the same request is placed.
    let cheaper = json!({ "price": { "amount": 1, "currency": "EUR" } });
    shop.admin().put(&format!("/products/{gold}"), cheaper).await.expect(200);
    assert_eq!(place(&ada, &key, &body).await.expect(201)["total"]["amount"], 2_000);
    assert_eq!(shop.stock(&gold).await, (20_000, 2_000, 18_000));
}

#[tokio::test]
async fn of_fifty_twins_one_places_the_order_and_all_get_it() {
    let shop = Shop::open().await;
    // Stock for one of them alone, in two lines.
    let (mug, pot) = (shop.product(2).await, shop.product(3).await);
    let (ada, key) = (shop.customer().await, new_key());
    let mut body = order_of(&mug, 2);
    body["items"] = json!([{ "product_id": mug, "quantity": 2 }, { "product_id": pot, "quantity": 3 }]);
    let answers = join_all((0..50).map(|_| place(&ada, &key, &body))).await;
    let ids: HashSet<String> = answers.into_iter().map(|answer| answer.expect(201).id()).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!((shop.stock(&mug).await, shop.stock(&pot).await), ((2, 2, 0), (3, 3, 0)));
    assert_eq!(ada.get("/orders").await.data().len(), 1);
}

#[tokio::test]
async fn of_two_bodies_under_one_key_one_is_placed_and_one_holds_none() {
    let shop = Shop::open().await;
    let ada = shop.customer().await;
    for _ in 0..10 {
        let (mug, key) = (shop.product(100).await, new_key());
        let bodies: Vec<Value> = (0..20).map(|place| order_of(&mug, 1 + place % 2)).collect();
        let answers = join_all(bodies.iter().map(|body| place(&ada, &key, body))).await;
        let (placed, refused): (Vec<_>, Vec<_>) =
            answers.into_iter().partition(|answer| answer.status == 201);
        let ids: HashSet<String> = placed.iter().map(Answer::id).collect();
        assert_eq!((ids.len(), placed.len(), refused.len()), (1, 10, 10));
        let quantity = placed[0]["items"][0]["quantity"].as_i64().unwrap_or(0);
        for answer in refused {
            answer.problem(422, "idempotency-key-reused");
        }
        assert_eq!(shop.stock(&mug).await, (100, quantity, 100 - quantity));
    }
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_before_the_body_is_looked_at() {
    let shop = Shop::open().await;
    let (ada, mug) = (shop.customer().await, shop.product(1).await);
    let long = "x".repeat(256);
    for bad in ["a b", "\t", long.as_str()] {
        place(&ada, bad, &json!({})).await.problem(400, "malformed-request");
    }
    // Where no key is taken it is ignored, whatever it is.
    let ignored = ada.request(Method::GET, "/orders").header("idempotency-key", "a b");
    ada.answer(ignored).await.expect(200);
    let empty = ada.request(Method::POST, "/orders").header("idempotency-key", "");
    ada.answer(empty.json(&order_of(&mug, 1))).await.problem(400, "malformed-request");
    assert_eq!(shop.stock(&mug).await, (1, 0, 1));
}

#[tokio::test]
async fn who_may_is_asked_before_the_key_and_what_needs_data_after_it() {
    let shop = Shop::open().await;
    let (ada, bob, staff) = (shop.customer().await, shop.customer().await, shop.staff().await);
    let (mug, key) = (shop.product(5).await, new_key());
    let mut for_bob = order_of(&mug, 1);
    for_bob["user_id"] = json!(bob.id);
    place(&ada, &key, &for_bob).await.problem(403, "forbidden");
    let placed = place(&staff, &key, &for_bob).await.expect(201);
    assert_eq!(placed["user_id"], bob.id);
    // Bob is gone by now, and the answer is what it was.
    shop.admin().delete(&format!("/users/{}", bob.id)).await.expect(204);
    assert!(place(&staff, &key, &for_bob).await.expect(201).is_replayed());
    place(&staff, &new_key(), &for_bob).await.faults_at(&["/user_id"]);
}
