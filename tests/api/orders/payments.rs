//! Payments of orders: in any status, once for each reference.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};
use tests::answer::Answer;
use tests::person::Person;
use tests::shop::Shop;
use tests::support::idempotency::{keyed, replayed};
use uuid::Uuid;

/// A reference that no other payment has.
pub(super) fn new_reference() -> String {
    format!("pi_{}", Uuid::new_v4().simple())
}

/// Records a payment with a reference of its own.
pub(super) async fn pay(staff: &Person, order: &str, amount: i64) -> Answer {
    let payment = json!({ "amount": amount, "reference": new_reference() });
    staff.post(&format!("/orders/{order}/payments"), payment).await
}

/// Sums, status and status of payment of an order: (status, payment_status, paid, due, refund_due).
pub(super) async fn money(person: &Person, order: &str) -> (String, String, i64, i64, i64) {
    let order = person.get(&format!("/orders/{order}")).await.expect(200);
    let sum = |name: &str| order["totals"][name].as_i64().unwrap();
    (order.text("status"), order.text("payment_status"), sum("paid"), sum("due"), sum("refund_due"))
}

/// Expected result of [`money`].
pub(super) fn sums(
    status: &str,
    payment: &str,
    [paid, due, refund_due]: [i64; 3],
) -> (String, String, i64, i64, i64) {
    (status.to_owned(), payment.to_owned(), paid, due, refund_due)
}

/// An order of one piece for 1000.
pub(super) async fn order_of_1000(shop: &Shop, owner: &Person) -> String {
    let price = json!({ "amount": 1000, "currency": "EUR" });
    let product = shop.product_with(json!({ "stock": 10, "price": price })).await.id();
    owner.orders(&[(&product, 1)]).await.expect(201).id()
}

#[tokio::test]
async fn payments_add_up_until_the_order_is_paid() {
    let shop = Shop::open().await;
    let (ada, staff) = (shop.customer().await, shop.staff().await);
    let order = order_of_1000(&shop, &ada).await;
    assert_eq!(money(&ada, &order).await, sums("placed", "unpaid", [0, 1000, 0]));
    pay(&staff, &order, 999).await.expect(201);
    assert_eq!(money(&ada, &order).await, sums("placed", "partial", [999, 1, 0]));
    let last = pay(&staff, &order, 1).await.expect(201);
    assert_eq!(money(&ada, &order).await, sums("paid", "paid", [1000, 0, 0]));

    let seen = ada.get(&format!("/orders/{order}")).await.expect(200);
    assert_eq!((&seen["version"], last.header("etag")), (&json!(3), Some("\"3\"")));
    assert_eq!(seen["payment"]["reference"], last["reference"]);
    assert_eq!((&seen["payments"][1]["id"], &seen["payments"][1]["by"]), (&last["id"], &json!("staff")));
    assert_eq!(last["by"], json!(staff.id));
    let history: Vec<Value> = seen["history"].as_array().unwrap()[1..]
        .iter()
        .map(|entry| json!([entry["event"], entry["from"], entry["to"], entry["by"], entry["subject"]]))
        .collect();
    assert_eq!(
        history,
        [
            json!(["payment", null, null, "staff", seen["payments"][0]["id"]]),
            json!(["payment", null, null, "staff", last["id"]]),
            json!(["status", "placed", "paid", "system", null]),
        ]
    );
}

#[tokio::test]
async fn money_is_recorded_in_every_status_and_shows_as_due_back() {
    let shop = Shop::open().await;
    let staff = shop.staff().await;
    for (status, refund_due) in [
        ("paid", 7),
        ("shipped", 7),
        ("delivered", 7),
        ("returned", 7),
        ("refunded", 0),
        ("cancelled", 7),
        ("paid, cancelled", 507),
    ] {
        let (owner, order) = shop.order_in(status).await;
        let before = owner.get(&format!("/orders/{order}")).await.expect(200);
        pay(&staff, &order, 7).await.expect(201);
        let after = owner.get(&format!("/orders/{order}")).await.expect(200);
        assert_eq!(after["status"], before["status"], "{status}");
        assert_eq!(after["totals"]["refund_due"], refund_due, "{status}");
        assert_eq!(after["version"].as_i64(), before["version"].as_i64().map(|version| version + 1));
    }
}

