//! Whose access tokens are no longer good, though a key verifies them.

use std::collections::HashMap;

use super::tokens::{ACCESS_TOKEN_LIFETIME, Epoch};
use crate::values::clock::Timestamp;
use crate::values::ids::UserId;

/// Whose sessions have ended, for as long as tokens of them may be about.
#[derive(Clone, Debug, Default)]
pub struct Revoked {
    users: HashMap<UserId, Epoch>,
    everyone: Option<Timestamp>,
}

impl Revoked {
    /// Of these users only tokens of this epoch or a later one are good; of all users only those that were issued
    /// after `everyone`: when more were revoked than can be told one by one, all must sign in again, or refresh.
    pub fn new(users: impl IntoIterator<Item = (UserId, Epoch)>, everyone: Option<Timestamp>) -> Self {
        Self { users: users.into_iter().collect(), everyone }
    }

    /// The users, and the first epoch of theirs that is good.
    pub fn users(&self) -> impl Iterator<Item = (UserId, Epoch)> {
        self.users.iter().map(|(user, epoch)| (*user, *epoch))
    }

    /// Up to when tokens of all users were revoked, if they were.
    pub fn everyone(&self) -> Option<Timestamp> {
        self.everyone
    }

    /// Whether a token of this user and epoch, issued in this second, is no longer good.
    pub(super) fn includes(&self, user: UserId, epoch: Epoch, issued_at: i64) -> bool {
        self.users.get(&user).is_some_and(|first_good| epoch < *first_good)
            || self.everyone.is_some_and(|everyone| issued_at <= everyone.seconds())
    }
}

/// How long a revocation is told: the life of a token, and what clocks may differ.
pub const REVOCATION_TTL: std::time::Duration =
    std::time::Duration::from_secs(ACCESS_TOKEN_LIFETIME.as_secs() + 5 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_refused_by_its_epoch_and_everyones_by_its_time() {
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
