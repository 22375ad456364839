//! Stock and what may be done with it: pure decisions about on-hand counts and the holds of orders.
//!
//! An order's hold is *declared*: as of a revision, exactly these items. Each product keeps one entry per
//! order with the revision that wrote it. A declaration applies only above the stored revision; the same
//! one again is a replay, a lower one is refused. An entry of quantity 0 is a tombstone: it refuses what
//! arrives late. See DESIGN's table of crashes in ARCHITECTURE.md.

use shared::values::ids::{OrderId, ProductId};
use shared::values::money::Currency;

/// The largest on-hand count.
pub const MAX_ON_HAND: i64 = 1_000_000_000;

/// How many orders a product is held for, at most. Each hold is written with all others of the product, so
/// that a hold beside 5,000 costs several times one beside none: see benches/holds.rs.
pub const MAX_LIVE_HOLDS: i64 = 5_000;

/// How many entries a product keeps, at most, those that have ended included. With 75 bytes each they are far from
/// the 16 MB where a document ends, so that there is room for what is never refused.
pub const MAX_ENTRIES: i64 = 20_000;

/// How much there is of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stock {
    /// Pieces in the house.
    pub on_hand: i64,
    /// Pieces held for orders; never more than `on_hand`.
    pub reserved: i64,
}

impl Stock {
    /// Pieces that can still be ordered.
    pub fn available(self) -> i64 {
        (self.on_hand - self.reserved).max(0)
    }
}

/// A change of the on-hand count by people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StockChange {
    /// So many were counted.
    Set(i64),
    /// So many more, or fewer.
    Move(i64),
}

impl StockChange {
    /// By how many pieces it changes this on-hand count.
    pub fn delta(self, on_hand: i64) -> i64 {
        match self {
            Self::Set(count) => count - on_hand,
            Self::Move(delta) => delta,
        }
    }
}

/// A change of the on-hand count, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockCount {
    /// What changes.
    pub change: StockChange,
    /// What people say about it.
    pub reason: Option<String>,
}

/// What a declaration does with its items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeclarationKind {
    /// They are held; what was held before and is not named is free.
    Hold,
    /// They leave the house; nothing is held any more.
    Ship,
    /// They come back into the house; nothing is held.
    Restock,
}

/// A quantity of one product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Which product.
    pub product: ProductId,
    /// How many pieces.
    pub quantity: i64,
}

/// What is declared about the stock of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// Whose stock.
    pub order: OrderId,
    /// As of which revision of the order.
    pub revision: i64,
    /// What is done with the items.
    pub kind: DeclarationKind,
    /// Distinct products.
    pub items: Vec<Item>,
}

/// What a product keeps of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// How many pieces are held; 0 is a tombstone.
    pub quantity: i64,
    /// As of which revision.
    pub revision: i64,
}

/// What has to be known of a product to decide.
#[derive(Clone, Debug)]
pub struct ProductState {
    /// Which product.
    pub product: ProductId,
    /// How much there is of it.
    pub stock: Stock,
    /// Whether it can be ordered.
    pub active: bool,
    /// What its price is in.
    pub currency: Currency,
    /// What it keeps of the order.
    pub entry: Option<Entry>,
    /// How many orders it is held for.
    pub live: i64,
    /// How many entries it keeps, of all orders.
    pub entries: i64,
}

impl ProductState {
    fn held(&self) -> i64 {
        self.entry.map_or(0, |entry| entry.quantity)
    }

    /// Whether it can be held for one more order, the one in question.
    fn has_room(&self) -> bool {
        self.live < MAX_LIVE_HOLDS && (self.entry.is_some() || self.entries < MAX_ENTRIES)
    }
}

/// What to write to one product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StockUpdate {
    /// Which product.
    pub product: ProductId,
    /// By how much the on-hand count changes.
    pub on_hand: i64,
    /// By how much the reserved count changes.
    pub reserved: i64,
    /// By how much the number of live holds changes.
    pub live: i64,
    /// The order's new entry.
    pub entry: Entry,
}

/// Why a declaration is not applied. Items are named by their place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// A later declaration has been applied already.
    Superseded,
    /// Items that cannot be ordered, each with why.
    ItemError(Vec<(usize, ItemError)>),
    /// Items of which there is not enough: all of them.
    Short(Vec<Shortage>),
    /// Products that are held for as many orders as they can be: all of them.
    TooManyHolds(Vec<ProductId>),
    /// It would take more from the house than is there: the order was never held like this.
    Impossible(ProductId),
}

/// Why a product cannot be ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemError {
    /// There is no such product, or it is not active.
    NotActive,
    /// An order has one currency, the first item's.
    OtherCurrency {
        /// This item's.
        this: Currency,
        /// The first item's.
        first: Currency,
    },
}

/// A item of which there is not enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Which product.
    pub product: ProductId,
    /// How many pieces were asked for.
    pub requested: i64,
    /// How many this order could have.
    pub available: i64,
}

/// Decides about a declaration. `states` are all products that keep an entry of the order and all that
/// the declaration names, as far as there are such.
///
/// # Errors
/// Why it is refused; then nothing is written at all.
pub fn decide(declaration: &Declaration, states: &[ProductState]) -> Result<Vec<StockUpdate>, Rejection> {
    let revisions = || states.iter().filter_map(|state| Some(state.entry?.revision));
    if revisions().any(|revision| revision > declaration.revision) {
        return Err(Rejection::Superseded);
    }
    // All entries of a declaration are written at once, so one is enough to know a replay.
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
            reserved: held - state.held(),
            live: live(held) - live(state.held()),
            entry: Entry { quantity: held, revision: declaration.revision },
        };
        let grows = write.reserved > 0;
        if grows && write.reserved > state.stock.available() {
            shortages.push(Shortage {
                product: item.product,
                requested: item.quantity,
                available: state.stock.available() + state.held(),
            });
        }
        if write.live > 0 && !state.has_room() {
            full.push(item.product);
        }
        let after = Stock {
            on_hand: state.stock.on_hand + write.on_hand,
            reserved: state.stock.reserved + write.reserved,
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
        reserved: -state.held(),
        live: -live(state.held()),
        entry: Entry { quantity: 0, revision: declaration.revision },
    }));
    Ok(writes)
}

/// How many live holds an entry of this quantity is.
fn live(quantity: i64) -> i64 {
    i64::from(quantity > 0)
}

/// What an order does not hold yet must be active, and all items of a first hold have one currency. What it
/// holds already stays, whatever became of the product.
fn check_orderable(declaration: &Declaration, states: &[ProductState]) -> Result<(), Rejection> {
    let state_of = |product| states.iter().find(|state| state.product == product);
    let first_hold = states.iter().all(|state| state.held() == 0);
    let first_currency =
        declaration.items.iter().find_map(|item| state_of(item.product)).map(|state| state.currency);
    let mut unorderable = Vec::new();
    for (place, item) in declaration.items.iter().enumerate() {
        match (state_of(item.product), first_currency) {
            (Some(state), _) if state.held() > 0 => {}
            (Some(state), Some(first)) if state.active => {
                if first_hold && state.currency != first {
                    unorderable.push((place, ItemError::OtherCurrency { this: state.currency, first }));
                }
            }
            _ => unorderable.push((place, ItemError::NotActive)),
        }
    }
    if unorderable.is_empty() { Ok(()) } else { Err(Rejection::ItemError(unorderable)) }
}

#[cfg(test)]
mod tests;
