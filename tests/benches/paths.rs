//! Hot paths without I/O: `cargo bench -p tests --bench paths`.
//!
//! A token that is new and one that was verified before, an event of API Gateway, an envelope there and back, a problem,
//! a cursor, a body of a request, and a decision.

#![expect(clippy::unwrap_used, reason = "a program for people")]

use std::hint::black_box;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use criterion::{Criterion, criterion_group, criterion_main};
use futures::future::BoxFuture;
use http::{HeaderName, HeaderValue};
use lambda_runtime::LambdaEvent;
use orders::forms::{CreateOrderForm, UpdateOrderForm};
use orders::number::Number;
use orders::order::{Item, ItemAmounts, Order, PlacementContext};
use serde_json::json;
use serde_json::value::to_raw_value;
use shared::auth::{Caller, KeySource, Role, Signer, TrustedKeys, Verifier};
use shared::error::{Error, Kind};
use shared::http::base_path::BasePath;
use shared::input::json;
use shared::input::page::{PageRequest, Position, SortType, SortValue};
use shared::rpc::envelope::{self, Call};
use shared::runtime::context::Context;
use shared::runtime::lambda::Host;
use shared::runtime::run::ServiceApp;
use shared::values::clock::{Clock, Timestamp};
use shared::values::ids::{OrderId, ProductId, UserId};
use shared::values::money::{Currency, Money};
use tests::JWT_SECRET;
use tests::shop::order_of;
use tokio::runtime::{Builder, Runtime};

/// Time of the benchmark.
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// Source of the one key.
struct Keys(Signer);

impl KeySource for Keys {
    fn keys(&self, _: Option<&str>, _: &Context) -> BoxFuture<'_, Result<TrustedKeys, Error>> {
        Box::pin(async { Ok(vec![self.0.public_key().clone()].into()) })
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn tokens(c: &mut Criterion) {
    let (runtime, clock) = (runtime(), Clock::from_fn(|| NOW));
    let signer = || Signer::from_secret(JWT_SECRET).unwrap();
    let token = signer().access_token(UserId::new(), Role::Customer, NOW).unwrap();
    let header = format!("Bearer {token}");
    let context = Context::new(Caller::Anonymous, Timestamp::from_millis(NOW.millis() + 10_000));
    let verifier = || Verifier::new(Arc::new(Keys(signer())), clock.clone());
    let verify = |verifier: &Verifier| {
        runtime.block_on(verifier.caller(Some(header.as_bytes()), &context)).unwrap();
    };
    c.bench_function("token, new", |b| b.iter_with_setup(verifier, |verifier| verify(&verifier)));
    let known = verifier();
    c.bench_function("token, verified before", |b| b.iter(|| verify(&known)));
}

fn events(c: &mut Criterion) {
    let runtime = runtime();
    let app = || ServiceApp::new(Router::new().route("/orders", get(async || "[]")));
    let host = Host::new(move || std::future::ready(Ok(app())), Clock::system());
    let event: serde_json::Value =
        serde_json::from_str(include_str!("../../local/events/orders-http.json")).unwrap();
    let event = to_raw_value(&event).unwrap();
    c.bench_function("event of API Gateway", |b| {
        b.iter(|| {
            let event = LambdaEvent::new(event.clone(), lambda_runtime::Context::default());
            runtime.block_on(host.answer(black_box(event))).unwrap()
        });
    });
}

fn envelopes(c: &mut Criterion) {
    let body = vec![7; 300];
    let names = ["oms-caller", "x-request-id", "traceparent", "oms-deadline"];
    let value = HeaderValue::from_static("0123456789abcdef");
    let headers = names.map(|name| (HeaderName::from_static(name), value.clone())).into_iter().collect();
    c.bench_function("envelope, there and back", |b| {
        b.iter(|| {
            let path = "/oms.products.v1.ProductService/HoldStock";
            let payload = Call { path, headers: &headers, body: black_box(&body) }.write().unwrap();
            envelope::read_call(&payload).unwrap()
        });
    });
}

fn problems(c: &mut Criterion) {
    let error = Error::new(Kind::InsufficientStock, "1 of 2 items are short.").with("short", json!([1]));
    c.bench_function("problem", |b| {
        b.iter(|| black_box(&error).to_problem(&BasePath::default(), "/orders", "0123456789"));
    });
}

fn cursors(c: &mut Criterion) {
    let page = PageRequest::new(Some(20), None).unwrap();
    let position = Position { value: SortValue::Time(NOW), id: OrderId::new().uuid() };
    c.bench_function("cursor, there and back", |b| {
        b.iter(|| {
            let cursor = page.cursor_at(black_box(&position), "orders of a customer");
            let next = PageRequest::new(Some(20), Some(cursor)).unwrap();
            next.after("orders of a customer", SortType::Time).unwrap()
        });
    });
}

fn bodies(c: &mut Criterion) {
    let order = order_of("product_01kbb0000000000000000000zz", 1).to_string();
    c.bench_function("body of an order", |b| {
        b.iter(|| {
            json::parse::<CreateOrderForm>(black_box(order.as_bytes())).map(|form| form.check().is_ok())
        });
    });
    let change = json!({ "status": "cancelled", "reason": "changed my mind" }).to_string();
    c.bench_function("body of a change", |b| {
        b.iter(|| {
            json::parse::<UpdateOrderForm>(black_box(change.as_bytes())).map(|form| form.check().is_ok())
        });
    });
}

fn decisions(c: &mut Criterion) {
    let product = ProductId::new();
    let form: CreateOrderForm =
        json::parse(order_of(&product.to_string(), 1).to_string().as_bytes()).unwrap();
    let customer = UserId::new();
    let placing = PlacementContext {
        id: OrderId::new(),
        number: Number::from_bits(1),
        user_id: customer,
        by: customer,
        under: None,
        at: NOW,
        expires_at: NOW,
        open_slot: None,
    };
    let unit_price = Money::from_stored(500, Currency::from_stored("EUR").unwrap());
    let item = Item {
        product_id: product,
        sku: "MUG".to_owned(),
        name: "Mug".to_owned(),
        unit_price,
        quantity: 1,
        amounts: ItemAmounts::default(),
    };
    let order = Order::place(placing, form.check().unwrap(), vec![item]).unwrap();
    let change: UpdateOrderForm = json::parse(br#"{"status":"cancelled"}"#).unwrap();
    let change = change.check().unwrap();
    let caller = Caller::User { id: customer, role: Role::Customer };
    c.bench_function("decision", |b| {
        b.iter(|| black_box(&order).clone().decide(change.clone(), caller, NOW).unwrap().unwrap());
    });
}

criterion_group!(paths, tokens, events, envelopes, problems, cursors, bodies, decisions);
criterion_main!(paths);
