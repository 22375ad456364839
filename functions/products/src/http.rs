//! REST: each route as a row with its documentation, and its handler below it.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use shared::auth::{Access, Verifier};
use shared::error::{Error, Kind};
use shared::http::conditional::{self, IfMatch};
use shared::http::idempotency::IdempotentJson;
use shared::http::routes::{Guard, PathId, ResponseSpec, RouteSpec, RouteTable};
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

const TAG: &str = "Products";

/// The route table.
pub fn routes() -> RouteTable<Arc<ProductService>> {
    RouteTable::new()
        .route(&CREATE_PRODUCT, create_product)
        .route(&LIST_PRODUCTS, list_products)
        .route(&GET_PRODUCT, get_product)
        .route(&UPDATE_PRODUCT, update_product)
        .route(&UPDATE_STOCK, update_stock)
        .route(&LIST_STOCK_MOVEMENTS, list_stock_movements)
}

/// The router of all routes.
pub fn router(service: Arc<ProductService>, verifier: Verifier) -> Router {
    routes().into_router(service, Guard::verified_by(verifier))
}

static CREATE_PRODUCT: RouteSpec = RouteSpec::post("/products", "createProduct")
    .access(Access::Staff)
    .request_body("NewProduct")
    .idempotent()
    .tag(TAG)
    .summary("Add a product")
    .description("An `Idempotency-Key` is good for 24 hours.")
    .responses(&[
        ResponseSpec::json(StatusCode::CREATED, "Product", "The product.").headers(&["Location", "ETag"])
    ])
    .problems(&[Kind::SkuTaken]);

async fn create_product(
    State(products): Service,
    context: Context,
    IdempotentJson(form, key): IdempotentJson<CreateProductForm>,
) -> Result<Response, Error> {
    let request = key.sent_to(CREATE_PRODUCT.name());
    let made = products.create(&context, form.check()?, request).await?;
    Ok(made.into_response(|product| {
        let (location, version) = (format!("/products/{}", product.id), product.version);
        conditional::with_etag(version, json::created(&location, &ProductJson::from(product)))
    }))
}

/// Row of the list; filters, sort and page of products.
pub static LIST_PRODUCTS: RouteSpec = RouteSpec::get("/products", "listProducts")
    .throttled_tightly()
    .access(Access::Anyone)
    .query(listing::PARAMETERS)
    .paged()
    .tag(TAG)
    .summary("List products")
    .description(
        "Newest first, unless `sort` says otherwise; ties by ID. Staff see all products; everybody else sees \
         active ones, whatever they filter by. Filters add up.",
    )
    .responses(&[ResponseSpec::page("Product", "A page of products.")]);

async fn list_products(State(products): Service, context: Context, query: Query) -> Result<Response, Error> {
    let listing = Listing::from_query(&query)?;
    let page = products.list(&context, listing, PageRequest::from_query(&query)?).await?;
    let page = json::bounded(page.map(ProductJson::from))?;
    Ok(query.linked(LIST_PRODUCTS.path, page.next_cursor.as_deref(), json::answer(StatusCode::OK, &page)))
}

static GET_PRODUCT: RouteSpec = RouteSpec::get("/products/{id}", "getProduct")
    .access(Access::Anyone)
    .id::<ProductKind>()
    .tag(TAG)
    .summary("Get a product")
    .description(
        "Drafts and archived products are 404 but for staff. Never 304, so that the stock shown is never stale.",
    )
    .responses(&[ResponseSpec::json(StatusCode::OK, "Product", "The product.").headers(&["ETag"])]);

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

static UPDATE_PRODUCT: RouteSpec = RouteSpec::put("/products/{id}", "updateProduct")
    .access(Access::Staff)
    .id::<ProductKind>()
    .request_body("ProductChange")
    .ordinary_fields(UpdateProductForm::ORDINARY)
    .if_match()
    .tag(TAG)
    .summary("Change a product")
    .description(
        "What the body does not name stays as it is. Orders keep the name and price that they were placed at.",
    )
    .responses(&[CHANGED])
    .problems(&[Kind::SkuTaken]);

/// The response to a change.
const CHANGED: ResponseSpec =
    ResponseSpec::json(StatusCode::OK, "Product", "The product as it stands now.").headers(&["ETag"]);

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

static UPDATE_STOCK: RouteSpec = RouteSpec::put("/products/{id}/stock", "updateStock")
    .access(Access::Staff)
    .id::<ProductKind>()
    .request_body("StockChange")
    .ordinary_fields(UpdateStockForm::ORDINARY)
    .idempotent()
    .if_match()
    .tag(TAG)
    .summary("Count stock, or move it")
    .description(
        "Sets what is on hand to `on_hand`, or moves it by `delta`. What is held for orders stays held: the stock \
         cannot fall below it. An `Idempotency-Key` is good for 24 hours.",
    )
    .responses(&[CHANGED])
    .problems(&[Kind::StockBelowReserved]);

async fn update_stock(
    State(products): Service,
    context: Context,
    if_match: IfMatch,
    id: PathId<ProductKind>,
    IdempotentJson(form, key): IdempotentJson<UpdateStockForm>,
) -> Result<Response, Error> {
    let count = form.check()?;
    let id = id.require()?;
    let request = key.sent_to(format!("PUT {}", UPDATE_STOCK.path_of(id)));
    let made = products.update_stock(&context, id, if_match, count, request).await?;
    Ok(made.into_response(shown))
}

static LIST_STOCK_MOVEMENTS: RouteSpec =
    RouteSpec::get("/products/{id}/stock/movements", "listStockMovements")
        .access(Access::Staff)
        .id::<ProductKind>()
        .paged()
        .tag(TAG)
        .summary("List a product's stock movements")
        .description(
            "Every change of what is on hand, newest first. The sum of all `delta` is what is on hand.",
        )
        .responses(&[ResponseSpec::page("StockMovement", "A page of movements.")]);

async fn list_stock_movements(
    State(products): Service,
    context: Context,
    id: PathId<ProductKind>,
    query: Query,
) -> Result<Response, Error> {
    let page = PageRequest::from_query(&query)?;
    let id = id.require()?;
    let page = products.list_stock_movements(&context, id, page).await?;
    let page = json::bounded(page.map(MovementJson::from))?;
    let path = LIST_STOCK_MOVEMENTS.path_of(id);
    Ok(query.linked(&path, page.next_cursor.as_deref(), json::answer(StatusCode::OK, &page)))
}
