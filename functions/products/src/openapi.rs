//! What products say of themselves in the OpenAPI document, in the order of the route table.

use http::{Method, StatusCode};
use shared::auth::Access;
use shared::error::Kind;
use shared::openapi::schemas::Schemas;
use shared::openapi::values::{flag, integer, named, one_of, sort, text};
use shared::openapi::{Operation, Part};
use shared::values::ids::ProductKind;
use shared::values::money::MAX_AMOUNT;
use utoipa::openapi::schema::ObjectBuilder;

use crate::forms::{CreateProductForm, UpdateProductForm, UpdateStockForm};
use crate::listing;
use crate::product::{Sku, Status};
use crate::views::{MovementJson, ProductJson};

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
        .query("sku", Sku::text(), "The product of this SKU.")
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
    let schemas = Schemas::default()
        .with::<CreateProductForm>()
        .with::<UpdateProductForm>()
        .with::<UpdateStockForm>()
        .with::<ProductJson>()
        .with::<MovementJson>()
        .exactly_one::<UpdateStockForm>(&["on_hand", "delta"]);
    schemas.components().fold(part, |part, (name, schema)| part.schema(name, schema))
}

/// In minor units.
fn price() -> ObjectBuilder {
    integer(0, MAX_AMOUNT)
}
