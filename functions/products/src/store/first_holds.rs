//! Holds of new orders: the commonest declaration, with the fewest commands.
//!
//! A process remembers how many marks were ever left in a product's stock, as of some time. Then it reads the hold of the
//! order, as of that time or later, and the products; it need not read the stock. It takes for granted that the order
//! holds nothing and that there is enough, and the write asks for both.
//!
//! Requests of one process that hold the same product take turns, and those that wait are written together: one write
//! of many entries costs about as much as one of a single entry. A turn saves conflicts inside MongoDB and nothing
//! else, so nothing waits for it for long.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::TryStreamExt as _;
use mongodb::bson::{self, Document, RawBsonRef, RawDocumentBuf, Timestamp as OperationTime, doc};
use serde::Serialize;
use shared::error::Error;
use shared::mongo;
use shared::mongo::fenced::UpdateEach;
use shared::mongo::unreadable;
use shared::values::clock::Timestamp;
use shared::values::ids::{OrderId, ProductId};
use tokio::sync::oneshot;

use super::ProductStore;
use super::declarations::{KEPT, Write, Writes, availability};
use super::documents::{SnapshotDocument, held_fields};
use super::entries::{NewEntry, WithEntries};
use super::journal::{JOURNAL_FIELDS, is_long_now};
use super::turns::{Turn, Turns};
use super::view::{View, catalogue};
use crate::product::{HeldProduct, Status};
use crate::stock::{self, Declaration, DeclarationKind, Flip, ProductState, Stock};

/// Number of entries by which a journal becomes long. The request that reaches a multiple of it folds.
pub(super) const FOLD_AT: usize = 32;

/// Maximum number of products whose turns one request takes. With more it would keep others waiting.
const MOST_TURNS: usize = 8;

/// Number of lines: products whose IDs have the same remainder share one.
const LINES: usize = 256;

/// Maximum time to wait for a turn.
const TURN: Duration = Duration::from_secs(2);

/// Maximum time of a write of several holds. Those that it was for go on alone then.
const TOGETHER: Duration = Duration::from_millis(700);

/// Maximum number of holds in one write.
const MOST_TOGETHER: usize = 64;

/// Maximum number of products whose folds are remembered.
const MOST_REMEMBERED: usize = 10_000;

/// Units that a first hold takes for granted: the write asks for them.
const PLENTY: Stock = Stock { on_hand: i64::MAX, reserved: 0 };

/// Number of marks that were ever left in a product's stock, as of a time.
#[derive(Clone, Copy, Debug, Default)]
struct Folds {
    folds: i64,
    /// None: as of its creation.
    as_of: Option<OperationTime>,
}

/// Memory of folds, and the lines in which requests wait.
#[derive(Debug)]
pub(super) struct FirstHolds {
    folds: Mutex<HashMap<ProductId, Folds>>,
    turns: Turns,
    lines: Vec<Line>,
}

impl Default for FirstHolds {
    fn default() -> Self {
        let lines = (0..LINES).map(|_| Line::default()).collect();
        Self { folds: Mutex::default(), turns: Turns::default(), lines }
    }
}

/// Line of requests that write to the same stock.
#[derive(Debug, Default)]
struct Line {
    waiting: Mutex<Vec<Waiting>>,
}

/// Hold that waits to be written with others.
#[derive(Debug)]
struct Waiting {
    hold: FirstHold,
    written: oneshot::Sender<bool>,
}

/// First hold of one product.
#[derive(Clone, Debug)]
struct FirstHold {
    order: OrderId,
    product: ProductId,
    quantity: i64,
    folds: i64,
    snapshot: Option<SnapshotDocument>,
}

impl FirstHolds {
    /// Remembers the folds of the products in a view.
    pub(super) fn learn(&self, view: &View, as_of: Option<OperationTime>) {
        for viewed in &view.products {
            self.remember(viewed.state.product, viewed.folds, as_of);
        }
    }

    /// Remembers the folds of a product. More folds are newer.
    pub(super) fn remember(&self, product: ProductId, folds: i64, as_of: Option<OperationTime>) {
        let Some(as_of) = as_of else { return };
        let mut all = self.folds.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_REMEMBERED && !all.contains_key(&product) {
            all.clear();
        }
        let known = all.entry(product).or_default();
        if known.as_of.is_none() || known.folds < folds {
            (known.folds, known.as_of) = (folds, Some(as_of));
        }
    }

    fn known(&self, product: ProductId) -> Folds {
        let all = self.folds.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&product).copied().unwrap_or_default()
    }

    /// Waits for the turn to write to the stocks of these products, for a limited time. Nothing depends on it: there
    /// is none if it takes too long, or if the products are too many.
    pub(super) async fn turn(&self, products: &[ProductId]) -> Option<Turn<'_>> {
        self.turn_within(TURN, products).await
    }

    /// Waits for the turn for this time at most.
    pub(super) async fn turn_within(&self, time: Duration, products: &[ProductId]) -> Option<Turn<'_>> {
        if products.len() > MOST_TURNS {
            return None;
        }
        let places: BTreeSet<usize> = products.iter().map(|product| place(*product)).collect();
        tokio::time::timeout(time, self.turns.take(places.into_iter().collect())).await.ok()
    }
}

