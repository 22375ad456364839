//! The rules of the protocol, and every possible step.
//!
//! # Assumptions
//!
//! - A write to MongoDB is one step. So is a declaration in products, whatever number of products it covers.
//!   Data that a decision or an answer is based on is majority-committed.
//! - A call may arrive late, more than once, and after its caller has died; its answer may be lost. Any
//!   process may stop for ever after any step. No rule but pruning relies on time.
//! - An hour is longer than the life of any request, run of Reconcile or call in flight: each call carries a
//!   deadline after which it is refused.
//!
//! # Products
//!
//! 1. A declaration covers every product that has an entry of the order or that it names. If any of their
//!    revisions is higher, it is *superseded*. Else, if any is equal, it is a replay: answered as done,
//!    nothing is written. Else it is applied to all products or, if any item that grows is short, to none.
//! 2. An applied declaration leaves an entry of its revision in all of them, of quantity 0 if nothing is
//!    held. A restock does so even if no entry is left. A refusal leaves no entry.
//! 3. One revision of an order has one content. Revision 1 is the placing. Revision 2 of an ID that is no
//!    order releases its hold. Any other revision is the version of the write that requires the declaration.
//!
//! # Placing
//!
//! 1. Read by caller and key, void orders apart. An order of this body is the answer. An order of another
//!    body is a 422, after `HoldStock(id, 2, nothing)` if this request has met the duplicate key and so holds
//!    stock itself.
//! 2. Read by the ID of this attempt; the first attempt comes first. An order is the answer. A void order:
//!    send `HoldStock(id, 2, nothing)`, and only after its answer repeat this step with the next attempt.
//!    Without an answer: 503.
//! 3. `HoldStock(id, 1, items)`. Superseded: back to 1. Refused: that is the answer, and nothing has to be
//!    undone. Without an answer: 503, and nothing is undone, because a concurrent duplicate may rely on the
//!    hold.
//! 4. A request may find only now that it cannot be placed (its total is too large). Then it inserts a void
//!    order, version 2 with the task `HoldStock(id, 2, nothing)`, and runs the task. If the ID is taken: back
//!    to 1.
//!
//!    It must not release the hold without a void order. A duplicate that holds by the same revision may
//!    decide otherwise, since prices change between two answers, and would insert an order that holds
//!    nothing. And from then on the key would be refused as superseded.
//! 5. Insert at version 1, under the unique ID and the unique key. A duplicate of either: back to 1, where
//!    the read decides. (A majority read may not see the other's write yet: then 503.)
//!
//! # Deciding
//!
//! 1. A decision is one write onto the version that it was based on. It raises the version, ends a pending
//!    change, and adds its task, whose revision is the new version. The task declares `nothing` held when the
//!    order is cancelled or expires, else the items shipped, or the items restocked. Any other decision has a
//!    task only if it ended a pending change: the items held. That applies to a note or an address too.
//! 2. A task keeps its items, or they are the items of its version. It runs when it is the first of its
//!    order. *Done* and *superseded* both mean done. Only then it is removed, by its revision, without
//!    raising the version. The removal records its time, by the database's clock.
//! 3. A change of items is an intent (a decision without a task, even when it ends an earlier change). Then
//!    comes `HoldStock(id, V, larger of old and new)`, where V is the intent's version. Then comes the
//!    finish: a write onto version V, with the intent still there. It sets the new items if the hold was
//!    done, and keeps the current items if it was refused. Either way it adds the task that declares exactly
//!    the items that it leaves. Remaining tasks need not run before it. Superseded or overtaken: read again.
//!    Without an answer: 503, and the intent stays.
//!
//! # Reconcile
//!
//! Any number may run at once, and beside all other processes.
//!
//! 1. A live hold without an order (older than two minutes, so as not to disturb; nothing relies on it):
//!    insert a void order, version 2 with the task `HoldStock(id, 2, nothing)`. If the ID is taken, nothing
//!    has to be done. Never release a hold without a void order.
//! 2. A pending change: hold and finish as above. Tasks: as above. Unpaid past its time: a decision as above.
//! 3. An entry of quantity 0 is pruned on two conditions. Products find it more than an hour old. And a read
//!    showed that its order has no task and had none removed within the last hour, or that there is no order.
//!
//!    **The age of the entry alone is not enough**: a replay does not renew it. A task that was left for an
//!    hour may be called twice and removed, its tombstone pruned, and the second call may arrive after that.
//!    It would ship a second time.
//! 4. The walk through the holds is in `walk`.
//!
//! # Left out of the model
//!
//! - The address: a decision without a task, like a note.
//! - Payments and refunds: `money` has them.
//! - Inactive products and currencies: a refusal, like a shortage.
//! - Changes of the count by users: one conditional write, which is refused below the reserved quantity.
//! - Collisions of order numbers.
//! - Majority reads and elections.
//!
//! A saga ends with its decision here. The steps that follow are the same in the saga and in any number of
//! Reconciles. A crash is not a step: a crashed process takes no further step. A lost answer is a crash of
//! the process that waits for it. A client that retries is another request.

