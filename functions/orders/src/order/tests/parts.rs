//! Fulfillments, cancellations and returns, alone and in random histories.

use std::collections::BTreeMap;

use super::*;
use crate::status::Actor;

const WINDOW: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Request about the parts of an order. Items, fulfillments and returns are named by their place.
#[derive(Clone, Debug)]
enum Wish {
    Ship(Vec<(usize, i64)>),
    ShipLeft,
    Unship(usize),
    Deliver(usize),
    Correct(usize, i64),
    Cancel(Vec<(usize, i64)>),
    CancelLeft,
    Return(Vec<(usize, i64)>),
    Approve(usize),
    Reject(usize),
    Receive(usize, i64, i64),
    EndReturn(usize),
    Money(Request),
}

fn shipping(order: &Order) -> OrderFulfillmentStatus {
    order.fulfillment_status(&order.counters())
}

fn returning(order: &Order) -> OrderReturnStatus {
    order.return_status(&order.counters())
}

fn shop() -> Caller {
    by(Role::Staff)
}

fn parcel(number: &str) -> Tracking {
    Tracking { carrier: "DHL".to_owned(), number: number.to_owned(), url: None }
}

fn units(order: &Order, of: &[(usize, i64)]) -> Vec<ItemQuantity> {
    let unit = |&(place, quantity): &(usize, i64)| {
        let item = &order.items[place];
        ItemQuantity { id: order.item_id(item), quantity }
    };
    of.iter().map(unit).collect()
}

fn recorded<T>(recording: Result<Recording<T>, Error>) -> Result<Decision, Error> {
    match recording? {
        Recording::New(decision, _) => Ok(*decision),
        Recording::SameKey(_) | Recording::SameReference(_) => panic!("recorded before"),
    }
}

/// Decides about a wish. `None`: there is no such part, or nothing changes.
fn decided(order: &Order, wish: &Wish, caller: Caller, now: Timestamp) -> Option<Result<Decision, Error>> {
    let key = RequestKey::of_invocation(InvocationId::new());
    let origin = Origin { caller, key: &key, now };
    let order = order.clone();
    let fulfillment = |place: usize| order.fulfillments.get(place).map(|it| it.id);
    let of_return = |place: usize| order.returns.get(place).map(|it| it.id);
    let change_fulfillment = |place, status, tracking| {
        let change = FulfillmentChange { status, tracking };
        let changed = order.clone().change_fulfillment(fulfillment(place)?, &change, caller, now);
        changed.map(|(_, decision)| decision).transpose()
    };
    let change_return = |place, status, items| {
        let change = ReturnChange { status, items, reason: Some("worn".to_owned()) };
        let changed = order.clone().change_return(of_return(place)?, &change, caller, now);
        changed.map(|(_, decision)| decision).transpose()
    };
    let ship =
        |items| recorded(order.clone().record_fulfillment(NewFulfillment { items, tracking: None }, origin));
    let cancel =
        |items| recorded(order.clone().record_cancellation(NewCancellation { items, reason: None }, origin));
    match wish {
        Wish::Ship(of) => Some(ship(Some(units(&order, of)))),
        Wish::ShipLeft => Some(ship(None)),
        Wish::Unship(place) => change_fulfillment(*place, Some(FulfillmentStatus::Cancelled), None),
        Wish::Deliver(place) => change_fulfillment(*place, Some(FulfillmentStatus::Delivered), None),
        Wish::Correct(place, number) => change_fulfillment(*place, None, Some(parcel(&number.to_string()))),
        Wish::Cancel(of) => Some(cancel(Some(units(&order, of)))),
        Wish::CancelLeft => Some(cancel(None)),
        Wish::Return(of) => {
            let item =
                |unit: ItemQuantity| NewReturnItem { id: unit.id, quantity: unit.quantity, reason: None };
            let items = units(&order, of).into_iter().map(item).collect();
            Some(recorded(order.clone().record_return(NewReturn { items, reason: None }, WINDOW, origin)))
        }
        Wish::Approve(place) => change_return(*place, ReturnStatus::Approved, None),
        Wish::Reject(place) => change_return(*place, ReturnStatus::Rejected, None),
        Wish::EndReturn(place) => change_return(*place, ReturnStatus::Cancelled, None),
        Wish::Receive(place, received, restocked) => {
            let item = |item: &ReturnItem| {
                let received = item.quantity.min(*received);
                ReceivedItem { id: item.id, received, restocked: received.min(*restocked) }
            };
            let items = order.returns.get(*place)?.items.iter().map(item).collect();
            change_return(*place, ReturnStatus::Received, Some(items))
        }
        Wish::Money(_) => None,
    }
}

