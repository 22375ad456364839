//! Calls that are repeated: which ones, after what, how often, and until when. Time is tokio's, and paused.

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

/// As long as a request may take.
const LONG: Duration = Duration::from_secs(20);

/// All pauses together, at their longest.
const PAUSES: Duration = Duration::from_millis(300);

/// What becomes of an attempt: an answer, an error on the way, or nothing at all.
#[derive(Clone, Debug)]
enum Fate {
    Answered(Code),
    AnsweredInTrailers(Code),
    Broken(Code),
    Silent,
}

use Fate::{Answered, AnsweredInTrailers, Broken, Silent};

/// A function whose attempts end as a test says, the last one's way for all that follow; and what was sent to it.
struct ServiceApp {
    fates: Mutex<Vec<Fate>>,
    sent: Mutex<Vec<(Instant, Vec<u8>)>>,
}

impl ServiceApp {
    fn of(fates: &[Fate]) -> Arc<Self> {
        Arc::new(Self { fates: Mutex::new(fates.to_vec()), sent: Mutex::default() })
    }

    fn becomes(&self, fate: Fate) {
        *self.fates.lock().unwrap() = vec![fate];
    }

    fn sent(&self) -> usize {
        self.sent.lock().unwrap().len()
    }

    /// How long after the first attempt each of them was sent.
    fn times(&self) -> Vec<Duration> {
        let sent = self.sent.lock().unwrap();
        sent.iter().map(|(at, _)| *at - sent[0].0).collect()
    }
}

