//! Placing orders: permissions, copies of products, refusals, and lists.

use serde_json::{Value, json};
use shared::values::ids::UserId;
use tests::answer::Answer;
use tests::shop::{Shop, new_sku, order_of};
use tests::support::orders::{ids, list};

/// An order for somebody else.
fn order_for(user: &str, product: &str) -> Value {
    let mut order = order_of(product, 1);
    order["user_id"] = json!(user);
    order
}

#[tokio::test]
async fn null_is_as_absent_where_a_field_may_be_left_out() {
    let shop = Shop::open().await;
    let mug = shop.product(10).await;
    let ada = shop.customer().await;
    let mut body = order_of(&mug, 1);
    let optional =
        ["billing_address", "shipping", "external_number", "note", "internal_note", "user_id", "metadata"];
    for field in optional {
        body[field] = Value::Null;
    }
    let of_address = ["name", "company", "phone", "line2", "region", "postal_code"];
    for field in of_address {
        body["shipping_address"][field] = Value::Null;
    }
    let order = ada.post("/orders", body).await.expect(201);
    assert_eq!(order.text("user_id"), ada.id);
    assert_eq!(order["metadata"], json!({}));
    for field in ["billing_address", "shipping", "external_number", "note"] {
        assert_eq!(order.body.get(field), Some(&Value::Null), "{field}");
    }
    for field in of_address {
        assert_eq!(order["shipping_address"].get(field), Some(&Value::Null), "{field}");
    }
}

#[tokio::test]
async fn staff_and_admins_order_for_every_active_user() {
    let shop = Shop::open().await;
    let mug = shop.product(100).await;
    let (ada, staff, admin) = (shop.customer().await, shop.staff().await, shop.admin());
    for person in [&staff, &admin] {
        let own = person.orders(&[(&mug, 1)]).await.expect(201);
        assert_eq!(own.text("user_id"), person.id);

        let hers = person.post("/orders", order_for(&ada.id, &mug)).await.expect(201);
        assert_eq!(hers.text("user_id"), ada.id);
        // Staff see who it was; to the customer they are all `staff`.
        assert_eq!(hers["history"][0]["by"], json!(person.id));
        let seen = ada.get(&format!("/orders/{}", hers.id())).await.expect(200);
        assert_eq!(seen["history"][0]["by"], "staff");
        assert_eq!(list(&ada, "?limit=1").await, [hers.id()]);
    }
    // Staff are users too: an order of one by the other.
    let order = staff.post("/orders", order_for(&admin.id, &mug)).await.expect(201);
    assert_eq!(order.text("user_id"), admin.id);
}

#[tokio::test]
async fn nobody_orders_for_a_user_who_is_unknown_disabled_or_deleted() {
    let shop = Shop::open().await;
    let mug = shop.product(10).await;
    let (staff, admin) = (shop.staff().await, shop.admin());
    let (disabled, deleted) = (shop.customer().await, shop.customer().await);
    admin.put(&format!("/users/{}", disabled.id), json!({ "status": "disabled" })).await.expect(200);
    admin.delete(&format!("/users/{}", deleted.id)).await.expect(204);
    for user in [disabled.id, deleted.id, UserId::new().to_string()] {
        for person in [&staff, &admin] {
            person.post("/orders", order_for(&user, &mug)).await.faults_at(&["/user_id"]);
        }
    }
    assert_eq!(shop.stock(&mug).await, (10, 0, 10));
}

#[tokio::test]
async fn a_customer_orders_for_nobody_else() {
    let shop = Shop::open().await;
    let mug = shop.product(10).await;
    let (ada, bob) = (shop.customer().await, shop.customer().await);
    // Whether there is such a user is not told.
    for user in [&bob.id, &shop.admin().id, &UserId::new().to_string()] {
        ada.post("/orders", order_for(user, &mug)).await.problem(403, "forbidden");
    }
    ada.post("/orders", order_for(&ada.id, &mug)).await.expect(201);
    assert_eq!(shop.stock(&mug).await, (10, 1, 9));
}

