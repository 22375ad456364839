//! State of the jobs between their runs: what each has left, and what it has set aside. For people who watch.

use std::time::Duration;

use shared::auth::Access;
use shared::error::Error;
use shared::runtime::context::Context;
use shared::values::clock::Timestamp;

use super::orders::least_age;
use super::{HOLD_AGE, MEMORY};
use crate::service::OrderService;
use crate::store::{Job, SetAsideMark, Unfinished};

/// Maximum number of set-aside orders that are listed for a job.
const MAX_SET_ASIDE: i64 = 100;

/// Maximum time of a call to products, for which the rest of the answer waits.
const PRODUCTS_TIMEOUT: Duration = Duration::from_secs(3);

/// State of a job between its runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobState {
    /// The job.
    pub job: Job,
    /// Age of the oldest thing that is due, in all shards. None if nothing is, as far as it is known.
    pub oldest_due: Option<Duration>,
    /// True if products did not answer, which knows the rest.
    pub incomplete: bool,
    /// Orders that it has set aside, up to 100, those with the earliest next attempt first.
    pub set_aside: Vec<SetAsideMark>,
}

impl OrderService {
    /// Reads the state of all jobs: for each the first entry of an index, and up to 100 marks.
    ///
    /// # Errors
    /// 403 unless the caller is staff or an admin. 503 when MongoDB is unavailable.
    pub async fn jobs(&self, context: &Context) -> Result<Vec<JobState>, Error> {
        Access::Staff.check(context.caller)?;
        let now = self.clock.now();
        let position = self.store.last_position(Job::Holds, now).await?;
        let deadline = context.deadline.min(now.after(PRODUCTS_TIMEOUT));
        let context = Context { deadline, ..context.clone() };
        let (entry, live, ended) = futures::join!(
            self.products.oldest_entry(&context),
            self.products.first_hold_due(&context, false, HOLD_AGE, position),
            self.products.first_hold_due(&context, true, MEMORY, None),
        );
        let mut states = Vec::with_capacity(Job::ALL.len());
        for job in Job::ALL {
            let set_aside = self.store.list_set_aside(job, MAX_SET_ASIDE).await?;
            let (oldest_due, incomplete) = match job {
                Job::Tasks => (self.oldest_due(Unfinished::Tasks, now).await?, false),
                Job::Changes => (self.oldest_due(Unfinished::Changes, now).await?, false),
                Job::Expiry => (self.oldest_due(Unfinished::Payment, now).await?, false),
                Job::Folding => of_products(job, entry.as_ref().map(|at| at.map(|at| now.since(at)))),
                Job::Holds => {
                    // The walk has passed those that are set aside.
                    let since = self.store.oldest_set_aside(job).await?;
                    let (walked, incomplete) = of_products(job, live.as_ref().copied());
                    (walked.max(since.map(|at| now.since(at))), incomplete)
                }
                Job::Pruning => of_products(job, ended.as_ref().copied()),
            };
            states.push(JobState { job, oldest_due, incomplete, set_aside });
        }
        Ok(states)
    }

    /// Age of the oldest order with such work that is due.
    async fn oldest_due(&self, kind: Unfinished, now: Timestamp) -> Result<Option<Duration>, Error> {
        let oldest = self.store.oldest_unfinished(kind, now.before(least_age(kind))).await?;
        Ok(oldest.map(|at| now.since(at)))
    }
}

/// Age of what products knows to be due, and whether it is missing.
fn of_products(job: Job, answer: Result<Option<Duration>, &Error>) -> (Option<Duration>, bool) {
    match answer {
        Ok(age) => (age, false),
        Err(error) => {
            let (job, causes) = (job.name(), error.causes());
            tracing::warn!(job, causes, "the age of what is due is not known: {error}");
            (None, true)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_that_products_does_not_tell_is_missing() {
        let age = Some(Duration::from_secs(7));
        assert_eq!(of_products(Job::Holds, Ok(age)), (age, false));
        assert_eq!(of_products(Job::Holds, Ok(None)), (None, false));
        let away = Error::unavailable("away");
        assert_eq!(of_products(Job::Holds, Err(&away)), (None, true));
    }
}
