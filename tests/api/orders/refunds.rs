//! Refunds of orders: never more than was paid, by amount or by item.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};
use tests::person::Person;
use tests::shop::Shop;
use tests::support::idempotency::{keyed, replayed};

use super::parts::OneOrder;
use super::payments::{money, order_of_1000, pay, sums};

/// An order of three pieces at this price, paid.
async fn three_pieces(shop: &Shop, amount: i64, currency: &str) -> (Person, String, String) {
    let ada = shop.customer().await;
    let price = json!({ "amount": amount, "currency": currency });
    let product = shop.product_with(json!({ "stock": 3, "price": price })).await.id();
    let order = ada.orders(&[(&product, 3)]).await.expect(201);
    let (id, item) = (order.id(), order["items"][0]["id"].as_str().unwrap().to_owned());
    shop.admin().moves(&id, "paid").await.expect(200);
    (ada, id, item)
}

#[tokio::test]
async fn pieces_refunded_one_by_one_give_what_they_cost() {
    let shop = Shop::open().await;
    let staff = shop.staff().await;
    for (amount, currency) in [(1000, "EUR"), (333, "JPY"), (1001, "KWD")] {
        let (ada, order, item) = three_pieces(&shop, amount, currency).await;
        let path = format!("/orders/{order}/refunds");
        let one = json!({ "items": [{ "id": item, "quantity": 1 }] });
        for piece in 1..=3 {
            let preview = staff.post(&format!("{path}/preview"), one.clone()).await.expect(200);
            let refund = staff.post(&path, one.clone()).await.expect(201);
            assert_eq!((&refund["amount"], &preview["amount"]), (&json!(amount), &json!(amount)));
            assert_eq!(preview["items"], refund["items"]);
            let seen = ada.get(&format!("/orders/{order}")).await.expect(200);
            assert_eq!(seen["items"][0]["refunded"], piece);
            assert_eq!(seen["totals"]["refunded"], amount * piece);
        }
        let refused = staff.post(&path, one).await.problem(409, "amount-exceeded");
        assert_eq!(refused["available"], 0);
        assert_eq!(refused["items"], json!([{ "id": item, "requested": 1, "available": 0 }]));
        assert_eq!(money(&ada, &order).await.1, "refunded");
    }
}

#[tokio::test]
async fn a_refund_that_is_clicked_twice_at_once_is_one() {
    let shop = Shop::open().await;
    let staff = shop.staff().await;
    let (ada, order, _) = three_pieces(&shop, 1000, "EUR").await;
    let path = format!("/orders/{order}/refunds");
    let amount = json!({ "amount": 500 });
    let clicks = join_all((0..4).map(|_| keyed(&staff, Method::POST, &path, "click", &amount))).await;
    let first: Vec<_> = clicks.iter().filter(|answer| !replayed(answer)).collect();
    assert_eq!(first.len(), 1);
    for click in &clicks {
        assert_eq!((click.status.as_u16(), &click.body), (201, &clicks[0].body));
    }
    // Another key is meant: the same amount once more.
    keyed(&staff, Method::POST, &path, "again", &amount).await.expect(201);
    let other = json!({ "amount": 501 });
    keyed(&staff, Method::POST, &path, "click", &other).await.problem(422, "idempotency-key-reused");
    let seen = ada.get(&format!("/orders/{order}")).await.expect(200);
    assert_eq!(
        (&seen["totals"]["refunded"], &seen["payment_status"]),
        (&json!(1000), &json!("partially_refunded"))
    );
}

