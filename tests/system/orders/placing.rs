//! Placing orders with a fixed clock, fixed SKUs, and whole lists.

use serde_json::json;
use shared::values::clock::{Clock, Timestamp};
use shared::values::ids::{OrderId, ProductId, UserId};
use tests::in_process::InProcess;
use tests::person::address;
use tests::support::orders::list;

#[tokio::test]
async fn an_order_says_everything_that_the_contract_names() {
    let now = Timestamp::from_millis(1_800_000_000_123);
    let shop = InProcess::open_with_clock(Clock::from_fn(move || now)).await;
    let mug = shop.product_with(json!({ "sku": "MUG", "stock": 10 })).await.id();
    let price = json!({ "amount": 1299, "currency": "EUR" });
    let pot =
        shop.product_with(json!({ "sku": "POT", "name": "Pot", "price": price, "stock": 5 })).await.id();
    let ada = shop.customer().await;
    let body = json!({
        "items": [{ "product_id": pot, "quantity": 2 }, { "product_id": mug, "quantity": 3 }],
        "shipping_address": address(),
        "note": "Ring twice.\n\tThank you ☕",
        "user_id": ada.id,
        "metadata": { "$ne": "x", "a.b": "" },
    });
    let order = ada.post("/orders", body).await.expect(201);
    assert_eq!(order.header("location"), Some(format!("/orders/{}", order.id()).as_str()));

    let number = order.text("number");
    let (first, last) = number.split_once('-').unwrap();
    assert_eq!((first.len(), last.len()), (4, 4), "{number}");
    let crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    assert!(number.chars().all(|digit| digit == '-' || crockford.contains(digit)), "{number}");

    let expected = json!({
        "id": order.id(),
        "number": number,
        "user_id": ada.id,
        "status": "placed",
        "items": [
            {
                "id": order["items"][0]["id"], "cancelled": 0, "shipped": 0, "returned": 0, "refunded": 0,
                "product_id": pot, "sku": "POT", "name": "Pot", "quantity": 2,
                "unit_price": { "amount": 1299, "currency": "EUR" }, "discounts": [], "taxes": [],
                "total": { "amount": 2598, "currency": "EUR" },
            },
            {
                "id": order["items"][1]["id"], "cancelled": 0, "shipped": 0, "returned": 0, "refunded": 0,
                "product_id": mug, "sku": "MUG", "name": "Mug", "quantity": 3,
                "unit_price": { "amount": 500, "currency": "EUR" }, "discounts": [], "taxes": [],
                "total": { "amount": 1500, "currency": "EUR" },
            },
        ],
        "total": { "amount": 4098, "currency": "EUR" },
        "shipping_address": {
            "name": null, "company": null, "phone": null, "line1": "1 Way", "line2": null, "city": "Bonn",
            "region": null, "postal_code": "53111", "country": "DE",
        },
        "billing_address": null,
        "shipping": null,
        "external_number": null,
        "note": "Ring twice.\n\tThank you ☕",
        "metadata": { "$ne": "x", "a.b": "" },
        "totals": {
            "items": 4098, "discounts": 0, "shipping": 0, "tax": 0, "tax_included": 0, "total": 4098,
            "cancelled": 0, "paid": 0, "refunded": 0, "due": 4098, "refund_due": 0,
        },
        "payment_status": "unpaid",
        "payments": [],
        "refunds": [],
        "payment": { "reference": null, "method": null, "refund_reference": null },
        "fulfillment_status": "unfulfilled",
        "fulfillments": [],
        "return_status": "none",
        "returns": [],
        "tracking": { "carrier": null, "number": null, "url": null },
        "history": [
            {
                "at": "2027-01-15T08:00:00.123Z", "event": "status", "from": null, "to": "placed", "by": ada.id,
                "reason": null, "subject": null,
            },
        ],
        "expires_at": "2027-01-16T08:00:00.123Z",
        "version": 1,
        "created_at": "2027-01-15T08:00:00.123Z",
        "updated_at": "2027-01-15T08:00:00.123Z",
    });
    assert_eq!(order.body, expected);
    let read = ada.get(&format!("/orders/{}", order.id())).await.expect(200);
    assert_eq!(read.body, expected);
    assert_eq!((shop.stock(&pot).await, shop.stock(&mug).await), ((5, 2, 3), (10, 3, 7)));
}

