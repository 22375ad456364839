//! Routes and throttles of the API.

use std::collections::BTreeSet;

use local::gateway::Function;
use serde_json::Value as Json;
use shared::http::routes::Throttle;

use super::{Findings, Rule, id_of, of};
use crate::template::{Event, FunctionResource, Template, reference};

/// Paths that no route table has, and the two last rules of every router: exact before wildcard, and else docs.
const FURTHER: [&str; 16] = [
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
    "/console",
    "/console/sign-in",
    "/console/orders/x",
    "/consolex",
    "/nothing",
    "/nothing/at/all",
];

/// Pages with a tight throttle. They have no rows, which would say so.
const TIGHT_PAGES: [(Function, &str, &str); 1] = [(Function::Console, "POST", "/console/sign-in")];

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

pub(super) fn routes(template: &Template, found: &mut Findings) {
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

pub(super) fn throttles(template: &Template, found: &mut Findings) {
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
            let is_route = |event: &Event| {
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
    for (function, method, path) in TIGHT_PAGES {
        let name = format!("{method} {path}");
        let events = of(template, function).map(FunctionResource::events).unwrap_or_default();
        let is_route = |event: &Event| event.method == method && event.path.as_deref() == Some(path);
        found.check(events.iter().any(is_route), Rule::Throttle, &name, "has no route of its own");
        let of_route = settings.get(&name).map(limits).unwrap_or_default();
        let is_tight = of_route == ["TightThrottleRate", "TightThrottleBurst"];
        found.check(is_tight, Rule::Throttle, &name, "has no tight throttle");
        tight.insert(name);
    }
    for name in settings.keys().filter(|name| !tight.contains(*name)) {
        found.check(false, Rule::Throttle, name, "is tight, and its row does not say so");
    }
}
