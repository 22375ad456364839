//! Queries of other functions about holds: pages of all holds, holds of some orders, and pruning of tombstones.

use std::collections::HashMap;
use std::time::Duration;

use futures::TryStreamExt as _;
use mongodb::bson::{self, Document, doc};
use mongodb::options::Hint;
use serde::Deserialize;
use shared::error::Error;
use shared::mongo;
use shared::mongo::unreadable::{self, Unreadable};
use shared::values::ids::{OrderId, ProductId};

use super::documents::{EntryDocument, HOLDS_BY_TIME, HoldDocument, ItemDocument, PENDING_OF_ORDER};
use super::{HOLDS, ProductStore, STOCK};
use crate::holds::{AuditedHolds, Hold, HoldList, HoldPosition, HoldWalk};

/// Number of orders whose holds are read at once. An order may hold hundreds of products.
const ORDERS_AT_ONCE: usize = 50;

/// Number of holds after which a page of an audit ends. One has some 100 bytes in a message.
const MAX_AUDITED_HOLDS: usize = 15_000;

/// Time and order of a hold.
#[derive(Deserialize)]
struct PositionDocument {
    _id: bson::Uuid,
    at: bson::DateTime,
}

/// Entries of a journal.
#[derive(Deserialize)]
struct EntriesDocument {
    _id: bson::Uuid,
    pending: Vec<Document>,
}

/// Items of an order, at their revision.
#[derive(Default)]
pub(super) struct Held {
    pub(super) revision: i64,
    pub(super) holds: Vec<Hold>,
}

impl ProductStore {
    /// Reads a page of holds, sorted by (`at`, `order`).
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn list_holds(&self, walk: &HoldWalk) -> Result<HoldList, Error> {
        let now = self.database.clock().await?;
        let mut complete_until = now.before(walk.min_age);
        // Asked after the clock: copies that are begun later have a later time.
        if let Some(from) = self.copies_appear_from().await? {
            complete_until = complete_until.min(from.before(Duration::from_millis(1)));
        }
        let until = mongo::date(complete_until);
        let mut filter = doc! { "live": !walk.ended, "_id": mongo::any_uuid() };
        match walk.after {
            Some((at, Some(order))) => {
                let (at, order) = (mongo::date(at), mongo::uuid(order));
                let beside = doc! { "at": at, "_id": { "$gt": order } };
                let later = doc! { "at": { "$gt": at, "$lte": until } };
                filter.insert("$or", vec![beside, later]);
                filter.insert("at", doc! { "$gte": at, "$lte": until });
            }
            Some((at, None)) => {
                filter.insert("at", doc! { "$gte": mongo::date(at), "$lte": until });
            }
            None => {
                filter.insert("at", doc! { "$gte": bson::DateTime::MIN, "$lte": until });
            }
        }
        let found = self
            .holds
            .clone_with_type::<PositionDocument>()
            .find(doc! { "$and": [filter, mongo::is_date("at")] })
            .sort(doc! { "at": 1, "_id": 1 })
            .projection(doc! { "at": 1 })
            .limit(i64::try_from(walk.limit).unwrap_or(i64::MAX))
            .hint(Hint::Name(HOLDS_BY_TIME.to_owned()))
            .await?;
        let position = |found: PositionDocument| HoldPosition {
            at: mongo::timestamp(found.at),
            order: mongo::id(found._id),
        };
        Ok(HoldList { holds: found.map_ok(position).try_collect().await?, now, complete_until })
    }

