//! Conversion between [`Error`] and gRPC status: the whole problem travels in the metadata.

use prost::Message;
use proto::common::v1 as wire;
use serde_json::{Map, Value};
use tonic::metadata::MetadataValue;

use super::{Error, Kind};
use crate::input::validation::{FieldError, NamedBy};

/// Metadata entry that carries a [`wire::Problem`] beside a gRPC status.
const PROBLEM_METADATA: &str = "oms-problem-bin";

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        let mut status = Self::from(&error);
        // For the log of the RPC server; the source does not travel.
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
                .errors
                .iter()
                .map(|field| wire::FieldError {
                    pointer: field.pointer.clone(),
                    detail: field.detail.clone(),
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

/// Returns the problem that another function sent beside its status.
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
        errors: problem
            .errors
            .into_iter()
            // Whose names they are is not known here. The callee has logged its own.
            .map(|field| FieldError::new(field.pointer, field.detail, NamedBy::Client))
            .collect(),
        members,
        retry_after: problem.retry_after,
        allow: None,
        // The callee has logged its own cause; this cause names the callee as the origin.
        cause: matches!(kind, Kind::Internal | Kind::Unavailable)
            .then(|| Box::new(format!("the called function answered {:?}", status.code()).into())),
        is_counted: false,
    })
}
