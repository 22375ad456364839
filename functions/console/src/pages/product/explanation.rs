//! Explanation of the units on hand: the sentence that adds up the ledger.

use maud::{Markup, html};
use proto::Timestamp;
use proto::products::v1::StockMovement;

use crate::layout;
use crate::texts::product as texts;

/// Reasons that the products function gives, as in its ledger.
const INITIAL: &str = "initial";
const SHIPPED: &str = "shipped";
const UNSHIPPED: &str = "unshipped";
const RETURNED: &str = "returned";

/// Balance before the movements that are added up.
#[derive(Debug, PartialEq)]
enum Start {
    /// First count of the product: no earlier movement exists.
    First(i64),
    /// Balance before the oldest movement of the page, and the time of that movement.
    Earlier(i64, Option<Timestamp>),
}

/// Units on hand, as a start and the sums of the movements since.
#[derive(Debug, PartialEq)]
pub(super) struct Explanation {
    on_hand: i64,
    start: Start,
    /// Sums above 0, each with its words.
    sums: Vec<(i64, &'static str)>,
}

impl Explanation {
    /// Adds up the newest page of a ledger, newest first. `None` if it is empty.
    pub(super) fn new(movements: &[StockMovement], is_whole: bool) -> Option<Self> {
        let (newest, oldest) = (movements.first()?, movements.last()?);
        let before = oldest.on_hand.saturating_sub(oldest.delta);
        // A product that began with 0 has no initial count.
        let begins = is_whole && oldest.reason.as_deref() == Some(INITIAL) && before == 0;
        let start = match (begins, is_whole) {
            (true, _) => Start::First(oldest.on_hand),
            (false, true) => Start::First(before),
            (false, false) => Start::Earlier(before, oldest.at),
        };
        let mut sums = texts::CAUSES.map(|words| (0_i64, words));
        // The first count is the start itself.
        let since = movements.iter().rev().skip(usize::from(begins));
        for movement in since {
            let cause = cause(movement);
            if let Some((sum, _)) = sums.iter_mut().find(|(_, words)| *words == cause) {
                *sum = sum.saturating_add(movement.delta.saturating_abs());
            }
        }
        let sums = sums.into_iter().filter(|(sum, _)| *sum != 0).collect();
        Some(Self { on_hand: newest.on_hand, start, sums })
    }

    /// Renders it as one sentence.
    pub(super) fn sentence(&self) -> Markup {
        html! {
            (texts::on_hand(self.on_hand))
            @match &self.start {
                Start::First(units) => { (units) " " (texts::AT_FIRST) }
                Start::Earlier(units, at) => { (texts::from_earlier(*units)) (layout::time(at.as_ref())) }
            }
            @for (sum, words) in &self.sums { ", " (sum) " " (words) }
            "."
        }
    }
}

/// Sentence for a product without any movement.
pub(super) fn never_moved(on_hand: i64) -> Markup {
    html! { (texts::on_hand(on_hand)) (texts::NEVER_MOVED) "." }
}

/// Words for the cause of a movement. Only those of orders name one; a person may type any reason.
fn cause(movement: &StockMovement) -> &'static str {
    let adds = movement.delta > 0;
    match (movement.order_id.is_some(), movement.reason.as_deref(), adds) {
        (true, Some(SHIPPED), false) => texts::SHIPPED,
        (true, Some(UNSHIPPED), true) => texts::UNSHIPPED,
        (true, Some(RETURNED), true) => texts::RETURNED,
        (true, _, true) => texts::ORDERS_UP,
        (true, _, false) => texts::ORDERS_DOWN,
        (false, _, true) => texts::COUNTED_UP,
        (false, _, false) => texts::COUNTED_DOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ledger of these changes, oldest first in the list, newest first in the result.
    fn ledger(before: i64, changes: &[(i64, &str, bool)]) -> Vec<StockMovement> {
        let mut on_hand = before;
        let mut movements: Vec<StockMovement> = changes
            .iter()
            .map(|(delta, reason, of_order)| {
                on_hand += delta;
                StockMovement {
                    at: Some(Timestamp { seconds: 1_793_700_000, nanos: 0 }),
                    delta: *delta,
                    on_hand,
                    reserved: 0,
                    reason: (!reason.is_empty()).then(|| (*reason).to_owned()),
                    order_id: of_order.then(|| "order_1".to_owned()),
                    by: "system".to_owned(),
                }
            })
            .collect();
        movements.reverse();
        movements
    }

    fn words(movements: &[StockMovement], is_whole: bool) -> String {
        Explanation::new(movements, is_whole).unwrap().sentence().into_string()
    }

    #[test]
    fn a_whole_ledger_adds_up_to_the_units_on_hand() {
        let movements = ledger(
            0,
            &[
                (70, "initial", false),
                (-12, "shipped", true),
                (-8, "shipped", true),
                (3, "unshipped", true),
                (2, "returned", true),
                (-5, "counted", false),
                (-4, "", false),
                (1, "found", false),
            ],
        );
        assert_eq!(
            words(&movements, true),
            "47 on hand: 70 at first, 20 shipped, 3 back from cancelled fulfillments, 2 returned, 1 counted up, \
             9 counted down."
        );
    }

    #[test]
    fn a_part_of_a_ledger_begins_with_an_earlier_balance() {
        let movements = ledger(80, &[(-30, "shipped", true), (-3, "counted", false)]);
        let words = words(&movements, false);
        assert!(words.starts_with("47 on hand: from 80 on <time"), "{words}");
        assert!(words.ends_with("</time>, 30 shipped, 3 counted down."), "{words}");
    }

    #[test]
    fn a_product_that_began_with_nothing_is_explained() {
        assert_eq!(words(&ledger(0, &[(5, "", false)]), true), "5 on hand: 0 at first, 5 counted up.");
        assert_eq!(words(&ledger(0, &[(5, "initial", false)]), true), "5 on hand: 5 at first.");
        assert_eq!(Explanation::new(&[], true), None);
        assert_eq!(never_moved(0).into_string(), "0 on hand: nothing was ever on hand.");
    }

    #[test]
    fn a_reason_that_a_person_typed_is_a_count() {
        let movements = ledger(0, &[(9, "initial", false), (-2, "shipped", false), (1, "initial", false)]);
        assert_eq!(words(&movements, true), "8 on hand: 9 at first, 1 counted up, 2 counted down.");
    }

    #[test]
    fn units_that_an_order_takes_back_are_told_apart() {
        let movements = ledger(0, &[(9, "initial", false), (-1, "returned", true), (2, "later", true)]);
        assert_eq!(
            words(&movements, true),
            "10 on hand: 9 at first, 2 put back by orders, 1 taken by orders."
        );
    }
}
