//! The REST face of orders: the route table, and handlers that convert and call.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{Method, StatusCode};
use serde::Serialize;
use shared::auth::{Access, Caller, Verifier};
use shared::error::Error;
use shared::http::conditional::{self, IfMatch, IfNoneMatch};
use shared::http::idempotency::IdempotentJson;
use shared::http::routes::{PathId, Routes};
use shared::input::json::{self, Json};
use shared::input::page::PageRequest;
use shared::input::query::Query;
use shared::runtime::context::Context;
use shared::values::address::Address;
use shared::values::clock::Timestamp;
use shared::values::ids::OrderKind;
use shared::values::money::MoneyJson;

use crate::forms::{CreateOrderForm, UpdateOrderForm};
use crate::listing::{self, Listing};
use crate::order::{Item, Order};
use crate::service::OrderService;
use crate::service::consistency::{ConsistencyPage, Violation};
use crate::status::Status;

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

/// A page of the consistency check as an answer shows it.
#[derive(Serialize)]
struct ConsistencyPageJson {
    checked: CountsJson,
    violations: Vec<ViolationJson>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct CountsJson {
    orders: i64,
    products: i64,
}

#[derive(Serialize)]
struct ViolationJson {
    kind: &'static str,
    order_id: Option<String>,
    product_id: Option<String>,
    detail: String,
}

impl From<ConsistencyPage> for ConsistencyPageJson {
    fn from(checked: ConsistencyPage) -> Self {
        let violation = |violation: Violation| ViolationJson {
            kind: violation.kind.name(),
            order_id: violation.order.map(|id| id.to_string()),
            product_id: violation.product.map(|id| id.to_string()),
            detail: violation.detail,
        };
        Self {
            checked: CountsJson { orders: checked.orders, products: checked.products },
            violations: checked.violations.into_iter().map(violation).collect(),
            next_cursor: checked.next_cursor,
        }
    }
}

/// An order as an answer shows it.
#[derive(Serialize)]
struct OrderJson {
    id: String,
    number: String,
    user_id: String,
    status: &'static str,
    items: Vec<ItemJson>,
    total: MoneyJson,
    shipping_address: Address,
    note: Option<String>,
    metadata: BTreeMap<String, String>,
    payment: PaymentJson,
    tracking: TrackingJson,
    history: Vec<StatusChangeJson>,
    expires_at: Option<Timestamp>,
    version: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

#[derive(Serialize)]
struct ItemJson {
    product_id: String,
    sku: String,
    name: String,
    unit_price: MoneyJson,
    quantity: i64,
    total: MoneyJson,
}

#[derive(Serialize)]
struct PaymentJson {
    reference: Option<String>,
    method: Option<String>,
    refund_reference: Option<String>,
}

#[derive(Serialize)]
struct TrackingJson {
    carrier: Option<String>,
    number: Option<String>,
}

#[derive(Serialize)]
struct StatusChangeJson {
    at: Timestamp,
    from: Option<&'static str>,
    to: &'static str,
    by: String,
    reason: Option<String>,
}

impl OrderJson {
    fn of(order: Order, caller: Caller) -> Self {
        let total = MoneyJson::new(order.total(), order.currency);
        Self {
            id: order.id.to_string(),
            number: order.number.to_string(),
            user_id: order.user_id.to_string(),
            status: order.status.name(),
            items: order.items.into_iter().map(ItemJson::from).collect(),
            total,
            shipping_address: order.shipping_address,
            note: order.note,
            metadata: order.metadata,
            payment: PaymentJson {
                reference: order.payment.reference,
                method: order.payment.method,
                refund_reference: order.payment.refund_reference,
            },
            tracking: match order.tracking {
                Some(tracking) => {
                    TrackingJson { carrier: Some(tracking.carrier), number: Some(tracking.number) }
                }
                None => TrackingJson { carrier: None, number: None },
            },
            history: order
                .history
                .into_iter()
                .map(|change| StatusChangeJson {
                    by: change.actor_label_for(caller),
                    at: change.at,
                    from: change.from.map(Status::name),
                    to: change.to.name(),
                    reason: change.reason,
                })
                .collect(),
            expires_at: order.expires_at,
            version: order.version,
            created_at: order.created_at,
            updated_at: order.updated_at,
        }
    }
}

impl From<Item> for ItemJson {
    fn from(item: Item) -> Self {
        Self {
            product_id: item.product_id.to_string(),
            total: MoneyJson::new(item.total(), item.unit_price.currency()),
            sku: item.sku,
            name: item.name,
            unit_price: item.unit_price.into(),
            quantity: item.quantity,
        }
    }
}