#[tokio::test]
async fn an_order_keeps_what_the_products_were() {
    let shop = Shop::open().await;
    let mug = shop.product(10).await;
    let ada = shop.customer().await;
    let order = ada.orders(&[(&mug, 2)]).await.expect(201);
    let price = json!({ "amount": 1, "currency": "USD" });
    let change = json!({ "sku": new_sku(), "name": "Cup", "price": price, "status": "archived" });
    shop.admin().put(&format!("/products/{mug}"), change).await.expect(200);

    let read = ada.get(&format!("/orders/{}", order.id())).await.expect(200);
    assert_eq!(read.body, order.body);
    // It goes on, too. The counters alone say what became of its units.
    let kept = |order: &Answer| {
        let mut items = order["items"].clone();
        for counter in ["cancelled", "shipped", "returned", "refunded"] {
            items[0][counter] = json!(null);
        }
        (items, order["total"].clone())
    };
    let staff = shop.admin();
    for (status, stock) in [("paid", (10, 2, 8)), ("shipped", (8, 0, 8)), ("delivered", (8, 0, 8))] {
        let moved = staff.moves(&order.id(), status).await.expect(200);
        assert_eq!(kept(&moved), kept(&order));
        assert_eq!(shop.stock(&mug).await, stock, "{status}");
    }
    let back = json!({ "status": "returned", "restock": true });
    staff.put(&format!("/orders/{}", order.id()), back).await.expect(200);
    assert_eq!(shop.stock(&mug).await, (10, 0, 10));
    // A new order of it is another matter.
    ada.orders(&[(&mug, 1)]).await.faults_at(&["/items/0/product_id"]);
}

#[tokio::test]
async fn an_order_has_one_currency() {
    let shop = Shop::open().await;
    let euro = shop.product(10).await;
    let price = |currency: &str| json!({ "stock": 10, "price": { "amount": 500, "currency": currency } });
    let dollar = shop.product_with(price("USD")).await.id();
    let yen = shop.product_with(price("JPY")).await.id();
    let ada = shop.customer().await;
    let lines = [(dollar.as_str(), 1), (&euro, 1), (&yen, 1)];
    ada.orders(&lines).await.faults_at(&["/items/1/product_id", "/items/2/product_id"]);
    // Told before what is short.
    ada.orders(&[(&euro, 11), (&dollar, 1)]).await.faults_at(&["/items/1/product_id"]);
    for product in [&euro, &dollar, &yen] {
        assert_eq!(shop.stock(product).await, (10, 0, 10));
    }
    let order = ada.orders(&[(&yen, 3)]).await.expect(201);
    assert_eq!(order["total"], json!({ "amount": 1500, "currency": "JPY" }));
}

#[tokio::test]
async fn every_shortage_is_named_and_nothing_is_held() {
    let shop = Shop::open().await;
    let (mug, pot, cup, none) =
        (shop.product(10).await, shop.product(3).await, shop.product(5).await, shop.product(0).await);
    let ada = shop.customer().await;
    ada.orders(&[(&cup, 4)]).await.expect(201);
    let refusal = ada.orders(&[(&pot, 4), (&mug, 10), (&cup, 2), (&none, 1)]).await;
    let refusal = refusal.problem(409, "insufficient-stock");
    let shortages = json!([
        { "product_id": pot, "requested": 4, "available": 3 },
        { "product_id": cup, "requested": 2, "available": 1 },
        { "product_id": none, "requested": 1, "available": 0 },
    ]);
    assert_eq!(refusal["items"], shortages);
    // One line goes another way inside; it answers the same.
    let refusal = ada.orders(&[(&pot, 4)]).await.problem(409, "insufficient-stock");
    assert_eq!(refusal["items"], json!([{ "product_id": pot, "requested": 4, "available": 3 }]));
    for (product, stock) in [(&mug, (10, 0, 10)), (&pot, (3, 0, 3)), (&cup, (5, 4, 1)), (&none, (0, 0, 0))] {
        assert_eq!(shop.stock(product).await, stock);
    }
    assert_eq!(list(&ada, "").await.len(), 1);
    // Just as many as there are is enough.
    ada.orders(&[(&pot, 3), (&mug, 10), (&cup, 1)]).await.expect(201);
    for (product, stock) in [(&mug, (10, 10, 0)), (&pot, (3, 3, 0)), (&cup, (5, 5, 0))] {
        assert_eq!(shop.stock(product).await, stock);
    }
}

