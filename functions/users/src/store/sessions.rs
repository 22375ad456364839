//! Sessions in MongoDB: families of refresh tokens, one document each, and each decision one conditional write.
//!
//! A session that ends by itself stays for a while as a revocation: its access tokens are refused. One that ends
//! with its user's epoch is deleted.

use std::time::Duration;

use futures::TryStreamExt as _;
use mongodb::ClientSession;
use mongodb::bson::{self, Binary, Document, doc};
use serde::{Deserialize, Serialize};
use shared::auth::revocation::REVOCATION_TTL;
use shared::auth::{Epoch, Role, SessionId};
use shared::error::Error;
use shared::mongo::fenced::{FencedCollection, FencedDatabase};
use shared::mongo::json_schema;
use shared::mongo::{self, Index, unreadable};
use shared::values::clock::Timestamp;
use shared::values::ids::UserId;

use crate::refresh_token::{Family, RefreshToken};

const SESSIONS: &str = "user_sessions";

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Maximum number of sessions of a user; a further one ends the oldest.
pub const MOST_FAMILIES: u64 = 20;

/// Time in which the token that was spent last may be shown again: by a second tab, or after a lost answer.
pub const REUSE_INTERVAL: Duration = Duration::from_secs(10);

/// Maximum number of good tokens of a session besides the latest one.
const MOST_OTHERS: i32 = 19;

/// Maximum number of pairs that a spent token gets besides the first one, within [`REUSE_INTERVAL`]. They are fewer
/// than [`MOST_OTHERS`], so that none of them is pushed out meanwhile.
const MOST_GIVEN: i32 = 15;

/// Maximum number of ended sessions of staff in a revocation list.
const MAX_ENDED_STAFF: usize = 5_000;

/// Maximum number of ended sessions of customers in a revocation list: 16 bytes each.
///
/// One user has up to [`MOST_ENDED`] of them at sign-in, and can end the others that are alive then. So it takes
/// thousands of users, and 4,000 sign-ins a minute, to fill the list.
pub const MAX_ENDED_CUSTOMERS: usize = 80_000;

/// Number of ended sessions of a user from which the next sign-in raises the epoch: one entry of the revocation
/// list instead of many.
pub const MOST_ENDED: u64 = 10;

/// Lifetimes of a session, by role.
#[derive(Clone, Copy, Debug)]
struct Lifetimes {
    /// Lifetime of a refresh token.
    unused: Duration,
    /// Lifetime of the session, however often it is refreshed.
    absolute: Duration,
}

impl Lifetimes {
    fn of(role: Role) -> Self {
        match role {
            Role::Customer => Self { unused: DAY * 30, absolute: DAY * 90 },
            Role::Staff | Role::Admin | Role::Unknown(_) => Self { unused: HOUR * 12, absolute: DAY * 7 },
        }
    }
}

/// Session on disk. Those of earlier builds lack the optional fields until their next refresh.
#[derive(Debug, Serialize, Deserialize)]
struct SessionDocument {
    _id: bson::Uuid,
    user: bson::Uuid,
    /// Epoch of the user at sign-in: the session ends with it.
    epoch: i64,
    /// Hash of the latest good token; empty once the session has ended.
    token: Binary,
    signed_in_at: bson::DateTime,
    expires_at: bson::DateTime,
    /// ID of the session in access tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<Binary>,
    /// True for a session of staff or an admin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    staff: Option<bool>,
    /// Time at which the session ends, however often it is refreshed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ends_at: Option<bson::DateTime>,
}

/// Session that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredSession {
    /// User ID.
    pub user: UserId,
    /// Epoch of the user at sign-in.
    pub epoch: Epoch,
    signed_in_at: Timestamp,
    expires_at: Timestamp,
    ends_at: Option<Timestamp>,
}

impl StoredSession {
    /// Time at which the session ends at the latest. A session of an earlier build ends no sooner than was said
    /// when it was last refreshed.
    fn ends_at(&self, role: Role) -> Timestamp {
        let absolute = self.signed_in_at.after(Lifetimes::of(role).absolute);
        self.ends_at.unwrap_or_else(|| absolute.max(self.expires_at))
    }
}

/// Result of showing a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The token was good, or was spent last and only now: the next token is stored.
    Traded,
    /// The token was spent before: the session has ended with this.
    Ended,
    /// The token is not good any more, or its session has ended before. Nothing has changed.
    Unknown,
}

/// Sessions that have ended by themselves, and what is beyond the limits of the lists.
#[derive(Debug)]
pub struct EndedSessions {
    /// IDs of the sessions.
    pub ids: Vec<SessionId>,
    /// End of the latest session of staff that is left out.
    pub staff_beyond: Option<Timestamp>,
    /// True if sessions of customers are left out.
    pub customers_beyond: bool,
}

