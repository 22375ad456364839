//! Data of the consistency check: products with their counts, their ledgers and the sums of their holds.

use std::collections::HashMap;

use futures::TryStreamExt as _;
use mongodb::bson::{self, Document, doc};
use mongodb::options::{Hint, ReadConcern};
use mongodb::{ClientSession, SessionCursor};
use serde::de::DeserializeOwned;
use shared::error::Error;
use shared::mongo;
use shared::mongo::json_schema;
use shared::mongo::unreadable::{self, Unreadable};
use shared::values::ids::{OrderId, ProductId};

use super::checkpoints::Checkpoint;
use super::documents::{HOLDS_OF_PRODUCT, StockDocument};
use super::holds::{Held, one_of, read_hold};
use super::{PRODUCTS, ProductDocument, ProductStore, STOCK, product_rule, shown};
use crate::holds::AuditedProduct;
use crate::stock::Stock;

/// Number of ledger entries that no checkpoint covers, after which a page ends.
const MAX_AUDITED_MOVEMENTS: i64 = 200_000;

/// Number of orders whose holds are read at once.
const ORDERS_AT_ONCE: usize = 1_000;

impl ProductStore {
    /// Reads a page of products by ID, all as of one moment. The flag is true if there are more.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn audit(
        &self,
        after: Option<ProductId>,
        limit: i64,
    ) -> Result<(Vec<AuditedProduct>, bool), Error> {
        let arrays_gone = self.arrays_are_gone().await?;
        // All reads of the session see one majority snapshot. Each read must ask for it, since the client's
        // own read concern overrides the session's.
        let mut session = self.database.start_session().snapshot(true).await?;
        let mut ids = mongo::any_uuid();
        if let Some(after) = after {
            ids.insert("$gt", mongo::uuid(after));
        }
        let cursor = self
            .documents()
            .find(doc! { "_id": ids })
            .projection(doc! { "_id": 1, "is_array": { "$ne": [{ "$type": "$holds" }, "missing"] } })
            .sort(doc! { "_id": 1 })
            .limit(limit + 1)
            .read_concern(ReadConcern::snapshot())
            .session(&mut session)
            .await?;
        let found: Vec<Document> = all(cursor, &mut session).await?;
        let length = found.len();
        let mut products: Vec<ProductId> =
            found.iter().filter_map(unreadable::id_of).map(ProductId::from_uuid).collect();
        let ids: Vec<bson::Uuid> = products.iter().copied().map(mongo::uuid).collect();
        let mut left_out = Vec::new();
        let stocks = self.stocks_of(&mut session, &ids, &mut left_out).await?;
        let checkpoints = self.checkpoints(&mut session, &ids).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        products.truncate(audited(&products, &stocks, &checkpoints, limit));
        let more = length > products.len();
        let ids: Vec<bson::Uuid> = products.iter().copied().map(mongo::uuid).collect();

        let held = self.sums_of_holds(&mut session, &ids, &stocks).await?;
        left_out.extend(self.unreadable_of(&mut session, &ids).await?);
        if !arrays_gone {
            // Until the arrays are copied, the holds of a product are in both places.
            let in_array = |document: &&Document| document.get_bool("is_array").unwrap_or(false);
            let in_arrays = found.iter().filter(in_array);
            left_out.extend(in_arrays.map(|document| Unreadable::of(PRODUCTS, document)));
        }
        unreadable::log(&left_out);
        let ledgers: Vec<(ProductId, i64, i64)> = products
            .iter()
            .filter_map(|product| {
                Some((*product, stocks.get(product)?.movements, stocks.get(product)?.on_hand))
            })
            .collect();
        let sums = self.ledger_sums(&mut session, &ledgers, checkpoints).await?;

        let audited = products.into_iter().map(|product| {
            let Some(stock) = stocks.get(&product) else { return AuditedProduct::unreadable(product) };
            AuditedProduct {
                product,
                unreadable: left_out.iter().any(|it| it.id == Some(product.uuid())),
                stock: Stock { on_hand: stock.on_hand, reserved: stock.reserved },
                ledger: sums.get(&product).copied().unwrap_or(0),
                held: held.get(&product).copied().unwrap_or(0),
                oldest_entry: stock.pending.iter().map(|entry| mongo::timestamp(entry.t)).min(),
            }
        });
        Ok((audited.collect(), more))
    }

    async fn stocks_of(
        &self,
        session: &mut ClientSession,
        products: &[bson::Uuid],
        left_out: &mut Vec<Unreadable>,
    ) -> Result<HashMap<ProductId, StockDocument>, Error> {
        let cursor = self
            .stocks
            .find(doc! { "_id": { "$in": products } })
            .projection(doc! { "folded": 0, "pending.s": 0 })
            .read_concern(ReadConcern::snapshot())
            .session(&mut *session)
            .await?;
        let mut stocks = HashMap::new();
        for mut stock in all::<Document>(cursor, session).await? {
            stock.insert("folded", Vec::<Document>::new());
            match StockDocument::read(stock) {
                Ok(stock) => drop(stocks.insert(stock.product(), stock)),
                Err(unreadable) => left_out.push(unreadable),
            }
        }
        // One that is missing cannot be read either.
        for id in products {
            let id = uuid::Uuid::from_bytes(id.bytes());
            let is_known = left_out.iter().any(|it| it.id == Some(id));
            if !stocks.contains_key(&ProductId::from_uuid(id)) && !is_known {
                left_out.push(Unreadable { collection: STOCK, id: Some(id) });
            }
        }
        Ok(stocks)
    }

    /// Adds up the units held of these products: by the live holds, and by the entries that are newer than these.
    async fn sums_of_holds(
        &self,
        session: &mut ClientSession,
        products: &[bson::Uuid],
        stocks: &HashMap<ProductId, StockDocument>,
    ) -> Result<HashMap<ProductId, i64>, Error> {
        let of_these = doc! { "items.p": { "$in": products } };
        let sums = vec![
            doc! { "$match": { "live": true, "items.p": { "$in": products } } },
            doc! { "$project": { "items.p": 1, "items.q": 1 } },
            doc! { "$unwind": "$items" },
            doc! { "$match": of_these },
            doc! { "$group": { "_id": "$items.p", "held": { "$sum": "$items.q" } } },
        ];
        let cursor = self
            .holds
            .aggregate(sums)
            .hint(Hint::Name(HOLDS_OF_PRODUCT.to_owned()))
            .read_concern(ReadConcern::snapshot())
            .session(&mut *session)
            .await?;
        let mut held: HashMap<ProductId, i64> = HashMap::new();
        for sum in all::<Document>(cursor, session).await? {
            let count = sum.get_i64("held").or_else(|_| sum.get_i32("held").map(i64::from));
            if let (Some(product), Ok(count)) = (unreadable::id_of(&sum), count) {
                held.insert(ProductId::from_uuid(product), count);
            }
        }
        let of_page = |stock: &&StockDocument| products.contains(&stock._id);
        let mut orders: Vec<OrderId> = stocks
            .values()
            .filter(of_page)
            .flat_map(|stock| stock.pending.iter().map(|entry| mongo::id(entry.o)))
            .collect();
        orders.sort_unstable();
        orders.dedup();
        let holds = self.holds_as_of(session, &orders).await?;
        for stock in stocks.values().filter(of_page) {
            let product = stock.product();
            for entry in &stock.pending {
                let order: OrderId = mongo::id(entry.o);
                let hold = holds.get(&order);
                if hold.is_some_and(|hold| hold.revision >= entry.r) {
                    continue;
                }
                let of_product = hold.and_then(|hold| hold.holds.iter().find(|it| it.product == product));
                let before = of_product.map_or(0, |it| it.quantity);
                let sum = held.entry(product).or_default();
                *sum = sum.saturating_add(entry.q).saturating_sub(before);
            }
        }
        Ok(held)
    }

    async fn holds_as_of(
        &self,
        session: &mut ClientSession,
        orders: &[OrderId],
    ) -> Result<HashMap<OrderId, Held>, Error> {
        let (mut holds, mut left_out) = (HashMap::new(), Vec::new());
        for chunk in orders.chunks(ORDERS_AT_ONCE) {
            let cursor = self
                .holds
                .find(doc! { "_id": one_of(chunk) })
                .read_concern(ReadConcern::snapshot())
                .session(&mut *session)
                .await?;
            for hold in all::<Document>(cursor, session).await? {
                match read_hold(hold) {
                    Ok((order, held)) => drop(holds.insert(order, held)),
                    Err(unreadable) => left_out.push(unreadable),
                }
            }
        }
        unreadable::log(&left_out);
        Ok(holds)
    }

    /// Finds those of these products whose catalogue fields cannot be read. MongoDB names those whose types do
    /// not fit; they are few, and are read whole, one after the other.
    async fn unreadable_of(
        &self,
        session: &mut ClientSession,
        products: &[bson::Uuid],
    ) -> Result<Vec<Unreadable>, Error> {
        let fits = doc! { "$jsonSchema": json_schema::types(&product_rule()) };
        let mut cursor = self
            .documents()
            .find(doc! { "_id": { "$in": products }, "$nor": [fits] })
            .projection(shown())
            .read_concern(ReadConcern::snapshot())
            .session(&mut *session)
            .await?;
        let mut unreadable = Vec::new();
        let mut found = cursor.stream(session);
        while let Some(document) = found.try_next().await? {
            unreadable.extend(ProductDocument::read(document, Stock { on_hand: 0, reserved: 0 }).err());
        }
        Ok(unreadable)
    }
}

/// Number of these products that a page takes: at least one, however long its ledger.
fn audited(
    products: &[ProductId],
    stocks: &HashMap<ProductId, StockDocument>,
    checkpoints: &HashMap<ProductId, Checkpoint>,
    limit: usize,
) -> usize {
    let mut movements = 0_i64;
    let fits = |product: &&ProductId| {
        let all = stocks.get(product).map_or(0, |stock| stock.movements);
        let verified = checkpoints.get(product).map_or(0, |it| it.number);
        movements = movements.saturating_add(all.saturating_sub(verified));
        movements <= MAX_AUDITED_MOVEMENTS
    };
    products.iter().take(limit).take_while(fits).count().max(1)
}

async fn all<T: DeserializeOwned + Unpin + Send + Sync>(
    mut cursor: SessionCursor<T>,
    session: &mut ClientSession,
) -> mongodb::error::Result<Vec<T>> {
    cursor.stream(session).try_collect().await
}
