//! The use cases around orders: one method each, the only place that orders I/O and decides who may.

use std::time::Duration;

use shared::auth::Caller;
use shared::clock::Clock;
use shared::contention::Contention;
use shared::context::Context;
use shared::error::Error;
use shared::ids::OrderId;
use shared::page::{Found, Page, PageRequest};
use shared::version::Expected;

use crate::listing::Listing;
use crate::order::{Decision, Order, OrderChange};
use crate::products::{NotHeld, Products};
use crate::store::OrderStore;
use crate::users::Users;

/// The use cases around orders; placing one is in `place_order`, healing in `reconcile`, checking in `consistency`.
pub struct OrderService {
    pub(crate) store: OrderStore,
    pub(crate) products: Products,
    pub(crate) users: Users,
    pub(crate) payment_window: Duration,
    pub(crate) clock: Clock,
}

impl OrderService {
    /// An order.
    ///
    /// # Errors
    /// 404 for an order that the caller may not see.
    pub async fn get(&self, context: &Context, id: OrderId) -> Result<Order, Error> {
        if context.caller == Caller::Anyone {
            context.caller.signed_in()?;
        }
        self.store
            .find(id)
            .await?
            .filter(|order| context.caller.is_staff() || context.caller.user_id() == Some(order.user_id))
            .ok_or_else(|| Error::not_found("order"))
    }

    /// A page of orders: all for staff, their own for customers.
    ///
    /// # Errors
    /// 400 for a bad cursor.
    pub async fn list(
        &self,
        context: &Context,
        listing: Listing,
        page: PageRequest,
    ) -> Result<Page<Order>, Error> {
        let scope = format!("orders|{}|{listing:?}", context.caller);
        let after = page.after(&scope, listing.sort.by.of())?;
        let own = match context.caller {
            caller if caller.is_staff() => None,
            caller => Some(caller.signed_in()?),
        };
        // What the caller may not see is as if it were not there.
        if own.is_some() && listing.user_id.is_some_and(|user| own != Some(user)) {
            return Ok(page.page(Found::nothing(), &scope));
        }
        let found = self.store.list(&listing, own.or(listing.user_id), &page, after.as_ref()).await?;
        Ok(page.page(found, &scope))
    }

    /// Changes an order: one decision, one write, and then what follows from it for the stock. New items are
    /// held before that.
    ///
    /// # Errors
    /// 404 for an order that the caller may not see; what [`Order::check_permitted`] refuses; 412 for another version
    /// than the expected one; what [`Order::decide`] and [`Order::finish`] refuse; 409 for what is short.
    pub async fn update(
        &self,
        context: &Context,
        id: OrderId,
        expected: &Expected,
        change: OrderChange,
    ) -> Result<Order, Error> {
        // What a transition lacks is told even when there is no such order: the body comes first.
        let mut order = match self.get(context, id).await {
            Ok(order) => order,
            Err(not_found) => {
                change.transition.map_err(|faults| faults.into_error())?;
                return Err(not_found);
            }
        };
        let mut contention = Contention::default();
        loop {
            order.check_permitted(&change, context.caller)?;
            // Each decision is written on the version that was read, and so on one that has been looked at here.
            expected.check(order.version)?;
            let changing = order.changing;
            let changed = match order.clone().intend(&change, context.caller, self.clock.now())? {
                Some(_) if changing && contention.lets_finish(order.version) => None,
                Some(intent) => self.change_items(context, intent, &change).await?,
                None => self.decide(context, order, &change).await?,
            };
            if let Some(order) = changed {
                return Ok(order);
            }
            contention.lost(id).await?;
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
        let lines = order.larger_of_both(change.items.as_deref().unwrap_or_default());
        let held = match self.products.hold(context, order.id, order.version, &lines).await {
            Ok(held) => held,
            Err(NotHeld::Superseded) => return Ok(None),
            Err(NotHeld::Failed(error)) => return self.abandon(context, order, error).await,
        };

        // Step 3: the decision, if the intent still stands. Its task lets go of what is held too much.
        match order.clone().finish(change.clone(), &held, self.clock.now()) {
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
