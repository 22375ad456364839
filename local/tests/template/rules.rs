//! Rules that the template keeps, held against the tables of the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use local::gateway::Function;
use maintenance::environment::TaskName;
use serde_json::{Value as Json, json};
use shared::http::routes::Throttle;
use shared::runtime::config::{METRICS_NAMESPACE, Variable, XRAY_SPANS};

use super::metrics;
use super::template::{
    FunctionResource, Template, listed, reference, references, root, statements, substituted, visit,
};

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
        builds,
        routes,
        throttles,
        variables,
        aliases,
        permissions,
        timeouts,
        logs,
        deployments,
        schedules,
        metrics::alarms,
        metrics::dashboard,
        metrics::runbook,
    ];
    for rule in rules {
        rule(template, &mut found);
    }
    found.0
}

/// Time that API Gateway waits for an answer, in seconds.
const API_GATEWAY: u64 = 30;

/// Time that Lambda gives at most, in seconds.
const LAMBDA: u64 = 900;

/// Alias that everything calls.
const ALIAS: &str = "live";

/// Variables of the code that say which function to call.
const CALLS: [(&str, Function); 3] = [
    ("ORDER_SERVICE_URL", Function::Orders),
    ("PRODUCT_SERVICE_URL", Function::Products),
    ("USER_SERVICE_URL", Function::Users),
];

/// Variables of the code that have a version to try.
const VERSIONS: [(&str, Function); 4] = [
    ("ORDERS_VERSION", Function::Orders),
    ("PRODUCTS_VERSION", Function::Products),
    ("USERS_VERSION", Function::Users),
    ("DOCS_VERSION", Function::Docs),
];

/// Variable that an emulator sets for calls between functions. Deployed it is absent.
const ENDPOINT: &str = "AWS_ENDPOINT_URL_LAMBDA";

/// Variables that are not deployed: the previous version of a secret has them.
const NOT_DEPLOYED: [&str; 1] = ["EDGE_SECRET_PREVIOUS"];

/// Variables that every process on Lambda reads, whatever it does.
const NAMESPACE: &str = METRICS_NAMESPACE.name;
const SPANS: &str = XRAY_SPANS.name;

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

fn builds(template: &Template, found: &mut Findings) {
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

/// Paths that no route table has, and the two last rules of every router: exact before wildcard, and else docs.
const FURTHER: [&str; 12] = [
    "/",
    "/orders/x/y/z",
    "/ordersx",
    "/order",
    "/products/x/y",
    "/users/x/y",
    "/auth/x",
    "/auth/x/y",
    "/authx",
    "/.well-known/jwks.json",
    "/nothing",
    "/nothing/at/all",
];

/// Paths of all route tables, with something in place of each parameter, and [`FURTHER`].
pub(crate) fn paths() -> BTreeSet<String> {
    let specs = Function::ALL.into_iter().flat_map(Function::specs);
    specs.map(|spec| spec.path_of("x")).chain(FURTHER.map(str::to_owned)).collect()
}

/// Returns true if a route matches a path. At most one greedy parameter, which begins with `wildcard`, ends it.
fn has(route: &str, wildcard: &str, path: &str) -> bool {
    match route.split_once(wildcard) {
        Some((prefix, _)) => path.len() > prefix.len() && path.starts_with(prefix),
        None => route == path,
    }
}

/// Function whose route matches the path: the longest wins, as in API Gateway and in axum.
pub(crate) fn routed<'a>(routes: &'a [(String, String)], wildcard: &str, path: &str) -> Option<&'a str> {
    let matching = routes.iter().filter(|(route, _)| has(route, wildcard, path));
    let best = matching.max_by_key(|(route, _)| (!route.contains(wildcard), route.len()));
    best.map(|(_, function)| function.as_str())
}