use crate::explorer::Model;
use crate::guards::Guard;
use crate::invariants;
use crate::placing::Placing;
use crate::scenario::{Scenario, Wish};
use crate::state::{
    Call, DeclarationKind, Entry, IDS, Items, Moved, Order, PRODUCTS, Process, Product, Promises, State,
};
use crate::stock::Answer;

/// Model of the protocol within the bound of a scenario, perhaps with a guard left out.
#[derive(Clone, Debug)]
pub struct Protocol {
    /// Requests and their numbers.
    pub scenario: Scenario,
    /// Guard that is left out.
    pub without: Option<Guard>,
}

/// Possible step, with its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A placing takes a step.
    Place {
        /// State of the placing before the step.
        placing: Placing,
        /// Description of the step.
        what: &'static str,
    },
    /// A decision takes a step.
    Decide {
        /// Decision.
        wish: Wish,
        /// Order.
        id: usize,
        /// Description of the step.
        what: &'static str,
    },
    /// A call that was sent before arrives, again or for the first time; its answer is lost.
    Late {
        /// Call.
        call: Call,
        /// Answer.
        answer: Answer,
    },
    /// A process calls products for a task.
    Perform {
        /// Call.
        call: Call,
        /// Answer.
        answer: Answer,
    },
    /// A process removes a task.
    RemoveTask {
        /// Call of the task.
        call: Call,
    },
    /// A process asks products for the hold of a pending change.
    Ask {
        /// Call.
        call: Call,
        /// Answer.
        answer: Answer,
    },
    /// A process decides a change.
    Finish {
        /// Order.
        id: usize,
        /// True for the new items, false for the old ones.
        granted: bool,
    },
    /// Reconcile inserts a void order for a hold without an order.
    Void {
        /// ID without an order.
        id: usize,
    },
    /// Reconcile reads that an order has no task, so that its old tombstones may be pruned.
    Prunable {
        /// Order.
        id: usize,
    },
    /// Products prune an old tombstone.
    Prune {
        /// Order.
        id: usize,
        /// Index of the product.
        product: usize,
    },
    /// An hour passes.
    Hour,
}

impl Protocol {
    /// Creates the complete protocol.
    pub fn new(scenario: Scenario) -> Self {
        Self { scenario, without: None }
    }

    /// Creates the protocol with a guard left out.
    pub fn without(scenario: Scenario, guard: Guard) -> Self {
        Self { scenario, without: Some(guard) }
    }

    /// Returns true if the guard is not left out.
    pub(crate) fn has(&self, guard: Guard) -> bool {
        self.without != Some(guard)
    }

    /// Adds the steps of clients that send a request, for the first time or again.
    fn requests(&self, state: &State, steps: &mut Vec<(Step, State)>) {
        for (place, left) in state.left.iter().enumerate().filter(|(_, left)| **left > 0) {
            let mut sent = state.clone();
            sent.left[place] = left - 1;
            let Some(decision) = place.checked_sub(self.scenario.placements.len()) else {
                steps.extend(self.place(&sent, self.new_placing(place)));
                continue;
            };
            let of = self.scenario.decisions[decision].of;
            for attempt in 0..self.scenario.placements[of].attempts {
                let id = self.scenario.id(of, attempt);
                let Some(process) = self.read(&sent, decision, id) else { continue };
                let mut after = sent.clone();
                after.begin(process);
                let wish = self.scenario.decisions[decision].wish;
                steps.push((Step::Decide { wish, id, what: "reads the order" }, after));
            }
        }
    }

    /// Adds the next steps of running processes.
    fn processes(&self, state: &State, steps: &mut Vec<(Step, State)>) {
        for (place, process) in state.processes.iter().enumerate() {
            // Duplicates are equal: one of them is enough.
            if place > 0 && state.processes[place - 1] == *process {
                continue;
            }
            let mut rest = state.clone();
            rest.processes.remove(place);
            match *process {
                Process::Placing(placing) => steps.extend(self.place(&rest, placing)),
                Process::Deciding { decision, id, version, pending } => {
                    steps.extend(self.write(&rest, decision, id, version, pending));
                }
            }
        }
    }

    fn items(items: Items) -> String {
        let named = |(product, quantity): (usize, &u8)| match quantity {
            0 => None,
            quantity => Some(format!("{quantity}{}", char::from(b'x' + product as u8))),
        };
        let named: Vec<String> = items.iter().enumerate().filter_map(named).collect();
        if named.is_empty() { "nothing".to_owned() } else { named.join("+") }
    }

