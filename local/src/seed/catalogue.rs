//! Products of one part of the shop, which has one currency: for coffee, tea and their equipment.

use std::collections::BTreeMap;

use products::product::{NewProduct, Product, Sku, Status};
use rand::Rng as _;
use rand::rngs::StdRng;
use shared::values::clock::Timestamp;
use shared::values::ids::ProductId;
use shared::values::money::{Currency, Money};

use super::random::{DAY, between, id, mark, one_of, percent};
use crate::error::CommandError;

/// Currency of each part, repeated, and the value of one euro in its minor unit.
const CURRENCIES: [(&str, i64); 10] = [
    ("EUR", 100),
    ("USD", 110),
    ("EUR", 100),
    ("GBP", 85),
    ("EUR", 100),
    ("USD", 110),
    ("JPY", 160),
    ("EUR", 100),
    ("GBP", 85),
    ("CHF", 95),
];

/// Kind of product, and its minimum price in euros.
const THINGS: [(&str, i64); 20] = [
    ("bowl", 8),
    ("carafe", 19),
    ("coaster", 3),
    ("cup", 6),
    ("dripper", 12),
    ("filter", 4),
    ("glass", 7),
    ("grinder", 60),
    ("jar", 9),
    ("kettle", 45),
    ("mug", 9),
    ("pitcher", 14),
    ("press", 25),
    ("scale", 35),
    ("spoon", 2),
    ("strainer", 5),
    ("tamper", 22),
    ("teapot", 28),
    ("tin", 6),
    ("tray", 11),
];

const COLOURS: [&str; 12] =
    ["Amber", "Black", "Blue", "Brown", "Crème", "Green", "Grey", "Ivory", "Red", "Sage", "White", "Yellow"];

const MATERIALS: [&str; 8] =
    ["bamboo", "beech", "copper", "enamel", "glass", "porcelain", "steel", "stoneware"];

const SENTENCES: [&str; 9] = [
    "For every day, and for the dishwasher.",
    "Made by hand in a small workshop.",
    "Keeps warm for an hour or so.",
    "For two people who get up at the same time.",
    "Does not break when it falls, most often.",
    "Goes with all others of its kind.",
    "For guests, and for days with much to do.",
    "A present that nobody has yet.",
    "Light enough for a journey.",
];

/// Products of a part, before any order.
pub(super) struct Catalogue {
    /// Products of one currency. The first is active.
    pub(super) products: Vec<Product>,
}

impl Catalogue {
    /// Draws the products of a part of the shop, all created before any order was placed.
    pub(super) fn draw(
        part: usize,
        count: usize,
        now: Timestamp,
        rng: &mut StdRng,
    ) -> Result<Self, CommandError> {
        let (code, euro) = CURRENCIES.get(part % CURRENCIES.len()).copied().unwrap_or(("EUR", 100));
        let currency = Currency::parse(code.to_owned()).map_err(CommandError::new)?;
        let products = (0..count)
            .map(|place| {
                let mut product = product(currency, euro, now, rng)?;
                if place == 0 {
                    product.status = Status::Active;
                }
                Ok(product)
            })
            .collect::<Result<_, CommandError>>()?;
        Ok(Self { products })
    }
}

fn product(currency: Currency, euro: i64, now: Timestamp, rng: &mut StdRng) -> Result<Product, CommandError> {
    let (thing, least) = one_of(&THINGS, rng).unwrap_or(("mug", 9));
    let colour = one_of(&COLOURS, rng).unwrap_or("Blue");
    let material = one_of(&MATERIALS, rng).unwrap_or("steel");
    let size = rng.random_range(1..20) * 50;
    // Prices end with 9, so many products have the same price.
    let price = (least * euro * rng.random_range(10..40) / 100) * 10 + 9;
    let sku = format!("{thing}-{material}-{}", mark(rng)).to_uppercase();
    let said: Vec<&str> = (0..2).filter_map(|_| one_of(&SENTENCES, rng)).collect();
    let status = match rng.random_range(0..100) {
        0..5 => Status::Draft,
        5..13 => Status::Archived,
        _ => Status::Active,
    };
    let description = percent(90, rng).then(|| said.join(" "));
    let sku = Sku::parse(sku).map_err(CommandError::new)?;
    let name = format!("{colour} {thing} of {material}, {size} ml");
    let price = Money::new(price, currency).map_err(CommandError::new)?;
    let new = NewProduct {
        description,
        attributes: BTreeMap::from([
            ("kind".to_owned(), thing.to_owned()),
            ("colour".to_owned(), colour.to_owned()),
        ]),
        status,
        ..NewProduct::new(sku, name, price)
    };
    let at = between(now.before(DAY * 1_095), now.before(DAY * 731), rng);
    Ok(new.into_product(ProductId::from_uuid(id(at, rng)), at))
}
