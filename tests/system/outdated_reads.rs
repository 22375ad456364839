//! Refusals while reads of a majority show an older state, as they do just after an election.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::time::Duration;

use futures::future::join_all;
use http::{Method, header};
use mongodb::bson::{self, Document, doc};
use mongodb::options::ReadConcern;
use serde_json::{Value, json};
use shared::mongo;
use shared::values::ids::{OrderId, ProductId, UserId};
use tests::answer::Answer;
use tests::in_process::InProcess;
use tests::person::{PASSWORD, Person, address, to};
use tests::shop::{new_email, new_sku};

use crate::support::lagging::Lagging;

const OTHER_PASSWORD: &str = "another good one";

/// A PUT that is for this version alone.
async fn put_if(person: &Person, path: &str, version: i64, body: Value) -> Answer {
    let request = person.request(Method::PUT, path).header(header::IF_MATCH, format!("\"{version}\""));
    person.answer(request.json(&body)).await
}

fn user(email: &str) -> Value {
    json!({ "email": email, "password": PASSWORD, "name": "Ada" })
}

fn sign_in(email: &str, password: &str) -> Value {
    json!({ "email": email, "password": password })
}

/// Latest counts of a product: on hand and reserved.
async fn counts(shop: &InProcess, product: &str) -> (i64, i64) {
    let id = mongo::uuid(product.parse::<ProductId>().unwrap());
    let stocks = shop.database.collection::<Document>("stock");
    let found = stocks.find_one(doc! { "_id": id }).read_concern(ReadConcern::local()).await;
    let found = found.unwrap().unwrap();
    (found.get_i64("on_hand").unwrap(), found.get_i64("reserved").unwrap())
}

#[tokio::test]
async fn an_order_just_placed_is_found_and_changed() {
    let lagging = Lagging::open().await;
    let (product, customer) = (lagging.shop.product(10).await, lagging.shop.customer().await);
    lagging.stands_still().await;
    let shop = &lagging.shop;

    let order = customer.orders(&[(&product, 1)]).await.expect(201).id();
    let path = format!("/orders/{order}");
    customer.get(&path).await.expect(200);
    put_if(&customer, &path, 1, json!({ "note": "Ring twice." })).await.expect(200);
    for (version, step) in [(2, "paid"), (3, "shipped")] {
        put_if(&shop.admin(), &path, version, to(step)).await.expect(200);
    }
    // True refusals stay.
    put_if(&shop.admin(), &path, 2, json!({ "note": "Late." })).await.problem(412, "version-mismatch");
    shop.admin().moves(&order, "paid").await.problem(409, "invalid-transition");
    customer.get(&format!("/orders/{}", OrderId::new())).await.problem(404, "not-found");
}

#[tokio::test]
async fn a_product_just_created_is_found_changed_and_ordered() {
    let lagging = Lagging::open().await;
    let (archived, customer) = (lagging.shop.product(10).await, lagging.shop.customer().await);
    let admin = lagging.shop.admin().clone();
    admin.put(&format!("/products/{archived}"), json!({ "status": "archived" })).await.expect(200);
    lagging.stands_still().await;
    let shop = &lagging.shop;

    let product = shop.product_with(json!({ "stock": 3 })).await.id();
    let path = format!("/products/{product}");
    customer.get(&path).await.expect(200);
    admin.get(&format!("{path}/stock/movements")).await.expect(200);
    put_if(&admin, &path, 1, json!({ "name": "Cup" })).await.expect(200);
    put_if(&admin, &path, 2, json!({ "name": "Bowl" })).await.expect(200);
    admin.put(&format!("{path}/stock"), json!({ "delta": 4 })).await.expect(200);
    customer.orders(&[(&product, 7)]).await.expect(201);
    customer.orders(&[(&product, 1)]).await.problem(409, "insufficient-stock");

    let path = format!("/products/{archived}");
    admin.put(&path, json!({ "status": "active" })).await.expect(200);
    customer.get(&path).await.expect(200);
    customer.orders(&[(&archived, 1), (&shop.product(1).await, 1)]).await.expect(201);

    // A SKU that has just become free.
    let (old, new) = (new_sku(), new_sku());
    let first = shop.product_with(json!({ "sku": old })).await.id();
    let second = shop.product(1).await;
    let renamed = json!({ "sku": old });
    admin.put(&format!("/products/{second}"), renamed.clone()).await.problem(409, "sku-taken");
    admin.put(&format!("/products/{first}"), json!({ "sku": new })).await.expect(200);
    admin.put(&format!("/products/{second}"), renamed).await.expect(200);
}

