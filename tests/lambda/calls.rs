//! Calls from function to function as on Lambda: what travels with them, what the logs of both say, and how often
//! they are sent.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use lambda_runtime::{Context as LambdaContext, LambdaEvent};
use proto::users::v1::user_service_client::UserServiceClient;
use proto::users::v1::{CreateUserRequest, GetSigningKeysRequest};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use shared::auth::{Caller, Role, Signer};
use shared::rpc::channel::Channel;
use shared::rpc::lambda::LambdaFunction;
use shared::rpc::metadata;
use shared::runtime::aws::Aws;
use shared::runtime::config::Variables;
use shared::runtime::context::Context;
use shared::runtime::lambda::Host;
use shared::runtime::telemetry::json_lines;
use shared::values::clock::Clock;
use shared::values::ids::UserId;
use tokio::net::TcpListener;
use tonic::Code;
use tracing::instrument::WithSubscriber as _;
use uuid::Uuid;

const JWT_SECRET: &str = "a secret of the tests, 32 bytes or more";
const XRAY: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
const XRAY_ROOT: &str = "1-5759e988-bd862e3fe1be46a994272793";
const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Log lines of a function.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// That something was logged, and what it is that all lines have in common.
    fn common(&self, key: &str) -> Value {
        let lines = self.lines();
        let first = lines.first().unwrap()["span"][key].clone();
        assert!(lines.iter().all(|line| line["span"][key] == first), "{key}: {lines:#?}");
        first
    }
}

/// A function with a log of its own.
struct Function {
    host: Host,
    log: Log,
}

impl Function {
    async fn answers(&self, event: String, xray: Option<&str>) -> Value {
        let mut context = LambdaContext::default();
        let deadline = Clock::system().now().after(Duration::from_secs(20));
        context.deadline = u64::try_from(deadline.millis()).unwrap();
        context.xray_trace_id = xray.map(str::to_owned);
        let payload = RawValue::from_string(event).unwrap();
        let log = self.log.clone();
        let subscriber = json_lines(move || log.clone());
        let answering = self.host.answer(LambdaEvent { payload, context }).with_subscriber(subscriber);
        serde_json::from_str(answering.await.unwrap().get()).unwrap()
    }
}

/// The functions, and the headers with which they invoked each other.
#[derive(Default)]
struct Site {
    functions: Mutex<HashMap<&'static str, Arc<Function>>>,
    invokes: Mutex<Vec<(String, HeaderMap)>>,
}