fn routes(template: &Template, found: &mut Findings) {
    let mut any = Vec::new();
    let mut single = Vec::new();
    let mut default = Vec::new();
    for function in template.functions() {
        for event in function.events() {
            match event.path {
                None => default.push(function.id),
                Some(path) if event.method == "ANY" => any.push((path, function.binary().to_owned())),
                Some(path) => single.push((event.method, path, function.binary().to_owned())),
            }
        }
    }
    let docs = id_of(template, Function::Docs);
    found.check(default == [docs], Rule::Route, "$default", format!("leads to {default:?}"));
    let mut all = paths();
    all.extend(any.iter().map(|(route, _)| route.replace("{proxy+}", "x")));
    for path in all {
        let (right, routed) = (Function::of(&path).name(), routed(&any, "{proxy+}", &path).unwrap_or("docs"));
        found.check(routed == right, Rule::Route, &path, format!("leads to {routed}"));
    }
    // A single method of a path leads where its other methods do: the code answers those that it lacks with 405.
    for (method, path, binary) in single {
        let (name, others) = (format!("{method} {path}"), routed(&any, "{proxy+}", &path));
        found.check(
            others == Some(&*binary),
            Rule::Route,
            &name,
            format!("leads to {binary}, others to {others:?}"),
        );
    }
}

fn throttles(template: &Template, found: &mut Findings) {
    let api = &template.0["Resources"]["Api"]["Properties"];
    let limits = |settings: &Json| {
        ["ThrottlingRateLimit", "ThrottlingBurstLimit"]
            .map(|name| reference(&settings[name]).unwrap_or_default().to_owned())
    };
    let default = limits(&api["DefaultRouteSettings"]);
    found.check(
        default == ["ThrottleRate", "ThrottleBurst"],
        Rule::Throttle,
        "Api",
        "has no default throttle",
    );
    let settings = api["RouteSettings"].as_object().cloned().unwrap_or_default();
    let mut tight = BTreeSet::new();
    for function in Function::ALL {
        let events = of(template, function).map(FunctionResource::events).unwrap_or_default();
        for spec in function.specs().into_iter().filter(|spec| spec.throttle == Throttle::Tight) {
            let name = spec.name();
            let is_route = |event: &super::template::Event| {
                event.method == spec.method.as_str() && event.path.as_deref() == Some(spec.path)
            };
            // API Gateway has settings for routes that it has.
            found.check(events.iter().any(is_route), Rule::Throttle, &name, "has no route of its own");
            let of_route = settings.get(&name).map(limits).unwrap_or_default();
            let is_tight = of_route == ["TightThrottleRate", "TightThrottleBurst"];
            found.check(is_tight, Rule::Throttle, &name, "has no tight throttle");
            tight.insert(name);
        }
    }
    for name in settings.keys().filter(|name| !tight.contains(*name)) {
        found.check(false, Rule::Throttle, name, "is tight, and its row does not say so");
    }
}

