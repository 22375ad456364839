//! Reconcile: completes work that crashes, lost answers and unpaid orders leave behind. A schedule calls it
//! every minute.
//!
//! It has six jobs. None can stop another: each has its share of the time, its own saved position, and what
//! fails is set aside with a growing delay. Only a database that is away ends a run.
//!
//! All of it may run beside itself and beside any request: each step is a conditional write, or an idempotent
//! call. It stops before its deadline, and the next call continues.
//!
//! - `orders`: tasks, changes and expiry, which go through orders
//! - `folding`: moves entries of journals into the holds of their orders
//! - `holds`: ends holds without an order
//! - `pruning`: deletes old tombstones and voids
//! - `attempt`: one order, its timeout, and how it is set aside
//! - `crew`: several orders at once
//! - `turn`: shares of time, and shards
//! - `state`: what the jobs have left, between their runs

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::error::Error;
use shared::mongo::unreadable;
use shared::runtime::context::Context;
use shared::runtime::metrics;
use shared::values::clock::Timestamp;
use tokio::time::Instant;

use super::OrderService;
use crate::products::HoldCursor;
use crate::store::{self, Job, Unfinished};
use attempt::{Outages, Outcome, Worker};
use crew::Crew;
use folding::Folding;
use turn::{LEAST_TURN, Turn};

mod attempt;
mod crew;
mod folding;
mod holds;
mod orders;
mod pruning;
mod state;
mod turn;

pub use state::JobState;
pub use turn::Shard;

/// Minimum age of a hold before its order is looked up: longer than any request runs.
///
/// The walk over holds relies on it too. A hold has the time at which its document was written, by a fold or in
/// a transaction. MongoDB lets a transaction live for a minute, and looks for older ones twice a minute. So a
/// hold of this age is committed, or never will be, even if the run began half a minute ago.
///
/// An entry that is not folded is not walked over. It is folded in the same run before the walk, and its hold has
/// the time of the fold: it appears ahead of the position.
pub const HOLD_AGE: Duration = Duration::from_secs(120);

/// Minimum age of a decision before Reconcile runs its tasks, or abandons its change of items. It is longer
/// than the request that should do it.
const DECISION_AGE: Duration = Duration::from_secs(30);

/// Time for which voids and ended holds are kept, so that no late call can revive them. Calls carry a
/// deadline of half a minute at most, so none arrives that late.
const MEMORY: Duration = Duration::from_secs(3600);

/// Time reserved for the answer.
const MARGIN: Duration = Duration::from_secs(3);

/// Time within which a turn that is over must end, even if MongoDB is silent.
const GRACE: Duration = Duration::from_millis(500);

/// Maximum time in which the ages of what is left are read.
const AGES_TIMEOUT: Duration = Duration::from_secs(1);

/// Page size, in orders.
const PAGE: i64 = 100;

/// Result of one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobReport {
    /// The job.
    pub job: Job,
    /// Orders, journal entries, holds and voids that it settled.
    pub done: i64,
    /// Orders that it set aside, and entries that it could not fold; each is tried again later.
    pub set_aside: i64,
    /// Orders among them that cannot be read.
    pub unreadable: i64,
    /// Age of the oldest thing that is due and left, in all shards. None if nothing is left.
    pub oldest_due: Option<Duration>,
    /// True if it came to its end in time.
    pub finished: bool,
}

impl JobReport {
    fn of(job: Job) -> Self {
        Self { job, done: 0, set_aside: 0, unreadable: 0, oldest_due: None, finished: false }
    }

    /// True if there was nothing to do.
    pub fn is_idle(&self) -> bool {
        *self == Self { finished: true, ..Self::of(self.job) }
    }
}

/// Counts of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReconcileReport {
    /// The jobs, in their order.
    pub jobs: [JobReport; Job::ALL.len()],
    /// Orders whose ended holds were deleted.
    pub tombstones_pruned: i64,
    /// Voids that were deleted.
    pub voids_pruned: i64,
}

impl Default for ReconcileReport {
    fn default() -> Self {
        Self { jobs: Job::ALL.map(JobReport::of), tombstones_pruned: 0, voids_pruned: 0 }
    }
}

impl ReconcileReport {
    /// Report of a job.
    pub fn of(&self, job: Job) -> JobReport {
        self.jobs.iter().find(|it| it.job == job).copied().unwrap_or_else(|| JobReport::of(job))
    }

