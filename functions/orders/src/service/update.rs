//! Changes of an order: the decision, its write, and the stock tasks that follow.

use shared::error::Error;
use shared::http::conditional::IfMatch;
use shared::mongo::conflict_retry::ConflictRetry;
use shared::runtime::context::Context;
use shared::values::ids::OrderId;

use super::{OrderService, signals};
use crate::order::{Decision, Order, OrderChange, TaskKind, reference_taken};
use crate::products::HoldError;
use crate::store::Written;

/// Next step of a change.
enum Step {
    /// The items change, and this is the intent.
    ChangeItems(Box<Decision>),
    /// All of it is one decision.
    Decide(Box<Decision>),
}

impl OrderService {
    /// Changes an order: one decision, one write, then its stock tasks. New items are held before that.
    ///
    /// # Errors
    /// 404 for an order that the caller may not see. 403 and 422 as [`Order::check_permitted`]. 412 for a
    /// version that `If-Match` does not name. 409 and 422 as [`Order::decide`] and
    /// [`Order::complete_item_change`]. 409 for a shortage. 429 for too many changes of items and
    /// cancellations by the owner.
    pub async fn update(
        &self,
        context: &Context,
        id: OrderId,
        if_match: &IfMatch,
        change: OrderChange,
    ) -> Result<Order, Error> {
        let counted = self.counted(context.caller).filter(|_| change.moves_stock());
        if counted.is_none() {
            return self.change(context, id, if_match, change).await;
        }
        // Read together. Only a change that the caller may make is refused or counted; others have their own refusal.
        let (found, refusal) = futures::join!(self.visible(context, id), self.find_refusal(counted));
        let may_change = |order: Order| order.check_permitted(&change, context.caller).is_ok();
        let counted = counted.filter(|_| found.is_ok_and(may_change));
        if counted.is_some()
            && let Some(refusal) = refusal?
        {
            return Err(refusal);
        }
        self.counting(counted, self.change(context, id, if_match, change)).await
    }

    /// Changes an order.
    async fn change(
        &self,
        context: &Context,
        id: OrderId,
        if_match: &IfMatch,
        change: OrderChange,
    ) -> Result<Order, Error> {
        let mut retry = ConflictRetry::default();
        loop {
            let (order, step) = retry.decide(|| self.next_step(context, id, if_match, &change)).await?;
            // A repeated request also runs the tasks that an earlier decision left.
            let Some(step) = step else { return Ok(self.run_tasks(context, order).await) };
            let changed = match step {
                Step::ChangeItems(_) if order.changing && retry.should_yield(order.version) => None,
                Step::ChangeItems(intent) => self.change_items(context, &order, *intent, &change).await?,
                Step::Decide(decision) => self.decide(context, &order, *decision).await?,
            };
            if let Some(order) = changed {
                return Ok(order);
            }
            retry.conflict(id).await?;
        }
    }

    /// Reads the order, and decides how to go on with a change. `None`: nothing changes.
    async fn next_step(
        &self,
        context: &Context,
        id: OrderId,
        if_match: &IfMatch,
        change: &OrderChange,
    ) -> Result<(Order, Option<Step>), Error> {
        let order = match self.visible(context, id).await {
            Ok(order) => order,
            Err(not_found) => {
                // The body is checked first: missing details of a transition are reported also if the order does
                // not exist.
                change.transition.clone().map_err(|errors| errors.into_error())?;
                return Err(not_found);
            }
        };
        order.check_permitted(change, context.caller)?;
        // Each decision is written on the version that was read, and so on one that was checked here.
        if_match.check(order.version)?;
        let now = self.clock.now();
        if let Some(intent) = order.clone().begin_item_change(change, context.caller, now)? {
            return Ok((order, Some(Step::ChangeItems(Box::new(intent)))));
        }
        let decision = order.clone().decide(change.clone(), context.caller, now)?;
        Ok((order, decision.map(|decision| Step::Decide(Box::new(decision)))))
    }

    /// Writes a decision, and runs its tasks. `None`: a concurrent write was faster.
    ///
    /// # Errors
    /// 409 if another order has the payment's reference. 503 when it is unknown whether it was written.
    pub(super) async fn decide(
        &self,
        context: &Context,
        order: &Order,
        decision: Decision,
    ) -> Result<Option<Order>, Error> {
        match self.store.write(order, &decision).await? {
            Written::Done => {}
            Written::Conflict => return Ok(None),
            Written::ReferenceTaken => return Err(reference_taken()),
        }
        signals::decided(&decision);
        Ok(Some(self.run_tasks(context, decision.order).await))
    }