fn place(product: ProductId) -> usize {
    usize::try_from(product.uuid().as_u128() % LINES as u128).unwrap_or(0)
}

impl ProductStore {
    /// Holds the items of a new order. `None` when it is not that simple: nothing is held then, or it is unknown, and
    /// the declaration has to be decided on what is stored.
    pub(super) async fn hold_first(
        &self,
        declaration: &Declaration,
        now: Timestamp,
    ) -> Result<Option<Vec<HeldProduct>>, Error> {
        let is_first = declaration.kind == DeclarationKind::Hold && declaration.revision == 1;
        if !is_first || declaration.items.is_empty() {
            return Ok(None);
        }
        let Some(arrays_gone) = self.arrays_gone_as_of().await? else { return Ok(None) };
        let folds: HashMap<ProductId, Folds> = declaration
            .items
            .iter()
            .map(|item| (item.product, self.first_holds.known(item.product)))
            .collect();
        let as_of = folds.values().filter_map(|folds| folds.as_of).fold(arrays_gone, Ord::max);
        let (is_held, products) =
            futures::try_join!(self.is_held(declaration.order, as_of), self.named(declaration))?;
        let Some(products) = products.filter(|_| !is_held) else { return Ok(None) };
        let state = |product: &HeldProduct| ProductState {
            product: product.id,
            stock: PLENTY,
            active: product.status == Status::Active,
            currency: Some(product.price.currency()),
            max_per_order: product.max_per_order,
            held: None,
            counts: None,
        };
        let states: Vec<ProductState> = products.values().map(state).collect();
        let Ok(updates) = stock::decide(declaration, None, &states) else { return Ok(None) };
        let mut updates: Vec<Write> = updates
            .into_iter()
            .map(|update| Write {
                folds: folds.get(&update.product).copied().unwrap_or_default().folds,
                snapshot: products.get(&update.product).map(SnapshotDocument::of),
                update,
            })
            .collect();
        updates.sort_by_key(|write| write.update.product.uuid());
        let is_written = match <[Write; 1]>::try_from(updates) {
            Ok([Write { update, folds, snapshot }]) => {
                let (product, quantity) = (update.product, update.held);
                let order = declaration.order;
                self.hold_together(FirstHold { order, product, quantity, folds, snapshot }).await?
            }
            Err(updates) => {
                let products: Vec<ProductId> = updates.iter().map(|write| write.update.product).collect();
                let turn = self.first_holds.turn(&products).await;
                let writes = Writes { declaration, known: 0, updates, items: Vec::new(), now };
                self.write_all(&writes, turn).await?
            }
        };
        let held = || declaration.items.iter().filter_map(|item| products.get(&item.product).cloned());
        Ok(is_written.then(|| held().collect()))
    }

    /// Returns true if an order has a hold, as of this time or later.
    async fn is_held(&self, order: OrderId, as_of: OperationTime) -> Result<bool, Error> {
        let mut session = self.database.start_session().await?;
        if as_of.time > 0 {
            session.advance_operation_time(as_of);
        }
        let find = self.holds.find_one(doc! { "_id": mongo::uuid(order) }).projection(doc! { "_id": 1 });
        Ok(find.session(&mut session).await?.is_some())
    }

    /// Finds the products that a declaration names. None if one of them seems to be sold out: a write that asks for
    /// it would make those of others fail.
    async fn named(
        &self,
        declaration: &Declaration,
    ) -> Result<Option<HashMap<ProductId, HeldProduct>>, Error> {
        let named: Vec<bson::Uuid> = declaration.items.iter().map(|it| mongo::uuid(it.product)).collect();
        let named = match &named[..] {
            [one] => doc! { "_id": one },
            several => doc! { "_id": { "$in": several } },
        };
        let stored = self.stored();
        let mut fields = held_fields();
        fields.insert("in_stock", 1);
        let found: Vec<RawDocumentBuf> = stored.find(named).projection(fields).await?.try_collect().await?;
        let is_sold_out = |product: &RawDocumentBuf| {
            matches!(unreadable::value(product, "in_stock"), Some(RawBsonRef::Boolean(false)))
        };
        Ok(if found.iter().any(is_sold_out) { None } else { Some(catalogue(found)) })
    }

