//! Revocations in MongoDB, and the authority that a write relies on.
//!
//! Access tokens are verified without a query, so what ends them is published as a list. Each kind of revocation
//! has a bounded list of its own: no kind takes the place of another. Changes of authority do not rely on the
//! list. They check the caller's own document in the transaction that makes the change.

use futures::TryStreamExt as _;
use mongodb::ClientSession;
use mongodb::bson::{self, Bson, Document, doc};
use shared::auth::revocation::{Cutoffs, Revoked};
use shared::auth::{Epoch, Role, SessionId, TokenOrigin};
use shared::error::Error;
use shared::mongo::fenced::FencedCollection;
use shared::mongo::{self, Index, unreadable};
use shared::values::clock::Timestamp;
use shared::values::ids::UserId;

use super::{DELETED, StoredUser, UserStore};
use crate::user::Status;

/// Maximum number of users of one kind in a revocation list.
pub const MAX_REVOKED: usize = 5_000;

/// Maximum number of deleted customers in a revocation list. Each must have signed up before.
pub const MAX_DELETED: usize = 20_000;

/// Index of revocations by kind. The earlier one, by time alone, is what an earlier build reads.
pub(super) fn indexes() -> [Index; 2] {
    let revoked = doc! { "revoked_at": { "$exists": true } };
    [
        Index::plain("revoked", doc! { "revoked_at": -1 }).only(revoked.clone()),
        Index::plain("revoked_by_kind", doc! { "was_staff": 1, "status": 1, "revoked_at": -1 }).only(revoked),
    ]
}

/// Identity of a caller whose authority a change relies on.
#[derive(Clone, Copy, Debug)]
pub struct Authority {
    user: UserId,
    role: Role,
    token: Option<TokenOrigin>,
}

impl Authority {
    /// Creates the authority of a user of this role, with the origin of the access token if there is one.
    pub fn new(user: UserId, role: Role, token: Option<TokenOrigin>) -> Self {
        Self { user, role, token }
    }

    /// User who has the authority.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// Session of the access token, if it names one.
    pub fn session(&self) -> Option<SessionId> {
        self.token?.session
    }

    /// Returns true if the user as stored has the authority still, apart from the session.
    pub fn is_held_by(&self, stored: &StoredUser) -> bool {
        let user = &stored.user;
        user.id == self.user
            && user.role == self.role
            && user.status == Status::Active
            && self.token.is_none_or(|token| token.epoch == stored.epoch)
    }

    fn filter(&self) -> Document {
        let mut filter = doc! {
            "_id": mongo::uuid(self.user), "role": self.role.name(), "status": Status::Active.name(),
        };
        match self.token.map(|token| token.epoch) {
            None => {}
            // A user whose sessions were never ended has no epoch.
            Some(Epoch(0)) => drop(filter.insert("epoch", doc! { "$in": [0_i64, bson::Bson::Null] })),
            Some(Epoch(epoch)) => drop(filter.insert("epoch", epoch)),
        }
        filter
    }
}

impl UserStore {
    /// Reads the revocations since a time, the latest first. If there are too many of staff or of customers, the
    /// rest is covered by the time of its latest one. Deleted customers and ended sessions beyond their limits
    /// are left out instead: anybody can make them in any number, and nobody else may notice.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn revoked_since(&self, since: Timestamp) -> Result<Revoked, Error> {
        let living = doc! { "$in": Status::ALL.map(Status::name).to_vec() };
        let never = bson::Bson::Null;
        let everybody = doc! { "$in": [Status::Active.name(), Status::Disabled.name(), DELETED] };
        let (staff, customers, deleted, sessions) = futures::try_join!(
            self.revoked(doc! { "was_staff": true, "status": everybody }, since, MAX_REVOKED),
            self.revoked(doc! { "was_staff": &never, "status": living }, since, MAX_REVOKED),
            self.revoked(doc! { "was_staff": &never, "status": DELETED }, since, MAX_DELETED),
            self.sessions().ended_since(since),
        )?;
        let cutoffs = Cutoffs { customers: customers.beyond, staff: staff.beyond.max(sessions.staff_beyond) };
        if deleted.beyond.is_some() || sessions.customers_beyond {
            tracing::warn!(
                "too many customers were deleted or signed out: the tokens of some live until they expire"
            );
        }
        let users = [staff.users, customers.users, deleted.users].into_iter().flatten();
        Ok(Revoked::new(users).with_sessions(sessions.ids).with_cutoffs(cutoffs))
    }

    async fn revoked(&self, kind: Document, since: Timestamp, most: usize) -> Result<RevokedUsers, Error> {
        let mut filter = kind;
        filter.insert("revoked_at", doc! { "$gt": mongo::date(since) });
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let documents: FencedCollection<Document> = self.users.clone_with_type();
        let mut documents: Vec<Document> = documents
            .find(filter)
            .projection(doc! { "epoch": 1, "revoked_at": 1 })
            .sort(doc! { "revoked_at": -1 })
            .limit(limit.saturating_add(1))
            .await?
            .try_collect()
            .await?;
        let left_out = documents.drain(most.min(documents.len())..).next();
        // The query matches dates alone.
        let beyond = left_out.and_then(|latest| latest.get_datetime("revoked_at").ok().copied());
        let users = documents.iter().filter_map(|document| {
            let id = unreadable::id_of(document).map(UserId::from_uuid)?;
            // Without a readable epoch no token of the user is good.
            let epoch = match document.get("epoch") {
                Some(Bson::Int64(epoch)) => *epoch,
                Some(Bson::Int32(epoch)) => i64::from(*epoch),
                _ => i64::MAX,
            };
            Some((id, Epoch(epoch)))
        });
        Ok(RevokedUsers { users: users.collect(), beyond: beyond.map(mongo::timestamp) })
    }

    /// Raises the epoch of a user, as long as nothing of the user's authority has changed. So all sessions end,
    /// and their access tokens take one place in the revocation list. True if it was raised with this.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn raise_epoch(&self, stored: &StoredUser, now: Timestamp) -> Result<bool, Error> {
        let StoredUser { user, hash, epoch } = stored;
        let origin = TokenOrigin { epoch: *epoch, session: None };
        let mut same = Authority::new(user.id, user.role, Some(origin)).filter();
        same.insert("password_hash", hash.as_str());
        let mut set = doc! { "revoked_at": mongo::date(now) };
        if user.role != Role::Customer {
            set.insert("was_staff", true);
        }
        let write = self.users.update_one(same, doc! { "$set": set, "$inc": { "epoch": 1_i64 } });
        Ok(mongo::bounded_write(write).await?.matched_count == 1)
    }

    /// Confirms in a transaction that a caller has the authority still, and keeps it from ending before the
    /// commit: the write conflicts with every write that ends it.
    ///
    /// # Errors
    /// The error of the transaction.
    pub(super) async fn exercise(
        &self,
        session: &mut ClientSession,
        authority: Option<Authority>,
    ) -> mongodb::error::Result<bool> {
        let Some(authority) = authority else { return Ok(true) };
        let used = doc! { "$inc": { "authority_uses": 1_i64 } };
        let result = self.users.update_one(authority.filter(), used).session(&mut *session).await?;
        if result.matched_count == 0 {
            return Ok(false);
        }
        match authority.session() {
            None => Ok(true),
            Some(id) => Ok(!self.sessions().has_ended_with(session, authority.user, id).await?),
        }
    }
}

/// Revoked users of one kind, and the time of the latest one that is not listed.
struct RevokedUsers {
    users: Vec<(UserId, Epoch)>,
    beyond: Option<Timestamp>,
}
