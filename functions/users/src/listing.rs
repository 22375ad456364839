//! Filters of the list of users, parsed from REST or gRPC.

use proto::users::v1 as wire;
use shared::auth::Role;
use shared::error::Error;
use shared::http::routes::{Parameter, ParameterValue};
use shared::input::query::{self, Query};

use crate::limits::MAX_EMAIL;
use crate::user::{Email, Status};

/// Filters of `GET /users`.
pub const PARAMETERS: &[Parameter] = &[
    Parameter::new(
        "role",
        ParameterValue::OneOf(|| Role::ALL.map(Role::name).to_vec()),
        "Users of this role.",
    ),
    Parameter::new(
        "status",
        ParameterValue::OneOf(|| Status::ALL.map(Status::name).to_vec()),
        "Users of this status.",
    ),
    Parameter::new(
        "email",
        ParameterValue::Pattern { pattern: Email::pattern, length: (None, Some(MAX_EMAIL)) },
        "The user with this e-mail address, in any case.",
    ),
];

/// Filters of a list of users, newest first.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Users with this role.
    pub role: Option<Role>,
    /// Users in this status.
    pub status: Option<Status>,
    /// The user with this e-mail address, in any case, if any.
    pub email: Option<Email>,
}

impl Listing {
    /// Parses the query string of `GET /users`.
    ///
    /// # Errors
    /// 400 for an invalid parameter.
    pub fn from_query(query: &Query) -> Result<Self, Error> {
        Ok(Self {
            role: query.parse_with("role", Role::parse)?,
            status: query.parse_with("status", Status::parse)?,
            email: query.parse_with("email", |text| Email::parse(text.to_owned()))?,
        })
    }

    /// Parses a gRPC request.
    ///
    /// # Errors
    /// 400 for an invalid field.
    pub fn from_message(message: wire::ListUsersRequest) -> Result<Self, Error> {
        Ok(Self {
            role: query::optional("role", message.role, |text| Role::parse(&text))?,
            status: query::optional("status", message.status, |text| Status::parse(&text))?,
            email: query::optional("email", message.email, Email::parse)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::LIST_USERS;

    #[test]
    fn an_invalid_parameter_is_explained() {
        for (bad, expected) in [
            ("role=root", "`role` must be one of customer, staff, admin."),
            ("status=deleted", "`status` must be one of active, disabled."),
            ("email=ada", "`email` must be an e-mail address"),
        ] {
            let query = Query::parse(Some(bad), &LIST_USERS.query_names()).unwrap();
            let error = Listing::from_query(&query).unwrap_err().detail().to_owned();
            assert!(error.contains(expected), "{bad}: {error}");
        }
    }
}
