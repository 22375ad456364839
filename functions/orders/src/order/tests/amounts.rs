//! Discounts, taxes and shipping.

use super::*;

fn discount(amount: i64) -> Discount {
    Discount { label: "Welcome".to_owned(), amount }
}

fn tax(rate: &str, amount: i64, included: bool) -> Tax {
    Tax { label: "VAT".to_owned(), rate: Rate::parse(rate.to_owned()).unwrap(), amount, included }
}

fn with(item: Item, discounts: Vec<Discount>, taxes: Vec<Tax>) -> Item {
    Item { amounts: ItemAmounts { discounts, taxes }, ..item }
}

fn shipping(amount: i64, taxes: Vec<Tax>) -> Shipping {
    Shipping { label: "Standard".to_owned(), amount, taxes }
}

fn pointers(refused: Result<Order, Error>) -> Vec<String> {
    refused.unwrap_err().errors().iter().map(|error| error.pointer.clone()).collect()
}

#[test]
fn the_total_is_that_of_items_and_shipping() {
    let on_top = with(item(1000, 3), vec![discount(300), discount(1)], vec![tax("0.1", 270, false)]);
    let within = with(item(119, 1), vec![], vec![tax("0.19", 19, true)]);
    let order = place_with(
        vec![on_top, within],
        Some(shipping(500, vec![tax("0.1", 50, false), tax("0.19", 80, true)])),
    );
    let order = order.unwrap();
    let totals = order.totals();
    assert_eq!((totals.items, totals.discounts, totals.shipping), (3119, 301, 500));
    assert_eq!((totals.tax, totals.tax_included), (320, 99));
    assert_eq!((totals.total, order.total()), (3638, 3638));
    assert_eq!(order.items.iter().map(Item::total).collect::<Vec<_>>(), [2969, 119]);
    assert_eq!(order.shipping.as_ref().map(Shipping::total), Some(550));
}

#[test]
fn amounts_that_do_not_fit_the_prices_are_refused() {
    assert_eq!(
        pointers(place(vec![item(1, 1), with(item(10, 2), vec![discount(21)], vec![])])),
        ["/items/1/discounts"]
    );
    // The base is the price less the discounts.
    let taxed =
        |amount| place(vec![with(item(1000, 1), vec![discount(100)], vec![tax("0.2", amount, false)])]);
    for amount in [179, 180, 181] {
        assert_eq!(taxed(amount).unwrap().total(), 900 + amount);
    }
    for amount in [0, 178, 182, 200] {
        assert_eq!(pointers(taxed(amount)), ["/items/0/taxes/0/amount"], "{amount}");
    }
    let shipped = |amount| place_with(vec![item(1, 1)], Some(shipping(119, vec![tax("0.19", amount, true)])));
    assert!(shipped(18).is_ok());
    assert_eq!(pointers(shipped(21)), ["/shipping/taxes/0/amount"]);
    let text = shipped(21).unwrap_err().errors()[0].detail.clone();
    assert_eq!(text, "must be 19, or 1 more or less: 0.19 included in 119; got 21");
    let dear = place_with(vec![item(1_000_000_000_000, 1000)], Some(shipping(1, vec![])));
    assert_eq!(pointers(dear), ["/items"]);
}

#[test]
fn an_order_that_a_discount_makes_free_is_paid_at_once() {
    let order = place(vec![with(item(500, 2), vec![discount(1000)], vec![])]).unwrap();
    assert_eq!((order.status, order.total(), order.payment_status()), (Status::Paid, 0, PaymentStatus::Paid));
    let shipped = place_with(vec![item(0, 1)], Some(shipping(490, vec![]))).unwrap();
    assert_eq!((shipped.status, shipped.totals().due), (Status::Placed, 490));
}