#[tokio::test]
async fn of_many_refunds_at_once_no_more_is_done_than_was_paid() {
    let shop = Shop::open().await;
    let staff = shop.staff().await;
    let (ada, order, _) = three_pieces(&shop, 1000, "EUR").await;
    let path = format!("/orders/{order}/refunds");
    let answers = join_all((0..16).map(|_| staff.post(&path, json!({ "amount": 700 })))).await;
    let done = answers.iter().filter(|answer| answer.status == 201).count();
    for refused in answers.into_iter().filter(|answer| answer.status != 201) {
        let refused = refused.problem(409, "amount-exceeded");
        assert!(refused["available"].as_i64().unwrap() < 700 || done < 4);
    }
    assert_eq!(done, 4);
    let seen = ada.get(&format!("/orders/{order}")).await.expect(200);
    assert_eq!(seen["totals"]["refunded"], 2800);
}

#[tokio::test]
async fn a_cancelled_order_is_refunded_once_all_is_paid_back() {
    let shop = Shop::open().await;
    let staff = shop.staff().await;
    let (owner, order) = shop.order_in("paid, cancelled").await;
    let path = format!("/orders/{order}/refunds");
    let paid = owner.get(&format!("/orders/{order}")).await.expect(200)["totals"]["paid"].as_i64().unwrap();
    assert_eq!(money(&owner, &order).await, sums("cancelled", "refund_due", [paid, 0, paid]));
    let reason = json!({ "amount": paid - 1, "reason": "out of stock" });
    staff.post(&path, reason).await.expect(201);
    assert_eq!(money(&owner, &order).await, sums("cancelled", "refund_due", [paid, 0, 1]));
    staff.post(&path, json!({ "amount": 1 })).await.expect(201);
    assert_eq!(money(&owner, &order).await, sums("refunded", "refunded", [paid, 0, 0]));
    let seen = owner.get(&format!("/orders/{order}")).await.expect(200);
    assert_eq!(seen["totals"]["cancelled"], seen["totals"]["total"]);
    let last = seen["history"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["to"], &last["by"]), (&json!("refunded"), &json!("system")));
}

#[tokio::test]
async fn a_refund_of_a_payment_ends_at_that_payment() {
    let shop = Shop::open().await;
    let (ada, staff) = (shop.customer().await, shop.staff().await);
    let order = order_of_1000(&shop, &ada).await;
    let first = pay(&staff, &order, 600).await.expect(201);
    pay(&staff, &order, 400).await.expect(201);
    let path = format!("/orders/{order}/refunds");
    let of_first = |amount: i64| json!({ "amount": amount, "payment_id": first["id"] });
    let refused = staff.post(&path, of_first(601)).await.problem(409, "amount-exceeded");
    assert_eq!(refused["available"], 600);
    staff.post(&path, of_first(600)).await.expect(201);
    let refused = staff.post(&path, of_first(1)).await.problem(409, "amount-exceeded");
    assert_eq!(refused["available"], 0);
    staff.post(&path, json!({ "amount": 401 })).await.problem(409, "amount-exceeded");
    staff.post(&path, json!({ "amount": 400 })).await.expect(201);
    let other = json!({ "amount": 1, "payment_id": "payment_01h455vb4pex5vsknk084sn02q" });
    staff.post(&path, other).await.faults_at(&["/payment_id"]);
}

#[tokio::test]
async fn a_refund_gets_its_reference_once() {
    let shop = Shop::open().await;
    let staff = shop.staff().await;
    let (ada, order, _) = three_pieces(&shop, 1000, "EUR").await;
    let made = staff.post(&format!("/orders/{order}/refunds"), json!({ "amount": 1 })).await.expect(201);
    let path = format!("/orders/{order}/refunds/{}", made.id());
    let reference = |text: &str| json!({ "reference": text });
    ada.put(&path, reference("re_1")).await.problem(403, "forbidden");
    assert_eq!(staff.put(&path, reference("re_1")).await.expect(200)["reference"], "re_1");
    staff.put(&path, reference("re_1")).await.expect(200);
    staff.put(&path, reference("re_2")).await.problem(409, "invalid-transition");
    staff.put(&path, json!({})).await.faults_at(&["/reference"]);
    let seen = ada.get(&format!("/orders/{order}")).await.expect(200);
    assert_eq!(
        (&seen["refunds"][0]["reference"], &seen["payment"]["refund_reference"]),
        (&json!("re_1"), &json!("re_1"))
    );
    // Placed, a payment, paid, a refund, its reference.
    assert_eq!(seen["version"], 4);
    let unknown = format!("/orders/{order}/refunds/refund_01h455vb4pex5vsknk084sn02q");
    staff.put(&unknown, reference("re_1")).await.problem(404, "not-found");
    staff.put(&format!("/orders/{order}/refunds/x"), reference("re_1")).await.problem(404, "not-found");
}

