//! Walk of Reconcile through the holds, and its saved position: a model of its own, with a clock.
//!
//! A walk reads pages, here of one hold, in the order of (`at`, ID). It begins after the saved position, and
//! reads holds of a minimum age alone. At the end of the holds its position is the newest time that is old
//! enough.
//!
//! A hold without an order is settled by a void order. One that cannot be settled now is set aside. Then the
//! position is saved. What was set aside is tried again, and cleared once settled.
//!
//! A walk may crash at any step, and several may run at once. It lasts for `RUN` at most.
//!
//! A hold bears the time at which its transaction began. It commits up to `COMMIT` later. Reads see it only
//! once it is on a majority, which may take any time. A walk begins with a read that waits for that.

use crate::explorer::Model;

/// Number of holds. None of them gets an order.
const HOLDS: usize = 2;

/// Maximum number of ticks between the time of a hold and its commit.
const COMMIT: u8 = 1;

/// Maximum number of ticks of a walk.
const RUN: u8 = 2;

/// Age in ticks from which holds are read: a hold is committed before a walk begins that may read it.
const AGE: u8 = COMMIT + RUN + 1;

/// Number of ticks.
const TICKS: u8 = 6;

/// Number of walks.
const WALKS: u8 = 2;

/// Part of the walk that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WalkGuard {
    /// A page begins after the last (`at`, ID). Without: after the last `at`.
    OrderOfTies,
    /// A page has the holds in the order of (`at`, ID). Without: in the order of the ID alone.
    OrderOfTimes,
    /// Only holds are read that are older than a commit and a walk may take. Without: all of the past.
    OldEnough,
    /// A walk begins when earlier writes are on a majority. Without: at once.
    OnMajority,
    /// The position is saved once a page is settled. Without: when it was read.
    SavedAfter,
    /// The position at the end is of the moment of reading. Without: of the moment of saving.
    AsOfReading,
    /// A hold that cannot be settled is set aside. Without: it is skipped.
    SetAside,
}

impl WalkGuard {
    /// All guards.
    pub const ALL: [Self; 7] = [
        Self::OrderOfTies,
        Self::OrderOfTimes,
        Self::OldEnough,
        Self::OnMajority,
        Self::SavedAfter,
        Self::AsOfReading,
        Self::SetAside,
    ];
}

/// Model of the walk, perhaps with a guard left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Walk {
    /// Guard that is left out.
    pub without: Option<WalkGuard>,
}

/// Progress of a hold's write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Write {
    /// Its transaction is open.
    Open,
    /// It is committed on the primary.
    Committed,
    /// It is on a majority, where reads see it.
    Visible,
}

/// Hold without an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Hold {
    /// Time that it bears.
    at: u8,
    /// Progress of its write.
    write: Write,
    /// True if a void order ended it.
    settled: bool,
}

/// Position: after the hold of this time and ID plus one. 0 is before all holds of the time.
type Position = (u8, usize);

/// Page that a walk has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Page {
    /// None.
    Unread,
    /// A hold.
    Hold(usize),
    /// The end of the holds, read at this time.
    End(u8),
}

/// Running walk with its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Walker {
    /// Time at which it began.
    began: u8,
    /// Position of the next page.
    after: Position,
    /// Page that it works on.
    page: Page,
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
    /// Saved position.
    position: Position,
    /// Holds that are set aside.
    set_aside: [bool; HOLDS],
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
    /// All that is committed reaches a majority.
    Replicate,
    /// A walk begins.
    Walk,
    /// A walk reads the next page: a hold, or the end.
    Read(Option<usize>),
    /// A walk settles the hold of its page.
    Settle(usize),
    /// A walk cannot settle the hold of its page.
    Fail(usize),
    /// A walk settles a hold that was set aside.
    Retry(usize),
    /// A walk ends.
    End,
}

impl Walk {
    fn has(self, guard: WalkGuard) -> bool {
        self.without != Some(guard)
    }

    fn age(self) -> u8 {
        if self.has(WalkGuard::OldEnough) { AGE } else { 0 }
    }

    fn begin(self, state: &mut State) -> Walker {
        if self.has(WalkGuard::OnMajority) {
            replicate(state);
        }
        Walker { began: state.now, after: state.position, page: Page::Unread }
    }

    /// Returns the hold on the next page.
    fn next(self, state: &State, walker: Walker) -> Option<usize> {
        let holds = state.holds.iter().enumerate().filter_map(|(id, hold)| Some((id, (*hold)?)));
        let old = holds.filter(|(_, hold)| {
            hold.write == Write::Visible && !hold.settled && hold.at + self.age() <= state.now
        });
        let left = old.filter(|(id, hold)| {
            if !self.has(WalkGuard::OrderOfTies) && walker.after.1 > 0 {
                return hold.at > walker.after.0;
            }
            (hold.at, id + 1) > walker.after
        });
        let by_id = !self.has(WalkGuard::OrderOfTimes);
        left.min_by_key(|(id, hold)| (if by_id { 0 } else { hold.at }, *id)).map(|(id, _)| id)
    }

    /// Returns the state after an undisturbed walk, once every hold is old enough.
    fn recovered(self, state: &State) -> State {
        let mut state = state.clone();
        state.walkers.clear();
        for hold in state.holds.iter_mut().flatten() {
            hold.write = Write::Visible;
        }
        state.now += AGE;
        for id in 0..HOLDS {
            if state.set_aside[id] {
                settle(&mut state, id);
            }
        }
        let mut walker = self.begin(&mut state);
        while let Some(id) = self.next(&state, walker) {
            walker.after = position_of(&state, id);
            settle(&mut state, id);
        }
        state
    }
}

