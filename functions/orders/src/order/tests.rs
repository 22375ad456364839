//! Decisions about orders.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use shared::auth::Role;
use shared::error::Kind;
use shared::http::idempotency::RequestKey;
use shared::input::validation::Patch;
use shared::runtime::context::InvocationId;

use super::*;

mod amounts;
mod parts;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const LATER: Timestamp = Timestamp::from_millis(1_800_000_000_001);

fn item(amount: i64, quantity: i64) -> Item {
    let currency = Currency::parse("EUR".to_owned()).unwrap();
    Item {
        product_id: ProductId::new(),
        sku: "MUG".to_owned(),
        name: "Mug".to_owned(),
        unit_price: Money::new(amount, currency).unwrap(),
        quantity,
        amounts: ItemAmounts::default(),
    }
}

fn address() -> Address {
    Address {
        name: None,
        company: None,
        phone: None,
        line1: "1 Way".to_owned(),
        line2: None,
        city: "Bonn".to_owned(),
        region: None,
        postal_code: None,
        country: "DE".to_owned(),
    }
}

fn place(items: Vec<Item>) -> Result<Order, Error> {
    place_with(items, None)
}

fn place_with(items: Vec<Item>, shipping: Option<Shipping>) -> Result<Order, Error> {
    let user = UserId::new();
    let placing = PlacementContext {
        id: OrderId::new(),
        number: Number::from_bits(7),
        user_id: user,
        by: user,
        under: None,
        at: NOW,
        expires_at: LATER,
        open_slot: Some(3),
    };
    let new = NewOrder { shipping, ..NewOrder::new(Vec::new(), address()) };
    Order::place(placing, new, items)
}

fn by(role: Role) -> Caller {
    Caller::User { id: UserId::new(), role }
}

fn to(transition: Transition) -> OrderChange {
    OrderChange { status: Some(transition.to()), transition: Ok(Some(transition)), ..OrderChange::default() }
}

fn pay() -> Transition {
    Transition::Pay { reference: "pi_1".to_owned(), method: None }
}

fn ship() -> Transition {
    Transition::Ship(Tracking { carrier: "DHL".to_owned(), number: "1".to_owned(), url: None })
}

#[test]
fn each_decision_makes_one_version_and_names_its_task() {
    let order = place(vec![item(500, 2)]).unwrap();
    assert_eq!(order.total(), 1000);
    let paid = order.decide(to(pay()), by(Role::Staff), NOW).unwrap().unwrap();
    assert_eq!((paid.order.version, paid.task, paid.order.expires_at), (2, None, None));
    let shipped = paid.order.decide(to(ship()), by(Role::Staff), NOW).unwrap().unwrap();
    assert_eq!(shipped.task, Some(Task::new(3, TaskKind::Move)));
    assert_eq!(shipped.order.history.len(), 5);
}

#[test]
fn the_current_status_is_no_change_and_ignores_other_fields() {
    let order = place(vec![item(500, 2)]).unwrap();
    let paid = order.decide(to(pay()), by(Role::Staff), NOW).unwrap().unwrap().order;
    let mut errors = ValidationErrors::default();
    errors.add("/payment", "is required");
    let again = OrderChange {
        status: Some(Status::Paid),
        transition: Err(errors),
        note: Patch::Value("x".to_owned()),
        ..OrderChange::default()
    };
    assert_eq!(paid.decide(again, by(Role::Customer), NOW).unwrap(), None);
}

#[test]
fn a_repeated_cancellation_that_settled_the_order_is_no_change() {
    let order = place(vec![item(500, 2)]).unwrap();
    let paid = order.decide(to(pay()), by(Role::Staff), NOW).unwrap().unwrap().order;
    let key = RequestKey::of_invocation(InvocationId::new());
    let refunded = applied(&paid, &Request::RefundAmount(1000), &key).unwrap();
    assert_eq!(refunded.status, Status::Paid);
    let cancelled = refunded.decide(to(Transition::Cancel), by(Role::Staff), NOW).unwrap().unwrap();
    assert_eq!((cancelled.order.status, cancelled.entries.len()), (Status::Refunded, 2));
    assert_eq!(cancelled.task.map(|task| task.kind), Some(TaskKind::Release));
    assert_eq!(cancelled.order.decide(to(Transition::Cancel), by(Role::Staff), NOW).unwrap(), None);
}

