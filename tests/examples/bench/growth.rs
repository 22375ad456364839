//! Row of growth: what each endpoint costs a large shop, beside a small one. Each shop has a MongoDB of its own.

use std::cell::RefCell;

use futures::TryStreamExt as _;
use http::Method;
use local::bench::Plan;
use local::bench::results::Measured;
use local::bench::rows::Row;
use local::seed::{self, Amounts};
use mongod::Mongod;
use mongodb::Database;
use mongodb::bson::{self, Document, doc};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use shared::values::ids::{OrderId, ProductId, UserId};
use tests::lambda::Options;
use tests::meter::idle_mongodb_cpu;
use tests::on_lambda::OnLambda;
use tests::person::Person;
use tests::shop::{new_sku, order_of};
use uuid::Uuid;

use crate::requests::{alternate, window};
use crate::shops::functions_cpu;

const SMALL: Amounts = Amounts { products: 40, orders: 1_000, users: 40 };
const LARGE: Amounts = Amounts { products: 100_000, orders: 1_000_000, users: 20_000 };
const LARGE_QUICK: Amounts = Amounts { products: 10_000, orders: 100_000, users: 2_000 };

/// Endpoints. `{id}` is any of the collection, `{user}` one of the users with most orders, `{product}` one of the
/// products with most orders. Orders are placed before they are paid.
const ENDPOINTS: [(Method, &str); 19] = [
    (Method::POST, "/orders"),
    (Method::PUT, "/orders/{unpaid}"),
    (Method::GET, "/orders/{id}"),
    (Method::GET, "/orders"),
    (Method::GET, "/orders?status=paid"),
    (Method::GET, "/orders?user_id={user}"),
    (Method::GET, "/orders?product_id={product}"),
    (Method::GET, "/orders?sort=total"),
    (Method::GET, "/products/{id}"),
    (Method::GET, "/products"),
    (Method::GET, "/products?sort=price"),
    (Method::GET, "/products?q=zephyr"),
    (Method::GET, "/products?q=of"),
    (Method::GET, "/products/{product}/stock/movements"),
    (Method::GET, "/users/{id}"),
    (Method::GET, "/users"),
    (Method::PUT, "/products/{own}"),
    (Method::PUT, "/products/{own}/stock"),
    (Method::POST, "/products"),
];

/// Products that are ordered and changed. They alone have the word `zephyr`; all others have the word `of`.
const OWN: usize = 40;

/// Documents of a collection that are read by their IDs.
const READ: i32 = 400;

/// Orders of which the most frequent users and products are taken, and how many.
const SAMPLE: i32 = 10_000;
const BUSY: i32 = 5;

/// Measures all endpoints, by the same requests to both shops.
pub(crate) async fn growth(plan: &Plan) -> Vec<Measured> {
    // First the one that takes long: access tokens end after 15 minutes.
    let large = Shop::open(plan, if plan.quick { LARGE_QUICK } else { LARGE }).await;
    let small = Shop::open(plan, SMALL).await;
    let mut rows = Vec::new();
    for (method, path) in ENDPOINTS {
        let name = format!("{method} {path}");
        eprintln!("  {name}");
        let cost = async |shop: &Shop| {
            let cpu = || functions_cpu(&shop.shop.lambda);
            let request = async |place| shop.request(&method, path, place).await;
            let window = window(cpu, &shop.shop.database, shop.idle, request).await;
            window.functions + window.mongodb
        };
        let pairs = alternate(plan.quick, async || cost(&large).await, async || cost(&small).await).await;
        rows.push(Measured::of(Row::Growth, &pairs).of_case(name));
    }
    for shop in [large, small] {
        shop.server.stop().await;
    }
    rows
}

/// Shop of the past years, and what requests need to know of it.
struct Shop {
    server: Mongod,
    shop: OnLambda,
    /// Microseconds of processor time that MongoDB takes in a second without requests.
    idle: u64,
    customer: Person,
    own: Vec<String>,
    orders: Vec<String>,
    products: Vec<String>,
    users: Vec<String>,
    busy_users: Vec<String>,
    busy_products: Vec<String>,
    unpaid: RefCell<Vec<String>>,
}

