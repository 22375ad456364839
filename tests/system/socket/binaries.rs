//! Binaries as ordinary services, built as the README says.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what fails in a test fails the test")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;
use shared::runtime::listener::Limits;
use tests::in_process::InProcess;
use tests::person::PASSWORD;
use tests::shop::order_of;
use tests::{CALLERS_SECRET, CONSOLE_SECRET, JWT_SECRET};

/// All variables that a function reads.
const VARIABLES: [&str; 38] = [
    "ALLOWED_HOSTS",
    "AWS_LAMBDA_RUNTIME_API",
    "CALLERS_SECRET",
    "CALLERS_SECRET_ARN",
    "CALLERS_SECRET_FILE",
    "CALLERS_SECRET_PREVIOUS",
    "CALLERS_SECRET_PREVIOUS_ARN",
    "CALLERS_SECRET_PREVIOUS_FILE",
    "CONSOLE_ORIGIN",
    "CONSOLE_SECRET",
    "CONSOLE_SECRET_ARN",
    "CONSOLE_SECRET_FILE",
    "CONSOLE_SECRET_PREVIOUS",
    "CONSOLE_SECRET_PREVIOUS_ARN",
    "CONSOLE_SECRET_PREVIOUS_FILE",
    "DRAIN_DELAY",
    "GRPC_REFLECTION",
    "JWT_SECRET",
    "JWT_SECRET_ARN",
    "JWT_SECRET_FILE",
    "LISTEN_ADDRESS",
    "LOG_FORMAT",
    "MAX_CONNECTIONS",
    "MAX_CONNECTIONS_PER_ADDRESS",
    "MAX_OPEN_ORDERS",
    "METRICS_PORT",
    "MONGO_URI",
    "MONGO_URI_ARN",
    "MONGO_URI_FILE",
    "ORDER_PAYMENT_WINDOW",
    "ORDER_RATE_PER_CUSTOMER",
    "ORDER_SERVICE_URL",
    "PORT",
    "PRODUCT_SERVICE_URL",
    "RETURN_WINDOW",
    "TRUSTED_PROXIES",
    "TRUST_CALLERS",
    "USER_SERVICE_URL",
];

/// The folder of the binaries, built without what only Lambda needs.
fn binaries() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("services");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--no-default-features"])
            .args(["--features", "orders/socket,products/socket,users/socket,docs/socket,console/socket"])
            .args(["--package", "orders", "--package", "products", "--package", "users", "--package", "docs"])
            .args(["--package", "console"])
            .arg("--target-dir")
            .arg(&target)
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .status();
        assert!(built.unwrap().success());
        target.join("debug")
    })
}

fn binary(name: &str, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(binaries().join(name));
    for name in VARIABLES {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied()).stdin(Stdio::null());
    command
}

/// A binary that has said where it listens.
struct Service {
    child: Child,
    said: String,
    address: String,
}

