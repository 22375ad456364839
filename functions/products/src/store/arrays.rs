//! Migration of holds from the arrays in which builds of schema version 7 and before kept them.
//!
//! The schema step has fenced out these builds and signed all products, so the arrays are frozen. It copies them, and
//! a declaration copies what it needs: see "Migration" in `model/src/journal.rs`. Any number of schema steps may run
//! at once, and a stopped one may be run again.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::TryStreamExt as _;
use mongodb::ClientSession;
use mongodb::bson::{self, Bson, Document, Timestamp as OperationTime, doc};
use mongodb::options::ReadConcern;
use serde::Deserialize;
use shared::error::Error;
use shared::mongo;
use shared::mongo::unreadable::{self, Unreadable};
use shared::values::clock::Timestamp;
use shared::values::ids::OrderId;

use super::documents::{ItemDocument, of_order};
use super::holds::{Held, one_of};
use super::{PRODUCTS, ProductStore};
use crate::holds::Hold;

/// Name of this migration in the record of the schema: all arrays are removed.
const MIGRATION: &str = "holds_in_arrays";

/// Name of its first part in the same record: all arrays are copied, and no declaration reads them any more.
const COPIED: &str = "copy_holds_in_arrays";

/// Maximum time of a copy. A copy whose schema step is gone still inserts.
const COPYING_TIME: Duration = Duration::from_secs(3_600);

/// Index by which the arrays of an order are found, until all are copied.
pub(super) const ORDERS_IN_ARRAYS: &str = "holds_of_order";

/// Entry of an order in the array of a product.
#[derive(Debug, Deserialize)]
struct ArrayEntry {
    /// Order ID.
    o: bson::Uuid,
    /// Quantity.
    q: i64,
    /// Revision.
    r: i64,
    /// Time of the declaration.
    t: bson::DateTime,
}

/// Entry with the product that has it.
#[derive(Debug, Deserialize)]
struct Unwound {
    _id: bson::Uuid,
    holds: ArrayEntry,
}

/// Hold of an order as the arrays have it.
#[derive(Debug)]
pub(super) struct Copied {
    order: bson::Uuid,
    revision: i64,
    items: Vec<ItemDocument>,
}

impl Copied {
    /// Combines the entries of an order in products. They have one revision, since each declaration wrote all of them.
    fn of(order: bson::Uuid, entries: Vec<(bson::Uuid, ArrayEntry)>) -> Option<Self> {
        let revision = entries.iter().map(|(_, entry)| entry.r).max()?;
        let items = entries.into_iter().map(|(p, entry)| ItemDocument::new(p, entry.q, None, None));
        Some(Self { order, revision, items: items.collect() })
    }

    fn document(&self) -> Document {
        let items: Vec<Document> = self.items.iter().map(|item| doc! { "p": item.p, "q": item.q }).collect();
        doc! {
            "_id": self.order,
            "r": self.revision,
            "items": items,
            "live": self.items.iter().any(|item| item.q > 0),
        }
    }
}

impl ProductStore {
    /// Returns true once all arrays are copied. They never come back.
    pub(super) async fn arrays_are_gone(&self) -> Result<bool, Error> {
        Ok(self.arrays_gone_as_of().await?.is_some())
    }

    /// Returns a time as of which all arrays are copied.
    pub(super) async fn arrays_gone_as_of(&self) -> Result<Option<OperationTime>, Error> {
        if let Some(as_of) = self.arrays_gone.get() {
            return Ok(Some(*as_of));
        }
        let as_of = self.database.is_migrated(COPIED).await?;
        Ok(as_of.map(|as_of| *self.arrays_gone.get_or_init(|| as_of)))
    }

    /// Returns the time from which on copies of arrays may still appear, if there may be any.
    pub(super) async fn copies_appear_from(&self) -> Result<Option<Timestamp>, Error> {
        if self.arrays_are_gone().await? {
            return Ok(None);
        }
        Ok(self.database.copying_since(MIGRATION).await?)
    }

    /// Returns true while a copy may still insert what was in an array: it is recorded as done by another one, but does
    /// not know that.
    pub(super) async fn copies_may_be_late(&self) -> Result<bool, Error> {
        let Some(copied_at) = self.database.copied_at(MIGRATION).await? else { return Ok(false) };
        Ok(self.database.clock().await? < copied_at.after(COPYING_TIME))
    }

