//! API Gateway's HTTP API: hands each request to the function of its path, and says by itself what a function
//! cannot say any more.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body as _, Incoming};
use local::gateway::Function;
use serde_json::json;
use tokio::time::timeout;
use uuid::Uuid;

use super::cloudwatch::Stopwatch;
use super::server::{Answer, Lost};
use super::{Backend, Refusal, Reply, event};

/// Time that API Gateway waits for a function. The function may go on after it.
const INTEGRATION_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest body, in bytes: 10 MB.
const MAX_BODY: usize = 10 * 1024 * 1024;

/// The most that all headers may have, in bytes.
const MAX_HEADERS: usize = 10_240;

/// Answers a request from outside.
pub(crate) async fn answer(backend: Arc<Backend>, request: Request<Incoming>) -> Answer {
    let watch = Stopwatch::start();
    let answer = respond(backend.clone(), request).await;
    let (status, bytes) = match &answer {
        Ok(response) => (response.status(), response.body().size_hint().exact().unwrap_or_default()),
        Err(Lost) => (StatusCode::INTERNAL_SERVER_ERROR, 0),
    };
    backend.cloudwatch.note_request(status.as_u16(), bytes, watch);
    answer
}

async fn respond(backend: Arc<Backend>, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let id = Uuid::new_v4().to_string();
    if size(&head.headers) > MAX_HEADERS {
        return message(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Request Header Fields Too Large", &id);
    }
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        return message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large", &id);
    };
    let function = Function::of(head.uri.path()).name();
    let event = event::of(&head, &body.to_bytes(), &id);
    let invoking = backend.invoke(function.to_owned(), Bytes::from(event.to_string()), None);
    match timeout(INTEGRATION_TIMEOUT, invoking).await {
        Err(_) => message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable", &id),
        Ok(Reply::Lost) => Err(Lost),
        Ok(Reply::Invoked(invoked)) if !invoked.failed => match event::response(&invoked.payload) {
            Some(mut response) => {
                mark(&mut response, &id);
                Ok(response)
            }
            None => message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error", &id),
        },
        Ok(Reply::Invoked(_) | Reply::Refused(Refusal::UnknownFunction)) => {
            message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error", &id)
        }
        Ok(Reply::Refused(Refusal::TooLarge)) => {
            message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large", &id)
        }
        // Nothing official says which 5xx this is.
        Ok(Reply::Refused(Refusal::Throttled)) => {
            message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable", &id)
        }
    }
}

fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// Its own answers have one form, whatever the API's errors are like.
fn message(status: StatusCode, text: &str, request_id: &str) -> Answer {
    let body = json!({ "message": text }).to_string();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    mark(&mut response, request_id);
    Ok(response)
}

fn mark(response: &mut Response<Full<Bytes>>, request_id: &str) {
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert("apigw-requestid", id);
    }
}
