//! `Idempotency-Key` on products and their stock: one request has one effect, however often it is sent.

use futures::future::join_all;
use http::{Method, header};
use serde_json::{Value, json};
use shared::values::ids::ProductId;
use tests::answer::Answer;
use tests::person::Person;
use tests::shop::{Shop, new_sku};
use tests::support::idempotency::{keyed, product, put_stock, replayed};

async fn post(person: &Person, key: &str, body: &Value) -> Answer {
    keyed(person, Method::POST, "/products", key, body).await
}

#[tokio::test]
async fn a_repeated_product_is_made_once_and_shown_as_it_stands_now() {
    let shop = Shop::open().await;
    let staff = shop.staff().await;
    let body = product(&new_sku());
    let first = post(&staff, "k-1", &body).await.expect(201);
    assert!(!replayed(&first));
    let path = format!("/products/{}", first.id());
    let again = post(&staff, "k-1", &body).await.expect(201);
    assert!(replayed(&again));
    assert_eq!((again.header("location"), &again.body), (Some(path.as_str()), &first.body));
    shop.admin().put(&path, json!({ "name": "Cup", "status": "archived" })).await.expect(200);
    shop.admin().put(&format!("{path}/stock"), json!({ "delta": 2 })).await.expect(200);
    let now = shop.admin().get(&path).await.expect(200);
    let again = post(&staff, "k-1", &body).await.expect(201);
    assert_eq!((replayed(&again), &again.body), (true, &now.body));
    // Equal values in another order are the same body.
    let text = format!(
        r#" {{"stock":5,"price":{{"currency":"EUR","amount":500}},"name":"\u004dug","sku":{}}}"#,
        body["sku"]
    );
    let request = staff.request(Method::POST, "/products").header("idempotency-key", "k-1");
    let request = request.header(header::CONTENT_TYPE, "application/json; charset=utf-8").body(text);
    assert!(replayed(&staff.answer(request).await.expect(201)));
    // Without a key it is another request.
    staff.post("/products", body).await.problem(409, "sku-taken");
}

#[tokio::test]
async fn another_body_under_a_key_is_refused_and_does_nothing() {
    let shop = Shop::open().await;
    let staff = shop.staff().await;
    let made = post(&staff, "k", &product(&new_sku())).await.expect(201);
    let other_sku = new_sku();
    for other in [
        product(&other_sku),
        json!({ "sku": other_sku, "name": "X", "price": { "amount": 1, "currency": "EUR" } }),
    ] {
        let refusal = post(&staff, "k", &other).await.problem(422, "idempotency-key-reused");
        assert!(!replayed(&refusal));
    }
    // What is wrong in itself is told first.
    post(&staff, "k", &json!({ "sku": other_sku })).await.faults_at(&["/name", "/price"]);
    post(&staff, "new", &product(&other_sku)).await.expect(201);
    let id = made.id();
    put_stock(&staff, &id, "k", json!({ "delta": 1 })).await.expect(200);
    for other in [json!({ "delta": 2 }), json!({ "on_hand": 6 }), json!({ "delta": 1, "reason": "x" })] {
        put_stock(&staff, &id, "k", other).await.problem(422, "idempotency-key-reused");
    }
    assert_eq!(shop.stock(&id).await, (6, 0, 6));
}

#[tokio::test]
async fn keys_of_other_callers_and_other_paths_are_other_keys() {
    let shop = Shop::open().await;
    let (ada, bob) = (shop.staff().await, shop.staff().await);
    let (one, two) = (shop.product(5).await, shop.product(5).await);
    let delta = || json!({ "delta": 1 });
    for (person, product) in [(&ada, &one), (&bob, &one), (&ada, &two), (&bob, &two)] {
        for round in 0..3 {
            let answer = put_stock(person, product, "the-same", delta()).await.expect(200);
            assert_eq!(replayed(&answer), round > 0);
        }
    }
    assert_eq!((shop.stock(&one).await.0, shop.stock(&two).await.0), (7, 7));
    let body = product(&new_sku());
    assert!(!replayed(&post(&ada, "the-same", &body).await.expect(201)));
    post(&bob, "the-same", &body).await.problem(409, "sku-taken");
    // Keys differ in case too.
    put_stock(&ada, &one, "The-same", delta()).await.expect(200);
    assert_eq!(shop.stock(&one).await.0, 8);
}

#[tokio::test]
async fn only_success_is_kept_and_after_an_error_a_key_is_new() {
    let shop = Shop::open().await;
    let staff = shop.staff().await;
    let sku = new_sku();
    let taken = staff.post("/products", product(&sku)).await.expect(201).id();
    post(&staff, "k", &product(&sku)).await.problem(409, "sku-taken");
    post(&staff, "k", &json!({})).await.expect(422);
    staff.put(&format!("/products/{taken}"), json!({ "sku": new_sku() })).await.expect(200);
    let made = post(&staff, "k", &product(&sku)).await.expect(201);
    assert!(!replayed(&made));
    let id = made.id();
    put_stock(&staff, &id, "k", json!({ "delta": -6 })).await.problem(409, "stock-below-reserved");
    // Even another body, as nothing was done.
    assert!(!replayed(&put_stock(&staff, &id, "k", json!({ "delta": -5 })).await.expect(200)));
    // Now it would be refused, and is answered all the same: it is done.
    let again = put_stock(&staff, &id, "k", json!({ "delta": -5 })).await.expect(200);
    assert_eq!((replayed(&again), &again["stock"]["on_hand"]), (true, &json!(0)));
}

