//! Fenced collections: each document names the build that wrote it last, and MongoDB refuses builds that are
//! too old.
//!
//! A build writes its schema version into [`WRITER`] of every document that it inserts or changes. A schema
//! step may raise the lowest version that may write. From then on the validators demand at least that version,
//! so a build that is still warm is refused, and loses nothing. Every write of a store goes through
//! [`FencedCollection`], which adds the field: there is no other way to write.

use std::time::Duration;

use futures::TryStreamExt as _;
use futures::future::BoxFuture;
use mongodb::action::{
    Aggregate, CountDocuments, Delete, Find, FindOneAndUpdate, InsertMany, InsertOne, ReplaceOne,
    StartSession, Update,
};
use mongodb::bson::raw::cstr;
use mongodb::bson::{self, Bson, Document, RawDocumentBuf, Timestamp as OperationTime, doc};
use mongodb::error::{Error as MongoError, ErrorKind, Result, WriteFailure};
use mongodb::options::{FindOneOptions, FindOptions, Hint, ReadConcern, UpdateModifications};
use mongodb::{ClientSession, Collection, Database};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::schema::{Schema, drop_index};
use super::{INVALID_DOCUMENT, TxOutcome, confirmed, timestamp};
use crate::error::Error;
use crate::values::clock::Timestamp;

mod updates;

pub use updates::{UpdateEach, UpdatedEach};

/// Field of every document: schema version of the build that wrote it last. A document of a build from before
/// this field has none.
pub const WRITER: &str = "writer";

/// Size of the buffer into which a document is serialized: larger than most.
const USUAL_SIZE: usize = 2048;

/// Database of a function, with the schema of the build that uses it.
#[derive(Clone, Debug)]
pub struct FencedDatabase {
    database: Database,
    schema: Schema,
}

impl FencedDatabase {
    /// Creates a fenced database for a build with this schema.
    pub fn new(database: &Database, schema: Schema) -> Self {
        Self { database: database.clone(), schema }
    }

    /// Returns a collection, for reads and for writes in this build's name.
    pub fn collection<T: Send + Sync>(&self, name: &str) -> FencedCollection<T> {
        FencedCollection {
            database: self.database.clone(),
            records: self.database.collection(name),
            documents: self.database.collection(name),
            writer: self.schema.version,
        }
    }

    /// Starts a session, for reads as of one moment.
    pub fn start_session(&self) -> StartSession<'_> {
        self.database.client().start_session()
    }

    /// Reads the database's clock.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn clock(&self) -> std::result::Result<Timestamp, Error> {
        let hello = self.database.run_command(doc! { "hello": 1 }).await?;
        Ok(timestamp(*hello.get_datetime("localTime").map_err(Error::internal)?))
    }

    /// Checks that the schema step and this build fit each other.
    ///
    /// # Errors
    /// As [`Schema::check`].
    pub async fn check_schema(&self) -> std::result::Result<(), Error> {
        self.schema.check(&self.database).await
    }

    /// Returns a time as of which the migration of this name is done. None: it is not.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn is_migrated(&self, migration: &str) -> Result<Option<OperationTime>> {
        self.schema.is_migrated(&self.database, migration).await
    }

    /// Records that the migration of this name is done.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn record_migrated(&self, migration: &str) -> Result<()> {
        self.schema.record_migrated(&self.database, migration).await
    }

    /// Records that this migration copies documents from now on, if that is not recorded already.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn record_copying(&self, migration: &str) -> Result<()> {
        self.schema.record_copying(&self.database, migration).await
    }

    /// Records that this migration has copied all that it can, and the time.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn record_copied(&self, migration: &str) -> Result<()> {
        self.schema.record_copied(&self.database, migration).await
    }

    /// Returns the time at which this migration had copied all that it could. None: it has never copied.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn copied_at(&self, migration: &str) -> Result<Option<Timestamp>> {
        Ok(self.schema.copied_at(&self.database, migration).await?.map(timestamp))
    }

    /// Returns the time since which this migration copies documents. None: it does not.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn copying_since(&self, migration: &str) -> Result<Option<Timestamp>> {
        let since = self.schema.copying_since(&self.database, migration).await?;
        Ok(since.map(timestamp))
    }

    /// Drops an index of a collection, if it is there.
    ///
    /// # Errors
    /// Fails when MongoDB refuses or is unavailable.
    pub async fn drop_index(&self, collection: &str, index: &str) -> Result<()> {
        drop_index(&self.database, collection, index).await
    }

    /// Schema of the build.
    pub fn schema(&self) -> Schema {
        self.schema
    }

    /// The database itself, for the schema step.
    pub(super) fn database(&self) -> &Database {
        &self.database
    }
}

