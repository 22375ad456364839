//! Lists of a shop without other tests: complete walks, also within one millisecond.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures::future::join_all;
use serde_json::{Value, json};
use shared::values::clock::{Clock, Timestamp};
use tests::in_process::InProcess;
use tests::support::lists::{assert_newest_first, ids, page, walk};

/// A shop whose clock stands still until a test moves it, so that many things are made in one millisecond.
async fn shop_with_still_clock() -> (InProcess, Arc<AtomicI64>) {
    let now = Arc::new(AtomicI64::new(1_800_000_000_000));
    let hand = now.clone();
    let clock = Clock::from_fn(move || Timestamp::from_millis(hand.load(Ordering::SeqCst)));
    (InProcess::open_with_clock(clock).await, now)
}

#[tokio::test]
async fn a_walk_over_many_products_visits_each_just_once_newest_first() {
    let (shop, now) = shop_with_still_clock().await;
    let mut made = Vec::new();
    // Seven at a time share their millisecond.
    for place in 0..45 {
        made.push(shop.product(0).await);
        if place % 7 == 6 {
            now.fetch_add(1, Ordering::SeqCst);
        }
    }
    made.sort();
    for limits in [&["20"][..], &["1"], &["7"], &["44"], &["45"], &["46"], &["100"], &["3", "100", "1"]] {
        let seen = walk(&shop.anyone(), "/products", limits, async || {}).await;
        assert_newest_first(&seen);
        let mut visited = ids(&seen);
        visited.sort_unstable();
        assert_eq!(visited, made, "{limits:?}");
    }
    // 20 unless the client says otherwise.
    let first = shop.anyone().get("/products").await.expect(200);
    assert_eq!(first.data().len(), 20);
    let cursor = first.text("next_cursor");
    let second = page(&shop.anyone(), "/products", &[("cursor", &cursor)]).await.expect(200);
    assert_eq!(second.data().len(), 20);
    let cursor = second.text("next_cursor");
    let third = page(&shop.anyone(), "/products", &[("cursor", &cursor)]).await.expect(200);
    assert_eq!((third.data().len(), &third["next_cursor"]), (5, &Value::Null));
}

#[tokio::test]
async fn a_page_that_ends_with_the_list_has_no_cursor() {
    let shop = InProcess::open().await;
    let anyone = shop.anyone();
    assert_eq!(anyone.get("/products").await.expect(200).body, json!({ "data": [], "next_cursor": null }));
    join_all((0..4).map(|_| shop.product(0))).await;
    for (limit, more) in [("3", true), ("4", false), ("5", false)] {
        let answer = page(&anyone, "/products", &[("limit", limit)]).await.expect(200);
        assert_eq!(answer["next_cursor"].is_string(), more, "{limit}");
    }
    let cursor = page(&anyone, "/products", &[("limit", "2")]).await.text("next_cursor");
    let last = page(&anyone, "/products", &[("limit", "2"), ("cursor", &cursor)]).await.expect(200);
    assert_eq!((last.data().len(), &last["next_cursor"]), (2, &Value::Null));
    // The same cursor again, the same page.
    let again = page(&anyone, "/products", &[("cursor", &cursor)]).await.expect(200);
    assert_eq!(again.data(), last.data());
}

#[tokio::test]
async fn a_walk_with_a_filter_visits_what_the_filter_lets_through() {
    let (shop, _) = shop_with_still_clock().await;
    for place in 0..12 {
        let status = ["active", "draft", "archived"][place % 3];
        shop.product_with(json!({ "status": status })).await;
    }
    for (person, list, count) in [
        (shop.admin(), "/products", 12),
        (shop.admin(), "/products?status=draft", 4),
        (shop.anyone(), "/products", 4),
        (shop.anyone(), "/products?status=active", 4),
        (shop.anyone(), "/products?status=draft", 0),
    ] {
        let seen = walk(&person, list, &["3"], async || {}).await;
        assert_newest_first(&seen);
        assert_eq!(seen.len(), count, "{list}");
        let hidden = |it: &Value| it["status"] != "active";
        assert!(person.token.is_some() || !seen.iter().any(hidden));
    }
}

#[tokio::test]
async fn a_walk_over_orders_and_users_visits_each_just_once() {
    let (shop, now) = shop_with_still_clock().await;
    let product = shop.product(100).await;
    let (ada, bob) = (shop.customer().await, shop.customer().await);
    for place in 0..12 {
        let person = if place % 3 == 0 { &bob } else { &ada };
        person.orders(&[(&product, 1)]).await.expect(201);
        now.fetch_add(i64::from(place % 4 == 3), Ordering::SeqCst);
    }
    for (person, list, count) in [
        (&shop.admin(), "/orders", 12),
        (&ada, "/orders", 8),
        (&bob, "/orders", 4),
        (&shop.admin(), "/users", 3),
    ] {
        for limits in [&["1"][..], &["3"], &["4"], &["5", "2"]] {
            let seen = walk(person, list, limits, async || {}).await;
            assert_newest_first(&seen);
            assert_eq!(seen.len(), count, "{list} {limits:?}");
        }
    }
}
