//! Progress of Reconcile under a budget: a model of its own. It asks for liveness: everything that can be done
//! is done within a bounded number of runs.
//!
//! A run has a budget of steps. Each job gets an equal share of what is left; what it does not need goes on to
//! the others. A job spends up to half of its share on what was set aside and is due again, and the rest on
//! its scan. In the code the two run side by side, and each keeps places for the other. The scan continues at its saved position, and begins anew after its end.
//!
//! Looking at a thing takes a step. A healthy thing is done in it. A broken thing takes all the time that it
//! can get, as a call without an answer does, and is set aside, at first for one run and then for two. The scan passes
//! over it meanwhile, which takes a step too.
//!
//! Things become due at any moment. A run may crash after any step.

use crate::explorer::Model;

/// Number of jobs.
const JOBS: usize = 2;

/// Things of the first job, in the order of its scan. The second job has the last thing.
const FIRST: usize = 4;

/// Number of things.
pub const THINGS: usize = FIRST + 1;

/// Steps of a run.
const BUDGET: u8 = 4;

/// Longest delay, in runs.
const LONGEST: u8 = 2;

/// Number of runs that may crash.
const CRASHES: u8 = 1;

/// Number of runs within which a healthy thing must be done.
pub const BOUND: u8 = 5;

/// Things that a scan without [`ProgressGuard::NoLookingBack`] sees again.
const LOOKING_BACK: usize = 3;

/// Part of the rules that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProgressGuard {
    /// A run continues where the last one stopped. Without: each scan starts over.
    Position,
    /// The position is saved as the scan goes on. Without: at its end.
    SavedOften,
    /// A scan begins at its position. Without: some things before it.
    NoLookingBack,
    /// A job goes on after a failure. Without: it ends, and the next run meets the same thing first.
    GoesOn,
    /// Work that was set aside gets half of a share. Without: all of it.
    Half,
    /// A job gets its share of the budget. Without: the first job may use all of it.
    Shares,
}

impl ProgressGuard {
    /// All guards.
    pub const ALL: [Self; 6] =
        [Self::Position, Self::SavedOften, Self::NoLookingBack, Self::GoesOn, Self::Half, Self::Shares];
}

/// Model of the jobs, perhaps with a guard left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Things that always fail.
    pub broken: [bool; THINGS],
    /// True if the first job has more to do than its share at every run. Then only the second is judged.
    pub overloaded: bool,
    /// Guard that is left out.
    pub without: Option<ProgressGuard>,
}

/// State of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Thing {
    /// Not due yet, or done.
    Quiet,
    /// Due for so many runs.
    Due {
        /// Number of runs since then.
        runs: u8,
        /// Number of failed attempts, and of runs until the next one.
        set_aside: Option<(u8, u8)>,
    },
}

/// State between two runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    things: [Thing; THINGS],
    /// Things that have been due once.
    arrived: [bool; THINGS],
    /// Saved position of each scan: the next thing to look at.
    positions: [usize; JOBS],
    crashes: u8,
}

/// Possible step.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// A thing becomes due.
    Arrive(usize),
    /// A run, which crashes after so many steps, or not at all.
    Run(Option<u8>),
}

/// Steps that are left: to the portion of a turn, to the whole run, and until a crash.
struct Budget {
    portion: u8,
    run: u8,
    crash: u8,
}

impl Budget {
    /// Takes a step. Returns false if there is none left.
    fn step(&mut self) -> bool {
        if self.portion == 0 || self.crash == 0 {
            return false;
        }
        self.spend(1);
        true
    }

    fn spend(&mut self, steps: u8) {
        let steps = steps.min(self.portion).min(self.run);
        self.portion -= steps;
        self.run -= steps;
        self.crash = self.crash.saturating_sub(steps);
    }
}

fn things_of(job: usize) -> std::ops::Range<usize> {
    if job == 0 { 0..FIRST } else { FIRST..THINGS }
}

impl Progress {
    fn has(self, guard: ProgressGuard) -> bool {
        self.without != Some(guard)
    }

    /// Tries a thing. Returns false if the job ends with it.
    fn attempt(self, state: &mut State, place: usize, budget: &mut Budget) -> bool {
        let Thing::Due { runs, set_aside } = state.things[place] else { return true };
        if !self.broken[place] {
            state.things[place] = Thing::Quiet;
            return true;
        }
        // It takes all that is left of this portion.
        budget.spend(budget.portion);
        if !self.has(ProgressGuard::GoesOn) {
            return false;
        }
        if budget.crash > 0 {
            let attempts = set_aside.map_or(1, |(attempts, _)| (attempts + 1).min(LONGEST));
            let wait = LONGEST.min(1 << (attempts - 1));
            state.things[place] = Thing::Due { runs, set_aside: Some((attempts, wait)) };
        }
        true
    }

    /// Tries again what was set aside and is due, the longest waiting first.
    fn retry(self, state: &mut State, job: usize, budget: &mut Budget) {
        let is_due = |thing: &Thing| matches!(thing, Thing::Due { set_aside: Some((_, 0)), .. });
        for place in things_of(job) {
            if is_due(&state.things[place]) && (!budget.step() || !self.attempt(state, place, budget)) {
                return;
            }
        }
    }

