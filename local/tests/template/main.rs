//! `template.yaml` and the code agree.
//!
//! - `template`: the template as data
//! - `rules`: what is held against the tables of the code, as findings
//! - `metrics`: the same for alarms and the dashboard
//! - `planted`: faults that the rules must find
//!
//! Routes, variables, callers and metrics come from the tables of the functions. `.ci/rehearsal` deploys the template.

#![expect(clippy::unwrap_used, reason = "in a test a panic is how one fails")]

mod metrics;
mod planted;
mod rules;
mod template;

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::{Arc, Mutex};

use local::cost::assumptions::Assumptions;
use local::gateway::Function;
use serde_json::Value as Json;
use shared::runtime::config::{OF_LAMBDA, Variable, Variables};
use shared::runtime::metrics::ALL;
use shared::values::clock::Clock;

use rules::findings;
use template::{Template, root};

#[test]
fn the_template_has_no_findings() {
    let found = findings(&Template::read());
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{found:#?}");
}

/// Names of the variables that a function asks for when none is set.
fn asked_by(function: Function) -> BTreeSet<String> {
    let asked = Arc::new(Mutex::new(BTreeSet::new()));
    let record = asked.clone();
    let variables = Variables::from_fn(move |name| {
        record.lock().unwrap().insert(name.to_owned());
        None
    });
    let clock = Clock::system();
    let outcome = match function {
        Function::Orders => orders::environment::Environment::read(variables, clock).map(drop),
        Function::Products => products::environment::Environment::read(variables, clock).map(drop),
        Function::Users => users::environment::Environment::read(variables, clock).map(drop),
        Function::Console => console::environment::Environment::read(variables, clock).map(drop),
        Function::Docs => docs::environment::read(variables).map(drop),
    };
    if let Err(error) = outcome {
        assert!(!error.to_string().contains("not declared"), "{error}");
    }
    let asked = asked.lock().unwrap();
    asked.clone()
}

#[test]
fn a_function_reads_exactly_the_variables_of_its_table() {
    for function in Function::ALL {
        let mut asked = asked_by(function);
        // The process around the function reads them.
        asked.extend(OF_LAMBDA.map(|it| it.name.to_owned()));
        let declared = function.variables().iter().flat_map(Variable::names).collect();
        assert_eq!(asked, declared, "{}", function.name());
    }
}

#[test]
fn the_secret_that_signs_tokens_is_in_one_place() {
    let has = |function: &Function| function.variables().iter().any(|it| it.name == "JWT_SECRET");
    assert_eq!(Function::ALL.iter().filter(|function| has(function)).count(), 1);
}

#[test]
fn the_console_has_no_secret_of_callers_and_signs_nothing() {
    let names: Vec<&str> =
        Function::Console.variables().iter().filter(|it| it.is_secret).map(|it| it.name).collect();
    assert_eq!(names, ["CONSOLE_SECRET", "CONSOLE_SECRET_PREVIOUS", "EDGE_SECRET", "EDGE_SECRET_PREVIOUS"]);
    for path in proto::methods() {
        assert!(!proto::callers(path).unwrap().contains(&"console"), "{path}");
    }
}

#[test]
fn every_caller_in_protobuf_is_a_function_or_the_schedule() {
    let known: BTreeSet<_> =
        Function::ALL.map(Function::name).into_iter().chain(["schedule", maintenance::NAME]).collect();
    for path in proto::methods() {
        assert!(proto::callers(path).unwrap().iter().all(|caller| known.contains(caller)), "{path}");
    }
}

/// `[workspace.metadata.lambda.watch.router]` of the workspace: paths and functions.
fn watch_routes() -> Vec<(String, String)> {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let metadata = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .output()
        .unwrap();
    let metadata: Json = serde_json::from_slice(&metadata.stdout).unwrap();
    let routes = metadata["metadata"]["lambda"]["watch"]["router"].as_object().unwrap().clone();
    routes.into_iter().map(|(path, function)| (path, function.as_str().unwrap().to_owned())).collect()
}

#[test]
fn the_default_bill_has_all_custom_metrics() {
    let currencies = 1;
    let measured: usize = ALL.iter().map(|metric| metric.series(currencies)).sum();
    let filters = Template::read().resources("AWS::Logs::MetricFilter").count();
    assert_eq!(Assumptions::DEFAULT.metrics, u64::try_from(measured + filters).unwrap());
}

#[test]
fn a_path_reaches_the_same_function_under_cargo_lambda() {
    let watch = watch_routes();
    let mut paths = rules::api::paths();
    paths.extend(watch.iter().map(|(route, _)| route.replace("{*below}", "x")));
    for path in paths {
        let function = Function::of(&path).name();
        assert_eq!(rules::api::routed(&watch, "{*below}", &path), Some(function), "{path}");
    }
}

#[test]
fn every_package_below_functions_is_deployed() {
    let mut folders: Vec<String> = std::fs::read_dir(root().join("functions"))
        .unwrap()
        .map(|folder| folder.unwrap().file_name().into_string().unwrap())
        .collect();
    folders.sort();
    let template = Template::read();
    let deployed: BTreeSet<String> =
        template.functions().map(|function| function.binary().to_owned()).collect();
    assert_eq!(deployed.into_iter().collect::<Vec<_>>(), folders);
}
