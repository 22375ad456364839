//! Changes of a user with fixed e-mail addresses, a moved clock, or a look at the stored document.

use std::sync::atomic::Ordering;

use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::in_process::InProcess;
use tests::person::{PASSWORD, address};
use tests::support::sign_in::OTHER_PASSWORD;
use tests::support::users::{assert_shows_a_user, path, sign_up, tries};

use crate::support::clock::hand_moved_clock;

#[tokio::test]
async fn a_change_that_changes_nothing_leaves_version_and_time() {
    let (clock, now) = hand_moved_clock();
    let shop = InProcess::open_with_clock(clock).await;
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
async fn everybody_changes_their_own_password_with_the_current_one() {
    let shop = InProcess::open().await;
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
async fn a_new_password_or_address_needs_the_current_password() {
    let shop = InProcess::open().await;
    let ada = shop.customer().await;
    ada.put(&path(&ada), json!({ "name": "Ada", "phone": "123" })).await.expect(200);
    let change = json!({ "email": "ada@example.org" });
    ada.put(&path(&ada), change.clone()).await.faults_at(&["/current_password"]);
    let mut wrong = change.clone();
    wrong["current_password"] = json!("wrong");
    ada.put(&path(&ada), wrong).await.faults_at(&["/current_password"]);
    // In other letters it is another address.
    let change_of_case = json!({ "email": ada.email.to_uppercase() });
    ada.put(&path(&ada), change_of_case).await.faults_at(&["/current_password"]);
    assert_eq!(tries(&shop, &ada, PASSWORD).await, 200);
    let mut right = change;
    right["current_password"] = json!(PASSWORD);
    let changed = ada.put(&path(&ada), right).await.expect(200);
    assert_eq!((&changed["email"], &changed["version"]), (&json!("ada@example.org"), &json!(3)));
    // The password is the same still, also under the new address, and no session has ended.
    shop.anyone().signs_in("ada@example.org", PASSWORD).await;
    assert_eq!(tries(&shop, &ada, PASSWORD).await, 401, "the old address");
    ada.get(&path(&ada)).await.expect(200);
    // An admin changes another's without it, and their own with it.
    let admin = shop.admin();
    admin.put(&path(&ada), json!({ "email": "lovelace@example.org" })).await.expect(200);
    let own = json!({ "email": "root@example.org" });
    admin.put(&path(&admin), own).await.faults_at(&["/current_password"]);
}

#[tokio::test]
async fn who_is_disabled_cannot_sign_in_until_enabled_again() {
    let shop = InProcess::open().await;
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
    let shop = InProcess::open().await;
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
        let kept = ["_id", "status", "version", "created_at", "updated_at", "epoch", "revoked_at", "writer"];
        assert!(document.keys().all(|key| kept.contains(&key.as_str())), "{text}");
    }

    assert_eq!(tries(&shop, &ada, PASSWORD).await, 401);
    for role in ["", "?role=customer"] {
        let list = shop.admin().get(&format!("/users{role}")).await.expect(200);
        assert!(list.data().iter().all(|user| user["id"] != json!(ada.id)), "{role}");
    }
}

#[tokio::test]
async fn the_email_of_a_deleted_user_is_free_for_a_new_one() {
    let shop = InProcess::open().await;
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
