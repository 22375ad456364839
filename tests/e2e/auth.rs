//! Signing in, the access token that one gets, and every kind of token that is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures::future::join_all;
use http::{HeaderValue, Method, header};
use serde_json::{Value, json};
use shared::auth::{Role, Signer};
use shared::clock::{Clock, Timestamp};
use shared::ids::UserId;
use tests::answer::Answer;
use tests::person::{PASSWORD, Person};
use tests::shop::{JWT_SECRET, Shop, new_sku, order_of};

use crate::users::{path, sign_up};

/// A clock that stands still until a test moves it, and its hand: milliseconds since 1970.
pub(crate) fn hand_moved_clock() -> (Clock, Arc<AtomicI64>) {
    let now = Arc::new(AtomicI64::new(1_800_000_000_000));
    let hand = now.clone();
    (Clock::from_fn(move || Timestamp::from_millis(now.load(Ordering::SeqCst))), hand)
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base64url without padding (RFC 4648, section 5), as in a JWT.
fn encode(json: &Value) -> String {
    let mut text = String::new();
    for chunk in json.to_string().as_bytes().chunks(3) {
        let bits = chunk.iter().fold(0_usize, |bits, &byte| bits << 8 | usize::from(byte))
            << (8 * (3 - chunk.len()));
        let letters = [18, 12, 6, 0].map(|shift| char::from(ALPHABET[bits >> shift & 63]));
        text.extend(&letters[..=chunk.len()]);
    }
    text
}

/// A part of a token: null if it is not JSON in base64url.
fn decode(part: &str) -> Value {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for letter in part.bytes() {
        let Some(value) = (0_u32..).zip(ALPHABET).find(|(_, known)| **known == letter) else {
            return Value::Null;
        };
        bits = bits << 6 | value.0;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.extend((bits >> held).to_le_bytes().first());
            bits &= (1 << held) - 1;
        }
    }
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Header, claims and signature of a token, as they are in it.
fn parts(token: &str) -> [&str; 3] {
    let mut parts = token.split('.');
    let three = [parts.next(), parts.next(), parts.next()].map(Option::unwrap_or_default);
    assert_eq!(parts.next(), None, "{token}");
    three
}

fn credentials(email: &str, password: &str) -> Value {
    json!({ "email": email, "password": password })
}

#[tokio::test]
async fn a_user_signs_in_with_their_e_mail_address_in_any_case() {
    let shop = Shop::open_in_process().await;
    shop.anyone().post("/users", sign_up("Ada@Example.com")).await.expect(201);
    for email in ["Ada@Example.com", "ada@example.com", "ADA@EXAMPLE.COM"] {
        let session = shop.anyone().post("/auth", credentials(email, PASSWORD)).await.expect(200);
        assert_eq!(session["token_type"], "Bearer");
        assert_eq!(session["expires_in"], 900);
        assert_eq!(session.header("content-type"), Some("application/json"));
        assert_eq!(session.header("location"), None);
    }
    // The password has one case, and neither is trimmed.
    for (email, password) in [
        ("ada@example.com", PASSWORD.to_uppercase()),
        ("ada@example.com", format!("{PASSWORD} ")),
        (" ada@example.com", PASSWORD.to_owned()),
        ("ada@example.com ", PASSWORD.to_owned()),
    ] {
        let answer = shop.anyone().post("/auth", credentials(email, &password)).await;
        answer.problem(401, "unauthenticated");
    }
}

/// The status, the bytes of the body and the names of the headers of an answer to a sign-in.
async fn seen_from_outside(shop: &Shop, email: &str, password: &str) -> (u16, String, Vec<String>) {
    let request = shop.anyone().request(Method::POST, "/auth").header("x-request-id", "the-same");
    let request = request.header(header::CONTENT_TYPE, "application/json");
    let Ok(response) = request.body(credentials(email, password).to_string()).send().await else {
        return (0, "no answer".to_owned(), Vec::new());
    };
    let headers = response.headers().keys().map(ToString::to_string).collect();
    (response.status().as_u16(), response.text().await.unwrap_or_default(), headers)
}

#[tokio::test]
async fn nobody_learns_from_a_failed_sign_in_whether_there_is_such_a_user() {
    let shop = Shop::open().await;
    let (known, disabled, deleted) = (shop.customer().await, shop.customer().await, shop.customer().await);
    shop.admin().put(&path(&disabled), json!({ "status": "disabled" })).await.expect(200);
    shop.admin().delete(&path(&deleted)).await.expect(204);

    let wrong = seen_from_outside(&shop, &known.email, "a wrong password").await;
    assert_eq!(wrong.0, 401);
    for (email, password) in [
        ("nobody@example.com", PASSWORD),
        (disabled.email.as_str(), PASSWORD),
        (disabled.email.as_str(), "a wrong password"),
        (deleted.email.as_str(), PASSWORD),
        ("not an address", PASSWORD),
        (known.email.as_str(), ""),
    ] {
        assert_eq!(seen_from_outside(&shop, email, password).await, wrong, "{email} {password}");
    }
}

#[tokio::test]
async fn an_access_token_says_who_it_is_for_and_how_long() {
    let (clock, now) = hand_moved_clock();
    let shop = Shop::open_with_clock(clock).await;
    let signer = Signer::from_secret(JWT_SECRET).unwrap();
    let mut seen = Vec::new();
    for (role, person) in
        [("customer", shop.customer().await), ("staff", shop.staff().await), ("admin", shop.admin())]
    {
        let session = shop.anyone().post("/auth", credentials(&person.email, PASSWORD)).await.expect(200);
        let token = session.text("access_token");
        let [head, claims, signature] = parts(&token);
        assert_eq!(decode(head), json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": signer.public_key().kid }));
        let claims = decode(claims);
        let iat = now.load(Ordering::SeqCst) / 1000;
        let jti = claims["jti"].as_str().unwrap();
        assert_eq!(
            claims,
            json!({ "iss": "oms", "aud": "oms-api", "sub": person.id, "role": role, "iat": iat,
                "exp": iat + 900, "jti": jti })
        );
        // 64 bytes in base64.
        assert_eq!(signature.len(), 86);
        assert!(jti.starts_with("0.") && jti.len() >= 16 && !seen.contains(&jti.to_owned()));
        seen.push(jti.to_owned());
    }
}

#[tokio::test]
async fn a_new_token_carries_the_role_that_one_has_by_then() {
    let shop = Shop::open().await;
    let ada = shop.customer().await;
    shop.admin().put(&path(&ada), json!({ "role": "staff" })).await.expect(200);
    let ada = shop.anyone().signs_in(&ada.email, PASSWORD).await;
    ada.get("/users").await.expect(200);
}

#[tokio::test]
async fn a_token_of_the_users_function_is_good_at_all_functions() {
    let shop = Shop::open().await;
    let (customer, staff) = (shop.customer().await, shop.staff().await);
    customer.get("/orders").await.expect(200);
    customer.get("/products").await.expect(200);
    customer.get(&path(&customer)).await.expect(200);
    let mug =
        json!({ "sku": new_sku(), "name": "Mug", "price": { "amount": 1, "currency": "EUR" }, "stock": 1 });
    let mug = staff.post("/products", mug).await.expect(201).id();
    let order = customer.post("/orders", order_of(&mug, 1)).await.expect(201);
    assert_eq!(order["user_id"], customer.id);
    // The scheme's name has no case (RFC 9110, section 11.1).
    for scheme in ["bearer", "BEARER"] {
        let token = format!("{scheme} {}", customer.token.clone().unwrap());
        for route in ["/orders", "/products", &path(&customer)] {
            let request = shop.anyone().request(Method::GET, route).header(header::AUTHORIZATION, &token);
            shop.anyone().answer(request).await.expect(200);
        }
    }
}

/// A request with this `Authorization`, to every function, where a token is needed and where it is not.
async fn everywhere(shop: &Shop, user: &Person, authorization: &HeaderValue) -> Vec<Answer> {
    let anyone = shop.anyone();
    let requests = [
        (Method::GET, path(user), None),
        (Method::DELETE, path(user), None),
        (Method::POST, "/users".to_owned(), Some(sign_up("sneaky@example.com"))),
        (Method::POST, "/auth".to_owned(), Some(credentials(&user.email, PASSWORD))),
        (Method::GET, "/orders".to_owned(), None),
        (Method::GET, "/products".to_owned(), None),
        (Method::GET, format!("/products/{}", shared::ids::ProductId::new()), None),
        (Method::POST, "/products".to_owned(), Some(json!({}))),
    ];
    join_all(requests.into_iter().map(|(method, path, body)| {
        let mut request = anyone.request(method, &path).header(header::AUTHORIZATION, authorization);
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body.to_string());
        }
        anyone.answer(request)
    }))
    .await
}

