//! Cost of an order to MongoDB: `cargo bench -p tests --bench orders`.
//!
//! Commands, waits for the journal and bytes of an order of 1, 5 and 20 items. MongoDB's processor time stands beside a
//! floor of the same run: bare writes of the same documents, with the same indexes. Compare ratios; times depend on the
//! machine.

#![expect(clippy::panic, clippy::print_stdout, clippy::unwrap_used, reason = "a program for people")]

use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use futures::future::join_all;
use mongod::Mongod;
use mongodb::bson::{DateTime, Document, doc};
use mongodb::{Database, IndexModel};
use shared::mongo;
use shared::values::clock::Clock;
use shared::values::ids::{OrderId, ProductId};
use tests::in_process::InProcess;
use tests::mongo_tap::Tap;
use tests::person::Person;

/// Numbers of items in an order.
const ITEMS: [usize; 3] = [1, 5, 20];

/// Number of orders of each size.
const ORDERS: usize = 300;

/// Number of orders before the measurement: connections are open then, and keys known.
const WARM: usize = 10;

/// Time over which MongoDB's own work is measured.
const IDLE: Duration = Duration::from_secs(3);

/// Entries that a journal of the floor keeps: about as many as one of the shop has between two folds.
const KEPT: i32 = 32;

/// Cost of one order.
struct Cost {
    commands: f64,
    waits: f64,
    bytes: f64,
    /// Microseconds of MongoDB's processor time.
    processor: f64,
}

#[tokio::main]
async fn main() {
    let server = mongod::start_for_tests().await.unwrap_or_else(|error| panic!("{error:?}"));
    let bench = Bench::open(&server).await;
    println!(
        "{:>5} {:>9} {:>6} {:>9} {:>11} {:>10} {:>6}",
        "items", "commands", "waits", "bytes", "CPU µs", "floor µs", "ratio"
    );
    for items in ITEMS {
        let Cost { commands, waits, bytes, processor } = bench.orders(items).await;
        let floor = bench.bare_writes(items).await;
        println!(
            "{items:>5} {commands:>9.2} {waits:>6.2} {bytes:>9.0} {processor:>11.0} {floor:>10.0} {:>6.2}",
            processor / floor
        );
    }
    drop(bench);
    server.stop().await;
}

struct Bench {
    shop: InProcess,
    tap: Tap,
    customer: Person,
    /// Database for bare writes, past the tap.
    bare: Database,
    /// Microseconds of processor time that MongoDB takes in a second without requests.
    idle: f64,
}

impl Bench {
    async fn open(server: &Mongod) -> Self {
        let tap = Tap::to(server.port()).await;
        let shop = InProcess::open_at(&tap.uri("bench"), Clock::system()).await;
        let customer = shop.customer().await;
        let bare = mongo::connect(server.uri(), "bare").await.unwrap().client().database("bare");
        let mut bench = Self { shop, tap, customer, bare, idle: 0.0 };
        for collection in ["orders", "stock", "stock_holds"] {
            bench.copy_indexes(collection).await;
        }
        let before = bench.processor().await;
        tokio::time::sleep(IDLE).await;
        bench.idle = (bench.processor().await - before) / IDLE.as_secs_f64();
        bench
    }

    /// Creates the indexes of a collection in the database for bare writes.
    async fn copy_indexes(&self, collection: &str) {
        let all = self.shop.database.collection::<Document>(collection).list_indexes().await.unwrap();
        let all: Vec<IndexModel> = all.try_collect().await.unwrap();
        self.bare.create_collection(collection).await.unwrap();
        let is_of_id = |index: &IndexModel| index.keys == doc! { "_id": 1 };
        let others: Vec<IndexModel> = all.into_iter().filter(|index| !is_of_id(index)).collect();
        self.bare.collection::<Document>(collection).create_indexes(others).await.unwrap();
    }