/// Edits an order as staff, at the prices that it has.
fn edit(order: &Order, change: OrderChange, role: Role) -> Result<Order, Error> {
    let held: Vec<Held> = order.items.iter().map(held).collect();
    match order.clone().begin_item_change(&change, by(role), NOW)? {
        Some(intent) => Ok(intent.order.complete_item_change(change, &held, NOW)?.order),
        None => Ok(order.clone()),
    }
}

#[test]
fn new_items_have_the_amounts_that_come_with_them() {
    let order =
        place_with(vec![with(item(1000, 3), vec![discount(300)], vec![])], Some(shipping(500, vec![])));
    let order = order.unwrap();
    let fewer = |amounts| NewItem { amounts, ..NewItem::new(order.items[0].product_id, 2) };
    // Discounts go with the list, the shipping stays.
    let edited = edit(&order, change_items(vec![fewer(ItemAmounts::default())]), Role::Staff).unwrap();
    assert_eq!((edited.total(), edited.totals().discounts, edited.totals().shipping), (2500, 0, 500));
    let other = ItemAmounts { discounts: vec![discount(200)], taxes: vec![tax("0.5", 900, false)] };
    let change = OrderChange { shipping: Patch::Null, ..change_items(vec![fewer(other.clone())]) };
    assert_eq!(edit(&order, change, Role::Staff).unwrap().total(), 2000 - 200 + 900);
    // The same product and quantity with other amounts is a change.
    let same = NewItem { amounts: other, ..NewItem::new(order.items[0].product_id, 3) };
    assert_eq!(
        edit(&order, change_items(vec![same]), Role::Staff)
            .map_err(|error| error.errors()[0].pointer.clone()),
        Err("/items/0/taxes/0/amount".to_owned())
    );
}

#[test]
fn amounts_are_of_staff_alone() {
    let order = place(vec![item(1000, 3)]).unwrap();
    let discounted = NewItem {
        amounts: ItemAmounts { discounts: vec![discount(1)], taxes: vec![] },
        ..NewItem::new(order.items[0].product_id, 1)
    };
    let shipped = OrderChange {
        shipping: Patch::Null,
        ..change_items(vec![NewItem::new(order.items[0].product_id, 1)])
    };
    let billed = OrderChange { billing_address: Patch::Null, ..OrderChange::default() };
    let noted = OrderChange { internal_note: Patch::Null, ..OrderChange::default() };
    for change in [change_items(vec![discounted.clone()]), shipped, billed, noted] {
        assert_eq!(order.check_permitted(&change, by(Role::Customer)).unwrap_err().kind(), Kind::Forbidden);
        order.check_permitted(&change, by(Role::Staff)).unwrap();
    }
    let new = NewOrder { items: vec![discounted], ..NewOrder::new(Vec::new(), address()) };
    assert_eq!(new.check_permitted(by(Role::Customer)).unwrap_err().kind(), Kind::Forbidden);
    new.check_permitted(by(Role::Staff)).unwrap();

    // What staff have given a discount for, its owner does not change.
    let given = place(vec![with(item(1000, 3), vec![discount(1)], vec![])]).unwrap();
    let fewer = || change_items(vec![NewItem::new(given.items[0].product_id, 1)]);
    assert_eq!(edit(&given, fewer(), Role::Customer).unwrap_err().kind(), Kind::OrderNotEditable);
    edit(&given, fewer(), Role::Staff).unwrap();
}

