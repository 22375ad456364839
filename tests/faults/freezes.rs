//! Functions that stop between requests (SIGSTOP), as Lambda stops them, and whose connections end meanwhile: the
//! first request after that succeeds.

use tests::proxy::Cut;

use crate::fixture::{Fixture, Step};
use crate::report::{Report, seeds};

/// The life of an order, each step of which is the first request after a freeze.
const LIFE: [Step; 6] =
    [Step::Place("a"), Step::ChangeItems, Step::Pay, Step::Ship, Step::Deliver, Step::Return];

/// The same of one that is shipped and taken back in parts.
const IN_PARTS: [Step; 7] = [
    Step::Place("a"),
    Step::Pay,
    Step::ShipUnits,
    Step::CancelFulfillment,
    Step::Ship,
    Step::SendBack,
    Step::Receive,
];

/// The same of one that is cancelled.
const CANCELLED: [Step; 2] = [Step::PlaceOneLine("a"), Step::Cancel];

#[tokio::test]
async fn the_first_request_after_a_freeze_succeeds_whatever_its_connections_have_come_to() {
    let fixture = Fixture::open().await;
    let mut report = Report::of("freezes", "the_first_request_after_a_freeze");
    let begin = fixture.snapshot().await;
    for seed in seeds() {
        for cut in [None, Some(Cut::Closed), Some(Cut::Reset)] {
            for life in [&LIFE[..], &CANCELLED, &IN_PARTS] {
                // Once without a freeze: what the states are to be.
                fixture.begin(&begin).await;
                let mut order = String::new();
                let mut states = Vec::new();
                for step in life {
                    let answer = fixture.does(*step, &order).await.unwrap();
                    order = step.order_of(&answer, &order);
                    states.push(fixture.state().await);
                }

                let case = format!("{life:?}, connections: {cut:?}");
                if !report.runs(&case) {
                    continue;
                }
                fixture.begin(&begin).await;
                let pids = || ["orders", "products"].map(|it| fixture.shop.lambda.environments(it)[0].pid());
                let before = pids();
                let mut order = String::new();
                for (step, state) in life.iter().zip(states) {
                    fixture.shop.lambda.freeze().await;
                    if let Some(cut) = cut {
                        for (_, proxy) in &fixture.proxies {
                            proxy.cut(cut);
                        }
                    }
                    report.faults(1);
                    match fixture.does(*step, &order).await {
                        Ok(answer) if answer.status.is_success() => order = step.order_of(&answer, &order),
                        answer => {
                            report.violation(seed, &case, format!("{step:?} after a freeze: {answer:?}"));
                            break;
                        }
                    }
                    report.compare(seed, &case, "the state", &fixture.state().await, &state);
                }
                assert_eq!(pids(), before, "another process has stood in");
                for violation in fixture.violations().await {
                    report.violation(seed, &case, violation);
                }
            }
        }
    }
    report.ends();
}
