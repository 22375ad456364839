//! Calls to functions through Lambda's Invoke API.
//!
//! A call is one POST, signed with the credentials of the function's role. The SDK's client would take dozens of steps
//! for it: endpoint rules, identity caches, interceptors, retries. None of them is used here.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>

use std::sync::Arc;
use std::time::SystemTime;

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use futures::future::BoxFuture;
use http_body_util::{BodyExt as _, Limited};
use tonic::Status;

use super::channel::Invoke;
use super::envelope::MAX_PAYLOAD;
use crate::runtime::aws::LambdaApi;
use crate::runtime::trace::Trace;

/// Header by which X-Ray adds the invocation to the same trace.
const XRAY_HEADER: &str = "x-amzn-trace-id";

/// Header of an answer whose function has failed.
const FUNCTION_ERROR: &str = "x-amz-function-error";

/// Header with the name of an error of the API itself.
const ERROR_TYPE: &str = "x-amzn-errortype";

/// Header with the ID that AWS's support asks for.
const AWS_REQUEST_ID: &str = "x-amzn-requestid";

/// Headers of a request that are signed beside those of the signature itself.
const SIGNED: [(&str, &str); 1] = [("content-type", "application/octet-stream")];

/// Service of a signature.
const SERVICE: &str = "lambda";

/// Maximum length of a header of an answer that an error repeats.
const MAX_REPEATED: usize = 64;

/// Function that is invoked by its name or ARN.
#[derive(Clone)]
pub struct LambdaFunction(Arc<Target>);

struct Target {
    api: LambdaApi,
    name: String,
    uri: String,
}

impl LambdaFunction {
    /// Creates a client of the function with this name or ARN.
    pub fn new(api: LambdaApi, name: String) -> Self {
        // A colon of an ARN must be encoded, too.
        let encoded: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
        let uri = format!("{}/2015-03-31/functions/{encoded}/invocations", api.endpoint);
        Self(Arc::new(Target { api, name, uri }))
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
        let target = self.0.clone();
        let request = target.request(payload, trace.and_then(Trace::xray_header), SystemTime::now());
        Box::pin(async move {
            let request = request.map_err(|error| Status::internal(target.failed(error)))?;
            let response = target.api.http.call(request).await;
            let response = response.map_err(|_| Status::unavailable(target.failed("no answer")))?;
            target.payload_of(response).await
        })
    }
}

impl Target {
    /// Creates a signed request.
    fn request(&self, payload: Vec<u8>, xray: Option<&str>, at: SystemTime) -> Result<HttpRequest, BoxError> {
        let settings = v4::SigningParams::builder()
            .identity(&self.api.identity)
            .region(&self.api.region)
            .name(SERVICE)
            .time(at)
            .settings(SigningSettings::default())
            .build()?
            .into();
        let body = SignableBody::Bytes(&payload);
        let signable = SignableRequest::new("POST", &self.uri, SIGNED.into_iter(), body)?;
        let (signature, _) = sign(signable, &settings)?.into_parts();
        let mut request = HttpRequest::new(SdkBody::from(payload));
        request.set_method("POST")?;
        request.set_uri(self.uri.as_str())?;
        let headers = request.headers_mut();
        for (name, value) in SIGNED {
            headers.insert(name, value);
        }
        for (name, value) in signature.headers() {
            headers.try_insert(name.to_owned(), value.to_owned())?;
        }
        // Unsigned, as proxies may change it.
        if let Some(xray) = xray {
            headers.try_insert(XRAY_HEADER, xray.to_owned())?;
        }
        Ok(request)
    }

