//! The one atomic step of the products function: a declaration about the stock of an order.
//!
//! It is `products::stock::decide` with small numbers; a test compares the two. The further checks of a first
//! hold (that a product is active, its currency) are left out: for the protocol they are a refusal like a
//! shortage.

use crate::guards::Guard;
use crate::state::{Call, DeclarationKind, Entry, PRODUCTS, State};

/// Answer of products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The declaration is applied, now or before.
    Done,
    /// A later declaration was already applied.
    Superseded,
    /// Stock is short; nothing is held.
    Short,
    /// The declaration would ship more units than are on hand.
    Impossible,
}

/// Applies a call, or returns the reason for a refusal, which changes nothing.
pub fn declare(state: &mut State, call: Call, without: Option<Guard>) -> Answer {
    let id = call.id;
    let revisions = || state.products.iter().filter_map(|product| Some(product.entries[id]?.revision));
    if revisions().any(|revision| revision > call.revision) && without != Some(Guard::Revision) {
        return Answer::Superseded;
    }
    if revisions().any(|revision| revision == call.revision) {
        match without {
            Some(Guard::Replay) => {}
            Some(Guard::ReplayAnswer) => return Answer::Superseded,
            _ => return Answer::Done,
        }
    }
    let mut products = state.products;
    for (product, &quantity) in products.iter_mut().zip(&call.items) {
        let entry = product.entries[id];
        if entry.is_none() && quantity == 0 {
            continue;
        }
        let before = entry.map_or(0, |entry| entry.quantity);
        let held = if call.kind == DeclarationKind::Hold { quantity } else { 0 };
        if held > before && held - before > product.on_hand.saturating_sub(product.reserved) {
            return Answer::Short;
        }
        product.reserved = product.reserved + held - before;
        match call.kind {
            DeclarationKind::Hold => {}
            DeclarationKind::Ship if product.on_hand < quantity + product.reserved => {
                return Answer::Impossible;
            }
            DeclarationKind::Ship => product.on_hand -= quantity,
            DeclarationKind::Restock => product.on_hand += quantity,
        }
        let leaves_nothing = match without {
            Some(Guard::Tombstones) => held == 0 && call.kind == DeclarationKind::Hold,
            Some(Guard::RestockMark) => entry.is_none() && call.kind == DeclarationKind::Restock,
            _ => false,
        };
        product.entries[id] =
            (!leaves_nothing).then_some(Entry { quantity: held, revision: call.revision, old: false });
    }
    state.products = products;
    state.seen[id] |= state.held(id) != [0; PRODUCTS];
    match call.kind {
        DeclarationKind::Hold => {}
        DeclarationKind::Ship => add(&mut state.moved[id].shipped, call.items),
        DeclarationKind::Restock => add(&mut state.moved[id].restocked, call.items),
    }
    Answer::Done
}

/// Holds one item at its first revision, without regard to the others. Only without
/// [`Guard::AllItemsAtOnce`].
pub(crate) fn hold_item(state: &mut State, id: usize, product: usize, quantity: u8) -> Answer {
    let stock = &mut state.products[product];
    match stock.entries[id] {
        Some(entry) if entry.revision > 1 => Answer::Superseded,
        Some(_) => Answer::Done,
        None if quantity > stock.on_hand - stock.reserved => Answer::Short,
        None => {
            stock.reserved += quantity;
            stock.entries[id] = Some(Entry { quantity, revision: 1, old: false });
            state.seen[id] = true;
            Answer::Done
        }
    }
}

/// Undoes [`hold_item`].
pub(crate) fn undo_item(state: &mut State, id: usize, product: usize) {
    let stock = &mut state.products[product];
    if let Some(Entry { quantity, revision: 1, .. }) = stock.entries[id] {
        stock.reserved -= quantity;
        stock.entries[id] = None;
    }
}

fn add(sum: &mut [u8; PRODUCTS], items: [u8; PRODUCTS]) {
    for (sum, quantity) in sum.iter_mut().zip(items) {
        *sum += quantity;
    }
}
