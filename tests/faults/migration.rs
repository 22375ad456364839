//! Migration of the holds that builds of schema version 7 keep in arrays. The schema step is killed at each of its parts and
//! run again, while the shop goes on. Nothing is lost, and no array is left.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use futures::future::join_all;
use http::Method;
use mongodb::Database;
use mongodb::bson::{self, Bson, DateTime, Document, doc};
use products::store::ProductStore;
use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use shared::mongo::{self, ANY_WRITER};
use shared::values::ids::{OrderId, ProductId};
use tests::person::{PASSWORD, Person, address, to};
use tests::proxy::{Command, Moment, Proxy};
use tokio::process::{Child, Command as Process};

use crate::fixture::Fixture;
use crate::report::{Report, choices, is_long, seeds};

/// Commands of the schema step at which it is killed, one in each run. Each run begins where the last one has ended.
const PLACES: [(&str, usize, Moment); 13] = [
    ("update schema", 1, Moment::After),
    ("collMod products", 1, Moment::After),
    ("create stock", 1, Moment::Before),
    ("create stock_holds", 1, Moment::After),
    ("update products", 1, Moment::After),
    ("insert stock", 1, Moment::Before),
    ("insert stock", 1, Moment::After),
    ("update schema", 2, Moment::Before),
    ("aggregate products", 1, Moment::Before),
    ("aggregate products", 1, Moment::After),
    // Three obsolete ones come before that of the arrays.
    ("dropIndexes products", 4, Moment::After),
    ("update products", 1, Moment::Before),
    ("update schema", 3, Moment::Before),
];

/// Variable with the connection string of the schema step that runs as a process of its own.
const URI: &str = "OMS_MIGRATED_URI";

/// Maximum time in which Reconcile heals all that was left.
const HEALING: Duration = Duration::from_secs(120);

/// Number of times that a write of the set-up is repeated.
const ATTEMPTS: usize = 10;

/// Pause between two requests of a customer.
const PAUSE: Duration = Duration::from_millis(10);

/// Time after which a person signs in again: before the access token ends.
const SIGNED_IN: Duration = Duration::from_secs(600);

/// Size of the shop.
struct Size {
    products: usize,
    /// Live entries of each product.
    live: usize,
    /// Ended entries of each product.
    ended: usize,
    /// Numbers of products in an order. Each number has the same share of the entries.
    spans: &'static [usize],
}

impl Size {
    fn of_this_run() -> Self {
        if is_long() {
            return Self { products: 1_000, live: 5_000, ended: 20_000, spans: &[50] };
        }
        Self { products: 6, live: 100, ended: 200, spans: &[1, 2] }
    }
}

/// Entry of an array: its order and quantity.
type Entry = (bson::Uuid, i64);

/// Shop whose products are as a build of version 7 left them.
struct Legacy {
    fixture: Fixture,
    products: Vec<String>,
    /// Live orders that are in arrays.
    live: Vec<String>,
}

impl Legacy {
    async fn open(size: &Size, chance: &mut StdRng) -> Self {
        let fixture = Fixture::open().await;
        let on_hand = i64::try_from(size.live).unwrap() * 2 + 1_000;
        let mut products = Vec::new();
        for _ in 0..size.products.div_ceil(8) {
            let some = join_all((0..8).map(|_| fixture.shop.product(on_hand))).await;
            products.extend(some);
        }
        products.truncate(size.products);
        let template = fixture.ada.orders(&[(&products[0], 1)]).await.expect(201).id();
        let mut legacy = Self { fixture, products, live: Vec::new() };
        let mut arrays = vec![Vec::new(); size.products];
        legacy.place_orders(size, &template, &mut arrays, chance).await;
        legacy.to_version_7(&arrays).await;
        // Processes that have seen the new storage have learned that there are no arrays.
        for function in ["orders", "products"] {
            legacy.fixture.kill(function).await;
        }
        legacy
    }

    fn database(&self) -> &Database {
        &self.fixture.shop.database
    }

    fn collection(&self, name: &str) -> mongodb::Collection<Document> {
        self.database().collection(name)
    }

