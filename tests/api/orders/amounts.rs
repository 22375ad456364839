//! Discounts, taxes and shipping that staff hand in: sums, checks, permissions and refunds.

use http::Method;
use serde_json::{Value, json};
use tests::person::{Person, address};
use tests::shop::{Shop, order_of};

use super::input::{NO_OBJECTS, bad_lines, send, with};
use super::payments::{money, pay, sums};

/// A discount.
fn discount(amount: i64) -> Value {
    json!({ "label": "Spring sale", "amount": amount })
}

/// A tax that is included in the price, or comes on top of it.
fn tax(rate: &str, amount: i64, included: bool) -> Value {
    json!({ "label": "VAT", "rate": rate, "amount": amount, "included": included })
}

/// An item with these discounts and taxes.
fn item_of(product: &str, quantity: i64, discounts: &[i64], taxes: &[Value]) -> Value {
    let discounts: Vec<Value> = discounts.iter().map(|amount| discount(*amount)).collect();
    json!({ "product_id": product, "quantity": quantity, "discounts": discounts, "taxes": taxes })
}

/// The body of an order that staff place for somebody.
fn order_for(owner: &Person, items: &[Value], shipping: &Value) -> Value {
    json!({ "user_id": owner.id, "items": items, "shipping": shipping, "shipping_address": address() })
}

/// The body of an order with every amount: two units at 1000, 200 off, 19 % on top; shipping of 500 with 19 % in it.
fn whole_order(owner: &Person, product: &str) -> Value {
    let shipping = json!({ "label": "Express", "amount": 500, "taxes": [tax("0.19", 80, true)] });
    order_for(owner, &[item_of(product, 2, &[200], &[tax("0.19", 342, false)])], &shipping)
}

/// A product at this price, with a hundred on hand. Its ID.
async fn product_at(shop: &Shop, amount: i64, currency: &str) -> String {
    let price = json!({ "amount": amount, "currency": currency });
    shop.product_with(json!({ "stock": 100, "price": price })).await.id()
}

#[tokio::test]
async fn totals_are_sums_of_discounts_taxes_and_shipping() {
    let shop = Shop::open().await;
    let (ada, staff) = (shop.customer().await, shop.staff().await);
    // Of each currency: two items, the shipping, the totals of the three, and the sums of the order.
    for (currency, items, shipping, parts, whole) in [
        (
            "EUR",
            [
                (1299, 3, vec![389, 8], vec![tax("0.19", 665, false), tax("0.025", 85, true)]),
                (250, 2, vec![], vec![tax("0.07", 33, true)]),
            ],
            json!({ "label": "Express", "amount": 490, "taxes": [tax("0.19", 93, false)] }),
            [4165, 500, 583],
            [4397, 397, 490, 758, 118, 5248],
        ),
        (
            "JPY",
            [
                (1980, 2, vec![500], vec![tax("0.10", 315, true)]),
                (333, 1, vec![], vec![tax("0.08", 27, false)]),
            ],
            json!({ "label": "Post", "amount": 800, "taxes": [tax("0.1", 73, true)] }),
            [3460, 360, 800],
            [4293, 500, 800, 27, 388, 4620],
        ),
        (
            "KWD",
            [
                (12_345, 4, vec![1235], vec![tax("0.05", 2407, false)]),
                (5, 1, vec![], vec![tax("0.1", 1, false)]),
            ],
            json!({ "label": "Courier", "amount": 2500, "taxes": [] }),
            [50_552, 6, 2500],
            [49_385, 1235, 2500, 2408, 0, 53_058],
        ),
    ] {
        let mut sent = Vec::new();
        for (price, quantity, discounts, taxes) in &items {
            let product = product_at(&shop, *price, currency).await;
            sent.push(item_of(&product, *quantity, discounts, taxes));
        }
        let placed = staff.post("/orders", order_for(&ada, &sent, &shipping)).await.expect(201);
        let [first, second, whole_shipping] = parts;
        let [items, discounts, of_shipping, tax, tax_included, total] = whole;
        for seen in [&placed, &ada.get(&format!("/orders/{}", placed.id())).await.expect(200)] {
            for (place, total) in [first, second].into_iter().enumerate() {
                let (shown, sent) = (&seen["items"][place], &sent[place]);
                assert_eq!(
                    (&shown["discounts"], &shown["taxes"]),
                    (&sent["discounts"], &sent["taxes"]),
                    "{currency}"
                );
                assert_eq!(shown["total"], json!({ "amount": total, "currency": currency }));
            }
            let mut shown = shipping.clone();
            shown["total"] = json!(whole_shipping);
            assert_eq!(seen["shipping"], shown);
            assert_eq!(seen["total"], json!({ "amount": total, "currency": currency }));
            let totals = json!({
                "items": items, "discounts": discounts, "shipping": of_shipping, "tax": tax,
                "tax_included": tax_included, "total": total, "cancelled": 0, "paid": 0, "refunded": 0,
                "due": total, "refund_due": 0,
            });
            assert_eq!(seen["totals"], totals);
        }
    }
}

