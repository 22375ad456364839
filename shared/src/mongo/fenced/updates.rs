//! Updates that the driver has no action for: one that is not repeated, and lists of them.
//!
//! Their commands are serialized in one go. As documents, each of their fields would take memory of its own.

use std::time::Duration;

use mongodb::ClientSession;
use mongodb::bson::{self, Bson, Document, RawDocument, RawDocumentBuf};
use mongodb::error::{Error as MongoError, ErrorKind, Result, WriteFailure};
use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};

use super::{FencedCollection, INVALID_DOCUMENT, Outdated, names_writer, serialized};

/// Update of one document.
#[derive(Clone, Debug)]
pub struct UpdateEach<F = Document, S = Document> {
    /// Filter for the document.
    pub filter: F,
    /// Stages of the pipeline that updates it.
    pub update: Vec<S>,
}

/// Result of a list of updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdatedEach {
    /// Number of documents that matched.
    pub matched: usize,
    /// Number of updates that MongoDB refused.
    pub refused: usize,
}

/// Write concern of a majority. The driver does not add it to commands that it does not know.
#[derive(Serialize)]
struct Majority {
    w: &'static str,
    j: bool,
}

const MAJORITY: Majority = Majority { w: "majority", j: true };

/// Stages of an update, and the one that adds the writer.
#[derive(Debug)]
struct Signed<'a, S> {
    stages: &'a [S],
    writer: i32,
}

impl<S: Serialize> Serialize for Signed<'_, S> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> std::result::Result<Z::Ok, Z::Error> {
        #[derive(Serialize)]
        struct Sign {
            #[serde(rename = "$set")]
            set: Writer,
        }
        #[derive(Serialize)]
        struct Writer {
            writer: i32,
        }
        let mut all = serializer.serialize_seq(Some(self.stages.len() + 1))?;
        for stage in self.stages {
            all.serialize_element(stage)?;
        }
        all.serialize_element(&Sign { set: Writer { writer: self.writer } })?;
        all.end()
    }
}

/// Command that updates one document.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FindAndModify<'a, F, S> {
    find_and_modify: &'a str,
    query: F,
    update: Signed<'a, S>,
    new: bool,
    fields: &'a RawDocument,
    #[serde(rename = "maxTimeMS")]
    max_time: i64,
    write_concern: Majority,
}

/// Command with a list of updates.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Updates<'a, F, S> {
    update: &'a str,
    updates: Vec<Statement<'a, F, S>>,
    ordered: bool,
    #[serde(rename = "maxTimeMS", skip_serializing_if = "Option::is_none")]
    max_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    write_concern: Option<Majority>,
}

#[derive(Serialize)]
struct Statement<'a, F, S> {
    q: &'a F,
    u: Signed<'a, S>,
    upsert: bool,
}

impl<T: Send + Sync> FencedCollection<T> {
    /// Updates a document and returns the fields of a projection, once: the driver does not repeat it.
    ///
    /// For a write that the driver may repeat, MongoDB also stores its answer. Of a small document that is a third of
    /// the whole cost. After an error the caller has to find out whether it was written.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable, refuses the document, or takes longer than `max_time`.
    pub async fn update_once<F: Serialize, S: Serialize>(
        &self,
        UpdateEach { filter, update }: UpdateEach<F, S>,
        projection: &RawDocument,
        max_time: Duration,
        session: &mut ClientSession,
    ) -> Result<Option<Document>> {
        let command = serialized(&FindAndModify {
            find_and_modify: self.name(),
            query: filter,
            update: Signed { stages: &update, writer: self.writer },
            new: true,
            fields: projection,
            max_time: millis(max_time),
            write_concern: MAJORITY,
        })?;
        let mut answer = self.database.run_raw_command(command).session(session).await?;
        check_write_concern(&answer)?;
        Ok(match answer.remove("value") {
            Some(Bson::Document(value)) => Some(value),
            _ => None,
        })
    }

    /// Updates several documents, each its own way, in one command. It stops at the first that is refused.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable, or this build is too old.
    pub async fn update_each<F: Serialize, S: Serialize>(
        &self,
        updates: &[UpdateEach<F, S>],
        session: Option<&mut ClientSession>,
    ) -> Result<UpdatedEach> {
        let command = Updates {
            update: self.name(),
            updates: self.statements(updates, false),
            ordered: true,
            max_time: None,
            write_concern: None,
        };
        let (matched, refused) = self.run_updates(serialized(&command)?, session).await?;
        Ok(UpdatedEach { matched, refused: refused.len() })
    }

