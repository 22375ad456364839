//! Declarations about an order's stock, applied whole or not at all.

use futures::TryStreamExt as _;
use mongodb::ClientSession;
use mongodb::bson::{self, Document, doc};
use mongodb::options::ReturnDocument;
use serde::Deserialize;
use shared::error::Error;
use shared::mongo::{self, TxOutcome};
use shared::values::clock::Timestamp;
use shared::values::ids::{OrderId, ProductId};

use super::ledger::MovementDocument;
use super::list::in_stock;
use super::{CountedDocument, HoldDocument, PRODUCTS, ProductStore, without_holds};
use crate::ledger::{Cause, LedgerEnd, RETURNED, SHIPPED, StockMovement};
use crate::product::{Product, Status};
use crate::stock::{
    self, Declaration, DeclarationKind, Entry, Item, MAX_ENTRIES, MAX_LIVE_HOLDS, ProductState, Rejection,
    Stock, StockUpdate,
};

/// Product with its entry of one order.
#[derive(Debug, Deserialize)]
struct ProductStateDocument {
    #[serde(flatten)]
    counted: CountedDocument,
    #[serde(default)]
    holds: Vec<HoldDocument>,
    live: i64,
    entries: i32,
}

impl ProductStore {
    /// Applies a declaration about an order's stock, all of it or nothing. Returns the products of its items,
    /// in the items' order. Their stock may be that of before or after.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn declare(
        &self,
        declaration: &Declaration,
        now: Timestamp,
    ) -> Result<Result<Vec<Product>, Rejection>, Error> {
        if let (DeclarationKind::Hold, 1, [item]) =
            (declaration.kind, declaration.revision, &declaration.items[..])
            && let Some(product) = self.hold_first_item(declaration.order, *item).await?
        {
            return Ok(Ok(vec![product]));
        }
        let outcome = mongo::transaction(&self.database, |session| {
            let (store, declaration) = (self.clone(), declaration.clone());
            Box::pin(async move { store.declare_in(session, &declaration, now).await })
        });
        outcome.await?
    }

    /// Applies the commonest case, a first hold of one item, in one conditional write. `None` when it is not
    /// that simple. The product may be inactive, short or full of holds, or have an entry of the order.
    async fn hold_first_item(&self, order: OrderId, item: Item) -> Result<Option<Product>, Error> {
        let filter = doc! {
            "_id": mongo::uuid(item.product),
            "status": Status::Active.name(),
            "holds.o": { "$ne": mongo::uuid(order) },
            "live": { "$lt": MAX_LIVE_HOLDS },
            // The last possible slot for an entry is free.
            format!("holds.{}", MAX_ENTRIES - 1): { "$exists": false },
            "$expr": { "$gte": [{ "$subtract": ["$on_hand", "$reserved"] }, item.quantity] },
        };
        let entry = hold(order, Entry { quantity: item.quantity, revision: 1 });
        let update = doc! { "$set": {
            "reserved": { "$add": ["$reserved", item.quantity] },
            "in_stock": in_stock("$on_hand", doc! { "$add": ["$reserved", item.quantity] }),
            "live": { "$add": ["$live", 1_i64] },
            "holds": { "$concatArrays": ["$holds", [entry]] },
        } };
        let write = self
            .products
            .find_one_and_update(filter, vec![update])
            .projection(without_holds())
            .return_document(ReturnDocument::After);
        mongo::bounded_write(write).await?.map(Product::try_from).transpose()
    }

    async fn declare_in(
        &self,
        session: &mut ClientSession,
        declaration: &Declaration,
        now: Timestamp,
    ) -> mongodb::error::Result<TxOutcome<Result<Result<Vec<Product>, Rejection>, Error>>> {
        let found = self.find_concerned(session, declaration).await?;
        let ledgers: Vec<LedgerEnd> = found.iter().map(|found| found.counted.ledger_end()).collect();
        let states: Result<Vec<(Product, ProductState)>, Error> = found.into_iter().map(state_of).collect();
        let (products, states): (Vec<Product>, Vec<ProductState>) = match states {
            Ok(states) => states.into_iter().unzip(),
            Err(error) => return Ok(TxOutcome::Abort(Err(error))),
        };
        let writes = match stock::decide(declaration, &states) {
            Ok(writes) => writes,
            // The caller takes this as done, so an election must not undo it. Only a commit waits until the
            // data that it has read is on a majority.
            Err(Rejection::Superseded) => return Ok(TxOutcome::Commit(Ok(Err(Rejection::Superseded)))),
            Err(rejection) => return Ok(TxOutcome::Abort(Ok(Err(rejection)))),
        };
        let named = |item: &Item| products.iter().find(|product| product.id == item.product).cloned();
        let answer = Ok(Ok(declaration.items.iter().filter_map(named).collect()));
        if writes.is_empty() {
            // A replay: as above.
            return Ok(TxOutcome::Commit(answer));
        }
        let movements: Vec<(ProductId, StockMovement)> = states
            .iter()
            .zip(ledgers)
            .filter_map(|(state, ledger)| {
                let write = writes.iter().find(|write| write.product == state.product)?;
                Some((state.product, movement(declaration, state, ledger, write, now)?))
            })
            .collect();
        self.write(session, declaration.order, &writes, &movements).await?;
        Ok(TxOutcome::Commit(answer))
    }

    /// Finds the products that a declaration names, and those that keep an entry of its order.
    async fn find_concerned(
        &self,
        session: &mut ClientSession,
        declaration: &Declaration,
    ) -> mongodb::error::Result<Vec<ProductStateDocument>> {
        let order = mongo::uuid(declaration.order);
        let named: Vec<bson::Uuid> = declaration.items.iter().map(|item| mongo::uuid(item.product)).collect();
        let mut projection = doc! {
            "holds": { "$elemMatch": { "o": order } },
            "entries": { "$size": "$holds" },
        };
        for field in [
            "sku",
            "name",
            "description",
            "price",
            "attributes",
            "status",
            "on_hand",
            "reserved",
            "version",
            "created_at",
            "updated_at",
            "live",
            "movements",
            "moved_at",
        ] {
            projection.insert(field, 1);
        }
        let mut cursor = self
            .products
            .clone_with_type::<ProductStateDocument>()
            .find(doc! { "$or": [{ "_id": { "$in": named } }, { "holds.o": order }] })
            .projection(projection)
            .session(&mut *session)
            .await?;
        cursor.stream(session).try_collect().await
    }

    /// Writes all updates of a declaration in one command, and their ledger entries in another.
    async fn write(
        &self,
        session: &mut ClientSession,
        order: OrderId,
        writes: &[StockUpdate],
        movements: &[(ProductId, StockMovement)],
    ) -> mongodb::error::Result<()> {
        let others = doc! { "$filter": {
            "input": "$holds",
            "as": "hold",
            "cond": { "$ne": ["$$hold.o", mongo::uuid(order)] },
        } };
        let updates: Vec<Document> = writes
            .iter()
            .map(|write| {
                let on_hand = doc! { "$add": ["$on_hand", write.on_hand] };
                let reserved = doc! { "$add": ["$reserved", write.reserved] };
                let mut set = doc! {
                    "in_stock": in_stock(on_hand.clone(), reserved.clone()),
                    "on_hand": on_hand,
                    "reserved": reserved,
                    "live": { "$add": ["$live", write.live] },
                    "holds": { "$concatArrays": [others.clone(), [hold(order, write.entry)]] },
                };
                if let Some((_, movement)) = movements.iter().find(|(product, _)| *product == write.product) {
                    set.insert("movements", movement.number);
                    set.insert("moved_at", mongo::date(movement.at));
                }
                doc! { "q": { "_id": mongo::uuid(write.product) }, "u": [{ "$set": set }] }
            })
            .collect();
        let expected = writes.len();
        let answer = self
            .database
            .run_command(doc! { "update": PRODUCTS, "updates": updates, "ordered": true })
            .session(&mut *session)
            .await?;
        // The driver does not check the results of commands that it does not know.
        let matched = answer.get_i32("n").unwrap_or(-1);
        if answer.contains_key("writeErrors") || usize::try_from(matched) != Ok(expected) {
            return Err(mongodb::error::Error::custom(format!("{expected} stock writes: {answer}")));
        }
        if !movements.is_empty() {
            let entries =
                movements.iter().map(|(product, movement)| MovementDocument::of(*product, movement.clone()));
            self.movements.insert_many(entries).session(session).await?;
        }
        Ok(())
    }
}

