//! Calls to functions that listen on a socket: gRPC over HTTP/2 without TLS, many calls on one connection.

use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Request, StatusCode, Uri, Version, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tonic::Status;

use super::envelope::{self, Answer};
use super::signature::CallersSecret;

/// Shorter than any caller waits, which leaves time to report the failure or to retry.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Interval of pings. A connection whose peer vanished silently is detected after this and [`PING_TIMEOUT`].
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Function that listens at an address.
#[derive(Clone)]
pub struct Http2 {
    // hyper's pooled client instead of tonic's transport: one connection, found again after a restart, and
    // every failure is `UNAVAILABLE` in one place.
    client: Client<HttpConnector, Full<Bytes>>,
    authority: Authority,
    /// Signs calls of this function on its own behalf.
    callers: Option<CallersSecret>,
}

impl Http2 {
    /// Creates a client of the function at this address. Nothing is sent before the first call.
    pub fn new(authority: Authority) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let client = Client::builder(TokioExecutor::new())
            .http2_only(true)
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_keep_alive_while_idle(true)
            .build(connector);
        Self { client, authority, callers: None }
    }

    /// Signs calls with this secret.
    pub fn signed_with(self, callers: CallersSecret) -> Self {
        Self { callers: Some(callers), ..self }
    }

    /// Sends a call and reads the whole answer. So its size is bounded, and a broken transfer is reported
    /// here.
    pub(super) async fn send(&self, mut head: Parts, body: Bytes) -> Result<Answer, Status> {
        if let Some(callers) = &self.callers {
            callers.sign(head.uri.path(), &mut head.headers, &body).await?;
        }
        let mut request = Request::new(Full::new(body));
        let path = head.uri.path_and_query().cloned();
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(self.authority.clone());
        uri.path_and_query = path;
        *request.uri_mut() = Uri::from_parts(uri).map_err(|error| Status::internal(error.to_string()))?;
        *request.method_mut() = head.method;
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = head.headers;

        let response = self.client.request(request).await.map_err(|error| {
            let what = if error.is_connect() { "cannot be reached" } else { "did not answer" };
            Status::unavailable(format!("{} {what}: {}", self.authority, chain(&error)))
        })?;
        let (head, body) = response.into_parts();
        check(head.status, &head.headers)?;
        let body = Limited::new(body, envelope::MAX_PAYLOAD).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                let limit = envelope::MAX_PAYLOAD;
                Status::resource_exhausted(format!("the answer has more than {limit} bytes"))
            } else {
                Status::unavailable(format!("{} broke off its answer: {error}", self.authority))
            }
        })?;
        let trailers = body.trailers().cloned().map(envelope::readable).transpose()?;
        Ok(Answer {
            status: head.status,
            headers: envelope::readable(head.headers)?,
            body: body.to_bytes(),
            trailers: trailers.unwrap_or_default(),
        })
    }
}

/// Checks that the peer speaks gRPC. Otherwise the code follows gRPC's "HTTP to gRPC status code mapping".
fn check(status: StatusCode, headers: &HeaderMap) -> Result<(), Status> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if status == StatusCode::OK && content_type.is_some_and(|kind| kind.starts_with("application/grpc")) {
        return Ok(());
    }
    let what = format!("the peer is not a gRPC service: HTTP {status}");
    Err(match status.as_u16() {
        401 => Status::unauthenticated(what),
        403 => Status::permission_denied(what),
        404 => Status::unimplemented(what),
        429 | 502..=504 => Status::unavailable(what),
        _ => Status::unknown(what),
    })
}

/// Formats the error with its causes, as hyper's own message is only the outermost.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
