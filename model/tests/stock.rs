//! The products of the model match the real ones: every small declaration gives the same result on every
//! small state.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use model::explorer::Model;
use model::parts::{self, Kind, Stored};
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
    let items: Vec<Item> = items.map(|(product, quantity)| Item::new(product, quantity.into())).collect();
    let state = |(product, id): (&Product, ProductId)| ProductState {
        product: id,
        stock: Stock { on_hand: product.on_hand.into(), reserved: product.reserved.into() },
        active: true,
        currency: Some(currency),
        max_per_order: None,
        held: product.entries[ORDER].map(|entry| entry.quantity.into()),
        counts: None,
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
                product.on_hand = u8::try_from(i64::from(product.on_hand) + write.on_hand()).unwrap();
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

/// Every stock of one product with up to two units, and how many of them the order holds.
fn stocks() -> Vec<(u8, u8, u8)> {
    let all = [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)].into_iter();
    all.flat_map(|(on_hand, reserved)| (0..=reserved).map(move |held| (on_hand, reserved, held))).collect()
}

/// Every small state of parts: the first product in all ways, beside some of the second.
fn stored() -> Vec<Stored> {
    let some_counts = [(0, 0), (1, 0), (1, 1)]
        .map(|(shipped, restocked)| Some(parts::Counts { shipped: [shipped, 0], restocked: [restocked, 0] }));
    let mut all = Vec::new();
    for (on_hand, reserved, held) in stocks() {
        for (other_on_hand, other_reserved, other_held) in [(0, 0, 0), (1, 1, 0), (2, 1, 1)] {
            let hold =
                |counts| Some(parts::Hold { revision: 2, held: [held, other_held], counts, old: false });
            let mut holds: Vec<_> = some_counts.into_iter().chain([None]).map(hold).collect();
            if (held, other_held) == (0, 0) {
                holds.push(None);
            }
            for (hold, archived) in holds.into_iter().flat_map(|hold| [(hold, false), (hold, true)]) {
                let on_hand = [on_hand, other_on_hand];
                all.push(Stored { on_hand, reserved: [reserved, other_reserved], archived, hold });
            }
        }
    }
    all
}

/// Every small call: about the first product in all ways, beside some of the second.
fn calls() -> Vec<parts::Call> {
    let none = parts::Counts::default();
    let mut all = Vec::new();
    for revision in REVISIONS {
        for held in (0..=2).flat_map(|one| (0..=1).map(move |other| [one, other])) {
            let call = |kind, counts, before| parts::Call { order: 0, revision, held, counts, before, kind };
            all.push(call(Kind::Hold, none, none));
            for shipped in (0..=2).flat_map(|one| (0..=1).map(move |other| [one, other])) {
                if held == [0, 0] {
                    all.push(call(Kind::ShipAll, parts::Counts { shipped, ..none }, none));
                }
                for (restocked, before) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    let counts = parts::Counts { shipped, restocked: [restocked, 0] };
                    all.push(call(Kind::Move, counts, parts::Counts { shipped: [before, 0], ..none }));
                }
            }
        }
    }
    all
}

