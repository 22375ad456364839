//! Rules of alarms, the dashboard and the runbook.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use shared::runtime::metrics::{ALL, DimensionValues, Metric};

use super::rules::{Findings, Rule};
use super::template::{FunctionResource, Template, listed, reference, root, substituted};

/// Namespace of the metrics that the functions emit.
pub(crate) const NAMESPACE: &str = "oms/${AWS::StackName}";

/// Metrics of a service of AWS.
struct OfAws {
    namespace: &'static str,
    names: &'static [&'static str],
    /// Sets of dimensions that they come with.
    dimensions: &'static [&'static [&'static str]],
}

const OF_AWS: [OfAws; 4] = [
    OfAws {
        namespace: "AWS/Lambda",
        names: &["ConcurrentExecutions", "Duration", "Errors", "Invocations", "Throttles"],
        dimensions: &[&["FunctionName"], &["FunctionName", "Resource"]],
    },
    OfAws {
        namespace: "AWS/ApiGateway",
        names: &["4xx", "5xx", "Count", "IntegrationLatency", "Latency"],
        dimensions: &[&["ApiId"]],
    },
    OfAws {
        namespace: "AWS/SQS",
        names: &["ApproximateNumberOfMessagesVisible"],
        dimensions: &[&["QueueName"]],
    },
    OfAws { namespace: "AWS/Logs", names: &["IncomingBytes"], dimensions: &[&["LogGroupName"]] },
];

/// A metric that an alarm or a widget shows.
struct Shown {
    namespace: String,
    name: String,
    dimensions: BTreeMap<String, String>,
}

impl Shown {
    /// Metric that the properties of an alarm, or of one of its metrics, name.
    fn of(properties: &Json) -> Self {
        let dimensions = properties["Dimensions"].as_array().into_iter().flatten();
        let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        Self {
            namespace: placeholder(&properties["Namespace"]),
            name: text(&properties["MetricName"]),
            dimensions: dimensions.map(|it| (text(&it["Name"]), placeholder(&it["Value"]))).collect(),
        }
    }

    /// Metric that a row of a widget names, unless it is an expression.
    fn of_row(row: &[Json]) -> Option<Self> {
        let texts: Vec<&str> = row.iter().map_while(Json::as_str).collect();
        let [namespace, name, dimensions @ ..] = &texts[..] else { return None };
        let pairs = dimensions.chunks_exact(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned()));
        Some(Self {
            namespace: (*namespace).to_owned(),
            name: (*name).to_owned(),
            dimensions: pairs.collect(),
        })
    }

    /// Metrics that a `SEARCH` finds: `SEARCH('{NAMESPACE,DIMENSION} MetricName="NAME"', 'Sum')`.
    fn of_search(expression: &str) -> Option<(String, String, BTreeSet<String>)> {
        let (schema, rest) = expression.strip_prefix("SEARCH('{")?.split_once("} ")?;
        let name = rest.split('"').nth(1)?;
        let mut parts = schema.split(',').map(str::to_owned);
        Some((parts.next()?, name.to_owned(), parts.collect()))
    }

    /// Says why no function emits it.
    fn fault(&self, template: &Template) -> Option<String> {
        let Self { namespace, name, dimensions } = self;
        let names: BTreeSet<String> = dimensions.keys().cloned().collect();
        if let Some(fault) = fault_of(template, namespace, name, &names) {
            return Some(fault);
        }
        if let Some(function) = dimensions.get("FunctionName") {
            let id = function.trim_start_matches("${").trim_end_matches('}');
            let is_there = template.functions().any(|it| it.id == id);
            return (!is_there).then(|| format!("{function} is no function"));
        }
        let metric = emitted(name)?;
        if namespace != NAMESPACE {
            return None;
        }
        let function = &dimensions["function"];
        if !metric.functions.contains(&function.as_str()) {
            return Some(format!("{function} does not emit {name}"));
        }
        let mut wrong =
            metric.dimensions.unwrap_or_default().iter().filter(|dimension| match dimension.values {
                DimensionValues::Listed(values) => !values.contains(&dimensions[dimension.name].as_str()),
                DimensionValues::Currencies => false,
            });
        wrong.next().map(|it| format!("{name} has no {} {}", it.name, dimensions[it.name]))
    }
}

/// A metric of the code that goes to CloudWatch.
fn emitted(name: &str) -> Option<&'static Metric> {
    ALL.iter().find(|metric| metric.name == name && metric.dimensions.is_some())
}

