//! The products function, as orders sees it: declares what is held for an order.

use std::time::Duration;

use proto::products::v1 as wire;
use proto::products::v1::product_service_client::ProductServiceClient;
use shared::auth::Caller;
use shared::clock::Clock;
use shared::context::Context;
use shared::error::Error;
use shared::ids::OrderId;
use shared::rpc::channel::Channel;
use shared::rpc::convert;
use shared::rpc::entrance::MAX_MESSAGE;
use shared::rpc::metadata;
use tonic::Code;

use crate::order::{Item, NewLine, Order, Task, TaskKind};

/// How long a call may take, at most: less than the request that it is made for.
const TIMEOUT: Duration = Duration::from_secs(10);

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

    /// Holds the lines of a new order, all or none, and answers them with what the products are.
    ///
    /// # Errors
    /// 422 for what cannot be ordered, 409 for what is short; 503 when it is not known whether it is held.
    pub async fn hold(
        &self,
        context: &Context,
        order: OrderId,
        lines: &[NewLine],
    ) -> Result<Vec<Item>, Error> {
        let request = wire::HoldStockRequest {
            order_id: order.to_string(),
            revision: 1,
            lines: lines.iter().map(|line| stock_line(line.product_id, line.quantity)).collect(),
        };
        let held = self
            .client
            .clone()
            .hold_stock(self.request(request, context))
            .await
            .map_err(|status| {
                Error::from(status).map_pointers(|pointer| pointer.replace("/lines/", "/items/"))
            })?
            .into_inner()
            .products;
        if held.len() != lines.len() {
            return Err(Error::internal(format!("{} products for {} lines", held.len(), lines.len())));
        }
        lines.iter().zip(held).map(|(line, product)| item(line, product)).collect()
    }

    /// Does what follows from a decision. May be done twice, and late.
    ///
    /// # Errors
    /// When it is not known whether it is done.
    pub async fn run(&self, context: &Context, order: &Order, task: Task) -> Result<(), Error> {
        let order_id = order.id.to_string();
        let revision = task.revision;
        let lines = order.items.iter().map(|item| stock_line(item.product_id, item.quantity)).collect();
        let mut client = self.client.clone();
        let result = match task.kind {
            TaskKind::Release => {
                let request = wire::HoldStockRequest { order_id, revision, lines: Vec::new() };
                client.hold_stock(self.request(request, context)).await.map(|_| ())
            }
            TaskKind::Ship => {
                let request = wire::ShipStockRequest { order_id, revision, lines };
                client.ship_stock(self.request(request, context)).await.map(|_| ())
            }
            TaskKind::Restock => {
                let request = wire::RestockReturnedRequest { order_id, revision, lines };
                client.restock_returned(self.request(request, context)).await.map(|_| ())
            }
        };
        match result {
            // A later revision has been applied, and an order's tasks run in their order: this one was done.
            Err(status) if status.code() == Code::Aborted => Ok(()),
            result => Ok(result?),
        }
    }

    /// Ends the hold of an order that will not be placed.
    ///
    /// # Errors
    /// When it is not known whether it has ended.
    pub async fn release(&self, context: &Context, order: OrderId) -> Result<(), Error> {
        let request = wire::HoldStockRequest { order_id: order.to_string(), revision: 2, lines: Vec::new() };
        self.client.clone().hold_stock(self.request(request, context)).await?;
        Ok(())
    }

    fn request<T>(&self, message: T, context: &Context) -> tonic::Request<T> {
        let deadline = context.deadline.min(self.clock.now().after(TIMEOUT));
        metadata::request(message, &Context { caller: Caller::System, deadline, ..context.clone() })
    }
}

fn stock_line(product: shared::ids::ProductId, quantity: i64) -> wire::StockLine {
    wire::StockLine { product_id: product.to_string(), quantity }
}

fn item(line: &NewLine, product: wire::HeldProduct) -> Result<Item, Error> {
    if product.product_id != line.product_id.to_string() {
        return Err(Error::internal("the held products are not in the order of the lines"));
    }
    Ok(Item {
        product_id: line.product_id,
        sku: product.sku,
        name: product.name,
        unit_price: convert::trusted_money(product.price)?,
        quantity: line.quantity,
    })
}
