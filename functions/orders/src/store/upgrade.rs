//! Upgrade of orders that an older build wrote last. It stores what lists find them by, and the payments and refunds that
//! stand in the references alone.
//!
//! The schema step upgrades all orders. A build that is still warm then may write some more. Reconcile upgrades these.

use std::sync::atomic::{AtomicU64, Ordering};

use futures::{StreamExt as _, TryStreamExt as _};
use mongodb::bson::{Document, doc};
use mongodb::options::Hint;
use shared::error::Error;
use shared::mongo::Index;
use shared::mongo::fenced::WRITER;

use super::documents::{self, OrderDocument};
use super::{NUMBER_INDEX, OrderStore, with_id};
use crate::order::Order;

/// Lowest schema version whose builds store all that lists find orders by.
pub(super) const COMPLETE: i32 = 13;

/// Name of the upgrade of all orders, in the record of migrations.
const UPGRADE: &str = "orders-can-be-found-by-returns";

/// Index on the orders that an older build wrote last. It has none most of the time. Each [`COMPLETE`] has a name of its
/// own: MongoDB does not change the filter of an index. One of an earlier build stays, as long as that build may use it.
const OUTDATED: &str = "written_before_13";

/// Number of orders that are written at once.
const CONCURRENT: usize = 16;

/// The index. Voids have no number, and are found by nothing.
pub(super) fn index() -> Index {
    Index::plain(OUTDATED, doc! { WRITER: 1 }).only(outdated())
}

/// Filter for the orders that the index has.
fn outdated() -> Document {
    doc! { WRITER: { "$lt": COMPLETE }, "number": { "$exists": true } }
}

impl OrderStore {
    /// Upgrades all orders, for the schema step. It may be ended at any point and run again.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub(super) async fn upgrade_all(&self) -> Result<(), Error> {
        if self.database.is_migrated(UPGRADE).await?.is_none() {
            // Builds from before fences have left no version.
            let outdated = doc! { "number": { "$exists": true }, WRITER: { "$not": { "$gte": COMPLETE } } };
            self.upgrade(outdated, NUMBER_INDEX, || false).await?;
            self.database.record_migrated(UPGRADE).await?;
        }
        self.upgrade_outdated(|| false).await.map(drop)
    }

    /// Upgrades the orders that an older build has written since the schema step, until it is time to stop. Returns
    /// their number.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn upgrade_outdated(&self, is_over: impl Fn() -> bool) -> Result<i64, Error> {
        self.upgrade(outdated(), OUTDATED, is_over).await
    }

    async fn upgrade(
        &self,
        outdated: Document,
        index: &str,
        is_over: impl Fn() -> bool,
    ) -> Result<i64, Error> {
        let found = self.stored().find(outdated).hint(Hint::Name(index.to_owned())).await?;
        // One that cannot be read, or that MongoDB refuses, stays as it is. It keeps no other from its turn.
        let passed_over = AtomicU64::new(0);
        let upgraded = found
            .map_err(Error::from)
            .try_take_while(|_| std::future::ready(Ok(!is_over())))
            .map(async |document| -> Result<i64, Error> {
                let upgraded = match OrderDocument::read(document?) {
                    Ok(order) => self.upgrade_one(&order).await,
                    Err(unreadable) => Err(unreadable.into()),
                };
                match upgraded {
                    Ok(upgraded) => Ok(i64::from(upgraded)),
                    Err(error) if super::is_away(&error) => Err(error),
                    Err(_) => {
                        passed_over.fetch_add(1, Ordering::Relaxed);
                        Ok(0)
                    }
                }
            })
            .buffer_unordered(CONCURRENT);
        let upgraded = upgraded.try_fold(0, async |sum: i64, one| Ok(sum.saturating_add(one))).await?;
        let passed_over = passed_over.into_inner();
        if passed_over > 0 {
            tracing::warn!(passed_over, "orders of an older build could not be upgraded");
        }
        Ok(upgraded)
    }

    /// Stores what is derived from an order, unless it was written meanwhile: a newer build has done so then, or an
    /// older one has, and it is found again.
    pub(super) async fn upgrade_one(&self, order: &Order) -> Result<bool, Error> {
        let mut filter = with_id(order.id);
        filter.insert("version", order.version);
        let written = self.orders.update_one(filter, vec![documents::derived(order)?]).await?;
        Ok(written.matched_count == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_complete_version_has_an_index_of_its_own() {
        assert_eq!(OUTDATED, format!("written_before_{COMPLETE}"));
    }
}
