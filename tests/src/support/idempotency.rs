//! Requests with an `Idempotency-Key`.

use http::{Method, header};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::person::{PASSWORD, Person};

/// Sends a request with a key.
pub async fn keyed(person: &Person, method: Method, path: &str, key: &str, body: &Value) -> Answer {
    let request = person.request(method, path).header("idempotency-key", key);
    person.answer(request.header(header::CONTENT_TYPE, "application/json").body(body.to_string())).await
}

/// True if the answer says that the request had been answered before.
#[track_caller]
pub fn replayed(answer: &Answer) -> bool {
    let said = answer.header("idempotency-replayed");
    assert!(said.is_none_or(|said| said == "true"), "{said:?}");
    said.is_some()
}

/// Changes the stock of a product.
pub async fn put_stock(person: &Person, product: &str, key: &str, body: Value) -> Answer {
    keyed(person, Method::PUT, &format!("/products/{product}/stock"), key, &body).await
}

/// The body of a product that is allowed, with five pieces on hand.
pub fn product(sku: &str) -> Value {
    json!({ "sku": sku, "name": "Mug", "price": { "amount": 500, "currency": "EUR" }, "stock": 5 })
}

/// The body of a new user.
pub fn user(email: &str) -> Value {
    json!({ "email": email, "password": PASSWORD, "name": "Ada" })
}

/// Signs a user up.
pub async fn sign_up(person: &Person, key: &str, body: &Value) -> Answer {
    keyed(person, Method::POST, "/users", key, body).await
}

/// The body with another text in a field.
pub fn with(body: &Value, field: &str, value: &str) -> Value {
    let mut body = body.clone();
    body[field] = json!(value);
    body
}
