//! The whole protocol, searched to the end of a bound: nothing that it promises can be broken.
//!
//! The short form takes seconds; the long form, with `--ignored`, minutes and some gigabytes of memory.
//! With `--nocapture` each search tells its bound and its figures.

#![expect(clippy::print_stdout, reason = "the figures of a search are its result, for who asks for them")]
#![expect(clippy::panic, reason = "a test that finds what it should not has failed")]

use model::explorer::{Explored, Model, explore};
use model::scenario::{Scenario, Size};
use model::steps::Protocol;
use model::walk::Walk;

/// So many states fit into the memory of a small machine.
const LIMIT: usize = 60_000_000;

fn finds_nothing(name: &str, bound: &str, model: &impl Model) {
    let Explored { states, steps, depth, took, counterexample } = explore(model, LIMIT);
    println!("{name}: {bound}: {states} states, {steps} steps, depth {depth}, {:.1} s", took.as_secs_f64());
    if let Some(counterexample) = counterexample {
        panic!("{name}: {counterexample}");
    }
    assert!(states > 1000, "{name}: a search of {states} states has not searched");
}

fn search(scenario: Scenario) {
    finds_nothing(scenario.name, &scenario.bound(), &Protocol::new(scenario.clone()));
}

#[test]
fn one_key_has_one_order_whatever_two_bodies_twins_and_a_rival_do() {
    search(Scenario::one_key(Size::Short));
}

#[test]
fn a_placing_that_is_given_up_leaves_nothing_and_can_be_sent_again() {
    search(Scenario::giving_up(Size::Short));
}

#[test]
fn a_key_that_is_sent_again_hours_later_is_answered_as_before() {
    search(Scenario::hours_later(Size::Short));
}

#[test]
fn an_order_holds_just_what_was_ordered_however_changes_race() {
    search(Scenario::changes(Size::Short));
}

#[test]
fn an_order_is_shipped_once_and_restocked_once_in_its_whole_life() {
    search(Scenario::life(Size::Short));
}

#[test]
fn no_hold_stays_behind_the_watermark() {
    finds_nothing("the walk", "3 holds, 2 walks, 4 ticks", &Walk::default());
}

#[test]
#[ignore = "takes minutes and gigabytes"]
fn a_longer_search_finds_nothing_either() {
    Scenario::all(Size::Long).into_iter().for_each(search);
}
