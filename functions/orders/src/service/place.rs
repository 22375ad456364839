//! Placing an order: the saga, step by step, and the undo or repeat of each step.
//!
//! One read and two writes: the hold and the order. IDs follow from the key of a request, which is its
//! invocation if the client sent none. So a retry, a concurrent duplicate or an event that runs again meets the
//! same hold and the same insert.
//!
//! An attempt that fails is made void before its hold is ended. After that no insert can arrive any more, and
//! ending the hold is a task.

use shared::error::{Error, Kind};
use shared::http::idempotency::{Idempotent, KeyOrigin, RequestKey};
use shared::input::validation::ValidationErrors;
use shared::mongo;
use shared::mongo::conflict_retry::ConflictRetry;
use shared::runtime::context::Context;
use shared::values::ids::{OrderId, UserId};

use super::{OrderService, signals};
use crate::number::Number;
use crate::open_orders::OpenOrders;
use crate::order::{Held, IdempotencyRef, NewOrder, Order, PlacementContext, check_expiry};
use crate::order_id;
use crate::products::HoldError;
use crate::store::{Inserted, Stored, Void};

/// Maximum number of order numbers drawn. Of 2^40 numbers, two rarely collide.
const NUMBERS: u32 = 8;

/// Maximum number of attempts of one request. An attempt ends if its request failed after the hold, or if
/// Reconcile made it void. Voids are deleted after a while.
const ATTEMPTS: usize = 64;

/// Result of reading the earlier attempts.
enum Attempts {
    /// Order of an earlier request with this key, identical or not.
    Answered(Box<Order>),
    /// Index of the first attempt that may still become an order.
    Open(usize),
}

impl OrderService {
    /// Places an order for the caller, or by staff for somebody else.
    ///
    /// # Errors
    /// 403 for somebody else's order and for amounts from a customer, 422 for items that cannot be ordered and for a key
    /// of another request. 409 for a shortage, too many open orders and an `external_number` that is taken, 429 for too many requests. 503 when a service did not answer:
    /// the order may exist, or a hold that ends by itself.
    pub async fn place(
        &self,
        context: &Context,
        new: NewOrder,
        request_key: RequestKey,
    ) -> Result<Idempotent<Order>, Error> {
        self.place_or_replay(context, new, request_key).await.inspect_err(signals::refused)
    }

    async fn place_or_replay(
        &self,
        context: &Context,
        new: NewOrder,
        request_key: RequestKey,
    ) -> Result<Idempotent<Order>, Error> {
        let caller = context.caller.signed_in()?;
        let user = new.user_id.unwrap_or(caller);
        if user != caller && !context.caller.is_staff() {
            return Err(Error::forbidden(
                "Only staff may order for another user; omit `user_id` to order for yourself.",
            ));
        }
        new.check_permitted(context.caller)?;
        let idempotency = IdempotencyRef { caller, request_key };
        let counted = self.counted(context.caller);
        // An event that runs again is rare: it meets its own hold and its own order. Unless the order has been changed
        // since; so before another attempt the order of any earlier one is looked for.
        let earlier = async {
            match idempotency.request_key.origin {
                KeyOrigin::Client => self.find_first_attempt(context, &idempotency).await,
                KeyOrigin::Invocation => Ok(Attempts::Open(0)),
            }
        };
        let read = futures::try_join!(earlier, self.find_refusal(counted), self.find_open(user));
        let (earlier, refusal, open) = read?;
        let first = match earlier {
            Attempts::Answered(order) => return replay(*order, &idempotency),
            Attempts::Open(first) => first,
        };
        if let Some(refusal) = refusal {
            return self.replay_or(context, &idempotency, refusal).await;
        }
        let placing = self.place_new(context, &idempotency, user, &new, first, open);
        self.counting(counted, placing).await
    }

    /// Places an order that no earlier attempt has placed, beginning with the attempt `first`.
    async fn place_new(
        &self,
        context: &Context,
        idempotency: &IdempotencyRef,
        user: UserId,
        new: &NewOrder,
        first: usize,
        open: Option<OpenOrders>,
    ) -> Result<Idempotent<Order>, Error> {
        if user != idempotency.caller {
            self.require_active(context, user).await?;
        }
        check_expiry(new.expires_at, self.clock.now())?;
        // Before anything is held: a customer at the limit moves no stock.
        let slot = match self.choose_slot(context.caller, user, open).await {
            Ok(slot) => slot,
            Err(refusal) => return self.replay_or(context, idempotency, refusal).await,
        };
        // The insert decides; but a number that is taken should hold nothing.
        if let Some(number) = &new.external_number
            && mongo::confirmed(self.store.has_external_number(number)).await?
        {
            return self.replay_or(context, idempotency, external_number_taken()).await;
        }
        let mut attempt = first;
        while attempt < ATTEMPTS {
            let id = order_id::of_attempt(idempotency, attempt);
            if let Some(made) = self.attempt(context, id, idempotency, user, slot, new).await? {
                return Ok(made);
            }
            attempt += 1;
            let from = if idempotency.request_key.origin == KeyOrigin::Client { attempt } else { 0 };
            match self.find_attempts(context, idempotency, from).await? {
                Attempts::Answered(order) => return replay(*order, idempotency),
                Attempts::Open(open) => attempt = open.max(attempt),
            }
        }
        Err(no_attempt_left())
    }

