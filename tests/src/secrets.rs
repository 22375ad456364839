//! Secrets in every place of a request where one can stand, so that a log can be searched for them afterwards.

use http::{Method, header};
use serde_json::json;

use crate::person::Person;
use crate::shop::{Shop, new_email, new_sku, order_of};

/// Texts that no log line may have: secrets and personal data.
#[derive(Clone, Debug)]
pub struct Secrets(Vec<(&'static str, String)>);

impl Secrets {
    fn add(&mut self, name: &'static str, secret: &str) -> String {
        assert!(secret.len() >= 8, "{name}: too short to be found by");
        self.0.push((name, secret.to_owned()));
        secret.to_owned()
    }

    /// The lines that have one, with the name of what they have.
    pub fn found_in(&self, lines: &[String]) -> Vec<String> {
        let found = lines.iter().flat_map(|line| {
            self.0
                .iter()
                .filter(|(_, secret)| line.contains(secret))
                .map(move |(name, _)| format!("{name}: {line}"))
        });
        found.collect()
    }
}

/// Sends requests with secrets to all functions, which succeed and which fail in every way that is easily had, and
/// answers what was secret in them.
pub async fn tell_secrets(shop: &Shop) -> Secrets {
    let mut secrets = Secrets(Vec::new());
    let anyone = shop.anyone();
    let email = secrets.add("e-mail", "s3cret-address@example.com");
    let password = secrets.add("password", "s3cret password of a person");
    let sign_up = json!({ "email": email, "password": password, "name": "Somebody" });
    let key = secrets.add("idempotency key", "s3cret-key-of-a-sign-up");
    for body in [sign_up.clone(), sign_up.clone(), json!({ "email": email, "password": password, "nane": 1 })]
    {
        anyone.send_keyed(Method::POST, "/users", &key, &body).await;
    }
    anyone.post("/users", sign_up.clone()).await.problem(409, "email-taken");
    let wrong = secrets.add("wrong password", "s3cret password that is wrong");
    anyone.post("/auth", json!({ "email": email, "password": wrong })).await.problem(401, "unauthenticated");
    anyone
        .post("/auth", json!({ "email": email, "password": { "is": wrong } }))
        .await
        .problem(422, "validation");
    let stranger = secrets.add("unknown e-mail", "s3cret-stranger@example.com");
    anyone
        .post("/auth", json!({ "email": stranger, "password": wrong }))
        .await
        .problem(401, "unauthenticated");

    let signed_in = anyone.post("/auth", json!({ "email": email, "password": password })).await.expect(200);
    let token = secrets.add("access token", &signed_in.text("access_token"));
    let signature = token.rsplit('.').next().unwrap_or_default();
    secrets.add("signature of the access token", signature);
    let refresh = signed_in["refresh_token"].as_str().map(|it| secrets.add("refresh token", it));
    let refresh = refresh.unwrap_or_else(|| secrets.add("made-up refresh token", "s3cret-refresh-token"));
    // Whether these routes are there or not: what is sent to them is as secret.
    for path in ["/auth/refresh", "/auth/logout"] {
        for body in [
            json!({ "refresh_token": refresh }),
            json!({ "refresh_token": [refresh] }),
            json!({ "refresh_token": refresh, "more": 1 }),
        ] {
            let answer = anyone.post(path, body).await;
            if let Some(next) = answer.body["refresh_token"].as_str() {
                secrets.add("next refresh token", next);
            }
            if let Some(next) = answer.body["access_token"].as_str() {
                secrets.add("next access token", next);
            }
        }
    }
    // The session of the first one has ended with its refresh token.
    let again = anyone.post("/auth", json!({ "email": email, "password": password })).await.expect(200);
    let user = anyone.with_token(secrets.add("another access token", &again.text("access_token")));
    if let Some(refresh) = again.body["refresh_token"].as_str() {
        secrets.add("another refresh token", refresh);
    }
    with_tokens(&anyone, &token, &mut secrets).await;
    with_bodies(shop, &user, &mut secrets).await;
    as_numbers_and_names(shop, &user, &mut secrets).await;
    in_paths_and_queries(&anyone, &token, &refresh).await;
    secrets
}

/// Tokens that are good, cut off, changed, and of another scheme.
async fn with_tokens(anyone: &Person, token: &str, secrets: &mut Secrets) {
    let basic = secrets.add("basic credentials", "Basic czNjcmV0OnMzY3JldA==");
    let forged = secrets.add("forged token", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzM2NyZXQifQ.s3cretsignature");
    for value in [
        format!("Bearer {token}"),
        format!("bearer {token}x"),
        format!("Bearer {}", &token[..token.len() - 9]),
        format!("Token {token}"),
        token.to_owned(),
        basic,
        format!("Bearer {forged}"),
    ] {
        for path in ["/orders", "/products", "/users", "/", "/nothing"] {
            let request = anyone.request(Method::GET, path).header(header::AUTHORIZATION, &value);
            anyone.answer(request).await;
        }
    }
    let cookie = secrets.add("cookie", "session=s3cret-cookie-of-a-browser");
    let request = anyone.request(Method::GET, "/products").header("cookie", cookie);
    anyone.answer(request).await.expect(200);
}

/// Bodies that are taken, refused and broken.
async fn with_bodies(shop: &Shop, user: &Person, secrets: &mut Secrets) {
    let product = shop.product(5).await;
    let key = secrets.add("idempotency key of an order", "s3cret-key-of-an-order");
    let mut order = order_of(&product, 1);
    let street = secrets.add("street", "7 S3cret Street of somebody");
    order["shipping_address"]["line1"] = json!(street);
    order["note"] = json!(secrets.add("note", "s3cret note: the key is under the mat"));
    let placed = user.send_keyed(Method::POST, "/orders", &key, &order).await.expect(201).id();
    user.send_keyed(Method::POST, "/orders", &key, &order).await.expect(201);
    user.send_keyed(Method::POST, "/orders", &key, &order_of(&product, 2))
        .await
        .problem(422, "idempotency-key-reused");
    order["items"][0]["quantity"] = json!(100);
    user.post("/orders", order.clone()).await.problem(409, "insufficient-stock");
    order["note"] = json!(secrets.add("note that is refused", "s3cret\u{7} note with a bell"));
    user.post("/orders", order.clone()).await.problem(422, "validation");
    let payment = secrets.add("payment reference", "s3cret-payment-reference");
    let paid = json!({ "status": "paid", "payment": { "reference": payment } });
    user.put(&format!("/orders/{placed}"), paid.clone()).await.problem(403, "forbidden");
    shop.admin().put(&format!("/orders/{placed}"), paid).await.expect(200);

    let me = shop.customer().await;
    let new = secrets.add("new password", "s3cret password that is new");
    let old = secrets.add("old password", "s3cret password that was never mine");
    let path = format!("/users/{}", me.id);
    me.put(&path, json!({ "password": new, "current_password": old })).await.problem(422, "validation");
    let phone = secrets.add("phone", "+49 555 s3cret");
    me.put(&path, json!({ "phone": phone })).await.expect(200);
    let breaking = secrets.add("broken body", "{\"password\": \"s3cret that breaks off");
    let request = user.request(Method::POST, "/users").header("content-type", "application/json");
    user.answer(request.body(breaking)).await.problem(400, "malformed-request");
    let long = json!({ "sku": new_sku(), "name": "s3cret-name".repeat(40_000) });
    shop.admin().post("/products", long).await.problem(413, "payload-too-large");
}

/// Numbers, names of fields and keys, names of parameters, and values of headers.
async fn as_numbers_and_names(shop: &Shop, user: &Person, secrets: &mut Secrets) {
    let anyone = shop.anyone();
    let pin = secrets.add("password that is a number", "447700900123");
    let digits: i64 = pin.parse().unwrap_or_default();
    let sign_up = json!({ "email": new_email(), "password": digits, "name": "Somebody" });
    anyone.post("/users", sign_up).await.problem(422, "validation");
    for body in
        [json!({ "password": digits }), json!({ "email": digits, "password": [digits, { "is": digits }] })]
    {
        anyone.post("/auth", body).await.problem(422, "validation");
    }
    let name = secrets.add("name of a field", "s3cret-name-of-a-field");
    anyone.post("/auth/refresh", json!({ &name: 1 })).await.problem(422, "validation");
    let product = shop.product(5).await;
    let order = |extra: serde_json::Value| {
        let mut order = order_of(&product, 1);
        for (name, value) in extra.as_object().into_iter().flatten() {
            order[name] = value.clone();
        }
        order
    };
    let key = secrets.add("key of a map", "s3cret-key-of-a-map");
    let nested = secrets.add("nested name", "s3cret-nested-name");
    for extra in [
        json!({ "metadata": { &key: "bell \u{7}" } }),
        json!({ "metadata": { &key: digits } }),
        json!({ "metadata": { format!("{key} {}", "k".repeat(40)): "" } }),
        json!({ "shipping_address": { &nested: digits } }),
        json!({ "items": [{ "product_id": &product, "quantity": 1, &nested: digits }] }),
        json!({ "items": [{ "product_id": secrets.add("ID that is none", "s3cret-id-of-a-product"), "quantity": 1 }] }),
    ] {
        user.post("/orders", order(extra)).await.problem(422, "validation");
    }
    let parameter = secrets.add("name of a parameter", "s3cret-ada@example.com");
    for path in ["/orders", "/products"] {
        user.get(&format!("{path}?{parameter}=1")).await.problem(400, "invalid-query");
        user.get(&format!("{path}?limit={digits}")).await.problem(400, "invalid-query");
    }
    let header = secrets.add("value of a header", "Bearer s3cret-in-a-content-type");
    let request = user.request(Method::POST, "/orders").header("content-type", &header);
    user.answer(request.body("{}")).await.problem(415, "unsupported-media-type");
    let tag = secrets.add("tag", "\"s3cret-tag-of-a-version\"");
    let me = format!("/users/{}", user.own_id());
    let request = user.request(Method::PUT, &me).header("if-match", &tag).json(&json!({ "name": "Ada" }));
    user.answer(request).await.problem(412, "version-mismatch");
}

/// Places where a client puts a secret by mistake.
async fn in_paths_and_queries(anyone: &Person, token: &str, refresh: &str) {
    for name in ["access_token", "token", "password", "cursor", "status", "limit"] {
        for path in ["/products", "/orders", "/users", "/health", "/nothing"] {
            anyone.get(&format!("{path}?{name}={token}")).await;
            anyone.get(&format!("{path}?{name}={refresh}")).await;
        }
    }
    let request =
        anyone.request(Method::GET, "/products").header("x-request-id", format!("{token} {refresh}"));
    anyone.answer(request).await.expect(200);
}
