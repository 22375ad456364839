//! Lambda's Invoke API, by which functions call each other: its answers and errors as Lambda says them.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::server::{Answer, Lost};
use super::{Backend, MAX_REQUEST, Refusal, Reply};

const PREFIX: &str = "/2015-03-31/functions/";

/// Answers a request to the Invoke API. A function is known by its bare name: no ARN, no qualifier.
pub(crate) async fn answer(backend: Arc<Backend>, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().strip_prefix(PREFIX);
    let name = path.and_then(|path| path.strip_suffix("/invocations"));
    let (Some(name), &Method::POST) = (name.map(str::to_owned), request.method()) else {
        return refusal(StatusCode::NOT_FOUND, "UnknownOperationException", json!({}));
    };
    let kind = invocation_type(request.headers());
    let trace = request.headers().get("x-amzn-trace-id").and_then(|trace| trace.to_str().ok());
    let trace = trace.map(str::to_owned);
    let body = Limited::new(request.into_body(), MAX_REQUEST).collect().await;
    let Ok(payload) = body.map(|body| body.to_bytes()) else {
        return refused(&name, Refusal::TooLarge);
    };
    match kind.as_str() {
        "RequestResponse" => match backend.invoke(name.clone(), payload, trace).await {
            Reply::Lost => Err(Lost),
            Reply::Refused(refusal) => refused(&name, refusal),
            Reply::Invoked(invoked) => {
                let answer = Response::builder()
                    .header("content-type", "application/json")
                    .header("x-amz-executed-version", "$LATEST");
                let answer = match invoked.failed {
                    true => answer.header("x-amz-function-error", "Unhandled"),
                    false => answer,
                };
                answer.body(Full::new(invoked.payload)).map_err(|_| Lost)
            }
        },
        "Event" if !backend.functions.contains_key(&name) => refused(&name, Refusal::UnknownFunction),
        "Event" => {
            // Its result has no reader.
            tokio::spawn(backend.invoke(name, payload, trace));
            Response::builder().status(StatusCode::ACCEPTED).body(Full::default()).map_err(|_| Lost)
        }
        _ => {
            let message = format!("Value '{kind}' at 'invocationType' failed to satisfy constraint");
            let body = json!({ "Message": message, "Type": "User" });
            refusal(StatusCode::BAD_REQUEST, "InvalidParameterValueException", body)
        }
    }
}

fn invocation_type(headers: &HeaderMap) -> String {
    let kind = headers.get("x-amz-invocation-type").and_then(|kind| kind.to_str().ok());
    kind.unwrap_or("RequestResponse").to_owned()
}

fn refused(function: &str, reason: Refusal) -> Answer {
    match reason {
        Refusal::UnknownFunction => {
            let message = format!("Function not found: {function}");
            let body = json!({ "Message": message, "Type": "User" });
            refusal(StatusCode::NOT_FOUND, "ResourceNotFoundException", body)
        }
        Refusal::TooLarge => {
            let message =
                format!("Request must be smaller than {MAX_REQUEST} bytes for the InvokeFunction operation");
            let body = json!({ "Message": message, "Type": "User" });
            refusal(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLargeException", body)
        }
        Refusal::Throttled => {
            let reason = "ReservedFunctionConcurrentInvocationLimitExceeded";
            let body = json!({ "Reason": reason, "Type": "User", "message": "Rate Exceeded." });
            refusal(StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", body)
        }
    }
}

fn refusal(status: StatusCode, error: &str, body: Value) -> Answer {
    let answer = Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .header("x-amzn-errortype", error);
    answer.body(Full::new(Bytes::from(body.to_string()))).map_err(|_| Lost)
}
