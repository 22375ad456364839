//! Keyset pagination: a page is read along one index, without a sort in memory and without a count.
//!
//! The index has fields with known values, then the sort field, then `_id`. One of the first may have several
//! possible values, such as all statuses. Each combination is then a partition of the index. MongoDB merges
//! the partitions in sort order. So one index serves lists with and without that filter. A page reads one key
//! per element, and one or two more per partition, wherever in the list it begins.
//!
//! Filters on other fields are checked in the documents. Such a page reads a bounded part of the index and
//! ends there, full or not. Unless one of the filters has an index of its own, and few documents match it: then
//! all of these are read, and the first of them sorted out.
//!
//! A document whose sort field or ID has another type has no position. It is left out, and the cursor moves past
//! it. If a page has no other documents, it is read again with conditions on the types. That costs a key for each
//! of them, and so nothing in a database that is whole.

use futures::TryStreamExt as _;
use mongodb::Cursor;
use mongodb::action::Find;
use mongodb::bson::{self, Bson, Document, RawBsonRef, RawDocument, RawDocumentBuf, doc};
use mongodb::options::{Hint, ReadConcern};

use crate::error::Error;
use crate::input::page::{PageRequest, PageRows, Position, SortType, SortValue};
use crate::mongo::fenced::FencedCollection;
use crate::mongo::{self, unreadable};
use crate::values::clock::Timestamp;

/// Maximum number of elements scanned for a page with filters outside of the index. They are scanned twice,
/// first to find the end. Each scan reads a key or two more per range: at most 5,000 keys in all.
pub const MAX_SCANNED: u32 = 2_400;

/// Maximum number of documents with a value that few have. A page reads all of them.
const FEW: u32 = 5_000;

/// Number of stored bytes after which a page ends: fewer than an answer may have, so that a page of large
/// documents is neither read nor kept in memory for nothing.
pub const MAX_PAGE_BYTES: usize = 4_000_000;

/// Sort order of a list; ties are sorted by `_id` in the same direction.
#[derive(Clone, Copy, Debug)]
pub struct SortKey {
    /// Path of the sort field.
    pub field: &'static str,
    /// Type of its values.
    pub of: SortType,
    /// Direction: true for largest first.
    pub descending: bool,
}

/// List of the documents along an index.
#[derive(Clone, Debug)]
pub struct IndexScan {
    /// Name of the index.
    pub index: &'static str,
    /// Fields before the sort field, with the possible values of each.
    pub partitions: Vec<(&'static str, Vec<Bson>)>,
    /// Sort order.
    pub sort_key: SortKey,
    /// Bounds of the sort field, such as `{$gte: 5}`, or empty.
    pub range: Document,
    /// Filter on fields outside of the index, or empty.
    pub filter: Document,
}

/// Filter with an index of its own, whose order is not that of the list.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// Name of the index.
    pub index: &'static str,
    /// Condition on the first fields of the index.
    pub condition: Document,
}

impl SortKey {
    /// Sort specification for MongoDB.
    pub fn sort(&self) -> Document {
        let direction = if self.descending { -1 } else { 1 };
        doc! { self.field: direction, "_id": direction }
    }

    /// Position of a document in the list. `None`: its sort field has another type than those of the list.
    pub fn position(&self, document: &RawDocumentBuf) -> Option<Position> {
        let (parents, field) = self.field.rsplit_once('.').unwrap_or(("", self.field));
        let mut at: &RawDocument = document;
        for parent in parents.split('.').filter(|parent| !parent.is_empty()) {
            at = unreadable::value(at, parent)?.as_document()?;
        }
        let value = match (self.of, unreadable::value(at, field)?) {
            (SortType::Time, RawBsonRef::DateTime(at)) => SortValue::Time(mongo::timestamp(at)),
            (SortType::Integer, RawBsonRef::Int64(number)) => SortValue::Integer(number),
            (SortType::Integer, RawBsonRef::Int32(number)) => SortValue::Integer(i64::from(number)),
            (SortType::Text, RawBsonRef::String(text)) => SortValue::Text(text.to_owned()),
            _ => return None,
        };
        Some(Position { value, id: unreadable::id_of(document)? })
    }

    /// Values that the list is sorted by. What has another type is not in the list.
    fn all(&self) -> Document {
        let least: Bson = match self.of {
            SortType::Time => bson::DateTime::MIN.into(),
            SortType::Integer => i64::MIN.into(),
            SortType::Text => "".into(),
        };
        doc! { self.field: { "$gte": least } }
    }

    /// Condition that a document has a position.
    pub fn is_positioned(&self) -> Document {
        let types = match self.of {
            SortType::Time => vec!["date"],
            SortType::Integer => vec!["int", "long"],
            SortType::Text => vec!["string"],
        };
        let has_type = doc! { "$in": [{ "$type": format!("${}", self.field) }, types] };
        doc! { "_id": mongo::any_uuid(), "$expr": has_type }
    }

