//! Queries of Reconcile's jobs over orders and voids.
//!
//! Each has a hint. The planner has chosen an index on another field for some of them, and read thousands of
//! keys.

use futures::TryStreamExt as _;
use mongodb::bson::{Document, RawDocumentBuf, doc};
use mongodb::options::{FindOptions, Hint};
use shared::error::{DatabaseFailure, Error};
use shared::mongo::{self, Index};
use shared::values::clock::Timestamp;
use shared::values::ids::OrderId;

use super::documents::{Stored, VOID};
use super::progress::named;
use super::{OrderStore, id_of, with_ids};
use crate::products::HoldCursor;
use crate::status::Status;

const WITH_TASKS: &str = "with_tasks";
const CHANGING: &str = "changing";
const UNPAID: &str = "unpaid_by_time";
const VOIDS: &str = "voids";

/// Kind of unfinished work for Reconcile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// Tasks of orders and of voids.
    Tasks,
    /// Changes of items.
    Changes,
    /// Payments that were not made in time.
    Payment,
}

impl Unfinished {
    /// Field with the time by which such work is sorted.
    fn time(self) -> &'static str {
        match self {
            Self::Tasks | Self::Changes => "updated_at",
            Self::Payment => "expires_at",
        }
    }

    fn filter(self) -> Document {
        match self {
            Self::Tasks => with_tasks(),
            Self::Changes => doc! { "changing": true },
            Self::Payment => doc! { "status": Status::Placed.name() },
        }
    }

    fn index(self) -> Hint {
        named(match self {
            Self::Tasks => WITH_TASKS,
            Self::Changes => CHANGING,
            Self::Payment => UNPAID,
        })
    }
}

/// Indexes for the jobs. They are small, since few documents match at a time.
pub(super) fn indexes() -> [Index; 4] {
    let by_time =
        |name, kind: Unfinished| Index::plain(name, doc! { kind.time(): 1, "_id": 1 }).only(kind.filter());
    [
        by_time(WITH_TASKS, Unfinished::Tasks),
        by_time(CHANGING, Unfinished::Changes),
        by_time(UNPAID, Unfinished::Payment),
        Index::plain(VOIDS, doc! { "updated_at": 1 }).only(doc! { "status": VOID }),
    ]
}

/// Returns true if the error means that MongoDB takes no write of this build, and not that it refused one
/// document: it is away, or the build is too old.
pub fn is_away(error: &Error) -> bool {
    matches!(error.database_failure(), Some(DatabaseFailure::Away | DatabaseFailure::Outdated))
}

/// Returns true if MongoDB refused a document because it is invalid.
pub fn is_invalid(error: &Error) -> bool {
    error.database_failure() == Some(DatabaseFailure::Invalid)
}

/// Returns true if the error comes from MongoDB.
pub fn is_from_store(error: &Error) -> bool {
    error.database_failure().is_some()
}

impl OrderStore {
    /// Finds up to `limit` orders and voids with unfinished work from `until` or before, oldest first, after
    /// this cursor. An unreadable one gives an error in its place.
    ///
    /// Documents whose ID is not a UUID are not found. No order can have such an ID.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn find_unfinished(
        &self,
        kind: Unfinished,
        until: Timestamp,
        after: Option<HoldCursor>,
        limit: i64,
    ) -> Result<Vec<(HoldCursor, OrderId, Result<Stored, Error>)>, Error> {
        let time = kind.time();
        let mut times = doc! { "$lte": mongo::date(until) };
        let mut filter = kind.filter();
        filter.insert("_id", mongo::any_uuid());
        if let Some(HoldCursor { at, order: Some(order) }) = after {
            let at = mongo::date(at);
            // The range of times bounds the scan of the index; the rest leaves out the ones before the cursor.
            times.insert("$gte", at);
            let beside = doc! { "_id": { "$gt": mongo::uuid(order) } };
            filter.insert("$or", vec![doc! { time: { "$gt": at } }, beside]);
        }
        filter.insert(time, times);
        filter.extend(mongo::is_date(time));
        let documents: Vec<RawDocumentBuf> = self
            .stored()
            .find(filter)
            .sort(doc! { time: 1, "_id": 1 })
            .limit(limit)
            .hint(kind.index())
            .await?
            .try_collect()
            .await?;
        let found = |document: RawDocumentBuf| {
            let at = mongo::timestamp(document.get_datetime(time).map_err(Error::internal)?);
            let id = id_of(&document)?;
            Ok((HoldCursor { at, order: Some(id) }, id, Stored::read(document).map_err(Error::from)))
        };
        documents.into_iter().map(found).collect()
    }

    /// Finds the time of the oldest unfinished work from `until` or before.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn oldest_unfinished(
        &self,
        kind: Unfinished,
        until: Timestamp,
    ) -> Result<Option<Timestamp>, Error> {
        let time = kind.time();
        let mut filter = kind.filter();
        filter.insert(time, doc! { "$lte": mongo::date(until) });
        filter.extend(mongo::is_date(time));
        let found = self
            .all
            .find_one(filter)
            .sort(doc! { time: 1, "_id": 1 })
            .projection(doc! { time: 1 })
            .hint(kind.index())
            .await?;
        let at = found.map(|found| found.get_datetime(time).map(|at| mongo::timestamp(*at)));
        at.transpose().map_err(Error::internal)
    }

    /// Filters these IDs to those with a document: an order, or a void. Just after an election one may be missing:
    /// the insert of its void decides.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn existing(&self, ids: &[OrderId]) -> Result<Vec<OrderId>, Error> {
        let found = self.all.find(with_ids(ids)).projection(doc! { "_id": 1 }).hint(by_id());
        let found: Vec<Document> = found.await?.try_collect().await?;
        found.iter().map(id_of).collect()
    }

    /// Filters these IDs to orders that have tasks, or have finished one after `since`, as of all acknowledged
    /// writes: what the others have left behind is deleted.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn busy_since(&self, since: Timestamp, ids: &[OrderId]) -> Result<Vec<OrderId>, Error> {
        let lately = doc! { "task_ended_at": { "$gt": mongo::date(since) } };
        let mut filter = with_ids(ids);
        filter.insert("$or", vec![with_tasks(), lately]);
        let options = FindOptions::builder().projection(doc! { "_id": 1 }).hint(by_id()).build();
        self.all.find_confirmed(filter, options).await?.iter().map(id_of).collect()
    }

    /// Deletes voids without tasks that were inserted before `before`. Returns their number.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn prune_voids(&self, before: Timestamp) -> Result<u64, Error> {
        let old = doc! { "$lt": mongo::date(before) };
        let filter = doc! {
            "status": VOID, "tasks": { "$size": 0 }, "updated_at": old.clone(), "task_ended_at": old,
        };
        Ok(self.all.delete_many(filter).hint(named(VOIDS)).await?.deleted_count)
    }
}

fn with_tasks() -> Document {
    doc! { "tasks.0": { "$exists": true } }
}

fn by_id() -> Hint {
    named("_id_")
}
