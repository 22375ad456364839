//! A shop on a small Lambda for a campaign: its lines to MongoDB can be stopped and cut, its data be put back and
//! made older, and it tells in what state it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use futures::future::{BoxFuture, join_all};
use http::Method;
use mongodb::bson::{self, Document, doc};
use orders::entry_id;
use proto::orders::v1::order_service_client::OrderServiceClient;
use proto::orders::v1::{ReconcileRequest, ReconcileResponse};
use serde_json::{Value, json};
use shared::auth::Caller;
use shared::mongo;
use shared::rpc::channel::{Channel, Invoke};
use shared::rpc::metadata;
use shared::runtime::context::Context;
use shared::values::clock::Clock;
use shared::values::ids::{FulfillmentId, ItemId, OrderId, ProductId, ReturnId, StaticType, TypeSafeId};
use tests::answer::Answer;
use tests::holds;
use tests::lambda::{Options, Settings};
use tests::on_lambda::OnLambda;
use tests::person::{PASSWORD, Person, address, to, to_for};
use tests::proxy::Proxy;
use tonic::Status;

/// Pieces of each product.
pub(crate) const ON_HAND: i64 = 10;

/// After how long MongoDB ends a transaction that nobody goes on with: 60 s where nobody says otherwise, which is
/// longer than a campaign can wait after every crash.
const TRANSACTION_SECONDS: i32 = 1;

/// Maximum time in which Reconcile is called until nothing is left to heal.
const HEALING: Duration = Duration::from_secs(30);

/// Longer than what anything waits for that is not finished, and shorter than what is remembered.
pub(crate) const OLD: Duration = Duration::from_secs(600);

/// Collections that a case may change.
const COLLECTIONS: [&str; 7] = [
    "orders",
    "products",
    "stock",
    "stock_holds",
    "stock_movements",
    "reconcile_progress",
    "reconcile_set_aside",
];

/// A shop on a small Lambda, with three products.
pub(crate) struct Fixture {
    pub(crate) shop: OnLambda,
    /// The lines to MongoDB, by function.
    pub(crate) proxies: [(&'static str, Proxy); 3],
    pub(crate) ada: Person,
    pub(crate) staff: Person,
    products: [String; 3],
}

/// Request to the shop. Each may be repeated until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Under this key: one line, which is held by one conditional write.
    PlaceOneLine(&'static str),
    /// Under this key: two lines, which are held in a transaction.
    Place(&'static str),
    /// More of one product, another one in place of the second.
    ChangeItems,
    Cancel,
    Pay,
    Ship,
    Deliver,
    /// With restock.
    Return,
    /// One unit of the first product.
    ShipUnits,
    /// The last one.
    CancelFulfillment,
    /// One unit of the first product.
    CancelUnits,
    /// One unit of the first product; it is approved at once.
    SendBack,
    /// With restock.
    Receive,
}

impl Step {
    /// Status of the answer that it is done.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::Place(_) | Self::PlaceOneLine(_) | Self::ShipUnits | Self::CancelUnits | Self::SendBack => {
                201
            }
            _ => 200,
        }
    }

    /// Order of a successful answer. Some are about a part of it alone.
    pub(crate) fn order_of(self, answer: &Answer, order: &str) -> String {
        match self {
            Self::ShipUnits | Self::CancelFulfillment | Self::SendBack | Self::Receive => order.to_owned(),
            _ => answer.text("id"),
        }
    }
}

/// State of the shop that must be the same however often a request was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// On hand and reserved of each product.
    pub(crate) stock: [(i64, i64); 3],
    /// Status, items by product, history, and what is unfinished of each order; no voids.
    pub(crate) orders: Vec<String>,
    /// The ledger's deltas of each product.
    pub(crate) moved: [Vec<i64>; 3],
}

