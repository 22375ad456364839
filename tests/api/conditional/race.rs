//! Concurrent changes of one version: one wins, and the others get a 412.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use futures::future::{join, join_all};
use http::{Method, header};
use serde_json::{Value, json};
use tests::answer::Answer;
use tests::person::{PASSWORD, Person, to};
use tests::shop::Shop;

use tests::support::conditional::{outdated, put_if, send_if};

const WRITERS: usize = 24;

/// Sends a change each, all for version 1, at once. The winner's answer.
async fn one_wins(person: &Person, path: &str, change: impl Fn(usize) -> Value, after: i64) -> Answer {
    let changes: Vec<Value> = (0..WRITERS).map(change).collect();
    let answers = join_all(changes.iter().map(|change| put_if(person, path, "\"1\"", change))).await;
    let (mut won, lost): (Vec<Answer>, Vec<Answer>) =
        answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!((won.len(), lost.len()), (1, WRITERS - 1), "{path}");
    for answer in lost {
        // Of a change in two steps the first may be seen.
        let current = answer["current_version"].as_i64().unwrap();
        assert!((2..=after).contains(&current), "{current}");
        outdated(answer, current);
    }
    let won = won.remove(0);
    assert_eq!(won["version"], after);
    won
}

#[tokio::test]
async fn of_many_who_change_a_user_one_wins() {
    let shop = Shop::open().await;
    let ada = shop.customer().await;
    let path = format!("/users/{}", ada.id);
    let won = one_wins(&ada, &path, |writer| json!({ "name": format!("Ada {writer}") }), 2).await;
    assert_eq!(ada.get(&path).await["name"], won["name"]);
}

#[tokio::test]
async fn of_many_who_change_a_product_one_wins() {
    let shop = Shop::open().await;
    let path = format!("/products/{}", shop.product(1).await);
    let won = one_wins(&shop.admin(), &path, |writer| json!({ "name": format!("Mug {writer}") }), 2).await;
    assert_eq!(shop.anyone().get(&path).await["name"], won["name"]);
}

#[tokio::test]
async fn of_many_who_count_one_wins() {
    let shop = Shop::open().await;
    let mug = shop.product(100).await;
    let path = format!("/products/{mug}/stock");
    let won = one_wins(&shop.admin(), &path, |_| json!({ "delta": -1 }), 2).await;
    assert_eq!(won["stock"]["on_hand"], 99);
    assert_eq!(shop.stock(&mug).await, (99, 0, 99));
}

#[tokio::test]
async fn of_many_who_write_a_note_one_wins() {
    let shop = Shop::open().await;
    let (owner, order) = shop.order_in("placed").await;
    let path = format!("/orders/{order}");
    let won = one_wins(&owner, &path, |writer| json!({ "note": format!("note {writer}") }), 2).await;
    assert_eq!(owner.get(&path).await["note"], won["note"]);
}

#[tokio::test]
async fn of_many_who_change_items_one_wins() {
    let shop = Shop::open().await;
    let owner = shop.customer().await;
    let mug = shop.product(100).await;
    let path = format!("/orders/{}", owner.orders(&[(&mug, 50)]).await.expect(201).id());
    let items = |writer: usize| json!({ "items": [{ "product_id": mug, "quantity": writer + 1 }] });
    let won = one_wins(&owner, &path, items, 3).await;
    let quantity = won["items"][0]["quantity"].as_i64().unwrap();
    assert_eq!(shop.stock(&mug).await, (100, quantity, 100 - quantity));
    assert_eq!(owner.get(&path).await["version"], 3);
}

#[tokio::test]
async fn a_user_who_is_deleted_by_many_at_once_is_deleted_by_one() {
    let shop = Shop::open().await;
    let (admin, ada) = (shop.admin(), shop.customer().await);
    let path = format!("/users/{}", ada.id);
    let rename = json!({ "name": "Ada" });
    let delete =
        || async { send_if(&admin, Method::DELETE, &path, (header::IF_MATCH, &["\"1\""]), None).await };
    let (deletes, renamed) =
        join(join_all((0..WRITERS).map(|_| delete())), put_if(&admin, &path, "\"1\"", &rename)).await;
    let done = deletes.iter().filter(|answer| answer.status == 204).count();
    for answer in deletes.into_iter().filter(|answer| answer.status != 204) {
        if answer.status == 404 {
            answer.problem(404, "not-found");
        } else {
            outdated(answer, 2);
        }
    }
    match renamed.status.as_u16() {
        200 => assert_eq!(done, 0),
        // The user was there when the request began, or is gone already.
        404 => assert_eq!(done, 1),
        _ => panic!("{:#}", renamed.body),
    }
}

