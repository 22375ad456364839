//! Lists: pages, cursors and parameters, the same for products, orders and users.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures::future::join_all;
use serde_json::{Value, json};
use shared::values::clock::{Clock, Timestamp};
use tests::answer::Answer;
use tests::person::Person;
use tests::shop::{InProcess, Shop};

/// All lists that there are.
const LISTS: [&str; 3] = ["/products", "/orders", "/users"];

/// A shop whose clock stands still until a test moves it, so that many things are made in one millisecond.
async fn shop_with_still_clock() -> (InProcess, Arc<AtomicI64>) {
    let now = Arc::new(AtomicI64::new(1_800_000_000_000));
    let hand = now.clone();
    let clock = Clock::from_fn(move || Timestamp::from_millis(hand.load(Ordering::SeqCst)));
    (Shop::open_with_clock(clock).await, now)
}

async fn page(person: &Person, list: &str, query: &[(&str, &str)]) -> Answer {
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    person.get(&format!("{list}?{}", query.join("&"))).await
}

/// Walks to the end, with `limits` taken in turn, and does `between` after each page.
async fn walk(person: &Person, list: &str, limits: &[&str], mut between: impl AsyncFnMut()) -> Vec<Value> {
    let (mut seen, mut cursor) = (Vec::new(), None::<String>);
    for limit in limits.iter().cycle() {
        let (base, query) = list.split_once('?').unwrap_or((list, "limit=100"));
        let filter = query.split_once('=').filter(|(name, _)| *name != "limit");
        let mut query = vec![("limit", *limit)];
        query.extend(filter);
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let answer = page(person, base, &query).await.expect(200);
        assert!(answer.data().len() <= limit.parse().unwrap());
        seen.extend_from_slice(answer.data());
        assert!(seen.len() <= 1000, "the walk does not end");
        cursor = answer["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            assert!(answer["next_cursor"].is_null());
            break;
        }
        between().await;
    }
    seen
}

fn ids(page: &[Value]) -> Vec<&str> {
    page.iter().map(|it| it["id"].as_str().unwrap()).collect()
}