/// The data of a moment, to be put back.
pub(crate) struct Snapshot(Vec<(&'static str, Vec<Document>)>);

impl Fixture {
    pub(crate) async fn open() -> Self {
        let uri = mongod::shared_for_tests().await.unwrap();
        Self::open_on(uri, TRANSACTION_SECONDS, None).await
    }

    /// Opens one on this server, whose transactions end after so long, with so many milliseconds between heartbeats.
    pub(crate) async fn open_on(uri: &str, transaction_seconds: i32, heartbeat: Option<u32>) -> Self {
        let at = uri.trim_start_matches("mongodb://").split('/').next().unwrap().to_owned();
        let mut proxies = Vec::new();
        for function in ["orders", "products", "users"] {
            proxies.push((function, Proxy::to(at.parse().unwrap()).await.unwrap()));
        }
        let proxies: [(&str, Proxy); 3] = proxies.try_into().unwrap();
        // The set knows itself by another address than that of the line.
        let along_wires = |mut settings: Settings| {
            if let Some((_, proxy)) = proxies.iter().find(|(function, _)| *function == settings.name) {
                for (_, value) in settings.variables.iter_mut().filter(|(name, _)| name == "MONGO_URI") {
                    *value =
                        format!("{}&directConnection=true", value.replace(&at, &proxy.address.to_string()));
                    if let Some(heartbeat) = heartbeat {
                        value.push_str(&format!("&heartbeatFrequencyMS={heartbeat}"));
                    }
                }
            }
            settings
        };
        let functions = |functions: Vec<Settings>| functions.into_iter().map(along_wires).collect();
        let shop = OnLambda::open_at(uri, Options::default(), functions).await;
        let limit = doc! { "setParameter": 1, "transactionLifetimeLimitSeconds": transaction_seconds };
        shop.database.client().database("admin").run_command(limit).await.unwrap();
        let (ada, staff) = (shop.customer().await, shop.staff().await);
        let products =
            [shop.product(ON_HAND).await, shop.product(ON_HAND).await, shop.product(ON_HAND).await];
        Self { shop, proxies, ada, staff, products }
    }

    /// Has everybody sign in again: an access token ends after 15 minutes.
    pub(crate) async fn sign_in_again(&mut self) {
        self.shop.admin_signs_in_again().await;
        let anyone = self.shop.anyone();
        for person in [&mut self.ada, &mut self.staff] {
            person.token = anyone.signs_in(&person.email, PASSWORD).await.token;
        }
    }

    pub(crate) fn proxy(&self, function: &str) -> &Proxy {
        &self.proxies.iter().find(|(name, _)| *name == function).unwrap().1
    }

    /// Kills every process of a function, whatever it does.
    pub(crate) async fn kill(&self, function: &str) {
        for environment in self.shop.lambda.environments(function) {
            environment.kill().await;
        }
    }

    /// Has a case begin as if it were the first: new processes of the functions that it is about, which have
    /// connections and know the keys of tokens.
    pub(crate) async fn begin(&self, snapshot: &Snapshot) {
        self.kill("orders").await;
        self.kill("products").await;
        self.put_back(snapshot).await;
        self.warm().await;
        for (_, proxy) in &self.proxies {
            proxy.begin();
        }
        self.shop.lambda.record_calls();
    }

    /// Has every function that it is about a process, with connections, which knows the keys of tokens.
    pub(crate) async fn warm(&self) {
        futures::join!(self.until_served("/orders?limit=1"), self.until_served("/products?limit=1"));
    }

    /// Repeats a request until it is served. On a busy machine a new process may answer 503 at first.
    async fn until_served(&self, path: &str) {
        let mut unavailable = 0;
        while self.staff.outcome(self.staff.request(Method::GET, path)).await.unwrap().status == 503 {
            unavailable += 1;
            assert!(unavailable < 10, "{path} is not served");
        }
        self.staff.get(path).await.expect(200);
    }

    fn items(&self, lines: &[(usize, i64)]) -> Value {
        let line = |(product, quantity): &(usize, i64)| json!({ "product_id": self.products[*product], "quantity": quantity });
        lines.iter().map(line).collect()
    }

    /// Does a step; `order` is the one that it is about, once there is one.
    pub(crate) async fn does(&self, step: Step, order: &str) -> Result<Answer, String> {
        let lines = match step {
            Step::PlaceOneLine(_) => self.items(&[(0, 2)]),
            Step::Place(_) => self.items(&[(0, 2), (1, 1)]),
            _ => self.items(&[(0, 3), (2, 1)]),
        };
        if let Step::PlaceOneLine(key) | Step::Place(key) = step {
            let body = json!({ "items": lines, "shipping_address": address() });
            let request = self.ada.request(Method::POST, "/orders").header("idempotency-key", key);
            return self.ada.outcome(request.json(&body)).await;
        }
        let unit = || {
            let item = item_of(order.parse().unwrap(), &self.products[0]);
            json!({ "items": [{ "id": item.to_string(), "quantity": 1 }] })
        };
        let body = match step {
            Step::ShipUnits | Step::CancelUnits | Step::SendBack => unit(),
            Step::CancelFulfillment => to("cancelled"),
            Step::Receive => {
                let item = item_of(order.parse().unwrap(), &self.products[0]).to_string();
                json!({ "status": "received", "items": [{ "id": item, "received": 1, "restocked": 1 }] })
            }
            Step::Pay => to_for(order, "paid"),
            Step::Ship => to("shipped"),
            Step::Deliver => to("delivered"),
            Step::Cancel => to("cancelled"),
            Step::Return => json!({ "status": "returned", "restock": true }),
            _ => json!({ "items": lines }),
        };
        let (method, path) = self.route(step, order).await;
        let mut request = self.staff.request(method, &path);
        if step.status() == 201 {
            request = request.header("idempotency-key", format!("{step:?}"));
        }
        self.staff.outcome(request.json(&body)).await
    }

    /// Method and path of a step.
    pub(crate) async fn route(&self, step: Step, order: &str) -> (Method, String) {
        let below = match step {
            Step::Place(_) | Step::PlaceOneLine(_) => return (Method::POST, "/orders".to_owned()),
            Step::ShipUnits => "/fulfillments".to_owned(),
            Step::CancelUnits => "/cancellations".to_owned(),
            Step::SendBack => "/returns".to_owned(),
            Step::CancelFulfillment => {
                let last: FulfillmentId = self.last_part(order, "fulfillments").await;
                return (Method::PUT, format!("/orders/{order}/fulfillments/{last}"));
            }
            Step::Receive => {
                let last: ReturnId = self.last_part(order, "returns").await;
                return (Method::PUT, format!("/orders/{order}/returns/{last}"));
            }
            _ => return (Method::PUT, format!("/orders/{order}")),
        };
        (Method::POST, format!("/orders/{order}{below}"))
    }

    /// ID of the last element of a list of an order, past the function.
    async fn last_part<T: StaticType>(&self, order: &str, list: &str) -> TypeSafeId<T> {
        let orders = self.all("orders").await;
        let order = orders.iter().find(|it| id_of(it).to_string() == order).unwrap();
        let last = order.get_array(list).unwrap().last().and_then(bson::Bson::as_document).unwrap();
        let Some(bson::Bson::Binary(id)) = last.get("id") else { panic!("{order}") };
        mongo::id(id.to_uuid().unwrap())
    }

    /// A channel to a function, as the schedule has one.
    fn channel(&self, function: &str) -> Channel {
        let url = format!("{}/2015-03-31/functions/{function}/invocations", self.shop.lambda.endpoint);
        Channel::new(Arc::new(Schedule { http: reqwest::Client::new(), url }), Clock::system())
    }

    /// Has Reconcile run once, as the schedule does.
    pub(crate) async fn reconciles(&self) -> Result<ReconcileResponse, Status> {
        let mut orders = OrderServiceClient::new(self.channel("orders"));
        let context = Context::new(Caller::System, Clock::system().now().after(Duration::from_secs(20)));
        Ok(orders.reconcile(metadata::request(ReconcileRequest::default(), &context)).await?.into_inner())
    }

    /// Lets time go by until all that is unfinished is old, and has Reconcile run until it says that nothing is
    /// left. How long that took from its first call on; an error: what was left after half a minute.
    pub(crate) async fn heals(&self) -> Result<Duration, String> {
        self.heals_within(HEALING).await
    }

    pub(crate) async fn heals_within(&self, patience: Duration) -> Result<Duration, String> {
        self.ages(OLD).await;
        let begun = Instant::now();
        loop {
            let healed = self.reconciles().await;
            match &healed {
                Ok(healed) if healed.finished && is_nothing_left(healed) => return Ok(begun.elapsed()),
                _ if begun.elapsed() > patience => {
                    return Err(format!("Reconcile does not heal: {healed:?}"));
                }
                // What was set aside waits, and what was decided just now may still be at work.
                Ok(healed) if healed.finished => self.ages(OLD).await,
                _ => {}
            }
        }
    }

    /// Folds all journals.
    pub(crate) async fn folds(&self) -> Result<(), String> {
        holds::fold(self.channel("products"), &Clock::system()).await
    }

    /// Moves all that the functions judge the age of things by back in time. Journals are folded before, if products
    /// answers.
    pub(crate) async fn ages(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).unwrap();
        let earlier = |time: &str| doc! { "$subtract": [format!("${time}"), millis] };
        drop(self.folds().await);
        holds::age(&self.shop.database, millis).await;
        let earlier = [
            ("orders", "updated_at", earlier("updated_at")),
            ("orders", "task_ended_at", earlier("task_ended_at")),
            ("reconcile_progress", "at", earlier("at")),
            ("reconcile_set_aside", "due", earlier("due")),
        ];
        join_all(earlier.map(async |(collection, field, value)| {
            let there = doc! { field: { "$exists": true } };
            let all = self.shop.database.collection::<Document>(collection);
            all.update_many(there, vec![doc! { "$set": { field: value } }]).await.unwrap();
        }))
        .await;
    }

    /// Changes what is on disk of an order, past the function.
    pub(crate) async fn sets(&self, order: &str, fields: Document) {
        let id = mongo::uuid(order.parse::<OrderId>().unwrap());
        let orders = self.shop.database.collection::<Document>("orders");
        let set = orders.update_one(doc! { "_id": id }, doc! { "$set": fields }).await.unwrap();
        assert_eq!(set.matched_count, 1);
    }

    /// Findings of CheckConsistency over all pages.
    pub(crate) async fn inconsistencies(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut path = "/orders/consistency?limit=1000".to_owned();
        loop {
            let page = self.shop.admin().get(&path).await.expect(200);
            found.extend(page["violations"].as_array().unwrap().iter().map(Value::to_string));
            let Some(cursor) = page["next_cursor"].as_str() else { return found };
            path = format!("/orders/consistency?limit=1000&cursor={cursor}");
        }
    }

    /// Findings of CheckConsistency when all is old enough to be judged.
    pub(crate) async fn late_inconsistencies(&self) -> Vec<String> {
        self.ages(OLD).await;
        self.inconsistencies().await
    }

    /// The same, and products whose counts are not those that follow from the orders. It reads all orders at once.
    pub(crate) async fn violations(&self) -> Vec<String> {
        let mut found = self.late_inconsistencies().await;
        let orders = self.all("orders").await;
        let stock = self.state().await.stock;
        for (place, product) in self.products.iter().enumerate() {
            let units: Vec<Units> = orders.iter().map(|order| Units::of(order, product)).collect();
            let sum = |of: fn(&Units) -> i64| units.iter().map(of).sum::<i64>();
            let shall = (ON_HAND - sum(|it| it.shipped) + sum(|it| it.restocked), sum(|it| it.held));
            if stock[place] != shall {
                found.push(format!("product {place}: {:?}, and by its orders {shall:?}", stock[place]));
            }
        }
        found
    }

    /// The state.
    pub(crate) async fn state(&self) -> State {
        let stocks = self.all("stock").await;
        let movements = self.all("stock_movements").await;
        let stock = self.products.each_ref().map(|id| {
            let found = stocks.iter().find(|it| it.get("_id") == Some(&stored(id))).unwrap();
            (found.get_i64("on_hand").unwrap(), found.get_i64("reserved").unwrap())
        });
        let moved = self.products.each_ref().map(|id| {
            let of_product = movements.iter().filter(|it| it.get("product") == Some(&stored(id)));
            let mut entries: Vec<(i64, i64)> =
                of_product.map(|it| (it.get_i64("number").unwrap(), it.get_i64("delta").unwrap())).collect();
            entries.sort_unstable();
            entries.into_iter().map(|(_, delta)| delta).collect()
        });
        let described = |order: &Document| {
            let items = self.products.each_ref().map(|product| quantity_of(order, product));
            let history = order.get_array("history").unwrap().iter();
            let history: Vec<_> =
                history.map(|it| it.as_document().unwrap().get_str("to").unwrap()).collect();
            let tasks = order.get_array("tasks").unwrap().len();
            let changing = order.get_bool("changing").unwrap_or(false);
            let status = order.get_str("status").unwrap();
            let parts = ["fulfillments", "cancellations", "returns"];
            let parts = parts.map(|list| order.get_array(list).map_or(0, |parts| parts.len()));
            format!("{status} {items:?} {parts:?} {history:?}, {tasks} tasks, changing: {changing}")
        };
        let orders = self.all("orders").await;
        let mut orders: Vec<String> = orders.iter().filter(|it| !is_void(it)).map(described).collect();
        orders.sort_unstable();
        State { stock, orders, moved }
    }

    /// The orders, by ID.
    pub(crate) async fn orders(&self) -> Vec<String> {
        let orders = self.all("orders").await;
        orders.iter().filter(|it| !is_void(it)).map(|order| id_of(order).to_string()).collect()
    }

    async fn all(&self, collection: &str) -> Vec<Document> {
        let all = self.shop.database.collection::<Document>(collection);
        all.find(doc! {}).sort(doc! { "_id": 1 }).await.unwrap().try_collect().await.unwrap()
    }

    pub(crate) async fn snapshot(&self) -> Snapshot {
        let mut snapshot = Vec::new();
        for collection in COLLECTIONS {
            snapshot.push((collection, self.all(collection).await));
        }
        Snapshot(snapshot)
    }

    async fn put_back(&self, Snapshot(snapshot): &Snapshot) {
        join_all(snapshot.iter().map(async |(collection, documents)| {
            let all = self.shop.database.collection::<Document>(collection);
            all.delete_many(doc! {}).await.unwrap();
            if !documents.is_empty() {
                all.insert_many(documents).await.unwrap();
            }
        }))
        .await;
    }
}

fn is_nothing_left(healed: &ReconcileResponse) -> bool {
    // What was folded just now is a hold that is too young for the walk.
    let has_folded = healed.jobs.iter().any(|job| job.job == "folding" && job.done > 0);
    healed.set_aside == 0 && !has_folded && healed.jobs.iter().all(|job| job.oldest_due_seconds.is_none())
}

/// The schedule that calls Reconcile.
struct Schedule {
    http: reqwest::Client,
    url: String,
}

impl Invoke for Schedule {
    fn invoke(&self, payload: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, Status>> {
        let request = self.http.post(&self.url).body(payload);
        Box::pin(async move {
            let lost = |error: reqwest::Error| Status::unavailable(error.to_string());
            let answer = request.send().await.map_err(lost)?;
            if !answer.status().is_success() || answer.headers().contains_key("x-amz-function-error") {
                return Err(Status::unavailable("the function has failed"));
            }
            Ok(answer.bytes().await.map_err(lost)?.to_vec())
        })
    }
}

fn stored(product: &str) -> bson::Bson {
    mongo::uuid(product.parse::<ProductId>().unwrap()).into()
}

fn id_of(order: &Document) -> OrderId {
    let Some(bson::Bson::Binary(id)) = order.get("_id") else { panic!("{order}") };
    mongo::id(id.to_uuid().unwrap())
}

fn item_of(order: OrderId, product: &str) -> ItemId {
    entry_id::of_item(order, product.parse().unwrap())
}

/// Units of a product in an order.
struct Units {
    held: i64,
    shipped: i64,
    restocked: i64,
}

impl Units {
    fn of(order: &Document, product: &str) -> Self {
        let item = bson::Bson::from(mongo::uuid(item_of(id_of(order), product)));
        let sum = |list: &str, field: &str, counts: fn(&str) -> bool| -> i64 {
            let parts = order.get_array(list).into_iter().flatten().filter_map(bson::Bson::as_document);
            // A cancellation has no status.
            let parts = parts.filter(|part| part.get_str("status").ok().is_none_or(counts));
            let items = parts.flat_map(|part| part.get_array("items").unwrap());
            let items = items.filter_map(bson::Bson::as_document).filter(|it| it.get("id") == Some(&item));
            items.map(|item| item.get_i64(field).unwrap()).sum()
        };
        let shipped = sum("fulfillments", "quantity", |status| status != "cancelled");
        let restocked = sum("returns", "restocked", |status| status == "received");
        let cancelled = sum("cancellations", "quantity", |_| true);
        let holds = ["placed", "paid"].contains(&order.get_str("status").unwrap());
        let held = if holds { quantity_of(order, product) - cancelled - shipped } else { 0 };
        Self { held, shipped, restocked }
    }
}

fn is_void(order: &Document) -> bool {
    order.get_str("status").is_ok_and(|status| status == "void")
}

fn quantity_of(order: &Document, product: &str) -> i64 {
    let Ok(items) = order.get_array("items") else { return 0 };
    let items = items.iter().map(|item| item.as_document().unwrap());
    let of_product = items.filter(|item| item.get("product_id") == Some(&stored(product)));
    of_product.map(|item| item.get_i64("quantity").unwrap()).sum()
}
