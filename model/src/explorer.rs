//! Walks through every state that a model can reach, breadth first, and tells the shortest way to a bad one.
//! Knows nothing of orders.
//!
//! A state that was met is remembered by 64 bits of its hash. Two states may share them, and then one is not
//! looked at: with ten million states the chance of even one such pair is below 1 in 300,000.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::fmt::{self, Display};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::time::{Duration, Instant};

/// What can be searched through.
pub trait Model {
    /// Everything that there is at one moment.
    type State: Clone + Eq + Hash;
    /// What somebody does.
    type Step;

    /// Where it begins.
    fn initial(&self) -> Self::State;

    /// Every step that is possible now, with what comes of it.
    fn successors(&self, state: &Self::State) -> Vec<(Self::Step, Self::State)>;

    /// Judges a state.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check(&self, state: &Self::State) -> Result<(), String>;

    /// A step in one line, for people.
    fn tell(&self, step: &Self::Step) -> String;

    /// A state in one line, for people.
    fn describe(&self, state: &Self::State) -> String;
}

/// What a search found.
#[derive(Debug)]
pub struct Explored {
    /// How many different states were met.
    pub states: usize,
    /// How many steps lie between them.
    pub steps: usize,
    /// The number of steps to the state that is farthest from the beginning.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// The shortest way to a state that is wrong, if there is one.
    pub counterexample: Option<Counterexample>,
}

/// A way to a state that is wrong.
#[derive(Debug)]
pub struct Counterexample {
    /// What is wrong.
    pub violation: String,
    /// The steps, each with the state that it leads to.
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

/// How a state was first reached: from which one, and by which of the steps that were possible there.
#[derive(Clone, Copy)]
struct Origin {
    parent: u32,
    choice: u16,
}

/// Walks through all states, or up to the first that is wrong. `limit` is the most states to look at.
///
/// # Panics
/// When there are more states than `limit`: a search that does not end proves nothing.
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

/// Takes the steps to a state once more, to tell them.
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
        trace.push((model.tell(&step), model.describe(&successor)));
        state = successor;
    }
    trace
}

fn fingerprint(state: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

/// Fingerprints are hashes already: to hash them again would only take time.
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