#[tokio::test]
async fn a_key_is_kept_also_when_there_was_nothing_to_change() {
    let shop = Shop::open().await;
    let staff = shop.staff().await;
    let id = shop.product(5).await;
    let set = || json!({ "on_hand": 5 });
    let first = put_stock(&staff, &id, "k", set()).await.expect(200);
    assert_eq!((replayed(&first), &first["version"]), (false, &json!(1)));
    staff.put(&format!("/products/{id}/stock"), json!({ "on_hand": 9 })).await.expect(200);
    let late = put_stock(&staff, &id, "k", set()).await.expect(200);
    assert_eq!((replayed(&late), &late["stock"]["on_hand"]), (true, &json!(9)));
    assert_eq!(shop.stock(&id).await, (9, 0, 9));
}

#[tokio::test]
async fn of_fifty_twins_of_a_product_one_makes_it() {
    let shop = Shop::open().await;
    let staff = shop.staff().await;
    for stock in [0, 5] {
        let mut body = product(&new_sku());
        body["stock"] = json!(stock);
        let key = format!("k{stock}");
        let answers = join_all((0..50).map(|_| post(&staff, &key, &body))).await;
        let answers: Vec<Answer> = answers.into_iter().map(|answer| answer.expect(201)).collect();
        assert_eq!(answers.iter().filter(|answer| !replayed(answer)).count(), 1);
        assert!(answers.iter().all(|answer| answer.body == answers[0].body));
        let ledger = format!("/products/{}/stock/movements", answers[0].id());
        let entries = staff.get(&ledger).await.expect(200).data().len();
        assert_eq!(entries, usize::from(stock > 0));
    }
}

#[tokio::test]
async fn of_fifty_twins_of_a_count_one_changes_even_scarce_stock() {
    let shop = Shop::open().await;
    let staff = shop.staff().await;
    for (on_hand, left) in [(3, 0), (1_000, 997)] {
        let id = shop.product(on_hand).await;
        let answers = join_all((0..50).map(|_| put_stock(&staff, &id, "k", json!({ "delta": -3 })))).await;
        let answers: Vec<Answer> = answers.into_iter().map(|answer| answer.expect(200)).collect();
        assert_eq!(answers.iter().filter(|answer| !replayed(answer)).count(), 1);
        assert!(answers.iter().all(|answer| answer["stock"]["on_hand"] == left));
        assert_eq!(shop.stock(&id).await, (left, 0, left));
        let ledger = staff.get(&format!("/products/{id}/stock/movements")).await.expect(200);
        assert_eq!(ledger.data().len(), 2);
    }
}

#[tokio::test]
async fn twins_with_other_bodies_under_one_key_have_one_effect() {
    let shop = Shop::open().await;
    let staff = shop.staff().await;
    let id = shop.product(100).await;
    let answers =
        join_all((1..=20).map(|place| put_stock(&staff, &id, "k", json!({ "delta": place })))).await;
    let done = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(done, 1);
    for answer in answers.into_iter().filter(|answer| answer.status != 200) {
        answer.problem(422, "idempotency-key-reused");
    }
    let ledger = staff.get(&format!("/products/{id}/stock/movements")).await.expect(200);
    assert_eq!(ledger.data().len(), 2);
}

#[tokio::test]
async fn permission_and_existence_are_checked_before_the_key() {
    let shop = Shop::open().await;
    let (ada, staff) = (shop.customer().await, shop.staff().await);
    let id = shop.product(5).await;
    put_stock(&staff, &id, "k", json!({ "delta": 1 })).await.expect(200);
    put_stock(&ada, &id, "k", json!({ "delta": 1 })).await.problem(403, "forbidden");
    put_stock(&shop.anyone(), &id, "k", json!({ "delta": 1 })).await.problem(401, "unauthenticated");
    post(&ada, "k", &product(&new_sku())).await.problem(403, "forbidden");
    for unknown in [ProductId::new().to_string(), "x".to_owned()] {
        put_stock(&staff, &unknown, "k", json!({ "delta": 1 })).await.problem(404, "not-found");
    }
    // A key that is none, where keys are looked at and where they are not.
    for bad in ["", "a b", &"x".repeat(256)] {
        post(&staff, bad, &product(&new_sku())).await.problem(400, "malformed-request");
        put_stock(&staff, &id, bad, json!({ "delta": 1 })).await.problem(400, "malformed-request");
        let path = format!("/products/{id}");
        keyed(&staff, Method::PUT, &path, bad, &json!({ "name": "Cup" })).await.expect(200);
        let answer = keyed(&staff, Method::GET, &path, bad, &json!({})).await.expect(200);
        assert!(!replayed(&answer));
    }
    let long = "k".repeat(255);
    put_stock(&staff, &id, &long, json!({ "delta": 1 })).await.expect(200);
    assert!(replayed(&put_stock(&staff, &id, &long, json!({ "delta": 1 })).await.expect(200)));
    assert_eq!(shop.stock(&id).await, (7, 0, 7));
}
