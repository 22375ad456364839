//! One order at work: its timeout, and how it is set aside when it fails.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use shared::error::{Error, Kind};
use shared::runtime::context::Context;
use shared::values::ids::{OrderId, ProductId};
use tokio::time::Instant;

use super::crew::Reaction;
use super::turn::{CALL_TIMEOUT, Shard, Turn};
use crate::order::Order;
use crate::service::OrderService;
use crate::store::{self, Job, LONGEST_DELAY, Reason, Stored, Void};

/// Time without an answer from which a failed call counts as stalled.
const STALL: Duration = Duration::from_secs(1);

/// Time within which a call that fails at once is repeated.
const REPEATING: Duration = Duration::from_millis(300);

/// Longest pause before a call is repeated for the first time. It doubles from one time to the next: an order that
/// waits keeps others from its place.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// Longest pause before a call is repeated.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Number of failed calls of a run that are repeated before any call succeeds.
const TOLERATED: u32 = 10;

/// Delay before the second attempt. It doubles from one attempt to the next.
const FIRST_DELAY: Duration = Duration::from_secs(60);

/// Access to orders and products for one run.
#[derive(Clone, Copy)]
pub(super) struct Worker<'a> {
    pub(super) service: &'a OrderService,
    pub(super) context: &'a Context,
    pub(super) shard: Shard,
    pub(super) outages: &'a Outages,
}

/// Outcome of an order.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is settled.
    Done,
    /// There was nothing to do any more.
    Nothing,
    /// One of its products may be stuck: it was not tried.
    Skipped,
    /// It failed, and was set aside.
    SetAside { unreadable: bool },
    /// MongoDB is away, or it failed and could not be set aside.
    Ends(Error),
}

