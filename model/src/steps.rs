//! The rules of the protocol, and every step that anybody can take.
//!
//! # What is assumed
//!
//! - A write to MongoDB is one step, and so is a declaration in products, whatever number of products it
//!   takes in. What is read for a decision, and what is answered, is majority-committed.
//! - A call may arrive late, more than once, and after its caller has died; its answer may be lost. Whoever
//!   runs may stop for ever after any step. Nothing in the rules but the pruning relies on time.
//! - An hour is longer than any request or run of Reconcile lives, and than any call may travel: each carries
//!   a deadline after which it is refused.
//!
//! # Products
//!
//! 1. A declaration sees all products that keep an entry of the order or that it names. If any of their
//!    revisions is higher it is *superseded*; else if any is equal it is a replay: answered as done, nothing
//!    is written; else it is applied to all or, if any item that grows is short, to none.
//! 2. What is applied leaves an entry of its revision in all of them, of quantity 0 where nothing is held; a
//!    restock also where no entry is left. A refusal leaves no mark.
//! 3. One revision of an order has one content. Revision 1 is the placing, 2 of an ID that is no order is its
//!    end, any other is the version of the write that called for it.
//!
//! # Placing
//!
//! 1. Read by caller and key, voids apart. An order of this body: it is the answer. Of another: 422, after
//!    `HoldStock(id, 2, nothing)` if this request has met the duplicate key and so holds stock itself.
//! 2. Read by the ID of this attempt, the first at the beginning. An order: it is the answer. A void:
//!    `HoldStock(id, 2, nothing)`, answered, and only then this step with the next attempt. Without an
//!    answer: 503.
//! 3. `HoldStock(id, 1, items)`. Superseded: back to 1. Refused: the answer; nothing is to be undone. Without
//!    an answer: 503, and nothing is undone, for a twin may count on it.
//! 4. Whoever finds only now that it cannot be placed (its total is too large) inserts a void, version 2 with
//!    the task `HoldStock(id, 2, nothing)`, and runs it. It must not end the hold without a void: a twin that
//!    holds by the same revision may find otherwise, since prices change between two answers, and would
//!    insert an order that holds nothing; and the key would be refused as superseded from then on. If the ID
//!    is taken: back to 1.
//! 5. Insert at version 1, under the unique ID and the unique key. A duplicate of either: back to 1, and what
//!    is read there decides. (A majority read may not see the other's write yet: then 503.)
//!
//! # Deciding
//!
//! 1. A decision is one write onto the version that it was made from. It raises the version, ends a pending
//!    change, and adds its task, whose revision is the new version: `nothing` held when it is cancelled or
//!    expires, the items shipped, the items restocked; else, only if it ended a pending change, the items
//!    held. That holds for a note or an address too.
//! 2. A task keeps its items, or they are the items of its version. It is run when it is the first of its
//!    order; *done* and *superseded* both mean done; only then it is taken off, by its revision, without
//!    raising the version. What takes it off notes when, by the database's clock.
//! 3. A change of items is an intent (a decision without a task, even when it ends an earlier change), then
//!    `HoldStock(id, V, larger of old and new)` where V is the intent's version, then the finish: onto
//!    version V, with the intent still there, the new items if the hold was done, the items as they stand if
//!    it was refused, and either way the task that declares exactly the items that it leaves. Tasks that are
//!    still left need not run before. Superseded or overtaken: read again. Without an answer: 503, and the
//!    intent stays.
//!
//! # Reconcile
//!
//! Any number may run at once, and beside everybody else.
//!
//! 1. A live hold without an order (older than two minutes, so as not to disturb; nothing relies on it):
//!    insert a void, version 2 with the task `HoldStock(id, 2, nothing)`. If the ID is taken, there is
//!    nothing to do. Never end a hold without a void.
//! 2. A pending change: hold and finish as above. Tasks: as above. Unpaid past its time: a decision as above.
//! 3. An entry of quantity 0 goes if products find it more than an hour old, and if it was read that its
//!    order has no task and had none taken off within the last hour, or that there is no order. **The age of
//!    the entry alone is not enough**: a replay does not renew it, so a task that was left for an hour may be
//!    called twice and taken off, its mark pruned, and the second call may then arrive. It would ship a
//!    second time.
//! 4. The walk through the holds is in `walk`.
//!
//! # What the model leaves out
//!
//! Refunds and the address: decisions without a task, like a note. Whether a product is active, and its
//! currency: a refusal, like a shortage. Changes of the count by people: one conditional write, which is
//! refused below what is reserved. A clash of order numbers. Majority reads and elections.
//!
//! A saga ends with its decision here: whoever runs what follows, it or any number of Reconciles, takes the
//! same steps. A crash is no step: it is to take none any more. A lost answer is a crash of who waits for it.
//! A client that asks again is another request.

use crate::explorer::Model;
use crate::guards::Guard;
use crate::invariants;
use crate::placing::Placing;
use crate::scenario::{Scenario, Wish};
use crate::state::{
    Call, DeclarationKind, Entry, IDS, Items, Moved, Order, PRODUCTS, Process, Product, Promises, State,
};
use crate::stock::Answer;

