//! Inputs of `cargo local cost`: the facts of the deployment are those of `template.yaml`, each function is
//! measured, and files that are wrong are refused by name and field.

#![expect(clippy::unwrap_used, reason = "in a test a panic is how one fails")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use local::cost::deployment::Deployment;
use local::cost::inputs;
use local::cost::measurements::BILLED;
use local::gateway::Function;
use serde_json::{Value as Json, json};
use serde_yaml_ng::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn committed(file: &str) -> Json {
    serde_json::from_str(&std::fs::read_to_string(root().join("local/cost").join(file)).unwrap()).unwrap()
}

/// Facts of the template, with its default parameters.
fn deployment(template: &Value) -> Deployment {
    let resources = || template["Resources"].as_mapping().unwrap().values();
    // A condition is about a parameter that is off by default.
    let of_type = |kind: &str| {
        let are_there = resources().filter(|it| it["Condition"].is_null());
        are_there.filter(|it| it["Type"] == kind).collect::<Vec<_>>()
    };
    let memory = |function: Function| {
        let functions = of_type("AWS::Serverless::Function");
        let its = |it: &&&Value| it["Metadata"]["BuildProperties"]["Binary"] == function.name();
        let own = &functions.iter().find(its).unwrap()["Properties"]["MemorySize"];
        let own = if own.is_null() { &template["Globals"]["Function"]["MemorySize"] } else { own };
        (function, mapped(template, own).as_u64().unwrap())
    };
    let parameters = template["Parameters"].as_mapping().unwrap().values();
    let secrets = parameters.filter(|it| {
        let pattern = it["AllowedPattern"].as_str().unwrap_or_default();
        pattern.contains("secretsmanager") && it["Default"].is_null()
    });
    let access_log = of_type("AWS::Serverless::HttpApi");
    let access_log = access_log.first().map(|api| &api["Properties"]["AccessLogSettings"]["Format"]);
    let minutes: usize = resources().filter(|it| it["Condition"].is_null()).map(every_minute).sum();
    let number = |count: usize| u64::try_from(count).unwrap();
    Deployment {
        memory_mb: BILLED.map(memory).into(),
        traces: template["Globals"]["Function"]["Tracing"] == "Active",
        access_log_bytes: number(access_log.and_then(Value::as_str).unwrap_or_default().len()),
        alarm_metrics: of_type("AWS::CloudWatch::Alarm").into_iter().map(metrics_of_alarm).sum(),
        dashboards: number(of_type("AWS::CloudWatch::Dashboard").len()),
        secrets: number(secrets.count() + of_type("AWS::SecretsManager::Secret").len()),
        reconciles_per_hour: number(60 * minutes),
    }
}

/// A value, or that of the mapping which it names by `!FindInMap`.
fn mapped<'a>(template: &'a Value, value: &'a Value) -> &'a Value {
    match value {
        Value::Tagged(tagged) if tagged.tag == "FindInMap" => {
            let keys = tagged.value.as_sequence().unwrap().iter().map(|key| key.as_str().unwrap());
            keys.fold(&template["Mappings"], |map, key| &map[key])
        }
        value => value,
    }
}

fn metrics_of_alarm(alarm: &Value) -> u64 {
    let properties = &alarm["Properties"];
    if !properties["ThresholdMetricId"].is_null() {
        // The metric and both ends of its band.
        return 3;
    }
    let metrics = properties["Metrics"].as_sequence().map(Vec::as_slice).unwrap_or_default();
    let counted = metrics.iter().filter(|metric| !metric["MetricStat"].is_null()).count();
    u64::try_from(counted).unwrap().max(1)
}

/// Number of schedules in a part of the template that run every minute.
fn every_minute(value: &Value) -> usize {
    match value {
        Value::Mapping(members) => members
            .iter()
            .map(|(name, value)| match name.as_str() {
                Some("ScheduleExpression") => usize::from(value == "rate(1 minute)"),
                _ => every_minute(value),
            })
            .sum(),
        Value::Sequence(elements) => elements.iter().map(every_minute).sum(),
        _ => 0,
    }
}

