//! The one atomic step of products, and what leads to it and follows: calls, removals of tasks, and pruning.

use super::state::{Call, Counts, Hold, Items, Kind, NOTHING, Order, State, Step, Task, each, minus};
use super::{ORDERS, PRODUCTS, Parts, PartsGuard};
use crate::explorer::Model as _;

/// Answer of products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The declaration is applied, now or before.
    Done,
    /// A later declaration was already applied.
    Superseded,
    /// Units are short; nothing is written.
    Short,
    /// The product is not active, so that no more may be held; nothing is written.
    NotActive,
    /// More units would leave than are there; nothing is written.
    Impossible,
}

/// Stock of all products, and the hold of the first order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Units on hand.
    pub on_hand: Items,
    /// Units held for all orders.
    pub reserved: Items,
    /// True if no product is active.
    pub archived: bool,
    /// Hold of the order.
    pub hold: Option<Hold>,
}

/// Applies a call of the first order on its own. A test compares it with `products::stock::decide`.
pub fn declare_alone(stored: Stored, call: &Call) -> (Stored, Answer) {
    let Stored { on_hand, reserved, archived, hold } = stored;
    let parts = Parts {
        name: "a declaration alone",
        on_hand,
        orders: Default::default(),
        holds: [hold, None],
        sent: Vec::new(),
        hours: 0,
        archive: false,
        without: None,
    };
    let mut state = State { reserved, archived, ..parts.initial() };
    let answer = declare(&parts, &mut state, call);
    let State { on_hand, reserved, holds: [hold, _], .. } = state;
    (Stored { on_hand, reserved, archived, hold }, answer)
}

/// Applies a call, or returns the reason for a refusal, which changes nothing.
pub(super) fn declare(parts: &Parts, state: &mut State, call: &Call) -> Answer {
    let stored = state.holds[call.order];
    match stored {
        Some(hold) if hold.revision > call.revision && parts.has(PartsGuard::Revision) => {
            return Answer::Superseded;
        }
        Some(hold) if hold.revision == call.revision => return Answer::Done,
        _ => {}
    }
    let stored_counts = stored.and_then(|hold| hold.counts);
    let known =
        stored_counts.filter(|_| parts.has(PartsGuard::StoredCounts) && parts.has(PartsGuard::Totals));
    let missing = if parts.has(PartsGuard::BeforeIfNone) { call.before } else { Counts::default() };
    let base = known.unwrap_or(missing);
    let counts = if call.kind == Kind::Hold { base } else { call.counts };
    let held = stored.map_or(NOTHING, |hold| hold.held);
    let mut after = (state.on_hand, state.reserved);
    for product in 0..PRODUCTS {
        let of = |items: Items| i16::from(items[product]);
        let on_hand = of(state.on_hand) - of(counts.shipped) + of(base.shipped) + of(counts.restocked)
            - of(base.restocked);
        let reserved = of(state.reserved) - of(held) + of(call.held);
        let has_more = of(call.held) + of(counts.shipped) > of(held) + of(base.shipped);
        let holds_more = of(call.held) > of(held);
        if state.archived && (has_more || holds_more && !parts.has(PartsGuard::OwnStays)) {
            return Answer::NotActive;
        }
        let available = of(state.on_hand) - of(state.reserved);
        if !parts.has(PartsGuard::BackBeforeTaken) && of(call.held) - of(held) > available.max(0) {
            return Answer::Short;
        }
        if has_more && reserved > on_hand {
            return Answer::Short;
        }
        let (Ok(on_hand), Ok(reserved)) = (u8::try_from(on_hand), u8::try_from(reserved)) else {
            return Answer::Impossible;
        };
        if reserved > on_hand {
            return Answer::Impossible;
        }
        (after.0[product], after.1[product]) = (on_hand, reserved);
    }
    (state.on_hand, state.reserved) = after;
    let changes = (held, base) != (call.held, counts);
    if stored.is_none() && !changes && !parts.has(PartsGuard::RevisionLeft) {
        return Answer::Done;
    }
    let drops = counts == base && !parts.has(PartsGuard::CountsKept)
        || counts == Counts::default() && !parts.has(PartsGuard::ZeroStored)
        || stored_counts.is_none() && counts == base && !parts.has(PartsGuard::CountsFromTheFirst);
    let counts = match call.kind {
        Kind::Move => Some(counts).filter(|_| !drops),
        Kind::Hold | Kind::ShipAll => stored_counts,
    };
    state.holds[call.order] = Some(Hold { revision: call.revision, held: call.held, counts, old: false });
    Answer::Done
}

