//! Parts of orders: what is shipped, cancelled and sent back in parts, and the stock that follows. A model of
//! its own, beside changes of items, payment and expiry.
//!
//! # Declaring
//!
//! `MoveStock(order, revision, held, counts, before)` says for each item of the order: as of this revision so
//! many units are held, so many were shipped in all, and so many were restocked in all. *Counts* are these
//! two totals. A fulfillment that is cancelled lowers the first. They are totals and no differences: a
//! declaration that never arrives is part of the next one.
//!
//! 1. A revision below the stored one is *superseded*. The same is a replay: nothing is written.
//! 2. Units on hand move by the difference between the declared counts and the stored ones. If none are
//!    stored, `before` stands for them. Reserved units move by the difference between what is held and what
//!    was held.
//! 3. What comes back is there before anything is taken. Units are short only where the order has more than
//!    before, held and shipped together. Only there a product must be active.
//! 4. All products change in one transaction, with the hold. The hold has the counts from then on, also where
//!    they are 0 again. Even a declaration that changes nothing leaves its revision and its counts.
//! 5. An order has counts as soon as it has a fulfillment, a cancelled one too. Until then its declarations
//!    are `HoldStock`, which moves nothing and keeps what counts there are: one write to its stock does.
//!
//! # Deciding
//!
//! 1. A decision is one write onto the version that it was based on. If it changes what is held or the
//!    counts, or ends a change of items, it adds a task. The task has the new version as its revision, and
//!    keeps the counts *before* the decision.
//! 2. A call is made from one read of the order: revision of the newest task, `before` of the oldest one, and
//!    what the order holds and has moved. So it does the work of all tasks, in any order, and of each of them
//!    once.
//! 3. *Done* and *superseded* mean that all tasks up to the revision are done. They are removed in one write,
//!    and newer ones stay. A removal records its time.
//! 4. A task of an older build has no counts, and leaves none. While it is the oldest, it runs alone.
//! 5. An entry of a request that is sent again is recognized before anything can refuse it.
//! 6. Units can be shipped or cancelled if they are left: ordered, neither cancelled nor shipped. They can be
//!    sent back if they were shipped. A fulfillment can be cancelled until it is delivered, unless returns
//!    need its units. A return is received once, and restocks no more than came back.
//! 7. The status follows from the counts. Units left: paid or placed. None left, and none shipped: cancelled.
//!    All that was shipped is back: returned. Else delivered or shipped.
//! 8. A change of items is the intent and the finish, as in `steps`. No item gets fewer units than are
//!    cancelled.
//!
//! # Pruning
//!
//! As in `steps`: a hold without units, an hour old, of an order that had no task for an hour. Its counts are
//! those of the order then, so the task of the next decision has them.
//!
//! # Left out
//!
//! - Placing: `steps` has it. A rival places in one step.
//! - The journal: `journal` has it, and the counts in it. A declaration is one step here.
//! - Amounts: `money` has them.
//! - What came back and is not restocked: a count of the order alone.
//!
//! A crash is not a step: a crashed process takes no further step. A call stays possible once it was made, so
//! it may arrive late and often. Any process may have its answer, or none.

mod deciding;
mod declaring;
mod guards;
mod promises;
mod scenarios;
mod state;

pub use declaring::{Answer, Stored, declare_alone};
pub use guards::PartsGuard;
pub use state::{Call, Counts, Hold, Items, Kind, Order, State, Step, Wish};

use crate::explorer::Model;

/// Number of products. An item of an order is all that it has of one.
const PRODUCTS: usize = 2;

/// Number of orders.
const ORDERS: usize = 2;

/// Request, and the number of times that it may be sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Index of the order.
    pub order: usize,
    /// Body.
    pub wish: Wish,
    /// Number of times that it may be sent, at any moment.
    pub times: u8,
}

