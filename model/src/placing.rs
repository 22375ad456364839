//! Saga of placing an order, one step at a time. The rules are at the top of `steps`.

use crate::guards::Guard;
use crate::state::{Call, Items, NONE, Order, PRODUCTS, Process, State, Status, Task};
use crate::steps::{Protocol, Step};
use crate::stock::{Answer, declare, hold_item, undo_item};

/// Request that places an order, with its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Placing {
    /// Index of the placement in the scenario.
    pub placement: usize,
    /// Index of the current attempt.
    pub attempt: usize,
    /// Next step.
    pub next: Next,
}

/// Next step of a placing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Next {
    /// Read by caller and key. After a hold of its own, a body that came too late has to release that.
    LookByKey {
        /// True if it holds stock under the ID of this attempt.
        holds: bool,
    },
    /// Read by the ID of this attempt.
    LookById,
    /// Release the stock held under the ID of a void order.
    EndVoid,
    /// Hold the stock.
    Hold,
    /// Hold one item. Only without [`Guard::AllItemsAtOnce`].
    HoldItem(usize),
    /// Release the items before this one. Only without [`Guard::AllItemsAtOnce`].
    UndoItems(usize),
    /// Insert the order.
    Insert,
    /// Insert a void order, since this order cannot be placed.
    GiveUp,
    /// Release its own hold, since another body has the key.
    EndOwn,
}

/// Result of a placing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 201, or the same answer again.
    Order(usize),
    /// 422: another body has the key.
    KeyReused,
    /// 409: not enough stock.
    Short,
    /// 422: the order cannot be placed.
    GivenUp,
    /// An attempt beyond the bound would be needed.
    Bound,
}

/// Continuation after a step.
pub(crate) enum Then {
    /// Continues with the next step.
    Goes(Placing),
    /// Ends with a result.
    Ends(Outcome),
}

impl Protocol {
    /// Starts a request of a placement.
    pub(crate) fn new_placing(&self, placement: usize) -> Placing {
        let next = match self.without {
            Some(Guard::LookFirst) => Next::Hold,
            _ => Next::LookByKey { holds: false },
        };
        Placing { placement, attempt: 0, next }
    }

    /// Returns every possible outcome of the next step. `state` no longer contains the process.
    pub(crate) fn place(&self, state: &State, placing: Placing) -> Vec<(Step, State)> {
        let mut after = state.clone();
        let (what, then) = self.place_once(&mut after, placing);
        let mut outcomes = vec![(what, then, after)];
        let may_give_up = self.scenario.placements[placing.placement].may_give_up;
        if let Next::Insert = placing.next
            && may_give_up
        {
            let then = Then::Goes(Placing { next: Next::GiveUp, ..placing });
            outcomes.push(("finds that it cannot be placed", then, state.clone()));
        }
        let ended = |(what, then, mut after): (&'static str, Then, State)| {
            match then {
                Then::Goes(placing) => after.begin(Process::Placing(placing)),
                Then::Ends(outcome) => self.answer(&mut after, placing, outcome),
            }
            (Step::Place { placing, what }, after)
        };
        outcomes.into_iter().map(ended).collect()
    }

    /// Takes the next step of a placing.
    pub(crate) fn place_once(&self, state: &mut State, placing: Placing) -> (&'static str, Then) {
        let id = self.scenario.id(placing.placement, placing.attempt);
        let placement = self.scenario.placements[placing.placement];
        let goes = |next| Then::Goes(Placing { next, ..placing });
        match placing.next {
            Next::LookByKey { holds } => match self.order_under_key(state, placement.key) {
                Some((found, by)) if by == placing.placement => {
                    ("looks by key, finds its order", Then::Ends(Outcome::Order(found)))
                }
                Some(_) if holds => ("looks by key, finds another body's order", goes(Next::EndOwn)),
                Some(_) => ("looks by key, finds another body's order", Then::Ends(Outcome::KeyReused)),
                None => ("looks by key, finds nothing", goes(Next::LookById)),
            },
            Next::LookById => match &state.orders[id] {
                Some(order) if order.status == Status::Void => match self.without {
                    Some(Guard::VoidHoldEnded) => ("looks by ID, finds a void", self.next_attempt(placing)),
                    _ => ("looks by ID, finds a void", goes(Next::EndVoid)),
                },
                Some(_) => ("looks by ID, finds its order", Then::Ends(Outcome::Order(id))),
                None => ("looks by ID, finds nothing", goes(self.first_hold())),
            },
            Next::EndVoid => {
                let call = Call::hold(id, 2, NONE);
                state.send(call);
                declare(state, call, self.without);
                ("releases the void order's hold", self.next_attempt(placing))
            }
            Next::Hold => {
                let call = Call::hold(id, 1, placement.items);
                state.send(call);
                match declare(state, call, self.without) {
                    Answer::Done => ("holds its stock", goes(Next::Insert)),
                    Answer::Superseded => {
                        ("holds nothing, is superseded", goes(Next::LookByKey { holds: false }))
                    }
                    Answer::Short | Answer::Impossible => {
                        ("holds nothing, is short", Then::Ends(Outcome::Short))
                    }
                }
            }
            Next::HoldItem(PRODUCTS) => ("has all its items", goes(Next::Insert)),
            Next::HoldItem(item) if placement.items[item] == 0 => {
                ("has no such item", goes(Next::HoldItem(item + 1)))
            }
            Next::HoldItem(item) => match hold_item(state, id, item, placement.items[item]) {
                Answer::Done => ("holds an item", goes(Next::HoldItem(item + 1))),
                Answer::Superseded => ("is superseded", goes(Next::LookByKey { holds: false })),
                Answer::Short | Answer::Impossible => ("is short of an item", goes(Next::UndoItems(item))),
            },
            Next::UndoItems(0) => ("has undone its items", Then::Ends(Outcome::Short)),
            Next::UndoItems(item) => {
                undo_item(state, id, item - 1);
                ("releases one item", goes(Next::UndoItems(item - 1)))
            }
            Next::Insert => {
                let taken = state.orders[id].is_some() && self.has(Guard::UniqueId)
                    || self.order_under_key(state, placement.key).is_some() && self.has(Guard::UniqueKey);
                if taken {
                    return ("meets a duplicate key", goes(Next::LookByKey { holds: true }));
                }
                state.orders[id] = Some(Order::placed(placement.items));
                ("inserts the order", Then::Ends(Outcome::Order(id)))
            }
            Next::GiveUp if !self.has(Guard::VoidBeforeGivingUp) => {
                let call = Call::hold(id, 2, NONE);
                state.send(call);
                declare(state, call, self.without);
                ("releases its hold", Then::Ends(Outcome::GivenUp))
            }
            Next::GiveUp if state.orders[id].is_some() => {
                ("cannot insert a void order, the ID is taken", goes(Next::LookByKey { holds: true }))
            }
            Next::GiveUp => {
                state.orders[id] = Some(Order::void(id));
                ("inserts a void order", Then::Ends(Outcome::GivenUp))
            }
            Next::EndOwn => {
                let call = Call::hold(id, 2, NONE);
                state.send(call);
                declare(state, call, self.without);
                ("releases its own hold", Then::Ends(Outcome::KeyReused))
            }
        }
    }

