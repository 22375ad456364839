//! Breadth-first search through every reachable state of a model. It returns the shortest path to a
//! violation, and knows nothing of orders.
//!
//! A visited state is remembered by 64 bits of its hash. Two states may share a hash, and then one is not
//! visited: with ten million states the chance of even one such pair is below 1 in 300,000.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::fmt::{self, Display};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::time::{Duration, Instant};

/// Model that can be searched.
pub trait Model {
    /// Complete state at one moment.
    type State: Clone + Eq + Hash;
    /// Transition between two states.
    type Step;

    /// Returns the initial state.
    fn initial(&self) -> Self::State;

    /// Returns every possible step, with the state that it leads to.
    fn successors(&self, state: &Self::State) -> Vec<(Self::Step, Self::State)>;

    /// Checks the invariants of a state.
    ///
    /// # Errors
    /// Names the invariant that is violated.
    fn check(&self, state: &Self::State) -> Result<(), String>;

    /// Describes a step in one line.
    fn describe_step(&self, step: &Self::Step) -> String;

    /// Describes a state in one line.
    fn describe_state(&self, state: &Self::State) -> String;
}

/// Result of a search.
#[derive(Debug)]
pub struct Explored {
    /// Number of distinct states.
    pub states: usize,
    /// Number of steps between them.
    pub steps: usize,
    /// Number of steps to the state farthest from the initial one.
    pub depth: usize,
    /// Duration of the search.
    pub took: Duration,
    /// Shortest path to a state that violates an invariant, if there is one.
    pub counterexample: Option<Counterexample>,
}

/// Path to a state that violates an invariant.
#[derive(Debug)]
pub struct Counterexample {
    /// Violated invariant.
    pub violation: String,
    /// Steps, each with the state that it leads to.
    pub trace: Vec<(String, String)>,
}

impl Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} after {} steps:", self.violation, self.trace.len())?;
        for (number, (step, state)) in self.trace.iter().enumerate() {
            writeln!(f, "{:>3}. {step}\n       {state}", number + 1)?;
        }
        Ok(())
    }
}

/// First predecessor of a state, and the index of the step that was taken there.
#[derive(Clone, Copy)]
struct Origin {
    parent: u32,
    choice: u16,
}

/// Searches all states, or up to the first violation. `limit` is the maximum number of states.
///
/// # Panics
/// If there are more states than `limit`: an unfinished search proves nothing.
pub fn explore<M: Model>(model: &M, limit: usize) -> Explored {
    let begun = Instant::now();
    let mut seen: HashSet<u64, BuildHasherDefault<Fingerprint>> = HashSet::default();
    let mut origins: Vec<Origin> = Vec::new();
    let mut explored = Explored { states: 0, steps: 0, depth: 0, took: Duration::ZERO, counterexample: None };

    let initial = model.initial();
    seen.insert(fingerprint(&initial));
    origins.push(Origin { parent: 0, choice: 0 });
    let mut violated = model.check(&initial).err().map(|violation| (0, violation));
    let mut layer = vec![(0_u32, initial)];
    'search: while violated.is_none() && !layer.is_empty() {
        let mut next = Vec::new();
        for (parent, state) in layer {
            for (choice, (_, successor)) in model.successors(&state).into_iter().enumerate() {
                explored.steps += 1;
                if !seen.insert(fingerprint(&successor)) {
                    continue;
                }
                let index = origins.len();
                assert!(index < limit, "more than {limit} states");
                origins.push(Origin { parent, choice: choice as u16 });
                if let Err(violation) = model.check(&successor) {
                    violated = Some((index, violation));
                    break 'search;
                }
                next.push((index as u32, successor));
            }
        }
        explored.depth += usize::from(!next.is_empty());
        layer = next;
    }
    explored.states = origins.len();
    explored.counterexample = violated.map(|(index, violation)| {
        let trace = retrace(model, &origins, index);
        Counterexample { violation, trace }
    });
    explored.took = begun.elapsed();
    explored
}

/// Repeats the steps to a state, to describe them.
fn retrace<M: Model>(model: &M, origins: &[Origin], mut index: usize) -> Vec<(String, String)> {
    let mut choices = Vec::new();
    while index > 0 {
        choices.push(origins[index].choice);
        index = origins[index].parent as usize;
    }
    let mut state = model.initial();
    let mut trace = Vec::new();
    for choice in choices.into_iter().rev() {
        let Some((step, successor)) = model.successors(&state).into_iter().nth(choice.into()) else { break };
        trace.push((model.describe_step(&step), model.describe_state(&successor)));
        state = successor;
    }
    trace
}

fn fingerprint(state: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

/// Identity hasher: fingerprints are hashes already, and a second hash would only take time.
#[derive(Default)]
struct Fingerprint(u64);

impl Hasher for Fingerprint {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, fingerprint: u64) {
        self.0 = fingerprint;
    }
}
