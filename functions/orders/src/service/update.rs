//! Changes of an order: the decision, its write, and the stock tasks that follow.

use shared::error::Error;
use shared::http::conditional::IfMatch;
use shared::mongo::conflict_retry::ConflictRetry;
use shared::runtime::context::Context;
use shared::values::ids::OrderId;

use super::OrderService;
use crate::order::{Decision, Order, OrderChange};
use crate::products::HoldError;

impl OrderService {
    /// Changes an order: one decision, one write, and then what follows from it for the stock. New items are
    /// held before that.
    ///
    /// # Errors
    /// 404 for an order that the caller may not see; what [`Order::check_permitted`] refuses; 412 for another version
    /// than `If-Match` names; what [`Order::decide`] and [`Order::finish`] refuse; 409 for what is short.
    pub async fn update(
        &self,
        context: &Context,
        id: OrderId,
        if_match: &IfMatch,
        change: OrderChange,
    ) -> Result<Order, Error> {
        // What a transition lacks is told even when there is no such order: the body comes first.
        let mut order = match self.get(context, id).await {
            Ok(order) => order,
            Err(not_found) => {
                change.transition.map_err(|errors| errors.into_error())?;
                return Err(not_found);
            }
        };
        let mut retry = ConflictRetry::default();
        loop {
            order.check_permitted(&change, context.caller)?;
            // Each decision is written on the version that was read, and so on one that has been looked at here.
            if_match.check(order.version)?;
            let changing = order.changing;
            let changed = match order.clone().begin_item_change(&change, context.caller, self.clock.now())? {
                Some(_) if changing && retry.should_yield(order.version) => None,
                Some(intent) => self.change_items(context, intent, &change).await?,
                None => self.decide(context, order, &change).await?,
            };
            if let Some(order) = changed {
                return Ok(order);
            }
            retry.conflict(id).await?;
            order = self.get(context, id).await?;
        }
    }

    /// A change in one decision. `None`: somebody else was faster.
    async fn decide(
        &self,
        context: &Context,
        order: Order,
        change: &OrderChange,
    ) -> Result<Option<Order>, Error> {
        let Some(decision) = order.clone().decide(change.clone(), context.caller, self.clock.now())? else {
            // What an earlier decision has left undone is done also by whoever only asks for it again.
            return Ok(Some(self.run_tasks(context, order).await));
        };
        if !self.store.write(&decision).await? {
            return Ok(None);
        }
        Ok(Some(self.run_tasks(context, decision.order).await))
    }

    /// A change of items, step by step. `None`: somebody else has decided in between.
    async fn change_items(
        &self,
        context: &Context,
        intent: Decision,
        change: &OrderChange,
    ) -> Result<Option<Order>, Error> {
        // Step 1: the intent. After a crash Reconcile abandons it.
        if !self.store.write(&intent).await? {
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

        // Step 3: the decision, if the intent still stands. Its task lets go of what is held too much.
        match order.clone().complete_item_change(change.clone(), &held, self.clock.now()) {
            Ok(decision) if self.store.write(&decision).await? => {
                Ok(Some(self.run_tasks(context, decision.order).await))
            }
            Ok(_) => Ok(None),
            Err(error) => self.abandon(context, order, error).await,
        }
    }

    /// Ends a change of items that was refused, or of which it is not known whether it is held: the order stays
    /// as it was. The refusal is the answer, unless somebody else has ended the change already.
    async fn abandon(&self, context: &Context, order: Order, refusal: Error) -> Result<Option<Order>, Error> {
        let abandoned = order.abandon(self.clock.now());
        match self.store.write(&abandoned).await {
            Ok(true) => {
                self.run_tasks(context, abandoned.order).await;
            }
            Ok(false) => {}
            Err(error) => {
                let causes = error.causes();
                tracing::warn!(causes, "a change of {} is left: {error}", abandoned.order.id);
            }
        }
        Err(refusal)
    }

    /// Does what is left to be done for the order's stock, in the order of the decisions. The decision
    /// stands, whatever becomes of this: what fails stays a task, and is done later.
    pub(crate) async fn run_tasks(&self, context: &Context, mut order: Order) -> Order {
        for task in order.tasks.clone() {
            let done = async {
                self.products.run(context, order.id, &order.items, task).await?;
                self.store.finish(order.id, task, self.clock.now()).await
            };
            if let Err(error) = done.await {
                let causes = error.causes();
                tracing::warn!(causes, "{} keeps the task {task:?}: {error}", order.id);
                return order;
            }
            order.tasks.retain(|left| *left != task);
        }
        order
    }
}
