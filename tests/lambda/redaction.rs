//! No secret stands in what the deployed programs write: not of requests that succeed, not of those that fail, and not
//! of an environment that is wrong.

use std::time::{Duration, Instant};

use mongodb::bson::{Document, doc};
use serde_json::json;
use shared::mongo;
use shared::values::ids::OrderId;
use tests::JWT_SECRET;
use tests::lambda::{Lambda, Options};
use tests::on_lambda::OnLambda;
use tests::secrets::tell_secrets;

/// The lines that a log has once this one is among them: they come through a pipe.
async fn lines_with(shop: &OnLambda, last: &str) -> Vec<String> {
    let started = Instant::now();
    loop {
        let lines = shop.lambda.log().lines();
        if lines.iter().any(|line| line.contains(last)) || started.elapsed() > Duration::from_secs(20) {
            return lines;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_programs_log_requests_and_none_of_their_secrets() {
    let shop = OnLambda::open().await;
    let secrets = tell_secrets(&shop).await;
    let request =
        shop.anyone().request(http::Method::GET, "/products").header("x-request-id", "the-last-one");
    shop.anyone().answer(request).await.expect(200);
    let lines = lines_with(&shop, "the-last-one").await;
    for (method, route, status) in [
        ("POST", "/users", 201),
        ("POST", "/auth", 401),
        ("POST", "/orders", 201),
        ("GET", "/products", 401),
        ("GET", "none", 404),
    ] {
        let fields = format!(r#""method":"{method}","route":"{route}","status":{status}"#);
        assert!(lines.iter().any(|line| line.contains(&fields)), "no line of {fields}");
    }
    assert!(lines.iter().any(|line| line.contains(r#""orders_total":"#)), "no metrics");
    let mut leaks = secrets.found_in(&lines);
    leaks.extend(lines.into_iter().filter(|line| line.contains(JWT_SECRET)));
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}

#[tokio::test]
async fn the_log_has_no_value_of_a_document_that_mongodb_refuses() {
    let shop = OnLambda::open().await;
    let (customer, order) = shop.order_in("placed").await;
    let orders = shop.database.collection::<Document>("orders");
    // As if the rule had been another one when it was placed.
    let note = format!("s3cret-note {}", "x".repeat(3_000));
    let id = mongo::uuid(order.parse::<OrderId>().unwrap());
    let set = orders.update_one(doc! { "_id": id }, doc! { "$set": { "note": &note } });
    assert_eq!(set.bypass_document_validation(true).await.unwrap().modified_count, 1);
    let taken = orders.find_one(doc! { "_id": id }).await.unwrap().unwrap();
    assert_eq!(taken.get_str("note").unwrap(), note);
    let change = json!({ "status": "cancelled" });
    let request = customer.request(http::Method::PUT, &format!("/orders/{order}"));
    let answer = customer.outcome(request.header("x-request-id", "the-last-one").json(&change)).await;
    assert!(answer.is_ok(), "{answer:?}");
    let lines = lines_with(&shop, "the-last-one").await;
    let leaks: Vec<&String> = lines.iter().filter(|line| line.contains("s3cret")).collect();
    assert!(leaks.is_empty(), "{leaks:#?}");
    let refused: Vec<&String> = lines.iter().filter(|line| line.contains(r#""status":500"#)).collect();
    assert!(refused.iter().all(|line| line.contains("MongoDB: code 121")), "{refused:#?}");
}

#[tokio::test]
async fn an_environment_that_is_wrong_is_told_of_without_its_secrets() {
    let secret = "s3cret-of-mongodb";
    for (uri, jwt_secret) in [
        // Nobody is there; the scheme, the option, the escape, or the host is none.
        (format!("mongodb://{secret}:{secret}@127.0.0.1:1/oms?serverSelectionTimeoutMS=300"), JWT_SECRET),
        (format!("mongo://{secret}:{secret}@127.0.0.1:1/oms"), JWT_SECRET),
        (format!("mongodb://{secret}:{secret}@127.0.0.1:1/oms?w=x&tls={secret}"), JWT_SECRET),
        (format!("mongodb://{secret}:{secret}%zz@127.0.0.1:1/oms"), JWT_SECRET),
        (format!("mongodb://{secret}:{secret}@127.0.0.1:{secret}/oms"), JWT_SECRET),
        (format!("mongodb://{secret}:{secret}@/oms"), "s3cret-of-mongodb"),
        (format!("mongodb://u:{secret}@127.0.0.1:1/oms?authMechanism={secret}"), "s3cret-of-mongodb"),
    ] {
        let functions = {
            let uri = uri.clone();
            tokio::task::spawn_blocking(move || Lambda::functions(&uri, jwt_secret)).await.unwrap()
        };
        let lambda = Lambda::start(functions, Options::default()).await.unwrap();
        let client = reqwest::Client::new();
        let mut answers = String::new();
        for path in ["/products", "/orders", "/users", "/auth"] {
            let request = client.post(format!("{}{path}", lambda.url)).json(&json!({}));
            answers.push_str(&request.send().await.unwrap().text().await.unwrap());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let lines = lambda.log().lines();
        assert!(!lines.is_empty(), "{uri}: nothing is said of it");
        let leaks: Vec<&String> = lines.iter().filter(|line| line.contains("s3cret")).collect();
        assert!(leaks.is_empty() && !answers.contains("s3cret"), "{uri}: {leaks:#?} {answers}");
    }
}
