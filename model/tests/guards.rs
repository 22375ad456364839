//! Every guard of the protocol is needed: without it the search finds what breaks. A model that finds nothing
//! proves nothing unless it would.
//!
//! With `--nocapture` each tells what breaks and how; `SHOW` names a guard whose way there is printed.

#![expect(clippy::print_stdout, reason = "what a guard prevents is worth reading")]
#![expect(clippy::panic, reason = "a test that finds what it should not has failed")]

use model::explorer::{Model, explore};
use model::guards::Guard;
use model::scenario::Scenario;
use model::steps::Protocol;
use model::walk::{Walk, WalkGuard};

/// More states than any guard needs to be missed.
const LIMIT: usize = 3_000_000;

/// What breaks without it.
fn missed(guard: impl std::fmt::Debug, model: &impl Model) -> String {
    let guard = format!("{guard:?}");
    let explored = explore(model, LIMIT);
    let Some(found) = explored.counterexample else {
        panic!("without {guard} nothing is found in {} states", explored.states)
    };
    println!("| {guard} | {} | {} | {} |", found.violation, found.trace.len(), explored.states);
    if std::env::var("SHOW").is_ok_and(|shown| shown == guard) {
        println!("{found}");
    }
    found.violation
}

#[test]
fn without_any_one_guard_something_breaks() {
    println!("| without | what breaks | steps | states |\n| --- | --- | --- | --- |");
    for guard in Guard::ALL {
        missed(guard, &Protocol::without(Scenario::that_misses(guard), guard));
    }
}

#[test]
fn without_any_one_guard_of_the_walk_a_hold_is_passed_over() {
    for guard in WalkGuard::ALL {
        missed(guard, &Walk { without: Some(guard) });
    }
}
