//! `Idempotency-Key` on signing up: its end after a day, its stored form, and the same over gRPC.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures::TryStreamExt as _;
use mongodb::bson::{Document, doc};
use proto::users::v1 as wire;
use proto::users::v1::user_service_client::UserServiceClient;
use shared::auth::Caller;
use shared::error::Kind;
use shared::values::clock::{Clock, Timestamp};
use tests::in_process::InProcess;
use tests::person::PASSWORD;
use tests::shop::new_email;
use tests::support::idempotency::{replayed, sign_up, user, with};
use tonic::Code;

use crate::support::grpc::{by, channel, plain, refused, was_replayed, with_key};

#[tokio::test]
async fn a_key_of_a_sign_up_lasts_a_day_and_stores_no_password() {
    let now = Arc::new(AtomicI64::new(1_800_000_000_000));
    let hand = now.clone();
    let clock = Clock::from_fn(move || Timestamp::from_millis(hand.load(Ordering::SeqCst)));
    let shop = InProcess::open_with_clock(clock).await;
    let body = user(&new_email());
    sign_up(&shop.anyone(), "k", &body).await.expect(201);
    now.fetch_add(86_399_999, Ordering::SeqCst);
    assert!(replayed(&sign_up(&shop.anyone(), "k", &body).await.expect(201)));
    // The same for two passwords, so nothing can be made of it.
    let other = with(&user(&new_email()), "password", "another good password");
    sign_up(&shop.anyone(), "k", &other).await.expect(201);
    let keys = shop.database.collection::<Document>("user_keys");
    let kept: Vec<Document> = keys.find(doc! {}).await.unwrap().try_collect().await.unwrap();
    assert_eq!(kept.len(), 2);
    for record in &kept {
        let fields: Vec<&str> = record.keys().map(String::as_str).collect();
        assert_eq!(fields, ["_id", "fingerprint", "made", "at", "writer"]);
    }
    now.fetch_add(1, Ordering::SeqCst);
    sign_up(&shop.anyone(), "k", &body).await.problem(409, "email-taken");
}

#[tokio::test]
async fn over_grpc_a_key_in_the_metadata_signs_up_once() {
    let shop = InProcess::open().await;
    let mut client = UserServiceClient::new(channel(shop.backend.users.rpc.clone()));
    let email = new_email();
    let new = |password: &str| wire::CreateUserRequest {
        email: Some(email.clone()),
        password: Some(password.to_owned()),
        name: Some("Ada".to_owned()),
        ..wire::CreateUserRequest::default()
    };
    let first = client.create_user(with_key(by(Caller::Anonymous, new(PASSWORD)), "k")).await.unwrap();
    let again = client.create_user(with_key(by(Caller::Anonymous, new(PASSWORD)), "k")).await.unwrap();
    assert_eq!((was_replayed(&first), was_replayed(&again)), (false, true));
    assert_eq!(again.into_inner(), first.into_inner());
    let reused = || plain(Code::InvalidArgument, Kind::IdempotencyKeyReused);
    let wrong = client.create_user(with_key(by(Caller::Anonymous, new("another good password")), "k")).await;
    assert_eq!(refused(wrong), reused());
    let other = wire::CreateUserRequest { name: Some("Eve".to_owned()), ..new(PASSWORD) };
    assert_eq!(refused(client.create_user(with_key(by(Caller::Anonymous, other), "k")).await), reused());
    let taken = client.create_user(by(Caller::Anonymous, new(PASSWORD))).await;
    assert_eq!(refused(taken), plain(Code::AlreadyExists, Kind::EmailTaken));
}
