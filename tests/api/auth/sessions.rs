//! Sessions: refreshing, signing out, and how soon the end of a session is felt.

use futures::future::join_all;
use futures::join;
use serde_json::json;
use tests::answer::Answer;
use tests::person::PASSWORD;
use tests::shop::Shop;
use tests::support::sign_in::{changes, everywhere, refreshes, signs_in};
use tests::support::users::path;

async fn signs_out(shop: &Shop, token: &str) {
    let answer = shop.anyone().post("/auth/logout", json!({ "refresh_token": token })).await.expect(204);
    assert!(answer.body.is_null());
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
async fn a_reused_refresh_token_ends_its_session_and_no_other() {
    let shop = Shop::open().await;
    let ada = shop.customer().await;
    let (first, other) = join!(signs_in(&shop, &ada.email), signs_in(&shop, &ada.email));
    let first = first.text("refresh_token");
    let second = refreshes(&shop, &first).await.expect(200);
    let third = refreshes(&shop, &second.text("refresh_token")).await.expect(200).text("refresh_token");
    // The oldest of them, which another has followed.
    refreshes(&shop, &first).await.problem(401, "unauthenticated");
    for ended in [&third, &first] {
        refreshes(&shop, ended).await.problem(401, "unauthenticated");
    }
    refreshes(&shop, &other.text("refresh_token")).await.expect(200);
}

#[tokio::test]
async fn all_who_show_one_refresh_token_at_once_get_a_pair() {
    let shop = Shop::open().await;
    let ada = shop.customer().await;
    let token = signs_in(&shop, &ada.email).await.text("refresh_token");
    let answers = join_all((0..12).map(|_| refreshes(&shop, &token))).await;
    let pairs: Vec<_> = answers.into_iter().map(|answer| answer.expect(200)).collect();
    // They are pairs of one session, and each of them is good.
    let trade = async |pair: &Answer| refreshes(&shop, &pair.text("refresh_token")).await;
    let traded = join_all(pairs.iter().map(trade)).await;
    let last = traded.into_iter().map(|answer| answer.expect(200)).last().unwrap();
    assert_eq!(everywhere(&shop, &pairs[0].text("access_token"), &path(&ada)).await, [200; 3]);
    signs_out(&shop, &last.text("refresh_token")).await;
    for pair in &pairs {
        refreshes(&shop, &pair.text("refresh_token")).await.problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn a_spent_token_shown_again_at_once_leaves_the_first_pair_good() {
    let shop = Shop::open().await;
    let ada = shop.customer().await;
    let token = signs_in(&shop, &ada.email).await.text("refresh_token");
    let first = refreshes(&shop, &token).await.expect(200);
    let second = refreshes(&shop, &token).await.expect(200);
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    for pair in [&first, &second] {
        assert_eq!(everywhere(&shop, &pair.text("access_token"), &path(&ada)).await, [200; 3]);
    }
    let next = refreshes(&shop, &first.text("refresh_token")).await.expect(200);
    let other = refreshes(&shop, &second.text("refresh_token")).await.expect(200);
    // The very first is not what was spent last any more, however little time has passed.
    refreshes(&shop, &token).await.problem(401, "unauthenticated");
    for ended in [&next, &other] {
        refreshes(&shop, &ended.text("refresh_token")).await.problem(401, "unauthenticated");
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
async fn other_changes_than_password_role_and_status_end_no_session() {
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
async fn a_session_that_is_refreshed_while_it_ends_has_ended() {
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
