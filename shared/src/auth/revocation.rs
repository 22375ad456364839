//! Revocation list: users whose access tokens are refused although a key verifies them.

use std::collections::HashMap;

use super::tokens::{ACCESS_TOKEN_LIFETIME, Epoch};
use crate::values::clock::Timestamp;
use crate::values::ids::UserId;

/// Users whose sessions have ended, kept for as long as their access tokens could still be valid.
#[derive(Clone, Debug, Default)]
pub struct Revoked {
    users: HashMap<UserId, Epoch>,
    everyone: Option<Timestamp>,
}

impl Revoked {
    /// Creates a list. For each of `users`, tokens of an epoch before the given one are refused. With
    /// `everyone`, all tokens issued up to that time are refused. It is set if there are too many revocations
    /// to list. All users must then sign in again or refresh.
    pub fn new(users: impl IntoIterator<Item = (UserId, Epoch)>, everyone: Option<Timestamp>) -> Self {
        Self { users: users.into_iter().collect(), everyone }
    }

    /// Users with their first valid epoch.
    pub fn users(&self) -> impl Iterator<Item = (UserId, Epoch)> {
        self.users.iter().map(|(user, epoch)| (*user, *epoch))
    }

    /// Time up to which tokens of all users were revoked, if any.
    pub fn everyone(&self) -> Option<Timestamp> {
        self.everyone
    }

    /// Returns true if a token of this user and epoch, issued in this second (since 1970), was revoked.
    pub(super) fn includes(&self, user: UserId, epoch: Epoch, issued_at: i64) -> bool {
        self.users.get(&user).is_some_and(|first_good| epoch < *first_good)
            || self.everyone.is_some_and(|everyone| issued_at <= everyone.seconds())
    }
}

/// Time for which a revocation is listed: the lifetime of a token, and 5 minutes for clock skew.
pub const REVOCATION_TTL: std::time::Duration =
    std::time::Duration::from_secs(ACCESS_TOKEN_LIFETIME.as_secs() + 5 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_revoked_by_epoch_or_by_time_of_issue() {
        let (ada, bob) = (UserId::new(), UserId::new());
        let revoked = Revoked::new([(ada, Epoch(2))], None);
        assert!(revoked.includes(ada, Epoch(1), 1_000));
        assert!(!revoked.includes(ada, Epoch(2), 1_000));
        assert!(!revoked.includes(ada, Epoch(3), 1_000));
        assert!(!revoked.includes(bob, Epoch(0), 1_000));

        let everyone = Revoked::new([(ada, Epoch(2))], Some(Timestamp::from_millis(1_000_001)));
        assert!(everyone.includes(bob, Epoch(0), 1_000));
        assert!(!everyone.includes(bob, Epoch(0), 1_001));
        assert!(everyone.includes(ada, Epoch(1), 1_001));
    }
}
