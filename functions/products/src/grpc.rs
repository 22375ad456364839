//! The gRPC face of products: convert, call the service, convert.

use std::sync::Arc;

use proto::products::v1 as wire;
use proto::products::v1::product_service_server::{ProductService as Rpc, SERVICE_NAME};
use shared::error::Error;
use shared::http::conditional::IfMatch;
use shared::http::idempotency::{RequestKey, ScopedKey};
use shared::rpc::convert;
use shared::rpc::metadata::context_of;
use shared::runtime::context::Context;
use shared::values::ids::{self, OrderId, ProductId};
use tonic::{Request, Response, Status};

use crate::forms::{self, CreateProductForm, UpdateProductForm, UpdateStockForm, declaration};
use crate::holds::{AuditedHolds, AuditedProduct, Hold, HoldList, HoldPosition};
use crate::listing::Listing;
use crate::product::HeldProduct;
use crate::service::{DeclareError, ProductService};
use crate::stock::{Declaration, DeclarationKind};
use crate::store::Folded;
use crate::views::{message, movement};

/// gRPC service that tonic's server calls.
#[derive(Clone)]
pub struct Grpc(Arc<ProductService>);

impl Grpc {
    /// The face of this service.
    pub fn new(products: Arc<ProductService>) -> Self {
        Self(products)
    }
}

#[tonic::async_trait]
impl Rpc for Grpc {
    async fn create_product(
        &self,
        request: Request<wire::CreateProductRequest>,
    ) -> Result<Response<wire::Product>, Status> {
        let context = context_of(&request)?;
        let key = key(&context, &request, "CreateProduct")?;
        let new = CreateProductForm::from(request.into_inner()).check()?;
        Ok(self.0.create(&context, new, key).await?.into_rpc(message))
    }

    async fn get_product(
        &self,
        request: Request<wire::GetProductRequest>,
    ) -> Result<Response<wire::Product>, Status> {
        let context = context_of(&request)?;
        let id = product_id(request.into_inner().id)?;
        Ok(Response::new(message(self.0.get(&context, id).await?)))
    }

    async fn update_product(
        &self,
        request: Request<wire::UpdateProductRequest>,
    ) -> Result<Response<wire::Product>, Status> {
        let context = context_of(&request)?;
        let request = request.into_inner();
        let id = product_id(request.id.clone())?;
        let if_match = IfMatch::of_call(request.expected_version);
        let change = UpdateProductForm::from_message(request)?.check()?;
        Ok(Response::new(message(self.0.update(&context, id, &if_match, change).await?)))
    }

    async fn list_products(
        &self,
        request: Request<wire::ListProductsRequest>,
    ) -> Result<Response<wire::ListProductsResponse>, Status> {
        let context = context_of(&request)?;
        let mut request = request.into_inner();
        let page = convert::page(request.page.take())?;
        let page = self.0.list(&context, Listing::from_message(request)?, page).await?;
        let page = convert::bounded(page.map(message));
        Ok(Response::new(wire::ListProductsResponse { data: page.data, next_cursor: page.next_cursor }))
    }

    async fn update_stock(
        &self,
        mut request: Request<wire::UpdateStockRequest>,
    ) -> Result<Response<wire::Product>, Status> {
        let context = context_of(&request)?;
        // `If-Match` is no part of what is asked for: over REST it is not in the body.
        let if_match = IfMatch::of_call(request.get_mut().expected_version.take());
        let key = key(&context, &request, "UpdateStock")?;
        let request = request.into_inner();
        let id = product_id(request.id.clone())?;
        let count = UpdateStockForm::from(request).check()?;
        Ok(self.0.update_stock(&context, id, if_match, count, key).await?.into_rpc(message))
    }

    async fn hold_stock(
        &self,
        request: Request<wire::HoldStockRequest>,
    ) -> Result<Response<wire::HoldStockResponse>, Status> {
        let context = context_of(&request)?;
        let wire::HoldStockRequest { order_id, revision, items } = request.into_inner();
        let products = self.declare(&context, DeclarationKind::Hold, order_id, revision, items).await?;
        Ok(Response::new(wire::HoldStockResponse { products: products.into_iter().map(held).collect() }))
    }

