//! Declarations about an order's stock, applied whole or not at all. The rules for each read and write stand at
//! the top of `model/src/journal.rs`.

use std::time::Duration;

use futures::TryStreamExt as _;
use mongodb::ClientSession;
use mongodb::bson::{self, Document, doc};
use serde::Serialize;
use shared::error::Error;
use shared::mongo::fenced::{UpdateEach, UpdatedEach};
use shared::mongo::{self, TxOutcome};
use shared::values::clock::Timestamp;
use shared::values::ids::{OrderId, ProductId};

use super::ProductStore;
use super::documents::{ItemDocument, SnapshotDocument, StockDocument, is_of};
use super::entries::{Merged, NewEntry, WithEntries};
use super::journal::{self, JOURNAL_FIELDS, is_long_now};
use super::ledger::{MovementDocument, movements_of};
use super::turns::Turn;
use super::view::{AsOf, Found, View};
use crate::ledger::changes;
use crate::product::HeldProduct;
use crate::stock::{self, Counts, Declaration, DeclarationKind, Flip, Rejection, StockUpdate};

/// Number of newest marks that are kept at least. So many may be left between a read and the write that follows.
pub(super) const KEPT: i64 = 256;

/// Maximum time of a first hold. The request that places the order is answered within 5 s.
const FIRST_HOLD: Duration = Duration::from_secs(4);

/// Maximum time of any other declaration.
const DECLARATION: Duration = Duration::from_secs(8);

/// Maximum time for which a transaction is repeated within one attempt.
const TRANSACTION_PATIENCE: Duration = Duration::from_secs(2);

/// Maximum time of one write to one stock. MongoDB makes it wait beside an open transaction, and meanwhile it has one
/// of the few connections. So a stock that somebody has locked must not keep those of all other products.
pub(super) const WRITE: Duration = Duration::from_secs(1);

/// Result of a declaration.
pub(super) type Declared = Result<Vec<HeldProduct>, Rejection>;

/// Decision about a declaration.
enum Decided {
    /// There is nothing to write: the answer.
    Settled(Declared),
    /// These updates are to be written, on what was read.
    Write(View, Vec<StockUpdate>),
    /// The order's hold was copied from arrays: everything must be read again.
    Copied,
}

/// Writes of a declaration.
pub(super) struct Writes<'a> {
    pub(super) declaration: &'a Declaration,
    /// Revision that was read; 0 for none.
    pub(super) known: i64,
    /// Updates in the order of product IDs.
    pub(super) updates: Vec<Write>,
    /// Items of the hold as they are stored.
    pub(super) items: Vec<Document>,
    /// Time of ledger entries.
    pub(super) now: Timestamp,
}

/// Write to the stock of one product.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) update: StockUpdate,
    /// Number of marks that were ever left, as it was read.
    pub(super) folds: i64,
    pub(super) snapshot: Option<SnapshotDocument>,
}

impl ProductStore {
    /// Applies a declaration about an order's stock, all of it or nothing. Returns the products of its items, in
    /// the items' order, as they are held.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable, or others write to the same products all the time.
    pub async fn declare(
        &self,
        declaration: &Declaration,
        now: Timestamp,
    ) -> Result<Result<Vec<HeldProduct>, Rejection>, Error> {
        let time = if declaration.revision == 1 { FIRST_HOLD } else { DECLARATION };
        // What is cut off may still be written: the next call finds it.
        let declared = tokio::time::timeout(time, self.declare_patiently(declaration, now)).await;
        let busy =
            || Error::unavailable(format!("the stock of {} kept changing, or was silent", declaration.order));
        declared.unwrap_or_else(|_| Err(busy()))
    }

    async fn declare_patiently(&self, declaration: &Declaration, now: Timestamp) -> Result<Declared, Error> {
        if let Some(held) = self.hold_first(declaration, now).await? {
            return Ok(Ok(held));
        }
        let (mut attempt, mut turn) = (0, None);
        let mut decided = self.decide(declaration).await?;
        loop {
            let (view, updates) = match decided {
                Decided::Settled(answer) => return Ok(answer),
                Decided::Copied => {
                    decided = self.decide_confirmed(declaration).await?;
                    continue;
                }
                Decided::Write(view, updates) => (view, updates),
            };
            let answer = view.answer_after(declaration, &updates);
            let products: Vec<ProductId> = updates.iter().map(|update| update.product).collect();
            let in_turn = match turn.take() {
                Some(turn) => turn,
                None => self.first_holds.turn(&products).await,
            };
            if self.write_declared(declaration, view, updates, now, in_turn).await? {
                return Ok(Ok(answer));
            }
            attempt += 1;
            mongo::pause(attempt).await;
            // Now others wait for the read as well. They may have folded too much since it, again and again.
            turn = Some(self.first_holds.turn(&products).await);
            decided = self.decide_confirmed(declaration).await?;
        }
    }

