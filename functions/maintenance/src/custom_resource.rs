//! The schema step as a custom resource of CloudFormation: a deployment waits for its answer, and fails with it.
//!
//! The answer goes to a presigned URL of the event. CloudFormation waits for it until the resource's
//! `ServiceTimeout`, so there is one in every case: also for a wrong environment, by a panic, and shortly before Lambda's deadline.

use std::fmt;
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use http::{HeaderValue, Request, Uri, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::error::Error;
use shared::runtime::aws::ROOTS;
use shared::runtime::config::ConfigErrors;
use shared::runtime::task::{Event, LogStream};
use shared::values::clock::{Clock, Timestamp};

use crate::bounded::{self, Cut};
use crate::schema::Step;

/// ID of the resource. It is always the same, so that no update replaces, and then deletes, the resource.
const PHYSICAL_ID: &str = "schema-step";

/// Time before the deadline that is kept for the answer.
const ANSWER_TIME: Duration = Duration::from_secs(15);

/// Timeout of one attempt to answer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);

/// Attempts to answer.
const ATTEMPTS: u32 = 3;

/// Longest reason in bytes. An answer has at most 4,096, and the IDs in it at most some 1,500.
const MAX_REASON: usize = 1_800;

/// Advice at the end of a reason.
const ADVICE: &str = "Deploy again to go on: the step continues where it was, and does nothing twice. After a first \
                      deployment delete the stack before that. If the stack cannot roll back, skip SchemaStep \
                      (docs/operations.md, \"At a deployment\").";

/// Event of CloudFormation.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResourceEvent {
    request_type: String,
    #[serde(rename = "ResponseURL")]
    response_url: String,
    stack_id: String,
    request_id: String,
    logical_resource_id: String,
}

/// Answer to CloudFormation.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    physical_resource_id: &'static str,
    stack_id: &'a str,
    request_id: &'a str,
    logical_resource_id: &'a str,
}

/// Schema step that CloudFormation starts.
pub struct SchemaResource {
    /// A wrong environment is reported to CloudFormation, too.
    step: Result<Step, ConfigErrors>,
    responder: Responder,
    clock: Clock,
}

impl SchemaResource {
    /// Creates it. The answers go where `responder` permits.
    pub fn new(step: Result<Step, ConfigErrors>, responder: Responder, clock: Clock) -> Self {
        Self { step, responder, clock }
    }

    /// Runs the step for a resource that is created or updated, and answers CloudFormation.
    ///
    /// # Errors
    /// For an event that is not one of CloudFormation, and if the answer cannot be sent. Lambda then repeats the
    /// event.
    pub async fn handle(&self, event: Event) -> Result<Value, Error> {
        let request: ResourceEvent = serde_json::from_str(event.payload.get()).map_err(Error::internal)?;
        // Nothing is done for an event whose answer may not be sent.
        let url = self.responder.accept(&request.response_url)?;
        let deadline = event.context.deadline;
        let outcome = self.outcome(&request.request_type, deadline).await;
        match &outcome {
            Ok(()) => tracing::info!(request_type = request.request_type, "the schema step succeeded"),
            Err(reason) => tracing::error!(reason, "the schema step failed"),
        }
        let answer = Answer {
            status: if outcome.is_ok() { "SUCCESS" } else { "FAILED" },
            reason: outcome.err().map(|reason| with_advice(&reason, &event.log)),
            physical_resource_id: PHYSICAL_ID,
            stack_id: &request.stack_id,
            request_id: &request.request_id,
            logical_resource_id: &request.logical_resource_id,
        };
        let sending = self.responder.send(&url, &answer);
        let sent = bounded::until(deadline, &self.clock, sending).await;
        sent.map_err(|_| Error::unavailable("CloudFormation did not take the answer in time"))??;
        Ok(json!({ "status": answer.status }))
    }

    /// Runs what this type of request asks for.
    ///
    /// # Errors
    /// Reason in plain words, without secrets.
    async fn outcome(&self, request_type: &str, deadline: Timestamp) -> Result<(), String> {
        match request_type {
            "Create" | "Update" => {}
            // The data outlives the stack.
            "Delete" => return Ok(()),
            _ => return Err("The event has an unknown type of request".to_owned()),
        }
        let step = self.step.as_ref().map_err(ToString::to_string)?;
        let end = bounded::with_reserve(deadline, &self.clock, ANSWER_TIME);
        match bounded::until(end, &self.clock, step.run()).await {
            Ok(Ok(database)) => {
                tracing::info!(database = database.name(), "the database is ready");
                Ok(())
            }
            Ok(Err(error)) => Err(explained(&error)),
            Err(Cut::Late) => Err("The schema step was not done in the time of its function".to_owned()),
            Err(Cut::Panicked) => Err("The schema step panicked".to_owned()),
        }
    }
}