/// Builds the ledger entry of a write: none unless units leave the warehouse or come back.
fn movement(
    declaration: &Declaration,
    state: &ProductState,
    ledger: LedgerEnd,
    write: &StockUpdate,
    now: Timestamp,
) -> Option<StockMovement> {
    let reason = match declaration.kind {
        DeclarationKind::Hold => return None,
        DeclarationKind::Ship => SHIPPED,
        DeclarationKind::Restock => RETURNED,
    };
    if write.on_hand == 0 {
        return None;
    }
    let stock = Stock {
        on_hand: state.stock.on_hand + write.on_hand,
        reserved: state.stock.reserved + write.reserved,
    };
    // Another function declares for an order; the order's own history has the actor.
    let by = "system".to_owned();
    let cause = Cause { reason: Some(reason.to_owned()), order: Some(declaration.order), by };
    Some(ledger.next(write.on_hand, stock, cause, now))
}

fn state_of(document: ProductStateDocument) -> Result<(Product, ProductState), Error> {
    let ProductStateDocument { counted, holds, live, entries } = document;
    let entry = holds.first().map(|hold| Entry { quantity: hold.q, revision: hold.r });
    let product = Product::try_from(counted.product)?;
    let state = ProductState {
        product: product.id,
        stock: product.stock,
        active: product.status == Status::Active,
        currency: product.price.currency(),
        entry,
        live,
        entries: i64::from(entries),
    };
    Ok((product, state))
}

/// Entry of an order, as an expression. Its time is the database's, since clocks differ between machines.
fn hold(order: OrderId, entry: Entry) -> Document {
    doc! { "o": mongo::uuid(order), "q": entry.quantity, "r": entry.revision, "t": "$$NOW" }
}
