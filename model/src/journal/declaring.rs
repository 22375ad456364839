//! Steps of a declaration.

use super::state::{
    Answer, Content, Declaring, Hold, Mark, Meaning, Next, Process, Read, State, Step, Stock, only,
};
use super::{Items, Journal, JournalGuard, KEPT, NOTHING, PRODUCTS, Sent};
use crate::state::DeclarationKind;

impl Journal {
    /// Creates a declaration that has read nothing yet.
    pub(super) fn begin(&self, call: usize) -> Declaring {
        let next = match self.older {
            Some(_) if self.has(JournalGuard::ArraysAskedFirst) => Next::AskArrays,
            _ => self.first_read(),
        };
        Declaring { call, next, read: [Read::default(); PRODUCTS], hold: None, arrays: false }
    }

    fn first_read(&self) -> Next {
        if self.has(JournalGuard::StockReadFirst) { Next::ReadStock(0) } else { Next::ReadHold }
    }

    fn sent(&self, declaring: &Declaring) -> &Sent {
        &self.sent[declaring.call]
    }

    /// Takes the next step of a declaration. `after` no longer contains the process.
    pub(super) fn declare(&self, mut after: State, declaring: Declaring) -> Option<(Step, State)> {
        let sent = self.sent(&declaring);
        let what = match declaring.next {
            Next::AskArrays => {
                let arrays = after.in_arrays(sent.order).is_some();
                let declaring = Declaring { arrays, ..declaring };
                if self.has(JournalGuard::ArraysAskedFirst) {
                    let next = self.first_read();
                    after.begin(Process::Declaring(Declaring { next, ..declaring }));
                } else {
                    self.go_on(&mut after, declaring);
                }
                "asks for arrays"
            }
            Next::ReadStock(product) => {
                let mut declaring = declaring;
                declaring.read[product] = self.read(after.stock[product].as_ref()?, sent.order);
                let hold_is_next = self.has(JournalGuard::StockReadFirst);
                match product + 1 {
                    PRODUCTS if !hold_is_next => self.decide(&mut after, declaring),
                    next => {
                        let next = if next == PRODUCTS { Next::ReadHold } else { Next::ReadStock(next) };
                        after.begin(Process::Declaring(Declaring { next, ..declaring }));
                        "reads a stock"
                    }
                }
            }
            Next::ReadHold => {
                let hold = after.holds[sent.order].map(|hold| Hold { old: false, ..hold });
                let declaring = Declaring { hold, ..declaring };
                if self.older.is_some() && !self.has(JournalGuard::ArraysAskedFirst) {
                    let next = Next::AskArrays;
                    after.begin(Process::Declaring(Declaring { next, ..declaring }));
                    "reads the hold"
                } else {
                    self.go_on(&mut after, declaring)
                }
            }
            Next::FindInArrays => match after.in_arrays(sent.order) {
                Some(hold) => {
                    let next = Next::Insert(hold);
                    after.begin(Process::Declaring(Declaring { next, ..declaring }));
                    "finds itself in the arrays"
                }
                // Another has copied it.
                None if after.holds[sent.order].is_some() && self.has(JournalGuard::CopyOfAnother) => {
                    after.begin(Process::Declaring(self.begin(declaring.call)));
                    "finds the copy of another"
                }
                None => self.decide_or_read(&mut after, declaring),
            },
            Next::Insert(hold) => {
                self.copy(&mut after, sent.order, hold);
                after.begin(Process::Declaring(self.begin(declaring.call)));
                "inserts its hold"
            }
            Next::Write => return self.write(after, declaring),
            Next::WriteRest(product) => self.write_rest(&mut after, declaring, product)?,
        };
        Some((Step::of(sent, what), after))
    }