    fn first_hold(&self) -> Next {
        if self.has(Guard::AllItemsAtOnce) { Next::Hold } else { Next::HoldItem(0) }
    }

    fn next_attempt(&self, placing: Placing) -> Then {
        let attempt = placing.attempt + 1;
        if attempt == self.scenario.placements[placing.placement].attempts {
            return Then::Ends(Outcome::Bound);
        }
        Then::Goes(Placing { attempt, next: Next::LookById, ..placing })
    }

    /// Looks up the unique index on caller and key: the ID and its placement. Void orders have no key.
    pub(crate) fn order_under_key(&self, state: &State, key: u8) -> Option<(usize, usize)> {
        state.orders.iter().enumerate().find_map(|(id, order)| {
            let (placement, _) = self.scenario.placement(id)?;
            let same = self.scenario.placements[placement].key == key;
            (same && order.as_ref()?.status != Status::Void).then_some((id, placement))
        })
    }

    /// Records the answer to the client, and detects one that cannot be true.
    fn answer(&self, state: &mut State, placing: Placing, outcome: Outcome) {
        match outcome {
            Outcome::Order(id) => {
                let key = self.scenario.placements[placing.placement].key;
                let another = state.promises.iter().enumerate().any(|(other, promises)| {
                    let (placement, _) = self.scenario.placement(other).unwrap_or_default();
                    other != id && promises.placed && self.scenario.placements[placement].key == key
                });
                if another {
                    state.broken = Some("one key was answered with two orders");
                }
                state.promises[id].placed = true;
            }
            Outcome::Short if self.is_short_of_its_own(state, placing) => {
                state.broken = Some("a request was refused because of the hold of its own earlier attempt");
            }
            Outcome::KeyReused | Outcome::Short | Outcome::GivenUp | Outcome::Bound => {}
        }
    }

    /// Returns true if stock is short only because of the holds of earlier attempts of the same body.
    fn is_short_of_its_own(&self, state: &State, placing: Placing) -> bool {
        let Placing { placement, attempt, .. } = placing;
        let items = self.scenario.placements[placement].items;
        let own: Items = (0..attempt).fold(NONE, |sum, earlier| {
            let held = state.held(self.scenario.id(placement, earlier));
            std::array::from_fn(|product| sum[product] + held[product])
        });
        let enough_without = |held: Items| {
            let mut products = state.products.iter().enumerate();
            products.all(|(place, product)| items[place] + product.reserved <= product.on_hand + held[place])
        };
        enough_without(own) && !enough_without(NONE)
    }
}

impl Order {
    /// Creates an order at its first version.
    pub(crate) fn placed(items: [u8; PRODUCTS]) -> Self {
        let status = Status::Placed;
        Self {
            status,
            version: 1,
            items,
            pending: None,
            tasks: Vec::new(),
            task_removed: false,
            forgotten: None,
        }
    }

    /// Creates a void order at version 2: this ID never becomes an order. Its task releases the hold.
    pub(crate) fn void(id: usize) -> Self {
        let task = Task { call: Call::hold(id, 2, NONE), done: false };
        let status = Status::Void;
        Self {
            status,
            version: 2,
            items: NONE,
            pending: None,
            tasks: vec![task],
            task_removed: false,
            forgotten: None,
        }
    }
}
