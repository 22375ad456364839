//! Requests that record or change an entry of an order: each is one decision and one conditional write.

use shared::auth::Access;
use shared::error::{Error, Kind};
use shared::http::conditional::IfMatch;
use shared::http::idempotency::{Idempotent, RequestKey};
use shared::mongo::conflict_retry::ConflictRetry;
use shared::runtime::context::Context;
use shared::values::clock::Timestamp;
use shared::values::ids::OrderId;

use super::OrderService;
use crate::order::{Cancellation, Decision, Order, Origin, Recording};

/// Entry of an order, with the version of the order that has it.
#[derive(Debug)]
pub struct Recorded<T> {
    /// The payment, refund, fulfillment or return.
    pub entry: T,
    /// Version of the order.
    pub version: i64,
    /// True if another request has recorded it.
    pub was_known: bool,
}

/// Entry as a request leaves it, with its order.
#[derive(Debug)]
pub(super) struct EntryWithOrder<T> {
    /// The order.
    order: Order,
    /// The entry.
    entry: T,
    /// True if another request has recorded it.
    was_known: bool,
}

impl<T> From<EntryWithOrder<T>> for Recorded<T> {
    fn from(entry: EntryWithOrder<T>) -> Self {
        let EntryWithOrder { order, entry, was_known } = entry;
        Self { entry, version: order.version, was_known }
    }
}

/// A cancellation is answered with its order.
impl From<EntryWithOrder<Cancellation>> for Order {
    fn from(cancellation: EntryWithOrder<Cancellation>) -> Self {
        cancellation.order
    }
}

/// Order that a request names, and the callers who may change it so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    /// Order ID.
    pub(super) id: OrderId,
    /// Callers who may make the request, among those who may see the order.
    pub(super) access: Access,
    /// Versions of the order that the request may change.
    pub(super) if_match: &'a IfMatch,
}

impl<'a> Target<'a> {
    /// Order for a request of staff alone.
    pub(super) fn of_staff(id: OrderId, if_match: &'a IfMatch) -> Self {
        Self { id, access: Access::Staff, if_match }
    }

    /// Order for a request of its owner too. The decision knows when.
    pub(super) fn of_signed_in(id: OrderId, if_match: &'a IfMatch) -> Self {
        Self { id, access: Access::SignedIn, if_match }
    }

    /// Chooses between a refusal and that of another version.
    fn refusal(self, version: i64, refusal: Error) -> Error {
        if precedes_version(&refusal) {
            return refusal;
        }
        self.if_match.check(version).err().unwrap_or(refusal)
    }
}

/// True for a refusal that comes before that of another version: of the caller, of the key, or of an unknown part.
pub(super) fn precedes_version(refusal: &Error) -> bool {
    matches!(refusal.kind(), Kind::NotFound | Kind::Forbidden | Kind::IdempotencyKeyReused)
}

impl OrderService {
    /// Records an entry, once for all requests under one key.
    pub(super) async fn record<T, A: From<EntryWithOrder<T>>>(
        &self,
        context: &Context,
        target: Target<'_>,
        key: &RequestKey,
        record: impl Fn(Order, Origin) -> Result<Recording<T>, Error>,
    ) -> Result<Idempotent<A>, Error> {
        let decide = |order: Order| {
            let version = order.version;
            let origin = Origin { caller: context.caller, key, now: self.clock.now() };
            match record(order, origin)? {
                Recording::New(decision, entry) => {
                    target.if_match.check(version)?;
                    Ok(((entry, false), Some(*decision)))
                }
                Recording::SameKey(entry) => Ok(((entry, false), None)),
                Recording::SameReference(entry) => Ok(((entry, true), None)),
            }
        };
        let (order, (entry, was_known), is_written) = self.write_entry(context, target, decide).await?;
        let entry = A::from(EntryWithOrder { order, entry, was_known });
        Ok(match (is_written, was_known) {
            (true, _) => Idempotent::Created(entry),
            (false, true) => Idempotent::Replayed(entry),
            (false, false) => Idempotent::replayed(entry, key.origin),
        })
    }

    /// Changes an entry.
    pub(super) async fn change_entry<T>(
        &self,
        context: &Context,
        target: Target<'_>,
        change: impl Fn(Order, Timestamp) -> Result<(T, Option<Decision>), Error>,
    ) -> Result<Recorded<T>, Error> {
        let decide = |order: Order| {
            let version = order.version;
            let changed = change(order, self.clock.now())?;
            target.if_match.check(version)?;
            Ok(changed)
        };
        let (order, entry, is_written) = self.write_entry(context, target, decide).await?;
        Ok(EntryWithOrder { order, entry, was_known: !is_written }.into())
    }

    /// Reads the order, decides, and writes on the version that was read. Returns the order, the entry, and whether
    /// anything was written.
    async fn write_entry<T>(
        &self,
        context: &Context,
        target: Target<'_>,
        decide: impl Fn(Order) -> Result<(T, Option<Decision>), Error>,
    ) -> Result<(Order, T, bool), Error> {
        let mut retry = ConflictRetry::default();
        let decide = || async {
            let order = self.visible_to(context, target).await?;
            match decide(order.clone()) {
                Ok((entry, decision)) => Ok(((order, entry), decision)),
                Err(refusal) => Err(target.refusal(order.version, refusal)),
            }
        };
        loop {
            let ((order, entry), decision): (_, Option<Decision>) = retry.decide(decide).await?;
            let Some(decision) = decision else {
                // A repeated request also runs the tasks that an earlier decision left.
                return Ok((self.run_tasks(context, order).await, entry, false));
            };
            if let Some(order) = self.decide(context, &order, decision).await? {
                return Ok((order, entry, true));
            }
            retry.conflict(target.id).await?;
        }
    }

    /// Reads an order that a request will change. Its owner may see it also where only staff may change it.
    pub(super) async fn visible_to(&self, context: &Context, target: Target<'_>) -> Result<Order, Error> {
        let order = self.visible(context, target.id).await?;
        target.access.check(context.caller)?;
        Ok(order)
    }
}
