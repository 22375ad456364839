//! Many products at once, each with a past: for whoever fills a database.

use mongodb::bson::Document;
use shared::error::Error;
use shared::mongo;

use super::ledger::MovementDocument;
use super::{HoldDocument, ProductStore, document};
use crate::holds::Hold;
use crate::ledger::{LedgerEnd, StockMovement};
use crate::product::Product;

/// A product with what has become of its stock.
#[derive(Clone, Debug)]
pub struct ImportedProduct {
    /// The product, with the counts of now.
    pub product: Product,
    /// The holds that it keeps, of as many pieces as are reserved.
    pub holds: Vec<Hold>,
    /// Its whole ledger, oldest first, which adds up to what is on hand.
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
    /// Adds products, in any order, without asking whether they are there already. The orders of their holds must be
    /// there before, else Reconcile ends those holds.
    ///
    /// # Errors
    /// When it is not known which of them are there.
    pub async fn insert_many(&self, products: &[ImportedProduct]) -> Result<(), Error> {
        let documents: Vec<Document> =
            products.iter().map(ImportedProduct::document).collect::<Result<_, _>>()?;
        let ledgers: Vec<MovementDocument> = products
            .iter()
            .flat_map(|it| it.ledger.iter().map(|entry| MovementDocument::of(it.product.id, entry.clone())))
            .collect();
        // First, since entries of what is no product yet are in nobody's way.
        if !ledgers.is_empty() {
            self.movements.insert_many(ledgers).ordered(false).await?;
        }
        self.products.clone_with_type::<Document>().insert_many(documents).ordered(false).await?;
        Ok(())
    }
}