fn after(order: &Order, wish: &Wish) -> Order {
    decided(order, wish, shop(), LATER).unwrap().unwrap().order
}

fn refused(order: &Order, wish: &Wish) -> Error {
    decided(order, wish, shop(), LATER).unwrap().unwrap_err()
}

/// Order of three mugs and two pots, paid.
fn paid() -> Order {
    let order = place(vec![item(500, 3), item(700, 2)]).unwrap();
    order.decide(to(pay()), shop(), NOW).unwrap().unwrap().order
}

fn counts(order: &Order) -> Vec<(i64, i64, i64)> {
    order.counters().iter().map(|units| (units.cancelled, units.shipped, units.returned)).collect()
}

#[test]
fn units_that_are_not_in_a_parcel_stay_held() {
    let order = paid();
    let first = decided(&order, &Wish::Ship(vec![(0, 2)]), shop(), LATER).unwrap().unwrap();
    assert_eq!(first.task, Some(Task::new(3, TaskKind::Move)));
    let order = first.order;
    assert_eq!((order.status, shipping(&order)), (Status::Paid, OrderFulfillmentStatus::Partial));
    let held: Vec<i64> = order.held_items().iter().map(|held| held.quantity).collect();
    assert_eq!(held, [1, 2]);
    let last = decided(&order, &Wish::ShipLeft, shop(), LATER).unwrap().unwrap();
    let mug = order.items[0].product_id;
    let before = vec![StockCounts { product_id: mug, shipped: 2, restocked: 0 }];
    assert_eq!(last.task, Some(Task { revision: 4, kind: TaskKind::Move, before }));
    let order = last.order;
    assert_eq!((order.status, order.held_items()), (Status::Shipped, Vec::new()));
    assert_eq!(order.fulfillments[1].items, units(&order, &[(0, 1), (1, 2)]));
}

#[test]
fn the_last_delivery_of_a_parcel_delivers_the_order() {
    let order = after(&after(&paid(), &Wish::Ship(vec![(0, 3)])), &Wish::ShipLeft);
    let one = after(&order, &Wish::Deliver(1));
    assert_eq!((one.status, shipping(&one)), (Status::Shipped, OrderFulfillmentStatus::Shipped));
    let both = after(&one, &Wish::Deliver(0));
    assert_eq!((both.status, shipping(&both)), (Status::Delivered, OrderFulfillmentStatus::Delivered));
    let last = both.history.last().unwrap();
    assert_eq!((last.from(), last.to(), last.by), (Some(Status::Shipped), Some(Status::Delivered), None));
}

#[test]
fn a_cancelled_fulfillment_is_held_again() {
    let shipped = after(&paid(), &Wish::ShipLeft);
    let undone = decided(&shipped, &Wish::Unship(0), shop(), LATER).unwrap().unwrap();
    assert_eq!((undone.order.status, counts(&undone.order)), (Status::Paid, vec![(0, 0, 0), (0, 0, 0)]));
    assert_eq!(undone.order.held_items().len(), 2);
    assert_eq!(undone.order.tracking(), None);
    let before = undone.task.unwrap().before;
    assert_eq!(before.iter().map(|counts| counts.shipped).collect::<Vec<_>>(), [3, 2]);
    let again = refused(&undone.order, &Wish::Deliver(0));
    assert_eq!((again.kind(), again.member("allowed")), (Kind::InvalidTransition, Some(&json!([]))));
}

#[test]
fn more_units_than_are_left_are_refused() {
    let order = after(&paid(), &Wish::Ship(vec![(0, 2)]));
    for wish in [Wish::Ship(vec![(0, 2), (1, 1)]), Wish::Cancel(vec![(0, 2)]), Wish::Return(vec![(0, 3)])] {
        assert_eq!(refused(&order, &wish).kind(), Kind::QuantityExceeded, "{wish:?}");
    }
    let error = refused(&order, &Wish::Ship(vec![(0, 2), (1, 1)]));
    let id = order.item_id(&order.items[0]).to_string();
    assert_eq!(error.member("items"), Some(&json!([{ "id": id, "requested": 2, "left": 1 }])));
}

#[test]
fn cancelled_units_are_neither_held_nor_paid() {
    let order = after(&paid(), &Wish::Cancel(vec![(0, 1)]));
    assert_eq!((order.status, order.tasks[0].kind), (Status::Paid, TaskKind::Move));
    let totals = order.totals();
    assert_eq!((totals.cancelled, totals.refund_due), (500, 500));
    let shipped = after(&order, &Wish::Ship(vec![(0, 2)]));
    let rest = after(&shipped, &Wish::CancelLeft);
    assert_eq!((rest.status, counts(&rest)), (Status::Shipped, vec![(1, 2, 0), (2, 0, 0)]));
    assert_eq!(rest.totals().cancelled, 1900);
    let all = after(&order, &Wish::CancelLeft);
    assert_eq!((all.status, all.tasks[1].kind), (Status::Cancelled, TaskKind::Move));
    assert_eq!(all.totals().cancelled, 2900);
}

