//! The functions and their floor, each on a small Lambda, with one MongoDB.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use futures::TryStreamExt as _;
use http::Method;
use local::bench::Plan;
use local::gateway::Function;
use mongod::Mongod;
use mongodb::bson::{Bson, Document, doc};
use mongodb::{Database, IndexModel};
use serde_json::{Value, json};
use shared::mongo;
use shared::values::ids::{OrderId, ProductId};
use tests::JWT_SECRET;
use tests::lambda::{Lambda, Options, Settings};
use tests::meter::{idle_mongodb_cpu, process_cpu};
use tests::on_lambda::OnLambda;
use tests::person::{PASSWORD, Person};
use tests::shop::order_of;
use uuid::Uuid;

/// Number of products: more than a page has, and enough for clients not to meet.
const PRODUCTS: usize = 40;

/// Stock of each product.
const STOCK: i64 = 1_000_000_000;

/// Orders before the measurement: connections are open then, and keys known.
const WARM: usize = 50;

/// The functions.
pub(crate) struct Ours {
    pub(crate) shop: OnLambda,
    pub(crate) customer: Person,
    products: Vec<String>,
}

/// The function that reads and writes, and does nothing else.
pub(crate) struct Bare {
    pub(crate) lambda: Lambda,
    client: Person,
    products: Vec<Uuid>,
}

/// Both, with their MongoDB.
pub(crate) struct Shops {
    server: Mongod,
    pub(crate) ours: Ours,
    pub(crate) bare: Bare,
    /// Connection string of the floor.
    pub(crate) bare_uri: String,
    /// Microseconds of processor time that MongoDB takes in a second without requests.
    pub(crate) idle: u64,
}

/// Side of a comparison.
pub(crate) trait Side {
    /// Places an order of the product at this place.
    async fn order(&self, product: usize);

    /// Reads the product at this place.
    async fn product(&self, product: usize);

    /// Reads a page of `/products` or `/orders`.
    async fn list(&self, path: &str);

    /// Microseconds of processor time that its processes have taken.
    fn cpu(&self) -> u64;
}

impl Ours {
    /// Compares all orders with the stock.
    pub(crate) async fn assert_consistent(&self) {
        let mut cursor = String::new();
        loop {
            let page =
                self.shop.admin().get(&format!("/orders/consistency?limit=1000{cursor}")).await.expect(200);
            assert_eq!(page["violations"], json!([]));
            let Some(next) = page["next_cursor"].as_str() else { return };
            cursor = format!("&cursor={next}");
        }
    }

    /// Places an order, and repeats its request. Returns the fields of the answer and of the document.
    async fn placed(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let (body, key) = (order_of(&self.products[0], 1), Uuid::new_v4().to_string());
        let place = || self.customer.send_keyed(Method::POST, "/orders", &key, &body);
        let (placed, again) = (place().await.expect(201), place().await.expect(201));
        assert_eq!(placed.body, again.body);
        let id: OrderId = placed.id().parse().unwrap();
        let orders = self.shop.database.collection::<Document>("orders");
        let stored = orders.find_one(doc! { "_id": mongo::uuid(id) }).await.unwrap().expect("an order");
        (fields("", &placed.body), stored_fields("", &Bson::Document(stored)))
    }
}

/// Fields of a value, each with its path, and with its value if that is the same for all orders.
fn fields(path: &str, value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(all) if !all.is_empty() => {
            all.iter().flat_map(|(name, value)| fields(&format!("{path}/{name}"), value)).collect()
        }
        Value::Array(all) if !all.is_empty() => {
            all.iter().flat_map(|value| fields(&format!("{path}/-"), value)).collect()
        }
        Value::String(text) if text.len() > 8 => BTreeSet::from([format!("{path}: text of {}", text.len())]),
        other => BTreeSet::from([format!("{path}: {other}")]),
    }
}

/// The same of a stored value.
fn stored_fields(path: &str, value: &Bson) -> BTreeSet<String> {
    match value {
        Bson::Document(all) => {
            all.iter().flat_map(|(name, value)| stored_fields(&format!("{path}/{name}"), value)).collect()
        }
        Bson::Array(all) if !all.is_empty() => {
            all.iter().flat_map(|value| stored_fields(&format!("{path}/-"), value)).collect()
        }
        Bson::Binary(all) => BTreeSet::from([format!("{path}: {:?} of {}", all.subtype, all.bytes.len())]),
        Bson::String(text) if text.len() > 8 => BTreeSet::from([format!("{path}: text of {}", text.len())]),
        Bson::DateTime(_) => BTreeSet::from([format!("{path}: time")]),
        other => BTreeSet::from([format!("{path}: {:?} {other}", other.element_type())]),
    }
}

