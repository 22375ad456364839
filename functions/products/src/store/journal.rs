//! Folding: entries of a journal are moved into the holds of their orders.
//!
//! A fold may run at any time, beside itself and beside any write: see "Folding" in `model/src/journal.rs`.

use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use mongodb::bson::{self, Bson, Document, doc};
use mongodb::options::{Hint, ReturnDocument};
use shared::error::Error;
use shared::mongo;
use shared::mongo::fenced::UpdateEach;
use shared::mongo::unreadable::{self, Unreadable};
use shared::values::clock::Timestamp;
use shared::values::ids::ProductId;

use super::declarations::{KEPT, WRITE};
use super::documents::{EntryDocument, PENDING_OF_ORDER};
use super::first_holds::FOLD_AT;
use super::{ProductStore, STOCK, with_id};

/// Maximum time in which one call begins to fold journals.
const TURN: Duration = Duration::from_millis(1_200);

/// Maximum time for which a request folds journals that have grown. What it has not done is left to the next one.
const AT_TIMES: Duration = Duration::from_millis(500);

/// Result of folding journals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// Number of entries that were moved.
    pub folded: usize,
    /// Number of entries that could not be moved, and of journals that cannot be read.
    pub failed: usize,
    /// Time of the oldest entry that is left.
    pub oldest: Option<Timestamp>,
    /// Last product.
    pub last: Option<ProductId>,
    /// True if there are more products with entries.
    pub more: bool,
}

/// Entry to be moved.
struct Moved {
    /// Entry as it is stored.
    stored: Document,
    entry: EntryDocument,
}

impl ProductStore {
    /// Folds the journals of up to so many products after this one, in the order of their IDs. One that cannot be
    /// folded is counted, and does not stop the others.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn fold_journals(&self, after: Option<ProductId>, limit: i64) -> Result<Folded, Error> {
        let began = Instant::now();
        let mut products = self.with_entries(after, limit.saturating_add(1)).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut all = Folded { more: products.len() > limit, ..Folded::default() };
        products.truncate(limit);
        for product in products {
            if all.last.is_some() && began.elapsed() > TURN {
                all.more = true;
                break;
            }
            // One that is locked or silent stops no others.
            let fold = tokio::time::timeout(AT_TIMES, self.fold(product)).await;
            match fold.unwrap_or_else(|_| Err(Error::unavailable("MongoDB did not answer in time"))) {
                Ok(one) => {
                    all.folded += one.folded;
                    all.failed += one.failed;
                    all.oldest = all.oldest.into_iter().chain(one.oldest).min();
                }
                Err(error) if error.kind().status().is_server_error() && is_away(&error) => {
                    return Err(error);
                }
                Err(error) => {
                    tracing::error!(causes = error.causes(), %product, "a journal is not folded: {error}");
                    all.failed += 1;
                }
            }
            all.last = Some(product);
        }
        Ok(all)
    }

    /// Finds the products that have entries in their journals.
    async fn with_entries(&self, after: Option<ProductId>, limit: i64) -> Result<Vec<ProductId>, Error> {
        let mut ids = mongo::any_uuid();
        if let Some(after) = after {
            ids.insert("$gt", mongo::uuid(after));
        }
        let pipeline = vec![
            doc! { "$match": { "pending.o": { "$gt": Bson::MinKey }, "_id": ids } },
            doc! { "$project": { "_id": 1 } },
            doc! { "$sort": { "_id": 1 } },
            doc! { "$limit": limit },
        ];
        let found = self.stocks.aggregate(pipeline).hint(Hint::Name(PENDING_OF_ORDER.to_owned()));
        let found: Vec<Document> = found.await?.try_collect().await?;
        Ok(found.iter().filter_map(unreadable::id_of).map(ProductId::from_uuid).collect())
    }

    /// Folds the journals of these products, as far as that succeeds in a short time. Nothing depends on it.
    pub(super) async fn fold_soon(&self, products: &[ProductId]) {
        let all = async {
            for product in products {
                if let Err(error) = self.fold(*product).await {
                    tracing::warn!(causes = error.causes(), %product, "a journal is not folded yet: {error}");
                }
            }
        };
        if tokio::time::timeout(AT_TIMES, all).await.is_err() {
            tracing::warn!("journals are not folded yet: MongoDB did not answer in time");
        }
    }

    /// Moves the entries of a product's journal into the holds of their orders.
    pub(super) async fn fold(&self, product: ProductId) -> Result<Folded, Error> {
        let found = self.stocks.find_one(with_id(product)).projection(doc! { "pending": 1 }).await?;
        let Some(stock) = found else { return Ok(Folded::default()) };
        let unreadable = Unreadable::of(STOCK, &stock);
        let entries = stock.get_array("pending").map_err(|_| unreadable.clone())?;
        let read = |entry: &Bson| {
            let stored = entry.as_document()?.clone();
            let entry = bson::deserialize_from_document(stored.clone()).ok()?;
            Some(Moved { stored, entry })
        };
        let readable: Vec<Moved> = entries.iter().filter_map(read).collect();
        let mut result = Folded { failed: entries.len() - readable.len(), ..Folded::default() };
        if result.failed > 0 {
            unreadable::log(&[unreadable]);
        }
        if readable.is_empty() {
            return Ok(result);
        }
        // The holds come first: what is in neither would be lost.
        let upserts = readable.iter().map(|moved| into_hold(product, moved)).collect();
        let refused = mongo::bounded_write(self.holds.upsert_each(upserts)).await?;
        let (mut done, mut left) = (Vec::new(), Vec::new());
        for (place, moved) in readable.iter().enumerate() {
            if refused.contains(&place) { left.push(moved) } else { done.push(moved) }
        }
        result.failed += left.len();
        result.oldest = left.iter().map(|moved| mongo::timestamp(moved.entry.t)).min();
        if !left.is_empty() {
            tracing::error!(%product, refused = left.len(), "entries of a journal are not folded: MongoDB refuses their holds");
        }
        if !done.is_empty() {
            self.remove(product, &done).await?;
            result.folded = done.len();
        }
        Ok(result)
    }

    /// Takes entries out of a journal, if they are still the same, and leaves their marks.
    async fn remove(&self, product: ProductId, done: &[&Moved]) -> Result<(), Error> {
        let key = |entry: &EntryDocument| doc! { "o": entry.o, "r": entry.r };
        let done: Vec<Document> = done.iter().map(|moved| key(&moved.entry)).collect();
        let of = |element: &str| doc! { "o": format!("{element}.o"), "r": format!("{element}.r") };
        let is_done = doc! { "$in": [of("$$this"), done] };
        let removed = doc! { "$filter": { "input": "$pending", "cond": is_done.clone() } };
        let marks = doc! { "$map": { "input": removed.clone(), "in": of("$$this") } };
        let update = vec![doc! { "$set": {
            "pending": { "$filter": { "input": "$pending", "cond": { "$not": [is_done] } } },
            "folded": { "$slice": [{ "$concatArrays": ["$folded", marks] }, -KEPT] },
            "folds": { "$add": ["$folds", { "$toLong": { "$size": removed } }] },
        } }];
        let mut session = self.database.start_session().await?;
        let written = {
            let _turn = self.first_holds.turn(&[product]).await;
            let write = self
                .stocks
                .find_one_and_update(with_id(product), update)
                .projection(doc! { "folds": 1 })
                .return_document(ReturnDocument::After)
                .max_time(WRITE)
                .session(&mut session);
            mongo::bounded_write(write).await?
        };
        if let Some(folds) = written.and_then(|written| written.get_i64("folds").ok()) {
            self.first_holds.remember(product, folds, session.operation_time());
        }
        Ok(())
    }
}

