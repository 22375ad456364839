//! Somebody who sends requests: a customer, staff, an admin, or anyone.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, header};
use serde_json::{Value, json};
use shared::http::base_path::BasePath;
use uuid::Uuid;

use crate::answer::Answer;

/// Somebody who sends requests.
#[derive(Clone, Debug)]
pub struct Person {
    http: reqwest::Client,
    base: String,
    /// Their user ID; empty for anyone.
    pub id: String,
    /// Their e-mail address; empty for anyone.
    pub email: String,
    /// Their access token, if they have signed in.
    pub token: Option<String>,
}

/// The password of everybody in the tests.
pub const PASSWORD: &str = "correct horse battery";

/// An address that is allowed.
pub fn address() -> Value {
    json!({ "line1": "1 Way", "city": "Bonn", "postal_code": "53111", "country": "DE" })
}

impl Person {
    pub(crate) fn anyone(http: reqwest::Client, base: &str) -> Self {
        Self { http, base: base.to_owned(), id: String::new(), email: String::new(), token: None }
    }

    /// The same person with another token, whatever it is.
    pub fn with_token(&self, token: impl Into<String>) -> Self {
        Self { token: Some(token.into()), ..self.clone() }
    }

    /// The same person at another address: `http://HOST:PORT`, and the base path if there is one.
    pub fn at(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    /// Signs in, and is then that user.
    pub async fn signs_in(&self, email: &str, password: &str) -> Self {
        let answer = self.post("/auth", json!({ "email": email, "password": password })).await.expect(200);
        let token = answer.text("access_token");
        Self { token: Some(token), email: email.to_owned(), ..self.clone() }
    }

    /// The user's ID that their access token says; empty if it says none.
    pub(crate) fn own_id(&self) -> String {
        let claims = self.token.as_deref().and_then(|token| token.split('.').nth(1)).unwrap_or_default();
        let claims = URL_SAFE_NO_PAD.decode(claims).unwrap_or_default();
        let claims: Value = serde_json::from_slice(&claims).unwrap_or_default();
        claims["sub"].as_str().unwrap_or_default().to_owned()
    }

    /// GET
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// POST with a JSON body
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    /// PUT with a JSON body
    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, Some(body)).await
    }

    /// DELETE
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    /// Any request with or without a JSON body.
    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body.to_string());
        }
        self.answer(request).await
    }

    /// Any request with a JSON body and an `Idempotency-Key`.
    pub async fn send_keyed(&self, method: Method, path: &str, key: &str, body: &Value) -> Answer {
        let request = self.request(method, path).header(header::CONTENT_TYPE, "application/json");
        self.answer(request.header("idempotency-key", key).body(body.to_string())).await
    }

    /// A request of which a test wants to say more; [`Self::answer`] sends it.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
    }

    /// Sends a request. No answer of ours is ever a 5xx here: that would be a bug.
    pub async fn answer(&self, request: reqwest::RequestBuilder) -> Answer {
        let answer = self.outcome(request).await.unwrap_or_else(|lost| panic!("{lost}"));
        let Answer { request: described, status, headers, body, .. } = &answer;
        assert!(status.as_u16() < 500, "{described} answered {status}: {body:#}");
        assert!(headers.contains_key("x-request-id"), "{described}: no request ID");
        answer
    }

    /// Sends a request where something may go wrong: any answer will do, API Gateway's own too. An error: the
    /// connection was lost.
    pub async fn outcome(&self, request: reqwest::RequestBuilder) -> Result<Answer, String> {
        let request = request.build().unwrap_or_else(|error| panic!("not a request: {error}"));
        let described = format!("{} {}", request.method(), request.url().path());
        let lost = |error: reqwest::Error| format!("{described}: {error:?}");
        let response = self.http.execute(request).await.map_err(lost)?;
        let status = response.status();
        let headers = response.headers().clone();
        let bytes = response.bytes().await.map_err(lost)?;
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                panic!("{described}: {error} in {:?}", String::from_utf8_lossy(&bytes))
            })
        };
        let base_path = base_path_of(&self.base);
        Ok(Answer { request: described, status, headers, body, base_path })
    }

    /// Orders these quantities of these products, to an address that is allowed.
    pub async fn orders(&self, lines: &[(&str, i64)]) -> Answer {
        let items: Vec<Value> = lines
            .iter()
            .map(|(product, quantity)| json!({ "product_id": product, "quantity": quantity }))
            .collect();
        self.post("/orders", json!({ "items": items, "shipping_address": address() })).await
    }

    /// Changes an order's status, with what the status needs.
    pub async fn moves(&self, order: &str, status: &str) -> Answer {
        self.put(&format!("/orders/{order}"), to_for(order, status)).await
    }
}

/// Base path in the URL of an API.
fn base_path_of(url: &str) -> BasePath {
    let path = url.splitn(4, '/').nth(3).map(|path| format!("/{path}"));
    path.map_or_else(BasePath::default, |path| {
        BasePath::parse(&path).unwrap_or_else(|error| panic!("{url}: {error}"))
    })
}

/// The body that moves an order to a status. No other payment has its reference.
pub fn to(status: &str) -> Value {
    to_for(&Uuid::new_v4().simple().to_string(), status)
}

/// The body that moves this order to a status, the same each time.
pub fn to_for(order: &str, status: &str) -> Value {
    match status {
        "paid" => {
            json!({ "status": "paid", "payment": { "reference": format!("pi_{order}"), "method": "card" } })
        }
        "shipped" => json!({ "status": "shipped", "tracking": { "carrier": "DHL", "number": "0034" } }),
        "refunded" => json!({ "status": "refunded", "payment": { "refund_reference": "re_1" } }),
        other => json!({ "status": other }),
    }
}
