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
use shared::values::ids::ProductId;
use shared::values::text::Reason;
use uuid::Uuid;

use super::list::in_stock;
use super::{CountedDocument, MOVEMENTS, PRODUCTS, ProductDocument, ProductStore, without_holds};
use crate::ledger::{Cause, StockMovement};
use crate::product::Product;
use crate::stock::{MAX_ON_HAND, Stock, StockChange, StockCount};

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
        let written = mongo::transaction(&self.database, |session| {
            let (store, write) = (self.clone(), write.clone());
            Box::pin(async move { store.change_stock_in(session, write).await })
        });
        written.await?
    }

    async fn change_stock_in(
        &self,
        session: &mut ClientSession,
        write: StockWrite,
    ) -> mongodb::error::Result<TxOutcome<Result<StockWritten, Error>>> {
        let StockWrite { product: id, if_match, count: StockCount { change, reason }, by, now, key_record } =
            write;
        let (filter, update) = conditional(id, &if_match, change, now);
        // The write comes first, so that the product cannot change between a read and this write. On a
        // product with constant holds the transaction would otherwise restart again and again.
        let before = self
            .documents()
            .find_one_and_update(filter, update)
            .projection(without_holds())
            .return_document(ReturnDocument::Before)
            .session(&mut *session)
            .await?;
        let Some(before) = before else {
            // Nothing is written. Only a commit waits until the reason is on a majority.
            return self.find_reason(session, id, &if_match, change).await.map(TxOutcome::Commit);
        };
        let read = Unreadable::or_read::<CountedDocument>(PRODUCTS, before)
            .and_then(|before| Ok((before.ledger_end(), before.product.into_product()?)));
        let (ledger, mut product) = match read {
            Ok(read) => read,
            Err(unreadable) => return Ok(TxOutcome::Abort(Err(unreadable.into()))),
        };
        let delta = change.delta(product.stock.on_hand);
        if delta != 0 {
            product.stock.on_hand = product.stock.on_hand.saturating_add(delta);
            product.version = product.version.saturating_add(1);
            product.updated_at = now;
            let movement = ledger.next(delta, product.stock, Cause { reason, order: None, by }, now);
            let entry = MovementDocument::of(id, movement);
            self.movements.insert_one(entry)?.session(&mut *session).await?;
        }
        let (done, taken) = (Ok(StockWritten::Done(product)), Ok(StockWritten::KeyTaken));
        self.keep_key(session, &key_record, id, now, done, taken).await
    }

    /// Finds out why the on-hand count cannot change like this, as of the moment of the failed write.
    async fn find_reason(
        &self,
        session: &mut ClientSession,
        id: ProductId,
        if_match: &IfMatch,
        change: StockChange,
    ) -> mongodb::error::Result<Result<StockWritten, Error>> {
        let found = self
            .documents()
            .find_one(doc! { "_id": mongo::uuid(id) })
            .projection(without_holds())
            .session(session)
            .await?;
        let Some(document) = found else { return Ok(Ok(StockWritten::NotFound)) };
        let document: ProductDocument = match Unreadable::or_read(PRODUCTS, document) {
            Ok(document) => document,
            Err(unreadable) => return Ok(Err(unreadable.into())),
        };
        if if_match.check(document.version).is_err() {
            return Ok(Ok(StockWritten::Outdated(document.version)));
        }
        let stock = Stock { on_hand: document.on_hand, reserved: document.reserved };
        Ok(Ok(match change {
            StockChange::Move(delta) if delta > 0 => StockWritten::TooMany,
            StockChange::Set(_) | StockChange::Move(_) => StockWritten::BelowReserved(stock),
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
fn conditional(
    id: ProductId,
    if_match: &IfMatch,
    change: StockChange,
    now: Timestamp,
) -> (Document, Vec<Document>) {
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
    let mut filter = doc! { "_id": mongo::uuid(id) };
    filter.extend(condition);
    if let Some(versions) = if_match.versions() {
        filter.insert("version", doc! { "$in": versions });
    }
    // The same count is no change.
    let same = doc! { "$eq": ["$on_hand", on_hand.clone()] };
    let now = mongo::date(now);
    let update = doc! { "$set": {
        "version": { "$cond": [same.clone(), "$version", { "$add": ["$version", 1_i64] }] },
        "updated_at": { "$cond": [same.clone(), "$updated_at", now] },
        "movements": { "$cond": [same.clone(), "$movements", { "$add": ["$movements", 1_i64] }] },
        "moved_at": { "$cond": [same, "$moved_at", { "$max": ["$moved_at", now] }] },
        "in_stock": in_stock(on_hand.clone(), "$reserved"),
        "on_hand": on_hand,
    } };
    (filter, vec![update])
}
