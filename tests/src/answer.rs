//! What came back, and what a test can ask of it.

use std::collections::BTreeSet;

use docs::problems::{COMMON, ProblemType};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

/// An answer of the API.
#[derive(Debug)]
pub struct Answer {
    /// Which request it answers, for messages.
    pub request: String,
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; null when there is none.
    pub body: Value,
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
        assert_eq!(answer["type"], format!("/problems/{slug}"), "{}: {:#}", answer.request, answer.body);
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

    /// Whether it says that the request had been answered before.
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
        assert_eq!(self.body["status"], self.status.as_u16());
        assert_eq!(self.body["request_id"].as_str(), self.header("x-request-id"));
        assert_eq!(self.header("www-authenticate").is_some(), self.status == 401);
        assert_eq!(self.header("retry-after").is_some(), self.status == 503 || self.status == 429);

        let slug = self.body["type"].as_str().and_then(|path| path.strip_prefix("/problems/"));
        let Some(told) = slug.and_then(ProblemType::named) else {
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

impl std::ops::Index<&str> for Answer {
    type Output = Value;

    fn index(&self, field: &str) -> &Value {
        &self.body[field]
    }
}
