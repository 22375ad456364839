//! What orders say of themselves in the OpenAPI document, in the order of the route table.

use http::{Method, StatusCode};
use shared::auth::Access;
use shared::error::Kind;
use shared::openapi::schemas::Schemas;
use shared::openapi::values::{bound, id_of, matching, one_of, sort};
use shared::openapi::{Operation, Part};
use shared::values::ids::{OrderKind, ProductKind, UserKind};

use crate::forms::{CreateOrderForm, UpdateOrderForm};
use crate::listing;
use crate::service::consistency;
use crate::status::Status;
use crate::views::{ConsistencyPageJson, OrderJson};

const TAG: &str = "Orders";

/// What `Number::parse_loosely` takes.
const NUMBER: &str = "^[0-9A-TV-Za-tv-z]{4}-?[0-9A-TV-Za-tv-z]{4}$";

/// Operations and schemas.
pub fn part() -> Part {
    schemas(operations(Part::default()))
}

fn operations(part: Part) -> Part {
    part.operation(place_order())
        .operation(list_orders())
        .operation(check_consistency())
        .operation(get_order())
        .operation(update_order())
}

fn place_order() -> Operation {
    Operation::new(Method::POST, "/orders", "placeOrder", Access::SignedIn)
        .says(
            TAG,
            "HoldCursor an order",
            "Holds the stock of all items, or of none, until the order is shipped or ends. Names and prices are \
             those of the products at this moment, whatever happens to them later.\n\nCustomers order for \
             themselves; staff may name another user. Send an `Idempotency-Key`, so that a request of which the \
             answer is lost can be sent again without a second order: the key lasts as long as the order. After a \
             503 the same request with the same key may be sent again at once.",
        )
        .takes("NewOrder")
        .answers(StatusCode::CREATED, "Order", "The order, placed.")
        .with_header("Location")
        .with_header("ETag")
        .keyed()
        .problems(&[Kind::Forbidden, Kind::InsufficientStock, Kind::TooManyHolds])
}

fn list_orders() -> Operation {
    Operation::new(Method::GET, "/orders", "listOrders", Access::SignedIn)
        .says(
            TAG,
            "List orders",
            "Newest first, unless `sort` says otherwise; ties by ID. Customers see their own orders, whatever they filter \
             by; staff see all. Filters add up.",
        )
        .query("status", one_of(Status::ALL.map(Status::name)), "Orders in this status.")
        .query("user_id", id_of::<UserKind>(), "Orders of this user.")
        .query("product_id", id_of::<ProductKind>(), "Orders with this product among their items.")
        .query("number", matching(NUMBER), "The order of this number, in any case, with or without the dash.")
        .query("created_from", bound(), "Orders placed at this time or later.")
        .query("created_to", bound(), "Orders placed before this time.")
        .query("sort", sort(&listing::SORTS), "By what; `total` is the amount alone, whatever its currency.")
        .pages("Order", "A page of orders.")
}

fn check_consistency() -> Operation {
    Operation::new(Method::GET, "/orders/consistency", "checkConsistency", Access::Admin)
        .says(
            TAG,
            "Compare orders with stock",
            "Reads all products and then all orders, page by page, and lists what disagrees: nothing should. What \
             a request that is still running explains is not listed. Follow `next_cursor` until it is null.",
        )
        .pages_of(consistency::DEFAULT_LIMIT, consistency::MAX_LIMIT)
        .answers(StatusCode::OK, "Consistency", "What was read, and what is wrong with it.")
        .heading("Link")
}

fn get_order() -> Operation {
    Operation::new(Method::GET, "/orders/{id}", "getOrder", Access::SignedIn)
        .says(TAG, "Get an order", "Another customer's order is 404, as one that there is not.")
        .id::<OrderKind>()
        .answers(StatusCode::OK, "Order", "The order.")
        .with_header("ETag")
        .unless_known()
}

fn update_order() -> Operation {
    Operation::new(Method::PUT, "/orders/{id}", "updateOrder", Access::SignedIn)
        .says(
            TAG,
            "Change an order, or its status",
            "What the body does not name stays as it is.\n\n| from | to | who | what else |\n| --- | --- | --- | --- \
             |\n| `placed` | `paid` | staff | `payment` with `reference` |\n| `placed`, `paid` | `cancelled` | the \
             owner while `placed`, staff | |\n| `paid` | `shipped` | staff | `tracking` |\n| `shipped` | \
             `delivered` | staff | |\n| `delivered` | `returned` | staff | `restock` |\n| `returned`, or `cancelled` \
             after it was paid | `refunded` | staff | `payment` with `refund_reference` |\n\nThe status that the \
             order has already is 200: nothing changes, and what came with it is ignored.\n\nThe owner may change \
             `shipping_address`, `items` and `note` while `placed`; staff the items while `placed`, the address \
             while `placed` or `paid`, and `note` and `metadata` always. `items` are not changed together with \
             `status`; the hold follows them, all or nothing.",
        )
        .id::<OrderKind>()
        .takes("OrderChange")
        .answers(StatusCode::OK, "Order", "The order as it stands now.")
        .with_header("ETag")
        .of_version()
        .problems(&[
            Kind::Forbidden,
            Kind::InvalidTransition,
            Kind::OrderNotEditable,
            Kind::InsufficientStock,
            Kind::TooManyHolds,
        ])
}

fn schemas(part: Part) -> Part {
    let schemas = Schemas::default()
        .with::<CreateOrderForm>()
        .with::<UpdateOrderForm>()
        .with::<OrderJson>()
        .with::<ConsistencyPageJson>();
    schemas.components().fold(part, |part, (name, schema)| part.schema(name, schema))
}
