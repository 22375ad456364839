//! Calls of the products and users functions: the same results and errors as over REST.

use proto::products::v1 as products;
use proto::users::v1 as users;
use serde_json::json;
use shared::auth::{Caller, Role};
use shared::error::Kind;
use shared::values::ids::UserId;
use tests::in_process::InProcess;
use tests::person::PASSWORD;
use tonic::Code;

use crate::support::grpc::{
    by, caller, draft_product, forbidden, invalid, mask, not_found, plain, product_json, refused,
    to_products, to_users, unauthenticated, user_json, wire_address,
};

#[tokio::test]
async fn a_product_is_the_same_over_both_faces() {
    let shop = InProcess::open().await;
    let staff = shop.staff().await;
    let as_staff = caller(&staff, Role::Staff);
    let mut client = to_products(&shop);
    let new = draft_product();
    let made = client.create_product(by(as_staff, new.clone())).await.unwrap().into_inner();
    let id = made.id.clone();
    let path = format!("/products/{id}");
    assert_eq!(product_json(made), staff.get(&path).await.expect(200).body);
    let taken = client.create_product(by(as_staff, new.clone())).await;
    assert_eq!(refused(taken), plain(Code::AlreadyExists, Kind::SkuTaken));
    let customer = Caller::User { id: UserId::new(), role: Role::Customer };
    assert_eq!(refused(client.create_product(by(customer, new.clone())).await), forbidden());
    assert_eq!(refused(client.create_product(by(Caller::Anonymous, new)).await), unauthenticated());
    let answer = client.create_product(by(as_staff, products::CreateProductRequest::default())).await;
    assert_eq!(refused(answer), invalid(&["/sku", "/name", "/price"]));

    // A draft is not there but for those who may see it.
    let get = || products::GetProductRequest { id: id.clone() };
    assert_eq!(refused(client.get_product(by(Caller::Anonymous, get())).await), not_found());
    assert_eq!(refused(client.get_product(by(customer, get())).await), not_found());
    let seen = client.get_product(by(as_staff, get())).await.unwrap().into_inner();
    assert_eq!(product_json(seen), staff.get(&path).await.body);

    let none =
        || products::UpdateProductRequest { id: id.clone(), ..products::UpdateProductRequest::default() };
    let change = products::UpdateProductRequest {
        name: Some("Cup".to_owned()),
        status: Some("active".to_owned()),
        update_mask: mask(&["description"]),
        ..none()
    };
    assert_eq!(refused(client.update_product(by(customer, change.clone())).await), forbidden());
    let changed = client.update_product(by(as_staff, change)).await.unwrap().into_inner();
    assert_eq!((changed.version, changed.name.as_str(), changed.description.clone()), (2, "Cup", None));
    assert_eq!(product_json(changed), shop.anyone().get(&path).await.expect(200).body);
    for (field, at) in [("name", "/name"), ("price", "/price"), ("stock", "/update_mask")] {
        let change = products::UpdateProductRequest { update_mask: mask(&[field]), ..none() };
        assert_eq!(refused(client.update_product(by(as_staff, change)).await), invalid(&[at]));
    }

    let stock = |on_hand, delta| products::UpdateStockRequest {
        id: id.clone(),
        on_hand,
        delta,
        ..Default::default()
    };
    let moved = client.update_stock(by(as_staff, stock(None, Some(-3)))).await.unwrap().into_inner();
    assert_eq!(moved.stock.unwrap().on_hand, 4);
    assert_eq!(shop.stock(&id).await, (4, 0, 4));
    staff.orders(&[(&id, 3)]).await.expect(201);
    let below = client.update_stock(by(as_staff, stock(Some(2), None))).await;
    assert_eq!(refused(below), plain(Code::FailedPrecondition, Kind::StockBelowReserved));
    assert_eq!(refused(client.update_stock(by(as_staff, stock(None, None))).await), invalid(&[""]));
    assert_eq!(refused(client.update_stock(by(as_staff, stock(None, Some(0)))).await), invalid(&["/delta"]));
    assert_eq!(refused(client.update_stock(by(customer, stock(None, Some(1)))).await), forbidden());

    shop.product_with(json!({ "status": "archived" })).await;
    let count = |caller, status: Option<&str>| {
        let mut client = client.clone();
        let request =
            products::ListProductsRequest { status: status.map(str::to_owned), ..Default::default() };
        async move { client.list_products(by(caller, request)).await.unwrap().into_inner().data.len() }
    };
    assert_eq!((count(as_staff, None).await, count(Caller::Anonymous, None).await), (2, 1));
    assert_eq!(count(as_staff, Some("archived")).await, 1);
    assert_eq!(count(customer, Some("archived")).await, 0);
    let bad = products::ListProductsRequest { status: Some("void".to_owned()), ..Default::default() };
    let answer = client.list_products(by(as_staff, bad)).await;
    assert_eq!(refused(answer), plain(Code::InvalidArgument, Kind::InvalidQuery));
}

