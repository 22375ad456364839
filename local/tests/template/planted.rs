//! Faults that are planted into the template. Each must be found by its rule, and by name.

use serde_json::{Value as Json, json};

use super::rules::{Finding, Rule, findings};
use super::template::Template;

/// Findings of the template with a change.
fn planted(change: impl FnOnce(&mut Json)) -> Vec<Finding> {
    let mut template = Template::read();
    let before = template.0.clone();
    change(&mut template.0);
    assert_ne!(before, template.0, "nothing was planted");
    findings(&template)
}

/// Asserts that a rule finds something about a subject, and that no other rule finds anything.
#[track_caller]
fn assert_found(found: &[Finding], rule: Rule, subject: &str) {
    let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(found.iter().any(|it| it.rule == rule && it.subject == subject), "{texts:#?}");
    assert!(found.iter().all(|it| it.rule == rule), "{texts:#?}");
}

/// Properties of a resource.
fn properties<'a>(template: &'a mut Json, id: &str) -> &'a mut Json {
    &mut template["Resources"][id]["Properties"]
}

/// Statements of a role.
fn statements<'a>(template: &'a mut Json, role: &str) -> &'a mut Vec<Json> {
    let policies = &mut properties(template, role)["Policies"];
    policies[0]["PolicyDocument"]["Statement"].as_array_mut().unwrap()
}

/// Removes a member of an object.
fn remove(object: &mut Json, name: &str) {
    object.as_object_mut().unwrap().remove(name);
}

#[test]
fn a_missing_permission_is_found() {
    let found =
        planted(|it| statements(it, "UsersRole").retain(|statement| statement["Sid"] != "SigningKey"));
    assert_found(&found, Rule::Permission, "Users");
    let found = planted(|it| statements(it, "OrdersRole").retain(|statement| statement["Sid"] != "Call"));
    assert_found(&found, Rule::Permission, "Orders");
}

#[test]
fn a_permission_too_many_is_found() {
    let extra =
        |action: &str, resource: Json| json!({ "Effect": "Allow", "Action": action, "Resource": resource });
    let alias = json!({ "Fn::Sub": "${Orders.Arn}:live" });
    let found = planted(|it| statements(it, "UsersRole").push(extra("lambda:InvokeFunction", alias)));
    assert_found(&found, Rule::Permission, "Users");
    let secret = json!({ "Ref": "JwtSecretArn" });
    let found =
        planted(|it| statements(it, "ProductsRole").push(extra("secretsmanager:GetSecretValue", secret)));
    assert_found(&found, Rule::Permission, "Products");
    let everything = extra("sns:Publish", json!("*"));
    let found = planted(|it| statements(it, "DeploymentRole").push(everything));
    assert_found(&found, Rule::Permission, "DeploymentRole");
}

#[test]
fn a_policy_of_aws_is_found() {
    let policy = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole";
    let found = planted(|it| properties(it, "DocsRole")["ManagedPolicyArns"] = json!([policy]));
    assert_found(&found, Rule::Permission, "DocsRole");
}

#[test]
fn an_alarm_on_a_metric_that_nothing_emits_is_found() {
    let found =
        planted(|it| properties(it, "ConsistencySilent")["MetricName"] = json!("consistency_run_total"));
    assert_found(&found, Rule::Metric, "ConsistencySilent");
    let found = planted(|it| properties(it, "Violations")["Dimensions"][0]["Value"] = json!("orders"));
    assert_found(&found, Rule::Metric, "Violations");
    let found = planted(|it| remove(&mut it["Resources"], "ServerErrorFilter"));
    assert_found(&found, Rule::Metric, "ServerErrors");
}

#[test]
fn an_alarm_that_leaves_a_job_out_is_found() {
    let found = planted(|it| {
        let metrics = properties(it, "ReconcileBehind")["Metrics"].as_array_mut().unwrap();
        metrics.retain(|metric| metric["Id"] != "holds");
        metrics[0]["Expression"] = json!("MAX([tasks, changes, expiry, folding, pruning])");
    });
    assert_found(&found, Rule::Metric, "ReconcileBehind");
}

/// Replaces a text of the dashboard.
fn planted_in_dashboard(from: &str, to: &str) -> Vec<Finding> {
    planted(|it| {
        let body = &mut properties(it, "Dashboard")["DashboardBody"]["Fn::Sub"][0];
        *body = body.as_str().unwrap().replacen(from, to, 1).into();
    })
}

