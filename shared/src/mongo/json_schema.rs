//! Builders for `$jsonSchema`, the rules that MongoDB checks at every write.
//!
//! This is a second line of defence. The domain decides and checks the content of documents. These rules stop
//! bugs, and people at a database shell, from writing anything else. Unknown fields are allowed.

use mongodb::bson::{Bson, Document, doc};

use crate::values::address::{AddressLine, Country, Phone, PostalCode};
use crate::values::text::{MapKey, Name, StringMap};

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

/// Validator of a collection whose documents have these fields.
pub fn documents(required: &[(&str, Document)], optional: &[(&str, Document)]) -> Document {
    doc! { "$jsonSchema": document(required, optional) }
}

/// Text of up to so many code points.
pub fn text(longest: usize) -> Document {
    doc! { "bsonType": "string", "maxLength": size(longest) }
}

/// Text of any length.
pub fn string() -> Document {
    doc! { "bsonType": "string" }
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

/// A list of `least` to `most` elements.
pub fn list(least: usize, most: usize, of: Document) -> Document {
    doc! { "bsonType": "array", "minItems": size(least), "maxItems": size(most), "items": of }
}

/// Rule for a list of up to `most` elements, which are not checked.
pub fn long_list(most: i64) -> Document {
    doc! { "bsonType": "array", "maxItems": most }
}

/// Rule for a list. Its elements are not checked, as it is written at every hold.
pub fn array() -> Document {
    doc! { "bsonType": "array" }
}

/// Rule for stored `attributes` and `metadata`.
pub fn map() -> Document {
    let entry = document(&[("k", text(MapKey::MAX)), ("v", text(StringMap::MAX_VALUE))], &[]);
    list(0, StringMap::MAX_ENTRIES, entry)
}

/// Rule for a postal address.
pub fn address() -> Document {
    let line = || text(AddressLine::MAX);
    document(
        &[("line1", line()), ("city", line()), ("country", text(Country::LENGTH))],
        &[
            ("name", or_null(text(Name::MAX))),
            ("company", or_null(text(Name::MAX))),
            ("phone", or_null(text(Phone::MAX))),
            ("line2", or_null(line())),
            ("region", or_null(line())),
            ("postal_code", or_null(text(PostalCode::MAX))),
        ],
    )
}

/// The same rule about types and required fields alone: without lengths, bounds and words.
pub fn types(rule: &Document) -> Document {
    let mut of_types = Document::new();
    for (keyword, value) in rule {
        match (keyword.as_str(), value) {
            ("maxLength" | "minItems" | "maxItems" | "minimum", _) => {}
            ("enum", _) => drop(of_types.insert("bsonType", "string")),
            ("items", Bson::Document(rule)) => drop(of_types.insert(keyword, types(rule))),
            ("properties", Bson::Document(fields)) => {
                let fields = fields.iter().map(|(name, rule)| (name.clone(), types_of(rule)));
                of_types.insert(keyword, fields.collect::<Document>());
            }
            ("anyOf", Bson::Array(rules)) => {
                of_types.insert(keyword, rules.iter().map(types_of).collect::<Vec<Bson>>());
            }
            (_, value) => drop(of_types.insert(keyword, value.clone())),
        }
    }
    of_types
}

fn types_of(rule: &Bson) -> Bson {
    rule.as_document().map_or_else(|| rule.clone(), |rule| types(rule).into())
}

/// A length as BSON has it.
fn size(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_of_a_rule_have_no_bounds() {
        let rule = document(
            &[("name", text(3)), ("status", one_of(["on", "off"]))],
            &[("note", or_null(text(5))), ("list", list(1, 2, whole(1)))],
        );
        let number = doc! { "bsonType": ["int", "long"] };
        let expected = doc! {
            "bsonType": "object",
            "properties": {
                "name": { "bsonType": "string" },
                "status": { "bsonType": "string" },
                "note": { "anyOf": [{ "bsonType": "string" }, { "bsonType": "null" }] },
                "list": { "bsonType": "array", "items": number },
            },
            "required": ["name", "status"],
        };
        assert_eq!(types(&rule), expected);
    }
}
