//! IDs of orders, derived from the key of their request: repeats of a request derive the same ones.

use ring::digest::{self, SHA256};
use shared::values::ids::OrderId;

use crate::order::IdempotencyRef;

/// Derives the ID of an attempt at a request: UUIDv8 of a SHA-256. Every repeat and every
/// concurrent run arrives at the same hold and the same insert. Each attempt has its own ID. A new attempt
/// begins when the one before can no longer become an order.
pub fn of_attempt(idempotency: &IdempotencyRef, attempt: usize) -> OrderId {
    let mut hash = digest::Context::new(&SHA256);
    hash.update(b"order ");
    hash.update(idempotency.caller.uuid().as_bytes());
    hash.update(idempotency.request_key.fingerprint.as_bytes());
    hash.update(&u64::try_from(attempt).unwrap_or(u64::MAX).to_be_bytes());
    // Last, since its length varies.
    hash.update(idempotency.request_key.key.as_str().as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finish().as_ref()[..16]);
    OrderId::from_uuid(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::json;
    use shared::http::idempotency::{IdempotencyKey, RequestFingerprint, RequestKey};
    use shared::values::ids::UserId;

    use super::*;

    #[test]
    fn caller_key_body_and_attempt_each_make_another_id() {
        let (one, other) = (UserId::new(), UserId::new());
        let mut ids = HashSet::new();
        for caller in [one, other] {
            for key in ["a", "b"] {
                for body in [json!({}), json!({ "note": "x" })] {
                    let request_key = RequestKey::of_client(
                        IdempotencyKey::parse(key.as_bytes()).unwrap(),
                        RequestFingerprint::of_json(&body, &[]),
                    );
                    let idempotency = IdempotencyRef { caller, request_key };
                    for attempt in 0..3 {
                        let id = of_attempt(&idempotency, attempt);
                        assert_eq!(id, of_attempt(&idempotency.clone(), attempt));
                        assert_eq!(id.uuid().get_version_num(), 8);
                        ids.insert(id);
                    }
                }
            }
        }
        assert_eq!(ids.len(), 2 * 2 * 2 * 3);
    }
}
