//! Spans of requests to a shop in this process: their IDs and parents, what they hold, and their export.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what fails in a test fails the test")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::post;
use http::{Method, Request, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value;
use prost::Message as _;
use serde_json::Value as Json;
use shared::runtime::config::Variables;
use shared::runtime::spans::{Kind, Recorder, Sampling, Sink, Span, Value, otlp};
use tests::in_process::InProcess;
use tests::person::Person;
use tests::shop::order_of;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tower::ServiceExt as _;
use tracing::Dispatch;
use tracing::instrument::WithSubscriber as _;
use tracing_subscriber::layer::SubscriberExt as _;

/// Finished spans of a test.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<Span>>>);

impl Sink for Spans {
    fn end(&self, span: Span) {
        self.0.lock().unwrap().push(span);
    }
}

impl Spans {
    fn take(&self) -> Vec<Span> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Subscriber that hands spans to this sink.
fn recording(sampling: Sampling, sink: impl Sink + 'static) -> Dispatch {
    Dispatch::new(tracing_subscriber::registry().with(Recorder::new(sampling).to(sink)))
}

const ALL: Sampling = Sampling::Ratio(1.0);

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Headers of a client's trace, which is sampled or not.
fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-00f067aa0ba902b7-{flags}")
}

/// Sends a request of this person through the routes of a shop, and returns its answer.
async fn sends(
    shop: &InProcess,
    recording: &Dispatch,
    person: &Person,
    (method, path): (Method, &str),
    body: Option<Json>,
    parent: Option<&str>,
) -> (StatusCode, Json) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in [("authorization", person.token.as_deref().map(|it| format!("Bearer {it}")))]
        .into_iter()
        .chain([("traceparent", parent.map(str::to_owned))])
    {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    let body = match body {
        Some(body) => {
            request = request.header("content-type", "application/json");
            Body::from(body.to_string())
        }
        None => Body::empty(),
    };
    let answering = shop.backend.router().oneshot(request.body(body).unwrap());
    let answer = answering.with_subscriber(recording.clone()).await.unwrap();
    let status = answer.status();
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

fn named<'a>(spans: &'a [Span], kind: Kind, name: &str) -> &'a Span {
    let mut found = spans.iter().filter(|span| span.kind == kind && span.name == name);
    found.next().unwrap_or_else(|| panic!("no {name}: {spans:#?}"))
}

const PLACE: (Method, &str) = (Method::POST, "/orders");
const HOLD: &str = "oms.products.v1.ProductService/HoldStock";

#[tokio::test]
async fn a_request_its_call_and_its_commands_are_one_tree() {
    let spans = Spans::default();
    let recording = recording(ALL, spans.clone());
    let shop = InProcess::open().await;
    let (ada, product) = (shop.customer().await, shop.product(5).await);
    let parent = traceparent("01");
    let body = order_of(&product, 1);
    let (status, order) = sends(&shop, &recording, &ada, PLACE, Some(body), Some(&parent)).await;
    assert_eq!(status, 201);

    let recorded = spans;
    let spans = recorded.take();
    assert!(spans.iter().all(|span| format!("{:032x}", span.trace) == TRACE), "{spans:#?}");
    let root = named(&spans, Kind::Server, "POST /orders");
    assert_eq!(root.parent, Some(0x00f0_67aa_0ba9_02b7));
    assert_eq!(root.attribute("http.response.status_code"), Some(&Value::Number(201)));
    let call = named(&spans, Kind::Client, HOLD);
    assert_eq!(call.parent, Some(root.id));
    let answered = named(&spans, Kind::Server, HOLD);
    assert_eq!(
        (answered.parent, answered.attribute("rpc.grpc.status_code")),
        (Some(call.id), Some(&0.into()))
    );
    let insert = named(&spans, Kind::Client, "insert orders");
    assert_eq!(insert.parent, Some(root.id));
    let of_products = spans.iter().filter(|span| span.parent == Some(answered.id));
    assert!(of_products.clone().count() >= 1 && of_products.clone().all(|it| it.kind == Kind::Client));
    let mut ids: Vec<u64> = spans.iter().map(|span| span.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), spans.len());
    assert!(spans.iter().all(|span| span.duration <= root.duration && !span.is_failed), "{spans:#?}");

    // Nothing of a client is in a name or an attribute.
    let order = order["id"].as_str().unwrap();
    let path = format!("/orders/{order}");
    let got = sends(&shop, &recording, &ada, (Method::GET, &path), None, Some(&parent)).await;
    assert_eq!(got.0, 200);
    let texts = |span: &Span| {
        let of_attribute = |(_, value): &(&'static str, Value)| format!("{value:?}");
        span.attributes.iter().map(of_attribute).chain([span.name.to_string()]).collect::<Vec<_>>().join(" ")
    };
    let all: String = spans.iter().chain(&recorded.take()).map(texts).collect();
    for personal in [order, product.as_str(), &ada.id, &ada.email] {
        assert!(!all.contains(personal), "{personal}: {all}");
    }
}