impl Site {
    async fn open() -> Arc<Self> {
        let site = Arc::new(Self::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let api = Router::new()
            .route("/2015-03-31/functions/{name}/invocations", post(invoke))
            .with_state(site.clone());
        tokio::spawn(std::future::IntoFuture::into_future(axum::serve(listener, api)));

        let uri = mongod::shared_for_tests().await.unwrap();
        let uri = uri.replacen("/?", &format!("/test_{}?", Uuid::new_v4().simple()), 1);
        let database = shared::mongo::connect(&uri, "tests").await.unwrap();
        local::backend::ensure_schema(&database).await.unwrap();
        let more = [("MONGO_URI", uri.as_str()), ("JWT_SECRET", JWT_SECRET)];
        let variables = || variables(&endpoint, &more);
        let clock = Clock::system;
        let users = users::environment::Environment::read(variables(), clock()).unwrap();
        let products = products::environment::Environment::read(variables(), clock()).unwrap();
        let orders = orders::environment::Environment::read(variables(), clock()).unwrap();
        for (name, host) in [
            ("users", Host::new(move || users.clone().build(), clock())),
            ("products", Host::new(move || products.clone().build(), clock())),
            ("orders", Host::new(move || orders.clone().build(), clock())),
        ] {
            let function = Arc::new(Function { host, log: Log::default() });
            site.functions.lock().unwrap().insert(name, function);
        }
        site
    }

    fn function(&self, name: &str) -> Arc<Function> {
        self.functions.lock().unwrap()[name].clone()
    }

    fn log(&self, name: &str) -> Log {
        self.function(name).log.clone()
    }

    /// A new product, of which nothing stays in the logs.
    async fn product(&self) -> String {
        let body =
            json!({ "sku": "MUG", "name": "Mug", "price": { "amount": 100, "currency": "EUR" }, "stock": 9 });
        let answer = self.function("products").answers(event("/products", &[], &body), None).await;
        assert_eq!(answer["statusCode"], 201, "{answer:#}");
        for name in ["users", "products", "orders"] {
            self.log(name).0.lock().unwrap().clear();
        }
        self.invokes.lock().unwrap().clear();
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        body["id"].as_str().unwrap().to_owned()
    }

    /// Somebody places an order, which takes calls to both other functions.
    async fn places_order(&self, product: &str, headers: &[(&str, &str)], xray: Option<&str>) {
        let body = json!({
            "items": [{ "product_id": product, "quantity": 1 }],
            "shipping_address": { "line1": "1 Analytical Way", "city": "London", "country": "GB" },
        });
        let answer = self.function("orders").answers(event("/orders", headers, &body), xray).await;
        assert_eq!(answer["statusCode"], 201, "{answer:#}");
        let called: Vec<_> = self.invokes.lock().unwrap().iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(called, ["users", "products"]);
    }

    /// Request IDs in the three logs, which must be the same in every line.
    fn logged(&self, key: &str) -> Value {
        let [orders, products, users] =
            ["orders", "products", "users"].map(|name| self.log(name).common(key));
        assert!(orders == products && products == users, "{key}: {orders} {products} {users}");
        orders
    }
}

/// Lambda's Invoke API: the invocation has the X-Ray trace that the caller names.
async fn invoke(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: String,
) -> String {
    let xray = headers.get("x-amzn-trace-id").map(|xray| xray.to_str().unwrap().to_owned());
    site.invokes.lock().unwrap().push((name.clone(), headers));
    site.function(&name).answers(body, xray.as_deref()).await.to_string()
}

fn variables(endpoint: &str, more: &[(&str, &str)]) -> Variables {
    let all: HashMap<String, String> = [
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_ENDPOINT_URL_LAMBDA", endpoint),
        ("PRODUCT_SERVICE_URL", "lambda:products"),
        ("USER_SERVICE_URL", "lambda:users"),
    ]
    .iter()
    .chain(more)
    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
    .collect();
    Variables::from_fn(move |name| all.get(name).cloned())
}

/// A POST of somebody on the staff, as API Gateway sends it.
fn event(path: &str, more: &[(&str, &str)], body: &Value) -> String {
    let signer = Signer::from_secret(JWT_SECRET).unwrap();
    let token = signer.access_token(UserId::new(), Role::Staff, Clock::system().now()).unwrap();
    let mut headers = json!({
        "authorization": format!("Bearer {token}"),
        "content-type": "application/json",
        "host": "api.example.com",
    });
    for (name, value) in more {
        headers[*name] = json!(value);
    }
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api",
            "http": { "method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1" },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": "$default",
            "timeEpoch": 1_795_375_353_007_i64,
        },
        "body": body.to_string(),
        "isBase64Encoded": false,
    })
    .to_string()
}

#[tokio::test]
async fn a_request_has_one_trace_and_one_id_in_all_functions_logs() {
    let site = Site::open().await;
    let product = site.product().await;
    let headers = [("traceparent", PARENT), ("tracestate", "congo=t61rcWkgMzE"), ("x-request-id", "Order-7")];
    site.places_order(&product, &headers, Some(XRAY)).await;
    assert_eq!(site.logged("request_id"), "Order-7");
    assert_eq!(site.logged("trace_id"), TRACE_ID);
    assert_eq!(site.logged("xray_trace_id"), XRAY_ROOT);
    // Lambda was told the X-Ray header as it had told it.
    for (name, headers) in site.invokes.lock().unwrap().iter() {
        assert_eq!(headers["x-amzn-trace-id"], XRAY, "{name}");
    }
    let line = site.log("products").lines().pop().unwrap();
    let method = "/oms.products.v1.ProductService/HoldStock";
    assert_eq!(
        json!([line["level"], line["message"], line["rpc_method"], line["code"], line["role"]]),
        json!(["INFO", "call", method, "Ok", "system"]),
        "{line:#}"
    );
}

