//! Everything that is stored, or in the memory of running processes.

use super::{Items, NOTHING, ORDERS, PRODUCTS, Sent};

/// Entry of an order in a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Entry {
    pub(super) order: usize,
    pub(super) revision: u8,
    pub(super) quantity: u8,
}

/// Mark of a declaration that is in the hold of its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Mark {
    pub(super) order: usize,
    pub(super) revision: u8,
}

impl Mark {
    /// Creates the mark of an entry.
    pub(super) fn of(entry: &Entry) -> Self {
        Self { order: entry.order, revision: entry.revision }
    }
}

/// Stock of a product.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stock {
    pub(super) on_hand: u8,
    pub(super) reserved: u8,
    pub(super) journal: Vec<Entry>,
    /// Newest marks, the last at the end.
    pub(super) folded: Vec<Mark>,
    /// Number of marks that were ever left.
    pub(super) folds: u8,
}

impl Stock {
    /// Reads what a declaration about an order needs.
    pub(super) fn read(&self, order: usize) -> Read {
        let entry = self.journal.iter().find(|entry| entry.order == order);
        let marks = self.folded.iter().filter(|mark| mark.order == order).map(|mark| mark.revision);
        Read {
            folds: self.folds,
            available: self.on_hand.saturating_sub(self.reserved),
            entry: entry.map(|entry| (entry.revision, entry.quantity)),
            mark: marks.max().unwrap_or(0),
        }
    }

    /// Creates a stock without a journal.
    pub(super) fn new(on_hand: u8, reserved: u8) -> Self {
        Self { on_hand, reserved, journal: Vec::new(), folded: Vec::new(), folds: 0 }
    }

    /// Adds an entry in the place of the order's last. The journal is sorted, so that equal states are equal.
    pub(super) fn add(&mut self, entry: Entry) {
        self.journal.retain(|other| other.order != entry.order);
        let place = self.journal.partition_point(|other| *other < entry);
        self.journal.insert(place, entry);
    }
}

/// Products, by index.
pub(super) type Products = [bool; PRODUCTS];

/// Hold of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Hold {
    pub(super) revision: u8,
    pub(super) items: Items,
    /// Products of which it has an item, be it of quantity 0.
    pub(super) covers: Products,
    /// Units that are out, once a declaration had counts.
    pub(super) counts: Option<Items>,
    pub(super) old: bool,
}

impl Hold {
    /// Creates the hold that a declaration leaves. `kept` are the counts that it has read.
    pub(super) fn of(sent: &Sent, covers: Products, kept: Option<Items>) -> Self {
        let counts = sent.leaves(kept);
        Self { revision: sent.revision, items: sent.holds(), covers, counts, old: false }
    }
}

/// Entries by order that older builds keep in a product: revision and quantity.
pub(super) type Array = [Option<(u8, u8)>; ORDERS];

/// Revision and items of an order.
pub(super) type Content = Option<(u8, Items)>;

/// Facts about a product that a declaration has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Read {
    pub(super) folds: u8,
    pub(super) available: u8,
    pub(super) entry: Option<(u8, u8)>,
    /// Highest revision of the order's marks, 0 for none.
    pub(super) mark: u8,
}

/// Next step of a declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Next {
    /// Ask whether the arrays have the order.
    AskArrays,
    /// Read the stock of a product.
    ReadStock(usize),
    /// Read the hold, and decide.
    ReadHold,
    /// Find the order in the arrays, as it has no hold.
    FindInArrays,
    /// Insert the hold that was found in the arrays.
    Insert(Hold),
    /// Write.
    Write,
    /// Write the rest, one product after the other. Only without [`JournalGuard::Transaction`].
    WriteRest(usize),
}

/// Declaration with its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Declaring {
    /// Index of the declaration in the scenario.
    pub(super) call: usize,
    /// Next step.
    pub(super) next: Next,
    /// Facts about each product.
    pub(super) read: [Read; PRODUCTS],
    /// Hold of the order.
    pub(super) hold: Option<Hold>,
    /// True if the arrays had the order.
    pub(super) arrays: bool,
}

/// Running process. One that takes no further step has crashed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Process {
    /// Declaration.
    Declaring(Declaring),
    /// Fold of a journal: entries that it has read, and how many of them are written.
    Folding { product: usize, entries: Vec<Entry>, written: usize },
    /// Copy of the entries of an order from the arrays.
    Copying { order: usize, hold: Hold },
}

/// Complete state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub(super) stock: [Option<Stock>; PRODUCTS],
    pub(super) holds: [Option<Hold>; ORDERS],
    /// Arrays of older builds. `None` once it is removed.
    pub(super) arrays: [Option<Array>; PRODUCTS],
    /// Units on hand as older builds keep them.
    pub(super) older_on_hand: Items,
    pub(super) fence: bool,
    pub(super) processes: Vec<Process>,
    pub(super) left: Vec<u8>,
    pub(super) folds_left: u8,
    pub(super) copies_left: u8,
    pub(super) hour_left: bool,
    /// Highest revision that was ever applied.
    pub(super) applied: [u8; ORDERS],
    pub(super) broken: Option<&'static str>,
}

