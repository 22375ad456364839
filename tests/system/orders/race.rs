//! Orders: concurrent writers of the same products and the same order.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use futures::future::{join, join_all};
use serde_json::{Value, json};
use shared::auth::Role;
use tests::in_process::InProcess;
use tests::person::to;

/// The statuses in an order's history, oldest first; each must begin where the one before ended.
fn walked(order: &Value) -> Vec<String> {
    let mut last = Value::Null;
    let history = order["history"].as_array().unwrap();
    let of_status = history.iter().filter(|entry| entry["event"] == "status");
    let steps = of_status.map(|change| {
        assert_eq!(change["from"], last, "{order:#}");
        last = change["to"].clone();
        change["to"].as_str().unwrap().to_owned()
    });
    let steps: Vec<String> = steps.collect();
    assert_eq!(order["status"], last);
    steps
}

#[tokio::test]
async fn what_64_customers_were_promised_at_once_is_what_is_reserved() {
    let shop = InProcess::open().await;
    let stock = [20, 15, 10];
    let products = join_all(stock.iter().map(|&count| shop.product(count))).await;
    let customers = shop.people(Role::Customer, 64);
    // Each two of the three, half of them in the opposite order: the way to a deadlock, if there were one.
    let carts: Vec<[(usize, i64); 2]> = (0..64)
        .map(|n| {
            let (one, other) = (n % 3, (n + 1) % 3);
            if n % 2 == 0 { [(one, 1), (other, 2)] } else { [(other, 2), (one, 1)] }
        })
        .collect();
    let orders = customers.iter().zip(&carts).map(|(customer, cart)| {
        let lines: Vec<(&str, i64)> =
            cart.iter().map(|&(product, quantity)| (products[product].as_str(), quantity)).collect();
        async move { customer.orders(&lines).await }
    });
    let answers = join_all(orders).await;

    let mut promised = [0; 3];
    let mut refused = Vec::new();
    for (answer, cart) in answers.into_iter().zip(&carts) {
        if answer.status == 201 {
            for (product, quantity) in cart {
                promised[*product] += quantity;
            }
        } else {
            answer.problem(409, "insufficient-stock");
            refused.push(cart);
        }
    }
    for (place, product) in products.iter().enumerate() {
        let on_hand = stock[place];
        assert!(promised[place] <= on_hand);
        assert_eq!(shop.stock(product).await, (on_hand, promised[place], on_hand - promised[place]));
    }
    // Nothing was set free in between, so who was refused would be refused now.
    assert!(!refused.is_empty());
    for cart in refused {
        assert!(cart.iter().any(|&(product, quantity)| stock[product] - promised[product] < quantity));
    }
}

#[tokio::test]
async fn an_order_paid_and_cancelled_at_once_is_one_of_the_two() {
    const ROUNDS: usize = 25;
    let shop = InProcess::open().await;
    let mug = shop.product(1000).await;
    let owner = shop.customer().await;
    let (one, other) = (shop.staff().await, shop.admin());
    let pay = |reference: &str| json!({ "status": "paid", "payment": { "reference": reference } });
    let mut held = 0;
    for round in 0..ROUNDS {
        let order = owner.orders(&[(&mug, 1)]).await.expect(201).id();
        let path = format!("/orders/{order}");
        // Who begins changes from round to round.
        let (by_one, by_other) = (format!("one_{order}"), format!("other_{order}"));
        let pays = join(one.put(&path, pay(&by_one)), other.put(&path, pay(&by_other)));
        let (cancel, (first, second)) = if round % 2 == 0 {
            join(owner.put(&path, json!({ "status": "cancelled" })), pays).await
        } else {
            let (pays, cancel) = join(pays, owner.put(&path, json!({ "status": "cancelled" }))).await;
            (cancel, pays)
        };
        let order = one.get(&path).await.expect(200);
        assert_eq!(order["version"], 2);
        if cancel.status == 200 {
            assert_eq!(walked(&order.body), ["placed", "cancelled"]);
            for refused in [first, second] {
                let refused = refused.problem(409, "invalid-transition");
                assert_eq!((&refused["from"], &refused["to"]), (&json!("cancelled"), &json!("paid")));
            }
            assert_eq!(order["payment"]["reference"], Value::Null);
        } else {
            // By the time it is looked at again the order is paid, and no longer the owner's to cancel.
            cancel.problem(403, "forbidden");
            assert_eq!(walked(&order.body), ["placed", "paid"]);
            // The second found it paid already, by another payment.
            let (paid, refused) = if first.status == 200 { (first, second) } else { (second, first) };
            assert_eq!(paid.expect(200)["payment"], order["payment"]);
            let refused = refused.problem(409, "invalid-transition");
            assert_eq!((&refused["from"], &refused["to"]), (&json!("paid"), &json!("paid")));
            assert_eq!(order["payments"].as_array().map(Vec::len), Some(1));
            held += 1;
        }
    }
    assert_eq!(shop.stock(&mug).await, (1000, held, 1000 - held));
}

