//! Schema of a function: its version, its collections, and the step that creates or migrates them.

use std::time::Duration;

use futures::TryStreamExt as _;
use mongodb::Database;
use mongodb::bson::{Bson, DateTime, Document, Timestamp as OperationTime, doc};
use mongodb::error::{Error as MongoError, ErrorKind};
use mongodb::options::{Hint, ReadConcern};

use super::fenced::{FencedCollection, FencedDatabase, WRITER};
use super::is_duplicate_key;
use crate::error::Error;

/// Error code of a missing index.
const INDEX_NOT_FOUND: i32 = 27;

/// Error code of a collection that exists already.
const NAMESPACE_EXISTS: i32 = 48;

/// Error code of a command that has to wait until an index is built.
const BUILDING_INDEX: i32 = 12_587;

/// Interval between checks whether an index is built.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Collection in which the schema step records its progress: `{_id: function, version, lowest_writer, signed_for,
/// migrated: [name], copying: {name: since}}`.
const SCHEMA: &str = "schema";

/// Mark of a document that violates the other rules, and is valid all the same. Without it a fence would not
/// hold: MongoDB does not check an update of a document that is invalid already.
const EXEMPT: &str = "exempt";

/// Number of documents that the schema step signs at once.
const BATCH: usize = 1_000;

/// Lowest writer of a schema that takes the writes of all builds.
pub const ANY_WRITER: i32 = 0;

/// Schema that a build of a function has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Name of the function.
    pub function: &'static str,
    /// Version. A change of collections, indexes, rules or documents raises it.
    pub version: i32,
    /// Version of the oldest build that may write beside this one. Raise it to this version, or to one that
    /// knows the new documents already, if the writes of older builds would do harm.
    pub lowest_writer: i32,
}

/// Schema versions that the steps of all builds have recorded for a function.
#[derive(Clone, Copy, Debug, Default)]
struct Recorded {
    /// Latest version whose step has run to its end.
    version: i32,
    /// Highest of the lowest writers whose step has begun.
    lowest_writer: i32,
    /// Highest of the lowest writers whose step has run to its end.
    signed_for: i32,
}

impl Schema {
    /// Checks that the schema step of this version, or a later one, has run, and that no later one refuses the
    /// writes of this build.
    ///
    /// # Errors
    /// 503 if one of them is not so, or if MongoDB is unavailable.
    pub async fn check(&self, database: &Database) -> Result<(), Error> {
        let Self { function, version, .. } = *self;
        let recorded = self.recorded(database).await?;
        self.check_not_outdated(recorded, database)?;
        if recorded.version >= version {
            return Ok(());
        }
        Err(Error::unavailable(format!(
            "the schema of {function} in the database {} has version {}, and this build needs {version}: run \
             `MONGO_URI=… ADMIN_EMAIL=… ADMIN_PASSWORD=… cargo local schema`",
            database.name(),
            recorded.version,
        )))
    }

    fn check_not_outdated(&self, recorded: Recorded, database: &Database) -> Result<(), Error> {
        let Self { function, version, .. } = *self;
        if recorded.lowest_writer <= version {
            return Ok(());
        }
        Err(Error::unavailable(format!(
            "this build of {function} is too old: it has schema version {version}, and the database {} takes the \
             writes of version {} and later ones: deploy a later build",
            database.name(),
            recorded.lowest_writer,
        )))
    }

    async fn recorded(&self, database: &Database) -> Result<Recorded, MongoError> {
        let found = database.collection::<Document>(SCHEMA).find_one(doc! { "_id": self.function }).await?;
        let number = |field| found.as_ref().and_then(|found| found.get_i32(field).ok()).unwrap_or(0);
        Ok(Recorded {
            version: number("version"),
            lowest_writer: number("lowest_writer"),
            signed_for: number("signed_for"),
        })
    }

    /// Records the beginning of the schema step. Builds that it fences out do not start any more.
    ///
    /// # Errors
    /// Error of the driver if MongoDB refuses or is unavailable.
    pub async fn record_begin(&self, database: &Database) -> Result<(), MongoError> {
        self.record(database, doc! { "lowest_writer": self.lowest_writer }).await
    }

