//! Lists of users, on one index.

use mongodb::bson::{Document, RawDocumentBuf, doc};
use shared::auth::Role;
use shared::error::Error;
use shared::input::page::{PageRequest, PageRows, Position, SortType};
use shared::mongo::Index;
use shared::mongo::fenced::FencedCollection;
use shared::mongo::keyset::{IndexScan, SortKey};
use shared::mongo::unreadable::readable;

use super::{StoredUser, USERS, UserStore};
use crate::listing::Listing;
use crate::user::{Status, User};

/// Indexes for lists. A list without a filter merges six partitions. Deleted users have neither role nor such
/// a status.
pub(super) fn indexes() -> Vec<Index> {
    vec![Index::plain("listed_newest", doc! { "role": 1, "status": 1, "created_at": -1, "_id": -1 })]
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
                index_scan(listing).page(&users, page, after, Document::new()).await?
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
        filter.extend(listing.role.map(|role| ("role".to_owned(), role.name().into())));
        filter.extend(listing.status.map(|status| ("status".to_owned(), status.name().into())));
        let users: FencedCollection<RawDocumentBuf> = self.database.collection(USERS);
        let found = users.find_one(filter).await?;
        Ok(PageRows::only(found))
    }
}

fn index_scan(listing: &Listing) -> IndexScan {
    let roles = match listing.role {
        Some(role) => vec![role.name().into()],
        None => Role::ALL.into_iter().map(|role| role.name().into()).collect(),
    };
    let statuses = match listing.status {
        Some(status) => vec![status.name().into()],
        None => [Status::Active, Status::Disabled].map(|status| status.name().into()).to_vec(),
    };
    IndexScan {
        index: "listed_newest",
        partitions: vec![("role", roles), ("status", statuses)],
        sort_key: SortKey { field: "created_at", of: SortType::Time, descending: true },
        range: Document::new(),
        filter: Document::new(),
    }
}