#[tokio::test]
async fn a_total_above_ten_to_the_fifteenth_is_refused_without_hold() {
    let shop = Shop::open().await;
    let price = json!({ "amount": 1_000_000_000_000_i64, "currency": "EUR" });
    let gem = shop.product_with(json!({ "price": price, "stock": 10_000 })).await.id();
    let mug = shop.product(10).await;
    let ada = shop.customer().await;
    for lines in [vec![(gem.as_str(), 1001)], vec![(&gem, 10_000)], vec![(&gem, 1000), (&mug, 1)]] {
        ada.orders(&lines).await.faults_at(&["/items"]);
        assert_eq!(shop.stock(&gem).await, (10_000, 0, 10_000));
        assert_eq!(shop.stock(&mug).await, (10, 0, 10));
    }
    let order = ada.orders(&[(&gem, 1000)]).await.expect(201);
    assert_eq!(order["total"]["amount"], 1_000_000_000_000_000_i64);
}

#[tokio::test]
async fn what_is_free_can_be_ordered() {
    let shop = Shop::open().await;
    let gift =
        shop.product_with(json!({ "price": { "amount": 0, "currency": "EUR" }, "stock": 1 })).await.id();
    let order = shop.customer().await.orders(&[(&gift, 1)]).await.expect(201);
    assert_eq!(order["total"], json!({ "amount": 0, "currency": "EUR" }));
}

#[tokio::test]
async fn without_a_token_there_are_no_orders() {
    let shop = Shop::open().await;
    let mug = shop.product(10).await;
    let (ada, order) = shop.order_in("placed").await;
    let path = format!("/orders/{order}");
    for person in [shop.anyone(), shop.anyone().with_token("x"), shop.anyone().with_token("")] {
        person.orders(&[(&mug, 1)]).await.problem(401, "unauthenticated");
        // Before the body is looked at.
        person.post("/orders", json!([])).await.problem(401, "unauthenticated");
        person.get("/orders").await.problem(401, "unauthenticated");
        person.get("/orders?nonsense=1").await.problem(401, "unauthenticated");
        person.get(&path).await.problem(401, "unauthenticated");
        person.get("/orders/nonsense").await.problem(401, "unauthenticated");
        person.put(&path, json!({ "status": "cancelled" })).await.problem(401, "unauthenticated");
    }
    assert_eq!(ada.get(&path).await.expect(200).text("status"), "placed");
    assert_eq!(shop.stock(&mug).await, (10, 0, 10));
}

#[tokio::test]
async fn a_walk_through_pages_meets_every_order_once_and_newest_first() {
    let shop = Shop::open().await;
    // One for each page, also where the shop has the orders of all other tests.
    let mug = shop.product(100_000).await;
    let (ada, bob, staff) = (shop.customer().await, shop.customer().await, shop.staff().await);
    let mut hers = Vec::new();
    for _ in 0..7 {
        hers.insert(0, ada.orders(&[(&mug, 1)]).await.expect(201).id());
        bob.orders(&[(&mug, 1)]).await.expect(201);
    }
    for (person, query, expected) in
        [(&ada, String::new(), 7), (&staff, String::new(), 14), (&staff, format!("&user_id={}", ada.id), 7)]
    {
        let mut met = Vec::new();
        let mut path = format!("/orders?limit=3{query}");
        loop {
            let page = person.get(&path).await.expect(200);
            assert!(page.data().len() <= 3);
            met.extend(ids(&page));
            // What comes in meanwhile is newer, and moves nothing.
            bob.orders(&[(&mug, 1)]).await.expect(201);
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            path = format!("/orders?limit=3{query}&cursor={cursor}");
            // A cursor belongs to its caller and its filters.
            bob.get(&path).await.problem(400, "invalid-query");
            person.get(&format!("{path}&status=placed")).await.problem(400, "invalid-query");
        }
        if expected == 7 {
            assert_eq!(met, hers);
        }
        let count = met.len();
        met.sort();
        met.dedup();
        assert_eq!(met.len(), count, "met twice");
        assert!(count >= expected);
    }
}

#[tokio::test]
async fn a_query_that_says_nothing_known_is_refused() {
    let shop = Shop::open().await;
    let ada = shop.customer().await;
    for query in [
        "status=",
        "status=void",
        "status=Placed",
        "status=placed&status=placed",
        "status[$ne]=placed",
        "user_id=",
        "user_id=x",
        "user_id=order_01h455vb4pex5vsknk084sn02q",
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=1.0",
        "limit=x",
        "limit=",
        "limit=99999999999999999999",
        "cursor=",
        "cursor=x",
        "cursor=AAAA",
        "nonsense=1",
        "%00=1",
    ] {
        for person in [&ada, &shop.admin()] {
            person.get(&format!("/orders?{query}")).await.problem(400, "invalid-query");
        }
    }
    ada.get("/orders?limit=100").await.expect(200);
    ada.get("/orders?limit=1").await.expect(200);
}