fn variables(template: &Template, found: &mut Findings) {
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
fn callee(value: &Json) -> String {
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
fn callees(template: &Template, variables: &[Variable]) -> BTreeSet<String> {
    let has = |name: &str| variables.iter().any(|it| it.name == name);
    let aliases = CALLS.iter().filter(|(name, _)| has(name));
    let versions = VERSIONS.iter().filter(|(name, _)| has(name));
    let aliases = aliases.map(|(_, function)| format!("{}:{ALIAS}", id_of(template, *function)));
    aliases.chain(versions.map(|(_, function)| format!("{}.Version", id_of(template, *function)))).collect()
}

fn aliases(template: &Template, found: &mut Findings) {
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

/// Permissions that a role must have: actions with their resources.
fn needed(
    template: &Template,
    program: &Program,
    function: FunctionResource,
) -> BTreeMap<String, BTreeSet<String>> {
    let mut needed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let log = reference(&function.property("LoggingConfig")["LogGroup"]).unwrap_or_default().to_owned();
    for action in ["logs:CreateLogStream", "logs:PutLogEvents"] {
        needed.insert(action.to_owned(), [log.clone()].into());
    }
    let callees = callees(template, program.variables);
    if !callees.is_empty() {
        needed.insert("lambda:InvokeFunction".to_owned(), callees);
    }
    let given = function.variables();
    let arns = program.variables.iter().filter(|it| it.is_secret).map(|it| format!("{}_ARN", it.name));
    let secrets: BTreeSet<String> = arns.filter_map(|name| given.get(&name)).flat_map(references).collect();
    if !secrets.is_empty() {
        needed.insert("secretsmanager:GetSecretValue".to_owned(), secrets);
    }
    let destination =
        &function.property("EventInvokeConfig")["DestinationConfig"]["OnFailure"]["Destination"];
    if let Some(queue) = destination["Fn::GetAtt"][0].as_str() {
        needed.insert("sqs:SendMessage".to_owned(), [queue.to_owned()].into());
    }
    for action in program.actions {
        needed.insert((*action).to_owned(), BTreeSet::new());
    }
    needed
}

/// Permissions that statements give, in the same form.
fn allowed(statements: &[Json]) -> BTreeMap<String, BTreeSet<String>> {
    let mut allowed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for statement in statements {
        for action in listed(&statement["Action"]) {
            let action = action.as_str().unwrap_or_default();
            let resources = allowed.entry(action.to_owned()).or_default();
            for resource in listed(&statement["Resource"]) {
                match action {
                    "lambda:InvokeFunction" => _ = resources.insert(callee(&resource)),
                    "secretsmanager:GetSecretValue" => resources.extend(references(&resource)),
                    _ => resources.extend(resource["Fn::GetAtt"][0].as_str().map(str::to_owned)),
                }
            }
        }
    }
    allowed
}

fn permissions(template: &Template, found: &mut Findings) {
    for program in programs() {
        let Some(function) = template.function(program.binary, program.handler) else { continue };
        let (needed, statements) = (needed(template, &program, function), function.statements());
        let allowed = allowed(&statements);
        for (action, resources) in &needed {
            let missing = match allowed.get(action) {
                None => Some("anything".to_owned()),
                Some(allowed) => resources.difference(allowed).next().cloned(),
            };
            let problem = format!("may not {action} on {missing:?}");
            found.check(missing.is_none(), Rule::Permission, function.id, problem);
        }
        for (action, resources) in &allowed {
            let excess = match needed.get(action) {
                None => Some("anything".to_owned()),
                Some(needed) => resources.difference(needed).next().cloned(),
            };
            let problem = format!("may {action} on {excess:?}, and does not");
            found.check(excess.is_none(), Rule::Permission, function.id, problem);
        }
    }
    wildcards(template, found);
    proto_callers(template, found);
}

/// Actions of AWS that no policy can limit to a resource.
const WITHOUT_RESOURCE: [&str; 9] = [
    "cloudwatch:DescribeAlarms",
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
];

/// Nothing is allowed on everything, unless it can only be so.
fn wildcards(template: &Template, found: &mut Findings) {
    let roles = template.resources("AWS::IAM::Role");
    let roles =
        roles.map(|(id, role)| (id, statements(role), role["Properties"]["ManagedPolicyArns"].clone()));
    for (id, statements, managed) in roles {
        let managed = if managed.is_null() { Vec::new() } else { listed(&managed) };
        let is_ours = managed.iter().all(|it| reference(it).is_some());
        found.check(is_ours, Rule::Permission, id, "has a policy that is not in the template");
        check_wildcards(id, &statements, found);
    }
    for (id, policy) in template.resources("AWS::IAM::ManagedPolicy") {
        let document = json!({ "Properties": { "Policies": [policy["Properties"].clone()] } });
        check_wildcards(id, &statements(&document), found);
    }
}

fn check_wildcards(id: &str, statements: &[Json], found: &mut Findings) {
    for statement in statements {
        for action in listed(&statement["Action"]) {
            let action = action.as_str().unwrap_or_default();
            found.check(!action.contains('*'), Rule::Permission, id, format!("may {action}"));
            let can_be_limited = !WITHOUT_RESOURCE.contains(&action);
            let is_limited = listed(&statement["Resource"]).iter().all(|it| *it != "*");
            found.check(
                is_limited || !can_be_limited,
                Rule::Permission,
                id,
                format!("may {action} on everything"),
            );
        }
    }
}

/// A function calls exactly those that list it as a caller.
fn proto_callers(template: &Template, found: &mut Findings) {
    let binaries: BTreeSet<&str> = programs().iter().map(|program| program.binary).collect();
    for binary in binaries {
        let listing = Function::ALL.into_iter().filter(|callee| {
            let service = format!("/oms.{}.", callee.name());
            let methods = proto::methods().filter(|path| path.starts_with(&service));
            methods.flat_map(|path| proto::callers(path).unwrap_or_default()).any(|caller| *caller == binary)
        });
        let listing: BTreeSet<String> =
            listing.map(|callee| format!("{}:{ALIAS}", id_of(template, callee))).collect();
        let own = template.functions().filter(|function| function.binary() == binary);
        let allowed =
            own.flat_map(|function| allowed(&function.statements()).remove("lambda:InvokeFunction"));
        let allowed: BTreeSet<String> = allowed.flatten().filter(|it| it.ends_with(ALIAS)).collect();
        let problem = format!("may call {allowed:?}, and {listing:?} list it as a caller");
        found.check(allowed == listing, Rule::Permission, binary, problem);
    }
}

fn timeouts(template: &Template, found: &mut Findings) {
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

fn logs(template: &Template, found: &mut Findings) {
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

fn deployments(template: &Template, found: &mut Findings) {
    let smoke = template.function(maintenance::NAME, TaskName::Smoke.name()).map_or("", |it| it.id);
    for function in template.functions().filter(|it| !it.events().is_empty()) {
        let mut check = |is_right, problem| found.check(is_right, Rule::Deployment, function.id, problem);
        let preference = function.property("DeploymentPreference");
        check(
            reference(&preference["Type"]) == Some("DeploymentPreference"),
            "does not shift by the parameter",
        );
        let hook = if_watched(&preference["Hooks"]["PreTraffic"]);
        check(reference(hook) == Some(smoke), "is not tried before traffic shifts");
        let alarms: Vec<Json> = listed(if_watched(&preference["Alarms"]));
        let own = format!("{}Errors", function.id);
        check(alarms.iter().any(|it| reference(it) == Some(&own)), "does not go back when it fails");
    }
    for function in [Function::Orders, Function::Products, Function::Users] {
        let Some(function) = of(template, function) else { continue };
        let waits = function.resource["DependsOn"] == "SchemaStep";
        found.check(waits, Rule::Deployment, function.id, "does not wait for the schema step");
    }
}

/// Value of a property that a deployment has unless an operator turns its watch off.
fn if_watched(value: &Json) -> &Json {
    let choice = &value["Fn::If"];
    if choice[0] == "WatchesDeployment" { &choice[1] } else { &Json::Null }
}

fn schedules(template: &Template, found: &mut Findings) {
    let sample = std::fs::read_to_string(root().join("local/events/orders-reconcile.json")).unwrap();
    let sample: Json = serde_json::from_str(&sample).unwrap();
    let bodies = template.0["Mappings"]["Reconcile"].as_object().cloned().unwrap_or_default();
    let most = bodies.keys().filter_map(|shards| shards.parse::<u8>().ok()).max().unwrap_or_default();
    let allowed = &template.0["Parameters"]["ReconcileShards"]["AllowedValues"];
    let known = json!(bodies.keys().collect::<Vec<_>>());
    found.check(*allowed == known, Rule::Schedule, "ReconcileShards", "allows numbers without bodies");
    for shard in 0..most {
        let id = format!("Reconcile{shard}");
        let schedule = &template.0["Resources"][&id]["Properties"];
        let failures = &schedule["Target"]["DeadLetterConfig"]["Arn"]["Fn::GetAtt"][0];
        found.check(*failures == "FailedEvents", Rule::Schedule, &id, "loses what fails");
        for (shards, body) in &bodies {
            let count: u8 = shards.parse().unwrap_or_default();
            if shard >= count {
                continue;
            }
            let body = body[format!("Shard{shard}")].as_str().unwrap_or_default();
            let right = reconcile_body(shard, count);
            found.check(
                body == right,
                Rule::Schedule,
                &id,
                format!("has {body} of {shards}, and not {right}"),
            );
            let input =
                substituted(&schedule["Target"]["Input"]).unwrap_or_default().replace("${Body}", body);
            let mut input: Json = serde_json::from_str(&input).unwrap_or_default();
            if count > 1 {
                input["grpc"]["body"] = sample["grpc"]["body"].clone();
            }
            found.check(input == sample, Rule::Schedule, &id, "does not send the sample");
        }
    }
}

/// Body of a call of Reconcile: a gRPC frame with a `ReconcileRequest`, in base64.
fn reconcile_body(shard: u8, shards: u8) -> String {
    use base64::Engine as _;
    let request: &[u8] = if shards == 1 { &[] } else { &[8, shard, 16, shards] };
    let frame = [&[0, 0, 0, 0, u8::try_from(request.len()).unwrap()], request].concat();
    base64::engine::general_purpose::STANDARD.encode(frame)
}
