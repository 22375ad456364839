//! Signatures of calls over sockets. A function on a socket believes the caller's identity in the metadata only if
//! it is signed with the secret that the functions share, `CALLERS_SECRET`.
//!
//! The signature covers all that decides about a call: the method, the caller, the deadline, the request ID and
//! the body. `docs/protocol/identity.md` has the format.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use http::{HeaderMap, HeaderValue};
use ring::digest::{self, SHA256};
use ring::hmac;
use tokio::sync::OnceCell;
use tonic::Status;

use super::metadata;
use crate::error::Error;
use crate::runtime::context::DEFAULT_TIMEOUT;
use crate::runtime::secrets::{Secret, SecretSource};
use crate::values::clock::Timestamp;

/// Metadata entry with the signature.
pub(super) const SIGNATURE: &str = "oms-signature";

/// Version of the format: the beginning of a signature's value.
const VERSION: &str = "v1=";

/// First line of the signed text. No other text that is signed with a secret begins like this.
const CONTEXT: &str = "oms-signature-v1";

/// Metadata entries that are signed, in this order.
const SIGNED: [&str; 4] = [metadata::CALLER, metadata::FUNCTION, metadata::DEADLINE, metadata::REQUEST_ID];

/// Maximum time from the arrival of a call to its deadline: the default timeout, and a difference of the clocks. A
/// signature is good for no longer.
const MAX_AHEAD: std::time::Duration = std::time::Duration::from_secs(DEFAULT_TIMEOUT.as_secs() + 5);

/// Minimum length of a secret in bytes: that of the hash.
const MIN_SECRET: usize = 32;

/// Secret that functions on sockets share, to sign their calls and to check those of others. Clones share what is
/// fetched, at the first use.
#[derive(Clone)]
pub struct CallersSecret {
    source: Arc<dyn SecretSource>,
    /// Another secret that verifies, while the secret is exchanged.
    other: Option<Arc<dyn SecretSource>>,
    keys: Arc<OnceCell<Keys>>,
}

struct Keys {
    signs: hmac::Key,
    /// All keys that verify, the signing one included.
    verify: Vec<hmac::Key>,
}

impl CallersSecret {
    /// Creates it; the secret is fetched later. `other` verifies and does not sign.
    pub fn new(source: Arc<dyn SecretSource>, other: Option<Arc<dyn SecretSource>>) -> Self {
        Self { source, other, keys: Arc::default() }
    }

    /// Rule for the secret.
    ///
    /// # Errors
    /// Message that does not repeat the secret.
    pub fn check(text: &str) -> Result<(), String> {
        if text.len() >= MIN_SECRET {
            Ok(())
        } else {
            Err(format!("must have at least {MIN_SECRET} bytes; `openssl rand -hex 32` makes one"))
        }
    }

    async fn keys(&self) -> Result<&Keys, Error> {
        let fetch = async || {
            // One after the other: were the previous one read first, a rotation in between would hide the one
            // that signs at this moment.
            let current = self.source.current().await?;
            let mut further = vec![self.source.previous().await?];
            if let Some(other) = &self.other {
                further.push(Some(other.current().await?));
            }
            // A secret that is too short has signed nothing.
            let further = further.into_iter().flatten().filter(|it| Self::check(it.expose()).is_ok());
            let key = |secret: Secret| hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
            let signs = key(current);
            Ok(Keys { verify: std::iter::once(signs.clone()).chain(further.map(key)).collect(), signs })
        };
        self.keys.get_or_try_init(fetch).await
    }

    /// Signs a call that names its caller.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the secret cannot be fetched.
    pub(super) async fn sign(&self, path: &str, headers: &mut HeaderMap, body: &[u8]) -> Result<(), Status> {
        if !headers.contains_key(metadata::CALLER) {
            return Ok(());
        }
        let tag = hmac::sign(&self.keys().await?.signs, &signed_text(path, headers, body));
        let value = HeaderValue::try_from(format!("{VERSION}{}", BASE64.encode(tag)));
        headers.insert(SIGNATURE, value.map_err(|error| Status::internal(error.to_string()))?);
        Ok(())
    }

