//! The committed OpenAPI document is the one that the code makes, and its operations are the rows of the route tables.

#![expect(clippy::unwrap_used, reason = "in a test a panic is how one fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use local::bench::results::Results;
use local::cost::assumptions::Assumptions;
use local::cost::bill::Bill;
use local::gateway::Function;
use maintenance::environment::TaskName;
use orders::order::rules::{ACTIONS, Action, ActionRule, FULFILLMENTS, RETURNS};
use orders::service::consistency::ViolationKind;
use orders::status::Actor;
use serde_json::Value;
use shared::auth::Access;
use shared::error::Kind;
use shared::runtime::config::{OF_SERVICES, Variable};
use shared::runtime::listener::{self, Limits};
use shared::runtime::metrics::{self, Dimension, DimensionValues};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn document() -> Value {
    serde_json::from_str(&local::openapi::text().unwrap()).unwrap()
}

/// The operations, by method and path.
fn operations(document: &Value) -> BTreeMap<(String, String), Value> {
    let mut operations = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            operations.insert((method.to_uppercase(), path.clone()), operation.clone());
        }
    }
    operations
}

#[test]
fn the_committed_document_is_what_the_code_makes() {
    let path = root().join("functions/docs/openapi.json");
    let made = local::openapi::text().unwrap();
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(path, made).unwrap();
        return;
    }
    // Not compared with assert_eq, which would print both.
    let same = std::fs::read_to_string(path).unwrap() == made;
    assert!(same, "run `cargo openapi`, or this test with UPDATE_OPENAPI=1, and commit what it writes");
}