/// Failure of an order.
#[derive(Debug)]
pub(super) enum Failure {
    /// Its document cannot be read.
    Unreadable,
    /// Its product is stuck.
    Stuck,
    /// Any other error.
    Error(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Result of the work on an order, with the reaction of products.
pub(super) type Acted = Result<(Outcome, Reaction), (Failure, Reaction)>;

/// Order that is due for a job.
#[derive(Debug)]
pub(super) struct Due {
    /// Order ID.
    pub(super) order: OrderId,
    /// Number of failed attempts before.
    pub(super) attempts: i64,
    /// Its document; none if there is none, or if the job does not need it.
    pub(super) stored: Option<Result<Stored, Error>>,
}

impl<'a> Worker<'a> {
    /// Runs `act` for an order within the time of the turn. Sets the order aside if that fails, and clears
    /// that when it is settled.
    pub(super) async fn attempt(
        self,
        job: Job,
        order: OrderId,
        attempts: i64,
        turn: Turn,
        act: impl Future<Output = Acted>,
    ) -> (Outcome, Reaction) {
        let (reason, error, reaction) = match tokio::time::timeout(turn.order_timeout(), act).await {
            Ok(Ok((outcome @ (Outcome::Done | Outcome::Nothing), reaction))) if attempts > 0 => {
                return match self.service.store.clear_set_aside(job, order).await {
                    Ok(()) => (outcome, reaction),
                    Err(error) => (Outcome::Ends(error), reaction),
                };
            }
            Ok(Ok(done)) => return done,
            Err(_) => (Reason::TooSlow, None, Reaction::Stalled),
            Ok(Err((Failure::Unreadable, reaction))) => (Reason::Unreadable, None, reaction),
            Ok(Err((Failure::Stuck, reaction))) => (Reason::ProductsUnavailable, None, reaction),
            Ok(Err((Failure::Error(error), reaction))) if store::is_away(&error) => {
                return (Outcome::Ends(error), reaction);
            }
            Ok(Err((Failure::Error(error), reaction))) => (reason_for(&error), Some(error), reaction),
        };
        let outcome = match self.set_aside(job, order, attempts + 1, reason, error.as_ref()).await {
            Ok(()) => Outcome::SetAside { unreadable: reason == Reason::Unreadable },
            Err(error) => Outcome::Ends(error),
        };
        (outcome, reaction)
    }

    async fn set_aside(
        self,
        job: Job,
        order: OrderId,
        attempts: i64,
        reason: Reason,
        error: Option<&Error>,
    ) -> Result<(), Error> {
        let now = self.service.clock.now();
        let due = now.after(delay_after(attempts));
        let (job_name, reason_name) = (job.name(), reason.name());
        // MongoDB's text about an invalid document repeats its values.
        let error = error.filter(|error| !store::is_from_store(error)).map(Error::to_string);
        tracing::warn!(job = job_name, %order, reason = reason_name, attempts, %due, error, "an order is set aside");
        self.service.store.set_aside(job, order, reason, attempts, now, due).await
    }

    /// Context for calls to products about one order.
    pub(super) fn call_context(self) -> Context {
        let deadline = self.context.deadline.min(self.service.clock.now().after(CALL_TIMEOUT));
        Context { deadline, ..self.context.clone() }
    }

    /// Runs the tasks of an order. Returns the reaction of products with the result.
    pub(super) async fn run_tasks(self, mut order: Order) -> (Result<(), Error>, Reaction) {
        let context = self.call_context();
        let (begun, mut failed) = (Instant::now(), 0);
        loop {
            let done = self.service.try_tasks(&context, &mut order).await;
            if self.outages.ends(&done, begun) {
                return with_reaction(done, begun);
            }
            failed += 1;
            pause(failed).await;
        }
    }

    /// Ends the hold of a void. Returns the reaction of products with the result.
    pub(super) async fn end_hold(self, void: Void) -> (Result<(), Error>, Reaction) {
        let context = self.call_context();
        let (begun, mut failed) = (Instant::now(), 0);
        loop {
            let done = self.service.end_hold(&context, void.clone()).await;
            if self.outages.ends(&done, begun) {
                return with_reaction(done, begun);
            }
            failed += 1;
            pause(failed).await;
        }
    }

    /// Looks up the products that are held for IDs without items: voids, and IDs without a document.
    ///
    /// If products does not answer, all of them count as one product, and are worked on one by one.
    pub(super) async fn held_products(self, orders: &[OrderId]) -> HashMap<OrderId, Vec<ProductId>> {
        if orders.is_empty() {
            return HashMap::new();
        }
        let unknown = ProductId::from_uuid(uuid::Uuid::nil());
        let mut found: HashMap<OrderId, Vec<ProductId>> = HashMap::new();
        match self.service.products.holds_of(&self.call_context(), orders).await {
            Ok(holds) => {
                for hold in holds {
                    found.entry(hold.order).or_default().push(hold.product);
                }
            }
            Err(_) => found.extend(orders.iter().map(|order| (*order, vec![unknown]))),
        }
        found
    }
}

/// Calls of a run that products answered, and that failed at once.
///
/// A call that fails at once is repeated after a short pause, while most calls succeed. The channel's own
/// retries end much earlier: they are for a function that fails now and then.
#[derive(Debug, Default)]
pub(super) struct Outages {
    answered: AtomicU32,
    failed: AtomicU32,
}

impl Outages {
    /// Records a result. Returns true if it is final.
    fn ends(&self, done: &Result<(), Error>, begun: Instant) -> bool {
        match done {
            Ok(()) => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(error) if store::is_from_store(error) || error.kind() != Kind::Unavailable => true,
            Err(_) => {
                let failed = self.failed.fetch_add(1, Ordering::Relaxed);
                let allowed =
                    TOLERATED.saturating_add(self.answered.load(Ordering::Relaxed).saturating_mul(2));
                failed >= allowed || begun.elapsed() >= REPEATING
            }
        }
    }
}

/// Waits before a call is repeated that has failed so many times. The time is random, so that calls that failed
/// together do not meet again.
async fn pause(failed: u32) {
    tokio::time::sleep(longest_pause(failed).mul_f64(rand::random())).await;
}

/// Longest pause after so many failures.
fn longest_pause(failed: u32) -> Duration {
    let doublings = failed.saturating_sub(1).min(16);
    FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE)
}

fn with_reaction(done: Result<(), Error>, begun: Instant) -> (Result<(), Error>, Reaction) {
    let reaction = match &done {
        Ok(()) => Reaction::Answered,
        Err(error) if store::is_from_store(error) => Reaction::None,
        Err(_) if begun.elapsed() >= STALL => Reaction::Stalled,
        Err(_) => Reaction::None,
    };
    (done, reaction)
}

/// Reason for setting an order aside after this error.
fn reason_for(error: &Error) -> Reason {
    if store::is_invalid(error) {
        Reason::Invalid
    } else if store::is_from_store(error) {
        Reason::Failed
    } else if error.kind() == Kind::Unavailable {
        Reason::ProductsUnavailable
    } else {
        Reason::Refused
    }
}

/// Delay after so many failed attempts: 1, 2, 4 minutes and so on, up to an hour.
fn delay_after(attempts: i64) -> Duration {
    // More doublings than that exceed the longest delay anyway.
    let doublings = attempts.saturating_sub(1).clamp(0, 16);
    FIRST_DELAY.saturating_mul(1 << doublings).min(LONGEST_DELAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_from_a_minute_to_an_hour() {
        let minutes = |attempts| delay_after(attempts).as_secs() / 60;
        assert_eq!([1, 2, 3, 4, 5, 6, 7, 8].map(minutes), [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!([0, -1, i64::MAX].map(minutes), [1, 1, 60]);
    }

    #[test]
    fn pauses_double_to_50_ms() {
        let millis = |failed| longest_pause(failed).as_millis();
        assert_eq!([0, 1, 2, 3, 4, u32::MAX].map(millis), [10, 10, 20, 40, 50, 50]);
    }

    #[tokio::test]
    async fn calls_are_repeated_only_while_most_succeed() {
        let outages = Outages::default();
        let begun = Instant::now();
        let failed = || Err(Error::unavailable("away"));
        assert_eq!((0..20).filter(|_| !outages.ends(&failed(), begun)).count(), 10);
        for _ in 0..10 {
            assert!(outages.ends(&Ok(()), begun));
        }
        assert_eq!((0..20).filter(|_| !outages.ends(&failed(), begun)).count(), 10);
        assert!(Outages::default().ends(&failed(), begun - REPEATING));
        assert!(Outages::default().ends(&Err(Error::internal("refused")), begun));
    }

    #[test]
    fn a_reason_follows_from_where_an_error_comes_from() {
        assert_eq!(reason_for(&Error::unavailable("away")), Reason::ProductsUnavailable);
        assert_eq!(reason_for(&Error::internal("short")), Reason::Refused);
    }
}
