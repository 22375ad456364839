//! Job that deletes voids, and ended holds of orders without a task, once they are old enough. It also upgrades orders
//! that an older build wrote last.

use shared::error::Error;
use shared::values::ids::OrderId;

use super::turn::Turn;
use super::{MEMORY, Run, locked};
use crate::store::Job;

/// Number of orders whose ended holds are deleted in one call.
const BATCH: usize = 100;

impl Run<'_> {
    /// Scans over ended holds from the saved position to the end; the next scan starts over. A batch that
    /// fails waits for the next scan.
    pub(super) async fn prune(&self, turn: Turn) -> Result<bool, Error> {
        let worker = self.worker;
        let store = &worker.service.store;
        let name = worker.shard.position(Job::Pruning);
        let mut position = store.position(&name, self.worker.service.clock.now()).await?;
        while !turn.is_over() {
            let context = worker.call_context();
            let page = worker.service.products.list_holds(&context, true, MEMORY, position).await?;
            let mut orders = page.orders();
            orders.retain(|order| worker.shard.has(*order));
            for batch in orders.chunks(BATCH) {
                self.prune_holds(batch).await?;
            }
            match page.holds.last() {
                Some(last) if !page.last => {
                    store.save_position(&name, *last).await?;
                    position = Some(*last);
                    self.note_lag(Job::Pruning, position, page.now, MEMORY);
                }
                _ => {
                    if position.is_some() {
                        store.delete_position(&name).await?;
                    }
                    self.note_lag(Job::Pruning, None, page.now, MEMORY);
                    self.upgrade(turn).await?;
                    return self.prune_voids().await;
                }
            }
        }
        Ok(false)
    }

    async fn prune_holds(&self, orders: &[OrderId]) -> Result<(), Error> {
        let service = self.worker.service;
        // A repeated task must meet the tombstone that it left, or it would run twice. So the tombstone
        // stays while the task is there. It stays as long after that as a second call may be on its way.
        // The tombstone itself may be older than both.
        let since = service.clock.now().before(MEMORY);
        let busy = service.store.busy_since(since, orders).await?;
        let ended: Vec<OrderId> = orders.iter().copied().filter(|order| !busy.contains(order)).collect();
        if ended.is_empty() {
            return Ok(());
        }
        match service.products.prune_holds(&self.worker.call_context(), &ended, MEMORY).await {
            Ok(pruned) => {
                locked(&self.report).tombstones_pruned += pruned;
                self.change(Job::Pruning, |it| it.done += pruned);
            }
            Err(error) => {
                let causes = error.causes();
                tracing::warn!(causes, "ended holds are not deleted yet: {error}");
                let count = i64::try_from(ended.len()).unwrap_or(i64::MAX);
                self.change(Job::Pruning, |it| it.set_aside += count);
            }
        }
        Ok(())
    }

    async fn upgrade(&self, turn: Turn) -> Result<(), Error> {
        if self.worker.shard.is_first() {
            let upgraded = self.worker.service.store.upgrade_outdated(|| turn.is_over()).await?;
            self.change(Job::Pruning, |it| it.done += upgraded);
        }
        Ok(())
    }

    async fn prune_voids(&self) -> Result<bool, Error> {
        if self.worker.shard.is_first() {
            let service = self.worker.service;
            service.store.check_schema().await?;
            let pruned = service.store.prune_voids(service.clock.now().before(MEMORY)).await?;
            let pruned = i64::try_from(pruned).unwrap_or(i64::MAX);
            locked(&self.report).voids_pruned += pruned;
            self.change(Job::Pruning, |it| it.done += pruned);
        }
        Ok(true)
    }
}
