//! Conditions at every moment, and conditions once Reconcile has run.

use super::deciding::Decided;
use super::state::{Fulfillment, FulfillmentStatus, NOTHING, Order, State, exceeds, minus, plus, sum};
use super::{Parts, PartsGuard};

impl Parts {
    /// Checks a state, the state that Reconcile makes of it, and the answer to each repeated request.
    ///
    /// # Errors
    /// Names the promise that is broken.
    pub(super) fn check_promises(&self, state: &State) -> Result<(), String> {
        self.always(state)?;
        let recovered = self.recovered(state);
        self.always(&recovered)?;
        self.at_rest(&recovered)
    }

    fn always(&self, state: &State) -> Result<(), String> {
        if let Some(broken) = state.broken {
            return Err(broken.to_owned());
        }
        let held = sum(state.holds.iter().flatten().map(|hold| hold.held));
        wrong(exceeds(state.reserved, state.on_hand), "more is reserved than there is")?;
        wrong(state.reserved != held, "what is reserved is not what is held")?;
        for order in state.orders.iter().flatten() {
            check_order(order)?;
        }
        for sent in &self.sent {
            if let Some(order) = &state.orders[sent.order]
                && self.is_replay(order, sent.wish)
                && self.without.is_none_or(|guard| guard == PartsGuard::ReplayFirst)
            {
                let is_replayed = self.decide(order, sent.wish) == Decided::Replayed;
                wrong(!is_replayed, "a request that is sent again is not answered as before")?;
            }
        }
        // Without a guard only the harm is of interest, and this would be found before it.
        let mut pairs = state.calls.windows(2).filter(|_| self.without.is_none());
        let differ = pairs.any(|pair| {
            let [one, other] = pair else { return false };
            (one.order, one.revision) == (other.order, other.revision)
                && (one.held, one.counts) != (other.held, other.counts)
        });
        wrong(differ, "one revision has two contents")
    }

    fn at_rest(&self, state: &State) -> Result<(), String> {
        let (mut gone, mut gone_at_first) = (NOTHING, NOTHING);
        for (id, order) in state.orders.iter().enumerate() {
            let held = state.holds[id].map_or(NOTHING, |hold| hold.held);
            let left = order.as_ref().map_or(NOTHING, Order::left);
            wrong(held != left, "an order does not hold just what is left of it")?;
            let Some(order) = order else { continue };
            wrong(!order.tasks.is_empty() || order.pending.is_some(), "a task cannot be done")?;
            gone = plus(gone, minus(order.out(), order.counts().restocked));
            if let Some(order) = &self.orders[id] {
                // Open tasks at the beginning have yet to move their units.
                let counts = order.tasks.first().map_or(order.counts(), |task| task.before);
                gone_at_first = plus(gone_at_first, minus(counts.shipped, counts.restocked));
            }
        }
        let is_kept = plus(state.on_hand, gone) == plus(self.on_hand, gone_at_first);
        wrong(!is_kept, "units are lost or came from nowhere")
    }
}

fn check_order(order: &Order) -> Result<(), String> {
    let out = order.out();
    let is_over = exceeds(plus(order.cancelled, out), order.ordered);
    wrong(is_over, "more is cancelled and shipped than was ordered")?;
    let (returned, received) = order.returned();
    wrong(exceeds(returned, out), "more is sent back than was shipped")?;
    wrong(exceeds(order.counts().restocked, received), "more is restocked than came back")?;
    let is_undone = |it: &Fulfillment| it.was_delivered && it.status == FulfillmentStatus::Cancelled;
    wrong(order.fulfillments.iter().any(is_undone), "a delivered fulfillment is cancelled")?;
    wrong(order.returns.iter().any(|it| it.receipts > 1), "a return is received twice")?;
    let is_twice = order.fulfillments.windows(2).any(|pair| matches!(pair, [a, b] if a.id == b.id));
    wrong(is_twice, "a request has two fulfillments")
}

fn wrong(is: bool, what: &str) -> Result<(), String> {
    if is { Err(what.to_owned()) } else { Ok(()) }
}
