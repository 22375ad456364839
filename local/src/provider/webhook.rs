//! Handler of a provider's webhooks: from an event to a request to the API, and from its answer to an outcome.
//!
//! It keeps nothing. Whether an event was seen before is decided where the money is recorded. Verify the provider's
//! signature before an event comes here.

use http::{Method, StatusCode};
use serde_json::{Value, json};

/// Event of money that was taken.
const CAPTURED: &str = "payment.captured";

/// Event of money that was given back.
const REFUNDED: &str = "refund.succeeded";

/// Event of money that was not given back.
const REFUND_FAILED: &str = "refund.failed";

/// Reaction to an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Reaction {
    /// Send a request to the API.
    Call(Call),
    /// Tell a person.
    Alert(String),
    /// Ignore an event of another kind.
    Ignore,
}

/// Request to the API, to be sent with the token of a staff user.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Method.
    pub method: Method,
    /// Path.
    pub path: String,
    /// `Idempotency-Key`.
    pub key: Option<String>,
    /// JSON body.
    pub body: Value,
}

/// Result of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The event needs nothing more: answer the provider with 200.
    Done,
    /// The provider should deliver the event again: answer it with 503.
    Again,
    /// A person has to look at this: keep the event, and answer the provider with 200.
    Alert(String),
}

/// Handles a delivery. `send` sends a call, and returns status and body of its answer; none if it was lost.
pub async fn handle(
    provider: &str,
    event: &Value,
    send: impl AsyncFnOnce(&Call) -> Option<(StatusCode, Value)>,
) -> Outcome {
    match react(provider, event) {
        Reaction::Call(call) => {
            let answer = send(&call).await;
            outcome(&call, answer)
        }
        Reaction::Alert(alert) => Outcome::Alert(alert),
        Reaction::Ignore => Outcome::Done,
    }
}

/// Derives the reaction to an event. It is the same for each delivery.
pub fn react(provider: &str, event: &Value) -> Reaction {
    let kind = event["type"].as_str().unwrap_or_default();
    if ![CAPTURED, REFUNDED, REFUND_FAILED].contains(&kind) {
        return Reaction::Ignore;
    }
    let data = &event["data"];
    let (order, refund) = (id(&data["order_id"]), id(&data["refund_id"]));
    let (Some(order), Some(reference)) = (order, data["id"].as_str()) else {
        return Reaction::Alert(format!("{kind} without an order of this shop: {event}"));
    };
    // Without this check, a damaged ID would make a second refund.
    if refund.is_none() && !data["refund_id"].is_null() {
        return Reaction::Alert(format!("{kind} without a valid refund ID: {event}"));
    }
    match (kind, refund) {
        (CAPTURED, _) => Reaction::Call(Call {
            method: Method::POST,
            path: format!("/orders/{order}/payments"),
            // The reference suffices: another event of the same capture is a replay, too.
            key: None,
            body: json!({
                "amount": data["amount"],
                "reference": reference,
                "method": data["method"],
                "provider": provider,
            }),
        }),
        // The shop recorded it before it asked the provider.
        (REFUNDED, Some(refund)) => Reaction::Call(Call {
            method: Method::PUT,
            path: format!("/orders/{order}/refunds/{refund}"),
            key: None,
            body: json!({ "reference": reference }),
        }),
        // It began at the provider's dashboard.
        (REFUNDED, None) => Reaction::Call(Call {
            method: Method::POST,
            path: format!("/orders/{order}/refunds"),
            key: Some(format!("{provider}/{reference}")),
            body: json!({ "amount": data["amount"], "reference": reference }),
        }),
        _ => Reaction::Alert(format!("{kind}: ask the provider again, with another key: {event}")),
    }
}

/// Derives the result of a delivery from the answer to its call; none: it was lost.
fn outcome(call: &Call, answer: Option<(StatusCode, Value)>) -> Outcome {
    let Some((status, body)) = answer else {
        return Outcome::Again;
    };
    let problem = body["type"].as_str().unwrap_or_default();
    let begins_refund = call.method == Method::POST && call.path.ends_with("/refunds");
    match status.as_u16() {
        200..300 => Outcome::Done,
        // 401: the token has ended, and the next delivery comes with a new one.
        401 | 408 | 429 | 500.. => Outcome::Again,
        // The capture that it refunds has not arrived.
        409 if begins_refund && problem.ends_with("/amount-exceeded") => Outcome::Again,
        _ => Outcome::Alert(format!("{} {}: {status} {problem}", call.method, call.path)),
    }
}

/// Reads an ID of the shop, which becomes a part of a path.
fn id(value: &Value) -> Option<&str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    value.as_str().filter(|id| !id.is_empty() && id.bytes().all(allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, refund_id: Value) -> Value {
        let data = json!({ "id": "x_1", "order_id": "order_1", "amount": 5, "refund_id": refund_id });
        json!({ "id": "evt_1", "type": kind, "data": data })
    }

    fn call(kind: &str, refund_id: Value) -> Call {
        match react("acme", &event(kind, refund_id)) {
            Reaction::Call(call) => call,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_event_has_one_request() {
        let (captured, refunded) = (call(CAPTURED, Value::Null), call(REFUNDED, json!("refund_1")));
        let at_dashboard = call(REFUNDED, Value::Null);
        assert_eq!((captured.method, captured.path.as_str()), (Method::POST, "/orders/order_1/payments"));
        assert_eq!((&captured.body["provider"], captured.key), (&json!("acme"), None));
        assert_eq!(
            (refunded.method, refunded.path.as_str()),
            (Method::PUT, "/orders/order_1/refunds/refund_1")
        );
        assert_eq!((refunded.body, refunded.key), (json!({ "reference": "x_1" }), None));
        assert_eq!(
            (at_dashboard.method, at_dashboard.path.as_str()),
            (Method::POST, "/orders/order_1/refunds")
        );
        assert_eq!(at_dashboard.key.as_deref(), Some("acme/x_1"));
        assert_eq!(react("acme", &event("customer.created", Value::Null)), Reaction::Ignore);
        for (kind, refund_id) in
            [(REFUND_FAILED, json!("refund_1")), (REFUNDED, json!("../x")), (REFUNDED, json!(1))]
        {
            assert!(matches!(react("acme", &event(kind, refund_id)), Reaction::Alert(_)));
        }
    }

    #[test]
    fn an_answer_says_whether_to_deliver_again() {
        let (capture, refund) = (call(CAPTURED, Value::Null), call(REFUNDED, Value::Null));
        let answer = |call: &Call, status: u16, problem: &str| {
            let body = json!({ "type": format!("/problems/{problem}") });
            outcome(call, Some((StatusCode::from_u16(status).unwrap(), body)))
        };
        for status in [200, 201] {
            assert_eq!(answer(&capture, status, ""), Outcome::Done);
        }
        for status in [401, 429, 500, 502, 503, 504] {
            assert_eq!(answer(&capture, status, ""), Outcome::Again);
        }
        assert_eq!(outcome(&capture, None), Outcome::Again);
        assert_eq!(answer(&refund, 409, "amount-exceeded"), Outcome::Again);
        for (status, problem) in [
            (403, "forbidden"),
            (404, "not-found"),
            (409, "amount-exceeded"),
            (409, "payment-reference-taken"),
            (422, "idempotency-key-reused"),
        ] {
            assert!(matches!(answer(&capture, status, problem), Outcome::Alert(_)), "{problem}");
        }
    }
}
