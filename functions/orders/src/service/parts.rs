//! Parts of an order: fulfillments, cancellations and returns. Each is one decision, one conditional write, and the
//! stock that follows.

use shared::error::Error;
use shared::http::conditional::IfMatch;
use shared::http::idempotency::{Idempotent, RequestKey};
use shared::mongo;
use shared::runtime::context::Context;
use shared::values::ids::{FulfillmentId, OrderId, ReturnId};

use super::OrderService;
use super::entries::{Recorded, Target, precedes_version};
use super::limits::CountedRequest;
use crate::order::{
    Fulfillment, FulfillmentChange, NewCancellation, NewFulfillment, NewReturn, Order, Origin, Recording,
    Return, ReturnChange,
};

impl OrderService {
    /// Records a fulfillment, once for all requests under one key.
    ///
    /// # Errors
    /// 404 for an order that the caller may not see, 403 for its owner. 412 for a version that `If-Match` does not
    /// name. 409 for an order that is not paid, and when less is left than it asks for. 422 for items that the order
    /// does not have, and for the key of another request.
    pub async fn create_fulfillment(
        &self,
        context: &Context,
        id: OrderId,
        if_match: &IfMatch,
        new: NewFulfillment,
        key: &RequestKey,
    ) -> Result<Idempotent<Recorded<Fulfillment>>, Error> {
        let target = Target::of_staff(id, if_match);
        self.record(context, target, key, |order, origin| order.record_fulfillment(new.clone(), origin)).await
    }

    /// Changes the status or the tracking of a fulfillment.
    ///
    /// # Errors
    /// 404 for an order that the caller may not see and for an unknown fulfillment, 403 for the owner. 412 for a
    /// version that `If-Match` does not name. 409 for a status that is not allowed, and when returns need its units.
    pub async fn update_fulfillment(
        &self,
        context: &Context,
        id: OrderId,
        fulfillment: FulfillmentId,
        if_match: &IfMatch,
        change: FulfillmentChange,
    ) -> Result<Recorded<Fulfillment>, Error> {
        let caller = context.caller;
        let apply = |order: Order, now| order.change_fulfillment(fulfillment, &change, caller, now);
        self.change_entry(context, Target::of_staff(id, if_match), apply).await
    }

    /// Cancels units that are not shipped, once for all requests under one key. A cancellation by the owner counts for
    /// the rate of its customer.
    ///
    /// # Errors
    /// 404 for an order that the caller may not see, 403 for its owner unless it is placed. 412 for a version that
    /// `If-Match` does not name. 409 for an order that is neither placed nor paid, and when less is left than it asks
    /// for. 422 for items that the order does not have, and for the key of another request. 429 for too many requests.
    pub async fn create_cancellation(
        &self,
        context: &Context,
        id: OrderId,
        if_match: &IfMatch,
        new: NewCancellation,
        key: &RequestKey,
    ) -> Result<Idempotent<Order>, Error> {
        let target = Target::of_signed_in(id, if_match);
        let record = |order: Order, origin: Origin| order.record_cancellation(new.clone(), origin);
        let origin = Origin { caller: context.caller, key, now: self.clock.now() };
        let counted = self.counted_if(context, id, |order| is_to_count(&record(order, origin))).await?;
        self.counting(counted, self.record(context, target, key, record)).await
    }

    /// Checks the rate of the customer, if the request is one that counts. `None`: it does not count.
    ///
    /// # Errors
    /// 429 for too many requests. 503 when MongoDB is unavailable.
    async fn counted_if(
        &self,
        context: &Context,
        id: OrderId,
        counts: impl Fn(Order) -> bool,
    ) -> Result<Option<CountedRequest>, Error> {
        let counted = self.counted(context.caller);
        if counted.is_none() {
            return Ok(None);
        }
        let (found, refusal) = futures::join!(self.visible(context, id), self.find_refusal(counted));
        if !found.is_ok_and(&counts) {
            return Ok(None);
        }
        let Some(refusal) = refusal? else { return Ok(counted) };
        // A concurrent duplicate of this request may be what filled the rate: then its order is the answer.
        let still_counts = mongo::confirmed(self.visible(context, id)).await.is_ok_and(counts);
        if still_counts { Err(refusal) } else { Ok(None) }
    }

    /// Asks for a return, or records one for staff, once for all requests under one key.
    ///
    /// # Errors
    /// 404 for an order that the caller may not see. 412 for a version that `If-Match` does not name. 409 outside of
    /// the time in which the owner may ask, and for more units than were shipped and not sent back. 422 for items that
    /// the order does not have, and for the key of another request.
    pub async fn create_return(
        &self,
        context: &Context,
        id: OrderId,
        if_match: &IfMatch,
        new: NewReturn,
        key: &RequestKey,
    ) -> Result<Idempotent<Recorded<Return>>, Error> {
        let (target, window) = (Target::of_signed_in(id, if_match), self.return_window);
        self.record(context, target, key, |order, origin| order.record_return(new.clone(), window, origin))
            .await
    }

    /// Changes the status of a return.
    ///
    /// # Errors
    /// 404 for an order that the caller may not see and for an unknown return. 403 for the owner, unless it cancels
    /// what is only requested. 412 for a version that `If-Match` does not name. 409 for a status that is not allowed.
    /// 422 for received units that are not in the return, or more than it has.
    pub async fn update_return(
        &self,
        context: &Context,
        id: OrderId,
        return_id: ReturnId,
        if_match: &IfMatch,
        change: ReturnChange,
    ) -> Result<Recorded<Return>, Error> {
        let caller = context.caller;
        let apply = |order: Order, now| order.change_return(return_id, &change, caller, now);
        self.change_entry(context, Target::of_signed_in(id, if_match), apply).await
    }
}

/// True for a request that counts for the rate: its caller may make it, and no request of the same key was answered.
fn is_to_count<T>(recording: &Result<Recording<T>, Error>) -> bool {
    match recording {
        Ok(Recording::New(..)) => true,
        Ok(Recording::SameKey(_) | Recording::SameReference(_)) => false,
        Err(refusal) => !precedes_version(refusal),
    }
}
