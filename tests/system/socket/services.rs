//! Functions as ordinary services, each at a port of its own.
//!
//! REST and gRPC share a port, calls go over HTTP/2 with the same bytes as in an envelope, and identity in metadata is
//! believed or refused.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, Method};
use http_body_util::{BodyExt as _, Full};
use proto::orders::v1::order_service_client::OrderServiceClient;
use proto::orders::v1::{CreateOrderRequest, ListOrdersRequest, NewOrderItem};
use proto::products::v1::product_service_client::ProductServiceClient;
use proto::products::v1::{CreateProductRequest, GetProductRequest, HoldStockRequest, StockItem};
use serde_json::json;
use shared::auth::{Caller, Role, Signer};
use shared::rpc::channel::{Channel, Invoke};
use shared::rpc::envelope::{self, Answer};
use shared::rpc::http2::Http2;
use shared::rpc::metadata;
use shared::rpc::server::RpcServer;
use shared::rpc::signature::CallersSecret;
use shared::runtime::context::Context;
use shared::runtime::run::ServiceApp;
use shared::runtime::secrets::Secret;
use shared::runtime::socket::{self, Reflection};
use shared::values::clock::{Clock, Timestamp};
use shared::values::ids::{OrderId, ProductId};
use tests::in_process::InProcess;
use tests::shop::order_of;
use tests::{CALLERS_SECRET, JWT_SECRET};
use tokio::net::TcpListener;
use tonic::{Code, Status};
use tower::ServiceExt as _;
use users::tokens::KeyRing;

use crate::support::grpc::{by, caller, claiming, wire_address};

/// The three functions of a shop, each at a port of its own.
pub(crate) struct Services {
    pub(crate) orders: SocketAddr,
    pub(crate) products: SocketAddr,
    pub(crate) users: SocketAddr,
}

impl Services {
    pub(crate) async fn open(shop: &InProcess) -> Self {
        Self::open_with(shop, Some(callers_secret())).await
    }

    /// The same with this secret of products and orders; users always have that of the tests.
    async fn open_with(shop: &InProcess, callers: Option<CallersSecret>) -> Self {
        let clock = Clock::system();
        let database = shop.database.clone();
        let signer = Signer::from_secret(JWT_SECRET).unwrap();
        let keys = KeyRing::fixed(signer, clock.clone());
        let app = users::app(users::Dependencies {
            database: database.clone(),
            keys,
            rate_limit_per_address: 0,
            clock: clock.clone(),
        });
        let users = serve(function(app.router, app.rpc.trusting(Some(callers_secret())))).await;
        let app = products::app(products::Dependencies {
            database: database.clone(),
            users: over_http2(users),
            clock: clock.clone(),
        });
        let products = serve(function(app.router, app.rpc.trusting(callers.clone()))).await;
        let app = orders::app(orders::Dependencies {
            database,
            products: over_http2(products),
            users: over_http2(users),
            payment_window: orders::DEFAULT_PAYMENT_WINDOW,
            return_window: orders::DEFAULT_RETURN_WINDOW,
            limits: orders::CustomerLimits::NONE,
            clock,
        });
        let orders = serve(function(app.router, app.rpc.trusting(callers))).await;
        Self { orders, products, users }
    }
}

pub(crate) fn function(router: Router, rpc: RpcServer) -> ServiceApp {
    ServiceApp::new(router).with_rpc(rpc)
}

/// Serves until the test ends.
pub(crate) async fn serve(function: ServiceApp) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(socket::serve(listener, function, Reflection::On, std::future::pending()));
    address
}

/// Secret that the functions of all tests share.
pub(crate) fn callers_secret() -> CallersSecret {
    CallersSecret::new(Arc::new(Secret::new(CALLERS_SECRET)), None)
}

/// A channel that signs, as that of another function.
pub(crate) fn over_http2(address: SocketAddr) -> Channel {
    Channel::over_http2(http2(address).signed_with(callers_secret()), Clock::system())
}

pub(crate) fn http2(address: SocketAddr) -> Http2 {
    Http2::new(address.to_string().parse().unwrap())
}

fn to_products(address: SocketAddr) -> ProductServiceClient<Channel> {
    ProductServiceClient::new(over_http2(address))
}

fn base(address: SocketAddr) -> String {
    format!("http://{address}")
}

fn order_message(product: &str, quantity: i64) -> CreateOrderRequest {
    let item = NewOrderItem {
        product_id: Some(product.to_owned()),
        quantity: Some(quantity),
        ..NewOrderItem::default()
    };
    CreateOrderRequest {
        items: vec![item],
        shipping_address: Some(wire_address()),
        ..CreateOrderRequest::default()
    }
}

