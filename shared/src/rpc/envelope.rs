//! JSON envelope of a gRPC call: path, headers and the framed message in base64. The answer has status,
//! headers, message and trailers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use tonic::Status;
use tonic::metadata::MetadataMap;

/// Maximum payload of Lambda's Invoke API in either direction: 6 MB, envelope and base64 included.
pub const MAX_PAYLOAD: usize = 6 * 1024 * 1024;

/// Envelope of a call. Its only key `grpc` distinguishes it from all other events: API Gateway sends its own
/// keys at the top, and puts the client's data inside `body`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallEnvelope {
    /// Call.
    pub grpc: Call,
}

/// Envelope of an answer.
#[derive(Debug, Serialize, Deserialize)]
pub struct AnswerEnvelope {
    /// Answer.
    pub grpc: Answer,
}

/// Call of a gRPC client.
#[derive(Debug, Serialize, Deserialize)]
pub struct Call {
    /// Path of the method: `/package.Service/Method`.
    pub path: String,
    /// Metadata; names may repeat.
    pub headers: Vec<(String, String)>,
    /// Framed messages in base64.
    pub body: String,
}

/// Answer of a gRPC server.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    /// HTTP status: 200 even if `grpc-status` reports a failure.
    pub status: u16,
    /// Metadata; contains `grpc-status` if the answer has no message.
    pub headers: Vec<(String, String)>,
    /// Framed messages in base64.
    pub body: String,
    /// `grpc-status` and the metadata after a message.
    pub trailers: Vec<(String, String)>,
}

/// Converts headers to pairs. Values that are not ASCII are dropped, as gRPC allows none.
pub fn to_pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect()
}

/// Converts pairs to headers.
///
/// # Errors
/// `INTERNAL` for an invalid name or value of a header.
pub fn from_pairs(pairs: &[(String, String)]) -> Result<HeaderMap, Status> {
    let mut headers = HeaderMap::try_with_capacity(pairs.len()).map_err(garbled)?;
    for (name, value) in pairs {
        let name: HeaderName =
            name.parse().map_err(|_| garbled(format_args!("{name:?} is not a valid header name")))?;
        let value = HeaderValue::from_str(value)
            .map_err(|_| garbled(format_args!("the header {name} has an invalid value")))?;
        headers.append(name, value);
    }
    readable(headers)
}

/// Checks that tonic can read the headers or trailers of an answer.
///
/// # Errors
/// `INTERNAL` for status details that are not base64.
pub fn readable(headers: HeaderMap) -> Result<HeaderMap, Status> {
    let headers = MetadataMap::from_headers(headers);
    // tonic panics at details that it cannot decode.
    if headers.get_bin("grpc-status-details-bin").is_some_and(|details| details.to_bytes().is_err()) {
        return Err(garbled("the details of the status are not base64"));
    }
    Ok(headers.into_headers())
}

/// Encodes a body for an envelope.
pub fn encode_body(body: &[u8]) -> String {
    BASE64.encode(body)
}

/// Decodes a body from an envelope.
///
/// # Errors
/// `INTERNAL` for invalid base64.
pub fn decode_body(body: &str) -> Result<Bytes, Status> {
    BASE64.decode(body).map(Bytes::from).map_err(|error| garbled(format_args!("the body: {error}")))
}

/// Serializes an envelope if it is within [`MAX_PAYLOAD`]. `what` names it in the error.
///
/// # Errors
/// `RESOURCE_EXHAUSTED` if it is too large.
pub fn write(envelope: &impl Serialize, what: &str) -> Result<Vec<u8>, Status> {
    let payload =
        serde_json::to_vec(envelope).map_err(|error| Status::internal(format!("{what}: {error}")))?;
    if payload.len() > MAX_PAYLOAD {
        return Err(Status::resource_exhausted(format!(
            "{what} has {} bytes as an envelope; Lambda takes at most {MAX_PAYLOAD}",
            payload.len()
        )));
    }
    Ok(payload)
}

/// Status for an unreadable envelope.
pub fn garbled(what: impl std::fmt::Display) -> Status {
    Status::internal(format!("the envelope is garbled: {what}"))
}
