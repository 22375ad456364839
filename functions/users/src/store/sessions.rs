//! Families of refresh tokens in MongoDB: one document each, and each decision one conditional write.

use std::time::Duration;

use futures::TryStreamExt as _;
use mongodb::bson::{self, Binary, Document, doc};
use mongodb::{ClientSession, Collection, Database};
use serde::{Deserialize, Serialize};
use shared::auth::Epoch;
use shared::error::Error;
use shared::mongo::json_schema;
use shared::mongo::{self, Index};
use shared::values::clock::Timestamp;
use shared::values::ids::UserId;

use crate::refresh_token::{Family, RefreshToken};

const SESSIONS: &str = "user_sessions";

/// Lifetime of a refresh token.
pub const LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Maximum number of families of a user; a further one ends the oldest.
pub const MOST_FAMILIES: u64 = 20;

/// Family on disk.
#[derive(Debug, Serialize, Deserialize)]
struct SessionDocument {
    _id: bson::Uuid,
    user: bson::Uuid,
    /// Epoch of the user at sign-in: the family ends with it.
    epoch: i64,
    /// Hash of the only token that is not spent.
    token: Binary,
    signed_in_at: bson::DateTime,
    expires_at: bson::DateTime,
}

/// Family of a token that was valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// User ID.
    pub user: UserId,
    /// Epoch of the user at sign-in.
    pub epoch: Epoch,
}

/// Store of the families of all users.
#[derive(Clone)]
pub struct Sessions {
    sessions: Collection<SessionDocument>,
}

impl Sessions {
    /// Creates a store over this database.
    pub fn new(database: &Database) -> Self {
        Self { sessions: database.collection(SESSIONS) }
    }

    /// Collection that the schema step creates. The index only sweeps: the clock decides about age.
    pub fn collection() -> mongo::Collection {
        mongo::Collection {
            name: SESSIONS,
            indexes: vec![
                Index::plain("user_newest", doc! { "user": 1, "signed_in_at": -1, "_id": -1 }),
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
                &[],
            ),
        }
    }

    /// Begins a family with its first token, and ends the user's oldest ones if there are too many.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn begin(
        &self,
        token: &RefreshToken,
        user: UserId,
        epoch: Epoch,
        now: Timestamp,
    ) -> Result<(), Error> {
        let document = SessionDocument {
            _id: id(token.family()),
            user: mongo::uuid(user),
            epoch: epoch.0,
            token: mongo::binary(&token.hash()),
            signed_in_at: mongo::date(now),
            expires_at: mongo::date(now.after(LIFETIME)),
        };
        mongo::bounded_write(self.sessions.insert_one(document)).await?;
        let beyond: Vec<Document> = self
            .sessions
            .clone_with_type::<Document>()
            .find(doc! { "user": mongo::uuid(user) })
            .sort(doc! { "signed_in_at": -1, "_id": -1 })
            .skip(MOST_FAMILIES)
            .projection(doc! { "_id": 1 })
            .await?
            .try_collect()
            .await?;
        if !beyond.is_empty() {
            let ids: Vec<_> = beyond.iter().filter_map(|family| family.get("_id").cloned()).collect();
            mongo::bounded_write(self.sessions.delete_many(doc! { "_id": { "$in": ids } })).await?;
        }
        Ok(())
    }

    /// Spends a token and stores `next` in its place. Of concurrent uses of the same token one succeeds.
    /// `None`: it is invalid, and if it was spent before, its family ends now.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn rotate(
        &self,
        token: &RefreshToken,
        next: &RefreshToken,
        now: Timestamp,
    ) -> Result<Option<Rotated>, Error> {
        let good = doc! {
            "_id": id(token.family()),
            "token": mongo::binary(&token.hash()),
            "expires_at": { "$gt": mongo::date(now) },
        };
        let replaced = doc! { "$set": {
            "token": mongo::binary(&next.hash()),
            "expires_at": mongo::date(now.after(LIFETIME)),
        } };
        let write = self.sessions.find_one_and_update(good, replaced);
        if let Some(family) = mongo::bounded_write(write).await? {
            return Ok(Some(Rotated { user: mongo::id(family.user), epoch: Epoch(family.epoch) }));
        }
        let spent = doc! { "_id": id(token.family()), "token": { "$ne": mongo::binary(&token.hash()) } };
        if let Some(ended) = mongo::bounded_write(self.sessions.find_one_and_delete(spent)).await? {
            let user: UserId = mongo::id(ended.user);
            tracing::warn!(%user, "a refresh token was shown again after it was spent; its family has ended");
        }
        Ok(None)
    }

    /// Ends a family, if it exists.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn end(&self, family: Family) -> Result<(), Error> {
        mongo::bounded_write(self.sessions.delete_one(doc! { "_id": id(family) })).await?;
        Ok(())
    }

    /// Deletes all families of a user, which have ended already by the user's epoch.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn forget(&self, user: UserId) -> Result<(), Error> {
        mongo::bounded_write(self.sessions.delete_many(doc! { "user": mongo::uuid(user) })).await?;
        Ok(())
    }

    /// Deletes all families of a user, in a transaction.
    ///
    /// # Errors
    /// The error of the transaction.
    pub async fn forget_with(&self, session: &mut ClientSession, user: UserId) -> mongodb::error::Result<()> {
        self.sessions.delete_many(doc! { "user": mongo::uuid(user) }).session(session).await.map(drop)
    }
}

fn id(Family(bytes): Family) -> bson::Uuid {
    bson::Uuid::from_bytes(bytes)
}
