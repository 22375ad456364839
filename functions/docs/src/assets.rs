//! Static files. They are compressed in the binary, and sent so to clients that accept gzip.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{Read as _, Write as _};

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse as _, Response};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use shared::error::Error;
use shared::http::conditional::IfNoneMatch;

use crate::negotiation;

/// Static file.
#[derive(Debug)]
pub(crate) struct File {
    /// Path of the file. It contains the hash, so that a client may keep the file for good.
    pub(crate) path: &'static str,
    content_type: &'static str,
    hash: Cow<'static, str>,
    gzipped: Bytes,
}

/// All files, in the order of `build.rs`.
static FILES: [File; 6] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// OpenAPI document, which has a path of its own.
pub(crate) static OPENAPI: &File = &FILES[0];
/// Styles of the pages.
pub(crate) static DOCS_CSS: &File = &FILES[1];
/// Script of the docs page.
pub(crate) static DOCS_JS: &File = &FILES[2];
/// Icon of the pages.
pub(crate) static ICON: &File = &FILES[3];
/// Styles of Swagger UI.
pub(crate) static SWAGGER_CSS: &File = &FILES[4];
/// Script of Swagger UI.
pub(crate) static SWAGGER_JS: &File = &FILES[5];

/// Cache policy of a response.
#[derive(Clone, Copy)]
pub(crate) enum Keep {
    /// Cached for good: other content has another path.
    ForGood,
    /// Revalidated at each use.
    Ask,
}

impl File {
    /// Finds the file with this path.
    pub(crate) fn at(path: &str) -> Option<&'static Self> {
        // The OpenAPI document has a path of its own.
        FILES[1..].iter().find(|file| file.path == path)
    }

    /// Answers a GET with these headers.
    pub(crate) fn answer(&self, request: &HeaderMap, keep: Keep) -> Response {
        let gzip = negotiation::takes_gzip(request);
        // One tag for each encoding (RFC 9110, section 8.8.3.3).
        let tag = format!("\"{}{}\"", self.hash, if gzip { "-gzip" } else { "" });
        let vary = header::ACCEPT_ENCODING;
        if IfNoneMatch::of_headers(request).names(&tag) {
            return not_modified(&tag, keep, vary);
        }
        let body = match self.bytes(gzip) {
            Ok(body) => body,
            Err(error) => return Error::internal(error).into_response(),
        };
        let mut response = Response::new(body);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if gzip {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        kept(response, &tag, keep, vary)
    }

    fn bytes(&self, gzip: bool) -> Result<Body, std::io::Error> {
        if gzip {
            return Ok(Body::from(self.gzipped.clone()));
        }
        Ok(Body::from(self.plain()?))
    }

    fn plain(&self) -> Result<Vec<u8>, std::io::Error> {
        let mut plain = Vec::new();
        GzDecoder::new(&*self.gzipped).read_to_end(&mut plain)?;
        Ok(plain)
    }

    /// File with other content, at the same path.
    ///
    /// # Errors
    /// Error of `change`, or of the compression.
    pub(crate) fn changed(
        &self,
        change: impl FnOnce(&[u8]) -> std::io::Result<Vec<u8>>,
    ) -> std::io::Result<Self> {
        let plain = change(&self.plain()?)?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&plain)?;
        Ok(Self { hash: Cow::Owned(hash(&plain)), gzipped: encoder.finish()?.into(), ..*self })
    }
}

/// Hash of a content, for its tag.
fn hash(content: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(content);
    format!("{:016x}", hasher.finish())
}

/// Answers with a generated body, which depends on `Accept` alone.
pub(crate) fn made(request: &HeaderMap, content_type: &'static str, body: String) -> Response {
    let tag = format!("\"{}\"", hash(body.as_bytes()));
    if IfNoneMatch::of_headers(request).names(&tag) {
        return not_modified(&tag, Keep::Ask, header::ACCEPT);
    }
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    kept(response, &tag, Keep::Ask, header::ACCEPT)
}

fn not_modified(tag: &str, keep: Keep, vary: HeaderName) -> Response {
    kept(StatusCode::NOT_MODIFIED.into_response(), tag, keep, vary)
}

/// Adds the cache headers to a response.
fn kept(mut response: Response, tag: &str, keep: Keep, vary: HeaderName) -> Response {
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static(match keep {
            Keep::ForGood => "public, max-age=31536000, immutable",
            Keep::Ask => "no-cache",
        }),
    );
    headers.insert(header::VARY, HeaderValue::from(vary));
    response
}
