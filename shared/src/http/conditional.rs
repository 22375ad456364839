//! Conditional requests: `ETag`, `If-Match` and `If-None-Match` (RFC 9110, sections 8.8.3 and 13.1).
//!
//! Lists of tags are read here and not by the `headers` crate, for three reasons. It does not hand out the tags, which
//! a write needs for its filter. It drops a whole list for one byte outside ASCII. In a debug build a space in a tag
//! makes it panic.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Response};
use http::header::{self, HeaderName};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;

use crate::error::{Error, Kind};
use crate::http::routes::require_declared;

/// Versions that a change may apply to, as an extractor: `If-Match`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum IfMatch {
    /// Every version: the header is absent, or `*`.
    #[default]
    Any,
    /// One of these. The list is empty when no tag of the header can match.
    OneOf(Vec<i64>),
}

impl IfMatch {
    /// Condition of a gRPC call with this `expected_version`.
    pub fn of_call(version: Option<i64>) -> Self {
        version.map_or(Self::Any, |version| Self::OneOf(vec![version]))
    }

    /// Condition of an HTTP request. Comparison is strong: a weak tag matches nothing.
    fn of_headers(headers: &HeaderMap) -> Self {
        match TagList::of_headers(headers, &header::IF_MATCH) {
            Some(list) if !list.is_star() => Self::OneOf(list.tags().filter_map(version_of).collect()),
            _ => Self::Any,
        }
    }

    /// Versions that match, unless all do.
    pub fn versions(&self) -> Option<&[i64]> {
        match self {
            Self::Any => None,
            Self::OneOf(versions) => Some(versions),
        }
    }

    /// Checks the condition against the current version.
    ///
    /// # Errors
    /// 412 when it does not match.
    pub fn check(&self, current: i64) -> Result<(), Error> {
        match self.versions() {
            Some(versions) if !versions.contains(&current) => Err(Self::mismatch(current)),
            _ => Ok(()),
        }
    }

    /// Error 412 for a condition that this version does not match.
    pub fn mismatch(current: i64) -> Error {
        Error::new(
            Kind::VersionMismatch,
            format!(
                "The version is {current} now, and If-Match asks for another one. Read what is there, and send the \
                 change again with `If-Match: {}` if it still makes sense.",
                tag_of(current)
            ),
        )
        .with("current_version", json!(current))
    }
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        require_declared(&parts.extensions, "`If-Match`", |row| row.if_match)?;
        Ok(Self::of_headers(&parts.headers))
    }
}

/// Tags that a client has in its cache, as an extractor: `If-None-Match`.
#[derive(Clone, Debug)]
pub struct IfNoneMatch(Option<TagList>);

impl IfNoneMatch {
    /// Condition of an HTTP request.
    pub fn of_headers(headers: &HeaderMap) -> Self {
        Self(TagList::of_headers(headers, &header::IF_NONE_MATCH))
    }

    /// Returns true if the header names this strong tag. Comparison is weak: `W/` makes no difference.
    pub fn names(&self, tag: &str) -> bool {
        let is_tag = |listed: &[u8]| listed.strip_prefix(b"W/").unwrap_or(listed) == tag.as_bytes();
        self.0.as_ref().is_some_and(|list| list.is_star() || list.tags().any(is_tag))
    }

    /// Response with the `ETag` of this version: 304 if the client has it, otherwise `response`.
    pub fn answer(&self, version: i64, response: impl FnOnce() -> Response) -> Response {
        let is_known = self.names(&tag_of(version));
        with_etag(version, if is_known { StatusCode::NOT_MODIFIED.into_response() } else { response() })
    }
}

impl<S: Sync> FromRequestParts<S> for IfNoneMatch {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        require_declared(&parts.extensions, "`If-None-Match`", |row| row.if_none_match)?;
        Ok(Self::of_headers(&parts.headers))
    }
}

