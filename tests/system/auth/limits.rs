//! Limits of signing in: the lock of an e-mail address over time, and the rate limit of a source address.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use http::{Method, header};
use mongodb::bson::{Document, doc};
use serde_json::json;
use shared::values::clock::Clock;
use tests::answer::Answer;
use tests::in_process::InProcess;
use tests::person::PASSWORD;
use tests::shop::{Shop, new_email};
use tests::support::sign_in::{WRONG, tries};

use crate::support::clock::hand_moved_clock;

const MINUTE: i64 = 60_000;

#[track_caller]
fn too_many(answer: Answer, seconds: &str) -> Answer {
    let answer = answer.problem(429, "too-many-requests");
    assert_eq!(answer.header("retry-after"), Some(seconds));
    answer
}

#[tokio::test]
async fn ten_failures_in_fifteen_minutes_lock_an_email_known_or_not() {
    let (clock, now) = hand_moved_clock();
    let shop = InProcess::open_with_clock(clock).await;
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
async fn a_count_has_no_e_mail_address() {
    let shop = InProcess::open_limited(Clock::system(), 5).await;
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
async fn an_address_has_a_limit_a_minute_for_signing_in_and_up_alone() {
    let (clock, now) = hand_moved_clock();
    let shop = InProcess::open_limited(clock, 7).await;
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
    let shop = InProcess::open_limited(Clock::system(), 3).await;
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
