//! Storage of holds in products: counters, a journal and holds. A model of its own, which shows that a
//! declaration made of these steps does the same as the one atomic step of `stock`.
//!
//! # What is stored
//!
//! - *Stock*, one small document for each product: the counters, a short journal, marks, and `folds`, the number
//!   of marks that were ever left. A journal entry is of one order: its revision, and the quantity held. A mark
//!   is the order and the revision of a declaration that is in the hold; at least the newest `KEPT` are there.
//! - *Holds*, one document for each order: its revision and all its items. An item of quantity 0 has ended. A
//!   hold of such items alone is a tombstone. It has the counts of its order, too, see `parts`. Here they are
//!   one for each product: the units that are out.
//!
//! An order holds what the entry or the hold of its highest revision says. At the same revision it is the hold.
//! A mark above both is all that is left of a tombstone that was pruned: the order holds nothing.
//!
//! # Declaring
//!
//! 1. Read the stock of the products, then the hold, or both as of one moment. A higher revision than the call's: superseded. The same:
//!    a replay. Too little stock: refused.
//! 2. The products covered are those that the call names, and those of the order's entries and hold, ended ones
//!    too. One product: one write to its stock, and nothing else. It moves the counters and leaves an entry of
//!    the order, new or in the place of the one that is there. Several, or units that leave the warehouse or come
//!    back, or counts, even if nothing moves: one transaction, with a write to the stock of each and a write to
//!    the hold. Each write to a stock moves the counters, removes the order's entry and leaves a mark, as if the
//!    entry was folded at once.
//! 3. Each write to a stock has conditions: there is enough; no entry and no mark of the order has a higher
//!    revision than was read; at most `KEPT` marks were left since the read. If a condition fails nothing is
//!    written: back to 1.
//!
//! So all declarations of an order write to the stock of the products of its first one. There each finds what
//! another has done since it read: the entry, or its mark, or too many other marks.
//!
//! # Folding
//!
//! Any process may fold at any time. It reads the stock, and writes each entry to the hold of its order, unless
//! that has the same revision or a higher one. The hold keeps its counts. Then it removes the entries that are
//! still at that revision, leaves their marks, and adds their number to `folds`, in one write.
//!
//! # Pruning
//!
//! A tombstone is deleted when it is an hour old. A legacy entry of its order must be gone before, and so must every copy
//! that has read it, see below.
//!
//! # Migration
//!
//! Older builds keep the entries of all orders in an array of the product, and write that in one step.
//!
//! 1. The fence: from one moment on no older build can write. The arrays are frozen.
//! 2. The stock of a product is inserted if it is not there. An order whose hold is not there has its entries
//!    in the arrays: they are inserted as its hold, if it is still not there. The schema step does this for
//!    all, and a declaration for what it needs. It asks whether there are arrays before it reads the hold. If
//!    there is no hold then, it copies what is in the arrays, and reads again if there is a hold now, whoever
//!    has inserted it.
//! 3. An array goes once each of its orders has a hold. All go at once: a record says that all are copied, and
//!    from then on none is read. Then their bytes are deleted, and a step that runs again begins here. A copy may
//!    run on without its step, for an hour at most: until then no tombstone is deleted.
//!
//! # Left out
//!
//! The snapshot of the price belongs to the content of a revision. An hour is longer than the life of any
//! process, as in `steps`.

mod declaring;
mod guards;
mod scenarios;
mod state;
mod upkeep;

pub use guards::JournalGuard;

use state::{Entry, Hold, Mark, Process, State, Step, Stock};

use crate::explorer::Model;
use crate::state::DeclarationKind;

/// Number of products.
const PRODUCTS: usize = 2;

/// Number of orders.
const ORDERS: usize = 2;

/// Number of newest marks that are kept.
const KEPT: u8 = 1;

/// Quantities by product.
type Items = [u8; PRODUCTS];

/// Nothing.
const NOTHING: Items = [0; PRODUCTS];

/// Counts of a declaration: units of each product that are out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Units that are out as of its revision.
    pub out: Items,
    /// Units that were out before the oldest open task.
    pub before: Items,
}

/// Declaration, and the number of times that it may be sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Index of the order.
    pub order: usize,
    /// Revision.
    pub revision: u8,
    /// Kind.
    pub kind: DeclarationKind,
    /// Items.
    pub items: Items,
    /// Counts, if it is `MoveStock`. Its kind is then to hold.
    pub counts: Option<Counts>,
    /// Number of times that it may be sent, at any moment.
    pub times: u8,
    /// True if it is sent after the hour alone, and otherwise before it alone.
    pub later: bool,
}

impl Sent {
    /// Items that are held once it is applied.
    fn holds(&self) -> Items {
        if self.kind == DeclarationKind::Hold { self.items } else { NOTHING }
    }

    /// Units of a product that come back, less those that leave. `kept` are the counts of the hold.
    fn moves(&self, product: usize, kept: Option<Items>) -> i16 {
        let units = i16::from(self.items[product]);
        match (self.counts, self.kind) {
            (Some(Counts { out, before }), _) => {
                i16::from(kept.unwrap_or(before)[product]) - i16::from(out[product])
            }
            (None, DeclarationKind::Hold) => 0,
            (None, DeclarationKind::Ship) => -units,
            (None, DeclarationKind::Restock) => units,
        }
    }

    /// Returns true if it concerns a product.
    fn names(&self, product: usize) -> bool {
        let is_counted = self.counts.is_some_and(|counts| counts.out[product] + counts.before[product] > 0);
        self.items[product] > 0 || is_counted
    }

    /// Counts that the hold has once it is applied.
    fn leaves(&self, kept: Option<Items>) -> Option<Items> {
        self.counts.map_or(kept, |counts| Some(counts.out))
    }