    /// Updates or inserts several documents, each its own way, in one command. MongoDB ends it after `max_time`,
    /// also if its caller has gone. Returns the places of those that were refused.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable, or this build is too old.
    pub async fn upsert_each<F: Serialize, S: Serialize>(
        &self,
        updates: &[UpdateEach<F, S>],
        max_time: Duration,
    ) -> Result<Vec<usize>> {
        let command = serialized(&Updates {
            update: self.name(),
            updates: self.statements(updates, true),
            ordered: false,
            max_time: Some(millis(max_time)),
            write_concern: Some(MAJORITY),
        })?;
        Ok(self.run_updates(command, None).await?.1)
    }

    fn statements<'a, F, S>(
        &self,
        updates: &'a [UpdateEach<F, S>],
        upsert: bool,
    ) -> Vec<Statement<'a, F, S>> {
        let statement = |UpdateEach { filter, update }: &'a UpdateEach<F, S>| Statement {
            q: filter,
            u: Signed { stages: update, writer: self.writer },
            upsert,
        };
        updates.iter().map(statement).collect()
    }

    /// Runs updates. Returns the number of documents that matched, and the places of the updates that were
    /// refused.
    async fn run_updates(
        &self,
        command: RawDocumentBuf,
        session: Option<&mut ClientSession>,
    ) -> Result<(usize, Vec<usize>)> {
        let running = self.database.run_raw_command(command);
        let answer = match session {
            Some(session) => running.session(session).await?,
            None => running.await?,
        };
        check_write_concern(&answer)?;
        let errors = answer.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
        if errors.iter().any(|error| code_of(error) == Some(INVALID_DOCUMENT) && names_writer(error)) {
            return Err(MongoError::custom(Outdated));
        }
        let place = |error: &Bson| error.as_document()?.get_i32("index").ok()?.try_into().ok();
        let matched = answer.get_i32("n").ok().and_then(|matched| usize::try_from(matched).ok());
        Ok((matched.unwrap_or(0), errors.iter().filter_map(place).collect()))
    }
}

/// Checks that a majority has a write. The driver does not for commands that it does not know.
fn check_write_concern(answer: &Document) -> Result<()> {
    match answer.get_document("writeConcernError") {
        Ok(error) => {
            let error = bson::deserialize_from_document(error.clone())?;
            Err(ErrorKind::Write(WriteFailure::WriteConcernError(error)).into())
        }
        Err(_) => Ok(()),
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn code_of(error: &Bson) -> Option<i32> {
    error.as_document().and_then(|error| error.get_i32("code").ok())
}

#[cfg(test)]
mod tests {
    use mongodb::bson::doc;

    use super::super::WRITER;
    use super::*;

    #[test]
    fn a_command_has_the_fields_that_mongodb_knows() {
        let stages = [doc! { "$set": { "a": 1 } }];
        let signed = || doc! { "$set": { WRITER: 7 } };
        let fields = RawDocumentBuf::try_from(&doc! { "a": 1 }).unwrap();
        let command = serialized(&FindAndModify {
            find_and_modify: "stock",
            query: doc! { "_id": 1 },
            update: Signed { stages: &stages, writer: 7 },
            new: true,
            fields: &fields,
            max_time: 5,
            write_concern: MAJORITY,
        });
        let expected = doc! {
            "findAndModify": "stock", "query": { "_id": 1 }, "update": [stages[0].clone(), signed()], "new": true,
            "fields": { "a": 1 }, "maxTimeMS": 5_i64, "writeConcern": { "w": "majority", "j": true },
        };
        assert_eq!(Document::try_from(command.unwrap()).unwrap(), expected);
        let command = serialized(&Updates {
            update: "stock",
            updates: vec![Statement {
                q: &doc! { "_id": 1 },
                u: Signed { stages: &stages, writer: 7 },
                upsert: true,
            }],
            ordered: false,
            max_time: None,
            write_concern: None,
        });
        let updates = [doc! { "q": { "_id": 1 }, "u": [stages[0].clone(), signed()], "upsert": true }];
        let expected = doc! { "update": "stock", "updates": &updates[..], "ordered": false };
        assert_eq!(Document::try_from(command.unwrap()).unwrap(), expected);
    }
}