/// Applies the real decision. The first product is an item of the order in any case.
fn decide_parts(stored: Stored, call: &parts::Call) -> (Stored, parts::Answer) {
    let currency = Currency::parse("EUR".to_owned()).unwrap();
    let ids = [ProductId::new(), ProductId::new()];
    let kept = stored.hold.and_then(|hold| hold.counts);
    let of = |counts: parts::Counts, place: usize| stock::Counts {
        shipped: counts.shipped[place].into(),
        restocked: counts.restocked[place].into(),
    };
    let item = |place: usize| {
        let (id, held) = (ids[place], call.held[place]);
        let (counts, before) = (of(call.counts, place), of(call.before, place));
        match call.kind {
            Kind::Hold => (held > 0).then_some(Item::new(id, held.into())),
            Kind::ShipAll => (counts.shipped > 0).then_some(Item::new(id, counts.shipped)),
            Kind::Move => {
                let is_named = place == 0 || held > 0 || counts != stock::Counts::default();
                is_named.then_some(Item { product: id, quantity: held.into(), counts, before })
            }
        }
    };
    let items: Vec<Item> = (0..2).filter_map(item).collect();
    let state = |place: usize| ProductState {
        product: ids[place],
        stock: Stock { on_hand: stored.on_hand[place].into(), reserved: stored.reserved[place].into() },
        active: !stored.archived,
        currency: Some(currency),
        max_per_order: None,
        held: stored.hold.map(|hold| hold.held[place].into()),
        counts: kept.map(|kept| of(kept, place)),
    };
    let concerned =
        |state: &ProductState| state.held.is_some() || items.iter().any(|item| item.product == state.product);
    let known: Vec<ProductState> = (0..2).map(state).filter(concerned).collect();
    let kind = match call.kind {
        Kind::Hold => stock::DeclarationKind::Hold,
        Kind::ShipAll => stock::DeclarationKind::Ship,
        Kind::Move => stock::DeclarationKind::Move,
    };
    let declaration = Declaration { order: OrderId::new(), revision: call.revision.into(), kind, items };
    match stock::decide(&declaration, stored.hold.map(|hold| hold.revision.into()), &known) {
        Err(Rejection::Superseded) => (stored, parts::Answer::Superseded),
        Err(Rejection::Short(_)) => (stored, parts::Answer::Short),
        Err(Rejection::Impossible(_)) => (stored, parts::Answer::Impossible),
        Err(Rejection::ItemError(_)) => (stored, parts::Answer::NotActive),
        Err(Rejection::TooManyProducts) => panic!("there are two"),
        Ok(writes) if writes.is_empty() => (stored, parts::Answer::Done),
        Ok(writes) => {
            let (mut after, mut held, mut counts) = (stored, [0; 2], kept.unwrap_or_default());
            let small = |units: i64| u8::try_from(units).unwrap();
            for write in writes {
                let place = ids.iter().position(|id| *id == write.product).unwrap();
                after.on_hand[place] = small(i64::from(after.on_hand[place]) + write.on_hand());
                after.reserved[place] = small(i64::from(after.reserved[place]) + write.reserved);
                held[place] = small(write.held);
                if let Some(stock::Counts { shipped, restocked }) = write.counts {
                    (counts.shipped[place], counts.restocked[place]) = (small(shipped), small(restocked));
                }
            }
            let counts = if call.kind == Kind::Move { Some(counts) } else { kept };
            after.hold = Some(parts::Hold { revision: call.revision, held, counts, old: false });
            (after, parts::Answer::Done)
        }
    }
}

#[test]
fn parts_have_the_same_result_in_model_and_function() {
    let is_refused = |answer| !matches!(answer, parts::Answer::Done | parts::Answer::Superseded);
    let calls = calls();
    let (mut applied, mut refused) = (0, 0);
    for stored in stored() {
        for call in &calls {
            // Orders do not declare like this: a shipment of an older build comes before any counts, and is of units
            // that they have.
            let kept = stored.hold.and_then(|hold| hold.counts);
            let held = stored.hold.map_or([0; 2], |hold| hold.held);
            let shipped = call.counts.shipped;
            if call.kind == Kind::ShipAll && (kept.is_some() || shipped[0] > held[0] || shipped[1] > held[1])
            {
                continue;
            }
            // An end of what was never held leaves no hold.
            if call.kind != Kind::Move && stored.hold.is_none() && (call.held, shipped) == ([0; 2], [0; 2]) {
                continue;
            }
            let (expected, answer) = parts::declare_alone(stored, call);
            let (after, actual) = decide_parts(stored, call);
            assert_eq!(after, expected, "{stored:?} {call:?}");
            // If both products are refused, either may be the reason.
            let is_same = actual == answer || is_refused(actual) && is_refused(answer);
            assert!(is_same, "{stored:?} {call:?}: {actual:?}, not {answer:?}");
            if (call.held[1], shipped[1], held[1]) == (0, 0, 0) {
                assert_eq!(actual, answer, "{stored:?} {call:?}");
            }
            applied += usize::from(after != stored);
            refused += usize::from(is_refused(actual));
        }
    }
    assert!(applied > 5_000 && refused > 10_000, "{applied} were applied, {refused} refused");
}
