//! Changes of a user: fields, passwords, and the orders of a deleted user.

use futures::future::join_all;
use serde_json::json;
use tests::person::{PASSWORD, address};
use tests::shop::Shop;
use tests::support::sign_in::OTHER_PASSWORD;
use tests::support::users::{path, tries};

#[tokio::test]
async fn a_change_touches_what_it_names_and_nothing_else() {
    let shop = Shop::open().await;
    let ada = shop.customer().await;
    let own = path(&ada);
    let full = json!({
        "name": "Ada Lovelace", "company": "Engines Ltd", "phone": "+49 228 1", "line1": "1 Way", "line2": "c/o Babbage", "city": "Bonn", "region": "NRW", "postal_code": "53111",
        "country": "DE",
    });
    // Each row: a change, and what it makes of the user. What it does not name stays.
    let rows = [
        (json!({ "phone": "+49 30 1" }), json!({ "phone": "+49 30 1" })),
        (json!({ "address": full }), json!({ "address": full })),
        (json!({ "name": " Ada  Lovelace ☕" }), json!({ "name": " Ada  Lovelace ☕" })),
        (
            json!({ "email": "New@Example.org", "current_password": PASSWORD }),
            json!({ "email": "New@Example.org" }),
        ),
        // Replaced whole: what the new one does not say is gone.
        (
            json!({ "address": { "line1": "2 Way", "city": "Rome", "country": "IT" } }),
            json!({ "address": { "name": null, "company": null, "phone": null, "line1": "2 Way", "line2": null,
                "city": "Rome", "region": null, "postal_code": null, "country": "IT" } }),
        ),
        (json!({ "phone": null }), json!({ "phone": null })),
        (json!({ "address": null }), json!({ "address": null })),
        (
            json!({ "name": "A", "phone": "123", "address": address() }),
            json!({ "name": "A", "phone": "123", "address": { "name": null, "company": null, "phone": null,
                "line1": "1 Way", "line2": null, "city": "Bonn", "region": null, "postal_code": "53111",
                "country": "DE" } }),
        ),
    ];
    let mut expected = ada.get(&own).await.expect(200).body;
    for (version, (change, becomes)) in (2..).zip(rows) {
        let changed = ada.put(&own, change).await.expect(200);
        for (field, value) in becomes.as_object().unwrap() {
            expected[field] = value.clone();
        }
        expected["version"] = json!(version);
        expected["updated_at"] = changed["updated_at"].clone();
        assert_eq!(changed.body, expected);
        assert_eq!(ada.get(&own).await.expect(200).body, expected);
    }
}

#[tokio::test]
async fn nothing_of_a_change_that_is_refused_is_kept() {
    let shop = Shop::open().await;
    let (ada, bob) = (shop.customer().await, shop.customer().await);
    let before = ada.get(&path(&ada)).await.expect(200).body;
    let other = OTHER_PASSWORD;
    ada.put(&path(&ada), json!({ "name": "Eve", "phone": "1" })).await.faults_at(&["/phone"]);
    ada.put(&path(&ada), json!({ "name": "Eve", "role": "admin" })).await.problem(403, "forbidden");
    let taken = json!({ "name": "Eve", "email": bob.email, "current_password": PASSWORD });
    ada.put(&path(&ada), taken).await.problem(409, "email-taken");
    let wrong = json!({ "name": "Eve", "password": other, "current_password": "wrong" });
    ada.put(&path(&ada), wrong).await.faults_at(&["/current_password"]);
    let taken = json!({ "email": bob.email, "password": other, "current_password": PASSWORD });
    ada.put(&path(&ada), taken).await.problem(409, "email-taken");
    assert_eq!(ada.get(&path(&ada)).await.expect(200).body, before);
    assert_eq!((tries(&shop, &ada, PASSWORD).await, tries(&shop, &ada, other).await), (200, 401));
}

#[tokio::test]
async fn changes_at_the_same_moment_are_all_kept() {
    let shop = Shop::open().await;
    let ada = shop.customer().await;
    let own = path(&ada);
    let changes = [
        json!({ "name": "Ada" }),
        json!({ "phone": "123" }),
        json!({ "address": address() }),
        json!({ "email": "ada@example.org", "current_password": PASSWORD }),
    ];
    let answers = join_all(changes.iter().map(|change| ada.put(&own, change.clone()))).await;
    let mut versions: Vec<_> =
        answers.into_iter().map(|answer| answer.expect(200)["version"].as_i64()).collect();
    versions.sort_unstable();
    assert_eq!(versions, [Some(2), Some(3), Some(4), Some(5)]);
    let user = ada.get(&own).await.expect(200);
    assert_eq!((&user["name"], &user["phone"]), (&json!("Ada"), &json!("123")));
    assert_eq!((&user["address"]["city"], &user["email"]), (&json!("Bonn"), &json!("ada@example.org")));
}

#[tokio::test]
async fn an_admin_changes_anothers_password_without_the_current_one() {
    let shop = Shop::open().await;
    for person in [shop.customer().await, shop.staff().await, shop.person("admin").await] {
        let change = json!({ "password": OTHER_PASSWORD });
        let changed = shop.admin().put(&path(&person), change).await.expect(200);
        assert_eq!(changed["version"], 2);
        assert_eq!(tries(&shop, &person, PASSWORD).await, 401);
        assert_eq!(tries(&shop, &person, OTHER_PASSWORD).await, 200);
    }
}

#[tokio::test]
async fn the_orders_of_a_user_who_is_deleted_stay_and_go_on() {
    let shop = Shop::open().await;
    let (ada, staff, mug) = (shop.customer().await, shop.staff().await, shop.product(10).await);
    let order = ada.orders(&[(&mug, 2)]).await.expect(201);
    let order_path = format!("/orders/{}", order.id());
    ada.delete(&path(&ada)).await.expect(204);

    let kept = staff.get(&order_path).await.expect(200);
    assert_eq!(kept["user_id"], ada.id);
    assert_eq!(kept["shipping_address"], order["shipping_address"]);
    assert_eq!(kept["status"], "placed");
    assert_eq!(shop.stock(&mug).await, (10, 2, 8));
    for status in ["paid", "shipped", "delivered"] {
        let moved = staff.moves(&order.id(), status).await.expect(200);
        assert_eq!((&moved["user_id"], &moved["status"]), (&json!(ada.id), &json!(status)));
    }
    assert_eq!(shop.stock(&mug).await, (8, 0, 8));
}