    /// Changes items, step by step. `None`: a concurrent decision came in between.
    async fn change_items(
        &self,
        context: &Context,
        before: &Order,
        intent: Decision,
        change: &OrderChange,
    ) -> Result<Option<Order>, Error> {
        // Step 1: the intent. After a crash Reconcile abandons it.
        if self.store.write(before, &intent).await? != Written::Done {
            return Ok(None);
        }
        let order = intent.order;

        // Step 2: hold the larger of old and new, so that nothing of the old is lost if the new is refused.
        let items = order.max_per_product(change.items.as_deref().unwrap_or_default());
        let held = match self.products.hold(context, order.id, order.version, &items).await {
            Ok(held) => held,
            Err(HoldError::Superseded) => return Ok(None),
            Err(HoldError::Failed(error)) => return self.abandon(context, order, error).await,
        };

        // Step 3: the decision, if the intent still stands. Its task releases the surplus.
        match order.clone().complete_item_change(change.clone(), &held, self.clock.now()) {
            Ok(decision) if self.store.write(&order, &decision).await? == Written::Done => {
                signals::decided(&decision);
                Ok(Some(self.run_tasks(context, decision.order).await))
            }
            Ok(_) => Ok(None),
            Err(error) => self.abandon(context, order, error).await,
        }
    }

    /// Abandons a change of items after an error or an unknown result of the hold: the order keeps its items.
    /// Always returns the given error.
    async fn abandon(&self, context: &Context, order: Order, refusal: Error) -> Result<Option<Order>, Error> {
        let abandoned = order.clone().abandon(self.clock.now());
        match self.store.write(&order, &abandoned).await {
            Ok(Written::Done) => {
                self.run_tasks(context, abandoned.order).await;
            }
            Ok(_) => {}
            Err(error) => {
                let causes = error.causes();
                tracing::warn!(
                    causes,
                    "the change of items of {} is not ended yet: {error}",
                    abandoned.order.id
                );
            }
        }
        Err(refusal)
    }

    /// Runs the pending stock tasks of an order. The decision stands in any case: tasks that fail are kept, and run
    /// later.
    pub(crate) async fn run_tasks(&self, context: &Context, mut order: Order) -> Order {
        if let Err(error) = self.try_tasks(context, &mut order).await {
            let (causes, task) = (error.causes(), order.tasks.first().map(|task| task.kind.name()));
            tracing::warn!(causes, task, "{} still has a task: {error}", order.id);
        }
        order
    }

    /// Runs the pending stock tasks of an order, and removes them: with one call, unless an older build has left one.
    ///
    /// # Errors
    /// The first error. The tasks that were not done before it are kept.
    pub(crate) async fn try_tasks(&self, context: &Context, order: &mut Order) -> Result<(), Error> {
        while let (Some(oldest), Some(newest)) = (order.tasks.first(), order.tasks.last()) {
            // The tasks of other builds need the stock as those before them leave it.
            let one_by_one = order.tasks.iter().any(|task| runs_alone(task.kind));
            let revision = if one_by_one { oldest.revision } else { newest.revision };
            if one_by_one && oldest.kind != TaskKind::Move {
                self.products.run(context, order.id, &order.items, oldest).await?;
            } else {
                self.declare_stock(context, order, revision).await?;
            }
            self.store.finish(order.id, revision, self.clock.now()).await?;
            order.tasks.retain(|left| left.revision > revision);
        }
        Ok(())
    }

    /// Declares the stock of an order as of this revision. That does all tasks up to it, in whichever order they
    /// came.
    async fn declare_stock(&self, context: &Context, order: &Order, revision: i64) -> Result<(), Error> {
        if !order.has_fulfillments() {
            return self.products.hold_units(context, order.id, revision, &order.held_items()).await;
        }
        // Earlier tasks have moved no counts, so these are the counts from before all of them.
        let moves = order.tasks.iter().find(|task| task.kind == TaskKind::Move);
        let before = moves.map(|task| task.before.as_slice()).unwrap_or_default();
        self.products.move_stock(context, order.id, revision, &order.stock_totals(), before).await
    }
}

/// True for a task that says nothing about totals: of an older build, or of a newer one that alone can run it.
fn runs_alone(kind: TaskKind) -> bool {
    match kind {
        TaskKind::Ship | TaskKind::Restock | TaskKind::Unknown(_) => true,
        TaskKind::Hold | TaskKind::Release | TaskKind::Move => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_of_other_builds_run_alone() {
        let alone: Vec<_> = TaskKind::ALL.into_iter().filter(|kind| runs_alone(*kind)).collect();
        assert_eq!(alone, [TaskKind::Ship, TaskKind::Restock]);
        assert!(runs_alone(TaskKind::Unknown("split")));
    }
}
