//! Lists of a shop whose clock a test moves.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use http::header;
use serde_json::Value;
use shared::values::clock::{Clock, Timestamp};
use tests::in_process::InProcess;
use tests::person::Person;

/// A shop whose clock goes on by a second whenever a test says so.
pub(crate) async fn shop_with_clock() -> (InProcess, impl Fn()) {
    shop_with_clock_at(Timestamp::from_millis(1_800_000_000_000)).await
}

/// The same, from this time on.
pub(crate) async fn shop_with_clock_at(start: Timestamp) -> (InProcess, impl Fn()) {
    let now = Arc::new(AtomicI64::new(start.millis()));
    let hand = now.clone();
    let clock = Clock::from_fn(move || Timestamp::from_millis(hand.load(Ordering::SeqCst)));
    let tick = move || {
        now.fetch_add(1_000, Ordering::SeqCst);
    };
    (InProcess::open_with_clock(clock).await, tick)
}

/// All of a list, by pages of two, along the `Link` of each, which says the same as `next_cursor`.
pub(crate) async fn all(person: &Person, list: &str) -> Vec<Value> {
    let mark = if list.contains('?') { '&' } else { '?' };
    let (mut path, mut seen) = (format!("{list}{mark}limit=2"), Vec::new());
    loop {
        let answer = person.get(&path).await.expect(200);
        assert!(answer.data().len() <= 2);
        seen.extend_from_slice(answer.data());
        assert!(seen.len() < 1_000, "{list} does not end");
        let Some(link) = answer.headers.get(header::LINK) else {
            assert!(answer["next_cursor"].is_null());
            return seen;
        };
        let link = link.to_str().unwrap().strip_prefix('<').unwrap();
        path = link.strip_suffix(">; rel=\"next\"").unwrap().to_owned();
        assert!(path.ends_with(&format!("cursor={}", answer.text("next_cursor"))), "{path}");
    }
}

pub(crate) async fn of(person: &Person, list: &str, field: &str) -> Vec<String> {
    let text = |it: &Value| it[field].as_str().map_or_else(|| it[field].to_string(), str::to_owned);
    all(person, list).await.iter().map(text).collect()
}
