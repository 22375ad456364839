//! Backlog: thousands of unpaid orders are due, some cannot be read or stored, one product is locked, and products
//! fails half of the time. Whatever is healthy is done all the same, and soon.
//!
//! The measure is the time that Reconcile itself takes. Between its calls time goes by on disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use mongodb::bson::{self, Bson, DateTime, Document, doc};
use mongodb::{ClientSession, Database};
use orders::number::Number;
use proto::orders::v1 as wire;
use proto::orders::v1::order_service_client::OrderServiceClient;
use shared::auth::Caller;
use shared::mongo;
use shared::rpc::channel::{Channel, Invoke};
use shared::rpc::metadata;
use shared::rpc::server::RpcServer;
use shared::runtime::context::{Context, DEFAULT_TIMEOUT};
use shared::values::clock::Clock;
use shared::values::ids::{OrderId, ProductId};
use tests::holds::{StoredHold, insert_holds};
use tests::in_process::InProcess;
use tonic::Status;

use crate::campaign::{Campaign, is_long, tell};
use crate::recovery;

const PRODUCTS: usize = 200;
const UNREADABLE: usize = 100;
const INVALID: usize = 10;

/// Orders of the product that a foreign transaction has locked.
const LOCKED: usize = 20;

/// Maximum number of calls of Reconcile until everything healthy is done.
const RUNS: usize = 200;

/// MongoDB ends a transaction after a minute.
const FOREIGN_LIFETIME: Duration = Duration::from_secs(30);

/// The products function, which answers 503 half of the time, if it is told to.
struct Flaky {
    products: RpcServer,
    fails: AtomicBool,
}

impl Invoke for Flaky {
    fn invoke(&self, payload: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, Status>> {
        if self.fails.load(Ordering::Relaxed) && rand::random() {
            return Box::pin(async { Err(Status::unavailable("503 Service Unavailable")) });
        }
        self.products.invoke(payload)
    }
}

/// A shop with a backlog.
pub(crate) struct Backlog {
    pub(crate) shop: InProcess,
    orders: RpcServer,
    flaky: Arc<Flaky>,
    products: Vec<String>,
    /// An order as it is on disk.
    template: Document,
    /// Time that Reconcile has taken.
    pub(crate) took: Duration,
    pub(crate) runs: usize,
}

/// Holds of the campaign about the walk: a day's sale in four minutes.
const HOLDS: usize = 98_000;

/// Number of orders.
fn size() -> usize {
    if is_long() { 10_000 } else { 1_500 }
}

impl Backlog {
    pub(crate) async fn open() -> Self {
        let shop = InProcess::open().await;
        let flaky =
            Arc::new(Flaky { products: shop.backend.products.rpc.clone(), fails: AtomicBool::new(false) });
        let clock = Clock::system();
        let app = orders::app(orders::Dependencies {
            database: shop.database.clone(),
            products: Channel::new(flaky.clone(), clock.clone()),
            users: Channel::new(Arc::new(shop.backend.users.rpc.clone()), clock.clone()),
            payment_window: orders::DEFAULT_PAYMENT_WINDOW,
            return_window: orders::DEFAULT_RETURN_WINDOW,
            limits: orders::CustomerLimits::NONE,
            clock,
        });
        let mut products = Vec::new();
        for _ in 0..PRODUCTS {
            products.push(shop.product(1_000_000).await);
        }
        let order = shop.customer().await.orders(&[(&products[0], 1)]).await.expect(201).id();
        let orders = shop.database.collection::<Document>("orders");
        let id = doc! { "_id": mongo::uuid(order.parse::<OrderId>().unwrap()) };
        let template = orders.find_one(id.clone()).await.unwrap().unwrap();
        shop.admin().moves(&order, "cancelled").await.expect(200);
        shop.fold(&Clock::system()).await.unwrap();
        Self { shop, orders: app.rpc, flaky, products, template, took: Duration::ZERO, runs: 0 }
    }

    pub(crate) fn database(&self) -> &Database {
        &self.shop.database
    }

    /// Adds unpaid orders of one piece each, held, of these products in turn, which were due so many seconds ago.
    async fn add(&self, count: usize, products: &[String], ago: i64, fields: &Document) -> Vec<OrderId> {
        self.add_held(count, products, ago, fields, DateTime::now()).await
    }