    /// Microseconds of processor time that MongoDB has taken.
    async fn processor(&self) -> f64 {
        let status = self.bare.run_command(doc! { "serverStatus": 1 }).await.unwrap();
        let info = status.get_document("extra_info").unwrap();
        let time = |field: &str| {
            let micros = info.get(field).unwrap();
            micros.as_i64().or(micros.as_i32().map(i64::from)).unwrap()
        };
        float(usize::try_from(time("user_time_us") + time("system_time_us")).unwrap())
    }

    /// Measures the processor time of some work, for each order.
    async fn processor_of(&self, work: impl Future<Output = ()>) -> f64 {
        let (before, begun) = (self.processor().await, Instant::now());
        work.await;
        let idle = self.idle * begun.elapsed().as_secs_f64();
        (self.processor().await - before - idle) / float(ORDERS)
    }

    /// Measures orders, each of one unit of the same products.
    async fn orders(&self, items: usize) -> Cost {
        let products = join_all((0..items).map(|_| self.shop.product(1_000_000))).await;
        let lines: Vec<(&str, i64)> = products.iter().map(|product| (product.as_str(), 1)).collect();
        for _ in 0..WARM {
            self.customer.orders(&lines).await.expect(201);
        }
        drop((self.tap.heard(), self.tap.bytes()));
        let processor = self.processor_of(async {
            for _ in 0..ORDERS {
                self.customer.orders(&lines).await.expect(201);
            }
        });
        let processor = processor.await;
        let (heard, bytes) = (self.tap.heard(), self.tap.bytes());
        let waits = heard.iter().filter(|command| command.waits_for_journal).count();
        let each = |count: usize| float(count) / float(ORDERS);
        Cost { commands: each(heard.len()), waits: each(waits), bytes: each(bytes), processor }
    }

    /// Measures bare writes of the documents of such orders: without a read, a condition or a transaction.
    async fn bare_writes(&self, items: usize) -> f64 {
        let newest = async |collection: &str, filter: Document| {
            let all = self.shop.database.collection::<Document>(collection);
            all.find_one(filter).sort(doc! { "created_at": -1 }).await.unwrap()
        };
        let size = i32::try_from(items).unwrap();
        let order = newest("orders", doc! { "items": { "$size": size } }).await.unwrap();
        let hold = newest("stock_holds", doc! { "items": { "$size": size } }).await;
        let entry = doc! { "o": mongo::uuid(OrderId::new()), "r": 1_i64, "q": 1_i64, "t": DateTime::now() };
        let stocks = self.bare.collection::<Document>("stock");
        let ids: Vec<mongodb::bson::Uuid> = (0..items).map(|_| mongo::uuid(ProductId::new())).collect();
        let stock = |id| doc! { "_id": id, "on_hand": 1_000_000_i64, "reserved": 0_i64, "pending": [] };
        stocks.insert_many(ids.iter().map(stock)).await.unwrap();
        let (orders, holds) =
            (self.bare.collection::<Document>("orders"), self.bare.collection::<Document>("stock_holds"));
        self.processor_of(async {
            for _ in 0..ORDERS {
                let id = OrderId::new();
                let mut entry = entry.clone();
                entry.insert("o", mongo::uuid(id));
                let push = doc! { "pending": { "$each": [entry], "$slice": -KEPT } };
                let update = doc! { "$inc": { "reserved": 1_i64 }, "$push": push };
                stocks.update_many(doc! { "_id": { "$in": &ids } }, update).await.unwrap();
                if let Some(hold) = hold.as_ref().filter(|_| items > 1) {
                    let mut hold = hold.clone();
                    hold.insert("_id", mongo::uuid(id));
                    holds.insert_one(hold).await.unwrap();
                }
                let mut order = order.clone();
                order.extend(doc! { "_id": mongo::uuid(id), "number": id.to_string() });
                if let Ok(placed) = order.get_document_mut("placed_under") {
                    placed.insert("key", id.to_string());
                }
                orders.insert_one(order).await.unwrap();
            }
        })
        .await
    }
}

fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