    /// Decides on the latest state of a majority. What would write nothing is decided again on a confirmed read,
    /// since no write would find out that the state is an older one.
    async fn decide(&self, declaration: &Declaration) -> Result<Decided, Error> {
        let arrays_gone = self.arrays_are_gone().await?;
        let mut session = self.database.start_session().snapshot(true).await?;
        let found = self.view_in(&mut session, declaration, AsOf::Snapshot, arrays_gone).await??;
        let Found::View(view) = found else { return self.decide_confirmed(declaration).await };
        self.first_holds.learn(&view, session.operation_time());
        // After an election a snapshot may be from before a migration has copied the order's hold.
        if view.revision.is_none() && declaration.revision > 1 {
            return self.decide_confirmed(declaration).await;
        }
        match stock::decide(declaration, view.revision, &view.states()) {
            Ok(updates) if !updates.is_empty() => Ok(Decided::Write(view, updates)),
            _ => self.decide_confirmed(declaration).await,
        }
    }

    /// Decides on the latest state. A rejection and a replay are answers on which the caller relies, so an
    /// election must not undo what they rest on. Only a commit waits until that is on a majority.
    async fn decide_confirmed(&self, declaration: &Declaration) -> Result<Decided, Error> {
        let arrays_gone = self.arrays_are_gone().await?;
        let decided = mongo::transaction_within(&self.database, TRANSACTION_PATIENCE, |session| {
            let (store, declaration) = (self.clone(), declaration.clone());
            Box::pin(async move {
                let view = match store.view_in(session, &declaration, AsOf::Transaction, arrays_gone).await? {
                    Ok(Found::View(view)) => view,
                    Ok(Found::InArrays(copied)) => return Ok(TxOutcome::Commit(Err(Ok(copied)))),
                    Err(unreadable) => return Ok(TxOutcome::Abort(Err(Err(unreadable)))),
                };
                Ok(match stock::decide(&declaration, view.revision, &view.states()) {
                    Ok(updates) if !updates.is_empty() => TxOutcome::Abort(Ok(Decided::Write(view, updates))),
                    Ok(_) => TxOutcome::Commit(Ok(Decided::Settled(Ok(view.answer(&declaration.items))))),
                    Err(rejection) => TxOutcome::Commit(Ok(Decided::Settled(Err(rejection)))),
                })
            })
        });
        match decided.await? {
            Ok(decided) => Ok(decided),
            Err(Ok(copied)) => {
                self.insert_copy(copied).await?;
                Ok(Decided::Copied)
            }
            Err(Err(unreadable)) => Err(unreadable.into()),
        }
    }

    /// Writes the updates of a declaration. Returns false if one of its conditions is not met: then nothing is
    /// written.
    async fn write_declared(
        &self,
        declaration: &Declaration,
        view: View,
        updates: Vec<StockUpdate>,
        now: Timestamp,
        turn: Option<Turn<'_>>,
    ) -> Result<bool, Error> {
        let mut writes: Vec<Write> = updates
            .into_iter()
            .filter_map(|update| {
                let viewed = view.product(update.product)?;
                Some(Write { update, folds: viewed.folds, snapshot: viewed.snapshot_for(&update) })
            })
            .collect();
        writes.sort_by_key(|write| write.update.product.uuid());
        let known = view.revision.unwrap_or(0);
        let writes = Writes { declaration, known, updates: writes, items: view.items, now };
        let is_written = match &writes.updates[..] {
            [write] if writes.is_entry(write) => self.write_one(&writes, write, turn).await?,
            _ => self.write_all(&writes, turn).await?,
        };
        Ok(is_written)
    }

    /// Writes to one stock, in one conditional write.
    async fn write_one(
        &self,
        writes: &Writes<'_>,
        write: &Write,
        turn: Option<Turn<'_>>,
    ) -> Result<bool, Error> {
        let product = write.update.product;
        let update = UpdateEach { filter: writes.filter(write), update: vec![writes.with_entry(write)] };
        let mut session = self.database.start_session().await?;
        let written = self.stocks.update_once(update, &JOURNAL_FIELDS, WRITE, &mut session);
        let written = mongo::bounded_write(written).await;
        drop(turn);
        let written = match written {
            // It may be written or not: the next read finds out.
            Err(error) if mongo::is_answer_lost(&error) => None,
            written => written?,
        };
        let Some(written) = written else { return Ok(false) };
        if is_long_now(&written, 1) {
            self.fold_soon(&[product]).await;
        }
        Ok(true)
    }

