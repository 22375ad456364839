//! Expressions for updates that keep the stored fields of a newer build.
//!
//! A write is on the version that was read, so the places of entries are those that were read.

use mongodb::bson::{Bson, Document, doc};

/// Expression for a list of entries, to which entries are only added. A stored entry keeps its other fields. An entry
/// that was derived when it was read may not be stored yet, and is stored as a whole then.
pub(super) fn entries(field: &str, old: Option<&Bson>, new: Option<&Bson>) -> Vec<Bson> {
    let list = |of: Option<&Bson>| of.and_then(Bson::as_array).cloned().unwrap_or_default();
    merged_list(&format!("${field}").into(), &list(old), &list(new))
}

/// Expression for a value: a text of a client may look like an expression.
pub(super) fn literal(value: Bson) -> Document {
    doc! { "$literal": value }
}

/// Elements of a list, each merged with the stored one in its place.
fn merged_list(stored: &Bson, before: &[Bson], after: &[Bson]) -> Vec<Bson> {
    let element = |(place, after): (i64, &Bson)| {
        let before = usize::try_from(place).ok().and_then(|place| before.get(place));
        match before.and_then(Bson::as_document).zip(after.as_document()) {
            Some((before, after)) => {
                merged(&doc! { "$arrayElemAt": [stored.clone(), place] }.into(), before, after)
            }
            None => literal(after.clone()).into(),
        }
    };
    (0..).zip(after).map(element).collect()
}

/// Expression for a document: its fields as it was read, then the stored ones, then those that changed. The first are
/// for one that was derived, and is not stored.
fn merged(stored: &Bson, before: &Document, after: &Document) -> Bson {
    let mut changed = Document::new();
    for (field, value) in after.iter().filter(|(field, value)| before.get(field) != Some(*value)) {
        let stored = || Bson::from(doc! { "$getField": { "field": field, "input": stored.clone() } });
        let value: Bson = match (before.get(field), value) {
            (Some(Bson::Document(before)), Bson::Document(after)) => merged(&stored(), before, after),
            (Some(Bson::Array(before)), Bson::Array(after)) if are_same_entries(before, after) => {
                merged_list(&stored(), before, after).into()
            }
            (_, value) => literal(value.clone()).into(),
        };
        changed.insert(field, value);
    }
    doc! { "$mergeObjects": [literal(before.clone().into()), stored.clone(), changed] }.into()
}

/// True if two lists have entries with the same IDs in the same places.
fn are_same_entries(before: &[Bson], after: &[Bson]) -> bool {
    let id = |entry: &Bson| entry.as_document().and_then(|entry| entry.get("id")).cloned();
    let pairs = || before.iter().zip(after);
    before.len() == after.len() && pairs().all(|(one, other)| id(one).is_some() && id(one) == id(other))
}
