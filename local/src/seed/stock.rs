//! Stock history of one product: holds and shipments in the order of time, which give its counts and its
//! ledger.

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

/// Effect of an order on its units of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StockEvent {
    /// The units are held for the order.
    Held,
    /// The units are no longer held.
    Released,
    /// The units leave the warehouse.
    Shipped,
    /// The units are put back.
    Returned,
}

/// Effect of an order at a time.
#[derive(Clone, Copy, Debug)]
struct Event {
    at: Timestamp,
    order: OrderId,
    quantity: i64,
    what: StockEvent,
}

/// Stock history of a product.
#[derive(Debug)]
pub(super) struct StockHistory {
    product: Product,
    events: Vec<Event>,
    /// User who counted it first.
    by: UserId,
}

impl StockHistory {
    pub(super) fn new(product: Product, by: UserId) -> Self {
        Self { product, events: Vec::new(), by }
    }

    pub(super) fn product(&self) -> &Product {
        &self.product
    }

    pub(super) fn record(&mut self, at: Timestamp, order: OrderId, quantity: i64, what: StockEvent) {
        self.events.push(Event { at, order, quantity, what });
    }

    /// Returns the product with its counts and its ledger, and its holds.
    ///
    /// It was stocked once, with as much as was ever needed and some more. Of some products the rest was lost
    /// since, and is counted as such.
    pub(super) fn settle(mut self, now: Timestamp, rng: &mut StdRng) -> (ImportedProduct, Vec<Hold>) {
        // The sort is stable: effects at the same time stay in order.
        self.events.sort_by_key(|event| event.at);
        let spare = if percent(3, rng) { 0 } else { rng.random_range(5..500) };
        let first = needed(&self.events) + spare;
        let mut book = Book { stock: Stock { on_hand: 0, reserved: 0 }, ledger: Vec::new() };
        let cause = |reason: &str, order, by| Cause { reason: Some(reason.to_owned()), order, by };
        book.moves(first, cause(INITIAL, None, self.by.to_string()), self.product.created_at);
        let mut holds: Vec<Hold> = Vec::new();
        for Event { at, order, quantity, what } in self.events {
            match what {
                StockEvent::Held => {
                    book.stock.reserved += quantity;
                    let product = self.product.id;
                    holds.push(Hold { order, product, quantity, revision: 1, at, counts: None });
                }
                StockEvent::Released | StockEvent::Shipped => {
                    book.stock.reserved -= quantity;
                    // It is most often among the last.
                    if let Some(place) = holds.iter().rposition(|hold| hold.order == order) {
                        holds.remove(place);
                    }
                }
                StockEvent::Returned => {}
            }
            let system = "system".to_owned();
            match what {
                StockEvent::Shipped => book.moves(-quantity, cause(SHIPPED, Some(order), system), at),
                StockEvent::Returned => book.moves(quantity, cause(RETURNED, Some(order), system), at),
                StockEvent::Held | StockEvent::Released => {}
            }
        }
        let lost = book.stock.available();
        if lost > 0 && percent(10, rng) {
            book.moves(-lost, cause("counted", None, self.by.to_string()), now);
            self.product.version += 1;
            self.product.updated_at = now;
        }
        self.product.stock = book.stock;
        (ImportedProduct { product: self.product, ledger: book.ledger }, holds)
    }
}

/// Returns the initial number of units, so that there are never fewer than are held.
fn needed(events: &[Event]) -> i64 {
    let (mut on_hand, mut reserved, mut most) = (0, 0, 0);
    for event in events {
        match event.what {
            StockEvent::Held => reserved += event.quantity,
            StockEvent::Released => reserved -= event.quantity,
            StockEvent::Shipped => {
                reserved -= event.quantity;
                on_hand -= event.quantity;
            }
            StockEvent::Returned => on_hand += event.quantity,
        }
        most = most.max(reserved - on_hand);
    }
    most
}

/// Counts of a product and its ledger, which add up.
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
