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
use shared::mongo::unreadable::{self, Unreadable};
use shared::runtime::context::Context;
use shared::values::clock::Timestamp;
use shared::values::ids::{OrderId, ProductId};

use super::OrderService;
use crate::products::{AuditedProduct, Hold};
use crate::status::Status;
use crate::store::CheckedOrder;

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

/// Detail about a document that cannot be read. Its content is not shown.
const UNREADABLE: &str = "a field is missing or has another type";

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
    /// Counts of a product that cannot be.
    StockOutOfBounds,
    /// Reserved count that is not what orders hold.
    ReservedIsNotTheSum,
    /// On-hand count that is not what the ledger says.
    LedgerIsNotTheSum,
    /// Entry of a journal that was not folded.
    JournalOverdue,
    /// Hold of an order that does not exist.
    HoldWithoutOrder,
    /// Hold of an order that has ended.
    HoldOfEndedOrder,
    /// Hold of another quantity than the order has.
    HoldDiffers,
    /// Item that is not held.
    OrderWithoutHold,
    /// Decision whose task was not run.
    TaskOverdue,
    /// Order with more money refunded than was paid.
    RefundsExceedPayments,
    /// Item with more units refunded than were ordered.
    RefundsExceedQuantity,
    /// Order whose stored total is not that of its parts.
    TotalIsNotTheSum,
    /// Placed order whose payments suffice.
    PaidButPlaced,
    /// Order on disk that cannot be read.
    UnreadableOrder,
    /// Product on disk that cannot be read.
    UnreadableProduct,
    /// Hold on disk that cannot be read.
    UnreadableHold,
}

impl ViolationKind {
    /// All kinds of violation.
    pub const ALL: [Self; 16] = [
        Self::StockOutOfBounds,
        Self::ReservedIsNotTheSum,
        Self::LedgerIsNotTheSum,
        Self::JournalOverdue,
        Self::HoldWithoutOrder,
        Self::HoldOfEndedOrder,
        Self::HoldDiffers,
        Self::OrderWithoutHold,
        Self::TaskOverdue,
        Self::RefundsExceedPayments,
        Self::RefundsExceedQuantity,
        Self::TotalIsNotTheSum,
        Self::PaidButPlaced,
        Self::UnreadableOrder,
        Self::UnreadableProduct,
        Self::UnreadableHold,
    ];

    /// The name in JSON and protobuf.
    pub fn name(self) -> &'static str {
        match self {
            Self::StockOutOfBounds => "stock-out-of-bounds",
            Self::ReservedIsNotTheSum => "reserved-is-not-the-sum",
            Self::LedgerIsNotTheSum => "ledger-is-not-the-sum",
            Self::JournalOverdue => "journal-overdue",
            Self::HoldWithoutOrder => "hold-without-order",
            Self::HoldOfEndedOrder => "hold-of-ended-order",
            Self::HoldDiffers => "hold-differs",
            Self::OrderWithoutHold => "order-without-hold",
            Self::TaskOverdue => "task-overdue",
            Self::RefundsExceedPayments => "refunds-exceed-payments",
            Self::RefundsExceedQuantity => "refunds-exceed-quantity",
            Self::TotalIsNotTheSum => "total-is-not-the-sum",
            Self::PaidButPlaced => "paid-but-placed",
            Self::UnreadableOrder => "unreadable-order",
            Self::UnreadableProduct => "unreadable-product",
            Self::UnreadableHold => "unreadable-hold",
        }
    }

    /// Meaning, as the documents have it.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::StockOutOfBounds => "not `0 <= reserved <= on_hand`",
            Self::RefundsExceedPayments => "the refunds of an order are more than its payments",
            Self::RefundsExceedQuantity => "more units of an item are refunded than were ordered",
            Self::TotalIsNotTheSum => {
                "the stored `total` of an order is not that of its items and its shipping"
            }
            Self::PaidButPlaced => "an order is `placed`, and its payments reach its total",
            Self::ReservedIsNotTheSum => "`reserved` is not the sum of the live holds",
            Self::LedgerIsNotTheSum => "`on_hand` is not the sum of the ledger",
            Self::JournalOverdue => "an entry of a journal that Reconcile should have folded",
            Self::HoldWithoutOrder => "a hold whose order does not exist",
            Self::HoldOfEndedOrder => "a hold of an order that is neither placed nor paid",
            Self::HoldDiffers => "a hold of another quantity than the order's",
            Self::OrderWithoutHold => "an item of a placed or paid order that is not held",
            Self::TaskOverdue => "a task that Reconcile should have done",
            Self::UnreadableOrder => "a stored order that cannot be read",
            Self::UnreadableProduct => "a stored product that cannot be read",
            Self::UnreadableHold => "a stored hold that cannot be read",
        }
    }
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
                    checked.violations.push(unreadable_order(id));
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