/// Store of the sessions of all users.
#[derive(Clone)]
pub struct Sessions {
    sessions: FencedCollection<SessionDocument>,
}

impl Sessions {
    /// Creates a store over this database.
    pub fn new(database: &FencedDatabase) -> Self {
        Self { sessions: database.collection(SESSIONS) }
    }

    /// Collection that the schema step creates. The index only sweeps: the clock decides about age.
    pub fn collection() -> mongo::Collection {
        let ended = Index::plain("ended", doc! { "staff": 1, "ended_at": -1 });
        mongo::Collection {
            name: SESSIONS,
            indexes: vec![
                Index::plain("user_newest", doc! { "user": 1, "signed_in_at": -1, "_id": -1 }),
                ended.only(doc! { "ended_at": { "$exists": true } }),
                Index::plain("sweep", doc! { "expires_at": 1 }).swept_after(Duration::ZERO),
            ],
            obsolete: Vec::new(),
            validator: json_schema::documents(
                &[
                    ("_id", json_schema::bytes()),
                    ("user", json_schema::bytes()),
                    ("epoch", json_schema::whole(0)),
                    ("token", json_schema::bytes()),
                    ("signed_in_at", json_schema::date()),
                    ("expires_at", json_schema::date()),
                ],
                &[
                    ("session", json_schema::bytes()),
                    ("staff", json_schema::boolean()),
                    (
                        "others",
                        json_schema::list(
                            0,
                            usize::try_from(MOST_OTHERS).unwrap_or(usize::MAX),
                            json_schema::bytes(),
                        ),
                    ),
                    ("other_ends", json_schema::long_list(i64::from(MOST_OTHERS))),
                    ("given", json_schema::whole(0)),
                    ("previous", json_schema::bytes()),
                    ("spent_at", json_schema::date()),
                    ("ends_at", json_schema::date()),
                    ("ended_at", json_schema::date()),
                ],
            ),
            append_only: false,
        }
    }

