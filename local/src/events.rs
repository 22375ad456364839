//! Samples for `cargo lambda invoke`, one for each function and kind of event: those in `local/events/`, which
//! need no secret, and signed ones, which `cargo local events` writes.
//!
//! Envelopes are made by the code that makes them on Lambda, so that a sample cannot be out of date.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use proto::common::v1::PageRequest;
use proto::orders::v1::order_service_client::OrderServiceClient;
use proto::orders::v1::{ListOrdersRequest, ReconcileRequest};
use proto::products::v1::ListProductsRequest;
use proto::products::v1::product_service_client::ProductServiceClient;
use proto::users::v1::ListUsersRequest;
use proto::users::v1::user_service_client::UserServiceClient;
use serde_json::{Value, json};
use shared::auth::{Caller, Role, Signer};
use shared::rpc::channel::{Channel, Invoke};
use shared::rpc::metadata;
use shared::runtime::context::Context;
use shared::runtime::trace::TRACEPARENT;
use shared::values::clock::{Clock, Timestamp};
use shared::values::ids::UserId;
use tonic::Status;

use crate::demo;
use crate::error::CommandError;
use crate::run::{checkout, data_folder};
use crate::settings::Settings;
use crate::terminal::print_ignoring_epipe;

/// Whom the samples say to be. A call and a token are believed as they are; no such user has to be there.
const SOMEBODY: &str = "user_01h455vb4pex5vsknk084sn02q";

/// The year 2100: a sample stays of use, though every call has a deadline.
const FAR_AWAY: Timestamp = Timestamp::from_millis(4_102_444_800_000);

/// A sample.
pub struct Sample {
    /// The name of its file, which begins with the function's.
    pub file: &'static str,
    /// What `cargo lambda invoke` sends.
    pub event: Value,
}

/// The samples that need no secret: those in `local/events/`.
///
/// # Errors
/// Never, unless the code itself is wrong.
pub async fn samples() -> Result<Vec<Sample>, CommandError> {
    let ada = json!({ "email": demo::CUSTOMER, "password": demo::PASSWORD });
    let page = Some(PageRequest { limit: Some(2), cursor: None });
    let list_users = ListUsersRequest { page: page.clone(), ..ListUsersRequest::default() };
    let list_products = ListProductsRequest { page: page.clone(), ..ListProductsRequest::default() };
    let list_orders = ListOrdersRequest { page, ..ListOrdersRequest::default() };
    let call_users = call(async |channel| {
        UserServiceClient::new(channel).list_users(by(Role::Admin, list_users)?).await.map(drop)
    });
    let call_products = call(async |channel| {
        ProductServiceClient::new(channel).list_products(by(Role::Staff, list_products)?).await.map(drop)
    });
    let call_orders = call(async |channel| {
        OrderServiceClient::new(channel).list_orders(by(Role::Staff, list_orders)?).await.map(drop)
    });
    let reconcile = call(async |channel| {
        let by_the_schedule = metadata::request(ReconcileRequest {}, &Context::new(Caller::System, FAR_AWAY));
        OrderServiceClient::new(channel).reconcile(by_the_schedule).await.map(drop)
    });
    Ok(vec![
        Sample { file: "docs-http.json", event: http("GET", "/health", None, None) },
        Sample { file: "orders-call.json", event: call_orders.await? },
        Sample { file: "orders-http.json", event: http("GET", "/orders", None, None) },
        Sample { file: "orders-reconcile.json", event: scheduled(reconcile.await?) },
        Sample { file: "products-call.json", event: call_products.await? },
        Sample { file: "products-http.json", event: http("GET", "/products?limit=2", None, None) },
        Sample { file: "users-call.json", event: call_users.await? },
        Sample { file: "users-http.json", event: http("POST", "/auth", None, Some(ada)) },
    ])
}

/// Samples with an access token in them, good for 15 minutes.
///
/// # Errors
/// When the secret is too short.
pub fn signed(jwt_secret: &str) -> Result<Vec<Sample>, CommandError> {
    let signer = Signer::from_secret(jwt_secret).map_err(CommandError::new)?;
    let user = somebody().map_err(CommandError::new)?;
    let token = signer.access_token(user, Role::Staff, Clock::system().now())?;
    let get = |path| http("GET", path, Some(&token), None);
    Ok(vec![
        Sample { file: "orders-signed.json", event: get("/orders?limit=2") },
        Sample { file: "products-signed.json", event: get("/products?status=draft&limit=2") },
        Sample { file: "users-signed.json", event: get("/users?limit=2") },
    ])
}

