//! `Idempotency-Key` on products: its end after a day, and the same over gRPC.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures::future::join_all;
use proto::products::v1 as wire;
use serde_json::json;
use shared::auth::{Caller, Role};
use shared::error::Kind;
use shared::values::clock::{Clock, Timestamp};
use shared::values::ids::UserId;
use tests::in_process::InProcess;
use tests::person::PASSWORD;
use tests::support::idempotency::{put_stock, replayed};
use tonic::Code;

use crate::support::grpc::{by, caller, plain, refused, to_products, was_replayed, with_key};

#[tokio::test]
async fn a_key_lasts_a_day() {
    let now = Arc::new(AtomicI64::new(1_800_000_000_000));
    let hand = now.clone();
    let clock = Clock::from_fn(move || Timestamp::from_millis(hand.load(Ordering::SeqCst)));
    let shop = InProcess::open_with_clock(clock).await;
    let id = shop.product(5).await;
    let email = shop.admin().email;
    const DAY: i64 = 86_400_000;
    for (later, is_replay) in [(0, false), (DAY - 1, true), (1, false), (DAY - 1, true), (DAY, false)] {
        now.fetch_add(later, Ordering::SeqCst);
        let admin = shop.anyone().signs_in(&email, PASSWORD).await;
        let answer = put_stock(&admin, &id, "k", json!({ "delta": 1 })).await.expect(200);
        assert_eq!(replayed(&answer), is_replay, "{later} ms later");
    }
    let product = shop.anyone().get(&format!("/products/{id}")).await.expect(200);
    assert_eq!(product["stock"]["on_hand"], 8);
}

#[tokio::test]
async fn over_grpc_a_key_in_the_metadata_does_the_same() {
    let shop = InProcess::open().await;
    let staff = shop.staff().await;
    let as_staff = caller(&staff, Role::Staff);
    let mut client = to_products(&shop);
    let attributes = ["b", "a", "d", "c"].map(|name| (name.to_owned(), "x".to_owned()));
    let new = || wire::CreateProductRequest {
        sku: Some("HAT".to_owned()),
        name: Some("Hat".to_owned()),
        price: Some(proto::common::v1::Money { amount: 500, currency: "EUR".to_owned() }),
        stock: Some(3),
        attributes: attributes.clone().into(),
        ..wire::CreateProductRequest::default()
    };
    let first = client.create_product(with_key(by(as_staff, new()), "k")).await.unwrap();
    assert!(!was_replayed(&first));
    let first = first.into_inner();
    let again = client.create_product(with_key(by(as_staff, new()), "k")).await.unwrap();
    assert!(was_replayed(&again));
    assert_eq!(again.into_inner(), first);
    let other = wire::CreateProductRequest { stock: Some(4), ..new() };
    let reused = client.create_product(with_key(by(as_staff, other), "k")).await;
    assert_eq!(refused(reused), plain(Code::InvalidArgument, Kind::IdempotencyKeyReused));
    let another = Caller::User { id: UserId::new(), role: Role::Staff };
    let taken = client.create_product(with_key(by(another, new()), "k")).await;
    assert_eq!(refused(taken), plain(Code::AlreadyExists, Kind::SkuTaken));
    let bad = client.create_product(with_key(by(as_staff, new()), "a b")).await;
    assert_eq!(refused(bad), plain(Code::InvalidArgument, Kind::MalformedRequest));

    let delta = || wire::UpdateStockRequest { id: first.id.clone(), delta: Some(-3), ..Default::default() };
    let calls = (0..20).map(|_| {
        let mut client = client.clone();
        let request = with_key(by(as_staff, delta()), "k");
        async move { client.update_stock(request).await.unwrap() }
    });
    let answers = join_all(calls).await;
    assert_eq!(answers.iter().filter(|answer| !was_replayed(answer)).count(), 1);
    assert_eq!(shop.stock(&first.id).await, (0, 0, 0));
    // A key of REST is another one, since it was sent to another place.
    put_stock(&staff, &first.id, "k", json!({ "delta": 1 })).await.expect(200);
    assert_eq!(shop.stock(&first.id).await, (1, 0, 1));
}
