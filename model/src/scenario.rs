//! Requests and their numbers: the bound of a search. Within it every interleaving is possible.

use crate::guards::Guard;
use crate::state::{IDS, Items, PRODUCTS};

/// Body of `POST /orders` under a key.
#[derive(Clone, Copy, Debug)]
pub struct Placement {
    /// Name in descriptions.
    pub name: char,
    /// Key: the same for two bodies that compete for it.
    pub key: u8,
    /// Ordered quantities.
    pub items: Items,
    /// Number of times that it is sent: concurrently, one after another, after a crash.
    pub sends: u8,
    /// Number of attempts that have an ID. A request that needs one more ends.
    pub attempts: usize,
    /// True if it is already placed when the search begins.
    pub placed: bool,
    /// True if it may turn out, after its hold, that it cannot be placed: its total is too large.
    pub may_give_up: bool,
}

impl Placement {
    /// Creates a body that is sent once.
    pub const fn new(name: char, key: u8, items: Items) -> Self {
        Self { name, key, items, sends: 1, attempts: 1, placed: false, may_give_up: false }
    }

    /// Sets the number of times that it is sent.
    pub const fn sends(self, sends: u8) -> Self {
        Self { sends, ..self }
    }

    /// Sets the number of attempts that have an ID.
    pub const fn attempts(self, attempts: usize) -> Self {
        Self { attempts, ..self }
    }

    /// Marks it as already placed; it is sent again only if [`Placement::sends`] follows.
    pub const fn placed(self) -> Self {
        Self { placed: true, sends: 0, ..self }
    }

    /// Allows it to turn out that it cannot be placed.
    pub const fn may_give_up(self) -> Self {
        Self { may_give_up: true, ..self }
    }
}

/// Decision that a client or Reconcile asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Staff: the order is paid.
    Pay,
    /// Owner or staff: the order is cancelled. Expiry is the same decision with fewer rights.
    Cancel,
    /// Reconcile: the order was not paid in time. The time limit may end at any moment.
    Expire,
    /// Staff: the order is shipped.
    Ship,
    /// Staff: the order arrived.
    Deliver,
    /// Staff: the items are back, and on hand again.
    Return,
    /// Owner: these items replace the old ones.
    Change(Items),
    /// Owner or staff: a note or an address. Stock does not change.
    Note,
}

/// Requests for one decision about one order.
#[derive(Clone, Copy, Debug)]
pub struct Decision {
    /// Decision.
    pub wish: Wish,
    /// Index of its placement in the scenario.
    pub of: usize,
    /// Number of times that it is sent.
    pub sends: u8,
}

impl Decision {
    /// Creates a decision that is asked for once.
    pub const fn new(wish: Wish, of: usize) -> Self {
        Self { wish, of, sends: 1 }
    }

    /// Sets the number of times that it is sent.
    pub const fn sends(self, sends: u8) -> Self {
        Self { sends, ..self }
    }
}

/// Size of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Takes seconds.
    Short,
    /// Takes minutes, and gigabytes of memory.
    Long,
}

impl Size {
    fn choose<T>(self, short: T, long: T) -> T {
        match self {
            Self::Short => short,
            Self::Long => long,
        }
    }
}

/// Bound of a search.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Title.
    pub name: &'static str,
    /// Units on hand at the beginning.
    pub stock: Items,
    /// Bodies of `POST /orders`.
    pub placements: Vec<Placement>,
    /// Decisions about the orders.
    pub decisions: Vec<Decision>,
    /// Number of hours that may pass.
    pub hours: u8,
    /// True if no call is late or repeated and no Reconcile finds a hold to release: only requests race.
    pub calm: bool,
}

impl Scenario {
    /// Returns the ID of an attempt of a placement.
    ///
    /// # Panics
    /// If the scenario has more attempts than there are IDs.
    pub fn id(&self, placement: usize, attempt: usize) -> usize {
        let id = self.placements[..placement].iter().map(|before| before.attempts).sum::<usize>() + attempt;
        assert!(id < IDS, "{}: more than {IDS} IDs", self.name);
        id
    }

    /// Returns the placement that an ID belongs to, and the number of its attempt.
    pub fn placement(&self, id: usize) -> Option<(usize, usize)> {
        let mut attempt = id;
        for (place, placement) in self.placements.iter().enumerate() {
            if attempt < placement.attempts {
                return Some((place, attempt));
            }
            attempt -= placement.attempts;
        }
        None
    }

    /// Names an ID: `A1` is the first attempt of `A`.
    pub fn name_of(&self, id: usize) -> String {
        self.placement(id).map_or_else(
            || format!("#{id}"),
            |(place, attempt)| format!("{}{}", self.placements[place].name, attempt + 1),
        )
    }

    /// Two bodies under one key, a rival for the same stock, duplicate requests, and a cancellation.
    pub fn one_key(size: Size) -> Self {
        let sends = size.choose(2, 3);
        Self {
            name: "one key with two bodies, a rival, duplicates",
            stock: [1, 2],
            placements: vec![
                Placement::new('A', 1, [1, 1]).sends(sends).attempts(2),
                Placement::new('B', 1, [0, 1]),
                Placement::new('C', 2, [0, 1]),
            ],
            decisions: vec![Decision::new(Wish::Cancel, 2)],
            hours: 0,
            calm: false,
        }
    }

