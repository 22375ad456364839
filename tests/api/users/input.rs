//! Bad and just allowed input for changes of users and for signing in.

use http::Method;
use serde_json::{Value, json};
use tests::person::PASSWORD;
use tests::shop::Shop;
use tests::support::user_values::{bad_values, change, full, good_values, no_text, with};
use tests::support::users::{assert_refused, path};
use uuid::Uuid;

#[tokio::test]
async fn a_change_with_a_bad_value_is_refused_at_its_place() {
    let shop = Shop::open().await;
    let (ada, admin) = (shop.customer().await, shop.admin());
    let mut rows = bad_values();
    for status in ["", "Active", "DISABLED", "deleted", "active "] {
        rows.push(("/status", json!(status)));
    }
    for pointer in ["/status", "/current_password"] {
        rows.extend(no_text().into_iter().map(|value| (pointer, value)));
    }
    rows.extend(
        ["/email", "/name", "/password", "/role", "/status", "/current_password"]
            .map(|required| (required, Value::Null)),
    );
    let before = ada.get(&path(&ada)).await.expect(200).body;
    let bodies = rows.into_iter().map(|(pointer, value)| {
        let body = change(pointer, &value);
        (pointer, value, body)
    });
    assert_refused(&admin, Method::PUT, &path(&ada), bodies.collect()).await;
    assert_eq!(ada.get(&path(&ada)).await.expect(200).body, before);
}

#[tokio::test]
async fn a_change_with_values_that_are_just_allowed_is_made() {
    let shop = Shop::open().await;
    let (ada, admin) = (shop.customer().await, shop.admin());
    for (pointer, value) in good_values() {
        let changed = admin.put(&path(&ada), change(pointer, &value)).await.expect(200);
        if pointer != "/password" {
            assert_eq!(changed.body.pointer(pointer), Some(&value));
        }
    }
    // What is optional is cleared, in an address too.
    for pointer in [
        "/address/name",
        "/address/company",
        "/address/phone",
        "/address/line2",
        "/address/region",
        "/address/postal_code",
        "/phone",
        "/address",
    ] {
        let changed = admin.put(&path(&ada), change(pointer, &Value::Null)).await.expect(200);
        assert_eq!(changed.body.pointer(pointer), Some(&Value::Null));
    }
}

#[tokio::test]
async fn all_that_is_missing_or_not_allowed_is_told_at_once() {
    let shop = Shop::open().await;
    let (anyone, admin, ada) = (shop.anyone(), shop.admin(), shop.customer().await);
    anyone.post("/users", json!({})).await.faults_at(&["/email", "/password", "/name"]);
    let nulls = json!({ "email": null, "password": null, "name": null, "phone": null, "address": null });
    anyone.post("/users", nulls).await.faults_at(&["/email", "/password", "/name"]);
    let everything = json!({
        "email": "ada", "password": "short", "phone": "1", "role": "owner",
        "address": {
            "name": "", "company": " ", "phone": "1", "line1": "", "line2": " ", "region": "a\0",
            "postal_code": "x".repeat(21), "country": "de",
        },
    });
    anyone.post("/users", everything.clone()).await.faults_at(&[
        "/email",
        "/password",
        "/name",
        "/phone",
        "/address/name",
        "/address/company",
        "/address/phone",
        "/address/line1",
        "/address/line2",
        "/address/city",
        "/address/region",
        "/address/postal_code",
        "/address/country",
        "/role",
    ]);
    anyone.post("/users", with(full(), "/address", &json!({}))).await.faults_at(&[
        "/address/line1",
        "/address/city",
        "/address/country",
    ]);

    let mut change = everything;
    change["name"] = Value::Null;
    change["status"] = json!("deleted");
    let refused = admin.put(&path(&ada), change).await.problem(422, "validation");
    let mut pointers = refused.pointers();
    pointers.sort_unstable();
    assert_eq!(
        pointers,
        [
            "/address/city",
            "/address/company",
            "/address/country",
            "/address/line1",
            "/address/line2",
            "/address/name",
            "/address/phone",
            "/address/postal_code",
            "/address/region",
            "/email",
            "/name",
            "/password",
            "/phone",
            "/role",
            "/status"
        ]
    );
    admin.put(&path(&ada), json!({ "address": { "line2": "x" } })).await.faults_at(&[
        "/address/line1",
        "/address/city",
        "/address/country",
    ]);
}