    /// Goes on once the hold is read.
    fn go_on(&self, after: &mut State, declaring: Declaring) -> &'static str {
        if declaring.hold.is_none() && declaring.arrays {
            let next = Next::FindInArrays;
            after.begin(Process::Declaring(Declaring { next, ..declaring }));
            return "reads the hold";
        }
        self.decide_or_read(after, declaring)
    }

    fn decide_or_read(&self, after: &mut State, declaring: Declaring) -> &'static str {
        if self.has(JournalGuard::StockReadFirst) {
            return self.decide(after, declaring);
        }
        let next = Next::ReadStock(0);
        after.begin(Process::Declaring(Declaring { next, ..declaring }));
        "reads the hold"
    }

    /// Decides by what was read.
    fn decide(&self, after: &mut State, declaring: Declaring) -> &'static str {
        let sent = self.sent(&declaring);
        let content = declaring.content();
        let now = after.content(sent.order).map_or(0, |(revision, _)| revision);
        let read = content.map_or(0, |(revision, _)| revision);
        if read > sent.revision && self.has(JournalGuard::Revision) {
            if now <= sent.revision {
                after.broken = Some("a declaration was superseded by none");
            }
            return "is superseded";
        }
        if read == sent.revision && self.has(JournalGuard::Replay) {
            if now < sent.revision {
                after.broken = Some("a replay repeats what was not done");
            }
            return "is a replay";
        }
        let held = content.map_or(NOTHING, |(_, items)| items);
        let holds = sent.holds();
        let back = |product: usize| {
            let moves = sent.moves(product, declaring.counts());
            u8::try_from(moves).ok().filter(|_| self.has(JournalGuard::BackBeforeTaken)).unwrap_or(0)
        };
        if (0..PRODUCTS).any(|it| holds[it] > held[it] + declaring.read[it].available + back(it)) {
            if sent.counts.is_some() {
                after.broken = Some("a declaration is refused, though its units are there");
            }
            return "is short";
        }
        after.begin(Process::Declaring(Declaring { next: Next::Write, ..declaring }));
        "decides"
    }

    /// Products that a declaration writes to.
    fn covered(&self, declaring: &Declaring, held: Items) -> Vec<usize> {
        let sent = self.sent(declaring);
        let ended = |product: usize| {
            let in_hold = declaring.hold.is_some_and(|hold| hold.covers[product]);
            (in_hold || declaring.read[product].entry.is_some()) && self.has(JournalGuard::EndedCovered)
        };
        let is_covered = |product: &usize| {
            let (held, named) = (held[*product], sent.items[*product]);
            let is_concerned = held > 0 || sent.names(*product) || ended(*product);
            is_concerned && (self.has(JournalGuard::AllCovered) || held != named)
        };
        let covered: Vec<usize> = (0..PRODUCTS).filter(is_covered).collect();
        if covered.is_empty() {
            // Nothing is named and nothing is held, but a tombstone has to take the revision.
            return declaring.read.iter().position(|read| read.entry.is_some()).into_iter().collect();
        }
        covered
    }

    /// Writes, if all conditions are met, else begins again.
    fn write(&self, state: State, declaring: Declaring) -> Option<(Step, State)> {
        let sent = self.sent(&declaring);
        let before = state.meaning();
        let mut after = state.clone();
        let held = declaring.content().map_or(NOTHING, |(_, items)| items);
        let covered = self.covered(&declaring, held);
        let (what, is_written) = match covered[..] {
            [] if declaring.hold.is_none() => {
                let held = state.content(sent.order).filter(|(revision, _)| *revision < sent.revision);
                if held.is_some_and(|(_, items)| items != NOTHING) {
                    after.broken = Some("a declaration has nothing to do, beside what is held");
                }
                return Some((Step::of(sent, "has nothing to do"), after));
            }
            [product] if sent.kind == DeclarationKind::Hold && self.is_lone_write(&declaring, product) => {
                let stock = after.stock[product].as_mut()?;
                let is_written = self.write_stock(stock, &declaring, product);
                stock.add(sent.entry(product));
                ("writes one stock", is_written)
            }
            _ if !self.has(JournalGuard::Transaction) => {
                after.begin(Process::Declaring(Declaring { next: Next::WriteRest(0), ..declaring }));
                return Some((Step::of(sent, "begins to write"), after));
            }
            _ => {
                let mut is_written = true;
                let mut covers = [false; PRODUCTS];
                for product in covered {
                    covers[product] = true;
                    let stock = after.stock[product].as_mut()?;
                    is_written &= self.write_stock(stock, &declaring, product);
                    if self.has(JournalGuard::MarkInEach) {
                        stock.journal.retain(|entry| entry.order != sent.order);
                        self.leave(stock, [Mark { order: sent.order, revision: sent.revision }]);
                    }
                }
                after.holds[sent.order] = Some(Hold::of(sent, covers, declaring.counts()));
                ("writes in a transaction", is_written)
            }
        };
        if is_written {
            compare(&mut after, before, sent);
            return Some((Step::of(sent, what), after));
        }
        let mut again = state;
        if self.reads(&again, &declaring) == (declaring.read, declaring.hold) {
            again.broken = Some("a declaration fails on what it has read, and would for ever");
        }
        again.begin(Process::Declaring(self.begin(declaring.call)));
        Some((Step::of(sent, "has to read again"), again))
    }

    /// Returns true if a write to the stock of one product is enough.
    fn is_lone_write(&self, declaring: &Declaring, product: usize) -> bool {
        let sent = self.sent(declaring);
        let moves_nothing = sent.moves(product, declaring.counts()) == 0;
        sent.counts.is_none() || moves_nothing && !self.has(JournalGuard::CountsInTransaction)
    }

    /// Reads everything again.
    fn reads(&self, state: &State, declaring: &Declaring) -> ([Read; PRODUCTS], Option<Hold>) {
        let order = self.sent(declaring).order;
        let read = |product: usize| {
            state.stock[product].as_ref().map_or_else(Read::default, |stock| self.read(stock, order))
        };
        let hold = state.holds[order].map(|hold| Hold { old: false, ..hold });
        (std::array::from_fn(read), hold)
    }

    /// Reads a stock.
    fn read(&self, stock: &Stock, order: usize) -> Read {
        let read = stock.read(order);
        if self.has(JournalGuard::MarksRead) { read } else { Read { mark: 0, ..read } }
    }

    /// Moves the counters of a product. Returns false if a condition is not met.
    fn write_stock(&self, stock: &mut Stock, declaring: &Declaring, product: usize) -> bool {
        let sent = self.sent(declaring);
        let (revision, held) = declaring.known();
        let held = held[product];
        let holds = sent.holds()[product];
        let of_order = |order: usize, other: u8| order == sent.order && other > revision;
        let is_newer = stock.journal.iter().any(|entry| of_order(entry.order, entry.revision));
        let was_newer = stock.folded.iter().any(|mark| of_order(mark.order, mark.revision));
        let is_as_read = (!is_newer || !self.has(JournalGuard::NoNewerEntry))
            && (!was_newer || !self.has(JournalGuard::NoNewerMark))
            && (stock.folds <= declaring.read[product].folds + KEPT || !self.has(JournalGuard::FewFolds));
        let others = stock.reserved.saturating_sub(held);
        let moves = sent.moves(product, declaring.counts());
        let moved = i16::from(stock.on_hand) + moves;
        let is_enough = i16::from(others + holds) <= moved;
        if !is_as_read || !is_enough && (moves != 0 || self.has(JournalGuard::EnoughStock)) {
            return false;
        }
        stock.on_hand = u8::try_from(moved).unwrap_or(0);
        stock.reserved = others + holds;
        true
    }

    /// Writes one product after the other, and then the hold. Only without [`JournalGuard::Transaction`].
    fn write_rest(&self, after: &mut State, declaring: Declaring, product: usize) -> Option<&'static str> {
        let sent = self.sent(&declaring);
        if product == PRODUCTS {
            after.holds[sent.order] = Some(Hold::of(sent, [true; PRODUCTS], declaring.counts()));
            after.applied[sent.order] = after.applied[sent.order].max(sent.revision);
            return Some("writes the hold");
        }
        let known = declaring.known();
        if known.1[product] > 0 || sent.names(product) {
            let stock = after.stock[product].as_mut()?;
            if !self.write_stock(stock, &declaring, product) {
                return Some("gives up");
            }
            stock.add(sent.entry(product));
        }
        after.begin(Process::Declaring(Declaring { next: Next::WriteRest(product + 1), ..declaring }));
        Some("writes one stock of several")
    }
}

