//! How Reconcile walks through the holds and remembers how far it came: a model of its own, with a clock.
//!
//! It walks in pages, here of one hold, in the order of (`at`, ID), from a margin before the watermark, up to
//! what was two minutes old when it began to read. A hold that has no order is settled by a void; one that
//! cannot be settled now is set aside. Last, in one write, it adds what it set aside to what others did, and
//! saves the moment at which it began to read as the watermark, unless a later one is there. What was set
//! aside is tried again, and leaves the list once it is settled. A walk may crash at any step; several may walk
//! at once.
//!
//! A hold bears the time at which its transaction began, and is seen only once that has committed, up to
//! `COMMIT` later.

use crate::explorer::Model;

/// How many holds there are. None of them gets an order.
const HOLDS: usize = 3;

/// After how many ticks a hold counts as left behind.
const STALE: u8 = 1;

/// How many ticks there may be between the time that a hold bears and its commit.
const COMMIT: u8 = 1;

/// From how many ticks before the watermark a walk begins.
const MARGIN: u8 = STALE + COMMIT;

/// How many ticks there are.
const TICKS: u8 = 4;

/// How many walks begin.
const WALKS: u8 = 2;

/// A part of the walk that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WalkGuard {
    /// A page begins after the last (`at`, ID). Without: after the last `at`.
    OrderOfTies,
    /// A page has the holds in the order of (`at`, ID). Without: in the order of ID alone.
    OrderOfTimes,
    /// A walk begins a margin before the watermark. Without: at the watermark.
    Margin,
    /// The watermark is saved last. Without: first.
    SavedLast,
    /// The watermark is the moment at which the walk began to read. Without: that at which it ends.
    AsOfReading,
    /// What cannot be settled is set aside. Without: it is passed over.
    SetAside,
    /// Walks that end late do not take the watermark back, nor drop what others set aside. Without: the last
    /// one to save decides.
    OthersSaved,
}

impl WalkGuard {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::OrderOfTies,
        Self::OrderOfTimes,
        Self::Margin,
        Self::SavedLast,
        Self::AsOfReading,
        Self::SetAside,
        Self::OthersSaved,
    ];
}

/// The walk, perhaps with a guard left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Walk {
    /// Which guard is left out.
    pub without: Option<WalkGuard>,
}

/// A hold without an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hold {
    /// The time that it bears.
    pub at: u8,
    /// Whether it can be seen.
    pub committed: bool,
    /// Whether a void ended it.
    pub settled: bool,
}

/// A walk that is under way, with what it remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Walker {
    /// When it began to read.
    read_at: u8,
    /// Where the next page begins: after this (`at`, ID).
    after: Option<(u8, usize)>,
    /// From which `at` it walks.
    from: u8,
    /// What it could not settle.
    aside: [bool; HOLDS],
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The database's clock.
    now: u8,
    /// The holds that were begun.
    holds: [Option<Hold>; HOLDS],
    /// The walks under way. One that takes no further step has crashed.
    walkers: Vec<Walker>,
    /// How many walks may still begin.
    walks: u8,
    /// Saved: how far walks came.
    watermark: u8,
    /// Saved: what they set aside.
    aside: [bool; HOLDS],
}

/// What somebody does.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// The clock ticks.
    Tick,
    /// A hold begins; it bears the time of now.
    Begin(usize),
    /// A hold commits.
    Commit(usize),
    /// A walk begins to read.
    Read,
    /// A walk settles the next hold.
    Settle(usize),
    /// A walk cannot settle the next hold.
    Fail(usize),
    /// A walk settles what was set aside before.
    Retry(usize),
    /// A walk ends.
    Save,
}

impl Walk {
    fn has(self, guard: WalkGuard) -> bool {
        self.without != Some(guard)
    }

    fn begin(self, state: &mut State) -> Walker {
        let margin = if self.has(WalkGuard::Margin) { MARGIN } else { 0 };
        let from = state.watermark.saturating_sub(margin);
        if !self.has(WalkGuard::SavedLast) {
            state.watermark = state.now;
        }
        Walker { read_at: state.now, after: None, from, aside: [false; HOLDS] }
    }

    /// The hold on the next page.
    fn next(self, state: &State, walker: Walker) -> Option<usize> {
        let holds = state.holds.iter().enumerate().filter_map(|(id, hold)| Some((id, (*hold)?)));
        let stale = holds.filter(|(_, hold)| {
            hold.committed && !hold.settled && hold.at >= walker.from && hold.at + STALE <= walker.read_at
        });
        let left = stale.filter(|(id, hold)| match walker.after {
            None => true,
            Some((at, _)) if !self.has(WalkGuard::OrderOfTies) => hold.at > at,
            Some(after) => (hold.at, *id) > after,
        });
        let by_id = !self.has(WalkGuard::OrderOfTimes);
        left.min_by_key(|(id, hold)| (if by_id { 0 } else { hold.at }, *id)).map(|(id, _)| id)
    }

