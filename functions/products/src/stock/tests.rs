//! Decisions about stock, declaration by declaration.

use proptest::prelude::*;

use super::*;

fn euro() -> Currency {
    Currency::parse("EUR".to_owned()).unwrap()
}

fn state(on_hand: i64, reserved: i64, entry: Option<Entry>) -> ProductState {
    ProductState {
        product: ProductId::new(),
        stock: Stock { on_hand, reserved },
        active: true,
        currency: Some(euro()),
        max_per_order: None,
        entry,
        live: 1,
        entries: 2,
    }
}

fn declare(kind: DeclarationKind, revision: i64, items: &[(&ProductState, i64)]) -> Declaration {
    let items =
        items.iter().map(|(state, quantity)| Item { product: state.product, quantity: *quantity }).collect();
    Declaration { order: OrderId::new(), revision, kind, items }
}

fn hold(revision: i64, items: &[(&ProductState, i64)]) -> Declaration {
    declare(DeclarationKind::Hold, revision, items)
}

#[test]
fn the_last_piece_can_be_held_and_not_one_more() {
    let mug = state(10, 9, None);
    assert!(decide(&hold(1, &[(&mug, 1)]), std::slice::from_ref(&mug)).is_ok());
    let rejection = decide(&hold(1, &[(&mug, 2)]), std::slice::from_ref(&mug)).unwrap_err();
    let shortage = Shortage { product: mug.product, requested: 2, available: 1 };
    assert_eq!(rejection, Rejection::Short(vec![shortage]));
}