    /// Checks the signature of a call that was received whole.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` unless one of the secrets has made it. `UNAVAILABLE` if they cannot be fetched.
    pub(super) async fn verify(
        &self,
        Signature(tag): &Signature,
        path: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(), Status> {
        let text = signed_text(path, headers, body);
        // Compares in constant time. Which of the secrets has signed is no secret.
        if self.keys().await?.verify.iter().any(|key| hmac::verify(key, &text, tag).is_ok()) {
            Ok(())
        } else {
            Err(Status::unauthenticated("the signature of the call does not match"))
        }
    }
}

/// Signature as sent, not checked yet.
pub(super) struct Signature(Vec<u8>);

impl Signature {
    /// Reads the signature of a call, and checks its form and the deadline: before the body is read.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` for a call that no function sends.
    pub(super) fn read(headers: &HeaderMap, now: Timestamp) -> Result<Self, Status> {
        let refused = |why: &str| Err(Status::unauthenticated(why));
        for name in SIGNED.into_iter().chain([SIGNATURE]) {
            if headers.get_all(name).iter().count() > 1 {
                return refused("the metadata names a caller, a deadline, a request ID or a signature twice");
            }
        }
        let Some(value) = headers.get(SIGNATURE) else {
            return refused("the caller in the metadata is not signed");
        };
        let Some(tag) = value.to_str().ok().and_then(|value| value.strip_prefix(VERSION)) else {
            return refused("the signature of the call has an unknown version; this one is v1");
        };
        let Some(tag) = BASE64.decode(tag).ok().filter(|tag| tag.len() == SHA256.output_len()) else {
            return refused("the signature of the call is not a hash in base64url");
        };
        match metadata::absolute_deadline(headers) {
            None => refused("a signed call must have a deadline"),
            Some(deadline) if deadline > now.after(MAX_AHEAD) => {
                refused("the deadline of the call is too far ahead")
            }
            Some(_) => Ok(Self(tag)),
        }
    }
}

/// Text that is signed: a line for each part. No part has a line feed.
fn signed_text(path: &str, headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    let mut text = [CONTEXT, "\n", path].concat().into_bytes();
    for name in SIGNED {
        text.push(b'\n');
        text.extend_from_slice(headers.get(name).map_or(&[][..], HeaderValue::as_bytes));
    }
    text.push(b'\n');
    text.extend_from_slice(BASE64.encode(digest::digest(&SHA256, body)).as_bytes());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/oms.users.v1.UserService/GetUser";
    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    const SECRET: &str = "a secret of the tests, 32 bytes or more";
    const OTHER: &str = "another secret of the tests, 32 bytes or more";

    fn secret(text: &str) -> CallersSecret {
        CallersSecret::new(Arc::new(Secret::new(text)), None)
    }

    fn both(signs: &str, other: &str) -> CallersSecret {
        CallersSecret::new(Arc::new(Secret::new(signs)), Some(Arc::new(Secret::new(other))))
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    fn call() -> HeaderMap {
        headers(&[
            ("oms-caller", "system"),
            ("oms-caller-function", "orders"),
            ("oms-deadline", "1800000010000"),
            ("x-request-id", "Order-7_a.b"),
        ])
    }

    async fn signed() -> HeaderMap {
        let mut headers = call();
        secret(SECRET).sign(PATH, &mut headers, b"body").await.unwrap();
        headers
    }

    async fn verdict(
        secret: &CallersSecret,
        path: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(), Status> {
        let signature = Signature::read(headers, NOW)?;
        secret.verify(&signature, path, headers, body).await
    }

    #[tokio::test]
    async fn the_signature_is_the_documented_one() {
        let text = "oms-signature-v1\n/oms.users.v1.UserService/GetUser\nsystem\norders\n1800000010000\n\
                    Order-7_a.b\nIw2DWNyOiJC0xY3utikS7i8gNXrpKlzIYbmOaP4xrLU";
        assert_eq!(String::from_utf8(signed_text(PATH, &call(), b"body")).unwrap(), text);
        let value = signed().await[SIGNATURE].clone();
        assert_eq!(value, "v1=IEoA8n3M8OXs6j6irsV5eWpXDHNPehqKOJVxSjw_Joc");
    }

    #[tokio::test]
    async fn any_change_of_a_signed_part_is_noticed() {
        let (secret, good) = (secret(SECRET), signed().await);
        verdict(&secret, PATH, &good, b"body").await.unwrap();
        let code = async |path: &str, headers: &HeaderMap, body: &[u8]| {
            verdict(&secret, path, headers, body).await.unwrap_err().code()
        };
        for path in ["/oms.users.v1.UserService/GetUse", "/oms.users.v1.UserService/ListUsers", "/", ""] {
            assert_eq!(code(path, &good, b"body").await, tonic::Code::Unauthenticated, "{path}");
        }
        for body in [&b""[..], b"bod", b"body\0", b"Body"] {
            assert_eq!(code(PATH, &good, body).await, tonic::Code::Unauthenticated, "{body:?}");
        }
        for (name, value) in [
            ("oms-caller", "System"),
            ("oms-caller-function", "products"),
            ("oms-caller-function", ""),
            ("oms-deadline", "1800000010001"),
            ("oms-deadline", "+1800000010000"),
            ("x-request-id", "Order-7_a.c"),
        ] {
            let mut changed = good.clone();
            changed.insert(name, value.parse().unwrap());
            assert_eq!(code(PATH, &changed, b"body").await, tonic::Code::Unauthenticated, "{name}: {value}");
        }
        for name in SIGNED {
            let mut without = good.clone();
            without.remove(name);
            assert_eq!(code(PATH, &without, b"body").await, tonic::Code::Unauthenticated, "without {name}");
            let mut twice = good.clone();
            twice.append(name, good[name].clone());
            assert_eq!(code(PATH, &twice, b"body").await, tonic::Code::Unauthenticated, "{name} twice");
        }
    }

    #[tokio::test]
    async fn a_value_cannot_move_from_one_part_to_the_next() {
        let secret = secret(SECRET);
        let mut good = headers(&[("oms-caller", "system"), ("oms-deadline", "1800000010000")]);
        secret.sign(PATH, &mut good, b"").await.unwrap();
        let mut moved = headers(&[
            ("oms-caller", "system"),
            ("oms-caller-function", "1800000010000"),
            ("oms-deadline", "1800000010000"),
        ]);
        moved.insert(SIGNATURE, good[SIGNATURE].clone());
        verdict(&secret, PATH, &moved, b"").await.unwrap_err();
    }

    #[tokio::test]
    async fn a_signature_of_another_form_is_refused() {
        let (secret, good) = (secret(SECRET), signed().await);
        let value = good[SIGNATURE].to_str().unwrap().to_owned();
        for bad in [
            String::new(),
            "v1=".to_owned(),
            value.replace("v1=", "v2="),
            value.replace("v1=", ""),
            value.replace("v1=", "V1="),
            value[..value.len() - 1].to_owned(),
            format!("{value}="),
            format!("{value}A"),
            format!("{value} "),
            format!("{value},{value}"),
            "v1=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned(),
            format!("v1={}", "A".repeat(100_000)),
        ] {
            let mut changed = good.clone();
            changed.insert(SIGNATURE, HeaderValue::from_str(&bad).unwrap());
            let status = verdict(&secret, PATH, &changed, b"body").await.unwrap_err();
            assert_eq!(status.code(), tonic::Code::Unauthenticated, "{bad:.80}");
            assert!(!status.message().contains(SECRET), "{status:?}");
        }
    }

    #[tokio::test]
    async fn a_deadline_may_be_thirty_seconds_ahead_and_no_more() {
        let secret = secret(SECRET);
        for (deadline, is_good) in [
            ("1800000030000", true),
            ("1800000030001", false),
            ("9223372036854775807", false),
            ("soon", false),
        ] {
            let mut headers = headers(&[("oms-caller", "system"), ("oms-deadline", deadline)]);
            secret.sign(PATH, &mut headers, b"").await.unwrap();
            assert_eq!(verdict(&secret, PATH, &headers, b"").await.is_ok(), is_good, "{deadline}");
        }
        let mut without = headers(&[("oms-caller", "system")]);
        secret.sign(PATH, &mut without, b"").await.unwrap();
        verdict(&secret, PATH, &without, b"").await.unwrap_err();
    }

    #[tokio::test]
    async fn secrets_are_exchanged_without_a_refused_call() {
        // Each step is done everywhere before the next one.
        let steps = [secret(SECRET), both(SECRET, OTHER), both(OTHER, SECRET), secret(OTHER)];
        for pair in steps.windows(2) {
            for (signs, verifies) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
                let mut headers = call();
                signs.sign(PATH, &mut headers, b"body").await.unwrap();
                verdict(verifies, PATH, &headers, b"body").await.unwrap();
            }
        }
        let mut headers = call();
        secret(OTHER).sign(PATH, &mut headers, b"body").await.unwrap();
        verdict(&secret(SECRET), PATH, &headers, b"body").await.unwrap_err();
    }

    #[tokio::test]
    async fn the_previous_secret_of_a_store_verifies_and_does_not_sign() {
        struct Stored;
        impl SecretSource for Stored {
            fn current(&self) -> futures::future::BoxFuture<'_, Result<Secret, Error>> {
                Box::pin(async { Ok(Secret::new(OTHER)) })
            }
            fn previous(&self) -> futures::future::BoxFuture<'_, Result<Option<Secret>, Error>> {
                Box::pin(async { Ok(Some(Secret::new(SECRET))) })
            }
        }
        let stored = CallersSecret::new(Arc::new(Stored), None);
        verdict(&stored, PATH, &signed().await, b"body").await.unwrap();
        let mut headers = call();
        stored.sign(PATH, &mut headers, b"body").await.unwrap();
        verdict(&secret(OTHER), PATH, &headers, b"body").await.unwrap();
        verdict(&secret(SECRET), PATH, &headers, b"body").await.unwrap_err();
    }

    #[tokio::test]
    async fn a_call_that_names_no_caller_is_not_signed() {
        let mut headers = headers(&[("oms-deadline", "1800000010000")]);
        secret(SECRET).sign(PATH, &mut headers, b"body").await.unwrap();
        assert!(!headers.contains_key(SIGNATURE));
    }

    #[test]
    fn a_secret_has_thirty_two_bytes_or_more() {
        CallersSecret::check(&"x".repeat(32)).unwrap();
        for secret in [String::new(), "x".repeat(31)] {
            let problem = CallersSecret::check(&secret).unwrap_err();
            assert!(problem.starts_with("must have") && !problem.contains("xx"), "{problem}");
        }
    }

    #[tokio::test]
    async fn another_secret_that_is_too_short_verifies_nothing() {
        let mut headers = call();
        secret("short").sign(PATH, &mut headers, b"body").await.unwrap();
        verdict(&both(SECRET, "short"), PATH, &headers, b"body").await.unwrap_err();
    }
}