impl State {
    /// Makes all calls that a process could make for an order now.
    pub(super) fn send_all(&mut self, parts: &Parts, id: usize) {
        let Some(order) = self.orders[id].clone() else { return };
        let calls = [parts.call(id, &order), parts.intended(id, &order)];
        calls.into_iter().flatten().for_each(|call| self.send(call));
    }
}

impl Parts {
    /// Returns the call that does the work of all tasks of an order.
    pub(super) fn call(&self, id: usize, order: &Order) -> Option<Call> {
        let (oldest, newest) = (order.tasks.first()?, order.tasks.last()?);
        if self.has(PartsGuard::OlderAlone)
            && let Some(call) = self.older_call(id, order)
        {
            return Some(call);
        }
        let is_oldest = self.has(PartsGuard::OldestBefore) && self.has(PartsGuard::Totals);
        let from = if is_oldest { oldest } else { newest };
        let (held, counts) = (order.left(), order.counts());
        let (revision, before) = (newest.revision, from.before);
        let kind = if order.fulfillments.is_empty() { Kind::Hold } else { Kind::Move };
        Some(Call { order: id, revision, held, counts, before, kind })
    }

    /// Returns the call for the oldest task, if an older build has left it.
    pub(super) fn older_call(&self, id: usize, order: &Order) -> Option<Call> {
        let Task { revision, before, .. } = *order.tasks.first().filter(|task| task.is_older)?;
        let counts = order.tasks.get(1).map_or(order.counts(), |next| next.before);
        Some(Call { order: id, revision, held: NOTHING, counts, before, kind: Kind::ShipAll })
    }

    /// Returns the hold that a pending change asks for.
    pub(super) fn intended(&self, id: usize, order: &Order) -> Option<Call> {
        let pending = order.pending?;
        let larger = each(|product| order.ordered[product].max(pending.items[product]));
        let (held, counts) = (minus(larger, order.cancelled), order.counts());
        Some(Call { order: id, revision: pending.revision, held, counts, before: counts, kind: Kind::Hold })
    }

    /// Returns the step in which a call arrives, and a process has its answer.
    pub(super) fn arrive(&self, state: &State, call: &Call) -> Vec<(Step, State)> {
        let mut steps = Vec::new();
        let mut after = state.clone();
        let answer = declare(self, &mut after, call);
        if let Some(order) = &mut after.orders[call.order] {
            let is_done = matches!(answer, Answer::Done | Answer::Superseded);
            for task in order.tasks.iter_mut().filter(|task| task.revision == call.revision) {
                task.done |= is_done;
                if !is_done {
                    after.broken = Some("a task is refused");
                }
            }
            if let Some(pending) = &mut order.pending
                && pending.revision == call.revision
            {
                pending.granted |= answer == Answer::Done;
                pending.refused |= matches!(answer, Answer::Short | Answer::NotActive);
            }
        }
        if after.on_hand != state.on_hand && !self.has(PartsGuard::OneTransaction) {
            let half = State { on_hand: after.on_hand, ..state.clone() };
            steps.push((Step(format!("{call} moves units, and no more")), half));
        }
        if after != *state {
            steps.push((Step(format!("{call} is {answer:?}")), after));
        }
        steps
    }

