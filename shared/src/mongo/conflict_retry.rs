//! Retry loop with jittered backoff for optimistic-concurrency conflicts.

use std::time::Duration;

use tokio::time::Instant;

use super::{confirm_refusals, confirmed};
use crate::error::Error;

/// Time limit of a change: shorter than its client waits. It is not a number of tries, as each try takes
/// longer on a busy machine. So do the concurrent writers.
const PATIENCE: Duration = Duration::from_secs(15);

/// Longest pause. Pauses grow up to it, so that some of many writers succeed soon. Waiting ones do not load
/// the machine with reads.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Time for which a concurrent multi-step change may finish first. One that takes longer may have crashed.
const YIELD_FOR: Duration = Duration::from_secs(2);

/// State of one change's retries.
#[derive(Debug)]
pub struct ConflictRetry {
    began: Instant,
    conflicts: u32,
    /// Version from which another writer's multi-step change started, and the time since which that is known.
    other_writer: Option<(i64, Instant)>,
}

impl Default for ConflictRetry {
    fn default() -> Self {
        Self { began: Instant::now(), conflicts: 0, other_writer: None }
    }
}

impl ConflictRetry {
    /// Runs `decide`, which reads a document and decides about a write; `None`: nothing is to be written. A refusal
    /// and `None` are decided again on confirmed reads, as no write would find out that the document is an older
    /// one. After a conflict all reads are confirmed: others may not show the version that was written meanwhile.
    ///
    /// # Errors
    /// Error of `decide`. 503 when what it has read cannot be confirmed.
    pub async fn decide<T, W, D>(&self, decide: impl Fn() -> D) -> Result<(T, Option<W>), Error>
    where
        D: Future<Output = Result<(T, Option<W>), Error>>,
    {
        if self.conflicts == 0
            && let decided @ (_, Some(_)) = confirm_refusals(&decide).await?
        {
            return Ok(decided);
        }
        confirmed(decide()).await
    }

    /// Records a conflict, and pauses before the next try. The pause is random, so that two writers do not
    /// meet again.
    ///
    /// # Errors
    /// 503 after 15 seconds; `what` names the document for the log.
    pub async fn conflict(&mut self, what: impl std::fmt::Display) -> Result<(), Error> {
        self.conflicts += 1;
        if self.began.elapsed() > PATIENCE {
            return Err(Error::unavailable(format!("{what} changed in between {} times", self.conflicts)));
        }
        tracing::debug!(conflicts = self.conflicts, "{what} changed in between; reading it again");
        let longest = Duration::from_millis(1 << self.conflicts.min(16)).min(LONGEST_PAUSE);
        tokio::time::sleep(longest.mul_f64(rand::random())).await;
        Ok(())
    }

    /// Returns true if the caller should wait for another writer's multi-step change from this version. If
    /// each of many writers aborted the change of the one before, none would finish.
    pub fn should_yield(&mut self, version: i64) -> bool {
        match self.other_writer {
            Some((known, since)) if known == version => since.elapsed() < YIELD_FOR,
            _ => {
                self.other_writer = Some((version, Instant::now()));
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
    async fn a_writer_at_work_may_finish_unless_it_stalls() {
        let mut retry = ConflictRetry::default();
        assert!(retry.should_yield(7));
        tokio::time::advance(YIELD_FOR).await;
        assert!(!retry.should_yield(7));
        assert!(retry.should_yield(9), "another writer, or the next step");
    }
}