impl Shop {
    async fn open(plan: &Plan, amounts: Amounts) -> Self {
        let server = mongod::start_for_tests().await.expect("a MongoDB");
        let folder = plan.programs.clone();
        let program = move |name: &str| folder.join(name);
        let mut shop = OnLambda::open_programs(program, server.uri(), Options::default(), |it| it).await;
        let database = shop.database.clone();
        let mut rng = StdRng::seed_from_u64(1);
        seed::fill(&database, amounts, None, &mut rng, &|line| eprintln!("  {line}")).await.expect("a shop");
        shop.admin_signs_in_again().await;
        let customer = shop.customer().await;
        let mut own = Vec::new();
        for _ in 0..OWN {
            let product = json!({ "name": "Mug zephyr", "stock": 1_000_000 });
            own.push(shop.product_with(product).await.id());
        }
        let order = |id| OrderId::from_uuid(id).to_string();
        let product = |id| ProductId::from_uuid(id).to_string();
        let user = |id| UserId::from_uuid(id).to_string();
        let orders = some(&database, "orders").await.into_iter().map(order).collect();
        let products = some(&database, "products").await.into_iter().map(product).collect();
        let users = some(&database, "users").await.into_iter().map(user).collect();
        let busy_users = busiest(&database, "$user_id").await.into_iter().map(user).collect();
        let busy_products = busiest(&database, "$items.product_id").await.into_iter().map(product).collect();
        // What was loaded is written now, and not while requests are measured.
        database.client().database("admin").run_command(doc! { "fsync": 1 }).await.unwrap();
        let idle = idle_mongodb_cpu(&database).await;
        let unpaid = RefCell::default();
        Self { server, shop, idle, customer, own, orders, products, users, busy_users, busy_products, unpaid }
    }

    /// Sends a request to this endpoint, which must have a full page if it is a list.
    async fn request(&self, method: &Method, endpoint: &str, place: usize) {
        let ids = match endpoint.split(['/', '?']).nth(1) {
            Some("orders") => &self.orders,
            Some("products") => &self.products,
            _ => &self.users,
        };
        let mut path = endpoint.to_owned();
        for (name, ids) in [
            ("{id}", ids),
            ("{user}", &self.busy_users),
            ("{product}", &self.busy_products),
            ("{own}", &self.own),
        ] {
            path = path.replace(name, &ids[rand::random_range(0..ids.len())]);
        }
        let admin = self.shop.admin();
        match (method, endpoint) {
            (&Method::POST, "/orders") => {
                let (body, key) = (order_of(&self.own[place % OWN], 1), Uuid::new_v4().to_string());
                let order = self.customer.send_keyed(Method::POST, "/orders", &key, &body).await.expect(201);
                self.unpaid.borrow_mut().push(order.id());
            }
            (&Method::PUT, "/orders/{unpaid}") => {
                let order = self.unpaid.borrow_mut().pop().expect("an order that is not paid");
                admin.moves(&order, "paid").await.expect(200);
            }
            (&Method::GET, _) => {
                let answer = admin.get(&path).await.expect(200);
                if let Value::Array(page) = &answer["data"] {
                    assert!(page.len() >= 20, "{path}: {} elements", page.len());
                }
            }
            (&Method::PUT, "/products/{own}/stock") => {
                admin.put(&path, json!({ "delta": 1 })).await.expect(200);
            }
            (&Method::PUT, _) => {
                let price = json!({ "amount": rand::random_range(100..1_000), "currency": "EUR" });
                admin.put(&path, json!({ "price": price })).await.expect(200);
            }
            _ => {
                self.shop.product_with(json!({ "sku": new_sku() })).await;
            }
        }
    }
}

/// IDs of some documents, by chance.
async fn some(database: &Database, collection: &str) -> Vec<Uuid> {
    ids(database, collection, vec![doc! { "$sample": { "size": READ } }]).await
}

/// The most frequent values of a field in a sample of orders.
async fn busiest(database: &Database, field: &str) -> Vec<Uuid> {
    let stages = vec![
        doc! { "$sample": { "size": SAMPLE } },
        doc! { "$unwind": "$items" },
        doc! { "$group": { "_id": field, "count": { "$sum": 1 } } },
        doc! { "$sort": { "count": -1 } },
        doc! { "$limit": BUSY },
    ];
    ids(database, "orders", stages).await
}

async fn ids(database: &Database, collection: &str, stages: Vec<Document>) -> Vec<Uuid> {
    let found = database.collection::<Document>(collection).aggregate(stages).allow_disk_use(true).await;
    let found: Vec<Document> = found.unwrap().try_collect().await.unwrap();
    let id = |found: &Document| match found.get("_id") {
        Some(bson::Bson::Binary(id)) => Uuid::from_slice(&id.bytes).unwrap(),
        other => panic!("{other:?} is no ID"),
    };
    found.iter().map(id).collect()
}
