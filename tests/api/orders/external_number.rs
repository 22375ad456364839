//! Numbers of orders at other systems: each is of one order.

use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};
use tests::shop::{Shop, order_of};
use tests::support::idempotency::{keyed, replayed};
use uuid::Uuid;

use super::input::{NO_STRINGS, send, with};

/// A number that no other order has.
fn new_number() -> String {
    format!("EXT/{}", Uuid::new_v4().simple())
}

/// An order of one unit with this number.
fn order_with(product: &str, number: &str) -> Value {
    let mut order = order_of(product, 1);
    order["external_number"] = json!(number);
    order
}

#[tokio::test]
async fn an_external_number_is_of_one_order() {
    let shop = Shop::open().await;
    let mug = shop.product(10).await;
    let (ada, bob, staff) = (shop.customer().await, shop.customer().await, shop.staff().await);
    let order = order_with(&mug, &new_number());
    let placed = ada.post("/orders", order.clone()).await.expect(201);
    let path = format!("/orders/{}", placed.id());
    for seen in [&placed, &ada.get(&path).await.expect(200), &staff.get(&path).await.expect(200)] {
        assert_eq!(seen["external_number"], order["external_number"]);
    }
    for person in [&ada, &bob, &staff] {
        let refused = person.post("/orders", order.clone()).await.problem(409, "external-number-taken");
        assert!(!refused.text("detail").contains("order_"), "{:#}", refused.body);
    }
    // Nothing more is held, and it cannot be changed.
    assert_eq!(shop.stock(&mug).await, (10, 1, 9));
    staff.put(&path, json!({ "external_number": new_number() })).await.faults_at(&["/external_number"]);
    ada.post("/orders", order_with(&mug, &new_number())).await.expect(201);
}

#[tokio::test]
async fn a_repeat_under_a_key_meets_its_own_external_number() {
    let shop = Shop::open().await;
    let (mug, ada) = (shop.product(10).await, shop.customer().await);
    let order = order_with(&mug, &new_number());
    let first = keyed(&ada, Method::POST, "/orders", "k", &order).await.expect(201);
    let again = keyed(&ada, Method::POST, "/orders", "k", &order).await.expect(201);
    assert_eq!((replayed(&first), replayed(&again), &again.body), (false, true, &first.body));
    // Under another key it is another order, however often it is sent.
    for _ in 0..2 {
        let refused = keyed(&ada, Method::POST, "/orders", "other", &order).await;
        refused.problem(409, "external-number-taken");
    }
    // After an error the key runs anew.
    let mut free = order;
    free["external_number"] = json!(new_number());
    assert!(!replayed(&keyed(&ada, Method::POST, "/orders", "other", &free).await.expect(201)));
    assert_eq!(shop.stock(&mug).await, (10, 2, 8));
}

#[tokio::test]
async fn of_orders_at_once_with_one_external_number_one_is_placed() {
    let shop = Shop::open().await;
    let (mug, ada) = (shop.product(100).await, shop.customer().await);
    let order = order_with(&mug, &new_number());
    let mut placed = 0;
    for answer in join_all((0..8).map(|_| ada.post("/orders", order.clone()))).await {
        if answer.status == 201 {
            placed += 1;
        } else {
            answer.problem(409, "external-number-taken");
        }
    }
    assert_eq!(placed, 1);
    assert_eq!(shop.stock(&mug).await, (100, 1, 99));

    // Under one key they are one request.
    let order = order_with(&mug, &new_number());
    let twins = join_all((0..8).map(|_| keyed(&ada, Method::POST, "/orders", "k", &order))).await;
    let mut ids: Vec<String> = twins.into_iter().map(|twin| twin.expect(201).id()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(shop.stock(&mug).await, (100, 2, 98));
}

#[tokio::test]
async fn an_external_number_has_up_to_64_visible_ascii_characters() {
    let shop = Shop::open().await;
    let (mug, ada) = (shop.product(10).await, shop.customer().await);
    let number = new_number();
    let longest = format!("!\"#$%&'()*:;<=>?@[\\]^`{{|}}~{number}");
    let longest = format!("{longest:~<64}");
    assert_eq!(longest.len(), 64);
    let placed = ada.post("/orders", order_with(&mug, &longest)).await.expect(201);
    assert_eq!(placed.text("external_number"), longest);

    let good = order_of(&mug, 1);
    let texts = ["", " ", "a b", " a", "a ", "a\tb", "a\n", "a\0", "a\u{7f}", "ä", "４２", "☕", "a\u{200b}"];
    let texts =
        texts.iter().map(|text| json!(text).to_string()).chain([json!(format!("{longest}~")).to_string()]);
    for raw in texts.chain(NO_STRINGS.map(str::to_owned)) {
        let answer = send(&ada, Method::POST, "/orders", with(&good, "/external_number", Some(&raw))).await;
        answer.faults_at(&["/external_number"]);
    }
    for raw in [None, Some("null")] {
        let answer = send(&ada, Method::POST, "/orders", with(&good, "/external_number", raw)).await;
        assert_eq!(answer.expect(201)["external_number"], Value::Null);
    }
    assert_eq!(shop.stock(&mug).await, (10, 3, 7));
}
