//! What a function does while something that it depends on is away, or not as it must be.

use std::future::pending;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use mongod::{Data, Mongod, Options};
use products::environment::Environment;
use serde_json::json;
use shared::mongo::{self, ANY_WRITER, Schema};
use shared::runtime::config::Variables;
use shared::runtime::lambda::Host;
use shared::runtime::run::ServiceApp;
use shared::values::clock::Clock;
use tracing::instrument::WithSubscriber as _;
use users::store::UserStore;

use crate::lambda::{Answer, Lambda, TIMEOUT, deliver, request, request_within};

fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(answer.headers["x-request-id"], "from-the-gateway");
    assert_eq!(answer.body["type"], "/problems/unavailable");
    assert_eq!(answer.body["request_id"], "from-the-gateway");
}

/// Log lines, in memory.
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

    fn subscriber(&self) -> impl tracing::Subscriber + Send + Sync + 'static {
        let log = self.clone();
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || log.clone()).finish()
    }
}

async fn host_of_products(uri: &str) -> Host {
    let lambda = Lambda::start().await;
    let variables = lambda.variables(&[("MONGO_URI", uri)]);
    let environment = Environment::read(variables, Clock::system()).unwrap();
    Host::new(move || environment.clone().build(), Clock::system())
}

#[tokio::test]
async fn without_its_database_at_init_a_function_answers_503() {
    let port = tests::port::free();
    let uri = format!("mongodb://127.0.0.1:{port}/away?serverSelectionTimeoutMS=200&directConnection=true");
    let host = host_of_products(&uri).await;
    host.init().await;
    assert_unavailable(&request(&host, "GET", "/products", None, None).await);

    let call = json!({ "grpc": {
        "path": "/oms.products.v1.ProductService/ListProducts", "headers": [], "body": "",
    }});
    let answer = deliver(&host, call.to_string(), TIMEOUT).await;
    let headers = answer["grpc"]["headers"].as_array().unwrap();
    assert!(headers.contains(&json!(["grpc-status", "14"])), "{answer}");

    let binary = tokio::task::spawn_blocking(|| mongod::find_or_fetch(&|_| {})).await.unwrap().unwrap();
    let options = Options { port: Some(port), ..Options::new(binary, Data::Ephemeral) };
    let mongod = Mongod::start(options).await.unwrap();
    let log = Log::default();
    let answer = request(&host, "GET", "/products", None, None).with_subscriber(log.subscriber()).await;
    assert_unavailable(&answer);
    let text = log.text();
    assert!(text.contains("ERROR") && text.contains("cargo local schema"), "{text}");
    assert!(text.contains(r#"method="GET" route="none" status=503"#), "{text}");
    let needed = products::store::SCHEMA.version;
    assert!(text.contains(&format!("has version 0, and this build needs {needed}")), "{text}");

    let database = mongo::connect(&uri, "tests").await.unwrap();
    products::store::ProductStore::new(&database).ensure_schema().await.unwrap();
    let answer = request(&host, "GET", "/products", None, None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    mongod.stop().await;
}

#[tokio::test]
async fn a_build_that_is_too_old_is_given_up_once_a_write_is_refused() {
    let uri = mongod::shared_for_tests().await.unwrap();
    let uri = uri.replacen("/?", &format!("/test_{}?", uuid::Uuid::new_v4().simple()), 1);
    let database = mongo::connect(&uri, "tests").await.unwrap();
    UserStore::new(&database).ensure_schema().await.unwrap();
    let variables = [("MONGO_URI", uri.as_str()), ("JWT_SECRET", "a secret of the tests, 32 bytes or more")];
    let variables = Lambda::start().await.variables(&variables);
    let environment = users::environment::Environment::read(variables, Clock::system()).unwrap();
    let host = Host::new(move || environment.clone().build(), Clock::system());
    let sign_in = async || {
        let body = json!({ "email": "ada@example.com", "password": "a long password" });
        request(&host, "POST", "/auth", None, Some(body)).await
    };
    let read = async || request(&host, "GET", "/users", None, None).await;
    assert_eq!((sign_in().await.status, read().await.status), (401, 401));

    let version = users::store::SCHEMA.version + 1;
    let later = Schema { version, lowest_writer: version, ..users::store::SCHEMA };
    UserStore::with_schema(&database, later).ensure_schema().await.unwrap();
    assert_eq!(read().await.status, 401);
    let log = Log::default();
    assert_unavailable(&sign_in().with_subscriber(log.subscriber()).await);
    assert_unavailable(&read().with_subscriber(log.subscriber()).await);
    let text = log.text();
    assert!(text.contains("the build is too old to write; deploy a later one"), "{text}");
    assert!(text.contains("this build of users is too old: it has schema version"), "{text}");
}

#[tokio::test]
async fn a_schema_of_a_higher_version_will_do() {
    let uri = mongod::shared_for_tests().await.unwrap();
    let database = mongo::connect(uri, "tests").await.unwrap();
    let database = database.client().database(&format!("test_{}", uuid::Uuid::new_v4().simple()));
    let schema = |function, version| Schema { function, version, lowest_writer: ANY_WRITER };
    let orders = |version| schema("orders", version);
    orders(7).record_end(&database).await.unwrap();
    orders(6).record_end(&database).await.unwrap();
    orders(7).check(&database).await.unwrap();
    orders(1).check(&database).await.unwrap();
    let error = orders(8).check(&database).await.unwrap_err();
    assert!(error.causes().contains("has version 7, and this build needs 8"), "{}", error.causes());
    schema("products", 1).check(&database).await.unwrap_err();
}

#[tokio::test]
async fn init_gives_up_in_three_seconds_or_at_the_requests_deadline() {
    let never = || pending::<Result<ServiceApp, shared::error::Error>>();
    let host = Host::new(never, Clock::system());
    let begun = std::time::Instant::now();
    host.init().await;
    assert!(begun.elapsed() < Duration::from_secs(4));
    let begun = std::time::Instant::now();
    let left = Duration::from_millis(900);
    let answer = request_within(&host, left, "GET", "/products", None, None).await;
    assert_unavailable(&answer);
    assert!(begun.elapsed() < left);
}

#[tokio::test]
async fn work_that_outlasts_lambda_is_stopped_with_a_503_in_time() {
    let router = Router::new().route("/slow", get(pending::<()>));
    let function = ServiceApp::new(router);
    let host = Host::new(move || std::future::ready(Ok(function.clone())), Clock::system());
    let begun = std::time::Instant::now();
    let left = Duration::from_millis(800);
    assert_unavailable(&request_within(&host, left, "GET", "/slow", None, None).await);
    assert!(begun.elapsed() < left, "Lambda would have ended it");
}

#[test]
fn every_fault_of_the_environment_is_named_without_its_value() {
    let none = orders::environment::Environment::read(Variables::from_fn(|_| None), Clock::system());
    let text = none.err().unwrap().to_string();
    for name in ["MONGO_URI, MONGO_URI_FILE or MONGO_URI_ARN", "PRODUCT_SERVICE_URL", "USER_SERVICE_URL"] {
        assert!(text.contains(&format!("{name} is required")), "{text}");
    }
    // What only calls and stored secrets need is asked for once, when there are any.
    let on_aws = Variables::from_fn(|name| match name {
        "MONGO_URI_ARN" => Some("arn:aws:secretsmanager:eu-central-1:123456789012:secret:oms".to_owned()),
        "PRODUCT_SERVICE_URL" | "USER_SERVICE_URL" => Some("lambda:some-function".to_owned()),
        _ => None,
    });
    let text = orders::environment::Environment::read(on_aws, Clock::system()).err().unwrap().to_string();
    for name in ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        assert_eq!(text.matches(&format!("{name} is required")).count(), 1, "{text}");
    }
    let bad = Variables::from_fn(|name| match name {
        "MONGO_URI" => Some("postgres://hunter2".to_owned()),
        "JWT_SECRET" => Some("hunter2".to_owned()),
        _ => None,
    });
    let text = users::environment::Environment::read(bad, Clock::system()).err().unwrap().to_string();
    assert!(text.contains("MONGO_URI: must begin with mongodb://"), "{text}");
    assert!(text.contains("JWT_SECRET: must have at least 32 bytes; got 7"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}
