//! Cost of spans on Lambda, in processor time of the functions for an order:
//!
//! ```sh
//! cargo build --release -p orders -p products -p users -p docs -p console
//! cargo run --example span_cost -- target/release
//! ```
//! It runs two shops on the small Lambda, with one `mongod`: one sends the spans of every request to a socket that takes
//! X-Ray's datagrams, the other records none. Orders go to both in turns of short windows, so that what else runs on
//! the machine meets both. Compare the ratio; times depend on the machine. A number of windows may follow the folder.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement that cannot be made is of no use"
)]

use std::path::PathBuf;

use local::gateway::Function;
use tests::lambda::{Options, Settings};
use tests::meter::process_cpu;
use tests::on_lambda::OnLambda;
use tests::person::Person;
use tokio::net::UdpSocket;

/// Windows of each shop, unless the command line has a number.
const WINDOWS: usize = 30;

/// Orders in a window.
const ORDERS: usize = 40;

/// Orders before the measurement: connections are open then, and keys known.
const WARM: usize = 100;

/// Shop with a customer and a product.
struct Side {
    shop: OnLambda,
    customer: Person,
    product: String,
}

impl Side {
    async fn open(folder: PathBuf, uri: &str, spans: Option<String>) -> Self {
        let options = Options { keeps_traces: true, ..Options::default() };
        let differ = |functions: Vec<Settings>| match spans {
            Some(daemon) => functions
                .into_iter()
                .map(|it| it.variable("XRAY_SPANS", "true").variable("AWS_XRAY_DAEMON_ADDRESS", &daemon))
                .collect(),
            None => functions,
        };
        let program = move |name: &str| folder.join(name);
        let shop = OnLambda::open_programs(program, uri, options, differ).await;
        let customer = shop.customer().await;
        let product = shop.product(10_000_000).await;
        let side = Self { shop, customer, product };
        side.orders(WARM).await;
        side
    }

    /// Places so many orders, and returns the processor time of the functions, in microseconds for each.
    async fn orders(&self, count: usize) -> f64 {
        let before = self.cpu();
        for _ in 0..count {
            self.customer.orders(&[(self.product.as_str(), 1)]).await.expect(201);
        }
        (self.cpu() - before) / count as f64
    }

    /// Microseconds of processor time that the functions have taken.
    fn cpu(&self) -> f64 {
        let all =
            Function::ALL.into_iter().flat_map(|function| self.shop.lambda.environments(function.name()));
        let micros: u64 = all.map(|environment| process_cpu(environment.pid())).sum();
        micros as f64
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().map_or_else(|| PathBuf::from("target/release"), PathBuf::from);
    let windows = arguments.next().map_or(WINDOWS, |number| number.parse().expect("a number"));
    let folder = std::fs::canonicalize(folder).expect("the folder of the programs");
    let daemon = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = daemon.local_addr().unwrap().to_string();
    // As the daemon does, it takes them in another process's time.
    let taking = tokio::spawn(async move {
        let (mut bytes, mut count) = (vec![0; 65_536], 0_u64);
        while daemon.recv(&mut bytes).await.is_ok() {
            count += 1;
            if count == 1 {
                println!("spans arrive");
            }
        }
    });
    let server = mongod::start_for_tests().await.expect("MongoDB");
    let off = Side::open(folder.clone(), server.uri(), None).await;
    let on = Side::open(folder, server.uri(), Some(address)).await;
    let (mut without, mut with, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for window in 0..windows {
        // Each is first in every other window.
        let (first, second) = if window % 2 == 0 { (&off, &on) } else { (&on, &off) };
        let (one, other) = (first.orders(ORDERS).await, second.orders(ORDERS).await);
        let (of_off, of_on) = if window % 2 == 0 { (one, other) } else { (other, one) };
        without.push(of_off);
        with.push(of_on);
        ratios.push(of_on / of_off);
    }
    let (without, with, ratio) = (median(without), median(with), median(ratios.clone()));
    ratios.sort_by(f64::total_cmp);
    let (low, high) = (ratios[ratios.len() / 4], ratios[ratios.len() * 3 / 4]);
    println!("{windows} windows of {ORDERS} orders: {without:.0} µs without spans, {with:.0} µs with them");
    println!("median ratio {ratio:.3} (quartiles {low:.3} to {high:.3})");
    taking.abort();
    drop((off, on));
    server.stop().await;
}
