//! The task of a process, built from its environment.

use std::time::Duration;

use aws_sdk_codedeploy::config::BehaviorVersion;
use aws_sdk_codedeploy::config::retry::RetryConfig;
use aws_sdk_codedeploy::config::timeout::TimeoutConfig;
use serde_json::Value;
use shared::error::Error;
use shared::http::base_path::BasePath;
use shared::http::edge::EdgeSecret;
use shared::rpc::lambda::LambdaFunction;
use shared::rpc::services::Services;
use shared::runtime::aws::Aws;
use shared::runtime::config::{BASE_PATH, ConfigErrors, EDGE_SECRET, Variable, Variables};
use shared::runtime::secrets;
use shared::runtime::task::Event;
use shared::values::clock::Clock;

use crate::consistency::ConsistencyCheck;
use crate::custom_resource::{Responder, SchemaResource};
use crate::environment::{
    CONSOLE_VERSION, DOCS_VERSION, ORDER_SERVICE_URL, ORDERS_VERSION, PRODUCTS_VERSION, TaskName,
    USERS_VERSION,
};
use crate::schema::{FirstAdmin, Step};
use crate::smoke::{Front, Plan, Smoke, Version, Versions};

/// Variable in which Lambda has the `Handler` of the function.
const HANDLER: &str = "_HANDLER";

/// Endpoint of CodeDeploy, for emulators.
const CODEDEPLOY_ENDPOINT: &str = "AWS_ENDPOINT_URL_CODEDEPLOY";

/// Timeout of one attempt to report to CodeDeploy.
const REPORT_TIMEOUT: Duration = Duration::from_secs(4);

/// Task of this process.
pub enum Task {
    /// Schema step.
    Schema(SchemaResource),
    /// Smoke test.
    Smoke(Smoke),
    /// Consistency check.
    Consistency(ConsistencyCheck),
}

impl Task {
    /// Reads the name of the task, and its variables.
    ///
    /// # Errors
    /// Everything that is missing or malformed. The schema step and the smoke test report their own variables.
    pub fn read(mut variables: Variables, clock: Clock) -> Result<Self, ConfigErrors> {
        let Some(name) = variables.required(HANDLER, TaskName::parse) else {
            return Err(variables.misconfigured());
        };
        match name {
            TaskName::Schema => schema_resource(variables, clock).map(Self::Schema),
            TaskName::Smoke => smoke(variables.declared(name.variables()), clock).map(Self::Smoke),
            TaskName::Consistency => {
                consistency_check(variables.declared(name.variables()), clock).map(Self::Consistency)
            }
        }
    }

    /// Does the task for an event, and returns a summary.
    ///
    /// # Errors
    /// Error of an outcome that could not be reported.
    pub async fn run(&self, event: Event) -> Result<Value, Error> {
        match self {
            Self::Schema(resource) => resource.handle(event).await,
            Self::Smoke(smoke) => smoke.handle(event).await,
            Self::Consistency(check) => check.handle(event).await,
        }
    }
}

fn schema_resource(mut variables: Variables, clock: Clock) -> Result<SchemaResource, ConfigErrors> {
    match Responder::of_aws() {
        Ok(responder) => {
            let step = Step::read(variables, FirstAdmin::Optional, clock.clone());
            Ok(SchemaResource::new(step, responder, clock))
        }
        Err(problem) => {
            variables.problem(problem);
            Err(variables.misconfigured())
        }
    }
}

fn smoke(mut variables: Variables, clock: Clock) -> Result<Smoke, ConfigErrors> {
    let mut services = Services::new(clock.clone());
    let endpoint = variables.optional(CODEDEPLOY_ENDPOINT, |url| Ok(url.to_owned()));
    let aws = services.aws(&mut variables);
    let plan = plan(&mut variables, &mut services, aws.as_ref());
    // Without it no result could be reported.
    let Some(aws) = aws else { return Err(variables.misconfigured()) };
    let plan = match plan {
        Some(plan) => variables.check().map(|()| plan),
        None => Err(variables.misconfigured()),
    };
    Ok(Smoke::new(plan, codedeploy(&aws, endpoint), clock))
}

