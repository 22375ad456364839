//! Decisions about stock, declaration by declaration.

use proptest::prelude::*;

use super::*;

fn euro() -> Currency {
    Currency::parse("EUR".to_owned()).unwrap()
}

fn state(on_hand: i64, reserved: i64, held: Option<i64>) -> ProductState {
    ProductState {
        product: ProductId::new(),
        stock: Stock { on_hand, reserved },
        active: true,
        currency: Some(euro()),
        max_per_order: None,
        held,
        counts: None,
    }
}

fn declare(kind: DeclarationKind, revision: i64, items: &[(&ProductState, i64)]) -> Declaration {
    let items = items.iter().map(|(state, quantity)| Item::new(state.product, *quantity)).collect();
    Declaration { order: OrderId::new(), revision, kind, items }
}

fn hold(revision: i64, items: &[(&ProductState, i64)]) -> Declaration {
    declare(DeclarationKind::Hold, revision, items)
}

fn written(state: &ProductState, moved: Counts, reserved: i64, held: i64, in_stock: Flip) -> StockUpdate {
    StockUpdate { product: state.product, moved, reserved, held, counts: None, in_stock }
}

#[test]
fn the_last_piece_can_be_held_and_not_one_more() {
    let mug = state(10, 9, None);
    assert!(decide(&hold(1, &[(&mug, 1)]), None, std::slice::from_ref(&mug)).is_ok());
    let rejection = decide(&hold(1, &[(&mug, 2)]), None, std::slice::from_ref(&mug)).unwrap_err();
    let shortage = Shortage { product: mug.product, requested: 2, available: 1 };
    assert_eq!(rejection, Rejection::Short(vec![shortage]));
}

