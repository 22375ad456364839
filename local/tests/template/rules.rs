//! Rules that the template keeps, held against the tables of the code.
//!
//! - `functions`: how functions are built, configured, called and logged
//! - `api`: routes and their throttles
//! - `permissions`: roles
//! - `deployment`: deployments and schedules

pub(crate) mod api;
mod deployment;
mod functions;
mod permissions;

use std::fmt;

use local::gateway::Function;
use maintenance::environment::TaskName;
use shared::runtime::config::Variable;

use super::metrics;
use super::template::{FunctionResource, Template, reference, substituted, visit};

/// Subject of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A reference leads to something that is there.
    Reference,
    /// A function is built as all are.
    Build,
    /// A path reaches the function that has its route.
    Route,
    /// A route is throttled as its row says.
    Throttle,
    /// A function is given the variables that it reads.
    Variable,
    /// Callers name the alias of a function.
    Alias,
    /// A role allows what its function does, and nothing else.
    Permission,
    /// A callee gives up before its caller.
    Timeout,
    /// Logs end after some time.
    Log,
    /// A deployment shifts traffic, watches, and can go back.
    Deployment,
    /// Each shard of Reconcile has its schedule.
    Schedule,
    /// Alarms and the dashboard show what is measured.
    Metric,
    /// An alarm has an entry in the runbook.
    Runbook,
}

/// A fault of the template.
#[derive(Debug)]
pub(crate) struct Finding {
    /// The rule that it breaks.
    pub(crate) rule: Rule,
    /// Logical ID, route or name.
    pub(crate) subject: String,
    /// Problem.
    pub(crate) problem: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {} {}", self.rule, self.subject, self.problem)
    }
}

/// Collects findings.
#[derive(Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    /// Adds a finding, if something is wrong.
    pub(crate) fn check(&mut self, is_right: bool, rule: Rule, subject: &str, problem: impl Into<String>) {
        if !is_right {
            self.0.push(Finding { rule, subject: subject.to_owned(), problem: problem.into() });
        }
    }
}

/// All faults of a template.
pub(crate) fn findings(template: &Template) -> Vec<Finding> {
    let mut found = Findings::default();
    let rules = [
        check_references,
        functions::builds,
        functions::variables,
        functions::aliases,
        functions::timeouts,
        functions::logs,
        api::routes,
        api::throttles,
        permissions::permissions,
        deployment::deployments,
        deployment::schedules,
        metrics::alarms,
        metrics::dashboard,
        metrics::runbook,
    ];
    for rule in rules {
        rule(template, &mut found);
    }
    found.0
}

/// Alias that everything calls.
const ALIAS: &str = "live";

/// Variables of the code that say which function to call.
const CALLS: [(&str, Function); 3] = [
    ("ORDER_SERVICE_URL", Function::Orders),
    ("PRODUCT_SERVICE_URL", Function::Products),
    ("USER_SERVICE_URL", Function::Users),
];

/// Variables of the code that have a version to try.
const VERSIONS: [(&str, Function); 5] = [
    ("ORDERS_VERSION", Function::Orders),
    ("PRODUCTS_VERSION", Function::Products),
    ("USERS_VERSION", Function::Users),
    ("DOCS_VERSION", Function::Docs),
    ("CONSOLE_VERSION", Function::Console),
];

/// A program of the code, which is a function of the template.
struct Program {
    /// Name of its package.
    binary: &'static str,
    /// Handler.
    handler: &'static str,
    /// Variables that it reads.
    variables: &'static [Variable],
    /// Actions that the code calls beside those that follow from the variables.
    actions: &'static [&'static str],
}

/// All programs that are deployed.
fn programs() -> Vec<Program> {
    let rest = Function::ALL.into_iter().map(|function| Program {
        binary: function.name(),
        handler: "bootstrap",
        variables: function.variables(),
        actions: &[],
    });
    let tasks = TaskName::ALL.into_iter().map(|task| Program {
        binary: maintenance::NAME,
        handler: task.name(),
        variables: task.variables(),
        actions: match task {
            TaskName::Smoke => &["codedeploy:PutLifecycleEventHookExecutionStatus"],
            TaskName::Schema | TaskName::Consistency => &[],
        },
    });
    rest.chain(tasks).collect()
}

/// A function of the API.
fn of(template: &Template, function: Function) -> Option<FunctionResource<'_>> {
    template.function(function.name(), "bootstrap")
}

/// Logical ID of a function of the API.
fn id_of(template: &Template, function: Function) -> &str {
    of(template, function).map_or("", |it| it.id)
}

fn check_references(template: &Template, found: &mut Findings) {
    let is_there = |name: &str| {
        let base = name.split('.').next().unwrap_or_default();
        name.starts_with("AWS::")
            || ["Resources", "Parameters"].iter().any(|place| template.0[*place].get(base).is_some())
    };
    visit(&template.0, &mut |value| {
        if let Some(name) = reference(value) {
            found.check(is_there(name), Rule::Reference, name, "is not there");
        }
        if let Some(id) = value.get("Fn::GetAtt").and_then(|it| it[0].as_str()) {
            found.check(is_there(id), Rule::Reference, id, "is not there");
        }
        if let Some(text) = substituted(value) {
            let own = value["Fn::Sub"][1].as_object();
            for part in text.split("${").skip(1) {
                let name = part.split('}').next().unwrap_or_default();
                let is_own = own.is_some_and(|names| names.contains_key(name));
                found.check(is_own || is_there(name), Rule::Reference, name, "is not there");
            }
        }
        if let Some(name) = value.get("Fn::If").and_then(|it| it[0].as_str()) {
            found.check(
                template.0["Conditions"].get(name).is_some(),
                Rule::Reference,
                name,
                "is no condition",
            );
        }
    });
}