impl Service {
    fn start(name: &str, variables: &[(&str, &str)]) -> Self {
        let mut child = binary(name, variables).env("PORT", "0").stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let start = format!("{name} is listening on http://");
        let address = said.strip_prefix(&start).and_then(|said| said.split(',').next()).map(str::to_owned);
        let address = address.unwrap_or_else(|| panic!("{name} is not ready: {said:?}"));
        Self { child, said, address }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn is_told_to_end(&self) -> bool {
        Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success()
    }

    /// True if it ends well on request.
    fn ends(mut self) -> bool {
        self.is_told_to_end() && self.child.wait().unwrap().success()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A service for 20 connections serves the next one beside 100 silent ones, and ends at a second signal at once.
async fn makes_room_and_ends(shop: &InProcess, mut service: Service) {
    let connect = || TcpStream::connect(&service.address).unwrap();
    let silent: Vec<TcpStream> = (0..100).map(|_| connect()).collect();
    let anyone = shop.anyone().at(&service.url());
    let keys = |host| anyone.request(Method::GET, "/.well-known/jwks.json").header("host", host);
    for host in ["localhost", "shop.example:8080"] {
        anyone.answer(keys(host)).await.expect(200);
    }
    anyone.answer(keys("evil.example")).await.problem(421, "misdirected-request");
    drop(silent);

    // One signal would wait for this body, which the service has asked for.
    let mut unfinished = connect();
    let head = "POST /auth HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\nexpect: \
                100-continue\r\n\r\n";
    unfinished.write_all(head.as_bytes()).unwrap();
    let mut asked = String::new();
    BufReader::new(&unfinished).read_line(&mut asked).unwrap();
    assert!(asked.contains(" 100 "), "{asked}");
    let begin = Instant::now();
    while service.child.try_wait().unwrap().is_none() {
        assert!(begin.elapsed() < Limits::DEFAULT.drain, "it waits for the request");
        service.is_told_to_end();
        // Two signals at the same moment are one.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(service.child.wait().unwrap().code(), Some(1));
}

/// Output of a binary that does not start.
fn refusal(name: &str, variables: &[(&str, &str)]) -> String {
    let Output { status, stderr, .. } = binary(name, variables).output().unwrap();
    assert_eq!(status.code(), Some(1));
    String::from_utf8(stderr).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "builds the functions once more, which takes minutes: .ci/run runs it"]
async fn the_three_binaries_run_as_ordinary_services() {
    let shop = InProcess::open().await;
    let uri = mongod::shared_for_tests().await.unwrap().replace("/?", &format!("/{}?", shop.database.name()));
    let uri = ("MONGO_URI", uri.as_str());
    // The secret is being exchanged: products still sign with the former one.
    const FORMER: &str = "a former secret of callers in tests, 32 bytes or more";
    let reflection = ("GRPC_REFLECTION", "1");
    let secrets = [("CALLERS_SECRET", CALLERS_SECRET), ("CALLERS_SECRET_PREVIOUS", FORMER)];
    let former = [("CALLERS_SECRET", FORMER), ("CALLERS_SECRET_PREVIOUS", CALLERS_SECRET)];
    let own = [("JWT_SECRET", JWT_SECRET), ("RATE_LIMIT_PER_ADDRESS", "0")];
    let users = Service::start("users", &[&[uri, reflection][..], &secrets, &own].concat());
    let users_url = users.url();
    let products = [&[uri, reflection, ("USER_SERVICE_URL", users_url.as_str())][..], &former].concat();
    let products = Service::start("products", &products);
    // A bare host and port, as in the system before.
    let urls = [("PRODUCT_SERVICE_URL", products.address.as_str()), ("USER_SERVICE_URL", &users_url)];
    let orders = Service::start("orders", &[&[uri, reflection][..], &secrets, &urls].concat());
    for service in [&orders, &products, &users] {
        assert!(service.address.starts_with("127.0.0.1:"), "{}", service.said);
    }
    crate::socket::client::calls_every_method(&shop, &orders.address, &products.address, &users.address)
        .await;

    let admin = shop.admin();
    let mug = json!({ "sku": "MUG", "name": "Mug", "price": { "amount": 5, "currency": "EUR" }, "stock": 3 });
    let mug = admin.at(&products.url()).post("/products", mug).await.expect(201).id();
    admin.at(&orders.url()).post("/orders", order_of(&mug, 2)).await.expect(201);
    assert_eq!(shop.stock(&mug).await, (3, 2, 1));

    // It says which calls of functions it takes.
    assert!(users.said.contains("must be signed with CALLERS_SECRET"), "{}", users.said);
    let public = [uri, ("JWT_SECRET", JWT_SECRET), ("LISTEN_ADDRESS", "0.0.0.0")];
    let public = Service::start("users", &public);
    assert!(public.address.starts_with("0.0.0.0:"), "{}", public.said);
    assert!(public.said.contains("calls of other functions are refused"), "{}", public.said);
    for service in [orders, products, users, public] {
        assert!(service.ends());
    }

    let few = [uri, ("JWT_SECRET", JWT_SECRET), ("MAX_CONNECTIONS", "20"), ("ALLOWED_HOSTS", "shop.example")];
    makes_room_and_ends(&shop, Service::start("users", &few)).await;

    // What is wrong is told at once, and what this binary was built without.
    let text = refusal("orders", &[("PRODUCT_SERVICE_URL", "lambda:products"), ("PORT", "x")]);
    for problem in [
        "PORT: must be 0 to 65535",
        "MONGO_URI, MONGO_URI_FILE or MONGO_URI_ARN is required",
        "PRODUCT_SERVICE_URL: lambda: needs a binary that was built with the feature `lambda`",
        "USER_SERVICE_URL is required",
    ] {
        assert!(text.contains(problem), "{text}");
    }
    let urls = [("PRODUCT_SERVICE_URL", "127.0.0.1:1"), ("USER_SERVICE_URL", "127.0.0.1:1")];
    let text = refusal("orders", &urls);
    assert!(text.contains("CALLERS_SECRET, CALLERS_SECRET_FILE or CALLERS_SECRET_ARN is required"), "{text}");
    let text = refusal("users", &[("TRUST_CALLERS", "1"), ("CALLERS_SECRET", "hunter2")]);
    assert!(text.contains("TRUST_CALLERS has gone: set CALLERS_SECRET"), "{text}");
    assert!(text.contains("CALLERS_SECRET: must have") && !text.contains("hunter2"), "{text}");
    let text = refusal("orders", &[("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1")]);
    assert!(text.contains("not made for Lambda"), "{text}");
}

/// Reads a path of a service until its answer is as expected.
async fn eventually(url: &str, is_expected: impl Fn(u16, &str) -> bool) -> String {
    let begin = Instant::now();
    loop {
        let answer = reqwest::get(url).await;
        if let Ok(answer) = answer {
            let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap_or_default());
            if is_expected(status, &text) {
                return text;
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "{url}: {status} {text}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Signs staff in at a console, and opens the page of an order.
async fn shows_an_order(console: &str, shop: &InProcess, order: &str) {
    let staff = shop.staff().await;
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let fields = [("email", staff.email.as_str()), ("password", PASSWORD)];
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let sign_in = |origin: &str| {
        let request = client.post(format!("{console}/console/sign-in")).header("origin", origin);
        request.header("content-type", "application/x-www-form-urlencoded").body(body.clone()).send()
    };
    assert_eq!(sign_in("https://evil.example").await.unwrap().status(), 403);
    let answer = sign_in(console).await.unwrap();
    assert_eq!(answer.status(), 303);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let page = client.get(format!("{console}/console/orders/{order}")).header("cookie", cookie);
    let page = page.send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.text().await.unwrap().contains(order));
}

/// Runs a binary as the check of a container's health.
fn is_healthy(name: &str, port: &str) -> bool {
    binary(name, &[("PORT", port)]).arg("health").output().unwrap().status.success()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "builds the functions once more, which takes minutes: .ci/run runs it"]
async fn a_binary_is_all_that_a_container_needs() {
    let shop = InProcess::open().await;
    let uri = mongod::shared_for_tests().await.unwrap().replace("/?", &format!("/{}?", shop.database.name()));
    let folder = std::env::temp_dir().join(format!("oms-secrets-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&folder).unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, format!("{text}\n")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (uri, secret) = (file("uri", &uri), file("callers", CALLERS_SECRET));
    let jwt = file("jwt", JWT_SECRET);
    let common = [("MONGO_URI_FILE", uri.as_str()), ("CALLERS_SECRET_FILE", &secret)];
    let users = Service::start("users", &[&common[..], &[("JWT_SECRET_FILE", jwt.as_str())]].concat());
    let products =
        Service::start("products", &[&common[..], &[("USER_SERVICE_URL", users.address.as_str())]].concat());

    // Reconcile runs by itself, and its runs are counted.
    let metrics = tests::port::free().to_string();
    let own = [
        ("PRODUCT_SERVICE_URL", products.address.as_str()),
        ("USER_SERVICE_URL", &users.address),
        ("METRICS_PORT", &metrics),
        ("DRAIN_DELAY", "2"),
        ("RETURN_WINDOW", "0"),
    ];
    let orders = Service::start("orders", &[&common[..], &own].concat());
    let metrics = format!("http://127.0.0.1:{metrics}/metrics");
    let text =
        eventually(&metrics, |_, text| text.contains("reconcile_runs_total{outcome=\"finished\"} 1")).await;
    assert!(
        text.contains("mongodb_command_duration_seconds_count{command=\"find\",outcome=\"ok\"}"),
        "{text}"
    );
    let admin = shop.admin();
    admin.at(&orders.url()).get("/orders").await.expect(200);
    let request = "http_route=\"/orders\",http_request_method=\"GET\",http_response_status_code=\"200\"";
    eventually(&metrics, |_, text| text.contains(request)).await;

    // Its window for returns is closed, other than that of the shop, which is 14 days.
    let (ada, mug) = (shop.customer().await, shop.product(2).await);
    let order = ada.orders(&[(&mug, 2)]).await.expect(201);
    for status in ["paid", "shipped", "delivered"] {
        admin.moves(&order.id(), status).await.expect(200);
    }
    let returns = format!("/orders/{}/returns", order.id());
    let unit = json!({ "items": [{ "id": order["items"][0]["id"], "quantity": 1 }] });
    let refused = ada.at(&orders.url()).post(&returns, unit.clone()).await;
    refused.problem(409, "invalid-transition");
    ada.post(&returns, unit.clone()).await.expect(201);
    admin.at(&orders.url()).post(&returns, unit).await.expect(201);

    // The console has no secret of callers: each of its calls has the token of its user.
    let sealing = file("console", CONSOLE_SECRET);
    let own = [
        ("CONSOLE_SECRET_FILE", sealing.as_str()),
        ("ORDER_SERVICE_URL", &orders.address),
        ("PRODUCT_SERVICE_URL", &products.address),
        ("USER_SERVICE_URL", &users.address),
    ];
    let console = Service::start("console", &own);
    assert!(is_healthy("console", console.address.rsplit(':').next().unwrap()));
    shows_an_order(&console.url(), &shop, &order.id()).await;

    // It says how it is, before and after the signal to stop.
    let port = orders.address.rsplit(':').next().unwrap().to_owned();
    assert!(is_healthy("orders", &port));
    for (path, expected) in [("/health", r#"{"status":"ok"}"#), ("/ready", r#"{"status":"ready"}"#)] {
        let text = eventually(&format!("{}{path}", orders.url()), |status, _| status == 200).await;
        assert_eq!(text, expected);
    }
    assert!(orders.is_told_to_end());
    eventually(&format!("{}/ready", orders.url()), |status, text| status == 503 && text.contains("stopping"))
        .await;
    assert!(!is_healthy("orders", &port));
    let answer = reqwest::get(format!("{}/health", orders.url())).await.unwrap();
    assert_eq!(answer.headers().get("connection").map(|value| value.as_bytes()), Some(&b"close"[..]));
    let mut orders = orders;
    assert!(orders.child.wait().unwrap().success());
    assert!(!is_healthy("orders", &port));
    for service in [products, users, console] {
        assert!(service.ends());
    }

    // Lines for a machine, also that which says where it listens.
    let variables =
        [&common[..], &[("JWT_SECRET_FILE", jwt.as_str()), ("LOG_FORMAT", "json"), ("PORT", "0")]].concat();
    let mut child = binary("users", &variables).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert!(line["message"].as_str().unwrap().starts_with("users is listening"), "{line}");
    assert!(line["address"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let text =
        refusal("users", &[("LOG_FORMAT", "xml"), ("MONGO_URI_FILE", "/nowhere"), ("TRUSTED_PROXIES", "*")]);
    for problem in [
        "LOG_FORMAT: must be text or json",
        "MONGO_URI_FILE: the file cannot be read",
        "TRUSTED_PROXIES: must be",
    ] {
        assert!(text.contains(problem), "{text}");
    }
}
