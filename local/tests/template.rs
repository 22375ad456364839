//! `template.yaml` and the code agree: functions, routes, environment variables, timeouts, and who may call
//! whom. So does what routes for `cargo lambda watch`.
//!
//! Variables and routes come from the tables of the functions. Emulators check where calls go.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is how one fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use local::gateway::Function;
use serde_json::Value as Json;
use serde_yaml_ng::Value;
use shared::runtime::config::{Variable, Variables};
use shared::values::clock::Clock;

/// Time that API Gateway waits for an answer, in seconds.
const API_GATEWAY: u64 = 30;

/// Variables of the code that say which function to call.
const CALLS: [(&str, Function); 3] = [
    ("ORDER_SERVICE_URL", Function::Orders),
    ("PRODUCT_SERVICE_URL", Function::Products),
    ("USER_SERVICE_URL", Function::Users),
];

/// Variable that an emulator sets for calls between functions. Deployed it is absent.
const ENDPOINT: &str = "AWS_ENDPOINT_URL_LAMBDA";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// A function of the template.
struct Deployed {
    /// The logical ID of its resource.
    id: String,
    properties: Value,
    globals: Value,
}

impl Deployed {
    /// All of them, by the name of their package.
    fn all() -> BTreeMap<String, Self> {
        let template: Value = serde_yaml_ng::from_str(&read("template.yaml")).unwrap();
        let mut functions = BTreeMap::new();
        for (id, resource) in template["Resources"].as_mapping().unwrap() {
            if resource["Type"] != "AWS::Serverless::Function" {
                continue;
            }
            let properties = resource["Properties"].clone();
            // What `sam build` runs is `cargo lambda build --release --bin NAME`.
            let metadata = &resource["Metadata"];
            assert_eq!(metadata["BuildMethod"], "rust-cargolambda", "{id:?}");
            let name = metadata["BuildProperties"]["Binary"].as_str().unwrap();
            let globals = template["Globals"]["Function"].clone();
            let deployed = Self { id: id.as_str().unwrap().to_owned(), properties, globals };
            assert!(functions.insert(name.to_owned(), deployed).is_none(), "{name} is there twice");
        }
        functions
    }

    fn of(function: Function) -> Self {
        Self::all().remove(function.name()).unwrap()
    }

    fn property(&self, name: &str) -> &Value {
        self.properties.get(name).or_else(|| self.globals.get(name)).unwrap_or(&Value::Null)
    }

    /// In seconds.
    fn timeout(&self) -> u64 {
        // Lambda's own default is 3 s.
        self.property("Timeout").as_u64().unwrap_or(3)
    }

    /// Variables of its environment.
    fn variables(&self) -> BTreeMap<String, Value> {
        let mut all = BTreeMap::new();
        for place in [&self.globals, &self.properties] {
            let Some(variables) = place.get("Environment").and_then(|it| it["Variables"].as_mapping()) else {
                continue;
            };
            all.extend(variables.iter().map(|(name, it)| (name.as_str().unwrap().to_owned(), it.clone())));
        }
        all
    }

    /// The logical IDs of the functions that it may invoke.
    fn may_invoke(&self) -> BTreeSet<String> {
        let policies = self.properties["Policies"].as_sequence().cloned().unwrap_or_default();
        let names =
            policies.iter().filter_map(|it| it.get("LambdaInvokePolicy")).map(|it| &it["FunctionName"]);
        names.map(|name| tagged(name, "!Ref")).collect()
    }

    /// The paths of its routes; `None` is `$default`, whatever no other route has.
    fn routes(&self) -> Vec<Option<String>> {
        let events = self.properties["Events"].as_mapping().unwrap();
        let http = events.values().filter(|event| event["Type"] == "HttpApi");
        http.map(|event| {
            let properties = &event["Properties"];
            assert_eq!(tagged(&properties["ApiId"], "!Ref"), "Api", "{}", self.id);
            let path = properties.get("Path").map(|path| path.as_str().unwrap().to_owned());
            if path.is_some() {
                // The code answers a method that it does not have itself: 405, in the form of every error.
                assert_eq!(properties["Method"], "ANY", "{}", self.id);
            }
            path
        })
        .collect()
    }
}

/// The text below a tag such as `!Ref`.
fn tagged(value: &Value, tag: &str) -> String {
    match value {
        Value::Tagged(it) if it.tag == tag => it.value.as_str().unwrap().to_owned(),
        other => panic!("{other:?} is no {tag}"),
    }
}

