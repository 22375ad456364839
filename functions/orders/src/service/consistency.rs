//! Consistency check: compares all products with all orders, page by page, while requests run.
//!
//! Differences that a running request explains are not reported: declarations and decisions of the last two
//! minutes. The comparison itself is pure.
//!
//! - `violations`: what can be wrong
//! - `stock`: rules for a product, and for a hold
//! - `orders`: rules for an order

use std::collections::HashMap;
use std::time::Duration;

use shared::auth::{Access, Caller};
use shared::error::Error;
use shared::input::page::{PageRequest, Position, SortType, SortValue};
use shared::mongo::unreadable::{self, Unreadable};
use shared::runtime::context::Context;
use shared::values::clock::Timestamp;
use shared::values::ids::{OrderId, ProductId};

use super::OrderService;
use crate::products::Hold;
use crate::store::CheckedOrder;
use orders::check_order;
use stock::{check_hold, check_product};

mod orders;
mod stock;
mod violations;

pub use violations::{Violation, ViolationKind};

/// Maximum page size, in documents read.
pub const MAX_LIMIT: i64 = 5_000;

/// Default page size.
pub const DEFAULT_LIMIT: i64 = 1_000;

/// Age below which a difference may be a request in progress: longer than any request runs.
const GRACE: Duration = Duration::from_secs(120);

/// Time within which Reconcile must run a task, fold a journal, and end a hold without an order. It runs every
/// minute.
const RECONCILED_WITHIN: Duration = Duration::from_secs(300);

/// Number of orders that are read and compared at once. A larger page goes through more of them: what it keeps in
/// memory is one part and the violations.
const CHUNK: usize = 250;

/// Number of violations after which a page ends. One has some 300 bytes in an answer.
const MAX_VIOLATIONS: usize = 5_000;

/// A cursor leads first through all products, then through all holds, then through all orders.
const PRODUCTS: SortValue = SortValue::Integer(0);
const HOLDS: SortValue = SortValue::Integer(2);
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

