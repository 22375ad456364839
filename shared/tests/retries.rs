//! Tests of retries: the repeated calls, the causes, the number of attempts, and the time limits. They use
//! tokio's paused time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::future::{pending, ready};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use serde_json::{Value, json};
use shared::auth::Caller;
use shared::rpc::channel::{Channel, Invoke};
use shared::rpc::metadata;
use shared::runtime::context::Context;
use shared::values::clock::{Clock, Timestamp};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::ServiceExt as _;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const HOLD_STOCK: &str = "/oms.products.v1.ProductService/HoldStock";
const CREATE_ORDER: &str = "/oms.orders.v1.OrderService/CreateOrder";

/// Timeout of a request.
const LONG: Duration = Duration::from_secs(20);

/// Sum of all pauses at their longest.
const PAUSES: Duration = Duration::from_millis(300);

/// Outcome of an attempt: an answer, an error of the transport, or no answer at all.
#[derive(Clone, Debug)]
enum Outcome {
    Answered(Code),
    AnsweredInTrailers(Code),
    Broken(Code),
    Silent,
}

use Outcome::{Answered, AnsweredInTrailers, Broken, Silent};

/// Function whose attempts end as a test says, the last outcome for all that follow. It records the payloads.
struct FakeFunction {
    outcomes: Mutex<Vec<Outcome>>,
    sent: Mutex<Vec<(Instant, Vec<u8>)>>,
}

impl FakeFunction {
    fn of(outcomes: &[Outcome]) -> Arc<Self> {
        Arc::new(Self { outcomes: Mutex::new(outcomes.to_vec()), sent: Mutex::default() })
    }

    fn set_outcome(&self, outcome: Outcome) {
        *self.outcomes.lock().unwrap() = vec![outcome];
    }

    fn sent(&self) -> usize {
        self.sent.lock().unwrap().len()
    }

    /// Times of the attempts since the first one.
    fn times(&self) -> Vec<Duration> {
        let sent = self.sent.lock().unwrap();
        sent.iter().map(|(at, _)| *at - sent[0].0).collect()
    }
}

impl Invoke for FakeFunction {
    fn invoke(&self, payload: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, Status>> {
        self.sent.lock().unwrap().push((Instant::now(), payload));
        let mut outcomes = self.outcomes.lock().unwrap();
        let outcome = if outcomes.len() > 1 { outcomes.remove(0) } else { outcomes[0].clone() };
        match outcome {
            Answered(code) => ready(Ok(answer(code, "headers"))).boxed(),
            AnsweredInTrailers(code) => ready(Ok(answer(code, "trailers"))).boxed(),
            Broken(code) => ready(Err(Status::new(code, "the connection broke off"))).boxed(),
            Silent => pending().boxed(),
        }
    }
}

fn answer(code: Code, part: &str) -> Vec<u8> {
    let mut answer = json!({ "status": 200, "headers": [], "body": "", "trailers": [] });
    answer[part] = json!([["grpc-status", (code as i32).to_string()]]);
    json!({ "grpc": answer }).to_string().into_bytes()
}

fn channel(function: &Arc<FakeFunction>) -> Channel {
    Channel::new(function.clone(), Clock::from_fn(|| NOW))
}

/// Calls the method at `path` and returns the status code.
async fn call(channel: &Channel, path: &str, within: Duration) -> Code {
    let deadline = NOW.after(within);
    let context = Context::new(Caller::System, deadline);
    let headers = metadata::request((), &context).metadata().clone().into_headers();
    let mut request = http::Request::post(path).body(Body::empty()).unwrap();
    *request.headers_mut() = headers;
    match channel.clone().oneshot(request).await {
        Err(status) => status.code(),
        Ok(response) => {
            let (head, body) = response.into_parts();
            let body = http_body_util::BodyExt::collect(body).await.unwrap();
            let trailers = body.trailers().and_then(Status::from_header_map);
            trailers.or_else(|| Status::from_header_map(&head.headers)).unwrap().code()
        }
    }
}

/// Returns the paths of all methods of the protocol.
fn all_methods() -> Vec<String> {
    let files = FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).unwrap();
    let mut paths = Vec::new();
    for file in &files.file {
        for service in &file.service {
            let full = |method: &str| format!("/{}.{}/{method}", file.package(), service.name());
            paths.extend(service.method.iter().map(|method| full(method.name())));
        }
    }
    paths
}

