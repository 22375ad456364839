//! Identity and permissions: roles, callers and the access rules of routes.
//!
//! [`tokens`] signs access tokens and [`verifier`] verifies them. [`revocation`] lists users and sessions whose
//! tokens were revoked; [`jwks_client`] fetches the public keys.

use crate::error::{Error, Kind};
use crate::values::ids::UserId;

pub mod jwks_client;
pub mod revocation;
pub mod tokens;
pub mod verifier;

pub use revocation::Revoked;
pub use tokens::{ACCESS_TOKEN_LIFETIME, Epoch, PublicKey, SessionId, Signer, TokenOrigin};
pub use verifier::{Identity, KeySource, TrustedKeys, Verifier, session_ended};

crate::stored_names! {
    /// Role of a user, which decides what the user may do.
    pub enum Role ("Role", "Role of a user, which decides what the user may do.") {
        /// Buys for themselves: works with their own orders only.
        Customer = "customer",
        /// Manages products and all orders.
        Staff = "staff",
        /// Manages products, all orders and users.
        Admin = "admin",
    }
    /// Role of a newer build, by its name. It has no permission: such a user cannot sign in.
    Unknown
}

/// Identity behind a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Caller without an access token.
    Anonymous,
    /// Signed-in user.
    User {
        /// ID of the user.
        id: UserId,
        /// Role at the time of signing in.
        role: Role,
    },
    /// Another function, on its own behalf. It may call the methods that have it as a caller, and has no role.
    System,
}

impl Caller {
    /// Role for the log: `anonymous`, `system`, or the role of the user.
    pub fn role(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::User { role: Role::Unknown(_), .. } => "unknown",
            Self::User { role, .. } => role.name(),
            Self::System => "system",
        }
    }

    /// Returns true for staff and admins.
    pub fn is_staff(self) -> bool {
        matches!(self, Self::User { role: Role::Staff | Role::Admin, .. })
    }

    /// Returns true for admins.
    pub fn is_admin(self) -> bool {
        matches!(self, Self::User { role: Role::Admin, .. })
    }

    /// Requires the caller to be another function.
    ///
    /// # Errors
    /// 403 for every other caller.
    pub fn require_system(self) -> Result<(), Error> {
        if self == Self::System { Ok(()) } else { Err(Error::forbidden("Only other functions may do this.")) }
    }

    /// ID of the user; `None` for anonymous callers and functions.
    pub fn user_id(self) -> Option<UserId> {
        match self {
            Self::User { id, .. } => Some(id),
            Self::Anonymous | Self::System => None,
        }
    }

    /// Requires a signed-in user and returns the ID.
    ///
    /// # Errors
    /// 401 for every other caller.
    pub fn signed_in(self) -> Result<UserId, Error> {
        self.user_id().ok_or_else(|| {
            Error::new(
                Kind::Unauthenticated,
                "Send `Authorization: Bearer <access token>`; `POST /auth` issues access tokens.",
            )
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

/// Access rule of a route: the callers that may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Every caller; tokens are ignored.
    Public,
    /// Every caller; a token that is sent must be valid.
    Anyone,
    /// Every signed-in user.
    SignedIn,
    /// Staff and admins.
    Staff,
    /// Admins only.
    Admin,
}

impl Access {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Public, Self::Anyone, Self::SignedIn, Self::Staff, Self::Admin];

    /// Name in the OpenAPI document, as `x-access`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Anyone => "anyone",
            Self::SignedIn => "signed-in",
            Self::Staff => "staff",
            Self::Admin => "admin",
        }
    }

    /// Checks that the caller has access.
    ///
    /// # Errors
    /// 401 without a token, 403 for another role.
    pub fn check(self, caller: Caller) -> Result<(), Error> {
        match self {
            Self::Public | Self::Anyone => Ok(()),
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
            format!("Only {who} may do this; you are signed in as {}.", role.name())
        }
        Caller::Anonymous | Caller::System => format!("Only {who} may do this."),
    })
}
