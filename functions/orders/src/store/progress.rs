//! Progress of Reconcile: saved positions, from which the next run continues, and orders set aside.

use std::time::Duration;

use futures::TryStreamExt as _;
use mongodb::bson::{self, Bson, Document, doc};
use shared::error::Error;
use shared::mongo::fenced::FencedCollection;
use shared::mongo::json_schema;
use shared::mongo::{self, Index};
use shared::values::clock::Timestamp;
use shared::values::ids::OrderId;

use super::OrderStore;
use super::jobs::is_invalid;
use crate::products::HoldCursor;

const POSITIONS: &str = "reconcile_progress";
const SET_ASIDE: &str = "reconcile_set_aside";

/// Maximum number of positions that are read: those of all shards, and of some earlier numbers of shards.
const MAX_POSITIONS: i64 = 256;

/// Longest delay before another attempt. A mark whose attempt lies further ahead is damaged: it is due now.
pub const LONGEST_DELAY: Duration = Duration::from_secs(3600);

/// Longest name of a position: a job and its shard.
const MAX_POSITION: usize = 40;

/// Job of Reconcile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Job {
    /// Runs the stock tasks of decisions.
    Tasks,
    /// Abandons changes of items that were left unfinished.
    Changes,
    /// Cancels orders that were not paid in time.
    Expiry,
    /// Moves entries of journals into the holds of their orders.
    Folding,
    /// Ends holds that have no order.
    Holds,
    /// Deletes ended holds and voids that are old enough.
    Pruning,
}

impl Job {
    /// All jobs; the most valuable to the shop first. Folding is before the walk over holds, which sees only
    /// what is folded.
    pub const ALL: [Self; 6] =
        [Self::Tasks, Self::Changes, Self::Expiry, Self::Folding, Self::Holds, Self::Pruning];

    /// Jobs that may set orders aside. Folding goes through products.
    const OF_ORDERS: [Self; 5] = [Self::Tasks, Self::Changes, Self::Expiry, Self::Holds, Self::Pruning];

    /// Name on disk, in reports and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tasks => "tasks",
            Self::Changes => "changes",
            Self::Expiry => "expiry",
            Self::Folding => "folding",
            Self::Holds => "holds",
            Self::Pruning => "pruning",
        }
    }
}

/// Reason why an order was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its document cannot be read.
    Unreadable,
    /// MongoDB refuses its document, which violates a validation rule.
    Invalid,
    /// Products did not answer, or not in time.
    ProductsUnavailable,
    /// Products refuses its task.
    Refused,
    /// It took longer than an order may take.
    TooSlow,
    /// Any other error.
    Failed,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 6] = [
        Self::Unreadable,
        Self::Invalid,
        Self::ProductsUnavailable,
        Self::Refused,
        Self::TooSlow,
        Self::Failed,
    ];

    /// Parses a stored name. One of a later build is another error.
    fn from_stored(name: &str) -> Self {
        Self::ALL.into_iter().find(|reason| reason.name() == name).unwrap_or(Self::Failed)
    }

    /// Name on disk and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Invalid => "invalid",
            Self::ProductsUnavailable => "products-unavailable",
            Self::Refused => "refused",
            Self::TooSlow => "too-slow",
            Self::Failed => "failed",
        }
    }
}

/// Order that a job has set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Order ID.
    pub order: OrderId,
    /// Number of failed attempts.
    pub attempts: i64,
    /// Time of the next attempt.
    pub due: Timestamp,
}

/// Mark of an order that a job has set aside, as far as it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetAsideMark {
    /// Order ID.
    pub order: OrderId,
    /// Reason of the latest failure.
    pub reason: Reason,
    /// Number of failed attempts.
    pub attempts: i64,
    /// Time of the next attempt.
    pub due: Option<Timestamp>,
    /// Time of the first failure.
    pub since: Option<Timestamp>,
}