#[test]
fn every_shortage_is_named() {
    let states = [state(1, 0, None), state(5, 0, None), state(0, 0, None)];
    let items: Vec<_> = states.iter().map(|state| (state, 2)).collect();
    let Err(Rejection::Short(shortages)) = decide(&hold(1, &items), &states) else { panic!("not refused") };
    assert_eq!(shortages.iter().map(|short| short.available).collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn no_order_has_more_of_a_product_than_it_allows() {
    let limited = |entry| ProductState { max_per_order: Some(3), ..state(10, 5, entry) };
    let (mug, other) = (limited(None), state(10, 0, None));
    let states = [other.clone(), mug.clone()];
    assert!(decide(&hold(1, &[(&other, 4), (&mug, 3)]), &states).is_ok());
    let rejection = decide(&hold(1, &[(&other, 4), (&mug, 4)]), &states).unwrap_err();
    assert_eq!(rejection, Rejection::ItemError(vec![(1, ItemError::AboveMax(3))]));
    // What was held before the limit stays, and may become less.
    let mug = limited(Some(Entry { quantity: 5, revision: 1 }));
    for (quantity, allowed) in [(6, false), (5, true), (4, true)] {
        let decided = decide(&hold(2, &[(&mug, quantity)]), std::slice::from_ref(&mug));
        assert_eq!(decided.is_ok(), allowed, "{quantity}");
    }
}

#[test]
fn the_same_revision_again_changes_nothing() {
    let mug = state(10, 2, Some(Entry { quantity: 2, revision: 3 }));
    assert_eq!(decide(&hold(3, &[(&mug, 2)]), std::slice::from_ref(&mug)), Ok(Vec::new()));
}

#[test]
fn a_late_call_cannot_revive_a_hold_that_has_ended() {
    let mug = state(10, 0, Some(Entry { quantity: 0, revision: 2 }));
    assert_eq!(decide(&hold(1, &[(&mug, 2)]), std::slice::from_ref(&mug)), Err(Rejection::Superseded));
}

#[test]
fn an_empty_hold_frees_all_and_leaves_tombstones() {
    let mug = state(10, 5, Some(Entry { quantity: 3, revision: 1 }));
    let writes = decide(&hold(2, &[]), std::slice::from_ref(&mug)).unwrap();
    let entry = Entry { quantity: 0, revision: 2 };
    assert_eq!(writes, [StockUpdate { product: mug.product, on_hand: 0, reserved: -3, live: -1, entry }]);
}

#[test]
fn an_item_that_does_not_grow_is_never_refused() {
    let mut mug = state(3, 3, Some(Entry { quantity: 3, revision: 1 }));
    mug.active = false;
    assert!(decide(&hold(2, &[(&mug, 2)]), std::slice::from_ref(&mug)).is_ok());
    assert!(decide(&hold(2, &[(&mug, 3)]), std::slice::from_ref(&mug)).is_ok());
    assert!(decide(&hold(2, &[(&mug, 4)]), std::slice::from_ref(&mug)).is_err());
}

#[test]
fn unorderable_items_are_reported_before_shortages() {
    let mut draft = state(0, 0, None);
    draft.active = false;
    let mut yen = state(0, 0, None);
    let japanese = Currency::parse("JPY".to_owned()).unwrap();
    yen.currency = Some(japanese);
    let mug = state(0, 0, None);
    let unknown = state(0, 0, None);
    let declaration = hold(1, &[(&mug, 1), (&draft, 1), (&yen, 1), (&unknown, 1)]);
    let other = ItemError::OtherCurrency { this: japanese, first: euro() };
    let states = [draft.clone(), yen.clone(), mug.clone()];
    let expected = vec![(1, ItemError::NotActive), (2, other), (3, ItemError::NotActive)];
    assert_eq!(decide(&declaration, &states), Err(Rejection::ItemError(expected)));
}

#[test]
fn shipping_deducts_from_on_hand_and_ends_the_hold() {
    let mug = state(10, 5, Some(Entry { quantity: 3, revision: 1 }));
    let writes =
        decide(&declare(DeclarationKind::Ship, 3, &[(&mug, 3)]), std::slice::from_ref(&mug)).unwrap();
    let entry = Entry { quantity: 0, revision: 3 };
    assert_eq!(writes, [StockUpdate { product: mug.product, on_hand: -3, reserved: -3, live: -1, entry }]);
}

#[test]
fn a_restock_leaves_its_mark_where_no_entry_is_left() {
    let mug = state(10, 5, None);
    let writes =
        decide(&declare(DeclarationKind::Restock, 5, &[(&mug, 3)]), std::slice::from_ref(&mug)).unwrap();
    let entry = Entry { quantity: 0, revision: 5 };
    assert_eq!(writes, [StockUpdate { product: mug.product, on_hand: 3, reserved: 0, live: 0, entry }]);
}

#[test]
fn a_full_product_refuses_new_holds_alone() {
    let full = |entry| ProductState { live: MAX_LIVE_HOLDS, entries: MAX_LIVE_HOLDS, ..state(10, 5, entry) };
    let new = full(None);
    let rejection = Err(Rejection::TooManyHolds(vec![new.product]));
    assert_eq!(decide(&hold(1, &[(&new, 1)]), std::slice::from_ref(&new)), rejection);
    // An ended hold counts as new; a live one may grow, shrink, end, and be shipped.
    let ended = full(Some(Entry { quantity: 0, revision: 1 }));
    assert!(decide(&hold(2, &[(&ended, 1)]), std::slice::from_ref(&ended)).is_err());
    let live = full(Some(Entry { quantity: 2, revision: 1 }));
    for declaration in [
        hold(2, &[(&live, 3)]),
        hold(2, &[(&live, 1)]),
        hold(2, &[]),
        declare(DeclarationKind::Ship, 2, &[(&live, 2)]),
        declare(DeclarationKind::Restock, 2, &[(&live, 2)]),
    ] {
        assert!(decide(&declaration, std::slice::from_ref(&live)).is_ok(), "{declaration:?}");
    }
    assert!(decide(&declare(DeclarationKind::Restock, 2, &[(&new, 2)]), std::slice::from_ref(&new)).is_ok());
    let nearly = ProductState { live: MAX_LIVE_HOLDS - 1, ..new };
    assert!(decide(&hold(1, &[(&nearly, 1)]), std::slice::from_ref(&nearly)).is_ok());
}

#[test]
fn entries_that_have_ended_count_too() {
    let new = ProductState { entries: MAX_ENTRIES, ..state(10, 5, None) };
    let rejection = Err(Rejection::TooManyHolds(vec![new.product]));
    assert_eq!(decide(&hold(1, &[(&new, 1)]), std::slice::from_ref(&new)), rejection);
    // The order has an entry already, and gets no second one.
    let known =
        ProductState { entries: MAX_ENTRIES, ..state(10, 5, Some(Entry { quantity: 0, revision: 1 })) };
    assert!(decide(&hold(2, &[(&known, 1)]), std::slice::from_ref(&known)).is_ok());
}

#[test]
fn every_full_product_is_named_after_shortages() {
    let full = || ProductState { live: MAX_LIVE_HOLDS, ..state(10, 5, None) };
    let states = [full(), state(10, 5, None), full()];
    let items: Vec<_> = states.iter().map(|state| (state, 1)).collect();
    let rejection = Err(Rejection::TooManyHolds(vec![states[0].product, states[2].product]));
    assert_eq!(decide(&hold(1, &items), &states), rejection);
    let items: Vec<_> = states.iter().map(|state| (state, 6)).collect();
    assert!(matches!(decide(&hold(1, &items), &states), Err(Rejection::Short(short)) if short.len() == 3));
}

fn movement() -> impl Strategy<Value = DeclarationKind> {
    prop_oneof![Just(DeclarationKind::Hold), Just(DeclarationKind::Ship), Just(DeclarationKind::Restock)]
}

proptest! {
    /// Any sequence of declarations keeps the counts in bounds, and `reserved` the sum of the entries.
    #[test]
    fn no_declaration_can_break_the_invariants(
        on_hand in prop::collection::vec(0..20_i64, 1..4),
        calls in prop::collection::vec(
            (0..4_usize, 1..8_i64, movement(), prop::collection::vec(0..12_i64, 3)), 0..40),
    ) {
        let states: Vec<ProductState> = on_hand.iter().map(|&count| state(count, 0, None)).collect();
        let mut live = vec![0; states.len()];
        let mut stocks: Vec<Stock> = states.iter().map(|state| state.stock).collect();
        let mut entries = vec![vec![None::<Entry>; states.len()]; 4];
        for (order, revision, kind, quantities) in calls {
            let now: Vec<ProductState> = states.iter().enumerate().map(|(i, state)| ProductState {
                stock: stocks[i], entry: entries[order][i], ..state.clone()
            }).collect();
            let items: Vec<(&ProductState, i64)> =
                now.iter().zip(&quantities).filter(|(_, q)| **q > 0).map(|(s, q)| (s, *q)).collect();
            let known: Vec<ProductState> = now.iter().filter(|state| {
                state.entry.is_some() || items.iter().any(|(item, _)| item.product == state.product)
            }).cloned().collect();
            for write in decide(&declare(kind, revision, &items), &known).unwrap_or_default() {
                let i = states.iter().position(|state| state.product == write.product).unwrap();
                stocks[i].on_hand += write.on_hand;
                stocks[i].reserved += write.reserved;
                live[i] += write.live;
                entries[order][i] = Some(write.entry);
            }
            for (i, stock) in stocks.iter().enumerate() {
                let held: i64 = entries.iter().filter_map(|order| Some(order[i]?.quantity)).sum();
                prop_assert_eq!(stock.reserved, held);
                let held = entries.iter().filter(|order| order[i].is_some_and(|it| it.quantity > 0));
                prop_assert_eq!(usize::try_from(live[i]).unwrap(), held.count());
                prop_assert!(0 <= stock.reserved && stock.reserved <= stock.on_hand);
            }
        }
    }
}
