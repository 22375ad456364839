//! Calls that come several times, late, and in any order: whatever comes of them, the state is that of one delivery.

use std::pin::pin;

use rand::Rng as _;
use rand::seq::SliceRandom as _;
use serde_json::Value;
use tests::lambda::{Call, Fault};

use crate::fixture::{Fixture, Snapshot, State, Step};
use crate::report::{Report, choices, is_long, seeds};

/// Maximum number of deliveries of a call.
const TIMES: u32 = 5;

/// In how many orders all calls are delivered again after a step.
const ORDERS: usize = 3;

/// The same in a long run.
const MANY_ORDERS: usize = 20;

/// The lives of an order that make every kind of call: to the end, to its cancellation, to that of one line, and in parts.
const LIVES: [&[Step]; 4] = [
    &[Step::Place("a"), Step::ChangeItems, Step::Pay, Step::Ship, Step::Deliver, Step::Return],
    &[Step::Place("a"), Step::ChangeItems, Step::Cancel],
    &[Step::PlaceOneLine("a"), Step::Pay, Step::Cancel],
    &[
        Step::Place("a"),
        Step::Pay,
        Step::ShipUnits,
        Step::CancelFulfillment,
        Step::CancelUnits,
        Step::Ship,
        Step::SendBack,
        Step::Receive,
    ],
];

/// A life as it is when every call is delivered once.
struct Life {
    steps: &'static [Step],
    /// The state after each step.
    states: Vec<State>,
    /// Step that made each call, and the number of earlier calls of its method.
    calls: Vec<(usize, Call, u64)>,
}

/// A shop, and its data before an order's life.
struct Stage {
    fixture: Fixture,
    begin: Snapshot,
    lives: Vec<Life>,
}

impl Stage {
    async fn open() -> Self {
        let fixture = Fixture::open().await;
        let begin = fixture.snapshot().await;
        let mut lives = Vec::new();
        for steps in LIVES {
            fixture.begin(&begin).await;
            let (mut states, mut calls, mut order) =
                (Vec::new(), Vec::<(usize, Call, u64)>::new(), String::new());
            for (place, step) in steps.iter().enumerate() {
                order = must(&fixture, *step, &order, "recording").await;
                states.push(fixture.state().await);
                for call in fixture.shop.lambda.calls().into_iter().skip(calls.len()) {
                    let before = calls.iter().filter(|(_, it, _)| it.method == call.method).count();
                    calls.push((place, call, u64::try_from(before).unwrap()));
                }
            }
            assert_eq!(fixture.violations().await, Vec::<String>::new());
            assert!(calls.len() > 1, "{steps:?}");
            lives.push(Life { steps, states, calls });
        }
        Self { fixture, begin, lives }
    }
}

/// Does a step of a case that must succeed at once.
async fn must(fixture: &Fixture, step: Step, order: &str, case: &str) -> String {
    let answer = fixture.does(step, order).await.unwrap();
    assert!(answer.status.is_success(), "OMS_CASE='{case}', {step:?}: {answer:?}");
    step.order_of(&answer, order)
}

#[tokio::test]
async fn a_call_that_is_delivered_several_times_has_one_effect() {
    let stage = Stage::open().await;
    let fixture = &stage.fixture;
    let mut report = Report::of("deliveries: one to five times", "a_call_that_is_delivered_several_times");
    let seed = seeds().start;
    for life in &stage.lives {
        for (_, call, before) in &life.calls {
            for times in 1..=TIMES {
                let case = format!("{:?}: {} {} times {times}", life.steps, call.method, before + 1);
                if !report.runs(&case) {
                    continue;
                }
                fixture.begin(&stage.begin).await;
                let on_call = || fixture.shop.lambda.on_call(&call.function, &call.method);
                let passing = on_call().times(*before, Fault::Repeat(1));
                let repeated = on_call().once(Fault::Repeat(times));
                let mut order = String::new();
                for (place, step) in life.steps.iter().enumerate() {
                    order = must(fixture, *step, &order, &case).await;
                    let what = format!("the state after {step:?}");
                    report.compare(seed, &case, &what, &fixture.state().await, &life.states[place]);
                }
                passing.lift();
                assert_eq!(repeated.struck(), 1, "{case}");
                report.faults(1);
                for violation in fixture.violations().await {
                    report.violation(seed, &case, violation);
                }
            }
        }
    }
    report.ends();
}