#[test]
fn units_that_are_refunded_stay_in_the_order() {
    let mug = item(500, 3);
    let order = place(vec![mug.clone(), item(1, 1)]).unwrap();
    let key = RequestKey::of_invocation(InvocationId::new());
    let paid = applied(&order, &Request::Pay(1000), &key).unwrap();
    let refunded = applied(&paid, &Request::RefundUnits(0, 2), &key).unwrap();
    for fewer in [vec![wanted(&mug, 1)], vec![wanted(&item(1, 1), 1)]] {
        let refused = refunded.clone().begin_item_change(&change_items(fewer), by(Role::Staff), NOW);
        assert_eq!(refused.unwrap_err().kind(), Kind::OrderNotEditable);
    }
    let enough = change_items(vec![wanted(&mug, 2)]);
    assert!(refunded.begin_item_change(&enough, by(Role::Staff), NOW).unwrap().is_some());
}

#[test]
fn a_shipped_order_cannot_be_cancelled() {
    let order = place(vec![item(500, 2)]).unwrap();
    let paid = order.decide(to(pay()), by(Role::Staff), NOW).unwrap().unwrap().order;
    let shipped = paid.decide(to(ship()), by(Role::Staff), NOW).unwrap().unwrap().order;
    let error = shipped.decide(to(Transition::Cancel), by(Role::Staff), NOW).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidTransition);
    assert_eq!(error.member("allowed"), Some(&json!(["delivered", "returned"])));
}

#[test]
fn an_owner_edits_while_placed_and_staff_longer() {
    let order = place(vec![item(500, 2)]).unwrap();
    let note = || OrderChange { note: Patch::Value("ring twice".to_owned()), ..OrderChange::default() };
    let moved = || OrderChange { shipping_address: Some(address()), ..OrderChange::default() };
    assert!(order.clone().decide(note(), by(Role::Customer), NOW).unwrap().is_some());
    let paid = order.decide(to(pay()), by(Role::Staff), NOW).unwrap().unwrap().order;
    let refused = paid.clone().decide(note(), by(Role::Customer), NOW).unwrap_err();
    assert_eq!(refused.kind(), Kind::OrderNotEditable);
    assert!(paid.clone().decide(note(), by(Role::Staff), NOW).unwrap().is_some());
    assert!(paid.clone().decide(moved(), by(Role::Staff), NOW).is_ok());
    let shipped = paid.decide(to(ship()), by(Role::Staff), NOW).unwrap().unwrap().order;
    assert_eq!(shipped.decide(moved(), by(Role::Staff), NOW).unwrap_err().kind(), Kind::OrderNotEditable);
}

#[test]
fn a_total_ends_at_ten_to_the_fifteenth() {
    assert!(place(vec![item(1_000_000_000_000, 1000)]).is_ok());
    let error = place(vec![item(1_000_000_000_000, 1000), item(1, 1)]).unwrap_err();
    assert_eq!(error.errors()[0].pointer, "/items");
    assert!(place(vec![item(1_000_000_000_000, 10_000); 100]).is_err());
}

fn change_items(items: Vec<NewItem>) -> OrderChange {
    OrderChange { items: Some(items), ..OrderChange::default() }
}

fn wanted(item: &Item, quantity: i64) -> NewItem {
    NewItem { amounts: item.amounts.clone(), ..NewItem::new(item.product_id, quantity) }
}

fn held(item: &Item) -> Held {
    Held { item: item.clone(), active: true }
}

#[test]
fn a_change_of_items_is_an_intent_and_then_a_decision() {
    let (mug, pot, cup) = (item(500, 2), item(700, 5), item(100, 1));
    let order = place(vec![mug.clone(), pot.clone()]).unwrap();
    let items = vec![wanted(&cup, 3), wanted(&pot, 4), wanted(&mug, 9)];
    let change = change_items(items.clone());
    let intent = order.begin_item_change(&change, by(Role::Customer), NOW).unwrap().unwrap();
    assert_eq!((intent.order.version, intent.task, intent.order.total()), (2, None, 4500));
    let larger = intent.order.max_per_product(&items);
    assert_eq!(larger, [wanted(&cup, 3), wanted(&pot, 5), wanted(&mug, 9)]);
    // Both are dearer by now. Four pots are in the order already, and nine mugs are not.
    let price = item(900, 0).unit_price;
    let dearer = |item: &Item| held(&Item { unit_price: price, ..item.clone() });
    let all = [held(&cup), dearer(&pot), dearer(&mug)];
    let finished = intent.order.complete_item_change(change, &all, NOW).unwrap();
    assert_eq!(finished.task, Some(Task::new(3, TaskKind::Hold)));
    assert_eq!(finished.order.total(), 300 + 2800 + 8100);
    assert!(!finished.order.changing);
}