/// Collection whose documents name their writer.
pub struct FencedCollection<T: Send + Sync> {
    database: Database,
    records: Collection<T>,
    documents: Collection<RawDocumentBuf>,
    writer: i32,
}

impl<T: Send + Sync> Clone for FencedCollection<T> {
    fn clone(&self) -> Self {
        let Self { database, records, documents, writer } = self;
        Self {
            database: database.clone(),
            records: records.clone(),
            documents: documents.clone(),
            writer: *writer,
        }
    }
}

/// Search for a document.
#[must_use]
pub struct FindOne<'a, T: Send + Sync> {
    collection: &'a FencedCollection<T>,
    filter: Document,
    options: FindOneOptions,
}

impl<T: Send + Sync> FindOne<'_, T> {
    /// Restricts the document to these fields.
    pub fn projection(mut self, fields: Document) -> Self {
        self.options.projection = Some(fields);
        self
    }

    /// Chooses the first document in this order.
    pub fn sort(mut self, order: Document) -> Self {
        self.options.sort = Some(order);
        self
    }

    /// Passes over so many documents before it.
    pub fn skip(mut self, count: u64) -> Self {
        self.options.skip = Some(count);
        self
    }

    /// Sets the read concern, for a session of a snapshot.
    pub fn read_concern(mut self, concern: ReadConcern) -> Self {
        self.options.read_concern = Some(concern);
        self
    }

    /// Names the index to use.
    pub fn hint(mut self, index: Hint) -> Self {
        self.options.hint = Some(index);
        self
    }

    /// Finds the document in a transaction.
    ///
    /// # Errors
    /// Error of the transaction.
    pub async fn session(self, session: &mut ClientSession) -> Result<Option<T>>
    where
        T: DeserializeOwned,
    {
        let Self { collection, filter, options } = self;
        collection.records.find_one(filter).with_options(options).session(session).await
    }
}

impl<'a, T: DeserializeOwned + Send + Sync + 'static> IntoFuture for FindOne<'a, T> {
    type Output = Result<Option<T>>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { collection, filter, options } = self;
        let records = &collection.records;
        Box::pin(async move {
            if !confirmed::is_confirmed() {
                return records.find_one(filter).with_options(options).await;
            }
            confirmed::read(records.client(), |session| {
                let (records, filter, options) = (records.clone(), filter.clone(), options.clone());
                Box::pin(async move {
                    let found = records.find_one(filter).with_options(options).session(session).await?;
                    Ok(TxOutcome::Commit(found))
                })
            })
            .await
        })
    }
}

impl<T: Send + Sync> FencedCollection<T> {
    /// Returns the same collection, with documents read as another type.
    pub fn clone_with_type<U: Send + Sync>(&self) -> FencedCollection<U> {
        FencedCollection {
            database: self.database.clone(),
            records: self.records.clone_with_type(),
            documents: self.documents.clone(),
            writer: self.writer,
        }
    }

    /// Name of the collection.
    pub fn name(&self) -> &str {
        self.records.name()
    }