#[tokio::test(start_paused = true)]
async fn only_reads_stock_declarations_and_sign_out_are_repeated() {
    let mut repeated = BTreeSet::new();
    let methods = all_methods();
    for path in methods.iter().map(String::as_str).chain(["/", "/oms.users.v2.UserService/GetUser"]) {
        for outcome in [Broken(Code::Unavailable), Answered(Code::Unavailable)] {
            let function = FakeFunction::of(&[outcome]);
            assert_eq!(call(&channel(&function), path, LONG).await, Code::Unavailable, "{path}");
            match function.sent() {
                1 => assert!(!repeated.contains(path), "{path}"),
                3 => drop(repeated.insert(path)),
                other => unreachable!("{path} was sent {other} times"),
            }
        }
        let silent = FakeFunction::of(&[Silent]);
        assert_eq!(call(&channel(&silent), path, LONG).await, Code::DeadlineExceeded, "{path}");
        assert_eq!(silent.sent() > 1, repeated.contains(path), "{path}");
    }
    let names: BTreeSet<_> = repeated.iter().map(|path| path.rsplit('/').next().unwrap()).collect();
    let expected = [
        "AuditHolds",
        "AuditStock",
        "CheckConsistency",
        "FoldJournals",
        "GetHolds",
        "GetJobs",
        "GetOldestEntry",
        "GetOrder",
        "GetProduct",
        "GetSigningKeys",
        "GetUser",
        "HoldStock",
        "ListHolds",
        "ListOrders",
        "ListProducts",
        "ListStockMovements",
        "ListUsers",
        "MoveStock",
        "PreviewRefund",
        "PruneHolds",
        "RestockReturned",
        "RevokeToken",
        "ShipStock",
    ];
    assert_eq!(names, BTreeSet::from(expected));
    // It is among the methods that were called, so the list above is not all there is.
    assert!(methods.iter().any(|path| path == CREATE_ORDER), "{methods:?}");
}

