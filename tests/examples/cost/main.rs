//! Measurements of the functions for `cargo local cost`, by operation:
//!
//! ```sh
//! cargo build --release -p orders -p products -p users -p docs -p console
//! cargo run --example cost -- target/release
//! ```
//! It runs the programs as they are deployed on the small Lambda, with a real `mongod`, lives a shop's life, and writes
//! `local/cost/measured.json`. A number of repetitions may follow the folder.
//!
//! A function's use of the processor is measured, and its waiting is counted: round trips, writes, calls. How long the
//! waiting takes is for `cargo local cost` to assume, since no machine of a developer is as far from its database as
//! Lambda is. So other work on the machine makes the figures higher, by caches that it takes, and not by its turns on the
//! processor.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement that cannot be made is of no use"
)]

use std::path::{Path, PathBuf};

use local::cost::measurements::{Measurements, Operation, OperationMeasurement};
use shared::values::clock::Clock;
use tests::meter::{commit, load_average, machine};

mod life;
mod meter;

use life::Life;

/// Number of repetitions of each operation, unless the command line has one.
const REPETITIONS: u64 = 200;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().map_or_else(|| PathBuf::from("target/release"), PathBuf::from);
    let repetitions = arguments.next().map_or(REPETITIONS, |number| number.parse().expect("a number"));
    let folder = std::fs::canonicalize(folder).expect("the folder of the programs");
    let before = load_average();
    let mut life = Life::begin(&folder).await;
    let mut operations = Vec::new();
    for operation in Operation::ALL {
        let (measured, median) = life.measure(operation, repetitions).await;
        println!("{}", report(&measured, median));
        operations.push(measured);
    }
    let processes = life.processes().await;
    let mongodb = life.mongodb_version().await;
    life.end().await;
    let machine = format!("{}, load {before} before and {} after", machine(), load_average());
    let date = Clock::system().now().to_string().chars().take("2026-01-01".len()).collect();
    let measurements = Measurements { date, commit: commit(), machine, mongodb, processes, operations };
    let mut text = serde_json::to_string_pretty(&measurements).unwrap();
    text.push('\n');
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../local/cost/measured.json");
    std::fs::write(file, text).expect("the file cannot be written");
}

/// Line of output, for a look at whether the parts explain the time that a client waits.
fn report(measured: &OperationMeasurement, median: u128) -> String {
    let each = |sum: u64| sum / measured.repetitions;
    let functions = measured.functions.iter().map(|(function, usage)| {
        format!(
            "{}: CPU {} µs, MongoDB {} µs in {} round trips, log {} B",
            function.name(),
            each(usage.cpu_microseconds),
            each(usage.mongodb_cpu_microseconds),
            each(usage.mongodb_round_trips),
            each(usage.log_bytes)
        )
    });
    let functions = functions.collect::<Vec<_>>().join("; ");
    format!("{:16} median {median} µs; {functions}", measured.operation.name())
}