/// Possible step.
#[derive(Clone, Debug)]
pub struct Step(pub(super) String);

impl Step {
    /// Creates a step of a declaration.
    pub(super) fn of(sent: &Sent, what: &str) -> Self {
        Self(format!("order {} revision {}: {what}", sent.order, sent.revision))
    }
}

/// Everything that declarations are about: the units on hand, and each order's content and counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    pub(super) on_hand: Items,
    pub(super) orders: [Content; ORDERS],
    pub(super) counts: [Option<Items>; ORDERS],
}

/// Answer to a declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Superseded,
    Short,
    Impossible,
}

impl Meaning {
    pub(super) fn reserved(&self, product: usize) -> u8 {
        self.orders.iter().flatten().map(|(_, items)| items[product]).sum()
    }

    /// Applies a declaration in one step, as `stock::declare` does.
    pub(super) fn declare(&mut self, call: &Sent) -> Answer {
        let before = self.orders[call.order];
        if let Some((revision, _)) = before {
            if revision > call.revision {
                return Answer::Superseded;
            }
            if revision == call.revision {
                return Answer::Done;
            }
        }
        let held = before.map_or(NOTHING, |(_, items)| items);
        let holds = call.holds();
        let mut on_hand = self.on_hand;
        for product in 0..PRODUCTS {
            let others = self.reserved(product) - held[product];
            let moves = call.moves(product, self.counts[call.order]);
            let Some(moved) = on_hand[product].checked_add_signed(i8::try_from(moves).unwrap_or(i8::MIN))
            else {
                return Answer::Impossible;
            };
            if others + holds[product] > moved {
                let is_short = holds[product] > held[product];
                return if is_short { Answer::Short } else { Answer::Impossible };
            }
            on_hand[product] = moved;
        }
        if before.is_some() || call.items != NOTHING || call.counts.is_some() {
            self.on_hand = on_hand;
            self.orders[call.order] = Some((call.revision, holds));
            self.counts[call.order] = call.leaves(self.counts[call.order]);
        }
        Answer::Done
    }
}

impl State {
    /// Returns the content of an order: of its highest revision in journals, holds, or arrays.
    pub(super) fn content(&self, order: usize) -> Content {
        let hold = self.holds[order].map(|hold| (hold.revision, hold.items));
        let mut content = hold.or_else(|| self.in_arrays(order).map(|hold| (hold.revision, hold.items)));
        for (product, stock) in self.stock.iter().enumerate() {
            let entries = stock.iter().flat_map(|stock| &stock.journal);
            for entry in entries.filter(|entry| entry.order == order) {
                if content.is_none_or(|(revision, _)| entry.revision > revision) {
                    content = Some((entry.revision, only(product, entry.quantity)));
                }
            }
        }
        content
    }

    /// Returns the hold of an order as the arrays of older builds have it.
    pub(super) fn in_arrays(&self, order: usize) -> Option<Hold> {
        let mut found = None;
        for (product, array) in self.arrays.iter().enumerate() {
            if let Some((revision, quantity)) = array.and_then(|array| array[order]) {
                let none =
                    Hold { revision, items: NOTHING, covers: [false; PRODUCTS], counts: None, old: false };
                let hold = found.get_or_insert(none);
                hold.revision = revision.max(hold.revision);
                hold.items[product] = quantity;
                hold.covers[product] = true;
            }
        }
        found
    }

    pub(super) fn meaning(&self) -> Meaning {
        Meaning {
            on_hand: std::array::from_fn(|product| {
                self.stock[product].as_ref().map_or(self.older_on_hand[product], |stock| stock.on_hand)
            }),
            orders: std::array::from_fn(|order| self.content(order)),
            counts: self.holds.map(|hold| hold?.counts),
        }
    }

    pub(super) fn begin(&mut self, process: Process) {
        let place = self.processes.partition_point(|other| *other < process);
        self.processes.insert(place, process);
    }

    /// Applies what older builds do in one step to the arrays.
    pub(super) fn write_arrays(&mut self, after: Meaning) {
        self.older_on_hand = after.on_hand;
        for order in 0..ORDERS {
            let before = self.in_arrays(order);
            let Some((revision, items)) = after.orders[order] else { continue };
            for (product, quantity) in items.into_iter().enumerate() {
                let is_covered = quantity > 0 || before.is_some_and(|held| held.items[product] > 0);
                if let Some(array) = &mut self.arrays[product]
                    && (is_covered || array[order].is_some())
                {
                    array[order] = Some((revision, quantity));
                }
            }
        }
    }
}

/// Items of one product.
pub(super) fn only(product: usize, quantity: u8) -> Items {
    let mut items = NOTHING;
    items[product] = quantity;
    items
}