#[test]
fn a_cancellation_that_makes_payments_suffice_pays() {
    let order = place(vec![item(500, 3), item(700, 2)]).unwrap();
    let key = RequestKey::of_invocation(InvocationId::new());
    let partial = applied(&order, &Request::Pay(1500), &key).unwrap();
    assert_eq!(partial.status, Status::Placed);
    let paid = after(&partial, &Wish::Cancel(vec![(1, 2)]));
    assert_eq!((paid.status, paid.expires_at, paid.open_slot), (Status::Paid, None, None));
}

#[test]
fn an_owner_cancels_units_while_placed_only() {
    let order = place(vec![item(500, 3)]).unwrap();
    let owner = Caller::User { id: order.user_id, role: Role::Customer };
    let cancel = Wish::Cancel(vec![(0, 1)]);
    let fewer = decided(&order, &cancel, owner, NOW).unwrap().unwrap().order;
    let paid = fewer.decide(to(pay()), shop(), NOW).unwrap().unwrap().order;
    assert_eq!(paid.payments[0].amount, 1000);
    assert_eq!(decided(&paid, &cancel, owner, NOW).unwrap().unwrap_err().kind(), Kind::Forbidden);
    let shipped = after(&paid, &Wish::ShipLeft);
    let late = decided(&shipped, &cancel, owner, NOW).unwrap().unwrap_err();
    assert_eq!(late.kind(), Kind::InvalidTransition);
}

#[test]
fn an_owner_returns_what_was_delivered_within_the_window() {
    let order = after(&after(&paid(), &Wish::Ship(vec![(0, 2)])), &Wish::ShipLeft);
    let owner = Caller::User { id: order.user_id, role: Role::Customer };
    let ask = |order: &Order, wish: &Wish, now| decided(order, wish, owner, now).unwrap();
    let two = Wish::Return(vec![(0, 2)]);
    assert_eq!(ask(&order, &two, LATER).unwrap_err().kind(), Kind::InvalidTransition);
    let delivered = after(&order, &Wish::Deliver(0));
    let end = LATER.after(WINDOW);
    let asked = ask(&delivered, &two, end).unwrap().order;
    assert_eq!(
        (asked.returns[0].status, returning(&asked)),
        (ReturnStatus::Requested, OrderReturnStatus::Requested)
    );
    let late = end.after(Duration::from_millis(1));
    assert_eq!(ask(&delivered, &two, late).unwrap_err().kind(), Kind::InvalidTransition);
    // The third mug is still on its way.
    let third = Wish::Return(vec![(0, 1)]);
    assert_eq!(ask(&asked, &third, end).unwrap_err().kind(), Kind::InvalidTransition);
    assert_eq!(after(&asked, &third).returns[1].status, ReturnStatus::Approved);
    let approve = decided(&asked, &Wish::Approve(0), owner, end).unwrap().unwrap_err();
    assert_eq!(approve.kind(), Kind::Forbidden);
    let ended = decided(&asked, &Wish::EndReturn(0), owner, end).unwrap().unwrap().order;
    assert_eq!(
        (ended.returns[0].status, returning(&ended)),
        (ReturnStatus::Cancelled, OrderReturnStatus::None)
    );
}

#[test]
fn a_return_received_short_leaves_the_rest_with_the_customer() {
    let order = after(&after(&paid(), &Wish::ShipLeft), &Wish::Return(vec![(0, 3), (1, 2)]));
    let short = after(&order, &Wish::Receive(0, 2, 1));
    assert_eq!((counts(&short), returning(&short)), (vec![(0, 3, 2), (0, 2, 2)], OrderReturnStatus::Partial));
    assert_eq!(short.status, Status::Shipped);
    let restocked: Vec<i64> = short.stock_totals().iter().map(|totals| totals.counts.restocked).collect();
    assert_eq!(restocked, [1, 1]);
    let again = refused(&short, &Wish::EndReturn(0));
    assert_eq!(again.kind(), Kind::InvalidTransition);
    let rest = after(&after(&short, &Wish::Return(vec![(0, 1)])), &Wish::Receive(1, 1, 0));
    assert_eq!((rest.status, returning(&rest)), (Status::Returned, OrderReturnStatus::Returned));
}

