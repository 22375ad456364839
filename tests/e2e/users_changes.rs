//! What a change of a user changes and what it leaves, passwords, and what is left of a user who is deleted.

use std::sync::atomic::Ordering;

use futures::future::join_all;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::person::{PASSWORD, Person, address};
use tests::shop::Shop;

use crate::auth::hand_moved_clock;
use crate::users::{assert_shows_a_user, path, sign_up};

const OTHER_PASSWORD: &str = "staple battery horse";

/// Signs in, whatever comes of it.
async fn tries(shop: &Shop, person: &Person, password: &str) -> u16 {
    let credentials = json!({ "email": person.email, "password": password });
    shop.anyone().post("/auth", credentials).await.status.as_u16()
}

#[tokio::test]
async fn a_change_touches_what_it_names_and_nothing_else() {
    let shop = Shop::open().await;
    let ada = shop.customer().await;
    let own = path(&ada);
    let full = json!({
        "line1": "1 Way", "line2": "c/o Babbage", "city": "Bonn", "region": "NRW", "postal_code": "53111",
        "country": "DE",
    });
    // Each row: a change, and what it makes of the user. What it does not name stays.
    let rows = [
        (json!({ "phone": "+49 30 1" }), json!({ "phone": "+49 30 1" })),
        (json!({ "address": full }), json!({ "address": full })),
        (json!({ "name": " Ada  Lovelace ☕" }), json!({ "name": " Ada  Lovelace ☕" })),
        (json!({ "email": "New@Example.org" }), json!({ "email": "New@Example.org" })),
        // Replaced whole: what the new one does not say is gone.
        (
            json!({ "address": { "line1": "2 Way", "city": "Rome", "country": "IT" } }),
            json!({ "address": { "line1": "2 Way", "line2": null, "city": "Rome", "region": null,
                "postal_code": null, "country": "IT" } }),
        ),
        (json!({ "phone": null }), json!({ "phone": null })),
        (json!({ "address": null }), json!({ "address": null })),
        (
            json!({ "name": "A", "phone": "123", "address": address() }),
            json!({ "name": "A", "phone": "123", "address": { "line1": "1 Way", "line2": null,
                "city": "Bonn", "region": null, "postal_code": "53111", "country": "DE" } }),
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
async fn a_change_that_changes_nothing_leaves_version_and_time() {
    let (clock, now) = hand_moved_clock();
    let shop = Shop::open_with_clock(clock).await;
    let ada = shop.customer().await;
    let own = path(&ada);
    now.fetch_add(1_000, Ordering::SeqCst);
    let before = ada.put(&own, json!({ "phone": "123", "address": address() })).await.expect(200);
    assert_ne!(before["updated_at"], before["created_at"]);
    now.fetch_add(1_000, Ordering::SeqCst);
    for nothing in [
        json!({}),
        json!({ "name": before["name"], "email": before["email"] }),
        json!({ "phone": "123" }),
        json!({ "address": address() }),
        json!({ "address": before["address"] }),
        // It proves something, and changes nothing.
        json!({ "current_password": PASSWORD }),
    ] {
        assert_eq!(ada.put(&own, nothing.clone()).await.expect(200).body, before.body, "{nothing}");
    }
    let same = json!({ "role": "customer", "status": "active" });
    assert_eq!(shop.admin().put(&own, same).await.expect(200).body, before.body);
    assert_eq!(ada.get(&own).await.expect(200).body, before.body);

    let after = ada.put(&own, json!({ "phone": null })).await.expect(200);
    assert_eq!((&after["version"], &after["created_at"]), (&json!(3), &before["created_at"]));
    assert!(after.text("updated_at") > before.text("updated_at"));
}

#[tokio::test]
async fn nothing_of_a_change_that_is_refused_is_kept() {
    let shop = Shop::open().await;
    let (ada, bob) = (shop.customer().await, shop.customer().await);
    let before = ada.get(&path(&ada)).await.expect(200).body;
    let other = OTHER_PASSWORD;
    ada.put(&path(&ada), json!({ "name": "Eve", "phone": "1" })).await.faults_at(&["/phone"]);
    ada.put(&path(&ada), json!({ "name": "Eve", "role": "admin" })).await.problem(403, "forbidden");
    ada.put(&path(&ada), json!({ "name": "Eve", "email": bob.email })).await.problem(409, "email-taken");
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
        json!({ "email": "ada@example.org" }),
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
async fn everybody_changes_their_own_password_with_the_current_one() {
    let shop = Shop::open_in_process().await;
    for person in [shop.customer().await, shop.staff().await, shop.admin()] {
        let own = path(&person);
        let with = |current: Value| json!({ "password": OTHER_PASSWORD, "current_password": current });
        person.put(&own, json!({ "password": OTHER_PASSWORD })).await.faults_at(&["/current_password"]);
        person.put(&own, with(Value::Null)).await.faults_at(&["/current_password"]);
        for wrong in ["", "wrong", OTHER_PASSWORD, "Correct horse battery", "correct horse battery "] {
            person.put(&own, with(json!(wrong))).await.faults_at(&["/current_password"]);
        }
        assert_eq!(person.get(&own).await.expect(200)["version"], 1);

        let changed = person.put(&own, with(json!(PASSWORD))).await.expect(200);
        assert_eq!(changed["version"], 2);
        assert_shows_a_user(&changed.body);
        assert_eq!(tries(&shop, &person, PASSWORD).await, 401);
        assert_eq!(tries(&shop, &person, OTHER_PASSWORD).await, 200);
    }
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
async fn nothing_but_the_password_needs_the_current_one() {
    let shop = Shop::open_in_process().await;
    let ada = shop.customer().await;
    let changes = json!({ "name": "Ada", "email": "ada@example.org", "phone": "123" });
    ada.put(&path(&ada), changes).await.expect(200);
    // The password is the same still, also under the new address.
    shop.anyone().signs_in("ada@example.org", PASSWORD).await;
    assert_eq!(tries(&shop, &ada, PASSWORD).await, 401, "the old address");
}

#[tokio::test]
async fn who_is_disabled_cannot_sign_in_until_enabled_again() {
    let shop = Shop::open_in_process().await;
    let (ada, admin) = (shop.customer().await, shop.admin());
    let disabled = admin.put(&path(&ada), json!({ "status": "disabled" })).await.expect(200);
    assert_eq!((&disabled["status"], &disabled["version"]), (&json!("disabled"), &json!(2)));
    assert_eq!(tries(&shop, &ada, PASSWORD).await, 401);
    // They are there still: staff see them, and the e-mail address is theirs.
    assert_eq!(admin.get(&path(&ada)).await.expect(200)["status"], "disabled");
    let listed = admin.get("/users?role=customer").await.expect(200);
    assert_eq!((&listed.data()[0]["id"], &listed.data()[0]["status"]), (&json!(ada.id), &json!("disabled")));
    shop.anyone().post("/users", sign_up(&ada.email)).await.problem(409, "email-taken");

    admin.put(&path(&ada), json!({ "status": "active" })).await.expect(200);
    assert_eq!(tries(&shop, &ada, PASSWORD).await, 200);
}

#[tokio::test]
async fn nothing_personal_is_left_of_a_user_who_is_deleted() {
    let shop = Shop::open_in_process().await;
    let mut body = sign_up("Ada.Lovelace@example.com");
    body["name"] = json!("Ada Lovelace");
    body["phone"] = json!("+49 30 123456");
    body["address"] = address();
    let id = shop.anyone().post("/users", body).await.expect(201).id();
    let mut ada = shop.anyone().signs_in("ada.lovelace@example.com", PASSWORD).await;
    ada.id = id;
    ada.delete(&path(&ada)).await.expect(204);

    let users = shop.database.collection::<Document>("users");
    let left: Vec<Document> =
        futures::TryStreamExt::try_collect(users.find(doc! {}).await.unwrap()).await.unwrap();
    assert_eq!(left.len(), 2, "the admin, and what is left of her");
    for document in left.into_iter().filter(|document| document.get_str("role").is_err()) {
        let text = document.to_string().to_lowercase();
        for personal in ["ada", "lovelace", "example.com", "argon2", "123456", "1 way", "bonn", "53111"] {
            assert!(!text.contains(personal), "{personal} in {text}");
        }
        let kept = ["_id", "status", "version", "created_at", "updated_at", "epoch", "revoked_at"];
        assert!(document.keys().all(|key| kept.contains(&key.as_str())), "{text}");
    }

    assert_eq!(tries(&shop, &ada, PASSWORD).await, 401);
    for role in ["", "?role=customer"] {
        let list = shop.admin().get(&format!("/users{role}")).await.expect(200);
        assert!(list.data().iter().all(|user| user["id"] != json!(ada.id)), "{role}");
    }
}

#[tokio::test]
async fn the_e_mail_address_of_a_user_who_is_deleted_is_free_for_somebody_new() {
    let shop = Shop::open_in_process().await;
    let mut ids = Vec::new();
    // More than once: what is left of several users must not be in each other's way.
    for email in ["ada@example.com", "ADA@example.com", "Ada@Example.com"] {
        let id = shop.anyone().post("/users", sign_up(email)).await.expect(201).id();
        shop.admin().delete(&format!("/users/{id}")).await.expect(204);
        assert!(!ids.contains(&id));
        ids.push(id);
    }
    for id in ids {
        shop.admin().get(&format!("/users/{id}")).await.problem(404, "not-found");
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
