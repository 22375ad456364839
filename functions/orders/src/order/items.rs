//! A change of items, in steps: an intent under a version of its own, the hold of what is new, and the decision
//! that makes it the order's, or its end without that.

use shared::auth::Caller;
use shared::clock::Timestamp;
use shared::error::Error;
use shared::faults::Faults;

use super::{Decision, Item, NewLine, Order, OrderChange};

/// A product of which stock is held, as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// The line that it would be.
    pub item: Item,
    /// Whether it can be ordered.
    pub active: bool,
}

impl Order {
    /// The first step of a change of items: says that new items are about to be held, under the version that
    /// it makes. `None`: the items are what the order has already.
    ///
    /// # Errors
    /// As [`Order::decide`].
    pub fn intend(
        self,
        change: &OrderChange,
        caller: Caller,
        now: Timestamp,
    ) -> Result<Option<Decision>, Error> {
        let Some(lines) = &change.items else { return Ok(None) };
        self.check_allowed(change, caller)?;
        let has = |line: &NewLine, item: &Item| {
            line.product_id == item.product_id && line.quantity == item.quantity
        };
        if lines.len() == self.items.len()
            && lines.iter().zip(&self.items).all(|(line, item)| has(line, item))
        {
            return Ok(None);
        }
        let intent = Self { changing: true, version: self.version + 1, updated_at: now, ..self };
        Ok(Some(Decision { order: intent, status_change: None, task: None }))
    }

    /// What is held while items change: of each product the larger of what the order has and what it is to
    /// have, so that it never lets go of what it still has. The new lines come first, in their order.
    pub fn larger_of_both(&self, new: &[NewLine]) -> Vec<NewLine> {
        let has = |product| self.items.iter().find(|item| item.product_id == product);
        let named = |item: &&Item| !new.iter().any(|line| line.product_id == item.product_id);
        let larger = new.iter().map(|line| NewLine {
            quantity: has(line.product_id).map_or(0, |item| item.quantity).max(line.quantity),
            ..*line
        });
        let left = self.items.iter().filter(named);
        larger
            .chain(left.map(|item| NewLine { product_id: item.product_id, quantity: item.quantity }))
            .collect()
    }

    /// The last step of a change of items, for the order at its intent: what is `held` becomes the order's.
    /// Products that it had keep name, SKU and price.
    ///
    /// # Errors
    /// 422 for a product that is not active or has another currency, and for a total that is too large: then
    /// the change is to be [abandoned](Order::abandon).
    pub fn finish(self, change: OrderChange, held: &[Held], now: Timestamp) -> Result<Decision, Error> {
        let mut faults = Faults::default();
        let mut items = Vec::new();
        for (place, line) in change.items.iter().flatten().enumerate() {
            let had = self.items.iter().find(|item| item.product_id == line.product_id);
            let held = held.iter().find(|held| held.item.product_id == line.product_id);
            let item = match (had, held) {
                (Some(item), _) => item.clone(),
                (None, Some(held)) => {
                    let pointer = format!("/items/{place}/product_id");
                    let currency = held.item.unit_price.currency();
                    if !held.active {
                        faults.add(
                            &pointer,
                            "is not the ID of a product that can be ordered: it is unknown, or not active",
                        );
                    } else if currency != self.currency {
                        let detail = format!(
                            "is priced in {currency:?}, and the order in {:?}; an order has one currency",
                            self.currency
                        );
                        faults.add(&pointer, detail);
                    }
                    held.item.clone()
                }
                (None, None) => return Err(Error::internal("a line was not held")),
            };
            items.push(Item { quantity: line.quantity, ..item });
        }
        faults.check()?;
        let mut after = self;
        after.items = items;
        after.edit(change.shipping_address, change.note, change.metadata);
        after.check_total()?;
        Ok(after.decided(None, None, now))
    }

    /// Ends a change of items without new ones.
    pub fn abandon(self, now: Timestamp) -> Decision {
        self.decided(None, None, now)
    }
}