#[tokio::test]
async fn malformed_amounts_are_refused_at_their_pointer() {
    let shop = Shop::open().await;
    let (ada, staff) = (shop.customer().await, shop.staff().await);
    let mug = product_at(&shop, 1000, "EUR").await;
    let good = whole_order(&ada, &mug);
    let refuses = async |pointer: &str, raw: Option<&str>, at: &str| {
        send(&staff, Method::POST, "/orders", with(&good, pointer, raw)).await.faults_at(&[at]);
    };
    for part in ["/items/0/discounts/0", "/items/0/taxes/0", "/shipping", "/shipping/taxes/0"] {
        let label = format!("{part}/label");
        refuses(&label, None, &label).await;
        refuses(&label, Some("null"), &label).await;
        for raw in bad_lines(100) {
            refuses(&label, Some(&raw), &label).await;
        }
        let amount = format!("{part}/amount");
        refuses(&amount, None, &amount).await;
        for raw in [
            "null",
            "-1",
            "1000000000001",
            "9223372036854775808",
            "80.0",
            "8e1",
            "0.5",
            "\"80\"",
            "true",
            "[]",
        ] {
            refuses(&amount, Some(raw), &amount).await;
        }
        for raw in NO_OBJECTS {
            refuses(part, Some(raw), part).await;
        }
        for field in ["id", "currency", "Label", "$inc"] {
            let unknown = format!("{part}/{field}");
            refuses(&unknown, Some("1"), &unknown).await;
        }
    }
    for part in ["/items/0/taxes/0", "/shipping/taxes/0"] {
        let rate = format!("{part}/rate");
        refuses(&rate, None, &rate).await;
        for raw in ["null", "0.19", "1", "true", "[]"] {
            refuses(&rate, Some(raw), &rate).await;
        }
        for text in [
            "",
            " ",
            ".",
            "0.",
            ".19",
            "00.19",
            "0,19",
            "0.1900000",
            "1.1",
            "1.000001",
            "2",
            "-0.19",
            "+0.19",
            "19",
            "19%",
            "1e-1",
            "0x1",
            "0.1 ",
            "NaN",
            "٠.١",
        ] {
            refuses(&rate, Some(&json!(text).to_string()), &rate).await;
        }
        let included = format!("{part}/included");
        refuses(&included, None, &included).await;
        for raw in ["null", "0", "1", "\"true\"", "\"\"", "[]"] {
            refuses(&included, Some(raw), &included).await;
        }
    }
    for (list, entry) in [
        ("/items/0/discounts", discount(10)),
        ("/items/0/taxes", tax("0.0", 1, true)),
        ("/shipping/taxes", tax("1.000000", 250, true)),
    ] {
        for raw in ["7", "true", "\"x\"", "{}", "{\"0\": {}}"] {
            refuses(list, Some(raw), list).await;
        }
        refuses(list, Some("[null]"), &format!("{list}/0")).await;
        let entries = |count: usize| json!(vec![entry.clone(); count]).to_string();
        refuses(list, Some(&entries(21)), list).await;
        let most = send(&staff, Method::POST, "/orders", with(&good, list, Some(&entries(20)))).await;
        let most = most.expect(201);
        assert_eq!(most.body.pointer(list).and_then(Value::as_array).map(Vec::len), Some(20), "{list}");
    }
    let empty = json!({
        "items": [{ "product_id": mug, "quantity": 1, "discounts": [{}], "taxes": [{}] }],
        "shipping": { "taxes": [{}] },
        "shipping_address": address(),
    });
    staff.post("/orders", empty).await.faults_at(&[
        "/items/0/discounts/0/label",
        "/items/0/discounts/0/amount",
        "/items/0/taxes/0/label",
        "/items/0/taxes/0/rate",
        "/items/0/taxes/0/amount",
        "/items/0/taxes/0/included",
        "/shipping/label",
        "/shipping/amount",
        "/shipping/taxes/0/label",
        "/shipping/taxes/0/rate",
        "/shipping/taxes/0/amount",
        "/shipping/taxes/0/included",
    ]);
    // Three orders of two.
    assert_eq!(shop.stock(&mug).await, (100, 6, 94));
}

