//! What every client of an AWS service here has in common: region, credentials, and one way to connect.
//!
//! All of it comes from the variables that Lambda gives to every function; no `aws-config`, which would look
//! in a dozen other places while the first request waits.

use std::time::Duration;

use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::config::timeout::TimeoutConfig;
use aws_sdk_lambda::config::{BehaviorVersion, Credentials, Region, SharedHttpClient};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};

use crate::runtime::config::Variables;

/// The roots of AWS's own certificates: Amazon Root CA 1 to 4, and the older Starfield Services Root CA - G2.
///
/// The system's store has a hundred more, and reading it takes longer than all the rest of a cold start. It
/// follows that an endpoint override must be `http`, or have a certificate that one of these has signed.
const ROOTS: &[u8] = include_bytes!("../../trust/aws.pem");

/// How long connecting to an AWS service may take.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);

/// How long one try of reading a secret may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// What clients of AWS services are made from.
#[derive(Clone)]
pub struct Aws {
    region: Region,
    credentials: Credentials,
    http: SharedHttpClient,
    lambda_endpoint: Option<String>,
    secrets_endpoint: Option<String>,
}

impl Aws {
    /// From what Lambda tells every function by its environment. `None`: a problem is noted in `variables`.
    pub fn read(variables: &mut Variables) -> Option<Self> {
        let text = |value: &str| Ok(value.to_owned());
        let region = variables.required("AWS_REGION", text);
        let key = variables.required("AWS_ACCESS_KEY_ID", text);
        let secret = variables.required("AWS_SECRET_ACCESS_KEY", text);
        let session = variables.optional("AWS_SESSION_TOKEN", text);
        let lambda_endpoint = variables.optional("AWS_ENDPOINT_URL_LAMBDA", text);
        let secrets_endpoint = variables.optional("AWS_ENDPOINT_URL_SECRETS_MANAGER", text);
        let http = https();
        if let Err(problem) = &http {
            variables.problem(problem.clone());
        }
        Some(Self {
            region: Region::new(region?),
            credentials: Credentials::new(key?, secret?, session, None, "environment"),
            http: http.ok()?,
            lambda_endpoint,
            secrets_endpoint,
        })
    }

    /// A client for Lambda's API.
    pub fn lambda(&self) -> aws_sdk_lambda::Client {
        let mut config = aws_sdk_lambda::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(self.region.clone())
            .credentials_provider(self.credentials.clone())
            // Retries in two layers multiply; a call that is repeated is repeated by its caller.
            .retry_config(RetryConfig::disabled())
            .http_client(self.http.clone());
        config.set_endpoint_url(self.lambda_endpoint.clone());
        aws_sdk_lambda::Client::from_conf(config.build())
    }

    /// A client for Secrets Manager. It alone repeats what it does, which is reading.
    pub fn secrets(&self) -> aws_sdk_secretsmanager::Client {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .build();
        let retries =
            RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(100));
        let mut config = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(self.region.clone())
            .credentials_provider(self.credentials.clone())
            .retry_config(retries)
            .timeout_config(timeouts)
            .http_client(self.http.clone());
        config.set_endpoint_url(self.secrets_endpoint.clone());
        aws_sdk_secretsmanager::Client::from_conf(config.build())
    }
}

fn https() -> Result<SharedHttpClient, String> {
    let roots = TrustStore::empty().with_pem_certificate(ROOTS);
    let context = TlsContext::builder()
        .with_trust_store(roots)
        .build()
        .map_err(|error| format!("the trust store for AWS cannot be read: {error}"))?;
    Ok(aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(context)
        .pool_idle_timeout(Duration::from_secs(20))
        .build_https())
}
