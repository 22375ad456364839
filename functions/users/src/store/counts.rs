//! Counts for rate limits in MongoDB: failed sign-ins by e-mail address, requests by source address.
//!
//! Each count is one document, and each attempt one conditional upsert of it: either it is counted, or it is
//! above the limit. So the limit holds for any number of concurrent attempts, connections and environments. A
//! document's ID is a hash of the counted address.

use std::time::Duration;

use mongodb::bson::{self, Binary, doc};
use mongodb::results::UpdateResult;
use mongodb::{ClientSession, Collection, Database};
use ring::digest::{Context, SHA256};
use serde::Deserialize;
use shared::error::Error;
use shared::mongo::json_schema;
use shared::mongo::{self, Index};
use shared::values::clock::Timestamp;

const ATTEMPTS: &str = "user_attempts";
const ADDRESSES: &str = "user_addresses";

/// Maximum number of failed sign-ins with one e-mail address within [`ATTEMPTS_WITHIN`].
pub const MOST_ATTEMPTS: i32 = 10;

/// Time window of failed sign-ins.
pub const ATTEMPTS_WITHIN: Duration = Duration::from_secs(15 * 60);

/// Time window of requests from one address.
pub const REQUESTS_WITHIN: Duration = Duration::from_secs(60);

/// Number of tries of an upsert that collides with another one for a new document.
const MAX_UPSERTS: usize = 8;

/// Result of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateLimit {
    /// The attempt is counted, and may proceed.
    Counted,
    /// The limit is reached.
    TooMany {
        /// Time from which the next attempt may proceed.
        until: Timestamp,
        /// Time of the latest counted attempt.
        latest: Timestamp,
    },
}

/// Times of sign-ins that have not succeeded, the oldest first.
#[derive(Debug, Deserialize)]
struct Attempts {
    at: Vec<bson::DateTime>,
}

/// Number of requests in the current window, and its end.
#[derive(Debug, Deserialize)]
struct Requests {
    count: i32,
    ends_at: bson::DateTime,
}

/// Store of counts.
#[derive(Clone)]
pub struct Counts {
    attempts: Collection<Attempts>,
    addresses: Collection<Requests>,
}

impl Counts {
    /// Creates a store over this database.
    pub fn new(database: &Database) -> Self {
        Self { attempts: database.collection(ATTEMPTS), addresses: database.collection(ADDRESSES) }
    }

    /// Collection that the schema step creates. The indexes only sweep: the clock decides about age.
    pub fn collections() -> [mongo::Collection; 2] {
        let attempts = json_schema::document(
            &[
                ("_id", json_schema::bytes()),
                (
                    "at",
                    json_schema::list(
                        0,
                        usize::try_from(MOST_ATTEMPTS).unwrap_or(usize::MAX),
                        json_schema::date(),
                    ),
                ),
            ],
            &[],
        );
        let requests =
            json_schema::document(&[("_id", json_schema::bytes()), ("count", json_schema::whole(0))], &[]);
        let all = [(ATTEMPTS, "expires_at", attempts), (ADDRESSES, "ends_at", requests)];
        all.map(|(name, until, rule)| mongo::Collection {
            name,
            indexes: vec![Index::plain("sweep", doc! { until: 1 }).swept_after(Duration::ZERO)],
            obsolete: Vec::new(),
            validator: doc! { "$jsonSchema": rule },
        })
    }

    /// Counts a sign-in with this e-mail address as failed, before its result is known.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn attempt(&self, email: &str, now: Timestamp) -> Result<RateLimit, Error> {
        let id = hash("email", email);
        let newest = format!("at.{}", MOST_ATTEMPTS - 1);
        let filter = doc! { "_id": &id, "$or": [
            { newest: { "$exists": false } },
            { "at.0": { "$lte": mongo::date(now.before(ATTEMPTS_WITHIN)) } },
        ] };
        let update = doc! {
            "$push": { "at": { "$each": [mongo::date(now)], "$sort": 1, "$slice": -MOST_ATTEMPTS } },
            "$set": { "expires_at": mongo::date(now.after(ATTEMPTS_WITHIN)) },
        };
        for _ in 0..MAX_UPSERTS {
            let write = self.attempts.update_one(filter.clone(), update.clone()).upsert(true);
            if is_counted(mongo::bounded_write(write).await)? {
                return Ok(RateLimit::Counted);
            }
            let found = self.attempts.find_one(doc! { "_id": &id }).await?;
            if let Some(Attempts { at }) = found
                && at.len() >= usize::try_from(MOST_ATTEMPTS).unwrap_or(usize::MAX)
                && let (Some(first), Some(last)) = (at.first(), at.last())
            {
                let until = mongo::timestamp(*first).after(ATTEMPTS_WITHIN);
                return Ok(RateLimit::TooMany { until, latest: mongo::timestamp(*last) });
            }
        }
        Err(Error::unavailable("a count of sign-ins changes all the time"))
    }

    /// Deletes the failed sign-ins with this e-mail address.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn forget_attempts(&self, email: &str) -> Result<(), Error> {
        mongo::bounded_write(self.attempts.delete_one(doc! { "_id": hash("email", email) })).await?;
        Ok(())
    }

    /// Deletes the failed sign-ins with this e-mail address, in a transaction.
    ///
    /// # Errors
    /// The error of the transaction.
    pub async fn forget_attempts_with(
        &self,
        session: &mut ClientSession,
        email: &str,
    ) -> mongodb::error::Result<()> {
        self.attempts.delete_one(doc! { "_id": hash("email", email) }).session(session).await.map(drop)
    }

    /// Counts a request from this address, of which `most` may come in a minute that begins with the first.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn request(&self, address: &str, most: u32, now: Timestamp) -> Result<RateLimit, Error> {
        let id = hash("address", address);
        let at = mongo::date(now);
        let filter =
            doc! { "_id": &id, "$or": [{ "count": { "$lt": most } }, { "ends_at": { "$lte": at } }] };
        let runs = || doc! { "$gt": ["$ends_at", at] };
        let ends_at = mongo::date(now.after(REQUESTS_WITHIN));
        let update = doc! { "$set": {
            "count": { "$cond": [runs(), { "$add": ["$count", 1] }, 1] },
            "ends_at": { "$cond": [runs(), "$ends_at", ends_at] },
        } };
        for _ in 0..MAX_UPSERTS {
            let write = self.addresses.update_one(filter.clone(), vec![update.clone()]).upsert(true);
            if is_counted(mongo::bounded_write(write).await)? {
                return Ok(RateLimit::Counted);
            }
            if let Some(requests) = self.addresses.find_one(doc! { "_id": &id }).await?
                && i64::from(requests.count) >= i64::from(most)
            {
                return Ok(RateLimit::TooMany { until: mongo::timestamp(requests.ends_at), latest: now });
            }
        }
        Err(Error::unavailable("a count of requests changes all the time"))
    }
}

/// True if an upsert has found or created its document. If the document exists but does not match, the upsert
/// collides with its ID. A concurrent creation causes the same error.
fn is_counted(result: mongodb::error::Result<UpdateResult>) -> Result<bool, Error> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if mongo::is_duplicate_key(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn hash(kind: &str, counted: &str) -> Binary {
    let mut hash = Context::new(&SHA256);
    for part in [kind, "\n", counted] {
        hash.update(part.as_bytes());
    }
    mongo::binary(hash.finish().as_ref())
}
