//! What came back, and what a test can ask of it.

use std::collections::BTreeSet;

use docs::problems::{COMMON, ProblemType};
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use shared::http::base_path::BasePath;

/// An answer of the API.
#[derive(Debug)]
pub struct Answer {
    /// Request that it answers, for messages.
    pub request: String,
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; null when there is none.
    pub body: Value,
    /// Base path of the API that it comes from.
    pub base_path: BasePath,
}

impl Answer {
    /// The answer, which must have this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(
            self.status.as_u16(),
            status,
            "{} answered {}: {:#}",
            self.request,
            self.status,
            self.body
        );
        if self.status.is_client_error() || self.status.is_server_error() {
            self.assert_is_problem();
        }
        self
    }

    /// The answer, which must be the problem of this type.
    #[track_caller]
    pub fn problem(self, status: u16, slug: &str) -> Self {
        let answer = self.expect(status);
        let path = answer.base_path.of(&format!("/problems/{slug}"));
        assert_eq!(answer["type"], path, "{}: {:#}", answer.request, answer.body);
        answer
    }

    /// The answer, which must be a 422 that names these places, and no others.
    #[track_caller]
    pub fn faults_at(self, pointers: &[&str]) -> Self {
        let answer = self.problem(422, "validation");
        assert_eq!(answer.pointers(), pointers, "{}: {:#}", answer.request, answer.body);
        answer
    }

    /// The places that a 422 names.
    pub fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().filter_map(|error| error["pointer"].as_str()).collect()
    }

    /// A text in the body that must be there.
    #[track_caller]
    pub fn text(&self, field: &str) -> String {
        match self.body[field].as_str() {
            Some(text) => text.to_owned(),
            None => panic!("{}: no {field} in {:#}", self.request, self.body),
        }
    }

    /// The ID of what was answered.
    #[track_caller]
    pub fn id(&self) -> String {
        self.text("id")
    }

    /// True if it says that the request had been answered before.
    pub fn is_replayed(&self) -> bool {
        self.header("idempotency-replayed") == Some("true")
    }

    /// The elements of a page.
    #[track_caller]
    pub fn data(&self) -> &[Value] {
        match self.body["data"].as_array() {
            Some(data) => data,
            None => panic!("{}: no data in {:#}", self.request, self.body),
        }
    }

    /// A header's text, if it is there.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Every error of ours has this form (RFC 9457), and is as the catalogue of problems tells its type.
    #[track_caller]
    fn assert_is_problem(&self) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.request);
        // An answer to HEAD has no body.
        if self.body.is_null() {
            return;
        }
        for member in ["type", "title", "detail", "instance", "request_id"] {
            assert!(self.body[member].is_string(), "{}: {member} in {:#}", self.request, self.body);
        }
        self.assert_teaches();
        assert_eq!(self.body["status"], self.status.as_u16());
        assert_eq!(self.body["request_id"].as_str(), self.header("x-request-id"));
        assert_eq!(self.header("www-authenticate").is_some(), self.status == 401);
        assert_eq!(self.header("retry-after").is_some(), self.status == 503 || self.status == 429);

        let path = self.body["type"].as_str().and_then(|path| self.base_path.strip(path));
        let slug = path.and_then(|path| path.strip_prefix("/problems/"));
        let Some(told) = slug.and_then(|slug| ProblemType::named(slug, &self.base_path)) else {
            panic!("{}: the catalogue does not have {:#}", self.request, self.body);
        };
        assert_eq!((&self.body["title"], &self.body["status"]), (&told.title.into(), &told.status.into()));
        let own = told.members.iter().map(|member| member.name).filter(|name| !name.contains('['));
        let expected: BTreeSet<&str> = COMMON.iter().map(|member| member.name).chain(own).collect();
        let members: BTreeSet<&str> =
            self.body.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        assert_eq!(members, expected, "{}: {:#}", self.request, self.body);
        for header in told.headers {
            assert!(self.header(header.name).is_some(), "{}: no {}", self.request, header.name);
        }
    }
}

impl Answer {
    /// What every message to a user is held to: whole sentences in the words of the API, a place for each fault, and
    /// nothing of what is behind it.
    #[track_caller]
    fn assert_teaches(&self) {
        let detail = self.body["detail"].as_str().unwrap_or_default();
        let first = detail.chars().next().unwrap_or(' ');
        let faults = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        // With one fault the sentence begins with its place, as a pointer.
        let begins = first.is_uppercase() || first.is_numeric() || first == '`' || first == '/';
        assert!(begins && detail.ends_with('.'), "{}: no sentence: {detail}", self.request);
        assert!(!detail.ends_with(".."), "{}: {detail}", self.request);
        for fault in faults {
            let (pointer, detail) = (&fault["pointer"], fault["detail"].as_str().unwrap_or_default());
            let pointer = pointer.as_str().unwrap_or("none");
            assert!(pointer.is_empty() || pointer.starts_with('/'), "{}: {fault}", self.request);
            // Reads on from the place, as in "must be 1 to 10000", and tells what is allowed where values are wrong.
            let verb = detail.split([' ', ',']).next().unwrap_or_default();
            let verbs = ["must", "is", "has", "cannot", "belongs", "stands", "names", "would"];
            assert!(verbs.contains(&verb) && !detail.ends_with('.'), "{}: {fault}", self.request);
        }
        // Pointers have what the client sent, and so have messages in quotes.
        let texts = faults.iter().filter_map(|fault| fault["detail"].as_str());
        let own = detail.split('"').step_by(2).filter(|_| faults.is_empty());
        for said in texts.chain(own).map(str::to_lowercase) {
            for word in INNER_WORDS {
                assert!(!said.contains(word), "{}: {word:?} is in {said:?}", self.request);
            }
        }
    }
}

/// Words of Rust, of its libraries and of the database, in lower case: no message may have one of them.
const INNER_WORDS: [&str; 24] = [
    "expected struct",
    "expected a map",
    "expected map",
    "expected i64",
    "expected u64",
    "expected ident",
    "sequence",
    "i64",
    "deserialize",
    "serde",
    "option<",
    "none(",
    "some(",
    "panicked",
    "unwrap",
    "bson",
    "mongo",
    "objectid",
    "$set",
    "e11000",
    "dup key",
    "collection",
    "src/",
    "127.0.0.1",
];

impl std::ops::Index<&str> for Answer {
    type Output = Value;

    fn index(&self, field: &str) -> &Value {
        &self.body[field]
    }
}
