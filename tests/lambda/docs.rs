//! What the docs function answers with bytes that are no text: Lambda's answers are JSON, so it is in base64 there.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use tests::lambda::Lambda;

use crate::bounds::{docs, get};

/// Answer of the function to the event of a request.
async fn answered(lambda: &Lambda, path: &str, encoding: &str) -> Value {
    let mut event: Value = serde_json::from_str(&get(path)).unwrap();
    event["headers"]["accept-encoding"] = json!(encoding);
    let url = format!("{}/2015-03-31/functions/docs/invocations", lambda.endpoint);
    let answer = reqwest::Client::new().post(url).body(event.to_string()).send().await.unwrap();
    answer.json().await.unwrap()
}

#[tokio::test]
async fn compressed_answers_are_base64_for_lambda_and_bytes_outside() {
    let lambda = docs(|docs| docs).await;
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