/// Cause of an error, else its explanation.
fn explained(error: &Error) -> String {
    match error.causes() {
        "" => error.explanation(),
        causes => causes.to_owned(),
    }
}

/// Reason of a failure as CloudFormation shows it: with advice, and the place of the log.
fn with_advice(reason: &str, log: &LogStream) -> String {
    // Characters that JSON escapes would make the answer longer than its limit.
    let plain = |it: char| match it {
        '"' | '\\' => '\'',
        it if it.is_control() => ' ',
        it => it,
    };
    let reason: String = reason.chars().map(plain).collect();
    let reason = &reason[..reason.floor_char_boundary(MAX_REASON)];
    let LogStream { group, stream } = log;
    format!("{}. {ADVICE} Log: {group}, {stream}", reason.trim_end_matches('.'))
}

/// URLs to which answers may be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destinations {
    /// HTTPS at a bucket of CloudFormation: presigned URLs of S3.
    Aws,
    /// This authority alone, such as `127.0.0.1:8080`, by HTTP or HTTPS.
    Only(String),
}

/// Beginning of the buckets of CloudFormation.
const BUCKETS: &str = "cloudformation-custom-resource-response-";

/// Ends of the hosts of AWS: all regions, and those in China.
const HOSTS_OF_AWS: [&str; 2] = [".amazonaws.com", ".amazonaws.com.cn"];

impl Destinations {
    fn permit(&self, url: &Uri) -> bool {
        let Some(authority) = url.authority() else { return false };
        match self {
            Self::Only(only) => authority.as_str() == only,
            Self::Aws => {
                let host = authority.host();
                // The name of a bucket has no dots here, so that the next label is the service.
                let service = host.strip_prefix(BUCKETS).and_then(|rest| rest.split('.').nth(1));
                let is_s3 = service.is_some_and(|it| it == "s3" || it.starts_with("s3-"));
                let is_of_aws = is_s3 && HOSTS_OF_AWS.iter().any(|end| host.ends_with(end));
                // Without a port or a user: the whole authority is the host.
                url.scheme_str() == Some("https") && is_of_aws && authority.as_str() == authority.host()
            }
        }
    }
}

/// Sender of answers to CloudFormation.
pub struct Responder {
    destinations: Destinations,
    connector: Connector,
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder").field("destinations", &self.destinations).finish_non_exhaustive()
    }
}

impl Responder {
    /// Creates a sender to CloudFormation itself.
    ///
    /// # Errors
    /// Message if the pinned roots cannot be read.
    pub fn of_aws() -> Result<Self, String> {
        Self::new(Destinations::Aws, ROOTS)
    }

    /// Creates a sender to these destinations, whose certificates are signed by one of `roots`, in PEM.
    ///
    /// # Errors
    /// Message if the roots cannot be read.
    pub fn new(destinations: Destinations, roots: &[u8]) -> Result<Self, String> {
        let store = TrustStore::empty().with_pem_certificate(roots);
        let context = TlsContext::builder()
            .with_trust_store(store)
            .build()
            .map_err(|error| format!("cannot read the trust store for CloudFormation: {error}"))?;
        let connector = Connector::builder()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(context)
            .build();
        Ok(Self { destinations, connector })
    }

    /// Reads the URL of an event.
    ///
    /// # Errors
    /// 403 for one at another destination. The error does not repeat it: it is a credential.
    fn accept(&self, url: &str) -> Result<Uri, Error> {
        let url: Option<Uri> = url.parse().ok();
        url.filter(|url| self.destinations.permit(url)).ok_or_else(|| {
            Error::forbidden("The event does not come from CloudFormation.")
                .caused_by("the ResponseURL is no https:// URL of AWS; nothing was done")
        })
    }