    /// Entry that it leaves in the journal of a product.
    fn entry(&self, product: usize) -> Entry {
        Entry { order: self.order, revision: self.revision, quantity: self.holds()[product] }
    }
}

/// Model of the journal within a bound, perhaps with a guard left out.
#[derive(Clone, Debug)]
pub struct Journal {
    /// Name.
    pub name: &'static str,
    /// Units on hand of each product.
    pub on_hand: Items,
    /// Declarations.
    pub sent: Vec<Sent>,
    /// Number of folds.
    pub folds: u8,
    /// True if an hour passes, after which what has ended may be pruned.
    pub hour: bool,
    /// Holds in the arrays of older builds at the beginning, if there are older builds.
    pub older: Option<[Option<(u8, Items)>; ORDERS]>,
    /// Guard that is left out.
    pub without: Option<JournalGuard>,
}

impl Journal {
    /// Returns true if the guard is not left out.
    fn has(&self, guard: JournalGuard) -> bool {
        self.without != Some(guard)
    }
}

impl Model for Journal {
    type State = State;
    type Step = Step;

    fn initial(&self) -> State {
        let stock = |product: usize| {
            let on_hand = self.on_hand[product];
            self.older.is_none().then(|| Stock::new(on_hand, 0))
        };
        let array = |product: usize| {
            self.older.map(|orders| {
                orders.map(|content| {
                    let (revision, items) = content?;
                    (items[product] > 0).then_some((revision, items[product]))
                })
            })
        };
        State {
            stock: std::array::from_fn(stock),
            holds: [None; ORDERS],
            arrays: std::array::from_fn(array),
            older_on_hand: self.on_hand,
            fence: self.older.is_none(),
            processes: Vec::new(),
            left: self.sent.iter().map(|sent| sent.times).collect(),
            folds_left: self.folds,
            copies_left: if self.older.is_some() { 2 } else { 0 },
            hour_left: self.hour,
            applied: self.older.map_or([0; ORDERS], |orders| {
                orders.map(|content| content.map_or(0, |(revision, _)| revision))
            }),
            broken: None,
        }
    }

    fn successors(&self, state: &State) -> Vec<(Step, State)> {
        let mut steps = Vec::new();
        for (call, sent) in self.sent.iter().enumerate() {
            let is_caused = sent.revision == 1 || state.applied[sent.order] > 0;
            let is_time = sent.later == (self.hour && !state.hour_left);
            if state.left[call] > 0 && is_caused && is_time && state.fence {
                let mut after = state.clone();
                after.left[call] -= 1;
                after.begin(Process::Declaring(self.begin(call)));
                steps.push((Step::of(sent, "is sent"), after));
            }
        }
        for (place, process) in state.processes.iter().enumerate() {
            if place > 0 && state.processes[place - 1] == *process {
                continue;
            }
            let mut rest = state.clone();
            rest.processes.remove(place);
            steps.extend(match process {
                Process::Declaring(declaring) => self.declare(rest, *declaring),
                Process::Folding { product, entries, written } => {
                    self.fold(rest, *product, entries, *written)
                }
                Process::Copying { order, hold } => {
                    self.copy(&mut rest, *order, *hold);
                    Some((Step(format!("the schema step inserts the hold of order {order}")), rest))
                }
            });
        }
        for product in (0..PRODUCTS).filter(|_| state.folds_left > 0) {
            let Some(stock) = &state.stock[product] else { continue };
            let entries = stock.journal.clone();
            if entries.is_empty() {
                continue;
            }
            let mut after = state.clone();
            after.folds_left -= 1;
            after.begin(Process::Folding { product, entries, written: 0 });
            steps.push((Step(format!("a fold of product {product} reads")), after));
        }
        self.migrate(state, &mut steps);
        self.age(state, &mut steps);
        steps
    }

    fn check(&self, state: &State) -> Result<(), String> {
        if let Some(broken) = state.broken {
            return Err(broken.to_owned());
        }
        let meaning = state.meaning();
        for (product, stock) in state.stock.iter().enumerate() {
            let Some(stock) = stock else { continue };
            if stock.reserved > stock.on_hand {
                return Err("more is reserved than there is".to_owned());
            }
            if stock.reserved != meaning.reserved(product) {
                return Err("what is reserved is not what is held".to_owned());
            }
        }
        Ok(())
    }

    fn describe_step(&self, step: &Step) -> String {
        step.0.clone()
    }

    fn describe_state(&self, state: &State) -> String {
        let stock = |stock: &Option<Stock>| match stock {
            None => "none".to_owned(),
            Some(Stock { on_hand, reserved, journal, folded, folds }) => {
                let entry =
                    |entry: &Entry| format!("order {} r{} x{}", entry.order, entry.revision, entry.quantity);
                let mark = |mark: &Mark| format!("order {} r{}", mark.order, mark.revision);
                let folded: Vec<String> = folded.iter().map(mark).collect();
                let journal: Vec<String> = journal.iter().map(entry).collect();
                let (journal, folded) = (journal.join(", "), folded.join(", "));
                format!("{reserved}/{on_hand} [{journal}] folds {folds} [{folded}]")
            }
        };
        let stocks: Vec<String> = state.stock.iter().map(stock).collect();
        let hold = |hold: &Option<Hold>| {
            hold.map_or("none".to_owned(), |hold| {
                let out = hold.counts.map_or(String::new(), |counts| format!(" {counts:?} out"));
                format!("r{} {:?}{out}", hold.revision, hold.items)
            })
        };
        let holds: Vec<String> = state.holds.iter().map(hold).collect();
        format!(
            "stock {} | holds {} | {} running",
            stocks.join("; "),
            holds.join("; "),
            state.processes.len()
        )
    }
}