/// A message from a user who has signed in, as any gRPC client would send it.
fn with_token<T>(token: &str, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

fn hold(product: &str) -> HoldStockRequest {
    let line = StockItem { product_id: product.to_owned(), quantity: 1 };
    HoldStockRequest { order_id: OrderId::new().to_string(), revision: 1, items: vec![line] }
}

#[tokio::test]
async fn functions_over_http2_take_orders_over_rest_and_grpc() {
    let shop = InProcess::open().await;
    let services = Services::open(&shop).await;
    let ada = shop.anyone().at(&base(services.users));
    let user = json!({ "email": "ada@example.com", "password": tests::person::PASSWORD, "name": "Ada" });
    let id = ada.post("/users", user).await.expect(201).id();
    let ada = ada.signs_in("ada@example.com", tests::person::PASSWORD).await;
    let mug = shop.product(10).await;

    let at_orders = ada.at(&base(services.orders));
    let order = at_orders.post("/orders", order_of(&mug, 2)).await.expect(201);
    assert_eq!(order["user_id"], id.as_str());
    let mut client = OrderServiceClient::new(over_http2(services.orders));
    let token = ada.token.clone().unwrap();
    let placed = client.create_order(with_token(&token, order_message(&mug, 3))).await.unwrap().into_inner();
    assert_eq!((placed.user_id.as_str(), placed.status.as_str()), (id.as_str(), "placed"));
    assert_eq!(shop.stock(&mug).await, (10, 5, 5));

    // A refusal comes back whole from a function two sockets away.
    let short = at_orders.post("/orders", order_of(&mug, 6)).await.problem(409, "insufficient-stock");
    assert_eq!(short["items"][0]["available"], 5);
    at_orders.moves(&placed.id, "cancelled").await.expect(200);
    assert_eq!(shop.stock(&mug).await, (10, 2, 8));
    let listed = client.list_orders(with_token(&token, ListOrdersRequest::default())).await.unwrap();
    assert_eq!(listed.into_inner().data.len(), 2);
}

#[tokio::test]
async fn without_trust_a_call_that_names_its_caller_is_refused() {
    let shop = InProcess::open().await;
    let (mug, ada) = (shop.product(10).await, shop.customer().await);
    let code = |answer: Result<_, Status>| answer.err().map(|status| status.code());
    let get = GetProductRequest { id: mug.clone() };
    let admin = shop.admin().token.unwrap();
    // Signed for one that has no secret, and not signed for one that has, from loopback.
    let without_secret = Services::open_with(&shop, None).await;
    let signing = to_products(without_secret.products);
    let services = Services::open(&shop).await;
    let unsigned = Channel::over_http2(http2(services.products), Clock::system());
    for mut products in [signing, ProductServiceClient::new(unsigned)] {
        for said in [Caller::System, caller(&shop.admin(), Role::Admin), caller(&ada, Role::Customer)] {
            let claim =
                |request| if said == Caller::System { by(said, request) } else { claiming(said, request) };
            let answer = products.hold_stock(claim(hold(&mug))).await.map(|_| ());
            assert_eq!(code(answer), Some(Code::Unauthenticated), "{said}");
            let mut claimed = claim(hold(&mug)).map(|_| get.clone());
            claimed.extensions_mut().clear();
            assert_eq!(code(products.get_product(claimed).await.map(|_| ())), Some(Code::Unauthenticated));
        }
        // Nor together with a token.
        let mut both = by(Caller::System, hold(&mug));
        both.metadata_mut().insert("authorization", format!("Bearer {admin}").parse().unwrap());
        assert_eq!(code(products.hold_stock(both).await.map(|_| ())), Some(Code::Unauthenticated));
        let mut reads = by(Caller::System, get.clone());
        reads.metadata_mut().insert("authorization", format!("Bearer {admin}").parse().unwrap());
        assert_eq!(code(products.get_product(reads).await.map(|_| ())), Some(Code::Unauthenticated));
    }
    let mut products = to_products(services.products);
    // Anybody may see a product, and nobody from outside may hold it.
    assert_eq!(products.get_product(by(Caller::Anonymous, get)).await.unwrap().into_inner().id, mug);
    let answer = products.hold_stock(by(Caller::Anonymous, hold(&mug))).await.map(|_| ());
    assert_eq!(code(answer), Some(Code::PermissionDenied));
    let answer = products.hold_stock(with_token(&admin, hold(&mug))).await.map(|_| ());
    assert_eq!(code(answer), Some(Code::PermissionDenied));
    assert_eq!(shop.stock(&mug).await, (10, 0, 10));
    // A token is verified, with the keys of the users function.
    let mut orders = OrderServiceClient::new(over_http2(services.orders));
    let list = ListOrdersRequest::default();
    let token = ada.token.clone().unwrap();
    assert_eq!(orders.list_orders(with_token(&token, list.clone())).await.unwrap().into_inner().data, []);
    for bad in ["", "x", &token[..token.len() - 4]] {
        let answer = orders.list_orders(with_token(bad, list.clone())).await.map(|_| ());
        assert_eq!(code(answer), Some(Code::Unauthenticated), "{bad}");
    }
    let answer = orders.list_orders(by(Caller::Anonymous, list)).await.map(|_| ());
    assert_eq!(code(answer), Some(Code::Unauthenticated));
}

#[tokio::test]
async fn rest_on_the_socket_believes_tokens_alone_and_takes_no_calls() {
    let shop = InProcess::open().await;
    let services = Services::open(&shop).await;
    let anyone = shop.anyone().at(&base(services.orders));
    let request = anyone.request(Method::GET, "/orders").header("oms-caller", "system");
    anyone.answer(request).await.problem(401, "unauthenticated");
    // HTTP/1, which is what a browser speaks without TLS.
    let path = "/oms.orders.v1.OrderService/ListOrders";
    let request = anyone.request(Method::POST, path).header("content-type", "application/grpc");
    anyone.answer(request.header("oms-caller", "system").body(vec![0; 5])).await.problem(404, "not-found");
}

#[tokio::test]
async fn a_call_that_arrives_after_its_deadline_does_nothing() {
    let shop = InProcess::open().await;
    let services = Services::open(&shop).await;
    let mug = shop.product(10).await;
    let now = Clock::system().now();
    // So that the caller does not notice by itself.
    let slow = Clock::from_fn(move || Timestamp::from_millis(now.millis() - 60_000));
    let http2 = http2(services.products).signed_with(callers_secret());
    let mut client = ProductServiceClient::new(Channel::over_http2(http2, slow));
    let context = Context::new(Caller::System, now);
    let late = client.hold_stock(metadata::request(hold(&mug), &context)).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert_eq!(shop.stock(&mug).await, (10, 0, 10));
    // gRPC's own way to say it.
    let mut request = by(Caller::System, hold(&mug));
    request.set_timeout(Duration::from_nanos(1));
    assert_eq!(client.hold_stock(request).await.unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(shop.stock(&mug).await, (10, 0, 10));
}

#[tokio::test]
async fn what_can_go_wrong_on_the_way_is_the_right_status() {
    let request = || by(Caller::System, GetProductRequest { id: ProductId::new().to_string() });
    let code_at = async |address: SocketAddr| {
        let mut request = request();
        request.set_timeout(Duration::from_millis(500));
        to_products(address).get_product(request).await.unwrap_err().code()
    };
    // Nobody listens.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(code_at(address).await, Code::Unavailable);
    // Somebody listens, and never says a word.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    assert_eq!(code_at(listener.local_addr().unwrap()).await, Code::DeadlineExceeded);
    // Somebody hangs up.
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            drop(listener.accept().await);
        }
    });
    assert_eq!(code_at(address).await, Code::Unavailable);
    // Somebody else answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(std::future::IntoFuture::into_future(axum::serve(listener, Router::new())));
    assert_eq!(code_at(address).await, Code::Unimplemented);
}

