//! Counts for rate limits in MongoDB: wrong passwords by e-mail address and network, by e-mail address, and by
//! user; requests by network.
//!
//! Each count is one document, and each attempt one conditional upsert of it: either it is counted, or it is
//! above the limit. So the limit holds for any number of concurrent attempts, connections and environments. A
//! document's ID is a hash of what is counted.

use std::time::Duration;

use mongodb::ClientSession;
use mongodb::bson::{self, Binary, doc};
use mongodb::results::UpdateResult;
use ring::digest::{Context, SHA256};
use serde::Deserialize;
use shared::error::Error;
use shared::mongo::fenced::{FencedCollection, FencedDatabase};
use shared::mongo::json_schema;
use shared::mongo::request_counts::RequestCounts;
use shared::mongo::{self, Index};
use shared::values::clock::Timestamp;
use shared::values::ids::UserId;

const ATTEMPTS: &str = "user_attempts";
const ADDRESSES: &str = "user_addresses";

/// Maximum number of failed sign-ins with one e-mail address from one network within [`ATTEMPTS_WITHIN`], and of
/// wrong passwords of one signed-in user.
pub const MOST_ATTEMPTS: i32 = 10;

/// Maximum number of failed sign-ins with one e-mail address from all networks within [`ATTEMPTS_WITHIN`].
pub const MOST_ATTEMPTS_IN_ALL: i32 = 100;

/// Time window of failed attempts.
pub const ATTEMPTS_WITHIN: Duration = Duration::from_secs(15 * 60);

/// Number of tries of an upsert that collides with another one for a new document.
const MAX_UPSERTS: usize = 8;

/// Wrong passwords that are counted together.
#[derive(Clone, Debug)]
pub struct Counted {
    id: Binary,
    /// Hash of the e-mail address or the user, by which counts are deleted.
    of: Binary,
    most: i32,
}

impl Counted {
    /// Failed sign-ins with an e-mail address from a network.
    pub fn from_network(email: &str, network: &str) -> Self {
        let id = hash("email and network", &format!("{email}\n{network}"));
        Self { id, of: of_email(email), most: MOST_ATTEMPTS }
    }

    /// Failed sign-ins with an e-mail address from anywhere.
    pub fn from_anywhere(email: &str) -> Self {
        Self { id: hash("email", email), of: of_email(email), most: MOST_ATTEMPTS_IN_ALL }
    }

    /// Wrong current passwords of a signed-in user, whichever e-mail address the user has.
    pub fn of_user(user: UserId) -> Self {
        let id = hash("user", &user.to_string());
        Self { of: id.clone(), id, most: MOST_ATTEMPTS }
    }
}

fn of_email(email: &str) -> Binary {
    hash("all of an email", email)
}

/// Attempt that counts as failed.
#[derive(Clone, Debug)]
pub struct Attempt {
    counted: Counted,
    id: Binary,
}

/// Result of an attempt.
#[derive(Clone, Debug)]
pub enum RateLimit<T> {
    /// The attempt is counted, and may proceed.
    Counted(T),
    /// The limit is reached.
    TooMany {
        /// Time from which the next attempt may proceed.
        until: Timestamp,
        /// Time of the latest counted attempt.
        latest: Timestamp,
    },
}

/// Attempts that have not succeeded, the oldest first.
#[derive(Debug, Deserialize)]
struct Attempts {
    failures: Vec<Failure>,
}

#[derive(Debug, Deserialize)]
struct Failure {
    at: bson::DateTime,
}

/// Store of counts.
#[derive(Clone)]
pub struct Counts {
    attempts: FencedCollection<Attempts>,
    addresses: RequestCounts,
}

impl Counts {
    /// Creates a store over this database.
    pub fn new(database: &FencedDatabase) -> Self {
        Self { attempts: database.collection(ATTEMPTS), addresses: RequestCounts::new(database, ADDRESSES) }
    }

    /// Collections that the schema step creates. The sweeping indexes are no clock: the clock decides about age.
    pub fn collections() -> [mongo::Collection; 2] {
        let size = |most: i32| usize::try_from(most).unwrap_or(usize::MAX);
        let failure =
            json_schema::document(&[("at", json_schema::date()), ("attempt", json_schema::bytes())], &[]);
        let attempts = json_schema::document(
            &[("_id", json_schema::bytes())],
            &[
                ("of", json_schema::bytes()),
                ("failures", json_schema::list(0, size(MOST_ATTEMPTS_IN_ALL), failure)),
                // Of an earlier build, by e-mail address alone.
                ("at", json_schema::list(0, size(MOST_ATTEMPTS), json_schema::date())),
            ],
        );
        let indexes = vec![
            Index::plain("of", doc! { "of": 1 }),
            Index::plain("sweep", doc! { "expires_at": 1 }).swept_after(Duration::ZERO),
        ];
        let (obsolete, validator) = (Vec::new(), doc! { "$jsonSchema": attempts });
        let attempts = mongo::Collection { name: ATTEMPTS, indexes, obsolete, validator, append_only: false };
        [attempts, RequestCounts::collection(ADDRESSES)]
    }

