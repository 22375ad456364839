//! Networks from which users have signed in, in MongoDB: one document per user. An attack on a user's password
//! from elsewhere does not lock the user out of these.

use std::time::Duration;

use mongodb::ClientSession;
use mongodb::bson::{self, Binary, Document, doc};
use serde::{Deserialize, Serialize};
use shared::error::Error;
use shared::mongo::fenced::{FencedCollection, FencedDatabase};
use shared::mongo::json_schema;
use shared::mongo::{self, Index};
use shared::values::clock::Timestamp;
use shared::values::ids::UserId;

use super::counts::hash;

const NETWORKS: &str = "user_networks";

/// Time after a sign-in for which its network is known.
pub const KNOWN_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Maximum number of networks of a user; a further one replaces the one that was used longest ago.
const MOST_NETWORKS: i32 = 50;

/// Number of tries of an upsert that collides with another one for a new document.
const MAX_UPSERTS: usize = 3;

/// Networks of a user on disk.
#[derive(Debug, Serialize, Deserialize)]
struct NetworksDocument {
    _id: bson::Uuid,
    known: Vec<KnownNetwork>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KnownNetwork {
    /// Hash of the network.
    network: Binary,
    /// Time of the latest sign-in from it.
    at: bson::DateTime,
}

/// Store of the networks of all users.
#[derive(Clone)]
pub struct Networks {
    networks: FencedCollection<NetworksDocument>,
}

impl Networks {
    /// Creates a store over this database.
    pub fn new(database: &FencedDatabase) -> Self {
        Self { networks: database.collection(NETWORKS) }
    }

    /// Collection that the schema step creates. The index only sweeps: the clock decides about age.
    pub fn collection() -> mongo::Collection {
        let network =
            json_schema::document(&[("network", json_schema::bytes()), ("at", json_schema::date())], &[]);
        let most = usize::try_from(MOST_NETWORKS).unwrap_or(usize::MAX);
        mongo::Collection {
            name: NETWORKS,
            indexes: vec![Index::plain("sweep", doc! { "expires_at": 1 }).swept_after(Duration::ZERO)],
            obsolete: Vec::new(),
            validator: json_schema::documents(
                &[
                    ("_id", json_schema::bytes()),
                    ("known", json_schema::list(0, most, network)),
                    ("expires_at", json_schema::date()),
                ],
                &[],
            ),
            append_only: false,
        }
    }

    /// Records a sign-in of a user from a network.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn record(&self, user: UserId, network: &str, now: Timestamp) -> Result<(), Error> {
        let id = hash("known network", network);
        let known = |comparison: &str| {
            doc! { "$filter": {
                "input": { "$ifNull": ["$known", []] }, "as": "one", "cond": { comparison: ["$$one.network", &id] },
            } }
        };
        // One that is known keeps the fields of a later build.
        let latest = doc! { "$mergeObjects": [
            { "$first": known("$eq") }, { "network": &id, "at": mongo::date(now) },
        ] };
        let update = doc! { "$set": {
            "known": { "$slice": [{ "$concatArrays": [known("$ne"), [latest]] }, -MOST_NETWORKS] },
            "expires_at": mongo::date(now.after(KNOWN_FOR)),
        } };
        for _ in 0..MAX_UPSERTS {
            let this = doc! { "_id": mongo::uuid(user) };
            let write = self.networks.update_one(this, vec![update.clone()]).upsert(true);
            match mongo::bounded_write(write).await {
                Ok(_) => return Ok(()),
                // A concurrent sign-in was the user's first.
                Err(error) if mongo::is_duplicate_key(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::unavailable("the networks of a user change all the time"))
    }

    /// True if a user has signed in from this network lately. A user who does not exist has not, after the same
    /// work.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn knows(&self, user: Option<UserId>, network: &str, now: Timestamp) -> Result<bool, Error> {
        let lately = doc! {
            "network": hash("known network", network), "at": { "$gt": mongo::date(now.before(KNOWN_FOR)) },
        };
        let id = mongo::uuid(user.unwrap_or_else(UserId::new));
        let filter = doc! { "_id": id, "known": { "$elemMatch": lately } };
        let networks = self.networks.clone_with_type::<Document>();
        Ok(networks.find_one(filter).projection(doc! { "_id": 1 }).await?.is_some())
    }

    /// Deletes the networks of a user, in a transaction.
    ///
    /// # Errors
    /// The error of the transaction.
    pub async fn forget_with(&self, session: &mut ClientSession, user: UserId) -> mongodb::error::Result<()> {
        self.networks.delete_one(doc! { "_id": mongo::uuid(user) }).session(session).await.map(drop)
    }
}