impl OrderService {
    /// Checks a page: first of products, then of holds, then of orders.
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
            Some(Position { value: HOLDS, id }) => {
                self.check_holds(context, OrderId::from_uuid(id), &page, &scope).await
            }
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
        let (products, mut more) = self.products.audit(context, after, page.limit()).await?;
        let now = self.clock.now();
        let mut checked = ConsistencyPage::default();
        let mut last = None;
        for product in &products {
            if checked.violations.len() >= MAX_VIOLATIONS {
                more = true;
                break;
            }
            checked.violations.extend(check_product(product, now));
            checked.products += 1;
            last = Some(product.id);
        }
        let next = match last {
            Some(last) if more => Position { value: PRODUCTS, id: last.uuid() },
            _ => Position { value: HOLDS, id: uuid::Uuid::nil() },
        };
        checked.next_cursor = Some(page.cursor_at(&next, scope));
        Ok(checked)
    }

    async fn check_holds(
        &self,
        context: &Context,
        after: OrderId,
        page: &PageRequest,
        scope: &str,
    ) -> Result<ConsistencyPage, Error> {
        let audited = self.products.audit_holds(context, Some(after), page.limit()).await?;
        let by_order: Vec<&[Hold]> = audited.holds.chunk_by(|one, other| one.order == other.order).collect();
        let mut checked = ConsistencyPage::default();
        let mut next = audited.last.filter(|_| audited.more);
        for part in by_order.chunks(CHUNK) {
            if let Some(last) = self.check_part_of_holds(context, part, &mut checked).await? {
                next = Some(last);
                break;
            }
        }
        // Those after the last order are in the next page, too.
        let is_in_page = |order: &OrderId| next.is_none_or(|last| order.uuid() <= last.uuid());
        checked.violations.extend(audited.unreadable.into_iter().filter(is_in_page).map(unreadable_hold));
        let next = match next {
            Some(last) => Position { value: HOLDS, id: last.uuid() },
            None => Position { value: ORDERS, id: uuid::Uuid::nil() },
        };
        checked.next_cursor = Some(page.cursor_at(&next, scope));
        Ok(checked)
    }

    /// Checks the live holds of some orders, until there are many violations. Returns the last order that was
    /// checked in that case.
    async fn check_part_of_holds(
        &self,
        context: &Context,
        part: &[&[Hold]],
        checked: &mut ConsistencyPage,
    ) -> Result<Option<OrderId>, Error> {
        // Read after the holds: changes in between are younger than the grace period.
        let ids: Vec<OrderId> = part.iter().copied().filter_map(order_of).collect();
        let found = self.store.find_for_check(&ids).await?.into_iter();
        // The page of orders reports unreadable ones.
        let orders: HashMap<OrderId, Option<CheckedOrder>> =
            found.map(|(id, order)| (id, order.ok())).collect();
        let now = self.clock.now();
        let check = |id: OrderId, holds: &[Hold]| -> Vec<Violation> {
            let order = orders.get(&id);
            holds.iter().filter_map(|hold| check_hold(hold, order.map(Option::as_ref), now)).collect()
        };
        let suspects: Vec<OrderId> = part
            .iter()
            .filter_map(|holds| order_of(holds).filter(|id| !check(*id, holds).is_empty()))
            .collect();
        let mut current: HashMap<OrderId, Vec<Hold>> = HashMap::new();
        // A newer declaration may be in a journal. Calls about holds of orders count it, and the walk does not.
        for hold in self.products.holds_of(context, &suspects).await? {
            if hold.quantity > 0 {
                current.entry(hold.order).or_default().push(hold);
            }
        }
        for id in suspects {
            let holds = current.remove(&id).unwrap_or_default();
            let violations = check(id, &holds);
            let confirmed = match orders.get(&id) {
                _ if violations.is_empty() => false,
                Some(Some(order)) => self.store.is_at_version(id, order.version).await?,
                _ => true,
            };
            if confirmed {
                checked.violations.extend(violations);
            }
            if checked.violations.len() >= MAX_VIOLATIONS {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    async fn check_orders(
        &self,
        context: &Context,
        mut after: OrderId,
        page: &PageRequest,
        scope: &str,
    ) -> Result<ConsistencyPage, Error> {
        let mut checked = ConsistencyPage::default();
        let mut more = true;
        while more && checked.orders < page.limit() && checked.violations.len() < MAX_VIOLATIONS {
            let limit = count(CHUNK).min(page.limit() - checked.orders);
            let orders = self.store.list_for_check(after, limit).await?;
            more = count(orders.len()) == limit;
            if let Some((last, whole)) = self.check_part(context, orders, &mut checked).await? {
                after = last;
                more |= !whole;
            }
        }
        let next = more.then(|| Position { value: ORDERS, id: after.uuid() });
        checked.next_cursor = next.map(|next| page.cursor_at(&next, scope));
        Ok(checked)
    }

    /// Checks a part of the orders, until there are many violations. Returns the last one that was checked, and
    /// whether that was all of them. `None`: there is none.
    async fn check_part(
        &self,
        context: &Context,
        orders: Vec<(OrderId, Result<CheckedOrder, Unreadable>)>,
        checked: &mut ConsistencyPage,
    ) -> Result<Option<(OrderId, bool)>, Error> {
        let now = self.clock.now();
        let readable = orders.iter().filter_map(|(_, order)| order.as_ref().ok());
        let holding: Vec<OrderId> =
            readable.filter(|order| order.status.holds_stock()).map(|order| order.id).collect();
        let mut holds: HashMap<OrderId, Vec<Hold>> = HashMap::new();
        for hold in self.products.holds_of(context, &holding).await? {
            holds.entry(hold.order).or_default().push(hold);
        }
        let (length, mut last, mut left_out) = (orders.len(), None, Vec::new());
        for (place, (id, order)) in orders.into_iter().enumerate() {
            if checked.violations.len() >= MAX_VIOLATIONS {
                break;
            }
            checked.orders += 1;
            last = Some((id, place + 1 == length));
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
                    let kind = ViolationKind::UnreadableOrder;
                    checked.violations.push(Violation::unreadable(kind, Some(id), None));
                    left_out.push(unreadable);
                }
            }
        }
        unreadable::log(&left_out);
        Ok(last)
    }
}

/// Order of these holds, which are of one order.
fn order_of(holds: &[Hold]) -> Option<OrderId> {
    holds.first().map(|hold| hold.order)
}

fn unreadable_hold(id: OrderId) -> Violation {
    Violation::unreadable(ViolationKind::UnreadableHold, Some(id), None)
}

/// True for what no running request can explain any more.
fn settled(at: Timestamp, now: Timestamp) -> bool {
    now.since(at) > GRACE
}

/// True for what Reconcile should have done.
fn overdue(at: Timestamp, now: Timestamp) -> bool {
    now.since(at) > RECONCILED_WITHIN
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// Samples for tests of the rules.
#[cfg(test)]
mod samples {
    use super::*;
    use crate::order::Counters;
    use crate::status::Status;
    use crate::store::CheckedItem;

    pub(super) const NOW: Timestamp = Timestamp::from_millis(1_000_000_000);

    pub(super) fn minutes_ago(minutes: u64) -> Timestamp {
        NOW.before(Duration::from_secs(minutes * 60))
    }

    /// Order of two units of a product that was last changed so many minutes ago.
    pub(super) fn order(status: Status, minutes: u64) -> CheckedOrder {
        let item = CheckedItem { product_id: ProductId::new(), quantity: 2, counters: Counters::default() };
        CheckedOrder {
            id: OrderId::new(),
            status,
            items: vec![item],
            tasks: Vec::new(),
            changing: false,
            version: 1,
            total: 0,
            sum: 0,
            payable: 0,
            paid: 0,
            refunded: 0,
            updated_at: minutes_ago(minutes),
        }
    }
}
