//! Limits of what one customer may do: open orders, and requests a minute. Both are read beside the look-up of the
//! key, in one round trip. A request without a key has that round trip for them alone.

use shared::auth::Caller;
use shared::error::Error;
use shared::values::ids::UserId;

use super::OrderService;
use crate::open_orders::{OpenOrders, too_many_open_orders};
use crate::store::Freshness;

const TOO_MANY_REQUESTS: &str = "You have placed, changed or cancelled too many orders.";

/// A request that counts for the rate of its caller.
#[derive(Clone, Copy, Debug)]
pub(super) struct CountedRequest {
    user: UserId,
    most: u32,
}

impl OrderService {
    /// Returns the count of the caller's requests that applies; none for staff, or without a limit.
    pub(super) fn counted(&self, caller: Caller) -> Option<CountedRequest> {
        let most = self.limits.requests_per_minute;
        let user = caller.user_id().filter(|_| !caller.is_staff() && most > 0)?;
        Some(CountedRequest { user, most })
    }

    /// Reads the count of requests. `Some`: it is full, and this is the refusal.
    ///
    /// # Errors
    /// 503 when MongoDB is unavailable.
    pub(super) async fn find_refusal(&self, counted: Option<CountedRequest>) -> Result<Option<Error>, Error> {
        let Some(CountedRequest { user, most }) = counted else { return Ok(None) };
        let now = self.clock.now();
        let until = self.store.rates().full_until(shared::mongo::uuid(user), most, now).await?;
        Ok(until.map(|until| Error::too_many_requests(TOO_MANY_REQUESTS, until.since(now))))
    }

    /// Runs a request, and counts it at the same time.
    pub(super) async fn counting<T>(
        &self,
        counted: Option<CountedRequest>,
        request: impl Future<Output = T>,
    ) -> T {
        let count = async {
            let Some(CountedRequest { user, .. }) = counted else { return };
            let added = self.store.rates().add(shared::mongo::uuid(user), self.clock.now()).await;
            // The next request reads the count, and is answered 503 if that is still away.
            if let Err(error) = added {
                tracing::warn!(causes = error.causes(), "a request is not counted: {error}");
            }
        };
        futures::join!(request, count).0
    }

    /// Reads the open orders of a customer; none without a limit.
    ///
    /// # Errors
    /// 503 when MongoDB is unavailable.
    pub(super) async fn find_open(&self, user: UserId) -> Result<Option<OpenOrders>, Error> {
        match self.limits.max_open_orders {
            0 => Ok(None),
            limit => self.store.open_orders(user, limit, Freshness::Majority).await.map(Some),
        }
    }

    /// Chooses a slot for a new order among these open ones of its customer. Staff are never refused.
    ///
    /// # Errors
    /// 409 for a customer with as many open orders as the limit allows.
    pub(super) async fn choose_slot(
        &self,
        caller: Caller,
        user: UserId,
        open: Option<OpenOrders>,
    ) -> Result<Option<i64>, Error> {
        let limit = self.limits.max_open_orders;
        let Some(open) = open else { return Ok(None) };
        if caller.is_staff() {
            return Ok(open.lowest_free_slot(limit));
        }
        if let Some(slot) = any_of(&open.free_slots(limit)) {
            return Ok(Some(slot));
        }
        // Just after an election a read may be older than what was acknowledged. No refusal rests on such a read.
        let open = self.store.open_orders(user, limit, Freshness::Confirmed).await?;
        any_of(&open.free_slots(limit)).map(Some).ok_or_else(|| too_many_open_orders(limit))
    }
}

/// Chooses at random, so that two concurrent requests rarely choose the same.
fn any_of(slots: &[i64]) -> Option<i64> {
    let random = usize::try_from(rand::random::<u32>()).unwrap_or(0);
    slots.get(random.checked_rem(slots.len())?).copied()
}
