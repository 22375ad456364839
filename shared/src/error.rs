//! The one error of the house, and the only place that knows status codes.
//!
//! It has two faces: problem+json (RFC 9457) for REST clients, and `tonic::Status` for calls between
//! functions, which carries the whole problem along so that the caller can pass it on. The client sees the
//! kind, a detail and a request ID; the cause stays in the log.

use std::error::Error as StdError;
use std::fmt;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use prost::Message;
use proto::common::v1 as wire;
use serde_json::{Map, Value, json};
use tonic::metadata::MetadataValue;

use crate::faults::Fault;

/// The metadata entry that carries a [`wire::Problem`] beside a gRPC status.
const PROBLEM_METADATA: &str = "oms-problem-bin";

/// The media type of RFC 9457.
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Seconds after which a client may try again when nothing better is known.
const DEFAULT_RETRY_AFTER: u32 = 1;

/// What went wrong, as far as a client can tell errors apart. What each means to clients is in the catalogue of the
/// docs function (`functions/docs/src/problems.rs`), where a new one must be described before anything compiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The bytes are not what HTTP or JSON allow.
    MalformedRequest,
    /// A parameter in the query is unknown, repeated, empty or wrong.
    InvalidQuery,
    /// No token, or a bad one.
    Unauthenticated,
    /// The caller may not do this.
    Forbidden,
    /// There is no such thing, or none that the caller may see.
    NotFound,
    /// The path exists, with other methods.
    MethodNotAllowed,
    /// Another user has this e-mail address.
    EmailTaken,
    /// Another product has this SKU.
    SkuTaken,
    /// More was asked for than is available.
    InsufficientStock,
    /// The stock would fall below what is held for orders.
    StockBelowReserved,
    /// The product is held for as many orders as it can be.
    TooManyHolds,
    /// The order's status does not allow this change of status.
    InvalidTransition,
    /// The order's status does not allow this change.
    OrderNotEditable,
    /// Nobody would be left who can administer.
    LastAdmin,
    /// What the client has seen is not the latest version any more.
    VersionMismatch,
    /// The body is larger than allowed.
    PayloadTooLarge,
    /// The body is not sent as JSON.
    UnsupportedMediaType,
    /// The body is JSON, and says something that is not allowed.
    Validation,
    /// Another request was sent under the same idempotency key.
    IdempotencyKeyReused,
    /// Too often, for now.
    TooManyRequests,
    /// Something that this answer depends on is away; worth another try.
    Unavailable,
    /// A bug of ours.
    Internal,
}

impl Kind {
    /// Every kind, in the order of their status.
    pub const ALL: [Self; 22] = [
        Self::MalformedRequest,
        Self::InvalidQuery,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::EmailTaken,
        Self::SkuTaken,
        Self::InsufficientStock,
        Self::StockBelowReserved,
        Self::TooManyHolds,
        Self::InvalidTransition,
        Self::OrderNotEditable,
        Self::LastAdmin,
        Self::VersionMismatch,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::Validation,
        Self::IdempotencyKeyReused,
        Self::TooManyRequests,
        Self::Internal,
        Self::Unavailable,
    ];

