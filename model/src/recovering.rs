//! Steps of Reconcile for holds without an order and for old tombstones, and a complete run of Reconcile.
//!
//! A complete run without a fault must heal every state. The rules are at the top of `steps`.

use crate::guards::Guard;
use crate::placing::{Outcome, Then};
use crate::state::{Call, IDS, NONE, Order, PRODUCTS, State};
use crate::steps::{Protocol, Step};
use crate::stock::{Answer, declare};

/// More steps than any undisturbed request needs.
const MAX_STEPS: usize = 40;

impl Protocol {
    /// Adds the steps that Reconcile may take for an ID. It may act long after it has read.
    pub(crate) fn reconcile(&self, state: &State, id: usize, steps: &mut Vec<(Step, State)>) {
        if state.seen[id] && state.orders[id].is_none() && !self.scenario.calm {
            let mut after = state.clone();
            steps.push(if self.has(Guard::VoidFirst) {
                after.orders[id] = Some(Order::void(id));
                (Step::Void { id }, after)
            } else {
                let call = Call::hold(id, 2, NONE);
                after.send(call);
                let answer = declare(&mut after, call, self.without);
                (Step::Perform { call, answer }, after)
            });
        }
        let ages = self.has(Guard::PruneWaitsForCalls);
        let tombstone = |product: usize| {
            state.products[product].entries[id]
                .is_some_and(|entry| entry.quantity == 0 && (entry.old || !ages))
        };
        if !(0..PRODUCTS).any(tombstone) {
            return;
        }
        let waits = state.orders[id].as_ref().is_some_and(|order| {
            !order.tasks.is_empty() && self.has(Guard::PruneWaitsForTasks)
                || order.task_removed && self.has(Guard::PruneWaitsAfterTasks)
        });
        if !state.prunable[id] && !waits {
            let mut after = state.clone();
            after.prunable[id] = true;
            steps.push((Step::Prunable { id }, after));
        }
        for product in (0..PRODUCTS).filter(|product| state.prunable[id] && tombstone(*product)) {
            let mut after = state.clone();
            after.products[product].entries[id] = None;
            steps.push((Step::Prune { id, product }, after));
        }
    }

    /// Lets an hour pass: every process has ended, and no call that was sent before can arrive.
    pub(crate) fn hour(&self, state: &State) -> Option<(Step, State)> {
        let mut after = state.clone();
        after.hours = after.hours.checked_sub(1)?;
        after.processes.clear();
        after.sent.clear();
        after.prunable = [false; IDS];
        for id in 0..IDS {
            after.seen[id] = after.held(id) != NONE;
            if let Some(order) = &mut after.orders[id] {
                order.forgotten = None;
                order.task_removed = false;
                order.tasks.iter_mut().for_each(|task| task.done = false);
                if let Some(pending) = &mut order.pending {
                    (pending.granted, pending.refused) = (false, false);
                }
            }
            if let Some(call) = self.intended(&after, id) {
                after.send(call);
            }
        }
        for entry in after.products.iter_mut().flat_map(|product| product.entries.iter_mut().flatten()) {
            entry.old = true;
        }
        Some((Step::Hour, after))
    }

    /// Returns the state after every process has crashed and Reconcile has run to its end without a fault.
    pub fn recovered(&self, state: &State) -> State {
        let mut state = state.clone();
        state.processes.clear();
        for id in 0..IDS {
            if state.orders[id].is_none() && state.held(id) != NONE {
                if self.has(Guard::VoidFirst) {
                    state.orders[id] = Some(Order::void(id));
                } else {
                    declare(&mut state, Call::hold(id, 2, NONE), self.without);
                }
            }
            if let Some(call) = self.intended(&state, id) {
                let granted = declare(&mut state, call, self.without) == Answer::Done;
                let items =
                    state.orders[id].as_ref().and_then(|order| order.pending).map(|change| change.items);
                (_, state) = self.finish(&state, id, items.filter(|_| granted));
            }
            let tasks = state.orders[id].as_ref().map_or_else(Vec::new, |order| order.tasks.clone());
            for task in tasks {
                let answer = declare(&mut state, task.call, self.without);
                if !matches!(answer, Answer::Done | Answer::Superseded) {
                    break;
                }
                if let Some(order) = &mut state.orders[id] {
                    order.tasks.retain(|left| left.call != task.call);
                }
            }
        }
        state
    }

    /// Returns the answer to a request that runs alone; `None` if it gets no answer.
    pub fn sent_alone(&self, state: &State, placement: usize) -> Option<Outcome> {
        let mut placing = self.new_placing(placement);
        let mut state = state.clone();
        for _ in 0..MAX_STEPS {
            match self.place_once(&mut state, placing).1 {
                Then::Goes(next) => placing = next,
                Then::Ends(outcome) => return Some(outcome),
            }
        }
        None
    }
}
