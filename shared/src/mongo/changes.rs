//! Difference of two documents, so that a write sets only what changed.
//!
//! A later build may have put more fields into a document, at the top or in its parts. A write that sets only
//! what its decision has changed leaves them alone.

use mongodb::bson::{Bson, Document};

/// Fields of `after` that differ from `before`, by their dotted names. A part that is a document in both is
/// compared field by field; a list is one value.
pub fn changes(before: &Document, after: &Document) -> Document {
    let mut changed = Document::new();
    collect("", before, after, &mut changed);
    changed
}

fn collect(path: &str, before: &Document, after: &Document, changed: &mut Document) {
    for (name, value) in after {
        match (before.get(name), value) {
            (Some(before), after) if before == after => {}
            (Some(Bson::Document(before)), Bson::Document(after)) => {
                collect(&format!("{path}{name}."), before, after, changed);
            }
            _ => drop(changed.insert(format!("{path}{name}"), value.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::doc;

    use super::*;

    #[test]
    fn only_the_fields_that_differ_are_changes() {
        let before = doc! {
            "same": 1, "other": 1, "gone": { "a": 1 }, "none": Bson::Null,
            "part": { "same": [1], "other": [1], "deep": { "a": 1, "b": 1 } },
        };
        let after = doc! {
            "same": 1, "other": 2, "gone": Bson::Null, "none": { "a": 1 }, "new": true,
            "part": { "same": [1], "other": [1, 2], "deep": { "a": 1, "b": 2 } },
        };
        let expected = doc! {
            "other": 2, "gone": Bson::Null, "none": { "a": 1 }, "new": true, "part.other": [1, 2], "part.deep.b": 2,
        };
        assert_eq!(changes(&before, &after), expected);
        assert_eq!(changes(&after, &after), doc! {});
    }
}
