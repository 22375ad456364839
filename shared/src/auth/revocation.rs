//! Revocation list: users and sessions whose access tokens are refused although a key verifies them.

use std::collections::{HashMap, HashSet};

use super::Role;
use super::tokens::{ACCESS_TOKEN_LIFETIME, Epoch, SessionId, TokenOrigin};
use crate::values::clock::Timestamp;
use crate::values::ids::UserId;

/// Users and sessions that have ended, kept for as long as their access tokens could still be valid.
#[derive(Clone, Debug, Default)]
pub struct Revoked {
    users: HashMap<UserId, Epoch>,
    sessions: HashSet<SessionId>,
    cutoffs: Cutoffs,
}

/// Times up to which all access tokens of a kind of user are refused. One is set if there are too many
/// revocations of its kind to list. Users of that kind must then refresh; no other user notices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cutoffs {
    /// Tokens of customers.
    pub customers: Option<Timestamp>,
    /// Tokens of staff and admins.
    pub staff: Option<Timestamp>,
}

impl Cutoffs {
    fn of(self, role: Role) -> Option<Timestamp> {
        match role {
            Role::Customer => self.customers,
            Role::Staff | Role::Admin | Role::Unknown(_) => self.staff,
        }
    }
}

impl Revoked {
    /// Creates a list. For each of `users`, tokens of an epoch before the given one are refused.
    pub fn new(users: impl IntoIterator<Item = (UserId, Epoch)>) -> Self {
        Self { users: users.into_iter().collect(), ..Self::default() }
    }

    /// Adds sessions that have ended.
    pub fn with_sessions(self, sessions: impl IntoIterator<Item = SessionId>) -> Self {
        Self { sessions: sessions.into_iter().collect(), ..self }
    }

    /// Sets the times up to which tokens are refused unlisted.
    pub fn with_cutoffs(self, cutoffs: Cutoffs) -> Self {
        Self { cutoffs, ..self }
    }

    /// Users with their first valid epoch.
    pub fn users(&self) -> impl Iterator<Item = (UserId, Epoch)> {
        self.users.iter().map(|(user, epoch)| (*user, *epoch))
    }

    /// Sessions that have ended.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.sessions.iter().copied()
    }

    /// Times up to which tokens are refused unlisted.
    pub fn cutoffs(&self) -> Cutoffs {
        self.cutoffs
    }

    /// Returns true if a token of this user, role and origin, issued in this second (since 1970), was revoked.
    pub(super) fn includes(&self, user: UserId, role: Role, origin: TokenOrigin, issued_at: i64) -> bool {
        self.users.get(&user).is_some_and(|first_good| origin.epoch < *first_good)
            || origin.session.is_some_and(|session| self.sessions.contains(&session))
            || self.cutoffs.of(role).is_some_and(|cutoff| issued_at <= cutoff.seconds())
    }
}

/// Time for which a revocation is listed: the lifetime of a token, and 5 minutes for clock skew.
pub const REVOCATION_TTL: std::time::Duration =
    std::time::Duration::from_secs(ACCESS_TOKEN_LIFETIME.as_secs() + 5 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(epoch: i64, session: Option<u8>) -> TokenOrigin {
        TokenOrigin { epoch: Epoch(epoch), session: session.map(|byte| SessionId([byte; 16])) }
    }

    #[test]
    fn tokens_are_revoked_by_epoch_session_or_time_of_issue() {
        let (ada, bob) = (UserId::new(), UserId::new());
        let customer = Role::Customer;
        let revoked = Revoked::new([(ada, Epoch(2))]).with_sessions([SessionId([7; 16])]);
        assert!(revoked.includes(ada, customer, origin(1, None), 1_000));
        assert!(!revoked.includes(ada, customer, origin(2, None), 1_000));
        assert!(!revoked.includes(ada, customer, origin(3, None), 1_000));
        assert!(!revoked.includes(bob, customer, origin(0, None), 1_000));
        assert!(revoked.includes(bob, customer, origin(0, Some(7)), 1_000));
        assert!(revoked.includes(ada, customer, origin(1, Some(8)), 1_000));
        assert!(!revoked.includes(bob, customer, origin(0, Some(8)), 1_000));
    }

    #[test]
    fn a_cutoff_of_customers_refuses_no_token_of_staff() {
        let (ada, at) = (UserId::new(), Some(Timestamp::from_millis(1_000_001)));
        let none = origin(1, None);
        for (cutoffs, refused, others) in [
            (Cutoffs { customers: at, staff: None }, vec![Role::Customer], vec![Role::Staff, Role::Admin]),
            (Cutoffs { customers: None, staff: at }, vec![Role::Staff, Role::Admin], vec![Role::Customer]),
        ] {
            let revoked = Revoked::new([(ada, Epoch(2))]).with_cutoffs(cutoffs);
            for role in refused {
                assert!(revoked.includes(UserId::new(), role, none, 1_000));
                assert!(!revoked.includes(UserId::new(), role, none, 1_001));
                assert!(revoked.includes(ada, role, none, 1_001));
            }
            for role in others {
                assert!(!revoked.includes(UserId::new(), role, none, 1_000));
            }
        }
    }
}
