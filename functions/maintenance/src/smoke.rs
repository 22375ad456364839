//! Smoke test of new versions, before they get traffic: a hook of CodeDeploy.
//!
//! It invokes the versions themselves, past the alias, with events as API Gateway makes them and with a call as
//! functions make them. It reads only. CodeDeploy waits for its result, so there is one in every case.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_codedeploy::types::LifecycleEventStatus;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use proto::orders::v1::CheckConsistencyRequest;
use proto::orders::v1::order_service_client::OrderServiceClient;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::auth::{Role, TokenOrigin};
use shared::error::Error;
use shared::http::base_path::BasePath;
use shared::http::edge::{SECRET_HEADER, VIEWER_ADDRESS};
use shared::rpc::channel::{Channel, Invoke};
use shared::rpc::metadata;
use shared::rpc::server::MAX_MESSAGE;
use shared::runtime::config::ConfigErrors;
use shared::runtime::context::Context;
use shared::runtime::secrets::SecretSource;
use shared::runtime::task::Event;
use shared::values::clock::{Clock, Timestamp};
use shared::values::ids::UserId;

use crate::bounded::{self, Cut};
use crate::{NAME, keys};

/// Longest time of a step: a cold start, and one of a function that it calls.
const STEP_TIMEOUT: Duration = Duration::from_secs(20);

/// Time before the deadline that is kept for the report.
const REPORT_TIME: Duration = Duration::from_secs(15);

/// Address of the client in the events, from a range for documentation (RFC 5737).
const CLIENT: &str = "192.0.2.1";

/// Event of CodeDeploy.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HookEvent {
    deployment_id: String,
    lifecycle_event_hook_execution_id: String,
}

/// Version of a function, which can be invoked.
#[derive(Clone)]
pub struct Version(pub Arc<dyn Invoke>);

/// New versions of the functions.
#[derive(Clone)]
pub struct Versions {
    /// Of the orders function.
    pub orders: Version,
    /// Of the products function.
    pub products: Version,
    /// Of the users function.
    pub users: Version,
    /// Of the docs function.
    pub docs: Version,
    /// Of the console.
    pub console: Version,
}

/// Front of the functions, through which all requests come.
#[derive(Clone, Default)]
pub struct Front {
    /// Path in front of all others; empty without one.
    pub base_path: BasePath,
    /// Secret by which the functions know requests from the front.
    pub edge_secret: Option<Arc<dyn SecretSource>>,
}

/// New versions, and the front through which they are asked.
pub struct Plan {
    /// New versions.
    pub versions: Versions,
    /// Front.
    pub front: Front,
}

/// Smoke test of new versions.
pub struct Smoke {
    /// A wrong environment is a failed test: CodeDeploy waits an hour for a process that has ended.
    plan: Result<Plan, ConfigErrors>,
    reports: aws_sdk_codedeploy::Client,
    clock: Clock,
}

/// Request of a step, and the answer that it must have.
struct RequestStep {
    name: &'static str,
    version: fn(&Versions) -> &Version,
    path: &'static str,
    query: &'static str,
    with_token: bool,
    status: u16,
    /// JSON Pointer to an array of the answer, and its least number of elements.
    array: Option<(&'static str, usize)>,
}

/// The steps over REST, in their order.
static REQUESTS: [RequestStep; 6] = [
    RequestStep {
        name: "docs answers",
        version: |versions| &versions.docs,
        path: "/health",
        query: "",
        with_token: false,
        status: 200,
        array: None,
    },
    RequestStep {
        name: "products reads MongoDB",
        version: |versions| &versions.products,
        path: "/products",
        query: "limit=1",
        with_token: false,
        status: 200,
        array: Some(("/data", 0)),
    },
    RequestStep {
        name: "users publishes its keys",
        version: |versions| &versions.users,
        path: "/.well-known/jwks.json",
        query: "",
        with_token: false,
        status: 200,
        array: Some(("/keys", 1)),
    },
    RequestStep {
        name: "orders refuses a request without a token",
        version: |versions| &versions.orders,
        path: "/orders",
        query: "",
        with_token: false,
        status: 401,
        array: None,
    },
    RequestStep {
        // To know that no key has signed it, orders has to ask users: without an answer it says 503.
        name: "orders asks users for the keys of a token",
        version: |versions| &versions.orders,
        path: "/orders",
        query: "",
        with_token: true,
        status: 401,
        array: None,
    },
    RequestStep {
        // It is built with the secret that seals its sessions, and calls no other function for this page.
        name: "the console shows its sign-in page",
        version: |versions| &versions.console,
        path: "/console/sign-in",
        query: "",
        with_token: false,
        status: 200,
        array: None,
    },
];

/// Name of the step over gRPC.
const CALL: &str = "orders and products compare a product";

/// Result of a step.
#[derive(Clone, Debug, Serialize)]
pub struct StepReport {
    /// Name.
    pub step: &'static str,
    /// Problem; none if the step succeeded.
    pub problem: Option<String>,
}

/// Part of an answer to an event of API Gateway.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RestAnswer {
    status_code: u16,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

impl Smoke {
    /// Creates it. The result goes to `reports`.
    pub fn new(plan: Result<Plan, ConfigErrors>, reports: aws_sdk_codedeploy::Client, clock: Clock) -> Self {
        Self { plan, reports, clock }
    }

