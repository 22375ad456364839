//! Payments and refunds: each is one decision and one conditional write.

use shared::error::Error;
use shared::http::conditional::IfMatch;
use shared::http::idempotency::{Idempotent, RequestKey};
use shared::mongo;
use shared::runtime::context::Context;
use shared::values::ids::{OrderId, RefundId};

use super::OrderService;
use super::entries::{Recorded, Target};
use crate::order::{NewPayment, NewRefund, Order, Payment, Refund};

impl OrderService {
    /// Records a payment, once for all requests under one key, and once for its reference.
    ///
    /// # Errors
    /// 404 for an order that the caller may not see, 403 for its owner. 412 for a version that `If-Match` does not
    /// name. 409 for the reference of another payment. 422 for the key of another request.
    pub async fn create_payment(
        &self,
        context: &Context,
        id: OrderId,
        if_match: &IfMatch,
        new: NewPayment,
        key: &RequestKey,
    ) -> Result<Idempotent<Recorded<Payment>>, Error> {
        let target = Target::of_staff(id, if_match);
        self.record(context, target, key, |order, origin| order.record_payment(new.clone(), origin)).await
    }

    /// Records a refund, once for all requests under one key.
    ///
    /// # Errors
    /// As [`create_payment`](Self::create_payment). 409 when less is left than it asks for. 422 for items and payments
    /// that the order does not have.
    pub async fn create_refund(
        &self,
        context: &Context,
        id: OrderId,
        if_match: &IfMatch,
        new: NewRefund,
        key: &RequestKey,
    ) -> Result<Idempotent<Recorded<Refund>>, Error> {
        let target = Target::of_staff(id, if_match);
        self.record(context, target, key, |order, origin| order.record_refund(new.clone(), origin)).await
    }

    /// Builds the refund that a request would record, and changes nothing.
    ///
    /// # Errors
    /// As [`create_refund`](Self::create_refund).
    pub async fn preview_refund(
        &self,
        context: &Context,
        id: OrderId,
        if_match: &IfMatch,
        new: &NewRefund,
    ) -> Result<Refund, Error> {
        let target = Target::of_staff(id, if_match);
        let preview = || async {
            let order = self.visible_to(context, target).await?;
            if_match.check(order.version)?;
            order.preview_refund(new, self.clock.now(), context.caller.user_id())
        };
        mongo::confirm_refusals(preview).await
    }

    /// Gives a refund its reference.
    ///
    /// # Errors
    /// 404 for an order that the caller may not see and for an unknown refund, 403 for the owner. 412 for a version
    /// that `If-Match` does not name. 409 for a refund with another reference.
    pub async fn update_refund(
        &self,
        context: &Context,
        id: OrderId,
        refund: RefundId,
        if_match: &IfMatch,
        reference: &str,
    ) -> Result<Recorded<Refund>, Error> {
        let by = context.caller.user_id();
        let set = |order: Order, now| order.set_refund_reference(refund, reference, by, now);
        self.change_entry(context, Target::of_staff(id, if_match), set).await
    }
}
