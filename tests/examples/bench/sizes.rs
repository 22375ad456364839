//! Rows of memory and packages.

use std::process::Command;

use local::bench::Plan;
use local::bench::results::Measured;
use local::bench::rows::Row;
use tests::meter::{peak_memory, resident_memory};

use crate::shops::{Shops, Side as _};

/// Requests before a reading of peaks.
const REQUESTS: usize = 500;

/// Most memory of a function, in KiB.
const MOST_MEMORY: f64 = 10.0 * 1024.0;

/// Most of a compressed function, in KiB.
const MOST_PACKAGE: f64 = 3.5 * 1024.0;

/// Functions whose packages are measured.
const FUNCTIONS: [&str; 5] = ["orders", "products", "users", "docs", "console"];

/// Requests after which memory is read first.
const FIRST: usize = 10_000;

/// Requests for which the row is named.
const NAMED: f64 = 1_000_000.0;

/// Measures the peak memory of what serves orders, products and pages.
pub(crate) async fn peak_memory_of_all(shops: &Shops) -> Measured {
    for request in 0..REQUESTS {
        shops.ours.order(request).await;
        shops.ours.product(request).await;
        shops.ours.list("/orders").await;
        shops.ours.list("/products").await;
        shops.ours.customer.get("/openapi.json").await.expect(200);
    }
    let of = |function: &str| {
        shops.ours.shop.lambda.environments(function).iter().map(|it| peak_memory(it.pid())).max()
    };
    let peaks = ["orders", "products", "docs"].map(|function| of(function).expect("a process"));
    let peak = peaks.into_iter().max().expect("a peak") as f64;
    Measured::of(Row::PeakMemory, &[(peak, MOST_MEMORY)])
}

/// Measures how the memory of products grows with requests. What it grows by in a tenth of the requests stands for the
/// rest.
pub(crate) async fn memory_growth(shops: &Shops, quick: bool) -> Measured {
    // One process, whatever was measured before.
    for environment in shops.ours.shop.lambda.environments("products") {
        environment.kill().await;
    }
    let first = if quick { FIRST / 10 } else { FIRST };
    let memory = async |requests: usize| {
        for request in 0..requests {
            shops.ours.product(request).await;
        }
        let environments = shops.ours.shop.lambda.environments("products");
        let [environment] = &environments[..] else { panic!("{} processes", environments.len()) };
        resident_memory(environment.pid()) as f64
    };
    let before = memory(first).await;
    let after = memory(first * 9).await;
    let each = (after - before) / (first * 9) as f64;
    Measured::of(Row::MemoryGrowth, &[(before + each * (NAMED - first as f64), before)])
}

/// Measures the largest package, as a ZIP file's deflate has it.
pub(crate) fn package_size(plan: &Plan) -> Measured {
    let compressed = |function: &str| {
        let gzip = Command::new("gzip").args(["-9", "-c"]).arg(plan.programs.join(function)).output();
        let size = gzip.expect("gzip").stdout.len() as f64 / 1024.0;
        eprintln!("  {function}: {size:.0} KiB");
        size
    };
    let largest = FUNCTIONS.map(compressed).into_iter().fold(0.0, f64::max);
    Measured::of(Row::PackageSize, &[(largest, MOST_PACKAGE)])
}
