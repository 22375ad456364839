//! The words in which a store says what its documents are like: `$jsonSchema`, which MongoDB checks at every write.
//!
//! This is the second lock. What a document says is decided and checked in the domain; here is what no bug of ours, and
//! nobody at a shell, may write past it. Fields that are not named may be there.

use mongodb::bson::{Bson, Document, doc};

/// A document of these fields: those that must be there, and those that may.
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

/// The same for the documents of a collection.
pub fn documents(required: &[(&str, Document)], optional: &[(&str, Document)]) -> Document {
    doc! { "$jsonSchema": document(required, optional) }
}

/// Text of up to so many code points.
pub fn text(longest: i64) -> Document {
    doc! { "bsonType": "string", "maxLength": longest }
}

/// One of these texts.
pub fn one_of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Document {
    doc! { "enum": texts.into_iter().collect::<Vec<_>>() }
}

/// An integer from `least` up.
pub fn whole(least: i64) -> Document {
    doc! { "bsonType": ["int", "long"], "minimum": least }
}

/// An integer of either sign.
pub fn integer() -> Document {
    doc! { "bsonType": ["int", "long"] }
}

/// An ID, a fingerprint: bytes.
pub fn bytes() -> Document {
    doc! { "bsonType": "binData" }
}

/// A time.
pub fn date() -> Document {
    doc! { "bsonType": "date" }
}

/// True or false.
pub fn boolean() -> Document {
    doc! { "bsonType": "bool" }
}

/// The same, or null.
pub fn or_null(rule: Document) -> Document {
    doc! { "anyOf": [rule, { "bsonType": "null" }] }
}

/// A list of `least` to `most` elements.
pub fn list(least: i64, most: i64, of: Document) -> Document {
    doc! { "bsonType": "array", "minItems": least, "maxItems": most, "items": of }
}

/// A list of up to `most` elements, which are not looked at: one of thousands is written at every hold.
pub fn long_list(most: i64) -> Document {
    doc! { "bsonType": "array", "maxItems": most }
}

/// `attributes` and `metadata` as they are stored.
pub fn map() -> Document {
    list(0, 50, document(&[("k", text(40)), ("v", text(500))], &[]))
}

/// A postal address.
pub fn address() -> Document {
    let line = || or_null(text(200));
    document(
        &[("line1", text(200)), ("city", text(200)), ("country", text(2))],
        &[("line2", line()), ("region", line()), ("postal_code", or_null(text(20)))],
    )
}
