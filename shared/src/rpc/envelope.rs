//! The JSON envelope of a gRPC call: path, headers and the framed message in base64; back come status,
//! headers, message and trailers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use tonic::Status;
use tonic::metadata::MetadataMap;

/// The largest payload that Lambda's Invoke API takes, either way: 6 MB, envelope and base64 included.
pub const MAX_PAYLOAD: usize = 6 * 1024 * 1024;

/// A call. The one key `grpc` tells it from any other event that a function can get: what API Gateway
/// sends has keys of its own at the top, and what a client sends stands inside its `body`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallEnvelope {
    /// The call.
    pub grpc: Call,
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
pub struct AnswerEnvelope {
    /// The answer.
    pub grpc: Answer,
}

/// What a gRPC client sends.
#[derive(Debug, Serialize, Deserialize)]
pub struct Call {
    /// `/package.Service/Method`
    pub path: String,
    /// Metadata; names may repeat.
    pub headers: Vec<(String, String)>,
    /// Framed messages, in base64.
    pub body: String,
}

/// What a gRPC server answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The HTTP status: 200 even when `grpc-status` says that the call failed.
    pub status: u16,
    /// Metadata; an answer that is an error alone has its `grpc-status` here.
    pub headers: Vec<(String, String)>,
    /// Framed messages, in base64.
    pub body: String,
    /// `grpc-status` and the metadata that follows a message.
    pub trailers: Vec<(String, String)>,
}

/// Headers as pairs. Those that are no ASCII are left out: gRPC allows none.
pub fn to_pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect()
}

/// Pairs as headers.
///
/// # Errors
/// For a name or a value that no header can have.
pub fn from_pairs(pairs: &[(String, String)]) -> Result<HeaderMap, Status> {
    let mut headers = HeaderMap::try_with_capacity(pairs.len()).map_err(garbled)?;
    for (name, value) in pairs {
        let name: HeaderName =
            name.parse().map_err(|_| garbled(format_args!("{name:?} cannot be a header's name")))?;
        let value = HeaderValue::from_str(value)
            .map_err(|_| garbled(format_args!("the header {name} has a value that none can have")))?;
        headers.append(name, value);
    }
    readable(headers)
}

/// The headers or trailers of an answer, if tonic can read them.
///
/// # Errors
/// For details of a status that are not base64.
pub fn readable(headers: HeaderMap) -> Result<HeaderMap, Status> {
    let headers = MetadataMap::from_headers(headers);
    // tonic panics at details that it cannot decode.
    if headers.get_bin("grpc-status-details-bin").is_some_and(|details| details.to_bytes().is_err()) {
        return Err(garbled("the details of the status are not base64"));
    }
    Ok(headers.into_headers())
}

/// A body for the envelope.
pub fn encode_body(body: &[u8]) -> String {
    BASE64.encode(body)
}

/// A body out of the envelope.
///
/// # Errors
/// For what is not base64.
pub fn decode_body(body: &str) -> Result<Bytes, Status> {
    BASE64.decode(body).map(Bytes::from).map_err(|error| garbled(format_args!("the body: {error}")))
}

/// Writes an envelope, if Lambda would take it.
///
/// # Errors
/// `RESOURCE_EXHAUSTED` when it is too large.
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

/// An envelope that cannot be read.
pub fn garbled(what: impl std::fmt::Display) -> Status {
    Status::internal(format!("the envelope is garbled: {what}"))
}
