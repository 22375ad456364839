//! Cause of an error, for the log.

use std::borrow::Cow;

/// Cause of an error in this project's own words.
///
/// Errors of libraries may repeat the data that they failed on: a stored document, a header, a token. So each of
/// them has a conversion of its own, which keeps its kind, and there is none for any error.
#[derive(Clone, Debug)]
pub struct Cause {
    text: Cow<'static, str>,
    database: Option<DatabaseFailure>,
}

/// Kind of a failure of MongoDB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseFailure {
    /// It is away: no connection, no primary, shut down, or the credentials refused.
    Away,
    /// It refuses a document that violates the validation rules.
    Invalid,
    /// It refuses the writes of this build, which is too old.
    Outdated,
    /// Any other.
    Other,
}

impl Cause {
    /// Text for the log.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Failure of the database, if it is one.
    pub fn database(&self) -> Option<DatabaseFailure> {
        self.database
    }

    /// Marks it as a failure of the database.
    pub(crate) fn of_database(self, failure: DatabaseFailure) -> Self {
        Self { database: Some(failure), ..self }
    }
}

impl From<&'static str> for Cause {
    fn from(text: &'static str) -> Self {
        Self { text: Cow::Borrowed(text), database: None }
    }
}

/// The caller puts nothing into the text that came from outside.
impl From<String> for Cause {
    fn from(text: String) -> Self {
        Self { text: Cow::Owned(text), database: None }
    }
}

impl From<super::Error> for Cause {
    fn from(error: super::Error) -> Self {
        match error.causes() {
            "" => error.to_string().into(),
            causes => format!("{error}: {causes}").into(),
        }
    }
}

impl From<tonic::Status> for Cause {
    fn from(status: tonic::Status) -> Self {
        format!("the called function answered {:?}", status.code()).into()
    }
}

impl From<std::io::Error> for Cause {
    fn from(error: std::io::Error) -> Self {
        error.kind().to_string().into()
    }
}

impl From<std::num::TryFromIntError> for Cause {
    fn from(_: std::num::TryFromIntError) -> Self {
        "a number is out of range".into()
    }
}

impl From<serde_json::Error> for Cause {
    fn from(error: serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        format!("JSON: {:?} error at line {line}, column {column}", error.classify()).into()
    }
}

impl From<mongodb::bson::error::Error> for Cause {
    fn from(_: mongodb::bson::error::Error) -> Self {
        "a document has a field that is missing or of another type".into()
    }
}

impl From<type_safe_id::Error> for Cause {
    fn from(_: type_safe_id::Error) -> Self {
        "an ID is malformed, or of another kind".into()
    }
}

impl From<jsonwebtoken::errors::Error> for Cause {
    fn from(_: jsonwebtoken::errors::Error) -> Self {
        "the token, or its key, is not good".into()
    }
}

impl From<tokio::sync::AcquireError> for Cause {
    fn from(_: tokio::sync::AcquireError) -> Self {
        "a semaphore was closed".into()
    }
}

impl From<tokio::task::JoinError> for Cause {
    fn from(error: tokio::task::JoinError) -> Self {
        let ended = if error.is_panic() { "a task panicked" } else { "a task was cancelled" };
        ended.into()
    }
}

impl From<tokio::time::error::Elapsed> for Cause {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        "it took too long".into()
    }
}
