//! Rows of requests. The functions and the floor are measured in short windows that alternate, so that other work on the
//! machine meets both.

use std::time::Instant;

use futures::future::join_all;
use local::bench::Plan;
use local::bench::results::Measured;
use local::bench::rows::Row;
use mongodb::Database;
use tests::meter::mongodb_cpu;

use crate::shops::{Shops, Side};

/// Pairs of windows.
const PAIRS: usize = 40;

/// Pairs of windows in a quick run.
const QUICK_PAIRS: usize = 10;

/// Requests in a window.
const REQUESTS: usize = 40;

/// Clients of the row with several.
const CLIENTS: usize = 8;

fn pairs(quick: bool) -> usize {
    if quick { QUICK_PAIRS } else { PAIRS }
}

/// Measures pairs of windows. Each side is first in every other pair.
pub(crate) async fn alternate<T>(
    quick: bool,
    ours: impl AsyncFn() -> T,
    floor: impl AsyncFn() -> T,
) -> Vec<(T, T)> {
    let mut all = Vec::new();
    for pair in 0..pairs(quick) {
        if pair % 2 == 0 {
            let first = ours().await;
            all.push((first, floor().await));
        } else {
            let first = floor().await;
            all.push((ours().await, first));
        }
    }
    all
}

/// Use of a window, for each request.
pub(crate) struct Window {
    /// Microseconds of processor time of the functions.
    pub(crate) functions: f64,
    /// Microseconds of processor time of MongoDB, without its own work.
    pub(crate) mongodb: f64,
    /// Microseconds until an answer.
    pub(crate) time: f64,
}

/// Sends requests one after the other. `cpu` reads the processor time of the functions.
pub(crate) async fn window(
    cpu: impl Fn() -> u64,
    database: &Database,
    idle: u64,
    request: impl AsyncFn(usize),
) -> Window {
    let (functions, mongodb, begun) = (cpu(), mongodb_cpu(database).await, Instant::now());
    for place in 0..REQUESTS {
        request(place).await;
    }
    let time = begun.elapsed();
    let of_mongodb = (mongodb_cpu(database).await - mongodb) as f64 - idle as f64 * time.as_secs_f64();
    Window {
        functions: each(functions, cpu()),
        mongodb: of_mongodb.max(0.0) / REQUESTS as f64,
        time: time.as_micros() as f64 / REQUESTS as f64,
    }
}

async fn order_window(side: &impl Side, database: &Database, idle: u64) -> Window {
    window(|| side.cpu(), database, idle, async |product| side.order(product).await).await
}

/// Use of one request, by readings before and after a window. A thread that has ended meanwhile takes its time with it:
/// such a window is far from the median.
fn each(before: u64, after: u64) -> f64 {
    after.saturating_sub(before) as f64 / REQUESTS as f64
}

/// Measures orders of one item, by one client.
pub(crate) async fn orders(shops: &Shops, quick: bool) -> Vec<Measured> {
    let database = &shops.ours.shop.database;
    let windows = alternate(
        quick,
        async || order_window(&shops.ours, database, shops.idle).await,
        async || order_window(&shops.bare, database, shops.idle).await,
    )
    .await;
    let row = |row, of: fn(&Window) -> f64| {
        let pairs: Vec<(f64, f64)> = windows.iter().map(|(ours, floor)| (of(ours), of(floor))).collect();
        Measured::of(row, &pairs)
    };
    vec![
        row(Row::OrderCpu, |window| window.functions),
        row(Row::OrderMongodbCpu, |window| window.mongodb),
        row(Row::OrderLatency, |window| window.time),
    ]
}

/// Measures orders of one item beside the function with Fastify.
pub(crate) async fn fastify(shops: &Shops, plan: &Plan) -> Measured {
    let fastify = shops.fastify(plan.fastify.as_deref().expect("a program with Fastify")).await;
    let database = &shops.ours.shop.database;
    // V8 compiles what runs often.
    for product in 0..50 * REQUESTS {
        fastify.order(product).await;
    }
    let windows = alternate(
        plan.quick,
        async || order_window(&shops.ours, database, shops.idle).await.functions,
        async || order_window(&fastify, database, shops.idle).await.functions,
    );
    Measured::of(Row::FastifyCpu, &windows.await)
}

/// Measures orders of one item beside the functions in Go, which do the same.
pub(crate) async fn go(shops: &Shops, plan: &Plan) -> Vec<Measured> {
    let go = shops.go(plan).await;
    let database = &shops.ours.shop.database;
    // Their runtime chooses the size of its heap.
    for product in 0..10 * REQUESTS {
        go.order(product).await;
    }
    let windows = alternate(
        plan.quick,
        async || order_window(&shops.ours, database, shops.idle).await,
        async || order_window(&go, database, shops.idle).await,
    )
    .await;
    rate(&shops.ours).await;
    rate(&go).await;
    let rates = alternate(plan.quick, async || rate(&shops.ours).await, async || rate(&go).await).await;
    shops.ours.assert_consistent().await;
    let of = |of: fn(&Window) -> f64| -> Vec<(f64, f64)> {
        windows.iter().map(|(ours, go)| (of(ours), of(go))).collect()
    };
    vec![
        Measured::of(Row::GoLatency, &of(|window| window.time)),
        Measured::of(Row::GoCpu, &of(|window| window.functions)),
        Measured::of(Row::GoRate, &rates),
    ]
}

/// Orders a second of several clients.
async fn rate(side: &impl Side) -> f64 {
    let begun = Instant::now();
    join_all((0..CLIENTS).map(async |client| {
        for product in 0..REQUESTS {
            side.order(client + product * CLIENTS).await;
        }
    }))
    .await;
    (CLIENTS * REQUESTS) as f64 / begun.elapsed().as_secs_f64()
}

/// Measures orders a second of several clients.
pub(crate) async fn order_rate(shops: &Shops, quick: bool) -> Measured {
    // Processes for all of them.
    rate(&shops.ours).await;
    rate(&shops.bare).await;
    let pairs = alternate(quick, async || rate(&shops.ours).await, async || rate(&shops.bare).await).await;
    Measured::of(Row::OrderRate, &pairs)
}

/// Measures reads of a product.
pub(crate) async fn product(shops: &Shops, quick: bool) -> Measured {
    async fn cpu(side: &impl Side) -> f64 {
        let before = side.cpu();
        for product in 0..REQUESTS {
            side.product(product).await;
        }
        each(before, side.cpu())
    }
    let pairs = alternate(quick, async || cpu(&shops.ours).await, async || cpu(&shops.bare).await).await;
    Measured::of(Row::ProductCpu, &pairs)
}

/// Measures reads of a page.
pub(crate) async fn list(shops: &Shops, row: Row, path: &str, quick: bool) -> Measured {
    async fn cpu(side: &impl Side, path: &str) -> f64 {
        let before = side.cpu();
        for _ in 0..REQUESTS {
            side.list(path).await;
        }
        each(before, side.cpu())
    }
    let (ours, bare) = (&shops.ours, &shops.bare);
    let pairs = alternate(quick, async || cpu(ours, path).await, async || cpu(bare, path).await).await;
    Measured::of(row, &pairs)
}
