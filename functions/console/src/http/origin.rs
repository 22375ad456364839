//! Origins that may send forms: this one alone.
//!
//! Browsers send `Origin` with every POST (Fetch standard), and scripts cannot change it. So a page of another site
//! can send a form here, but not as one of ours.

use http::HeaderName;
use http::header::{HOST, ORIGIN};
use http::request::Parts;

const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// True if a request was sent by a page of this origin.
///
/// Hosts are compared, and no schemes: behind a proxy the request itself comes over plain HTTP. A page of another
/// site cannot set the forwarded host, so it may come from any client. Without `Origin`, which old browsers omit, the
/// browser must say that the request is of the same origin.
pub(super) fn is_own(request: &Parts) -> bool {
    let mut origins = request.headers.get_all(ORIGIN).into_iter();
    match (origins.next(), origins.next()) {
        (None, _) => text(request, &FETCH_SITE) == Some("same-origin"),
        (Some(origin), None) => {
            let host = origin.to_str().ok().and_then(host_of);
            host.is_some_and(|host| own_hosts(request).any(|own| own.eq_ignore_ascii_case(host)))
        }
        // Browsers send one.
        (Some(_), Some(_)) => false,
    }
}

/// Host and port of an origin. `None` for `null` and anything else that is none.
fn host_of(origin: &str) -> Option<&str> {
    let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"))?;
    let is_host = !host.is_empty() && !host.contains(['/', '?', '#', '@', ',', ' ']);
    is_host.then_some(host)
}

/// Hosts that the request was sent to, as its headers say. HTTP/2 has the host in the URI.
fn own_hosts(request: &Parts) -> impl Iterator<Item = &str> {
    let host = text(request, &HOST).or_else(|| request.uri.authority().map(|it| it.as_str()));
    [text(request, &FORWARDED_HOST), host].into_iter().flatten()
}

/// Value of a header that is there once.
fn text<'a>(request: &'a Parts, name: &HeaderName) -> Option<&'a str> {
    let mut values = request.headers.get_all(name).into_iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    value.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&'static str, &'static str)]) -> Parts {
        let request = http::Request::post("/console/orders");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_form_of_the_same_host_and_port_is_taken() {
        for headers in [
            [("origin", "https://shop.example"), ("host", "shop.example")],
            [("origin", "http://127.0.0.1:8080"), ("host", "127.0.0.1:8080")],
            [("origin", "https://Shop.example"), ("host", "shop.EXAMPLE")],
            [("origin", "https://shop.example"), ("x-forwarded-host", "shop.example")],
        ] {
            assert!(is_own(&request(&headers)), "{headers:?}");
        }
    }

    #[test]
    fn a_form_of_another_origin_is_refused() {
        for origin in [
            "null",
            "",
            "https://",
            "https://evil.example",
            "https://shop.example.evil.example",
            "https://evilshop.example",
            "https://shop.example:8443",
            "https://shop.example/",
            "https://shop.example@evil.example",
            "https://shop.example, https://evil.example",
            "ftp://shop.example",
            "shop.example",
        ] {
            let headers = [("origin", origin), ("host", "shop.example"), ("sec-fetch-site", "same-origin")];
            assert!(!is_own(&request(&headers)), "{origin}");
        }
        let twice = [("origin", "https://shop.example"), ("origin", "https://shop.example")];
        assert!(!is_own(&request(&twice)));
    }

    #[test]
    fn without_an_origin_the_browser_must_say_the_same_site() {
        let sent = |site| is_own(&request(&[("host", "shop.example"), ("sec-fetch-site", site)]));
        assert!(sent("same-origin"));
        for site in ["same-site", "cross-site", "none", ""] {
            assert!(!sent(site), "{site}");
        }
        assert!(!is_own(&request(&[("host", "shop.example")])));
    }
}
