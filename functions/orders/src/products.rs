//! The products function, as orders sees it: declares what is held for an order, and tells what is.

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

use crate::order::{Held, Item, NewItem, Task, TaskKind};

/// How long a call may take, at most: less than the request that it is made for, and than products is given. The first
/// attempt has half of it, which is longer than products has patience with a transaction that others are in the way of:
/// a second attempt beside the first would only add to the rush.
const TIMEOUT: Duration = Duration::from_secs(18);

/// How many holds a step of the walk has, at most.
const HOLDS_PER_STEP: i64 = 500;

/// Why stock was not held.
#[derive(Debug)]
pub enum HoldError {
    /// A later revision of the order's stock has been applied already: this one is not wanted any more.
    Superseded,
    /// Everything else.
    Failed(Error),
}

impl From<tonic::Status> for HoldError {
    fn from(status: tonic::Status) -> Self {
        if status.code() == Code::Aborted {
            return Self::Superseded;
        }
        Self::Failed(Error::from(status))
    }
}

/// A place in the walk over holds: in the order of time and order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HoldCursor {
    /// When the order's stock was declared last, by the database's clock.
    pub at: Timestamp,
    /// Whose. None, as a place to begin: before all orders of this time.
    pub order: Option<OrderId>,
}

/// A step of the walk over holds.
#[derive(Debug)]
pub struct HoldPage {
    /// The holds, in the order of the walk.
    pub holds: Vec<HoldCursor>,
    /// Whether nothing came after them when they were read.
    pub last: bool,
    /// The database's clock when they were read.
    pub now: Timestamp,
}

impl HoldPage {
    /// Whose holds they are, each order once.
    pub fn orders(&self) -> Vec<OrderId> {
        let orders: BTreeSet<OrderId> = self.holds.iter().filter_map(|place| place.order).collect();
        orders.into_iter().collect()
    }
}

/// What a product keeps of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Whose.
    pub order: OrderId,
    /// Of which product.
    pub product: ProductId,
    /// How many pieces; 0 once it has ended.
    pub quantity: i64,
    /// When it was declared, by the database's clock.
    pub at: Timestamp,
}

impl Hold {
    fn from_message(hold: wire::Hold) -> Result<Self, Error> {
        Ok(Self {
            order: convert::trusted_id(&hold.order_id)?,
            product: convert::trusted_id(&hold.product_id)?,
            quantity: hold.quantity,
            at: convert::trusted_time(hold.at)?,
        })
    }
}

/// A product with what its stock can be checked by, all as of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedProduct {
    /// Which product.
    pub id: ProductId,
    /// Pieces in the house.
    pub on_hand: i64,
    /// Pieces held.
    pub reserved: i64,
    /// The sum of the ledger.
    pub ledger: i64,
    /// Its live holds.
    pub holds: Vec<Hold>,
}

impl AuditedProduct {
    fn from_message(product: wire::AuditedProduct) -> Result<Self, Error> {
        let holds: Result<_, Error> = product.holds.into_iter().map(Hold::from_message).collect();
        Ok(Self {
            id: convert::trusted_id(&product.product_id)?,
            on_hand: product.on_hand,
            reserved: product.reserved,
            ledger: product.ledger,
            holds: holds?,
        })
    }
}

/// A way to the products function.
#[derive(Clone)]
pub struct Products {
    client: ProductServiceClient<Channel>,
    clock: Clock,
}

impl Products {
    /// The products function at the other end of `channel`.
    pub fn new(channel: Channel, clock: Clock) -> Self {
        Self { client: ProductServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE), clock }
    }

    /// Declares that as of this revision these items are held for the order, all or none, and answers what
    /// their products are.
    ///
    /// # Errors
    /// 422 for what cannot be ordered, 409 for what is short; 503 when it is not known whether it is held.
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

    /// Does what follows from a decision for the stock of an order with these items. May be done twice, and late.
    ///
    /// # Errors
    /// When it is not known whether it is done.
    pub async fn run(
        &self,
        context: &Context,
        order: OrderId,
        items: &[Item],
        task: Task,
    ) -> Result<(), Error> {
        let order_id = order.to_string();
        let revision = task.revision;
        let items_of = || items.iter().map(|item| stock_item(item.product_id, item.quantity)).collect();
        let mut client = self.client.clone();
        let result = match task.kind {
            TaskKind::Hold => {
                let request = wire::HoldStockRequest { order_id, revision, items: items_of() };
                client.hold_stock(self.request(request, context)).await.map(|_| ())
            }
            TaskKind::Release => {
                let request = wire::HoldStockRequest { order_id, revision, items: Vec::new() };
                client.hold_stock(self.request(request, context)).await.map(|_| ())
            }
            TaskKind::Ship => {
                let request = wire::ShipStockRequest { order_id, revision, items: items_of() };
                client.ship_stock(self.request(request, context)).await.map(|_| ())
            }
            TaskKind::Restock => {
                let request = wire::RestockReturnedRequest { order_id, revision, items: items_of() };
                client.restock_returned(self.request(request, context)).await.map(|_| ())
            }
        };
        match result {
            // A later revision has been applied, and an order's tasks run in their order: this one was done.
            Err(status) if status.code() == Code::Aborted => Ok(()),
            result => Ok(result?),
        }
    }

    /// A step of the walk over holds, live or ended ones, that are at least so old.
    ///
    /// # Errors
    /// When products is away.
    pub async fn walk_holds(
        &self,
        context: &Context,
        ended: bool,
        min_age: Duration,
        after: Option<HoldCursor>,
    ) -> Result<HoldPage, Error> {
        let request = wire::ListHoldsRequest {
            ended,
            min_age: seconds(min_age),
            after: after.map(|place| wire::HoldPosition {
                at: Some(convert::timestamp(place.at)),
                order_id: place.order.map(|order| order.to_string()),
            }),
            limit: HOLDS_PER_STEP,
        };
        let answer = self.client.clone().list_holds(self.request(request, context)).await?.into_inner();
        let holds: Result<Vec<_>, Error> = answer.holds.into_iter().map(place_of).collect();
        let holds = holds?;
        let last = usize::try_from(HOLDS_PER_STEP).is_ok_and(|step| holds.len() < step);
        Ok(HoldPage { holds, last, now: convert::trusted_time(answer.now)? })
    }

    /// What products keep of these orders, ended holds included.
    ///
    /// # Errors
    /// When products is away.
    pub async fn holds_of(&self, context: &Context, orders: &[OrderId]) -> Result<Vec<Hold>, Error> {
        let request = wire::GetHoldsRequest { order_ids: orders.iter().map(OrderId::to_string).collect() };
        let answer = self.client.clone().get_holds(self.request(request, context)).await?.into_inner();
        answer.holds.into_iter().map(Hold::from_message).collect()
    }

    /// Has ended holds of these orders forgotten, those that are at least so old, and answers how many.
    ///
    /// # Errors
    /// When products is away.
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

    /// Up to `limit` products after this one with what their stock can be checked by, and whether there are more.
    ///
    /// # Errors
    /// When products is away.
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
    };
    Ok(Held { item, active: product.status == "active" })
}

fn place_of(position: wire::HoldPosition) -> Result<HoldCursor, Error> {
    let order = position.order_id.as_deref().map(convert::trusted_id).transpose()?;
    Ok(HoldCursor { at: convert::trusted_time(position.at)?, order })
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
