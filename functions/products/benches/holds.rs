//! Cost of declarations about stock: `cargo bench -p products --no-default-features --bench holds`.
//!
//! Each figure stands beside a floor of the same run: the bare driver's conditional update of one small document,
//! with the same number of writers. Compare ratios; milliseconds depend on the machine.

#![expect(clippy::panic, clippy::print_stdout, clippy::unwrap_used, reason = "a program for people")]

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::{join, join_all};
use mongodb::Database;
use mongodb::bson::{Document, doc};
use products::holds::Hold;
use products::product::{NewProduct, Sku};
use products::stock::{Declaration, DeclarationKind, Item};
use products::store::ProductStore;
use shared::http::idempotency::RequestKey;
use shared::mongo;
use shared::runtime::context::InvocationId;
use shared::values::clock::{Clock, Timestamp};
use shared::values::ids::{OrderId, ProductId};
use shared::values::money::{Currency, Money};

/// Number of holds beside each number of open orders.
const ROUNDS: usize = 60;

/// Numbers of open orders of the product.
const OPEN_ORDERS: [usize; 3] = [0, 1_000, 100_000];

/// Numbers of buyers of one product at once.
const BUYERS: [usize; 3] = [1, 8, 64];

/// Time for which buyers buy.
const SALE: Duration = Duration::from_secs(5);

/// Number of holds that are inserted at once.
const BATCH: usize = 10_000;

#[tokio::main]
async fn main() {
    let uri = mongod::shared_for_tests().await.unwrap_or_else(|error| panic!("{error:?}"));
    let database = mongo::connect(uri, "bench").await.unwrap();
    let store = ProductStore::new(&database);
    store.ensure_schema().await.unwrap();
    let bench = Bench { store, database };
    bench.open_orders().await;
    bench.buyers().await;
    bench.beside_a_sale("two items", Beside::TwoItems).await;
    bench.beside_a_sale("release", Beside::Release).await;
}

/// Kind of declaration that is measured beside the buyers of a hot product.
#[derive(Clone, Copy, Debug)]
enum Beside {
    /// Hold of the hot product and of a second one.
    TwoItems,
    /// End of a hold of the hot product.
    Release,
}

/// Store under measurement, and its database for bare writes.
struct Bench {
    store: ProductStore,
    database: Database,
}

impl Bench {
    /// Measures a hold beside open orders of its product, the sizes in turn.
    async fn open_orders(&self) {
        let mut products = Vec::new();
        for open in OPEN_ORDERS {
            products.push(self.product_with(open).await);
        }
        let floor = Floor::new(&self.database).await;
        let (mut bare, mut times) = (Vec::new(), vec![Vec::new(); OPEN_ORDERS.len()]);
        for _ in 0..ROUNDS {
            timed(&mut bare, floor.write()).await;
            for (product, times) in products.iter().zip(&mut times) {
                let held = timed(times, self.hold(&[*product])).await;
                assert!(held.is_some(), "a hold was refused");
            }
        }
        println!("a hold beside open orders of its product");
        println!("{:>12} {:>9} {:>9} {:>9}", "open orders", "p10 ms", "median ms", "ratio");
        let floor = at(&mut bare, 50);
        println!("{:>12} {:>9.2} {:>9.2} {:>9}", "floor", millis(at(&mut bare, 10)), millis(floor), "1");
        for (open, times) in OPEN_ORDERS.iter().zip(&mut times) {
            let (p10, median) = (at(times, 10), at(times, 50));
            println!("{open:>12} {:>9.2} {:>9.2} {:>9.2}", millis(p10), millis(median), ratio(median, floor));
        }
    }

