//! Origins that may send forms: this one alone.
//!
//! Browsers send `Origin` with every POST (Fetch standard), and scripts cannot change it. So a page of another site
//! can send a form here, but not as one of ours.

use std::net::IpAddr;

use http::HeaderName;
use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Origin of the console's own pages, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OwnOrigin {
    /// This one, in lower case.
    Exact(String),
    /// The host that a request names, over TLS. Over plain HTTP it must be this machine: elsewhere browsers neither
    /// keep nor send the cookie of a session.
    #[default]
    OfHost,
    /// Unknown: a proxy in front has replaced the host. The browser itself must say that a request is of the same
    /// origin.
    Unknown,
}

impl OwnOrigin {
    /// Rule for `CONSOLE_ORIGIN`.
    ///
    /// # Errors
    /// Message with the expected form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let origin = text.to_ascii_lowercase();
        match split(&origin) {
            Some((scheme, host)) if is_secure(scheme, host) && has_no_default_port(scheme, host) => {
                Ok(Self::Exact(origin))
            }
            _ => Err("must be an origin as browsers write it, such as https://shop.example.com; \
                      http:// is for localhost and loopback addresses alone"
                .to_owned()),
        }
    }

    /// True if a request was sent by a page of this origin.
    ///
    /// Without `Origin`, which old browsers omit, the browser must say that the request is of the same origin.
    pub(super) fn has_sent(&self, request: &Parts) -> bool {
        let is_same = text(request, &FETCH_SITE) == Some("same-origin");
        let mut origins = request.headers.get_all(ORIGIN).into_iter();
        let origin = match (origins.next(), origins.next()) {
            (None, _) => return is_same,
            (Some(origin), None) => origin.to_str().unwrap_or_default().to_ascii_lowercase(),
            // Browsers send one.
            (Some(_), Some(_)) => return false,
        };
        let Some((scheme, host)) = split(&origin) else { return false };
        match self {
            Self::Exact(own) => *own == origin,
            Self::OfHost => {
                let own = own_host(request);
                is_secure(scheme, host) && own.is_some_and(|own| own.eq_ignore_ascii_case(host))
            }
            Self::Unknown => is_same,
        }
    }
}

/// Scheme and host of an origin, with its port. `None` for `null` and anything else that is none.
fn split(origin: &str) -> Option<(&str, &str)> {
    let (scheme, host) = origin.split_once("://")?;
    let is_host = !host.is_empty() && !host.contains(['/', '?', '#', '@', ',', ' ']);
    (is_host && matches!(scheme, "https" | "http")).then_some((scheme, host))
}

/// True where browsers keep and send cookies that are `Secure`.
fn is_secure(scheme: &str, host: &str) -> bool {
    scheme == "https" || host.parse().is_ok_and(|host: Authority| is_loopback(host.host()))
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// False for a port that browsers leave out.
fn has_no_default_port(scheme: &str, host: &str) -> bool {
    let default = if scheme == "https" { 443 } else { 80 };
    host.parse().is_ok_and(|host: Authority| host.as_str() == host.host() || host.port_u16() != Some(default))
        && !host.ends_with(':')
}

/// Host that the request was sent to. HTTP/2 has it in the URI.
///
/// Not `X-Forwarded-Host`, which any client can send: the gateway passes `Host` on.
fn own_host(request: &Parts) -> Option<&str> {
    text(request, &HOST).or_else(|| request.uri.authority().map(Authority::as_str))
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
            [("origin", "https://shop.example:8443"), ("host", "shop.example:8443")],
            [("origin", "https://127.0.0.1:8443"), ("host", "127.0.0.1:8443")],
            [("origin", "http://127.0.0.1:8080"), ("host", "127.0.0.1:8080")],
            [("origin", "http://localhost:8080"), ("host", "localhost:8080")],
            [("origin", "http://[::1]:8080"), ("host", "[::1]:8080")],
            [("origin", "https://Shop.example"), ("host", "shop.EXAMPLE")],
        ] {
            assert!(OwnOrigin::OfHost.has_sent(&request(&headers)), "{headers:?}");
        }
    }

    #[test]
    fn a_form_of_another_origin_is_refused() {
        let exact = OwnOrigin::parse("https://shop.example").unwrap();
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
            "http://shop.example",
            "ftp://shop.example",
            "shop.example",
        ] {
            let headers = [("origin", origin), ("host", "shop.example"), ("sec-fetch-site", "same-origin")];
            for own in [&exact, &OwnOrigin::OfHost] {
                assert!(!own.has_sent(&request(&headers)), "{own:?} {origin}");
            }
        }
        let twice = [("origin", "https://shop.example"), ("origin", "https://shop.example")];
        assert!(!OwnOrigin::OfHost.has_sent(&request(&twice)) && !exact.has_sent(&request(&twice)));
    }

    #[test]
    fn a_forwarded_host_does_not_count() {
        let headers = [
            ("origin", "https://evil.example"),
            ("host", "shop.example"),
            ("x-forwarded-host", "evil.example"),
        ];
        assert!(!OwnOrigin::OfHost.has_sent(&request(&headers)));
    }

    #[test]
    fn an_exact_origin_counts_whatever_the_host_is() {
        let own = OwnOrigin::parse("https://Shop.example").unwrap();
        let sent = |origin| own.has_sent(&request(&[("origin", origin), ("host", "api.internal")]));
        assert!(sent("https://shop.example") && !sent("https://api.internal"));
        for good in
            ["https://shop.example:8443", "http://localhost:8080", "http://127.0.0.1", "http://[::1]:1"]
        {
            assert_eq!(OwnOrigin::parse(good), Ok(OwnOrigin::Exact(good.to_owned())));
        }
        for bad in [
            "",
            "null",
            "*",
            "shop.example",
            "https://",
            "https://shop.example/",
            "https://shop.example:443",
            "https://shop.example:",
            "http://shop.example",
            "http://localhost:80",
            "https://a.example,https://b.example",
            "ftp://shop.example",
        ] {
            assert!(OwnOrigin::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn without_a_known_host_the_browser_decides() {
        let sent = |origin, site| {
            let headers = [("origin", origin), ("host", "api.internal"), ("sec-fetch-site", site)];
            OwnOrigin::Unknown.has_sent(&request(&headers))
        };
        assert!(sent("https://shop.example", "same-origin"));
        assert!(!sent("null", "same-origin"));
        for site in ["same-site", "cross-site", "none", ""] {
            assert!(!sent("https://shop.example", site), "{site}");
        }
    }

    #[test]
    fn without_an_origin_the_browser_must_say_the_same_site() {
        for own in
            [OwnOrigin::OfHost, OwnOrigin::Unknown, OwnOrigin::Exact("https://shop.example".to_owned())]
        {
            let sent = |site| own.has_sent(&request(&[("host", "shop.example"), ("sec-fetch-site", site)]));
            assert!(sent("same-origin"));
            for site in ["same-site", "cross-site", "none", ""] {
                assert!(!sent(site), "{site}");
            }
            assert!(!own.has_sent(&request(&[("host", "shop.example")])));
        }
    }
}
