//! Queries of other functions about holds: pages of all holds, holds of some orders, pruning of tombstones,
//! and data for the stock audit.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::TryStreamExt as _;
use mongodb::bson::{self, Document, doc};
use mongodb::options::ReadConcern;
use mongodb::{ClientSession, Cursor, SessionCursor};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use shared::error::Error;
use shared::mongo;
use shared::mongo::json_schema;
use shared::mongo::unreadable::{self, Unreadable};
use shared::values::clock::Timestamp;
use shared::values::ids::{OrderId, ProductId};

use super::checkpoints::Checkpoint;
use super::{HoldDocument, PRODUCTS, ProductDocument, ProductStore, product_rule, without_holds};
use crate::holds::{AuditedProduct, Hold, HoldPosition, HoldWalk};
use crate::stock::Stock;

/// First time window of a page. It grows while too few holds are found.
const FIRST_WINDOW: Duration = Duration::from_secs(60);

/// Limits at which a page of an audit ends early: number of live holds, and of ledger entries that no
/// checkpoint covers.
const MAX_AUDITED_HOLDS: i64 = 20_000;
const MAX_AUDITED_MOVEMENTS: i64 = 200_000;

/// One entry of one product.
#[derive(Debug, Deserialize)]
struct EntryDocument {
    _id: bson::Uuid,
    holds: HoldDocument,
}

#[derive(Debug, Deserialize)]
struct PositionDocument {
    t: bson::DateTime,
    o: bson::Uuid,
}

/// Fields of a product that an audit reads.
#[derive(Debug, Deserialize)]
struct CountsDocument {
    _id: bson::Uuid,
    on_hand: i64,
    reserved: i64,
    live: i64,
    movements: i64,
}

impl From<EntryDocument> for Hold {
    fn from(document: EntryDocument) -> Self {
        let EntryDocument { _id: product, holds: HoldDocument { o, q, r, t } } = document;
        Self {
            order: mongo::id(o),
            product: mongo::id(product),
            quantity: q,
            revision: r,
            at: mongo::timestamp(t),
        }
    }
}