#[test]
fn every_shortage_is_named() {
    let states = [state(1, 0, None), state(5, 0, None), state(0, 0, None)];
    let items: Vec<_> = states.iter().map(|state| (state, 2)).collect();
    let Err(Rejection::Short(shortages)) = decide(&hold(1, &items), None, &states) else {
        panic!("not refused")
    };
    assert_eq!(shortages.iter().map(|short| short.available).collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn no_order_has_more_of_a_product_than_it_allows() {
    let limited = |held| ProductState { max_per_order: Some(3), ..state(10, 5, held) };
    let (mug, other) = (limited(None), state(10, 0, None));
    let states = [other.clone(), mug.clone()];
    assert!(decide(&hold(1, &[(&other, 4), (&mug, 3)]), None, &states).is_ok());
    let rejection = decide(&hold(1, &[(&other, 4), (&mug, 4)]), None, &states).unwrap_err();
    assert_eq!(rejection, Rejection::ItemError(vec![(1, ItemError::AboveMax(3))]));
    // What was held before the limit stays, and may become less.
    let mug = limited(Some(5));
    for (quantity, allowed) in [(6, false), (5, true), (4, true)] {
        let decided = decide(&hold(2, &[(&mug, quantity)]), Some(1), std::slice::from_ref(&mug));
        assert_eq!(decided.is_ok(), allowed, "{quantity}");
    }
}

#[test]
fn the_same_revision_again_changes_nothing() {
    let mug = state(10, 2, Some(2));
    assert_eq!(decide(&hold(3, &[(&mug, 2)]), Some(3), std::slice::from_ref(&mug)), Ok(Vec::new()));
}

#[test]
fn a_late_call_cannot_revive_a_hold_that_has_ended() {
    let mug = state(10, 0, Some(0));
    let late = decide(&hold(1, &[(&mug, 2)]), Some(2), std::slice::from_ref(&mug));
    assert_eq!(late, Err(Rejection::Superseded));
}

#[test]
fn an_empty_hold_frees_all_and_leaves_tombstones() {
    let (mug, ended) = (state(10, 5, Some(3)), state(1, 1, Some(0)));
    let writes = decide(&hold(2, &[]), Some(1), &[mug.clone(), ended.clone()]).unwrap();
    let freed = written(&mug, Counts::default(), -3, 0, Flip::STAYS);
    let no_units = Flip { before: false, after: false };
    assert_eq!(writes, [freed, written(&ended, Counts::default(), 0, 0, no_units)]);
}

#[test]
fn an_item_that_does_not_grow_is_never_refused() {
    let mut mug = state(3, 3, Some(3));
    mug.active = false;
    assert!(decide(&hold(2, &[(&mug, 2)]), Some(1), std::slice::from_ref(&mug)).is_ok());
    assert!(decide(&hold(2, &[(&mug, 3)]), Some(1), std::slice::from_ref(&mug)).is_ok());
    assert!(decide(&hold(2, &[(&mug, 4)]), Some(1), std::slice::from_ref(&mug)).is_err());
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
    assert_eq!(decide(&declaration, None, &states), Err(Rejection::ItemError(expected)));
}

#[test]
fn shipping_deducts_from_on_hand_and_ends_the_hold() {
    let mug = state(10, 5, Some(3));
    let ship = declare(DeclarationKind::Ship, 3, &[(&mug, 3)]);
    let writes = decide(&ship, Some(1), std::slice::from_ref(&mug)).unwrap();
    assert_eq!(writes, [written(&mug, Counts { shipped: 3, restocked: 0 }, -3, 0, Flip::STAYS)]);
}

#[test]
fn a_restock_is_written_where_no_hold_is_left() {
    let mug = state(5, 5, None);
    let restock = declare(DeclarationKind::Restock, 5, &[(&mug, 3)]);
    let writes = decide(&restock, None, std::slice::from_ref(&mug)).unwrap();
    assert_eq!(
        writes,
        [written(&mug, Counts { shipped: 0, restocked: 3 }, 0, 0, Flip { before: false, after: true })]
    );
}

#[test]
fn a_product_sells_out_with_its_last_piece_and_comes_back() {
    let flip = |state: &ProductState, quantity| {
        let items: Vec<_> = (quantity > 0).then_some((state, quantity)).into_iter().collect();
        decide(&hold(2, &items), Some(1), std::slice::from_ref(state)).unwrap()[0].in_stock
    };
    let (some, none) = (state(5, 3, Some(3)), state(5, 5, Some(3)));
    assert_eq!(flip(&some, 4), Flip::STAYS);
    assert_eq!(flip(&some, 5), Flip { before: true, after: false });
    assert_eq!(flip(&none, 3), Flip { before: false, after: false });
    assert_eq!(flip(&none, 0), Flip { before: false, after: true });
}

#[test]
fn a_hold_covers_a_limited_number_of_products_over_time() {
    let mut states: Vec<ProductState> = (0..MAX_PRODUCTS).map(|_| state(9, 1, Some(0))).collect();
    let again = decide(&hold(2, &[(&states[0], 1)]), Some(1), &states);
    assert_eq!(again.map(|writes| writes.len()), Ok(MAX_PRODUCTS));
    states.push(state(9, 1, None));
    let one_more = hold(2, &[(&states[MAX_PRODUCTS], 1)]);
    assert_eq!(decide(&one_more, Some(1), &states), Err(Rejection::TooManyProducts));
    // What ends is never refused.
    assert!(decide(&hold(2, &[]), Some(1), &states[..MAX_PRODUCTS]).is_ok());
}

fn counts(shipped: i64, restocked: i64) -> Counts {
    Counts { shipped, restocked }
}

fn moves(revision: i64, state: &ProductState, held: i64, now: Counts, before: Counts) -> Declaration {
    let item = Item { product: state.product, quantity: held, counts: now, before };
    Declaration { order: OrderId::new(), revision, kind: DeclarationKind::Move, items: vec![item] }
}

/// Decides about a move of an order whose hold has revision 1. Returns the write to the product.
fn moved(state: &ProductState, held: i64, now: Counts, before: Counts) -> Result<StockUpdate, Rejection> {
    let decided = decide(&moves(2, state, held, now, before), Some(1), std::slice::from_ref(state));
    decided.map(|writes| writes[0])
}

#[test]
fn a_part_is_shipped_and_the_rest_stays_held() {
    let mug = state(10, 5, Some(3));
    let write = moved(&mug, 1, counts(2, 0), counts(0, 0)).unwrap();
    let expected = written(&mug, counts(2, 0), -2, 1, Flip::STAYS);
    assert_eq!(write, StockUpdate { counts: Some(counts(2, 0)), ..expected });
    assert_eq!((write.on_hand(), write.takes_more()), (-2, false));
}

#[test]
fn units_move_by_the_difference_to_the_counts_that_are_kept() {
    let mug = ProductState { counts: Some(counts(2, 1)), ..state(10, 5, Some(3)) };
    // What is said to be from before does not count beside them.
    let write = moved(&mug, 0, counts(5, 2), counts(4, 4)).unwrap();
    assert_eq!((write.moved, write.reserved, write.on_hand()), (counts(3, 1), -3, -2));
}

#[test]
fn before_stands_for_counts_that_are_not_kept() {
    let mug = state(10, 2, None);
    let write = moved(&mug, 0, counts(3, 2), counts(3, 0)).unwrap();
    assert_eq!((write.moved, write.reserved, write.on_hand()), (counts(0, 2), 0, 2));
}

#[test]
fn counts_are_left_also_where_nothing_moves() {
    let mug = state(10, 2, None);
    let write = moved(&mug, 0, counts(3, 3), counts(3, 3)).unwrap();
    assert_eq!((write.moved, write.reserved), (counts(0, 0), 0));
    assert_eq!(write.counts, Some(counts(3, 3)));
    let zeros = moved(&mug, 0, counts(0, 0), counts(0, 0)).unwrap();
    assert_eq!(zeros.counts, Some(counts(0, 0)));
}

#[test]
fn units_are_held_again_whatever_became_of_their_product() {
    // Others have all that is there, and no more may be ordered.
    let mug = ProductState {
        active: false,
        max_per_order: Some(1),
        counts: Some(counts(3, 0)),
        ..state(4, 4, Some(0))
    };
    let write = moved(&mug, 3, counts(0, 0), counts(0, 0)).unwrap();
    assert_eq!((write.on_hand(), write.reserved, write.held), (3, 3, 3));
    let no_units = Flip { before: false, after: false };
    assert_eq!(write.in_stock, no_units);
}

#[test]
fn an_order_that_gets_more_is_checked_with_what_was_shipped() {
    let limited = |active| ProductState {
        active,
        max_per_order: Some(4),
        counts: Some(counts(2, 0)),
        ..state(3, 2, Some(1))
    };
    let mug = limited(true);
    // One held and two shipped: a fourth one is the last that is allowed, and the last that is there.
    assert!(moved(&mug, 2, counts(2, 0), counts(0, 0)).is_ok());
    let above = Err(Rejection::ItemError(vec![(0, ItemError::AboveMax(4))]));
    assert_eq!(moved(&mug, 3, counts(2, 0), counts(0, 0)), above);
    let archived = limited(false);
    let refused = Err(Rejection::ItemError(vec![(0, ItemError::NotActive)]));
    assert_eq!(moved(&archived, 2, counts(2, 0), counts(0, 0)), refused);
    assert!(moved(&archived, 0, counts(3, 0), counts(0, 0)).is_ok());
    let unlimited = ProductState { max_per_order: None, ..mug };
    let shortage = Shortage { product: unlimited.product, requested: 3, available: 2 };
    let short = Err(Rejection::Short(vec![shortage]));
    assert_eq!(moved(&unlimited, 3, counts(2, 0), counts(0, 0)), short);
    // What comes back is there before.
    assert!(moved(&unlimited, 3, counts(2, 1), counts(0, 0)).is_ok());
}

#[test]
fn a_late_move_is_refused_and_the_same_one_changes_nothing() {
    let mug = ProductState { counts: Some(counts(1, 0)), ..state(10, 2, Some(2)) };
    let again = moves(3, &mug, 0, counts(3, 0), counts(0, 0));
    let decide = |known| decide(&again, Some(known), std::slice::from_ref(&mug));
    assert_eq!(decide(4), Err(Rejection::Superseded));
    assert_eq!(decide(3), Ok(Vec::new()));
    assert_eq!(decide(2).map(|writes| writes.len()), Ok(1));
}

#[test]
fn a_hold_moves_nothing_and_keeps_counts() {
    let mug = ProductState { counts: Some(counts(2, 1)), ..state(10, 5, Some(3)) };
    let writes = decide(&hold(2, &[(&mug, 1)]), Some(1), std::slice::from_ref(&mug)).unwrap();
    assert_eq!(writes, [written(&mug, counts(0, 0), -2, 1, Flip::STAYS)]);
}

#[test]
fn a_move_releases_what_it_does_not_name() {
    let (mug, pot) = (state(10, 5, Some(3)), state(10, 5, Some(2)));
    let declaration = moves(2, &mug, 3, counts(0, 0), counts(0, 0));
    let writes = decide(&declaration, Some(1), &[mug.clone(), pot.clone()]).unwrap();
    assert_eq!(writes[1], written(&pot, counts(0, 0), -2, 0, Flip::STAYS));
}

#[test]
fn more_than_is_there_cannot_be_moved() {
    let mug = state(3, 3, Some(1));
    let restocked = moved(&mug, 1, counts(0, 0), counts(0, 1));
    assert_eq!(restocked.unwrap_err(), Rejection::Impossible(mug.product));
    let shipped = moved(&mug, 0, counts(2, 0), counts(0, 0));
    assert!(matches!(shipped, Err(Rejection::Short(_))), "{shipped:?}");
    // A product without stock.
    let unknown = decide(&moves(2, &mug, 1, counts(0, 0), counts(0, 0)), Some(1), &[]);
    assert_eq!(unknown, Err(Rejection::Impossible(mug.product)));
}

fn movement() -> impl Strategy<Value = DeclarationKind> {
    prop_oneof![Just(DeclarationKind::Hold), Just(DeclarationKind::Ship), Just(DeclarationKind::Restock)]
}

proptest! {
    /// Any sequence of declarations keeps the counts in bounds, and `reserved` the sum of the holds.
    #[test]
    fn no_declaration_can_break_the_invariants(
        on_hand in prop::collection::vec(0..20_i64, 1..4),
        calls in prop::collection::vec(
            (0..4_usize, 1..8_i64, movement(), prop::collection::vec(0..12_i64, 3)), 0..40),
    ) {
        let states: Vec<ProductState> = on_hand.iter().map(|&count| state(count, 0, None)).collect();
        let mut stocks: Vec<Stock> = states.iter().map(|state| state.stock).collect();
        let mut holds = vec![(None::<i64>, vec![None::<i64>; states.len()]); 4];
        for (order, revision, kind, quantities) in calls {
            let (known, held) = &mut holds[order];
            let now: Vec<ProductState> = states.iter().enumerate().map(|(i, state)| ProductState {
                stock: stocks[i], held: held[i], ..state.clone()
            }).collect();
            let items: Vec<(&ProductState, i64)> =
                now.iter().zip(&quantities).filter(|(_, q)| **q > 0).map(|(s, q)| (s, *q)).collect();
            let concerned: Vec<ProductState> = now.iter().filter(|state| {
                state.held.is_some() || items.iter().any(|(item, _)| item.product == state.product)
            }).cloned().collect();
            for write in decide(&declare(kind, revision, &items), *known, &concerned).unwrap_or_default() {
                let i = states.iter().position(|state| state.product == write.product).unwrap();
                prop_assert_eq!(write.in_stock.before, stocks[i].available() > 0);
                stocks[i].on_hand += write.on_hand();
                stocks[i].reserved += write.reserved;
                prop_assert_eq!(write.in_stock.after, stocks[i].available() > 0);
                held[i] = Some(write.held);
                *known = Some(revision);
            }
            for (i, stock) in stocks.iter().enumerate() {
                let held: i64 = holds.iter().filter_map(|(_, held)| held[i]).sum();
                prop_assert_eq!(stock.reserved, held);
                prop_assert!(0 <= stock.reserved && stock.reserved <= stock.on_hand);
            }
        }
    }

    /// Units are on hand or with an order, whatever is declared in whatever sequence.
    #[test]
    fn no_move_can_lose_a_unit(
        on_hand in 0..12_i64,
        calls in prop::collection::vec(
            (0..3_usize, 1..12_i64, any::<bool>(), 0..6_i64, 0..6_i64, 0..4_i64), 0..40),
    ) {
        let mug = state(on_hand, 0, None);
        let mut stock = mug.stock;
        let mut holds = [(None::<i64>, None::<i64>, None::<Counts>); 3];
        for (order, revision, is_move, held, shipped, restocked) in calls {
            let (known, before, kept) = holds[order];
            let now = ProductState { stock, held: before, counts: kept, ..mug.clone() };
            let declaration = if is_move {
                moves(revision, &now, held, counts(shipped, restocked), counts(0, 0))
            } else {
                hold(revision, &[(&now, held)])
            };
            let decided = decide(&declaration, known, std::slice::from_ref(&now));
            if known.is_some_and(|known| known > revision) {
                prop_assert_eq!(&decided, &Err(Rejection::Superseded));
            }
            for write in decided.unwrap_or_default() {
                prop_assert_eq!(write.in_stock.before, stock.available() > 0);
                stock = write.after(stock);
                prop_assert_eq!(write.in_stock.after, stock.available() > 0);
                holds[order] = (Some(revision), Some(write.held), write.counts.or(kept));
            }
            let reserved: i64 = holds.iter().filter_map(|(_, held, _)| *held).sum();
            let kept = holds.iter().filter_map(|(_, _, kept)| *kept);
            let out: i64 = kept.map(|it| it.shipped - it.restocked).sum();
            prop_assert_eq!(stock, Stock { on_hand: on_hand - out, reserved });
            prop_assert!(0 <= stock.reserved && stock.reserved <= stock.on_hand);
        }
    }
}