#[tokio::test]
async fn all_unorderable_products_are_named_and_nothing_is_held() {
    let shop = InProcess::open().await;
    let mug = shop.product(10).await;
    let draft = shop.product_with(json!({ "stock": 10, "status": "draft" })).await.id();
    let archived = shop.product_with(json!({ "stock": 10, "status": "archived" })).await.id();
    let unknown = ProductId::new().to_string();
    let (ada, staff) = (shop.customer().await, shop.staff().await);
    let lines = [(unknown.as_str(), 1), (&mug, 1), (&draft, 1), (&archived, 1)];
    // Staff can see drafts, and yet nobody can order them.
    for person in [&ada, &staff] {
        let refusal = person.orders(&lines).await;
        refusal.faults_at(&["/items/0/product_id", "/items/2/product_id", "/items/3/product_id"]);
    }
    for one in [&unknown, &draft, &archived] {
        ada.orders(&[(one, 1)]).await.faults_at(&["/items/0/product_id"]);
        // What cannot be ordered is told before what is short.
        ada.orders(&[(&mug, 11), (one, 1)]).await.faults_at(&["/items/1/product_id"]);
    }
    // What is malformed is told before anything is looked up.
    let user = UserId::new().to_string();
    let malformed = [(mug.as_str(), 1), ("x", 1), (&user, 1), (&unknown, 1)];
    ada.orders(&malformed).await.faults_at(&["/items/1/product_id", "/items/2/product_id"]);
    let twice = [(mug.as_str(), 1), (&unknown, 1), (&mug, 2), (&mug, 3)];
    ada.orders(&twice).await.faults_at(&["/items/2/product_id", "/items/3/product_id"]);
    for product in [&mug, &draft, &archived] {
        assert_eq!(shop.stock(product).await, (10, 0, 10));
    }
    assert_eq!(list(&staff, "").await, Vec::<String>::new());
}

#[tokio::test]
async fn customers_see_their_own_orders_and_staff_see_all() {
    let shop = InProcess::open().await;
    let mug = shop.product(10).await;
    let (ada, bob, staff) = (shop.customer().await, shop.customer().await, shop.staff().await);
    let hers = ada.orders(&[(&mug, 1)]).await.expect(201).id();
    let his = bob.orders(&[(&mug, 1)]).await.expect(201).id();

    let path = format!("/orders/{hers}");
    let theirs = bob.get(&path).await.problem(404, "not-found");
    let unknown = bob.get(&format!("/orders/{}", OrderId::new())).await.problem(404, "not-found");
    assert_eq!(theirs["detail"], unknown["detail"], "nobody learns which orders there are");
    bob.put(&path, json!({ "note": "mine" })).await.problem(404, "not-found");
    bob.put(&path, json!({})).await.problem(404, "not-found");
    for person in [&ada, &staff, &shop.admin()] {
        assert_eq!(person.get(&path).await.expect(200).id(), hers);
    }

    assert_eq!(list(&ada, "").await, [hers.as_str()]);
    assert_eq!(list(&bob, "").await, [his.as_str()]);
    assert_eq!(list(&staff, "").await, [his.clone(), hers.clone()]);
    assert_eq!(list(&shop.admin(), "").await, [his.clone(), hers.clone()]);
    // A filter on what the caller may not see gives an empty list.
    assert_eq!(list(&ada, &format!("?user_id={}", ada.id)).await, [hers.as_str()]);
    assert_eq!(list(&ada, &format!("?user_id={}", bob.id)).await, Vec::<String>::new());
    assert_eq!(list(&staff, &format!("?user_id={}", bob.id)).await, [his]);
    assert_eq!(list(&staff, &format!("?user_id={}", UserId::new())).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_list_has_the_orders_of_one_status() {
    let shop = InProcess::open().await;
    let mut in_status = Vec::new();
    for status in ["placed", "paid", "shipped", "delivered", "cancelled", "returned", "refunded"] {
        let (owner, order) = shop.order_in(status).await;
        in_status.push((status, owner, order));
    }
    let staff = shop.admin();
    for (status, owner, order) in &in_status {
        assert_eq!(list(&staff, &format!("?status={status}")).await, [order.as_str()]);
        assert_eq!(list(owner, &format!("?status={status}")).await, [order.as_str()]);
        let both = format!("?status={status}&user_id={}", owner.id);
        assert_eq!(list(&staff, &both).await, [order.as_str()]);
        let other = if *status == "placed" { "paid" } else { "placed" };
        assert_eq!(list(owner, &format!("?status={other}")).await, Vec::<String>::new());
        assert_eq!(list(&staff, &format!("?status={other}&user_id={}", owner.id)).await.len(), 0);
    }
}
