//! Bulk import of products with their history, to fill a database.

use std::collections::HashMap;

use mongodb::bson::{Document, doc};
use shared::error::Error;
use shared::mongo;
use shared::values::ids::OrderId;

use super::documents::{ItemDocument, StockDocument};
use super::ledger::MovementDocument;
use super::{ProductStore, document};
use crate::holds::Hold;
use crate::ledger::{LedgerEnd, StockMovement};
use crate::product::Product;

/// Imported product, with its ledger.
#[derive(Clone, Debug)]
pub struct ImportedProduct {
    /// Product with its current counts.
    pub product: Product,
    /// Whole ledger, oldest first, which adds up to `on_hand`.
    pub ledger: Vec<StockMovement>,
}

impl ProductStore {
    /// Inserts products, in any order, without a check for existing ones. Their holds, which add up to `reserved`, are
    /// inserted by [`insert_holds`](Self::insert_holds).
    ///
    /// # Errors
    /// Fails when it is unknown which of them were inserted.
    pub async fn insert_many(&self, products: &[ImportedProduct]) -> Result<(), Error> {
        let documents: Vec<Document> =
            products.iter().map(|it| document(&it.product)).collect::<Result<_, _>>()?;
        let stocks = products.iter().map(|it| {
            let end = it.ledger.last().map_or_else(LedgerEnd::default, LedgerEnd::from);
            StockDocument::new(it.product.id, it.product.stock, end)
        });
        let ledgers: Vec<MovementDocument> = products
            .iter()
            .flat_map(|it| it.ledger.iter().map(|entry| MovementDocument::of(it.product.id, entry.clone())))
            .collect();
        // Products come last: without them the others do no harm.
        if !ledgers.is_empty() {
            self.movements.insert_many(ledgers)?.ordered(false).await?;
        }
        self.stocks.insert_many(stocks)?.ordered(false).await?;
        self.products.insert_many(documents)?.ordered(false).await?;
        Ok(())
    }

    /// Inserts the holds of orders, all holds of each. The orders must exist before, or else Reconcile ends them.
    ///
    /// # Errors
    /// Fails when it is unknown which of them were inserted.
    pub async fn insert_holds(&self, holds: &[Hold]) -> Result<(), Error> {
        let mut orders: HashMap<OrderId, Vec<&Hold>> = HashMap::new();
        for hold in holds {
            orders.entry(hold.order).or_default().push(hold);
        }
        let documents: Vec<Document> = orders
            .into_iter()
            .map(|(order, holds)| {
                let item = |hold: &&Hold| {
                    ItemDocument::new(mongo::uuid(hold.product), hold.quantity, None, hold.counts).fields()
                };
                doc! {
                    "_id": mongo::uuid(order),
                    "r": holds.iter().map(|hold| hold.revision).max(),
                    "items": holds.iter().map(item).collect::<Vec<_>>(),
                    "live": holds.iter().any(|hold| hold.quantity > 0),
                    "at": holds.iter().map(|hold| mongo::date(hold.at)).max(),
                }
            })
            .collect();
        if !documents.is_empty() {
            self.holds.insert_many(documents)?.ordered(false).await?;
        }
        Ok(())
    }
}
