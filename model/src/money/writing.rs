//! Steps of a running request: load, write, answer.

use super::deciding::Decided;
use super::state::{Answer, Body, Order, Plan, Process, State, Status, Then};
use super::{Money, MoneyGuard, Sent};

/// Number of conflicts after which a change of items gives up. Two changes can end each other for ever; the real
/// ones wait for each other, for a time.
const CONFLICTS: u8 = 1;

impl Money {
    /// Loads the order for the first time, and decides. Returns the description.
    pub(super) fn load(&self, state: &mut State, request: usize) -> &'static str {
        self.load_for(state, request, &self.sent[request], 0)
    }

    /// Loads the order after a conflict, and decides anew.
    fn load_again(&self, state: &mut State, process: &Process) -> &'static str {
        let sent = self.sent[process.request];
        let if_match = sent.if_match.filter(|_| self.has(MoneyGuard::IfMatchAnew));
        let is_edit = matches!(sent.body, Body::Edit { .. });
        let conflicts = process.conflicts + u8::from(is_edit);
        if conflicts > CONFLICTS {
            self.answer(state, process.request, Answer::Unavailable);
            return "finds another version, and gives up";
        }
        self.load_for(state, process.request, &Sent { if_match, ..sent }, conflicts);
        "finds another version, and decides anew"
    }

    fn load_for(&self, state: &mut State, request: usize, sent: &Sent, conflicts: u8) -> &'static str {
        let Some(order) = &state.orders[sent.order] else {
            let Body::Place { pieces, total } = sent.body else { return "finds no order" };
            let mut order = Order::placed(pieces, total);
            self.settle(&mut order, sent.body);
            state.orders[sent.order] = Some(order);
            self.answer(state, request, Answer::Done);
            return "is placed";
        };
        match self.decide(order, sent) {
            Decided::Answers(answer) => {
                self.answer(state, request, answer);
                answer.describe()
            }
            Decided::Writes(plan) => {
                state.begin(Process { request, conflicts, plan: Some(plan) });
                "loads the order"
            }
        }
    }

    /// Returns every possible outcome of the next step. `rest` no longer contains the process.
    pub(super) fn go_on(&self, mut rest: State, process: &Process) -> Vec<(&'static str, State)> {
        let request = process.request;
        let order = self.sent[request].order;
        let (Some(plan), Some(current)) = (&process.plan, &rest.orders[order]) else {
            let what = self.load_again(&mut rest, process);
            return vec![(what, rest)];
        };
        if plan.loaded.version != current.version && !self.may_overwrite(plan) {
            let plan = Some(plan.moved_onto(current));
            rest.begin(Process { plan, ..process.clone() });
            return vec![("finds another version, and goes on", rest)];
        }
        if self.is_taken(&rest, order, plan) {
            if self.has(MoneyGuard::TakenIsAnAnswer) {
                self.answer(&mut rest, request, Answer::Taken);
            } else {
                self.load_again(&mut rest, process);
                if rest.processes.contains(process) {
                    rest.broken = Some("a request fails on what it has loaded, and would for ever");
                }
            }
            return vec![("is refused by the index", rest)];
        }
        self.write(rest, process, plan)
    }

    /// Returns true if a plan is written on any version.
    fn may_overwrite(&self, plan: &Plan) -> bool {
        let is_edit = plan.loaded.payments == plan.after.payments && plan.loaded.status == Status::Placed;
        match self.without {
            Some(MoneyGuard::Version) => true,
            Some(MoneyGuard::FinishOnIntent) => is_edit && plan.loaded.total != plan.after.total,
            _ => false,
        }
    }

    /// Returns true if the index refuses a new reference of a plan.
    fn is_taken(&self, state: &State, order: usize, plan: &Plan) -> bool {
        let is_indexed = |order: &&Order| {
            let has_ended = !matches!(order.status, Status::Placed | Status::Paid);
            self.has(MoneyGuard::UniqueReference) && (!has_ended || self.has(MoneyGuard::EndedKeepReferences))
        };
        let new = plan.after.payments.iter().filter(|payment| !plan.loaded.payments.contains(payment));
        let others = state.orders.iter().enumerate().filter(|(other, _)| *other != order);
        let others: Vec<&Order> = others.filter_map(|(_, other)| other.as_ref()).filter(is_indexed).collect();
        new.into_iter().any(|payment| others.iter().any(|other| other.payment(payment.reference).is_some()))
    }

    /// Writes a plan. The driver may learn of it, or send it once more.
    fn write(&self, mut after: State, process: &Process, plan: &Plan) -> Vec<(&'static str, State)> {
        let request = process.request;
        let sent = &self.sent[request];
        let is_overwritten = after.orders[sent.order].as_ref() != Some(&plan.loaded);
        let written = match &after.orders[sent.order] {
            // Only what the plan has changed is set.
            Some(current) if is_overwritten => plan.set_on(current),
            _ => plan.after.clone(),
        };
        after.orders[sent.order] = Some(written);
        for process in &mut after.processes {
            let is_of_order = self.sent[process.request].order == sent.order;
            let keeps = !self.has(MoneyGuard::DecidedAnew)
                || process.plan.as_ref().is_some_and(|plan| self.may_overwrite(plan));
            if is_of_order && !keeps {
                process.plan = None;
            }
        }
        after.processes.sort();
        if plan.then == Then::Answer(Answer::Done) && sent.body.moves_money() {
            after.stands[request] = true;
        }
        let mut outcomes = Vec::new();
        if after.repeats > 0 {
            let mut again = after.clone();
            again.repeats -= 1;
            let keeps = self.may_overwrite(plan) || !self.has(MoneyGuard::DecidedAnew);
            let plan = keeps.then(|| Box::new(plan.clone()));
            again.begin(Process { plan, ..process.clone() });
            outcomes.push(("writes, and the driver sends it again", again));
        }
        match plan.then {
            Then::Finish => {
                for (what, is_held) in
                    [("writes its intent, and holds the items", true), ("writes its intent, is short", false)]
                {
                    let mut next = after.clone();
                    let plan = if is_held {
                        self.finish(&plan.after, sent)
                    } else {
                        let version = plan.after.version + 1;
                        let kept = Order { version, ..plan.after.clone() };
                        let then = Then::Answer(Answer::Short);
                        Box::new(Plan { loaded: plan.after.clone(), after: kept, then })
                    };
                    next.begin(Process { plan: Some(plan), ..process.clone() });
                    outcomes.push((what, next));
                }
            }
            Then::Answer(answer) => {
                self.answer(&mut after, request, answer);
                outcomes.push(("writes", after));
            }
        }
        outcomes
    }

    /// Answers a request.
    fn answer(&self, state: &mut State, request: usize, answer: Answer) {
        state.answered[request] = true;
        let sent = &self.sent[request];
        let order = state.orders[sent.order].as_ref();
        match (answer, sent.body) {
            (Answer::Done | Answer::Replayed, body) if body.moves_money() => state.stands[request] = true,
            (Answer::Taken, Body::Pay { reference, .. } | Body::PayDue { reference, .. }) => {
                let is_there = |order: &Order| order.payment(reference).is_some();
                if !state.orders.iter().flatten().any(is_there) {
                    state.broken = Some("a reference is taken that no order has");
                }
            }
            (Answer::NotAllowed, Body::Pay { .. }) => {
                state.broken = Some("money that has arrived is not recorded");
            }
            _ => {}
        }
        let is_placed = order.is_some_and(|order| order.status == Status::Placed);
        if let (Answer::Done | Answer::Replayed, Body::PayDue { .. }) = (answer, sent.body)
            && is_placed
        {
            state.broken = Some("an order is acknowledged as paid, and is not");
        }
    }
}

