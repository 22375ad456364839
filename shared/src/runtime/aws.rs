//! Settings common to all clients of AWS services: region, credentials and HTTPS client.
//!
//! They come from the environment variables that Lambda gives to every function. `aws-config` is not used: it
//! would search a dozen other places while the first request waits.

use std::time::Duration;

use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region, SharedHttpClient};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_runtime_api::client::identity::Identity;
use http::Uri;

use crate::runtime::config::Variables;

/// Roots of AWS's own certificates: Amazon Root CA 1 to 4, and the older Starfield Services Root CA - G2.
///
/// The system's store has a hundred more, and reading it takes longer than the rest of a cold start. So an
/// endpoint override must be `http`, or have a certificate signed by one of these roots.
pub const ROOTS: &[u8] = include_bytes!("../../trust/aws.pem");

/// Timeout for connecting to Secrets Manager, which is tried again.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);

/// Timeout for connecting to Lambda. The SDK's default: a small function that has just started is slow with TLS.
const LAMBDA_CONNECT_TIMEOUT: Duration = Duration::from_millis(3100);

/// Timeout of one attempt to read a secret.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// Time after which an unused connection is closed. Lambda freezes a function that has nothing to do, and with it the
/// connections.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Settings of AWS clients. Clones share the HTTPS clients.
#[derive(Clone)]
pub struct Aws {
    region: Region,
    credentials: Credentials,
    http: SharedHttpClient,
    lambda: LambdaApi,
    secrets_endpoint: Option<String>,
}

/// Access to Lambda's API. Clones share its connections.
#[derive(Clone, Debug)]
pub struct LambdaApi {
    pub(crate) http: SharedHttpConnector,
    pub(crate) identity: Identity,
    pub(crate) region: String,
    /// URL without a slash at its end.
    pub(crate) endpoint: String,
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
        let lambda_endpoint = variables.optional("AWS_ENDPOINT_URL_LAMBDA", endpoint);
        let secrets_endpoint = variables.optional("AWS_ENDPOINT_URL_SECRETS_MANAGER", endpoint);
        let tls = tls();
        if let Err(problem) = &tls {
            variables.problem(problem.clone());
        }
        let (region, tls) = (region?, tls.ok()?);
        let credentials = Credentials::new(key?, secret?, session, None, "environment");
        let lambda = LambdaApi {
            http: connector(tls.clone()),
            identity: credentials.clone().into(),
            endpoint: lambda_endpoint
                .unwrap_or_else(|| format!("https://lambda.{region}.{}", dns_suffix(&region))),
            region: region.clone(),
        };
        Some(Self { region: Region::new(region), credentials, http: client(tls), lambda, secrets_endpoint })
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

    /// Access to Lambda's API.
    pub fn lambda(&self) -> LambdaApi {
        self.lambda.clone()
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

/// Rule for an endpoint: a URL of a host, which a path may follow. It comes back without a slash at its end.
fn endpoint(url: &str) -> Result<String, String> {
    let problem = || "must be http://HOST or https://HOST, with a port and a path if needed".to_owned();
    let uri: Uri = url.parse().map_err(|_| problem())?;
    let has_scheme = matches!(uri.scheme_str(), Some("http" | "https"));
    let has_host = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    if !has_scheme || !has_host || url.contains(['?', '#']) {
        return Err(problem());
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// Suffix of AWS's host names in the partition of this region. Where it is another one, `AWS_ENDPOINT_URL_LAMBDA` has
/// the whole URL.
///
/// <https://docs.aws.amazon.com/general/latest/gr/rande.html>
fn dns_suffix(region: &str) -> &'static str {
    match region.split_once('-') {
        Some(("cn", _)) => "amazonaws.com.cn",
        Some(("eusc", _)) => "amazonaws.eu",
        _ => "amazonaws.com",
    }
}

fn tls() -> Result<TlsContext, String> {
    let roots = TrustStore::empty().with_pem_certificate(ROOTS);
    TlsContext::builder()
        .with_trust_store(roots)
        .build()
        .map_err(|error| format!("cannot read the trust store for AWS: {error}"))
}

/// Creates the HTTPS client of SDK clients.
fn client(tls: TlsContext) -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .build_https()
}

/// Creates an HTTPS client for requests without an SDK client.
fn connector(tls: TlsContext) -> SharedHttpConnector {
    let settings = HttpConnectorSettings::builder().connect_timeout(LAMBDA_CONNECT_TIMEOUT).build();
    SharedHttpConnector::new(
        Connector::builder()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(tls)
            .connector_settings(settings)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_url_of_a_host() {
        for good in ["http://127.0.0.1:9001", "https://host/lambda", "http://host:9001/"] {
            assert_eq!(endpoint(good).as_deref(), Ok(good.trim_end_matches('/')));
        }
        for bad in [
            "",
            "/",
            "host:9001",
            "ftp://host",
            "http://",
            "http://me:secret@host",
            "http://host?a=b",
            "http://host#a",
        ] {
            let problem = endpoint(bad).unwrap_err();
            assert!(!problem.contains("secret"), "{bad}: {problem}");
        }
    }

    #[test]
    fn the_host_of_lambda_follows_from_the_region() {
        for (region, suffix) in [
            ("eu-central-1", "amazonaws.com"),
            ("us-gov-west-1", "amazonaws.com"),
            ("cn-north-1", "amazonaws.com.cn"),
            ("eusc-de-east-1", "amazonaws.eu"),
        ] {
            assert_eq!(dns_suffix(region), suffix, "{region}");
        }
    }
}