    /// Records the version, as the last action of the schema step. A higher recorded version stays.
    ///
    /// # Errors
    /// Error of the driver if MongoDB refuses or is unavailable.
    pub async fn record_end(&self, database: &Database) -> Result<(), MongoError> {
        self.record(database, doc! { "version": self.version, "signed_for": self.lowest_writer }).await
    }

    /// Returns a time as of which the migration of this name is recorded as done. None: it is not.
    ///
    /// # Errors
    /// Error of the driver if MongoDB refuses or is unavailable.
    pub async fn is_migrated(
        &self,
        database: &Database,
        migration: &str,
    ) -> Result<Option<OperationTime>, MongoError> {
        let mut session = database.client().start_session().await?;
        let done = doc! { "_id": self.function, "migrated": migration };
        let found = database.collection::<Document>(SCHEMA).find_one(done).session(&mut session).await?;
        // A server that tells no time is no member of a replica set, and knows no older state either.
        Ok(found.map(|_| session.operation_time().unwrap_or(OperationTime { time: 0, increment: 0 })))
    }

    /// Records that the migration of this name is done. What it was about never comes back.
    ///
    /// # Errors
    /// Error of the driver if MongoDB refuses or is unavailable.
    pub async fn record_migrated(&self, database: &Database, migration: &str) -> Result<(), MongoError> {
        let schema = database.collection::<Document>(SCHEMA);
        let done = doc! { "$addToSet": { "migrated": migration } };
        schema.update_one(doc! { "_id": self.function }, done).await.map(drop)
    }

    /// Records that this migration copies documents from now on, if that is not recorded already.
    ///
    /// # Errors
    /// Error of the driver if MongoDB refuses or is unavailable.
    pub async fn record_copying(&self, database: &Database, migration: &str) -> Result<(), MongoError> {
        let begun = doc! { "$ifNull": [format!("$copying.{migration}"), "$$NOW"] };
        let schema = database.collection::<Document>(SCHEMA);
        let record = vec![doc! { "$set": { format!("copying.{migration}"): begun } }];
        schema.update_one(doc! { "_id": self.function }, record).await.map(drop)
    }

    /// Records that this migration has copied all that it can, and the time.
    ///
    /// # Errors
    /// Error of the driver if MongoDB refuses or is unavailable.
    pub async fn record_copied(&self, database: &Database, migration: &str) -> Result<(), MongoError> {
        let schema = database.collection::<Document>(SCHEMA);
        let record = doc! {
            "$unset": { format!("copying.{migration}"): "" },
            "$currentDate": { format!("copied.{migration}"): true },
        };
        schema.update_one(doc! { "_id": self.function }, record).await.map(drop)
    }

    /// Returns the time at which this migration had copied all that it could. None: it has never copied.
    ///
    /// # Errors
    /// Error of the driver if MongoDB refuses or is unavailable.
    pub async fn copied_at(
        &self,
        database: &Database,
        migration: &str,
    ) -> Result<Option<DateTime>, MongoError> {
        self.time_of(database, "copied", migration).await
    }

    /// Returns the time since which this migration copies documents. None: it does not.
    ///
    /// # Errors
    /// Error of the driver if MongoDB refuses or is unavailable.
    pub async fn copying_since(
        &self,
        database: &Database,
        migration: &str,
    ) -> Result<Option<DateTime>, MongoError> {
        self.time_of(database, "copying", migration).await
    }

    async fn time_of(
        &self,
        database: &Database,
        event: &str,
        migration: &str,
    ) -> Result<Option<DateTime>, MongoError> {
        let schema = database.collection::<Document>(SCHEMA);
        let found = schema.find_one(doc! { "_id": self.function }).await?;
        let times = found.as_ref().and_then(|found| found.get_document(event).ok());
        Ok(times.and_then(|times| times.get_datetime(migration).ok().copied()))
    }

    async fn record(&self, database: &Database, at_least: Document) -> Result<(), MongoError> {
        let schema = database.collection::<Document>(SCHEMA);
        let record = || {
            schema.update_one(doc! { "_id": self.function }, doc! { "$max": at_least.clone() }).upsert(true)
        };
        match record().await {
            // A concurrent schema step has inserted the first record.
            Err(error) if is_duplicate_key(&error) => record().await.map(drop),
            recorded => recorded.map(drop),
        }
    }
}

