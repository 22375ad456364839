//! Checkpoints of ledgers: how far each has been verified, so that the audit adds up the rest alone.
//!
//! A checkpoint says: the entries 1 to `number` of this product exist, and their deltas are `sum` in all. Entries
//! never change, and they are numbered without a gap. So a checkpoint that was true stays true, whichever audit
//! saves it and whenever a process ends. It is saved only after the entries were added up as of a majority
//! snapshot, their number was right, and their sum was the count that the last of them states.

use std::collections::HashMap;

use futures::TryStreamExt as _;
use mongodb::ClientSession;
use mongodb::bson::{self, Bson, Document, doc};
use mongodb::options::ReadConcern;
use shared::error::Error;
use shared::mongo::unreadable;
use shared::mongo::{self, json_schema};
use shared::values::ids::ProductId;

use super::{CHECKPOINTS, MOVEMENTS, ProductStore};

/// Number of new entries after which a checkpoint is saved: adding up fewer costs less than a write.
const WORTH_SAVING: i64 = 1_000;

/// Maximum number of entries that are added up at once. A longer rest is verified in steps, and each is saved.
const STEP: i64 = 200_000;

/// Number of products whose entries one query adds up.
const PRODUCTS_AT_ONCE: usize = 100;

/// Verified beginning of a ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// Number of its last entry.
    pub(super) number: i64,
    /// Sum of the deltas.
    pub(super) sum: i64,
}

/// Part of a ledger that was added up.
#[derive(Clone, Copy, Debug)]
struct Rest {
    entries: i64,
    sum: i64,
}

/// Collection that the schema step creates. It may be dropped: then all entries are verified anew.
pub(super) fn collection() -> mongo::Collection {
    mongo::Collection {
        name: CHECKPOINTS,
        indexes: Vec::new(),
        obsolete: Vec::new(),
        validator: json_schema::documents(
            &[
                ("_id", json_schema::bytes()),
                ("number", json_schema::whole(1)),
                ("sum", json_schema::integer()),
            ],
            &[],
        ),
        append_only: false,
    }
}

impl ProductStore {
    /// Reads the checkpoints of these products. One that cannot be read is as none.
    pub(super) async fn checkpoints(
        &self,
        session: &mut ClientSession,
        products: &[bson::Uuid],
    ) -> Result<HashMap<ProductId, Checkpoint>, Error> {
        let found = self
            .database
            .collection::<Document>(CHECKPOINTS)
            .find(doc! { "_id": { "$in": products } })
            .read_concern(ReadConcern::snapshot())
            .session(&mut *session)
            .await?;
        let found: Vec<Document> = { found }.stream(session).try_collect().await?;
        let read = |checkpoint: &Document| {
            let product = ProductId::from_uuid(unreadable::id_of(checkpoint)?);
            let (number, sum) = (integer(checkpoint.get("number"))?, integer(checkpoint.get("sum"))?);
            (number > 0).then_some((product, Checkpoint { number, sum }))
        };
        Ok(found.iter().filter_map(read).collect())
    }

    /// Adds up the ledgers of these products, each with its number of entries and its count on hand. A sum that
    /// differs from the count is never one of a checkpoint: that ledger is added up from its first entry.
    pub(super) async fn ledger_sums(
        &self,
        session: &mut ClientSession,
        products: &[(ProductId, i64, i64)],
        checkpoints: HashMap<ProductId, Checkpoint>,
    ) -> Result<HashMap<ProductId, i64>, Error> {
        let all: Vec<(ProductId, i64)> = products.iter().map(|&(id, entries, _)| (id, entries)).collect();
        let mut sums = self.sums_after(session, &all, checkpoints.clone()).await?;
        let differs = |(product, _, on_hand): &&(ProductId, i64, i64)| sums.get(product) != Some(on_hand);
        let again: Vec<(ProductId, i64)> = products
            .iter()
            .filter(differs)
            .filter(|(product, ..)| checkpoints.contains_key(product))
            .map(|&(product, entries, _)| (product, entries))
            .collect();
        if !again.is_empty() {
            let ids: Vec<bson::Uuid> = again.iter().map(|&(product, _)| mongo::uuid(product)).collect();
            let saved = self.database.collection::<Document>(CHECKPOINTS);
            saved.delete_many(doc! { "_id": { "$in": ids } }).await?;
            sums.extend(self.sums_after(session, &again, HashMap::new()).await?);
        }
        Ok(sums)
    }