#[tokio::test]
async fn the_commit_of_a_transaction_has_its_span() {
    let spans = Spans::default();
    let recording = recording(ALL, spans.clone());
    let shop = InProcess::open().await;
    let ada = shop.customer().await;
    let (one, other) = (shop.product(5).await, shop.product(5).await);
    let mut body = order_of(&one, 1);
    body["items"].as_array_mut().unwrap().extend(order_of(&other, 1)["items"].as_array().unwrap().clone());
    let (status, _) = sends(&shop, &recording, &ada, PLACE, Some(body), None).await;
    assert_eq!(status, 201);
    let spans = spans.take();
    let answered = named(&spans, Kind::Server, HOLD);
    let commit = named(&spans, Kind::Client, "commitTransaction");
    assert_eq!((commit.parent, commit.trace), (Some(answered.id), answered.trace));
}

#[tokio::test]
async fn of_an_unsampled_trace_nothing_is_recorded() {
    let spans = Spans::default();
    let (all, none) = (recording(ALL, spans.clone()), recording(Sampling::Ratio(0.0), spans.clone()));
    let shop = InProcess::open().await;
    let (ada, product) = (shop.customer().await, shop.product(5).await);
    let body = Some(order_of(&product, 1));
    sends(&shop, &all, &ada, PLACE, body.clone(), Some(&traceparent("00"))).await;
    sends(&shop, &none, &ada, PLACE, body.clone(), None).await;
    assert_eq!(spans.take(), []);
    // A client's flag only asks for it.
    sends(&shop, &none, &ada, PLACE, body.clone(), Some(&traceparent("01"))).await;
    assert_eq!(spans.take(), []);
    sends(&shop, &all, &ada, PLACE, body, Some(&traceparent("01"))).await;
    assert!(!spans.take().is_empty());
}

/// Export to a collector at this address.
fn export(address: std::net::SocketAddr) -> otlp::Exporter {
    let mut variables = Variables::from_fn(move |name| {
        (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| format!("http://{address}"))
    });
    let settings = otlp::Settings::read(&mut variables, "orders").unwrap();
    settings.start(&Handle::current())
}

async fn finished(exporter: &otlp::Exporter) {
    let exporter = exporter.clone();
    tokio::task::spawn_blocking(move || exporter.finish()).await.unwrap();
}

#[tokio::test]
async fn a_collector_gets_the_same_spans_by_otlp() {
    let received: Arc<Mutex<Vec<Bytes>>> = Arc::default();
    let note = received.clone();
    let take = async move |body: Bytes| note.lock().unwrap().push(body);
    let collector = Router::new().route("/v1/traces", post(take));
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let exporter = export(socket.local_addr().unwrap());
    tokio::spawn(shared::runtime::listener::serve(
        socket,
        collector,
        shared::runtime::listener::Settings::default(),
        std::future::pending(),
    ));
    let spans = Spans::default();
    let recorder = Recorder::new(exporter.sampling()).to(spans.clone()).to(exporter.clone());
    let recording = Dispatch::new(tracing_subscriber::registry().with(recorder));
    let shop = InProcess::open().await;
    let (ada, product) = (shop.customer().await, shop.product(5).await);
    let body = Some(order_of(&product, 1));
    assert_eq!(sends(&shop, &recording, &ada, PLACE, body, None).await.0, 201);
    finished(&exporter).await;

    let bodies = received.lock().unwrap().clone();
    let exported =
        bodies.into_iter().flat_map(|it| ExportTraceServiceRequest::decode(it).unwrap().resource_spans);
    let mut found = Vec::new();
    for of_resource in exported {
        let service =
            of_resource.resource.unwrap().attributes.into_iter().find(|it| it.key == "service.name");
        let service = service.and_then(|it| it.value?.value);
        assert_eq!(service, Some(any_value::Value::StringValue("orders".to_owned())));
        found.extend(of_resource.scope_spans.into_iter().flat_map(|it| it.spans));
    }
    let mut expected = spans.take();
    expected.sort_by_key(|span| span.id);
    found.sort_by_key(|span| span.span_id.clone());
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.name, expected.name);
        assert_eq!(found.trace_id, expected.trace.to_be_bytes());
        assert_eq!(found.span_id, expected.id.to_be_bytes());
        let parent = expected.parent.map_or(Vec::new(), |parent| parent.to_be_bytes().to_vec());
        assert_eq!(found.parent_span_id, parent);
        assert_eq!(found.attributes.len(), expected.attributes.len());
        let took = found.end_time_unix_nano - found.start_time_unix_nano;
        assert_eq!(u128::from(took), expected.duration.as_nanos());
    }
}

#[tokio::test]
async fn a_silent_collector_delays_no_request() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let exporter = export(silent.local_addr().unwrap());
    let recording = recording(exporter.sampling(), exporter.clone());
    let shop = InProcess::open().await;
    let ada = shop.customer().await;
    let get = || sends(&shop, &recording, &ada, (Method::GET, "/products"), None, None);
    get().await;
    // For as long as several batches take to fail.
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    for _ in 0..3_000 {
        let sent = Instant::now();
        assert_eq!(get().await.0, 200);
        slowest = slowest.max(sent.elapsed());
        if began.elapsed() > Duration::from_secs(20) {
            break;
        }
    }
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    let began = Instant::now();
    finished(&exporter).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    drop(silent);
}
