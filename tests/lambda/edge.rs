//! The edge on Lambda: the base path that API Gateway leaves in events, and CloudFront in front of it.

use std::sync::Arc;

use http::Method;
use local::gateway::Function;
use serde_json::{Value, json};
use shared::http::base_path::BasePath;
use shared::runtime::lambda::Host;
use shared::runtime::run::ServiceApp;
use shared::values::clock::Clock;
use uuid::Uuid;

use crate::cloud::SecretsManager;
use crate::lambda::{Lambda, TIMEOUT, deliver};

const SECRET: &str = "secret-of-the-edge-on-lambda-0123456789abcdef";

const NEXT: &str = "next-secret-of-the-edge-on-lambda-0123456789";

/// Request as API Gateway sees it.
struct Sent<'a> {
    method: &'a Method,
    path: &'a str,
    /// Headers beside those of every request.
    headers: &'a [(&'a str, &'a str)],
}

impl Sent<'_> {
    /// Event of the request. All come from one address, as from one server of CloudFront.
    fn event(&self) -> Value {
        let Self { method, path, headers } = self;
        let mut event = json!({
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": "",
            "headers": { "content-type": "application/json", "host": "api.example.com" },
            "requestContext": {
                "accountId": "123456789012",
                "apiId": "api",
                "domainName": "api.example.com",
                "http": { "method": method.as_str(), "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1" },
                "requestId": "from-the-gateway",
                "routeKey": "$default",
                "stage": "v1",
                "timeEpoch": 1_795_375_353_007_i64,
            },
            "body": "{}",
            "isBase64Encoded": false,
        });
        for (name, value) in *headers {
            event["headers"][name] = json!(value);
        }
        event
    }

    /// Status and body of the answer.
    async fn to(&self, host: &Host) -> (u64, Value) {
        let answer = deliver(host, self.event().to_string(), TIMEOUT).await;
        let body = answer["body"].as_str().and_then(|body| serde_json::from_str(body).ok());
        (answer["statusCode"].as_u64().unwrap(), body.unwrap_or_default())
    }
}

/// Functions on one Lambda, built from their environment.
struct Site {
    lambda: Lambda,
    mongo_uri: String,
}

impl Site {
    async fn open() -> Self {
        let uri = mongod::shared_for_tests().await.unwrap();
        let mongo_uri = uri.replacen("/?", &format!("/test_{}?", Uuid::new_v4().simple()), 1);
        let database = shared::mongo::connect(&mongo_uri, "tests").await.unwrap();
        local::backend::ensure_schema(&database).await.unwrap();
        Self { lambda: Lambda::start().await, mongo_uri }
    }

    async fn starts(&self, function: Function, more: &[(&str, &str)]) -> Arc<Host> {
        let own = [
            ("MONGO_URI", self.mongo_uri.as_str()),
            ("JWT_SECRET", tests::JWT_SECRET),
            ("CONSOLE_SECRET", tests::CONSOLE_SECRET),
        ];
        let variables = self.lambda.variables(&[&own, more].concat());
        let clock = Clock::system;
        let host = match function {
            Function::Orders => {
                let it = orders::environment::Environment::read(variables, clock()).unwrap();
                Host::new(move || it.clone().build(), clock())
            }
            Function::Products => {
                let it = products::environment::Environment::read(variables, clock()).unwrap();
                Host::new(move || it.clone().build(), clock())
            }
            Function::Users => {
                let it = users::environment::Environment::read(variables, clock()).unwrap();
                Host::new(move || it.clone().build(), clock())
            }
            Function::Console => {
                let it = console::environment::Environment::read(variables, clock()).unwrap();
                Host::new(move || it.clone().build(), clock())
            }
            Function::Docs => return self.lambda.starts("docs", docs(&self.lambda, more)).await,
        };
        self.lambda.starts(function.name(), host).await
    }
}

/// The docs function, which needs nothing but its variables.
fn docs(lambda: &Lambda, more: &[(&str, &str)]) -> Host {
    let edge = docs::environment::read(lambda.variables(more)).unwrap();
    let router = docs::app(Clock::system()).router;
    let build = move || {
        let (edge, router) = (edge.clone(), router.clone());
        async move {
            edge.open().await?;
            Ok(ServiceApp::new(edge.around(router)))
        }
    };
    Host::new(build, Clock::system()).with_base_path(BasePath::parse("/v1").unwrap())
}

#[tokio::test]
async fn a_stage_in_the_path_is_taken_off_by_every_function() {
    let site = Site::open().await;
    for function in Function::ALL {
        let host = site.starts(function, &[("BASE_PATH", "/v1")]).await;
        for spec in function.specs() {
            let path = spec.path_of("x");
            let outer = format!("/v1{path}");
            let ask = async |path: &str| Sent { method: &spec.method, path, headers: &[] }.to(&host).await;
            let is_unrouted = |body: &Value| body["detail"].as_str().unwrap_or("").starts_with("No route at");
            let (status, body) = ask(&outer).await;
            assert!(status < 500 && !is_unrouted(&body), "{outer}: {status} {body}");
            if status >= 400 {
                assert_eq!(body["instance"], outer);
            }
            let (status, body) = ask(&path).await;
            assert!(status == 404 && is_unrouted(&body), "{path}: {status} {body}");
            assert_eq!((&body["instance"], &body["type"]), (&json!(path), &json!("/v1/problems/not-found")));
        }
    }
}

