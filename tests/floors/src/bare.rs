//! Function that reads and writes as `POST /orders`, `GET /products/{id}` and the lists do, and does nothing else: it
//! checks no token, no key, no input and no stock, and calls no other function. It is the floor of `cargo local bench`.
//!
//! `MONGO_URI` names its database. An order is a copy of the only document of `templates`, under an ID of its own.

use futures::TryStreamExt as _;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{DateTime, Document, Uuid, doc};
use mongodb::options::ClientOptions;
use mongodb::{Client, Collection, Database};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};

/// Documents on a page.
const PAGE: i64 = 20;

/// Entries that a journal keeps: about as many as one of the shop has between two folds.
const KEPT: i32 = 32;

/// Event of API Gateway.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    raw_path: String,
    request_context: RequestContext,
    body: Option<String>,
}

#[derive(Deserialize)]
struct RequestContext {
    http: Http,
}

#[derive(Deserialize)]
struct Http {
    method: String,
}

/// Answer to API Gateway.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status_code: u16,
    headers: ContentType,
    body: String,
}

#[derive(Serialize)]
struct ContentType {
    #[serde(rename = "content-type")]
    content_type: &'static str,
}

/// Order that a client sends. The rest of it is ignored.
#[derive(Deserialize)]
struct NewOrder {
    product: Uuid,
}

#[derive(Serialize)]
struct Placed {
    #[serde(serialize_with = "text")]
    id: Uuid,
}

#[derive(Deserialize, Serialize)]
struct Product {
    #[serde(rename(serialize = "id"), serialize_with = "text")]
    _id: Uuid,
    sku: String,
    name: String,
    description: Option<String>,
    price: Price,
    attributes: Vec<Entry>,
    status: String,
    version: i64,
    #[serde(serialize_with = "time")]
    created_at: DateTime,
    #[serde(serialize_with = "time")]
    updated_at: DateTime,
}

#[derive(Deserialize, Serialize)]
struct Price {
    amount: i64,
    currency: String,
}

#[derive(Deserialize, Serialize)]
struct Entry {
    k: String,
    v: String,
}

#[derive(Deserialize, Serialize)]
struct Order {
    #[serde(rename(serialize = "id"), serialize_with = "text")]
    _id: Uuid,
    number: String,
    #[serde(serialize_with = "text")]
    user_id: Uuid,
    status: String,
    items: Vec<Item>,
    currency: String,
    total: i64,
    shipping_address: Address,
    note: Option<String>,
    metadata: Vec<Entry>,
    history: Vec<Change>,
    version: i64,
    #[serde(serialize_with = "time")]
    created_at: DateTime,
    #[serde(serialize_with = "time")]
    updated_at: DateTime,
}

#[derive(Deserialize, Serialize)]
struct Item {
    #[serde(serialize_with = "text")]
    product_id: Uuid,
    sku: String,
    name: String,
    unit_price: i64,
    quantity: i64,
}

#[derive(Deserialize, Serialize)]
struct Address {
    line1: String,
    line2: Option<String>,
    city: String,
    region: Option<String>,
    postal_code: Option<String>,
    country: String,
}

#[derive(Deserialize, Serialize)]
struct Change {
    from: Option<String>,
    to: String,
    #[serde(serialize_with = "time")]
    at: DateTime,
}

fn text<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

fn time<S: Serializer>(at: &DateTime, serializer: S) -> Result<S::Ok, S::Error> {
    let at = at.try_to_rfc3339_string().map_err(serde::ser::Error::custom)?;
    serializer.serialize_str(&at)
}

/// Collections of the function.
struct Store {
    stock: Collection<Document>,
    orders: Collection<Document>,
    database: Database,
    template: Option<Document>,
}

impl Store {
    /// Connects, and sends the first query.
    async fn open() -> Result<Self, Error> {
        let mut options = ClientOptions::parse(std::env::var("MONGO_URI")?).await?;
        options.max_pool_size = Some(2);
        let client = Client::with_options(options)?;
        let database = client.default_database().ok_or("MONGO_URI names no database")?;
        let template = database.collection::<Document>("templates").find_one(doc! {}).await?;
        let (stock, orders) = (database.collection("stock"), database.collection("orders"));
        Ok(Self { stock, orders, database, template })
    }

    async fn answer(&self, event: &Event) -> Result<String, Error> {
        match (event.request_context.http.method.as_str(), event.raw_path.as_str()) {
            ("POST", _) => self.place(event.body.as_deref().unwrap_or_default()).await,
            (_, "/orders") => self.list::<Order>("orders").await,
            (_, "/products") => self.list::<Product>("products").await,
            (_, path) => self.find(path.rsplit('/').next().unwrap_or_default()).await,
        }
    }

    /// Holds one unit, and inserts an order.
    async fn place(&self, body: &str) -> Result<String, Error> {
        let NewOrder { product } = serde_json::from_str(body)?;
        let id = Uuid::new();
        let entry = doc! { "o": id, "r": 1_i64, "q": 1_i64, "t": DateTime::now() };
        let update = doc! {
            "$inc": { "reserved": 1_i64 },
            "$push": { "pending": { "$each": [entry], "$slice": -KEPT } },
        };
        let held = self.stock.update_one(doc! { "_id": product }, update).await?;
        if held.matched_count != 1 {
            return Err("no such product".into());
        }
        let mut order = self.template.clone().ok_or("there is no template of an order")?;
        // Unique as those of the shop are.
        order.extend(doc! { "_id": id, "number": ObjectId::new().to_hex(), "created_at": DateTime::now() });
        if let Ok(key) = order.get_document_mut("placed_under") {
            key.insert("key", id.to_string());
        }
        self.orders.insert_one(order).await?;
        Ok(serde_json::to_string(&Placed { id })?)
    }

    /// Finds a product.
    async fn find(&self, id: &str) -> Result<String, Error> {
        let products = self.database.collection::<Product>("products");
        let product = products.find_one(doc! { "_id": Uuid::parse_str(id)? }).await?;
        Ok(serde_json::to_string(&product.ok_or("no such product")?)?)
    }

    /// Finds a page of documents.
    async fn list<T>(&self, collection: &str) -> Result<String, Error>
    where
        T: DeserializeOwned + Serialize + Send + Sync,
    {
        let page = self.database.collection::<T>(collection).find(doc! {}).limit(PAGE).await?;
        let page: Vec<T> = page.try_collect().await?;
        Ok(serde_json::to_string(&page)?)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let store = Store::open().await?;
    let store = &store;
    run(service_fn(async |event: LambdaEvent<Event>| {
        let body = store.answer(&event.payload).await?;
        let status_code = if event.payload.request_context.http.method == "POST" { 201 } else { 200 };
        let headers = ContentType { content_type: "application/json" };
        Ok::<_, Error>(Answer { status_code, headers, body })
    }))
    .await
}