#[tokio::test]
async fn a_user_is_the_same_over_both_faces() {
    let shop = InProcess::open().await;
    let admin = shop.admin();
    let as_admin = caller(&admin, Role::Admin);
    let mut client = to_users(&shop);
    let new = users::CreateUserRequest {
        email: Some("Ada@example.com".to_owned()),
        password: Some(PASSWORD.to_owned()),
        name: Some("Ada".to_owned()),
        phone: Some("+49 228 1".to_owned()),
        address: Some(wire_address()),
        role: None,
    };
    let made = client.create_user(by(Caller::Anonymous, new.clone())).await.unwrap().into_inner();
    let id = made.id.clone();
    let path = format!("/users/{id}");
    assert_eq!(user_json(made), admin.get(&path).await.expect(200).body);
    let taken = client.create_user(by(Caller::Anonymous, new.clone())).await;
    assert_eq!(refused(taken), plain(Code::AlreadyExists, Kind::EmailTaken));
    let staff = users::CreateUserRequest { role: Some("staff".to_owned()), ..new };
    assert_eq!(refused(client.create_user(by(Caller::Anonymous, staff)).await), forbidden());
    let answer = client.create_user(by(Caller::Anonymous, users::CreateUserRequest::default())).await;
    assert_eq!(refused(answer), invalid(&["/email", "/password", "/name"]));

    let sign_in = |password: &str| users::AuthenticateRequest {
        email: Some("ada@EXAMPLE.com".to_owned()),
        password: Some(password.to_owned()),
    };
    let session = client.authenticate(by(Caller::Anonymous, sign_in(PASSWORD))).await.unwrap().into_inner();
    assert_eq!((session.token_type.as_str(), session.expires_in), ("Bearer", 900));
    let ada = shop.anyone().with_token(session.access_token);
    ada.get(&path).await.expect(200);
    assert_eq!(refused(client.authenticate(by(Caller::Anonymous, sign_in("x"))).await), unauthenticated());
    let answer = client.authenticate(by(Caller::Anonymous, users::AuthenticateRequest::default())).await;
    assert_eq!(refused(answer), invalid(&["/email", "/password"]));

    let keys = client
        .get_signing_keys(by(Caller::Anonymous, users::GetSigningKeysRequest::default()))
        .await
        .unwrap();
    let keys = keys.into_inner().keys;
    let header = ada.token.as_deref().unwrap().split('.').next().unwrap().to_owned();
    assert!(keys.iter().all(|key| key.public_key.len() == 32 && !header.is_empty()));
    assert_eq!(keys.len(), 1);

    let as_ada = Caller::User { id: id.parse().unwrap(), role: Role::Customer };
    let other = Caller::User { id: UserId::new(), role: Role::Customer };
    let get = || users::GetUserRequest { id: id.clone(), email: None };
    for caller in [as_ada, as_admin] {
        let seen = client.get_user(by(caller, get())).await.unwrap().into_inner();
        assert_eq!(user_json(seen), ada.get(&path).await.body);
    }
    // A function learns whether the user may act, and nothing about the person.
    let seen = client.get_user(by(Caller::System, get())).await.unwrap().into_inner();
    let status = users::User { id: id.clone(), status: "active".to_owned(), ..users::User::default() };
    assert_eq!(seen, status);
    assert_eq!(refused(client.get_user(by(other, get())).await), not_found());
    assert_eq!(refused(client.get_user(by(Caller::Anonymous, get())).await), unauthenticated());

    let none = || users::UpdateUserRequest { id: id.clone(), ..users::UpdateUserRequest::default() };
    let change = users::UpdateUserRequest {
        name: Some("Ada L.".to_owned()),
        update_mask: mask(&["phone", "address"]),
        ..none()
    };
    let changed = client.update_user(by(as_ada, change)).await.unwrap().into_inner();
    assert_eq!((changed.version, changed.phone.clone(), changed.address.clone()), (2, None, None));
    assert_eq!(user_json(changed), ada.get(&path).await.body);
    for (field, at) in [("email", "/email"), ("role", "/role"), ("id", "/update_mask")] {
        let change = users::UpdateUserRequest { update_mask: mask(&[field]), ..none() };
        assert_eq!(refused(client.update_user(by(as_admin, change)).await), invalid(&[at]));
    }
    let promote = users::UpdateUserRequest { role: Some("admin".to_owned()), ..none() };
    assert_eq!(refused(client.update_user(by(as_ada, promote)).await), forbidden());

    let list =
        |role: Option<&str>| users::ListUsersRequest { role: role.map(str::to_owned), ..Default::default() };
    let all = client.list_users(by(as_admin, list(None))).await.unwrap().into_inner();
    assert_eq!(all.data.len(), 2);
    let admins = client.list_users(by(as_admin, list(Some("admin")))).await.unwrap().into_inner();
    assert_eq!(admins.data.into_iter().map(|user| user.id).collect::<Vec<_>>(), [admin.id.as_str()]);
    assert_eq!(refused(client.list_users(by(as_ada, list(None))).await), forbidden());
    let answer = client.list_users(by(as_admin, list(Some("king")))).await;
    assert_eq!(refused(answer), plain(Code::InvalidArgument, Kind::InvalidQuery));

    let delete = |id: &str| users::DeleteUserRequest { id: id.to_owned(), expected_version: None };
    // One whom nobody knows is not signed in, and another is not let in.
    assert_eq!(refused(client.delete_user(by(other, delete(&id))).await), unauthenticated());
    let other = caller(&shop.customer().await, Role::Customer);
    assert_eq!(refused(client.delete_user(by(other, delete(&id))).await), not_found());
    let last = client.delete_user(by(as_admin, delete(&admin.id))).await;
    assert_eq!(refused(last), plain(Code::FailedPrecondition, Kind::LastAdmin));
    client.delete_user(by(as_ada, delete(&id))).await.unwrap();
    assert_eq!(refused(client.get_user(by(as_admin, get())).await), not_found());
    admin.get(&path).await.problem(404, "not-found");

    // The revocation list names users: it is for functions alone.
    let request = users::GetSigningKeysRequest::default;
    let listed = client.get_signing_keys(by(Caller::System, request())).await.unwrap().into_inner();
    assert!(listed.revoked.iter().any(|revoked| revoked.user_id == id) && !listed.without_revocations);
    let keys = listed.keys;
    let alone = users::GetSigningKeysResponse { keys, without_revocations: true, ..Default::default() };
    for caller in [Caller::Anonymous, as_admin] {
        let answer = client.get_signing_keys(by(caller, request())).await.unwrap().into_inner();
        assert_eq!(answer, alone);
    }
}
