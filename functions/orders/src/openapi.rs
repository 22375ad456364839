//! What orders say of themselves in the OpenAPI document, in the order of the route table.

use http::{Method, StatusCode};
use shared::auth::Access;
use shared::error::Kind;
use shared::openapi::values::{
    Fields, bound, flag, id_of, integer, line, list, matching, named, one_of, or_null, prose, shown_map,
    sort, string_map, text, timestamp, user_or, whole,
};
use shared::openapi::{Operation, Part, Shape};
use shared::values::ids::{OrderKind, ProductKind, UserKind};

use crate::forms::{MAX_ITEMS, MAX_QUANTITY};
use crate::listing;
use crate::service::consistency;
use crate::status::Status;

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
    part.schema("OrderStatus", one_of(Status::ALL.map(Status::name)))
        .schema("NewItem", new_item())
        .schema("NewOrder", new_order())
        .schema("OrderChange", order_change())
        .schema("PaymentChange", payment_change())
        .schema("TrackingChange", tracking_change())
        .schema("Order", order())
        .schema("Item", item())
        .schema("Payment", payment())
        .schema("Tracking", tracking())
        .schema("StatusChange", status_change())
        .schema("Consistency", consistency_page())
        .schema("Violation", violation())
}

fn new_items() -> Shape {
    list(named("NewItem")).min_items(Some(1)).max_items(Some(MAX_ITEMS)).into()
}

fn new_item() -> Shape {
    Fields::sent("A product, and how many of it.")
        .has("product_id", id_of::<ProductKind>(), "An active product; each product stands in one item.")
        .has("quantity", integer(1, MAX_QUANTITY), "How many.")
        .into()
}

fn new_order() -> Shape {
    Fields::sent("An order to be placed.")
        .has("items", new_items(), "Distinct products, all in one currency.")
        .has("shipping_address", named("NewAddress"), "Where to send it.")
        .may_have("note", or_null(prose(2_000)), "Anything that the shop should know.")
        .may_have("user_id", or_null(id_of::<UserKind>()), "For whom; by default whoever orders. For staff.")
        .may_have("metadata", or_null(string_map("Anything of yours.")), "Anything of yours.")
        .into()
}

fn order_change() -> Shape {
    Fields::sent("What is to change. Absent: stays as it is. Null: is cleared, where it may be.")
        .may_have("status", named("OrderStatus"), "The status that the order is to have.")
        .may_have("reason", or_null(line(1, 500)), "Why its status changes; belongs to `status`.")
        .may_have(
            "restock",
            or_null(flag()),
            "With `returned`: whether the stock is on hand again; else it is not.",
        )
        .may_have("items", new_items(), "All its items, while it is placed; not together with `status`.")
        .may_have("shipping_address", named("NewAddress"), "Where to send it, as a whole.")
        .may_have("note", or_null(prose(2_000)), "Anything that the shop should know.")
        .may_have("metadata", string_map("Anything of yours, as a whole."), "Anything of yours, as a whole.")
        .may_have("payment", or_null(named("PaymentChange")), "With `paid` and `refunded`.")
        .may_have("tracking", or_null(named("TrackingChange")), "With `shipped`.")
        .into()
}

fn payment_change() -> Shape {
    Fields::sent("How an order was paid, or paid back.")
        .may_have(
            "reference",
            or_null(line(1, 100)),
            "What the payment is called elsewhere: needed by `paid`.",
        )
        .may_have("method", or_null(line(1, 100)), "With `paid`: how, such as `card`.")
        .may_have("refund_reference", or_null(line(1, 100)), "Needed by `refunded`.")
        .into()
}

fn tracking_change() -> Shape {
    Fields::sent("Where a parcel can be followed. `shipped` needs both.")
        .may_have("carrier", or_null(line(1, 100)), "Who brings it.")
        .may_have("number", or_null(line(1, 100)), "What they call it.")
        .into()
}

fn order() -> Shape {
    Fields::shown("An order.")
        .has("id", id_of::<OrderKind>(), "What programs call it.")
        .has("number", matching("^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$"), "What people call it.")
        .has("user_id", id_of::<UserKind>(), "Whose it is.")
        .has("status", named("OrderStatus"), "Where it stands.")
        .has("items", list(named("Item")), "What was ordered.")
        .has("total", named("Money"), "For all items.")
        .has("shipping_address", named("Address"), "Where to send it.")
        .has("note", or_null(text()), "Anything that the shop should know.")
        .has("metadata", shown_map("Anything of yours."), "Anything of yours.")
        .has("payment", named("Payment"), "How it was paid.")
        .has("tracking", named("Tracking"), "Where the parcel can be followed.")
        .has("history", list(named("StatusChange")), "Every change of its status, the first one first.")
        .has(
            "expires_at",
            or_null(timestamp()),
            "When it is cancelled if unpaid; null once it is not `placed`.",
        )
        .has("version", whole(1), "Rises with every change; the `ETag`.")
        .has("created_at", timestamp(), "When it was placed.")
        .has("updated_at", timestamp(), "When it last changed.")
        .into()
}

fn item() -> Shape {
    Fields::shown("An item of an order, as the product was when it was ordered.")
        .has("product_id", id_of::<ProductKind>(), "The product.")
        .has("sku", text(), "Its SKU.")
        .has("name", text(), "Its name.")
        .has("unit_price", named("Money"), "For one.")
        .has("quantity", whole(1), "How many.")
        .has("total", named("Money"), "For all of them.")
        .into()
}

fn payment() -> Shape {
    Fields::shown("How an order was paid, and paid back.")
        .has("reference", or_null(text()), "What the payment is called elsewhere.")
        .has("method", or_null(text()), "How.")
        .has("refund_reference", or_null(text()), "What the refund is called elsewhere.")
        .into()
}

fn tracking() -> Shape {
    Fields::shown("Where a parcel can be followed; null before it is on its way.")
        .has("carrier", or_null(text()), "Who brings it.")
        .has("number", or_null(text()), "What they call it.")
        .into()
}

fn status_change() -> Shape {
    Fields::shown("A change of an order's status.")
        .has("at", timestamp(), "When.")
        .has("from", or_null(one_of(Status::ALL.map(Status::name))), "The status before; null for the first.")
        .has("to", named("OrderStatus"), "The status from then on.")
        .has("by", user_or(&["system", "staff"]), "A user, `system`, or `staff` where a customer looks.")
        .has("reason", or_null(text()), "Why.")
        .into()
}

fn consistency_page() -> Shape {
    let counts = Fields::shown("How much was read.").has("orders", whole(0), "Orders.").has(
        "products",
        whole(0),
        "Products.",
    );
    Fields::shown("A page of the comparison of orders with stock.")
        .has("checked", counts, "How much was read.")
        .has("violations", list(named("Violation")), "What is wrong.")
        .has(
            "next_cursor",
            or_null(shared::openapi::values::opaque()),
            "`cursor` of the next page; null on the last.",
        )
        .into()
}

fn violation() -> Shape {
    let kinds = consistency::ViolationKind::ALL.map(consistency::ViolationKind::name);
    Fields::shown("What is wrong.")
        .has("kind", one_of(kinds), "Which promise is broken.")
        .has("order_id", or_null(id_of::<OrderKind>()), "Which order it is about.")
        .has("product_id", or_null(id_of::<ProductKind>()), "Which product it is about.")
        .has("detail", text(), "The numbers.")
        .into()
}