impl ProductStore {
    /// Reads a page of holds, sorted by (`at`, `order`), and the database time from before the read. Later
    /// declarations have a later time.
    ///
    /// The index finds products with an entry of some time, not the entries themselves. So a page looks at
    /// one time window after the other, and reads the products that have an entry in it. These are few, even
    /// if one of them has thousands of entries.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn list_holds(&self, walk: &HoldWalk) -> Result<(Vec<HoldPosition>, Timestamp), Error> {
        let now = self.database.clock().await?;
        // Intervals here include their first millisecond and exclude their end.
        let end = now.before(walk.min_age).after(Duration::from_millis(1));
        let mut from = walk.after.map_or(Timestamp::from_millis(0), |(at, _)| at);
        let mut window = FIRST_WINDOW;
        let mut found: Vec<HoldPosition> = Vec::new();
        while found.len() < walk.limit && from < end {
            let until = from.after(window).min(end);
            found.extend(self.holds_between(walk, from, until, walk.limit - found.len()).await?);
            from = until;
            window = window.saturating_mul(4);
        }
        Ok((found, now))
    }

    async fn holds_between(
        &self,
        walk: &HoldWalk,
        from: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<HoldPosition>, Error> {
        let times = doc! { "$gte": mongo::date(from), "$lt": mongo::date(until) };
        let quantity = if walk.ended {
            doc! { "$eq": 0_i64 }
        } else {
            doc! { "$gt": 0_i64 }
        };
        let mut wanted = doc! { "holds.t": times.clone(), "holds.q": quantity.clone(), "holds.o": any_id() };
        if let Some((at, Some(order))) = walk.after {
            let at = mongo::date(at);
            let later = doc! { "holds.t": { "$gt": at } };
            let beside = doc! { "holds.t": at, "holds.o": { "$gt": mongo::uuid(order) } };
            wanted.insert("$or", vec![later, beside]);
        }
        let pipeline = vec![
            doc! { "$match": { "holds": { "$elemMatch": { "t": times, "q": quantity } } } },
            doc! { "$project": { "holds": 1 } },
            doc! { "$unwind": "$holds" },
            doc! { "$match": wanted },
            doc! { "$match": mongo::is_date("holds.t") },
            doc! { "$match": { "$expr": { "$eq": [{ "$type": "$holds.o" }, "binData"] } } },
            doc! { "$group": { "_id": { "t": "$holds.t", "o": "$holds.o" } } },
            doc! { "$replaceRoot": { "newRoot": "$_id" } },
            doc! { "$sort": { "t": 1, "o": 1 } },
            doc! { "$limit": i64::try_from(limit).unwrap_or(i64::MAX) },
        ];
        let cursor: Cursor<PositionDocument> = self.products.aggregate(pipeline).with_type().await?;
        let position = |found: PositionDocument| HoldPosition {
            at: mongo::timestamp(found.t),
            order: mongo::id(found.o),
        };
        Ok(cursor.map_ok(position).try_collect().await?)
    }

    /// Holds of these orders, live or ended.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn find_holds(&self, orders: &[OrderId]) -> Result<Vec<Hold>, Error> {
        self.entries(doc! { "holds.o": one_of(orders) }, None).await
    }

    /// Deletes ended entries of these orders that have at least this age. The write itself checks them, so
    /// that concurrent new declarations stay. Returns the number of entries that were there and are gone.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable. Some entries may be gone then; the next call deletes the rest.
    pub async fn prune_holds(&self, orders: &[OrderId], min_age: Duration) -> Result<usize, Error> {
        let newest = mongo::date(self.database.clock().await?.before(min_age));
        let ended = || doc! { "o": one_of(orders), "q": 0_i64, "t": { "$lte": newest } };
        let of = |conditions: Document| -> Document {
            conditions.into_iter().map(|(field, condition)| (format!("holds.{field}"), condition)).collect()
        };
        let found = self.entries(of(ended()), Some(doc! { "$elemMatch": ended() })).await?;
        if found.is_empty() {
            return Ok(0);
        }
        let products: HashSet<ProductId> = found.iter().map(|hold| hold.product).collect();
        let products: Vec<bson::Uuid> = products.into_iter().map(mongo::uuid).collect();
        let filter = doc! { "_id": { "$in": products }, "holds": { "$elemMatch": ended() } };
        let write = self.products.update_many(filter, doc! { "$pull": { "holds": ended() } });
        mongo::bounded_write(write).await?;
        let left = self.find_holds(orders).await?;
        let left: HashSet<_> = left.iter().map(|hold| (hold.product, hold.order)).collect();
        Ok(found.iter().filter(|hold| !left.contains(&(hold.product, hold.order))).count())
    }

    /// Finds the entries that match, of the products that have such entries.
    async fn entries(&self, entry: Document, having: Option<Document>) -> Result<Vec<Hold>, Error> {
        let products = having.map_or_else(|| entry.clone(), |having| doc! { "holds": having });
        let pipeline = vec![
            doc! { "$match": products },
            doc! { "$project": { "holds": 1 } },
            doc! { "$unwind": "$holds" },
            doc! { "$match": entry },
        ];
        let entries: Vec<Document> = self.products.aggregate(pipeline).await?.try_collect().await?;
        let (mut holds, mut left_out) = (Vec::new(), Vec::new());
        for entry in entries {
            match Unreadable::or_read::<EntryDocument>(PRODUCTS, entry) {
                Ok(entry) => holds.push(Hold::from(entry)),
                Err(unreadable) => left_out.push(unreadable),
            }
        }
        unreadable::log(&left_out);
        Ok(holds)
    }

    /// Reads a page of products by ID, all as of one moment. The flag is true if there are more.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn audit(
        &self,
        after: Option<ProductId>,
        limit: i64,
    ) -> Result<(Vec<AuditedProduct>, bool), Error> {
        // All reads of the session see one majority snapshot. Each read must ask for it, since the client's
        // own read concern overrides the session's.
        let snapshot = ReadConcern::snapshot;
        let mut session = self.database.start_session().snapshot(true).await?;
        let mut ids = any_id();
        if let Some(after) = after {
            ids.insert("$gt", mongo::uuid(after));
        }
        let mut cursor = self
            .documents()
            .find(doc! { "_id": ids })
            .projection(doc! { "on_hand": 1, "reserved": 1, "live": 1, "movements": 1 })
            .sort(doc! { "_id": 1 })
            .limit(limit + 1)
            .read_concern(snapshot())
            .session(&mut session)
            .await?;
        let found: Vec<Document> = cursor.stream(&mut session).try_collect().await?;
        let length = found.len();
        let mut counts: Vec<Result<CountsDocument, Unreadable>> =
            found.into_iter().map(|document| Unreadable::or_read(PRODUCTS, document)).collect();
        let ids: Vec<bson::Uuid> = counts.iter().flatten().map(|counts| counts._id).collect();
        let checkpoints = self.checkpoints(&mut session, &ids).await?;
        counts.truncate(audited(&counts, &checkpoints, usize::try_from(limit).unwrap_or(usize::MAX)));
        let more = length > counts.len();
        let ids: Vec<bson::Uuid> = counts.iter().flatten().map(|counts| counts._id).collect();

        let live = doc! { "$filter": {
            "input": { "$cond": [{ "$isArray": "$holds" }, "$holds", []] },
            "as": "hold",
            "cond": { "$gt": ["$$hold.q", 0] },
        } };
        let holds = vec![
            doc! { "$match": { "_id": { "$in": ids.clone() } } },
            doc! { "$project": { "holds": live } },
            doc! { "$unwind": "$holds" },
        ];
        let cursor =
            self.products.aggregate(holds).with_type().read_concern(snapshot()).session(&mut session).await?;
        let mut holds: HashMap<ProductId, Vec<Hold>> = HashMap::new();
        let mut left_out: Vec<Unreadable> =
            counts.iter().filter_map(|it| it.as_ref().err().cloned()).collect();
        for entry in all::<Document>(cursor, &mut session).await? {
            match Unreadable::or_read::<EntryDocument>(PRODUCTS, entry) {
                Ok(entry) => {
                    let hold = Hold::from(entry);
                    holds.entry(hold.product).or_default().push(hold);
                }
                Err(unreadable) if !left_out.contains(&unreadable) => left_out.push(unreadable),
                Err(_) => {}
            }
        }
        for unreadable in self.unreadable_of(&mut session, &ids).await? {
            if !left_out.contains(&unreadable) {
                left_out.push(unreadable);
            }
        }
        unreadable::log(&left_out);
        let ledger = |counts: &CountsDocument| (mongo::id(counts._id), counts.movements, counts.on_hand);
        let ledgers: Vec<(ProductId, i64, i64)> = counts.iter().flatten().map(ledger).collect();
        let sums = self.ledger_sums(&mut session, &ledgers, checkpoints).await?;

        let audited = counts.into_iter().filter_map(|counts| match counts {
            Ok(counts) => {
                let product = mongo::id(counts._id);
                Some(AuditedProduct {
                    product,
                    unreadable: left_out.iter().any(|it| it.id == Some(product.uuid())),
                    stock: Stock { on_hand: counts.on_hand, reserved: counts.reserved },
                    ledger: sums.get(&product).copied().unwrap_or(0),
                    holds: holds.remove(&product).unwrap_or_default(),
                })
            }
            Err(Unreadable { id, .. }) => id.map(|id| AuditedProduct::unreadable(ProductId::from_uuid(id))),
        });
        Ok((audited.collect(), more))
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
            .projection(without_holds())
            .read_concern(ReadConcern::snapshot())
            .session(&mut *session)
            .await?;
        let mut unreadable = Vec::new();
        let mut found = cursor.stream(session);
        while let Some(document) = found.try_next().await? {
            unreadable.extend(ProductDocument::read(document).err());
        }
        Ok(unreadable)
    }
}