/// Says why no function emits a metric with these dimensions.
fn fault_of(
    template: &Template,
    namespace: &str,
    name: &str,
    dimensions: &BTreeSet<String>,
) -> Option<String> {
    if namespace != NAMESPACE {
        let known = OF_AWS.iter().find(|it| it.namespace == namespace && it.names.contains(&name));
        let Some(known) = known else { return Some(format!("{namespace} has no {name}")) };
        let is_known = known
            .dimensions
            .iter()
            .any(|set| set.iter().map(|it| (*it).to_owned()).collect::<BTreeSet<_>>() == *dimensions);
        return (!is_known).then(|| format!("{name} does not come with {dimensions:?}"));
    }
    let expected: BTreeSet<String> = match emitted(name) {
        Some(metric) => {
            let own = metric.dimensions.unwrap_or_default().iter().map(|it| it.name.to_owned());
            own.chain(["function".to_owned()]).collect()
        }
        None if is_filtered(template, name) => BTreeSet::new(),
        None => return Some(format!("nothing emits {name}")),
    };
    (*dimensions != expected).then(|| format!("{name} comes with {expected:?} and not {dimensions:?}"))
}

/// Returns true if the template counts lines of a log as this metric.
fn is_filtered(template: &Template, name: &str) -> bool {
    template.resources("AWS::Logs::MetricFilter").any(|(_, filter)| {
        let metrics = filter["Properties"]["MetricTransformations"].as_array().into_iter().flatten();
        metrics
            .into_iter()
            .any(|it| it["MetricName"] == name && placeholder(&it["MetricNamespace"]) == NAMESPACE)
    })
}

