//! What products say of themselves in the OpenAPI document, in the order of the route table.

use http::{Method, StatusCode};
use shared::auth::Access;
use shared::error::Kind;
use shared::openapi::values::{
    Fields, flag, id_of, integer, line, matching, named, one_of, or_null, prose, shown_map, sort, string_map,
    text, timestamp, user_or, whole,
};
use shared::openapi::{Operation, Part, Shape};
use shared::values::ids::{OrderKind, ProductKind};
use shared::values::money::MAX_AMOUNT;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};

use crate::listing;
use crate::product::Status;
use crate::stock::MAX_ON_HAND;

const TAG: &str = "Products";

/// Operations and schemas.
pub fn part() -> Part {
    schemas(operations(Part::default()))
}

fn operations(part: Part) -> Part {
    part.operation(create_product())
        .operation(list_products())
        .operation(get_product())
        .operation(update_product())
        .operation(update_stock())
        .operation(list_stock_movements())
}

fn create_product() -> Operation {
    Operation::new(Method::POST, "/products", "createProduct", Access::Staff)
        .says(TAG, "Add a product", "An `Idempotency-Key` is good for 24 hours.")
        .takes("NewProduct")
        .answers(StatusCode::CREATED, "Product", "The product.")
        .with_header("Location")
        .with_header("ETag")
        .keyed()
        .problem(Kind::SkuTaken)
}

fn list_products() -> Operation {
    Operation::new(Method::GET, "/products", "listProducts", Access::Anyone)
        .says(
            TAG,
            "List products",
            "Newest first, unless `sort` says otherwise; ties by ID. Staff see all products; everybody else sees active \
             ones, whatever they filter by. Filters add up.",
        )
        .query(
            "q",
            text().min_length(Some(1)).max_length(Some(listing::MAX_SEARCH)),
            "Products with every one of these words in name, description or SKU; case and accents are ignored.",
        )
        .query("sku", sku(), "The product of this SKU.")
        .query("currency", named("Currency"), "Products priced in this currency.")
        .query("min_price", price(), "Products at this price or more; needs `currency`.")
        .query("max_price", price(), "Products at this price or less; needs `currency`.")
        .query("in_stock", flag(), "Whether any are available.")
        .query("sort", sort(&listing::SORTS), "By what; `price` is the amount alone, whatever its currency.")
        .query("status", one_of(Status::ALL.map(Status::name)), "Products in this status.")
        .pages("Product", "A page of products.")
}

fn get_product() -> Operation {
    Operation::new(Method::GET, "/products/{id}", "getProduct", Access::Anyone)
        .says(
            TAG,
            "Get a product",
            "Drafts and archived products are 404 but for staff. Never 304, so that the stock shown is never stale.",
        )
        .id::<ProductKind>()
        .answers(StatusCode::OK, "Product", "The product.")
        .with_header("ETag")
}

fn update_product() -> Operation {
    Operation::new(Method::PUT, "/products/{id}", "updateProduct", Access::Staff)
        .says(
            TAG,
            "Change a product",
            "What the body does not name stays as it is. Orders keep the name and price that they were placed at.",
        )
        .id::<ProductKind>()
        .takes("ProductChange")
        .answers(StatusCode::OK, "Product", "The product as it stands now.")
        .with_header("ETag")
        .of_version()
        .problem(Kind::SkuTaken)
}

fn update_stock() -> Operation {
    Operation::new(Method::PUT, "/products/{id}/stock", "updateStock", Access::Staff)
        .says(
            TAG,
            "Count stock, or move it",
            "Sets what is on hand to `on_hand`, or moves it by `delta`. What is held for orders stays held: the stock \
             cannot fall below it. An `Idempotency-Key` is good for 24 hours.",
        )
        .id::<ProductKind>()
        .takes("StockChange")
        .answers(StatusCode::OK, "Product", "The product as it stands now.")
        .with_header("ETag")
        .keyed()
        .of_version()
        .problem(Kind::StockBelowReserved)
}

fn list_stock_movements() -> Operation {
    Operation::new(Method::GET, "/products/{id}/stock/movements", "listStockMovements", Access::Staff)
        .says(
            TAG,
            "List a product's stock movements",
            "Every change of what is on hand, newest first. The sum of all `delta` is what is on hand.",
        )
        .id::<ProductKind>()
        .pages("StockMovement", "A page of movements.")
}