    /// Adds up these ledgers from their checkpoints on, and saves how far they are verified.
    async fn sums_after(
        &self,
        session: &mut ClientSession,
        products: &[(ProductId, i64)],
        mut checkpoints: HashMap<ProductId, Checkpoint>,
    ) -> Result<HashMap<ProductId, i64>, Error> {
        for &(product, entries) in products {
            // One beyond the end is of other data, such as a backup.
            if checkpoints.get(&product).is_some_and(|it| it.number > entries) {
                checkpoints.remove(&product);
            }
            let from = checkpoints.get(&product).copied().unwrap_or_default();
            let reached = self.advance(session, product, entries, from).await?;
            if reached != from {
                checkpoints.insert(product, reached);
            }
        }
        let from = |product: &ProductId| checkpoints.get(product).copied().unwrap_or_default();
        let (mut sums, mut verified) = (HashMap::new(), Vec::new());
        for batch in products.chunks(PRODUCTS_AT_ONCE) {
            let parts: Vec<Document> = batch
                .iter()
                .map(|(product, _)| entries_of(*product, doc! { "$gt": from(product).number }))
                .collect();
            let rests = self.add_up(session, doc! { "$or": parts }).await?;
            for (product, entries) in batch {
                let from = from(product);
                let rest = rests.get(product).copied().unwrap_or(Rest { entries: 0, sum: 0 });
                let sum = from.sum.saturating_add(rest.sum);
                sums.insert(*product, sum);
                if rest.entries >= WORTH_SAVING && rest.entries == entries.saturating_sub(from.number) {
                    verified.push((*product, Checkpoint { number: *entries, sum }));
                }
            }
        }
        for (product, checkpoint) in verified {
            self.save_if_true(session, product, checkpoint).await?;
        }
        Ok(sums)
    }

    /// Verifies a long ledger in steps, until a step's worth is left or something is wrong. Each step is saved:
    /// an audit that is stopped goes on from there.
    async fn advance(
        &self,
        session: &mut ClientSession,
        product: ProductId,
        entries: i64,
        mut from: Checkpoint,
    ) -> Result<Checkpoint, Error> {
        while entries.saturating_sub(from.number) > STEP {
            let next = from.number + STEP;
            let part = entries_of(product, doc! { "$gt": from.number, "$lte": next });
            let Some(rest) = self.add_up(session, part).await?.get(&product).copied() else { break };
            let reached = Checkpoint { number: next, sum: from.sum.saturating_add(rest.sum) };
            if rest.entries != STEP || !self.save_if_true(session, product, reached).await? {
                break;
            }
            from = reached;
        }
        Ok(from)
    }

    /// Counts and adds up the entries that match, by product.
    async fn add_up(
        &self,
        session: &mut ClientSession,
        filter: Document,
    ) -> Result<HashMap<ProductId, Rest>, Error> {
        let group = doc! { "_id": "$product", "entries": { "$sum": 1_i64 }, "sum": { "$sum": "$delta" } };
        let found = self
            .database
            .collection::<Document>(MOVEMENTS)
            .aggregate(vec![doc! { "$match": filter }, doc! { "$group": group }])
            .read_concern(ReadConcern::snapshot())
            .session(&mut *session)
            .await?;
        let found: Vec<Document> = { found }.stream(session).try_collect().await?;
        let read = |found: &Document| {
            let product = ProductId::from_uuid(unreadable::id_of(found)?);
            // A sum that is no integer is like no count.
            let sum = integer(found.get("sum")).unwrap_or(i64::MIN);
            Some((product, Rest { entries: integer(found.get("entries"))?, sum }))
        };
        Ok(found.iter().filter_map(read).collect())
    }

    /// Saves a checkpoint if its last entry states its sum as the count. A later one, which a concurrent audit
    /// has saved, stays.
    async fn save_if_true(
        &self,
        session: &mut ClientSession,
        product: ProductId,
        checkpoint: Checkpoint,
    ) -> Result<bool, Error> {
        let Checkpoint { number, sum } = checkpoint;
        let last = self
            .database
            .collection::<Document>(MOVEMENTS)
            .find_one(doc! { "product": mongo::uuid(product), "number": number })
            .read_concern(ReadConcern::snapshot())
            .session(session)
            .await?;
        if last.and_then(|last| integer(last.get("on_hand"))) != Some(sum) {
            return Ok(false);
        }
        let before = doc! { "_id": mongo::uuid(product), "number": { "$not": { "$gte": number } } };
        let update = doc! { "$set": { "number": number, "sum": sum } };
        let checkpoints = self.database.collection::<Document>(CHECKPOINTS);
        match checkpoints.update_one(before, update).upsert(true).await {
            Err(error) if !mongo::is_duplicate_key(&error) => Err(error.into()),
            _ => Ok(true),
        }
    }
}

fn entries_of(product: ProductId, numbers: Document) -> Document {
    doc! { "product": mongo::uuid(product), "number": numbers }
}

fn integer(value: Option<&Bson>) -> Option<i64> {
    match value? {
        Bson::Int64(integer) => Some(*integer),
        Bson::Int32(integer) => Some(i64::from(*integer)),
        _ => None,
    }
}
