//! No secret stands in what the deployed programs write: not of requests that succeed, not of those that fail, and not
//! of an environment that is wrong.

use std::time::{Duration, Instant};

use serde_json::json;
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
    for function in
        ["POST /users 201", "POST /auth 401", "POST /orders 201", "GET /products 401", "GET /nothing 404"]
    {
        assert!(lines.iter().any(|line| line.contains(function)), "no line of {function}");
    }
    let mut leaks = secrets.found_in(&lines);
    leaks.extend(lines.into_iter().filter(|line| line.contains(JWT_SECRET)));
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
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
