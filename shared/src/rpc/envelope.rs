//! JSON envelope of a gRPC call: path, headers and the framed message in base64. The answer has status,
//! headers, message and trailers.
//!
//! Envelopes are written from what they carry into one buffer of their length, and read in one pass. `pairs` has the
//! headers between them.

use std::borrow::Cow;
use std::io;

use base64::Engine as _;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use serde::{Deserialize, Serialize, Serializer};
use tonic::Status;
use tonic::metadata::MetadataMap;

pub(crate) use pairs::Pairs;

mod pairs;

/// Maximum payload of Lambda's Invoke API in either direction: 6 MB, envelope and base64 included.
pub const MAX_PAYLOAD: usize = 6 * 1024 * 1024;

/// Call of a gRPC client.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Path of the method: `/package.Service/Method`.
    pub path: &'a str,
    /// Metadata; names may repeat.
    pub headers: &'a HeaderMap,
    /// Framed messages.
    pub body: &'a [u8],
}

/// Answer of a gRPC server.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status: 200 even if `grpc-status` reports a failure.
    pub status: StatusCode,
    /// Metadata; contains `grpc-status` if the answer has no message.
    pub headers: HeaderMap,
    /// Framed messages.
    pub body: Bytes,
    /// `grpc-status` and the metadata after a message.
    pub trailers: HeaderMap,
}

impl Call<'_> {
    /// Writes the envelope. Header values that are not ASCII are dropped, as gRPC allows none.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` if it is larger than [`MAX_PAYLOAD`].
    pub fn write(&self) -> Result<Vec<u8>, Status> {
        let length = self.check()?;
        written(&self.envelope(self.body), length).map_err(failed)
    }

    /// Checks the length of the envelope, and returns it.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` if it is larger than [`MAX_PAYLOAD`].
    pub(super) fn check(&self) -> Result<usize, Status> {
        let length = length(&self.envelope(&[]), self.body).map_err(failed)?;
        within_limit(length, "the request")
    }

    fn envelope<'a>(&'a self, body: &'a [u8]) -> Envelope<WrittenCall<'a>> {
        Envelope {
            grpc: WrittenCall { path: self.path, headers: Written(self.headers), body: Encoded(body) },
        }
    }
}

/// Reads a call.
///
/// # Errors
/// `INTERNAL` for an unreadable envelope.
pub fn read_call(payload: &[u8]) -> Result<Request<Bytes>, Status> {
    let CallEnvelope { grpc: call } = serde_json::from_slice(payload).map_err(garbled)?;
    let headers = call.headers.into_headers()?;
    let body = decoded(&call.body)?;
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::try_from(call.path.into_owned()).map_err(garbled)?;
    *request.headers_mut() = headers;
    Ok(request)
}

impl Answer {
    /// Writes the envelope. Header values that are not ASCII are dropped, as gRPC allows none.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` if it is larger than [`MAX_PAYLOAD`].
    pub fn write(&self) -> Result<Vec<u8>, Status> {
        let length = length(&self.envelope(&[]), &self.body).map_err(failed)?;
        within_limit(length, "the answer")?;
        written(&self.envelope(&self.body), length).map_err(failed)
    }

    /// Writes the envelope of an answer without a message, whatever its length is.
    pub(super) fn write_unlimited(&self) -> Vec<u8> {
        written(&self.envelope(&self.body), 0).unwrap_or_default()
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// `INTERNAL` for an unreadable envelope.
    pub fn read(payload: &[u8]) -> Result<Self, Status> {
        let AnswerEnvelope { grpc: answer } = serde_json::from_slice(payload).map_err(garbled)?;
        Ok(Self {
            status: StatusCode::from_u16(answer.status).map_err(garbled)?,
            headers: answer.headers.into_headers()?,
            body: decoded(&answer.body)?,
            trailers: answer.trailers.into_headers()?,
        })
    }

    fn envelope<'a>(&'a self, body: &'a [u8]) -> Envelope<WrittenAnswer<'a>> {
        Envelope {
            grpc: WrittenAnswer {
                status: self.status.as_u16(),
                headers: Written(&self.headers),
                body: Encoded(body),
                trailers: Written(&self.trailers),
            },
        }
    }
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

/// Status for an unreadable envelope.
pub fn garbled(what: impl std::fmt::Display) -> Status {
    Status::internal(format!("the envelope is garbled: {what}"))
}

/// Envelope that is written.
#[derive(Serialize)]
struct Envelope<T> {
    grpc: T,
}

/// Envelope of a call that is read. Its only key `grpc` distinguishes it from all other events: API Gateway sends its
/// own keys at the top, and puts the client's data inside `body`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallEnvelope<'a> {
    #[serde(borrow)]
    grpc: ReadCall<'a>,
}

/// Envelope of an answer that is read.
#[derive(Deserialize)]
struct AnswerEnvelope<'a> {
    #[serde(borrow)]
    grpc: ReadAnswer<'a>,
}

