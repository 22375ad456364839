//! Change of items, in steps. An intent is written under a version of its own, and the new items are held.
//! Then a decision adopts or abandons them.

use shared::auth::Caller;
use shared::error::{Error, Kind};
use shared::input::validation::ValidationErrors;
use shared::values::clock::Timestamp;

use super::{Decision, Item, NewItem, Order, OrderChange};

/// Most open stock tasks with which items can be changed. Each change adds one, and other decisions need room as well.
const MAX_TASKS_OF_CHANGE: usize = 100;

/// Held product, as it is in the catalogue.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// Item that it would become.
    pub item: Item,
    /// True if it can be ordered.
    pub active: bool,
}

impl From<&Item> for NewItem {
    fn from(item: &Item) -> Self {
        Self { product_id: item.product_id, quantity: item.quantity, amounts: item.amounts.clone() }
    }
}

impl NewItem {
    /// True if it is of the product of this item.
    fn is_of(&self, item: &Item) -> bool {
        self.product_id == item.product_id
    }
}

impl Order {
    /// Begins a change of items: records the intent to hold new items, under the version that it makes.
    /// `None`: the order has these items already.
    ///
    /// # Errors
    /// As [`Order::decide`]. 503 while many stock tasks are open.
    pub fn begin_item_change(
        self,
        change: &OrderChange,
        caller: Caller,
        now: Timestamp,
    ) -> Result<Option<Decision>, Error> {
        let Some(wanted) = &change.items else { return Ok(None) };
        self.check_allowed(change, caller, now)?;
        let keeps_shipping = change.shipping.clone().apply(self.shipping.clone()) == self.shipping;
        if keeps_shipping && wanted.iter().cloned().eq(self.items.iter().map(NewItem::from)) {
            return Ok(None);
        }
        self.check_refunded_stay(wanted)?;
        self.check_cancelled_stay(wanted)?;
        if !keeps_shipping && self.is_shipping_refunded() {
            let detail = "The shipping is refunded, and stays in the order.";
            return Err(Error::new(Kind::OrderNotEditable, detail));
        }
        if self.tasks.len() >= MAX_TASKS_OF_CHANGE {
            return Err(Error::unavailable("stock tasks of the order are not done yet"));
        }
        let intent =
            Self { changing: true, version: self.version.saturating_add(1), updated_at: now, ..self };
        Ok(Some(Decision { order: intent, entries: Vec::new(), task: None }))
    }

    /// Checks that the units that are refunded stay in the order, with their discounts and taxes: their refunds are
    /// parts of the item's total.
    fn check_refunded_stay(&self, wanted: &[NewItem]) -> Result<(), Error> {
        for (item, units) in self.items.iter().zip(self.counters()) {
            let refunded = units.refunded;
            let kept = wanted.iter().find(|wanted| wanted.product_id == item.product_id);
            if kept.map_or(0, |kept| kept.quantity) < refunded {
                let detail = format!("{refunded} units of {} are refunded, and stay in the order.", item.sku);
                return Err(Error::new(Kind::OrderNotEditable, detail));
            }
            let has_amounts = |kept: &NewItem| !kept.amounts.is_empty() || !item.amounts.is_empty();
            if refunded > 0 && kept.is_some_and(|kept| has_amounts(kept) && *kept != NewItem::from(item)) {
                let detail = format!(
                    "Units of {} are refunded; its quantity, discounts and taxes stay as they are.",
                    item.sku
                );
                return Err(Error::new(Kind::OrderNotEditable, detail));
            }
        }
        Ok(())
    }

