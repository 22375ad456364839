//! Filters of the list of users, parsed from REST or gRPC.

use proto::users::v1 as wire;
use shared::auth::Role;
use shared::error::Error;
use shared::input::query::{self, Query};

use crate::user::{Email, Status};

/// Query parameters of `GET /users`.
pub const PARAMETERS: [&str; 5] = ["role", "status", "email", "limit", "cursor"];

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

    #[test]
    fn an_invalid_parameter_is_explained() {
        for (bad, expected) in [
            ("role=root", "`role` must be one of customer, staff, admin."),
            ("status=deleted", "`status` must be one of active, disabled."),
            ("email=ada", "`email` must be an e-mail address"),
        ] {
            let query = Query::parse(Some(bad), &PARAMETERS).unwrap();
            let error = Listing::from_query(&query).unwrap_err().to_string();
            assert!(error.contains(expected), "{bad}: {error}");
        }
    }
}