/// A document with this text between the markers of its generated section.
fn with_section(document: &str, name: &str, section: &str) -> String {
    let (begin, end) = (format!("<!-- generated: {name} -->\n"), "<!-- end of generated -->");
    let (before, rest) = document.split_once(&begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    format!("{before}{begin}{section}{end}{after}")
}

/// The table of all routes.
fn endpoints() -> String {
    let access = |access: Access| match access {
        Access::Public | Access::Anyone => "anyone",
        Access::SignedIn => "signed in",
        Access::Staff => "staff",
        Access::Admin => "admins",
    };
    let mut table = "| endpoint | access | effect |\n| --- | --- | --- |\n".to_owned();
    for spec in Function::ALL.into_iter().flat_map(Function::specs) {
        table.push_str(&format!("| `{}` | {} | {} |\n", spec.name(), access(spec.access), spec.summary));
    }
    table
}

/// The table of the environment variables of all functions.
fn variables() -> String {
    let mut rows: Vec<(&Variable, Vec<&str>)> = Vec::new();
    for function in Function::ALL {
        for variable in function.variables() {
            match rows.iter_mut().find(|(known, _)| known.name == variable.name) {
                Some((_, functions)) => functions.push(function.name()),
                None => rows.push((variable, vec![function.name()])),
            }
        }
    }
    let mut table = "| variable | functions | meaning |\n| --- | --- | --- |\n".to_owned();
    for (variable, functions) in rows {
        let name = named(variable);
        let all = functions.len() == Function::ALL.len();
        let functions = if all { "all".to_owned() } else { functions.join(", ") };
        table.push_str(&format!("| {name} | {functions} | {} |\n", variable.description));
    }
    table
}

fn named(variable: &Variable) -> String {
    format!("`{}`{}", variable.name, if variable.is_secret { " (secret)" } else { "" })
}

/// The table of the metrics.
fn metrics_table() -> String {
    let listed = |names: &[&str]| match names {
        [] => String::new(),
        names => format!("`{}`", names.join("`, `")),
    };
    let head = "| metric | unit | functions | labels in Prometheus | dimensions in CloudWatch | meaning |";
    let mut table = format!("{head}\n| --- | --- | --- | --- | --- | --- |\n");
    for metric in metrics::ALL {
        let dimensions = match metric.dimensions {
            None => "not there".to_owned(),
            Some([]) => "`function`".to_owned(),
            Some(more) => more.iter().map(dimension).collect::<Vec<_>>().join(", "),
        };
        let (unit, functions) = (metric.unit.name(), metric.functions.join(", "));
        let (name, labels, meaning) = (metric.name, listed(metric.labels), metric.description);
        table.push_str(&format!(
            "| `{name}` | {unit} | {functions} | {labels} | {dimensions} | {meaning} |\n"
        ));
    }
    table
}

/// A dimension, with its values.
fn dimension(dimension: &Dimension) -> String {
    let values = match dimension.values {
        DimensionValues::Listed(values) => values.join(", "),
        DimensionValues::Currencies => "ISO 4217".to_owned(),
    };
    format!("`function`, `{}` ({values})", dimension.name)
}

/// Price of a metric in CloudWatch, in cents a month.
const CENTS: usize = 30;

/// Price of the metrics in CloudWatch.
fn metrics_cost() -> String {
    let series: usize = metrics::ALL.iter().map(|metric| metric.series(1)).sum();
    let another = metrics::ALL.iter().map(|metric| metric.series(2)).sum::<usize>() - series;
    let cents = series * CENTS;
    format!(
        "For a shop with one currency these are at most {series} metrics of CloudWatch, and {another} more for each \
         further currency: at $0.{CENTS} each that is ${}.{:02} a month, if all of them have values in every hour.\n",
        cents / 100,
        cents % 100
    )
}

/// The bill of a month, as `cargo local cost` prints it.
fn cost() -> String {
    let (inputs, assumptions) = (local::cost::inputs(None, None).unwrap(), Assumptions::DEFAULT);
    let bill = Bill::compute(&inputs, &assumptions);
    format!("```text\n{}```\n", local::cost::table::text(&bill, &inputs, &assumptions))
}

/// The table of the violations that the consistency check reports.
fn violations() -> String {
    let mut table = "| kind | meaning |\n| --- | --- |\n".to_owned();
    for kind in ViolationKind::ALL {
        table.push_str(&format!("| `{}` | {} |\n", kind.name(), kind.meaning()));
    }
    table
}

/// The table of the parts that an order may get in each status, and that of their transitions.
fn parts() -> String {
    let by = |actors: &[Actor]| {
        let name = |actor: &Actor| match actor {
            Actor::Owner => "the owner",
            Actor::Staff => "staff",
            Actor::System => "the system",
        };
        actors.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    let part = |action| match action {
        Action::Ship => "fulfillment",
        Action::Cancel => "cancellation",
        Action::Return => "return",
    };
    let mut text = "| a new | while the order is | by |\n| --- | --- | --- |\n".to_owned();
    let alike =
        |one: &ActionRule, other: &ActionRule| (one.action, one.actors) == (other.action, other.actors);
    for rules in ACTIONS.chunk_by(alike) {
        let statuses: Vec<String> = rules.iter().map(|rule| format!("`{}`", rule.status.name())).collect();
        let ActionRule { action, actors, .. } = rules[0];
        text.push_str(&format!("| {} | {} | {} |\n", part(action), statuses.join(", "), by(actors)));
    }
    text.push_str("\n| part | from | to | by |\n| --- | --- | --- | --- |\n");
    let mut row = |part: &str, from: &str, to: &str, actors: &[Actor]| {
        text.push_str(&format!("| {part} | `{from}` | `{to}` | {} |\n", by(actors)));
    };
    for rule in FULFILLMENTS {
        row(part(Action::Ship), rule.from.name(), rule.to.name(), rule.actors);
    }
    for rule in RETURNS {
        row(part(Action::Return), rule.from.name(), rule.to.name(), rule.actors);
    }
    text
}

/// A table of the environment variables of ordinary services.
fn service_variables(variables: &[Variable]) -> String {
    let mut table = "| variable | meaning |\n| --- | --- |\n".to_owned();
    for variable in variables {
        table.push_str(&format!("| {} | {} |\n", named(variable), variable.description));
    }
    table
}

/// The table of the environment variables of the maintenance function's tasks.
fn task_variables() -> String {
    let mut table = "| variable | task | meaning |\n| --- | --- | --- |\n".to_owned();
    for task in TaskName::ALL {
        for variable in task.variables() {
            let name = named(variable);
            table.push_str(&format!("| {name} | {} | {} |\n", task.name(), variable.description));
        }
    }
    table
}

/// The table of the methods that functions may call on their own behalf.
fn callers() -> String {
    let mut table = "| method | called by |\n| --- | --- |\n".to_owned();
    for path in proto::methods() {
        let callers = proto::callers(path).unwrap_or_default();
        if !callers.is_empty() {
            table.push_str(&format!("| `{}` | {} |\n", path.trim_start_matches('/'), callers.join(", ")));
        }
    }
    table
}

/// The table of the limits of listeners.
fn listener_limits() -> String {
    let mut table = "| limit | default | beyond it |\n| --- | --- | --- |\n".to_owned();
    for (subject, value, consequence) in Limits::DEFAULT.rows() {
        table.push_str(&format!("| {subject} | {value} | {consequence} |\n"));
    }
    table
}

#[test]
fn generated_tables_of_documents_are_what_the_code_makes() {
    for (file, name, section) in [
        ("docs/api.md", "endpoints", endpoints()),
        ("docs/api.md", "limits", local::api_doc::limits(&document())),
        ("docs/api.md", "parts", parts()),
        ("docs/operations.md", "variables", variables()),
        ("docs/operations.md", "service variables", service_variables(OF_SERVICES)),
        ("docs/operations.md", "tasks", task_variables()),
        ("docs/protocol/identity.md", "callers", callers()),
        ("docs/protocol/stock.md", "violations", violations()),
        ("docs/operations.md", "listener", listener_limits()),
        ("docs/operations.md", "cost", cost()),
        ("docs/performance.md", "measured", Results::committed().unwrap().markdown()),
        ("README.md", "speed", Results::committed().unwrap().summary()),
        ("docs/performance.md", "rows", local::bench::rows::markdown()),
        ("docs/operations.md", "metrics", metrics_table()),
        ("docs/operations.md", "metrics cost", metrics_cost()),
        ("docs/operations.md", "listener-variables", service_variables(&listener::VARIABLES)),
    ] {
        let path = root().join(file);
        let document = std::fs::read_to_string(&path).unwrap();
        let made = with_section(&document, name, &section);
        if std::env::var_os("UPDATE_OPENAPI").is_some() {
            std::fs::write(path, made).unwrap();
            continue;
        }
        assert!(document == made, "{file}: run this test with UPDATE_OPENAPI=1, and commit what it writes");
    }
}

#[test]
fn the_chart_is_that_of_the_committed_figures() {
    let path = root().join("docs/performance.svg");
    let made = local::bench::chart::svg(&Results::committed().unwrap());
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(path, made).unwrap();
        return;
    }
    let file = std::fs::read_to_string(path).unwrap();
    assert!(file == made, "run this test with UPDATE_OPENAPI=1, and commit what it writes");
}

#[test]
fn the_gateway_has_the_paths_of_the_functions() {
    let path = root().join("containers/gateway/paths.conf");
    let file = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = file.split_once("# generated: paths\n").unwrap();
    let (_, after) = rest.split_once("# end of generated\n").unwrap();
    let lines = local::gateway::nginx_paths();
    let made = format!("{before}# generated: paths\n{lines}# end of generated\n{after}");
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(path, made).unwrap();
        return;
    }
    assert!(file == made, "paths.conf: run this test with UPDATE_OPENAPI=1, and commit what it writes");
}

