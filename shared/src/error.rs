//! Application error; maps to RFC 9457 problem details and to gRPC status.
//!
//! REST clients get problem+json (RFC 9457). Calls between functions get a `tonic::Status` that carries the
//! whole problem, so that the caller can pass it on. Clients see the kind, a detail and a request ID. The log
//! has another text, since the detail may repeat what the client has sent: the kind, the places of invalid
//! values, and a [`Cause`]. Status codes are assigned here and nowhere else.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};
use serde_json::{Map, Value, json};

use crate::http::base_path::BasePath;
use crate::input::validation::{FieldError, NamedBy};

mod cause;
mod grpc;
mod kind;

pub use cause::{Cause, DatabaseFailure};
pub use kind::Kind;

/// Media type of problem details (RFC 9457).
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Most places that a line of the log names.
const MAX_LOGGED_PLACES: usize = 8;

/// Default for `Retry-After`, in seconds.
const DEFAULT_RETRY_AFTER: u32 = 1;

/// Error with a client-visible part and a cause for the log.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    detail: String,
    errors: Vec<FieldError>,
    members: Map<String, Value>,
    retry_after: Option<u32>,
    allow: Option<HeaderValue>,
    /// Boxed, so that results with an error stay small.
    cause: Option<Box<Cause>>,
    /// True: another line of the log counts it.
    is_counted: bool,
}

impl Error {
    /// Creates an error of this kind; `detail` names the problem, its place and what is allowed.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let retry_after = (kind == Kind::Unavailable).then_some(DEFAULT_RETRY_AFTER);
        Self {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            members: Map::new(),
            retry_after,
            allow: None,
            cause: None,
            is_counted: false,
        }
    }

    /// Error for a missing resource, or one the caller may not see. Both read the same, so that existence
    /// does not leak.
    pub fn not_found(resource: &str) -> Self {
        Self::new(Kind::NotFound, format!("{} not found.", capitalized(resource)))
    }

    /// Error for a caller without the permission.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(Kind::Forbidden, detail)
    }

    /// Error for a body with invalid values.
    pub fn validation(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [only] if only.pointer.is_empty() => format!("The body {}.", only.detail),
            [only] => format!("{} {}.", only.pointer, only.detail),
            several => format!("{} values are invalid; see `errors`.", several.len()),
        };
        Self { errors, ..Self::new(Kind::Validation, detail) }
    }

    /// Error for a dependency that is unavailable.
    pub fn unavailable(cause: impl Into<Cause>) -> Self {
        Self::new(
            Kind::Unavailable,
            "A part of the system did not answer in time. Retry after the seconds in `Retry-After`.",
        )
        .caused_by(cause)
    }

    /// Error for a request that finds too many others. The listener counts such requests in its own line of the log.
    pub(crate) fn crowded() -> Self {
        let detail = "Too many connections or requests at once. Retry after the seconds in `Retry-After`.";
        Self { is_counted: true, ..Self::new(Kind::Unavailable, detail) }
    }

    /// True if it needs no line of the log, since another one counts it.
    pub(crate) fn is_counted(&self) -> bool {
        self.is_counted
    }

    /// Error for a bug in this code.
    pub fn internal(cause: impl Into<Cause>) -> Self {
        Self::new(Kind::Internal, "Internal error. Quote the request ID when reporting it.").caused_by(cause)
    }

    /// Error for a caller above a limit of `what`, which may try again after this time.
    pub fn too_many_requests(what: &str, left: Duration) -> Self {
        let seconds = u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1);
        Self::new(Kind::TooManyRequests, format!("{what} Try again in {seconds} s.")).retrying_after(seconds)
    }

    /// Adds a cause, for the log only.
    pub fn caused_by(mut self, cause: impl Into<Cause>) -> Self {
        self.cause = Some(Box::new(cause.into()));
        self
    }

    /// Adds a member to the problem (RFC 9457, section 3.2).
    pub fn with(mut self, member: &str, value: Value) -> Self {
        self.members.insert(member.to_owned(), value);
        self
    }

    /// Adds the `Allow` header that a 405 needs.
    pub fn allowing(mut self, methods: HeaderValue) -> Self {
        self.allow = Some(methods);
        self
    }

    /// Sets the `Retry-After` header (RFC 9110, section 10.2.3), in seconds.
    pub fn retrying_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Kind of the error.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Text for the client.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Value of an extension member of the problem, if present.
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }

    /// Field errors of a [`Kind::Validation`].
    pub fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    /// Returns the same error with mapped pointers, for a caller whose own request names fields differently.
    pub fn map_pointers(self, map: impl Fn(&str) -> String) -> Self {
        if self.errors.is_empty() {
            return self;
        }
        let errors: Vec<FieldError> = self
            .errors
            .into_iter()
            .map(|error| FieldError { pointer: map(&error.pointer), ..error })
            .collect();
        let detail = Self::validation(errors.clone()).detail;
        Self { errors, detail, ..self }
    }

    /// Cause, for the log only; empty if there is none.
    pub fn causes(&self) -> &str {
        self.cause.as_ref().map_or("", |cause| cause.as_str())
    }

    /// Failure of the database that caused it, if one did.
    pub fn database_failure(&self) -> Option<DatabaseFailure> {
        self.cause.as_ref().and_then(|cause| cause.database())
    }

    /// Text for an operator, whose own settings are at fault or who reads the log: the invalid values by name, else
    /// the detail, and the cause.
    pub fn explanation(&self) -> String {
        let message = match self.errors.as_slice() {
            [] => self.detail.clone(),
            [only] if only.pointer.is_empty() => self.detail.clone(),
            errors => {
                // Pointers are for bodies; here they are names of variables.
                let named = |error: &FieldError| {
                    format!("{} {}", error.pointer.trim_start_matches('/'), error.detail)
                };
                errors.iter().map(named).collect::<Vec<_>>().join("; ")
            }
        };
        match self.causes() {
            "" => message,
            causes => format!("{message} ({causes})"),
        }
    }

    /// Problem details as JSON. `instance` is the path of the request, with the base path that `type` gets.
    pub fn to_json(&self, base_path: &BasePath, instance: &str, request_id: &str) -> Value {
        let mut body = Map::new();
        body.insert("type".into(), json!(base_path.of(&self.kind.reference())));
        body.insert("title".into(), json!(self.kind.title()));
        body.insert("status".into(), json!(self.kind.status().as_u16()));
        body.insert("detail".into(), json!(self.detail));
        body.insert("instance".into(), json!(instance));
        body.insert("request_id".into(), json!(request_id));
        if !self.errors.is_empty() {
            let errors: Vec<Value> = self
                .errors
                .iter()
                .map(|error| json!({"pointer": error.pointer, "detail": error.detail}))
                .collect();
            body.insert("errors".into(), Value::Array(errors));
        }
        body.extend(self.members.clone());
        Value::Object(body)
    }

    /// Response to a REST client. `instance` is the path of the request, with the base path that `type` gets.
    pub fn to_problem(&self, base_path: &BasePath, instance: &str, request_id: &str) -> Response {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(methods) = &self.allow {
            headers.insert(header::ALLOW, methods.clone());
        }
        if self.kind == Kind::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let body = self.to_json(base_path, instance, request_id).to_string();
        (self.kind.status(), headers, body).into_response()
    }
}

