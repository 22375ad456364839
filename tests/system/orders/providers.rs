//! Money that a payment provider announces by webhooks: one to five times, late and out of order.
//!
//! The provider and the handler of its webhooks are the sample in `local/src/provider.rs`. `OMS_SEED` repeats the choices
//! of a failure. The scheduler has a part in the order of deliveries, too.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what fails in a test fails the test, and its seed is to be seen"
)]

use futures::{StreamExt as _, stream};
use http::{Method, StatusCode};
use local::provider::webhook::{self, Call, Outcome};
use local::provider::{Plan, Provider, RefundRequest};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tests::in_process::InProcess;
use tests::person::Person;

use crate::support::aging::{Aging, HOUR};

/// Number of deliveries at the same time.
const TASKS: usize = 8;

/// Number of rounds of deliveries. In the second one, all captures are recorded.
const ROUNDS: usize = 2;

/// Number of orders of each case.
const ORDERS: usize = 2;

/// Course of an order's money.
#[derive(Clone, Copy, Debug)]
enum Case {
    Once,
    InTwoParts,
    Twice,
    TwiceAndRefundedAtDashboard,
    SecondPartAfterExpiry,
    AfterExpiry,
    AfterExpiryAndRefundedAtDashboard,
    AfterCancellation,
    RefundedInPart,
    RefundedAtSecondAttempt,
    RefundedAfterCancellation,
}

use Case::*;

impl Case {
    const ALL: [Self; 11] = [
        Once,
        InTwoParts,
        Twice,
        TwiceAndRefundedAtDashboard,
        SecondPartAfterExpiry,
        AfterExpiry,
        AfterExpiryAndRefundedAtDashboard,
        AfterCancellation,
        RefundedInPart,
        RefundedAtSecondAttempt,
        RefundedAfterCancellation,
    ];

    /// Status and status of payment at the end.
    fn ending(self) -> [&'static str; 2] {
        match self {
            Once | InTwoParts => ["paid", "paid"],
            Twice => ["paid", "refund_due"],
            TwiceAndRefundedAtDashboard | RefundedInPart | RefundedAtSecondAttempt => {
                ["paid", "partially_refunded"]
            }
            SecondPartAfterExpiry | AfterExpiry | AfterCancellation => ["cancelled", "refund_due"],
            AfterExpiryAndRefundedAtDashboard | RefundedAfterCancellation => ["refunded", "refunded"],
        }
    }
}

/// Order with its course.
#[derive(Debug)]
struct Sale {
    case: Case,
    order: String,
    total: i64,
}

impl Sale {
    /// Has the provider take the order's money. Events that come after the order has ended go to `late`.
    fn capture(
        &self,
        provider: &mut Provider,
        rng: &mut StdRng,
        prompt: &mut Vec<Value>,
        late: &mut Vec<Value>,
    ) {
        let part = rng.random_range(1..self.total);
        let mut take = |amount: i64| provider.capture(&self.order, amount);
        match self.case {
            Once | RefundedInPart | RefundedAtSecondAttempt | RefundedAfterCancellation => {
                prompt.push(take(self.total));
            }
            InTwoParts => prompt.extend([take(part), take(self.total - part)]),
            Twice | TwiceAndRefundedAtDashboard => prompt.extend([take(self.total), take(self.total)]),
            SecondPartAfterExpiry => {
                prompt.push(take(part));
                late.push(take(self.total - part));
            }
            AfterExpiry | AfterExpiryAndRefundedAtDashboard | AfterCancellation => {
                late.push(take(self.total));
            }
        }
    }

    /// Has people cancel and refund the order. Returns the events of the refunds.
    async fn change(&self, provider: &mut Provider, owner: &Person, staff: &Person) -> Vec<Value> {
        let Self { order, total, .. } = self;
        match self.case {
            AfterCancellation => {
                owner.moves(order, "cancelled").await.expect(200);
                Vec::new()
            }
            RefundedAfterCancellation => {
                staff.moves(order, "cancelled").await.expect(200);
                self.refund(provider, staff, *total, false).await
            }
            RefundedInPart => self.refund(provider, staff, total / 2, false).await,
            RefundedAtSecondAttempt => self.refund(provider, staff, total / 2, true).await,
            TwiceAndRefundedAtDashboard | AfterExpiryAndRefundedAtDashboard => {
                vec![provider.refund_at_dashboard(order, *total)]
            }
            Once | InTwoParts | Twice | SecondPartAfterExpiry | AfterExpiry => Vec::new(),
        }
    }