    /// Begins a session with its first token, and ends the user's oldest ones if there are too many. True if it
    /// has ended one.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn begin(
        &self,
        token: &RefreshToken,
        user: UserId,
        role: Role,
        epoch: Epoch,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let Lifetimes { unused, absolute } = Lifetimes::of(role);
        let document = SessionDocument {
            _id: id(token.family()),
            user: mongo::uuid(user),
            epoch: epoch.0,
            token: mongo::binary(&token.hash()),
            signed_in_at: mongo::date(now),
            expires_at: mongo::date(now.after(unused)),
            session: Some(binary(token.family().session())),
            staff: Some(role != Role::Customer),
            ends_at: Some(mongo::date(now.after(absolute))),
        };
        mongo::bounded_write(self.sessions.insert_one(document)?).await?;
        let beyond: Vec<Document> = self
            .sessions
            .clone_with_type::<Document>()
            .find(doc! { "user": mongo::uuid(user), "ended_at": bson::Bson::Null })
            .sort(doc! { "signed_in_at": -1, "_id": -1 })
            .skip(MOST_FAMILIES)
            .projection(doc! { "_id": 1 })
            .await?
            .try_collect()
            .await?;
        if beyond.is_empty() {
            return Ok(false);
        }
        let ids: Vec<_> = beyond.iter().filter_map(|family| family.get("_id").cloned()).collect();
        let these = doc! { "_id": { "$in": ids }, "ended_at": bson::Bson::Null };
        // The access tokens of an idle session have expired: there is nothing to list.
        let lately = doc! { "$gt": mongo::date(now.before(REVOCATION_TTL)) };
        let mut idle = these.clone();
        idle.extend(doc! { "signed_in_at": { "$not": &lately }, "spent_at": { "$not": lately } });
        mongo::bounded_write(self.sessions.delete_many(idle)).await?;
        let ended = mongo::bounded_write(self.sessions.update_many(these, ended(now))).await?;
        Ok(ended.matched_count > 0)
    }

    /// True if so many sessions of a user have ended, while their access tokens could still be valid, that they
    /// are better listed as one.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn has_many_ended(&self, user: UserId, now: Timestamp) -> Result<bool, Error> {
        let since = mongo::date(now.before(REVOCATION_TTL));
        let ended = doc! { "user": mongo::uuid(user), "ended_at": { "$gt": since } };
        Ok(self.sessions.count_documents(ended).limit(MOST_ENDED).await? >= MOST_ENDED)
    }

    /// Finds a session that has not ended.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn find(&self, family: Family, now: Timestamp) -> Result<Option<StoredSession>, Error> {
        let found = self.sessions.find_one(alive(family, now)).await?;
        Ok(found.map(|document| StoredSession {
            user: mongo::id(document.user),
            epoch: Epoch(document.epoch),
            signed_in_at: mongo::timestamp(document.signed_in_at),
            expires_at: mongo::timestamp(document.expires_at),
            ends_at: document.ends_at.map(mongo::timestamp),
        }))
    }

    /// Spends a token of a session and stores `next` in its place. The token that was spent last may be shown
    /// again for [`REUSE_INTERVAL`], [`MOST_GIVEN`] times: `next` is then stored beside the good tokens, and the
    /// oldest of those may go. The first pair is not among them. Any other spent token ends the session. Each good
    /// token has its own end.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn trade(
        &self,
        session: &StoredSession,
        role: Role,
        token: &RefreshToken,
        next: &RefreshToken,
        now: Timestamp,
    ) -> Result<Shown, Error> {
        let (shown, fresh) = (mongo::binary(&token.hash()), mongo::binary(&next.hash()));
        let ends_at = session.ends_at(role);
        let others = doc! { "$ifNull": ["$others", []] };
        let latest = |tokens: Document| doc! { "$slice": [tokens, -MOST_OTHERS] };

        let mut good = alive(token.family(), now);
        let has_ended =
            doc! { "$elemMatch": { "token": &shown, "expires_at": { "$lte": mongo::date(now) } } };
        good.insert(
            "$or",
            vec![doc! { "token": &shown }, doc! { "others": &shown, "other_ends": { "$not": has_ended } }],
        );
        let all = doc! { "$concatArrays": [&others, ["$token"]] };
        let not_shown =
            doc! { "$filter": { "input": all, "as": "good", "cond": { "$ne": ["$$good", &shown] } } };
        let kept = latest(not_shown);
        let spent = doc! { "$set": {
            "token": &fresh,
            "others": &kept,
            "other_ends": ends_of(kept),
            "previous": &shown,
            "spent_at": mongo::date(now),
            "given": 0,
            "expires_at": mongo::date(now.after(Lifetimes::of(role).unused).min(ends_at)),
            "ends_at": mongo::date(ends_at),
            "session": binary(token.family().session()),
            "staff": role != Role::Customer,
        } };
        if self.write(good, vec![spent]).await? {
            return Ok(Shown::Traded);
        }
        let only_now = doc! {
            "previous": &shown, "spent_at": { "$gt": mongo::date(now.before(REUSE_INTERVAL)) },
        };
        let mut again = alive(token.family(), now);
        again.extend(only_now.clone());
        again.insert("given", doc! { "$not": { "$gte": MOST_GIVEN } });
        let more = latest(doc! { "$concatArrays": [others, [&fresh]] });
        let given = doc! { "$add": [{ "$ifNull": ["$given", 0] }, 1] };
        let beside = doc! { "$set": { "others": &more, "other_ends": ends_of(more), "given": given } };
        if self.write(again, vec![beside]).await? {
            return Ok(Shown::Traded);
        }
        let mut reused = alive(token.family(), now);
        reused.extend(doc! {
            "token": { "$ne": &shown }, "others": { "$ne": &shown }, "$nor": [only_now],
        });
        if !self.write(reused, ended(now)).await? {
            return Ok(Shown::Unknown);
        }
        let user = session.user;
        tracing::warn!(%user, "a refresh token was shown again after it was spent; its session has ended");
        Ok(Shown::Ended)
    }

    async fn write(
        &self,
        filter: Document,
        update: impl Into<mongodb::options::UpdateModifications>,
    ) -> Result<bool, Error> {
        let write = self.sessions.update_one(filter, update);
        Ok(mongo::bounded_write(write).await?.matched_count == 1)
    }

    /// Ends a session, if it exists. True if it has ended with this.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn end(&self, family: Family, now: Timestamp) -> Result<bool, Error> {
        let this = doc! { "_id": id(family), "ended_at": bson::Bson::Null };
        self.write(this, ended(now)).await
    }

    /// Deletes the sessions of a user up to this epoch, after the write that raised it. Later ones may have begun
    /// meanwhile.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn forget(&self, user: UserId, Epoch(last): Epoch) -> Result<(), Error> {
        let ended = doc! { "user": mongo::uuid(user), "epoch": { "$lte": last } };
        mongo::bounded_write(self.sessions.delete_many(ended)).await?;
        Ok(())
    }

    /// Deletes all sessions of a user, in a transaction.
    ///
    /// # Errors
    /// The error of the transaction.
    pub async fn forget_with(&self, session: &mut ClientSession, user: UserId) -> mongodb::error::Result<()> {
        self.sessions.delete_many(doc! { "user": mongo::uuid(user) }).session(session).await.map(drop)
    }

    /// True if this session of a user has ended, while its access tokens could still be valid.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn has_ended(&self, user: UserId, session: SessionId) -> Result<bool, Error> {
        Ok(self.sessions.find_one(that_has_ended(user, session)).await?.is_some())
    }

    /// The same, in a transaction.
    ///
    /// # Errors
    /// The error of the transaction.
    pub async fn has_ended_with(
        &self,
        transaction: &mut ClientSession,
        user: UserId,
        session: SessionId,
    ) -> mongodb::error::Result<bool> {
        let found = self.sessions.find_one(that_has_ended(user, session)).session(transaction).await?;
        Ok(found.is_some())
    }

    /// Reads the sessions that have ended by themselves since a time, the latest first.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn ended_since(&self, since: Timestamp) -> Result<EndedSessions, Error> {
        let (mut staff, mut customers) = futures::try_join!(
            self.ended_of(doc! { "staff": true }, since, MAX_ENDED_STAFF),
            // Those of earlier builds, not refreshed since, do not say.
            self.ended_of(doc! { "staff": { "$in": [false, bson::Bson::Null] } }, since, MAX_ENDED_CUSTOMERS),
        )?;
        let staff_beyond = staff.drain(MAX_ENDED_STAFF.min(staff.len())..).next();
        let customers_beyond = customers.drain(MAX_ENDED_CUSTOMERS.min(customers.len())..).next().is_some();
        Ok(EndedSessions {
            ids: staff.iter().chain(&customers).filter_map(session_of).collect(),
            // The query matches dates alone.
            staff_beyond: staff_beyond
                .and_then(|ended| ended.get_datetime("ended_at").ok().copied())
                .map(mongo::timestamp),
            customers_beyond,
        })
    }

    async fn ended_of(
        &self,
        mut filter: Document,
        since: Timestamp,
        most: usize,
    ) -> Result<Vec<Document>, Error> {
        filter.insert("ended_at", doc! { "$gt": mongo::date(since) });
        let found = self
            .sessions
            .clone_with_type::<Document>()
            .find(filter)
            .projection(doc! { "ended_at": 1 })
            .sort(doc! { "ended_at": -1 })
            .limit(i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1))
            .await?;
        Ok(found.try_collect().await?)
    }
}

