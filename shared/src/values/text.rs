//! Rules for text written by people: lengths count code points, nothing is trimmed, text that shows nothing is
//! refused.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

use crate::input::validation::{Patch, ValidationErrors};

/// One line of text of `MIN` to `MAX` code points: not blank, no control characters.
///
/// The type is only named, never made.
pub enum Line<const MIN: usize, const MAX: usize> {}

impl<const MIN: usize, const MAX: usize> Line<MIN, MAX> {
    /// The shortest text, in code points.
    pub const MIN: usize = MIN;

    /// The longest text, in code points.
    pub const MAX: usize = MAX;

    /// A rule for [`ValidationErrors`].
    ///
    /// # Errors
    /// A message with the rule that the text breaks.
    pub fn parse(text: String) -> Result<String, String> {
        check(text, MIN, MAX, |_| false)
    }
}

/// Text of several lines, of 1 to `MAX` code points: as [`Line`], but `\n` and `\t` are allowed. A line may end
/// with `\r\n`, which becomes `\n`.
pub enum Prose<const MAX: usize> {}

impl<const MAX: usize> Prose<MAX> {
    /// The longest text, in code points.
    pub const MAX: usize = MAX;

    /// A rule for [`ValidationErrors`].
    ///
    /// # Errors
    /// A message with the rule that the text breaks.
    pub fn parse(text: String) -> Result<String, String> {
        let text = if text.contains('\r') { text.replace("\r\n", "\n") } else { text };
        check(text, 1, MAX, |character| matches!(character, '\n' | '\t'))
    }
}

/// Name of a user or a product.
pub type Name = Line<1, 200>;

/// Longest SKU, which products allow and orders keep.
pub const MAX_SKU: usize = 64;

/// Reason for a change of status or stock.
pub type Reason = Line<1, 500>;

/// `attributes` and `metadata`: a type that is only named, never made.
pub enum StringMap {}

/// Key of a [`StringMap`].
pub type MapKey = Line<1, 40>;

impl StringMap {
    /// The most entries.
    pub const MAX_ENTRIES: usize = 50;

    /// The longest value, in code points.
    pub const MAX_VALUE: usize = 500;

    /// The most bytes of all keys and values together, as UTF-8.
    pub const MAX_BYTES: usize = 16 * 1024;
}

fn check(text: String, min: usize, max: usize, also: impl Fn(char) -> bool) -> Result<String, String> {
    let length = text.chars().count();
    if length < min || length > max {
        return Err(format!("must have {min} to {max} characters; got {length}"));
    }
    if is_blank(&text) {
        return Err("must not be blank".to_owned());
    }
    match text.chars().find(|&character| character.is_control() && !also(character)) {
        Some(character) => Err(no_control(character)),
        None => Ok(text),
    }
}

/// True if a text shows nothing: it has white space, format characters and fillers alone.
fn is_blank(text: &str) -> bool {
    text.chars().all(|character| {
        character.is_whitespace()
            || character.general_category() == GeneralCategory::Format
            || FILLERS.iter().any(|fillers| fillers.contains(&character))
    })
}

/// Characters of other categories that show nothing: joiners, Hangul fillers, inherent vowels, variation
/// selectors, and Braille without dots. (Unicode: `Default_Ignorable_Code_Point`, and U+2800.)
pub const FILLERS: [RangeInclusive<char>; 10] = [
    '\u{034f}'..='\u{034f}',
    '\u{115f}'..='\u{1160}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180f}',
    '\u{2065}'..='\u{2065}',
    '\u{2800}'..='\u{2800}',
    '\u{3164}'..='\u{3164}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{e0000}'..='\u{e0fff}',
];

fn no_control(character: char) -> String {
    format!("must not contain the control character U+{:04X}", u32::from(character))
}

