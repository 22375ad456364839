//! Who is calling, and who may: roles, callers and the access of a route.
//!
//! Tokens tell who is calling: [`tokens`] signs them, [`verifier`] reads them, [`revocation`] lists users
//! whose tokens were revoked. [`jwks_client`] fetches the public keys.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind};
use crate::values::ids::UserId;

pub mod jwks_client;
pub mod revocation;
pub mod tokens;
pub mod verifier;

pub use revocation::Revoked;
pub use tokens::{ACCESS_TOKEN_LIFETIME, Epoch, PublicKey, Signer};
pub use verifier::{KeySource, TrustedKeys, Verifier};

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Orders for themselves.
    Customer,
    /// Runs the shop.
    Staff,
    /// Runs the shop, and its people.
    Admin,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 3] = [Self::Customer, Self::Staff, Self::Admin];

    /// The name in JSON, tokens and the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Staff => "staff",
            Self::Admin => "admin",
        }
    }

    /// A rule for [`crate::input::validation::ValidationErrors`].
    ///
    /// # Errors
    /// Which roles there are.
    pub fn parse(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|role| role.name() == name)
            .ok_or_else(|| "must be one of customer, staff, admin".to_owned())
    }
}

/// Who is calling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A caller without an access token.
    Anonymous,
    /// A user who has signed in.
    User {
        /// Who it is.
        id: UserId,
        /// What they may do, as of when they signed in.
        role: Role,
    },
    /// Another function, for itself.
    System,
}

impl Caller {
    /// Whether the caller runs the shop.
    pub fn is_staff(self) -> bool {
        match self {
            Self::User { role, .. } => matches!(role, Role::Staff | Role::Admin),
            Self::System => true,
            Self::Anonymous => false,
        }
    }

    /// Whether the caller runs the shop's people.
    pub fn is_admin(self) -> bool {
        matches!(self, Self::System | Self::User { role: Role::Admin, .. })
    }

    /// # Errors
    /// 403 unless it is another function, for itself.
    pub fn require_system(self) -> Result<(), Error> {
        if self == Self::System { Ok(()) } else { Err(Error::forbidden("Only other functions may do this.")) }
    }

    /// Which user it is, if any.
    pub fn user_id(self) -> Option<UserId> {
        match self {
            Self::User { id, .. } => Some(id),
            Self::Anonymous | Self::System => None,
        }
    }

    /// # Errors
    /// 401 unless a user has signed in.
    pub fn signed_in(self) -> Result<UserId, Error> {
        self.user_id().ok_or_else(|| {
            Error::new(Kind::Unauthenticated, "Send `Authorization: Bearer` with an access token, which POST /auth gives for an e-mail address and a password.")
        })
    }
}

impl std::fmt::Display for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anyone"),
            Self::User { id, .. } => id.fmt(f),
            Self::System => f.write_str("system"),
        }
    }
}

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Anyone,
    /// Every user who has signed in.
    SignedIn,
    /// Staff and admins.
    Staff,
    /// Admins alone.
    Admin,
}

impl Access {
    /// # Errors
    /// 401 without a token, 403 for another role.
    pub fn check(self, caller: Caller) -> Result<(), Error> {
        match self {
            Self::Anyone => Ok(()),
            Self::SignedIn => caller.signed_in().map(|_| ()),
            Self::Staff => {
                if caller == Caller::Anonymous {
                    caller.signed_in()?;
                }
                if caller.is_staff() { Ok(()) } else { Err(only("staff and admins", caller)) }
            }
            Self::Admin => {
                if caller == Caller::Anonymous {
                    caller.signed_in()?;
                }
                if caller.is_admin() { Ok(()) } else { Err(only("admins", caller)) }
            }
        }
    }
}

fn only(who: &str, caller: Caller) -> Error {
    Error::forbidden(match caller {
        Caller::User { role, .. } => {
            format!("Only {who} may do this, and you are signed in as {}.", role.name())
        }
        Caller::Anonymous | Caller::System => format!("Only {who} may do this."),
    })
}
