//! Migration of products from earlier schema versions.
//!
//! Each pass scans all products by ID, in batches, so that each is read once. Any number of schema steps may
//! run at once, and a stopped one may be run again.

use futures::TryStreamExt as _;
use mongodb::ClientSession;
use mongodb::bson::{self, Bson, Document, doc};
use mongodb::options::{Hint, ReadConcern, ReturnDocument};
use serde::Deserialize;
use shared::error::Error;
use shared::mongo::fenced::UpdateEach;
use shared::mongo::unreadable::{self, Unreadable};
use shared::mongo::{self, TxOutcome};

use super::documents::StockDocument;
use super::ledger::MovementDocument;
use super::list::listed_by;
use super::{PRODUCTS, ProductStore};
use crate::ledger::{Cause, INITIAL, LedgerEnd};
use crate::stock::Stock;
use crate::words::FOLDING;

/// Number of products in a batch.
const BATCH: i64 = 500;

impl ProductStore {
    /// Begins the ledger of products from before schema version 2, with their on-hand count.
    pub(super) async fn begin_ledgers(&self) -> Result<(), Error> {
        let mut after = None;
        loop {
            let batch = self.batch(without_ledger(), after, doc! { "_id": 1 }).await?;
            for product in &batch {
                let mut filter = without_ledger();
                filter.insert("_id", product.get("_id"));
                let begun = mongo::transaction(&self.database, |session| {
                    let (store, filter) = (self.clone(), filter.clone());
                    Box::pin(async move { store.begin_ledger(session, filter).await.map(TxOutcome::Commit) })
                });
                begun.await?;
            }
            let Some(last) = batch.last() else { return Ok(()) };
            after = last.get("_id").cloned();
        }
    }

    async fn begin_ledger(
        &self,
        session: &mut ClientSession,
        without: Document,
    ) -> mongodb::error::Result<()> {
        let live = doc! { "$filter": {
            "input": "$holds", "as": "hold", "cond": { "$gt": ["$$hold.q", 0] },
        } };
        let something = doc! { "$gt": ["$on_hand", 0] };
        let update = doc! { "$set": {
            "live": { "$toLong": { "$size": live } },
            "movements": { "$cond": [something.clone(), 1_i64, 0_i64] },
            "moved_at": { "$cond": [something, "$$NOW", null] },
        } };
        let begun = self
            .products
            .clone_with_type::<Counted>()
            .find_one_and_update(without, vec![update])
            .projection(counted())
            .return_document(ReturnDocument::After)
            .session(&mut *session)
            .await?;
        // None: a concurrent schema step was faster.
        if let Some(Counted { _id, on_hand, reserved, moved_at: Some(at), .. }) = begun {
            let stock = Stock { on_hand, reserved };
            let cause = Cause { reason: Some(INITIAL.to_owned()), order: None, by: "system".to_owned() };
            let first = LedgerEnd::default().next(stock.on_hand, stock, cause, mongo::timestamp(at));
            let entry = MovementDocument::of(mongo::id(_id), first);
            self.movements.insert_one(entry)?.session(session).await?;
        }
        Ok(())
    }

    /// Fills the fields for lists in products from before schema version 3, and in those whose words were
    /// folded by an earlier rule.
    pub(super) async fn begin_lists(&self) -> Result<(), Error> {
        let mut after = None;
        loop {
            let read = doc! { "name": 1, "description": 1, "sku": 1, "version": 1 };
            let batch = self.batch(folded_before(), after, read).await?;
            let Some(last) = batch.last() else { return Ok(()) };
            after = last.get("_id").cloned();
            let updates: Vec<UpdateEach> = batch.iter().map(begin_to_list).collect();
            if self.products.update_each(&updates, None).await?.refused > 0 {
                return Err(Error::internal("a product refused the fields that lists need"));
            }
        }
    }

