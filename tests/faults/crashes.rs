//! Crashes: the process of a function is killed before and after every command that it sends to MongoDB and every
//! call that it is given. What these are is recorded from a run in which nothing goes wrong.

use std::fmt;
use std::pin::pin;

use mongodb::bson::{DateTime, doc};
use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use tests::lambda::Fault;
use tests::proxy::{Command, Moment};

use crate::fixture::{Fixture, OLD, Snapshot, State, Step};
use crate::report::{Report, choices, is_long, seeds};

/// Boundary at which a process is killed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Boundary {
    /// At a command of a function.
    Command { function: &'static str, command: Command, moment: Moment },
    /// At a call of this method, the first one being 1: the function that is called.
    Call { function: String, method: String, number: u64, moment: Moment },
    /// At the request itself: the orders function.
    Request { moment: Moment },
}

impl Boundary {
    fn moment(&self) -> Moment {
        match self {
            Self::Command { moment, .. } | Self::Call { moment, .. } | Self::Request { moment } => *moment,
        }
    }
}

impl fmt::Display for Boundary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command { function, command, moment } => write!(f, "{moment:?} {command} of {function}"),
            Self::Call { function, method, number, moment } => {
                write!(f, "{moment:?} call {number} of {function}, {method}")
            }
            Self::Request { moment } => write!(f, "{moment:?} the request"),
        }
    }
}

/// Operation that is crashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Step(Step),
    Reconcile,
}

/// Knowledge of the client after a crash.
#[derive(Debug)]
struct Known {
    /// That it is done.
    acknowledged: bool,
    /// The order that it is about.
    order: Option<String>,
    /// All that was said.
    said: String,
}

/// An act, where it begins, and how it ends when nothing goes wrong.
struct Play {
    fixture: Fixture,
    act: Act,
    order: String,
    begin: Snapshot,
    end: State,
    boundaries: Vec<Boundary>,
}

impl Play {
    /// Has the steps before it done, and records it.
    async fn open(before: &[Step], step: Step, stock: [(i64, i64); 3]) -> Self {
        let fixture = Fixture::open().await;
        let mut order = String::new();
        for step in before {
            let answer = fixture.does(*step, &order).await.unwrap();
            order = step.order_of(&answer, &order);
        }
        let begin = fixture.snapshot().await;
        let play = Self::record(fixture, Act::Step(step), order, begin).await;
        assert_eq!(play.end.stock, stock);
        play
    }

    async fn record(fixture: Fixture, act: Act, order: String, begin: Snapshot) -> Self {
        fixture.begin(&begin).await;
        let known = acts(&fixture, act, &order).await;
        assert!(known.acknowledged, "{known:?}");
        let mut boundaries = Vec::new();
        for moment in [Moment::Before, Moment::After] {
            for (function, proxy) in &fixture.proxies {
                let commands = proxy.commands().into_iter();
                boundaries.extend(commands.map(|command| Boundary::Command { function, command, moment }));
            }
            let calls = fixture.shop.lambda.calls();
            for (place, call) in calls.iter().enumerate() {
                let same = |it: &&tests::lambda::Call| it.method == call.method;
                let number = u64::try_from(calls[..=place].iter().filter(same).count()).unwrap();
                let (function, method) = (call.function.clone(), call.method.clone());
                boundaries.push(Boundary::Call { function, method, number, moment });
            }
            if act != Act::Reconcile {
                boundaries.push(Boundary::Request { moment });
            }
        }
        let end = fixture.state().await;
        assert_eq!(fixture.violations().await, Vec::<String>::new());
        Self { fixture, act, order, begin, end, boundaries }
    }