    /// Finds documents.
    pub fn find(&self, filter: Document) -> Find<'_, T> {
        self.records.find(filter)
    }

    /// Finds documents, as of all acknowledged writes.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable, or the read cannot be confirmed in time.
    pub async fn find_confirmed(&self, filter: Document, options: FindOptions) -> Result<Vec<T>>
    where
        T: DeserializeOwned + 'static,
    {
        confirmed::read(self.records.client(), |session| {
            let (records, filter, options) = (self.records.clone(), filter.clone(), options.clone());
            Box::pin(async move {
                let mut found = records.find(filter).with_options(options).session(&mut *session).await?;
                Ok(TxOutcome::Commit(found.stream(session).try_collect().await?))
            })
        })
        .await
    }

    /// Finds a document. Within [`mongo::confirmed`](super::confirmed()) it is read as of all acknowledged writes.
    pub fn find_one(&self, filter: Document) -> FindOne<'_, T> {
        FindOne { collection: self, filter, options: FindOneOptions::default() }
    }

    /// Counts documents.
    pub fn count_documents(&self, filter: Document) -> CountDocuments<'_> {
        self.records.count_documents(filter)
    }

    /// Runs a pipeline that only reads.
    pub fn aggregate(&self, pipeline: impl IntoIterator<Item = Document>) -> Aggregate<'_> {
        self.records.aggregate(pipeline)
    }

    /// Runs a pipeline over the latest state, and inserts its documents into another collection. One whose ID is there
    /// stays as it is. MongoDB goes on with it after its client is gone, for this time at most.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable, or refuses a document. Some may be inserted then.
    pub async fn aggregate_into<U: Send + Sync>(
        &self,
        pipeline: impl IntoIterator<Item = Document>,
        into: &FencedCollection<U>,
        time: Duration,
    ) -> Result<()> {
        let signed = doc! { "$set": { WRITER: into.writer } };
        let merge = doc! { "into": into.name(), "whenMatched": "keepExisting", "whenNotMatched": "insert" };
        let stages = pipeline.into_iter().chain([signed, doc! { "$merge": merge }]);
        let running = self.records.aggregate(stages).allow_disk_use(true).max_time(time);
        running.read_concern(ReadConcern::local()).await.map(drop)
    }

    /// Deletes a document. A validator cannot refuse that: no fence stops it.
    pub fn delete_one(&self, filter: Document) -> Delete<'_> {
        self.records.delete_one(filter)
    }

    /// Deletes documents. A validator cannot refuse that: no fence stops it.
    pub fn delete_many(&self, filter: Document) -> Delete<'_> {
        self.records.delete_many(filter)
    }

    /// Inserts a document.
    ///
    /// # Errors
    /// Fails when the document cannot be serialized.
    pub fn insert_one(&self, document: impl Serialize) -> Result<InsertOne<'_>> {
        Ok(self.documents.insert_one(self.sign(&document)?))
    }

    /// Inserts documents.
    ///
    /// # Errors
    /// Fails when one of them cannot be serialized.
    pub fn insert_many(&self, documents: impl IntoIterator<Item = impl Serialize>) -> Result<InsertMany<'_>> {
        let documents = documents.into_iter().map(|document| self.sign(&document));
        Ok(self.documents.insert_many(documents.collect::<Result<Vec<_>>>()?))
    }

    /// Replaces a document by one that has nothing in common with it but the ID: all other fields are dropped.
    ///
    /// # Errors
    /// Fails when the document cannot be serialized.
    pub fn replace_one(&self, filter: Document, document: impl Serialize) -> Result<ReplaceOne<'_>> {
        Ok(self.documents.replace_one(filter, self.sign(&document)?))
    }

    /// Updates a document.
    pub fn update_one(&self, filter: Document, update: impl Into<UpdateModifications>) -> Update<'_> {
        self.records.update_one(filter, signed(update.into(), self.writer))
    }

    /// Updates documents.
    pub fn update_many(&self, filter: Document, update: impl Into<UpdateModifications>) -> Update<'_> {
        self.records.update_many(filter, signed(update.into(), self.writer))
    }

    /// Updates a document and returns it.
    pub fn find_one_and_update(
        &self,
        filter: Document,
        update: impl Into<UpdateModifications>,
    ) -> FindOneAndUpdate<'_, T>
    where
        T: DeserializeOwned,
    {
        self.records.find_one_and_update(filter, signed(update.into(), self.writer))
    }

    fn sign(&self, document: &impl Serialize) -> Result<RawDocumentBuf> {
        sign(document, self.writer)
    }
}

/// Serializes a document.
fn serialized(document: &impl Serialize) -> Result<RawDocumentBuf> {
    let mut bytes = Vec::with_capacity(USUAL_SIZE);
    bson::serialize_to_buffer(document, &mut bytes)?;
    Ok(RawDocumentBuf::from_bytes(bytes)?)
}

/// Serializes a document with its writer.
fn sign(document: &impl Serialize, writer: i32) -> Result<RawDocumentBuf> {
    let mut document = serialized(document)?;
    if document.get(WRITER)?.is_some() {
        // One that was read: this build is its writer now.
        let mut read = Document::try_from(document)?;
        read.insert(WRITER, writer);
        return Ok(RawDocumentBuf::try_from(&read)?);
    }
    document.append(cstr!("writer"), writer);
    Ok(document)
}

