//! Idempotency keys: a client sends `Idempotency-Key`, so that a repeated request takes effect once.
//!
//! A function stores the key of a request and a fingerprint of its input. They are kept on the resource that the
//! request created, or in [`key_store`]. A request without the header has the ID of its invocation as its key. So an
//! event that runs again has one effect, too.

use std::io;

use axum::extract::{FromRequest, Request};
use axum::response::Response;
use http::HeaderValue;
use prost::Message;
use ring::digest::{self, SHA256};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tonic::metadata::MetadataMap;

use crate::error::{Error, Kind};
use crate::http::routes::{RouteSpec, require_declared};
use crate::input::json;
use crate::runtime::context::{Context, InvocationId};

pub mod key_store;

const HEADER: &str = "idempotency-key";

/// Header of a response to a repeated request.
const REPLAYED: &str = "idempotency-replayed";

/// The longest key.
pub const MAX_KEY: usize = 255;

/// Name of one request. A client's has 1 to 255 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Parses the value of the header.
    ///
    /// # Errors
    /// 400 for any other bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        match std::str::from_utf8(bytes) {
            Ok(text)
                if (1..=MAX_KEY).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_graphic()) =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(Error::new(
                Kind::MalformedRequest,
                format!("`Idempotency-Key` must have 1 to {MAX_KEY} visible ASCII characters, no spaces."),
            )),
        }
    }

    /// Key of a request whose client sent none. It has a space, so it never equals a client's key.
    fn of_invocation(id: InvocationId) -> Self {
        Self(format!("invocation {}", id.uuid().simple()))
    }

    /// Reads a stored key, whatever today's rule is.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    fn from_values<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Result<Option<Self>, Error> {
        let key = values.next().map(Self::parse).transpose()?;
        if values.next().is_some() {
            return Err(Error::new(Kind::MalformedRequest, "Send one `Idempotency-Key`, not several."));
        }
        Ok(key)
    }

    /// Text of the key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// SHA-256 of the input of a request, which detects another request with the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestFingerprint([u8; 32]);

impl RequestFingerprint {
    /// Fingerprint of a JSON value: the order of keys and white space do not matter.
    ///
    /// The fields `without` are left out at the top level.
    pub fn of_json(body: &Value, without: &[&str]) -> Self {
        let mut canonical = Canonical { hash: digest::Context::new(&SHA256), entries: Vec::new() };
        match body {
            Value::Object(fields) => {
                canonical.object(fields.iter().filter(|(name, _)| !without.contains(&name.as_str())));
            }
            other => canonical.value(other),
        }
        Self::finish(canonical.hash)
    }

    /// Fingerprint of a protobuf message. It never equals that of a body.
    pub fn of_message(message: &impl Message) -> Self {
        let mut hash = digest::Context::new(&SHA256);
        hash.update(b"protobuf ");
        hash.update(&message.encode_to_vec());
        Self::finish(hash)
    }

    /// Fingerprint of a request whose key is its invocation: the same event has the same input.
    fn of_invocation() -> Self {
        Self([0; 32])
    }

    /// Reads a stored fingerprint. No request has one of another length.
    pub fn from_stored(bytes: &[u8]) -> Self {
        Self(bytes.try_into().unwrap_or([u8::MAX; 32]))
    }

    /// Bytes to store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn finish(hash: digest::Context) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(hash.finish().as_ref());
        Self(bytes)
    }
}

/// Digest of a JSON value in an unambiguous form. The depth is limited when the body is read.
struct Canonical<'a> {
    hash: digest::Context,
    /// Entries of the objects that the value lies in, those of each sorted by their names.
    entries: Vec<(&'a str, &'a Value)>,
}

impl<'a> Canonical<'a> {
    fn value(&mut self, value: &'a Value) {
        match value {
            Value::Array(elements) => {
                self.hash.update(b"[");
                for element in elements {
                    self.value(element);
                    self.hash.update(b",");
                }
                self.hash.update(b"]");
            }
            Value::Object(fields) => self.object(fields.iter()),
            // Numbers, strings with their quotes and escapes, true, false and null.
            scalar => self.scalar(scalar),
        }
    }

