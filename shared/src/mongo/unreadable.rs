//! Stored documents that cannot be read: a field is missing, or has another type.
//!
//! Such a document must not make others unreadable. Lists and scans leave it out and log it. A request for
//! the document itself fails with 500. Logs have its collection and its ID, and nothing of its content.

use std::fmt;

use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{self, Bson, Document, RawBsonRef, RawDocument, RawDocumentBuf};
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::input::page::PageRows;
use crate::runtime::metrics;

/// Document that cannot be read, by its collection and ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Collection of the document.
    pub collection: &'static str,
    /// ID of the document, if that can be read.
    pub id: Option<uuid::Uuid>,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { collection, .. } = self;
        match self.id {
            Some(id) => write!(f, "the document {id} in {collection} cannot be read"),
            None => write!(f, "a document in {collection} has an ID of another type"),
        }
    }
}

impl std::error::Error for Unreadable {}

impl From<Unreadable> for Error {
    fn from(unreadable: Unreadable) -> Self {
        Self::internal(unreadable.to_string())
    }
}

/// Document as it is stored: parsed, or as the bytes that MongoDB has sent. Bytes are read into a type without a step in
/// between.
pub trait StoredDocument {
    /// ID of the document, if it is a UUID.
    fn id(&self) -> Option<uuid::Uuid>;

    /// Reads the fields of the document. `None` if a field is missing or has another type.
    fn fields<T: DeserializeOwned>(self) -> Option<T>;
}

impl StoredDocument for Document {
    fn id(&self) -> Option<uuid::Uuid> {
        match self.get("_id") {
            Some(Bson::Binary(id)) => id.to_uuid().ok().map(|id| uuid::Uuid::from_bytes(id.bytes())),
            _ => None,
        }
    }

    fn fields<T: DeserializeOwned>(self) -> Option<T> {
        bson::deserialize_from_document(self).ok()
    }
}

impl StoredDocument for RawDocumentBuf {
    fn id(&self) -> Option<uuid::Uuid> {
        match value(self, "_id")? {
            RawBsonRef::Binary(id) if id.subtype == BinarySubtype::Uuid => {
                id.bytes.try_into().ok().map(uuid::Uuid::from_bytes)
            }
            _ => None,
        }
    }

    fn fields<T: DeserializeOwned>(self) -> Option<T> {
        let read = bson::deserialize_from_slice(self.as_bytes()).ok();
        // Parsed, a field that stands twice is read.
        read.or_else(|| Document::try_from(self).ok()?.fields())
    }
}

/// Value of a field, if it is there and can be read.
pub fn value<'a>(document: &'a RawDocument, field: &str) -> Option<RawBsonRef<'a>> {
    document.get(field).ok().flatten()
}

impl Unreadable {
    /// Names a document of this collection.
    pub fn of(collection: &'static str, document: &impl StoredDocument) -> Self {
        Self { collection, id: document.id() }
    }

    /// Reads the fields of a document.
    ///
    /// # Errors
    /// The document, if a field is missing or has another type.
    pub fn or_read<T: DeserializeOwned>(
        collection: &'static str,
        document: impl StoredDocument,
    ) -> Result<T, Self> {
        let unreadable = Self::of(collection, &document);
        // The cause would show the value that does not fit.
        document.fields().ok_or(unreadable)
    }
}

/// ID of a document, if it is a UUID.
pub fn id_of(document: &impl StoredDocument) -> Option<uuid::Uuid> {
    document.id()
}

/// Page of the documents that can be read. The others are logged.
pub fn readable<D, T>(rows: PageRows<D>, read: impl Fn(D) -> Result<T, Unreadable>) -> PageRows<T> {
    let mut left_out = Vec::new();
    let kept = rows.filter_map(|document| read(document).map_err(|bad| left_out.push(bad)).ok());
    log(&left_out);
    kept
}

/// Maximum number of IDs in a line of the log.
const MAX_LOGGED: usize = 20;

/// Adds documents that cannot be read to the metrics.
pub fn count(number: usize) {
    metrics::UNREADABLE.add([], u64::try_from(number).unwrap_or(u64::MAX));
}

/// Logs that a list has left out documents whose sort field or ID has another type.
pub fn log_without_position(collection: &str, count: usize) {
    self::count(count);
    tracing::error!(unreadable = count, collection, "documents have no position in a list; left out");
}

/// Logs documents that were left out, with the first of their IDs.
pub fn log(unreadable: &[Unreadable]) {
    let Some(Unreadable { collection, .. }) = unreadable.first() else { return };
    count(unreadable.len());
    let ids: Vec<String> = unreadable
        .iter()
        .take(MAX_LOGGED)
        .map(|it| it.id.map_or_else(|| "of another type".to_owned(), |id| id.to_string()))
        .collect();
    let ids = ids.join(", ");
    tracing::error!(unreadable = unreadable.len(), collection, ids, "documents cannot be read; left out");
}