#[derive(Serialize)]
struct WrittenCall<'a> {
    path: &'a str,
    headers: Written<'a>,
    body: Encoded<'a>,
}

#[derive(Deserialize)]
struct ReadCall<'a> {
    #[serde(borrow)]
    path: Cow<'a, str>,
    #[serde(borrow)]
    headers: Pairs<'a>,
    #[serde(borrow)]
    body: Cow<'a, str>,
}

#[derive(Serialize)]
struct WrittenAnswer<'a> {
    status: u16,
    headers: Written<'a>,
    body: Encoded<'a>,
    trailers: Written<'a>,
}

#[derive(Deserialize)]
struct ReadAnswer<'a> {
    status: u16,
    #[serde(borrow)]
    headers: Pairs<'a>,
    #[serde(borrow)]
    body: Cow<'a, str>,
    #[serde(borrow)]
    trailers: Pairs<'a>,
}

/// Headers as pairs.
struct Written<'a>(&'a HeaderMap);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pairs = self.0.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        serializer.collect_seq(pairs)
    }
}

/// Framed messages in base64.
struct Encoded<'a>(&'a [u8]);

impl Serialize for Encoded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &BASE64))
    }
}

fn decoded(body: &str) -> Result<Bytes, Status> {
    BASE64.decode(body).map(Bytes::from).map_err(|error| garbled(format_args!("the body: {error}")))
}

/// Length of an envelope, given without its body, with this one.
fn length(without_body: &impl Serialize, body: &[u8]) -> serde_json::Result<usize> {
    let mut counted = Counted(0);
    serde_json::to_writer(&mut counted, without_body)?;
    let Counted(length) = counted;
    Ok(length.saturating_add(base64::encoded_len(body.len(), true).unwrap_or(usize::MAX)))
}

fn within_limit(length: usize, what: &str) -> Result<usize, Status> {
    if length > MAX_PAYLOAD {
        return Err(Status::resource_exhausted(format!(
            "{what} has {length} bytes as an envelope; Lambda takes at most {MAX_PAYLOAD}"
        )));
    }
    Ok(length)
}

fn written(envelope: &impl Serialize, length: usize) -> serde_json::Result<Vec<u8>> {
    let mut payload = Vec::with_capacity(length);
    serde_json::to_writer(&mut payload, envelope)?;
    Ok(payload)
}

fn failed(error: serde_json::Error) -> Status {
    Status::internal(format!("the envelope cannot be written: {error}"))
}

/// Writer that counts bytes alone.
struct Counted(usize);

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    const CALL: &str = r#"{"grpc":{"path":"/a.B/C","headers":[["te","trailers"],["x-a","say \"a\\b\""],["x-a","2"]],"body":"AAH+/w=="}}"#;

    const ANSWER: &str = r#"{"grpc":{"status":200,"headers":[["content-type","application/grpc"]],"body":"","trailers":[["grpc-status","0"]]}}"#;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    /// Functions of another build read and write the same text.
    #[test]
    fn an_envelope_is_this_text_both_ways() {
        let mut call = HeaderMap::new();
        for (name, value) in [("te", "trailers"), ("x-a", r#"say "a\b""#), ("x-a", "2")] {
            call.append(name, HeaderValue::from_static(value));
        }
        let payload = Call { path: "/a.B/C", headers: &call, body: b"\0\x01\xfe\xff" }.write().unwrap();
        assert_eq!(String::from_utf8(payload).unwrap(), CALL);
        let read = read_call(CALL.as_bytes()).unwrap();
        assert_eq!(
            (read.uri().path(), read.headers(), &read.body()[..]),
            ("/a.B/C", &call, &b"\0\x01\xfe\xff"[..])
        );

        let (headers, trailers) =
            (headers(&[("content-type", "application/grpc")]), headers(&[("grpc-status", "0")]));
        let answer = Answer { status: StatusCode::OK, headers, body: Bytes::new(), trailers };
        assert_eq!(String::from_utf8(answer.write().unwrap()).unwrap(), ANSWER);
        assert_eq!(answer.write_unlimited(), ANSWER.as_bytes());
        let read = Answer::read(ANSWER.as_bytes()).unwrap();
        assert_eq!((read.headers, read.trailers), (answer.headers, answer.trailers));
    }

    #[test]
    fn an_envelope_is_written_into_a_buffer_of_its_length() {
        let headers = headers(&[("x-a", "\"tab\t\\\""), ("x-b", "")]);
        for length in 0..9 {
            let payload =
                Call { path: "/\"", headers: &headers, body: &b"12345678"[..length] }.write().unwrap();
            assert_eq!(payload.len(), payload.capacity());
        }
    }
}