    /// Adds the steps that follow an answer: tasks are removed, or a change is decided.
    pub(super) fn follow(&self, state: &State, id: usize, steps: &mut Vec<(Step, State)>) {
        let Some(order) = &state.orders[id] else { return };
        for task in &order.tasks {
            if !task.done && self.has(PartsGuard::TaskUntilAnswered) {
                continue;
            }
            let mut after = state.clone();
            if let Some(order) = &mut after.orders[id] {
                self.remove(order, task.revision);
            }
            after.send_all(self, id);
            steps.push((Step(format!("order {id}: tasks up to r{} are removed", task.revision)), after));
        }
        let Some(pending) = order.pending else { return };
        for (is_answered, new) in [(pending.granted, Some(pending.items)), (pending.refused, None)] {
            if is_answered {
                let mut after = state.clone();
                after.orders[id].iter_mut().for_each(|order| self.finish(order, new));
                after.send_all(self, id);
                let what = if new.is_some() { "has new items" } else { "keeps its items" };
                steps.push((Step(format!("order {id}: {what}")), after));
            }
        }
    }

    /// Removes the tasks up to a revision.
    fn remove(&self, order: &mut Order, revision: u8) {
        let is_done = |it: &Task| it.revision <= revision || !self.has(PartsGuard::NewerTasksStay);
        order.tasks.retain(|task| !is_done(task));
        // Without hours nothing grows old, and the flag would only double the states.
        order.task_removed = self.hours > 0;
    }

    /// Adds the steps of pruning. A process may act long after it has read.
    pub(super) fn prune(&self, state: &State, id: usize, steps: &mut Vec<(Step, State)>) {
        let Some(hold) = state.holds[id] else { return };
        let is_old = hold.old || !self.has(PartsGuard::PruneWaitsForCalls);
        let is_ended = hold.held == NOTHING || !self.has(PartsGuard::OnlyTombstones);
        if self.hours == 0 || !is_old || !is_ended {
            return;
        }
        let mut after = state.clone();
        if state.prunable[id] {
            after.holds[id] = None;
            let released = |product: usize| state.reserved[product] - hold.held[product];
            after.reserved = each(released);
            steps.push((Step(format!("order {id}: its hold is pruned")), after));
            return;
        }
        let waits = state.orders[id].as_ref().is_some_and(|order| {
            !order.tasks.is_empty() && self.has(PartsGuard::PruneWaitsForTasks)
                || order.task_removed && self.has(PartsGuard::PruneWaitsAfterTasks)
        });
        if !waits {
            after.prunable[id] = true;
            steps.push((Step(format!("order {id}: its hold may be pruned")), after));
        }
    }

    /// Lets an hour pass: every process has ended, and no call that was made before can arrive.
    pub(super) fn hour(&self, state: &State) -> Option<(Step, State)> {
        let mut after = state.clone();
        after.hours = after.hours.checked_sub(1)?;
        after.processes.clear();
        after.calls.clear();
        after.prunable = [false; ORDERS];
        after.holds.iter_mut().flatten().for_each(|hold| hold.old = true);
        for id in 0..ORDERS {
            if let Some(order) = &mut after.orders[id] {
                order.task_removed = false;
                order.tasks.iter_mut().for_each(|task| task.done = false);
                if let Some(pending) = &mut order.pending {
                    (pending.granted, pending.refused) = (false, false);
                }
            }
            after.send_all(self, id);
        }
        Some((Step("an hour passes".to_owned()), after))
    }

    /// Returns the state after every process has crashed and Reconcile has run to its end without a fault.
    pub(super) fn recovered(&self, state: &State) -> State {
        let mut state = state.clone();
        state.processes.clear();
        for id in 0..ORDERS {
            let intended = state.orders[id].as_ref().and_then(|order| self.intended(id, order));
            if let Some(call) = intended {
                let is_granted = declare(self, &mut state, &call) == Answer::Done;
                if let Some(order) = &mut state.orders[id] {
                    let items = order.pending.map(|pending| pending.items).filter(|_| is_granted);
                    self.finish(order, items);
                }
            }
            while let Some(call) = state.orders[id].as_ref().and_then(|order| self.call(id, order)) {
                if !matches!(declare(self, &mut state, &call), Answer::Done | Answer::Superseded) {
                    break;
                }
                state.orders[id].iter_mut().for_each(|order| self.remove(order, call.revision));
            }
        }
        state
    }
}
