//! Reconcile: completes work that crashes, lost answers and unpaid orders leave behind. A schedule calls it
//! every minute.
//!
//! All of it may run beside itself and beside any request: each step is a conditional write, or an idempotent
//! call. It stops before its deadline, and the next call continues.

use std::time::Duration;

use shared::error::Error;
use shared::runtime::context::Context;
use shared::values::clock::Timestamp;
use shared::values::ids::OrderId;

use super::OrderService;
use crate::products::HoldCursor;
use crate::store::{ReconcileScan, Stored, Unfinished};

/// Minimum age of a hold before its order is looked up: longer than any request runs.
pub const HOLD_AGE: Duration = Duration::from_secs(120);

/// Minimum age of a decision before Reconcile runs its tasks, or abandons its change of items. It is longer
/// than the request that should do it.
const DECISION_AGE: Duration = Duration::from_secs(30);

/// Time for which voids and ended holds are kept, so that no late call can revive them. Calls carry a
/// deadline of half a minute at most, so none arrives that late.
const MEMORY: Duration = Duration::from_secs(3600);

/// Overlap of a scan over holds with the time before its watermark. A hold has the time at which its write
/// began, and is visible only once that commits. MongoDB aborts transactions after a minute.
const OVERLAP: Duration = Duration::from_secs(120);

/// Time reserved for the answer.
const MARGIN: Duration = Duration::from_secs(3);

/// Page size, in orders.
const STEP: i64 = 100;

/// Counts of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReconcileReport {
    /// Orders and voids whose tasks were run.
    pub tasks_done: i64,
    /// Changes of items that were abandoned.
    pub changes_ended: i64,
    /// Holds without an order that were ended.
    pub holds_ended: i64,
    /// Unpaid orders that were cancelled.
    pub orders_expired: i64,
    /// Ended holds that were deleted.
    pub tombstones_pruned: i64,
    /// Voids that were deleted.
    pub voids_pruned: i64,
    /// Failures; each is tried again.
    pub deferred: i64,
    /// True if the run came to its end in time.
    pub finished: bool,
}

impl OrderService {
    /// Runs all jobs, until its deadline.
    ///
    /// # Errors
    /// 403 unless the caller is a function or the schedule. 503 when MongoDB or products is unavailable:
    /// completed work stays, and the next call continues.
    pub async fn reconcile(&self, context: &Context) -> Result<ReconcileReport, Error> {
        context.caller.require_system()?;
        let until = context.deadline.before(MARGIN);
        let mut report = ReconcileReport::default();
        let outcome = self.run_jobs(context, until, &mut report).await;
        match &outcome {
            Ok(finished) => report.finished = *finished,
            Err(error) => {
                tracing::error!(causes = error.causes(), "reconcile was stopped: {error}");
            }
        }
        // An idle run is not worth a log line every minute.
        if report == (ReconcileReport { finished: true, ..ReconcileReport::default() }) {
            return outcome.map(|_| report);
        }
        tracing::info!(
            tasks_done = report.tasks_done,
            changes_ended = report.changes_ended,
            holds_ended = report.holds_ended,
            orders_expired = report.orders_expired,
            tombstones_pruned = report.tombstones_pruned,
            voids_pruned = report.voids_pruned,
            set_aside = report.deferred,
            finished = report.finished,
            "reconciled"
        );
        outcome.map(|_| report)
    }

    /// Runs all jobs; the most valuable to the shop first. Returns true if it came to the end in time.
    async fn run_jobs(
        &self,
        context: &Context,
        until: Timestamp,
        report: &mut ReconcileReport,
    ) -> Result<bool, Error> {
        Ok(self.do_tasks(context, until, report).await?
            && self.abandon_changes(context, until, report).await?
            && self.expire(context, until, report).await?
            && self.settle_deferred(context, report).await?
            && self.settle_holds(context, until, report).await?
            && self.prune(context, until, report).await?)
    }

    fn in_time(&self, until: Timestamp) -> bool {
        self.clock.now() < until
    }