    async fn ship_stock(
        &self,
        request: Request<wire::ShipStockRequest>,
    ) -> Result<Response<wire::ShipStockResponse>, Status> {
        let context = context_of(&request)?;
        let wire::ShipStockRequest { order_id, revision, items } = request.into_inner();
        self.declare(&context, DeclarationKind::Ship, order_id, revision, items).await?;
        Ok(Response::new(wire::ShipStockResponse {}))
    }

    async fn restock_returned(
        &self,
        request: Request<wire::RestockReturnedRequest>,
    ) -> Result<Response<wire::RestockReturnedResponse>, Status> {
        let context = context_of(&request)?;
        let wire::RestockReturnedRequest { order_id, revision, items } = request.into_inner();
        self.declare(&context, DeclarationKind::Restock, order_id, revision, items).await?;
        Ok(Response::new(wire::RestockReturnedResponse {}))
    }

    async fn move_stock(
        &self,
        request: Request<wire::MoveStockRequest>,
    ) -> Result<Response<wire::MoveStockResponse>, Status> {
        let context = context_of(&request)?;
        self.apply(&context, forms::moves(request.into_inner())?).await?;
        Ok(Response::new(wire::MoveStockResponse {}))
    }

    async fn list_stock_movements(
        &self,
        request: Request<wire::ListStockMovementsRequest>,
    ) -> Result<Response<wire::ListStockMovementsResponse>, Status> {
        let context = context_of(&request)?;
        let request = request.into_inner();
        let page = convert::page(request.page)?;
        let id = product_id(request.product_id)?;
        let page = convert::bounded(self.0.list_stock_movements(&context, id, page).await?.map(movement));
        Ok(Response::new(wire::ListStockMovementsResponse { data: page.data, next_cursor: page.next_cursor }))
    }

    async fn list_holds(
        &self,
        request: Request<wire::ListHoldsRequest>,
    ) -> Result<Response<wire::ListHoldsResponse>, Status> {
        let context = context_of(&request)?;
        let walk = forms::hold_walk(request.into_inner())?;
        let HoldList { holds, now, complete_until } = self.0.list_holds(&context, walk).await?;
        Ok(Response::new(wire::ListHoldsResponse {
            holds: holds.into_iter().map(position).collect(),
            now: Some(convert::timestamp(now)),
            complete_until: Some(convert::timestamp(complete_until)),
        }))
    }

    async fn get_holds(
        &self,
        request: Request<wire::GetHoldsRequest>,
    ) -> Result<Response<wire::GetHoldsResponse>, Status> {
        let context = context_of(&request)?;
        let orders = forms::orders(request.into_inner().order_ids)?;
        let (holds, left) = self.0.holds_of(&context, &orders).await?;
        Ok(Response::new(wire::GetHoldsResponse {
            holds: holds.into_iter().map(hold).collect(),
            remaining_order_ids: left.iter().map(OrderId::to_string).collect(),
        }))
    }

    async fn prune_holds(
        &self,
        request: Request<wire::PruneHoldsRequest>,
    ) -> Result<Response<wire::PruneHoldsResponse>, Status> {
        let context = context_of(&request)?;
        let (orders, min_age) = forms::pruning(request.into_inner())?;
        let pruned = self.0.prune_holds(&context, &orders, min_age).await?;
        Ok(Response::new(wire::PruneHoldsResponse { pruned: i64::try_from(pruned).unwrap_or(i64::MAX) }))
    }

    async fn fold_journals(
        &self,
        request: Request<wire::FoldJournalsRequest>,
    ) -> Result<Response<wire::FoldJournalsResponse>, Status> {
        let context = context_of(&request)?;
        let (after, limit) = forms::folding(request.into_inner())?;
        Ok(Response::new(folded(self.0.fold_journals(&context, after, limit).await?)))
    }

    async fn get_oldest_entry(
        &self,
        request: Request<wire::GetOldestEntryRequest>,
    ) -> Result<Response<wire::GetOldestEntryResponse>, Status> {
        let context = context_of(&request)?;
        let at = self.0.oldest_entry(&context).await?;
        Ok(Response::new(wire::GetOldestEntryResponse { at: at.map(convert::timestamp) }))
    }

