//! Client of the products function: holds and moves the stock of orders, and reads holds.

use std::collections::BTreeSet;
use std::time::Duration;

use proto::products::v1 as wire;
use proto::products::v1::product_service_client::ProductServiceClient;
use shared::auth::Caller;
use shared::error::Error;
use shared::rpc::channel::Channel;
use shared::rpc::convert;
use shared::rpc::metadata;
use shared::rpc::server::MAX_MESSAGE;
use shared::runtime::context::Context;
use shared::values::clock::{Clock, Timestamp};
use shared::values::ids::{OrderId, ProductId};
use tonic::Code;

use crate::order::{Held, HeldUnits, Item, NewItem, StockCounts, StockTotals, Task, TaskKind};

/// Maximum time of a call: less than that of the calling request, and than the timeout of products. The first
/// attempt has half of it. That is longer than products keeps retrying a contended transaction: a concurrent
/// second attempt would only add contention.
const TIMEOUT: Duration = Duration::from_secs(18);

/// Maximum number of holds in a page.
const HOLDS_PER_PAGE: i64 = 500;

/// Maximum number of products in a page of journals.
pub const JOURNALS_PER_PAGE: i64 = 500;

/// Reason why stock was not held.
#[derive(Debug)]
pub enum HoldError {
    /// A later revision of the order's stock has been applied already; this one is obsolete.
    Superseded,
    /// Any other error.
    Failed(Error),
}

impl From<tonic::Status> for HoldError {
    fn from(status: tonic::Status) -> Self {
        if status.code() == Code::Aborted {
            return Self::Superseded;
        }
        // An older build of products, which may still be warm, calls an item a line.
        Self::Failed(Error::from(status).map_pointers(|pointer| pointer.replace("/lines/", "/items/")))
    }
}

/// Cursor over holds, sorted by (`at`, `order`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HoldCursor {
    /// Time at which the order's hold was last written, by the database's clock.
    pub at: Timestamp,
    /// Order ID. None in a start position: before all orders of this time.
    pub order: Option<OrderId>,
}

/// Page of holds.
#[derive(Debug)]
pub struct HoldPage {
    /// Positions of the holds, in cursor order.
    pub holds: Vec<HoldCursor>,
    /// True if there were no further holds at the time of reading.
    pub last: bool,
    /// Database time of the read.
    pub now: Timestamp,
    /// End of the time that the page covers, included. No hold appears there later.
    pub complete_until: Timestamp,
}

impl HoldPage {
    /// Orders of the holds, each once.
    pub fn orders(&self) -> Vec<OrderId> {
        let orders: BTreeSet<OrderId> = self.holds.iter().filter_map(|cursor| cursor.order).collect();
        orders.into_iter().collect()
    }
}

/// Hold of a product for an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Order ID.
    pub order: OrderId,
    /// Product ID.
    pub product: ProductId,
    /// Quantity in units; 0 once the hold has ended.
    pub quantity: i64,
    /// Time by the database's clock at which it was declared, or later written as a hold of its own.
    pub at: Timestamp,
    /// Units that were shipped in all; none if the hold keeps no counts.
    pub shipped: Option<i64>,
    /// Units that were restocked in all; none if the hold keeps no counts.
    pub restocked: Option<i64>,
}

impl Hold {
    fn from_message(hold: wire::Hold) -> Result<Self, Error> {
        Ok(Self {
            order: convert::trusted_id(&hold.order_id)?,
            product: convert::trusted_id(&hold.product_id)?,
            quantity: hold.quantity,
            at: convert::trusted_time(hold.at)?,
            shipped: hold.shipped,
            restocked: hold.restocked,
        })
    }
}

/// Product with its counts, the sums of its ledger and of its holds, all as of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedProduct {
    /// Product ID.
    pub id: ProductId,
    /// Units physically in the warehouse.
    pub on_hand: i64,
    /// Units held for orders.
    pub reserved: i64,
    /// Sum of the ledger's deltas.
    pub ledger: i64,
    /// Sum of the live holds.
    pub held: i64,
    /// Time of the oldest entry of its journal. None if the journal is empty.
    pub oldest_entry: Option<Timestamp>,
    /// True if products cannot read it. Then the other fields mean nothing.
    pub unreadable: bool,
}

