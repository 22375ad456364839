//! A user: what is always true of one, and what a change makes of one. No I/O, no clock.

use shared::auth::Role;
use shared::input::validation::Patch;
use shared::values::address::Address;
use shared::values::clock::Timestamp;
use shared::values::ids::UserId;

use crate::credentials::{Password, PasswordHash};

/// Somebody who can sign in.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// Who it is.
    pub id: UserId,
    /// Unique among users.
    pub email: Email,
    /// What to call them.
    pub name: String,
    /// How to call them.
    pub phone: Option<String>,
    /// Where they live.
    pub address: Option<Address>,
    /// What they may do.
    pub role: Role,
    /// Whether they may sign in.
    pub status: Status,
    /// Rises by one with every change.
    pub version: i64,
    /// When they came.
    pub created_at: Timestamp,
    /// When they last changed.
    pub updated_at: Timestamp,
}

/// Whether a user may sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// May sign in.
    Active,
    /// May not, for the time being.
    Disabled,
}

impl Status {
    /// All statuses.
    pub const ALL: [Self; 2] = [Self::Active, Self::Disabled];

    /// The name in JSON and the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }

    /// A rule for [`shared::input::validation::ValidationErrors`].
    ///
    /// # Errors
    /// Which statuses there are.
    pub fn parse(name: &str) -> Result<Self, String> {
        match name {
            "active" => Ok(Self::Active),
            "disabled" => Ok(Self::Disabled),
            _ => Err("must be one of active, disabled".to_owned()),
        }
    }
}

/// An e-mail address, as HTML's `input type=email` takes it, of at most 254 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// A rule for [`shared::input::validation::ValidationErrors`].
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: String) -> Result<Self, String> {
        if text.len() <= 254 && is_email(&text) {
            Ok(Self(text))
        } else {
            Err("must be an e-mail address of at most 254 characters, such as ada@example.com".to_owned())
        }
    }

    /// As it was sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What two addresses of one person have in common.
    pub fn key(&self) -> String {
        self.0.to_lowercase()
    }
}

/// <https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address>
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let local_ok = !local.is_empty()
        && local.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte));
    let label_ok = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    local_ok && domain.split('.').all(label_ok)
}

/// A user who is about to be made.
#[derive(Debug)]
pub struct NewUser {
    /// Unique among users.
    pub email: Email,
    /// In clear, until it is hashed.
    pub password: Password,
    /// What to call them.
    pub name: String,
    /// How to call them.
    pub phone: Option<String>,
    /// Where they live.
    pub address: Option<Address>,
    /// What they may do.
    pub role: Role,
}

impl NewUser {
    /// The user at the first version.
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

/// A change of a user.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    /// A new e-mail address.
    pub email: Option<Email>,
    /// A new name.
    pub name: Option<String>,
    /// A new phone number, or none.
    pub phone: Patch<String>,
    /// A new address, or none.
    pub address: Patch<Address>,
    /// A new password.
    pub password: Option<Password>,
    /// The old one, which proves that it is them.
    pub current_password: Option<Password>,
    /// What they may do from now on.
    pub role: Option<Role>,
    /// Whether they may sign in from now on.
    pub status: Option<Status>,
}

impl UserChange {
    /// Whether it touches what an admin alone may change.
    pub fn is_for_admins(&self) -> bool {
        self.role.is_some() || self.status.is_some()
    }
}

impl User {
    /// Whether this is somebody who can administer.
    pub fn is_active_admin(&self) -> bool {
        self.role == Role::Admin && self.status == Status::Active
    }

    /// Whether a session of one is as good for the other.
    pub fn may_the_same_as(&self, other: &Self) -> bool {
        self.role == other.role && self.status == other.status
    }

    /// The user after a change at the next version, or `None` when nothing is different.
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
        Some(Self { version: self.version + 1, updated_at: now, ..user })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e_mail_addresses_are_what_html_takes() {
        for good in ["a@b", "ada@example.com", "a.b+c_d!#$%&'*/=?^`{|}~-@x-y.example", "A@B.C"] {
            assert!(Email::parse(good.to_owned()).is_ok(), "{good}");
        }
        let long = format!("{}@example.com", "a".repeat(250));
        for bad in [
            "", "a", "@b", "a@", "a@b@c", "a b@c", "a@-b", "a@b-", "a@b..c", "ä@b", "a@b\0", "a@b c", "a@.",
            &long,
        ] {
            assert!(Email::parse(bad.to_owned()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_change_that_changes_nothing_makes_no_version() {
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
