//! Bulk import of products with their history, to fill a database.

use mongodb::bson::Document;
use shared::error::Error;
use shared::mongo;

use super::ledger::MovementDocument;
use super::{HoldDocument, ProductStore, document};
use crate::holds::Hold;
use crate::ledger::{LedgerEnd, StockMovement};
use crate::product::Product;

/// Imported product, with its holds and its ledger.
#[derive(Clone, Debug)]
pub struct ImportedProduct {
    /// Product with its current counts.
    pub product: Product,
    /// Holds of the product, which add up to `reserved`.
    pub holds: Vec<Hold>,
    /// Whole ledger, oldest first, which adds up to `on_hand`.
    pub ledger: Vec<StockMovement>,
}

impl ImportedProduct {
    fn document(&self) -> Result<Document, Error> {
        let holds: Vec<HoldDocument> = self
            .holds
            .iter()
            .map(|hold| HoldDocument {
                o: mongo::uuid(hold.order),
                q: hold.quantity,
                r: hold.revision,
                t: mongo::date(hold.at),
            })
            .collect();
        let end = self.ledger.last().map_or_else(LedgerEnd::default, LedgerEnd::from);
        document(&self.product, &holds, end)
    }
}

impl ProductStore {
    /// Inserts products, in any order, without a check for existing ones. The orders of their holds must
    /// exist before, or else Reconcile ends those holds.
    ///
    /// # Errors
    /// Fails when it is unknown which of them were inserted.
    pub async fn insert_many(&self, products: &[ImportedProduct]) -> Result<(), Error> {
        let documents: Vec<Document> =
            products.iter().map(ImportedProduct::document).collect::<Result<_, _>>()?;
        let ledgers: Vec<MovementDocument> = products
            .iter()
            .flat_map(|it| it.ledger.iter().map(|entry| MovementDocument::of(it.product.id, entry.clone())))
            .collect();
        // Movements come first: without their product they do no harm.
        if !ledgers.is_empty() {
            self.movements.insert_many(ledgers)?.ordered(false).await?;
        }
        self.products.insert_many(documents)?.ordered(false).await?;
        Ok(())
    }
}
