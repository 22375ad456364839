//! Placing an order: the saga, step by step, with what undoes or repeats each step.

use shared::context::Context;
use shared::error::Error;
use shared::faults::Faults;
use shared::ids::{OrderId, UserId};

use crate::number::Number;
use crate::order::{NewOrder, Order};
use crate::service::OrderService;
use crate::store::Inserted;

/// How many numbers are drawn: of 2^40, two are the same once in a long while.
const NUMBERS: u32 = 8;

impl OrderService {
    /// Places an order for the caller, or by staff for somebody else.
    ///
    /// # Errors
    /// 403 for somebody else's order, 422 for what cannot be ordered, 409 for what is short, 503 when a part
    /// did not answer: then the order may be there, or a hold that ends by itself.
    pub async fn place(&self, context: &Context, new: NewOrder) -> Result<Order, Error> {
        let caller = context.caller.signed_in()?;
        let user = self.ordering_for(context, caller, &new).await?;
        let id = OrderId::new();

        // Step 1: hold the stock, all lines or none. After a crash there is a hold without an order.
        let items = self.products.hold(context, id, &new.lines).await?;

        // Step 2: insert the order. From here on it exists, and its hold with it.
        let now = self.clock.now();
        let expires_at = now.after(self.payment_window);
        let placed = Order::place(id, random_number(), user, caller, new, items, now, expires_at);
        let order = match placed {
            Ok(order) => order,
            // Only now are the prices known. The order will never be inserted, so its hold ends at once.
            Err(error) => {
                if let Err(failed) = self.products.release(context, id).await {
                    tracing::warn!(request_id = context.request_id, "{id} keeps its hold: {failed}");
                }
                return Err(error);
            }
        };
        self.insert(order).await
    }

    /// Whose order it will be.
    async fn ordering_for(&self, context: &Context, caller: UserId, new: &NewOrder) -> Result<UserId, Error> {
        let Some(user) = new.user_id.filter(|user| *user != caller) else { return Ok(caller) };
        if !context.caller.is_staff() {
            return Err(Error::forbidden("Only staff may place an order for somebody else."));
        }
        if self.users.is_active(context, user).await? {
            return Ok(user);
        }
        let mut faults = Faults::default();
        faults.add("/user_id", "is not the ID of an active user");
        Err(faults.into_error())
    }

    async fn insert(&self, mut order: Order) -> Result<Order, Error> {
        for _ in 0..NUMBERS {
            match self.store.insert(&order).await? {
                Inserted::Done => return Ok(order),
                Inserted::NumberTaken => order.number = random_number(),
            }
        }
        Err(Error::unavailable("no free order number was found"))
    }
}

fn random_number() -> Number {
    Number::from_bits(rand::random())
}
