//! What may be asked of the list of users, over REST or gRPC, and the checks of it.

use proto::users::v1 as wire;
use shared::auth::Role;
use shared::error::Error;
use shared::input::query::{self, Query};

use crate::user::{Email, Status};

/// The parameters of `GET /users`.
pub const PARAMETERS: [&str; 5] = ["role", "status", "email", "limit", "cursor"];

/// Which users, newest first.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// With this role.
    pub role: Option<Role>,
    /// Of this status.
    pub status: Option<Status>,
    /// With this e-mail address, in any case: one, if any.
    pub email: Option<Email>,
}

impl Listing {
    /// # Errors
    /// 400 for a parameter that does not say what it may.
    pub fn from_query(query: &Query) -> Result<Self, Error> {
        Ok(Self {
            role: query.parse_with("role", Role::parse)?,
            status: query.parse_with("status", Status::parse)?,
            email: query.parse_with("email", |text| Email::parse(text.to_owned()))?,
        })
    }

    /// # Errors
    /// 400 for a field that does not say what it may.
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
    fn what_a_parameter_may_say_is_told() {
        for (bad, told) in [
            ("role=root", "`role` must be one of customer, staff, admin."),
            ("status=deleted", "`status` must be one of active, disabled."),
            ("email=ada", "`email` must be an e-mail address"),
        ] {
            let query = Query::parse(Some(bad), &PARAMETERS).unwrap();
            let error = Listing::from_query(&query).unwrap_err().to_string();
            assert!(error.contains(told), "{bad}: {error}");
        }
    }
}
