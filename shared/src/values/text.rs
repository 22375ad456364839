//! Rules for text written by people: lengths count code points, nothing is trimmed, invisible text is
//! rejected.

use std::collections::BTreeMap;

use crate::input::validation::{Patch, ValidationErrors};

/// Rule for one line of text, for [`ValidationErrors`]: `min` to `max` code points, not blank, no control
/// characters.
pub fn line(min: usize, max: usize) -> impl Fn(String) -> Result<String, String> {
    move |text| check(text, min, max, |_| false)
}

/// Rule for text of several lines: 1 to `max` code points. `\n` and `\t` are allowed too.
pub fn prose(max: usize) -> impl Fn(String) -> Result<String, String> {
    move |text| check(text, 1, max, |character| matches!(character, '\n' | '\t'))
}

fn check(text: String, min: usize, max: usize, also: impl Fn(char) -> bool) -> Result<String, String> {
    let length = text.chars().count();
    if length < min || length > max {
        return Err(format!("must have {min} to {max} characters, and has {length}"));
    }
    if text.chars().all(char::is_whitespace) {
        return Err("must not be white space alone".to_owned());
    }
    match text.chars().find(|&character| character.is_control() && !also(character)) {
        Some(character) => Err(no_control(character)),
        None => Ok(text),
    }
}

fn no_control(character: char) -> String {
    format!("must not contain the control character U+{:04X}", u32::from(character))
}

/// Checks `attributes` or `metadata`. Allowed are 50 entries, keys of 1 to 40 and values of up to 500 code
/// points.
pub fn string_map(
    errors: &mut ValidationErrors,
    pointer: &str,
    entries: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    if entries.len() > 50 {
        errors.add(pointer, format!("must have at most 50 entries, and has {}", entries.len()));
        return BTreeMap::new();
    }
    errors.nested(pointer, |errors| {
        for (key, value) in &entries {
            let place = format!("/{}", escape_pointer(key));
            if let Err(detail) = line(1, 40)(key.clone()) {
                errors.add(&place, format!("has a bad key: it {detail}"));
            }
            let length = value.chars().count();
            if length > 500 {
                errors.add(&place, format!("must have at most 500 characters, and has {length}"));
            } else if let Some(character) = value.chars().find(|character| character.is_control()) {
                errors.add(&place, no_control(character));
            } else if !value.is_empty() && value.chars().all(char::is_whitespace) {
                errors.add(&place, "must not be white space alone");
            }
        }
    });
    entries
}

/// Checks a change of `attributes` or `metadata`, which replaces the whole map.
pub fn string_map_change(
    errors: &mut ValidationErrors,
    pointer: &str,
    entries: Patch<BTreeMap<String, String>>,
) -> Option<BTreeMap<String, String>> {
    match entries {
        Patch::Absent => None,
        Patch::Null => {
            errors.add(pointer, "cannot be null; send {} to clear it");
            None
        }
        Patch::Value(entries) => Some(string_map(errors, pointer, entries)),
    }
}

/// Quotes the client's own text for a message to that client: as a JSON string of at most 40 characters.
pub fn quoted(text: &str) -> String {
    const MAX_SHOWN: usize = 40;
    let shown: String = text.chars().take(MAX_SHOWN).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("{}{more}", serde_json::Value::from(shown))
}

/// Escapes a key as a segment of a JSON Pointer (RFC 6901, section 3).
pub fn escape_pointer(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_count_code_points_and_not_bytes() {
        assert!(line(1, 3)("☕☕☕".to_owned()).is_ok());
        assert!(line(1, 3)("☕☕☕☕".to_owned()).is_err());
    }

    #[test]
    fn nothing_invisible_gets_in() {
        for bad in ["", "   ", "\u{a0}", "a\0b", "a\nb", "a\u{7f}", "a\u{85}b"] {
            assert!(line(1, 100)(bad.to_owned()).is_err(), "{bad:?}");
        }
        assert!(prose(100)("two\nlines\tand a tab".to_owned()).is_ok());
        assert!(prose(100)("a\rb".to_owned()).is_err());
    }

    #[test]
    fn a_map_names_each_bad_entry_by_its_escaped_key() {
        let mut errors = ValidationErrors::default();
        let entries = BTreeMap::from([("a/b~c".to_owned(), "x".repeat(501)), (String::new(), "x".into())]);
        string_map(&mut errors, "/metadata", entries);
        let error = errors.check().unwrap_err();
        let pointers: Vec<_> = error.errors().iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/metadata/", "/metadata/a~1b~0c"]);
    }
}
