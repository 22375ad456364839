//! What every call carries along: who is calling, under which request ID, in which trace, until when.

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

/// How long a request may take when nobody says otherwise: less than API Gateway's 30 s.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(25);

/// What a call carries along, from the edge to the last function.
#[derive(Clone, Debug)]
pub struct Context {
    /// Who is calling.
    pub caller: Caller,
    /// The same in every log line and every call that this request causes.
    pub request_id: String,
    /// The same in every log line and every call too, and in those of whoever sent the request.
    pub trace: Trace,
    /// When the answer is no longer of use; nothing may be started after it.
    pub deadline: Timestamp,
}

impl Context {
    /// That of work which no request has caused: its ID and its trace are new.
    pub fn new(caller: Caller, deadline: Timestamp) -> Self {
        Self { caller, request_id: new_request_id(), trace: Trace::begin(), deadline }
    }
}

/// When the environment that answers a request ends it, if it says so: an extension of the request.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(pub Timestamp);

/// Whose connection a request came over, as whoever took it in says: API Gateway, or our own socket. Never what a header
/// says, which anybody can write. An extension of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceAddress(pub IpAddr);

/// The client's own request ID if it is fit for a log, else a new one.
pub fn request_id(headers: &HeaderMap) -> String {
    client_request_id(headers).map_or_else(new_request_id, str::to_owned)
}

fn new_request_id() -> String {
    Uuid::now_v7().simple().to_string()
}

/// The client's own request ID if it is fit for a log.
pub fn client_request_id(headers: &HeaderMap) -> Option<&str> {
    let fit = |id: &&str| {
        (1..=128).contains(&id.len())
            // API Gateway's own IDs end in `=`.
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'='))
    };
    headers.get("x-request-id")?.to_str().ok().filter(fit)
}

// `routes` puts it there before any handler runs. Without it nobody has been let in.
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