    /// Returns the order of a concurrent duplicate of this request, which counts for the limits, else the refusal.
    async fn replay_or(
        &self,
        context: &Context,
        idempotency: &IdempotencyRef,
        refusal: Error,
    ) -> Result<Idempotent<Order>, Error> {
        match self.find_attempts(context, idempotency, 0).await? {
            Attempts::Answered(order) => replay(*order, idempotency),
            Attempts::Open(_) => Err(refusal),
        }
    }

    /// Looks up the order of an earlier request, by its key, and the first attempt, by its ID. The others are looked
    /// up only if that is void, which is rare.
    async fn find_first_attempt(
        &self,
        context: &Context,
        idempotency: &IdempotencyRef,
    ) -> Result<Attempts, Error> {
        let found = self.store.find_placed(idempotency, &[order_id::of_attempt(idempotency, 0)]).await?;
        let mut is_void = false;
        for stored in found {
            match stored {
                Stored::Order(order) => return Ok(Attempts::Answered(order)),
                Stored::Void(_) => is_void = true,
            }
        }
        if is_void { self.find_attempts(context, idempotency, 0).await } else { Ok(Attempts::Open(0)) }
    }

    /// Looks up the result of earlier attempts, from `first` on. Ends the holds of void attempts.
    async fn find_attempts(
        &self,
        context: &Context,
        idempotency: &IdempotencyRef,
        first: usize,
    ) -> Result<Attempts, Error> {
        let ids: Vec<OrderId> =
            (first..ATTEMPTS).map(|attempt| order_id::of_attempt(idempotency, attempt)).collect();
        let mut voids = Vec::new();
        for stored in self.store.find_placed(idempotency, &ids).await? {
            match stored {
                Stored::Order(order) => return Ok(Attempts::Answered(order)),
                Stored::Void(void) => voids.push(void),
            }
        }
        let open = ids.iter().position(|id| !voids.iter().any(|void| void.id == *id)).unwrap_or(ids.len());
        for void in voids {
            self.end_hold(context, void).await?;
        }
        if open == ids.len() {
            return Err(no_attempt_left());
        }
        Ok(Attempts::Open(first + open))
    }

    /// Runs one attempt at placing. `None`: it can no longer become an order, and holds nothing.
    async fn attempt(
        &self,
        context: &Context,
        id: OrderId,
        idempotency: &IdempotencyRef,
        user: UserId,
        slot: Option<i64>,
        new: &NewOrder,
    ) -> Result<Option<Idempotent<Order>>, Error> {
        // Step 1: hold the stock, all items or none. After a crash Reconcile finds the hold, and ends it.
        let origin = idempotency.request_key.origin;
        let held = match self.products.hold(context, id, 1, &new.items).await {
            Ok(held) => held,
            // Ended already, or a concurrent duplicate has placed the order: the next lookup finds out.
            Err(HoldError::Superseded) => return Ok(None),
            Err(HoldError::Failed(error)) => return Err(error),
        };

        // Step 2: insert the order. From here on it exists, and its hold with it.
        let at = self.clock.now();
        let placing = PlacementContext {
            id,
            number: random_number(),
            user_id: user,
            by: idempotency.caller,
            under: (origin == KeyOrigin::Client).then(|| idempotency.clone()),
            at,
            expires_at: at.after(self.payment_window),
            open_slot: slot,
        };
        let items = held.into_iter().map(|Held { item, .. }| item).collect();
        match Order::place(placing, new.clone(), items) {
            Ok(order) => self.insert(context, order, origin).await,
            // Prices are known only now. A concurrent duplicate may have met others, and placed the order.
            Err(error) => self.give_up(context, id, origin, error).await,
        }
    }

    /// Ends an attempt that has held stock and is refused, unless a concurrent duplicate has placed the order.
    async fn give_up(
        &self,
        context: &Context,
        id: OrderId,
        origin: KeyOrigin,
        refusal: Error,
    ) -> Result<Option<Idempotent<Order>>, Error> {
        match self.void_attempt(context, id).await? {
            Some(order) => Ok(Some(Idempotent::replayed(order, origin))),
            None => Err(refusal),
        }
    }