    /// Measures buyers of one product at once.
    async fn buyers(&self) {
        println!("\nbuyers of one product, against as many writers of one small document");
        println!(
            "{:>6} {:>9} {:>9} {:>6} {:>9} {:>9} {:>9} {:>9} {:>8}",
            "buyers", "holds/s", "writes/s", "ratio", "p50 ms", "floor p50", "p99 ms", "floor p99", "refused"
        );
        for buyers in BUYERS {
            let floor = Floor::new(&self.database).await;
            let mut bare = Sale::new();
            bare.run(buyers, async || floor.write().await.then_some(())).await;
            let product = self.product().await;
            let mut sale = Sale::new();
            sale.run(buyers, async || self.hold(&[product]).await.map(drop)).await;
            println!(
                "{buyers:>6} {:>9.0} {:>9.0} {:>6.2} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>8}",
                sale.rate(),
                bare.rate(),
                bare.rate() / sale.rate(),
                millis(sale.at(50)),
                millis(bare.at(50)),
                millis(sale.at(99)),
                millis(bare.at(99)),
                sale.refused,
            );
        }
    }

    /// Measures other declarations beside 64 buyers of a hot product, by four at a time. The floor is their own
    /// time without buyers.
    async fn beside_a_sale(&self, name: &str, kind: Beside) {
        let (mut alone, mut beside, mut buyers) = (Sale::new(), Sale::new(), Sale::new());
        let (hot, second) = (self.product().await, self.product().await);
        let orders = self.held(hot, 40_000, kind).await;
        let next = std::sync::Mutex::new(orders.into_iter());
        let one = async || match kind {
            Beside::TwoItems => self.hold(&[hot, second]).await.map(drop),
            Beside::Release => {
                let order = next.lock().unwrap().next()?;
                self.declare(order, 2, &[]).await.then_some(())
            }
        };
        alone.run(4, &one).await;
        join(beside.run(4, &one), buyers.run(64, async || self.hold(&[hot]).await.map(drop))).await;
        println!("\n{name}, four at a time: alone, and beside 64 buyers of the hot product");
        println!("{:>8} {:>6} {:>9} {:>9} {:>6} {:>8}", "", "count", "p50 ms", "p99 ms", "ratio", "refused");
        for (name, sale) in [("alone", &mut alone), ("beside", &mut beside), ("buyers", &mut buyers)] {
            let (p50, p99, count) = (sale.at(50), sale.at(99), sale.times.len());
            println!(
                "{name:>8} {count:>6} {:>9.1} {:>9.1} {:>6} {:>8}",
                millis(p50),
                millis(p99),
                "",
                sale.refused
            );
        }
        let (p50, p99) = (ratio(beside.at(50), alone.at(50)), ratio(beside.at(99), alone.at(99)));
        println!("ratio beside to alone: p50 {p50:.1}, p99 {p99:.1}");
    }

    /// Inserts holds of a product for a measurement of releases.
    async fn held(&self, product: ProductId, count: usize, kind: Beside) -> Vec<OrderId> {
        match kind {
            Beside::TwoItems => Vec::new(),
            Beside::Release => self.insert_holds(product, count).await,
        }
    }

    /// Creates a product.
    async fn product(&self) -> ProductId {
        let (id, now) = (ProductId::new(), Clock::system().now());
        let key = RequestKey::of_invocation(InvocationId::new()).sent_to("bench").by("bench");
        self.store.insert(&mug().into_product(id, now), "bench", &key).await.unwrap();
        id
    }

    /// Creates a product with so many open orders.
    async fn product_with(&self, open: usize) -> ProductId {
        let product = self.product().await;
        self.insert_holds(product, open).await;
        product
    }

    /// Inserts holds of one unit, in bulk.
    async fn insert_holds(&self, product: ProductId, count: usize) -> Vec<OrderId> {
        let at = Timestamp::from_millis(0);
        let orders: Vec<OrderId> = (0..count).map(|_| OrderId::new()).collect();
        for batch in orders.chunks(BATCH) {
            let hold =
                |order: &OrderId| Hold { order: *order, product, quantity: 1, revision: 1, at, counts: None };
            let holds: Vec<Hold> = batch.iter().map(hold).collect();
            self.store.insert_holds(&holds).await.unwrap();
        }
        let reserved = doc! { "$inc": { "reserved": i64::try_from(count).unwrap() } };
        let stocks = self.database.collection::<Document>("stock");
        stocks.update_one(doc! { "_id": mongo::uuid(product) }, reserved).await.unwrap();
        orders
    }