/// Reads the new versions, and the front of the functions. `None` if that failed; the problem is recorded in
/// `variables`.
fn plan(variables: &mut Variables, services: &mut Services, aws: Option<&Aws>) -> Option<Plan> {
    let mut version = |variable: Variable| {
        let name = variables.required(variable.name, |name| Ok(name.to_owned()));
        let client = aws?.lambda();
        Some(Version(std::sync::Arc::new(LambdaFunction::new(client, name?))))
    };
    let orders = version(ORDERS_VERSION);
    let products = version(PRODUCTS_VERSION);
    let users = version(USERS_VERSION);
    let docs = version(DOCS_VERSION);
    let console = version(CONSOLE_VERSION);
    let base_path = variables.or(BASE_PATH.name, BasePath::default(), BasePath::parse);
    let edge_secret = secrets::optional(variables, services, EDGE_SECRET.name, EdgeSecret::check);
    let versions =
        Versions { orders: orders?, products: products?, users: users?, docs: docs?, console: console? };
    Some(Plan { versions, front: Front { base_path: base_path?, edge_secret } })
}

/// Creates a client for CodeDeploy. It retries, as a result may be reported twice.
fn codedeploy(aws: &Aws, endpoint: Option<String>) -> aws_sdk_codedeploy::Client {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(REPORT_TIMEOUT).build();
    let mut config = aws_sdk_codedeploy::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(aws.region())
        .credentials_provider(aws.credentials())
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .timeout_config(timeouts)
        .http_client(aws.http_client());
    config.set_endpoint_url(endpoint);
    aws_sdk_codedeploy::Client::from_conf(config.build())
}

fn consistency_check(mut variables: Variables, clock: Clock) -> Result<ConsistencyCheck, ConfigErrors> {
    let mut services = Services::new(clock.clone());
    match services.channel(&mut variables, ORDER_SERVICE_URL.name) {
        Some(orders) => {
            variables.check()?;
            Ok(ConsistencyCheck::new(orders, clock))
        }
        None => Err(variables.misconfigured()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::{Arc, Mutex};

    use shared::runtime::config::OF_LAMBDA;

    use super::*;

    /// Problems of the environment of a task, and the names of the variables that it asks for.
    fn asked_by(task: &'static str) -> (String, BTreeSet<String>) {
        let asked = Arc::new(Mutex::new(BTreeSet::new()));
        let record = asked.clone();
        let variables = Variables::from_fn(move |name| {
            record.lock().unwrap().insert(name.to_owned());
            (name == HANDLER).then(|| task.to_owned())
        });
        let problems = match Task::read(variables, Clock::system()) {
            Err(problems) => problems.to_string(),
            Ok(_) => String::new(),
        };
        let asked = asked.lock().unwrap().clone();
        (problems, asked)
    }

    #[test]
    fn a_task_reads_exactly_the_variables_of_its_table() {
        for task in TaskName::ALL {
            let (problems, mut asked) = asked_by(task.name());
            assert!(!problems.contains("not declared"), "{problems}");
            asked.retain(|name| name != HANDLER && !name.starts_with("AWS_"));
            // The process around the task reads them.
            let is_of_task = |it: &&Variable| OF_LAMBDA.iter().all(|of_lambda| of_lambda.name != it.name);
            let declared = task.variables().iter().filter(is_of_task);
            let declared: BTreeSet<_> = declared.flat_map(Variable::names).collect();
            assert_eq!(asked, declared, "{}", task.name());
        }
    }

    #[test]
    fn an_unknown_task_names_the_known_ones() {
        let (problems, _) = asked_by("bootstrap");
        assert_eq!(problems, "invalid environment: _HANDLER: must be one of schema, smoke, consistency");
    }

    #[test]
    fn the_schema_step_starts_in_a_wrong_environment() {
        assert_eq!(asked_by("schema").0, "");
        assert!(asked_by("consistency").0.contains("ORDER_SERVICE_URL is required"));
    }
}