/// Newest first, and of those made at the same time the larger ID first.
fn assert_newest_first(seen: &[Value]) {
    for pair in seen.windows(2) {
        let key = |it: &Value| (it["created_at"].to_string(), it["id"].to_string());
        assert!(key(&pair[0]) > key(&pair[1]), "{pair:#?}");
    }
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
    let shop = Shop::open_in_process().await;
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
async fn what_is_added_or_changed_during_a_walk_neither_repeats_nor_hides_what_stood_still() {
    let shop = Shop::open().await;
    let made = join_all((0..45).map(|_| shop.product(1))).await;
    let mut turn = 0;
    let seen = walk(&shop.anyone(), "/products", &["10"], async || {
        shop.product(1).await;
        // A change, of one that was visited and one that was not perhaps, moves nothing.
        for place in [turn, 44 - turn] {
            shop.admin()
                .put(&format!("/products/{}/stock", made[place]), json!({ "delta": 1 }))
                .await
                .expect(200);
        }
        turn += 1;
    })
    .await;
    assert!(turn >= 4);
    assert_newest_first(&seen);
    let visited = ids(&seen);
    for product in &made {
        assert_eq!(visited.iter().filter(|id| *id == product).count(), 1, "{product}");
    }
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

#[tokio::test]
async fn a_limit_is_one_to_a_hundred() {
    let shop = Shop::open().await;
    join_all((0..2).map(|_| shop.product(0))).await;
    for list in LISTS {
        for good in ["1", "20", "100"] {
            page(&shop.admin(), list, &[("limit", good)]).await.expect(200);
        }
        for bad in [
            "0",
            "101",
            "-1",
            "a",
            "1.0",
            "1e1",
            "0x10",
            "%20",
            "1%20",
            "1,2",
            "null",
            "%EF%BC%91",
            "%00",
            "%FF",
            "9223372036854775807",
            "9223372036854775808",
            "-9223372036854775809",
        ] {
            page(&shop.admin(), list, &[("limit", bad)]).await.problem(400, "invalid-query");
        }
    }
}

#[tokio::test]
async fn unknown_repeated_and_empty_parameters_are_refused() {
    let shop = Shop::open().await;
    for list in LISTS {
        for bad in [
            "foo=1",
            "foo",
            "Limit=1",
            "LIMIT=1",
            "limit%20=1",
            "limit[]=1",
            "limit=1&limit=1",
            "limit=1&limit=2",
            "limit=1&foo=",
            "limit=",
            "limit",
            "cursor=",
            "cursor",
            "=1",
            "offset=1",
            "page=2",
            "%FF=1",
        ] {
            shop.admin().get(&format!("{list}?{bad}")).await.problem(400, "invalid-query");
        }
        // Nothing is asked for by nothing.
        shop.admin().get(&format!("{list}?")).await.expect(200);
    }
    for list in ["/products", "/orders"] {
        for bad in ["", "gone", "Active", "active%20", "active,draft", "%00", "%FF"] {
            page(&shop.admin(), list, &[("status", bad)]).await.problem(400, "invalid-query");
        }
        shop.admin().get(&format!("{list}?status[$ne]=active")).await.problem(400, "invalid-query");
    }
    shop.admin().get("/products?status=active&status=draft").await.problem(400, "invalid-query");
    // Percent-encoding is undone before a name or value is looked at.
    shop.admin().get("/products?%73tatus=%61ctive&limit=%31").await.expect(200);
}

#[tokio::test]
async fn a_cursor_belongs_to_its_list_caller_and_filters() {
    let shop = Shop::open().await;
    let product = shop.product(100).await;
    shop.product(0).await;
    let (ada, bob, staff) = (shop.customer().await, shop.customer().await, shop.staff().await);
    for person in [&ada, &ada, &bob, &bob] {
        person.orders(&[(&product, 1)]).await.expect(201);
    }
    let cursor = async |person: &Person, path: &str| {
        let mark = if path.contains('?') { '&' } else { '?' };
        person.get(&format!("{path}{mark}limit=1")).await.expect(200).text("next_cursor")
    };
    let use_it = async |person: &Person, path: &str, cursor: &str| {
        let mark = if path.contains('?') { '&' } else { '?' };
        person.get(&format!("{path}{mark}cursor={cursor}")).await
    };
    let anyone = shop.anyone();
    for (owner, list, thief, other) in [
        // Of another list.
        (&staff, "/products", &staff, "/orders"),
        (&staff, "/products", &staff, "/users"),
        (&staff, "/orders", &staff, "/products"),
        (&staff, "/users", &staff, "/orders"),
        // Of another caller.
        (&ada, "/orders", &bob, "/orders"),
        (&ada, "/orders", &staff, "/orders"),
        (&staff, "/orders", &ada, "/orders"),
        (&anyone, "/products", &ada, "/products"),
        (&ada, "/products", &anyone, "/products"),
        (&staff, "/products", &anyone, "/products"),
        // Of other filters.
        (&staff, "/products", &staff, "/products?status=active"),
        (&staff, "/products?status=active", &staff, "/products"),
        (&staff, "/products?status=active", &staff, "/products?status=draft"),
        (&ada, "/products?status=active", &ada, "/products?status=draft"),
        (&staff, "/orders", &staff, "/orders?status=placed"),
        (&staff, "/orders?status=placed", &staff, "/orders?status=paid"),
    ] {
        let cursor = cursor(owner, list).await;
        use_it(owner, list, &cursor).await.expect(200);
        use_it(thief, other, &cursor).await.problem(400, "invalid-query");
    }
}

#[tokio::test]
async fn a_cursor_that_is_not_ours_is_refused() {
    let shop = Shop::open().await;
    join_all((0..3).map(|_| shop.product(0))).await;
    let anyone = shop.anyone();
    let cursor = page(&anyone, "/products", &[("limit", "1")]).await.text("next_cursor");
    let mut bad: Vec<String> = (0..cursor.len())
        .map(|place| {
            let other = if cursor.as_bytes()[place] == b'A' { "B" } else { "A" };
            format!("{}{other}{}", &cursor[..place], &cursor[place + 1..])
        })
        .collect();
    bad.extend((1..cursor.len()).map(|length| cursor[..length].to_owned()));
    bad.extend([format!("{cursor}A"), format!("{cursor}="), format!("{cursor}%20"), format!("%20{cursor}")]);
    bad.extend([cursor.repeat(2), cursor.to_lowercase(), cursor.to_uppercase(), "A".repeat(5_000)]);
    bad.extend(["0", "null", "%00", "%FF", "%F0%9F%A6%80", "{}", "AAAA", "$ne"].map(str::to_owned));
    for bad in bad {
        page(&anyone, "/products", &[("cursor", &bad)]).await.problem(400, "invalid-query");
    }
    page(&anyone, "/products", &[("cursor", &cursor)]).await.expect(200);
}