#[test]
fn every_row_of_the_route_tables_is_in_the_document() {
    let document = document();
    let described: BTreeSet<_> = operations(&document)
        .into_iter()
        .map(|((method, path), operation)| {
            let text = |member: &str| operation[member].as_str().unwrap_or_default().to_owned();
            (method, path, text("operationId"), text("x-access"))
        })
        .collect();
    // Written out once more, so that no two words change places unseen.
    let access = |access| match access {
        Access::Public => "public",
        Access::Anyone => "anyone",
        Access::SignedIn => "signed-in",
        Access::Staff => "staff",
        Access::Admin => "admin",
    };
    let rows = Function::ALL.into_iter().flat_map(Function::specs);
    let rows: BTreeSet<_> = rows
        .map(|spec| {
            let (method, path) = (spec.method.to_string(), spec.path.to_owned());
            (method, path, spec.operation_id.to_owned(), access(spec.access).to_owned())
        })
        .collect();
    assert_eq!(described, rows);
}

#[test]
fn every_type_of_problem_is_described_and_has_an_example() {
    let document = document();
    for kind in Kind::ALL {
        let name = shared::openapi::values::problem_name(kind);
        let components = &document["components"];
        assert!(components["schemas"][&name].is_object(), "{name}");
        let example = &components["examples"][&name]["value"];
        assert_eq!(example["type"], kind.reference(), "{name}");
    }
}

/// Names that the document refers to.
fn references(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                into.insert(reference.clone());
            }
            members.values().for_each(|member| references(member, into));
        }
        Value::Array(elements) => elements.iter().for_each(|element| references(element, into)),
        _ => {}
    }
}

#[test]
fn whatever_is_referred_to_is_there_and_every_schema_is_used() {
    let document = document();
    let mut named = BTreeSet::new();
    references(&document, &mut named);
    for reference in &named {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(named.contains(&format!("#/components/schemas/{name}")), "{name} is not used");
    }
}

#[test]
fn every_operation_says_what_it_does_and_has_an_example_of_its_body() {
    for ((method, path), operation) in operations(&document()) {
        for member in ["summary", "description"] {
            assert!(
                operation[member].as_str().is_some_and(|text| !text.is_empty()),
                "{method} {path}: {member}"
            );
        }
        if let Some(content) = operation["requestBody"]["content"].as_object() {
            let examples = content["application/json"]["examples"].as_object();
            assert!(examples.is_some_and(|examples| !examples.is_empty()), "{method} {path}");
        }
    }
}