#[tokio::test]
async fn a_refund_is_of_an_amount_or_of_items() {
    let shop = Shop::open().await;
    let staff = shop.staff().await;
    let (ada, order, item) = three_pieces(&shop, 1000, "EUR").await;
    for path in [format!("/orders/{order}/refunds"), format!("/orders/{order}/refunds/preview")] {
        ada.post(&path, json!({ "amount": 1 })).await.problem(403, "forbidden");
        let items = json!([{ "id": item, "quantity": 1 }]);
        let unknown = json!([{ "id": "item_01h455vb4pex5vsknk084sn02q", "quantity": 1 }]);
        let twice = json!([{ "id": item, "quantity": 1 }, { "id": item, "quantity": 1 }]);
        for (body, pointers) in [
            (json!({}), &[""][..]),
            (json!({ "shipping": false }), &[""]),
            (json!({ "amount": 1, "items": items }), &["/amount"]),
            (json!({ "amount": 1, "shipping": true }), &["/amount"]),
            (json!({ "items": [] }), &["/items"]),
            (json!({ "items": unknown }), &["/items/0/id"]),
            (json!({ "items": twice }), &["/items/1/id"]),
            (json!({ "items": [{}] }), &["/items/0/id", "/items/0/quantity"]),
            (
                json!({ "amount": 0, "reason": " ", "payment_id": "x" }),
                &["/amount", "/reason", "/payment_id"],
            ),
        ] {
            staff.post(&path, body).await.faults_at(pointers);
        }
        let refused = staff.post(&path, json!({ "amount": 3001 })).await.problem(409, "amount-exceeded");
        assert_eq!(refused["available"], 3000);
    }
    let seen = ada.get(&format!("/orders/{order}")).await.expect(200);
    assert_eq!((&seen["refunds"], &seen["version"]), (&json!([]), &json!(2)));
}

#[tokio::test]
async fn a_shipping_that_an_order_lacks_is_not_refunded() {
    let shop = Shop::open().await;
    let staff = shop.staff().await;
    let (_, order, item) = three_pieces(&shop, 1000, "EUR").await;
    let path = format!("/orders/{order}/refunds");
    for refund in
        [json!({ "shipping": true }), json!({ "items": [{ "id": item, "quantity": 3 }], "shipping": true })]
    {
        staff.post(&path, refund.clone()).await.faults_at(&["/shipping"]);
        staff.post(&format!("{path}/preview"), refund).await.faults_at(&["/shipping"]);
    }
    let refund = json!({ "items": [{ "id": item, "quantity": 3 }], "shipping": false });
    assert_eq!(staff.post(&path, refund).await.expect(201)["amount"], 3000);
}

#[tokio::test]
async fn a_refund_after_a_return_ends_the_order() {
    let shop = Shop::open().await;
    let staff = shop.staff().await;
    let (owner, order) = shop.order_in("returned").await;
    let seen = owner.get(&format!("/orders/{order}")).await.expect(200);
    let items = json!([{ "id": seen["items"][0]["id"], "quantity": 1 }]);
    staff.post(&format!("/orders/{order}/refunds"), json!({ "items": items })).await.expect(201);
    assert_eq!(owner.get(&format!("/orders/{order}")).await.expect(200)["status"], "refunded");
}

