//! Consistency check: compares all products with all orders, page by page, while requests run.
//!
//! Differences that a running request explains are not reported: declarations and decisions of the last two
//! minutes. The comparison itself is pure.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use shared::auth::{Access, Caller};
use shared::error::Error;
use shared::input::page::{PageRequest, Position, SortType, SortValue};
use shared::mongo::unreadable;
use shared::runtime::context::Context;
use shared::values::clock::Timestamp;
use shared::values::ids::{OrderId, ProductId};

use super::OrderService;
use crate::order::Order;
use crate::products::{AuditedProduct, Hold};
use crate::status::Status;
use crate::store::Stored;

/// Maximum page size, in documents read.
pub const MAX_LIMIT: i64 = 5_000;

/// Default page size.
pub const DEFAULT_LIMIT: i64 = 1_000;

/// Age below which a difference may be a request in progress: longer than any request runs.
const GRACE: Duration = Duration::from_secs(120);

/// Time within which Reconcile must run a task and end a hold without an order. It runs every minute.
const RECONCILED_WITHIN: Duration = Duration::from_secs(300);

/// Number of orders looked up at once.
const CHUNK: usize = 1_000;

/// Number of violations after which a page ends. One has some 300 bytes in an answer.
const MAX_VIOLATIONS: usize = 5_000;

/// Detail about a document that cannot be read. Its content is not shown.
const UNREADABLE: &str = "a field is missing or has another type";

/// A cursor leads first through all products, then through all orders.
const PRODUCTS: SortValue = SortValue::Integer(0);
const ORDERS: SortValue = SortValue::Integer(1);

/// Page of the consistency check.
#[derive(Clone, Debug, Default)]
pub struct ConsistencyPage {
    /// Number of orders read by the page of orders.
    pub orders: i64,
    /// Number of products read.
    pub products: i64,
    /// Violations found.
    pub violations: Vec<Violation>,
    /// Cursor of the next page; none on the last.
    pub next_cursor: Option<String>,
}

/// Violation of an invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Violated invariant.
    pub kind: ViolationKind,
    /// Order concerned.
    pub order: Option<OrderId>,
    /// Product concerned.
    pub product: Option<ProductId>,
    /// The numbers that differ.
    pub detail: String,
}

/// Kinds of violations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ViolationKind {
    /// `on_hand` or `reserved` is negative, or more is reserved than is on hand.
    StockOutOfBounds,
    /// `reserved` is not the sum of the product's live holds.
    ReservedIsNotTheSum,
    /// `on_hand` is not the sum of the ledger.
    LedgerIsNotTheSum,
    /// Hold of an order that does not exist.
    HoldWithoutOrder,
    /// Hold of an order that is neither placed nor paid.
    HoldOfEndedOrder,
    /// Hold of another quantity than the order has.
    HoldDiffers,
    /// Item of a placed or paid order that is not held.
    OrderWithoutHold,
    /// Decision whose task was not run, although Reconcile had the time.
    TaskOverdue,
    /// Order on disk that cannot be read.
    UnreadableOrder,
    /// Product on disk whose counts or holds cannot be read.
    UnreadableProduct,
}

impl ViolationKind {
    /// All kinds of violation.
    pub const ALL: [Self; 10] = [
        Self::StockOutOfBounds,
        Self::ReservedIsNotTheSum,
        Self::LedgerIsNotTheSum,
        Self::HoldWithoutOrder,
        Self::HoldOfEndedOrder,
        Self::HoldDiffers,
        Self::OrderWithoutHold,
        Self::TaskOverdue,
        Self::UnreadableOrder,
        Self::UnreadableProduct,
    ];

    /// The name in JSON and protobuf.
    pub fn name(self) -> &'static str {
        match self {
            Self::StockOutOfBounds => "stock-out-of-bounds",
            Self::ReservedIsNotTheSum => "reserved-is-not-the-sum",
            Self::LedgerIsNotTheSum => "ledger-is-not-the-sum",
            Self::HoldWithoutOrder => "hold-without-order",
            Self::HoldOfEndedOrder => "hold-of-ended-order",
            Self::HoldDiffers => "hold-differs",
            Self::OrderWithoutHold => "order-without-hold",
            Self::TaskOverdue => "task-overdue",
            Self::UnreadableOrder => "unreadable-order",
            Self::UnreadableProduct => "unreadable-product",
        }
    }
}