    fn object(&mut self, fields: impl Iterator<Item = (&'a String, &'a Value)>) {
        let first = self.entries.len();
        self.entries.extend(fields.map(|(name, value)| (name.as_str(), value)));
        self.entries[first..].sort_unstable_by_key(|(name, _)| *name);
        self.hash.update(b"{");
        for place in first..self.entries.len() {
            let (name, value) = self.entries[place];
            self.scalar(name);
            self.hash.update(b":");
            self.value(value);
            self.hash.update(b",");
        }
        self.hash.update(b"}");
        self.entries.truncate(first);
    }

    fn scalar(&mut self, scalar: &(impl Serialize + ?Sized)) {
        // A digest takes all bytes, and a scalar can be written.
        let _ = serde_json::to_writer(Hashing(&mut self.hash), scalar);
    }
}

/// Writer into a digest.
struct Hashing<'a>(&'a mut digest::Context);

impl io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Key of a request, with the fingerprint of its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// Key that the client sent, or that of the invocation.
    pub key: IdempotencyKey,
    /// Fingerprint of the input.
    pub fingerprint: RequestFingerprint,
    /// Sender of the key.
    pub origin: KeyOrigin,
}

/// Sender of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOrigin {
    /// The client sent it, and may send it again.
    Client,
    /// The client sent none. Only the same event can come with it again.
    Invocation,
}

impl RequestKey {
    /// Key of a client, with the fingerprint of its request.
    pub fn of_client(key: IdempotencyKey, fingerprint: RequestFingerprint) -> Self {
        Self { key, fingerprint, origin: KeyOrigin::Client }
    }

    /// Key of a request whose client sent none.
    pub fn of_invocation(id: InvocationId) -> Self {
        Self {
            key: IdempotencyKey::of_invocation(id),
            fingerprint: RequestFingerprint::of_invocation(),
            origin: KeyOrigin::Invocation,
        }
    }

    /// Key of a call. `message` is its message without secrets.
    ///
    /// # Errors
    /// 400 for a key that is not allowed.
    pub fn of_call(context: &Context, metadata: &MetadataMap, message: &impl Message) -> Result<Self, Error> {
        let values = metadata.get_all(HEADER);
        let key = IdempotencyKey::from_values(
            values.iter().map(tonic::metadata::AsciiMetadataValue::as_encoded_bytes),
        )?;
        Ok(match key {
            Some(key) => Self::of_client(key, RequestFingerprint::of_message(message)),
            None => Self::of_invocation(context.invocation),
        })
    }

    /// Fingerprint to store with the effect of a client's key. A request without a key has none.
    pub fn stored_fingerprint(&self) -> Option<RequestFingerprint> {
        (self.origin == KeyOrigin::Client).then_some(self.fingerprint)
    }

    /// Key within its place: method and path of the request, or the path of the gRPC method.
    pub fn sent_to(self, place: impl Into<String>) -> ScopedKey {
        ScopedKey { request_key: self, place: place.into() }
    }

    /// Error 422 for a key that was used for another request.
    pub fn reused() -> Error {
        Error::new(
            Kind::IdempotencyKeyReused,
            "This `Idempotency-Key` was used with another body. Use a new key for a new request.",
        )
    }
}

/// Key of a request, and the place that it was sent to.
#[derive(Clone, Debug)]
pub struct ScopedKey {
    request_key: RequestKey,
    place: String,
}

impl ScopedKey {
    /// Key as this caller uses it. Keys of different callers never collide.
    pub fn by(&self, caller: &str) -> KeyRecord {
        let mut hash = digest::Context::new(&SHA256);
        // No part has a line break, so different parts never give the same bytes.
        for part in [caller, &self.place, self.request_key.key.as_str()] {
            hash.update(part.as_bytes());
            hash.update(b"\n");
        }
        let RequestFingerprint(id) = RequestFingerprint::finish(hash);
        KeyRecord { id, fingerprint: self.request_key.fingerprint, origin: self.request_key.origin }
    }
}

