//! Changes of an order's items: the hold follows, all or nothing.

use futures::future::join_all;
use serde_json::{Value, json};
use tests::answer::Answer;
use tests::person::{Person, to};
use tests::shop::Shop;

async fn change(person: &Person, order: &str, lines: &[(&str, i64)]) -> Answer {
    person.put(&format!("/orders/{order}"), items(lines)).await
}

fn items(lines: &[(&str, i64)]) -> Value {
    let line = |(product, quantity): &(&str, i64)| json!({ "product_id": product, "quantity": quantity });
    json!({ "items": lines.iter().map(line).collect::<Vec<_>>() })
}

#[tokio::test]
async fn new_items_replace_the_old_and_the_hold_follows() {
    let shop = Shop::open().await;
    let (mug, pot, cup) = (shop.product(10).await, shop.product(10).await, shop.product(10).await);
    let ada = shop.customer().await;
    let order = ada.orders(&[(&mug, 4), (&pot, 5)]).await.expect(201);
    let path = format!("/orders/{}", order.id());
    // Fewer mugs cost what they cost when they were ordered. More of them cost what they cost by now.
    let dearer = json!({ "name": "Dear mug", "price": { "amount": 999, "currency": "EUR" } });
    shop.admin().put(&format!("/products/{mug}"), dearer).await.expect(200);
    let fewer = change(&ada, &order.id(), &[(&mug, 3), (&pot, 5)]).await.expect(200);
    assert_eq!(
        (&fewer["items"][0]["name"], &fewer["items"][0]["total"]["amount"]),
        (&json!("Mug"), &json!(1500))
    );

    let changed = change(&ada, &order.id(), &[(&cup, 2), (&mug, 9)]).await.expect(200);
    assert_eq!(changed["items"][0]["product_id"], cup);
    assert_eq!(
        (&changed["items"][1]["name"], &changed["items"][1]["total"]["amount"]),
        (&json!("Dear mug"), &json!(8991))
    );
    assert_eq!(changed["total"]["amount"], 9991);
    assert_eq!(changed["history"], order["history"]);
    assert_eq!(ada.get(&path).await.body, changed.body);
    assert_eq!(shop.stock(&mug).await, (10, 9, 1));
    assert_eq!(shop.stock(&pot).await, (10, 0, 10));
    assert_eq!(shop.stock(&cup).await, (10, 2, 8));

    // What is shipped is what was ordered last.
    for status in ["paid", "shipped"] {
        shop.admin().moves(&order.id(), status).await.expect(200);
    }
    assert_eq!((shop.stock(&mug).await, shop.stock(&cup).await), ((1, 0, 1), (8, 0, 8)));
}

#[tokio::test]
async fn a_refused_change_leaves_the_order_and_its_hold() {
    let shop = Shop::open().await;
    let (mug, pot) = (shop.product(5).await, shop.product(3).await);
    let yen =
        shop.product_with(json!({ "stock": 5, "price": { "amount": 1, "currency": "JPY" } })).await.id();
    let draft = shop.product_with(json!({ "stock": 5, "status": "draft" })).await.id();
    let gold = json!({ "stock": 9_999, "price": { "amount": 1_000_000_000_000_i64, "currency": "EUR" } });
    let gold = shop.product_with(gold).await.id();
    let ada = shop.customer().await;
    let order = ada.orders(&[(&mug, 4)]).await.expect(201);
    let short = change(&ada, &order.id(), &[(&pot, 4), (&mug, 6)]).await.problem(409, "insufficient-stock");
    assert_eq!(
        short["items"],
        json!([
            { "product_id": pot, "requested": 4, "available": 3 },
            { "product_id": mug, "requested": 6, "available": 5 },
        ])
    );
    change(&ada, &order.id(), &[(&mug, 1), (&draft, 1)]).await.faults_at(&["/items/1/product_id"]);
    change(&ada, &order.id(), &[(&mug, 1), (&yen, 1)]).await.faults_at(&["/items/1/product_id"]);
    change(&ada, &order.id(), &[(&mug, 1), (&gold, 9_999)]).await.faults_at(&["/items"]);
    let after = ada.get(&format!("/orders/{}", order.id())).await.expect(200);
    for field in ["items", "total", "status", "history", "note"] {
        assert_eq!(after[field], order[field], "{field}");
    }
    for (product, stock) in
        [(&mug, (5, 4, 1)), (&pot, (3, 0, 3)), (&yen, (5, 0, 5)), (&gold, (9_999, 0, 9_999))]
    {
        assert_eq!(shop.stock(product).await, stock);
    }
}

#[tokio::test]
async fn what_is_in_the_order_may_be_archived_by_now() {
    let shop = Shop::open().await;
    let (mug, pot) = (shop.product(9).await, shop.product(9).await);
    let ada = shop.customer().await;
    let order = ada.orders(&[(&mug, 4)]).await.expect(201).id();
    for product in [&mug, &pot] {
        shop.admin().put(&format!("/products/{product}"), json!({ "status": "archived" })).await.expect(200);
    }
    change(&ada, &order, &[(&mug, 3)]).await.expect(200);
    change(&ada, &order, &[(&mug, 3), (&pot, 1)]).await.faults_at(&["/items/1/product_id"]);
    assert_eq!(shop.stock(&mug).await, (9, 3, 6));
}