    async fn insert(
        &self,
        context: &Context,
        mut order: Order,
        origin: KeyOrigin,
    ) -> Result<Option<Idempotent<Order>>, Error> {
        let mut numbers = 1;
        let mut retry = ConflictRetry::default();
        loop {
            if self.clock.now() >= context.deadline {
                // A process that was frozen past its deadline must not place the order late.
                return Err(Error::unavailable("the request's deadline has passed"));
            }
            match self.store.insert(&order).await? {
                Inserted::Done => {
                    signals::placed(&order);
                    return Ok(Some(Idempotent::Created(order)));
                }
                Inserted::NumberTaken if numbers == NUMBERS => {
                    return Err(Error::unavailable("no free order number was found"));
                }
                Inserted::NumberTaken => {
                    numbers += 1;
                    order.number = random_number();
                }
                Inserted::ExternalNumberTaken => {
                    return self.give_up(context, order.id, origin, external_number_taken()).await;
                }
                Inserted::SlotTaken => match self.another_slot(context, &mut retry, order.user_id).await {
                    Ok(slot) => order.open_slot = slot,
                    Err(refusal) => return self.give_up(context, order.id, origin, refusal).await,
                },
                // A concurrent duplicate placed it: return that order, not the one in memory.
                Inserted::Exists(Stored::Order(there)) => {
                    return Ok(Some(Idempotent::replayed(*there, origin)));
                }
                Inserted::Exists(Stored::Void(void)) => {
                    self.end_hold(context, void).await?;
                    return Ok(None);
                }
                // Another request was faster under the same key, or another attempt of this one.
                Inserted::KeyTaken(there) => {
                    self.void_attempt(context, order.id).await?;
                    return match &order.placed_under {
                        Some(idempotency) => replay(*there, idempotency).map(Some),
                        None => Err(Error::internal("an order without a key met a taken key")),
                    };
                }
            }
        }
    }

    /// Chooses another slot, since a concurrent order of the customer was faster.
    async fn another_slot(
        &self,
        context: &Context,
        retry: &mut ConflictRetry,
        user: UserId,
    ) -> Result<Option<i64>, Error> {
        retry.conflict(user).await?;
        let open = self.find_open(user).await?;
        self.choose_slot(context.caller, user, open).await
    }

    /// Makes an ID void and ends its hold. If an order exists, returns it and ends nothing.
    async fn void_attempt(&self, context: &Context, id: OrderId) -> Result<Option<Order>, Error> {
        match self.store.insert_void(id, self.clock.now()).await? {
            Stored::Order(order) => Ok(Some(*order)),
            Stored::Void(void) => {
                // The void stands; a failure here leaves the release as its task.
                if let Err(error) = self.end_hold(context, void).await {
                    let causes = error.causes();
                    tracing::warn!(causes, "the hold of {id} is not released yet: {error}");
                }
                Ok(None)
            }
        }
    }

    /// Ends the hold of a void ID.
    ///
    /// # Errors
    /// Fails when it is unknown whether the hold has ended.
    pub(crate) async fn end_hold(&self, context: &Context, void: Void) -> Result<(), Error> {
        for task in void.tasks {
            self.products.run(context, void.id, &[], &task).await?;
            self.store.finish(void.id, task.revision, self.clock.now()).await?;
        }
        Ok(())
    }

    async fn require_active(&self, context: &Context, user: UserId) -> Result<(), Error> {
        if self.users.is_active(context, user).await? {
            return Ok(());
        }
        let mut errors = ValidationErrors::default();
        errors.add("/user_id", "must be the ID of an active user");
        Err(errors.into_error())
    }
}

/// Replays the order that an earlier request with this key placed.
fn replay(order: Order, idempotency: &IdempotencyRef) -> Result<Idempotent<Order>, Error> {
    // An order that was placed without a key was found by its ID, which is this event's alone.
    if idempotency.request_key.origin == KeyOrigin::Invocation {
        return Ok(Idempotent::Created(order));
    }
    let same = order
        .placed_under
        .as_ref()
        .is_some_and(|there| there.request_key.fingerprint == idempotency.request_key.fingerprint);
    if same { Ok(Idempotent::Replayed(order)) } else { Err(RequestKey::reused()) }
}

/// Error 409 for a number at another system. It names no order: that may be another customer's.
fn external_number_taken() -> Error {
    Error::new(Kind::ExternalNumberTaken, "Another order has this `external_number`.")
}

fn no_attempt_left() -> Error {
    Error::unavailable(format!("{ATTEMPTS} attempts of one request have ended without an order"))
}

fn random_number() -> Number {
    Number::from_bits(rand::random())
}