/// Text of a value in which references stand as `${NAME}`.
fn placeholder(value: &Json) -> String {
    if let Some(text) = value.as_str().or_else(|| substituted(value)) {
        return text.to_owned();
    }
    if let Some(name) = reference(value) {
        return format!("${{{name}}}");
    }
    let parts: Vec<&str> =
        value["Fn::GetAtt"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    format!("${{{}}}", parts.join("."))
}

/// Metrics that an alarm looks at.
fn shown_by(alarm: &Json) -> Vec<Shown> {
    match alarm["Metrics"].as_array() {
        None => vec![Shown::of(alarm)],
        Some(metrics) => {
            metrics.iter().filter_map(|it| it.get("MetricStat")).map(|it| Shown::of(&it["Metric"])).collect()
        }
    }
}

/// Alarms look at metrics that something emits, notify, and are there for each function.
pub(crate) fn alarms(template: &Template, found: &mut Findings) {
    let mut watched = BTreeSet::new();
    for (id, alarm) in template.resources("AWS::CloudWatch::Alarm") {
        let alarm = &alarm["Properties"];
        let notifies = listed(&alarm["AlarmActions"]).iter().any(|it| reference(it) == Some("Alarms"));
        found.check(notifies, Rule::Metric, id, "notifies nobody");
        let mut jobs: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        let shown = shown_by(alarm);
        for metric in &shown {
            let fault = metric.fault(template);
            found.check(fault.is_none(), Rule::Metric, id, fault.unwrap_or_default());
            if let Some(job) = metric.dimensions.get("job") {
                jobs.entry(&metric.name).or_default().insert(job.clone());
            }
            if let Some(resource) = metric.dimensions.get("Resource") {
                watched.insert((metric.name.clone(), resource.clone()));
                check_near_timeout(template, id, alarm, metric, found);
            }
        }
        for (name, jobs) in jobs {
            let all = emitted(name)
                .and_then(|it| it.dimensions)
                .unwrap_or_default()
                .iter()
                .find(|it| it.name == "job");
            let is_all = all.is_none_or(
                |it| matches!(it.values, DimensionValues::Listed(all) if all.len() == jobs.len()),
            );
            found.check(is_all, Rule::Metric, id, format!("looks at some jobs alone: {jobs:?}"));
        }
        check_expressions(id, alarm, found);
    }
    for function in template.functions().filter(|it| !it.events().is_empty()) {
        for name in ["Errors", "Throttles", "Duration"] {
            let is_watched = watched.contains(&(name.to_owned(), format!("${{{}}}:live", function.id)));
            found.check(is_watched, Rule::Metric, function.id, format!("has no alarm on {name}"));
        }
    }
}

/// An alarm on durations is below the function's timeout, and above four fifths of it.
fn check_near_timeout(template: &Template, id: &str, alarm: &Json, metric: &Shown, found: &mut Findings) {
    if metric.name != "Duration" {
        return;
    }
    let function =
        template.functions().find(|it| metric.dimensions["FunctionName"] == format!("${{{}}}", it.id));
    let timeout = function.map_or(0, FunctionResource::timeout) * 1_000;
    let threshold = template.resolved(&alarm["Threshold"]).as_u64().unwrap_or_default();
    let is_near = threshold < timeout && threshold * 5 >= timeout * 4;
    found.check(is_near, Rule::Metric, id, format!("is at {threshold} ms of {timeout}"));
}

/// Expressions of an alarm name its metrics. Functions of CloudWatch are in capitals.
fn check_expressions(id: &str, alarm: &Json, found: &mut Findings) {
    let metrics = alarm["Metrics"].as_array().into_iter().flatten();
    let ids: BTreeSet<&str> = metrics.clone().filter_map(|it| it["Id"].as_str()).collect();
    for expression in metrics.filter_map(|it| it["Expression"].as_str()) {
        let words = expression.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
        for word in words.filter(|word| word.starts_with(|it: char| it.is_ascii_lowercase())) {
            found.check(ids.contains(word), Rule::Metric, id, format!("has no {word}"));
        }
    }
}

/// Widgets of the dashboard.
fn widgets(template: &Template) -> Vec<Json> {
    let body = &template.0["Resources"]["Dashboard"]["Properties"]["DashboardBody"];
    let body: Json = serde_json::from_str(substituted(body).unwrap_or_default()).unwrap_or_default();
    body["widgets"].as_array().cloned().unwrap_or_default()
}

/// The dashboard shows metrics that something emits, and all of them, and all alarms, in rows with captions.
pub(crate) fn dashboard(template: &Template, found: &mut Findings) {
    let widgets = widgets(template);
    found.check(!widgets.is_empty(), Rule::Metric, "Dashboard", "is no JSON with widgets");
    let mut seen = BTreeSet::new();
    for widget in &widgets {
        let properties = &widget["properties"];
        let title = properties["title"].as_str().unwrap_or("text");
        for row in properties["metrics"].as_array().into_iter().flatten().filter_map(Json::as_array) {
            let shown = Shown::of_row(row);
            let expression = row.first().and_then(|it| it["expression"].as_str()).unwrap_or_default();
            let (name, fault) = match (shown, Shown::of_search(expression)) {
                (Some(shown), _) => (shown.name.clone(), shown.fault(template)),
                (None, Some((namespace, name, dimensions))) => {
                    let fault = fault_of(template, &namespace, &name, &dimensions);
                    (name, fault)
                }
                (None, None) => continue,
            };
            found.check(fault.is_none(), Rule::Metric, title, fault.unwrap_or_default());
            seen.insert(name);
        }
    }
    for metric in ALL.iter().filter(|metric| metric.dimensions.is_some()) {
        found.check(seen.contains(metric.name), Rule::Metric, metric.name, "is on no dashboard");
    }
    let alarms = widgets.iter().filter_map(|widget| widget["properties"]["alarms"].as_array()).flatten();
    let alarms: BTreeSet<&str> = alarms.filter_map(Json::as_str).collect();
    for (id, _) in template.resources("AWS::CloudWatch::Alarm") {
        let name = format!(":alarm:${{{id}}}");
        let is_shown = alarms.iter().any(|arn| arn.ends_with(&name));
        found.check(is_shown, Rule::Metric, id, "is on no dashboard");
    }
    check_layout(&widgets, found);
}

/// Columns of a dashboard.
const COLUMNS: u64 = 24;

/// Rows are as wide as the dashboard, and each block of rows begins with a caption.
fn check_layout(widgets: &[Json], found: &mut Findings) {
    let mut rows: BTreeMap<u64, (u64, bool)> = BTreeMap::new();
    for widget in widgets {
        let row = rows.entry(widget["y"].as_u64().unwrap_or_default()).or_default();
        found.check(widget["x"] == row.0, Rule::Metric, "Dashboard", format!("has a gap at {widget}"));
        row.0 += widget["width"].as_u64().unwrap_or_default();
        row.1 |= widget["type"] == "text";
    }
    for (y, (width, _)) in &rows {
        found.check(*width == COLUMNS, Rule::Metric, "Dashboard", format!("is {width} wide at {y}"));
    }
    let begins = rows.values().next().is_some_and(|(_, is_caption)| *is_caption);
    found.check(begins, Rule::Metric, "Dashboard", "begins without a caption");
}

/// Heading of the runbook, and of its entries.
const RUNBOOK: (&str, &str) = ("### Runbook", "#### ");

/// Each alarm names an entry of the runbook, and each entry is named.
pub(crate) fn runbook(template: &Template, found: &mut Findings) {
    let document = std::fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let lines = document.lines().skip_while(|line| *line != RUNBOOK.0).skip(1);
    let lines = lines.take_while(|line| !line.starts_with("## ") && !line.starts_with("### "));
    let entries: BTreeSet<&str> = lines.filter_map(|line| line.strip_prefix(RUNBOOK.1)).collect();
    let mut named = BTreeSet::new();
    for (id, alarm) in template.resources("AWS::CloudWatch::Alarm") {
        let description = alarm["Properties"]["AlarmDescription"].as_str().unwrap_or_default();
        let entry = description.split_once("Runbook: ").map_or("", |(_, entry)| entry);
        found.check(
            entries.contains(entry),
            Rule::Runbook,
            id,
            format!("names {entry:?}, which is no entry"),
        );
        named.insert(entry);
    }
    for entry in entries.difference(&named) {
        found.check(false, Rule::Runbook, entry, "is the entry of no alarm");
    }
}