#[tokio::test]
async fn a_call_whose_caller_has_died_changes_nothing_however_late_it_arrives() {
    let stage = Stage::open().await;
    let fixture = &stage.fixture;
    let mut report = Report::of("deliveries: late", "a_call_whose_caller_has_died");
    let seed = seeds().start;
    for life in &stage.lives {
        for (made_by, call, before) in &life.calls {
            for arrives_after in *made_by..life.steps.len() {
                let after = life.steps[arrives_after];
                let case = format!("{:?}: {} {} after {after:?}", life.steps, call.method, before + 1);
                if !report.runs(&case) {
                    continue;
                }
                fixture.begin(&stage.begin).await;
                let on_call = || fixture.shop.lambda.on_call(&call.function, &call.method);
                let passing = on_call().times(*before, Fault::Repeat(1));
                let mut order = String::new();
                let mut late = None;
                for (place, step) in life.steps.iter().enumerate() {
                    if place == *made_by {
                        let calls = on_call().hold();
                        let mut asking = pin!(fixture.does(*step, &order));
                        let mut held = tokio::select! {
                            held = calls.next() => held,
                            answer = &mut asking => panic!("{case}: not called: {answer:?}"),
                        };
                        calls.lift();
                        fixture.kill("orders").await;
                        held.caller_gives_up().await;
                        assert!(!asking.await.is_ok_and(|answer| answer.status.is_success()), "{case}");
                        late = Some(held);
                        report.faults(1);
                    }
                    order = must(fixture, *step, &order, &case).await;
                    if place == arrives_after
                        && let Some(late) = late.take()
                    {
                        late.deliver().await;
                    }
                    if place >= arrives_after {
                        let what = format!("the state after {step:?}");
                        report.compare(seed, &case, &what, &fixture.state().await, &life.states[place]);
                    }
                }
                passing.lift();
                for violation in fixture.violations().await {
                    report.violation(seed, &case, violation);
                }
            }
        }
    }
    report.ends();
}

#[tokio::test]
async fn calls_that_come_again_in_any_order_change_nothing() {
    let stage = Stage::open().await;
    let fixture = &stage.fixture;
    let mut report = Report::of("deliveries: again, in any order", "calls_that_come_again_in_any_order");
    for seed in seeds() {
        for life in &stage.lives {
            let case = format!("{:?}", life.steps);
            if !report.runs(&case) {
                continue;
            }
            let mut choices = choices(seed, &case);
            fixture.begin(&stage.begin).await;
            let mut order = String::new();
            for step in life.steps {
                order = must(fixture, *step, &order, &case).await;
                let state = fixture.state().await;
                for _ in 0..if is_long() { MANY_ORDERS } else { ORDERS } {
                    let mut again: Vec<Call> = Vec::new();
                    // Those that come again are in the recording too: of each, one is enough.
                    let mut known = std::collections::HashSet::new();
                    let calls = fixture.shop.lambda.calls();
                    for call in calls.into_iter().filter(|call| known.insert(call.payload.clone())) {
                        let times = choices.random_range(1..=TIMES);
                        again.extend((0..times).map(|_| call.clone()));
                    }
                    again.shuffle(&mut choices);
                    let delivered: Vec<String> = again.iter().map(|call| call.method.clone()).collect();
                    for call in again {
                        report.faults(1);
                        let status = deliver(fixture, &call).await;
                        // Done, or refused since a later one has been there: not too late, and not broken.
                        if !matches!(status.as_str(), "0" | "9" | "10") {
                            let what = format!("{} again after {step:?}: {status}", call.method);
                            report.violation(seed, &case, what);
                        }
                    }
                    let what = format!("after {step:?} and again {delivered:?}");
                    report.compare(seed, &case, &what, &fixture.state().await, &state);
                }
            }
            for violation in fixture.violations().await {
                report.violation(seed, &case, violation);
            }
        }
    }
    report.ends();
}

/// Delivers a call once more, and tells its gRPC status.
async fn deliver(fixture: &Fixture, call: &Call) -> String {
    let lambda = &fixture.shop.lambda;
    let url = format!("{}/2015-03-31/functions/{}/invocations", lambda.endpoint, call.function);
    let answer = reqwest::Client::new().post(url).body(call.payload.clone()).send().await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    let headers = ["headers", "trailers"].map(|part| answer["grpc"][part].as_array().cloned());
    let mut headers = headers.into_iter().flatten().flatten();
    let status = headers.find(|header| header[0] == "grpc-status");
    status.and_then(|status| status[1].as_str().map(str::to_owned)).unwrap_or_else(|| answer.to_string())
}
