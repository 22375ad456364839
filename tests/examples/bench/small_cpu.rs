//! Row of small memory sizes, each of which has its part of one processor. Client, small Lambda and MongoDB are not
//! limited.

use std::cell::RefCell;

use local::bench::Plan;
use local::bench::results::Measured;
use local::bench::rows::Row;
use tests::cpu_limit::CpuLimit;

use crate::requests::{alternate, window};
use crate::shops::{Shops, Side};
use crate::starts::{end, inits};

/// Memory sizes, in MB. The last one has one processor.
const SIZES: [u64; 4] = [128, 256, 512, 1_769];

/// Measures an order, a product and a start with each size.
pub(crate) async fn small_cpu(shops: &Shops, plan: &Plan) -> Vec<Measured> {
    let mut rows = Vec::new();
    for size in SIZES {
        match of_size(shops, plan, size).await {
            Ok(measured) => rows.extend(measured),
            Err(error) => {
                eprintln!(
                    "small-cpu is left out: a group with a limit cannot be made in /sys/fs/cgroup: {error}"
                );
                break;
            }
        }
    }
    rows
}

async fn of_size(shops: &Shops, plan: &Plan, size: u64) -> std::io::Result<Vec<Measured>> {
    // A group of its own for each function, and for the programs that only start.
    let [orders, bare] = ["orders", "bare"].map(|name| CpuLimit::new(&plan.programs.join(name), size));
    let (orders, bare) = (orders?, bare?);
    let starts = inits(shops, orders.program(), bare.program(), plan.quick).await;

    let limits = RefCell::new(Vec::new());
    let program = |name: &str| {
        let limit = CpuLimit::new(&plan.programs.join(name), size).expect("a control group");
        let program = limit.program().to_owned();
        limits.borrow_mut().push(limit);
        program
    };
    let (ours, bare) = shops.again(program).await;
    let orders = alternate(
        plan.quick,
        async || time(shops, &ours, async |place| ours.order(place).await).await,
        async || time(shops, &bare, async |place| bare.order(place).await).await,
    );
    let orders = orders.await;
    let products = alternate(
        plan.quick,
        async || time(shops, &ours, async |place| ours.product(place).await).await,
        async || time(shops, &bare, async |place| bare.product(place).await).await,
    );
    let products = products.await;
    // A group with processes cannot be removed.
    end(&ours.shop.lambda, &["orders", "products", "users", "docs"]).await;
    end(&bare.lambda, &["orders", "products"]).await;
    let cases = [("order", orders), ("product", products), ("init", starts)];
    let row = |(name, pairs): (&str, Vec<_>)| {
        Measured::of(Row::SmallCpu, &pairs).of_case(format!("{name}, {size} MB"))
    };
    Ok(cases.map(row).into())
}

/// Microseconds until an answer, in a window of requests.
async fn time(shops: &Shops, side: &impl Side, request: impl AsyncFn(usize)) -> f64 {
    window(|| side.cpu(), &shops.ours.shop.database, shops.idle, request).await.time
}
