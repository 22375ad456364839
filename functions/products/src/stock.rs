//! Stock rules: pure decisions about on-hand counts and the holds of orders.
//!
//! An order's hold is *declared*: as of a revision, exactly these items. Each product keeps one entry per
//! order with the revision that wrote it. A declaration applies only above the stored revision; the same one
//! again is a replay, a lower one is refused. An entry of quantity 0 is a tombstone: it refuses late calls.
//! See the table of crashes in docs/protocol/stock.md.

use shared::values::ids::{OrderId, ProductId};
use shared::values::money::Currency;

/// Maximum on-hand count.
pub const MAX_ON_HAND: i64 = 1_000_000_000;

/// Maximum number of orders for which a product is held. Each hold is written with all others of the product.
/// So a hold beside 5,000 costs several times one beside none: see benches/holds.rs.
pub const MAX_LIVE_HOLDS: i64 = 5_000;

/// Maximum number of entries of a product, ended ones included. With 75 bytes each they are far from
/// MongoDB's document limit of 16 MB. So there is room for writes that are never refused.
pub const MAX_ENTRIES: i64 = 20_000;

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
}

/// Quantity of one product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Product ID.
    pub product: ProductId,
    /// Quantity in units.
    pub quantity: i64,
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

/// Entry of an order in a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Units held; 0 is a tombstone.
    pub quantity: i64,
    /// Revision that wrote the entry.
    pub revision: i64,
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
    /// Its entry of the order.
    pub entry: Option<Entry>,
    /// Number of live holds.
    pub live: i64,
    /// Number of entries, of all orders.
    pub entries: i64,
}

impl ProductState {
    fn held(&self) -> i64 {
        self.entry.map_or(0, |entry| entry.quantity)
    }

    /// True if it can be held for this order too.
    fn has_room(&self) -> bool {
        self.live < MAX_LIVE_HOLDS && (self.entry.is_some() || self.entries < MAX_ENTRIES)
    }
}

/// Write to one product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StockUpdate {
    /// Product ID.
    pub product: ProductId,
    /// Delta of the on-hand count.
    pub on_hand: i64,
    /// Delta of the reserved count.
    pub reserved: i64,
    /// Delta of the number of live holds.
    pub live: i64,
    /// New entry of the order.
    pub entry: Entry,
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
    /// All products that have reached the maximum number of holds.
    TooManyHolds(Vec<ProductId>),
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

/// Decides about a declaration. `states` are the products that keep an entry of the order, and those that the
/// declaration names, if they exist.
///
/// # Errors
/// The reason for rejection; then nothing may be written.
pub fn decide(declaration: &Declaration, states: &[ProductState]) -> Result<Vec<StockUpdate>, Rejection> {
    let revisions = || states.iter().filter_map(|state| Some(state.entry?.revision));
    if revisions().any(|revision| revision > declaration.revision) {
        return Err(Rejection::Superseded);
    }
    // All entries of a declaration are written at once, so one is enough to detect a replay.
    if revisions().any(|revision| revision == declaration.revision) {
        return Ok(Vec::new());
    }
    let state_of = |product| states.iter().find(|state| state.product == product);
    if declaration.kind == DeclarationKind::Hold {
        check_orderable(declaration, states)?;
    }
    let mut writes = Vec::with_capacity(states.len());
    let mut shortages = Vec::new();
    let mut full = Vec::new();
    for item in &declaration.items {
        let Some(state) = state_of(item.product) else { return Err(Rejection::Impossible(item.product)) };
        let (on_hand, held) = match declaration.kind {
            DeclarationKind::Hold => (0, item.quantity),
            DeclarationKind::Ship => (-item.quantity, 0),
            DeclarationKind::Restock => (item.quantity, 0),
        };
        let write = StockUpdate {
            product: item.product,
            on_hand,
            reserved: held.saturating_sub(state.held()),
            live: live(held) - live(state.held()),
            entry: Entry { quantity: held, revision: declaration.revision },
        };
        let grows = write.reserved > 0;
        if grows && write.reserved > state.stock.available() {
            shortages.push(Shortage {
                product: item.product,
                requested: item.quantity,
                available: state.stock.available().saturating_add(state.held()),
            });
        }
        if write.live > 0 && !state.has_room() {
            full.push(item.product);
        }
        let after = Stock {
            on_hand: state.stock.on_hand.saturating_add(write.on_hand),
            reserved: state.stock.reserved.saturating_add(write.reserved),
        };
        if declaration.kind == DeclarationKind::Ship && (after.reserved < 0 || after.on_hand < after.reserved)
        {
            return Err(Rejection::Impossible(item.product));
        }
        writes.push(write);
    }
    if !shortages.is_empty() {
        return Err(Rejection::Short(shortages));
    }
    if !full.is_empty() {
        return Err(Rejection::TooManyHolds(full));
    }
    let named = |state: &&ProductState| declaration.items.iter().any(|item| item.product == state.product);
    writes.extend(states.iter().filter(|state| !named(state)).map(|state| StockUpdate {
        product: state.product,
        on_hand: 0,
        reserved: state.held().saturating_neg(),
        live: -live(state.held()),
        entry: Entry { quantity: 0, revision: declaration.revision },
    }));
    Ok(writes)
}

/// Number of live holds in an entry of this quantity: 0 or 1.
fn live(quantity: i64) -> i64 {
    i64::from(quantity > 0)
}

/// Checks that products of which more is held than before are active, and that all items of a first hold have
/// one currency. What is held already stays, whatever the product's status and limit.
fn check_orderable(declaration: &Declaration, states: &[ProductState]) -> Result<(), Rejection> {
    let state_of = |product| states.iter().find(|state| state.product == product);
    let first_hold = states.iter().all(|state| state.held() == 0);
    let first_currency = declaration.items.iter().find_map(|item| state_of(item.product)?.currency);
    let mut unorderable = Vec::new();
    for (index, item) in declaration.items.iter().enumerate() {
        match (state_of(item.product), first_currency) {
            (Some(state), _) if state.held() >= item.quantity => {}
            (Some(ProductState { active: true, currency: Some(this), max_per_order, .. }), Some(first)) => {
                if first_hold && *this != first {
                    unorderable.push((index, ItemError::OtherCurrency { this: *this, first }));
                }
                if let Some(max) = *max_per_order
                    && max < item.quantity
                {
                    unorderable.push((index, ItemError::AboveMax(max)));
                }
            }
            _ => unorderable.push((index, ItemError::NotActive)),
        }
    }
    if unorderable.is_empty() { Ok(()) } else { Err(Rejection::ItemError(unorderable)) }
}

#[cfg(test)]
mod tests;
