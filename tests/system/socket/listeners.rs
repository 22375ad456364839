//! Bad clients at the socket of a shop: what they cost, and what they cannot do to others.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::Method;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use shared::http::base_path::BasePath;
use shared::runtime::listener::{Limits, Settings};
use shared::runtime::run::ServiceApp;
use shared::runtime::socket::{self, Reflection};
use tests::answer::Answer;
use tests::in_process::InProcess;
use tests::shop::order_of;
use tests::support::raw::raw;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// All functions of a shop at one more port, with limits of a test.
struct Port {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<bool>,
}

impl Port {
    async fn open(shop: &InProcess, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let function = ServiceApp::new(shop.backend.router());
        let settings = Settings { limits, ..Settings::default() };
        let served = tokio::spawn(async move {
            let stop = async { drop(stopped.await) };
            socket::serve_within(listener, function, Reflection::Off, settings, stop).await.is_ok()
        });
        Self { address, stop, served }
    }

    /// Stops, and waits for all work, also that without a client.
    async fn stops(self) {
        self.stop.send(()).unwrap();
        assert!(self.served.await.unwrap());
    }
}

/// Reads an answer on a connection that stays open.
async fn answer(stream: &mut TcpStream, request: &str) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap().parse().unwrap();
    let headers: http::HeaderMap = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap()))
        .collect();
    let length = headers["content-length"].to_str().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Answer { request: request.to_owned(), status, headers, body, base_path: BasePath::default() }
}

