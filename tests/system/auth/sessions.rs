//! Sessions over time and in the database: lifetimes, revocation within a minute, and stored hashes.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use shared::auth::Signer;
use tests::JWT_SECRET;
use tests::in_process::InProcess;
use tests::person::{PASSWORD, Person};
use tests::support::sign_in::{OTHER_PASSWORD, changes, everywhere, refreshes, signs_in};
use tests::support::users::path;

use crate::support::clock::hand_moved_clock;
use crate::support::instance::Instance;

const HOUR: i64 = 60 * 60 * 1000;
const DAY: i64 = 24 * HOUR;

#[tokio::test]
async fn a_refresh_token_lives_for_thirty_days_by_the_clock() {
    let (clock, now) = hand_moved_clock();
    let shop = InProcess::open_with_clock(clock).await;
    let ada = shop.customer().await;
    let token = signs_in(&shop, &ada.email).await.text("refresh_token");
    now.fetch_add(30 * DAY - 1, Ordering::SeqCst);
    let token = refreshes(&shop, &token).await.expect(200).text("refresh_token");
    now.fetch_add(30 * DAY, Ordering::SeqCst);
    refreshes(&shop, &token).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_customers_session_ends_after_ninety_days_at_most() {
    let (clock, now) = hand_moved_clock();
    let shop = InProcess::open_with_clock(clock).await;
    let ada = shop.customer().await;
    let mut token = signs_in(&shop, &ada.email).await.text("refresh_token");
    for _ in 0..4 {
        now.fetch_add(20 * DAY, Ordering::SeqCst);
        token = refreshes(&shop, &token).await.expect(200).text("refresh_token");
    }
    now.fetch_add(10 * DAY - 1, Ordering::SeqCst);
    token = refreshes(&shop, &token).await.expect(200).text("refresh_token");
    now.fetch_add(1, Ordering::SeqCst);
    refreshes(&shop, &token).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn sessions_of_staff_end_after_twelve_hours_or_seven_days() {
    let (clock, now) = hand_moved_clock();
    let shop = InProcess::open_with_clock(clock).await;
    for person in [shop.staff().await, shop.admin()] {
        let mut token = signs_in(&shop, &person.email).await.text("refresh_token");
        for _ in 0..14 {
            now.fetch_add(12 * HOUR - 1, Ordering::SeqCst);
            token = refreshes(&shop, &token).await.expect(200).text("refresh_token");
        }
        now.fetch_add(14, Ordering::SeqCst);
        refreshes(&shop, &token).await.problem(401, "unauthenticated");

        let token = signs_in(&shop, &person.email).await.text("refresh_token");
        now.fetch_add(12 * HOUR, Ordering::SeqCst);
        refreshes(&shop, &token).await.problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn a_session_of_an_earlier_build_lives_as_long_as_was_said() {
    let (clock, now) = hand_moved_clock();
    let shop = InProcess::open_with_clock(clock).await;
    let sessions = shop.database.collection::<Document>("user_sessions");
    for (person, days) in [(shop.customer().await, 30), (shop.staff().await, 30)] {
        let token = signs_in(&shop, &person.email).await.text("refresh_token");
        let id = shared::mongo::uuid(person.id.parse::<shared::values::ids::UserId>().unwrap());
        let expires = mongodb::bson::DateTime::from_millis(now.load(Ordering::SeqCst) + days * DAY);
        let as_before = doc! {
            "$set": { "expires_at": expires }, "$unset": { "session": "", "staff": "", "ends_at": "" },
        };
        sessions.update_many(doc! { "user": id }, as_before).await.unwrap();
        now.fetch_add(days * DAY - 1, Ordering::SeqCst);
        let refreshed = refreshes(&shop, &token).await.expect(200);
        assert_eq!(everywhere(&shop, &refreshed.text("access_token"), &path(&person)).await, [200; 3]);
        let token = refreshed.text("refresh_token");
        // From then on it is a session as all are, and ends by itself too.
        shop.anyone().post("/auth/logout", json!({ "refresh_token": token })).await.expect(204);
        now.fetch_add(60_000, Ordering::SeqCst);
        assert_eq!(everywhere(&shop, &refreshed.text("access_token"), &path(&person)).await, [401; 3]);
        refreshes(&shop, &token).await.problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn a_session_that_ends_takes_its_access_tokens_along_within_a_minute() {
    let (clock, now) = hand_moved_clock();
    let shop = InProcess::open_with_clock(clock.clone()).await;
    let elsewhere = Instance::of(&shop, clock).await;
    let ada = shop.customer().await;
    let own = path(&ada);
    for by_sign_out in [true, false] {
        let (one, other) = (signs_in(&shop, &ada.email).await, signs_in(&shop, &ada.email).await);
        let first = one.text("refresh_token");
        let second = refreshes(&shop, &first).await.expect(200);
        let tokens = [one.text("access_token"), second.text("access_token")];
        for token in &tokens {
            assert_eq!(everywhere(&shop, token, &own).await, [200; 3]);
            elsewhere.seen_by(&ada).with_token(token).get(&own).await.expect(200);
        }
        if by_sign_out {
            shop.anyone().post("/auth/logout", json!({ "refresh_token": first })).await.expect(204);
        } else {
            refreshes(&shop, &second.text("refresh_token")).await.expect(200);
            refreshes(&shop, &first).await.problem(401, "unauthenticated");
        }
        // The users function knows at once what it has done itself.
        assert_eq!(everywhere(&shop, &tokens[0], &own).await[0], 401);
        now.fetch_add(60_000, Ordering::SeqCst);
        for token in &tokens {
            assert_eq!(everywhere(&shop, token, &own).await, [401; 3], "{by_sign_out}");
            let there = elsewhere.seen_by(&ada).with_token(token);
            there.get(&own).await.problem(401, "unauthenticated");
        }
        // Another session of the same user goes on.
        assert_eq!(everywhere(&shop, &other.text("access_token"), &own).await, [200; 3]);
        refreshes(&shop, &other.text("refresh_token")).await.expect(200);
    }
}

#[tokio::test]
async fn a_spent_token_may_be_shown_again_for_ten_seconds() {
    let (clock, now) = hand_moved_clock();
    let shop = InProcess::open_with_clock(clock).await;
    let ada = shop.customer().await;
    let token = signs_in(&shop, &ada.email).await.text("refresh_token");
    let first = refreshes(&shop, &token).await.expect(200).text("refresh_token");
    now.fetch_add(9_999, Ordering::SeqCst);
    let second = refreshes(&shop, &token).await.expect(200).text("refresh_token");
    now.fetch_add(1, Ordering::SeqCst);
    // To be shown again does not prolong the time. What was given for it was never spent.
    let third = refreshes(&shop, &second).await.expect(200).text("refresh_token");
    now.fetch_add(DAY, Ordering::SeqCst);
    let fourth = refreshes(&shop, &first).await.expect(200).text("refresh_token");
    now.fetch_add(10_000, Ordering::SeqCst);
    refreshes(&shop, &first).await.problem(401, "unauthenticated");
    for ended in [third, fourth] {
        refreshes(&shop, &ended).await.problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn each_good_token_of_a_session_has_its_own_end() {
    let (clock, now) = hand_moved_clock();
    let shop = InProcess::open_with_clock(clock).await;
    let staff = shop.staff().await;
    let token = signs_in(&shop, &staff.email).await.text("refresh_token");
    let used = refreshes(&shop, &token).await.expect(200).text("refresh_token");
    let [unused, late] = [(); 2].map(|()| refreshes(&shop, &token));
    let [unused, late] = [unused.await, late.await].map(|it| it.expect(200).text("refresh_token"));
    now.fetch_add(11 * HOUR, Ordering::SeqCst);
    let used = refreshes(&shop, &used).await.expect(200).text("refresh_token");
    now.fetch_add(HOUR - 1, Ordering::SeqCst);
    refreshes(&shop, &late).await.expect(200);
    now.fetch_add(1, Ordering::SeqCst);
    // It has lived for twelve hours. It was not spent either, so that the session goes on.
    refreshes(&shop, &unused).await.problem(401, "unauthenticated");
    refreshes(&shop, &used).await.expect(200);
}

#[tokio::test]
async fn a_token_of_an_earlier_builds_session_ends_with_it() {
    let (clock, now) = hand_moved_clock();
    let shop = InProcess::open_with_clock(clock).await;
    let staff = shop.staff().await;
    let token = signs_in(&shop, &staff.email).await.text("refresh_token");
    let first = refreshes(&shop, &token).await.expect(200).text("refresh_token");
    let second = refreshes(&shop, &token).await.expect(200).text("refresh_token");
    let sessions = shop.database.collection::<Document>("user_sessions");
    sessions.update_many(doc! {}, doc! { "$unset": { "other_ends": "" } }).await.unwrap();
    now.fetch_add(6 * HOUR, Ordering::SeqCst);
    // From then on it has an end of its own: that of the session until now.
    let first = refreshes(&shop, &first).await.expect(200).text("refresh_token");
    now.fetch_add(6 * HOUR, Ordering::SeqCst);
    refreshes(&shop, &second).await.problem(401, "unauthenticated");
    refreshes(&shop, &first).await.expect(200);
}

#[tokio::test]
async fn no_number_of_reuses_pushes_the_first_pair_out() {
    let (clock, now) = hand_moved_clock();
    let shop = InProcess::open_with_clock(clock).await;
    let ada = shop.customer().await;
    let mut token = signs_in(&shop, &ada.email).await.text("refresh_token");
    // Answers that get lost over time use up no places.
    for _ in 0..30 {
        let lost = token.clone();
        refreshes(&shop, &lost).await.expect(200);
        token = refreshes(&shop, &lost).await.expect(200).text("refresh_token");
        now.fetch_add(HOUR, Ordering::SeqCst);
    }
    let first = refreshes(&shop, &token).await.expect(200).text("refresh_token");
    let mut given = Vec::new();
    for _ in 0..30 {
        let again = refreshes(&shop, &token).await;
        match again.status.as_u16() {
            200 => given.push(again.text("refresh_token")),
            _ => drop(again.problem(401, "unauthenticated")),
        }
    }
    assert_eq!(given.len(), 15);
    // All that was given is good.
    refreshes(&shop, &first).await.expect(200);
    for token in given {
        refreshes(&shop, &token).await.expect(200);
    }
}

#[tokio::test]
async fn a_user_who_ends_many_sessions_takes_one_place_in_the_list() {
    let (clock, now) = hand_moved_clock();
    let shop = InProcess::open_with_clock(clock.clone()).await;
    let elsewhere = Instance::of(&shop, clock).await;
    let (ada, bob) = (shop.customer().await, shop.customer().await);
    let [stays, signed_out] = [signs_in(&shop, &ada.email).await, signs_in(&shop, &bob.email).await];
    let out = json!({ "refresh_token": signed_out.text("refresh_token") });
    shop.anyone().post("/auth/logout", out).await.expect(204);
    let own = path(&ada);
    let mut tokens = vec![stays.text("access_token")];
    for _ in 0..25 {
        let session = signs_in(&shop, &ada.email).await;
        tokens.push(session.text("access_token"));
        let out = json!({ "refresh_token": session.text("refresh_token") });
        shop.anyone().post("/auth/logout", out).await.expect(204);
    }
    let sessions = shop.database.collection::<Document>("user_sessions");
    let id = shared::mongo::uuid(ada.id.parse::<shared::values::ids::UserId>().unwrap());
    let ended = sessions.count_documents(doc! { "user": id, "ended_at": { "$exists": true } }).await.unwrap();
    assert!(ended < 10, "{ended}");
    let last = signs_in(&shop, &ada.email).await;
    now.fetch_add(60_000, Ordering::SeqCst);
    for token in tokens {
        assert_eq!(everywhere(&shop, &token, &own).await, [401; 3]);
        elsewhere.seen_by(&ada).with_token(token).get(&own).await.problem(401, "unauthenticated");
    }
    // The latest session is good, and what others have ended has ended.
    assert_eq!(everywhere(&shop, &last.text("access_token"), &own).await, [200; 3]);
    refreshes(&shop, &last.text("refresh_token")).await.expect(200);
    assert_eq!(everywhere(&shop, &signed_out.text("access_token"), &path(&bob)).await, [401; 3]);
}

#[tokio::test]
async fn an_idle_session_that_makes_room_is_not_listed() {
    let (clock, now) = hand_moved_clock();
    let shop = InProcess::open_with_clock(clock).await;
    let ada = shop.customer().await;
    let stays = signs_in(&shop, &ada.email).await;
    for _ in 0..40 {
        now.fetch_add(2 * 60_000, Ordering::SeqCst);
        signs_in(&shop, &ada.email).await;
    }
    let sessions = shop.database.collection::<Document>("user_sessions");
    let ended = sessions.count_documents(doc! { "ended_at": { "$exists": true } }).await.unwrap();
    assert_eq!(ended, 0);
    refreshes(&shop, &stays.text("refresh_token")).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_user_in_a_role_of_a_newer_build_is_shown_and_no_more() {
    let shop = InProcess::open().await;
    let (ada, admin) = (shop.customer().await, shop.admin());
    let session = signs_in(&shop, &ada.email).await;
    let newer = doc! { "$set": { "role": "auditor" } };
    let users = shop.database.collection::<Document>("users");
    let change = users.update_one(doc! { "email": &ada.email }, newer);
    change.bypass_document_validation(true).await.unwrap();
    assert_eq!(admin.get(&path(&ada)).await.expect(200)["role"], "auditor");
    let credentials = json!({ "email": ada.email, "password": PASSWORD });
    shop.anyone().post("/auth", credentials).await.problem(401, "unauthenticated");
    refreshes(&shop, &session.text("refresh_token")).await.problem(401, "unauthenticated");
    // An admin may change such a user. The role stays.
    let renamed = admin.put(&path(&ada), json!({ "name": "Ada L." })).await.expect(200);
    assert_eq!(renamed["role"], "auditor");
    let stored = users.find_one(doc! { "email": &ada.email }).await.unwrap().unwrap();
    assert_eq!(stored.get_str("role").unwrap(), "auditor");
    // Its session waits for a build that knows the role.
    users.update_one(doc! { "email": &ada.email }, doc! { "$set": { "role": "customer" } }).await.unwrap();
    refreshes(&shop, &session.text("refresh_token")).await.expect(200);
}

#[tokio::test]
async fn no_token_is_on_disk_and_a_user_has_twenty_sessions_at_most() {
    let (clock, now) = hand_moved_clock();
    let shop = InProcess::open_with_clock(clock).await;
    let ada = shop.customer().await;
    let mut tokens = Vec::new();
    for _ in 0..21 {
        now.fetch_add(1, Ordering::SeqCst);
        tokens.push(signs_in(&shop, &ada.email).await.text("refresh_token"));
    }
    let sessions = shop.database.collection::<Document>("user_sessions");
    let id = shared::mongo::uuid(ada.id.parse::<shared::values::ids::UserId>().unwrap());
    let live = doc! { "user": id, "ended_at": { "$exists": false } };
    assert_eq!(sessions.count_documents(live).await.unwrap(), 20);
    let all: Vec<Document> =
        futures::TryStreamExt::try_collect(sessions.find(doc! {}).await.unwrap()).await.unwrap();
    for token in &tokens {
        let secret = URL_SAFE_NO_PAD.decode(token.strip_prefix("oms_rt_").unwrap()).unwrap();
        assert!(all.iter().all(|session| {
            let kept = session.get_binary_generic("token").unwrap();
            // Of a session that has ended nothing is left.
            kept.is_empty() || !secret.windows(kept.len()).any(|window| window == kept.as_slice())
        }));
    }
    // The first two were made by signing in as a customer and here; they are the oldest.
    refreshes(&shop, &tokens[0]).await.problem(401, "unauthenticated");
    for token in [&tokens[1], &tokens[20]] {
        refreshes(&shop, token).await.expect(200);
    }
}

#[tokio::test]
async fn a_new_password_role_or_status_ends_sessions_within_a_minute() {
    let (clock, now) = hand_moved_clock();
    let shop = InProcess::open_with_clock(clock).await;
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
async fn tokens_from_before_a_change_are_refused_and_later_ones_good() {
    let (clock, now) = hand_moved_clock();
    let shop = InProcess::open_with_clock(clock).await;
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
async fn a_refreshed_access_token_carries_the_current_role() {
    let shop = InProcess::open().await;
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
    let shop = InProcess::open().await;
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
async fn a_deleted_user_leaves_no_sessions_counts_or_keys() {
    let shop = InProcess::open().await;
    let email = "ada.lovelace@example.com";
    let user = json!({ "email": email, "password": PASSWORD, "name": "Ada Lovelace" });
    let made = shop.anyone().send_keyed(Method::POST, "/users", "the-key", &user).await.expect(201);
    signs_in(&shop, email).await;
    let wrong = json!({ "email": email, "password": "something else altogether" });
    shop.anyone().post("/auth", wrong).await.problem(401, "unauthenticated");
    let count = async || {
        let mut counts = BTreeMap::new();
        for name in ["user_sessions", "user_attempts", "user_networks"] {
            let found = shop.database.collection::<Document>(name).count_documents(doc! {}).await;
            counts.insert(name, found.unwrap());
        }
        counts
    };
    // One session and its network are the admin's. A failure counts for the network, and for all of them.
    let before = [("user_sessions", 2), ("user_attempts", 2), ("user_networks", 2)];
    assert_eq!(count().await, BTreeMap::from(before));
    shop.admin().delete(&format!("/users/{}", made.id())).await.expect(204);
    let after = [("user_sessions", 1), ("user_attempts", 0), ("user_networks", 1)];
    assert_eq!(count().await, BTreeMap::from(after));

    let keys = shop.database.collection::<Document>("user_keys");
    let left = keys.find_one(doc! {}).await.unwrap().unwrap();
    assert!(left.get_binary_generic("fingerprint").unwrap().is_empty());
    // The same request does not make her once more.
    let again = shop.anyone().send_keyed(Method::POST, "/users", "the-key", &user).await;
    again.problem(404, "not-found");
    shop.anyone().post("/users", user).await.expect(201);
}

#[tokio::test]
async fn a_weaker_password_hash_is_renewed_at_the_next_sign_in() {
    // 8 MiB and one pass, of the password that everybody has.
    const WEAK: &str =
        "$argon2id$v=19$m=8192,t=1,p=1$sKc2LOeO/Tw4tCegL9bF0w$FSPjSg2wTIP+ZfuHi2Bf9F9VgGX2nmBxCmX860rlGZM";
    let shop = InProcess::open().await;
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
