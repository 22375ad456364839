//! Leases: one process at a time does some work, and another takes over when it is gone.
//!
//! A lease saves work done twice, and is no lock: a process that was frozen may still work while the next one has
//! begun. So the work must be safe beside itself. Times are those of the database, since clocks differ.

use std::time::Duration;

use mongodb::bson::{self, Document, doc};
use mongodb::options::ReturnDocument;
use uuid::Uuid;

use super::fenced::{FencedCollection, FencedDatabase};
use super::{Collection, is_duplicate_key, json_schema};
use crate::error::Error;

/// Lease of one name, as one process asks for it.
#[derive(Clone)]
pub struct Lease {
    leases: FencedCollection<Document>,
    name: &'static str,
    holder: bson::Uuid,
}

impl Lease {
    /// Collection with leases.
    pub fn collection(name: &'static str) -> Collection {
        let rule = json_schema::document(
            &[
                ("_id", json_schema::text(100)),
                ("holder", json_schema::bytes()),
                ("until", json_schema::date()),
            ],
            &[],
        );
        Collection {
            name,
            indexes: Vec::new(),
            obsolete: Vec::new(),
            validator: doc! { "$jsonSchema": rule },
            append_only: false,
        }
    }

    /// Creates a lease of this name in a collection, for a new holder.
    pub fn new(database: &FencedDatabase, collection: &'static str, name: &'static str) -> Self {
        let holder = bson::Uuid::from_bytes(Uuid::now_v7().into_bytes());
        Self { leases: database.collection(collection), name, holder }
    }

    /// Takes the lease, or renews it, for this time from now. Returns false if another has it. All that ask for it have
    /// to ask for the same time.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable. The lease may be taken then.
    pub async fn take(&self, time: Duration) -> Result<bool, Error> {
        let end = doc! { "$add": ["$$NOW", i64::try_from(time.as_millis()).unwrap_or(i64::MAX)] };
        // One that ends later than any may, or at no time, is damaged: it would never be free.
        let is_taken = doc! { "$and": [
            { "$eq": [{ "$type": "$until" }, "date"] },
            { "$gt": ["$until", "$$NOW"] },
            { "$lte": ["$until", end.clone()] },
        ] };
        let is_free = doc! { "$or": [{ "$not": is_taken }, { "$eq": ["$holder", self.holder] }] };
        let or_stays =
            |value: bson::Bson, field: &str| doc! { "$cond": [is_free.clone(), value, format!("${field}")] };
        let update = vec![doc! { "$set": {
            "holder": or_stays(self.holder.into(), "holder"),
            "until": or_stays(end.into(), "until"),
        } }];
        let taken = self
            .leases
            .find_one_and_update(doc! { "_id": self.name }, update)
            .upsert(true)
            .projection(doc! { "holder": 1 })
            .return_document(ReturnDocument::After)
            .await;
        match taken {
            // Another one has inserted it at the same moment.
            Err(error) if is_duplicate_key(&error) => Ok(false),
            taken => Ok(taken?.is_some_and(|lease| lease.get("holder") == Some(&self.holder.into()))),
        }
    }
}