/// Text for the log: the kind, and the places of invalid values that the code itself has named.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.slug())?;
        let named = self.errors.iter().filter(|error| error.named_by == NamedBy::Code);
        for (place, error) in named.take(MAX_LOGGED_PLACES).enumerate() {
            let between = if place == 0 { " at " } else { ", " };
            let pointer = if error.pointer.is_empty() { "the body" } else { &error.pointer };
            write!(f, "{between}{pointer}")?;
        }
        Ok(())
    }
}

impl StdError for Error {}

/// Error of a handler, as a response extension: `routes` writes the body, since it knows path and request ID.
#[derive(Clone)]
pub(crate) struct ErrorExtension(pub(crate) std::sync::Arc<Error>);

impl IntoResponse for ErrorExtension {
    fn into_response(self) -> Response {
        let mut response = self.0.kind.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        ErrorExtension(std::sync::Arc::new(self)).into_response()
    }
}

/// Capitalises the first letter, for the beginning of a sentence.
pub(crate) fn capitalized(word: &str) -> String {
    let mut characters = word.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_comes_back_whole_from_a_grpc_status() {
        for kind in Kind::ALL {
            let sent = Error::new(kind, "what is wrong: naïve ☕")
                .with("items", json!([{"requested": 3, "available": 1}]));
            let errors = vec![FieldError::new("/a", "is bad", NamedBy::Code)];
            let sent = Error { errors, ..sent };
            let received = Error::from(tonic::Status::from(sent));
            assert_eq!(received.kind(), kind);
            assert_eq!(received.detail, "what is wrong: naïve ☕");
            assert_eq!(received.member("items"), Some(&json!([{"requested": 3, "available": 1}])));
            assert_eq!(received.errors().len(), 1);
        }
    }

    #[test]
    fn the_log_has_the_places_that_the_code_names_and_no_detail() {
        let errors = vec![
            FieldError::new("/items/0/quantity", "must be 1 to 10000; got 4711", NamedBy::Code),
            FieldError::new("/s3cret", "is unknown", NamedBy::Client),
            FieldError::new("", "must have one of two", NamedBy::Code),
        ];
        let error = Error::validation(errors).caused_by("a cause");
        assert_eq!(error.to_string(), "validation at /items/0/quantity, the body");
        assert_eq!(error.causes(), "a cause");
        let error = Error::new(Kind::InvalidQuery, "Unknown parameter `s3cret`.");
        assert_eq!(error.to_string(), "invalid-query");
    }

    #[test]
    fn the_retry_time_is_rounded_up() {
        for (millis, seconds) in [(0, "1 s"), (1, "1 s"), (1_000, "1 s"), (1_001, "2 s"), (900_000, "900 s")]
        {
            let error = Error::too_many_requests("Too many.", Duration::from_millis(millis));
            assert!(error.detail().ends_with(&format!("in {seconds}.")), "{error}");
        }
    }

    #[test]
    fn slugs_are_distinct() {
        let slugs: std::collections::HashSet<_> = Kind::ALL.into_iter().map(Kind::slug).collect();
        assert_eq!(slugs.len(), Kind::ALL.len());
    }

    #[test]
    fn a_foreign_status_is_503_if_a_retry_may_help_else_500() {
        assert_eq!(Error::from(tonic::Status::deadline_exceeded("late")).kind(), Kind::Unavailable);
        assert_eq!(Error::from(tonic::Status::unavailable("away")).kind(), Kind::Unavailable);
        assert_eq!(Error::from(tonic::Status::unknown("?")).kind(), Kind::Internal);
    }
}
