//! Secret of the edge: which values are accepted, and how a rotation is noticed.
//!
//! The current value is accepted and the previous one, so that CloudFront may change over while requests run. Values
//! are fetched again at an age of five minutes, and as soon as a request shows an unknown one.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ring::hmac;
use tokio::sync::Mutex;

use crate::error::Error;
use crate::runtime::config::EDGE_SECRET;
use crate::runtime::secrets::{Secret, SecretSource};
use crate::values::clock::{Clock, Timestamp};

/// Length of a secret in bytes. CloudFront adds a header of at most 1,783 bytes.
const LENGTH: std::ops::RangeInclusive<usize> = 32..=256;

/// Age at which the secret is fetched again, in the course of a request.
const MAX_AGE: Duration = Duration::from_secs(300);

/// Maximum time of a fetch; after that the known values are used.
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);

/// Time without another fetch for an unknown value. It bounds a client who makes up one after the other.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(10);

/// Secret that proves that a request comes through CloudFront. Clones share what is fetched.
#[derive(Clone)]
pub struct EdgeSecret {
    source: Arc<dyn SecretSource>,
    /// Another secret that is accepted, while the secret is exchanged.
    other: Option<Arc<dyn SecretSource>>,
    clock: Clock,
    /// Locked for a moment, never while fetching.
    held: Arc<RwLock<Held>>,
    /// Held by the request that fetches.
    fetching: Arc<Mutex<()>>,
}

#[derive(Clone)]
struct Held {
    accepted: Arc<[Accepted]>,
    /// Time of the next fetch, whichever value is shown.
    stale: Timestamp,
    /// End of the time without a fetch for an unknown value.
    in_vain: Timestamp,
    /// True if the last fetch failed: then an unknown value may be good after all.
    failed: bool,
}

/// Accepted value, in a form that is compared in constant time.
struct Accepted {
    key: hmac::Key,
    tag: hmac::Tag,
}

impl Accepted {
    fn new(secret: &Secret) -> Self {
        let text = secret.expose().as_bytes();
        let key = hmac::Key::new(hmac::HMAC_SHA256, text);
        Self { tag: hmac::sign(&key, text), key }
    }

    fn is(&self, shown: &[u8]) -> bool {
        hmac::verify(&self.key, shown, self.tag.as_ref()).is_ok()
    }
}

impl EdgeSecret {
    /// Creates it; the secret is fetched later. `other` is accepted, too.
    pub fn new(source: Arc<dyn SecretSource>, other: Option<Arc<dyn SecretSource>>, clock: Clock) -> Self {
        let long_ago = Timestamp::from_millis(0);
        let held = Held { accepted: Arc::new([]), stale: long_ago, in_vain: long_ago, failed: false };
        Self { source, other, clock, held: Arc::new(RwLock::new(held)), fetching: Arc::default() }
    }

    /// Rule for the secret, which is the value of a header.
    ///
    /// # Errors
    /// Message that does not repeat the secret.
    pub fn check(text: &str) -> Result<(), String> {
        if LENGTH.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(());
        }
        let (least, most) = (LENGTH.start(), LENGTH.end());
        Err(format!(
            "must have {least} to {most} visible ASCII characters without spaces; `openssl rand -hex 32` makes one"
        ))
    }

    /// Fetches the secret, unless it is known.
    ///
    /// # Errors
    /// 503 if it is unavailable or malformed.
    pub(super) async fn open(&self) -> Result<(), Error> {
        if self.held().accepted.is_empty() {
            let accepted = self.fetched().await?;
            self.keep(accepted);
        }
        Ok(())
    }

    /// Returns true if this value is the secret, or a previous one.
    ///
    /// # Errors
    /// 503 if that cannot be found out.
    pub(super) async fn accepts(&self, shown: &[u8]) -> Result<bool, Error> {
        let held = self.held();
        let is_known = held.has(shown);
        if held.needs_fetch(is_known, self.clock.now()) {
            // One request fetches. Those with an unknown value wait for it; the others go on.
            let turn =
                if is_known { self.fetching.try_lock().ok() } else { Some(self.fetching.lock().await) };
            let held = self.held();
            if turn.is_some() && held.needs_fetch(held.has(shown), self.clock.now()) {
                self.fetch().await;
            }
        }
        let held = self.held();
        match held.has(shown) {
            false if held.failed => Err(Error::unavailable("whether there is a new EDGE_SECRET is unknown")),
            is_known => Ok(is_known),
        }
    }

    /// Fetches the secret again. After a failure the known values stay.
    async fn fetch(&self) {
        match self.fetched().await {
            Ok(accepted) => self.keep(accepted),
            Err(error) => {
                let (name, causes) = (EDGE_SECRET.name, error.causes());
                tracing::warn!(causes, "{name} cannot be fetched again; known values are used");
                let next = self.clock.now().after(UNKNOWN_PAUSE);
                let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
                (held.stale, held.in_vain, held.failed) = (next, next, true);
            }
        }
    }

    /// Fetches the accepted values, the current one first.
    async fn fetched(&self) -> Result<Vec<Accepted>, Error> {
        let fetch = async {
            // One after the other: were the previous one read first, a rotation in between would hide the current.
            let mut secrets = vec![self.source.current().await?];
            secrets.extend(self.source.previous().await?);
            if let Some(other) = &self.other {
                secrets.push(other.current().await?);
            }
            // A text that is no secret has never been one.
            let good = secrets.iter().filter(|secret| Self::check(secret.expose()).is_ok());
            Ok(good.map(Accepted::new).collect())
        };
        tokio::time::timeout(FETCH_TIMEOUT, fetch).await.unwrap_or_else(|late| Err(Error::unavailable(late)))
    }

    fn keep(&self, accepted: Vec<Accepted>) {
        let now = self.clock.now();
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        *held = Held {
            accepted: accepted.into(),
            stale: now.after(MAX_AGE),
            in_vain: now.after(UNKNOWN_PAUSE),
            failed: false,
        };
    }

    fn held(&self) -> Held {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Held {
    /// True if a value is accepted. Which one it is, is no secret.
    fn has(&self, shown: &[u8]) -> bool {
        self.accepted.iter().any(|accepted| accepted.is(shown))
    }

    fn needs_fetch(&self, is_known: bool, now: Timestamp) -> bool {
        now >= self.stale || (!is_known && now >= self.in_vain)
    }
}

#[cfg(test)]
mod tests;