#[test]
fn facts_of_the_deployment_are_those_of_the_template() {
    let template = std::fs::read_to_string(root().join("template.yaml")).unwrap();
    let facts = deployment(&serde_yaml_ng::from_str(&template).unwrap());
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        let text = serde_json::to_string_pretty(&facts).unwrap() + "\n";
        std::fs::write(root().join("local/cost/deployment.json"), text).unwrap();
        return;
    }
    let same = facts == Deployment::committed().unwrap();
    assert!(same, "run this test with UPDATE_OPENAPI=1, and commit local/cost/deployment.json");
}

#[test]
fn alarms_mappings_and_conditions_are_counted_as_billed() {
    let template = "
        Parameters:
          Uri: { AllowedPattern: 'arn:[^:]+:secretsmanager:.+' }
          OwnUri: { AllowedPattern: 'arn:[^:]+:secretsmanager:.+', Default: '' }
        Mappings: { Sizes: { Orders: { Memory: 512 } } }
        Globals: { Function: { MemorySize: 256, Tracing: Active } }
        Resources:
          Orders:
            Type: AWS::Serverless::Function
            Metadata: { BuildProperties: { Binary: orders } }
            Properties: { MemorySize: !FindInMap [Sizes, Orders, Memory] }
          Products: { Type: AWS::Serverless::Function, Metadata: { BuildProperties: { Binary: products } } }
          Users: { Type: AWS::Serverless::Function, Metadata: { BuildProperties: { Binary: users } } }
          Docs: { Type: AWS::Serverless::Function, Metadata: { BuildProperties: { Binary: docs } } }
          Api:
            Type: AWS::Serverless::HttpApi
            Properties: { AccessLogSettings: { Format: '0123456789' } }
          Plain: { Type: AWS::CloudWatch::Alarm, Properties: { MetricName: Errors } }
          Ratio:
            Type: AWS::CloudWatch::Alarm
            Properties: { Metrics: [{ Expression: a / b }, { MetricStat: {} }, { MetricStat: {} }] }
          Band:
            Type: AWS::CloudWatch::Alarm
            Properties: { ThresholdMetricId: band, Metrics: [{ MetricStat: {} }, { Expression: '…' }] }
          Off: { Type: AWS::CloudWatch::Alarm, Condition: HasMore, Properties: { MetricName: Errors } }
          First: { Type: AWS::Scheduler::Schedule, Properties: { ScheduleExpression: rate(1 minute) } }
          Daily: { Type: AWS::Scheduler::Schedule, Properties: { ScheduleExpression: rate(1 day) } }
          Second:
            Type: AWS::Scheduler::Schedule
            Condition: HasMore
            Properties: { ScheduleExpression: rate(1 minute) }
          Dashboard: { Type: AWS::CloudWatch::Dashboard }
    ";
    let facts = deployment(&serde_yaml_ng::from_str(template).unwrap());
    let memory = [512, 256, 256, 256];
    let expected = Deployment {
        memory_mb: BILLED.into_iter().zip(memory).collect(),
        traces: true,
        access_log_bytes: 10,
        alarm_metrics: 1 + 2 + 3,
        dashboards: 1,
        secrets: 1,
        reconciles_per_hour: 60,
    };
    assert_eq!(facts, expected);
}

#[test]
fn every_function_has_a_measurement_and_fits_its_memory() {
    let inputs = inputs(None, None).unwrap();
    let operations = inputs.measurements.operations.iter();
    let measured: BTreeSet<Function> = operations.flat_map(|it| it.functions.keys().copied()).collect();
    assert_eq!(measured, BTreeSet::from(BILLED));
    for (function, process) in &inputs.measurements.processes {
        let memory_kib = inputs.deployment.memory_mb[function] * 1_024;
        assert!(process.peak_memory_kib * 2 < memory_kib, "{}: {process:?}", function.name());
    }
}

/// Runs `cargo local cost` with a file in place of a committed one, which `option` names.
fn cost_with(option: &str, content: &Json, more: &[&str]) -> (String, Output) {
    let name = format!("oms-cost-test-{}.json", uuid::Uuid::new_v4().simple());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, content.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_oms-local"));
    let output = command.args(["cost", option]).arg(&path).args(more).output().unwrap();
    std::fs::remove_file(&path).unwrap();
    (path.display().to_string(), output)
}

