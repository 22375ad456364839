//! Metadata of a call: the calling function, the request ID, the trace, the deadline, the address of the client.
//!
//! On Lambda it is trusted: IAM decides who may invoke a function, and outside input cannot become a call. On
//! a socket it is trusted only if it is signed (see `signature`). It identifies functions alone. A user is
//! identified by an access token, everywhere.

use std::time::Duration;

use http::HeaderMap;
use tonic::Status;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};

use crate::auth::{Caller, Role};
use crate::runtime::context::{Context, DEFAULT_TIMEOUT, InvocationId, SourceAddress, request_id};
use crate::runtime::trace::{self, Trace};
use crate::values::clock::{Clock, Timestamp};
use crate::values::ids::UserId;

const SYSTEM: &str = "system";

/// `system` for a function on its own behalf; absent for all others.
pub(super) const CALLER: &str = "oms-caller";
/// Role of a user.
const ROLE: &str = "oms-caller-role";
/// Name of the calling function. Earlier builds send none.
pub(super) const FUNCTION: &str = "oms-caller-function";
/// Absolute deadline in milliseconds since 1970, so that a call delivered late is refused.
pub(crate) const DEADLINE: &str = "oms-deadline";
pub(super) const REQUEST_ID: &str = "x-request-id";
/// Address of the client on whose behalf a function calls. Only an envelope is believed: IAM knows who sends one. A
/// call over a socket has the address of its peer, since the signature does not cover this.
pub(super) const SOURCE: &str = "oms-source-address";

/// Entries of a call for which there is room at once, those of gRPC included.
const USUAL: usize = 12;

/// Creates a request to another function: on the function's own behalf for [`Caller::System`], else anonymous.
/// Metadata cannot say that a user calls.
pub fn request<T>(message: T, context: &Context) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let metadata = request.metadata_mut();
    *metadata = MetadataMap::with_capacity(USUAL);
    if context.caller == Caller::System {
        insert(metadata, CALLER, SYSTEM);
    }
    insert(metadata, REQUEST_ID, &*context.request_id);
    insert(metadata, trace::TRACEPARENT, context.trace.parent());
    if let Some(state) = context.trace.state() {
        insert(metadata, trace::TRACESTATE, state);
    }
    insert(metadata, DEADLINE, context.deadline.millis().to_string());
    // For the transport to another Lambda, which has its own X-Ray header.
    request.extensions_mut().insert(context.trace.clone());
    request
}

/// Creates a request as [`request`], with the address of the client on whose behalf it is. Limits by address then
/// count for that client.
pub fn request_for_client<T>(message: T, context: &Context) -> tonic::Request<T> {
    let mut request = request(message, context);
    if let Some(SourceAddress(address)) = context.source {
        insert(request.metadata_mut(), SOURCE, address.to_string());
    }
    request
}

/// Address of the client on whose behalf a call is, as its envelope says.
pub(super) fn source(headers: &HeaderMap) -> Option<SourceAddress> {
    headers.get(SOURCE)?.to_str().ok()?.parse().ok().map(SourceAddress)
}

fn insert(metadata: &mut MetadataMap, name: &'static str, value: impl TryInto<AsciiMetadataValue>) {
    // All values here are ASCII by construction.
    if let Ok(value) = value.try_into() {
        metadata.insert(AsciiMetadataKey::from_static(name), value);
    }
}

/// Deadline of a call: the earlier of `oms-deadline` and gRPC's own `grpc-timeout`.
pub(crate) fn deadline(headers: &HeaderMap, now: Timestamp) -> Timestamp {
    let absolute = absolute_deadline(headers);
    let relative = headers
        .get("grpc-timeout")
        .and_then(|value| timeout(value.to_str().ok()?))
        .map(|left| now.after(left));
    [absolute, relative].into_iter().flatten().min().unwrap_or_else(|| now.after(DEFAULT_TIMEOUT))
}

/// Deadline that the caller has set as a time.
pub(super) fn absolute_deadline(headers: &HeaderMap) -> Option<Timestamp> {
    headers.get(DEADLINE).and_then(|value| value.to_str().ok()?.parse().ok()).map(Timestamp::from_millis)
}

/// Parses `grpc-timeout` (gRPC over HTTP/2): up to 8 digits and a unit.
fn timeout(value: &str) -> Option<Duration> {
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

/// Context of an arrived call whose caller is not known yet.
pub(crate) fn context(headers: &HeaderMap, clock: &Clock) -> Context {
    Context {
        caller: Caller::Anonymous,
        token: None,
        request_id: request_id(headers),
        trace: Trace::of(headers, None),
        deadline: deadline(headers, clock.now()),
        invocation: InvocationId::new(),
        source: None,
    }
}

/// Caller that the metadata claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim<'a> {
    /// No caller.
    Nobody,
    /// A function, by its name if it sends one.
    Function(Option<&'a str>),
    /// A user. Only an access token identifies one.
    User,
}

/// Reads the caller that the metadata claims.
///
/// # Errors
/// `UNAUTHENTICATED` for an unreadable identity.
pub(super) fn claim(headers: &HeaderMap) -> Result<Claim<'_>, Status> {
    let unreadable = || Status::unauthenticated("the caller's identity in the metadata cannot be read");
    let text = |name| -> Result<Option<&str>, Status> {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => value.to_str().map(Some).map_err(|_| unreadable()),
            _ => Err(unreadable()),
        }
    };
    match (text(CALLER)?, text(FUNCTION)?) {
        (None, _) => Ok(Claim::Nobody),
        (Some(SYSTEM), Some("")) => Err(unreadable()),
        (Some(SYSTEM), name) => Ok(Claim::Function(name)),
        (Some(user), _) => {
            let role = text(ROLE)?.and_then(|role| Role::parse(role).ok());
            user.parse::<UserId>().ok().zip(role).map(|_| Claim::User).ok_or_else(unreadable)
        }
    }
}

/// Returns the context that `server` put into a request.
///
/// # Errors
/// `INTERNAL` if the request did not come through `server`.
pub fn context_of<T>(request: &tonic::Request<T>) -> Result<Context, Status> {
    request
        .extensions()
        .get::<Context>()
        .cloned()
        .ok_or_else(|| Status::internal("the call did not come through the RPC server"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeouts_are_read_as_the_protocol_writes_them() {
        assert_eq!(timeout("5S"), Some(Duration::from_secs(5)));
        assert_eq!(timeout("100m"), Some(Duration::from_millis(100)));
        assert_eq!(timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for bad in ["", "S", "5", "5s", "-5S", "123456789S", "5 S", "ü"] {
            assert_eq!(timeout(bad), None, "{bad}");
        }
    }
}
