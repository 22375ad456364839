//! Conditional requests: `ETag` on answers, `If-Match` on changes, `If-None-Match` on reads.

use http::{Method, header};
use serde_json::{Value, json};
use tests::answer::Answer;
use tests::person::{Person, address, to};
use tests::shop::{Shop, new_email, new_sku, order_of, steps_to};
use tests::support::conditional::{outdated, put_if, send_if};

async fn read_if_none(person: &Person, method: Method, path: &str, lines: &[&str]) -> Answer {
    send_if(person, method, path, (header::IF_NONE_MATCH, lines), None).await
}

/// The answer, whose tag must be that of its version, and strong.
#[track_caller]
fn tagged(answer: Answer) -> Answer {
    let tag = format!("\"{}\"", answer["version"]);
    assert_eq!(answer.header("etag"), Some(tag.as_str()), "{}", answer.request);
    answer
}

/// A user, a product and an order, each at version 1, with who may change it and a change that means something.
async fn one_of_each(shop: &Shop) -> [(String, Person, Value); 3] {
    let customer = shop.customer().await;
    let product = shop.product(10).await;
    let order = customer.orders(&[(&product, 1)]).await.expect(201).id();
    [
        (format!("/users/{}", customer.id), customer.clone(), json!({ "name": "Ada" })),
        (format!("/products/{product}"), shop.admin(), json!({ "name": "Cup" })),
        (format!("/orders/{order}"), customer, json!({ "note": "Ring twice" })),
    ]
}

#[tokio::test]
async fn every_answer_that_shows_one_thing_has_the_tag_of_its_version() {
    let shop = Shop::open().await;
    let staff = shop.admin();
    for (path, person, change) in one_of_each(&shop).await {
        let read = tagged(person.get(&path).await.expect(200));
        assert_eq!(read["version"], 1);
        let head = person.send(Method::HEAD, &path, None).await.expect(200);
        assert_eq!((head.header("etag"), &head.body), (Some("\"1\""), &Value::Null));
        assert_eq!(tagged(person.put(&path, change.clone()).await.expect(200))["version"], 2);
        assert_eq!(tagged(person.put(&path, change).await.expect(200))["version"], 2);
    }
    let product = shop.product(10).await;
    let counted = staff.put(&format!("/products/{product}/stock"), json!({ "delta": 1 })).await.expect(200);
    assert_eq!(tagged(counted)["version"], 2);
}

#[tokio::test]
async fn what_is_made_has_a_tag_and_a_replay_has_that_of_now() {
    let shop = Shop::open().await;
    let admin = shop.admin();
    let product = shop.product(10).await;
    let user = json!({ "email": new_email(), "password": "a long enough phrase", "name": "Ada" });
    let new = json!({ "sku": new_sku(), "name": "Cup", "price": { "amount": 1, "currency": "EUR" } });
    for (place, body, change) in [
        ("/users", user, json!({ "name": "Ada L." })),
        ("/products", new, json!({ "name": "Mug" })),
        ("/orders", order_of(&product, 1), json!({ "note": "x" })),
    ] {
        let made = admin.send_keyed(Method::POST, place, "versions", &body).await.expect(201);
        let path = format!("{place}/{}", tagged(made).id());
        admin.put(&path, change).await.expect(200);
        let again = admin.send_keyed(Method::POST, place, "versions", &body).await.expect(201);
        assert!(again.is_replayed());
        assert_eq!(tagged(again)["version"], 2, "{place}");
    }
    let stock = format!("/products/{product}/stock");
    for _ in 0..2 {
        let counted = admin.send_keyed(Method::PUT, &stock, "versions", &json!({ "on_hand": 5 })).await;
        assert_eq!(tagged(counted.expect(200))["version"], 2);
    }
}

