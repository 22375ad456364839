//! Payments and refunds: each is one decision and one conditional write.

use shared::auth::Access;
use shared::error::{Error, Kind};
use shared::http::conditional::IfMatch;
use shared::http::idempotency::{Idempotent, RequestKey};
use shared::mongo;
use shared::mongo::conflict_retry::ConflictRetry;
use shared::runtime::context::Context;
use shared::values::ids::{OrderId, RefundId};

use super::OrderService;
use crate::order::{Decision, NewPayment, NewRefund, Order, Origin, Payment, Recording, Refund};

/// Entry of an order, with the version of the order that has it.
#[derive(Debug)]
pub struct Recorded<T> {
    /// The payment or the refund.
    pub entry: T,
    /// Version of the order.
    pub version: i64,
    /// True if another request has recorded it.
    pub was_known: bool,
}

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
        self.record(context, id, if_match, key, |order, origin| order.record_payment(new.clone(), origin))
            .await
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
        self.record(context, id, if_match, key, |order, origin| order.record_refund(new.clone(), origin))
            .await
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
        let preview = || async {
            let order = self.visible_to_staff(context, id).await?;
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
        let mut retry = ConflictRetry::default();
        let decide = || async {
            let order = self.visible_to_staff(context, id).await?;
            if_match.check(order.version)?;
            let by = context.caller.user_id();
            let (refund, decision) =
                order.clone().set_refund_reference(refund, reference, by, self.clock.now())?;
            Ok(((order, refund), decision))
        };
        loop {
            let ((order, refund), decision) = retry.decide(decide).await?;
            let Some(decision) = decision else {
                return Ok(Recorded { entry: refund, version: order.version, was_known: true });
            };
            if let Some(order) = self.decide(context, &order, decision).await? {
                return Ok(Recorded { entry: refund, version: order.version, was_known: false });
            }
            retry.conflict(id).await?;
        }
    }

    /// Records an entry: reads the order, decides, and writes on the version that was read.
    async fn record<T>(
        &self,
        context: &Context,
        id: OrderId,
        if_match: &IfMatch,
        key: &RequestKey,
        record: impl Fn(Order, Origin) -> Result<Recording<T>, Error>,
    ) -> Result<Idempotent<Recorded<T>>, Error> {
        let mut retry = ConflictRetry::default();
        let decide = || async {
            let order = self.visible_to_staff(context, id).await?;
            let origin = Origin { caller: context.caller, key, now: self.clock.now() };
            match record(order.clone(), origin) {
                Ok(Recording::New(decision, entry)) => {
                    if_match.check(order.version)?;
                    Ok(((order, entry, false), Some(*decision)))
                }
                Ok(Recording::SameKey(entry)) => Ok(((order, entry, false), None)),
                Ok(Recording::SameReference(entry)) => Ok(((order, entry, true), None)),
                Err(refusal) if refusal.kind() == Kind::IdempotencyKeyReused => Err(refusal),
                Err(refusal) => Err(if_match.check(order.version).err().unwrap_or(refusal)),
            }
        };
        loop {
            let ((order, entry, was_known), decision): (_, Option<Decision>) = retry.decide(decide).await?;
            let Some(decision) = decision else {
                // A repeated request also runs the tasks that an earlier decision left.
                let version = self.run_tasks(context, order).await.version;
                let recorded = Recorded { entry, version, was_known };
                return Ok(match was_known {
                    true => Idempotent::Replayed(recorded),
                    false => Idempotent::replayed(recorded, key.origin),
                });
            };
            if let Some(order) = self.decide(context, &order, decision).await? {
                return Ok(Idempotent::Created(Recorded { entry, version: order.version, was_known }));
            }
            retry.conflict(id).await?;
        }
    }

    /// Reads an order that staff will change. Its owner may see it, and may not change it.
    async fn visible_to_staff(&self, context: &Context, id: OrderId) -> Result<Order, Error> {
        let order = self.visible(context, id).await?;
        Access::Staff.check(context.caller)?;
        Ok(order)
    }
}
