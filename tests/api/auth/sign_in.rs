//! Signing in, and the access token of it.

use http::{Method, header};
use serde_json::json;
use tests::person::PASSWORD;
use tests::shop::{Shop, new_sku, order_of};
use tests::support::sign_in::credentials;
use tests::support::users::path;
use uuid::Uuid;

/// The status, the bytes of the body and the names of the headers of an answer to a sign-in.
async fn seen_from_outside(shop: &Shop, email: &str, password: &str) -> (u16, String, Vec<String>) {
    let request = shop.anyone().request(Method::POST, "/auth").header("x-request-id", "the-same");
    let request = request.header(header::CONTENT_TYPE, "application/json");
    let Ok(response) = request.body(credentials(email, password).to_string()).send().await else {
        return (0, "no answer".to_owned(), Vec::new());
    };
    let headers = response.headers().keys().map(ToString::to_string).collect();
    (response.status().as_u16(), response.text().await.unwrap_or_default(), headers)
}

#[tokio::test]
async fn a_failed_sign_in_does_not_tell_whether_the_user_exists() {
    let shop = Shop::open().await;
    let (known, disabled, deleted) = (shop.customer().await, shop.customer().await, shop.customer().await);
    shop.admin().put(&path(&disabled), json!({ "status": "disabled" })).await.expect(200);
    shop.admin().delete(&path(&deleted)).await.expect(204);

    let wrong = seen_from_outside(&shop, &known.email, "a wrong password").await;
    assert_eq!(wrong.0, 401);
    for (email, password) in [
        ("nobody@example.com", PASSWORD),
        (disabled.email.as_str(), PASSWORD),
        (disabled.email.as_str(), "a wrong password"),
        (deleted.email.as_str(), PASSWORD),
        ("not an address", PASSWORD),
        (known.email.as_str(), ""),
    ] {
        assert_eq!(seen_from_outside(&shop, email, password).await, wrong, "{email} {password}");
    }
}

#[tokio::test]
async fn an_address_that_only_unicode_takes_for_ascii_is_unknown() {
    let shop = Shop::open().await;
    let mark = Uuid::new_v4().simple();
    let email = format!("mike.{mark}@example.com");
    let user = json!({ "email": email, "password": PASSWORD, "name": "Mike" });
    shop.anyone().post("/users", user).await.expect(201);
    // KELVIN SIGN is a k in lower case, to Unicode.
    let kelvin = format!("mi\u{212a}e.{mark}@example.com");
    shop.anyone().post("/auth", credentials(&kelvin, PASSWORD)).await.problem(401, "unauthenticated");
    shop.anyone().post("/auth", credentials(&email.to_uppercase(), PASSWORD)).await.expect(200);
}

#[tokio::test]
async fn a_new_token_carries_the_role_that_one_has_by_then() {
    let shop = Shop::open().await;
    let ada = shop.customer().await;
    shop.admin().put(&path(&ada), json!({ "role": "staff" })).await.expect(200);
    let ada = shop.anyone().signs_in(&ada.email, PASSWORD).await;
    ada.get("/users").await.expect(200);
}

#[tokio::test]
async fn a_token_of_the_users_function_is_good_at_all_functions() {
    let shop = Shop::open().await;
    let (customer, staff) = (shop.customer().await, shop.staff().await);
    customer.get("/orders").await.expect(200);
    customer.get("/products").await.expect(200);
    customer.get(&path(&customer)).await.expect(200);
    let mug =
        json!({ "sku": new_sku(), "name": "Mug", "price": { "amount": 1, "currency": "EUR" }, "stock": 1 });
    let mug = staff.post("/products", mug).await.expect(201).id();
    let order = customer.post("/orders", order_of(&mug, 1)).await.expect(201);
    assert_eq!(order["user_id"], customer.id);
    // The scheme's name has no case (RFC 9110, section 11.1).
    for scheme in ["bearer", "BEARER"] {
        let token = format!("{scheme} {}", customer.token.clone().unwrap());
        for route in ["/orders", "/products", &path(&customer)] {
            let request = shop.anyone().request(Method::GET, route).header(header::AUTHORIZATION, &token);
            shop.anyone().answer(request).await.expect(200);
        }
    }
}
