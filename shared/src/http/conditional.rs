//! Versions of what is changed, as HTTP says them: `ETag`, `If-Match` and `If-None-Match` (RFC 9110, sections 8.8.3
//! and 13.1). The only place that knows what a tag looks like.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Response};
use http::header::{self, HeaderName};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;

use crate::error::{Error, Kind};

/// Which version a change is meant for, as an extractor: `If-Match`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum IfMatch {
    /// Whichever it is: nothing was said, or `*`, which matches all that exists.
    #[default]
    Any,
    /// One of these. None of them, if no tag was one that can match.
    OneOf(Vec<i64>),
}

impl IfMatch {
    /// As a call says it.
    pub fn of_call(version: Option<i64>) -> Self {
        version.map_or(Self::Any, |version| Self::OneOf(vec![version]))
    }

    /// As a client says it. Tags are compared strongly: a weak one matches nothing.
    fn of_headers(headers: &HeaderMap) -> Self {
        match Tags::of(headers, &header::IF_MATCH) {
            None | Some(Tags::Every) => Self::Any,
            Some(Tags::These(tags)) => {
                Self::OneOf(tags.into_iter().filter(|tag| !tag.weak).map(|tag| tag.version).collect())
            }
        }
    }

    /// The versions that will do, if not all will.
    pub fn versions(&self) -> Option<&[i64]> {
        match self {
            Self::Any => None,
            Self::OneOf(versions) => Some(versions),
        }
    }

    /// # Errors
    /// 412 when this is another version.
    pub fn check(&self, current: i64) -> Result<(), Error> {
        match self.versions() {
            Some(versions) if !versions.contains(&current) => Err(Self::mismatch(current)),
            _ => Ok(()),
        }
    }

    /// 412: something else is there than what the caller has seen.
    pub fn mismatch(current: i64) -> Error {
        Error::new(
            Kind::VersionMismatch,
            format!(
                "The version is {current} now, and If-Match asks for another one. Read what is there, and send the \
                 change again with `If-Match: \"{current}\"` if it still makes sense."
            ),
        )
        .with("current_version", json!(current))
    }
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of_headers(&parts.headers))
    }
}

/// Which versions a client has already, as an extractor: `If-None-Match`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IfNoneMatch(Option<Tags>);

impl IfNoneMatch {
    fn of_headers(headers: &HeaderMap) -> Self {
        Self(Tags::of(headers, &header::IF_NONE_MATCH))
    }

    /// The answer that shows what is at this version: 304 when the client has it already. Tags are compared weakly.
    pub fn answer(&self, version: i64, answer: impl FnOnce() -> Response) -> Response {
        let known = match &self.0 {
            None => false,
            Some(Tags::Every) => true,
            Some(Tags::These(tags)) => tags.iter().any(|tag| tag.version == version),
        };
        with_etag(version, if known { StatusCode::NOT_MODIFIED.into_response() } else { answer() })
    }
}

impl<S: Sync> FromRequestParts<S> for IfNoneMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of_headers(&parts.headers))
    }
}

/// An answer that shows what is at this version: with a strong `ETag`.
pub fn with_etag(version: i64, mut response: Response) -> Response {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// What a client lists of tags.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    /// `*`
    Every,
    /// Those of them that a version of ours may have.
    These(Vec<Tag>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tag {
    weak: bool,
    version: i64,
}

impl Tags {
    /// The tags of all lines of a header; `None` when there is none.
    fn of(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let lines: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
        // Several lines are one list (RFC 9110, section 5.3).
        (!lines.is_empty()).then(|| Self::parse(&lines.join(&b',')))
    }

    fn parse(list: &[u8]) -> Self {
        if list.trim_ascii() == b"*" {
            return Self::Every;
        }
        // A comma within quotes is a part of its tag. A quote that is never closed takes the rest of the list with
        // it: no change is applied on a guess.
        let mut quoted = false;
        let elements = list.split(|&byte| {
            quoted ^= byte == b'"';
            byte == b',' && !quoted
        });
        Self::These(elements.filter_map(Tag::parse).collect())
    }
}

impl Tag {
    /// `None`: no version of ours has this tag, or it is none.
    fn parse(element: &[u8]) -> Option<Self> {
        let element = element.trim_ascii();
        let opaque = element.strip_prefix(b"W/");
        let weak = opaque.is_some();
        let text = opaque.unwrap_or(element).strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        let text = std::str::from_utf8(text).ok()?;
        let version = text.parse().ok()?;
        // Tags are compared as text: "01" and "+1" are not "1".
        (format!("{version}") == text).then_some(Self { weak, version })
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
    fn a_mismatch_says_what_is_there() {
        let error = IfMatch::of_call(Some(3)).check(5).unwrap_err();
        assert_eq!(error.kind(), Kind::VersionMismatch);
        assert_eq!(error.member("current_version"), Some(&json!(5)));
        assert!(error.to_string().contains("`If-Match: \"5\"`"), "{error}");
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
        fn arbitrary_bytes_never_panic_and_match_only_what_is_written_in_them(
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