/// Model of parts of orders within a bound, perhaps with a guard left out.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Name.
    pub name: &'static str,
    /// Units on hand of each product at the beginning.
    pub on_hand: Items,
    /// Orders at the beginning.
    orders: [Option<Order>; ORDERS],
    /// Holds at the beginning.
    holds: [Option<Hold>; ORDERS],
    /// Requests.
    pub sent: Vec<Sent>,
    /// Number of hours that pass.
    pub hours: u8,
    /// True if the products are archived at some moment: no more may be held of them.
    pub archive: bool,
    /// Guard that is left out.
    pub without: Option<PartsGuard>,
}

impl Parts {
    /// Returns true if the guard is not left out.
    fn has(&self, guard: PartsGuard) -> bool {
        self.without != Some(guard)
    }
}

impl Model for Parts {
    type State = State;
    type Step = Step;

    fn initial(&self) -> State {
        let mut state = State {
            on_hand: self.on_hand,
            reserved: [0; PRODUCTS],
            archived: false,
            holds: self.holds,
            orders: self.orders.clone(),
            processes: Vec::new(),
            calls: Vec::new(),
            prunable: [false; ORDERS],
            left: self.sent.iter().map(|sent| sent.times).collect(),
            hours: self.hours,
            broken: None,
        };
        for (id, order) in self.orders.iter().enumerate() {
            let Some(order) = order else { continue };
            for (product, reserved) in state.reserved.iter_mut().enumerate() {
                *reserved += self.holds[id].map_or(0, |hold| hold.held[product]);
            }
            if order.version == 1 {
                // Its placing may have sent the call again.
                state.send(Call::placing(id, order.ordered));
            }
            // An older build may have sent it.
            self.older_call(id, order).into_iter().for_each(|call| state.send(call));
            state.send_all(self, id);
        }
        state
    }

    fn successors(&self, state: &State) -> Vec<(Step, State)> {
        let mut steps = Vec::new();
        for (request, sent) in self.sent.iter().enumerate().filter(|(request, _)| state.left[*request] > 0) {
            let mut after = state.clone();
            after.left[request] -= 1;
            if let Some(what) = self.load(&mut after, request) {
                steps.push((Step(format!("order {}: {:?} {what}", sent.order, sent.wish)), after));
            }
        }
        for (place, process) in state.processes.iter().enumerate() {
            // Duplicates are equal: one of them is enough.
            if place > 0 && state.processes[place - 1] == *process {
                continue;
            }
            let Sent { order, wish, .. } = self.sent[process.request];
            let mut after = state.clone();
            after.processes.remove(place);
            let what = self.write(&mut after, *process);
            steps.push((Step(format!("order {order}: {wish:?} {what}")), after));
        }
        for call in &state.calls {
            steps.extend(self.arrive(state, call));
        }
        for id in 0..ORDERS {
            self.follow(state, id, &mut steps);
            self.prune(state, id, &mut steps);
        }
        if self.archive && !state.archived {
            let after = State { archived: true, ..state.clone() };
            steps.push((Step("the products are archived".to_owned()), after));
        }
        steps.extend(self.hour(state));
        steps
    }

    fn check(&self, state: &State) -> Result<(), String> {
        self.check_promises(state)
    }

    fn describe_step(&self, step: &Step) -> String {
        step.0.clone()
    }

    fn describe_state(&self, state: &State) -> String {
        let order = |(id, order): (usize, &Option<Order>)| Some(format!("{id} {}", order.as_ref()?));
        let orders: Vec<String> = state.orders.iter().enumerate().filter_map(order).collect();
        let hold = |(id, hold): (usize, &Option<Hold>)| {
            let Hold { revision, held, counts, .. } = (*hold)?;
            let counts = counts.map_or("without counts".to_owned(), |counts| counts.to_string());
            Some(format!("{id} r{revision} {held:?} {counts}"))
        };
        let holds: Vec<String> = state.holds.iter().enumerate().filter_map(hold).collect();
        let (orders, holds) = (orders.join(", "), holds.join(", "));
        let running = state.processes.len();
        let State { on_hand, reserved, .. } = state;
        format!("{reserved:?} of {on_hand:?} | orders {orders} | holds {holds} | {running} running")
    }
}