    /// Checks that the units that are cancelled stay in the order, and that some are left beside them.
    fn check_cancelled_stay(&self, wanted: &[NewItem]) -> Result<(), Error> {
        if self.cancellations.is_empty() {
            return Ok(());
        }
        let mut are_left = wanted.iter().any(|wanted| !self.items.iter().any(|item| wanted.is_of(item)));
        for (item, units) in self.items.iter().zip(self.counters()) {
            let kept = wanted.iter().find(|wanted| wanted.is_of(item)).map_or(0, |wanted| wanted.quantity);
            if kept < units.cancelled {
                let cancelled = units.cancelled;
                let detail =
                    format!("{cancelled} units of {} are cancelled, and stay in the order.", item.sku);
                return Err(Error::new(Kind::OrderNotEditable, detail));
            }
            are_left |= kept > units.cancelled;
        }
        if are_left {
            return Ok(());
        }
        let detail = "All units would be cancelled ones. Cancel the order instead.";
        Err(Error::new(Kind::OrderNotEditable, detail))
    }

    /// Items to hold during the change: of each product the larger of the old and the new quantity, without cancelled
    /// units. So the hold never loses stock of the current order. New items come first, in their order.
    pub fn max_per_product(&self, new: &[NewItem]) -> Vec<NewItem> {
        let counters = self.counters();
        let items = || self.items.iter().zip(&counters);
        let larger = new.iter().map(|wanted| {
            let of = items().find(|(item, _)| wanted.is_of(item));
            let (had, cancelled) = of.map_or((0, 0), |(item, units)| (item.quantity, units.cancelled));
            NewItem { quantity: had.max(wanted.quantity).saturating_sub(cancelled), ..wanted.clone() }
        });
        let left = items().filter(|(item, _)| !new.iter().any(|wanted| wanted.is_of(item)));
        let left =
            left.map(|(item, units)| NewItem { quantity: units.left(item.quantity), ..NewItem::from(item) });
        larger.chain(left).filter(|item| item.quantity > 0).collect()
    }

    /// Completes a change of items, for the order at its intent: adopts the `held` items. Products that it
    /// had keep name, SKU and price for the quantity that they had. A larger quantity, like a new product,
    /// needs an active product, and has today's name and price for all its units.
    ///
    /// # Errors
    /// 422 for a product that is not active or has another currency, for discounts and taxes that do not fit the
    /// prices, and for a total that is too large. In these cases [abandon](Order::abandon) the change.
    pub fn complete_item_change(
        self,
        change: OrderChange,
        held: &[Held],
        now: Timestamp,
    ) -> Result<Decision, Error> {
        let mut errors = ValidationErrors::default();
        let (mut items, counters) = (Vec::new(), self.counters());
        for (index, wanted) in change.items.iter().flatten().enumerate() {
            let had = self.items.iter().zip(&counters).find(|(item, _)| wanted.is_of(item));
            let held = held.iter().find(|held| held.item.product_id == wanted.product_id);
            let item = match (had, held) {
                (Some((item, _)), _) if wanted.quantity <= item.quantity => item.clone(),
                (_, Some(held)) => {
                    if held.active {
                        held.item.check_currency(&mut errors, index, self.currency);
                    } else {
                        let pointer = format!("/items/{index}/product_id");
                        errors.add(&pointer, "must be the ID of an active product");
                    }
                    held.item.clone()
                }
                (_, None) => return Err(Error::internal("an item was not held")),
            };
            if let Some((had, units)) = had
                && had.unit_price != item.unit_price
                && units.refunded > 0
            {
                let detail = format!("Units of {} are refunded; its price stays as it is.", had.sku);
                return Err(Error::new(Kind::OrderNotEditable, detail));
            }
            items.push(Item { quantity: wanted.quantity, amounts: wanted.amounts.clone(), ..item });
        }
        errors.check()?;
        let before = self.stock();
        let mut after = self;
        after.items = items;
        after.shipping = change.shipping.clone().apply(after.shipping);
        after.edit(&change);
        after.check_sums()?;
        Ok(after.into_decision(&before, Vec::new(), now))
    }

    /// Abandons a change of items: the order keeps its items.
    pub fn abandon(self, now: Timestamp) -> Decision {
        let before = self.stock();
        self.into_decision(&before, Vec::new(), now)
    }
}