    fn call(&self, call: Call) -> String {
        let name = match call.kind {
            DeclarationKind::Hold => "HoldStock",
            DeclarationKind::Ship => "ShipStock",
            DeclarationKind::Restock => "RestockReturned",
        };
        format!("{name}({}, {}, {})", self.scenario.name_of(call.id), call.revision, Self::items(call.items))
    }

    fn order(&self, id: usize, order: &Order) -> String {
        let Order { status, version, items, pending, tasks, .. } = order;
        let mut text = format!("{} {status:?} v{version} {}", self.scenario.name_of(id), Self::items(*items));
        if let Some(pending) = pending {
            text += &format!(" to be {}", Self::items(pending.items));
        }
        for task in tasks {
            text += &format!(" task {}", self.call(task.call));
        }
        text
    }

    fn product(&self, place: usize, product: &Product) -> String {
        let mut text =
            format!("{} {} of {} held", char::from(b'x' + place as u8), product.reserved, product.on_hand);
        for (id, entry) in product.entries.iter().enumerate() {
            if let Some(Entry { quantity, revision, .. }) = entry {
                text += &format!(" {}:{quantity}@{revision}", self.scenario.name_of(id));
            }
        }
        text
    }
}

impl Model for Protocol {
    type State = State;
    type Step = Step;

    fn initial(&self) -> State {
        let Scenario { stock, placements, decisions, hours, .. } = &self.scenario;
        let sends = placements.iter().map(|placement| placement.sends);
        let mut state = State {
            products: stock.map(|on_hand| Product { on_hand, reserved: 0, entries: [None; IDS] }),
            orders: [const { None }; IDS],
            processes: Vec::new(),
            sent: Vec::new(),
            seen: [false; IDS],
            prunable: [false; IDS],
            left: sends.chain(decisions.iter().map(|decision| decision.sends)).collect(),
            hours: *hours,
            promises: [Promises::default(); IDS],
            moved: [Moved::default(); IDS],
            broken: None,
        };
        for (place, placement) in placements.iter().enumerate().filter(|(_, placement)| placement.placed) {
            let id = self.scenario.id(place, 0);
            let call = Call::hold(id, 1, placement.items);
            state.send(call);
            crate::stock::declare(&mut state, call, None);
            state.orders[id] = Some(Order::placed(placement.items));
            state.promises[id].placed = true;
        }
        state
    }

    fn successors(&self, state: &State) -> Vec<(Step, State)> {
        let mut steps = Vec::new();
        self.requests(state, &mut steps);
        self.processes(state, &mut steps);
        for call in state.sent.iter().filter(|_| !self.scenario.calm) {
            let mut after = state.clone();
            let answer = crate::stock::declare(&mut after, *call, self.without);
            if after != *state {
                steps.push((Step::Late { call: *call, answer }, after));
            }
        }
        for id in 0..IDS {
            self.follow(state, id, &mut steps);
            self.reconcile(state, id, &mut steps);
        }
        steps.extend(self.hour(state));
        steps
    }

    fn check(&self, state: &State) -> Result<(), String> {
        invariants::check(self, state)
    }

    fn describe_step(&self, step: &Step) -> String {
        let name = |id: &usize| self.scenario.name_of(*id);
        match step {
            Step::Place { placing, what } => {
                let id = self.scenario.id(placing.placement, placing.attempt);
                format!("placing {} {what}", name(&id))
            }
            Step::Decide { wish, id, what } => format!("{wish:?} of {} {what}", name(id)),
            Step::Late { call, answer } => format!("late: {} is {answer:?}", self.call(*call)),
            Step::Perform { call, answer } => format!("task: {} is {answer:?}", self.call(*call)),
            Step::RemoveTask { call } => format!("task: {} is removed", self.call(*call)),
            Step::Ask { call, answer } => format!("change: {} is {answer:?}", self.call(*call)),
            Step::Finish { id, granted: true } => format!("change of {} is decided: new items", name(id)),
            Step::Finish { id, granted: false } => format!("change of {} is decided: old items", name(id)),
            Step::Void { id } => format!("Reconcile inserts a void order for {}", name(id)),
            Step::Prunable { id } => format!("Reconcile reads that {}'s tombstones may be pruned", name(id)),
            Step::Prune { id, product } => {
                format!("{}'s tombstone at {} is pruned", name(id), char::from(b'x' + *product as u8))
            }
            Step::Hour => "an hour passes".to_owned(),
        }
    }

    fn describe_state(&self, state: &State) -> String {
        let products = (0..PRODUCTS).map(|place| self.product(place, &state.products[place]));
        let orders = state.orders.iter().enumerate();
        let orders = orders.filter_map(|(id, order)| Some(self.order(id, order.as_ref()?)));
        products.chain(orders).collect::<Vec<_>>().join(" | ")
    }
}