impl AuditedProduct {
    fn from_message(product: wire::AuditedProduct) -> Result<Self, Error> {
        Ok(Self {
            id: convert::trusted_id(&product.product_id)?,
            on_hand: product.on_hand,
            reserved: product.reserved,
            ledger: product.ledger,
            held: product.held,
            oldest_entry: product.oldest_entry.map(|at| convert::trusted_time(Some(at))).transpose()?,
            unreadable: product.unreadable,
        })
    }
}

/// Result of folding a page of journals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoldedPage {
    /// Number of entries that were moved into holds.
    pub folded: i64,
    /// Number of entries that could not be moved, and of journals that cannot be read.
    pub failed: i64,
    /// Time of the oldest entry that is left in these products.
    pub oldest: Option<Timestamp>,
    /// Last of these products. None if there were none.
    pub last: Option<ProductId>,
    /// True if more products follow.
    pub more: bool,
}

/// Page of live holds, sorted by order.
#[derive(Debug)]
pub struct AuditedHolds {
    /// Live holds, those of one order beside each other.
    pub holds: Vec<Hold>,
    /// Orders of the page whose holds cannot be read.
    pub unreadable: Vec<OrderId>,
    /// Last order of the page, also if its hold cannot be read. None if there were none.
    pub last: Option<OrderId>,
    /// True if more orders follow.
    pub more: bool,
}

/// Client of the products function.
#[derive(Clone)]
pub struct Products {
    client: ProductServiceClient<Channel>,
    clock: Clock,
}

