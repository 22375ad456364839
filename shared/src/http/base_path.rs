//! Path below which the API is reached from outside, such as `/v1`.
//!
//! API Gateway leaves the name of a stage and the key of a domain's mapping in the path that a function gets. Route
//! tables know nothing of them: [`Edge`](super::edge::Edge) takes the base path off each request, and
//! [`routes`](super::routes) puts it before the paths in each answer.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Uri, header};

/// Maximum length of a base path in bytes.
const MAX_LENGTH: usize = 128;

/// Path before all paths of the API; empty by default. As an extension of a request it is for the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BasePath(Option<Arc<str>>);

impl BasePath {
    /// Rule for `BASE_PATH`: segments of unreserved characters (RFC 3986, section 2.3), each after a slash.
    ///
    /// # Errors
    /// Message with the expected form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_segment = |segment: &str| {
            let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            !matches!(segment, "" | "." | "..") && segment.bytes().all(is_unreserved)
        };
        match text.strip_prefix('/') {
            Some(segments) if text.len() <= MAX_LENGTH && segments.split('/').all(is_segment) => {
                Ok(Self(Some(text.into())))
            }
            _ => Err(format!(
                "must be segments of letters, digits, `-`, `.`, `_` and `~`, each after a slash, such as /v1; at most \
                 {MAX_LENGTH} characters"
            )),
        }
    }

    /// The path itself: `/v1`, or empty.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// True if the API is at the root.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Path from outside of a path of the API: `/v1/orders` of `/orders`.
    pub fn of(&self, path: &str) -> String {
        [self.as_str(), path].concat()
    }

    /// Path of the API of a path from outside: `/orders` of `/v1/orders`. `None` if it is not below the base path.
    pub fn strip<'a>(&self, path: &'a str) -> Option<&'a str> {
        match path.strip_prefix(self.as_str())? {
            "" => Some("/"),
            rest => rest.starts_with('/').then_some(rest),
        }
    }

    /// Takes the base path off a request, which keeps the path from outside as an extension.
    ///
    /// # Errors
    /// The request as it was, if its path is not below the base path.
    pub(super) fn enter(&self, mut request: Request) -> Result<Request, Box<Request>> {
        request.extensions_mut().insert(self.clone());
        if self.is_empty() {
            return Ok(request);
        }
        let Some(inner) = self.strip(request.uri().path()).and_then(|path| with_path(request.uri(), path))
        else {
            return Err(Box::new(request));
        };
        let outer = std::mem::replace(request.uri_mut(), inner);
        request.extensions_mut().insert(RequestedPath(outer.path().into()));
        Ok(request)
    }

    /// Puts the base path before the paths in the headers of a response, `Location` and `Link`.
    pub(super) fn leave(&self, headers: &mut HeaderMap) {
        if self.is_empty() {
            return;
        }
        for (name, opening) in [(header::LOCATION, ""), (header::LINK, "<")] {
            let Some(value) = headers.get_mut(&name) else { continue };
            let outer = value.to_str().ok().and_then(|value| {
                let path = value.strip_prefix(opening).filter(|path| path.starts_with('/'))?;
                HeaderValue::from_str(&[opening, self.as_str(), path].concat()).ok()
            });
            if let Some(outer) = outer {
                *value = outer;
            }
        }
    }
}

/// The base path of the request's API.
impl<S: Sync> FromRequestParts<S> for BasePath {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// Path of a request from outside, before the base path was taken off: an extension of the request.
#[derive(Clone)]
struct RequestedPath(Arc<str>);

/// Path of a request as its client has sent it.
pub(super) fn requested(request: &Request) -> &str {
    request.extensions().get::<RequestedPath>().map_or(request.uri().path(), |path| &path.0)
}

/// Replaces the path of a URI. `None` if the result is no URI.
pub(crate) fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    // `?` and `#` cannot be part of a path.
    if !path.starts_with('/') || path.contains(['?', '#']) {
        return None;
    }
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target.parse().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn v1() -> BasePath {
        BasePath::parse("/v1").unwrap()
    }

    #[test]
    fn a_base_path_is_segments_of_unreserved_characters() {
        for good in ["/v1", "/shop/v1", "/a-b_c.d~e", "/V1", "/1", "/...", &format!("/{}", "x".repeat(127))] {
            assert_eq!(BasePath::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "/",
            "v1",
            "/v1/",
            "//v1",
            "/shop//v1",
            "/.",
            "/..",
            "/v1/../x",
            "/v 1",
            "/v%31",
            "/v1?x",
            "/v1#x",
            "/ü",
            "/{stage}",
            "/$default",
            "https://api.example.com/v1",
            "/v1\n",
            &format!("/{}", "x".repeat(128)),
        ] {
            let problem = BasePath::parse(bad).unwrap_err();
            assert!(problem.starts_with("must be segments"), "{bad}: {problem}");
        }
    }

    #[test]
    fn only_whole_segments_are_taken_off() {
        for (outer, inner) in [
            ("/v1/orders", Some("/orders")),
            ("/v1", Some("/")),
            ("/v1/", Some("/")),
            ("/v1//orders", Some("//orders")),
            ("/v1/v1/orders", Some("/v1/orders")),
            ("/v1/../orders", Some("/../orders")),
            ("/v1orders", None),
            ("/V1/orders", None),
            ("/%761/orders", None),
            ("/v1%2Forders", None),
            ("//v1/orders", None),
            ("/orders", None),
            ("/", None),
            ("*", None),
        ] {
            assert_eq!(v1().strip(outer), inner, "{outer}");
            assert_eq!(BasePath::default().strip("/orders"), Some("/orders"));
        }
    }

    #[test]
    fn a_request_keeps_its_query_and_its_path_from_outside() {
        let request = |uri: &str| Request::get(uri).body(Body::empty()).unwrap();
        let inner = v1().enter(request("https://api.example.com/v1/orders?limit=1&q=%2Fv1")).unwrap();
        assert_eq!(inner.uri(), "https://api.example.com/orders?limit=1&q=%2Fv1");
        assert_eq!(requested(&inner), "/v1/orders");
        let refused = v1().enter(request("/orders?limit=1")).unwrap_err();
        assert_eq!((refused.uri().to_string().as_str(), requested(&refused)), ("/orders?limit=1", "/orders"));
    }

    #[test]
    fn a_location_and_a_link_get_the_base_path_and_nothing_else_does() {
        let headers = |location: &str, link: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::LOCATION, location.parse().unwrap());
            headers.insert(header::LINK, link.parse().unwrap());
            v1().leave(&mut headers);
            (
                headers[header::LOCATION].to_str().unwrap().to_owned(),
                headers[header::LINK].to_str().unwrap().to_owned(),
            )
        };
        let (location, link) = headers("/orders/order_1", "</orders?cursor=a>; rel=\"next\"");
        assert_eq!(location, "/v1/orders/order_1");
        assert_eq!(link, "</v1/orders?cursor=a>; rel=\"next\"");
        let elsewhere =
            ("https://example.com/a".to_owned(), "<https://example.com/a>; rel=\"next\"".to_owned());
        assert_eq!(headers(&elsewhere.0, &elsewhere.1), elsewhere);
    }
}