    /// Acts, and has a process killed meanwhile. Whether it came to that.
    async fn crashes(&self, boundary: &Boundary) -> (Known, bool) {
        let lambda = &self.fixture.shop.lambda;
        let fault = |moment: &Moment| match moment {
            Moment::Before => Fault::KillBefore,
            Moment::After => Fault::KillAfter,
        };
        match boundary {
            Boundary::Command { function, command, moment } => {
                let mut met = self.fixture.proxy(function).stop_at(command, *moment);
                let mut acting = pin!(acts(&self.fixture, self.act, &self.order));
                tokio::select! {
                    biased;
                    Ok(()) = &mut met => {
                        self.fixture.kill(function).await;
                        (acting.await, true)
                    }
                    known = &mut acting => (known, false),
                }
            }
            Boundary::Call { function, method, number, moment } => {
                let passing = lambda.on_call(function, method).times(number - 1, Fault::Repeat(1));
                let killed = lambda.on_call(function, method).once(fault(moment));
                let known = acts(&self.fixture, self.act, &self.order).await;
                passing.lift();
                killed.lift();
                (known, killed.struck() == 1)
            }
            Boundary::Request { moment } => {
                let (method, path) = match self.act {
                    Act::Step(step) => self.fixture.route(step, &self.order).await,
                    Act::Reconcile => unreachable!("it is no request"),
                };
                let killed = lambda.on_request("orders", method, &path).once(fault(moment));
                let known = acts(&self.fixture, self.act, &self.order).await;
                killed.lift();
                (known, killed.struck() == 1)
            }
        }
    }

    /// One case: crash, healing, and the client that asks again.
    async fn case(&self, report: &mut Report, seed: u64, boundary: &Boundary) {
        let case = boundary.to_string();
        let mut choices = choices(seed, &case);
        self.fixture.begin(&self.begin).await;
        let (known, met) = self.crashes(boundary).await;
        report.faults(1);
        if !met {
            report.violation(seed, &case, format!("the boundary was not met: {}", known.said));
        }
        let mut acknowledged = vec![known];
        // Some ask again at once, and in a long run that may be what crashes next.
        if choices.random_bool(0.5) {
            let again = match self.boundaries.choose(&mut choices) {
                Some(boundary) if is_long() => {
                    for (_, proxy) in &self.fixture.proxies {
                        proxy.begin();
                    }
                    let (known, met) = self.crashes(boundary).await;
                    report.faults(usize::from(met));
                    known
                }
                _ => acts(&self.fixture, self.act, &self.order).await,
            };
            acknowledged.push(again);
        }
        acknowledged.retain(|known| known.acknowledged);

        match self.fixture.heals().await {
            Ok(took) => report.healed(took),
            Err(left) => report.violation(seed, &case, left),
        }
        for violation in self.fixture.violations().await {
            report.violation(seed, &case, violation);
        }
        if !acknowledged.is_empty() {
            let what = "what was acknowledged";
            report.compare(seed, &case, what, &self.fixture.state().await, &self.end);
        }
        let last = acts(&self.fixture, self.act, &self.order).await;
        if !last.acknowledged {
            report.violation(seed, &case, format!("asked for again: {}", last.said));
        }
        report.compare(seed, &case, "after it was asked for again", &self.fixture.state().await, &self.end);
        for known in acknowledged {
            report.compare(seed, &case, "the acknowledged order", &known.order, &last.order);
        }
        // Under one key there is one.
        if let Some(order) = last.order {
            report.compare(seed, &case, "the orders", &self.fixture.orders().await, &vec![order]);
        }
    }

    async fn all_cases(&self, name: &'static str, test: &'static str) {
        let mut report = Report::of(name, test);
        for seed in seeds() {
            for boundary in &self.boundaries {
                if report.runs(&boundary.to_string()) {
                    self.case(&mut report, seed, boundary).await;
                }
            }
        }
        report.ends();
    }
}

