//! What callers send about products, in JSON or protobuf, until it is checked.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use proto::products::v1 as wire;
use serde::Deserialize;
use shared::error::Error;
use shared::http::idempotency::Fingerprinted;
use shared::input::validation::{Patch, ValidationErrors};
use shared::rpc::convert;
use shared::values::clock::Timestamp;
use shared::values::ids::{self, OrderId, ProductId};
use shared::values::money::MoneyForm;
#[cfg(feature = "openapi")]
use shared::values::text::StringMap;
use shared::values::text::{self, Name, Reason};

use crate::holds::HoldWalk;
use crate::limits::{Delta, Description, MaxPerOrder, OnHand};
use crate::product::{NewProduct, ProductChange, Sku, Status};
use crate::stock::{Counts, Declaration, DeclarationKind, Item, StockChange, StockCount};

/// A product to be added.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = NewProduct))]
pub struct CreateProductForm {
    /// SKU, unique among products.
    #[cfg_attr(feature = "openapi", schema(value_type = Sku))]
    pub sku: Option<String>,
    /// Name of the product.
    #[cfg_attr(feature = "openapi", schema(value_type = Name))]
    pub name: Option<String>,
    /// Description of the product.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Description>))]
    pub description: Option<String>,
    /// Price of one unit.
    #[cfg_attr(feature = "openapi", schema(value_type = MoneyForm))]
    pub price: Option<MoneyForm>,
    /// Units on hand; by default 0.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<OnHand>))]
    pub stock: Option<i64>,
    /// Most units in one order; null is no limit of its own.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<MaxPerOrder>))]
    pub max_per_order: Option<i64>,
    /// Colour, size and the like, of 16 KiB in all.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<StringMap>))]
    pub attributes: Option<BTreeMap<String, String>>,
    /// By default `active`.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Status>))]
    pub status: Option<String>,
}

impl Fingerprinted for CreateProductForm {}

impl CreateProductForm {
    /// # Errors
    /// 422 with every error of the request.
    pub fn check(self) -> Result<NewProduct, Error> {
        let mut errors = ValidationErrors::default();
        let sku = errors.required("/sku", self.sku, Sku::parse);
        let name = errors.required("/name", self.name, Name::parse);
        let description = errors.optional("/description", self.description, Description::parse);
        let price = errors.required_part("/price", self.price);
        let on_hand = errors.optional("/stock", self.stock, OnHand::parse).unwrap_or(0);
        let max_per_order = errors.optional("/max_per_order", self.max_per_order, MaxPerOrder::parse);
        let attributes = text::string_map(&mut errors, "/attributes", self.attributes.unwrap_or_default());
        let status =
            errors.optional("/status", self.status, |name| Status::parse(&name)).unwrap_or(Status::Active);
        match (sku, name, price) {
            (Some(sku), Some(name), Some(price)) if errors.is_empty() => {
                Ok(NewProduct { sku, name, description, price, attributes, status, max_per_order, on_hand })
            }
            _ => Err(errors.into_error()),
        }
    }
}

impl From<wire::CreateProductRequest> for CreateProductForm {
    fn from(request: wire::CreateProductRequest) -> Self {
        Self {
            sku: request.sku,
            name: request.name,
            description: request.description,
            price: request.price.map(convert::money_form),
            stock: request.stock,
            max_per_order: request.max_per_order,
            attributes: Some(request.attributes),
            status: request.status,
        }
    }
}

/// Fields to change. An absent field stays as it is; null clears an optional one.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ProductChange))]
pub struct UpdateProductForm {
    /// SKU, unique among products.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Sku))]
    pub sku: Patch<String>,
    /// Name of the product.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Name))]
    pub name: Patch<String>,
    /// Description of the product.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Description>))]
    pub description: Patch<String>,
    /// Price of one unit.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = MoneyForm))]
    pub price: Patch<MoneyForm>,
    /// Colour, size and the like, as a whole, of 16 KiB in all.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<StringMap>))]
    pub attributes: Patch<BTreeMap<String, String>>,
    /// Status of the product: only active ones can be ordered.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Status))]
    pub status: Patch<String>,
    /// Most units in one order; null is no limit of its own.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<MaxPerOrder>))]
    pub max_per_order: Patch<i64>,
}

