//! Discounts, taxes and shipping of some orders, as a shop with its own checkout hands them in.

use orders::order::{Discount, Item, Rate, Shipping, Tax};
use rand::Rng as _;
use rand::rngs::StdRng;

use super::random::percent;

/// Gives items a tax that their prices include, and some of them a discount. Returns the shipping.
pub(super) fn hand_in(items: &mut [Item], rng: &mut StdRng) -> Shipping {
    for item in items {
        let price = item.price();
        if percent(30, rng) {
            item.amounts.discounts.push(Discount { label: "Welcome, 10 %".to_owned(), amount: price / 10 });
        }
        let base = price - item.amounts.discounted();
        item.amounts.taxes.push(included(base));
    }
    let amount = rng.random_range(2..=6) * 250 - 10;
    Shipping { label: "Standard".to_owned(), amount, taxes: vec![included(amount)] }
}

/// Tax of 19 % that an amount includes.
fn included(base: i64) -> Tax {
    let amount = (base * 19 + 59) / 119;
    Tax { label: "VAT".to_owned(), rate: Rate::from_stored("0.19".to_owned()), amount, included: true }
}
