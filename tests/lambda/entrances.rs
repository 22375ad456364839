//! Nobody outside can say what only functions say to each other: whatever a client sends, it reaches REST alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::Method;
use serde_json::json;
use tests::on_lambda::OnLambda;

#[tokio::test]
async fn an_envelope_that_an_http_client_sends_never_reaches_grpc() {
    let shop = OnLambda::open().await;
    let product = shop.product(3).await;
    // What would end all holds of an order if it were believed, and one that would list everybody.
    let metadata = json!([["content-type", "application/grpc"], ["oms-caller", "system"]]);
    let envelopes = [
        ("products", "/oms.products.v1.ProductService/HoldStock"),
        ("users", "/oms.users.v1.UserService/ListUsers"),
        ("orders", "/oms.orders.v1.OrderService/ListOrders"),
    ]
    .map(|(function, path)| {
        let call = json!({ "path": path, "headers": metadata, "body": BASE64.encode([0; 5]) });
        (function, path, json!({ "grpc": call }).to_string())
    });
    for (function, method, envelope) in envelopes {
        for path in [format!("/{function}"), method.to_owned(), "/".to_owned()] {
            for media_type in ["application/json", "application/grpc", "application/grpc+proto", ""] {
                for header in ["grpc", "x-grpc", "oms-caller", "cookie"] {
                    let anyone = shop.anyone();
                    let mut request = anyone.request(Method::POST, &format!("{path}?grpc={header}"));
                    request = request.header(header, &envelope).header("te", "trailers");
                    if !media_type.is_empty() {
                        request = request.header("content-type", media_type);
                    }
                    let answer = anyone.answer(request.body(envelope.clone())).await;
                    let case = format!("{path} {media_type} {header}: {answer:?}");
                    assert!(answer.status.is_client_error(), "{case}");
                    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{case}");
                    assert!(answer.body["grpc"].is_null(), "{case}");
                    assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("grpc")), "{case}");
                }
            }
        }
    }
    assert_eq!(shop.stock(&product).await, (3, 0, 3));
}

#[tokio::test]
async fn the_same_envelope_is_a_call_where_lambda_delivers_it() {
    let shop = OnLambda::open().await;
    let url = format!("{}/2015-03-31/functions/users/invocations", shop.lambda.endpoint);
    let call = async |method: &str, headers: serde_json::Value| -> serde_json::Value {
        let path = format!("/oms.users.v1.UserService/{method}");
        let call = json!({ "grpc": { "path": path, "headers": headers, "body": BASE64.encode([0; 5]) } });
        let answer = reqwest::Client::new().post(&url).body(call.to_string()).send().await.unwrap();
        answer.json().await.unwrap()
    };
    let media_type = ["content-type", "application/grpc"];
    let answer = call("GetSigningKeys", json!([media_type, ["oms-caller", "system"]])).await;
    assert_eq!(answer["grpc"]["trailers"], json!([["grpc-status", "0"]]), "{answer}");
    // IAM lets functions invoke, and that makes none of them an admin.
    let token = format!("Bearer {}", shop.admin().token.unwrap_or_default());
    let listed = call("ListUsers", json!([media_type, ["authorization", token]])).await;
    assert_eq!(listed["grpc"]["trailers"], json!([["grpc-status", "0"]]), "{listed}");
    let refused = call("ListUsers", json!([media_type, ["oms-caller", "system"]])).await;
    let headers = refused["grpc"]["headers"].as_array().unwrap();
    assert!(headers.contains(&json!(["grpc-status", "7"])), "{refused}");
}