    /// Refunds as a shop does, and repeats each step, as after a lost answer.
    async fn refund(
        &self,
        provider: &mut Provider,
        staff: &Person,
        amount: i64,
        fails_first: bool,
    ) -> Vec<Value> {
        let path = format!("/orders/{}/refunds", self.order);
        let body = json!({ "amount": amount });
        let refund = staff.send_keyed(Method::POST, &path, "click", &body).await.expect(201).id();
        assert_eq!(staff.send_keyed(Method::POST, &path, "click", &body).await.expect(201).id(), refund);
        let second_key = format!("{refund}/2");
        let first = RefundRequest { order: &self.order, amount, refund_id: &refund, key: &refund };
        let mut events = Vec::new();
        if fails_first {
            events.extend(provider.fail_refund(first));
            events.extend(provider.refund(RefundRequest { key: &second_key, ..first }));
        } else {
            events.extend(provider.refund(first));
        }
        assert_eq!(provider.refund(first), None);
        events
    }

    /// Compares the order with the books of the provider.
    fn check(&self, seen: &Value, provider: &Provider) {
        let context = format!("{self:?}: {seen:#}");
        let captures: Vec<_> = provider.captures_of(&self.order).collect();
        let refunds: Vec<_> = provider.refunds_of(&self.order).collect();
        let references = sorted(captures.iter().map(|capture| capture.id.as_str()));
        assert_eq!(texts(&seen["payments"], "reference"), references, "{context}");
        let references = sorted(refunds.iter().map(|refund| refund.id.as_str()));
        assert_eq!(texts(&seen["refunds"], "reference"), references, "{context}");

        let paid: i64 = captures.iter().map(|capture| capture.amount).sum();
        let refunded: i64 = refunds.iter().map(|refund| refund.amount).sum();
        let was_cancelled = matches!(self.case.ending(), ["cancelled" | "refunded", _]);
        let payable = if was_cancelled { 0 } else { self.total };
        let totals = &seen["totals"];
        let sums = [&totals["paid"], &totals["refunded"], &totals["refund_due"]];
        let expected = [paid, refunded, (paid - refunded - payable).max(0)];
        assert_eq!(sums.map(Value::as_i64), expected.map(Some), "{context}");
        assert_eq!([&seen["status"], &seen["payment_status"]], self.case.ending(), "{context}");

        assert_eq!(subjects(seen, "payment"), texts(&seen["payments"], "id"), "{context}");
        // The reference of a refund of the shop is an entry of its own.
        let given = refunds.iter().filter_map(|refund| refund.refund_id.as_deref());
        let entries = sorted(texts(&seen["refunds"], "id").into_iter().chain(given));
        assert_eq!(subjects(seen, "refund"), entries, "{context}");
    }
}

/// Texts in their order.
fn sorted<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut texts: Vec<&str> = texts.collect();
    texts.sort_unstable();
    texts
}

/// Texts that entries have in a field, sorted.
fn texts<'a>(entries: &'a Value, field: &str) -> Vec<&'a str> {
    sorted(entries.as_array().unwrap().iter().map(|entry| entry[field].as_str().unwrap()))
}

/// Subjects of an order's history of this kind, sorted.
fn subjects<'a>(order: &'a Value, event: &str) -> Vec<&'a str> {
    let history = order["history"].as_array().unwrap().iter();
    let of_event = history.filter(|entry| entry["event"] == event);
    sorted(of_event.map(|entry| entry["subject"].as_str().unwrap()))
}

/// Sends a call. `None`: its answer is lost.
async fn sends(staff: &Person, call: &Call, loses_answer: bool) -> Option<(StatusCode, Value)> {
    let answer = match &call.key {
        Some(key) => staff.send_keyed(call.method.clone(), &call.path, key, &call.body).await,
        None => staff.send(call.method.clone(), &call.path, Some(call.body.clone())).await,
    };
    (!loses_answer).then_some((answer.status, answer.body))
}

/// Has the handler of the webhooks handle one delivery.
async fn handles(provider: &Provider, staff: &Person, event: &Value, loses_answer: bool) -> Outcome {
    let send = async |call: &Call| sends(staff, call, loses_answer).await;
    webhook::handle(provider.name(), event, send).await
}