    /// Number of orders that were set aside in this run.
    pub fn set_aside(&self) -> i64 {
        self.jobs.iter().map(|job| job.set_aside).sum()
    }

    /// True if all jobs came to their end in time.
    pub fn finished(&self) -> bool {
        self.jobs.iter().all(|job| job.finished)
    }

    fn change(&mut self, job: Job, change: impl FnOnce(&mut JobReport)) {
        if let Some(report) = self.jobs.iter_mut().find(|it| it.job == job) {
            change(report);
        }
    }

    /// Records the outcome of an order.
    ///
    /// # Errors
    /// Error of a database that is away, which ends the run. Error of an order that could not be set aside,
    /// which ends the job.
    fn record(&mut self, job: Job, outcome: Outcome) -> Result<(), Error> {
        match outcome {
            Outcome::Done => self.change(job, |it| it.done += 1),
            Outcome::Nothing | Outcome::Skipped => {}
            Outcome::SetAside { unreadable } => self.change(job, |it| {
                it.set_aside += 1;
                it.unreadable += i64::from(unreadable);
            }),
            Outcome::Ends(error) => return Err(error),
        }
        Ok(())
    }

    /// Adds the run to the metrics. Ages that could not be read are unknown, and not 0.
    fn measure(&self, is_ok: bool, ages_are_read: bool) {
        let outcome = match is_ok {
            true if self.finished() => "finished",
            true => "continues",
            false => "failed",
        };
        metrics::RUNS.add([outcome], 1);
        // An hour without any order is a finding.
        metrics::ORDERS.add_nothing(["placed"]);
        for report in &self.jobs {
            let count = |number: i64| u64::try_from(number).unwrap_or(0);
            metrics::DONE.add([report.job.name()], count(report.done));
            metrics::SET_ASIDE.add([report.job.name()], count(report.set_aside));
            if ages_are_read {
                let lag = report.oldest_due.unwrap_or_default();
                metrics::LAG.set([report.job.name()], lag.as_secs_f64());
            }
            unreadable::count(usize::try_from(report.unreadable).unwrap_or(0));
        }
    }

    /// Writes a line for the run, and one for each job. What waits for its next attempt makes no idle run
    /// busy: a line every minute would say nothing new.
    fn log(&self, shard: Shard) {
        let still = |job: &JobReport| JobReport { oldest_due: None, ..*job };
        if self.jobs.iter().all(|job| still(job).is_idle()) {
            return;
        }
        let done = |job| self.of(job).done;
        tracing::info!(
            tasks_done = done(Job::Tasks),
            changes_ended = done(Job::Changes),
            holds_ended = done(Job::Holds),
            orders_expired = done(Job::Expiry),
            entries_folded = done(Job::Folding),
            tombstones_pruned = self.tombstones_pruned,
            voids_pruned = self.voids_pruned,
            set_aside = self.set_aside(),
            finished = self.finished(),
            "reconciled"
        );
        for job in self.jobs.iter().filter(|job| !job.is_idle()) {
            tracing::info!(
                job = shard.position(job.job),
                done = job.done,
                set_aside = job.set_aside,
                unreadable = job.unreadable,
                oldest_due_seconds = job.oldest_due.map_or(0, |age| age.as_secs()),
                finished = job.finished,
                "reconciled a job"
            );
        }
    }
}

impl OrderService {
    /// Runs all jobs for the orders of a shard, until its deadline.
    ///
    /// # Errors
    /// 403 unless the caller is a function or the schedule. 503 when MongoDB is unavailable: completed work
    /// stays, and the next call continues.
    pub async fn reconcile(&self, context: &Context, shard: Shard) -> Result<ReconcileReport, Error> {
        context.caller.require_system()?;
        let time = context.deadline.before(MARGIN).since(self.clock.now());
        let outages = Outages::default();
        let run = Run {
            worker: Worker { service: self, context, shard, outages: &outages },
            crew: Crew::default(),
            report: Mutex::default(),
            positions: Mutex::default(),
            folding: Mutex::default(),
        };
        let outcome = run.run(Instant::now() + time).await;
        let ages_are_read = match &outcome {
            // The ages matter less than the answer.
            Ok(()) => matches!(tokio::time::timeout(AGES_TIMEOUT, run.read_ages()).await, Ok(Ok(()))),
            Err(error) => {
                tracing::error!(causes = error.causes(), "reconcile was stopped: {error}");
                false
            }
        };
        let report = run.report.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.log(shard);
        report.measure(outcome.is_ok(), ages_are_read);
        outcome.map(|()| report)
    }
}

