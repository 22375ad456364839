//! Steps of a declaration.

use super::state::{
    Answer, Content, Declaring, Entry, Hold, Meaning, Next, Process, Read, State, Step, Stock, only,
};
use super::{Items, Journal, JournalGuard, KEPT, NOTHING, PRODUCTS, Sent};
use crate::state::DeclarationKind;

impl Journal {
    /// Creates a declaration that has read nothing yet.
    pub(super) fn begin(&self, call: usize) -> Declaring {
        let next = if self.has(JournalGuard::StockReadFirst) { Next::ReadStock(0) } else { Next::ReadHold };
        Declaring { call, next, read: [Read::default(); PRODUCTS], hold: None }
    }

    fn sent(&self, declaring: &Declaring) -> &Sent {
        &self.sent[declaring.call]
    }

    /// Takes the next step of a declaration. `after` no longer contains the process.
    pub(super) fn declare(&self, mut after: State, declaring: Declaring) -> Option<(Step, State)> {
        let sent = self.sent(&declaring);
        let what = match declaring.next {
            Next::ReadStock(product) => {
                let mut declaring = declaring;
                declaring.read[product] = after.stock[product].as_ref()?.read(sent.order);
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
                let hold = after.holds[sent.order].map(|hold| (hold.revision, hold.items));
                let in_arrays = after.in_arrays(sent.order).filter(|_| hold.is_none());
                let declaring = Declaring { hold, ..declaring };
                if let Some((revision, items)) = in_arrays {
                    let next = Next::Insert(revision, items);
                    after.begin(Process::Declaring(Declaring { next, ..declaring }));
                    "finds itself in the arrays"
                } else if self.has(JournalGuard::StockReadFirst) {
                    self.decide(&mut after, declaring)
                } else {
                    let next = Next::ReadStock(0);
                    after.begin(Process::Declaring(Declaring { next, ..declaring }));
                    "reads the hold"
                }
            }
            Next::Insert(revision, items) => {
                self.copy(&mut after, sent.order, revision, items);
                after.begin(Process::Declaring(self.begin(declaring.call)));
                "inserts its hold"
            }
            Next::Write => return self.write(after, declaring),
            Next::WriteRest(product) => self.write_rest(&mut after, declaring, product)?,
        };
        Some((Step::of(sent, what), after))
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
        if (0..PRODUCTS).any(|it| holds[it] > held[it] + declaring.read[it].available) {
            return "is short";
        }
        after.begin(Process::Declaring(Declaring { next: Next::Write, ..declaring }));
        "decides"
    }

    /// Products that a declaration writes to.
    fn covered(&self, declaring: &Declaring, held: Items) -> Vec<usize> {
        let sent = self.sent(declaring);
        let is_covered = |product: &usize| {
            let (held, named) = (held[*product], sent.items[*product]);
            (held > 0 || named > 0) && (self.has(JournalGuard::AllCovered) || held != named)
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
            [] if declaring.hold.is_none() => return Some((Step::of(sent, "has nothing to do"), state)),
            [product] => {
                let stock = after.stock[product].as_mut()?;
                ("writes one stock", self.write_stock(stock, &declaring, product, held[product], true))
            }
            _ if !self.has(JournalGuard::Transaction) => {
                after.begin(Process::Declaring(Declaring { next: Next::WriteRest(0), ..declaring }));
                return Some((Step::of(sent, "begins to write"), after));
            }
            _ => {
                let entries = self.has(JournalGuard::EntryInEach);
                let mut is_written = true;
                for product in covered {
                    let stock = after.stock[product].as_mut()?;
                    is_written &= self.write_stock(stock, &declaring, product, held[product], entries);
                }
                let revision = after.holds[sent.order].map(|hold| hold.revision);
                let is_as_read = revision == declaring.hold.map(|(revision, _)| revision);
                after.holds[sent.order] = Some(Hold::of(sent));
                is_written &= is_as_read || !self.has(JournalGuard::SameHold);
                ("writes in a transaction", is_written)
            }
        };
        if is_written {
            compare(&mut after, before, sent);
            return Some((Step::of(sent, what), after));
        }
        let mut again = state;
        again.begin(Process::Declaring(self.begin(declaring.call)));
        Some((Step::of(sent, "has to read again"), again))
    }

    /// Writes to the stock of a product. Returns false if a condition is not met.
    fn write_stock(
        &self,
        stock: &mut Stock,
        declaring: &Declaring,
        product: usize,
        held: u8,
        leaves_entry: bool,
    ) -> bool {
        let sent = self.sent(declaring);
        let read = &declaring.read[product];
        let (holds, moved) = (sent.holds()[product], sent.items[product]);
        let found = stock.journal.iter_mut().find(|entry| entry.order == sent.order);
        let is_as_read = match (&read.entry, &found) {
            (Some((revision, _)), Some(entry)) => {
                entry.revision == *revision || !self.has(JournalGuard::SameEntry)
            }
            (Some(_), None) => false,
            (None, found) => {
                let is_none = found.is_none() || !self.has(JournalGuard::NoEntry);
                let are_few = stock.folds <= read.folds + KEPT || !self.has(JournalGuard::FewFolds);
                is_none && are_few
            }
        };
        let available = stock.on_hand.saturating_sub(stock.reserved);
        let is_enough = holds <= held + available || !self.has(JournalGuard::EnoughStock);
        let others = stock.reserved.saturating_sub(held);
        let is_there = sent.kind != DeclarationKind::Ship || stock.on_hand >= moved + others;
        if !is_as_read || !is_enough || !is_there {
            return false;
        }
        match sent.kind {
            DeclarationKind::Hold => {}
            DeclarationKind::Ship => stock.on_hand -= moved,
            DeclarationKind::Restock => stock.on_hand += moved,
        }
        stock.reserved = others + holds;
        match found {
            Some(entry) if read.entry.is_some() => {
                (entry.revision, entry.quantity) = (sent.revision, holds);
            }
            _ if leaves_entry => stock.add(Entry {
                order: sent.order,
                revision: sent.revision,
                quantity: holds,
                generation: stock.folds,
            }),
            _ => {}
        }
        true
    }

    /// Writes one product after the other, and then the hold. Only without [`JournalGuard::Transaction`].
    fn write_rest(&self, after: &mut State, declaring: Declaring, product: usize) -> Option<&'static str> {
        let sent = self.sent(&declaring);
        if product == PRODUCTS {
            after.holds[sent.order] = Some(Hold::of(sent));
            after.applied[sent.order] = after.applied[sent.order].max(sent.revision);
            return Some("writes the hold");
        }
        let held = declaring.content().map_or(NOTHING, |(_, items)| items)[product];
        if held > 0 || sent.items[product] > 0 {
            let stock = after.stock[product].as_mut()?;
            if !self.write_stock(stock, &declaring, product, held, true) {
                return Some("gives up");
            }
        }
        after.begin(Process::Declaring(Declaring { next: Next::WriteRest(product + 1), ..declaring }));
        Some("writes one stock of several")
    }
}

impl Declaring {
    /// Returns what the order holds as far as it was read.
    fn content(&self) -> Content {
        let mut content = self.hold;
        for (product, read) in self.read.iter().enumerate() {
            if let Some((revision, quantity)) = read.entry
                && content.is_none_or(|(highest, _)| revision > highest)
            {
                content = Some((revision, only(product, quantity)));
            }
        }
        content
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
