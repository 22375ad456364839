//! Address of a client behind a proxy.
//!
//! A proxy adds the address of its client to `X-Forwarded-For`. Any client can send that header too, so it counts
//! only as far as trusted proxies have written it.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;
use uuid::Uuid;

use crate::runtime::context::InvocationId;

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// Header in which a trusted proxy names a request: the same each time that it sends the request.
const X_INVOCATION_ID: &str = "x-invocation-id";

/// Networks of the proxies whose `X-Forwarded-For` counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Parses comma-separated addresses and networks, such as `10.0.0.7, 172.16.0.0/12, fd00::/8`.
    ///
    /// # Errors
    /// Message about the form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let network = |part: &str| match part.parse::<IpAddr>() {
            Ok(address) => Some(IpNet::from(address.to_canonical())),
            Err(_) => part.parse().ok(),
        };
        let networks = text.split(',').map(|part| network(part.trim()));
        networks.collect::<Option<_>>().map(Self).ok_or_else(|| {
            "must be addresses or networks such as 10.0.0.7 or fd00::/64, comma-separated".to_owned()
        })
    }

    /// Returns the ID that a trusted proxy has given the request. With it a request that the proxy sends again, after an
    /// answer got lost, is recognized and runs once.
    pub(super) fn invocation(&self, peer: IpAddr, headers: &HeaderMap) -> Option<InvocationId> {
        let id = headers.get(X_INVOCATION_ID).filter(|_| self.trust(peer))?.to_str().ok()?;
        Uuid::try_parse(id).ok().filter(|id| !id.is_nil()).map(|_| InvocationId::of_lambda(id))
    }

    /// Returns true if this peer is a trusted proxy.
    pub(super) fn trust(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.0.iter().any(|network| network.contains(&peer))
    }

    /// Returns the address of the client: the last one that is no trusted proxy itself. An entry that is no address
    /// ends the search at the proxy that has passed it on.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer;
        let lines: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().collect();
        let entries = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for entry in entries {
            if !self.trust(client) {
                break;
            }
            let Some(address) = address(entry) else { break };
            client = address;
        }
        client
    }
}

fn address(entry: &[u8]) -> Option<IpAddr> {
    let address: IpAddr = std::str::from_utf8(entry).ok()?.trim().parse().ok()?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &str, peer: &str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, line.parse().unwrap());
        }
        let trusted = if trusted.is_empty() {
            TrustedProxies::default()
        } else {
            TrustedProxies::parse(trusted).unwrap()
        };
        trusted.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn without_a_trusted_proxy_the_peer_is_the_client() {
        assert_eq!(client("", "10.0.0.2", &["1.1.1.1"]), "10.0.0.2");
        assert_eq!(client("10.0.0.3", "10.0.0.2", &["1.1.1.1"]), "10.0.0.2");
        assert_eq!(client("10.0.0.0/24", "10.0.0.2", &[]), "10.0.0.2");
    }

    #[test]
    fn a_client_behind_trusted_proxies_is_known_by_its_address() {
        let trusted = "10.0.0.0/24, fd00::/8";
        assert_eq!(client(trusted, "10.0.0.2", &["1.1.1.1"]), "1.1.1.1");
        assert_eq!(client(trusted, "10.0.0.2", &["1.1.1.1, 10.0.0.9"]), "1.1.1.1");
        assert_eq!(client(trusted, "fd00::1", &["2001:db8::1", "10.0.0.9"]), "2001:db8::1");
        assert_eq!(client(trusted, "::ffff:10.0.0.2", &["::ffff:1.1.1.1"]), "1.1.1.1");
    }

    #[test]
    fn addresses_that_a_client_invents_do_not_count() {
        assert_eq!(client("10.0.0.2", "10.0.0.2", &["9.9.9.9, 1.1.1.1"]), "1.1.1.1");
        assert_eq!(client("10.0.0.2", "10.0.0.2", &["10.0.0.2, 1.1.1.1"]), "1.1.1.1");
        assert_eq!(client("10.0.0.2", "10.0.0.2", &["9.9.9.9", "1.1.1.1"]), "1.1.1.1");
    }

    #[test]
    fn an_entry_that_is_no_address_is_the_proxy_that_passed_it_on() {
        for bad in ["unknown", "", "1.1.1.1:80", "1.1.1.1,", "\u{e9}"] {
            assert_eq!(client("10.0.0.2", "10.0.0.2", &[bad]), "10.0.0.2", "{bad}");
        }
    }

    #[test]
    fn only_a_trusted_proxy_says_which_request_it_is() {
        let id = "0190b5f81c9a7c3e8a510242ac120002";
        let invocation = |peer: &str, id: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(X_INVOCATION_ID, id.parse().unwrap());
            let proxies = TrustedProxies::parse("10.0.0.2").unwrap();
            proxies.invocation(peer.parse().unwrap(), &headers).map(|id| id.uuid().simple().to_string())
        };
        assert_eq!(invocation("10.0.0.2", id).as_deref(), Some(id));
        assert_eq!(invocation("10.0.0.3", id), None);
        for bad in ["", "x", "00000000000000000000000000000000"] {
            assert_eq!(invocation("10.0.0.2", bad), None, "{bad}");
        }
    }

    #[test]
    fn only_addresses_and_networks_are_accepted() {
        for good in ["10.0.0.1", "10.0.0.0/8,::1", " fd00::/8 "] {
            assert!(TrustedProxies::parse(good).is_ok(), "{good}");
        }
        for bad in ["proxy", "10.0.0.0/33", "10.0.0.1,", "*"] {
            assert!(TrustedProxies::parse(bad).is_err(), "{bad}");
        }
    }
}
