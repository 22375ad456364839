//! Ledger of stock: changes of the on-hand count by people, and all entries by any actor.

use futures::TryStreamExt as _;
use mongodb::ClientSession;
use mongodb::bson::{self, Bson, Document, doc};
use mongodb::options::ReturnDocument;
use serde::{Deserialize, Serialize};
use shared::error::Error;
use shared::http::conditional::IfMatch;
use shared::http::idempotency::KeyRecord;
use shared::input::page::{PageRequest, PageRows, Position, SortValue};
use shared::mongo::json_schema;
use shared::mongo::unreadable::{self, Unreadable, readable};
use shared::mongo::{self, TxOutcome};
use shared::values::clock::Timestamp;
use shared::values::ids::{OrderId, ProductId};
use shared::values::text::Reason;
use uuid::Uuid;

use super::documents::StockDocument;
use super::{MOVEMENTS, ProductDocument, ProductStore, STOCK, shown, with_id};
use crate::ledger::{Cause, StockMovement, changes};
use crate::product::Product;
use crate::stock::{MAX_ON_HAND, Stock, StockChange, StockCount, StockUpdate};

/// Number of times that a change is tried for which no reason of its failure is left.
const ATTEMPTS: u32 = 8;

/// Ledger entry on disk. (`product`, `number`) is unique.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct MovementDocument {
    product: bson::Uuid,
    number: i64,
    at: bson::DateTime,
    delta: i64,
    on_hand: i64,
    reserved: i64,
    reason: Option<String>,
    order: Option<bson::Uuid>,
    by: String,
}

/// Validation rule for entries.
pub(super) fn valid_movement() -> Document {
    let mut rule = json_schema::documents(
        &[
            ("product", json_schema::bytes()),
            ("number", json_schema::whole(1)),
            ("at", json_schema::date()),
            ("delta", json_schema::integer()),
            ("on_hand", json_schema::whole(0)),
            ("reserved", json_schema::whole(0)),
            ("by", json_schema::text(60)),
        ],
        &[
            ("reason", json_schema::or_null(json_schema::text(Reason::MAX))),
            ("order", json_schema::or_null(json_schema::bytes())),
        ],
    );
    rule.insert("$expr", doc! { "$lte": ["$reserved", "$on_hand"] });
    rule
}

impl MovementDocument {
    pub(super) fn of(product: ProductId, movement: StockMovement) -> Self {
        let StockMovement { number, at, delta, stock, cause } = movement;
        Self {
            product: mongo::uuid(product),
            number,
            at: mongo::date(at),
            delta,
            on_hand: stock.on_hand,
            reserved: stock.reserved,
            reason: cause.reason,
            order: cause.order.map(mongo::uuid),
            by: cause.by,
        }
    }
}

/// Builds the ledger entries of units that an update moved for an order, from the stock after it.
pub(super) fn movements_of(
    stock: &StockDocument,
    order: OrderId,
    update: &StockUpdate,
) -> Option<Vec<MovementDocument>> {
    let (end, after) = (stock.ledger_end(), stock.counts());
    let at = end.at?;
    let changes = changes(update.moved);
    let first = end.number.saturating_sub(i64::try_from(changes.len()).ok()?).saturating_add(1);
    // Between two entries the lower count of reserved units is shown: it is within `on_hand` in any case.
    let between = after.reserved.saturating_sub(update.reserved).min(after.reserved);
    let mut on_hand = after.on_hand.saturating_sub(update.on_hand());
    let entry = |(number, (delta, reason)): (i64, (i64, &str))| {
        on_hand = on_hand.saturating_add(delta);
        let reserved = if number == end.number { after.reserved } else { between };
        // Another function declares for an order; the order's own history has the actor.
        let by = "system".to_owned();
        let cause = Cause { reason: Some(reason.to_owned()), order: Some(order), by };
        let stock = Stock { on_hand, reserved };
        MovementDocument::of(update.product, StockMovement { number, at, delta, stock, cause })
    };
    Some((first..).zip(changes).map(entry).collect())
}

impl From<MovementDocument> for StockMovement {
    fn from(document: MovementDocument) -> Self {
        Self {
            number: document.number,
            at: mongo::timestamp(document.at),
            delta: document.delta,
            stock: Stock { on_hand: document.on_hand, reserved: document.reserved },
            cause: Cause { reason: document.reason, order: document.order.map(mongo::id), by: document.by },
        }
    }
}