#[tokio::test]
async fn a_hold_just_made_is_released() {
    let lagging = Lagging::open().await;
    let (mug, pot) = (lagging.shop.product(10).await, lagging.shop.product(10).await);
    let (customer, shop) = (lagging.shop.customer().await, &lagging.shop);
    let before = customer.orders(&[(&mug, 1)]).await.expect(201).id();
    lagging.stands_still().await;
    let stock = async || [counts(shop, &mug).await, counts(shop, &pot).await];

    // As read, these orders hold nothing.
    let one = customer.orders(&[(&mug, 2)]).await.expect(201).id();
    let two = customer.orders(&[(&mug, 3), (&pot, 4)]).await.expect(201).id();
    assert_eq!(stock().await, [(10, 6), (10, 4)]);
    for order in [&one, &two] {
        customer.moves(order, "cancelled").await.expect(200);
    }
    assert_eq!(stock().await, [(10, 1), (10, 0)]);

    // As read, this one holds less, of one product.
    let items = json!({ "items": [
        { "product_id": mug, "quantity": 5 }, { "product_id": pot, "quantity": 6 },
    ] });
    customer.put(&format!("/orders/{before}"), items).await.expect(200);
    assert_eq!(stock().await, [(10, 5), (10, 6)]);
    customer.moves(&before, "cancelled").await.expect(200);
    assert_eq!(stock().await, [(10, 0), (10, 0)]);
}

#[tokio::test]
async fn a_user_just_created_signs_in_and_is_changed() {
    let lagging = Lagging::open().await;
    let product = lagging.shop.product(10).await;
    lagging.stands_still().await;
    let (shop, email) = (&lagging.shop, new_email());
    let (anyone, admin) = (shop.anyone(), shop.admin());

    let id = anyone.post("/users", user(&email)).await.expect(201).id();
    let ada = anyone.signs_in(&email, PASSWORD).await;
    let path = format!("/users/{id}");
    ada.get(&path).await.expect(200);
    admin.get(&path).await.expect(200);
    put_if(&ada, &path, 1, json!({ "name": "Ada L" })).await.expect(200);
    put_if(&ada, &path, 2, json!({ "name": "Ada M" })).await.expect(200);
    let order = json!({
        "user_id": id, "items": [{ "product_id": product, "quantity": 1 }], "shipping_address": address(),
    });
    admin.post("/orders", order).await.expect(201);

    // True refusals stay.
    put_if(&ada, &path, 2, json!({ "name": "Ada N" })).await.problem(412, "version-mismatch");
    anyone.post("/auth", sign_in(&email, OTHER_PASSWORD)).await.problem(401, "unauthenticated");
    anyone.post("/auth", sign_in(&new_email(), PASSWORD)).await.problem(401, "unauthenticated");
    ada.delete(&path).await.expect(204);
    admin.get(&path).await.problem(404, "not-found");
}

#[tokio::test]
async fn a_password_or_status_just_changed_counts() {
    let lagging = Lagging::open().await;
    let (email, disabled) = (new_email(), new_email());
    let id = lagging.shop.anyone().post("/users", user(&email)).await.expect(201).id();
    let disabled_id = lagging.shop.anyone().post("/users", user(&disabled)).await.expect(201).id();
    let (path, disabled_path) = (format!("/users/{id}"), format!("/users/{disabled_id}"));
    lagging.shop.admin().put(&disabled_path, json!({ "status": "disabled" })).await.expect(200);
    let ada = lagging.shop.anyone().signs_in(&email, PASSWORD).await;
    let product = lagging.shop.product(10).await;
    lagging.stands_still().await;
    let (anyone, admin) = (lagging.shop.anyone(), lagging.shop.admin());

    let changes = |from: &str, to: &str| json!({ "password": to, "current_password": from });
    ada.put(&path, changes(PASSWORD, OTHER_PASSWORD)).await.expect(200);
    let ada = anyone.signs_in(&email, OTHER_PASSWORD).await;
    ada.put(&path, changes(PASSWORD, "yet another one")).await.problem(422, "validation");
    ada.put(&path, changes(OTHER_PASSWORD, "yet another one")).await.expect(200);

    admin.put(&disabled_path, json!({ "status": "active" })).await.expect(200);
    let order = json!({
        "user_id": disabled_id, "items": [{ "product_id": product, "quantity": 1 }],
        "shipping_address": address(),
    });
    admin.post("/orders", order).await.expect(201);
    anyone.signs_in(&disabled, PASSWORD).await;

    // Authority that was just given.
    admin.put(&disabled_path, json!({ "role": "admin" })).await.expect(200);
    let promoted = anyone.signs_in(&disabled, PASSWORD).await;
    promoted
        .post("/users", json!({ "email": new_email(), "password": PASSWORD, "name": "A", "role": "staff" }))
        .await
        .expect(201);
}

