//! Limits of signing in: the lock of an e-mail address over time, and the rate limit of a source address.

#![expect(clippy::panic, reason = "a panic is how a test fails")]

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use http::{Method, header};
use mongodb::bson::{Document, doc};
use serde_json::json;
use shared::values::clock::Clock;
use tests::answer::Answer;
use tests::in_process::InProcess;
use tests::person::{PASSWORD, Person};
use tests::shop::{Shop, new_email};
use tests::support::sign_in::{WRONG, tries};
use tests::support::users::path;

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
async fn request(shop: &Shop, ada: &Person, number: usize) -> Answer {
    match number % 5 {
        0 => tries(shop, &new_email(), WRONG).await,
        1 => shop.anyone().post("/auth/refresh", json!({ "refresh_token": "none" })).await,
        2 => shop.anyone().post("/users", json!({})).await,
        3 => ada.put(&path(ada), json!({ "name": "" })).await,
        _ => ada.delete(&path(&shop.admin())).await,
    }
}

#[tokio::test]
async fn an_address_has_a_limit_a_minute_for_sign_ins_and_users_alone() {
    let (clock, now) = hand_moved_clock();
    let shop = InProcess::open_limited(clock, 7).await;
    let ada = shop.customer().await;
    for round in 0..3 {
        // The admin of the shop has signed in from here already, and made and become a customer.
        for number in if round == 0 { 3 } else { 0 }..7 {
            assert_ne!(request(&shop, &ada, number).await.status, 429, "{round} {number}");
        }
        for number in 0..5 {
            too_many(request(&shop, &ada, number).await, "60");
        }
        // Admins do not count.
        shop.admin().put(&path(&ada), json!({ "name": format!("Ada {round}") })).await.expect(200);
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
        too_many(request(&shop, &ada, 0).await, "1");
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

/// Signs in from an address of this machine. The status.
#[cfg(target_os = "linux")]
async fn signs_in_from(shop: &Shop, host: u8, email: &str, password: &str) -> u16 {
    let address = IpAddr::from([127, 0, 1, host]);
    let http = reqwest::Client::builder().local_address(address).build();
    let body = json!({ "email": email, "password": password });
    let http = http.unwrap_or_else(|error| panic!("{error}"));
    let answer = http.post(format!("{}/auth", shop.base)).json(&body).send().await;
    answer.unwrap_or_else(|error| panic!("{error}")).status().as_u16()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn failures_from_elsewhere_lock_nobody_out() {
    let (clock, now) = hand_moved_clock();
    let shop = InProcess::open_with_clock(clock).await;
    let (ada, nobody) = (shop.customer().await, new_email());
    for email in [ada.email.as_str(), &nobody] {
        for expected in [[401; 10].as_slice(), &[429, 429]].concat() {
            assert_eq!(signs_in_from(&shop, 1, email, WRONG).await, expected);
        }
        assert_eq!(signs_in_from(&shop, 1, email, PASSWORD).await, 429, "the right one neither");
    }
    assert_eq!(signs_in_from(&shop, 2, &nobody, PASSWORD).await, 401);
    // A success clears the count of its own network.
    for _ in 0..2 {
        for _ in 0..9 {
            assert_eq!(signs_in_from(&shop, 2, &ada.email, WRONG).await, 401);
        }
        assert_eq!(signs_in_from(&shop, 2, &ada.email, PASSWORD).await, 200);
    }
    assert_eq!(signs_in_from(&shop, 1, &ada.email, PASSWORD).await, 429);
    now.fetch_add(15 * MINUTE, Ordering::SeqCst);
    assert_eq!(signs_in_from(&shop, 1, &ada.email, PASSWORD).await, 200);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_hundred_failures_from_anywhere_spare_known_networks_alone() {
    const HOME: u8 = 200;
    let (clock, now) = hand_moved_clock();
    let shop = InProcess::open_with_clock(clock).await;
    let (ada, nobody) = (shop.customer().await, new_email());
    let month = 30 * 24 * 60 * MINUTE;
    assert_eq!(signs_in_from(&shop, HOME, &ada.email, PASSWORD).await, 200);
    for (later, at_home) in [(month - MINUTE, 200), (month, 429)] {
        now.fetch_add(later, Ordering::SeqCst);
        // The unknown address once is enough: a hundred failures take their time.
        let emails = [ada.email.as_str(), &nobody];
        for email in emails.into_iter().take(if at_home == 200 { 2 } else { 1 }) {
            for number in 0..100 {
                let host = 10 + number / 10;
                assert_eq!(signs_in_from(&shop, host, email, WRONG).await, 401, "{number}");
            }
            // From a network that has not failed yet, known or not, right or wrong.
            for password in [WRONG, PASSWORD] {
                assert_eq!(signs_in_from(&shop, 100, email, password).await, 429);
            }
        }
        assert_eq!(signs_in_from(&shop, HOME, &ada.email, PASSWORD).await, at_home);
        if at_home == 200 {
            assert_eq!(signs_in_from(&shop, HOME, &nobody, PASSWORD).await, 429);
        }
        // What was refused unseen is no failure: the time of the hundred is what counts.
        now.fetch_add(15 * MINUTE, Ordering::SeqCst);
        assert_eq!(signs_in_from(&shop, 100, &ada.email, PASSWORD).await, 200);
    }
}