#[test]
fn units_in_returns_keep_their_fulfillment() {
    let order = after(&after(&paid(), &Wish::ShipLeft), &Wish::Return(vec![(0, 1)]));
    let error = refused(&order, &Wish::Unship(0));
    let id = order.item_id(&order.items[0]).to_string();
    assert_eq!(error.kind(), Kind::QuantityExceeded);
    assert_eq!(error.member("items"), Some(&json!([{ "id": id, "requested": 3, "left": 2 }])));
    assert!(decided(&after(&order, &Wish::EndReturn(0)), &Wish::Unship(0), shop(), LATER).unwrap().is_ok());
}

#[test]
fn a_refund_of_a_return_is_for_the_units_that_came_back() {
    let order = after(&after(&paid(), &Wish::ShipLeft), &Wish::Return(vec![(0, 2), (1, 1)]));
    let refund = |order: &Order| {
        let return_id = Some(order.returns[0].id);
        let new =
            NewRefund { of: RefundOf::Return, reason: None, reference: None, payment_id: None, return_id };
        order.preview_refund(&new, LATER, None)
    };
    assert_eq!(refund(&order).unwrap_err().kind(), Kind::AmountExceeded);
    let received = after(&order, &Wish::Receive(0, 1, 1));
    let of_return = refund(&received).unwrap();
    assert_eq!((of_return.amount, of_return.items), (1200, units(&received, &[(0, 1), (1, 1)])));
    let ended = after(&order, &Wish::EndReturn(0));
    assert_eq!(refund(&ended).unwrap_err().errors()[0].pointer, "/return_id");
}

#[test]
fn a_return_is_refunded_once() {
    let order = place(vec![item(500, 4)]).unwrap().decide(to(pay()), shop(), NOW).unwrap().unwrap().order;
    let order = after(&after(&order, &Wish::ShipLeft), &Wish::Return(vec![(0, 2)]));
    let order = after(&order, &Wish::Receive(0, 2, 0));
    let refund = |order: &Order, of| {
        let return_id = Some(order.returns[0].id);
        let new = NewRefund { of, reason: None, reference: None, payment_id: None, return_id };
        let key = RequestKey::of_invocation(InvocationId::new());
        let origin = Origin { caller: shop(), key: &key, now: LATER };
        recorded(order.clone().record_refund(new, origin)).map(|decision| decision.order)
    };
    let one = refund(&order, RefundOf::Items(units(&order, &[(0, 1)]), false)).unwrap();
    let both = refund(&one, RefundOf::Return).unwrap();
    assert_eq!(both.refunds.iter().map(|refund| refund.amount).collect::<Vec<_>>(), [500, 500]);
    assert_eq!(refund(&both, RefundOf::Return).unwrap_err().kind(), Kind::AmountExceeded);
}

#[test]
fn a_customer_leaves_room_for_the_shop() {
    let mut order = place(vec![item(500, 60)]).unwrap();
    let owner = Caller::User { id: order.user_id, role: Role::Customer };
    let one = [(0, 1)].to_vec();
    let refused =
        |order: &Order, wish: &Wish, caller| decided(order, wish, caller, LATER).unwrap().unwrap_err().kind();
    for _ in 0..25 {
        order = decided(&order, &Wish::Cancel(one.clone()), owner, LATER).unwrap().unwrap().order;
    }
    assert_eq!(refused(&order, &Wish::Cancel(one.clone()), owner), Kind::QuantityExceeded);
    for _ in 25..49 {
        order = after(&order, &Wish::Cancel(one.clone()));
    }
    assert_eq!(refused(&order, &Wish::Cancel(one.clone()), shop()), Kind::QuantityExceeded);
    // All that are left can still be cancelled.
    assert_eq!(after(&order, &Wish::CancelLeft).status, Status::Cancelled);
    let paid = order.decide(to(pay()), shop(), NOW).unwrap().unwrap().order;
    let mut order = after(&after(&paid, &Wish::ShipLeft), &Wish::Deliver(0));
    for place in 0..25 {
        order = decided(&order, &Wish::Return(one.clone()), owner, LATER).unwrap().unwrap().order;
        order = decided(&order, &Wish::EndReturn(place), owner, LATER).unwrap().unwrap().order;
    }
    assert_eq!(refused(&order, &Wish::Return(one.clone()), owner), Kind::QuantityExceeded);
    assert_eq!(after(&order, &Wish::Return(one)).returns.len(), 26);
}

#[test]
fn the_last_fulfillment_ships_all_that_is_left() {
    let order = place(vec![item(1, 60)]).unwrap();
    let mut order = order.decide(to(pay()), shop(), NOW).unwrap().unwrap().order;
    for _ in 0..49 {
        order = after(&order, &Wish::Ship(vec![(0, 1)]));
    }
    assert_eq!(refused(&order, &Wish::Ship(vec![(0, 1)])).kind(), Kind::QuantityExceeded);
    assert_eq!(after(&order, &Wish::ShipLeft).status, Status::Shipped);
}

