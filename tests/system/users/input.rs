//! Bad and just allowed input for new users, whose list must stay as it is.

use http::Method;
use serde_json::{Value, json};
use tests::in_process::InProcess;
use tests::support::user_values::{bad_values, full, good_values, whole_address, with};
use tests::support::users::{assert_refused, path};
use uuid::Uuid;

#[tokio::test]
async fn a_new_user_with_a_bad_value_is_refused_at_its_place() {
    let shop = InProcess::open().await;
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
    let shop = InProcess::open().await;
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
async fn an_email_valid_for_html_alone_is_taken_as_documented() {
    let shop = InProcess::open().await;
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
async fn unknown_and_read_only_fields_are_refused_by_name() {
    let shop = InProcess::open().await;
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