/// Checks a product with its counts and sums.
fn check_product(product: &AuditedProduct, now: Timestamp) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut wrong = |kind, detail| {
        found.push(Violation { kind, order: None, product: Some(product.id), detail });
    };
    if product.unreadable {
        wrong(ViolationKind::UnreadableProduct, UNREADABLE.to_owned());
        return found;
    }
    let AuditedProduct { on_hand, reserved, ledger, held, oldest_entry, .. } = *product;
    if on_hand < 0 || reserved < 0 || reserved > on_hand {
        wrong(ViolationKind::StockOutOfBounds, format!("on_hand {on_hand}, reserved {reserved}"));
    }
    if held != reserved {
        let detail = format!("reserved {reserved}, and its holds are {held} in all");
        wrong(ViolationKind::ReservedIsNotTheSum, detail);
    }
    if ledger != on_hand {
        let detail = format!("on_hand {on_hand}, and its movements are {ledger} in all");
        wrong(ViolationKind::LedgerIsNotTheSum, detail);
    }
    if let Some(at) = oldest_entry.filter(|at| overdue(*at, now)) {
        wrong(ViolationKind::JournalOverdue, format!("an entry in its journal since {at}"));
    }
    found
}

/// Checks a live hold against its order. `None`: there is no order. `Some(None)`: it is unreadable, and is skipped
/// here.
fn check_hold(hold: &Hold, order: Option<Option<&CheckedOrder>>, now: Timestamp) -> Option<Violation> {
    let Hold { order: id, product, quantity, at } = *hold;
    if !settled(at, now) {
        return None;
    }
    let (kind, detail) = match order {
        None if overdue(at, now) => {
            let detail = format!("{quantity} held since {at} for what is no order");
            (ViolationKind::HoldWithoutOrder, detail)
        }
        None | Some(None) => return None,
        Some(Some(order)) if order.changing || !order.tasks.is_empty() || !settled(order.updated_at, now) => {
            return None;
        }
        // A newer build knows whether it holds.
        Some(Some(order)) if matches!(order.status, Status::Unknown(_)) => return None,
        Some(Some(order)) if !order.status.holds_stock() => {
            let detail = format!("{quantity} held, and the order is {}", order.status.name());
            (ViolationKind::HoldOfEndedOrder, detail)
        }
        Some(Some(order)) => {
            let ordered = order.items.iter().find(|(ordered, _)| *ordered == product);
            let ordered = ordered.map_or(0, |(_, quantity)| *quantity);
            if ordered == quantity {
                return None;
            }
            (ViolationKind::HoldDiffers, format!("{quantity} held, and {ordered} ordered"))
        }
    };
    Some(Violation { kind, order: Some(id), product: Some(product), detail })
}

/// Checks an order: its money, and its holds.
fn check_order(order: &CheckedOrder, holds: &[Hold], now: Timestamp) -> Vec<Violation> {
    let mut found = check_stock(order, holds, now);
    found.extend(check_money(order));
    found
}

/// Checks the money of an order. Each change of it is one write, so there is no time to wait.
fn check_money(order: &CheckedOrder) -> Vec<Violation> {
    let CheckedOrder { id, total, parts, paid, refunded, .. } = *order;
    let violation = |kind, product, detail| Violation { kind, order: Some(id), product, detail };
    let mut found = Vec::new();
    if refunded > paid {
        let detail = format!("{paid} paid, and {refunded} refunded");
        found.push(violation(ViolationKind::RefundsExceedPayments, None, detail));
    }
    for (product, refunded, ordered) in &order.over_refunded {
        let detail = format!("{ordered} ordered, and {refunded} refunded");
        found.push(violation(ViolationKind::RefundsExceedQuantity, Some(*product), detail));
    }
    if total != parts {
        let detail = format!("{total} stored, and {parts} in all parts");
        found.push(violation(ViolationKind::TotalIsNotTheSum, None, detail));
    }
    if order.status == Status::Placed && paid > 0 && paid >= total {
        found.push(violation(ViolationKind::PaidButPlaced, None, format!("{paid} paid of {total}")));
    }
    found
}