    /// Inserts orders like this one, and fills the arrays with their entries. Ended ones have no order any more.
    async fn place_orders(
        &mut self,
        size: &Size,
        template: &str,
        arrays: &mut [Vec<Entry>],
        chance: &mut StdRng,
    ) {
        let orders = self.collection("orders");
        let of_template = doc! { "_id": mongo::uuid(template.parse::<OrderId>().unwrap()) };
        let template = orders.find_one(of_template.clone()).await.unwrap().unwrap();
        orders.delete_one(of_template).await.unwrap();
        let ids: Vec<bson::Uuid> = self.products.iter().map(|id| stored(id)).collect();
        for (count, is_live) in [(size.live, true), (size.ended, false)] {
            for span in size.spans {
                let mut batch = Vec::new();
                for number in 0..size.products * count / size.spans.len() / span {
                    let id = OrderId::new();
                    let places: Vec<usize> =
                        (0..*span).map(|place| (number * span + place) % size.products).collect();
                    let quantity = if is_live { chance.random_range(1..=2) } else { 0 };
                    for place in &places {
                        arrays[*place].push((mongo::uuid(id), quantity));
                    }
                    if is_live {
                        let items = places.iter().map(|place| (ids[*place], quantity));
                        batch.push(order_like(&template, id, items.collect()));
                        self.live.push(id.to_string());
                    }
                    if batch.len() == 1_000 {
                        insert_all(&orders, std::mem::take(&mut batch)).await;
                    }
                }
                if !batch.is_empty() {
                    insert_all(&orders, batch).await;
                }
            }
        }
    }

    /// Puts collections and documents of products into the state that a build of version 7 leaves.
    async fn to_version_7(&self, arrays: &[Vec<Entry>]) {
        for collection in ["products", "product_keys", "stock_movements", "stock_checkpoints"] {
            let without_fence = doc! { "collMod": collection, "validator": {} };
            self.database().run_command(without_fence).await.unwrap();
        }
        let products = self.collection("products");
        let of_product: HashMap<bson::Uuid, &Vec<Entry>> =
            self.products.iter().map(|id| stored(id)).zip(arrays).collect();
        let stocks = self.collection("stock").find(doc! {}).await.unwrap();
        let stocks: Vec<Document> = stocks.try_collect().await.unwrap();
        let at = DateTime::from_millis(DateTime::now().timestamp_millis() - 3_600_000);
        for stock in stocks {
            let id = uuid_of(&stock);
            let entries = of_product.get(&id).copied().cloned().unwrap_or_default();
            let reserved: i64 = entries.iter().map(|(_, quantity)| quantity).sum();
            let live = entries.iter().filter(|(_, quantity)| *quantity > 0).count();
            let entry = |(order, quantity): &Entry| {
                let revision = if *quantity > 0 { 1_i64 } else { 2_i64 };
                doc! { "o": order, "q": quantity, "r": revision, "t": at }
            };
            let set = doc! {
                "on_hand": stock.get("on_hand"),
                "reserved": reserved,
                "live": i64::try_from(live).unwrap(),
                "holds": entries.iter().map(entry).collect::<Vec<_>>(),
                "movements": stock.get("movements"),
                "moved_at": stock.get("moved_at"),
                "writer": 7,
            };
            patiently(async || products.update_one(doc! { "_id": id }, doc! { "$set": set.clone() }).await)
                .await;
        }
        for collection in ["stock", "stock_holds"] {
            self.collection(collection).drop().await.unwrap();
        }
        let indexes = [("holds.t", "holds_by_time"), ("holds.o", "holds_of_order")];
        let indexes = indexes.map(|(key, name)| doc! { "key": { key: 1 }, "name": name });
        let indexes = doc! { "createIndexes": "products", "indexes": indexes.to_vec() };
        self.database().run_command(indexes).await.unwrap();
        let record = doc! { "_id": "products", "version": 7, "lowest_writer": ANY_WRITER };
        self.collection("schema").replace_one(doc! { "_id": "products" }, record).await.unwrap();
    }

    /// Runs the schema step in a process of its own.
    fn step(&self, address: &str) -> Child {
        let uri = format!("mongodb://{address}/{}?directConnection=true", self.database().name());
        Process::new(std::env::current_exe().unwrap())
            .args(["--exact", "migration::the_schema_step_of_products", "--ignored", "--nocapture"])
            .env(URI, uri)
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// Findings about arrays that are left, and counts that are not those of the orders.
    async fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        let products = self.collection("products");
        for field in ["holds", "live", "on_hand", "reserved", "movements", "moved_at"] {
            let left = products.count_documents(doc! { field: { "$exists": true } }).await.unwrap();
            if left > 0 {
                found.push(format!("{left} products have {field}"));
            }
        }
        let units = vec![
            doc! { "$match": { "status": { "$in": ["placed", "paid"] } } },
            doc! { "$unwind": "$items" },
            doc! { "$group": { "_id": "$items.product_id", "units": { "$sum": "$items.quantity" } } },
        ];
        let units = self.collection("orders").aggregate(units).allow_disk_use(true).await.unwrap();
        let units: Vec<Document> = units.try_collect().await.unwrap();
        let units: HashMap<bson::Uuid, i64> =
            units.iter().map(|it| (uuid_of(it), it.get_i64("units").unwrap())).collect();
        let stocks = self.collection("stock").find(doc! {}).projection(doc! { "reserved": 1 }).await.unwrap();
        let stocks: Vec<Document> = stocks.try_collect().await.unwrap();
        let count = products.count_documents(doc! {}).await.unwrap();
        if u64::try_from(stocks.len()).unwrap() != count {
            found.push(format!("{} stocks of {count} products", stocks.len()));
        }
        for stock in stocks {
            let (id, reserved) = (uuid_of(&stock), stock.get_i64("reserved").unwrap());
            let ordered = units.get(&id).copied().unwrap_or(0);
            if reserved != ordered {
                found.push(format!("{id}: {reserved} reserved, {ordered} ordered"));
            }
        }
        found
    }
}