impl Answer {
    /// Describes the step that ends with it.
    fn describe(self) -> &'static str {
        match self {
            Self::Done | Self::Replayed => "was done before",
            Self::Taken => "is refused, as its reference is taken",
            Self::Exceeded => "is refused, as it is too much",
            Self::KeyReused => "is refused, as its key has another body",
            Self::Mismatch => "is refused, as it names another version",
            Self::NotAllowed => "is refused, as the status does not allow it",
            Self::Short | Self::Unavailable => "is refused for now",
        }
    }
}

impl Plan {
    /// Makes the same change on another version. Only without [`MoneyGuard::DecidedAnew`].
    fn moved_onto(&self, current: &Order) -> Box<Self> {
        let (loaded, after) = (&self.loaded, &self.after);
        let mut moved = current.clone();
        moved.version += 1;
        moved.payments.extend(after.payments.get(loaded.payments.len()..).unwrap_or_default());
        moved.refunds.extend(after.refunds.get(loaded.refunds.len()..).unwrap_or_default());
        if after.status != loaded.status {
            moved.status = after.status;
            moved.was_paid |= after.was_paid;
            moved.kept_as_paid = after.kept_as_paid;
            moved.was_cancelled |= after.was_cancelled;
            moved.has_expired |= after.has_expired;
        }
        if (after.pieces, after.total) != (loaded.pieces, loaded.total) {
            (moved.pieces, moved.total) = (after.pieces, after.total);
        }
        moved.refunded_pieces += after.refunded_pieces - loaded.refunded_pieces;
        Box::new(Self { loaded: current.clone(), after: moved, then: self.then })
    }

    /// Sets the fields that it changes, as `update` in the store does.
    fn set_on(&self, current: &Order) -> Order {
        let (loaded, after) = (&self.loaded, &self.after);
        let mut set = current.clone();
        set.version = after.version;
        if after.payments != loaded.payments {
            set.payments.clone_from(&after.payments);
        }
        if after.refunds != loaded.refunds {
            set.refunds.clone_from(&after.refunds);
            set.refunded_pieces = after.refunded_pieces;
        }
        if after.status != loaded.status {
            set.status = after.status;
            set.was_paid |= after.was_paid;
            set.kept_as_paid = after.kept_as_paid;
            set.was_cancelled |= after.was_cancelled;
            set.has_expired |= after.has_expired;
        }
        if (after.pieces, after.total) != (loaded.pieces, loaded.total) {
            (set.pieces, set.total) = (after.pieces, after.total);
        }
        set
    }
}