#[test]
fn a_refused_parcel_leaves_the_delivered_one_to_be_returned() {
    let order = after(&after(&paid(), &Wish::Ship(vec![(0, 2)])), &Wish::ShipLeft);
    let order = after(&after(&order, &Wish::Deliver(0)), &Wish::Return(vec![(0, 1)]));
    let owner = Caller::User { id: order.user_id, role: Role::Customer };
    let both = decided(&order, &Wish::Return(vec![(0, 2)]), owner, LATER).unwrap();
    assert!(both.is_ok());
    let never = order.clone().record_return(
        NewReturn {
            items: vec![NewReturnItem { id: order.item_id(&order.items[0]), quantity: 1, reason: None }],
            reason: None,
        },
        Duration::ZERO,
        Origin { caller: owner, key: &RequestKey::of_invocation(InvocationId::new()), now: LATER },
    );
    assert_eq!(never.unwrap_err().kind(), Kind::InvalidTransition);
}

#[test]
fn a_receipt_is_final() {
    let order = after(&after(&paid(), &Wish::ShipLeft), &Wish::Return(vec![(0, 3)]));
    let received = after(&order, &Wish::Receive(0, 1, 0));
    assert!(decided(&received, &Wish::Receive(0, 1, 0), shop(), LATER).is_none());
    assert_eq!(refused(&received, &Wish::Receive(0, 2, 0)).kind(), Kind::InvalidTransition);
    let asked = &order.returns[0];
    let reject = ReturnChange { status: ReturnStatus::Rejected, items: None, reason: None };
    assert_eq!(
        order.clone().change_return(asked.id, &reject, shop(), LATER).unwrap_err().kind(),
        Kind::InvalidTransition
    );
}

#[test]
fn a_rejection_needs_a_reason_once() {
    let order = after(&after(&paid(), &Wish::ShipLeft), &Wish::Deliver(0));
    let owner = Caller::User { id: order.user_id, role: Role::Customer };
    let order = decided(&order, &Wish::Return(vec![(0, 1)]), owner, LATER).unwrap().unwrap().order;
    let id = order.returns[0].id;
    let reject = |order: &Order, reason: Option<&str>| {
        let reason = reason.map(str::to_owned);
        let change = ReturnChange { status: ReturnStatus::Rejected, items: None, reason };
        order.clone().change_return(id, &change, shop(), LATER).map(|(_, decision)| decision)
    };
    assert_eq!(reject(&order, None).unwrap_err().errors()[0].pointer, "/reason");
    let rejected = reject(&order, Some("worn")).unwrap().unwrap().order;
    assert_eq!(reject(&rejected, None).unwrap(), None);
}

#[test]
fn a_status_that_a_later_write_settled_is_no_replay() {
    let cancelled = paid().decide(to(Transition::Cancel), shop(), NOW).unwrap().unwrap().order;
    let key = RequestKey::of_invocation(InvocationId::new());
    let refunded = applied(&cancelled, &Request::RefundAmount(2900), &key).unwrap();
    assert_eq!(refunded.status, Status::Refunded);
    let error = refunded.decide(to(Transition::Cancel), shop(), LATER).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidTransition);
}

#[test]
fn a_corrected_tracking_is_in_the_history_and_bounded() {
    let mut order = after(&paid(), &Wish::ShipLeft);
    for number in 0..200 {
        order = after(&order, &Wish::Correct(0, number));
    }
    assert_eq!(order.tracking(), Some(&parcel("199")));
    assert_eq!(refused(&order, &Wish::Correct(0, 200)).kind(), Kind::QuantityExceeded);
    assert!(decided(&order, &Wish::Correct(0, 199), shop(), LATER).is_none());
    assert!(order.tasks.iter().all(|task| task.revision == 3), "a correction moves no stock");
    assert_eq!(after(&order, &Wish::Deliver(0)).status, Status::Delivered);
}

#[test]
fn the_same_key_makes_one_part() {
    let (order, key) = (paid(), RequestKey::of_invocation(InvocationId::new()));
    let origin = Origin { caller: shop(), key: &key, now: LATER };
    let new = || NewFulfillment { items: None, tracking: None };
    let shipped = recorded(order.record_fulfillment(new(), origin)).unwrap().order;
    assert!(matches!(shipped.record_fulfillment(new(), origin), Ok(Recording::SameKey(_))));
}

