//! How far Reconcile has come, and what it has set aside: a walk goes on where the one before it ended.

use futures::TryStreamExt as _;
use mongodb::bson::{self, Document, doc};
use serde::{Deserialize, Serialize};
use shared::error::Error;
use shared::mongo::json_schema;
use shared::mongo::{self, Index};
use shared::values::clock::Timestamp;
use shared::values::ids::OrderId;

use super::{OrderStore, among, id_of};
use crate::products::HoldCursor;

const PROGRESS: &str = "reconcile_progress";
const SET_ASIDE: &str = "reconcile_set_aside";

/// A walk of Reconcile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// Over live holds: up to here every hold has been looked at.
    Holds,
    /// Over ended holds; begins anew when it has come to the end.
    Tombstones,
    /// Over orders with tasks; begins anew when it has come to the end.
    Tasks,
}

impl Walk {
    fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Tombstones => "tombstones",
            Self::Tasks => "tasks",
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct ProgressDocument {
    _id: String,
    at: bson::DateTime,
    order: Option<bson::Uuid>,
}

impl OrderStore {
    pub(super) async fn ensure_progress(&self) -> Result<(), Error> {
        let progress = mongo::Collection {
            name: PROGRESS,
            indexes: Vec::new(),
            obsolete: Vec::new(),
            validator: json_schema::documents(
                &[("_id", json_schema::text(40)), ("at", json_schema::date())],
                &[("order", json_schema::or_null(json_schema::bytes()))],
            ),
        };
        progress.ensure(&self.database).await?;
        let set_aside = mongo::Collection {
            name: SET_ASIDE,
            indexes: vec![Index::plain("tried", doc! { "tried": 1 })],
            obsolete: Vec::new(),
            validator: json_schema::documents(
                &[("_id", json_schema::bytes()), ("tried", json_schema::date())],
                &[],
            ),
        };
        Ok(set_aside.ensure(&self.database).await?)
    }

    /// Where a walk has come to. `None`: nowhere yet.
    ///
    /// # Errors
    /// When MongoDB is away.
    pub async fn progress(&self, walk: Walk) -> Result<Option<HoldCursor>, Error> {
        let progress = self.database.collection::<ProgressDocument>(PROGRESS);
        let found = progress.find_one(doc! { "_id": walk.name() }).await?;
        Ok(found.map(|it| HoldCursor { at: mongo::timestamp(it.at), order: it.order.map(mongo::id) }))
    }

    /// Notes where a walk has come to. Of two that run at once the later word counts: what lies behind it
    /// either of them has seen.
    ///
    /// # Errors
    /// When MongoDB is away.
    pub async fn save_progress(&self, walk: Walk, place: HoldCursor) -> Result<(), Error> {
        let progress = self.database.collection::<ProgressDocument>(PROGRESS);
        let document = ProgressDocument {
            _id: walk.name().to_owned(),
            at: mongo::date(place.at),
            order: place.order.map(mongo::uuid),
        };
        progress.replace_one(doc! { "_id": walk.name() }, document).upsert(true).await?;
        Ok(())
    }

    /// Has a walk begin anew.
    ///
    /// # Errors
    /// When MongoDB is away.
    pub async fn forget_progress(&self, walk: Walk) -> Result<(), Error> {
        self.database.collection::<Document>(PROGRESS).delete_one(doc! { "_id": walk.name() }).await?;
        Ok(())
    }

    /// Sets holds aside that could not be settled, to be tried again.
    ///
    /// # Errors
    /// When MongoDB is away.
    pub async fn set_aside(&self, order: OrderId, now: Timestamp) -> Result<(), Error> {
        let set_aside = self.database.collection::<Document>(SET_ASIDE);
        let tried = doc! { "$set": { "tried": mongo::date(now) } };
        set_aside.update_one(doc! { "_id": mongo::uuid(order) }, tried).upsert(true).await?;
        Ok(())
    }

    /// Up to `limit` orders whose holds were set aside, those first that were not tried for longest.
    ///
    /// # Errors
    /// When MongoDB is away.
    pub async fn find_set_aside(&self, limit: i64) -> Result<Vec<OrderId>, Error> {
        let set_aside = self.database.collection::<Document>(SET_ASIDE);
        let found: Vec<Document> =
            set_aside.find(doc! {}).sort(doc! { "tried": 1 }).limit(limit).await?.try_collect().await?;
        found.iter().map(id_of).collect()
    }

    /// Forgets what was set aside and has been settled.
    ///
    /// # Errors
    /// When MongoDB is away.
    pub async fn clear_deferred(&self, orders: &[OrderId]) -> Result<(), Error> {
        self.database.collection::<Document>(SET_ASIDE).delete_many(among(orders)).await?;
        Ok(())
    }
}