/// A run in progress.
struct Run<'a> {
    worker: Worker<'a>,
    crew: Crew,
    report: Mutex<ReconcileReport>,
    /// Positions among holds where a scan has come to, for those that did not come to their end.
    positions: Mutex<Vec<(Job, Duration)>>,
    /// Progress over the journals.
    folding: Mutex<Folding>,
}

/// Locks what the parts of a job share. It stays whole even if a holder panicked.
fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Run<'_> {
    fn change(&self, job: Job, change: impl FnOnce(&mut JobReport)) {
        locked(&self.report).change(job, change);
    }

    fn record(&self, job: Job, outcome: Outcome) -> Result<(), Error> {
        locked(&self.report).record(job, outcome)
    }

    /// Gives each job a turn, and more turns to those that need them while there is time.
    ///
    /// A turn is an equal share of the time that is left, and [`LEAST_TURN`] at least. What a job does not need is
    /// left to the others.
    async fn run(&self, end: Instant) -> Result<(), Error> {
        let mut open = Job::ALL.to_vec();
        loop {
            let mut again = Vec::new();
            for (place, job) in open.iter().enumerate() {
                let jobs = u32::try_from(open.len() - place).unwrap_or(u32::MAX);
                let left = end.saturating_duration_since(Instant::now());
                let share = (left / jobs).max(LEAST_TURN).min(left);
                match tokio::time::timeout(share + GRACE, self.turn(*job, Turn::begin(share))).await {
                    Ok(Ok(true)) => self.change(*job, |it| it.finished = true),
                    Ok(Ok(false)) | Err(_) => again.push(*job),
                    Ok(Err(error)) if store::is_away(&error) => return Err(error),
                    Ok(Err(error)) => {
                        let (job, causes) = (job.name(), error.causes());
                        tracing::error!(job, causes, "a job of reconcile ended early: {error}");
                    }
                }
            }
            if again.is_empty() || end.saturating_duration_since(Instant::now()) < LEAST_TURN {
                return Ok(());
            }
            open = again;
        }
    }

    /// Runs a job for a while. Returns true if it has come to its end.
    async fn turn(&self, job: Job, turn: Turn) -> Result<bool, Error> {
        match job {
            Job::Tasks => self.go_through(Unfinished::Tasks, turn).await,
            Job::Changes => self.go_through(Unfinished::Changes, turn).await,
            Job::Expiry => self.go_through(Unfinished::Payment, turn).await,
            Job::Folding => self.fold(turn).await,
            Job::Holds => self.end_holds(turn).await,
            Job::Pruning => self.prune(turn).await,
        }
    }

    /// Notes how far behind a scan over holds is that has not come to its end. Holds before its position are
    /// settled, so the next one is younger than that.
    fn note_lag(&self, job: Job, position: Option<HoldCursor>, now: Timestamp, age: Duration) {
        let mut positions = locked(&self.positions);
        positions.retain(|(other, _)| *other != job);
        positions.extend(position.map(|at| (job, now.before(age).since(at.at))));
    }

    /// Reads the age of the oldest thing that each job has left.
    async fn read_ages(&self) -> Result<(), Error> {
        let (store, now) = (&self.worker.service.store, self.worker.service.clock.now());
        for job in [Unfinished::Tasks, Unfinished::Changes, Unfinished::Payment] {
            let until = now.before(orders::least_age(job));
            let oldest = store.oldest_unfinished(job, until).await?;
            self.change(orders::job_of(job), |it| it.oldest_due = oldest.map(|at| now.since(at)));
        }
        let oldest = locked(&self.folding).oldest();
        self.change(Job::Folding, |it| it.oldest_due = oldest.map(|at| now.since(at)));
        let oldest = store.oldest_set_aside(Job::Holds).await?;
        self.change(Job::Holds, |it| it.oldest_due = oldest.map(|at| now.since(at)));
        for (job, lag) in locked(&self.positions).iter() {
            self.change(*job, |it| it.oldest_due = it.oldest_due.max(Some(*lag)));
        }
        Ok(())
    }
}