#[test]
fn a_refunded_shipping_stays_as_it_is() {
    let order = place_with(vec![item(1000, 1)], Some(shipping(500, vec![]))).unwrap();
    let key = RequestKey::of_invocation(InvocationId::new());
    let origin = Origin { caller: by(Role::Staff), key: &key, now: NOW };
    let pay = NewPayment { amount: 600, reference: "pi".to_owned(), method: None, provider: None };
    let Recording::New(paid, _) = order.record_payment(pay, origin).unwrap() else { panic!("known") };
    let new = NewRefund {
        of: RefundOf::Items(Vec::new(), true),
        reason: None,
        reference: None,
        payment_id: None,
        return_id: None,
    };
    let Recording::New(refunded, refund) = paid.order.record_refund(new.clone(), origin).unwrap() else {
        panic!("known")
    };
    assert_eq!((refund.amount, refund.shipping), (500, true));
    let other = RequestKey::of_invocation(InvocationId::new());
    let again = refunded.order.clone().record_refund(new, Origin { key: &other, ..origin });
    assert_eq!(again.unwrap_err().kind(), Kind::AmountExceeded);
    let item = NewItem::new(refunded.order.items[0].product_id, 1);
    let change = OrderChange { shipping: Patch::Null, ..change_items(vec![item]) };
    assert_eq!(edit(&refunded.order, change, Role::Staff).unwrap_err().kind(), Kind::OrderNotEditable);
}

/// Item with discounts and taxes that fit its price.
fn drawn_item(most: i64) -> impl Strategy<Value = Item> {
    let amounts = (0..=1_000_000_i64, 0..=1_000_000_i128, any::<bool>(), 0..=1_000_i64, -1..=1_i64);
    (0..=1_000_000_i64, 1..=most, amounts).prop_map(
        |(price, quantity, (off, micros, included, share, beside))| {
            let item = item(price, quantity);
            let discounts = vec![discount(off.min(item.price()) * share / 1000), discount(0)];
            let base = item.price() - discounts[0].amount;
            let rate = if micros == 1_000_000 { "1".to_owned() } else { format!("0.{micros:06}") };
            let divisor = if included { 1_000_000 + micros } else { 1_000_000 };
            let exact = (2 * i128::from(base) * micros + divisor) / (2 * divisor);
            let amount = (i64::try_from(exact).unwrap() + beside).max(0);
            with(item, discounts, vec![tax(&rate, amount, included)])
        },
    )
}

proptest! {
    /// The currency changes nothing about it: all amounts are whole minor units, of whichever exponent.
    #[test]
    fn parts_add_up_to_the_total(items in prop::collection::vec(drawn_item(50), 1..6), fee in 0..10_000_i64) {
        let order = place_with(items, Some(shipping(fee, vec![]))).unwrap();
        let totals = order.totals();
        prop_assert_eq!(totals.total, totals.items - totals.discounts + totals.shipping + totals.tax);
        prop_assert_eq!(totals.total, order.total());
        let shown: i64 = order.items.iter().map(Item::total).sum();
        prop_assert_eq!(totals.total, shown + fee);
        prop_assert!(order.items.iter().all(|item| item.total() >= 0));
    }

    #[test]
    fn refunds_piece_by_piece_give_all_that_was_paid(
        items in prop::collection::vec(drawn_item(20), 1..4),
        fee in 0..10_000_i64,
        seed in any::<u64>(),
    ) {
        let order = place_with(items, Some(shipping(fee, vec![]))).unwrap();
        prop_assume!(order.status == Status::Placed);
        let staff = by(Role::Staff);
        let mut order = order.decide(to(pay()), staff, NOW).unwrap().unwrap().order;
        let total = order.total();
        let mut left: Vec<RefundOf> = vec![RefundOf::Items(Vec::new(), true)];
        for item in &order.items {
            let piece = ItemQuantity { id: order.item_id(item), quantity: 1 };
            left.extend((0..item.quantity).map(|_| RefundOf::Items(vec![piece], false)));
        }
        let mut place = seed;
        while !left.is_empty() {
            // In any order, which follows from the seed.
            place = place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let of = left.swap_remove(usize::try_from(place >> 33).unwrap() % left.len());
            let new = NewRefund { of, reason: None, reference: None, payment_id: None, return_id: None };
            let key = RequestKey::of_invocation(InvocationId::new());
            let origin = Origin { caller: staff, key: &key, now: NOW };
            let Recording::New(decision, _) = order.record_refund(new, origin).unwrap() else { panic!("known") };
            order = decision.order;
        }
        prop_assert_eq!(order.totals().refunded, total);
    }
}
