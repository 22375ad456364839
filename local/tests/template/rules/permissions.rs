//! Roles: they allow what the functions do, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use local::gateway::Function;
use serde_json::{Value as Json, json};

use super::functions::{callee, callees};
use super::{ALIAS, Findings, Program, Rule, id_of, programs};
use crate::template::{FunctionResource, Template, listed, reference, references, statements};

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

pub(super) fn permissions(template: &Template, found: &mut Findings) {
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

/// Functions that call with the tokens of their users alone. IAM lets them, and no method lists them as a caller.
const CLIENTS: [&str; 1] = [Function::Console.name()];

/// A function calls exactly those that list it as a caller, unless it is a client.
fn proto_callers(template: &Template, found: &mut Findings) {
    let binaries: BTreeSet<&str> = programs().iter().map(|program| program.binary).collect();
    for binary in binaries.into_iter().filter(|binary| !CLIENTS.contains(binary)) {
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
