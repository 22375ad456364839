//! Entries of journals, as they are written to a stock and into the holds of their orders.
//!
//! They are serialized with their commands: a hot product has many, and a document takes memory for each field.

use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{self, RawBsonRef, RawDocument};
use serde::ser::{Error as _, SerializeMap as _};
use serde::{Deserialize, Serialize, Serializer};
use shared::mongo::fenced::UpdateEach;
use shared::mongo::unreadable::StoredDocument as _;

use super::documents::{EntryDocument, SnapshotDocument};

/// Value that MongoDB takes as it is: the text of a product may look like an expression.
#[derive(Debug, Serialize)]
pub(super) struct Literal<T> {
    #[serde(rename = "$literal")]
    literal: T,
}

/// Expression that merges objects.
#[derive(Debug, Serialize)]
pub(super) struct Merged<T> {
    #[serde(rename = "$mergeObjects")]
    pub(super) objects: T,
}

/// New entry of a journal, as an expression. Its time is the database's, since clocks differ between machines.
#[derive(Debug, Serialize)]
pub(super) struct NewEntry<'a> {
    o: bson::Uuid,
    r: i64,
    q: i64,
    t: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<Literal<&'a SnapshotDocument>>,
}

impl<'a> NewEntry<'a> {
    /// Entry of an order that holds so many units.
    pub(super) fn new(
        order: bson::Uuid,
        revision: i64,
        quantity: i64,
        snapshot: Option<&'a SnapshotDocument>,
    ) -> Self {
        let s = snapshot.map(|literal| Literal { literal });
        Self { o: order, r: revision, q: quantity, t: "$$NOW", s }
    }
}

/// Stage that adds to the reserved count of a stock, and entries to others.
#[derive(Debug, Serialize)]
pub(super) struct WithEntries<P, E> {
    #[serde(rename = "$set")]
    set: Changed<P, E>,
}

#[derive(Debug, Serialize)]
struct Changed<P, E> {
    reserved: Sum,
    pending: Joined<P, E>,
}

#[derive(Debug, Serialize)]
struct Sum {
    #[serde(rename = "$add")]
    terms: (&'static str, i64),
}

#[derive(Debug, Serialize)]
struct Joined<P, E> {
    #[serde(rename = "$concatArrays")]
    lists: (P, E),
}

impl<P, E> WithEntries<P, E> {
    /// Stage that reserves so many units more. The journal has these entries then.
    pub(super) fn new(reserved: i64, others: P, entries: E) -> Self {
        let set = Changed {
            reserved: Sum { terms: ("$reserved", reserved) },
            pending: Joined { lists: (others, entries) },
        };
        Self { set }
    }
}

/// Entry of a journal that is to be moved into the hold of its order.
#[derive(Debug)]
pub(super) struct Moved<'a> {
    /// Entry as it is stored.
    stored: &'a RawDocument,
    /// Order ID.
    pub(super) o: bson::Uuid,
    /// Revision.
    pub(super) r: i64,
    q: i64,
    /// Time of the declaration.
    pub(super) t: bson::DateTime,
}

impl<'a> Moved<'a> {
    /// Reads an entry. `None` if one of its fields cannot be read.
    pub(super) fn read(stored: &'a RawDocument) -> Option<Self> {
        if let Some(moved) = Self::read_quickly(stored) {
            return Some(moved);
        }
        // Parsed, a field that stands twice is read.
        let EntryDocument { o, r, q, t, .. } = stored.to_owned().fields()?;
        Some(Self { stored, o, r, q, t })
    }