/// An admin's token that is signed by HMAC, with the bytes of our public key as its secret: what a verifier
/// takes that lets the token choose the algorithm (RFC 8725, section 2.1). Its `kid` is our key's.
const SIGNED_WITH_THE_PUBLIC_KEY: &str = "\
    eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJIUzI1NiIsImtpZCI6IkJ4aEVVcjBDcDRQTjNlNmgifQ.\
    eyJpc3MiOiJvbXMiLCJhdWQiOiJvbXMtYXBpIiwic3ViIjoidXNlcl8wMWg0NTV2YjRwZXg1dnNrbmswODRzbjAycSIs\
    InJvbGUiOiJhZG1pbiIsImlhdCI6MSwiZXhwIjo5OTk5OTk5OTk5LCJqdGkiOiIwIn0.\
    b0lGMd78N3GYrpaYAG1WI7ssnMU7R40KAeCaKg5nTkA";

#[tokio::test]
async fn a_bad_token_is_refused_also_where_none_is_needed() {
    let shop = Shop::open_in_process().await;
    let user = shop.customer().await;
    let token = user.token.clone().unwrap();
    let [head, claims, signature] = parts(&token);
    let kid = decode(head)["kid"].clone();
    let header_of = |alg: &str| encode(&json!({ "alg": alg, "typ": "at+jwt", "kid": kid }));
    let mut as_admin = decode(claims);
    as_admin["role"] = json!("admin");
    let as_admin = encode(&as_admin);
    let mut long_lived = decode(claims);
    long_lived["exp"] = json!(9_999_999_999_i64);
    let long_lived = encode(&long_lived);
    let mut flipped = signature.to_owned();
    let middle = if &flipped[40..41] == "A" { "B" } else { "A" };
    flipped.replace_range(40..41, middle);

    let id: UserId = user.id.parse().unwrap();
    let stranger = Signer::from_secret("another secret, also of 32 bytes or more").unwrap();
    let foreign = stranger.access_token(id, Role::Admin, Clock::system().now()).unwrap();
    let [_, foreign_claims, foreign_signature] = parts(&foreign);
    assert_eq!(
        decode(parts(SIGNED_WITH_THE_PUBLIC_KEY)[0])["kid"],
        kid,
        "made with another key: make it anew"
    );

    let mut bad: Vec<HeaderValue> = [
        // Another form.
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        token.clone(),
        format!("Bearer{token}"),
        format!("Basic {token}"),
        "Basic YWRtaW46YWRtaW4=".to_owned(),
        format!("Token {token}"),
        format!("Bearer \"{token}\""),
        format!("Bearer {token} {token}"),
        format!("Bearer {token}, Bearer {token}"),
        "Bearer garbage".to_owned(),
        "Bearer a.b.c".to_owned(),
        "Bearer ..".to_owned(),
        "Bearer null".to_owned(),
        // Cut off, or with something more.
        format!("Bearer {}", &token[..token.len() - 1]),
        format!("Bearer {}", &token[..token.len() / 2]),
        format!("Bearer {head}.{claims}"),
        format!("Bearer {head}.{claims}."),
        format!("Bearer {head}..{signature}"),
        format!("Bearer .{claims}.{signature}"),
        format!("Bearer {token}.{signature}"),
        format!("Bearer {token}=="),
        format!("Bearer {}", token.to_lowercase()),
        format!("Bearer {token}{}", "A".repeat(3_000)),
        format!("Bearer {}", "A".repeat(20_000)),
        // Changed.
        format!("Bearer {head}.{as_admin}.{signature}"),
        format!("Bearer {head}.{long_lived}.{signature}"),
        format!("Bearer {head}.{claims}.{flipped}"),
        format!("Bearer {}.{claims}.{signature}", encode(&json!({ "alg": "EdDSA", "typ": "at+jwt" }))),
        format!(
            "Bearer {}.{claims}.{signature}",
            encode(&json!({ "alg": "EdDSA", "typ": "JWT", "kid": kid }))
        ),
        // Not signed, or so that anyone could have.
        format!("Bearer {}.{as_admin}.", header_of("none")),
        format!("Bearer {}.{as_admin}.{signature}", header_of("none")),
        format!("Bearer {}.{as_admin}.", header_of("NonE")),
        format!("Bearer {SIGNED_WITH_THE_PUBLIC_KEY}"),
        format!("Bearer {}.{as_admin}.{signature}", header_of("HS256")),
        format!("Bearer {}.{as_admin}.{signature}", header_of("RS256")),
        // Of another key: under its own name, which is unknown here, and under ours.
        format!("Bearer {foreign}"),
        format!("Bearer {head}.{foreign_claims}.{foreign_signature}"),
    ]
    .iter()
    .map(|value| HeaderValue::from_str(value).unwrap())
    .collect();
    bad.push(HeaderValue::from_bytes(b"Bearer \xff\xfe").unwrap());
    bad.push(HeaderValue::from_bytes("Bearer ☕".as_bytes()).unwrap());
    bad.push(HeaderValue::from_bytes(&[token.as_bytes(), b"\xff"].concat()).unwrap());

    for authorization in &bad {
        for answer in everywhere(&shop, &user, authorization).await {
            assert_eq!(answer.status, 401, "{} with {authorization:?}", answer.request);
            let answer = answer.problem(401, "unauthenticated");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            assert!(!answer.body.to_string().contains(&token), "a token is a secret");
        }
    }

    // Nothing of it had an effect, and the good token is still good.
    user.get(&path(&user)).await.expect(200);
    shop.anyone().post("/users", sign_up("sneaky@example.com")).await.expect(201);
    user.get("/orders").await.expect(200);
    user.get("/products").await.expect(200);
}

#[tokio::test]
async fn a_token_dies_after_fifteen_minutes_everywhere() {
    let (clock, now) = hand_moved_clock();
    let shop = Shop::open_with_clock(clock).await;
    let user = shop.customer().await;
    let bearer = HeaderValue::from_str(&format!("Bearer {}", user.token.clone().unwrap())).unwrap();
    let routes = ["/orders", "/products", &path(&user)].map(str::to_owned);

    now.fetch_add(899_000, Ordering::SeqCst);
    for route in &routes {
        user.get(route).await.expect(200);
    }
    now.fetch_add(1_000, Ordering::SeqCst);
    for answer in everywhere(&shop, &user, &bearer).await {
        answer.problem(401, "unauthenticated");
    }
    // Without it, what needs none is open.
    shop.anyone().get("/products").await.expect(200);
    let again = shop.anyone().signs_in(&user.email, PASSWORD).await;
    for route in &routes {
        again.get(route).await.expect(200);
    }
}
