//! Calls to functions through Lambda's Invoke API.

use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_lambda::error::SdkError;
use aws_sdk_lambda::operation::invoke::InvokeError;
use aws_sdk_lambda::primitives::Blob;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use futures::future::BoxFuture;
use tonic::Status;

use super::channel::Invoke;
use crate::config::Variables;

/// A function that is called by its name or ARN.
#[derive(Clone)]
pub struct LambdaFunction {
    client: Client,
    name: String,
}

/// A client for Lambda's API, from what Lambda tells every function by its environment. `None`: a problem is
/// noted in `variables`.
pub fn client(variables: &mut Variables) -> Option<Client> {
    let text = |value: &str| Ok(value.to_owned());
    let region = variables.required("AWS_REGION", text);
    let key = variables.required("AWS_ACCESS_KEY_ID", text);
    let secret = variables.required("AWS_SECRET_ACCESS_KEY", text);
    let session = variables.optional("AWS_SESSION_TOKEN", text);
    let endpoint = variables.optional("AWS_ENDPOINT_URL_LAMBDA", text);
    let (region, key, secret) = (region?, key?, secret?);

    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .pool_idle_timeout(Duration::from_secs(20))
        .build_https();
    let mut config = aws_sdk_lambda::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region))
        .credentials_provider(Credentials::new(key, secret, session, None, "environment"))
        // Retries in two layers multiply; a call that is repeated is repeated by its caller.
        .retry_config(RetryConfig::disabled())
        .http_client(http);
    config.set_endpoint_url(endpoint);
    Some(Client::from_conf(config.build()))
}

impl LambdaFunction {
    /// The function of this name.
    pub fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }
}

impl Invoke for LambdaFunction {
    fn invoke(&self, payload: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, Status>> {
        let call = self.client.invoke().function_name(&self.name).payload(Blob::new(payload));
        let name = self.name.clone();
        Box::pin(async move {
            let answer = call.send().await.map_err(|error| status(&name, error))?;
            // Lambda answers 200 even when the function failed.
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
        SdkError::ServiceError(error) => match error.err() {
            InvokeError::TooManyRequestsException(_) | InvokeError::ServiceException(_) => {
                Status::unavailable(format!("{what} now: {}", error.err()))
            }
            InvokeError::RequestTooLargeException(_) => Status::resource_exhausted(what),
            error => Status::internal(format!("{what}: {error}")),
        },
        error => Status::internal(format!("{what}: {error}")),
    }
}
