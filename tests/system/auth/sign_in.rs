//! Access tokens over time: their claims and their end.

use std::sync::atomic::Ordering;

use futures::future::join_all;
use http::{HeaderValue, Method, header};
use serde_json::{Value, json};
use shared::auth::Signer;
use tests::JWT_SECRET;
use tests::answer::Answer;
use tests::in_process::InProcess;
use tests::person::{PASSWORD, Person};
use tests::shop::Shop;
use tests::support::sign_in::credentials;
use tests::support::users::{path, sign_up};

use crate::support::clock::hand_moved_clock;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

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

#[tokio::test]
async fn a_user_signs_in_with_their_e_mail_address_in_any_case() {
    let shop = InProcess::open().await;
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

#[tokio::test]
async fn an_access_token_says_who_it_is_for_and_how_long() {
    let (clock, now) = hand_moved_clock();
    let shop = InProcess::open_with_clock(clock).await;
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
        (Method::GET, format!("/products/{}", shared::values::ids::ProductId::new()), None),
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

#[tokio::test]
async fn a_token_dies_after_fifteen_minutes_everywhere() {
    let (clock, now) = hand_moved_clock();
    let shop = InProcess::open_with_clock(clock).await;
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