    /// The last segment of the problem's `type`: stable, for programs.
    pub fn slug(self) -> &'static str {
        self.row().0
    }

    /// The problem's `type`: the page that explains it, in the docs function's catalogue.
    pub fn reference(self) -> String {
        format!("/problems/{}", self.slug())
    }

    /// A short summary, the same for every problem of this kind.
    pub fn title(self) -> &'static str {
        self.row().1
    }

    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        self.row().2
    }

    /// The gRPC status code.
    pub fn code(self) -> tonic::Code {
        self.row().3
    }

    fn row(self) -> (&'static str, &'static str, StatusCode, tonic::Code) {
        use tonic::Code;
        match self {
            Self::MalformedRequest => (
                "malformed-request",
                "The request is malformed",
                StatusCode::BAD_REQUEST,
                Code::InvalidArgument,
            ),
            Self::InvalidQuery => {
                ("invalid-query", "The query is not valid", StatusCode::BAD_REQUEST, Code::InvalidArgument)
            }
            Self::Unauthenticated => {
                ("unauthenticated", "Sign in first", StatusCode::UNAUTHORIZED, Code::Unauthenticated)
            }
            Self::Forbidden => {
                ("forbidden", "This is not allowed to you", StatusCode::FORBIDDEN, Code::PermissionDenied)
            }
            Self::NotFound => ("not-found", "There is no such thing", StatusCode::NOT_FOUND, Code::NotFound),
            Self::MethodNotAllowed => (
                "method-not-allowed",
                "The method is not allowed here",
                StatusCode::METHOD_NOT_ALLOWED,
                Code::Unimplemented,
            ),
            Self::EmailTaken => {
                ("email-taken", "The e-mail address is taken", StatusCode::CONFLICT, Code::AlreadyExists)
            }
            Self::SkuTaken => ("sku-taken", "The SKU is taken", StatusCode::CONFLICT, Code::AlreadyExists),
            Self::InsufficientStock => (
                "insufficient-stock",
                "There is not enough stock",
                StatusCode::CONFLICT,
                Code::FailedPrecondition,
            ),
            Self::StockBelowReserved => (
                "stock-below-reserved",
                "The stock would fall below what is reserved",
                StatusCode::CONFLICT,
                Code::FailedPrecondition,
            ),
            Self::TooManyHolds => (
                "too-many-holds",
                "The product is held for too many orders",
                StatusCode::CONFLICT,
                Code::FailedPrecondition,
            ),
            Self::InvalidTransition => (
                "invalid-transition",
                "The order's status cannot change like this",
                StatusCode::CONFLICT,
                Code::FailedPrecondition,
            ),
            Self::OrderNotEditable => (
                "order-not-editable",
                "The order can no longer be changed like this",
                StatusCode::CONFLICT,
                Code::FailedPrecondition,
            ),
            Self::LastAdmin => {
                ("last-admin", "The last admin must stay", StatusCode::CONFLICT, Code::FailedPrecondition)
            }
            Self::VersionMismatch => (
                "version-mismatch",
                "The resource has changed meanwhile",
                StatusCode::PRECONDITION_FAILED,
                Code::FailedPrecondition,
            ),
            Self::PayloadTooLarge => (
                "payload-too-large",
                "The body is too large",
                StatusCode::PAYLOAD_TOO_LARGE,
                Code::ResourceExhausted,
            ),
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                "The body must be JSON",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                Code::InvalidArgument,
            ),
            Self::Validation => (
                "validation",
                "The request is not valid",
                StatusCode::UNPROCESSABLE_ENTITY,
                Code::InvalidArgument,
            ),
            Self::IdempotencyKeyReused => (
                "idempotency-key-reused",
                "The idempotency key was used for another request",
                StatusCode::UNPROCESSABLE_ENTITY,
                Code::InvalidArgument,
            ),
            Self::TooManyRequests => (
                "too-many-requests",
                "Too many requests for now",
                StatusCode::TOO_MANY_REQUESTS,
                Code::ResourceExhausted,
            ),
            Self::Unavailable => {
                ("unavailable", "Try again", StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable)
            }
            Self::Internal => {
                ("internal", "Something went wrong", StatusCode::INTERNAL_SERVER_ERROR, Code::Internal)
            }
        }
    }
}

/// An error that a client is told about.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    detail: String,
    faults: Vec<Fault>,
    members: Map<String, Value>,
    retry_after: Option<u32>,
    allow: Option<HeaderValue>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of this kind; `detail` says what is wrong, where, and what is allowed.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let retry_after = (kind == Kind::Unavailable).then_some(DEFAULT_RETRY_AFTER);
        Self {
            kind,
            detail: detail.into(),
            faults: Vec::new(),
            members: Map::new(),
            retry_after,
            allow: None,
            cause: None,
        }
    }

    /// There is no such thing, or none that the caller may see: both sound the same.
    pub fn not_found(what: &str) -> Self {
        Self::new(Kind::NotFound, format!("There is no such {what}, or none that you may see."))
    }

    /// The caller may not do this.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(Kind::Forbidden, detail)
    }

    /// The body's values are not allowed.
    pub fn validation(faults: Vec<Fault>) -> Self {
        let detail = match faults.as_slice() {
            [only] if only.pointer.is_empty() => format!("The body {}.", only.detail),
            [only] => format!("{} {}.", only.pointer, only.detail),
            several => format!("{} values are not allowed; see errors.", several.len()),
        };
        Self { faults, ..Self::new(Kind::Validation, detail) }
    }

    /// Something that this answer depends on is away.
    pub fn unavailable(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Kind::Unavailable, "A part of the system did not answer in time. Try again after as many seconds as Retry-After says.")
            .caused_by(cause)
    }

    /// A bug of ours.
    pub fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Kind::Internal, "This is a fault of ours; the request ID helps us to find it.")
            .caused_by(cause)
    }

    /// Adds what only the log may say.
    pub fn caused_by(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
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

    /// Tells after how many seconds another try makes sense: the `Retry-After` header (RFC 9110, section 10.2.3).
    pub fn retrying_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What a member of the problem says, if it is there.
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }

    /// The faults of a [`Kind::Validation`].
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The same error with its pointers changed, for a caller whose own request names things otherwise.
    pub fn map_pointers(self, map: impl Fn(&str) -> String) -> Self {
        if self.faults.is_empty() {
            return self;
        }
        let faults: Vec<Fault> =
            self.faults.into_iter().map(|fault| Fault { pointer: map(&fault.pointer), ..fault }).collect();
        let detail = Self::validation(faults.clone()).detail;
        Self { faults, detail, ..self }
    }

    /// The chain of causes, for the log alone.
    pub fn causes(&self) -> String {
        let mut chain = Vec::new();
        let mut next: Option<&dyn StdError> = self.cause.as_deref().map(|cause| cause as &dyn StdError);
        while let Some(cause) = next {
            chain.push(cause.to_string());
            next = cause.source();
        }
        chain.join(": ")
    }

    /// The problem as a REST client reads it: `instance` is the path of the request.
    pub fn to_json(&self, instance: &str, request_id: &str) -> Value {
        let mut body = Map::new();
        body.insert("type".into(), json!(self.kind.reference()));
        body.insert("title".into(), json!(self.kind.title()));
        body.insert("status".into(), json!(self.kind.status().as_u16()));
        body.insert("detail".into(), json!(self.detail));
        body.insert("instance".into(), json!(instance));
        body.insert("request_id".into(), json!(request_id));
        if !self.faults.is_empty() {
            let errors: Vec<Value> = self
                .faults
                .iter()
                .map(|fault| json!({"pointer": fault.pointer, "detail": fault.detail}))
                .collect();
            body.insert("errors".into(), Value::Array(errors));
        }
        body.extend(self.members.clone());
        Value::Object(body)
    }

    /// The answer to a REST client: `instance` is the path of the request.
    pub fn to_problem(&self, instance: &str, request_id: &str) -> Response {
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
        (self.kind.status(), headers, self.to_json(instance, request_id).to_string()).into_response()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.slug(), self.detail)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }
}