#[tokio::test]
async fn lists_errors_and_empty_answers_have_no_tag() {
    let shop = Shop::open().await;
    let admin = shop.admin();
    let product = shop.product(1).await;
    let movements = format!("/products/{product}/stock/movements");
    for path in ["/users", "/products", "/orders", &movements] {
        let listed = read_if_none(&admin, Method::GET, path, &["*"]).await.expect(200);
        assert_eq!(listed.header("etag"), None, "{path}");
    }
    let user = shop.customer().await;
    let path = format!("/users/{}", user.id);
    let mismatch = put_if(&admin, &path, "\"2\"", &json!({})).await;
    assert_eq!(outdated(mismatch, 1).header("etag"), None);
    assert_eq!(admin.delete(&path).await.expect(204).header("etag"), None);
}

#[tokio::test]
async fn who_has_the_version_already_is_not_sent_it_again() {
    let shop = Shop::open().await;
    for (path, person, change) in one_of_each(&shop).await {
        let is_product = path.starts_with("/products");
        for method in [Method::GET, Method::HEAD] {
            for lines in
                [&["\"1\""] as &[&str], &["W/\"1\""], &["\"9\", W/\"1\""], &["\"9\"", "\"1\""], &["*"]]
            {
                let answer = read_if_none(&person, method.clone(), &path, lines).await;
                // Stock changes without a version: a product is always shown.
                let answer = answer.expect(if is_product { 200 } else { 304 });
                assert_eq!(answer.header("etag"), Some("\"1\""), "{method} {path} {lines:?}");
                let shown = is_product && method == Method::GET;
                assert_eq!(answer.body.is_null(), !shown, "{method} {path} {lines:?}");
            }
            for lines in [&["\"2\""] as &[&str], &["1"], &["\"01\""], &[""], &["\"1"]] {
                read_if_none(&person, method.clone(), &path, lines).await.expect(200);
            }
        }
        person.put(&path, change).await.expect(200);
        let changed = read_if_none(&person, Method::GET, &path, &["\"1\""]).await.expect(200);
        assert_eq!(tagged(changed)["version"], 2);
    }
}

#[tokio::test]
async fn nobody_learns_from_a_tag_what_they_may_not_see() {
    let shop = Shop::open().await;
    let stranger = shop.customer().await;
    let [(user, ..), _, (order, ..)] = one_of_each(&shop).await;
    for path in [user, order] {
        for tag in ["*", "\"1\""] {
            read_if_none(&stranger, Method::GET, &path, &[tag]).await.problem(404, "not-found");
            put_if(&stranger, &path, tag, &json!({ "note": "x" })).await.expect(match path.as_str() {
                path if path.starts_with("/users") => 422,
                _ => 404,
            });
            read_if_none(&shop.anyone(), Method::GET, &path, &[tag]).await.problem(401, "unauthenticated");
        }
    }
}

#[tokio::test]
async fn a_change_applies_to_the_version_that_it_names_alone() {
    let shop = Shop::open().await;
    for (path, person, change) in one_of_each(&shop).await {
        for tag in ["\"2\"", "\"0\"", "W/\"1\"", "1", "\"01\"", "\"1", "", "\"2\", \"3\"", "\"x\""] {
            outdated(put_if(&person, &path, tag, &change).await, 1);
        }
        assert_eq!(person.get(&path).await["version"], 1);
        assert_eq!(tagged(put_if(&person, &path, "\"1\"", &change).await.expect(200))["version"], 2);
        outdated(put_if(&person, &path, "\"1\"", &change).await, 2);
        // What changes nothing is refused as well: what the caller has seen is not what is there.
        outdated(put_if(&person, &path, "\"1\"", &json!({})).await, 2);
        assert_eq!(put_if(&person, &path, "\"2\"", &json!({})).await.expect(200)["version"], 2);

        for (lines, version) in [
            (&["*"] as &[&str], 3),
            (&["\"1\", \"3\""], 4),
            (&["\"1\"", "\"4\""], 5),
            (&["nonsense, \"5\" ,"], 6),
        ] {
            // Each one says something else than the one before.
            let mut change = change.clone();
            for value in change.as_object_mut().into_iter().flat_map(|fields| fields.values_mut()) {
                *value = json!(format!("for the version {version}"));
            }
            let answer = send_if(&person, Method::PUT, &path, (header::IF_MATCH, lines), Some(&change)).await;
            assert_eq!(tagged(answer.expect(200))["version"], version, "{lines:?}");
        }
    }
}