    /// Writes to all stocks, to what depends on them, and to the hold, in one transaction. So nothing is left to
    /// fold. Its first statements are the writes to the stocks: a read before them would make it begin again beside
    /// every other write.
    pub(super) async fn write_all(&self, writes: &Writes<'_>, turn: Option<Turn<'_>>) -> Result<bool, Error> {
        let statements = Statements::of(writes);
        let written = mongo::transaction_within(&self.database, TRANSACTION_PATIENCE, |session| {
            let (store, statements) = (self.clone(), statements.clone());
            Box::pin(async move { store.write_in(session, statements).await })
        })
        .await;
        drop(turn);
        let is_written = match written {
            // Others were faster: with the stocks, or with the hold of the same order, which both insert.
            Err(error) if mongo::is_write_conflict(&error) || mongo::is_duplicate_key(&error) => false,
            written => written?,
        };
        Ok(is_written)
    }

    async fn write_in(
        &self,
        session: &mut ClientSession,
        statements: Statements,
    ) -> mongodb::error::Result<TxOutcome<bool>> {
        let Statements { stocks, flips, moved, hold, order } = statements;
        let count = stocks.len();
        let UpdatedEach { matched, refused } = self.stocks.update_each(&stocks, Some(&mut *session)).await?;
        if refused > 0 {
            return Err(mongodb::error::Error::custom("a stock was refused by its validator"));
        }
        if matched < count {
            return Ok(TxOutcome::Abort(false));
        }
        if !flips.is_empty() {
            let UpdatedEach { refused, .. } =
                self.documents().update_each(&flips, Some(&mut *session)).await?;
            if refused > 0 {
                return Err(mongodb::error::Error::custom("a product was refused by its validator"));
            }
        }
        if !moved.is_empty() {
            let products: Vec<bson::Uuid> = moved.iter().map(|update| mongo::uuid(update.product)).collect();
            let mut found = self
                .stocks
                .find(doc! { "_id": { "$in": products } })
                .projection(doc! { "pending": 0, "folded": 0 })
                .session(&mut *session)
                .await?;
            let found: Vec<Document> = found.stream(&mut *session).try_collect().await?;
            let movements: Option<Vec<_>> =
                found.into_iter().map(|stock| movements(stock, order, &moved)).collect();
            let Some(movements) = movements else {
                return Err(mongodb::error::Error::custom("a movement without its counts"));
            };
            let movements: Vec<MovementDocument> = movements.into_iter().flatten().collect();
            self.movements.insert_many(movements)?.session(&mut *session).await?;
        }
        let UpdateEach { filter, update } = hold;
        self.holds.update_one(filter, update).upsert(true).session(&mut *session).await?;
        Ok(TxOutcome::Commit(true))
    }
}

impl View {
    /// Products of the declaration's items as they are held once the updates are written.
    fn answer_after(&self, declaration: &Declaration, updates: &[StockUpdate]) -> Vec<HeldProduct> {
        let product = |product: ProductId| {
            let viewed = self.product(product)?;
            let update = updates.iter().find(|update| update.product == product);
            viewed.as_in(update.and_then(|update| viewed.snapshot_for(update)))
        };
        declaration.items.iter().filter_map(|item| product(item.product)).collect()
    }
}

/// Statements of a transaction.
#[derive(Clone)]
struct Statements {
    stocks: Vec<UpdateEach>,
    flips: Vec<UpdateEach>,
    moved: Vec<StockUpdate>,
    hold: UpdateEach,
    order: OrderId,
}

impl Statements {
    fn of(writes: &Writes<'_>) -> Self {
        let updates = || writes.updates.iter().map(|write| write.update);
        let stocks = writes
            .updates
            .iter()
            .map(|write| UpdateEach { filter: writes.filter(write), update: writes.with_mark(write) });
        let flips = updates().filter(|update| update.in_stock.is_change()).map(|update| UpdateEach {
            filter: doc! { "_id": mongo::uuid(update.product) },
            update: vec![doc! { "$set": { "in_stock": update.in_stock.after } }],
        });
        Self {
            stocks: stocks.collect(),
            flips: flips.collect(),
            moved: updates().filter(|update| update.moved != Counts::default()).collect(),
            hold: writes.hold(),
            order: writes.declaration.order,
        }
    }
}

