//! Functions: how they are built, what they read, whom they call, how long they take and where they log.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};
use shared::runtime::config::{METRICS_NAMESPACE, Variable, XRAY_SPANS};

use super::{ALIAS, CALLS, Findings, Program, Rule, VERSIONS, id_of, of, programs};
use crate::metrics;
use crate::template::{Template, reference, substituted};

/// Variable that an emulator sets for calls between functions. Deployed it is absent.
const ENDPOINT: &str = "AWS_ENDPOINT_URL_LAMBDA";

/// Variables that are not deployed: the previous version of a secret has them.
const NOT_DEPLOYED: [&str; 2] = ["EDGE_SECRET_PREVIOUS", "CONSOLE_SECRET_PREVIOUS"];

/// Variables that every process on Lambda reads, whatever it does.
const NAMESPACE: &str = METRICS_NAMESPACE.name;
const SPANS: &str = XRAY_SPANS.name;

/// Time that API Gateway waits for an answer, in seconds.
const API_GATEWAY: u64 = 30;

/// Time that Lambda gives at most, in seconds.
const LAMBDA: u64 = 900;

pub(super) fn builds(template: &Template, found: &mut Findings) {
    let known = programs();
    let mut deployed = 0;
    for Program { binary, handler, .. } in &known {
        let is_there = template.function(binary, handler).is_some();
        deployed += usize::from(is_there);
        found.check(is_there, Rule::Build, binary, format!("is not deployed with the handler {handler}"));
    }
    let all = template.functions().count();
    found.check(
        all == deployed,
        Rule::Build,
        "functions",
        format!("{all} are deployed, and {deployed} are known"),
    );
    for function in template.functions() {
        let mut check = |is_right, problem| found.check(is_right, Rule::Build, function.id, problem);
        // What `sam build` runs is `cargo lambda build --release --bin NAME`.
        check(function.resource["Metadata"]["BuildMethod"] == "rust-cargolambda", "is built otherwise");
        check(function.property("Runtime") == "provided.al2023", "has another runtime");
        // From the root features are resolved alike for all of them, so that each dependency is compiled once.
        check(function.property("CodeUri") == ".", "is not built from the root");
        check(
            function.property("Architectures") == json!([{ "Ref": "Architecture" }]),
            "has another architecture",
        );
        check(function.property("Tracing") == "Active", "is not traced");
    }
}

pub(super) fn variables(template: &Template, found: &mut Findings) {
    for program in programs() {
        let Some(function) = template.function(program.binary, program.handler) else { continue };
        let mut given = function.variables();
        for variable in program.variables.iter().filter(|it| !NOT_DEPLOYED.contains(&it.name)) {
            let name =
                if variable.is_secret { format!("{}_ARN", variable.name) } else { variable.name.to_owned() };
            found.check(given.remove(&name).is_some(), Rule::Variable, function.id, format!("lacks {name}"));
            // For emulators.
            let plain = given.remove(variable.name);
            found.check(
                plain.is_none_or(|it| it == ""),
                Rule::Variable,
                function.id,
                "has a secret in the template",
            );
        }
        let endpoint = given.remove(ENDPOINT);
        let calls = program.variables.iter().any(|it| CALLS.iter().any(|(name, _)| *name == it.name));
        let absent = calls.then(|| json!({ "Ref": "AWS::NoValue" }));
        found.check(
            endpoint == absent,
            Rule::Variable,
            function.id,
            format!("has {ENDPOINT} as {endpoint:?}"),
        );
        given.remove(NAMESPACE);
        given.remove(SPANS);
        found.check(
            given.is_empty(),
            Rule::Variable,
            function.id,
            format!("does not read {:?}", given.keys()),
        );
    }
    let namespace = &template.0["Globals"]["Function"]["Environment"]["Variables"][NAMESPACE];
    found.check(
        substituted(namespace) == Some(metrics::NAMESPACE),
        Rule::Variable,
        "Globals",
        "have another namespace",
    );
    let spans = &template.0["Globals"]["Function"]["Environment"]["Variables"][SPANS];
    found.check(reference(spans) == Some("XRaySpans"), Rule::Variable, "Globals", "have other spans");
}

/// Target of a call: `Orders:live` for an alias, `Orders.Version` for a version, `Orders` for the newest code.
pub(super) fn callee(value: &Json) -> String {
    if let Some(text) = substituted(value) {
        return text.trim_start_matches("lambda:").replace("${", "").replace(".Arn}", "").replace('}', "");
    }
    if let Some(name) = reference(value) {
        return match name.strip_suffix(".Alias") {
            Some(id) => format!("{id}:{ALIAS}"),
            None => name.to_owned(),
        };
    }
    value["Fn::GetAtt"][0].as_str().unwrap_or_default().to_owned()
}

