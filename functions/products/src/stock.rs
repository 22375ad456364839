//! Stock rules: pure decisions about on-hand counts and the holds of orders.
//!
//! An order's hold is *declared*: as of a revision, exactly these items. A declaration applies only above the
//! stored revision; the same one again is a replay, a lower one is refused. A hold of which all has ended is a
//! tombstone: it refuses late calls. How holds are stored, and what a write asks for, is in
//! `model/src/journal.rs`. See the table of crashes in docs/protocol/stock.md.
//!
//! An order with fulfillments declares its *counts*, too: see `model/src/parts.rs`. Units on hand move by the
//! difference to the counts that its hold keeps.

use shared::values::ids::{OrderId, ProductId};
use shared::values::money::Currency;

/// Maximum on-hand count.
pub const MAX_ON_HAND: i64 = 1_000_000_000;

/// Maximum number of products that a hold covers, ended items included. Each declaration writes to all of them.
pub const MAX_PRODUCTS: usize = 500;

/// Stock counts of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stock {
    /// Units physically in the warehouse.
    pub on_hand: i64,
    /// Units held for orders; never more than `on_hand`.
    pub reserved: i64,
}

impl Stock {
    /// Units that can still be ordered.
    pub fn available(self) -> i64 {
        self.on_hand.saturating_sub(self.reserved).max(0)
    }
}

/// Change of the on-hand count by people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StockChange {
    /// Sets the count.
    Set(i64),
    /// Moves the count by this delta.
    Move(i64),
}

impl StockChange {
    /// Delta for this on-hand count, in units.
    pub fn delta(self, on_hand: i64) -> i64 {
        match self {
            Self::Set(count) => count.saturating_sub(on_hand),
            Self::Move(delta) => delta,
        }
    }
}

/// Change of the on-hand count, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockCount {
    /// The change.
    pub change: StockChange,
    /// Reason given by staff.
    pub reason: Option<String>,
}

/// Effect of a declaration on its items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeclarationKind {
    /// Holds the items; releases any earlier hold of products that are not named.
    Hold,
    /// Ships the items: they leave the warehouse, and the hold ends.
    Ship,
    /// Restocks the items: they come back into the warehouse, and nothing is held.
    Restock,
    /// Holds the items, moves units on hand to their counts, and keeps these. Releases products that are not
    /// named.
    Move,
}

/// Units of a product that an order has moved, in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Units that were ever shipped, without those of cancelled fulfillments.
    pub shipped: i64,
    /// Units that were ever restocked.
    pub restocked: i64,
}

impl Counts {
    /// Returns what was moved since these earlier counts.
    fn since(self, earlier: Self) -> Self {
        Self {
            shipped: self.shipped.saturating_sub(earlier.shipped),
            restocked: self.restocked.saturating_sub(earlier.restocked),
        }
    }

    /// Change of the on-hand count, in units.
    fn on_hand(self) -> i64 {
        self.restocked.saturating_sub(self.shipped)
    }
}

/// Quantity of one product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Product ID.
    pub product: ProductId,
    /// Quantity in units: those to hold, ship or restock.
    pub quantity: i64,
    /// Counts as of the revision. Only [`DeclarationKind::Move`] has them.
    pub counts: Counts,
    /// Counts before the oldest open task of the order. They stand for those that the hold does not keep.
    pub before: Counts,
}

impl Item {
    /// Creates an item without counts.
    pub fn new(product: ProductId, quantity: i64) -> Self {
        Self { product, quantity, counts: Counts::default(), before: Counts::default() }
    }
}

/// Declaration about the stock of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// Order ID.
    pub order: OrderId,
    /// Revision of the order.
    pub revision: i64,
    /// Effect on the items.
    pub kind: DeclarationKind,
    /// Items of distinct products.
    pub items: Vec<Item>,
}