/// Schema step of a function in progress.
///
/// Its beginning fences out the builds that may not write beside it. Then it creates and migrates collections,
/// in an order that the function chooses. Its end signs the documents that are left, so that older builds
/// cannot change these either. It may be ended at any point and run again, also beside itself.
pub struct SchemaStep<'a> {
    database: &'a FencedDatabase,
    collections: &'a [&'a Collection],
    /// Lowest version that may write, by this step or an earlier one.
    lowest_writer: i32,
    /// True if a step of this version has run to its end before.
    again: bool,
}

impl<'a> SchemaStep<'a> {
    /// Begins the step, and fences the collections that exist. `None`: a later build's step has run. It has
    /// done all that this one would do, and this one would undo some of it.
    ///
    /// # Errors
    /// 503 if a later step refuses the writes of this build, or if MongoDB is unavailable.
    pub async fn begin(
        database: &'a FencedDatabase,
        collections: &'a [&'a Collection],
    ) -> Result<Option<Self>, Error> {
        let schema = database.schema();
        let recorded = schema.recorded(database.database()).await?;
        schema.check_not_outdated(recorded, database.database())?;
        if recorded.version > schema.version {
            tracing::info!(function = schema.function, "the schema of a later build is there already");
            return Ok(None);
        }
        schema.record_begin(database.database()).await?;
        let lowest_writer = recorded.lowest_writer.max(schema.lowest_writer);
        let again = recorded.version == schema.version && recorded.signed_for == lowest_writer;
        let step = Self { database, collections, lowest_writer, again };
        if lowest_writer > ANY_WRITER {
            for collection in collections {
                step.fence(collection).await?;
            }
        }
        Ok(Some(step))
    }

    /// Adds the fence to the rules that a collection has now, if it exists.
    async fn fence(&self, collection: &Collection) -> Result<(), Error> {
        let database = self.database.database();
        let of_name = doc! { "name": collection.name };
        let found = database.list_collections().filter(of_name).await?.try_next().await?;
        if let Some(found) = found {
            let rules = rules_of(found.options.validator.unwrap_or_default());
            set_validator(database, collection.name, self.validator(rules)).await?;
        }
        Ok(())
    }

    /// Creates the missing parts of a collection, and drops obsolete indexes.
    ///
    /// # Errors
    /// Error of the driver if MongoDB refuses or is unavailable.
    pub async fn ensure(&self, collection: &Collection) -> Result<(), MongoError> {
        let validator = self.validator(collection.validator.clone());
        collection.ensure(self.database.database(), validator).await
    }

    /// Ends the step: signs the documents that older builds could still change, and records the version.
    ///
    /// # Errors
    /// Error of the driver if MongoDB refuses or is unavailable.
    pub async fn end(self) -> Result<(), Error> {
        for collection in self.collections.iter().filter(|collection| !collection.append_only) {
            self.sign(collection).await?;
        }
        Ok(self.database.schema().record_end(self.database.database()).await?)
    }

    /// Signs all documents of a collection whose writer is too old, and marks those that violate the rules.
    /// After that no older build can change any of them.
    ///
    /// # Errors
    /// Error of the driver if MongoDB refuses or is unavailable.
    pub async fn sign(&self, collection: &Collection) -> Result<(), MongoError> {
        if self.lowest_writer == ANY_WRITER || self.again {
            return Ok(());
        }
        let documents: FencedCollection<Document> = self.database.collection(collection.name);
        let (rules, broken) = (collection.validator.clone(), doc! { "$nor": [collection.validator.clone()] });
        let is_marked = |filter: &Document, marked: bool| {
            let mark = if marked {
                doc! { EXEMPT: true }
            } else {
                doc! { EXEMPT: { "$ne": true } }
            };
            doc! { "$and": [filter.clone(), mark] }
        };
        let unsigned = doc! { WRITER: { "$not": { "$gte": self.lowest_writer } } };
        let left = doc! { "$or": [unsigned, is_marked(&rules, true), is_marked(&broken, false)] };
        // The latest state, not that of a majority: nothing may be missed that was written before the fence.
        let mut found = documents
            .find(left)
            .projection(doc! { "_id": 1 })
            .hint(Hint::Name("_id_".to_owned()))
            .read_concern(ReadConcern::local())
            .await?
            .try_chunks(BATCH);
        while let Some(batch) = found.try_next().await.map_err(|error| error.1)? {
            let ids: Vec<Bson> = batch.iter().filter_map(|found| found.get("_id").cloned()).collect();
            let these = |filter: &Document| doc! { "_id": { "$in": &ids }, "$and": [filter.clone()] };
            documents.update_many(these(&rules), doc! { "$unset": { EXEMPT: "" } }).await?;
            documents.update_many(these(&broken), doc! { "$set": { EXEMPT: true } }).await?;
        }
        Ok(())
    }

    /// Validator of a collection with these rules.
    fn validator(&self, rules: Document) -> Document {
        if self.lowest_writer == ANY_WRITER {
            return rules;
        }
        doc! { "$and": [
            { WRITER: { "$gte": self.lowest_writer } },
            { "$or": [{ EXEMPT: true }, rules] },
        ] }
    }
}

