//! Steps that declare nothing: folds, copies, the migration, and pruning.

use super::declaring::compare;
use super::state::{Answer, Entry, Hold, Mark, Meaning, Process, State, Step, Stock, only};
use super::{Journal, JournalGuard, KEPT, NOTHING, ORDERS, PRODUCTS};

impl Journal {
    /// Adds a step of a fold.
    pub(super) fn fold(
        &self,
        mut after: State,
        product: usize,
        entries: &[Entry],
        written: usize,
    ) -> Option<(Step, State)> {
        let before = after.meaning();
        let removes_first = !self.has(JournalGuard::HoldBeforeRemoval);
        let is_removal = if removes_first { written == 0 } else { written == entries.len() };
        let what = if is_removal {
            let stock = after.stock[product].as_mut()?;
            let is_folded = |entry: &Entry| {
                entries.iter().any(|folded| {
                    let same = folded.revision == entry.revision || !self.has(JournalGuard::UnchangedOnly);
                    folded.order == entry.order && same
                })
            };
            let marks: Vec<Mark> =
                stock.journal.iter().filter(|entry| is_folded(entry)).map(Mark::of).collect();
            stock.journal.retain(|entry| !is_folded(entry));
            self.leave(stock, marks);
            "removes entries"
        } else {
            let entry = entries[if removes_first { written - 1 } else { written }];
            let hold = &mut after.holds[entry.order];
            if hold.is_none_or(|hold| hold.revision < entry.revision) || !self.has(JournalGuard::NewerOnly) {
                let (items, mut covers) = (only(product, entry.quantity), [false; PRODUCTS]);
                covers[product] = true;
                let counts = hold.and_then(|hold| hold.counts);
                let counts = counts.filter(|_| self.has(JournalGuard::FoldKeepsCounts));
                *hold = Some(Hold { revision: entry.revision, items, covers, counts, old: false });
            }
            "writes a hold"
        };
        if written < entries.len() {
            after.begin(Process::Folding { product, entries: entries.to_vec(), written: written + 1 });
        }
        self.same(&mut after, before);
        Some((Step(format!("a fold of product {product} {what}")), after))
    }

    /// Leaves marks in a stock, and counts them.
    pub(super) fn leave(&self, stock: &mut Stock, marks: impl IntoIterator<Item = Mark>) {
        let before = stock.folded.len();
        stock.folded.extend(marks);
        if self.has(JournalGuard::FoldsCounted) {
            stock.folds += u8::try_from(stock.folded.len() - before).unwrap_or(u8::MAX);
        }
        let kept = if self.has(JournalGuard::MarksLeft) { usize::from(KEPT) } else { 0 };
        stock.folded.drain(..stock.folded.len().saturating_sub(kept));
    }

    /// Inserts the hold of an order from the arrays.
    pub(super) fn copy(&self, after: &mut State, order: usize, copied: Hold) {
        let before = after.meaning();
        let hold = &mut after.holds[order];
        if hold.is_none() || !self.has(JournalGuard::HoldIfAbsent) {
            *hold = Some(copied);
        }
        self.same(after, before);
    }

    /// Checks that a step has changed nothing that declarations are about.
    pub(super) fn same(&self, after: &mut State, mut before: Meaning) {
        let mut now = after.meaning();
        if self.hour && !after.hour_left {
            // A tombstone may be forgotten beside an entry that is still there, and come back from it.
            for content in now.orders.iter_mut().chain(&mut before.orders) {
                *content = content.filter(|(_, items)| *items != NOTHING);
            }
        }
        if now != before {
            after.broken = Some("a step that declares nothing has changed what is held");
        }
    }