    /// Holds of these orders, live or ended.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn find_holds(&self, orders: &[OrderId]) -> Result<Vec<Hold>, Error> {
        let (all, _) = self.held_by(orders).await?;
        Ok(all.into_values().flat_map(|held| held.holds).collect())
    }

    /// Holds of these orders, by their entries, their holds, or their arrays; and what cannot be read.
    async fn held_by(&self, orders: &[OrderId]) -> Result<(HashMap<OrderId, Held>, Vec<Unreadable>), Error> {
        let (mut all, mut left_out) = (HashMap::new(), Vec::new());
        if !self.arrays_are_gone().await? {
            self.add_from_arrays(orders, &mut all).await?;
        }
        // The journals come first, and the holds as of that time or later: an entry that is folded meanwhile is in its
        // hold.
        let mut session = self.database.start_session().await?;
        let of_orders = one_of(orders);
        let mut found = self
            .stocks
            .find(doc! { "pending.o": of_orders.clone() })
            .projection(doc! { "pending": 1 })
            .hint(Hint::Name(PENDING_OF_ORDER.to_owned()))
            .session(&mut session)
            .await?;
        let stocks: Vec<Document> = found.stream(&mut session).try_collect().await?;
        let mut found = self.holds.find(doc! { "_id": of_orders }).session(&mut session).await?;
        let holds: Vec<Document> = found.stream(&mut session).try_collect().await?;
        for hold in holds {
            match read_hold(hold) {
                Ok((order, held)) => drop(all.insert(order, held)),
                Err(unreadable) => left_out.push(unreadable),
            }
        }
        for stock in stocks {
            match Unreadable::or_read::<EntriesDocument>(STOCK, stock) {
                Ok(stock) => add_entries(orders, stock, &mut all, &mut left_out),
                Err(unreadable) => left_out.push(unreadable),
            }
        }
        unreadable::log(&left_out);
        Ok((all, left_out))
    }

    /// Deletes the holds of these orders that have ended and have at least this age. The write itself checks them, so
    /// that concurrent new declarations stay. Returns their number.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable. Some holds may be gone then; the next call deletes the rest.
    pub async fn prune_holds(&self, orders: &[OrderId], min_age: Duration) -> Result<usize, Error> {
        // No fence refuses a deletion.
        self.database.check_schema().await?;
        let newest = mongo::date(self.database.clock().await?.before(min_age));
        let mut orders = orders.to_vec();
        if !self.arrays_are_gone().await? {
            // A hold that is in an array would come back from there.
            let in_arrays = self.in_arrays(&orders).await?;
            orders.retain(|order| !in_arrays.contains(order));
        } else if self.copies_may_be_late().await? {
            orders.clear();
        }
        if orders.is_empty() {
            return Ok(0);
        }
        let ended = doc! { "_id": one_of(&orders), "live": false, "at": { "$lte": newest } };
        let deleted = mongo::bounded_write(self.holds.delete_many(ended)).await?.deleted_count;
        Ok(usize::try_from(deleted).unwrap_or(usize::MAX))
    }

    /// Reads a page of the live holds of orders after this one.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn audit_holds(&self, after: Option<OrderId>, limit: i64) -> Result<AuditedHolds, Error> {
        let mut ids = mongo::any_uuid();
        if let Some(after) = after {
            ids.insert("$gt", mongo::uuid(after));
        }
        let found = self
            .holds
            .find(doc! { "_id": ids, "live": { "$ne": false } })
            .projection(doc! { "_id": 1 })
            .sort(doc! { "_id": 1 })
            .limit(limit)
            .hint(Hint::Name("_id_".to_owned()))
            .await?;
        let found: Vec<Document> = found.try_collect().await?;
        let orders: Vec<OrderId> =
            found.iter().filter_map(unreadable::id_of).map(OrderId::from_uuid).collect();
        let more = i64::try_from(found.len()).is_ok_and(|length| length >= limit);
        let mut page = AuditedHolds { more, ..AuditedHolds::default() };
        for chunk in orders.chunks(ORDERS_AT_ONCE) {
            if page.holds.len() >= MAX_AUDITED_HOLDS {
                page.more = true;
                break;
            }
            let (held, left_out) = self.held_by(chunk).await?;
            let mut of_chunk: Vec<Hold> = held.into_values().flat_map(|held| held.holds).collect();
            of_chunk.retain(|hold| hold.quantity > 0);
            of_chunk.sort_unstable_by_key(|hold| (hold.order.uuid(), hold.product.uuid()));
            page.holds.extend(of_chunk);
            let of_holds = left_out.iter().filter(|it| it.collection == HOLDS);
            page.unreadable.extend(of_holds.filter_map(|it| it.id).map(OrderId::from_uuid));
            page.last = chunk.last().copied();
        }
        Ok(page)
    }
}

/// Reads a hold.
pub(super) fn read_hold(document: Document) -> Result<(OrderId, Held), Unreadable> {
    let hold = HoldDocument::read(document)?;
    let (order, at) = (mongo::id(hold._id), mongo::timestamp(hold.at));
    let items = hold.items()?.into_iter();
    let of_item = |item: ItemDocument| Hold {
        order,
        product: mongo::id(item.p),
        quantity: item.q,
        revision: hold.r,
        at,
        counts: item.counts(),
    };
    Ok((order, Held { revision: hold.r, holds: items.map(of_item).collect() }))
}

/// Adds the entries of these orders that are newer than their holds. An entry that cannot be read is left out.
fn add_entries(
    orders: &[OrderId],
    stock: EntriesDocument,
    all: &mut HashMap<OrderId, Held>,
    left_out: &mut Vec<Unreadable>,
) {
    let product: ProductId = mongo::id(stock._id);
    for entry in stock.pending {
        let Ok(entry) = bson::deserialize_from_document::<EntryDocument>(entry) else {
            left_out.push(Unreadable { collection: STOCK, id: Some(product.uuid()) });
            continue;
        };
        let order: OrderId = mongo::id(entry.o);
        if !orders.contains(&order) {
            continue;
        }
        let held = all.entry(order).or_default();
        // Entries have no counts: those of the hold stay.
        let counts = held.holds.iter().find(|it| it.product == product).and_then(|it| it.counts);
        let (quantity, revision, at) = (entry.q, entry.r, mongo::timestamp(entry.t));
        let hold = Hold { order, product, quantity, revision, at, counts };
        if entry.r > held.revision {
            *held = Held { revision: entry.r, holds: vec![hold] };
        } else if entry.r == held.revision && held.holds.iter().all(|it| it.product != product) {
            held.holds.push(hold);
        }
    }
}

pub(super) fn one_of(orders: &[OrderId]) -> Document {
    let orders: Vec<bson::Uuid> = orders.iter().copied().map(mongo::uuid).collect();
    doc! { "$in": orders }
}
