//! Declarations about an order's stock, applied whole or not at all.

use futures::TryStreamExt as _;
use mongodb::ClientSession;
use mongodb::bson::{self, Document, doc};
use mongodb::options::ReturnDocument;
use serde::Deserialize;
use shared::error::Error;
use shared::mongo::fenced::{UpdateEach, UpdatedEach};
use shared::mongo::unreadable::{self, Unreadable};
use shared::mongo::{self, TxOutcome};
use shared::values::clock::Timestamp;
use shared::values::ids::{OrderId, ProductId};
use shared::values::money::{Currency, Money};

use super::ledger::MovementDocument;
use super::list::in_stock;
use super::{HoldDocument, PRODUCTS, PriceDocument, ProductStore};
use crate::ledger::{Cause, LedgerEnd, RETURNED, SHIPPED, StockMovement};
use crate::product::{HeldProduct, Sku, Status};
use crate::stock::{
    self, Declaration, DeclarationKind, Entry, Item, MAX_ENTRIES, MAX_LIVE_HOLDS, ProductState, Rejection,
    Stock, StockUpdate,
};

/// Counts of a product, with its entry of one order.
#[derive(Debug, Deserialize)]
struct ProductStateDocument {
    _id: bson::Uuid,
    on_hand: i64,
    reserved: i64,
    #[serde(default)]
    holds: Vec<HoldDocument>,
    live: i64,
    entries: i32,
    movements: i64,
    moved_at: Option<bson::DateTime>,
}

/// Fields of the catalogue that an order keeps.
#[derive(Debug, Deserialize)]
struct HeldProductDocument {
    _id: bson::Uuid,
    sku: String,
    name: String,
    price: PriceDocument,
    status: String,
    max_per_order: Option<i64>,
}

impl HeldProductDocument {
    fn read(document: Document) -> Result<HeldProduct, Unreadable> {
        let unreadable = Unreadable::of(PRODUCTS, &document);
        let held: Self = Unreadable::or_read(PRODUCTS, document)?;
        held.into_product().map_err(|_| unreadable)
    }

    fn into_product(self) -> Result<HeldProduct, String> {
        let currency = Currency::from_stored(&self.price.currency)?;
        Ok(HeldProduct {
            id: mongo::id(self._id),
            sku: Sku::from_stored(self.sku),
            name: self.name,
            price: Money::from_stored(self.price.amount, currency),
            status: Status::from_stored(&self.status)?,
            max_per_order: self.max_per_order,
        })
    }
}

/// Product with which a declaration is concerned.
struct Concerned {
    state: ProductState,
    ledger: LedgerEnd,
    /// Its fields of the catalogue. Without them its hold can still end.
    held: Option<HeldProduct>,
}

