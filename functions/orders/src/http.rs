//! REST: each route as a row with its documentation, and its handler below it.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use shared::auth::{Access, Verifier};
use shared::error::{Error, Kind};
use shared::http::conditional::{self, IfMatch, IfNoneMatch};
use shared::http::idempotency::IdempotentJson;
use shared::http::routes::{Guard, PathId, ResponseSpec, RouteSpec, RouteTable};
use shared::input::json::{self, Json};
use shared::input::page::PageRequest;
use shared::input::query::Query;
use shared::runtime::context::Context;
use shared::values::ids::OrderKind;

use crate::forms::{CreateOrderForm, UpdateOrderForm};
use crate::listing::{self, Listing};
use crate::service::OrderService;
use crate::service::consistency;
use crate::views::{ConsistencyPageJson, OrderJson};

mod cancellations;
mod fulfillments;
mod payments;
mod returns;

type Service = State<Arc<OrderService>>;

const TAG: &str = "Orders";

/// The route table.
pub fn routes() -> RouteTable<Arc<OrderService>> {
    RouteTable::new()
        .route(&PLACE_ORDER, place_order)
        .route(&LIST_ORDERS, list_orders)
        .route(&CHECK_CONSISTENCY, check_consistency)
        .route(&GET_ORDER, get_order)
        .route(&UPDATE_ORDER, update_order)
        .route(&payments::CREATE_PAYMENT, payments::create_payment)
        .route(&payments::CREATE_REFUND, payments::create_refund)
        .route(&payments::PREVIEW_REFUND, payments::preview_refund)
        .route(&payments::UPDATE_REFUND, payments::update_refund)
        .route(&fulfillments::CREATE_FULFILLMENT, fulfillments::create_fulfillment)
        .route(&fulfillments::UPDATE_FULFILLMENT, fulfillments::update_fulfillment)
        .route(&cancellations::CREATE_CANCELLATION, cancellations::create_cancellation)
        .route(&returns::CREATE_RETURN, returns::create_return)
        .route(&returns::UPDATE_RETURN, returns::update_return)
}

/// The router of all routes.
pub fn router(service: Arc<OrderService>, verifier: Verifier) -> Router {
    routes().into_router(service, Guard::verified_by(verifier))
}

static PLACE_ORDER: RouteSpec = RouteSpec::post("/orders", "placeOrder")
    .throttled_tightly()
    .access(Access::SignedIn)
    .request_body("NewOrder")
    .idempotent()
    .tag(TAG)
    .summary("Place an order")
    .description(
        "Holds the stock of all items, or of none, until the order is shipped or ends. Names and prices are \
         those of the products at this moment, whatever happens to them later.\n\nCustomers order for \
         themselves; staff may name another user. Send an `Idempotency-Key`, so that a request of which the \
         answer is lost can be sent again without a second order: the key lasts as long as the order. After a \
         503 the same request with the same key may be sent again at once.\n\nAn unpaid order expires, \
         after an hour by default; staff may choose `expires_at`, and null is never. A customer has a limit of \
         unpaid orders, and of requests a minute that place, change or cancel them.\n\nStaff may give `discounts`, \
         `taxes` and `shipping`. These amounts are checked and kept, never computed anew: the discounts of an item are at \
         most its price, and a tax differs by 1 at most from its rate's part of what is left. Customers who send them are \
         403.",
    )
    .responses(&[ResponseSpec::json(StatusCode::CREATED, "Order", "The order, placed.")
        .headers(&["Location", "ETag"])])
    .problems(&[
        Kind::Forbidden,
        Kind::InsufficientStock,
        Kind::TooManyOpenOrders,
        Kind::ExternalNumberTaken,
        Kind::TooManyRequests,
    ]);

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

/// Row of the list; filters, sort and page of orders.
pub static LIST_ORDERS: RouteSpec = RouteSpec::get("/orders", "listOrders")
    .access(Access::SignedIn)
    .query(listing::PARAMETERS)
    .paged()
    .tag(TAG)
    .summary("List orders")
    .description(
        "Newest first, unless `sort` says otherwise; ties by ID. Customers see their own orders, whatever they \
         filter by; staff see all. Filters add up.",
    )
    .responses(&[ResponseSpec::page("Order", "A page of orders.")]);

async fn list_orders(State(orders): Service, context: Context, query: Query) -> Result<Response, Error> {
    let listing = Listing::from_query(&query)?;
    let page = orders.list(&context, listing, PageRequest::from_query(&query)?).await?;
    let page = json::bounded(page.map(|order| OrderJson::of(order, context.caller)))?;
    Ok(query.linked(LIST_ORDERS.path, page.next_cursor.as_deref(), json::answer(StatusCode::OK, &page)))
}

