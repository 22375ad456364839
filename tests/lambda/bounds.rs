//! Where Lambda and API Gateway answer instead of a function: the small Lambda says it as they do.

use std::time::Duration;

use http::{Method, StatusCode};
use mongod::{Data, Mongod};
use serde_json::{Value, json};
use shared::auth::Signer;
use shared::values::clock::Clock;
use tests::JWT_SECRET;
use tests::lambda::function::Settings;
use tests::lambda::{Fault, Lambda, MAX_REQUEST, MAX_RESPONSE, Options, programs};
use tests::on_lambda::OnLambda;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Answer of the Invoke API.
struct Invocation {
    status: StatusCode,
    error_type: String,
    function_error: String,
    body: Value,
}

async fn invoke_as(lambda: &Lambda, function: &str, kind: &str, payload: String) -> Invocation {
    let url = format!("{}/2015-03-31/functions/{function}/invocations", lambda.endpoint);
    let request = reqwest::Client::new().post(url).header("x-amz-invocation-type", kind).body(payload);
    let answer = request.send().await.unwrap();
    let header = |name: &str| {
        let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let (error_type, function_error) = (header("x-amzn-errortype"), header("x-amz-function-error"));
    let status = answer.status();
    let body = serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default();
    Invocation { status, error_type, function_error, body }
}

async fn invoke(lambda: &Lambda, function: &str, payload: String) -> Invocation {
    invoke_as(lambda, function, "RequestResponse", payload).await
}

/// The event of a GET.
pub(crate) fn get(path: &str) -> String {
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": { "host": "api.example.com" },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api",
            "domainName": "api.example.com",
            "http": { "method": "GET", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1" },
            "requestId": "from-the-gateway",
            "routeKey": "$default",
            "stage": "$default",
            "timeEpoch": 1_795_375_353_007_i64,
        },
        "isBase64Encoded": false,
    })
    .to_string()
}

/// The docs function alone, which depends on nothing.
pub(crate) async fn docs(differ: impl FnOnce(Settings) -> Settings) -> Lambda {
    let program = tokio::task::spawn_blocking(|| programs::of_workspace("docs")).await.unwrap();
    let docs = Settings::new("docs", program);
    Lambda::start(vec![differ(docs)], Options::default()).await.unwrap()
}

#[tokio::test]
async fn a_payload_over_six_megabytes_is_refused_and_of_six_taken() {
    let lambda = docs(|docs| docs).await;
    let event = get("/health");
    let padded = |length: usize| event.clone() + &" ".repeat(length - event.len());
    let answer = invoke(&lambda, "docs", padded(MAX_REQUEST)).await;
    assert_eq!((answer.status.as_u16(), answer.body["statusCode"].as_u64()), (200, Some(200)));
    let answer = invoke(&lambda, "docs", padded(MAX_REQUEST + 1)).await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.error_type, "RequestEntityTooLargeException");
}

#[tokio::test]
async fn an_answer_over_six_megabytes_fails_and_the_process_goes_on() {
    let program = tokio::task::spawn_blocking(|| programs::of_workspace("hello")).await.unwrap();
    let hello = Settings::new("hello", program);
    let lambda = Lambda::start(vec![hello], Options::default()).await.unwrap();
    // A number that is longer when it is written again.
    let event = |numbers: usize| format!("[{}]", vec!["1e5"; numbers].join(","));
    let answer = invoke(&lambda, "hello", event(600_000)).await;
    assert_eq!((answer.status.as_u16(), answer.function_error.as_str()), (200, ""));
    let pid = lambda.environments("hello")[0].pid();
    let answer = invoke(&lambda, "hello", event(700_000)).await;
    assert_eq!((answer.status.as_u16(), answer.function_error.as_str()), (200, "Unhandled"));
    assert_eq!(answer.body["errorType"], "Function.ResponseSizeTooLarge");
    assert_eq!(
        answer.body["errorMessage"],
        format!(
            "Response payload size (6300001 bytes) exceeded maximum allowed payload size ({MAX_RESPONSE} bytes)."
        )
    );
    assert_eq!(invoke(&lambda, "hello", event(1)).await.body, json!([1e5]));
    assert_eq!(lambda.environments("hello")[0].pid(), pid);
}