/// Collection of saved positions.
pub(super) fn positions() -> mongo::Collection {
    mongo::Collection {
        name: POSITIONS,
        indexes: Vec::new(),
        obsolete: Vec::new(),
        validator: json_schema::documents(
            &[("_id", json_schema::text(MAX_POSITION)), ("at", json_schema::date())],
            &[("order", json_schema::or_null(json_schema::bytes()))],
        ),
        append_only: false,
    }
}

/// Collection of orders that are set aside.
pub(super) fn set_aside() -> mongo::Collection {
    let new = doc! { "job": { "$exists": true } };
    mongo::Collection {
        name: SET_ASIDE,
        indexes: vec![
            Index::unique("of_order", doc! { "job": 1, "order": 1 }).only(new.clone()),
            Index::plain("by_due", doc! { "job": 1, "due": 1, "order": 1 }).only(new),
        ],
        obsolete: vec!["tried"],
        validator: json_schema::documents(
            &[
                ("job", json_schema::one_of(Job::OF_ORDERS.map(Job::name))),
                ("order", json_schema::bytes()),
                ("reason", json_schema::one_of(Reason::ALL.map(Reason::name))),
                ("attempts", json_schema::whole(1)),
                ("due", json_schema::date()),
                ("since", json_schema::date()),
            ],
            &[],
        ),
        append_only: false,
    }
}

impl OrderStore {
    /// Converts holds that an older build has deferred. `tried` stays, since the old validator requires it.
    pub(super) async fn convert_deferred(&self) -> Result<(), Error> {
        let old = doc! { "job": { "$exists": false }, "tried": { "$type": "date" } };
        let new = doc! { "$set": {
            "job": Job::Holds.name(),
            "order": "$_id",
            "reason": Reason::Failed.name(),
            "attempts": 1_i64,
            "due": "$tried",
            "since": "$tried",
        } };
        self.set_aside_collection().update_many(old, vec![new]).await?;
        Ok(())
    }

    fn set_aside_collection(&self) -> FencedCollection<Document> {
        self.database.collection(SET_ASIDE)
    }

