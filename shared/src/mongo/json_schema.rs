//! Builders for `$jsonSchema`, the rules that MongoDB checks at every write.
//!
//! This is a second line of defence. The domain decides and checks the content of documents. These rules stop
//! bugs, and people at a database shell, from writing anything else. Unknown fields are allowed.

use mongodb::bson::{Bson, Document, doc};

/// Rule for a document with these required and optional fields.
pub fn document(required: &[(&str, Document)], optional: &[(&str, Document)]) -> Document {
    let names: Vec<&str> = required.iter().map(|(name, _)| *name).collect();
    let all = required.iter().chain(optional);
    let properties: Document =
        all.map(|(name, rule)| ((*name).to_owned(), Bson::from(rule.clone()))).collect();
    let mut rule = doc! { "bsonType": "object", "properties": properties };
    if !names.is_empty() {
        rule.insert("required", names);
    }
    rule
}

/// Validator of a collection whose documents have these fields.
pub fn documents(required: &[(&str, Document)], optional: &[(&str, Document)]) -> Document {
    doc! { "$jsonSchema": document(required, optional) }
}

/// Rule for text of up to `longest` code points.
pub fn text(longest: i64) -> Document {
    doc! { "bsonType": "string", "maxLength": longest }
}

/// Rule for one of these texts.
pub fn one_of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Document {
    doc! { "enum": texts.into_iter().collect::<Vec<_>>() }
}

/// Rule for an integer of at least `least`.
pub fn whole(least: i64) -> Document {
    doc! { "bsonType": ["int", "long"], "minimum": least }
}

/// Rule for an integer of either sign.
pub fn integer() -> Document {
    doc! { "bsonType": ["int", "long"] }
}

/// Rule for bytes, such as an ID or a fingerprint.
pub fn bytes() -> Document {
    doc! { "bsonType": "binData" }
}

/// Rule for a time.
pub fn date() -> Document {
    doc! { "bsonType": "date" }
}

/// Rule for a boolean.
pub fn boolean() -> Document {
    doc! { "bsonType": "bool" }
}

/// Rule for the same or null.
pub fn or_null(rule: Document) -> Document {
    doc! { "anyOf": [rule, { "bsonType": "null" }] }
}

/// Rule for a list of `least` to `most` elements.
pub fn list(least: i64, most: i64, of: Document) -> Document {
    doc! { "bsonType": "array", "minItems": least, "maxItems": most, "items": of }
}

/// Rule for a list of up to `most` elements. They are not checked, as a list of thousands is written at every
/// hold.
pub fn long_list(most: i64) -> Document {
    doc! { "bsonType": "array", "maxItems": most }
}

/// Rule for stored `attributes` and `metadata`.
pub fn map() -> Document {
    list(0, 50, document(&[("k", text(40)), ("v", text(500))], &[]))
}

/// Rule for a postal address.
pub fn address() -> Document {
    let line = || or_null(text(200));
    document(
        &[("line1", text(200)), ("city", text(200)), ("country", text(2))],
        &[("line2", line()), ("region", line()), ("postal_code", or_null(text(20)))],
    )
}