#[tokio::test]
async fn stock_is_counted_at_the_version_that_was_seen() {
    let shop = Shop::open().await;
    let staff = shop.staff().await;
    let mug = shop.product(10).await;
    let path = format!("/products/{mug}/stock");
    outdated(put_if(&staff, &path, "\"2\"", &json!({ "delta": -3 })).await, 1);
    outdated(put_if(&staff, &path, "W/\"1\"", &json!({ "on_hand": 3 })).await, 1);
    assert_eq!(
        tagged(put_if(&staff, &path, "\"1\"", &json!({ "delta": -3 })).await.expect(200))["version"],
        2
    );
    // Holds and shipping change stock and no version: what was seen of the product itself is still so.
    let order = staff.orders(&[(&mug, 2)]).await.expect(201).id();
    for step in steps_to("shipped") {
        staff.moves(&order, step).await.expect(200);
    }
    assert_eq!(put_if(&staff, &path, "\"2\"", &json!({ "on_hand": 9 })).await.expect(200)["version"], 3);
    // The count that is there already changes nothing; what was seen must be right all the same.
    outdated(put_if(&staff, &path, "\"2\"", &json!({ "on_hand": 9 })).await, 3);
    assert_eq!(
        put_if(&staff, &path, "\"3\", \"7\"", &json!({ "on_hand": 9 })).await.expect(200)["version"],
        3
    );
    assert_eq!(shop.stock(&mug).await, (9, 0, 9));
}

#[tokio::test]
async fn a_user_is_deleted_at_the_version_that_was_seen() {
    let shop = Shop::open().await;
    let ada = shop.customer().await;
    let path = format!("/users/{}", ada.id);
    ada.put(&path, json!({ "name": "Ada" })).await.expect(200);
    let delete_if =
        async |lines: &[&str]| send_if(&ada, Method::DELETE, &path, (header::IF_MATCH, lines), None).await;
    for lines in [&["\"1\""] as &[&str], &["W/\"2\""], &["2"], &[""], &["\"1\"", "\"3\""]] {
        outdated(delete_if(lines).await, 2);
    }
    delete_if(&["\"1\"", "\"2\""]).await.expect(204);
    let bob = shop.customer().await;
    let path = format!("/users/{}", bob.id);
    send_if(&bob, Method::DELETE, &path, (header::IF_MATCH, &["*"]), None).await.expect(204);
    // What is gone has no version: not even a star matches it.
    let gone = send_if(&shop.admin(), Method::DELETE, &path, (header::IF_MATCH, &["*"]), None).await;
    gone.problem(404, "not-found");
}

#[tokio::test]
async fn a_change_of_items_takes_two_versions_and_names_the_first() {
    let shop = Shop::open().await;
    let customer = shop.customer().await;
    let mug = shop.product(10).await;
    let order = customer.orders(&[(&mug, 1)]).await.expect(201).id();
    let path = format!("/orders/{order}");
    let items = |quantity: i64| json!({ "items": [{ "product_id": mug, "quantity": quantity }] });
    outdated(put_if(&customer, &path, "\"2\"", &items(2)).await, 1);
    let changed = tagged(put_if(&customer, &path, "\"1\"", &items(2)).await.expect(200));
    assert_eq!(changed["version"], 3);
    assert_eq!(put_if(&customer, &path, "\"3\"", &items(2)).await.expect(200)["version"], 3);
    // What was refused has taken two versions as well.
    put_if(&customer, &path, "\"3\"", &items(11)).await.problem(409, "insufficient-stock");
    outdated(put_if(&customer, &path, "\"3\"", &items(4)).await, 5);
    assert_eq!(put_if(&customer, &path, "\"5\"", &items(4)).await.expect(200)["version"], 7);
    assert_eq!(shop.stock(&mug).await, (10, 4, 6));
}