/// Returns true if so many new entries have made a journal long.
pub(super) fn is_long_now(after: &Document, added: usize) -> bool {
    let length = after.get_i32("pending").ok().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    length / FOLD_AT > length.saturating_sub(added) / FOLD_AT
}

/// Returns true if MongoDB takes no write of this build at all.
fn is_away(error: &Error) -> bool {
    use shared::error::DatabaseFailure;
    matches!(error.database_failure(), Some(DatabaseFailure::Away | DatabaseFailure::Outdated))
}

/// Upsert that writes an entry to the hold of its order, unless that has the same revision or a higher one. The
/// entry is all that the order has: a declaration about several products writes the hold itself.
fn into_hold(product: ProductId, moved: &Moved) -> UpdateEach {
    let EntryDocument { o, r, q, .. } = moved.entry;
    // The item has all fields of the entry and of the item that is there, also those of a later build.
    let mut item = moved.stored.clone();
    for of_entry in ["o", "r", "t"] {
        item.remove(of_entry);
    }
    let p = mongo::uuid(product);
    item.insert("p", p);
    let items = doc! { "$cond": [{ "$isArray": ["$items"] }, "$items", []] };
    let there = doc! { "$filter": { "input": items, "cond": { "$eq": ["$$this.p", p] } } };
    let item = doc! { "$mergeObjects": [{ "$first": there }, { "$literal": item }] };
    let hold = doc! {
        "r": r,
        "items": [item],
        "live": q > 0,
        "at": "$$NOW",
    };
    // An error where the revision is no number: the entry stays in its journal then.
    let stored = doc! { "$multiply": [{ "$ifNull": ["$r", -1_i64] }, 1_i64] };
    let is_newer = doc! { "$lt": [stored, r] };
    let replaced = doc! { "$mergeObjects": ["$$ROOT", hold] };
    let update = doc! { "$replaceWith": { "$cond": [is_newer, replaced, "$$ROOT"] } };
    UpdateEach { filter: doc! { "_id": o }, update: vec![update] }
}
