//! Placing an order: the saga, step by step, with what undoes or repeats each step.
//!
//! A look, and two writes: the hold and the order. A request with a key has IDs that follow from it, so a retry,
//! or a twin that runs beside it, walks into the same hold and the same insert. What never becomes an order is
//! made void before its hold is ended: then no insert can arrive any more, and the hold's end is a task.

use shared::error::Error;
use shared::http::idempotency::{Idempotent, RequestKey};
use shared::input::validation::ValidationErrors;
use shared::runtime::context::Context;
use shared::values::ids::{OrderId, UserId};

use super::OrderService;
use crate::number::Number;
use crate::order::{Held, IdempotencyRef, NewOrder, Order, PlacementContext};
use crate::order_id;
use crate::products::HoldError;
use crate::store::{Inserted, Stored, Void};

/// How many numbers are drawn: of 2^40, two are the same once in a long while.
const NUMBERS: u32 = 8;

/// How many attempts of one request are kept apart. One ends when its request failed after the hold, or when it
/// was made void since nobody went on with it; voids are forgotten after a while.
const ATTEMPTS: usize = 64;

/// What a look has found.
enum Look {
    /// The request has been answered before, or its key used for another one.
    Answered(Box<Order>),
    /// The first attempt that may still become an order.
    Open(usize),
}

impl OrderService {
    /// Places an order for the caller, or by staff for somebody else.
    ///
    /// # Errors
    /// 403 for somebody else's order, 422 for what cannot be ordered and for a key of another request, 409 for
    /// what is short, 503 when a part did not answer: then the order may be there, or a hold that ends by itself.
    pub async fn place(
        &self,
        context: &Context,
        new: NewOrder,
        request_key: Option<RequestKey>,
    ) -> Result<Idempotent<Order>, Error> {
        let caller = context.caller.signed_in()?;
        let user = new.user_id.unwrap_or(caller);
        if user != caller && !context.caller.is_staff() {
            return Err(Error::forbidden(
                "Only staff may place an order for somebody else; leave out `user_id` to place your own.",
            ));
        }
        let under = request_key.map(|request_key| IdempotencyRef { caller, request_key });
        let mut attempt = 0;
        let mut user_is_known = user == caller;
        while attempt < ATTEMPTS {
            if let Some(under) = &under {
                match self.look(context, under, attempt).await? {
                    Look::Answered(order) => return replay(*order, under),
                    Look::Open(open) => attempt = open,
                }
            }
            if !user_is_known {
                self.require_active(context, user).await?;
                user_is_known = true;
            }
            let id = under.as_ref().map_or_else(OrderId::new, |under| order_id::of_attempt(under, attempt));
            if let Some(made) = self.attempt(context, id, under.as_ref(), user, caller, &new).await? {
                return Ok(made);
            }
            attempt += 1;
        }
        Err(no_attempt_left())
    }

