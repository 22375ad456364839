//! Job that ends holds without an order.

use std::collections::HashSet;

use shared::error::Error;
use shared::values::ids::OrderId;

use super::attempt::{Acted, Due, Failure, Outcome, Worker};
use super::crew::{Piece, Reaction, Standing};
use super::turn::Turn;
use super::{HOLD_AGE, PAGE, Run};
use crate::products::HoldCursor;
use crate::store::{self, Job, Stored};

impl Run<'_> {
    /// Tries again what was set aside and is due, and walks on over new holds meanwhile.
    pub(super) async fn end_holds(&self, turn: Turn) -> Result<bool, Error> {
        let (retried, walked) = futures::try_join!(self.retry_holds(turn), self.walk_over_holds(turn))?;
        Ok(retried && walked)
    }

    async fn retry_holds(&self, turn: Turn) -> Result<bool, Error> {
        let (store, now) = (&self.worker.service.store, self.worker.service.clock.now());
        store.correct_set_aside(Job::Holds, now, PAGE).await?;
        let mut after = None;
        while !turn.is_over() {
            let found = store.find_set_aside(Job::Holds, now, after, PAGE).await?;
            let Some(last) = found.last() else { return Ok(true) };
            after = Some(HoldCursor { at: last.due, order: Some(last.order) });
            let due = found.into_iter().map(|it| (it.order, it.attempts)).collect();
            if !self.settle(due, turn).await? {
                break;
            }
        }
        Ok(false)
    }

    /// Checks every hold once it is old enough, and ends those without an order.
    ///
    /// The position is saved after each page, and the next run begins there. It need not look back. Reading
    /// the position waits until all earlier writes are on a majority, so every hold of [`HOLD_AGE`] is visible
    /// then. Later holds have later times, unless the clocks of two primaries differ by that age.
    async fn walk_over_holds(&self, turn: Turn) -> Result<bool, Error> {
        let worker = self.worker;
        let store = &worker.service.store;
        let name = worker.shard.position(Job::Holds);
        let mut position = store.position(&name, self.worker.service.clock.now()).await?;
        while !turn.is_over() {
            let context = worker.call_context();
            let page = worker.service.products.list_holds(&context, false, HOLD_AGE, position).await?;
            self.note_lag(Job::Holds, position, page.now, HOLD_AGE);
            let due = page.orders().into_iter().map(|order| (order, 0)).collect();
            if !self.settle(due, turn).await? {
                break;
            }
            // At the end of the walk every hold up to this time has been checked.
            let end = HoldCursor { at: page.complete_until, order: None };
            let reached = if page.last { Some(end) } else { page.holds.last().copied() };
            if let Some(reached) = reached.filter(|reached| position.is_none_or(|it| it < *reached)) {
                store.save_position(&name, reached).await?;
                position = Some(reached);
            }
            if page.last {
                // Behind only while a schema step copies holds.
                let behind = Some(end).filter(|end| end.at < page.now.before(HOLD_AGE));
                self.note_lag(Job::Holds, behind, page.now, HOLD_AGE);
                return Ok(true);
            }
            self.note_lag(Job::Holds, position, page.now, HOLD_AGE);
        }
        Ok(false)
    }

    /// Ends the holds of those IDs of this shard that have no document, each with its number of attempts.
    /// Returns true if all were tried.
    async fn settle(&self, due: Vec<(OrderId, i64)>, turn: Turn) -> Result<bool, Error> {
        let worker = self.worker;
        let mut due = due;
        due.retain(|(order, _)| worker.shard.has(*order));
        let ids: Vec<OrderId> = due.iter().map(|(order, _)| *order).collect();
        // A void is settled too: its own task ends the hold.
        let existing: HashSet<OrderId> = worker.service.store.existing(&ids).await?.into_iter().collect();
        due.retain(|(order, attempts)| *attempts > 0 || !existing.contains(order));
        let ids: Vec<OrderId> = due.iter().map(|(order, _)| *order).collect();
        let mut held = worker.held_products(&ids).await;
        let piece = |(order, attempts)| Piece {
            products: held.remove(&order).unwrap_or_default(),
            item: Due { order, attempts, stored: None },
        };
        let pieces = due.into_iter().map(piece).collect();
        let act = |due: Due, standing: Standing| {
            let Due { order, attempts, .. } = due;
            let exists = existing.contains(&order);
            let act = async move {
                if exists {
                    return Ok((Outcome::Nothing, Reaction::None));
                }
                worker.end_hold_without_order(order, standing).await
            };
            worker.attempt(Job::Holds, order, attempts, turn, act)
        };
        self.crew.work_on(pieces, turn, act, |outcome| self.record(Job::Holds, outcome)).await
    }
}

impl Worker<'_> {
    /// Makes an ID void, so that a late insert is refused, and runs the void's task. If that fails, the job of
    /// tasks runs it later.
    async fn end_hold_without_order(self, id: OrderId, standing: Standing) -> Acted {
        let void = match self.service.store.insert_void(id, self.service.clock.now()).await {
            // It was inserted at the last moment, and keeps its hold.
            Ok(Stored::Order(_)) => return Ok((Outcome::Nothing, Reaction::None)),
            Ok(Stored::Void(void)) => void,
            Err(error) if store::is_from_store(&error) => return Err((error.into(), Reaction::None)),
            // A document of this ID came in between, and cannot be read.
            Err(_) => return Err((Failure::Unreadable, Reaction::None)),
        };
        if standing != Standing::Free {
            return Ok((Outcome::Nothing, Reaction::None));
        }
        let (done, reaction) = self.end_hold(void).await;
        match done {
            Ok(()) => Ok((Outcome::Done, reaction)),
            Err(error) if store::is_away(&error) => Err((error.into(), reaction)),
            Err(_) => Ok((Outcome::Nothing, reaction)),
        }
    }
}
