//! CORS (Fetch standard): origins whose pages may read responses. By default there are none.
//!
//! Credentials in the sense of the standard are not used: pages send tokens themselves, browsers never do on
//! their own. So `Access-Control-Allow-Credentials` is never sent.

use std::sync::Arc;

use axum::{Extension, Router};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};

/// Request headers allowed in addition to the CORS-safelisted ones.
const ALLOWED: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Traceparent, Tracestate, X-Request-Id",
);

/// Response headers exposed in addition to the CORS-safelisted ones.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Allow, ETag, Idempotency-Replayed, Link, Location, Retry-After, WWW-Authenticate, X-Request-Id",
);

/// Lifetime of a cached preflight response, in seconds: an hour.
const MAX_AGE: HeaderValue = HeaderValue::from_static("3600");

/// Request headers on which the response to a preflight depends.
const PREFLIGHT_VARY: &str = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

/// Origins whose pages may read responses.
#[derive(Clone, Debug, Default)]
pub struct Cors(Origins);

#[derive(Clone, Debug, Default)]
enum Origins {
    /// No origin: closed unless configured.
    #[default]
    None,
    /// All origins.
    Any,
    /// Exactly these origins.
    These(Arc<[HeaderValue]>),
}

impl Cors {
    /// Rule for `CORS_ALLOWED_ORIGINS`: origins in the form browsers send, such as `https://shop.example.com`
    /// or `http://localhost:5173`, separated by commas; or `*` alone.
    ///
    /// # Errors
    /// Message with the invalid origin and the expected form.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim() == "*" {
            return Ok(Self(Origins::Any));
        }
        let origins: Result<Arc<[HeaderValue]>, String> =
            text.split(',').map(|it| origin(it.trim())).collect();
        Ok(Self(Origins::These(origins?)))
    }

    /// Adds CORS headers to the responses of these routes.
    pub fn around(self, router: Router) -> Router {
        router.layer(Extension(self))
    }

    /// Decides on the CORS headers for this request, of a page of another origin or of any other client.
    pub(super) fn of(&self, method: &Method, headers: &HeaderMap) -> CorsHeaders {
        let origin = headers.get(ORIGIN);
        let allowed = match &self.0 {
            Origins::None => None,
            Origins::Any => origin.map(|_| HeaderValue::from_static("*")),
            Origins::These(these) => origin.filter(|origin| these.contains(origin)).cloned(),
        };
        let is_preflight = method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        CorsHeaders { allowed, varies: matches!(self.0, Origins::These(_)), is_preflight }
    }
}

/// Checks that an origin is in the form browsers send (RFC 6454, section 6.2). `null` is refused, as every
/// sandboxed page has it.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let wrong = || {
        format!(
            "must be origins such as https://shop.example.com, separated by commas, or * alone; {text:?} is none as browsers write it: scheme and host in lower case, a port unless it is the scheme's own, nothing more"
        )
    };
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(wrong()) };
    let own_port = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => return Err(wrong()),
    };
    let host = authority.host();
    let written = match authority.port_u16() {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    };
    let is_one = written == text
        && authority.port_u16() != own_port
        && host == host.to_ascii_lowercase()
        && !host.contains(['*', '@']);
    if is_one { HeaderValue::from_str(text).map_err(|_| wrong()) } else { Err(wrong()) }
}

/// CORS headers for a request.
pub(super) struct CorsHeaders {
    allowed: Option<HeaderValue>,
    varies: bool,
    is_preflight: bool,
}

impl CorsHeaders {
    /// Sets the headers on the response of a path with these methods. OPTIONS is not among them. So a
    /// preflight arrives here as a 405, and becomes a 204 with the allowed methods.
    pub(super) fn on(self, status: StatusCode, methods: Option<&str>, headers: &mut HeaderMap) -> StatusCode {
        let Some(allowed) = self.allowed else {
            if self.varies {
                vary(headers, "Origin");
            }
            return status;
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        let methods = methods.filter(|_| status == StatusCode::METHOD_NOT_ALLOWED);
        let methods = methods.and_then(|methods| HeaderValue::from_str(methods).ok());
        if let (true, Some(methods)) = (self.is_preflight, methods) {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED);
            headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
            vary(headers, PREFLIGHT_VARY);
            return StatusCode::NO_CONTENT;
        }
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        if self.varies {
            vary(headers, "Origin");
        }
        status
    }
}

/// Adds to the `Vary` header. It stays one value, since API Gateway sends only one of several.
fn vary(headers: &mut HeaderMap, by: &str) {
    let present = headers.get_all(VARY).iter().filter_map(|value| value.to_str().ok());
    let all = present.chain([by]).collect::<Vec<_>>().join(", ");
    if let Ok(all) = HeaderValue::from_str(&all) {
        headers.insert(VARY, all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_accepted_only_in_the_form_browsers_send() {
        for good in [
            "https://shop.example.com",
            "http://localhost:5173",
            "http://127.0.0.1:8080",
            "https://[::1]:8443",
            "https://a.example, https://b.example:444",
        ] {
            assert!(Cors::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "null",
            "",
            ",",
            "https://",
            "shop.example.com",
            "//shop.example.com",
            "https://shop.example.com/",
            "https://shop.example.com/path",
            "https://shop.example.com?q",
            "https://shop.example.com#f",
            "https://Shop.example.com",
            "HTTPS://shop.example.com",
            "https://shop.example.com:443",
            "http://shop.example.com:80",
            "https://shop.example.com:0443",
            "https://*.example.com",
            "*.example.com",
            "https://me@shop.example.com",
            "https://a.example https://b.example",
            "https://a.example,*",
            "*, https://a.example",
            "https://a.example,null",
            "ftp://a.example",
            "file://",
            "https://ä.example",
        ] {
            assert!(Cors::parse(bad).is_err(), "{bad}");
        }
    }

    fn allowed(cors: &Cors, origin: &'static str) -> Option<HeaderValue> {
        let headers = HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static(origin))]);
        cors.of(&Method::GET, &headers).allowed
    }

    #[test]
    fn only_the_identical_origin_is_allowed() {
        let cors = Cors::parse("https://shop.example.com, http://localhost:5173").unwrap();
        assert_eq!(allowed(&cors, "http://localhost:5173").unwrap(), "http://localhost:5173");
        for other in [
            "null",
            "http://shop.example.com",
            "https://shop.example.com:444",
            "https://shop.example.com.evil.example",
            "https://evilshop.example.com",
            "https://a.shop.example.com",
            "https://SHOP.example.com",
            "https://shop.example.com/",
            "https://shop.example.com, http://localhost:5173",
            "http://localhost",
            "",
        ] {
            assert_eq!(allowed(&cors, other), None, "{other}");
        }
        assert_eq!(allowed(&Cors::default(), "https://shop.example.com"), None);
        assert_eq!(allowed(&Cors::parse("*").unwrap(), "https://any.example").unwrap(), "*");
    }
}