/// Entry that is stored for a key: its ID and the fingerprint of the request.
#[derive(Clone, Copy, Debug)]
pub struct KeyRecord {
    /// SHA-256 of caller, place and key.
    id: [u8; 32],
    fingerprint: RequestFingerprint,
    /// Sender of the key.
    pub origin: KeyOrigin,
}

/// Body that may be sent with a key.
pub trait Fingerprinted {
    /// Fields that a fingerprint leaves out, since nothing derived from them may be stored.
    const SECRET: &'static [&'static str] = &[];
}

/// JSON body of a request and its key, as an extractor.
#[derive(Debug)]
pub struct IdempotentJson<T>(pub T, pub RequestKey);

impl<S: Sync, T: DeserializeOwned + Fingerprinted> FromRequest<S> for IdempotentJson<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        let (parts, body) = request.into_parts();
        let is_declared = |row: &RouteSpec| row.request_body.is_some() && row.idempotent;
        require_declared(&parts.extensions, "a body with an `Idempotency-Key`", is_declared)?;
        let invocation =
            parts.extensions.get::<Context>().map_or_else(InvocationId::new, |context| context.invocation);
        let bytes = json::read(&parts.headers, body).await?;
        let key =
            IdempotencyKey::from_values(parts.headers.get_all(HEADER).iter().map(HeaderValue::as_bytes))?;
        let value = json::parse_value(&bytes)?;
        let form = json::parse_form(&value)?;
        let request_key = match key {
            Some(key) => RequestKey::of_client(key, RequestFingerprint::of_json(&value, T::SECRET)),
            None => RequestKey::of_invocation(invocation),
        };
        Ok(Self(form, request_key))
    }
}

/// Result of a request, which may have run before.
#[derive(Clone, Debug, PartialEq)]
pub enum Idempotent<T> {
    /// This request took effect.
    Created(T),
    /// An earlier request with the same key took effect; its resource as it stands now.
    Replayed(T),
}

impl<T> Idempotent<T> {
    /// Result of an earlier run of the request with this key. A client that sent no key repeated nothing.
    pub fn replayed(resource: T, origin: KeyOrigin) -> Self {
        match origin {
            KeyOrigin::Client => Self::Replayed(resource),
            KeyOrigin::Invocation => Self::Created(resource),
        }
    }

    fn into_parts(self) -> (T, bool) {
        match self {
            Self::Created(resource) => (resource, false),
            Self::Replayed(resource) => (resource, true),
        }
    }