/// Schema step of products, as a process of its own.
#[tokio::test]
#[ignore = "the migration below runs it"]
async fn the_schema_step_of_products() {
    let Ok(uri) = std::env::var(URI) else { return };
    let database = mongo::connect(&uri, "migration").await.unwrap();
    ProductStore::new(&database).ensure_schema().await.unwrap();
}

/// Repeats a write of the set-up: on a busy machine the driver gives up connections that are in use.
async fn patiently<T>(write: impl AsyncFn() -> mongodb::error::Result<T>) -> T {
    for _ in 0..ATTEMPTS {
        if let Ok(written) = write().await {
            return written;
        }
    }
    write().await.unwrap()
}

/// Inserts documents that are not there.
async fn insert_all(all: &mongodb::Collection<Document>, documents: Vec<Document>) {
    let ids: Vec<_> = documents.iter().filter_map(|document| document.get("_id").cloned()).collect();
    let are_there = async || {
        let there = all.count_documents(doc! { "_id": { "$in": &ids } }).await?;
        Ok::<_, mongodb::error::Error>(there == u64::try_from(ids.len()).unwrap())
    };
    patiently(async || match all.insert_many(&documents).ordered(false).await {
        Err(_) if are_there().await? => Ok(()),
        inserted => inserted.map(drop),
    })
    .await;
}

/// Order like this one, with other items.
fn order_like(template: &Document, id: OrderId, items: Vec<(bson::Uuid, i64)>) -> Document {
    let item = template.get_array("items").unwrap()[0].as_document().unwrap();
    let price = item.get_i64("unit_price").unwrap();
    let total: i64 = items.iter().map(|(_, quantity)| price * quantity).sum();
    let items = items.into_iter().map(|(product, quantity)| {
        let mut item = item.clone();
        item.extend(doc! { "product_id": product, "quantity": quantity });
        item
    });
    let mut order = template.clone();
    order.remove("placed_under");
    let number: String = id.to_string().chars().rev().take(8).collect();
    order.extend(doc! {
        "_id": mongo::uuid(id), "items": items.collect::<Vec<_>>(), "total": total, "number": number,
    });
    order
}

fn stored(product: &str) -> bson::Uuid {
    mongo::uuid(product.parse::<ProductId>().unwrap())
}

fn uuid_of(document: &Document) -> bson::Uuid {
    let Some(Bson::Binary(id)) = document.get("_id") else { panic!("{document}") };
    id.to_uuid().unwrap()
}

/// Acknowledged requests of a customer, and answers that should not be.
#[derive(Debug, Default)]
struct Acknowledged {
    placed: Vec<String>,
    cancelled: Vec<String>,
    unavailable: usize,
    wrong: Vec<String>,
}