/// Functions that a program calls, by its variables.
pub(super) fn callees(template: &Template, variables: &[Variable]) -> BTreeSet<String> {
    let has = |name: &str| variables.iter().any(|it| it.name == name);
    let aliases = CALLS.iter().filter(|(name, _)| has(name));
    let versions = VERSIONS.iter().filter(|(name, _)| has(name));
    let aliases = aliases.map(|(_, function)| format!("{}:{ALIAS}", id_of(template, *function)));
    aliases.chain(versions.map(|(_, function)| format!("{}.Version", id_of(template, *function)))).collect()
}

pub(super) fn aliases(template: &Template, found: &mut Findings) {
    let suffix = format!(":{ALIAS}");
    for function in template.functions() {
        found.check(function.property("AutoPublishAlias") == ALIAS, Rule::Alias, function.id, "has no alias");
        let all = function.property("AutoPublishAliasAllProperties") == true;
        found.check(all, Rule::Alias, function.id, "has no new version for a changed variable");
        for (name, value) in function.variables() {
            let (is_url, is_version) = (
                CALLS.iter().any(|(url, _)| *url == name),
                VERSIONS.iter().any(|(version, _)| *version == name),
            );
            let callee = callee(&value);
            let is_right =
                if is_url { callee.ends_with(&suffix) } else { !is_version || callee.ends_with(".Version") };
            found.check(is_right, Rule::Alias, function.id, format!("{name} calls {callee}"));
        }
    }
    for (id, schedule) in template.resources("AWS::Scheduler::Schedule") {
        let callee = callee(&schedule["Properties"]["Target"]["Arn"]);
        found.check(callee.ends_with(&suffix), Rule::Alias, id, format!("calls {callee}"));
    }
    for (id, resource) in template.resources("Custom::SchemaStep") {
        let callee = callee(&resource["Properties"]["ServiceToken"]);
        found.check(callee.ends_with(&suffix), Rule::Alias, id, format!("calls {callee}"));
    }
}

pub(super) fn timeouts(template: &Template, found: &mut Findings) {
    for program in programs() {
        let Some(function) = template.function(program.binary, program.handler) else { continue };
        let caller = function.timeout();
        let most = if function.events().is_empty() { LAMBDA + 1 } else { API_GATEWAY };
        found.check(
            caller < most,
            Rule::Timeout,
            function.id,
            format!("takes {caller} s, and {most} are too many"),
        );
        let called = CALLS
            .iter()
            .chain(&VERSIONS)
            .filter(|(name, _)| program.variables.iter().any(|it| it.name == *name));
        for callee in called.filter_map(|(_, callee)| of(template, *callee)) {
            let problem = format!("calls {}, which takes longer", callee.id);
            found.check(callee.timeout() < caller, Rule::Timeout, function.id, problem);
        }
    }
    // Where no deadline comes with a request, the code sets one.
    let default = shared::runtime::context::DEFAULT_TIMEOUT.as_secs();
    found.check(default < API_GATEWAY, Rule::Timeout, "DEFAULT_TIMEOUT", "is longer than API Gateway waits");
}

pub(super) fn logs(template: &Template, found: &mut Findings) {
    let groups: BTreeMap<&str, &Json> = template.resources("AWS::Logs::LogGroup").collect();
    for (id, group) in &groups {
        let retention = reference(&group["Properties"]["RetentionInDays"]);
        found.check(retention == Some("LogRetentionDays"), Rule::Log, id, "keeps its lines for ever");
    }
    let mut used = BTreeSet::new();
    for function in template.functions() {
        let config = function.property("LoggingConfig");
        found.check(config["LogFormat"] == "JSON", Rule::Log, function.id, "does not log JSON");
        let group = reference(&config["LogGroup"]).unwrap_or_default();
        found.check(groups.contains_key(group), Rule::Log, function.id, "has no log group of this template");
        found.check(used.insert(group.to_owned()), Rule::Log, function.id, "shares its log group");
    }
    let access = &template.0["Resources"]["Api"]["Properties"]["AccessLogSettings"]["DestinationArn"];
    let access = access["Fn::GetAtt"][0].as_str().unwrap_or_default();
    found.check(groups.contains_key(access), Rule::Log, "Api", "has no access log");
}