fn post_order(length: usize) -> Vec<u8> {
    let head = format!(
        "POST /orders HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: \
         {length}\r\n\r\n"
    );
    [head.as_bytes(), &vec![b' '; length]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_refused_bodies_on_one_connection_have_answers() {
    let shop = InProcess::open().await;
    // A busy machine may need longer than a second.
    let long = Duration::from_secs(60);
    let port = Port::open(&shop, Limits { rest: long, linger: long, ..Limits::DEFAULT }).await;
    for length in [0, 2_000, 20_000, 65_536, 100_000, 262_145, 300_000].repeat(3) {
        let mut stream = TcpStream::connect(port.address).await.unwrap();
        for _ in 0..3 {
            stream.write_all(&post_order(length)).await.unwrap();
            let refused = answer(&mut stream, &format!("{length} bytes")).await;
            assert_eq!(refused.problem(401, "unauthenticated").header("connection"), None);
        }
        // One that is larger than anything is answered too, and is the last.
        stream.write_all(&post_order(20_000_000)).await.unwrap();
        let last = answer(&mut stream, "20 MB").await.problem(401, "unauthenticated");
        assert_eq!(last.header("connection"), Some("close"));
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    }
    port.stops().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stays_away_is_a_408_and_changes_nothing() {
    let shop = InProcess::open().await;
    let body = Duration::from_millis(300);
    let port = Port::open(&shop, Limits { body, ..Limits::DEFAULT }).await;
    let (begin, late) = (Instant::now(), late(&shop, port.address).await);
    assert!(begin.elapsed() >= body);
    assert_eq!(late.problem(408, "request-timeout").header("connection"), Some("close"));
    let orders = shop.database.collection::<Document>("orders");
    assert_eq!(orders.count_documents(doc! {}).await.unwrap(), 0);
    port.stops().await;
}

/// Answer to an order half of which is sent.
async fn late(shop: &InProcess, address: SocketAddr) -> Answer {
    let mug = shop.product(1).await;
    let customer = shop.customer().await;
    let order = order_of(&mug, 1).to_string();
    let token = customer.token.unwrap();
    let head = format!(
        "POST /orders HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nauthorization: Bearer \
         {token}\r\ncontent-length: {}\r\n\r\n",
        order.len()
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&order.as_bytes()[..order.len() / 2]).await.unwrap();
    answer(&mut stream, "half an order").await
}

/// The 408 of a shop.
pub(crate) async fn request_timeout(shop: &InProcess) -> Answer {
    let body = Duration::from_millis(50);
    let port = Port::open(shop, Limits { body, ..Limits::DEFAULT }).await;
    let late = late(shop, port.address).await;
    port.stops().await;
    late
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_hang_up_leave_no_hold_without_an_order() {
    let shop = InProcess::open().await;
    let (mug, customer) = (shop.product(1_000).await, shop.customer().await);
    let port = Port::open(&shop, Limits::DEFAULT).await;
    let clients = (0..60_u64).map(|number| {
        let at_port = customer.at(&format!("http://{}", port.address));
        let body = order_of(&mug, 1);
        async move {
            let request = at_port.request(Method::POST, "/orders").json(&body);
            // The client hangs up: what comes of its request is asked of the database.
            let patience = Duration::from_millis(number * 40 / 60);
            let _ = tokio::time::timeout(patience, at_port.outcome(request)).await;
        }
    });
    futures::future::join_all(clients).await;
    // The stop waits for the work that has lost its client.
    port.stops().await;
    let orders = shop.database.collection::<Document>("orders").count_documents(doc! {}).await.unwrap();
    let (_, reserved, _) = shop.stock(&mug).await;
    assert_eq!(u64::try_from(reserved).unwrap(), orders);
    let checked = shop.backend.check_consistency(None).await.unwrap();
    assert_eq!(checked.violations, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_host_gets_nothing_from_a_loopback_address() {
    let shop = InProcess::open().await;
    let (admin, anyone) = (shop.admin(), shop.anyone());
    for path in ["/", "/docs", "/health", "/products", "/orders", "/nothing"] {
        for host in ["evil.example:8080", "localhost.evil.example", "192.168.0.1"] {
            let request = anyone.request(Method::GET, path).header("host", host);
            // A page gets an answer without leave to read it.
            let foreign = anyone.answer(request.header("origin", "http://evil.example:8080")).await;
            let foreign = foreign.problem(421, "misdirected-request");
            assert_eq!(foreign.header("access-control-allow-origin"), None);
        }
    }
    let sku = json!({ "sku": "EVIL", "name": "Evil", "price": { "amount": 1, "currency": "EUR" } });
    let request = admin.request(Method::POST, "/products").header("host", "evil.example").json(&sku);
    admin.answer(request).await.problem(421, "misdirected-request");
    assert!(anyone.get("/products").await.expect(200).data().is_empty());
    for host in ["localhost:1", "127.0.0.1", "[::1]:8080"] {
        let request = anyone.request(Method::GET, "/products").header("host", host);
        anyone.answer(request).await.expect(200);
    }
    // The target says it, too.
    raw(&shop, "GET http://evil.example/products", &[], b"").await.problem(421, "misdirected-request");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_other_addresses_every_host_is_served() {
    let shop = InProcess::open().await;
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let function = ServiceApp::new(shop.backend.router());
    tokio::spawn(socket::serve(listener, function, Reflection::Off, std::future::pending()));
    let anyone = shop.anyone().at(&format!("http://127.0.0.1:{port}"));
    let request = anyone.request(Method::GET, "/products").header("host", "product-service:50052");
    anyone.answer(request).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_and_slow_clients_do_not_keep_others_out() {
    let shop = InProcess::open().await;
    let limits = Limits { connections: 20, ..Limits::DEFAULT };
    let port = Port::open(&shop, limits).await;
    let mut bad = Vec::new();
    for number in 0..100 {
        let mut stream = TcpStream::connect(port.address).await.unwrap();
        // Silent, slow with the head, slow with the body, and without interest in the answer.
        let begin = match number % 4 {
            0 => String::new(),
            1 => "GET /products HT".to_owned(),
            2 => "POST /auth HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n{".to_owned(),
            _ => "GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(20),
        };
        // It fails once the connection was closed for another one.
        let _ = stream.write_all(begin.as_bytes()).await;
        bad.push(stream);
        let anyone = shop.anyone().at(&format!("http://{}", port.address));
        anyone.get("/health").await.expect(200);
    }
    drop(bad);
    port.stops().await;
}