impl UpdateProductForm {
    /// Fields that every caller of the route may write. An `update_mask` may name them, too.
    pub const ORDINARY: &[&str] =
        &["sku", "name", "description", "price", "attributes", "status", "max_per_order"];

    /// # Errors
    /// 422 with every error of the request.
    pub fn check(self) -> Result<ProductChange, Error> {
        let mut errors = ValidationErrors::default();
        let change = ProductChange {
            sku: errors.change("/sku", self.sku, Sku::parse),
            name: errors.change("/name", self.name, Name::parse),
            description: errors.nullable("/description", self.description, Description::parse),
            price: errors.change_part("/price", self.price),
            attributes: text::string_map_change(&mut errors, "/attributes", self.attributes),
            status: errors.change("/status", self.status, |name| Status::parse(&name)),
            max_per_order: errors.nullable("/max_per_order", self.max_per_order, MaxPerOrder::parse),
        };
        errors.check()?;
        Ok(change)
    }

    /// # Errors
    /// 422 for a mask that names other fields.
    pub fn from_message(request: wire::UpdateProductRequest) -> Result<Self, Error> {
        let mask = convert::mask(request.update_mask, Self::ORDINARY)?;
        let named = |field: &str| mask.iter().any(|path| path == field);
        let attributes = request.attributes.map(|map| map.entries);
        Ok(Self {
            sku: Patch::from_masked(request.sku, named("sku")),
            name: Patch::from_masked(request.name, named("name")),
            description: Patch::from_masked(request.description, named("description")),
            price: Patch::from_masked(request.price.map(convert::money_form), named("price")),
            attributes: Patch::from_masked(attributes, named("attributes")),
            status: Patch::from_masked(request.status, named("status")),
            max_per_order: Patch::from_masked(request.max_per_order, named("max_per_order")),
        })
    }
}

/// Exactly one of `on_hand` and `delta`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = StockChange))]
pub struct UpdateStockForm {
    /// Units on hand.
    #[cfg_attr(feature = "openapi", schema(value_type = OnHand, required = false))]
    pub on_hand: Option<i64>,
    /// Units to add, or below 0 to take away.
    #[cfg_attr(feature = "openapi", schema(value_type = Delta, required = false))]
    pub delta: Option<i64>,
    /// Reason for the change.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Reason>))]
    pub reason: Option<String>,
}

impl Fingerprinted for UpdateStockForm {}

impl UpdateStockForm {
    /// Fields that every caller of the route may write.
    pub const ORDINARY: &[&str] = &["on_hand", "delta", "reason"];

    /// # Errors
    /// 422 with every error of the request.
    pub fn check(self) -> Result<StockCount, Error> {
        let mut errors = ValidationErrors::default();
        let reason = errors.optional("/reason", self.reason, Reason::parse);
        let change = match (self.on_hand, self.delta) {
            (Some(on_hand), None) => {
                errors.optional("/on_hand", Some(on_hand), OnHand::parse).map(StockChange::Set)
            }
            (None, Some(delta)) => {
                errors.optional("/delta", Some(delta), Delta::parse).map(StockChange::Move)
            }
            (None, None) => {
                errors.add("", "must have exactly one of on_hand and delta; got neither");
                None
            }
            (Some(_), Some(_)) => {
                errors.add("", "must have exactly one of on_hand and delta; got both");
                None
            }
        };
        match change {
            Some(change) if errors.is_empty() => Ok(StockCount { change, reason }),
            _ => Err(errors.into_error()),
        }
    }
}

