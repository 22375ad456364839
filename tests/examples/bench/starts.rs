//! Rows of cold starts.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use local::bench::Plan;
use local::bench::results::Measured;
use local::bench::rows::Row;
use tests::JWT_SECRET;
use tests::lambda::Lambda;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::shops::{Shops, Side as _};

/// Starts of each program.
const STARTS: usize = 40;

/// Starts of each program in a quick run.
const QUICK_STARTS: usize = 10;

/// Maximum time of one start.
const PATIENCE: Duration = Duration::from_secs(20);

fn starts(quick: bool) -> usize {
    if quick { QUICK_STARTS } else { STARTS }
}

/// Measures the start of orders until it asks for an event. MongoDB is connected then.
pub(crate) async fn init(shops: &Shops, plan: &Plan) -> Measured {
    let (orders, bare) = (plan.programs.join("orders"), plan.programs.join("bare"));
    Measured::of(Row::Init, &inits(shops, &orders, &bare, plan.quick).await)
}

/// Measures the starts of orders and of its floor, in microseconds.
pub(crate) async fn inits(shops: &Shops, orders: &Path, bare: &Path, quick: bool) -> Vec<(f64, f64)> {
    let uri = shops.uri();
    let mut pairs = Vec::new();
    for _ in 0..starts(quick) {
        let ours = start(orders, &uri).await;
        pairs.push((micros(ours), micros(start(bare, &shops.bare_uri).await)));
    }
    pairs
}

/// Measures the time from the start of a program until it asks for its first event.
async fn start(program: &Path, uri: &str) -> Duration {
    let api = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = api.local_addr().expect("an address").to_string();
    let begun = Instant::now();
    let mut child = Command::new(program)
        .env_clear()
        .envs([
            ("AWS_LAMBDA_RUNTIME_API", address.as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", "measured"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("PRODUCT_SERVICE_URL", "lambda:products"),
            ("USER_SERVICE_URL", "lambda:users"),
            ("JWT_SECRET", JWT_SECRET),
            ("MONGO_URI", uri),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a process");
    let asks = async {
        let (mut stream, _) = api.accept().await.expect("a connection");
        let mut line = [0; 41];
        stream.read_exact(&mut line).await.expect("a request");
        assert_eq!(&line, b"GET /2018-06-01/runtime/invocation/next H");
        let time = begun.elapsed();
        // The rest of its head is of no interest.
        let _ = stream.shutdown().await;
        time
    };
    let time = tokio::time::timeout(PATIENCE, asks).await;
    child.kill().expect("the process has ended by itself");
    child.wait().expect("the process");
    time.expect("the function does not start")
}

/// Measures the start of all functions until an order is answered.
pub(crate) async fn first_order(shops: &Shops, quick: bool) -> Measured {
    let mut pairs = Vec::new();
    for _ in 0..starts(quick) {
        end(&shops.ours.shop.lambda, &["orders", "products", "users"]).await;
        let begun = Instant::now();
        shops.ours.order(0).await;
        let ours = begun.elapsed();
        end(&shops.bare.lambda, &["orders"]).await;
        // The call of a running function.
        shops.bare.product(0).await;
        let begun = Instant::now();
        shops.bare.order(0).await;
        shops.bare.product(0).await;
        pairs.push((micros(ours), micros(begun.elapsed())));
    }
    Measured::of(Row::FirstOrder, &pairs)
}

/// Ends all processes of functions.
pub(crate) async fn end(lambda: &Lambda, functions: &[&str]) {
    for function in functions {
        for environment in lambda.environments(function) {
            environment.kill().await;
        }
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