#[tokio::test]
async fn without_a_clients_trace_w3c_and_x_ray_have_the_same_digits() {
    let site = Site::open().await;
    let product = site.product().await;
    site.places_order(&product, &[], Some(XRAY)).await;
    assert_eq!(site.logged("trace_id"), XRAY_ROOT[2..].replace('-', ""));
    assert_eq!(site.logged("xray_trace_id"), XRAY_ROOT);
    // API Gateway's own ID, where the client gives none.
    assert_eq!(site.logged("request_id"), "JKJaXmPLvHcESHA=");
}

#[tokio::test]
async fn a_trace_that_is_malformed_is_neither_an_error_nor_logged() {
    let site = Site::open().await;
    let product = site.product().await;
    let upper = PARENT.to_uppercase();
    site.places_order(&product, &[("traceparent", &upper), ("tracestate", "congo=t61")], None).await;
    let trace = site.logged("trace_id");
    assert_eq!(trace.as_str().unwrap().len(), 32);
    assert_ne!(trace, TRACE_ID);
    assert_eq!(site.logged("xray_trace_id"), Value::Null);
    for name in ["orders", "products", "users"] {
        let text = site.log(name).text();
        assert!(!text.contains(&TRACE_ID.to_uppercase()) && !text.contains("t61"), "{text}");
    }
    for (name, headers) in site.invokes.lock().unwrap().iter() {
        assert!(!headers.contains_key("x-amzn-trace-id"), "{name}");
    }
}

/// An Invoke API that always answers this, and counts.
async fn failing(status: u16, headers: [(&'static str, &'static str); 2]) -> (Channel, Arc<Mutex<usize>>) {
    let sent = Arc::new(Mutex::new(0));
    let count = sent.clone();
    let answer = move || {
        *count.lock().unwrap() += 1;
        std::future::ready((StatusCode::from_u16(status).unwrap(), headers, "{}"))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = axum::serve(listener, Router::new().fallback(answer));
    tokio::spawn(std::future::IntoFuture::into_future(server));
    let client = Aws::read(&mut variables(&endpoint, &[])).unwrap().lambda();
    let function = LambdaFunction::new(client, "users".to_owned());
    (Channel::new(Arc::new(function), Clock::system()), sent)
}

#[tokio::test]
async fn the_channel_alone_repeats_safe_calls_that_lambda_refused() {
    let error = |name| [("x-amzn-errortype", name), ("content-type", "application/json")];
    let failed = [("x-amz-function-error", "Unhandled"), ("content-type", "application/json")];
    for (status, headers, code, sendings) in [
        (429, error("TooManyRequestsException"), Code::Unavailable, 3),
        (429, error("ThrottlingException"), Code::Unavailable, 3),
        (500, error("ServiceException"), Code::Unavailable, 3),
        (502, error("EC2ThrottledException"), Code::Unavailable, 3),
        (409, error("ResourceConflictException"), Code::Unavailable, 3),
        (503, error(""), Code::Unavailable, 3),
        // It ran, and was killed or could not begin: whether it did something is not known.
        (200, failed, Code::Unavailable, 3),
        (413, error("RequestTooLargeException"), Code::ResourceExhausted, 1),
        (404, error("ResourceNotFoundException"), Code::Internal, 1),
        (403, error("AccessDeniedException"), Code::Internal, 1),
    ] {
        let (channel, sent) = failing(status, headers).await;
        let context = Context::new(Caller::System, Clock::system().now().after(Duration::from_secs(20)));
        let mut users = UserServiceClient::new(channel);
        let read = metadata::request(GetSigningKeysRequest::default(), &context);
        let read = users.get_signing_keys(read).await.unwrap_err();
        assert_eq!((read.code(), *sent.lock().unwrap()), (code, sendings), "{headers:?}: {read:?}");
        let write = metadata::request(CreateUserRequest::default(), &context);
        let write = users.create_user(write).await.unwrap_err();
        assert_eq!((write.code(), *sent.lock().unwrap()), (code, sendings + 1), "{headers:?}: {write:?}");
    }
}