    /// Finds the hold of an order in the arrays, in a session.
    pub(super) async fn find_in_arrays(
        &self,
        session: &mut ClientSession,
        order: OrderId,
        concern: Option<ReadConcern>,
    ) -> mongodb::error::Result<Result<Option<Copied>, Unreadable>> {
        let documents = self.documents();
        let entries = doc! { "holds": of_order("$holds", order) };
        let order = mongo::uuid(order);
        let mut in_arrays = with_array();
        in_arrays.insert("holds.o", order);
        let mut find = documents.find(in_arrays).projection(entries);
        if let Some(concern) = concern {
            find = find.read_concern(concern);
        }
        let mut found = find.session(&mut *session).await?;
        let found: Vec<Document> = found.stream(session).try_collect().await?;
        let mut entries = Vec::new();
        for product in found {
            match read_entries(&product) {
                Ok((id, of_product)) => entries.extend(of_product.into_iter().map(|entry| (id, entry))),
                Err(unreadable) => return Ok(Err(unreadable)),
            }
        }
        Ok(Ok(Copied::of(order, entries)))
    }

    /// Inserts a hold from the arrays, unless it is there.
    pub(super) async fn insert_copy(&self, copied: Copied) -> Result<(), Error> {
        let mut hold = copied.document();
        // By the database's clock, since clocks differ between machines.
        hold.insert("at", mongo::date(self.database.clock().await?));
        match self.holds.insert_one(hold)?.await {
            Err(error) if !mongo::is_duplicate_key(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Adds the holds that these orders have in arrays.
    pub(super) async fn add_from_arrays(
        &self,
        orders: &[OrderId],
        all: &mut HashMap<OrderId, Held>,
    ) -> Result<(), Error> {
        let of_orders = doc! { "holds.o": one_of(orders) };
        let pipeline = vec![
            doc! { "$match": of_orders.clone() },
            doc! { "$project": { "holds": 1 } },
            doc! { "$unwind": "$holds" },
            doc! { "$match": of_orders },
        ];
        let found: Vec<Document> = self.products.aggregate(pipeline).await?.try_collect().await?;
        let mut left_out = Vec::new();
        for entry in found {
            match Unreadable::or_read::<Unwound>(PRODUCTS, entry) {
                Ok(Unwound { _id, holds: entry }) => {
                    let order: OrderId = mongo::id(entry.o);
                    let held = all.entry(order).or_default();
                    held.revision = held.revision.max(entry.r);
                    held.holds.push(Hold {
                        order,
                        product: mongo::id(_id),
                        quantity: entry.q,
                        revision: entry.r,
                        at: mongo::timestamp(entry.t),
                        counts: None,
                    });
                }
                Err(unreadable) => left_out.push(unreadable),
            }
        }
        unreadable::log(&left_out);
        Ok(())
    }

    /// Finds those of these orders that are in arrays.
    pub(super) async fn in_arrays(&self, orders: &[OrderId]) -> Result<HashSet<OrderId>, Error> {
        let mut all = HashMap::new();
        self.add_from_arrays(orders, &mut all).await?;
        Ok(all.into_keys().collect())
    }

    /// Copies all arrays into holds, and then removes them. While one cannot be read, all stay, for people to repair.
    /// Those of products without a stock stay, too, beside the counts that are still to become one.
    pub(super) async fn copy_arrays(&self) -> Result<(), Error> {
        if self.database.is_migrated(MIGRATION).await?.is_some() {
            return Ok(());
        }
        if !self.arrays_are_gone().await? {
            // Before the copies and after them: what cannot be read meanwhile is not copied.
            if self.find_unreadable_arrays().await? {
                return Ok(());
            }
            if self.has_arrays().await? {
                self.copy_readable_arrays().await?;
            }
            if self.find_unreadable_arrays().await? {
                return Ok(());
            }
            self.database.record_migrated(COPIED).await?;
        }
        self.remove_arrays().await?;
        if !self.has_arrays().await? {
            self.database.record_migrated(MIGRATION).await?;
        }
        Ok(())
    }

    async fn has_arrays(&self) -> Result<bool, Error> {
        let found = self.documents().find_one(with_array()).projection(doc! { "_id": 1 }).await?;
        Ok(found.is_some())
    }

    /// Removes the arrays and counts of earlier versions from products that have a stock.
    async fn remove_arrays(&self) -> Result<(), Error> {
        let of_earlier_versions =
            doc! { "holds": 1, "live": 1, "on_hand": 1, "reserved": 1, "movements": 1, "moved_at": 1 };
        let id = || doc! { "_id": 1 };
        // Each entry has a key in the index. Without it, an array of any length is removed in one write.
        self.database.drop_index(PRODUCTS, ORDERS_IN_ARRAYS).await?;
        let mut after = None;
        loop {
            let batch = self.batch(doc! { "holds": { "$exists": true } }, after, id()).await?;
            let Some(last) = batch.last() else { return Ok(()) };
            after = last.get("_id").cloned();
            let of_batch: Vec<&Bson> = batch.iter().filter_map(|product| product.get("_id")).collect();
            let stocks = self.stocks.find(doc! { "_id": { "$in": of_batch } }).projection(id()).await?;
            let stocks: Vec<Document> = stocks.try_collect().await?;
            let with_stock: Vec<&Bson> = stocks.iter().filter_map(|stock| stock.get("_id")).collect();
            // Another step may have created it again.
            self.database.drop_index(PRODUCTS, ORDERS_IN_ARRAYS).await?;
            let removal = doc! { "$unset": of_earlier_versions.clone() };
            let removal = self.products.update_many(doc! { "_id": { "$in": with_stock } }, removal);
            mongo::bounded_write(removal).await?;
        }
    }

    /// Copies the holds of all orders whose entries can be read, unless they are there.
    async fn copy_readable_arrays(&self) -> Result<(), Error> {
        let pipeline = vec![
            doc! { "$match": with_array() },
            doc! { "$match": { "$expr": { "$isArray": "$holds" } } },
            doc! { "$project": { "holds": 1 } },
            doc! { "$unwind": "$holds" },
            doc! { "$group": {
                "_id": "$holds.o",
                "r": { "$max": "$holds.r" },
                "items": { "$push": { "p": "$_id", "q": "$holds.q" } },
                "is_readable": { "$min": is_readable("$holds") },
            } },
            doc! { "$match": { "is_readable": true } },
            doc! { "$project": {
                "r": 1, "items": 1, "live": { "$gt": [{ "$max": "$items.q" }, 0] }, "at": "$$NOW",
            } },
        ];
        // All copies have the time of its beginning.
        self.database.record_copying(MIGRATION).await?;
        self.products.aggregate_into(pipeline, &self.holds, COPYING_TIME).await?;
        self.database.record_copied(MIGRATION).await?;
        Ok(())
    }

    /// Returns true if there are arrays that cannot be read. They are logged.
    async fn find_unreadable_arrays(&self) -> Result<bool, Error> {
        let of_each = doc! { "$map": { "input": "$holds", "as": "this", "in": is_readable("$$this") } };
        let has_others = doc! { "$not": [{ "$allElementsTrue": [of_each] }] };
        let is_array = doc! { "$eq": [{ "$type": "$holds" }, "array"] };
        let mut damaged = with_array();
        damaged.insert("$expr", doc! { "$cond": [is_array, has_others, true] });
        let documents = self.documents();
        let found = documents.find(damaged).projection(doc! { "_id": 1 }).read_concern(ReadConcern::local());
        let found: Vec<Document> = found.await?.try_collect().await?;
        let unreadable: Vec<Unreadable> =
            found.iter().map(|product| Unreadable::of(PRODUCTS, product)).collect();
        unreadable::log(&unreadable);
        Ok(!unreadable.is_empty())
    }
}

/// Filter for products with an array. One whose ID is no UUID is left out: no order can name it.
fn with_array() -> Document {
    doc! { "_id": mongo::any_uuid(), "holds": { "$exists": true } }
}

/// Expression that is true for an entry that can be read. `entry` is its place.
///
/// An expression, since a condition of a query looks into lists, and takes a list of numbers for a number.
fn is_readable(entry: &str) -> Document {
    let is_of =
        |field: &str, types: &[&str]| doc! { "$in": [{ "$type": format!("{entry}.{field}") }, types] };
    let whole = ["int", "long"];
    doc! { "$and": [
        is_of("o", &["binData"]), is_of("q", &whole), is_of("r", &whole), is_of("t", &["date"]),
    ] }
}

/// Reads the entries in a product's array.
fn read_entries(product: &Document) -> Result<(bson::Uuid, Vec<ArrayEntry>), Unreadable> {
    #[derive(Deserialize)]
    struct Array {
        _id: bson::Uuid,
        holds: Vec<ArrayEntry>,
    }
    let array: Array = Unreadable::or_read(PRODUCTS, product.clone())?;
    Ok((array._id, array.holds))
}
