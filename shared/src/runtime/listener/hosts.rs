//! Host that a request is for. On a loopback address a foreign one is refused.
//!
//! A page of a foreign site can make its own name resolve to 127.0.0.1 (DNS rebinding). A browser then lets it read the
//! answers of this machine's servers. The name in `Host` gives it away.

use std::net::IpAddr;

use http::uri::Authority;
use http::{HeaderValue, Request, Version, header};

use crate::error::{Error, Kind};

/// Hosts that are served on a loopback address, beside `localhost` and loopback addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedHosts {
    all: bool,
    names: Vec<String>,
}

/// Reason to refuse a request by its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostError {
    /// The host is missing, repeated or no host.
    Malformed,
    /// The host is another one.
    Foreign,
}

impl HostError {
    pub(super) fn refusal(self) -> Error {
        let (kind, detail) = match self {
            Self::Malformed => (
                Kind::MalformedRequest,
                "The request must have one Host header with a host, and a port if it is not 80.",
            ),
            Self::Foreign => (
                Kind::MisdirectedRequest,
                "The request is for another host. This address serves localhost and loopback addresses; ALLOWED_HOSTS \
                 adds others.",
            ),
        };
        Error::new(kind, detail)
    }
}

impl AllowedHosts {
    /// Parses comma-separated host names without ports, or `*`.
    ///
    /// # Errors
    /// Message about the form, if a name has another one.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim() == "*" {
            return Ok(Self { all: true, names: Vec::new() });
        }
        let names = text.split(',').map(|name| {
            let authority: Authority = name.trim().parse().ok()?;
            (authority.as_str() == authority.host()).then(|| authority.host().to_owned())
        });
        names
            .collect::<Option<_>>()
            .map(|names| Self { all: false, names })
            .ok_or_else(|| "must be host names without ports, comma-separated, or *".to_owned())
    }

    fn allow(&self, host: &str) -> bool {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        self.all
            || host.eq_ignore_ascii_case("localhost")
            || address.is_ok_and(|address| address.to_canonical().is_loopback())
            || self.names.iter().any(|name| name.eq_ignore_ascii_case(host))
    }

    /// Checks the host of a request. Without `allowed` any host is served.
    pub(super) fn check<B>(allowed: Option<&Self>, request: &Request<B>) -> Result<(), HostError> {
        let mut headers = request.headers().get_all(header::HOST).iter();
        let header = headers.next().map(authority).transpose()?;
        if headers.next().is_some() {
            return Err(HostError::Malformed);
        }
        // The authority of HTTP/2, or of a target in absolute form. The header must then not say otherwise.
        let target = request.uri().authority();
        if header.is_none() && target.is_none() && request.version() > Version::HTTP_10 {
            return Err(HostError::Malformed);
        }
        if header.is_none() && request.version() == Version::HTTP_11 {
            return Err(HostError::Malformed);
        }
        let Some(allowed) = allowed else { return Ok(()) };
        let mut hosts = header.iter().chain(target).map(Authority::host);
        if hosts.all(|host| allowed.allow(host)) { Ok(()) } else { Err(HostError::Foreign) }
    }
}

fn authority(value: &HeaderValue) -> Result<Authority, HostError> {
    let authority = Authority::try_from(value.as_bytes()).map_err(|_| HostError::Malformed)?;
    if authority.as_str().contains('@') { Err(HostError::Malformed) } else { Ok(authority) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, hosts: &[&str], version: Version) -> Request<()> {
        let mut request = Request::builder().uri(uri).version(version);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn on_loopback_only_names_of_this_machine_are_served() {
        let allowed = AllowedHosts::parse("shop.example, 10.0.0.7").unwrap();
        let check =
            |host: &str| AllowedHosts::check(Some(&allowed), &request("/", &[host], Version::HTTP_11)).err();
        for own in [
            "localhost",
            "LocalHost:8080",
            "127.0.0.1",
            "127.0.0.1:1",
            "127.255.1.2:8080",
            "[::1]",
            "[::1]:8080",
            "[::ffff:127.0.0.1]:80",
            "SHOP.example:8080",
            "10.0.0.7",
        ] {
            assert_eq!(check(own), None, "{own}");
        }
        for foreign in [
            "evil.example:8080",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "shop.example.evil",
            "128.0.0.1",
            "0.0.0.0",
            "[::2]",
            "10.0.0.8",
            "xn--lcalhost-n4a",
        ] {
            assert_eq!(check(foreign), Some(HostError::Foreign), "{foreign}");
        }
        for malformed in ["", "a b", "user@localhost", "http://localhost", "localhost/", "[::1"] {
            assert_eq!(check(malformed), Some(HostError::Malformed), "{malformed}");
        }
    }

    #[test]
    fn target_and_header_must_both_be_allowed() {
        let allowed = AllowedHosts::default();
        let check = |uri: &str, hosts: &[&str], version| {
            AllowedHosts::check(Some(&allowed), &request(uri, hosts, version)).err()
        };
        use HostError::{Foreign, Malformed};
        use Version as V;
        assert_eq!(check("http://localhost:8080/", &["localhost:8080"], V::HTTP_11), None);
        assert_eq!(check("http://evil.example/", &["localhost"], V::HTTP_11), Some(Foreign));
        assert_eq!(check("http://localhost/", &["evil.example"], V::HTTP_11), Some(Foreign));
        assert_eq!(check("/", &[], V::HTTP_11), Some(Malformed));
        assert_eq!(check("http://localhost/", &[], V::HTTP_11), Some(Malformed));
        assert_eq!(check("/", &["localhost", "localhost"], V::HTTP_11), Some(Malformed));
        // HTTP/1.0 has no duty to name a host.
        assert_eq!(check("/", &[], V::HTTP_10), None);
        assert_eq!(check("/", &["evil.example"], V::HTTP_10), Some(Foreign));
        // The authority of HTTP/2.
        assert_eq!(check("http://127.0.0.1:1/", &[], V::HTTP_2), None);
        assert_eq!(check("http://evil.example/", &[], V::HTTP_2), Some(Foreign));
        assert_eq!(check("/", &["localhost"], V::HTTP_2), None);
        assert_eq!(check("/", &[], V::HTTP_2), Some(Malformed));
    }

    #[test]
    fn without_a_list_any_well_formed_host_is_served() {
        let check = |hosts: &[&str]| AllowedHosts::check(None, &request("/", hosts, Version::HTTP_11)).err();
        assert_eq!(check(&["order-service:50051"]), None);
        assert_eq!(check(&[]), Some(HostError::Malformed));
        let all = AllowedHosts::parse("*").unwrap();
        let foreign = request("/", &["evil.example"], Version::HTTP_11);
        assert_eq!(AllowedHosts::check(Some(&all), &foreign), Ok(()));
    }

    #[test]
    fn a_list_has_names_without_ports() {
        for bad in ["a:80", "http://a", "a,,b", "u@a", "*,a b"] {
            assert!(AllowedHosts::parse(bad).is_err(), "{bad}");
        }
        assert!(AllowedHosts::parse("a.example,[::2], b").is_ok());
    }
}