impl Side for Ours {
    async fn order(&self, product: usize) {
        let body = order_of(&self.products[product % PRODUCTS], 1);
        let key = Uuid::new_v4().to_string();
        self.customer.send_keyed(Method::POST, "/orders", &key, &body).await.expect(201);
    }

    async fn product(&self, product: usize) {
        let path = format!("/products/{}", self.products[product % PRODUCTS]);
        self.customer.get(&path).await.expect(200);
    }

    async fn list(&self, path: &str) {
        let page = self.customer.get(&format!("{path}?limit=20")).await.expect(200);
        assert_eq!(page["data"].as_array().map(Vec::len), Some(20));
    }

    fn cpu(&self) -> u64 {
        functions_cpu(&self.shop.lambda)
    }
}

/// Microseconds of processor time that the functions of a shop have taken.
pub(crate) fn functions_cpu(lambda: &Lambda) -> u64 {
    let all = Function::ALL.into_iter().flat_map(|function| lambda.environments(function.name()));
    all.map(|environment| process_cpu(environment.pid())).sum()
}

impl Side for Bare {
    async fn order(&self, product: usize) {
        // As long as a real one.
        let mut body = order_of("", 1);
        body["product"] = json!(self.products[product % PRODUCTS]);
        let key = Uuid::new_v4().to_string();
        let request = self.client.request(Method::POST, "/orders").header("idempotency-key", key);
        self.answered(request.header("content-type", "application/json").body(body.to_string()), 201).await;
    }

    async fn product(&self, product: usize) {
        let path = format!("/products/{}", self.products[product % PRODUCTS]);
        self.answered(self.client.request(Method::GET, &path), 200).await;
    }

    async fn list(&self, path: &str) {
        let page = self.answered(self.client.request(Method::GET, path), 200).await;
        assert_eq!(page.as_array().map(Vec::len), Some(20));
    }

    fn cpu(&self) -> u64 {
        let all = ["orders", "products"].into_iter().flat_map(|name| self.lambda.environments(name));
        all.map(|environment| process_cpu(environment.pid())).sum()
    }
}

impl Bare {
    /// Starts a small Lambda with this program for each function.
    async fn start(program: impl Fn() -> PathBuf, uri: &str, customer: &Person, products: Vec<Uuid>) -> Self {
        let function = |name: &str| Settings::new(name, program()).variable("MONGO_URI", uri);
        let functions = vec![function("orders"), function("products")];
        let lambda = Lambda::start(functions, Options::default()).await.expect("a port");
        let client = customer.at(&lambda.url);
        Self { lambda, client, products }
    }

    async fn answered(&self, request: reqwest::RequestBuilder, status: u16) -> Value {
        self.client.outcome(request).await.unwrap().expect(status).body.clone()
    }
}

impl Shops {
    /// Opens both, with the programs of this folder.
    pub(crate) async fn open(programs: &Path) -> Self {
        let server = mongod::start_for_tests().await.expect("a MongoDB");
        let folder = programs.to_owned();
        let program = move |name: &str| folder.join(name);
        let shop = OnLambda::open_programs(program, server.uri(), Options::default(), |it| it).await;
        let customer = shop.customer().await;
        let mut products = Vec::new();
        for _ in 0..PRODUCTS {
            products.push(shop.product(STOCK).await);
        }
        let ours = Ours { shop, customer, products };
        for product in 0..WARM {
            ours.order(product).await;
        }
        let bare_uri = server.uri().replacen("/?", "/bare?", 1);
        let bare = open_bare(programs, &bare_uri, &ours).await;
        for product in 0..WARM {
            bare.order(product).await;
        }
        let idle = idle_mongodb_cpu(&ours.shop.database).await;
        Self { server, ours, bare, bare_uri, idle }
    }

    /// Starts the same floor in another program.
    pub(crate) async fn fastify(&self, program: &Path) -> Bare {
        self.bare_on(|| program.to_owned()).await
    }

    async fn bare_on(&self, program: impl Fn() -> PathBuf) -> Bare {
        Bare::start(program, &self.bare_uri, &self.ours.customer, self.bare.products.clone()).await
    }