impl Writes<'_> {
    /// Returns true if the only write can be an entry of the journal. Counts are in the hold alone.
    fn is_entry(&self, write: &Write) -> bool {
        let StockUpdate { moved, in_stock, .. } = write.update;
        let has_counts = self.declaration.kind == DeclarationKind::Move;
        !has_counts && moved == Counts::default() && !in_stock.is_change()
    }

    /// Filter with the conditions of a write to a stock.
    fn filter(&self, write: &Write) -> Document {
        let newer = doc! { "$elemMatch": {
            "o": mongo::uuid(self.declaration.order), "r": { "$gt": self.known },
        } };
        let mut filter = doc! {
            "_id": mongo::uuid(write.update.product),
            "folds": { "$lte": write.folds.saturating_add(KEPT) },
            "pending": { "$not": newer.clone() },
            "folded": { "$not": newer },
        };
        let StockUpdate { reserved, in_stock, .. } = write.update;
        let change = write.update.on_hand().saturating_sub(reserved);
        if let Some(availability) = availability(change, in_stock) {
            filter.insert("$expr", availability);
        }
        filter
    }

    /// Stage that moves the reserved count of a stock, and leaves an entry.
    fn with_entry<'a>(&self, write: &'a Write) -> impl Serialize + use<'a> {
        let order = mongo::uuid(self.declaration.order);
        let snapshot = write.snapshot.as_ref();
        let entry = NewEntry::new(order, self.declaration.revision, write.update.held, snapshot);
        // An entry that is there keeps the fields of a later build.
        let own = Merged { objects: (doc! { "$first": self.entries("$eq") }, entry) };
        WithEntries::new(write.update.reserved, self.entries("$ne"), [own])
    }

    /// Pipeline that moves the counters of a stock, and leaves a mark: the hold is written with it.
    fn with_mark(&self, write: &Write) -> Vec<Document> {
        let mark = doc! { "o": mongo::uuid(self.declaration.order), "r": self.declaration.revision };
        let mut set = doc! {
            "reserved": { "$add": ["$reserved", write.update.reserved] },
            "pending": self.entries("$ne"),
            "folded": journal::with_mark(mark),
            "folds": { "$add": ["$folds", 1_i64] },
        };
        let movements = i64::try_from(changes(write.update.moved).len()).unwrap_or(i64::MAX);
        if movements > 0 {
            set.insert("on_hand", doc! { "$add": ["$on_hand", write.update.on_hand()] });
            set.insert("movements", doc! { "$add": ["$movements", movements] });
            set.insert("moved_at", doc! { "$max": ["$moved_at", mongo::date(self.now)] });
        }
        vec![doc! { "$set": set }]
    }

    /// Entries of the order, or those of others.
    fn entries(&self, comparison: &str) -> Document {
        let of_order = doc! { comparison: ["$$this.o", mongo::uuid(self.declaration.order)] };
        doc! { "$filter": { "input": "$pending", "cond": of_order } }
    }

    /// Upsert of the hold of the order. Items that are there keep the fields of a later build.
    fn hold(&self) -> UpdateEach {
        let items = self.updates.iter().map(|Write { update, snapshot, .. }| {
            let p = mongo::uuid(update.product);
            let stored = self.items.iter().find(|item| is_of(item, p));
            let mut item = stored.cloned().unwrap_or_default();
            item.extend(ItemDocument::new(p, update.held, snapshot.clone(), update.counts).fields());
            item
        });
        let live = self.updates.iter().any(|write| write.update.held > 0);
        let set = doc! {
            "r": self.declaration.revision,
            "items": { "$literal": items.collect::<Vec<_>>() },
            "live": live,
            "at": "$$NOW",
        };
        let filter = doc! { "_id": mongo::uuid(self.declaration.order) };
        UpdateEach { filter, update: vec![doc! { "$set": set }] }
    }
}

/// Condition on the availability before and after a write that changes it by so many units. None: it is the same.
pub(super) fn availability(change: i64, flip: Flip) -> Option<Document> {
    let available = || doc! { "$subtract": ["$on_hand", "$reserved"] };
    let before = || doc! { if flip.before { "$gt" } else { "$lte" }: [available(), 0_i64] };
    let after = || doc! { if flip.after { "$gt" } else { "$lte" }: [available(), change.saturating_neg()] };
    match change {
        0 => None,
        // Never below 0.
        _ if change < 0 && flip.is_change() => Some(doc! { "$eq": [available(), change.saturating_neg()] }),
        _ if flip.before && flip.after => Some(if change < 0 { after() } else { before() }),
        _ => Some(doc! { "$and": [before(), after()] }),
    }
}

/// Builds the ledger entries of units that left the warehouse or came back, from the stock after that.
fn movements(mut stock: Document, order: OrderId, moved: &[StockUpdate]) -> Option<Vec<MovementDocument>> {
    stock.extend(doc! { "pending": [], "folded": [] });
    let stock = StockDocument::read(stock).ok()?;
    let product = stock.product();
    movements_of(&stock, order, moved.iter().find(|update| update.product == product)?)
}
