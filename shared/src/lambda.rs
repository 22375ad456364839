//! A function on Lambda: one handler for both kinds of event, API Gateway's and calls from other functions.

use http::{HeaderName, HeaderValue};
use lambda_http::request::{LambdaRequest, RequestContext};
use lambda_http::{Adapter, RequestExt as _};
use lambda_runtime::{LambdaEvent, service_fn};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::{RawValue, to_raw_value};
use tower::{Service as _, ServiceBuilder};

use crate::clock::Timestamp;
use crate::context::{Deadline, client_request_id};
use crate::run::{Error, Function};

/// How long before Lambda kills a function its work must have stopped, to answer still, in milliseconds.
const MARGIN: i64 = 500;

/// Answers events until Lambda ends the environment.
///
/// # Errors
/// When Lambda's runtime API is away.
pub async fn run(function: Function) -> Result<(), Error> {
    lambda_runtime::run_concurrent(service_fn(move |event| answer(function.clone(), event))).await
}

/// Only an envelope has this key at the top: API Gateway puts what a client sends below keys of its own.
#[derive(Deserialize)]
struct Peek {
    grpc: Option<IgnoredAny>,
}

async fn answer(function: Function, event: LambdaEvent<Box<RawValue>>) -> Result<Box<RawValue>, Error> {
    let LambdaEvent { payload, context } = event;
    let is_call = serde_json::from_str::<Peek>(payload.get()).is_ok_and(|peek| peek.grpc.is_some());
    if is_call {
        let Some(entrance) = function.entrance else {
            return Err("this function takes no calls from other functions".into());
        };
        let answer = entrance.handle(payload.get().as_bytes()).await;
        return Ok(RawValue::from_string(String::from_utf8(answer)?)?);
    }
    let request: LambdaRequest = serde_json::from_str(payload.get()).map_err(|error| {
        format!("neither an API Gateway event (HTTP API, payload 2.0) nor a call: {error}")
    })?;
    let deadline = deadline(context.deadline);
    let router =
        ServiceBuilder::new().map_request(move |request| prepare(request, deadline)).service(function.router);
    // The adapter itself cannot be kept while waiting.
    let answering = Adapter::from(router).call(LambdaEvent { payload: request, context });
    Ok(to_raw_value(&answering.await?)?)
}

/// Until when an answer is of use. `cargo lambda watch` says a duration where Lambda says a time: such a
/// small number is no time of ours, and no deadline is known.
fn deadline(millis: u64) -> Option<Deadline> {
    const YEAR_2001: i64 = 1_000_000_000_000;
    let millis = i64::try_from(millis).ok().filter(|millis| *millis > YEAR_2001)?;
    Some(Deadline(Timestamp::from_millis(millis - MARGIN)))
}

/// Adds what only the event knows: API Gateway's request ID, and until when an answer is of use.
fn prepare(mut request: lambda_http::Request, deadline: Option<Deadline>) -> lambda_http::Request {
    if client_request_id(request.headers()).is_none()
        && let Some(RequestContext::ApiGatewayV2(gateway)) = request.request_context_ref()
        && let Some(id) = gateway.request_id.as_deref()
        && let Ok(id) = HeaderValue::from_str(id)
    {
        request.headers_mut().insert(HeaderName::from_static("x-request-id"), id);
    }
    if let Some(deadline) = deadline {
        request.extensions_mut().insert(deadline);
    }
    request
}
