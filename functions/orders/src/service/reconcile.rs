//! Reconcile: does what crashes, lost answers and closed shops have left. A schedule calls it every minute.
//!
//! Everything here may run beside itself and beside any request: each step is a conditional write, or a call
//! that may be repeated. It stops before its deadline, and goes on at the next call.

use std::time::Duration;

use shared::error::Error;
use shared::runtime::context::Context;
use shared::values::clock::Timestamp;
use shared::values::ids::OrderId;

use super::OrderService;
use crate::products::HoldCursor;
use crate::store::{Stored, Unfinished, Walk};

/// How old a hold is before somebody asks whether it has an order: longer than any request runs.
pub const HOLD_AGE: Duration = Duration::from_secs(120);

/// How old a decision is before its tasks are done for it, and a change of items before it is abandoned: longer
/// than the request that should do it.
const DECISION_AGE: Duration = Duration::from_secs(30);

/// How long what has ended is remembered, so that nothing which arrives late can revive it. No call arrives that
/// late: each carries a deadline of half a minute at most.
const MEMORY: Duration = Duration::from_secs(3600);

/// How far before the watermark the walk over holds begins. A hold has the time at which its write began, and is
/// seen when that is committed: MongoDB ends transactions after a minute.
const OVERLAP: Duration = Duration::from_secs(120);

/// How much is left for the answer when it stops.
const MARGIN: Duration = Duration::from_secs(3);

/// How many orders a step takes.
const STEP: i64 = 100;

/// How much was report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReconcileReport {
    /// Orders and voids whose tasks were done.
    pub tasks_done: i64,
    /// Changes of items that were ended, since nobody finished them.
    pub changes_ended: i64,
    /// Holds without an order that were ended.
    pub holds_ended: i64,
    /// Unpaid orders that were cancelled.
    pub orders_expired: i64,
    /// Ended holds that were forgotten.
    pub tombstones_pruned: i64,
    /// Voids that were forgotten.
    pub voids_pruned: i64,
    /// What could not be settled, and is tried again.
    pub set_aside: i64,
    /// Whether it came to its end in time.
    pub finished: bool,
}

