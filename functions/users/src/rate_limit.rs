//! How often one may try: to sign in with an e-mail address, and to send requests from an address.
//!
//! If the counts cannot be had, neither can users, and the answer is 503: nobody gets in uncounted.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use http::request::Parts;
use shared::error::{Error, Kind};
use shared::runtime::context::SourceAddress;
use shared::values::clock::{Clock, Timestamp};
use tokio::time::Instant;

use crate::credentials::HashPermit;
use crate::service::UserService;
use crate::store::counts::{Counts, RateLimit};

/// How many bits of an IPv6 address tell one customer of a network from another (RFC 6177): who has more has all of
/// these addresses.
const IPV6_PREFIX: u32 = 64;

/// How long a sign-in may take, of which it is not known yet how it ends.
const RUNNING: Duration = Duration::from_secs(2);

/// The longest pause before a look at how those have ended that were running.
const PAUSE: Duration = Duration::from_millis(150);

/// The limits, and what is counted against them.
#[derive(Clone)]
pub struct RateLimits {
    counts: Counts,
    per_address: u32,
    clock: Clock,
}

impl RateLimits {
    /// At most `per_address` requests a minute; 0 is no limit.
    pub fn new(counts: Counts, per_address: u32, clock: Clock) -> Self {
        Self { counts, per_address, clock }
    }

    /// Takes one of the attempts that an e-mail address has, whether anybody has the address or not. It counts as
    /// failed until [`Self::succeeded`] says otherwise, so that many at once do not get more than one by one.
    ///
    /// It comes with the turn to hash the password, so that none is under way for long. Who is refused while others are
    /// waits for a moment how they end: of many who know the password, and come at once, none has failed.
    ///
    /// # Errors
    /// 429 when there were too many; 503 when it cannot be found out, or too many passwords come at once.
    pub async fn attempt(&self, email: &str) -> Result<HashPermit, Error> {
        let email = email.to_lowercase();
        let waited = Instant::now();
        loop {
            let turn = HashPermit::next().await?;
            let now = self.clock.now();
            let RateLimit::TooMany { until, latest } = self.counts.attempt(&email, now).await? else {
                return Ok(turn);
            };
            drop(turn);
            if now.since(latest) >= RUNNING || waited.elapsed() >= RUNNING {
                return Err(too_many("Too many sign-ins with this e-mail address have failed.", until, now));
            }
            tokio::time::sleep(PAUSE.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
        }
    }

    /// Somebody knows the password of this e-mail address.
    ///
    /// # Errors
    /// 503 when that cannot be noted.
    pub async fn succeeded(&self, email: &str) -> Result<(), Error> {
        self.counts.forget_attempts(&email.to_lowercase()).await
    }

    /// Counts a request from this address.
    ///
    /// # Errors
    /// 429 when there were too many; 503 when it cannot be found out.
    pub async fn request(&self, address: Option<SourceAddress>) -> Result<(), Error> {
        if self.per_address == 0 {
            return Ok(());
        }
        let now = self.clock.now();
        // Whoever cannot be told from others shares with them.
        let network = address.map_or_else(|| "unknown".to_owned(), |SourceAddress(ip)| network(ip));
        match self.counts.request(&network, self.per_address, now).await? {
            RateLimit::Counted => Ok(()),
            RateLimit::TooMany { until, .. } => {
                Err(too_many("Too many requests have come from your address.", until, now))
            }
        }
    }
}

fn too_many(what: &str, until: Timestamp, now: Timestamp) -> Error {
    let left = until.since(now);
    let seconds = u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1);
    Error::new(Kind::TooManyRequests, format!("{what} Try again in {seconds} s.")).retrying_after(seconds)
}

/// What is counted of an address.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let kept = u128::MAX << (Ipv6Addr::BITS - IPV6_PREFIX);
            format!("{}/{IPV6_PREFIX}", Ipv6Addr::from_bits(address.to_bits() & kept))
        }
    }
}

/// A request that is within the limit of its address: the first extractor of a handler, so that what is too much is
/// refused before its body is read.
pub struct RateLimited;

impl FromRequestParts<Arc<UserService>> for RateLimited {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, users: &Arc<UserService>) -> Result<Self, Error> {
        users.limits().request(parts.extensions.get().copied()).await?;
        Ok(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_is_counted_by_the_network_that_one_customer_has() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
    }

    #[test]
    fn when_to_try_again_is_rounded_up() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        for (millis, seconds) in [(0, "1 s"), (1, "1 s"), (1_000, "1 s"), (1_001, "2 s"), (900_000, "900 s")]
        {
            let error = too_many("Too many.", now.after(Duration::from_millis(millis)), now);
            assert!(error.to_string().ends_with(&format!("in {seconds}.")), "{error}");
        }
    }
}
