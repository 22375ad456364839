//! Cost of a hold beside others of its product: `cargo bench -p products --bench holds`.
//!
//! All entries of a product are in one document, so that a first hold is one conditional write. Each write
//! then costs more the more there are. The bounds in `stock.rs` follow from this measurement. The sizes are
//! measured in turn, on the same server. Compare the ratios of one run; milliseconds depend on the machine.

#![expect(clippy::panic, clippy::print_stdout, clippy::unwrap_used, reason = "a program for people")]

use std::time::{Duration, Instant};

use mongodb::bson::{Document, doc};
use products::product::{NewProduct, Sku};
use products::stock::{Declaration, DeclarationKind, Item, MAX_ENTRIES, MAX_LIVE_HOLDS};
use products::store::ProductStore;
use shared::http::idempotency::RequestKey;
use shared::mongo;
use shared::runtime::context::InvocationId;
use shared::values::clock::{Clock, Timestamp};
use shared::values::ids::{OrderId, ProductId};
use shared::values::money::{Currency, Money};

const ROUNDS: usize = 60;

/// Numbers of entries beside the measured one: live, ended.
const BESIDE: [(i64, i64); 5] =
    [(0, 0), (1_000, 0), (MAX_LIVE_HOLDS - 100, 0), (4_900, 5_100), (0, MAX_ENTRIES - 100)];

#[tokio::main]
async fn main() {
    let uri = mongod::shared_for_tests().await.unwrap_or_else(|error| panic!("{error:?}"));
    let database = mongo::connect(uri, "bench").await.unwrap();
    let store = ProductStore::new(&database);
    store.ensure_schema().await.unwrap();
    let now = Clock::system().now();
    let mut products = Vec::new();
    for (live, ended) in BESIDE {
        let id = ProductId::new();
        let key = RequestKey::of_invocation(InvocationId::new()).sent_to("bench").by("bench");
        store.insert(&mug().into_product(id, now), "bench", &key).await.unwrap();
        let entry = |quantity| {
            let at = mongo::date(Timestamp::from_millis(0));
            doc! { "o": mongo::uuid(OrderId::new()), "q": quantity, "r": 1_i64, "t": at }
        };
        let holds: Vec<Document> =
            (0..live).map(|_| entry(1_i64)).chain((0..ended).map(|_| entry(0_i64))).collect();
        let filled = doc! { "$set": { "holds": holds, "live": live, "reserved": live } };
        let documents = database.collection::<Document>("products");
        documents.update_one(doc! { "_id": mongo::uuid(id) }, filled).await.unwrap();
        products.push(id);
    }
    let mut times = vec![Vec::new(); BESIDE.len()];
    for _ in 0..ROUNDS {
        for (product, times) in products.iter().zip(&mut times) {
            let declaration = Declaration {
                order: OrderId::new(),
                revision: 1,
                kind: DeclarationKind::Hold,
                items: vec![Item { product: *product, quantity: 1 }],
            };
            let started = Instant::now();
            store.declare(&declaration, now).await.unwrap().unwrap();
            times.push(started.elapsed());
        }
    }
    println!("{:>6} {:>6} {:>9} {:>9} {:>6}", "live", "ended", "p10 ms", "median ms", "ratio");
    let first = at(&mut times[0], 10);
    for ((live, ended), times) in BESIDE.iter().zip(&mut times) {
        let (p10, median) = (at(times, 10), at(times, 50));
        let ratio = p10.as_secs_f64() / first.as_secs_f64();
        println!("{live:>6} {ended:>6} {:>9.2} {:>9.2} {ratio:>6.1}", millis(p10), millis(median));
    }
}

fn mug() -> NewProduct {
    let sku = Sku::parse(ProductId::new().to_string()).unwrap();
    let price = Money::new(500, Currency::parse("EUR".to_owned()).unwrap()).unwrap();
    NewProduct { on_hand: 1_000_000, ..NewProduct::new(sku, "Mug".to_owned(), price) }
}

fn at(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[times.len() * percent / 100]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