impl OrderService {
    /// Heals what it finds, until its deadline.
    ///
    /// # Errors
    /// 403 but for functions and the schedule; 503 when MongoDB or products is away: then what was report is
    /// report, and the next call goes on.
    pub async fn reconcile(&self, context: &Context) -> Result<ReconcileReport, Error> {
        context.caller.require_system()?;
        let until = context.deadline.before(MARGIN);
        let mut report = ReconcileReport::default();
        let outcome = self.heal(context, until, &mut report).await;
        match &outcome {
            Ok(finished) => report.finished = *finished,
            Err(error) => {
                tracing::error!(causes = error.causes(), "reconcile was stopped: {error}");
            }
        }
        // A healthy shop need not say so every minute.
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
            set_aside = report.set_aside,
            finished = report.finished,
            "reconciled"
        );
        outcome.map(|_| report)
    }

    /// All there is to heal; the dearest to the shop first. Answers whether it came to the end in time.
    async fn heal(
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

    /// Does tasks whose request did not. One that fails is in nobody's way: the walk goes on behind it, and
    /// begins anew when it has come to the end.
    async fn do_tasks(
        &self,
        context: &Context,
        until: Timestamp,
        report: &mut ReconcileReport,
    ) -> Result<bool, Error> {
        let before = self.clock.now().before(DECISION_AGE);
        let begun = self.store.progress(Walk::Tasks).await?;
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
            self.store.save_progress(Walk::Tasks, last).await?;
        }
        if after.is_some() {
            self.store.forget_progress(Walk::Tasks).await?;
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

    /// Ends changes of items that nobody finishes. The order keeps what it has; its task lets go of the rest.
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

    /// Cancels orders that nobody has paid in time.
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
                // Who pays or cancels at the same time was faster, if the write is refused.
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

    /// Tries again what was set aside, those first that were not tried for longest.
    async fn settle_deferred(&self, context: &Context, report: &mut ReconcileReport) -> Result<bool, Error> {
        let orders = self.store.find_set_aside(STEP).await?;
        if !orders.is_empty() {
            let settled = self.settle(context, &orders, report).await?;
            self.store.clear_deferred(&settled).await?;
        }
        Ok(true)
    }

    /// Looks at every hold once it is old enough, and ends those without an order. The watermark is saved last,
    /// as of when the holds were read.
    async fn settle_holds(
        &self,
        context: &Context,
        until: Timestamp,
        report: &mut ReconcileReport,
    ) -> Result<bool, Error> {
        let watermark = self.store.progress(Walk::Holds).await?;
        let mut after = watermark.map(|place| HoldCursor { at: place.at.before(OVERLAP), order: None });
        loop {
            if !self.in_time(until) {
                return Ok(false);
            }
            let walked = self.products.walk_holds(context, false, HOLD_AGE, after).await?;
            let orders = walked.orders();
            self.settle(context, &orders, report).await?;
            // At the end of the walk everything that is old enough has been seen.
            let end = HoldCursor { at: walked.now.before(HOLD_AGE), order: None };
            let place = if walked.last { Some(end) } else { walked.holds.last().copied() };
            if let Some(place) = place
                && watermark.is_none_or(|watermark| watermark < place)
            {
                self.store.save_progress(Walk::Holds, place).await?;
            }
            if walked.last {
                return Ok(true);
            }
            after = walked.holds.last().copied();
        }
    }

    /// Ends the holds of those that are no orders: makes each ID void, so that a late insert is refused, and has
    /// the void's task done. What fails is set aside. Answers what is settled.
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
                    self.store.set_aside(id, self.clock.now()).await?;
                }
            }
        }
        Ok(settled)
    }

    async fn end_hold_without_order(&self, context: &Context, id: OrderId) -> Result<bool, Error> {
        match self.store.insert_void(id, self.clock.now()).await? {
            // It was inserted in the last moment, and keeps its hold.
            Stored::Order(_) => Ok(false),
            Stored::Void(void) => self.end_hold(context, void).await.map(|()| true),
        }
    }

    /// Forgets ended holds that are old enough, of orders without a task, and voids.
    async fn prune(
        &self,
        context: &Context,
        until: Timestamp,
        report: &mut ReconcileReport,
    ) -> Result<bool, Error> {
        let mut after = self.store.progress(Walk::Tombstones).await?;
        loop {
            if !self.in_time(until) {
                return Ok(false);
            }
            let walked = self.products.walk_holds(context, true, MEMORY, after).await?;
            let mut orders = walked.orders();
            // A task must meet the mark that it has left, or it would be done twice: while it is there, and for as
            // long after as a second call of it may be on its way. The mark itself may be older than both.
            let since = self.clock.now().before(MEMORY);
            let busy = self.store.busy_since(since, &orders).await?;
            orders.retain(|order| !busy.contains(order));
            if !orders.is_empty() {
                report.tombstones_pruned += self.products.prune_holds(context, &orders, MEMORY).await?;
            }
            match walked.holds.last() {
                Some(last) if !walked.last => {
                    after = Some(*last);
                    self.store.save_progress(Walk::Tombstones, *last).await?;
                }
                _ => break,
            }
        }
        self.store.forget_progress(Walk::Tombstones).await?;
        let pruned = self.store.prune_voids(self.clock.now().before(MEMORY)).await?;
        report.voids_pruned += i64::try_from(pruned).unwrap_or(i64::MAX);
        Ok(true)
    }
}

fn note_deferred(what: &str, error: &Error, report: &mut ReconcileReport) {
    report.set_aside += 1;
    tracing::error!(causes = error.causes(), "{what} cannot be settled now: {error}");
}
