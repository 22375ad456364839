//! A small Lambda: environments by function, its Invoke API on a socket, and events as API Gateway makes them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::post;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use shared::runtime::config::Variables;
use shared::runtime::lambda::Host;
use shared::values::clock::Clock;
use tokio::net::TcpListener;

/// Time limit of a request: long, since in some tests the functions' clock is minutes ahead.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(900);

/// An answer as API Gateway would send it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u64,
    pub(crate) headers: Value,
    pub(crate) body: Value,
}

/// Gives an event to an environment, with this much time left.
pub(crate) async fn deliver(host: &Host, payload: String, left: Duration) -> Value {
    let deadline = Clock::system().now().after(left).millis();
    let mut context = Context::default();
    context.deadline = u64::try_from(deadline).unwrap();
    let payload = RawValue::from_string(payload).unwrap();
    let answer = host.answer(LambdaEvent { payload, context }).await.unwrap();
    serde_json::from_str(answer.get()).unwrap()
}

/// A request through API Gateway.
pub(crate) async fn request(
    host: &Host,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<Value>,
) -> Answer {
    request_within(host, TIMEOUT, method, path, token, body).await
}

/// The same, with this much time left.
pub(crate) async fn request_within(
    host: &Host,
    left: Duration,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<Value>,
) -> Answer {
    let mut headers = json!({ "content-type": "application/json", "host": "api.example.com" });
    if let Some(token) = token {
        headers["authorization"] = format!("Bearer {token}").into();
    }
    let event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api",
            "domainName": "api.example.com",
            "http": { "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1" },
            "requestId": "from-the-gateway",
            "routeKey": "$default",
            "stage": "$default",
            "timeEpoch": 1_795_375_353_007_i64,
        },
        "body": body.map(|body| body.to_string()),
        "isBase64Encoded": false,
    });
    let answer = deliver(host, event.to_string(), left).await;
    Answer {
        status: answer["statusCode"].as_u64().unwrap(),
        headers: answer["headers"].clone(),
        body: serde_json::from_str(answer["body"].as_str().unwrap()).unwrap(),
    }
}

/// The environments of each function; calls go to them in turn.
#[derive(Clone, Default)]
pub(crate) struct Lambda {
    environments: Arc<Mutex<HashMap<String, Vec<Arc<Host>>>>>,
    turn: Arc<AtomicUsize>,
    endpoint: String,
}

impl Lambda {
    /// Its Invoke API listens as long as the runtime of the test lives.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let lambda = Self { endpoint, ..Self::default() };
        let api = Router::new()
            .route("/2015-03-31/functions/{name}/invocations", post(invoke))
            .with_state(lambda.clone());
        tokio::spawn(std::future::IntoFuture::into_future(axum::serve(listener, api)));
        lambda
    }

    /// The variables that Lambda sets, and `more`.
    pub(crate) fn variables(&self, more: &[(&str, &str)]) -> Variables {
        let all: HashMap<String, String> = [
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_ENDPOINT_URL_LAMBDA", &self.endpoint),
            ("ORDER_SERVICE_URL", "lambda:orders"),
            ("PRODUCT_SERVICE_URL", "lambda:products"),
            ("USER_SERVICE_URL", "lambda:users"),
            ("RATE_LIMIT_PER_ADDRESS", "0"),
            ("MAX_OPEN_ORDERS", "0"),
            ("ORDER_RATE_PER_CUSTOMER", "0"),
        ]
        .iter()
        .chain(more)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
        Variables::from_fn(move |name| all.get(name).cloned())
    }

    /// One more environment of a function.
    pub(crate) async fn starts(&self, name: &str, host: Host) -> Arc<Host> {
        host.init().await;
        let host = Arc::new(host);
        self.environments.lock().unwrap().entry(name.to_owned()).or_default().push(host.clone());
        host
    }

    /// The oldest environment of a function takes no more calls.
    pub(crate) fn retires_oldest(&self, name: &str) {
        self.environments.lock().unwrap().get_mut(name).unwrap().remove(0);
    }

    /// All environments of a function.
    pub(crate) fn environments(&self, name: &str) -> Vec<Arc<Host>> {
        self.environments.lock().unwrap().get(name).unwrap().clone()
    }

    /// The environment whose turn it is.
    pub(crate) fn environment(&self, name: &str) -> Arc<Host> {
        let turn = self.turn.fetch_add(1, Ordering::SeqCst);
        let environments = self.environments.lock().unwrap();
        let of_name = environments.get(name).unwrap();
        of_name[turn % of_name.len()].clone()
    }
}

async fn invoke(State(lambda): State<Lambda>, Path(name): Path<String>, body: String) -> String {
    let host = lambda.environment(&name);
    deliver(&host, body, TIMEOUT).await.to_string()
}