#[tokio::test]
async fn a_channel_finds_the_function_again_after_it_has_been_away() {
    let shop = InProcess::open().await;
    let app = shop.backend.products.clone();
    let mug = shop.product(1).await;
    let mut address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut client = None;
    for _ in 0..2 {
        let listener = TcpListener::bind(address).await.unwrap();
        address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let function = function(app.router.clone(), app.rpc.clone());
        let server = socket::serve(listener, function, Reflection::Off, async move { drop(stopped.await) });
        let server = tokio::spawn(server);
        let client = client.get_or_insert_with(|| to_products(address));
        let get = || by(Caller::Anonymous, GetProductRequest { id: mug.clone() });
        client.get_product(get()).await.unwrap();
        // The connection stays open, and does not keep the server from stopping.
        stop.send(()).unwrap();
        server.await.unwrap().unwrap();
        assert_eq!(client.get_product(get()).await.unwrap_err().code(), Code::Unavailable);
    }
}

#[tokio::test]
async fn after_a_broken_connection_reads_are_repeated_writes_not() {
    let shop = InProcess::open().await;
    let app = shop.backend.products.clone();
    let mug = shop.product(1).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        // The first two connections end before anything is answered.
        for _ in 0..2 {
            drop(listener.accept().await.unwrap());
        }
        socket::serve(listener, function(app.router, app.rpc), Reflection::Off, pending()).await
    });
    let mut client = to_products(address);
    let status = client.create_product(by(Caller::Anonymous, CreateProductRequest::default())).await;
    assert_eq!(status.unwrap_err().code(), Code::Unavailable);
    let product = client.get_product(by(Caller::Anonymous, GetProductRequest { id: mug.clone() })).await;
    assert_eq!(product.unwrap().into_inner().id, mug);
}

