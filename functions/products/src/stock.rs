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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn euro() -> Currency {
        Currency::parse("EUR".to_owned()).unwrap()
    }

    fn shelf(on_hand: i64, reserved: i64, entry: Option<Entry>) -> Shelf {
        Shelf {
            product: ProductId::new(),
            stock: Stock { on_hand, reserved },
            active: true,
            currency: euro(),
            entry,
            live: 1,
            entries: 2,
        }
    }

    fn declare(movement: Movement, revision: i64, lines: &[(&Shelf, i64)]) -> Declaration {
        let lines = lines
            .iter()
            .map(|(shelf, quantity)| Line { product: shelf.product, quantity: *quantity })
            .collect();
        Declaration { order: OrderId::new(), revision, movement, lines }
    }

    fn hold(revision: i64, lines: &[(&Shelf, i64)]) -> Declaration {
        declare(Movement::Hold, revision, lines)
    }

    #[test]
    fn the_last_piece_can_be_held_and_not_one_more() {
        let mug = shelf(10, 9, None);
        assert!(decide(&hold(1, &[(&mug, 1)]), std::slice::from_ref(&mug)).is_ok());
        let refusal = decide(&hold(1, &[(&mug, 2)]), std::slice::from_ref(&mug)).unwrap_err();
        let shortage = Shortage { product: mug.product, requested: 2, available: 1 };
        assert_eq!(refusal, Refusal::Short(vec![shortage]));
    }

    #[test]
    fn every_shortage_is_named() {
        let shelves = [shelf(1, 0, None), shelf(5, 0, None), shelf(0, 0, None)];
        let lines: Vec<_> = shelves.iter().map(|shelf| (shelf, 2)).collect();
        let Err(Refusal::Short(shortages)) = decide(&hold(1, &lines), &shelves) else {
            panic!("not refused")
        };
        assert_eq!(shortages.iter().map(|short| short.available).collect::<Vec<_>>(), [1, 0]);
    }

    #[test]
    fn the_same_revision_again_changes_nothing() {
        let mug = shelf(10, 2, Some(Entry { quantity: 2, revision: 3 }));
        assert_eq!(decide(&hold(3, &[(&mug, 2)]), std::slice::from_ref(&mug)), Ok(Vec::new()));
    }

    #[test]
    fn a_late_call_cannot_revive_a_hold_that_has_ended() {
        let mug = shelf(10, 0, Some(Entry { quantity: 0, revision: 2 }));
        assert_eq!(decide(&hold(1, &[(&mug, 2)]), std::slice::from_ref(&mug)), Err(Refusal::Superseded));
    }

    #[test]
    fn an_empty_hold_frees_all_and_leaves_tombstones() {
        let mug = shelf(10, 5, Some(Entry { quantity: 3, revision: 1 }));
        let writes = decide(&hold(2, &[]), std::slice::from_ref(&mug)).unwrap();
        let entry = Entry { quantity: 0, revision: 2 };
        assert_eq!(writes, [ShelfWrite { product: mug.product, on_hand: 0, reserved: -3, live: -1, entry }]);
    }

    #[test]
    fn a_line_that_does_not_grow_is_never_refused() {
        let mut mug = shelf(3, 3, Some(Entry { quantity: 3, revision: 1 }));
        mug.active = false;
        assert!(decide(&hold(2, &[(&mug, 2)]), std::slice::from_ref(&mug)).is_ok());
        assert!(decide(&hold(2, &[(&mug, 3)]), std::slice::from_ref(&mug)).is_ok());
        assert!(decide(&hold(2, &[(&mug, 4)]), std::slice::from_ref(&mug)).is_err());
    }

    #[test]
    fn what_cannot_be_ordered_is_told_before_what_is_short() {
        let mut draft = shelf(0, 0, None);
        draft.active = false;
        let mut yen = shelf(0, 0, None);
        yen.currency = Currency::parse("JPY".to_owned()).unwrap();
        let mug = shelf(0, 0, None);
        let unknown = shelf(0, 0, None);
        let declaration = hold(1, &[(&mug, 1), (&draft, 1), (&yen, 1), (&unknown, 1)]);
        let other = Unorderable::OtherCurrency { this: yen.currency, first: euro() };
        let shelves = [draft.clone(), yen.clone(), mug.clone()];
        let expected = vec![(1, Unorderable::NotActive), (2, other), (3, Unorderable::NotActive)];
        assert_eq!(decide(&declaration, &shelves), Err(Refusal::Unorderable(expected)));
    }

    #[test]
    fn shipping_takes_off_the_hand_and_ends_the_hold() {
        let mug = shelf(10, 5, Some(Entry { quantity: 3, revision: 1 }));
        let writes = decide(&declare(Movement::Ship, 3, &[(&mug, 3)]), std::slice::from_ref(&mug)).unwrap();
        let entry = Entry { quantity: 0, revision: 3 };
        assert_eq!(writes, [ShelfWrite { product: mug.product, on_hand: -3, reserved: -3, live: -1, entry }]);
    }

    #[test]
    fn a_restock_leaves_its_mark_where_no_entry_is_left() {
        let mug = shelf(10, 5, None);
        let writes =
            decide(&declare(Movement::Restock, 5, &[(&mug, 3)]), std::slice::from_ref(&mug)).unwrap();
        let entry = Entry { quantity: 0, revision: 5 };
        assert_eq!(writes, [ShelfWrite { product: mug.product, on_hand: 3, reserved: 0, live: 0, entry }]);
    }

    #[test]
    fn a_full_product_takes_no_further_hold_and_refuses_nothing_else() {
        let full = |entry| Shelf { live: MAX_LIVE_HOLDS, entries: MAX_LIVE_HOLDS, ..shelf(10, 5, entry) };
        let new = full(None);
        let refusal = Err(Refusal::TooManyHolds(vec![new.product]));
        assert_eq!(decide(&hold(1, &[(&new, 1)]), std::slice::from_ref(&new)), refusal);
        // One that has ended is new again; one that is live may grow, shrink, end, and be shipped.
        let ended = full(Some(Entry { quantity: 0, revision: 1 }));
        assert!(decide(&hold(2, &[(&ended, 1)]), std::slice::from_ref(&ended)).is_err());
        let live = full(Some(Entry { quantity: 2, revision: 1 }));
        for declaration in [
            hold(2, &[(&live, 3)]),
            hold(2, &[(&live, 1)]),
            hold(2, &[]),
            declare(Movement::Ship, 2, &[(&live, 2)]),
            declare(Movement::Restock, 2, &[(&live, 2)]),
        ] {
            assert!(decide(&declaration, std::slice::from_ref(&live)).is_ok(), "{declaration:?}");
        }
        assert!(decide(&declare(Movement::Restock, 2, &[(&new, 2)]), std::slice::from_ref(&new)).is_ok());
        let nearly = Shelf { live: MAX_LIVE_HOLDS - 1, ..new };
        assert!(decide(&hold(1, &[(&nearly, 1)]), std::slice::from_ref(&nearly)).is_ok());
    }

    #[test]
    fn entries_that_have_ended_count_too() {
        let new = Shelf { entries: MAX_ENTRIES, ..shelf(10, 5, None) };
        let refusal = Err(Refusal::TooManyHolds(vec![new.product]));
        assert_eq!(decide(&hold(1, &[(&new, 1)]), std::slice::from_ref(&new)), refusal);
        // Its own entry is there already, and becomes no second one.
        let known = Shelf { entries: MAX_ENTRIES, ..shelf(10, 5, Some(Entry { quantity: 0, revision: 1 })) };
        assert!(decide(&hold(2, &[(&known, 1)]), std::slice::from_ref(&known)).is_ok());
    }

    #[test]
    fn every_full_product_is_named_and_what_is_short_is_told_first() {
        let full = || Shelf { live: MAX_LIVE_HOLDS, ..shelf(10, 5, None) };
        let shelves = [full(), shelf(10, 5, None), full()];
        let lines: Vec<_> = shelves.iter().map(|shelf| (shelf, 1)).collect();
        let refusal = Err(Refusal::TooManyHolds(vec![shelves[0].product, shelves[2].product]));
        assert_eq!(decide(&hold(1, &lines), &shelves), refusal);
        let lines: Vec<_> = shelves.iter().map(|shelf| (shelf, 6)).collect();
        assert!(matches!(decide(&hold(1, &lines), &shelves), Err(Refusal::Short(short)) if short.len() == 3));
    }

    fn movement() -> impl Strategy<Value = Movement> {
        prop_oneof![Just(Movement::Hold), Just(Movement::Ship), Just(Movement::Restock)]
    }

    proptest! {
        /// Whatever is declared, in whatever order, stock stays possible, and `reserved` is what entries hold.
        #[test]
        fn no_declaration_can_break_the_invariants(
            on_hand in prop::collection::vec(0..20_i64, 1..4),
            calls in prop::collection::vec(
                (0..4_usize, 1..8_i64, movement(), prop::collection::vec(0..12_i64, 3)), 0..40),
        ) {
            let shelves: Vec<Shelf> = on_hand.iter().map(|&count| shelf(count, 0, None)).collect();
            let mut live = vec![0; shelves.len()];
            let mut stocks: Vec<Stock> = shelves.iter().map(|shelf| shelf.stock).collect();
            let mut entries = vec![vec![None::<Entry>; shelves.len()]; 4];
            for (order, revision, movement, quantities) in calls {
                let now: Vec<Shelf> = shelves.iter().enumerate().map(|(i, shelf)| Shelf {
                    stock: stocks[i], entry: entries[order][i], ..shelf.clone()
                }).collect();
                let lines: Vec<(&Shelf, i64)> =
                    now.iter().zip(&quantities).filter(|(_, q)| **q > 0).map(|(s, q)| (s, *q)).collect();
                let known: Vec<Shelf> = now.iter().filter(|shelf| {
                    shelf.entry.is_some() || lines.iter().any(|(line, _)| line.product == shelf.product)
                }).cloned().collect();
                for write in decide(&declare(movement, revision, &lines), &known).unwrap_or_default() {
                    let i = shelves.iter().position(|shelf| shelf.product == write.product).unwrap();
                    stocks[i].on_hand += write.on_hand;
                    stocks[i].reserved += write.reserved;
                    live[i] += write.live;
                    entries[order][i] = Some(write.entry);
                }
                for (i, stock) in stocks.iter().enumerate() {
                    let held: i64 = entries.iter().filter_map(|order| Some(order[i]?.quantity)).sum();
                    prop_assert_eq!(stock.reserved, held);
                    let held = entries.iter().filter(|order| order[i].is_some_and(|it| it.quantity > 0));
                    prop_assert_eq!(usize::try_from(live[i]).unwrap(), held.count());
                    prop_assert!(0 <= stock.reserved && stock.reserved <= stock.on_hand);
                }
            }
        }
    }
}
