//! Counts of requests, in windows of a minute: by network or by user.
//!
//! Each count is one document. A window begins with its first request. A document that is damaged, or whose window
//! would end too late, counts as one of a window that is over: the next request replaces it.

use std::time::Duration;

use mongodb::bson::{Bson, Document, RawBsonRef, RawDocument, RawDocumentBuf, doc};
use mongodb::options::{Acknowledgment, ReadConcern, WriteConcern};

use super::fenced::{FencedCollection, FencedDatabase};
use super::unreadable::value;
use super::{Collection, Index, bounded_write, date, is_duplicate_key, json_schema, timestamp};
use crate::error::Error;
use crate::values::clock::Timestamp;

/// Length of a window.
pub const WINDOW: Duration = Duration::from_secs(60);

/// Longest time until the end of a running window. The clocks of two machines may differ by up to a window.
const LONGEST: Duration = Duration::from_secs(2 * WINDOW.as_secs());

/// Number of tries of an upsert that collides with another one for a new document.
const MAX_UPSERTS: usize = 8;

/// Store of counts.
#[derive(Clone)]
pub struct RequestCounts {
    counts: FencedCollection<RawDocumentBuf>,
}

impl RequestCounts {
    /// Creates a store over this collection.
    pub fn new(database: &FencedDatabase, name: &str) -> Self {
        Self { counts: database.collection(name) }
    }

    /// Collection that the schema step creates. The sweeping index is no clock: the clock decides about age.
    pub fn collection(name: &'static str) -> Collection {
        let rule =
            json_schema::document(&[("_id", json_schema::bytes()), ("count", json_schema::whole(0))], &[]);
        Collection {
            name,
            indexes: vec![Index::plain("sweep", doc! { "ends_at": 1 }).swept_after(Duration::ZERO)],
            obsolete: Vec::new(),
            validator: doc! { "$jsonSchema": rule },
            append_only: false,
        }
    }

    /// Counts a request, unless its window has `most` already: then returns the end of the window. The limit is
    /// exact for any number of concurrent requests.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn count(
        &self,
        id: impl Into<Bson>,
        most: u32,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Error> {
        let id = id.into();
        // An upsert takes no `$expr`: this is the opposite of `runs`, or a count below the limit.
        let filter = doc! { "_id": &id, "$or": [
            { "count": { "$lt": most } },
            { "count": { "$not": { "$type": ["int", "long"] } } },
            { "ends_at": { "$not": { "$gt": date(now), "$lte": date(now.after(LONGEST)) } } },
        ] };
        for _ in 0..MAX_UPSERTS {
            let write = self.counts.update_one(filter.clone(), vec![counted(now)]).upsert(true);
            match bounded_write(write).await {
                Ok(_) => return Ok(None),
                // It is there, and does not match; or a concurrent request has just created it.
                Err(error) if is_duplicate_key(&error) => {}
                Err(error) => return Err(error.into()),
            }
            if let Some(until) = self.full_until(id.clone(), most, now).await? {
                return Ok(Some(until));
            }
        }
        Err(Error::unavailable("a count of requests changes all the time"))
    }

    /// Returns the end of the window if it has `most` requests already.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn full_until(
        &self,
        id: impl Into<Bson>,
        most: u32,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Error> {
        // What is counted need not be on the disks of a majority.
        let found = self.counts.find_one(doc! { "_id": id.into() }).read_concern(ReadConcern::local());
        let found = found.await?;
        Ok(found.and_then(|document| full_until(&document, most, now)))
    }

    /// Counts a request, whatever the limit. It waits for the primary alone, and not for its journal: after an
    /// election a window may begin anew.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn add(&self, id: impl Into<Bson>, now: Timestamp) -> Result<(), Error> {
        let filter = doc! { "_id": id.into() };
        let concern = WriteConcern::builder().w(Acknowledgment::Nodes(1)).journal(false).build();
        for _ in 0..MAX_UPSERTS {
            let write = self.counts.update_one(filter.clone(), vec![counted(now)]).upsert(true);
            match write.write_concern(concern.clone()).await {
                Ok(_) => return Ok(()),
                Err(error) if is_duplicate_key(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::unavailable("a count of requests changes all the time"))
    }
}

/// Update that counts a request.
fn counted(now: Timestamp) -> Document {
    let runs = doc! { "$and": [
        { "$in": [{ "$type": "$count" }, ["int", "long"]] },
        { "$eq": [{ "$type": "$ends_at" }, "date"] },
        { "$gt": ["$ends_at", date(now)] },
        { "$lte": ["$ends_at", date(now.after(LONGEST))] },
    ] };
    let more = doc! { "count": { "$add": ["$count", 1] } };
    let first = doc! { "count": 1, "ends_at": date(now.after(WINDOW)) };
    doc! { "$replaceWith": { "$mergeObjects": ["$$ROOT", { "$cond": [runs, more, first] }] } }
}

fn full_until(document: &RawDocument, most: u32, now: Timestamp) -> Option<Timestamp> {
    let count = match value(document, "count")? {
        RawBsonRef::Int32(count) => i64::from(count),
        RawBsonRef::Int64(count) => count,
        _ => return None,
    };
    let ends_at = timestamp(value(document, "ends_at")?.as_datetime()?);
    let runs = now < ends_at && ends_at <= now.after(LONGEST);
    (runs && count >= i64::from(most)).then_some(ends_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn raw(document: Document) -> RawDocumentBuf {
        RawDocumentBuf::try_from(&document).unwrap()
    }

    #[test]
    fn only_a_whole_count_of_a_running_window_is_full() {
        let end = NOW.after(WINDOW);
        let of = |count: Bson, ends_at: Bson| {
            full_until(&raw(doc! { "count": count, "ends_at": ends_at }), 3, NOW)
        };
        assert_eq!(of(3.into(), date(end).into()), Some(end));
        assert_eq!(of(7_i64.into(), date(end).into()), Some(end));
        assert_eq!(of(2.into(), date(end).into()), None);
        assert_eq!(of(3.into(), date(NOW).into()), None);
        for damaged in [Bson::Null, "9".into(), doc! {}.into(), 9.5.into()] {
            assert_eq!(of(damaged.clone(), date(end).into()), None);
            assert_eq!(of(9.into(), damaged), None);
        }
        let far = Timestamp::from_millis(253_402_300_799_999);
        assert_eq!(of(9.into(), date(far).into()), None);
        assert_eq!(full_until(&raw(doc! {}), 3, NOW), None);
    }
}
