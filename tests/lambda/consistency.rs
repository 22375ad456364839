//! The scheduled consistency check, by the program itself: it walks to the end, finds what is wrong, and says how far it
//! came if there was not enough time.

use std::time::Duration;

use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use shared::mongo;
use shared::values::ids::ProductId;
use tests::lambda::{Fault, Lambda, Options, Settings};
use tests::on_lambda::OnLambda;

/// A shop with an order and a further product, and the scheduled check with this timeout.
async fn shop(timeout: Duration) -> (OnLambda, String) {
    let check = tokio::task::spawn_blocking(move || Lambda::task("consistency", timeout)).await.unwrap();
    let check = check.variable("ORDER_SERVICE_URL", "lambda:orders").variable("METRICS_NAMESPACE", "shop");
    let differ = |functions: Vec<Settings>| functions.into_iter().chain([check]).collect();
    let shop = OnLambda::open_with(Options::default(), differ).await;
    let (hat, mug) = (shop.product(3).await, shop.product(3).await);
    shop.customer().await.orders(&[(&hat, 1)]).await.expect(201);
    (shop, mug)
}

/// Runs the check: its answer, and whether the invocation failed.
async fn run(shop: &OnLambda) -> (Value, bool) {
    let event = json!({
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "resources": [],
        "detail": {},
    });
    let url = format!("{}/2015-03-31/functions/consistency/invocations", shop.lambda.endpoint);
    let answer = reqwest::Client::new().post(url).body(event.to_string()).send().await.unwrap();
    let failed = answer.headers().contains_key("x-amz-function-error");
    (answer.json().await.unwrap(), failed)
}

/// Log lines with this message.
fn lines(shop: &OnLambda, message: &str) -> Vec<Value> {
    let lines = shop.lambda.log().lines();
    let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["message"] == message).collect()
}

#[tokio::test]
async fn a_violation_is_found_and_logged_by_its_ids() {
    let (shop, mug) = shop(Duration::from_secs(60)).await;
    let (walk, failed) = run(&shop).await;
    assert!(!failed, "{walk}");
    assert_eq!((&walk["finished"], &walk["violations"]), (&json!(true), &json!({})), "{walk}");
    assert_eq!((&walk["products"], &walk["orders"]), (&json!(2), &json!(1)), "{walk}");
    assert!(walk["pages"].as_u64().unwrap() > 1, "{walk}");

    finds_a_piece(&shop, &mug).await;
    let (walk, failed) = run(&shop).await;
    assert!(!failed, "{walk}");
    assert_eq!(walk["violations"], json!({ "ledger-is-not-the-sum": 1 }));
    let logged = lines(&shop, "an invariant is violated");
    let [line] = logged.as_slice() else { panic!("{logged:#?}") };
    assert_eq!((&line["kind"], &line["product_id"]), (&json!("ledger-is-not-the-sum"), &json!(mug)));
    assert!(line.get("detail").is_none() && line["span"]["request_id"].is_string(), "{line}");
    assert_eq!(lines(&shop, "the consistency check is finished").len(), 2);
}

/// A piece more in the stock of a product than its ledger has.
async fn finds_a_piece(shop: &OnLambda, product: &str) {
    let id = mongo::uuid(product.parse::<ProductId>().unwrap());
    let stock = shop.database.collection::<Document>("stock");
    let more = doc! { "$inc": { "on_hand": 1_i64 } };
    assert_eq!(stock.update_one(doc! { "_id": id }, more).await.unwrap().modified_count, 1);
}

#[tokio::test]
async fn violations_of_a_part_of_the_shop_are_measured() {
    let (shop, mug) = shop(Duration::from_secs(12)).await;
    finds_a_piece(&shop, &mug).await;
    // The first page is that of the products.
    let first = shop.lambda.on_call("orders", "CheckConsistency").once(Fault::Repeat(1));
    let silent = shop.lambda.on_call("orders", "CheckConsistency").hold();
    let (walk, failed) = run(&shop).await;
    assert!(!failed && walk["finished"] == false && walk["pages"] == 1, "{walk}");
    assert_eq!(first.struck(), 1);
    silent.lift();
    let lines = shop.lambda.log().lines();
    let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let measured: Vec<Value> = lines.filter(|line| !line["consistency_violations"].is_null()).collect();
    assert_eq!(measured.len(), 1, "{measured:#?}");
    assert_eq!(measured[0]["consistency_violations"], json!(1), "{measured:#?}");
}

#[tokio::test]
async fn a_page_is_tried_again_while_orders_is_away() {
    let (shop, _) = shop(Duration::from_secs(60)).await;
    // More often than a channel repeats a call.
    let mut away = shop.lambda.on_call("orders", "CheckConsistency").times(4, Fault::Throttle);
    let (walk, failed) = run(&shop).await;
    assert!(!failed && walk["finished"] == true, "{walk}");
    away.has_struck(4).await;
    assert!(!lines(&shop, "a page of the consistency check failed; trying again").is_empty());
}

#[tokio::test]
async fn a_check_that_finds_no_end_says_so_before_its_deadline() {
    let (shop, _) = shop(Duration::from_secs(12)).await;
    let silent = shop.lambda.on_call("orders", "CheckConsistency").hold();
    let (walk, failed) = run(&shop).await;
    assert!(!failed, "{walk}");
    assert_eq!((&walk["finished"], &walk["pages"]), (&json!(false), &json!(0)));
    assert_eq!(lines(&shop, "the consistency check did not come to its end").len(), 1);
    silent.lift();
}

#[tokio::test]
async fn a_function_that_is_not_there_fails_the_invocation() {
    let check =
        tokio::task::spawn_blocking(|| Lambda::task("consistency", Duration::from_secs(20))).await.unwrap();
    let check = check.variable("ORDER_SERVICE_URL", "lambda:elsewhere");
    let shop =
        OnLambda::open_with(Options::default(), |functions| functions.into_iter().chain([check]).collect())
            .await;
    let (answer, failed) = run(&shop).await;
    assert!(failed && answer["errorMessage"].as_str().unwrap().contains("Internal"), "{answer}");
    assert!(lines(&shop, "the consistency check is finished").is_empty());
}