    /// Reads an entry in place. Deserialized, an ID and a time would be written as text and read again.
    fn read_quickly(stored: &'a RawDocument) -> Option<Self> {
        let [mut o, mut r, mut q, mut t, mut s] = [None; 5];
        for field in stored {
            let (name, value) = field.ok()?;
            let place = match name.as_str() {
                "o" => &mut o,
                "r" => &mut r,
                "q" => &mut q,
                "t" => &mut t,
                "s" => &mut s,
                _ => continue,
            };
            if place.replace(value).is_some() {
                return None;
            }
        }
        let whole = |value| match value {
            Some(RawBsonRef::Int64(number)) => Some(number),
            Some(RawBsonRef::Int32(number)) => Some(i64::from(number)),
            _ => None,
        };
        let o = o?.as_binary().filter(|id| id.subtype == BinarySubtype::Uuid)?;
        let o = bson::Uuid::from_bytes(o.bytes.try_into().ok()?);
        if let Some(snapshot) = s.filter(|it| *it != RawBsonRef::Null) {
            let _: Snapshot<'_> = bson::deserialize_from_slice(snapshot.as_document()?.as_bytes()).ok()?;
        }
        Some(Self { stored, o, r: whole(r)?, q: whole(q)?, t: t?.as_datetime()? })
    }

    /// Upsert that writes it to the hold of its order, unless that has the same revision or a higher one. The entry is
    /// all that the order has: a declaration about several products writes the hold itself.
    pub(super) fn to_hold(&self, product: bson::Uuid) -> UpdateEach<WithId, Replacement<'_>> {
        let item = Literal { literal: Item { entry: self.stored, product } };
        let there =
            Filtered { filter: OfProduct { input: ITEMS, cond: Equal { values: ("$$this.p", product) } } };
        let hold = Hold {
            r: self.r,
            items: [Merged { objects: (First { first: there }, item) }],
            live: self.q > 0,
            at: "$$NOW",
        };
        // An error where the revision is no number: the entry stays in its journal then.
        let is_newer = Less { values: (STORED_REVISION, self.r) };
        let replaced = Merged { objects: ("$$ROOT", hold) };
        let update = vec![Replacement { with: Condition { branches: (is_newer, replaced, "$$ROOT") } }];
        UpdateEach { filter: WithId { _id: self.o }, update }
    }
}

/// Snapshot in an entry, in place. An entry with another one is not moved.
#[derive(Deserialize)]
#[expect(dead_code, reason = "the entry is moved as it is stored")]
struct Snapshot<'a> {
    sku: &'a str,
    name: &'a str,
    #[serde(borrow)]
    price: Price<'a>,
    status: &'a str,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "as in Snapshot")]
struct Price<'a> {
    amount: i64,
    currency: &'a str,
}

/// Filter for one document.
#[derive(Debug, Serialize)]
pub(super) struct WithId {
    _id: bson::Uuid,
}

/// Condition that the stored revision is lower than that of an entry.
type IsNewer = Less<(StoredRevision, i64)>;

/// Stored hold with the fields of one that has an entry.
type WithEntry<'a> = Merged<(&'static str, Hold<'a>)>;

/// Stage that replaces a hold by one with an entry, if that is newer.
#[derive(Debug, Serialize)]
pub(super) struct Replacement<'a> {
    #[serde(rename = "$replaceWith")]
    with: Condition<(IsNewer, WithEntry<'a>, &'static str)>,
}

#[derive(Debug, Serialize)]
struct Condition<T> {
    #[serde(rename = "$cond")]
    branches: T,
}

#[derive(Debug, Serialize)]
struct Less<T> {
    #[serde(rename = "$lt")]
    values: T,
}

#[derive(Debug, Serialize)]
struct Equal<T> {
    #[serde(rename = "$eq")]
    values: T,
}

#[derive(Debug, Serialize)]
struct StoredRevision {
    #[serde(rename = "$multiply")]
    factors: (OrElse, i64),
}