/// Adds the strong `ETag` of the version that the response shows.
pub fn with_etag(version: i64, mut response: Response) -> Response {
    if let Ok(tag) = HeaderValue::from_str(&tag_of(version)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// Tag of a version.
fn tag_of(version: i64) -> String {
    format!("\"{version}\"")
}

/// Version that has this tag. Tags are compared as text: `"01"` and `"+1"` are not `"1"`.
fn version_of(tag: &[u8]) -> Option<i64> {
    let tag = std::str::from_utf8(tag).ok()?;
    tag.trim_matches('"').parse().ok().filter(|version| tag_of(*version) == tag)
}

/// Value of a header that lists tags, its lines joined (RFC 9110, section 5.3).
#[derive(Clone, Debug)]
struct TagList(Vec<u8>);

impl TagList {
    fn of_headers(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let lines: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
        (!lines.is_empty()).then(|| Self(lines.join(&b',')))
    }

    fn is_star(&self) -> bool {
        self.0.trim_ascii() == b"*"
    }

    /// Elements of the list, well-formed or not.
    fn tags(&self) -> impl Iterator<Item = &[u8]> {
        // A comma within quotes is a part of its tag. A quote that is never closed takes the rest of the list with
        // it: no change is applied on a guess.
        let mut quoted = false;
        let elements = self.0.split(move |&byte| {
            quoted ^= byte == b'"';
            byte == b',' && !quoted
        });
        elements.map(<[u8]>::trim_ascii)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(name: HeaderName, lines: &[&[u8]]) -> HeaderMap {
        let value = |line: &&[u8]| (name.clone(), HeaderValue::from_bytes(line).unwrap());
        lines.iter().map(value).collect()
    }

    fn expected(lines: &[&[u8]]) -> IfMatch {
        IfMatch::of_headers(&headers(header::IF_MATCH, lines))
    }

    fn is_known(lines: &[&[u8]], version: i64) -> bool {
        let known = IfNoneMatch::of_headers(&headers(header::IF_NONE_MATCH, lines));
        known.answer(version, || StatusCode::OK.into_response()).status() == StatusCode::NOT_MODIFIED
    }

    #[test]
    fn without_a_condition_or_with_a_star_any_version_will_do() {
        assert_eq!(expected(&[]), IfMatch::Any);
        assert_eq!(expected(&[b"*"]), IfMatch::Any);
        assert_eq!(expected(&[b" * "]), IfMatch::Any);
        assert!(!is_known(&[], 7));
        assert!(is_known(&[b"*"], 7));
    }

    #[test]
    fn lists_of_tags_may_have_several_lines_and_empty_elements() {
        for lines in [
            &[&b"\"7\""[..]] as &[&[u8]],
            &[b"\"1\", \"7\""],
            &[b"\"1\"\t,\"7\",,"],
            &[b"\"1\"", b"\"7\""],
            &[b"", b" ,", b"\"7\""],
            &[b"\"a,b\", \"7\""],
            &[b"\"a b\", \"7\""],
            &[b"\"\xe9\", \"7\""],
            &[b"seven, \"7\""],
            &[b"*, \"7\""],
        ] {
            assert!(expected(lines).check(7).is_ok(), "{lines:?}");
            assert!(expected(lines).check(8).is_err(), "{lines:?}");
            assert!(is_known(lines, 7) && !is_known(lines, 8), "{lines:?}");
        }
    }

    #[test]
    fn a_weak_tag_changes_nothing_and_is_known_all_the_same() {
        for lines in [&[&b"W/\"7\""[..]] as &[&[u8]], &[b"\"6\", W/\"7\""], &[b"\"6\"", b"W/\"7\""]] {
            assert!(expected(lines).check(7).is_err(), "{lines:?}");
            assert!(is_known(lines, 7), "{lines:?}");
        }
    }

    #[test]
    fn what_is_no_tag_matches_nothing() {
        let long = format!("\"{}7\"", "0".repeat(40));
        for tag in [
            "",
            " ",
            "7",
            "'7'",
            "\"7",
            "7\"",
            "\"\"7\"\"",
            "\" 7\"",
            "\"7 \"",
            "\"07\"",
            "\"+7\"",
            "\"7.0\"",
            "\"7e0\"",
            "w/\"7\"",
            "W/ \"7\"",
            "W\"7\"",
            "W/7",
            "W/W/\"7\"",
            "\"*\"",
            "**",
            "*, *",
            "* \"7\"",
            "\"7\" \"7\"",
            "\"7\";",
            "\"1, \"7\"",
            "\"1, \"7\", \"7\"",
            &long,
        ] {
            assert!(expected(&[tag.as_bytes()]).check(7).is_err(), "{tag}");
            assert!(!is_known(&[tag.as_bytes()], 7), "{tag}");
        }
    }

    #[test]
    fn tags_of_any_text_are_compared_weakly() {
        for (tags, expected) in [
            (&b"\"a\""[..], true),
            (b"W/\"a\"", true),
            (b"\"b\", \"a\"", true),
            (b"*", true),
            (b"\"b\"", false),
            (b"a", false),
            (b"", false),
        ] {
            let known = IfNoneMatch::of_headers(&headers(header::IF_NONE_MATCH, &[tags]));
            assert_eq!(known.names("\"a\""), expected, "{tags:?}");
        }
    }

    #[test]
    fn a_mismatch_says_what_is_there() {
        let error = IfMatch::of_call(Some(3)).check(5).unwrap_err();
        assert_eq!(error.kind(), Kind::VersionMismatch);
        assert_eq!(error.member("current_version"), Some(&json!(5)));
        assert!(error.detail().contains("`If-Match: \"5\"`"), "{error}");
        assert!(IfMatch::of_call(None).check(5).is_ok());
    }

    proptest! {
        #[test]
        fn the_tag_of_an_answer_matches_that_version_and_no_other(version in 1..i64::MAX, other in 1..i64::MAX) {
            let answer = with_etag(version, StatusCode::OK.into_response());
            let tag = answer.headers()[header::ETAG].as_bytes();
            prop_assert!(expected(&[tag]).check(version).is_ok());
            prop_assert!(is_known(&[tag], version));
            if version != other {
                prop_assert!(expected(&[tag]).check(other).is_err());
                prop_assert!(!is_known(&[tag], other));
            }
        }

        #[test]
        fn a_list_matches_what_is_in_it_however_it_is_cut_into_lines(
            tags in prop::collection::vec((1..6_i64, any::<bool>(), any::<bool>()), 0..6),
        ) {
            let mut lines: Vec<String> = vec![String::new()];
            for (version, weak, breaks) in &tags {
                if *breaks {
                    lines.push(String::new());
                }
                let line = lines.last_mut().unwrap();
                line.push_str(&format!(", {}\"{version}\"", if *weak { "W/" } else { "" }));
            }
            let lines: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
            for version in 1..6 {
                let strong = tags.iter().any(|(tag, weak, _)| *tag == version && !weak);
                prop_assert_eq!(expected(&lines).check(version).is_ok(), strong);
                let there = tags.iter().any(|(tag, ..)| *tag == version);
                prop_assert_eq!(is_known(&lines, version), there);
            }
        }

        #[test]
        fn arbitrary_bytes_match_only_what_is_written_in_them(
            bytes in prop::collection::vec(prop_oneof![Just(b'"'), Just(b','), Just(b'W'), Just(b'/'), Just(b' '),
                Just(b'*'), b'0'..=b'9', 0x80..=0xff_u8], 0..24),
        ) {
            if let IfMatch::OneOf(versions) = expected(&[&bytes]) {
                for version in versions {
                    let tag = format!("\"{version}\"");
                    prop_assert!(bytes.windows(tag.len()).any(|window| window == tag.as_bytes()));
                }
            }
            let _ = is_known(&[&bytes], 7);
        }
    }
}