#[tokio::test]
async fn the_version_is_checked_after_permission_and_before_state() {
    let shop = Shop::open().await;
    let (staff, stranger) = (shop.staff().await, shop.customer().await);
    let (owner, order) = shop.order_in("shipped").await;
    let order = format!("/orders/{order}");
    let stale = "\"99\"";
    // 401, 403 by role, 400, 415, the form of the body and 404 come first.
    let product = format!("/products/{}", shop.product(1).await);
    put_if(&shop.anyone(), &product, stale, &json!({})).await.problem(401, "unauthenticated");
    put_if(&stranger, &product, stale, &json!({})).await.problem(403, "forbidden");
    put_if(&staff, &product, stale, &json!({ "name": "" })).await.faults_at(&["/name"]);
    put_if(&stranger, &order, stale, &json!({})).await.problem(404, "not-found");
    put_if(&staff, "/products/none", stale, &json!({})).await.problem(404, "not-found");
    // So does what belongs to staff or to admins alone, as a field or as a transition.
    put_if(&owner, &order, stale, &json!({ "metadata": {} })).await.problem(403, "forbidden");
    put_if(&owner, &order, stale, &to("delivered")).await.problem(403, "forbidden");
    let user = format!("/users/{}", owner.id);
    put_if(&owner, &user, stale, &json!({ "role": "staff" })).await.problem(403, "forbidden");
    put_if(&staff, &user, stale, &json!({ "name": "x" })).await.problem(403, "forbidden");
    // And then what the state would refuse comes after it.
    outdated(put_if(&staff, &order, stale, &json!({ "status": "cancelled" })).await, 3);
    outdated(put_if(&owner, &order, stale, &json!({ "note": "x" })).await, 3);
    outdated(put_if(&owner, &order, stale, &json!({ "shipping_address": address() })).await, 3);
    outdated(put_if(&owner, &order, stale, &json!({ "status": "shipped" })).await, 3);
    let another = shop.product_with(json!({})).await;
    outdated(put_if(&staff, &product, stale, &json!({ "sku": another["sku"] })).await, 1);
    outdated(put_if(&staff, &format!("{product}/stock"), stale, &json!({ "delta": -2 })).await, 1);
    let (owner, order) = shop.order_in("placed").await;
    let unknown = order_of("product_01h455vb4pex5vsknk084sn02q", 1)["items"].clone();
    outdated(put_if(&owner, &format!("/orders/{order}"), stale, &json!({ "items": unknown })).await, 1);
    let email = json!({ "email": stranger.email });
    outdated(put_if(&owner, &format!("/users/{}", owner.id), stale, &email).await, 1);
    let password = json!({ "password": "a long enough phrase" });
    outdated(put_if(&owner, &format!("/users/{}", owner.id), stale, &password).await, 1);
}

#[tokio::test]
async fn a_repeated_request_is_answered_again_at_any_version() {
    let shop = Shop::open().await;
    let staff = shop.staff().await;
    let mug = shop.product(10).await;
    let path = format!("/products/{mug}/stock");
    let count = async |key: &str, delta: i64| {
        let request = staff.request(Method::PUT, &path).header("idempotency-key", key);
        let request =
            request.header(header::IF_MATCH, "\"1\"").header(header::CONTENT_TYPE, "application/json");
        staff.answer(request.body(json!({ "delta": delta }).to_string())).await
    };
    assert!(!count("one", 5).await.expect(200).is_replayed());
    let again = tagged(count("one", 5).await.expect(200));
    assert!(again.is_replayed());
    assert_eq!(again["version"], 2);
    // A key of its own is a request of its own; a refusal keeps no key.
    outdated(count("two", 5).await, 2);
    count("one", 6).await.problem(422, "idempotency-key-reused");
    assert_eq!(shop.stock(&mug).await, (15, 0, 15));
}

#[tokio::test]
async fn a_condition_means_nothing_where_nothing_is_there_to_change() {
    let shop = Shop::open().await;
    let customer = shop.customer().await;
    let mug = shop.product(10).await;
    let (order, condition) = (order_of(&mug, 1), (header::IF_MATCH, &["\"9\""] as &[&str]));
    let placed = send_if(&customer, Method::POST, "/orders", condition, Some(&order)).await.expect(201);
    let path = format!("/orders/{}", placed.id());
    // A GET with If-Match asks for what is there.
    send_if(&customer, Method::GET, &path, (header::IF_MATCH, &["\"9\""]), None).await.expect(200);
}