    /// Counts an attempt as failed, before its result is known.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn attempt(&self, counted: &Counted, now: Timestamp) -> Result<RateLimit<Attempt>, Error> {
        let Counted { id, of, most } = counted;
        let last = format!("failures.{}", most - 1);
        let filter = doc! { "_id": id, "$or": [
            { last: { "$exists": false } },
            { "failures.0.at": { "$lte": mongo::date(now.before(ATTEMPTS_WITHIN)) } },
        ] };
        let attempt = Attempt { counted: counted.clone(), id: mongo::binary(&rand::random::<[u8; 8]>()) };
        let failure = doc! { "at": mongo::date(now), "attempt": &attempt.id };
        let update = doc! {
            "$push": { "failures": { "$each": [failure], "$sort": { "at": 1 }, "$slice": -most } },
            "$set": { "of": of, "expires_at": mongo::date(now.after(ATTEMPTS_WITHIN)) },
        };
        for _ in 0..MAX_UPSERTS {
            let write = self.attempts.update_one(filter.clone(), update.clone()).upsert(true);
            if is_counted(mongo::bounded_write(write).await)? {
                return Ok(RateLimit::Counted(attempt));
            }
            let found = self.attempts.find_one(doc! { "_id": id }).await?;
            if let Some(Attempts { failures }) = found
                && failures.len() >= usize::try_from(*most).unwrap_or(usize::MAX)
                && let (Some(first), Some(last)) = (failures.first(), failures.last())
            {
                let until = mongo::timestamp(first.at).after(ATTEMPTS_WITHIN);
                return Ok(RateLimit::TooMany { until, latest: mongo::timestamp(last.at) });
            }
        }
        Err(Error::unavailable("a count of sign-ins changes all the time"))
    }

    /// Takes one attempt back, which has not failed. The others stay.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn take_back(&self, attempt: &Attempt) -> Result<(), Error> {
        let (id, attempt) = (&attempt.counted.id, &attempt.id);
        // Mostly it is the only one: then nothing is left.
        let alone = doc! {
            "_id": id, "failures.0.attempt": attempt, "failures.1": { "$exists": false },
        };
        if mongo::bounded_write(self.attempts.delete_one(alone)).await?.deleted_count == 1 {
            return Ok(());
        }
        let update = doc! { "$pull": { "failures": { "attempt": attempt } } };
        mongo::bounded_write(self.attempts.update_one(doc! { "_id": id }, update)).await?;
        Ok(())
    }

    /// Deletes all attempts that are counted together with this one.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn clear(&self, attempt: &Attempt) -> Result<(), Error> {
        mongo::bounded_write(self.attempts.delete_one(doc! { "_id": &attempt.counted.id })).await?;
        Ok(())
    }

    /// Deletes all attempts of a user and with the user's e-mail address, in a transaction.
    ///
    /// # Errors
    /// The error of the transaction.
    pub async fn forget_attempts_with(
        &self,
        session: &mut ClientSession,
        user: UserId,
        email: &str,
    ) -> mongodb::error::Result<()> {
        let all = vec![Counted::of_user(user).of, of_email(email)];
        self.attempts.delete_many(doc! { "of": { "$in": all } }).session(session).await.map(drop)
    }

    /// Counts a request from this network, of which `most` may come in a minute that begins with the first.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn request(&self, network: &str, most: u32, now: Timestamp) -> Result<RateLimit<()>, Error> {
        let full = self.addresses.count(hash("address", network), most, now).await?;
        Ok(full.map_or(RateLimit::Counted(()), |until| RateLimit::TooMany { until, latest: now }))
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

/// Hash by which a document is found without saying what it is about.
pub(super) fn hash(kind: &str, counted: &str) -> Binary {
    let mut hash = Context::new(&SHA256);
    for part in [kind, "\n", counted] {
        hash.update(part.as_bytes());
    }
    mongo::binary(hash.finish().as_ref())
}
