//! The smoke test of new versions, by the programs themselves: it finds a version that does not work, changes nothing,
//! and reports in every case.

use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use http::StatusCode;
use mongodb::Database;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::lambda::{Fault, Lambda, Options, Settings};
use tests::on_lambda::OnLambda;

use crate::receiver::Receiver;

/// Timeout of the hook. Seven steps, some of them with a cold start.
const TIMEOUT: Duration = Duration::from_secs(24);

/// Steps of a journey, in their order.
const STEPS: [&str; 7] = [
    "docs answers",
    "products reads MongoDB",
    "users publishes its keys",
    "orders refuses a request without a token",
    "orders asks users for the keys of a token",
    "the console shows its sign-in page",
    "orders and products compare a product",
];

/// A shop with further functions, and the hook that tries these versions.
async fn shop(codedeploy: &Receiver, versions: [&str; 5], more: Vec<Settings>) -> OnLambda {
    shop_with(codedeploy, versions, &[], |_| more).await
}

/// The same, with variables of the hook. `more` makes the further functions from those of the shop.
async fn shop_with(
    codedeploy: &Receiver,
    versions: [&str; 5],
    variables: &[(&str, &str)],
    more: impl FnOnce(&[Settings]) -> Vec<Settings>,
) -> OnLambda {
    let hook = tokio::task::spawn_blocking(|| Lambda::task("smoke", TIMEOUT)).await.unwrap();
    let names = ["ORDERS_VERSION", "PRODUCTS_VERSION", "USERS_VERSION", "DOCS_VERSION", "CONSOLE_VERSION"];
    let hook = names
        .into_iter()
        .zip(versions)
        .fold(hook, |hook, (name, version)| hook.variable(name, version))
        .variable("AWS_ENDPOINT_URL_CODEDEPLOY", &codedeploy.url);
    let hook = variables.iter().fold(hook, |hook, (name, value)| hook.variable(name, value));
    let differ = |mut functions: Vec<Settings>| {
        let more = more(&functions);
        functions.extend(more);
        functions.push(hook);
        functions
    };
    OnLambda::open_with(Options::default(), differ).await
}

/// Runs the hook, and returns its answer.
async fn run(shop: &OnLambda) -> Value {
    let event = json!({ "DeploymentId": "d-1", "LifecycleEventHookExecutionId": "an-execution" });
    let url = format!("{}/2015-03-31/functions/smoke/invocations", shop.lambda.endpoint);
    let answer = reqwest::Client::new().post(url).body(event.to_string()).send().await.unwrap();
    let error = answer.headers().get("x-amz-function-error").cloned();
    let answer: Value = answer.json().await.unwrap();
    assert!(error.is_none(), "{answer}");
    answer
}

/// The problem of each step that has one.
fn problems(answer: &Value) -> Vec<(&str, &str)> {
    let steps = answer["steps"].as_array().unwrap();
    let names: Vec<_> = steps.iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(names, STEPS, "every step is tried");
    steps.iter().filter_map(|step| Some((step["step"].as_str()?, step["problem"].as_str()?))).collect()
}

/// Report that CodeDeploy has received.
fn told(codedeploy: &Receiver) -> Value {
    let received = codedeploy.received();
    let last = received.last().unwrap();
    assert_eq!(last.headers["x-amz-target"], "CodeDeploy_20141006.PutLifecycleEventHookExecutionStatus");
    assert_eq!(last.body["deploymentId"], "d-1");
    assert_eq!(last.body["lifecycleEventHookExecutionId"], "an-execution");
    last.body["status"].clone()
}

/// All documents of the database.
async fn content(database: &Database) -> Vec<(String, Vec<Document>)> {
    let mut names = database.list_collection_names().await.unwrap();
    names.sort();
    let mut all = Vec::new();
    for name in names {
        let found =
            database.collection::<Document>(&name).find(doc! {}).sort(doc! { "_id": 1 }).await.unwrap();
        all.push((name, found.try_collect().await.unwrap()));
    }
    all
}