/// State of a product, as far as a decision needs it.
#[derive(Clone, Debug)]
pub struct ProductState {
    /// Product ID.
    pub product: ProductId,
    /// Stock counts.
    pub stock: Stock,
    /// True if the product can be ordered.
    pub active: bool,
    /// Currency of its price; none if the product cannot be read. Then it cannot be ordered either.
    pub currency: Option<Currency>,
    /// Most units in one order, if it has a limit of its own.
    pub max_per_order: Option<i64>,
    /// Units held for the order. None if its hold does not cover the product, not even as an ended item.
    pub held: Option<i64>,
    /// Counts that the hold keeps of the product.
    pub counts: Option<Counts>,
}

impl ProductState {
    fn held(&self) -> i64 {
        self.held.unwrap_or(0)
    }
}

/// Write to one product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StockUpdate {
    /// Product ID.
    pub product: ProductId,
    /// Units that are shipped and restocked by it.
    pub moved: Counts,
    /// Delta of the reserved count.
    pub reserved: i64,
    /// Units held for the order from now on; 0 once the item has ended.
    pub held: i64,
    /// Counts that the hold keeps from now on. None: those that it keeps stay.
    pub counts: Option<Counts>,
    /// Availability before and after. The write applies only to a product of which that is so.
    pub in_stock: Flip,
}

/// Availability of a product before and after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flip {
    /// True if there are units left before it.
    pub before: bool,
    /// True if there are units left after it.
    pub after: bool,
}

impl Flip {
    /// Availability of a product that stays in stock.
    pub const STAYS: Self = Self { before: true, after: true };

    /// Returns true if the product sells out, or comes back.
    pub fn is_change(self) -> bool {
        self.before != self.after
    }
}

/// Reason why a declaration is rejected. Items are named by their index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// A later declaration has been applied already.
    Superseded,
    /// Items that cannot be ordered, each with its reason.
    ItemError(Vec<(usize, ItemError)>),
    /// All items of which there is not enough.
    Short(Vec<Shortage>),
    /// The hold would cover more products than it may over time.
    TooManyProducts,
    /// More would leave the warehouse than is there: the order was never held like this.
    Impossible(ProductId),
}

/// Reason why a product cannot be ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemError {
    /// There is no such product, or it is not active.
    NotActive,
    /// The item has another currency than the order's first item.
    OtherCurrency {
        /// Currency of this item.
        this: Currency,
        /// Currency of the first item.
        first: Currency,
    },
    /// The item has more units than the product allows in one order.
    AboveMax(i64),
}

/// Item of which there is not enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Product ID.
    pub product: ProductId,
    /// Units requested.
    pub requested: i64,
    /// Units that this order could have.
    pub available: i64,
}

/// Decides about a declaration. `revision` is that of the order's hold, if it has one. `states` are the products
/// that the hold covers, and those that the declaration names, if they exist. Without a write there is nothing to
/// do: it is a replay, or ends what was never held.
///
/// # Errors
/// The reason for rejection; then nothing may be written.
pub fn decide(
    declaration: &Declaration,
    revision: Option<i64>,
    states: &[ProductState],
) -> Result<Vec<StockUpdate>, Rejection> {
    match revision {
        Some(revision) if revision > declaration.revision => return Err(Rejection::Superseded),
        Some(revision) if revision == declaration.revision => return Ok(Vec::new()),
        _ => {}
    }
    let state_of = |product| states.iter().find(|state| state.product == product);
    if declaration.kind.may_take() {
        check_orderable(declaration, states)?;
        let grows = states.iter().any(|state| state.held.is_none());
        if grows && states.len() > MAX_PRODUCTS {
            return Err(Rejection::TooManyProducts);
        }
    }
    let mut writes = Vec::with_capacity(states.len());
    let mut shortages = Vec::new();
    for item in &declaration.items {
        let Some(state) = state_of(item.product) else { return Err(Rejection::Impossible(item.product)) };
        let write = update(state, declaration.kind, *item);
        let after = write.after(state.stock);
        if declaration.kind.may_take() && write.takes_more() && after.reserved > after.on_hand {
            // What comes back is there before anything is taken.
            let stock = Stock { on_hand: after.on_hand, ..state.stock };
            shortages.push(Shortage {
                product: item.product,
                requested: item.quantity,
                available: stock.available().saturating_add(state.held()),
            });
        } else if declaration.kind.may_ship() && (after.reserved < 0 || after.on_hand < after.reserved) {
            return Err(Rejection::Impossible(item.product));
        }
        writes.push(write);
    }
    if !shortages.is_empty() {
        return Err(Rejection::Short(shortages));
    }
    let named = |state: &&ProductState| declaration.items.iter().any(|item| item.product == state.product);
    let release = |state: &ProductState| update(state, DeclarationKind::Hold, Item::new(state.product, 0));
    writes.extend(states.iter().filter(|state| !named(state)).map(release));
    Ok(writes)
}