fn sign_in<'a>(headers: &'a [(&'a str, &'a str)]) -> Sent<'a> {
    Sent { method: &Method::POST, path: "/auth", headers }
}

#[tokio::test]
async fn behind_cloudfront_requests_are_counted_by_the_viewers_address() {
    let site = Site::open().await;
    let users =
        site.starts(Function::Users, &[("EDGE_SECRET", SECRET), ("RATE_LIMIT_PER_ADDRESS", "3")]).await;
    let status = async |secret: &str, viewer: &str| {
        let headers = [("x-origin-verify", secret), ("cloudfront-viewer-address", viewer)];
        sign_in(&headers).to(&users).await.0
    };
    // Without the secret a client can neither come in nor use up the requests of others.
    for _ in 0..5 {
        assert_eq!(status("wrong", "198.51.100.7:1").await, 403);
        assert_eq!(sign_in(&[("cloudfront-viewer-address", "198.51.100.7:1")]).to(&users).await.0, 403);
    }
    for viewer in ["198.51.100.7", "198.51.100.8", "2001:db8:1:2::1"] {
        for (port, expected) in [(1, 422), (2, 422), (3, 422), (4, 429)] {
            assert_eq!(status(SECRET, &format!("{viewer}:{port}")).await, expected, "{viewer}");
        }
    }
    assert_eq!(status(SECRET, "2001:db8:1:2:ffff::1:1").await, 429, "the same network");
    assert_eq!(status(SECRET, "2001:db8:1:3::1:1").await, 422);
}

#[tokio::test]
async fn without_a_secret_the_viewers_address_is_not_believed() {
    let site = Site::open().await;
    let users = site.starts(Function::Users, &[("RATE_LIMIT_PER_ADDRESS", "3")]).await;
    for (number, expected) in [(1, 422), (2, 422), (3, 422), (4, 429)] {
        let viewer = format!("198.51.100.{number}:1");
        assert_eq!(sign_in(&[("cloudfront-viewer-address", &viewer)]).to(&users).await.0, expected);
    }
}

#[tokio::test]
async fn calls_of_functions_do_not_come_through_the_edge() {
    let site = Site::open().await;
    let edge = [("EDGE_SECRET", SECRET), ("BASE_PATH", "/v1")];
    site.starts(Function::Users, &edge).await;
    let products = site.starts(Function::Products, &edge).await;
    let call = json!({ "grpc": {
        "path": "/oms.products.v1.ProductService/ListProducts", "headers": [], "body": "AAAAAAA=",
    }});
    let answer = deliver(&products, call.to_string(), TIMEOUT).await;
    let ok = json!(["grpc-status", "0"]);
    let has = |part: &str| answer["grpc"][part].as_array().is_some_and(|pairs| pairs.contains(&ok));
    assert!(has("trailers") || has("headers"), "{answer}");
    // A token is checked with the keys that products fetches from users.
    let signer = shared::auth::Signer::from_secret(tests::JWT_SECRET).unwrap();
    let now = Clock::system().now();
    let token =
        signer.access_token(shared::values::ids::UserId::new(), shared::auth::Role::Staff, now).unwrap();
    let authorization = format!("Bearer {token}");
    let headers = [
        ("x-origin-verify", SECRET),
        ("cloudfront-viewer-address", "198.51.100.7:1"),
        ("authorization", authorization.as_str()),
    ];
    let sent = Sent { method: &Method::GET, path: "/v1/products", headers: &headers };
    let (status, body) = sent.to(&products).await;
    assert_eq!(status, 200, "{body}");
}

#[tokio::test]
async fn a_function_without_its_secret_is_a_503_below_the_base_path() {
    let lambda = Lambda::start().await;
    let away = format!("http://127.0.0.1:{}", tests::port::free());
    let more = [
        ("BASE_PATH", "/v1"),
        ("EDGE_SECRET_ARN", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:edge"),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", away.as_str()),
    ];
    let host = docs(&lambda, &more);
    let (status, body) = Sent { method: &Method::GET, path: "/v1/health", headers: &[] }.to(&host).await;
    assert_eq!((status, &body["type"]), (503, &json!("/v1/problems/unavailable")), "{body}");
    assert_eq!(body["instance"], "/v1/health");
}

#[tokio::test]
#[ignore = "needs moto, which takes a minute to install: .ci/run"]
async fn a_stored_edge_secret_is_rotated_while_requests_come() {
    let (cloud, lambda) = (SecretsManager::start().await, Lambda::start().await);
    let arn = cloud.keeps(SECRET).await;
    let more = [("EDGE_SECRET_ARN", arn.as_str()), ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &cloud.endpoint)];
    let host = docs(&lambda, &more);
    let status = async |secret: &str| {
        let headers = [("x-origin-verify", secret), ("cloudfront-viewer-address", "198.51.100.7:1")];
        Sent { method: &Method::GET, path: "/health", headers: &headers }.to(&host).await.0
    };
    assert_eq!(status(SECRET).await, 200);
    cloud.rotates(&arn, NEXT).await;
    assert_eq!(status(SECRET).await, 200);
    // An environment that starts after the rotation knows both.
    let later = docs(&lambda, &more);
    for (secret, expected) in [(NEXT, 200), (SECRET, 200), ("wrong", 403)] {
        let headers = [("x-origin-verify", secret), ("cloudfront-viewer-address", "198.51.100.7:1")];
        let sent = Sent { method: &Method::GET, path: "/health", headers: &headers };
        assert_eq!(sent.to(&later).await.0, expected);
    }
}
