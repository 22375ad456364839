//! Stock and what may be done with it: pure decisions about on-hand counts and the holds of orders.
//!
//! An order's hold is *declared*: as of a revision, exactly these lines. Each product keeps one entry per
//! order with the revision that wrote it. A declaration applies only above the stored revision; the same
//! one again is a replay, a lower one is refused. An entry of quantity 0 is a tombstone: it refuses what
//! arrives late. See DESIGN's table of crashes in ARCHITECTURE.md.

use shared::ids::{OrderId, ProductId};
use shared::money::Currency;

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

/// What a declaration does with its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Movement {
    /// They are held; what was held before and is not named is free.
    Hold,
    /// They leave the house; nothing is held any more.
    Ship,
    /// They come back into the house; nothing is held.
    Restock,
}

/// A quantity of one product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
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
    /// What is done with the lines.
    pub movement: Movement,
    /// Distinct products.
    pub lines: Vec<Line>,
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
pub struct Shelf {
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

impl Shelf {
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
pub struct ShelfWrite {
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

/// Why a declaration is not applied. Lines are named by their place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A later declaration has been applied already.
    Superseded,
    /// Lines that cannot be ordered, each with why.
    Unorderable(Vec<(usize, Unorderable)>),
    /// Lines of which there is not enough: all of them.
    Short(Vec<Shortage>),
    /// Products that are held for as many orders as they can be: all of them.
    TooManyHolds(Vec<ProductId>),
    /// It would take more from the house than is there: the order was never held like this.
    Impossible(ProductId),
}

/// Why a product cannot be ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unorderable {
    /// There is no such product, or it is not active.
    NotActive,
    /// An order has one currency, the first line's.
    OtherCurrency {
        /// This line's.
        this: Currency,
        /// The first line's.
        first: Currency,
    },
}

/// A line of which there is not enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Which product.
    pub product: ProductId,
    /// How many pieces were asked for.
    pub requested: i64,
    /// How many this order could have.
    pub available: i64,
}

/// Decides about a declaration. `shelves` are all products that keep an entry of the order and all that
/// the declaration names, as far as there are such.
///
/// # Errors
/// Why it is refused; then nothing is written at all.
pub fn decide(declaration: &Declaration, shelves: &[Shelf]) -> Result<Vec<ShelfWrite>, Refusal> {
    let revisions = || shelves.iter().filter_map(|shelf| Some(shelf.entry?.revision));
    if revisions().any(|revision| revision > declaration.revision) {
        return Err(Refusal::Superseded);
    }
    // All entries of a declaration are written at once, so one is enough to know a replay.
    if revisions().any(|revision| revision == declaration.revision) {
        return Ok(Vec::new());
    }
    let shelf_of = |product| shelves.iter().find(|shelf| shelf.product == product);
    if declaration.movement == Movement::Hold {
        check_orderable(declaration, shelves)?;
    }
    let mut writes = Vec::with_capacity(shelves.len());
    let mut shortages = Vec::new();
    let mut full = Vec::new();
    for line in &declaration.lines {
        let Some(shelf) = shelf_of(line.product) else { return Err(Refusal::Impossible(line.product)) };
        let (on_hand, held) = match declaration.movement {
            Movement::Hold => (0, line.quantity),
            Movement::Ship => (-line.quantity, 0),
            Movement::Restock => (line.quantity, 0),
        };
        let write = ShelfWrite {
            product: line.product,
            on_hand,
            reserved: held - shelf.held(),
            live: live(held) - live(shelf.held()),
            entry: Entry { quantity: held, revision: declaration.revision },
        };
        let grows = write.reserved > 0;
        if grows && write.reserved > shelf.stock.available() {
            shortages.push(Shortage {
                product: line.product,
                requested: line.quantity,
                available: shelf.stock.available() + shelf.held(),
            });
        }
        if write.live > 0 && !shelf.has_room() {
            full.push(line.product);
        }
        let after = Stock {
            on_hand: shelf.stock.on_hand + write.on_hand,
            reserved: shelf.stock.reserved + write.reserved,
        };
        if declaration.movement == Movement::Ship && (after.reserved < 0 || after.on_hand < after.reserved) {
            return Err(Refusal::Impossible(line.product));
        }
        writes.push(write);
    }
    if !shortages.is_empty() {
        return Err(Refusal::Short(shortages));
    }
    if !full.is_empty() {
        return Err(Refusal::TooManyHolds(full));
    }
    let named = |shelf: &&Shelf| declaration.lines.iter().any(|line| line.product == shelf.product);
    writes.extend(shelves.iter().filter(|shelf| !named(shelf)).map(|shelf| ShelfWrite {
        product: shelf.product,
        on_hand: 0,
        reserved: -shelf.held(),
        live: -live(shelf.held()),
        entry: Entry { quantity: 0, revision: declaration.revision },
    }));
    Ok(writes)
}

/// How many live holds an entry of this quantity is.
fn live(quantity: i64) -> i64 {
    i64::from(quantity > 0)
}

/// What an order does not hold yet must be active, and all lines of a first hold have one currency. What it
/// holds already stays, whatever became of the product.
fn check_orderable(declaration: &Declaration, shelves: &[Shelf]) -> Result<(), Refusal> {
    let shelf_of = |product| shelves.iter().find(|shelf| shelf.product == product);
    let first_hold = shelves.iter().all(|shelf| shelf.held() == 0);
    let first_currency =
        declaration.lines.iter().find_map(|line| shelf_of(line.product)).map(|shelf| shelf.currency);
    let mut unorderable = Vec::new();
    for (place, line) in declaration.lines.iter().enumerate() {
        match (shelf_of(line.product), first_currency) {
            (Some(shelf), _) if shelf.held() > 0 => {}
            (Some(shelf), Some(first)) if shelf.active => {
                if first_hold && shelf.currency != first {
                    unorderable.push((place, Unorderable::OtherCurrency { this: shelf.currency, first }));
                }
            }
            _ => unorderable.push((place, Unorderable::NotActive)),
        }
    }
    if unorderable.is_empty() { Ok(()) } else { Err(Refusal::Unorderable(unorderable)) }
}

#[cfg(test)]
mod tests;
