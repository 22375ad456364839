//! Walk of Reconcile through the holds, and its watermark: a model of its own, with a clock.
//!
//! A walk reads pages, here of one hold, in the order of (`at`, ID). It begins a margin before the watermark.
//! It ends at holds that were two minutes old when it began to read.
//!
//! A hold without an order is settled by a void order. One that cannot be settled now is deferred. Last comes
//! one write. It adds its deferred holds to those of other walks, and saves the moment at which it began to
//! read as the watermark, unless a later one is saved. Deferred holds are retried, and leave the list once
//! settled.
//!
//! A walk may crash at any step, and several may run at once.
//!
//! A hold bears the time at which its transaction began. It is visible only after the commit, up to
//! `COMMIT` later.

use crate::explorer::Model;

/// Number of holds. None of them gets an order.
const HOLDS: usize = 3;

/// Age in ticks from which a hold counts as orphaned.
const STALE: u8 = 1;

/// Maximum number of ticks between the time of a hold and its commit.
const COMMIT: u8 = 1;

/// Number of ticks before the watermark at which a walk begins.
const MARGIN: u8 = STALE + COMMIT;

/// Number of ticks.
const TICKS: u8 = 4;

/// Number of walks.
const WALKS: u8 = 2;

/// Part of the walk that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WalkGuard {
    /// A page begins after the last (`at`, ID). Without: after the last `at`.
    OrderOfTies,
    /// A page has the holds in the order of (`at`, ID). Without: in the order of the ID alone.
    OrderOfTimes,
    /// A walk begins a margin before the watermark. Without: at the watermark.
    Margin,
    /// The watermark is saved last. Without: first.
    SavedLast,
    /// The watermark is the moment at which the walk began to read. Without: the moment at which it ends.
    AsOfReading,
    /// A hold that cannot be settled is deferred. Without: it is skipped.
    Deferral,
    /// A walk that ends late neither lowers the watermark nor drops deferred holds of others. Without: the
    /// last walk to save overwrites both.
    OthersSaved,
}

impl WalkGuard {
    /// All guards.
    pub const ALL: [Self; 7] = [
        Self::OrderOfTies,
        Self::OrderOfTimes,
        Self::Margin,
        Self::SavedLast,
        Self::AsOfReading,
        Self::Deferral,
        Self::OthersSaved,
    ];
}

/// Model of the walk, perhaps with a guard left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Walk {
    /// Guard that is left out.
    pub without: Option<WalkGuard>,
}

/// Hold without an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hold {
    /// Time that it bears.
    pub at: u8,
    /// True if it is visible.
    pub committed: bool,
    /// True if a void order ended it.
    pub settled: bool,
}

/// Running walk with its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Walker {
    /// Time at which it began to read.
    read_at: u8,
    /// Position of the next page: after this (`at`, ID).
    after: Option<(u8, usize)>,
    /// First `at` of the walk.
    from: u8,
    /// Holds that it could not settle.
    deferred: [bool; HOLDS],
}

/// Complete state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// Clock of the database.
    now: u8,
    /// Holds that have begun.
    holds: [Option<Hold>; HOLDS],
    /// Running walks. One that takes no further step has crashed.
    walkers: Vec<Walker>,
    /// Number of walks that may still begin.
    walks: u8,
    /// Saved watermark.
    watermark: u8,
    /// Saved list of deferred holds.
    deferred: [bool; HOLDS],
}

/// Possible step.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// The clock ticks.
    Tick,
    /// A hold begins; it bears the current time.
    Begin(usize),
    /// A hold commits.
    Commit(usize),
    /// A walk begins to read.
    Read,
    /// A walk settles the next hold.
    Settle(usize),
    /// A walk cannot settle the next hold.
    Fail(usize),
    /// A walk settles a deferred hold.
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
        Walker { read_at: state.now, after: None, from, deferred: [false; HOLDS] }
    }

    /// Returns the hold on the next page.
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
            state.deferred = [false; HOLDS];
        }
        for (deferred, more) in state.deferred.iter_mut().zip(walker.deferred) {
            *deferred |= more;
        }
    }

    /// Returns the state after undisturbed walks, once every hold is old enough.
    fn recovered(self, state: &State) -> State {
        let mut state = state.clone();
        state.walkers.clear();
        for hold in state.holds.iter_mut().flatten() {
            hold.committed = true;
        }
        state.now += STALE + COMMIT;
        for id in 0..HOLDS {
            if state.deferred[id] {
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
    state.deferred[id] = false;
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
            deferred: [false; HOLDS],
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
            if state.deferred[id] {
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
                walker.deferred[id] |= fails && self.has(WalkGuard::Deferral);
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

    fn describe_step(&self, step: &Step) -> String {
        match step {
            Step::Tick => "the clock ticks".to_owned(),
            Step::Begin(id) => format!("hold {id} begins"),
            Step::Commit(id) => format!("hold {id} commits"),
            Step::Read => "a walk begins".to_owned(),
            Step::Settle(id) => format!("a walk settles hold {id}"),
            Step::Fail(id) => format!("a walk cannot settle hold {id}"),
            Step::Retry(id) => format!("hold {id}, which was deferred, is settled"),
            Step::Save => "a walk ends and saves".to_owned(),
        }
    }

    fn describe_state(&self, state: &State) -> String {
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