    /// Reads the payload of an answer.
    async fn payload_of(&self, mut response: HttpResponse) -> Result<Vec<u8>, Status> {
        // Also if it is not used: a connection with an unread answer could not be used again.
        let body = Limited::new(response.take_body(), MAX_PAYLOAD).collect().await;
        let status = response.status();
        if !status.is_success() {
            let name = repeated(&response, ERROR_TYPE);
            let id = repeated(&response, AWS_REQUEST_ID);
            let failed = self.failed(format_args!("{status} {name}, request {id}"));
            // The HTTP status decides, since Lambda has a dozen names for temporary errors: throttled, out of
            // capacity, not ready.
            return Err(match status.as_u16() {
                409 | 429 | 500.. => Status::unavailable(failed),
                413 => Status::resource_exhausted(failed),
                _ => Status::internal(failed),
            });
        }
        // Lambda answers 200 even if the function failed.
        if response.headers().contains_key(FUNCTION_ERROR) {
            let error = repeated(&response, FUNCTION_ERROR);
            return Err(Status::unavailable(format!("the function {} failed: {error}", self.name)));
        }
        let body =
            body.map_err(|_| Status::unavailable(self.failed("the answer broke off, or is too long")))?;
        Ok(body.to_bytes().into())
    }

    fn failed(&self, reason: impl std::fmt::Display) -> String {
        format!("the function {} cannot be called: {reason}", self.name)
    }
}

/// Name or ID in a header of an answer. Some names are followed by a colon and a URL.
fn repeated<'a>(response: &'a HttpResponse, header: &str) -> &'a str {
    let value = response.headers().get(header).unwrap_or_default();
    let name = value.split(':').next().unwrap_or_default();
    let is_name =
        |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    match name {
        "" => "none",
        name if name.len() <= MAX_REPEATED && is_name(name) => name,
        _ => "unreadable",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::runtime::aws::Aws;
    use crate::runtime::config::Variables;

    /// Signature of a call of this function, at 2026-11-30 00:00:00 UTC.
    fn signed(function: &str, variables: &'static [(&str, &str)]) -> (String, String) {
        const COMMON: [(&str, &str); 3] = [
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        ];
        let value = |name: &str| {
            let all = variables.iter().chain(&COMMON);
            all.clone().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let aws = Aws::read(&mut Variables::from_fn(value)).unwrap();
        let function = LambdaFunction::new(aws.lambda(), function.to_owned());
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_996_800);
        let request = function.0.request(b"{}".to_vec(), None, at).unwrap();
        let authorization = request.headers().get("authorization").unwrap();
        let (_, signature) = authorization.split_once("Signature=").unwrap();
        (request.uri().to_owned(), signature.to_owned())
    }

    /// The signatures are those of botocore, another implementation of AWS's.
    #[test]
    fn calls_are_signed_as_aws_asks_for() {
        const TOKEN: &[(&str, &str)] = &[("AWS_SESSION_TOKEN", "IQoJb3JpZ2luX2VjE==")];
        const ENDPOINT: &[(&str, &str)] = &[("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:9001/lambda/")];
        let arn = "arn:aws:lambda:eu-central-1:123456789012:function:shop-orders:live";
        let aws = "https://lambda.eu-central-1.amazonaws.com/2015-03-31/functions";
        for (function, variables, uri, signature) in [
            (
                "shop-orders",
                &[][..],
                format!("{aws}/shop-orders/invocations"),
                "556b4dc1b712f604d9e7538965c406bb51c70695fba698fe3aed3b89f94eb49a",
            ),
            (
                arn,
                TOKEN,
                format!("{aws}/{}/invocations", arn.replace(':', "%3A")),
                "ed3f908bc8b6ec0cc31c5ab90a4f2c612acc34c86b8f405cd655f971a13abf75",
            ),
            (
                "orders:$LATEST",
                TOKEN,
                format!("{aws}/orders%3A%24LATEST/invocations"),
                "23212f028ef614200f57065b66b040d2697224b36890879c17551b66bed9b8cb",
            ),
            (
                "orders",
                ENDPOINT,
                "http://127.0.0.1:9001/lambda/2015-03-31/functions/orders/invocations".to_owned(),
                "55f27e3b6e71d98a786f4dfbcf04a160acdefee61647a733514cc78c32b8c75c",
            ),
        ] {
            assert_eq!(signed(function, variables), (uri, signature.to_owned()));
        }
    }
}