    /// Adds such orders, with holds as of this time.
    pub(crate) async fn add_held(
        &self,
        count: usize,
        products: &[String],
        ago: i64,
        fields: &Document,
        held_at: DateTime,
    ) -> Vec<OrderId> {
        let due = DateTime::from_millis(DateTime::now().timestamp_millis() - ago * 1_000);
        let mut orders = Vec::new();
        let mut held = Vec::new();
        let ids: Vec<OrderId> = (0..count).map(|_| OrderId::new()).collect();
        // Of a million numbers that are drawn, two are the same.
        let first: u64 = rand::random();
        for (place, id) in (0..).zip(&ids) {
            let product = &products[orders.len() % products.len()];
            let mut order = self.template.clone();
            order.insert("_id", mongo::uuid(*id));
            order.insert("number", Number::from_bits(first.wrapping_add(place)).to_string());
            order.insert("expires_at", due);
            let Some(Bson::Array(items)) = order.get_mut("items") else { panic!("no items") };
            items[0].as_document_mut().unwrap().insert("product_id", stored(product));
            order.extend(fields.clone());
            orders.push(order);
            let hold = StoredHold::new(stored(product), held_at);
            held.push(StoredHold { order: mongo::uuid(*id), ..hold });
        }
        let all = self.database().collection::<Document>("orders");
        all.insert_many(orders).bypass_document_validation(true).await.unwrap();
        insert_holds(self.database(), &held).await;
        ids
    }

    /// Adds holds of orders that are there, made within four minutes, ten minutes ago.
    async fn add_holds(&self, count: usize) {
        let begin = DateTime::now().timestamp_millis() - 600_000;
        let ids: Vec<bson::Uuid> = (0..count).map(|_| mongo::uuid(OrderId::new())).collect();
        let orders = self.database().collection::<Document>("orders");
        let bare = ids.iter().map(|id| doc! { "_id": id, "status": "paid" });
        orders.insert_many(bare).bypass_document_validation(true).await.unwrap();
        let at =
            |place: usize| DateTime::from_millis(begin + i64::try_from(240_000 * place / count).unwrap());
        // A customer's order of one product is followed by another one's of the next.
        let hold = |place: usize| {
            let product = &self.products[place % self.products.len()];
            StoredHold { order: ids[place], ..StoredHold::new(stored(product), at(place)) }
        };
        let holds: Vec<StoredHold> = (0..count).map(hold).collect();
        insert_holds(self.database(), &holds).await;
    }

    /// Adds orders that cannot be read at all.
    async fn add_unreadable(&self, count: usize, ago: i64) {
        let due = DateTime::from_millis(DateTime::now().timestamp_millis() - ago * 1_000);
        let order = |_| {
            doc! {
                "_id": mongo::uuid(OrderId::new()), "status": "placed", "items": 7, "expires_at": due,
            }
        };
        let all = self.database().collection::<Document>("orders");
        all.insert_many((0..count).map(order)).bypass_document_validation(true).await.unwrap();
    }

    /// Calls Reconcile once, as the schedule does.
    pub(crate) async fn reconciles(&mut self) -> Result<wire::ReconcileResponse, Status> {
        let channel = Channel::new(Arc::new(self.orders.clone()), Clock::system());
        let context = Context::new(Caller::System, Clock::system().now().after(DEFAULT_TIMEOUT));
        let request = metadata::request(wire::ReconcileRequest::default(), &context);
        let begun = Instant::now();
        let healed = OrderServiceClient::new(channel).reconcile(request).await;
        self.took += begun.elapsed();
        self.runs += 1;
        Ok(healed?.into_inner())
    }

    /// Number of these orders whose stock is not released yet.
    pub(crate) async fn left(&self, orders: &[OrderId]) -> u64 {
        let ids: Vec<bson::Uuid> = orders.iter().map(|id| mongo::uuid(*id)).collect();
        let all = self.database().collection::<Document>("orders");
        let open = doc! { "$or": [{ "status": "placed" }, { "tasks.0": { "$exists": true } }] };
        all.count_documents(doc! { "$and": [{ "_id": { "$in": ids } }, open] }).await.unwrap()
    }

    /// Calls Reconcile until these orders are done. Between its calls as much time goes by as it waits for.
    async fn drains(&mut self, orders: &[OrderId], lock: Option<&String>) -> Result<(), String> {
        let mut foreign: Option<(ClientSession, Instant)> = None;
        let mut last = String::new();
        for _ in 0..RUNS {
            if let Some(product) = lock
                && foreign.as_ref().is_none_or(|(_, begun)| begun.elapsed() > FOREIGN_LIFETIME)
            {
                if let Some((mut session, _)) = foreign.take() {
                    session.abort_transaction().await.unwrap();
                }
                foreign = Some((self.locks(product).await, Instant::now()));
            }
            last = match self.reconciles().await {
                Ok(healed) => format!("{healed:?}"),
                Err(status) => status.to_string(),
            };
            let left = self.left(orders).await;
            tell(&format!("run {}: {left} left after {:.1} s\n", self.runs, self.took.as_secs_f64()));
            if left == 0 {
                return Ok(());
            }
            recovery::a_minute_goes_by(&self.shop, self.database()).await;
        }
        Err(format!("{} of {} are left: {last}", self.left(orders).await, orders.len()))
    }