#[test]
fn more_of_an_item_needs_an_active_product_in_its_currency() {
    let mug = item(500, 2);
    let finish = |now: Held, quantity: i64| {
        let (order, cup) = (place(vec![mug.clone()]).unwrap(), item(1, 1));
        let change = change_items(vec![wanted(&mug, quantity), wanted(&cup, 1)]);
        let intent = order.begin_item_change(&change, by(Role::Customer), NOW).unwrap().unwrap().order;
        intent.complete_item_change(change, &[now, held(&cup)], NOW)
    };
    let archived = Held { item: mug.clone(), active: false };
    let yen = Money::new(500, Currency::parse("JPY".to_owned()).unwrap()).unwrap();
    let in_yen = held(&Item { unit_price: yen, ..mug.clone() });
    for changed in [archived, in_yen] {
        assert!(finish(changed.clone(), 1).is_ok());
        assert!(finish(changed.clone(), 2).is_ok());
        assert_eq!(finish(changed, 3).unwrap_err().errors()[0].pointer, "/items/0/product_id");
    }
}

#[test]
fn an_order_of_several_currencies_is_refused() {
    let yen = Money::new(5, Currency::parse("JPY".to_owned()).unwrap()).unwrap();
    let refused = place(vec![item(1, 1), Item { unit_price: yen, ..item(1, 1) }]).unwrap_err();
    assert_eq!(refused.errors()[0].pointer, "/items/1/product_id");
}

#[test]
fn a_product_that_goes_is_held_until_the_decision() {
    let (mug, pot) = (item(500, 2), item(700, 5));
    let order = place(vec![mug.clone(), pot.clone()]).unwrap();
    assert_eq!(order.max_per_product(&[wanted(&pot, 1)]), [wanted(&pot, 5), wanted(&mug, 2)]);
}

#[test]
fn the_items_that_it_has_are_no_change() {
    let mug = item(500, 2);
    let order = place(vec![mug.clone()]).unwrap();
    assert_eq!(
        order.begin_item_change(&change_items(vec![wanted(&mug, 2)]), by(Role::Staff), NOW).unwrap(),
        None
    );
}

#[test]
fn items_change_while_placed_and_no_longer() {
    let mug = item(500, 2);
    let order = place(vec![mug.clone()]).unwrap();
    let paid = order.decide(to(pay()), by(Role::Staff), NOW).unwrap().unwrap().order;
    let refused =
        paid.begin_item_change(&change_items(vec![wanted(&mug, 1)]), by(Role::Staff), NOW).unwrap_err();
    assert_eq!(refused.kind(), Kind::OrderNotEditable);
}

#[test]
fn another_decision_ends_a_change_and_declares_what_it_leaves() {
    let mug = item(500, 2);
    let intent = |change: &OrderChange| {
        let order = place(vec![mug.clone()]).unwrap();
        order.begin_item_change(change, by(Role::Staff), NOW).unwrap().unwrap().order
    };
    let change = change_items(vec![wanted(&mug, 5)]);
    let hold = Some(Task::new(3, TaskKind::Hold));
    let paid = intent(&change).decide(to(pay()), by(Role::Staff), NOW).unwrap().unwrap();
    assert_eq!((paid.task, paid.order.changing, paid.order.items[0].quantity), (hold.clone(), false, 2));
    assert_eq!(intent(&change).abandon(NOW).task, hold);
    let cancelled = intent(&change).decide(to(Transition::Cancel), by(Role::Staff), NOW).unwrap().unwrap();
    assert_eq!(cancelled.task, Some(Task::new(3, TaskKind::Release)));
    // A change without effect does not end it.
    assert_eq!(intent(&change).decide(OrderChange::default(), by(Role::Staff), NOW).unwrap(), None);
}