/// All names of the environment variables that a function declares, but for those of files: Lambda has none.
fn variables_of(function: Function) -> BTreeSet<String> {
    let names = function.variables().iter().flat_map(Variable::names);
    names.filter(|name| !name.ends_with("_FILE")).collect()
}

/// The paths of a function's route table, with something in place of each parameter.
fn paths_of(function: Function) -> BTreeSet<String> {
    function.specs().into_iter().map(|spec| spec.path_of("x")).collect()
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

/// Returns true if a route matches a path. At most one greedy parameter, which begins with `wildcard`, ends it.
fn has(route: &str, wildcard: &str, path: &str) -> bool {
    match route.split_once(wildcard) {
        Some((prefix, _)) => path.len() > prefix.len() && path.starts_with(prefix),
        None => route == path,
    }
}

/// Function whose route matches the path: the longest wins, as in API Gateway and in axum.
fn routed<'a>(routes: &'a [(String, String)], wildcard: &str, path: &str) -> Option<&'a str> {
    let matching = routes.iter().filter(|(route, _)| has(route, wildcard, path));
    let best = matching.max_by_key(|(route, _)| (!route.contains(wildcard), route.len()));
    best.map(|(_, function)| function.as_str())
}

#[test]
fn every_function_is_deployed_and_under_the_name_of_its_package() {
    let deployed: Vec<String> = Deployed::all().into_keys().collect();
    let mut folders: Vec<String> = std::fs::read_dir(root().join("functions"))
        .unwrap()
        .map(|folder| folder.unwrap().file_name().into_string().unwrap())
        .collect();
    folders.sort();
    // Its tasks are functions of the template, each under its own name.
    folders.retain(|folder| folder != maintenance::NAME);
    assert_eq!(deployed, folders);
    let mut known = Function::ALL.map(Function::name);
    known.sort_unstable();
    assert_eq!(deployed, known);
    for (name, function) in Deployed::all() {
        // What cargo-lambda builds is a program called bootstrap, for this runtime.
        assert_eq!(function.property("Handler"), "bootstrap", "{name}");
        assert_eq!(function.property("Runtime"), "provided.al2023", "{name}");
        // From the root features are resolved alike for all of them, so that each dependency is compiled once.
        assert_eq!(function.property("CodeUri"), ".", "{name}");
        let architectures = function.property("Architectures").as_sequence().unwrap();
        let [architecture] = architectures.as_slice() else { panic!("{name}: {architectures:?}") };
        assert_eq!(tagged(architecture, "!Ref"), "Architecture", "{name}");
    }
}

#[test]
fn a_path_reaches_the_same_function_everywhere() {
    let mut api_gateway = Vec::new();
    let mut default = Vec::new();
    for (name, function) in Deployed::all() {
        for route in function.routes() {
            match route {
                Some(path) => api_gateway.push((path, name.clone())),
                None => default.push(name.clone()),
            }
        }
    }
    assert_eq!(default, ["docs"]);
    let watch = watch_routes();

    let mut paths: BTreeSet<String> = FURTHER.map(str::to_owned).into();
    for function in Function::ALL {
        for path in paths_of(function) {
            assert_eq!(Function::of(&path), function, "{path}");
            paths.insert(path);
        }
    }
    // Where a route of the template or of the metadata is, too.
    for (route, _) in api_gateway.iter().chain(&watch) {
        paths.insert(route.replace("{proxy+}", "x").replace("{*below}", "x"));
    }
    for path in paths {
        let function = Function::of(&path).name();
        assert_eq!(
            routed(&api_gateway, "{proxy+}", &path).unwrap_or("docs"),
            function,
            "API Gateway: {path}"
        );
        assert_eq!(routed(&watch, "{*below}", &path), Some(function), "cargo lambda watch: {path}");
    }
}

/// `[workspace.metadata.lambda.watch.router]` of the workspace.
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

/// The names of the variables that a function asks for when none is set.
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
        assert_eq!(
            asked_by(function),
            function.variables().iter().flat_map(Variable::names).collect(),
            "{}",
            function.name()
        );
    }
}

