//! `Idempotency-Key` on signing up: one request makes one user, shown again to those who know the password.

use futures::future::join_all;
use serde_json::json;
use tests::answer::Answer;
use tests::shop::{Shop, new_email};
use tests::support::idempotency::{replayed, sign_up, user, with};

#[tokio::test]
async fn a_repeated_sign_up_makes_one_user_shown_as_they_are_now() {
    let shop = Shop::open().await;
    let anyone = shop.anyone();
    let body = user(&new_email());
    let first = sign_up(&anyone, "k", &body).await.expect(201);
    assert!(!replayed(&first));
    let path = format!("/users/{}", first.id());
    let again = sign_up(&anyone, "k", &body).await.expect(201);
    assert!(replayed(&again));
    assert_eq!((again.header("location"), &again.body), (Some(path.as_str()), &first.body));
    shop.admin().put(&path, json!({ "phone": "+44 20 1", "role": "staff" })).await.expect(200);
    let again = sign_up(&anyone, "k", &body).await.expect(201);
    assert_eq!((replayed(&again), &again.body), (true, &shop.admin().get(&path).await.expect(200).body));
    // Without the key, or with another one, the address is taken.
    anyone.post("/users", body.clone()).await.problem(409, "email-taken");
    sign_up(&anyone, "K", &body).await.problem(409, "email-taken");
}

#[tokio::test]
async fn a_replay_is_for_those_who_know_the_password() {
    let shop = Shop::open().await;
    let anyone = shop.anyone();
    let body = user(&new_email());
    let made = sign_up(&anyone, "k", &body).await.expect(201);
    let wrong = with(&body, "password", "another good password");
    let refusal = sign_up(&anyone, "k", &wrong).await.problem(422, "idempotency-key-reused");
    assert!(!refusal.body.to_string().contains(&made.id()));
    for other in [with(&body, "name", "Eve"), with(&body, "phone", "12345")] {
        sign_up(&anyone, "k", &other).await.problem(422, "idempotency-key-reused");
    }
    sign_up(&anyone, "k", &with(&body, "role", "staff")).await.problem(403, "forbidden");
    sign_up(&anyone, "k", &with(&body, "password", "short")).await.faults_at(&["/password"]);
    // The password that holds now is the one to know.
    let path = format!("/users/{}", made.id());
    shop.admin().put(&path, json!({ "password": "a third good password" })).await.expect(200);
    sign_up(&anyone, "k", &body).await.problem(422, "idempotency-key-reused");
    let now = with(&body, "password", "a third good password");
    assert!(replayed(&sign_up(&anyone, "k", &now).await.expect(201)));
}

#[tokio::test]
async fn who_is_gone_is_not_shown_and_not_made_again() {
    let shop = Shop::open().await;
    let body = user(&new_email());
    let made = sign_up(&shop.anyone(), "k", &body).await.expect(201).id();
    shop.admin().delete(&format!("/users/{made}")).await.expect(204);
    sign_up(&shop.anyone(), "k", &body).await.problem(404, "not-found");
    assert_ne!(sign_up(&shop.anyone(), "new", &body).await.expect(201).id(), made);
}

#[tokio::test]
async fn keys_of_other_callers_are_other_keys() {
    let shop = Shop::open().await;
    let (anyone, ada) = (shop.anyone(), shop.customer().await);
    let (one, two) = (user(&new_email()), user(&new_email()));
    sign_up(&anyone, "k", &one).await.expect(201);
    // Without a token the address is the caller, in any case.
    assert!(!replayed(&sign_up(&anyone, "k", &two).await.expect(201)));
    let shouted = with(&one, "email", &one["email"].as_str().unwrap().to_uppercase());
    sign_up(&anyone, "k", &shouted).await.problem(422, "idempotency-key-reused");
    for caller in [&ada, &shop.admin()] {
        sign_up(caller, "k", &one).await.problem(409, "email-taken");
        let body = user(&new_email());
        let made = sign_up(caller, "k", &body).await.expect(201);
        let again = sign_up(caller, "k", &body).await.expect(201);
        assert_eq!((replayed(&made), replayed(&again), &again.body), (false, true, &made.body));
        // Nobody else has this key, also not by the address.
        sign_up(&anyone, "k", &body).await.problem(409, "email-taken");
    }
}

#[tokio::test]
async fn only_what_was_done_is_kept() {
    let shop = Shop::open().await;
    let anyone = shop.anyone();
    let body = user(&new_email());
    let taken = anyone.post("/users", body.clone()).await.expect(201).id();
    sign_up(&anyone, "k", &body).await.problem(409, "email-taken");
    shop.admin().delete(&format!("/users/{taken}")).await.expect(204);
    assert!(!replayed(&sign_up(&anyone, "k", &body).await.expect(201)));
    assert!(replayed(&sign_up(&anyone, "k", &body).await.expect(201)));
    for bad in ["", "a b"] {
        sign_up(&anyone, bad, &user(&new_email())).await.problem(400, "malformed-request");
    }
}

#[tokio::test]
async fn of_fifty_twins_of_a_sign_up_one_makes_the_user() {
    let shop = Shop::open().await;
    let anyone = shop.anyone();
    let body = user(&new_email());
    let answers = join_all((0..50).map(|_| sign_up(&anyone, "k", &body))).await;
    let answers: Vec<Answer> = answers.into_iter().map(|answer| answer.expect(201)).collect();
    assert_eq!(answers.iter().filter(|answer| !replayed(answer)).count(), 1);
    assert!(answers.iter().all(|answer| answer.body == answers[0].body));
}