#[test]
fn cancelled_units_stay_in_a_change_of_items() {
    let order = place(vec![item(500, 3), item(700, 2)]).unwrap();
    let order = after(&order, &Wish::Cancel(vec![(0, 2)]));
    let begin = |mugs: i64, pots: i64| {
        let mug = (mugs > 0).then(|| wanted(&order.items[0], mugs));
        let pot = (pots > 0).then(|| wanted(&order.items[1], pots));
        let items: Vec<NewItem> = mug.into_iter().chain(pot).collect();
        let held = order.max_per_product(&items).iter().map(|item| item.quantity).collect::<Vec<_>>();
        order.clone().begin_item_change(&change_items(items), shop(), NOW).map(|_| held)
    };
    assert_eq!(begin(4, 1).unwrap(), [2, 2]);
    assert_eq!(begin(2, 1).unwrap(), [1, 2]);
    for (mugs, pots) in [(1, 2), (0, 2), (2, 0)] {
        assert_eq!(begin(mugs, pots).unwrap_err().kind(), Kind::OrderNotEditable, "{mugs} {pots}");
    }
}

#[test]
fn each_rule_of_parts_is_one_cell_of_a_matrix() {
    use rules::{FULFILLMENTS, RETURNS, check};
    let actors = [Actor::Owner, Actor::Staff];
    let allowed = |names: Vec<&'static str>| names.join(" ");
    let of_fulfillments = |from, actor| {
        let may =
            FulfillmentStatus::ALL.into_iter().filter(|to| check(FULFILLMENTS, from, *to, actor).is_ok());
        allowed(may.map(FulfillmentStatus::name).collect())
    };
    let of_returns = |from, actor| {
        let may = ReturnStatus::ALL.into_iter().filter(|to| check(RETURNS, from, *to, actor).is_ok());
        allowed(may.map(ReturnStatus::name).collect())
    };
    for (from, expected) in [
        (FulfillmentStatus::Shipped, ["", "delivered cancelled"]),
        (FulfillmentStatus::Delivered, ["", ""]),
        (FulfillmentStatus::Cancelled, ["", ""]),
    ] {
        assert_eq!(actors.map(|actor| of_fulfillments(from, actor)), expected, "{from:?}");
    }
    for (from, expected) in [
        (ReturnStatus::Requested, ["cancelled", "approved rejected cancelled"]),
        (ReturnStatus::Approved, ["", "received cancelled"]),
        (ReturnStatus::Rejected, ["", ""]),
        (ReturnStatus::Received, ["", ""]),
        (ReturnStatus::Cancelled, ["", ""]),
    ] {
        assert_eq!(actors.map(|actor| of_returns(from, actor)), expected, "{from:?}");
    }
    for (action, expected) in [
        (rules::Action::Ship, ["", "paid"]),
        (rules::Action::Cancel, ["placed", "placed paid"]),
        (rules::Action::Return, ["paid shipped delivered", "paid shipped delivered"]),
    ] {
        let may = |actor| allowed(action.statuses(actor).into_iter().map(Status::name).collect());
        assert_eq!(actors.map(may), expected, "{action:?}");
    }
}

