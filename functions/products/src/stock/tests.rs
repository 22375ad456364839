//! What is decided about stock, declaration by declaration.

use proptest::prelude::*;

use super::*;

fn euro() -> Currency {
    Currency::parse("EUR".to_owned()).unwrap()
}

fn shelf(on_hand: i64, reserved: i64, entry: Option<Entry>) -> Shelf {
    Shelf {
        product: ProductId::new(),
        stock: Stock { on_hand, reserved },
        active: true,
        currency: euro(),
        entry,
        live: 1,
        entries: 2,
    }
}

fn declare(movement: Movement, revision: i64, lines: &[(&Shelf, i64)]) -> Declaration {
    let lines =
        lines.iter().map(|(shelf, quantity)| Line { product: shelf.product, quantity: *quantity }).collect();
    Declaration { order: OrderId::new(), revision, movement, lines }
}

fn hold(revision: i64, lines: &[(&Shelf, i64)]) -> Declaration {
    declare(Movement::Hold, revision, lines)
}

#[test]
fn the_last_piece_can_be_held_and_not_one_more() {
    let mug = shelf(10, 9, None);
    assert!(decide(&hold(1, &[(&mug, 1)]), std::slice::from_ref(&mug)).is_ok());
    let refusal = decide(&hold(1, &[(&mug, 2)]), std::slice::from_ref(&mug)).unwrap_err();
    let shortage = Shortage { product: mug.product, requested: 2, available: 1 };
    assert_eq!(refusal, Refusal::Short(vec![shortage]));
}

