//! Signatures of calls over sockets: nothing that was changed, is too old, or was signed by somebody else, is run.
//!
//! The client here is hyper alone, so that it can send what no channel would.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use prost::Message as _;
use proto::products::v1::{GetProductRequest, HoldStockRequest, StockItem};
use ring::{digest, hmac};
use shared::rpc::signature::CallersSecret;
use shared::runtime::secrets::{Secret, SecretSource};
use shared::runtime::socket::{self, Reflection};
use shared::values::clock::Clock;
use shared::values::ids::OrderId;
use tests::CALLERS_SECRET;
use tests::in_process::InProcess;
use tokio::net::TcpListener;
use tonic::{Code, Status};

use crate::socket::services::{Services, callers_secret, function, serve};

const HOLD: &str = "/oms.products.v1.ProductService/HoldStock";
const GET: &str = "/oms.products.v1.ProductService/GetProduct";
const OTHER_SECRET: &str = "another secret of callers, 32 bytes or more";

/// Products on a socket, and a product of which there are 10.
struct Scene {
    shop: InProcess,
    address: SocketAddr,
    mug: String,
}

impl Scene {
    async fn open() -> Self {
        let shop = InProcess::open().await;
        let address = Services::open(&shop).await.products;
        let mug = shop.product(10).await;
        Self { shop, address, mug }
    }

    /// A signed call that holds one piece for an order of its own.
    fn hold(&self) -> Call {
        let items = vec![StockItem { product_id: self.mug.clone(), quantity: 1 }];
        let hold = HoldStockRequest { order_id: OrderId::new().to_string(), revision: 1, items };
        Call::of(HOLD, &hold.encode_to_vec()).signed(CALLERS_SECRET)
    }

    async fn sends(&self, call: Call) -> (Code, String) {
        call.sent_to(self.address).await
    }

    /// Sends a call that must be refused, and checks that nothing was done and nothing was given away.
    async fn refuses(&self, case: &str, call: Call) -> Code {
        let (code, said) = self.sends(call).await;
        assert_ne!(code, Code::Ok, "{case}");
        for secret in [CALLERS_SECRET, OTHER_SECRET] {
            assert!(!said.contains(secret), "{case}: {said}");
        }
        assert_eq!(self.shop.stock(&self.mug).await, (10, 0, 10), "{case}: {said}");
        code
    }
}

