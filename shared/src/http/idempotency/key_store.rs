//! Collection of idempotency keys.
//!
//! A key is written in the transaction that does the work of its request, so that no crash can separate the two.

use std::time::Duration;

use mongodb::ClientSession;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{self, Binary, doc};
use serde::{Deserialize, Serialize};
use type_safe_id::{StaticType, TypeSafeId};

use super::{KeyRecord, RequestKey};
use crate::error::Error;
use crate::mongo::fenced::{FencedCollection, FencedDatabase};
use crate::mongo::json_schema;
use crate::mongo::{self, Index};
use crate::values::clock::Timestamp;

/// Time that a key is remembered.
pub const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Document of a request.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    _id: Binary,
    fingerprint: Binary,
    /// ID of the resource that it created or changed.
    made: bson::Uuid,
    at: bson::DateTime,
}

/// Keys of a function.
#[derive(Clone)]
pub struct KeyStore {
    records: FencedCollection<Record>,
}

impl KeyStore {
    /// Keys in this collection.
    pub fn new(database: &FencedDatabase, collection: &str) -> Self {
        Self { records: database.collection(collection) }
    }

    /// Schema of the collection. Its index only cleans up; the clock decides if a key is too old.
    pub fn collection(name: &'static str) -> mongo::Collection {
        let sweep = Index::plain("sweep", doc! { "at": 1 }).swept_after(2 * LIFETIME);
        let record = json_schema::documents(
            &[
                ("_id", json_schema::bytes()),
                ("fingerprint", json_schema::bytes()),
                ("made", json_schema::bytes()),
                ("at", json_schema::date()),
            ],
            &[],
        );
        mongo::Collection {
            name,
            indexes: vec![sweep],
            obsolete: Vec::new(),
            validator: record,
            append_only: false,
        }
    }

    /// Resource that the request created before. A key that is not found may still be there just after an election:
    /// [`Self::keep`] decides.
    ///
    /// # Errors
    /// 422 when the key was used for another request.
    pub async fn find<T: StaticType>(
        &self,
        key_record: &KeyRecord,
        now: Timestamp,
    ) -> Result<Option<TypeSafeId<T>>, Error> {
        let found = self.records.find_one(doc! { "_id": binary(key_record.id) }).await?;
        let Some(record) = found else { return Ok(None) };
        if now.since(mongo::timestamp(record.at)) >= LIFETIME {
            return Ok(None);
        }
        let is_blank = record.fingerprint.bytes.is_empty();
        if !is_blank && record.fingerprint.bytes != key_record.fingerprint.as_bytes() {
            return Err(RequestKey::reused());
        }
        Ok(Some(mongo::id(record.made)))
    }

    /// Writes the key of a request in its transaction.
    ///
    /// `false` if the key is taken, by a concurrent duplicate or by another request. The transaction has ended then,
    /// and a confirmed [`Self::find`] distinguishes the two.
    ///
    /// # Errors
    /// Errors of the transaction.
    pub async fn keep<T: StaticType>(
        &self,
        session: &mut ClientSession,
        key_record: &KeyRecord,
        made: TypeSafeId<T>,
        now: Timestamp,
    ) -> mongodb::error::Result<bool> {
        let record = Record {
            _id: binary(key_record.id),
            fingerprint: binary(*key_record.fingerprint.as_bytes()),
            made: mongo::uuid(made),
            at: mongo::date(now),
        };
        // An expired key is replaced. Any other does not match, and the insert conflicts with its ID.
        let outlived =
            doc! { "_id": binary(key_record.id), "at": { "$lte": mongo::date(now.before(LIFETIME)) } };
        match self.records.replace_one(outlived, record)?.upsert(true).session(session).await {
            Ok(_) => Ok(true),
            Err(error) if mongo::is_duplicate_key(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Erases the fingerprints of requests that created a resource which is deleted, since they describe a person.
    ///
    /// The keys stay, so that no repeated request creates the resource again.
    ///
    /// # Errors
    /// Errors of the transaction.
    pub async fn blank<T: StaticType>(
        &self,
        session: &mut ClientSession,
        made: TypeSafeId<T>,
    ) -> mongodb::error::Result<()> {
        let blank = doc! { "$set": { "fingerprint": mongo::binary(&[]) } };
        self.records.update_many(doc! { "made": mongo::uuid(made) }, blank).session(session).await.map(drop)
    }
}

fn binary(bytes: [u8; 32]) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() }
}
