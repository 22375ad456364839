//! Holds that a test puts into the database, and journals that it folds.

use std::collections::HashMap;
use std::time::Duration;

use mongodb::Database;
use mongodb::bson::{self, DateTime, Document, doc};
use products::store::SCHEMA;
use proto::products::v1 as wire;
use proto::products::v1::product_service_client::ProductServiceClient;
use shared::auth::Caller;
use shared::mongo;
use shared::rpc::channel::Channel;
use shared::rpc::metadata;
use shared::runtime::context::Context;
use shared::values::clock::Clock;
use shared::values::ids::OrderId;

/// Maximum number of products in a call.
const PAGE: i64 = 1_000;

/// Hold of an order: quantities of products.
#[derive(Clone, Debug)]
pub struct StoredHold {
    /// Order.
    pub order: bson::Uuid,
    /// Products and quantities.
    pub items: Vec<(bson::Uuid, i64)>,
    /// Time at which it was written.
    pub at: DateTime,
}

impl StoredHold {
    /// Hold of one unit for a new order.
    pub fn new(product: bson::Uuid, at: DateTime) -> Self {
        Self { order: mongo::uuid(OrderId::new()), items: vec![(product, 1)], at }
    }

    /// Document of the hold.
    pub fn document(&self) -> Document {
        let item = |(product, quantity): &(bson::Uuid, i64)| doc! { "p": product, "q": quantity };
        let items: Vec<Document> = self.items.iter().map(item).collect();
        let live = self.items.iter().any(|(_, quantity)| *quantity > 0);
        doc! {
            "_id": self.order, "r": 1_i64, "items": items, "live": live, "at": self.at, "writer": SCHEMA.version,
        }
    }
}

/// Inserts holds, and counts their units as reserved.
pub async fn insert_holds(database: &Database, holds: &[StoredHold]) {
    let mut reserved: HashMap<bson::Uuid, i64> = HashMap::new();
    for (product, quantity) in holds.iter().flat_map(|hold| &hold.items) {
        *reserved.entry(*product).or_default() += quantity;
    }
    let all = database.collection::<Document>("stock_holds");
    let inserted = all.insert_many(holds.iter().map(StoredHold::document)).await;
    inserted.unwrap_or_else(|error| panic!("{error}"));
    let stock = database.collection::<Document>("stock");
    for (product, quantity) in reserved {
        let raised = doc! { "$inc": { "reserved": quantity } };
        let raised = stock.update_one(doc! { "_id": product }, raised).await;
        assert_eq!(raised.unwrap_or_else(|error| panic!("{error}")).matched_count, 1);
    }
}

/// Folds the journals of all products, as far as they can be folded.
///
/// # Errors
/// Text of the status, if products does not answer.
pub async fn fold(products: Channel, clock: &Clock) -> Result<(), String> {
    let mut client = ProductServiceClient::new(products);
    let mut after = None;
    loop {
        let context = Context::new(Caller::System, clock.now().after(Duration::from_secs(20)));
        let request = wire::FoldJournalsRequest { after, limit: PAGE };
        let folded = client.fold_journals(metadata::request(request, &context)).await;
        let folded = folded.map_err(|status| status.to_string())?.into_inner();
        after = folded.last;
        if !folded.more {
            return Ok(());
        }
    }
}

/// Makes all journal entries and holds older by so many milliseconds.
pub async fn age(database: &Database, millis: i64) {
    let earlier = |time: &str| doc! { "$subtract": [time, millis] };
    let pending = doc! { "$map": { "input": "$pending", "as": "entry", "in": {
        "$mergeObjects": ["$$entry", { "t": earlier("$$entry.t") }],
    } } };
    // A stock without an entry is left alone: somebody may have locked it.
    let of_stocks = ("stock", "pending", "pending.0", pending);
    for (collection, time, there, value) in [of_stocks, ("stock_holds", "at", "at", earlier("$at"))] {
        let all = database.collection::<Document>(collection);
        let there = doc! { there: { "$exists": true } };
        let aged = all.update_many(there, vec![doc! { "$set": { time: value } }]);
        // A document may be one that MongoDB would refuse today.
        aged.bypass_document_validation(true).await.unwrap_or_else(|error| panic!("{error}"));
    }
}
