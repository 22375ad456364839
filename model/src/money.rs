//! Money of orders: payments and refunds, beside changes of items, cancellation, expiry and returns. A model of
//! its own, without stock.
//!
//! # What is stored
//!
//! An order has its item, payments, refunds, status and version. Its *payable* is its total, and 0 once it is
//! cancelled; it stays 0 when a cancelled order is refunded. *Refund due* is what is paid, less what is refunded
//! and what is payable.
//!
//! A unique index holds the references of all orders, also of ended ones. It compares different orders alone:
//! MongoDB lets one document have a value twice.
//!
//! # Deciding
//!
//! 1. Load the order, decide, and write if the version is unchanged. Otherwise begin again with 1: what was
//!    decided before counts for nothing.
//! 2. A repeated request is recognized before anything can refuse it: before `If-Match`, the bound of payments
//!    and refunds, and the balance. A key with another body is refused.
//! 3. **A payment** is recorded in any status. Its reference on the loaded order with the same amount is a
//!    replay. With another amount, or on another order, it is taken. The index says the latter, and this is the
//!    answer: to load again would find nothing new.
//! 4. **The short form** (`PUT` with `status: paid`) records what is due. If the order is paid already, the
//!    reference of any of its payments is a replay, not only that of the latest one. If it is not, a reference
//!    that it has is taken, even with the same amount: as a replay it would not pay the order.
//! 5. **A refund** has an ID that follows from order, caller and key. An entry with this ID is a replay. All
//!    refunds together are at most what was paid, and those of one payment at most that payment. Refunds by
//!    pieces are at most the pieces of the item. Each amount is the difference of two rounded sums.
//! 6. **A change of items** is the intent and the finish, as in `steps`. Any write in between ends it. No item
//!    gets fewer pieces than are refunded.
//! 7. **Status**, in the same write. A placed order becomes paid when its payments reach what is payable: by a
//!    payment, by a change of items, or as it is placed. An order that was paid and is cancelled or returned
//!    becomes refunded when all its payments are refunded: by a refund, but also by the cancellation or the
//!    return, if the refunds came first. No other status follows from money.
//!
//! # Left out
//!
//! - Stock: `steps` has it. A decision without a task is there like a note.
//! - Shipping, delivery, partial cancellation: a paid order is returned in one step.
//! - Elections: a refusal is decided again on confirmed reads, as everywhere. So must be a taken reference.
//!
//! A crash is not a step: a crashed process takes no further step. A lost answer is a request that is sent
//! again. The driver may send a write twice, and then learns that the version has changed.

mod deciding;
mod guards;
mod promises;
mod scenarios;
mod state;
mod writing;

pub use guards::{Expectation, MoneyGuard};
pub use state::{Body, Order, Payment, Process, Refund, State, Status, Step};

use crate::explorer::Model;

/// Number of orders.
const ORDERS: usize = 2;

/// Request, and the number of times that it may be sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Index of the order.
    pub order: usize,
    /// Body.
    pub body: Body,
    /// Idempotency key. A request without one has a key that no other has.
    pub key: u8,
    /// Version that it names.
    pub if_match: Option<u8>,
    /// Number of times that it may be sent, at any moment.
    pub times: u8,
}

/// Model of the money of two orders within a bound, perhaps with a guard left out.
#[derive(Clone, Debug)]
pub struct Money {
    /// Name.
    pub name: &'static str,
    /// Orders at the beginning.
    pub orders: [Option<Order>; ORDERS],
    /// Requests.
    pub sent: Vec<Sent>,
    /// Number of writes that the driver sends twice.
    pub repeats: u8,
    /// Maximum number of payments of an order, and of refunds.
    pub most: usize,
    /// Guard that is left out.
    pub without: Option<MoneyGuard>,
    /// Expectation beyond the promises.
    pub expects: Option<Expectation>,
}

impl Money {
    /// Returns true if the guard is not left out.
    fn has(&self, guard: MoneyGuard) -> bool {
        self.without != Some(guard)
    }

    /// Creates a step of a request.
    fn step(&self, request: usize, what: &'static str) -> Step {
        let Sent { order, body, key, .. } = self.sent[request];
        Step(format!("order {order}, key {key}: {body:?} {what}"))
    }
}

impl Model for Money {
    type State = State;
    type Step = Step;

    fn initial(&self) -> State {
        State {
            orders: self.orders.clone(),
            processes: Vec::new(),
            left: self.sent.iter().map(|sent| sent.times).collect(),
            repeats: self.repeats,
            answered: vec![false; self.sent.len()],
            stands: vec![false; self.sent.len()],
            broken: None,
        }
    }

    fn successors(&self, state: &State) -> Vec<(Step, State)> {
        let mut steps = Vec::new();
        for (request, sent) in self.sent.iter().enumerate() {
            let can_be_sent = state.orders[sent.order].is_some() || sent.body.places();
            if state.left[request] > 0 && can_be_sent {
                let mut after = state.clone();
                after.left[request] -= 1;
                let what = self.load(&mut after, request);
                steps.push((self.step(request, what), after));
            }
        }
        for (place, process) in state.processes.iter().enumerate() {
            // Duplicates are equal: one of them is enough.
            if place > 0 && state.processes[place - 1] == *process {
                continue;
            }
            let mut rest = state.clone();
            rest.processes.remove(place);
            for (what, after) in self.go_on(rest, process) {
                steps.push((self.step(process.request, what), after));
            }
        }
        steps
    }

    fn check(&self, state: &State) -> Result<(), String> {
        self.check_promises(state)
    }

    fn describe_step(&self, step: &Step) -> String {
        step.0.clone()
    }

    fn describe_state(&self, state: &State) -> String {
        let order = |(number, order): (usize, &Option<Order>)| Some(format!("{number} {}", order.as_ref()?));
        let orders: Vec<String> = state.orders.iter().enumerate().filter_map(order).collect();
        format!("{} | {} running", orders.join(" | "), state.processes.len())
    }
}