    /// Holds one unit of each product for a new order. None: 503.
    async fn hold(&self, products: &[ProductId]) -> Option<OrderId> {
        let order = OrderId::new();
        self.declare(order, 1, products).await.then_some(order)
    }

    /// Declares that an order holds one unit of each product. Returns false for 503.
    async fn declare(&self, order: OrderId, revision: i64, products: &[ProductId]) -> bool {
        let items = products.iter().map(|product| Item::new(*product, 1)).collect();
        let declaration = Declaration { order, revision, kind: DeclarationKind::Hold, items };
        match self.store.declare(&declaration, Clock::system().now()).await {
            Ok(declared) => {
                declared.map(drop).map_err(|rejected| format!("{rejected:?}")).map(|()| true).unwrap()
            }
            Err(_) => false,
        }
    }
}

/// Conditional update of one small document by the bare driver.
struct Floor {
    counters: mongodb::Collection<Document>,
    id: mongodb::bson::Uuid,
}

impl Floor {
    async fn new(database: &Database) -> Self {
        let counters = database.collection::<Document>("floor");
        let id = mongo::uuid(ProductId::new());
        counters.insert_one(doc! { "_id": id, "on_hand": 1_000_000_i64, "reserved": 0_i64 }).await.unwrap();
        Self { counters, id }
    }

    /// Writes once. Returns false if the update was refused.
    async fn write(&self) -> bool {
        let enough = doc! { "$gte": [{ "$subtract": ["$on_hand", "$reserved"] }, 1_i64] };
        let filter = doc! { "_id": self.id, "$expr": enough };
        let update = doc! { "$inc": { "reserved": 1_i64 } };
        self.counters.find_one_and_update(filter, update).await.is_ok_and(|found| found.is_some())
    }
}

/// Requests of several clients at once, for a fixed time.
struct Sale {
    times: Vec<Duration>,
    refused: usize,
}

impl Sale {
    fn new() -> Self {
        Self { times: Vec::new(), refused: 0 }
    }

    async fn run(&mut self, clients: usize, request: impl AsyncFn() -> Option<()>) {
        let ended = AtomicBool::new(false);
        let client = async |_| {
            let (mut times, mut refused) = (Vec::new(), 0);
            while !ended.load(Ordering::Relaxed) {
                if timed(&mut times, request()).await.is_none() {
                    refused += 1;
                    times.pop();
                }
            }
            (times, refused)
        };
        let end = async {
            tokio::time::sleep(SALE).await;
            ended.store(true, Ordering::Relaxed);
        };
        let (all, ()) = join(join_all((0..clients).map(client)), end).await;
        for (times, refused) in all {
            self.times.extend(times);
            self.refused += refused;
        }
    }

    fn rate(&self) -> f64 {
        f64::from(u32::try_from(self.times.len()).unwrap()) / SALE.as_secs_f64()
    }

    fn at(&mut self, percent: usize) -> Duration {
        at(&mut self.times, percent)
    }
}

/// Runs a request, and notes its time.
async fn timed<T>(times: &mut Vec<Duration>, request: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let answer = request.await;
    times.push(started.elapsed());
    answer
}

fn mug() -> NewProduct {
    let sku = Sku::parse(ProductId::new().to_string()).unwrap();
    let price = Money::new(500, Currency::parse("EUR".to_owned()).unwrap()).unwrap();
    NewProduct { on_hand: 1_000_000, ..NewProduct::new(sku, "Mug".to_owned(), price) }
}

/// Percentile; 0 where there is nothing.
fn at(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times.get(times.len() * percent / 100).copied().unwrap_or_default()
}

fn ratio(time: Duration, floor: Duration) -> f64 {
    time.as_secs_f64() / floor.as_secs_f64().max(f64::EPSILON)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
