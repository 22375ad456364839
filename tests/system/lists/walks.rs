//! Lists: walks over orders and users that come, change and go meanwhile.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use futures::future::join_all;
use serde_json::{Value, json};
use tests::person::{PASSWORD, Person};
use tests::shop::new_email;

use crate::support::lists::shop_with_clock;

const SORTS: [&str; 4] = ["-created_at", "created_at", "total", "-total"];

/// Walks over some lists at once, a page of each in turn, and does `between` after each turn, which it counts. What
/// was seen of each.
async fn walk(lists: &[(&Person, String)], mut between: impl AsyncFnMut(usize)) -> Vec<Vec<Value>> {
    let mut seen = vec![Vec::new(); lists.len()];
    let mut next: Vec<Option<String>> = vec![Some(String::new()); lists.len()];
    for turn in 0..60 {
        for ((person, list), (seen, next)) in lists.iter().zip(seen.iter_mut().zip(&mut next)) {
            let Some(cursor) = next.take() else { continue };
            let mark = if list.contains('?') { '&' } else { '?' };
            let page = person.get(&format!("{list}{mark}limit=3{cursor}")).await.expect(200);
            assert!(page.data().len() <= 3);
            seen.extend_from_slice(page.data());
            *next = page["next_cursor"].as_str().map(|cursor| format!("&cursor={cursor}"));
        }
        if next.iter().all(Option::is_none) {
            return seen;
        }
        between(turn).await;
    }
    panic!("the walks do not end");
}

fn times_seen(seen: &[Value], id: &str) -> usize {
    seen.iter().filter(|it| it["id"] == id).count()
}

/// Each comes after the one before it: so none is repeated either.
fn assert_sorted(seen: &[Value], sort: &str, list: &str) {
    let amount = |it: &Value| it["total"]["amount"].as_i64().unwrap();
    for pair in seen.windows(2) {
        let (first, second) = if sort.starts_with('-') { (1, 0) } else { (0, 1) };
        let (first, second) = (&pair[first], &pair[second]);
        let ids = || first["id"].as_str().cmp(&second["id"].as_str());
        let order = match sort.trim_start_matches('-') {
            "total" => amount(first).cmp(&amount(second)),
            _ => first["created_at"].as_str().cmp(&second["created_at"].as_str()),
        };
        assert!(order.then_with(ids).is_lt(), "{list}: {pair:#?}");
    }
}

#[tokio::test]
async fn every_sort_sees_an_order_once_beside_changes_of_status() {
    let (shop, tick) = shop_with_clock().await;
    let (mug, ada) = (shop.product(100_000).await, shop.customer().await);
    for sort in SORTS {
        let mut still = Vec::new();
        for place in 0..8 {
            still.push(ada.orders(&[(&mug, 3 + place / 3)]).await.expect(201).id());
            if place % 3 == 2 {
                tick();
            }
        }
        let moving = ada.orders(&[(&mug, 1)]).await.expect(201).id();
        let admin = shop.admin();
        let lists = [
            (&admin, format!("/orders?sort={sort}")),
            (&ada, format!("/orders?sort={sort}")),
            (&admin, format!("/orders?sort={sort}&user_id={}", ada.id)),
            (&admin, format!("/orders?sort={sort}&product_id={mug}")),
            (&ada, format!("/orders?sort={sort}&product_id={mug}")),
        ];
        let steps = ["paid", "shipped", "delivered", "returned"];
        let walks = walk(&lists, async |turn| {
            if let Some(step) = steps.get(turn) {
                for moved in join_all(still.iter().map(|order| admin.moves(order, step))).await {
                    moved.expect(200);
                }
            }
            // One that comes, at either end and in the middle, and one whose total moves about.
            let quantity = i64::try_from(turn).unwrap() % 7 + 1;
            ada.orders(&[(&mug, quantity)]).await.expect(201);
            let items = json!([{ "product_id": mug, "quantity": quantity }]);
            ada.put(&format!("/orders/{moving}"), json!({ "items": items })).await.expect(200);
            tick();
        });
        for ((_, list), mut seen) in lists.iter().zip(walks.await) {
            for order in &still {
                assert_eq!(times_seen(&seen, order), 1, "{list}");
            }
            if sort.ends_with("total") {
                seen.retain(|order| order["id"] != moving);
            } else {
                assert_eq!(times_seen(&seen, &moving), 1, "{list}");
            }
            assert_sorted(&seen, sort, list);
        }
    }
}

