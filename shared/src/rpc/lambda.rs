//! Calls to functions through Lambda's Invoke API.

use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::SdkError;
use aws_sdk_lambda::operation::invoke::InvokeError;
use aws_sdk_lambda::primitives::Blob;
use futures::future::BoxFuture;
use tonic::Status;

use super::channel::Invoke;
use crate::runtime::trace::Trace;

/// Header by which X-Ray adds the invocation to the same trace.
const XRAY_HEADER: &str = "x-amzn-trace-id";

/// Function that is invoked by its name or ARN.
#[derive(Clone)]
pub struct LambdaFunction {
    client: Client,
    name: String,
}

impl LambdaFunction {
    /// Creates a client of the function with this name or ARN.
    pub fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }
}

impl Invoke for LambdaFunction {
    fn invoke(&self, payload: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, Status>> {
        self.invoke_in(payload, None)
    }

    fn invoke_in(
        &self,
        payload: Vec<u8>,
        trace: Option<&Trace>,
    ) -> BoxFuture<'static, Result<Vec<u8>, Status>> {
        let xray = trace.and_then(Trace::xray_header).map(str::to_owned);
        let name = self.name.clone();
        let call = self.client.invoke().function_name(&name).payload(Blob::new(payload)).customize();
        // The SDK does this itself only with one request at a time, and with the header in the environment.
        let call = call.mutate_request(move |request| {
            if let Some(xray) = &xray {
                request.headers_mut().insert(XRAY_HEADER, xray.clone());
            }
        });
        Box::pin(async move {
            let answer = call.send().await.map_err(|error| status(&name, error))?;
            // Lambda answers 200 even if the function failed.
            if let Some(error) = answer.function_error {
                return Err(Status::unavailable(format!("the function {name} failed: {error}")));
            }
            Ok(answer.payload.map(Blob::into_inner).unwrap_or_default())
        })
    }
}

fn status(name: &str, error: SdkError<InvokeError>) -> Status {
    let what = format!("the function {name} cannot be called");
    match error {
        SdkError::TimeoutError(_) => Status::deadline_exceeded(what),
        SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => Status::unavailable(what),
        // The HTTP status decides, since Lambda has a dozen names for temporary errors: throttled, out of
        // capacity, not ready.
        SdkError::ServiceError(error) => match error.raw().status().as_u16() {
            409 | 429 | 500.. => Status::unavailable(format!("{what} now: {}", error.err())),
            413 => Status::resource_exhausted(what),
            _ => Status::internal(format!("{what}: {}", error.err())),
        },
        error => Status::internal(format!("{what}: {error}")),
    }
}