#[tokio::test]
async fn a_webhook_that_comes_five_times_is_one_payment() {
    let shop = Shop::open().await;
    let (ada, staff) = (shop.customer().await, shop.staff().await);
    let order = order_of_1000(&shop, &ada).await;
    let path = format!("/orders/{order}/payments");
    let capture = json!({ "amount": 1000, "reference": new_reference(), "provider": "stripe" });
    let answers = join_all((0..5).map(|_| staff.post(&path, capture.clone()))).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 4, "{statuses:?}");
    for answer in &answers {
        assert_eq!(replayed(answer), answer.status == 200);
        assert_eq!(answer.body, answers[0].body);
    }
    assert_eq!(money(&ada, &order).await, sums("paid", "paid", [1000, 0, 0]));
}

#[tokio::test]
async fn a_reference_is_of_one_payment_of_its_provider() {
    let shop = Shop::open().await;
    let (ada, staff) = (shop.customer().await, shop.staff().await);
    let (one, other) = (order_of_1000(&shop, &ada).await, order_of_1000(&shop, &ada).await);
    let reference = new_reference();
    let payment = |amount: i64, provider: Option<&str>| json!({ "amount": amount, "reference": reference, "provider": provider });
    let path = |order: &str| format!("/orders/{order}/payments");
    staff.post(&path(&one), payment(5, None)).await.expect(201);
    for (order, amount) in [(&one, 6), (&other, 5), (&other, 6)] {
        let refused = staff.post(&path(order), payment(amount, None)).await;
        let refused = refused.problem(409, "payment-reference-taken");
        assert!(!refused.text("detail").contains("order_"));
    }
    let short = json!({ "status": "paid", "payment": { "reference": reference } });
    for order in [&one, &other] {
        let refused = staff.put(&format!("/orders/{order}"), short.clone()).await;
        refused.problem(409, "payment-reference-taken");
    }
    // Another provider counts for itself.
    staff.post(&path(&other), payment(5, Some("stripe"))).await.expect(201);
    assert_eq!(money(&ada, &one).await, sums("placed", "partial", [5, 995, 0]));
    assert_eq!(money(&ada, &other).await, sums("placed", "partial", [5, 995, 0]));
}

#[tokio::test]
async fn of_many_orders_with_one_reference_one_is_paid() {
    let shop = Shop::open().await;
    let (ada, staff) = (shop.customer().await, shop.staff().await);
    let orders = join_all((0..8).map(|_| order_of_1000(&shop, &ada))).await;
    let payment = json!({ "amount": 1000, "reference": new_reference() });
    let sent = orders.iter().map(|order| {
        let (staff, payment) = (staff.clone(), payment.clone());
        async move { staff.post(&format!("/orders/{order}/payments"), payment).await }
    });
    let mut paid = 0;
    for answer in join_all(sent).await {
        if answer.status == 201 {
            paid += 1;
        } else {
            answer.problem(409, "payment-reference-taken");
        }
    }
    assert_eq!(paid, 1);
}

#[tokio::test]
async fn a_key_of_a_payment_is_for_one_body() {
    let shop = Shop::open().await;
    let (ada, staff) = (shop.customer().await, shop.staff().await);
    let order = order_of_1000(&shop, &ada).await;
    let path = format!("/orders/{order}/payments");
    let payment = json!({ "amount": 10, "reference": new_reference() });
    let first = keyed(&staff, Method::POST, &path, "k", &payment).await.expect(201);
    let again = keyed(&staff, Method::POST, &path, "k", &payment).await.expect(201);
    assert_eq!((replayed(&first), replayed(&again), &again.body), (false, true, &first.body));
    let other = json!({ "amount": 11, "reference": new_reference() });
    keyed(&staff, Method::POST, &path, "k", &other).await.problem(422, "idempotency-key-reused");
    assert_eq!(money(&ada, &order).await, sums("placed", "partial", [10, 990, 0]));
}