/// A handler's error, on its way out: `routes` writes the body, since only it knows path and request ID.
#[derive(Clone)]
pub(crate) struct Unanswered(pub(crate) std::sync::Arc<Error>);

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        response.extensions_mut().insert(Unanswered(std::sync::Arc::new(self)));
        response
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        let mut status = Self::from(&error);
        // For the log of whoever answers with it; it does not travel.
        status.set_source(std::sync::Arc::new(error));
        status
    }
}

impl From<&Error> for tonic::Status {
    fn from(error: &Error) -> Self {
        let problem = wire::Problem {
            r#type: error.kind.slug().to_owned(),
            detail: error.detail.clone(),
            errors: error
                .faults
                .iter()
                .map(|fault| wire::FieldFault {
                    pointer: fault.pointer.clone(),
                    detail: fault.detail.clone(),
                })
                .collect(),
            members: if error.members.is_empty() {
                String::new()
            } else {
                Value::Object(error.members.clone()).to_string()
            },
            retry_after: error.retry_after,
        };
        let mut status = Self::new(error.kind.code(), error.detail.clone());
        status
            .metadata_mut()
            .insert_bin(PROBLEM_METADATA, MetadataValue::from_bytes(&problem.encode_to_vec()));
        status
    }
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Self {
        use tonic::Code;
        if let Some(error) = problem_of(&status) {
            return error;
        }
        match status.code() {
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Aborted
            | Code::ResourceExhausted => Self::unavailable(status),
            _ => Self::internal(status),
        }
    }
}

/// The problem that another function of ours sent beside its status.
fn problem_of(status: &tonic::Status) -> Option<Error> {
    let bytes = status.metadata().get_bin(PROBLEM_METADATA)?.to_bytes().ok()?;
    let problem = wire::Problem::decode(bytes).ok()?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.slug() == problem.r#type)?;
    let members = match serde_json::from_str(&problem.members) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    };
    Some(Error {
        kind,
        detail: problem.detail,
        faults: problem
            .errors
            .into_iter()
            .map(|fault| Fault { pointer: fault.pointer, detail: fault.detail })
            .collect(),
        members,
        retry_after: problem.retry_after,
        allow: None,
        // The callee has logged its own cause; here it is enough to know that it was the callee's.
        cause: matches!(kind, Kind::Internal | Kind::Unavailable)
            .then(|| format!("the called function answered {:?}", status.code()).into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_comes_back_whole_from_a_grpc_status() {
        for kind in Kind::ALL {
            let sent = Error::new(kind, "what is wrong: naïve ☕")
                .with("items", json!([{"requested": 3, "available": 1}]));
            let sent =
                Error { faults: vec![Fault { pointer: "/a".into(), detail: "is bad".into() }], ..sent };
            let received = Error::from(tonic::Status::from(sent));
            assert_eq!(received.kind(), kind);
            assert_eq!(received.detail, "what is wrong: naïve ☕");
            assert_eq!(received.member("items"), Some(&json!([{"requested": 3, "available": 1}])));
            assert_eq!(received.faults().len(), 1);
        }
    }

    #[test]
    fn slugs_are_distinct() {
        let slugs: std::collections::HashSet<_> = Kind::ALL.into_iter().map(Kind::slug).collect();
        assert_eq!(slugs.len(), Kind::ALL.len());
    }

    #[test]
    fn a_foreign_status_is_a_503_when_another_try_may_help_and_else_a_500() {
        assert_eq!(Error::from(tonic::Status::deadline_exceeded("late")).kind(), Kind::Unavailable);
        assert_eq!(Error::from(tonic::Status::unavailable("away")).kind(), Kind::Unavailable);
        assert_eq!(Error::from(tonic::Status::unknown("?")).kind(), Kind::Internal);
    }
}