impl Declaring {
    /// Returns what the order holds as far as it was read.
    fn content(&self) -> Content {
        let mut content = self.hold.map(|hold| (hold.revision, hold.items));
        for (product, read) in self.read.iter().enumerate() {
            if let Some((revision, quantity)) = read.entry
                && content.is_none_or(|(highest, _)| revision > highest)
            {
                content = Some((revision, only(product, quantity)));
            }
        }
        // The hold of a mark is there, unless it was a tombstone that was pruned.
        let mark = self.read.iter().map(|read| read.mark).max().unwrap_or(0);
        if content.map_or(0, |(highest, _)| highest) < mark { Some((mark, NOTHING)) } else { content }
    }

    /// Returns the counts of the hold that was read. Entries have none.
    fn counts(&self) -> Option<Items> {
        self.hold?.counts
    }

    /// Returns the revision that was read, 0 for none, and its items.
    fn known(&self) -> (u8, Items) {
        self.content().unwrap_or((0, NOTHING))
    }
}

/// Compares a write with the declaration as one step.
pub(super) fn compare(after: &mut State, before: Meaning, sent: &Sent) {
    let mut expected = before;
    let answer = expected.declare(sent);
    let applied = std::mem::replace(&mut after.applied[sent.order], sent.revision);
    if applied >= sent.revision {
        after.broken = Some("a declaration was applied again, or after a later one");
    } else if answer != Answer::Done {
        after.broken = Some("what should have been refused was done");
    } else if after.meaning() != expected {
        after.broken = Some("another thing was done than declared");
    }
}