impl Invoke for ServiceApp {
    fn invoke(&self, payload: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, Status>> {
        self.sent.lock().unwrap().push((Instant::now(), payload));
        let mut fates = self.fates.lock().unwrap();
        let fate = if fates.len() > 1 { fates.remove(0) } else { fates[0].clone() };
        match fate {
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

fn channel(function: &Arc<ServiceApp>) -> Channel {
    Channel::new(function.clone(), Clock::from_fn(|| NOW))
}

/// Calls the method at `path`, and tells how that went.
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

/// Every method that the protocol has.
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
async fn reads_declarations_of_stock_and_signing_out_are_repeated_and_nothing_else_ever_is() {
    let mut repeated = BTreeSet::new();
    let methods = all_methods();
    for path in methods.iter().map(String::as_str).chain(["/", "/oms.users.v2.UserService/GetUser"]) {
        for fate in [Broken(Code::Unavailable), Answered(Code::Unavailable)] {
            let function = ServiceApp::of(&[fate]);
            assert_eq!(call(&channel(&function), path, LONG).await, Code::Unavailable, "{path}");
            match function.sent() {
                1 => assert!(!repeated.contains(path), "{path}"),
                3 => drop(repeated.insert(path)),
                other => unreachable!("{path} was sent {other} times"),
            }
        }
        let silent = ServiceApp::of(&[Silent]);
        assert_eq!(call(&channel(&silent), path, LONG).await, Code::DeadlineExceeded, "{path}");
        assert_eq!(silent.sent() > 1, repeated.contains(path), "{path}");
    }
    let names: BTreeSet<_> = repeated.iter().map(|path| path.rsplit('/').next().unwrap()).collect();
    let expected = [
        "AuditStock",
        "CheckConsistency",
        "GetHolds",
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
        "PruneHolds",
        "RestockReturned",
        "RevokeToken",
        "ShipStock",
    ];
    assert_eq!(names, BTreeSet::from(expected));
    assert_eq!((methods.len(), repeated.len()), (28, expected.len()));
}

#[tokio::test(start_paused = true)]
async fn what_went_wrong_once_or_twice_goes_well_in_the_end_and_the_caller_sees_none_of_it() {
    for fates in [
        vec![Broken(Code::Unavailable), Answered(Code::Ok)],
        vec![Answered(Code::Unavailable), Answered(Code::Ok)],
        vec![AnsweredInTrailers(Code::Unavailable), AnsweredInTrailers(Code::Ok)],
        vec![Broken(Code::Unavailable), Answered(Code::Unavailable), Answered(Code::Ok)],
        vec![Silent, Broken(Code::Unavailable), Answered(Code::Ok)],
        vec![Silent, Silent, Answered(Code::Ok)],
    ] {
        let function = ServiceApp::of(&fates);
        assert_eq!(call(&channel(&function), HOLD_STOCK, LONG).await, Code::Ok, "{fates:?}");
        assert_eq!(function.sent(), fates.len(), "{fates:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_other_than_unavailable_is_the_answer() {
    for code in (0..=16).map(Code::from_i32).filter(|code| *code != Code::Unavailable) {
        for fate in [Answered(code), AnsweredInTrailers(code), Broken(code)] {
            let function = ServiceApp::of(std::slice::from_ref(&fate));
            assert_eq!(call(&channel(&function), HOLD_STOCK, LONG).await, code);
            assert_eq!(function.sent(), 1, "{fate:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_attempt_is_the_same_call_with_the_same_deadline() {
    let function = ServiceApp::of(&[Silent, Broken(Code::Unavailable), Answered(Code::Ok)]);
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
        let function = ServiceApp::of(&[Broken(Code::Unavailable)]);
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
async fn a_function_that_never_answers_costs_its_caller_the_deadline_and_no_more() {
    for within in [1, 90, 500, 1999, 2001, 5000, 10_000, 25_000].map(Duration::from_millis) {
        let function = ServiceApp::of(&[Silent]);
        let began = Instant::now();
        assert_eq!(call(&channel(&function), HOLD_STOCK, within).await, Code::DeadlineExceeded);
        assert!(began.elapsed() <= within + Duration::from_millis(1), "{within:?}: {:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_costs_half_of_the_time_and_leaves_the_other_half_for_another_one() {
    let function = ServiceApp::of(&[Silent]);
    call(&channel(&function), HOLD_STOCK, Duration::from_secs(10)).await;
    let times = function.times();
    assert_eq!(times.len(), 3);
    for (time, expected) in [(times[1], 5.0), (times[2], 7.5)] {
        assert!((expected..expected + PAUSES.as_secs_f64()).contains(&time.as_secs_f64()), "{times:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_function_has_a_second_before_it_is_asked_again() {
    let function = ServiceApp::of(&[Silent]);
    call(&channel(&function), HOLD_STOCK, Duration::from_millis(1500)).await;
    assert!(function.times()[1] >= Duration::from_secs(1), "{:?}", function.times());

    let hurried = ServiceApp::of(&[Silent]);
    call(&channel(&hurried), HOLD_STOCK, Duration::from_millis(999)).await;
    assert_eq!(hurried.sent(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_repeated_when_too_little_time_is_left_for_an_answer() {
    for _ in 0..50 {
        let function = ServiceApp::of(&[Broken(Code::Unavailable)]);
        let channel = channel(&function);
        assert_eq!(call(&channel, HOLD_STOCK, Duration::from_millis(99)).await, Code::Unavailable);
        assert_eq!(function.sent(), 1);
        let began = Instant::now();
        assert_eq!(call(&channel, HOLD_STOCK, Duration::from_millis(250)).await, Code::Unavailable);
        assert!(began.elapsed() <= Duration::from_millis(150), "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_whose_database_is_away_is_not_asked_three_times_as_often() {
    for fate in [Answered(Code::Unavailable), Broken(Code::Unavailable), Silent] {
        let function = ServiceApp::of(std::slice::from_ref(&fate));
        let channel = channel(&function);
        for _ in 0..100 {
            // Clones share what they know, as those in one environment do.
            call(&channel.clone(), HOLD_STOCK, LONG).await;
        }
        assert_eq!(function.sent(), 103, "{fate:?}");

        // While nothing is repeated a slow answer is waited for, since there will be no other.
        let began = Instant::now();
        function.becomes(Silent);
        call(&channel, HOLD_STOCK, LONG).await;
        assert!(began.elapsed() >= LONG);

        function.becomes(Answered(Code::Ok));
        for _ in 0..100 {
            call(&channel, HOLD_STOCK, LONG).await;
        }
        let before = function.sent();
        function.becomes(Broken(Code::Unavailable));
        call(&channel, HOLD_STOCK, LONG).await;
        assert_eq!(function.sent() - before, 3, "it was back for a while, and so may be asked again");
    }
}

#[tokio::test(start_paused = true)]
async fn many_refusals_are_no_trouble_of_the_function() {
    let function = ServiceApp::of(&[Answered(Code::FailedPrecondition)]);
    let channel = channel(&function);
    for _ in 0..100 {
        call(&channel, CREATE_ORDER, LONG).await;
    }
    function.becomes(Broken(Code::Unavailable));
    call(&channel, HOLD_STOCK, LONG).await;
    assert_eq!(function.sent(), 103);
}