#[test]
fn a_function_is_given_the_variables_that_it_reads_and_no_others() {
    for function in Function::ALL {
        let read = variables_of(function);
        let mut given = Deployed::of(function).variables();
        let endpoint = given.remove(ENDPOINT);
        let calls = CALLS.iter().any(|(variable, _)| read.contains(*variable));
        let absent = calls.then(|| "AWS::NoValue".to_owned());
        assert_eq!(endpoint.map(|it| tagged(&it, "!Ref")), absent, "{}", function.name());
        assert_eq!(given.into_keys().collect::<BTreeSet<_>>(), read, "{}", function.name());
    }
    // The secret that signs tokens is in one place alone.
    let knowing = Function::ALL.map(variables_of).iter().filter(|it| it.contains("JWT_SECRET")).count();
    assert!(knowing <= 1);
}

#[test]
fn a_function_may_invoke_exactly_those_that_it_calls() {
    for function in Function::ALL {
        let deployed = Deployed::of(function);
        let variables = deployed.variables();
        let mut called = BTreeSet::new();
        for (variable, callee) in CALLS {
            if variables_of(function).contains(variable) {
                let id = Deployed::of(callee).id;
                assert_eq!(tagged(&variables[variable], "!Sub"), format!("lambda:${{{id}}}"), "{variable}");
                called.insert(id);
            }
        }
        assert_eq!(deployed.may_invoke(), called, "{}", function.name());
    }
}

#[test]
fn a_function_may_invoke_exactly_those_that_list_it_as_a_caller() {
    for function in Function::ALL {
        let callees = Function::ALL.into_iter().filter(|callee| {
            let service = format!("/oms.{}.", callee.name());
            let methods = proto::methods().filter(|path| path.starts_with(&service));
            methods.flat_map(|path| proto::callers(path).unwrap()).any(|caller| *caller == function.name())
        });
        let listed: BTreeSet<_> = callees.map(|callee| Deployed::of(callee).id).collect();
        assert_eq!(Deployed::of(function).may_invoke(), listed, "{}", function.name());
    }
    // Every caller is a function of the template, its schedule, or a task of maintenance.
    let others = ["schedule", maintenance::NAME];
    let known: BTreeSet<_> = Function::ALL.map(Function::name).into_iter().chain(others).collect();
    for path in proto::methods() {
        assert!(proto::callers(path).unwrap().iter().all(|caller| known.contains(caller)), "{path}");
    }
}

#[test]
fn a_callee_gives_up_before_its_caller_and_all_before_api_gateway() {
    for function in Function::ALL {
        let caller = Deployed::of(function).timeout();
        assert!(caller < API_GATEWAY, "{}", function.name());
        for (variable, callee) in CALLS {
            if variables_of(function).contains(variable) {
                let callee_timeout = Deployed::of(callee).timeout();
                assert!(callee_timeout < caller, "{} calls {}", function.name(), callee.name());
            }
        }
    }
    // Where nobody says how long a request may take, the code says it.
    assert!(shared::runtime::context::DEFAULT_TIMEOUT.as_secs() < API_GATEWAY);
}

#[test]
fn what_the_template_refers_to_is_there() {
    let text = read("template.yaml");
    let template: Value = serde_yaml_ng::from_str(&text).unwrap();
    let is_there = |name: &str| {
        name.starts_with("AWS::")
            || ["Resources", "Parameters", "Conditions"].iter().any(|place| {
                template.get(place).is_some_and(|it| it.get(name.split('.').next().unwrap()).is_some())
            })
    };
    let code = text.lines().map(|line| line.split('#').next().unwrap());
    for line in code {
        let references = line.split("!Ref ").skip(1).chain(line.split("${").skip(1));
        for reference in references {
            let name: String = reference
                .chars()
                .take_while(|it| it.is_ascii_alphanumeric() || *it == ':' || *it == '.')
                .collect();
            assert!(is_there(&name), "{name} in {line}");
        }
    }
}

#[test]
fn the_schedule_calls_what_the_sample_calls() {
    let template: Value = serde_yaml_ng::from_str(&read("template.yaml")).unwrap();
    let schedule = &template["Resources"]["Orders"]["Properties"]["Events"]["Reconcile"];
    assert_eq!(schedule["Type"], "ScheduleV2");
    let input = schedule["Properties"]["Input"].as_str().unwrap();
    let input: serde_json::Value = serde_json::from_str(input).unwrap();
    let sample: serde_json::Value =
        serde_json::from_str(&read("local/events/orders-reconcile.json")).unwrap();
    assert_eq!(input, sample);
}
