//! Lists of orders: the index for each combination of filters and sort.

use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use shared::error::Error;
use shared::input::page::{PageRequest, PageRows, Position, SortType};
use shared::mongo::keyset::{IndexScan, SortKey, conjunction};
use shared::mongo::unreadable::readable;
use shared::mongo::{self, Index};
use shared::values::ids::UserId;

use super::documents::OrderDocument;
use super::{OrderStore, VOID};
use crate::listing::{Listing, SortBy};
use crate::order::Order;
use crate::status::Status;

/// Index on the orders of a user by status.
pub(super) const BY_USER: &str = "user_status_newest";

/// Indexes for lists: for all orders, for a user's and for a product's, one for each sort. Status comes
/// before the sort in all of them, and a list of all statuses merges seven partitions. Voids have a status of
/// their own, which no list names.
pub(super) fn indexes() -> Vec<Index> {
    let newest = |mut keys: Document| {
        keys.extend(doc! { "status": 1, "created_at": -1, "_id": -1 });
        keys
    };
    let total = |mut keys: Document| {
        keys.extend(doc! { "status": 1, "total": -1, "_id": -1 });
        keys
    };
    vec![
        Index::plain("status_newest", newest(doc! {})),
        Index::plain("status_total", total(doc! {})),
        Index::plain(BY_USER, newest(doc! { "user_id": 1 })),
        Index::plain("user_status_total", total(doc! { "user_id": 1 })),
        Index::plain("product_status_newest", newest(doc! { "items.product_id": 1 })),
        Index::plain("product_status_total", total(doc! { "items.product_id": 1 })),
    ]
}

impl OrderStore {
    /// Reads a page of a list: of one user's orders, or of all.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn list(
        &self,
        listing: &Listing,
        of: Option<UserId>,
        page: &PageRequest,
        after: Option<&Position>,
    ) -> Result<PageRows<Order>, Error> {
        let found = match &listing.number {
            Some(number) => self.numbered(&number.to_string(), listing, of, after).await?,
            None => index_scan(listing, of).page(&self.stored(), page, after, Document::new()).await?,
        };
        Ok(readable(found, OrderDocument::read))
    }

    /// Finds the order with a number, if the other filters match. It reads one key, whatever they are.
    async fn numbered(
        &self,
        number: &str,
        listing: &Listing,
        of: Option<UserId>,
        after: Option<&Position>,
    ) -> Result<PageRows<RawDocumentBuf>, Error> {
        // There is no page after the only one.
        if after.is_some() {
            return Ok(PageRows::nothing());
        }
        let mut filter = doc! { "number": number };
        filter.insert(
            "status",
            listing.status.map_or_else(|| doc! { "$ne": VOID }, |it| doc! { "$eq": it.name() }),
        );
        if let Some(user) = of {
            filter.insert("user_id", mongo::uuid(user));
        }
        if let Some(product) = listing.product_id {
            filter.insert("items.product_id", mongo::uuid(product));
        }
        let placed = placed_between(listing);
        if !placed.is_empty() {
            filter.insert("created_at", placed);
        }
        let found = self.stored().find_one(filter).await?;
        Ok(PageRows::only(found))
    }
}

/// Builds the index scan of a list.
fn index_scan(listing: &Listing, of: Option<UserId>) -> IndexScan {
    let statuses: Vec<Bson> = match listing.status {
        Some(status) => vec![status.name().into()],
        None => Status::ALL.into_iter().map(|status| status.name().into()).collect(),
    };
    let product: Option<Bson> = listing.product_id.map(|product| mongo::uuid(product).into());
    let user: Option<Bson> = of.map(|user| mongo::uuid(user).into());
    let mut filter = Vec::new();
    let (first, newest, total) = match (user, product) {
        (Some(user), product) => {
            filter.extend(product.map(|product| doc! { "items.product_id": product }));
            (Some(("user_id", user)), BY_USER, "user_status_total")
        }
        (None, Some(product)) => {
            (Some(("items.product_id", product)), "product_status_newest", "product_status_total")
        }
        (None, None) => (None, "status_newest", "status_total"),
    };
    let mut partitions: Vec<_> = first.into_iter().map(|(field, value)| (field, vec![value])).collect();
    partitions.push(("status", statuses));
    let placed = placed_between(listing);
    let (field, of, index, range) = match listing.sort.by {
        SortBy::CreatedAt => ("created_at", SortType::Time, newest, placed),
        SortBy::Total => {
            if !placed.is_empty() {
                filter.push(doc! { "created_at": placed });
            }
            ("total", SortType::Integer, total, Document::new())
        }
    };
    let sort_key = SortKey { field, of, descending: listing.sort.descending };
    IndexScan { index, partitions, sort_key, range, filter: conjunction(filter) }
}

fn placed_between(listing: &Listing) -> Document {
    let mut range = Document::new();
    if let Some(from) = listing.created_from {
        range.insert("$gte", mongo::date(from));
    }
    if let Some(to) = listing.created_to {
        range.insert("$lt", mongo::date(to));
    }
    range
}