    async fn audit_holds(
        &self,
        request: Request<wire::AuditHoldsRequest>,
    ) -> Result<Response<wire::AuditHoldsResponse>, Status> {
        let context = context_of(&request)?;
        let (after, limit) = forms::audit_of_holds(request.into_inner())?;
        let AuditedHolds { holds, unreadable, last, more } =
            self.0.audit_holds(&context, after, limit).await?;
        Ok(Response::new(wire::AuditHoldsResponse {
            holds: holds.into_iter().map(hold).collect(),
            last: last.map(|order| order.to_string()),
            more,
            unreadable: unreadable.iter().map(OrderId::to_string).collect(),
        }))
    }

    async fn audit_stock(
        &self,
        request: Request<wire::AuditStockRequest>,
    ) -> Result<Response<wire::AuditStockResponse>, Status> {
        let context = context_of(&request)?;
        let (after, limit) = forms::audit(request.into_inner())?;
        let (products, more) = self.0.audit_stock(&context, after, limit).await?;
        Ok(Response::new(wire::AuditStockResponse {
            products: products.into_iter().map(audited).collect(),
            more,
        }))
    }
}

impl Grpc {
    async fn declare(
        &self,
        context: &Context,
        kind: DeclarationKind,
        order_id: String,
        revision: i64,
        items: Vec<wire::StockItem>,
    ) -> Result<Vec<HeldProduct>, Status> {
        self.apply(context, declaration(kind, order_id, revision, items)?).await
    }

    async fn apply(&self, context: &Context, declaration: Declaration) -> Result<Vec<HeldProduct>, Status> {
        self.0.declare(context, declaration).await.map_err(|not_declared| match not_declared {
            DeclareError::Superseded => {
                Status::aborted("a later revision of this order's stock has been applied already")
            }
            DeclareError::Failed(error) => error.into(),
        })
    }
}

/// Key of a call.
fn key(context: &Context, request: &Request<impl prost::Message>, method: &str) -> Result<ScopedKey, Error> {
    let key = RequestKey::of_call(context, request.metadata(), request.get_ref())?;
    Ok(key.sent_to(format!("/{SERVICE_NAME}/{method}")))
}

fn product_id(text: String) -> Result<ProductId, Error> {
    ids::parse(text).map_err(|_| Error::not_found("product"))
}

fn held(product: HeldProduct) -> wire::HeldProduct {
    wire::HeldProduct {
        product_id: product.id.to_string(),
        sku: product.sku.as_str().to_owned(),
        name: product.name,
        price: Some(convert::money(product.price.amount(), product.price.currency())),
        status: product.status.name().to_owned(),
    }
}

fn position(position: HoldPosition) -> wire::HoldPosition {
    wire::HoldPosition {
        at: Some(convert::timestamp(position.at)),
        order_id: Some(position.order.to_string()),
    }
}

fn hold(hold: Hold) -> wire::Hold {
    let (shipped, restocked) = hold.counts.map(|it| (it.shipped, it.restocked)).unzip();
    wire::Hold {
        order_id: hold.order.to_string(),
        product_id: hold.product.to_string(),
        quantity: hold.quantity,
        revision: hold.revision,
        at: Some(convert::timestamp(hold.at)),
        shipped,
        restocked,
    }
}

fn folded(folded: Folded) -> wire::FoldJournalsResponse {
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    wire::FoldJournalsResponse {
        folded: count(folded.folded),
        failed: count(folded.failed),
        oldest: folded.oldest.map(convert::timestamp),
        last: folded.last.map(|product| product.to_string()),
        more: folded.more,
    }
}

fn audited(audited: AuditedProduct) -> wire::AuditedProduct {
    wire::AuditedProduct {
        product_id: audited.product.to_string(),
        on_hand: audited.stock.on_hand,
        reserved: audited.stock.reserved,
        ledger: audited.ledger,
        held: audited.held,
        oldest_entry: audited.oldest_entry.map(convert::timestamp),
        unreadable: audited.unreadable,
    }
}
