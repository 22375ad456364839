//! Authority that has ended on one instance is of no use on another, whatever that one has cached.

use std::sync::atomic::Ordering;

use futures::future::join_all;
use http::Method;
use proto::users::v1 as wire;
use serde_json::{Value, json};
use shared::auth::Role;
use tests::in_process::InProcess;
use tests::person::{PASSWORD, Person};
use tests::shop::{Shop, new_email};
use tests::support::sign_in::{OTHER_PASSWORD, refreshes, signs_in};
use tests::support::users::path;
use tonic::{Code, Request, Status};

use crate::support::clock::hand_moved_clock;
use crate::support::instance::Instance;

/// Ways in which the authority of an admin ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Demoted,
    Disabled,
    Deleted,
    NewPassword,
    SignedOut,
    SpentToken,
}

const ENDS: [End; 6] =
    [End::Demoted, End::Disabled, End::Deleted, End::NewPassword, End::SignedOut, End::SpentToken];

/// Attempts for each way; more than a thousand in all.
const ATTEMPTS: usize = 180;

/// Ends the authority of `eve`, who has the first refresh token of a session.
async fn end(shop: &Shop, eve: &Person, token: &str, how: End) {
    let (admin, path) = (shop.admin(), path(eve));
    match how {
        End::Demoted => drop(admin.put(&path, json!({ "role": "staff" })).await.expect(200)),
        End::Disabled => drop(admin.put(&path, json!({ "status": "disabled" })).await.expect(200)),
        End::Deleted => drop(admin.delete(&path).await.expect(204)),
        End::NewPassword => drop(admin.put(&path, json!({ "password": OTHER_PASSWORD })).await.expect(200)),
        End::SignedOut => {
            shop.anyone().post("/auth/logout", json!({ "refresh_token": token })).await.expect(204);
        }
        End::SpentToken => {
            let second = refreshes(shop, token).await.expect(200).text("refresh_token");
            refreshes(shop, &second).await.expect(200);
            refreshes(shop, token).await.problem(401, "unauthenticated");
        }
    }
}

/// A message with the access token of a person.
fn with_token<T>(person: &Person, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {}", person.token.clone().unwrap_or_default()).parse();
    if let Ok(bearer) = bearer {
        request.metadata_mut().insert("authorization", bearer);
    }
    request
}

fn new_admin() -> wire::CreateUserRequest {
    wire::CreateUserRequest {
        email: Some(new_email()),
        password: Some(PASSWORD.to_owned()),
        name: Some("Heir".to_owned()),
        role: Some("admin".to_owned()),
        ..wire::CreateUserRequest::default()
    }
}

fn made_admin(id: &str) -> wire::UpdateUserRequest {
    let role = Some("admin".to_owned());
    wire::UpdateUserRequest { id: id.to_owned(), role, ..wire::UpdateUserRequest::default() }
}

fn deletion(id: &str) -> wire::DeleteUserRequest {
    wire::DeleteUserRequest { id: id.to_owned(), expected_version: None }
}

