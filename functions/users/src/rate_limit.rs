//! Rate limits: of wrong passwords, and of requests from a network.
//!
//! If the counts are unavailable, so are the users, and the answer is 503: no sign-in passes uncounted.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use futures::future::BoxFuture;
use shared::error::Error;
use shared::http::routes::RateLimiter;
use shared::runtime::context::SourceAddress;
use shared::values::clock::{Clock, Timestamp};
use shared::values::ids::UserId;
use tokio::time::Instant;

use crate::credentials::HashPermit;
use crate::store::counts::{Attempt, Counted, Counts, RateLimit};
use crate::store::networks::Networks;

/// IPv6 prefixes within which requests are counted, and their multiples of the limit. A provider gives its
/// customer one of these (RFC 6177), and the customer has all addresses below it.
const IPV6_PREFIXES: [(u32, u32); 3] = [(64, 1), (56, 4), (48, 16)];

/// IPv6 prefix that is one network for sign-ins.
const IPV6_NETWORK: u32 = 56;

/// Time in which a sign-in may still be running, with its result unknown.
const RUNNING: Duration = Duration::from_secs(2);

/// Maximum pause before a new look at the results of running sign-ins.
const PAUSE: Duration = Duration::from_millis(150);

const TOO_MANY_HERE: &str = "Too many failed sign-ins for this e-mail address from your network.";
const TOO_MANY_ANYWHERE: &str = "Too many failed sign-ins for this e-mail address.";
const TOO_MANY_WRONG: &str = "Too many wrong passwords.";
const TOO_MANY_REQUESTS: &str = "Too many requests from your address.";

/// Rate limits and their counts.
#[derive(Clone)]
pub struct RateLimits {
    counts: Counts,
    networks: Networks,
    per_address: u32,
    clock: Clock,
}

/// Attempt to sign in, which counts as failed until [`RateLimits::succeeded`].
#[derive(Debug)]
pub struct SignInAttempt {
    from_network: Attempt,
    /// `None` from a network that the user has used before, once the limit for all networks is reached.
    from_anywhere: Option<Attempt>,
}

impl RateLimits {
    /// Creates limits of at most `per_address` requests a minute; 0 is no limit.
    pub fn new(counts: Counts, networks: Networks, per_address: u32, clock: Clock) -> Self {
        Self { counts, networks, per_address, clock }
    }

    /// Takes one of the attempts of an e-mail address, whether it is registered or not: of those from this
    /// network, and of those from anywhere. `user` is whose address it is, if anybody's: the limit of those from
    /// anywhere is not for networks from which that user has signed in lately.
    ///
    /// It comes with a permit to hash the password, so that no attempt is under way for long. A refused
    /// attempt waits for a moment for the results of running ones. Many concurrent sign-ins with the right
    /// password have no failure among them.
    ///
    /// # Errors
    /// 429 after too many attempts; 503 when the counts are unavailable, or too many passwords come at once.
    pub async fn sign_in(
        &self,
        email: &str,
        user: Option<UserId>,
        source: Option<SourceAddress>,
    ) -> Result<(HashPermit, SignInAttempt), Error> {
        let (email, network) = (email.to_ascii_lowercase(), network(source));
        let waited = Instant::now();
        loop {
            let permit = HashPermit::next().await?;
            let now = self.clock.now();
            match self.count_sign_in(&email, user, &network, now).await? {
                Ok(attempt) => return Ok((permit, attempt)),
                Err(refusal) => {
                    drop(permit);
                    refusal.wait(now, waited).await?;
                }
            }
        }
    }

    async fn count_sign_in(
        &self,
        email: &str,
        user: Option<UserId>,
        network: &str,
        now: Timestamp,
    ) -> Result<Result<SignInAttempt, Refusal>, Error> {
        let from_network = match self.counts.attempt(&Counted::from_network(email, network), now).await? {
            RateLimit::Counted(attempt) => attempt,
            RateLimit::TooMany { until, latest } => {
                return Ok(Err(Refusal { what: TOO_MANY_HERE, until, latest }));
            }
        };
        let from_anywhere = match self.counts.attempt(&Counted::from_anywhere(email), now).await? {
            RateLimit::Counted(attempt) => Some(attempt),
            RateLimit::TooMany { until, latest } => {
                if !self.networks.knows(user, network, now).await? {
                    // Its password is not looked at, so it is no failure.
                    self.counts.take_back(&from_network).await?;
                    return Ok(Err(Refusal { what: TOO_MANY_ANYWHERE, until, latest }));
                }
                None
            }
        };
        Ok(Ok(SignInAttempt { from_network, from_anywhere }))
    }

    /// Clears the attempts from a network after a right password. Those from elsewhere stay.
    ///
    /// # Errors
    /// 503 when the counts are unavailable.
    pub async fn succeeded(&self, attempt: &SignInAttempt) -> Result<(), Error> {
        let from_anywhere = async {
            match &attempt.from_anywhere {
                Some(attempt) => self.counts.take_back(attempt).await,
                None => Ok(()),
            }
        };
        futures::try_join!(self.counts.clear(&attempt.from_network), from_anywhere).map(drop)
    }

