//! Lists of users: the index for each sort.

use mongodb::bson::{Document, RawDocumentBuf, doc};
use shared::auth::Role;
use shared::error::Error;
use shared::input::page::{PageRequest, PageRows, Position};
use shared::mongo::Index;
use shared::mongo::fenced::FencedCollection;
use shared::mongo::keyset::{IndexScan, Lookup, SortKey, times_between};
use shared::mongo::unreadable::readable;

use super::{StoredUser, USERS, UserStore};
use crate::listing::{Listing, SortBy};
use crate::user::{Status, User};

/// Index on the users by the time of their last change.
const LISTED_UPDATED: &str = "listed_updated";

const UPDATED_AT: &str = "updated_at";

/// Indexes for lists, one for each sort. A list without a filter merges six partitions. Deleted users have neither
/// role nor such a status.
pub(super) fn indexes() -> Vec<Index> {
    let latest = |field: &str| doc! { "role": 1, "status": 1, field: -1, "_id": -1 };
    vec![
        Index::plain("listed_newest", latest("created_at")),
        Index::plain(LISTED_UPDATED, latest(UPDATED_AT)),
    ]
}

impl UserStore {
    /// Reads a page of a list.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn list(
        &self,
        listing: &Listing,
        page: &PageRequest,
        after: Option<&Position>,
    ) -> Result<PageRows<User>, Error> {
        let found = match &listing.email {
            Some(email) => self.addressed(&email.key(), listing, after).await?,
            None => {
                let users: FencedCollection<RawDocumentBuf> = self.database.collection(USERS);
                let scan = index_scan(listing);
                let lookup = lookup_beside(&scan);
                scan.page_by(lookup.as_slice(), &users, page, after, Document::new()).await?
            }
        };
        Ok(readable(found, |document| StoredUser::read(document).map(|stored| stored.user)))
    }

    /// Finds the user with an e-mail address, if the other filters match.
    async fn addressed(
        &self,
        key: &str,
        listing: &Listing,
        after: Option<&Position>,
    ) -> Result<PageRows<RawDocumentBuf>, Error> {
        // There is no page after the only one.
        if after.is_some() {
            return Ok(PageRows::nothing());
        }
        let mut filter = doc! { "email_key": key };
        if let Some(roles) = &listing.role {
            let roles: Vec<&str> = roles.iter().map(|role| role.name()).collect();
            filter.insert("role", doc! { "$in": roles });
        }
        if let Some(statuses) = &listing.status {
            let statuses: Vec<&str> = statuses.iter().map(|status| status.name()).collect();
            filter.insert("status", doc! { "$in": statuses });
        }
        let updated = times_between(listing.updated_from, listing.updated_to);
        if !updated.is_empty() {
            filter.insert(UPDATED_AT, updated);
        }
        let users: FencedCollection<RawDocumentBuf> = self.database.collection(USERS);
        let found = users.find_one(filter).await?;
        Ok(PageRows::only(found))
    }
}

/// Builds the index scan of a list.
fn index_scan(listing: &Listing) -> IndexScan {
    let roles = listing.role.as_deref().unwrap_or(&Role::ALL);
    let statuses = listing.status.as_deref().unwrap_or(&Status::ALL);
    let roles = roles.iter().map(|role| role.name().into()).collect();
    let statuses = statuses.iter().map(|status| status.name().into()).collect();
    let updated = times_between(listing.updated_from, listing.updated_to);
    let (field, index, range, filter) = match listing.sort.by {
        SortBy::CreatedAt if updated.is_empty() => {
            ("created_at", "listed_newest", Document::new(), Document::new())
        }
        SortBy::CreatedAt => ("created_at", "listed_newest", Document::new(), doc! { UPDATED_AT: updated }),
        SortBy::UpdatedAt => (UPDATED_AT, LISTED_UPDATED, updated, Document::new()),
    };
    IndexScan {
        index,
        partitions: vec![("role", roles), ("status", statuses)],
        sort_key: SortKey { field, of: listing.sort.by.of(), descending: listing.sort.descending },
        range,
        filter,
    }
}

/// Lookup by the time of the last change, if the list is in another order.
fn lookup_beside(scan: &IndexScan) -> Option<Lookup> {
    let condition = scan.conditions();
    (!scan.filter.is_empty()).then_some(Lookup { index: LISTED_UPDATED, condition })
}
