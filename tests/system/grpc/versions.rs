//! Calls with the version that a change is meant for.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use proto::orders::v1 as orders;
use proto::orders::v1::order_service_client::OrderServiceClient;
use proto::products::v1 as products;
use proto::users::v1 as users;
use proto::users::v1::user_service_client::UserServiceClient;
use serde_json::json;
use shared::auth::Role;
use shared::error::{Error, Kind};
use tests::in_process::InProcess;
use tonic::{Code, Response, Status};

use crate::support::grpc::{by, caller, channel, refused, to_products};

/// The answer, which must be refused since the version is another one.
#[track_caller]
pub(super) fn outdated<T: std::fmt::Debug>(answer: Result<Response<T>, Status>, current: i64) {
    let status = answer.unwrap_err();
    let error = Error::from(status.clone());
    assert_eq!(error.member("current_version"), Some(&json!(current)));
    assert_eq!(
        refused(Err::<Response<T>, _>(status)),
        (Code::FailedPrecondition, Kind::VersionMismatch, Vec::new())
    );
}

#[tokio::test]
async fn a_call_changes_the_version_that_it_expects_and_no_other() {
    let shop = InProcess::open().await;
    let admin = shop.admin();
    let by_admin = caller(&admin, Role::Admin);
    let (customer, order) = shop.order_in("placed").await;
    let product = shop.product(10).await;
    let mut to_users = UserServiceClient::new(channel(shop.backend.users.rpc.clone()));
    let mut to_products = to_products(&shop);
    let mut to_orders = OrderServiceClient::new(channel(shop.backend.orders.rpc.clone()));

    let user = |expected_version| users::UpdateUserRequest {
        id: customer.id.clone(),
        name: Some("Ada".to_owned()),
        expected_version,
        ..Default::default()
    };
    outdated(to_users.update_user(by(by_admin, user(Some(2)))).await, 1);
    outdated(to_users.update_user(by(by_admin, user(Some(-1)))).await, 1);
    assert_eq!(to_users.update_user(by(by_admin, user(Some(1)))).await.unwrap().into_inner().version, 2);
    assert_eq!(to_users.update_user(by(by_admin, user(None))).await.unwrap().into_inner().version, 2);

    let change = |expected_version| products::UpdateProductRequest {
        id: product.clone(),
        name: Some("Cup".to_owned()),
        expected_version,
        ..Default::default()
    };
    outdated(to_products.update_product(by(by_admin, change(Some(2)))).await, 1);
    assert_eq!(
        to_products.update_product(by(by_admin, change(Some(1)))).await.unwrap().into_inner().version,
        2
    );
    let count = |expected_version| {
        let mut request = by(
            by_admin,
            products::UpdateStockRequest {
                id: product.clone(),
                delta: Some(1),
                expected_version,
                ..Default::default()
            },
        );
        request.metadata_mut().insert("idempotency-key", "one".parse().unwrap());
        request
    };
    outdated(to_products.update_stock(count(Some(1))).await, 2);
    assert_eq!(to_products.update_stock(count(Some(2))).await.unwrap().into_inner().version, 3);
    // The same request again, whatever version it expects: what it asks for is the same.
    for expected in [Some(2), Some(9), None] {
        assert_eq!(to_products.update_stock(count(expected)).await.unwrap().into_inner().version, 3);
    }
    assert_eq!(shop.stock(&product).await, (11, 0, 11));

    let note = |expected_version| orders::UpdateOrderRequest {
        id: order.clone(),
        note: Some("Knock".to_owned()),
        expected_version,
        ..Default::default()
    };
    outdated(to_orders.update_order(by(by_admin, note(Some(2)))).await, 1);
    assert_eq!(to_orders.update_order(by(by_admin, note(Some(1)))).await.unwrap().into_inner().version, 2);

    let delete = |expected_version| users::DeleteUserRequest { id: customer.id.clone(), expected_version };
    outdated(to_users.delete_user(by(by_admin, delete(Some(1)))).await, 2);
    to_users.delete_user(by(by_admin, delete(Some(2)))).await.unwrap();
}