    fn save(self, state: &mut State, walker: Walker) {
        let reached = if self.has(WalkGuard::AsOfReading) { walker.read_at } else { state.now };
        if self.has(WalkGuard::OthersSaved) {
            state.watermark = state.watermark.max(reached);
        } else {
            state.watermark = reached;
            state.aside = [false; HOLDS];
        }
        for (aside, more) in state.aside.iter_mut().zip(walker.aside) {
            *aside |= more;
        }
    }

    /// The state after walks that nobody disturbs, when all is stale.
    fn recovered(self, state: &State) -> State {
        let mut state = state.clone();
        state.walkers.clear();
        for hold in state.holds.iter_mut().flatten() {
            hold.committed = true;
        }
        state.now += STALE + COMMIT;
        for id in 0..HOLDS {
            if state.aside[id] {
                settle(&mut state, id);
            }
        }
        let mut walker = self.begin(&mut state);
        while let Some(id) = self.next(&state, walker) {
            pass(&state, &mut walker, id);
            settle(&mut state, id);
        }
        self.save(&mut state, walker);
        state
    }
}

fn pass(state: &State, walker: &mut Walker, id: usize) {
    walker.after = state.holds[id].map(|hold| (hold.at, id));
}

fn settle(state: &mut State, id: usize) {
    state.aside[id] = false;
    if let Some(hold) = &mut state.holds[id] {
        hold.settled = true;
    }
}

impl Model for Walk {
    type State = State;
    type Step = Step;

    fn initial(&self) -> State {
        State {
            now: MARGIN,
            holds: [None; HOLDS],
            walkers: Vec::new(),
            walks: WALKS,
            watermark: MARGIN,
            aside: [false; HOLDS],
        }
    }

    fn successors(&self, state: &State) -> Vec<(Step, State)> {
        let mut steps = Vec::new();
        let mut step = |step: Step, change: &dyn Fn(&mut State)| {
            let mut after = state.clone();
            change(&mut after);
            steps.push((step, after));
        };
        let waits = |hold: &Hold| !hold.committed && hold.at + COMMIT <= state.now;
        if state.now < MARGIN + TICKS && !state.holds.iter().flatten().any(waits) {
            step(Step::Tick, &|after| after.now += 1);
        }
        for (id, hold) in state.holds.iter().enumerate() {
            match hold {
                None => step(Step::Begin(id), &|after| {
                    after.holds[id] = Some(Hold { at: after.now, committed: false, settled: false });
                }),
                Some(Hold { committed: false, .. }) => step(Step::Commit(id), &|after| {
                    after.holds[id].iter_mut().for_each(|hold| hold.committed = true);
                }),
                Some(_) => {}
            }
            if state.aside[id] {
                step(Step::Retry(id), &|after| settle(after, id));
            }
        }
        if state.walks > 0 {
            step(Step::Read, &|after| {
                after.walks -= 1;
                let walker = self.begin(after);
                after.walkers.push(walker);
                after.walkers.sort_unstable();
            });
        }
        for (place, walker) in state.walkers.iter().enumerate() {
            let goes = |after: &mut State, id: usize, fails: bool| {
                let walker = &mut after.walkers[place];
                pass(state, walker, id);
                walker.aside[id] |= fails && self.has(WalkGuard::SetAside);
                after.walkers.sort_unstable();
            };
            match self.next(state, *walker) {
                Some(id) => {
                    step(Step::Settle(id), &|after| {
                        goes(after, id, false);
                        settle(after, id);
                    });
                    step(Step::Fail(id), &|after| goes(after, id, true));
                }
                None => step(Step::Save, &|after| {
                    after.walkers.remove(place);
                    self.save(after, *walker);
                }),
            }
        }
        steps
    }

    fn check(&self, state: &State) -> Result<(), String> {
        let left = self.recovered(state).holds.iter().flatten().any(|hold| !hold.settled);
        if left { Err("a hold without an order stays behind the watermark".to_owned()) } else { Ok(()) }
    }

    fn tell(&self, step: &Step) -> String {
        match step {
            Step::Tick => "the clock ticks".to_owned(),
            Step::Begin(id) => format!("hold {id} begins"),
            Step::Commit(id) => format!("hold {id} commits"),
            Step::Read => "a walk begins".to_owned(),
            Step::Settle(id) => format!("a walk settles hold {id}"),
            Step::Fail(id) => format!("a walk cannot settle hold {id}"),
            Step::Retry(id) => format!("hold {id}, which was set aside, is settled"),
            Step::Save => "a walk ends and saves".to_owned(),
        }
    }

    fn describe(&self, state: &State) -> String {
        let hold = |(id, hold): (usize, &Option<Hold>)| {
            let Hold { at, committed, settled } = (*hold)?;
            let how = if settled {
                "settled"
            } else if committed {
                "held"
            } else {
                "not committed"
            };
            Some(format!("hold {id} of {at} {how}"))
        };
        let holds: Vec<_> = state.holds.iter().enumerate().filter_map(hold).collect();
        format!("now {}, watermark {} | {}", state.now, state.watermark, holds.join(", "))
    }
}