#[tokio::test]
async fn a_path_reaches_a_function_as_the_client_has_sent_it() {
    let shop = OnLambda::open().await;
    let host = shop.base.trim_start_matches("http://").to_owned();
    for path in
        ["/products/../products", "/products/./", "/products/%2e%2e/products", "/products/x/../../products"]
    {
        let host = host.clone();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
        assert!(answer.contains(&format!("\"instance\":\"{path}\"")), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_request_too_large_for_lambda_or_api_gateway_is_a_413() {
    let lambda = docs(|docs| docs).await;
    for megabytes in [7, 11] {
        let body = "x".repeat(megabytes * 1024 * 1024);
        let request = reqwest::Client::new().post(format!("{}/", lambda.url));
        let answer = request.header("content-type", "text/plain").body(body).send().await.unwrap();
        assert_eq!(answer.status(), 413, "{megabytes}");
    }
    let padding = "x".repeat(10_300);
    let request = reqwest::Client::new().get(format!("{}/health", lambda.url)).header("padding", padding);
    assert_eq!(request.send().await.unwrap().status(), 431);
}

#[tokio::test]
async fn unknown_functions_and_failures_are_reported_as_by_lambda() {
    let lambda = docs(|docs| docs).await;
    let answer = invoke(&lambda, "nobody", get("/")).await;
    assert_eq!((answer.status.as_u16(), answer.error_type.as_str()), (404, "ResourceNotFoundException"));

    // Neither a request nor a call: the handler fails, and its process goes on.
    let answer = invoke(&lambda, "docs", "{}".to_owned()).await;
    assert_eq!((answer.status.as_u16(), answer.function_error.as_str()), (200, "Unhandled"));
    let message = answer.body["errorMessage"].as_str().unwrap();
    assert!(message.contains("neither an API Gateway event"), "{message}");
    assert!(answer.body["errorType"].is_string());
    let pid = lambda.environments("docs")[0].pid();

    let killed = lambda.on_any("docs").once(Fault::KillAfter);
    let answer = invoke(&lambda, "docs", get("/health")).await;
    assert_eq!(answer.function_error, "Unhandled");
    assert_eq!(answer.body["errorType"], "Runtime.ExitError");
    let message = answer.body["errorMessage"].as_str().unwrap();
    assert!(message.ends_with("Error: Runtime exited with error: signal: killed"), "{message}");
    assert_eq!(killed.struck(), 1);
    assert_eq!(lambda.environments("docs").len(), 0);
    assert_eq!(invoke(&lambda, "docs", get("/health")).await.body["statusCode"], 200);
    assert_ne!(lambda.environments("docs")[0].pid(), pid);
}

#[tokio::test]
async fn a_function_that_times_out_ends_and_the_next_process_is_new() {
    let lambda = docs(|docs| docs.timeout(Duration::from_millis(1500))).await;
    lambda.on_any("docs").once(Fault::Hang);
    let answer = invoke(&lambda, "docs", get("/health")).await;
    assert_eq!(answer.function_error, "Unhandled");
    assert_eq!(answer.body["errorType"], "Sandbox.Timedout");
    let message = answer.body["errorMessage"].as_str().unwrap();
    assert!(message.ends_with("Task timed out after 1.50 seconds"), "{message}");
    assert_eq!(invoke(&lambda, "docs", get("/health")).await.body["statusCode"], 200);

    lambda.on_any("docs").once(Fault::Hang);
    let answer = reqwest::get(format!("{}/health", lambda.url)).await.unwrap();
    assert_eq!(answer.status(), 500);
    assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "message": "Internal Server Error" }));
}

#[tokio::test]
async fn invocations_have_a_process_each_and_beyond_the_limit_a_429() {
    let lambda = docs(|docs| docs.concurrency(2).timeout(Duration::from_millis(1500))).await;
    let mut hung = lambda.on_any("docs").times(2, Fault::Hang);
    let url = format!("{}/health", lambda.url);
    let third = async {
        hung.has_struck(2).await;
        // Both are on their way to a process now: there is none left, whether those have started or not.
        while lambda.environments("docs").len() < 2 {
            tokio::task::yield_now().await;
        }
        let refused = invoke(&lambda, "docs", get("/health")).await;
        (refused, reqwest::get(&url).await.unwrap())
    };
    let one = invoke(&lambda, "docs", get("/health"));
    let other = invoke(&lambda, "docs", get("/health"));
    let (_, _, (refused, at_gateway)) = tokio::join!(one, other, third);
    assert_eq!((refused.status.as_u16(), refused.error_type.as_str()), (429, "TooManyRequestsException"));
    assert_eq!(at_gateway.status(), 503);
    assert_eq!(at_gateway.json::<Value>().await.unwrap(), json!({ "message": "Service Unavailable" }));
    assert_eq!(invoke(&lambda, "docs", get("/health")).await.body["statusCode"], 200);
}

