//! Decisions about an existing order, changes of its items, and the tasks that follow. The rules are at the
//! top of `steps`.
//!
//! A task or the finish of a change takes the same steps in any process: in the request that wrote it, or in
//! any run of Reconcile. So no process is modelled for it: the step is possible whenever some process could
//! take it.

use crate::guards::Guard;
use crate::scenario::Wish;
use crate::state::{
    Call, DeclarationKind, Items, NONE, Order, Pending, Process, State, Status, Task, larger,
};
use crate::steps::{Protocol, Step};
use crate::stock::{Answer, declare};

impl Protocol {
    /// Reads the order and checks that the decision is allowed; `None` is an answer without a write.
    pub(crate) fn read(&self, state: &State, decision: usize, id: usize) -> Option<Process> {
        let order = state.orders[id].as_ref()?;
        let wish = self.scenario.decisions[decision].wish;
        let pending = order.pending.is_some();
        may(order, wish).then_some(Process::Deciding { decision, id, version: order.version, pending })
    }

    /// Writes the decision if the version is still the one that was read; otherwise reads again.
    pub(crate) fn write(
        &self,
        state: &State,
        decision: usize,
        id: usize,
        version: u8,
        pending: bool,
    ) -> Option<(Step, State)> {
        let wish = self.scenario.decisions[decision].wish;
        let mut after = state.clone();
        let order = after.orders[id].as_mut()?;
        if order.version != version && self.has(Guard::VersionFilter) {
            if let Some(again) = self.read(state, decision, id) {
                after.begin(again);
            }
            return Some((Step::Decide { wish, id, what: "was overtaken, reads again" }, after));
        }
        let revision = version + 1;
        order.version = revision;
        if order.pending.is_some_and(|ended| ended.granted) && !self.has(Guard::IntentAtFinish) {
            order.forgotten = order.pending.map(|ended| ended.items);
        }
        order.pending = None;
        let items = order.items;
        let mut task =
            (pending && self.has(Guard::TaskOfWhatEndsAChange)).then_some((DeclarationKind::Hold, items));
        match wish {
            Wish::Pay => order.status = Status::Paid,
            Wish::Cancel | Wish::Expire => {
                order.status = Status::Cancelled;
                task = Some((DeclarationKind::Hold, NONE));
            }
            Wish::Ship => {
                order.status = Status::Shipped;
                task = Some((DeclarationKind::Ship, items));
            }
            Wish::Deliver => order.status = Status::Delivered,
            Wish::Return => {
                order.status = Status::Returned;
                task = Some((DeclarationKind::Restock, items));
            }
            Wish::Note => {}
            Wish::Change(items) => {
                // Its own finish declares the final items, whatever an earlier change held.
                task = None;
                order.pending = Some(Pending { revision, items, granted: false, refused: false });
            }
        }
        if let Some((kind, items)) = task {
            let call = Call { id, revision, kind, items };
            order.tasks.push(Task { call, done: false });
        }
        let status = order.status;
        if let Some(call) = self.intended(&after, id) {
            after.send(call);
        }
        promise(&mut after, id, status);
        Some((Step::Decide { wish, id, what: "is decided" }, after))
    }

    /// Returns the hold that a pending change asks for.
    pub(crate) fn intended(&self, state: &State, id: usize) -> Option<Call> {
        let order = state.orders[id].as_ref()?;
        let Pending { revision, items, .. } = order.pending?;
        let items = if self.has(Guard::LargerOfBoth) { larger(order.items, items) } else { items };
        Some(Call::hold(id, revision, items))
    }

    /// Adds the steps that any process may take for an order: its tasks, and its pending change.
    pub(crate) fn follow(&self, state: &State, id: usize, steps: &mut Vec<(Step, State)>) {
        let Some(order) = &state.orders[id] else { return };
        let runnable = if self.has(Guard::TaskOrder) { 1 } else { order.tasks.len() };
        for (place, task) in order.tasks.iter().enumerate().take(runnable) {
            let mut after = state.clone();
            after.send(task.call);
            let answer = declare(&mut after, task.call, self.without);
            // Tasks run in order, so a superseded task was done before.
            let done = matches!(answer, Answer::Done | Answer::Superseded);
            mark_done(&mut after, id, place, done);
            steps.push((Step::Perform { call: task.call, answer }, after));
        }
        for (place, task) in order.tasks.iter().enumerate() {
            if task.done || (place == 0 && !self.has(Guard::TaskUntilAnswered)) {
                let mut after = state.clone();
                if let Some(order) = &mut after.orders[id] {
                    order.tasks.remove(place);
                    // Without hours nothing grows old, and the flag would only double the states.
                    order.task_removed = self.scenario.hours > 0;
                }
                after.send(task.call);
                steps.push((Step::RemoveTask { call: task.call }, after));
            }
        }
        if let Some(call) = self.intended(state, id) {
            let mut after = state.clone();
            after.send(call);
            let answer = declare(&mut after, call, self.without);
            if let Some(pending) = after.orders[id].as_mut().and_then(|order| order.pending.as_mut()) {
                pending.granted |= answer == Answer::Done;
                pending.refused |= answer == Answer::Short;
            }
            steps.push((Step::Ask { call, answer }, after));
        }
        if let Some(pending) = order.pending {
            if pending.granted {
                steps.push(self.finish(state, id, Some(pending.items)));
            }
            if pending.refused {
                steps.push(self.finish(state, id, None));
            }
        }
        if let Some(items) = order.forgotten {
            steps.push(self.finish(state, id, Some(items)));
        }
    }

    /// Decides a change: the new items, or the old ones if it was refused.
    pub(crate) fn finish(&self, state: &State, id: usize, new: Option<Items>) -> (Step, State) {
        let mut after = state.clone();
        if let Some(order) = &mut after.orders[id] {
            order.version += 1;
            order.pending = None;
            order.forgotten = None;
            order.items = new.unwrap_or(order.items);
            let call = Call::hold(id, order.version, order.items);
            if new.is_some() || self.has(Guard::TaskAfterRefusal) {
                order.tasks.push(Task { call, done: false });
            }
        }
        (Step::Finish { id, granted: new.is_some() }, after)
    }
}

/// Checks the state machine of docs/api.md, as far as stock is concerned.
fn may(order: &Order, wish: Wish) -> bool {
    match wish {
        Wish::Pay | Wish::Expire => order.status == Status::Placed,
        Wish::Cancel => matches!(order.status, Status::Placed | Status::Paid),
        Wish::Ship => order.status == Status::Paid,
        Wish::Deliver => order.status == Status::Shipped,
        Wish::Return => order.status == Status::Delivered,
        Wish::Change(items) => {
            order.status == Status::Placed && (order.items != items || order.pending.is_some())
        }
        Wish::Note => matches!(order.status, Status::Placed | Status::Paid),
    }
}

/// Records the status that a client sees, and detects one that undoes an earlier answer.
fn promise(state: &mut State, id: usize, status: Status) {
    let before = state.promises[id].status.replace(status);
    let goes_on = match (before, status) {
        (None | Some(Status::Placed), _) => true,
        (Some(before), status) if before == status => true,
        (Some(Status::Paid), Status::Cancelled) => true,
        (Some(Status::Cancelled), _) | (_, Status::Cancelled) => false,
        (Some(before), status) => before < status,
    };
    if !goes_on {
        state.broken = Some("a decision that a client has seen is undone");
    }
}

fn mark_done(state: &mut State, id: usize, place: usize, done: bool) {
    if let Some(task) = state.orders[id].as_mut().and_then(|order| order.tasks.get_mut(place)) {
        task.done |= done;
    }
}