#[tokio::test]
async fn an_order_shipped_and_cancelled_at_once_is_one_of_the_two() {
    const ROUNDS: i64 = 20;
    let shop = InProcess::open().await;
    let mug = shop.product(1000).await;
    let (one, other) = (shop.staff().await, shop.admin());
    let mut shipped = 0;
    for _ in 0..ROUNDS {
        let order = one.orders(&[(&mug, 1)]).await.expect(201).id();
        one.moves(&order, "paid").await.expect(200);
        let path = format!("/orders/{order}");
        let (ship, cancel) =
            join(one.put(&path, to("shipped")), other.put(&path, json!({ "status": "cancelled" }))).await;
        let order = one.get(&path).await.expect(200);
        assert_eq!(order["version"], 3);
        if ship.status == 200 {
            cancel.problem(409, "invalid-transition");
            assert_eq!(walked(&order.body), ["placed", "paid", "shipped"]);
            shipped += 1;
        } else {
            ship.problem(409, "invalid-transition");
            cancel.expect(200);
            assert_eq!(walked(&order.body), ["placed", "paid", "cancelled"]);
            assert_eq!(order["tracking"], json!({ "carrier": null, "number": null, "url": null }));
        }
    }
    assert_eq!(shop.stock(&mug).await, (1000 - shipped, 0, 1000 - shipped));
}

#[tokio::test]
async fn thirty_who_cancel_an_order_at_once_cancel_it_once() {
    let shop = InProcess::open().await;
    let mug = shop.product(10).await;
    let ada = shop.customer().await;
    let staff = shop.staff().await;
    let kept = ada.orders(&[(&mug, 2)]).await.expect(201).id();
    let order = ada.orders(&[(&mug, 3)]).await.expect(201).id();
    let answers = (0..30).map(|n| if n % 2 == 0 { &ada } else { &staff });
    let answers = join_all(answers.map(|person| person.moves(&order, "cancelled"))).await;
    for answer in answers {
        assert_eq!(answer.expect(200)["version"], 2);
    }
    let order = ada.get(&format!("/orders/{order}")).await.expect(200);
    assert_eq!(walked(&order.body), ["placed", "cancelled"]);
    assert_eq!(shop.stock(&mug).await, (10, 2, 8));
    assert_eq!(ada.get(&format!("/orders/{kept}")).await["status"], "placed");
}

#[tokio::test]
async fn thirty_who_ship_an_order_at_once_deduct_its_pieces_once() {
    let shop = InProcess::open().await;
    let (mug, pot) = (shop.product(10).await, shop.product(10).await);
    let staff = shop.staff().await;
    let order = staff.orders(&[(&mug, 3), (&pot, 1)]).await.expect(201).id();
    staff.moves(&order, "paid").await.expect(200);
    let answers = join_all((0..30).map(|_| staff.moves(&order, "shipped"))).await;
    for answer in answers {
        assert_eq!(answer.expect(200)["version"], 3);
    }
    assert_eq!((shop.stock(&mug).await, shop.stock(&pot).await), ((7, 0, 7), (9, 0, 9)));
}

#[tokio::test]
async fn of_edits_at_once_none_is_lost() {
    let shop = InProcess::open().await;
    let staff = shop.staff().await;
    let (ada, order) = shop.order_in("placed").await;
    let path = format!("/orders/{order}");
    // Different fields: whoever is second must not undo what the first has written.
    for round in 1..=10 {
        let text = round.to_string();
        let (by_ada, by_staff) = join(
            ada.put(&path, json!({ "note": text })),
            staff.put(&path, json!({ "metadata": { "round": text } })),
        )
        .await;
        by_ada.expect(200);
        by_staff.expect(200);
        let order = staff.get(&path).await.expect(200);
        assert_eq!((&order["note"], &order["metadata"]["round"]), (&json!(text), &json!(text)));
        assert_eq!(order["version"], 1 + 2 * round);
    }
}

#[tokio::test]
async fn thirty_who_write_different_notes_at_once_are_all_heard() {
    let shop = InProcess::open().await;
    let staff = shop.staff().await;
    let (_, order) = shop.order_in("paid").await;
    let path = format!("/orders/{order}");
    let answers = (0..30).map(|n| staff.put(&path, json!({ "note": n.to_string() })));
    let mut versions: Vec<i64> = Vec::new();
    for answer in join_all(answers).await {
        versions.push(answer.expect(200)["version"].as_i64().unwrap());
    }
    versions.sort_unstable();
    // Without If-Match each applies to the latest version: none is lost, and none is refused.
    assert_eq!(versions, (3..33).collect::<Vec<i64>>());
}

#[tokio::test]
async fn where_there_is_enough_for_all_nobody_is_refused() {
    let shop = InProcess::open().await;
    let (mug, pot) = (shop.product(100).await, shop.product(100).await);
    let customers = shop.people(Role::Customer, 64);
    let one_way = [(mug.as_str(), 1), (pot.as_str(), 1)];
    let other_way = [(pot.as_str(), 1), (mug.as_str(), 1)];
    let orders = customers.iter().enumerate().map(|(place, customer)| {
        let lines = if place % 2 == 0 { &one_way } else { &other_way };
        customer.orders(lines)
    });
    for answer in join_all(orders).await {
        answer.expect(201);
    }
    assert_eq!([shop.stock(&mug).await, shop.stock(&pot).await], [(100, 64, 36), (100, 64, 36)]);
}