#[tokio::test]
async fn signing_in_takes_an_email_and_a_password_and_nothing_else() {
    let shop = Shop::open().await;
    let (anyone, ada) = (shop.anyone(), shop.customer().await);
    let both = || json!({ "email": ada.email, "password": PASSWORD });
    anyone.post("/auth", json!({})).await.faults_at(&["/email", "/password"]);
    anyone
        .post("/auth", json!({ "email": null, "password": null }))
        .await
        .faults_at(&["/email", "/password"]);
    for (here, missing) in [("email", "/password"), ("password", "/email")] {
        anyone.post("/auth", json!({ here: both()[here] })).await.faults_at(&[missing]);
        anyone.post("/auth", with(both(), missing, &Value::Null)).await.faults_at(&[missing]);
    }
    for pointer in ["/email", "/password"] {
        for value in no_text() {
            anyone.post("/auth", with(both(), pointer, &value)).await.faults_at(&[pointer]);
        }
    }
    for field in ["role", "id", "token", "Email", "refresh_token", "grant_type", "$where"] {
        let pointer = format!("/{field}");
        anyone.post("/auth", with(both(), &pointer, &json!("x"))).await.faults_at(&[&pointer]);
    }
    anyone.post("/auth", both()).await.expect(200);
}

#[tokio::test]
async fn whatever_text_somebody_enters_at_the_door_is_just_wrong() {
    let shop = Shop::open().await;
    let (anyone, ada) = (shop.anyone(), shop.customer().await);
    // What an attacker or a broken client sends: it matches nobody, and says no more than any wrong password.
    let odd = ["", " ", "a\0b", "☕", "{\"$ne\":null}", "' or 1=1 --", ".*", "\u{feff}", "\u{fdfa}"];
    let long = ["x".repeat(100_000), "☕".repeat(30_000), "\u{fdfa}".repeat(30_000)];
    for text in odd.iter().copied().chain(long.iter().map(String::as_str)) {
        let nobody = json!({ "email": text, "password": PASSWORD });
        anyone.post("/auth", nobody).await.problem(401, "unauthenticated");
        // For an address that nobody has, so that no count of failures could answer instead.
        let wrong = json!({ "email": format!("{}@example.com", Uuid::new_v4().simple()), "password": text });
        anyone.post("/auth", wrong).await.problem(401, "unauthenticated");
    }
    let wrong = json!({ "email": ada.email, "password": "\0".repeat(12) });
    anyone.post("/auth", wrong).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_password_with_the_address_or_the_name_is_refused() {
    let shop = Shop::open().await;
    let local = Uuid::new_v4().simple().to_string();
    let email = format!("{local}@example.com");
    let user = |password: &str| json!({ "email": email, "password": password, "name": "Ada Lovelace" });
    let bad =
        [email.clone(), format!("my {local}"), "ADA LOVELACE 1815".to_owned(), "Password2026!".to_owned()];
    for password in &bad {
        shop.anyone().post("/users", user(password)).await.faults_at(&["/password"]);
    }
    let made = shop.anyone().post("/users", user(PASSWORD)).await.expect(201);
    let ada = shop.anyone().signs_in(&email, PASSWORD).await;
    let own = format!("/users/{}", made.id());
    for password in &bad {
        let change = json!({ "password": password, "current_password": PASSWORD });
        ada.put(&own, change).await.faults_at(&["/password"]);
        shop.admin().put(&own, json!({ "password": password })).await.faults_at(&["/password"]);
    }
    // What the name will be counts, and what it was does not.
    let change = json!({ "name": "Grace", "password": "grace of the hopper", "current_password": PASSWORD });
    ada.put(&own, change).await.faults_at(&["/password"]);
    let change = json!({ "name": "Grace", "password": "ada lovelace of yore", "current_password": PASSWORD });
    ada.put(&own, change).await.expect(200);
}
