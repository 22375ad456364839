//! Decisions about an order.

use super::declaring::{Answer, declare};
use super::state::{
    Call, Fulfillment, FulfillmentStatus, Items, Order, Pending, Process, Return, State, Status, Task, Wish,
    exceeds, minus, plus,
};
use super::{Parts, PartsGuard, Sent};

/// Result of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decided {
    /// The request was decided before.
    Replayed,
    /// The request is refused.
    Refused,
    /// The order is written.
    Writes(Box<Order>),
}

/// Refusal of a request.
struct Refused;

impl Parts {
    /// Loads the order of a request, and decides. `None`: there is nothing to decide about.
    pub(super) fn load(&self, after: &mut State, request: usize) -> Option<&'static str> {
        let Sent { order: id, wish, .. } = self.sent[request];
        if let Wish::Place(items) = wish {
            return self.place(after, id, items);
        }
        let order = after.orders[id].as_ref()?;
        let version = order.version;
        match self.decide(order, wish) {
            Decided::Writes(_) => after.begin(Process { request, version }),
            // Nothing changes: such a step need not be taken.
            Decided::Replayed | Decided::Refused => return None,
        }
        Some("loads the order")
    }

    /// Places the order of a rival in one step.
    fn place(&self, after: &mut State, id: usize, items: Items) -> Option<&'static str> {
        if after.orders[id].is_some() {
            return None;
        }
        let call = Call::placing(id, items);
        after.send(call);
        let answer = declare(self, after, &call);
        if answer != Answer::Done {
            return None;
        }
        after.orders[id] = Some(Order::placed(items));
        Some("is done")
    }

    /// Writes a decision, if the version is still the one that was loaded. Otherwise it begins again.
    pub(super) fn write(&self, after: &mut State, process: Process) -> &'static str {
        let Sent { order: id, wish, .. } = self.sent[process.request];
        let Some(order) = after.orders[id].clone() else { return "finds nothing" };
        let is_overtaken = order.version != process.version;
        if is_overtaken && self.has(PartsGuard::VersionFilter) {
            self.load(after, process.request);
            return "was overtaken";
        }
        let written = if is_overtaken {
            // What it has checked counts for nothing.
            let mut written = order.clone();
            self.apply(&mut written, wish, false).ok();
            self.complete(&order, written, wish)
        } else {
            match self.decide(&order, wish) {
                Decided::Writes(written) => *written,
                Decided::Replayed | Decided::Refused => return "finds nothing to write",
            }
        };
        if !self.has(PartsGuard::OneRead)
            && let Some(call) = self.call(id, &written)
        {
            after.send(Call { held: order.left(), counts: order.counts(), ..call });
        }
        if !self.has(PartsGuard::TaskInTheWrite) && written.tasks.len() > order.tasks.len() {
            after.calls.extend(self.call(id, &written));
            after.calls.sort_unstable();
            after.orders[id] = Some(Order { tasks: order.tasks, ..written });
        } else {
            after.orders[id] = Some(written);
        }
        after.send_all(self, id);
        "is decided"
    }

    /// Decides about a request on the order as it was loaded.
    pub(super) fn decide(&self, order: &Order, wish: Wish) -> Decided {
        let is_replay = self.is_replay(order, wish);
        let mut after = order.clone();
        match self.apply(&mut after, wish, true) {
            _ if is_replay && self.has(PartsGuard::ReplayFirst) => Decided::Replayed,
            Err(Refused) => Decided::Refused,
            Ok(()) if is_replay => Decided::Replayed,
            Ok(()) => Decided::Writes(Box::new(self.complete(order, after, wish))),
        }
    }

    /// Returns true if the order has the entry, or the status, of the request already.
    pub(super) fn is_replay(&self, order: &Order, wish: Wish) -> bool {
        let fulfillment = |id| order.fulfillments.iter().find(|it| it.id == id).map(|it| it.status);
        match wish {
            Wish::Place(_) | Wish::Expire => false,
            Wish::Pay => order.paid,
            Wish::Cancel { id, .. } => order.cancellations.contains(&id),
            Wish::Ship { id, .. } => fulfillment(id).is_some() && self.has(PartsGuard::PartById),
            Wish::Unship { id } => fulfillment(id) == Some(FulfillmentStatus::Cancelled),
            Wish::Deliver { id } => fulfillment(id) == Some(FulfillmentStatus::Delivered),
            Wish::Return { id, .. } => order.returns.iter().any(|it| it.id == id),
            Wish::Receive { id, restocked } => {
                order.returns.iter().any(|it| it.id == id && it.restocked == Some(restocked))
            }
            Wish::Change(items) => order.ordered == items && order.pending.is_none(),
        }
    }

    /// Applies a request, or refuses it. `checks` is false for one that decided on an earlier version.
    fn apply(&self, order: &mut Order, wish: Wish, checks: bool) -> Result<(), Refused> {
        let refuse = |is: bool, guard: Option<PartsGuard>| {
            let is_checked = checks && guard.is_none_or(|guard| self.has(guard));
            if is && is_checked { Err(Refused) } else { Ok(()) }
        };
        let (status, left, out) = (order.status(), order.left(), order.out());
        let (returned, _) = order.returned();
        let is_open = matches!(status, Status::Placed | Status::Paid);
        match wish {
            Wish::Place(_) => return Err(Refused),
            Wish::Pay => {
                refuse(status != Status::Placed, None)?;
                order.paid = true;
            }
            Wish::Expire => {
                refuse(status != Status::Placed, None)?;
                order.cancelled = minus(order.ordered, out);
            }
            Wish::Cancel { id, items } => {
                refuse(!is_open, None)?;
                refuse(exceeds(items, left), Some(PartsGuard::CancelsWhatIsLeft))?;
                order.cancelled = plus(order.cancelled, items);
                order.cancellations.push(id);
                order.cancellations.sort_unstable();
            }
            Wish::Ship { id, items } => {
                refuse(status != Status::Paid, None)?;
                refuse(exceeds(items, left), Some(PartsGuard::ShipsWhatIsLeft))?;
                let status = FulfillmentStatus::Shipped;
                order.fulfillments.push(Fulfillment { id, items, status, was_delivered: false });
                order.fulfillments.sort_unstable();
            }
            Wish::Unship { id } => {
                let fulfillment = order.fulfillments.iter_mut().find(|it| it.id == id).ok_or(Refused)?;
                let is_on_its_way = fulfillment.status == FulfillmentStatus::Shipped;
                refuse(!is_on_its_way, Some(PartsGuard::DeliveredStays))?;
                let is_needed = exceeds(returned, minus(out, fulfillment.items));
                refuse(is_needed, Some(PartsGuard::ReturnsKeepFulfillments))?;
                fulfillment.status = FulfillmentStatus::Cancelled;
            }
            Wish::Deliver { id } => {
                let fulfillment = order.fulfillments.iter_mut().find(|it| it.id == id).ok_or(Refused)?;
                refuse(fulfillment.status != FulfillmentStatus::Shipped, None)?;
                (fulfillment.status, fulfillment.was_delivered) = (FulfillmentStatus::Delivered, true);
            }
            Wish::Return { id, items } => {
                refuse(exceeds(plus(returned, items), out), Some(PartsGuard::ReturnsWhatWasShipped))?;
                order.returns.push(Return { id, items, restocked: None, receipts: 0 });
                order.returns.sort_unstable();
            }
            Wish::Receive { id, restocked } => {
                let of_id = order.returns.iter_mut().find(|it| it.id == id).ok_or(Refused)?;
                refuse(of_id.restocked.is_some(), Some(PartsGuard::ReceivedOnce))?;
                refuse(exceeds(restocked, of_id.items), Some(PartsGuard::RestocksWhatCameBack))?;
                (of_id.restocked, of_id.receipts) = (Some(restocked), of_id.receipts + 1);
            }
            Wish::Change(items) => {
                refuse(status != Status::Placed, None)?;
                refuse(exceeds(order.cancelled, items), Some(PartsGuard::NotBelowCancelled))?;
            }
        }
        Ok(())
    }

    /// Completes a decision: the version, the end of a pending change, and the task.
    fn complete(&self, before: &Order, mut after: Order, wish: Wish) -> Order {
        after.version = before.version + 1;
        let revision = after.version;
        after.pending = None;
        if let Wish::Change(items) = wish {
            // Its own finish declares the final items, whatever an earlier change held.
            after.pending = Some(Pending { revision, items, granted: false, refused: false });
            return after;
        }
        let is_change = (before.left(), before.counts()) != (after.left(), after.counts());
        if is_change || before.pending.is_some() {
            after.tasks.push(Task { revision, before: before.counts(), is_older: false, done: false });
        }
        after
    }

    /// Finishes a change of items: the new items, or the old ones if it was refused.
    pub(super) fn finish(&self, order: &mut Order, new: Option<Items>) {
        order.version += 1;
        order.pending = None;
        let before = order.counts();
        order.ordered = new.unwrap_or(order.ordered);
        let revision = order.version;
        order.tasks.push(Task { revision, before, is_older: false, done: false });
    }
}