#[tokio::test]
async fn a_refund_of_a_return_is_of_what_came_back() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "delivered", 4).await;
    let (refunds, preview) = (it.path("/refunds"), it.path("/refunds/preview"));
    let back = it.ask(&it.owner, 3).await.expect(201).id();
    let alone = json!({ "return_id": back });
    // Nothing has come back yet.
    for path in [&refunds, &preview] {
        let refused = it.staff.post(path, alone.clone()).await.problem(409, "amount-exceeded");
        assert_eq!((&refused["available"], &refused["items"]), (&json!(2000), &json!([])));
    }
    it.change("returns", &back, json!({ "status": "approved" })).await.expect(200);
    it.receive(&back, 2, 0).await.expect(200);
    let items = json!([{ "id": it.item, "quantity": 2 }]);
    let expected = json!({ "amount": 1000, "items": items, "shipping": false });
    assert_eq!(it.staff.post(&preview, alone.clone()).await.expect(200).body, expected);
    let refund = it.staff.post(&refunds, alone.clone()).await.expect(201);
    assert_eq!((&refund["amount"], &refund["items"]), (&json!(1000), &items));
    assert_eq!(refund["return_id"], back);
    assert_eq!(it.counters().await, [0, 4, 2, 2]);
    // They are refunded once.
    let refused = it.staff.post(&refunds, alone).await.problem(409, "amount-exceeded");
    assert_eq!(refused["available"], 1000);
    assert_eq!(it.seen().await["refunds"][0]["return_id"], back);
}

#[tokio::test]
async fn a_return_is_refunded_by_amount_and_by_items_too() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "delivered", 4).await;
    let back = it.ask(&it.staff, 3).await.expect(201).id();
    let refunds = it.path("/refunds");
    // An amount before anything has come back, as for what the customer may keep.
    let amount = json!({ "amount": 100, "return_id": back });
    let refund = it.staff.post(&refunds, amount).await.expect(201);
    assert_eq!((&refund["amount"], &refund["return_id"]), (&json!(100), &json!(back)));
    it.receive(&back, 3, 3).await.expect(200);
    let mut items = it.units(1);
    items["return_id"] = json!(back);
    let refund = it.staff.post(&refunds, items).await.expect(201);
    assert_eq!((&refund["amount"], &refund["return_id"]), (&json!(500), &json!(back)));
    // Alone, it is for the two that are not refunded.
    let refund = it.staff.post(&refunds, json!({ "return_id": back, "shipping": false })).await.expect(201);
    assert_eq!((&refund["amount"], &refund["items"][0]["quantity"]), (&json!(1000), &json!(2)));
    let without = it.staff.post(&refunds, json!({ "amount": 1 })).await.expect(201);
    assert_eq!(without["return_id"], Value::Null);
}

#[tokio::test]
async fn a_return_that_is_unknown_or_over_is_not_refunded() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "delivered", 3).await;
    let other = OneOrder::of_people(&shop, &it.owner, &it.staff, "delivered", 1).await;
    let of_other = other.ask(&it.staff, 1).await.expect(201).id();
    let rejected = it.ask(&it.owner, 1).await.expect(201).id();
    let worn = json!({ "status": "rejected", "reason": "worn" });
    it.change("returns", &rejected, worn).await.expect(200);
    let cancelled = it.ask(&it.staff, 1).await.expect(201).id();
    it.change("returns", &cancelled, json!({ "status": "cancelled" })).await.expect(200);
    let unknown = ["return_01h455vb4pex5vsknk084sn02q", "x", it.id.as_str()];
    for id in unknown.into_iter().chain([of_other.as_str(), rejected.as_str(), cancelled.as_str()]) {
        for mut body in [json!({}), json!({ "amount": 1 }), it.units(1)] {
            body["return_id"] = json!(id);
            for path in ["/refunds", "/refunds/preview"] {
                it.staff.post(&it.path(path), body.clone()).await.faults_at(&["/return_id"]);
            }
        }
    }
    assert_eq!(it.seen().await["refunds"], json!([]));
}
