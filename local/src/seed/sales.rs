//! Orders of one part of the shop: each is placed in the past and moved to its current status by the rules of
//! orders.

use std::collections::BTreeMap;
use std::time::Duration;

use orders::DEFAULT_PAYMENT_WINDOW;
use orders::number::Number;
use orders::order::{
    Item, ItemAmounts, NewOrder, Order, OrderChange, PlacementContext, Tracking, Transition,
};
use orders::store::ImportedOrder;
use products::holds::Hold;
use products::product::Status;
use products::store::ImportedProduct;
use rand::Rng as _;
use rand::rngs::StdRng;
use shared::auth::{Caller, Role};
use shared::values::clock::Timestamp;
use shared::values::ids::{OrderId, UserId};
use users::user::User;

use super::amounts;
use super::catalogue::Catalogue;
use super::random::{DAY, between, favourite, id, one_of, percent};
use super::sign_ups::address;
use super::stock::{StockEvent, StockHistory};
use crate::error::CommandError;

/// Maximum time from the placing of an order to its last step.
const LONGEST: Duration = Duration::from_secs(10 * 86_400);

const NOTES: [&str; 4] = [
    "Please ring twice.",
    "A present: no invoice in the parcel.",
    "Leave it with the neighbours.",
    "Thank you!",
];

/// Final state of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Placed,
    Paid,
    Shipped,
    Delivered,
    CancelledByOwner,
    CancelledWhenPaid,
    Expired,
    Returned,
    ReturnedAndRefunded,
    CancelledAndRefunded,
}

impl Fate {
    /// Draws a final state. Most orders are delivered.
    fn draw(rng: &mut StdRng) -> Self {
        match rng.random_range(0..1_000) {
            0..25 => Self::Placed,
            25..65 => Self::Paid,
            65..125 => Self::Shipped,
            125..165 => Self::CancelledByOwner,
            165..175 => Self::CancelledWhenPaid,
            175..205 => Self::Expired,
            205..235 => Self::Returned,
            235..265 => Self::ReturnedAndRefunded,
            265..280 => Self::CancelledAndRefunded,
            _ => Self::Delivered,
        }
    }

    /// Draws the time of placing. Open orders were placed lately, and unpaid ones can still be paid.
    fn placed_at(self, now: Timestamp, rng: &mut StdRng) -> Timestamp {
        let (from, to) = match self {
            Self::Placed => (DEFAULT_PAYMENT_WINDOW.mul_f64(0.9), Duration::ZERO),
            Self::Paid => (DAY * 3, Duration::from_secs(600)),
            Self::Shipped => (DAY * 8, DAY),
            _ => (DAY * 730, LONGEST),
        };
        between(now.before(from), now.before(to), rng)
    }

    fn steps(self) -> &'static [Step] {
        match self {
            Self::Placed => &[],
            Self::Paid => &[Step::Pay],
            Self::Shipped => &[Step::Pay, Step::Ship],
            Self::Delivered => &[Step::Pay, Step::Ship, Step::Deliver],
            Self::CancelledByOwner => &[Step::CancelByOwner],
            Self::CancelledWhenPaid => &[Step::Pay, Step::Cancel],
            Self::Expired => &[Step::Expire],
            Self::Returned => &[Step::Pay, Step::Ship, Step::Deliver, Step::Return],
            Self::ReturnedAndRefunded => &[Step::Pay, Step::Ship, Step::Deliver, Step::Return, Step::Refund],
            Self::CancelledAndRefunded => &[Step::Pay, Step::Cancel, Step::Refund],
        }
    }
}

/// Step of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Pay,
    Ship,
    Deliver,
    Return,
    Refund,
    Cancel,
    CancelByOwner,
    Expire,
}

/// Orders of a part of the shop.
pub(super) struct Sales<'a> {
    histories: Vec<StockHistory>,
    users: &'a [User],
    /// User who runs the shop.
    staff: UserId,
    /// Final states of the orders, and the times of placing, the oldest last.
    ahead: Vec<(Timestamp, Fate)>,
    now: Timestamp,
}

impl<'a> Sales<'a> {
    /// Plans this number of orders of these products by these users.
    pub(super) fn begin(
        catalogue: Catalogue,
        users: &'a [User],
        orders: usize,
        now: Timestamp,
        rng: &mut StdRng,
    ) -> Self {
        let staff = users.iter().find(|user| user.role != Role::Customer).or(users.first());
        let staff = staff.map_or_else(UserId::new, |user| user.id);
        let mut ahead: Vec<(Timestamp, Fate)> = (0..orders)
            .map(|_| {
                let fate = Fate::draw(rng);
                (fate.placed_at(now, rng), fate)
            })
            .collect();
        ahead.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let histories =
            catalogue.products.into_iter().map(|product| StockHistory::new(product, staff)).collect();
        Self { histories, users, staff, ahead, now }
    }

    /// Returns the next order, in its current status.
    ///
    /// # Errors
    /// If the rules of orders refuse the drawn values.
    pub(super) fn next(&mut self, rng: &mut StdRng) -> Result<Option<ImportedOrder>, CommandError> {
        let Some((at, fate)) = self.ahead.pop() else { return Ok(None) };
        let places = self.cart(rng);
        let mut order = self.place(at, &places, rng)?;
        self.record(&order, &places, at, StockEvent::Held);
        let steps = fate.steps();
        let span = self.now.since(at).min(LONGEST) / u32::try_from(steps.len() + 1).unwrap_or(1);
        let mut begin = at;
        for step in steps {
            let end = begin.after(span);
            let at = match (step, order.expires_at) {
                (Step::Expire, Some(expires_at)) => {
                    expires_at.after(Duration::from_secs(rng.random_range(1..60)))
                }
                _ => between(begin, end, rng),
            };
            begin = end;
            let restock = percent(60, rng);
            order = self.step(order, *step, restock, at, rng)?;
            match step {
                Step::Ship => self.record(&order, &places, at, StockEvent::Shipped),
                Step::Cancel | Step::CancelByOwner | Step::Expire => {
                    self.record(&order, &places, at, StockEvent::Released);
                }
                Step::Return if restock => self.record(&order, &places, at, StockEvent::Returned),
                Step::Pay | Step::Deliver | Step::Return | Step::Refund => {}
            }
        }
        Ok(Some(ImportedOrder::new(order)))
    }