    /// Duplicates that may be given up after their hold, placed again after a void order, paid and cancelled.
    pub fn giving_up(size: Size) -> Self {
        let sends = size.choose(2, 3);
        Self {
            name: "placing that may be given up, paid, cancelled",
            stock: [1, 1],
            placements: vec![
                Placement::new('A', 1, [1, 1]).sends(sends).attempts(size.choose(2, 3)).may_give_up(),
                Placement::new('B', 2, [1, 0]),
            ],
            decisions: vec![Decision::new(Wish::Cancel, 0), Decision::new(Wish::Pay, 0)],
            hours: 0,
            calm: false,
        }
    }

    /// Key that is sent again hours later, when its tombstones are gone.
    pub fn hours_later(size: Size) -> Self {
        Self {
            name: "a key sent again hours later",
            stock: [1, 1],
            placements: vec![
                Placement::new('A', 1, [1, 0]).sends(size.choose(2, 3)).attempts(2),
                Placement::new('B', 1, [1, 1]),
            ],
            decisions: vec![Decision::new(Wish::Cancel, 0)],
            hours: 2,
            calm: false,
        }
    }

    /// Changes of items that race with payment, cancellation, a note and a rival.
    pub fn changes(size: Size) -> Self {
        Self {
            name: "changes of items against pay, cancel, a rival",
            stock: [1, 2],
            placements: vec![
                Placement::new('A', 1, [1, 0]).placed(),
                Placement::new('B', 2, [1, 1]).sends(size.choose(1, 2)),
            ],
            decisions: vec![
                Decision::new(Wish::Change([0, 1]), 0),
                Decision::new(Wish::Change([1, 2]), 0),
                Decision::new(Wish::Pay, 0),
                Decision::new(Wish::Note, 0),
                Decision::new(Wish::Cancel, 0),
                Decision::new(Wish::Cancel, 1),
            ],
            hours: size.choose(0, 1),
            calm: false,
        }
    }

    /// Complete life of an order: changed, paid, shipped, delivered, returned, while hours pass.
    pub fn life(size: Size) -> Self {
        let sends = size.choose(1, 2);
        Self {
            name: "a whole life, while hours pass",
            stock: [2, 1],
            placements: vec![
                Placement::new('A', 1, [1, 0]).placed().sends(size.choose(0, 1)),
                Placement::new('B', 2, [1, 1]).sends(size.choose(0, 1)),
            ],
            decisions: vec![
                Decision::new(Wish::Change([1, 1]), 0),
                Decision::new(Wish::Pay, 0).sends(sends),
                Decision::new(Wish::Ship, 0).sends(2),
                Decision::new(Wish::Deliver, 0),
                Decision::new(Wish::Return, 0).sends(2),
                Decision::new(Wish::Expire, 0),
            ],
            hours: 2,
            calm: false,
        }
    }

    /// Returns all scenarios.
    pub fn all(size: Size) -> Vec<Self> {
        let all = [Self::one_key, Self::giving_up, Self::hours_later, Self::changes, Self::life];
        all.map(|scenario| scenario(size)).to_vec()
    }

    /// Returns a scenario in which the search finds a violation without this guard.
    pub fn that_misses(guard: Guard) -> Self {
        let scenario = match guard {
            Guard::Revision
            | Guard::Tombstones
            | Guard::ReplayAnswer
            | Guard::VoidFirst
            | Guard::UniqueId
            | Guard::UniqueKey
            | Guard::VoidHoldEnded => Self::one_key,
            // The violation is found even if nothing crashes and nothing is late.
            Guard::AllItemsAtOnce => {
                return Self { stock: [1, 1], calm: true, ..Self::one_key(Size::Short) };
            }
            Guard::VoidBeforeGivingUp | Guard::VersionFilter => Self::giving_up,
            Guard::LookFirst | Guard::PruneWaitsForCalls => Self::hours_later,
            Guard::LargerOfBoth
            | Guard::TaskAfterRefusal
            | Guard::TaskOfWhatEndsAChange
            | Guard::IntentAtFinish => Self::changes,
            Guard::Replay
            | Guard::TaskOrder
            | Guard::TaskUntilAnswered
            | Guard::RestockMark
            | Guard::PruneWaitsForTasks
            | Guard::PruneWaitsAfterTasks => Self::life,
        };
        scenario(Size::Short)
    }

    /// Counts the requests, at most.
    pub fn requests(&self) -> usize {
        let placings = self.placements.iter().map(|placement| usize::from(placement.sends));
        let decisions = self.decisions.iter().map(|decision| usize::from(decision.sends));
        placings.chain(decisions).sum()
    }

    /// Describes the bound.
    pub fn bound(&self) -> String {
        let ids: usize = self.placements.iter().map(|placement| placement.attempts).sum();
        format!("{PRODUCTS} products, {ids} IDs, {} requests, {} hours", self.requests(), self.hours)
    }
}