#[tokio::test]
async fn a_session_just_begun_is_refreshed() {
    let lagging = Lagging::open().await;
    let email = new_email();
    lagging.shop.anyone().post("/users", user(&email)).await.expect(201);
    lagging.stands_still().await;
    let anyone = lagging.shop.anyone();

    let mut session = anyone.post("/auth", sign_in(&email, PASSWORD)).await.expect(200);
    for _ in 0..2 {
        let token = json!({ "refresh_token": session.text("refresh_token") });
        session = anyone.post("/auth/refresh", token).await.expect(200);
    }
    anyone.post("/auth/refresh", json!({ "refresh_token": "made-up" })).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_session_newer_than_its_user_as_read_is_kept() {
    let shop = InProcess::open().await;
    let email = new_email();
    let id = shop.anyone().post("/users", user(&email)).await.expect(201).id();
    let session = shop.anyone().post("/auth", sign_in(&email, PASSWORD)).await.expect(200);
    let id: UserId = id.parse().unwrap();
    let of_user = doc! { "user": bson::Uuid::from_bytes(id.uuid().into_bytes()) };
    let sessions = shop.database.collection::<Document>("user_sessions");
    sessions.update_one(of_user.clone(), doc! { "$inc": { "epoch": 1_i64 } }).await.unwrap();

    let token = json!({ "refresh_token": session.text("refresh_token") });
    shop.anyone().post("/auth/refresh", token).await.problem(401, "unauthenticated");
    assert_eq!(sessions.count_documents(of_user).await.unwrap(), 1);
}

#[tokio::test]
async fn a_change_back_to_the_value_before_takes_effect() {
    let lagging = Lagging::open().await;
    let (shop, admin) = (&lagging.shop, lagging.shop.admin());
    let (user, order) = shop.order_in("placed").await;
    let product = shop.product_with(json!({ "name": "first" })).await.id();
    admin.put(&format!("/orders/{order}"), json!({ "note": "first" })).await.expect(200);
    user.put(&format!("/users/{}", user.id), json!({ "name": "first" })).await.expect(200);
    lagging.stands_still().await;

    let changes = [
        (&admin, format!("/products/{product}"), "name"),
        (&admin, format!("/orders/{order}"), "note"),
        (&user, format!("/users/{}", user.id), "name"),
    ];
    for (person, path, field) in changes {
        let second = person.put(&path, json!({ field: "second" })).await.expect(200);
        let first = person.put(&path, json!({ field: "first" })).await.expect(200);
        let versions = [second["version"].as_i64().unwrap() + 1, first["version"].as_i64().unwrap()];
        assert_eq!(versions[0], versions[1], "{path}");
    }
}

#[tokio::test]
async fn a_refusal_that_cannot_be_confirmed_is_503() {
    let lagging = Lagging::open().await;
    lagging.delays_commits(Duration::from_secs(3)).await;
    let (anyone, admin) = (lagging.shop.anyone(), lagging.shop.admin());
    let absent = [
        format!("/orders/{}", OrderId::new()),
        format!("/products/{}", ProductId::new()),
        format!("/users/{}", UserId::new()),
    ];
    let mut requests: Vec<_> = absent.iter().map(|path| admin.request(Method::GET, path)).collect();
    requests.push(anyone.request(Method::POST, "/auth").json(&sign_in(&new_email(), PASSWORD)));
    for answer in join_all(requests.into_iter().map(|request| admin.outcome(request))).await {
        let answer = answer.unwrap();
        assert!(answer.header("retry-after").is_some());
        answer.problem(503, "unavailable");
    }
}

#[tokio::test]
async fn no_command_tells_an_unknown_address_from_a_wrong_password() {
    let Lagging { shop, tap, .. } = Lagging::open().await;
    let email = new_email();
    shop.anyone().post("/users", user(&email)).await.expect(201);
    let mut heard = Vec::new();
    for email in [email, new_email()] {
        tap.heard();
        shop.anyone().post("/auth", sign_in(&email, OTHER_PASSWORD)).await.problem(401, "unauthenticated");
        let names: Vec<String> = tap.heard().into_iter().map(|command| command.name).collect();
        heard.push(names);
    }
    assert_eq!(heard[0], ["find", "update", "update", "find", "commitTransaction"]);
    assert_eq!(heard[0], heard[1]);
}
