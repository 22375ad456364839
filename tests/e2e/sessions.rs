//! Sessions: how one goes on without the password, how a session ends, and how soon that is felt everywhere.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::join_all;
use futures::join;
use http::Method;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use shared::auth::Signer;
use tests::answer::Answer;
use tests::person::{PASSWORD, Person};
use tests::shop::{JWT_SECRET, Shop};

use crate::auth::hand_moved_clock;
use crate::users::path;

const OTHER_PASSWORD: &str = "staple battery horse";

/// Signs in with the password that everybody has.
async fn signs_in(shop: &Shop, email: &str) -> Answer {
    shop.anyone().post("/auth", json!({ "email": email, "password": PASSWORD })).await.expect(200)
}

async fn refreshes(shop: &Shop, token: &str) -> Answer {
    shop.anyone().post("/auth/refresh", json!({ "refresh_token": token })).await
}

async fn signs_out(shop: &Shop, token: &str) {
    let answer = shop.anyone().post("/auth/logout", json!({ "refresh_token": token })).await.expect(204);
    assert!(answer.body.is_null());
}

/// The statuses of requests with this token to each function.
async fn everywhere(shop: &Shop, token: &str, own: &str) -> [u16; 3] {
    let person = shop.anyone().with_token(token);
    let (users, products, orders) = join!(person.get(own), person.get("/products"), person.get("/orders"));
    [users, products, orders].map(|answer| answer.status.as_u16())
}

#[tokio::test]
async fn a_refresh_token_is_traded_for_a_new_pair_again_and_again() {
    let shop = Shop::open().await;
    let ada = shop.customer().await;
    let mut session = signs_in(&shop, &ada.email).await;
    let mut seen = Vec::new();
    for _ in 0..5 {
        let token = session.text("refresh_token");
        assert!(token.len() >= 64 && !seen.contains(&token));
        let mut members: Vec<_> = session.body.as_object().unwrap().keys().cloned().collect();
        members.sort_unstable();
        assert_eq!(members, ["access_token", "expires_in", "refresh_token", "token_type"]);
        assert_eq!((&session["token_type"], &session["expires_in"]), (&json!("Bearer"), &json!(900)));
        assert_eq!(everywhere(&shop, &session.text("access_token"), &path(&ada)).await, [200; 3]);
        session = refreshes(&shop, &token).await.expect(200);
        seen.push(token);
    }
}

#[tokio::test]
async fn a_spent_refresh_token_that_is_shown_again_ends_its_session_and_no_other() {
    let shop = Shop::open().await;
    let ada = shop.customer().await;
    let (first, other) = join!(signs_in(&shop, &ada.email), signs_in(&shop, &ada.email));
    let first = first.text("refresh_token");
    let second = refreshes(&shop, &first).await.expect(200);
    let third = refreshes(&shop, &second.text("refresh_token")).await.expect(200).text("refresh_token");
    // The oldest of them, which is long spent.
    refreshes(&shop, &first).await.problem(401, "unauthenticated");
    for ended in [&third, &first] {
        refreshes(&shop, ended).await.problem(401, "unauthenticated");
    }
    refreshes(&shop, &other.text("refresh_token")).await.expect(200);
}