/// Expression for the ends of these tokens. One whose end is not stored yet ends with the latest token.
///
/// They are beside `others` and not in it: earlier builds trade tokens of the same sessions.
fn ends_of(tokens: Document) -> Document {
    let is_of = doc! { "$eq": ["$$end.token", "$$other"] };
    let ends =
        doc! { "$filter": { "input": { "$ifNull": ["$other_ends", []] }, "as": "end", "cond": is_of } };
    let times = doc! { "$map": { "input": &ends, "as": "end", "in": "$$end.expires_at" } };
    let end = doc! { "$ifNull": [{ "$first": times }, "$expires_at"] };
    // One that is there keeps the fields of a later build.
    let end = doc! { "$mergeObjects": [{ "$first": ends }, { "token": "$$other", "expires_at": end }] };
    doc! { "$map": { "input": tokens, "as": "other", "in": end } }
}

/// Session of a document. One that cannot be read has no tokens that a list could name.
fn session_of(document: &Document) -> Option<SessionId> {
    let id = unreadable::id_of(document)?;
    Some(Family(*id.as_bytes()).session())
}

/// Filter for a session that has not ended.
fn alive(family: Family, now: Timestamp) -> Document {
    doc! {
        "_id": id(family), "ended_at": bson::Bson::Null, "expires_at": { "$gt": mongo::date(now) },
    }
}

/// Update that ends a session. It stays until its access tokens have expired, and no token is good.
fn ended(now: Timestamp) -> Document {
    doc! {
        "$set": {
            "ended_at": mongo::date(now),
            "expires_at": mongo::date(now.after(REVOCATION_TTL)),
            "token": mongo::binary(&[]),
        },
        "$unset": { "others": "", "other_ends": "", "given": "", "previous": "", "spent_at": "" },
    }
}

fn that_has_ended(user: UserId, session: SessionId) -> Document {
    doc! { "user": mongo::uuid(user), "session": binary(session), "ended_at": { "$exists": true } }
}

fn id(Family(bytes): Family) -> bson::Uuid {
    bson::Uuid::from_bytes(bytes)
}

fn binary(SessionId(bytes): SessionId) -> Binary {
    mongo::binary(&bytes)
}