    /// Runs tasks that their request did not finish. A failing task blocks no other: the scan continues after
    /// it. At its end the scan starts over.
    async fn do_tasks(
        &self,
        context: &Context,
        until: Timestamp,
        report: &mut ReconcileReport,
    ) -> Result<bool, Error> {
        let before = self.clock.now().before(DECISION_AGE);
        let begun = self.store.cursor(ReconcileScan::Tasks).await?;
        let mut after = begun;
        loop {
            let found = self.store.find_unfinished(Unfinished::Tasks, before, after, STEP).await?;
            let Some((last, _)) = found.last() else { break };
            let last = *last;
            for (_, stored) in found {
                if !self.in_time(until) {
                    return Ok(false);
                }
                match self.do_tasks_of(context, stored).await {
                    Ok(()) => report.tasks_done += 1,
                    Err(error) => note_deferred("tasks", &error, report),
                }
            }
            after = Some(last);
            self.store.save_cursor(ReconcileScan::Tasks, last).await?;
        }
        if after.is_some() {
            self.store.delete_cursor(ReconcileScan::Tasks).await?;
        }
        Ok(true)
    }

    async fn do_tasks_of(&self, context: &Context, stored: Result<Stored, Error>) -> Result<(), Error> {
        match stored? {
            Stored::Void(void) => self.end_hold(context, void).await,
            Stored::Order(order) => {
                let order = self.run_tasks(context, *order).await;
                match order.tasks.first() {
                    None => Ok(()),
                    Some(task) => Err(Error::unavailable(format!("{} still has {task:?}", order.id))),
                }
            }
        }
    }

    /// Abandons changes of items that were left unfinished. The order keeps its items; its task releases the
    /// rest.
    async fn abandon_changes(
        &self,
        context: &Context,
        until: Timestamp,
        report: &mut ReconcileReport,
    ) -> Result<bool, Error> {
        let before = self.clock.now().before(DECISION_AGE);
        let mut after = None;
        loop {
            let found = self.store.find_unfinished(Unfinished::Changes, before, after, STEP).await?;
            let Some((last, _)) = found.last() else { return Ok(true) };
            after = Some(*last);
            for (_, stored) in found {
                if !self.in_time(until) {
                    return Ok(false);
                }
                match stored {
                    Ok(Stored::Order(order)) => {
                        let abandoned = order.abandon(self.clock.now());
                        if self.store.write(&abandoned).await? {
                            report.changes_ended += 1;
                            self.run_tasks(context, abandoned.order).await;
                        }
                    }
                    Ok(Stored::Void(_)) => {}
                    Err(error) => note_deferred("a change of items", &error, report),
                }
            }
        }
    }

    /// Cancels orders that were not paid in time.
    async fn expire(
        &self,
        context: &Context,
        until: Timestamp,
        report: &mut ReconcileReport,
    ) -> Result<bool, Error> {
        loop {
            let found = self.store.find_unpaid(self.clock.now(), STEP).await?;
            let more = i64::try_from(found.len()) == Ok(STEP);
            let mut expired_now = 0;
            for order in found {
                if !self.in_time(until) {
                    return Ok(false);
                }
                let order = match order {
                    Ok(order) => order,
                    Err(error) => {
                        note_deferred("an unpaid order", &error, report);
                        continue;
                    }
                };
                // A refused write means that a concurrent payment or cancellation was faster.
                if let Some(expired) = order.expire(self.clock.now())
                    && self.store.write(&expired).await?
                {
                    expired_now += 1;
                    self.run_tasks(context, expired.order).await;
                }
            }
            report.orders_expired += expired_now;
            if !more || expired_now == 0 {
                return Ok(true);
            }
        }
    }

    /// Tries deferred holds again, the least recently tried first.
    async fn settle_deferred(&self, context: &Context, report: &mut ReconcileReport) -> Result<bool, Error> {
        let orders = self.store.find_deferred(STEP).await?;
        if !orders.is_empty() {
            let settled = self.settle(context, &orders, report).await?;
            self.store.clear_deferred(&settled).await?;
        }
        Ok(true)
    }

