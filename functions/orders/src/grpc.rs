//! The gRPC face of orders: convert, call the service, convert.

use std::sync::Arc;

use proto::orders::v1 as wire;
use proto::orders::v1::order_service_server::OrderService as Rpc;
use shared::auth::Caller;
use shared::error::Error;
use shared::http::conditional::IfMatch;
use shared::http::idempotency::RequestKey;
use shared::rpc::convert;
use shared::rpc::metadata::context_of;
use shared::values::ids::{self, OrderId};
use tonic::{Request, Response, Status};

use crate::forms::{CreateOrderForm, UpdateOrderForm};
use crate::listing::Listing;
use crate::order::{Item, Order};
use crate::service::OrderService;
use crate::service::consistency::Violation;

/// What tonic's server calls.
#[derive(Clone)]
pub struct Grpc(Arc<OrderService>);

impl Grpc {
    /// The face of this service.
    pub fn new(orders: Arc<OrderService>) -> Self {
        Self(orders)
    }
}

#[tonic::async_trait]
impl Rpc for Grpc {
    async fn create_order(
        &self,
        request: Request<wire::CreateOrderRequest>,
    ) -> Result<Response<wire::Order>, Status> {
        let context = context_of(&request)?;
        let key = RequestKey::of_call(request.metadata(), request.get_ref())?;
        let new = CreateOrderForm::from(request.into_inner()).check()?;
        let made = self.0.place(&context, new, key).await?;
        Ok(made.into_rpc(|order| message(order, context.caller)))
    }

    async fn get_order(
        &self,
        request: Request<wire::GetOrderRequest>,
    ) -> Result<Response<wire::Order>, Status> {
        let context = context_of(&request)?;
        let id = order_id(request.into_inner().id)?;
        Ok(Response::new(message(self.0.get(&context, id).await?, context.caller)))
    }

    async fn update_order(
        &self,
        request: Request<wire::UpdateOrderRequest>,
    ) -> Result<Response<wire::Order>, Status> {
        let context = context_of(&request)?;
        let request = request.into_inner();
        let id = order_id(request.id.clone())?;
        let if_match = IfMatch::of_call(request.expected_version);
        let change = UpdateOrderForm::from_message(request)?.check()?;
        Ok(Response::new(message(self.0.update(&context, id, &if_match, change).await?, context.caller)))
    }

    async fn list_orders(
        &self,
        request: Request<wire::ListOrdersRequest>,
    ) -> Result<Response<wire::ListOrdersResponse>, Status> {
        let context = context_of(&request)?;
        let mut request = request.into_inner();
        let page = convert::page(request.page.take())?;
        let page = self.0.list(&context, Listing::from_message(request)?, page).await?;
        let page = page.map(|order| message(order, context.caller));
        Ok(Response::new(wire::ListOrdersResponse { data: page.data, next_cursor: page.next_cursor }))
    }

    async fn reconcile(
        &self,
        request: Request<wire::ReconcileRequest>,
    ) -> Result<Response<wire::ReconcileResponse>, Status> {
        let report = self.0.reconcile(&context_of(&request)?).await?;
        Ok(Response::new(wire::ReconcileResponse {
            tasks_done: report.tasks_done,
            changes_ended: report.changes_ended,
            holds_ended: report.holds_ended,
            orders_expired: report.orders_expired,
            tombstones_pruned: report.tombstones_pruned,
            voids_pruned: report.voids_pruned,
            set_aside: report.deferred,
            finished: report.finished,
        }))
    }

    async fn check_consistency(
        &self,
        request: Request<wire::CheckConsistencyRequest>,
    ) -> Result<Response<wire::CheckConsistencyResponse>, Status> {
        let context = context_of(&request)?;
        let wire::CheckConsistencyRequest { limit, cursor } = request.into_inner();
        let checked = self.0.check_consistency(&context, limit, cursor).await?;
        Ok(Response::new(wire::CheckConsistencyResponse {
            checked: Some(wire::CheckedDocuments { orders: checked.orders, products: checked.products }),
            violations: checked.violations.into_iter().map(violation).collect(),
            next_cursor: checked.next_cursor,
        }))
    }
}

fn violation(violation: Violation) -> wire::Violation {
    wire::Violation {
        kind: violation.kind.name().to_owned(),
        order_id: violation.order.map(|id| id.to_string()),
        product_id: violation.product.map(|id| id.to_string()),
        detail: violation.detail,
    }
}

fn order_id(text: String) -> Result<OrderId, Error> {
    ids::parse(text).map_err(|_| Error::not_found("order"))
}

fn message(order: Order, caller: Caller) -> wire::Order {
    wire::Order {
        id: order.id.to_string(),
        number: order.number.to_string(),
        user_id: order.user_id.to_string(),
        status: order.status.name().to_owned(),
        total: Some(convert::money(order.total(), order.currency)),
        shipping_address: Some(convert::address(&order.shipping_address)),
        note: order.note,
        metadata: order.metadata,
        payment: Some(wire::Payment {
            reference: order.payment.reference,
            method: order.payment.method,
            refund_reference: order.payment.refund_reference,
        }),
        tracking: order.tracking.map(|tracking| wire::Tracking {
            carrier: Some(tracking.carrier),
            number: Some(tracking.number),
        }),
        history: order
            .history
            .into_iter()
            .map(|change| wire::StatusChange {
                by: change.actor_label_for(caller),
                at: Some(convert::timestamp(change.at)),
                from: change.from.map(|status| status.name().to_owned()),
                to: change.to.name().to_owned(),
                reason: change.reason,
            })
            .collect(),
        items: order.items.into_iter().map(item).collect(),
        expires_at: order.expires_at.map(convert::timestamp),
        version: order.version,
        created_at: Some(convert::timestamp(order.created_at)),
        updated_at: Some(convert::timestamp(order.updated_at)),
    }
}

fn item(item: Item) -> wire::OrderItem {
    let currency = item.unit_price.currency();
    wire::OrderItem {
        product_id: item.product_id.to_string(),
        total: Some(convert::money(item.total(), currency)),
        sku: item.sku,
        name: item.name,
        unit_price: Some(convert::money(item.unit_price.amount(), currency)),
        quantity: item.quantity,
    }
}
