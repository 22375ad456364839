//! Security headers of every response, and the size limit of a request's head.

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Request};

use crate::error::{Error, Kind};

/// Maximum size of a request's head in bytes: query and headers. API Gateway has the same limit, so that
/// requests that work locally also work when deployed. The path is not counted: one that is too long matches
/// no route, and is answered 404.
pub const MAX_HEAD: usize = 10_240;

/// Default security headers of a response.
///
/// Caches store nothing, not even public reads of products: their stock must never be stale. If a browser
/// takes a response for a page, it may load nothing and stand in no frame. Browsers ignore the HSTS header
/// over plain HTTP, so it is always sent.
const SECURITY: [(HeaderName, HeaderValue); 6] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// Sets the default headers, unless the response sets them itself.
pub(crate) fn secure(headers: &mut HeaderMap) {
    for (name, value) in SECURITY {
        headers.entry(name).or_insert(value);
    }
}

/// Returns the value of `Authorization`. Several headers are joined with commas, as API Gateway does. The
/// result is no valid token, so none of them is chosen (RFC 9110, section 5.3).
pub(crate) fn authorization(headers: &HeaderMap) -> Option<Vec<u8>> {
    let values: Vec<&[u8]> = headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes).collect();
    (!values.is_empty()).then(|| values.join(&b", "[..]))
}

/// Checks the size of the query and headers.
///
/// # Errors
/// 400 for more than [`MAX_HEAD`] bytes.
pub(super) fn check_head<B>(request: &Request<B>) -> Result<(), Error> {
    let query = request.uri().query().map_or(0, str::len);
    // Plus colon, space and CRLF, as on the wire in HTTP/1.1.
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    let head: usize = query + headers.sum::<usize>();
    if head <= MAX_HEAD {
        return Ok(());
    }
    let detail =
        format!("The query and the headers must have at most {MAX_HEAD} bytes together; got {head}.");
    Err(Error::new(Kind::MalformedRequest, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_measured_to_the_byte() {
        let head = |padding: usize| {
            let request = Request::builder().uri("/orders?limit=1").header("x", "y".repeat(padding));
            check_head(&request.body(()).unwrap()).map_err(|error| error.detail().to_owned())
        };
        let others = "limit=1x: \r\n".len();
        assert_eq!(head(MAX_HEAD - others), Ok(()));
        let refused = head(MAX_HEAD - others + 1).unwrap_err();
        assert!(refused.contains("at most 10240 bytes together; got 10241"), "{refused}");
    }

    #[test]
    fn headers_set_by_the_response_stay() {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"));
        secure(&mut headers);
        assert_eq!(headers[CACHE_CONTROL], "public, max-age=60");
        assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers.len(), SECURITY.len());
    }
}
