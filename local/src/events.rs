//! Samples for `cargo lambda invoke`, one for each function and kind of event.
//!
//! Those in `local/events/` need no secret; `cargo local events` writes signed ones. Envelopes are made by
//! the code that makes them on Lambda, so a sample cannot be out of date.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use proto::orders::v1::ReconcileRequest;
use proto::orders::v1::order_service_client::OrderServiceClient;
use proto::products::v1::ListHoldsRequest;
use proto::products::v1::product_service_client::ProductServiceClient;
use proto::users::v1::GetSigningKeysRequest;
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
use crate::settings::{self, Settings};
use crate::terminal::{print_ignoring_epipe, shell_quoted};

/// User of the samples. A token is trusted as it is, so this user need not exist.
const SAMPLE_USER: &str = "user_01h455vb4pex5vsknk084sn02q";

/// Deadline in the year 2100: every call has a deadline, and a sample must not expire.
const FAR_AWAY: Timestamp = Timestamp::from_millis(4_102_444_800_000);

/// Sample event.
pub struct Sample {
    /// Name of its file, which begins with the name of the function.
    pub file: &'static str,
    /// Event that `cargo lambda invoke` sends.
    pub event: Value,
}

/// Returns the samples that need no secret: those in `local/events/`.
///
/// # Errors
/// Only if the code itself is wrong.
pub async fn samples() -> Result<Vec<Sample>, CommandError> {
    let ada = json!({ "email": demo::CUSTOMER, "password": demo::PASSWORD });
    let call_users = call("products", async |channel| {
        UserServiceClient::new(channel)
            .get_signing_keys(sample(GetSigningKeysRequest::default()))
            .await
            .map(drop)
    });
    let call_products = call("orders", async |channel| {
        let holds = ListHoldsRequest { limit: 2, ..ListHoldsRequest::default() };
        ProductServiceClient::new(channel).list_holds(sample(holds)).await.map(drop)
    });
    let call_orders = call("schedule", async |channel| {
        let shard = ReconcileRequest { shard: Some(0), shards: Some(2) };
        OrderServiceClient::new(channel).reconcile(sample(shard)).await.map(drop)
    });
    let reconcile = call("schedule", async |channel| {
        OrderServiceClient::new(channel).reconcile(sample(ReconcileRequest::default())).await.map(drop)
    });
    Ok(vec![
        Sample { file: "console-http.json", event: http("GET", "/console/sign-in", None, None) },
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

/// Returns samples with an access token that is valid for 15 minutes.
///
/// # Errors
/// If the secret is too short.
pub fn signed(jwt_secret: &str) -> Result<Vec<Sample>, CommandError> {
    let signer = Signer::from_secret(jwt_secret).map_err(CommandError::new)?;
    let user = sample_user().map_err(CommandError::new)?;
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
/// If the folder or the secrets cannot be read or written.
pub fn run(data: Option<PathBuf>, to: Option<PathBuf>) -> Result<(), CommandError> {
    let folder = data_folder(data)?;
    let settings = Settings::load(&folder)?;
    let to = to.unwrap_or_else(|| folder.join(settings::EVENTS_FOLDER));
    let samples = signed(&settings.jwt_secret)?;
    write(&to, &samples)?;
    for Sample { file, .. } in samples {
        let function = file.split('-').next().unwrap_or_default();
        let path = to.join(file);
        let path = path.strip_prefix(checkout()).unwrap_or(&path);
        print_ignoring_epipe(format_args!(
            "cargo lambda invoke {function} --invoke-address 127.0.0.1 --data-file {}",
            shell_quoted(&path.display().to_string())
        ));
    }
    Ok(())
}

/// Writes samples into a folder, which is created if it is missing.
///
/// # Errors
/// If it cannot be written.
pub fn write(folder: &Path, samples: &[Sample]) -> Result<(), CommandError> {
    let failed = |error: std::io::Error| {
        CommandError::new(format!("{} cannot be written: {error}", folder.display()))
            .advice("Choose another folder: cargo local events --to DIR")
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    for Sample { file, event } in samples {
        // Some have an access token.
        settings::write_private(&folder.join(file), &text(event)).map_err(failed)?;
    }
    Ok(())
}

/// Formats an event as in its file.
pub fn text(event: &Value) -> String {
    format!("{event:#}\n")
}

/// Builds an event of API Gateway (HTTP API, payload 2.0).
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

/// Removes the headers that belong to one call alone, as in the schedule of template.yaml.
///
/// The call gets its own ID and deadline when it arrives.
fn scheduled(mut call: Value) -> Value {
    if let Some(headers) = call.pointer_mut("/grpc/headers").and_then(Value::as_array_mut) {
        headers.retain(|header| {
            !["oms-deadline", "x-request-id", TRACEPARENT].iter().any(|own| header[0] == *own)
        });
    }
    call
}

fn sample_user() -> Result<UserId, String> {
    SAMPLE_USER.parse().map_err(|_| format!("{SAMPLE_USER} is no user's ID"))
}

/// Builds a request of a function on its own behalf.
fn sample<T>(message: T) -> tonic::Request<T> {
    let context = Context { request_id: "sample".into(), ..Context::new(Caller::System, FAR_AWAY) };
    let mut request = metadata::request(message, &context);
    // A sample belongs to no trace.
    request.metadata_mut().remove(TRACEPARENT);
    request
}

/// Channel that records envelopes and delivers none.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<u8>>>);

impl Invoke for Recorder {
    fn invoke(&self, payload: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, Status>> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = payload;
        Box::pin(async { Err(Status::cancelled("it is recorded, not delivered")) })
    }
}

/// Returns the envelope of a call by this function.
async fn call(
    function: &'static str,
    make: impl AsyncFnOnce(Channel) -> Result<(), Status>,
) -> Result<Value, CommandError> {
    let recorder = Recorder::default();
    let channel = Channel::new(Arc::new(recorder.clone()), Clock::system()).named(function);
    // The result is always an error, because the call is not delivered.
    let undelivered = make(channel).await;
    let payload = recorder.0.lock().unwrap_or_else(PoisonError::into_inner);
    serde_json::from_slice(&payload)
        .map_err(|_| CommandError::new(format!("a call could not be recorded: {undelivered:?}")))
}