#[tokio::test]
async fn more_of_what_is_archived_by_now_cannot_be_ordered() {
    let shop = Shop::open().await;
    let cheap = json!({ "stock": 9_000, "price": { "amount": 1, "currency": "EUR" } });
    let mug = shop.product_with(cheap).await.id();
    let ada = shop.customer().await;
    let order = ada.orders(&[(&mug, 1)]).await.expect(201).id();
    let (path, dear) = (format!("/products/{mug}"), json!({ "amount": 99_900, "currency": "EUR" }));
    shop.admin().put(&path, json!({ "price": dear, "status": "archived" })).await.expect(200);
    for quantity in [5_000, 10_000] {
        change(&ada, &order, &[(&mug, quantity)]).await.faults_at(&["/items/0/product_id"]);
    }
    assert_eq!(shop.stock(&mug).await, (9_000, 1, 8_999));
    shop.admin().put(&path, json!({ "status": "active" })).await.expect(200);
    let changed = change(&ada, &order, &[(&mug, 5_000)]).await.expect(200);
    assert_eq!(changed["total"], json!({ "amount": 499_500_000, "currency": "EUR" }));
}

#[tokio::test]
async fn equal_items_are_no_change_and_other_fields_are_changed() {
    let shop = Shop::open().await;
    let (mug, ada) = (shop.product(9).await, shop.customer().await);
    let order = ada.orders(&[(&mug, 4)]).await.expect(201).id();
    assert_eq!(change(&ada, &order, &[(&mug, 4)]).await.expect(200)["version"], 1);
    let mut body = items(&[(&mug, 4)]);
    body["note"] = json!("Ring");
    let noted = ada.put(&format!("/orders/{order}"), body.clone()).await.expect(200);
    assert_eq!((&noted["version"], &noted["note"]), (&json!(2), &json!("Ring")));
    body["items"][0]["quantity"] = json!(5);
    body["note"] = json!("Knock");
    let both = ada.put(&format!("/orders/{order}"), body.clone()).await.expect(200);
    assert_eq!((&both["items"][0]["quantity"], &both["note"]), (&json!(5), &json!("Knock")));
    // All or nothing.
    body["items"][0]["quantity"] = json!(10);
    body["note"] = json!("Shout");
    let path = format!("/orders/{order}");
    ada.put(&path, body).await.problem(409, "insufficient-stock");
    assert_eq!(ada.get(&path).await["note"], "Knock");
}

#[tokio::test]
async fn items_change_while_placed_by_the_owner_and_staff() {
    let shop = Shop::open().await;
    let (mug, ada, bob) = (shop.product(9).await, shop.customer().await, shop.customer().await);
    let order = ada.orders(&[(&mug, 1)]).await.expect(201).id();
    change(&bob, &order, &[(&mug, 2)]).await.problem(404, "not-found");
    change(&shop.anyone(), &order, &[(&mug, 2)]).await.problem(401, "unauthenticated");
    change(&shop.staff().await, &order, &[(&mug, 3)]).await.expect(200);
    shop.admin().moves(&order, "paid").await.expect(200);
    for person in [&ada, &shop.admin()] {
        change(person, &order, &[(&mug, 2)]).await.problem(409, "order-not-editable");
    }
    assert_eq!(shop.stock(&mug).await, (9, 3, 6));
}

#[tokio::test]
async fn items_do_not_change_together_with_a_status() {
    let shop = Shop::open().await;
    let (ada, order) = shop.order_in("placed").await;
    let mug = shop.product(5).await;
    for status in ["cancelled", "placed", "paid"] {
        let mut body = to(status);
        body["items"] = items(&[(&mug, 1)])["items"].clone();
        ada.put(&format!("/orders/{order}"), body).await.faults_at(&["/items"]);
    }
}

#[tokio::test]
async fn of_changes_at_once_the_last_stands_and_holds_just_its_items() {
    let shop = Shop::open().await;
    let (mug, pot, ada) = (shop.product(100).await, shop.product(100).await, shop.customer().await);
    let order = ada.orders(&[(&mug, 1)]).await.expect(201).id();
    let changes: Vec<[(&str, i64); 2]> =
        (1..=16).map(|n| [(mug.as_str(), n), (pot.as_str(), 17 - n)]).collect();
    for answer in join_all(changes.iter().map(|lines| change(&ada, &order, lines))).await {
        answer.expect(200);
    }
    let order = ada.get(&format!("/orders/{order}")).await.expect(200);
    let quantity = |place: usize| order["items"][place]["quantity"].as_i64().unwrap_or(0);
    assert_eq!(shop.stock(&mug).await, (100, quantity(0), 100 - quantity(0)));
    assert_eq!(shop.stock(&pot).await, (100, quantity(1), 100 - quantity(1)));
}

#[tokio::test]
async fn an_order_paid_or_cancelled_amid_a_change_holds_its_items() {
    let shop = Shop::open().await;
    let (ada, admin) = (shop.customer().await, shop.admin());
    for round in 0..12 {
        let mug = shop.product(100).await;
        let order = ada.orders(&[(&mug, 1)]).await.expect(201).id();
        let status = ["paid", "cancelled"][round % 2];
        let seven = [(mug.as_str(), 7)];
        let (changed, moved) = futures::join!(change(&ada, &order, &seven), admin.moves(&order, status));
        moved.expect(200);
        let order = ada.get(&format!("/orders/{order}")).await.expect(200);
        let ordered = order["items"][0]["quantity"].as_i64().unwrap_or(0);
        match changed.status.as_u16() {
            200 => assert_eq!(ordered, 7),
            _ => assert_eq!(
                (changed.problem(409, "order-not-editable")["status"].clone(), ordered),
                (json!(409), 1)
            ),
        }
        let held = if status == "paid" { ordered } else { 0 };
        assert_eq!(shop.stock(&mug).await, (100, held, 100 - held), "{status}");
    }
}