/// Writes signed samples into a folder, by default `events` beside the data.
///
/// # Errors
/// When the folder or the secrets cannot be read or written.
pub fn run(data: Option<PathBuf>, to: Option<PathBuf>) -> Result<(), CommandError> {
    let folder = data_folder(data)?;
    let settings = Settings::load(&folder)?;
    let to = to.unwrap_or_else(|| folder.join("events"));
    let samples = signed(&settings.jwt_secret)?;
    write(&to, &samples)?;
    for Sample { file, .. } in samples {
        let function = file.split('-').next().unwrap_or_default();
        let path = to.join(file);
        let path = path.strip_prefix(checkout()).unwrap_or(&path);
        print_ignoring_epipe(format_args!(
            "cargo lambda invoke {function} --invoke-address 127.0.0.1 --data-file '{}'",
            path.display()
        ));
    }
    Ok(())
}

/// Writes samples into a folder, which is made if it is missing.
///
/// # Errors
/// When it cannot be written.
pub fn write(folder: &Path, samples: &[Sample]) -> Result<(), CommandError> {
    let failed = |error: std::io::Error| {
        CommandError::new(format!("{} cannot be written: {error}", folder.display()))
            .advice("Choose another folder: cargo local events --to DIR")
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    for Sample { file, event } in samples {
        std::fs::write(folder.join(file), text(event)).map_err(failed)?;
    }
    Ok(())
}

/// An event as it stands in its file.
pub fn text(event: &Value) -> String {
    format!("{event:#}\n")
}

/// What API Gateway sends (HTTP API, payload 2.0).
fn http(method: &str, target: &str, token: Option<&str>, body: Option<Value>) -> Value {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = json!({ "host": "api.example.com", "user-agent": "cargo-lambda" });
    if body.is_some() {
        headers["content-type"] = json!("application/json");
    }
    if let Some(token) = token {
        headers["authorization"] = json!(format!("Bearer {token}"));
    }
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "local",
            "domainName": "api.example.com",
            "domainPrefix": "api",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.1",
                "userAgent": "cargo-lambda"
            },
            "requestId": "sample",
            "routeKey": "$default",
            "stage": "$default",
            "time": "22/Nov/2026:12:00:00 +0000",
            "timeEpoch": 1_795_348_800_000_i64
        },
        "isBase64Encoded": false
    });
    if let Some(body) = body {
        event["body"] = json!(body.to_string());
    }
    event
}

/// A call as the schedule of template.yaml makes it, every time the same: without what belongs to one call alone. Then
/// it has an ID and a deadline of its own when it arrives.
fn scheduled(mut call: Value) -> Value {
    if let Some(headers) = call.pointer_mut("/grpc/headers").and_then(Value::as_array_mut) {
        headers.retain(|header| {
            !["oms-deadline", "x-request-id", TRACEPARENT].iter().any(|own| header[0] == *own)
        });
    }
    call
}

fn somebody() -> Result<UserId, String> {
    SOMEBODY.parse().map_err(|_| format!("{SOMEBODY} is no user's ID"))
}

/// A request of somebody with this role.
fn by<T>(role: Role, message: T) -> Result<tonic::Request<T>, Status> {
    let caller = Caller::User { id: somebody().map_err(Status::internal)?, role };
    let context = Context { request_id: "sample".to_owned(), ..Context::new(caller, FAR_AWAY) };
    let mut request = metadata::request(message, &context);
    // No sample is in the trace of another request.
    request.metadata_mut().remove(TRACEPARENT);
    Ok(request)
}

/// Takes envelopes and delivers none.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<u8>>>);

impl Invoke for Recorder {
    fn invoke(&self, payload: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, Status>> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = payload;
        Box::pin(async { Err(Status::cancelled("it is recorded, not delivered")) })
    }
}

/// The envelope that a call is sent in.
async fn call(make: impl AsyncFnOnce(Channel) -> Result<(), Status>) -> Result<Value, CommandError> {
    let recorder = Recorder::default();
    // Its answer is always that it was not delivered.
    let undelivered = make(Channel::new(Arc::new(recorder.clone()), Clock::system())).await;
    let payload = recorder.0.lock().unwrap_or_else(PoisonError::into_inner);
    serde_json::from_slice(&payload)
        .map_err(|_| CommandError::new(format!("a call could not be recorded: {undelivered:?}")))
}