    /// HTTP response for the resource; a replay carries `Idempotency-Replayed: true`.
    pub fn into_response(self, show: impl FnOnce(T) -> Response) -> Response {
        let (resource, replayed) = self.into_parts();
        let mut response = show(resource);
        if replayed {
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }

    /// gRPC response for the resource; a replay carries the same metadata.
    pub fn into_rpc<M>(self, message: impl FnOnce(T) -> M) -> tonic::Response<M> {
        let (resource, replayed) = self.into_parts();
        let mut response = tonic::Response::new(message(resource));
        if replayed {
            response.metadata_mut().insert(REPLAYED, tonic::metadata::MetadataValue::from_static("true"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_has_1_to_255_visible_ascii_characters() {
        for good in ["a", "3f2b!~", &"x".repeat(255)] {
            assert_eq!(IdempotencyKey::parse(good.as_bytes()).unwrap().as_str(), good);
        }
        for bad in ["", " ", "a b", "a\tb", "ü", &"x".repeat(256)] {
            assert_eq!(
                IdempotencyKey::parse(bad.as_bytes()).unwrap_err().kind(),
                Kind::MalformedRequest,
                "{bad:?}"
            );
        }
        assert!(IdempotencyKey::parse(b"\xff").is_err());
    }

    #[test]
    fn two_keys_are_refused() {
        assert!(IdempotencyKey::from_values([&b"a"[..], b"a"].into_iter()).is_err());
        assert_eq!(IdempotencyKey::from_values(std::iter::empty()).unwrap(), None);
    }

    #[test]
    fn a_request_without_a_key_is_known_by_its_invocation() {
        let id = InvocationId::new();
        let key = RequestKey::of_invocation(id);
        assert_eq!(key, RequestKey::of_invocation(id));
        assert_ne!(key.key, RequestKey::of_invocation(InvocationId::new()).key);
        // No client can send it.
        assert!(IdempotencyKey::parse(key.key.as_str().as_bytes()).is_err());
    }

    #[test]
    fn another_caller_place_or_key_is_another_record() {
        let key_record = |caller: &str, place: &str, key: &str| {
            let fingerprint = RequestFingerprint::of_json(&json!({}), &[]);
            let request_key =
                RequestKey::of_client(IdempotencyKey::parse(key.as_bytes()).unwrap(), fingerprint);
            request_key.sent_to(place).by(caller).id
        };
        let one = key_record("ada", "POST /products", "k");
        assert_eq!(one, key_record("ada", "POST /products", "k"));
        for other in [
            key_record("bob", "POST /products", "k"),
            key_record("ada", "POST /users", "k"),
            key_record("ada", "POST /products", "K"),
            key_record("adaP", "OST /products", "k"),
            key_record("ada", "POST /productsk", "k"),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn equal_json_values_have_equal_fingerprints() {
        let of = |text: &str| RequestFingerprint::of_json(&serde_json::from_str(text).unwrap(), &[]);
        assert_eq!(of(r#"{"a": 1, "b": [true, "x"]}"#), of(r#"{"b":[true,"\u0078"],"a":1}"#));
    }

    /// Keys are stored with fingerprints: those of another build must be the same.
    #[test]
    fn a_fingerprint_stays_the_same_from_build_to_build() {
        for (body, digest) in [
            (
                r#"{"c\"d": 0, "b": {"y": "\"\\\n\u0001\u00e9/", "x": ""}, "a": [1, -7, 12.5, 1e30, true, false, null]}"#,
                "befc62db40f1cc177494a732beca8e64f8557b4c9a3800b6ca91661f6f144233",
            ),
            (r#"{}"#, "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"),
            (r#"[[], {}, "x"]"#, "7aa2a684bd7ac0880b06c143f550a62bd19b0483a0721ae06ac749102a2df73a"),
            (r#""x""#, "ba2df4903a2c14e86dc3bcca58911b44ac1d2514b7227bf6eb08cfb978f55a1b"),
        ] {
            let fingerprint =
                RequestFingerprint::of_json(&serde_json::from_str(body).unwrap(), &["password"]);
            let hex: String = fingerprint.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, digest, "{body}");
        }
    }

    #[test]
    fn different_json_values_have_different_fingerprints() {
        let values = [
            json!({}),
            json!({ "a": null }),
            json!({ "a": 1 }),
            json!({ "a": "1" }),
            json!({ "a": [1] }),
            json!({ "a": [[1]] }),
            json!({ "a": [1, 2] }),
            json!({ "a": ["1,2"] }),
            json!({ "a": [12] }),
            json!({ "a": { "1": 2 } }),
            json!({ "a": 1, "b": 2 }),
            json!({ "a": "1,\"b\":2" }),
        ];
        for (place, one) in values.iter().enumerate() {
            for other in &values[place + 1..] {
                assert_ne!(
                    RequestFingerprint::of_json(one, &[]),
                    RequestFingerprint::of_json(other, &[]),
                    "{one} {other}"
                );
            }
        }
    }

    #[test]
    fn what_is_secret_is_left_out_at_the_top_alone() {
        let of = |value: Value| RequestFingerprint::of_json(&value, &["password"]);
        assert_eq!(of(json!({ "a": 1, "password": "x" })), of(json!({ "a": 1, "password": "y" })));
        assert_ne!(of(json!({ "a": { "password": "x" } })), of(json!({ "a": { "password": "y" } })));
    }
}