impl From<wire::UpdateStockRequest> for UpdateStockForm {
    fn from(request: wire::UpdateStockRequest) -> Self {
        Self { on_hand: request.on_hand, delta: request.delta, reason: request.reason }
    }
}

/// Declaration of another function about an order's stock.
///
/// # Errors
/// 422 with every error of the request.
pub fn declaration(
    kind: DeclarationKind,
    order_id: String,
    revision: i64,
    items: Vec<wire::StockItem>,
) -> Result<Declaration, Error> {
    declared(kind, order_id, revision, items, |item, errors| {
        if item.quantity < 1 {
            errors.add("/quantity", "must be at least 1");
        }
        let product = errors.required("/product_id", Some(item.product_id), ids::parse)?;
        Some(Item::new(product, item.quantity))
    })
}

/// Declaration with counts about all items of an order.
///
/// # Errors
/// 422 with every error of the request.
pub fn moves(request: wire::MoveStockRequest) -> Result<Declaration, Error> {
    let wire::MoveStockRequest { order_id, revision, items } = request;
    declared(DeclarationKind::Move, order_id, revision, items, |item, errors| {
        let wire::MovedItem { product_id, held, shipped, restocked, shipped_before, restocked_before } = item;
        for (pointer, units) in [
            ("/held", held),
            ("/shipped", shipped),
            ("/restocked", restocked),
            ("/shipped_before", shipped_before),
            ("/restocked_before", restocked_before),
        ] {
            if units < 0 {
                errors.add(pointer, "must be at least 0");
            }
        }
        let product = errors.required("/product_id", Some(product_id), ids::parse)?;
        let before = Counts { shipped: shipped_before, restocked: restocked_before };
        Some(Item { product, quantity: held, counts: Counts { shipped, restocked }, before })
    })
}

/// Checks a declaration. `check` reads one item, and adds its errors below the current pointer.
fn declared<T>(
    kind: DeclarationKind,
    order_id: String,
    revision: i64,
    items: Vec<T>,
    check: impl Fn(T, &mut ValidationErrors) -> Option<Item>,
) -> Result<Declaration, Error> {
    let mut errors = ValidationErrors::default();
    let order = errors.required("/order_id", Some(order_id), ids::parse);
    if revision < 1 {
        errors.add("/revision", "must be at least 1");
    }
    let mut seen = HashSet::new();
    let mut checked = Vec::with_capacity(items.len());
    for (place, item) in items.into_iter().enumerate() {
        errors.nested(format_args!("/items/{place}"), |errors| {
            let Some(item) = check(item, errors) else { return };
            if !seen.insert(item.product) {
                errors.add("/product_id", "is in another item already");
            }
            checked.push(item);
        });
    }
    match order {
        Some(order) if errors.is_empty() => Ok(Declaration { order, revision, kind, items: checked }),
        _ => Err(errors.into_error()),
    }
}

/// The longest list of orders in one call, and the longest page of the walk over holds.
const MAX_ORDERS: usize = 1_000;

/// The longest page of an audit.
const MAX_AUDITED: i64 = 5_000;

/// Page of holds that another function requests.
///
/// # Errors
/// 422 with every error of the request.
pub fn hold_walk(request: wire::ListHoldsRequest) -> Result<HoldWalk, Error> {
    let mut errors = ValidationErrors::default();
    let min_age = age(&mut errors, request.min_age);
    let limit = usize::try_from(request.limit).ok().filter(|limit| (1..=MAX_ORDERS).contains(limit));
    if limit.is_none() {
        errors.add("/limit", format!("must be 1 to {MAX_ORDERS}"));
    }
    let after = request.after.and_then(|after| {
        errors.nested("/after", |errors| {
            let at = errors.required("/at", after.at, millis);
            let order = errors.optional("/order_id", after.order_id, ids::parse);
            at.map(|at| (at, order))
        })
    });
    match limit {
        Some(limit) if errors.is_empty() => Ok(HoldWalk { ended: request.ended, min_age, after, limit }),
        _ => Err(errors.into_error()),
    }
}

