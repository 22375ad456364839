//! Folding: entries of a journal are moved into the holds of their orders.
//!
//! A fold may run at any time, beside itself and beside any write: see "Folding" in `model/src/journal.rs`.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use mongodb::bson::{self, Bson, Document, RawBsonRef, RawDocumentBuf, doc, rawdoc};
use mongodb::options::Hint;
use shared::error::Error;
use shared::mongo;
use shared::mongo::fenced::UpdateEach;
use shared::mongo::unreadable::{self, Unreadable};
use shared::values::clock::Timestamp;
use shared::values::ids::ProductId;

use super::declarations::{KEPT, WRITE};
use super::documents::PENDING_OF_ORDER;
use super::entries::Moved;
use super::first_holds::FOLD_AT;
use super::{ProductStore, STOCK, with_id};

/// Time after which a call begins with no further journal.
const TURN: Duration = Duration::from_millis(1_200);

/// Maximum time for the fold of a journal, one that is locked or silent included. The rest is left to the next one.
const FOLD_TIME: Duration = Duration::from_millis(500);

/// Maximum time after which a fold begins no further part.
const PARTS_TIME: Duration = Duration::from_millis(250);

/// Number of entries that are folded at once. The removal compares each with the whole journal, and begins anew
/// beside every other write: it must be short. With fewer at once a hot product is folded too slowly.
const AT_ONCE: usize = 256;

/// Maximum time for which a removal waits for its turn. Without it the removal only meets more conflicts.
const REMOVAL_TURN: Duration = Duration::from_millis(50);

/// Maximum number of journals in which the oldest entry is looked for.
const LOOKED_INTO: i64 = 1_000;

/// Maximum time in which it is looked for. The caller waits for little longer.
const LOOKING: Duration = Duration::from_secs(2);

