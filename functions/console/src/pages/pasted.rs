//! Parts of pages that take pasted lines: their text, the table of a preview, and the form that confirms it.
//!
//! A page has at most 200 lines and makes at most 8 calls at a time. Each confirmed line is sent with a key of its own.

use std::collections::HashMap;

use maud::{Markup, html};
use shared::error::Error;
use shared::input::validation::{FieldError, NamedBy};
use tonic::metadata::{Ascii, MetadataValue};

use crate::http::Fields;
use crate::layout;
use crate::texts::pasted as texts;

/// Most lines of one form.
pub(super) const MAX_LINES: usize = 200;

/// Characters between the values of a line.
pub(super) const SEPARATORS: [char; 3] = ['\t', ',', ';'];

/// Calls at a time, for a page of many lines.
pub(super) const AT_ONCE: usize = 8;

/// Field that is in the form of a preview alone.
pub(super) const CONFIRMED: &str = "confirmed";

/// Lines of a text with their numbers, from 1; empty ones are left out.
///
/// # Errors
/// 422 for no line at all, and for too many.
pub(super) fn lines(text: &str) -> Result<Vec<(usize, &str)>, Error> {
    let numbered = (1_usize..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let lines: Vec<(usize, &str)> = numbered.collect();
    match lines.len() {
        0 => Err(refused(texts::NO_LINES.to_owned())),
        1..=MAX_LINES => Ok(lines),
        more => Err(refused(texts::too_many_lines(more, MAX_LINES))),
    }
}

/// Error of the field with the lines.
fn refused(detail: String) -> Error {
    Error::validation(vec![FieldError::new("/lines", detail, NamedBy::Code)])
}

/// Names that are on several lines, with the numbers of these lines.
///
/// It is not known which of two lines is meant, so none of them is taken.
pub(super) fn repeated<'a>(names: impl Iterator<Item = (usize, &'a str)>) -> HashMap<String, Vec<usize>> {
    let mut numbers: HashMap<String, Vec<usize>> = HashMap::new();
    for (number, name) in names {
        numbers.entry(name.to_owned()).or_default().push(number);
    }
    numbers.retain(|_, lines| lines.len() > 1);
    numbers
}

/// Renders the field for lines, with what was sent.
pub(super) fn field(label: &str, hint: &str, example: &str, text: &str) -> Markup {
    html! {
        (layout::field(label, html! {
            // The first line break of a textarea belongs to the markup.
            textarea name="lines" rows="12" required placeholder=(example) spellcheck="false"
                aria-describedby="lines-hint" { "\n" (text) }
        }))
        p.muted #lines-hint { (hint) }
    }
}

/// Renders the head of a table: headings, and true for numbers, which stand at the right.
pub(super) fn head(columns: &[(&str, bool)]) -> Markup {
    html! {
        thead {
            tr {
                @for (heading, is_number) in columns {
                    th scope="col" class=[is_number.then_some("number")] { (heading) }
                }
            }
        }
    }
}

/// Reads the lines of a preview's form. Each has a field of this prefix, with the name of the line after it.
///
/// # Errors
/// 422 for fields that no preview has made.
pub(super) fn confirmed<T>(
    fields: &Fields,
    prefix: &str,
    read: impl Fn(&str) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let lines = fields.with_prefix(prefix).map(|(name, _)| read(name));
    let lines: Vec<T> = lines.collect::<Result<_, Error>>()?;
    if (1..=MAX_LINES).contains(&lines.len()) { Ok(lines) } else { Err(no_preview()) }
}

/// Key of a line: it follows from the key of the form and the name of the line.
///
/// # Errors
/// 422 for a name that no preview has made.
pub(super) fn key(form_key: &str, name: &str) -> Result<MetadataValue<Ascii>, Error> {
    format!("{form_key}-{name}").parse().map_err(|_| no_preview())
}

/// Error of a form that no preview has made.
pub(super) fn no_preview() -> Error {
    Error::validation(vec![FieldError::new("", texts::NO_PREVIEW, NamedBy::Code)])
}

#[cfg(test)]
mod tests {
    use shared::error::Kind;

    use super::*;

    #[test]
    fn a_text_has_1_to_200_lines() {
        for empty in ["", " \n\t\n"] {
            assert_eq!(lines(empty).unwrap_err().detail(), "/lines must have at least one line.");
        }
        assert_eq!(lines("a\r\n\n b").unwrap(), [(1_usize, "a"), (3, " b")]);
        assert_eq!(lines(&"a\n".repeat(200)).unwrap().len(), 200);
        let error = lines(&"a\n".repeat(201)).unwrap_err();
        assert_eq!(error.detail(), "/lines must have at most 200 lines; got 201.");
    }

    #[test]
    fn repeated_names_have_the_numbers_of_their_lines() {
        let repeated = repeated([(1, "a"), (2, "b"), (4, "a")].into_iter());
        assert_eq!(repeated, HashMap::from([("a".to_owned(), vec![1, 4])]));
    }

    #[test]
    fn a_form_has_1_to_200_confirmed_lines() {
        let read = |body: &str| confirmed(&Fields::of("/x", body), "a-", |name| Ok(name.to_owned()));
        let many = |count: usize| (0..count).map(|line| format!("a-{line}=1&")).collect::<String>();
        assert_eq!(read("a-x=1&b-y=1&a-z=2").unwrap(), ["x", "z"]);
        assert_eq!(read(&many(200)).unwrap().len(), 200);
        for bad in ["", "b-x=1", many(201).as_str()] {
            assert_eq!(read(bad).unwrap_err().kind(), Kind::Validation, "{bad}");
        }
    }

    #[test]
    fn a_key_follows_from_the_form_and_the_name() {
        let text = |key: &str, name| super::key(key, name).map(|key| key.to_str().unwrap().to_owned());
        assert_eq!(text("0a1b", "MUG-BLUE.1").unwrap(), "0a1b-MUG-BLUE.1");
        assert_ne!(text("0a1b", "A").unwrap(), text("0a1b", "B").unwrap());
        assert!(text("0a1b", "A\nB").is_err());
    }

    #[test]
    fn pasted_text_is_escaped() {
        let field = field("Lines", "Hint", "a", "</textarea><b>").into_string();
        assert!(field.contains(">\n&lt;/textarea&gt;&lt;b&gt;</textarea>"), "{field}");
    }
}
