//! Lists: pages, cursors and parameters, the same for products, orders and users.

use futures::future::join_all;
use serde_json::json;
use tests::person::Person;
use tests::shop::Shop;
use tests::support::lists::{assert_newest_first, ids, page, walk};

/// All lists that there are.
const LISTS: [&str; 3] = ["/products", "/orders", "/users"];

#[tokio::test]
async fn changes_during_a_walk_repeat_and_hide_no_unchanged_element() {
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
        for bad in ["", "gone", "Active", "active%20", "active,", ",active", "active,%20draft", "%00", "%FF"]
        {
            page(&shop.admin(), list, &[("status", bad)]).await.problem(400, "invalid-query");
        }
        shop.admin().get(&format!("{list}?status[$ne]=active")).await.problem(400, "invalid-query");
    }
    shop.admin().get("/products?status=active&status=draft").await.problem(400, "invalid-query");
    for bad in
        ["role=staff,", "role=,staff", "role=staff,%20admin", "status=active,gone", "status=active;disabled"]
    {
        shop.admin().get(&format!("/users?{bad}")).await.problem(400, "invalid-query");
    }
    for bad in
        ["payment_status=", "payment_status=paid,", "payment_status=paid,%20unpaid", "status=placed,void"]
    {
        shop.admin().get(&format!("/orders?{bad}")).await.problem(400, "invalid-query");
    }
    // Several names have commas between, and a name may stand twice.
    for good in [
        "/products?status=active,draft",
        "/products?status=draft%2Cdraft",
        "/orders?status=placed,paid&payment_status=unpaid,paid",
        "/users?role=staff,admin&status=active,disabled",
    ] {
        shop.admin().get(&format!("{good}&limit=1")).await.expect(200);
    }
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
        (&staff, "/orders?status=placed", &staff, "/orders?status=placed,paid"),
        (&staff, "/orders", &staff, "/orders?sort=updated_at"),
        (&staff, "/orders?sort=-updated_at", &staff, "/orders?sort=updated_at"),
        (&staff, "/products?sort=updated_at", &staff, "/products"),
        (&staff, "/users", &staff, "/users?sort=created_at"),
        (&staff, "/users", &staff, "/users?updated_from=2020-01-01T00:00:00Z"),
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
