//! Filters and sort of the list of users, parsed from REST or gRPC.

use proto::users::v1 as wire;
use shared::auth::Role;
use shared::error::Error;
use shared::http::routes::{Parameter, ParameterValue};
use shared::input::page::{Sort, SortType};
use shared::input::query::{self, Query};
use shared::rpc::convert;
use shared::values::clock::Timestamp;

use crate::user::Status;
use shared::values::email::Email;

/// Filters and sort of `GET /users`.
pub const PARAMETERS: &[Parameter] = &[
    Parameter::new(
        "role",
        ParameterValue::SomeOf(|| Role::ALL.map(Role::name).to_vec()),
        "Users in one of these roles.",
    ),
    Parameter::new(
        "status",
        ParameterValue::SomeOf(|| Status::ALL.map(Status::name).to_vec()),
        "Users in one of these statuses.",
    ),
    Parameter::new(
        "email",
        ParameterValue::Pattern { pattern: Email::pattern, length: (None, Some(Email::MAX)) },
        "The user with this e-mail address, in any case.",
    ),
    Parameter::new("updated_from", ParameterValue::Time, "Users last changed at this time or later."),
    Parameter::new("updated_to", ParameterValue::Time, "Users last changed before this time."),
    Parameter::new("sort", ParameterValue::Sort(|| SORTS.map(|(name, _)| name).to_vec()), "By what."),
];

/// Filters and sort of a list of users.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Users in one of these roles.
    pub role: Option<Vec<Role>>,
    /// Users in one of these statuses.
    pub status: Option<Vec<Status>>,
    /// The user with this e-mail address, in any case, if any.
    pub email: Option<Email>,
    /// Users last changed at this time or later.
    pub updated_from: Option<Timestamp>,
    /// Users last changed before this time.
    pub updated_to: Option<Timestamp>,
    /// Sort field and direction.
    pub sort: Sort<SortBy>,
}

/// Sort fields of users.
#[derive(Clone, Copy, Debug, Default)]
pub enum SortBy {
    /// Time of creation.
    #[default]
    CreatedAt,
    /// Time of the last change.
    UpdatedAt,
}

pub(crate) const SORTS: [(&str, Sort<SortBy>); 4] = [
    ("-created_at", Sort::descending(SortBy::CreatedAt)),
    ("created_at", Sort::ascending(SortBy::CreatedAt)),
    ("updated_at", Sort::ascending(SortBy::UpdatedAt)),
    ("-updated_at", Sort::descending(SortBy::UpdatedAt)),
];

impl SortBy {
    /// Type of the field's values.
    pub fn of(self) -> SortType {
        match self {
            Self::CreatedAt | Self::UpdatedAt => SortType::Time,
        }
    }
}

impl Listing {
    /// Parses the query string of `GET /users`.
    ///
    /// # Errors
    /// 400 for an invalid parameter.
    pub fn from_query(query: &Query) -> Result<Self, Error> {
        Ok(Self {
            role: query.parse_with("role", roles)?,
            status: query.parse_with("status", statuses)?,
            email: query.parse_with("email", |text| Email::parse(text.to_owned()))?,
            updated_from: query.parse_with("updated_from", query::time)?,
            updated_to: query.parse_with("updated_to", query::time)?,
            sort: query.parse_with("sort", sort)?.unwrap_or_default(),
        })
    }

    /// Parses a gRPC request.
    ///
    /// # Errors
    /// 400 for an invalid field.
    pub fn from_message(message: wire::ListUsersRequest) -> Result<Self, Error> {
        Ok(Self {
            role: query::optional("role", message.role, |text| roles(&text))?,
            status: query::optional("status", message.status, |text| statuses(&text))?,
            email: query::optional("email", message.email, Email::parse)?,
            updated_from: query::optional("updated_from", message.updated_from, convert::bound)?,
            updated_to: query::optional("updated_to", message.updated_to, convert::bound)?,
            sort: query::optional("sort", message.sort, |text| sort(&text))?.unwrap_or_default(),
        })
    }
}

fn roles(text: &str) -> Result<Vec<Role>, String> {
    query::several(Role::parse)(text)
}

fn statuses(text: &str) -> Result<Vec<Status>, String> {
    query::several(Status::parse)(text)
}

fn sort(name: &str) -> Result<Sort<SortBy>, String> {
    query::one_of(&SORTS, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::LIST_USERS;

    fn listing(query: &str) -> Result<Listing, Error> {
        Listing::from_query(&Query::parse(Some(query), &LIST_USERS.query_names())?)
    }

    #[test]
    fn the_default_is_newest_first() {
        let sorted = |query| {
            let sort = listing(query).unwrap().sort;
            (matches!(sort.by, SortBy::CreatedAt), sort.descending)
        };
        assert_eq!(sorted(""), (true, true));
        assert_eq!(sorted("sort=created_at"), (true, false));
        assert_eq!(sorted("sort=updated_at"), (false, false));
        assert_eq!(sorted("sort=-updated_at"), (false, true));
    }

    #[test]
    fn an_invalid_parameter_is_explained() {
        for (bad, expected) in [
            ("role=root", "`role` must be one of customer, staff, admin."),
            ("status=deleted", "`status` must be one of active, disabled."),
            ("role=staff,root", "`role` must be one of customer, staff, admin."),
            ("status=active,", "`status` must be one of active, disabled."),
            ("email=ada", "`email` must be an e-mail address"),
            ("updated_from=today", "`updated_from` must be a time of RFC 3339"),
            ("updated_to=2026-11-22", "`updated_to` must be a time of RFC 3339"),
            ("sort=name", "`sort` must be one of -created_at, created_at, updated_at, -updated_at."),
        ] {
            let error = listing(bad).unwrap_err().detail().to_owned();
            assert!(error.contains(expected), "{bad}: {error}");
        }
    }

    #[test]
    fn rest_and_grpc_take_the_same() {
        let query = "role=staff,admin,staff&status=disabled,active&sort=updated_at\
                     &updated_from=1970-01-01T00:00:00.0050001Z&updated_to=1970-01-01T00:00:01Z";
        let over_rest = listing(query).unwrap();
        assert_eq!(over_rest.role, Some(vec![Role::Staff, Role::Admin]));
        assert_eq!(over_rest.status, Some(vec![Status::Disabled, Status::Active]));
        assert_eq!(over_rest.updated_from, Some(Timestamp::from_millis(6)));
        assert_eq!(over_rest.updated_to, Some(Timestamp::from_millis(1_000)));
        let message = wire::ListUsersRequest {
            role: Some("staff,admin,staff".to_owned()),
            status: Some("disabled,active".to_owned()),
            sort: Some("updated_at".to_owned()),
            updated_from: Some(proto::Timestamp { seconds: 0, nanos: 5_000_100 }),
            updated_to: Some(proto::Timestamp { seconds: 1, nanos: 0 }),
            ..Default::default()
        };
        let over_grpc = Listing::from_message(message).unwrap();
        assert_eq!(format!("{over_grpc:?}"), format!("{over_rest:?}"));
    }

    #[test]
    fn rest_and_grpc_refuse_the_same() {
        for (bad, query) in [
            (wire::ListUsersRequest { sort: Some("name".to_owned()), ..Default::default() }, "sort=name"),
            (wire::ListUsersRequest { role: Some("staff,".to_owned()), ..Default::default() }, "role=staff,"),
        ] {
            let (over_grpc, over_rest) =
                (Listing::from_message(bad).unwrap_err(), listing(query).unwrap_err());
            assert_eq!(over_grpc.detail(), over_rest.detail());
        }
    }
}