/// Rules of a validator, without a fence.
fn rules_of(validator: Document) -> Document {
    let fenced = || {
        let [fence, rules] = validator.get_array("$and").ok()?.as_slice() else { return None };
        fence.as_document()?.get(WRITER)?;
        let [_, rules] = rules.as_document()?.get_array("$or").ok()?.as_slice() else { return None };
        rules.as_document().cloned()
    };
    fenced().unwrap_or(validator)
}

/// Schema of a collection. The schema step creates it, and may be repeated at any time.
pub struct Collection {
    /// Name.
    pub name: &'static str,
    /// Indexes: name, keys, uniqueness, and a filter for partial ones.
    pub indexes: Vec<Index>,
    /// Names of indexes from earlier versions, which no query uses any more.
    pub obsolete: Vec<&'static str>,
    /// Rules for every document.
    pub validator: Document,
    /// True if documents are never changed once they are there: then the schema step need not sign them.
    pub append_only: bool,
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
    async fn ensure(&self, db: &Database, validator: Document) -> Result<(), MongoError> {
        if let Err(error) = db.create_collection(self.name).await
            && !matches!(error.kind.as_ref(), ErrorKind::Command(error) if error.code == NAMESPACE_EXISTS)
        {
            return Err(error);
        }
        set_validator(db, self.name, validator).await?;
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
            drop_index(db, self.name, index).await?;
        }
        Ok(())
    }
}

/// Drops an index, if it is there.
pub(super) async fn drop_index(db: &Database, collection: &str, index: &str) -> Result<(), MongoError> {
    match retry_during_index_build(db, doc! { "dropIndexes": collection, "index": index }).await {
        Err(error) if matches!(error.kind.as_ref(), ErrorKind::Command(error) if error.code == INDEX_NOT_FOUND) => {
            Ok(())
        }
        dropped => dropped,
    }
}

/// Sets the validator of a collection.
async fn set_validator(db: &Database, collection: &str, validator: Document) -> Result<(), MongoError> {
    let is_fenced = rules_of(validator.clone()) != validator;
    // Moderate: a document that is valid stays so, and one that a later rule has made invalid can still
    // be written. Otherwise a stricter rule would lock old documents.
    let mut rule = doc! { "collMod": collection, "validator": validator, "validationLevel": "moderate" };
    if is_fenced {
        // No election may take it down again.
        rule.insert("writeConcern", doc! { "w": "majority" });
    }
    retry_during_index_build(db, rule).await
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_is_put_around_rules_once() {
        let rules = doc! { "$jsonSchema": { "bsonType": "object" }, "$expr": { "$lte": ["$a", "$b"] } };
        let fenced =
            doc! { "$and": [{ "writer": { "$gte": 7 } }, { "$or": [{ "exempt": true }, rules.clone()] }] };
        assert_eq!(rules_of(fenced), rules);
        assert_eq!(rules_of(rules.clone()), rules);
        assert_eq!(rules_of(doc! {}), doc! {});
        let other = doc! { "$and": [{ "a": 1 }, { "$or": [{ "b": 1 }, { "c": 1 }] }] };
        assert_eq!(rules_of(other.clone()), other);
    }
}