fn schemas(part: Part) -> Part {
    part.schema("ProductStatus", one_of(Status::ALL.map(Status::name)))
        .schema("NewProduct", new_product())
        .schema("ProductChange", product_change())
        .schema("StockChange", stock_change())
        .schema("Product", product())
        .schema("Stock", stock())
        .schema("StockMovement", movement())
}

fn sku() -> ObjectBuilder {
    matching("^[A-Za-z0-9._-]{1,64}$").min_length(Some(1)).max_length(Some(64))
}

/// In minor units.
fn price() -> ObjectBuilder {
    integer(0, MAX_AMOUNT)
}

fn new_product() -> Shape {
    let attributes = "Colour, size and the like.";
    Fields::sent("A product to be added.")
        .has("sku", sku(), "What the shop calls it; unique among products.")
        .has("name", line(1, 200), "What people call it.")
        .may_have("description", or_null(prose(10_000)), "What there is to say about it.")
        .has("price", named("Price"), "For one piece.")
        .may_have("stock", or_null(integer(0, MAX_ON_HAND)), "How many are on hand; by default none.")
        .may_have("attributes", or_null(string_map(attributes)), attributes)
        .may_have("status", or_null(one_of(Status::ALL.map(Status::name))), "By default `active`.")
        .into()
}

fn product_change() -> Shape {
    let attributes = "Colour, size and the like, as a whole.";
    Fields::sent("What is to change. Absent: stays as it is. Null: is cleared, where it may be.")
        .may_have("sku", sku(), "What the shop calls it; unique among products.")
        .may_have("name", line(1, 200), "What people call it.")
        .may_have("description", or_null(prose(10_000)), "What there is to say about it.")
        .may_have("price", named("Price"), "For one piece.")
        .may_have("attributes", string_map(attributes), attributes)
        .may_have("status", named("ProductStatus"), "Whether it can be ordered.")
        .into()
}

fn stock_change() -> Shape {
    let nothing = || ObjectBuilder::new().schema_type(Type::Null);
    let reason = || or_null(line(1, 500));
    let step = OneOfBuilder::new().item(integer(-MAX_ON_HAND, -1)).item(integer(1, MAX_ON_HAND));
    let set: Shape = Fields::sent("A count.")
        .has("on_hand", integer(0, MAX_ON_HAND), "How many there are.")
        .may_have("delta", nothing(), "Not together with `on_hand`.")
        .may_have("reason", reason(), "Why.")
        .into();
    let moved: Shape = Fields::sent("A movement.")
        .has("delta", step, "How many more or, below 0, fewer there are.")
        .may_have("on_hand", nothing(), "Not together with `delta`.")
        .may_have("reason", reason(), "Why.")
        .into();
    OneOfBuilder::new()
        .item(set)
        .item(moved)
        .description(Some("Exactly one of `on_hand` and `delta`."))
        .into()
}

fn product() -> Shape {
    let attributes = "Colour, size and the like.";
    Fields::shown("A product.")
        .has("id", id_of::<ProductKind>(), "What programs call it.")
        .has("sku", sku(), "What the shop calls it.")
        .has("name", text(), "What people call it.")
        .has("description", or_null(text()), "What there is to say about it.")
        .has("price", named("Money"), "For one piece.")
        .has("attributes", shown_map(attributes), attributes)
        .has("status", named("ProductStatus"), "Whether it can be ordered.")
        .has("stock", named("Stock"), "How many there are.")
        .has("version", whole(1), "Rises when people change the product or its stock; the `ETag`.")
        .has("created_at", timestamp(), "When it was added.")
        .has("updated_at", timestamp(), "When people last changed it or its stock.")
        .into()
}

fn stock() -> Shape {
    Fields::shown("How many there are.")
        .has("on_hand", integer(0, MAX_ON_HAND), "In the house.")
        .has("reserved", whole(0), "Held for orders.")
        .has("available", whole(0), "The difference: what can be ordered.")
        .into()
}

fn movement() -> Shape {
    Fields::shown("A change of what is on hand.")
        .has("at", timestamp(), "When.")
        .has("delta", integer(-MAX_ON_HAND, MAX_ON_HAND), "How many more or, below 0, fewer.")
        .has("on_hand", whole(0), "How many there were then.")
        .has("reserved", whole(0), "How many of them were held for orders.")
        .has("reason", or_null(text()), "Why; ours are `initial`, `shipped` and `returned`.")
        .has("order_id", or_null(id_of::<OrderKind>()), "The order that it was for.")
        .has("by", user_or(&["system"]), "A user, or `system`.")
        .into()
}