#[tokio::test]
async fn good_versions_pass_and_nothing_of_the_shop_changes() {
    let codedeploy = Receiver::http().await;
    let shop = shop(&codedeploy, ["orders", "products", "users", "docs", "console"], vec![]).await;
    let ada = shop.customer().await;
    let mug = shop.product(3).await;
    ada.orders(&[(&mug, 1)]).await.expect(201);
    let before = content(&shop.database).await;
    // CodeDeploy may be away for a moment.
    codedeploy.refuses(&[StatusCode::INTERNAL_SERVER_ERROR]);
    let answer = run(&shop).await;
    assert_eq!(problems(&answer), []);
    assert_eq!((&answer["status"], told(&codedeploy)), (&json!("Succeeded"), json!("Succeeded")));
    assert_eq!(codedeploy.received().len(), 2);
    assert_eq!(content(&shop.database).await, before);

    let lines = shop.lambda.log().lines();
    let lines: Vec<Value> = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for name in STEPS {
        let line = lines.iter().find(|line| line["step"] == name).unwrap();
        assert!(line["message"] == "smoke step succeeded" && line["duration_ms"].is_u64(), "{line}");
    }
}

#[tokio::test]
async fn a_version_without_its_database_fails_the_deployment() {
    let codedeploy = Receiver::http().await;
    let uri = format!("mongodb://127.0.0.1:{}/oms?replicaSet=rs0", tests::port::free());
    let functions =
        tokio::task::spawn_blocking(move || Lambda::functions(&uri, tests::JWT_SECRET)).await.unwrap();
    let broken = functions.into_iter().find(|function| function.name == "products").unwrap();
    let broken = Settings { name: "products-8".to_owned(), ..broken };
    let shop = shop(&codedeploy, ["orders", "products-8", "users", "docs", "console"], vec![broken]).await;
    let answer = run(&shop).await;
    let problem = "status 503 (/problems/unavailable) instead of 200";
    assert_eq!(problems(&answer), [("products reads MongoDB", problem)]);
    assert_eq!(told(&codedeploy), "Failed");
}

#[tokio::test]
async fn a_silent_version_and_a_missing_one_fail_in_time() {
    let codedeploy = Receiver::http().await;
    let shop = shop(&codedeploy, ["orders", "products", "users-9", "docs", "console"], vec![]).await;
    shop.lambda.on_any("docs").always(Fault::DropRequest);
    let silent = shop.lambda.on_call("orders", "CheckConsistency").hold();
    let begun = Instant::now();
    let answer = run(&shop).await;
    assert!(begun.elapsed() < TIMEOUT, "{:?}", begun.elapsed());
    let problems = problems(&answer);
    let steps: Vec<_> = problems.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [STEPS[0], STEPS[2], STEPS[6]], "{problems:?}");
    assert!(problems[0].1.contains("cannot be called"), "{problems:?}");
    assert!(problems[1].1.contains("users-9 cannot be called"), "{problems:?}");
    assert_eq!(told(&codedeploy), "Failed");
    silent.lift();
}

#[tokio::test]
async fn a_users_function_that_is_away_fails_the_check_of_tokens() {
    let codedeploy = Receiver::http().await;
    let shop = shop(&codedeploy, ["orders", "products", "users", "docs", "console"], vec![]).await;
    shop.lambda.on_call("users", "GetSigningKeys").always(Fault::KillBefore);
    let answer = run(&shop).await;
    let problem = "status 503 (/problems/unavailable) instead of 401";
    assert_eq!(problems(&answer), [("orders asks users for the keys of a token", problem)]);
    assert_eq!(told(&codedeploy), "Failed");
}

#[tokio::test]
async fn a_hook_without_a_version_fails_the_deployment() {
    let codedeploy = Receiver::http().await;
    let shop = shop(&codedeploy, ["orders", "products", "", "docs", "console"], vec![]).await;
    let answer = run(&shop).await;
    let problem = "invalid environment: USERS_VERSION is required";
    assert_eq!(answer["steps"], json!([{ "step": "the environment is complete", "problem": problem }]));
    assert_eq!(told(&codedeploy), "Failed");
}

#[tokio::test]
async fn versions_behind_an_edge_are_tried_with_its_secret() {
    const SECRET: &str = "secret-of-the-edge-in-a-smoke-test-0123456789";
    for (secret, status) in [(SECRET, "Succeeded"), (&SECRET.replace("smoke", "other"), "Failed")] {
        let codedeploy = Receiver::http().await;
        let versions = ["orders-edge", "products-edge", "users-edge", "docs-edge", "console-edge"];
        let behind = |function: &Settings| {
            let name = format!("{}-edge", function.name);
            Settings { name, ..function.clone() }.variable("EDGE_SECRET", SECRET)
        };
        let more = |functions: &[Settings]| functions.iter().map(behind).collect();
        let shop = shop_with(&codedeploy, versions, &[("EDGE_SECRET", secret)], more).await;
        let answer = run(&shop).await;
        assert_eq!(told(&codedeploy), status, "{answer}");
    }
}