fn position_of(state: &State, id: usize) -> Position {
    (state.holds[id].map_or(0, |hold| hold.at), id + 1)
}

fn replicate(state: &mut State) {
    for hold in state.holds.iter_mut().flatten() {
        if hold.write == Write::Committed {
            hold.write = Write::Visible;
        }
    }
}

fn settle(state: &mut State, id: usize) {
    state.set_aside[id] = false;
    if let Some(hold) = &mut state.holds[id] {
        hold.settled = true;
    }
}

impl Model for Walk {
    type State = State;
    type Step = Step;

    fn initial(&self) -> State {
        State {
            now: 0,
            holds: [None; HOLDS],
            walkers: Vec::new(),
            walks: WALKS,
            position: (0, 0),
            set_aside: [false; HOLDS],
        }
    }

    fn successors(&self, state: &State) -> Vec<(Step, State)> {
        let mut steps = Vec::new();
        let mut step = |step: Step, change: &dyn Fn(&mut State)| {
            let mut after = state.clone();
            change(&mut after);
            after.walkers.sort_unstable();
            steps.push((step, after));
        };
        let waits = |hold: &Hold| hold.write == Write::Open && hold.at + COMMIT <= state.now;
        if state.now < TICKS && !state.holds.iter().flatten().any(waits) {
            step(Step::Tick, &|after| {
                after.now += 1;
                // A walk that has lasted for its time ends.
                after.walkers.retain(|walker| walker.began + RUN >= after.now);
            });
        }
        for (id, hold) in state.holds.iter().enumerate() {
            match hold {
                None => step(Step::Begin(id), &|after| {
                    after.holds[id] = Some(Hold { at: after.now, write: Write::Open, settled: false });
                }),
                Some(Hold { write: Write::Open, .. }) => step(Step::Commit(id), &|after| {
                    after.holds[id].iter_mut().for_each(|hold| hold.write = Write::Committed);
                }),
                Some(_) => {}
            }
            if state.set_aside[id] {
                step(Step::Retry(id), &|after| settle(after, id));
            }
        }
        if state.holds.iter().flatten().any(|hold| hold.write == Write::Committed) {
            step(Step::Replicate, &replicate);
        }
        if state.walks > 0 {
            step(Step::Walk, &|after| {
                after.walks -= 1;
                let walker = self.begin(after);
                after.walkers.push(walker);
            });
        }
        for (place, walker) in state.walkers.iter().enumerate() {
            let moves = |after: &mut State, position: Position, page: Page| {
                after.walkers[place].after = position;
                after.walkers[place].page = page;
            };
            match walker.page {
                Page::Unread => match self.next(state, *walker) {
                    Some(id) => step(Step::Read(Some(id)), &|after| {
                        moves(after, position_of(after, id), Page::Hold(id));
                        if !self.has(WalkGuard::SavedAfter) {
                            after.position = position_of(after, id);
                        }
                    }),
                    None => step(Step::Read(None), &|after| moves(after, walker.after, Page::End(after.now))),
                },
                Page::Hold(id) => {
                    let goes_on = |after: &mut State| {
                        after.position = position_of(after, id);
                        moves(after, walker.after, Page::Unread);
                    };
                    step(Step::Settle(id), &|after| {
                        settle(after, id);
                        goes_on(after);
                    });
                    step(Step::Fail(id), &|after| {
                        after.set_aside[id] |= self.has(WalkGuard::SetAside);
                        goes_on(after);
                    });
                }
                Page::End(read_at) => step(Step::End, &|after| {
                    let moment = if self.has(WalkGuard::AsOfReading) { read_at } else { after.now };
                    if let Some(at) = moment.checked_sub(self.age()) {
                        after.position = after.walkers[place].after.max((at, 0));
                    }
                    after.walkers.remove(place);
                }),
            }
        }
        steps
    }

    fn check(&self, state: &State) -> Result<(), String> {
        let left = self.recovered(state).holds.iter().flatten().any(|hold| !hold.settled);
        if left { Err("a hold without an order stays behind the position".to_owned()) } else { Ok(()) }
    }

    fn describe_step(&self, step: &Step) -> String {
        match step {
            Step::Tick => "the clock ticks".to_owned(),
            Step::Begin(id) => format!("hold {id} begins"),
            Step::Commit(id) => format!("hold {id} commits"),
            Step::Replicate => "all that is committed reaches a majority".to_owned(),
            Step::Walk => "a walk begins".to_owned(),
            Step::Read(Some(id)) => format!("a walk reads hold {id}"),
            Step::Read(None) => "a walk reads the end".to_owned(),
            Step::Settle(id) => format!("a walk settles hold {id}"),
            Step::Fail(id) => format!("a walk cannot settle hold {id}"),
            Step::Retry(id) => format!("hold {id}, which was set aside, is settled"),
            Step::End => "a walk ends and saves".to_owned(),
        }
    }

    fn describe_state(&self, state: &State) -> String {
        let hold = |(id, hold): (usize, &Option<Hold>)| {
            let Hold { at, write, settled } = (*hold)?;
            let how = if settled { "settled".to_owned() } else { format!("{write:?}") };
            Some(format!("hold {id} of {at} {how}"))
        };
        let holds: Vec<_> = state.holds.iter().enumerate().filter_map(hold).collect();
        format!("now {}, position {:?} | {}", state.now, state.position, holds.join(", "))
    }
}