async fn acts(fixture: &Fixture, act: Act, order: &str) -> Known {
    match act {
        Act::Reconcile => {
            let healed = fixture.reconciles().await;
            let acknowledged = healed.as_ref().is_ok_and(|it| it.finished && it.set_aside == 0);
            Known { acknowledged, order: None, said: format!("{healed:?}") }
        }
        Act::Step(step) => {
            let answer = fixture.does(step, order).await;
            let done = answer.as_ref().ok().filter(|answer| answer.status == step.status());
            let order = done.map(|answer| step.order_of(answer, order));
            Known { acknowledged: order.is_some(), order, said: format!("{answer:?}") }
        }
    }
}

#[tokio::test]
async fn placing_an_order_of_one_line_survives_a_crash_anywhere() {
    let play = Play::open(&[], Step::PlaceOneLine("a"), [(10, 2), (10, 0), (10, 0)]).await;
    play.all_cases("crashes: placing one line", "placing_an_order_of_one_line").await;
}

#[tokio::test]
async fn placing_an_order_of_several_lines_survives_a_crash_anywhere() {
    let play = Play::open(&[], Step::Place("a"), [(10, 2), (10, 1), (10, 0)]).await;
    play.all_cases("crashes: placing several lines", "placing_an_order_of_several_lines").await;
}

#[tokio::test]
async fn changing_items_survives_a_crash_anywhere() {
    let play = Play::open(&[Step::Place("a")], Step::ChangeItems, [(10, 3), (10, 0), (10, 1)]).await;
    play.all_cases("crashes: changing items", "changing_items").await;
}

#[tokio::test]
async fn cancelling_survives_a_crash_anywhere() {
    let play = Play::open(&[Step::Place("a")], Step::Cancel, [(10, 0); 3]).await;
    play.all_cases("crashes: cancelling", "cancelling").await;
}

#[tokio::test]
async fn paying_survives_a_crash_anywhere() {
    let play = Play::open(&[Step::Place("a")], Step::Pay, [(10, 2), (10, 1), (10, 0)]).await;
    play.all_cases("crashes: paying", "paying").await;
}

#[tokio::test]
async fn shipping_survives_a_crash_anywhere() {
    let play = Play::open(&[Step::Place("a"), Step::Pay], Step::Ship, [(8, 0), (9, 0), (10, 0)]).await;
    play.all_cases("crashes: shipping", "shipping").await;
}

#[tokio::test]
async fn returning_with_restock_survives_a_crash_anywhere() {
    let before = [Step::Place("a"), Step::Pay, Step::Ship, Step::Deliver];
    let play = Play::open(&before, Step::Return, [(10, 0); 3]).await;
    play.all_cases("crashes: returning with restock", "returning_with_restock").await;
}

#[tokio::test]
async fn shipping_units_survives_a_crash_anywhere() {
    let before = [Step::Place("a"), Step::Pay];
    let play = Play::open(&before, Step::ShipUnits, [(9, 1), (10, 1), (10, 0)]).await;
    play.all_cases("crashes: shipping units", "shipping_units").await;
}

#[tokio::test]
async fn cancelling_a_fulfillment_survives_a_crash_anywhere() {
    let before = [Step::Place("a"), Step::Pay, Step::ShipUnits];
    let play = Play::open(&before, Step::CancelFulfillment, [(10, 2), (10, 1), (10, 0)]).await;
    play.all_cases("crashes: cancelling a fulfillment", "cancelling_a_fulfillment").await;
}

#[tokio::test]
async fn cancelling_units_survives_a_crash_anywhere() {
    let play = Play::open(&[Step::Place("a")], Step::CancelUnits, [(10, 1), (10, 1), (10, 0)]).await;
    play.all_cases("crashes: cancelling units", "cancelling_units").await;
}

#[tokio::test]
async fn cancelling_units_beside_shipped_ones_survives_a_crash() {
    let before = [Step::Place("a"), Step::Pay, Step::ShipUnits];
    let play = Play::open(&before, Step::CancelUnits, [(9, 0), (10, 1), (10, 0)]).await;
    play.all_cases("crashes: cancelling other units", "cancelling_units_beside_shipped_ones").await;
}