    /// Tries all steps, and reports to CodeDeploy whether all succeeded.
    ///
    /// # Errors
    /// For an event that is not one of CodeDeploy, and if CodeDeploy does not take the result.
    pub async fn handle(&self, event: Event) -> Result<Value, Error> {
        let hook: HookEvent = serde_json::from_str(event.payload.get()).map_err(Error::internal)?;
        let Context { deadline, .. } = event.context;
        let end = bounded::with_reserve(deadline, &self.clock, REPORT_TIME);
        let steps = match &self.plan {
            Ok(plan) => self.steps(plan, &Context { deadline: end, ..event.context }).await,
            Err(problems) => {
                tracing::error!(%problems, "the smoke test cannot run");
                vec![StepReport { step: "the environment is complete", problem: Some(problems.to_string()) }]
            }
        };
        let is_good = steps.iter().all(|step| step.problem.is_none());
        let status = if is_good { LifecycleEventStatus::Succeeded } else { LifecycleEventStatus::Failed };
        let reporting = self.report(hook, status.clone());
        let reported = bounded::until(deadline, &self.clock, reporting).await;
        reported.map_err(|_| Error::unavailable("CodeDeploy did not take the result in time"))??;
        Ok(json!({ "status": status.as_str(), "steps": steps }))
    }

    /// Tries all steps, one after the other, and logs each.
    async fn steps(&self, plan: &Plan, context: &Context) -> Vec<StepReport> {
        let mut reports = Vec::new();
        for step in &REQUESTS {
            reports.push(self.tried(step.name, context, |context| self.request(plan, step, context)).await);
        }
        reports.push(self.tried(CALL, context, |context| self.call(plan, context)).await);
        reports
    }

    /// Tries a step within its share of the time that is left.
    async fn tried<F>(
        &self,
        step: &'static str,
        context: &Context,
        work: impl FnOnce(Context) -> F,
    ) -> StepReport
    where
        F: Future<Output = Result<(), String>>,
    {
        let begun = Instant::now();
        let deadline = self.deadline_of_step(context.deadline);
        let work = work(Context { deadline, ..context.clone() });
        let problem = match bounded::until(deadline, &self.clock, work).await {
            Ok(Ok(())) => None,
            Ok(Err(problem)) => Some(problem),
            Err(Cut::Late) => Some("no answer in time".to_owned()),
            Err(Cut::Panicked) => Some("the step panicked".to_owned()),
        };
        let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        match &problem {
            None => tracing::info!(step, duration_ms, "smoke step succeeded"),
            Some(problem) => tracing::error!(step, duration_ms, problem, "smoke step failed"),
        }
        StepReport { step, problem }
    }

    /// A step may use half of what is left, so that a silent function leaves time for the steps after it.
    fn deadline_of_step(&self, end: Timestamp) -> Timestamp {
        let now = self.clock.now();
        now.after(STEP_TIMEOUT.min(end.since(now) / 2))
    }

    async fn request(&self, plan: &Plan, step: &RequestStep, context: Context) -> Result<(), String> {
        let event = self.event(&plan.front, step, &context).await.map_err(|error| error.explanation())?;
        let Version(function) = (step.version)(&plan.versions);
        let answer = function.invoke_in(event, Some(&context.trace)).await;
        let answer = answer.map_err(|status| status.message().to_owned())?;
        step.check(&answer)
    }

    /// Event of API Gateway (HTTP API, payload 2.0) for a step.
    async fn event(&self, front: &Front, step: &RequestStep, context: &Context) -> Result<Vec<u8>, Error> {
        let path = front.base_path.of(step.path);
        let mut event = json!({
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": step.query,
            "headers": { "accept": "application/json", "host": NAME, "x-request-id": *context.request_id },
            "requestContext": {
                "accountId": NAME,
                "apiId": NAME,
                "domainName": NAME,
                "http": { "method": "GET", "path": path, "protocol": "HTTP/1.1", "sourceIp": CLIENT },
                "requestId": *context.request_id,
                "routeKey": "$default",
                "stage": "$default",
                "timeEpoch": self.clock.now().millis(),
            },
            "isBase64Encoded": false,
        });
        if let Some(secret) = &front.edge_secret {
            event["headers"][SECRET_HEADER.as_str()] = secret.current().await?.expose().into();
            event["headers"][VIEWER_ADDRESS.as_str()] = format!("{CLIENT}:443").into();
        }
        if step.with_token {
            event["headers"]["authorization"] = format!("Bearer {}", self.untrusted_token().await?).into();
        }
        serde_json::to_vec(&event).map_err(Error::internal)
    }