    /// Checks every hold once it is old enough, and ends those without an order. The watermark is saved last,
    /// as of the time when the holds were read.
    async fn settle_holds(
        &self,
        context: &Context,
        until: Timestamp,
        report: &mut ReconcileReport,
    ) -> Result<bool, Error> {
        let watermark = self.store.cursor(ReconcileScan::Holds).await?;
        let mut after = watermark.map(|cursor| HoldCursor { at: cursor.at.before(OVERLAP), order: None });
        loop {
            if !self.in_time(until) {
                return Ok(false);
            }
            let page = self.products.list_holds(context, false, HOLD_AGE, after).await?;
            let orders = page.orders();
            self.settle(context, &orders, report).await?;
            // At the end of the scan every hold that is old enough has been checked.
            let end = HoldCursor { at: page.now.before(HOLD_AGE), order: None };
            let cursor = if page.last { Some(end) } else { page.holds.last().copied() };
            if let Some(cursor) = cursor
                && watermark.is_none_or(|watermark| watermark < cursor)
            {
                self.store.save_cursor(ReconcileScan::Holds, cursor).await?;
            }
            if page.last {
                return Ok(true);
            }
            after = page.holds.last().copied();
        }
    }

    /// Ends the holds of IDs without an order. Makes each ID void, so that a late insert is refused, and runs
    /// the void's task. Failures are deferred. Returns the settled IDs.
    async fn settle(
        &self,
        context: &Context,
        orders: &[OrderId],
        report: &mut ReconcileReport,
    ) -> Result<Vec<OrderId>, Error> {
        let mut settled = self.store.existing(orders).await?;
        for &id in orders {
            if settled.contains(&id) {
                continue;
            }
            match self.end_hold_without_order(context, id).await {
                Ok(ended) => {
                    report.holds_ended += i64::from(ended);
                    settled.push(id);
                }
                Err(error) => {
                    note_deferred(&format!("the hold of {id}"), &error, report);
                    self.store.defer(id, self.clock.now()).await?;
                }
            }
        }
        Ok(settled)
    }

    async fn end_hold_without_order(&self, context: &Context, id: OrderId) -> Result<bool, Error> {
        match self.store.insert_void(id, self.clock.now()).await? {
            // It was inserted at the last moment, and keeps its hold.
            Stored::Order(_) => Ok(false),
            Stored::Void(void) => self.end_hold(context, void).await.map(|()| true),
        }
    }

    /// Deletes voids, and ended holds of orders without a task, once they are old enough.
    async fn prune(
        &self,
        context: &Context,
        until: Timestamp,
        report: &mut ReconcileReport,
    ) -> Result<bool, Error> {
        let mut after = self.store.cursor(ReconcileScan::Tombstones).await?;
        loop {
            if !self.in_time(until) {
                return Ok(false);
            }
            let page = self.products.list_holds(context, true, MEMORY, after).await?;
            let mut orders = page.orders();
            // A repeated task must meet the tombstone that it left, or it would run twice. So the tombstone
            // stays while the task is there. It stays as long after that as a second call may be on its way.
            // The tombstone itself may be older than both.
            let since = self.clock.now().before(MEMORY);
            let busy = self.store.busy_since(since, &orders).await?;
            orders.retain(|order| !busy.contains(order));
            if !orders.is_empty() {
                report.tombstones_pruned += self.products.prune_holds(context, &orders, MEMORY).await?;
            }
            match page.holds.last() {
                Some(last) if !page.last => {
                    after = Some(*last);
                    self.store.save_cursor(ReconcileScan::Tombstones, *last).await?;
                }
                _ => break,
            }
        }
        self.store.delete_cursor(ReconcileScan::Tombstones).await?;
        let pruned = self.store.prune_voids(self.clock.now().before(MEMORY)).await?;
        report.voids_pruned += i64::try_from(pruned).unwrap_or(i64::MAX);
        Ok(true)
    }
}

fn note_deferred(what: &str, error: &Error, report: &mut ReconcileReport) {
    report.deferred += 1;
    tracing::error!(causes = error.causes(), "{what} cannot be settled now: {error}");
}
