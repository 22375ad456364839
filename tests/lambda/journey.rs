//! What a customer sees of the functions as processes: the whole way of an order.

use http::Method;
use serde_json::json;
use tests::lambda::Options;
use tests::on_lambda::OnLambda;
use tests::shop::new_email;

/// From signing up to the parcel at the door.
async fn an_order_is_placed_paid_shipped_and_delivered(shop: OnLambda) -> OnLambda {
    let email = new_email();
    let password = "a long way to walk";
    let ada = shop.anyone();
    ada.post("/users", json!({ "email": email, "password": password, "name": "Ada" })).await.expect(201);
    let ada = ada.signs_in(&email, password).await;
    let (hat, mug) = (shop.product(5).await, shop.product(2).await);
    let order = ada.orders(&[(&hat, 2), (&mug, 1)]).await.expect(201).id();
    assert_eq!(shop.stock(&hat).await, (5, 2, 3));
    ada.orders(&[(&hat, 4)]).await.problem(409, "insufficient-stock");

    let staff = shop.staff().await;
    for status in ["paid", "shipped", "delivered"] {
        assert_eq!(staff.moves(&order, status).await.expect(200)["status"], status);
    }
    assert_eq!(shop.stock(&hat).await, (3, 0, 3));
    assert_eq!(shop.stock(&mug).await, (1, 0, 1));
    let seen = ada.get(&format!("/orders/{order}")).await.expect(200);
    assert_eq!(seen["history"].as_array().map(Vec::len), Some(7));
    shop.anyone().send(Method::GET, "/nowhere", None).await.problem(404, "not-found");
    for function in ["orders", "products", "users", "docs"] {
        assert_eq!(shop.lambda.environments(function).len(), 1, "{function} did one thing at a time");
    }
    shop
}

#[tokio::test]
async fn an_order_goes_its_whole_way_through_real_processes() {
    an_order_is_placed_paid_shipped_and_delivered(OnLambda::open().await).await;
}

#[tokio::test]
async fn an_order_goes_its_whole_way_frozen_between_requests() {
    let shop =
        OnLambda::open_with(Options { freezes: true, ..Options::default() }, |functions| functions).await;
    let shop = an_order_is_placed_paid_shipped_and_delivered(shop).await;
    for function in ["orders", "products", "users", "docs"] {
        assert!(shop.lambda.environments(function)[0].is_frozen(), "{function}");
    }
}
