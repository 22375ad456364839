//! Signing in and sessions.

use futures::join;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::person::PASSWORD;
use crate::shop::Shop;

/// A password that no user begins with.
pub const OTHER_PASSWORD: &str = "staple battery horse";

/// A password that no user has.
pub const WRONG: &str = "a wrong password";

/// The body of a sign-in.
pub fn credentials(email: &str, password: &str) -> Value {
    json!({ "email": email, "password": password })
}

/// Signs in, with any result.
pub async fn tries(shop: &Shop, email: &str, password: &str) -> Answer {
    shop.anyone().post("/auth", json!({ "email": email, "password": password })).await
}

/// Signs in with the password that everybody has.
pub async fn signs_in(shop: &Shop, email: &str) -> Answer {
    shop.anyone().post("/auth", json!({ "email": email, "password": PASSWORD })).await.expect(200)
}

/// Trades a refresh token.
pub async fn refreshes(shop: &Shop, token: &str) -> Answer {
    shop.anyone().post("/auth/refresh", json!({ "refresh_token": token })).await
}

/// The statuses of requests with this token to each function.
pub async fn everywhere(shop: &Shop, token: &str, own: &str) -> [u16; 3] {
    let person = shop.anyone().with_token(token);
    let (users, products, orders) = join!(person.get(own), person.get("/products"), person.get("/orders"));
    [users, products, orders].map(|answer| answer.status.as_u16())
}

/// A change by an admin that ends all sessions of a user.
pub fn changes() -> [Value; 3] {
    [json!({ "role": "staff" }), json!({ "status": "disabled" }), json!({ "password": OTHER_PASSWORD })]
}
