//! Progress of Reconcile: saved cursors, from which the next run continues, and deferred holds.

use futures::TryStreamExt as _;
use mongodb::bson::{self, Document, doc};
use serde::{Deserialize, Serialize};
use shared::error::Error;
use shared::mongo::json_schema;
use shared::mongo::{self, Index};
use shared::values::clock::Timestamp;
use shared::values::ids::OrderId;

use super::{OrderStore, id_of, with_ids};
use crate::products::HoldCursor;

const CURSORS: &str = "reconcile_progress";
const DEFERRED: &str = "reconcile_set_aside";

/// Scan of Reconcile that saves its cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileScan {
    /// Live holds: every hold up to the cursor has been checked.
    Holds,
    /// Ended holds; starts over when it has come to the end.
    Tombstones,
    /// Orders with tasks; starts over when it has come to the end.
    Tasks,
}

impl ReconcileScan {
    fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Tombstones => "tombstones",
            Self::Tasks => "tasks",
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct CursorDocument {
    _id: String,
    at: bson::DateTime,
    order: Option<bson::Uuid>,
}

impl OrderStore {
    pub(super) async fn ensure_reconcile_collections(&self) -> Result<(), Error> {
        let cursors = mongo::Collection {
            name: CURSORS,
            indexes: Vec::new(),
            obsolete: Vec::new(),
            validator: json_schema::documents(
                &[("_id", json_schema::text(40)), ("at", json_schema::date())],
                &[("order", json_schema::or_null(json_schema::bytes()))],
            ),
        };
        cursors.ensure(&self.database).await?;
        let deferred = mongo::Collection {
            name: DEFERRED,
            indexes: vec![Index::plain("tried", doc! { "tried": 1 })],
            obsolete: Vec::new(),
            validator: json_schema::documents(
                &[("_id", json_schema::bytes()), ("tried", json_schema::date())],
                &[],
            ),
        };
        Ok(deferred.ensure(&self.database).await?)
    }

    /// Reads the saved cursor of a scan. `None`: it has not begun.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn cursor(&self, scan: ReconcileScan) -> Result<Option<HoldCursor>, Error> {
        let cursors = self.database.collection::<CursorDocument>(CURSORS);
        let found = cursors.find_one(doc! { "_id": scan.name() }).await?;
        Ok(found.map(|it| HoldCursor { at: mongo::timestamp(it.at), order: it.order.map(mongo::id) }))
    }

    /// Saves the cursor of a scan. Of two concurrent runs the last write wins: either has seen everything
    /// before its cursor.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn save_cursor(&self, scan: ReconcileScan, cursor: HoldCursor) -> Result<(), Error> {
        let cursors = self.database.collection::<CursorDocument>(CURSORS);
        let document = CursorDocument {
            _id: scan.name().to_owned(),
            at: mongo::date(cursor.at),
            order: cursor.order.map(mongo::uuid),
        };
        cursors.replace_one(doc! { "_id": scan.name() }, document).upsert(true).await?;
        Ok(())
    }

    /// Deletes the cursor of a scan, so that it starts over.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn delete_cursor(&self, scan: ReconcileScan) -> Result<(), Error> {
        self.database.collection::<Document>(CURSORS).delete_one(doc! { "_id": scan.name() }).await?;
        Ok(())
    }

    /// Defers a hold that could not be settled, to be tried again.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn defer(&self, order: OrderId, now: Timestamp) -> Result<(), Error> {
        let deferred = self.database.collection::<Document>(DEFERRED);
        let tried = doc! { "$set": { "tried": mongo::date(now) } };
        deferred.update_one(doc! { "_id": mongo::uuid(order) }, tried).upsert(true).await?;
        Ok(())
    }

    /// Finds up to `limit` orders with deferred holds, the least recently tried first.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn find_deferred(&self, limit: i64) -> Result<Vec<OrderId>, Error> {
        let deferred = self.database.collection::<Document>(DEFERRED);
        let found: Vec<Document> =
            deferred.find(doc! {}).sort(doc! { "tried": 1 }).limit(limit).await?.try_collect().await?;
        found.iter().map(id_of).collect()
    }

    /// Deletes deferred holds that have been settled.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn clear_deferred(&self, orders: &[OrderId]) -> Result<(), Error> {
        self.database.collection::<Document>(DEFERRED).delete_many(with_ids(orders)).await?;
        Ok(())
    }
}
