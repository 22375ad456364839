//! Context of a call: caller, request ID, trace and deadline.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use ring::digest::{self, SHA256};
use uuid::Uuid;

use crate::auth::{Caller, TokenOrigin};
use crate::runtime::trace::Trace;
use crate::values::clock::Timestamp;

/// Header with the request ID.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Default timeout of a request: shorter than API Gateway's 30 s.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(25);

/// Context of a call, passed on from the edge to the last function.
#[derive(Clone, Debug)]
pub struct Context {
    /// Caller.
    pub caller: Caller,
    /// Origin of the caller's access token, if the caller has sent one to this function.
    pub token: Option<TokenOrigin>,
    /// Request ID, the same in every log line and every call that this request causes.
    pub request_id: Arc<str>,
    /// Trace, the same in every log line and call too, and in those of the client's own tracing.
    pub trace: Trace,
    /// Time after which the answer is useless. No work may start after it.
    pub deadline: Timestamp,
    /// ID of the event that this request or call arrived in.
    pub invocation: InvocationId,
    /// Address that it came from, if that is known.
    pub source: Option<SourceAddress>,
}

impl Context {
    /// Creates a context for work without a request: its ID and its trace are new.
    pub fn new(caller: Caller, deadline: Timestamp) -> Self {
        Self {
            caller,
            token: None,
            request_id: new_request_id(),
            trace: Trace::begin(),
            deadline,
            invocation: InvocationId::new(),
            source: None,
        }
    }
}

/// ID of an event, which stays the same when the event runs again: an extension of the request.
///
/// Clients cannot choose it. So a request without a key is recognized by it: see
/// [`RequestKey`](crate::http::idempotency::RequestKey).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvocationId(Uuid);

impl InvocationId {
    /// Creates an ID for an event that the environment has given none.
    #[expect(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// ID of an event by Lambda's request ID, which is a UUID; of another text it is a hash.
    pub fn of_lambda(request_id: &str) -> Self {
        match Uuid::try_parse(request_id) {
            Ok(id) if !id.is_nil() => Self(id),
            _ if request_id.is_empty() => Self::new(),
            _ => {
                let mut bytes = [0; 16];
                let hash = digest::digest(&SHA256, request_id.as_bytes());
                bytes.copy_from_slice(&hash.as_ref()[..16]);
                Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
            }
        }
    }

    /// UUID of the event.
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

/// True for the first event of a process on Lambda: an extension of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColdStart(pub bool);

/// Time at which the environment ends a request, if known: an extension of the request.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(pub Timestamp);

/// Address of a request's client: an extension of the request. API Gateway or our own socket reports it. A header,
/// which any client can write, counts only from a trusted proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceAddress(pub IpAddr);

impl SourceAddress {
    /// Network that shares limits: an IPv4 address, or the first 64 bits of an IPv6 address. One customer of a
    /// provider gets at least these.
    pub fn network(self) -> IpAddr {
        match self.0.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            address => address,
        }
    }
}

/// Returns the client's own request ID if it is safe to log, else a new one.
pub fn request_id(headers: &HeaderMap) -> Arc<str> {
    client_request_id(headers).map_or_else(new_request_id, Arc::from)
}

/// Value of the header by which an answer shows its [`request_id`].
pub(crate) fn request_id_header(headers: &HeaderMap) -> HeaderValue {
    let own = headers.get(REQUEST_ID).filter(|_| client_request_id(headers).is_some());
    own.cloned().unwrap_or_else(|| {
        HeaderValue::from_str(&new_request_id()).unwrap_or_else(|_| HeaderValue::from_static("none"))
    })
}

fn new_request_id() -> Arc<str> {
    let text = &mut Uuid::encode_buffer();
    Arc::from(&*Uuid::now_v7().simple().encode_lower(text))
}

/// Returns the client's own request ID if it is safe to log.
pub fn client_request_id(headers: &HeaderMap) -> Option<&str> {
    let fit = |id: &&str| {
        (1..=128).contains(&id.len())
            // API Gateway's own IDs end in `=`.
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'='))
    };
    headers.get(REQUEST_ID)?.to_str().ok().filter(fit)
}

// `routes` inserts the context before any handler runs. Without it the caller is anonymous.
impl<S: Sync> FromRequestParts<S> for Context {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self {
            caller: Caller::Anonymous,
            token: None,
            request_id: request_id(&parts.headers),
            trace: Trace::of(&parts.headers, None),
            deadline: Timestamp::from_millis(0),
            invocation: InvocationId::new(),
            source: None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_comes_again_has_the_same_invocation_id() {
        let lambda = "8476a536-e9f4-11e8-9739-2dfe598c3fcd";
        assert_eq!(InvocationId::of_lambda(lambda).uuid().to_string(), lambda);
        assert_eq!(InvocationId::of_lambda("an emulator's"), InvocationId::of_lambda("an emulator's"));
        assert_ne!(InvocationId::of_lambda("an emulator's"), InvocationId::of_lambda("another one"));
        for none in ["", "00000000-0000-0000-0000-000000000000"] {
            assert_ne!(InvocationId::of_lambda(none).uuid(), Uuid::nil());
        }
        assert_ne!(InvocationId::of_lambda(""), InvocationId::of_lambda(""));
    }

    #[test]
    fn a_request_id_that_could_forge_a_log_line_is_replaced() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", value.parse().unwrap());
            request_id(&headers)
        };
        assert_eq!(&*with("Order-7_a.b"), "Order-7_a.b");
        assert_eq!(&*with("JKJaXmPLvHcESHA="), "JKJaXmPLvHcESHA=");
        for bad in ["", "a b", "a\tb", "ü", &"x".repeat(129)] {
            assert_ne!(&*with(bad), bad);
            assert_eq!(with(bad).len(), 32);
        }
    }
}
