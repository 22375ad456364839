//! What the docs function answers with bytes that are no text: Lambda's answers are JSON, so it is in base64 there.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use tests::lambda::function::Settings;
use tests::lambda::{Lambda, Options, programs};

/// The docs function alone, which depends on nothing.
async fn docs() -> Lambda {
    let program = tokio::task::spawn_blocking(|| programs::of_workspace("docs")).await.unwrap();
    Lambda::start(vec![Settings::new("docs", program)], Options::default()).await.unwrap()
}

/// What the function answers to the event of a request.
async fn answered(lambda: &Lambda, path: &str, encoding: &str) -> Value {
    let event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": { "host": "api.example.com", "accept-encoding": encoding },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api",
            "domainName": "api.example.com",
            "http": { "method": "GET", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1" },
            "requestId": "from-the-gateway",
            "routeKey": "$default",
            "stage": "$default",
            "timeEpoch": 1_795_375_353_007_i64,
        },
        "isBase64Encoded": false,
    });
    let url = format!("{}/2015-03-31/functions/docs/invocations", lambda.endpoint);
    let answer = reqwest::Client::new().post(url).body(event.to_string()).send().await.unwrap();
    answer.json().await.unwrap()
}

#[tokio::test]
async fn what_is_compressed_is_in_base64_in_the_answer_to_lambda_and_bytes_behind_api_gateway() {
    let lambda = docs().await;
    let page = reqwest::get(format!("{}/docs", lambda.url)).await.unwrap().text().await.unwrap();
    let assets: Vec<&str> = page.split('"').filter(|piece| piece.starts_with("/docs/assets/")).collect();
    assert!(assets.len() > 3);
    for path in assets.into_iter().chain(["/openapi.json"]) {
        let plain = answered(&lambda, path, "identity").await;
        let zipped = answered(&lambda, path, "gzip").await;
        assert_eq!((&plain["isBase64Encoded"], &zipped["isBase64Encoded"]), (&json!(false), &json!(true)));
        assert_eq!(zipped["headers"]["content-encoding"], "gzip");
        let zipped = BASE64.decode(zipped["body"].as_str().unwrap()).unwrap();

        let request = reqwest::Client::new().get(format!("{}{path}", lambda.url));
        let outside = request.header("accept-encoding", "gzip").send().await.unwrap();
        assert_eq!(outside.headers()["content-encoding"], "gzip");
        assert!(outside.bytes().await.unwrap() == zipped, "{path}");

        let mut unzipped = String::new();
        GzDecoder::new(zipped.as_slice()).read_to_string(&mut unzipped).unwrap();
        assert!(plain["body"] == unzipped, "{path}");
    }
}
