//! Keyset pagination: a page is read along one index, without a sort in memory and without a count.
//!
//! The index has fields with known values, then the sort field, then `_id`. One of the first may have several
//! possible values, such as all statuses. Each combination is then a partition of the index. MongoDB merges
//! the partitions in sort order. So one index serves lists with and without that filter. A page reads one key
//! per element, and one or two more per partition, wherever in the list it begins.
//!
//! Filters on other fields are checked in the documents. Such a page reads a bounded part of the index and
//! ends there, full or not.

use futures::TryStreamExt as _;
use mongodb::Collection;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{Hint, ReadConcern};

use crate::error::Error;
use crate::input::page::{PageRequest, PageRows, Position, SortType, SortValue};
use crate::mongo;

/// Maximum number of elements scanned for a page with filters outside of the index. They are scanned twice,
/// first to find the end. Each scan reads a key or two more per range: at most 5,000 keys in all.
pub const MAX_SCANNED: u32 = 2_400;

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

impl SortKey {
    /// Sort specification for MongoDB.
    pub fn sort(&self) -> Document {
        let direction = if self.descending { -1 } else { 1 };
        doc! { self.field: direction, "_id": direction }
    }

    /// Position of a document in the list.
    ///
    /// # Errors
    /// 500 for a document without the sort field.
    pub fn position(&self, document: &Document) -> Result<Position, Error> {
        let mut path = self.field.split('.');
        let first = path.next().and_then(|field| document.get(field));
        let value = path.try_fold(first, |at, field| Some(at?.as_document()?.get(field))).flatten();
        let value = match (self.of, value) {
            (SortType::Time, Some(Bson::DateTime(at))) => SortValue::Time(mongo::timestamp(*at)),
            (SortType::Integer, Some(Bson::Int64(number))) => SortValue::Integer(*number),
            (SortType::Text, Some(Bson::String(text))) => SortValue::Text(text.clone()),
            _ => {
                let field = self.field;
                return Err(Error::internal(format!(
                    "{field} is missing, or of another type than the sort's"
                )));
            }
        };
        match document.get("_id") {
            Some(Bson::Binary(id)) => {
                let id = id.to_uuid().map_err(Error::internal)?;
                Ok(Position { value, id: uuid::Uuid::from_bytes(id.bytes()) })
            }
            _ => Err(Error::internal("a document whose ID is no UUID")),
        }
    }

    /// Filters for the part of the list after one position, up to and including another. They are ranges of
    /// an index with the sort field and `_id`.
    pub fn between(&self, after: Option<&Position>, until: Option<&Position>) -> Vec<Document> {
        let (later, earlier) = if self.descending { ("$lt", "$gt") } else { ("$gt", "$lt") };
        let not_later = if self.descending { "$gte" } else { "$lte" };
        let field = self.field;
        let at = |position: &Position| (value(position), id(position));
        match (after.map(at), until.map(at)) {
            (None, None) => vec![Document::new()],
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
    /// Reads a page after this position, with this projection.
    ///
    /// # Errors
    /// 503 if MongoDB is unavailable.
    pub async fn page(
        &self,
        collection: &Collection<Document>,
        page: &PageRequest,
        after: Option<&Position>,
        projection: Document,
    ) -> Result<PageRows<Document>, Error> {
        let end = if self.filter.is_empty() { None } else { self.end(collection, after).await? };
        let query = self.query(after, end.as_ref(), &self.filter);
        let documents: Vec<Document> = collection
            .find(query)
            .sort(self.sort_key.sort())
            .limit(page.fetch())
            .hint(Hint::Name(self.index.to_owned()))
            .projection(projection)
            // A snapshot, so that a document which changes its partition meanwhile, such as its status, is
            // seen once.
            .read_concern(ReadConcern::snapshot())
            .await?
            .try_collect()
            .await?;
        let mut found = page.found(documents, |document| self.sort_key.position(document))?;
        if found.next.is_none() {
            found.next = end;
        }
        Ok(found)
    }

    /// Position at which the scan of a page ends. `None` if it reaches the end of the list.
    async fn end(
        &self,
        collection: &Collection<Document>,
        after: Option<&Position>,
    ) -> Result<Option<Position>, Error> {
        let last = collection
            .find(self.query(after, None, &Document::new()))
            .sort(self.sort_key.sort())
            .skip(u64::from(MAX_SCANNED) - 1)
            .limit(1)
            .hint(Hint::Name(self.index.to_owned()))
            .projection(doc! { self.sort_key.field: 1, "_id": 1 })
            .read_concern(ReadConcern::snapshot())
            .await?
            .try_next()
            .await?;
        last.map(|last| self.sort_key.position(&last)).transpose()
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

/// Conjunction of these conditions.
pub fn conjunction(mut conditions: Vec<Document>) -> Document {
    conditions.retain(|condition| !condition.is_empty());
    match conditions.len() {
        0 => Document::new(),
        1 => conditions.remove(0),
        _ => doc! { "$and": conditions },
    }
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