#[tokio::test]
async fn a_list_of_a_status_repeats_and_skips_nothing_beside_changes() {
    let (shop, tick) = shop_with_clock().await;
    let (mug, ada) = (shop.product(100_000).await, shop.customer().await);
    for sort in SORTS {
        let (mut placed, mut paid, mut leaving) = (Vec::new(), Vec::new(), Vec::new());
        for place in 0..18 {
            let order = ada.orders(&[(&mug, 3 + place / 6)]).await.expect(201).id();
            match place % 3 {
                0 => placed.push(order),
                1 => {
                    shop.admin().moves(&order, "paid").await.expect(200);
                    paid.push(order);
                }
                _ => leaving.push(order),
            }
            if place % 4 == 3 {
                tick();
            }
        }
        let admin = shop.admin();
        let lists = [
            (&admin, format!("/orders?sort={sort}&status=placed")),
            (&ada, format!("/orders?sort={sort}&status=placed")),
            (&admin, format!("/orders?sort={sort}&status=paid&product_id={mug}")),
            (&ada, format!("/orders?sort={sort}&status=paid&product_id={mug}")),
        ];
        // From both ends, so that some leave before they are reached and some come in behind the walk.
        let walks = walk(&lists, async |turn| {
            if turn < 6 {
                let place = if turn % 2 == 0 { turn / 2 } else { 5 - turn / 2 };
                shop.admin().moves(&leaving[place], "paid").await.expect(200);
            }
        });
        for ((_, list), seen) in lists.iter().zip(walks.await) {
            let status = if list.contains("placed") { "placed" } else { "paid" };
            for order in if status == "placed" { &placed } else { &paid } {
                assert_eq!(times_seen(&seen, order), 1, "{list}");
            }
            assert!(seen.iter().all(|order| order["status"] == status), "{list}: {seen:#?}");
            assert_sorted(&seen, sort, list);
        }
    }
}

#[tokio::test]
async fn a_user_is_seen_once_while_users_come_change_and_go() {
    let (shop, tick) = shop_with_clock().await;
    let (admin, staff) = (shop.admin(), shop.staff().await);
    let sign_up = async || {
        let user = json!({ "email": new_email(), "password": PASSWORD, "name": "Somebody" });
        shop.admin().post("/users", user).await.expect(201).id()
    };
    let (mut still, mut of_role, mut of_status, mut going) = Default::default();
    for place in 0..20 {
        let kinds: [&mut Vec<String>; 4] = [&mut still, &mut of_role, &mut of_status, &mut going];
        let user = sign_up().await;
        kinds[place % 4].push(user);
        if place % 3 == 2 {
            tick();
        }
    }
    let lists = ["", "?role=customer", "?status=active", "?role=customer&status=active"];
    let lists = lists.map(|query| (&staff, format!("/users{query}")));
    let change = async |users: &[String], change: Value| {
        for user in users {
            admin.put(&format!("/users/{user}"), change.clone()).await.expect(200);
        }
    };
    let walks = walk(&lists, async |turn| {
        sign_up().await;
        change(&still, json!({ "name": format!("Turn {turn}") })).await;
        let (role, status) = if turn % 2 == 0 { ("staff", "disabled") } else { ("customer", "active") };
        change(&of_role, json!({ "role": role })).await;
        change(&of_status, json!({ "status": status })).await;
        // From both ends: some are gone before they are reached.
        let place = if turn % 2 == 0 { turn / 2 } else { 4 - turn / 2 };
        if turn < 5 {
            admin.delete(&format!("/users/{}", going[place])).await.expect(204);
        }
        tick();
    });
    for ((_, list), seen) in lists.iter().zip(walks.await) {
        let mut kept = vec![&still];
        kept.extend((!list.contains("role")).then_some(&of_role));
        kept.extend((!list.contains("status")).then_some(&of_status));
        for user in kept.into_iter().flatten() {
            assert_eq!(times_seen(&seen, user), 1, "{list}");
        }
        let role = |user: &Value| !list.contains("role") || user["role"] == "customer";
        let status = |user: &Value| !list.contains("status") || user["status"] == "active";
        assert!(seen.iter().all(|user| role(user) && status(user)), "{list}: {seen:#?}");
        assert_sorted(&seen, "-created_at", list);
    }
    // Who is gone is in no list that begins now.
    let all = crate::support::lists::of(&staff, "/users", "id").await;
    assert!(!all.iter().any(|user| going.contains(user)));
}