/// Adds the writer to an update.
fn signed(update: UpdateModifications, writer: i32) -> UpdateModifications {
    match update {
        UpdateModifications::Document(mut update) => {
            match update.get_document_mut("$set") {
                Ok(set) => drop(set.insert(WRITER, writer)),
                Err(_) => drop(update.insert("$set", doc! { WRITER: writer })),
            }
            UpdateModifications::Document(update)
        }
        UpdateModifications::Pipeline(stages) => UpdateModifications::Pipeline(signed_stages(stages, writer)),
        // The driver knows no others.
        other => other,
    }
}

/// Adds the writer to a pipeline that updates.
fn signed_stages(mut stages: Vec<Document>, writer: i32) -> Vec<Document> {
    stages.push(doc! { "$set": { WRITER: writer } });
    stages
}

/// Error of a write that was refused because its build is too old.
#[derive(Clone, Copy, Debug)]
struct Outdated;

/// Returns true if MongoDB refused a write because its build is too old, and not because of its content.
pub(super) fn is_outdated(error: &MongoError) -> bool {
    match error.kind.as_ref() {
        ErrorKind::Custom(custom) => custom.is::<Outdated>(),
        ErrorKind::Write(WriteFailure::WriteError(error)) if error.code == INVALID_DOCUMENT => {
            error.details.as_ref().is_some_and(|details| details.values().any(names_writer))
        }
        ErrorKind::Command(command) if command.code == INVALID_DOCUMENT => error
            .server_response()
            .and_then(|response| bson::deserialize_from_slice::<Document>(response.as_bytes()).ok())
            .is_some_and(|response| response.get("errInfo").is_some_and(names_writer)),
        ErrorKind::InsertMany(failed) => failed.write_errors.iter().flatten().any(|error| {
            error.code == INVALID_DOCUMENT
                && error.details.as_ref().is_some_and(|details| details.values().any(names_writer))
        }),
        _ => false,
    }
}

/// Returns true if the details of a refusal name the rule about the writer. Values that the rules were applied
/// to are passed over.
fn names_writer(details: &Bson) -> bool {
    match details {
        Bson::Document(details) => details.iter().any(|(name, value)| match name.as_str() {
            "specifiedAs" => value.as_document().is_some_and(|rule| rule.contains_key(WRITER)),
            "consideredValue" | "consideredValues" => false,
            _ => names_writer(value),
        }),
        Bson::Array(details) => details.iter().any(names_writer),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(update: impl Into<UpdateModifications>) -> Document {
        match signed(update.into(), 7) {
            UpdateModifications::Document(update) => update,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_update_names_its_writer() {
        assert_eq!(document(doc! { "$set": { "a": 1 } }), doc! { "$set": { "a": 1, "writer": 7 } });
        let pulled = document(doc! { "$pull": { "list": 1 } });
        assert_eq!(pulled, doc! { "$pull": { "list": 1 }, "$set": { "writer": 7 } });
        // An update that names another writer does not get past.
        assert_eq!(document(doc! { "$set": { "writer": 9 } }), doc! { "$set": { "writer": 7 } });
        let UpdateModifications::Pipeline(stages) = signed(vec![doc! { "$unset": "a" }].into(), 7) else {
            panic!("a pipeline stays one");
        };
        assert_eq!(stages, [doc! { "$unset": "a" }, doc! { "$set": { "writer": 7 } }]);
    }

    #[test]
    fn every_document_names_its_writer() {
        let signed = |document: Document| Document::try_from(sign(&document, 7).unwrap()).unwrap();
        assert_eq!(signed(doc! { "_id": 1 }), doc! { "_id": 1, "writer": 7 });
        let read = signed(doc! { "_id": 1, "writer": 6, "a": 2 });
        assert_eq!(
            read.iter().collect::<Vec<_>>(),
            doc! { "_id": 1, "writer": 7, "a": 2 }.iter().collect::<Vec<_>>()
        );
    }

    #[test]
    fn only_the_rule_about_the_writer_makes_a_build_too_old() {
        let fence = doc! { "operatorName": "$gte", "specifiedAs": { "writer": { "$gte": 7 } } };
        let all = doc! { "clausesNotSatisfied": [{ "index": 0, "details": fence }] };
        assert!(names_writer(&all.into()));
        let fault = doc! {
            "propertyName": "writer", "specifiedAs": { "minimum": 1 }, "consideredValue": { "specifiedAs": { "writer": 1 } },
        };
        assert!(!names_writer(&fault.into()));
    }
}