    /// Reads a page by `find`, which takes a further condition. It is called again with
    /// [`Self::is_positioned`] if no document of the page has a position.
    ///
    /// # Errors
    /// Error of `find`.
    pub async fn rows<'a>(
        &self,
        collection: &str,
        page: &PageRequest,
        find: impl Fn(Document) -> Find<'a, RawDocumentBuf>,
    ) -> Result<PageRows<RawDocumentBuf>, Error> {
        let rows = self.rows_of(page, find(Document::new()).await?).await?;
        let is_stuck = rows.is_stuck();
        let (rows, left_out) = rows.positioned();
        if left_out > 0 {
            unreadable::log_without_position(collection, left_out);
        }
        if is_stuck { self.rows_of(page, find(self.is_positioned()).await?).await } else { Ok(rows) }
    }

    /// Reads up to [`PageRequest::fetch`] documents as a page. It ends early after [`MAX_PAGE_BYTES`].
    async fn rows_of(
        &self,
        page: &PageRequest,
        mut cursor: Cursor<RawDocumentBuf>,
    ) -> Result<PageRows<RawDocumentBuf>, Error> {
        let (mut documents, mut bytes) = (Vec::new(), 0);
        while bytes <= MAX_PAGE_BYTES && cursor.advance().await? {
            bytes += cursor.current().as_bytes().len();
            documents.push(cursor.current().to_owned());
        }
        let cut = bytes > MAX_PAGE_BYTES;
        Ok(page.found(documents, cut, |document| self.position(document)))
    }

    /// Filters for the part of the list after one position, up to and including another. They are ranges of
    /// an index with the sort field and `_id`.
    pub fn between(&self, after: Option<&Position>, until: Option<&Position>) -> Vec<Document> {
        let (later, earlier) = if self.descending { ("$lt", "$gt") } else { ("$gt", "$lt") };
        let not_later = if self.descending { "$gte" } else { "$lte" };
        let field = self.field;
        let at = |position: &Position| (value(position), id(position));
        match (after.map(at), until.map(at)) {
            (None, None) => vec![self.all()],
            (Some((value, id)), None) => {
                vec![doc! { field: value.clone(), "_id": { later: id } }, doc! { field: { later: value } }]
            }
            (None, Some((value, id))) => {
                vec![
                    doc! { field: { earlier: value.clone() } },
                    doc! { field: value, "_id": { not_later: id } },
                ]
            }
            (Some((from, first)), Some((to, last))) if from == to => {
                vec![doc! { field: from, "_id": { later: first, not_later: last } }]
            }
            (Some((from, first)), Some((to, last))) => vec![
                doc! { field: from.clone(), "_id": { later: first } },
                doc! { field: { later: from, earlier: to.clone() } },
                doc! { field: to, "_id": { not_later: last } },
            ],
        }
    }
}

impl IndexScan {
    /// Reads a page of a collection after this position, with this projection.
    ///
    /// # Errors
    /// 503 if MongoDB is unavailable.
    pub async fn page(
        &self,
        collection: &FencedCollection<RawDocumentBuf>,
        page: &PageRequest,
        after: Option<&Position>,
        projection: Document,
    ) -> Result<PageRows<RawDocumentBuf>, Error> {
        let end = if self.filter.is_empty() { None } else { self.end(collection, after).await? };
        let find = |condition: Document| {
            let filter = conjunction(vec![self.filter.clone(), condition]);
            collection
                .find(self.query(after, end.as_ref(), &filter))
                .sort(self.sort_key.sort())
                .limit(page.fetch())
                .hint(Hint::Name(self.index.to_owned()))
                .projection(projection.clone())
                // A snapshot, so that a document which changes its partition meanwhile, such as its status, is
                // seen once.
                .read_concern(ReadConcern::snapshot())
        };
        let mut found = self.sort_key.rows(collection.name(), page, find).await?;
        if found.next.is_none() {
            found.next = end;
        }
        Ok(found)
    }

    /// Reads a page by the first of these lookups that few documents match. If none is so, scans the list in its order.
    /// The filter of the scan must have the conditions of all lookups.
    ///
    /// # Errors
    /// 503 if MongoDB is unavailable.
    pub async fn page_by(
        &self,
        lookups: &[Lookup],
        collection: &FencedCollection<RawDocumentBuf>,
        page: &PageRequest,
        after: Option<&Position>,
        projection: Document,
    ) -> Result<PageRows<RawDocumentBuf>, Error> {
        for lookup in lookups {
            if lookup.finds_few(collection).await? {
                return self.page_of_few(lookup, collection, page, after, projection).await;
            }
        }
        self.page(collection, page, after, projection).await
    }

