//! Calls to functions through Lambda's Invoke API.
//!
//! A call is one POST, signed with the credentials of the function's role. The SDK's client would go through dozens of
//! steps for it: endpoint rules, identity caches, interceptors and retries, of which none is used here.
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
use aws_smithy_types::byte_stream::ByteStream;
use futures::future::BoxFuture;
use tonic::Status;

use super::channel::Invoke;
use crate::runtime::aws::LambdaApi;
use crate::runtime::trace::Trace;

/// Header by which X-Ray adds the invocation to the same trace.
const XRAY_HEADER: &str = "x-amzn-trace-id";

/// Header of an answer whose function has failed.
const FUNCTION_ERROR: &str = "x-amz-function-error";

/// Header with the name of an error of the API itself.
const ERROR_TYPE: &str = "x-amzn-errortype";

/// Service of a signature.
const SERVICE: &str = "lambda";

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
        let signed = sign(SignableRequest::new("POST", &self.uri, std::iter::empty(), body)?, &settings)?;
        let (signature, _) = signed.into_parts();
        let mut request = HttpRequest::new(SdkBody::from(payload));
        request.set_method("POST")?;
        request.set_uri(self.uri.as_str())?;
        let headers = request.headers_mut();
        for (name, value) in signature.headers() {
            headers.try_insert(name.to_owned(), value.to_owned())?;
        }
        headers.insert("content-type", "application/octet-stream");
        // Unsigned, as proxies may change it.
        if let Some(xray) = xray {
            headers.try_insert(XRAY_HEADER, xray.to_owned())?;
        }
        Ok(request)
    }

    /// Reads the payload of an answer.
    async fn payload_of(&self, response: HttpResponse) -> Result<Vec<u8>, Status> {
        let status = response.status();
        if !status.is_success() {
            let name = response.headers().get(ERROR_TYPE).unwrap_or("error without a name");
            // Some names are followed by a colon and a URL.
            let name = name.split_once(':').map_or(name, |(name, _)| name);
            // The HTTP status decides, since Lambda has a dozen names for temporary errors: throttled, out of
            // capacity, not ready.
            return Err(match status.as_u16() {
                409 | 429 | 500.. => Status::unavailable(format!("{} now: {name}", self.failed(status))),
                413 => Status::resource_exhausted(self.failed(name)),
                _ => Status::internal(self.failed(name)),
            });
        }
        // Lambda answers 200 even if the function failed.
        if let Some(error) = response.headers().get(FUNCTION_ERROR) {
            return Err(Status::unavailable(format!("the function {} failed: {error}", self.name)));
        }
        let body = ByteStream::new(response.into_body()).collect().await;
        let body = body.map_err(|_| Status::unavailable(self.failed("the answer broke off")))?;
        Ok(body.to_vec())
    }

    fn failed(&self, reason: impl std::fmt::Display) -> String {
        format!("the function {} cannot be called: {reason}", self.name)
    }
}
