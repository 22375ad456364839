//! Spans of the deployed programs, as X-Ray's daemon gets them.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails in a test fails the test")]

use std::io::ErrorKind;
use std::time::Duration;

use serde_json::{Value, json};
use tests::lambda::{Options, Settings};
use tests::on_lambda::OnLambda;
use tests::shop::order_of;
use tokio::net::UdpSocket;

/// A shop that sends spans to a daemon of the test. X-Ray keeps its traces, or not.
async fn traced(keeps_traces: bool) -> (OnLambda, UdpSocket) {
    let daemon = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = daemon.local_addr().unwrap().to_string();
    let tracing = |functions: Vec<Settings>| {
        let traced = |function: Settings| {
            function.variable("XRAY_SPANS", "true").variable("AWS_XRAY_DAEMON_ADDRESS", &address)
        };
        functions.into_iter().map(traced).collect()
    };
    let options = Options { keeps_traces, ..Options::default() };
    (OnLambda::open_with(options, tracing).await, daemon)
}

/// Document in a datagram that is there or comes soon.
async fn document(daemon: &UdpSocket) -> Value {
    let mut bytes = vec![0; 65_536];
    let receiving = tokio::time::timeout(Duration::from_secs(10), daemon.recv(&mut bytes));
    let length = receiving.await.expect("no datagram").unwrap();
    let text = std::str::from_utf8(&bytes[..length]).unwrap();
    let (header, document) = text.split_once('\n').unwrap();
    assert_eq!(header, r#"{"format":"json","version":1}"#);
    serde_json::from_str(document).unwrap()
}

/// Documents up to the one with this name, which is the last one.
async fn documents_until(daemon: &UdpSocket, name: &str) -> Vec<Value> {
    let mut documents = Vec::new();
    loop {
        documents.push(document(daemon).await);
        if documents.last().unwrap()["name"] == name {
            return documents;
        }
    }
}

fn named<'a>(documents: &'a [Value], name: &str) -> &'a Value {
    documents.iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("no {name}: {documents:#?}"))
}

const HOLD: &str = "oms.products.v1.ProductService/HoldStock";

#[tokio::test]
async fn x_ray_gets_the_spans_of_a_request_and_its_calls() {
    let (shop, daemon) = traced(true).await;
    let (ada, product) = (shop.customer().await, shop.product(2).await);
    // Keys are fetched once, in a call of its own.
    ada.get("/orders").await.expect(200);
    shop.lambda.record_calls();
    let order = ada.post("/orders", order_of(&product, 1)).await.expect(201).id();
    ada.get(&format!("/orders/{order}")).await.expect(200);
    let documents = documents_until(&daemon, "GET /orders/:id").await;

    let placed = named(&documents, "POST /orders");
    let part = |key: &str| placed[key].as_str().unwrap().to_owned();
    assert_eq!((part("type"), part("parent_id").len(), part("id").len()), ("subsegment".into(), 16, 16));
    assert!(part("trace_id").starts_with("1-00000000-"), "{placed:#}");
    assert_eq!(placed["http"], json!({ "response": { "status": 201 } }));
    let expected = json!({
        "http_request_method": "POST", "http_route": "/orders", "http_response_status_code": 201,
    });
    assert_eq!(placed["annotations"], expected);
    let below = placed["subsegments"].as_array().unwrap();
    let call = named(below, HOLD);
    assert_eq!(
        (&call["namespace"], &call["annotations"]["rpc_grpc_status_code"]),
        (&json!("remote"), &json!(0))
    );
    let insert = named(below, "insert orders");
    let expected = json!({
        "db_system_name": "mongodb", "db_operation_name": "insert", "db_collection_name": "orders",
    });
    assert_eq!(insert["annotations"], expected);

    // The call has gone out below the span of the call, by W3C and by X-Ray.
    let calls = shop.lambda.calls();
    let sent = calls.iter().find(|call| call.method == "HoldStock").unwrap();
    let sent = String::from_utf8(sent.payload.to_vec()).unwrap();
    assert!(sent.contains(&format!("-{}-01", call["id"].as_str().unwrap())), "{sent}");
    let held =
        documents.iter().find(|it| it["name"] == HOLD && it["trace_id"] == placed["trace_id"]).unwrap();
    assert!(!held["subsegments"].as_array().unwrap().is_empty(), "{held:#}");
    assert_eq!(held["annotations"]["rpc_grpc_status_code"], 0);

    let all = format!("{documents:?}");
    for personal in [order.as_str(), &product, &ada.id, &ada.email, "127.0.0.1"] {
        assert!(!all.contains(personal), "{personal}");
    }
}

#[tokio::test]
async fn x_ray_gets_nothing_of_traces_that_it_does_not_keep() {
    let (shop, daemon) = traced(false).await;
    let (ada, product) = (shop.customer().await, shop.product(2).await);
    ada.post("/orders", order_of(&product, 1)).await.expect(201);
    // Spans are sent before the answer, and arrive at once on this machine.
    let received = daemon.try_recv(&mut [0; 1_024]);
    assert_eq!(received.unwrap_err().kind(), ErrorKind::WouldBlock);
}
