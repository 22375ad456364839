//! Settings common to all clients of AWS services: region, credentials and HTTPS client.
//!
//! They come from the environment variables that Lambda gives to every function. `aws-config` is not used: it
//! would search a dozen other places while the first request waits.

use std::time::Duration;

use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::config::timeout::TimeoutConfig;
use aws_sdk_lambda::config::{BehaviorVersion, Credentials, Region, SharedHttpClient};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};

use crate::runtime::config::Variables;

/// Roots of AWS's own certificates: Amazon Root CA 1 to 4, and the older Starfield Services Root CA - G2.
///
/// The system's store has a hundred more, and reading it takes longer than the rest of a cold start. So an
/// endpoint override must be `http`, or have a certificate signed by one of these roots.
pub const ROOTS: &[u8] = include_bytes!("../../trust/aws.pem");

/// Timeout for connecting to an AWS service.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);

/// Timeout of one attempt to read a secret.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// Settings of AWS clients. Clones share the HTTPS client.
#[derive(Clone)]
pub struct Aws {
    region: Region,
    credentials: Credentials,
    http: SharedHttpClient,
    lambda_endpoint: Option<String>,
    secrets_endpoint: Option<String>,
}

impl Aws {
    /// Reads the settings from Lambda's environment variables. `None` if that failed; the problem is recorded
    /// in `variables`.
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

    /// Region of the function.
    pub fn region(&self) -> Region {
        self.region.clone()
    }

    /// Credentials of the function's role.
    pub fn credentials(&self) -> Credentials {
        self.credentials.clone()
    }

    /// HTTPS client, which trusts [`ROOTS`] alone.
    pub fn http_client(&self) -> SharedHttpClient {
        self.http.clone()
    }

    /// Creates a client for Lambda's API, without retries.
    pub fn lambda(&self) -> aws_sdk_lambda::Client {
        let mut config = aws_sdk_lambda::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(self.region.clone())
            .credentials_provider(self.credentials.clone())
            // Retries in two layers would multiply; `rpc::retry` repeats calls.
            .retry_config(RetryConfig::disabled())
            .http_client(self.http.clone());
        config.set_endpoint_url(self.lambda_endpoint.clone());
        aws_sdk_lambda::Client::from_conf(config.build())
    }

    /// Creates a client for Secrets Manager. Only this client retries, as it only reads.
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
        .map_err(|error| format!("cannot read the trust store for AWS: {error}"))?;
    Ok(aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(context)
        .pool_idle_timeout(Duration::from_secs(20))
        .build_https())
}
