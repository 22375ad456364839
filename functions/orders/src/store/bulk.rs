//! Bulk import of orders in their final state, to fill a database.

use mongodb::bson;
use mongodb::error::{ErrorKind, IndexedWriteError};
use serde::Serialize;
use shared::error::Error;
use shared::mongo;
use shared::values::clock::Timestamp;

use super::documents::OrderDocument;
use super::{NUMBER_INDEX, OrderStore};
use crate::number::Number;
use crate::order::Order;

/// Imported order, with all tasks done.
#[derive(Clone, Debug)]
pub struct ImportedOrder {
    order: Order,
    /// Time when its last task was finished, if it had any.
    task_ended_at: Option<Timestamp>,
}

impl ImportedOrder {
    /// Wraps an order whose tasks count as done at once.
    pub fn new(mut order: Order) -> Self {
        let task_ended_at = (!order.tasks.is_empty()).then_some(order.updated_at);
        order.tasks.clear();
        Self { order, task_ended_at }
    }

    /// Replaces the order number.
    pub fn renumbered(mut self, number: Number) -> Self {
        self.order.number = number;
        self
    }
}

/// Imported order on disk.
#[derive(Serialize)]
struct ImportedOrderDocument<'a> {
    #[serde(flatten)]
    order: OrderDocument<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_ended_at: Option<bson::DateTime>,
}

impl<'a> From<&'a ImportedOrder> for ImportedOrderDocument<'a> {
    fn from(settled: &'a ImportedOrder) -> Self {
        let ImportedOrder { order, task_ended_at } = settled;
        Self { order: OrderDocument::of(order), task_ended_at: task_ended_at.map(mongo::date) }
    }
}

impl OrderStore {
    /// Inserts orders, in any order, without their holds and without a check for existing ones. Returns the
    /// indexes of orders that were skipped, since another order has their number.
    ///
    /// # Errors
    /// Fails when it is unknown which of them were inserted.
    pub async fn insert_many(&self, orders: &[ImportedOrder]) -> Result<Vec<usize>, Error> {
        let documents = orders.iter().map(ImportedOrderDocument::from);
        let inserted = self.orders.insert_many(documents)?.ordered(false).await;
        let Err(error) = inserted else { return Ok(Vec::new()) };
        match error.kind.as_ref() {
            ErrorKind::InsertMany(failed) if failed.write_concern_error.is_none() => {
                let errors = failed.write_errors.as_deref().unwrap_or_default();
                if !errors.is_empty() && errors.iter().all(is_number_taken) {
                    return Ok(errors.iter().map(|error| error.index).collect());
                }
                Err(error.into())
            }
            _ => Err(error.into()),
        }
    }
}

fn is_number_taken(error: &IndexedWriteError) -> bool {
    error.code == mongo::DUPLICATE_KEY && error.message.contains(&format!("index: {NUMBER_INDEX} "))
}