/// Result of a change of the on-hand count.
#[derive(Debug)]
pub enum StockWritten {
    /// The product after the change; the same as before when there was nothing to change.
    Done(Product),
    /// There is no such product.
    NotFound,
    /// The product has this version, which `If-Match` does not name.
    Outdated(i64),
    /// Fewer would be on hand than are reserved.
    BelowReserved(Stock),
    /// The count would exceed its maximum.
    TooMany,
    /// The idempotency key was used before.
    KeyTaken,
}

/// Change of the on-hand count, with its actor, time and key.
#[derive(Clone, Debug)]
pub struct StockWrite {
    /// Product ID.
    pub product: ProductId,
    /// Condition on the version; holds and shipping do not raise it.
    pub if_match: IfMatch,
    /// The change and its reason.
    pub count: StockCount,
    /// User ID, or `system`.
    pub by: String,
    /// Time of the change.
    pub now: Timestamp,
    /// Idempotency key of the request.
    pub key_record: KeyRecord,
}

impl ProductStore {
    /// Changes the on-hand count, if possible, with its ledger entry and the key of the request. The key is
    /// kept even when nothing changes: the request was answered, and must not change anything later.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn change_stock(&self, write: &StockWrite) -> Result<StockWritten, Error> {
        for attempt in 1..=ATTEMPTS {
            let turn = self.first_holds.turn(&[write.product]).await;
            let written = mongo::transaction(&self.database, |session| {
                let (store, write) = (self.clone(), write.clone());
                Box::pin(async move { store.change_stock_in(session, write).await })
            });
            let written = written.await??;
            drop(turn);
            if let Some(written) = written {
                return Ok(written);
            }
            // Only a commit waits until the reason is on a majority.
            let reason = mongo::transaction(&self.database, |session| {
                let (store, write) = (self.clone(), write.clone());
                Box::pin(async move { store.find_reason(session, &write).await.map(TxOutcome::Commit) })
            });
            if let Some(reason) = reason.await?? {
                return Ok(reason);
            }
            mongo::pause(attempt).await;
        }
        Err(Error::unavailable(format!("the stock of {} kept changing", write.product)))
    }

    async fn change_stock_in(
        &self,
        session: &mut ClientSession,
        write: StockWrite,
    ) -> mongodb::error::Result<TxOutcome<Result<Option<StockWritten>, Error>>> {
        let StockWrite { product: id, if_match, count: StockCount { change, reason }, by, now, key_record } =
            write;
        let (filter, update) = conditional(id, change, now);
        // The write to the stock comes first: it is what everybody wants. After a read the transaction would begin
        // again beside every hold.
        let before = self
            .stocks
            .find_one_and_update(filter, update)
            .projection(doc! { "pending": [], "folded": [], "on_hand": 1, "reserved": 1, "movements": 1, "moved_at": 1, "folds": 1 })
            .return_document(ReturnDocument::Before)
            .session(&mut *session)
            .await?;
        let Some(before) = before else { return Ok(TxOutcome::Abort(Ok(None))) };
        let before = match StockDocument::read(before) {
            Ok(before) => before,
            Err(unreadable) => return Ok(TxOutcome::Abort(Err(unreadable.into()))),
        };
        let (ledger, mut stock) = (before.ledger_end(), before.counts());
        let delta = change.delta(stock.on_hand);
        stock.on_hand = stock.on_hand.saturating_add(delta);
        let Some(document) = self.count_in(session, id, &if_match, stock, delta != 0, now).await? else {
            // The write to the stock is discarded.
            return Ok(TxOutcome::Abort(Ok(None)));
        };
        let product = match ProductDocument::read(document, stock) {
            Ok(product) => product,
            Err(unreadable) => return Ok(TxOutcome::Abort(Err(unreadable.into()))),
        };
        if delta != 0 {
            let movement = ledger.next(delta, stock, Cause { reason, order: None, by }, now);
            let entry = MovementDocument::of(id, movement);
            self.movements.insert_one(entry)?.session(&mut *session).await?;
        }
        let (done, taken) = (Ok(Some(StockWritten::Done(product))), Ok(Some(StockWritten::KeyTaken)));
        self.keep_key(session, &key_record, id, now, done, taken).await
    }

    /// Writes the version of a product whose stock was counted, and its availability. The same count is no change.
    async fn count_in(
        &self,
        session: &mut ClientSession,
        id: ProductId,
        if_match: &IfMatch,
        stock: Stock,
        is_change: bool,
        now: Timestamp,
    ) -> mongodb::error::Result<Option<Document>> {
        let mut filter = with_id(id);
        if let Some(versions) = if_match.versions() {
            filter.insert("version", doc! { "$in": versions });
        }
        let products = self.documents();
        if !is_change {
            return products.find_one(filter).projection(shown()).session(session).await;
        }
        let update = doc! {
            "$set": { "updated_at": mongo::date(now), "in_stock": stock.available() > 0 },
            "$inc": { "version": 1_i64 },
        };
        products
            .find_one_and_update(filter, update)
            .projection(shown())
            .return_document(ReturnDocument::After)
            .session(session)
            .await
    }

    /// Finds out why the on-hand count cannot change like this. None: it can, as things are now.
    async fn find_reason(
        &self,
        session: &mut ClientSession,
        write: &StockWrite,
    ) -> mongodb::error::Result<Result<Option<StockWritten>, Error>> {
        let StockWrite { product: id, if_match, count: StockCount { change, .. }, .. } = write;
        let id = *id;
        let (products, stocks) = (self.stored(), self.stored_stocks());
        let found = products.find_one(with_id(id)).projection(shown()).session(&mut *session).await?;
        let Some(document) = found else { return Ok(Ok(Some(StockWritten::NotFound))) };
        let counts = stocks.find_one(with_id(id)).projection(super::counts()).session(session).await?;
        let unreadable = Unreadable { collection: STOCK, id: Some(id.uuid()) };
        let read = counts.ok_or(unreadable).and_then(|counts| super::read_counts(&counts));
        let product = match read.and_then(|(_, stock)| ProductDocument::read(document, stock)) {
            Ok(product) => product,
            Err(unreadable) => return Ok(Err(unreadable.into())),
        };
        if if_match.check(product.version).is_err() {
            return Ok(Ok(Some(StockWritten::Outdated(product.version))));
        }
        let Stock { on_hand, reserved } = product.stock;
        let after = on_hand.saturating_add(change.delta(on_hand));
        Ok(Ok(if after < reserved {
            Some(StockWritten::BelowReserved(product.stock))
        } else if after > MAX_ON_HAND {
            Some(StockWritten::TooMany)
        } else {
            None
        }))
    }

    /// Reads a page of a product's ledger, newest first, after this position.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn movements(
        &self,
        product: ProductId,
        page: &PageRequest,
        after: Option<&Position>,
    ) -> Result<PageRows<StockMovement>, Error> {
        // What has no number is in no sequence.
        let numbers = match after.map(|position| &position.value) {
            Some(SortValue::Integer(below)) => doc! { "$lt": *below },
            _ => doc! { "$lte": i64::MAX },
        };
        let mut filter = doc! { "product": mongo::uuid(product), "number": numbers };
        let entries = self.movements.clone_with_type::<Document>();
        // The number alone determines the position.
        let position = |entry: &Document| {
            let number = entry.get("number")?;
            let number = number.as_i64().or_else(|| number.as_i32().map(i64::from))?;
            Some(Position { value: SortValue::Integer(number), id: Uuid::nil() })
        };
        let find = |filter: Document| entries.find(filter).sort(doc! { "number": -1 }).limit(page.fetch());
        let mut found: Vec<Document> = find(filter.clone()).await?.try_collect().await?;
        let mut rows = page.found(found, false, position);
        if rows.is_stuck() {
            unreadable::log_without_position(MOVEMENTS, rows.data.len());
            filter.insert("$expr", doc! { "$in": [{ "$type": "$number" }, ["int", "long"]] });
            found = find(filter).await?.try_collect().await?;
            rows = page.found(found, false, position);
        }
        let read = |entry| Unreadable::or_read::<MovementDocument>(MOVEMENTS, entry).map(StockMovement::from);
        Ok(readable(rows, read))
    }
}

/// Builds the update of the on-hand count, and the filter with its conditions.
fn conditional(id: ProductId, change: StockChange, now: Timestamp) -> (Document, Vec<Document>) {
    let (condition, on_hand) = match change {
        StockChange::Set(count) => (doc! { "reserved": { "$lte": count } }, Bson::Int64(count)),
        StockChange::Move(delta) => {
            let moved = doc! { "$add": ["$on_hand", delta] };
            let possible = doc! { "$and": [
                { "$gte": [moved.clone(), "$reserved"] },
                { "$lte": [moved.clone(), MAX_ON_HAND] },
            ] };
            (doc! { "$expr": possible }, Bson::Document(moved))
        }
    };
    let mut filter = with_id(id);
    filter.extend(condition);
    // The same count is no change.
    let same = doc! { "$eq": ["$on_hand", on_hand.clone()] };
    let update = doc! { "$set": {
        "movements": { "$cond": [same.clone(), "$movements", { "$add": ["$movements", 1_i64] }] },
        "moved_at": { "$cond": [same, "$moved_at", { "$max": ["$moved_at", mongo::date(now)] }] },
        "on_hand": on_hand,
    } };
    (filter, vec![update])
}