static GET_ORDER: RouteSpec = RouteSpec::get("/orders/{id}", "getOrder")
    .access(Access::SignedIn)
    .id::<OrderKind>()
    .if_none_match()
    .tag(TAG)
    .summary("Get an order")
    .description("Another customer's order is 404, as one that there is not.")
    .responses(&[ResponseSpec::json(StatusCode::OK, "Order", "The order.").headers(&["ETag"])]);

async fn get_order(
    State(orders): Service,
    context: Context,
    known: IfNoneMatch,
    id: PathId<OrderKind>,
) -> Result<Response, Error> {
    let order = orders.get(&context, id.require()?).await?;
    Ok(known.answer(order.version, || json::answer(StatusCode::OK, &OrderJson::of(order, context.caller))))
}

static UPDATE_ORDER: RouteSpec = RouteSpec::put("/orders/{id}", "updateOrder")
    .access(Access::SignedIn)
    .id::<OrderKind>()
    .request_body("OrderChange")
    .ordinary_fields(UpdateOrderForm::ORDINARY)
    .if_match()
    .tag(TAG)
    .summary("Change an order, or its status")
    .description(
        "What the body does not name stays as it is.\n\n| from | to | who | what else |\n| --- | --- | --- | --- \
         |\n| `placed` | `paid` | staff | `payment` with `reference`: a payment of what is due |\n| `placed`, `paid` | `cancelled` | the \
         owner while `placed`, staff | only while nothing is shipped |\n| `paid` | `shipped` | staff | `tracking`: a \
         fulfillment of all that is left |\n| `shipped` | `delivered` | staff | all fulfillments are delivered |\n| \
         `shipped`, `delivered` | `returned` | staff | `restock`: a return of all that was shipped, received at once \
         |\n| `returned`, or `cancelled` after it was paid | `refunded` | staff | `payment` with `refund_reference`: a \
         refund of what is left |\n\nPayments, refunds, fulfillments, cancellations and returns have \
         routes of their own. The status follows from them.\n\nThe status \
         that the order has already is 200, and nothing changes; another `payment` or `tracking` beside it is 409.\n\nThe \
         owner may change `shipping_address`, `items` and `note` while `placed`; staff `items` and `expires_at` while `placed`, the \
         address while `placed` or `paid`, and `note`, `internal_note`, `billing_address` and `metadata` always. `items` \
         are not changed together with `status`; the hold follows them, all or nothing. Discounts and taxes go with the \
         list of items; `shipping` stays unless it is sent beside it. Where the shop has given discounts or taxes, the \
         owner does not change the items.",
    )
    .responses(&[
        ResponseSpec::json(StatusCode::OK, "Order", "The order as it stands now.").headers(&["ETag"])
    ])
    .problems(&[
        Kind::Forbidden,
        Kind::InvalidTransition,
        Kind::OrderNotEditable,
        Kind::InsufficientStock,
        Kind::PaymentReferenceTaken,
        Kind::AmountExceeded,
        Kind::QuantityExceeded,
        Kind::TooManyRequests,
    ]);

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

static CHECK_CONSISTENCY: RouteSpec = RouteSpec::get("/orders/consistency", "checkConsistency")
    .access(Access::Admin)
    .paged_within(consistency::DEFAULT_LIMIT, consistency::MAX_LIMIT)
    .tag(TAG)
    .summary("Compare orders with stock")
    .description(
        "Reads all products, then all holds, then all orders, page by page, and lists what disagrees: nothing should. What a \
         request that is still running explains is not listed. Follow `next_cursor` until it is null.",
    )
    .responses(&[ResponseSpec::json(
        StatusCode::OK,
        "Consistency",
        "What was read, and what is wrong with it.",
    )
    .headers(&["Link"])]);

async fn check_consistency(
    State(orders): Service,
    context: Context,
    query: Query,
) -> Result<Response, Error> {
    // What is no number is told as a limit that is out of range.
    let limit = query.get("limit").map(|text| text.parse().unwrap_or(0));
    let cursor = query.get("cursor").map(str::to_owned);
    let checked = orders.check_consistency(&context, limit, cursor).await?;
    let next = checked.next_cursor.clone();
    let answer = json::answer(StatusCode::OK, &ConsistencyPageJson::from(checked));
    Ok(query.linked(CHECK_CONSISTENCY.path, next.as_deref(), answer))
}