    /// Records the network of a sign-in.
    ///
    /// # Errors
    /// 503 when the counts are unavailable.
    pub async fn signed_in(&self, user: UserId, source: Option<SourceAddress>) -> Result<(), Error> {
        self.networks.record(user, &network(source), self.clock.now()).await
    }

    /// Takes one of the attempts of a signed-in user to prove the current password. Attempts of other callers do
    /// not count here, nor do these count elsewhere.
    ///
    /// # Errors
    /// 429 after too many attempts; 503 when the counts are unavailable, or too many passwords come at once.
    pub async fn proof(&self, user: UserId) -> Result<(HashPermit, Attempt), Error> {
        let counted = Counted::of_user(user);
        let waited = Instant::now();
        loop {
            let permit = HashPermit::next().await?;
            let now = self.clock.now();
            match self.counts.attempt(&counted, now).await? {
                RateLimit::Counted(attempt) => return Ok((permit, attempt)),
                RateLimit::TooMany { until, latest } => {
                    drop(permit);
                    Refusal { what: TOO_MANY_WRONG, until, latest }.wait(now, waited).await?;
                }
            }
        }
    }

    /// Clears the attempts of a signed-in user after the right password.
    ///
    /// # Errors
    /// 503 when the counts are unavailable.
    pub async fn proven(&self, attempt: &Attempt) -> Result<(), Error> {
        self.counts.clear(attempt).await
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
        // From the smallest network on: one that is refused there does not count in the larger ones.
        for (network, multiple) in networks(address) {
            let most = self.per_address.saturating_mul(multiple);
            if let RateLimit::TooMany { until, .. } = self.counts.request(&network, most, now).await? {
                return Err(too_many(TOO_MANY_REQUESTS, until, now));
            }
        }
        Ok(())
    }
}

/// Attempt above a limit.
struct Refusal {
    what: &'static str,
    until: Timestamp,
    latest: Timestamp,
}

impl Refusal {
    /// Waits for the results of running attempts, one of which may turn out to be no failure.
    ///
    /// # Errors
    /// 429 when none is running any more.
    async fn wait(self, now: Timestamp, waited: Instant) -> Result<(), Error> {
        let Self { what, until, latest } = self;
        if now.since(latest) >= RUNNING || waited.elapsed() >= RUNNING {
            return Err(too_many(what, until, now));
        }
        tokio::time::sleep(PAUSE.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
        Ok(())
    }
}

fn too_many(what: &str, until: Timestamp, now: Timestamp) -> Error {
    Error::too_many_requests(what, until.since(now))
}

/// Callers without a known address share one network.
const UNKNOWN: &str = "unknown";

/// Network for which sign-ins are counted.
fn network(address: Option<SourceAddress>) -> String {
    let Some(SourceAddress(address)) = address else { return UNKNOWN.to_owned() };
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => prefix(address, IPV6_NETWORK),
    }
}

/// Networks for which requests are counted, with their multiples of the limit, the smallest first.
fn networks(address: Option<SourceAddress>) -> Vec<(String, u32)> {
    let Some(SourceAddress(address)) = address else { return vec![(UNKNOWN.to_owned(), 1)] };
    match address.to_canonical() {
        IpAddr::V4(address) => vec![(address.to_string(), 1)],
        IpAddr::V6(address) => {
            IPV6_PREFIXES.map(|(length, multiple)| (prefix(address, length), multiple)).to_vec()
        }
    }
}

fn prefix(address: Ipv6Addr, length: u32) -> String {
    let kept = u128::MAX << (Ipv6Addr::BITS - length);
    format!("{}/{length}", Ipv6Addr::from_bits(address.to_bits() & kept))
}

impl RateLimiter for RateLimits {
    fn count(&self, address: Option<SourceAddress>) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.request(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<SourceAddress> {
        Some(SourceAddress(text.parse().unwrap()))
    }

    #[test]
    fn requests_count_by_ipv4_address_and_ipv6_prefixes() {
        let one = |network: &str, multiple| (network.to_owned(), multiple);
        for same in ["192.0.2.7", "::ffff:192.0.2.7"] {
            assert_eq!(networks(address(same)), [one("192.0.2.7", 1)]);
        }
        let (smallest, small, large) = ("2001:db8:1:203::/64", "2001:db8:1:200::/56", "2001:db8:1::/48");
        let all = [one(smallest, 1), one(small, 4), one(large, 16)];
        for same in ["2001:db8:1:203::1", "2001:db8:1:203:ffff::"] {
            assert_eq!(networks(address(same)), all);
        }
        assert_eq!(networks(None), [one("unknown", 1)]);
    }

    #[test]
    fn sign_ins_count_by_ipv4_address_and_ipv6_56() {
        assert_eq!(network(address("192.0.2.7")), "192.0.2.7");
        assert_eq!(network(address("::ffff:192.0.2.7")), "192.0.2.7");
        assert_eq!(network(address("2001:db8:1:2ff::1")), "2001:db8:1:200::/56");
        assert_ne!(network(address("2001:db8:1:2ff::1")), network(address("2001:db8:1:3ff::1")));
    }
}
