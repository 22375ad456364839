//! What to do when somebody else was faster with a conditional write: wait a little, look again.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::Error;

/// How long a change is tried: less than its client waits. It is a time and not a number of tries, since on a busy
/// machine each try takes longer, and so do the others who are in the way.
const PATIENCE: Duration = Duration::from_secs(15);

/// The longest pause: it grows up to here, so that of many writers some come through soon, and those who wait do not
/// keep the machine busy with looking.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// How long somebody who is at work in several steps is let finish. Who takes longer may have crashed.
const COURTESY: Duration = Duration::from_secs(2);

/// The tries of one change.
#[derive(Debug)]
pub struct ConflictRetry {
    began: Instant,
    lost: u32,
    /// The version that somebody else is at work from, and since when that is known.
    at_work: Option<(i64, Instant)>,
}

impl Default for ConflictRetry {
    fn default() -> Self {
        Self { began: Instant::now(), lost: 0, at_work: None }
    }
}

impl ConflictRetry {
    /// Notes that somebody else was faster, and pauses before the next try: at random, so that those who met
    /// once do not meet again.
    ///
    /// # Errors
    /// 503 after too long a time; `what` is for the log.
    pub async fn conflict(&mut self, what: impl std::fmt::Display) -> Result<(), Error> {
        self.lost += 1;
        if self.began.elapsed() > PATIENCE {
            return Err(Error::unavailable(format!("{what} changed in between {} times", self.lost)));
        }
        let longest = Duration::from_millis(1 << self.lost.min(16)).min(LONGEST_PAUSE);
        tokio::time::sleep(longest.mul_f64(rand::random())).await;
        Ok(())
    }

    /// Whether to wait for somebody else who is at work in several steps from this version. Where each of many who
    /// come at once would end the work of the one before, none would come to an end.
    pub fn should_yield(&mut self, version: i64) -> bool {
        match self.at_work {
            Some((known, since)) if known == version => since.elapsed() < COURTESY,
            _ => {
                self.at_work = Some((version, Instant::now()));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_change_is_tried_for_a_bounded_time() {
        let mut retry = ConflictRetry::default();
        let began = Instant::now();
        while retry.conflict("an order").await.is_ok() {}
        assert!((PATIENCE..PATIENCE + LONGEST_PAUSE * 2).contains(&began.elapsed()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_at_work_is_let_finish_unless_nothing_moves() {
        let mut retry = ConflictRetry::default();
        assert!(retry.should_yield(7));
        tokio::time::advance(COURTESY).await;
        assert!(!retry.should_yield(7));
        assert!(retry.should_yield(9), "somebody else, or the next step");
    }
}
