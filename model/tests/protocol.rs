//! Search of the whole protocol within a bound: none of its promises can be broken.
//!
//! The short form takes seconds; the long form, with `--ignored`, takes minutes and some gigabytes of memory.
//! With `--nocapture` each search prints its bound and its figures.

#![expect(clippy::print_stdout, reason = "the figures of a search are its result")]
#![expect(clippy::panic, reason = "a test that finds a violation has failed")]

use model::explorer::{Explored, Model, explore};
use model::journal::Journal;
use model::money::Money;
use model::parts::Parts;
use model::progress::{BOUND, Progress, THINGS};
use model::scenario::{Scenario, Size};
use model::steps::Protocol;
use model::walk::Walk;

/// Number of states that fit into the memory of a small machine.
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
fn one_key_has_one_order_despite_duplicates_and_a_rival() {
    search(Scenario::one_key(Size::Short));
}

#[test]
fn a_placing_that_gives_up_leaves_nothing_and_can_be_retried() {
    search(Scenario::giving_up(Size::Short));
}

#[test]
fn a_key_that_is_sent_hours_later_gets_the_same_answer() {
    search(Scenario::hours_later(Size::Short));
}

#[test]
fn an_order_holds_just_what_was_ordered_despite_races() {
    search(Scenario::changes(Size::Short));
}

#[test]
fn an_order_is_shipped_once_and_restocked_once() {
    search(Scenario::life(Size::Short));
}

#[test]
fn no_hold_stays_behind_the_saved_position() {
    finds_nothing("the walk", "2 holds, 2 walks, 6 ticks", &Walk::default());
}

#[test]
fn holds_with_a_journal_are_as_declared() {
    journals(false);
}

fn journals(long: bool) {
    for journal in Journal::all(long) {
        finds_nothing(journal.name, &journal.bound(), &journal);
    }
}

#[test]
fn each_payment_and_refund_is_there_once_despite_races() {
    money(false);
}

fn money(long: bool) {
    for money in Money::all(long) {
        finds_nothing(money.name, &money.bound(), &money);
    }
}

#[test]
fn parts_of_orders_move_once_despite_races() {
    parts(false);
}

fn parts(long: bool) {
    for parts in Parts::all(long) {
        finds_nothing(parts.name, &parts.bound(), &parts);
    }
}

#[test]
fn everything_healthy_is_done_within_a_few_runs() {
    beside_broken_things(1);
}

/// Searches with each choice of up to so many things that always fail.
fn beside_broken_things(most: u32) {
    for broken in (0..1_u32 << THINGS).filter(|broken| broken.count_ones() <= most) {
        let broken = std::array::from_fn(|place| broken & (1 << place) != 0);
        let model = Progress { broken, ..Progress::default() };
        finds_nothing("progress", &format!("{BOUND} runs, broken: {broken:?}"), &model);
    }
}

#[test]
fn a_job_with_too_much_to_do_starves_no_other() {
    let model = Progress { overloaded: true, ..Progress::default() };
    let explored = explore(&model, LIMIT);
    assert!(explored.counterexample.is_none(), "{:?}", explored.counterexample);
}

#[test]
#[ignore = "takes minutes and gigabytes"]
fn a_longer_search_finds_nothing_either() {
    Scenario::all(Size::Long).into_iter().for_each(search);
    beside_broken_things(u32::MAX);
    journals(true);
    money(true);
    parts(true);
}