/// The rule for a [`StringMap`].
pub fn string_map(
    errors: &mut ValidationErrors,
    pointer: &str,
    entries: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    const MAX_ENTRIES: usize = StringMap::MAX_ENTRIES;
    const MAX_VALUE: usize = StringMap::MAX_VALUE;
    if entries.len() > MAX_ENTRIES {
        errors.add(pointer, format!("must have at most {MAX_ENTRIES} entries; got {}", entries.len()));
        return BTreeMap::new();
    }
    let bytes: usize = entries.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > StringMap::MAX_BYTES {
        let most = StringMap::MAX_BYTES;
        errors.add(pointer, format!("must have at most {most} bytes in all keys and values; got {bytes}"));
    }
    errors.nested(pointer, |errors| {
        for (key, value) in &entries {
            let place = format!("/{}", escape_pointer(key));
            if let Err(detail) = MapKey::parse(key.clone()) {
                errors.add_at_clients_name(&place, format!("has a bad key: it {detail}"));
            }
            let length = value.chars().count();
            if length > MAX_VALUE {
                errors.add_at_clients_name(
                    &place,
                    format!("must have at most {MAX_VALUE} characters; got {length}"),
                );
            } else if let Some(character) = value.chars().find(|character| character.is_control()) {
                errors.add_at_clients_name(&place, no_control(character));
            } else if !value.is_empty() && is_blank(value) {
                errors.add_at_clients_name(&place, "must not be blank");
            }
        }
    });
    entries
}

/// Checks a change of `attributes` or `metadata`, which replaces the whole map. Null clears it.
pub fn string_map_change(
    errors: &mut ValidationErrors,
    pointer: &str,
    entries: Patch<BTreeMap<String, String>>,
) -> Option<BTreeMap<String, String>> {
    match entries {
        Patch::Absent => None,
        Patch::Null => Some(BTreeMap::new()),
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
        assert!(Line::<1, 3>::parse("☕☕☕".to_owned()).is_ok());
        assert!(Line::<1, 3>::parse("☕☕☕☕".to_owned()).is_err());
    }

    #[test]
    fn nothing_invisible_gets_in() {
        for bad in ["", "   ", "\u{a0}", "a\0b", "a\nb", "a\u{7f}", "a\u{85}b"] {
            assert!(Line::<1, 100>::parse(bad.to_owned()).is_err(), "{bad:?}");
        }
        assert!(Prose::<100>::parse("two\nlines\tand a tab".to_owned()).is_ok());
        assert!(Prose::<100>::parse("a\rb".to_owned()).is_err());
    }

    #[test]
    fn text_that_shows_nothing_is_blank() {
        for blank in [
            "\u{200b}",
            "\u{200d}\u{200c}",
            "\u{feff}",
            "\u{2060} \u{ad}",
            "\u{202e}",
            "\u{3164}",
            "\u{2800}",
            "\u{e0001}",
            "\u{fe0f}",
            "\u{34f}",
            "\u{1160}",
        ] {
            assert!(Line::<1, 100>::parse(blank.to_owned()).is_err(), "{blank:?}");
            assert!(Prose::<100>::parse(blank.to_owned()).is_err(), "{blank:?}");
        }
        for shown in ["a\u{200b}", "👨\u{200d}👩", "\u{200f}א", "☂\u{fe0f}"] {
            assert_eq!(Line::<1, 100>::parse(shown.to_owned()), Ok(shown.to_owned()));
        }
    }

    #[test]
    fn lines_end_with_a_line_feed_alone() {
        let kept = Prose::<5>::parse("a\r\nb\r\n\n".to_owned());
        assert_eq!(kept, Ok("a\nb\n\n".to_owned()));
        for bad in ["\r\n", "a\r", "a\r\r\n"] {
            assert!(Prose::<100>::parse(bad.to_owned()).is_err(), "{bad:?}");
        }
        assert!(Line::<1, 100>::parse("a\r\nb".to_owned()).is_err());
    }

    #[test]
    fn a_map_has_so_many_bytes_in_all() {
        let map = |last: usize| {
            let mut entries: BTreeMap<String, String> =
                (0..31).map(|place| (format!("{place:028}"), "é".repeat(250))).collect();
            entries.insert("x".repeat(12), "x".repeat(last));
            let mut errors = ValidationErrors::default();
            string_map(&mut errors, "/metadata", entries);
            errors.check().map_err(|error| error.errors()[0].pointer.clone())
        };
        // 31 entries of 528 bytes, and one more.
        assert_eq!(map(4), Ok(()));
        assert_eq!(map(5), Err("/metadata".to_owned()));
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