    /// Adds the steps of the migration.
    pub(super) fn migrate(&self, state: &State, steps: &mut Vec<(Step, State)>) {
        let Some(_) = self.older else { return };
        let before = state.meaning();
        if !state.fence {
            let mut after = state.clone();
            after.fence = true;
            steps.push((Step("the fence is up".to_owned()), after));
        }
        // Older builds write the arrays in one step, whatever order they concern.
        if !state.fence || !self.has(JournalGuard::Fence) {
            for (place, sent) in self.sent.iter().enumerate().filter(|(place, _)| state.left[*place] > 0) {
                let mut meaning = Meaning {
                    on_hand: state.older_on_hand,
                    orders: std::array::from_fn(|order| {
                        state.in_arrays(order).map(|hold| (hold.revision, hold.items))
                    }),
                    counts: [None; ORDERS],
                };
                let mut after = state.clone();
                after.left[place] -= 1;
                if meaning.declare(sent) == Answer::Done && state.arrays.iter().all(Option::is_some) {
                    after.write_arrays(meaning);
                    if after.in_arrays(sent.order) != state.in_arrays(sent.order) {
                        compare(&mut after, before, sent);
                    }
                }
                steps
                    .push((Step(format!("an older build declares {} {}", sent.order, sent.revision)), after));
            }
        }
        if !state.fence {
            return;
        }
        for product in 0..PRODUCTS {
            if state.stock[product].is_none()
                || !self.has(JournalGuard::StockIfAbsent) && state.arrays[product].is_some()
            {
                let mut after = state.clone();
                let reserved =
                    state.arrays[product].iter().flatten().flatten().map(|(_, quantity)| quantity).sum();
                let on_hand = state.older_on_hand[product];
                after.stock[product] = Some(Stock::new(on_hand, reserved));
                self.same(&mut after, before);
                steps.push((Step(format!("the stock of product {product} is inserted")), after));
            }
            if let Some(array) = &state.arrays[product] {
                let is_copied = |order: usize| array[order].is_none() || state.holds[order].is_some();
                let may_go = state.stock[product].is_some() && (0..ORDERS).all(is_copied);
                if may_go || !self.has(JournalGuard::ArrayUntilCopied) && state.stock[product].is_some() {
                    let mut after = state.clone();
                    after.arrays[product] = None;
                    self.same(&mut after, before);
                    steps.push((Step(format!("the array of product {product} is removed")), after));
                }
            }
        }
        for order in (0..ORDERS).filter(|_| state.copies_left > 0) {
            if let Some(hold) = state.in_arrays(order)
                && state.holds[order].is_none()
            {
                let mut after = state.clone();
                after.copies_left -= 1;
                after.begin(Process::Copying { order, hold });
                steps.push((Step(format!("the schema step reads order {order} in the arrays")), after));
            }
        }
    }

    /// Adds the steps of time and pruning.
    pub(super) fn age(&self, state: &State, steps: &mut Vec<(Step, State)>) {
        if state.hour_left {
            let mut after = state.clone();
            after.hour_left = false;
            after.holds.iter_mut().flatten().for_each(|hold| hold.old = true);
            // No process lives for an hour, and no call arrives after one.
            after.processes.clear();
            let earlier = self.sent.iter().zip(&mut after.left).filter(|(sent, _)| !sent.later);
            earlier.for_each(|(_, left)| *left = 0);
            steps.push((Step("an hour passes".to_owned()), after));
        }
        if !self.hour {
            return;
        }
        for order in 0..ORDERS {
            let Some(hold) = &state.holds[order] else { continue };
            let is_old = hold.old || !self.has(JournalGuard::TombstonesStay);
            let is_ended = hold.items == NOTHING || !self.has(JournalGuard::OnlyTombstones);
            let is_copy = state.in_arrays(order).is_some() && self.has(JournalGuard::ArrayBeforePruning);
            if is_old && is_ended && !is_copy {
                let mut after = state.clone();
                after.holds[order] = None;
                let held = |state: &State| state.content(order).map_or(NOTHING, |(_, items)| items);
                if held(&after) != held(state) {
                    after.broken = Some("what was pruned has changed what is held");
                }
                steps.push((Step(format!("the hold of order {order} is pruned")), after));
            }
        }
    }
}