impl Concerned {
    fn read(document: Document) -> Result<Self, Unreadable> {
        let counts: ProductStateDocument = Unreadable::or_read(PRODUCTS, document.clone())?;
        let held = match HeldProductDocument::read(document) {
            Ok(held) => Some(held),
            Err(unreadable) => {
                unreadable::log(&[unreadable]);
                None
            }
        };
        let entry = counts.holds.first().map(|hold| Entry { quantity: hold.q, revision: hold.r });
        let state = ProductState {
            product: mongo::id(counts._id),
            stock: Stock { on_hand: counts.on_hand, reserved: counts.reserved },
            active: held.as_ref().is_some_and(|held| held.status == Status::Active),
            currency: held.as_ref().map(|held| held.price.currency()),
            max_per_order: held.as_ref().and_then(|held| held.max_per_order),
            entry,
            live: counts.live,
            entries: i64::from(counts.entries),
        };
        let ledger = LedgerEnd { number: counts.movements, at: counts.moved_at.map(mongo::timestamp) };
        Ok(Self { state, ledger, held })
    }
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
    ) -> Result<Result<Vec<HeldProduct>, Rejection>, Error> {
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
    async fn hold_first_item(&self, order: OrderId, item: Item) -> Result<Option<HeldProduct>, Error> {
        let filter = doc! {
            "_id": mongo::uuid(item.product),
            "status": Status::Active.name(),
            // Nothing may be held of a product that the order could not keep.
            "sku": { "$type": "string" },
            "name": { "$type": "string" },
            "price.amount": { "$type": ["int", "long"] },
            "price.currency": { "$type": "string" },
            "$or": [{ "max_per_order": null }, { "max_per_order": { "$gte": item.quantity } }],
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
        let products = self.documents();
        let write = products
            .find_one_and_update(filter, vec![update])
            .projection(doc! { "sku": 1, "name": 1, "price": 1, "status": 1 })
            .return_document(ReturnDocument::After);
        Ok(mongo::bounded_write(write).await?.map(HeldProductDocument::read).transpose()?)
    }

    async fn declare_in(
        &self,
        session: &mut ClientSession,
        declaration: &Declaration,
        now: Timestamp,
    ) -> mongodb::error::Result<TxOutcome<Result<Result<Vec<HeldProduct>, Rejection>, Error>>> {
        let found = self.find_concerned(session, declaration).await?;
        let concerned: Vec<Concerned> = match found.into_iter().map(Concerned::read).collect::<Result<_, _>>()
        {
            Ok(concerned) => concerned,
            Err(unreadable) => return Ok(TxOutcome::Abort(Err(unreadable.into()))),
        };
        let states: Vec<ProductState> = concerned.iter().map(|it| it.state.clone()).collect();
        let writes = match stock::decide(declaration, &states) {
            Ok(writes) => writes,
            // The caller relies on this, so an election must not undo it. Only a commit waits until the data that
            // it has read is on a majority.
            Err(rejection) => return Ok(TxOutcome::Commit(Ok(Err(rejection)))),
        };
        let named = |item: &Item| concerned.iter().find(|it| it.state.product == item.product);
        let held = declaration.items.iter().filter_map(named).filter_map(|it| it.held.clone());
        let answer = Ok(Ok(held.collect()));
        if writes.is_empty() {
            // A replay: as above.
            return Ok(TxOutcome::Commit(answer));
        }
        let movements: Vec<(ProductId, StockMovement)> = concerned
            .iter()
            .filter_map(|Concerned { state, ledger, .. }| {
                let write = writes.iter().find(|write| write.product == state.product)?;
                Some((state.product, movement(declaration, state, *ledger, write, now)?))
            })
            .collect();
        self.write_stock(session, declaration.order, &writes, &movements).await?;
        Ok(TxOutcome::Commit(answer))
    }

    /// Finds the products that a declaration names, and those that keep an entry of its order.
    async fn find_concerned(
        &self,
        session: &mut ClientSession,
        declaration: &Declaration,
    ) -> mongodb::error::Result<Vec<Document>> {
        let order = mongo::uuid(declaration.order);
        let named: Vec<bson::Uuid> = declaration.items.iter().map(|item| mongo::uuid(item.product)).collect();
        let mut projection = doc! {
            "holds": { "$elemMatch": { "o": order } },
            "entries": { "$cond": [{ "$isArray": "$holds" }, { "$size": "$holds" }, null] },
        };
        for field in [
            "sku",
            "name",
            "price",
            "status",
            "max_per_order",
            "on_hand",
            "reserved",
            "live",
            "movements",
            "moved_at",
        ] {
            projection.insert(field, 1);
        }
        let mut cursor = self
            .documents()
            .find(doc! { "$or": [{ "_id": { "$in": named } }, { "holds.o": order }] })
            .projection(projection)
            .session(&mut *session)
            .await?;
        cursor.stream(session).try_collect().await
    }

    /// Writes all updates of a declaration in one command, and their ledger entries in another.
    async fn write_stock(
        &self,
        session: &mut ClientSession,
        order: OrderId,
        writes: &[StockUpdate],
        movements: &[(ProductId, StockMovement)],
    ) -> mongodb::error::Result<()> {
        let entries = |comparison: &str| {
            let of_order = doc! { comparison: ["$$hold.o", mongo::uuid(order)] };
            doc! { "$filter": { "input": "$holds", "as": "hold", "cond": of_order } }
        };
        let (others, own) = (entries("$ne"), doc! { "$first": entries("$eq") });
        let updates: Vec<UpdateEach> = writes
            .iter()
            .map(|write| {
                let on_hand = doc! { "$add": ["$on_hand", write.on_hand] };
                let reserved = doc! { "$add": ["$reserved", write.reserved] };
                let mut set = doc! {
                    "in_stock": in_stock(on_hand.clone(), reserved.clone()),
                    "on_hand": on_hand,
                    "reserved": reserved,
                    "live": { "$add": ["$live", write.live] },
                    // An entry that is there keeps the fields of a later build.
                    "holds": { "$concatArrays": [
                        others.clone(), [{ "$mergeObjects": [own.clone(), hold(order, write.entry)] }],
                    ] },
                };
                if let Some((_, movement)) = movements.iter().find(|(product, _)| *product == write.product) {
                    set.insert("movements", movement.number);
                    set.insert("moved_at", mongo::date(movement.at));
                }
                let filter = doc! { "_id": mongo::uuid(write.product) };
                UpdateEach { filter, update: vec![doc! { "$set": set }] }
            })
            .collect();
        let expected = UpdatedEach { matched: writes.len(), refused: 0 };
        let updated = self.products.update_each(updates, Some(&mut *session)).await?;
        if updated != expected {
            return Err(mongodb::error::Error::custom(format!("{updated:?} instead of {expected:?}")));
        }
        if !movements.is_empty() {
            let entries =
                movements.iter().map(|(product, movement)| MovementDocument::of(*product, movement.clone()));
            self.movements.insert_many(entries)?.session(session).await?;
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
        on_hand: state.stock.on_hand.saturating_add(write.on_hand),
        reserved: state.stock.reserved.saturating_add(write.reserved),
    };
    // Another function declares for an order; the order's own history has the actor.
    let by = "system".to_owned();
    let cause = Cause { reason: Some(reason.to_owned()), order: Some(declaration.order), by };
    Some(ledger.next(write.on_hand, stock, cause, now))
}

/// Entry of an order, as an expression. Its time is the database's, since clocks differ between machines.
fn hold(order: OrderId, entry: Entry) -> Document {
    doc! { "o": mongo::uuid(order), "q": entry.quantity, "r": entry.revision, "t": "$$NOW" }
}