    /// Returns the products, with the effects of the orders on their stock, and the holds, sorted by order.
    pub(super) fn end(self, rng: &mut StdRng) -> (Vec<ImportedProduct>, Vec<Hold>) {
        let (mut products, mut holds) = (Vec::with_capacity(self.histories.len()), Vec::new());
        for history in self.histories {
            let (product, of_product) = history.settle(self.now, rng);
            products.push(product);
            holds.extend(of_product);
        }
        holds.sort_by_key(|hold| hold.order);
        (products, holds)
    }

    /// Draws distinct products that can be ordered, by index; most often one or two.
    fn cart(&self, rng: &mut StdRng) -> Vec<usize> {
        let count = match rng.random_range(0..100) {
            0..45 => 1,
            45..75 => 2,
            75..92 => 3,
            _ => rng.random_range(4..9),
        };
        let mut places: Vec<usize> = Vec::with_capacity(count);
        for _ in 0..count {
            let place = favourite(self.histories.len(), rng);
            let is_draft =
                self.histories.get(place).is_none_or(|history| history.product().status == Status::Draft);
            if !is_draft && !places.contains(&place) {
                places.push(place);
            }
        }
        if places.is_empty() {
            // The first product can always be ordered.
            places.push(0);
        }
        places
    }

    fn place(&self, at: Timestamp, places: &[usize], rng: &mut StdRng) -> Result<Order, CommandError> {
        let mut items: Vec<Item> = places
            .iter()
            .filter_map(|place| self.histories.get(*place))
            .map(|history| {
                let product = history.product();
                Item {
                    product_id: product.id,
                    sku: product.sku.as_str().to_owned(),
                    name: product.name.clone(),
                    unit_price: product.price,
                    quantity: if percent(4, rng) { rng.random_range(10..40) } else { rng.random_range(1..4) },
                    amounts: ItemAmounts::default(),
                }
            })
            .collect();
        // As a shop with its own checkout hands them in.
        let shipping = if percent(20, rng) { Some(amounts::hand_in(&mut items, rng)) } else { None };
        let customer = self.users.get(favourite(self.users.len(), rng));
        let user_id = customer.map_or(self.staff, |user| user.id);
        let home = customer.and_then(|user| user.address.clone());
        let note = if percent(10, rng) { one_of(&NOTES, rng).map(str::to_owned) } else { None };
        let channel = one_of(&["web", "web", "app", "phone"], rng).unwrap_or("web");
        let new = NewOrder {
            shipping,
            note,
            metadata: BTreeMap::from([("channel".to_owned(), channel.to_owned())]),
            ..NewOrder::new(Vec::new(), home.unwrap_or_else(|| address(rng)))
        };
        let placing = PlacementContext {
            id: OrderId::from_uuid(id(at, rng)),
            number: Number::from_bits(rng.random()),
            user_id,
            by: user_id,
            under: None,
            at,
            expires_at: at.after(DEFAULT_PAYMENT_WINDOW),
            open_slot: None,
        };
        Ok(Order::place(placing, new, items)?)
    }

    fn step(
        &self,
        order: Order,
        step: Step,
        restock: bool,
        at: Timestamp,
        rng: &mut StdRng,
    ) -> Result<Order, CommandError> {
        let refused = || CommandError::new(format!("an order does not take this step: {step:?}"));
        let number: u32 = rng.random();
        let (transition, reason) = match step {
            Step::Expire => return Ok(order.expire(at).ok_or_else(refused)?.order),
            Step::Pay => {
                let method = one_of(&["card", "card", "invoice", "transfer"], rng).map(str::to_owned);
                (Transition::Pay { reference: format!("pi_{}", order.id), method }, None)
            }
            Step::Ship => {
                let carrier = one_of(&["DHL", "Royal Mail", "UPS"], rng).unwrap_or("DHL").to_owned();
                (Transition::Ship(Tracking { carrier, number: number.to_string(), url: None }), None)
            }
            Step::Deliver => (Transition::Deliver, None),
            Step::Return => (Transition::Return { restock }, Some("not what I thought")),
            Step::Refund => (Transition::Refund { reference: format!("re_{number}") }, None),
            Step::Cancel => (Transition::Cancel, Some("not to be had any more")),
            Step::CancelByOwner => (Transition::Cancel, Some("changed my mind")),
        };
        let by = match step {
            Step::CancelByOwner => Caller::User { id: order.user_id, role: Role::Customer },
            _ => Caller::User { id: self.staff, role: Role::Staff },
        };
        let change = OrderChange {
            status: Some(transition.to()),
            transition: Ok(Some(transition)),
            reason: reason.map(str::to_owned),
            ..OrderChange::default()
        };
        Ok(order.decide(change, by, at)?.ok_or_else(refused)?.order)
    }

    fn record(&mut self, order: &Order, places: &[usize], at: Timestamp, what: StockEvent) {
        for (place, item) in places.iter().zip(&order.items) {
            if let Some(history) = self.histories.get_mut(*place) {
                history.record(at, order.id, item.quantity, what);
            }
        }
    }
}