    /// Opens both once more, on the same databases, with other programs of these names.
    pub(crate) async fn again(&self, program: impl Fn(&str) -> PathBuf) -> (Ours, Bare) {
        let bare = self.bare_on(|| program("bare")).await;
        let functions = Lambda::functions_of(program, &self.uri(), JWT_SECRET);
        let lambda = Lambda::start(functions, Options::default()).await.expect("a port");
        let shop = OnLambda::on(lambda, self.ours.shop.database.clone()).await;
        let customer = shop.anyone().signs_in(&self.ours.customer.email, PASSWORD).await;
        let ours = Ours { shop, customer, products: self.ours.products.clone() };
        for product in 0..WARM {
            ours.order(product).await;
            bare.order(product).await;
            bare.product(product).await;
        }
        (ours, bare)
    }

    /// Starts the functions in Go on the same database. Those that they do not replace are ours.
    ///
    /// Their orders, and their answers, have the same fields.
    pub(crate) async fn go(&self, plan: &Plan) -> Ours {
        let go = plan.go.as_deref().expect("a program in Go");
        let program = |name: &str| match name {
            "orders" | "products" => go.to_owned(),
            _ => plan.programs.join(name),
        };
        let signed = |function: Settings| match function.name.as_str() {
            "orders" => function.variable("WRITER", &orders::store::SCHEMA.version.to_string()),
            "products" => function.variable("WRITER", &products::store::SCHEMA.version.to_string()),
            _ => function,
        };
        let functions = Lambda::functions_of(program, &self.uri(), JWT_SECRET).into_iter().map(signed);
        let lambda = Lambda::start(functions.collect(), Options::default()).await.expect("a port");
        let shop = OnLambda::on(lambda, self.ours.shop.database.clone()).await;
        let customer = self.ours.customer.at(&shop.lambda.url);
        let go = Ours { shop, customer, products: self.ours.products.clone() };
        let (ours, theirs) = (self.ours.placed().await, go.placed().await);
        assert_eq!(ours, theirs);
        go
    }

    /// Connection string of the functions.
    pub(crate) fn uri(&self) -> String {
        let name = self.ours.shop.database.name();
        self.bare_uri.replacen("/bare?", &format!("/{name}?"), 1)
    }

    /// Version of MongoDB.
    pub(crate) async fn mongodb_version(&self) -> String {
        let info = self.ours.shop.database.run_command(doc! { "buildInfo": 1 }).await.unwrap();
        info.get_str("version").unwrap().to_owned()
    }

    /// Stops everything.
    pub(crate) async fn close(self) {
        let Self { server, ours, bare, .. } = self;
        drop((ours, bare));
        server.stop().await;
    }
}

/// Opens the floor, with documents of the functions.
async fn open_bare(programs: &Path, uri: &str, ours: &Ours) -> Bare {
    let database = mongo::connect(uri, "bare").await.expect("the database of the floor");
    let of_shop = &ours.shop.database;
    copy_list_indexes(of_shop, &database, "orders").await;
    copy(of_shop, &database, "products").await;
    let orders = copy(of_shop, &database, "orders").await;
    database.collection::<Document>("templates").insert_one(&orders[0]).await.unwrap();
    let products: Vec<Uuid> =
        ours.products.iter().map(|id| id.parse::<ProductId>().unwrap().uuid()).collect();
    let stock = |id: &Uuid| {
        let id = mongodb::bson::Uuid::from_bytes(*id.as_bytes());
        doc! { "_id": id, "on_hand": STOCK, "reserved": 0_i64, "pending": [] }
    };
    let stocks: Vec<Document> = products.iter().map(stock).collect();
    database.collection::<Document>("stock").insert_many(stocks).await.unwrap();
    Bare::start(|| programs.join("bare"), uri, &ours.customer, products).await
}

/// Copies the indexes that lists need: those that end with an ID.
async fn copy_list_indexes(from: &Database, to: &Database, collection: &str) {
    let all = from.collection::<Document>(collection).list_indexes().await.unwrap();
    let all: Vec<IndexModel> = all.try_collect().await.unwrap();
    let of_lists = all.into_iter().filter(|index| index.keys.contains_key("_id") && index.keys.len() > 1);
    to.collection::<Document>(collection).create_indexes(of_lists).await.unwrap();
}

async fn copy(from: &Database, to: &Database, collection: &str) -> Vec<Document> {
    let all = from.collection::<Document>(collection).find(doc! {}).await.unwrap();
    let all: Vec<Document> = all.try_collect().await.unwrap();
    to.collection::<Document>(collection).insert_many(&all).await.unwrap();
    all
}