    /// Scans from the position to the end. Returns true if it has come there.
    fn scan(self, state: &mut State, job: usize, budget: &mut Budget) -> bool {
        let things = things_of(job);
        let saved = if self.has(ProgressGuard::Position) { state.positions[job] } else { things.start };
        let back = if self.has(ProgressGuard::NoLookingBack) { 0 } else { LOOKING_BACK };
        let begin = saved.saturating_sub(back).max(things.start);
        // From the position to the end, and from the beginning to the position.
        for place in (begin..things.end).chain(things.start..begin) {
            let Thing::Due { set_aside, .. } = state.things[place] else { continue };
            if !budget.step() {
                return false;
            }
            if set_aside.is_none() && !self.attempt(state, place, budget) {
                return false;
            }
            if self.has(ProgressGuard::SavedOften) && budget.crash > 0 {
                state.positions[job] = place + 1;
            }
        }
        state.positions[job] = things.start;
        true
    }

    /// Gives a job its turn. Returns true if it has come to its end.
    fn turn(self, state: &mut State, job: usize, share: u8, budget: &mut Budget) -> bool {
        let half = if self.has(ProgressGuard::Half) { share / 2 } else { share };
        budget.portion = half;
        self.retry(state, job, budget);
        budget.portion += share - half;
        self.scan(state, job, budget)
    }

    fn run(self, state: &State, crash: Option<u8>) -> State {
        let mut state = state.clone();
        for thing in &mut state.things {
            if let Thing::Due { runs, set_aside } = thing {
                *runs = (*runs + 1).min(BOUND + 1);
                if let Some((_, wait)) = set_aside {
                    *wait = wait.saturating_sub(1);
                }
            }
        }
        if self.overloaded {
            for place in things_of(0) {
                state.things[place] = Thing::Due { runs: 0, set_aside: None };
            }
        }
        let mut budget = Budget { portion: 0, run: BUDGET, crash: crash.unwrap_or(u8::MAX) };
        let mut open: Vec<usize> = (0..JOBS).collect();
        while !open.is_empty() && budget.run > 0 && budget.crash > 0 {
            let before = budget.run;
            let mut again = Vec::new();
            for (place, job) in open.iter().enumerate() {
                let jobs = u8::try_from(open.len() - place).unwrap_or(u8::MAX);
                let share =
                    if self.has(ProgressGuard::Shares) { budget.run.div_ceil(jobs) } else { budget.run };
                if !self.turn(&mut state, *job, share, &mut budget) {
                    again.push(*job);
                }
            }
            if budget.run == before {
                break;
            }
            open = again;
        }
        state
    }
}

impl Model for Progress {
    type State = State;
    type Step = Step;

    fn initial(&self) -> State {
        State {
            things: [Thing::Quiet; THINGS],
            arrived: [false; THINGS],
            positions: [0, FIRST],
            crashes: CRASHES,
        }
    }

    fn successors(&self, state: &State) -> Vec<(Step, State)> {
        let mut steps = Vec::new();
        for place in (0..THINGS).filter(|place| !state.arrived[*place]) {
            let mut after = state.clone();
            after.arrived[place] = true;
            after.things[place] = Thing::Due { runs: 0, set_aside: None };
            steps.push((Step::Arrive(place), after));
        }
        steps.push((Step::Run(None), self.run(state, None)));
        if state.crashes > 0 {
            for crash in 0..BUDGET {
                let mut after = self.run(state, Some(crash));
                after.crashes -= 1;
                steps.push((Step::Run(Some(crash)), after));
            }
        }
        steps
    }

    fn check(&self, state: &State) -> Result<(), String> {
        let judged = if self.overloaded { FIRST..THINGS } else { 0..THINGS };
        let late = |place: &usize| matches!(state.things[*place], Thing::Due { runs, .. } if runs > BOUND);
        match judged.filter(|place| !self.broken[*place]).find(late) {
            Some(place) => Err(format!("thing {place} is not done after {BOUND} runs")),
            None => Ok(()),
        }
    }

    fn describe_step(&self, step: &Step) -> String {
        match step {
            Step::Arrive(place) => format!("thing {place} becomes due"),
            Step::Run(None) => "a run".to_owned(),
            Step::Run(Some(crash)) => format!("a run that crashes after {crash} steps"),
        }
    }

    fn describe_state(&self, state: &State) -> String {
        let thing = |(place, thing): (usize, &Thing)| match thing {
            Thing::Quiet => None,
            Thing::Due { runs, set_aside } => {
                let broken = if self.broken[place] { "broken " } else { "" };
                let aside = set_aside.map_or(String::new(), |(_, wait)| format!(", next try in {wait}"));
                Some(format!("{broken}thing {place} due for {runs} runs{aside}"))
            }
        };
        let things: Vec<_> = state.things.iter().enumerate().filter_map(thing).collect();
        format!("positions {:?} | {}", state.positions, things.join(", "))
    }
}