/// The protocol within the bound of a scenario, perhaps with a guard left out.
#[derive(Clone, Debug)]
pub struct Protocol {
    /// Who wants what.
    pub scenario: Scenario,
    /// Which guard is left out.
    pub without: Option<Guard>,
}

/// What somebody does, and what comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A step of a placing.
    Place {
        /// What it was before.
        placing: Placing,
        /// What it does.
        what: &'static str,
    },
    /// A step of a decision.
    Decide {
        /// What is asked for.
        wish: Wish,
        /// About which order.
        id: usize,
        /// What it does.
        what: &'static str,
    },
    /// A call that was sent before arrives, once more or only now; nobody waits for the answer.
    Late {
        /// The call.
        call: Call,
        /// What is answered.
        answer: Answer,
    },
    /// Somebody calls products for a task.
    Perform {
        /// The call.
        call: Call,
        /// What is answered.
        answer: Answer,
    },
    /// Somebody takes a task off.
    TakeOff {
        /// Its call.
        call: Call,
    },
    /// Somebody asks products for the hold of a pending change.
    Ask {
        /// The call.
        call: Call,
        /// What is answered.
        answer: Answer,
    },
    /// Somebody decides a change.
    Finish {
        /// Of which order.
        id: usize,
        /// Whether to the new items.
        granted: bool,
    },
    /// Reconcile inserts a void where it saw a hold without an order.
    Void {
        /// Of which ID.
        id: usize,
    },
    /// Reconcile reads that an order has no task, so that its old tombstones may go.
    Prunable {
        /// Of which ID.
        id: usize,
    },
    /// Products let an old tombstone go.
    Prune {
        /// Of which ID.
        id: usize,
        /// Where.
        product: usize,
    },
    /// An hour passes.
    Hour,
}

impl Protocol {
    /// The whole protocol.
    pub fn new(scenario: Scenario) -> Self {
        Self { scenario, without: None }
    }

    /// The protocol with a guard left out.
    pub fn without(scenario: Scenario, guard: Guard) -> Self {
        Self { scenario, without: Some(guard) }
    }

    /// Whether the guard is there.
    pub(crate) fn has(&self, guard: Guard) -> bool {
        self.without != Some(guard)
    }

    /// Clients that send a request, for the first time or again.
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

    /// Whoever runs goes on.
    fn processes(&self, state: &State, steps: &mut Vec<(Step, State)>) {
        for (place, process) in state.processes.iter().enumerate() {
            // Twins are alike: one of them is enough.
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
        let mut said = format!("{} {status:?} v{version} {}", self.scenario.name_of(id), Self::items(*items));
        if let Some(pending) = pending {
            said += &format!(" to be {}", Self::items(pending.items));
        }
        for task in tasks {
            said += &format!(" task {}", self.call(task.call));
        }
        said
    }

    fn product(&self, place: usize, product: &Product) -> String {
        let mut said =
            format!("{} {} of {} held", char::from(b'x' + place as u8), product.reserved, product.on_hand);
        for (id, entry) in product.entries.iter().enumerate() {
            if let Some(Entry { quantity, revision, .. }) = entry {
                said += &format!(" {}:{quantity}@{revision}", self.scenario.name_of(id));
            }
        }
        said
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

    fn tell(&self, step: &Step) -> String {
        let name = |id: &usize| self.scenario.name_of(*id);
        match step {
            Step::Place { placing, what } => {
                let id = self.scenario.id(placing.placement, placing.attempt);
                format!("placing {} {what}", name(&id))
            }
            Step::Decide { wish, id, what } => format!("{wish:?} of {} {what}", name(id)),
            Step::Late { call, answer } => format!("late: {} is {answer:?}", self.call(*call)),
            Step::Perform { call, answer } => format!("task: {} is {answer:?}", self.call(*call)),
            Step::TakeOff { call } => format!("task: {} is taken off", self.call(*call)),
            Step::Ask { call, answer } => format!("change: {} is {answer:?}", self.call(*call)),
            Step::Finish { id, granted: true } => format!("change of {} is decided: new items", name(id)),
            Step::Finish { id, granted: false } => format!("change of {} is decided: old items", name(id)),
            Step::Void { id } => format!("Reconcile inserts a void for {}", name(id)),
            Step::Prunable { id } => format!("Reconcile reads that {}'s tombstones may go", name(id)),
            Step::Prune { id, product } => {
                format!("{}'s tombstone at {} goes", name(id), char::from(b'x' + *product as u8))
            }
            Step::Hour => "an hour passes".to_owned(),
        }
    }

    fn describe(&self, state: &State) -> String {
        let products = (0..PRODUCTS).map(|place| self.product(place, &state.products[place]));
        let orders = state.orders.iter().enumerate();
        let orders = orders.filter_map(|(id, order)| Some(self.order(id, order.as_ref()?)));
        products.chain(orders).collect::<Vec<_>>().join(" | ")
    }
}