/// Asserts that a changed file is refused, with a text that has this problem and the file's name.
fn assert_refused(option: &str, content: &Json, problem: &str) {
    let (path, output) = cost_with(option, content, &[]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{problem}");
    assert!(error.contains(problem) && error.contains(&path), "{problem}: {error}");
}

#[test]
fn a_wrong_value_is_refused_by_file_and_field() {
    for (option, pointer, value, problem) in [
        ("--prices", "/prices/2/price", json!("1,5"), "`prices[2].price`: must be a decimal number"),
        ("--prices", "/prices/2/price", json!(1.5), "`prices[2].price`: invalid type"),
        ("--prices", "/prices/2/per", json!(0), "`prices[2].per`: must be 1 or more"),
        ("--prices", "/prices/2/per", json!(-1), "`prices[2].per`: invalid value"),
        ("--prices", "/prices/0/unit", json!("hour"), "`prices[0].unit`: must be GB-second; got `hour`"),
        ("--prices", "/prices/3/currency", json!("EUR"), "`prices[3].currency`: must be USD"),
        ("--prices", "/prices/3/region", json!("moon"), "`prices[3].region`: must be us-east-1"),
        ("--prices", "/prices/3/date", json!("June"), "`prices[3].date`: must be a year and a month"),
        ("--prices", "/prices/3/item", json!("gold"), "`prices[3].item`: unknown variant `gold`"),
        ("--prices", "/prices/0/item", json!("dashboard"), "`prices[0].unit`: must be dashboard-month"),
        ("--prices", "/prices/19/item", json!("web_acl"), "`prices[19].item`: web_acl has a row already"),
        ("--prices", "/prices", json!([]), "`prices` has no row"),
        ("--measured", "/operations/0/repetitions", json!(0), "`operations[0].repetitions`: must be 1"),
        ("--measured", "/operations/0/functions", json!({}), "`operations[0].functions` has none"),
        ("--measured", "/operations/1/operation", json!("sign_in"), "`operations[1].operation`: sign_in is"),
        (
            "--measured",
            "/operations/1/operation",
            json!("dance"),
            "`operations[1].operation`: unknown variant",
        ),
        ("--measured", "/processes", json!({}), "`processes` has no orders"),
    ] {
        let mut content = committed(&format!("{}.json", option.trim_start_matches('-')));
        *content.pointer_mut(pointer).unwrap() = value;
        assert_refused(option, &content, problem);
    }
}

#[test]
fn a_missing_row_is_named() {
    for (option, rows, problem) in [
        ("--prices", "prices", "`prices` has no row with the item atlas_m50"),
        ("--measured", "operations", "`operations` has no read_unknown"),
    ] {
        let mut content = committed(&format!("{}.json", option.trim_start_matches('-')));
        content[rows].as_array_mut().unwrap().pop().unwrap();
        assert_refused(option, &content, problem);
    }
}

#[test]
fn calls_that_no_function_makes_are_refused() {
    let mut content = committed("measured.json");
    // Such calls could lead back to where they began.
    let users = &mut content["operations"][0]["functions"]["users"];
    users["calls"] = json!({ "orders": 1 });
    assert_refused("--measured", &content, "`operations[0].functions.users.calls`: users never calls orders");
}

#[test]
fn prices_twice_as_high_double_the_total() {
    let total = |prices: &Json| {
        let (_, output) = cost_with("--prices", prices, &["--json"]);
        let bill: Json = serde_json::from_slice(&output.stdout).unwrap();
        let month = |line: &Json| line["month"].as_str().unwrap().parse::<f64>().unwrap();
        bill["lines"].as_array().unwrap().iter().map(month).sum::<f64>()
    };
    let once = committed("prices.json");
    let mut twice = once.clone();
    for row in twice["prices"].as_array_mut().unwrap() {
        let price: f64 = row["price"].as_str().unwrap().parse().unwrap();
        row["price"] = json!(format!("{:.12}", 2.0 * price));
    }
    let (once, twice) = (total(&once), total(&twice));
    assert!(once > 0.0 && (twice / once - 2.0).abs() < 1e-6, "{once} {twice}");
}