#[tokio::test]
async fn an_event_is_accepted_at_once_and_done() {
    let lambda = docs(|docs| docs).await;
    let calls = lambda.on_any("docs").hold();
    let answer = invoke_as(&lambda, "docs", "Event", get("/health")).await;
    assert_eq!((answer.status.as_u16(), &answer.body), (202, &Value::Null));
    assert_eq!(lambda.environments("docs").len(), 0, "not done yet");
    calls.next().await.deliver().await;
    assert_eq!(lambda.environments("docs").len(), 1, "done");
    assert_eq!(invoke_as(&lambda, "docs", "Whenever", get("/health")).await.status, 400);
}

#[tokio::test]
async fn a_process_ends_with_its_lambda_frozen_or_not() {
    for frozen in [false, true] {
        let lambda = docs(|docs| docs).await;
        invoke(&lambda, "docs", get("/health")).await;
        let environment = lambda.environments("docs").remove(0);
        if frozen {
            environment.freeze().await;
        }
        let pid = rustix::process::Pid::from_raw(environment.pid()).unwrap();
        assert!(rustix::process::test_kill_process(pid).is_ok());
        drop((environment, lambda));
        let gone = async {
            while rustix::process::test_kill_process(pid).is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), gone).await.expect("it has ended");
    }
}

#[tokio::test]
async fn without_its_database_a_process_answers_503_and_recovers() {
    let port = tests::port::free();
    let away = format!("mongodb://127.0.0.1:{port}/away?directConnection=true&serverSelectionTimeoutMS=200");
    let functions = tokio::task::spawn_blocking(move || Lambda::functions(&away, JWT_SECRET)).await.unwrap();
    let lambda = Lambda::start(functions, Options::default()).await.unwrap();
    let products = format!("{}/products", lambda.url);
    let answer = reqwest::get(&products).await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "1");
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let pid = lambda.environments("products")[0].pid();

    let binary = tokio::task::spawn_blocking(|| mongod::find_or_fetch(&|_| {})).await.unwrap().unwrap();
    let options = mongod::Options { port: Some(port), ..mongod::Options::new(binary, Data::Ephemeral) };
    let mongod = Mongod::start(options).await.unwrap();
    let database = shared::mongo::connect(&mongod.uri().replacen("/?", "/away?", 1), "tests").await.unwrap();
    local::backend::ensure_schema(&database).await.unwrap();
    let answer = reqwest::get(&products).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(lambda.environments("products")[0].pid(), pid, "the process has not ended meanwhile");
    let said = lambda.log().lines().join("\n");
    assert!(said.contains("the function is not ready"), "{said}");
    mongod.stop().await;
}

#[tokio::test]
async fn an_event_has_what_the_client_sent() {
    let shop = OnLambda::open().await;
    // A token in a header, a body in base64 since no media type says that it is text, and a query.
    let signer = Signer::from_secret(JWT_SECRET).unwrap();
    let user = shop.admin().id.parse().unwrap();
    let token = signer.access_token(user, shared::auth::Role::Admin, Clock::system().now()).unwrap();
    let admin = shop.anyone().with_token(token);
    let list = admin.get("/users?role=admin&limit=1").await.expect(200);
    assert_eq!(list.data().len(), 1);
    let body = json!({ "sku": "A-1", "name": "Ärmel", "price": { "amount": 1, "currency": "EUR" } });
    let request = admin.request(Method::POST, "/products").body(body.to_string());
    admin.answer(request).await.problem(415, "unsupported-media-type");
    let request = admin.request(Method::POST, "/products").header("content-type", "application/json");
    let made = admin.answer(request.body(body.to_string())).await.expect(201);
    assert_eq!(made["name"], "Ärmel");
    let request = admin.request(Method::GET, "/products").header("x-request-id", "mine");
    assert_eq!(admin.answer(request).await.header("x-request-id"), Some("mine"));
}
