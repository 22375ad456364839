//! What happens to the stock of one product: holds and parcels in the order of their times, from which its counts
//! and its ledger follow.

use products::holds::Hold;
use products::ledger::{Cause, INITIAL, LedgerEnd, RETURNED, SHIPPED, StockMovement};
use products::product::Product;
use products::stock::Stock;
use products::store::ImportedProduct;
use rand::Rng as _;
use rand::rngs::StdRng;
use shared::values::clock::Timestamp;
use shared::values::ids::{OrderId, UserId};

use super::random::percent;

/// What an order does with its pieces of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happening {
    /// They are held for it.
    Held,
    /// They are not any more.
    Released,
    /// They leave the backend.
    Shipped,
    /// They are put back.
    Returned,
}

/// Something that an order has done with its pieces.
#[derive(Clone, Copy, Debug)]
struct Event {
    at: Timestamp,
    order: OrderId,
    quantity: i64,
    what: Happening,
}

/// The stock of a product.
#[derive(Debug)]
pub(super) struct StockHistory {
    product: Product,
    events: Vec<Event>,
    /// Who counted it first.
    by: UserId,
}

impl StockHistory {
    pub(super) fn new(product: Product, by: UserId) -> Self {
        Self { product, events: Vec::new(), by }
    }

    pub(super) fn product(&self) -> &Product {
        &self.product
    }

    pub(super) fn happens(&mut self, at: Timestamp, order: OrderId, quantity: i64, what: Happening) {
        self.events.push(Event { at, order, quantity, what });
    }

    /// The product with the counts and the ledger that follow. It was stocked once, with as much as was ever needed
    /// and some more; of some products the rest was lost since, and is counted as such.
    pub(super) fn settle(mut self, now: Timestamp, chance: &mut StdRng) -> ImportedProduct {
        // What an order does at one time stays in its order.
        self.events.sort_by_key(|event| event.at);
        let spare = if percent(3, chance) { 0 } else { chance.random_range(5..500) };
        let first = needed(&self.events) + spare;
        let mut book = Book { stock: Stock { on_hand: 0, reserved: 0 }, ledger: Vec::new() };
        let cause = |reason: &str, order, by| Cause { reason: Some(reason.to_owned()), order, by };
        book.moves(first, cause(INITIAL, None, self.by.to_string()), self.product.created_at);
        let mut holds: Vec<Hold> = Vec::new();
        for Event { at, order, quantity, what } in self.events {
            match what {
                Happening::Held => {
                    book.stock.reserved += quantity;
                    let product = self.product.id;
                    holds.push(Hold { order, product, quantity, revision: 1, at });
                }
                Happening::Released | Happening::Shipped => {
                    book.stock.reserved -= quantity;
                    // It is among the last most often.
                    if let Some(place) = holds.iter().rposition(|hold| hold.order == order) {
                        holds.remove(place);
                    }
                }
                Happening::Returned => {}
            }
            let system = "system".to_owned();
            match what {
                Happening::Shipped => book.moves(-quantity, cause(SHIPPED, Some(order), system), at),
                Happening::Returned => book.moves(quantity, cause(RETURNED, Some(order), system), at),
                Happening::Held | Happening::Released => {}
            }
        }
        let lost = book.stock.available();
        if lost > 0 && percent(10, chance) {
            book.moves(-lost, cause("counted", None, self.by.to_string()), now);
            self.product.version += 1;
            self.product.updated_at = now;
        }
        self.product.stock = book.stock;
        ImportedProduct { product: self.product, holds, ledger: book.ledger }
    }
}

/// How many pieces must be there at first, so that there are never fewer than are held.
fn needed(events: &[Event]) -> i64 {
    let (mut on_hand, mut reserved, mut most) = (0, 0, 0);
    for event in events {
        match event.what {
            Happening::Held => reserved += event.quantity,
            Happening::Released => reserved -= event.quantity,
            Happening::Shipped => {
                reserved -= event.quantity;
                on_hand -= event.quantity;
            }
            Happening::Returned => on_hand += event.quantity,
        }
        most = most.max(reserved - on_hand);
    }
    most
}

/// The counts of a product and its ledger, which add up.
struct Book {
    stock: Stock,
    ledger: Vec<StockMovement>,
}

impl Book {
    fn moves(&mut self, delta: i64, cause: Cause, at: Timestamp) {
        if delta == 0 {
            return;
        }
        self.stock.on_hand += delta;
        let end = self.ledger.last().map_or_else(LedgerEnd::default, LedgerEnd::from);
        self.ledger.push(end.next(delta, self.stock, cause, at));
    }
}