    /// Inserts the stocks of products from before schema version 8, with the counts that they had. One that is there
    /// stays. Products whose counts cannot be read, or cannot be, have no stock, and keep their counts for people to
    /// repair.
    pub(super) async fn begin_stocks(&self) -> Result<(), Error> {
        let (mut after, mut without) = (None, Vec::new());
        loop {
            let batch = self.batch(doc! { "on_hand": { "$exists": true } }, after, counted()).await?;
            let Some(last) = batch.last() else { break };
            after = last.get("_id").cloned();
            let mut stocks = Vec::new();
            for product in batch {
                match Unreadable::or_read::<Counted>(PRODUCTS, product) {
                    Ok(counted) => stocks.push(counted.into_stock()),
                    Err(unreadable) => without.extend(unreadable.id),
                }
            }
            if stocks.is_empty() {
                continue;
            }
            if let Err(error) = self.stocks.insert_many(&stocks)?.ordered(false).await {
                let invalid = mongo::invalid_inserts(error)?;
                let of =
                    |place: usize| stocks.get(place).map(|stock| uuid::Uuid::from_bytes(stock._id.bytes()));
                without.extend(invalid.into_iter().filter_map(of));
            }
        }
        let left_out: Vec<Unreadable> =
            without.iter().map(|id| Unreadable { collection: PRODUCTS, id: Some(*id) }).collect();
        unreadable::log(&left_out);
        Ok(())
    }

    /// Reads the next batch of the products that match, after an ID: the latest state, since nothing may be missed that
    /// was written before the fence. A product whose ID is no UUID is left out: no order can name it.
    pub(super) async fn batch(
        &self,
        mut filter: Document,
        after: Option<Bson>,
        read: Document,
    ) -> Result<Vec<Document>, Error> {
        let mut ids = mongo::any_uuid();
        if let Some(after) = after {
            ids.insert("$gt", after);
        }
        filter.insert("_id", ids);
        let products = self.products.clone_with_type::<Document>();
        let found = products
            .find(filter)
            .sort(doc! { "_id": 1 })
            .hint(Hint::Name("_id_".to_owned()))
            .limit(BATCH)
            .projection(read)
            .read_concern(ReadConcern::local());
        Ok(found.await?.try_collect().await?)
    }
}

/// Counts that a product had before schema version 8.
#[derive(Debug, Deserialize)]
struct Counted {
    _id: bson::Uuid,
    on_hand: i64,
    reserved: i64,
    movements: i64,
    moved_at: Option<bson::DateTime>,
}

impl Counted {
    fn into_stock(self) -> StockDocument {
        let end = LedgerEnd { number: self.movements, at: self.moved_at.map(mongo::timestamp) };
        let stock = Stock { on_hand: self.on_hand, reserved: self.reserved };
        StockDocument::new(mongo::id(self._id), stock, end)
    }
}

/// Projection to the counts of an earlier version.
fn counted() -> Document {
    doc! { "on_hand": 1, "reserved": 1, "movements": 1, "moved_at": 1 }
}

/// Filter for products from before schema version 2.
fn without_ledger() -> Document {
    doc! { "on_hand": { "$exists": true }, "movements": { "$exists": false } }
}

/// Filter for products whose words this build would fold otherwise.
fn folded_before() -> Document {
    doc! { "$or": [{ "folding": { "$ne": FOLDING } }, { "words": { "$exists": false } }] }
}

/// Builds the update that fills the fields for lists. A product that changes meanwhile is left to the next run:
/// its writer may be an older build.
fn begin_to_list(product: &Document) -> UpdateEach {
    let text = |field| product.get_str(field).unwrap_or_default();
    let listed = listed_by(text("name"), Some(text("description")), text("sku"));
    // Later writes flip it together with the counts.
    let in_stock = doc! { "$gt": ["$on_hand", "$reserved"] };
    let mut set = doc! { "in_stock": { "$ifNull": ["$in_stock", in_stock] } };
    // Literal, since user text may look like an expression.
    set.extend(listed.into_iter().map(|(field, value)| (field, doc! { "$literal": value }.into())));
    let mut filter = folded_before();
    filter.extend(doc! { "_id": product.get("_id"), "version": product.get("version") });
    UpdateEach { filter, update: vec![doc! { "$set": set }] }
}