#[test]
fn a_widget_of_a_metric_that_nothing_emits_is_found() {
    let found = planted_in_dashboard(r#""status", "paid""#, r#""status", "payed""#);
    assert_found(&found, Rule::Metric, "Orders in 5 minutes, by status");
    let found = planted_in_dashboard("cold_starts_total", "cold_start_total");
    assert_found(&found, Rule::Metric, "Cold starts in 5 minutes");
    let found = planted_in_dashboard("orders_value_total", "orders_values_total");
    assert_found(&found, Rule::Metric, "orders_value_total");
}

#[test]
fn a_widget_beside_the_dashboard_is_found() {
    assert_found(&planted_in_dashboard(r#""width": 9"#, r#""width": 10"#), Rule::Metric, "Dashboard");
}

#[test]
fn an_alarm_that_the_dashboard_leaves_out_is_found() {
    let found = planted_in_dashboard(":alarm:${Latency}", ":alarm:${Violations}");
    assert_found(&found, Rule::Metric, "Latency");
}

#[test]
fn a_callee_slower_than_its_caller_is_found() {
    let found = planted(|it| it["Mappings"]["Functions"]["Orders"]["Timeout"] = json!(30));
    assert!(found.iter().any(|it| it.rule == Rule::Timeout && it.subject == "Orders"), "{found:#?}");
    let found = planted(|it| properties(it, "Users")["Timeout"] = json!(25));
    assert!(found.iter().any(|it| it.rule == Rule::Timeout && it.subject == "Products"), "{found:#?}");
}

#[test]
fn a_route_without_throttling_is_found() {
    let found = planted(|it| remove(&mut properties(it, "Api")["RouteSettings"], "POST /auth"));
    assert_found(&found, Rule::Throttle, "POST /auth");
    let found = planted(|it| remove(&mut properties(it, "Orders")["Events"], "Place"));
    assert_found(&found, Rule::Throttle, "POST /orders");
    let found = planted(|it| remove(properties(it, "Api"), "DefaultRouteSettings"));
    assert_found(&found, Rule::Throttle, "Api");
}

#[test]
fn an_unqualified_function_name_is_found() {
    let found = planted(|it| {
        properties(it, "Orders")["Environment"]["Variables"]["PRODUCT_SERVICE_URL"] =
            json!({ "Fn::Sub": "lambda:${Products}" });
    });
    assert_found(&found, Rule::Alias, "Orders");
    let found = planted(|it| {
        properties(it, "Reconcile0")["Target"]["Arn"] = json!({ "Fn::GetAtt": ["Orders", "Arn"] })
    });
    assert_found(&found, Rule::Alias, "Reconcile0");
    let newest = json!({ "Fn::GetAtt": ["Schema", "Arn"] });
    let found = planted(|it| properties(it, "SchemaStep")["ServiceToken"] = newest);
    assert_found(&found, Rule::Alias, "SchemaStep");
}

#[test]
fn a_log_group_without_retention_is_found() {
    let found = planted(|it| remove(properties(it, "UsersLog"), "RetentionInDays"));
    assert_found(&found, Rule::Log, "UsersLog");
    let found = planted(|it| remove(properties(it, "Docs"), "LoggingConfig"));
    assert!(found.iter().any(|it| it.rule == Rule::Log && it.subject == "Docs"), "{found:#?}");
}

#[test]
fn a_variable_too_few_or_too_many_is_found() {
    let found = planted(|it| {
        remove(&mut properties(it, "Orders")["Environment"]["Variables"], "MAX_OPEN_ORDERS");
    });
    assert_found(&found, Rule::Variable, "Orders");
    let found = planted(|it| properties(it, "Docs")["Environment"]["Variables"]["DEBUG"] = json!("1"));
    assert_found(&found, Rule::Variable, "Docs");
}

#[test]
fn a_path_that_leads_elsewhere_is_found() {
    let found = planted(|it| remove(&mut properties(it, "Users")["Events"], "AuthBelow"));
    assert!(found.iter().any(|it| it.rule == Rule::Route && it.subject == "/auth/refresh"), "{found:#?}");
}

#[test]
fn a_function_that_shifts_untried_is_found() {
    let found = planted(|it| remove(&mut properties(it, "Products")["DeploymentPreference"], "Hooks"));
    assert_found(&found, Rule::Deployment, "Products");
    let found = planted(|it| remove(&mut it["Resources"]["Users"], "DependsOn"));
    assert_found(&found, Rule::Deployment, "Users");
}

#[test]
fn a_wrong_shard_is_found() {
    let found = planted(|it| it["Mappings"]["Reconcile"]["4"]["Shard2"] = json!("AAAAAAQIARAE"));
    assert_found(&found, Rule::Schedule, "Reconcile2");
}

#[test]
fn an_alarm_without_an_entry_in_the_runbook_is_found() {
    let found = planted(|it| properties(it, "Latency")["AlarmDescription"] = json!("Slow. Runbook: Panic"));
    assert!(found.iter().any(|it| it.rule == Rule::Runbook && it.subject == "Latency"), "{found:#?}");
}

#[test]
fn a_reference_that_leads_nowhere_is_found() {
    let found = planted(|it| properties(it, "Api")["StageName"] = json!({ "Ref": "StageNam" }));
    assert_found(&found, Rule::Reference, "StageNam");
}
