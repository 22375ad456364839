//! Measurement for `cargo local bench`, which builds the programs, runs this with its plan, and prints the results.
//!
//! - `shops`: the functions and their floor, each on a small Lambda
//! - `requests`: rows of requests, in alternating windows
//! - `starts`: rows of cold starts
//! - `sizes`: rows of memory and packages
//! - `growth`: requests to a large shop
//! - `small_cpu`: times with the processor of small memory sizes

#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a measurement that cannot be made is of no use"
)]

use local::bench::Plan;
use local::bench::results::{Measured, Results};
use local::bench::rows::Row;
use shared::values::clock::Clock;
use tests::meter::{commit, load_average, machine};

mod growth;
mod requests;
mod shops;
mod sizes;
mod small_cpu;
mod starts;

use shops::Shops;

#[tokio::main]
async fn main() {
    let plan = std::env::args().nth(1).expect("a plan: run `cargo local bench`");
    let plan: Plan = serde_json::from_str(&plan).expect("a plan");
    let before = load_average();
    let shops = Shops::open(&plan.programs).await;
    let mut rows: Vec<Measured> = Vec::new();
    for row in Row::ALL.into_iter().filter(|row| plan.rows.contains(row)) {
        // Some rows are measured together.
        if rows.iter().any(|measured| measured.row == row) {
            continue;
        }
        eprintln!("measuring {}", row.name());
        rows.extend(measure(row, &shops, &plan).await);
    }
    rows.retain(|measured| plan.rows.contains(&measured.row));
    rows.sort_by_key(|measured| measured.row);
    let mongodb = shops.mongodb_version().await;
    shops.close().await;
    let date = Clock::system().now().to_string().chars().take("2026-01-01".len()).collect();
    let machine = format!("{}, load {before} before and {} after", machine(), load_average());
    let results = Results { date, commit: commit(), machine, mongodb, rows };
    std::fs::write(&plan.results, results.json()).expect("the file of results");
}

async fn measure(row: Row, shops: &Shops, plan: &Plan) -> Vec<Measured> {
    match row {
        Row::OrderCpu | Row::OrderMongodbCpu | Row::OrderLatency => requests::orders(shops, plan.quick).await,
        Row::OrderRate => vec![requests::order_rate(shops, plan.quick).await],
        Row::ProductCpu => vec![requests::product(shops, plan.quick).await],
        Row::ProductListCpu => vec![requests::list(shops, row, "/products", plan.quick).await],
        Row::OrderListCpu => vec![requests::list(shops, row, "/orders", plan.quick).await],
        Row::Init => vec![starts::init(shops, plan).await],
        Row::FirstOrder => vec![starts::first_order(shops, plan.quick).await],
        Row::PeakMemory => vec![sizes::peak_memory_of_all(shops).await],
        Row::MemoryGrowth => vec![sizes::memory_growth(shops, plan.quick).await],
        Row::PackageSize => vec![sizes::package_size(plan)],
        Row::FastifyCpu => vec![requests::fastify(shops, plan).await],
        Row::GoLatency | Row::GoCpu | Row::GoRate => requests::go(shops, plan).await,
        Row::Growth => growth::growth(plan).await,
        Row::SmallCpu => small_cpu::small_cpu(shops, plan).await,
    }
}