impl Products {
    /// Creates a client that calls products over `channel`.
    pub fn new(channel: Channel, clock: Clock) -> Self {
        Self { client: ProductServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE), clock }
    }

    /// Declares the items held for the order as of this revision, all or none. Returns their products.
    ///
    /// # Errors
    /// 422 for items that cannot be ordered, 409 for a shortage. 503 when it is unknown whether they are
    /// held.
    pub async fn hold(
        &self,
        context: &Context,
        order: OrderId,
        revision: i64,
        items: &[NewItem],
    ) -> Result<Vec<Held>, HoldError> {
        let request = wire::HoldStockRequest {
            order_id: order.to_string(),
            revision,
            items: items.iter().map(|item| stock_item(item.product_id, item.quantity)).collect(),
        };
        let answer = self.client.clone().hold_stock(self.request(request, context)).await;
        let held = answer.map_err(HoldError::from)?.into_inner().products;
        if held.len() != items.len() {
            let message = format!("{} products for {} items", held.len(), items.len());
            return Err(HoldError::Failed(Error::internal(message)));
        }
        items
            .iter()
            .zip(held)
            .map(|(item, product)| held_product(item, product).map_err(HoldError::Failed))
            .collect()
    }

    /// Declares the units held for an order that no part has moved, as of this revision. Declaring them twice or
    /// late is safe.
    ///
    /// # Errors
    /// Fails when it is unknown whether they are held.
    pub async fn hold_units(
        &self,
        context: &Context,
        order: OrderId,
        revision: i64,
        units: &[HeldUnits],
    ) -> Result<(), Error> {
        let items = units.iter().map(|held| stock_item(held.product_id, held.quantity)).collect();
        let request = wire::HoldStockRequest { order_id: order.to_string(), revision, items };
        done(self.client.clone().hold_stock(self.request(request, context)).await)
    }

    /// Declares the held, shipped and restocked units of all items of an order, as of this revision. `before` has the
    /// counts from before its oldest task, without products of which both are 0. Declaring it twice or late is safe.
    ///
    /// # Errors
    /// Fails when it is unknown whether the stock has moved.
    pub async fn move_stock(
        &self,
        context: &Context,
        order: OrderId,
        revision: i64,
        items: &[StockTotals],
        before: &[StockCounts],
    ) -> Result<(), Error> {
        let items = items.iter().map(|item| moved_item(item, before)).collect();
        let request = wire::MoveStockRequest { order_id: order.to_string(), revision, items };
        done(self.client.clone().move_stock(self.request(request, context)).await)
    }

    /// Runs one stock task for an order with these items, as builds do that know no parts. Running it twice or late
    /// is safe.
    ///
    /// # Errors
    /// Fails when it is unknown whether the task is done, and for a task of which the items do not say all.
    pub async fn run(
        &self,
        context: &Context,
        order: OrderId,
        items: &[Item],
        task: &Task,
    ) -> Result<(), Error> {
        let order_id = order.to_string();
        let revision = task.revision;
        let items_of = || items.iter().map(|item| stock_item(item.product_id, item.quantity)).collect();
        let mut client = self.client.clone();
        match task.kind {
            TaskKind::Hold => {
                let request = wire::HoldStockRequest { order_id, revision, items: items_of() };
                done(client.hold_stock(self.request(request, context)).await)
            }
            TaskKind::Release => {
                let request = wire::HoldStockRequest { order_id, revision, items: Vec::new() };
                done(client.hold_stock(self.request(request, context)).await)
            }
            TaskKind::Ship => {
                let request = wire::ShipStockRequest { order_id, revision, items: items_of() };
                done(client.ship_stock(self.request(request, context)).await)
            }
            TaskKind::Restock => {
                let request = wire::RestockReturnedRequest { order_id, revision, items: items_of() };
                done(client.restock_returned(self.request(request, context)).await)
            }
            TaskKind::Move => Err(Error::internal("a task of parts has totals, and not items alone")),
            TaskKind::Unknown(_) => Err(Error::internal("a stock task of a newer build")),
        }
    }

    /// Reads a page of live or ended holds that have at least this age.
    ///
    /// # Errors
    /// Fails when products is unavailable.
    pub async fn list_holds(
        &self,
        context: &Context,
        ended: bool,
        min_age: Duration,
        after: Option<HoldCursor>,
    ) -> Result<HoldPage, Error> {
        let request = holds_request(ended, min_age, after, HOLDS_PER_PAGE);
        let answer = self.client.clone().list_holds(self.request(request, context)).await?.into_inner();
        let holds: Result<Vec<_>, Error> = answer.holds.into_iter().map(hold_cursor).collect();
        let holds = holds?;
        let last = usize::try_from(HOLDS_PER_PAGE).is_ok_and(|limit| holds.len() < limit);
        let now = convert::trusted_time(answer.now)?;
        // An earlier build does not send it.
        let complete_until = answer.complete_until.map(|at| convert::trusted_time(Some(at))).transpose()?;
        Ok(HoldPage { holds, last, now, complete_until: complete_until.unwrap_or(now.before(min_age)) })
    }

    /// Finds the first live or ended hold that has at least this age, after this cursor. Returns for how long it has
    /// had that age. None if there is none.
    ///
    /// # Errors
    /// Fails when products is unavailable.
    pub async fn first_hold_due(
        &self,
        context: &Context,
        ended: bool,
        min_age: Duration,
        after: Option<HoldCursor>,
    ) -> Result<Option<Duration>, Error> {
        let request = holds_request(ended, min_age, after, 1);
        let answer = self.client.clone().list_holds(self.request(request, context)).await?.into_inner();
        let now = convert::trusted_time(answer.now)?;
        let first = answer.holds.into_iter().next().map(hold_cursor).transpose()?;
        Ok(first.map(|first| now.before(min_age).since(first.at)))
    }

    /// Finds the time of the oldest entry of the journals. None if there is none.
    ///
    /// # Errors
    /// Fails when products is unavailable.
    pub async fn oldest_entry(&self, context: &Context) -> Result<Option<Timestamp>, Error> {
        let request = self.request(wire::GetOldestEntryRequest {}, context);
        let answer = self.client.clone().get_oldest_entry(request).await?.into_inner();
        answer.at.map(|at| convert::trusted_time(Some(at))).transpose()
    }

    /// Holds of these orders, ended ones included.
    ///
    /// # Errors
    /// Fails when products is unavailable.
    pub async fn holds_of(&self, context: &Context, orders: &[OrderId]) -> Result<Vec<Hold>, Error> {
        let mut order_ids: Vec<String> = orders.iter().map(OrderId::to_string).collect();
        let mut holds = Vec::new();
        while !order_ids.is_empty() {
            let asked = order_ids.len();
            let request = wire::GetHoldsRequest { order_ids };
            let answer = self.client.clone().get_holds(self.request(request, context)).await?.into_inner();
            for hold in answer.holds {
                holds.push(Hold::from_message(hold)?);
            }
            order_ids = answer.remaining_order_ids;
            if order_ids.len() >= asked {
                return Err(Error::internal("an answer about holds leaves all orders out"));
            }
        }
        Ok(holds)
    }

    /// Deletes ended holds of these orders that have at least this age. Returns the number of orders.
    ///
    /// # Errors
    /// Fails when products is unavailable.
    pub async fn prune_holds(
        &self,
        context: &Context,
        orders: &[OrderId],
        min_age: Duration,
    ) -> Result<i64, Error> {
        let order_ids = orders.iter().map(OrderId::to_string).collect();
        let request = wire::PruneHoldsRequest { order_ids, min_age: seconds(min_age) };
        Ok(self.client.clone().prune_holds(self.request(request, context)).await?.into_inner().pruned)
    }

    /// Moves the entries of up to `limit` journals after this product into the holds of their orders.
    ///
    /// # Errors
    /// Fails when products is unavailable.
    pub async fn fold_journals(
        &self,
        context: &Context,
        after: Option<ProductId>,
        limit: i64,
    ) -> Result<FoldedPage, Error> {
        let request = wire::FoldJournalsRequest { after: after.map(|product| product.to_string()), limit };
        let answer = self.client.clone().fold_journals(self.request(request, context)).await?.into_inner();
        Ok(FoldedPage {
            folded: answer.folded,
            failed: answer.failed,
            oldest: answer.oldest.map(|at| convert::trusted_time(Some(at))).transpose()?,
            last: answer.last.as_deref().map(convert::trusted_id).transpose()?,
            more: answer.more,
        })
    }

    /// Reads the live holds of up to `limit` orders after this one for the consistency check.
    ///
    /// # Errors
    /// Fails when products is unavailable.
    pub async fn audit_holds(
        &self,
        context: &Context,
        after: Option<OrderId>,
        limit: i64,
    ) -> Result<AuditedHolds, Error> {
        let request = wire::AuditHoldsRequest { after: after.map(|order| order.to_string()), limit };
        let answer = self.client.clone().audit_holds(self.request(request, context)).await?.into_inner();
        let holds: Result<_, Error> = answer.holds.into_iter().map(Hold::from_message).collect();
        let last = answer.last.as_deref().map(convert::trusted_id).transpose()?;
        let unreadable: Result<_, Error> =
            answer.unreadable.iter().map(|order| convert::trusted_id(order)).collect();
        Ok(AuditedHolds { holds: holds?, unreadable: unreadable?, last, more: answer.more })
    }

    /// Reads up to `limit` products after this one for the consistency check. The flag is true if there are
    /// more.
    ///
    /// # Errors
    /// Fails when products is unavailable.
    pub async fn audit(
        &self,
        context: &Context,
        after: Option<ProductId>,
        limit: i64,
    ) -> Result<(Vec<AuditedProduct>, bool), Error> {
        let request = wire::AuditStockRequest { after: after.map(|product| product.to_string()), limit };
        let answer = self.client.clone().audit_stock(self.request(request, context)).await?.into_inner();
        let products: Result<_, Error> =
            answer.products.into_iter().map(AuditedProduct::from_message).collect();
        Ok((products?, answer.more))
    }

    fn request<T>(&self, message: T, context: &Context) -> tonic::Request<T> {
        let deadline = context.deadline.min(self.clock.now().after(TIMEOUT));
        metadata::request(message, &Context { caller: Caller::System, deadline, ..context.clone() })
    }
}