/// Delivers events, several at a time, and delivers those again that the handler asks for. Of each seven answers, the
/// handler loses one. Returns the alerts.
async fn delivers(provider: &Provider, staff: &Person, deliveries: &[Value]) -> Vec<String> {
    let mut alerts = Vec::new();
    let mut due: Vec<&Value> = deliveries.iter().collect();
    for round in 1..=ROUNDS {
        let sent = due.iter().copied().enumerate().map(|(place, event)| async move {
            let loses_answer = round == 1 && place % 7 == 0;
            (event, handles(provider, staff, event, loses_answer).await)
        });
        let outcomes: Vec<(&Value, Outcome)> = stream::iter(sent).buffer_unordered(TASKS).collect().await;
        due.clear();
        for (event, outcome) in outcomes {
            match outcome {
                Outcome::Done => {}
                Outcome::Again => due.push(event),
                Outcome::Alert(alert) => alerts.push(alert),
            }
        }
    }
    assert!(due.is_empty(), "not done after {ROUNDS} rounds: {due:?}");
    alerts
}

#[tokio::test]
async fn money_adds_up_however_webhooks_arrive() {
    let seed: u64 =
        std::env::var("OMS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("again: OMS_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut provider = Provider::new("acme", StdRng::seed_from_u64(rng.random()));
    let aging = Aging::open().await;
    let (ada, staff) = (aging.shop.customer().await, aging.shop.staff().await);
    let mug = aging.shop.product(1_000).await;
    let mut sales = Vec::new();
    for case in [Case::ALL; ORDERS].concat() {
        let placed = ada.orders(&[(&mug, rng.random_range(1..=3))]).await.expect(201);
        let total = placed["totals"]["total"].as_i64().unwrap();
        sales.push(Sale { case, order: placed.id(), total });
    }

    let (mut prompt, mut late) = (Vec::new(), Vec::new());
    for sale in &sales {
        sale.capture(&mut provider, &mut rng, &mut prompt, &mut late);
    }
    let mut plan = Plan::draw(&prompt, &mut rng);
    assert_eq!(delivers(&provider, &staff, &plan.prompt).await, Vec::<String>::new());

    for sale in &sales {
        late.extend(sale.change(&mut provider, &ada, &staff).await);
    }
    aging.ages(24 * HOUR).await;
    assert!(aging.reconciles().await.finished);
    // The token has ended, and the user is the same: so are the keys.
    let staff = aging.again(&staff).await;
    plan.delay(&late, &mut rng);
    let alerts = delivers(&provider, &staff, &plan.late).await;
    let of_failures = alerts.iter().filter(|alert| alert.starts_with("refund.failed")).count();
    assert!(of_failures >= ORDERS && of_failures == alerts.len(), "{alerts:#?}");

    for sale in &sales {
        let seen = staff.get(&format!("/orders/{}", sale.order)).await.expect(200);
        sale.check(&seen.body, &provider);
    }
}

#[tokio::test]
async fn an_event_of_a_wrong_order_alerts_a_person() {
    let shop = InProcess::open().await;
    let (ada, staff) = (shop.customer().await, shop.staff().await);
    let mug = shop.product(10).await;
    let order = ada.orders(&[(&mug, 1)]).await.expect(201).id();
    let other = ada.orders(&[(&mug, 1)]).await.expect(201).id();
    let mut provider = Provider::new("acme", StdRng::seed_from_u64(1));
    let mut event = provider.capture(&order, 500);
    assert_eq!(handles(&provider, &staff, &event, false).await, Outcome::Done);
    for (order, cause) in [
        (other.as_str(), "409 Conflict /problems/payment-reference-taken"),
        ("order_01h455vb4pex5vsknk084sn02q", "404 Not Found /problems/not-found"),
    ] {
        event["data"]["order_id"] = json!(order);
        let outcome = handles(&provider, &staff, &event, false).await;
        assert_eq!(outcome, Outcome::Alert(format!("POST /orders/{order}/payments: {cause}")));
    }
    let seen = staff.get(&format!("/orders/{other}")).await.expect(200);
    assert_eq!((&seen["status"], &seen["payments"]), (&json!("placed"), &json!([])));
}
