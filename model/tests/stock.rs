//! The products of the model match the real ones: every small declaration gives the same result on every
//! small state.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use model::explorer::Model;
use model::scenario::{Scenario, Size};
use model::state::{Call, DeclarationKind, Entry, Product};
use model::steps::Protocol;
use model::stock::{Answer, declare};
use products::stock::{self, Declaration, Item, ProductState, Rejection, Stock};
use shared::values::ids::{OrderId, ProductId};
use shared::values::money::Currency;

const ORDER: usize = 0;
const ANOTHER: usize = 1;
const REVISIONS: std::ops::RangeInclusive<u8> = 1..=3;

/// Every product with up to two units, held for the order or for another one.
fn states() -> Vec<Product> {
    let mut states = Vec::new();
    for (on_hand, reserved) in [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)] {
        let entries = (0..=reserved).flat_map(|quantity| {
            REVISIONS.map(move |revision| Some(Entry { quantity, revision, old: false }))
        });
        for entry in entries.chain([None]) {
            let mut product = Product { on_hand, reserved, entries: [None; model::state::IDS] };
            product.entries[ORDER] = entry;
            let rest = reserved - entry.map_or(0, |entry| entry.quantity);
            product.entries[ANOTHER] = Some(Entry { quantity: rest, revision: 9, old: false });
            states.push(product);
        }
    }
    states
}

/// Applies the real decision.
fn decide(products: [Product; 2], call: Call) -> ([Product; 2], Answer) {
    let currency = Currency::parse("EUR".to_owned()).unwrap();
    let ids = [ProductId::new(), ProductId::new()];
    let items = ids.into_iter().zip(call.items).filter(|(_, quantity)| *quantity > 0);
    let items: Vec<Item> =
        items.map(|(product, quantity)| Item { product, quantity: quantity.into() }).collect();
    let state = |(product, id): (&Product, ProductId)| ProductState {
        product: id,
        stock: Stock { on_hand: product.on_hand.into(), reserved: product.reserved.into() },
        active: true,
        currency: Some(currency),
        max_per_order: None,
        held: product.entries[ORDER].map(|entry| entry.quantity.into()),
    };
    let concerned =
        |state: &ProductState| state.held.is_some() || items.iter().any(|item| item.product == state.product);
    let known: Vec<ProductState> = products.iter().zip(ids).map(state).filter(concerned).collect();
    let kind = match call.kind {
        DeclarationKind::Hold => stock::DeclarationKind::Hold,
        DeclarationKind::Ship => stock::DeclarationKind::Ship,
        DeclarationKind::Restock => stock::DeclarationKind::Restock,
    };
    let declaration = Declaration { order: OrderId::new(), revision: call.revision.into(), kind, items };
    // The hold of an order has one revision.
    let revision = products.iter().filter_map(|product| Some(product.entries[ORDER]?.revision)).max();
    match stock::decide(&declaration, revision.map(i64::from), &known) {
        Err(Rejection::Superseded) => (products, Answer::Superseded),
        Err(Rejection::Short(_)) => (products, Answer::Short),
        Err(Rejection::Impossible(_)) => (products, Answer::Impossible),
        Err(Rejection::TooManyProducts | Rejection::ItemError(_)) => {
            panic!("all can be ordered, and much of it")
        }
        Ok(writes) => {
            let mut after = products;
            for write in writes {
                let product = &mut after[ids.iter().position(|id| *id == write.product).unwrap()];
                product.on_hand = u8::try_from(i64::from(product.on_hand) + write.on_hand).unwrap();
                product.reserved = u8::try_from(i64::from(product.reserved) + write.reserved).unwrap();
                let quantity = u8::try_from(write.held).unwrap();
                product.entries[ORDER] = Some(Entry { quantity, revision: call.revision, old: false });
            }
            (after, Answer::Done)
        }
    }
}

#[test]
fn a_declaration_has_the_same_result_in_model_and_function() {
    let initial = Protocol::new(Scenario::changes(Size::Short)).initial();
    let quantities = || (0..=2).flat_map(|one| (0..=2).map(move |other| [one, other]));
    let mut applied = 0;
    for one in states() {
        for other in states() {
            for kind in [DeclarationKind::Hold, DeclarationKind::Ship, DeclarationKind::Restock] {
                for (items, revision) in quantities().flat_map(|items| REVISIONS.map(move |r| (items, r))) {
                    let call = Call { id: ORDER, revision, kind, items };
                    let mut state = initial.clone();
                    state.products = [one, other];
                    let answer = declare(&mut state, call, None);
                    let expected = decide([one, other], call);
                    assert_eq!((state.products, answer), expected, "{one:?} {other:?} {call:?}");
                    applied += usize::from(state.products != [one, other]);
                }
            }
        }
    }
    assert!(applied > 10_000, "only {applied} were applied");
}