#[test]
fn every_shortage_is_named() {
    let shelves = [shelf(1, 0, None), shelf(5, 0, None), shelf(0, 0, None)];
    let lines: Vec<_> = shelves.iter().map(|shelf| (shelf, 2)).collect();
    let Err(Refusal::Short(shortages)) = decide(&hold(1, &lines), &shelves) else { panic!("not refused") };
    assert_eq!(shortages.iter().map(|short| short.available).collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn the_same_revision_again_changes_nothing() {
    let mug = shelf(10, 2, Some(Entry { quantity: 2, revision: 3 }));
    assert_eq!(decide(&hold(3, &[(&mug, 2)]), std::slice::from_ref(&mug)), Ok(Vec::new()));
}

#[test]
fn a_late_call_cannot_revive_a_hold_that_has_ended() {
    let mug = shelf(10, 0, Some(Entry { quantity: 0, revision: 2 }));
    assert_eq!(decide(&hold(1, &[(&mug, 2)]), std::slice::from_ref(&mug)), Err(Refusal::Superseded));
}

#[test]
fn an_empty_hold_frees_all_and_leaves_tombstones() {
    let mug = shelf(10, 5, Some(Entry { quantity: 3, revision: 1 }));
    let writes = decide(&hold(2, &[]), std::slice::from_ref(&mug)).unwrap();
    let entry = Entry { quantity: 0, revision: 2 };
    assert_eq!(writes, [ShelfWrite { product: mug.product, on_hand: 0, reserved: -3, live: -1, entry }]);
}

#[test]
fn a_line_that_does_not_grow_is_never_refused() {
    let mut mug = shelf(3, 3, Some(Entry { quantity: 3, revision: 1 }));
    mug.active = false;
    assert!(decide(&hold(2, &[(&mug, 2)]), std::slice::from_ref(&mug)).is_ok());
    assert!(decide(&hold(2, &[(&mug, 3)]), std::slice::from_ref(&mug)).is_ok());
    assert!(decide(&hold(2, &[(&mug, 4)]), std::slice::from_ref(&mug)).is_err());
}

#[test]
fn what_cannot_be_ordered_is_told_before_what_is_short() {
    let mut draft = shelf(0, 0, None);
    draft.active = false;
    let mut yen = shelf(0, 0, None);
    yen.currency = Currency::parse("JPY".to_owned()).unwrap();
    let mug = shelf(0, 0, None);
    let unknown = shelf(0, 0, None);
    let declaration = hold(1, &[(&mug, 1), (&draft, 1), (&yen, 1), (&unknown, 1)]);
    let other = Unorderable::OtherCurrency { this: yen.currency, first: euro() };
    let shelves = [draft.clone(), yen.clone(), mug.clone()];
    let expected = vec![(1, Unorderable::NotActive), (2, other), (3, Unorderable::NotActive)];
    assert_eq!(decide(&declaration, &shelves), Err(Refusal::Unorderable(expected)));
}

#[test]
fn shipping_takes_off_the_hand_and_ends_the_hold() {
    let mug = shelf(10, 5, Some(Entry { quantity: 3, revision: 1 }));
    let writes = decide(&declare(Movement::Ship, 3, &[(&mug, 3)]), std::slice::from_ref(&mug)).unwrap();
    let entry = Entry { quantity: 0, revision: 3 };
    assert_eq!(writes, [ShelfWrite { product: mug.product, on_hand: -3, reserved: -3, live: -1, entry }]);
}

#[test]
fn a_restock_leaves_its_mark_where_no_entry_is_left() {
    let mug = shelf(10, 5, None);
    let writes = decide(&declare(Movement::Restock, 5, &[(&mug, 3)]), std::slice::from_ref(&mug)).unwrap();
    let entry = Entry { quantity: 0, revision: 5 };
    assert_eq!(writes, [ShelfWrite { product: mug.product, on_hand: 3, reserved: 0, live: 0, entry }]);
}

#[test]
fn a_full_product_takes_no_further_hold_and_refuses_nothing_else() {
    let full = |entry| Shelf { live: MAX_LIVE_HOLDS, entries: MAX_LIVE_HOLDS, ..shelf(10, 5, entry) };
    let new = full(None);
    let refusal = Err(Refusal::TooManyHolds(vec![new.product]));
    assert_eq!(decide(&hold(1, &[(&new, 1)]), std::slice::from_ref(&new)), refusal);
    // One that has ended is new again; one that is live may grow, shrink, end, and be shipped.
    let ended = full(Some(Entry { quantity: 0, revision: 1 }));
    assert!(decide(&hold(2, &[(&ended, 1)]), std::slice::from_ref(&ended)).is_err());
    let live = full(Some(Entry { quantity: 2, revision: 1 }));
    for declaration in [
        hold(2, &[(&live, 3)]),
        hold(2, &[(&live, 1)]),
        hold(2, &[]),
        declare(Movement::Ship, 2, &[(&live, 2)]),
        declare(Movement::Restock, 2, &[(&live, 2)]),
    ] {
        assert!(decide(&declaration, std::slice::from_ref(&live)).is_ok(), "{declaration:?}");
    }
    assert!(decide(&declare(Movement::Restock, 2, &[(&new, 2)]), std::slice::from_ref(&new)).is_ok());
    let nearly = Shelf { live: MAX_LIVE_HOLDS - 1, ..new };
    assert!(decide(&hold(1, &[(&nearly, 1)]), std::slice::from_ref(&nearly)).is_ok());
}

#[test]
fn entries_that_have_ended_count_too() {
    let new = Shelf { entries: MAX_ENTRIES, ..shelf(10, 5, None) };
    let refusal = Err(Refusal::TooManyHolds(vec![new.product]));
    assert_eq!(decide(&hold(1, &[(&new, 1)]), std::slice::from_ref(&new)), refusal);
    // Its own entry is there already, and becomes no second one.
    let known = Shelf { entries: MAX_ENTRIES, ..shelf(10, 5, Some(Entry { quantity: 0, revision: 1 })) };
    assert!(decide(&hold(2, &[(&known, 1)]), std::slice::from_ref(&known)).is_ok());
}

#[test]
fn every_full_product_is_named_and_what_is_short_is_told_first() {
    let full = || Shelf { live: MAX_LIVE_HOLDS, ..shelf(10, 5, None) };
    let shelves = [full(), shelf(10, 5, None), full()];
    let lines: Vec<_> = shelves.iter().map(|shelf| (shelf, 1)).collect();
    let refusal = Err(Refusal::TooManyHolds(vec![shelves[0].product, shelves[2].product]));
    assert_eq!(decide(&hold(1, &lines), &shelves), refusal);
    let lines: Vec<_> = shelves.iter().map(|shelf| (shelf, 6)).collect();
    assert!(matches!(decide(&hold(1, &lines), &shelves), Err(Refusal::Short(short)) if short.len() == 3));
}

fn movement() -> impl Strategy<Value = Movement> {
    prop_oneof![Just(Movement::Hold), Just(Movement::Ship), Just(Movement::Restock)]
}

proptest! {
    /// Whatever is declared, in whatever order, stock stays possible, and `reserved` is what entries hold.
    #[test]
    fn no_declaration_can_break_the_invariants(
        on_hand in prop::collection::vec(0..20_i64, 1..4),
        calls in prop::collection::vec(
            (0..4_usize, 1..8_i64, movement(), prop::collection::vec(0..12_i64, 3)), 0..40),
    ) {
        let shelves: Vec<Shelf> = on_hand.iter().map(|&count| shelf(count, 0, None)).collect();
        let mut live = vec![0; shelves.len()];
        let mut stocks: Vec<Stock> = shelves.iter().map(|shelf| shelf.stock).collect();
        let mut entries = vec![vec![None::<Entry>; shelves.len()]; 4];
        for (order, revision, movement, quantities) in calls {
            let now: Vec<Shelf> = shelves.iter().enumerate().map(|(i, shelf)| Shelf {
                stock: stocks[i], entry: entries[order][i], ..shelf.clone()
            }).collect();
            let lines: Vec<(&Shelf, i64)> =
                now.iter().zip(&quantities).filter(|(_, q)| **q > 0).map(|(s, q)| (s, *q)).collect();
            let known: Vec<Shelf> = now.iter().filter(|shelf| {
                shelf.entry.is_some() || lines.iter().any(|(line, _)| line.product == shelf.product)
            }).cloned().collect();
            for write in decide(&declare(movement, revision, &lines), &known).unwrap_or_default() {
                let i = shelves.iter().position(|shelf| shelf.product == write.product).unwrap();
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
