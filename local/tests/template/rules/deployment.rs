//! Deployments and schedules.

use local::gateway::Function;
use maintenance::environment::TaskName;
use serde_json::{Value as Json, json};

use super::{Findings, Rule, of};
use crate::template::{Template, listed, reference, root, substituted};

pub(super) fn deployments(template: &Template, found: &mut Findings) {
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

pub(super) fn schedules(template: &Template, found: &mut Findings) {
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
