//! The rules of the protocol, and every step that anybody can take.
//!
//! RULES-GO-HERE

use crate::explorer::Model;
use crate::guards::Guard;
use crate::invariants;
use crate::placing::Placing;
use crate::scenario::{Scenario, Wish};
use crate::state::{
    Call, Entry, IDS, Lines, Moved, Movement, Order, PRODUCTS, Process, Product, Promises, State,
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

    fn lines(lines: Lines) -> String {
        let named = |(product, quantity): (usize, &u8)| match quantity {
            0 => None,
            quantity => Some(format!("{quantity}{}", char::from(b'x' + product as u8))),
        };
        let named: Vec<String> = lines.iter().enumerate().filter_map(named).collect();
        if named.is_empty() { "nothing".to_owned() } else { named.join("+") }
    }

    fn call(&self, call: Call) -> String {
        let name = match call.movement {
            Movement::Hold => "HoldStock",
            Movement::Ship => "ShipStock",
            Movement::Restock => "RestockReturned",
        };
        format!("{name}({}, {}, {})", self.scenario.name_of(call.id), call.revision, Self::lines(call.lines))
    }

    fn order(&self, id: usize, order: &Order) -> String {
        let Order { status, version, items, pending, tasks, .. } = order;
        let mut said = format!("{} {status:?} v{version} {}", self.scenario.name_of(id), Self::lines(*items));
        if let Some(pending) = pending {
            said += &format!(" to be {}", Self::lines(pending.items));
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
        for call in &state.sent {
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
