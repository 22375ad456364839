//! Schema of a function's collections, and the migration that creates it.

use std::time::Duration;

use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::{Error as MongoError, ErrorKind};

/// Error code of a missing index.
const INDEX_NOT_FOUND: i32 = 27;

/// Error code of a command that has to wait until an index is built.
const BUILDING_INDEX: i32 = 12_587;

/// Interval between checks whether an index is built.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Schema of a collection. The schema step creates it, and may be repeated at any time.
pub struct Collection {
    /// Name.
    pub name: &'static str,
    /// Indexes: name, keys, uniqueness, and a filter for partial ones.
    pub indexes: Vec<Index>,
    /// Names of indexes from earlier versions, which no query uses any more.
    pub obsolete: Vec<&'static str>,
    /// Validator for every document.
    pub validator: Document,
}

/// Index of a collection.
pub struct Index {
    /// Name.
    pub name: &'static str,
    /// Fields and their directions.
    pub keys: Document,
    /// Uniqueness of its keys.
    pub unique: bool,
    /// Filter of a partial index.
    pub partial: Option<Document>,
    /// Time to live: MongoDB deletes a document this long after the time in its only key, if set. It does so
    /// within minutes, not at once, so this is no clock.
    pub sweep: Option<Duration>,
}

impl Index {
    /// Creates an index for queries.
    pub fn plain(name: &'static str, keys: Document) -> Self {
        Self { name, keys, unique: false, partial: None, sweep: None }
    }

    /// Creates an index that refuses a second document with the same keys.
    pub fn unique(name: &'static str, keys: Document) -> Self {
        Self { name, keys, unique: true, partial: None, sweep: None }
    }

    /// Restricts the index to the documents that match `filter`.
    pub fn only(self, filter: Document) -> Self {
        Self { partial: Some(filter), ..self }
    }

    /// Has MongoDB delete documents this long after the time in the index key.
    pub fn swept_after(self, age: Duration) -> Self {
        Self { sweep: Some(age), ..self }
    }
}

impl Collection {
    /// Creates the missing parts and drops obsolete indexes.
    ///
    /// # Errors
    /// Error of the driver if MongoDB refuses or is unavailable.
    pub async fn ensure(&self, db: &Database) -> Result<(), MongoError> {
        if let Err(error) = db.create_collection(self.name).await
            && !matches!(error.kind.as_ref(), ErrorKind::Command(error) if error.code == 48)
        {
            return Err(error);
        }
        // Moderate: a document that is valid stays so, and one that a later rule has made invalid can still
        // be written. Otherwise a stricter rule would lock old documents.
        let rule = doc! {
            "collMod": self.name, "validator": self.validator.clone(), "validationLevel": "moderate",
        };
        retry_during_index_build(db, rule).await?;
        let indexes: Vec<Bson> = self
            .indexes
            .iter()
            .map(|index| {
                let mut spec = doc! { "name": index.name, "key": index.keys.clone(), "unique": index.unique };
                if let Some(filter) = &index.partial {
                    spec.insert("partialFilterExpression", filter.clone());
                }
                if let Some(age) = index.sweep {
                    spec.insert("expireAfterSeconds", i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
                }
                Bson::Document(spec)
            })
            .collect();
        if !indexes.is_empty() {
            db.run_command(doc! { "createIndexes": self.name, "indexes": indexes }).await?;
        }
        for index in &self.obsolete {
            let dropped =
                retry_during_index_build(db, doc! { "dropIndexes": self.name, "index": *index }).await;
            if let Err(error) = dropped
                && !matches!(error.kind.as_ref(), ErrorKind::Command(error) if error.code == INDEX_NOT_FOUND)
            {
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Runs `command`, and retries it while another migration builds an index on the collection (error 12587).
/// There is no time limit, as `createIndexes` waits for that index too.
async fn retry_during_index_build(db: &Database, command: Document) -> Result<(), MongoError> {
    loop {
        match db.run_command(command.clone()).await {
            Err(error) if matches!(error.kind.as_ref(), ErrorKind::Command(error) if error.code == BUILDING_INDEX) =>
                {}
            done => return done.map(drop),
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