    /// Sends the answer, and again if that fails.
    async fn send(&self, url: &Uri, answer: &Answer<'_>) -> Result<(), Error> {
        let body = serde_json::to_string(answer).map_err(Error::internal)?;
        for attempt in 1..=ATTEMPTS {
            let put = tokio::time::timeout(ATTEMPT_TIMEOUT, self.put(url, &body)).await;
            match put.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
                Ok(()) => return Ok(()),
                Err(problem) => tracing::warn!(attempt, problem, "CloudFormation did not take the answer"),
            }
            if attempt < ATTEMPTS {
                tokio::time::sleep(Duration::from_millis(200) * attempt).await;
            }
        }
        Err(Error::unavailable("CloudFormation did not take the answer"))
    }

    async fn put(&self, url: &Uri, body: &str) -> Result<(), String> {
        let request = Request::put(url)
            // The signature of the URL is for an empty type.
            .header(header::CONTENT_TYPE, HeaderValue::from_static(""))
            .header(header::CONTENT_LENGTH, body.len())
            .body(SdkBody::from(body))
            .map_err(|_| "the URL is invalid")?;
        let request = HttpRequest::try_from(request).map_err(|_| "the URL is invalid")?;
        // The error's own text may repeat the URL.
        let answer = self.connector.call(request).await.map_err(|error| match error {
            _ if error.is_timeout() => "timeout",
            _ if error.is_io() => "the connection failed",
            _ => "the request failed",
        })?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(format!("status {}", status.as_u16())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::future::BoxFuture;
    use shared::runtime::secrets::{Secret, SecretSource};

    use super::*;

    /// Secret whose reading never ends, or panics.
    struct Unreadable {
        panics: bool,
    }

    impl SecretSource for Unreadable {
        fn current(&self) -> BoxFuture<'_, Result<Secret, Error>> {
            assert!(!self.panics, "this panic is part of the test");
            Box::pin(std::future::pending())
        }

        fn previous(&self) -> BoxFuture<'_, Result<Option<Secret>, Error>> {
            Box::pin(async { Ok(None) })
        }
    }

    #[tokio::test]
    async fn a_step_that_panics_or_does_not_end_has_an_outcome() {
        let clock = Clock::system();
        for (panics, reason) in [
            (true, "The schema step panicked"),
            (false, "The schema step was not done in the time of its function"),
        ] {
            let step = Step::of_database(Arc::new(Unreadable { panics }));
            let responder = Responder::of_aws().unwrap();
            let resource = SchemaResource::new(Ok(step), responder, clock.clone());
            let deadline = clock.now().after(Duration::from_millis(200));
            assert_eq!(resource.outcome("Update", deadline).await, Err(reason.to_owned()));
        }
    }

    #[test]
    fn only_https_urls_of_aws_are_accepted() {
        let responder = Responder::of_aws().unwrap();
        for good in [
            "https://cloudformation-custom-resource-response-euc1.s3.eu-central-1.amazonaws.com/arn%3Aaws?X=Y",
            "https://cloudformation-custom-resource-response-cnn1.s3.cn-north-1.amazonaws.com.cn/a",
        ] {
            assert_eq!(responder.accept(good).unwrap().to_string(), good);
        }
        for bad in [
            "http://cloudformation-custom-resource-response-euc1.s3.eu-central-1.amazonaws.com/a",
            "https://bucket.s3.amazonaws.com/a",
            "https://cloudformation-custom-resource-response-a.execute-api.eu-central-1.amazonaws.com/a",
            "https://example.com/.amazonaws.com",
            "https://cloudformation-custom-resource-response-a.s3.amazonaws.com.example.com/a",
            "https://cloudformation-custom-resource-response-a.s3amazonaws.com/a",
            "https://amazonaws.com@example.com/a",
            "https://user:secret@cloudformation-custom-resource-response-a.s3.amazonaws.com/a",
            "https://cloudformation-custom-resource-response-a.s3.amazonaws.com:8443/a",
            "https://169.254.169.254/latest/meta-data",
            "file:///etc/passwd",
            "/a",
            "",
        ] {
            let error = responder.accept(bad).expect_err(bad);
            assert!(!error.causes().contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn an_answer_is_within_the_limit_of_cloudformation() {
        let id = "a".repeat(500);
        let log = LogStream { group: "g".repeat(512), stream: "s".repeat(512) };
        for reason in ["é", "\"\\\n"] {
            let answer = Answer {
                status: "FAILED",
                reason: Some(with_advice(&reason.repeat(5_000), &log)),
                physical_resource_id: PHYSICAL_ID,
                stack_id: &id,
                request_id: &id[..36],
                logical_resource_id: &id[..255],
            };
            let bytes = serde_json::to_vec(&answer).unwrap().len();
            assert!(bytes <= 4_096, "{bytes}");
        }
    }

    #[test]
    fn a_reason_ends_with_advice_and_the_log() {
        let log = LogStream { group: "/aws/lambda/schema".to_owned(), stream: "1".to_owned() };
        let reason = with_advice("MongoDB is away.", &log);
        assert!(reason.starts_with("MongoDB is away. Deploy again to go on: "), "{reason}");
        assert!(reason.contains(" skip SchemaStep "), "{reason}");
        assert!(reason.ends_with("). Log: /aws/lambda/schema, 1"), "{reason}");
    }
}