#[tokio::test]
async fn of_many_who_show_one_refresh_token_at_once_one_gets_a_pair() {
    let shop = Shop::open().await;
    let ada = shop.customer().await;
    for _ in 0..4 {
        let token = signs_in(&shop, &ada.email).await.text("refresh_token");
        let answers = join_all((0..12).map(|_| refreshes(&shop, &token))).await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
        assert_eq!(won.len(), 1);
        for answer in lost {
            answer.problem(401, "unauthenticated");
        }
        // A token was shown again that was spent.
        refreshes(&shop, &won[0].text("refresh_token")).await.problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn what_is_no_refresh_token_of_ours_is_refused_and_ends_nothing() {
    let shop = Shop::open().await;
    let ada = shop.customer().await;
    let session = signs_in(&shop, &ada.email).await;
    let good = session.text("refresh_token");
    let mistyped = format!("{}{}", &good[..good.len() - 1], if good.ends_with('A') { "B" } else { "A" });
    let mut bad = vec![String::new(), " ".to_owned(), session.text("access_token"), mistyped];
    bad.extend([
        good[1..].to_owned(),
        good[..good.len() - 4].to_owned(),
        format!("{good} "),
        good.to_uppercase(),
    ]);
    bad.extend(["{\"$ne\": null}", "null", "oms_rt_", "☕", "\0"].map(str::to_owned));
    bad.push("A".repeat(100_000));
    for token in bad {
        let answer = refreshes(&shop, &token).await.problem(401, "unauthenticated");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        signs_out(&shop, &token).await;
    }
    for route in ["/auth/refresh", "/auth/logout"] {
        for missing in [json!({}), json!({ "refresh_token": null })] {
            shop.anyone().post(route, missing).await.faults_at(&["/refresh_token"]);
        }
        for wrong in [json!({ "$ne": null }), json!([good]), json!(1), json!(true)] {
            shop.anyone().post(route, json!({ "refresh_token": wrong })).await.faults_at(&["/refresh_token"]);
        }
        shop.anyone()
            .post(route, json!({ "refresh_token": good, "role": "admin" }))
            .await
            .faults_at(&["/role"]);
        shop.anyone().get(route).await.problem(405, "method-not-allowed");
    }
    refreshes(&shop, &good).await.expect(200);
}

#[tokio::test]
async fn who_signs_out_cannot_go_on_and_signing_out_is_never_refused() {
    let shop = Shop::open().await;
    let ada = shop.customer().await;
    let (one, other) = (signs_in(&shop, &ada.email).await, signs_in(&shop, &ada.email).await);
    let spent = one.text("refresh_token");
    let latest = refreshes(&shop, &spent).await.expect(200).text("refresh_token");
    for _ in 0..2 {
        signs_out(&shop, &latest).await;
        refreshes(&shop, &latest).await.problem(401, "unauthenticated");
    }
    // A spent one names its session as well.
    let spent = other.text("refresh_token");
    let latest = refreshes(&shop, &spent).await.expect(200).text("refresh_token");
    signs_out(&shop, &spent).await;
    refreshes(&shop, &latest).await.problem(401, "unauthenticated");
    signs_in(&shop, &ada.email).await;
}

#[tokio::test]
async fn a_refresh_token_lives_for_thirty_days_by_the_clock() {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let (clock, now) = hand_moved_clock();
    let shop = Shop::open_with_clock(clock).await;
    let ada = shop.customer().await;
    let token = signs_in(&shop, &ada.email).await.text("refresh_token");
    now.fetch_add(30 * DAY - 1, Ordering::SeqCst);
    let token = refreshes(&shop, &token).await.expect(200).text("refresh_token");
    now.fetch_add(30 * DAY, Ordering::SeqCst);
    refreshes(&shop, &token).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn no_token_is_on_disk_and_a_user_has_twenty_sessions_at_most() {
    let (clock, now) = hand_moved_clock();
    let shop = Shop::open_with_clock(clock).await;
    let ada = shop.customer().await;
    let mut tokens = Vec::new();
    for _ in 0..21 {
        now.fetch_add(1, Ordering::SeqCst);
        tokens.push(signs_in(&shop, &ada.email).await.text("refresh_token"));
    }
    let sessions = shop.database.collection::<Document>("user_sessions");
    let id = shared::mongo::uuid(ada.id.parse::<shared::values::ids::UserId>().unwrap());
    assert_eq!(sessions.count_documents(doc! { "user": id }).await.unwrap(), 20);
    let all: Vec<Document> =
        futures::TryStreamExt::try_collect(sessions.find(doc! {}).await.unwrap()).await.unwrap();
    for token in &tokens {
        let secret = URL_SAFE_NO_PAD.decode(token.strip_prefix("oms_rt_").unwrap()).unwrap();
        assert!(all.iter().all(|session| {
            let kept = session.get_binary_generic("token").unwrap();
            !secret.windows(kept.len()).any(|window| window == kept.as_slice())
        }));
    }
    // The first two were made by signing in as a customer and here; they are the oldest.
    refreshes(&shop, &tokens[0]).await.problem(401, "unauthenticated");
    for token in [&tokens[1], &tokens[20]] {
        refreshes(&shop, token).await.expect(200);
    }
}

/// A change by an admin that ends all sessions of a user.
fn changes() -> [Value; 3] {
    [json!({ "role": "staff" }), json!({ "status": "disabled" }), json!({ "password": OTHER_PASSWORD })]
}

#[tokio::test]
async fn a_change_of_password_role_or_status_ends_all_sessions_and_is_felt_everywhere_within_a_minute() {
    let (clock, now) = hand_moved_clock();
    let shop = Shop::open_with_clock(clock).await;
    let mut people: Vec<(Person, Option<Value>)> = Vec::new();
    for change in changes() {
        people.push((shop.customer().await, Some(change)));
    }
    people.push((shop.customer().await, None));
    for (person, change) in people {
        let own = path(&person);
        // Some time has passed.
        let admin = shop.anyone().signs_in(&shop.admin().email, PASSWORD).await;
        let (one, other) = (signs_in(&shop, &person.email).await, signs_in(&shop, &person.email).await);
        let token = one.text("access_token");
        assert_eq!(everywhere(&shop, &token, &own).await, [200; 3]);
        match &change {
            Some(change) => drop(admin.put(&own, change.clone()).await.expect(200)),
            None => drop(admin.delete(&own).await.expect(204)),
        }
        for session in [&one, &other] {
            let answer = refreshes(&shop, &session.text("refresh_token")).await;
            answer.problem(401, "unauthenticated");
        }
        // The users function knows what it has done itself.
        assert_eq!(everywhere(&shop, &token, &own).await[0], 401);
        now.fetch_add(45_000, Ordering::SeqCst);
        assert_eq!(everywhere(&shop, &token, &own).await, [401; 3], "{change:?}");
        // Nobody else feels it.
        assert_eq!(everywhere(&shop, &admin.token.unwrap(), "/users").await, [200; 3]);
        now.fetch_add(14 * 60_000, Ordering::SeqCst);
        assert_eq!(everywhere(&shop, &token, &own).await, [401; 3]);
    }
}

#[tokio::test]
async fn a_token_of_just_before_the_change_is_refused_and_one_of_just_after_it_is_good() {
    let (clock, now) = hand_moved_clock();
    let shop = Shop::open_with_clock(clock).await;
    let ada = shop.customer().await;
    let own = path(&ada);
    // All within one second, and even at one moment.
    let before = signs_in(&shop, &ada.email).await.text("access_token");
    ada.put(&own, json!({ "password": OTHER_PASSWORD, "current_password": PASSWORD })).await.expect(200);
    let after = shop.anyone().signs_in(&ada.email, OTHER_PASSWORD).await.token.unwrap();
    for wait in [0, 45_000, 600_000] {
        now.fetch_add(wait, Ordering::SeqCst);
        assert_eq!(everywhere(&shop, &after, &own).await, [200; 3]);
        assert_eq!(everywhere(&shop, &before, &own).await[0], 401);
        // Whoever changed the password is signed out as well.
        assert_eq!(everywhere(&shop, &ada.token.clone().unwrap(), &own).await[0], 401);
    }
    assert_eq!(everywhere(&shop, &before, &own).await, [401; 3]);
}

#[tokio::test]
async fn what_changes_neither_password_role_nor_status_ends_no_session() {
    let shop = Shop::open().await;
    let ada = shop.customer().await;
    let token = signs_in(&shop, &ada.email).await.text("refresh_token");
    let other = json!({ "name": "Ada", "phone": "123", "current_password": PASSWORD });
    ada.put(&path(&ada), other).await.expect(200);
    shop.admin().put(&path(&ada), json!({ "role": "customer", "status": "active" })).await.expect(200);
    ada.get(&path(&ada)).await.expect(200);
    refreshes(&shop, &token).await.expect(200);
}

#[tokio::test]
async fn a_session_that_is_refreshed_while_it_ends_is_at_an_end_all_the_same() {
    let shop = Shop::open().await;
    for change in changes() {
        let ada = shop.customer().await;
        let token = signs_in(&shop, &ada.email).await.text("refresh_token");
        let own = path(&ada);
        let admin = shop.admin();
        let (refreshed, changed) = join!(refreshes(&shop, &token), admin.put(&own, change));
        changed.expect(200);
        if refreshed.status == 200 {
            refreshes(&shop, &refreshed.text("refresh_token")).await.problem(401, "unauthenticated");
        }
        refreshes(&shop, &token).await.problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn a_refreshed_access_token_carries_the_role_that_one_has_by_then() {
    let shop = Shop::open_in_process().await;
    let ada = shop.customer().await;
    let session = signs_in(&shop, &ada.email).await;
    // As if the role had been changed without an end of the sessions.
    let email = doc! { "email": &ada.email };
    let staff = doc! { "$set": { "role": "staff" } };
    shop.database.collection::<Document>("users").update_one(email, staff).await.unwrap();
    let session = refreshes(&shop, &session.text("refresh_token")).await.expect(200);
    shop.anyone().with_token(session.text("access_token")).get("/users").await.expect(200);
}

#[tokio::test]
async fn anybody_can_verify_a_token_by_the_published_keys() {
    let shop = Shop::open_in_process().await;
    let request = shop.anyone().request(Method::GET, "/.well-known/jwks.json");
    let answer = shop.anyone().answer(request).await.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/jwk-set+json"));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=60"));
    let signer = Signer::from_secret(JWT_SECRET).unwrap();
    let key = signer.public_key();
    let expected = json!({ "keys": [{
        "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": key.kid,
        "x": URL_SAFE_NO_PAD.encode(&key.bytes),
    }] });
    assert_eq!(answer.body, expected);
    shop.anyone().post("/.well-known/jwks.json", json!({})).await.problem(405, "method-not-allowed");
}

#[tokio::test]
async fn nothing_is_left_of_the_sessions_counts_and_keys_of_a_user_who_is_deleted() {
    let shop = Shop::open_in_process().await;
    let email = "ada.lovelace@example.com";
    let user = json!({ "email": email, "password": PASSWORD, "name": "Ada Lovelace" });
    let made = shop.anyone().send_keyed(Method::POST, "/users", "the-key", &user).await.expect(201);
    signs_in(&shop, email).await;
    let wrong = json!({ "email": email, "password": "something else altogether" });
    shop.anyone().post("/auth", wrong).await.problem(401, "unauthenticated");
    let count = async || {
        let mut counts = BTreeMap::new();
        for name in ["user_sessions", "user_attempts"] {
            let found = shop.database.collection::<Document>(name).count_documents(doc! {}).await;
            counts.insert(name, found.unwrap());
        }
        counts
    };
    // One session is the admin's.
    assert_eq!(count().await, BTreeMap::from([("user_sessions", 2), ("user_attempts", 1)]));
    shop.admin().delete(&format!("/users/{}", made.id())).await.expect(204);
    assert_eq!(count().await, BTreeMap::from([("user_sessions", 1), ("user_attempts", 0)]));

    let keys = shop.database.collection::<Document>("user_keys");
    let left = keys.find_one(doc! {}).await.unwrap().unwrap();
    assert!(left.get_binary_generic("fingerprint").unwrap().is_empty());
    // The same request does not make her once more.
    let again = shop.anyone().send_keyed(Method::POST, "/users", "the-key", &user).await;
    again.problem(404, "not-found");
    shop.anyone().post("/users", user).await.expect(201);
}

#[tokio::test]
async fn a_hash_that_was_made_with_less_work_is_made_anew_at_the_next_sign_in() {
    // 8 MiB and one pass, of the password that everybody has.
    const WEAK: &str =
        "$argon2id$v=19$m=8192,t=1,p=1$sKc2LOeO/Tw4tCegL9bF0w$FSPjSg2wTIP+ZfuHi2Bf9F9VgGX2nmBxCmX860rlGZM";
    let shop = Shop::open_in_process().await;
    let ada = shop.customer().await;
    let users = shop.database.collection::<Document>("users");
    let email = doc! { "email": &ada.email };
    let hash = async || {
        let user = users.find_one(email.clone()).await.unwrap().unwrap();
        (user.get_str("password_hash").unwrap().to_owned(), user.get_i64("version").unwrap())
    };
    users.update_one(email.clone(), doc! { "$set": { "password_hash": WEAK } }).await.unwrap();
    let wrong = json!({ "email": ada.email, "password": "something else altogether" });
    shop.anyone().post("/auth", wrong).await.problem(401, "unauthenticated");
    assert_eq!(hash().await, (WEAK.to_owned(), 1));
    signs_in(&shop, &ada.email).await;
    let (anew, version) = hash().await;
    assert!(anew.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && version == 1, "{anew}");
    signs_in(&shop, &ada.email).await;
    assert_eq!(hash().await.0, anew);
}