#[derive(Debug, Serialize)]
struct OrElse {
    #[serde(rename = "$ifNull")]
    values: (&'static str, i64),
}

const STORED_REVISION: StoredRevision = StoredRevision { factors: (OrElse { values: ("$r", -1) }, 1) };

#[derive(Debug, Serialize)]
struct Hold<'a> {
    r: i64,
    items: [Merged<(First, Literal<Item<'a>>)>; 1],
    live: bool,
    at: &'static str,
}

#[derive(Debug, Serialize)]
struct First {
    #[serde(rename = "$first")]
    first: Filtered,
}

#[derive(Debug, Serialize)]
struct Filtered {
    #[serde(rename = "$filter")]
    filter: OfProduct,
}

#[derive(Debug, Serialize)]
struct OfProduct {
    input: Items,
    cond: Equal<(&'static str, bson::Uuid)>,
}

/// Items of a hold, or none.
type Items = Condition<(IsArray, &'static str, [i64; 0])>;

#[derive(Debug, Serialize)]
struct IsArray {
    #[serde(rename = "$isArray")]
    value: [&'static str; 1],
}

const ITEMS: Items = Condition { branches: (IsArray { value: ["$items"] }, "$items", []) };

/// Item of a hold with the fields of an entry, also those of a later build.
#[derive(Debug)]
struct Item<'a> {
    entry: &'a RawDocument,
    product: bson::Uuid,
}

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_map(None)?;
        for field in self.entry {
            let (name, value) = field.map_err(S::Error::custom)?;
            if !["o", "r", "t", "p"].contains(&name.as_str()) {
                fields.serialize_entry(name.as_str(), &value)?;
            }
        }
        fields.serialize_entry("p", &self.product)?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Document, RawDocumentBuf, doc};

    use super::*;

    fn document(value: &impl Serialize) -> Document {
        bson::serialize_to_raw_document_buf(value).unwrap().try_into().unwrap()
    }

    #[test]
    fn an_entry_is_moved_with_all_its_fields() {
        let (order, product) = (bson::Uuid::from_bytes([1; 16]), bson::Uuid::from_bytes([2; 16]));
        let at = bson::DateTime::from_millis(1_800_000_000_000);
        let snapshot = doc! {
            "sku": "a", "name": "$b", "price": { "amount": 1, "currency": "EUR", "later": 2 }, "status": "active",
        };
        let stored = doc! { "o": order, "r": 3_i64, "q": 2_i64, "t": at, "s": &snapshot, "later": [1, "$x"] };
        let raw = RawDocumentBuf::try_from(&stored).unwrap();
        let moved = Moved::read(&raw).unwrap();
        assert_eq!((moved.o, moved.r, moved.t), (order, 3, at));
        let UpdateEach { filter, update } = moved.to_hold(product);
        assert_eq!(document(&filter), doc! { "_id": order });
        let items = doc! { "$cond": [{ "$isArray": ["$items"] }, "$items", []] };
        let there = doc! { "$filter": { "input": items, "cond": { "$eq": ["$$this.p", product] } } };
        let item = doc! { "q": 2_i64, "s": snapshot, "later": [1, "$x"], "p": product };
        let item = doc! { "$mergeObjects": [{ "$first": there }, { "$literal": item }] };
        let hold = doc! { "r": 3_i64, "items": [item], "live": true, "at": "$$NOW" };
        let is_newer = doc! { "$lt": [{ "$multiply": [{ "$ifNull": ["$r", -1_i64] }, 1_i64] }, 3_i64] };
        let replaced = doc! { "$mergeObjects": ["$$ROOT", hold] };
        let expected = doc! { "$replaceWith": { "$cond": [is_newer, replaced, "$$ROOT"] } };
        assert_eq!(update.iter().map(document).collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn an_entry_that_cannot_be_read_is_not_moved() {
        let whole = doc! { "o": bson::Uuid::new(), "r": 1, "q": 1, "t": bson::DateTime::now() };
        let is_read =
            |document: &Document| Moved::read(&RawDocumentBuf::try_from(document).unwrap()).is_some();
        assert!(is_read(&whole));
        for field in ["o", "r", "q", "t"] {
            let mut damaged = whole.clone();
            damaged.insert(field, "text");
            assert!(!is_read(&damaged), "{field}");
        }
        let mut damaged = whole;
        damaged.insert("s", doc! { "sku": 1 });
        assert!(!is_read(&damaged));
    }

    #[test]
    fn a_new_entry_takes_its_time_from_the_database() {
        let order = bson::Uuid::from_bytes([1; 16]);
        let entry = NewEntry::new(order, 1, 2, None);
        let expected = doc! { "$set": {
            "reserved": { "$add": ["$reserved", 2_i64] },
            "pending": { "$concatArrays": [
                "$pending", [{ "o": order, "r": 1_i64, "q": 2_i64, "t": "$$NOW" }],
            ] },
        } };
        assert_eq!(document(&WithEntries::new(2, "$pending", [entry])), expected);
    }
}
