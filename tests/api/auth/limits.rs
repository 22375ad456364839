//! Limits of signing in by e-mail address: counted failures, and their reset.

use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};
use tests::person::PASSWORD;
use tests::shop::{Shop, new_email};
use tests::support::sign_in::{WRONG, tries};
use tests::support::users::{path, sign_up};

#[tokio::test]
async fn a_success_clears_the_count() {
    let shop = Shop::open().await;
    let ada = shop.customer().await;
    for _ in 0..3 {
        for _ in 0..9 {
            tries(&shop, &ada.email, WRONG).await.problem(401, "unauthenticated");
        }
        tries(&shop, &ada.email, PASSWORD).await.expect(200);
    }
}

#[tokio::test]
async fn ten_wrong_current_passwords_end_the_guessing_of_one_user() {
    let shop = Shop::open().await;
    let (ada, bob) = (shop.customer().await, shop.customer().await);
    let change = |current: &str| json!({ "password": "staple battery horse", "current_password": current });
    let email = |current: &str| json!({ "email": new_email(), "current_password": current });
    for _ in 0..5 {
        ada.put(&path(&ada), change(WRONG)).await.faults_at(&["/current_password"]);
        ada.put(&path(&ada), email(WRONG)).await.faults_at(&["/current_password"]);
        // What others try elsewhere does not count here.
        tries(&shop, &ada.email, WRONG).await.problem(401, "unauthenticated");
    }
    ada.put(&path(&ada), change(PASSWORD)).await.problem(429, "too-many-requests");
    ada.put(&path(&ada), email(PASSWORD)).await.problem(429, "too-many-requests");
    ada.put(&path(&ada), json!({ "email": new_email() })).await.faults_at(&["/current_password"]);
    // What needs no password goes on, and an admin needs none. A new address is no new beginning.
    ada.put(&path(&ada), json!({ "name": "Ada" })).await.expect(200);
    let moved = json!({ "email": new_email() });
    let moved = shop.admin().put(&path(&ada), moved).await.expect(200).text("email");
    ada.put(&path(&ada), change(PASSWORD)).await.problem(429, "too-many-requests");
    tries(&shop, &moved, PASSWORD).await.expect(200);
    bob.put(&path(&bob), change(PASSWORD)).await.expect(200);
}

#[tokio::test]
async fn the_right_current_password_clears_the_count() {
    let shop = Shop::open().await;
    let ada = shop.customer().await;
    let email = |current: &str| json!({ "email": new_email(), "current_password": current });
    for _ in 0..2 {
        for _ in 0..9 {
            ada.put(&path(&ada), email(WRONG)).await.faults_at(&["/current_password"]);
        }
        ada.put(&path(&ada), email(PASSWORD)).await.expect(200);
    }
}

#[tokio::test]
async fn a_repeated_sign_up_does_not_allow_endless_guesses() {
    let shop = Shop::open().await;
    let mut user = sign_up(&new_email());
    let send = async |user: &Value| shop.anyone().send_keyed(Method::POST, "/users", "k", user).await;
    send(&user).await.expect(201);
    assert!(send(&user).await.expect(201).is_replayed());
    user["password"] = json!("staple battery horse");
    for _ in 0..10 {
        send(&user).await.problem(422, "idempotency-key-reused");
    }
    send(&user).await.problem(429, "too-many-requests");
}

#[tokio::test]
async fn many_who_know_the_password_and_come_at_once_all_get_in() {
    let shop = Shop::open().await;
    let ada = shop.customer().await;
    for answer in join_all((0..30).map(|_| tries(&shop, &ada.email, PASSWORD))).await {
        answer.expect(200);
    }
}