    /// Reads a page of the documents that a lookup finds: all of them, of which it sorts the first out.
    async fn page_of_few(
        &self,
        lookup: &Lookup,
        collection: &FencedCollection<RawDocumentBuf>,
        page: &PageRequest,
        after: Option<&Position>,
        projection: Document,
    ) -> Result<PageRows<RawDocumentBuf>, Error> {
        let later = doc! { "$or": self.sort_key.between(after, None) };
        let filter = conjunction(vec![lookup.condition.clone(), self.conditions(), later]);
        let find = |condition: Document| {
            collection
                .find(conjunction(vec![filter.clone(), condition]))
                .sort(self.sort_key.sort())
                .limit(page.fetch())
                // Larger than the page. When a sort fills a batch of the default 101, MongoDB does not know that it
                // is the last. Another round trip would be needed.
                .batch_size(u32::try_from(page.fetch() + 1).unwrap_or(u32::MAX))
                .hint(Hint::Name(lookup.index.to_owned()))
                .projection(projection.clone())
                .read_concern(ReadConcern::snapshot())
        };
        self.sort_key.rows(collection.name(), page, find).await
    }

    /// All conditions of the list, without its sort.
    pub fn conditions(&self) -> Document {
        let mut all = vec![self.filter.clone()];
        all.extend(self.partitions.iter().map(|(field, values)| doc! { *field: { "$in": values.clone() } }));
        if !self.range.is_empty() {
            all.push(doc! { self.sort_key.field: self.range.clone() });
        }
        conjunction(all)
    }

    /// Position at which the scan of a page ends. `None` if it reaches the end of the list.
    async fn end(
        &self,
        collection: &FencedCollection<RawDocumentBuf>,
        after: Option<&Position>,
    ) -> Result<Option<Position>, Error> {
        for condition in [Document::new(), self.sort_key.is_positioned()] {
            let last = collection
                .find(self.query(after, None, &condition))
                .sort(self.sort_key.sort())
                .skip(u64::from(MAX_SCANNED) - 1)
                .limit(1)
                .hint(Hint::Name(self.index.to_owned()))
                .projection(doc! { self.sort_key.field: 1, "_id": 1 })
                .read_concern(ReadConcern::snapshot())
                .await?
                .try_next()
                .await?;
            let Some(last) = last else { return Ok(None) };
            if let Some(position) = self.sort_key.position(&last) {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }

    /// Query for all partitions between two positions. Each branch repeats all conditions, since MongoDB
    /// plans each branch separately.
    fn query(&self, after: Option<&Position>, until: Option<&Position>, filter: &Document) -> Document {
        let mut partitions = vec![Document::new()];
        for (field, values) in &self.partitions {
            let with = |partition: &Document, value: &Bson| {
                let mut partition = partition.clone();
                partition.insert(*field, value.clone());
                partition
            };
            partitions = partitions
                .iter()
                .flat_map(|partition| values.iter().map(move |value| with(partition, value)))
                .collect();
        }
        let ranges = self.sort_key.between(after, until);
        let mut pieces = Vec::new();
        for partition in &partitions {
            for range in &ranges {
                let mut all = vec![partition.clone(), range.clone(), filter.clone()];
                if !self.range.is_empty() {
                    all.push(doc! { self.sort_key.field: self.range.clone() });
                }
                all.retain(|condition| !condition.is_empty());
                pieces.push(conjunction(all));
            }
        }
        if pieces.len() == 1 {
            pieces.remove(0)
        } else {
            doc! { "$or": pieces }
        }
    }
}

impl Lookup {
    /// True if at most [`FEW`] documents match.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn finds_few(&self, collection: &FencedCollection<RawDocumentBuf>) -> Result<bool, Error> {
        let one_more = collection
            .find_one(self.condition.clone())
            .skip(u64::from(FEW))
            .projection(doc! { "_id": 1 })
            .hint(Hint::Name(self.index.to_owned()));
        Ok(one_more.await?.is_none())
    }
}

/// Conjunction of these conditions.
pub fn conjunction(mut conditions: Vec<Document>) -> Document {
    conditions.retain(|condition| !condition.is_empty());
    match conditions.len() {
        0 => Document::new(),
        1 => conditions.remove(0),
        _ => doc! { "$and": conditions },
    }
}

/// Bounds of a time: from one, inclusive, to another, exclusive. Empty without either.
pub fn times_between(from: Option<Timestamp>, to: Option<Timestamp>) -> Document {
    let mut range = Document::new();
    if let Some(from) = from {
        range.insert("$gte", mongo::date(from));
    }
    if let Some(to) = to {
        range.insert("$lt", mongo::date(to));
    }
    range
}

fn value(position: &Position) -> Bson {
    match &position.value {
        SortValue::Time(at) => mongo::date(*at).into(),
        SortValue::Integer(number) => (*number).into(),
        SortValue::Text(text) => text.clone().into(),
    }
}

fn id(position: &Position) -> Bson {
    mongodb::bson::Uuid::from_bytes(position.id.into_bytes()).into()
}