impl DeclarationKind {
    /// Returns true if it may hold more units than before.
    pub(crate) fn may_take(self) -> bool {
        matches!(self, Self::Hold | Self::Move)
    }

    /// Returns true if units may leave the warehouse.
    fn may_ship(self) -> bool {
        matches!(self, Self::Ship | Self::Move)
    }
}

/// Builds the write of one item.
fn update(state: &ProductState, kind: DeclarationKind, item: Item) -> StockUpdate {
    let none = Counts::default();
    let (moved, held, counts) = match kind {
        DeclarationKind::Hold => (none, item.quantity, None),
        DeclarationKind::Ship => (Counts { shipped: item.quantity, ..none }, 0, None),
        DeclarationKind::Restock => (Counts { restocked: item.quantity, ..none }, 0, None),
        DeclarationKind::Move => {
            let before = state.counts.unwrap_or(item.before);
            (item.counts.since(before), item.quantity, Some(item.counts))
        }
    };
    let reserved = held.saturating_sub(state.held());
    let stays = Flip { before: state.stock.available() > 0, after: false };
    let write = StockUpdate { product: state.product, moved, reserved, held, counts, in_stock: stays };
    let after = write.after(state.stock).available() > 0;
    StockUpdate { in_stock: Flip { after, ..stays }, ..write }
}

impl StockUpdate {
    /// Delta of the on-hand count.
    pub fn on_hand(&self) -> i64 {
        self.moved.on_hand()
    }

    /// Returns true if the order has more units after it than before, held and shipped together.
    pub(crate) fn takes_more(&self) -> bool {
        self.reserved.saturating_add(self.moved.shipped) > 0
    }

    /// Returns the counts after the write.
    fn after(&self, stock: Stock) -> Stock {
        Stock {
            on_hand: stock.on_hand.saturating_add(self.on_hand()),
            reserved: stock.reserved.saturating_add(self.reserved),
        }
    }
}

/// Checks that products of which the order gets more than before are active, and that all items of a first hold
/// have one currency. What it has already, held or shipped, stays, whatever the product's status and limit.
pub(crate) fn check_orderable(declaration: &Declaration, states: &[ProductState]) -> Result<(), Rejection> {
    let kind = declaration.kind;
    let state_of = |product| states.iter().find(|state| state.product == product);
    let first_hold = kind == DeclarationKind::Hold && states.iter().all(|state| state.held() == 0);
    let first_currency = declaration.items.iter().find_map(|item| state_of(item.product)?.currency);
    let mut unorderable = Vec::new();
    for (index, item) in declaration.items.iter().enumerate() {
        match (state_of(item.product), first_currency) {
            (Some(state), _) if !update(state, kind, *item).takes_more() => {}
            (
                Some(ProductState { active: true, currency: Some(this), max_per_order, counts, .. }),
                Some(first),
            ) => {
                if first_hold && *this != first {
                    unorderable.push((index, ItemError::OtherCurrency { this: *this, first }));
                }
                let counts =
                    if kind == DeclarationKind::Move { item.counts } else { counts.unwrap_or_default() };
                if let Some(max) = *max_per_order
                    && max < item.quantity.saturating_add(counts.shipped)
                {
                    unorderable.push((index, ItemError::AboveMax(max)));
                }
            }
            // A product without stock is damaged: nothing can be moved.
            (None, _) if kind == DeclarationKind::Move => {}
            _ => unorderable.push((index, ItemError::NotActive)),
        }
    }
    if unorderable.is_empty() { Ok(()) } else { Err(Rejection::ItemError(unorderable)) }
}

#[cfg(test)]
mod tests;