/// Tries to use the authority of `eve` on another instance, by each route and call that changes authority in turn. The
/// status, as HTTP has it.
async fn attempt(instance: &Instance, eve: &Person, victim: &Person, number: usize) -> u16 {
    let there = instance.seen_by(eve);
    let put = async |of: &Person, change: Value| there.put(&path(of), change).await.status.as_u16();
    let new =
        |role: &str| json!({ "email": new_email(), "password": PASSWORD, "name": "Heir", "role": role });
    let code = |answer: Result<(), Status>| match answer.map_err(|status| status.code()) {
        Ok(()) => 200,
        Err(Code::Unauthenticated) => 401,
        Err(_) => 400,
    };
    let mut grpc = instance.users();
    let mut inside = instance.users_in_envelopes();
    match number % 18 {
        0 => there.post("/users", new("admin")).await.status.as_u16(),
        1 => there.post("/users", new("staff")).await.status.as_u16(),
        2 => there.post("/users", new("customer")).await.status.as_u16(),
        3 => there.send_keyed(Method::POST, "/users", "k", &new("admin")).await.status.as_u16(),
        4 => put(eve, json!({ "role": "admin" })).await,
        5 => put(eve, json!({ "status": "active" })).await,
        6 => put(eve, json!({ "password": OTHER_PASSWORD, "current_password": PASSWORD })).await,
        7 => put(victim, json!({ "role": "admin" })).await,
        8 => put(victim, json!({ "status": "disabled" })).await,
        9 => put(victim, json!({ "password": OTHER_PASSWORD })).await,
        10 => put(victim, json!({ "email": new_email() })).await,
        11 => there.delete(&path(victim)).await.status.as_u16(),
        12 => there.delete(&path(eve)).await.status.as_u16(),
        13 => code(grpc.create_user(with_token(eve, new_admin())).await.map(drop)),
        14 => code(grpc.update_user(with_token(eve, made_admin(&eve.id))).await.map(drop)),
        15 => code(grpc.update_user(with_token(eve, made_admin(&victim.id))).await.map(drop)),
        16 => code(grpc.delete_user(with_token(eve, deletion(&victim.id))).await.map(drop)),
        // In an envelope, on behalf of the caller.
        _ => code(inside.update_user(with_token(eve, made_admin(&victim.id))).await.map(drop)),
    }
}

#[tokio::test]
async fn an_admin_who_is_none_any_more_changes_nothing_anywhere() {
    let (clock, now) = hand_moved_clock();
    let shop = InProcess::open_with_clock(clock.clone()).await;
    let other = Instance::of(&shop, clock).await;
    let victim = shop.customer().await;
    let mut tried = 0;
    for how in ENDS {
        let mut eve = shop.person("admin").await;
        let session = signs_in(&shop, &eve.email).await;
        eve.token = Some(session.text("access_token"));
        // The other instance has just read the revocations, and time stands still.
        now.fetch_add(60_000, Ordering::SeqCst);
        let there = other.seen_by(&eve);
        there.get("/users").await.expect(200);
        there.put(&path(&victim), json!({ "phone": "+49 228 1" })).await.expect(200);
        let before = shop.admin().get(&path(&victim)).await.expect(200).body;

        end(&shop, &eve, &session.text("refresh_token"), how).await;
        assert_eq!(there.get("/users").await.status, 200, "{how:?}: it is cached");
        let by_claim_alone = matches!(how, End::NewPassword | End::SignedOut | End::SpentToken);
        let numbers: Vec<_> = (0..ATTEMPTS).filter(|number| !(by_claim_alone && number % 18 == 17)).collect();
        for some in numbers.chunks(12) {
            let answers = join_all(some.iter().map(|number| attempt(&other, &eve, &victim, *number))).await;
            for (number, status) in some.iter().zip(answers) {
                assert_eq!(status, 401, "{how:?}, way {}", number % 18);
                tried += 1;
            }
        }
        assert_eq!(shop.admin().get(&path(&victim)).await.expect(200).body, before);
    }
    assert!(tried >= 1_000, "{tried}");
    let admins = shop.admin().get("/users?role=admin&limit=100").await.expect(200);
    // The first one, and those who have another password or have signed out.
    assert_eq!(admins.data().len(), 5, "{:#}", admins.body);
}

#[tokio::test]
async fn a_token_from_before_sessions_were_named_works_until_its_end() {
    let shop = InProcess::open().await;
    let eve = shop.person("admin").await;
    let signer = shared::auth::Signer::from_secret(tests::JWT_SECRET).unwrap();
    let now = shared::values::clock::Clock::system().now();
    let older = eve.with_token(signer.access_token(eve.id.parse().unwrap(), Role::Admin, now).unwrap());
    older.put(&path(&eve), json!({ "name": "Eve" })).await.expect(200);
    let user = json!({ "email": new_email(), "password": PASSWORD, "name": "Heir", "role": "staff" });
    older.post("/users", user.clone()).await.expect(201);
    shop.admin().put(&path(&eve), json!({ "role": "customer" })).await.expect(200);
    older.post("/users", user).await.problem(401, "unauthenticated");
}