/// Result of a declaration that follows from a task. A later revision has been applied if this one is obsolete: then
/// what the task asks for was done.
fn done<T>(answer: Result<T, tonic::Status>) -> Result<(), Error> {
    match answer {
        Err(status) if status.code() != Code::Aborted => Err(status.into()),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Item of a declaration, with its counts from before; 0 where nothing was moved.
fn moved_item(item: &StockTotals, before: &[StockCounts]) -> wire::MovedItem {
    let StockTotals { held, counts } = *item;
    let before = before.iter().find(|before| before.product_id == counts.product_id);
    wire::MovedItem {
        product_id: counts.product_id.to_string(),
        held,
        shipped: counts.shipped,
        restocked: counts.restocked,
        shipped_before: before.map_or(0, |before| before.shipped),
        restocked_before: before.map_or(0, |before| before.restocked),
    }
}

fn stock_item(product: ProductId, quantity: i64) -> wire::StockItem {
    wire::StockItem { product_id: product.to_string(), quantity }
}

fn held_product(item: &NewItem, product: wire::HeldProduct) -> Result<Held, Error> {
    if product.product_id != item.product_id.to_string() {
        return Err(Error::internal("the held products are not in the order of the items"));
    }
    let item = Item {
        product_id: item.product_id,
        sku: product.sku,
        name: product.name,
        unit_price: convert::trusted_money(product.price)?,
        quantity: item.quantity,
        amounts: item.amounts.clone(),
    };
    Ok(Held { item, active: product.status == "active" })
}

fn holds_request(
    ended: bool,
    min_age: Duration,
    after: Option<HoldCursor>,
    limit: i64,
) -> wire::ListHoldsRequest {
    wire::ListHoldsRequest {
        ended,
        min_age: seconds(min_age),
        after: after.map(|cursor| wire::HoldPosition {
            at: Some(convert::timestamp(cursor.at)),
            order_id: cursor.order.map(|order| order.to_string()),
        }),
        limit,
    }
}

fn hold_cursor(position: wire::HoldPosition) -> Result<HoldCursor, Error> {
    let order = position.order_id.as_deref().map(convert::trusted_id).transpose()?;
    Ok(HoldCursor { at: convert::trusted_time(position.at)?, order })
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use shared::input::validation::ValidationErrors;

    use super::*;

    #[test]
    fn an_item_has_its_own_counts_from_before_or_none() {
        let [mug, cup] = [ProductId::new(), ProductId::new()];
        let counts = |product_id, shipped, restocked| StockCounts { product_id, shipped, restocked };
        let before = [counts(mug, 2, 1)];
        let moved = |product_id| {
            let item = StockTotals { held: 4, counts: counts(product_id, 3, 1) };
            let moved = moved_item(&item, &before);
            assert_eq!((moved.held, moved.shipped, moved.restocked), (4, 3, 1));
            (moved.shipped_before, moved.restocked_before)
        };
        assert_eq!((moved(mug), moved(cup)), ((2, 1), (0, 0)));
    }

    #[test]
    fn an_obsolete_declaration_was_done() {
        assert!(done(Ok(tonic::Response::new(wire::MoveStockResponse {}))).is_ok());
        assert!(done::<()>(Err(tonic::Status::aborted("superseded"))).is_ok());
        assert!(done::<()>(Err(tonic::Status::unavailable("away"))).is_err());
    }

    #[test]
    fn pointers_of_an_older_products_build_name_items() {
        let mut errors = ValidationErrors::default();
        errors.add("/lines/1/product_id", "unknown");
        let status = tonic::Status::from(errors.into_error());
        let HoldError::Failed(error) = HoldError::from(status) else { panic!("superseded") };
        let pointers: Vec<_> = error.errors().iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/items/1/product_id"]);
    }
}
