//! Work that ends before a deadline, whatever it does.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use shared::values::clock::{Clock, Timestamp};

/// End of work that has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It was not done in time, and was dropped.
    Late,
    /// It panicked.
    Panicked,
}

/// Runs `work` until this time.
///
/// # Errors
/// Why there is no result.
pub(crate) async fn until<T>(
    deadline: Timestamp,
    clock: &Clock,
    work: impl Future<Output = T>,
) -> Result<T, Cut> {
    let left = deadline.since(clock.now());
    match tokio::time::timeout(left, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(_)) => Err(Cut::Panicked),
        Err(_) => Err(Cut::Late),
    }
}

/// Time at which work has to end, so that its outcome can still be reported: `reserve` before the deadline, or less
/// if there is little time.
pub(crate) fn with_reserve(deadline: Timestamp, clock: &Clock, reserve: Duration) -> Timestamp {
    let left = deadline.since(clock.now());
    deadline.before(reserve.min(left / 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_ends_at_its_deadline_and_by_a_panic() {
        let clock = Clock::system();
        let soon = clock.now().after(Duration::from_millis(20));
        assert_eq!(until(soon, &clock, std::future::pending::<()>()).await, Err(Cut::Late));
        let later = clock.now().after(Duration::from_secs(60));
        assert_eq!(until(later, &clock, async { 1 }).await, Ok(1));
        let panicking = async { assert_eq!(clock.now().millis(), 0, "this panic is part of the test") };
        assert_eq!(until(later, &clock, panicking).await, Err(Cut::Panicked));
    }

    #[test]
    fn little_time_leaves_a_quarter_for_the_report() {
        let clock = Clock::from_fn(|| Timestamp::from_millis(1_000));
        let reserve = Duration::from_secs(15);
        let end = |deadline| with_reserve(Timestamp::from_millis(deadline), &clock, reserve).millis();
        assert_eq!((end(901_000), end(5_000), end(500)), (886_000, 4_000, 500));
    }
}
