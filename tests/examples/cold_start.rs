//! How large the functions are, and how long they take to start, beside the least that a function in Rust can be:
//!
//! ```sh
//! cargo build --release -p orders -p products -p users -p docs
//! cargo build --release -p tests --example hello
//! cargo run --example cold_start -- target/release
//! ```
//! A start is from the spawn of the process to its first `GET …/invocation/next`, with a MongoDB to connect to. For
//! what needs MongoDB there is also the time until it knocks at it, which is all that it does by itself. The
//! machine's figures are of little use elsewhere: see how they compare to `hello`, run in turn with the others.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement that cannot be made is of no use"
)]

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tests::JWT_SECRET;
use tests::in_process::InProcess;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const RUNS: usize = 30;

/// Maximum time of one start.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() {
    let folder = std::env::args().nth(1).map_or_else(|| PathBuf::from("target/release"), PathBuf::from);
    let programs = [
        ("hello", folder.join("examples/hello")),
        ("docs", folder.join("docs")),
        ("users", folder.join("users")),
        ("products", folder.join("products")),
        ("orders", folder.join("orders")),
    ];
    println!("{:10} {:>10} {:>10}", "", "KiB", "zipped");
    for (name, program) in &programs {
        println!("{name:10} {:10} {:10}", size(program) / 1024, deflated(program) / 1024);
    }

    let shop = InProcess::open().await;
    let uri = mongod::shared_for_tests().await.expect("a MongoDB");
    let uri = uri.replacen("/?", &format!("/{}?", shop.database.name()), 1);
    let mut ready = programs.each_ref().map(|_| Vec::new());
    let mut knocking = programs.each_ref().map(|_| Vec::new());
    // In turn, so that what else the machine does is shared by all.
    for _ in 0..RUNS {
        for (place, (name, program)) in programs.iter().enumerate() {
            ready[place].push(start(program, &uri, None).await);
            if !matches!(*name, "hello" | "docs") {
                let mongod = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
                let address = mongod.local_addr().expect("an address");
                let nobody = format!("mongodb://{address}/oms?directConnection=true");
                knocking[place].push(start(program, &nobody, Some(mongod)).await);
            }
        }
    }
    println!("\nspawn to its first invocation/next, ms, {RUNS} runs");
    let hello = median(&mut ready[0].clone());
    report(&programs, &mut ready, hello);
    println!("\nspawn to its first connection to MongoDB, ms, {RUNS} runs");
    report(&programs, &mut knocking, hello);
}

fn report(programs: &[(&str, PathBuf)], times: &mut [Vec<Duration>], hello: Duration) {
    println!("{:10} {:>8} {:>8} {:>8} {:>12}", "", "min", "median", "max", "to hello");
    for ((name, _), times) in programs.iter().zip(times) {
        if times.is_empty() {
            continue;
        }
        let median = median(times);
        let millis = |time: Duration| time.as_secs_f64() * 1000.0;
        println!(
            "{name:10} {:8.2} {:8.2} {:8.2} {:12.2}",
            millis(times[0]),
            millis(median),
            millis(times[times.len() - 1]),
            median.as_secs_f64() / hello.as_secs_f64()
        );
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn size(program: &Path) -> u64 {
    std::fs::metadata(program).expect("a program").len()
}

/// As a ZIP file's deflate would have it, which is what Lambda is given.
fn deflated(program: &Path) -> usize {
    let gzip = Command::new("gzip").args(["-9", "-c"]).arg(program).output().expect("gzip");
    gzip.stdout.len()
}

/// The time from the spawn of a program until it asks for its first invocation, or knocks at this MongoDB.
async fn start(program: &Path, uri: &str, mongod: Option<TcpListener>) -> Duration {
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
    let arrived = async {
        match &mongod {
            Some(mongod) => {
                mongod.accept().await.expect("a connection");
            }
            None => {
                let (mut stream, _) = api.accept().await.expect("a connection");
                let mut line = [0; 41];
                stream.read_exact(&mut line).await.expect("a request");
                assert_eq!(&line, b"GET /2018-06-01/runtime/invocation/next H");
                // The rest of its head is of no interest.
                let _ = stream.shutdown().await;
            }
        }
        begun.elapsed()
    };
    let took = tokio::time::timeout(PATIENCE, arrived).await;
    child.kill().expect("the process has ended by itself");
    child.wait().expect("the process");
    took.expect("the function does not start")
}