    async fn locks(&self, product: &str) -> ClientSession {
        let mut session = self.database().client().start_session().await.unwrap();
        session.start_transaction().await.unwrap();
        let stock = self.database().collection::<Document>("stock");
        let touch = doc! { "$set": { "foreign": true } };
        stock.update_one(doc! { "_id": stored(product) }, touch).session(&mut session).await.unwrap();
        session
    }

    fn tell(&self, name: &str, orders: usize) {
        let took = self.took.as_secs_f64();
        let speed = f64::from(u32::try_from(orders).unwrap()) / took;
        tell(&format!("{name}: {orders} orders in {took:.1} s of {} runs: {speed:.0} a second\n", self.runs));
    }
}

pub(crate) fn stored(product: &str) -> bson::Uuid {
    mongo::uuid(product.parse::<ProductId>().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a campaign: see main.rs"]
async fn a_backlog_of_unpaid_orders_expires_within_a_minute() {
    let mut campaign = Campaign::begin("backlog: healthy");
    let mut backlog = Backlog::open().await;
    let orders = backlog.add(size(), &backlog.products, 60, &doc! {}).await;
    campaign.cases = orders.len();
    campaign.finds(backlog.drains(&orders, None).await.err());
    backlog.tell("healthy", orders.len());
    campaign.healed_in(backlog.took);
    campaign.holds(backlog.took < Duration::from_secs(60), || format!("it took {:?}", backlog.took));
    campaign.finds(recovery::violations(&backlog.shop, backlog.database()).await);
    campaign.end();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a campaign: see main.rs"]
async fn a_backlog_on_a_bad_day_expires_within_a_minute() {
    let mut campaign = Campaign::begin("backlog: bad day");
    let mut backlog = Backlog::open().await;
    let (locked, free) = backlog.products.split_first().unwrap();
    // What cannot be done was due before all else.
    backlog.add_unreadable(UNREADABLE, 600).await;
    // Their cancellation would be one entry too many.
    let entry = backlog.template.get_array("history").unwrap()[0].clone();
    backlog.add(INVALID, free, 500, &doc! { "history": vec![entry; 1_000] }).await;
    let behind_the_lock = backlog.add(LOCKED, std::slice::from_ref(locked), 400, &doc! {}).await;
    let orders = backlog.add(size(), free, 60, &doc! {}).await;
    campaign.cases = orders.len();
    campaign.faults = UNREADABLE + INVALID + LOCKED;

    backlog.flaky.fails.store(true, Ordering::Relaxed);
    let locked = locked.clone();
    campaign.finds(backlog.drains(&orders, Some(&locked)).await.err());
    backlog.tell("bad day", orders.len());
    campaign.healed_in(backlog.took);
    campaign.holds(backlog.took < Duration::from_secs(60), || format!("it took {:?}", backlog.took));

    // Once the lock is gone its orders are done too, and nothing has come apart.
    backlog.flaky.fails.store(false, Ordering::Relaxed);
    campaign.finds(backlog.drains(&behind_the_lock, None).await.err());
    let unreadable = "unreadable-order";
    let found = recovery::violations(&backlog.shop, backlog.database()).await;
    let (expected, other): (Vec<String>, Vec<String>) =
        found.into_iter().partition(|violation| violation.contains(unreadable));
    campaign.holds(expected.len() == UNREADABLE, || format!("{} are unreadable", expected.len()));
    campaign.finds(other);
    campaign.end();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a campaign: see main.rs"]
async fn a_walk_over_the_holds_of_a_sale_moves_in_every_run_and_ends() {
    let mut campaign = Campaign::begin("backlog: holds");
    let mut backlog = Backlog::open().await;
    campaign.cases = if is_long() { HOLDS } else { HOLDS / 5 };
    backlog.add_holds(campaign.cases).await;
    // As if it had begun before the sale.
    let before = DateTime::from_millis(DateTime::now().timestamp_millis() - 660_000);
    let positions = backlog.database().collection::<Document>("reconcile_progress");
    let position = doc! { "_id": "holds", "at": before, "order": null };
    positions.replace_one(doc! { "_id": "holds" }, position).upsert(true).await.unwrap();
    let mut last = before;
    for _ in 0..RUNS {
        let healed = backlog.reconciles().await.unwrap();
        let position = positions.find_one(doc! { "_id": "holds" }).await.unwrap().unwrap();
        let at = *position.get_datetime("at").unwrap();
        let seconds = (at.timestamp_millis() - last.timestamp_millis()) / 1_000;
        tell(&format!("run {}: {seconds} s of holds in {:?} in all\n", backlog.runs, backlog.took));
        campaign.holds(at > last, || format!("run {} has not moved", backlog.runs));
        last = at;
        if healed.finished || at == before {
            break;
        }
    }
    let is_past = last.timestamp_millis() > before.timestamp_millis() + 300_000;
    campaign.holds(is_past, || "the walk comes to no end".to_owned());
    campaign.healed_in(backlog.took);
    campaign.end();
}
