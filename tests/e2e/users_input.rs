//! Bad input for every field of users and of signing in: what is refused, where, and what just passes.

use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};
use tests::person::{PASSWORD, Person};
use tests::shop::Shop;
use uuid::Uuid;

use crate::users::path;
use crate::users_values::{bad_values, change, full, good_values, no_text, whole_address, with};

/// Sends each body, which differs from a good one at one place, and fails with all that were not refused just
/// there. Some are sent at once, since each waits for the other side.
async fn assert_refused(person: &Person, method: Method, path: &str, rows: Vec<(&str, Value, Value)>) {
    let mut taken = Vec::new();
    for some in rows.chunks(4) {
        let answers = some.iter().map(|(_, _, body)| person.send(method.clone(), path, Some(body.clone())));
        for ((pointer, value, _), answer) in some.iter().zip(join_all(answers).await) {
            if answer.status == 422 && answer.pointers() == [*pointer] {
                answer.problem(422, "validation");
            } else {
                let value: String = value.to_string().chars().take(80).collect();
                taken.push(format!("{pointer} {value}: {} {:?}", answer.status, answer.pointers()));
            }
        }
    }
    assert!(taken.is_empty(), "{taken:#?}");
}

#[tokio::test]
async fn a_new_user_with_a_value_that_is_not_allowed_is_refused_at_its_place() {
    let shop = Shop::open_in_process().await;
    let mut rows = bad_values();
    rows.extend(["/email", "/password", "/name"].map(|required| (required, Value::Null)));
    let bodies = rows.into_iter().map(|(pointer, value)| {
        let body = with(full(), pointer, &value);
        (pointer, value, body)
    });
    assert_refused(&shop.admin(), Method::POST, "/users", bodies.collect()).await;
    assert_eq!(shop.admin().get("/users").await.expect(200).data().len(), 1, "nobody was made");
}

#[tokio::test]
async fn a_new_user_with_values_that_are_just_allowed_is_made_of_them() {
    let shop = Shop::open_in_process().await;
    let bodies = good_values().into_iter().map(|(pointer, value)| (pointer, with(full(), pointer, &value)));
    for (pointer, body) in bodies.collect::<Vec<_>>() {
        let made = shop.anyone().post("/users", body.clone()).await.expect(201);
        if pointer == "/password" {
            shop.anyone()
                .post("/auth", json!({ "email": body["email"], "password": body["password"] }))
                .await
                .expect(200);
        } else {
            assert_eq!(made.body.pointer(pointer), body.pointer(pointer));
        }
    }
}

#[tokio::test]
async fn an_address_that_is_one_for_html_alone_is_taken_and_the_document_asks_for_no_stricter_format() {
    let shop = Shop::open_in_process().await;
    // RFC 5321, which `format: email` stands for, knows no dot at the beginning.
    let email = format!(".{}@example.com", Uuid::new_v4().simple());
    shop.anyone().post("/users", with(full(), "/email", &email.clone().into())).await.expect(201);
    let found = shop.admin().get(&format!("/users?email={email}")).await.expect(200);
    assert_eq!(found.data()[0]["email"], *email);
    let document: Value = serde_json::from_str(&local::openapi::text().unwrap()).unwrap();
    let parameters = document["paths"]["/users"]["get"]["parameters"].as_array().unwrap();
    let filter = parameters.iter().find(|parameter| parameter["name"] == "email").unwrap();
    let schemas = &document["components"]["schemas"];
    for schema in [
        &schemas["NewUser"]["properties"]["email"],
        &schemas["UserChange"]["properties"]["email"],
        &filter["schema"],
    ] {
        assert!(schema["pattern"].is_string(), "{schema}");
        assert!(schema["format"].is_null(), "{schema}");
    }
}

#[tokio::test]
async fn a_change_with_a_value_that_is_not_allowed_is_refused_at_its_place() {
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
    for pointer in ["/address/line2", "/address/region", "/address/postal_code", "/phone", "/address"] {
        let changed = admin.put(&path(&ada), change(pointer, &Value::Null)).await.expect(200);
        assert_eq!(changed.body.pointer(pointer), Some(&Value::Null));
    }
}

#[tokio::test]
async fn fields_that_are_not_there_or_cannot_be_set_are_refused_by_name() {
    let shop = Shop::open_in_process().await;
    let (ada, admin) = (shop.customer().await, shop.admin());
    let read_only = ["id", "version", "created_at", "updated_at"];
    let unknown = [
        "_id",
        "email_key",
        "password_hash",
        "orders",
        "Email",
        "NAME",
        "e-mail",
        "nmae",
        "$set",
        "$where",
        "__proto__",
        "constructor",
        "name ",
        "naïve",
        "☕",
    ];
    let fields = || read_only.iter().chain(&unknown).map(|field| (*field, format!("/{field}")));
    let escaped = [("a/b~c", "/a~1b~0c".to_owned()), ("", "/".to_owned())];
    for (field, pointer) in fields().chain(escaped) {
        // Also with a value that it has, and with null.
        for value in [json!("x"), json!(1), Value::Null] {
            let mut body = full();
            body[field] = value.clone();
            admin.post("/users", body).await.faults_at(&[&pointer]);
            admin.put(&path(&ada), json!({ field: value })).await.faults_at(&[&pointer]);
        }
        let mut inside = whole_address();
        inside[field] = json!("x");
        let place = format!("/address{pointer}");
        admin.post("/users", with(full(), "/address", &inside)).await.faults_at(&[&place]);
        admin.put(&path(&ada), json!({ "address": inside })).await.faults_at(&[&place]);
    }
    // Each belongs to the other request.
    for field in ["status", "current_password"] {
        admin
            .post("/users", with(full(), &format!("/{field}"), &json!("active")))
            .await
            .faults_at(&[&format!("/{field}")]);
    }
    assert_eq!(ada.get(&path(&ada)).await.expect(200)["version"], 1);
    assert_eq!(admin.get("/users").await.expect(200).data().len(), 2, "nobody was made");
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
        "address": { "line1": "", "line2": " ", "region": "a\0", "postal_code": "x".repeat(21), "country": "de" },
    });
    anyone.post("/users", everything.clone()).await.faults_at(&[
        "/email",
        "/password",
        "/name",
        "/phone",
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
            "/address/country",
            "/address/line1",
            "/address/line2",
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
async fn signing_in_needs_an_e_mail_address_and_a_password_and_nothing_else() {
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