/// Field that a removal uses for a moment.
const REMOVED: &str = "removed";

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
        for (product, oldest) in products {
            if all.last.is_some() && began.elapsed() > TURN {
                all.more = true;
                break;
            }
            // One that is locked or silent stops no others.
            let fold = tokio::time::timeout(FOLD_TIME, self.fold(product)).await;
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
                    all.oldest = all.oldest.into_iter().chain(oldest).min();
                }
            }
            all.last = Some(product);
        }
        Ok(all)
    }

    /// Finds the products that have entries in their journals, with the time of the oldest one.
    async fn with_entries(
        &self,
        after: Option<ProductId>,
        limit: i64,
    ) -> Result<Vec<(ProductId, Option<Timestamp>)>, Error> {
        let mut ids = mongo::any_uuid();
        if let Some(after) = after {
            ids.insert("$gt", mongo::uuid(after));
        }
        let pipeline = vec![
            doc! { "$match": { "pending.o": { "$gt": Bson::MinKey }, "_id": ids } },
            doc! { "$project": { "oldest": { "$min": "$pending.t" } } },
            doc! { "$sort": { "_id": 1 } },
            doc! { "$limit": limit },
        ];
        let found = self.stocks.aggregate(pipeline).hint(Hint::Name(PENDING_OF_ORDER.to_owned()));
        // The caller waits no longer.
        let found = found.max_time(LOOKING);
        let found: Vec<Document> = found.await?.try_collect().await?;
        let read = |stock: &Document| {
            let oldest = stock.get_datetime("oldest").ok().copied().map(mongo::timestamp);
            Some((ProductId::from_uuid(unreadable::id_of(stock)?), oldest))
        };
        Ok(found.iter().filter_map(read).collect())
    }

    /// Finds the time of the oldest entry of the journals. It looks into [`LOOKED_INTO`] of them at most, those with
    /// the entries of the oldest orders.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn oldest_entry(&self) -> Result<Option<Timestamp>, Error> {
        let pipeline = vec![
            doc! { "$match": { "pending.o": { "$gt": Bson::MinKey } } },
            doc! { "$limit": LOOKED_INTO },
            doc! { "$project": { "at": "$pending.t" } },
            // A damaged journal or time is left out, and hides no other.
            doc! { "$unwind": "$at" },
            doc! { "$match": { "at": { "$type": "date" } } },
            doc! { "$group": { "_id": Bson::Null, "oldest": { "$min": "$at" } } },
        ];
        let found = self.stocks.aggregate(pipeline).hint(Hint::Name(PENDING_OF_ORDER.to_owned()));
        let found: Vec<Document> = found.await?.try_collect().await?;
        let oldest = found.first().and_then(|found| found.get_datetime("oldest").ok().copied());
        Ok(oldest.map(mongo::timestamp))
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
        if tokio::time::timeout(FOLD_TIME, all).await.is_err() {
            tracing::warn!("journals are not folded yet: MongoDB did not answer in time");
        }
    }

    /// Moves the entries of a product's journal into the holds of their orders.
    pub(super) async fn fold(&self, product: ProductId) -> Result<Folded, Error> {
        let found = self.stored_stocks().find_one(with_id(product)).projection(doc! { "pending": 1 }).await?;
        let Some(stock) = found else { return Ok(Folded::default()) };
        let unreadable = Unreadable::of(STOCK, &stock);
        let Some(RawBsonRef::Array(entries)) = unreadable::value(&stock, "pending") else {
            return Err(unreadable.into());
        };
        let entries: Vec<RawBsonRef<'_>> =
            entries.into_iter().collect::<Result<_, _>>().map_err(|_| unreadable.clone())?;
        let readable: Vec<Moved<'_>> =
            entries.iter().filter_map(|entry| Moved::read(entry.as_document()?)).collect();
        let mut result = Folded { failed: entries.len() - readable.len(), ..Folded::default() };
        if result.failed > 0 {
            unreadable::log(&[unreadable]);
        }
        let began = Instant::now();
        let mut parts = readable.chunks(AT_ONCE);
        let mut left = Vec::new();
        while result.folded == 0 || began.elapsed() < PARTS_TIME {
            let Some(part) = parts.next() else { break };
            let refused = self.fold_part(product, part).await?;
            result.folded += part.len() - refused.len();
            left.extend(refused);
        }
        result.failed += left.len();
        if !left.is_empty() {
            tracing::error!(%product, refused = left.len(), "entries of a journal are not folded: MongoDB refuses their holds");
        }
        left.extend(parts.flatten());
        result.oldest = left.iter().map(|moved| mongo::timestamp(moved.t)).min();
        Ok(result)
    }

    /// Moves some entries of a journal. Returns those whose holds MongoDB refuses.
    async fn fold_part<'a>(
        &self,
        product: ProductId,
        part: &'a [Moved<'a>],
    ) -> Result<Vec<&'a Moved<'a>>, Error> {
        // The holds come first: what is in neither would be lost.
        let upserts: Vec<_> = part.iter().map(|moved| moved.to_hold(mongo::uuid(product))).collect();
        let refused = mongo::bounded_write(self.holds.upsert_each(&upserts, WRITE)).await?;
        let (mut done, mut left) = (Vec::new(), Vec::new());
        for (place, moved) in part.iter().enumerate() {
            if refused.contains(&place) { left.push(moved) } else { done.push(moved) }
        }
        if !done.is_empty() {
            self.remove(product, &done).await?;
        }
        Ok(left)
    }

    /// Takes entries out of a journal, if they are still the same, and leaves their marks.
    async fn remove(&self, product: ProductId, done: &[&Moved<'_>]) -> Result<(), Error> {
        let mut by_revision: BTreeMap<i64, Vec<bson::Uuid>> = BTreeMap::new();
        for moved in done {
            by_revision.entry(moved.r).or_default().push(moved.o);
        }
        // Literal, since MongoDB would build the lists again for each entry.
        let is_one_of = |(revision, orders): (i64, Vec<bson::Uuid>)| {
            doc! { "$and": [
                { "$eq": ["$$this.r", revision] }, { "$in": ["$$this.o", { "$literal": orders }] },
            ] }
        };
        let is_done = doc! { "$or": by_revision.into_iter().map(is_one_of).collect::<Vec<_>>() };
        let removed = doc! { "$filter": { "input": "$pending", "cond": is_done.clone() } };
        let mark = doc! { "o": "$$this.o", "r": "$$this.r" };
        let update = vec![
            doc! { "$set": { REMOVED: { "$map": { "input": removed, "in": mark } } } },
            doc! { "$set": {
                "pending": { "$filter": { "input": "$pending", "cond": { "$not": [is_done] } } },
                "folded": newest(marks_with(format!("${REMOVED}"))),
                "folds": { "$add": ["$folds", { "$toLong": { "$size": format!("${REMOVED}") } }] },
            } },
            doc! { "$unset": REMOVED },
        ];
        let mut session = self.database.start_session().await?;
        let written = {
            let _turn = self.first_holds.turn_within(REMOVAL_TURN, &[product]).await;
            let write = UpdateEach { filter: with_id(product), update };
            let folds = rawdoc! { "folds": 1 };
            let written = self.stocks.update_once(write, &folds, WRITE, &mut session);
            mongo::bounded_write(written).await?
        };
        if let Some(folds) = written.and_then(|written| written.get_i64("folds").ok()) {
            self.first_holds.remember(product, folds, session.operation_time());
        }
        Ok(())
    }
}

/// Marks of a stock and a further one, as an expression. All but the newest are dropped now and then. MongoDB logs the
/// whole list when that happens.
pub(super) fn with_mark(mark: Document) -> Document {
    let all = marks_with(doc! { "$literal": [mark] });
    let are_many = doc! { "$gte": [{ "$size": "$folded" }, 2 * KEPT] };
    doc! { "$cond": [are_many, newest(all.clone()), all] }
}

fn marks_with(further: impl Into<Bson>) -> Document {
    doc! { "$concatArrays": ["$folded", further.into()] }
}

fn newest(marks: Document) -> Document {
    doc! { "$slice": [marks, -KEPT] }
}

/// Fields of a stock after a write: the number of marks that were ever left, and the length of its journal.
pub(super) static JOURNAL_FIELDS: LazyLock<RawDocumentBuf> =
    LazyLock::new(|| rawdoc! { "folds": 1, "pending": { "$size": "$pending" } });

/// Returns true if so many new entries have made a journal long.
pub(super) fn is_long_now(after: &Document, added: usize) -> bool {
    let length = after.get_i32("pending").ok().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    length / FOLD_AT > length.saturating_sub(added) / FOLD_AT
}

/// Returns true if MongoDB takes no write of this build at all.
pub(super) fn is_away(error: &Error) -> bool {
    use shared::error::DatabaseFailure;
    matches!(error.database_failure(), Some(DatabaseFailure::Away | DatabaseFailure::Outdated))
}