    /// Reads the saved position of a scan. `None`: it has not begun, or its position cannot be read or lies ahead
    /// of `now`, where nothing would follow it.
    ///
    /// The read is confirmed. So everything that was written before is on a majority, where later reads see it.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn position(&self, scan: &str, now: Timestamp) -> Result<Option<HoldCursor>, Error> {
        let positions = self.database.collection::<Document>(POSITIONS);
        let found = mongo::confirmed(positions.find_one(doc! { "_id": scan })).await?;
        Ok(found.and_then(|found| {
            let at = mongo::timestamp(*found.get_datetime("at").ok()?);
            (at <= now).then(|| HoldCursor { at, order: order_in(&found) })
        }))
    }

    /// Finds the position of a job's scan, in the shard that is the last of those that run. Positions of another number
    /// of shards may be left, and stay behind: the furthest position has the number that runs.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn last_position(&self, job: Job, now: Timestamp) -> Result<Option<HoldCursor>, Error> {
        let positions = self.database.collection::<Document>(POSITIONS);
        // `holds`, or `holds 1/4`: `!` follows the space.
        let names = doc! { "$gte": job.name(), "$lt": format!("{}!", job.name()) };
        let filter = doc! { "_id": names, "at": { "$lte": mongo::date(now) } };
        let found = positions.find(filter).sort(doc! { "at": -1 }).limit(MAX_POSITIONS).await?;
        let found: Vec<Document> = found.try_collect().await?;
        let shards = |of: &Document| of.get_str("_id").ok()?.split_once('/').map(|(_, n)| n.to_owned());
        let running = found.first().and_then(shards);
        let last = found.iter().rev().find(|it| shards(it) == running);
        Ok(last.and_then(|found| {
            let at = mongo::timestamp(*found.get_datetime("at").ok()?);
            Some(HoldCursor { at, order: order_in(found) })
        }))
    }

    /// Saves the position of a scan. Of two concurrent runs the last write wins: either has seen everything
    /// before its position.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn save_position(&self, scan: &str, position: HoldCursor) -> Result<(), Error> {
        let positions = self.database.collection::<Document>(POSITIONS);
        let order = position.order.map(mongo::uuid);
        let update = doc! { "$set": { "at": mongo::date(position.at), "order": order } };
        let write = || positions.update_one(doc! { "_id": scan }, update.clone()).upsert(true);
        match write().await {
            // Another run has inserted it at the same moment.
            Err(error) if mongo::is_duplicate_key(&error) => drop(write().await?),
            written => drop(written?),
        }
        Ok(())
    }

    /// Deletes the position of a scan, so that it starts over.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn delete_position(&self, scan: &str) -> Result<(), Error> {
        self.database.collection::<Document>(POSITIONS).delete_one(doc! { "_id": scan }).await?;
        Ok(())
    }

    /// Sets an order aside until `due`, after this many failed attempts.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn set_aside(
        &self,
        job: Job,
        order: OrderId,
        reason: Reason,
        attempts: i64,
        now: Timestamp,
        due: Timestamp,
    ) -> Result<(), Error> {
        let set_aside = self.set_aside_collection();
        let update = doc! {
            "$set": { "reason": reason.name(), "attempts": attempts, "due": mongo::date(due) },
            "$setOnInsert": { "since": mongo::date(now) },
        };
        let write = || set_aside.update_one(of_order(job, order), update.clone()).upsert(true);
        match write().await {
            Ok(_) => return Ok(()),
            // Another run has inserted it at the same moment.
            Err(error) if mongo::is_duplicate_key(&error) => {}
            Err(error) => {
                let error = Error::from(error);
                if !is_invalid(&error) {
                    return Err(error);
                }
                // Another field of the document violates the rules. It says nothing then, and is written anew.
                set_aside.delete_one(of_order(job, order)).await?;
            }
        }
        write().await?;
        Ok(())
    }

    /// Deletes the mark that an order is set aside, once it is settled.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn clear_set_aside(&self, job: Job, order: OrderId) -> Result<(), Error> {
        self.set_aside_collection().delete_one(of_order(job, order)).await?;
        Ok(())
    }

    /// Filters these IDs to orders that the job has set aside, due or not. A damaged mark does not count: one
    /// without a readable time, or whose time lies more than [`LONGEST_DELAY`] ahead.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn set_aside_among(
        &self,
        job: Job,
        now: Timestamp,
        orders: &[OrderId],
    ) -> Result<Vec<OrderId>, Error> {
        let orders: Vec<bson::Uuid> = orders.iter().map(|id| mongo::uuid(*id)).collect();
        let mut filter = doc! { "job": job.name(), "order": { "$in": orders } };
        filter.insert("due", doc! { "$lte": mongo::date(now.after(LONGEST_DELAY)) });
        filter.extend(mongo::is_date("due"));
        let set_aside = self.set_aside_collection();
        let found: Vec<Document> =
            set_aside.find(filter).hint(named("of_order")).await?.try_collect().await?;
        Ok(found.iter().filter_map(order_in).collect())
    }

    /// Makes up to `limit` damaged marks of a job due at `now`, and as many whose time lies more than
    /// [`LONGEST_DELAY`] ahead. No time would ever come at which they are due.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn correct_set_aside(&self, job: Job, now: Timestamp, limit: i64) -> Result<(), Error> {
        let from = |due: Bson| doc! { "job": job.name(), "due": due, "order": Bson::MinKey };
        let end = doc! { "job": format!("{}\0", job.name()), "due": Bson::MinKey, "order": Bson::MinKey };
        // Ranges of the index over values of all types; a condition on the field would have one type.
        let latest = mongo::date(now.after(LONGEST_DELAY).after(Duration::from_millis(1)));
        let before_dates = (from(Bson::MinKey), from(bson::DateTime::MIN.into()));
        let after_latest = (from(latest.into()), end);
        for (min, max) in [before_dates, after_latest] {
            let marks = self.set_aside_collection();
            let found = marks
                .find(doc! { "job": job.name() })
                .min(min)
                .max(max)
                .limit(limit)
                .projection(doc! { "_id": 1 })
                .hint(named("by_due"));
            let found: Vec<Document> = found.await?.try_collect().await?;
            if found.is_empty() {
                continue;
            }
            let ids: Vec<&Bson> = found.iter().filter_map(|mark| mark.get("_id")).collect();
            tracing::warn!(
                job = job.name(),
                marks = ids.len(),
                "damaged marks of set-aside orders are due now"
            );
            let due = doc! { "$set": { "due": mongo::date(now) } };
            marks.update_many(doc! { "_id": { "$in": ids } }, due).await?;
        }
        Ok(())
    }

    /// Finds up to `limit` orders of a job whose next attempt is due, the longest due first, after this cursor.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn find_set_aside(
        &self,
        job: Job,
        now: Timestamp,
        after: Option<HoldCursor>,
        limit: i64,
    ) -> Result<Vec<SetAside>, Error> {
        let mut due = doc! { "$lte": mongo::date(now) };
        let mut filter = doc! { "job": job.name(), "order": mongo::any_uuid() };
        if let Some(HoldCursor { at, order: Some(order) }) = after {
            let at = mongo::date(at);
            due.insert("$gte", at);
            let beside = doc! { "order": { "$gt": mongo::uuid(order) } };
            filter.insert("$or", vec![doc! { "due": { "$gt": at } }, beside]);
        }
        filter.insert("due", due);
        let found: Vec<Document> = self
            .set_aside_collection()
            .find(filter)
            .sort(doc! { "due": 1, "order": 1 })
            .limit(limit)
            .hint(named("by_due"))
            .await?
            .try_collect()
            .await?;
        let set_aside = |it: &Document| {
            let due = mongo::timestamp(*it.get_datetime("due").ok()?);
            // An unreadable count only makes the delay shorter.
            let attempts = it.get_i64("attempts").unwrap_or(1);
            Some(SetAside { order: order_in(it)?, attempts, due })
        };
        Ok(found.iter().filter_map(set_aside).collect())
    }

    /// Lists up to `limit` orders that a job has set aside, due or not, those with the earliest next attempt first.
    /// A mark without a readable order is left out.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn list_set_aside(&self, job: Job, limit: i64) -> Result<Vec<SetAsideMark>, Error> {
        let found: Vec<Document> = self
            .set_aside_collection()
            .find(doc! { "job": job.name() })
            .sort(doc! { "due": 1, "order": 1 })
            .limit(limit)
            .hint(named("by_due"))
            .await?
            .try_collect()
            .await?;
        let mark = |it: &Document| {
            let time = |name: &str| it.get_datetime(name).ok().map(|at| mongo::timestamp(*at));
            let reason = Reason::from_stored(it.get_str("reason").unwrap_or_default());
            Some(SetAsideMark {
                order: order_in(it)?,
                reason,
                attempts: it.get_i64("attempts").unwrap_or(1),
                due: time("due"),
                since: time("since"),
            })
        };
        Ok(found.iter().filter_map(mark).collect())
    }

    /// Finds the time since which the job's oldest order is set aside.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn oldest_set_aside(&self, job: Job) -> Result<Option<Timestamp>, Error> {
        let found = self
            .set_aside_collection()
            .find_one(doc! { "job": job.name(), "since": { "$type": "date" } })
            .sort(doc! { "since": 1 })
            .hint(named("by_due"))
            .await?;
        let since = found.and_then(|found| found.get_datetime("since").ok().copied());
        Ok(since.map(mongo::timestamp))
    }
}

/// Reads the order ID of a document, if it has a readable one.
fn order_in(document: &Document) -> Option<OrderId> {
    match document.get("order") {
        Some(Bson::Binary(binary)) => binary.to_uuid().ok().map(mongo::id),
        _ => None,
    }
}

fn of_order(job: Job, order: OrderId) -> Document {
    doc! { "job": job.name(), "order": mongo::uuid(order) }
}

/// Hint: the index of this name.
pub(super) fn named(index: &str) -> mongodb::options::Hint {
    mongodb::options::Hint::Name(index.to_owned())
}
