//! The REST face of orders: the route table, and handlers that convert and call.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{Method, StatusCode};
use shared::auth::{Access, Verifier};
use shared::error::Error;
use shared::http::conditional::{self, IfMatch, IfNoneMatch};
use shared::http::idempotency::IdempotentJson;
use shared::http::routes::{PathId, Routes};
use shared::input::json::{self, Json};
use shared::input::page::PageRequest;
use shared::input::query::Query;
use shared::runtime::context::Context;
use shared::values::ids::OrderKind;

use crate::forms::{CreateOrderForm, UpdateOrderForm};
use crate::listing::{self, Listing};
use crate::service::OrderService;
use crate::views::{ConsistencyPageJson, OrderJson};

type Service = State<Arc<OrderService>>;

/// The route table.
pub fn router(service: Arc<OrderService>, verifier: Verifier) -> Router {
    Routes::verified_by(verifier)
        .route(Method::POST, "/orders", place_order, Access::SignedIn)
        .route(Method::GET, "/orders", list_orders, Access::SignedIn)
        .route(Method::GET, "/orders/consistency", check_consistency, Access::Admin)
        .route(Method::GET, "/orders/{id}", get_order, Access::SignedIn)
        .route(Method::PUT, "/orders/{id}", update_order, Access::SignedIn)
        .into_router(service)
}

async fn place_order(
    State(orders): Service,
    context: Context,
    IdempotentJson(form, key): IdempotentJson<CreateOrderForm>,
) -> Result<Response, Error> {
    let made = orders.place(&context, form.check()?, key).await?;
    Ok(made.into_response(|order| {
        let (location, version) = (format!("/orders/{}", order.id), order.version);
        conditional::with_etag(version, json::created(&location, &OrderJson::of(order, context.caller)))
    }))
}

async fn list_orders(
    State(orders): Service,
    context: Context,
    RawQuery(q): RawQuery,
) -> Result<Response, Error> {
    let query = Query::parse(q.as_deref(), &listing::PARAMETERS)?;
    let listing = Listing::from_query(&query)?;
    let page = orders.list(&context, listing, PageRequest::from_query(&query)?).await?;
    let page = page.map(|order| OrderJson::of(order, context.caller));
    Ok(query.linked("/orders", page.next_cursor.as_deref(), json::answer(StatusCode::OK, &page)))
}

async fn get_order(
    State(orders): Service,
    context: Context,
    known: IfNoneMatch,
    id: PathId<OrderKind>,
) -> Result<Response, Error> {
    let order = orders.get(&context, id.require()?).await?;
    Ok(known.answer(order.version, || json::answer(StatusCode::OK, &OrderJson::of(order, context.caller))))
}

async fn update_order(
    State(orders): Service,
    context: Context,
    if_match: IfMatch,
    id: PathId<OrderKind>,
    Json(form): Json<UpdateOrderForm>,
) -> Result<Response, Error> {
    let change = form.check()?;
    let id = match id.require() {
        Ok(id) => id,
        Err(not_found) => {
            change.transition.map_err(|errors| errors.into_error())?;
            return Err(not_found);
        }
    };
    let order = orders.update(&context, id, &if_match, change).await?;
    Ok(conditional::with_etag(
        order.version,
        json::answer(StatusCode::OK, &OrderJson::of(order, context.caller)),
    ))
}

async fn check_consistency(
    State(orders): Service,
    context: Context,
    RawQuery(q): RawQuery,
) -> Result<Response, Error> {
    let query = Query::parse(q.as_deref(), &["limit", "cursor"])?;
    // What is no number is told as a limit that is out of range.
    let limit = query.get("limit").map(|text| text.parse().unwrap_or(0));
    let cursor = query.get("cursor").map(str::to_owned);
    let checked = orders.check_consistency(&context, limit, cursor).await?;
    let next = checked.next_cursor.clone();
    let answer = json::answer(StatusCode::OK, &ConsistencyPageJson::from(checked));
    Ok(query.linked("/orders/consistency", next.as_deref(), answer))
}