impl OrderService {
    /// Checks a page: first of products, then of orders.
    ///
    /// # Errors
    /// 403 unless the caller is an admin or a function. 400 for a bad cursor, 503 when MongoDB or products is
    /// unavailable.
    pub async fn check_consistency(
        &self,
        context: &Context,
        limit: Option<i64>,
        cursor: Option<String>,
    ) -> Result<ConsistencyPage, Error> {
        if context.caller != Caller::System {
            Access::Admin.check(context.caller)?;
        }
        let page = PageRequest::within(limit, cursor, DEFAULT_LIMIT, MAX_LIMIT)?;
        let scope = format!("consistency|{}", context.caller);
        match page.after(&scope, SortType::Integer)? {
            None => self.check_products(context, None, &page, &scope).await,
            Some(Position { value: PRODUCTS, id }) => {
                self.check_products(context, Some(ProductId::from_uuid(id)), &page, &scope).await
            }
            // The nil ID comes before all others.
            Some(Position { id, .. }) => {
                self.check_orders(context, OrderId::from_uuid(id), &page, &scope).await
            }
        }
    }

    async fn check_products(
        &self,
        context: &Context,
        after: Option<ProductId>,
        page: &PageRequest,
        scope: &str,
    ) -> Result<ConsistencyPage, Error> {
        let (products, more) = self.products.audit(context, after, page.limit()).await?;
        let mut holding: Vec<OrderId> =
            products.iter().flat_map(|product| &product.holds).map(|hold| hold.order).collect();
        holding.sort_unstable();
        holding.dedup();
        // Read after the holds: changes in between are younger than the grace period.
        let mut orders = HashMap::new();
        for chunk in holding.chunks(CHUNK) {
            for (id, stored) in self.store.find_many(chunk).await? {
                match stored {
                    Ok(Stored::Order(order)) => drop(orders.insert(id, Some(*order))),
                    Ok(Stored::Void(_)) => {}
                    // The page of orders reports it.
                    Err(_) => drop(orders.insert(id, None)),
                }
            }
        }
        let now = self.clock.now();
        let violations = products.iter().flat_map(|product| check_product(product, &orders, now)).collect();
        let next = match products.last() {
            Some(last) if more => Position { value: PRODUCTS, id: last.id.uuid() },
            _ => Position { value: ORDERS, id: uuid::Uuid::nil() },
        };
        Ok(ConsistencyPage {
            orders: 0,
            products: count(products.len()),
            violations,
            next_cursor: Some(page.cursor_at(&next, scope)),
        })
    }

    async fn check_orders(
        &self,
        context: &Context,
        after: OrderId,
        page: &PageRequest,
        scope: &str,
    ) -> Result<ConsistencyPage, Error> {
        let read = self.store.list_by_id(after, page.limit()).await?;
        let mut more = count(read.len()) == page.limit();
        let mut checked = ConsistencyPage::default();
        let now = self.clock.now();
        let holding =
            read.iter().filter_map(|(id, order)| order.as_ref().is_ok_and(Order::holds_stock).then_some(*id));
        let holding: Vec<OrderId> = holding.collect();
        let mut holds: HashMap<OrderId, Vec<Hold>> = HashMap::new();
        for chunk in holding.chunks(CHUNK) {
            for hold in self.products.holds_of(context, chunk).await? {
                holds.entry(hold.order).or_default().push(hold);
            }
        }
        let (mut last, mut left_out) = (None, Vec::new());
        for (id, order) in read {
            if checked.violations.len() >= MAX_VIOLATIONS {
                more = true;
                break;
            }
            checked.orders += 1;
            last = Some(id);
            match order {
                Ok(order) => {
                    let held = holds.get(&id).map(Vec::as_slice).unwrap_or_default();
                    let found = check_order(&order, held, now);
                    // The holds were read after the order: a decision may have come in between.
                    if !found.is_empty() && self.store.is_at_version(id, order.version).await? {
                        checked.violations.extend(found);
                    }
                }
                Err(unreadable) => {
                    checked.violations.push(unreadable_order(id));
                    left_out.push(unreadable);
                }
            }
        }
        unreadable::log(&left_out);
        let next = last.filter(|_| more).map(|id| Position { value: ORDERS, id: id.uuid() });
        checked.next_cursor = next.map(|next| page.cursor_at(&next, scope));
        Ok(checked)
    }
}