#[tokio::test]
async fn an_order_that_costs_nothing_is_paid_as_it_is_placed() {
    let shop = Shop::open().await;
    let ada = shop.customer().await;
    let price = json!({ "amount": 0, "currency": "EUR" });
    let gift = shop.product_with(json!({ "stock": 1, "price": price })).await.id();
    let order = ada.orders(&[(&gift, 1)]).await.expect(201);
    assert_eq!((&order["status"], &order["payment_status"]), (&json!("paid"), &json!("paid")));
    assert_eq!((&order["version"], &order["expires_at"]), (&json!(1), &Value::Null));
    assert_eq!((&order["history"][1]["to"], &order["history"][1]["by"]), (&json!("paid"), &json!("system")));
    let staff = shop.staff().await;
    staff.moves(&order.id(), "shipped").await.expect(200);
    assert_eq!(shop.stock(&gift).await, (0, 0, 0));
}

#[tokio::test]
async fn edited_up_and_down_again_an_order_owes_what_it_costs() {
    let shop = Shop::open().await;
    let (ada, staff) = (shop.customer().await, shop.staff().await);
    let price = json!({ "amount": 1000, "currency": "EUR" });
    let product = shop.product_with(json!({ "stock": 10, "price": price })).await.id();
    let order = ada.orders(&[(&product, 2)]).await.expect(201).id();
    let pieces = |quantity: i64| json!({ "items": [{ "product_id": product, "quantity": quantity }] });
    pay(&staff, &order, 1000).await.expect(201);
    ada.put(&format!("/orders/{order}"), pieces(3)).await.expect(200);
    assert_eq!(money(&ada, &order).await, sums("placed", "partial", [1000, 2000, 0]));
    // Down to what is paid: paid at once, and no piece too many is held.
    let edited = ada.put(&format!("/orders/{order}"), pieces(1)).await.expect(200);
    assert_eq!((&edited["status"], &edited["expires_at"]), (&json!("paid"), &Value::Null));
    assert_eq!(money(&ada, &order).await, sums("paid", "paid", [1000, 0, 0]));
    assert_eq!(shop.stock(&product).await, (10, 1, 9));
}

#[tokio::test]
async fn another_payment_beside_the_same_status_is_refused() {
    let shop = Shop::open().await;
    let staff = shop.staff().await;
    let (_, order) = shop.order_in("shipped").await;
    let path = format!("/orders/{order}");
    let other = json!({ "carrier": "UPS", "number": "1" });
    let refused = staff.put(&path, json!({ "status": "shipped", "tracking": other })).await;
    refused.problem(409, "invalid-transition");
    let same = json!({ "carrier": "DHL", "number": "0034" });
    staff.put(&path, json!({ "status": "shipped", "tracking": same })).await.expect(200);

    let (_, order) = shop.order_in("paid").await;
    let path = format!("/orders/{order}");
    let payment = json!({ "reference": new_reference() });
    let refused = staff.put(&path, json!({ "status": "paid", "payment": payment })).await;
    let refused = refused.problem(409, "invalid-transition");
    assert!(refused.text("detail").contains("POST /orders/{id}/payments"), "{:#}", refused.body);
}

#[tokio::test]
async fn payments_are_for_staff_and_checked_in_full() {
    let shop = Shop::open().await;
    let (ada, bob, staff) = (shop.customer().await, shop.customer().await, shop.staff().await);
    let order = order_of_1000(&shop, &ada).await;
    let path = format!("/orders/{order}/payments");
    let payment = json!({ "amount": 1, "reference": new_reference() });
    ada.post(&path, payment.clone()).await.problem(403, "forbidden");
    bob.post(&path, payment.clone()).await.problem(404, "not-found");
    shop.anyone().post(&path, payment.clone()).await.problem(401, "unauthenticated");
    staff.post(&path, json!({})).await.faults_at(&["/amount", "/reference"]);
    let bad = json!({ "amount": 0, "reference": "", "method": " ", "provider": "Stripe" });
    staff.post(&path, bad).await.faults_at(&["/amount", "/reference", "/method", "/provider"]);
    staff.post(&path, json!({ "amount": 1, "reference": "x", "id": 1 })).await.faults_at(&["/id"]);
    let request = staff.request(Method::POST, &path).header("if-match", "\"7\"");
    staff.answer(request.json(&payment)).await.problem(412, "version-mismatch");
    assert_eq!(money(&ada, &order).await, sums("placed", "unpaid", [0, 1000, 0]));
}