/// Whose entries another function asks for.
///
/// # Errors
/// 422 with every error of the request.
pub fn orders(order_ids: Vec<String>) -> Result<Vec<OrderId>, Error> {
    let mut errors = ValidationErrors::default();
    let orders = order_list(&mut errors, order_ids);
    errors.check()?;
    Ok(orders)
}

/// Whose ended entries may go, and how old they must be.
///
/// # Errors
/// 422 with every error of the request.
pub fn pruning(request: wire::PruneHoldsRequest) -> Result<(Vec<OrderId>, Duration), Error> {
    let mut errors = ValidationErrors::default();
    let orders = order_list(&mut errors, request.order_ids);
    let min_age = age(&mut errors, request.min_age);
    errors.check()?;
    Ok((orders, min_age))
}

/// The longest list of products whose journals are folded in one call.
const MAX_FOLDED: i64 = 1_000;

/// Products to audit: those after an ID, and their maximum number.
///
/// # Errors
/// 422 with every error of the request.
pub fn audit(request: wire::AuditStockRequest) -> Result<(Option<ProductId>, i64), Error> {
    part(request.after, request.limit, MAX_AUDITED, ids::parse)
}

/// Orders whose holds are audited: those after an ID, and their maximum number.
///
/// # Errors
/// 422 with every error of the request.
pub fn audit_of_holds(request: wire::AuditHoldsRequest) -> Result<(Option<OrderId>, i64), Error> {
    part(request.after, request.limit, MAX_AUDITED, ids::parse)
}

/// Products whose journals are folded: those after an ID, and their maximum number.
///
/// # Errors
/// 422 with every error of the request.
pub fn folding(request: wire::FoldJournalsRequest) -> Result<(Option<ProductId>, i64), Error> {
    part(request.after, request.limit, MAX_FOLDED, ids::parse)
}

/// Part of a sequence: what comes after an ID, and its maximum length.
fn part<T>(
    after: Option<String>,
    limit: i64,
    most: i64,
    parse: fn(String) -> Result<T, String>,
) -> Result<(Option<T>, i64), Error> {
    let mut errors = ValidationErrors::default();
    let after = errors.optional("/after", after, parse);
    if !(1..=most).contains(&limit) {
        errors.add("/limit", format!("must be 1 to {most}"));
    }
    errors.check()?;
    Ok((after, limit))
}

/// Checks the list `order_ids` of a message. Leaves out IDs that are none, with an error for each.
fn order_list(errors: &mut ValidationErrors, order_ids: Vec<String>) -> Vec<OrderId> {
    if order_ids.len() > MAX_ORDERS {
        errors.add("/order_ids", format!("must be at most {MAX_ORDERS}"));
        return Vec::new();
    }
    let parsed = order_ids.into_iter().enumerate();
    parsed
        .filter_map(|(place, id)| errors.required(&format!("/order_ids/{place}"), Some(id), ids::parse))
        .collect()
}

/// An age in seconds, up to a hundred years: beyond that there is nothing, and times overflow.
fn age(errors: &mut ValidationErrors, seconds: i64) -> Duration {
    const CENTURY: u64 = 100 * 366 * 24 * 60 * 60;
    match u64::try_from(seconds) {
        Ok(seconds) if seconds <= CENTURY => Duration::from_secs(seconds),
        _ => {
            errors.add("/min_age", format!("must be 0 to {CENTURY} seconds"));
            Duration::ZERO
        }
    }
}

/// A time of a message, which has the milliseconds that were written.
fn millis(time: proto::Timestamp) -> Result<Timestamp, String> {
    let millis =
        time.seconds.checked_mul(1000).and_then(|it| it.checked_add(i64::from(time.nanos) / 1_000_000));
    millis.map(Timestamp::from_millis).ok_or_else(|| "is not a time".to_owned())
}
