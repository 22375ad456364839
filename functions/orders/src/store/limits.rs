//! Reads and counts for the limits of one customer: open orders, and requests a minute.

use futures::TryStreamExt as _;
use mongodb::bson::{Bson, doc};
use mongodb::error::{Error as MongoError, ErrorKind, WriteFailure};
use mongodb::options::FindOptions;
use serde::Deserialize;
use shared::error::Error;
use shared::mongo::request_counts::RequestCounts;
use shared::mongo::{self, Index};
use shared::values::ids::UserId;

use super::OrderStore;
use super::list::BY_USER;
use super::progress::named;
use crate::open_orders::OpenOrders;
use crate::status::Status;

/// Counts of requests by user.
pub(super) const RATES: &str = "order_rates";

/// Unique index on the slots of open orders.
const SLOT_INDEX: &str = "slot_of_open_order";

/// Index that gives a slot to one open order at a time. An order that is not `placed` any more is not in it, whichever
/// build has written that.
pub(super) fn index() -> Index {
    Index::unique(SLOT_INDEX, doc! { "user_id": 1, "open_slot": 1 })
        .only(doc! { "status": Status::Placed.name(), "open_slot": { "$gte": 0 } })
}

/// True if another open order of the customer has the slot.
pub(super) fn is_slot_taken(error: &MongoError) -> bool {
    let message = match error.kind.as_ref() {
        ErrorKind::Write(WriteFailure::WriteError(error)) => &error.message,
        ErrorKind::Command(error) => &error.message,
        _ => return false,
    };
    mongo::is_duplicate_key(error) && message.contains(&format!("index: {SLOT_INDEX} "))
}

/// Freshness of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It may be outdated just after an election.
    Majority,
    /// It has seen all writes that were acknowledged before it.
    Confirmed,
}

/// Open order on disk.
#[derive(Deserialize)]
struct OpenOrder {
    open_slot: Option<Bson>,
}

impl OrderStore {
    /// Reads the open orders of a customer, up to one more than `limit`.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn open_orders(
        &self,
        user: UserId,
        limit: u32,
        freshness: Freshness,
    ) -> Result<OpenOrders, Error> {
        let most = limit.saturating_add(1);
        let filter = doc! { "user_id": mongo::uuid(user), "status": Status::Placed.name() };
        let mut options = FindOptions::default();
        options.projection = Some(doc! { "_id": 0, "open_slot": 1 });
        options.limit = Some(most.into());
        // All of them come at once.
        options.batch_size = Some(most.saturating_add(1));
        options.hint = Some(named(BY_USER));
        let open = self.all.clone_with_type::<OpenOrder>();
        let orders: Vec<OpenOrder> = match freshness {
            Freshness::Majority => open.find(filter).with_options(options).await?.try_collect().await?,
            Freshness::Confirmed => open.find_confirmed(filter, options).await?,
        };
        // A slot of the wrong type is none, and its order counts.
        Ok(orders.iter().map(|order| order.open_slot.as_ref().and_then(Bson::as_i64)).collect())
    }

    /// Counts of requests by user.
    pub fn rates(&self) -> &RequestCounts {
        &self.rates
    }
}
