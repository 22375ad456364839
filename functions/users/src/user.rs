//! Users: their invariants and changes. No I/O, no clock.

use shared::auth::Role;
use shared::input::validation::Patch;
use shared::values::address::Address;
use shared::values::clock::Timestamp;
use shared::values::email::Email;
use shared::values::ids::UserId;

use crate::credentials::{Password, PasswordHash};

/// User account.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// User ID.
    pub id: UserId,
    /// E-mail address, unique among users.
    pub email: Email,
    /// Name.
    pub name: String,
    /// Phone number.
    pub phone: Option<String>,
    /// Postal address.
    pub address: Option<Address>,
    /// Role, which decides about permissions.
    pub role: Role,
    /// Status: only active users can sign in.
    pub status: Status,
    /// Version: rises by one with every change.
    pub version: i64,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of the last change.
    pub updated_at: Timestamp,
}

shared::stored_names! {
    /// Status of a user: only active users can sign in.
    pub enum Status ("UserStatus", "Status of a user: only active users can sign in.") {
        /// Can sign in.
        Active = "active",
        /// Cannot sign in, until activated again.
        Disabled = "disabled",
    }
    /// Status of a newer build, by its name. Cannot sign in.
    Unknown
}

/// User to be created.
#[derive(Debug)]
pub struct NewUser {
    /// E-mail address, unique among users.
    pub email: Email,
    /// Password in clear, until it is hashed.
    pub password: Password,
    /// Name.
    pub name: String,
    /// Phone number.
    pub phone: Option<String>,
    /// Postal address.
    pub address: Option<Address>,
    /// Role, which decides about permissions.
    pub role: Role,
}

impl NewUser {
    /// Builds the user at the first version.
    pub fn into_user(self, id: UserId, now: Timestamp) -> User {
        User {
            id,
            email: self.email,
            name: self.name,
            phone: self.phone,
            address: self.address,
            role: self.role,
            status: Status::Active,
            version: 1,
            created_at: now,
            updated_at: now,
        }
    }
}

/// Requested change of a user.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    /// New e-mail address.
    pub email: Option<Email>,
    /// New name.
    pub name: Option<String>,
    /// New phone number, or none.
    pub phone: Patch<String>,
    /// New address, or none.
    pub address: Patch<Address>,
    /// New password.
    pub password: Option<Password>,
    /// Current password, as proof of identity.
    pub current_password: Option<Password>,
    /// New role.
    pub role: Option<Role>,
    /// New status.
    pub status: Option<Status>,
}

impl UserChange {
    /// True if it changes fields that only an admin may change.
    pub fn is_for_admins(&self) -> bool {
        self.role.is_some() || self.status.is_some()
    }
}

impl User {
    /// True for an active admin.
    pub fn is_active_admin(&self) -> bool {
        self.role == Role::Admin && self.status == Status::Active
    }

    /// True for a user who may sign in: active, and in a role that this build knows.
    pub fn may_sign_in(&self) -> bool {
        self.status == Status::Active && !matches!(self.role, Role::Unknown(_))
    }

    /// True if both have the same role and status, so that sessions stay valid.
    pub fn may_the_same_as(&self, other: &Self) -> bool {
        self.role == other.role && self.status == other.status
    }

    /// Applies a change, at the next version. `None` when nothing is different.
    pub fn changed(
        &self,
        change: UserChange,
        new_hash: Option<&PasswordHash>,
        now: Timestamp,
    ) -> Option<Self> {
        let user = Self {
            email: change.email.unwrap_or_else(|| self.email.clone()),
            name: change.name.unwrap_or_else(|| self.name.clone()),
            phone: change.phone.apply(self.phone.clone()),
            address: change.address.apply(self.address.clone()),
            role: change.role.unwrap_or(self.role),
            status: change.status.unwrap_or(self.status),
            ..self.clone()
        };
        if user == *self && new_hash.is_none() {
            return None;
        }
        Some(Self { version: self.version.saturating_add(1), updated_at: now, ..user })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_without_effect_makes_no_version() {
        let user = NewUser {
            email: Email::parse("ada@example.com".to_owned()).unwrap(),
            password: Password::parse("correct horse battery".to_owned()).unwrap(),
            name: "Ada".to_owned(),
            phone: None,
            address: None,
            role: Role::Customer,
        }
        .into_user(UserId::new(), Timestamp::from_millis(1));
        let later = Timestamp::from_millis(2);
        let same = UserChange { name: Some("Ada".to_owned()), phone: Patch::Null, ..UserChange::default() };
        assert_eq!(user.changed(same, None, later), None);
        let other = UserChange { name: Some("Ada L.".to_owned()), ..UserChange::default() };
        let changed = user.changed(other, None, later).unwrap();
        assert_eq!((changed.version, changed.updated_at, changed.name.as_str()), (2, later, "Ada L."));
    }
}
