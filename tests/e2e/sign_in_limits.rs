//! How often one may try to sign in: by e-mail address, and by the address that requests come from.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use futures::future::join_all;
use http::{Method, header};
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use shared::values::clock::Clock;
use tests::answer::Answer;
use tests::person::PASSWORD;
use tests::shop::{Shop, new_email};

use crate::auth::hand_moved_clock;
use crate::users::{path, sign_up};

const MINUTE: i64 = 60_000;
const WRONG: &str = "a wrong password";

async fn tries(shop: &Shop, email: &str, password: &str) -> Answer {
    shop.anyone().post("/auth", json!({ "email": email, "password": password })).await
}

#[track_caller]
fn too_many(answer: Answer, seconds: &str) -> Answer {
    let answer = answer.problem(429, "too-many-requests");
    assert_eq!(answer.header("retry-after"), Some(seconds));
    answer
}

#[tokio::test]
async fn after_ten_failures_in_fifteen_minutes_an_e_mail_address_is_locked_known_or_not() {
    let (clock, now) = hand_moved_clock();
    let shop = Shop::open_with_clock(clock).await;
    let (ada, nobody, bob) = (shop.customer().await, new_email(), shop.customer().await);
    let mut details = Vec::new();
    for email in [ada.email.as_str(), nobody.as_str()] {
        for _ in 0..10 {
            tries(&shop, email, WRONG).await.problem(401, "unauthenticated");
            now.fetch_add(MINUTE, Ordering::SeqCst);
        }
        // Nine minutes after the second, in any case, right password or not.
        for password in [WRONG, PASSWORD] {
            let answer = too_many(tries(&shop, &email.to_uppercase(), password).await, "300");
            details.push(answer.text("detail"));
        }
        now.fetch_add(5 * MINUTE - 1, Ordering::SeqCst);
        too_many(tries(&shop, email, PASSWORD).await, "1");
        // One of the ten is fifteen minutes old, so one more may fail.
        now.fetch_add(1, Ordering::SeqCst);
        tries(&shop, email, WRONG).await.problem(401, "unauthenticated");
        too_many(tries(&shop, email, PASSWORD).await, "60");
    }
    assert_eq!(details[..2], details[2..], "known or not");
    tries(&shop, &bob.email, PASSWORD).await.expect(200);
    now.fetch_add(15 * MINUTE, Ordering::SeqCst);
    tries(&shop, &ada.email, PASSWORD).await.expect(200);
}

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
async fn a_wrong_current_password_counts_as_a_failed_sign_in() {
    let shop = Shop::open().await;
    let ada = shop.customer().await;
    let change = |current: &str| json!({ "password": "staple battery horse", "current_password": current });
    for _ in 0..5 {
        ada.put(&path(&ada), change(WRONG)).await.faults_at(&["/current_password"]);
        tries(&shop, &ada.email, WRONG).await.problem(401, "unauthenticated");
    }
    tries(&shop, &ada.email, PASSWORD).await.problem(429, "too-many-requests");
    ada.put(&path(&ada), change(PASSWORD)).await.problem(429, "too-many-requests");
    // What needs no password goes on.
    ada.put(&path(&ada), json!({ "name": "Ada" })).await.expect(200);
}

#[tokio::test]
async fn the_password_of_a_repeated_sign_up_cannot_be_guessed_for_ever() {
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

#[tokio::test]
async fn a_count_has_no_e_mail_address() {
    let shop = Shop::open_limited(Clock::system(), 5).await;
    tries(&shop, "ada.lovelace@example.com", WRONG).await.problem(401, "unauthenticated");
    for (name, personal) in [("user_attempts", "lovelace"), ("user_addresses", "127.0.0.1")] {
        let kept = shop.database.collection::<Document>(name).find_one(doc! {}).await.unwrap().unwrap();
        assert!(!kept.to_string().contains(personal), "{kept}");
    }
}

/// All routes that count, one after the other.
async fn request(shop: &Shop, number: usize) -> Answer {
    match number % 3 {
        0 => tries(shop, &new_email(), WRONG).await,
        1 => shop.anyone().post("/auth/refresh", json!({ "refresh_token": "none" })).await,
        _ => shop.anyone().post("/users", json!({})).await,
    }
}

#[tokio::test]
async fn an_address_may_sign_in_and_up_so_often_a_minute_and_do_all_else_as_it_likes() {
    let (clock, now) = hand_moved_clock();
    let shop = Shop::open_limited(clock, 7).await;
    for round in 0..3 {
        // The admin of the shop has signed in from here already.
        for number in usize::from(round == 0)..7 {
            assert_ne!(request(&shop, number).await.status, 429, "{round} {number}");
        }
        for number in 0..3 {
            too_many(request(&shop, number).await, "60");
        }
        // Whatever a client says about itself, its address is that of its connection.
        let anyone = shop.anyone();
        let mut forged =
            anyone.request(Method::POST, "/auth").header(header::CONTENT_TYPE, "application/json");
        for name in ["x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip"] {
            forged = forged.header(name, "192.0.2.7");
        }
        too_many(anyone.answer(forged.body("{}")).await, "60");
        shop.anyone().post("/auth/logout", json!({ "refresh_token": "none" })).await.expect(204);
        for open in ["/products", "/.well-known/jwks.json"] {
            shop.anyone().get(open).await.expect(200);
        }
        shop.admin().get("/users").await.expect(200);
        now.fetch_add(MINUTE - 1, Ordering::SeqCst);
        too_many(request(&shop, 0).await, "1");
        now.fetch_add(1, Ordering::SeqCst);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn addresses_are_counted_apart() {
    let shop = Shop::open_limited(Clock::system(), 3).await;
    let from = |address: [u8; 4]| {
        let http = reqwest::Client::builder().local_address(IpAddr::from(address)).build().unwrap();
        let url = format!("{}/auth/refresh", shop.base);
        async move {
            let request = http.post(url).header(header::CONTENT_TYPE, "application/json");
            request.body("{\"refresh_token\": \"none\"}").send().await.unwrap().status().as_u16()
        }
    };
    for address in [[127, 0, 0, 2], [127, 0, 0, 3]] {
        for expected in [401, 401, 401, 429] {
            assert_eq!(from(address).await, expected, "{address:?}");
        }
    }
}