/// Checks an order against its holds.
fn check_stock(order: &CheckedOrder, holds: &[Hold], now: Timestamp) -> Vec<Violation> {
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
    if !order.status.holds_stock() || !settled(order.updated_at, now) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for &(product, quantity) in &order.items {
        let held = holds.iter().find(|hold| hold.product == product);
        let held = held.map_or(0, |hold| hold.quantity);
        if held == 0 {
            let detail = format!("{quantity} ordered, and none held");
            let product = Some(product);
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

fn unreadable_hold(id: OrderId) -> Violation {
    Violation { kind: ViolationKind::UnreadableHold, ..unreadable_order(id) }
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000_000);

    fn minutes_ago(minutes: u64) -> Timestamp {
        NOW.before(Duration::from_secs(minutes * 60))
    }

    fn product() -> AuditedProduct {
        let id = ProductId::new();
        AuditedProduct {
            id,
            on_hand: 9,
            reserved: 2,
            ledger: 9,
            held: 2,
            oldest_entry: None,
            unreadable: false,
        }
    }

    fn kinds(product: &AuditedProduct) -> Vec<&'static str> {
        check_product(product, NOW).iter().map(|violation| violation.kind.name()).collect()
    }

    #[test]
    fn a_product_is_wrong_in_its_counts_its_sums_or_its_journal() {
        assert_eq!(kinds(&product()), [""; 0]);
        assert_eq!(kinds(&AuditedProduct { held: 3, ..product() }), ["reserved-is-not-the-sum"]);
        assert_eq!(kinds(&AuditedProduct { ledger: 8, ..product() }), ["ledger-is-not-the-sum"]);
        let more = AuditedProduct { reserved: 10, held: 10, ..product() };
        assert_eq!(kinds(&more), ["stock-out-of-bounds"]);
        for (minutes, expected) in [(4, &[][..]), (6, &["journal-overdue"])] {
            let oldest_entry = Some(minutes_ago(minutes));
            assert_eq!(kinds(&AuditedProduct { oldest_entry, ..product() }), expected);
        }
        assert_eq!(kinds(&AuditedProduct { unreadable: true, held: 3, ..product() }), ["unreadable-product"]);
    }

    #[test]
    fn a_hold_is_judged_once_it_and_its_order_are_settled() {
        let (id, product) = (OrderId::new(), ProductId::new());
        let order = |status, updated| CheckedOrder {
            id,
            status,
            items: vec![(product, 2)],
            tasks: Vec::new(),
            changing: false,
            version: 1,
            total: 0,
            parts: 0,
            over_refunded: Vec::new(),
            paid: 0,
            refunded: 0,
            updated_at: minutes_ago(updated),
        };
        let kind = |quantity, minutes, order: Option<&CheckedOrder>| {
            let hold = Hold { order: id, product, quantity, at: minutes_ago(minutes) };
            check_hold(&hold, order.map(Some), NOW).map(|violation| violation.kind.name())
        };
        assert_eq!((kind(2, 4, None), kind(2, 6, None)), (None, Some("hold-without-order")));
        let paid = order(Status::Paid, 3);
        assert_eq!((kind(2, 3, Some(&paid)), kind(1, 3, Some(&paid))), (None, Some("hold-differs")));
        assert_eq!(kind(1, 1, Some(&paid)), None);
        let shipped = order(Status::Shipped, 3);
        assert_eq!(kind(2, 3, Some(&shipped)), Some("hold-of-ended-order"));
        assert_eq!(kind(2, 3, Some(&order(Status::Shipped, 1))), None);
        assert_eq!(kind(2, 3, Some(&CheckedOrder { changing: true, ..shipped })), None);
    }
}
