//! The REST face of products: the route table, and handlers that convert and call.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{Method, StatusCode};
use shared::auth::{Access, Verifier};
use shared::error::Error;
use shared::http::conditional::{self, IfMatch};
use shared::http::idempotency::IdempotentJson;
use shared::http::routes::{PathId, Routes};
use shared::input::json::{self, Json};
use shared::input::page::PageRequest;
use shared::input::query::Query;
use shared::runtime::context::Context;
use shared::values::ids::ProductKind;

use crate::forms::{CreateProductForm, UpdateProductForm, UpdateStockForm};
use crate::listing::{self, Listing};
use crate::product::Product;
use crate::service::ProductService;
use crate::views::{MovementJson, ProductJson};

type Service = State<Arc<ProductService>>;

/// The route table.
pub fn router(service: Arc<ProductService>, verifier: Verifier) -> Router {
    Routes::verified_by(verifier)
        .route(Method::POST, "/products", create_product, Access::Staff)
        .route(Method::GET, "/products", list_products, Access::Anyone)
        .route(Method::GET, "/products/{id}", get_product, Access::Anyone)
        .route(Method::PUT, "/products/{id}", update_product, Access::Staff)
        .route(Method::PUT, "/products/{id}/stock", update_stock, Access::Staff)
        .route(Method::GET, "/products/{id}/stock/movements", list_stock_movements, Access::Staff)
        .into_router(service)
}

async fn create_product(
    State(products): Service,
    context: Context,
    IdempotentJson(form, key): IdempotentJson<CreateProductForm>,
) -> Result<Response, Error> {
    let request = key.map(|key| key.sent_to("POST /products"));
    let made = products.create(&context, form.check()?, request).await?;
    Ok(made.into_response(|product| {
        let (location, version) = (format!("/products/{}", product.id), product.version);
        conditional::with_etag(version, json::created(&location, &ProductJson::from(product)))
    }))
}

async fn list_products(
    State(products): Service,
    context: Context,
    RawQuery(q): RawQuery,
) -> Result<Response, Error> {
    let query = Query::parse(q.as_deref(), &listing::PARAMETERS)?;
    let listing = Listing::from_query(&query)?;
    let page = products.list(&context, listing, PageRequest::from_query(&query)?).await?;
    let page = page.map(ProductJson::from);
    Ok(query.linked("/products", page.next_cursor.as_deref(), json::answer(StatusCode::OK, &page)))
}

async fn get_product(
    State(products): Service,
    context: Context,
    id: PathId<ProductKind>,
) -> Result<Response, Error> {
    Ok(shown(products.get(&context, id.require()?).await?))
}

/// Never 304, whatever version the client has: stock may have changed, and versions do not tell.
fn shown(product: Product) -> Response {
    conditional::with_etag(product.version, json::answer(StatusCode::OK, &ProductJson::from(product)))
}

async fn update_product(
    State(products): Service,
    context: Context,
    if_match: IfMatch,
    id: PathId<ProductKind>,
    Json(form): Json<UpdateProductForm>,
) -> Result<Response, Error> {
    let change = form.check()?;
    Ok(shown(products.update(&context, id.require()?, &if_match, change).await?))
}

async fn update_stock(
    State(products): Service,
    context: Context,
    if_match: IfMatch,
    id: PathId<ProductKind>,
    IdempotentJson(form, key): IdempotentJson<UpdateStockForm>,
) -> Result<Response, Error> {
    let count = form.check()?;
    let id = id.require()?;
    let request = key.map(|key| key.sent_to(format!("PUT /products/{id}/stock")));
    let made = products.update_stock(&context, id, if_match, count, request).await?;
    Ok(made.into_response(shown))
}

async fn list_stock_movements(
    State(products): Service,
    context: Context,
    id: PathId<ProductKind>,
    RawQuery(q): RawQuery,
) -> Result<Response, Error> {
    let query = Query::parse(q.as_deref(), &["limit", "cursor"])?;
    let page = PageRequest::from_query(&query)?;
    let id = id.require()?;
    let page = products.list_stock_movements(&context, id, page).await?.map(MovementJson::from);
    let path = format!("/products/{id}/stock/movements");
    Ok(query.linked(&path, page.next_cursor.as_deref(), json::answer(StatusCode::OK, &page)))
}
