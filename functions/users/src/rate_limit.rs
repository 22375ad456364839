//! Rate limits: of sign-ins with an e-mail address, and of requests from a network address.
//!
//! If the counts are unavailable, so are the users, and the answer is 503: no sign-in passes uncounted.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use futures::future::BoxFuture;
use shared::error::{Error, Kind};
use shared::http::routes::RateLimiter;
use shared::runtime::context::SourceAddress;
use shared::values::clock::{Clock, Timestamp};
use tokio::time::Instant;

use crate::credentials::HashPermit;
use crate::store::counts::{Counts, RateLimit};

/// Length of the IPv6 prefix that separates customers of a network (RFC 6177). A customer has all addresses
/// below it.
const IPV6_PREFIX: u32 = 64;

/// Time in which a sign-in may still be running, with its result unknown.
const RUNNING: Duration = Duration::from_secs(2);

/// Maximum pause before a new look at the results of running sign-ins.
const PAUSE: Duration = Duration::from_millis(150);

/// Rate limits and their counts.
#[derive(Clone)]
pub struct RateLimits {
    counts: Counts,
    per_address: u32,
    clock: Clock,
}

impl RateLimits {
    /// Creates limits of at most `per_address` requests a minute; 0 is no limit.
    pub fn new(counts: Counts, per_address: u32, clock: Clock) -> Self {
        Self { counts, per_address, clock }
    }

    /// Takes one of the attempts of an e-mail address, whether it is registered or not. It counts as failed
    /// until [`Self::succeeded`] is called, so that concurrent attempts are bounded like sequential ones.
    ///
    /// It comes with a permit to hash the password, so that no attempt is under way for long. A refused
    /// attempt waits for a moment for the results of running ones. Many concurrent sign-ins with the right
    /// password have no failure among them.
    ///
    /// # Errors
    /// 429 after too many attempts; 503 when the counts are unavailable, or too many passwords come at once.
    pub async fn attempt(&self, email: &str) -> Result<HashPermit, Error> {
        let email = email.to_ascii_lowercase();
        let waited = Instant::now();
        loop {
            let permit = HashPermit::next().await?;
            let now = self.clock.now();
            let RateLimit::TooMany { until, latest } = self.counts.attempt(&email, now).await? else {
                return Ok(permit);
            };
            drop(permit);
            if now.since(latest) >= RUNNING || waited.elapsed() >= RUNNING {
                return Err(too_many("Too many failed sign-ins for this e-mail address.", until, now));
            }
            tokio::time::sleep(PAUSE.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
        }
    }

    /// Clears the attempts of an e-mail address after a right password.
    ///
    /// # Errors
    /// 503 when the counts are unavailable.
    pub async fn succeeded(&self, email: &str) -> Result<(), Error> {
        self.counts.forget_attempts(&email.to_ascii_lowercase()).await
    }

    /// Counts a request from this address.
    ///
    /// # Errors
    /// 429 after too many requests; 503 when the counts are unavailable.
    pub async fn request(&self, address: Option<SourceAddress>) -> Result<(), Error> {
        if self.per_address == 0 {
            return Ok(());
        }
        let now = self.clock.now();
        // Callers without a known address share one count.
        let network = address.map_or_else(|| "unknown".to_owned(), |SourceAddress(ip)| network(ip));
        match self.counts.request(&network, self.per_address, now).await? {
            RateLimit::Counted => Ok(()),
            RateLimit::TooMany { until, .. } => {
                Err(too_many("Too many requests from your address.", until, now))
            }
        }
    }
}

fn too_many(what: &str, until: Timestamp, now: Timestamp) -> Error {
    let left = until.since(now);
    let seconds = u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1);
    Error::new(Kind::TooManyRequests, format!("{what} Try again in {seconds} s.")).retrying_after(seconds)
}

/// Network under which an address is counted.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let kept = u128::MAX << (Ipv6Addr::BITS - IPV6_PREFIX);
            format!("{}/{IPV6_PREFIX}", Ipv6Addr::from_bits(address.to_bits() & kept))
        }
    }
}

impl RateLimiter for RateLimits {
    fn count(&self, address: Option<SourceAddress>) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.request(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_is_counted_by_its_customers_network() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
    }

    #[test]
    fn the_retry_time_is_rounded_up() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        for (millis, seconds) in [(0, "1 s"), (1, "1 s"), (1_000, "1 s"), (1_001, "2 s"), (900_000, "900 s")]
        {
            let error = too_many("Too many.", now.after(Duration::from_millis(millis)), now);
            assert!(error.detail().ends_with(&format!("in {seconds}.")), "{error}");
        }
    }
}
