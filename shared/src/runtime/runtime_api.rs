//! Loop over Lambda's Runtime API: takes an event, has it answered, and takes the next one.
//!
//! `lambda_runtime` answers. Its own loop is not used, since it sets the environment variable `_X_AMZN_TRACE_ID` for
//! each event. The C library frees no value of a variable: a process grew by some 170 bytes an event. Functions take
//! the trace from the event's context instead.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::cell::OnceCell;
use std::sync::Arc;

use http::{HeaderMap, Response};
use http_body_util::BodyExt as _;
use lambda_runtime::{Config, Context, LambdaEvent, LambdaInvocation, Runtime, service_fn};
use lambda_runtime_api_client::body::Body;
use lambda_runtime_api_client::{PooledClient, build_request};
use serde::Serialize;
use serde_json::value::RawValue;
use tower::{Layer, Service, ServiceExt as _};

use crate::runtime::run::Error;

const NEXT: &str = "/2018-06-01/runtime/invocation/next";

const REQUEST_ID: &str = "lambda-runtime-aws-request-id";
const DEADLINE: &str = "lambda-runtime-deadline-ms";

/// Variable with the number of events that an environment answers at a time, where that may be several.
///
/// `cargo lambda watch` sets it to 1. Its server may keep the end of an answer of more than 8 KB. The next request on
/// the same connection frees it, so that answers and `/next` must share one.
const MAX_CONCURRENCY: &str = "AWS_LAMBDA_MAX_CONCURRENCY";

/// Has `answer` answer all events, until Lambda ends the environment.
///
/// # Errors
/// The Runtime API is unavailable, or sends no event.
pub(super) async fn run<A, F, R>(answer: A) -> Result<(), Error>
where
    A: FnMut(LambdaEvent<Box<RawValue>>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<R, Error>> + Send + 'static,
    R: Serialize + Send + 'static,
{
    let answering = OnceCell::new();
    let runtime = Runtime::new(service_fn(answer)).layer(CopyTo(&answering));
    let is_concurrent = std::env::var_os(MAX_CONCURRENCY).is_some();
    match answering.into_inner() {
        Some(service) if !is_concurrent && !runtime.is_snapstart() => one_at_a_time(service).await,
        // SnapStart has steps of its own.
        _ => runtime.run_concurrent().await,
    }
}

/// Layer that changes nothing, and keeps a copy of the service that answers events.
struct CopyTo<'a, S>(&'a OnceCell<S>);

impl<S: Clone> Layer<S> for CopyTo<'_, S> {
    type Service = S;

    fn layer(&self, service: S) -> S {
        // The runtime adds a layer once.
        let _ = self.0.set(service.clone());
        service
    }
}

async fn one_at_a_time<S>(mut service: S) -> Result<(), Error>
where
    S: Service<LambdaInvocation, Response = (), Error = Error>,
{
    let client = PooledClient::builder().build();
    let config = Arc::new(Config::from_env());
    loop {
        let request = build_request().uri(NEXT).body(Body::empty())?;
        let response = client.call(request).await?;
        let context = context(&response, config.clone())?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        service.ready().await?.call(LambdaInvocation { parts, body, context }).await?;
    }
}

/// Reads the context of an event from its headers.
fn context<B>(response: &Response<B>, config: Arc<Config>) -> Result<Context, Error> {
    let headers: &HeaderMap = response.headers();
    match headers.get(REQUEST_ID) {
        Some(id) if headers.contains_key(DEADLINE) => Context::new(id.to_str()?, config, headers),
        _ => Err(format!("the Runtime API answered {} without an event", response.status()).into()),
    }
}