/// Bytes of one call: path, framed request, and the answer.
#[derive(Clone, Debug, PartialEq)]
struct Exchange {
    path: String,
    request: Bytes,
    response: Bytes,
    /// Of headers and trailers those that gRPC and we define.
    status: Vec<(String, String)>,
}

fn exchange(
    path: &str,
    request: Bytes,
    response: Bytes,
    headers: &HeaderMap,
    trailers: &HeaderMap,
) -> Exchange {
    let mut status: Vec<_> = headers
        .iter()
        .chain(trailers)
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .filter(|(name, _)| name.starts_with("grpc-") || name.starts_with("oms-"))
        .collect();
    status.sort();
    Exchange { path: path.to_owned(), request, response, status }
}

type Seen = Arc<Mutex<Vec<Exchange>>>;

/// A function in this process that notes what its envelopes say.
struct Noted(RpcServer, Seen);

impl Invoke for Noted {
    fn invoke(&self, payload: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, Status>> {
        let (answering, seen) = (self.0.invoke(payload.clone()), self.1.clone());
        Box::pin(async move {
            let payload_back = answering.await?;
            let call = envelope::read_call(&payload).unwrap();
            let answer = Answer::read(&payload_back).unwrap();
            seen.lock().unwrap().push(exchange(
                call.uri().path(),
                call.body().clone(),
                answer.body,
                &answer.headers,
                &answer.trailers,
            ));
            Ok(payload_back)
        })
    }
}

/// A function on a socket that notes what the calls of its own service say.
async fn serve_noted(function: ServiceApp, seen: Seen) -> SocketAddr {
    let (router, _) = socket::router(function, Reflection::On).await.unwrap();
    let noting = move |request: Request| note(router.clone(), seen.clone(), request);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = axum::serve(listener, Router::new().fallback(noting));
    tokio::spawn(std::future::IntoFuture::into_future(server));
    address
}

async fn note(router: Router, seen: Seen, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    if !path.starts_with("/oms.") {
        return router.oneshot(request).await.unwrap();
    }
    let (head, body) = request.into_parts();
    let sent = body.collect().await.unwrap().to_bytes();
    let request = Request::from_parts(head, Body::from(sent.clone()));
    let (head, body) = router.oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned();
    let answered = body.to_bytes();
    seen.lock().unwrap().push(exchange(
        &path,
        sent,
        answered.clone(),
        &head.headers,
        &trailers.clone().unwrap_or_default(),
    ));
    let body = Full::new(answered).with_trailers(async move { trailers.map(Ok) });
    Response::from_parts(head, Body::new(body))
}

#[tokio::test]
async fn a_call_has_the_same_bytes_on_the_socket_and_in_the_envelope() {
    let shop = InProcess::open().await;
    let mug = shop.product(10).await;
    let products = shop.backend.products.clone();
    let (in_envelopes, on_the_socket) = (Seen::default(), Seen::default());
    let enveloped =
        Channel::new(Arc::new(Noted(products.rpc.clone(), in_envelopes.clone())), Clock::system());
    let address = serve_noted(function(products.router, products.rpc), on_the_socket.clone()).await;
    let absent = ProductId::new().to_string();
    for mut client in [ProductServiceClient::new(enveloped), to_products(address)] {
        for id in [&mug, &absent] {
            let _ = client.get_product(by(Caller::Anonymous, GetProductRequest { id: id.clone() })).await;
        }
        let _ = client.hold_stock(by(Caller::Anonymous, hold(&absent))).await;
    }
    let (in_envelopes, mut on_the_socket_now) =
        (in_envelopes.lock().unwrap().clone(), on_the_socket.lock().unwrap().clone());
    assert_eq!(in_envelopes.len(), 3);
    // Every hold is of another order; what is said of its refusal is the same.
    assert_eq!(in_envelopes[2].status, on_the_socket_now[2].status);
    on_the_socket_now[2].request = in_envelopes[2].request.clone();
    assert_eq!(in_envelopes, on_the_socket_now);
    // One frame: not compressed, its length, the message. And its status says that all went well.
    assert_eq!(in_envelopes[0].request[..5], [0, 0, 0, 0, u8::try_from(mug.len()).unwrap() + 2]);
    assert_eq!(in_envelopes[0].status, [("grpc-status".to_owned(), "0".to_owned())]);

    // A client that is not ours says and is told the same.
    on_the_socket.lock().unwrap().clear();
    let given = json!({
        "addresses": { "products": address.to_string() }, "call": "one product", "product_id": mug,
    });
    crate::socket::client::run(given).await;
    assert_eq!(on_the_socket.lock().unwrap()[..], in_envelopes[..1]);
}