#[tokio::test(start_paused = true)]
async fn one_or_two_failures_are_hidden_from_the_caller() {
    for outcomes in [
        vec![Broken(Code::Unavailable), Answered(Code::Ok)],
        vec![Answered(Code::Unavailable), Answered(Code::Ok)],
        vec![AnsweredInTrailers(Code::Unavailable), AnsweredInTrailers(Code::Ok)],
        vec![Broken(Code::Unavailable), Answered(Code::Unavailable), Answered(Code::Ok)],
        vec![Silent, Broken(Code::Unavailable), Answered(Code::Ok)],
        vec![Silent, Silent, Answered(Code::Ok)],
    ] {
        let function = FakeFunction::of(&outcomes);
        assert_eq!(call(&channel(&function), HOLD_STOCK, LONG).await, Code::Ok, "{outcomes:?}");
        assert_eq!(function.sent(), outcomes.len(), "{outcomes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_other_than_unavailable_is_the_answer() {
    for code in (0..=16).map(Code::from_i32).filter(|code| *code != Code::Unavailable) {
        for outcome in [Answered(code), AnsweredInTrailers(code), Broken(code)] {
            let function = FakeFunction::of(std::slice::from_ref(&outcome));
            assert_eq!(call(&channel(&function), HOLD_STOCK, LONG).await, code);
            assert_eq!(function.sent(), 1, "{outcome:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_attempt_is_the_same_call_with_the_same_deadline() {
    let function = FakeFunction::of(&[Silent, Broken(Code::Unavailable), Answered(Code::Ok)]);
    call(&channel(&function), HOLD_STOCK, LONG).await;
    let sent = function.sent.lock().unwrap();
    let payloads: BTreeSet<_> = sent.iter().map(|(_, payload)| payload).collect();
    assert_eq!((sent.len(), payloads.len()), (3, 1));
    let envelope: Value = serde_json::from_slice(&sent[0].1).unwrap();
    let deadline = json!(["oms-deadline", NOW.after(LONG).millis().to_string()]);
    assert!(envelope["grpc"]["headers"].as_array().unwrap().contains(&deadline), "{envelope}");
}

#[tokio::test(start_paused = true)]
async fn pauses_are_short_and_of_random_length() {
    let mut pauses = BTreeSet::new();
    for _ in 0..50 {
        let function = FakeFunction::of(&[Broken(Code::Unavailable)]);
        call(&channel(&function), HOLD_STOCK, LONG).await;
        let times = function.times();
        let (first, second) = (times[1], times[2] - times[1]);
        // tokio's timer counts in milliseconds, and rounds up.
        assert!(first <= Duration::from_millis(101) && second <= Duration::from_millis(201), "{times:?}");
        pauses.extend([first, second]);
    }
    assert!(pauses.len() > 20, "{pauses:?}");
    assert!(pauses.first().unwrap() < &Duration::from_millis(20));
    assert!(pauses.last().unwrap() > &Duration::from_millis(150));
}

#[tokio::test(start_paused = true)]
async fn a_silent_function_costs_the_deadline_and_no_more() {
    for within in [1, 90, 500, 1999, 2001, 5000, 10_000, 25_000].map(Duration::from_millis) {
        let function = FakeFunction::of(&[Silent]);
        let began = Instant::now();
        assert_eq!(call(&channel(&function), HOLD_STOCK, within).await, Code::DeadlineExceeded);
        assert!(began.elapsed() <= within + Duration::from_millis(1), "{within:?}: {:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_costs_half_of_the_remaining_time() {
    let function = FakeFunction::of(&[Silent]);
    call(&channel(&function), HOLD_STOCK, Duration::from_secs(10)).await;
    let times = function.times();
    assert_eq!(times.len(), 3);
    for (time, expected) in [(times[1], 5.0), (times[2], 7.5)] {
        assert!((expected..expected + PAUSES.as_secs_f64()).contains(&time.as_secs_f64()), "{times:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_function_has_a_second_before_it_is_asked_again() {
    let function = FakeFunction::of(&[Silent]);
    call(&channel(&function), HOLD_STOCK, Duration::from_millis(1500)).await;
    assert!(function.times()[1] >= Duration::from_secs(1), "{:?}", function.times());

    let hurried = FakeFunction::of(&[Silent]);
    call(&channel(&hurried), HOLD_STOCK, Duration::from_millis(999)).await;
    assert_eq!(hurried.sent(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_repeated_without_time_left_for_an_answer() {
    for _ in 0..50 {
        let function = FakeFunction::of(&[Broken(Code::Unavailable)]);
        let channel = channel(&function);
        assert_eq!(call(&channel, HOLD_STOCK, Duration::from_millis(99)).await, Code::Unavailable);
        assert_eq!(function.sent(), 1);
        let began = Instant::now();
        assert_eq!(call(&channel, HOLD_STOCK, Duration::from_millis(250)).await, Code::Unavailable);
        assert!(began.elapsed() <= Duration::from_millis(150), "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_does_not_triple_the_calls() {
    for outcome in [Answered(Code::Unavailable), Broken(Code::Unavailable), Silent] {
        let function = FakeFunction::of(std::slice::from_ref(&outcome));
        let channel = channel(&function);
        for _ in 0..100 {
            // Clones share the budget, as those in one environment do.
            call(&channel.clone(), HOLD_STOCK, LONG).await;
        }
        assert_eq!(function.sent(), 103, "{outcome:?}");

        // Without retries a slow answer is waited for, since there will be no other.
        let began = Instant::now();
        function.set_outcome(Silent);
        call(&channel, HOLD_STOCK, LONG).await;
        assert!(began.elapsed() >= LONG);

        function.set_outcome(Answered(Code::Ok));
        for _ in 0..100 {
            call(&channel, HOLD_STOCK, LONG).await;
        }
        let before = function.sent();
        function.set_outcome(Broken(Code::Unavailable));
        call(&channel, HOLD_STOCK, LONG).await;
        assert_eq!(function.sent() - before, 3, "after a time of successes it is retried again");
    }
}

#[tokio::test(start_paused = true)]
async fn many_refusals_are_no_trouble_of_the_function() {
    let function = FakeFunction::of(&[Answered(Code::FailedPrecondition)]);
    let channel = channel(&function);
    for _ in 0..100 {
        call(&channel, CREATE_ORDER, LONG).await;
    }
    function.set_outcome(Broken(Code::Unavailable));
    call(&channel, HOLD_STOCK, LONG).await;
    assert_eq!(function.sent(), 103);
}