#[tokio::test]
async fn a_change_of_items_gives_way_to_whoever_comes_in_between() {
    const ROUNDS: usize = 15;
    let shop = Shop::open().await;
    let (owner, staff) = (shop.customer().await, shop.staff().await);
    let mug = shop.product(1000).await;
    let mut held = 0;
    for round in 0..ROUNDS {
        let order = owner.orders(&[(&mug, 1)]).await.expect(201).id();
        let path = format!("/orders/{order}");
        let items = json!({ "items": [{ "product_id": mug, "quantity": 3 }] });
        let other = if round % 2 == 0 { to("paid") } else { json!({ "note": "Knock" }) };
        let (changed, other) = join(put_if(&owner, &path, "\"1\"", &items), staff.put(&path, other)).await;
        other.expect(200);
        let now = owner.get(&path).await.expect(200);
        let quantity = now["items"][0]["quantity"].as_i64().unwrap();
        if changed.status == 200 {
            // Nobody had come before it; who came later has one version more.
            assert_eq!((&changed["version"], quantity), (&json!(3), 3));
            assert_eq!(now["version"], 4);
        } else {
            let current = changed["current_version"].as_i64().unwrap();
            outdated(changed, current);
            assert_eq!(quantity, 1);
            // One decision of somebody else, after the intent or before it.
            assert!(now["version"] == 2 || now["version"] == 3, "{now:?}");
        }
        held += quantity;
    }
    assert_eq!(shop.stock(&mug).await, (1000, held, 1000 - held));
}

#[tokio::test]
async fn stock_is_counted_right_at_a_version_beside_orders() {
    const ORDERS: i64 = 30;
    let shop = Shop::open().await;
    let (customer, staff) = (shop.customer().await, shop.staff().await);
    let mug = shop.product(100).await;
    let path = format!("/products/{mug}/stock");
    let one = [(mug.as_str(), 1)];
    let orders = join_all((0..ORDERS).map(|_| customer.orders(&one)));
    let counts = async {
        for version in 1..=10 {
            let counted = put_if(&staff, &path, &format!("\"{version}\""), &json!({ "delta": 1 })).await;
            assert_eq!(counted.expect(200)["version"], version + 1);
            outdated(
                put_if(&staff, &path, &format!("\"{version}\""), &json!({ "delta": 1 })).await,
                version + 1,
            );
        }
    };
    let (orders, ()) = join(orders, counts).await;
    for order in orders {
        order.expect(201);
    }
    assert_eq!(shop.stock(&mug).await, (110, ORDERS, 110 - ORDERS));
    let ledger = staff.get(&format!("{path}/movements?limit=100")).await.expect(200);
    let sum: i64 = ledger.data().iter().map(|entry| entry["delta"].as_i64().unwrap()).sum();
    assert_eq!((sum, ledger.data().len()), (110, 11));
}

#[tokio::test]
async fn twins_with_one_key_and_one_version_count_once() {
    let shop = Shop::open().await;
    let staff = shop.staff().await;
    let mug = shop.product(10).await;
    let path = format!("/products/{mug}/stock");
    let twin = || async {
        let request = staff.request(Method::PUT, &path).header("idempotency-key", "twins");
        let request =
            request.header(header::IF_MATCH, "\"1\"").header(header::CONTENT_TYPE, "application/json");
        staff.answer(request.body(json!({ "delta": 5 }).to_string())).await.expect(200)
    };
    let answers = join_all((0..WRITERS).map(|_| twin())).await;
    assert_eq!(answers.iter().filter(|answer| !answer.is_replayed()).count(), 1);
    assert!(answers.iter().all(|answer| answer["version"] == 2));
    assert_eq!(shop.stock(&mug).await, (15, 0, 15));
}

#[tokio::test]
async fn a_password_changes_at_the_version_seen_before_hashing() {
    let shop = Shop::open().await;
    let ada = shop.customer().await;
    let path = format!("/users/{}", ada.id);
    let new = "another correct horse";
    // Hashing takes its time: in between somebody else changes the user.
    let change = json!({ "password": new, "current_password": PASSWORD });
    let rename = json!({ "name": "Ada" });
    let (changed, renamed) =
        join(put_if(&ada, &path, "\"1\"", &change), put_if(&ada, &path, "\"1\"", &rename)).await;
    let (won, lost) = if changed.status == 200 { (changed, renamed) } else { (renamed, changed) };
    let signs_in_with = if won["name"] == "Ada" { PASSWORD } else { new };
    won.expect(200);
    outdated(lost, 2);
    shop.anyone().signs_in(&ada.email, signs_in_with).await;
}