#[tokio::test]
async fn amounts_that_do_not_fit_the_prices_are_refused() {
    let shop = Shop::open().await;
    let (ada, staff) = (shop.customer().await, shop.staff().await);
    let mug = product_at(&shop, 1000, "EUR").await;
    let good = whole_order(&ada, &mug);
    let place = async |pointer: &str, value: Value| {
        send(&staff, Method::POST, "/orders", with(&good, pointer, Some(&value.to_string()))).await
    };
    let (discounts, of_item) = ("/items/0/discounts", "/items/0/taxes/0/amount");
    let of_shipping = "/shipping/taxes/0/amount";
    for (pointer, value, at, expected) in [
        (discounts, json!([discount(2001)]), discounts, "2000"),
        (discounts, json!([discount(1000), discount(1001)]), discounts, "2000"),
        (discounts, json!([discount(1_000_000_000_000)]), discounts, "2000"),
        (of_item, json!(340), of_item, "342"),
        (of_item, json!(344), of_item, "342"),
        // What is left is 1700 then.
        (discounts, json!([discount(300)]), of_item, "323"),
        ("/items/0/taxes/0/rate", json!("0.18"), of_item, "324"),
        ("/items/0/taxes/0/included", json!(true), of_item, "287"),
        (of_shipping, json!(78), of_shipping, "80"),
        (of_shipping, json!(82), of_shipping, "80"),
        ("/shipping/amount", json!(1000), of_shipping, "160"),
    ] {
        let refused = place(pointer, value.clone()).await.faults_at(&[at]);
        let detail = refused["errors"][0]["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(expected), "{pointer} {value}: {detail}");
    }
    let mut both = good.clone();
    both["items"][0]["taxes"][0]["amount"] = json!(0);
    both["shipping"]["taxes"][0]["amount"] = json!(0);
    staff.post("/orders", both).await.faults_at(&[of_item, of_shipping]);
    assert_eq!(shop.stock(&mug).await, (100, 0, 100));

    // It may differ by one. What is handed in is kept.
    for (pointer, amount) in
        [(of_item, 341), (of_item, 342), (of_item, 343), (of_shipping, 79), (of_shipping, 81)]
    {
        let placed = place(pointer, json!(amount)).await.expect(201);
        assert_eq!(placed.body.pointer(pointer), Some(&json!(amount)));
    }
    assert_eq!(shop.stock(&mug).await, (100, 10, 90));

    // The shipping counts for the largest total.
    let price = json!({ "amount": 1_000_000_000_000_i64, "currency": "EUR" });
    let gem = shop.product_with(json!({ "stock": 1000, "price": price })).await.id();
    let shipping = json!({ "label": "Armoured van", "amount": 1 });
    let dear = order_for(&ada, &[item_of(&gem, 1000, &[], &[])], &shipping);
    staff.post("/orders", dear).await.faults_at(&["/items"]);
    let dear = order_for(&ada, &[item_of(&gem, 1000, &[1], &[])], &shipping);
    staff.post("/orders", dear).await.expect(201);
}

#[tokio::test]
async fn a_tax_is_rounded_half_up_and_may_differ_by_one() {
    let shop = Shop::open().await;
    let (ada, staff) = (shop.customer().await, shop.staff().await);
    for (price, rate, included, expected) in [
        // 0.16 of a cent in one cent.
        (1, "0.19", true, 0),
        (1, "0.19", false, 0),
        (1, "0.5", false, 1),
        (3, "0.5", false, 2),
        (1, "1", true, 1),
        (50, "0.07", false, 4),
        (500_000, "0.000001", false, 1),
        (499_999, "0.000001", false, 0),
        (1_000_000_000_000, "1", false, 1_000_000_000_000),
    ] {
        let product = product_at(&shop, price, "EUR").await;
        for amount in (expected - 2..=expected + 2).filter(|amount| (0..=1_000_000_000_000).contains(amount))
        {
            let items = [item_of(&product, 1, &[], &[tax(rate, amount, included)])];
            let answer = staff.post("/orders", order_for(&ada, &items, &Value::Null)).await;
            if (expected - 1..=expected + 1).contains(&amount) {
                assert_eq!(answer.expect(201)["items"][0]["taxes"][0]["amount"], amount);
            } else {
                answer.faults_at(&["/items/0/taxes/0/amount"]);
            }
        }
    }
}

#[tokio::test]
async fn customers_hand_in_no_amounts_and_no_internal_note() {
    let shop = Shop::open().await;
    let (ada, mug) = (shop.customer().await, product_at(&shop, 1000, "EUR").await);
    let plain = order_of(&mug, 1);
    let shipping = json!({ "label": "Express", "amount": 0 });
    let none_in_it = json!([tax("0", 0, true)]);
    for (pointer, value) in [
        ("/items/0/discounts", json!([discount(0)])),
        ("/items/0/taxes", none_in_it.clone()),
        ("/shipping", shipping.clone()),
        ("/internal_note", json!("Be kind")),
    ] {
        let body = with(&plain, pointer, Some(&value.to_string()));
        send(&ada, Method::POST, "/orders", body).await.problem(403, "forbidden");
    }
    assert_eq!(shop.stock(&mug).await, (100, 0, 100));

    // Null is as absent.
    let mut nulls = plain;
    for field in ["shipping", "internal_note"] {
        nulls[field] = Value::Null;
    }
    for field in ["discounts", "taxes"] {
        nulls["items"][0][field] = Value::Null;
    }
    let placed = ada.post("/orders", nulls).await.expect(201);
    assert_eq!((&placed["shipping"], &placed["items"][0]["taxes"]), (&Value::Null, &json!([])));

    let path = format!("/orders/{}", placed.id());
    let items = json!([{ "product_id": mug, "quantity": 2 }]);
    let with_taxes = json!([{ "product_id": mug, "quantity": 2, "taxes": none_in_it }]);
    for change in [
        json!({ "items": [item_of(&mug, 2, &[1], &[])] }),
        json!({ "items": with_taxes }),
        json!({ "items": items, "shipping": shipping }),
        json!({ "items": items, "shipping": null }),
        json!({ "billing_address": address() }),
        json!({ "billing_address": null }),
        json!({ "internal_note": "Be kind" }),
        json!({ "internal_note": null }),
    ] {
        ada.put(&path, change).await.problem(403, "forbidden");
    }
    assert_eq!(ada.get(&path).await.expect(200).body, placed.body);
}

#[tokio::test]
async fn the_owner_changes_no_items_that_have_discounts_or_taxes() {
    let shop = Shop::open().await;
    let (ada, staff) = (shop.customer().await, shop.staff().await);
    let mug = product_at(&shop, 1000, "EUR").await;
    let shipping = json!({ "label": "Express", "amount": 500, "taxes": [] });
    let taxed = json!({ "label": "Express", "amount": 500, "taxes": [tax("0.19", 80, true)] });
    let change = json!({ "items": [{ "product_id": mug, "quantity": 3 }] });
    for (discounts, taxes, shipping, is_editable) in [
        (vec![200], vec![], Value::Null, false),
        (vec![], vec![tax("0.19", 319, true)], Value::Null, false),
        (vec![], vec![], taxed, false),
        (vec![], vec![], shipping, true),
        (vec![], vec![], Value::Null, true),
    ] {
        let items = [item_of(&mug, 2, &discounts, &taxes)];
        let placed = staff.post("/orders", order_for(&ada, &items, &shipping)).await.expect(201);
        let path = format!("/orders/{}", placed.id());
        let answer = ada.put(&path, change.clone()).await;
        if is_editable {
            let changed = answer.expect(200);
            assert_eq!(
                (&changed["items"][0]["quantity"], &changed["shipping"]),
                (&json!(3), &placed["shipping"])
            );
        } else {
            answer.problem(409, "order-not-editable");
            assert_eq!(ada.get(&path).await.expect(200)["version"], 1);
            ada.put(&path, json!({ "note": "Ring", "shipping_address": address() })).await.expect(200);
            staff.put(&path, change.clone()).await.expect(200);
        }
    }
}

#[tokio::test]
async fn new_items_replace_discounts_and_keep_the_shipping() {
    let shop = Shop::open().await;
    let (ada, staff) = (shop.customer().await, shop.staff().await);
    let mug = product_at(&shop, 1000, "EUR").await;
    let placed = staff.post("/orders", whole_order(&ada, &mug)).await.expect(201);
    let path = format!("/orders/{}", placed.id());
    let plain = json!([{ "product_id": mug, "quantity": 2 }]);

    let changed = staff.put(&path, json!({ "items": plain })).await.expect(200);
    let item = &changed["items"][0];
    assert_eq!((&item["discounts"], &item["taxes"]), (&json!([]), &json!([])));
    assert_eq!((&item["id"], &item["total"]["amount"]), (&placed["items"][0]["id"], &json!(2000)));
    assert_eq!((&changed["shipping"], &changed["version"]), (&placed["shipping"], &json!(3)));
    let totals = &changed["totals"];
    let shown = ["items", "discounts", "shipping", "tax", "tax_included", "total"];
    assert_eq!(shown.map(|sum| totals[sum].as_i64()), [2000, 0, 500, 0, 80, 2500].map(Some));

    let cleared = json!({ "items": plain, "shipping": null });
    for version in [5, 5] {
        let changed = staff.put(&path, cleared.clone()).await.expect(200);
        assert_eq!((&changed["shipping"], &changed["version"]), (&Value::Null, &json!(version)));
        assert_eq!(changed["total"]["amount"], 2000);
    }
    // Amounts alone are a change, too; the same ones are none.
    let discounted = json!({ "items": [item_of(&mug, 2, &[200], &[])] });
    for version in [7, 7] {
        let changed = staff.put(&path, discounted.clone()).await.expect(200);
        assert_eq!((&changed["total"]["amount"], &changed["version"]), (&json!(1800), &json!(version)));
    }
    let other = json!({ "label": "Post", "amount": 100, "taxes": [tax("0.19", 19, false)] });
    let both = json!({ "items": [item_of(&mug, 1, &[], &[])], "shipping": other });
    let changed = staff.put(&path, both).await.expect(200);
    assert_eq!((&changed["total"]["amount"], &changed["shipping"]["total"]), (&json!(1119), &json!(119)));
    assert_eq!(shop.stock(&mug).await, (100, 1, 99));

    for alone in [json!({ "shipping": null }), json!({ "shipping": other })] {
        staff.put(&path, alone).await.faults_at(&["/shipping"]);
    }
    for (bad, at) in [
        (json!({ "items": [item_of(&mug, 5, &[5001], &[])] }), "/items/0/discounts"),
        (json!({ "items": [item_of(&mug, 5, &[], &[tax("0.19", 952, false)])] }), "/items/0/taxes/0/amount"),
    ] {
        staff.put(&path, bad).await.faults_at(&[at]);
        let after = ada.get(&path).await.expect(200);
        for field in ["items", "shipping", "totals", "status"] {
            assert_eq!(after[field], changed[field], "{field}");
        }
        assert_eq!(shop.stock(&mug).await, (100, 1, 99));
    }
}

#[tokio::test]
async fn an_order_that_is_discounted_to_nothing_is_paid_at_once() {
    let shop = Shop::open().await;
    let (ada, staff) = (shop.customer().await, shop.staff().await);
    let mug = product_at(&shop, 1000, "EUR").await;
    let items = [item_of(&mug, 2, &[1500, 500], &[tax("0.19", 0, false)])];
    let order = staff.post("/orders", order_for(&ada, &items, &Value::Null)).await.expect(201);
    assert_eq!((&order["status"], &order["payment_status"]), (&json!("paid"), &json!("paid")));
    assert_eq!((&order["totals"]["discounts"], &order["totals"]["total"]), (&json!(2000), &json!(0)));
    assert_eq!((&order["expires_at"], &order["version"]), (&Value::Null, &json!(1)));
    assert_eq!((&order["history"][1]["to"], &order["history"][1]["by"]), (&json!("paid"), &json!("system")));
    // Its shipping is still to be paid.
    let shipping = json!({ "label": "Express", "amount": 1 });
    let order = staff.post("/orders", order_for(&ada, &items, &shipping)).await.expect(201);
    assert_eq!(money(&ada, &order.id()).await, sums("placed", "unpaid", [0, 1, 0]));
    assert_eq!(shop.stock(&mug).await, (100, 4, 96));
}

#[tokio::test]
async fn a_discount_after_a_payment_may_make_an_order_paid() {
    let shop = Shop::open().await;
    let (ada, staff) = (shop.customer().await, shop.staff().await);
    let mug = product_at(&shop, 1000, "EUR").await;
    let order = ada.orders(&[(&mug, 2)]).await.expect(201).id();
    let path = format!("/orders/{order}");
    pay(&staff, &order, 1500).await.expect(201);
    let items = |discount: i64| json!({ "items": [item_of(&mug, 2, &[discount], &[])] });
    staff.put(&path, items(499)).await.expect(200);
    assert_eq!(money(&ada, &order).await, sums("placed", "partial", [1500, 1, 0]));
    staff.put(&path, items(700)).await.expect(200);
    assert_eq!(money(&ada, &order).await, sums("paid", "refund_due", [1500, 0, 200]));
    staff.put(&path, items(500)).await.problem(409, "order-not-editable");
}

#[tokio::test]
async fn units_and_shipping_are_refunded_to_the_cent() {
    let shop = Shop::open().await;
    let (ada, staff) = (shop.customer().await, shop.staff().await);
    let mug = product_at(&shop, 1000, "EUR").await;
    let shipping = json!({ "label": "Express", "amount": 490, "taxes": [tax("0.19", 93, false)] });
    let order = order_for(&ada, &[item_of(&mug, 3, &[1], &[])], &shipping);
    let order = staff.post("/orders", order).await.expect(201);
    let (id, item) = (order.id(), order["items"][0]["id"].clone());
    pay(&staff, &id, 3582).await.expect(201);
    assert_eq!(money(&ada, &id).await, sums("paid", "paid", [3582, 0, 0]));

    let path = format!("/orders/{id}/refunds");
    let one = json!({ "items": [{ "id": item, "quantity": 1 }] });
    let mut refunded = 0;
    for amount in [999, 1000, 1000] {
        let refund = staff.post(&path, one.clone()).await.expect(201);
        assert_eq!(refund["amount"], amount);
        refunded += refund["amount"].as_i64().unwrap();
    }
    assert_eq!(json!(refunded), order["items"][0]["total"]["amount"]);
    let refused = staff.post(&path, one).await.problem(409, "amount-exceeded");
    assert_eq!(refused["items"], json!([{ "id": item, "requested": 1, "available": 0 }]));

    let of_shipping = json!({ "shipping": true });
    let preview = staff.post(&format!("{path}/preview"), of_shipping.clone()).await.expect(200);
    assert_eq!(preview.body, json!({ "amount": 583, "items": [], "shipping": true }));
    let refund = staff.post(&path, of_shipping.clone()).await.expect(201);
    assert_eq!((&refund["amount"], &refund["shipping"]), (&json!(583), &json!(true)));
    for path in [&path, &format!("{path}/preview")] {
        staff.post(path, of_shipping.clone()).await.problem(409, "amount-exceeded");
    }
    assert_eq!(money(&ada, &id).await, sums("paid", "refunded", [3582, 0, 0]));
}

#[tokio::test]
async fn a_shipping_that_is_refunded_stays_in_the_order() {
    let shop = Shop::open().await;
    let (ada, staff) = (shop.customer().await, shop.staff().await);
    let mug = product_at(&shop, 1000, "EUR").await;
    let placed = staff.post("/orders", whole_order(&ada, &mug)).await.expect(201);
    let path = format!("/orders/{}", placed.id());
    pay(&staff, &placed.id(), 600).await.expect(201);
    staff.post(&format!("{path}/refunds"), json!({ "shipping": true })).await.expect(201);
    let plain = json!([{ "product_id": mug, "quantity": 2 }]);
    let without = json!({ "items": plain, "shipping": null });
    staff.put(&path, without).await.problem(409, "order-not-editable");
    let changed = staff.put(&path, json!({ "items": plain })).await.expect(200);
    assert_eq!(changed["shipping"], placed["shipping"]);
}