    /// The look first: what the request has led to when it ran before. From `first` on; what is void before the
    /// attempt that is open holds nothing any more.
    async fn look(&self, context: &Context, under: &IdempotencyRef, first: usize) -> Result<Look, Error> {
        let ids: Vec<OrderId> =
            (first..ATTEMPTS).map(|attempt| order_id::of_attempt(under, attempt)).collect();
        let mut voids = Vec::new();
        for stored in self.store.find_placed(under, &ids).await? {
            match stored {
                Stored::Order(order) => return Ok(Look::Answered(order)),
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
        Ok(Look::Open(first + open))
    }

    /// One attempt at placing. `None`: it can no longer become an order, and holds nothing any more.
    async fn attempt(
        &self,
        context: &Context,
        id: OrderId,
        under: Option<&IdempotencyRef>,
        user: UserId,
        caller: UserId,
        new: &NewOrder,
    ) -> Result<Option<Idempotent<Order>>, Error> {
        // Step 1: hold the stock, all items or none. After a crash Reconcile finds the hold, and ends it.
        let held = match self.products.hold(context, id, 1, &new.items).await {
            Ok(held) => held,
            // Ended already, or a twin's order by now: the next look tells.
            Err(HoldError::Superseded) => return Ok(None),
            Err(HoldError::Failed(error)) => return Err(error),
        };

        // Step 2: insert the order. From here on it exists, and its hold with it.
        let at = self.clock.now();
        if at >= context.deadline {
            // Whoever was frozen for so long must not come back with an order.
            return Err(Error::unavailable("the request's time is over"));
        }
        let placing = PlacementContext {
            id,
            number: random_number(),
            user_id: user,
            by: caller,
            under: under.cloned(),
            at,
            expires_at: at.after(self.payment_window),
        };
        let items = held.into_iter().map(|Held { item, .. }| item).collect();
        match Order::place(placing, new.clone(), items) {
            Ok(order) => self.insert(context, order).await,
            // Only now are the prices known. A twin may have met others, and placed the order.
            Err(error) => match self.give_up(context, id).await? {
                Some(order) => Ok(Some(Idempotent::Replayed(order))),
                None => Err(error),
            },
        }
    }

    async fn insert(&self, context: &Context, mut order: Order) -> Result<Option<Idempotent<Order>>, Error> {
        for _ in 0..NUMBERS {
            match self.store.insert(&order).await? {
                Inserted::Done => return Ok(Some(Idempotent::Created(order))),
                Inserted::NumberTaken => order.number = random_number(),
                // A twin's: it, and not what is in memory here, is the answer.
                Inserted::Exists(Stored::Order(there)) => return Ok(Some(Idempotent::Replayed(*there))),
                Inserted::Exists(Stored::Void(void)) => {
                    self.end_hold(context, void).await?;
                    return Ok(None);
                }
                // Another request was faster under the same key, or another attempt of this one.
                Inserted::KeyTaken(there) => {
                    self.give_up(context, order.id).await?;
                    return match &order.placed_under {
                        Some(under) => replay(*there, under).map(Some),
                        None => Err(Error::internal("an order without a key has met one")),
                    };
                }
            }
        }
        Err(Error::unavailable("no free order number was found"))
    }

    /// Makes an ID void, and ends its hold. If an order is there, that is the answer, and nothing is ended.
    async fn give_up(&self, context: &Context, id: OrderId) -> Result<Option<Order>, Error> {
        match self.store.insert_void(id, self.clock.now()).await? {
            Stored::Order(order) => Ok(Some(*order)),
            Stored::Void(void) => {
                // The void stands; what fails here stays its task.
                if let Err(error) = self.end_hold(context, void).await {
                    let causes = error.causes();
                    tracing::warn!(causes, "{id} keeps its hold for now: {error}");
                }
                Ok(None)
            }
        }
    }

    /// Ends the hold of an ID that is void.
    ///
    /// # Errors
    /// When it is not known whether it has ended.
    pub(crate) async fn end_hold(&self, context: &Context, void: Void) -> Result<(), Error> {
        for task in void.tasks {
            self.products.run(context, void.id, &[], task).await?;
            self.store.finish(void.id, task, self.clock.now()).await?;
        }
        Ok(())
    }

    async fn require_active(&self, context: &Context, user: UserId) -> Result<(), Error> {
        if self.users.is_active(context, user).await? {
            return Ok(());
        }
        let mut errors = ValidationErrors::default();
        errors.add("/user_id", "is not the ID of an active user");
        Err(errors.into_error())
    }
}

/// The answer to a request whose key has led to this order.
fn replay(order: Order, under: &IdempotencyRef) -> Result<Idempotent<Order>, Error> {
    let same = order
        .placed_under
        .as_ref()
        .is_some_and(|there| there.request_key.fingerprint == under.request_key.fingerprint);
    if same { Ok(Idempotent::Replayed(order)) } else { Err(RequestKey::reused()) }
}

fn no_attempt_left() -> Error {
    Error::unavailable(format!("{ATTEMPTS} attempts of one request have ended without an order"))
}

fn random_number() -> Number {
    Number::from_bits(rand::random())
}
