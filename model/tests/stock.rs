//! The model's products are the real ones: every small declaration onto every small shelf comes to the same.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use model::explorer::Model;
use model::scenario::{Scenario, Size};
use model::state::{Call, Entry, Movement, Product};
use model::steps::Protocol;
use model::stock::{Answer, declare};
use products::stock::{self, Declaration, Line, Refusal, Shelf, Stock};
use shared::ids::{OrderId, ProductId};
use shared::money::Currency;

const ORDER: usize = 0;
const ANOTHER: usize = 1;
const REVISIONS: std::ops::RangeInclusive<u8> = 1..=3;

/// Every product with up to two pieces, held for the order or for another one.
fn shelves() -> Vec<Product> {
    let mut shelves = Vec::new();
    for (on_hand, reserved) in [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)] {
        let entries = (0..=reserved).flat_map(|quantity| {
            REVISIONS.map(move |revision| Some(Entry { quantity, revision, old: false }))
        });
        for entry in entries.chain([None]) {
            let mut product = Product { on_hand, reserved, entries: [None; model::state::IDS] };
            product.entries[ORDER] = entry;
            let rest = reserved - entry.map_or(0, |entry| entry.quantity);
            product.entries[ANOTHER] = Some(Entry { quantity: rest, revision: 9, old: false });
            shelves.push(product);
        }
    }
    shelves
}

/// What the real decision makes of it.
fn really(products: [Product; 2], call: Call) -> ([Product; 2], Answer) {
    let currency = Currency::parse("EUR".to_owned()).unwrap();
    let ids = [ProductId::new(), ProductId::new()];
    let lines = ids.into_iter().zip(call.lines).filter(|(_, quantity)| *quantity > 0);
    let lines: Vec<Line> =
        lines.map(|(product, quantity)| Line { product, quantity: quantity.into() }).collect();
    let shelf = |(product, id): (&Product, ProductId)| Shelf {
        product: id,
        stock: Stock { on_hand: product.on_hand.into(), reserved: product.reserved.into() },
        active: true,
        currency,
        // Far from the bounds, which the model leaves out.
        live: 0,
        entries: 0,
        entry: product.entries[ORDER]
            .map(|entry| stock::Entry { quantity: entry.quantity.into(), revision: entry.revision.into() }),
    };
    let concerned =
        |shelf: &Shelf| shelf.entry.is_some() || lines.iter().any(|line| line.product == shelf.product);
    let known: Vec<Shelf> = products.iter().zip(ids).map(shelf).filter(concerned).collect();
    let movement = match call.movement {
        Movement::Hold => stock::Movement::Hold,
        Movement::Ship => stock::Movement::Ship,
        Movement::Restock => stock::Movement::Restock,
    };
    let declaration = Declaration { order: OrderId::new(), revision: call.revision.into(), movement, lines };
    match stock::decide(&declaration, &known) {
        Err(Refusal::Superseded) => (products, Answer::Superseded),
        Err(Refusal::Short(_)) => (products, Answer::Short),
        Err(Refusal::Impossible(_)) => (products, Answer::Impossible),
        Err(Refusal::TooManyHolds(_) | Refusal::Unorderable(_)) => {
            panic!("all can be ordered, and much of it")
        }
        Ok(writes) => {
            let mut after = products;
            for write in writes {
                let product = &mut after[ids.iter().position(|id| *id == write.product).unwrap()];
                product.on_hand = u8::try_from(i64::from(product.on_hand) + write.on_hand).unwrap();
                product.reserved = u8::try_from(i64::from(product.reserved) + write.reserved).unwrap();
                let quantity = u8::try_from(write.entry.quantity).unwrap();
                let revision = u8::try_from(write.entry.revision).unwrap();
                product.entries[ORDER] = Some(Entry { quantity, revision, old: false });
            }
            (after, Answer::Done)
        }
    }
}

#[test]
fn a_declaration_comes_to_the_same_in_the_model_and_in_the_products_function() {
    let initial = Protocol::new(Scenario::changes(Size::Short)).initial();
    let quantities = || (0..=2).flat_map(|one| (0..=2).map(move |other| [one, other]));
    let mut applied = 0;
    for one in shelves() {
        for other in shelves() {
            for movement in [Movement::Hold, Movement::Ship, Movement::Restock] {
                for (lines, revision) in quantities().flat_map(|lines| REVISIONS.map(move |r| (lines, r))) {
                    let call = Call { id: ORDER, revision, movement, lines };
                    let mut state = initial.clone();
                    state.products = [one, other];
                    let answer = declare(&mut state, call, None);
                    let expected = really([one, other], call);
                    assert_eq!((state.products, answer), expected, "{one:?} {other:?} {call:?}");
                    applied += usize::from(state.products != [one, other]);
                }
            }
        }
    }
    assert!(applied > 10_000, "only {applied} were applied");
}