/// Places and cancels orders of the products, and cancels those that are in arrays, until it is stopped.
async fn goes_on(
    legacy: &Legacy,
    mut old: Vec<String>,
    mut chance: StdRng,
    stop: &AtomicBool,
) -> Acknowledged {
    let mut done = Acknowledged::default();
    let products = &legacy.products;
    let (mut person, mut since) = (legacy.fixture.shop.person("staff").await, Instant::now());
    while !stop.load(Ordering::SeqCst) {
        if since.elapsed() > SIGNED_IN {
            let again = legacy.fixture.shop.anyone().signs_in(&person.email, PASSWORD).await;
            (person, since) = (again, Instant::now());
        }
        let first = chance.random_range(0..products.len());
        let count = chance.random_range(1..=2).min(products.len());
        let item =
            |place: usize| json!({ "product_id": products[(first + place) % products.len()], "quantity": 1 });
        let order =
            json!({ "items": (0..count).map(item).collect::<Vec<_>>(), "shipping_address": address() });
        if let Some(order) = sends(&person, Method::POST, "/orders", order, 201, &mut done).await {
            if chance.random_bool(0.5) {
                cancels(&person, &order, &mut done).await;
            }
            done.placed.push(order);
        }
        // Each is cancelled once, so that some are left for the step to copy.
        if chance.random_bool(0.5)
            && let Some(order) = old.pop()
        {
            cancels(&person, &order, &mut done).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
    done
}

async fn cancels(person: &Person, order: &str, done: &mut Acknowledged) {
    let path = format!("/orders/{order}");
    if sends(person, Method::PUT, &path, to("cancelled"), 200, done).await.is_some() {
        done.cancelled.push(order.to_owned());
    }
}

/// Sends a request. The order if it is done, `None` if it is answered 503.
async fn sends(
    person: &Person,
    method: Method,
    path: &str,
    body: Value,
    status: u16,
    done: &mut Acknowledged,
) -> Option<String> {
    match person.outcome(person.request(method, path).json(&body)).await {
        Ok(answer) if answer.status == status => return Some(answer.id()),
        Ok(answer) if answer.status == 503 => done.unavailable += 1,
        Ok(answer) => done.wrong.push(format!("{} {}: {}", answer.request, answer.status, answer.body)),
        Err(lost) => done.wrong.push(lost),
    }
    None
}

#[tokio::test]
async fn a_migration_killed_anywhere_loses_nothing() {
    let mut report = Report::of("migration", "a_migration_killed_anywhere");
    let seed = seeds().start;
    let case = "all places";
    if report.runs_one_of(1, case) {
        migrate(&mut report, seed, case).await;
    }
    report.ends();
}

async fn migrate(report: &mut Report, seed: u64, case: &str) {
    let mut chance = choices(seed, case);
    let mut legacy = Legacy::open(&Size::of_this_run(), &mut chance).await;
    legacy.fixture.sign_in_again().await;
    let server = mongod::shared_for_tests().await.unwrap();
    let server = server.trim_start_matches("mongodb://").split('/').next().unwrap();
    let proxy = Proxy::to(server.parse().unwrap()).await.unwrap();
    let address = proxy.address.to_string();
    let stop = AtomicBool::new(false);

    let shares = legacy.live.chunks(legacy.live.len().div_ceil(4));
    let customers: Vec<_> =
        shares.map(|old| goes_on(&legacy, old.to_vec(), choices(chance.random(), case), &stop)).collect();
    let steps = async {
        let mut missed = Vec::new();
        for (name, number, moment) in PLACES {
            proxy.begin();
            let command = Command { name: name.to_owned(), number };
            let met = proxy.stop_at(&command, moment);
            let mut step = legacy.step(&address);
            tokio::select! {
                biased;
                Ok(()) = met => step.kill().await.unwrap(),
                ended = step.wait() => {
                    let commands: Vec<String> = proxy.commands().iter().map(ToString::to_string).collect();
                    missed.push(format!("{moment:?} {command}: {:?} {commands:?}", ended.unwrap()));
                }
            }
        }
        proxy.begin();
        let ended = legacy.step(&address).wait().await.unwrap();
        if !ended.success() {
            missed.push(format!("the last run: {ended}"));
        }
        let copies = Command { name: "aggregate products".to_owned(), number: 1 };
        if proxy.commands().contains(&copies) {
            missed.push("the last run copied again".to_owned());
        }
        stop.store(true, Ordering::SeqCst);
        missed
    };
    let (done, missed) = tokio::join!(join_all(customers), steps);
    legacy.fixture.sign_in_again().await;
    let admin = legacy.fixture.shop.admin();
    report.faults(PLACES.len() - missed.len().min(PLACES.len()));
    let mut found = missed;

    match legacy.fixture.heals_within(HEALING).await {
        Ok(took) => report.healed(took),
        Err(left) => found.push(left),
    }
    found.extend(legacy.fixture.late_inconsistencies().await);
    found.extend(legacy.violations().await);
    let unavailable: usize = done.iter().map(|it| it.unavailable).sum();
    let (placed, cancelled): (usize, usize) =
        (done.iter().map(|it| it.placed.len()).sum(), done.iter().map(|it| it.cancelled.len()).sum());
    for Acknowledged { placed, cancelled, wrong, .. } in done {
        found.extend(wrong);
        for order in placed.iter().chain(&cancelled) {
            let answer = admin.get(&format!("/orders/{order}")).await.expect(200);
            if cancelled.contains(order) && answer["status"] != "cancelled" {
                found.push(format!("{order} is {}, and its cancellation was acknowledged", answer["status"]));
            }
        }
    }
    if placed == 0 || cancelled == 0 {
        found.push(format!("{placed} orders, {cancelled} cancelled, {unavailable} answers 503"));
    }
    for violation in found {
        report.violation(seed, case, violation);
    }
}