/// Simple account of an order's units: what each request that was taken has moved.
#[derive(Clone, Debug, Default)]
struct Account {
    /// By item: ordered, cancelled, shipped, returned, restocked units.
    items: Vec<[i64; 5]>,
    /// By fulfillment: its units by item, and its status.
    parcels: Vec<(BTreeMap<usize, i64>, &'static str)>,
    /// By return: its units by item, and its status.
    returns: Vec<(BTreeMap<usize, i64>, &'static str)>,
    /// Units on hand and held by product, beside a stock of 0.
    stock: Vec<(i64, i64)>,
    is_paid: bool,
    is_cancelled: bool,
    is_returned: bool,
}

impl Account {
    fn of(order: &Order) -> Self {
        let items = order.items.iter().map(|item| [item.quantity, 0, 0, 0, 0]).collect();
        let stock = order.items.iter().map(|item| (0, item.quantity)).collect();
        Self { items, stock, ..Self::default() }
    }

    fn left(&self) -> BTreeMap<usize, i64> {
        let left = |(place, item): (usize, &[i64; 5])| (place, item[0] - item[1] - item[2]);
        self.items.iter().enumerate().map(left).filter(|(_, left)| *left > 0).collect()
    }

    fn ship(&mut self, units: &BTreeMap<usize, i64>) {
        for (&place, &quantity) in units {
            self.items[place][2] += quantity;
            self.stock[place].0 -= quantity;
            self.stock[place].1 -= quantity;
        }
        self.parcels.push((units.clone(), "shipped"));
    }

    fn cancel(&mut self, units: &BTreeMap<usize, i64>) {
        for (&place, &quantity) in units {
            self.items[place][1] += quantity;
            self.stock[place].1 -= quantity;
        }
        self.is_cancelled = self.items.iter().all(|item| item[0] == item[1]);
    }

    /// Replays a request that was taken.
    fn replay(&mut self, wish: &Wish) {
        let units = |of: &[(usize, i64)]| of.iter().copied().collect::<BTreeMap<_, _>>();
        match wish {
            Wish::Ship(of) => self.ship(&units(of)),
            Wish::ShipLeft => self.ship(&self.left()),
            Wish::Unship(parcel) => {
                self.parcels[*parcel].1 = "cancelled";
                for (place, quantity) in self.parcels[*parcel].0.clone() {
                    self.items[place][2] -= quantity;
                    self.stock[place].0 += quantity;
                    self.stock[place].1 += quantity;
                }
            }
            Wish::Deliver(parcel) => self.parcels[*parcel].1 = "delivered",
            Wish::Cancel(of) => self.cancel(&units(of)),
            Wish::CancelLeft => self.cancel(&self.left()),
            Wish::Return(of) => self.returns.push((units(of), "approved")),
            Wish::Receive(place, received, restocked) => {
                self.returns[*place].1 = "received";
                for (item, asked) in self.returns[*place].0.clone() {
                    let back = asked.min(*received);
                    self.items[item][3] += back;
                    self.items[item][4] += back.min(*restocked);
                    self.stock[item].0 += back.min(*restocked);
                }
            }
            Wish::Approve(place) => self.returns[*place].1 = "approved",
            Wish::Reject(place) => self.returns[*place].1 = "rejected",
            Wish::EndReturn(place) => self.returns[*place].1 = "cancelled",
            Wish::Correct(..) => {}
            Wish::Money(Request::Move(Transition::Ship(_))) => self.ship(&self.left()),
            Wish::Money(Request::Move(Transition::Deliver)) => {
                let on_their_way = self.parcels.iter_mut().filter(|parcel| parcel.1 == "shipped");
                on_their_way.for_each(|parcel| parcel.1 = "delivered");
            }
            Wish::Money(Request::Move(Transition::Return { restock })) => {
                let back = |item: &[i64; 5]| item[2] - item[3];
                let of = self.items.iter().enumerate().map(|(place, item)| (place, back(item)));
                let of: BTreeMap<usize, i64> = of.filter(|(_, quantity)| *quantity > 0).collect();
                for (&place, &quantity) in &of {
                    self.items[place][3] += quantity;
                    if *restock {
                        self.items[place][4] += quantity;
                        self.stock[place].0 += quantity;
                    }
                }
                self.returns.push((of, "received"));
            }
            Wish::Money(Request::Move(Transition::Cancel) | Request::Expire) => self.cancel(&self.left()),
            Wish::Money(_) => {}
        }
        let (left, shipped) = (self.left(), self.items.iter().any(|item| item[2] > 0));
        let is_back = self.items.iter().all(|item| item[2] == item[3]);
        self.is_returned |= self.is_paid && left.is_empty() && shipped && is_back;
    }

    /// Status that the units alone have.
    fn status(&self) -> &'static str {
        let are_delivered = self.parcels.iter().filter(|parcel| parcel.1 != "cancelled");
        let are_delivered = are_delivered.clone().all(|parcel| parcel.1 == "delivered");
        match self {
            Self { is_cancelled: true, .. } => "cancelled",
            Self { is_returned: true, .. } => "returned",
            Self { is_paid: false, .. } => "placed",
            _ if !self.left().is_empty() => "paid",
            _ if are_delivered => "delivered",
            _ => "shipped",
        }
    }
}

fn wishes() -> impl Strategy<Value = Vec<Wish>> {
    let of_items = || prop::collection::btree_map(0..2_usize, 1..3_i64, 1..3);
    let list = |of: BTreeMap<usize, i64>| of.into_iter().collect::<Vec<_>>();
    let moves = vec![
        Request::Move(pay()),
        Request::Move(ship()),
        Request::Move(Transition::Deliver),
        Request::Move(Transition::Return { restock: true }),
        Request::Move(Transition::Cancel),
        Request::Move(Transition::Refund { reference: "re_1".to_owned() }),
        Request::Expire,
        Request::Pay(1_000),
        Request::Pay(2_000),
        Request::RefundUnits(0, 1),
        Request::RefundAmount(700),
    ];
    let wish = prop_oneof![
        4 => of_items().prop_map(move |of| Wish::Ship(list(of))),
        1 => Just(Wish::ShipLeft),
        2 => (0..4_usize).prop_map(Wish::Unship),
        2 => (0..4_usize).prop_map(Wish::Deliver),
        1 => (0..4_usize, 0..3_i64).prop_map(|(place, number)| Wish::Correct(place, number)),
        2 => of_items().prop_map(move |of| Wish::Cancel(list(of))),
        1 => Just(Wish::CancelLeft),
        3 => of_items().prop_map(move |of| Wish::Return(list(of))),
        1 => (0..4_usize).prop_map(Wish::Approve),
        1 => (0..4_usize).prop_map(Wish::Reject),
        3 => (0..4_usize, 0..3_i64, 0..3_i64).prop_map(|(place, back, on_hand)| Wish::Receive(place, back, on_hand)),
        1 => (0..4_usize).prop_map(Wish::EndReturn),
        4 => prop::sample::select(moves).prop_map(Wish::Money),
    ];
    prop::collection::vec(wish, 1..40)
}

/// Stock as tasks leave it: each is run at once, late, or together with later ones.
#[derive(Debug)]
struct Warehouse {
    stock: Vec<(i64, i64)>,
    counts: Option<Vec<(i64, i64)>>,
}

impl Warehouse {
    /// Runs all tasks of the order in one declaration.
    fn declare(&mut self, order: &mut Order) {
        let tasks = std::mem::take(&mut order.tasks);
        let Some(first) =
            tasks.iter().find(|task| task.kind == TaskKind::Move).filter(|_| order.has_fulfillments())
        else {
            if !tasks.is_empty() {
                self.hold(order);
            }
            return;
        };
        let product = |place: usize| order.items[place].product_id;
        let before = |place: usize| {
            let found = first.before.iter().find(|counts| counts.product_id == product(place));
            found.map_or((0, 0), |counts| (counts.shipped, counts.restocked))
        };
        let kept = self.counts.clone().unwrap_or_else(|| (0..order.items.len()).map(before).collect());
        let totals = order.stock_totals();
        for (place, totals) in totals.iter().enumerate() {
            let counts = totals.counts;
            self.stock[place].0 += (counts.restocked - kept[place].1) - (counts.shipped - kept[place].0);
            self.stock[place].1 = totals.held;
        }
        self.counts =
            Some(totals.iter().map(|totals| (totals.counts.shipped, totals.counts.restocked)).collect());
    }

