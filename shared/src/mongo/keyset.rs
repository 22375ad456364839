//! A page of a list, read along one index, without a sort of MongoDB's own and without a count.
//!
//! The index has fields whose values are known, then the field that the list is sorted by, then `_id`. Where one of
//! the first may have several values, such as every status, each combination is a partition of the index, and MongoDB
//! merges the partitions in the order of the sort: so one index serves lists with and without that filter. A page costs
//! as many keys as it has elements and one or two for each partition, wherever in the list it begins.
//!
//! What the index does not know is looked up in the documents. Then a page looks at a bounded part of the index and
//! ends there, full or not.

use futures::TryStreamExt as _;
use mongodb::Collection;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{Hint, ReadConcern};

use crate::error::Error;
use crate::input::page::{PageRequest, PageRows, Position, SortType, SortValue};
use crate::mongo;

/// How many elements a page looks at whose filters the index does not know. It looks twice, first for where to stop, and
/// each time at a key or two more for each range of the index: at most 5,000 keys in all.
pub const MAX_SCANNED: u32 = 2_400;

/// What a list is sorted by; ties by `_id` in the same direction.
#[derive(Clone, Copy, Debug)]
pub struct SortKey {
    /// The field, by its path.
    pub field: &'static str,
    /// What it has.
    pub of: SortType,
    /// Largest first.
    pub descending: bool,
}

/// A list along an index.
#[derive(Clone, Debug)]
pub struct IndexScan {
    /// The name of the index.
    pub index: &'static str,
    /// The fields before the sort's, and the values that each may have.
    pub partitions: Vec<(&'static str, Vec<Bson>)>,
    /// The sort.
    pub sort_key: SortKey,
    /// Bounds of the sort's field, such as `{$gte: 5}`, or empty.
    pub range: Document,
    /// What the index does not know, or empty.
    pub filter: Document,
}

impl SortKey {
    /// The sort, as MongoDB has it.
    pub fn sort(&self) -> Document {
        let direction = if self.descending { -1 } else { 1 };
        doc! { self.field: direction, "_id": direction }
    }

    /// Where a document stands in the list.
    ///
    /// # Errors
    /// 500 for a document without what the list is sorted by.
    pub fn position(&self, document: &Document) -> Result<Position, Error> {
        let mut path = self.field.split('.');
        let first = path.next().and_then(|field| document.get(field));
        let value = path.try_fold(first, |at, field| Some(at?.as_document()?.get(field))).flatten();
        let value = match (self.of, value) {
            (SortType::Time, Some(Bson::DateTime(at))) => SortValue::Time(mongo::timestamp(*at)),
            (SortType::Integer, Some(Bson::Int64(number))) => SortValue::Integer(*number),
            (SortType::Text, Some(Bson::String(text))) => SortValue::Text(text.clone()),
            (_, other) => return Err(Error::internal(format!("sorted by {}: {other:?}", self.field))),
        };
        match document.get("_id") {
            Some(Bson::Binary(id)) => {
                let id = id.to_uuid().map_err(Error::internal)?;
                Ok(Position { value, id: uuid::Uuid::from_bytes(id.bytes()) })
            }
            other => Err(Error::internal(format!("a document with the ID {other:?}"))),
        }
    }

    /// What lies after one position and not after another, as ranges of an index that has the sort's field and `_id`.
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
    /// A page after this position; fields in `projection` are read, or left out.
    ///
    /// # Errors
    /// When MongoDB is away.
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
            // Of one moment: what changes its partition meanwhile, such as its status, is seen in one of them.
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

    /// Where a page stops to look. `None`: not before the end of the list.
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

    /// All partitions between two positions. Each says all of it, since MongoDB plans each for itself.
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

/// All of these conditions.
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
