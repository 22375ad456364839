//! What the collections of a function must have, and the step that makes it.

use std::time::Duration;

use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::{Error as MongoError, ErrorKind};

/// The code of an index that is not there.
const INDEX_NOT_FOUND: i32 = 27;

/// The code of what has to wait for an index that is being built.
const BUILDING_INDEX: i32 = 12_587;

/// How long the schema step waits before it looks again whether an index is built.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// What a collection must have: made by the schema step, which may be run again at any time.
pub struct Collection {
    /// Its name.
    pub name: &'static str,
    /// Indexes: name, keys, whether unique, and a filter for a partial one.
    pub indexes: Vec<Index>,
    /// Names of indexes that earlier versions have made and no query uses any more.
    pub obsolete: Vec<&'static str>,
    /// What every document must be like.
    pub validator: Document,
}

/// An index.
pub struct Index {
    /// Its name.
    pub name: &'static str,
    /// Its keys.
    pub keys: Document,
    /// Whether it is unique.
    pub unique: bool,
    /// Which documents it has, if not all.
    pub partial: Option<Document>,
    /// How long after the time in its one key MongoDB takes a document away, if ever: not at once, but within
    /// minutes, so that this is no clock.
    pub sweep: Option<Duration>,
}

impl Index {
    /// An index for queries.
    pub fn plain(name: &'static str, keys: Document) -> Self {
        Self { name, keys, unique: false, partial: None, sweep: None }
    }

    /// An index that refuses a second document with the same keys.
    pub fn unique(name: &'static str, keys: Document) -> Self {
        Self { name, keys, unique: true, partial: None, sweep: None }
    }

    /// The same index, of fewer documents.
    pub fn only(self, filter: Document) -> Self {
        Self { partial: Some(filter), ..self }
    }

    /// The same index, whose documents go so long after the time in its key.
    pub fn swept_after(self, age: Duration) -> Self {
        Self { sweep: Some(age), ..self }
    }
}

impl Collection {
    /// Makes what is missing.
    ///
    /// # Errors
    /// When MongoDB refuses, or is away.
    pub async fn ensure(&self, db: &Database) -> Result<(), MongoError> {
        if let Err(error) = db.create_collection(self.name).await
            && !matches!(error.kind.as_ref(), ErrorKind::Command(error) if error.code == 48)
        {
            return Err(error);
        }
        once_built(db, doc! { "collMod": self.name, "validator": self.validator.clone() }).await?;
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
            let dropped = once_built(db, doc! { "dropIndexes": self.name, "index": *index }).await;
            if let Err(error) = dropped
                && !matches!(error.kind.as_ref(), ErrorKind::Command(error) if error.code == INDEX_NOT_FOUND)
            {
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Runs a command that MongoDB refuses while an index of the collection is built, as another schema step may be doing.
/// However long that takes: to make an index waits for it, too.
async fn once_built(db: &Database, command: Document) -> Result<(), MongoError> {
    loop {
        match db.run_command(command.clone()).await {
            Err(error) if matches!(error.kind.as_ref(), ErrorKind::Command(error) if error.code == BUILDING_INDEX) =>
                {}
            done => return done.map(drop),
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}