    /// Well-formed access token that no key of the users function has signed.
    async fn untrusted_token(&self) -> Result<String, Error> {
        let keys = keys::untrusted(self.clock.clone())?;
        keys.access_token(TokenOrigin::default(), UserId::new(), Role::Customer, self.clock.now()).await
    }

    /// Calls orders as functions call each other, which calls products.
    async fn call(&self, plan: &Plan, context: Context) -> Result<(), String> {
        let channel = Channel::new(plan.versions.orders.0.clone(), self.clock.clone()).named(NAME);
        let mut orders = OrderServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
        let message = CheckConsistencyRequest { limit: Some(1), cursor: None };
        let answer = orders.check_consistency(metadata::request(message, &context)).await;
        // Violations are for the consistency check: they are of the data, and not of the new version.
        answer.map(drop).map_err(|status| format!("{:?}: {}", status.code(), status.message()))
    }

    async fn report(&self, hook: HookEvent, status: LifecycleEventStatus) -> Result<(), Error> {
        let sent = self
            .reports
            .put_lifecycle_event_hook_execution_status()
            .deployment_id(hook.deployment_id)
            .lifecycle_event_hook_execution_id(hook.lifecycle_event_hook_execution_id)
            .status(status)
            .send()
            .await;
        sent.map(drop).map_err(|error| {
            let code = error.as_service_error().and_then(|error| error.meta().code());
            let code = code.unwrap_or("no answer").to_owned();
            Error::unavailable(format!("CodeDeploy did not take the result: {code}"))
        })
    }
}

impl RequestStep {
    /// Checks the answer to its event. Of the body a problem names the type alone.
    fn check(&self, answer: &[u8]) -> Result<(), String> {
        let unreadable = |_| "the answer is none to an event of API Gateway".to_owned();
        let answer: RestAnswer = serde_json::from_slice(answer).map_err(unreadable)?;
        let body = answer.json();
        if answer.status_code != self.status {
            let kind = body.get("type").and_then(Value::as_str).unwrap_or("no problem type");
            return Err(format!("status {} ({kind}) instead of {}", answer.status_code, self.status));
        }
        let Some((pointer, least)) = self.array else { return Ok(()) };
        match body.pointer(pointer).and_then(Value::as_array) {
            Some(elements) if elements.len() >= least => Ok(()),
            Some(elements) => Err(format!("{pointer} has {} elements instead of {least}", elements.len())),
            None => Err(format!("the answer has no array {pointer}")),
        }
    }
}

impl RestAnswer {
    /// Body as JSON; null if it is none.
    fn json(&self) -> Value {
        let body = self.body.as_deref().unwrap_or_default();
        let parsed = match self.is_base64_encoded {
            true => BASE64.decode(body).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()),
            false => serde_json::from_str(body).ok(),
        };
        parsed.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(step: &RequestStep, answer: &Value) -> Result<(), String> {
        step.check(answer.to_string().as_bytes())
    }

    #[test]
    fn an_answer_is_held_against_status_and_content() {
        let keys = &REQUESTS[2];
        let with = |body: &str| json!({ "statusCode": 200, "body": body });
        assert_eq!(checked(keys, &with(r#"{"keys": [{}]}"#)), Ok(()));
        let encoded = BASE64.encode(r#"{"keys": [{}]}"#);
        let encoded = json!({ "statusCode": 200, "body": encoded, "isBase64Encoded": true });
        assert_eq!(checked(keys, &encoded), Ok(()));
        for (answer, problem) in [
            (with(r#"{"keys": []}"#), "/keys has 0 elements instead of 1"),
            (with("<html>"), "the answer has no array /keys"),
            (
                json!({ "statusCode": 503, "body": r#"{"type": "/problems/unavailable"}"# }),
                "status 503 (/problems/unavailable) instead of 200",
            ),
            (json!({ "errorMessage": "x" }), "the answer is none to an event of API Gateway"),
        ] {
            assert_eq!(checked(keys, &answer), Err(problem.to_owned()));
        }
    }

    #[test]
    fn an_empty_shop_is_a_good_one() {
        let products = &REQUESTS[1];
        assert_eq!(checked(products, &json!({ "statusCode": 200, "body": r#"{"data": []}"# })), Ok(()));
    }
}
