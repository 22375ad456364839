//! Migration of products from earlier schema versions.
//!
//! Each pass scans all products by ID, in batches, so that each is read once. Any number of schema steps may
//! run at once, and a stopped one may be run again.

use futures::TryStreamExt as _;
use mongodb::ClientSession;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{Hint, ReturnDocument};
use shared::error::Error;
use shared::mongo::fenced::UpdateEach;
use shared::mongo::{self, TxOutcome};

use super::ledger::MovementDocument;
use super::list::{in_stock, listed_by};
use super::{CountedDocument, ProductStore, without_holds};
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
            let without = doc! { "movements": { "$exists": false } };
            let batch = self.batch(without, after, doc! { "_id": 1 }).await?;
            for product in &batch {
                let filter = doc! { "_id": product.get("_id"), "movements": { "$exists": false } };
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
            .clone_with_type::<CountedDocument>()
            .find_one_and_update(without, vec![update])
            .projection(without_holds())
            .return_document(ReturnDocument::After)
            .session(&mut *session)
            .await?;
        // None: a concurrent schema step was faster.
        if let Some(CountedDocument { product, moved_at: Some(at), .. }) = begun {
            let stock = Stock { on_hand: product.on_hand, reserved: product.reserved };
            let cause = Cause { reason: Some(INITIAL.to_owned()), order: None, by: "system".to_owned() };
            let first = LedgerEnd::default().next(stock.on_hand, stock, cause, mongo::timestamp(at));
            let entry = MovementDocument::of(mongo::id(product._id), first);
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
            if self.products.update_each(updates, None).await?.refused > 0 {
                return Err(Error::internal("a product refused the fields that lists need"));
            }
        }
    }

    /// Reads the next batch of the products that match, after an ID.
    async fn batch(
        &self,
        mut filter: Document,
        after: Option<Bson>,
        read: Document,
    ) -> Result<Vec<Document>, Error> {
        if let Some(after) = after {
            filter.insert("_id", doc! { "$gt": after });
        }
        let products = self.products.clone_with_type::<Document>();
        let found = products
            .find(filter)
            .sort(doc! { "_id": 1 })
            .hint(Hint::Name("_id_".to_owned()))
            .limit(BATCH)
            .projection(read);
        Ok(found.await?.try_collect().await?)
    }
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
    let mut set = doc! { "in_stock": in_stock("$on_hand", "$reserved") };
    // Literal, since user text may look like an expression.
    set.extend(listed.into_iter().map(|(field, value)| (field, doc! { "$literal": value }.into())));
    let mut filter = folded_before();
    filter.extend(doc! { "_id": product.get("_id"), "version": product.get("version") });
    UpdateEach { filter, update: vec![doc! { "$set": set }] }
}