#[test]
fn new_items_must_be_active_in_currency_and_within_the_total() {
    let mug = item(500, 2);
    let finish = |new: Item, active: bool, quantity: i64| {
        let order = place(vec![mug.clone()]).unwrap();
        let change = change_items(vec![wanted(&mug, 2), wanted(&new, quantity)]);
        let intent = order.begin_item_change(&change, by(Role::Staff), NOW).unwrap().unwrap().order;
        intent.complete_item_change(change, &[held(&mug), Held { item: new, active }], NOW)
    };
    assert!(finish(item(1, 1), true, 1).is_ok());
    let archived = finish(item(1, 1), false, 1).unwrap_err();
    assert_eq!(archived.errors()[0].pointer, "/items/1/product_id");
    let yen = Currency::parse("JPY".to_owned()).unwrap();
    let yen = finish(Item { unit_price: Money::new(1, yen).unwrap(), ..item(1, 1) }, true, 1).unwrap_err();
    assert_eq!(yen.errors()[0].pointer, "/items/1/product_id");
    let dear = finish(item(1_000_000_000_000, 1), true, 1000).unwrap_err();
    assert_eq!(dear.errors()[0].pointer, "/items");
}

#[test]
fn staff_move_the_payment_deadline_of_a_placed_order() {
    let order = place(vec![item(500, 2)]).unwrap();
    let move_to = |expires_at| OrderChange { expires_at, ..OrderChange::default() };
    let day = Duration::from_secs(24 * 60 * 60);
    let (later, latest) = (NOW.after(day), NOW.after(day * 180));
    for at in [later, latest] {
        let moved = order.clone().decide(move_to(Patch::Value(at)), by(Role::Staff), NOW).unwrap().unwrap();
        assert_eq!((moved.order.expires_at, moved.order.version), (Some(at), 2));
        assert!(moved.order.expire(LATER).is_none());
    }
    for at in [NOW, NOW.before(day), latest.after(Duration::from_millis(1))] {
        let error = order.clone().decide(move_to(Patch::Value(at)), by(Role::Staff), NOW).unwrap_err();
        assert_eq!(error.errors()[0].pointer, "/expires_at");
    }
    let never = order.clone().decide(move_to(Patch::Null), by(Role::Staff), NOW).unwrap().unwrap().order;
    assert!(never.clone().expire(latest).is_none());
    assert_eq!(never.decide(move_to(Patch::Null), by(Role::Staff), NOW).unwrap(), None);

    let owner = order.clone().decide(move_to(Patch::Null), by(Role::Customer), NOW).unwrap_err();
    assert_eq!(owner.kind(), Kind::Forbidden);
    let paid = order.decide(to(pay()), by(Role::Staff), NOW).unwrap().unwrap().order;
    let late = paid.decide(move_to(Patch::Value(later)), by(Role::Staff), NOW).unwrap_err();
    assert_eq!(late.kind(), Kind::OrderNotEditable);
}

#[test]
fn a_deadline_is_moved_together_with_items_or_not_at_all() {
    let order = place(vec![item(500, 2)]).unwrap();
    let items = vec![NewItem::new(order.items[0].product_id, 1)];
    let change = |at| OrderChange { expires_at: Patch::Value(at), ..change_items(items.clone()) };
    assert!(order.clone().begin_item_change(&change(NOW), by(Role::Staff), NOW).is_err());
    let intent = order.begin_item_change(&change(LATER), by(Role::Staff), NOW).unwrap().unwrap().order;
    let done = intent.complete_item_change(change(LATER), &[], NOW).unwrap().order;
    assert_eq!((done.expires_at, done.items[0].quantity), (Some(LATER), 1));
}

#[test]
fn an_unpaid_order_expires_at_its_time_and_a_paid_one_never() {
    let order = place(vec![item(500, 2)]).unwrap();
    assert_eq!(order.clone().expire(NOW), None);
    let expired = order.clone().expire(LATER).unwrap();
    assert_eq!(expired.task, Some(Task::new(2, TaskKind::Release)));
    assert!(expired.is_expiry());
    let change = expired.entries[0].clone();
    assert_eq!(
        (change.to(), change.by, change.reason.as_deref()),
        (Some(Status::Cancelled), None, Some("payment-timeout"))
    );
    let paid = order.decide(to(pay()), by(Role::Staff), NOW).unwrap().unwrap();
    assert!(!paid.is_expiry());
    assert_eq!(paid.order.expire(LATER), None);
}

