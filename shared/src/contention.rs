//! What to do when somebody else was faster with a conditional write: wait a little, look again.

use std::time::Duration;

use crate::error::Error;

/// How often a change is tried. With the pauses that is about two seconds: longer means that something is
/// wrong, and not that many people are busy.
const TRIES: u32 = 40;

/// The longest pause: it grows up to here, so that of many writers some come through soon.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// The tries of one change.
#[derive(Debug, Default)]
pub struct Contention {
    lost: u32,
}

impl Contention {
    /// Notes that somebody else was faster, and pauses before the next try: at random, so that those who met
    /// once do not meet again.
    ///
    /// # Errors
    /// 503 after too many tries; `what` is for the log.
    pub async fn lost(&mut self, what: impl std::fmt::Display) -> Result<(), Error> {
        self.lost += 1;
        if self.lost == TRIES {
            return Err(Error::unavailable(format!("{what} changed {TRIES} times in between")));
        }
        let longest = Duration::from_millis(1 << self.lost.min(16)).min(LONGEST_PAUSE);
        tokio::time::sleep(longest.mul_f64(rand::random())).await;
        Ok(())
    }
}