/// Checks a product with its live holds. Unreadable orders are skipped here.
fn check_product(
    product: &AuditedProduct,
    orders: &HashMap<OrderId, Option<Order>>,
    now: Timestamp,
) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut wrong = |kind, order, detail| {
        found.push(Violation { kind, order, product: Some(product.id), detail });
    };
    if product.unreadable {
        wrong(ViolationKind::UnreadableProduct, None, UNREADABLE.to_owned());
        return found;
    }
    let AuditedProduct { on_hand, reserved, ledger, .. } = *product;
    if on_hand < 0 || reserved < 0 || reserved > on_hand {
        wrong(ViolationKind::StockOutOfBounds, None, format!("on_hand {on_hand}, reserved {reserved}"));
    }
    let held = product.holds.iter().map(|hold| hold.quantity).fold(0, i64::saturating_add);
    if held != reserved {
        let detail = format!("reserved {reserved}, and its holds are {held} in all");
        wrong(ViolationKind::ReservedIsNotTheSum, None, detail);
    }
    if ledger != on_hand {
        let detail = format!("on_hand {on_hand}, and its movements are {ledger} in all");
        wrong(ViolationKind::LedgerIsNotTheSum, None, detail);
    }
    for hold in product.holds.iter().filter(|hold| settled(hold.at, now)) {
        let quantity = hold.quantity;
        match orders.get(&hold.order) {
            None if overdue(hold.at, now) => {
                let detail = format!("{quantity} held since {} for what is no order", hold.at);
                wrong(ViolationKind::HoldWithoutOrder, Some(hold.order), detail);
            }
            None | Some(None) => {}
            Some(Some(order))
                if order.changing || !order.tasks.is_empty() || !settled(order.updated_at, now) => {}
            // A newer build knows whether it holds.
            Some(Some(order)) if matches!(order.status, Status::Unknown(_)) => {}
            Some(Some(order)) if !order.holds_stock() => {
                let detail = format!("{quantity} held, and the order is {}", order.status.name());
                wrong(ViolationKind::HoldOfEndedOrder, Some(hold.order), detail);
            }
            Some(Some(order)) => {
                let ordered = order.items.iter().find(|item| item.product_id == product.id);
                let ordered = ordered.map_or(0, |item| item.quantity);
                if ordered != quantity {
                    let detail = format!("{quantity} held, and {ordered} ordered");
                    wrong(ViolationKind::HoldDiffers, Some(hold.order), detail);
                }
            }
        }
    }
    found
}

/// Checks an order against its holds.
fn check_order(order: &Order, holds: &[Hold], now: Timestamp) -> Vec<Violation> {
    if !order.tasks.is_empty() || order.changing {
        if !overdue(order.updated_at, now) {
            return Vec::new();
        }
        let detail = match order.tasks.first() {
            Some(task) => format!("{task:?} since {}", order.updated_at),
            None => format!("a change of items since {}", order.updated_at),
        };
        let kind = ViolationKind::TaskOverdue;
        return vec![Violation { kind, order: Some(order.id), product: None, detail }];
    }
    if !order.holds_stock() || !settled(order.updated_at, now) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for item in &order.items {
        let held = holds.iter().find(|hold| hold.product == item.product_id);
        let held = held.map_or(0, |hold| hold.quantity);
        if held == 0 {
            let detail = format!("{} ordered, and none held", item.quantity);
            let product = Some(item.product_id);
            found.push(Violation {
                kind: ViolationKind::OrderWithoutHold,
                order: Some(order.id),
                product,
                detail,
            });
        }
    }
    found
}

fn unreadable_order(id: OrderId) -> Violation {
    Violation {
        kind: ViolationKind::UnreadableOrder,
        order: Some(id),
        product: None,
        detail: UNREADABLE.to_owned(),
    }
}

fn settled(at: Timestamp, now: Timestamp) -> bool {
    now.since(at) > GRACE
}

fn overdue(at: Timestamp, now: Timestamp) -> bool {
    now.since(at) > RECONCILED_WITHIN
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

impl Order {
    /// True if the status requires its items to be held.
    pub fn holds_stock(&self) -> bool {
        matches!(self.status, Status::Placed | Status::Paid)
    }
}