#[tokio::test]
async fn receiving_a_return_survives_a_crash_anywhere() {
    let before = [Step::Place("a"), Step::Pay, Step::ShipUnits, Step::SendBack];
    let play = Play::open(&before, Step::Receive, [(10, 1), (10, 1), (10, 0)]).await;
    play.all_cases("crashes: receiving a return", "receiving_a_return").await;
}

#[tokio::test]
async fn reconcile_survives_a_crash_before_anything_that_it_does() {
    let mut play = much_to_heal().await;
    play.boundaries.retain(|boundary| boundary.moment() == Moment::Before);
    play.all_cases("crashes: Reconcile, before", "reconcile_survives_a_crash_before").await;
}

#[tokio::test]
async fn reconcile_survives_a_crash_after_anything_that_it_does() {
    let mut play = much_to_heal().await;
    play.boundaries.retain(|boundary| boundary.moment() == Moment::After);
    play.all_cases("crashes: Reconcile, after", "reconcile_survives_a_crash_after").await;
}

/// Something of every kind that Reconcile heals.
async fn much_to_heal() -> Play {
    let fixture = Fixture::open().await;
    // A void that is old, and an order that has ended long ago.
    crash_of(&fixture, Act::Step(Step::PlaceOneLine("void")), "", "insert orders", 1, Moment::Before).await;
    fixture.heals().await.unwrap();
    let ended = fixture.does(Step::Place("ended"), "").await.unwrap().text("id");
    fixture.does(Step::Cancel, &ended).await.unwrap().expect(200);
    fixture.ages(OLD * 12).await;
    // A decision whose task is left, a change of items that nobody finishes, a hold without an order, and an order
    // that nobody has paid.
    let left = fixture.does(Step::Place("left"), "").await.unwrap().text("id");
    crash_of(&fixture, Act::Step(Step::Cancel), &left, "update orders", 1, Moment::After).await;
    let changing = fixture.does(Step::Place("changing"), "").await.unwrap().text("id");
    crash_of(&fixture, Act::Step(Step::ChangeItems), &changing, "update orders", 2, Moment::Before).await;
    crash_of(&fixture, Act::Step(Step::PlaceOneLine("hold")), "", "insert orders", 1, Moment::Before).await;
    let unpaid = fixture.does(Step::Place("unpaid"), "").await.unwrap().text("id");
    fixture.sets(&unpaid, doc! { "expires_at": DateTime::from_millis(0) }).await;
    fixture.ages(OLD).await;
    let begin = fixture.snapshot().await;

    // All of that is there to be healed.
    fixture.begin(&begin).await;
    let healed = fixture.reconciles().await.unwrap();
    assert_eq!((healed.tasks_done, healed.changes_ended, healed.orders_expired), (1, 1, 1), "{healed:?}");
    assert_eq!((healed.holds_ended, healed.voids_pruned, healed.set_aside), (1, 1, 0), "{healed:?}");
    assert!(healed.tombstones_pruned > 0 && healed.finished, "{healed:?}");

    let play = Play::record(fixture, Act::Reconcile, String::new(), begin).await;
    assert_eq!(play.end.stock, [(10, 2), (10, 1), (10, 0)]);
    play
}

/// Kills the orders function at one of its commands.
async fn crash_of(fixture: &Fixture, act: Act, order: &str, name: &str, number: usize, moment: Moment) {
    fixture.warm().await;
    fixture.proxy("orders").begin();
    let command = &Command { name: name.to_owned(), number };
    let mut met = fixture.proxy("orders").stop_at(command, moment);
    let mut acting = pin!(acts(fixture, act, order));
    tokio::select! {
        biased;
        Ok(_) = &mut met => {
            fixture.kill("orders").await;
            assert!(!acting.await.acknowledged);
        }
        known = &mut acting => panic!("no command {command}: {known:?}"),
    }
}