/// A call as bytes.
#[derive(Clone)]
struct Call {
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Call {
    /// A call of orders that is not signed yet.
    fn of(path: &str, message: &[u8]) -> Self {
        let body = [&[0], &u32::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat();
        let call = Self { path: path.to_owned(), headers: HeaderMap::new(), body };
        let deadline = Clock::system().now().after(Duration::from_secs(20)).millis().to_string();
        call.with("content-type", "application/grpc")
            .with("te", "trailers")
            .with("oms-caller", "system")
            .with("oms-caller-function", "orders")
            .with("oms-deadline", &deadline)
            .with("x-request-id", "Order-7_a.b")
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.parse().unwrap());
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    fn due_in(self, millis: i64) -> Self {
        let deadline = Clock::system().now().millis() + millis;
        self.with("oms-deadline", &deadline.to_string())
    }

    /// Signs it as the documentation says.
    fn signed(self, secret: &str) -> Self {
        let text = |name: &str| self.headers.get(name).map_or("", |value| value.to_str().unwrap());
        let body = BASE64.encode(digest::digest(&digest::SHA256, &self.body));
        let lines = [
            "oms-signature-v1",
            &self.path,
            text("oms-caller"),
            text("oms-caller-function"),
            text("oms-deadline"),
            text("x-request-id"),
            &body,
        ];
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let signature = format!("v1={}", BASE64.encode(hmac::sign(&key, lines.join("\n").as_bytes())));
        self.with("oms-signature", &signature)
    }

    async fn sent_to(self, address: SocketAddr) -> (Code, String) {
        let body = Bytes::from(self.body.clone());
        self.streamed_to(address, stream::iter([body])).await
    }

    /// Sends it with this body, in pieces.
    async fn streamed_to(
        self,
        address: SocketAddr,
        body: impl Stream<Item = Bytes> + Send + 'static,
    ) -> (Code, String) {
        let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        let frames = Box::pin(body.map(|piece| Ok::<_, Infallible>(Frame::data(piece))));
        let mut request = Request::post(format!("http://{address}{}", self.path));
        *request.headers_mut().unwrap() = self.headers;
        let request = request.body(StreamBody::new(frames)).unwrap();
        let response = client.request(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().and_then(Status::from_header_map);
        let status = trailers.or_else(|| Status::from_header_map(&head.headers)).unwrap();
        (status.code(), status.message().to_owned())
    }
}

#[tokio::test]
async fn a_call_signed_as_documented_is_run() {
    let scene = Scene::open().await;
    for call in [
        scene.hold(),
        scene.hold().without("oms-caller-function").signed(CALLERS_SECRET),
        scene.hold().without("x-request-id").signed(CALLERS_SECRET),
        // What is not signed may be added on the way.
        scene.hold().with("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        scene.hold().with("grpc-timeout", "10S"),
    ] {
        assert_eq!(scene.sends(call).await, (Code::Ok, String::new()));
    }
    assert_eq!(scene.shop.stock(&scene.mug).await, (10, 5, 5));
}

#[tokio::test]
async fn a_call_without_its_own_signature_is_refused() {
    let scene = Scene::open().await;
    let good = scene.hold();
    let signature = good.headers["oms-signature"].to_str().unwrap().to_owned();
    let other = scene.hold().headers["oms-signature"].to_str().unwrap().to_owned();
    let mut bad = vec![("none", good.clone().without("oms-signature"))];
    for (case, value) in [
        ("empty", String::new()),
        ("of another call", other),
        ("cut", signature[..signature.len() - 1].to_owned()),
        ("half", signature[..signature.len() / 2].to_owned()),
        ("of another version", signature.replace("v1=", "v2=")),
        ("without version", signature.replace("v1=", "")),
        ("twice in one", format!("{signature},{signature}")),
        ("of nothing", format!("v1={}", "A".repeat(43))),
        ("long", format!("v1={}", "A".repeat(10_000))),
    ] {
        bad.push((case, good.clone().with("oms-signature", &value)));
    }
    let mut twice = good.clone();
    twice.headers.append("oms-signature", signature.parse().unwrap());
    bad.push(("twice", twice));
    bad.push(("of another secret", good.clone().signed(OTHER_SECRET)));
    bad.push(("of an empty secret", good.clone().signed("")));
    for (case, call) in bad {
        assert_eq!(scene.refuses(case, call).await, Code::Unauthenticated, "{case}");
    }
    assert_eq!(scene.sends(good).await.0, Code::Ok);
}

#[tokio::test]
async fn a_signature_is_good_for_its_own_call_alone() {
    let scene = Scene::open().await;
    let good = scene.hold();
    let mut other_body = good.clone();
    let last = other_body.body.len() - 1;
    other_body.body[last] ^= 1;
    let mut longer = good.clone();
    longer.body.push(0);
    let mut shorter = good.clone();
    shorter.body.pop();
    let mut again = good.clone();
    again.body = [good.body.clone(), good.body.clone()].concat();
    let path = |path: &str| Call { path: path.to_owned(), ..good.clone() };
    let deadline = good.headers["oms-deadline"].to_str().unwrap().parse::<i64>().unwrap();
    for (case, call) in [
        ("another method", path("/oms.products.v1.ProductService/ShipStock")),
        ("a method for anybody", path(GET)),
        ("no method", path("/oms.products.v1.ProductService/DropTables")),
        ("another service", path("/oms.users.v1.UserService/GetUser")),
        ("another body", other_body),
        ("a longer body", longer),
        ("a shorter body", shorter),
        ("the body twice", again),
        ("another function", good.clone().with("oms-caller-function", "products")),
        ("no function", good.clone().without("oms-caller-function")),
        ("a later deadline", good.clone().with("oms-deadline", &(deadline + 1).to_string())),
        ("an earlier deadline", good.clone().with("oms-deadline", &(deadline - 1).to_string())),
        ("another request ID", good.clone().with("x-request-id", "another")),
        ("no request ID", good.clone().without("x-request-id")),
    ] {
        assert_eq!(scene.refuses(case, call).await, Code::Unauthenticated, "{case}");
    }
    // Without its caller it is a call of anybody, who may not hold stock.
    let anyone = good.clone().without("oms-caller");
    assert_eq!(scene.refuses("no caller", anyone).await, Code::PermissionDenied);
}

#[tokio::test]
async fn a_deadline_bounds_how_long_a_signature_is_good() {
    let scene = Scene::open().await;
    for (case, millis) in [("a minute", 60_000), ("a year", 31_536_000_000), ("no end", i64::MAX / 2)] {
        let call = scene.hold().due_in(millis).signed(CALLERS_SECRET);
        assert_eq!(scene.refuses(case, call).await, Code::Unauthenticated, "{case}");
    }
    for (case, millis) in
        [("just over", -1), ("long over", -60_000), ("in 1970", -Clock::system().now().millis())]
    {
        let call = scene.hold().due_in(millis).signed(CALLERS_SECRET);
        assert_eq!(scene.refuses(case, call).await, Code::DeadlineExceeded, "{case}");
    }
    let without = scene.hold().without("oms-deadline").signed(CALLERS_SECRET);
    assert_eq!(scene.refuses("none", without).await, Code::Unauthenticated);
    for text in ["soon", "", "1e15", "99999999999999999999"] {
        let call = scene.hold().with("oms-deadline", text).signed(CALLERS_SECRET);
        assert_eq!(scene.refuses(text, call).await, Code::Unauthenticated, "{text}");
    }
    // gRPC's own timeout makes the time shorter, and never longer.
    let short = scene.hold().with("grpc-timeout", "1n").signed(CALLERS_SECRET);
    assert_eq!(scene.refuses("a nanosecond", short).await, Code::DeadlineExceeded);
    let call = scene.hold().due_in(60_000).with("grpc-timeout", "1S").signed(CALLERS_SECRET);
    assert_eq!(scene.refuses("a minute, and a second", call).await, Code::Unauthenticated);
}

#[tokio::test]
async fn a_replay_within_the_deadline_changes_nothing() {
    let scene = Scene::open().await;
    let call = scene.hold();
    for _ in 0..5 {
        assert_eq!(scene.sends(call.clone()).await.0, Code::Ok);
    }
    assert_eq!(scene.shop.stock(&scene.mug).await, (10, 1, 9));
}

#[tokio::test]
async fn a_user_who_is_signed_for_is_believed_by_the_token_alone() {
    let scene = Scene::open().await;
    let admin = format!("Bearer {}", scene.shop.admin().token.unwrap());
    let get = || Call::of(GET, &GetProductRequest { id: scene.mug.clone() }.encode_to_vec());
    // A function may not call this one, its user may.
    let alone = get().signed(CALLERS_SECRET);
    assert_eq!(scene.sends(alone).await.0, Code::PermissionDenied);
    let both = get().with("authorization", &admin).signed(CALLERS_SECRET);
    assert_eq!(scene.sends(both).await.0, Code::Ok);
    // And the user may not call what functions may.
    let both = scene.hold().with("authorization", &admin);
    assert_eq!(scene.refuses("hold", both).await, Code::PermissionDenied);
    // A token does not excuse a bad signature, nor a good signature a bad token.
    let unsigned = get().with("authorization", &admin);
    assert_eq!(scene.sends(unsigned).await.0, Code::Unauthenticated);
    let bad = scene.hold().with("authorization", "Bearer x");
    assert_eq!(scene.refuses("bad token", bad).await, Code::Unauthenticated);
    let user = scene.shop.admin().id.clone();
    let claim = get().with("oms-caller", &user).with("oms-caller-role", "admin").signed(CALLERS_SECRET);
    assert_eq!(scene.sends(claim).await.0, Code::PermissionDenied);
}

#[tokio::test]
async fn the_previous_secret_is_good_while_both_are_set() {
    let shop = InProcess::open().await;
    let mug = shop.product(10).await;
    let app = shop.backend.products.clone();
    let source = |text: &str| -> Arc<dyn SecretSource> { Arc::new(Secret::new(text)) };
    let both = CallersSecret::new(source(OTHER_SECRET), Some(source(CALLERS_SECRET)));
    let new = CallersSecret::new(source(OTHER_SECRET), None);
    let between = serve(function(app.router.clone(), app.rpc.clone().trusting(Some(both)))).await;
    let after = serve(function(app.router, app.rpc.trusting(Some(new)))).await;
    let scene = Scene { shop, address: between, mug };
    assert_eq!(scene.sends(scene.hold()).await.0, Code::Ok);
    assert_eq!(scene.sends(scene.hold().signed(OTHER_SECRET)).await.0, Code::Ok);
    assert_eq!(scene.hold().sent_to(after).await.0, Code::Unauthenticated);
    assert_eq!(scene.hold().signed(OTHER_SECRET).sent_to(after).await.0, Code::Ok);
    assert_eq!(scene.shop.stock(&scene.mug).await, (10, 3, 7));
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_before_its_end() {
    let scene = Scene::open().await;
    let large = Call::of(HOLD, &vec![0; 300 * 1024]).signed(CALLERS_SECRET);
    let (code, said) = scene.sends(large).await;
    assert_eq!(code, Code::ResourceExhausted, "{said}");
    // One that never ends, in pieces.
    let piece = Bytes::from(vec![0; 64 * 1024]);
    let endless = stream::repeat(piece);
    let (code, said) = scene.hold().streamed_to(scene.address, endless).await;
    assert_eq!(code, Code::ResourceExhausted, "{said}");
    assert_eq!(scene.shop.stock(&scene.mug).await, (10, 0, 10));
}

#[tokio::test]
async fn a_body_that_does_not_end_costs_no_more_than_the_deadline() {
    let scene = Scene::open().await;
    let silent = |call: Call| {
        let begun = Bytes::from(call.body.clone());
        call.streamed_to(scene.address, stream::iter([begun]).chain(stream::pending()))
    };
    let started = Instant::now();
    let (code, said) = silent(scene.hold().due_in(1_000).signed(CALLERS_SECRET)).await;
    assert_eq!(code, Code::DeadlineExceeded, "{said}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    // Without a signature nothing of it is waited for.
    let (code, _) = silent(scene.hold().without("oms-signature")).await;
    assert_eq!(code, Code::Unauthenticated);
    let pieces = scene.hold();
    let slowly = stream::iter(pieces.body.clone()).then(|byte| async move {
        tokio::task::yield_now().await;
        Bytes::from(vec![byte])
    });
    assert_eq!(pieces.streamed_to(scene.address, slowly).await.0, Code::Ok);
    assert_eq!(scene.shop.stock(&scene.mug).await, (10, 1, 9));
}

#[tokio::test]
async fn reflection_is_off_unless_it_is_asked_for() {
    let shop = InProcess::open().await;
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    // A request for the list of services.
    let list = Call::of(path, &[0x3a, 0]).without("oms-caller").without("oms-caller-function");
    for (reflection, code) in [(Reflection::Off, Code::Unimplemented), (Reflection::On, Code::Ok)] {
        let app = shop.backend.products.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let function = function(app.router, app.rpc.trusting(Some(callers_secret())));
        tokio::spawn(socket::serve(listener, function, reflection, std::future::pending()));
        for path in [path, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"] {
            let call = Call { path: path.to_owned(), ..list.clone() };
            assert_eq!(call.sent_to(address).await.0, code, "{path}");
        }
        // Health is there either way.
        let health =
            Call { path: "/grpc.health.v1.Health/Check".to_owned(), body: vec![0; 5], ..list.clone() };
        assert_eq!(health.sent_to(address).await.0, Code::Ok);
    }
}
