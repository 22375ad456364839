//! Jobs that go through orders: tasks, changes of items, and expiry.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use shared::error::Error;
use shared::values::ids::{OrderId, ProductId};

use super::attempt::{Acted, Due, Failure, Outcome, Worker};
use super::crew::{Piece, Reaction, Standing};
use super::turn::Turn;
use super::{DECISION_AGE, PAGE, Run, locked};
use crate::order::{Decision, Order};
use crate::products::HoldCursor;
use crate::service::signals;
use crate::store::{Job, Stored, Unfinished, Written};

/// Job that does this kind of work.
pub(super) fn job_of(kind: Unfinished) -> Job {
    match kind {
        Unfinished::Tasks => Job::Tasks,
        Unfinished::Changes => Job::Changes,
        Unfinished::Payment => Job::Expiry,
    }
}

/// Time after which this kind of work is due.
pub(super) fn least_age(kind: Unfinished) -> Duration {
    match kind {
        Unfinished::Tasks | Unfinished::Changes => DECISION_AGE,
        Unfinished::Payment => Duration::ZERO,
    }
}

/// Orders that were tried again in this turn.
type Retried = Mutex<HashSet<OrderId>>;

impl Run<'_> {
    /// Tries again what was set aside and is due, and goes through the rest meanwhile. Returns true if it has come
    /// to the end of both.
    ///
    /// One after the other, neither would have the time of a call while all jobs are busy.
    pub(super) async fn go_through(&self, kind: Unfinished, turn: Turn) -> Result<bool, Error> {
        let retried = Mutex::new(HashSet::new());
        let (to_end, scanned) =
            futures::try_join!(self.retry(kind, turn, &retried), self.scan(kind, turn, &retried))?;
        Ok(to_end && scanned)
    }

    /// Tries again what is due. `retried` has the orders before their marks are cleared.
    async fn retry(&self, kind: Unfinished, turn: Turn, retried: &Retried) -> Result<bool, Error> {
        let store = &self.worker.service.store;
        let now = self.worker.service.clock.now();
        store.correct_set_aside(job_of(kind), now, PAGE).await?;
        let mut after = None;
        while !turn.is_over() {
            let found = store.find_set_aside(job_of(kind), now, after, PAGE).await?;
            let Some(last) = found.last() else { return Ok(true) };
            after = Some(HoldCursor { at: last.due, order: Some(last.order) });
            let mine: Vec<_> = found.into_iter().filter(|it| self.worker.shard.has(it.order)).collect();
            let ids: Vec<OrderId> = mine.iter().map(|it| it.order).collect();
            locked(retried).extend(ids.iter().copied());
            let mut stored: HashMap<OrderId, _> = store.find_many(&ids).await?.into_iter().collect();
            let due = mine.into_iter().map(|it| Due {
                order: it.order,
                attempts: it.attempts,
                stored: stored.remove(&it.order),
            });
            if !self.work_on(kind, due.collect(), turn).await? {
                break;
            }
        }
        Ok(false)
    }

    /// Scans from the saved position to the end, and from the beginning to where it began. So whatever stays
    /// behind the position is seen in the next round.
    async fn scan(&self, kind: Unfinished, turn: Turn, retried: &Retried) -> Result<bool, Error> {
        let (store, shard) = (&self.worker.service.store, self.worker.shard);
        let name = shard.position(job_of(kind));
        let begun = store.position(&name, self.worker.service.clock.now()).await?;
        let mut after = begun;
        let mut wrapped = begun.is_none();
        while !turn.is_over() {
            let now = self.worker.service.clock.now();
            let until = now.before(least_age(kind));
            let found = store.find_unfinished(kind, until, after, PAGE).await?;
            let last = found.last().map(|(position, ..)| *position);
            let ids: Vec<OrderId> = found.iter().map(|(_, order, _)| *order).collect();
            let set_aside = store.set_aside_among(job_of(kind), now, &ids).await?;
            let retried: HashSet<OrderId> = locked(retried).clone();
            let mine = found.into_iter().filter(|(_, order, _)| {
                shard.has(*order) && !set_aside.contains(order) && !retried.contains(order)
            });
            let due = mine.map(|(_, order, stored)| Due { order, attempts: 0, stored: Some(stored) });
            if !self.work_on(kind, due.collect(), turn).await? {
                return Ok(false);
            }
            match last {
                Some(last) if !wrapped || begun.is_none_or(|begun| last < begun) => {
                    store.save_position(&name, last).await?;
                    after = Some(last);
                }
                None if !wrapped => {
                    wrapped = true;
                    after = None;
                }
                _ => {
                    if after.is_some() {
                        store.delete_position(&name).await?;
                    }
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Works on these orders. Returns true if all were tried, or skipped.
    async fn work_on(&self, kind: Unfinished, due: Vec<Due>, turn: Turn) -> Result<bool, Error> {
        let worker = self.worker;
        let job = job_of(kind);
        let voids = due.iter().filter(|it| matches!(it.stored, Some(Ok(Stored::Void(_))))).map(|it| it.order);
        let mut held = worker.held_products(&voids.collect::<Vec<_>>()).await;
        let piece = |item: Due| Piece {
            products: match &item.stored {
                Some(Ok(Stored::Order(order))) => products_of(order),
                _ => held.remove(&item.order).unwrap_or_default(),
            },
            item,
        };
        let pieces = due.into_iter().map(piece).collect();
        let act = |due: Due, standing: Standing| {
            let Due { order, attempts, stored } = due;
            let act = async move {
                match stored {
                    Some(Ok(stored)) => worker.act(kind, stored, standing).await,
                    Some(Err(_)) => Err((Failure::Unreadable, Reaction::None)),
                    None => Ok((Outcome::Nothing, Reaction::None)),
                }
            };
            worker.attempt(job, order, attempts, turn, act)
        };
        self.crew.work_on(pieces, turn, act, |outcome| self.record(job, outcome)).await
    }
}

fn products_of(order: &Order) -> Vec<ProductId> {
    order.items.iter().map(|item| item.product_id).collect()
}

impl Worker<'_> {
    /// Does the work of an order, if it is still due.
    async fn act(self, kind: Unfinished, stored: Stored, standing: Standing) -> Acted {
        let now = self.service.clock.now();
        match (kind, stored) {
            (Unfinished::Tasks, _) if standing == Standing::Suspect => Ok((Outcome::Skipped, Reaction::None)),
            (Unfinished::Tasks, _) if standing == Standing::Stuck => Err((Failure::Stuck, Reaction::None)),
            (Unfinished::Tasks, Stored::Void(void)) if !void.tasks.is_empty() => {
                tasks_done(self.end_hold(void).await)
            }
            (Unfinished::Tasks, Stored::Order(order)) if !order.tasks.is_empty() => {
                tasks_done(self.run_tasks(*order).await)
            }
            (Unfinished::Changes, Stored::Order(order))
                if order.changing && order.updated_at <= now.before(DECISION_AGE) =>
            {
                self.decide(&order, order.clone().abandon(now), standing).await
            }
            (Unfinished::Payment, Stored::Order(order)) => match order.clone().expire(now) {
                Some(expired) => self.decide(&order, expired, standing).await,
                None => Ok((Outcome::Nothing, Reaction::None)),
            },
            _ => Ok((Outcome::Nothing, Reaction::None)),
        }
    }

    /// Writes a decision, and runs its tasks. If they fail, or a product is stuck, the order keeps them, and
    /// the job of tasks runs them later.
    async fn decide(self, before: &Order, decision: Decision, standing: Standing) -> Acted {
        let written = self.service.store.write(before, &decision).await;
        // A refused write means that a concurrent decision was faster.
        if written.map_err(|error| (Failure::Error(error), Reaction::None))? != Written::Done {
            return Ok((Outcome::Nothing, Reaction::None));
        }
        signals::decided(&decision);
        if standing != Standing::Free {
            return Ok((Outcome::Done, Reaction::None));
        }
        let (_, reaction) = self.run_tasks(decision.order).await;
        Ok((Outcome::Done, reaction))
    }
}

fn tasks_done((done, reaction): (Result<(), Error>, Reaction)) -> Acted {
    match done {
        Ok(()) => Ok((Outcome::Done, reaction)),
        Err(error) => Err((Failure::Error(error), reaction)),
    }
}
