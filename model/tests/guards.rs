//! Every guard of the protocol is needed: without it the search finds a violation. Otherwise finding nothing
//! would prove nothing.
//!
//! With `--nocapture` each guard prints its violation; `SHOW` names a guard whose counterexample is printed.

#![expect(clippy::print_stdout, reason = "the violation that a guard prevents is the result of the test")]
#![expect(clippy::panic, reason = "a test that finds no violation has failed")]

use model::explorer::{Model, explore};
use model::guards::Guard;
use model::journal::{Journal, JournalGuard};
use model::money::{Expectation, Money, MoneyGuard};
use model::parts::{Parts, PartsGuard};
use model::progress::{Progress, ProgressGuard, THINGS};
use model::scenario::Scenario;
use model::steps::Protocol;
use model::walk::{Walk, WalkGuard};

/// More states than any search without a guard needs.
const LIMIT: usize = 3_000_000;

/// Searches without a guard, and returns the violation.
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
fn a_search_without_any_one_guard_finds_a_violation() {
    println!("| without | what breaks | steps | states |\n| --- | --- | --- | --- |");
    for guard in Guard::ALL {
        missed(guard, &Protocol::without(Scenario::that_misses(guard), guard));
    }
}

#[test]
fn a_walk_without_any_one_guard_misses_a_hold() {
    for guard in WalkGuard::ALL {
        missed(guard, &Walk { without: Some(guard) });
    }
}

#[test]
fn jobs_without_any_one_guard_leave_something_undone() {
    for guard in ProgressGuard::ALL {
        let overloaded = guard == ProgressGuard::Shares;
        let mut broken = [false; THINGS];
        // The things that a scan meets first.
        broken[..3].fill(!overloaded);
        missed(guard, &Progress { broken, overloaded, without: Some(guard) });
    }
}

#[test]
fn a_journal_without_any_one_guard_is_wrong() {
    for guard in JournalGuard::ALL {
        missed(guard, &Journal::that_misses(guard));
    }
}

#[test]
fn money_without_any_one_guard_is_lost_or_doubled() {
    for guard in MoneyGuard::ALL {
        missed(guard, &Money::that_misses(guard));
    }
}

#[test]
fn parts_without_any_one_guard_are_lost_or_doubled() {
    for guard in PartsGuard::ALL {
        missed(guard, &Parts::that_misses(guard));
    }
}

#[test]
fn what_the_interface_says_of_money_has_consequences() {
    for expectation in Expectation::ALL {
        missed(expectation, &Money::that_fails(expectation));
    }
}
