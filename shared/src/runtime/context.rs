//! Context of a call: caller, request ID, trace and deadline.

use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::request::Parts;
use uuid::Uuid;

use crate::auth::Caller;
use crate::runtime::trace::Trace;
use crate::values::clock::Timestamp;

/// Default timeout of a request: shorter than API Gateway's 30 s.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(25);

/// Context of a call, passed on from the edge to the last function.
#[derive(Clone, Debug)]
pub struct Context {
    /// Caller.
    pub caller: Caller,
    /// Request ID, the same in every log line and every call that this request causes.
    pub request_id: String,
    /// Trace, the same in every log line and call too, and in those of the client's own tracing.
    pub trace: Trace,
    /// Time after which the answer is useless. No work may start after it.
    pub deadline: Timestamp,
}

impl Context {
    /// Creates a context for work without a request: its ID and its trace are new.
    pub fn new(caller: Caller, deadline: Timestamp) -> Self {
        Self { caller, request_id: new_request_id(), trace: Trace::begin(), deadline }
    }
}

/// Time at which the environment ends a request, if known: an extension of the request.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(pub Timestamp);

/// Address of the peer of a request's connection: an extension of the request. API Gateway or our own socket
/// reports it. It is never read from a header, which any client can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceAddress(pub IpAddr);

/// Returns the client's own request ID if it is safe to log, else a new one.
pub fn request_id(headers: &HeaderMap) -> String {
    client_request_id(headers).map_or_else(new_request_id, str::to_owned)
}

fn new_request_id() -> String {
    Uuid::now_v7().simple().to_string()
}

/// Returns the client's own request ID if it is safe to log.
pub fn client_request_id(headers: &HeaderMap) -> Option<&str> {
    let fit = |id: &&str| {
        (1..=128).contains(&id.len())
            // API Gateway's own IDs end in `=`.
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'='))
    };
    headers.get("x-request-id")?.to_str().ok().filter(fit)
}

// `routes` inserts the context before any handler runs. Without it the caller is anonymous.
impl<S: Sync> FromRequestParts<S> for Context {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self {
            caller: Caller::Anonymous,
            request_id: request_id(&parts.headers),
            trace: Trace::of(&parts.headers, None),
            deadline: Timestamp::from_millis(0),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_that_could_forge_a_log_line_is_replaced() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", value.parse().unwrap());
            request_id(&headers)
        };
        assert_eq!(with("Order-7_a.b"), "Order-7_a.b");
        assert_eq!(with("JKJaXmPLvHcESHA="), "JKJaXmPLvHcESHA=");
        for bad in ["", "a b", "a\tb", "ü", &"x".repeat(129)] {
            assert_ne!(with(bad), bad);
            assert_eq!(with(bad).len(), 32);
        }
    }
}