/// Number of these products that a page takes: at least one, however much it keeps.
fn audited(
    counts: &[Result<CountsDocument, Unreadable>],
    checkpoints: &HashMap<ProductId, Checkpoint>,
    limit: usize,
) -> usize {
    let (mut holds, mut movements) = (0_i64, 0_i64);
    let fits = |counts: &&Result<CountsDocument, Unreadable>| {
        if let Ok(counts) = counts {
            holds = holds.saturating_add(counts.live);
            let verified = checkpoints.get(&mongo::id(counts._id)).map_or(0, |it| it.number);
            movements = movements.saturating_add(counts.movements.saturating_sub(verified));
        }
        holds <= MAX_AUDITED_HOLDS && movements <= MAX_AUDITED_MOVEMENTS
    };
    counts.iter().take(limit).take_while(fits).count().max(1)
}

async fn all<T: DeserializeOwned + Unpin + Send + Sync>(
    mut cursor: SessionCursor<T>,
    session: &mut ClientSession,
) -> mongodb::error::Result<Vec<T>> {
    cursor.stream(session).try_collect().await
}

/// Condition for an ID of the right type.
fn any_id() -> Document {
    doc! { "$gte": bson::Uuid::from_bytes([0; 16]), "$lte": bson::Uuid::from_bytes([u8::MAX; 16]) }
}

fn one_of(orders: &[OrderId]) -> Document {
    let orders: Vec<bson::Uuid> = orders.iter().copied().map(mongo::uuid).collect();
    doc! { "$in": orders }
}