    fn hold(&mut self, order: &Order) {
        for (place, item) in order.items.iter().enumerate() {
            let held = order.held_items().into_iter().find(|held| held.product_id == item.product_id);
            self.stock[place].1 = held.map_or(0, |held| held.quantity);
        }
    }
}

/// Number of random histories: all in a long run, else a sample.
fn histories() -> u32 {
    if std::env::var_os("OMS_LONG").is_some() { 10_000 } else { 1_500 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: histories(), ..ProptestConfig::default() })]

    #[test]
    fn random_histories_agree_with_an_account(
        wishes in wishes(),
        runs in prop::collection::vec((any::<bool>(), any::<bool>()), 40),
    ) {
        let mut order = place(vec![item(333, 3), item(1_000, 2)]).unwrap();
        let mut account = Account::of(&order);
        let mut warehouse = Warehouse { stock: account.stock.clone(), counts: None };
        for (wish, (runs_tasks, prunes)) in wishes.iter().zip(runs) {
            let key = RequestKey::of_invocation(InvocationId::new());
            let taken = match wish {
                Wish::Money(request) => applied(&order, request, &key),
                wish => decided(&order, wish, shop(), LATER).and_then(Result::ok).map(|decision| decision.order),
            };
            let Some(after) = taken else { continue };
            prop_assert_eq!(after.version, order.version + 1);
            order = after;
            account.is_paid |= order.history.iter().any(|entry| entry.to() == Some(Status::Paid));
            account.replay(wish);
            // Counters and status.
            let counters = order.counters();
            for (units, [ordered, cancelled, shipped, returned, restocked]) in counters.iter().zip(&account.items) {
                prop_assert_eq!(
                    [units.cancelled, units.shipped, units.returned, units.restocked],
                    [*cancelled, *shipped, *returned, *restocked],
                    "{:?}", wish
                );
                prop_assert!(cancelled + shipped <= *ordered && returned + units.returning <= *shipped);
            }
            let status = match order.status {
                Status::Refunded => if account.is_cancelled { "cancelled" } else { "returned" },
                status => status.name(),
            };
            prop_assert_eq!(status, account.status(), "{:?}", wish);
            prop_assert_eq!(order.derived_status(), None);
            prop_assert_eq!(order.settled_status(), None);
            // Stock: tasks may be run at any time, and the hold may be pruned where none is open.
            if runs_tasks {
                warehouse.declare(&mut order);
                prop_assert_eq!(&warehouse.stock, &account.stock, "{:?}", wish);
                if prunes && order.held_items().is_empty() {
                    warehouse.counts = None;
                }
            }
        }
        warehouse.declare(&mut order);
        prop_assert_eq!(warehouse.stock, account.stock);
    }
}
