//! Guessing passwords over many connections at once: no more get through to a password than may.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures::future::join_all;
use serde_json::json;
use shared::values::clock::{Clock, Timestamp};
use tests::in_process::InProcess;
use tests::person::PASSWORD;
use tests::shop::new_email;

use crate::campaign::{Campaign, is_long};

/// Failures that an e-mail address has in fifteen minutes.
const ATTEMPTS: usize = 10;

/// Requests a minute that an address has here.
const LIMIT: u32 = 50;

/// Clients, each with a connection of its own.
const CLIENTS: usize = 48;

/// A clock that stands still until it is moved, so that a window ends when the campaign says so.
fn hand_moved_clock() -> (Clock, Arc<AtomicI64>) {
    let now = Arc::new(AtomicI64::new(1_800_000_000_000));
    let hand = now.clone();
    (Clock::from_fn(move || Timestamp::from_millis(now.load(Ordering::SeqCst))), hand)
}

/// Number of answers of each status among requests at once, the most frequent first.
async fn statuses<F: Future<Output = u16>>(requests: impl Iterator<Item = F>) -> Vec<(u16, usize)> {
    let mut counted: Vec<(u16, usize)> = Vec::new();
    for status in join_all(requests).await {
        match counted.iter_mut().find(|(known, _)| *known == status) {
            Some((_, count)) => *count += 1,
            None => counted.push((status, 1)),
        }
    }
    counted.sort_unstable();
    counted
}

#[tokio::test]
#[ignore = "a campaign"]
async fn of_many_guesses_at_once_exactly_ten_an_address_get_through_in_each_window() {
    let mut campaign = Campaign::begin("brute force: e-mail");
    let (clock, hand) = hand_moved_clock();
    let shop = InProcess::open_with_clock(clock).await;
    let rounds = if is_long() { 20 } else { 1 };
    for round in 0..rounds {
        let user = json!({ "email": new_email(), "password": PASSWORD, "name": "Somebody" });
        let known = shop.anyone().post("/users", user).await.expect(201).text("email");
        for email in [known, new_email()] {
            let guess = |number: usize| {
                // A client of its own has a connection of its own.
                let http = reqwest::Client::new();
                let url = format!("{}/auth", shop.base);
                let body = json!({ "email": email, "password": format!("guess number {number}") });
                async move { http.post(url).json(&body).send().await.unwrap().status().as_u16() }
            };
            for window in 0..2 {
                let answered = statuses((0..CLIENTS).map(guess)).await;
                let expected = vec![(401, ATTEMPTS), (429, CLIENTS - ATTEMPTS)];
                campaign
                    .holds(answered == expected, || format!("round {round}, window {window}: {answered:?}"));
                campaign.cases += CLIENTS;
                // Not even the right one.
                let right = json!({ "email": email, "password": PASSWORD });
                let right = shop.anyone().post("/auth", right).await.status;
                campaign.holds(right == 429, || {
                    format!("round {round}: the right password was answered {right}")
                });
                hand.fetch_add(15 * 60_000, Ordering::SeqCst);
            }
        }
    }
    campaign.end();
}

#[tokio::test]
#[ignore = "a campaign"]
async fn of_many_requests_at_once_exactly_as_many_as_the_limit_get_through_in_each_minute() {
    let mut campaign = Campaign::begin("brute force: address");
    let (clock, hand) = hand_moved_clock();
    let shop = InProcess::open_limited(clock, LIMIT).await;
    // The admin of the shop has signed in from here.
    hand.fetch_add(60_000, Ordering::SeqCst);
    let limit = usize::try_from(LIMIT).unwrap();
    for minute in 0..if is_long() { 50 } else { 5 } {
        let requests = CLIENTS * 4;
        let request = |number: usize| {
            let http = reqwest::Client::new();
            let (path, body) = match number % 3 {
                0 => ("/auth", json!({})),
                1 => ("/users", json!({})),
                _ => ("/auth/refresh", json!({})),
            };
            let url = format!("{}{path}", shop.base);
            async move { http.post(url).json(&body).send().await.unwrap().status().as_u16() }
        };
        let answered = statuses((0..requests).map(request)).await;
        let expected = vec![(422, limit), (429, requests - limit)];
        campaign.holds(answered == expected, || format!("minute {minute}: {answered:?}"));
        campaign.cases += requests;
        hand.fetch_add(60_000, Ordering::SeqCst);
    }
    campaign.end();
}