/// Request about the money of an order, for the property test.
#[derive(Clone, Debug)]
enum Request {
    Pay(i64),
    RefundAmount(i64),
    RefundUnits(usize, i64),
    Move(Transition),
    Expire,
    Edit(i64),
}

fn requests() -> impl Strategy<Value = Vec<Request>> {
    let moves = vec![
        pay(),
        ship(),
        Transition::Cancel,
        Transition::Deliver,
        Transition::Return { restock: true },
        Transition::Refund { reference: "re_1".to_owned() },
    ];
    let request = prop_oneof![
        (1..2_000_i64).prop_map(Request::Pay),
        (1..2_000_i64).prop_map(Request::RefundAmount),
        (0..2_usize, 1..4_i64).prop_map(|(item, units)| Request::RefundUnits(item, units)),
        prop::sample::select(moves).prop_map(Request::Move),
        Just(Request::Expire),
        (1..5_i64).prop_map(Request::Edit),
    ];
    prop::collection::vec(request, 1..40)
}

/// Applies a request. `None`: it was refused, or changes nothing.
fn applied(order: &Order, request: &Request, key: &RequestKey) -> Option<Order> {
    let origin = Origin { caller: by(Role::Staff), key, now: LATER };
    let refund = |of| {
        let new = NewRefund { of, reason: None, reference: None, payment_id: None, return_id: None };
        match order.clone().record_refund(new, origin) {
            Ok(Recording::New(decision, _)) => Some(decision.order),
            _ => None,
        }
    };
    match request.clone() {
        Request::Pay(amount) => {
            let reference = key.key.as_str().to_owned();
            let new = NewPayment { amount, reference, method: None, provider: None };
            match order.clone().record_payment(new, origin) {
                Ok(Recording::New(decision, _)) => Some(decision.order),
                _ => None,
            }
        }
        Request::RefundAmount(amount) => refund(RefundOf::Amount(amount)),
        Request::RefundUnits(item, quantity) => {
            let id = order.item_id(&order.items[item]);
            refund(RefundOf::Items(vec![ItemQuantity { id, quantity }], false))
        }
        Request::Move(transition) => {
            order.clone().decide(to(transition), by(Role::Staff), LATER).ok()?.map(|decision| decision.order)
        }
        Request::Expire => order.clone().expire(LATER).map(|decision| decision.order),
        Request::Edit(quantity) => {
            let mut items: Vec<NewItem> =
                order.items.iter().map(|item| wanted(item, item.quantity)).collect();
            items[0].quantity = quantity;
            let change = change_items(items);
            let intent = order.clone().begin_item_change(&change, by(Role::Staff), NOW).ok()??;
            let held: Vec<Held> = order.items.iter().map(held).collect();
            Some(intent.order.complete_item_change(change, &held, LATER).ok()?.order)
        }
    }
}

proptest! {
    #[test]
    fn money_adds_up_after_any_requests(requests in requests()) {
        let mut order = place(vec![item(333, 3), item(1, 2)]).unwrap();
        for request in requests {
            let key = RequestKey::of_invocation(InvocationId::new());
            let Some(after) = applied(&order, &request, &key) else { continue };
            let (before, totals) = (order.totals(), after.totals());
            prop_assert!(totals.refunded <= totals.paid, "{request:?}: {totals:?}");
            prop_assert!(totals.paid >= before.paid && totals.refunded >= before.refunded);
            prop_assert_eq!(totals.paid, after.payments.iter().map(|payment| payment.amount).sum::<i64>());
            prop_assert_eq!(totals.refunded, after.refunds.iter().map(|refund| refund.amount).sum::<i64>());
            prop_assert!(after.version > order.version);
            for (item, units) in after.items.iter().zip(after.counters()) {
                prop_assert!(units.refunded <= item.quantity);
            }
            // Each is settled: nothing that is paid in full is left placed.
            prop_assert!(after.status != Status::Placed || totals.paid < totals.payable());
            prop_assert!(after.status != Status::Placed || after.expires_at.is_some());
            if after.status == Status::Cancelled {
                prop_assert_eq!(totals.refund_due, totals.paid - totals.refunded);
            }
            order = after;
        }
    }
}