    /// Writes a hold, with those of others that wait for the same product. Returns false if it was not written, or if
    /// that is unknown.
    async fn hold_together(&self, hold: FirstHold) -> Result<bool, Error> {
        let product = hold.product;
        let Some(line) = self.first_holds.lines.get(place(product)) else { return Ok(false) };
        let (sender, mut written) = oneshot::channel();
        line.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(Waiting { hold, written: sender });
        let products = [product];
        loop {
            let turn = self.first_holds.turn(&products);
            let turn = tokio::select! {
                biased;
                // Closed: the one who wrote it has failed.
                done = &mut written => return Ok(done.unwrap_or(false)),
                turn = turn => turn,
            };
            let together = line.take(product);
            if together.is_empty() {
                drop(turn);
                let done = tokio::time::timeout(TOGETHER, &mut written).await;
                return Ok(matches!(done, Ok(Ok(true))));
            }
            let is_long = tokio::time::timeout(TOGETHER, self.write_parts(product, together)).await;
            drop(turn);
            match is_long {
                Ok(Ok(true)) => self.fold_soon(&[product]).await,
                Ok(Ok(false)) | Err(_) => {}
                // Those who waited for it decide on what is stored, and so does this one.
                Ok(Err(error)) => {
                    tracing::warn!(causes = error.causes(), %product, "holds are not written together: {error}");
                    return Ok(written.try_recv().unwrap_or(false));
                }
            }
        }
    }

    /// Writes holds of one product together, and tells each whether it was written. If they cannot be written, halves
    /// are, so that one which cannot be written stops no others. Returns true if the journal has become long.
    async fn write_parts(&self, product: ProductId, together: Vec<Waiting>) -> Result<bool, Error> {
        let (mut parts, mut is_long) = (vec![together], false);
        while let Some(mut part) = parts.pop() {
            let holds: Vec<&FirstHold> = part.iter().map(|waiting| &waiting.hold).collect();
            let (added, after) = (holds.len(), self.write_together(product, &holds).await?);
            if after.is_none() && part.len() > 1 {
                parts.push(part.split_off(part.len() / 2));
                parts.push(part);
                continue;
            }
            is_long |= after.as_ref().is_some_and(|after| is_long_now(after, added));
            for waiting in part {
                // One that is gone needs no answer.
                let _ = waiting.written.send(after.is_some());
            }
        }
        Ok(is_long)
    }

    /// Writes several first holds of one product. None if a condition of one of them is not met: then none is written.
    async fn write_together(
        &self,
        product: ProductId,
        holds: &[&FirstHold],
    ) -> Result<Option<Document>, Error> {
        let orders: Vec<bson::Uuid> = holds.iter().map(|hold| mongo::uuid(hold.order)).collect();
        let quantity = holds.iter().map(|hold| hold.quantity).fold(0, i64::saturating_add);
        let folds = holds.iter().map(|hold| hold.folds).min().unwrap_or(0);
        let filter = Conditions {
            _id: mongo::uuid(product),
            folds: AtMost { most: folds.saturating_add(KEPT) },
            pending: NoneOf { values: &orders },
            folded: NoneOf { values: &orders },
            enough: availability(quantity.saturating_neg(), Flip::STAYS),
        };
        let entries: Vec<NewEntry<'_>> = holds
            .iter()
            .map(|hold| NewEntry::new(mongo::uuid(hold.order), 1, hold.quantity, hold.snapshot.as_ref()))
            .collect();
        let update = vec![WithEntries::new(quantity, "$pending", entries)];
        let mut session = self.database.start_session().await?;
        let write = UpdateEach { filter, update };
        let written = self.stocks.update_once(write, &JOURNAL_FIELDS, TOGETHER, &mut session);
        let written = mongo::bounded_write(written).await?;
        if let Some(written) = &written
            && let Ok(folds) = written.get_i64("folds")
        {
            self.first_holds.remember(product, folds, session.operation_time());
        }
        Ok(written)
    }
}

/// Conditions of a write of first holds: no order has an entry or a mark, and there is enough.
#[derive(Serialize)]
struct Conditions<'a> {
    _id: bson::Uuid,
    folds: AtMost,
    #[serde(rename = "pending.o")]
    pending: NoneOf<'a>,
    #[serde(rename = "folded.o")]
    folded: NoneOf<'a>,
    #[serde(rename = "$expr", skip_serializing_if = "Option::is_none")]
    enough: Option<Document>,
}

#[derive(Serialize)]
struct AtMost {
    #[serde(rename = "$lte")]
    most: i64,
}

#[derive(Serialize)]
struct NoneOf<'a> {
    #[serde(rename = "$nin")]
    values: &'a [bson::Uuid],
}

impl Line {
    /// Takes those that wait for a product, each order once, and drops those whose requests have ended.
    fn take(&self, product: ProductId) -> Vec<Waiting> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut taken, mut left, mut orders) = (Vec::new(), Vec::new(), HashSet::new());
        for it in waiting.drain(..).filter(|it| !it.written.is_closed()) {
            let is_next = it.hold.product == product && taken.len() < MOST_TOGETHER;
            if is_next && orders.insert(it.hold.order) {
                taken.push(it);
            } else {
                left.push(it);
            }
        }
        *waiting = left;
        taken
    }
}
