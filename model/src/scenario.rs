//! Who wants what, and how often: the bound of a search. Within it everything may happen, in any order.

use crate::guards::Guard;
use crate::state::{IDS, Items, PRODUCTS};

/// A body of `POST /orders` under a key.
#[derive(Clone, Copy, Debug)]
pub struct Placement {
    /// How it is told of.
    pub name: char,
    /// Its key: the same for two bodies that compete for one.
    pub key: u8,
    /// What it orders.
    pub items: Items,
    /// How often it is sent: beside each other, after each other, after a crash.
    pub sends: u8,
    /// How many attempts there are IDs for. A request that would need one more is given up.
    pub attempts: usize,
    /// Whether it is placed already when the search begins.
    pub placed: bool,
    /// Whether it may turn out, once its stock is held, that it cannot be placed: its total is too large.
    pub may_give_up: bool,
}

impl Placement {
    /// A body that is sent once.
    pub const fn new(name: char, key: u8, items: Items) -> Self {
        Self { name, key, items, sends: 1, attempts: 1, placed: false, may_give_up: false }
    }

    /// Sent so often.
    pub const fn sends(self, sends: u8) -> Self {
        Self { sends, ..self }
    }

    /// With IDs for so many attempts.
    pub const fn attempts(self, attempts: usize) -> Self {
        Self { attempts, ..self }
    }

    /// Placed already, and sent again only if [`Placement::sends`] follows.
    pub const fn placed(self) -> Self {
        Self { placed: true, sends: 0, ..self }
    }

    /// It may turn out that it cannot be placed.
    pub const fn may_give_up(self) -> Self {
        Self { may_give_up: true, ..self }
    }
}

/// A decision that somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Staff: it is paid.
    Pay,
    /// The owner or staff: it ends. Expiry is the same decision with fewer rights.
    Cancel,
    /// Reconcile: it was not paid in time. That time may be over at any moment.
    Expire,
    /// Staff: it leaves the house.
    Ship,
    /// Staff: it arrived.
    Deliver,
    /// Staff: it is back, and on the hand again.
    Return,
    /// The owner: these items instead.
    Change(Items),
    /// The owner or staff: a note or an address. It changes nothing of the stock.
    Note,
}

/// Which decision is asked for about which order, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Decision {
    /// What is asked for.
    pub wish: Wish,
    /// The place of its placement in the scenario.
    pub of: usize,
    /// How often it is sent.
    pub sends: u8,
}

impl Decision {
    /// Asked for once.
    pub const fn new(wish: Wish, of: usize) -> Self {
        Self { wish, of, sends: 1 }
    }

    /// Sent so often.
    pub const fn sends(self, sends: u8) -> Self {
        Self { sends, ..self }
    }
}

/// How far a search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Seconds.
    Short,
    /// Minutes, and gigabytes.
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

/// The bound of a search.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it is about, in a sentence.
    pub name: &'static str,
    /// Pieces in the house at the beginning.
    pub stock: Items,
    /// What is ordered.
    pub placements: Vec<Placement>,
    /// What is decided.
    pub decisions: Vec<Decision>,
    /// How many hours may pass.
    pub hours: u8,
    /// Whether no call is late or repeated and no Reconcile finds a hold to end: nothing but requests race.
    pub calm: bool,
}

impl Scenario {
    /// The ID of an attempt of a placement.
    ///
    /// # Panics
    /// When the scenario has more attempts than there are IDs.
    pub fn id(&self, placement: usize, attempt: usize) -> usize {
        let id = self.placements[..placement].iter().map(|before| before.attempts).sum::<usize>() + attempt;
        assert!(id < IDS, "{}: more than {IDS} IDs", self.name);
        id
    }

    /// Which placement an ID belongs to, and which of its attempts it is.
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

    /// How an ID is told of: `A1` is the first attempt of `A`.
    pub fn name_of(&self, id: usize) -> String {
        self.placement(id).map_or_else(
            || format!("#{id}"),
            |(place, attempt)| format!("{}{}", self.placements[place].name, attempt + 1),
        )
    }

    /// Two bodies under one key, a rival for the same stock, twins, and somebody who cancels.
    pub fn one_key(size: Size) -> Self {
        let sends = size.choose(2, 3);
        Self {
            name: "one key with two bodies, a rival, twins",
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

    /// Twins that may be given up after their stock is held, placed again after a void, paid and cancelled.
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

    /// A key that is sent again hours later, when its tombstones are gone.
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

    /// Changes of items against paying, cancelling, a note and a rival.
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

    /// A whole life: changed, paid, shipped, delivered, returned, while hours pass.
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

    /// All of them.
    pub fn all(size: Size) -> Vec<Self> {
        let all = [Self::one_key, Self::giving_up, Self::hours_later, Self::changes, Self::life];
        all.map(|scenario| scenario(size)).to_vec()
    }

    /// One in which a guard is missed.
    pub fn that_misses(guard: Guard) -> Self {
        let scenario = match guard {
            Guard::Revision
            | Guard::Tombstones
            | Guard::ReplayAnswer
            | Guard::VoidFirst
            | Guard::UniqueId
            | Guard::UniqueKey
            | Guard::VoidHoldEnded => Self::one_key,
            // It is missed even where nothing crashes and nothing is late.
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

    /// How many requests there are at most.
    pub fn requests(&self) -> usize {
        let placings = self.placements.iter().map(|placement| usize::from(placement.sends));
        let decisions = self.decisions.iter().map(|decision| usize::from(decision.sends));
        placings.chain(decisions).sum()
    }

    /// The bound, in words.
    pub fn bound(&self) -> String {
        let ids: usize = self.placements.iter().map(|placement| placement.attempts).sum();
        format!("{PRODUCTS} products, {ids} IDs, {} requests, {} hours", self.requests(), self.hours)
    }
}
